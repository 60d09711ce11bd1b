package broker_test

import (
	"regexp"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// unwritten is a request of which ben's approval is recorded, and no grant was written.
func unwritten(t *testing.T) (*world, *broker.Broker, broker.Asked) {
	w, b, asked := remembering(t, nil)
	w.GrantErr = passing
	if _, err := approve(t, b, ben, asked.Ref); err == nil || w.Requests[asked.Ref].State != access.Approved {
		t.Fatalf("%v, %v", w.Requests[asked.Ref].State, err)
	}
	w.GrantErr = nil
	return w, b, asked
}

var passing = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}

// A write that is tried again rests on today's terms too.
func TestARetryKeepsToTheTerms(t *testing.T) {
	frozen := &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible}
	for name, c := range map[string]struct {
		change func(*world)
		code   access.Code
	}{
		"a shorter time": {func(w *world) { w.Settings.MaxDuration = 10 * time.Minute }, access.CodeBadDuration},
		"two approvals":  {twoOfTwo, access.CodeGrantRefused},
		"none at all": {func(w *world) {
			w.Policy = rules(func(access.Subject) (access.Terms, error) { return access.Terms{}, frozen })
		}, frozen.Code},
		"another reason":          {func(w *world) { w.Settings.Justification = regexp.MustCompile(`x`) }, access.CodeJustificationRule},
		"a reviewer who may not":  {func(w *world) { w.Holdings[ben] = nil }, access.CodeReviewerLost},
		"a requester who may not": {func(w *world) { w.Holdings[ana] = nil }, access.CodeRequesterLost},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, asked := unwritten(t)
			c.change(w)
			_, err := approve(t, w.Broker(), ben, asked.Ref)
			if err == nil || access.AsError(err).Code != c.code || len(w.Activations) != 0 {
				t.Errorf("granted %v, %v", w.Activations, err)
			}
		})
	}
}

// Who approved, and did not count, does not hold up the retry.
func TestARetryCountsAsTheFirstTimeDid(t *testing.T) {
	w := newWorld(t)
	w.Forgets, w.Settings.MaxReviewers, w.Holdings[dan] = false, 3, w.Holdings[ben]
	twoOfTwo(w)
	b, a := w.Broker(), ask()
	a.Reviewers = append(a.Reviewers, string(dan))
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []access.Principal{ben, cho} {
		if _, err := approve(t, b, p, asked.Ref); err != nil {
			t.Fatal(err)
		}
		w.Holdings[ben] = nil
	}
	w.GrantErr = passing
	if _, err := approve(t, b, dan, asked.Ref); err == nil || w.Requests[asked.Ref].State != access.Approved {
		t.Fatalf("%v, %v", w.Requests[asked.Ref].State, err)
	}
	w.GrantErr = nil
	if d, err := approve(t, b, dan, asked.Ref); err != nil || d.State != access.Active || len(w.Activations[0].Approvers) != 2 {
		t.Errorf("%v, %v, %v", d.State, w.Activations, err)
	}
}

// An ending that failed does not change what was approved.
func TestAFailedEndingKeepsTheWindow(t *testing.T) {
	w, b, asked := unwritten(t)
	approved := w.Requests[asked.Ref].Window
	// Somebody who edits the policy writes a binding that bears the id, for another role.
	w.Activations = []access.Activation{{RequestID: asked.Request.ID, Principal: ana, Entitlement: viewer,
		Window: access.Window{Start: w.Clock, End: w.Clock.AddDate(1, 0, 0)}}}
	w.GrantErr = passing
	if _, err := b.End(t.Context(), caller(ana), shop, asked.Request.ID, ""); err == nil {
		t.Fatal("it ended")
	}
	w.GrantErr = nil
	if d, err := approve(t, b, ben, asked.Ref); err != nil || d.Window != approved {
		t.Errorf("approved for %v, granted %v, %v", approved, d.Window, err)
	}
}

// Whatever a store remembers, nothing is granted for longer than was asked.
func TestNoWindowIsLongerThanWhatWasAsked(t *testing.T) {
	w, b, asked := unwritten(t)
	r := w.Requests[asked.Ref]
	r.Window.End = r.Window.End.Add(time.Second)
	w.Requests[asked.Ref] = r
	_, err := approve(t, b, ben, asked.Ref)
	is(t, err, access.Gone, access.CodeGrantRefused)
	if len(w.Activations) != 0 {
		t.Errorf("granted %v", w.Activations)
	}
}

// A grant that somebody wrote and ended while this one was about to be written is over.
func TestAnEndingMeanwhileIsNotActive(t *testing.T) {
	w, b, asked := requested(t)
	w.BeforeGrant = func() {
		w.Activations = []access.Activation{{RequestID: asked.Request.ID, Principal: ana, Entitlement: admin,
			Window: access.Window{Start: w.Clock.Add(-time.Minute), End: w.Clock}}}
	}
	d, err := approve(t, b, ben, asked.Ref)
	is(t, err, access.Gone, access.CodeAlreadyEnded)
	if d.State == access.Active {
		t.Errorf("it is %s", d.State)
	}
}
