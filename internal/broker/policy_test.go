package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/policy"
)

// ruled is the policy of a file.
func ruled(t *testing.T, w *world, text string) policy.Refined {
	t.Helper()
	file, faults := policy.ReadFile([]byte("version: 1\n" + text))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return policy.Refine(policy.New(w.Settings), file)
}

// A request meets the rule of the folder that its project is in, of the requester's
// groups, and of what the role can do.
func TestRulesSeeWhatTheyLookAt(t *testing.T) {
	const refuse = `rules: [{name: r, match: {%s}, refuse: Not this.}]`
	for _, c := range []struct {
		name, match string
		change      func(*world)
		code        access.Code // empty: it is asked
		standings   int         // looks at the resource
	}{
		{"nothing is looked up for a rule that looks at nothing", `role: [roles/other]`, nil, "", 1},
		{"a folder above", `resource: [folders/1/**]`, func(w *world) { w.Above = []access.Resource{"folders/2", "folders/1"} }, access.CodeRuleRefuses, 1},
		{"another folder", `resource: [folders/1/**]`, func(w *world) { w.Above = []access.Resource{"folders/2"} }, "", 2},
		{"who knows what is above", `resource: [folders/1/**]`, func(w *world) { w.AboveErr = &access.Error{Kind: access.Upstream, Code: access.CodeServiceNotAllowed} },
			access.CodeRuleUndecided, 1},
		{"a group", `requester: ["group:ops@example.com"]`, func(w *world) { w.GroupsOf = map[access.Principal][]string{ana: {"ops@example.com"}} }, access.CodeRuleRefuses, 0},
		{"somebody else's group", `requester: ["group:ops@example.com"]`, func(w *world) { w.GroupsOf = map[access.Principal][]string{ben: {"ops@example.com"}} }, "", 1},
		{"a directory that is down", `requester: ["group:ops@example.com"]`, func(w *world) { w.DirectoryErr = errors.New("down") }, access.CodeRuleUndecided, 0},
		{"a role of which nothing is known counts as one that changes permissions", `changes_permissions: true`, nil, access.CodeRuleRefuses, 0},
		{"a role that is known to change none", `changes_permissions: true`, func(w *world) {
			w.Titles = map[access.Role]access.RoleInfo{admin.Role: {Title: "an admin", ChangesPermissions: access.No}}
		}, "", 1},
	} {
		w := newWorld(t)
		if c.change != nil {
			c.change(w)
		}
		w.Policy = ruled(t, w, fmt.Sprintf(refuse, c.match))
		b := w.Broker()
		_, err := b.Ask(t.Context(), caller(ana), ask())
		e := access.AsError(err)
		switch {
		case c.code == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.code != "" && (e == nil || e.Code != c.code):
			t.Errorf("%s: %v", c.name, err)
		case w.Calls["standing"] != c.standings:
			t.Errorf("%s: %d looks at the resource, want %d", c.name, w.Calls["standing"], c.standings)
		}
		if w.AboveErr != nil && (e == nil || e.Kind != access.Unavailable || !errors.Is(err, w.AboveErr)) {
			t.Errorf("%s: %v; the log does not learn why", c.name, err)
		}
		if c.code == access.CodeRuleUndecided && c.name == "a directory that is down" && !errors.Is(err, w.DirectoryErr) {
			t.Errorf("%s: the log does not learn why: %v", c.name, err)
		}
	}
}

// The policy that holds at the decision decides, in both directions, also when it has
// changed since the request.
func TestAPolicyThatHasChangedDecidesAnew(t *testing.T) {
	const long, short, frozen = "rules: [{name: long, terms: {max_duration: 2h}}]\n", "rules: [{name: short, terms: {max_duration: 30m}}]\n",
		"rules: [{name: frozen, refuse: Frozen.}]\n"
	for _, c := range []struct {
		name, then, now string
		code            access.Code
	}{
		{"as it was", long, long, ""},
		{"longer than now allows is refused, not shortened", long, short, access.CodeBadDuration},
		{"refused by now", long, frozen, access.CodeRuleRefuses},
		{"a policy where there was none", "", short, access.CodeBadDuration},
		{"none where there was one", long, "", ""},
	} {
		w := newWorld(t)
		hold := func(text string) {
			w.Policy = nil
			if text != "" {
				w.Policy = ruled(t, w, text)
			}
		}
		hold(c.then)
		asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		hold(c.now)
		_, err = w.Broker().Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
		if e := access.AsError(err); c.code == "" && err != nil || c.code != "" && (e == nil || e.Code != c.code) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// What begins in a time when it is refused is refused when it is asked for.
func TestRulesJudgeWhenAccessBegins(t *testing.T) {
	w := newWorld(t)
	day := dawn.Add(24 * time.Hour).Format(time.DateOnly)
	w.Policy = ruled(t, w, "rules: [{name: freeze, match: {dates: {from: "+day+", zone: UTC}}, refuse: Frozen.}]\n")
	if _, err := w.Broker().Ask(t.Context(), caller(ana), ask()); err != nil {
		t.Error(err)
	}
	a := ask()
	a.Start = dawn.Add(23 * time.Hour)
	for a.Start.Format(time.DateOnly) < day {
		a.Start = a.Start.Add(30 * time.Minute)
	}
	_, err := w.Broker().Ask(t.Context(), caller(ana), a)
	is(t, err, access.NotAllowed, access.CodeRuleRefuses)
}

// A role that a rule refuses is not offered, and the page says why.
func TestARefusedRoleIsNotOffered(t *testing.T) {
	w := newWorld(t)
	w.Policy = ruled(t, w, "rules: [{name: never, match: {role: [roles/compute.*]}, refuse: Ask for less.}, {name: rest, terms: {max_duration: 10m}}]\n")
	offer, err := w.Broker().Offer(t.Context(), caller(ana), shop)
	if err != nil || len(offer.Roles) != 1 || offer.Roles[0].Entitlement.ID != viewer || offer.Roles[0].Terms.MaxDuration != 10*time.Minute {
		t.Fatalf("%+v %v", offer.Roles, err)
	}
	if len(offer.Refused) != 1 || offer.Refused[0].Err.Code != access.CodeRuleRefuses || offer.Refused[0].Err.Args["message"] != "Ask for less." {
		t.Errorf("%v", offer.Refused)
	}
}

// The journal names the rule and the file by which somebody asked and somebody decided.
func TestTheJournalNamesTheRule(t *testing.T) {
	w := newWorld(t)
	p := ruled(t, w, "rules: [{name: production, terms: {max_duration: 1h}}]\n")
	w.Policy = p
	asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
	if err == nil {
		_, err = w.Broker().Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range w.Journal {
		if terms := e.Request.Terms; terms.Rule != "production" || terms.Policy != p.File().Digest {
			t.Errorf("%s: rule %q, policy %q", e.Action, terms.Rule, terms.Policy)
		}
	}
}

// Where a request is remembered with its terms, a policy that became easier since does not
// make it easier: the stricter of then and now holds.
func TestTheStricterOfThenAndNowHolds(t *testing.T) {
	for _, c := range []struct {
		then, now string
		state     access.State
	}{
		{"approvals: 1", "approvals: 1", access.Active},
		{"approvals: 2", "approvals: 1", access.Pending},
		{"approvals: 1", "approvals: 2", access.Pending},
	} {
		w := newWorld(t)
		w.Forgets = false
		w.Policy = ruled(t, w, "rules: [{name: r, terms: {"+c.then+"}}]\n")
		asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
		if err != nil {
			t.Fatal(err)
		}
		w.Policy = ruled(t, w, "rules: [{name: r, terms: {"+c.now+"}}]\n")
		decided, err := w.Broker().Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
		if err != nil || decided.State != c.state {
			t.Errorf("%s then, %s now: %s %v", c.then, c.now, decided.State, err)
		}
	}
}

// changing is a policy whose file may change while the broker works.
type changing struct{ policy.Refined }

// A policy that changes between the decision and the write holds for the write: it is
// refused, never shortened, and a policy that became easier changes nothing.
func TestAPolicyThatChangesBeforeTheWrite(t *testing.T) {
	rule := func(text string) string { return "rules: [{name: r, " + text + "}]\n" }
	selfApproval := func(b *broker.Broker, _ string) error {
		a := selfAsk()
		a.Duration = time.Hour
		_, err := b.Ask(t.Context(), caller(ana), a)
		return err
	}
	approval := func(b *broker.Broker, ref string) error {
		_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: ref, Verdict: access.Approve})
		return err
	}
	for _, way := range []struct {
		name    string
		forgets bool
		act     func(*broker.Broker, string) error
	}{{"alone", true, selfApproval}, {"alone, remembered", false, selfApproval}, {"approved", true, approval}, {"approved, remembered", false, approval}} {
		for _, c := range []struct {
			name, now string
			change    func(*world)
			code      access.Code
		}{
			{"as it was", rule("terms: {max_duration: 2h}"), nil, ""},
			{"easier", rule("terms: {max_duration: 2h, start_within: 2h}"), nil, ""},
			{"shorter", rule("terms: {max_duration: 30m}"), nil, access.CodeBadDuration},
			{"refused", rule("refuse: Frozen."), nil, access.CodeRuleRefuses},
			{"another reason", rule(`terms: {justification: [{pattern: "^INC", message: Begin with the ticket.}]}`), nil, access.CodeJustificationRule},
			{"nobody knows who is in the group", rule(`match: {requester: ["group:ops@example.com"]}, refuse: Not you.`),
				func(w *world) { w.DirectoryErr = errors.New("down") }, access.CodeRuleUndecided},
			{"a signature, which nobody can give", rule("terms: {signature: true}"), nil, access.CodeTermUnsupported},
		} {
			w := newWorld(t)
			w.Forgets = way.forgets
			p := &changing{ruled(t, w, rule("terms: {max_duration: 2h}"))}
			w.Policy = p
			b := w.Broker()
			asked, err := b.Ask(t.Context(), caller(ana), ask())
			if err != nil {
				t.Fatal(err)
			}
			w.BeforeGrant = func() {
				p.Refined = ruled(t, w, c.now)
				if c.change != nil {
					c.change(w)
				}
			}
			err = way.act(b, asked.Ref)
			if e := access.AsError(err); c.code == "" && err != nil || c.code != "" && (e == nil || e.Code != c.code) {
				t.Errorf("%s, %s: %v, want %q", way.name, c.name, err, c.code)
			}
			if granted := len(w.Activations) > 0; granted != (c.code == "") {
				t.Errorf("%s, %s: granted %v", way.name, c.name, w.Activations)
			}
		}
	}
}

// Where more approvals are demanded than have been given, what was approved is not written.
func TestMoreApprovalsAreDemandedBeforeTheWrite(t *testing.T) {
	w := newWorld(t)
	w.Forgets = false
	one, two := "rules: [{name: r, terms: {approvals: 1}}]\n", "rules: [{name: r, terms: {approvals: 2}}]\n"
	p := &changing{ruled(t, w, one)}
	w.Policy = p
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.BeforeGrant = func() { p.Refined = ruled(t, w, two) }
	_, err = approve(t, b, ben, asked.Ref)
	is(t, err, access.Gone, access.CodeGrantRefused)
	if len(w.Activations) > 0 {
		t.Errorf("granted %v", w.Activations)
	}
}

// What a sweep finishes is held against the policy of the moment in which it is written.
func TestAPolicyThatChangesBeforeTheSweepWrites(t *testing.T) {
	for _, now := range []string{"terms: {max_duration: 30m}", "refuse: Frozen."} {
		w, store := withLedger(t)
		p := &changing{ruled(t, w, "rules: [{name: r, terms: {max_duration: 2h}}]\n")}
		w.Policy = p
		b := w.Broker()
		w.GrantErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
		asked, err := b.Ask(t.Context(), caller(ana), selfAsk())
		if err != nil || state(t, store, asked.Request.ID) != access.Approved {
			t.Fatalf("%v, %q", err, state(t, store, asked.Request.ID))
		}
		w.GrantErr = nil
		w.BeforeGrant = func() { p.Refined = ruled(t, w, "rules: [{name: r, "+now+"}]\n") }
		w.Clock = w.Clock.Add(time.Minute)
		swept(t, b)
		if w.Calls["grant"] != 2 || len(w.Activations) > 0 {
			t.Errorf("%s: %d tries, granted %v", now, w.Calls["grant"], w.Activations)
		}
	}
}

// What a rule says of channels goes with every notice of the request, with and without
// memory; who asks people whom no channel reaches is told to pass the link on.
func TestARuleNamesTheChannelsOfEveryNotice(t *testing.T) {
	for _, forgets := range []bool{true, false} {
		for _, verdict := range []access.Verdict{access.Approve, access.Deny} {
			w := newWorld(t)
			w.Forgets = forgets
			w.Policy = ruled(t, w, "rules: [{name: r, terms: {max_duration: 1h, notify: {only: [pubsub]}}}]\n")
			b := w.Broker()
			asked, err := b.Ask(t.Context(), caller(ana), ask())
			if err != nil || len(asked.Warnings) != 1 || asked.Warnings[0].Code != access.CodeNoChannel {
				t.Fatalf("%v, %v", asked.Warnings, err)
			}
			if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: verdict, Comment: "no"}); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Ask(t.Context(), caller(ana), selfAsk()); err != nil {
				t.Fatal(err)
			}
			if len(w.Told) != 3 {
				t.Fatalf("%d notices", len(w.Told))
			}
			for _, n := range w.Told {
				if !n.Request.Terms.NotifyOnly || !slices.Equal(n.Request.Terms.Notify, []string{"pubsub"}) {
					t.Errorf("%s: %+v", n.Kind, n.Request.Terms)
				}
			}
		}
	}
	w := newWorld(t)
	w.Policy = ruled(t, w, "rules: [{name: r, terms: {max_duration: 1h, notify: {only: [mail]}}}]\n")
	if asked, err := w.Broker().Ask(t.Context(), caller(ana), ask()); err != nil || len(asked.Warnings) > 0 {
		t.Errorf("by mail alone: %v, %v", asked.Warnings, err)
	}
}

// What lies above is known also when access is written.
func TestRulesAboutAncestorsHoldForTheWrite(t *testing.T) {
	w := newWorld(t)
	w.Above = []access.Resource{"folders/2", "organizations/1"}
	w.Policy = ruled(t, w, "rules: [{name: r, match: {resource: [folders/1/**]}, refuse: Not this.}]\n")
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := approve(t, b, ben, asked.Ref); err != nil {
		t.Error(err)
	}
	if _, err := b.Ask(t.Context(), caller(ana), selfAsk()); err != nil {
		t.Error(err)
	}
}

// All that is missing in a reason is said at once, each as a sentence.
func TestEveryPatternThatIsMissedIsTold(t *testing.T) {
	w := newWorld(t)
	w.Policy = ruled(t, w, `rules: [{name: r, terms: {justification: [{pattern: "^INC-", message: Begin with the ticket.}, {pattern: "because", message: Say why},`+
		` {pattern: ".", message: Say something.}]}}]`)
	_, err := w.Broker().Ask(t.Context(), caller(ana), ask())
	is(t, err, access.Invalid, access.CodeJustificationRule)
	if got, want := access.AsError(err).Args["hint"], "Begin with the ticket. Say why."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
