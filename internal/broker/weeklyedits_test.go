package broker_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/ledger/relational"
)

// spoiledWeek is a week with somebody who may write all rows and has no key. On what is asked
// before, the ledger is not new.
type spoiledWeek struct {
	*weekly
	home ledger.Home
	exec func(statement string)
}

// databases are opened with a connection of somebody else's.
var databases = map[string]func(t *testing.T) (*relational.Database, *sql.DB){
	"SQLite": func(t *testing.T) (*relational.Database, *sql.DB) {
		path := filepath.Join(t.TempDir(), "jitaccess.db")
		d, err := relational.SQLite(path)
		raw, failed := sql.Open("sqlite", path)
		if err = errors.Join(err, failed); err != nil {
			t.Fatal(err)
		}
		return d, raw
	},
	"PostgreSQL": func(t *testing.T) (*relational.Database, *sql.DB) {
		c := ledgertest.PostgreSQL(t)
		url := c.URL(ledgertest.Superuser, c.Database(t, ""))
		d, err := relational.PostgreSQL(url, nil)
		raw, failed := sql.Open("pgx", url)
		if err = errors.Join(err, failed); err != nil {
			t.Fatal(err)
		}
		return d, raw
	},
}

// newSpoiledWeek is a service that has swept for a week, where cho has something that nobody gave.
func newSpoiledWeek(t *testing.T, open func(t *testing.T) (*relational.Database, *sql.DB)) *spoiledWeek {
	t.Helper()
	home, raw := open(t)
	t.Cleanup(func() { home.Close(); raw.Close() })
	if err := home.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.Listed = []access.ResourceInfo{{Resource: shop}}
	w.Clock = w.Clock.Add(123456789).In(time.FixedZone("", 3600)) // finer than what is kept, as clocks are
	store := ledger.New(ledger.Config{Home: home, Signer: keys(t), Now: func() time.Time {
		w.Mu.Lock()
		defer w.Mu.Unlock()
		return w.Clock
	}, Random: rand.Reader})
	w.Ledger = store
	k := &spoiledWeek{&weekly{world: w, t: t, store: store, b: w.Broker()}, home, func(statement string) {
		t.Helper()
		if _, err := raw.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}}
	if _, err := k.b.Ask(t.Context(), caller(ana), ask()); err != nil {
		t.Fatal(err)
	}
	k.steps(1)
	k.exec("CREATE TABLE copies AS SELECT * FROM notes")
	k.later(7*24*time.Hour + time.Minute)
	swept(t, k.b) // what was asked has lapsed
	grant := standingGrant(w, "mpa-0000000000000001", cho, admin)
	grant.Window.End = k.Clock.Add(30 * 24 * time.Hour)
	k.Activations = []access.Activation{grant}
	k.Told = nil
	return k
}

// forged is what somebody wants to have been kept: that a round has just ended and found nothing.
func (k *spoiledWeek) forged(step int, at time.Time) access.Reconciliation {
	all := access.Round{Began: at, Ended: at, Looked: 1}
	return access.Reconciliation{Step: step, At: at, Round: all, Last: all}
}

// put keeps it with a signature, or without one.
func (k *spoiledWeek) put(r access.Reconciliation, sign ledger.Signer) {
	k.t.Helper()
	s := ledger.New(ledger.Config{Home: k.home, Signer: sign, Now: func() time.Time { return k.Clock }, Random: rand.Reader})
	if err := s.KeepReconciliation(k.t.Context(), r); err != nil {
		k.t.Fatal(err)
	}
}

// unsigning puts nothing where signatures are.
type unsigning struct{ ledger.Signer }

func (unsigning) Sign(context.Context, []byte) (ledger.Signature, error) {
	return ledger.Signature{}, nil
}

const notes = " WHERE kind = 'reconciliation'"

// Whoever may write the database, and has no key, keeps administrators from hearing by nothing that
// they write there once. What it is tried with is written before a round, within it, or after one
// has ended, before it is told or after.
func TestNobodyWithTheDatabaseAloneSilencesTheWeeklyNotice(t *testing.T) {
	other, err := ledger.NewKeys(bytes.Repeat([]byte{66}, 32))
	if err != nil {
		t.Fatal(err)
	}
	const before, within, untold, told = "before", "within", "untold", "told"
	body := func(r access.Reconciliation) string { // of a note
		return ledger.Base64(fmt.Appendf(nil, `{"step":%d,"round":{"began":%[2]q,"ended":%[2]q},"last":{"began":%[2]q,"ended":%[2]q}}`,
			r.Step, r.At.UTC().Format(time.RFC3339)))
	}
	for what, c := range map[string]struct {
		when string
		do   func(k *spoiledWeek)
		// again is whether it is told again.
		again bool
	}{
		"nothing": {before, func(k *spoiledWeek) {}, false},
		"a note that all was found to be well, unsigned": {before, func(k *spoiledWeek) {
			k.put(k.forged(9, k.Clock), unsigning{&ledger.Keys{}})
		}, false},
		"such a note, signed with a key of one's own": {before, func(k *spoiledWeek) { k.put(k.forged(9, k.Clock), other) }, false},
		"such a note, with our signature of another": {before, func(k *spoiledWeek) {
			k.put(k.forged(9, k.Clock), unsigning{&ledger.Keys{}})
			for _, column := range []string{"algorithm", "key_id", "public_key", "signature"} {
				k.exec(fmt.Sprintf("UPDATE notes SET %s = (SELECT %[1]s FROM copies%s)%s", column, notes, notes))
			}
		}, false},
		"our note is changed": {before, func(k *spoiledWeek) {
			k.exec(fmt.Sprintf("UPDATE notes SET body = '%s'%s", body(k.forged(1, k.Clock)), notes))
		}, false},
		"our note is of a later time": {before, func(k *spoiledWeek) {
			k.exec(fmt.Sprintf("UPDATE notes SET made = %d%s", k.Clock.Add(30*time.Minute).UnixMicro(), notes))
		}, false},
		"our note has another name": {before, func(k *spoiledWeek) { k.exec("UPDATE notes SET id = '9'" + notes) }, false},
		"our notes are deleted":     {before, func(k *spoiledWeek) { k.exec("DELETE FROM notes" + notes) }, false},
		"many notes of a time that has not come": {before, func(k *spoiledWeek) {
			for i := range 12 {
				k.put(k.forged(9+i, k.Clock.Add(1000*time.Hour)), unsigning{&ledger.Keys{}})
			}
		}, false},
		"a lease without end": {before, func(k *spoiledWeek) {
			k.exec("INSERT INTO leases (name, holder, until) VALUES ('reconcile', 'nobody', 9000000000000000000)")
			k.steps(2)
			k.later(time.Hour)
			k.steps(2)
			k.later(time.Hour)
		}, false},

		"within a round, a note that all was looked at": {within, func(k *spoiledWeek) {
			r := k.forged(9, k.Clock)
			r.Round.Ended, r.All = time.Time{}, true
			k.put(r, unsigning{&ledger.Keys{}})
		}, false},
		"within a round, the notes of a week ago": {within, func(k *spoiledWeek) {
			k.exec("DELETE FROM notes" + notes)
			k.exec("INSERT INTO notes SELECT * FROM copies")
		}, false},
		"within a round, no notes": {within, func(k *spoiledWeek) { k.exec("DELETE FROM notes" + notes) }, false},
		"within a round, the next note's place": {within, func(k *spoiledWeek) {
			k.exec("INSERT INTO notes (kind, id, made, body, algorithm, key_id, public_key, signature) " +
				"SELECT kind, REPLACE(id, '/2', '/3'), 1, '', '', '', '', '' FROM notes" + notes + " AND id LIKE '%/2'")
		}, false},

		"within a round, the places of all that may come": {within, func(k *spoiledWeek) {
			k.exec("WITH RECURSIVE steps(n) AS (SELECT 3 UNION ALL SELECT n + 1 FROM steps WHERE n < 2000) " +
				"INSERT INTO notes (kind, id, made, body, algorithm, key_id, public_key, signature) SELECT kind, REPLACE(id, '/2', '/') || n, " +
				"1, '', '', '', '', '' FROM notes, steps" + notes + " AND id LIKE '%/2'")
		}, false},

		"before it is told, a note of another round": {untold, func(k *spoiledWeek) { k.put(k.forged(9, k.Clock), unsigning{&ledger.Keys{}}) }, false},
		"before it is told, no notes":                {untold, func(k *spoiledWeek) { k.exec("DELETE FROM notes" + notes) }, true},
		"before it is told, the notes of a week ago": {untold, func(k *spoiledWeek) {
			k.exec("DELETE FROM notes" + notes)
			k.exec("INSERT INTO notes SELECT * FROM copies")
		}, true},
		"after it was told, the notes of a week ago": {told, func(k *spoiledWeek) {
			k.exec("DELETE FROM notes" + notes)
			k.exec("INSERT INTO notes SELECT * FROM copies")
		}, true},
	} {
		for name, open := range databases {
			for _, living := range []bool{true, false} { // whether the same process goes on
				if living && name == "PostgreSQL" {
					continue // a database for each costs more than it shows
				}
				t.Run(fmt.Sprintf("%s/%s/living %v", what, name, living), func(t *testing.T) {
					k := newSpoiledWeek(t, open)
					heard := 0
					minute := func() {
						k.Told = nil
						k.steps(1)
						for _, n := range k.told() {
							if inBrief(n) == "not-remembered mpa-0000000000000001 cho@example.com, too-long mpa-0000000000000001 cho@example.com" {
								heard++
							} else {
								t.Errorf("heard %s", inBrief(n))
							}
						}
					}
					switch c.when {
					case within:
						k.steps(1)
					case untold:
						k.steps(2)
					case told:
						minute()
						minute()
					}
					c.do(k)
					if !living {
						k.b = k.Broker()
					}
					for range 4 {
						minute()
					}
					want := []int{1}
					if c.again {
						want = []int{1, 2}
					}
					if !slices.Contains(want, heard) {
						t.Errorf("heard %d times", heard)
					}
				})
			}
		}
	}
}

// Where no key can sign, it is still told once, and by the next process again.
func TestTheWeeklyNoticeComesWhereNothingCanSign(t *testing.T) {
	k := newSpoiledWeek(t, databases["SQLite"])
	down := &failingSigner{Signer: keys(t), err: &access.Error{Kind: access.Upstream, Code: access.CodePlatformRefused}}
	k.Ledger = ledger.New(ledger.Config{Home: k.home, Signer: down, Now: func() time.Time { return k.Clock }, Random: rand.Reader})
	k.b = k.Broker()
	heard := func(minutes int) (times int) {
		for range minutes {
			k.Told = nil
			if _, err := k.b.ReconcileStep(t.Context(), 2); err != nil && !errors.Is(err, access.ErrNotSigned) {
				t.Fatal(err)
			}
			k.later(time.Minute)
			times += len(k.told())
		}
		return times
	}
	if times := heard(10); times != 1 {
		t.Errorf("heard %d times", times)
	}
	k.b = k.Broker()
	if times := heard(10); times != 1 {
		t.Errorf("a new process: heard %d times", times)
	}
	down.err = nil
	if times := heard(10); times != 0 {
		t.Errorf("since it can be signed: heard %d times", times)
	}
	k.later(7 * 24 * time.Hour)
	if times := heard(5); times != 1 {
		t.Errorf("a week later: heard %d times", times)
	}
	k.b = k.Broker()
	if times := heard(5); times != 0 {
		t.Errorf("a new process, after it was signed: heard %d times", times)
	}
}

// Whoever takes the notes away each minute, or lays others on top of them, keeps a round from ending
// in no process that goes on.
func TestARoundEndsThoughItsNotesGoEachMinute(t *testing.T) {
	for what, spoil := range map[string]func(k *spoiledWeek){
		"taken away": func(k *spoiledWeek) { k.exec("DELETE FROM notes" + notes) },
		"an old one put back": func(k *spoiledWeek) {
			k.exec("DELETE FROM notes" + notes)
			k.exec("INSERT INTO notes SELECT * FROM copies")
		},
	} {
		t.Run(what, func(t *testing.T) {
			k := newSpoiledWeek(t, databases["SQLite"])
			k.Listed = nil
			for _, on := range append(some(6), shop) { // three steps and more
				k.Listed = append(k.Listed, access.ResourceInfo{Resource: on})
			}
			for minute := 0; len(k.ended) == 0; minute++ {
				if minute == 20 {
					t.Fatal("it has not ended")
				}
				k.steps(1)
				spoil(k)
			}
			if k.ended[0].Looked != 7 || k.ended[0].Differences == 0 {
				t.Errorf("%+v", k.ended[0])
			}
		})
	}
}

// Another instance, which can read no note of ours, does not keep what was found to itself: it looks
// again, and tells what it finds.
func TestWhatNothingSignedSpeaksOfIsFoundAgain(t *testing.T) {
	k := newSpoiledWeek(t, databases["SQLite"])
	k.steps(2)
	before := k.kept()
	k.exec("DELETE FROM notes" + notes)
	k.b = k.Broker()
	if told := k.told(); len(told) != 0 {
		t.Fatalf("told what nothing signed says: %+v", told)
	}
	k.steps(3)
	if told := k.told(); len(told) != 1 || told[0].ID == before.ID || told[0].Round == before.Round || inBrief(told[0]) != inBrief(before) {
		t.Errorf("told %+v, before that %+v", told, before)
	}
}

// kept is the notice that waits to be told.
func (k *spoiledWeek) kept() (n access.Notice) {
	k.t.Helper()
	for m, err := range k.store.Take(k.t.Context(), k.Clock, 0, 10, false) {
		if err != nil {
			k.t.Fatal(err)
		}
		if err := k.store.Unsent(k.t.Context(), m, k.Clock); err != nil {
			k.t.Fatal(err)
		}
		if m.Notice.Kind == access.NoticeReconciled {
			n = m.Notice
		}
	}
	if n.ID == "" {
		k.t.Fatal("nothing is kept")
	}
	return n
}

// Whoever may write the database, and has no key, tells administrators nothing in our name, and
// nobody else anything: what is told is what was found, to whom the settings name.
func TestNobodyWithTheDatabaseAloneTellsOfTheWeek(t *testing.T) {
	put := func(k *spoiledWeek, n access.Notice) {
		s := ledger.New(ledger.Config{Home: k.home, Signer: unsigning{&ledger.Keys{}}, Now: func() time.Time { return k.Clock }, Random: rand.Reader})
		n.Later = true
		if err := s.KeepReconciliation(k.t.Context(), access.Reconciliation{Step: 99, At: k.Clock}, n); err != nil {
			k.t.Fatal(err)
		}
	}
	instead := func(k *spoiledWeek, n access.Notice) {
		k.exec("DELETE FROM outbox")
		put(k, n)
	}
	for what, c := range map[string]struct {
		do func(k *spoiledWeek, n access.Notice)
		// told is whether it is told all the same, as it was found.
		told bool
	}{
		"nothing": {func(*spoiledWeek, access.Notice) {}, true},
		"others are told too": {func(k *spoiledWeek, n access.Notice) {
			n.To, n.CC = append(n.To, "eve@example.org"), []access.Principal{"eve@example.org"}
			instead(k, n)
		}, true},
		"others are told in their place": {func(k *spoiledWeek, n access.Notice) {
			n.To = []access.Principal{"eve@example.org"}
			instead(k, n)
		}, true},
		"it says more than there is to it": {func(k *spoiledWeek, n access.Notice) {
			n.By, n.CC, n.Request.Justification, n.ReviewURL = "eve@example.org", n.To, "pay here", "https://eve.example.org"
			instead(k, n)
		}, true},
		"another is named": {func(k *spoiledWeek, n access.Notice) {
			n.Differences = slices.Clone(n.Differences)
			n.Differences[0].Principal = "dan@example.com"
			instead(k, n)
		}, false},
		"one is left out": {func(k *spoiledWeek, n access.Notice) {
			n.Differences = n.Differences[1:]
			instead(k, n)
		}, false},
		"one is added": {func(k *spoiledWeek, n access.Notice) {
			n.Differences = append(n.Differences, access.Difference{Kind: access.TooLong, Principal: "dan@example.com"})
			instead(k, n)
		}, false},
		"another role, in place of why": {func(k *spoiledWeek, n access.Notice) {
			n.Differences = slices.Clone(n.Differences)
			n.Differences[0].Why, n.Differences[0].Roles = "", append([]string{n.Differences[0].Why}, n.Differences[0].Roles...)
			instead(k, n)
		}, false},
		"another number": {func(k *spoiledWeek, n access.Notice) {
			n.Round.Differences = 1000
			instead(k, n)
		}, false},
		"another time": {func(k *spoiledWeek, n access.Notice) {
			n.At = n.At.Add(time.Hour)
			instead(k, n)
		}, false},
		"the same a second time": {func(k *spoiledWeek, n access.Notice) {
			n.ID = "again"
			put(k, n)
		}, true},
		"none was told, since all was as it is recorded": {func(k *spoiledWeek, n access.Notice) {
			k.exec("DELETE FROM outbox")
			k.Activations = nil
			k.later(7 * 24 * time.Hour)
			k.steps(3)
			last, err := k.store.Reconciliation(k.t.Context())
			if err != nil || last.Last.Differences != 0 || last.UnderWay() {
				k.t.Fatalf("%+v, %v", last, err)
			}
			n.Round, n.Differences = last.Last, nil
			put(k, n)
		}, false},
	} {
		t.Run(what, func(t *testing.T) {
			k := newSpoiledWeek(t, databases["SQLite"])
			k.steps(2)
			n := k.kept()
			want, to := inBrief(n), n.To
			c.do(k, n)
			told := k.told()
			if !c.told {
				if len(told) != 0 {
					t.Errorf("told %+v", told)
				}
				return
			}
			if len(told) != 1 || told[0].ID != n.ID || inBrief(told[0]) != want || !slices.Equal(told[0].To, to) ||
				len(told[0].CC) != 0 || told[0].By != "" || told[0].Request.Justification != "" || told[0].ReviewURL != "" {
				t.Errorf("told %+v", told)
			}
		})
	}
}

type failingSigner struct {
	ledger.Signer
	err error
}

func (f *failingSigner) Sign(ctx context.Context, text []byte) (ledger.Signature, error) {
	if f.err != nil {
		return ledger.Signature{}, f.err
	}
	return f.Signer.Sign(ctx, text)
}
