// Package lookup shares the answers of equal questions: those asked at the same
// time share one call, and a bounded number of answers is kept for a while.
package lookup

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// MaxAge is how long an answer is kept: nothing is used that is older, and then it is
// dropped, whether or not anybody asks again.
const MaxAge = 10 * time.Minute

// Cache answers questions of one kind, each named by a key. Answers are shared and
// not to be changed. Make one with New; it is safe for concurrent use.
type Cache[V any] struct {
	now     func() time.Time
	limit   int
	timeout time.Duration
	load    func(ctx context.Context, key string) (V, error)
	// size is how large an answer is, and bytes how much all may have together; nil is
	// that nobody counts.
	size  func(V) int
	bytes int

	mu      sync.Mutex
	kept    map[string]answer[V]
	held    int // bytes
	running map[purposed]*call[V]
	// sweeping: a timer is set that drops what is too old.
	sweeping bool
}

// answer is a value, when it was asked for, and how large it is.
type answer[V any] struct {
	value V
	at    time.Time
	size  int
}

// purposed is a question and what it is asked for. A call that is made for an action may
// be allowed what one for a page is not.
type purposed struct {
	key     string
	purpose access.Purpose
}

// call is one that is under way, by the person who began it; its answer and error stand
// once done is closed. own is whether it failed since they had spent their part of a quota.
type call[V any] struct {
	answer[V]
	by   access.Principal
	err  error
	own  bool
	done chan struct{}
}

// New makes a Cache that keeps at most limit answers, each for at most MaxAge. load makes the call; it has
// timeout for it.
func New[V any](now func() time.Time, limit int, timeout time.Duration, load func(context.Context, string) (V, error)) *Cache[V] {
	return &Cache[V]{now: now, limit: limit, timeout: timeout, load: load, kept: map[string]answer[V]{}, running: map[purposed]*call[V]{}}
}

// Within bounds what is kept in bytes too, as size counts them, and returns c. It is to
// be called before c is used.
func (c *Cache[V]) Within(bytes int, size func(V) int) *Cache[V] {
	c.bytes, c.size = bytes, size
	return c
}

// Get returns a kept answer that was asked for after an instant, or that of a call
// that did not begin before it and that is made for as much (access.Purpose). A caller who
// gives up leaves the call to the others, and to the cache. Nobody is refused since somebody
// else has spent their part of a quota: they ask again in their own name.
func (c *Cache[V]) Get(ctx context.Context, key string, after time.Time) (V, error) {
	purpose, by := access.PurposeOf(ctx)
	var spent []access.Principal
	for {
		kept, call := c.join(ctx, key, after, purpose, by, spent)
		if call == nil {
			return kept.value, nil
		}
		select {
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		case <-call.done:
		}
		switch {
		case !call.own:
			return call.value, call.err
		case call.by == by:
			access.SpentOwnPart(ctx) // of what this is a part of, too
			return call.value, call.err
		}
		spent = append(spent, call.by)
	}
}

// join returns the answer that is kept; where there is none the call that is under way, or
// begins one if that would be too old, or is one of those who have spent their part. All is one
// look: between two a call may end, and would be made again.
func (c *Cache[V]) join(ctx context.Context, key string, after time.Time, purpose access.Purpose, by access.Principal,
	spent []access.Principal) (answer[V], *call[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := c.kept[key]; ok && a.at.After(after) {
		return a, nil
	}
	for p := purpose; p <= access.ForEnd; p++ {
		if call, ok := c.running[purposed{key, p}]; ok && !call.at.Before(after) && !slices.Contains(spent, call.by) {
			return answer[V]{}, call
		}
	}
	call := &call[V]{answer: answer[V]{at: c.now()}, by: by, done: make(chan struct{})}
	c.running[purposed{key, purpose}] = call
	go c.run(context.WithoutCancel(ctx), purposed{key, purpose}, call)
	return answer[V]{}, call
}

func (c *Cache[V]) run(ctx context.Context, question purposed, call *call[V]) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	ctx, ownPart := access.WatchOwnPart(ctx)
	call.value, call.err = c.guarded(ctx, question.key)
	call.own = call.err != nil && ownPart()
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.err == nil {
		c.keep(question.key, call.answer)
	}
	if c.running[question] == call {
		delete(c.running, question)
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
	after := c.now().Add(-maxAge)
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.kept[key]
	return a.value, a.at, ok && a.at.After(after)
}

// keep stores an answer, unless a younger one is there; a full store forgets its
// oldest.
func (c *Cache[V]) keep(key string, a answer[V]) {
	last, known := c.kept[key]
	if known && last.at.After(a.at) {
		return
	}
	if c.size != nil {
		a.size = len(key) + c.size(a.value)
	}
	c.drop(key)
	if c.size != nil && a.size > c.bytes {
		return // larger than everything may be
	}
	older := func(a, b string) int { return cmp.Or(c.kept[a].at.Compare(c.kept[b].at), cmp.Compare(a, b)) }
	for len(c.kept) > 0 && (len(c.kept) >= c.limit || c.size != nil && c.held+a.size > c.bytes) {
		c.drop(slices.MinFunc(slices.Collect(maps.Keys(c.kept)), older))
	}
	c.kept[key] = a
	c.held += a.size
	if !c.sweeping {
		c.sweeping = true
		time.AfterFunc(MaxAge, c.sweep)
	}
}

// Clear forgets every answer.
func (c *Cache[V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.kept)
	c.held = 0
}

func (c *Cache[V]) drop(key string) {
	c.held -= c.kept[key].size
	delete(c.kept, key)
}

// sweep drops what is too old, and comes again while there is something.
func (c *Cache[V]) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, a := range c.kept {
		if c.now().Sub(a.at) >= MaxAge {
			c.drop(key)
		}
	}
	if c.sweeping = len(c.kept) > 0; c.sweeping {
		time.AfterFunc(MaxAge/2, c.sweep)
	}
}
