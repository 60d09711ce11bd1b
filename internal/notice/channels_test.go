package notice_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/notice"
)

var _ broker.Notifier = notice.Channels(nil)

// notifier is a channel in memory. Where meet is not nil it goes on only when the
// other side of meet does too, or ctx ends.
type notifier struct {
	name       string
	off        bool
	everything bool
	failed     access.Receipts
	meet       chan struct{}
	told       int
}

func (n *notifier) Channels() []access.Channel {
	if n.off {
		return nil
	}
	return []access.Channel{{Name: n.name, Everything: n.everything}}
}

func (n *notifier) Notify(ctx context.Context, _ access.Notice) access.Receipts {
	n.told++
	if n.meet != nil {
		select {
		case n.meet <- struct{}{}:
		case <-n.meet:
		case <-ctx.Done():
			return access.Receipts{{Channel: "alone", Err: ctx.Err()}}
		}
	}
	return n.failed
}

func TestChannels(t *testing.T) {
	bounced := access.Receipt{To: "ben@example.com", Channel: "mail", Err: errors.New("550")}
	unheard := access.Receipt{Channel: "pubsub", Err: errors.New("403")}
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
		{"one fails", notifier{failed: access.Receipts{bounced}}, notifier{}, "mail, pubsub", 1},
		{"both fail", notifier{failed: access.Receipts{bounced, bounced}}, notifier{failed: access.Receipts{unheard}}, "mail, pubsub", 3},
		{"what is off is not asked", notifier{failed: access.Receipts{bounced}, off: true}, notifier{}, "pubsub", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.mail.name, c.pubsub.name = "mail", "pubsub"
			all := notice.Channels{&c.mail, &c.pubsub}
			if all.String() != c.on || (len(all.Channels()) > 0) != (c.on != "none") {
				t.Errorf("on: %s, %v", all, all.Channels())
			}
			failed := all.Notify(t.Context(), access.Notice{}).Failed()
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
	all := notice.Channels{&notifier{meet: meet}, &notifier{meet: meet}}
	if failed := all.Notify(t.Context(), access.Notice{}).Failed(); failed != nil {
		t.Error(failed)
	}
}

// A channel that hangs ends with the deadline, and the others have told by then.
func TestAChannelThatHangsTakesNothingFromTheOthers(t *testing.T) {
	ctx, over := context.WithCancel(t.Context())
	quick := &notifier{}
	all := notice.Channels{&notifier{meet: make(chan struct{})}, quick, &ender{over}}
	if failed := all.Notify(ctx, access.Notice{}).Failed(); len(failed) != 1 || failed[0].Channel != "alone" || quick.told != 1 {
		t.Errorf("%v; the other was asked %d times", failed, quick.told)
	}
}

// ender ends the time that there is.
type ender struct{ over context.CancelFunc }

func (ender) Channels() []access.Channel { return []access.Channel{{}} }

func (e ender) Notify(context.Context, access.Notice) access.Receipts {
	e.over()
	return nil
}

// A rule that names the channels that alone tell is heeded; one that names some as well
// takes none away.
func TestARuleNamesItsChannels(t *testing.T) {
	for _, c := range []struct {
		notify       []string
		only         bool
		mail, pubsub int
	}{
		{nil, false, 1, 1}, {[]string{"pubsub"}, false, 1, 1}, {[]string{"pubsub"}, true, 0, 1},
		{[]string{"mail"}, true, 1, 0}, {[]string{"mail", "pubsub"}, true, 1, 1}, {[]string{"slack:#x"}, true, 0, 0},
		{[]string{"mail:x"}, true, 1, 0}, {[]string{"mailer:x"}, true, 0, 0},
	} {
		mail, pubsub := notifier{name: "mail"}, notifier{name: "pubsub"}
		n := access.Notice{Request: access.Request{Terms: access.Terms{Notify: c.notify, NotifyOnly: c.only}}}
		notice.Channels{&mail, &pubsub}.Notify(t.Context(), n)
		if mail.told != c.mail || pubsub.told != c.pubsub {
			t.Errorf("%v, only %v: mail %d, Pub/Sub %d", c.notify, c.only, mail.told, pubsub.told)
		}
	}
}

// What is tried again goes to whom it did not reach, by the channel that failed.
func TestOnlyWhoIsLeftIsTold(t *testing.T) {
	all := access.Notice{To: []access.Principal{"ben@example.com", "cho@example.com"}, CC: []access.Principal{"ana@example.com"}}
	for _, c := range []struct {
		left         []access.Target
		mail, pubsub int
		to           string
	}{
		{nil, 1, 1, "[ben@example.com cho@example.com] [ana@example.com]"},
		{[]access.Target{{Channel: "pubsub"}}, 0, 1, ""},
		{[]access.Target{{Channel: "mail", To: "cho@example.com"}}, 1, 0, "[cho@example.com] []"},
		{[]access.Target{{Channel: "mail", To: "ana@example.com"}, {Channel: "pubsub"}}, 1, 1, "[] [ana@example.com]"},
		{[]access.Target{{Channel: "mail", To: "eve@example.com"}}, 0, 0, ""},
		{[]access.Target{}, 0, 0, ""},
	} {
		mail, pubsub := notifier{name: "mail"}, notifier{name: "pubsub"}
		n := all
		n.Left = c.left
		notice.Channels{&mail, &pubsub}.Notify(t.Context(), n)
		if mail.told != c.mail || pubsub.told != c.pubsub {
			t.Errorf("%v: mail %d, Pub/Sub %d", c.left, mail.told, pubsub.told)
		}
		if part, ok := n.Through("mail"); ok && fmt.Sprint(part.To, part.CC) != c.to {
			t.Errorf("%v: mail to %v %v", c.left, part.To, part.CC)
		}
	}
	if len(all.To) != 2 || len(all.CC) != 1 {
		t.Errorf("the notice was changed: %+v", all)
	}
}

func TestChannelsThatTellOfEverything(t *testing.T) {
	mail, hook := notifier{name: "mail"}, notifier{name: "webhook", everything: true}
	for _, kind := range []access.NoticeKind{access.NoticeReview, access.NoticeHappened} {
		notice.Channels{&mail, &hook}.Notify(t.Context(), access.Notice{Kind: kind})
	}
	if mail.told != 1 || hook.told != 2 {
		t.Errorf("mail %d, webhook %d", mail.told, hook.told)
	}
}
