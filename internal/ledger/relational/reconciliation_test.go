package relational_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

// Whatever somebody has written by hand, what was kept before it is found, and nothing is told of a
// time that has not come.
func TestWhatCannotBeAReconciliationIsPassedOver(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for name, open := range homes {
		t.Run(name, func(t *testing.T) {
			home := open(t)
			store := ledger.New(ledger.Config{Home: home, Signer: keys(t, secret), Now: func() time.Time { return now }, Random: rand.Reader})
			r := access.Reconciliation{Step: 1, At: now, Round: access.Round{Began: now}}
			if err := store.KeepReconciliation(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			for i, c := range []struct {
				made time.Time
				body string
			}{
				{now.Add(time.Minute), ""},
				{now.Add(time.Minute), "null and void"},
				{now.Add(time.Minute), `{"step":"two"}`},
				{now.Add(time.Minute), `{"step":2,"round":{"began":"9999-01-01T00:00:00Z"}}`},
				{now.Add(365 * 24 * time.Hour), `{"step":3,"round":{"began":"2026-03-01T10:00:00Z"}}`},
			} {
				if err := home.Keep(t.Context(), ledger.Note{Kind: "reconciliation", ID: fmt.Sprint("by hand ", i), Made: c.made, Body: []byte(c.body)}); err != nil {
					t.Fatal(err)
				}
				if got, err := store.Reconciliation(t.Context()); err != nil || got.Step != 1 || !got.Round.Began.Equal(now) {
					t.Errorf("%q, made %s: %+v, %v", c.body, c.made, got, err)
				}
			}
		})
	}
}

// Notes that nothing can be made of are no beginning: it would begin anew for ever, and everybody
// would take that for silence where all is fine.
func TestNotesThatAreNobodysAreNoBeginning(t *testing.T) {
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for name, open := range homes {
		t.Run(name, func(t *testing.T) {
			home := open(t)
			store := ledger.New(ledger.Config{Home: home, Signer: keys(t, secret), Now: func() time.Time { return now }, Random: rand.Reader})
			if r, err := store.Reconciliation(t.Context()); err != nil || !r.Round.Began.IsZero() {
				t.Fatalf("before the first: %+v, %v", r, err)
			}
			if err := store.KeepReconciliation(t.Context(), access.Reconciliation{Step: 1, At: now, Round: access.Round{Began: now}}); err != nil {
				t.Fatal(err)
			}
			for i := range 10 {
				n := ledger.Note{Kind: "reconciliation", ID: fmt.Sprint("by hand ", i), Made: now.Add(365 * 24 * time.Hour), Body: []byte("{}")}
				if _, err := store.Reconciliation(t.Context()); err != nil {
					t.Errorf("behind %d: %v", i, err)
				}
				if err := home.Keep(t.Context(), n); err != nil {
					t.Fatal(err)
				}
			}
			if r, err := store.Reconciliation(t.Context()); err == nil || !strings.Contains(fmt.Sprint(errors.Unwrap(err)), "jitaccess reconcile") {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}
