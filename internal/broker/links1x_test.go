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

// Asking more people leaves the digest of a page that somebody has open.
func TestAskingMoreLeavesWhatWasShown(t *testing.T) {
	_, b, asked := pending(t)
	view, err := b.Show(t.Context(), caller(ben), asked.Ref, "")
	if err != nil {
		t.Fatal(err)
	}
	added, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, "cho@example.com"))
	if err != nil || added.Request.Digest() != view.Digest || added.Request.FullDigest() == asked.Request.FullDigest() {
		t.Fatalf("%v, digest %s, shown %s", err, added.Request.Digest(), view.Digest)
	}
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: added.Ref, Verdict: access.Approve, Digest: view.Digest})
	if err != nil || decided.State != access.Active {
		t.Errorf("%+v, %v", decided, err)
	}
}

// Sent twice it is one; sent to other people it is another, though what they are shown
// is the same.
func TestTheSameFormToOtherPeopleIsAnotherAsk(t *testing.T) {
	w := newWorld(t)
	b := w.Broker()
	a := ask()
	a.ID, _ = b.NewID(access.Peers)
	a.Reviewers = []string{"ben@example.com"}
	first, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	a.Reviewers = []string{"cho@example.com"}
	second, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil || len(w.Told) != 2 || first.Ref == second.Ref || first.Request.Digest() != second.Request.Digest() {
		t.Errorf("%+v, %v; told %v", second, err, w.Told)
	}
}

// Whoever was added later hears how it was decided, on whichever link; people of
// another request do not.
func TestWhoWasAddedHearsOfThisRequestAlone(t *testing.T) {
	w, b, asked := pending(t)
	if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, "cho@example.com")); err != nil {
		t.Fatal(err)
	}
	other := ask()
	other.Reviewers, other.Justification = []string{"ben@example.com"}, "another"
	alike, err := b.Ask(t.Context(), caller(ana), other)
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]int{asked.Ref: 2, alike.Ref: 1} {
		w.Told = nil
		if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: ref, Verdict: access.Deny, Comment: "no"}); err != nil {
			t.Fatal(err)
		}
		if len(w.Told) != 1 || len(w.Told[0].CC) != want {
			t.Errorf("%s: told %+v, want %d in copy", ref, w.Told, want)
		}
	}
}
