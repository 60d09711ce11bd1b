package main

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestUpgradeGuideBeginsWithTheExceptions: who reads no further has read these.
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

// TestDocumentedCommandLines: each command line of ours that a document tells to
// run is understood. What fails then is only the configuration, which is empty.
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
			run(context.Background(), args, func(string) string { return "" }, &out, &faults)
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
