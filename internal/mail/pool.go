package mail

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// idleTime is how long a connection is kept for the next message. Cloud Run may stop
// a process between requests for much longer, so the time is also looked at when
// the connection is taken.
const idleTime = 10 * time.Second

// pool keeps connections to the mail server, logged in. A burst of messages goes over
// connections that are open already, and who comes when all are busy waits for the next.
type pool struct {
	open      func(context.Context) (*session, error)
	now       func() time.Time
	afterFunc func(time.Duration, func()) (stop func() bool)
	// turns is one for each connection that may be in use at once, in the order in which
	// they are asked for. None is opened while one rests, and one that rests does so before
	// its turn is given back, so that there are never more connections than turns.
	turns *semaphore.Weighted

	mutex  sync.Mutex
	idle   []*resting // the one that was used last is last
	closed bool
}

type resting struct {
	*session
	until time.Time
	wake  func() bool
}

// take returns a connection that is that of ctx until it is given back. Whoever has no
// time left gets none: it would only be closed.
func (p *pool) take(ctx context.Context) (*session, error) {
	if err := p.turns.Acquire(ctx, 1); err != nil {
		return nil, fault(ctx, atConnect, err)
	}
	if s := p.wake(); s != nil {
		s.begin(ctx)
		return s, nil
	}
	s, err := p.open(ctx)
	if err != nil {
		p.turns.Release(1)
	}
	return s, err
}

// wake returns a connection that has rested, or nil.
func (p *pool) wake() *session {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for len(p.idle) > 0 {
		r := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		r.wake()
		if p.now().Before(r.until) {
			return r.session
		}
		r.conn.Close()
	}
	return nil
}

// give takes a connection back. Nothing is said on it for its old owner any more.
func (p *pool) give(s *session) {
	untouched := s.stop()
	p.mutex.Lock()
	defer p.mutex.Unlock()
	switch {
	case s.broken || !untouched:
		s.conn.Close()
	case p.closed:
		go func() {
			s.quit()
			p.turns.Release(1)
		}()
		return
	default:
		s.used = true
		r := &resting{session: s, until: p.now().Add(idleTime)}
		r.wake = p.afterFunc(idleTime, func() { p.retire(r) })
		p.idle = append(p.idle, r)
	}
	p.turns.Release(1)
}

// retire ends a connection that has rested for long enough.
func (p *pool) retire(r *resting) {
	p.mutex.Lock()
	at := slices.Index(p.idle, r)
	if at >= 0 {
		p.idle = slices.Delete(p.idle, at, at+1)
	}
	p.mutex.Unlock()
	if at >= 0 {
		r.quit()
	}
}

// close ends the connections that rest, and keeps none from now on.
func (p *pool) close() {
	p.mutex.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mutex.Unlock()
	var quitting sync.WaitGroup
	for _, r := range idle {
		r.wake()
		quitting.Go(r.quit)
	}
	quitting.Wait()
}
