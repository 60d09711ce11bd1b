package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/policy"
)

// able is a deployment that carries out everything, forgetful one without memory.
var (
	able = policy.Deployment{Settings: &settings, Ledger: true, Passkeys: true, AccessLevels: policy.GoogleLevels, Claims: true, Groups: true,
		Channels: []string{"mail", "slack:", "webhook"}, Kinds: []string{"pomerium"}}
	forgetful = policy.Deployment{Settings: &settings, Groups: true, Channels: []string{"mail"}}
)

// outcome is what comes of a file for somebody who asks: every fault of it, or the terms or
// the refusal, and what lint warns of.
func outcome(text string, d policy.Deployment, s access.Subject) string {
	f, faults := policy.ReadFile([]byte(text))
	more, warnings := f.Lint(s.At)
	if len(faults) == 0 {
		faults = append(more, f.Faults(d)...)
	}
	var said []string
	tell := func(prefix string, all policy.Faults) {
		for _, fault := range all {
			said = append(said, fmt.Sprintf("%s %d:%d: %s", prefix, fault.Line, fault.Column, fault.Text))
		}
	}
	tell("fault", faults)
	if len(faults) > 0 {
		return strings.Join(said, "\n")
	}
	terms, _, err := policy.Refine(policy.New(*d.Settings), f).Terms(s)
	if e := access.AsError(err); e != nil {
		said = append(said, fmt.Sprintf("%s, %s: %s%s", e.Kind, e.Code, e.Args["message"], e.Args["unknown"]))
	} else {
		said = append(said, "rule: "+terms.Rule)
		for _, line := range policy.Describe(terms) {
			said = append(said, "  "+line)
		}
	}
	tell("warning", warnings)
	return strings.Join(said, "\n")
}

// TestTheFileKeepsWhatItsDesignSays holds files against what the policy file is to be, one
// promise after the other. The file follows "version: 1"; ana, a Wednesday noon, asks for
// roles/cloudsql.admin on projects/shop-prod, which IAM's marker gives her with the approval
// of a peer for two hours at most.
func TestTheFileKeepsWhatItsDesignSays(t *testing.T) {
	type subject = func(*access.Subject)
	alone := func(s *access.Subject) { s.Kind = access.Self }
	nothingKnown := func(s *access.Subject) {
		s.AncestorsKnown, s.GroupsKnown, s.ClaimsKnown, s.Ancestors, s.Groups, s.Claims = false, false, false, nil, nil, nil
	}
	role := func(name access.Role) subject { return func(s *access.Subject) { s.Entitlement.Role = name } }
	when := func(text string) subject { return func(s *access.Subject) { s.At = at(t, text) } }
	many := func(n int) string { // rules
		text := "rules:\n"
		for i := range n {
			text += fmt.Sprintf("  - {name: r%d, match: {role: [roles/r%d]}, refuse: no}\n", i, i)
		}
		return text
	}
	bomb := "a: &a [x, x]\n"
	for c := 'b'; c < 'z'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c]\n", c, c, c-1, c-1)
	}
	for _, c := range []struct {
		promise string
		rows    []row
	}{
		{"The first rule that matches decides; nothing is inherited from later ones.", []row{
			{"rules:\n  - {name: a, match: {role: [roles/viewer]}, refuse: no}\n  - {name: b, terms: {max_duration: 1h}}\n  - {name: c, terms: {approvals: 3}}", able, nil,
				"rule: b\n  approvals: 1 from peers\n  max_duration: 1h\n"},
		}},
		{"defaults are the terms with which every rule begins; a key that the rule names replaces it.", []row{
			{"defaults: {request_life: 8h, max_duration: 1h}\nrules: [{name: a, terms: {max_duration: 90m}}]", able, nil, "max_duration: 90m\n  request_life: 8h"},
		}},
		{"unmatched: what holds where no rule matches.", []row{
			{"rules: [{name: a, match: {role: [roles/x]}, refuse: no}]", able, nil, "rule: \n  approvals: 1 from peers\n  max_duration: 2h"},
			{"unmatched: refuse\nrules: [{name: a, match: {role: [roles/x]}, refuse: no}]", able, nil, "not allowed, no-rule"},
		}},
		{"A refusing rule has a message.", []row{
			{"rules: [{name: a, refuse: Production is frozen until 7 January.}]", able, nil, "not allowed, rule-refuses: Production is frozen until 7 January."},
		}},
		{"Roles that can change permissions; unknown counts as true.", []row{
			{"rules: [{name: a, match: {changes_permissions: true}, refuse: no}]", able, nil, "rule: \n"},
			{"rules: [{name: a, match: {changes_permissions: true}, refuse: no}]", able, func(s *access.Subject) { s.ChangesPermissions = access.Unknown }, "rule-refuses"},
		}},
		{"Only tightens what the marker and the environment demand, unless the rule says so.", []row{
			{"rules: [{name: a, terms: {approvals: 2, max_duration: 30m}}]", able, nil, "approvals: 2 from peers\n  max_duration: 30m"},
			{"rules: [{name: a, terms: {approvals: 0}}]", able, nil, "fault 2:27: no approval is less than a marker in IAM may demand; write loosen: [approvals]"},
			{"rules: [{name: a, terms: {max_duration: 3h}}]", able, nil, `fault 2:27: rule "a": max_duration of 3h is longer than ACTIVATION_TIMEOUT (2h); write loosen: [max_duration]`},
			{"rules: [{name: a, terms: {max_duration: 3h}, loosen: [max_duration]}]", able, nil, "max_duration: 3h"},
			{"defaults: {max_duration: 3h}\nrules: [{name: a, terms: {approvals: 1}}]", able, nil, `fault 2:12: defaults: max_duration of 3h is longer than ACTIVATION_TIMEOUT (2h)`},
			{"rules: [{name: a, terms: {approvals: 0, max_duration: 3h}, loosen: true}]", able, nil, "approvals: none, it is activated at once\n  max_duration: 3h"},
		}},
		{"lint lists every rule that loosens.", []row{
			{"rules: [{name: a, terms: {approvals: 0}, loosen: [approvals]}]", able, nil, `warning 2:9: rule "a" may demand fewer approvals than the marker in IAM (loosen)`},
		}},
		{"lint lists who leaves a rule by requester, hours or dates alone and meets no other, with what then holds for them.", []row{
			{`rules: [{name: a, match: {requester: ["!group:contractors@example.com"]}, terms: {approvals: 2}}]`, able, nil,
				`rule "a" says nothing of group:contractors@example.com (roles/x on projects/x), and neither does any other rule: for them holds what the marker`},
			{`rules: [{name: a, match: {hours: {from: "07:00", to: "19:00", zone: UTC}}, terms: {approvals: 2}}]`, able, nil, `06:59 UTC), and neither does any other rule`},
			{"unmatched: refuse\n" + `rules: [{name: a, match: {dates: {to: 2026-12-31, zone: UTC}}, terms: {approvals: 2}}]`, able, nil, `for them holds that it is refused`},
		}},
		{"A refusal behind a rule that takes all of it is a fault; another such rule is a warning.", []row{
			{"rules:\n  - {name: a, match: {resource: [projects/*]}, terms: {approvals: 1}}\n  - {name: b, match: {resource: [projects/p]}, refuse: no}", able, nil,
				`fault 4:5: rule "b" refuses nothing: rule "a" stands before it`},
			{"rules:\n  - {name: a, match: {resource: [projects/*]}, terms: {approvals: 1}}\n  - {name: b, match: {resource: [projects/p]}, terms: {approvals: 2}}", able, nil,
				`warning 4:5: rule "b" never decides: rule "a" stands before it`},
		}},
		{"A rule may demand approvals for a role that IAM marks for self-approval.", []row{
			{"rules: [{name: a, terms: {approvals: 1}}]", able, alone, "approvals: 1 from peers"},
			{"rules: [{name: a, terms: {max_duration: 1h}}]", able, alone, "approvals: none"},
		}},
		{"group: is the Directory's alone, claim: the assertion's alone.", []row{
			{`rules: [{name: a, match: {requester: ["group:staff@example.com"]}, refuse: no}]`, able, nil, "rule-refuses"},
			{`rules: [{name: a, match: {requester: ["claim:staff@example.com"]}, refuse: no}]`, able, nil, "rule: \n"},
			{`rules: [{name: a, match: {requester: ["claim:db admins"]}, refuse: no}]`, able, nil, "rule-refuses"},
		}},
		{"Requirements of several kinds, filled in any order or in order.", []row{
			{`rules: [{name: a, terms: {approvals: [{count: 1, from: [peers]}, {count: 2, from: ["group:dba-leads@example.com"]}]}}]`, able, nil,
				"approvals: 1 from peers, 2 from group:dba-leads@example.com"},
			{`rules: [{name: a, terms: {in_order: true, approvals: [{count: 1, from: [peers]}, {count: 2, from: ["group:dba-leads@example.com"]}]}}]`, able, nil,
				"approvals: 1 from peers, then 2 from group:dba-leads@example.com\n  in_order: true"},
		}},
		{"Anyone outside peers approves by the file alone: lint lists it.", []row{
			{`rules: [{name: a, terms: {approvals: [{count: 1, from: ["group:dba-leads@example.com"]}]}}]`, able, nil,
				"lets people approve by this file alone, whatever IAM says of them: group:dba-leads@example.com"},
		}},
		{"What needs a ledger is a fault without one, that names the rule.", []row{
			{"rules: [{name: a, terms: {approvals: 2}}]", forgetful, nil, `rule "a": more than one approval needs a ledger`},
			{"rules: [{name: a, terms: {request_life: 7h}}]", forgetful, nil, `rule "a": request_life of more than 6h needs a ledger`},
			{"rules: [{name: a, terms: {request_life: 6h}}]", forgetful, nil, "request_life: 6h"},
			{`rules: [{name: a, terms: {break_glass: {who: ["user:x@example.com"], max_duration: 1h, review_by: ["user:y@example.com"]}}}]`, forgetful, nil, `rule "a": break_glass needs a ledger`},
			{"rules: [{name: a, terms: {remind_after: 1h}}]", forgetful, nil, `rule "a": remind_after needs a ledger`},
			{`rules: [{name: a, terms: {escalate: {after: 1h, to: ["user:x@example.com"]}}}]`, forgetful, nil, `rule "a": escalate needs a ledger`},
			{"rules: [{name: a, terms: {max_continuous: 4h}}]", forgetful, nil, `rule "a": max_continuous needs a ledger`},
			{"rules: [{name: a, terms: {signature: true}}]", forgetful, nil, `rule "a": signature needs a ledger`},
			{"rules: [{name: a, terms: {start_within: 25h}}]", forgetful, nil, `rule "a": start_within of more than 24h needs a ledger`},
			{"rules: [{name: a, terms: {max_duration: 1h}}]", forgetful, nil, "start_within: 1d"},
		}},
		{"What cannot be enforced is a fault that names the rule, never ignored.", []row{
			{"rules: [{name: a, terms: {signature: true}}]", forgetful, nil, `rule "a": no passkeys can be used here`},
			{"rules: [{name: a, terms: {approver_access_level: [phr]}}]", able, nil, `rule "a": phr is no access level here, such as accessPolicies/1/accessLevels/corp`},
			{"rules: [{name: a, terms: {approver_access_level: [accessPolicies/1/accessLevels/corp]}}]", forgetful, nil, `rule "a": access levels are known only where Identity-Aware Proxy signs people in, or a login of the service's own`},
			{`rules: [{name: a, match: {requester: ["claim:x"]}, refuse: no}]`, forgetful, nil, `rule "a": match names claim:x, and no claim is read here`},
			{`rules: [{name: a, match: {requester: ["!claim:x"]}, refuse: no}]`, policy.Deployment{Settings: &settings, Claims: true}, nil,
				`rule "a": match names claim:x, and what the sign-in of somebody said when they asked is kept in a ledger only`},
			{`rules: [{name: a, terms: {approvals: [{count: 1, from: ["claim:x"]}]}}]`, forgetful, nil, `rule "a": approvals names claim:x, and no claim is read here`},
			{`rules: [{name: a, terms: {break_glass: {who: ["user:x@example.com"], max_duration: 1h, review_by: ["claim:y"]}}}]`, forgetful, nil,
				`rule "a": break_glass names claim:y, and no claim is read here`},
			{`rules: [{name: a, terms: {notify: [slack:#oncall]}}]`, forgetful, nil, `rule "a": there is no channel slack:#oncall here`},
			{`rules: [{name: a, match: {requester: ["group:x@example.com"]}, refuse: no}]`, policy.Deployment{Settings: &settings}, nil, `rule "a": match names group:x@example.com, and no directory`},
		}},
		{"Globs: * stays within a segment; X/** is what lies below X, not X; only ! means all but those; ! always wins.", []row{
			{"rules: [{name: a, match: {resource: [projects/*-prod]}, refuse: no}]", able, nil, "rule-refuses"},
			{"rules: [{name: a, match: {resource: [folders/4711/**]}, refuse: no}]", able, nil, "rule-refuses"},
			{"rules: [{name: a, match: {resource: [projects/shop-prod/**]}, refuse: no}]", able, nil, "rule: \n"},
			{`rules: [{name: a, match: {resource: ["!projects/other"]}, refuse: no}]`, able, nil, "rule-refuses"},
			{`rules: [{name: a, match: {resource: ["!projects/*-prod", projects/shop-prod]}, refuse: no}]`, able, nil, "rule: \n"},
		}},
		{"roles/* are Google's own roles; a custom role is matched by its own path.", []row{
			{"rules: [{name: a, match: {role: [roles/*]}, refuse: no}]", able, role("projects/shop-prod/roles/fixer"), "rule: \n"},
			{"rules: [{name: a, match: {role: [projects/*/roles/*]}, refuse: no}]", able, role("projects/shop-prod/roles/fixer"), "rule-refuses"},
		}},
		{"Where ancestry, groups or claims are unknown, what a rule about them could concern is refused, and never passed on to the next rule.", []row{
			{"rules: [{name: a, match: {resource: [folders/9/**]}, refuse: no}, {name: b, terms: {approvals: 1}}]", able, nothingKnown, "unavailable, rule-undecided: ancestors"},
			{`rules: [{name: a, match: {requester: ["group:x@example.com"]}, refuse: no}, {name: b, terms: {approvals: 1}}]`, able, nothingKnown, "unavailable, rule-undecided: groups"},
			{`rules: [{name: a, match: {requester: ["claim:x"]}, refuse: no}, {name: b, terms: {approvals: 1}}]`, able, nothingKnown, "unavailable, rule-undecided: claims"},
			{`rules: [{name: a, match: {role: [roles/x], resource: [folders/9/**]}, refuse: no}, {name: b, terms: {approvals: 1}}]`, able, nothingKnown, "rule: b"},
		}},
		{"Hours: to is exclusive, 24:00 is allowed, from after to runs past midnight, summer time by the zone; dates are whole days in the zone.", []row{
			{`rules: [{name: a, match: {hours: {from: "10:00", to: "12:00", zone: UTC}}, refuse: no}]`, able, nil, "rule: \n"},
			{`rules: [{name: a, match: {hours: {from: "12:00", to: "24:00", zone: UTC}}, refuse: no}]`, able, nil, "rule-refuses"},
			{`rules: [{name: a, match: {hours: {from: "22:00", to: "12:01", zone: UTC}}, refuse: no}]`, able, nil, "rule-refuses"},
			{`rules: [{name: a, match: {hours: {from: "07:00", to: "08:00", zone: Europe/Berlin}}, refuse: no}]`, able, when("2026-07-01T05:00:00Z"), "rule-refuses"},
			{`rules: [{name: a, match: {dates: {from: 2026-12-20, to: 2027-01-07, zone: Europe/Berlin}}, refuse: no}]`, able, when("2027-01-07T22:59:59Z"), "rule-refuses"},
			{`rules: [{name: a, match: {dates: {from: 2026-12-20, to: 2027-01-07, zone: Europe/Berlin}}, refuse: no}]`, able, when("2027-01-07T23:00:00Z"), "rule: \n"},
		}},
		{"They are judged for the moment when access begins, too, and the strictest of both holds.", []row{
			{`rules: [{name: night, match: {hours: {from: "19:00", to: "07:00", zone: UTC}}, terms: {approvals: 3}}, {name: day, terms: {max_duration: 1h}}]`, able,
				func(s *access.Subject) { s.Begins = s.At.Add(10 * time.Hour) }, "rule: day, night\n  approvals: 3 from peers\n  max_duration: 1h"},
		}},
		{"Who is told without being asked has an address.", []row{
			{`rules: [{name: a, terms: {escalate: {after: 1h, to: ["claim:x"]}}}]`, able, nil, "escalate names claim:x, who have no address"},
		}},
		{"Human, by people, is the unit everywhere.", []row{
			{"people: [[ben@example.com, ben.admin@example.com]]\n" + `rules: [{name: a, terms: {approvals: [{count: 2, from: ["user:ben@example.com", "user:ben.admin@example.com"]}]}}]`, able, nil,
				`rule "a" can be satisfied by nobody: it demands 2 approvals, and names 1 who can give them`},
		}},
		{"Signatures: true, or with the age of the key, a device that keeps it, and who enrols.", []row{
			{"rules: [{name: a, terms: {signature: true}}]", able, nil, "signature: age 0m, device bound false, by admin true"},
			{"rules: [{name: a, terms: {signature: {key_age: 24h, device_bound: true, enrolment: admin}}}]", able, nil, "signature: age 1d, device bound true, by admin true"},
		}},
		{"Entitlements are for providers without a list, never for Google.", []row{
			{`entitlements: [{resource: pomerium/x, role: roles/access, requesters: ["domain:example.com"]}]`, able, nil, "rule: \n"},
			{`entitlements: [{resource: projects/x, role: roles/access, requesters: ["domain:example.com"]}]`, able, nil, "fault 2:27: projects/x is of Google Cloud"},
		}},
		{"Faults of a rule.", []row{
			{"rules: [{refuse: no}]", able, nil, "fault 2:9: a rule needs the key \"name\""},
			{"rules: [{name: a, refuse: no}, {name: a, refuse: no}]", able, nil, `fault 2:39: there is another rule "a" in line 2; a name is used once`},
			{"rules: [{name: a, refuse: no, terms: {approvals: 1}}]", able, nil, "fault 2:9: "},
			{"rules: [{name: a}]", able, nil, "fault 2:9: "},
			{"rules: [{name: a, terms: {max_duration: 0m}}]", able, nil, `fault 2:41: max_duration must be a length of time such as 90m, 4h or 3d, not "0m"`},
			{`rules: [{name: a, match: {requester: ["user:ana"]}, refuse: no}]`, able, nil, "fault 2:39: an entry of requester must be user:ADDRESS"},
			{"rules: [{name: a, terms: {approvals: [{count: 1, from: []}]}}]", able, nil, "fault 2:56: from must have 1 to 100 entries, and has 0"},
			{"people: [[a@example.com, b@example.com], [c@example.com, a@example.com]]", able, nil, "fault 2:58: a@example.com is in people already"},
		}},
		{"Every fault at once, with line and column; none keeps the rest from being read.", []row{
			{"rules:\n  - {name: a, refuse: no, extra: 1}\n  - name: b\n   bad: 1\n  - {name: c, terms: {max_duration: soon}}", able, nil,
				"fault 3:27: a rule has no key \"extra\"; it may have loosen, match, name, refuse, terms\nfault 5:4: this cannot be read as YAML: did not find expected '-' indicator; begin in the same column as the entries that it belongs to\n" +
					"fault 6:37: max_duration must be a length of time such as 90m, 4h or 3d, not \"soon\""},
		}},
		{"Strict reading.", []row{
			{"rules: [{name: a, name: b, refuse: no}]", able, nil, `fault 2:19: "name" is there twice, first in line 2`},
			{"rules: [{name: &x a, refuse: *x}]", able, nil, "fault 2:16: &x is an anchor; write out its value wherever it is meant\nfault 2:30: *x is an alias"},
			{"rules: [{<<: {name: a}, refuse: no}]", able, nil, "fault 2:10: << merges another object"},
			{"rules:\n\t- {name: a, refuse: no}", able, nil, "fault 3:1: a tab; write spaces"},
			{"rules: [{name: \xff, refuse: no}]", able, nil, "fault 2:16: this byte is not UTF-8"},
			{"rules: " + strings.Repeat("[", 20) + strings.Repeat("]", 20), able, nil, "fault 2:27: this is nested deeper than 20 levels"},
			{bomb, able, nil, "fault 2:4: &a is an anchor"},
			{"# " + strings.Repeat("x", policy.MaxSize), able, nil, "fault 1:1: the file has 1048590 bytes, and may have 1048576"},
			{many(1000), able, role("roles/r999"), "not allowed, rule-refuses"},
			{many(1001), able, nil, "fault 3:3: rules must have 1 to 1000 entries, and has 1001"},
			{"rules: [{name: a, match: {resource: [\"projects/" + strings.Repeat("a*", 100) + "b\"]}, refuse: no}]", able, func(s *access.Subject) {
				s.Entitlement.Resource = access.Resource("projects/" + strings.Repeat("a", 5000))
			}, "rule: \n"},
		}},
	} {
		for _, r := range c.rows {
			s := ana()
			if r.subject != nil {
				r.subject(&s)
			}
			if got := outcome("version: 1\n"+r.file+"\n", r.deployment, s); !strings.Contains(got, r.want) {
				t.Errorf("%s\n%.500s\n%.2000s\ndoes not say\n%s", c.promise, r.file, got, r.want)
			}
		}
	}
}

type row struct {
	file       string
	deployment policy.Deployment
	subject    func(*access.Subject)
	want       string
}

// Several entitlements together: the strictest of each term; requirements add up by who may
// give them, and of equal ones the larger count holds.
func TestTheStrictestOfSeveralEntitlements(t *testing.T) {
	terms := func(text string) access.Terms {
		got, _, err := refined(t, "rules: [{name: a, terms: {"+text+"}}]\n").Terms(ana())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	both := access.Strictest(terms(`approvals: 2, max_duration: 1h, justification: [{pattern: a, message: A}]`),
		terms(`approvals: [{count: 1, from: [peers]}, {count: 1, from: ["group:x@example.com"]}], max_duration: 90m, justification: [{pattern: b, message: B}]`))
	got := strings.Join(policy.Describe(both), "\n")
	for _, want := range []string{"approvals: 1 from group:x@example.com, 2 from peers", "max_duration: 1h", "a (A)", "b (B)"} {
		if !strings.Contains(got, want) {
			t.Errorf("without %q:\n%s", want, got)
		}
	}
}

// A pattern is found anywhere in the reason unless it is anchored; that of the environment,
// a full match, holds as well.
func TestPatternsHoldBesideThatOfTheEnvironment(t *testing.T) {
	p := refined(t, "rules: [{name: a, terms: {justification: [{pattern: 'INC-[0-9]+', message: Name the ticket.}, {pattern: '^Because', message: Say why.}]}}]\n")
	got, _, err := p.Terms(ana())
	if err != nil || len(got.Justification) != 3 || got.Justification[0].Pattern.String() != "^(?:.*)$" {
		t.Fatalf("%+v %v", got.Justification, err)
	}
	const reason = "It fails: INC-7. Because"
	if !got.Justification[1].Pattern.MatchString(reason) || got.Justification[2].Pattern.MatchString(reason) {
		t.Errorf("%v", got.Justification)
	}
}

// A file with a fault is not used; by one that is all the same, no rule demands less than the
// marker.
func TestNoApprovalIsLostToAFileWithAFault(t *testing.T) {
	f, faults := policy.ReadFile([]byte("version: 1\nrules: [{name: a, terms: {approvals: 0}}]\n"))
	if terms, _, err := policy.Refine(policy.New(settings), f).Terms(ana()); len(faults) != 1 || err != nil || terms.Approvals() != 1 {
		t.Errorf("%v, %v, %d approvals", faults, err, terms.Approvals())
	}
}
