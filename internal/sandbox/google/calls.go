package google

import (
	"maps"
	"sync"
)

// Calls counts calls by method and template, such as
// "POST /v3/projects/{id}:setIamPolicy". Calls that a fault or
// a quota refused count too.
type Calls struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *Calls) add(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[key]++
}

// Count is how often one was called since the last Reset.
func (c *Calls) Count(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[key]
}

// All is a copy of every count.
func (c *Calls) All() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := maps.Clone(c.counts)
	if all == nil {
		all = map[string]int{}
	}
	return all
}

// Reset begins to count anew.
func (c *Calls) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = nil
}
