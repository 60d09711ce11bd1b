package broker_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

// more asks to go on with a grant of ana's, by a form that was opened now.
func more(t *testing.T, w *world, of string, kind access.RequestKind) broker.Ask {
	t.Helper()
	a := broker.Ask{Extends: of, Justification: "case 42 goes on", Duration: time.Hour, Origin: "https://jit.example.com"}
	if kind == access.Peers {
		a.Reviewers = []string{"ben@example.com", "cho@example.com"}
	}
	var err error
	if a.Form, err = access.NewForm(w.Random, kind, ana, w.Clock); err != nil {
		t.Fatal(err)
	}
	return a
}

// granted is a grant of ana's for an hour, of either kind, and its request.
func granted(t *testing.T, w *world, b *broker.Broker, kind access.RequestKind) access.Request {
	t.Helper()
	a := selfAsk()
	if kind == access.Peers {
		a = ask()
	}
	asked := mustAsk(t, b, a)
	if kind == access.Peers {
		decided, err := approve(t, b, ben, asked.Ref)
		if err != nil || decided.State != access.Active {
			t.Fatalf("%+v, %v", decided, err)
		}
	}
	r, err := w.Ledger.Open(t.Context(), asked.Request.ID)
	if err != nil || r.State != access.Active {
		t.Fatalf("%+v, %v", r, err)
	}
	return r
}

// of are the windows of a request's grant.
func windowsOf(w *world, id string) []access.Window {
	var all []access.Window
	for _, a := range w.Activations {
		if a.RequestID == id {
			all = append(all, a.Window)
		}
	}
	return all
}

// An extension begins where the grant ends, of the same roles, approved by the same rule,
// and stands beside it.
func TestAnExtensionBeginsWhereTheGrantEnds(t *testing.T) {
	for _, kind := range []access.RequestKind{access.Self, access.Peers} {
		t.Run(string(kind), func(t *testing.T) {
			w, store := withLedger(t)
			b := w.Broker()
			first := granted(t, w, b, kind)
			w.Clock = w.Clock.Add(50 * time.Minute)
			c, err := b.Extension(t.Context(), caller(ana), first.ID)
			if err != nil || c.Kind != kind || c.Extends.ID != first.ID || len(c.Roles) != 1 || c.Form == "" || (len(c.Reviewers) > 0) != (kind == access.Peers) {
				t.Fatalf("%+v, %v", c, err)
			}
			a := more(t, w, first.ID, kind)
			a.Entitlements, a.Start = []access.EntitlementID{narrow}, w.Clock // which are not its own to choose
			asked := mustAsk(t, b, a)
			if r := asked.Request; r.Extends != first.ID || !r.Start.Equal(first.Window.End) || !slices.Equal(r.Entitlements, first.Entitlements) || r.Kind != kind {
				t.Fatalf("%+v", asked.Request)
			}
			if kind == access.Peers {
				if decided, err := approve(t, b, ben, asked.Ref); err != nil || decided.State != access.Active {
					t.Fatalf("%+v, %v", decided, err)
				}
			}
			want := access.Window{Start: first.Window.End, End: first.Window.End.Add(time.Hour)}
			if got := windowsOf(w, asked.Request.ID); len(got) != 1 || got[0] != want {
				t.Errorf("granted %v, want %v", got, want)
			}
			if got := windowsOf(w, first.ID); len(got) != 1 || got[0] != first.Window {
				t.Errorf("the first is %v, was %v", got, first.Window)
			}
			if got := state(t, store, asked.Request.ID); got != access.Active {
				t.Errorf("it is %q", got)
			}
		})
	}
}

// Sent twice, to another instance and after it was granted, it is one.
func TestAnExtensionSentTwiceIsOne(t *testing.T) {
	for _, kind := range []access.RequestKind{access.Self, access.Peers} {
		w, _ := withLedger(t)
		first := granted(t, w, w.Broker(), kind)
		w.Clock = w.Clock.Add(50 * time.Minute)
		a := more(t, w, first.ID, kind)
		asked := mustAsk(t, w.Broker(), a)
		for range 2 {
			if again := mustAsk(t, w.Broker(), a); again.Request.ID != asked.Request.ID || !again.Request.Start.Equal(asked.Request.Start) {
				t.Errorf("%s: %+v", kind, again)
			}
			w.Clock = w.Clock.Add(time.Minute)
		}
		told := 0
		for _, n := range w.Told {
			if n.Request.ID == asked.Request.ID {
				told++
			}
		}
		if want := map[access.RequestKind]int{access.Self: 1, access.Peers: 0}[kind]; len(windowsOf(w, asked.Request.ID)) != want || told != 1 {
			t.Errorf("%s: granted %v, told %d times", kind, windowsOf(w, asked.Request.ID), told)
		}
	}
}

// Only the caller's own grant, while it gives access, and one extension of it at a time.
func TestWhatCanBeExtended(t *testing.T) {
	deny := func(t *testing.T, b *broker.Broker, id string) {
		if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: id, Verdict: access.Deny, Comment: "enough"}); err != nil {
			t.Fatal(err)
		}
	}
	for rule, c := range map[string]struct {
		prepare func(t *testing.T, w *world, b *broker.Broker, first access.Request)
		as      access.Principal
		kind    access.Kind
		code    access.Code
	}{
		"an active one":        {},
		"somebody else's":      {as: ben, kind: access.NotAllowed, code: access.CodeNotInvolved},
		"an admin's colleague": {as: dan, kind: access.NotAllowed, code: access.CodeNotInvolved},
		"one that is over": {prepare: func(_ *testing.T, w *world, _ *broker.Broker, _ access.Request) { w.Clock = w.Clock.Add(time.Hour) },
			kind: access.Conflict, code: access.CodeNotExtendable},
		"one that was ended": {prepare: func(t *testing.T, w *world, b *broker.Broker, first access.Request) {
			if _, err := b.End(t.Context(), caller(ana), shop, first.ID, ""); err != nil {
				t.Fatal(err)
			}
		}, kind: access.Conflict, code: access.CodeNotExtendable},
		"one that was removed by hand": {prepare: func(_ *testing.T, w *world, _ *broker.Broker, _ access.Request) { w.Activations = nil },
			kind: access.Conflict, code: access.CodeNotExtendable},
		"one with an extension that waits": {prepare: func(t *testing.T, w *world, b *broker.Broker, first access.Request) {
			mustAsk(t, b, more(t, w, first.ID, access.Peers))
		}, kind: access.Conflict, code: access.CodeAlreadyExtended},
		"one with an extension that is approved": {prepare: func(t *testing.T, w *world, b *broker.Broker, first access.Request) {
			if _, err := approve(t, b, ben, mustAsk(t, b, more(t, w, first.ID, access.Peers)).Ref); err != nil {
				t.Fatal(err)
			}
		}, kind: access.Conflict, code: access.CodeAlreadyExtended},
		"one whose extension was denied": {prepare: func(t *testing.T, w *world, b *broker.Broker, first access.Request) {
			deny(t, b, mustAsk(t, b, more(t, w, first.ID, access.Peers)).Ref)
		}},
		"one whose extension was withdrawn": {prepare: func(t *testing.T, w *world, b *broker.Broker, first access.Request) {
			if _, _, err := b.Withdraw(t.Context(), caller(ana), mustAsk(t, b, more(t, w, first.ID, access.Peers)).Ref, ""); err != nil {
				t.Fatal(err)
			}
		}},
		"one whose extension was called off": {prepare: func(t *testing.T, w *world, b *broker.Broker, first access.Request) {
			asked := mustAsk(t, b, more(t, w, first.ID, access.Peers))
			if _, err := approve(t, b, ben, asked.Ref); err != nil {
				t.Fatal(err)
			}
			if _, err := b.End(t.Context(), caller(ana), shop, asked.Request.ID, ""); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(rule, func(t *testing.T) {
			w, _ := withLedger(t)
			w.Settings.MaxDuration = 2 * time.Hour
			b := w.Broker()
			first := granted(t, w, b, access.Peers)
			w.Clock = w.Clock.Add(30 * time.Minute)
			if c.prepare != nil {
				c.prepare(t, w, b, first)
			}
			who := c.as
			if who == "" {
				who = ana
			}
			before := windowsOf(w, first.ID)
			w.Clock = w.Clock.Add(time.Second)
			_, offered := b.Extension(t.Context(), caller(who), first.ID)
			a := more(t, w, first.ID, access.Peers)
			if who != ana {
				a.Form, a.Kind, a.Reviewers = "", access.Peers, []string{"cho@example.com"}
			}
			_, err := b.Ask(t.Context(), caller(who), a)
			if c.code == "" {
				if err != nil || offered != nil {
					t.Errorf("%v, %v", err, offered)
				}
			} else {
				is(t, err, c.kind, c.code)
				is(t, offered, c.kind, c.code)
			}
			if got := windowsOf(w, first.ID); !slices.Equal(got, before) {
				t.Errorf("the grant is %v, was %v", got, before)
			}
		})
	}
	for what, id := range map[string]string{"nothing": "mpa-AAAAAAAAAAAAAAAA", "no number": "x' OR 1", "a token": "eyJ.eyJ.x"} {
		w, _ := withLedger(t)
		_, err := w.Broker().Ask(t.Context(), caller(ana), more(t, w, id, access.Self))
		is(t, err, access.NotFound, access.CodeBadLink)
		if _, err := w.Broker().Extension(t.Context(), caller(ana), id); access.AsError(err) == nil || access.AsError(err).Code != access.CodeBadLink {
			t.Errorf("%s: %v", what, err)
		}
	}
	w := newWorld(t)
	_, err := w.Broker().Ask(t.Context(), caller(ana), more(t, w, "jit-AAAAAAAAAAAAAAAA", access.Self))
	is(t, err, access.NotFound, access.CodeNeedsLedger)
}

// Refused, denied or withdrawn, the grant stays as it is.
func TestAnExtensionThatIsNotToBeLeavesTheGrant(t *testing.T) {
	w, _ := withLedger(t)
	b := w.Broker()
	first := granted(t, w, b, access.Self)
	w.Clock = w.Clock.Add(time.Minute)
	for what, change := range map[string]func(*broker.Ask){
		"too long":         func(a *broker.Ask) { a.Duration = 3 * time.Hour },
		"without a reason": func(a *broker.Ask) { a.Justification = "" },
		"of nobody's form": func(a *broker.Ask) { a.Form = "jit-AAAAAAAAAAAAAAAA" },
	} {
		a := more(t, w, first.ID, access.Self)
		change(&a)
		if _, err := b.Ask(t.Context(), caller(ana), a); err == nil {
			t.Errorf("%s: granted", what)
		}
	}
	w.Holdings[ana] = []access.Entitlement{brokertest.Peer(admin)}
	_, err := b.Ask(t.Context(), caller(ana), more(t, w, first.ID, access.Self))
	is(t, err, access.NotAllowed, access.CodeNotEligible)
	if len(w.Activations) != 1 || w.Activations[0].Window != first.Window {
		t.Errorf("%+v", w.Activations)
	}
}

// What is approved after the grant ended begins then, and what was approved before it
// began is written in the window that was approved.
func TestAnExtensionThatIsApprovedLate(t *testing.T) {
	for _, late := range []time.Duration{0, 7 * time.Minute} {
		w, _ := withLedger(t)
		b := w.Broker()
		first := granted(t, w, b, access.Peers)
		w.Clock = w.Clock.Add(50 * time.Minute)
		asked := mustAsk(t, b, more(t, w, first.ID, access.Peers))
		w.Clock = w.Clock.Add(10*time.Minute + late)
		decided, err := approve(t, w.Broker(), cho, asked.Ref)
		if err != nil || decided.State != access.Active || !decided.Window.Start.Equal(w.Clock.Truncate(time.Second)) || decided.Window.Length() != time.Hour {
			t.Errorf("%v late: %+v, %v", late, decided, err)
		}
	}
}

// The grant was ended by somebody; the extension that waited is decided by somebody who
// decides it then, and begins no sooner than was asked for.
func TestAnExtensionOfWhatWasEnded(t *testing.T) {
	w, _ := withLedger(t)
	b := w.Broker()
	first := granted(t, w, b, access.Peers)
	w.Clock = w.Clock.Add(50 * time.Minute)
	asked := mustAsk(t, b, more(t, w, first.ID, access.Peers))
	if _, err := b.End(t.Context(), caller(dan), shop, first.ID, ana); err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(time.Minute)
	decided, err := approve(t, b, ben, asked.Ref)
	if err != nil || !decided.Window.Start.Equal(first.Window.End) || len(windowsOf(w, asked.Request.ID)) != 1 {
		t.Errorf("%+v, %v", decided, err)
	}
	if got := windowsOf(w, first.ID); len(got) != 1 || !got[0].End.Before(w.Clock) {
		t.Errorf("the first is %v", got)
	}
}

// Ending a grant ends what extends it, approved or written, and what extends that.
func TestEndingEndsTheExtensionToo(t *testing.T) {
	for _, c := range []struct {
		swept bool             // it is left to the sweep, or written at once
		by    access.Principal // its holder, or an admin
	}{{false, ana}, {false, dan}, {true, ana}, {true, dan}} {
		swept := c.swept
		w, store := withLedger(t)
		b := w.Broker()
		if swept {
			if err := store.Swept(t.Context(), w.Clock); err != nil {
				t.Fatal(err)
			}
		}
		first := granted(t, w, b, access.Self)
		asked := mustAsk(t, b, more(t, w, first.ID, access.Self))
		want := map[bool]access.State{false: access.Active, true: access.Scheduled}[swept]
		if got := state(t, store, asked.Request.ID); got != want {
			t.Fatalf("swept %v: %q", swept, got)
		}
		w.Clock = w.Clock.Add(time.Minute)
		if _, err := b.End(t.Context(), caller(c.by), shop, first.ID, ana); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{first.ID, asked.Request.ID} {
			if got := state(t, store, id); got != access.Ended {
				t.Errorf("swept %v, by %s: %s is %q", swept, c.by, id, got)
			}
		}
		w.Clock = w.Clock.Add(50 * time.Minute)
		if _, err := w.Broker().Sweep(t.Context(), broker.SweepCount); err != nil {
			t.Fatal(err)
		}
		for _, a := range w.Activations {
			if a.Window.End.After(w.Clock) && a.Window.Length() > 0 {
				t.Errorf("swept %v: still there: %+v", swept, a)
			}
		}
	}
}

// With the database down the extension is known by where it begins.
func TestEndingWorksFromThePolicy(t *testing.T) {
	for _, who := range []access.Principal{ana, dan, ben} { // its holder, an admin, who approved it
		w, store := withLedger(t)
		b := w.Broker()
		first := granted(t, w, b, access.Peers)
		if _, err := approve(t, b, ben, mustAsk(t, b, more(t, w, first.ID, access.Peers)).Ref); err != nil {
			t.Fatal(err)
		}
		other := ask()
		other.Justification, other.Start = "another case", w.Clock.Add(90*time.Minute)
		kept := mustAsk(t, b, other)
		if _, err := approve(t, b, ben, kept.Ref); err != nil {
			t.Fatal(err)
		}
		w.Ledger = unreachable{store}
		w.Clock = w.Clock.Add(time.Minute)
		ended, err := w.Broker().End(t.Context(), caller(who), shop, first.ID, ana)
		if err != nil || len(ended.Outcomes) != 2 || len(ended.Warnings) == 0 {
			t.Fatalf("%s: %+v, %v", who, ended, err)
		}
		for _, a := range w.Activations {
			if gives := a.Window.Length() > 0 && a.Window.End.After(w.Clock); gives != (a.RequestID == kept.Request.ID) {
				t.Errorf("%s: %+v", who, a)
			}
		}
	}
}

// unreachable is a ledger whose database is down.
type unreachable struct{ broker.Memory }

var errUnreachable = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}

func (unreachable) Open(context.Context, string) (access.Request, error) {
	return access.Request{}, errUnreachable
}

func (unreachable) Commit(context.Context, access.Event, []access.Notice) (string, error) {
	return "", errUnreachable
}

func (unreachable) List(context.Context, access.Listing) (access.Listed, error) {
	return access.Listed{}, errUnreachable
}

func (unreachable) Sent(context.Context, access.Message) error { return errUnreachable }

// What has not begun is not extended, nor by breaking the glass.
func TestAnExtensionOfWhatHasNotBegun(t *testing.T) {
	w, _ := withLedger(t)
	b := w.Broker()
	first := granted(t, w, b, access.Self)
	w.Clock = w.Clock.Add(50 * time.Minute)
	second := mustAsk(t, b, more(t, w, first.ID, access.Self))
	_, err := b.Ask(t.Context(), caller(ana), more(t, w, second.Request.ID, access.Self))
	is(t, err, access.Conflict, access.CodeNotExtendable)

	w, _, _ = withGlass(t)
	b = w.Broker()
	peers := granted(t, w, b, access.Peers)
	a := more(t, w, peers.ID, access.BreakGlass)
	_, err = b.Ask(t.Context(), caller(ana), a)
	is(t, err, access.Invalid, access.CodeBadRequestID)
	if len(w.Activations) != 1 {
		t.Errorf("granted %v", w.Activations)
	}
}
