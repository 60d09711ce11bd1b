package broker_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/policy"
)

func TestOfferListsWhatMayBeRequested(t *testing.T) {
	w := newWorld(t)
	w.holdings[ana] = append(w.holdings[ana], access.Entitlement{ID: narrow, MayReview: true})
	w.activations = []access.Activation{
		{RequestID: "a", Principal: ana, Entitlement: viewer, Window: access.Window{Start: w.now.Add(-time.Hour), End: w.now.Add(time.Minute)}},
		{RequestID: "b", Principal: ana, Entitlement: viewer, Window: access.Window{Start: w.now.Add(-time.Hour), End: w.now.Add(time.Hour)}},
		{RequestID: "c", Principal: ben, Entitlement: admin, Window: access.Window{Start: w.now.Add(-time.Hour), End: w.now.Add(time.Hour)}},
		{RequestID: "d", Principal: ana, Entitlement: admin, Window: access.Window{Start: w.now.Add(2 * time.Hour), End: w.now.Add(3 * time.Hour)}},
		{RequestID: "e", Principal: ana, Entitlement: admin, Window: access.Window{Start: w.now.Add(time.Hour), End: w.now.Add(4 * time.Hour)}},
		{RequestID: "f", Principal: ben, Entitlement: admin, Window: access.Window{Start: w.now.Add(time.Hour), End: w.now.Add(2 * time.Hour)}},
		{RequestID: "g", Principal: ana, Entitlement: admin, Window: access.Window{Start: w.now.Add(time.Hour), End: w.now.Add(time.Hour)}},
		{RequestID: "h", Principal: ana, Entitlement: admin, Window: access.Window{Start: w.now.Add(-2 * time.Hour), End: w.now.Add(-time.Hour)}},
	}
	offer, err := w.broker().Offer(t.Context(), caller(ana), shop)
	if err != nil || len(offer.Roles) != 2 {
		t.Fatalf("got %+v, %v; want two roles: one that may only be reviewed is not on offer", offer, err)
	}
	if a := offer.Roles[0]; a.Entitlement.ID != admin || a.Terms.Approvals != 1 || a.Activation != nil || a.Role.Title == "" {
		t.Errorf("admin: %+v: somebody else's activation is not the caller's", a)
	}
	var upcoming []string
	for _, a := range offer.Roles[0].Upcoming {
		upcoming = append(upcoming, a.RequestID)
	}
	if got := strings.Join(upcoming, " "); got != "e d" {
		t.Errorf("upcoming %q, want the caller's own that begin later, soonest first, without what was cancelled", got)
	}
	if v := offer.Roles[1]; len(v.Upcoming) != 0 || v.Terms.Approvals != 0 || v.Activation == nil || v.Activation.RequestID != "b" {
		t.Errorf("viewer: %+v: of two activations the one that ends last counts", v)
	}
}

// An admin, and who may no longer request a role, can end only what they find.
func TestOfferListsWhatElseTheCallerMayEnd(t *testing.T) {
	for _, test := range []struct {
		rule    string
		as      access.Principal
		groups  map[access.Principal][]string
		down    error
		further string
		warned  bool
	}{
		{"one's own that stand beside no role", ana, nil, nil, "a lost", false},
		{"an admin by name, everybody's", dan, nil, nil, "a b lost later c", false},
		{"an admin by group, everybody's but what is shown with a role", ben, map[access.Principal][]string{ben: {"ops@example.com"}}, nil, "a b lost later", false},
		{"nobody else's", cho, nil, nil, "", false},
		{"groups that cannot be read make no admin", cho, map[access.Principal][]string{cho: {"ops@example.com"}}, errors.New("down"), "", true},
	} {
		t.Run(test.rule, func(t *testing.T) {
			w := newWorld(t)
			w.groups, w.directoryErr = test.groups, test.down
			now, hour := w.now.Add(-time.Hour), w.now.Add(time.Hour)
			w.activations = []access.Activation{
				{RequestID: "a", Principal: ana, Entitlement: viewer, Window: access.Window{Start: now, End: w.now.Add(time.Minute)}},
				{RequestID: "b", Principal: ana, Entitlement: viewer, Window: access.Window{Start: now, End: hour}},
				{RequestID: "lost", Principal: ana, Entitlement: narrow, Window: access.Window{Start: now, End: hour}},
				{RequestID: "later", Principal: ana, Entitlement: admin, Window: access.Window{Start: hour, End: hour.Add(time.Hour)}},
				{RequestID: "c", Principal: ben, Entitlement: admin, Window: access.Window{Start: now, End: hour}},
				{RequestID: "over", Principal: ana, Entitlement: admin, Window: access.Window{Start: now, End: w.now}},
				{RequestID: "ended before it began", Principal: ana, Entitlement: admin, Window: access.Window{Start: hour, End: hour}},
			}
			offer, err := w.broker().Offer(t.Context(), caller(test.as), shop)
			var ids []string
			for _, a := range offer.Further {
				ids = append(ids, a.RequestID)
			}
			if got := strings.Join(ids, " "); err != nil || got != test.further || (len(offer.Warnings) > 0) != test.warned {
				t.Errorf("got %q, %v, %v; want %q", got, offer.Warnings, err, test.further)
			}
		})
	}
}

func TestReviewersAreToldToEligibleRequestersOnly(t *testing.T) {
	w := newWorld(t)
	got, _, err := w.broker().Reviewers(t.Context(), caller(ana), admin)
	if err != nil || len(got) != 2 || got[0] != ben || got[1] != cho {
		t.Errorf("got %v, %v; want ben and cho, without the caller", got, err)
	}
	// Threat 22: unknown and denied look the same.
	for _, id := range []access.EntitlementID{viewer, narrow, {Resource: shop, Role: "roles/none"}} {
		_, _, err := w.broker().Reviewers(t.Context(), caller(dan), id)
		is(t, err, access.NotAllowed, access.CodeNotEligible)
	}
}

func TestADirectoryThatIsDownDoesNotReadAsNotEligible(t *testing.T) {
	down := &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	w, b, asked := requested(t)
	w.holdings, w.warnings = map[access.Principal][]access.Entitlement{}, []*access.Error{{Kind: access.Invalid, Code: access.CodeUnreadableBinding}, down}
	_, err := b.Ask(t.Context(), caller(ana), selfAsk())
	is(t, err, down.Kind, down.Code)
	again := ask()
	again.Justification = "another"
	_, err = b.Ask(t.Context(), caller(ana), again)
	is(t, err, down.Kind, down.Code)
	_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	is(t, err, down.Kind, down.Code)
	_, _, err = b.Reviewers(t.Context(), caller(ana), admin)
	is(t, err, down.Kind, down.Code)

	// What is known to be incomplete, but answers, is no reason to doubt a refusal.
	w.warnings = []*access.Error{{Kind: access.Upstream, Code: access.CodeUnreadableBinding}, {Kind: access.TooMany, Code: access.CodeStaleInventory}}
	_, _, err = b.Reviewers(t.Context(), caller(ana), admin)
	is(t, err, access.NotAllowed, access.CodeNotEligible)
}

func TestSelfApprovalGrantsAtOnce(t *testing.T) {
	w := newWorld(t)
	asked, err := w.broker().Ask(t.Context(), caller(ana), selfAsk())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(asked.Request.ID, "jit-") || asked.ReviewURL != "" || len(asked.Warnings) != 0 {
		t.Errorf("%+v", asked)
	}
	if want := (access.Window{Start: w.now.Truncate(time.Second), End: w.now.Truncate(time.Second).Add(time.Hour)}); asked.Window != want || w.activations[0].Window != want {
		t.Errorf("window %v, granted %v, want %v", asked.Window, w.activations[0].Window, want)
	}
	if got, want := w.actions(), "self-approved, granted"; got != want {
		t.Errorf("journal %q, want %q: the intent before the grant, the outcome after it", got, want)
	}
	if len(w.activations[0].Approvers) != 0 {
		t.Errorf("a self-approved grant names no approvers, got %v", w.activations[0].Approvers)
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
		{"a malformed id", func(a *broker.Ask) { a.ID = "mpa-../../x" }, access.Invalid, access.CodeBadRequestID, "id"},
		{"reviewers for an activation without others", func(a *broker.Ask) { a.ID = "jit-AAAAAAAAAAAAAAAA" }, access.Invalid, access.CodeBadRequestID, "id"},
		{"a request to nobody", func(a *broker.Ask) { a.ID, a.Reviewers = "mpa-AAAAAAAAAAAAAAAA", nil }, access.Invalid, access.CodeFewReviewers, "reviewer"},
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
			_, err := w.broker().Ask(t.Context(), caller(ana), a)
			is(t, err, test.kind, test.code)
			if got := access.AsError(err).Field; got != test.field {
				t.Errorf("names field %q, want %q", got, test.field)
			}
			if len(w.activations) != 0 || len(w.requests) != 0 || len(w.told) != 0 {
				t.Errorf("granted %v, stored %v, told %v; want nothing", w.activations, w.requests, w.told)
			}
			if w.actions() != "refused" {
				t.Errorf("journal %q, want the refusal", w.actions())
			}
		})
	}
}

func TestAskTellsReviewersWithTheLink(t *testing.T) {
	w := newWorld(t)
	asked, err := w.broker().Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	if want := "https://jit.example.com/?activation=ref-" + asked.Request.ID + "&projectId=shop"; asked.ReviewURL != want {
		t.Errorf("link %q, want %q", asked.ReviewURL, want)
	}
	if len(w.told) != 1 || w.told[0].ReviewURL != asked.ReviewURL || len(w.told[0].To) != 2 || w.told[0].CC[0] != ana {
		t.Errorf("told %+v; want ben and cho with the link, ana in copy", w.told)
	}
	if len(w.activations) != 0 {
		t.Errorf("granted %v before anybody approved", w.activations)
	}
}

func TestAskThatIsSentTwiceIsOne(t *testing.T) {
	w := newWorld(t)
	b := w.broker()
	a := ask()
	a.ID, _ = b.NewID(true)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if asked, err := b.Ask(t.Context(), caller(ana), a); err != nil || asked.Request.ID != a.ID {
				t.Errorf("%+v, %v", asked, err)
			}
		})
	}
	wg.Wait()
	if len(w.told) != 1 {
		t.Errorf("told %d times, want once", len(w.told))
	}
	a.Justification = "case 43"
	if _, err := b.Ask(t.Context(), caller(ana), a); err != nil || len(w.told) != 2 {
		t.Errorf("%v, told %d times: a corrected form is a new ask", err, len(w.told))
	}
}

func TestAskThatFailedMayBeSentAgain(t *testing.T) {
	w := newWorld(t)
	b := w.broker()
	a := ask()
	a.ID, _ = b.NewID(true)
	w.storeErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	_, err := b.Ask(t.Context(), caller(ana), a)
	is(t, err, access.Unavailable, access.CodeUpstreamFailed)
	w.storeErr = nil
	if _, err := b.Ask(t.Context(), caller(ana), a); err != nil {
		t.Error(err)
	}
}

func TestWithoutAChannelTheLinkIsPassedOnByHand(t *testing.T) {
	w := newWorld(t)
	w.silent = true
	asked, err := w.broker().Ask(t.Context(), caller(ana), ask())
	if err != nil || asked.ReviewURL == "" || len(asked.Warnings) != 1 || asked.Warnings[0].Code != access.CodeNoChannel {
		t.Errorf("%+v, %v", asked, err)
	}
}

func TestMailThatFailsIsAWarning(t *testing.T) {
	w := newWorld(t)
	w.undelivered = []access.Undelivered{{To: cho, Channel: "mail", Err: errors.New("550")}}
	b := w.broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil || len(asked.Warnings) != 1 || asked.Warnings[0].Args["recipient"] != "cho@example.com" {
		t.Fatalf("%+v, %v", asked, err)
	}
	// Threat 31: mail that fails after the grant turns no grant into an error.
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	if err != nil || decided.State != access.Active || len(decided.Warnings) != 1 || len(w.activations) != 1 {
		t.Errorf("%+v, %v", decided, err)
	}
	if got, want := w.actions(), "request made, notice failed, approved, granted, notice failed"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
}

// requested is a world with a pending request of ana's, and the link to it.
func requested(t *testing.T) (*world, *broker.Broker, broker.Asked) {
	w := newWorld(t)
	b := w.broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.journal, w.told, w.calls = nil, nil, map[string]int{}
	return w, b, asked
}

func TestApprovalGrantsAndTells(t *testing.T) {
	w, b, asked := requested(t)
	w.now = w.now.Add(20 * time.Minute)
	view, err := b.Show(t.Context(), caller(ben), asked.Ref, "https://jit.example.com")
	if err != nil || !view.CanDecide || view.State != access.Pending || view.Digest != asked.Request.Digest() {
		t.Fatalf("%+v, %v", view, err)
	}
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Digest: view.Digest, Origin: "https://jit.example.com"})
	if err != nil || decided.State != access.Active {
		t.Fatalf("%+v, %v", decided, err)
	}
	start := w.now.Truncate(time.Second)
	if got := w.activations[0]; got.Window != (access.Window{Start: start, End: start.Add(time.Hour)}) || got.Approvers[0] != ben || got.RequestID != asked.Request.ID {
		t.Errorf("granted %+v; the clock starts when the approval is accepted", got)
	}
	if got, want := w.actions(), "approved, granted"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
	if n := w.told[0]; n.Kind != access.NoticeApproved || n.To[0] != ana || len(n.CC) != 2 || n.Window != decided.Window {
		t.Errorf("told %+v", n)
	}
	if w.calls["standing"] != 2 || w.calls["grant"] != 1 {
		t.Errorf("calls %v: one look for the view, one for the decision", w.calls)
	}
}

func TestDecideIsRefused(t *testing.T) {
	yes := broker.Decide{Verdict: access.Approve}
	no := broker.Decide{Verdict: access.Deny, Comment: "not now"}
	tests := []struct {
		rule   string
		as     access.Principal
		decide broker.Decide
		change func(*world)
		kind   access.Kind
		code   access.Code
	}{
		{"one's own request", ana, yes, nil, access.NotAllowed, access.CodeOwnRequest},
		{"somebody who was not asked, though eligible", dan, yes, func(w *world) { w.holdings[dan] = w.holdings[ben] }, access.NotAllowed, access.CodeNotInvolved},
		{"Threat06: a reviewer who lost eligibility", ben, yes, func(w *world) { w.holdings[ben] = nil }, access.NotAllowed, access.CodeNotReviewer},
		{"a reviewer who lost eligibility, denying", ben, no, func(w *world) { w.holdings[ben] = nil }, access.NotAllowed, access.CodeNotReviewer},
		{"Threat06: a requester who lost eligibility", ben, yes, func(w *world) { w.holdings[ana] = nil }, access.NotAllowed, access.CodeRequesterLost},
		{"what was shown is not what would be granted", ben, broker.Decide{Verdict: access.Approve, Digest: "00"}, nil, access.Conflict, access.CodeDigestMismatch},
		{"no verdict", ben, broker.Decide{}, nil, access.Invalid, access.CodeBadInput},
		{"a denial without a reason", ben, broker.Decide{Verdict: access.Deny, Comment: " "}, nil, access.Invalid, access.CodeNoComment},
		{"a comment with line breaks", ben, broker.Decide{Verdict: access.Deny, Comment: "a\r\nBcc: x"}, nil, access.Invalid, access.CodeUnsafeComment},
		{"after its time", ben, yes, func(w *world) { w.now = w.now.Add(61 * time.Minute) }, access.Gone, access.CodeLinkExpired},
		{"the platform cannot be asked", ben, yes, func(w *world) { w.catalogErr = &access.Error{Kind: access.TooMany, Code: access.CodeQuota} }, access.TooMany, access.CodeQuota},
		{"a store that has moved on", ben, yes, func(w *world) { w.storeErr = &access.Error{Kind: access.Conflict, Code: access.CodeConflict} }, access.Conflict, access.CodeConflict},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			w, b, asked := requested(t)
			if test.change != nil {
				test.change(w)
			}
			test.decide.Ref = asked.Ref
			_, err := b.Decide(t.Context(), caller(test.as), test.decide)
			is(t, err, test.kind, test.code)
			if len(w.activations) != 0 || len(w.told) != 0 || w.actions() != "refused" {
				t.Errorf("granted %v, told %v, journal %q; want nothing but the refusal", w.activations, w.told, w.actions())
			}
		})
	}
	t.Run("a link that points to nothing", func(t *testing.T) {
		_, b, _ := requested(t)
		_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: "x", Verdict: access.Approve})
		is(t, err, access.NotFound, access.CodeBadLink)
	})
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

func TestAFormThatIsSentAgainAfterTheEndRevivesNothing(t *testing.T) {
	w := newWorld(t)
	b := w.broker()
	a := selfAsk()
	a.ID, _ = b.NewID(false)
	if _, err := b.Ask(t.Context(), caller(ana), a); err != nil {
		t.Fatal(err)
	}
	if _, err := b.End(t.Context(), caller(ana), shop, a.ID); err != nil {
		t.Fatal(err)
	}
	_, err := b.Ask(t.Context(), caller(ana), a)
	is(t, err, access.Gone, access.CodeAlreadyEnded)
}

func TestADenialThatIsSentAgainTellsNobodyAgain(t *testing.T) {
	w, b, asked := requested(t)
	for range 3 {
		decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Deny, Comment: "no"})
		if err != nil || decided.Decision.Verdict != access.Deny {
			t.Fatalf("%+v, %v", decided, err)
		}
	}
	if len(w.told) != 1 {
		t.Errorf("told %d times", len(w.told))
	}
}

func TestAnIntentThatCannotBeRecordedIsNotCarriedOut(t *testing.T) {
	for _, action := range []access.Action{access.RequestApproved, access.RequestDenied} {
		w, b, asked := requested(t)
		w.journalErr[action] = errors.New("disk full")
		d := broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Comment: "no"}
		if action == access.RequestDenied {
			d.Verdict = access.Deny
		}
		_, err := b.Decide(t.Context(), caller(ben), d)
		is(t, err, access.Unavailable, access.CodeJournalUnavailable)
		if len(w.activations) != 0 || len(w.told) != 0 {
			t.Errorf("%s: granted %v, told %v", action, w.activations, w.told)
		}
	}
	w := newWorld(t)
	w.journalErr[access.SelfApproved] = errors.New("disk full")
	_, err := w.broker().Ask(t.Context(), caller(ana), selfAsk())
	is(t, err, access.Unavailable, access.CodeJournalUnavailable)
	if len(w.activations) != 0 {
		t.Errorf("granted %v", w.activations)
	}
}

func TestAnOutcomeThatCannotBeRecordedIsAWarning(t *testing.T) {
	w, b, asked := requested(t)
	w.journalErr[access.GrantWritten] = errors.New("disk full")
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	if err != nil || decided.State != access.Active || decided.Warnings[0].Code != access.CodeOutcomeUnrecorded {
		t.Errorf("%+v, %v: what was granted is never reported as a failure", decided, err)
	}
}

func TestAGrantThatFailsIsRecordedAndReported(t *testing.T) {
	w, b, asked := requested(t)
	w.grantErr = &access.Error{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable}
	_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	is(t, err, access.Unprocessable, access.CodeRoleNotGrantable)
	if got, want := w.actions(), "approved, grant failed"; got != want || len(w.told) != 0 {
		t.Errorf("journal %q, want %q; told %v, want nobody", got, want, w.told)
	}
}

func TestEligibilityIsCheckedOnThePolicyThatIsWritten(t *testing.T) {
	w, b, asked := requested(t)
	w.beforeGrant = func() { w.mu.Lock(); w.holdings[ana] = nil; w.mu.Unlock() }
	_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	is(t, err, access.NotAllowed, access.CodeRequesterLost)
	if len(w.activations) != 0 {
		t.Errorf("granted %v to somebody who lost eligibility in between", w.activations)
	}
}

func TestAfterTheGrant(t *testing.T) {
	approve := func(b *broker.Broker, p access.Principal, ref string) (broker.Decided, error) {
		return b.Decide(context.Background(), caller(p), broker.Decide{Ref: ref, Verdict: access.Approve})
	}
	granted := func(t *testing.T) (*world, *broker.Broker, broker.Asked) {
		w, b, asked := requested(t)
		if _, err := approve(b, ben, asked.Ref); err != nil {
			t.Fatal(err)
		}
		w.journal, w.told = nil, nil
		return w, b, asked
	}
	t.Run("the same approver gets the same result", func(t *testing.T) {
		w, b, asked := granted(t)
		again, err := approve(b, ben, asked.Ref)
		if err != nil || again.State != access.Active || again.Outcomes[0].Result != access.AlreadyGranted || again.Window != w.activations[0].Window {
			t.Errorf("%+v, %v", again, err)
		}
		if len(w.activations) != 1 || len(w.told) != 0 {
			t.Errorf("granted %v, told %v: nothing happens twice", w.activations, w.told)
		}
	})
	t.Run("another approver is told who approved", func(t *testing.T) {
		_, b, asked := granted(t)
		_, err := approve(b, cho, asked.Ref)
		is(t, err, access.Conflict, access.CodeAlreadyApproved)
		if got := access.AsError(err).Args["approvers"]; got != "ben@example.com" {
			t.Errorf("approvers %q", got)
		}
	})
	t.Run("a denial comes too late", func(t *testing.T) {
		_, b, asked := granted(t)
		_, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Ref, Verdict: access.Deny, Comment: "no"})
		is(t, err, access.Conflict, access.CodeAlreadyApproved)
	})
	for name, change := range map[string]func(*world){
		"Threat05: a link replayed when the grant is over":       func(w *world) { w.now = w.now.Add(70 * time.Minute) },
		"Threat05: a link replayed when it was ended":            func(w *world) { w.activations[0].Window.End = w.now.Add(-time.Second) },
		"Threat05: a link replayed when it was ended in advance": func(w *world) { w.activations[0].Window.End = w.activations[0].Window.Start },
	} {
		t.Run(name, func(t *testing.T) {
			w, b, asked := granted(t)
			change(w)
			for _, p := range []access.Principal{ben, cho} {
				_, err := approve(b, p, asked.Ref)
				is(t, err, access.Gone, access.CodeAlreadyEnded)
			}
			if len(w.activations) != 1 || w.activations[0].Window.Contains(w.now) {
				t.Errorf("revived: %v", w.activations)
			}
		})
	}
	t.Run("a reason that imitates another request's id is inert", func(t *testing.T) {
		w, b, asked := granted(t)
		a := ask()
		a.Justification = "case [" + asked.Request.ID + "]"
		other, err := b.Ask(t.Context(), caller(ana), a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := approve(b, ben, other.Ref); err != nil || len(w.activations) != 2 {
			t.Errorf("%v, %v", w.activations, err)
		}
	})
}

func TestParallelApprovalsMakeOneGrant(t *testing.T) {
	w, b, asked := requested(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			p := []access.Principal{ben, cho}[i%2]
			_, err := b.Decide(t.Context(), caller(p), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
			if err != nil && access.AsError(err).Code != access.CodeAlreadyApproved {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(w.activations) != 1 || len(w.told) != 1 {
		t.Errorf("%d grants, told %d times; want one of each", len(w.activations), len(w.told))
	}
}

func TestDenialTellsEverybody(t *testing.T) {
	for _, forgets := range []bool{true, false} {
		w := newWorld(t)
		w.limits.Forgets = forgets
		b := w.broker()
		asked, err := b.Ask(t.Context(), caller(ana), ask())
		if err != nil {
			t.Fatal(err)
		}
		decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Deny, Comment: "not during the freeze"})
		if err != nil || decided.Forgets != forgets {
			t.Fatalf("%+v, %v", decided, err)
		}
		n := w.told[1]
		if n.Kind != access.NoticeDenied || n.Final == forgets || n.To[0] != ana || len(n.CC) != 2 || n.Decision.Comment != "not during the freeze" {
			t.Errorf("told %+v", n)
		}
		_, err = b.Decide(t.Context(), caller(cho), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
		if forgets {
			if err != nil || decided.State != access.Pending {
				t.Errorf("%v, %v: without memory a denial is only a declining", decided.State, err)
			}
		} else {
			is(t, err, access.Conflict, access.CodeAlreadyDenied)
		}
	}
}

func TestARequestOfJITAccess1KeepsItsOwnWindow(t *testing.T) {
	w, b, asked := requested(t)
	r := asked.Request
	r.Fixed = access.Window{Start: w.now.Add(-30 * time.Minute).Truncate(time.Second), End: w.now.Add(30 * time.Minute).Truncate(time.Second)}
	w.requests[asked.Ref] = r
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	if err != nil || decided.Window != r.Fixed {
		t.Errorf("%v, %v; want %v", decided.Window, err, r.Fixed)
	}
	w.activations = nil
	w.now = r.Fixed.End
	_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	is(t, err, access.Gone, access.CodeWindowOver)
}

func TestShowIsForThoseWhomItConcerns(t *testing.T) {
	w, b, asked := requested(t)
	for p, want := range map[access.Principal]bool{ana: true, ben: true, cho: true, dan: false} {
		view, err := b.Show(t.Context(), caller(p), asked.Ref, "")
		if want != (err == nil) {
			t.Errorf("%s: %v", p, err)
		}
		if err == nil && (view.CanDecide != (p != ana) || view.CanEnd) {
			t.Errorf("%s: can decide %v, can end %v", p, view.CanDecide, view.CanEnd)
		}
	}
	// Principle 9: a platform that cannot be asked hides nothing that is known.
	w.catalogErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	view, err := b.Show(t.Context(), caller(ben), asked.Ref, "")
	if err != nil || view.CanDecide || view.WhyNot.Code != access.CodeUpstreamFailed || view.Request.ID != asked.Request.ID {
		t.Errorf("%+v, %v", view, err)
	}
	if w.actions() != "" || w.calls["grant"] != 0 {
		t.Errorf("showing did something: %q %v", w.actions(), w.calls)
	}
}

func TestEnd(t *testing.T) {
	tests := []struct {
		rule   string
		as     access.Principal
		change func(*world)
		want   access.Code
	}{
		{"one's own", ana, nil, ""},
		{"an admin by name, anyone's", dan, nil, ""},
		{"an admin by group, anyone's", cho, func(w *world) { w.groups = map[access.Principal][]string{cho: {"ops@example.com"}} }, ""},
		{"somebody else's is not found", cho, nil, access.CodeNoGrant},
		{"groups that cannot be read make no admin", cho, func(w *world) {
			w.groups, w.directoryErr = map[access.Principal][]string{cho: {"ops@example.com"}}, errors.New("down")
		}, access.CodeNoGrant},
		{"the approver may not", ben, nil, access.CodeNoGrant},
		{"what is not there", ana, func(w *world) { w.activations = nil }, access.CodeNoGrant},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			w, b, asked := requested(t)
			if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve}); err != nil {
				t.Fatal(err)
			}
			w.journal = nil
			if test.change != nil {
				test.change(w)
			}
			ended, err := b.End(t.Context(), caller(test.as), shop, asked.Request.ID)
			if test.want != "" {
				is(t, err, access.NotFound, test.want)
				if w.calls["end"] != 0 {
					t.Error("ended all the same")
				}
				return
			}
			if err != nil || len(ended.Outcomes) != 1 || ended.Outcomes[0].Result != access.Removed || w.activations[0].Window.Contains(w.now) {
				t.Errorf("%+v, %v", ended, err)
			}
			if got, want := w.actions(), "end asked, ended"; got != want {
				t.Errorf("journal %q, want %q", got, want)
			}
		})
	}
}

func TestABrowserThatGoesAwayDoesNotStopAnIntent(t *testing.T) {
	w, b, asked := requested(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.beforeGrant = cancel
	decided, err := b.Decide(ctx, caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	if err != nil || decided.State != access.Active || len(w.told) != 1 {
		t.Errorf("%+v, %v", decided, err)
	}
}
