package relational_test

import (
	"fmt"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

// past is how many requests lie in the ledger that is measured.
const past = 100_000

// full is a home with so many requests, of 200 people, on 50 resources. The rows are
// as the ledger writes them; entries are written for few.
func full(b *testing.B, home rigged) {
	b.Helper()
	began := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	summary := `'{"id":"' || %[1]s || '","kind":"peers","principal":"person' || (n %% 200) || '@example.com","resource":"projects/p' || (n %% 50) ||
		'","entitlements":[{"resource":"projects/p","role":"roles/compute.admin"}],"justification":"incident ' || n || '","seconds":3600,` +
		`"created":"2025-01-01T00:00:00Z","expires":"2025-01-01T01:00:00Z"}'`
	id := `'mpa-' || substr('0000000000000000' || n, length('0000000000000000' || n) - 15)`
	series := `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ` + fmt.Sprint(past) + `) `
	text := fmt.Sprintf(summary, id)
	if home.numbered { // n is a number there, and joins no text by itself
		series = `WITH s(n) AS (SELECT generate_series(1, ` + fmt.Sprint(past) + `::bigint)) `
	}
	home.exec(b, `INSERT INTO requests (id, version, head, state, principal, resource, made, due, summary) `+series+
		`SELECT `+id+`, 1, '', CASE WHEN n % 100 = 0 THEN 'pending' ELSE 'expired' END, 'person' || (n % 200) || '@example.com', 'projects/p' || (n % 50),
		`+fmt.Sprint(began)+` + n * 60000000, 0, `+text+` FROM s`)
	home.exec(b, `INSERT INTO reviewers (request_id, principal, state, made) `+series+`SELECT `+id+`, 'person' || ((n + 1) % 200) || '@example.com',
		CASE WHEN n % 100 = 0 THEN 'pending' ELSE 'expired' END, `+fmt.Sprint(began)+` + n * 60000000 FROM s`)
	home.exec(b, "ANALYZE")
}

func BenchmarkLedger(b *testing.B) {
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		b.Run(name, func(b *testing.B) {
			c, home := newClock(), riggedHomes[name](b)
			full(b, home)
			s := store(b, home, c)
			b.Run("commit", func(b *testing.B) {
				for i := range b.N {
					if _, err := s.Commit(b.Context(), made(c, fmt.Sprintf("jit-%016d", time.Now().UnixNano()%1e15+int64(i))), nil); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("open", func(b *testing.B) {
				if _, err := s.Commit(b.Context(), made(c, "jit-AAAAAAAAAAAAAAAA"), nil); err != nil && !isConflict(err) {
					b.Fatal(err)
				}
				for b.Loop() {
					if _, err := s.Open(b.Context(), "jit-AAAAAAAAAAAAAAAA"); err != nil {
						b.Fatal(err)
					}
				}
			})
			for what, l := range map[string]access.Listing{
				"list all":                {},
				"list somebody's":         {Principal: "person7@example.com"},
				"list what waits":         {Reviewer: "person1@example.com", States: []access.State{access.Pending}},
				"list of a resource":      {Resource: "projects/p7"},
				"search that matches all": {Words: "incident"},
				"search that finds none":  {Words: "nothing like it"},
			} {
				b.Run(what, func(b *testing.B) {
					for b.Loop() {
						if _, err := s.List(b.Context(), l); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			b.Run("due", func(b *testing.B) {
				for b.Loop() {
					if _, err := s.Due(b.Context(), c.Now(), access.Due{}, 50); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func isConflict(err error) bool { return access.AsError(err).Kind == access.Conflict }

// BenchmarkVerifyLedger walks 1,000 requests with their signatures.
func BenchmarkVerifyLedger(b *testing.B) {
	c, home := newClock(), sqlite(b)
	s := store(b, home, c)
	for i := range 1000 {
		if _, err := s.Commit(b.Context(), made(c, fmt.Sprintf("mpa-%016d", i)), nil); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if report, err := ledger.Verify(b.Context(), home, keys(b, secret)); err != nil || len(report.Findings) > 0 {
			b.Fatal(report, err)
		}
	}
}
