package main

import (
	"os/exec"
	"strings"
	"testing"
)

// The run of all tests fails where one failed, or skipped itself: what it needs was to be
// installed, but for what no registry has.
func TestWhatFailsTheRunOfAllTests(t *testing.T) {
	for _, c := range []struct {
		name, run string
		passes    bool
	}{
		{"all passed", "--- PASS: TestA (0.00s)\nok  \tp\t1s\n", true},
		{"none ran", "ok  \tp\t1s\n", false},
		{"one failed", "--- PASS: TestA (0.00s)\n--- FAIL: TestB (0.00s)\nFAIL\tp\t1s\n", false},
		{"one skipped itself", "--- PASS: TestA (0.00s)\n    b_test.go:1: no tool\n--- SKIP: TestB (0.00s)\nok  \tp\t1s\n", false},
		{"for what no registry has", "--- PASS: TestA (0.00s)\nTestB/c: NOT RUN, no emulator\n    --- SKIP: TestB/c (0.00s)\nok  \tp\t1s\n", true},
		{"and another", "--- PASS: TestA (0.00s)\nTestB: NOT RUN, no emulator\n--- SKIP: TestB (0.00s)\n--- SKIP: TestC (0.00s)\nok  \tp\t1s\n", false},
		{"one did not build", "--- PASS: TestA (0.00s)\nFAIL\tp [build failed]\n", false},
	} {
		report := exec.Command("awk", "-f", "../../.ci/report.awk")
		report.Stdin = strings.NewReader(c.run)
		out, err := report.CombinedOutput()
		if (err == nil) != c.passes || strings.Contains(c.run, "NOT RUN") && !strings.Contains(string(out), "NOT RUN") {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
	}
}
