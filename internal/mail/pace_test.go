package mail_test

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

// clock is one that goes on when somebody sleeps.
type clock struct {
	mutex sync.Mutex
	time  time.Time
	slept []time.Duration
}

func (c *clock) now() time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.time
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.time = c.time.Add(d)
	c.slept = append(c.slept, d)
	return nil
}

// paced is a Mailer to a server, both by the clock.
func paced(t *testing.T, k *clock, perMinute int) (*mail.Mailer, *smtptest.Talk) {
	s := smtptest.StartTalk(t, usually)
	c := plainConfig(s.Host, s.Port)
	c.PerMinute, c.Now, c.Sleep = perMinute, k.now, k.sleep
	return mailer(t, c), s
}

func TestNoMoreMailsThanPermittedInAnyMinute(t *testing.T) {
	k := &clock{time: now}
	m, _ := paced(t, k, 5)
	var sent []time.Time
	for i, pause := range []time.Duration{0, 0, 20, 0, 0, 0, 0, 1, 0, 30, 0, 0, 90, 0, 0, 0, 0, 0, 59, 0, 0, 2, 0, 0, 0, 0, 0, 0} {
		k.sleep(t.Context(), pause*time.Second)
		if failed := m.Notify(t.Context(), request(i)).Failed(); failed != nil {
			t.Fatal(failed)
		}
		sent = append(sent, k.now())
	}
	for i := range sent {
		if i >= 5 && sent[i].Sub(sent[i-5]) < time.Minute {
			t.Errorf("mails %d to %d went within %s", i-5, i, sent[i].Sub(sent[i-5]))
		}
	}
	// As soon as there is room, and not later.
	if want := now.Add(60 * time.Second); !sent[5].Equal(want) || !sent[6].Equal(want) {
		t.Errorf("the sixth and seventh mail went at %s and %s, want %s", sent[5], sent[6], want)
	}
}

func TestThirtyMailsAMinuteUnlessToldOtherwise(t *testing.T) {
	k := &clock{time: now}
	m, s := paced(t, k, 0)
	for i := range 31 {
		m.Notify(t.Context(), request(i))
	}
	if len(k.slept) != 1 || k.slept[0] != time.Minute || len(s.Messages()) != 31 {
		t.Errorf("slept %v for %d mails", k.slept, len(s.Messages()))
	}
}

func TestAMailThatCannotHaveItsTurnInTimeIsReportedAtOnce(t *testing.T) {
	k := &clock{time: now}
	m, s := paced(t, k, 2)
	for i := range 2 {
		m.Notify(t.Context(), request(i))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	for range 3 {
		failed := m.Notify(ctx, request(3)).Failed()
		wantUndelivered(t, failed, access.Unavailable)
		if text := failed[0].Err.Error(); !strings.Contains(text, "at most 2 mails a minute") || !strings.Contains(text, "wait for 1m0s") {
			t.Errorf("error is %q", text)
		}
	}
	if len(k.slept) != 0 || len(s.Messages()) != 2 {
		t.Errorf("slept %v, sent %d", k.slept, len(s.Messages()))
	}
	// They have not cost the others their turn.
	k.sleep(ctx, 30*time.Second)
	if failed := m.Notify(ctx, request(4)).Failed(); failed != nil || k.slept[1] != 30*time.Second {
		t.Errorf("undelivered %v after %v", failed, k.slept)
	}
}

// Threat 24: whoever makes requests in a row, has a reviewer's server make us try again,
// or decides in a row, leaves a third of the mails of any minute to others.
func TestThreat24_OnePersonLeavesMailsForOthers(t *testing.T) {
	from := func(p access.Principal) access.Notice {
		n := review()
		n.Request.Principal = p
		return n
	}
	asked := func(int) access.Notice { return from(ana) }
	// Of others' requests, each somebody else's.
	decided := func(i int) access.Notice {
		n := approved()
		n.Request.Principal, n.Decision.By = request(i).Request.Principal, ana
		return n
	}
	for _, test := range []struct {
		name      string
		perMinute int
		notice    func(i int) access.Notice
		most      int
	}{
		{"requests", 0, asked, 20},
		{"decisions", 0, decided, 20},
		{"a smaller account", 10, asked, 7},
		{"three", 3, asked, 2},
	} {
		k := &clock{time: now}
		m, s := paced(t, k, test.perMinute)
		for i := range 60 {
			failed := m.Notify(t.Context(), test.notice(i)).Failed()
			if (failed == nil) != (i < test.most) {
				t.Fatalf("%s: mail %d: undelivered %v", test.name, i+1, failed)
			}
			if i >= test.most {
				err := failed[0].Err
				if text := err.Error(); len(failed) != 3 || access.AsError(err).Kind != access.Unavailable || !strings.Contains(text, "for one person") || strings.Contains(text, "ana@") {
					t.Errorf("%s: undelivered %d, error is %q", test.name, len(failed), text)
				}
			}
		}
		others := cmp.Or(test.perMinute, 30) - test.most
		for range others {
			if failed := m.Notify(t.Context(), from(boris)).Failed(); failed != nil {
				t.Errorf("%s: another's: undelivered %v", test.name, failed)
			}
		}
		if len(s.Messages()) != test.most+others || len(k.slept) != 0 {
			t.Errorf("%s: %d mails after %v", test.name, len(s.Messages()), k.slept)
		}
		k.sleep(t.Context(), time.Minute)
		if failed := m.Notify(t.Context(), test.notice(0)).Failed(); failed != nil {
			t.Errorf("%s: a minute later: undelivered %v", test.name, failed)
		}
	}
	// Tries count as well.
	k := &clock{time: now}
	s := smtptest.StartTalk(t, func(_ int, command string) (string, bool) {
		return "450 4.2.0 later\r\n", strings.HasPrefix(command, "RCPT TO:<chen@")
	})
	c := plainConfig(s.Host, s.Port)
	c.PerMinute, c.Now, c.Sleep = 9, k.now, func(context.Context, time.Duration) error { return nil }
	m := mailer(t, c)
	for range 3 {
		m.Notify(t.Context(), from(ana))
	}
	if failed := m.Notify(t.Context(), from(boris)).Failed(); len(failed) != 1 {
		t.Errorf("another's: undelivered %v", failed)
	}
}

func TestWhoStopsWaitingGivesTheTurnBack(t *testing.T) {
	k := &clock{time: now}
	m, s := paced(t, k, 1)
	m.Notify(t.Context(), request(1))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		wantUndelivered(t, m.Notify(over, request(2)).Failed(), access.TimedOut)
	}
	if failed := m.Notify(t.Context(), request(3)).Failed(); failed != nil || k.now().Sub(now) != time.Minute {
		t.Errorf("undelivered %v at %s", failed, k.now())
	}
	if len(s.Messages()) != 2 {
		t.Errorf("sent %d", len(s.Messages()))
	}
}

// A mail that is tried again is one more for the server.
func TestEveryTryTakesATurn(t *testing.T) {
	k := &clock{time: now}
	s := smtptest.StartTalk(t, func(_ int, command string) (string, bool) {
		return "450 4.2.0 later\r\n", strings.HasPrefix(command, "RCPT TO:<chen@")
	})
	c := plainConfig(s.Host, s.Port)
	c.PerMinute, c.Now, c.Sleep = 2, k.now, k.sleep
	failed := mailer(t, c).Notify(t.Context(), review()).Failed()
	if len(failed) != 1 || failed[0].To != chen || !strings.Contains(failed[0].Err.Error(), "450") {
		t.Errorf("undelivered %v", failed)
	}
	if k.now().Sub(now) < 2*time.Minute {
		t.Errorf("five tries within %s", k.now().Sub(now))
	}
	wantOnce(t, s.Messages(), 2)
}

// What an application asks for is on its account, whoever it asks for and whatever becomes of it:
// it leaves a third of the mails of a minute to others.
func TestOneApplicationLeavesMailsToOthers(t *testing.T) {
	k := &clock{time: now}
	m, _ := paced(t, k, 30)
	// Nobody waits for the next minute, which by the clock of this test does not come.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	asks := func(i int) access.Notice {
		n := review()
		n.Request.ID = fmt.Sprintf("mpa-%016d", i)
		n.Request.Principal = access.Principal(fmt.Sprintf("x%d@example.com", i))
		n.Request.Resource = "apps/deployer"
		n.Request.Asking = access.Asking{Application: "deployer", Template: "deploy", Title: "x", Subject: string(n.Request.Principal), Unlinked: i%2 == 0}
		n.Kind = []access.NoticeKind{access.NoticeReview, access.NoticeReminder, access.NoticeWithdrawn, access.NoticeEnded}[i%4]
		return n
	}
	for i := range 20 {
		if failed := m.Notify(ctx, asks(i)).Failed(); failed != nil {
			t.Fatal(i, failed)
		}
	}
	for i := range 4 {
		if m.Notify(ctx, asks(20+i)).Failed() == nil {
			t.Error("an application takes more than two thirds of the mails of a minute")
		}
	}
	if failed := m.Notify(ctx, review()).Failed(); failed != nil {
		t.Error("somebody else's mail:", failed)
	}
	other := asks(20)
	if other.Request.Asking.Application = "other"; m.Notify(ctx, other).Failed() != nil {
		t.Error("another application's mail:", other)
	}
}
