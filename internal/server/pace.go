package server

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"jitaccess/internal/access"
)

// pace limits how fast each person may go, per instance of the service. Its memory
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
