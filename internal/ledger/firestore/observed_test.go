package firestore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/firestore"
	"jitaccess/internal/outbound"
)

// Whoever looks is told of each read and write, by the names that the other homes have, once however
// often it is tried, and that it failed only where the database did.
func TestReadsAndWritesAreObserved(t *testing.T) {
	const id = "mpa-0000000000000001"
	fails := func(code int, status string) string {
		return fmt.Sprintf(`{"error":{"code":%d,"status":%q,"message":"x"}}`, code, status)
	}
	layout := `{"name":"projects/jit-test/databases/ledger/documents/requests/-` + id + `","updateTime":"2026-03-01T12:00:00Z","fields":{}}`
	reads := func(ctx context.Context, d *firestore.Database) error { _, err := d.LastSweep(ctx); return err }
	writes := func(ctx context.Context, d *firestore.Database) error { return d.Swept(ctx, newClock().Now()) }
	makes := func(ctx context.Context, d *firestore.Database) error {
		return d.Put(ctx, ledger.Write{Row: ledger.Row{ID: id, Version: 1}})
	}
	enough := errors.New("enough")
	for what, c := range map[string]struct {
		status int
		answer string
		do     func(context.Context, *firestore.Database) error
		calls  int
		want   []string
		// is is the error, if it is one of a kind.
		succeeds bool
		is       error
	}{
		"a read":                          {200, `[{"readTime":"2026-03-01T12:00:00Z"}]`, reads, 1, []string{"database read 200"}, true, nil},
		"a read that fails twice":         {503, fails(503, "UNAVAILABLE"), reads, 2, []string{"database read 0"}, false, nil},
		"a read of which no answer comes": {200, "<html>", reads, 1, []string{"database read 0"}, false, nil},
		"a write":                         {200, `{"commitTime":"2026-03-01T12:00:00Z"}`, writes, 1, []string{"database write 200"}, true, nil},
		"a write that others meet":        {409, fails(409, "ABORTED"), writes, 5, []string{"database write 0"}, false, nil},
		"a write that somebody else was quicker with": {409, fails(409, "ALREADY_EXISTS"), makes, 1, []string{"database write 200"}, false, ledger.ErrChanged},
		"a write into a database that is not there": {404, fails(404, "NOT_FOUND"), makes, 2,
			[]string{"database read 0", "database write 0"}, false, nil},
		"more than a write can have": {200, "", func(ctx context.Context, d *firestore.Database) error {
			return d.Put(ctx, ledger.Write{Row: ledger.Row{ID: id, Version: 1}, Kept: make([]ledger.Kept, 500)})
		}, 0, []string{"database write 200"}, false, nil},
		"a read that had enough": {200, `[{"document":` + layout + `},{"document":` + layout + `}]`, func(ctx context.Context, d *firestore.Database) error {
			return d.Walk(ctx, func(ledger.Record) error { return enough })
		}, 1, []string{"database read 200"}, false, enough},
	} {
		t.Run(what, func(t *testing.T) {
			d, calls := answering(t, c.status, c.answer)
			var told []string
			ctx := outbound.WithObserver(t.Context(), func(_ context.Context, api, what string) func(int) {
				return func(status int) { told = append(told, fmt.Sprint(api, " ", what, " ", status)) }
			})
			err := c.do(ctx, d)
			if (err == nil) != c.succeeds || c.is != nil && !errors.Is(err, c.is) {
				t.Error(err)
			}
			if !slices.Equal(told, c.want) || *calls != c.calls {
				t.Errorf("told %q of %d calls, want %q of %d", told, *calls, c.want, c.calls)
			}
		})
	}
}
