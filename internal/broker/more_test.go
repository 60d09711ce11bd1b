package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// pending is a world with a request of ana's to ben alone.
func pending(t *testing.T) (*world, *broker.Broker, broker.Asked) {
	w := newWorld(t)
	b := w.Broker()
	a := ask()
	a.Reviewers = []string{"ben@example.com"}
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	w.Forget()
	return w, b, asked
}

func addTo(ref string, reviewers ...string) broker.AddReviewers {
	return broker.AddReviewers{Ref: ref, Reviewers: reviewers, Origin: "https://jit.example.com", Host: "jit.example.com"}
}

func TestMoreReviewersKeepTheRequestAndItsClock(t *testing.T) {
	w, b, asked := pending(t)
	w.Clock = w.Clock.Add(10 * time.Minute)
	more, err := b.MoreReviewers(t.Context(), caller(ana), asked.Ref)
	if err != nil || !slices.Equal(more.Candidates, []access.Principal{cho}) || more.Room != 1 {
		t.Fatalf("%+v, %v", more, err)
	}
	// Whoever was asked already does not matter.
	added, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, " CHO@example.com ", "ben@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	before, after := asked.Request, added.Request
	if !slices.Equal(after.Reviewers, []access.Principal{ben, cho}) {
		t.Errorf("reviewers %v", after.Reviewers)
	}
	after.Reviewers = before.Reviewers
	if after.Digest() != before.Digest() || !after.Created.Equal(before.Created) || !after.Expires.Equal(before.Expires) {
		t.Errorf("more than the reviewers changed: %+v, was %+v", added.Request, before)
	}
	if len(w.Told) != 1 || w.Told[0].Kind != access.NoticeReview || !slices.Equal(w.Told[0].To, []access.Principal{cho}) || len(w.Told[0].CC) != 0 || w.Told[0].ReviewURL != added.ReviewURL {
		t.Errorf("told %+v; only who is new", w.Told)
	}
	if got, want := w.Actions(), "reviewers added"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
	if decided, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: added.Ref, Verdict: access.Approve}); err != nil || decided.State != access.Active {
		t.Errorf("%+v, %v", decided, err)
	}
	// Decided, so there is nobody more to ask.
	_, err = b.AddReviewers(t.Context(), caller(ana), addTo(added.Ref, "cho@example.com"))
	is(t, err, access.Invalid, access.CodeNobodyAdded)
	_, err = b.MoreReviewers(t.Context(), caller(ana), asked.Ref)
	is(t, err, access.Conflict, access.CodeAlreadyApproved)
}

func TestMoreReviewersAreRefused(t *testing.T) {
	for _, c := range []struct {
		rule   string
		by     access.Principal
		change func(*world, *broker.AddReviewers)
		kind   access.Kind
		code   access.Code
	}{
		{"by a reviewer", ben, nil, access.NotAllowed, access.CodeNotInvolved},
		{"by somebody else", cho, nil, access.NotAllowed, access.CodeNotInvolved},
		{"by an admin", dan, nil, access.NotAllowed, access.CodeNotInvolved},
		{"a bad link", ana, func(_ *world, a *broker.AddReviewers) { a.Ref = "x" }, access.NotFound, access.CodeBadLink},
		{"no origin for the link", ana, func(_ *world, a *broker.AddReviewers) { a.Origin = "" }, access.Unprocessable, access.CodeNoPublicURL},
		{"nobody", ana, func(_ *world, a *broker.AddReviewers) { a.Reviewers = nil }, access.Invalid, access.CodeNobodyAdded},
		{"nobody new", ana, func(_ *world, a *broker.AddReviewers) { a.Reviewers = []string{"ben@example.com"} }, access.Invalid, access.CodeNobodyAdded},
		{"oneself", ana, func(_ *world, a *broker.AddReviewers) { a.Reviewers = []string{"ana@example.com"} }, access.Invalid, access.CodeSelfReviewer},
		{"no address", ana, func(_ *world, a *broker.AddReviewers) { a.Reviewers = []string{"cho"} }, access.Invalid, access.CodeBadReviewer},
		{"somebody who may not review", ana, func(_ *world, a *broker.AddReviewers) { a.Reviewers = []string{"dan@example.com"} }, access.NotAllowed, access.CodeReviewerNotEligible},
		{"more than the maximum", ana, func(_ *world, a *broker.AddReviewers) {
			a.Reviewers = []string{"cho@example.com", "dan@example.com"}
		}, access.Invalid, access.CodeManyReviewers},
		{"when the requester is not eligible any more", ana, func(w *world, _ *broker.AddReviewers) { w.Holdings[ana] = nil }, access.NotAllowed, access.CodeNotEligible},
		{"when it has been granted", ana, func(w *world, a *broker.AddReviewers) {
			id := strings.TrimPrefix(a.Ref, "ref-")
			w.Activations = []access.Activation{{RequestID: id, Principal: ana, Entitlement: admin, Window: access.Window{Start: w.Clock, End: w.Clock.Add(time.Hour)}, Approvers: []access.Principal{ben}}}
		}, access.Conflict, access.CodeAlreadyApproved},
		{"when the time to decide is over", ana, func(w *world, _ *broker.AddReviewers) { w.Clock = w.Clock.Add(2 * time.Hour) }, access.Gone, access.CodeLinkExpired},
		{"when it cannot be recorded", ana, func(w *world, _ *broker.AddReviewers) {
			w.JournalErr[access.ReviewersAdded] = fmt.Errorf("disk full")
		}, access.Unavailable, access.CodeJournalUnavailable},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w, b, asked := pending(t)
			a := addTo(asked.Ref, "cho@example.com")
			if c.change != nil {
				c.change(w, &a)
			}
			_, err := b.AddReviewers(t.Context(), caller(c.by), a)
			is(t, err, c.kind, c.code)
			if len(w.Told) != 0 {
				t.Errorf("told %+v", w.Told)
			}
		})
	}
}

// May review is not enough: it must be a way in which the requester asks.
func TestReviewersMustFitTheRequestersTopic(t *testing.T) {
	topical := func(requests, reviews []access.Approval) access.Entitlement {
		return access.Entitlement{ID: admin, PeerApproval: requests != nil, MayReview: reviews != nil, Requests: requests, Reviews: reviews}
	}
	dba, net := []access.Approval{{Topic: "dba", External: true}}, []access.Approval{{Topic: "net", External: true}}
	for _, c := range []struct {
		rule string
		ben  access.Entitlement
		ok   bool
	}{
		{"a reviewer of the topic", topical(nil, dba), true},
		{"a reviewer of all topics", topical(nil, []access.Approval{{External: true}}), true},
		{"a reviewer of another topic", topical(nil, net), false},
		{"a peer", topical(dba, []access.Approval{{Topic: "dba"}}), false},
		{"somebody who may only request", topical(dba, nil), false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w := newWorld(t)
			b := w.Broker()
			a := ask()
			a.Reviewers = []string{"ben@example.com"}
			w.Holdings[ana], w.Holdings[ben] = []access.Entitlement{topical(dba, nil)}, []access.Entitlement{c.ben}
			asked, err := b.Ask(t.Context(), caller(ana), a)
			if !c.ok {
				is(t, err, access.NotAllowed, access.CodeReviewerNotEligible)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// The topic may change while the link waits.
			w.Holdings[ana] = []access.Entitlement{topical([]access.Approval{{Topic: "security", External: true}}, nil)}
			if c.ben.Reviews[0].Topic == "" {
				w.Holdings[ben] = []access.Entitlement{topical(nil, net)}
			}
			_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
			is(t, err, access.NotAllowed, access.CodeReviewerLost)
			w.Holdings[ana], w.Holdings[ben] = []access.Entitlement{topical(dba, nil)}, []access.Entitlement{c.ben}
			if decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve}); err != nil || decided.State != access.Active {
				t.Errorf("%+v, %v", decided, err)
			}
		})
	}
}

func TestReviewersOfSeveralRolesMayReviewAllOfThem(t *testing.T) {
	w := newWorld(t)
	both := access.Entitlement{ID: narrow, PeerApproval: true, MayReview: true}
	for _, p := range []access.Principal{ana, cho, dan} {
		w.Holdings[p] = append(w.Holdings[p], both)
	}
	got, err := w.Broker().Reviewers(t.Context(), caller(ana), admin, narrow)
	if err != nil || !slices.Equal(got.People, []access.Principal{cho}) {
		t.Errorf("%v, %v", got, err)
	}
	_, err = w.Broker().Reviewers(t.Context(), caller(ben), admin, narrow)
	is(t, err, access.NotAllowed, access.CodeNotEligible)
	if w.Calls["standing"] != 3 {
		t.Errorf("calls %v: one look for several roles, and one more before the refusal", w.Calls)
	}
}

// Point 14: the link form is that of 1.x, and the whole of it is in the mail.
func TestALongLinkIsSaid(t *testing.T) {
	for _, c := range []struct {
		origin int
		warned bool
	}{{100, false}, {3000, true}} {
		w := newWorld(t)
		a := ask()
		a.Origin = "https://" + strings.Repeat("x", c.origin) + ".example.com"
		asked, err := w.Broker().Ask(t.Context(), caller(ana), a)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(asked.Warnings, func(e *access.Error) bool { return e.Code == access.CodeLongLink })
		if c.warned != (at >= 0) || c.warned && asked.Warnings[at].Args["count"] != fmt.Sprint(len(asked.ReviewURL)) {
			t.Errorf("%d characters: %v", len(asked.ReviewURL), asked.Warnings)
		}
	}
}

// Ids from outside match by what their condition means.
func TestEntitlementIDsFromOutside(t *testing.T) {
	b := newWorld(t).Broker()
	for text, want := range map[string]string{
		"shop:roles/x": "",
		"shop:roles/x:cmVzb3VyY2UubmFtZSA9PSAiYSI=":     `resource.name == "a"`, // resource.name == "a"
		"shop:roles/x:cmVzb3VyY2UubmFtZT09J2En":         `resource.name == "a"`, // resource.name=='a'
		"shop:roles/x:KHJlc291cmNlLm5hbWUpPT0iXHg2MSI=": `resource.name == "a"`, // (resource.name)=="\x61"
		"shop:roles/x:KCg=":                             "!",                    // ((
		"shop:roles/x:MSArIDE=":                         "!",                    // 1 + 1
		"shop":                                          "!",
	} {
		id, err := b.ParseEntitlementID(text)
		if want == "!" && err == nil || want != "!" && (err != nil || id.Condition != want) {
			t.Errorf("%s: %+v, %v", text, id, err)
		}
	}
}

func TestAStoredIDMatchesByItsMeaning(t *testing.T) {
	w := newWorld(t)
	for _, p := range []access.Principal{ana, ben} {
		w.Holdings[p] = []access.Entitlement{{ID: narrow, PeerApproval: true, MayReview: true}}
	}
	other := narrow
	other.Condition = ` resource.name=='a' `
	r := access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Kind: access.Peers, State: access.Pending, Principal: ana, Resource: shop, Entitlements: []access.EntitlementID{other}, Justification: "x", Duration: time.Hour,
		Reviewers: []access.Principal{ben}, Created: w.Clock, Expires: w.Clock.Add(time.Hour)}
	w.Requests["ref"] = r
	view, err := w.Broker().Show(t.Context(), caller(ben), "ref", "")
	if err != nil || !view.CanDecide || view.Request.Entitlements[0] != narrow {
		t.Fatalf("%+v, %v", view, err)
	}
	decided, err := w.Broker().Decide(t.Context(), caller(ben), broker.Decide{Ref: "ref", Verdict: access.Approve, Digest: view.Digest})
	if err != nil || w.Activations[0].Entitlement != narrow {
		t.Errorf("%+v, %v", decided, err)
	}
	if r.Entitlements[0] != other {
		t.Error("what the store returned was changed")
	}
}

func FuzzParseEntitlementID(f *testing.F) {
	for _, seed := range []string{"p:roles/x", "a.com:p:roles/x:YQ==", "p:roles/x:cmVzb3VyY2UubmFtZT09J2En", "p:roles/x:KCg=", "folders/1:roles/x:YSAmJiBiIHx8IGM"} {
		f.Add(seed)
	}
	b := newWorld(nil).Broker()
	f.Fuzz(func(t *testing.T, text string) {
		id, err := b.ParseEntitlementID(text)
		if err != nil {
			if id != (access.EntitlementID{}) {
				t.Errorf("%q: %+v with %v", text, id, err)
			}
			return
		}
		if again, err := b.ParseEntitlementID(id.String()); err != nil || again != id {
			t.Errorf("%q reads as %+v, which prints as %q and reads as %+v, %v", text, id, id, again, err)
		}
	})
}

// By whichever link, no more people are asked than may be.
func TestPeopleOfAllLinksCount(t *testing.T) {
	w := newWorld(t)
	w.Holdings[dan] = w.Holdings[ben]
	b, a := w.Broker(), ask()
	a.Reviewers = a.Reviewers[:1]
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // sent twice it is one
		if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, string(cho))); err != nil {
			t.Fatal(err)
		}
	}
	_, err = b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, string(dan)))
	is(t, err, access.Invalid, access.CodeManyReviewers)
	more, err := b.MoreReviewers(t.Context(), caller(ana), asked.Ref)
	if err != nil || more.Room != 0 || len(more.Candidates) != 1 || more.Candidates[0] != dan {
		t.Errorf("%d of %v, %v", more.Room, more.Candidates, err)
	}
}
