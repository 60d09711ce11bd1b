package broker_test

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
)

// withRows is withHome, with somebody who may write all rows and has no key.
func withRows(t *testing.T) (*world, *ledger.Store, ledger.Home, func(statement string, args ...any)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jitaccess.db")
	home, err := relational.SQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := home.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { home.Close(); raw.Close() })
	w := newWorld(t)
	store := ledger.New(ledger.Config{Home: home, Signer: keys(t), Now: func() time.Time { return w.Clock }, Random: rand.Reader})
	w.Ledger = store
	return w, store, home, func(statement string, args ...any) {
		t.Helper()
		if _, err := raw.Exec(statement, args...); err != nil {
			t.Fatal(err)
		}
	}
}

// How often a message was tried is a number that others may write.
func TestAMessageWithANumberOfAttemptsByHandIsTriedAgain(t *testing.T) {
	for _, attempts := range []int64{-1, -1 << 63, 1 << 40} {
		w, _, home, exec := withRows(t)
		b := w.Broker()
		w.Undelivered = access.Receipts{{Channel: "mail", To: ben, Err: &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}}}
		if _, err := b.Ask(t.Context(), caller(ana), ask()); err != nil {
			t.Fatal(err)
		}
		exec("UPDATE outbox SET attempts = ?, due = 1, lease = ''", attempts)
		if done := swept(t, b); done.Left != 1 {
			t.Errorf("%+v", done)
		}
		kept, err := home.Waiting(t.Context(), w.Clock.Add(2*time.Hour), 10, false)
		if err != nil || len(kept) != 1 || kept[0].Due.Before(w.Clock.Add(time.Minute)) || kept[0].Due.After(w.Clock.Add(time.Hour)) {
			t.Errorf("%d attempts: %+v, %v", attempts, kept, err)
		}
	}
}

// The chain of a request, signed anew with a key of one's own, ends nobody's access.
func TestWhoHasNoKeyEndsNobodysAccess(t *testing.T) {
	for _, ours := range []bool{true, false} {
		w, store, home, exec := withRows(t)
		b := w.Broker()
		asked, err := b.Ask(t.Context(), caller(ana), ask())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := approve(t, b, ben, asked.Ref); err != nil {
			t.Fatal(err)
		}
		by := store
		if !ours {
			events, err := store.History(t.Context(), asked.Ref)
			if err != nil {
				t.Fatal(err)
			}
			for _, table := range []string{"events", "parts", "reviewers"} {
				exec("DELETE FROM "+table+" WHERE request_id = ?", asked.Ref)
			}
			exec("DELETE FROM requests")
			own, err := ledger.NewKeys(bytes.Repeat([]byte{66}, 32))
			if err != nil {
				t.Fatal(err)
			}
			by = ledger.New(ledger.Config{Home: home, Signer: own, Now: func() time.Time { return w.Clock }, Random: rand.Reader})
			for i, e := range events {
				if i > 0 {
					if e.Request, err = by.Open(t.Context(), asked.Ref); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := by.Commit(t.Context(), e, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		r, err := by.Open(t.Context(), asked.Ref)
		if err != nil {
			t.Fatal(err)
		}
		end := access.Event{Action: access.EndAsked, At: w.Clock, Caller: access.Caller{Principal: ben}, Request: r}
		if _, err := by.Commit(t.Context(), end, nil); err != nil {
			t.Fatal(err)
		}
		w.Clock, w.Told = w.Clock.Add(2*time.Minute), nil
		if _, err := b.Sweep(t.Context(), 20); err != nil {
			t.Fatal(err)
		}
		stands := w.Activations[0].Window.Contains(w.Clock)
		if stands == ours || (len(w.Told) > 0) != ours {
			t.Errorf("ours %v: stands %v, told %+v", ours, stands, w.Told)
		}
	}
}
