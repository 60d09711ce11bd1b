package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"jitaccess/internal/access"
)

// Point 10: the rule who may approve what is spelled out, and is what happens.
func TestTheTableOfReviewersIsWhatHappens(t *testing.T) {
	document := document(t, "eligibility.md")
	peer := func(topic string) access.Approval { return access.Approval{Topic: topic} }
	external := func(topic string) access.Approval { return access.Approval{Topic: topic, External: true} }
	reviewers := []access.Approval{peer(""), peer("dba"), external(""), external("dba"), external("net")}
	for _, row := range []struct {
		under   string
		request access.Approval
	}{
		{"multiPartyApprovalConstraint", peer("")}, {"multiPartyApprovalConstraint.dba", peer("dba")},
		{"externalApprovalConstraint", external("")}, {"externalApprovalConstraint.dba", external("dba")},
	} {
		line := "| `" + row.under + "` |"
		for _, r := range reviewers {
			if r.Reviews(row.request) {
				line += " yes |"
			} else {
				line += " – |"
			}
		}
		if !strings.Contains(document, line+"\n") {
			t.Errorf("docs/eligibility.md lacks the row\n%s", line)
		}
	}
}

// Point 13: who reads docs/emergency.md finds the row of what is down.
func TestTheEmergencyGuideKnowsWhatMayBeDown(t *testing.T) {
	guide := document(t, "emergency.md")
	for _, what := range []string{"Identity-Aware Proxy", "mail", "the region", "the service itself"} {
		if !regexp.MustCompile(`(?m)^\| \*\*` + what + `\*\*[^|]*\|[^|]+\|[^|]{20,}\|$`).MatchString(guide) {
			t.Errorf("it does not say what to do about %s", what)
		}
	}
}

// Point 14: App Engine builds the command, with the Go that go.mod asks for, and every
// setting that the file shows is one.
func TestAppEngineBuildsTheCommand(t *testing.T) {
	file, module := document(t, "../app.yaml"), document(t, "../go.mod")
	version := regexp.MustCompile(`(?m)^go (\d+)\.(\d+)`).FindStringSubmatch(module)
	for _, line := range []string{"runtime: go" + version[1] + version[2], "main: ./cmd/jitaccess"} {
		if !strings.Contains(file, "\n"+line+"\n") {
			t.Errorf("app.yaml lacks %q", line)
		}
	}
	settings := regexp.MustCompile(`(?m)^  (?:# )?([A-Z_]{4,}):`).FindAllStringSubmatch(file, -1)
	known := document(t, "configuration.md")
	for _, s := range settings {
		if !strings.Contains(known, "`"+s[1]+"`") {
			t.Errorf("app.yaml shows %s, which docs/configuration.md does not know", s[1])
		}
	}
	if len(settings) < 5 {
		t.Errorf("only %d settings", len(settings))
	}
}

// Who asks where a rule stands is led to a file that is there.
func TestArchitectureNamesFilesThatExist(t *testing.T) {
	named := regexp.MustCompile("`((?:internal|cmd)/[a-z0-9/_]+\\.[a-z]+)`").FindAllStringSubmatch(document(t, "architecture.md"), -1)
	for _, n := range named {
		if _, err := os.Stat("../../" + n[1]); err != nil {
			t.Error(err)
		}
	}
	if len(named) < 15 {
		t.Errorf("only %d files", len(named))
	}
}
