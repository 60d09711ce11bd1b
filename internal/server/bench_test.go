package server_test

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/server"
)

func TestMain(m *testing.M) { ledgertest.Main(asDescribed{m}) }

// filled is a service whose ledger has 100,000 past and 1,000 pending requests, of 200 people
// on 50 projects; ana has made every tenth, and ben was asked for every tenth. What autovacuum has
// not been by yet with its usual settings, a fifth and 1,000 rows, are the newest.
func filled(b *testing.B, name string) (h http.Handler, id string) {
	b.Helper()
	var home *relational.Database
	var rows *sql.DB
	var err error
	series, tidied := "WITH RECURSIVE s(n) AS (SELECT %d UNION ALL SELECT n + 1 FROM s WHERE n < %d) ", "ANALYZE"
	switch name {
	case "SQLite":
		path := filepath.Join(b.TempDir(), "jitaccess.db")
		if home, err = relational.SQLite(path); err == nil {
			rows, err = sql.Open("sqlite", path)
		}
	case "PostgreSQL":
		c := ledgertest.PostgreSQL(b)
		address := c.URL(ledgertest.Superuser, c.Database(b, ""))
		if home, err = relational.PostgreSQL(address, nil); err == nil {
			rows, err = sql.Open("pgx", address)
		}
		series, tidied = "WITH s(n) AS (SELECT generate_series(%d, %d::bigint)) ", "VACUUM ANALYZE"
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { home.Close(); rows.Close() })
	if err := home.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	exec := func(text string) {
		b.Helper()
		if _, err := rows.ExecContext(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
	const (
		number = `substr('0000000000000000' || n, length('0000000000000000' || n) - 15)`
		person = `CASE WHEN n % 10 = 0 THEN 'ana.ito@example.com' ELSE 'person' || (n % 200) || '@example.com' END`
		asked  = `CASE WHEN n % 10 = 1 THEN 'ben.okafor@example.com' ELSE 'person' || ((n + 1) % 200) || '@example.com' END`
		state  = `CASE WHEN n % 101 = 0 THEN 'pending' WHEN n % 7 = 0 THEN 'denied' ELSE 'expired' END`
	)
	began := noon.Add(-101_000 * time.Minute).UnixMicro()
	fill := func(first, last int) {
		b.Helper()
		series := fmt.Sprintf(series, first, last)
		exec(`INSERT INTO requests (id, version, head, state, principal, resource, made, due, summary) ` + series +
			`SELECT 'mpa-' || ` + number + `, 3, '', ` + state + `, ` + person + `, 'projects/acme-p' || (n % 50), ` + fmt.Sprint(began) + ` + n * 60000000, 0,
			'{"id":"mpa-' || ` + number + ` || '","kind":"peers","principal":"' || ` + person + ` || '","resource":"projects/acme-p' || (n % 50) || '",` +
			`"entitlements":[{"resource":"projects/acme-p' || (n % 50) || '","role":"roles/compute.admin"}],"justification":"incident ' || n || '",` +
			`"seconds":3600,"reviewers":["' || ` + asked + ` || '"],"created":"2026-09-13T00:00:00Z","expires":"2027-01-01T01:00:00Z",` +
			`"state":"' || ` + state + ` || '","version":3}' FROM s`)
		exec(`INSERT INTO reviewers (request_id, principal, state, made) ` + series +
			`SELECT 'mpa-' || ` + number + `, ` + asked + `, ` + state + `, ` + fmt.Sprint(began) + ` + n * 60000000 FROM s`)
	}
	fill(1, 83_000)
	exec(tidied)
	fill(83_001, 101_000)
	keys, err := ledger.NewKeys(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	w := newWorld(b)
	w.Random, w.Auditors = rand.Reader, []string{"user:" + string(eve)}
	w.Ledger = ledger.New(ledger.Config{Home: home, Signer: keys, Now: func() time.Time { return w.Clock }, Random: rand.Reader})
	w.Broker = w.World.World.Broker()
	h, _ = serve(b, w, func(c *server.Config) {
		clock := w.Clock
		c.Now = func() time.Time { clock = clock.Add(50 * time.Millisecond); return clock } // nobody is too fast
	})
	return h, someRequest(b, h, "the newest")
}

// BenchmarkPages is what pages take of our own time, with 1,000 pending and 100,000 past
// requests: nobody is asked but the ledger, on this machine. It is to be under 50 ms;
// exports are of everything.
func BenchmarkPages(b *testing.B) {
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		b.Run(name, func(b *testing.B) {
			h, id := filled(b, name)
			for _, c := range []struct {
				what   string
				who    access.Principal
				target string
			}{
				{"home", ana, "/"}, {"home of a reviewer", ben, "/"}, {"requests", ana, "/requests"}, {"requests that wait", ana, "/requests?state=pending"},
				{"active requests", ana, "/requests?state=active"}, {"reviews", ben, "/reviews"}, {"request", ana, "/requests/" + id},
				{"history", eve, "/history"}, {"history of a project", eve, "/history?resource=acme-p7"},
				{"history of a person", eve, "/history?person=ana.ito@example.com"}, {"history of a state", eve, "/history?state=pending"},
				{"history of a person and a state", eve, "/history?person=ana.ito@example.com&state=active"},
				{"history of a project and a state", eve, "/history?resource=acme-p7&state=failed"},
				{"history of a role", eve, "/history?role=roles/compute.admin"}, {"history of words", eve, "/history?q=incident"},
				{"history of words that nobody wrote", eve, "/history?q=nothing"},
				{"history of days", eve, "/history?from=2026-10-01&to=2026-10-02"}, {"history of a time to come", eve, "/history?from=2027-01-01"},
				{"month", eve, "/history/month?month=2026-10"}, {"own month", ana, "/history/month?month=2026-10"},
				{"month that is", eve, "/history/month?month=2026-11"},
				{"export as CSV", eve, "/history.csv"}, {"export as JSON", eve, "/history.json?q=incident"},
			} {
				b.Run(c.what, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if answer := asPage(h, c.who, c.target, nil); answer.Code != 200 {
							b.Fatal(answer.Code, answer.Body)
						}
					}
				})
			}
		})
	}
}
