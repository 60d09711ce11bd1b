package broker

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// recent makes an action that is sent twice one action: those at the same time
// share a result, and one that succeeded is remembered for a while. It is of this
// instance only; across instances the provider's idempotency holds for grants, and
// two mails of one request carry the same Message-ID. It is not the store's: what is
// shared is the whole answer of an action that still runs, warnings and all.
type recent[T any] struct {
	now  func() time.Time
	mu   sync.Mutex
	made map[action]*made[T]
}

// action is what somebody sent.
type action struct {
	by  access.Principal
	key string
}

type made[T any] struct {
	done   chan struct{}
	at     time.Time
	result T
	err    error
}

func newRecent[T any](now func() time.Time) recent[T] {
	return recent[T]{now: now, made: map[action]*made[T]{}}
}

// What is remembered: for recentTime, of one person recentOfOne at most and of all
// recentCount. The oldest goes first.
const (
	recentTime  = time.Hour
	recentOfOne = 50
	recentCount = 2000
)

// do runs act once for equal keys of a person. The key covers everything that was sent,
// so a form that was corrected and sent again is a new action.
func (m *recent[T]) do(ctx context.Context, by access.Principal, key string, act func() (T, error)) (T, error) {
	this := action{by, key}
	m.mu.Lock()
	maps.DeleteFunc(m.made, func(_ action, v *made[T]) bool { return m.now().Sub(v.at) > recentTime })
	if before, ok := m.made[this]; ok {
		m.mu.Unlock()
		select {
		case <-before.done:
			return before.result, before.err
		case <-ctx.Done():
			var none T
			return none, access.AsError(ctx.Err())
		}
	}
	mine := &made[T]{done: make(chan struct{}), at: m.now()}
	if m.room(recentOfOne, func(a action) bool { return a.by == by }) && m.room(recentCount, func(action) bool { return true }) {
		m.made[this] = mine
	}
	m.mu.Unlock()

	// Until act has returned, this is what the others hear should it panic.
	mine.err = &access.Error{Kind: access.Internal, Code: access.CodeInternal}
	defer func() {
		if mine.err != nil {
			m.mu.Lock()
			if m.made[this] == mine {
				delete(m.made, this)
			}
			m.mu.Unlock()
		}
		close(mine.done)
	}()
	mine.result, mine.err = act()
	return mine.result, mine.err
}

// room is whether there is room for one more of those that count, after the oldest that
// is done has gone if need be.
func (m *recent[T]) room(most int, counts func(action) bool) bool {
	var all, done []action
	for a, v := range m.made {
		if !counts(a) {
			continue
		}
		all = append(all, a)
		select {
		case <-v.done:
			done = append(done, a)
		default:
		}
	}
	if len(all) < most {
		return true
	}
	if len(done) == 0 {
		return false
	}
	delete(m.made, slices.MinFunc(done, func(a, b action) int { return m.made[a].at.Compare(m.made[b].at) }))
	return true
}

// forget drops the results that are no longer so.
func (m *recent[T]) forget(gone func(T) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.made, func(_ action, v *made[T]) bool {
		select {
		case <-v.done:
			return gone(v.result)
		default:
			return false
		}
	})
}
