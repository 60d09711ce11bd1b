package login

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"jitaccess/internal/lookup"
)

const (
	// endedAge is how long another instance may let in whoever has logged out here.
	endedAge = 15 * time.Second
	// endedTimeout bounds asking whether somebody has.
	endedTimeout = 2 * time.Second
	// maxEndings bounds what is kept of sessions that last and of those that were ended.
	maxEndings = 10_000
)

// endings are the sessions that were ended: those that this instance has ended itself, and
// those that Sessions knows of.
type endings struct {
	c     Config
	known *lookup.Cache[bool] // nil without Sessions

	mu  sync.Mutex
	own map[string]time.Time // until when
}

func newEndings(c Config) *endings {
	e := &endings{c: c, own: map[string]time.Time{}}
	if c.Sessions != nil {
		e.known = lookup.New(c.Now, maxEndings, endedTimeout, e.ask)
	}
	return e
}

// ask returns what Sessions says. Where that cannot be had a session counts as one that
// lasts, as it does without Sessions: what works while the ledger is out of reach, such as
// breaking the glass, needs somebody who is identified.
func (e *endings) ask(ctx context.Context, id string) (bool, error) {
	ended, err := e.c.Sessions.SessionEnded(ctx, id)
	if err != nil {
		e.c.Warn(fmt.Errorf("nobody knows whether a session was ended; it counts as one that lasts: %w", err))
	}
	return ended && err == nil, nil
}

func (e *endings) ended(ctx context.Context, id string) bool {
	e.mu.Lock()
	_, own := e.own[id]
	e.mu.Unlock()
	if own || e.known == nil {
		return own
	}
	// The answer is also for those who come after this one.
	ended, err := e.known.Get(ctx, id, e.c.Now().Add(-endedAge))
	return ended && err == nil
}

// errFull: it is not kept here, and nowhere else.
var errFull = errors.New("too many sessions were ended here to keep another")

// end ends a session, and says whether nobody has done so before: on any instance with Sessions,
// else on this one. What cannot be kept was ended before, for whom it matters.
func (e *endings) end(ctx context.Context, id string, until time.Time) (first bool, err error) {
	e.mu.Lock()
	if len(e.own) >= maxEndings {
		now := e.c.Now()
		maps.DeleteFunc(e.own, func(_ string, until time.Time) bool { return !until.After(now) })
	}
	_, own := e.own[id]
	if first = !own && len(e.own) < maxEndings; first {
		e.own[id] = until
	}
	e.mu.Unlock()
	switch {
	case e.c.Sessions != nil:
	case !first && !own:
		return false, errFull
	default:
		return first, nil
	}
	firstOfAll, err := e.c.Sessions.EndSession(ctx, id, until)
	return first && firstOfAll && err == nil, err
}
