package resourcemanager

import (
	"fmt"
	"testing"

	"jitaccess/internal/access"
)

func TestTheSameBytesAreReadOnce(t *testing.T) {
	var c parsed
	text := func(etag string) []byte { return []byte(`{"etag":"` + etag + `","bindings":[]}`) }
	first, err := c.parse("projects/a", text("1"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.parse("projects/a", text("1")); err != nil || again != first {
		t.Errorf("read again: %v", err)
	}
	if changed, err := c.parse("projects/a", text("2")); err != nil || changed.Etag() != "2" {
		t.Errorf("a changed policy is not read: %v", err)
	}
	if other, err := c.parse("projects/b", text("1")); err != nil || other == first {
		t.Errorf("another resource's: %v", err)
	}
	if _, err := c.parse("projects/a", []byte(`{"etag":`)); err == nil {
		t.Error("a policy that was cut off is read")
	}
	for i := range 100 {
		if _, err := c.parse(access.Resource(fmt.Sprintf("projects/p%d", i)), text("1")); err != nil {
			t.Fatal(err)
		}
		if len(c.last) > maxParsed {
			t.Fatalf("keeps %d", len(c.last))
		}
	}
}
