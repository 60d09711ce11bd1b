package main

import (
	"context"
	"strings"
	"sync"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// channel is one way to tell of something, with its name for the log.
type channel struct {
	name string
	broker.Notifier
}

// channels are all of them behind the one port of the broker.
type channels []channel

// Enabled is whether any is.
func (c channels) Enabled() bool { return c.String() != none }

const none = "none"

// String names those that are on.
func (c channels) String() string {
	var on []string
	for _, each := range c {
		if each.Enabled() {
			on = append(on, each.name)
		}
	}
	if on == nil {
		return none
	}
	return strings.Join(on, ", ")
}

// Notify tells through all at the same time, so that one that hangs takes nothing
// from the others, and returns when the last has.
func (c channels) Notify(ctx context.Context, n access.Notice) []access.Undelivered {
	failed := make([][]access.Undelivered, len(c))
	var wg sync.WaitGroup
	for i, each := range c {
		if each.Enabled() {
			wg.Go(func() { failed[i] = each.Notify(ctx, n) })
		}
	}
	wg.Wait()
	var all []access.Undelivered
	for _, f := range failed {
		all = append(all, f...)
	}
	return all
}
