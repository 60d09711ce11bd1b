package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
)

// TestLint: each file, and what is told of it; "fault:" goes before what must be mended.
func TestLint(t *testing.T) {
	for _, c := range []struct{ name, rules, want string }{
		{"nothing to say", `
- {name: a, match: {role: [roles/viewer]}, terms: {approvals: 2}}
- {name: b, terms: {max_duration: 1h}}`, ""},
		{"a rule that never decides", `
- {name: a, match: {resource: [projects/*], role: [roles/*.admin]}, terms: {approvals: 1}}
- {name: b, match: {resource: [projects/*-prod], role: [roles/run.admin], hours: {days: [mon], zone: UTC}}, terms: {approvals: 2}}`,
			`4:3: rule "b" never decides: rule "a" stands before it and takes all that it is about`},
		{"a refusal that refuses nothing", `
- {name: a, terms: {approvals: 1}}
- {name: b, match: {role: [roles/owner]}, refuse: no}`,
			`fault: 4:3: rule "b" refuses nothing: rule "a" stands before it and takes all that it is about; move it up`},
		{"no rule is shadowed by one that takes less", `
- {name: a, match: {resource: ["projects/*-prod", "!projects/x-prod"], requester: ["domain:example.com"], changes_permissions: true}, refuse: no}
- {name: b, match: {resource: [projects/*-prod], requester: ["user:ana@example.com"], changes_permissions: true}, refuse: no}
- {name: c, match: {resource: [projects/y-prod], requester: ["user:ana@example.com"]}, refuse: no}
- {name: d, match: {resource: [folders/1/**], hours: {from: "07:00", to: "19:00", zone: UTC}}, refuse: no}
- {name: e, match: {resource: [folders/1/**], hours: {from: "07:00", to: "19:00", zone: Europe/Berlin}}, refuse: no}
- {name: f, match: {resource: [folders/1], hours: {from: "08:00", to: "18:00", zone: UTC}}, refuse: no}`, ""},
		{"one within another, of people, hours and dates", `
- {name: a, match: {requester: ["domain:example.com"], hours: {from: "07:00", to: "19:00", zone: UTC}, dates: {from: 2026-01-01, zone: UTC}}, refuse: no}
- {name: b, match: {requester: ["user:ana@example.com"], hours: {days: [mon], from: "08:00", to: "18:00", zone: UTC}, dates: {from: 2026-02-01, to: 2026-12-01, zone: UTC}}, refuse: no}`,
			`fault: 4:3: rule "b" refuses nothing: rule "a" stands before it and takes all that it is about; move it up`},
		{"what is taken out again", `
- {name: a, match: {resource: [projects/x-prod, "!projects/*-prod"]}, refuse: no}
- {name: b, match: {requester: ["user:ana@example.com", "!domain:example.com"]}, refuse: no}
- {name: c, match: {role: [roles/x, roles/y, "!roles/x"]}, refuse: no}`,
			"3:3: rule \"a\" matches nothing: all that its resource names is taken out again\n4:3: rule \"b\" matches nothing: all that its requester names is taken out again"},
		{"a rule that is over", `
- {name: a, match: {dates: {to: 2026-03-03, zone: UTC}}, refuse: no}
- {name: b, match: {dates: {to: 2026-03-04, zone: UTC}}, refuse: no}`, `3:3: rule "a" is over since 2026-03-03; take it out`},
		{"who loosens", `
- {name: a, match: {role: [roles/a]}, terms: {approvals: 0, max_duration: 8h}, loosen: true}
- {name: b, match: {role: [roles/b]}, terms: {approvals: [{count: 1, from: [peers, "group:g@example.com"]}]}}
- {name: c, match: {role: [roles/c]}, terms: {break_glass: {who: ["group:o@example.com"], max_duration: 1h, review_by: ["user:s@example.com"]}}}`,
			"3:3: rule \"a\" may demand fewer approvals than the marker in IAM (loosen)\n3:3: rule \"a\" may give access for longer than ACTIVATION_TIMEOUT (loosen)\n" +
				"4:3: rule \"b\" lets people approve by this file alone, whatever IAM says of them: group:g@example.com\n" +
				"5:3: rule \"c\" gives access without any approval to group:o@example.com (break_glass)"},
		{"who signs with a passkey that nobody has approved", `
- {name: a, match: {role: [roles/a]}, terms: {approvals: 1, signature: {enrolment: self}}}
- {name: b, match: {role: [roles/b]}, terms: {approvals: 1, signature: {enrolment: admin, key_age: 24h}}}
- {name: c, match: {role: [roles/c]}, terms: {approvals: 1, signature: true}}`,
			"3:3: rule \"a\" takes signatures of passkeys that no administrator has approved: whoever has somebody's session can add one (enrolment: self)"},
		{"what nobody can satisfy; two addresses are one human", `
- {name: a, match: {role: [roles/a]}, terms: {approvals: [{count: 2, from: ["user:ana@example.com", "user:ana.admin@example.com"]}]}}
- {name: b, match: {role: [roles/b], requester: ["user:ana.admin@example.com"]}, terms: {approvals: [{count: 1, from: ["user:ana@example.com"]}]}}
- {name: rest, terms: {max_duration: 1h}}`,
			"3:3: rule \"a\" can be satisfied by nobody: it demands 2 approvals, and names 1 who can give them\n" +
				"3:3: rule \"a\" lets people approve by this file alone, whatever IAM says of them: user:ana@example.com, user:ana.admin@example.com\n" +
				"4:3: rule \"b\" can be satisfied by nobody: only ana@example.com may ask, and nobody approves their own request\n" +
				"4:3: rule \"b\" lets people approve by this file alone, whatever IAM says of them: user:ana@example.com"},
		{"two approvals from the same person", `
- {name: a, match: {role: [roles/a]}, terms: {approvals: [{count: 1, from: ["user:ana@example.com"]}, {count: 1, from: ["user:ben@example.com", "user:ana@example.com"]}, {count: 1, from: ["user:ben@example.com"]}]}}
- {name: rest, terms: {max_duration: 1h}}`,
			"3:3: rule \"a\" can be satisfied by nobody: its approvals need 3 people, and name 2; one person gives one of them\n" +
				"3:3: rule \"a\" lets people approve by this file alone, whatever IAM says of them: user:ana@example.com, user:ben@example.com"},
		{"what says nothing, or more than it seems", `
- {name: a, match: {role: [roles/a]}, terms: {approvals: 2, in_order: true}}
- {name: b, match: {role: [roles/b]}, terms: {approvals: [{count: 1, from: ["group:g@example.com"]}], inherited_only: true}}`,
			"3:3: rule \"a\": in_order says nothing, since it demands approvals of one kind\n" +
				"4:3: rule \"b\" lets of group:g@example.com only those approve who are eligible themselves, because of a folder or the organization (inherited_only)\n" +
				"4:3: rule \"b\" lets people approve by this file alone, whatever IAM says of them: group:g@example.com"},
		{"who leaves a rule and meets no other", `
- {name: a, match: {resource: [projects/*-prod], requester: ["!group:contractors@example.com"]}, terms: {approvals: 2}}
- {name: b, match: {role: [roles/b], hours: {from: "07:00", to: "19:00", zone: UTC}}, terms: {approvals: 2}}`,
			"3:3: rule \"a\" says nothing of group:contractors@example.com (roles/x on projects/x-prod), and neither does any other rule: for them holds what the marker and the environment demand\n" +
				"4:3: rule \"b\" says nothing of people whom no rule names (roles/b on projects/x, Wed 2026-03-04 06:59 UTC), and neither does any other rule: for them holds what the marker and the environment demand"},
		{"who leaves a rule and meets the next", `
- {name: day, match: {role: [roles/b], hours: {from: "07:00", to: "19:00", zone: UTC}}, terms: {approvals: 2}}
- {name: night, match: {role: [roles/b], hours: {from: "19:00", to: "07:00", zone: UTC}}, terms: {approvals: 1}}
- {name: staff, match: {role: [roles/c], requester: ["!group:contractors@example.com"]}, terms: {approvals: 2}}
- {name: others, match: {role: [roles/c]}, refuse: no}`, ""},
	} {
		f := file(t, "version: 1\nrules:"+c.rules+"\npeople: [[ana@example.com, ana.admin@example.com]]\n")
		faults, warnings := f.Lint(time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC))
		var got []string
		for _, w := range faults {
			got = append(got, fmt.Sprintf("fault: %d:%d: %s", w.Line, w.Column, w.Text))
		}
		for _, w := range warnings {
			got = append(got, fmt.Sprintf("%d:%d: %s", w.Line, w.Column, w.Text))
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), c.want)
		}
	}
}

// Who is named is asked for once, wherever; a directory that cannot be asked is no answer.
func TestPeopleWhomNoDirectoryKnows(t *testing.T) {
	f := file(t, `version: 1
defaults: {escalate: {after: 1h, to: ["group:leads@example.com"]}}
entitlements: [{resource: pomerium/x, role: roles/access, requesters: ["group:gone@example.com", "domain:example.com"]}]
rules:
  - {name: a, match: {requester: ["!group:gone@example.com", "claim:x"]}, refuse: no}
  - {name: b, terms: {approvals: [{count: 1, from: [peers, "user:ana@example.com", "user:zoe@example.com"]}]}}
`)
	asked := map[string]int{}
	warnings, err := f.Unknown(func(kind string, p access.Principal) (bool, error) {
		asked[kind+":"+string(p)]++
		return p != "gone@example.com" && p != "zoe@example.com", nil
	})
	want := "[{3 16 entitlement pomerium/x names group:gone@example.com, whom the Directory does not know} {6 5 rule \"b\" names user:zoe@example.com, whom the Directory does not know}]"
	if fmt.Sprint(warnings) != want || err != nil || len(asked) != 4 || asked["group:gone@example.com"] != 1 || asked["group:leads@example.com"] != 1 {
		t.Errorf("%v, %v, %v", warnings, err, asked)
	}
	down := errors.New("down")
	if _, err := f.Unknown(func(string, access.Principal) (bool, error) { return false, down }); err != down {
		t.Error(err)
	}
}
