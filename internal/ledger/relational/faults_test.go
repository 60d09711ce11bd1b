package relational_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/ledger/relational"
)

// faulty is a home that goes wrong around a write.
type faulty struct {
	ledger.Home
	before, after error
}

func (f *faulty) Put(ctx context.Context, w ledger.Write) error {
	if f.before != nil {
		return f.before
	}
	if err := f.Home.Put(ctx, w); err != nil {
		return err
	}
	return f.after
}

func made(c *clock, id string) access.Event {
	now := c.Now()
	return access.Event{Action: access.RequestMade, At: now, Caller: access.Caller{Principal: "ana@example.com", Subject: "1"},
		Request: access.Request{ID: id, Kind: access.Peers, Principal: "ana@example.com", Resource: "projects/shop-prod",
			Entitlements:  []access.EntitlementID{{Resource: "projects/shop-prod", Role: "roles/compute.admin"}},
			Justification: `=HYPERLINK("http://x")`, Duration: 30 * time.Minute, Reviewers: []access.Principal{"ben@example.com", "chloe@example.com"},
			Created: now, Expires: now.Add(time.Hour)}}
}

func TestAnAnswerThatWasLostAfterTheCommitCountsAsRecorded(t *testing.T) {
	c := newClock()
	home := &faulty{Home: sqlite(t), after: errors.New("connection reset")}
	s := store(t, home, c)
	if ref, err := s.Commit(t.Context(), made(c, pending), nil); err != nil || ref != pending {
		t.Errorf("%q, %v", ref, err)
	}
	home.before = errors.New("connection refused")
	_, err := s.Commit(t.Context(), made(c, denied), nil)
	if e := access.AsError(err); err == nil || e.Code != access.CodeLedgerUnavailable || e.Kind != access.Unavailable {
		t.Errorf("of what was not written: %v", err)
	}
}

// losing is a home of which the answer to taking a lease is lost.
type losing struct{ ledger.Home }

func (l losing) Hold(ctx context.Context, name, holder string, life time.Duration) (bool, error) {
	_, _ = l.Home.Hold(ctx, name, holder, life)
	return false, errors.New("connection reset")
}

func TestALeaseOfWhichTheAnswerWasLostHoldsNobodyUp(t *testing.T) {
	c, home := newClock(), sqlite(t)
	_, err := store(t, losing{home}, c).Lease(t.Context(), "cluster", time.Hour)
	if e := access.AsError(err); err == nil || e.Kind != access.Unavailable || e.Code != access.CodeLedgerUnavailable {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // or it would wait for an hour
	defer cancel()
	if _, err := store(t, home, c).Lease(ctx, "cluster", time.Hour); err != nil {
		t.Error(err)
	}
}

// Whoever may write the database, or a newer version, may leave messages that nobody can
// read. They keep no other waiting, and can be had again.
func TestMessagesThatNobodyCanReadArePutAside(t *testing.T) {
	for name, open := range riggedHomes {
		t.Run(name, func(t *testing.T) {
			const many = 220
			c, home := newClock(), open(t)
			e := made(c, pending)
			if _, err := store(t, home, c).Commit(t.Context(), e, []access.Notice{{ID: "good", Request: e.Request}}); err != nil {
				t.Fatal(err)
			}
			home.exec(t, "UPDATE outbox SET lease = ''")
			var rows []string
			for i := range many {
				rows = append(rows, fmt.Sprintf("('bad%03d', '%s', 'not a notice', 1, 1, 0, '', '', '')", i, pending))
			}
			home.exec(t, "INSERT INTO outbox VALUES "+strings.Join(rows, ", "))
			var told []string
			s := ledger.New(ledger.Config{Home: home, Signer: keys(t, secret), Now: c.Now, Random: rand.Reader,
				PutAside: func(m ledger.Unreadable) {
					if m.Err == nil || m.Request != pending || m.Made.IsZero() {
						t.Errorf("%+v", m)
					}
					told = append(told, m.ID)
				}})
			var got []access.Message
			for range 2 { // as two sweeps
				some, err := taken(s.Take(t.Context(), c.Now(), 5*time.Minute, 20, false))
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, some...)
			}
			if len(got) != 1 || got[0].ID != "good" || len(told) != many {
				t.Fatalf("%d were taken, and %d put aside", len(got), len(told))
			}
			if err := s.Sent(t.Context(), got[0]); err != nil {
				t.Fatal(err)
			}
			c.Advance(24 * time.Hour)
			if more, err := taken(s.Take(t.Context(), c.Now(), 5*time.Minute, many, false)); err != nil || len(more) != 0 || len(told) != many {
				t.Errorf("taken again: %d, %v; put aside %d", len(more), err, len(told))
			}
			if _, late, aside, err := s.Overdue(t.Context(), c.Now()); late || !aside || err != nil {
				t.Errorf("late %v, aside %v, %v", late, aside, err)
			}
			// A version that can read it sends it, once an operator says so.
			home.exec(t, "UPDATE outbox SET notice = '{}' WHERE id = 'bad007'")
			all, err := ledger.Aside(t.Context(), home)
			if err != nil || len(all) != many || all[7].ID != "bad007" || all[7].Err != nil || all[8].Err == nil {
				t.Fatalf("%d, %+v, %v", len(all), all[7], err)
			}
			if err := home.Delay(t.Context(), ledger.Kept{ID: "bad007"}, c.Now()); err != nil {
				t.Fatal(err)
			}
			if got, err := taken(s.Take(t.Context(), c.Now(), 5*time.Minute, 20, false)); err != nil || len(got) != 1 || got[0].ID != "bad007" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestEveryStatementThatFailsLeavesNothingBehind(t *testing.T) {
	for _, table := range []string{"events", "parts", "reviewers", "outbox"} {
		t.Run(table, func(t *testing.T) {
			c, home := newClock(), riggedHomes["SQLite"](t)
			home.exec(t, "CREATE TRIGGER no BEFORE INSERT ON "+table+" BEGIN SELECT RAISE(ABORT, 'no'); END")
			s := store(t, home, c)
			e := made(c, pending)
			if _, err := s.Commit(t.Context(), e, []access.Notice{{ID: "n", Request: e.Request}}); access.AsError(err) == nil ||
				access.AsError(err).Code != access.CodeLedgerUnavailable {
				t.Errorf("%v", err)
			}
			home.exec(t, "DROP TRIGGER no")
			for _, of := range []string{"requests", "events", "parts", "reviewers", "outbox"} {
				if n := home.text(t, "SELECT COUNT(*) FROM "+of); n != "0" {
					t.Errorf("%s in %s", n, of)
				}
			}
		})
	}
}

func TestBadDatabasesAreRefusedWithTheirReason(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if _, err := relational.SQLite(path("none/jitaccess.db")); err == nil {
		t.Error("a folder that does not exist")
	}
	if _, err := relational.SQLite(dir); err == nil {
		t.Error("a folder")
	}
	if err := os.WriteFile(path("open.db"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := relational.SQLite(path("open.db")); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that all can read: %v", err)
	}
	if err := os.WriteFile(path("corrupt.db"), bytes.Repeat([]byte("not a database. "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := relational.SQLite(path("corrupt.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Migrate(t.Context()); err == nil {
		t.Error("what is no database was migrated")
	}
	if after, err := os.ReadFile(path("corrupt.db")); err != nil || !bytes.HasPrefix(after, []byte("not a database.")) {
		t.Error("what is no database was made anew")
	}
	odd, err := relational.SQLite(path("a b?mode=memory&_pragma=x#%41;'.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer odd.Close()
	if err := odd.Migrate(t.Context()); err != nil {
		t.Errorf("a path with signs in it: %v", err)
	}
	if info, err := os.Stat(path("a b?mode=memory&_pragma=x#%41;'.db")); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
		t.Errorf("it is elsewhere, or open: %v, %v", info, err)
	}
	for _, address := range []string{"", "postgres://a b", "postgres://u:secret@h:port/d", "mysql://x"} {
		if _, err := relational.PostgreSQL(address, nil); address != "" && (err == nil || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestAFullDatabaseKeepsWhatItHas(t *testing.T) {
	c, home := newClock(), riggedHomes["SQLite"](t)
	s := store(t, home, c)
	if _, err := s.Commit(t.Context(), made(c, pending), nil); err != nil {
		t.Fatal(err)
	}
	pages := home.text(t, "PRAGMA page_count")
	limited, err := relational.Limited(home.Database, pages)
	if err != nil {
		t.Fatal(err)
	}
	full := store(t, limited, c)
	for i := range 1000 {
		if _, err = full.Commit(t.Context(), made(c, fmt.Sprintf("mpa-%016d", 100+i)), nil); err != nil {
			break
		}
	}
	if access.AsError(err) == nil || access.AsError(err).Code != access.CodeLedgerUnavailable {
		t.Fatalf("never full: %v", err)
	}
	if r, err := full.Open(t.Context(), pending); err != nil || r.ID != pending {
		t.Errorf("%v", err)
	}
	if report, err := ledger.Verify(t.Context(), home, keys(t, secret)); err != nil || len(report.Findings) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestCloudSQLIsLoggedInToWithAToken(t *testing.T) {
	asked := 0
	password := func(context.Context) (string, error) {
		asked++
		return "", errors.New("no token")
	}
	for address, want := range map[string]int{
		"postgres://sa%40p.iam@/jitaccess?host=/cloudsql/p:r:i":       1,
		"postgres://sa%40p.iam:given@/jitaccess?host=/cloudsql/p:r:i": 0,
		"postgres://sa@127.0.0.1:1/jitaccess?connect_timeout=1":       0,
		"postgres://sa@/jitaccess?host=" + t.TempDir():                0,
	} {
		asked = 0
		d, err := relational.PostgreSQL(address, password)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		_, err = d.Load(t.Context(), pending)
		if err == nil || min(asked, 1) != want || want == 1 && !strings.Contains(err.Error(), "no token") {
			t.Errorf("%s: asked %d times, %v", address, asked, err)
		}
	}
}

func TestSchemasOfOtherVersions(t *testing.T) {
	for name, open := range riggedHomes {
		t.Run(name, func(t *testing.T) {
			home := open(t)
			for newer, usable := range map[int]bool{8: true, 9: false} {
				home.exec(t, fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, true)", newer))
				err := home.Migrate(t.Context())
				var want ledger.NewerError
				if usable && err != nil || !usable && (!errors.As(err, &want) || want.Has != 9 || !strings.Contains(err.Error(), "newer version")) {
					t.Errorf("schema %d: %v", newer, err)
				}
				if !usable {
					break
				}
				home.exec(t, "DELETE FROM goose_db_version WHERE version_id = 9")
			}
		})
	}
}

func TestManyMigrateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jitaccess.db")
	c := ledgertest.PostgreSQL(t)
	address := c.URL(ledgertest.Superuser, c.Database(t, ""))
	for name, open := range map[string]func() (*relational.Database, error){
		"SQLite":     func() (*relational.Database, error) { return relational.SQLite(path) },
		"PostgreSQL": func() (*relational.Database, error) { return relational.PostgreSQL(address, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					d, err := open()
					if err == nil {
						err = d.Migrate(t.Context())
						defer d.Close()
					}
					if err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		})
	}
}

// TestTheRuntimeRoleCannotTouchEvents runs with deploy/ledger-grants.sql, as the whole
// suite does.
func TestTheRuntimeRoleCannotTouchEvents(t *testing.T) {
	c := newClock()
	home := postgres(t)
	if _, err := store(t, home, c).Commit(t.Context(), made(c, pending), nil); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"UPDATE events SET body = ''", "DELETE FROM events", "TRUNCATE events", "UPDATE parts SET content = ''",
		"DELETE FROM requests", "DROP TABLE events", "CREATE TABLE x (id TEXT)"} {
		if err := relational.Exec(t.Context(), home, statement); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestKeysThatAreGone(t *testing.T) {
	c, home := newClock(), riggedHomes["SQLite"](t)
	old := store(t, home, c)
	scene(t, home, old, c)
	newKey := slicesRepeat(8)
	rotated := ledger.New(ledger.Config{Home: home, Signer: keys(t, newKey, secret), Now: c.Now, Random: rand.Reader})
	forgotten := ledger.New(ledger.Config{Home: home, Signer: keys(t, newKey), Now: c.Now, Random: rand.Reader})
	for _, id := range []string{pending, denied, approved, granted} {
		if _, err := rotated.Open(t.Context(), id); err != nil {
			t.Errorf("%s after the key was changed: %v", id, err)
		}
		_, err := forgotten.Open(t.Context(), id)
		if open := id == pending || id == approved; (err != nil) != open {
			t.Errorf("%s without the key: %v", id, err)
		}
	}
	r, err := old.Open(t.Context(), pending)
	if err != nil {
		t.Fatal(err)
	}
	e := access.Event{Action: access.RequestDenied, At: c.Now(), Request: r, Caller: access.Caller{Principal: "dora@example.com"},
		Decision: access.Decision{Verdict: access.Deny, By: "dora@example.com", Digest: r.Digest()}}
	if _, err := forgotten.Commit(t.Context(), e, nil); access.AsError(err) == nil || access.AsError(err).Kind != access.Conflict {
		t.Errorf("decided without the key: %v", err)
	}
	// Reading needs no key: by the fingerprint, or by what stands beside.
	for _, reader := range []struct {
		signer ledger.Signer
		self   int
	}{{ledger.Fingerprints(keys(t, secret).Fingerprints()), 0}, {ledger.Fingerprints(nil), 12}, {keys(t, newKey), 12}} {
		report, err := ledger.Verify(t.Context(), home, reader.signer)
		if err != nil || len(report.Findings) > 0 || report.SelfAttested != reader.self {
			t.Errorf("%+v, %v", report, err)
		}
	}
	if _, err := ledger.NewKeys(); err == nil {
		t.Error("no key")
	}
	if _, err := ledger.NewKeys(secret, secret[1:]); err == nil {
		t.Error("a short key")
	}
}

func slicesRepeat(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func TestPeopleAreErasedAndTheChainStays(t *testing.T) {
	for name, open := range riggedHomes {
		t.Run(name, func(t *testing.T) {
			c, home := newClock(), open(t)
			s := store(t, home, c)
			scene(t, home, s, c)
			home.exec(t, "DROP TABLE copies")
			c.Advance(time.Minute)
			head, err := s.Head(t.Context(), c.Now())
			if err != nil {
				t.Fatal(err)
			}
			verify := func(erased int) {
				t.Helper()
				report, err := ledger.Verify(t.Context(), home, keys(t, secret), head)
				if err != nil || len(report.Findings) > 0 || report.Erased != erased || report.SelfAttested > 0 {
					t.Errorf("%+v, %v", report, err)
				}
			}
			c.Advance(12 * time.Hour)
			for _, id := range []string{granted, "mpa-of-another"} {
				if err := s.Told(t.Context(), id, access.Receipts{{Channel: "slack", Ref: "D1/1"}}); err != nil {
					t.Fatal(err)
				}
			}
			// Chloe said no, once, and was asked by all. What is still open is kept.
			done, err := ledger.ErasePerson(t.Context(), home, keys(t, secret), "chloe@example.com", c.Now())
			if err != nil || done.Requests != 3 || done.Kept != 1 {
				t.Errorf("%+v, %v", done, err)
			}
			verify(1)
			if r, err := s.Open(t.Context(), granted); err != nil || len(r.Reviewers) != 2 {
				t.Errorf("%+v, %v", r, err)
			}
			list, err := s.List(t.Context(), access.Listing{Reviewer: "chloe@example.com"})
			if err != nil || len(list.Requests) != 1 {
				t.Errorf("%+v, %v", list, err)
			}
			// By retention, all that is old and over.
			c.Advance(48 * time.Hour)
			if done, err = ledger.Retain(t.Context(), home, keys(t, secret), c.Now().Add(-365*24*time.Hour), c.Now()); err != nil || done != (ledger.Erased{}) {
				t.Errorf("too young: %+v, %v", done, err)
			}
			if done, err = ledger.Retain(t.Context(), home, keys(t, secret), c.Now().Add(-24*time.Hour), c.Now()); err != nil || done.Requests != 6 || done.Kept != 0 {
				t.Errorf("%+v, %v", done, err)
			}
			verify(6)
			for id, want := range map[string]int{granted: 0, "mpa-of-another": 1} {
				if told, err := s.Receipts(t.Context(), id); err != nil || len(told) != want {
					t.Errorf("%s: of what was told are left %v, %v", id, told, err)
				}
			}
			if done, err = ledger.Retain(t.Context(), home, keys(t, secret), c.Now(), c.Now()); err != nil || done != (ledger.Erased{}) {
				t.Errorf("again: %+v, %v", done, err)
			}
			var everything bytes.Buffer
			if err := ledger.ExportLines(t.Context(), home, &everything); err != nil {
				t.Fatal(err)
			}
			if err := ledger.ExportTable(t.Context(), home, keys(t, secret), &everything); err != nil {
				t.Fatal(err)
			}
			for _, column := range []string{"summary", "principal", "resource"} {
				everything.WriteString(home.text(t, "SELECT MAX("+column+") FROM requests"))
			}
			for _, of := range []string{"parts", "reviewers", "outbox"} {
				if n := home.text(t, "SELECT COUNT(*) FROM "+of); n != "0" {
					t.Errorf("%s in %s", n, of)
				}
			}
			for _, personal := range []string{"ana", "ben@", "chloe", "dora", "incident", "compute", "shop-prod"} {
				if strings.Contains(everything.String(), personal) {
					t.Errorf("%q is still there", personal)
				}
			}
			for _, id := range []string{pending, denied, approved, granted, broken, found} {
				_, err := s.Open(t.Context(), id)
				if e := access.AsError(err); e == nil || e.Kind != access.Gone {
					t.Errorf("%s: %v", id, err)
				}
				if events, err := s.History(t.Context(), id); err != nil || len(events) == 0 || events[0].Caller.Principal != "" {
					t.Errorf("%+v, %v", events, err)
				}
			}
			if list, err := s.List(t.Context(), access.Listing{}); err != nil || len(list.Requests) != 6 {
				t.Errorf("%+v, %v", list, err)
			}
			// What becomes of them is no concern any more, and fails nothing.
			if _, err := s.Commit(t.Context(), access.Event{Action: access.GrantEnded, At: c.Now(), Request: access.Request{ID: granted}}, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

// An action that opened a request goes on from what it opened, unless that has changed: an
// approval of somebody else, or that its personal data was erased.
func TestWhatWasOpenedIsNotWrittenOver(t *testing.T) {
	for name, open := range riggedHomes {
		t.Run(name, func(t *testing.T) {
			c, home := newClock(), open(t)
			s, other := store(t, home, c), store(t, home, c)
			scene(t, home, s, c)
			approval := func(r access.Request, by access.Principal) access.Event {
				return access.Event{Action: access.RequestApproved, At: c.Now(), Request: r, Caller: access.Caller{Principal: by}, Requirements: two,
					Decision: access.Decision{Verdict: access.Approve, By: by, At: c.Now(), Digest: r.Digest()}, Window: r.WindowAt(c.Now())}
			}
			r, err := s.Open(t.Context(), pending)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.Commit(t.Context(), approval(r, "chloe@example.com"), nil); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Commit(t.Context(), approval(r, "dora@example.com"), nil); access.AsError(err) == nil || access.AsError(err).Kind != access.Conflict {
				t.Errorf("on what was opened before: %v", err)
			}
			// A fact is recorded behind what came since, and says so.
			written := access.Event{Action: access.GrantWritten, At: c.Now(), Request: r, Window: r.WindowAt(c.Now())}
			if _, err := s.Open(t.Context(), approved); err != nil {
				t.Fatal(err)
			}
			for i, one := range []*ledger.Store{other, s} {
				written.Request.ID, written.Request.Version, written.Follows = approved, 2, new(bool)
				if _, err := one.Commit(t.Context(), written, nil); err != nil {
					t.Fatal(err)
				}
				if *written.Follows != (i == 0) {
					t.Errorf("record %d follows directly: %v", i, *written.Follows)
				}
			}
			if events, err := other.History(t.Context(), approved); err != nil || len(events) != 4 {
				t.Errorf("%d events, %v", len(events), err)
			}
			if report, err := ledger.Verify(t.Context(), home, keys(t, secret)); err != nil || len(report.Findings) > 0 {
				t.Errorf("%+v, %v", report, err)
			}
			// A row by hand, at another version than its entries, is gone on from by nobody.
			home.exec(t, "UPDATE requests SET version = 7 WHERE id = ?", granted)
			before := home.text(t, "SELECT COUNT(*) FROM events")
			written.Request.ID = granted
			if _, err := s.Commit(t.Context(), written, nil); access.AsError(err) == nil || access.AsError(err).Code != access.CodeLedgerDamaged {
				t.Errorf("a row at another version: %v", err)
			}
			if after := home.text(t, "SELECT COUNT(*) FROM events"); after != before {
				t.Errorf("%s events, and then %s", before, after)
			}
			home.exec(t, "UPDATE requests SET version = 4 WHERE id = ?", granted)
			// What was erased stays so.
			if _, err := s.Open(t.Context(), denied); err != nil {
				t.Fatal(err)
			}
			if _, err := ledger.ErasePerson(t.Context(), home, keys(t, secret), "ana@example.com", c.Now().Add(100*time.Hour)); err != nil {
				t.Fatal(err)
			}
			ended := access.Event{Action: access.EndAsked, At: c.Now(), Request: access.Request{ID: denied}, Caller: access.Caller{Principal: "ana@example.com"}}
			if _, err := s.Commit(t.Context(), ended, nil); err != nil {
				t.Error(err)
			}
			for _, id := range []string{denied, approved} {
				written.Request.ID = id
				if _, err := s.Commit(t.Context(), written, nil); err != nil {
					t.Error(err)
				}
			}
			if n := home.text(t, "SELECT COUNT(*) FROM parts WHERE content LIKE '%ana@%' AND request_id IN ('"+denied+"', '"+approved+"')"); n != "0" {
				t.Errorf("ana is back, in %s parts", n)
			}
			if text := home.text(t, "SELECT MAX(summary) FROM requests WHERE id IN ('"+denied+"', '"+approved+"')"); strings.Contains(text, "ana@") {
				t.Errorf("ana is back: %s", text)
			}
		})
	}
}

func TestTheTableForSpreadsheetsHasNoFormulas(t *testing.T) {
	c, home := newClock(), sqlite(t)
	if _, err := store(t, home, c).Commit(t.Context(), made(c, pending), nil); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := ledger.ExportTable(t.Context(), home, keys(t, secret), &out); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][9] != `'=HYPERLINK("http://x")` || rows[1][6] != "ana@example.com" {
		t.Errorf("%v, %v", rows, err)
	}
	for field, want := range map[string]string{"": "", "a": "a", "=1": "'=1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\t=1": "'\t=1", "\r=1": "'\r=1", " =1": " =1"} {
		if got := access.Cell(field); got != want {
			t.Errorf("%q is %q, want %q", field, got, want)
		}
	}
	if err := ledger.ExportLines(t.Context(), home, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestOnePersonIsOneVoiceUnderWhateverAddress(t *testing.T) {
	c, home := newClock(), sqlite(t)
	s := store(t, home, c)
	if _, err := s.Commit(t.Context(), made(c, pending), nil); err != nil {
		t.Fatal(err)
	}
	approve := func(by access.Principal, human string, completes bool) error {
		c.Advance(time.Second)
		r, err := s.Open(t.Context(), pending)
		if err != nil {
			t.Fatal(err)
		}
		e := access.Event{Action: access.RequestApproved, At: c.Now(), Request: r, Caller: access.Caller{Principal: by, Subject: human}, Requirements: two,
			Decision: access.Decision{Verdict: access.Approve, By: by, At: c.Now(), Digest: r.Digest()}}
		if completes {
			e.Window = r.WindowAt(e.At)
		}
		_, err = s.Commit(t.Context(), e, nil)
		return err
	}
	if err := approve("ben@example.com", "1", false); access.AsError(err) == nil || access.AsError(err).Code != access.CodeOwnRequest {
		t.Errorf("the requester, by another address: %v", err)
	}
	if err := approve("ben@example.com", "2", true); err == nil {
		t.Error("one of two, with a window")
	}
	if err := approve("ben@example.com", "2", false); err != nil {
		t.Fatal(err)
	}
	if err := approve("chloe@example.com", "2", true); err == nil {
		t.Error("the same human twice")
	}
	if err := approve("chloe@example.com", "3", true); err != nil {
		t.Error(err)
	}
}

func TestAWindowBeginsNoSoonerThanWhatItRestsOn(t *testing.T) {
	c, home := newClock(), sqlite(t)
	s := store(t, home, c)
	if _, err := s.Commit(t.Context(), made(c, pending), nil); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), pending)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]access.Window{
		"before the request": {Start: c.Now().Add(-time.Minute), End: c.Now().Add(29 * time.Minute)},
		"longer than asked":  {Start: c.Now(), End: c.Now().Add(31 * time.Minute)},
		"backwards":          {Start: c.Now(), End: c.Now().Add(-time.Minute)},
	} {
		e := access.Event{Action: access.RequestApproved, At: c.Now(), Request: r, Caller: access.Caller{Principal: "ben@example.com"}, Window: w,
			Decision: access.Decision{Verdict: access.Approve, By: "ben@example.com", At: c.Now(), Digest: r.Digest()}}
		if _, err := s.Commit(t.Context(), e, nil); access.AsError(err) == nil || access.AsError(err).Kind != access.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInstancesWhoseClocksDiffer(t *testing.T) {
	c, home := newClock(), sqlite(t)
	s := store(t, home, c)
	if _, err := s.Commit(t.Context(), made(c, pending), nil); err != nil {
		t.Fatal(err)
	}
	for i, by := range []access.Principal{"ben@example.com", "chloe@example.com"} {
		r, err := s.Open(t.Context(), pending)
		if err != nil {
			t.Fatal(err)
		}
		// The second is a minute behind the first, which was a minute ahead.
		at := c.Now().Add(time.Duration(1-2*i) * time.Minute)
		e := access.Event{Action: access.RequestApproved, At: at, Request: r, Caller: access.Caller{Principal: by}, Requirements: two,
			Decision: access.Decision{Verdict: access.Approve, By: by, At: at, Digest: r.Digest()}}
		if i == 1 {
			e.Window = r.WindowAt(at)
			if !e.Window.Start.Equal(c.Now().Add(time.Minute)) {
				t.Errorf("begins at %v, and what it rests on at %v", e.Window.Start, r.Decisions[0].At)
			}
		}
		if _, err := s.Commit(t.Context(), e, nil); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := s.Open(t.Context(), pending); err != nil || r.State != access.Approved {
		t.Errorf("%+v, %v", r, err)
	}
}

// Of who reviewed a broken glass nothing stays but that somebody did, and of who broke it
// nothing goes before.
func TestWhoReviewedABrokenGlassIsErased(t *testing.T) {
	for name, open := range riggedHomes {
		t.Run(name, func(t *testing.T) {
			c, home := newClock(), open(t)
			s := store(t, home, c)
			commit := func(action access.Action, by access.Principal, change func(*access.Event)) {
				t.Helper()
				e := access.Event{Action: action, At: c.Now(), Caller: access.Caller{Principal: by, Subject: "subject of " + string(by)}}
				if action == access.GlassBroken {
					e.Request = access.Request{ID: broken, Kind: access.BreakGlass, Principal: by, Resource: "projects/shop-prod", Duration: time.Hour,
						Entitlements: []access.EntitlementID{{Resource: "projects/shop-prod", Role: "roles/compute.admin"}}, Created: c.Now()}
				} else if r, err := s.Open(t.Context(), broken); err != nil {
					t.Fatal(err)
				} else {
					e.Request = r
				}
				change(&e)
				if _, err := s.Commit(t.Context(), e, nil); err != nil {
					t.Fatal(err)
				}
			}
			window := func(e *access.Event) { e.Window = e.Request.WindowAt(e.At) }
			commit(access.GlassBroken, "ana@example.com", window)
			commit(access.GrantWritten, "ana@example.com", window)
			c.Advance(12 * time.Hour)
			if done, err := ledger.ErasePerson(t.Context(), home, keys(t, secret), "ana@example.com", c.Now()); err != nil || done != (ledger.Erased{Kept: 1}) {
				t.Errorf("before it was reviewed: %+v, %v", done, err)
			}
			commit(access.GlassReviewed, "chloe@example.com", func(e *access.Event) {
				e.Decision = access.Decision{By: "chloe@example.com", At: c.Now(), Comment: "chloe was here"}
			})
			if done, err := ledger.ErasePerson(t.Context(), home, keys(t, secret), "chloe@example.com", c.Now()); err != nil || done.Requests != 1 {
				t.Errorf("%+v, %v", done, err)
			}
			row := home.text(t, "SELECT summary FROM requests WHERE id = ?", broken)
			if strings.Contains(row, "chloe") || home.text(t, "SELECT COUNT(*) FROM parts WHERE content LIKE '%chloe%'") != "0" {
				t.Errorf("still there: %s", row)
			}
			if report, err := ledger.Verify(t.Context(), home, keys(t, secret)); err != nil || len(report.Findings) > 0 || report.Erased != 1 {
				t.Errorf("%+v, %v", report, err)
			}
			if list, err := s.List(t.Context(), access.Listing{Unreviewed: true}); err != nil || len(list.Requests) != 0 {
				t.Errorf("it waits again: %+v, %v", list, err)
			}
		})
	}
}

// What an instance knew a moment ago brings nobody back: jitaccess ledger erase is a process of its own.
func TestWhoWasErasedIsNotWrittenAgain(t *testing.T) {
	for name, open := range riggedHomes {
		for what, id := range map[string]string{"decided": denied, "lapsed, as nobody has recorded yet": pending} {
			t.Run(what+"/"+name, func(t *testing.T) {
				c, home := newClock(), open(t)
				s := store(t, home, c)
				scene(t, home, s, c)
				c.Advance(24 * time.Hour)
				r, err := s.Open(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if done, err := ledger.ErasePerson(t.Context(), home, keys(t, secret), "dora@example.com", c.Now()); err != nil || done.Requests == 0 {
					t.Fatalf("%+v, %v", done, err)
				}
				bounced := access.Event{Action: access.MailBounced, At: c.Now(), Request: r, Caller: access.Caller{Method: access.MethodSystem},
					Bounce: access.Bounce{To: "ana@example.com", Status: "5.1.1", At: c.Now()}}
				if _, err := s.Commit(t.Context(), bounced, nil); err != nil {
					t.Fatal(err)
				}
				if row := home.text(t, "SELECT summary FROM requests WHERE id = ?", id); strings.Contains(row, "dora") {
					t.Errorf("written again: %s", row)
				}
				if report, err := ledger.Verify(t.Context(), home, keys(t, secret)); err != nil || len(report.Findings) > 0 {
					t.Errorf("%+v, %v", report, err)
				}
			})
		}
	}
}

// How old a request is, its entries say: whoever may write rows has nothing erased before its time,
// or kept after it.
func TestARowDoesNotSayWhatIsErased(t *testing.T) {
	for name, open := range riggedHomes {
		t.Run(name, func(t *testing.T) {
			c, home := newClock(), open(t)
			scene(t, home, store(t, home, c), c)
			before := c.Now().Add(time.Second)
			home.exec(t, "UPDATE requests SET made = ? WHERE id = ?", c.Now().Add(9000*time.Hour).UnixMicro(), denied)
			c.Advance(1000 * time.Hour)
			if done, err := ledger.Retain(t.Context(), home, keys(t, secret), before.Add(-time.Hour), c.Now()); err != nil || done.Requests != 0 {
				t.Errorf("nothing is so old: %+v, %v", done, err)
			}
			home.exec(t, "UPDATE requests SET made = 1 WHERE id = ?", granted)
			if done, err := ledger.Retain(t.Context(), home, keys(t, secret), before.Add(-time.Hour), c.Now()); err != nil || done.Requests != 0 {
				t.Errorf("by its row it is old: %+v, %v", done, err)
			}
			if _, err := ledger.Retain(t.Context(), home, keys(t, secret), before, c.Now()); err != nil {
				t.Fatal(err)
			}
			if n := home.text(t, "SELECT COUNT(*) FROM parts WHERE request_id = ?", denied); n != "0" {
				t.Errorf("by its row it is of the future: %s parts", n)
			}
		})
	}
}

// One request that is damaged keeps the data of nobody else.
func TestWhatIsDamagedKeepsNothingElseFromBeingErased(t *testing.T) {
	for name, open := range riggedHomes {
		t.Run(name, func(t *testing.T) {
			c, home := newClock(), open(t)
			scene(t, home, store(t, home, c), c)
			home.exec(t, "UPDATE events SET body = 'x' WHERE request_id = ?", pending)
			c.Advance(1000 * time.Hour)
			done, err := ledger.Retain(t.Context(), home, keys(t, secret), c.Now(), c.Now())
			if want := (ledger.Erased{Requests: 5}); err == nil || done != want {
				t.Errorf("%+v, %v", done, err)
			}
			for _, word := range []string{denied, pending} {
				if n := home.text(t, "SELECT COUNT(*) FROM parts WHERE request_id = ?", word); (n == "0") != (word == denied) {
					t.Errorf("%s has %s parts", word, n)
				}
			}
		})
	}
}

// taken are all messages that come, and the error that is the last.
func taken(all iter.Seq2[access.Message, error]) (messages []access.Message, err error) {
	for message, failed := range all {
		if err = failed; err == nil {
			messages = append(messages, message)
		}
	}
	return messages, err
}
