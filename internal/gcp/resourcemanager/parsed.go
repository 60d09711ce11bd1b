package resourcemanager

import (
	"bytes"
	"sync"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

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

// parse is iampolicy.Parse; of a policy that has changed it reads what is new. raw is kept and not to be changed.
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
