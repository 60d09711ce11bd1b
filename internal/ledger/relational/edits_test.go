package relational_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/ledger/relational"
)

// rigged is a home with somebody who may do everything in its database, and has no key.
type rigged struct {
	*relational.Database
	raw      *sql.DB
	numbered bool
}

func (r rigged) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := r.raw.Exec(r.bind(statement), args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func (r rigged) text(t testing.TB, statement string, args ...any) (text string) {
	t.Helper()
	if err := r.raw.QueryRow(r.bind(statement), args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return text
}

func (r rigged) bind(statement string) string {
	for i := 1; r.numbered && strings.Contains(statement, "?"); i++ {
		statement = strings.Replace(statement, "?", fmt.Sprintf("$%d", i), 1)
	}
	return statement
}

// riggedHomes are the homes, opened by their owners.
var riggedHomes = map[string]func(t testing.TB) rigged{
	"SQLite": func(t testing.TB) rigged {
		path := filepath.Join(t.TempDir(), "jitaccess.db")
		d, err := relational.SQLite(path)
		return rig(t, d, err, "sqlite", path)
	},
	"PostgreSQL": func(t testing.TB) rigged {
		c := ledgertest.PostgreSQL(t)
		url := c.URL(ledgertest.Superuser, c.Database(t, ""))
		d, err := relational.PostgreSQL(url, nil)
		return rig(t, d, err, "pgx", url)
	},
}

func rig(t testing.TB, d *relational.Database, err error, driver, name string) rigged {
	if err == nil {
		err = d.Migrate(t.Context())
	}
	raw, failed := sql.Open(driver, name)
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	t.Cleanup(func() { d.Close(); raw.Close() })
	return rigged{d, raw, driver == "pgx"}
}

const (
	pending  = "mpa-0000000000000001" // takes two, has one
	denied   = "mpa-0000000000000002"
	approved = "mpa-0000000000000003" // by one, and not yet written
	granted  = "mpa-0000000000000004"
	found    = "mpa-0000000000000005" // stands, and nobody made it
	broken   = "brk-0000000000000006" // and not yet written
)

var two = []access.Requirement{{Count: 2, From: []string{access.FromPeers}}}

// scene is requests in all states. The table copies has their rows as they were at all
// times.
func scene(t testing.TB, home rigged, s *ledger.Store, c *clock) {
	home.exec(t, "CREATE TABLE copies AS SELECT * FROM requests")
	commit := func(id string, action access.Action, by access.Principal, change func(*access.Event)) {
		t.Helper()
		now := c.Now()
		r := access.Request{ID: id, Kind: access.Peers, Principal: "ana@example.com", Resource: "projects/shop-prod",
			Entitlements:  []access.EntitlementID{{Resource: "projects/shop-prod", Role: "roles/compute.admin"}},
			Justification: "incident", Duration: 30 * time.Minute, Reviewers: []access.Principal{"ben@example.com", "chloe@example.com", "dora@example.com"},
			Created: now, Expires: now.Add(24 * time.Hour)}
		if action == access.GlassBroken {
			r.Kind, r.Reviewers = access.BreakGlass, nil
		} else if action != access.RequestMade && action != access.GrantTakenIn {
			var err error
			if r, err = s.Open(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		e := access.Event{Action: action, At: now, Request: r, Caller: access.Caller{Principal: by, Subject: "subject of " + string(by), Method: "iap"}}
		if action == access.RequestApproved || action == access.RequestDenied {
			e.Decision = access.Decision{Verdict: access.Approve, By: by, At: now, Digest: r.Digest()}
		}
		if change != nil {
			change(&e)
		}
		if _, err := s.Commit(t.Context(), e, nil); err != nil {
			t.Fatal(err)
		}
		home.exec(t, "INSERT INTO copies SELECT * FROM requests WHERE id = ?", id)
		c.Advance(time.Second)
	}
	window := func(e *access.Event) { e.Window = e.Request.WindowAt(e.At) }
	for _, id := range []string{pending, denied, approved, granted} {
		commit(id, access.RequestMade, "ana@example.com", nil)
	}
	commit(pending, access.RequestApproved, "ben@example.com", func(e *access.Event) { e.Requirements = two })
	commit(denied, access.RequestApproved, "ben@example.com", func(e *access.Event) { e.Requirements = two })
	commit(denied, access.RequestDenied, "chloe@example.com", func(e *access.Event) {
		e.Decision.Verdict, e.Decision.Comment = access.Deny, "no"
	})
	commit(approved, access.RequestApproved, "ben@example.com", window)
	commit(granted, access.RequestApproved, "ben@example.com", window)
	commit(granted, access.GrantWritten, "ben@example.com", window)
	commit(granted, access.EndAsked, "ana@example.com", nil)
	commit(found, access.GrantTakenIn, "", func(e *access.Event) {
		e.Request.Reviewers, e.Window = nil, access.Window{Start: e.At.Add(-time.Minute), End: e.At.Add(29 * time.Minute)}
	})
	commit(broken, access.GlassBroken, "ana@example.com", window)
}

// edit is something that somebody tries who may write everything in the database. No
// edit leads to an approved request that was not one; it is refused when the request
// is opened, or it is found, as the columns say. The table in docs/ledger.md is of these.
type edit struct {
	what string
	id   string
	do   func(t *testing.T, r rigged)
	// refused: the request does not open any more. Otherwise state is what it opens as.
	refused bool
	state   access.State
	// found: verify finds it; with the head that the journal has, where only that is said.
	found, head bool
}

// body changes the text of an entry.
func body(id string, version int, old, new string) func(*testing.T, rigged) {
	return func(t *testing.T, r rigged) {
		text := r.text(t, "SELECT body FROM events WHERE request_id = ? AND version = ?", id, version)
		if !strings.Contains(text, old) {
			t.Fatalf("no %q in %s", old, text)
		}
		r.exec(t, "UPDATE events SET body = ? WHERE request_id = ? AND version = ?", strings.ReplaceAll(text, old, new), id, version)
	}
}

func statement(text string, args ...any) func(*testing.T, rigged) {
	return func(t *testing.T, r rigged) { r.exec(t, text, args...) }
}

func both(all ...func(*testing.T, rigged)) func(*testing.T, rigged) {
	return func(t *testing.T, r rigged) {
		for _, one := range all {
			one(t, r)
		}
	}
}

// follow puts the row of a request, and the lists that it is in, back to what they were at
// a version.
func follow(id string, version int) func(*testing.T, rigged) {
	return both(statement("DELETE FROM requests WHERE id = ?", id),
		statement("INSERT INTO requests SELECT * FROM copies WHERE id = ? AND version = ?", id, version),
		statement("UPDATE reviewers SET state = (SELECT state FROM requests WHERE id = request_id) WHERE request_id = ?", id))
}

const columns = "request_id, version, body, algorithm, key_id, public_key, signature"

// inserted adds an entry behind those of a request: the last one, changed, with the
// parts and the signature that it has.
func inserted(id string, version int, change func(t *testing.T, r rigged, text map[string]any)) func(*testing.T, rigged) {
	return func(t *testing.T, r rigged) {
		entries, err := r.Load(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		var text map[string]any
		if err := json.Unmarshal(entries[version-2].Text, &text); err != nil {
			t.Fatal(err)
		}
		text["version"], text["before"] = version, entries[version-2].Digest()
		change(t, r, text)
		r.exec(t, "INSERT INTO events ("+columns+") SELECT request_id, ?, ?, algorithm, key_id, public_key, signature FROM events WHERE request_id = ? AND version = ?",
			version, canonical(t, text), id, version-1)
		r.exec(t, "INSERT INTO parts (request_id, version, place, person, salt, content) SELECT request_id, ?, place, person, salt, content FROM parts WHERE request_id = ? AND version = ?",
			version, id, version-1)
	}
}

// canonical writes the members in their order.
func canonical(t *testing.T, text map[string]any) string {
	var members []string
	for _, name := range []string{"purpose", "id", "kind", "version", "action", "at", "request", "actor", "human", "verdict", "fills", "start", "end", "parts", "before"} {
		if value, ok := text[name]; ok {
			if n, ok := value.(float64); ok {
				value = int64(n)
			}
			encoded, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			members = append(members, fmt.Sprintf("%q:%s", name, encoded))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

// signedBy signs an entry again, with a key of somebody's own.
func signedBy(id string, version int) func(*testing.T, rigged) {
	return func(t *testing.T, r rigged) {
		text := r.text(t, "SELECT body FROM events WHERE request_id = ? AND version = ?", id, version)
		s, err := keys(t, slices.Repeat([]byte{66}, 32)).Sign(t.Context(), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		r.exec(t, "UPDATE events SET algorithm = ?, key_id = ?, public_key = ?, signature = ? WHERE request_id = ? AND version = ?",
			s.Algorithm, s.Key, b64(s.Public), b64(s.Bytes), id, version)
	}
}

func edits() []edit {
	end := time.Now().Add(1000 * time.Hour).UnixMicro()
	return []edit{
		{"a row is made approved", pending,
			statement("UPDATE requests SET state = 'approved', due = 1 WHERE id = ?", pending), false, access.Pending, true, false},
		{"a row gets a longer window", approved, func(t *testing.T, r rigged) {
			summary := r.text(t, "SELECT summary FROM requests WHERE id = ?", approved)
			r.exec(t, "UPDATE requests SET summary = ? WHERE id = ?", strings.ReplaceAll(summary, `"seconds":1800`, `"seconds":180000`), approved)
		}, false, access.Approved, true, false},
		{"a row is deleted", pending, statement("DELETE FROM requests WHERE id = ?", pending), false, access.Pending, true, false},
		{"an approval is made to complete", pending,
			body(pending, 2, `"parts"`, fmt.Sprintf(`"start":%d,"end":%d,"parts"`, end-1e6, end)), true, "", true, false},
		{"it takes fewer than it did", pending, body(pending, 2, `"count":2`, `"count":1`), true, "", true, false},
		{"an approval comes in without a signature", pending, both(inserted(pending, 3, func(*testing.T, rigged, map[string]any) {}),
			statement("UPDATE events SET algorithm = '', key_id = '', public_key = '', signature = '' WHERE request_id = ? AND version = 3", pending)),
			true, "", true, false},
		{"an approval is counted twice", pending, inserted(pending, 3, func(*testing.T, rigged, map[string]any) {}), true, "", true, false},
		{"a signature is copied under another name", pending, inserted(pending, 3, func(t *testing.T, r rigged, text map[string]any) {
			text["actor"] = strings.Repeat("a", 64)
		}), true, "", true, false},
		{"an approval is copied from another request", pending, func(t *testing.T, r rigged) {
			r.exec(t, "INSERT INTO events ("+columns+") SELECT ?, 3, body, algorithm, key_id, public_key, signature FROM events WHERE request_id = ? AND version = 2",
				pending, approved)
		}, true, "", true, false},
		{"an approval is signed with a key of one's own", pending, both(inserted(pending, 3, func(*testing.T, rigged, map[string]any) {}), signedBy(pending, 3)),
			true, "", true, false},
		{"a window is lengthened, with a key of one's own", approved, both(
			body(approved, 2, `"end":`, `"end":9`), signedBy(approved, 2)), true, "", true, false},
		{"a whole chain is signed with a key of one's own", approved, both(signedBy(approved, 1), signedBy(approved, 2)), true, "", true, false},
		{"a window is lengthened", approved, body(approved, 2, `"end":`, `"end":9`), true, "", true, false},
		{"a verdict is flipped", denied, body(denied, 3, `"verdict":"deny"`, `"verdict":"approve"`), true, "", true, false},
		{"a denial becomes an approval", denied, both(body(denied, 3, `"verdict":"deny"`, `"verdict":"approve"`),
			body(denied, 3, `"action":"denied"`, `"action":"approved"`)), true, "", true, false},
		{"a denial is deleted", denied, statement("DELETE FROM events WHERE request_id = ? AND version = 3", denied), false, access.Pending, true, false},
		{"a denial is deleted, and the row follows", denied, both(
			statement("DELETE FROM events WHERE request_id = ? AND version = 3", denied), follow(denied, 2)), false, access.Pending, true, true},
		{"an entry is deleted from the middle", denied, statement("DELETE FROM events WHERE request_id = ? AND version = 2", denied), true, "", true, false},
		{"entries change places", denied, both(
			statement("UPDATE events SET version = 99 WHERE request_id = ? AND version = 2", denied),
			statement("UPDATE events SET version = 2 WHERE request_id = ? AND version = 3", denied),
			statement("UPDATE events SET version = 3 WHERE request_id = ? AND version = 99", denied)), true, "", true, false},
		{"a request is removed", denied, both(statement("DELETE FROM requests WHERE id = ?", denied),
			statement("DELETE FROM events WHERE request_id = ?", denied), statement("DELETE FROM parts WHERE request_id = ?", denied)),
			true, "", true, true},
		{"everything is rolled back to before the grant", granted, both(
			statement("DELETE FROM events WHERE request_id = ? AND version >= 3", granted), follow(granted, 2)), false, access.Approved, true, true},
		{"another person asked for it", approved, statement("UPDATE parts SET content = REPLACE(content, 'ana@', 'mal@') WHERE request_id = ?", approved),
			true, "", true, false},
		{"another role was asked for", approved, statement("UPDATE parts SET content = REPLACE(content, 'compute.admin', 'owner') WHERE request_id = ?", approved),
			true, "", true, false},
		{"another person approved", approved, statement("UPDATE parts SET content = REPLACE(content, 'ben@', 'mal@') WHERE request_id = ? AND version = 2", approved),
			true, "", true, false},
		{"somebody else was asked", pending, statement("UPDATE parts SET content = 'mal@example.com', person = 'mal@example.com' WHERE request_id = ? AND place = 3", pending),
			true, "", true, false},
		{"people are asked who were not", pending, inserted(pending, 3, func(t *testing.T, r rigged, text map[string]any) {
			text["action"] = "reviewers added"
		}), true, "", true, false},
		{"who asked is erased", approved, statement("DELETE FROM parts WHERE request_id = ? AND version = 1 AND place = 0", approved), true, "", false, false},
		{"a grant is told that never was", approved, both(inserted(approved, 3, func(t *testing.T, r rigged, text map[string]any) {
			text["action"] = "granted"
			delete(text, "verdict")
		})), true, "", true, false},
		{"a request becomes a grant that was found", approved, both(statement("DELETE FROM events WHERE request_id = ? AND version = 2", approved),
			body(approved, 1, `"action":"request made"`, `"action":"taken in"`)), true, "", true, false},
		{"a grant that was found is told of, unsigned", approved, func(t *testing.T, r rigged) {
			body(approved, 1, `"action":"request made"`, `"action":"taken in"`)(t, r)
			r.exec(t, "DELETE FROM events WHERE request_id = ? AND version = 2", approved)
			r.exec(t, "UPDATE events SET algorithm = '', key_id = '', public_key = '', signature = '' WHERE request_id = ?", approved)
		}, true, "", true, false},
		{"a grant that was found is approved and written again", found, inserted(found, 2, func(t *testing.T, r rigged, text map[string]any) {
			text["action"] = "approved"
		}), true, "", true, false},
		{"a grant that was found was for longer", found, body(found, 1, `"end":`, `"end":9`), true, "", true, false},
		{"a grant was for longer, in the middle", granted, body(granted, 3, `"end":`, `"end":9`), true, "", true, false},
		{"the request digest is another", approved, body(approved, 2, `"request":"`, `"request":"0`), true, "", true, false},
		{"a request becomes a broken glass", pending, both(statement("DELETE FROM events WHERE request_id = ? AND version = 2", pending),
			body(pending, 1, `"action":"request made"`, fmt.Sprintf(`"action":"broken glass","start":%d,"end":%d`, end-1e6, end))), true, "", true, false},
		{"a request becomes a broken glass, with a key of one's own", pending, both(
			statement("DELETE FROM events WHERE request_id = ? AND version = 2", pending),
			body(pending, 1, `"action":"request made"`, `"action":"broken glass"`), signedBy(pending, 1)), true, "", true, false},
		{"a broken glass is taken from those that wait for a review", broken,
			statement("DELETE FROM reviewers WHERE request_id = ?", broken), false, access.Approved, true, false},
		{"a broken glass waits for a review of long ago", broken,
			statement("UPDATE reviewers SET made = 1 WHERE request_id = ?", broken), false, access.Approved, true, false},
		{"somebody is taken from those who were asked", pending,
			statement("DELETE FROM reviewers WHERE request_id = ? AND principal = 'dora@example.com'", pending), false, access.Pending, true, false},
		{"somebody has it in their list who was not asked", pending,
			statement("INSERT INTO reviewers SELECT request_id, 'mal@example.com', state, made FROM reviewers WHERE request_id = ? AND principal = 'dora@example.com'",
				pending), false, access.Pending, true, false},
		{"a list says that it is decided", pending,
			statement("UPDATE reviewers SET state = 'denied' WHERE request_id = ?", pending), false, access.Pending, true, false},
		{"a glass is broken for longer", broken, body(broken, 1, `"end":`, `"end":9`), true, "", true, false},
		{"a glass is broken by somebody else", broken,
			statement("UPDATE parts SET content = REPLACE(content, 'ana@', 'mal@') WHERE request_id = ?", broken), true, "", true, false},
		{"a broken glass is signed with a key of one's own", broken, signedBy(broken, 1), true, "", true, false},
		{"a broken glass is brought in under another number", "brk-0000000000000099", func(t *testing.T, r rigged) {
			r.exec(t, "INSERT INTO events ("+columns+") SELECT 'brk-0000000000000099', 1, body, algorithm, key_id, public_key, signature FROM events WHERE request_id = ?",
				broken)
		}, true, "", true, false},
		// By somebody with a service of their own; dated later than the last head nothing finds it.
		{"a broken glass is said to have failed", broken, func(t *testing.T, r rigged) {
			s := ledger.New(ledger.Config{Home: r, Signer: keys(t, slices.Repeat([]byte{66}, 32)), Now: time.Now, Random: rand.Reader})
			e := access.Event{Action: access.GrantFailed, At: time.Unix(1, 0), Request: access.Request{ID: broken},
				Err: &access.Error{Kind: access.Unprocessable, Code: access.CodeNotGranted}}
			if _, err := s.Commit(t.Context(), e, nil); err != nil {
				t.Fatal(err)
			}
		}, false, access.Failed, true, true},
		{"a broken glass is reviewed by nobody", broken, inserted(broken, 2, func(t *testing.T, r rigged, text map[string]any) {
			text["action"] = "reviewed"
			delete(text, "start")
			delete(text, "end")
		}), true, "", true, false},
		{"an entry is not in the canonical form", approved, body(approved, 2, `,"version"`, `, "version"`), true, "", true, false},
		{"an entry says a thing twice", approved, body(approved, 2, `,"version":2`, `,"version":2,"version":2`), true, "", true, false},
		{"an entry is no entry", approved, body(approved, 2, `{`, `[`), true, "", true, false},
	}
}

func b64(b []byte) string { return ledger.Base64(b) }

func TestNobodyWithTheDatabaseAloneGetsAccess(t *testing.T) {
	for name, open := range riggedHomes {
		t.Run(name, func(t *testing.T) {
			for _, e := range edits() {
				t.Run(e.what, func(t *testing.T) {
					c, home := newClock(), open(t)
					s := store(t, home, c)
					scene(t, home, s, c)
					c.Advance(time.Minute)
					head, err := s.Head(t.Context(), c.Now())
					if err != nil {
						t.Fatal(err)
					}
					if report, err := ledger.Verify(t.Context(), home, keys(t, secret), head); err != nil || len(report.Findings) > 0 || report.Erased > 0 {
						t.Fatalf("before anything: %+v, %v", report, err)
					}
					e.do(t, home)

					got, err := s.Open(t.Context(), e.id)
					if (err != nil) != e.refused || got.State != e.state {
						t.Errorf("opens as %q, %v", got.State, err)
					}
					if got.State == access.Approved && got.Window.Length() > 30*time.Minute {
						t.Errorf("window %v", got.Window)
					}
					plain, err := ledger.Verify(t.Context(), home, keys(t, secret))
					if err != nil {
						t.Fatal(err)
					}
					with, err := ledger.Verify(t.Context(), home, keys(t, secret), head)
					if err != nil {
						t.Fatal(err)
					}
					if found := len(plain.Findings)+plain.SelfAttested > 0; found != (e.found && !e.head) {
						t.Errorf("verify finds %+v", plain)
					}
					if found := len(with.Findings)+with.SelfAttested > 0; found != e.found {
						t.Errorf("with the head verify finds %+v", with)
					}
					if !e.found && with.Erased == 0 {
						t.Error("nobody says so")
					}
				})
			}
		})
	}
}

// What is written meanwhile is no finding.
func TestVerifyBesideTheServiceFindsNothing(t *testing.T) {
	for name, open := range riggedHomes {
		t.Run(name, func(t *testing.T) {
			c, home := newClock(), open(t)
			s := store(t, home, c)
			scene(t, home, s, c)
			r, err := s.Open(t.Context(), approved)
			if err != nil {
				t.Fatal(err)
			}
			written := make(chan error, 1)
			go func() {
				for range 100 {
					e := access.Event{Action: access.GrantFailed, At: c.Now(), Request: r, Caller: access.Caller{Method: access.MethodSystem},
						Err: &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}}
					if _, err := s.Commit(t.Context(), e, nil); err != nil {
						written <- err
						return
					}
				}
				written <- nil
			}()
			for done := false; !done; {
				select {
				case err := <-written:
					if done = true; err != nil {
						t.Error(err)
					}
				default:
				}
				if report, err := ledger.Verify(t.Context(), home, keys(t, secret)); err != nil || len(report.Findings) > 0 {
					t.Fatalf("%+v, %v", report.Findings, err)
				}
			}
		})
	}
}
