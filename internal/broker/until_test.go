package broker_test

import (
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// ending gives ana's eligibilities, and ben's, an end.
func ending(w *world, until time.Time) {
	for _, p := range []access.Principal{ana, ben} {
		for i := range w.Holdings[p] {
			w.Holdings[p][i].Until = until
		}
	}
}

func TestAGrantLastsNoLongerThanTheEligibility(t *testing.T) {
	w := newWorld(t)
	until := w.Clock.Truncate(time.Second).Add(10 * time.Minute)
	ending(w, until)
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), selfAsk())
	if err != nil {
		t.Fatal(err)
	}
	if got := w.Activations[0].Window.End; !got.Equal(until) || !asked.Window.End.Equal(until) {
		t.Errorf("granted until %s, told until %s, want %s", got, asked.Window.End, until)
	}
	for _, e := range w.Journal {
		if !e.Window.End.Equal(until) {
			t.Errorf("%s journals an end at %s", e.Action, e.Window.End)
		}
	}

	// The same of what peers approve: in the mail, to the approver, and in the grant.
	w = newWorld(t)
	ending(w, until)
	b = w.Broker()
	asked, err = b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(time.Minute)
	v, err := b.Show(t.Context(), caller(ben), asked.Ref, "https://jit.example.com")
	if err != nil || !v.CanDecide || !v.Window.End.Equal(until) {
		t.Errorf("ben is shown %v, %v, %v", v.Window, v.WhyNot, err)
	}
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	if err != nil || !decided.Window.End.Equal(until) || !w.Activations[0].Window.End.Equal(until) {
		t.Errorf("decided %v, granted %v, %v", decided.Window, w.Activations, err)
	}
	for _, n := range w.Told {
		if !n.Window.End.Equal(until) {
			t.Errorf("%s tells an end at %s", n.Kind, n.Window.End)
		}
	}
}

// A later end changes nothing.
func TestAnEligibilityThatEndsLaterCutsNothing(t *testing.T) {
	w := newWorld(t)
	ending(w, w.Clock.Add(3*time.Hour))
	if asked, err := w.Broker().Ask(t.Context(), caller(ana), selfAsk()); err != nil || asked.Window.Length() != time.Hour {
		t.Errorf("%v, %v", asked.Window, err)
	}
}

func TestWhatBeginsAfterTheEligibilityIsRefused(t *testing.T) {
	w := newWorld(t)
	ending(w, w.Clock.Add(time.Hour).Truncate(time.Second))
	b := w.Broker()
	a := ask()
	a.Start = w.Clock.Add(time.Hour)
	_, err := b.Ask(t.Context(), caller(ana), a)
	is(t, err, access.NotAllowed, access.CodeEligibilityEnds)

	// It had an end that was far when it was asked for.
	w = newWorld(t)
	b = w.Broker()
	a.Start = w.Clock.Add(30 * time.Minute)
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	ending(w, w.Clock.Add(20*time.Minute).Truncate(time.Second))
	_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	is(t, err, access.NotAllowed, access.CodeEligibilityEnds)
	if len(w.Activations) > 0 {
		t.Errorf("granted %v", w.Activations)
	}
}

// The end that counts is that of the policy which is written.
func TestAnEligibilityThatIsCutShortMeanwhileGrantsNothing(t *testing.T) {
	w := newWorld(t)
	w.BeforeGrant = func() { ending(w, w.Clock.Add(5*time.Minute).Truncate(time.Second)) }
	_, err := w.Broker().Ask(t.Context(), caller(ana), selfAsk())
	is(t, err, access.NotAllowed, access.CodeEligibilityEnds)

	w = newWorld(t)
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.BeforeGrant = func() { ending(w, w.Clock.Add(5*time.Minute).Truncate(time.Second)) }
	_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	is(t, err, access.NotAllowed, access.CodeEligibilityEnds)
	if len(w.Activations) > 0 {
		t.Errorf("granted %v", w.Activations)
	}
}

// Who ran to the end of their eligibility has not ended early.
func TestAGrantThatLastedAsLongAsTheEligibilityIsExpired(t *testing.T) {
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	r := access.Request{ID: "jit-AAAAAAAAAAAAAAAA", Principal: ana, Duration: time.Hour}
	for _, c := range []struct {
		rule       string
		end, until time.Duration
		want       access.State
	}{
		{"the whole hour", time.Hour, 0, access.Expired},
		{"ended early", 10 * time.Minute, 0, access.Ended},
		{"until the eligibility ended", 10 * time.Minute, 10 * time.Minute, access.Expired},
		{"ended before that", 5 * time.Minute, 10 * time.Minute, access.Ended},
		{"ended before it began", 0, 10 * time.Minute, access.Ended},
		{"an eligibility that ended before it began", 0, -time.Minute, access.Ended},
	} {
		a := access.Activation{Window: access.Window{Start: start, End: start.Add(c.end)}}
		if c.until != 0 {
			a.Until = start.Add(c.until)
		}
		if got := r.StateWith([]access.Activation{a}, start.Add(2*time.Hour)); got != c.want {
			t.Errorf("%s: %s, want %s", c.rule, got, c.want)
		}
	}
}

// What makes nobody eligible names people and bindings: it is for admins.
func TestOnlyAdminsSeeWhatMakesNobodyEligible(t *testing.T) {
	w := newWorld(t)
	w.Ineffective = []access.Ineffective{{Node: shop, Role: "roles/x", Why: &access.Error{Code: access.CodeMarkerMisspelled}}}
	w.GroupsOf = map[access.Principal][]string{cho: {"ops@example.com"}}
	for p, want := range map[access.Principal]int{ana: 0, ben: 0, cho: 1, dan: 1} {
		offer, err := w.Broker().Offer(t.Context(), caller(p), shop)
		if err != nil || len(offer.Ineffective) != want {
			t.Errorf("%s sees %v, %v", p, offer.Ineffective, err)
		}
	}
}
