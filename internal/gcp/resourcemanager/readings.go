package resourcemanager

import (
	"bytes"
	"maps"
	"slices"
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

// last is the last policy that was read, and when it was asked for; nil when there is
// none.
func (k *readings) last(r access.Resource) (*iampolicy.Policy, time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept[r].policy, k.kept[r].at
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
		delete(k.kept, slices.MinFunc(slices.Collect(maps.Keys(k.kept)), func(a, b access.Resource) int {
			return k.kept[a].at.Compare(k.kept[b].at)
		}))
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

// maxParsed bounds the policies that are kept; the largest is some hundred
// kilobytes.
const maxParsed = 16

// parsed keeps the last policy of some resources with the bytes that it was read
// from. Pages look at the same policy again and again, and reading it is most of
// their work; the same bytes say the same, and a Policy never changes.
type parsed struct {
	mu   sync.Mutex
	last map[access.Resource]read
}

type read struct {
	raw    []byte
	policy *iampolicy.Policy
}

// parse is iampolicy.Parse; of a policy that has changed it reads what is new. raw is
// kept and not to be changed.
func (c *parsed) parse(r access.Resource, raw []byte) (*iampolicy.Policy, error) {
	c.mu.Lock()
	before, ok := c.last[r]
	c.mu.Unlock()
	if ok && bytes.Equal(before.raw, raw) {
		return before.policy, nil
	}
	p := before.policy
	if p == nil {
		p = new(iampolicy.Policy)
	}
	p, err := p.Reparse(raw)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.last[r]; c.last == nil || !known && len(c.last) >= maxParsed {
		c.last = map[access.Resource]read{}
	}
	c.last[r] = read{raw, p}
	return p, nil
}
