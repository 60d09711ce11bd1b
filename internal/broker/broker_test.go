package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

func TestOfferListsWhatMayBeRequested(t *testing.T) {
	w := newWorld(t)
	w.Holdings[ana] = append(w.Holdings[ana], access.Entitlement{ID: narrow, MayReview: true})
	w.Activations = []access.Activation{
		{RequestID: "a", Principal: ana, Entitlement: viewer, Window: access.Window{Start: w.Clock.Add(-time.Hour), End: w.Clock.Add(time.Minute)}},
		{RequestID: "b", Principal: ana, Entitlement: viewer, Window: access.Window{Start: w.Clock.Add(-time.Hour), End: w.Clock.Add(time.Hour)}},
		{RequestID: "c", Principal: ben, Entitlement: admin, Window: access.Window{Start: w.Clock.Add(-time.Hour), End: w.Clock.Add(time.Hour)}},
		{RequestID: "d", Principal: ana, Entitlement: admin, Window: access.Window{Start: w.Clock.Add(2 * time.Hour), End: w.Clock.Add(3 * time.Hour)}},
		{RequestID: "e", Principal: ana, Entitlement: admin, Window: access.Window{Start: w.Clock.Add(time.Hour), End: w.Clock.Add(4 * time.Hour)}},
		{RequestID: "f", Principal: ben, Entitlement: admin, Window: access.Window{Start: w.Clock.Add(time.Hour), End: w.Clock.Add(2 * time.Hour)}},
		{RequestID: "g", Principal: ana, Entitlement: admin, Window: access.Window{Start: w.Clock.Add(time.Hour), End: w.Clock.Add(time.Hour)}},
		{RequestID: "h", Principal: ana, Entitlement: admin, Window: access.Window{Start: w.Clock.Add(-2 * time.Hour), End: w.Clock.Add(-time.Hour)}},
	}
	offer, err := w.Broker().Offer(t.Context(), caller(ana), shop)
	if err != nil || len(offer.Roles) != 2 {
		t.Fatalf("got %+v, %v; want two roles: one that may only be reviewed is not on offer", offer, err)
	}
	if a := offer.Roles[0]; a.Entitlement.ID != admin || a.Terms.Approvals() != 1 || a.Activation != nil || a.Role.Title == "" {
		t.Errorf("admin: %+v: somebody else's activation is not the caller's", a)
	}
	var upcoming []string
	for _, a := range offer.Roles[0].Upcoming {
		upcoming = append(upcoming, a.RequestID)
	}
	if got := strings.Join(upcoming, " "); got != "e d" {
		t.Errorf("upcoming %q, want the caller's own that begin later, soonest first, without what was cancelled", got)
	}
	if v := offer.Roles[1]; len(v.Upcoming) != 0 || v.Terms.Approvals() != 0 || v.Activation == nil || v.Activation.RequestID != "b" {
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
			w.GroupsOf, w.DirectoryErr = test.groups, test.down
			now, hour := w.Clock.Add(-time.Hour), w.Clock.Add(time.Hour)
			w.Activations = []access.Activation{
				{RequestID: "a", Principal: ana, Entitlement: viewer, Window: access.Window{Start: now, End: w.Clock.Add(time.Minute)}},
				{RequestID: "b", Principal: ana, Entitlement: viewer, Window: access.Window{Start: now, End: hour}},
				{RequestID: "lost", Principal: ana, Entitlement: narrow, Window: access.Window{Start: now, End: hour}},
				{RequestID: "later", Principal: ana, Entitlement: admin, Window: access.Window{Start: hour, End: hour.Add(time.Hour)}},
				{RequestID: "c", Principal: ben, Entitlement: admin, Window: access.Window{Start: now, End: hour}},
				{RequestID: "over", Principal: ana, Entitlement: admin, Window: access.Window{Start: now, End: w.Clock}},
				{RequestID: "ended before it began", Principal: ana, Entitlement: admin, Window: access.Window{Start: hour, End: hour}},
			}
			offer, err := w.Broker().Offer(t.Context(), caller(test.as), shop)
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

// Whether somebody is an admin may cost a call, and is not asked for nothing.
func TestOfferAsksForGroupsOnlyWhereSomebodyElsesAccessStands(t *testing.T) {
	for principal, warned := range map[access.Principal]bool{cho: false, ben: true} {
		w := newWorld(t)
		w.DirectoryErr = errors.New("down")
		w.Activations = []access.Activation{{RequestID: "mine", Principal: principal, Entitlement: narrow,
			Window: access.Window{Start: w.Clock.Add(-time.Hour), End: w.Clock.Add(time.Hour)}}}
		offer, err := w.Broker().Offer(t.Context(), caller(cho), shop)
		if err != nil || (len(offer.Warnings) > 0) != warned {
			t.Errorf("with a grant of %s: warns %v, %v", principal, offer.Warnings, err)
		}
	}
}

func TestReviewersAreToldToEligibleRequestersOnly(t *testing.T) {
	w := newWorld(t)
	got, err := w.Broker().Reviewers(t.Context(), caller(ana), admin)
	if err != nil || len(got.People) != 2 || got.People[0] != ben || got.People[1] != cho {
		t.Errorf("got %v, %v; want ben and cho, without the caller", got, err)
	}
	// Threat 22: unknown and denied look the same.
	for _, id := range []access.EntitlementID{viewer, narrow, {Resource: shop, Role: "roles/none"}} {
		_, err := w.Broker().Reviewers(t.Context(), caller(dan), id)
		is(t, err, access.NotAllowed, access.CodeNotEligible)
	}
}

func TestADirectoryThatIsDownDoesNotReadAsNotEligible(t *testing.T) {
	down := &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	w, b, asked := requested(t)
	w.Holdings, w.Warnings = map[access.Principal][]access.Entitlement{}, []*access.Error{{Kind: access.Invalid, Code: access.CodeUnreadableBinding}, down}
	_, err := b.Ask(t.Context(), caller(ana), selfAsk())
	is(t, err, down.Kind, down.Code)
	again := ask()
	again.Justification = "another"
	_, err = b.Ask(t.Context(), caller(ana), again)
	is(t, err, down.Kind, down.Code)
	_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	is(t, err, down.Kind, down.Code)
	_, err = b.Reviewers(t.Context(), caller(ana), admin)
	is(t, err, down.Kind, down.Code)

	// What is known to be incomplete, but answers, is no reason to doubt a refusal.
	w.Warnings = []*access.Error{{Kind: access.Upstream, Code: access.CodeUnreadableBinding}, {Kind: access.TooMany, Code: access.CodeStaleInventory}}
	_, err = b.Reviewers(t.Context(), caller(ana), admin)
	is(t, err, access.NotAllowed, access.CodeNotEligible)
}

func TestAnIntentThatCannotBeRecordedIsNotCarriedOut(t *testing.T) {
	for _, action := range []access.Action{access.RequestApproved, access.RequestDenied} {
		w, b, asked := requested(t)
		w.JournalErr[action] = errors.New("disk full")
		d := broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Comment: "no"}
		if action == access.RequestDenied {
			d.Verdict = access.Deny
		}
		_, err := b.Decide(t.Context(), caller(ben), d)
		is(t, err, access.Unavailable, access.CodeJournalUnavailable)
		if len(w.Activations) != 0 || len(w.Told) != 0 {
			t.Errorf("%s: granted %v, told %v", action, w.Activations, w.Told)
		}
	}
	w := newWorld(t)
	w.JournalErr[access.SelfApproved] = errors.New("disk full")
	_, err := w.Broker().Ask(t.Context(), caller(ana), selfAsk())
	is(t, err, access.Unavailable, access.CodeJournalUnavailable)
	if len(w.Activations) != 0 {
		t.Errorf("granted %v", w.Activations)
	}
}

func TestAnOutcomeThatCannotBeRecordedIsAWarning(t *testing.T) {
	w, b, asked := requested(t)
	w.JournalErr[access.GrantWritten] = errors.New("disk full")
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	if err != nil || decided.State != access.Active || decided.Warnings[0].Code != access.CodeOutcomeUnrecorded {
		t.Errorf("%+v, %v: what was granted is never reported as a failure", decided, err)
	}
}

func TestAGrantThatFailsIsRecordedAndReported(t *testing.T) {
	w, b, asked := requested(t)
	w.GrantErr = &access.Error{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable}
	_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	is(t, err, access.Unprocessable, access.CodeRoleNotGrantable)
	if got, want := w.Actions(), "approved, grant failed"; got != want || len(w.Told) != 0 {
		t.Errorf("journal %q, want %q; told %v, want nobody", got, want, w.Told)
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
		w.Journal, w.Told = nil, nil
		return w, b, asked
	}
	t.Run("the same approver gets the same result", func(t *testing.T) {
		w, b, asked := granted(t)
		again, err := approve(b, ben, asked.Ref)
		if err != nil || again.State != access.Active || again.Outcomes[0].Result != access.AlreadyGranted || again.Window != w.Activations[0].Window {
			t.Errorf("%+v, %v", again, err)
		}
		if len(w.Activations) != 1 || len(w.Told) != 0 {
			t.Errorf("granted %v, told %v: nothing happens twice", w.Activations, w.Told)
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
		"Threat05: a link replayed when the grant is over":       func(w *world) { w.Clock = w.Clock.Add(70 * time.Minute) },
		"Threat05: a link replayed when it was ended":            func(w *world) { w.Activations[0].Window.End = w.Clock.Add(-time.Second) },
		"Threat05: a link replayed when it was ended in advance": func(w *world) { w.Activations[0].Window.End = w.Activations[0].Window.Start },
	} {
		t.Run(name, func(t *testing.T) {
			w, b, asked := granted(t)
			change(w)
			for _, p := range []access.Principal{ben, cho} {
				_, err := approve(b, p, asked.Ref)
				is(t, err, access.Gone, access.CodeAlreadyEnded)
			}
			if len(w.Activations) != 1 || w.Activations[0].Window.Contains(w.Clock) {
				t.Errorf("revived: %v", w.Activations)
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
		if _, err := approve(b, ben, other.Ref); err != nil || len(w.Activations) != 2 {
			t.Errorf("%v, %v", w.Activations, err)
		}
	})
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
	w.CatalogErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	view, err := b.Show(t.Context(), caller(ben), asked.Ref, "")
	if err != nil || view.CanDecide || view.WhyNot.Code != access.CodeUpstreamFailed || view.Request.ID != asked.Request.ID {
		t.Errorf("%+v, %v", view, err)
	}
	if w.Actions() != "" || w.Calls["grant"] != 0 {
		t.Errorf("showing did something: %q %v", w.Actions(), w.Calls)
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
		{"an admin by group, anyone's", cho, func(w *world) { w.GroupsOf = map[access.Principal][]string{cho: {"ops@example.com"}} }, ""},
		{"somebody else's is not found", cho, nil, access.CodeNoGrant},
		{"groups that cannot be read make no admin", cho, func(w *world) {
			w.GroupsOf, w.DirectoryErr = map[access.Principal][]string{cho: {"ops@example.com"}}, errors.New("down")
		}, access.CodeNoGrant},
		{"the approver may not", ben, nil, access.CodeNoGrant},
		{"what is not there", ana, func(w *world) { w.Activations = nil }, access.CodeNoGrant},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			w, b, asked := requested(t)
			if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve}); err != nil {
				t.Fatal(err)
			}
			w.Journal = nil
			if test.change != nil {
				test.change(w)
			}
			ended, err := b.End(t.Context(), caller(test.as), shop, asked.Request.ID, "")
			if test.want != "" {
				is(t, err, access.NotFound, test.want)
				if w.Calls["end"] != 0 {
					t.Error("ended all the same")
				}
				return
			}
			if err != nil || len(ended.Outcomes) != 1 || ended.Outcomes[0].Result != access.Removed || w.Activations[0].Window.Contains(w.Clock) {
				t.Errorf("%+v, %v", ended, err)
			}
			if got, want := w.Actions(), "end asked, ended"; got != want {
				t.Errorf("journal %q, want %q", got, want)
			}
		})
	}
}

func TestABrowserThatGoesAwayDoesNotStopAnIntent(t *testing.T) {
	w, b, asked := requested(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.BeforeGrant = cancel
	decided, err := b.Decide(ctx, caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	if err != nil || decided.State != access.Active || len(w.Told) != 1 {
		t.Errorf("%+v, %v", decided, err)
	}
}
