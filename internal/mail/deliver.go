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
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// deliver sends one letter over one connection. refused are the recipients that the
// server did not take, and why; the others have it. The error is non-nil when
// nobody has.
func (m *Mailer) deliver(ctx context.Context, l letter) (refused map[string]error, err error) {
	message, err := m.encode(ctx, l)
	if err != nil {
		return nil, err
	}
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return nil, fault(ctx, atConnect, ctx.Err())
	}
	s, err := m.loggedIn(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.send(message, m.c.ReturnPath, slices.Concat(l.to, l.cc))
}

// session is one conversation with the server. go-mail's own client would give up
// on everybody when one recipient is refused, so its SMTP layer is used directly.
type session struct {
	ctx    context.Context
	conn   *conn
	client *smtp.Client
	// read and write are how long a step may take.
	read, write time.Duration
	stop        func() bool
}

// open connects, makes sure of the server and logs in. passed is told of each step.
func (m *Mailer) open(ctx context.Context, password string, passed func(string)) (*session, error) {
	s := &session{ctx: ctx, read: m.c.ReadTimeout, write: m.c.WriteTimeout}
	if err := s.connect(m.c); err != nil {
		return nil, err
	}
	passed("connected")
	err := s.greet(m.c)
	if err == nil {
		err = s.encrypt(m.c)
	}
	if err == nil {
		passed(s.protection())
	}
	if err == nil && m.c.Username != "" {
		if err = s.logIn(m.c, password); err == nil {
			passed("logged in")
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// unheard is for who does not want to know the steps.
func unheard(string) {}

func (s *session) connect(c Config) error {
	dialer := net.Dialer{Timeout: c.ConnectTimeout}
	raw, err := dialer.DialContext(s.ctx, "tcp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
	if err != nil {
		return fault(s.ctx, atConnect, err)
	}
	s.conn = &conn{Conn: raw, left: maxReceived}
	// A connection whose context is over is closed, whatever it waits for.
	s.stop = context.AfterFunc(s.ctx, func() { raw.Close() })
	return nil
}

// tlsConfig verifies the certificate, and that it is for the host we meant.
func tlsConfig(c Config) *tls.Config {
	return &tls.Config{ServerName: c.Host, RootCAs: c.Roots, MinVersion: c.MinTLS, MaxVersion: c.MaxTLS}
}

// greet reads the greeting and says hello; with implicit TLS, inside it.
func (s *session) greet(c Config) error {
	s.extend()
	var transport net.Conn = s.conn
	if c.ImplicitTLS {
		encrypted := tls.Client(s.conn, tlsConfig(c))
		if err := encrypted.HandshakeContext(s.ctx); err != nil {
			return fault(s.ctx, atTLS, err)
		}
		transport = encrypted
	}
	client, err := smtp.NewClient(transport, c.Host)
	if err != nil {
		return fault(s.ctx, atGreeting, err)
	}
	s.client = client
	// Our addresses are ASCII. Asking for SMTPUTF8 would make some servers bounce.
	client.SkipSMTPUTF8(true)
	s.extend()
	if err := client.Hello(c.Hello); err != nil {
		return fault(s.ctx, atHello, err)
	}
	return nil
}

// encrypt starts TLS. Without it nothing goes on, except where the configuration
// permits it and the peer is this machine. The permission does not make a server
// that offers TLS be taken at less.
func (s *session) encrypt(c Config) error {
	if c.ImplicitTLS {
		return nil
	}
	if offered, _ := s.client.Extension("STARTTLS"); !offered {
		if c.AllowPlain && isLoopback(c.Host) && s.conn.toLoopback() {
			return nil
		}
		return fault(s.ctx, atTLS, errNoTLS)
	}
	s.extend()
	if err := s.client.StartTLS(tlsConfig(c)); err != nil {
		return fault(s.ctx, atTLS, err)
	}
	return nil
}

// send hands over the message to whomever the server takes it for.
func (s *session) send(message []byte, sender string, recipients []string) (map[string]error, error) {
	s.extend()
	if err := s.client.Mail("<" + sender + ">"); err != nil {
		return nil, fault(s.ctx, atSender, err)
	}
	refused := map[string]error{}
	for _, to := range recipients {
		s.extend()
		if err := s.client.Rcpt("<" + to + ">"); err != nil {
			if replyCode(err) == 0 {
				return nil, fault(s.ctx, atRecipient, err)
			}
			refused[to] = fault(s.ctx, atRecipient, err)
		}
	}
	if len(refused) == len(recipients) {
		return refused, nil
	}
	s.extend()
	body, err := s.client.Data()
	if err != nil {
		return nil, fault(s.ctx, atMessage, err)
	}
	s.extend()
	if _, err := body.Write(message); err != nil {
		return nil, fault(s.ctx, atMessage, err)
	}
	s.extend()
	if err := body.Close(); err != nil {
		return nil, fault(s.ctx, atAnswer, err)
	}
	// The server has it now; how the conversation ends does not matter any more.
	s.extend()
	_ = s.client.Quit()
	return refused, nil
}

// extend gives the next exchange its time. The context's deadline needs none: it
// closes the connection.
func (s *session) extend() {
	now := time.Now()
	_ = s.conn.SetReadDeadline(now.Add(s.read))
	_ = s.conn.SetWriteDeadline(now.Add(s.write))
}

func (s *session) close() {
	s.stop()
	s.conn.Close()
}

// encode makes the bytes of a letter, signed if that is wanted.
func (m *Mailer) encode(ctx context.Context, l letter) ([]byte, error) {
	var message bytes.Buffer
	if _, err := m.message(l).WriteTo(&message); err != nil {
		return nil, fault(ctx, atMessage, err)
	}
	if m.c.Sign == nil {
		return message.Bytes(), nil
	}
	return m.c.Sign(ctx, message.Bytes())
}

// message is a letter as a message.
func (m *Mailer) message(l letter) *gomail.Msg {
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
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBulk()
	msg.SetBodyString(gomail.TypeTextPlain, l.text)
	msg.AddAlternativeString(gomail.TypeTextHTML, l.html)
	return msg
}

// maxReceived is how much a server may say in one conversation; the client buffers
// answers whole.
const maxReceived = 256 << 10

// conn is the connection under the conversation. Until TLS has begun it hands out
// single bytes, so that nothing that an attacker has slipped in behind the answer to
// STARTTLS waits in a buffer: TLS reads it, and fails. It also bounds what the
// server may send.
type conn struct {
	net.Conn
	encrypted bool
	left      int
}

func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooMuch
	}
	if !c.encrypted && len(p) > 1 {
		p = p[:1]
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
		c.encrypted = true
	}
	return c.Conn.Write(p)
}

func (c *conn) toLoopback() bool {
	peer, ok := c.RemoteAddr().(*net.TCPAddr)
	return ok && peer.IP.IsLoopback()
}

var (
	errNoTLS       = errors.New("the server does not offer STARTTLS, and nothing is sent without it")
	errNoMechanism = errors.New("the server offers no way to log in that may be used, such as AUTH PLAIN")
	errTooMuch     = fmt.Errorf("the server said more than %d bytes: %w", maxReceived, io.ErrUnexpectedEOF)
)
