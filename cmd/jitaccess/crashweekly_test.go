package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/sandbox/google"
)

// week is what sweeps do of the weekly reconciliation, each in a process of its own, which sweeps at
// once and then not for a minute, and before which step that is over.
var week = []struct{ deed, over string }{
	{"look at everything", "lease: release"},
	{"look again", "lease: release"},
	{"tell administrators", "outbox: drop"},
}

// notifyingReconciled is the step that tells them.
const notifyingReconciled = "notify: " + string(access.NoticeReconciled)

// weekBegins is a ledger of its own, a week after its last reconciliation, and something stands that
// nobody remembers.
func (c *crashes) weekBegins(name string) {
	c.t.Helper()
	path := filepath.Join(filepath.Dir(c.trace), name+".db")
	home, err := relational.SQLite(path)
	if err != nil {
		c.t.Fatal(err)
	}
	c.open("sqlite:"+path, home, home.Migrate)
	c.ahead.Store(0)
	c.pass(0)
	ago := c.now().Add(-8 * 24 * time.Hour)
	if err := c.store.KeepReconciliation(context.Background(), access.Reconciliation{At: ago, Round: access.Round{Began: ago, Ended: ago}}); err != nil {
		c.t.Fatal(err)
	}
}

// begun are the steps that were begun since the first so many.
func (c *crashes) begun(since int) (all []string) {
	text, _ := os.ReadFile(c.trace)
	for line := range strings.Lines(string(text)) {
		all = append(all, strings.TrimSpace(line))
	}
	return all[min(since, len(all)):]
}

// reconciles plays the week up to a deed in which the process ends before a step, and returns the
// steps of each deed.
func (c *crashes) reconciles(at, in string) (steps map[string][]string) {
	c.t.Helper()
	steps = map[string][]string{}
	for _, w := range week {
		before, ends := len(c.begun(0)), "none"
		if w.deed == in {
			ends = at
		}
		c.start(ends)
		c.eventually(w.deed, func() bool { return c.died() || slices.Contains(c.begun(before), w.over) })
		steps[w.deed] = c.begun(before)
		if w.deed == in {
			c.eventually("the process ends", c.died)
			return steps
		}
		c.kill()
		c.pass(time.Minute)
	}
	return steps
}

// known is what the ledger has of the reconciliation.
func (c *crashes) known() (is string, r access.Reconciliation) {
	c.t.Helper()
	r, err := c.store.Reconciliation(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	switch {
	case r.Last.Ended.After(r.Last.Began):
		return "ended", r
	case r.UnderWay():
		return "begun", r
	}
	return "–", r
}

// crashWeekly ends the process before each step of the weekly reconciliation, starts it again, and
// holds what then comes of it against what should: it ends, all was looked at, administrators are told
// of what was found, and nothing else is done about it.
func (c *crashes) crashWeekly() (rows string) {
	c.weekly = true
	c.tidy(project, "data-warehouse-prod")
	c.bind("projects/"+project, func(all []google.Binding) []google.Binding {
		return append(all, google.Binding{Role: "roles/logging.viewer", Members: []string{"user:carol@example.com"},
			Condition: &google.Condition{Title: "JIT access activation", Description: "for ever", Expression: `resource.name != ""`}})
	})
	standing := func() string {
		text, err := json.Marshal(c.policy("projects/" + project).Bindings)
		if err != nil {
			c.t.Fatal(err)
		}
		return string(text)
	}
	stands := standing()
	c.weekBegins("none")
	steps := c.reconciles("", "")
	for _, w := range week {
		for i, at := range steps[w.deed] {
			c.weekBegins(fmt.Sprintf("%s %d", w.deed, i))
			before := len(c.begun(0))
			c.reconciles(at, w.deed)
			then, _ := c.known()
			rows += fmt.Sprintf("| %s | %s | %s |\n", at, w.deed, then)
			c.start("")
			told := func() (n int) {
				for _, step := range c.begun(before) {
					if step == notifyingReconciled || strings.HasPrefix(step, notifyingReconciled+" #") {
						n++
					}
				}
				return n
			}
			want := 1
			if at == notifyingReconciled || at == "outbox: drop" { // it had begun
				want = 2
			}
			for passed := 0; told() < want || !c.quiet(); passed++ {
				if passed > 20 {
					c.t.Fatalf("%s, %s: it does not end, told %d\n%s", w.deed, at, told(), c.log)
				}
				c.minute()
			}
			c.minute()
			is, r := c.known()
			if is != "ended" || !r.Last.Whole() || r.Last.Differences != 1 || told() != want {
				c.t.Errorf("%s, %s: %s, %+v, told %d, want %d", w.deed, at, is, r, told(), want)
			}
			if now := standing(); now != stands {
				c.t.Errorf("%s, %s: what stands was %s, and is %s", w.deed, at, stands, now)
			}
			c.kill()
		}
	}
	return rows
}

// minute lets a minute pass, and waits until a sweep of then is over, with what follows it.
func (c *crashes) minute() {
	c.t.Helper()
	c.pass(time.Minute)
	var first time.Time
	since := c.now()
	c.eventually("two sweeps", func() bool {
		last, err := c.store.LastSweep(context.Background())
		if err != nil || last.Before(since) {
			return false
		}
		if first.IsZero() {
			first = last
		}
		return last.After(first)
	})
}

// TestTheProcessMayEndWhileItReconciles is the crash matrix of the weekly reconciliation.
func TestTheProcessMayEndWhileItReconciles(t *testing.T) {
	dir := t.TempDir()
	c := &crashes{world: newWorld(t, surroundings{}), binary: failpoints(t), trace: filepath.Join(dir, "trace"), clock: filepath.Join(dir, "clock"),
		rules: filepath.Join(dir, "policy.yaml")}
	if err := os.WriteFile(c.rules, []byte(crashRules), 0o600); err != nil {
		t.Fatal(err)
	}
	documented(t, "crash matrix of the weekly reconciliation", "| ended before | during | then it has |\n|---|---|---|\n"+c.crashWeekly())
}
