package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
	// Somebody with the policy in hand.
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
