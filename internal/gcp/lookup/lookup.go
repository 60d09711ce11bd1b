// Package lookup shares the answers of equal questions: those asked at the same
// time share one call, and a bounded number of answers is kept for a while.
package lookup

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Cache answers questions of one kind, each named by a key. Answers are shared and
// not to be changed. Make one with New; it is safe for concurrent use.
type Cache[V any] struct {
	now     func() time.Time
	limit   int
	timeout time.Duration
	load    func(ctx context.Context, key string) (V, error)
	flight  singleflight.Group

	mu   sync.Mutex
	kept map[string]answer[V]
}

// answer is a value and when it was asked for.
type answer[V any] struct {
	value V
	at    time.Time
}

// New makes a Cache that keeps at most limit answers. load makes the call; it has
// timeout for it.
func New[V any](now func() time.Time, limit int, timeout time.Duration, load func(context.Context, string) (V, error)) *Cache[V] {
	return &Cache[V]{now: now, limit: limit, timeout: timeout, load: load, kept: map[string]answer[V]{}}
}

// Get returns a kept answer that was asked for after an instant, or that of a call
// that ends after the question. A caller who gives up leaves the call to the others,
// and to the cache.
func (c *Cache[V]) Get(ctx context.Context, key string, after time.Time) (V, error) {
	if a, ok := c.find(key, after); ok {
		return a.value, nil
	}
	result := c.flight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
		defer cancel()
		at := c.now()
		value, err := c.load(ctx, key)
		if err == nil {
			c.keep(key, answer[V]{value, at})
		}
		return value, err
	})
	select {
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	case r := <-result:
		return r.Val.(V), r.Err
	}
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

// keep stores an answer; a full store forgets its oldest.
func (c *Cache[V]) keep(key string, a answer[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.kept[key]; !known && len(c.kept) >= c.limit {
		oldest, first := "", true
		for k, kept := range c.kept {
			if first || kept.at.Before(c.kept[oldest].at) {
				oldest, first = k, false
			}
		}
		delete(c.kept, oldest)
	}
	c.kept[key] = a
}
