package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/access"
)

// Leasing is a store of which one caller at a time, over all instances, may hold a name
// (ledger.Store.Lease).
type Leasing interface {
	Lease(ctx context.Context, name string, life time.Duration) (release func(context.Context) error, err error)
}

// Lives and waits of real time, since a lease ends by the clock of the home: one that lasts
// for the whole test, one that is over while a test waits for it, and how long it is waited
// in vain.
const (
	longLife  = time.Minute
	briefLife = 20 * time.Millisecond
	inVain    = 250 * time.Millisecond
)

// RunLease runs the suite. New returns two instances of one store, whose own clocks may
// differ.
func RunLease(t *testing.T, New func(t *testing.T) (one, again Leasing)) {
	hold := func(t *testing.T, l Leasing, name string, life time.Duration) func(context.Context) error {
		t.Helper()
		release, err := l.Lease(t.Context(), name, life)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	held := func(t *testing.T, l Leasing, name string) {
		t.Helper()
		for wait := inVain; ; wait *= 2 {
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			_, err := l.Lease(ctx, name, longLife)
			late := ctx.Err() != nil
			cancel()
			e := access.AsError(err)
			if late && err != nil && e.Code == access.CodeLedgerUnavailable && wait < longLife/10 {
				continue // the home is so slow that it could not be asked once
			}
			if err == nil || e.Kind != access.Unavailable || e.Code != access.CodeLeaseHeld {
				t.Errorf("of what another holds: %v", err)
			}
			return
		}
	}
	t.Run("one at a time holds a name", func(t *testing.T) {
		one, again := New(t)
		var inside, times atomic.Int32
		var all sync.WaitGroup
		for i := range 6 {
			l := one
			if i%2 == 1 {
				l = again
			}
			all.Go(func() {
				release, err := l.Lease(t.Context(), "cluster", longLife)
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two hold it")
				}
				times.Add(1)
				inside.Add(-1)
				if err := release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if times.Load() != 6 {
			t.Errorf("%d of 6 held it", times.Load())
		}
	})
	t.Run("names have nothing to do with one another", func(t *testing.T) {
		one, again := New(t)
		hold(t, one, "a", longLife)
		release := hold(t, again, "b", longLife)
		held(t, again, "a")
		if err := release(t.Context()); err != nil {
			t.Fatal(err)
		}
		held(t, again, "a")
		hold(t, one, "b", longLife)
	})
	t.Run("what one that died held ends by itself, and its late release takes nothing from the next", func(t *testing.T) {
		one, again := New(t)
		late := hold(t, one, "cluster", briefLife)
		hold(t, again, "cluster", longLife)
		if err := late(t.Context()); err != nil {
			t.Error(err)
		}
		held(t, one, "cluster")
	})
	t.Run("whose time was over before holds nothing", func(t *testing.T) {
		one, again := New(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := one.Lease(ctx, "cluster", longLife)
		if e := access.AsError(err); err == nil || e.Kind != access.Unavailable || !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		hold(t, again, "cluster", longLife)
	})
	t.Run("clocks of instances have no say", func(t *testing.T) {
		one, again := New(t)
		release := hold(t, one, "cluster", longLife/2)
		held(t, again, "cluster")
		if err := release(t.Context()); err != nil {
			t.Fatal(err)
		}
		hold(t, again, "cluster", longLife/2)
		held(t, one, "cluster")
	})
}
