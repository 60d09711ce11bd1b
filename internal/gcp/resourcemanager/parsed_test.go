package resourcemanager

import (
	"fmt"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

func TestTheSameBytesAreReadOnce(t *testing.T) {
	var k readings
	read := func(r access.Resource, raw []byte) (*iampolicy.Policy, error) {
		p, err := k.parse(r, raw)
		if err == nil {
			k.keep(r, p, time.Time{}, 0)
		}
		return p, err
	}
	text := func(etag string) []byte { return []byte(`{"etag":"` + etag + `","bindings":[]}`) }
	first, err := read("projects/a", text("1"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := read("projects/a", text("1")); err != nil || again != first {
		t.Errorf("read again: %v", err)
	}
	if changed, err := read("projects/a", text("2")); err != nil || changed.Etag() != "2" {
		t.Errorf("a changed policy is not read: %v", err)
	}
	if other, err := read("projects/b", text("1")); err != nil || other == first {
		t.Errorf("another resource's: %v", err)
	}
	if _, err := read("projects/a", []byte(`{"etag":`)); err == nil {
		t.Error("a policy that was cut off is read")
	}
	for i := range 100 {
		if _, err := read(access.Resource(fmt.Sprintf("projects/p%d", i)), text("1")); err != nil {
			t.Fatal(err)
		}
		if len(k.kept) > maxRecent {
			t.Fatalf("keeps %d", len(k.kept))
		}
	}
}
