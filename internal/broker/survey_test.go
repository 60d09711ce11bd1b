package broker_test

import (
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

// standing is a grant that stands, with an hour left.
func standingGrant(w *world, id string, of access.Principal, e access.EntitlementID, approvers ...access.Principal) access.Activation {
	return access.Activation{RequestID: id, Principal: of, Entitlement: e, Justification: "case 9", Approvers: approvers,
		Window: access.Window{Start: w.Clock.Add(-time.Hour), End: w.Clock.Add(time.Hour)}}
}

func surveyed(t *testing.T, b *broker.Broker) broker.Surveyed {
	t.Helper()
	done, err := b.Survey(t.Context(), broker.SurveyCount)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// A live grant that the ledger does not know is told once, and taken in under its id: as
// something that stands, which nobody approved.
func TestGrantsThatNobodyMadeHereAreTakenIn(t *testing.T) {
	w, store := withLedger(t)
	w.Listed = []access.ResourceInfo{{Resource: shop}}
	alone := access.EntitlementID{Resource: shop, Role: "roles/alone"}
	w.Holdings[ana] = append(w.Holdings[ana], brokertest.Self(alone))
	for _, c := range []struct {
		what  string
		grant access.Activation
		// unruly: a rule would not have let it be made so.
		unruly access.Code
		kind   access.RequestKind
	}{
		{"of JIT Access 1.x, or a service without a ledger", standingGrant(w, "jit-0000000000000001", ana, alone), "", access.Self},
		{"approved", standingGrant(w, "mpa-0000000000000002", ana, admin, ben), "", access.Peers},
		{"approved by nobody", standingGrant(w, "mpa-0000000000000003", ana, admin), access.CodeNeedsApproval, access.Peers},
		{"alone, where others must approve", standingGrant(w, "jit-0000000000000004", ana, admin), access.CodeNeedsApproval, access.Self},
		{"of somebody who is not eligible", standingGrant(w, "jit-0000000000000005", "mallory@example.com", admin), access.CodeNotEligible, access.Self},
		{"for longer than anybody may", func() access.Activation {
			a := standingGrant(w, "jit-0000000000000006", ana, alone)
			a.Window.End = a.Window.End.Add(100 * time.Hour)
			return a
		}(), access.CodeBadDuration, access.Self},
	} {
		t.Run(c.what, func(t *testing.T) {
			w.Forget()
			w.Activations = []access.Activation{c.grant}
			if done := surveyed(t, w.Broker()); done.TakenIn != 1 || done.Looked != 1 || done.Left != 0 || len(done.Doubts) != 0 {
				t.Errorf("%+v", done)
			}
			if len(w.Journal) != 1 || w.Journal[0].Action != access.GrantTakenIn || codeOf(w.Journal[0].Err) != c.unruly {
				t.Fatalf("journal %+v", w.Journal)
			}
			r, err := store.Open(t.Context(), c.grant.RequestID)
			if err != nil || r.State != access.Active || r.TakenIn.IsZero() || len(r.Decisions)+len(r.Reviewers) != 0 || r.Kind != c.kind ||
				r.Window != c.grant.Window || r.Justification != "case 9" {
				t.Errorf("%+v, %v", r, err)
			}
			// Again, by this process and another.
			b := w.Broker()
			for range 2 {
				if done := surveyed(t, b); done.TakenIn != 0 {
					t.Errorf("again: %+v", done)
				}
			}
			if len(w.Journal) != 1 {
				t.Errorf("journal %s", w.Actions())
			}
			// It decides nothing, and nothing is written by it.
			if _, err := approve(t, b, ben, r.ID); err == nil {
				t.Error("somebody approved it")
			}
			swept(t, b)
			if n := w.Calls["grant"]; n != 0 {
				t.Errorf("%d grants were written", n)
			}
			if view, err := b.Show(t.Context(), caller(r.Principal), r.ID, ""); err != nil || view.State != access.Active || view.CanDecide {
				t.Errorf("%+v, %v", view, err)
			}
		})
	}
}

func codeOf(err error) access.Code {
	if err == nil {
		return ""
	}
	return access.AsError(err).Code
}

// What the service itself has granted, what is over and what was ended is nothing new.
func TestWhatTheLedgerKnowsIsNotTakenIn(t *testing.T) {
	w, _ := withLedger(t)
	w.Listed = []access.ResourceInfo{{Resource: shop}}
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := approve(t, b, ben, asked.Ref); err != nil {
		t.Fatal(err)
	}
	over, ended := standingGrant(w, "jit-0000000000000001", ana, admin), standingGrant(w, "jit-0000000000000002", ana, admin)
	over.Window.End = w.Clock
	ended.Window.End = ended.Window.Start
	w.Activations = append(w.Activations, over, ended)
	w.Forget()
	if done := surveyed(t, w.Broker()); done.TakenIn != 0 || len(done.Doubts) != 0 || len(w.Journal) != 0 {
		t.Errorf("%+v, %s", done, w.Actions())
	}
}

// Somebody who may edit the policy writes the id of a grant into one of their own.
func TestACopiedIDHidesNoGrant(t *testing.T) {
	w, store := withLedger(t)
	w.Listed = []access.ResourceInfo{{Resource: shop}}
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := approve(t, b, ben, asked.Ref); err != nil {
		t.Fatal(err)
	}
	owner := admin
	owner.Role = "roles/owner.like"
	w.Activations = append(w.Activations, standingGrant(w, asked.Request.ID, "mallory@example.com", admin, ben),
		standingGrant(w, asked.Request.ID, ana, owner, ben))
	w.Forget()
	for _, want := range []int{2, 0} {
		if done := surveyed(t, w.Broker()); done.TakenIn != want {
			t.Errorf("%+v, want %d", done, want)
		}
	}
	if len(w.Journal) != 2 || w.Journal[0].Request.ID == asked.Request.ID || w.Journal[0].Err == nil {
		t.Errorf("%+v", w.Journal)
	}
	if r, err := store.Open(t.Context(), asked.Request.ID); err != nil || r.Principal != ana || !r.TakenIn.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
}

// A ledger that was put back from an older copy lacks what was granted since.
func TestAnOlderCopyOfTheLedgerIsNoticed(t *testing.T) {
	w, store := withLedger(t)
	w.Listed = []access.ResourceInfo{{Resource: shop}}
	w.Admins = []string{"user:ben@example.com"}
	live := standingGrant(w, "mpa-0000000000000001", ana, admin, ben)
	w.Activations = []access.Activation{live}
	// One that is empty is new.
	if done := surveyed(t, w.Broker()); len(done.Doubts) != 0 || done.TakenIn != 1 {
		t.Errorf("a new one: %+v", done)
	}
	a := ask()
	a.Justification = "another"
	if _, err := w.Broker().Ask(t.Context(), caller(ana), a); err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(30 * time.Minute)
	before := standingGrant(w, "mpa-0000000000000002", ana, admin, ben) // began before the last request
	w.Activations = []access.Activation{live, before}
	if done := surveyed(t, w.Broker()); len(done.Doubts) != 0 || done.TakenIn != 1 {
		t.Errorf("older than what is remembered: %+v", done)
	}
	after := standingGrant(w, "mpa-0000000000000003", ana, admin, ben)
	after.Window.Start = w.Clock.Add(-time.Minute)
	w.Activations = append(w.Activations, after)
	b := w.Broker()
	if got := b.Cautions(t.Context(), caller(ben)); len(got) != 2 { // the grants that were taken in
		t.Errorf("%v", got)
	}
	if done := surveyed(t, b); len(done.Doubts) != 1 || !strings.Contains(done.Doubts[0], after.RequestID) {
		t.Errorf("newer than all that is remembered: %+v", done)
	}
	w.Clock = w.Clock.Add(time.Minute)
	for who, want := range map[access.Principal]bool{ben: true, ana: false} {
		got := b.Cautions(t.Context(), caller(who))
		if (len(got) > 0) != want || want && got[0].Code != access.CodeLedgerOld {
			t.Errorf("%s is told %v", who, got)
		}
	}
	// Until somebody has looked.
	w.Clock = w.Clock.Add(time.Minute)
	if err := store.Doubt(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if got := w.Broker().Cautions(t.Context(), caller(ben)); len(got) == 0 || got[0].Code == access.CodeLedgerOld {
		t.Errorf("%v", got)
	}
}

// A grant of a request that nobody has approved, as far as the ledger knows.
func TestAGrantOfAPendingRequestIsDoubted(t *testing.T) {
	w, store := withLedger(t)
	w.Listed = []access.ResourceInfo{{Resource: shop}}
	asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.Activations = []access.Activation{standingGrant(w, asked.Request.ID, ana, admin, ben)}
	if done := surveyed(t, w.Broker()); len(done.Doubts) != 1 || done.TakenIn != 0 || state(t, store, asked.Request.ID) != access.Pending {
		t.Errorf("%+v", done)
	}
	// And it is not granted a second time.
	if _, err := approve(t, w.Broker(), ben, asked.Ref); codeOf(err) != access.CodeAlreadyApproved && err != nil {
		t.Errorf("%v", err)
	}
	if n := w.Calls["grant"]; n != 0 {
		t.Errorf("%d grants", n)
	}
}

// What cannot be looked at now is looked at later; what was found and could not be
// recorded is found again.
func TestASurveyGoesOnWhereItEnded(t *testing.T) {
	w, store := withLedger(t)
	w.Listed = []access.ResourceInfo{{Resource: shop}, {Resource: "projects/other"}, {Resource: "projects/third"}}
	w.Activations = []access.Activation{standingGrant(w, "jit-0000000000000001", ana, admin)}
	b := w.Broker()
	left := []int{}
	taken := 0
	for range 6 {
		done, err := b.Survey(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		left, taken = append(left, done.Left), taken+done.TakenIn
	}
	if got := left; got[0] != 2 || got[1] != 1 || got[2] != 0 || got[3] != 2 || taken != 1 {
		t.Errorf("left %v, taken %d", left, taken)
	}
	if _, err := b.Survey(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	w.CatalogErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	if done, err := b.Survey(t.Context(), 9); err != nil || done.Unread != 2 {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := b.Survey(t.Context(), 9); err == nil {
		t.Error("no list of projects, and no error")
	}
	w.CatalogErr = nil
	w.JournalErr[access.GrantTakenIn] = &access.Error{Kind: access.Unavailable, Code: access.CodeJournalUnavailable}
	w.Activations = []access.Activation{standingGrant(w, "jit-0000000000000002", ana, admin)}
	b = w.Broker()
	if done := surveyed(t, b); done.Unread != 1 || done.TakenIn != 0 {
		t.Errorf("%+v", done)
	}
	delete(w.JournalErr, access.GrantTakenIn)
	if done := surveyed(t, b); done.TakenIn != 1 {
		t.Errorf("%+v", done)
	}
	if r, err := store.Open(t.Context(), "jit-0000000000000002"); err != nil || r.State != access.Active {
		t.Errorf("%+v, %v", r, err)
	}
	// Without memory there is nothing to do.
	if done := surveyed(t, newWorld(t).Broker()); done.Looked != 0 {
		t.Errorf("%+v", done)
	}
}

// What people had at once while the ledger was out of reach is remembered when it is
// back: an activation as one, and a broken glass as one that nobody has reviewed.
func TestWhatWasMadeWhileTheLedgerWasAwayIsTakenIn(t *testing.T) {
	w, store, _ := withGlass(t)
	w.Ledger = down{store}
	away := w.Broker()
	alone := selfAsk()
	glass, err := away.Ask(t.Context(), caller(ana), emergency())
	if err != nil {
		t.Fatal(err)
	}
	self, err := away.Ask(t.Context(), caller(ana), alone)
	if err != nil {
		t.Fatal(err)
	}
	w.Ledger = store
	w.Clock = w.Clock.Add(time.Minute)
	w.Forget()
	b := w.Broker()
	if done := surveyed(t, b); done.TakenIn != 2 || len(done.Doubts) != 0 {
		t.Errorf("%+v", done)
	}
	for _, e := range w.Journal {
		if e.Err != nil {
			t.Errorf("%s: a rule lets it: %v", e.Request.ID, e.Err)
		}
	}
	for id, kind := range map[string]access.RequestKind{glass.Request.ID: access.BreakGlass, self.Request.ID: access.Self} {
		r, err := store.Open(t.Context(), id)
		if err != nil || r.State != access.Active || r.Kind != kind || r.Unreviewed() != (kind == access.BreakGlass) {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if r, _, err := b.ReviewGlass(t.Context(), caller(eve), glass.Request.ID, "was right", ""); err != nil || r.Unreviewed() {
		t.Errorf("%+v, %v", r, err)
	}
	// Pressed again, nothing is granted a second time.
	writes := w.Calls["grant"]
	if again, err := b.Ask(t.Context(), caller(ana), alone); err == nil && again.Request.ID == self.Request.ID && w.Calls["grant"] != writes {
		t.Errorf("granted again: %+v", again)
	}
}
