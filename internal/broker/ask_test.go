package broker_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

func TestSelfApprovalGrantsAtOnce(t *testing.T) {
	w := newWorld(t)
	asked, err := w.Broker().Ask(t.Context(), caller(ana), selfAsk())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(asked.Request.ID, "jit-") || asked.ReviewURL != "" || len(asked.Warnings) != 0 {
		t.Errorf("%+v", asked)
	}
	if want := (access.Window{Start: w.Clock.Truncate(time.Second), End: w.Clock.Truncate(time.Second).Add(time.Hour)}); asked.Window != want || w.Activations[0].Window != want {
		t.Errorf("window %v, granted %v, want %v", asked.Window, w.Activations[0].Window, want)
	}
	if got, want := w.Actions(), "self-approved, granted"; got != want {
		t.Errorf("journal %q, want %q: the intent before the grant, the outcome after it", got, want)
	}
	if len(w.Activations[0].Approvers) != 0 {
		t.Errorf("a self-approved grant names no approvers, got %v", w.Activations[0].Approvers)
	}
}

func TestAskIsRefused(t *testing.T) {
	long := strings.Repeat("x", access.MaxJustification+1)
	tests := []struct {
		rule   string
		change func(*broker.Ask)
		kind   access.Kind
		code   access.Code
		field  string
	}{
		{"no entitlement", func(a *broker.Ask) { a.Entitlements = nil }, access.Invalid, access.CodeNoEntitlement, "entitlement"},
		{"more roles than allowed", func(a *broker.Ask) { a.Entitlements = []access.EntitlementID{admin, viewer, narrow} }, access.Invalid, access.CodeTooManyRoles, "entitlement"},
		{"an entitlement of another resource", func(a *broker.Ask) { a.Resource = "projects/other" }, access.Invalid, access.CodeOtherResource, "entitlement"},
		{"a malformed id", func(a *broker.Ask) { a.Form = "mpa-../../x" }, access.Invalid, access.CodeBadRequestID, "id"},
		{"reviewers for an activation without others", func(a *broker.Ask) { a.Form = formOf(ana, access.Self) }, access.Invalid, access.CodeBadRequestID, "id"},
		{"a request to nobody", func(a *broker.Ask) { a.Form, a.Reviewers = formOf(ana, access.Peers), nil }, access.Invalid, access.CodeFewReviewers, "reviewer"},
		{"an activation alone of what needs approval", func(a *broker.Ask) { a.Reviewers = nil }, access.NotAllowed, access.CodeNeedsApproval, "entitlement"},
		{"a role that is not held", func(a *broker.Ask) { a.Entitlements = []access.EntitlementID{narrow} }, access.NotAllowed, access.CodeNotEligible, "entitlement"},
		{"a request for what is only self-approved", func(a *broker.Ask) { a.Entitlements = []access.EntitlementID{viewer} }, access.NotAllowed, access.CodeNotEligible, "entitlement"},
		{"oneself as reviewer", func(a *broker.Ask) { a.Reviewers = []string{"ANA@example.com"} }, access.Invalid, access.CodeSelfReviewer, "reviewer"},
		{"a reviewer who is no address", func(a *broker.Ask) { a.Reviewers = []string{"ben@example.com@evil.com"} }, access.Invalid, access.CodeBadReviewer, "reviewer"},
		{"a reviewer who is not eligible", func(a *broker.Ask) { a.Reviewers = []string{"dan@example.com"} }, access.NotAllowed, access.CodeReviewerNotEligible, "reviewer"},
		{"too many reviewers", func(a *broker.Ask) { a.Reviewers = []string{"ben@example.com", "cho@example.com", "dan@example.com"} }, access.Invalid, access.CodeManyReviewers, "reviewer"},
		{"no justification", func(a *broker.Ask) { a.Justification = " \t" }, access.Invalid, access.CodeNoJustification, "justification"},
		{"a justification that is too long", func(a *broker.Ask) { a.Justification = long }, access.Invalid, access.CodeLongJustification, "justification"},
		{"a line break in it", func(a *broker.Ask) { a.Justification = "a\nb" }, access.Invalid, access.CodeUnsafeJustification, "justification"},
		{"a bidi control in it", func(a *broker.Ask) { a.Justification = "a\u202eb" }, access.Invalid, access.CodeUnsafeJustification, "justification"},
		{"a zero-width space in it", func(a *broker.Ask) { a.Justification = "a\u200bb" }, access.Invalid, access.CodeUnsafeJustification, "justification"},
		{"not UTF-8", func(a *broker.Ask) { a.Justification = "a\xffb" }, access.Invalid, access.CodeUnsafeJustification, "justification"},
		{"not what the operator's pattern wants", func(a *broker.Ask) { a.Justification = "case #42" }, access.Invalid, access.CodeJustificationRule, "justification"},
		{"no duration", func(a *broker.Ask) { a.Duration = 0 }, access.Invalid, access.CodeBadDuration, "minutes"},
		{"a negative duration", func(a *broker.Ask) { a.Duration = -time.Minute }, access.Invalid, access.CodeBadDuration, "minutes"},
		{"less than a minute", func(a *broker.Ask) { a.Duration = 30 * time.Second }, access.Invalid, access.CodeBadDuration, "minutes"},
		{"part of a minute", func(a *broker.Ask) { a.Duration = 90 * time.Second }, access.Invalid, access.CodeBadDuration, "minutes"},
		{"longer than allowed", func(a *broker.Ask) { a.Duration = 2*time.Hour + time.Minute }, access.Invalid, access.CodeBadDuration, "minutes"},
		{"a start long ago", func(a *broker.Ask) { a.Start = time.Unix(0, 0) }, access.Invalid, access.CodeBadStart, "start"},
		{"a start too far ahead", func(a *broker.Ask) { a.Start = time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC) }, access.Invalid, access.CodeBadStart, "start"},
		{"a later start for what nobody approves", func(a *broker.Ask) {
			a.Entitlements, a.Reviewers = []access.EntitlementID{viewer}, nil
			a.Start = time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)
		}, access.Invalid, access.CodeStartsAtOnce, "start"},
		{"no origin for the link", func(a *broker.Ask) { a.Origin = "" }, access.Unprocessable, access.CodeNoPublicURL, ""},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			w, a := newWorld(t), ask()
			test.change(&a)
			_, err := w.Broker().Ask(t.Context(), caller(ana), a)
			is(t, err, test.kind, test.code)
			if got := access.AsError(err).Field; got != test.field {
				t.Errorf("names field %q, want %q", got, test.field)
			}
			if len(w.Activations) != 0 || len(w.Requests) != 0 || len(w.Told) != 0 {
				t.Errorf("granted %v, stored %v, told %v; want nothing", w.Activations, w.Requests, w.Told)
			}
			if w.Actions() != "refused" {
				t.Errorf("journal %q, want the refusal", w.Actions())
			}
		})
	}
}

func TestAskTellsReviewersWithTheLink(t *testing.T) {
	w := newWorld(t)
	asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	if want := "https://jit.example.com/?activation=ref-" + asked.Request.ID + "&projectId=shop"; asked.ReviewURL != want {
		t.Errorf("link %q, want %q", asked.ReviewURL, want)
	}
	if len(w.Told) != 1 || w.Told[0].ReviewURL != asked.ReviewURL || len(w.Told[0].To) != 2 || w.Told[0].CC[0] != ana {
		t.Errorf("told %+v; want ben and cho with the link, ana in copy", w.Told)
	}
	if len(w.Activations) != 0 {
		t.Errorf("granted %v before anybody approved", w.Activations)
	}
}

func TestAskThatIsSentTwiceIsOne(t *testing.T) {
	w := newWorld(t)
	b := w.Broker()
	a := ask()
	a.Form, _ = b.NewForm(caller(ana), access.Peers)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if asked, err := b.Ask(t.Context(), caller(ana), a); err != nil || asked.Request.ID == a.Form {
				t.Errorf("%+v, %v", asked, err)
			}
		})
	}
	wg.Wait()
	if len(w.Told) != 1 {
		t.Errorf("told %d times, want once", len(w.Told))
	}
	a.Justification = "case 43"
	if _, err := b.Ask(t.Context(), caller(ana), a); err != nil || len(w.Told) != 2 {
		t.Errorf("%v, told %d times: a corrected form is a new ask", err, len(w.Told))
	}
}

func TestAskThatFailedMayBeSentAgain(t *testing.T) {
	w := newWorld(t)
	b := w.Broker()
	a := ask()
	a.Form, _ = b.NewForm(caller(ana), access.Peers)
	w.Store.Err = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	_, err := b.Ask(t.Context(), caller(ana), a)
	is(t, err, access.Unavailable, access.CodeUpstreamFailed)
	w.Store.Err = nil
	if _, err := b.Ask(t.Context(), caller(ana), a); err != nil {
		t.Error(err)
	}
}

func TestWithoutAChannelTheLinkIsPassedOnByHand(t *testing.T) {
	w := newWorld(t)
	w.Silent = true
	asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
	if err != nil || asked.ReviewURL == "" || len(asked.Warnings) != 1 || asked.Warnings[0].Code != access.CodeNoChannel {
		t.Errorf("%+v, %v", asked, err)
	}
}

func TestMailThatFailsIsAWarning(t *testing.T) {
	w := newWorld(t)
	w.Undelivered = access.Receipts{{To: cho, Channel: "mail", Err: errors.New("550")}}
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil || len(asked.Warnings) != 1 || asked.Warnings[0].Args["recipient"] != "cho@example.com" {
		t.Fatalf("%+v, %v", asked, err)
	}
	// Threat 31: mail that fails after the grant turns no grant into an error.
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	if err != nil || decided.State != access.Active || len(decided.Warnings) != 1 || len(w.Activations) != 1 {
		t.Errorf("%+v, %v", decided, err)
	}
	if got, want := w.Actions(), "request made, notice failed, approved, granted, notice failed"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
}

// A form that is sent again after its access is over is not answered that it was granted.
func TestAFormSentAgainAfterItsAccessIsOver(t *testing.T) {
	w := newWorld(t)
	b, a := w.Broker(), selfAsk()
	a.Form, a.Duration = formOf(ana, access.Self), time.Minute
	if _, err := b.Ask(t.Context(), caller(ana), a); err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(10 * time.Minute)
	_, err := b.Ask(t.Context(), caller(ana), a)
	is(t, err, access.Gone, access.CodeAlreadyEnded)
}
