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

// outOfReach is withGlass while the ledger cannot be reached.
func outOfReach(t *testing.T) (*world, *brokertest.Unreachable, *broker.Broker) {
	w, store, _ := withGlass(t)
	w.Settings.Justification = newWorld(t).Settings.Justification
	down := &brokertest.Unreachable{Memory: store, Down: true}
	w.Ledger = down
	return w, down, w.Broker()
}

// later is that the answer says, once, that history will hear of it.
func recordedLater(t *testing.T, asked broker.Asked, err error) {
	t.Helper()
	if err != nil || len(asked.Warnings) != 1 || asked.Warnings[0].Code != access.CodeRecordedLater {
		t.Fatalf("%v, %v", asked.Warnings, err)
	}
}

// What needs no approval, and a broken glass, are journaled, granted and told; the answer
// says that the ledger hears of it later.
func TestWhatNeedsNoMemoryWorksWithoutTheLedger(t *testing.T) {
	for what, c := range map[string]struct {
		ask     broker.Ask
		journal string
		told    int
	}{
		"alone":          {selfAsk(), "self-approved, granted", 1},
		"a broken glass": {emergency(), "broken glass, granted", 1},
	} {
		t.Run(what, func(t *testing.T) {
			w, down, b := outOfReach(t)
			asked, err := b.Ask(t.Context(), caller(ana), c.ask)
			recordedLater(t, asked, err)
			if len(w.Activations) != 1 || w.Activations[0].RequestID != asked.Request.ID || len(asked.Outcomes) != 1 ||
				w.Activations[0].BreakGlass != (c.ask.Kind == access.BreakGlass) {
				t.Errorf("granted %+v, %+v", w.Activations, asked)
			}
			if w.Actions() != c.journal || len(w.Told) != c.told || down.Calls == 0 {
				t.Errorf("journal %s, told %v", w.Actions(), w.Told)
			}
		})
	}
}

// The same form is one grant, however often and to whom it is sent, though nobody remembers.
func TestAFormIsOneGrantWithoutTheLedger(t *testing.T) {
	for _, kind := range []access.RequestKind{access.Self, access.BreakGlass} {
		w, down, b := outOfReach(t)
		a := selfAsk()
		if kind == access.BreakGlass {
			a = emergency()
		}
		a.Form = formOf(ana, kind)
		for _, b := range []*broker.Broker{b, b, w.Broker(), w.Broker()} {
			asked, err := b.Ask(t.Context(), caller(ana), a)
			recordedLater(t, asked, err)
		}
		down.Down = false // and it is the same when it is there again
		if _, err := w.Broker().Ask(t.Context(), caller(ana), a); err != nil {
			t.Error(err)
		}
		if len(w.Activations) != 1 {
			t.Errorf("%s: granted %v", kind, w.Activations)
		}
		for _, n := range w.Told {
			if n.Request.ID != w.Activations[0].RequestID {
				t.Errorf("told of %s", n.Request.ID)
			}
		}
	}
}

// What needs memory is refused with the reason, and never done in another way.
func TestWhatNeedsMemoryIsRefusedWithoutTheLedger(t *testing.T) {
	w, down, b := outOfReach(t)
	down.Down = false
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	glass, err := b.Ask(t.Context(), caller(ana), emergency())
	if err != nil {
		t.Fatal(err)
	}
	id := asked.Request.ID
	w.Forget()
	w.Activations = nil
	down.Down = true
	another := ask()
	another.Justification = "another"
	for what, do := range map[string]func() error{
		"asking":    func() error { _, err := b.Ask(t.Context(), caller(ana), another); return err },
		"approving": func() error { _, err := approve(t, b, ben, id); return err },
		"denying": func() error {
			_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: id, Verdict: access.Deny, Comment: "no"})
			return err
		},
		"asking more": func() error {
			_, err := b.AddReviewers(t.Context(), caller(ana), addTo(id, "dan@example.com"))
			return err
		},
		"withdrawing": func() error { _, _, err := b.Withdraw(t.Context(), caller(ana), id, ""); return err },
		"reviewing": func() error {
			_, _, err := b.ReviewGlass(t.Context(), caller(eve), glass.Request.ID, "fine", "")
			return err
		},
		"looking":      func() error { _, err := b.Show(t.Context(), caller(ana), id, ""); return err },
		"the timeline": func() error { _, _, err := b.Timeline(t.Context(), caller(ana), id); return err },
		"what waits": func() error {
			_, _, err := b.History(t.Context(), caller(eve), broker.ViewReviews, access.Listing{})
			return err
		},
		"one's requests": func() error {
			_, _, err := b.History(t.Context(), caller(ana), broker.ViewMine, access.Listing{})
			return err
		},
		"the sweep": func() error { _, err := b.Sweep(t.Context(), broker.SweepCount); return err },
	} {
		t.Run(what, func(t *testing.T) {
			is(t, do(), access.Unavailable, access.CodeLedgerUnavailable)
			if len(w.Activations) != 0 || len(w.Told) != 0 {
				t.Errorf("granted %v, told %v", w.Activations, w.Told)
			}
		})
	}
	down.Down = false
	if r, err := down.Open(t.Context(), id); err != nil || r.Version != asked.Request.Version {
		t.Errorf("%+v, %v", r, err)
	}
}

// Access is given back without the ledger.
func TestAccessEndsWithoutTheLedger(t *testing.T) {
	w, _, b := outOfReach(t)
	asked, err := b.Ask(t.Context(), caller(ana), emergency())
	recordedLater(t, asked, err)
	ended, err := b.End(t.Context(), caller(ana), shop, asked.Request.ID, "")
	if err != nil || w.Activations[0].Window.Contains(w.Clock) {
		t.Errorf("%+v, %v; stands %+v", ended, err, w.Activations)
	}
}

// Any other refusal of the store is a refusal: only what cannot be reached is passed over.
func TestWhatTheLedgerRefusesIsRefused(t *testing.T) {
	for _, refusal := range []*access.Error{{Kind: access.Conflict, Code: access.CodeConflict}, {Kind: access.Unprocessable, Code: access.CodeLedgerDamaged},
		{Kind: access.Internal, Code: access.CodeInternal}} {
		for _, a := range []broker.Ask{selfAsk(), emergency()} {
			w, down, _ := outOfReach(t)
			down.Down = false
			w.Ledger = refusing{down, refusal}
			_, err := w.Broker().Ask(t.Context(), caller(ana), a)
			is(t, err, refusal.Kind, refusal.Code)
			if len(w.Activations) != 0 || len(w.Told) != 0 {
				t.Errorf("granted %v, told %v", w.Activations, w.Told)
			}
		}
	}
}

// refusing takes nothing in.
type refusing struct {
	broker.Memory
	err error
}

func (r refusing) Commit(context.Context, access.Event, []access.Notice) (string, error) {
	return "", r.err
}

// Where the journal fails too, nothing is done.
func TestWithoutLedgerAndJournalNothingIsDone(t *testing.T) {
	for action, a := range map[access.Action]broker.Ask{access.SelfApproved: selfAsk(), access.GlassBroken: emergency()} {
		w, _, b := outOfReach(t)
		w.JournalErr[action] = errDiskFull
		_, err := b.Ask(t.Context(), caller(ana), a)
		is(t, err, access.Unavailable, access.CodeJournalUnavailable)
		if len(w.Activations) != 0 || len(w.Told) != 0 {
			t.Errorf("granted %v, told %v", w.Activations, w.Told)
		}
	}
}

// A database that hangs is one that cannot be reached, and leaves time for the grant.
func TestALedgerThatHangsIsOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		glassPolicy(w)
		w.Settings.Justification = newWorld(t).Settings.Justification
		w.Ledger = hanging{}
		b := w.Broker()
		for _, a := range []broker.Ask{selfAsk(), emergency()} {
			begun := time.Now()
			w.BeforeGrant = func() {
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("granted after %s", took)
				}
			}
			asked, err := b.Ask(t.Context(), caller(ana), a)
			recordedLater(t, asked, err)
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("took %s", took)
			}
		}
		begun := time.Now()
		_, err := approve(t, b, ben, "mpa-AAAAAAAAAAAAAAAA")
		is(t, err, access.Unavailable, access.CodeLedgerUnavailable)
		if took := time.Since(begun); took > 15*time.Second || len(w.Activations) != 2 {
			t.Errorf("took %s, granted %v", took, w.Activations)
		}
	})
}

// hanging answers nothing in time.
type hanging struct{ broker.Memory }

func (hanging) Limits() access.Limits { return access.Limits{} }

func (hanging) Open(ctx context.Context, _ string) (access.Request, error) {
	<-ctx.Done()
	return access.Request{}, ctx.Err()
}

func (hanging) Commit(ctx context.Context, _ access.Event, _ []access.Notice) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func (hanging) List(ctx context.Context, _ access.Listing) (access.Listed, error) {
	<-ctx.Done()
	return access.Listed{}, ctx.Err()
}

func (hanging) Sent(ctx context.Context, _ access.Message) error { <-ctx.Done(); return ctx.Err() }
