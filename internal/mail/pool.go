package mail

import (
	"context"
	"slices"
	"sync"
	"time"
)

// idleTime is how long a connection is kept for the next message. Cloud Run may stop
// a process between requests for much longer, so the time is also looked at when
// the connection is taken.
const idleTime = 10 * time.Second

// pool keeps connections to the mail server, logged in: no more than max at once. A
// burst of messages goes over connections that are open already, and whoever comes
// when all are busy gets the next that is given back.
type pool struct {
	open      func(context.Context) (*session, error)
	max       int
	now       func() time.Time
	afterFunc func(time.Duration, func()) (stop func() bool)

	mutex sync.Mutex
	// count is how many connections there are, those included that are being opened.
	count int
	idle  []*resting // the one that was used last is last
	// waiting are those who get the next connection, or nil: leave to open one.
	waiting []chan *session
	closed  bool
}

type resting struct {
	*session
	until time.Time
	wake  func() bool
}

// take returns a connection that is that of ctx until it is given back.
func (p *pool) take(ctx context.Context) (*session, error) {
	s, err := p.find(ctx)
	if err != nil {
		return nil, fault(ctx, atConnect, err)
	}
	if s != nil {
		s.begin(ctx)
		return s, nil
	}
	if s, err = p.open(ctx); err != nil {
		p.pass(nil)
	}
	return s, err
}

// find returns a connection that is open, or nil and the leave to open one. Whoever
// has no time left would only have it closed.
func (p *pool) find(ctx context.Context) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mutex.Lock()
	for len(p.idle) > 0 {
		r := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		r.wake()
		if p.now().Before(r.until) {
			p.mutex.Unlock()
			return r.session, nil
		}
		p.count--
		r.conn.Close()
	}
	if p.count < p.max {
		p.count++
		p.mutex.Unlock()
		return nil, nil
	}
	turn := make(chan *session, 1)
	p.waiting = append(p.waiting, turn)
	p.mutex.Unlock()

	select {
	case s := <-turn:
		return s, nil
	case <-ctx.Done():
	}
	p.mutex.Lock()
	at := slices.Index(p.waiting, turn)
	if at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
	}
	p.mutex.Unlock()
	if at < 0 {
		// It has been given to us just now.
		p.pass(<-turn)
	}
	return nil, ctx.Err()
}

// give takes a connection back. Nothing is said on it for its old owner any more.
func (p *pool) give(s *session) {
	if untouched := s.stop(); s.broken || !untouched {
		s.conn.Close()
		p.pass(nil)
		return
	}
	s.used = true
	p.pass(s)
}

// pass hands a connection, or nil, to whoever waits. If nobody does, the connection
// rests, and nil makes room for another.
func (p *pool) pass(s *session) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	switch {
	case len(p.waiting) > 0:
		p.waiting[0] <- s
		p.waiting = p.waiting[1:]
	case s == nil:
		p.count--
	case p.closed:
		p.count--
		go s.quit()
	default:
		r := &resting{session: s, until: p.now().Add(idleTime)}
		r.wake = p.afterFunc(idleTime, func() { p.retire(r) })
		p.idle = append(p.idle, r)
	}
}

// retire ends a connection that has rested for long enough.
func (p *pool) retire(r *resting) {
	p.mutex.Lock()
	at := slices.Index(p.idle, r)
	if at >= 0 {
		p.idle = slices.Delete(p.idle, at, at+1)
		p.count--
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
	p.count -= len(idle)
	p.mutex.Unlock()
	var quitting sync.WaitGroup
	for _, r := range idle {
		r.wake()
		quitting.Go(r.quit)
	}
	quitting.Wait()
}
