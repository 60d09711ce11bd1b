package firestore_test

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/broker"
	"jitaccess/internal/broker/storetest"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/firestore"
	"jitaccess/internal/ledger/firestoretest"
)

func open(t testing.TB) *firestore.Database {
	address, name := firestoretest.Emulator(t)
	return at(t, address, name)
}

func at(t testing.TB, address, name string) *firestore.Database {
	d := firestore.New(firestore.Config{Client: &http.Client{Transport: seen}, Endpoint: address, Project: "jit-test", Database: name})
	if err := d.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// keys are one that is derived from a secret of 32 times a byte; that of the service is of 7.
func keys(t testing.TB, of byte) *ledger.Keys {
	k, err := ledger.NewKeys(bytes.Repeat([]byte{of}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// clock stands until it is put forward.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func store(t testing.TB, home ledger.Home, c *clock) *ledger.Store {
	return ledger.New(ledger.Config{Home: home, Signer: keys(t, 7), Now: c.Now, Random: rand.Reader})
}

func TestFirestoreKeepsTheContractOfTheStore(t *testing.T) {
	storetest.RunMemory(t, func(t *testing.T) (storetest.Fixture, broker.Memory) {
		c, home := newClock(), open(t)
		return storetest.Fixture{Store: store(t, home, c), Now: c.Now, Advance: c.Advance}, store(t, home, c)
	})
}

// The clocks of the two instances are a minute apart.
func TestFirestoreKeepsTheContractOfLeases(t *testing.T) {
	storetest.RunLease(t, func(t *testing.T) (one, again storetest.Leasing) {
		home, ahead := open(t), newClock()
		ahead.Advance(time.Minute)
		return store(t, home, newClock()), store(t, home, ahead)
	})
}

// A session that one instance has ended is ended for all, until nobody can have it any more.
func TestFirestoreKeepsWhichSessionsWereEnded(t *testing.T) {
	home, c := open(t), newClock()
	one, again := store(t, home, c), store(t, home, c)
	for _, step := range []struct {
		ends  string
		first bool
		after time.Duration
		want  map[string]bool
	}{
		{"first", true, 0, map[string]bool{"first": true, "second": false}},
		{"first", false, 0, map[string]bool{"first": true}},
		{"second", true, time.Hour, map[string]bool{"first": true, "second": true}},
		{"third", true, time.Second, map[string]bool{"first": false, "second": true, "third": true}},
	} {
		c.Advance(step.after)
		if first, err := one.EndSession(t.Context(), step.ends, c.Now().Add(time.Hour)); err != nil || first != step.first {
			t.Fatal(first, err)
		}
		for id, want := range step.want {
			if ended, err := again.SessionEnded(t.Context(), id); err != nil || ended != want {
				t.Errorf("after %s: session %s: ended %v, %v", step.ends, id, ended, err)
			}
		}
	}
}
