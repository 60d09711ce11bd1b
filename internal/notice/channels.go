package notice

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

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
	return cmp.Or(strings.Join(names, ", "), "none")
}

// Notify tells through all at the same time, so that one that hangs takes nothing
// from the others, and returns when the last has. What has no channel is not asked, and
// neither is one that the terms of the request leave out, that has nobody left to tell
// (Notice.Left), or that does not tell of everything where that is what happened.
func (c Channels) Notify(ctx context.Context, n access.Notice) access.Receipts {
	receipts := make([]access.Receipts, len(c))
	var wg sync.WaitGroup
	for i, each := range c {
		for _, channel := range each.Channels() {
			part, left := n.Through(channel.Name)
			if left && n.Request.Terms.Tells(channel) && (n.Kind != access.NoticeHappened || channel.Everything) {
				wg.Go(func() { receipts[i] = each.Notify(ctx, part) })
			}
		}
	}
	wg.Wait()
	return slices.Concat(receipts...)
}

// What administrators see of the account of a channel. Nothing in it is a secret.

// Setting is a setting of the account; Variables say where it comes from.
type Setting struct{ Name, Value, Variables string }

// Step is a step of a test message.
type Step struct {
	Name, Text string
	// Failure is nil for a step that was taken.
	Failure *Failure
}

// Attempt is what became of a notice for some of those to whom it was sent.
type Attempt struct {
	// At is when it began, and Took how long it took for all.
	At   time.Time
	Took time.Duration
	// Kind is what they were told, or TestMessage.
	Kind access.NoticeKind
	To   []string
	// Failure is nil when the channel took it.
	Failure *Failure
}

// TestMessage is the kind of what an administrator sends to see that a channel works.
const TestMessage access.NoticeKind = "test"

// Failure is why something could not be sent: where it went wrong and what was said
// there, what that means, and what puts it right. Err is for the log.
type Failure struct {
	What, Meaning, Remedy string
	Err                   error
}
