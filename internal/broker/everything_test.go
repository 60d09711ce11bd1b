package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// hook is a channel that tells of everything, chat one that changes what it sent.
var hook, chat = access.Channel{Name: "webhook", Everything: true}, access.Channel{Name: "chat", Everything: true, Updates: true}

// happened is what channels were told of that tell of everything.
func happened(w *world) string {
	var all []string
	for _, n := range w.Told {
		if n.Kind == access.NoticeHappened {
			all = append(all, string(n.Did))
		}
	}
	return strings.Join(all, ", ")
}

// Whatever happens to a request is told once to who wants to hear of everything, and people get
// no mail of what they got none of before.
func TestWhatPeopleGetNoMailOfIsToldToChannelsOfEverything(t *testing.T) {
	approve := func(w *world, b *broker.Broker, r access.Request) error {
		_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: r.ID, Verdict: access.Approve})
		return err
	}
	for name, test := range map[string]struct {
		do   func(*world, *broker.Broker, access.Request) error
		want string
	}{
		"approved": {approve, ""},
		"denied": {func(w *world, b *broker.Broker, r access.Request) error {
			_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: r.ID, Verdict: access.Deny, Comment: "no"})
			return err
		}, ""},
		"lapsed": {func(w *world, b *broker.Broker, r access.Request) error {
			w.Clock = w.Clock.Add(2 * time.Hour)
			_, err := b.Sweep(t.Context(), broker.SweepCount)
			return errors.Join(err, swept2(t, b))
		}, "lapsed"},
		"over": {func(w *world, b *broker.Broker, r access.Request) error {
			err := approve(w, b, r)
			w.Clock = w.Clock.Add(2 * time.Hour)
			return errors.Join(err, swept2(t, b))
		}, "expired"},
		"ended by its holder": {func(w *world, b *broker.Broker, r access.Request) error {
			err := approve(w, b, r)
			_, ended := b.End(t.Context(), caller(ana), r.Resource, r.ID, "")
			return errors.Join(err, ended)
		}, "ended"},
		"ended by somebody else": {func(w *world, b *broker.Broker, r access.Request) error {
			err := approve(w, b, r)
			_, ended := b.End(t.Context(), caller(dan), r.Resource, r.ID, "")
			return errors.Join(err, ended)
		}, ""},
		"not granted": {func(w *world, b *broker.Broker, r access.Request) error {
			w.GrantErr = &access.Error{Kind: access.Unprocessable, Code: access.CodePlatformRefused}
			if err := approve(w, b, r); err == nil {
				return errors.New("it was granted")
			}
			return nil
		}, "grant failed"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, also := range [][]access.Channel{nil, {hook}} {
				w, _ := withLedger(t)
				w.Also = also
				b := w.Broker()
				asked, err := b.Ask(t.Context(), caller(ana), ask())
				if err != nil {
					t.Fatal(err)
				}
				if err := test.do(w, b, asked.Request); err != nil {
					t.Fatal(err)
				}
				want := test.want
				if also == nil {
					want = ""
				}
				if got := happened(w); got != want {
					t.Errorf("with %v they were told of %q, want %q", also, got, want)
				}
				for _, n := range w.Told {
					if n.Kind == access.NoticeHappened && (len(n.To)+len(n.CC) > 0 || n.Request.Principal != ana || n.Request.ID != asked.Request.ID) {
						t.Errorf("told %+v", n)
					}
				}
			}
		})
	}
}

// swept2 sweeps until what a sweep recorded was told, too.
func swept2(t *testing.T, b *broker.Broker) error {
	_, first := b.Sweep(t.Context(), broker.SweepCount)
	_, second := b.Sweep(t.Context(), broker.SweepCount)
	return errors.Join(first, second)
}

// One approval of several is told of; the last is told with what was granted.
func TestAnApprovalOfSeveralIsToldToChannelsOfEverything(t *testing.T) {
	w, _ := withLedger(t)
	w.Also = []access.Channel{hook}
	twoOfTwo(w)
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	for i, who := range []access.Principal{ben, cho} {
		if _, err := b.Decide(t.Context(), caller(who), broker.Decide{Ref: asked.Request.ID, Verdict: access.Approve}); err != nil {
			t.Fatal(err)
		}
		if got := happened(w); got != "approved" {
			t.Errorf("after %d approvals: %q", i+1, got)
		}
	}
	for _, n := range w.Told {
		if n.Kind == access.NoticeHappened && (n.By != ben || n.Decision.By != ben) {
			t.Errorf("told %+v", n)
		}
	}
}

// A channel that changes what it sent is handed the receipts of it, the oldest first, each once.
func TestAChannelThatUpdatesHearsWhatItSent(t *testing.T) {
	w, _ := withLedger(t)
	w.Also = []access.Channel{chat}
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(time.Minute)
	if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Request.ID, Verdict: access.Approve}); err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(time.Minute)
	if _, err := b.End(t.Context(), caller(ana), asked.Request.Resource, asked.Request.ID, ""); err != nil {
		t.Fatal(err)
	}
	var earlier []string
	for _, n := range w.Told {
		var refs []string
		for _, r := range n.Earlier {
			refs = append(refs, r.Channel+":"+r.Ref)
		}
		earlier = append(earlier, fmt.Sprint(refs))
	}
	want := []string{"[]", "[chat:request made]", "[chat:request made chat:approved]"}
	if !slices.Equal(earlier, want) {
		t.Errorf("it was handed %v, want %v", earlier, want)
	}
}

// Whoever was told is not told again because somebody else was not.
func TestWhoWasToldIsNotToldAgain(t *testing.T) {
	w, _ := withLedger(t)
	w.Also = []access.Channel{hook}
	w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errors.New("550")}, {To: cho, Channel: "mail", Ref: "1"}, {Channel: "webhook", Ref: "1"}}
	b := w.Broker()
	if _, err := b.Ask(t.Context(), caller(ana), ask()); err != nil {
		t.Fatal(err)
	}
	w.Undelivered, w.Told = nil, nil
	w.Clock = w.Clock.Add(2 * time.Minute)
	if _, err := b.Sweep(t.Context(), broker.SweepCount); err != nil {
		t.Fatal(err)
	}
	want := []access.Target{{Channel: "mail", To: ben}}
	if len(w.Told) != 1 || !slices.Equal(w.Told[0].Left, want) {
		t.Errorf("told %+v", w.Told)
	}
}

// Whoever hears of a request learns who did it: an application is none of the people for whom it asks.
func TestWhoDidItIsTold(t *testing.T) {
	w, _ := withLedger(t)
	w.Admins = []string{"user:" + string(dan)}
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Withdraw(t.Context(), caller(dan), asked.Request.ID, "https://jit.example.com"); err != nil {
		t.Fatal(err)
	}
	if len(w.Told) != 2 || w.Told[0].By != ana || w.Told[1].By != dan {
		t.Errorf("told %+v", w.Told)
	}
	for want, c := range map[access.Principal]access.Caller{
		"app:deployer": {Method: access.MethodApplication, Application: "deployer"}, dan: {Principal: dan, Application: "deployer"}, ana: {Principal: ana}, "": {},
	} {
		if got := c.By(); got != want {
			t.Errorf("%+v is %q, want %q", c, got, want)
		}
	}
}

// missed are requests of which nobody could be told, which the next sweep is to mend.
func missed(t *testing.T, w *world, b *broker.Broker, reasons ...string) (ids []string) {
	t.Helper()
	w.Undelivered = access.Receipts{{Channel: "webhook", Err: errors.New("503")}}
	for _, why := range reasons {
		a := ask()
		a.Justification = why
		asked, err := b.Ask(t.Context(), caller(ana), a)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, asked.Request.ID)
	}
	w.Undelivered, w.Told = nil, nil
	w.Clock = w.Clock.Add(2 * time.Minute)
	return ids
}

// Each waits for the other: one after the other neither would be told.
func TestASweepTellsOfRequestsAtTheSameTime(t *testing.T) {
	w, _ := withLedger(t)
	w.Also = []access.Channel{hook}
	b := w.Broker()
	missed(t, w, b, "Bug 4711", "Bug 4712")
	meet := make(chan struct{})
	w.Telling = func(ctx context.Context, _ access.Notice) {
		select {
		case meet <- struct{}{}:
		case <-meet:
		case <-ctx.Done():
			t.Error("one is kept back by the other")
		}
	}
	if done := swept(t, b); done.Told != 2 || len(w.Told) != 2 {
		t.Errorf("%+v, told %d", done, len(w.Told))
	}
}

// What is told of one request is told in its order.
func TestASweepTellsOfOneRequestInItsOrder(t *testing.T) {
	w, _ := withLedger(t)
	w.Also = []access.Channel{hook}
	b := w.Broker()
	ids := missed(t, w, b, "Bug 4711")
	w.Undelivered = access.Receipts{{Channel: "webhook", Err: errors.New("503")}}
	if _, _, err := b.Withdraw(t.Context(), caller(ana), ids[0], "https://jit.example.com"); err != nil {
		t.Fatal(err)
	}
	w.Undelivered, w.Told = nil, nil
	w.Clock = w.Clock.Add(2 * time.Minute)
	second := make(chan struct{})
	w.Telling = func(_ context.Context, n access.Notice) {
		if n.Kind != access.NoticeReview {
			close(second)
			return
		}
		select {
		case <-second:
			t.Error("what came second did not wait")
		case <-time.After(time.Second): // as long as it would take
		}
	}
	swept(t, b)
	if len(w.Told) != 2 || w.Told[0].Kind != access.NoticeReview || w.Told[1].Kind != access.NoticeWithdrawn {
		t.Errorf("told %+v", w.Told)
	}
}
