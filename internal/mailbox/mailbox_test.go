package mailbox_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/emersion/go-sasl"

	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/mailbox"
)

const (
	username = "jit@example.com"
	password = "correct horse battery staple"
)

// account is a mailbox at a server in memory, and what was heard of it.
type account struct {
	t    testing.TB
	user *imapmemserver.User
	port int
	tls  *smtptest.Authority

	mu    sync.Mutex
	heard []string
	// fails is what whoever hears says; unknown is whether the request is not known there.
	fails   error
	unknown bool
	// news gets a value for each that was heard, added when there are more mails.
	news, added chan struct{}
	// at does something else than to hand on a command of the client, by its number on the
	// connection; nil does nothing.
	at func(conn net.Conn, number int, line string) (taken bool)
	// commands are all that came, without their tags; most is the largest number of a connection.
	commands []string
	most     int
}

// options of the server.
type options struct {
	starttls, plain bool
	caps            []imap.Cap
	token           string
}

func newAccount(t testing.TB, o options) *account {
	t.Helper()
	a := &account{t: t, user: imapmemserver.NewUser(username, password), tls: smtptest.NewAuthority(t), news: make(chan struct{}, 1000), added: make(chan struct{}, 1)}
	if err := a.user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	memory := imapmemserver.New()
	memory.AddUser(a.user)
	caps := imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIdle: {}, imap.CapUIDPlus: {}, imap.CapSASLIR: {}}
	for _, c := range o.caps {
		caps[c] = struct{}{}
	}
	certificate := a.tls.Issue(t, smtptest.Good)
	so := &imapserver.Options{Caps: caps, Logger: log.New(io.Discard, "", 0), InsecureAuth: !o.starttls,
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return &session{memory.NewSession(), o.token, a.added}, nil, nil
		}}
	if o.starttls {
		so.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	}
	server := imapserver.New(so)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.port = listener.Addr().(*net.TCPAddr).Port
	if !o.starttls && !o.plain {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}})
	}
	if !o.starttls {
		listener = &watched{listener, a}
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return a
}

// session also takes access tokens, if there is one.
type session struct {
	imapserver.Session
	token string
	added <-chan struct{}
}

// Idle also tells of what came just before; the server in memory forgets that.
func (s *session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	for {
		if err := s.Poll(w, true); err != nil {
			return err
		}
		select {
		case <-s.added:
		case <-stop:
			return nil
		}
	}
}

func (s *session) AuthenticateMechanisms() []string {
	if s.token == "" {
		return []string{"PLAIN"}
	}
	return []string{"XOAUTH2"}
}

func (s *session) Authenticate(mechanism string) (sasl.Server, error) {
	if mechanism == "PLAIN" {
		return sasl.NewPlainServer(func(_, username, password string) error { return s.Login(username, password) }), nil
	}
	return &tokens{s: s}, nil
}

// tokens is the server's half of XOAUTH2.
type tokens struct {
	s    *session
	told bool
}

func (x *tokens) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case x.told:
		return nil, false, imapserver.ErrAuthFailed
	case response == nil:
		return []byte{}, false, nil
	case string(response) == "user="+username+"\x01auth=Bearer "+x.s.token+"\x01\x01":
		return nil, true, x.s.Login(username, password)
	}
	x.told = true
	return []byte(`{"status":"401","schemes":"bearer"}`), false, nil
}

// watched hands on what clients say line by line.
type watched struct {
	net.Listener
	a *account
}

func (l *watched) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lines{Conn: conn, a: l.a, r: bufio.NewReader(conn)}, nil
}

type lines struct {
	net.Conn
	a      *account
	r      *bufio.Reader
	number int
	rest   []byte
}

func (c *lines) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		line, err := c.r.ReadBytes('\n')
		if err != nil {
			return 0, err
		}
		c.number++
		c.a.mu.Lock()
		at := c.a.at
		c.a.most = max(c.a.most, c.number)
		if _, command, found := strings.Cut(strings.TrimSpace(string(line)), " "); found {
			c.a.commands = append(c.a.commands, command)
		}
		c.a.mu.Unlock()
		if at == nil || !at(c.Conn, c.number, string(line)) {
			c.rest = line
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

type secretOf func(refused string) (string, error)

func (s secretOf) Secret(_ context.Context, refused string) (string, error) { return s(refused) }

func (a *account) config() mailbox.Config {
	return mailbox.Config{Host: "127.0.0.1", Port: a.port, ImplicitTLS: true, Roots: a.tls.Roots, Username: username, Keep: true,
		Login: secretOf(func(string) (string, error) { return password, nil }), RequestOf: requestOf, Now: time.Now,
		Heard: func(_ context.Context, request string, f mailbox.Failure) (bool, error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.fails != nil {
				return false, a.fails
			}
			if !a.unknown {
				a.heard = append(a.heard, fmt.Sprint(request, " ", f.To, " ", f.Status))
				a.news <- struct{}{}
			}
			return !a.unknown, nil
		}}
}

func (a *account) mailbox(change func(*mailbox.Config)) *mailbox.Mailbox {
	a.t.Helper()
	c := a.config()
	if change != nil {
		change(&c)
	}
	m, err := mailbox.New(c)
	if err != nil {
		a.t.Fatal(err)
	}
	return m
}

type literal struct{ *bytes.Reader }

func (l literal) Size() int64 { return int64(l.Len()) }

// add puts mails into the folder.
func (a *account) add(mails ...string) {
	a.t.Helper()
	for _, mail := range mails {
		text := []byte(strings.ReplaceAll(mail, "\n", "\r\n"))
		if _, err := a.user.Append("INBOX", literal{bytes.NewReader(text)}, &imap.AppendOptions{}); err != nil {
			a.t.Fatal(err)
		}
	}
	select {
	case a.added <- struct{}{}:
	default:
	}
}

// counts are how many mails there are, and how many of those are read, and deleted.
func (a *account) counts() string {
	a.t.Helper()
	s, err := a.user.Status("INBOX", &imap.StatusOptions{NumMessages: true, NumUnseen: true, NumDeleted: true})
	if err != nil {
		a.t.Fatal(err)
	}
	return fmt.Sprintf("%d, %d read, %d deleted", *s.NumMessages, *s.NumMessages-*s.NumUnseen, *s.NumDeleted)
}

func (a *account) took() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.heard)
}

// said are the commands that came.
func (a *account) said() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.commands)
}

// bounceOf is a report that ours did not reach somebody.
func bounceOf(who string) string {
	return report(fromPostfix, status("Final-Recipient: rfc822; "+who+"@example.com\nAction: failed\nStatus: 5.1.1\n"), returned("text/rfc822-headers", ours))
}

const reply = "From: Ben <ben@example.com>\nIn-Reply-To: <" + ours + ">\nSubject: Re: access\n\napprove\n"

// Bounces of ours are taken in once by each instance, and marked as read or deleted; all else is
// left as it is, also what bears our Message-ID and is no bounce, and what is of nobody's request here.
func TestBouncesAreTakenInAndNothingElseIsTouched(t *testing.T) {
	for _, c := range []struct {
		rule    string
		keep    bool
		unknown bool
		caps    []imap.Cap
		want    string
	}{
		{"kept", true, false, nil, "4, 2 read, 0 deleted"},
		{"deleted", false, false, nil, "2, 0 read, 0 deleted"},
		{"of requests that are not known", true, true, nil, "4, 0 read, 0 deleted"},
		{"not deleted either", false, true, nil, "4, 0 read, 0 deleted"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			a := newAccount(t, options{})
			a.unknown = c.unknown
			a.add(bounceOf("ben"), reply, strings.ReplaceAll(bounceOf("dan"), ours, "made-up@example.com"), bounceOf("cho"))
			m := a.mailbox(func(mc *mailbox.Config) { mc.Keep = c.keep })
			for range 2 {
				if err := m.Look(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			want := "[" + request + " ben@example.com 5.1.1 " + request + " cho@example.com 5.1.1]"
			if c.unknown {
				want = "[]"
			}
			if got := fmt.Sprint(a.took()); got != want || a.counts() != c.want {
				t.Errorf("heard %s; there are %s, want %s", got, a.counts(), c.want)
			}
			a.add(reply, bounceOf("eve"))
			if err := m.Look(t.Context()); err != nil || !c.unknown && len(a.took()) != 3 || m.Last().Mails != 2 {
				t.Errorf("%v, %+v, %v", a.took(), m.Last(), err)
			}
		})
	}
}

// What cannot be taken in now is read again, and nothing behind it is lost.
func TestWhatCannotBeTakenInIsReadAgain(t *testing.T) {
	a := newAccount(t, options{})
	a.add(reply, bounceOf("ben"), bounceOf("cho"))
	m := a.mailbox(nil)
	a.fails = errors.New("the ledger is away")
	for range 3 {
		if err := m.Look(t.Context()); err == nil || m.Last().Err == nil {
			t.Error("nobody is told")
		}
	}
	if a.counts() != "3, 0 read, 0 deleted" {
		t.Error(a.counts())
	}
	a.fails = nil
	if err := m.Look(t.Context()); err != nil || len(a.took()) != 2 {
		t.Error(a.took(), err)
	}
}

// Wherever the conversation breaks off, or the server refuses, the next look goes on, and
// everything has been heard in the end; of others nothing is touched.
func TestFaultsAtEveryCommand(t *testing.T) {
	for what, do := range map[string]func(conn net.Conn, tag string) bool{
		"breaks off": func(conn net.Conn, _ string) bool { conn.Close(); return true },
		"NO": func(conn net.Conn, tag string) bool {
			_, _ = io.WriteString(conn, tag+" NO [UNAVAILABLE] not now "+password+"\r\n")
			return true
		},
		"BAD": func(conn net.Conn, tag string) bool { _, _ = io.WriteString(conn, tag+" BAD what?\r\n"); return true },
		"BYE": func(conn net.Conn, _ string) bool {
			_, _ = io.WriteString(conn, "* BYE see you\r\n")
			conn.Close()
			return true
		},
		"nonsense": func(conn net.Conn, _ string) bool {
			_, _ = io.WriteString(conn, "(((( \x00\r\n")
			conn.Close()
			return true
		},
	} {
		for _, keep := range []bool{true, false} {
			for number, last := 1, 100; number <= last; number++ {
				a := newAccount(t, options{})
				a.add(bounceOf("ben"), reply, bounceOf("cho"))
				a.at = func(conn net.Conn, n int, line string) bool {
					tag, _, _ := strings.Cut(line, " ")
					return n == number && do(conn, tag)
				}
				m := a.mailbox(func(c *mailbox.Config) { c.Keep = keep })
				err := m.Look(t.Context())
				a.mu.Lock()
				a.at, last = nil, max(5, a.most)
				a.mu.Unlock()
				var fault *mailbox.Fault
				if err != nil && (!errors.As(err, &fault) || fault.Meaning == "" || strings.Contains(err.Error(), password)) {
					t.Errorf("%s at command %d: %v", what, number, err)
				}
				if err := m.Look(t.Context()); err != nil {
					t.Errorf("%s at command %d, then: %v", what, number, err)
				}
				heard := a.took()
				slices.Sort(heard)
				left := map[bool]string{true: "3, 2 read, 0 deleted", false: "1, 0 read, 0 deleted"}[keep]
				if got := fmt.Sprint(slices.Compact(heard)); got != "["+request+" ben@example.com 5.1.1 "+request+" cho@example.com 5.1.1]" {
					t.Errorf("%s at command %d: heard %s", what, number, got)
				}
				if what != "NO" && what != "BAD" && a.counts() != left { // it may have refused to mark one
					t.Errorf("%s at command %d: %s", what, number, a.counts())
				}
				if number == 100 {
					t.Fatal("there is no end of commands")
				}
			}
		}
	}
}

// A mail at which the server always breaks off keeps no other from being read.
func TestAMailThatCannotBeReadIsPassedOver(t *testing.T) {
	a := newAccount(t, options{})
	a.add(bounceOf("ben"), bounceOf("dan"), bounceOf("cho"))
	a.at = func(conn net.Conn, _ int, line string) bool {
		bad := strings.Contains(line, "UID FETCH 2 ") && strings.Contains(line, "BODY.PEEK[]")
		if bad {
			conn.Close()
		}
		return bad
	}
	m := a.mailbox(nil)
	for range 5 {
		_ = m.Look(t.Context())
	}
	if got := fmt.Sprint(a.took()); got != "["+request+" ben@example.com 5.1.1 "+request+" cho@example.com 5.1.1]" {
		t.Errorf("heard %s, %v", got, m.Last().Err)
	}
}

// Of a mailbox of 100,000 the last are looked at, and no more; of a folder that was made anew
// all of the last again.
func TestAMailboxOfAHundredThousand(t *testing.T) {
	a := newAccount(t, options{})
	a.add(bounceOf("old"))
	for range 100_000 {
		a.add(reply)
	}
	a.add(bounceOf("ben"))
	m := a.mailbox(nil)
	for range 2 {
		if err := m.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(a.took()); got != "["+request+" ben@example.com 5.1.1]" {
		t.Errorf("heard %s", got)
	}
	fetches := slices.DeleteFunc(a.said(), func(c string) bool { return !strings.HasPrefix(c, "UID FETCH") })
	if len(fetches) != 11 || m.Last().Mails != 0 {
		t.Errorf("%d fetches, %+v: %q", len(fetches), m.Last(), fetches)
	}
	if err := errors.Join(a.user.Delete("INBOX"), a.user.Create("INBOX", nil)); err != nil {
		t.Fatal(err)
	}
	a.add(bounceOf("cho"))
	if err := m.Look(t.Context()); err != nil || len(a.took()) != 2 {
		t.Errorf("with another UIDVALIDITY: heard %v, %v", a.took(), err)
	}
}

// One look takes in so many, and the next goes on there.
func TestOneLookIsBounded(t *testing.T) {
	a := newAccount(t, options{})
	for i := range 120 {
		a.add(bounceOf(fmt.Sprintf("p%d", i)))
	}
	m := a.mailbox(nil)
	for look, want := range []int{50, 100, 120, 120} {
		if err := m.Look(t.Context()); err != nil || len(a.took()) != want {
			t.Errorf("after %d looks %d are heard, want %d; %v", look+1, len(a.took()), want, err)
		}
		if left := m.Last().Left; left != 120-want {
			t.Errorf("after %d looks %d are left", look+1, left)
		}
	}
}

// Where the server tells of news, it is read at once; where it cannot, by the next look.
func TestListening(t *testing.T) {
	a := newAccount(t, options{})
	m := a.mailbox(nil)
	idle := make(chan struct{})
	var once sync.Once
	a.at = func(_ net.Conn, _ int, line string) bool {
		if strings.HasSuffix(strings.TrimSpace(line), "IDLE") {
			once.Do(func() { close(idle) })
		}
		return false
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Listen(ctx) }()
	<-idle
	a.add(bounceOf("ben"))
	<-a.news
	if err := m.Look(t.Context()); err != nil { // while somebody listens nobody else has to
		t.Error(err)
	}
	a.add(reply, bounceOf("cho"))
	<-a.news
	cancel()
	if err := <-ended; err == nil {
		t.Error("it ended without a word")
	}
	if got := fmt.Sprint(a.took()); got != "["+request+" ben@example.com 5.1.1 "+request+" cho@example.com 5.1.1]" {
		t.Errorf("heard %s", got)
	}
}

// Probe says what may be done, and changes nothing.
func TestProbe(t *testing.T) {
	a := newAccount(t, options{})
	a.add(bounceOf("ben"), reply)
	var steps []string
	err := a.mailbox(nil).Probe(t.Context(), func(name, text string) { steps = append(steps, name+": "+text) })
	want := fmt.Sprintf(`[connect: to 127.0.0.1:%d TLS: with a certificate for this host log-in: as jit@example.com by PLAIN `+
		`folder: "INBOX" has 2 mails rights: bounces of our mails are marked as read, nothing else is changed; the server tells of new mail (IDLE)]`, a.port)
	if got := fmt.Sprint(steps); err != nil || got != want || a.counts() != "2, 0 read, 0 deleted" || len(a.took()) > 0 {
		t.Errorf("%s\n%s\n%v %s", got, want, err, a.counts())
	}
	for what, c := range map[string]struct {
		change func(*mailbox.Config)
		says   string
	}{
		"the folder":   {func(c *mailbox.Config) { c.Folder = "Bounces" }, "IMAP_FOLDER"},
		"the password": {func(c *mailbox.Config) { c.Login = secretOf(func(string) (string, error) { return "wrong", nil }) }, "IMAP_PASSWORD"},
		"the port":     {func(c *mailbox.Config) { c.Port = 1 }, "IMAP_PORT"},
		"the secret": {func(c *mailbox.Config) {
			c.Login = secretOf(func(string) (string, error) { return "", errors.New("403") })
		}, "403"},
	} {
		err := a.mailbox(c.change).Probe(t.Context(), func(string, string) {})
		var fault *mailbox.Fault
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
