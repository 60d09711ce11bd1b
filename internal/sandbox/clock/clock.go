// Package clock is the time of the sandbox: that of another clock, moved forward on demand, so
// that one sees now what would happen later.
package clock

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// MaxAhead is how far a clock can be moved altogether. What is made for a real year, such as
// certificates, need not know of it.
const MaxAhead = 366 * 24 * time.Hour

// ErrBackwards is what a step is refused with that does not lead forward, and ErrTooFar one that
// leads beyond MaxAhead. Neither moves the clock.
var (
	ErrBackwards = errors.New("a clock does not go backwards")
	ErrTooFar    = errors.New("the clock does not go further ahead than a year")
)

// settling is how long Forward waits for what it has woken.
const settling = 5 * time.Second

// Clock may be used concurrently. Make one with New.
type Clock struct {
	base func() time.Time

	mu       sync.Mutex
	ahead    time.Duration
	sleepers map[*sleeper]bool
	// awake is how many were woken by the last step and have not gone back to sleep; quiet is
	// closed when it is none.
	awake int
	quiet chan struct{}
}

// sleeper is somebody in Sleep. left is how much of it is still to be slept.
type sleeper struct {
	left  time.Duration
	since time.Time
	timer *time.Timer
	wake  chan struct{}
}

// New makes a clock that shows what base does until it is moved.
func New(base func() time.Time) *Clock {
	return &Clock{base: base, sleepers: map[*sleeper]bool{}}
}

// Now is how late it is.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base().Add(c.ahead)
}

// Ahead is how far it was moved; zero is not at all.
func (c *Clock) Ahead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead
}

// Sleep returns after d, sooner by as much as the clock is moved meanwhile. It returns ctx's
// error when that ends first.
func (c *Clock) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	s := &sleeper{left: d, since: time.Now(), timer: timer, wake: make(chan struct{})}
	c.mu.Lock()
	c.sleepers[s] = true
	c.rest()
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.sleepers, s)
	}()
	select {
	case <-timer.C:
		return nil
	case <-s.wake:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rest counts somebody as asleep again. The lock is held.
func (c *Clock) rest() {
	if c.awake > 0 {
		if c.awake--; c.awake == 0 {
			close(c.quiet)
		}
	}
}

// Forward moves the clock by d, and stops on the way at each of the times that lie between, which
// are in order. At each it wakes who has slept long enough by it, and waits until as many sleep
// again: what is done from time to time is then done once at that time. It waits no longer than
// ctx, nor than a few seconds at each.
func (c *Clock) Forward(ctx context.Context, d time.Duration, stops ...time.Time) error {
	now, ahead := c.Now(), c.Ahead()
	switch {
	case d <= 0:
		return ErrBackwards
	case d > MaxAhead-ahead:
		return ErrTooFar
	}
	for _, stop := range append(slices.Clone(stops), now.Add(d)) {
		to := stop.Sub(now)
		if by := ahead + to - c.Ahead(); by > 0 && to <= d {
			c.step(ctx, by)
		}
	}
	return nil
}

// step moves the clock once.
func (c *Clock) step(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	select {
	case <-c.move(d):
	case <-ctx.Done():
	}
}

// move moves the clock, and returns what is closed when those that it has woken sleep again.
func (c *Clock) move(d time.Duration) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
	quiet := make(chan struct{})
	c.awake, c.quiet = 0, quiet
	for s := range c.sleepers {
		s.left -= d
		if rest := s.left - time.Since(s.since); rest > 0 {
			s.timer.Reset(rest)
			continue
		}
		c.awake++
		delete(c.sleepers, s)
		close(s.wake)
	}
	if c.awake == 0 {
		close(quiet)
	}
	return quiet
}
