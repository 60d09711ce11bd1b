package policy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/policy"
)

// settings are what the environment says in these tests.
var settings = policy.Settings{MaxDuration: 2 * time.Hour, DefaultDuration: time.Hour, MinReviewers: 1, MaxReviewers: 10, MaxRoles: 10,
	RequestTimeout: time.Hour, Justification: regexp.MustCompile(`.*`), JustificationHint: "a ticket"}

// file reads a file that has no fault.
func file(t testing.TB, text string) *policy.File {
	t.Helper()
	f, faults := policy.ReadFile([]byte(text))
	if len(faults) > 0 {
		t.Fatalf("%s\n%v", text, faults)
	}
	return f
}

func refined(t testing.TB, text string) policy.Refined {
	return policy.Refine(policy.New(settings), file(t, "version: 1\n"+text))
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// ana asks for a role on a project in two folders of an organization.
func ana() access.Subject {
	return access.Subject{Principal: "ana@example.com", Kind: access.Peers,
		Entitlement:    access.EntitlementID{Resource: "projects/shop-prod", Role: "roles/cloudsql.admin"},
		At:             time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), // a Wednesday
		AncestorsKnown: true, Ancestors: []access.Resource{"folders/4712", "folders/4711", "organizations/1"},
		GroupsKnown: true, Groups: []string{"Staff@Example.com"}, ClaimsKnown: true, Claims: []string{"db admins"},
		ChangesPermissions: access.No}
}

// TestWhatMatches holds each part of a match against ana: "+" it matches, "-" it does
// not, "?" it cannot be told.
func TestWhatMatches(t *testing.T) {
	unknown := func(s *access.Subject) {
		s.AncestorsKnown, s.GroupsKnown, s.ClaimsKnown = false, false, false
		s.Ancestors, s.Groups, s.Claims = []access.Resource{"folders/4712"}, []string{"staff@example.com"}, []string{"known"}
	}
	changes := func(a access.Answer) func(*access.Subject) {
		return func(s *access.Subject) { s.ChangesPermissions = a }
	}
	when := func(text string) func(*access.Subject) {
		return func(s *access.Subject) { s.At = at(t, text) }
	}
	role := func(text string) func(*access.Subject) {
		return func(s *access.Subject) { s.Entitlement.Role = access.Role(text) }
	}
	office := `hours: {days: [mon-fri], from: "07:00", to: "19:00", zone: Europe/Berlin}`
	night := `hours: {days: [fri], from: "22:00", to: "02:30", zone: Europe/Berlin}`
	freeze := `dates: {from: 2026-12-20, to: 2027-01-07, zone: Europe/Berlin}`
	for _, c := range []struct {
		match, want string
		subject     func(*access.Subject)
	}{
		{`resource: [projects/*-prod]`, "+", nil},
		{`resource: [projects/shop]`, "-", nil},
		{`resource: [projects/*]`, "+", nil},
		{`resource: ["*/shop-prod"]`, "+", nil},
		{`resource: [projects/s*p-*od]`, "+", nil},
		{`resource: [projects/shop-prod*shop-prod]`, "-", nil},
		{`resource: [folders/4711/**]`, "+", nil},
		{`resource: [folders/4712/**]`, "+", nil},
		{`resource: [organizations/1/**]`, "+", nil},
		{`resource: [folders/47*/**]`, "+", nil},
		{`resource: [folders/4713/**]`, "-", nil},
		{`resource: [folders/4711]`, "-", nil},
		{`resource: [projects/shop-prod/**]`, "-", nil},
		{`resource: ["!folders/4711/**"]`, "-", nil},
		{`resource: ["!folders/9/**"]`, "+", nil},
		{`resource: [projects/*, "!folders/4711/**"]`, "-", nil},
		{`resource: ["!projects/other"]`, "+", nil},
		// What lies above is not all known.
		{`resource: [folders/4712/**]`, "+", unknown},
		{`requester: ["group:staff@example.com"]`, "+", unknown},
		{`requester: ["claim:known"]`, "+", unknown},
		{`resource: [folders/4711/**]`, "? ancestors", unknown},
		{`resource: ["!folders/4711/**"]`, "? ancestors", unknown},
		{`resource: [projects/shop-prod, folders/4711/**]`, "+", unknown},
		{`resource: [projects/other, folders/4711/**]`, "? ancestors", unknown},
		{`resource: [projects/shop-prod, "!folders/4711/**"]`, "? ancestors", unknown},
		{`{resource: [folders/4711/**], role: [roles/viewer]}`, "-", unknown},
		{`{resource: [folders/4711/**], requester: ["user:ben@example.com"]}`, "-", unknown},

		{`role: [roles/cloudsql.*]`, "+", nil},
		{`role: [roles/*]`, "+", nil},
		{`role: ["!roles/cloudsql.admin"]`, "-", nil},
		{`role: [roles/*, "!roles/*.admin"]`, "-", nil},
		{`role: [roles/*]`, "-", role("projects/shop-prod/roles/admin")},
		{`role: [projects/*/roles/*]`, "+", role("projects/shop-prod/roles/admin")},
		{`role: ["*/*/roles/adm*"]`, "+", role("organizations/1/roles/admin")},
		{`role: [projects/*/roles/*]`, "-", nil},

		{`requester: ["user:ana@example.com"]`, "+", nil},
		{`requester: ["user:ANA@example.com"]`, "+", nil},
		{`requester: ["domain:example.com"]`, "+", nil},
		{`requester: ["domain:ample.com"]`, "-", nil},
		{`requester: ["group:staff@example.com"]`, "+", nil},
		{`requester: ["group:ops@example.com"]`, "-", nil},
		{`requester: ["!group:ops@example.com"]`, "+", nil},
		{`requester: ["!group:staff@example.com"]`, "-", nil},
		{`requester: ["domain:example.com", "!user:ana@example.com"]`, "-", nil},
		{`requester: ["claim:db admins"]`, "+", nil},
		{`requester: ["claim:staff@example.com"]`, "-", nil},
		{`requester: ["group:db admins@example.com"]`, "fault", nil},
		{`requester: ["group:ops@example.com"]`, "? groups", unknown},
		{`requester: ["!group:ops@example.com"]`, "? groups", unknown},
		{`requester: ["claim:x"]`, "? claims", unknown},
		{`requester: ["user:ana@example.com", "group:ops@example.com"]`, "+", unknown},
		{`requester: ["user:ana@example.com", "!group:ops@example.com"]`, "? groups", unknown},
		{`requester: ["!user:ana@example.com", "group:ops@example.com"]`, "-", unknown},

		{`changes_permissions: true`, "-", nil},
		{`changes_permissions: true`, "+", changes(access.Yes)},
		{`changes_permissions: true`, "+", changes(access.Unknown)},
		{`changes_permissions: false`, "+", nil},
		{`changes_permissions: false`, "-", changes(access.Unknown)},

		{office, "+", nil},
		{office, "+", when("2026-03-04T06:00:00Z")}, // 07:00
		{office, "-", when("2026-03-04T05:59:59Z")},
		{office, "+", when("2026-03-04T17:59:59Z")},
		{office, "-", when("2026-03-04T18:00:00Z")},
		{office, "+", when("2026-07-01T05:00:00Z")}, // 07:00 in summer
		{office, "-", when("2026-07-01T17:00:00Z")},
		{office, "-", when("2026-03-07T12:00:00Z")}, // Saturday
		{office, "-", when("2026-03-01T23:30:00Z")}, // Monday there, 00:30
		{night, "+", when("2026-03-06T21:00:00Z")},  // Friday, 22:00
		{night, "+", when("2026-03-07T01:29:00Z")},  // Saturday, 02:29, of Friday's
		{night, "-", when("2026-03-07T01:30:00Z")},
		{night, "-", when("2026-03-06T01:00:00Z")}, // Friday, 02:00, would be of Thursday's
		{night, "-", when("2026-03-07T21:00:00Z")},
		// The clock goes from 03:00 back to 02:00: both hours are meant.
		{`hours: {from: "02:00", to: "03:00", zone: Europe/Berlin}`, "+", when("2026-10-25T00:30:00Z")},
		{`hours: {from: "02:00", to: "03:00", zone: Europe/Berlin}`, "+", when("2026-10-25T01:30:00Z")},
		{`hours: {from: "02:00", to: "03:00", zone: Europe/Berlin}`, "-", when("2026-10-25T02:00:00Z")},
		// And on from 02:00 to 03:00: that hour does not come.
		{`hours: {from: "02:00", to: "03:00", zone: Europe/Berlin}`, "-", when("2026-03-29T01:00:00Z")},
		{`hours: {from: "20:00", to: "24:00", zone: UTC}`, "+", when("2026-03-04T23:59:59Z")},
		{`hours: {from: "20:00", to: "24:00", zone: UTC}`, "-", when("2026-03-05T00:00:00Z")},
		{`hours: {from: "00:00", to: "24:00", zone: UTC}`, "+", nil},
		{`hours: {days: [sat-mon], zone: UTC}`, "+", when("2026-03-08T00:00:00Z")},
		{`hours: {days: [sat-mon], zone: UTC}`, "-", nil},
		{`hours: [{days: [sat], zone: UTC}, {days: [wed], zone: UTC}]`, "+", nil},
		{`hours: {days: [mon-sun], zone: Asia/Kathmandu}`, "+", nil},

		{freeze, "-", nil},
		{freeze, "+", when("2026-12-19T23:00:00Z")}, // the 20th there
		{freeze, "-", when("2026-12-19T22:59:59Z")},
		{freeze, "+", when("2027-01-07T22:59:59Z")},
		{freeze, "-", when("2027-01-07T23:00:00Z")},
		{`dates: {from: 2026-03-04, zone: UTC}`, "+", nil},
		{`dates: {to: 2026-03-03, zone: UTC}`, "-", nil},
	} {
		text := fmt.Sprintf("rules: [{name: a, match: {%s}, refuse: no}]", strings.Trim(c.match, "{}"))
		if !strings.HasPrefix(c.match, "{") {
			text = fmt.Sprintf("rules: [{name: a, match: {%s}, refuse: no}]", c.match)
		}
		f, faults := policy.ReadFile([]byte("version: 1\n" + text))
		if len(faults) > 0 {
			if c.want != "fault" {
				t.Errorf("%s: %v", c.match, faults)
			}
			continue
		}
		s := ana()
		if c.subject != nil {
			c.subject(&s)
		}
		_, _, err := policy.Refine(policy.New(settings), f).Terms(s)
		got := "-"
		switch e := access.AsError(err); {
		case e == nil:
		case e.Code == access.CodeRuleRefuses && e.Kind == access.NotAllowed:
			got = "+"
		case e.Code == access.CodeRuleUndecided && e.Kind == access.Unavailable:
			got = "? " + e.Args["unknown"]
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.match, got, c.want)
		}
	}
}

func TestTheFirstRuleThatMatchesDecides(t *testing.T) {
	p := refined(t, `
rules:
  - {name: other, match: {role: [roles/viewer]}, refuse: no}
  - {name: first, match: {resource: [projects/*]}, terms: {max_duration: 30m}}
  - {name: second, terms: {max_duration: 10m, approvals: 3}}
`)
	terms, _, err := p.Terms(ana())
	if err != nil || terms.Rule != "first" || terms.MaxDuration != 30*time.Minute || terms.Approvals() != 1 || terms.Policy != p.File().Digest || len(terms.Policy) != 64 {
		t.Errorf("%+v %v", terms, err)
	}
	e := p.Explain(ana())
	if len(e.Passed) != 1 || e.Passed[0].Rule != "other" || e.Passed[0].Part != "role" || e.Rule != "first" {
		t.Errorf("%+v", e)
	}
	// What is unknown of an earlier rule is not passed on to the next.
	p = refined(t, "rules: [{name: a, match: {requester: [\"group:x@example.com\"]}, refuse: no}, {name: b, terms: {max_duration: 1h}}]\n")
	s := ana()
	s.GroupsKnown = false
	if _, _, err := p.Terms(s); access.AsError(err).Kind != access.Unavailable {
		t.Errorf("%v", err)
	}
}

func TestWhatHoldsWhereNoRuleMatches(t *testing.T) {
	none := "rules: [{name: a, match: {role: [roles/viewer]}, refuse: no}]\n"
	base, _, _ := policy.New(settings).Terms(ana())
	for _, text := range []string{none, "unmatched: marker\n" + none, "defaults: {max_duration: 5m}\n" + none} {
		if got, _, err := refined(t, text).Terms(ana()); err != nil || !reflect.DeepEqual(got, base) {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	_, _, err := refined(t, "unmatched: refuse\n"+none).Terms(ana())
	if e := access.AsError(err); e == nil || e.Code != access.CodeNoRule {
		t.Errorf("%v", err)
	}
	// Of nothing in particular the settings are all there is to say.
	if got, _, err := refined(t, "unmatched: refuse\n").Terms(access.Subject{Kind: access.Peers}); err != nil || !reflect.DeepEqual(got, base) {
		t.Errorf("%+v %v", got, err)
	}
}

// TestTerms holds what a rule says against what the marker and the settings demand: an
// hour to two, one peer.
func TestTerms(t *testing.T) {
	approvals := func(t access.Terms) string { return fmt.Sprint(t.Requirements) }
	durations := func(t access.Terms) string {
		return fmt.Sprint(policy.Length(t.MaxDuration), " ", policy.Length(t.DefaultDuration))
	}
	all := func(f func(access.Terms) any) func(access.Terms) string {
		return func(t access.Terms) string { return fmt.Sprint(f(t)) }
	}
	for _, c := range []struct {
		defaults, rule string
		marker         access.RequestKind
		of             func(access.Terms) string
		want           string
	}{
		// Rules only tighten,
		{"", `terms: {max_duration: 30m}`, access.Peers, durations, "30m 30m"},
		{"", `terms: {max_duration: 8h}`, access.Peers, durations, "2h 1h"},
		{"", `terms: {approvals: 2}`, access.Peers, approvals, "[{2 [peers]}]"},
		{"", `terms: {approvals: 1}`, access.Self, approvals, "[{1 [peers]}]"},
		{"", `terms: {max_duration: 1h}`, access.Self, approvals, "[]"},
		{"", `terms: {max_duration: 1h}`, access.Peers, approvals, "[{1 [peers]}]"},
		// unless they say so,
		{"", `{terms: {max_duration: 8h, default_duration: 4h}, loosen: [max_duration]}`, access.Peers, durations, "8h 4h"},
		{"", `{terms: {max_duration: 8h}, loosen: true}`, access.Peers, durations, "8h 1h"},
		{"", `{terms: {max_duration: 8h, approvals: 0}, loosen: [approvals]}`, access.Peers, durations, "2h 1h"},
		{"", `{terms: {approvals: 0}, loosen: [approvals]}`, access.Peers, approvals, "[]"},
		{"", `{terms: {approvals: 0}, loosen: [approvals]}`, access.Peers, all(func(t access.Terms) any { return []any{t.MinReviewers, t.StartWithin} }), "[0 0s]"},
		// and say who approves.
		{"", `terms: {approvals: [{count: 1, from: ["group:Leads@example.com", peers]}, {count: 1, from: ["user:x@example.com"]}]}`, access.Peers, approvals,
			"[{1 [group:leads@example.com peers]} {1 [user:x@example.com]}]"},
		// A rule begins with the defaults, and replaces what it names.
		{`{max_duration: 20m, request_life: 8h}`, `terms: {max_duration: 40m}`, access.Peers, durations, "40m 40m"},
		{`{max_duration: 20m, request_life: 8h}`, `terms: {max_duration: 40m}`, access.Peers, all(func(t access.Terms) any { return t.RequestLife }), "8h0m0s"},
		{`{approvals: 2}`, `terms: {max_duration: 40m}`, access.Self, approvals, "[{2 [peers]}]"},
		{`{justification: [{pattern: a, message: x}]}`, `terms: {justification: [{pattern: b, message: y}]}`, access.Peers,
			all(func(t access.Terms) any { return []any{len(t.Justification), t.Justification[1].Message} }), "[2 y]"},
		{`{in_order: true, signature: {key_age: 24h}, inherited_only: true}`, `terms: {in_order: false, signature: false, inherited_only: false}`, access.Peers,
			all(func(t access.Terms) any { return []any{t.InOrder, t.Signature, t.Keys, t.InheritedOnly} }), "[false false {0s false false} false]"},
		{`{signature: {key_age: 24h}}`, `terms: {max_duration: 1h}`, access.Peers, all(func(t access.Terms) any { return []any{t.Signature, t.Keys.Age} }), "[true 24h0m0s]"},
		{`{notify: {only: [mail]}}`, `terms: {notify: [webhook]}`, access.Peers, all(func(t access.Terms) any { return []any{t.Notify, t.NotifyOnly} }), "[[webhook] false]"},
		// Every other term.
		{"", `terms: {in_order: true}`, access.Peers, all(func(t access.Terms) any { return t.InOrder }), "true"},
		{"", `terms: {request_life: 3d}`, access.Peers, all(func(t access.Terms) any { return t.RequestLife }), "72h0m0s"},
		{"", `terms: {start_within: 7d}`, access.Peers, all(func(t access.Terms) any { return t.StartWithin }), "168h0m0s"},
		{"", `terms: {start_within: 7d}`, access.Self, all(func(t access.Terms) any { return t.StartWithin }), "0s"},
		{"", `terms: {max_continuous: 90m}`, access.Peers, all(func(t access.Terms) any { return []any{t.MaxContinuous, t.MaxDuration} }), "[1h30m0s 1h30m0s]"},
		{"", `terms: {signature: true}`, access.Peers, all(func(t access.Terms) any { return []any{t.Signature, t.Keys} }), "[true {0s false false}]"},
		{"", `terms: {signature: {key_age: 24h, device_bound: true, enrolment: admin}}`, access.Peers, all(func(t access.Terms) any { return t.Keys }), "{24h0m0s true false}"},
		{"", `terms: {approver_access_level: [accessPolicies/1/accessLevels/corp]}`, access.Peers, all(func(t access.Terms) any { return t.ApproverAccessLevels }), "[accessPolicies/1/accessLevels/corp]"},
		{"", `terms: {inherited_only: true}`, access.Peers, all(func(t access.Terms) any { return t.InheritedOnly }), "true"},
		{"", `terms: {remind_after: 30m}`, access.Peers, all(func(t access.Terms) any { return t.RemindAfter }), "30m0s"},
		{"", `terms: {escalate: {after: 1h, to: ["group:leads@example.com"]}}`, access.Peers, all(func(t access.Terms) any { return t.Escalations }), "[{1h0m0s [group:leads@example.com]}]"},
		{"", `terms: {notify: [slack:#oncall, webhook]}`, access.Peers, all(func(t access.Terms) any { return []any{t.Notify, t.NotifyOnly} }), "[[slack:#oncall webhook] false]"},
		{"", `terms: {notify: {only: [mail]}}`, access.Peers, all(func(t access.Terms) any { return t.NotifyOnly }), "true"},
		{"", `terms: {break_glass: {who: ["group:oncall@example.com"], max_duration: 1h, review_by: ["user:s@example.com"]}}`, access.Peers,
			all(func(t access.Terms) any { return []any{t.BreakGlass, t.Glass} }), "[true {[group:oncall@example.com] [user:s@example.com] 1h0m0s}]"},
		{"", `terms: {max_duration: 30m, break_glass: {who: ["group:oncall@example.com"], max_duration: 1h, review_by: ["user:s@example.com"]}}`, access.Peers,
			all(func(t access.Terms) any { return t.Glass.MaxDuration }), "30m0s"},
	} {
		text := "rules: [{name: a, " + strings.TrimSuffix(strings.TrimPrefix(c.rule, "{"), "}") + "}]\n"
		if !strings.HasPrefix(c.rule, "{") {
			text = "rules: [{name: a, " + c.rule + "}]\n"
		}
		if c.defaults != "" {
			text = "defaults: " + c.defaults + "\n" + text
		}
		s := ana()
		s.Kind = c.marker
		terms, _, err := refined(t, text).Terms(s)
		if got := c.of(terms); err != nil || got != c.want {
			t.Errorf("%s %s: %s %v, want %s", c.defaults, c.rule, got, err, c.want)
		}
	}
}

// A rule begins with every term of the defaults, whichever it is: what one of them says holds for
// a rule that says nothing of it, as if the rule said it.
func TestEveryDefaultHoldsForARuleThatDoesNotNameIt(t *testing.T) {
	said := map[string]string{"approvals": "3", "in_order": "true", "max_duration": "20m", "default_duration": "10m", "request_life": "3h", "start_within": "2d",
		"max_continuous": "90m", "justification": "[{pattern: x, message: y}]", "signature": "{key_age: 24h}", "approver_access_level": "[corp]",
		"inherited_only": "true", "remind_after": "10m", "escalate": `{after: 1h, to: ["user:x@example.com"]}`, "notify": "{only: [mail]}",
		"break_glass": `{who: ["user:x@example.com"], max_duration: 1h, review_by: ["user:y@example.com"]}`}
	var schema struct {
		Defs struct {
			Terms struct{ Properties map[string]any }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(policy.Schema, &schema); err != nil || len(schema.Defs.Terms.Properties) == 0 {
		t.Fatal(err)
	}
	none, _, _ := refined(t, "rules: [{name: a, terms: {request_life: 1h}}]\n").Terms(ana())
	for key := range schema.Defs.Terms.Properties {
		other := "request_life: 1h"
		if key == "request_life" {
			other = "max_duration: 2h"
		}
		byDefault, _, err := refined(t, "defaults: {"+key+": "+said[key]+"}\nrules: [{name: a, terms: {"+other+"}}]\n").Terms(ana())
		itself, _, _ := refined(t, "rules: [{name: a, terms: {"+key+": "+said[key]+", "+other+"}}]\n").Terms(ana())
		byDefault.Policy, itself.Policy, none.Policy = "", "", ""
		if err != nil || fmt.Sprintf("%+v", byDefault) != fmt.Sprintf("%+v", itself) || fmt.Sprintf("%+v", byDefault) == fmt.Sprintf("%+v", none) {
			t.Errorf("%s: %+v, %v\nsaid by the rule: %+v", key, byDefault, err, itself)
		}
	}
}

// What begins later is judged for both moments, and the stricter holds.
func TestTermsHoldNowAndWhenAccessBegins(t *testing.T) {
	p := refined(t, `
rules:
  - {name: night, match: {hours: {from: "19:00", to: "07:00", zone: UTC}}, terms: {max_duration: 30m, approvals: 2}}
  - {name: saturday, match: {hours: {days: [sat], zone: UTC}}, refuse: Not on Saturdays.}
  - {name: day, terms: {max_duration: 1h}}
`)
	s := ana()
	if terms, _, err := p.Terms(s); err != nil || terms.Rule != "day" || terms.MaxDuration != time.Hour {
		t.Errorf("at noon: %+v %v", terms, err)
	}
	s.Begins = s.At.Add(10 * time.Hour)
	if terms, _, err := p.Terms(s); err != nil || terms.Rule != "day, night" || terms.MaxDuration != 30*time.Minute || terms.Approvals() != 2 {
		t.Errorf("at noon for the night: %+v %v", terms, err)
	}
	if e := p.Explain(s); e.Later == nil || e.Later.Rule != "night" {
		t.Errorf("%+v", e)
	}
	s.Begins = s.At.Add(72 * time.Hour)
	if _, _, err := p.Terms(s); access.AsError(err).Code != access.CodeRuleRefuses {
		t.Errorf("for Saturday: %v", err)
	}
	s.At, s.Begins = s.Begins, time.Time{}
	if _, _, err := p.Terms(s); access.AsError(err).Args["message"] != "Not on Saturdays." || access.AsError(err).Args["role"] != string(s.Entitlement.Role) {
		t.Errorf("on Saturday: %v", err)
	}
}

func TestOneHumanHasSeveralAddresses(t *testing.T) {
	f := file(t, "version: 1\npeople: [[ana@example.com, ana.admin@example.com], [ben@example.com, ben@other.example]]\n")
	for p, want := range map[access.Principal]access.Principal{"ana@example.com": "ana@example.com", "ana.admin@example.com": "ana@example.com",
		"ben@other.example": "ben@example.com", "cleo@example.com": "cleo@example.com"} {
		if got := f.Human(p); got != want {
			t.Errorf("%s is %s, want %s", p, got, want)
		}
		for _, address := range f.Accounts(p) {
			if f.Human(address) != want {
				t.Errorf("%s is %s by %s", p, f.Human(address), address)
			}
		}
	}
	for p, want := range map[access.Principal]int{"ana@example.com": 2, "ana.admin@example.com": 2, "cleo@example.com": 1} {
		if got := f.Accounts(p); len(got) != want || !slices.Contains(got, p) {
			t.Errorf("%s has %v", p, got)
		}
	}
}

// What rules look at is looked up, and nothing else: also what they take out again.
func TestWhatRulesLookAt(t *testing.T) {
	for text, want := range map[string]access.Looks{
		`match: {resource: [projects/p], role: [roles/r], requester: ["user:a@example.com", "claim:x", "domain:example.com"]}, refuse: no`: {},
		`match: {resource: [folders/1/**]}, refuse: no`:                                         {Ancestors: true},
		`match: {resource: ["!folders/1/**"]}, refuse: no`:                                      {Ancestors: true},
		`match: {changes_permissions: false}, refuse: no`:                                       {ChangesPermissions: true},
		`match: {requester: ["group:g@example.com"]}, refuse: no`:                               {Groups: []string{"g@example.com"}},
		`match: {requester: ["!group:g@example.com"]}, refuse: no`:                              {Groups: []string{"g@example.com"}},
		`terms: {approvals: 1}`:                                                                 {Approvals: true},
		`terms: {approvals: [{count: 1, from: ["group:g@example.com", "user:a@example.com"]}]}`: {Approvals: true, Approvers: []string{"g@example.com"}},
	} {
		if got := refined(t, "rules: [{name: a, "+text+"}]\n").Looks(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

// What people read of a rule hides nothing: a character that nobody sees is not in it, however it
// is written.
func TestWhatPeopleReadOfARuleIsSeen(t *testing.T) {
	p := refined(t, `rules: [{name: a, match: {role: [roles/never]}, refuse: "no\u202ene \u200b"}, {name: b, terms: {justification: [{pattern: x, message: "sa\u202ey it\u2066"}]}}]`)
	s := ana()
	terms, _, err := p.Terms(s)
	s.Entitlement.Role = "roles/never"
	_, _, refusal := p.Terms(s)
	for _, text := range []string{terms.Justification[1].Message, access.AsError(refusal).Args["message"]} {
		if err != nil || strings.ContainsAny(text, "\u202e\u200b\u2066") || strings.TrimSpace(text) != text || text == "" {
			t.Errorf("%q, %v", text, err)
		}
	}
}

// What a deployment cannot carry out is told, with the rule.
func TestFaultsOfADeployment(t *testing.T) {
	f := file(t, `version: 1
defaults: {request_life: 8h}
rules:
  - name: all of it
    match: {requester: ["claim:x", "group:g@example.com"]}
    terms:
      approvals: [{count: 1, from: [peers]}, {count: 2, from: ["claim:y"]}]
      max_duration: 4h
      start_within: 25h
      max_continuous: 4h
      signature: true
      approver_access_level: [accessPolicies/1/accessLevels/corp]
      remind_after: 30m
      escalate: {after: 1h, to: ["group:g@example.com"]}
      notify: ["slack:#x", webhook]
      break_glass: {who: ["group:g@example.com"], max_duration: 1h, review_by: ["user:s@example.com"]}
  - {name: little, terms: {request_life: 6h, start_within: 24h, approvals: 1, signature: false, notify: [mail]}}
`)
	told := func(d policy.Deployment) string {
		var lines []string
		for _, fault := range f.Faults(d) {
			lines = append(lines, fmt.Sprintf("%d:%d: %s", fault.Line, fault.Column, fault.Text))
		}
		return strings.Join(lines, "\n")
	}
	able := policy.Deployment{Ledger: true, Passkeys: true, AccessLevels: policy.GoogleLevels, Claims: true, Groups: true, Channels: []string{"mail", "slack:", "webhook"}}
	if got := told(able); got != "" {
		t.Errorf("who can do everything:\n%s", got)
	}
	brief := able
	brief.SignaturesLast = 6 * time.Hour
	if got, want := told(brief), strings.TrimSpace(`
2:12: defaults: request_life of more than 6h needs SIGNING_KEY: what the service account signs is good for so long
9:7: rule "all of it": start_within of more than 6h needs SIGNING_KEY: what the service account signs is good for so long
17:46: rule "little": start_within of more than 6h needs SIGNING_KEY: what the service account signs is good for so long`); got != want {
		t.Errorf("where signatures are good for six hours:\n%s\nwant\n%s", got, want)
	}
	able.Settings = &settings
	if got, want := told(able), `8:7: rule "all of it": max_duration of 4h is longer than ACTIVATION_TIMEOUT (2h); write loosen: [max_duration] beside terms if that is meant`; got != want {
		t.Errorf("with settings:\n%s", got)
	}
	few := settings
	few.MaxDuration, few.MaxReviewers = 4*time.Hour, 2
	able.Settings = &few
	if got, want := told(able), `7:7: rule "all of it": 3 approvals cannot be had, since ACTIVATION_REQUEST_MAX_REVIEWERS lets a request ask 2 people`; got != want {
		t.Errorf("who may ask few:\n%s", got)
	}
	want := strings.TrimSpace(`
2:12: defaults: request_life of more than 6h needs a ledger, and there is none
4:5: rule "all of it": match names claim:x, and no claim is read here: set IDENTITY_GROUPS_CLAIM
4:5: rule "all of it": match names group:g@example.com, and no directory can be asked for groups here
7:7: rule "all of it": more than one approval needs a ledger, and there is none
7:7: rule "all of it": approvals names claim:y, and no claim is read here: set IDENTITY_GROUPS_CLAIM
9:7: rule "all of it": start_within of more than 24h needs a ledger, and there is none
10:7: rule "all of it": max_continuous needs a ledger, and there is none
11:7: rule "all of it": signature needs a ledger, and there is none
11:7: rule "all of it": no passkeys can be used here, so that nobody could sign
12:7: rule "all of it": access levels are known only where Identity-Aware Proxy signs people in, or a login of the service's own
13:7: rule "all of it": remind_after needs a ledger, and there is none
14:7: rule "all of it": escalate needs a ledger, and there is none
14:7: rule "all of it": escalate names group:g@example.com, and no directory can be asked for groups here
15:7: rule "all of it": there is no channel slack:#x here; there is mail
15:7: rule "all of it": there is no channel webhook here; there is mail
16:7: rule "all of it": break_glass needs a ledger, and there is none
16:7: rule "all of it": break_glass names group:g@example.com, and no directory can be asked for groups here`)
	if got := told(policy.Deployment{Channels: []string{"mail"}}); got != want {
		t.Errorf("who can do nothing:\n%s\nwant\n%s", got, want)
	}
}

// Groups of those who may ask need somebody who knows them.
func TestRequestersThatNobodyKnowsAreAFault(t *testing.T) {
	f := file(t, `version: 1
entitlements:
  - {resource: pomerium/wiki, role: roles/access, requesters: ["group:writers@example.com", "domain:example.com"]}
`)
	for groups, want := range map[bool]int{true: 0, false: 1} {
		if faults := f.Faults(policy.Deployment{Kinds: []string{"pomerium"}, Groups: groups}); len(faults) != want {
			t.Errorf("groups are known: %v: %v", groups, faults)
		}
	}
}

// What a file gives itself needs a provider that asks the file; it is never Google's.
func TestEntitlementsNeedAProviderWithoutAList(t *testing.T) {
	text := `version: 1
entitlements:
  - {resource: pomerium/jit-example, role: roles/access, requesters: ["domain:example.com"]}
  - {resource: apps/wiki, role: roles/access, requesters: ["domain:example.com"]}
`
	f := file(t, text)
	for _, c := range []struct {
		kinds []string
		want  string
	}{
		{nil, "3:5: entitlement pomerium/jit-example: there is no provider for pomerium/… here; leave it out\n" +
			"4:5: entitlement apps/wiki: there is no provider for apps/… here; leave it out\n"},
		{[]string{"pomerium"}, "4:5: entitlement apps/wiki: there is no provider for apps/… here; leave it out\n"},
		{[]string{"apps", "pomerium"}, ""},
	} {
		got := ""
		for _, fault := range f.Faults(policy.Deployment{Kinds: c.kinds}) {
			got += fmt.Sprintf("%d:%d: %s\n", fault.Line, fault.Column, fault.Text)
		}
		if got != c.want {
			t.Errorf("%v:\n%s", c.kinds, got)
		}
	}
	// What cannot be parsed as another provider's is no entitlement of Google's either.
	for _, google := range []string{"projects/p", "folders/1", "organizations/1"} {
		if _, faults := policy.ReadFile([]byte(strings.Replace(text, "apps/wiki", google, 1))); len(faults) != 1 || !strings.Contains(faults[0].Text, "IAM says who is eligible") {
			t.Errorf("%s: %v", google, faults)
		}
	}
}

// Who is told without being asked anything must have an address.
func TestEscalationsAreToPeopleWithAnAddress(t *testing.T) {
	for to, want := range map[string]string{
		"user:a@example.com":  "",
		"group:g@example.com": "",
		"claim:x":             `escalate names claim:x, who have no address; name user: or group:`,
		"domain:example.com":  `escalate names domain:example.com, who have no address; name user: or group:`,
	} {
		f := file(t, fmt.Sprintf(`{version: 1, rules: [{name: r, terms: {escalate: {after: 1h, to: ["%s"]}}}]}`, to))
		faults := f.Faults(policy.Deployment{Ledger: true, Groups: true, Claims: true})
		if (len(faults) == 0) != (want == "") || want != "" && faults[0].Text != `rule "r": `+want {
			t.Errorf("%s: %v", to, faults)
		}
	}
}

// Terms name the first rules that are passed, as Explain names all, and count the others,
// whatever it is that says that they are not about it.
func TestTermsNameAFewRulesThatArePassed(t *testing.T) {
	text := "rules:\n"
	for i := range 30 {
		match := []string{"role: [roles/viewer]", "resource: [projects/elsewhere]", "requester: [\"user:zoe@example.com\"]"}[i%3]
		text += fmt.Sprintf("  - {name: r%02d, match: {%s}, terms: {max_duration: 1h}}\n", i, match)
	}
	p := refined(t, text+"  - {name: last, terms: {max_duration: 1h}}\n")
	all := p.Explain(ana())
	if len(all.Passed) != 30 || all.Further != 0 || all.Rule != "last" || all.Passed[1] != (access.PassedRule{Rule: "r01", Part: "resource"}) {
		t.Errorf("%+v", all)
	}
	_, few, err := p.Terms(ana())
	if err != nil || !slices.Equal(few.Passed, all.Passed[:10]) || few.Further != 20 || few.Rule != "last" || few.Policy != p.File().Digest {
		t.Errorf("%+v %v", few, err)
	}
}

// 1,000 rules: the terms of an entitlement in under 100 µs, whatever it is that says that 999 of
// them are not about it, and whether or not the place was asked about before.
func BenchmarkTermsOf1000Rules(b *testing.B) {
	folders := []access.Resource{"folders/90001", "folders/90002", "folders/90003", "organizations/1"}
	const hours = `hours: {days: [mon-fri], from: "13:00", to: "19:00", zone: Europe/Berlin}`
	for _, c := range []struct {
		name, match string // %[1]d is the number of the rule
		places      []access.Resource
	}{
		{"place", `resource: [projects/*-prod%[1]d, folders/%[1]d/**], role: [roles/*.admin, "!roles/owner"], requester: ["!group:g%[1]d@example.com"], ` + hours,
			[]access.Resource{"projects/shop-prod"}},
		{"places", `resource: [projects/*-prod%[1]d, folders/%[1]d/**], role: [roles/*.admin, "!roles/owner"], requester: ["!group:g%[1]d@example.com"], ` + hours,
			[]access.Resource{"projects/shop-prod", "projects/shop-dev"}},
		{"role", `role: [roles/*.viewer%[1]d, roles/storage.*]`, []access.Resource{"projects/shop-prod"}},
		{"requester", `resource: [projects/*], role: [roles/*], requester: ["group:g%[1]d@example.com", "user:u%[1]d@example.com"]`, []access.Resource{"projects/shop-prod"}},
		{"hours", `resource: [projects/*], role: [roles/*.admin], ` + hours, []access.Resource{"projects/shop-prod"}},
		{"dates", `resource: [projects/*], dates: {from: 2026-12-20, to: 2027-01-07, zone: Europe/Berlin}`, []access.Resource{"projects/shop-prod"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var text strings.Builder
			text.WriteString("version: 1\nrules:\n")
			for i := range 999 {
				fmt.Fprintf(&text, "  - {name: r%d, match: {%s}, terms: {max_duration: 1h}}\n", i, strings.ReplaceAll(c.match, "%[1]d", fmt.Sprint(i)))
			}
			text.WriteString("  - {name: last, terms: {max_duration: 1h}}\n")
			p := policy.Refine(policy.New(settings), file(b, text.String()))
			s := ana()
			s.Ancestors = folders
			s.At = time.Date(2026, 3, 4, 8, 0, 0, 0, time.UTC)
			for i := 0; b.Loop(); i++ {
				s.Entitlement.Resource = c.places[i%len(c.places)]
				if terms, _, err := p.Terms(s); err != nil || terms.Rule != "last" {
					b.Fatal(terms.Rule, err)
				}
			}
		})
	}
}

func FuzzReadFile(f *testing.F) {
	data, err := os.ReadFile("testdata/faults.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, part := range strings.Split(string(data), "== ")[1:] {
		_, text, _ := strings.Cut(part, "\n")
		text, _, _ = strings.Cut(text, "--\n")
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read, faults := policy.ReadFile(text)
		for _, fault := range append(faults, read.Faults(policy.Deployment{Settings: &settings})...) {
			if fault.Line < 1 || fault.Column < 1 || fault.Text == "" {
				t.Errorf("%+v", fault)
			}
		}
		if len(faults) == 0 {
			// What was read decides, one way or the other, and never loosens unasked.
			terms, _, err := policy.Refine(policy.New(settings), read).Terms(ana())
			if err == nil && (terms.MaxDuration <= 0 || terms.RequestLife <= 0) {
				t.Errorf("%+v", terms)
			}
		}
	})
}

// What is remembered of a resource is not told of another one, nor of the same one when
// other things lie above it or when that is not known.
func TestWhatIsRememberedOfAResourceIsOfItAlone(t *testing.T) {
	p := refined(t, `rules: [{name: below, match: {resource: [folders/4711/**]}, refuse: no}, {name: shop, match: {resource: ["projects/shop*"]}, terms: {max_duration: 1h}}]`)
	moved, elsewhere, unknown := ana(), ana(), ana()
	moved.Ancestors = []access.Resource{"organizations/1"}
	elsewhere.Entitlement.Resource, elsewhere.Ancestors = "projects/other", moved.Ancestors
	unknown.Ancestors, unknown.AncestorsKnown = moved.Ancestors, false
	var all sync.WaitGroup
	for range 4 { // pages of several people, at the same time
		all.Go(func() {
			for _, c := range []struct {
				name    string
				subject access.Subject
				rule    string
				code    access.Code
			}{
				{"below the folder", ana(), "", access.CodeRuleRefuses}, {"moved away", moved, "shop", ""},
				{"another resource", elsewhere, "", ""}, {"moved away again", moved, "shop", ""}, {"nobody knows", unknown, "", access.CodeRuleUndecided},
			} {
				terms, _, err := p.Terms(c.subject)
				if terms.Rule != c.rule || (err != nil) != (c.code != "") || err != nil && access.AsError(err).Code != c.code {
					t.Errorf("%s: %q %v", c.name, terms.Rule, err)
				}
			}
		})
	}
	all.Wait()
}
