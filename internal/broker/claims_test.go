package broker_test

import (
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// claiming is what an assertion names; nothing is that it leaves it open.
func claiming(groups ...string) func(*access.Caller) {
	return func(c *access.Caller) { c.Claims, c.ClaimsUnknown = groups, len(groups) == 0 }
}

// A group that an assertion names is only seen while somebody is here. Of who approved
// before, it counts what they showed then; what is left open is neither yes nor no.
func TestApproversByClaim(t *testing.T) {
	const (
		leads     = `approvals: [{count: 1, from: ["claim:leads"]}]`
		peerLeads = `approvals: [{count: 1, from: [peers]}, {count: 1, from: ["claim:leads"]}]`
		any       = `approvals: [{count: 1, from: [peers, "claim:leads"]}]`
	)
	for _, c := range []struct {
		rule, terms, asks string
		asking            string // the code of the refusal; empty: it is asked
		steps             []step
	}{
		{"who shows it", leads, "eve@example.com", "", []step{{who: eve, caller: claiming("ops", "leads"), want: "active"}}},
		{"who shows another", leads, "eve@example.com", "", []step{{who: eve, caller: claiming("ops"), want: "reviewer-lost"}}},
		{"to the letter", leads, "eve@example.com", "", []step{{who: eve, caller: claiming("Leads", "leads ", "claim:leads"), want: "reviewer-lost"}}},
		{"who shows that it is not known", leads, "eve@example.com", "", []step{{who: eve, caller: claiming(), want: "claims-unknown"},
			{who: eve, caller: claiming("leads"), want: "active"}}},
		{"who was not asked", leads, "eve@example.com", "", []step{{who: fay, caller: claiming("leads"), want: "not-involved"}}},
		{"a peer is no lead", leads, "ben@example.com", "", []step{{who: ben, caller: claiming("peers"), want: "reviewer-lost"}}},
		{"no group of the Directory", leads, "eve@example.com", "", []step{{who: eve, before: func(w *world) { w.GroupsOf[eve] = []string{"leads"} },
			caller: claiming("x"), want: "reviewer-lost"}}},
		{"the requester", leads, "ana@example.com", "self-reviewer", nil},
		{"unknown, and not needed", any, "ben@example.com", "", []step{{who: ben, caller: claiming(), want: "active"}}},
		{"known and not, beside a peer", any, "eve@example.com", "", []step{{who: eve, caller: claiming("x"), want: "reviewer-lost"}}},

		{"the last one is a peer", peerLeads, "ben@example.com eve@example.com", "", []step{{who: eve, caller: claiming("leads"), want: "pending"},
			{who: ben, caller: claiming("x"), want: "active"}}},
		{"whose own is not known", peerLeads, "ben@example.com eve@example.com", "", []step{{who: eve, caller: claiming("leads"), want: "pending"},
			{who: ben, caller: claiming(), want: "active"}}},
		{"the last one is a lead", peerLeads, "ben@example.com eve@example.com", "", []step{{who: ben, caller: claiming("x"), want: "pending"},
			{who: eve, caller: claiming("leads"), want: "active"}}},
		{"who is both is one", peerLeads, "ben@example.com eve@example.com", "", []step{{who: ben, caller: claiming("leads"), want: "pending"},
			{who: eve, caller: claiming("x"), want: "reviewer-lost"}}},
		{"what was not shown then is not there later", peerLeads, "ben@example.com cho@example.com", "", []step{{who: ben, caller: claiming("x"), want: "pending"},
			{who: cho, caller: claiming("x"), want: "pending"}, {who: ben, caller: claiming("leads"), want: "pending"}}},
		{"fewer than it takes", `approvals: [{count: 2, from: ["claim:leads"]}]`, "eve@example.com", "few-reviewers", nil},
		{"a group that is asked", leads, "group:" + dba, "", []step{{who: eve, caller: claiming("x"), want: "reviewer-lost"},
			{who: eve, caller: claiming("leads"), want: "active"}}},
		{"who holds nothing, where the folder has to give it", "inherited_only: true, " + leads, "eve@example.com", "reviewer-not-eligible", nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w, _ := withLedger(t)
			w.Claims, w.GroupsOf = true, map[access.Principal][]string{eve: {dba}}
			w.Policy = ruled(t, w, "rules: [{name: r, terms: {"+c.terms+"}}]\n")
			b := w.Broker()
			a := ask()
			a.Reviewers = strings.Fields(c.asks)
			asked, err := b.Ask(t.Context(), caller(ana), a)
			if got := codeOf(err); string(got) != c.asking {
				t.Fatalf("asking: %q, %v; want %q", got, err, c.asking)
			}
			for i, s := range c.steps {
				if s.before != nil {
					s.before(w)
				}
				by := caller(s.who)
				s.caller(&by)
				decided, err := b.Decide(t.Context(), by, broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
				got := string(codeOf(err))
				if err == nil {
					got = string(decided.State)
				}
				if got != s.want || (len(w.Activations) > 0) != (s.want == "active") {
					t.Fatalf("step %d, %s: %q, %v; want %q; granted %v", i+1, s.who, got, err, s.want, w.Activations)
				}
				if got == "claims-unknown" && access.AsError(err).Kind == access.NotAllowed {
					t.Errorf("what is not known reads as a refusal: %v", err)
				}
			}
		})
	}
}

// A rule may be about who asks by a claim. While they are not here it counts what they
// showed when they asked, which only a ledger keeps.
func TestRulesAboutClaimsOfTheRequester(t *testing.T) {
	const file = `rules: [{name: staff, match: {requester: ["claim:staff"]}, terms: {approvals: 1}}, {name: others, refuse: no}]` + "\n"
	for _, c := range []struct {
		rule              string
		forgets           bool
		shows, showsLater func(*access.Caller)
		asked, decided    string // codes, or the state
	}{
		{"staff", false, claiming("staff"), nil, "", "active"},
		{"the claims of the approver are not theirs", false, claiming("staff"), claiming("x"), "", "active"},
		{"somebody else, whoever approves", false, claiming("x"), nil, "rule-refuses", ""},
		{"not known", false, claiming(), nil, "rule-undecided", ""},
		{"nothing is kept", true, claiming("staff"), claiming("staff"), "", "rule-undecided"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w := newWorld(t)
			if !c.forgets {
				w, _ = withLedger(t)
			}
			w.Claims = true
			w.Policy = ruled(t, w, file)
			b := w.Broker()
			by := caller(ana)
			c.shows(&by)
			asked, err := b.Ask(t.Context(), by, ask())
			if got := string(codeOf(err)); got != c.asked {
				t.Fatalf("asking: %q, %v; want %q", got, err, c.asked)
			}
			if err != nil {
				return
			}
			by = caller(ben)
			if c.showsLater != nil {
				c.showsLater(&by)
			}
			decided, err := b.Decide(t.Context(), by, broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
			if got := string(codeOf(err)); got != c.decided && string(decided.State) != c.decided || (len(w.Activations) > 0) != (c.decided == "active") {
				t.Errorf("deciding: %q, %s, %v; want %q", got, decided.State, err, c.decided)
			}
		})
	}
}

func TestAdminsByClaim(t *testing.T) {
	w := newWorld(t)
	w.Admins, w.Claims = []string{"claim:platform"}, true
	b := w.Broker()
	by := caller(cho)
	claiming("platform")(&by)
	if err := b.Admin(t.Context(), by); err != nil || !b.NamedAdmin(by) {
		t.Errorf("who shows it: %v", err)
	}
	claiming("platform2", "claim:platform")(&by)
	is(t, b.Admin(t.Context(), by), access.NotAllowed, access.CodeNotAdmin)
	claiming()(&by)
	is(t, b.Admin(t.Context(), by), access.Unavailable, access.CodeClaimsUnknown)
	if b.NamedAdmin(by) {
		t.Error("what is not known is shown")
	}
	// In person they are one all the same, and where no claim is named nothing is unknown.
	w.Admins = append(w.Admins, "user:cho@example.com")
	if err := w.Broker().Admin(t.Context(), by); err != nil {
		t.Errorf("in person: %v", err)
	}
	w.Admins = []string{"group:ops@example.com"}
	is(t, w.Broker().Admin(t.Context(), by), access.NotAllowed, access.CodeNotAdmin)
	// And a group of the Directory is asked while a claim is unknown.
	w.Admins = []string{"claim:platform", "group:ops@example.com"}
	w.GroupsOf = map[access.Principal][]string{cho: {"ops@example.com"}}
	if err := w.Broker().Admin(t.Context(), by); err != nil {
		t.Errorf("by the group: %v", err)
	}
}

// What an approver showed stands in their decision, and what the requester showed in the
// request, as long as either is kept.
func TestClaimsAreRecorded(t *testing.T) {
	w, store := withLedger(t)
	w.Claims = true
	w.Policy = ruled(t, w, `rules: [{name: r, terms: {approvals: [{count: 2, from: [peers, "claim:leads"]}]}}]`+"\n")
	b := w.Broker()
	by := caller(ana)
	claiming("staff", "oncall")(&by)
	asked, err := b.Ask(t.Context(), by, ask())
	if err != nil {
		t.Fatal(err)
	}
	by = caller(ben)
	claiming("leads", "others")(&by)
	if _, err := b.Decide(t.Context(), by, broker.Decide{Ref: asked.Ref, Verdict: access.Approve}); err != nil {
		t.Fatal(err)
	}
	r, err := store.Open(t.Context(), asked.Request.ID)
	if err != nil || !slices.Equal(r.Claims, []string{"staff", "oncall"}) || !r.ClaimsKnown ||
		len(r.Decisions) != 1 || !slices.Equal(r.Decisions[0].As, []string{"peers", "claim:leads"}) {
		t.Errorf("%+v, %v", r, err)
	}
}
