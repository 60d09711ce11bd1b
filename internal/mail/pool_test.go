package mail_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

// toReviewers is a notice to so many reviewers and ana.
func toReviewers(count int) access.Notice {
	n := review()
	n.To = nil
	for i := range count {
		n.To = append(n.To, access.Principal(fmt.Sprintf("reviewer-%d@example.com", i)))
	}
	return n
}

// request is a notice of a request of its own, of somebody else each time.
func request(i int) access.Notice {
	n := review()
	n.Request.ID = fmt.Sprintf("mpa-%016d", i)
	n.Request.Principal = access.Principal(fmt.Sprintf("requester-%d@example.com", i))
	return n
}

func TestANoticeCostsOneConnectionAndARoundTripForEachCommand(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		s := smtptest.Start(t, withUser(smtptest.Options{ImplicitTLS: implicit}))
		c := config(s.Host, s.Port, s.Roots)
		c.ImplicitTLS = implicit
		m := mailer(t, c)
		for i := range 3 {
			before := s.RoundTrips()
			if failed := m.Notify(t.Context(), toReviewers(10)).Failed(); failed != nil {
				t.Fatal(failed)
			}
			if trips := s.RoundTrips() - before; i > 0 && trips != 1+11+2 {
				t.Errorf("%d round trips on a connection that was open, want 14: the sender, each recipient, DATA and the message", trips)
			}
		}
		if s.Connections() != 1 || s.LogIns() != 1 || len(s.Messages()) != 3 || len(s.Messages()[2].To) != 11 {
			t.Errorf("%d connections, %d log-ins, %d mails", s.Connections(), s.LogIns(), len(s.Messages()))
		}
	}
}

func TestAServerWithoutPipelining(t *testing.T) {
	s := smtptest.StartTalk(t, func(_ int, command string) (string, bool) {
		return "250-mail.example.com\r\n250 SIZE 100000\r\n", command == "EHLO example.com"
	})
	if failed := mailer(t, plainConfig(s.Host, s.Port)).Notify(t.Context(), review()).Failed(); failed != nil {
		t.Fatal(failed)
	}
	if got := s.Messages(); len(got) != 1 || len(got[0].To) != 3 {
		t.Errorf("sent %v", got)
	}
}

// plainConfig is that of a Mailer that talks to a server without TLS.
func plainConfig(host string, port int) mail.Config {
	c := config(host, port, nil)
	c.AllowPlain, c.Username, c.Login = true, "", nil
	return c
}

func TestABurstGoesOverNoMoreConnectionsThanPermitted(t *testing.T) {
	for _, most := range []int{0, 1, 2} {
		s := smtptest.Start(t, withUser(smtptest.Options{}))
		c := config(s.Host, s.Port, s.Roots)
		c.MaxConnections, c.PerMinute = most, 1000
		m := mailer(t, c)
		var sending sync.WaitGroup
		for i := range 60 {
			sending.Go(func() {
				if failed := m.Notify(t.Context(), request(i)).Failed(); failed != nil {
					t.Error(failed)
				}
			})
		}
		sending.Wait()
		if most == 0 {
			most = 3
		}
		if got := s.Connections(); got > most || s.MostConnections() > most {
			t.Errorf("%d connections, %d at once, want at most %d", got, s.MostConnections(), most)
		}
		wantOnce(t, s.Messages(), 60*3)
	}
}

// wantOnce demands that so many people have mails, and nobody one of them twice.
func wantOnce(t *testing.T, messages []smtptest.Message, people int) {
	t.Helper()
	seen := map[string]int{}
	for _, got := range messages {
		if len(got.To) == 0 {
			continue
		}
		header, _ := parse(t, got.Data)
		for _, to := range got.To {
			seen[header.Get("Message-Id")+" to "+to]++
		}
	}
	for what, times := range seen {
		if times != 1 {
			t.Errorf("%s was sent %d times", what, times)
		}
	}
	if len(seen) != people {
		t.Errorf("sent %v, want mails to %d people", seen, people)
	}
}

// timers are started by a Mailer and go off when a test says so.
type timers struct {
	mutex   sync.Mutex
	running map[int]func()
	started []time.Duration
}

func (t *timers) afterFunc(d time.Duration, f func()) func() bool {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	id := len(t.started)
	t.started = append(t.started, d)
	if t.running == nil {
		t.running = map[int]func(){}
	}
	t.running[id] = f
	return func() bool {
		t.mutex.Lock()
		defer t.mutex.Unlock()
		_, runs := t.running[id]
		delete(t.running, id)
		return runs
	}
}

// goOff lets all running timers go off.
func (t *timers) goOff() {
	t.mutex.Lock()
	due := t.running
	t.running = nil
	t.mutex.Unlock()
	for _, f := range due {
		f()
	}
}

func usually(int, string) (string, bool) { return "", false }

func TestAnIdleConnectionIsEndedAfterTenSeconds(t *testing.T) {
	s := smtptest.StartTalk(t, usually)
	var waiting timers
	c := plainConfig(s.Host, s.Port)
	c.AfterFunc = waiting.afterFunc
	m := mailer(t, c)
	for range 2 {
		if failed := m.Notify(t.Context(), review()).Failed(); failed != nil {
			t.Fatal(failed)
		}
	}
	if slices.Contains(s.Heard(), "QUIT") || !slices.Equal(waiting.started, []time.Duration{10 * time.Second, 10 * time.Second}) || len(waiting.running) != 1 {
		t.Errorf("heard %q; timers of %v, %d of which run", s.Heard(), waiting.started, len(waiting.running))
	}
	waiting.goOff()
	if heard := s.Heard(); heard[len(heard)-1] != "QUIT" {
		t.Errorf("heard %q, want QUIT at the end", heard)
	}
	if failed := m.Notify(t.Context(), review()).Failed(); failed != nil {
		t.Error(failed)
	}
	if got := count(s.Heard(), "EHLO example.com"); got != 2 {
		t.Errorf("%d connections, want 2", got)
	}
}

func count(heard []string, command string) (times int) {
	for _, h := range heard {
		if h == command {
			times++
		}
	}
	return times
}

// Where the platform stops the process between requests, the timer comes too late.
func TestAConnectionIsNotUsedAfterTenSeconds(t *testing.T) {
	s := smtptest.StartTalk(t, usually)
	clock := now
	c := plainConfig(s.Host, s.Port)
	c.AfterFunc = new(timers).afterFunc
	c.Now = func() time.Time { return clock }
	m := mailer(t, c)
	for i, pause := range []time.Duration{0, 9 * time.Second, 9 * time.Second, 10 * time.Second, time.Hour} {
		clock = clock.Add(pause)
		if failed := m.Notify(t.Context(), request(i)).Failed(); failed != nil {
			t.Fatal(failed)
		}
	}
	if got := count(s.Heard(), "EHLO example.com"); got != 3 || len(s.Messages()) != 5 {
		t.Errorf("%d mails over %d connections, want 5 over 3", len(s.Messages()), got)
	}
}

func TestCloseEndsTheConnectionsThatAreIdle(t *testing.T) {
	s := smtptest.StartTalk(t, usually)
	m := mailer(t, plainConfig(s.Host, s.Port))
	if failed := m.Notify(t.Context(), request(1)).Failed(); failed != nil {
		t.Fatal(failed)
	}
	m.Close()
	if heard := s.Heard(); heard[len(heard)-1] != "QUIT" {
		t.Errorf("heard %q, want QUIT at the end", heard)
	}
	m.Close()
	if failed := m.Notify(t.Context(), request(2)).Failed(); failed != nil || len(s.Messages()) != 2 {
		t.Errorf("after the end: undelivered %v, %d mails", failed, len(s.Messages()))
	}
	mailer(t, mail.Config{}).Close()
}

func TestAnIdleConnectionThatTheServerHasClosedIsReplaced(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	c := config(s.Host, s.Port, s.Roots)
	c.MaxConnections = 2
	c.Sleep = func(context.Context, time.Duration) error { t.Error("waited"); return nil }
	m := mailer(t, c)
	for i := range 3 {
		if failed := m.Notify(t.Context(), request(i)).Failed(); failed != nil {
			t.Fatal(failed)
		}
		s.CloseConnections()
	}
	wantOnce(t, s.Messages(), 9)
	if s.Connections() != 3 {
		t.Errorf("%d connections, want 3", s.Connections())
	}
}

func TestTheEndOfAContextCostsOnlyItsOwnConnection(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{Hang: smtptest.AtMail, After: 1, Times: 1}))
	c := config(s.Host, s.Port, s.Roots)
	c.MaxConnections = 1
	m := mailer(t, c)
	first, over := context.WithCancel(t.Context())
	if failed := m.Notify(first, request(1)).Failed(); failed != nil {
		t.Fatal(failed)
	}
	over()
	// The connection is there for the second, which hangs on it while others wait.
	second, over := context.WithCancel(t.Context())
	given, giveUp := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	sending.Go(func() { wantUndelivered(t, m.Notify(second, request(2)).Failed(), access.TimedOut) })
	<-s.Reached
	if s.Connections() != 1 {
		t.Errorf("%d connections, want 1", s.Connections())
	}
	sending.Go(func() { wantUndelivered(t, m.Notify(given, request(3)).Failed(), access.TimedOut) })
	sending.Go(func() {
		if failed := m.Notify(t.Context(), request(4)).Failed(); failed != nil {
			t.Error(failed)
		}
	})
	giveUp()
	over()
	sending.Wait()
	wantOnce(t, s.Messages(), 6)
}

// Nothing is said on a connection after Notify has returned, but QUIT.
func TestNothingIsSentAfterwards(t *testing.T) {
	s := smtptest.StartTalk(t, usually)
	m := mailer(t, plainConfig(s.Host, s.Port))
	for i := range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		if failed := m.Notify(ctx, request(i)).Failed(); failed != nil {
			t.Fatal(failed)
		}
		cancel()
		if got := s.Heard(); got[len(got)-1] != "." {
			t.Errorf("heard %q", got)
		}
	}
	m.Close()
	if got := s.Heard(); len(got) != 1+5*6+1 {
		t.Errorf("heard %q", got)
	}
}
