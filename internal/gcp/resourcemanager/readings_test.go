package resourcemanager

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

func TestAPolicyIsKeptForWhatItWasReadFor(t *testing.T) {
	begun := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := iampolicy.New(nil)
	for _, c := range []struct {
		name  string
		at    time.Duration
		write bool // while it is read
		after bool // when it has been read
		want  bool
	}{
		{"read for this", time.Millisecond, false, false, true},
		{"read at the very beginning", 0, false, false, true},
		{"read before", -time.Millisecond, false, false, false},
		{"written to while it was read", time.Millisecond, true, false, false},
		{"written to since", time.Millisecond, false, true, false},
	} {
		var k readings
		writes := k.writes()
		if c.write {
			k.forget("projects/shop")
		}
		k.keep("projects/shop", p, begun.Add(c.at), writes)
		if c.after {
			k.forget("projects/shop")
		}
		if got := k.since("projects/shop", begun) == p; got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if k.since("projects/other", begun) != nil {
			t.Errorf("%s: another policy is known", c.name)
		}
	}
}

func TestKeptPoliciesAreBounded(t *testing.T) {
	var k readings
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range 100 {
		k.keep(access.Resource(fmt.Sprintf("projects/p%d", i)), iampolicy.New(nil), at.Add(time.Duration(i)), 0)
	}
	if len(k.kept) != maxRecent || k.since("projects/p99", at) == nil || k.since("projects/p0", at) != nil {
		t.Errorf("%d are kept", len(k.kept))
	}
}

// A policy that was read before one of the actions began is not for all of them.
func TestABatchTakesWhatIsYoungEnoughForAll(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	early, late := &edit{since: began}, &edit{since: began.Add(time.Minute)}
	for _, edits := range [][]*edit{{early, late}, {late, early}} {
		if got := youngest(edits); !got.Equal(late.since) {
			t.Errorf("%v, want %v", got, late.since)
		}
	}
	if got := youngest([]*edit{early, {}}); !got.IsZero() {
		t.Errorf("%v for one that does not say when it began", got)
	}
}

// writes sees what is known of a policy while it is written.
type writes func() *http.Response

func (w writes) RoundTrip(*http.Request) (*http.Response, error) { return w(), nil }

// While a policy is written nobody is answered from before: the write may have been made.
func TestAPolicyIsForgottenBeforeItIsWritten(t *testing.T) {
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var c *Client
	seen := false
	c = New(Config{Endpoint: "http://127.0.0.1:1", Now: time.Now, HTTP: &http.Client{Transport: writes(func() *http.Response {
		seen = true
		if c.policies.since("projects/shop", began) != nil {
			t.Error("the policy from before is known while it is written")
		}
		// Read while it was being written, it may be from before.
		c.policies.keep("projects/shop", iampolicy.New(nil), began, c.policies.writes())
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"etag":"b"}`)), Header: http.Header{}}
	})}})
	p, err := new(iampolicy.Policy).Reparse([]byte(`{"version":3,"etag":"a","bindings":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	c.policies.keep("projects/shop", p, began, 0)
	if done, err := c.setIamPolicy(t.Context(), "projects/shop", p, "x"); err != nil || done != stands || !seen {
		t.Errorf("%v, %v", done, err)
	}
	if c.policies.since("projects/shop", began) != nil {
		t.Error("what was read while it was written is known after")
	}
}

// What is kept is bounded in bytes, and dropped when it is too old though nobody reads
// anything any more.
func TestKeptPoliciesAreBoundedInBytesAndByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k readings
		large := iampolicy.New([]iampolicy.Binding{{Role: "roles/x", Members: []string{strings.Repeat("a", recentBytes/4)}}})
		for i := range 10 {
			k.keep(access.Resource(fmt.Sprintf("projects/p%d", i)), large, time.Now(), 0)
		}
		synctest.Wait()
		k.mu.Lock()
		if len(k.kept) != 3 {
			t.Errorf("%d of a quarter of the bytes are kept", len(k.kept))
		}
		k.mu.Unlock()
		time.Sleep(2 * recentAge)
		synctest.Wait()
		k.mu.Lock()
		defer k.mu.Unlock()
		if len(k.kept) != 0 || k.sweeping {
			t.Errorf("%d are kept for ever", len(k.kept))
		}
	})
}
