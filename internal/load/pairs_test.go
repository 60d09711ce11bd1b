package load_test

import (
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger/relational"
)

var pairCount = flag.Int("pairs", 100, "how many pairs of simultaneous approvals are made in each home")

// pairsInADatabase is how many go into one database before the next one is begun.
const pairsInADatabase = 10_000

// TestPairsOfApprovalsAtTheSameTime has two people approve one request at the same time, on
// two instances: in SQLite on two processes with one file, in PostgreSQL on two pools of
// connections. Of half of the requests one approval is enough: one of the two is told that it
// was granted, and the other that it is decided. Of the other half both are needed. Each time
// exactly one grant is written, by a platform that would write it as often as it is told to.
func TestPairsOfApprovalsAtTheSameTime(t *testing.T) {
	for _, home := range []string{"SQLite", "PostgreSQL"} {
		t.Run(home, func(t *testing.T) {
			var again atomic.Int64
			began := time.Now()
			for from := 0; from < *pairCount; from += pairsInADatabase {
				n := min(pairsInADatabase, *pairCount-from)
				p := newPlatform()
				two, database, stop := p.two(t, home)
				err := inParallel(n, 6, func(i int) error { return p.pair(t, two, from+i, &again) })
				if err != nil {
					t.Error(err)
				}
				if len(p.writes) != n {
					t.Errorf("%d requests have a grant, of %d", len(p.writes), n)
				}
				verified(t, database, n)
				stop()
			}
			took := time.Since(began)
			t.Logf("%d pairs in %v, %.0f a second; %d approvals were sent again after a conflict", *pairCount, took.Round(time.Second/10),
				float64(*pairCount)/took.Seconds(), again.Load())
		})
	}
}

// pairing is where somebody asks, and how Ben and Cho approve.
type pairing struct {
	asks    instance
	approve [2]func(id string) told
}

func (p *platform) two(t *testing.T, home string) (pairing, *relational.Database, func()) {
	if home == "SQLite" {
		here, far, database, stop := p.twoProcesses(t)
		return pairing{here, [2]func(string) told{
			func(id string) told { return here.approve(t.Context(), ben, id) }, far.approve}}, database, stop
	}
	two, database, drop := p.instances(t, home, 2)
	return pairing{two[0], [2]func(string) told{
		func(id string) told { return two[0].approve(t.Context(), ben, id) },
		func(id string) told { return two[1].approve(t.Context(), cho, id) }}}, database, drop
}

// pair is one of them.
func (p *platform) pair(t *testing.T, two pairing, n int, again *atomic.Int64) error {
	role := []access.Role{ofOne, ofTwo}[n%2]
	id, err := asked(t.Context(), two.asks, n, role)
	if err != nil {
		return err
	}
	var both sync.WaitGroup
	var results [2]told
	begin := make(chan struct{})
	for i := range two.approve {
		both.Go(func() {
			<-begin
			results[i] = two.approve[i](id)
		})
	}
	close(begin)
	both.Wait()
	active, pending, decided := 0, 0, 0
	for _, r := range results {
		again.Add(int64(r.Again))
		switch {
		case r.Why == "" && r.State == access.Active:
			active++
		case r.Why == "" && r.State == access.Pending:
			pending++
		case r.Code == access.CodeAlreadyApproved:
			decided++
		}
	}
	right := active == 1 && decided == 1
	if role == ofTwo {
		right = active == 1 && pending == 1
	}
	if !right {
		return fmt.Errorf("%s of %s: %+v", id, role, results)
	}
	if w := p.written(id); w != 1 {
		return fmt.Errorf("%s of %s was written %d times", id, role, w)
	}
	return nil
}

func approval(id string) broker.Decide {
	return broker.Decide{Ref: id, Verdict: access.Approve, Origin: origin}
}

func codeOf(err error) access.Code {
	if err == nil {
		return ""
	}
	return access.AsError(err).Code
}
