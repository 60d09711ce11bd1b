package broker

import (
	"context"
	"sync"
	"time"
)

// changes wakes who waits for a request to change. What this process changes wakes at once;
// what another one does is found by looking, which all who wait do as seldom together as
// looksPerSecond says, and each as often as leastLook at most: so the ledger is asked for
// little, however many wait.
type changes struct {
	mu      sync.Mutex
	of      map[string]*waited
	waiting int
	// least is leastLook, but in tests.
	least time.Duration
}

// waited is a request for whose change somebody waits.
type waited struct {
	changed chan struct{}
	waiting int
}

const (
	leastLook      = 2 * time.Second
	looksPerSecond = 50
)

// await returns what is closed when the request changes, and how long to wait before looking;
// leave must be called.
func (c *changes) await(id string) (changed <-chan struct{}, look time.Duration, leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.of[id]
	if w == nil {
		w = &waited{changed: make(chan struct{})}
		c.of[id] = w
	}
	w.waiting++
	c.waiting++
	return w.changed, max(c.least, time.Duration(c.waiting)*time.Second/looksPerSecond), func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.waiting--
		if w.waiting--; w.waiting == 0 && c.of[id] == w {
			delete(c.of, id)
		}
	}
}

// wake says that a request has changed.
func (c *changes) wake(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.of[id]; w != nil {
		close(w.changed)
		delete(c.of, id)
	}
}

// Changed returns when the request is at another version than that, or ctx is over, or the
// store cannot be asked. It may return sooner, so that callers look themselves. A change that
// another process makes is found within seconds, or the later the more wait.
func (b *Broker) Changed(ctx context.Context, id string, version int) {
	for {
		changed, pause, leave := b.changes.await(id)
		// It may have changed before anybody waited for that.
		if r, err := b.open(ctx, id); err != nil || r.Version != version {
			leave()
			return
		}
		timer := time.NewTimer(pause)
		woken := false
		select {
		case <-changed:
			woken = true
		case <-ctx.Done():
			woken = true
		case <-timer.C:
		}
		timer.Stop()
		leave()
		if woken {
			return
		}
	}
}
