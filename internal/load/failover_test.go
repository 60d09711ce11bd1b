package load_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/ledger/relational"
)

var failoverCount = flag.Int("failover", 60, "how many requests are decided before and after the standby is promoted")

// acknowledged is what people were told about one request.
type acknowledged struct {
	id       string
	approved []access.Principal
	active   bool
}

// promoted is a primary with a standby that follows it, instances that know of both, and
// what they have acknowledged.
type promoted struct {
	*platform
	primary, standby *ledgertest.Cluster
	all              []instance
	home             *relational.Database

	mu   sync.Mutex
	told []acknowledged
	// last is when something was acknowledged last, gap the longest time without.
	last time.Time
	gap  time.Duration
	// failures are the refusals that were heard on the way.
	failures map[access.Code]int
}

func newPromoted(t *testing.T, synchronous bool) *promoted {
	f := &promoted{platform: newPlatform(), primary: ledgertest.Start(t), failures: map[access.Code]int{}}
	database := f.primary.Database(t, "")
	f.standby = f.primary.Standby(t, synchronous)
	address := ledgertest.URLOf(ledgertest.Superuser, database, f.primary, f.standby)
	for _, d := range open(t, 3, func() (*relational.Database, error) { return relational.PostgreSQL(address, nil) }) {
		f.home, f.all = d, append(f.all, f.instance(store(t, d)))
	}
	return f
}

// tries does something until it is acknowledged: whoever is told that it did not work
// presses again.
func (f *promoted) tries(ctx context.Context, do func() error) error {
	for {
		err := do()
		e := access.AsError(err)
		now := time.Now()
		f.mu.Lock()
		if err == nil {
			if !f.last.IsZero() {
				f.gap = max(f.gap, now.Sub(f.last))
			}
			f.last = now
		} else {
			f.failures[e.Code]++
		}
		f.mu.Unlock()
		switch {
		case err == nil || e.Kind != access.Unavailable && e.Kind != access.Conflict && e.Kind != access.TimedOut:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

// request is made by Ana and approved by as many as it takes, at several instances.
func (f *promoted) request(ctx context.Context, n int) error {
	a := acknowledged{}
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.told = append(f.told, a)
	}()
	role := []access.Role{ofOne, ofTwo}[n%2]
	form, err := f.all[0].NewForm(caller(ana), access.Peers)
	if err != nil {
		return err
	}
	err = f.tries(ctx, func() error {
		made, err := f.all[n%3].Ask(ctx, caller(ana), ask(form, n, role))
		if err == nil {
			a.id = made.Request.ID
		}
		return err
	})
	for i, who := range approvers[:1+n%2] {
		if err != nil {
			return err
		}
		err = f.tries(ctx, func() error {
			decided, err := f.all[(n+i)%3].Decide(ctx, caller(who), approval(a.id))
			if err == nil {
				a.approved, a.active = append(a.approved, who), decided.State == access.Active
			}
			return err
		})
	}
	return err
}

// load decides requests from a number on, with six people at a time; once half of them are
// through, something happens.
func (f *promoted) load(t *testing.T, from, n int, then func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var through atomic.Int64
	var happens sync.WaitGroup
	err := inParallel(n, 6, func(i int) error {
		err := f.request(ctx, from+i)
		if through.Add(1) == int64(n/2) && then != nil {
			happens.Go(then)
		}
		return err
	})
	happens.Wait()
	if err != nil {
		t.Error(err)
	}
}

// lost is what was acknowledged and does not stand, in words.
func (f *promoted) lost(t *testing.T) (lost []string) {
	for _, a := range f.told {
		r, err := f.all[0].store.Open(t.Context(), a.id)
		switch {
		case err != nil:
			lost = append(lost, fmt.Sprintf("%s: %v", a.id, err))
		case slices.ContainsFunc(a.approved, func(p access.Principal) bool { return r.DecisionOf(p) == nil }),
			a.active && r.State != access.Active && r.State != access.Approved:
			lost = append(lost, fmt.Sprintf("%+v: it is %s, by %v", a, r.State, r.ApprovedBy()))
		}
	}
	return lost
}

// ungrounded are the grants that no approvals are recorded of, or that were written twice.
func (f *promoted) ungrounded(t *testing.T) (all []string) {
	for id, n := range f.writes {
		r, err := f.all[0].store.Open(t.Context(), id)
		if n != 1 || err != nil || len(r.ApprovedBy()) < map[access.Role]int{ofOne: 1, ofTwo: 2}[r.Entitlements[0].Role] || r.TakenIn != (time.Time{}) {
			all = append(all, fmt.Sprintf("%s, written %d times: %v, %v", id, n, r.State, err))
		}
	}
	return all
}

// TestAStandbyIsPromotedUnderLoad: the primary is killed and its standby promoted while
// three instances write, which know of both. With synchronous replication everything that
// was acknowledged stands, and every grant has its approvals.
func TestAStandbyIsPromotedUnderLoad(t *testing.T) {
	f := newPromoted(t, true)
	f.load(t, 0, 2**failoverCount, func() {
		f.primary.Kill()
		f.standby.Promote(t)
	})
	// What the answer was lost of is finished by a sweep.
	for range 5 {
		if _, err := f.all[1].Sweep(t.Context(), broker.SweepCount); err != nil {
			t.Fatal(err)
		}
	}
	for _, what := range f.lost(t) {
		t.Errorf("lost: %s", what)
	}
	for _, what := range f.ungrounded(t) {
		t.Errorf("not approved: %s", what)
	}
	if n := 2 * *failoverCount; len(f.writes) != n {
		t.Errorf("%d were granted, of %d", len(f.writes), n)
	}
	report, err := ledger.Verify(t.Context(), f.home, keys(t))
	if err != nil || len(report.Findings) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
	t.Logf("nothing was acknowledged for %v; refused meanwhile: %v", f.gap.Round(time.Millisecond), f.failures)
}

// TestWhatAnAsynchronousStandbyLacksIsLost and is found: a standby that has not heard of
// the last writes is promoted. What was acknowledged meanwhile is gone, the grants of it
// stand, and a survey takes in every one of them as something that nobody here approved.
func TestWhatAnAsynchronousStandbyLacksIsLost(t *testing.T) {
	f := newPromoted(t, false)
	f.load(t, 0, 20, nil)
	f.standby.Cut(t)
	f.load(t, 20, 20, nil)
	f.primary.Kill()
	f.standby.Promote(t)
	for i := range f.all { // connections are made anew
		_ = f.tries(t.Context(), func() error { _, err := f.all[i].store.List(t.Context(), access.Listing{}); return err })
	}
	lost, ungrounded := f.lost(t), f.ungrounded(t)
	if len(lost) != 20 || len(ungrounded) != 20 {
		t.Errorf("lost are %d, without approvals %d, of 20", len(lost), len(ungrounded))
	}
	done, err := f.all[2].Survey(t.Context(), 100)
	if err != nil || done.TakenIn != 20 {
		t.Errorf("%+v, %v", done, err)
	}
	report, err := ledger.Verify(t.Context(), f.home, keys(t))
	if err != nil || len(report.Findings) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
	t.Logf("%d of 40 that were acknowledged are lost; %d grants are taken in", len(lost), done.TakenIn)
}
