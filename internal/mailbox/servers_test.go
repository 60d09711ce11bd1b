package mailbox_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/mailbox"
)

// Who logs in with a token is let in by XOAUTH2, and says why if it is not; another token is tried once.
func TestLoggingInWithAToken(t *testing.T) {
	for _, c := range []struct {
		rule   string
		tokens []string // handed out in this order
		ir     bool
		fails  bool
	}{
		{"good", []string{"good-token"}, true, false},
		{"good, where the server has to ask", []string{"good-token"}, false, false},
		{"refused, and replaced", []string{"old-token", "good-token"}, true, false},
		{"refused", []string{"old-token", "old-token"}, true, true},
		{"refused twice", []string{"old-token", "older-token"}, true, true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			a := newAccount(t, options{token: "good-token"})
			a.add(bounceOf("ben"))
			given := 0
			m := a.mailbox(func(mc *mailbox.Config) {
				mc.Token = true
				mc.Login = secretOf(func(refused string) (string, error) {
					given++
					return c.tokens[given-1], nil
				})
			})
			err := m.Look(t.Context())
			if (err != nil) != c.fails || len(a.took()) != 1 && !c.fails || given != len(c.tokens) {
				t.Errorf("%v, %v, %d tokens", err, a.took(), given)
			}
			if err != nil && (strings.Contains(err.Error(), "old") || !strings.Contains(err.Error(), "IMAP.AccessAsApp")) {
				t.Error(err)
			}
		})
	}
}

// Nobody logs in without TLS, or at a server that is another.
func TestNothingIsSaidWithoutTLS(t *testing.T) {
	look := func(o options, change func(*mailbox.Config)) (*account, error) {
		a := newAccount(t, o)
		a.add(bounceOf("ben"))
		return a, a.mailbox(change).Look(t.Context())
	}
	starttls := func(c *mailbox.Config) { c.ImplicitTLS = false }
	if a, err := look(options{starttls: true}, starttls); err != nil || len(a.took()) != 1 {
		t.Error("STARTTLS", err)
	}
	for what, c := range map[string]struct {
		o      options
		change func(*mailbox.Config)
	}{
		"no STARTTLS":             {options{plain: true}, starttls},
		"clear text at port 993":  {options{plain: true}, nil},
		"an authority of nobody":  {options{}, func(c *mailbox.Config) { c.Roots = smtptest.NewAuthority(t).Roots }},
		"another host":            {options{}, func(c *mailbox.Config) { c.Host = "mail.example.org"; c.Dial = toLoopback(c.Port) }},
		"STARTTLS, other's roots": {options{starttls: true}, func(c *mailbox.Config) { c.ImplicitTLS = false; c.Roots = smtptest.NewAuthority(t).Roots }},
	} {
		a, err := look(c.o, c.change)
		if err == nil || len(a.took()) > 0 || !strings.Contains(err.Error(), "mailbox: TLS") {
			t.Errorf("%s: %v", what, err)
		}
		for _, command := range a.said() {
			if strings.HasPrefix(command, "LOGIN") || strings.HasPrefix(command, "AUTHENTICATE") {
				t.Errorf("%s: said %q", what, command)
			}
		}
	}
}

func toLoopback(port int) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", port))
	}
}

// scripted is a server that says what a test wants.
func scripted(t *testing.T, serve func(conn net.Conn, said *bufio.Reader)) *mailbox.Mailbox {
	t.Helper()
	authority := smtptest.NewAuthority(t)
	certificate := authority.Issue(t, smtptest.Good)
	host, port := smtptest.Listen(t, func(_ int, raw net.Conn) {
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate}})
		serve(conn, bufio.NewReader(conn))
	})
	m, err := mailbox.New(mailbox.Config{Host: host, Port: port, ImplicitTLS: true, Roots: authority.Roots, Username: username,
		Login: secretOf(func(string) (string, error) { return password, nil }), RequestOf: requestOf, Now: time.Now,
		Heard: func(context.Context, string, mailbox.Failure) (bool, error) { return true, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// script answers a client up to its first FETCH.
func script(conn net.Conn, said *bufio.Reader, fetch func(tag string)) {
	_, _ = io.WriteString(conn, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello\r\n")
	for {
		line, err := said.ReadString('\n')
		if err != nil {
			return
		}
		tag, command, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case strings.HasPrefix(command, "SELECT"):
			_, _ = io.WriteString(conn, "* 3 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 4] x\r\n"+tag+" OK done\r\n")
		case strings.HasPrefix(command, "CAPABILITY"):
			_, _ = io.WriteString(conn, "* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\r\n"+tag+" OK done\r\n")
		case strings.HasPrefix(command, "UID FETCH"):
			fetch(tag)
		default:
			_, _ = io.WriteString(conn, tag+" OK done\r\n")
		}
	}
}

// A server that says too much, or what makes no sense, is broken off, and takes no more memory
// than what is expected of it.
func TestServersThatSayTooMuch(t *testing.T) {
	endless := func(conn net.Conn, text string) {
		chunk := strings.Repeat(text, 1+(64<<10)/len(text))
		for {
			if _, err := io.WriteString(conn, chunk); err != nil {
				return
			}
		}
	}
	for what, serve := range map[string]func(net.Conn, *bufio.Reader){
		"a greeting without an end": func(conn net.Conn, _ *bufio.Reader) { endless(conn, "* OK x") },
		"answers without an end": func(conn net.Conn, said *bufio.Reader) {
			script(conn, said, func(string) { endless(conn, "* 1 EXISTS\r\n") })
		},
		"a literal of 4 GB": func(conn net.Conn, said *bufio.Reader) {
			script(conn, said, func(string) {
				_, _ = io.WriteString(conn, "* 1 FETCH (UID 1 BODY[HEADER.FIELDS (Content-Type X-Failed-Recipients X-Ms-Exchange-Message-Is-Ndr From)]<0> {4294967296}\r\n")
				endless(conn, "x")
			})
		},
		"a literal as a name": func(conn net.Conn, said *bufio.Reader) {
			script(conn, said, func(string) {
				_, _ = io.WriteString(conn, "* LIST () \"/\" {9999999999}\r\n")
				endless(conn, "x")
			})
		},
		"lists in lists": func(conn net.Conn, said *bufio.Reader) {
			script(conn, said, func(string) { endless(conn, "* 1 FETCH (BODYSTRUCTURE "+strings.Repeat("(", 10_000)) })
		},
		"lists without an end": func(conn net.Conn, said *bufio.Reader) {
			script(conn, said, func(string) { _, _ = io.WriteString(conn, "* 1 FETCH (BODYSTRUCTURE "); endless(conn, "(") })
		},
		"lists behind what is no literal": func(conn net.Conn, said *bufio.Reader) {
			script(conn, said, func(string) { _, _ = io.WriteString(conn, "* OK [X] FETCH {1000000}\r\n* THREAD "); endless(conn, "(") })
		},
		"lists behind a mail with too long a number": func(conn net.Conn, said *bufio.Reader) {
			script(conn, said, func(string) {
				_, _ = io.WriteString(conn, "* 0000000000000000000001 FETCH (UID 1 BODY[TEXT] {1}\r\n\" BODYSTRUCTURE ")
				endless(conn, "(")
			})
		},
		"lists behind a name that goes on": func(conn net.Conn, said *bufio.Reader) {
			script(conn, said, func(string) {
				_, _ = io.WriteString(conn, "* LIST () \"/\" \"x\r\n* 1 FETCH (UID 1 BODY[] {900000}\r\n\"\r\n* 1 FETCH (BODYSTRUCTURE ")
				endless(conn, "(")
			})
		},
		"a quoted text": func(conn net.Conn, said *bufio.Reader) {
			script(conn, said, func(string) { _, _ = io.WriteString(conn, "* 1 FETCH (UID 1 ENVELOPE (\""); endless(conn, "x") })
		},
		"a number too large": func(conn net.Conn, said *bufio.Reader) {
			script(conn, said, func(tag string) {
				_, _ = io.WriteString(conn, "* 99999999999999999999 FETCH (UID 18446744073709551616)\r\n"+tag+" OK\r\n")
			})
		},
		"an answer to nothing": func(conn net.Conn, said *bufio.Reader) {
			script(conn, said, func(string) { _, _ = io.WriteString(conn, "T999 OK\r\n+ go on\r\n") })
		},
	} {
		t.Run(what, func(t *testing.T) {
			if err := scripted(t, serve).Look(t.Context()); err == nil {
				t.Error("nothing is wrong")
			} else if tooMuch := !strings.HasPrefix(what, "a number") && !strings.HasPrefix(what, "an answer"); !strings.Contains(err.Error(), "mailbox: ") ||
				tooMuch && !strings.Contains(err.Error(), "says more than it was asked for") {
				t.Error(err)
			}
		})
	}
}

// What mails have in them is no list of the server's.
func TestMailsMayHaveAnythingInThem(t *testing.T) {
	a := newAccount(t, options{})
	for _, text := range []string{strings.Repeat("(", 1000), "\" {1000}", "* 1 FETCH (((", "{5}", "\\\"(", strings.Repeat("(\n", 100)} {
		a.add(strings.Replace(bounceOf("ben"), "Mail Delivery System", strings.ReplaceAll(text, "\n", "\n "), 1)+text+"\n", text+"\n\n"+text)
	}
	if err := a.mailbox(nil).Look(t.Context()); err != nil || len(a.took()) != 6 {
		t.Error(a.took(), err)
	}
}

// What a server says of other mails than were asked for is not believed.
func TestAnswersOfOtherMails(t *testing.T) {
	asked := 0
	m := scripted(t, func(conn net.Conn, said *bufio.Reader) {
		script(conn, said, func(tag string) {
			asked++
			_, _ = io.WriteString(conn, "* 9 FETCH (UID 77 BODY[]<0> {4}\r\nabcd)\r\n* 9 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (UID 1)\r\n"+tag+" OK done\r\n")
		})
	})
	if err := m.Look(t.Context()); err != nil || asked != 1 || m.Last().Mails != 0 {
		t.Errorf("%v, %d, %+v", err, asked, m.Last())
	}
}

// A server that hangs takes no more time than the caller has.
func TestAServerThatHangs(t *testing.T) {
	for what, serve := range map[string]func(conn net.Conn, said *bufio.Reader, hang func()){
		"before the greeting": func(_ net.Conn, said *bufio.Reader, hang func()) { _, _ = said.Peek(1); hang() },
		"at the log-in": func(conn net.Conn, said *bufio.Reader, hang func()) {
			_, _ = io.WriteString(conn, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello\r\n")
			_, _ = said.ReadString('\n')
			hang()
		},
		"at a mail": func(conn net.Conn, said *bufio.Reader, hang func()) { script(conn, said, func(string) { hang() }) },
	} {
		t.Run(what, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			end := make(chan struct{})
			defer close(end)
			m := scripted(t, func(conn net.Conn, said *bufio.Reader) {
				serve(conn, said, func() { cancel(); <-end })
			})
			if what == "before the greeting" {
				go func() { time.AfterFunc(50*time.Millisecond, cancel) }()
			}
			if err := m.Look(ctx); err == nil || !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

// A look ends at its time, whatever is busy then, and until that ends nobody else looks.
func TestALookEndsAtItsTime(t *testing.T) {
	a := newAccount(t, options{})
	busy, goOn := make(chan struct{}), make(chan struct{})
	m := a.mailbox(func(c *mailbox.Config) {
		c.Login = secretOf(func(string) (string, error) {
			close(busy)
			<-goOn
			return "", errors.New("late")
		})
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-busy; cancel() }()
	ended := make(chan error, 1)
	go func() { ended <- m.Look(ctx) }()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) || !errors.Is(m.Last().Err, context.Canceled) {
			t.Errorf("%v, %+v", err, m.Last())
		}
	case <-time.After(time.Minute):
		t.Error("it goes on")
	}
	if err := m.Look(t.Context()); err != nil {
		t.Error("two look at the same time:", err)
	}
	close(goOn)
}

// What breaks while it is taken in breaks whoever looks, who survives it, and nobody else.
func TestWhatBreaksALookIsWhoseItIs(t *testing.T) {
	a := newAccount(t, options{})
	m := a.mailbox(func(c *mailbox.Config) {
		c.Login = secretOf(func(string) (string, error) { panic("broken") })
	})
	for range 2 {
		func() {
			defer func() {
				if cause := recover(); cause != "broken" {
					t.Error(cause)
				}
			}()
			_ = m.Look(t.Context())
		}()
	}
}

// A server that does not say for how long its numbers hold is not read by numbers that are none.
func TestAServerWithoutUIDValidity(t *testing.T) {
	fetched := false
	m := scripted(t, func(conn net.Conn, said *bufio.Reader) {
		_, _ = io.WriteString(conn, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello\r\n")
		for {
			line, err := said.ReadString('\n')
			if err != nil {
				return
			}
			tag, command, _ := strings.Cut(strings.TrimSpace(line), " ")
			if strings.HasPrefix(command, "SELECT") {
				_, _ = io.WriteString(conn, "* 100000 EXISTS\r\n* OK [UIDNEXT 100001] x\r\n")
			}
			fetched = fetched || strings.HasPrefix(command, "UID FETCH")
			_, _ = io.WriteString(conn, tag+" OK done\r\n")
		}
	})
	if err := m.Look(t.Context()); err == nil || !strings.Contains(err.Error(), "UIDVALIDITY") || fetched {
		t.Error(err, fetched)
	}
	if err := m.Probe(t.Context(), func(string, string) {}); err == nil || !strings.Contains(err.Error(), "UIDVALIDITY") {
		t.Error(err)
	}
}
