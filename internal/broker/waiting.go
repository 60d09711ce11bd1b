package broker

import (
	"context"
	"slices"
	"sync"
	"time"
)

// waiting is who waits until a request is at another version, by its id and the version that
// they know. What this instance records wakes them at once. For what another one does, a single
// look at the ledger serves all of them: it is for versions by id, at most lookCount every
// lookEvery, in turn, however many wait.
type waiting struct {
	mu  sync.Mutex
	all map[string]map[int]*waited
	// looking: a goroutine looks, which ends when nobody waits.
	looking bool
	// after is the id up to which the last look got.
	after string
}

type waited struct {
	changed chan struct{}
	people  int
}

const (
	lookEvery = time.Second
	lookCount = 2000
	lookBatch = 500
)

// Changed returns when a request is at another version than that, or ctx is over. It may return
// sooner, so that the caller looks again; it says nothing of who may see it.
func (b *Broker) Changed(ctx context.Context, id string, version int) {
	m := b.memory()
	if m == nil {
		return
	}
	changed, leave := b.waiting.enter(id, version, func() { b.lookForChanges(m) })
	defer leave()
	select {
	case <-changed:
	case <-ctx.Done():
	}
}

// enter adds somebody who waits, and has look called in a goroutine unless one looks already.
func (w *waiting) enter(id string, version int, look func()) (changed <-chan struct{}, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.all[id]
	if of == nil {
		of = map[int]*waited{}
		w.all[id] = of
	}
	one := of[version]
	if one == nil {
		one = &waited{changed: make(chan struct{})}
		of[version] = one
	}
	one.people++
	if !w.looking {
		w.looking = true
		go look()
	}
	return one.changed, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if one.people--; one.people == 0 && w.all[id][version] == one {
			w.drop(id, version)
		}
	}
}

func (w *waiting) drop(id string, version int) {
	if delete(w.all[id], version); len(w.all[id]) == 0 {
		delete(w.all, id)
	}
}

// changed wakes everybody who waits for the request.
func (w *waiting) changed(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for version, one := range w.all[id] {
		close(one.changed)
		w.drop(id, version)
	}
}

// found wakes those who know another version than the one that was found.
func (w *waiting) found(versions map[string]int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, now := range versions {
		for version, one := range w.all[id] {
			if version != now {
				close(one.changed)
				w.drop(id, version)
			}
		}
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
	ids := make([]string, 0, len(w.all))
	for id := range w.all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
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
			b.waiting.found(versions)
		}
	}
}
