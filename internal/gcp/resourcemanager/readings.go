package resourcemanager

import (
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

// maxRecent bounds how many policies are kept; what one person does is about one.
const maxRecent = 32

// readings keeps policies that were just read, for what they were read for. A policy
// that we write to is forgotten before and after, so that whoever reads it next
// sees what we did.
type readings struct {
	mu   sync.Mutex
	kept map[access.Resource]reading
	// written counts our writes, of all policies.
	written int
}

// reading is a policy and when it was asked for.
type reading struct {
	policy *iampolicy.Policy
	at     time.Time
}

// since is a policy that was asked for at an instant or later; nil when there is
// none.
func (k *readings) since(r access.Resource, began time.Time) *iampolicy.Policy {
	k.mu.Lock()
	defer k.mu.Unlock()
	if found := k.kept[r]; !found.at.Before(began) {
		return found.policy
	}
	return nil
}

// writes is to be called before reading, for keep.
func (k *readings) writes() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.written
}

// keep stores what was read, unless we have written meanwhile. A full store forgets
// its oldest.
func (k *readings) keep(r access.Resource, p *iampolicy.Policy, at time.Time, writes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if writes != k.written {
		return
	}
	if k.kept == nil {
		k.kept = map[access.Resource]reading{}
	}
	if _, known := k.kept[r]; !known && len(k.kept) >= maxRecent {
		var oldest access.Resource
		for other, found := range k.kept {
			if oldest == "" || found.at.Before(k.kept[oldest].at) {
				oldest = other
			}
		}
		delete(k.kept, oldest)
	}
	k.kept[r] = reading{p, at}
}

// forget is to be called before and after a write.
func (k *readings) forget(r access.Resource) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.written++
	delete(k.kept, r)
}
