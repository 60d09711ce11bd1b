package broker_test

import (
	"slices"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

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

// Sent twice it is one; sent to other people it is another, with a number of its own: no
// request asks more people than may be by being sent again.
func TestTheSameFormToOtherPeopleIsAnotherAsk(t *testing.T) {
	w := newWorld(t)
	b := w.Broker()
	a := ask()
	a.Form, _ = b.NewForm(caller(ana), access.Peers)
	a.Reviewers = []string{"ben@example.com"}
	first, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	a.Reviewers = []string{"cho@example.com"}
	second, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil || len(w.Told) != 2 || first.Ref == second.Ref || first.Request.ID == second.Request.ID {
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

// Asking somebody on one link is another ask than on another: the links that come of it
// name other people.
func TestTheSamePersonOnAnotherLinkIsAnotherAsk(t *testing.T) {
	w, _, asked := pending(t)
	roomForDan(w)
	b := w.Broker()
	more, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, "cho@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string][]access.Principal{asked.Ref: {ben, dan}, more.Ref: {ben, cho, dan}} {
		added, err := b.AddReviewers(t.Context(), caller(ana), addTo(ref, "dan@example.com"))
		if err != nil || !slices.Equal(added.Request.Reviewers, want) {
			t.Errorf("%v, %v; want %v", added.Request.Reviewers, err, want)
		}
	}
}
