package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

func called(w *world) (states []access.State) {
	for _, n := range w.Told {
		if n.Kind == access.NoticeChanged {
			states = append(states, n.Request.State)
		}
	}
	return states
}

// An application hears of all that ends its waiting, and of nothing else.
func TestAnApplicationIsCalledBack(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(*world, *broker.Broker, access.Request) error
		want []access.State
	}{
		"approved": {func(w *world, b *broker.Broker, r access.Request) error {
			_, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: r.ID, Verdict: access.Approve})
			return err
		}, []access.State{access.Active}},
		"denied": {func(w *world, b *broker.Broker, r access.Request) error {
			_, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: r.ID, Verdict: access.Deny, Comment: "no"})
			return err
		}, []access.State{access.Denied}},
		"lapsed, which the sweep records and tells": {func(w *world, b *broker.Broker, r access.Request) error {
			w.Clock = w.Clock.Add(41 * time.Minute)
			_, err := b.Sweep(t.Context(), broker.SweepCount)
			return err
		}, []access.State{access.Lapsed}},
		"over": {func(w *world, b *broker.Broker, r access.Request) error {
			if _, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: r.ID, Verdict: access.Approve}); err != nil {
				return err
			}
			w.Clock = w.Clock.Add(31 * time.Minute)
			_, err := b.Sweep(t.Context(), broker.SweepCount)
			return err
		}, []access.State{access.Active, access.Expired}},
		"ended early": {func(w *world, b *broker.Broker, r access.Request) error {
			if _, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: r.ID, Verdict: access.Approve}); err != nil {
				return err
			}
			_, err := b.End(t.Context(), caller(dan), r.Resource, r.ID, "")
			return err
		}, []access.State{access.Active, access.Ended}},
		"refused": {func(w *world, b *broker.Broker, r access.Request) error {
			if _, err := b.Decide(t.Context(), caller(ana), broker.Decide{Ref: r.ID, Verdict: access.Approve}); err == nil {
				return errors.New("whom it is for approves")
			}
			return nil
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, b := withApplication(t)
			ask := deploy()
			ask.Callback = "https://deploy.example.com/done"
			asked := mustAskFor(t, b, ask)
			if err := test.do(w, b, asked.Request); err != nil {
				t.Fatal(err)
			}
			if got := called(w); !slices.Equal(got, test.want) {
				t.Errorf("called back for %v, want %v", got, test.want)
			}
			if done, err := b.Sweep(t.Context(), broker.SweepCount); err != nil || done.Told != 0 || len(called(w)) != len(test.want) {
				t.Errorf("swept %+v, %v, and called back again", done, err)
			}
		})
	}
}

func TestNobodyIsCalledBackWhoDidNotSayWhere(t *testing.T) {
	w, _, b := withApplication(t)
	asked := mustAskFor(t, b, deploy())
	if _, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Request.ID, Verdict: access.Approve}); err != nil {
		t.Fatal(err)
	}
	if got := called(w); got != nil {
		t.Errorf("called back for %v", got)
	}
}

// What could not be told is told again from the outbox, and not once something came after it.
func TestACallbackIsTriedAgainUntilItIsStale(t *testing.T) {
	w, _, b := withApplication(t)
	ask := deploy()
	ask.Callback = "https://deploy.example.com/done"
	asked := mustAskFor(t, b, ask)
	w.Undelivered = access.Receipts{{Channel: "callback", Err: errors.New("refused")}}
	if _, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Request.ID, Verdict: access.Approve}); err != nil {
		t.Fatal(err)
	}
	first := len(called(w))
	w.Clock = w.Clock.Add(2 * time.Minute)
	if _, err := b.Sweep(t.Context(), broker.SweepCount); err != nil || len(called(w)) != first+1 {
		t.Errorf("%v: it is not tried again: %v", err, called(w))
	}
	w.Undelivered = nil
	w.Clock = w.Clock.Add(31 * time.Minute)
	w.Told = nil
	if _, err := b.Sweep(t.Context(), broker.SweepCount); err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(time.Hour)
	if _, err := b.Sweep(t.Context(), broker.SweepCount); err != nil {
		t.Fatal(err)
	}
	if got := called(w); !slices.Equal(got, []access.State{access.Expired}) {
		t.Errorf("when it is over it is called back for %v", got)
	}
}

// What an application could not be told is in the journal with words of its own, and where it
// never will be, it is not tried again.
func TestWhatAnApplicationCannotBeTold(t *testing.T) {
	never := &access.Error{Kind: access.Unprocessable, Code: access.CodeNotCalledBack, Err: errors.New("decided already")}
	may := &access.Error{Kind: access.Upstream, Code: access.CodeNotCalledBack, Err: errors.New("502")}
	for name, c := range map[string]struct {
		err    error
		lapses bool
		tries  int
	}{
		"what may pass, in an action":    {may, false, 2},
		"what never will, in an action":  {never, false, 1},
		"what nobody has said more of":   {errors.New("no route"), false, 2},
		"what may pass, in the sweep":    {may, true, 2},
		"what never will, in the sweep":  {never, true, 1},
		"what is wrapped and never will": {fmt.Errorf("application deployer: %w", never), true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, b := withApplication(t)
			ask := deploy()
			ask.Callback = "https://deploy.example.com/done"
			asked := mustAskFor(t, b, ask)
			w.Undelivered = access.Receipts{{Channel: "callback", Err: c.err}}
			journalled := func() (found []*access.Error) {
				for _, e := range w.Journal {
					if e.Action == access.NoticeFailed && access.AsError(e.Err).Code == access.CodeNotCalledBack {
						found = append(found, access.AsError(e.Err))
					}
				}
				return found
			}
			if c.lapses {
				w.Clock = w.Clock.Add(41 * time.Minute)
				if _, err := b.Sweep(t.Context(), broker.SweepCount); err != nil {
					t.Fatal(err)
				}
			} else if _, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Request.ID, Verdict: access.Approve}); err != nil {
				t.Fatal(err)
			}
			if got := journalled(); len(got) != 1 || got[0].Args["application"] != "deployer" || !errors.Is(got[0], c.err) {
				t.Errorf("in the journal: %v", got)
			}
			w.Clock = w.Clock.Add(2 * time.Minute)
			if _, err := b.Sweep(t.Context(), broker.SweepCount); err != nil || len(called(w)) != c.tries {
				t.Errorf("tried %d times, want %d (%v)", len(called(w)), c.tries, err)
			}
			if mails := slices.DeleteFunc(slices.Clone(w.Told), func(n access.Notice) bool { return n.Kind != access.NoticeApproved }); !c.lapses && len(mails) != 2 {
				t.Errorf("people are told %d times of what they do not get", len(mails))
			}
			if got := journalled(); len(got) != 1 {
				t.Errorf("each try is in the journal: %v", got)
			}
		})
	}
}

// Who agrees to what an administrator changed is another human, under every address.
func TestASecondAdministrator(t *testing.T) {
	b := broker.New(broker.Config{Admins: []string{"user:ana@example.com", "user:ben@example.com"}})
	for who, may := range map[access.Principal]bool{ana: false, ben: true, cho: false} {
		if err := b.SecondAdmin(t.Context(), caller(who), ana); (err == nil) != may {
			t.Errorf("%s: %v", who, err)
		}
	}
	for _, test := range []struct {
		admins []string
		sole   bool
	}{{nil, false}, {[]string{"user:ana@example.com"}, true}, {[]string{"user:ana@example.com", "user:ana@example.com"}, true},
		{[]string{"user:ana@example.com", "user:ben@example.com"}, false}, {[]string{"group:admins@example.com"}, false}, {[]string{"claim:admins"}, false}} {
		if got := broker.New(broker.Config{Admins: test.admins}).SoleAdmin(); got != test.sole {
			t.Errorf("%v: %v", test.admins, got)
		}
	}
}

// Whoever decides waits no longer than a second for who does not answer: what was not told is in
// the outbox, and told again.
func TestWhoDecidesDoesNotWaitForACallback(t *testing.T) {
	w, _, b := withApplication(t)
	ask := deploy()
	ask.Callback = "https://deploy.example.com/done"
	asked := mustAskFor(t, b, ask)
	w.Undelivered = access.Receipts{{Channel: "callback", Err: context.DeadlineExceeded}}
	w.Told, w.ToldWithin = nil, nil
	if done, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Request.ID, Verdict: access.Approve}); err != nil || done.State != access.Active {
		t.Fatalf("%+v, %v", done.State, err)
	}
	at := slices.IndexFunc(w.Told, func(n access.Notice) bool { return n.Kind == access.NoticeChanged })
	if at < 0 || w.ToldWithin[at] > time.Second {
		t.Errorf("it may take %v: %+v", w.ToldWithin, w.Told)
	}
	w.Undelivered, w.Told = nil, nil
	w.Clock = w.Clock.Add(2 * time.Minute)
	if _, err := b.Sweep(t.Context(), broker.SweepCount); err != nil || !slices.Equal(called(w), []access.State{access.Active}) {
		t.Errorf("it is lost: %v, %v", called(w), err)
	}
}
