package assetinventory

import (
	"runtime"
	"strings"
	"testing"

	"jitaccess/internal/gcp/iampolicy"
)

func said(title string) []iampolicy.Binding {
	return []iampolicy.Binding{{Role: "roles/a", Members: []string{"user:ana@example.com"}, Condition: &iampolicy.Condition{Title: title, Expression: "true"}}}
}

// All projects below a folder have its policy once, as long as it says the same.
func TestPoliciesOfNodesAreShared(t *testing.T) {
	var p policies
	first, again := p.of("folders/7", said("a")), p.of("folders/7", said("a"))
	if first != again {
		t.Error("the same is kept twice")
	}
	if other := p.of("folders/8", said("a")); other == first {
		t.Error("another folder's is taken for it")
	}
	changed := p.of("folders/7", said("b"))
	if changed == first || changed.Bindings()[0].Condition.Title != "b" || first.Bindings()[0].Condition.Title != "a" {
		t.Error("what changed is not what it says")
	}
	if p.of("folders/7", said("b")) != changed {
		t.Error("what changed is kept twice")
	}
	runtime.KeepAlive(first)
}

// What is in memory is counted in bytes, once, and no longer than it is there.
func TestPoliciesOfNodesAreCounted(t *testing.T) {
	var p policies
	text := strings.Repeat("x", 1<<20)
	kept := []*iampolicy.Policy{p.of("folders/7", said(text)), p.of("folders/7", said(text)), p.of("folders/8", said("a"))}
	if held, want := p.held.Load(), int64(kept[0].Size()+kept[2].Size()); held != want || held < 1<<20 {
		t.Errorf("%d bytes, want %d", held, want)
	}
	runtime.KeepAlive(kept)
	kept = nil
	for range 1000 { // the collector has what it finds cleaned up in its own time
		if runtime.GC(); p.held.Load() == 0 {
			break
		}
		runtime.Gosched()
	}
	if held := p.held.Load(); held != 0 {
		t.Errorf("%d bytes are counted of what is gone", held)
	}
	p.held.Store(maxPolicies)
	if p.full() {
		t.Error("full too early")
	}
	if p.held.Add(1); !p.full() {
		t.Error("never full")
	}
}
