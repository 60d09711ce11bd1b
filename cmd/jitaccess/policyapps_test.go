package main

import (
	"fmt"
	"strings"
	"testing"
)

const oldApps = `version: 1
unmatched: refuse
applications:
  - name: deployer
    uri: https://deploy.example.com
    signing_key: /run/secrets/deployer
    callback_hosts: [deploy.example.com]
    templates:
      - {key: deploy, type: approve, name: Deploy, title: "Deploy {version}", data: [{name: version, pattern: "v[0-9]+"}], approvers: ["group:leads@example.com"], approvals: 2, max_duration: 2h}
      - {key: gone, type: approve, name: Gone, title: Gone, approvers: ["group:leads@example.com"], max_duration: 1h}
`

// A change of applications is told template by template: what lets more be asked for, what less,
// and what is only otherwise; nothing of what is as before.
func TestPolicyDiffOfApplications(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"nothing":           {"", "", ""},
		"fewer approvals":   {"approvals: 2", "approvals: 1", `looser: template "deploy" of deployer: approvals: 2 from group:leads@example.com → 1 from group:leads@example.com`},
		"less time":         {"max_duration: 2h", "max_duration: 1h", `tighter: template "deploy" of deployer: max_duration: 2h → 1h`},
		"it signs":          {"{key: deploy, type: approve", "{key: deploy, type: sign_and_approve", `tighter: template "deploy" of deployer: signature`},
		"another approver":  {`["group:leads@example.com"], approvals: 2`, `["group:leads@example.com", "user:eve@example.com"], approvals: 2`, `template "deploy" of deployer: approvals`},
		"another pattern":   {"v[0-9]+", "v.*", `tighter and looser: template "deploy" of deployer: data: version (, v[0-9]+) → version (, v.*)`},
		"another title":     {`"Deploy {version}"`, `"Do {version}"`, `template "deploy" of deployer: title: Deploy {version} → Do {version}`},
		"for anybody":       {"max_duration: 2h}", "max_duration: 2h, unlinked: show}", `looser: template "deploy" of deployer: unlinked: refuse → show`},
		"a template less":   {"{key: gone,", "{key: new,", `refused: template "gone" of deployer`},
		"a template more":   {"{key: gone,", "{key: new,", `no longer refused: template "new" of deployer`},
		"switched off":      {"{key: gone,", "{key: gone, active: false,", `refused: template "gone" of deployer`},
		"another URI":       {"uri: https://deploy.example.com", "uri: https://evil.example", `application deployer: uri: https://deploy.example.com → https://evil.example`},
		"another key":       {"/run/secrets/deployer", "/tmp/key", `application deployer: signing_key: /run/secrets/deployer → /tmp/key`},
		"more hosts":        {"[deploy.example.com]", "[deploy.example.com, evil.example]", `application deployer: callback_hosts: deploy.example.com → deploy.example.com, evil.example`},
		"another of a name": {"name: deployer", "name: other", `no longer refused: application other: is new`},
	} {
		code, stdout, stderr := policyRun(t, map[string]string{"old.yaml": oldApps, "new.yaml": strings.Replace(oldApps, c.old, c.new, 1), "eligible": ""},
			"diff", "--eligible", "eligible", "old.yaml", "new.yaml")
		if code != exitOK || !strings.Contains(stdout, c.want) {
			t.Errorf("%s: %d, no %q in\n%s%s", name, code, c.want, stdout, stderr)
		}
		if c.want == "" && stdout != "applications and templates that are not as before: 0\n" {
			t.Errorf("%s: %s", name, stdout)
		}
	}
}

// What an application asks for is explained and tested as what people ask for is.
func TestPolicyExplainsAndTestsTemplates(t *testing.T) {
	files := map[string]string{"p.yaml": oldApps + `rules:
  - name: short
    match: {resource: [apps/deployer], role: [roles/deploy]}
    terms: {max_duration: 30m}
`, "cases.yaml": `policy: p.yaml
cases:
  - name: two leads approve
    who: ana@example.com
    what: {resource: apps/deployer, role: roles/deploy, marker: mpa}
    expect: {max_duration: 30m, approvals: 2, from: ["group:leads@example.com"]}
`}
	code, stdout, stderr := policyRun(t, files, "explain", "p.yaml", "--person", "ana@example.com", "--resource", "apps/deployer", "--role", "roles/deploy")
	for _, want := range []string{"The application deployer asks for it, by a template in line 9.", "2 approvals of: members of leads@example.com.", "For 30 minutes at most"} {
		if code != exitOK || !strings.Contains(stdout, want) {
			t.Errorf("%d, no %q in\n%s%s", code, want, stdout, stderr)
		}
	}
	if code, stdout, _ := policyRun(t, files, "explain", "p.yaml", "--person", "ana@example.com", "--resource", "apps/deployer", "--role", "roles/none"); code != exitOK ||
		strings.Contains(stdout, "asks for it") {
		t.Errorf("a template that there is none of: %d\n%s", code, stdout)
	}
	if code, stdout, stderr := policyRun(t, files, "test", "cases.yaml"); code != exitOK {
		t.Errorf("%d\n%s%s", code, stdout, stderr)
	}
	files["cases.yaml"] = strings.Replace(files["cases.yaml"], "30m", "31m", 1)
	if code, stdout, _ := policyRun(t, files, "test", "cases.yaml"); code != exitFailure {
		t.Error(fmt.Sprint(code, "\n", stdout))
	}
}

const oldGitHub = `version: 1
applications:
  - name: github
    uri: https://github.com/apps/jit
    github: {app_id: 1, installations: [9, 12], private_key: /k.pem, webhook_secret: [/new, /old]}
    templates:
      - {key: production, type: approve, name: P, title: Deploy, approvers: ["group:leads@example.com"], max_duration: 1h,
         data: [{name: environment, pattern: production}, {name: repository, pattern: acme/shop}, {name: ref}, {name: sha}]}
`

// From which GitHub deployments may come, and with which secrets, is told of a change, and that it
// is GitHub that asks is explained.
func TestPolicyDiffOfGitHub(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"nothing":              {"[9, 12]", "[12, 9]", "applications and templates that are not as before: 0\n"},
		"one more":             {"[9, 12]", "[9, 12, 666]", "application github: installations: 9, 12 → 9, 12, 666\n"},
		"another app":          {"app_id: 1", "app_id: 2", "application github: app_id: 1 → 2\n"},
		"another private key":  {"/k.pem", "/tmp/k.pem", "application github: private_key: /k.pem → /tmp/k.pem\n"},
		"another secret":       {"[/new, /old]", "/evil", "application github: webhook_secret: /new, /old → /evil\n"},
		"another GitHub":       {"app_id: 1", "app_id: 1, api: https://evil.example", "api: https://api.github.com → https://evil.example; callback_hosts: api.github.com → evil.example\n"},
		"no longer by webhook": {"github: {app_id: 1, installations: [9, 12], private_key: /k.pem, webhook_secret: [/new, /old]}", "signing_key: /k", "installations: 9, 12 → none"},
	} {
		code, stdout, stderr := policyRun(t, map[string]string{"old.yaml": oldGitHub, "new.yaml": strings.Replace(oldGitHub, c.old, c.new, 1), "eligible": ""},
			"diff", "--eligible", "eligible", "old.yaml", "new.yaml")
		if code != exitOK || !strings.Contains(stdout, c.want) {
			t.Errorf("%s: %d, no %q in\n%s%s", name, code, c.want, stdout, stderr)
		}
	}
	code, stdout, stderr := policyRun(t, map[string]string{"p.yaml": oldGitHub}, "explain", "p.yaml", "--person", "ana@example.com",
		"--resource", "apps/github", "--role", "roles/production")
	if want := "GitHub asks for it, by a template of github in line 7: deployments of the installations 9, 12.\n"; code != exitOK || !strings.Contains(stdout, want) {
		t.Errorf("%d, no %q in\n%s%s", code, want, stdout, stderr)
	}
}
