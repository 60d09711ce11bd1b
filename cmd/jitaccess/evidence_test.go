package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// asProgram has the tests be the program, where it is set.
const asProgram = "JITACCESS_AS_PROGRAM"

// Every command of docs/evidence.md is run, as it stands there, by a shell: what is handed over with the
// settings of the service, and the rest without any. gcloud is a stand-in that has the service's log.
func TestEvidenceIsHadWithoutADeveloper(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jitaccess.db")
	w := newWorld(t, surroundings{inStep: true})
	w.tidy(project, "data-warehouse-prod")
	terms := filepath.Join(t.TempDir(), "terms.yaml")
	if err := os.WriteFile(terms, []byte(document(t, "../internal/sandbox/terms.yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := onDisk(w, path)
	settings["POLICY"] = terms
	w.restart(settings)
	ref, id := w.ask()
	w.decide(bob, ref, "approve", "")
	s := w.running()
	head, err := s.sweeper.ledger.Head(t.Context(), w.now())
	if err != nil {
		t.Fatal(err)
	}
	s.sweeper.log.Info("the head of the ledger", "event", "ledger.maintain", "at", head.At.UTC().Format(time.RFC3339Nano), "requests", head.Requests,
		"events", head.Events, "digest", head.Digest)

	// The machines.
	dir, bin := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(bin, "jitaccess"), "#!/bin/sh\n"+asProgram+"=1 exec '"+os.Args[0]+"' \"$@\"\n")
	log := w.log.String()
	write(filepath.Join(dir, "service.log"), log+"a line of something else\n")
	var entries []map[string]any
	for line := range strings.Lines(log) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil {
			entry["labels"] = entry["logging.googleapis.com/labels"]
			entries = append(entries, entry)
		}
	}
	encoded, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, "entries.json"), string(encoded))
	write(filepath.Join(bin, "gcloud"), "#!/bin/sh\ncat entries.json\n")
	var environment []string
	for name, value := range w.Environment {
		if value != "" {
			environment = append(environment, name+"="+value)
		}
	}
	shell := func(commands string, environment ...string) (string, error) {
		c := exec.Command("sh", "-eu", "-c", commands)
		c.Dir, c.Env = dir, append([]string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir}, environment...)
		out, err := c.CombinedOutput()
		return string(out), err
	}

	before, after, found := strings.Cut(document(t, "evidence.md"), "\n## What the auditor runs\n")
	blocks := regexp.MustCompile("(?s)\n```sh\n(.*?)```\n")
	handed, run := blocks.FindAllStringSubmatch(before, -1), blocks.FindAllStringSubmatch(after, -1)
	if !found || len(handed) != 4 || len(run) != 2 {
		t.Fatalf("%d and %d blocks of commands", len(handed), len(run))
	}
	for _, block := range handed {
		if out, err := shell(block[1], environment...); err != nil {
			t.Fatalf("%s: %v\n%s", block[1], err, out)
		}
		if strings.Contains(block[1], "log.jsonl") && !strings.Contains(block[1], "fingerprints.txt") {
			if kept := contentOf(t, filepath.Join(dir, "evidence", "log.jsonl")); !strings.Contains(kept, head.Digest) || !strings.Contains(kept, "fingerprints") {
				t.Errorf("%s\n%s", block[1], kept)
			}
		}
	}
	for file, want := range map[string]string{"ledger.jsonl": id, "events.csv": id + ",", "reconcile.json": `"differences":[]`, "heads.jsonl": head.Digest} {
		if got := contentOf(t, filepath.Join(dir, "evidence", file)); !strings.Contains(got, want) {
			t.Errorf("%s lacks %q:\n%.2000s", file, want, got)
		}
	}
	// The auditor has no settings, and no service.
	w.stop()
	out, err := shell(run[0][1])
	if err != nil || !strings.HasSuffix(out, "fine\n") {
		t.Errorf("%s: %v\n%s", run[0][1], err, out)
	}
	if out, err = shell(run[1][1]); err != nil || contentOf(t, filepath.Join(dir, "policy.yaml")) != contentOf(t, terms) {
		t.Errorf("%s: %v\n%s", run[1][1], err, out)
	}
	// What was taken away, or changed, since.
	whole := contentOf(t, filepath.Join(dir, "evidence", "ledger.jsonl"))
	var others strings.Builder
	for line := range strings.Lines(whole) {
		if !strings.Contains(line, id) {
			others.WriteString(line)
		}
	}
	for what, changed := range map[string]string{
		"a request is gone": others.String(),
		"a verdict":         strings.ReplaceAll(whole, `"action":"approved"`, `"action":"denied"`),
	} {
		write(filepath.Join(dir, "evidence", "ledger.jsonl"), changed)
		if out, err := shell(run[0][1]); err == nil || strings.Contains(out, "fine") || changed == whole {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
	// Policies of whom nobody knows.
	if out, err := shell("jitaccess ledger policies --export evidence/ledger.jsonl"); err == nil || !strings.Contains(out, "--fingerprints is missing") {
		t.Errorf("%v\n%s", err, out)
	}
	write(filepath.Join(dir, "strange.txt"), strings.Repeat("0", 64)+"\n")
	if out, err := shell("jitaccess ledger policies --export evidence/ledger.jsonl --fingerprints strange.txt"); err != nil || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
}

// contentOf is what is in a file.
func contentOf(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
