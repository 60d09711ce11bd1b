package broker_test

import (
	"crypto/rand"
	"errors"
	"iter"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
)

// withLedger is a world that remembers in a real database.
func withLedger(t *testing.T) (*world, *ledger.Store) {
	t.Helper()
	w, _ := withHome(t)
	return w, w.Ledger.(*ledger.Store)
}

// withHome is withLedger, with where it is kept.
func withHome(t *testing.T) (*world, ledger.Home) {
	t.Helper()
	home, err := relational.SQLite(filepath.Join(t.TempDir(), "jitaccess.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { home.Close() })
	if err := home.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	now := func() time.Time {
		w.Mu.Lock()
		defer w.Mu.Unlock()
		return w.Clock
	}
	w.Ledger = ledger.New(ledger.Config{Home: home, Signer: keys(t), Now: now, Random: rand.Reader})
	return w, home
}

func keys(t *testing.T) *ledger.Keys {
	t.Helper()
	keys, err := ledger.NewKeys(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func state(t *testing.T, s *ledger.Store, id string) access.State {
	t.Helper()
	r, err := s.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r.State
}

func swept(t *testing.T, b *broker.Broker) broker.Swept {
	t.Helper()
	done, err := b.Sweep(t.Context(), broker.SweepCount)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestWithALedgerTwoApproveAndADenialHolds(t *testing.T) {
	w, store := withLedger(t)
	twoOfTwo(w)
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil || asked.Ref != asked.Request.ID || asked.ReviewURL != "https://jit.example.com/review?activation="+asked.Ref {
		t.Fatalf("%+v, %v", asked, err)
	}
	first, err := approve(t, b, ben, asked.Ref)
	if err != nil || first.State != access.Pending {
		t.Fatalf("%+v, %v", first, err)
	}
	// Another instance, later, which has only the database.
	w.Clock = w.Clock.Add(10 * time.Minute)
	second, err := approve(t, w.Broker(), cho, asked.Ref)
	if err != nil || second.State != access.Active || state(t, store, asked.Ref) != access.Active || len(w.Activations) != 1 {
		t.Fatalf("%+v, %v", second, err)
	}
	events, err := store.History(t.Context(), asked.Ref)
	if err != nil || len(events) != 4 || len(events[2].Requirements) != 1 || events[2].Requirements[0].Count != 2 {
		t.Errorf("%+v, %v", events, err)
	}

	a := ask()
	a.Justification = "case 43"
	if asked, err = b.Ask(t.Context(), caller(ana), a); err != nil {
		t.Fatal(err)
	}
	if _, err := approve(t, b, ben, asked.Ref); err != nil {
		t.Fatal(err)
	}
	denied, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Ref, Verdict: access.Deny, Comment: "not now"})
	if err != nil || denied.State != access.Denied || !w.Told[len(w.Told)-1].Final {
		t.Fatalf("%+v, %v", denied, err)
	}
	_, err = approve(t, w.Broker(), ben, asked.Ref)
	is(t, err, access.Conflict, access.CodeAlreadyDenied)
}

func TestSweepFinishesWhatWasApprovedAndNotWritten(t *testing.T) {
	for _, lost := range []bool{false, true} { // the write, or that it was written
		w, store := withLedger(t)
		b := w.Broker()
		asked, err := b.Ask(t.Context(), caller(ana), ask())
		if err != nil {
			t.Fatal(err)
		}
		w.GrantErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
		// It is recorded, and so no failure.
		waiting, err := approve(t, b, ben, asked.Ref)
		if err != nil || waiting.State != access.Approved || !slices.ContainsFunc(waiting.Warnings, func(e *access.Error) bool {
			return e.Code == access.CodeNotYetGranted
		}) || state(t, store, asked.Ref) != access.Approved || len(w.Told) != 1 {
			t.Fatalf("%+v, %v, %q", waiting, err, state(t, store, asked.Ref))
		}
		w.GrantErr, w.Told = nil, nil
		r, err := store.Open(t.Context(), asked.Ref)
		if err != nil {
			t.Fatal(err)
		}
		if lost {
			w.Activations = []access.Activation{{RequestID: r.ID, Principal: ana, Entitlement: admin, Window: r.Window, Approvers: []access.Principal{ben}}}
		}
		w.Clock = w.Clock.Add(5 * time.Minute)
		if done := swept(t, w.Broker()); done != (broker.Swept{Finished: 1}) {
			t.Errorf("lost %v: %+v", lost, done)
		}
		if state(t, store, asked.Ref) != access.Active || len(w.Activations) != 1 || w.Activations[0].Window != r.Window || len(w.Told) != 1 {
			t.Errorf("lost %v: %q, %+v, told %d", lost, state(t, store, asked.Ref), w.Activations, len(w.Told))
		}
		if done := swept(t, w.Broker()); done != (broker.Swept{}) {
			t.Errorf("again: %+v", done)
		}
	}
}

func TestSweepWritesNothingThatWouldNotBeApprovedToday(t *testing.T) {
	for what, change := range map[string]func(*world){
		"the approver may not any more": func(w *world) { delete(w.Holdings, ben) },
		"the requester is not eligible": func(w *world) { delete(w.Holdings, ana) },
		"it takes two now":              twoOfTwo,
		"ten minutes have passed":       func(w *world) { w.Clock = w.Clock.Add(10 * time.Minute) },
	} {
		w, store := withLedger(t)
		b := w.Broker()
		asked, err := b.Ask(t.Context(), caller(ana), ask())
		if err != nil {
			t.Fatal(err)
		}
		w.GrantErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
		if waiting, err := approve(t, b, ben, asked.Ref); err != nil || waiting.State != access.Approved {
			t.Fatalf("%+v, %v", waiting, err)
		}
		w.GrantErr = nil
		change(w)
		w.BeforeGrant = func() { t.Errorf("%s: the provider is asked to write", what) }
		_ = swept(t, w.Broker())
		if len(w.Activations) != 0 || state(t, store, asked.Ref) == access.Active {
			t.Errorf("%s: %+v", what, w.Activations)
		}
		w.Clock = w.Clock.Add(time.Hour)
		_ = swept(t, w.Broker())
		if got := state(t, store, asked.Ref); got != access.Failed {
			t.Errorf("%s: an hour later %q", what, got)
		}
	}
}

func TestSweepRecordsWhatIsOverAndSendsWhatWasNotSent(t *testing.T) {
	w, store := withLedger(t)
	w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errors.New("down")}}
	asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
	if err != nil || len(asked.Warnings) == 0 {
		t.Fatalf("%+v, %v", asked, err)
	}
	w.Undelivered, w.Told = nil, nil
	if done := swept(t, w.Broker()); done != (broker.Swept{}) {
		t.Errorf("at once: %+v", done)
	}
	w.Clock = w.Clock.Add(time.Minute)
	if done := swept(t, w.Broker()); done != (broker.Swept{Told: 1}) || len(w.Told) != 1 || w.Told[0].ReviewURL != asked.ReviewURL {
		t.Errorf("%+v, %+v", done, w.Told)
	}
	w.Clock = w.Clock.Add(time.Hour)
	if done := swept(t, w.Broker()); done != (broker.Swept{Over: 1}) || state(t, store, asked.Ref) != access.Lapsed {
		t.Errorf("%+v, %q", done, state(t, store, asked.Ref))
	}
	// An activation without others runs out.
	self, err := w.Broker().Ask(t.Context(), caller(ana), selfAsk())
	if err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(time.Hour)
	if done := swept(t, w.Broker()); done != (broker.Swept{Over: 1}) || state(t, store, self.Request.ID) != access.Expired {
		t.Errorf("%+v, %q", done, state(t, store, self.Request.ID))
	}
}

func TestWithoutMemoryASweepDoesNothing(t *testing.T) {
	if done := swept(t, newWorld(t).Broker()); done != (broker.Swept{}) {
		t.Errorf("%+v", done)
	}
}

func TestWithALedgerPeopleSeeWhatIsTheirs(t *testing.T) {
	w, store := withLedger(t)
	w.Auditors = []string{"user:" + string(dan)}
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		who  access.Principal
		view string
		want int
	}{{ana, broker.ViewMine, 1}, {ana, broker.ViewReviews, 0}, {ana, broker.ViewAll, 1}, {ben, broker.ViewMine, 0}, {ben, broker.ViewReviews, 1},
		{ben, broker.ViewAll, 0}, {dan, broker.ViewAll, 1}, {dan, broker.ViewMine, 0}} {
		// What they choose by cannot widen it.
		listed, _, err := b.History(t.Context(), caller(c.who), c.view, access.Listing{Viewer: ana, Words: "case"})
		if err != nil || len(listed.Requests) != c.want {
			t.Errorf("%s, %s: %v, %v", c.who, c.view, listed, err)
		}
	}
	_, _, err = b.History(t.Context(), caller(ana), "everything", access.Listing{})
	is(t, err, access.Invalid, access.CodeBadInput)
	for _, who := range []access.Principal{ana, ben, dan} {
		if r, events, err := b.Timeline(t.Context(), caller(who), asked.Ref); err != nil || len(events) != 1 || r.State != access.Pending {
			t.Errorf("%s: %v, %v, %v", who, r, events, err)
		}
	}
	_, _, err = b.Timeline(t.Context(), caller("eve@example.com"), asked.Ref)
	is(t, err, access.NotAllowed, access.CodeNotInvolved)

	_, _, err = b.Withdraw(t.Context(), caller(ben), asked.Ref, "")
	is(t, err, access.NotAllowed, access.CodeNotInvolved)
	for range 2 {
		if r, _, err := b.Withdraw(t.Context(), caller(ana), asked.Ref, ""); err != nil || r.State != access.Withdrawn {
			t.Errorf("%v, %v", r, err)
		}
	}
	_, err = approve(t, b, ben, asked.Ref)
	is(t, err, access.Gone, access.CodeWithdrawn)
	if state(t, store, asked.Ref) != access.Withdrawn {
		t.Errorf("approved after all: %v", err)
	}
	a := ask()
	a.Justification = "case 44"
	if asked, err = b.Ask(t.Context(), caller(ana), a); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Withdraw(t.Context(), caller(dan), asked.Ref, ""); err != nil {
		t.Errorf("an admin: %v", err)
	}
	_, _, err = newWorld(t).Broker().History(t.Context(), caller(ana), broker.ViewMine, access.Listing{})
	is(t, err, access.NotFound, access.CodeNeedsLedger)
}

func TestSweepDoesNotCallFailedWhatStands(t *testing.T) {
	for what, change := range map[string]func(*world){
		"nobody swept for ten minutes":  func(w *world) { w.Clock = w.Clock.Add(11 * time.Minute) },
		"the approver may not any more": func(w *world) { delete(w.Holdings, ben) },
		"it takes two now":              twoOfTwo,
	} {
		w, store := withLedger(t)
		b := w.Broker()
		asked, err := b.Ask(t.Context(), caller(ana), ask())
		if err != nil {
			t.Fatal(err)
		}
		w.GrantErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
		if waiting, err := approve(t, b, ben, asked.Ref); err != nil || waiting.State != access.Approved {
			t.Fatalf("%+v, %v", waiting, err)
		}
		r, err := store.Open(t.Context(), asked.Ref)
		if err != nil {
			t.Fatal(err)
		}
		// It was written, and the process ended before it could say so.
		w.Activations = []access.Activation{{RequestID: r.ID, Principal: ana, Entitlement: admin, Window: r.Window, Approvers: []access.Principal{ben}}}
		w.GrantErr, w.Told = nil, nil
		change(w)
		if done := swept(t, w.Broker()); done != (broker.Swept{Finished: 1}) {
			t.Errorf("%s: %+v", what, done)
		}
		if state(t, store, asked.Ref) != access.Active || len(w.Activations) != 1 || len(w.Told) != 1 {
			t.Errorf("%s: %q, %+v, told %d", what, state(t, store, asked.Ref), w.Activations, len(w.Told))
		}
	}
}

func TestWhetherItStandsIsNotGuessed(t *testing.T) {
	w, store := withLedger(t)
	asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.GrantErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	if waiting, err := approve(t, w.Broker(), ben, asked.Ref); err != nil || waiting.State != access.Approved {
		t.Fatalf("%+v, %v", waiting, err)
	}
	w.Clock = w.Clock.Add(time.Hour)
	w.AgainErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	if done := swept(t, w.Broker()); done != (broker.Swept{Left: 1}) || state(t, store, asked.Ref) != access.Approved {
		t.Errorf("%+v, %q", done, state(t, store, asked.Ref))
	}
	w.AgainErr = &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource}
	if done := swept(t, w.Broker()); done != (broker.Swept{Over: 1}) || state(t, store, asked.Ref) != access.Failed {
		t.Errorf("the project is gone: %+v, %q", done, state(t, store, asked.Ref))
	}
}

func TestWhoListensHearsOfWhatTheSweepFinds(t *testing.T) {
	for _, written := range []bool{false, true} {
		w, store := withLedger(t)
		w.GrantErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
		asked, _ := w.Broker().Ask(t.Context(), caller(ana), selfAsk())
		r, err := store.Open(t.Context(), asked.Request.ID)
		if err != nil || r.State != access.Approved {
			t.Fatalf("%q, %v", r.State, err)
		}
		w.GrantErr, w.Told = nil, nil
		if written {
			w.Activations = []access.Activation{{RequestID: r.ID, Principal: ana, Entitlement: r.Entitlements[0], Window: r.Window}}
		}
		if done := swept(t, w.Broker()); done != (broker.Swept{Finished: 1}) || len(w.Told) != 1 || w.Told[0].Kind != access.NoticeSelfApproved {
			t.Errorf("written %v: %+v, told %+v", written, done, w.Told)
		}
	}
}

// taken are all messages that come, and the error that is the last.
func taken(all iter.Seq2[access.Message, error]) (messages []access.Message, err error) {
	for message, failed := range all {
		if err = failed; err == nil {
			messages = append(messages, message)
		}
	}
	return messages, err
}
