package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/conformance"
	"jitaccess/internal/sandbox/google"
	"jitaccess/internal/sandbox/sandboxtest"
)

const scratch = "conformance-scratch"

// withScratch adds an empty project that Erin has made.
func withScratch(o *google.Organization) {
	o.Projects = append(o.Projects, google.Project{ID: scratch, Number: "550012345678", DisplayName: "Scratch", Parent: "organizations/" + o.ID,
		Policy: google.Policy{Bindings: []google.Binding{{Role: "roles/owner", Members: []string{"user:erin@example.com"}}}}})
}

// conform runs the command against a sandbox in whose time nobody has to wait.
func conform(t *testing.T, args ...string) (code int, out, faults string, cloud *google.Cloud) {
	t.Helper()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s := sandboxtest.Start(t, sandboxtest.Options{Organization: withScratch, Google: google.Options{Now: now}})
	signed, err := s.Cloud.SignIAPAssertion("alice@example.com", "accounts.google.com:1", "/projects/1/apps/a")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "assertion")
	if err := os.WriteFile(file, []byte(signed+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "ASSERTION", file)
	}
	k := clock{now: now, sleep: func(ctx context.Context, d time.Duration) error { ahead.Add(int64(d)); return ctx.Err() }}
	var stdout, stderr bytes.Buffer
	code = runConformance(t.Context(), args, s.Env(nil), k, &stdout, &stderr)
	return code, stdout.String(), stderr.String(), s.Cloud
}

// The command line, the credentials and the report: against the sandbox all passes.
func TestConformance(t *testing.T) {
	code, out, faults, _ := conform(t, "--project", scratch, "--scratch", scratch, "--assertion-file", "ASSERTION", "--group", "sre@example.com", "--json")
	var report conformance.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitOK {
		t.Fatalf("exit status %d, %v:\n%s\n%s", code, err, out, faults)
	}
	untried := 0 // without a database
	for _, c := range report.Checks {
		if strings.HasPrefix(c.ID, "firestore.") && c.Result == conformance.Untried && strings.Contains(c.Observed, "--firestore") {
			untried++
		}
	}
	if n := report.Count(conformance.Passes); n+untried != len(report.Checks) || n < 50 || report.Real || len(report.Left) > 0 {
		t.Errorf("%d of %d pass, real %v, left %v", n, len(report.Checks), report.Real, report.Left)
	}
	if strings.Count(faults, ": passes\n")+untried != len(report.Checks) {
		t.Errorf("it says meanwhile\n%s", faults)
	}
}

func TestConformanceSaysWhatDiffers(t *testing.T) {
	code, out, faults, _ := conform(t, "--project", scratch, "--scratch", scratch, "--group", "nobody@example.com")
	if code != exitOK || !strings.Contains(out, "could not be tried") || !strings.Contains(out, "Nothing was left behind.") {
		t.Errorf("exit status %d\n%s\n%s", code, out, faults)
	}
}

// A project that was not named twice, or is not scratch, is not touched.
func TestConformanceRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		why  string
	}{
		"named once":               {[]string{"--project", scratch}, "name the project twice"},
		"not named":                {nil, "name the project twice"},
		"named differently":        {[]string{"--project", scratch, "--scratch", "conformance-scratsh"}, "nothing is done in either"},
		"no project":               {[]string{"--project", "../x", "--scratch", "../x"}, "not the id of a project"},
		"in use":                   {[]string{"--project", "shop-orders-prod", "--scratch", "shop-orders-prod"}, "env=prod"},
		"in use, without a label":  {[]string{"--project", "shop-build", "--scratch", "shop-build"}, "bindings of others"},
		"being deleted":            {[]string{"--project", "spring-campaign", "--scratch", "spring-campaign"}, "DELETE_REQUESTED"},
		"not there":                {[]string{"--project", "nothing-here", "--scratch", "nothing-here"}, "not there"},
		"no patience":              {[]string{"--project", scratch, "--scratch", scratch, "--patience", "1s"}, "--patience is from"},
		"a group that is none":     {[]string{"--project", scratch, "--scratch", scratch, "--group", "sre"}, "--group"},
		"a database that is none":  {[]string{"--project", scratch, "--scratch", scratch, "--firestore", "x/../y"}, "--firestore"},
		"another's database":       {[]string{"--project", scratch, "--scratch", scratch, "--firestore", "shop-build/ledger"}, "--firestore"},
		"no such database":         {[]string{"--project", scratch, "--scratch", scratch, "--firestore", "ledger"}, "the database ledger cannot be looked at"},
		"no such file":             {[]string{"--project", scratch, "--scratch", scratch, "--assertion-file", "/nonexistent"}, "--assertion-file"},
		"a flag that is not known": {[]string{"--prject", scratch}, "prject"},
		"an argument":              {[]string{scratch}, "takes no argument"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, faults, cloud := conform(t, c.args...)
			if code != exitUsage || out != "" || !strings.Contains(faults, c.why) {
				t.Errorf("exit status %d\n%s\n%s", code, out, faults)
			}
			for route, n := range cloud.Calls().All() {
				if strings.Contains(route, "setIamPolicy") {
					t.Errorf("%d writes", n)
				}
			}
		})
	}
}
