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

// Whoever edits the policy while somebody activates can give another person's grant, or
// one of another role, the number: it is looked at on the policy that is written.
func TestThreat05_ANumberIsLookedAtOnThePolicyThatIsWritten(t *testing.T) {
	asking := selfAsk()
	asking.Form = formOf(ana, access.Self)
	id := mustAsk(t, newWorld(t).Broker(), asking).Request.ID
	for rule, a := range map[string]access.Activation{"another person": {Principal: ben, Entitlement: viewer}, "another role": {Principal: ana, Entitlement: admin}} {
		w := newWorld(t)
		a.RequestID, a.Window = id, access.Window{Start: dawn.Truncate(time.Second), End: dawn.Truncate(time.Second).Add(time.Hour)}
		w.BeforeGrant = func() { w.Activations = []access.Activation{a} }
		_, err := w.Broker().Ask(t.Context(), caller(ana), asking)
		if e := access.AsError(err); e == nil || e.Code != access.CodeBadRequestID || len(w.Activations) != 1 {
			t.Errorf("%s: %v, %d grants", rule, err, len(w.Activations))
		}
	}
}

// So is that access has ended meanwhile.
func TestAFormIsOldOnThePolicyThatIsWritten(t *testing.T) {
	w := newWorld(t)
	asking := selfAsk()
	asking.Form = formOf(ana, access.Self)
	w.Clock = w.Clock.Add(10 * time.Minute)
	w.BeforeGrant = func() {
		w.Activations = []access.Activation{{RequestID: "jit-AAAAAAAAAAAAAAAA", Principal: ana, Entitlement: viewer,
			Window: access.Window{Start: dawn.Truncate(time.Second), End: dawn.Truncate(time.Second).Add(time.Minute)}}}
	}
	_, err := w.Broker().Ask(t.Context(), caller(ana), asking)
	is(t, err, access.Gone, access.CodeOldForm)
}

// The clock of whoever ended access was behind that of the instance that showed the form: the
// form is old all the same. One that was opened after the end is good at once, and so is what
// is asked without a form.
func TestWhatWasEndedByAClockThatIsBehindStaysEnded(t *testing.T) {
	for _, behind := range []time.Duration{0, time.Second, access.LinkSkew - 2*time.Second} {
		w := newWorld(t)
		b, a := w.Broker(), selfAsk()
		live := mustAsk(t, b, a)
		w.Clock = w.Clock.Add(10 * time.Minute)
		choose := func() string {
			t.Helper()
			choice, err := b.Choose(t.Context(), caller(ana), shop, viewer)
			if err != nil {
				t.Fatal(err)
			}
			return choice.Form
		}
		a.Form = choose()
		w.Clock = w.Clock.Add(time.Second - behind)
		if _, err := b.End(t.Context(), caller(dan), shop, live.Request.ID, ana); err != nil {
			t.Fatal(err)
		}
		w.Clock = w.Clock.Add(time.Second + behind)
		_, err := b.Ask(t.Context(), caller(ana), a)
		is(t, err, access.Gone, access.CodeOldForm)
		a.Form = choose()
		mustAsk(t, b, a)
		a.Form, a.Justification = "", "case 43"
		mustAsk(t, b, a)
	}
}

// watched sees the contexts with which grants are written.
type watched struct {
	*brokertest.World
	contexts []context.Context
}

func (w *watched) Grant(ctx context.Context, g access.Grant, q access.StandingQuery, check func(access.Standing) error) ([]access.Outcome, error) {
	w.contexts = append(w.contexts, ctx)
	return w.World.Grant(ctx, g, q, check)
}

// An action that goes on without its caller ends in time all the same: when the caller
// said, or after 25 seconds.
func TestWhatGoesOnWithoutItsCallerHasADeadline(t *testing.T) {
	soon, cancel := context.WithTimeout(t.Context(), 7*time.Second)
	defer cancel()
	for most, ctx := range map[time.Duration]context.Context{7 * time.Second: soon, 25 * time.Second: t.Context()} {
		w := &watched{World: newWorld(t)}
		registration := w.Registration()
		registration.Provider = w
		if _, err := w.BrokerOf(registration).Ask(context.WithValue(ctx, w, 1), caller(ana), selfAsk()); err != nil {
			t.Fatal(err)
		}
		if deadline, ok := w.contexts[0].Deadline(); !ok || time.Until(deadline) > most || w.contexts[0].Value(w) == nil {
			t.Errorf("%v, %v", deadline, ok)
		}
	}
}

// One entitlement that a link spells in two ways is one.
func TestOneEntitlementSpelledTwiceIsOne(t *testing.T) {
	w := newWorld(t)
	for _, p := range []access.Principal{ana, ben} {
		w.Holdings[p] = []access.Entitlement{brokertest.Peer(narrow)}
	}
	other := narrow
	other.Condition = `resource.name=='a'`
	w.Requests["ref"] = access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Kind: access.Peers, State: access.Pending, Principal: ana, Resource: shop,
		Entitlements: []access.EntitlementID{narrow, other}, Justification: "x", Duration: time.Hour, Reviewers: []access.Principal{ben},
		Created: w.Clock, Expires: w.Clock.Add(time.Hour)}
	b := w.Broker()
	view, err := b.Show(t.Context(), caller(ben), "ref", "")
	if err != nil || !slices.Equal(view.Request.Entitlements, []access.EntitlementID{narrow}) || len(view.Effects) != 1 {
		t.Errorf("shown %v, %d bindings, %v", view.Request.Entitlements, len(view.Effects), err)
	}
	if d, err := approve(t, b, ben, "ref"); err != nil || len(d.Outcomes) != 1 || len(w.Activations) != 1 {
		t.Errorf("%d outcomes, %d grants, %v", len(d.Outcomes), len(w.Activations), err)
	}
}

// Nobody asks more people, or learns whom they could ask, for what they may not have.
func TestMoreReviewersOnlyWhileTheRequesterIsEligible(t *testing.T) {
	for rule, left := range map[string][]access.Entitlement{"nothing": nil, "alone now": {brokertest.Self(admin)}, "reviewing": {{ID: admin, MayReview: true}}} {
		w, b, asked := pending(t)
		w.Holdings[ana] = left
		more, err := b.MoreReviewers(t.Context(), caller(ana), asked.Ref)
		if !isNotEligible(err) || len(more.Candidates) != 0 {
			t.Errorf("%s: %v, %v", rule, more.Candidates, err)
		}
		if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, string(cho))); !isNotEligible(err) || len(w.Told) != 0 {
			t.Errorf("%s: told %v, %v", rule, w.Told, err)
		}
	}
}

func isNotEligible(err error) bool {
	e := access.AsError(err)
	return e != nil && e.Code == access.CodeNotEligible
}

// Somebody who was asked by another link does not approve by the first.
func TestWhoDeclinedIsNoReviewerOfTheFirstLink(t *testing.T) {
	_, b, asked := pending(t)
	if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, string(cho))); err != nil {
		t.Fatal(err)
	}
	_, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	is(t, err, access.NotAllowed, access.CodeNotInvolved)
}
