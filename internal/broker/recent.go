package broker

import (
	"context"
	"maps"
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
	made map[string]*made[T]
}

type made[T any] struct {
	done   chan struct{}
	at     time.Time
	result T
	err    error
}

// recentTime and recentCount bound what is remembered: a link lives an hour unless
// an operator says otherwise.
const (
	recentTime  = time.Hour
	recentCount = 1000
)

// do runs act once for equal keys. The key covers everything that was sent, so a
// form that was corrected and sent again is a new action.
func (m *recent[T]) do(ctx context.Context, key string, act func() (T, error)) (T, error) {
	m.mu.Lock()
	maps.DeleteFunc(m.made, func(_ string, v *made[T]) bool { return m.now().Sub(v.at) > recentTime })
	if before, ok := m.made[key]; ok {
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
	if len(m.made) < recentCount {
		m.made[key] = mine
	}
	m.mu.Unlock()

	// Until act has returned, this is what the others hear should it panic.
	mine.err = &access.Error{Kind: access.Internal, Code: access.CodeInternal}
	defer func() {
		if mine.err != nil {
			m.mu.Lock()
			delete(m.made, key)
			m.mu.Unlock()
		}
		close(mine.done)
	}()
	mine.result, mine.err = act()
	return mine.result, mine.err
}

// forget drops the results that are no longer so.
func (m *recent[T]) forget(gone func(T) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.made, func(_ string, v *made[T]) bool {
		select {
		case <-v.done:
			return gone(v.result)
		default:
			return false
		}
	})
}
