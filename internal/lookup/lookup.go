// Package lookup shares the answers of equal questions: those asked at the same
// time share one call, and a bounded number of answers is kept for a while.
package lookup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Cache answers questions of one kind, each named by a key. Answers are shared and
// not to be changed. Make one with New; it is safe for concurrent use.
type Cache[V any] struct {
	now     func() time.Time
	limit   int
	timeout time.Duration
	load    func(ctx context.Context, key string) (V, error)

	mu      sync.Mutex
	kept    map[string]answer[V]
	running map[string]*call[V]
}

// answer is a value and when it was asked for.
type answer[V any] struct {
	value V
	at    time.Time
}

// call is one that is under way; its answer and error stand once done is closed.
type call[V any] struct {
	answer[V]
	err  error
	done chan struct{}
}

// New makes a Cache that keeps at most limit answers. load makes the call; it has
// timeout for it.
func New[V any](now func() time.Time, limit int, timeout time.Duration, load func(context.Context, string) (V, error)) *Cache[V] {
	return &Cache[V]{now: now, limit: limit, timeout: timeout, load: load, kept: map[string]answer[V]{}, running: map[string]*call[V]{}}
}

// Get returns a kept answer that was asked for after an instant, or that of a call
// that did not begin before it. A caller who gives up leaves the call to the others,
// and to the cache.
func (c *Cache[V]) Get(ctx context.Context, key string, after time.Time) (V, error) {
	if a, ok := c.find(key, after); ok {
		return a.value, nil
	}
	call := c.join(ctx, key, after)
	select {
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	case <-call.done:
		return call.value, call.err
	}
}

// join returns the call that is under way, or begins one if that would be too old.
func (c *Cache[V]) join(ctx context.Context, key string, after time.Time) *call[V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call, ok := c.running[key]; ok && !call.at.Before(after) {
		return call
	}
	call := &call[V]{answer: answer[V]{at: c.now()}, done: make(chan struct{})}
	c.running[key] = call
	go c.run(context.WithoutCancel(ctx), key, call)
	return call
}

func (c *Cache[V]) run(ctx context.Context, key string, call *call[V]) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	call.value, call.err = c.guarded(ctx, key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.err == nil {
		c.keep(key, call.answer)
	}
	if c.running[key] == call {
		delete(c.running, key)
	}
	close(call.done)
}

// guarded makes the call. It runs for many, in a goroutine of its own, where a panic
// would end the process: it is an error instead.
func (c *Cache[V]) guarded(ctx context.Context, key string) (value V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return c.load(ctx, key)
}

// Last returns the last answer and when it was asked for, if it is no older than
// maxAge.
func (c *Cache[V]) Last(key string, maxAge time.Duration) (V, time.Time, bool) {
	a, ok := c.find(key, c.now().Add(-maxAge))
	return a.value, a.at, ok
}

func (c *Cache[V]) find(key string, after time.Time) (answer[V], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.kept[key]
	return a, ok && a.at.After(after)
}

// keep stores an answer, unless a younger one is there; a full store forgets its
// oldest.
func (c *Cache[V]) keep(key string, a answer[V]) {
	last, known := c.kept[key]
	if known && last.at.After(a.at) {
		return
	}
	if !known && len(c.kept) >= c.limit {
		delete(c.kept, slices.MinFunc(slices.Collect(maps.Keys(c.kept)), func(a, b string) int {
			return c.kept[a].at.Compare(c.kept[b].at)
		}))
	}
	c.kept[key] = a
}
