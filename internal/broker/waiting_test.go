package broker_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// numbered is a ledger that knows versions and nothing else, and counts what it is asked for.
type numbered struct {
	broker.Memory
	mu    sync.Mutex
	known map[string]int
	asked []int
	err   error
}

func (n *numbered) Limits() access.Limits { return access.Limits{} }

func (n *numbered) Versions(_ context.Context, ids []string) (map[string]int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, len(ids))
	return maps.Clone(n.known), n.err
}

func (n *numbered) Commit(context.Context, access.Event, []access.Notice) (string, error) {
	return "", nil
}

// waitFor is how long somebody waits, at most half a minute.
func waitFor(b *broker.Broker, id string, version int) time.Duration {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	begun := time.Now()
	changed, woken := context.WithCancel(ctx)
	defer woken()
	defer b.WhenChanged(id, version, woken)()
	<-changed.Done()
	return time.Since(begun)
}

// Who waits hears of what this instance records at once, of what another one does within
// moments, and of nothing else.
func TestWhoWaitsHearsOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ledger := &numbered{known: map[string]int{"mpa-1": 3}}
		w.Ledger = ledger
		b := w.Broker()
		if took := waitFor(b, "mpa-1", 2); took > 2*time.Second {
			t.Errorf("of a change before it took %v", took)
		}
		if took := waitFor(b, "mpa-1", 3); took < 30*time.Second {
			t.Errorf("without a change after %v", took)
		}
		go func() {
			time.Sleep(5 * time.Second)
			ledger.mu.Lock()
			defer ledger.mu.Unlock()
			ledger.known["mpa-1"] = 4
		}()
		if took := waitFor(b, "mpa-1", 3); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("another instance's change was heard of after %v", took)
		}
		ledger.err = errDiskFull
		go func() {
			time.Sleep(5*time.Second + time.Millisecond)
			// A refusal is recorded, and of this request.
			b.AskFor(context.Background(), access.Caller{}, broker.AskFor{Key: "y", Sent: access.Sent{Application: "x"}})
		}()
		if took := waitFor(b, access.AskedID("x", "y"), 1); took != 5*time.Second+time.Millisecond {
			t.Errorf("this instance's was heard of after %v", took)
		}
		time.Sleep(2 * time.Second) // nobody waits, and nobody looks any more
	})
}

// However many wait, the ledger is asked for a bounded number in a second, and for nothing once
// nobody waits.
func TestManyWhoWaitAreOneLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ledger := &numbered{}
		w.Ledger = ledger
		b := w.Broker()
		var all sync.WaitGroup
		const people = 10000
		for i := range people {
			all.Go(func() { waitFor(b, fmt.Sprintf("mpa-%05d", i/2), 1) })
		}
		all.Wait()
		total, most := 0, 0
		for _, n := range ledger.asked {
			total, most = total+n, max(most, n)
		}
		if total < 5*people/2 || total > 30*2000 || most > 500 {
			t.Errorf("asked for %d versions, %d at a time", total, most)
		}
		before := len(ledger.asked)
		time.Sleep(time.Minute)
		if after := len(ledger.asked); after > before {
			t.Errorf("asked %d times more though nobody waits", after-before)
		}
	})
}
