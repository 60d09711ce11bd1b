package broker_test

import (
	"slices"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

const (
	unnamed  = "rules: [{name: r, terms: {approvals: 1}}]\n"
	benIsAna = "people: [[ana@example.com, ben@example.com]]\n" + unnamed
	two      = "rules: [{name: r, terms: {approvals: 2}}]\n"
	benIsCho = "people: [[ben@example.com, cho@example.com]]\n" + two
)

// Nobody asks themselves by another address, at once or later, or is offered for it.
func TestOneHumanIsNotAskedForTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.Policy = ruled(t, w, benIsAna)
	b := w.Broker()
	_, err := b.Ask(t.Context(), caller(ana), ask())
	is(t, err, access.Invalid, access.CodeSelfReviewer)
	a := ask()
	a.Reviewers = []string{"cho@example.com"}
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.AddReviewers(t.Context(), caller(ana), broker.AddReviewers{Ref: asked.Ref, Reviewers: []string{"ben@example.com"}, Origin: a.Origin, Host: a.Host})
	is(t, err, access.Invalid, access.CodeSelfReviewer)
	if all, err := b.Reviewers(t.Context(), caller(ana), admin); err != nil || !slices.Equal(all.People, []access.Principal{cho}) {
		t.Errorf("offered %v, %v", all, err)
	}
}

// Who turns out to be the requester after they were asked decides nothing.
func TestOneHumanDoesNotDecideTheirOwn(t *testing.T) {
	for _, verdict := range []access.Verdict{access.Approve, access.Deny} {
		w := newWorld(t)
		p := &changing{ruled(t, w, unnamed)}
		w.Policy = p
		b := w.Broker()
		asked, err := b.Ask(t.Context(), caller(ana), ask())
		if err != nil {
			t.Fatal(err)
		}
		p.Refined = ruled(t, w, benIsAna)
		_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: verdict, Comment: "so"})
		is(t, err, access.NotAllowed, access.CodeOwnRequest)
	}
}

// And one who turns out so between the decision and the write has approved nothing.
func TestOneHumanBeforeTheWrite(t *testing.T) {
	w := newWorld(t)
	p := &changing{ruled(t, w, unnamed)}
	w.Policy = p
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.BeforeGrant = func() { p.Refined = ruled(t, w, benIsAna) }
	_, err = approve(t, b, ben, asked.Ref)
	is(t, err, access.Gone, access.CodeGrantRefused)
	if len(w.Activations) > 0 {
		t.Errorf("granted %v", w.Activations)
	}
}

// One human with two addresses is one approval, and one of those asked.
func TestOneHumanCountsOnce(t *testing.T) {
	w := newWorld(t)
	w.Forgets = false
	w.Holdings[dan] = []access.Entitlement{brokertest.Peer(admin)}
	w.Settings.MaxReviewers = 3
	w.Policy = ruled(t, w, benIsCho)
	b := w.Broker()
	_, err := b.Ask(t.Context(), caller(ana), ask())
	is(t, err, access.Invalid, access.CodeFewReviewers)
	a := ask()
	a.Reviewers = append(a.Reviewers, "dan@example.com")
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		by    access.Principal
		state access.State
	}{{cho, access.Pending}, {ben, access.Pending}, {dan, access.Active}} {
		if decided, err := approve(t, b, c.by, asked.Ref); err != nil || decided.State != c.state {
			t.Errorf("%s: %s %v", c.by, decided.State, err)
		}
	}
}

// Nor are they two of those who have to be asked, where fewer have to approve.
func TestTwoAddressesOfOneHumanAreOneWhoIsAsked(t *testing.T) {
	for people, code := range map[string]access.Code{"": "", "people: [[ben@example.com, cho@example.com]]\n": access.CodeFewReviewers} {
		w := newWorld(t)
		w.Settings.MinReviewers = 2
		w.Policy = ruled(t, w, people+unnamed)
		_, err := w.Broker().Ask(t.Context(), caller(ana), ask())
		if e := access.AsError(err); code == "" && err != nil || code != "" && (e == nil || e.Code != code) {
			t.Errorf("%q: %v, want %q", people, err, code)
		}
	}
}

// Whose addresses they are by the mapping of when the request was made and by that of now:
// both hold, also together.
func TestTheMappingsOfThenAndOfNowBothHold(t *testing.T) {
	for _, c := range []struct {
		name, then, now string
		code            access.Code
	}{
		{"one human now", "", "people: [[ana@example.com, ben@example.com]]\n", access.CodeOwnRequest},
		{"by way of an address of then", "people: [[ana@example.com, dan@example.com]]\n", "people: [[ben@example.com, dan@example.com]]\n", access.CodeOwnRequest},
		{"others", "people: [[ana@example.com, dan@example.com]]\n", "people: [[ben@example.com, cho@example.com]]\n", ""},
	} {
		w := newWorld(t)
		w.Forgets = false
		p := &changing{ruled(t, w, c.then+unnamed)}
		w.Policy = p
		b := w.Broker()
		asked, err := b.Ask(t.Context(), caller(ana), ask())
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		p.Refined = ruled(t, w, c.now+unnamed)
		_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
		if e := access.AsError(err); c.code == "" && err != nil || c.code != "" && (e == nil || e.Code != c.code) {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
	// Who were one approver then are not two now.
	w := newWorld(t)
	w.Forgets = false
	p := &changing{ruled(t, w, "people: [[ben@example.com, cho@example.com]]\n"+unnamed)}
	w.Policy = p
	b := w.Broker()
	a := ask()
	a.Reviewers = []string{"ben@example.com", "cho@example.com"}
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	p.Refined = ruled(t, w, two)
	for _, by := range []access.Principal{ben, cho} {
		decided, err := b.Decide(t.Context(), caller(by), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
		if err == nil && decided.State != access.Pending {
			t.Errorf("%s: %s", by, decided.State)
		}
	}
	if len(w.Activations) > 0 {
		t.Errorf("granted %v", w.Activations)
	}
}

// So it is of who was asked later: by the mapping of when they were.
func TestTheMappingOfWhenSomebodyWasAddedHolds(t *testing.T) {
	w, store := withLedger(t)
	w.Settings.MaxReviewers = 3
	w.Holdings[dan] = []access.Entitlement{brokertest.Peer(admin)}
	p := &changing{ruled(t, w, two)}
	w.Policy = p
	b := w.Broker()
	a := ask()
	a.Reviewers = []string{"ben@example.com", "cho@example.com"}
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	p.Refined = ruled(t, w, "people: [[dan@example.com, ben@example.com]]\n"+two)
	if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, string(dan))); err != nil {
		t.Fatal(err)
	}
	if r, err := store.Open(t.Context(), asked.Ref); err != nil || len(r.Terms.People) != 1 || len(r.Terms.People[0]) != 2 {
		t.Errorf("%v, %v", r.Terms.People, err)
	}
	p.Refined = ruled(t, w, two)
	for _, c := range []struct {
		by   access.Principal
		want access.State
	}{{ben, access.Pending}, {dan, access.Pending}, {cho, access.Active}} {
		if decided, err := approve(t, w.Broker(), c.by, asked.Ref); err != nil || decided.State != c.want {
			t.Errorf("%s: %q, want %q, %v", c.by, decided.State, c.want, err)
		}
	}
}
