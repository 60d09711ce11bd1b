package pomerium_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/relational"
	"jitaccess/internal/pomerium"
)

// ledgerAt is the ledger of one instance.
func (w *world) ledgerAt(path string) *ledger.Store {
	w.t.Helper()
	home, err := relational.SQLite(path)
	if err == nil {
		w.t.Cleanup(func() { home.Close() })
		err = home.Migrate(w.t.Context())
	}
	keys, failed := ledger.NewKeys(make([]byte, 32))
	if err = errors.Join(err, failed); err != nil {
		w.t.Fatal(err)
	}
	return ledger.New(ledger.Config{Home: home, Signer: keys, Now: w.now, Random: rand.Reader})
}

// Two instances write one policy by the lease of the ledger that they share, and by nothing
// else: nothing is lost, though each reads, writes and reads again.
func TestTwoInstancesLoseNothingByTheLedgersLease(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "jitaccess.db")
	var instances []*pomerium.Provider
	for range 2 {
		w.config.Lease = w.ledgerAt(path).Lease
		instances = append(instances, w.provider())
	}
	var wg sync.WaitGroup
	var want []string
	for i := range 8 {
		g := w.approved(access.Principal(fmt.Sprintf("p%d@example.com", i)), byte(i+1), w.now(), time.Hour)
		want = append(want, rule(g.Principal, g.Window.End))
		wg.Go(func() {
			if _, err := instances[i%2].Grant(t.Context(), g, query(g.Principal), agree); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := w.rules("jit-example")
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	// Every write stood when it was read back: nobody wrote in between.
	if sent := w.zero.Sent(); count(sent, "PUT", "") != len(want) || count(sent, "POST", "/policies") != 1 {
		t.Errorf("%d writes of %d grants, %d policies made", count(sent, "PUT", ""), len(want), count(sent, "POST", "/policies"))
	}
}

// Whoever waits for the lease waits no longer than they have time, and writes nothing then.
func TestWhoHasNoTimeForTheLeaseWritesNothing(t *testing.T) {
	w := newWorld(t)
	store := w.ledgerAt(filepath.Join(t.TempDir(), "jitaccess.db"))
	release, err := store.Lease(t.Context(), string(example), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	w.config.Lease = store.Lease
	p := w.provider()
	g := w.approved(ana, 1, w.now(), time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	for _, act := range []func() error{
		func() error { _, err := p.Grant(ctx, g, query(ana), agree); return err },
		func() error {
			_, err := p.End(ctx, access.Ending{RequestID: g.RequestID, Principal: ana, Resource: example, At: w.now()})
			return err
		},
	} {
		if err := act(); err == nil || len(w.zero.Sent()) > 0 {
			t.Error(err)
		}
	}
	if err := release(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.grant(p, g)
}

// A lease that is held without end, as by a row that somebody has written by hand, keeps
// nothing from ending. What grants waits, and is not written.
func TestALeaseThatIsNeverFreeKeepsNothingFromEnding(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	whole, _ := ctx.Deadline()
	var patience []bool
	w.config.Lease = func(ctx context.Context, _ string, _ time.Duration) (func(context.Context) error, error) {
		until, _ := ctx.Deadline()
		patience = append(patience, time.Until(until) > 11*time.Second && !until.After(whole))
		return nil, &access.Error{Kind: access.Unavailable, Code: access.CodeLeaseHeld}
	}
	p := w.provider()
	g := w.approved(ana, 1, w.now(), time.Hour)
	if _, err := p.Grant(ctx, g, query(ana), agree); codeOf(err) != access.CodeLeaseHeld || len(w.zero.Sent()) > 0 {
		t.Error(err)
	}
	if _, err := w.zero.AddPolicy("jit-example", "["+rule(ana, g.Window.End)+"]"); err != nil {
		t.Fatal(err)
	}
	ending := access.Ending{RequestID: g.RequestID, Principal: ana, Resource: example, At: w.now()}
	if outcomes, err := p.End(ctx, ending); err != nil || len(outcomes) != 1 {
		t.Error(outcomes, err)
	}
	w.wants()
	if !slices.Equal(patience, []bool{true, false}) {
		t.Errorf("waited for long: %v", patience)
	}
}
