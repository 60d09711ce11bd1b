package server

import (
	"container/list"
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"jitaccess/internal/access"
)

// pace limits how fast each person may go, or each application by its name, per instance of the service. Its memory
// is bounded: people are kept in two generations, and when the younger is full the
// elder is forgotten.
type pace struct {
	limit rate.Limit
	burst int

	mu             sync.Mutex
	younger, elder map[access.Principal]*rate.Limiter
}

// maxPaced is how many people a generation holds.
const maxPaced = 5000

// How fast a person may go, per second in the long run and at once. Opening a page
// is several reads; a change may send mail to ten people; a test of the mail account
// always sends one.
const (
	readsPerSecond, readsAtOnce     = 20, 100
	changesPerSecond, changesAtOnce = 0.5, 30
	testsPerSecond, testsAtOnce     = 0.1, 5
)

// How fast an application may go: what it asks for is told to people; what else it does, for
// all those who wait, is not.
const (
	asksPerSecond, asksAtOnce   = 2, 100
	pollsPerSecond, pollsAtOnce = 100, 1000
)

// newPace allows burst at once and perSecond in the long run.
func newPace(perSecond float64, burst int) *pace {
	return &pace{limit: rate.Limit(perSecond), burst: burst, younger: map[access.Principal]*rate.Limiter{}}
}

func (p *pace) allow(who access.Principal, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.younger[who]
	if l == nil {
		if l = p.elder[who]; l == nil {
			l = rate.NewLimiter(p.limit, p.burst)
		}
		if len(p.younger) >= maxPaced {
			p.elder, p.younger = p.younger, map[access.Principal]*rate.Limiter{}
		}
		p.younger[who] = l
	}
	return l.AllowN(now, 1)
}

// turns lets each person have only so many requests in flight, per instance of the
// service; others of theirs wait. It remembers those alone who have some.
type turns struct {
	atOnce int
	mu     sync.Mutex
	of     map[access.Principal]*turn
}

// turn is one person's: a place for each request that is served, and how many are
// served or wait.
type turn struct {
	places   chan struct{}
	requests int
}

// atOnce is how many requests of one person are served at a time, and patience how long
// others wait for them. Opening a page is one; what it loads is not behind identity.
// waitingAtOnce is how many of one person's pages may wait for what happens next, which
// takes none of the places of the others.
const (
	atOnce        = 8
	waitingAtOnce = 6
	patience      = 3 * time.Second
)

func newTurns(atOnce int) *turns { return &turns{atOnce: atOnce, of: map[access.Principal]*turn{}} }

// take waits until another request may be served; done must be called then. It is
// false, and done nil, when that takes longer than patience or ctx is over.
func (t *turns) take(ctx context.Context, who access.Principal) (done func(), ok bool) {
	t.mu.Lock()
	mine := t.of[who]
	if mine == nil {
		mine = &turn{places: make(chan struct{}, t.atOnce)}
		t.of[who] = mine
	}
	mine.requests++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.requests--; mine.requests == 0 {
			delete(t.of, who)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case mine.places <- struct{}{}:
		return func() { <-mine.places; leave() }, true
	case <-ctx.Done():
		leave()
		return nil, false
	}
}

// places are for those who wait, per instance of the service. When all are taken, somebody
// who holds fewer than another gets one of theirs, so that few cannot keep all.
type places struct {
	most  int
	mu    sync.Mutex
	taken int
	// of are the places of each, the oldest first: what to call when one goes to somebody else.
	of map[access.Principal]*list.List
}

func newPlaces(most int) *places {
	return &places{most: most, of: map[access.Principal]*list.List{}}
}

// take takes a place. gone is called when it goes to somebody else, and must not take or leave
// one; leave must be called in any case. It is nil where there is no place: nobody holds two more
// than who asks.
func (p *places) take(who access.Principal, gone func()) (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[who] == nil {
		p.of[who] = list.New()
	}
	mine := p.of[who]
	if p.taken >= p.most {
		richest := who
		for other, held := range p.of {
			if held.Len() > p.of[richest].Len() {
				richest = other
			}
		}
		oldest := p.of[richest].Front()
		if p.of[richest].Len() < mine.Len()+2 {
			p.give(who, nil)
			return nil
		}
		p.give(richest, oldest)
		oldest.Value.(func())()
	}
	place := mine.PushBack(gone)
	p.taken++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.give(who, place)
	}
}

// give gives a place back, if it is still held.
func (p *places) give(who access.Principal, place *list.Element) {
	held := p.of[who]
	if held == nil {
		return
	}
	before := held.Len()
	if place != nil {
		held.Remove(place)
	}
	if p.taken -= before - held.Len(); held.Len() == 0 {
		delete(p.of, who)
	}
}
