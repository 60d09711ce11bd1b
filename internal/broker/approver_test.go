package broker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

const (
	dba = "dba-leads@example.com"
	ops = "oncall@example.com"
)

// inherited is what a folder gives.
func inherited(id access.EntitlementID) access.Entitlement {
	e := brokertest.Peer(id)
	e.Inherited = []access.Approval{{}}
	return e
}

// step is what somebody does with a request, and what comes of it: a state, or the code of
// the refusal.
type step struct {
	who     access.Principal
	want    string
	before  func(*world)
	verdict access.Verdict // empty is an approval
	caller  func(*access.Caller)
}

func leaves(p access.Principal) func(*world) { return func(w *world) { delete(w.GroupsOf, p) } }

func managed(age time.Duration, levels ...string) func(*access.Caller) {
	return func(c *access.Caller) { c.Asserted, c.AccessLevels = dawn.Add(-age), levels }
}

// Who may approve is the rule's to say, whatever IAM says of them; what they are is asked
// when they decide, when the last one decides, and before the write.
func TestWhoMayApprove(t *testing.T) {
	const (
		peerAndLead = `approvals: [{count: 1, from: [peers]}, {count: 1, from: ["group:` + dba + `"]}]`
		lead        = `approvals: [{count: 1, from: ["group:` + dba + `"]}]`
		corp        = "accessPolicies/1/accessLevels/corp"
	)
	down := func(w *world) { w.DirectoryErr = errors.New("down") }
	for _, c := range []struct {
		rule, terms string
		people      string // of the file
		change      func(*world)
		asks        string // addresses with a space between
		asking      string // the code of the refusal; empty: it is asked
		steps       []step
	}{
		// from
		{"a user whom the rule names holds nothing", `approvals: [{count: 1, from: ["user:eve@example.com"]}]`, "", nil,
			"eve@example.com", "", []step{{who: eve, want: "active"}}},
		{"a peer whom it does not name is not asked", `approvals: [{count: 1, from: ["user:eve@example.com"]}]`, "", nil,
			"ben@example.com", "reviewer-not-eligible", nil},
		{"somebody of a domain", `approvals: [{count: 1, from: ["domain:audit.example.com"]}]`, "", nil,
			"gil@audit.example.com", "", []step{{who: "gil@audit.example.com", want: "active"}}},
		{"not of a domain below it", `approvals: [{count: 1, from: ["domain:audit.example.com"]}]`, "", nil,
			"gil@x.audit.example.com", "reviewer-not-eligible", nil},
		{"a member of a group", lead, "", nil, "eve@example.com", "", []step{{who: eve, want: "active"}}},
		{"a peer who is no member", lead, "", nil, "ben@example.com", "reviewer-not-eligible", nil},
		{"any of several kinds", `approvals: [{count: 1, from: [peers, "group:` + dba + `"]}]`, "", nil, "ben@example.com eve@example.com", "",
			[]step{{who: eve, want: "active"}}},
		{"a peer counts while the Directory is down", `approvals: [{count: 1, from: [peers, "group:` + dba + `"]}]`, "", nil, "ben@example.com eve@example.com", "",
			[]step{{who: eve, before: down, want: "internal"}, {who: ben, want: "active"}}},
		{"an unknown answer is no yes", lead, "", nil, "eve@example.com", "", []step{{who: eve, before: down, want: "internal"}}},
		{"the requester of a group that may approve", lead, "", func(w *world) { w.GroupsOf[ana] = []string{dba} }, "ana@example.com", "self-reviewer", nil},
		{"the requester must hold it all the same", lead, "", func(w *world) { w.Holdings[ana] = nil }, "eve@example.com", "not-eligible", nil},
		{"and still when it is decided", lead, "", nil, "eve@example.com", "", []step{{who: eve, want: "requester-lost", before: func(w *world) { w.Holdings[ana] = nil }}}},

		// several kinds, filled by different people
		{"a peer and a lead, in any order", peerAndLead, "", nil, "ben@example.com eve@example.com", "",
			[]step{{who: eve, want: "pending"}, {who: ben, want: "active"}}},
		{"one who is both is one", peerAndLead, "", func(w *world) { w.GroupsOf[ben] = []string{dba} }, "ben@example.com cho@example.com", "",
			[]step{{who: ben, want: "pending"}, {who: ben, want: "pending"}, {who: cho, want: "active"}}},
		{"two peers are no lead", peerAndLead, "", nil, "ben@example.com cho@example.com", "nobody-for", nil},
		{"one human by two addresses fills one", peerAndLead, "people: [[ben@example.com, eve@example.com]]\n", nil,
			"ben@example.com eve@example.com cho@example.com", "", []step{{who: ben, want: "pending"}, {who: eve, want: "pending"}, {who: cho, want: "pending"}}},
		{"fewer than it takes", peerAndLead, "", nil, "ben@example.com", "few-reviewers", nil},
		{"who has left the group when the last decides does not count", peerAndLead, "", nil, "ben@example.com eve@example.com", "",
			[]step{{who: eve, want: "pending"}, {who: ben, before: leaves(eve), want: "pending"}}},
		{"nor who has left it before the write", peerAndLead, "", nil, "ben@example.com eve@example.com", "",
			[]step{{who: eve, want: "pending"}, {who: ben, want: "reviewer-not-eligible",
				before: func(w *world) { w.BeforeGrant = func() { w.Mu.Lock(); delete(w.GroupsOf, eve); w.Mu.Unlock() } }}}},
		{"a group that is not known at the last decision", peerAndLead, "", nil, "ben@example.com eve@example.com", "",
			[]step{{who: eve, want: "pending"}, {who: ben, before: down, want: "internal"}}},
		{"who joins after they approved as a peer is a peer", peerAndLead, "", nil, "ben@example.com cho@example.com eve@example.com", "",
			[]step{{who: ben, want: "pending"}, {who: cho, before: func(w *world) { w.GroupsOf[ben] = []string{dba} }, want: "pending"}, {who: eve, want: "active"}}},
		{"a member may deny", peerAndLead, "", nil, "ben@example.com eve@example.com", "", []step{{who: eve, verdict: access.Deny, want: "denied"}}},
		{"who has left may not", peerAndLead, "", nil, "ben@example.com eve@example.com", "",
			[]step{{who: eve, verdict: access.Deny, before: leaves(eve), want: "reviewer-lost"}}},

		// groups that are asked
		{"any member of a group that was asked", lead, "", nil, "group:" + dba, "", []step{{who: eve, want: "active"}}},
		{"a bare address that is a group", lead, "", nil, dba, "", []step{{who: eve, want: "active"}}},
		{"members who are peers", "approvals: 1", "", func(w *world) { w.GroupsOf[ben] = []string{ops} }, "group:" + ops, "",
			[]step{{who: cho, want: "not-involved"}, {who: ben, want: "active"}}},
		{"a member who is no approver", "approvals: 1", "", func(w *world) { w.GroupsOf[ben], w.GroupsOf[fay] = []string{ops}, []string{ops} }, "group:" + ops, "",
			[]step{{who: fay, want: "reviewer-lost"}}},
		{"membership is that of the decision", lead, "", nil, "group:" + dba, "", []step{{who: fay, want: "not-involved"},
			{who: fay, before: func(w *world) { w.GroupsOf[fay] = []string{dba} }, want: "active"}}},
		{"who has left a group that was asked", lead, "", nil, "group:" + dba, "", []step{{who: eve, before: leaves(eve), want: "not-involved"}}},
		{"a group that is not known now", lead, "", nil, "group:" + dba, "", []step{{who: eve, before: down, want: "internal"}}},
		{"the requester in a group that was asked", lead, "", func(w *world) { w.GroupsOf[ana] = []string{dba} }, "group:" + dba, "",
			[]step{{who: ana, want: "own-request"}, {who: eve, want: "active"}}},
		{"by another address of theirs", lead, "people: [[ana@example.com, eve@example.com]]\n", func(w *world) { w.GroupsOf[fay] = []string{dba} },
			"group:" + dba, "", []step{{who: eve, want: "own-request"}, {who: fay, want: "active"}}},
		{"a group of the requester alone", lead, "", func(w *world) { w.GroupsOf = map[access.Principal][]string{ana: {dba}} }, "group:" + dba, "nobody-in-group", nil},
		{"of them and their other address", lead, "people: [[ana@example.com, eve@example.com]]\n",
			func(w *world) { w.GroupsOf = map[access.Principal][]string{ana: {dba}, eve: {dba}} }, "group:" + dba, "nobody-in-group", nil},
		{"a group that nobody is in", lead, "", func(w *world) { w.GroupsOf, w.Empty = nil, []string{dba} }, "group:" + dba, "nobody-in-group", nil},
		{"a group that there is not", lead, "", nil, "group:dba-laeds@example.com", "nobody-in-group", nil},
		{"a bare address that is nobody's", lead, "", nil, "dba-laeds@example.com", "reviewer-not-eligible", nil},
		{"a group that may not approve", lead, "", func(w *world) { w.GroupsOf[fay] = []string{ops} }, "group:" + ops, "reviewer-not-eligible", nil},
		{"a group while the Directory is down", lead, "", down, "group:" + dba, "internal", nil},
		{"a group of one where it takes two", `approvals: [{count: 2, from: ["group:` + dba + `"]}]`, "", nil, "group:" + dba, "few-reviewers", nil},
		{"a group of two where it takes two", `approvals: [{count: 2, from: ["group:` + dba + `"]}]`, "", func(w *world) { w.GroupsOf[fay] = []string{dba} },
			"group:" + dba, "", []step{{who: eve, want: "pending"}, {who: fay, want: "active"}}},
		{"no group at all", lead, "", nil, "group:", "bad-reviewer", nil},
		{"a group within a group", lead, "", nil, "group:group:" + dba, "bad-reviewer", nil},

		// in_order
		{"one after the other", "in_order: true, " + peerAndLead, "", nil, "ben@example.com eve@example.com", "",
			[]step{{who: eve, want: "not-your-turn"}, {who: ben, want: "pending"}, {who: eve, want: "active"}}},
		{"who is early may not deny either", "in_order: true, " + peerAndLead, "", nil, "ben@example.com eve@example.com", "",
			[]step{{who: eve, verdict: access.Deny, want: "not-your-turn"}, {who: ben, verdict: access.Deny, want: "denied"}}},
		{"a second peer is not what is needed next", "in_order: true, " + peerAndLead, "", nil, "ben@example.com cho@example.com eve@example.com", "",
			[]step{{who: ben, want: "pending"}, {who: cho, want: "not-your-turn"}, {who: eve, want: "active"}}},
		{"the turn goes back when the first no longer counts", "in_order: true, " + peerAndLead, "", nil, "ben@example.com cho@example.com eve@example.com", "",
			[]step{{who: ben, want: "pending"}, {who: eve, before: func(w *world) { w.Holdings[ben] = nil }, want: "not-your-turn"},
				{who: cho, want: "pending"}, {who: eve, want: "active"}}},

		// inherited_only
		{"who holds it of the project alone", "inherited_only: true", "", nil, "ben@example.com", "not-inherited", nil},
		{"who holds it of a folder", "inherited_only: true", "", func(w *world) { w.Holdings[ben] = []access.Entitlement{inherited(admin)} },
			"ben@example.com", "", []step{{who: ben, want: "active"}}},
		{"who loses what the folder gives", "inherited_only: true", "", func(w *world) { w.Holdings[ben] = []access.Entitlement{inherited(admin)} },
			"ben@example.com", "", []step{{who: ben, want: "not-inherited", before: func(w *world) { w.Holdings[ben] = []access.Entitlement{brokertest.Peer(admin)} }}}},
		{"a member who holds nothing", "inherited_only: true, " + lead, "", nil, "eve@example.com", "reviewer-not-eligible", nil},

		// approver_access_level
		{"a device that has the level", "approver_access_level: [" + corp + "]", "", nil, "ben@example.com", "",
			[]step{{who: ben, caller: managed(0, "accessPolicies/1/accessLevels/other", corp), want: "active"}}},
		{"one that has not", "approver_access_level: [" + corp + "]", "", nil, "ben@example.com", "",
			[]step{{who: ben, caller: managed(0, "accessPolicies/1/accessLevels/corporation"), want: "access-level"}}},
		{"all of them", "approver_access_level: [" + corp + ", accessPolicies/1/accessLevels/key]", "", nil, "ben@example.com", "",
			[]step{{who: ben, caller: managed(0, corp), want: "access-level"}, {who: ben, caller: managed(0, corp, "accessPolicies/1/accessLevels/key"), want: "active"}}},
		{"an assertion of 15 minutes ago", "approver_access_level: [" + corp + "]", "", nil, "ben@example.com", "",
			[]step{{who: ben, caller: managed(15*time.Minute, corp), want: "active"}}},
		{"an older one", "approver_access_level: [" + corp + "]", "", nil, "ben@example.com", "",
			[]step{{who: ben, caller: managed(15*time.Minute+1, corp), want: "sign-in-again"}}},
		{"one without its time", "approver_access_level: [" + corp + "]", "", nil, "ben@example.com", "",
			[]step{{who: ben, caller: func(c *access.Caller) { c.AccessLevels = []string{corp} }, want: "sign-in-again"}}},
		{"denying takes none", "approver_access_level: [" + corp + "]", "", nil, "ben@example.com", "", []step{{who: ben, verdict: access.Deny, want: "denied"}}},
		{"it stands for the life of the request", "approvals: 2, approver_access_level: [" + corp + "]", "", nil, "ben@example.com cho@example.com", "",
			[]step{{who: ben, caller: managed(0, corp), want: "pending"},
				{who: cho, caller: func(c *access.Caller) { managed(-50*time.Minute, corp)(c) }, want: "active",
					before: func(w *world) { w.Clock = w.Clock.Add(50 * time.Minute) }}}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w, _ := withLedger(t)
			w.Settings.MaxReviewers = 5
			w.GroupsOf = map[access.Principal][]string{eve: {dba}}
			if c.change != nil {
				c.change(w)
			}
			w.Policy = ruled(t, w, c.people+"rules: [{name: r, terms: {"+c.terms+"}}]\n")
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
				if s.caller != nil {
					s.caller(&by)
				}
				d := broker.Decide{Ref: asked.Ref, Verdict: access.Approve}
				if s.verdict == access.Deny {
					d.Verdict, d.Comment = access.Deny, "not now"
				}
				decided, err := b.Decide(t.Context(), by, d)
				got := string(codeOf(err))
				if err == nil {
					got = string(decided.State)
				}
				if got != s.want {
					t.Fatalf("step %d, %s: %q, %v; want %q", i+1, s.who, got, err, s.want)
				}
				if s.want == "internal" && access.AsError(err).Kind == access.NotAllowed {
					t.Errorf("what is not known reads as a refusal: %v", err)
				}
				if granted := len(w.Activations) > 0; granted != (s.want == "active") {
					t.Fatalf("step %d: granted %v", i+1, w.Activations)
				}
				w.DirectoryErr = nil
			}
		})
	}
}

// Without a policy file only people are asked, though the group is of peers.
func TestGroupsAreAskedWhereThereIsAPolicyFile(t *testing.T) {
	for address, want := range map[string]access.Code{"group:" + ops: access.CodeBadReviewer, ops: access.CodeReviewerNotEligible} {
		w := newWorld(t)
		w.GroupsOf = map[access.Principal][]string{ben: {ops}}
		a := ask()
		a.Reviewers = []string{address}
		if _, err := w.Broker().Ask(t.Context(), caller(ana), a); codeOf(err) != want {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
		w.Policy = ruled(t, w, "rules: [{name: r, terms: {approvals: 1}}]\n")
		if _, err := w.Broker().Ask(t.Context(), caller(ana), a); err != nil {
			t.Errorf("%s, by a policy file: %v", address, err)
		}
	}
}

// How many approvals it takes is the rule's to say for every marker, and who holds the
// marker for self-approval is a peer of whom the rule wants approvals.
func TestTheRuleSaysHowManyWhateverTheMarker(t *testing.T) {
	alone := func(w *world) {
		for _, p := range []access.Principal{ana, ben, cho} {
			w.Holdings[p] = []access.Entitlement{brokertest.Self(admin)}
		}
	}
	for _, c := range []struct {
		rule, terms string
		change      func(*world)
		kind        access.RequestKind // of the form
		reviewers   []access.Principal
	}{
		{"one, where IAM demands none", `terms: {approvals: 1}`, alone, access.Peers, []access.Principal{ben, cho}},
		{"none said, where IAM demands none", `terms: {max_duration: 1h}`, alone, access.Self, nil},
		{"a group's, where IAM demands none", `terms: {approvals: [{count: 1, from: ["group:` + dba + `"]}]}`, alone, access.Peers, []access.Principal{"group:" + dba}},
		{"none, where IAM demands one", `terms: {approvals: 0}, loosen: [approvals]`, nil, access.Self, nil},
	} {
		for _, forgets := range []bool{true, false} {
			w := newWorld(t)
			if !forgets {
				w, _ = withLedger(t)
			}
			w.GroupsOf = map[access.Principal][]string{eve: {dba}}
			if c.change != nil {
				c.change(w)
			}
			w.Policy = ruled(t, w, "rules: [{name: r, "+c.terms+"}]\n")
			b := w.Broker()
			choice, err := b.Choose(t.Context(), caller(ana), shop, admin)
			if err != nil || choice.Kind != c.kind || !slices.Equal(choice.Reviewers, c.reviewers) {
				t.Fatalf("%s: %s by %v, %v", c.rule, choice.Kind, choice.Reviewers, err)
			}
			a := ask()
			a.Form, a.Reviewers = choice.Form, nil
			for _, p := range choice.Reviewers {
				a.Reviewers = append(a.Reviewers, string(p))
			}
			asked, err := b.Ask(t.Context(), caller(ana), a)
			if err != nil {
				t.Fatalf("%s: %v", c.rule, err)
			}
			if c.kind == access.Peers {
				if len(w.Activations) > 0 {
					t.Fatalf("%s: granted %v without an approval", c.rule, w.Activations)
				}
				by := choice.Reviewers[0]
				if _, group := by.Group(); group {
					by = eve
				}
				if decided, err := approve(t, b, by, asked.Ref); err != nil || decided.State != access.Active {
					t.Errorf("%s: %s %v", c.rule, decided.State, err)
				}
			}
			if len(w.Activations) != 1 {
				t.Errorf("%s: granted %v", c.rule, w.Activations)
			}
			// A form for the other way of having it has none of it.
			other := ask()
			other.Kind, other.Justification = access.Self, "another"
			if other.Reviewers = nil; c.kind == access.Self {
				other.Kind, other.Reviewers = access.Peers, []string{"ben@example.com"}
			}
			if _, err := b.Ask(t.Context(), caller(ana), other); c.rule != "none said, where IAM demands none" && err == nil || len(w.Activations) != 1 {
				t.Errorf("%s: the other way: %v, granted %v", c.rule, err, w.Activations)
			}
		}
	}
}

// A rule that wants approvals by now holds for what was asked for alone before, and the
// other way round nobody who lost the role has it because a rule wants no approval.
func TestTheMarkerIsThatOfTheWrite(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world, *changing)
		code   access.Code
	}{
		{"as it was", nil, ""},
		{"the role is lost", func(w *world, _ *changing) { w.Holdings[ana] = nil }, access.CodeNotEligible},
		{"the rule loosens no more", func(w *world, p *changing) { p.Refined = ruled(t, w, "rules: [{name: r, terms: {approvals: 1}}]\n") }, access.CodeNeedsApproval},
	} {
		w := newWorld(t)
		p := &changing{ruled(t, w, "rules: [{name: r, terms: {approvals: 0}, loosen: [approvals]}]\n")}
		w.Policy = p
		b := w.Broker()
		a := ask()
		a.Kind, a.Reviewers = access.Self, nil
		if c.change != nil {
			w.BeforeGrant = func() { c.change(w, p) }
		}
		_, err := b.Ask(t.Context(), caller(ana), a)
		if codeOf(err) != c.code || (len(w.Activations) > 0) != (c.code == "") {
			t.Errorf("%s: %v, granted %v", c.name, err, w.Activations)
		}
	}
}

// Who asks others for what a rule gives without approval is told so, and nobody is asked.
func TestWhatNeedsNoApprovalIsAskedOfNobody(t *testing.T) {
	w := newWorld(t)
	w.Policy = ruled(t, w, "rules: [{name: r, terms: {approvals: 0}, loosen: [approvals]}]\n")
	_, err := w.Broker().Ask(t.Context(), caller(ana), ask())
	if codeOf(err) != access.CodeNoApprovalNeeded || len(w.Activations) > 0 {
		t.Errorf("%v, granted %v", err, w.Activations)
	}
}

// What an approver was, and with which access levels, stands in their decision and in what
// the ledger signed.
func TestWhatAnApproverWasIsRecorded(t *testing.T) {
	w, store := withLedger(t)
	w.Settings.MaxReviewers = 5
	w.GroupsOf = map[access.Principal][]string{eve: {dba, ops}, ben: {ops}}
	w.Policy = ruled(t, w, `rules: [{name: r, terms: {approvals: [{count: 1, from: [peers, "user:ben@example.com"]}, {count: 1, from: ["group:`+dba+`", "domain:example.com"]}]}}]`+"\n")
	b := w.Broker()
	a := ask()
	a.Reviewers = []string{"ben@example.com", "group:" + ops}
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	by := caller(eve)
	managed(time.Minute, "accessPolicies/1/accessLevels/corp")(&by)
	if _, err := b.Decide(t.Context(), by, broker.Decide{Ref: asked.Ref, Verdict: access.Approve}); err != nil {
		t.Fatal(err)
	}
	if _, err := approve(t, b, ben, asked.Ref); err != nil {
		t.Fatal(err)
	}
	r, err := store.Open(t.Context(), asked.Request.ID)
	if err != nil || len(r.Decisions) != 2 {
		t.Fatalf("%+v, %v", r.Decisions, err)
	}
	if d := r.Decisions[0]; !slices.Equal(d.As, []string{"group:" + ops, "group:" + dba, "domain:example.com"}) ||
		!slices.Equal(d.AccessLevels, []string{"accessPolicies/1/accessLevels/corp"}) {
		t.Errorf("eve decided as %q with %q", d.As, d.AccessLevels)
	}
	if d := r.Decisions[1]; !slices.Equal(d.As, []string{"peers", "user:ben@example.com", "domain:example.com"}) || d.AccessLevels != nil {
		t.Errorf("ben decided as %q with %q", d.As, d.AccessLevels)
	}
	if r.State != access.Active {
		t.Errorf("it is %s", r.State)
	}
}

// The mail goes to the address of a group; a request waits for its members, and they may
// look at it.
func TestAGroupIsAsked(t *testing.T) {
	w, _ := withLedger(t)
	w.GroupsOf = map[access.Principal][]string{eve: {dba}, ana: {dba}}
	w.Policy = ruled(t, w, `rules: [{name: r, terms: {approvals: [{count: 1, from: ["group:`+dba+`"]}]}}]`+"\n")
	b := w.Broker()
	a := ask()
	a.Reviewers = []string{"group:" + dba}
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil || len(w.Told) != 1 || !slices.Equal(w.Told[0].To, []access.Principal{dba}) {
		t.Fatalf("told %+v, %v", w.Told, err)
	}
	for _, c := range []struct {
		who  access.Principal
		sees bool
	}{{eve, true}, {fay, false}, {ana, false}} {
		listed, warnings, err := b.History(t.Context(), caller(c.who), broker.ViewReviews, access.Listing{})
		if err != nil || len(warnings) > 0 || (len(listed.Requests) == 1) != c.sees {
			t.Errorf("%s has %v waiting, %v, %v", c.who, listed.Requests, warnings, err)
		}
		view, err := b.Show(t.Context(), caller(c.who), asked.Ref, "")
		if c.sees && (err != nil || !view.IsReviewer || !view.CanDecide) || c.who == fay && codeOf(err) != "not-involved" {
			t.Errorf("%s: %+v, %v", c.who, view, err)
		}
	}
	w.DirectoryErr = errors.New("down")
	if listed, warnings, err := b.History(t.Context(), caller(eve), broker.ViewReviews, access.Listing{}); err != nil || len(listed.Requests) > 0 || len(warnings) != 1 {
		t.Errorf("%v, %v, %v", listed.Requests, warnings, err)
	}
	if _, err := b.Show(t.Context(), caller(eve), asked.Ref, ""); err == nil || access.AsError(err).Kind == access.NotAllowed {
		t.Errorf("what is not known reads as a refusal: %v", err)
	}
	w.DirectoryErr = nil
	w.Told = nil
	if _, err := approve(t, b, eve, asked.Ref); err != nil || len(w.Told) != 1 || !slices.Equal(w.Told[0].CC, []access.Principal{dba}) {
		t.Errorf("told %+v, %v", w.Told, err)
	}
}

// In order, those are told whose turn it is: the second when the first is filled.
func TestTheSecondIsToldWhenTheFirstIsFilled(t *testing.T) {
	w, _ := withLedger(t)
	w.Settings.MaxReviewers = 5
	w.GroupsOf = map[access.Principal][]string{eve: {dba}, fay: {dba}}
	w.Policy = ruled(t, w, `rules: [{name: r, terms: {in_order: true, approvals: [{count: 2, from: [peers]}, {count: 1, from: ["group:`+dba+`"]}]}}]`+"\n")
	b := w.Broker()
	a := ask()
	a.Reviewers = []string{"ben@example.com", "cho@example.com", "eve@example.com", "group:" + dba}
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	told := func(what string, want ...access.Principal) {
		t.Helper()
		var to []access.Principal
		for _, n := range w.Told {
			if n.Kind == access.NoticeReview {
				to = append(to, n.To...)
			}
		}
		slices.Sort(to)
		if !slices.Equal(to, want) {
			t.Errorf("%s: told %v, want %v", what, to, want)
		}
		w.Told = nil
	}
	told("asking", ben, cho)
	if _, err := approve(t, b, ben, asked.Ref); err != nil {
		t.Fatal(err)
	}
	told("the first of the first")
	if _, err := b.AddReviewers(t.Context(), caller(ana), broker.AddReviewers{Ref: asked.Ref, Reviewers: []string{"fay@example.com"},
		Origin: a.Origin, Host: a.Host}); err != nil {
		t.Fatal(err)
	}
	told("asking more whose turn it is not")
	if _, err := approve(t, b, cho, asked.Ref); err != nil {
		t.Fatal(err)
	}
	told("the first is filled", access.Principal(dba), eve, fay)
	if decided, err := approve(t, b, fay, asked.Ref); err != nil || decided.State != access.Active {
		t.Errorf("%s, %v", decided.State, err)
	}
}

// Groups are named in the forms, and people of whom there is no list are typed; the
// requester is not among them.
func TestWhoIsOffered(t *testing.T) {
	for _, c := range []struct {
		terms string
		want  []access.Principal
		typed bool
	}{
		{"approvals: 1", []access.Principal{ben, cho}, false},
		{`approvals: [{count: 1, from: ["group:` + dba + `", "user:ana@example.com", "user:eve@example.com"]}]`, []access.Principal{eve, "group:" + dba}, false},
		{`approvals: [{count: 1, from: ["domain:example.com"]}]`, nil, true},
		{`approvals: [{count: 1, from: [peers]}, {count: 1, from: ["user:ben@example.com", "domain:example.com"]}]`, []access.Principal{ben, cho}, true},
		{"inherited_only: true", []access.Principal{cho}, false},
	} {
		w := newWorld(t)
		w.Forgets = false
		w.Settings.MaxReviewers = 5
		w.Holdings[cho] = []access.Entitlement{inherited(admin)}
		w.Policy = ruled(t, w, "rules: [{name: r, terms: {"+c.terms+"}}]\n")
		b := w.Broker()
		choice, err := b.Choose(t.Context(), caller(ana), shop, admin)
		if err != nil || !slices.Equal(choice.Reviewers, c.want) || choice.Typed != c.typed {
			t.Errorf("%s: %v, typed %v, %v", c.terms, choice.Reviewers, choice.Typed, err)
		}
	}
}

// A ledger that is given an approval by people who are not those that it takes refuses it,
// whatever made it.
func TestTheLedgerKnowsWhoHadToApprove(t *testing.T) {
	for _, c := range []struct {
		as []string
		ok bool
	}{{nil, false}, {[]string{"peers"}, false}, {[]string{"group:" + ops}, false}, {[]string{"peers", "group:" + dba}, true}} {
		w, store := withLedger(t)
		asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
		if err != nil {
			t.Fatal(err)
		}
		r, err := store.Open(t.Context(), asked.Request.ID)
		if err != nil {
			t.Fatal(err)
		}
		_, err = store.Commit(t.Context(), access.Event{Action: access.RequestApproved, At: w.Clock, Caller: caller(ben), Request: r,
			Decision:     access.Decision{Verdict: access.Approve, By: ben, At: w.Clock, Digest: r.Digest(), As: c.as},
			Requirements: []access.Requirement{{Count: 1, From: []string{"group:" + dba}}}, Window: r.WindowAt(w.Clock)}, nil)
		if (err == nil) != c.ok {
			t.Errorf("as %q: %v", c.as, err)
		}
	}
}

// What is signed stays for ever, and so names nobody.
func TestWhatIsSignedNamesNobodyWhomARuleNames(t *testing.T) {
	w, home := withHome(t)
	w.Policy = ruled(t, w, `rules: [{name: r, terms: {approvals: [{count: 1, from: ["user:eve@example.com"]}]}}]`+"\n")
	b := w.Broker()
	a := ask()
	a.Reviewers = []string{"eve@example.com"}
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err == nil {
		_, err = approve(t, b, eve, asked.Ref)
	}
	if err != nil {
		t.Fatal(err)
	}
	entries, err := home.Load(t.Context(), asked.Request.ID)
	if err != nil || len(entries) < 2 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		if strings.Contains(string(e.Text), "@") {
			t.Errorf("%s", e.Text)
		}
	}
}

// Where some rule says how many approvals it takes, one that says nothing of them leaves it
// to the marker.
func TestARuleThatSaysNothingOfApprovalsTakesNoneAway(t *testing.T) {
	w := newWorld(t)
	w.Policy = ruled(t, w, "rules: [{name: a, match: {role: [roles/other]}, terms: {approvals: 1}}, {name: b, terms: {max_duration: 1h}}]\n")
	a := ask()
	a.Kind, a.Reviewers = access.Self, nil
	_, err := w.Broker().Ask(t.Context(), caller(ana), a)
	is(t, err, access.NotAllowed, access.CodeNeedsApproval)
	if len(w.Activations) > 0 {
		t.Errorf("granted %v", w.Activations)
	}
}

// An access level that is demanded since the first approved must have been there then.
func TestALevelThatIsDemandedSince(t *testing.T) {
	const two, level = "rules: [{name: r, terms: {approvals: 2%s}}]\n", ", approver_access_level: [accessPolicies/1/accessLevels/corp]"
	for _, had := range []bool{true, false} {
		w, _ := withLedger(t)
		p := &changing{ruled(t, w, strings.Replace(two, "%s", "", 1))}
		w.Policy = p
		b := w.Broker()
		asked, err := b.Ask(t.Context(), caller(ana), ask())
		if err != nil {
			t.Fatal(err)
		}
		first, second := caller(ben), caller(cho)
		if managed(0, "accessPolicies/1/accessLevels/corp")(&second); had {
			managed(0, "accessPolicies/1/accessLevels/corp")(&first)
		}
		if _, err := b.Decide(t.Context(), first, broker.Decide{Ref: asked.Ref, Verdict: access.Approve}); err != nil {
			t.Fatal(err)
		}
		p.Refined = ruled(t, w, strings.Replace(two, "%s", level, 1))
		decided, err := b.Decide(t.Context(), second, broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
		if err != nil || (decided.State == access.Active) != had {
			t.Errorf("had it %v: %s, %v", had, decided.State, err)
		}
	}
}

// Who has lost the role asks nobody more, whoever may approve.
func TestNobodyMoreIsAskedByWhoLostTheRole(t *testing.T) {
	w := newWorld(t)
	w.GroupsOf = map[access.Principal][]string{eve: {dba}, fay: {dba}}
	w.Policy = ruled(t, w, `rules: [{name: r, terms: {approvals: [{count: 1, from: ["group:`+dba+`"]}]}}]`+"\n")
	b := w.Broker()
	a := ask()
	a.Reviewers = []string{"eve@example.com"}
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	w.Holdings[ana] = nil
	_, err = b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, "fay@example.com"))
	is(t, err, access.NotAllowed, access.CodeNotEligible)
}
