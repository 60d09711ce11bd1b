package broker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

// A request is read whole each time that it is opened. Nobody makes its history longer by
// ending again what is over.
func TestEndingAgainRecordsNothing(t *testing.T) {
	w, store := withLedger(t)
	b := w.Broker()
	first := granted(t, w, b, access.Self)
	var recorded, journalled int
	for again := range 3 {
		w.Clock = w.Clock.Add(time.Second)
		for _, who := range []access.Principal{ana, dan} {
			ended, err := b.End(t.Context(), caller(who), shop, first.ID, ana)
			if err != nil || len(ended.Outcomes) != 1 || ended.Outcomes[0].Result != access.Removed ||
				!ended.Outcomes[0].Window.End.Before(w.Clock.Add(time.Second)) {
				t.Fatalf("%+v, %v", ended, err)
			}
		}
		events, err := store.History(t.Context(), first.ID)
		if err != nil {
			t.Fatal(err)
		}
		if again == 0 {
			recorded, journalled = len(events), len(w.Journal)
		}
		if len(events) != recorded || len(w.Journal) != journalled || w.Calls["end"] != 1 {
			t.Errorf("the %d. time: %d events, %d lines, were %d and %d; %d calls", again+1, len(events), len(w.Journal), recorded, journalled,
				w.Calls["end"])
		}
	}
}

// What stands again though it was ended is ended.
func TestEndingEndsWhatStandsAgain(t *testing.T) {
	w, store := withLedger(t)
	b := w.Broker()
	first := granted(t, w, b, access.Self)
	stands := w.Activations[0]
	w.Clock = w.Clock.Add(time.Minute)
	if _, err := b.End(t.Context(), caller(ana), shop, first.ID, ana); err != nil {
		t.Fatal(err)
	}
	w.Activations[0] = stands
	w.Clock = w.Clock.Add(time.Minute)
	if _, err := b.End(t.Context(), caller(ana), shop, first.ID, ana); err != nil || w.Activations[0].Window.End.After(w.Clock) {
		t.Errorf("%v, %+v", err, w.Activations)
	}
	if got := state(t, store, first.ID); got != access.Ended {
		t.Error(got)
	}
}

// mute is a store that answers no list.
type mute struct {
	broker.Memory
	asked chan context.Context
}

func (h mute) Doubted(ctx context.Context) (string, error) {
	h.asked <- ctx
	<-ctx.Done()
	return "", ctx.Err()
}

// One page at a time asks what administrators are to know, with a bound of its own, and
// whoever turns away does not keep others from it: a database that hangs keeps no page.
func TestCautionsKeepNoPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		asked := make(chan context.Context, 10)
		w.Ledger = mute{asked: asked}
		b := w.Broker()
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { b.Cautions(ctx, caller(ben)); close(done) }()
		first := <-asked
		deadline, bounded := first.Deadline()
		if !bounded || time.Until(deadline) > 6*time.Second {
			t.Errorf("until %v", deadline)
		}
		for range 5 {
			b.Cautions(t.Context(), caller(ben)) // while the first one asks
		}
		if len(asked) > 0 {
			t.Error("others ask too")
		}
		leave()
		if first.Err() != nil {
			t.Error("whoever turned away ended it")
		}
		<-done
		w.Clock = w.Clock.Add(29 * time.Second)
		b.Cautions(t.Context(), caller(ben))
		if len(asked) > 0 {
			t.Error("asked again at once")
		}
	})
}

func (mute) Limits() access.Limits { return access.Limits{} }

// What a rule lets people have alone is no grant that none would have let be made.
func TestWhatARuleLetsPeopleHaveAloneIsInOrder(t *testing.T) {
	for text, want := range map[string]access.Code{
		"rules: [{name: r, terms: {approvals: 0}, loosen: [approvals]}]\n": "",
		"rules: [{name: r, terms: {approvals: 1}}]\n":                      access.CodeNeedsApproval,
	} {
		w, _ := withLedger(t)
		w.Listed = []access.ResourceInfo{{Resource: shop}}
		w.Policy = ruled(t, w, text)
		w.Activations = []access.Activation{standingGrant(w, "jit-0000000000000004", ana, admin)}
		if done := surveyed(t, w.Broker()); done.TakenIn != 1 || codeOf(w.Journal[0].Err) != want {
			t.Errorf("%s: %+v, %v", text, done, w.Journal)
		}
	}
}

// Whoever an administrator takes access from does not have it again by what they have
// scheduled, which nobody decides: neither by what a sweep would write, nor by what is
// written already. Somebody who ends their own keeps it.
func TestWhatWasTakenBackDoesNotBeginAgain(t *testing.T) {
	for _, swept := range []bool{true, false} {
		for _, down := range []bool{false, true} {
			for who, want := range map[access.Principal]int{dan: 0, ana: 1} {
				w, store := withLedger(t)
				w.Policy = changed(w, func(terms *access.Terms) { terms.StartWithin = 4 * time.Hour })
				b := w.Broker()
				if swept {
					if err := store.Swept(t.Context(), w.Clock); err != nil {
						t.Fatal(err)
					}
				}
				first := granted(t, w, b, access.Self)
				a := selfAsk()
				a.Start = w.Clock.Add(2 * time.Hour)
				mustAsk(t, b, a)
				w.Clock = w.Clock.Add(time.Minute)
				if down {
					if swept {
						continue // what is not written is not known
					}
					w.Ledger = &brokertest.Unreachable{Memory: store, Down: true}
					b = w.Broker()
				}
				if ended, err := b.End(t.Context(), caller(who), shop, first.ID, ana); err != nil || down != (len(ended.Warnings) > 0) {
					t.Fatalf("%+v, %v", ended, err)
				}
				w.Ledger = store
				w.Clock = w.Clock.Add(110 * time.Minute)
				if _, err := w.Broker().Sweep(t.Context(), broker.SweepCount); err != nil {
					t.Fatal(err)
				}
				stand := 0
				for _, held := range w.Activations {
					if held.Window.Length() > 0 && held.Window.End.After(w.Clock) {
						stand++
					}
				}
				if stand != want {
					t.Errorf("swept %v, down %v, ended by %s: %d stand, want %d: %+v", swept, down, who, stand, want, w.Activations)
				}
			}
		}
	}
}
