package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/policy"
	"jitaccess/internal/server"
)

// A newer text with a fault is not taken; the one before serves, and is said to be old.
// Until there is one, nothing is given out.
func TestAPolicyWithAFaultIsNotTaken(t *testing.T) {
	settings := policy.Settings{MaxDuration: 2 * time.Hour, MaxReviewers: 5, RequestTimeout: time.Hour, Justification: regexp.MustCompile(`.*`)}
	var log bytes.Buffer
	var text string
	var unreadable error
	p := &livePolicy{base: policy.New(settings), deployment: policy.Deployment{Settings: &settings}, now: time.Now,
		log:  slog.New(slog.NewTextHandler(&log, nil)),
		read: func(context.Context) ([]byte, error) { return []byte(text), unreadable }}
	subject := access.Subject{Principal: "ana@example.com", Entitlement: access.EntitlementID{Resource: "projects/p", Role: "roles/r"}, Kind: access.Peers, At: time.Now()}
	const first, second = "version: 1\nrules: [{name: first, terms: {max_duration: 1h}}]\n", "version: 1\nrules: [{name: second, terms: {max_duration: 1h}}]\n"
	for _, step := range []struct {
		name, text string
		unreadable error
		rule       string // empty: nothing is given out
		current    bool
		logged     string
	}{
		{"cannot be read at start", "", errors.New("no such secret"), "", false, "cannot be read: no such secret"},
		{"still not; said once", "", errors.New("no such secret"), "", false, ""},
		{"taken", first, nil, "first", true, "policy.taken"},
		{"the same", first, nil, "first", true, ""},
		{"a fault", strings.Replace(second, "1h", "0m", 1), nil, "first", false, "2:46: max_duration must be"},
		{"what this service cannot do", strings.Replace(second, "max_duration: 1h", "max_continuous: 3h", 1), nil, "first", false, "needs a ledger"},
		{"what lint calls a fault", first + "  - {name: b, refuse: no}\n", nil, "first", false, ""},
		{"unreadable later", "", errors.New("denied"), "first", false, "denied"},
		{"taken again", second, nil, "second", true, "policy.taken"},
		{"back", first, nil, "first", true, "policy.taken"},
	} {
		log.Reset()
		text, unreadable = step.text, step.unreadable
		p.look(t.Context())
		terms, _, err := p.Terms(subject)
		if terms.Rule != step.rule || (step.rule == "") != (err != nil && access.AsError(err).Code == access.CodePolicyUnreadable) {
			t.Errorf("%s: rule %q, %v", step.name, terms.Rule, err)
		}
		if current := p.current(); (current == nil) != step.current || errors.Is(current, server.ErrNotReady) != (step.rule == "") {
			t.Errorf("%s: current: %v", step.name, current)
		}
		if !strings.Contains(log.String(), step.logged) || step.logged == "" && strings.Contains(step.name, "said once") && log.Len() > 0 {
			t.Errorf("%s: logged %s", step.name, log.String())
		}
	}
}

// Reminders and escalations are carried out where requests are remembered, and nowhere else.
func TestRemindersNeedALedger(t *testing.T) {
	file, faults := policy.ReadFile([]byte("version: 1\nrules: [{name: r, terms: {remind_after: 30m, escalate: {after: 1h, to: [\"user:a@example.com\"]}}}]\n"))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	var c config.Config
	if got := file.Faults(enforced(&c)); len(got) != 2 || !strings.Contains(got[0].Text, "needs a ledger") {
		t.Errorf("without: %v", got)
	}
	c.Ledger.Database.File = "jitaccess.db"
	if got := file.Faults(enforced(&c)); len(got) != 0 || c.Ledger.Database.IsZero() {
		t.Errorf("with one: %v", got)
	}
}

// The service itself, against the sandbox's Google: rules about a folder above, about
// groups of the Directory and about what a role can do meet the people whom they are about.
func TestPolicyOfTheService(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(rules string) {
		if err := os.WriteFile(path, []byte("version: 1\nrules:\n"+rules), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("  - {name: all, match: {resource: [\"*/*\"]}, refuse: Nothing today.}\n")
	w := newWorld(t, surroundings{environment: map[string]string{"POLICY": path}})
	roles := func() string { return w.api("alice", "/api/projects/shop-orders-prod/roles", nil).body }
	for _, step := range []struct{ name, rules, want string }{
		{"everything", "", "Nothing today."},
		{"below the organization", "  - {name: below, match: {resource: [\"organizations/*/**\"]}, refuse: Not below.}\n", "Not below."},
		{"below another", "  - {name: below, match: {resource: [organizations/1/**]}, refuse: Not below.}\n", "activationType"},
		{"of everybody in no group", "  - {name: people, match: {requester: [\"!group:nobody@example.com\"]}, refuse: Not you.}\n", "Not you."},
		{"what can change permissions", "  - {name: powerful, match: {changes_permissions: true}, refuse: Too much.}\n", "Too much."},
	} {
		if step.rules != "" {
			write(step.rules)
			w.restart(nil)
		}
		if got := roles(); !strings.Contains(got, step.want) {
			t.Errorf("%s: %s", step.name, got)
		}
	}
	// The same from Parameter Manager.
	version := w.cloud.AddParameter("policy", "v1", []byte("version: 1\nrules: [{name: all, refuse: As a parameter says.}]\n"))
	w.restart(map[string]string{"POLICY": version})
	if got := roles(); !strings.Contains(got, "As a parameter says.") {
		t.Error(got)
	}
	if ready := w.send("", w.request("GET", "/health/ready", nil)).body; !strings.Contains(ready, `"PolicyIsCurrent":true`) {
		t.Error(ready)
	}
}

// A rule that names a channel which this service does not have is a fault that names the
// rule; so is one that names what this version cannot carry out.
func TestARuleNamesAChannelThatIsNotThere(t *testing.T) {
	for _, c := range []struct {
		settings map[string]string
		notify   string
		want     string // of the fault; empty for none
	}{
		{map[string]string{"SMTP_SENDER_ADDRESS": "jit@example.com"}, "mail", ""},
		{map[string]string{"NOTIFICATION_TOPIC": "topic"}, "pubsub", ""},
		{map[string]string{"NOTIFICATION_TOPIC": "topic"}, "mail", `rule "r": there is no channel mail here; there is pubsub`},
		{map[string]string{"SMTP_SENDER_ADDRESS": "jit@example.com"}, "pubsub", `rule "r": there is no channel pubsub here; there is mail`},
		{map[string]string{"SMTP_SENDER_ADDRESS": "jit@example.com", "NOTIFICATION_TOPIC": "topic"}, "slack:#oncall",
			`rule "r": there is no channel slack:#oncall here; there is mail, pubsub`},
		{map[string]string{"SMTP_SENDER_ADDRESS": "jit@example.com"}, "mail:boss@example.com",
			`rule "r": there is no channel mail:boss@example.com here; there is mail, with nothing behind it`},
		{nil, "webhook", `rule "r": there is no channel webhook here; there is none`},
	} {
		values := map[string]string{"K_SERVICE": "x", "RESOURCE_SCOPE": "organizations/1"}
		maps.Copy(values, c.settings)
		settings, err := config.Read(func(name string) string { return values[name] })
		if err != nil {
			t.Fatal(err)
		}
		file, faults := policy.ReadFile([]byte("version: 1\nrules: [{name: r, terms: {notify: [\"" + c.notify + "\"]}}]\n"))
		faults = append(faults, file.Faults(enforced(settings))...)
		if len(faults) != min(1, len(c.want)) {
			t.Errorf("%s %s: %v", c.settings, c.notify, faults)
		} else if len(faults) > 0 && faults[0].Text != c.want {
			t.Errorf("%s", faults[0].Text)
		}
	}
}

// What a file gives by itself opens nothing in Google Cloud, and such a file is not taken
// where no provider holds no list of its own.
func TestEntitlementsOfAFileNeverServeGoogle(t *testing.T) {
	settings, err := config.Read(func(name string) string {
		return map[string]string{"K_SERVICE": "x", "RESOURCE_SCOPE": "organizations/1"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[string]string{
		"projects/shop": "IAM says who is eligible", "folders/1": "IAM says who is eligible", "organizations/1": "IAM says who is eligible",
		"pomerium/tools": "entitlement pomerium/tools: there is no provider for pomerium/", "nothing/x": "entitlement nothing/x: there is no provider",
	} {
		p := &livePolicy{base: policyOf(settings), deployment: enforced(settings), now: time.Now, log: slog.New(slog.DiscardHandler),
			read: func(context.Context) ([]byte, error) {
				return []byte("version: 1\nentitlements: [{resource: " + resource + ", role: roles/access, requesters: [\"domain:example.com\"]}]\n"), nil
			}}
		if err := p.take(t.Context()); !errors.Is(err, errPolicyFaults) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", resource, err)
		}
	}
}

// What this service carries out of policies, and what is a fault that names the rule.
func TestWhatIsCarriedOut(t *testing.T) {
	const leads = `approvals: [{count: 1, from: ["group:leads@example.com"]}]`
	for _, c := range []struct {
		terms, customer, database string
		fault                     string
	}{
		{"approvals: 1", "", "", ""},
		{"approvals: 2", "", "", "needs a ledger"},
		{"approvals: 2", "", "sqlite:x.db", ""},
		{leads, "C0123", "", ""},
		{leads, "", "", "group:leads@example.com"},
		{`approvals: [{count: 1, from: ["claim:leads"]}]`, "C0123", "sqlite:x.db", "claim:leads"},
		{`approvals: [{count: 1, from: ["user:ana@example.com", "domain:example.com"]}]`, "", "", ""},
		{"in_order: true, approvals: [{count: 1, from: [peers]}, {count: 1, from: [domain:example.com]}]", "", "sqlite:x.db", ""},
		{"inherited_only: true", "", "", ""},
		{"approver_access_level: [accessPolicies/1/accessLevels/corp]", "", "", ""},
		{"signature: true", "", "sqlite:x.db", "no passkeys"},
	} {
		var deployed config.Config
		deployed.Requests.MaxReviewers = 5
		deployed.Identity.Profile = config.IAP
		deployed.Catalog.CustomerID = c.customer
		if c.database != "" {
			deployed.Ledger.Database.Value = config.NewSecret(c.database)
		}
		file, faults := policy.ReadFile([]byte("version: 1\nrules: [{name: r, terms: {" + c.terms + "}}]\n"))
		if len(faults) == 0 {
			faults = file.Faults(enforced(&deployed))
		}
		text := fmt.Sprint(faults)
		if c.fault == "" && len(faults) > 0 || !strings.Contains(text, c.fault) || c.fault != "" && !strings.Contains(text, `rule "r"`) {
			t.Errorf("%s: %s, want %q", c.terms, text, c.fault)
		}
	}
}
