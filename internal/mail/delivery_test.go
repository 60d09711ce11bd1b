package mail_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"jitaccess/internal/access"
	"jitaccess/internal/mail/smtptest"
)

// patience makes connections whose time-outs come when a test says so.
type patience struct {
	mutex sync.Mutex
	conns []net.Conn
}

type patientConn struct{ net.Conn }

func (patientConn) SetDeadline(time.Time) error      { return nil }
func (patientConn) SetReadDeadline(time.Time) error  { return nil }
func (patientConn) SetWriteDeadline(time.Time) error { return nil }

func (p *patience) dial(ctx context.Context, network, address string) (net.Conn, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	p.conns = append(p.conns, conn)
	return patientConn{conn}, nil
}

// end is the time-out of all connections so far.
func (p *patience) end() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, conn := range p.conns {
		conn.SetDeadline(time.Unix(1, 0))
	}
}

// pauses records what a Mailer sleeps, and does not.
type pauses []time.Duration

func (p *pauses) sleep(ctx context.Context, d time.Duration) error {
	*p = append(*p, d)
	return ctx.Err()
}

// TestNobodyGetsAMailTwice: a server that fails once, at any step, in any way, on a
// connection that is new or not. Whoever is not reported has the mail, once; it is
// tried again unless the server may have it.
func TestNobodyGetsAMailTwice(t *testing.T) {
	for _, how := range []string{"hangs", "cuts"} {
		for _, warm := range []bool{false, true} {
			for _, at := range append(slices.Clone(smtptest.Steps), smtptest.AtTaken) {
				t.Run(fmt.Sprintf("%s at %s, used %v", how, at, warm), func(t *testing.T) {
					o := withUser(smtptest.Options{Times: 1})
					if how == "hangs" {
						o.Hang = at
					} else {
						o.Cut = at
					}
					if warm {
						o.After = 1
					}
					if at == smtptest.AtTaken {
						o.After++
					}
					s := smtptest.Start(t, o)
					var connections patience
					var slept pauses
					c := config(s.Host, s.Port, s.Roots)
					c.Dial, c.Sleep = connections.dial, slept.sleep
					m := mailer(t, c)
					before := 0
					if warm {
						if failed := m.Notify(t.Context(), request(0)).Failed(); failed != nil {
							t.Fatal(failed)
						}
						before = 3
					}
					ended := make(chan struct{})
					if how == "hangs" {
						go func() {
							select {
							case <-s.Reached:
								connections.end()
							case <-ended:
							}
						}()
					}
					failed := m.Notify(t.Context(), request(1)).Failed()
					close(ended)

					early := !slices.Contains([]smtptest.Step{smtptest.AtData, smtptest.AtAnswer, smtptest.AtTaken}, at)
					switch {
					case early && failed != nil:
						t.Errorf("undelivered %v", failed)
					case early && warm && len(slept) > 0:
						t.Errorf("slept %v before another connection", slept)
					case at == smtptest.AtAnswer || at == smtptest.AtTaken:
						if len(failed) != 3 || !strings.Contains(failed[0].Err.Error(), "may arrive nevertheless") || len(slept) > 0 {
							t.Errorf("undelivered %v after %v, want everybody, at once", failed, slept)
						}
					}
					if at == smtptest.AtTaken || failed == nil {
						before += 3
					}
					wantOnce(t, s.Messages(), before)
				})
			}
		}
	}
}

// TestRefusalsForNowAreTriedAgain, with longer and longer pauses, and those for good
// are not.
func TestRefusalsForNowAreTriedAgain(t *testing.T) {
	for _, at := range []smtptest.Step{smtptest.AtAuth, smtptest.AtMail, smtptest.AtRecipient, smtptest.AtData, smtptest.AtAnswer} {
		for _, code := range []int{421, 450, 452, 454, 500, 535, 550, 552, 554} {
			for _, times := range []int{1, 0} {
				t.Run(fmt.Sprintf("%d at %s, %d times", code, at, times), func(t *testing.T) {
					o := withUser(smtptest.Options{Times: times})
					refusal := &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: "no"}
					if at == smtptest.AtRecipient {
						o.RefuseRecipient = map[string]*smtp.SMTPError{string(chen): refusal}
					} else {
						o.Refuse = map[smtptest.Step]*smtp.SMTPError{at: refusal}
					}
					s := smtptest.Start(t, o)
					var slept pauses
					c := config(s.Host, s.Port, s.Roots)
					c.Sleep, c.Random = slept.sleep, func() float64 { return 0.5 }
					failed := mailer(t, c).Notify(t.Context(), review()).Failed()

					tries, people := 1, 0
					if code < 500 {
						if tries = 5; times == 1 {
							tries, people = 2, 3
						}
					}
					if at == smtptest.AtRecipient && people == 0 && code != 421 {
						people = 2
					}
					want := []time.Duration{375 * time.Millisecond, 750 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second}[:tries-1]
					if !slices.Equal(slept, want) {
						t.Errorf("slept %v, want %v", slept, want)
					}
					if len(failed) != 3-people {
						t.Errorf("undelivered %v", failed)
					}
					for _, u := range failed {
						if !strings.Contains(u.Err.Error(), fmt.Sprint(code)) {
							t.Errorf("error is %v", u.Err)
						}
					}
					wantOnce(t, s.Messages(), people)
				})
			}
		}
	}
}

func TestOnlyWhoHasNotGotItIsTriedAgain(t *testing.T) {
	s := smtptest.StartTalk(t, func() func(int, string) (string, bool) {
		tries := 0
		return func(_ int, command string) (string, bool) {
			switch {
			case strings.HasPrefix(command, "RCPT TO:<boris@"):
				tries++
				return "452 4.5.3 too many recipients\r\n", tries < 3
			case strings.HasPrefix(command, "RCPT TO:<chen@"):
				return "550 5.1.1 who?\r\n", true
			}
			return "", false
		}
	}())
	var slept pauses
	c := plainConfig(s.Host, s.Port)
	c.Sleep = slept.sleep
	failed := mailer(t, c).Notify(t.Context(), review()).Failed()
	if len(failed) != 1 || failed[0].To != chen || len(slept) != 2 {
		t.Errorf("undelivered %v after %v", failed, slept)
	}
	wantOnce(t, s.Messages(), 2)
	if got := s.Messages(); got[0].Data != got[len(got)-1].Data || !slices.Equal(got[len(got)-1].To, []string{string(boris)}) {
		t.Errorf("not the same mail, to boris: %v", got)
	}
	if got := count(s.Heard(), "RCPT TO:<chen@example.com>"); got != 1 {
		t.Errorf("chen was tried %d times", got)
	}
}

// ending is a context that says when it ends, and does not.
type ending struct {
	context.Context
	at time.Time
}

func (e ending) Deadline() (time.Time, bool) { return e.at, true }

func TestNothingIsTriedAgainForWhichThereIsNoTime(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{Refuse: map[smtptest.Step]*smtp.SMTPError{
		smtptest.AtMail: {Code: 432, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "slow down"},
	}}))
	c := config(s.Host, s.Port, s.Roots)
	c.Random = func() float64 { return 0 }
	c.Dial = func(_ context.Context, network, address string) (net.Conn, error) { return net.Dial(network, address) }
	var slept pauses
	for _, test := range []struct {
		left  time.Duration
		sleep func(context.Context, time.Duration) error
		pause int
	}{
		{time.Hour, slept.sleep, 4},
		{400 * time.Millisecond, slept.sleep, 0},
		{time.Hour, func(context.Context, time.Duration) error { return context.Canceled }, 0},
	} {
		slept, c.Sleep = nil, test.sleep
		failed := mailer(t, c).Notify(ending{t.Context(), time.Now().Add(test.left)}, review()).Failed()
		wantUndelivered(t, failed, access.Unavailable)
		if text := failed[0].Err.Error(); len(slept) != test.pause || !strings.Contains(text, "the sender: 432") {
			t.Errorf("%s left: slept %v, error is %q", test.left, slept, text)
		}
	}
}

// TestServersThatAnswerOddly: whatever a server says, nobody is taken for told who
// has nothing, nobody gets a mail twice, and the next mail goes well.
func TestServersThatAnswerOddly(t *testing.T) {
	const others = "250 ok\r\n"
	for _, test := range []struct {
		name   string
		answer func(connection int, command string) (string, bool)
		// people have the mail, and says is what the others are told; tries is how
		// often it was tried, at most 5.
		people, tries int
		says          string
		// connections are those for this mail and the next.
		connections int
		// lost is that the server has the mail for all, and its answer is lost.
		lost bool
	}{
		{"nobody is taken, and it waits for the message", func(_ int, command string) (string, bool) {
			return "550 5.1.1 who?\r\n", strings.HasPrefix(command, "RCPT")
		}, 0, 1, "a recipient: 550", 1, false},
		{"nobody is taken, and the empty message is refused", func(_ int, command string) (string, bool) {
			if command == "." {
				return "554 5.5.1 no valid recipients\r\n", true
			}
			return "550 5.1.1 who?\r\n", strings.HasPrefix(command, "RCPT")
		}, 0, 1, "a recipient: 550", 1, false},
		{"nobody is taken, and that it is taken back is its last word", func(_ int, command string) (string, bool) {
			if command == "RSET" {
				return "421 4.3.0 bye\r\n" + smtptest.Goodbye, true
			}
			return "550 5.1.1 who?\r\n", strings.HasPrefix(command, "RCPT")
		}, 0, 1, "a recipient: 550", 2, false},
		{"nobody is taken, and no message", func(_ int, command string) (string, bool) {
			if command == "DATA" {
				return "503 5.5.1 no valid recipients\r\n", true
			}
			return "550 5.1.1 who?\r\n", strings.HasPrefix(command, "RCPT")
		}, 0, 1, "a recipient: 550", 1, false},
		{"the sender is refused, and so is all that follows", func(_ int, command string) (string, bool) {
			if strings.HasPrefix(command, "MAIL") {
				return "553 5.7.1 not you\r\n", true
			}
			return "503 5.5.1 bad sequence\r\n", strings.HasPrefix(command, "RCPT") || command == "DATA"
		}, 0, 1, "the sender: 553", 1, false},
		{"the sender is refused for now, and it takes the rest", func(_ int, command string) (string, bool) {
			return "432 4.3.2 slow down\r\n", strings.HasPrefix(command, "MAIL")
		}, 0, 5, "the sender: 432", 1, false},
		{"the message is refused before it was sent", func(_ int, command string) (string, bool) {
			return "451 4.3.0 not now\r\n", command == "DATA"
		}, 0, 5, "the message: 451", 1, false},
		{"it forgets nothing", func(_ int, command string) (string, bool) {
			return "554 5.3.0 no\r\n", command == "DATA" || command == "RSET"
		}, 0, 1, "the message: 554", 1, false},
		{"it does not understand RSET and ends", func(_ int, command string) (string, bool) {
			return "421 4.3.0 no\r\n" + smtptest.Goodbye, command == "DATA" || command == "RSET"
		}, 0, 5, "the message: 421", 6, false},
		{"an answer too few, then it ends", func(_ int, command string) (string, bool) {
			return smtptest.Goodbye, command == "DATA"
		}, 0, 5, "closed the connection", 6, false},
		{"421 in the middle", func(_ int, command string) (string, bool) {
			return "421 4.3.2 shutting down\r\n" + smtptest.Goodbye, strings.HasPrefix(command, "RCPT TO:<chen@")
		}, 0, 5, "a recipient: 421", 6, false},
		{"421 in the middle, and it goes on", func(_ int, command string) (string, bool) {
			return "421 4.3.2 shutting down\r\n", strings.HasPrefix(command, "RCPT TO:<chen@")
		}, 0, 5, "a recipient: 421", 6, false},
		{"421 as the last word", func(_ int, command string) (string, bool) {
			return "421 4.3.2 shutting down\r\n" + smtptest.Goodbye, command == "."
		}, 0, 5, "the message: 421", 6, false},
		{"an answer too many, before the message", func(_ int, command string) (string, bool) {
			return "354 go\r\n" + others, command == "DATA"
		}, 0, 1, "says more than it was asked", 2, false},
		{"an answer too many, to the sender", func(_ int, command string) (string, bool) {
			return others + others, strings.HasPrefix(command, "MAIL")
		}, 0, 1, "the message: 250", 2, false},
		{"an answer too many, after the message", func(_ int, command string) (string, bool) {
			return others + others, command == "."
		}, 3, 1, "", 2, false},
		{"an answer of several lines", func(_ int, command string) (string, bool) {
			return "250-one\r\n250-two\r\n250 three\r\n", strings.HasPrefix(command, "RCPT") || command == "."
		}, 3, 1, "", 1, false},
		{"other codes that mean yes", func(_ int, command string) (string, bool) {
			return "251 will forward\r\n", strings.HasPrefix(command, "RCPT")
		}, 3, 1, "", 1, false},
		{"an answer that is none", func(_ int, command string) (string, bool) {
			return "fine\r\n", command == "DATA"
		}, 0, 1, "", 2, false},
		{"an answer of other lines", func(_ int, command string) (string, bool) {
			return "250-one\r\n550 two\r\n" + smtptest.Goodbye, command == "."
		}, 0, 1, "may arrive nevertheless", 2, true},
		{"an answer to the message that means nothing there", func(_ int, command string) (string, bool) {
			return "354 go on\r\n", command == "."
		}, 0, 1, "may arrive nevertheless", 2, false},
		{"an endless answer to the sender", func(_ int, command string) (string, bool) {
			return strings.Repeat("250-"+strings.Repeat("x", 1000)+"\r\n", 300), strings.HasPrefix(command, "MAIL")
		}, 0, 1, "said more than", 2, false},
		{"an endless answer to the message", func(_ int, command string) (string, bool) {
			return strings.Repeat("250-"+strings.Repeat("x", 1000)+"\r\n", 300), command == "."
		}, 0, 1, "said more than", 2, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var mutex sync.Mutex
			odd, tries, connections := true, 0, 0
			s := smtptest.StartTalk(t, func(_ int, command string) (string, bool) {
				mutex.Lock()
				defer mutex.Unlock()
				switch {
				case command == "":
					connections++
				case strings.HasPrefix(command, "MAIL") && odd:
					tries++
				}
				if odd {
					return test.answer(1, command)
				}
				return "", false
			})
			m := mailer(t, plainConfig(s.Host, s.Port))
			failed := m.Notify(t.Context(), request(1)).Failed()
			if len(failed) != 3-test.people {
				t.Errorf("undelivered %v", failed)
			}
			for _, u := range failed {
				if wantSafe(t, u.Err); !strings.Contains(u.Err.Error(), test.says) {
					t.Errorf("error is %q, want it to say %q", u.Err, test.says)
				}
			}
			mutex.Lock()
			odd = false
			mutex.Unlock()
			if failed := m.Notify(t.Context(), request(2)).Failed(); failed != nil {
				t.Errorf("the next: %v", failed)
			}
			mutex.Lock()
			defer mutex.Unlock()
			if tries != test.tries || connections != test.connections {
				t.Errorf("%d tries over %d connections, want %d over %d", tries, connections, test.tries, test.connections)
			}
			has := test.people
			if test.lost {
				has = 3
			}
			wantOnce(t, s.Messages(), has+3)
		})
	}
}

// TestAnswersMayComeInAnyPieces: one byte at a time, or all at once.
func TestAnswersMayComeInAnyPieces(t *testing.T) {
	s := smtptest.StartTalk(t, usually)
	for _, size := range []int{1, 2, 7, 1 << 16} {
		c := plainConfig(s.Host, s.Port)
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return pieces{conn, size}, err
		}
		m := mailer(t, c)
		for range 2 {
			if failed := m.Notify(t.Context(), toReviewers(50)).Failed(); failed != nil {
				t.Errorf("%d bytes at a time: %v", size, failed)
			}
		}
	}
}

type pieces struct {
	net.Conn
	size int
}

func (p pieces) Read(b []byte) (int, error) { return p.Conn.Read(b[:min(p.size, len(b))]) }

// Answers are of one mail: what a server says too much, or too late, is not taken for
// an answer to the next, which goes over a connection of its own.
func TestAnswersOfOneMailAreNotTakenForThoseOfAnother(t *testing.T) {
	const taken = "250 2.0.0 taken\r\n"
	for _, stray := range []string{"250 2.0.0 taken\r\n", "550 5.7.1 refused\r\n", "354 go\r\n", "450 4.2.0 later\r\n", "250-a\r\n250 b\r\n", "what?\r\n"} {
		for name, answer := range map[string]func(connection int, command string, first bool) (string, bool){
			"with the last answer": func(connection int, command string, first bool) (string, bool) {
				return taken + stray, connection == 1 && command == "." && first
			},
			"with the last answer, where each answer is waited for": func(connection int, command string, first bool) (string, bool) {
				if strings.HasPrefix(command, "EHLO") {
					return "250 mail.example.com\r\n", true
				}
				return taken + stray, connection == 1 && command == "." && first
			},
			"while the connection rests": func(connection int, command string, first bool) (string, bool) {
				return stray + "250 ok\r\n", connection == 1 && strings.HasPrefix(command, "MAIL") && !first
			},
		} {
			var mails, last atomic.Int32
			s := smtptest.StartTalk(t, func(connection int, command string) (string, bool) {
				// What was said ahead on the first may be read after the second has begun.
				last.Store(max(last.Load(), int32(connection)))
				if strings.HasPrefix(command, "MAIL") {
					mails.Add(1)
				}
				return answer(connection, command, mails.Load() == 1)
			})
			c := plainConfig(s.Host, s.Port)
			c.Sleep = func(context.Context, time.Duration) error { return nil }
			m := mailer(t, c)
			for i := range 3 {
				if failed := m.Notify(t.Context(), request(i)).Failed(); failed != nil {
					t.Errorf("%q %s: mail %d: undelivered %v", stray, name, i+1, failed)
				}
			}
			if wantOnce(t, s.Messages(), 9); last.Load() != 2 {
				t.Errorf("%q %s: %d connections, want 2", stray, name, last.Load())
			}
		}
	}
}

// An envelope that came to nothing is taken back before the next.
func TestARefusedEnvelopeIsTakenBack(t *testing.T) {
	var mails atomic.Int32
	s := smtptest.StartTalk(t, func(_ int, command string) (string, bool) {
		if strings.HasPrefix(command, "MAIL") {
			mails.Add(1)
		}
		return "554 5.3.0 no\r\n", command == "DATA" && mails.Load() == 1
	})
	m := mailer(t, plainConfig(s.Host, s.Port))
	wantUndelivered(t, m.Notify(t.Context(), review()).Failed(), access.Upstream)
	if failed := m.Notify(t.Context(), request(1)).Failed(); failed != nil {
		t.Fatal(failed)
	}
	heard := s.Heard()
	reset, second := slices.Index(heard, "RSET"), 0
	for i, command := range heard {
		if strings.HasPrefix(command, "MAIL") {
			second = i
		}
	}
	if reset < 0 || reset > second {
		t.Errorf("heard %q", heard)
	}
}

// What a server may say is for each mail, so that a chatty one keeps its connection.
func TestAServerMayTalkAtEveryMail(t *testing.T) {
	var last atomic.Int32
	s := smtptest.StartTalk(t, func(connection int, command string) (string, bool) {
		last.Store(int32(connection))
		return strings.Repeat("250-"+strings.Repeat("x", 1000)+"\r\n", 60) + "250 taken\r\n", command == "."
	})
	m := mailer(t, plainConfig(s.Host, s.Port))
	for i := range 8 {
		if failed := m.Notify(t.Context(), request(i)).Failed(); failed != nil {
			t.Fatal(failed)
		}
	}
	if wantOnce(t, s.Messages(), 24); last.Load() != 1 {
		t.Errorf("%d connections, want 1", last.Load())
	}
}
