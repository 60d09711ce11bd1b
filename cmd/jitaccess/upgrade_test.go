package main

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// environmentOf1x is an environment block as people have it for JIT Access 1.8, with
// what its reading rules allow. The service is put in its place with PUBLIC_URL.
var environmentOf1x = map[string]string{
	"RESOURCE_CATALOG":                 "assetinventory",
	"ELEVATION_DURATION":               " 120 ",
	"ACTIVATION_REQUEST_TIMEOUT":       "+60",
	"ACTIVATION_REQUEST_MAX_REVIEWERS": "",
	"ACTIVATION_REQUEST_MAX_ROLES":     "010",
	"AVAILABLE_PROJECTS_QUERY":         "state:ACTIVE labels.env:prod",
	"JUSTIFICATION_PATTERN":            "(?:BUG|CASE)-\\d+ .*",
	"JUSTIFICATION_HINT":               "Bug or case number, and why",
	"NOTIFICATION_TIMEZONE":            "Australia/Melbourne",
	"SMTP_ENABLE_STARTTLS":             "TRUE",
	"SMTP_SENDER_NAME":                 "JIT Access",
	"BACKEND_CONNECT_TIMEOUT":          "10",
}

// TestUpgradeInPlaceOf1x puts the service where JIT Access 1.8 was (points 1 and 13):
// its environment starts, doctor finds nothing broken, its grants are active and its
// links work.
func TestUpgradeInPlaceOf1x(t *testing.T) {
	w := newWorld(t, surroundings{environment: environmentOf1x})
	var said bytes.Buffer
	if code := examine(context.Background(), w.env(nil), recipients{}, w.mail.Roots, &said); code != exitOK {
		t.Errorf("doctor exits with %d:\n%s", code, said.String())
	}

	status := map[string]string{}
	for _, e := range w.api(alice, "/api/projects/"+project+"/roles", nil).expect(t, 200).Entitlements {
		status[e.Name] = e.Status
	}
	if status["roles/secretmanager.admin"] != "ACTIVE" || status["roles/cloudsql.admin"] != "INACTIVE" {
		t.Errorf("what 1.x granted is shown as %v", status)
	}

	link := "/api/activation-request" + w.link1x(claimsOf1x(time.Now(), dict{"justification": "BUG-7 node hangs"}))
	w.api(bob, link, nil).expect(t, 200, `"justification":"BUG-7 node hangs"`)
	w.api(bob, link, dict{}).expect(t, 200)
	if len(w.described("projects/"+project, "Approved by bob@example.com, justification: BUG-7 node hangs")) != 1 {
		t.Errorf("the policy is\n%v", w.policy("projects/"+project))
	}
}

// TestUpgradeGuideBeginsWithTheExceptions (point 13): who reads no further has read these.
func TestUpgradeGuideBeginsWithTheExceptions(t *testing.T) {
	guide := document(t, "upgrade.md")
	first := strings.Join(strings.SplitN(guide, "\n", 11)[:10], "\n")
	for _, exception := range []string{"PUBLIC_URL", "JUSTIFICATION_PATTERN", "RE2", "SMTP_ENABLE_STARTTLS"} {
		if !strings.Contains(first, exception) {
			t.Errorf("the first lines do not name %s:\n%s", exception, first)
		}
	}
	if _, end, _ := strings.Cut(guide, "### 6. Take 1.x away"); !strings.Contains(end, "gcloud app versions delete") || strings.Count(guide, "### 6. Take 1.x away") != 2 {
		t.Error("the guide does not end, on both platforms, with every 1.x version taken away")
	}
}

// TestDocumentedCommandLines (point 13): each command line of ours that a document tells to
// run is understood. What fails then is only the configuration, which is not whole.
func TestDocumentedCommandLines(t *testing.T) {
	found := 0
	for _, name := range []string{"docs/upgrade.md", "docs/emergency.md", "deploy/setup.md"} {
		text := document(t, "../"+name)
		var lines [][]string
		for _, m := range regexp.MustCompile(`--args (\S+)`).FindAllStringSubmatch(text, -1) {
			lines = append(lines, strings.Split(m[1], ","))
		}
		for _, m := range regexp.MustCompile("(?m)(?:bin/|`)jitaccess ((?:doctor|eligible)[^|`\n]*)").FindAllStringSubmatch(text, -1) {
			lines = append(lines, strings.Fields(m[1]))
		}
		for _, args := range lines {
			found++
			for i := range args {
				args[i] = strings.NewReplacer("SOME_PROJECT", "some-project").Replace(args[i])
			}
			var out, faults bytes.Buffer
			run(context.Background(), args, func(name string) string { return map[string]string{"RESOURCE_CATALOG": "AssetInventory"}[name] }, &out, &faults)
			if said := out.String() + faults.String(); !strings.Contains(said, "RESOURCE_CUSTOMER_ID is not set") {
				t.Errorf("%s: %q: %s", name, args, said)
			}
		}
	}
	if found < 8 {
		t.Errorf("only %d command lines", found)
	}
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
