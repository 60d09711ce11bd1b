package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
)

// pastRequests is how many requests lie in a ledger that is measured.
const pastRequests = 100_000

// fullLedger is a database in SQLite with so many requests of the colleagues that are over.
// Each is a copy of one that the ledger itself has written, as large and under an id of its own;
// that its signatures are another's is seen by nobody who does not open it.
func fullLedger(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "jitaccess.db")
	home, err := relational.SQLite(path)
	if err == nil {
		err = home.Migrate(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	secret, _ := base64.StdEncoding.DecodeString(crashKey)
	keys, err := ledger.NewKeys(secret)
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now().UTC().Truncate(time.Second).Add(-200 * 24 * time.Hour)
	at := began
	s := ledger.New(ledger.Config{Home: home, Signer: keys, Now: func() time.Time { return at }, Random: rand.Reader})
	const first = "mpa-0000000000000000"
	id := access.EntitlementID{Resource: "projects/" + project, Role: "roles/compute.admin"}
	who, other := access.Principal(colleague(0)), access.Principal(colleague(1))
	r := access.Request{ID: first, Kind: access.Peers, Principal: who, Resource: id.Resource, Entitlements: []access.EntitlementID{id},
		Justification: "Orders are stuck since the release of this morning", Duration: time.Hour, Reviewers: []access.Principal{other},
		Created: at, Expires: at.Add(24 * time.Hour)}
	window := access.Window{Start: at, End: at.Add(time.Hour)}
	for _, e := range []access.Event{
		{Action: access.RequestMade, Caller: access.Caller{Principal: who, Subject: "1", Method: "iap"}},
		{Action: access.RequestApproved, Caller: access.Caller{Principal: other, Subject: "2", Method: "iap"}, Window: window,
			Requirements: []access.Requirement{{Count: 1, From: []string{access.FromPeers}}},
			Decision:     access.Decision{Verdict: access.Approve, By: other, At: at, Digest: r.Digest()}},
		{Action: access.GrantWritten, Caller: access.Caller{Principal: other, Subject: "2", Method: "iap"}, Window: window,
			Outcomes: []access.Outcome{{Entitlement: id, Result: access.Granted, Window: window}}},
		{Action: access.GrantExpired, Caller: access.Caller{Method: access.MethodSystem}},
	} {
		if e.Action == access.GrantExpired {
			at = at.Add(2 * time.Hour)
		}
		e.At, e.Request = at, r
		if _, err := s.Commit(context.Background(), e, nil); err != nil {
			b.Fatal(err)
		}
		if r, err = s.Open(context.Background(), first); err != nil {
			b.Fatal(err)
		}
	}
	if r.State != access.Expired {
		b.Fatalf("it is %s", r.State)
	}
	if err := home.Close(); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	const series = `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d) `
	const number = `'mpa-' || substr('0000000000000000' || n, -16)`
	const principal = `printf('colleague-%%03d@example.com', n %% %d)`
	for _, statement := range []string{
		fmt.Sprintf(series+`INSERT INTO requests (id, version, head, state, principal, resource, made, due, summary)
			SELECT `+number+`, version, head, state, `+principal+`, resource, made + n * 150000000, 0,
			replace(replace(summary, '%s', `+number+`), '%s', `+principal+`) FROM requests, s WHERE id = '%s'`,
			pastRequests, colleagues, first, who, colleagues, first),
		fmt.Sprintf(series+`INSERT INTO events (request_id, version, body, algorithm, key_id, public_key, signature)
			SELECT `+number+`, version, body, algorithm, key_id, public_key, signature FROM events, s WHERE request_id = '%s'`, pastRequests, first),
		fmt.Sprintf(series+`INSERT INTO parts (request_id, version, place, person, salt, content)
			SELECT `+number+`, version, place, person, salt, content FROM parts, s WHERE request_id = '%s'`, pastRequests, first),
		fmt.Sprintf(series+`INSERT INTO reviewers (request_id, principal, state, made)
			SELECT `+number+`, printf('colleague-%%03d@example.com', (n + 1) %% %d), state, made + n * 150000000 FROM reviewers, s WHERE request_id = '%s'`,
			pastRequests, colleagues, first),
		"PRAGMA wal_checkpoint(TRUNCATE)",
	} {
		if _, err := db.Exec(statement); err != nil {
			b.Fatalf("%v: %s", err, statement)
		}
	}
	var n int
	if err := db.QueryRow("SELECT COUNT(*) FROM requests").Scan(&n); err != nil || n != pastRequests+1 {
		b.Fatal(n, err)
	}
	return path
}

// BenchmarkRemembering is the process with a ledger in SQLite in which so many requests
// lie: its start, and what it has in memory then and after 1,000 pages of them. The
// pages take seconds that are not measured: two processes of each run are asked for them.
func BenchmarkRemembering(b *testing.B) {
	w := measured(b, replayed)
	environment := onDisk(w, fullLedger(b))
	var auditors []string // each of them looks at a few pages, so that nobody is too fast
	for i := range colleagues {
		auditors = append(auditors, "user:"+colleague(i))
	}
	environment["SIGNING_KEY"], environment["AUDITORS"] = crashKey, strings.Join(auditors, ",")
	maps.Copy(w.Environment, environment)
	maps.DeleteFunc(w.Environment, func(_, value string) bool { return value == "" })
	s := samples{}
	for round := 0; b.Loop(); round++ {
		p := startProcess(b, w)
		s.add("ms-to-alive", p.until(b, "/health/alive"))
		b.StopTimer()
		s.add("ms-to-ready", p.until(b, "/health/ready"))
		s.add("MB-ready", p.resident(b, "VmRSS"))
		if round < 2 {
			p.thousandPages(b, w)
			s.add("MB-after-1000", p.resident(b, "VmRSS"))
			s.add("MB-most", p.resident(b, "VmHWM"))
		}
		p.stop(b)
		b.StartTimer()
	}
	s.report(b)
}

func (p *process) thousandPages(b *testing.B, w *world) {
	b.Helper()
	pages := []string{"/", "/requests", "/reviews", "/history"}
	for i := range 1000 {
		path := pages[i%len(pages)]
		answer, err := http.DefaultClient.Do(w.as(colleague(i), "GET", p.origin+path, ""))
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			b.Fatal(path, answer.Status)
		}
	}
}
