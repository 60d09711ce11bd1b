package mail

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wneessen/go-mail/smtp"
	"golang.org/x/sync/semaphore"
)

// onePool has one connection at most, to nobody. alive is how many of those that were
// opened have not been closed.
func onePool(t *testing.T) (p *pool, alive func() int) {
	p = &pool{turns: semaphore.NewWeighted(1), now: func() time.Time { return time.Time{} }, afterFunc: func(time.Duration, func()) func() bool { return func() bool { return true } }}
	var opened []net.Conn
	p.open = func(ctx context.Context) (*session, error) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close(); theirs.Close() })
		opened = append(opened, ours)
		s := &session{conn: &conn{Conn: ours}}
		s.begin(ctx)
		return s, nil
	}
	return p, func() (n int) {
		for _, c := range opened {
			if c.SetDeadline(time.Time{}) == nil {
				n++
			}
		}
		return n
	}
}

func taken(t *testing.T, p *pool, ctx context.Context) *session {
	t.Helper()
	s, err := p.take(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// state is how many connections there are, how many rest, and whether the next who comes
// gets one at once.
type state struct {
	alive, resting int
	free           bool
}

func wantState(t *testing.T, p *pool, alive func() int, what string, want state) {
	t.Helper()
	got := state{alive(), len(p.idle), p.turns.TryAcquire(1)}
	if got.free {
		p.turns.Release(1)
	}
	if got != want {
		t.Fatalf("%s: %+v; want %+v", what, got, want)
	}
}

func TestAConnectionWhoseOwnersTimeIsOverIsNotKept(t *testing.T) {
	p, alive := onePool(t)
	ctx, over := context.WithCancel(t.Context())
	s := taken(t, p, ctx)
	over()
	p.give(s)
	wantState(t, p, alive, "afterwards", state{0, 0, true})
}

func TestWhoHasNoTimeTakesNoConnection(t *testing.T) {
	p, alive := onePool(t)
	p.give(taken(t, p, t.Context()))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := p.take(over); err == nil {
		p.give(s)
		t.Error("taken")
	}
	wantState(t, p, alive, "afterwards", state{1, 1, true})
}

func TestNoConnectionGoesToWhoHasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, alive := onePool(t)
		s := taken(t, p, t.Context())
		ctx, giveUp := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { _, err := p.take(ctx); done <- err }()
		synctest.Wait() // until it waits
		giveUp()
		if err := <-done; err == nil {
			t.Error("taken")
		}
		wantState(t, p, alive, "while it is used", state{1, 0, false})
		p.give(s)
		wantState(t, p, alive, "afterwards", state{1, 1, true})
	})
}

// Whoever gives up just as a connection, or leave to open one, is handed to them
// passes it on.
func TestWhatIsGivenToWhoGivesUpIsPassedOn(t *testing.T) {
	for i := range 400 {
		synctest.Test(t, func(t *testing.T) {
			p, alive := onePool(t)
			s := taken(t, p, t.Context())
			s.broken = i%2 == 0
			ctx, giveUp := context.WithCancel(t.Context())
			done := make(chan *session)
			go func() { s, _ := p.take(ctx); done <- s }()
			synctest.Wait() // until it waits
			var both sync.WaitGroup
			both.Go(giveUp)
			both.Go(func() { p.give(s) })
			both.Wait()
			if s := <-done; s != nil {
				p.give(s)
			}
			synctest.Wait()
			wantState(t, p, alive, "round "+strconv.Itoa(i), state{len(p.idle), len(p.idle), true})
		})
	}
}

// The connection of whoever waits longest is the one that was given back: no other is
// opened for them.
func TestWhoWaitsGetsTheConnectionThatIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, alive := onePool(t)
		s := taken(t, p, t.Context())
		next := make(chan *session)
		go func() { s, _ := p.take(t.Context()); next <- s }()
		synctest.Wait() // until it waits
		p.give(s)
		if got := <-next; got != s {
			t.Error("another connection")
		}
		wantState(t, p, alive, "while it is used", state{1, 0, false})
	})
}

// Threat 29: the log-in itself looks whether anybody could listen, whatever has been
// looked at before.
func TestThreat29_ATokenAsksForEncryption(t *testing.T) {
	for _, test := range []struct {
		server smtp.ServerInfo
		fit    bool
	}{
		{smtp.ServerInfo{Name: "smtp.example.com"}, false},
		{smtp.ServerInfo{Name: "localhost.example.com", Auth: []string{xoauth2}}, false},
		{smtp.ServerInfo{Name: "smtp.example.com", TLS: true}, true},
		{smtp.ServerInfo{Name: "127.0.0.1"}, true},
	} {
		for _, length := range []int{10, 4000} {
			a := &tokenAuth{username: "jit@example.com", token: strings.Repeat("x", length)}
			if _, said, err := a.Start(&test.server); (err == nil) != test.fit || err != nil && said != nil {
				t.Errorf("%+v: %q, %v", test.server, said, err)
			}
		}
	}
}
