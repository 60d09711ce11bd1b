package relational_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/broker"
	"jitaccess/internal/broker/storetest"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/ledger/relational"
)

func TestMain(m *testing.M) { ledgertest.Main(m) }

// homes are those that there are, each opened empty, with who may use it at run time.
var homes = map[string]func(t testing.TB) *relational.Database{
	"SQLite":     sqlite,
	"PostgreSQL": postgres,
}

func sqlite(t testing.TB) *relational.Database {
	d, err := relational.SQLite(filepath.Join(t.TempDir(), "jitaccess.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// postgres is used with the rights of deploy/ledger-grants.sql and no more.
func postgres(t testing.TB) *relational.Database {
	c := ledgertest.PostgreSQL(t)
	name := c.Database(t, "")
	owner, err := relational.PostgreSQL(c.URL(ledgertest.Superuser, name), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	owner.Close()
	grants, err := os.ReadFile("../../../deploy/ledger-grants.sql")
	if err != nil {
		t.Fatal(err)
	}
	role.Do(func() { c.Exec(t, "postgres", `CREATE ROLE "runtime" LOGIN`) })
	c.Exec(t, name, string(bytes.ReplaceAll(grants, []byte("RUNTIME"), []byte(`"runtime"`))))
	d, err := relational.PostgreSQL(c.URL("runtime", name), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

var role sync.Once

var secret = bytes.Repeat([]byte{7}, 32)

func keys(t testing.TB, secrets ...[]byte) *ledger.Keys {
	k, err := ledger.NewKeys(secrets...)
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
	return ledger.New(ledger.Config{Home: home, Signer: keys(t, secret), Now: c.Now, Random: rand.Reader})
}

func TestEveryHomeKeepsTheContractOfTheStore(t *testing.T) {
	for name, open := range homes {
		t.Run(name, func(t *testing.T) {
			storetest.RunMemory(t, func(t *testing.T) (storetest.Fixture, broker.Memory) {
				c, home := newClock(), open(t)
				return storetest.Fixture{Store: store(t, home, c), Now: c.Now, Advance: c.Advance}, store(t, home, c)
			})
		})
	}
}

// The clocks of the two instances are a minute apart.
func TestEveryHomeKeepsTheContractOfLeases(t *testing.T) {
	for name, open := range homes {
		t.Run(name, func(t *testing.T) {
			storetest.RunLease(t, func(t *testing.T) (one, again storetest.Leasing) {
				home, ahead := open(t), newClock()
				ahead.Advance(time.Minute)
				return store(t, home, newClock()), store(t, home, ahead)
			})
		})
	}
}

// A session that one instance has ended is ended for all, until nobody can have it any more.
func TestEveryHomeKeepsWhichSessionsWereEnded(t *testing.T) {
	for name, open := range homes {
		t.Run(name, func(t *testing.T) {
			home, c := open(t), newClock()
			one, again := store(t, home, c), store(t, home, c)
			is := func(id string, want bool) {
				t.Helper()
				if ended, err := again.SessionEnded(t.Context(), id); err != nil || ended != want {
					t.Errorf("session %s: ended %v, %v", id, ended, err)
				}
			}
			end := func(id string, new bool) {
				t.Helper()
				if first, err := one.EndSession(t.Context(), id, c.Now().Add(time.Hour)); err != nil || first != new {
					t.Fatal(first, err)
				}
			}
			is("first", false)
			end("first", true)
			end("first", false)
			is("first", true)
			is("second", false)
			c.Advance(time.Hour)
			end("second", true)
			is("first", true)
			c.Advance(time.Second)
			end("third", true)
			is("first", false)
			is("second", true)
		})
	}
}
