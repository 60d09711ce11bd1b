package notice

import (
	"context"
	"slices"
	"strings"
	"sync"

	"jitaccess/internal/access"
)

// Notifier is one channel, or several; see broker.Notifier, which it is.
type Notifier interface {
	Channels() []access.Channel
	Notify(ctx context.Context, n access.Notice) access.Receipts
}

// Channels are several as one. It implements Notifier.
type Channels []Notifier

// Channels are those of all.
func (c Channels) Channels() []access.Channel {
	var all []access.Channel
	for _, each := range c {
		all = append(all, each.Channels()...)
	}
	return all
}

// String names them, for the log; "none" when there is none.
func (c Channels) String() string {
	var names []string
	for _, channel := range c.Channels() {
		names = append(names, channel.Name)
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Notify tells through all at the same time, so that one that hangs takes nothing
// from the others, and returns when the last has. What has no channel is not asked.
func (c Channels) Notify(ctx context.Context, n access.Notice) access.Receipts {
	receipts := make([]access.Receipts, len(c))
	var wg sync.WaitGroup
	for i, each := range c {
		if len(each.Channels()) > 0 {
			wg.Go(func() { receipts[i] = each.Notify(ctx, n) })
		}
	}
	wg.Wait()
	return slices.Concat(receipts...)
}
