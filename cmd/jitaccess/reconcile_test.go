package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/journal"
	"jitaccess/internal/sandbox/google"
)

func reconcile(t *testing.T, env func(string) string, args ...string) (int, reconciled, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(context.Background(), append([]string{"reconcile", "--json"}, args...), env, &out, &errs)
	var report reconciled
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
	}
	return code, report, errs.String()
}

// kinds are what differs, and where.
func (r reconciled) kinds() string {
	var all []string
	for _, d := range r.Differences {
		all = append(all, strings.TrimSpace(string(d.Kind)+" "+d.ID))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// onDisk has the service of a world remember, on a machine with a disk.
func onDisk(w *world, path string) map[string]string {
	return map[string]string{"K_SERVICE": "", "DATABASE_URL": "sqlite:" + path,
		"IAP_AUDIENCE": "/projects/" + w.cloud.ProjectNumber() + "/locations/" + w.cloud.Region() + "/services/jitaccess"}
}

// tidy takes out the grants that lie in the sandbox from before.
func (w *world) tidy(projects ...string) {
	for _, p := range projects {
		w.bind("projects/"+p, func(all []google.Binding) []google.Binding {
			return slices.DeleteFunc(all, func(b google.Binding) bool { return b.Condition != nil && b.Condition.Title == "JIT access activation" })
		})
	}
}

// Once a week the service holds all that stands against what it remembers, and mails its administrators
// what differs: once, whatever the number of instances and whether they are started anew.
func TestOnceAWeekAdministratorsAreTold(t *testing.T) {
	w := newWorld(t, surroundings{inStep: true, byHand: true})
	w.tidy(project, "data-warehouse-prod")
	disk := onDisk(w, filepath.Join(t.TempDir(), "jitaccess.db"))
	disk["ADMINS"] = "user:erin@example.com"
	w.restart(disk)
	minute := func() access.Reconciliation {
		t.Helper()
		s := w.running()
		w.pass(time.Minute)
		s.sweeper.reconcile(t.Context())
		if _, err := s.sweeper.sweep(t.Context(), broker.SweepCount); err != nil {
			t.Fatal(err)
		}
		r, err := s.sweeper.ledger.Reconciliation(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	letters := func() (all []letter) {
		for _, m := range w.mail.Messages() {
			if l := readLetter(t, m.Data); strings.Contains(l.subject, "what is remembered") || strings.Contains(l.subject, "could not look at everything") {
				all = append(all, l)
			}
		}
		return all
	}
	week := func() access.Round {
		t.Helper()
		w.pass(7 * 24 * time.Hour)
		began := w.now()
		for range 20 {
			if r := minute(); r.Last.Ended.After(began) {
				minute() // the mail is sent by the next sweep
				return r.Last
			}
		}
		t.Fatal("it does not end")
		return access.Round{}
	}
	minute()
	if r := week(); r.Looked < 10 || !r.Whole() || r.Differences != 0 || len(letters()) != 0 {
		t.Fatalf("as it is: %+v, %d letters", r, len(letters()))
	}
	w.bind("projects/"+project, func(all []google.Binding) []google.Binding {
		return append(all, google.Binding{Role: "roles/logging.viewer", Members: []string{"user:carol@example.com"},
			Condition: &google.Condition{Title: "JIT access activation", Description: "for ever", Expression: "resource.name != \"\""}})
	})
	if r := week(); r.Differences != 1 || len(letters()) != 1 {
		t.Fatalf("%+v, %d letters", r, len(letters()))
	}
	if l := letters()[0]; l.subject != "1 difference between access that stands and what is remembered" ||
		!strings.Contains(l.text, "carol@example.com") || !strings.Contains(l.text, project) || !strings.Contains(l.text, "roles/logging.viewer") {
		t.Errorf("%s\n%s", l.subject, l.text)
	}
	if !w.logged(`"event":"ledger.reconcile"`, `"differences":"1"`) {
		t.Error("it is not in the log")
	}
	health := w.call("", "GET", "/health/ready", "")
	if health.status != 200 || !strings.Contains(health.body, `"GrantsAreAsRecorded":false`) || !strings.Contains(health.body, `"ReconcileIsCurrent":true`) {
		t.Errorf("%d %s", health.status, health.body)
	}
	w.restart(nil)
	for range 3 {
		minute()
	}
	if len(letters()) != 1 {
		t.Errorf("started anew, it tells again: %d letters", len(letters()))
	}
	// What cannot be read is no reason to say that nothing was found.
	w.tidy(project)
	w.cloud.Faults().Add(google.Fault{Method: "POST", Path: "/v3/projects/data-warehouse-prod:getIamPolicy", Status: 403})
	if r := week(); r.Unread != 1 || r.Differences != 0 || len(letters()) != 2 || !strings.Contains(letters()[1].text, "1 resource could not be read.") {
		t.Errorf("%+v, %d letters", r, len(letters()))
	}
	// And it can be turned off.
	w.restart(map[string]string{"WEEKLY_RECONCILE": "false"})
	w.pass(30 * 24 * time.Hour)
	before := minute()
	if r := minute(); r.Step != before.Step {
		t.Errorf("it is off: %+v", r)
	}
	// Where machines alone are served, it is left to the other service with that ledger.
	w.restart(map[string]string{"WEEKLY_RECONCILE": "true", "SERVE": "machines", "MACHINES_URL": w.public})
	if r := minute(); r.Step != before.Step {
		t.Errorf("machines alone are served: %+v", r)
	}
}

// The command, against the sandbox's Google, with a ledger and without.
func TestReconcile(t *testing.T) {
	w := newWorld(t, surroundings{})
	w.tidy(project, "data-warehouse-prod")
	if code, report, errs := reconcile(t, w.env(nil)); code != exitOK || report.Projects < 10 || report.kinds() != "" {
		t.Errorf("as it is: %d, %+v, %s", code, report, errs)
	}
	w.restart(onDisk(w, filepath.Join(t.TempDir(), "jitaccess.db")))
	ref, id := w.ask()
	w.decide(bob, ref, "approve", "")
	if w.live(id) != 1 {
		t.Fatal("not granted")
	}
	if code, report, errs := reconcile(t, w.env(nil), "--project", project); code != exitOK || report.Projects != 1 {
		t.Errorf("as it was granted: %d, %+v, %s", code, report, errs)
	}
	// Somebody with the policy in hand. The service would take in what it finds meanwhile.
	w.stop()
	text := func(from, until time.Duration) string {
		return boundBy1x("", "", "", w.now().Add(from), w.now().Add(until)).Condition.Expression
	}
	w.bind("projects/"+project, func(all []google.Binding) []google.Binding {
		for i, b := range all {
			if b.Condition != nil && strings.Contains(b.Condition.Description, id) {
				all[i].Condition.Expression = text(0, 100*time.Hour)
			}
		}
		return append(all, google.Binding{Role: "roles/logging.viewer", Members: []string{"user:carol@example.com"},
			Condition: &google.Condition{Title: "JIT access activation", Description: "Self-approved, justification: x [jit-AAAAAAAAAAAAAAAA]",
				Expression: text(-time.Minute, time.Hour)}},
			google.Binding{Role: "roles/logging.viewer", Members: []string{"user:carol@example.com"},
				Condition: &google.Condition{Title: "JIT access activation", Description: "for ever", Expression: "resource.name != \"\""}},
			google.Binding{Role: "roles/cloudsql.admin", Members: []string{"user:alice@example.com"}})
	})
	code, report, errs := reconcile(t, w.env(nil))
	want := "imitation, not-remembered jit-AAAAAAAAAAAAAAAA, other-window " + id + ", pointless, too-long " + id
	if code != exitFailure || report.kinds() != want {
		t.Errorf("%d, %s, want %s; %s", code, report.kinds(), want, errs)
	}
	for _, d := range report.Differences {
		if d.What == "" || d.Next == "" || d.Project != project {
			t.Errorf("%+v", d)
		}
	}
	var table bytes.Buffer
	if code := run(context.Background(), []string{"reconcile"}, w.env(nil), &table, &bytes.Buffer{}); code != exitFailure ||
		!strings.Contains(table.String(), "not-remembered") || !strings.Contains(table.String(), "; next: ") || !strings.Contains(table.String(), " differences; 0 could not be read") {
		t.Errorf("%d, %s", code, table.String())
	}
	// At a terminal the lines of the log, of which a job has some, are not between people and the table.
	var job bytes.Buffer
	if run(context.Background(), []string{"reconcile"}, w.env(nil), &table, &job); !strings.Contains(job.String(), `{"severity":`) {
		t.Errorf("of a job: %s", job.String())
	}
	terminal, shown := openTerminal(t)
	if code := run(context.Background(), []string{"reconcile"}, w.env(nil), terminal, terminal); code != exitFailure {
		t.Errorf("%d", code)
	}
	if text := shown(); strings.Contains(text, "{") || !strings.Contains(text, "not-remembered") || !strings.Contains(text, " differences; 0 could not be read") {
		t.Errorf("at a terminal:\n%s", text)
	}
	// What cannot be read hides nothing, and is no difference.
	w.cloud.Faults().Add(google.Fault{Method: "POST", Path: "/v3/projects/data-warehouse-prod:getIamPolicy", Status: 403})
	code, report, _ = reconcile(t, w.env(nil))
	if code != exitUsage || report.kinds() != want || len(report.Unread) != 1 || !strings.Contains(report.Unread[0], "data-warehouse-prod") {
		t.Errorf("%d, %s, %v", code, report.kinds(), report.Unread)
	}
	var stderr bytes.Buffer
	for what, args := range map[string][]string{"an argument": {"reconcile", "all"}, "no project": {"reconcile", "--project", "../x"}} {
		if code := run(context.Background(), args, w.env(nil), &stderr, &stderr); code != exitUsage {
			t.Errorf("%s: %d", what, code)
		}
	}
	if code := run(context.Background(), []string{"reconcile"}, func(string) string { return "" }, &stderr, &stderr); code != exitUsage {
		t.Errorf("no settings: %d", code)
	}
}

// openTerminal is a terminal of Linux (pts(4)); shown closes it and is what it has shown.
func openTerminal(t *testing.T) (terminal *os.File, shown func() string) {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var locked, number int32
	for request, at := range map[uintptr]*int32{syscall.TIOCSPTLCK: &locked, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, far.Fd(), request, uintptr(unsafe.Pointer(at))); errno != 0 {
			t.Fatal(errno)
		}
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	if !isTerminal(terminal) {
		t.Fatal("it is none")
	}
	text := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(far) // ends with EIO once nobody has the terminal open
		text <- string(all)
	}()
	return terminal, func() string {
		terminal.Close()
		defer far.Close()
		return <-text
	}
}

// someReconciling is a broker that finds something, or cannot.
type someReconciling struct {
	unread map[access.Resource]error
	unseen error
	done   int
}

func (s *someReconciling) Resources(context.Context, access.Caller) ([]access.ResourceInfo, []*access.Error, error) {
	return []access.ResourceInfo{{Resource: "projects/a"}, {Resource: "projects/b"}}, nil, nil
}

func (s *someReconciling) Reconcile(_ context.Context, _ access.Caller, on access.Resource) (broker.Reconciled, error) {
	return broker.Reconciled{Differences: []access.Difference{{Kind: access.TooLong, ID: "mpa-1", Resource: on}}}, s.unread[on]
}

func (s *someReconciling) NotStanding(context.Context, access.Caller, map[access.Resource]broker.Reconciled) ([]access.Difference, error) {
	return []access.Difference{{Kind: access.NotStanding, ID: "mpa-2", Resource: "projects/a"}}, s.unseen
}

func (s *someReconciling) HasReconciled(context.Context, access.Caller) error {
	s.done++
	return nil
}

// Only who has read everything takes a doubt back; where the quota is spent it waits.
func TestARunOfReconcileTakesADoubtBackWhenItHasReadEverything(t *testing.T) {
	down := &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	for what, c := range map[string]struct {
		broker      someReconciling
		project     access.Resource
		differences int
		unread      int
		done        int
	}{
		"all":                    {someReconciling{}, "", 3, 0, 1},
		"one project":            {someReconciling{}, "projects/a", 1, 0, 0},
		"a project":              {someReconciling{unread: map[access.Resource]error{"projects/b": down}}, "", 3, 1, 0},
		"the ledger":             {someReconciling{unseen: down}, "", 3, 1, 0},
		"the quota, for a while": {someReconciling{unread: map[access.Resource]error{"projects/a": &access.Error{Kind: access.TooMany, Code: access.CodeQuota}}}, "", 3, 1, 0},
	} {
		waits := 0
		r := reconciliation{broker: &c.broker, on: c.project, stderr: io.Discard,
			sleep: func(context.Context, time.Duration) error { waits++; return nil }}
		report := r.run(t.Context())
		if len(report.Differences) != c.differences || len(report.Unread) != c.unread || c.broker.done != c.done {
			t.Errorf("%s: %+v, taken back %d", what, report, c.broker.done)
		}
		if (waits > 0) != strings.Contains(what, "quota") {
			t.Errorf("%s: waited %d times", what, waits)
		}
	}
	for kind, m := range meanings {
		if m.what == "" || m.next == "" {
			t.Errorf("%s has no words", kind)
		}
	}
}

// At a terminal people see the table, and of the log what warns, in text; a job keeps its lines.
func TestTheLogOfReconcileIsForWhoReadsIt(t *testing.T) {
	for _, test := range []struct {
		name     string
		log      func(*slog.Logger)
		terminal string
		job      int
	}{
		{"what goes well", func(l *slog.Logger) { l.Info("policy taken"); l.Debug("x") }, "", 1},
		{"a warning", func(l *slog.Logger) { l.Warn("PUBLIC_URL is not set", "event", "runtime.startup") }, "warning: PUBLIC_URL is not set\n", 1},
		{"with a cause", func(l *slog.Logger) { l.Warn("no mail", "error", errors.New("refused")) }, "warning: no mail: refused\n", 1},
		{"with one of ours", func(l *slog.Logger) {
			l.Error("no answer", "error", &access.Error{Kind: access.Unavailable, Code: access.CodeQuota, Err: errors.New("spent")})
		}, "error: no answer: unavailable: quota: spent\n", 1},
		{"several", func(l *slog.Logger) { l.Warn("a"); l.Info("b"); l.Error("c") }, "warning: a\nerror: c\n", 3},
		{"what would move the cursor", func(l *slog.Logger) { l.Warn("a\x1b[2J\nb") }, "warning: a[U+001B][2J b\n", 1},
	} {
		for _, terminal := range []bool{true, false} {
			var out bytes.Buffer
			test.log(slog.New(journal.New(logTo(&out, terminal), "").Handler(slog.LevelInfo)))
			if terminal && out.String() != test.terminal {
				t.Errorf("%s: %q, not %q", test.name, out.String(), test.terminal)
			}
			if lines := strings.Count(out.String(), "\n"); !terminal && (lines != test.job || !strings.HasPrefix(out.String(), `{"severity":`)) {
				t.Errorf("%s, of a job: %s", test.name, out.String())
			}
		}
	}
	var out bytes.Buffer
	if _, err := logTo(&out, true).Write([]byte("panic: no line of the log\n")); err != nil || out.String() != "panic: no line of the log\n" {
		t.Errorf("%v, %q", err, out.String())
	}
}
