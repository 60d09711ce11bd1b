package broker_test

import (
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// approvedIn1 is a world in which JIT Access 1.8.1 approved the link of a request of
// ours, ten minutes after it was made.
func approvedIn1(t *testing.T) (*world, *broker.Broker, broker.Asked) {
	w, b, asked := requested(t)
	start := asked.Request.Created
	w.Activations = []access.Activation{{RequestID: "mpa-DerivedFrom1x000", Derived: true, Principal: ana, Entitlement: admin,
		Window: access.Window{Start: start, End: start.Add(time.Hour)}, Justification: asked.Request.Justification, Approvers: []access.Principal{cho}}}
	w.Clock = w.Clock.Add(10 * time.Minute)
	return w, b, asked
}

// What 1.x approved of ours is approved, to the end that it said, and not once more.
func TestALinkThatJITAccess1ApprovedIsDecided(t *testing.T) {
	for _, c := range []struct {
		rule  string
		after time.Duration
		state access.State
		kind  access.Kind
		code  access.Code
	}{
		{"while it lasts", 0, access.Active, access.Conflict, access.CodeAlreadyApproved},
		{"when it is over", 50 * time.Minute, access.Expired, access.Gone, access.CodeAlreadyEnded},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w, b, asked := approvedIn1(t)
			w.Clock = w.Clock.Add(c.after)
			view, err := b.Show(t.Context(), caller(ben), asked.Ref, "")
			if err != nil || view.State != c.state || view.CanDecide || view.Window != w.Activations[0].Window || view.WhyNot.Code != c.code {
				t.Errorf("%v, can decide %v, window %v, why not %v, %v", view.State, view.CanDecide, view.Window, view.WhyNot, err)
			}
			_, err = approve(t, b, ben, asked.Ref)
			is(t, err, c.kind, c.code)
			_, err = b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, "dan@example.com"))
			if err == nil || len(w.Activations) != 1 {
				t.Errorf("%v; granted %v", err, w.Activations)
			}
		})
	}
}

// Who approved it there gets the same result here.
func TestTheApproverIn1xGetsTheSameResult(t *testing.T) {
	w, b, asked := approvedIn1(t)
	decided, err := approve(t, b, cho, asked.Ref)
	if err != nil || decided.State != access.Active || decided.Window != w.Activations[0].Window || len(w.Activations) != 1 || len(w.Told) != 0 {
		t.Errorf("%+v, %v", decided, err)
	}
}

// 1.x may approve it between the look and the write.
func TestALinkThatJITAccess1ApprovesMeanwhile(t *testing.T) {
	for _, after := range []time.Duration{0, time.Hour} {
		w, b, asked := requested(t)
		there, _, _ := approvedIn1(t)
		w.BeforeGrant = func() {
			w.Mu.Lock()
			w.Activations, w.Clock = there.Activations, w.Clock.Add(after)
			w.Mu.Unlock()
		}
		if _, err := approve(t, b, ben, asked.Ref); err == nil || len(w.Activations) != 1 {
			t.Errorf("%v; granted %v", err, w.Activations)
		}
	}
}
