package resourcemanager

import (
	"maps"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

// Bounds of the policies that are kept: how many, how large they are together as
// iampolicy.Policy.Size counts them, and how long after they were read.
const (
	maxRecent   = 32
	recentBytes = 8 << 20
	recentAge   = 5 * time.Minute
)

// readings keeps the last policy of some resources: for what it was read for, and as what
// the next reading is compared with, since pages look at the same policy again and again
// and parsing it is most of their work. A policy that we write to serves nobody from
// before the write on, so that whoever reads it next sees what we did.
type readings struct {
	mu   sync.Mutex
	kept map[access.Resource]reading
	// written counts our writes, of all policies.
	written  int
	sweeping bool
}

// reading is a policy and when it was asked for; zero when it serves for comparison alone.
// stored is when it came.
type reading struct {
	policy     *iampolicy.Policy
	at, stored time.Time
}

// since is a policy that was asked for at an instant or later; nil when there is
// none.
func (k *readings) since(r access.Resource, began time.Time) *iampolicy.Policy {
	if p, at := k.last(r); !at.Before(began) {
		return p
	}
	return nil
}

// last is the last policy that was read, and when it was asked for; nil when there is
// none that may serve.
func (k *readings) last(r access.Resource) (*iampolicy.Policy, time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if found := k.kept[r]; !found.at.IsZero() {
		return found.policy, found.at
	}
	return nil, time.Time{}
}

// writes is to be called before reading, for keep.
func (k *readings) writes() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.written
}

// parse reads a policy: of one that has changed, what is new.
func (k *readings) parse(r access.Resource, raw []byte) (*iampolicy.Policy, error) {
	k.mu.Lock()
	before := k.kept[r].policy
	k.mu.Unlock()
	if before == nil {
		before = new(iampolicy.Policy)
	}
	return before.Reparse(raw)
}

// keep stores what was read, for others too (at is not zero) unless we have written
// meanwhile. A full store forgets its oldest.
func (k *readings) keep(r access.Resource, p *iampolicy.Policy, at time.Time, writes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.kept == nil {
		k.kept = map[access.Resource]reading{}
	}
	if writes != k.written {
		at = time.Time{}
	}
	k.kept[r] = reading{p, at, time.Now()}
	for k.full() {
		delete(k.kept, slices.MinFunc(slices.Collect(maps.Keys(k.kept)), func(a, b access.Resource) int {
			return k.kept[a].stored.Compare(k.kept[b].stored)
		}))
	}
	if !k.sweeping {
		k.sweeping = true
		time.AfterFunc(recentAge, k.sweep)
	}
}

func (k *readings) full() bool {
	bytes := 0
	for _, found := range k.kept {
		bytes += found.policy.Size()
	}
	return len(k.kept) > maxRecent || bytes > recentBytes
}

// sweep drops what is too old, whether or not anybody asks again, and comes again while
// there is something.
func (k *readings) sweep() {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.kept, func(_ access.Resource, found reading) bool { return time.Since(found.stored) >= recentAge })
	if k.sweeping = len(k.kept) > 0; k.sweeping {
		time.AfterFunc(recentAge, k.sweep)
	}
}

// forget is to be called before and after a write.
func (k *readings) forget(r access.Resource) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.written++
	if found, known := k.kept[r]; known {
		found.at = time.Time{}
		k.kept[r] = found
	}
}
