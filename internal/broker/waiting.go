package broker

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// waiting is who waits until a request is at another version than the one that they know, by
// its id. Nothing but an entry here waits with them. What this instance records wakes them at
// once. For what another one does, a single look at the ledger serves all of them: it is for
// versions by id, at most lookCount every lookEvery, in turn, however many wait.
type waiting struct {
	mu  sync.Mutex
	all map[string]map[*waiter]struct{}
	// looking: a goroutine looks, which ends when nobody waits.
	looking bool
	// after is the id up to which the last look got.
	after string
}

type waiter struct {
	version int
	wake    func()
}

const (
	lookEvery = time.Second
	lookCount = 2000
	lookBatch = 500
	// opensAtOnce is how many requests are opened at a time for applications: ten thousand that
	// come at once take turns, and do not make the store too slow for everybody.
	opensAtOnce = 16
)

// WhenChanged calls wake when a request is at another version than that, at most once, on a
// goroutine of somebody else, which wake must not keep. It may be called sooner, so that the
// caller looks again; it says nothing of who may see the request. After leave it is called no
// more, unless it is being called; leave must be called in any case.
func (b *Broker) WhenChanged(id string, version int, wake func()) (leave func()) {
	m := b.memory()
	if m == nil {
		return func() {}
	}
	w, one := &b.waiting, &waiter{version, wake}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all[id] == nil {
		w.all[id] = map[*waiter]struct{}{}
	}
	w.all[id][one] = struct{}{}
	if !w.looking {
		w.looking = true
		go b.lookForChanges(m)
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.drop(id, one)
	}
}

func (w *waiting) drop(id string, one *waiter) {
	if delete(w.all[id], one); len(w.all[id]) == 0 {
		delete(w.all, id)
	}
}

// unknownVersion is a version that nobody knows.
const unknownVersion = -1

// changed wakes those who wait for a request and know another version of it than now.
func (w *waiting) changed(id string, now int) {
	w.mu.Lock()
	var woken []*waiter
	for one := range w.all[id] {
		if one.version != now {
			w.drop(id, one)
			woken = append(woken, one)
		}
	}
	w.mu.Unlock()
	for _, one := range woken {
		one.wake()
	}
}

// next are the ids whose turn it is to be looked for; none, and nobody looks any more, when
// nobody waits.
func (w *waiting) next() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) == 0 {
		w.looking = false
		return nil
	}
	ids := slices.Sorted(maps.Keys(w.all))
	at, _ := slices.BinarySearch(ids, w.after+"\x00")
	ids = slices.Concat(ids[at:], ids[:at])
	ids = ids[:min(len(ids), lookCount)]
	w.after = ids[len(ids)-1]
	return ids
}

// lookForChanges looks until nobody waits. A ledger that cannot be asked is asked again: those
// who wait look themselves when their time is over.
func (b *Broker) lookForChanges(m Memory) {
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	for range every.C {
		ids := b.waiting.next()
		if ids == nil {
			return
		}
		for some := range slices.Chunk(ids, lookBatch) {
			versions, err := timed(b, context.Background(), func(ctx context.Context) (map[string]int, error) {
				return m.Versions(ctx, some)
			})
			if err != nil {
				break
			}
			for id, now := range versions {
				b.waiting.changed(id, now)
			}
		}
	}
}

// openInTurn opens a request as one of opensAtOnce.
func (b *Broker) openInTurn(ctx context.Context, id string) (access.Request, error) {
	select {
	case b.opening <- struct{}{}:
		defer func() { <-b.opening }()
		return b.open(ctx, id)
	case <-ctx.Done():
		return access.Request{}, ctx.Err()
	}
}
