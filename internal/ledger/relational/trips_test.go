package relational_test

import (
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/ledger/relational"
)

// trips counts round trips: that a client speaks after the server did.
type trips struct {
	mu     sync.Mutex
	n      int
	client bool
}

func (c *trips) said(client bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client && !c.client {
		c.n++
	}
	c.client = client
}

func (c *trips) since() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	c.n = 0
	return n
}

// counted is the address of a PostgreSQL behind which round trips are counted.
func counted(t *testing.T, address string) (string, *trips) {
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	const socket = ".s.PGSQL.5432"
	behind, dir := filepath.Join(u.Query().Get("host"), socket), t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := &trips{}
	pass := func(to io.WriteCloser, from io.Reader, client bool) {
		defer to.Close()
		for b := make([]byte, 1<<16); ; {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			c.said(client)
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			front, err := l.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("unix", behind)
			if err != nil {
				front.Close()
				return
			}
			go pass(back, front, true)
			go pass(front, back, false)
		}
	}()
	u.RawQuery = url.Values{"host": {dir}}.Encode()
	return u.String(), c
}

// Opening what is decided on is one round trip, and recording it two more.
func TestAnEventIsThreeRoundTrips(t *testing.T) {
	cluster := ledgertest.PostgreSQL(t)
	address, c := counted(t, cluster.URL(ledgertest.Superuser, cluster.Database(t, "")))
	d, err := relational.PostgreSQL(address, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, clock := store(t, d, newClock()), newClock()
	for i, id := range []string{pending, denied, approved} {
		c.since()
		if _, err := s.Commit(t.Context(), made(clock, id), nil); err != nil {
			t.Fatal(err)
		}
		// The first one prepares the statements.
		if n := c.since(); i > 0 && n > 3 {
			t.Errorf("%d round trips", n)
		} else {
			t.Logf("%d round trips", n)
		}
	}
}
