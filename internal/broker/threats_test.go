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
			w.BeforeGrant = func() { w.Mu.Lock(); w.Holdings[ana] = c.left; w.Mu.Unlock() }
			_, err := w.Broker().Ask(t.Context(), caller(ana), selfAsk())
			is(t, err, access.NotAllowed, c.code)
			if len(w.Activations) != 0 || len(w.Told) != 0 {
				t.Errorf("granted %v, told %v", w.Activations, w.Told)
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
			r := w.Requests[asked.Ref]
			if edit(&r); !r.Fixed.IsZero() {
				r.Fixed.End = r.Fixed.Start.Add(r.Duration)
			}
			w.Requests[asked.Ref] = r
			view, err := b.Show(t.Context(), caller(ben), asked.Ref, "")
			if err != nil || view.CanDecide {
				t.Errorf("can decide %v, %v", view.CanDecide, err)
			}
			_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
			is(t, err, access.Invalid, access.CodeBadStart)
			if len(w.Activations) != 0 {
				t.Errorf("granted %v", w.Activations)
			}
		})
	}
}

func TestThreat22_ReviewersOfMoreThanOneMayRequestAreNotLookedUp(t *testing.T) {
	w := newWorld(t)
	var ids []access.EntitlementID
	for i := range w.Settings.MaxRoles + 1 {
		ids = append(ids, access.EntitlementID{Resource: shop, Role: access.Role(fmt.Sprintf("roles/r%d", i))})
	}
	_, err := w.Broker().Reviewers(t.Context(), caller(dan), ids...)
	is(t, err, access.Invalid, access.CodeTooManyRoles)
	if w.Calls["standing"] != 0 {
		t.Errorf("calls %v", w.Calls)
	}
}

// A form that is sent again, or again and again, tells people once. Where the link is
// the record the first one stays as it was, so that it cannot tell.
func TestThreat24_PeopleAddedTwiceAreToldOnce(t *testing.T) {
	w, b, asked := pending(t)
	first := w.Requests[asked.Ref]
	add := func(reviewers ...string) (broker.Asked, error) {
		w.Mu.Lock()
		w.Requests[asked.Ref] = first
		w.Mu.Unlock()
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
	if len(w.Told) != 1 {
		t.Errorf("told %d times, want once", len(w.Told))
	}
	if got, want := w.Actions(), "reviewers added"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
	// What was true then may not be so any more.
	w.Holdings[cho] = nil
	_, err = add("cho@example.com")
	is(t, err, access.NotAllowed, access.CodeReviewerNotEligible)
}

// Limits that were lowered after the request was made hold when it is approved.
func TestThreat06_LimitsAreThoseOfTheApproval(t *testing.T) {
	tests := []struct {
		rule   string
		change func(*policy.Settings)
		code   access.Code
	}{
		{"the longest duration", func(i *policy.Settings) { i.MaxDuration = 30 * time.Minute }, access.CodeBadDuration},
		{"the most roles", func(i *policy.Settings) { i.MaxRoles = 0 }, access.CodeTooManyRoles},
		{"the fewest reviewers", func(i *policy.Settings) { i.MinReviewers, i.MaxReviewers = 3, 3 }, access.CodeFewReviewers},
		{"the rule for justifications", func(i *policy.Settings) { i.Justification = regexp.MustCompile(`ticket \d+`) }, access.CodeJustificationRule},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			w, _, asked := requested(t)
			test.change(&w.Settings)
			_, err := w.Broker().Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
			is(t, err, access.Invalid, test.code)
			if len(w.Activations) != 0 {
				t.Errorf("granted %v", w.Activations)
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
		w.Activations = []access.Activation{{RequestID: asked.Request.ID, Principal: ana, Entitlement: viewer, Window: live, Approvers: []access.Principal{cho}}}
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
			w, asking := newWorld(t), ask()
			asking.Form = formOf(ana, access.Peers)
			asked, err := newWorld(t).Broker().Ask(t.Context(), caller(ana), asking)
			if err != nil {
				t.Fatal(err)
			}
			a.RequestID = asked.Request.ID
			w.Activations = []access.Activation{a}
			_, err = w.Broker().Ask(t.Context(), caller(ana), asking)
			is(t, err, access.Conflict, access.CodeBadRequestID)
		})
	}
}
