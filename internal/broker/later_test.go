package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

// crowd is a world with a request of ana's to ben, who may ask two, and more people who
// could be asked.
func crowd(t *testing.T) (*world, *broker.Broker, broker.Asked, []access.Principal) {
	w, b, asked := pending(t)
	var people []access.Principal
	for i := range 8 {
		p := access.Principal(fmt.Sprintf("p%d@example.com", i))
		people = append(people, p)
		w.Holdings[p] = []access.Entitlement{brokertest.Peer(admin)}
	}
	return w, b, asked, people
}

// No more people are asked than may be, also of those who are added at the same time by
// the first link.
func TestPeopleAddedAtTheSameTimeCount(t *testing.T) {
	w, _, asked, people := crowd(t)
	gate := &gated{World: w}
	gate.arrive.Add(len(people))
	registration := w.Registration()
	registration.Provider = gate
	b := w.BrokerOf(registration)
	var together sync.WaitGroup
	for _, p := range people {
		together.Go(func() {
			if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, string(p))); err != nil && access.AsError(err).Code != access.CodeManyReviewers {
				t.Error(err)
			}
		})
	}
	together.Wait()
	if len(w.Told) != 1 {
		t.Errorf("%d of one more were asked", len(w.Told))
	}
}

// gated answers nobody before all have asked.
type gated struct {
	*brokertest.World
	arrive sync.WaitGroup
}

func (g *gated) Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	g.arrive.Done()
	g.arrive.Wait()
	return g.World.Standing(ctx, q)
}

// Whom it was not possible to ask does not count.
func TestPeopleWhoCouldNotBeAskedDoNotCount(t *testing.T) {
	w, b, asked, people := crowd(t)
	w.JournalErr[access.ReviewersAdded] = errors.New("disk full")
	if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, string(people[0]))); err == nil {
		t.Fatal("asked without a record")
	}
	delete(w.JournalErr, access.ReviewersAdded)
	if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, string(people[1]))); err != nil {
		t.Error(err)
	}
}

// Who is asked after somebody has declined is told, in the mail and on the page; so is
// who opens the first link again.
func TestDeclinesAreToldToWhoIsAskedLater(t *testing.T) {
	w, b, asked := pending(t)
	no := broker.Decide{Ref: asked.Ref, Verdict: access.Deny, Comment: "use staging"}
	for range 2 {
		if _, err := b.Decide(t.Context(), caller(ben), no); err != nil {
			t.Fatal(err)
		}
		no.Comment = "really: use staging"
	}
	added, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, string(cho)))
	if err != nil {
		t.Fatal(err)
	}
	says := func(declined []access.Decision) bool {
		return len(declined) == 1 && declined[0].By == ben && declined[0].Comment == "really: use staging"
	}
	if n := w.Told[len(w.Told)-1]; n.Kind != access.NoticeReview || !slices.Equal(n.To, []access.Principal{cho}) || !says(n.Declined) {
		t.Errorf("told %+v", n)
	}
	for ref, p := range map[string]access.Principal{added.Ref: cho, asked.Ref: ana} {
		view, err := b.Show(t.Context(), caller(p), ref, "")
		if err != nil || !says(view.Declined) || view.State != access.Pending {
			t.Errorf("%s sees %+v, %s, %v", p, view.Declined, view.State, err)
		}
	}
	// It is a declining: who was asked later may approve.
	if d, err := approve(t, b, cho, added.Ref); err != nil || d.State != access.Active {
		t.Errorf("%v, %v", d.State, err)
	}
	// Another request knows nothing of it.
	other := ask()
	other.Justification = "another"
	view, err := b.Show(t.Context(), caller(ben), mustAsk(t, b, other).Ref, "")
	if err != nil || len(view.Declined) != 0 {
		t.Errorf("%+v, %v", view.Declined, err)
	}
}

// One person's requests do not fill what is remembered of others'.
func TestOnePersonsRequestsLeaveRoomForOthers(t *testing.T) {
	w := newWorld(t)
	b := w.Broker()
	for i := range 1010 {
		a := ask()
		a.Justification = fmt.Sprint("case ", i)
		mustAsk(t, b, a)
	}
	w.Holdings[dan] = w.Holdings[ana]
	a := ask()
	a.Form = formOf(dan, access.Peers)
	before := len(w.Told)
	for range 3 {
		if _, err := b.Ask(t.Context(), caller(dan), a); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.Told) - before; n != 1 {
		t.Errorf("told %d times of one form", n)
	}
	// Of one's own the latest is remembered.
	a = ask()
	a.Form = formOf(ana, access.Peers)
	before = len(w.Told)
	for range 3 {
		mustAsk(t, b, a)
	}
	if n := len(w.Told) - before; n != 1 {
		t.Errorf("told %d times of one's own", n)
	}
}

// Who asks more people for very many requests has to slow down, and loses no count.
func TestMaximaAreNotForgotten(t *testing.T) {
	w, b, first, people := crowd(t)
	if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(first.Ref, string(people[0]))); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range 60 {
		a := ask()
		a.Reviewers, a.Justification = a.Reviewers[:1], fmt.Sprint("case ", i)
		_, err := b.AddReviewers(t.Context(), caller(ana), addTo(mustAsk(t, b, a).Ref, string(people[0])))
		if e := access.AsError(err); e != nil && e.Kind == access.TooMany {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.AddReviewers(t.Context(), caller(ana), addTo(first.Ref, string(people[1])))
	is(t, err, access.Invalid, access.CodeManyReviewers)
	if refused == 0 {
		t.Error("nothing bounds what is remembered")
	}
	// When they cannot be decided any more there is room again.
	w.Clock = w.Clock.Add(2 * time.Hour)
	asked := mustAsk(t, b, broker.Ask{Resource: shop, Entitlements: []access.EntitlementID{admin}, Justification: "later", Duration: time.Hour,
		Reviewers: []string{string(ben)}, Origin: "https://jit.example.com"})
	if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, string(people[0]))); err != nil {
		t.Error(err)
	}
}

// Two people who decline in the same words are two, and each is told to everybody.
func TestTwoWhoDeclineInTheSameWordsAreTwo(t *testing.T) {
	w, b, asked := requested(t)
	for _, p := range []access.Principal{ben, cho} {
		d, err := b.Decide(t.Context(), caller(p), broker.Decide{Ref: asked.Ref, Verdict: access.Deny, Comment: "no"})
		if err != nil || d.Decision.By != p {
			t.Errorf("%s: %+v, %v", p, d.Decision, err)
		}
	}
	if len(w.Told) != 2 {
		t.Errorf("told %d times", len(w.Told))
	}
}
