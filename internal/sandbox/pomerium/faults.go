package pomerium

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Fault is something that goes wrong with some calls of the API.
type Fault struct {
	// Method is the HTTP method, Path the beginning of the path below /api/v0; empty is any.
	Method, Path string
	// Times is how many calls are hit; 0 is all until Clear.
	Times int
	// Status is answered instead of applying the call, with Retry-After if it is set.
	Status     int
	RetryAfter string
	// Body is answered as it is instead of what the API would say; with Status or without.
	Body string
	// Lose applies the call and closes the connection without an answer; Cut after half of one.
	Lose, Cut bool
	// Then runs after the call was applied and before it is answered: somebody else's edit
	// that comes in between. It must not call the API.
	Then func()
}

// faults are those that are armed.
type faults struct {
	mu    sync.Mutex
	armed []*Fault
}

// Fail arms a fault. Of several that fit, the oldest hits.
func (z *Zero) Fail(f Fault) {
	z.faults.mu.Lock()
	defer z.faults.mu.Unlock()
	z.faults.armed = append(z.faults.armed, &f)
}

// Mend disarms all faults.
func (z *Zero) Mend() {
	z.faults.mu.Lock()
	defer z.faults.mu.Unlock()
	z.faults.armed = nil
}

// hit is the fault that a call meets.
func (f *faults) hit(r *http.Request) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := slices.IndexFunc(f.armed, func(a *Fault) bool {
		return (a.Method == "" || a.Method == r.Method) && strings.HasPrefix(strings.TrimPrefix(r.URL.Path, apiRoot), a.Path)
	})
	if at < 0 {
		return Fault{}, false
	}
	hit := *f.armed[at]
	if hit.Times > 0 {
		if f.armed[at].Times--; f.armed[at].Times == 0 {
			f.armed = slices.Delete(f.armed, at, at+1)
		}
	}
	return hit, true
}
