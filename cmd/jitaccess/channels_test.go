package main

import (
	"context"
	"errors"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

var _ broker.Notifier = channels(nil)

// notifier is a channel in memory. Where meet is not nil it goes on only when the
// other side of meet does too, or ctx ends.
type notifier struct {
	off    bool
	failed []access.Undelivered
	meet   chan struct{}
	told   int
}

func (n *notifier) Enabled() bool { return !n.off }

func (n *notifier) Notify(ctx context.Context, _ access.Notice) []access.Undelivered {
	n.told++
	if n.meet != nil {
		select {
		case n.meet <- struct{}{}:
		case <-n.meet:
		case <-ctx.Done():
			return []access.Undelivered{{Channel: "alone", Err: ctx.Err()}}
		}
	}
	return n.failed
}

func TestChannels(t *testing.T) {
	bounced := access.Undelivered{To: "ben@example.com", Channel: "mail", Err: errors.New("550")}
	unheard := access.Undelivered{Channel: "pubsub", Err: errors.New("403")}
	for _, c := range []struct {
		name         string
		mail, pubsub notifier
		on           string
		failed       int
	}{
		{"both", notifier{}, notifier{}, "mail, pubsub", 0},
		{"Pub/Sub alone", notifier{off: true}, notifier{}, "pubsub", 0},
		{"mail alone", notifier{}, notifier{off: true}, "mail", 0},
		{"neither", notifier{off: true}, notifier{off: true}, "none", 0},
		{"one fails", notifier{failed: []access.Undelivered{bounced}}, notifier{}, "mail, pubsub", 1},
		{"both fail", notifier{failed: []access.Undelivered{bounced, bounced}}, notifier{failed: []access.Undelivered{unheard}}, "mail, pubsub", 3},
		{"what is off is not asked", notifier{failed: []access.Undelivered{bounced}, off: true}, notifier{}, "pubsub", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := channels{{"mail", &c.mail}, {"pubsub", &c.pubsub}}
			if all.String() != c.on || all.Enabled() != (c.on != "none") {
				t.Errorf("on: %s, enabled %t", all, all.Enabled())
			}
			failed := all.Notify(t.Context(), access.Notice{})
			if len(failed) != c.failed {
				t.Errorf("could not tell %v", failed)
			}
			if c.mail.off && c.mail.told > 0 || !c.pubsub.off && c.pubsub.told != 1 {
				t.Errorf("mail was asked %d times, Pub/Sub %d times", c.mail.told, c.pubsub.told)
			}
		})
	}
}

// Each waits for the other: in sequence both would fail.
func TestChannelsTellAtTheSameTime(t *testing.T) {
	meet := make(chan struct{})
	all := channels{{"mail", &notifier{meet: meet}}, {"pubsub", &notifier{meet: meet}}}
	if failed := all.Notify(t.Context(), access.Notice{}); failed != nil {
		t.Error(failed)
	}
}

// A channel that hangs ends with the deadline, and the others have told by then.
func TestAChannelThatHangsTakesNothingFromTheOthers(t *testing.T) {
	ctx, over := context.WithCancel(t.Context())
	quick := &notifier{}
	all := channels{{"slow", &notifier{meet: make(chan struct{})}}, {"quick", quick}, {"last", &ender{over}}}
	if failed := all.Notify(ctx, access.Notice{}); len(failed) != 1 || failed[0].Channel != "alone" || quick.told != 1 {
		t.Errorf("%v; the other was asked %d times", failed, quick.told)
	}
}

// ender ends the time that there is.
type ender struct{ over context.CancelFunc }

func (ender) Enabled() bool { return true }

func (e ender) Notify(context.Context, access.Notice) []access.Undelivered {
	e.over()
	return nil
}
