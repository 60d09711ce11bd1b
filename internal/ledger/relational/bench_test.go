package relational_test

import (
	"fmt"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker/storetest"
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
			storetest.Bench(b, store(b, home, c), c.Now, func(id string) access.Event { return made(c, id) })
		})
	}
}

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
