package mail

import (
	"context"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// onePool has one connection at most, to nobody.
func onePool(t *testing.T) *pool {
	p := &pool{max: 1, now: func() time.Time { return time.Time{} }, afterFunc: func(time.Duration, func()) func() bool { return func() bool { return true } }}
	p.open = func(ctx context.Context) (*session, error) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close(); theirs.Close() })
		s := &session{conn: &conn{Conn: ours}}
		s.begin(ctx)
		return s, nil
	}
	return p
}

func taken(t *testing.T, p *pool, ctx context.Context) *session {
	t.Helper()
	s, err := p.take(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// counts are how many connections there are, how many rest, and how many wait.
func (p *pool) counts() [3]int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return [3]int{p.count, len(p.idle), len(p.waiting)}
}

func wantCounts(t *testing.T, p *pool, what string, want [3]int) {
	t.Helper()
	if got := p.counts(); got != want {
		t.Fatalf("%s: %v connections, resting, waiting; want %v", what, got, want)
	}
}

// waits returns when somebody waits for a connection.
func waits(p *pool) {
	for p.counts()[2] == 0 {
		runtime.Gosched()
	}
}

func TestAConnectionWhoseOwnersTimeIsOverIsNotKept(t *testing.T) {
	p := onePool(t)
	ctx, over := context.WithCancel(t.Context())
	s := taken(t, p, ctx)
	over()
	p.give(s)
	wantCounts(t, p, "afterwards", [3]int{0, 0, 0})
}

func TestWhoHasNoTimeTakesNoConnection(t *testing.T) {
	p := onePool(t)
	p.give(taken(t, p, t.Context()))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := p.take(over); err == nil {
		p.give(s)
		t.Error("taken")
	}
	wantCounts(t, p, "afterwards", [3]int{1, 1, 0})
}

func TestNoConnectionGoesToWhoHasGivenUp(t *testing.T) {
	p := onePool(t)
	s := taken(t, p, t.Context())
	ctx, giveUp := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := p.take(ctx); done <- err }()
	waits(p)
	giveUp()
	if err := <-done; err == nil {
		t.Error("taken")
	}
	wantCounts(t, p, "while it is used", [3]int{1, 0, 0})
	p.give(s)
	wantCounts(t, p, "afterwards", [3]int{1, 1, 0})
}

// Whoever gives up just as a connection, or leave to open one, is handed to them
// passes it on.
func TestWhatIsGivenToWhoGivesUpIsPassedOn(t *testing.T) {
	for i := range 400 {
		p := onePool(t)
		s := taken(t, p, t.Context())
		s.broken = i%2 == 0
		ctx, giveUp := context.WithCancel(t.Context())
		done := make(chan *session)
		go func() { s, _ := p.take(ctx); done <- s }()
		waits(p)
		// Nobody gets on before both have happened.
		p.mutex.Lock()
		giveUp()
		runtime.Gosched()
		turn := p.waiting[0]
		p.waiting = p.waiting[1:]
		if s.stop(); s.broken {
			turn <- nil
		} else {
			turn <- s
		}
		p.mutex.Unlock()
		if s := <-done; s != nil {
			p.give(s)
		}
		if got := p.counts(); got[0] != got[1] || got[2] != 0 {
			t.Fatalf("round %d: %v connections, resting, waiting", i, got)
		}
	}
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
