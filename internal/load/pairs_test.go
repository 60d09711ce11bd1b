package load_test

import (
	"errors"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

var pairCount = flag.Int("pairs", 100, "how many pairs of simultaneous approvals are made in each home")

// pairsInADatabase is how many go into one database before the next one is begun.
const pairsInADatabase = 10_000

// TestPairsOfApprovalsAtTheSameTime has two people approve one request at the same time, on
// two instances with their own connections to one database. Of half of the requests one
// approval is enough: one of the two is told that it was granted, and the other that it is
// decided. Of the other half both are needed. Each time exactly one grant is written, by a
// platform that would write it as often as it is told to.
func TestPairsOfApprovalsAtTheSameTime(t *testing.T) {
	for _, home := range []string{"SQLite", "PostgreSQL"} {
		t.Run(home, func(t *testing.T) {
			var again atomic.Int64
			began := time.Now()
			for from := 0; from < *pairCount; from += pairsInADatabase {
				n := min(pairsInADatabase, *pairCount-from)
				p := newPlatform()
				two, database, drop := p.instances(t, home, 2)
				err := inParallel(n, 6, func(i int) error { return p.pair(t, two, from+i, &again) })
				if err != nil {
					t.Error(err)
				}
				if len(p.writes) != n {
					t.Errorf("%d requests have a grant, of %d", len(p.writes), n)
				}
				verified(t, database, n)
				drop()
			}
			took := time.Since(began)
			t.Logf("%d pairs in %v, %.0f a second; %d approvals were sent again after a conflict", *pairCount, took.Round(time.Second/10),
				float64(*pairCount)/took.Seconds(), again.Load())
		})
	}
}

// pair is one of them.
func (p *platform) pair(t *testing.T, two []instance, n int, again *atomic.Int64) error {
	role := []access.Role{ofOne, ofTwo}[n%2]
	id, err := asked(t.Context(), two[n%2], n, role)
	if err != nil {
		return err
	}
	var both sync.WaitGroup
	var results [2]broker.Decided
	var errs [2]error
	begin := make(chan struct{})
	for i, who := range []access.Principal{ben, cho} {
		both.Go(func() {
			<-begin
			for {
				results[i], errs[i] = two[i].Decide(t.Context(), caller(who), approval(id))
				if codeOf(errs[i]) != access.CodeConflict {
					return
				}
				again.Add(1) // somebody was quicker; whoever presses again hears how it stands
			}
		})
	}
	close(begin)
	both.Wait()
	active, pending, decided := 0, 0, 0
	for i := range two {
		switch {
		case errs[i] == nil && results[i].State == access.Active:
			active++
		case errs[i] == nil && results[i].State == access.Pending:
			pending++
		case codeOf(errs[i]) == access.CodeAlreadyApproved:
			decided++
		}
	}
	right := active == 1 && decided == 1
	if role == ofTwo {
		right = active == 1 && pending == 1
	}
	if !right {
		return fmt.Errorf("%s of %s: %v and %v, %w", id, role, results[0].State, results[1].State, errors.Join(errs[:]...))
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
