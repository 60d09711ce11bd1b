package load_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger"
)

// slow is a home of which one read takes long.
type slow struct {
	ledger.Home
	held           atomic.Bool
	read, returned chan struct{}
}

func (s *slow) Load(ctx context.Context, id string) ([]ledger.Entry, error) {
	entries, err := s.Home.Load(ctx, id)
	if s.held.CompareAndSwap(false, true) {
		close(s.read)
		<-s.returned
	}
	return entries, err
}

// TestWhatASlowReadBringsIsNotBelieved: somebody reads a request before it is changed, and
// gets it after others have read how it is now. That refuses them nothing, and loses nothing
// of what they record.
func TestWhatASlowReadBringsIsNotBelieved(t *testing.T) {
	for what, c := range map[string]struct {
		role access.Role
		next func(access.Request) access.Event
		then access.State
	}{
		"an intent": {ofTwo, func(access.Request) access.Event { return access.Event{Action: access.RequestWithdrawn} }, access.Withdrawn},
		"a fact": {ofOne, func(r access.Request) access.Event {
			return access.Event{Action: access.GrantWritten, Window: r.Window, Outcomes: []access.Outcome{{Entitlement: r.Entitlements[0],
				Result: access.Granted, Window: r.Window}}}
		}, access.Active},
	} {
		t.Run(what, func(t *testing.T) {
			p := newPlatform()
			databases, drop := homes["SQLite"](t, 1)
			defer drop()
			other := p.instance(unrecorded{store(t, databases[0])})
			id, err := asked(t.Context(), other, 1, c.role)
			if err != nil {
				t.Fatal(err)
			}
			home := &slow{Home: databases[0], read: make(chan struct{}), returned: make(chan struct{})}
			s := store(t, home)
			opened := make(chan error)
			go func() {
				_, err := s.Open(t.Context(), id)
				opened <- err
			}()
			<-home.read
			if _, err := other.Decide(t.Context(), caller(ben), approval(id)); err != nil {
				t.Fatal(err)
			}
			r, err := s.Open(t.Context(), id)
			if err != nil || len(r.Decisions) != 1 {
				t.Fatal(r, err)
			}
			close(home.returned)
			if err := <-opened; err != nil {
				t.Fatal(err)
			}
			e := c.next(r)
			e.At, e.Caller, e.Request = time.Now(), caller(ana), r
			if _, err := s.Commit(t.Context(), e, nil); err != nil {
				t.Error(err)
			}
			if r, err := s.Open(t.Context(), id); err != nil || r.State != c.then {
				t.Errorf("%v, %v", r.State, err)
			}
		})
	}
}

// unrecorded is a store that never hears what became of a grant.
type unrecorded struct{ broker.Memory }

func (u unrecorded) Commit(ctx context.Context, e access.Event, notices []access.Notice) (string, error) {
	if e.Action == access.GrantWritten {
		return e.Request.ID, nil
	}
	return u.Memory.Commit(ctx, e, notices)
}
