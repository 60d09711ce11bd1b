package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"slices"
	"strconv"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"jitaccess/internal/access"
	"jitaccess/internal/loopback"
	"jitaccess/internal/outbound"
)

const (
	// maxTries is how often a letter is handed over at most; between the tries is
	// firstPause, and then twice as much each time, shortened at random by up to half
	// so that those whom a server has turned away together do not come back together.
	maxTries   = 5
	firstPause = 500 * time.Millisecond
)

// deliver sends one letter, and says why for each of the recipients who have not got
// it. A refusal for now is tried again for those whom it concerns, as long as ctx
// leaves time for it. Nobody gets it twice: once the server may have it, nothing is
// repeated but what it then refuses for now.
func (m *Mailer) deliver(ctx context.Context, l letter) (failed map[string]error) {
	waiting := slices.Concat(l.to, l.cc)
	if err := m.pace.wait(ctx, l.by); err != nil {
		return forAll(waiting, err)
	}
	// All tries send the same. It is made when there is a connection for it: while many
	// wait for one, few messages take memory.
	message := sync.OnceValues(func() ([]byte, error) { return m.encode(ctx, l) })
	failed = map[string]error{}
	pause := firstPause
	for try := 1; ; try++ {
		refused := m.handOver(ctx, message, waiting)
		for _, to := range waiting {
			if failed[to] = refused[to]; failed[to] == nil {
				delete(failed, to)
			}
		}
		waiting = slices.DeleteFunc(waiting, func(to string) bool { return !temporary(refused[to]) })
		if len(waiting) == 0 || try == maxTries || !m.rest(ctx, pause) || m.pace.wait(ctx, l.by) != nil {
			return failed
		}
		pause *= 2
	}
}

// rest waits before another try, and reports whether there is time for one.
func (m *Mailer) rest(ctx context.Context, pause time.Duration) bool {
	pause -= time.Duration(m.c.Random() * float64(pause/2))
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
		return false
	}
	return m.c.Sleep(ctx, pause) == nil
}

// handOver sends the message once, over a connection that is open already if there
// is one. If such a connection turns out to be broken before the server can have
// had the message, that is no try: the server may close connections when it likes.
func (m *Mailer) handOver(ctx context.Context, message func() ([]byte, error), to []string) (refused map[string]error) {
	for {
		s, err := m.pool.take(ctx)
		if err != nil {
			return forAll(to, err)
		}
		data, err := message()
		if err != nil {
			m.pool.give(s)
			return forAll(to, err)
		}
		refused, err = s.send(data, m.c.ReturnPath, to)
		stale := err != nil && s.used && s.broken && !s.handedOver
		m.pool.give(s)
		if !stale {
			return refused
		}
	}
}

func forAll(people []string, err error) map[string]error {
	all := map[string]error{}
	for _, to := range people {
		all[to] = err
	}
	return all
}

// session is one conversation with the server. go-mail's own client would give up
// on everybody when one recipient is refused, so its SMTP layer is used directly.
type session struct {
	c Config
	// ctx is the caller's that has the session; when it ends, the connection is closed.
	ctx    context.Context
	conn   *conn
	client *smtp.Client
	stop   func() bool
	// used is whether messages have been sent before, handedOver whether the server may
	// have this one, and broken whether there must not be another.
	used, handedOver, broken bool
	// secret is what logs in, which no fault may tell. mechanism is how we have logged
	// in, answer what the server said last when it agreed.
	secret, mechanism, answer string
}

// open connects, makes sure of the server and logs in. passed is told of each step.
func (m *Mailer) open(ctx context.Context, secret string, passed func(name, text string)) (opened *session, err error) {
	answered := outbound.Begin(ctx, observedAs, "connect")
	defer func() { answered(statusOf(err)) }()
	// It verifies the certificate, and that it is for the host we meant.
	config := &tls.Config{ServerName: m.c.Host, RootCAs: m.c.Roots, MinVersion: m.c.MinTLS, MaxVersion: m.c.MaxTLS}
	if m.c.CA != nil {
		if config.RootCAs, err = m.c.CA(ctx); err != nil {
			return nil, fault(ctx, atAuthorities, err)
		}
	}
	s := &session{c: m.c, ctx: ctx, secret: secret}
	dial := m.c.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	dialling, cancel := context.WithTimeout(ctx, m.c.ConnectTimeout)
	raw, err := dial(dialling, "tcp", net.JoinHostPort(m.c.Host, strconv.Itoa(m.c.Port)))
	cancel()
	if err != nil {
		return nil, s.fault(atConnect, err)
	}
	s.conn = &conn{Conn: raw, left: maxReceived}
	s.begin(ctx)
	passed("connect", s.reached())
	if err := s.prepare(config, passed); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// prepare says hello over an encrypted connection, and logs in.
func (s *session) prepare(config *tls.Config, passed func(name, text string)) error {
	if err := s.greet(config); err != nil {
		return err
	}
	if err := s.encrypt(config); err != nil {
		return err
	}
	passed("TLS", s.protection())
	if s.c.Login == nil {
		passed("log-in", "nobody logs in; a user name and a password are not set")
		return nil
	}
	if err := s.logIn(); err != nil {
		return err
	}
	passed("log-in", "as "+s.c.Username+" by "+s.mechanism)
	return nil
}

// begin makes the session that of ctx, at whose end the connection is closed.
func (s *session) begin(ctx context.Context) {
	s.ctx = ctx
	s.stop = context.AfterFunc(ctx, func() { s.conn.Close() })
}

// greet reads the greeting and says hello; with implicit TLS, inside it.
func (s *session) greet(config *tls.Config) error {
	s.extend()
	var transport net.Conn = s.conn
	if s.c.ImplicitTLS {
		encrypted := tls.Client(s.conn, config)
		if err := encrypted.HandshakeContext(s.ctx); err != nil {
			return s.fault(atTLS, err)
		}
		transport = encrypted
	}
	client, err := smtp.NewClient(transport, s.c.Host)
	if err != nil {
		return s.fault(atGreeting, err)
	}
	s.client = client
	// Our addresses are ASCII. Asking for SMTPUTF8 would make some servers bounce.
	client.SkipSMTPUTF8(true)
	s.extend()
	if err := client.Hello(s.c.Hello); err != nil {
		return s.fault(atHello, err)
	}
	return nil
}

// encrypt starts TLS. Without it nothing goes on, except where the configuration
// permits it and the peer is this machine. The permission does not make a server
// that offers TLS be taken at less.
func (s *session) encrypt(config *tls.Config) error {
	if s.c.ImplicitTLS {
		return nil
	}
	if offered, _ := s.client.Extension("STARTTLS"); !offered {
		peer, ok := s.conn.RemoteAddr().(*net.TCPAddr)
		if s.c.AllowPlain && loopback.Is(s.c.Host) && ok && peer.IP.IsLoopback() {
			s.conn.readAhead = true
			return nil
		}
		return s.fault(atTLS, errNoTLS)
	}
	s.extend()
	if err := s.client.StartTLS(config); err != nil {
		return s.fault(atTLS, err)
	}
	return nil
}

// extend gives the next exchange its time. The end of the context closes the connection.
func (s *session) extend() {
	now := time.Now()
	_ = s.conn.SetReadDeadline(now.Add(s.c.ReadTimeout))
	_ = s.conn.SetWriteDeadline(now.Add(s.c.WriteTimeout))
}

func (s *session) close() {
	s.stop()
	s.conn.Close()
}

// quit ends the conversation as servers like it, if they do not take long.
func (s *session) quit() {
	_ = s.conn.SetDeadline(time.Now().Add(time.Second))
	_ = s.client.Quit()
	s.close()
}

// encode writes a letter as it is sent, and signs it.
func (m *Mailer) encode(ctx context.Context, l letter) ([]byte, error) {
	var data bytes.Buffer
	text, html, err := l.body()
	if err == nil {
		_, err = m.message(l, text, html).WriteTo(&data)
	}
	if err != nil {
		return nil, &access.Error{Kind: access.Internal, Code: access.CodeInternal, Err: fmt.Errorf("mail: encode: %w", err)}
	}
	if m.c.Sign == nil {
		return data.Bytes(), nil
	}
	return m.c.Sign(ctx, data.Bytes())
}

func (m *Mailer) message(l letter, text, html string) *gomail.Msg {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&mail.Address{Name: m.c.SenderName, Address: m.c.Sender})
	for _, to := range l.to {
		msg.AddToMailAddress(&mail.Address{Address: to})
	}
	for _, cc := range l.cc {
		msg.AddCcMailAddress(&mail.Address{Address: cc})
	}
	msg.Subject(l.subject)
	msg.SetDateWithValue(l.date)
	msg.SetMessageIDWithValue(l.id)
	if l.inReplyTo != "" {
		msg.SetGenHeader(gomail.HeaderInReplyTo, "<"+l.inReplyTo+">")
		msg.SetGenHeader(gomail.HeaderReferences, "<"+l.inReplyTo+">")
	}
	if m.c.ReplyTo != "" {
		msg.ReplyToMailAddress(&mail.Address{Address: m.c.ReplyTo})
	}
	if m.c.ConfirmationTo != "" {
		msg.SetGenHeader(gomail.HeaderDispositionNotificationTo, "<"+m.c.ConfirmationTo+">")
	}
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	// Not "All", as go-mail's SetBulk has it: that asks Exchange to send back no reports of what could not be
	// delivered either (MS-OXCMAIL, X-Auto-Response-Suppress).
	msg.SetGenHeader(gomail.HeaderPrecedence, "bulk")
	msg.SetGenHeader(gomail.HeaderXAutoResponseSuppress, "OOF, AutoReply")
	msg.SetBodyString(gomail.TypeTextPlain, text)
	msg.AddAlternativeString(gomail.TypeTextHTML, html)
	return msg
}

// maxReceived is how much a server may say up to the log-in, and again for each
// message; the client buffers answers whole.
const maxReceived = 256 << 10

// conn is the connection under the conversation. Until TLS has begun, if it is to, it
// hands out single bytes, so that nothing that an attacker has slipped in behind the
// answer to STARTTLS waits in a buffer: TLS reads it, and fails. It also bounds what
// the server may send.
type conn struct {
	net.Conn
	readAhead bool
	left      int
}

func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooMuch
	}
	if !c.readAhead {
		p = p[:min(1, len(p))]
	}
	n, err := c.Conn.Read(p)
	c.left -= n
	return n, err
}

// tlsHandshake is the type of the first record that a TLS client sends (RFC 8446,
// 5.1). No SMTP command begins with it.
const tlsHandshake = 0x16

func (c *conn) Write(p []byte) (int, error) {
	if len(p) > 0 && p[0] == tlsHandshake {
		c.readAhead = true
	}
	return c.Conn.Write(p)
}

var (
	errNoTLS       = errors.New("the server does not offer STARTTLS, and nothing is sent without it")
	errNoMechanism = errors.New("the server offers no way to log in that may be used")
	errTooMuch     = fmt.Errorf("the server said more than %d bytes: %w", maxReceived, io.ErrUnexpectedEOF)
)
