package cases_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/policy"
	"jitaccess/internal/policy/cases"
)

var base = policy.New(policy.Settings{MaxDuration: 2 * time.Hour, DefaultDuration: time.Hour, MinReviewers: 1, MaxReviewers: 10, MaxRoles: 10,
	RequestTimeout: time.Hour, Justification: regexp.MustCompile(`.*`)})

func TestWhatIsExpectedIsComparedWithWhatIs(t *testing.T) {
	f, faults := policy.ReadFile([]byte(`version: 1
rules:
  - {name: freeze, match: {dates: {from: 2026-12-20, zone: UTC}}, refuse: Frozen.}
  - {name: staff, match: {requester: ["group:staff@example.com"]}, terms: {approvals: [{count: 1, from: [peers]}, {count: 1, from: ["group:leads@example.com"]}], max_duration: 30m}}
  - {name: below, match: {resource: [folders/1/**]}, terms: {max_duration: 45m}}
`))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	file, faults := cases.Read([]byte(`policy: policy.yaml
cases:
  - {name: staff, who: ana@example.com, groups: [staff@example.com], what: {resource: projects/p, role: roles/r, marker: mpa},
     expect: {rule: staff, approvals: 2, from: [peers, "group:leads@example.com"], max_duration: 30m, default_duration: 30m, max_continuous: 0m, signature: false}}
  - {name: frozen, who: ana@example.com, what: {resource: projects/p, role: roles/r, marker: jit}, when: "2026-12-24T00:00:00Z", expect: {refuse: Frozen.}}
  - {name: will be, who: ana@example.com, what: {resource: projects/p, role: roles/r, marker: mpa}, begins: "2026-12-24T00:00:00Z", expect: {refuse: Frozen.}}
  - {name: others, who: ben@example.com, what: {resource: projects/p, role: roles/r, marker: jit}, expect: {unmatched: true, approvals: 0, max_duration: 2h}}
  - {name: below, who: ben@example.com, what: {resource: projects/p, role: roles/r, marker: jit, ancestors: [folders/2, folders/1]}, expect: {rule: below, max_duration: 45m}}
  - {name: who knows, who: ben@example.com, unknown: [groups], what: {resource: projects/p, role: roles/r, marker: jit}, expect: {undecided: groups}}
  - {name: wrong, who: ben@example.com, what: {resource: projects/p, role: roles/r, marker: jit}, expect: {rule: staff, approvals: 1}}
  - {name: refused, who: ben@example.com, what: {resource: projects/p, role: roles/r, marker: jit}, expect: {refuse: Frozen.}}
  - {name: undecided, who: ben@example.com, unknown: [groups], what: {resource: projects/p, role: roles/r, marker: jit}, expect: {max_duration: 2h}}
`))
	if len(faults) > 0 || file.Policy != "policy.yaml" {
		t.Fatal(faults)
	}
	var got []string
	for _, fault := range file.Run(policy.Refine(base, f)) {
		got = append(got, fmt.Sprintf("%d:%d: %s", fault.Line, fault.Column, fault.Text))
	}
	want := `10:114: wrong: expected rule staff, and there is none: unmatched true
10:132: wrong: approvals
  - expected: 1
  + is:       0
11:118: refused: expected refuse Frozen., and there is none: unmatched true
12:145: undecided: expected max_duration 2h, and there is none: undecided groups`
	if strings.Join(got, "\n") != want {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestFaultyCasesAreTold(t *testing.T) {
	_, faults := cases.Read([]byte(`policy: policy.yaml
cases:
  - {name: a, who: ana, what: {resource: p, role: roles/r}, when: noon, expect: {}}
  - {name: b, who: bot@x.iam.gserviceaccount.com, what: {resource: projects/p, role: r, marker: jit}, when: noon, begins: later, expect: {aprovals: 1}}
  - c
`))
	var got []string
	for _, fault := range faults {
		got = append(got, fmt.Sprintf("%d:%d", fault.Line, fault.Column))
	}
	if want := "3:20 3:31 3:42 3:67 3:81 4:20 4:86 4:109 4:123 4:139 5:5"; strings.Join(got, " ") != want {
		t.Errorf("%s, want %s:\n%v", strings.Join(got, " "), want, faults)
	}
}

// That nobody gets what no rule is about, and the patterns of a template's rule, can be expected as
// every other outcome can.
func TestWhatNoRuleAndTemplatesSayIsExpected(t *testing.T) {
	f, faults := policy.ReadFile([]byte(`version: 1
unmatched: refuse
applications: [{name: a, uri: https://a, signing_key: /k, templates: [{key: k, type: approve, name: n, title: t, approvers: ["group:g@example.com"], max_duration: 1h}]}]
rules:
  - {name: tickets, match: {resource: [apps/*, projects/q]}, terms: {justification: [{pattern: INC, message: Name the ticket.}]}}
`))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	file, faults := cases.Read([]byte(`policy: policy.yaml
cases:
  - {name: nobody, who: ana@example.com, what: {resource: projects/p, role: roles/r, marker: mpa}, expect: {unmatched: refuse}}
  - {name: by a template, who: ana@example.com, what: {resource: apps/a, role: roles/k, marker: mpa}, expect: {justification: [INC]}}
  - {name: by a marker, who: ana@example.com, what: {resource: projects/q, role: roles/r, marker: mpa}, expect: {justification: [INC]}}
  - {name: wrong, who: ana@example.com, what: {resource: projects/p, role: roles/r, marker: mpa}, expect: {unmatched: true, approvals: 1}}
`))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	var got []string
	for _, fault := range file.Run(policy.Refine(base, f)) {
		got = append(got, fault.Text)
	}
	want := "wrong: unmatched\n  - expected: true\n  + is:       refuse\nwrong: expected approvals 1, and there is none: unmatched refuse"
	if strings.Join(got, "\n") != want {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
