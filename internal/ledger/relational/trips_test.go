package relational_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger/ledgertest"
	"jitaccess/internal/ledger/relational"
)

// trips counts round trips: that a client speaks after the server did, and says more than that it
// is there.
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
			// A connection that has rested for a second is tried first, by a statement of its own.
			if !client || !bytes.Contains(b[:n], []byte("-- ping")) {
				c.said(client)
			}
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

// An approval is two round trips before anything is granted, one to open the request and
// one to record it, and two after: what became of it, and that people were told.
func TestAnApprovalIsTwoRoundTrips(t *testing.T) {
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
	clock := newClock()
	s := store(t, d, clock)
	for i, id := range []string{pending, denied, approved} {
		trips := func(what string, most int, do func() error) {
			t.Helper()
			c.since()
			if err := do(); err != nil {
				t.Fatal(err)
			}
			// The first one prepares the statements.
			if n := c.since(); i > 0 && n > most {
				t.Errorf("%s: %d round trips", what, n)
			}
		}
		notices := []access.Notice{{ID: "n" + id, Request: access.Request{ID: id}}}
		commit := func(e access.Event, notices []access.Notice) func() error {
			return func() error {
				_, err := s.Commit(t.Context(), e, notices)
				return err
			}
		}
		trips("asking", 1, commit(made(clock, id), notices))
		var r access.Request
		trips("opening", 1, func() (err error) {
			r, err = s.Open(t.Context(), id)
			return err
		})
		e := access.Event{Action: access.RequestApproved, At: clock.Now(), Request: r, Caller: access.Caller{Principal: "ben@example.com"},
			Decision: access.Decision{Verdict: access.Approve, By: "ben@example.com", At: clock.Now(), Digest: r.Digest()}, Window: r.WindowAt(clock.Now())}
		trips("approving", 1, commit(e, nil))
		e.Action, e.Decision = access.GrantWritten, access.Decision{}
		trips("granting", 1, commit(e, notices))
		trips("having told", 1, func() error { return s.Sent(t.Context(), access.Message{ID: "n" + id, Lease: "n" + id}) })
	}
}
