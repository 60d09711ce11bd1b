package broker_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/policy"
)

// Threat 06, of who activates alone: what they held when they asked is not enough.
func TestThreat06_SelfApprovalIsCheckedOnThePolicyThatIsWritten(t *testing.T) {
	for rule, c := range map[string]struct {
		left []access.Entitlement
		code access.Code
	}{
		"nothing is left":        {nil, access.CodeNotEligible},
		"peers must approve now": {[]access.Entitlement{{ID: viewer, PeerApproval: true}}, access.CodeNeedsApproval},
		"only reviewing is left": {[]access.Entitlement{{ID: viewer, MayReview: true}}, access.CodeNotEligible},
		"another role is left":   {[]access.Entitlement{{ID: admin, SelfApproval: true}}, access.CodeNotEligible},
		"a narrower one is left": {[]access.Entitlement{{ID: access.EntitlementID{Resource: shop, Role: viewer.Role, Condition: `resource.name == "a"`}, SelfApproval: true}}, access.CodeNotEligible},
	} {
		t.Run(rule, func(t *testing.T) {
			w := newWorld(t)
			w.beforeGrant = func() { w.mu.Lock(); w.holdings[ana] = c.left; w.mu.Unlock() }
			_, err := w.broker().Ask(t.Context(), caller(ana), selfAsk())
			is(t, err, access.NotAllowed, c.code)
			if len(w.activations) != 0 || len(w.told) != 0 {
				t.Errorf("granted %v, told %v", w.activations, w.told)
			}
		})
	}
}

// Threat 11: whoever can sign as the service account can put any window into a link,
// and one that begins when nobody looks any more is not granted.
func TestThreat11_AWindowBeginsWithinTheDay(t *testing.T) {
	for rule, edit := range map[string]func(*access.Request){
		"of ours":    func(r *access.Request) { r.Start = r.Created.Add(25 * time.Hour) },
		"of 1.x":     func(r *access.Request) { r.Fixed.Start = r.Created.Add(25 * time.Hour) },
		"years from": func(r *access.Request) { r.Start = r.Created.AddDate(2, 0, 0) },
	} {
		t.Run(rule, func(t *testing.T) {
			w, b, asked := requested(t)
			r := w.requests[asked.Ref]
			if edit(&r); !r.Fixed.IsZero() {
				r.Fixed.End = r.Fixed.Start.Add(r.Duration)
			}
			w.requests[asked.Ref] = r
			view, err := b.Show(t.Context(), caller(ben), asked.Ref, "")
			if err != nil || view.CanDecide {
				t.Errorf("can decide %v, %v", view.CanDecide, err)
			}
			_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
			is(t, err, access.Invalid, access.CodeBadStart)
			if len(w.activations) != 0 {
				t.Errorf("granted %v", w.activations)
			}
		})
	}
}

func TestThreat22_ReviewersOfMoreThanOneMayRequestAreNotLookedUp(t *testing.T) {
	w := newWorld(t)
	var ids []access.EntitlementID
	for i := range w.policy.MaxRoles + 1 {
		ids = append(ids, access.EntitlementID{Resource: shop, Role: access.Role(fmt.Sprintf("roles/r%d", i))})
	}
	_, _, err := w.broker().Reviewers(t.Context(), caller(dan), ids...)
	is(t, err, access.Invalid, access.CodeTooManyRoles)
	if w.calls["standing"] != 0 {
		t.Errorf("calls %v", w.calls)
	}
}

// A form that is sent again, or again and again, tells people once. Where the link is
// the record the first one stays as it was, so that it cannot tell.
func TestThreat24_PeopleAddedTwiceAreToldOnce(t *testing.T) {
	w, b, asked := pending(t)
	first := w.requests[asked.Ref]
	add := func(reviewers ...string) (broker.Asked, error) {
		w.mu.Lock()
		w.requests[asked.Ref] = first
		w.mu.Unlock()
		return b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, reviewers...))
	}
	added, err := add("cho@example.com")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if again, err := add("ben@example.com", "Cho@example.com"); err != nil || again.Ref != added.Ref || again.ReviewURL != added.ReviewURL {
			t.Errorf("%+v, %v", again, err)
		}
	}
	if len(w.told) != 1 {
		t.Errorf("told %d times, want once", len(w.told))
	}
	if got, want := w.actions(), "reviewers added"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
	// What was true then may not be so any more.
	w.holdings[cho] = nil
	_, err = add("cho@example.com")
	is(t, err, access.NotAllowed, access.CodeReviewerNotEligible)
}

// Limits that were lowered after the request was made hold when it is approved.
func TestThreat06_LimitsAreThoseOfTheApproval(t *testing.T) {
	tests := []struct {
		rule   string
		change func(*policy.Instance)
		code   access.Code
	}{
		{"the longest duration", func(i *policy.Instance) { i.MaxDuration = 30 * time.Minute }, access.CodeBadDuration},
		{"the most roles", func(i *policy.Instance) { i.MaxRoles = 0 }, access.CodeTooManyRoles},
		{"the fewest reviewers", func(i *policy.Instance) { i.MinReviewers, i.MaxReviewers = 3, 3 }, access.CodeFewReviewers},
		{"the rule for justifications", func(i *policy.Instance) { i.Justification = regexp.MustCompile(`ticket \d+`) }, access.CodeJustificationRule},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			w, _, asked := requested(t)
			test.change(&w.policy)
			_, err := w.broker().Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
			is(t, err, access.Invalid, test.code)
			if len(w.activations) != 0 {
				t.Errorf("granted %v", w.activations)
			}
		})
	}
}

// The id comes with the form, and anybody who may edit a policy can write one.
func TestThreat05_AnIDStandsForItsOwnRolesOnly(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	live := access.Window{Start: now, End: now.Add(time.Hour)}
	t.Run("a grant of another role that bears the id says nothing of the request", func(t *testing.T) {
		w, b, asked := requested(t)
		w.activations = []access.Activation{{RequestID: asked.Request.ID, Principal: ana, Entitlement: viewer, Window: live, Approvers: []access.Principal{cho}}}
		view, err := b.Show(t.Context(), caller(ben), asked.Ref, "")
		if err != nil || view.State != access.Pending || !view.CanDecide {
			t.Errorf("%v, can decide %v, %v", view.State, view.CanDecide, err)
		}
	})
	for name, a := range map[string]access.Activation{
		"another role":   {Principal: ana, Entitlement: viewer, Window: live},
		"another person": {Principal: ben, Entitlement: admin, Window: live},
	} {
		t.Run("an id that was used for "+name+" is refused", func(t *testing.T) {
			w := newWorld(t)
			a.RequestID = "mpa-AAAAAAAAAAAAAAAA"
			w.activations = []access.Activation{a}
			asking := ask()
			asking.ID = a.RequestID
			_, err := w.broker().Ask(t.Context(), caller(ana), asking)
			is(t, err, access.Conflict, access.CodeBadRequestID)
		})
	}
}
