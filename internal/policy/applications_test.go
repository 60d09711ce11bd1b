package policy_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/policy"
)

// deployerFile is a policy with one application, whose template has more where that is said.
func deployerFile(t *testing.T, more, rest string) *policy.File {
	t.Helper()
	file, faults := policy.ReadFile([]byte(`version: 1
people: [[ana@example.com, ann@example.com]]
applications:
  - name: deployer
    uri: https://deploy.example.com
    signing_key: /etc/keys/deployer
    templates:
      - {key: deploy, type: approve, name: Deploy, title: Deploy, approvers: ["user:bob@example.com", "group:leads@example.com"], max_duration: 3h` + more + `}
` + rest))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return file
}

func told(faults policy.Faults) string {
	return strings.Join(access.Each(faults, func(f policy.Fault) string { return f.Text }), "\n")
}

// A template has what its author left out, and its file says what it takes.
func TestATemplateOfAFile(t *testing.T) {
	file := deployerFile(t, "", "unmatched: refuse\n")
	id := application.EntitlementID("deployer", "deploy")
	got := file.Template(id)
	if got == nil || got.Approvals != 1 || got.DefaultDuration != 30*time.Minute || got.RequestLife != time.Hour || !got.Active || got.ShowUnlinked ||
		!file.Applications[0].Active {
		t.Fatalf("%+v", got)
	}
	short := deployerFile(t, ", approvals: 1", "").Applications[0]
	if short.Line != 4 || file.Asks(id).Name != "deployer" || file.Asks(application.EntitlementID("deployer", "x")) != nil {
		t.Errorf("%+v", short)
	}
	settings := policy.Settings{MaxDuration: time.Hour, DefaultDuration: time.Hour, RequestTimeout: time.Hour, MaxRoles: 1, MaxReviewers: 1}
	settings.Justification = regexp.MustCompile(".*")
	e := policy.Refine(policy.New(settings), file).Explain(access.Subject{Principal: "ana@example.com", Entitlement: id, Kind: access.Peers, At: time.Now()})
	if e.Err != nil || e.Terms.MaxDuration != 3*time.Hour || e.Terms.MaxReviewers != 2 || len(e.Terms.Justification) > 0 ||
		!slices.Equal(e.Terms.Requirements[0].From, got.Approvers) {
		t.Errorf("%+v", e)
	}
}

// What a deployment cannot do of applications is a fault, and what their author may not mean a
// warning.
func TestWhatIsToldOfApplications(t *testing.T) {
	all := policy.Deployment{Ledger: true, Passkeys: true, Groups: true}
	for _, c := range []struct {
		more   string
		change func(*policy.Deployment)
		want   string
	}{
		{"", func(*policy.Deployment) {}, ""},
		{"", func(d *policy.Deployment) { d.Ledger = false }, "application deployer: applications need a ledger, and there is none"},
		{"", func(d *policy.Deployment) { d.SignaturesLast = time.Hour },
			"application deployer: applications need SIGNING_KEY: what they get is signed with it"},
		{"", func(d *policy.Deployment) { d.Groups = false },
			`template "deploy" of deployer: approvers name group:leads@example.com, and no directory can be asked for groups here`},
	} {
		d := all
		c.change(&d)
		if got := told(deployerFile(t, c.more, "").Faults(d)); got != c.want {
			t.Errorf("told %q, want %q", got, c.want)
		}
	}
	signed, faults := policy.ReadFile([]byte(`version: 1
applications: [{name: a, uri: https://a, signing_key: /k, templates: [{key: k, type: sign_and_approve, name: n, title: t, approvers: ["user:b@c"], max_duration: 1h}]}]
`))
	if got := told(signed.Faults(policy.Deployment{Ledger: true})); len(faults) > 0 || !strings.Contains(got, "so that nobody could sign") {
		t.Errorf("%v %q", faults, got)
	}
	for more, want := range map[string]string{
		"":                 "",
		", unlinked: show": "of whom nobody knows who they are",
		", active: false":  "is not active",
	} {
		_, warnings := deployerFile(t, more, "").Lint(time.Now())
		if got := told(warnings); got != want && (want == "" || !strings.Contains(got, want)) {
			t.Errorf("%s: warned of %q", more, got)
		}
	}
	for approvers, want := range map[string]string{
		`"user:bob@example.com"`:                            "cannot be approved for any of its approvers",
		`"user:ana@example.com", "user:ann@example.com"`:    "cannot be approved for any of its approvers",
		`"user:bob@example.com", "user:cleo@example.com"`:   "",
		`"user:bob@example.com", "group:leads@example.com"`: "",
	} {
		file, faults := policy.ReadFile([]byte(`version: 1
people: [[ana@example.com, ann@example.com]]
applications: [{name: a, uri: https://a, signing_key: /k, templates: [{key: k, type: approve, name: n, title: t, approvers: [` + approvers + `], max_duration: 1h}]}]
`))
		_, warnings := file.Lint(time.Now())
		if got := told(warnings); len(faults) > 0 || want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %v, warned of %q", approvers, faults, got)
		}
	}
	unknown, err := deployerFile(t, "", "").Unknown(func(kind string, p access.Principal) (bool, error) { return kind == "user", nil })
	if want := `template "deploy" of deployer names group:leads@example.com, whom the Directory does not know`; err != nil || told(unknown) != want {
		t.Errorf("%q, %v", told(unknown), err)
	}
}

// What lets an application ask for more than its author may mean, or makes that nobody can
// approve what it asks for, is a warning.
func TestLintOfApplications(t *testing.T) {
	const (
		deployer = "    signing_key: /k\n"
		atGitHub = "    github: {app_id: 1, installations: [2], private_key: /k, webhook_secret: /s}\n"
		four     = ", data: [{name: environment}, {name: repository, pattern: acme/shop}, {name: ref}, {name: sha}]"
	)
	for _, c := range []struct{ name, by, more, rules, want string }{
		{"data of a form", deployer, `, data: [{name: version, pattern: "v[0-9]+"}]`, "", ""},
		{"any data", deployer, `, data: [{name: version, pattern: ".*"}, {name: cluster}, {name: zone, pattern: "[a-z]+"}]`, "",
			`template "deploy" of a takes any text as version, cluster; a pattern says what it may be`},
		{"any environment of GitHub, and one repository", atGitHub, four, "", `template "deploy" of a takes any text as environment; a pattern says what it may be`},
		{"two approvals of one human", deployer, `, approvals: 2`, "",
			`template "deploy" of a can be satisfied by nobody: it takes 2 approvals, and names 1 who can give them`},
		{"a rule refuses it", deployer, "", `[{name: r, match: {resource: [apps/*]}, refuse: no}]`, `template "deploy" of a can be asked for by nobody: rule "r" refuses it`},
		{"only at times", deployer, "", `[{name: r, match: {hours: {days: [sun], zone: UTC}}, refuse: no}]`, ""},
		{"another application", deployer, "", `[{name: r, match: {resource: [apps/b]}, refuse: no}]`, ""},
		{"behind one that takes it", deployer, "", `[{name: q, match: {resource: [apps/a]}, terms: {max_duration: 1h}}, {name: r, match: {resource: [apps/*]}, refuse: no}]`, ""},
		{"nobody inherits an application", deployer, "", `[{name: r, match: {resource: ["*/*"]}, terms: {inherited_only: true}}]`,
			`template "deploy" of a can be approved by nobody where rule "r" decides: it lets only those approve who are eligible because of a folder or the organization (inherited_only)`},
		{"with a default for every rule", deployer, "", "[{name: r, match: {role: [roles/deploy]}, terms: {max_duration: 1h}}]\ndefaults: {inherited_only: true}",
			`template "deploy" of a can be approved by nobody where rule "r" decides`},
	} {
		approvers := `"user:bob@example.com", "user:cleo@example.com", "user:dora@example.com"`
		if c.name == "two approvals of one human" {
			approvers = `"user:ana@example.com", "user:ann@example.com"`
		}
		text := "version: 1\npeople: [[ana@example.com, ann@example.com]]\napplications:\n  - name: a\n    uri: https://a\n" + c.by +
			"    templates: [{key: deploy, type: approve, name: n, title: t, approvers: [" + approvers + "], max_duration: 1h" + c.more + "}]\n"
		if c.rules != "" {
			text += "rules: " + c.rules + "\n"
		}
		file, faults := policy.ReadFile([]byte(text))
		_, warnings := file.Lint(time.Now())
		lines := slices.DeleteFunc(strings.Split(told(warnings), "\n"), func(line string) bool { return !strings.HasPrefix(line, "template") })
		if got := strings.Join(lines, "\n"); len(faults) > 0 || c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %v, warned of\n%s\nwant\n%s", c.name, faults, got, c.want)
		}
	}
}
