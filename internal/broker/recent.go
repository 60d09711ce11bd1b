package broker

import (
	"context"
	"maps"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// recent makes an ask that is sent twice one ask: those at the same time share a
// result, and one that succeeded is remembered for a while. It is of this instance
// only; across instances the provider's idempotency holds for grants, and two mails
// of one request carry the same Message-ID.
type recent struct {
	now  func() time.Time
	mu   sync.Mutex
	made map[string]*made
}

type made struct {
	done  chan struct{}
	at    time.Time
	asked Asked
	err   error
}

// recentTime and recentCount bound what is remembered.
const (
	recentTime  = 10 * time.Minute
	recentCount = 1000
)

// do runs ask once for equal requests. The key covers everything that was asked, so
// a form that was corrected and sent again is a new ask.
func (m *recent) do(ctx context.Context, r access.Request, ask func() (Asked, error)) (Asked, error) {
	key := r.Digest()
	m.mu.Lock()
	if m.made == nil {
		m.made = map[string]*made{}
	}
	maps.DeleteFunc(m.made, func(_ string, v *made) bool { return m.now().Sub(v.at) > recentTime })
	if before, ok := m.made[key]; ok {
		m.mu.Unlock()
		select {
		case <-before.done:
			return before.asked, before.err
		case <-ctx.Done():
			return Asked{Request: r}, access.AsError(ctx.Err())
		}
	}
	mine := &made{done: make(chan struct{}), at: m.now()}
	if len(m.made) < recentCount {
		m.made[key] = mine
	}
	m.mu.Unlock()

	// Until ask has returned, this is what the others hear should it panic.
	mine.err = &access.Error{Kind: access.Internal, Code: access.CodeInternal}
	defer func() {
		if mine.err != nil {
			m.mu.Lock()
			delete(m.made, key)
			m.mu.Unlock()
		}
		close(mine.done)
	}()
	mine.asked, mine.err = ask()
	return mine.asked, mine.err
}
