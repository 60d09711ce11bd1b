package server

import (
	"context"
	"slices"
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

// places are for pages that wait, per instance of the service. When all are taken, a person
// who holds fewer than somebody else gets one of theirs, so that few people cannot keep all.
type places struct {
	most  int
	mu    sync.Mutex
	taken int
	of    map[access.Principal][]chan struct{}
}

func newPlaces(most int) *places {
	return &places{most: most, of: map[access.Principal][]chan struct{}{}}
}

// take returns what is closed when the place goes to somebody else; leave must be called
// in any case. It is nil where there is no place: nobody holds two more than who asks.
func (p *places) take(who access.Principal) (gone <-chan struct{}, leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.most {
		var richest access.Principal
		for other, held := range p.of {
			if len(held) > len(p.of[richest]) {
				richest = other
			}
		}
		if len(p.of[richest]) < len(p.of[who])+2 {
			return nil, nil
		}
		oldest := p.of[richest][0]
		p.give(richest, oldest)
		close(oldest)
	}
	mine := make(chan struct{})
	p.of[who] = append(p.of[who], mine)
	p.taken++
	return mine, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.give(who, mine)
	}
}

// give gives a place back, if it is still held.
func (p *places) give(who access.Principal, place chan struct{}) {
	held := slices.DeleteFunc(slices.Clone(p.of[who]), func(c chan struct{}) bool { return c == place })
	p.taken -= len(p.of[who]) - len(held)
	if p.of[who] = held; len(held) == 0 {
		delete(p.of, who)
	}
}
