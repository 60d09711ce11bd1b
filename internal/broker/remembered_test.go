package broker_test

import (
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

// What everybody asks of the broker that may be refused for want of eligibility.
var questions = map[string]struct {
	// of are those whose eligibility it rests on.
	of  []access.Principal
	ask func(*testing.T, *broker.Broker, string) error
	// looks is how often the provider is asked when nothing is refused.
	looks int
}{
	"activating": {[]access.Principal{ana}, func(t *testing.T, b *broker.Broker, _ string) error {
		_, err := b.Ask(t.Context(), caller(ana), selfAsk())
		return err
	}, 1},
	"asking": {[]access.Principal{ana, ben, cho}, func(t *testing.T, b *broker.Broker, _ string) error {
		a := ask()
		a.Justification = "another"
		_, err := b.Ask(t.Context(), caller(ana), a)
		return err
	}, 1},
	"asking more people": {[]access.Principal{ana, cho}, func(t *testing.T, b *broker.Broker, ref string) error {
		_, err := b.AddReviewers(t.Context(), caller(ana), addTo(ref, "cho@example.com"))
		return err
	}, 1},
	"who could be asked": {[]access.Principal{ana}, func(t *testing.T, b *broker.Broker, _ string) error {
		_, err := b.Reviewers(t.Context(), caller(ana), admin)
		return err
	}, 1},
	"who else could be asked": {[]access.Principal{ana}, func(t *testing.T, b *broker.Broker, ref string) error {
		_, err := b.MoreReviewers(t.Context(), caller(ana), ref)
		return err
	}, 1},
	"the form": {[]access.Principal{ana}, func(t *testing.T, b *broker.Broker, _ string) error {
		_, err := b.Choose(t.Context(), caller(ana), shop, admin)
		return err
	}, 2},
	"looking at the request": {[]access.Principal{ana, ben}, func(t *testing.T, b *broker.Broker, ref string) error {
		view, err := b.Show(t.Context(), caller(ben), ref, "")
		if err == nil && view.WhyNot != nil {
			return view.WhyNot
		}
		return err
	}, 1},
	"deciding": {[]access.Principal{ana, ben}, func(t *testing.T, b *broker.Broker, ref string) error {
		_, err := approve(t, b, ben, ref)
		return err
	}, 1},
}

// A refusal never rests on a remembered answer: whoever became eligible a moment ago
// is not told that they are not.
func TestNoRefusalRestsOnWhatIsRemembered(t *testing.T) {
	for name, q := range questions {
		for _, stale := range q.of {
			t.Run(name+", "+string(stale), func(t *testing.T) {
				w, b, asked := pending(t)
				w.Remembered = map[access.Principal][]access.Entitlement{stale: nil}
				if err := q.ask(t, b, asked.Ref); err != nil {
					t.Errorf("refused on what is not so any more: %v", err)
				}
			})
			t.Run(name+", lost by "+string(stale), func(t *testing.T) {
				w, b, asked := pending(t)
				w.Holdings[stale] = nil
				err := q.ask(t, b, asked.Ref)
				if e := access.AsError(err); e == nil || e.Kind != access.NotAllowed {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// Nothing is asked twice where nothing is refused.
func TestNothingIsAskedTwiceWithoutARefusal(t *testing.T) {
	for name, q := range questions {
		w, b, asked := pending(t)
		if err := q.ask(t, b, asked.Ref); err != nil || w.Calls["standing"] != q.looks {
			t.Errorf("%s: %v, calls %v, want %d", name, err, w.Calls, q.looks)
		}
	}
}

// That it cannot be read again is no refusal: the cause is told.
func TestWhatCannotBeReadAgainIsNoRefusal(t *testing.T) {
	down := &access.Error{Kind: access.TooMany, Code: access.CodeQuota}
	for name, q := range questions {
		if name == "deciding" {
			continue // it asks once, and what is so now
		}
		w, b, asked := pending(t)
		w.Remembered = map[access.Principal][]access.Entitlement{q.of[0]: nil}
		w.AgainErr = down
		if e := access.AsError(q.ask(t, b, asked.Ref)); e != down {
			t.Errorf("%s: %v", name, e)
		}
	}
}

// Somebody who was asked and may not approve any more reads just that.
func TestAReviewerWhoLostEligibilityIsToldSo(t *testing.T) {
	w, b, asked := requested(t)
	w.Holdings[ben] = nil
	view, err := b.Show(t.Context(), caller(ben), asked.Ref, "")
	if err != nil || view.CanDecide || view.WhyNot == nil || view.WhyNot.Code != access.CodeReviewerLost || view.WhyNot.Args["role"] != string(admin.Role) ||
		view.WhyNot.Args["resource"] != string(shop) {
		t.Errorf("%+v, %v", view.WhyNot, err)
	}
}

// The form: that roles cannot be had together does not rest on what is remembered either.
func TestTheFormIsLookedAtAgain(t *testing.T) {
	w := newWorld(t)
	w.Holdings[ana] = []access.Entitlement{brokertest.Self(admin), brokertest.Self(viewer)}
	w.Remembered = map[access.Principal][]access.Entitlement{ana: {brokertest.Peer(admin), brokertest.Self(viewer)}}
	if _, err := w.Broker().Choose(t.Context(), caller(ana), shop, admin, viewer); err != nil {
		t.Errorf("refused on what is not so any more: %v", err)
	}
}

// A peer who became eligible a moment ago is among those who may be asked.
func TestNobodyToAskIsLookedAtAgain(t *testing.T) {
	w := newWorld(t)
	w.Remembered = map[access.Principal][]access.Entitlement{ben: nil, cho: nil}
	if who, err := w.Broker().Reviewers(t.Context(), caller(ana), admin); err != nil || len(who.People) != 2 {
		t.Errorf("%v, %v", who, err)
	}
	w.Holdings[ben], w.Holdings[cho] = nil, nil
	if who, err := w.Broker().Reviewers(t.Context(), caller(ana), admin); err != nil || len(who.People) != 0 {
		t.Errorf("%v, %v", who, err)
	}
}
