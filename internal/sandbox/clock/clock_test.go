package clock_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/sandbox/clock"
)

func TestItGoesForwardAndNeverBackwards(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := clock.New(func() time.Time { return at })
	if err := c.Forward(t.Context(), 15*time.Minute); err != nil || !c.Now().Equal(at.Add(15*time.Minute)) || c.Ahead() != 15*time.Minute {
		t.Fatalf("%v, %v, %v", err, c.Now(), c.Ahead())
	}
	for d, want := range map[time.Duration]error{
		0: clock.ErrBackwards, -time.Second: clock.ErrBackwards, math.MinInt64: clock.ErrBackwards, math.MaxInt64: clock.ErrTooFar,
		clock.MaxAhead: clock.ErrTooFar, clock.MaxAhead - 15*time.Minute + 1: clock.ErrTooFar,
	} {
		if err := c.Forward(t.Context(), d); !errors.Is(err, want) {
			t.Errorf("%v: %v", d, err)
		}
		if c.Ahead() != 15*time.Minute {
			t.Fatalf("%v moved it to %v", d, c.Ahead())
		}
	}
	if err := c.Forward(t.Context(), clock.MaxAhead-15*time.Minute); err != nil {
		t.Error(err)
	}
}

// Who sleeps by the clock wakes by it, also of several steps, and those who have longer to sleep
// go on sleeping.
func TestSleepEndsWithTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.New(time.Now)
		began, short, long := time.Now(), make(chan error, 1), make(chan error, 1)
		go func() { short <- c.Sleep(t.Context(), time.Hour) }()
		go func() { long <- c.Sleep(t.Context(), 3*time.Hour) }()
		synctest.Wait()
		time.Sleep(10 * time.Minute)
		for range 2 {
			if err := c.Forward(t.Context(), 25*time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-short; err != nil || time.Since(began) > 20*time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := <-long; err != nil || time.Since(began) != 2*time.Hour+10*time.Minute {
			t.Errorf("the longer one: %v after %v", err, time.Since(began))
		}
	})
}

// Forward returns when what is done from time to time was done at the new time.
func TestForwardWaitsForWhatItWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		c := clock.New(time.Now)
		var done []time.Duration
		go func() {
			for c.Sleep(ctx, time.Minute) == nil {
				time.Sleep(time.Second) // it takes its time
				done = append(done, c.Ahead())
			}
		}()
		synctest.Wait()
		if err := c.Forward(ctx, time.Hour); err != nil {
			t.Fatal(err)
		}
		if len(done) != 1 || done[0] != time.Hour {
			t.Errorf("done at %v", done)
		}
	})
}

// On the way it stops where something happens, and what is done from time to time is done there.
func TestForwardStopsOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.New(time.Now)
		began := c.Now()
		var done []time.Duration
		go func() {
			for c.Sleep(t.Context(), time.Minute) == nil {
				done = append(done, c.Now().Sub(began))
			}
		}()
		synctest.Wait()
		stops := []time.Time{began.Add(-time.Hour), began.Add(20 * time.Minute), began.Add(30 * time.Minute), began.Add(2 * time.Hour)}
		if err := c.Forward(t.Context(), time.Hour, stops...); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{20 * time.Minute, 30 * time.Minute, time.Hour}; !slices.Equal(done, want) || c.Ahead() != time.Hour {
			t.Errorf("done at %v, want %v; it is %v ahead", done, want, c.Ahead())
		}
	})
}

// What never sleeps again keeps nobody waiting for long.
func TestForwardDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.New(time.Now)
		go c.Sleep(t.Context(), time.Minute)
		synctest.Wait()
		began := time.Now()
		if err := c.Forward(t.Context(), time.Hour); err != nil || time.Since(began) > 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

func TestSleepEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := clock.New(time.Now)
	if err := c.Sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := c.Forward(t.Context(), 2*time.Hour); err != nil {
		t.Error(err)
	}
}
