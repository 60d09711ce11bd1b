package broker_test

import (
	"errors"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// remembering is a world whose store remembers, with a pending request of ana's.
func remembering(t *testing.T, change func(*world)) (*world, *broker.Broker, broker.Asked) {
	w := newWorld(t)
	w.Forgets = false
	if change != nil {
		change(w)
	}
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.Forget()
	return w, b, asked
}

var errDiskFull = errors.New("disk full")

// intents are what can be tried on a pending request, by the action that they are.
func intents(b *broker.Broker, ref string) map[access.Action]func(*testing.T) error {
	return map[access.Action]func(*testing.T) error{
		access.RequestMade: func(t *testing.T) error {
			a := ask()
			a.Justification = "another"
			_, err := b.Ask(t.Context(), caller(ana), a)
			return err
		},
		access.SelfApproved: func(t *testing.T) error {
			_, err := b.Ask(t.Context(), caller(ana), selfAsk())
			return err
		},
		access.RequestApproved: func(t *testing.T) error {
			_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: ref, Verdict: access.Approve})
			return err
		},
		access.RequestDenied: func(t *testing.T) error {
			_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: ref, Verdict: access.Deny, Comment: "no"})
			return err
		},
		access.ReviewersAdded: func(t *testing.T) error {
			_, err := b.AddReviewers(t.Context(), caller(ana), addTo(ref, "dan@example.com"))
			return err
		},
	}
}

// roomForDan lets dan review, and three be asked.
func roomForDan(w *world) {
	w.Holdings[dan] = w.Holdings[ben]
	w.Settings.MaxReviewers = 3
}

// What the journal cannot take is not done, and leaves nothing behind in a store that
// remembers: no approval that a later look would act on.
func TestAJournalThatFailsLeavesNothingBehind(t *testing.T) {
	for action := range intents(nil, "") {
		t.Run(string(action), func(t *testing.T) {
			w, b, asked := remembering(t, roomForDan)
			before := w.Requests[asked.Ref]
			w.JournalErr[action] = errDiskFull
			err := intents(b, asked.Ref)[action](t)
			is(t, err, access.Unavailable, access.CodeJournalUnavailable)
			if len(w.Events) != 0 || len(w.Requests) != 1 || w.Requests[asked.Ref].Version != before.Version {
				t.Errorf("the store has %s, of %d requests, version %d", w.Heard(), len(w.Requests), w.Requests[asked.Ref].Version)
			}
			if len(w.Activations) != 0 || len(w.Told) != 0 {
				t.Errorf("granted %v, told %v", w.Activations, w.Told)
			}
			w.JournalErr = nil
			if view, err := b.Show(t.Context(), caller(ben), asked.Ref, ""); err != nil || view.State != access.Pending || !view.CanDecide {
				t.Errorf("%v, can decide %v, %v", view.State, view.CanDecide, err)
			}
		})
	}
}

// What the store cannot take is a refusal, in the journal too, where the intent stands
// already; and nothing is granted.
func TestAStoreThatFailsIsARefusalThatIsJournaled(t *testing.T) {
	down := &access.Error{Kind: access.Conflict, Code: access.CodeConflict}
	for action := range intents(nil, "") {
		t.Run(string(action), func(t *testing.T) {
			w, b, asked := remembering(t, roomForDan)
			w.Store.Err = down
			is(t, intents(b, asked.Ref)[action](t), down.Kind, down.Code)
			if got, want := w.Actions(), string(action)+", refused"; got != want {
				t.Fatalf("journal %q, want %q", got, want)
			}
			if last := w.Journal[1]; last.Trying != action || last.Err != error(down) {
				t.Errorf("the refusal is of %q for %v", last.Trying, last.Err)
			}
			if len(w.Activations) != 0 || len(w.Told) != 0 {
				t.Errorf("granted %v, told %v", w.Activations, w.Told)
			}
			// It may be sent again.
			w.Store.Err = nil
			if err := intents(b, asked.Ref)[action](t); err != nil {
				t.Error(err)
			}
		})
	}
}

// A store hears of everything that the journal does, in the same order.
func TestAStoreHearsOfEveryEvent(t *testing.T) {
	w, b, asked := remembering(t, roomForDan)
	w.Undelivered = access.Receipts{{To: cho, Channel: "mail", Err: errors.New("550")}}
	self, err := b.Ask(t.Context(), caller(ana), selfAsk())
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Decide(t.Context(), caller(dan), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	is(t, err, access.NotAllowed, access.CodeNotInvolved)
	if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, "dan@example.com")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Decide(t.Context(), caller(dan), broker.Decide{Ref: asked.Ref, Verdict: access.Approve}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{asked.Request.ID, self.Request.ID} {
		if _, err := b.End(t.Context(), caller(ana), shop, id, ""); err != nil {
			t.Fatal(err)
		}
	}
	want := "self-approved, granted, notice failed, refused, reviewers added, notice failed, approved, granted, notice failed, " +
		"end asked, ended, end asked, ended"
	if w.Heard() != want || w.Actions() != want {
		t.Errorf("store\n%s, journal\n%s, want\n%s", w.Heard(), w.Actions(), want)
	}
	for ref, state := range map[string]access.State{asked.Ref: access.Ended, "ref-" + self.Request.ID: access.Ended} {
		if got := w.Requests[ref]; got.State != state {
			t.Errorf("%s is %q, want %q", ref, got.State, state)
		}
	}
	if got := w.Requests[asked.Ref]; len(got.Decisions) != 1 || got.Decisions[0].By != dan || len(got.Reviewers) != 3 || got.Window.IsZero() {
		t.Errorf("remembered %+v", got)
	}
}

// With a grant that fails too.
func TestAStoreHearsThatAGrantOrAnEndFailed(t *testing.T) {
	for _, c := range []struct {
		err  *access.Error
		want access.State
	}{
		{&access.Error{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable}, access.Failed},
		{&access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}, access.Approved},
	} {
		w, b, asked := remembering(t, nil)
		w.GrantErr = c.err
		_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
		is(t, err, c.err.Kind, c.err.Code)
		if got := w.Requests[asked.Ref].State; w.Heard() != "approved, grant failed" || got != c.want {
			t.Errorf("%v: %s, %q", c.err, w.Heard(), got)
		}
		_, err = b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
		want := map[access.State]access.Code{access.Failed: access.CodeGrantRefused, access.Approved: access.CodeAlreadyApproved}
		if access.AsError(err).Code != want[c.want] {
			t.Errorf("another approver reads %v", err)
		}
		// Who approved presses again; what may pass has passed, with the same window.
		w.GrantErr = nil
		w.Clock = w.Clock.Add(5 * time.Minute)
		decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
		if c.want == access.Failed {
			is(t, err, access.Gone, access.CodeGrantRefused)
			continue
		}
		if err != nil || decided.State != access.Active || w.Activations[0].Window != w.Requests[asked.Ref].Window || len(w.Told) != 1 ||
			len(w.Requests[asked.Ref].Decisions) != 1 {
			t.Errorf("%+v, %v; granted %v", decided, err, w.Activations)
		}
		if start := w.Clock.Add(-5 * time.Minute).Truncate(time.Second); !w.Activations[0].Window.Start.Equal(start) {
			t.Errorf("the window moved to %v", w.Activations[0].Window)
		}
		w.Forget()
		w.GrantErr = c.err
		_, err = b.End(t.Context(), caller(ana), shop, asked.Request.ID, "")
		is(t, err, c.err.Kind, c.err.Code)
		if w.Heard() != "end asked, end failed" || w.Requests[asked.Ref].State != access.Active {
			t.Errorf("%s, %q", w.Heard(), w.Requests[asked.Ref].State)
		}
	}
}

// Once something is granted or ended, that neither journal nor store takes the outcome
// is a warning; and each has what the other has not.
func TestAnOutcomeThatOneOfThemCannotTakeIsAWarning(t *testing.T) {
	for name, fail := range map[string]func(*world){
		"the journal": func(w *world) {
			w.JournalErr = map[access.Action]error{access.GrantWritten: errDiskFull, access.GrantEnded: errDiskFull}
		},
		"the store": func(w *world) { w.BeforeGrant = func() { w.Store.Err = errDiskFull } },
	} {
		t.Run(name, func(t *testing.T) {
			w, b, asked := remembering(t, nil)
			fail(w)
			unrecorded := func(warnings []*access.Error, err error) {
				t.Helper()
				if err != nil || len(warnings) != 1 || warnings[0].Code != access.CodeOutcomeUnrecorded || !errors.Is(warnings[0].Err, errDiskFull) {
					t.Errorf("%v, %v", warnings, err)
				}
			}
			decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
			unrecorded(decided.Warnings, err)
			if decided.State != access.Active || len(w.Activations) != 1 {
				t.Errorf("%+v", decided)
			}
			// Access is given back though the store has no say in it.
			ended, err := b.End(t.Context(), caller(ana), shop, asked.Request.ID, "")
			unrecorded(ended.Warnings, err)
			if w.Activations[0].Window.Contains(w.Clock) {
				t.Error("not ended")
			}
			if heard := w.Heard(); name == "the journal" && heard != "approved, granted, end asked, ended" {
				t.Errorf("store %q", heard)
			}
			if got := w.Actions(); name == "the store" && got != "approved, granted, end asked, ended" {
				t.Errorf("journal %q", got)
			}
		})
	}
}

// An end that the journal cannot take is not begun.
func TestAnEndThatCannotBeJournaledIsNotDone(t *testing.T) {
	w, b, asked := remembering(t, nil)
	if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve}); err != nil {
		t.Fatal(err)
	}
	w.Forget()
	w.JournalErr[access.EndAsked] = errDiskFull
	_, err := b.End(t.Context(), caller(ana), shop, asked.Request.ID, "")
	is(t, err, access.Unavailable, access.CodeJournalUnavailable)
	if w.Calls["end"] != 0 || w.Heard() != "" {
		t.Errorf("calls %v, store %q", w.Calls, w.Heard())
	}
}
