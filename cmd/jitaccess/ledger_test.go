package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/ledgertest"
)

// someLedger has a few requests, and is as the service leaves it.
func someLedger(t *testing.T) (env func(string) string, path string, keys *ledger.Keys, head access.Head) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "jitaccess.db")
	env = func(name string) string { return map[string]string{"DATABASE_URL": "sqlite:" + path}[name] }
	c, err := config.ReadLedger(env)
	if err != nil {
		t.Fatal(err)
	}
	google := func() (*gcp.Platform, error) { panic("Google is asked") }
	l, err := openLedger(t.Context(), c, google)
	if err != nil {
		t.Fatal(err)
	}
	defer l.home.Close()
	s, err := openSigning(t.Context(), c, l.file, google, func() (*ledger.Account, error) { panic("the account signs") })
	if err != nil {
		t.Fatal(err)
	}
	keys = s.Signer.(*ledger.Keys)
	if s.beside != path+".key" {
		t.Errorf("the key is in %q", s.beside)
	}
	if err := l.migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	store := ledger.New(ledger.Config{Home: l.home, Signer: keys, Now: time.Now, Random: rand.Reader})
	now := time.Now().UTC().Add(-30 * 24 * time.Hour).Truncate(time.Second)
	for i := range 3 {
		r := access.Request{ID: fmt.Sprintf("mpa-%016d", i), Kind: access.Peers, Principal: "ana@example.com", Resource: "projects/shop",
			Entitlements:  []access.EntitlementID{{Resource: "projects/shop", Role: "roles/viewer"}},
			Justification: "=1+1", Duration: time.Hour, Reviewers: []access.Principal{"ben@example.com"}, Created: now, Expires: now.Add(time.Hour)}
		if _, err := store.Commit(t.Context(), access.Event{Action: access.RequestMade, At: now, Request: r,
			Caller: access.Caller{Principal: r.Principal, Subject: "1", Method: "iap"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if head, err = store.Head(t.Context(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	return env, path, keys, head
}

// A database that is down when the service starts is brought up once it is there, however
// often that takes; meanwhile health says why what needs memory is refused.
func TestTheSchemaIsBroughtUpOnceTheDatabaseIsThere(t *testing.T) {
	const tries = 3
	for _, newer := range []bool{false, true} {
		cluster := ledgertest.PostgreSQL(t)
		name := fmt.Sprintf("later_%v_%d", newer, time.Now().UnixNano()) // the cluster is that of all tests, also of a second run
		c := &config.Config{}
		var err error
		c.Ledger, err = config.ReadLedger(func(key string) string {
			return map[string]string{"DATABASE_URL": cluster.URL(ledgertest.Superuser, name), "SIGNING_KEY": crashKey}[key]
		})
		if err != nil {
			t.Fatal(err)
		}
		var store *ledger.Store
		var waits []time.Duration
		started, done := make(chan struct{}), make(chan struct{})
		k := clock{now: time.Now, sleep: func(ctx context.Context, d time.Duration) error {
			if d >= time.Hour {
				<-ctx.Done()
				return ctx.Err()
			}
			<-started
			if _, _, _, err := store.Overdue(ctx, time.Now()); access.AsError(err) == nil || access.AsError(err).Code != access.CodeLedgerUnavailable ||
				!strings.Contains(err.Error(), "schema could not be brought up") {
				t.Errorf("health says: %v", err)
			}
			if waits = append(waits, d); len(waits) == tries {
				cluster.Exec(t, "postgres", "CREATE DATABASE "+name)
				if newer {
					cluster.Exec(t, name, `CREATE TABLE goose_db_version (id serial, version_id bigint NOT NULL, is_applied boolean NOT NULL, tstamp timestamp DEFAULT now());
						INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (99, true)`)
				}
			}
			return nil
		}}
		log := &lockedBuffer{}
		logger := slog.New(slog.NewTextHandler(io.MultiWriter(log, onLine{"can be used now", done}, onLine{"by this version", done}), nil))
		if store, _, err = startLedger(t.Context(), c, nil, nil, logger, k); err != nil {
			t.Fatal(err)
		}
		close(started)
		<-done
		if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}; !slices.Equal(waits, want) {
			t.Errorf("waited %v, want %v", waits, want)
		}
		_, _, _, err = store.Overdue(t.Context(), time.Now())
		if newer != (err != nil) || newer && !strings.Contains(err.Error(), "newer version") {
			t.Errorf("newer %v: %v", newer, err)
		}
		if _, err := store.History(t.Context(), "mpa-0000000000000001"); newer != (err != nil) {
			t.Errorf("newer %v: %v", newer, err)
		}
	}
}

// onLine closes a channel when a text is written.
type onLine struct {
	text string
	then chan struct{}
}

func (o onLine) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(o.text)) {
		close(o.then)
	}
	return len(b), nil
}

func ledgerRun(env func(string) string, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = runLedger(context.Background(), args, env, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func TestLedgerIsVerifiedAndExported(t *testing.T) {
	env, path, keys, head := someLedger(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	nothing := func(string) string { return "" }
	expect := func(what string, env func(string) string, wantCode int, want string, args ...string) string {
		t.Helper()
		code, out, errs := ledgerRun(env, "", args...)
		if code != wantCode || !strings.Contains(out+errs, want) {
			t.Errorf("%s: %d, %q, %q; want %d, %q", what, code, out, errs, wantCode, want)
		}
		return out
	}
	expect("untouched", env, exitOK, "3 requests, 3 events; 0 with erased data; 0 policies; fine", "verify")
	encoded, _ := json.Marshal(head)
	heads := write("heads", string(encoded))
	expect("untouched, by the head", env, exitOK, "fine", "verify", "--head", heads)

	// Elsewhere, without the database, the key and the service.
	export := write("export", expect("export", env, exitOK, `"request":"mpa-0000000000000002"`, "export"))
	expect("elsewhere", nothing, exitOK, "self-attested", "verify", "--export", export)
	fingerprints := write("fingerprints", strings.Join(keys.Fingerprints(), "\n")+"\n")
	expect("elsewhere, with fingerprints", nothing, exitOK, "fine", "verify", "--export", export, "--fingerprints", fingerprints, "--head", heads)
	strange, empty := write("strange", strings.Repeat("0", 64)+"\n"), write("empty", "")
	expect("elsewhere, by keys of others", nothing, exitFailure, "whose fingerprints are not in "+strange, "verify", "--export", export, "--fingerprints", strange)
	expect("elsewhere, with no fingerprint", nothing, exitFailure, "whose fingerprints are not in "+empty, "verify", "--export", export, "--fingerprints", empty)
	text, _ := os.ReadFile(export)
	cut := write("cut", string(text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1]))
	expect("cut", nothing, exitFailure, "something was taken away", "verify", "--export", cut, "--fingerprints", fingerprints, "--head", heads)
	changed := write("changed", strings.ReplaceAll(string(text), `"action":"request made"`, `"action":"withdrawn"`))
	expect("changed", nothing, exitFailure, "3 findings", "verify", "--export", changed)
	expect("csv", env, exitOK, ",'=1+1,", "export", "--format", "csv")

	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE requests SET state = 'approved' WHERE id = 'mpa-0000000000000001'"); err != nil {
		t.Fatal(err)
	}
	expect("touched", env, exitFailure, "mpa-0000000000000001: its row says something else", "verify")

	expect("no command", env, exitUsage, "Usage:")
	expect("another command", env, exitUsage, "no command", "destroy")
	expect("another format", env, exitUsage, "neither jsonl nor csv", "export", "--format", "xml")
	expect("nothing set", nothing, exitUsage, "DATABASE_URL is not set", "verify")
	expect("no database", func(string) string { return "sqlite:" + filepath.Join(dir, "none.db") }, exitUsage, "is [redacted]", "verify")
	expect("no database", func(name string) string {
		return map[string]string{"DATABASE_URL": "sqlite:" + filepath.Join(dir, "none.db")}[name]
	},
		exitUsage, "the service makes it when it starts", "verify")
	if _, err := os.Stat(filepath.Join(dir, "none.db")); err == nil {
		t.Error("it was made")
	}
	expect("not an export", nothing, exitUsage, "line 1", "verify", "--export", fingerprints)
	expect("no export", nothing, exitUsage, "no such file", "verify", "--export", filepath.Join(dir, "none"))
	expect("no heads", env, exitUsage, fingerprints, "verify", "--head", fingerprints)
	expect("heads of another log", env, exitUsage, "holds no head", "verify", "--head", empty)
	expect("migrated", env, exitOK, "", "migrate")
}

func TestLedgerErasesAPersonWhoIsNamedTwice(t *testing.T) {
	env, _, _, _ := someLedger(t)
	if code, _, errs := ledgerRun(env, "yes\n", "erase", "--person", "ana@example.com"); code != exitFailure || !strings.Contains(errs, "nothing was erased") {
		t.Errorf("%d, %s", code, errs)
	}
	if code, _, errs := ledgerRun(env, "", "erase", "--yes"); code != exitUsage || !strings.Contains(errs, "--person") {
		t.Errorf("nobody: %d, %s", code, errs)
	}
	if code, out, errs := ledgerRun(env, "ana@example.com\n", "erase", "--person", "Ana@example.com"); code != exitOK || !strings.Contains(out, "erased in 3 requests; 0 are") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	if code, out, errs := ledgerRun(env, "", "verify"); code != exitOK || !strings.Contains(out, "3 with erased data; 0 policies; fine") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
	if code, out, _ := ledgerRun(env, "", "export"); code != exitOK || strings.Contains(out, "ana@") || strings.Contains(out, "shop") {
		t.Errorf("%d, %s", code, out)
	}
}

func TestAKeyBesideTheDatabaseIsForTheServiceAlone(t *testing.T) {
	env, path, _, _ := someLedger(t)
	info, err := os.Stat(path + ".key")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	if err := os.Chmod(path+".key", 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := ledgerRun(env, "", "verify"); code != exitUsage || !strings.Contains(errs, "chmod 600") {
		t.Errorf("%d, %s", code, errs)
	}
	if err := os.Chmod(path+".key", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".key", []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := ledgerRun(env, "", "verify"); code != exitUsage || !strings.Contains(errs, "32 bytes") {
		t.Errorf("%d, %s", code, errs)
	}
}

// A database that was put back without its key, or moved, must not get another in silence: nothing that it holds would
// be ours.
func TestADatabaseGetsNoOtherKeyInSilence(t *testing.T) {
	env, path, _, _ := someLedger(t)
	key, err := os.ReadFile(path + ".key")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path + ".key"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if code, _, errs := ledgerRun(env, "", "verify"); code != exitUsage || !strings.Contains(errs, path+".key") || !strings.Contains(errs, "put it back") {
			t.Errorf("%d, %s", code, errs)
		}
		if _, err := os.Stat(path + ".key"); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("the key: %v", err)
		}
	}
	if err := os.WriteFile(path+".key", key, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := ledgerRun(env, "", "verify"); code != exitOK || !strings.Contains(out, "fine") {
		t.Errorf("%d, %s%s", code, out, errs)
	}
}

// A start may end while it makes the key, and may not be let to: what follows says what to do.
func TestAKeyThatCouldNotBeMade(t *testing.T) {
	begin := func(path string) error {
		c, err := config.ReadLedger(func(name string) string { return map[string]string{"DATABASE_URL": "sqlite:" + path}[name] })
		if err != nil {
			t.Fatal(err)
		}
		l, err := openLedger(t.Context(), c, nil)
		if err != nil {
			return err
		}
		defer l.home.Close()
		_, err = openSigning(t.Context(), c, l.file, nil, nil)
		return err
	}
	path := filepath.Join(t.TempDir(), "jitaccess.db")
	if err := os.WriteFile(path+".key", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := begin(path); err == nil || !strings.Contains(err.Error(), path+".key is empty") || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("an empty key: %v", err)
	}
	if err := begin(filepath.Join(t.TempDir(), "none", "jitaccess.db")); err == nil || strings.Contains(err.Error(), "SIGNING_KEY") ||
		!strings.Contains(err.Error(), "jitaccess.db.key") {
		t.Errorf("no folder: %v", err)
	}
}

// The key is there before the database is: a process that ends in between can go on.
func TestAKeyIsMadeBeforeItsDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jitaccess.db")
	if err := os.WriteFile(path+".key", []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.ReadLedger(func(name string) string { return map[string]string{"DATABASE_URL": "sqlite:" + path}[name] })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // without a database, and with it
		l, err := openLedger(t.Context(), c, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := openSigning(t.Context(), c, l.file, nil, nil)
		if err != nil || !slices.Equal(s.secrets[0], make([]byte, 32)) {
			t.Errorf("%v, %v", s.secrets, err)
		}
		l.home.Close()
	}
}

func TestMessagesThatWerePutAsideAreListedTriedAgainAndDropped(t *testing.T) {
	env, path, _, _ := someLedger(t)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	expect := func(wantCode int, want string, due int, args ...string) {
		t.Helper()
		code, out, errs := ledgerRun(env, "", append([]string{"outbox"}, args...)...)
		var n int
		if err := db.QueryRow("SELECT COUNT(*) FROM outbox WHERE due > 0").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if code != wantCode || !strings.Contains(out+errs, want) || n != due || strings.ContainsRune(out, '\x1b') {
			t.Errorf("%v: %d, %q, %q; due %d; want %d, %q", args, code, out, errs, n, wantCode, want)
		}
	}
	expect(exitOK, "0 messages", 0)
	if _, err := db.Exec("INSERT INTO outbox VALUES ('n1', ?, '{', 1, 0, 3, '', '', ''), ('n2', 'mpa-1', '{}', 2, 0, 0, '', '', '')", "mpa-\x1b[2J"); err != nil {
		t.Fatal(err)
	}
	expect(exitFailure, "n1: put aside: a message of request mpa-[U+001B][2J, of 1970-01-01T00:00:00Z: unexpected end of JSON input\n", 0)
	expect(exitFailure, "n2: put aside: a message of request mpa-1, of 1970-01-01T00:00:00Z: it can be read now\n2 messages\n", 0)
	expect(exitUsage, "at once", 0, "--again", "--drop")
	expect(exitOK, "n2: tried again", 2, "--again")
	expect(exitOK, "0 messages", 2, "--drop")
	if _, err := db.Exec("UPDATE outbox SET due = 0 WHERE id = 'n1'"); err != nil {
		t.Fatal(err)
	}
	expect(exitOK, "n1: dropped", 1, "--drop")
	expect(exitOK, "0 messages", 1)
}

// Who may write the database writes no line of what verify says, and no formula.
func TestAnIDFromTheDatabaseIsShownAsItIs(t *testing.T) {
	env, path, _, _ := someLedger(t)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("INSERT INTO events VALUES (?, 1, 'x', '', '', '', '')", "=1+1\n\x1b[2J3 requests; fine"); err != nil {
		t.Fatal(err)
	}
	code, out, _ := ledgerRun(env, "", "verify")
	if code != exitFailure || strings.ContainsRune(out, '\x1b') || strings.Count(out, "\n") != 2 {
		t.Errorf("%d, %q", code, out)
	}
	if _, out, _ := ledgerRun(env, "", "export", "--format", "csv"); !strings.Contains(out, "\n\"'=1+1") {
		t.Errorf("%q", out)
	}
}
