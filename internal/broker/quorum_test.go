package broker_test

import (
	"reflect"
	"slices"
	"sync"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/policy"
)

// rules is a policy that a test writes.
type rules func(access.Subject) (access.Terms, error)

func (r rules) Terms(s access.Subject) (access.Terms, access.Explanation, error) {
	terms, err := r(s)
	return terms, access.Explanation{}, err
}

// changed is the instance's policy with its terms changed.
func changed(w *world, change func(*access.Terms)) rules {
	return func(s access.Subject) (access.Terms, error) {
		terms, _, err := policy.New(w.Settings).Terms(s)
		change(&terms)
		return terms, err
	}
}

// twoOfTwo is a store that remembers and a policy that wants two approvals.
func twoOfTwo(w *world) {
	w.Policy = changed(w, func(t *access.Terms) {
		if len(t.Requirements) > 0 {
			t.Requirements = []access.Requirement{{Count: 2, From: []string{access.FromPeers}}}
		}
	})
}

func approve(t *testing.T, b *broker.Broker, p access.Principal, ref string) (broker.Decided, error) {
	return b.Decide(t.Context(), caller(p), broker.Decide{Ref: ref, Verdict: access.Approve})
}

func TestTwoApprovalsOfTwo(t *testing.T) {
	w, b, asked := remembering(t, twoOfTwo)
	first, err := approve(t, b, ben, asked.Ref)
	if err != nil || first.State != access.Pending || !first.Window.IsZero() || len(w.Activations) != 0 || len(w.Told) != 0 {
		t.Fatalf("%+v, %v; granted %v, told %v", first, err, w.Activations, w.Told)
	}
	view, err := b.Show(t.Context(), caller(cho), asked.Ref, "")
	if err != nil || view.State != access.Pending || !view.CanDecide || len(view.Request.Decisions) != 1 || view.Request.Decisions[0].By != ben {
		t.Errorf("%+v, %v: the other sees who has approved", view, err)
	}
	w.Clock = w.Clock.Add(10e9)
	second, err := approve(t, b, cho, asked.Ref)
	if err != nil || second.State != access.Active || len(w.Activations) != 1 || !second.Window.Start.Equal(w.Clock.UTC().Truncate(1e9)) {
		t.Fatalf("%+v, %v; granted %v", second, err, w.Activations)
	}
	if got := w.Activations[0].Approvers; !slices.Equal(got, []access.Principal{ben, cho}) || len(w.Told) != 1 {
		t.Errorf("approved by %v, told %v", got, w.Told)
	}
	if got, want := w.Actions(), "approved, approved, granted"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
}

// The same person again is the same result, and never a second voice.
func TestOnePersonIsOneVoice(t *testing.T) {
	w, b, asked := remembering(t, twoOfTwo)
	for range 3 {
		decided, err := approve(t, b, ben, asked.Ref)
		if err != nil || decided.State != access.Pending {
			t.Fatalf("%+v, %v", decided, err)
		}
	}
	if len(w.Activations) != 0 || w.Actions() != "approved" || len(w.Requests[asked.Ref].Decisions) != 1 {
		t.Errorf("granted %v, journal %q, decisions %v", w.Activations, w.Actions(), w.Requests[asked.Ref].Decisions)
	}
	if decided, err := approve(t, b, cho, asked.Ref); err != nil || decided.State != access.Active {
		t.Errorf("%+v, %v", decided, err)
	}
}

func TestADenialAfterOneApprovalEndsIt(t *testing.T) {
	for _, who := range []access.Principal{ben, cho} { // who approved may think better of it
		w, b, asked := remembering(t, twoOfTwo)
		if _, err := approve(t, b, ben, asked.Ref); err != nil {
			t.Fatal(err)
		}
		no := broker.Decide{Ref: asked.Ref, Verdict: access.Deny, Comment: "not now"}
		for range 2 { // pressed again, it is the same denial
			decided, err := b.Decide(t.Context(), caller(who), no)
			if err != nil || decided.State != access.Denied || len(w.Told) != 1 || !w.Told[0].Final {
				t.Fatalf("%s: %+v, %v; told %v", who, decided, err, w.Told)
			}
		}
		for _, p := range []access.Principal{ben, cho} {
			if _, err := approve(t, b, p, asked.Ref); err == nil || access.AsError(err).Code != access.CodeAlreadyDenied {
				t.Errorf("%s approves after the denial of %s: %v", p, who, err)
			}
		}
		if len(w.Activations) != 0 {
			t.Errorf("granted %v", w.Activations)
		}
	}
}

// Everybody's eligibility is looked at again when the last one decides, and once more
// on the policy that is written.
func TestEligibilityAtTheLastApproval(t *testing.T) {
	lose := func(p access.Principal) func(*world) { return func(w *world) { w.Holdings[p] = nil } }
	later := func(lose func(*world)) func(*world) {
		return func(w *world) { w.BeforeGrant = func() { w.Mu.Lock(); lose(w); w.Mu.Unlock() } }
	}
	for _, c := range []struct {
		rule   string
		change func(*world)
		code   access.Code
	}{
		{"the requester lost it", lose(ana), access.CodeRequesterLost},
		{"the last approver lost it", lose(cho), access.CodeReviewerLost},
		{"the requester loses it before the write", later(lose(ana)), access.CodeRequesterLost},
		{"the last approver loses it before the write", later(lose(cho)), access.CodeReviewerLost},
		{"the first approver loses it before the write", later(lose(ben)), access.CodeReviewerNotEligible},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w, b, asked := remembering(t, twoOfTwo)
			if _, err := approve(t, b, ben, asked.Ref); err != nil {
				t.Fatal(err)
			}
			c.change(w)
			_, err := approve(t, b, cho, asked.Ref)
			is(t, err, access.NotAllowed, c.code)
			if len(w.Activations) != 0 {
				t.Errorf("granted %v", w.Activations)
			}
		})
	}
	t.Run("the first approver lost it meanwhile, and does not count", func(t *testing.T) {
		w, b, asked := remembering(t, func(w *world) { twoOfTwo(w); roomForDan(w) })
		if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, "dan@example.com")); err != nil {
			t.Fatal(err)
		}
		if _, err := approve(t, b, ben, asked.Ref); err != nil {
			t.Fatal(err)
		}
		w.Holdings[ben] = nil
		second, err := approve(t, b, cho, asked.Ref)
		if err != nil || second.State != access.Pending || len(w.Activations) != 0 {
			t.Fatalf("%+v, %v; granted %v", second, err, w.Activations)
		}
		third, err := approve(t, b, dan, asked.Ref)
		if err != nil || third.State != access.Active || !slices.Equal(w.Activations[0].Approvers, []access.Principal{cho, dan}) {
			t.Errorf("%+v, %v; granted %v", third, err, w.Activations)
		}
	})
}

// Two who approve at the same time are two, and make one grant.
func TestTwoApprovalsAtTheSameTime(t *testing.T) {
	for range 20 {
		w, b, asked := remembering(t, twoOfTwo)
		var both sync.WaitGroup
		for _, p := range []access.Principal{ben, cho} {
			both.Go(func() {
				// Whoever comes second finds that it has changed, and presses again.
				for {
					if _, err := approve(t, b, p, asked.Ref); err == nil || access.AsError(err).Code != access.CodeConflict {
						return
					}
				}
			})
		}
		both.Wait()
		if len(w.Activations) != 1 || len(w.Requests[asked.Ref].Decisions) != 2 || w.Requests[asked.Ref].State != access.Active {
			t.Fatalf("granted %v, %+v", w.Activations, w.Requests[asked.Ref])
		}
	}
}

// Terms that cannot be carried out are refused with their name, wherever they would
// have to be.
func TestATermThatCannotBeCarriedOutIsRefused(t *testing.T) {
	from := func(who ...string) []access.Requirement { return []access.Requirement{{Count: 1, From: who}} }
	for _, c := range []struct {
		rule    string
		forgets bool
		change  func(*access.Terms)
		term    string
	}{
		{"approvers sign", false, func(t *access.Terms) { t.Signature = true }, "signature"},
		{"break glass without memory", true, func(t *access.Terms) { t.BreakGlass = true }, "break_glass"},
		{"approvals by a claim", false, func(t *access.Terms) { t.Requirements = from("claim:leads") }, "from"},
		{"of peers or by a claim", false, func(t *access.Terms) { t.Requirements = from("claim:leads", access.FromPeers) }, "from"},
		{"of nobody in particular", false, func(t *access.Terms) { t.Requirements = from() }, "from"},
		{"two approvals without memory", true, func(t *access.Terms) { t.Requirements = append(from(access.FromPeers), from(access.FromPeers)...) }, "approvals"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w := newWorld(t)
			w.Forgets = c.forgets
			asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
			if err != nil {
				t.Fatal(err)
			}
			w.Forget()
			w.Policy = changed(w, func(t *access.Terms) {
				if t.StartWithin > 0 { // of peers
					t.Rule = "the rule"
					c.change(t)
				}
			})
			b := w.Broker()
			refused := func(what string, err error) {
				t.Helper()
				e := access.AsError(err)
				if e == nil || e.Code != access.CodeTermUnsupported || e.Args["term"] != c.term || e.Args["rule"] != "the rule" {
					t.Errorf("%s: %v", what, err)
				}
			}
			again := ask()
			again.Justification = "another"
			_, err = b.Ask(t.Context(), caller(ana), again)
			refused("asking", err)
			_, err = approve(t, b, ben, asked.Ref)
			refused("approving", err)
			_, err = b.Reviewers(t.Context(), caller(ana), admin)
			refused("who could be asked", err)
			_, err = b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, "dan@example.com"))
			refused("asking more", err)
			view, err := b.Show(t.Context(), caller(ben), asked.Ref, "")
			if err != nil || view.CanDecide {
				t.Errorf("can decide %v, %v", view.CanDecide, err)
			}
			refused("looking", view.WhyNot)
			offer, err := b.Offer(t.Context(), caller(ana), shop)
			if err != nil || len(offer.Roles) != 1 || offer.Roles[0].Entitlement.ID != viewer || len(offer.Refused) != 1 {
				t.Fatalf("offers %+v, %v", offer, err)
			}
			refused("what is offered", offer.Refused[0].Err)
			if len(w.Activations) != 0 || len(w.Requests) != 1 {
				t.Errorf("granted %v, requests %v", w.Activations, w.Requests)
			}
		})
	}
}

// A policy may refuse, and may ask for approval where the marker does not.
func TestAPolicyMayRefuse(t *testing.T) {
	w := newWorld(t)
	frozen := &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible, Args: access.Args{"role": "frozen"}}
	w.Policy = rules(func(s access.Subject) (access.Terms, error) {
		if s.Entitlement == admin {
			return access.Terms{}, frozen
		}
		terms, _, err := policy.New(w.Settings).Terms(s)
		terms.Requirements = []access.Requirement{{Count: 1, From: []string{access.FromPeers}}}
		return terms, err
	})
	b := w.Broker()
	_, err := b.Ask(t.Context(), caller(ana), ask())
	is(t, err, frozen.Kind, frozen.Code)
	_, err = b.Ask(t.Context(), caller(ana), selfAsk())
	is(t, err, access.NotAllowed, access.CodeNeedsApproval)
	if len(w.Activations) != 0 || w.Actions() != "refused, refused" {
		t.Errorf("granted %v, journal %q", w.Activations, w.Actions())
	}
}

// The policy is asked with who, what, how and when; the strictest of each holds.
func TestThePolicyIsAskedForEachEntitlement(t *testing.T) {
	w := newWorld(t)
	for _, p := range []access.Principal{ana, ben, cho} {
		w.Holdings[p] = append(w.Holdings[p], access.Entitlement{ID: narrow, PeerApproval: true, MayReview: true})
	}
	var mu sync.Mutex
	var seen []access.Subject
	w.Policy = rules(func(s access.Subject) (access.Terms, error) {
		mu.Lock()
		seen = append(seen, s)
		mu.Unlock()
		terms, _, err := policy.New(w.Settings).Terms(s)
		if s.Entitlement == narrow {
			terms.MaxDuration = 30 * 60e9
		}
		return terms, err
	})
	b := w.Broker()
	a := ask()
	a.Entitlements = []access.EntitlementID{admin, narrow}
	_, err := b.Ask(t.Context(), caller(ana), a)
	is(t, err, access.Invalid, access.CodeBadDuration)
	if max := access.AsError(err).Args["max"]; max != "30" {
		t.Errorf("at most %s minutes", max)
	}
	for _, id := range a.Entitlements {
		want := access.Subject{Principal: ana, Entitlement: id, Kind: access.Peers, At: w.Clock}
		if !slices.ContainsFunc(seen, func(s access.Subject) bool { return reflect.DeepEqual(s, want) }) {
			t.Errorf("not asked for %+v: %+v", want, seen)
		}
	}
}
