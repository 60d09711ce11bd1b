package doctor_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/doctor"
)

func TestWhenAllWasReconciledLast(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	ended := func(r access.Round) access.Reconciliation {
		r.Began, r.Ended = at, at.Add(time.Minute)
		return access.Reconciliation{Round: r, Last: r}
	}
	first := access.Round{Began: at}
	const admins, check = "user:dan@example.com", " weekly reconcile: "
	for name, c := range map[string]struct {
		admins string
		memory doctor.Memory
		want   []string
	}{
		"there is no ledger yet":  {admins, doctor.Memory{Unmade: true, Weekly: true}, nil},
		"it is off":               {admins, doctor.Memory{}, []string{"warning " + check + "WEEKLY_RECONCILE is false"}},
		"the service never swept": {admins, doctor.Memory{Weekly: true}, []string{"ok      " + check + "the service has not swept"}},
		"the first is to come": {admins, doctor.Memory{Weekly: true, Reconciliation: access.Reconciliation{Round: access.Round{Began: at, Ended: at}}},
			[]string{"ok      " + check + "there was none yet; the first is a week after 2026-03-01T10:00:00Z"}},
		"the first goes on": {admins, doctor.Memory{Weekly: true, Reconciliation: access.Reconciliation{Round: first}},
			[]string{"ok      " + check + "the first is under way since 2026-03-01T10:00:00Z"}},
		"all is well": {admins, doctor.Memory{Weekly: true, Reconciliation: ended(access.Round{Looked: 7})},
			[]string{"ok      " + check + "the last ended 2026-03-01T10:01:00Z, looked at 7 resources and found all as it is remembered"}},
		"some differ": {admins, doctor.Memory{Weekly: true, Reconciliation: ended(access.Round{Differences: 3})},
			[]string{"warning " + check + "the last ended 2026-03-01T10:01:00Z and found 3 differences; run: jitaccess reconcile"}},
		"some could not be read": {admins, doctor.Memory{Weekly: true, Reconciliation: ended(access.Round{Looked: 7, Unread: 2})},
			[]string{"warning " + check + "the last, which ended 2026-03-01T10:01:00Z, has not looked at everything: 7 resources were looked at, and 2 could not be read"}},
		"some differ, and the rest was left": {admins, doctor.Memory{Weekly: true, Reconciliation: ended(access.Round{Differences: 3, Short: true})},
			[]string{"warning " + check + "the last ended", "warning " + check + "the last, which ended"}},
		"nobody can be told": {"claim:operators", doctor.Memory{Weekly: true, Reconciliation: ended(access.Round{})},
			[]string{"ok      " + check, "warning " + check + "ADMINS names no person and no group"}},
	} {
		got := world{change: func(d *doctor.Config) {
			d.Settings.Requests.Admins = strings.Split(c.admins, ",")
			d.Ledger = func(context.Context) (doctor.Memory, error) { return c.memory, nil }
		}}.examine(t)
		got = slices.DeleteFunc(got, func(line string) bool { return !strings.Contains(line, check) })
		if len(got) != len(c.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i, line := range got {
			if !strings.HasPrefix(line, c.want[i]) {
				t.Errorf("%s: %s, want %s", name, line, c.want[i])
			}
		}
	}
}
