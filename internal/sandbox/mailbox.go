package sandbox

import (
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// What the mailbox holds at most; the oldest mail goes first.
const (
	maxMails        = 500
	maxMailBytes    = 1 << 20
	maxRecipients   = 50
	smtpIdleTimeout = time.Minute
)

// Mailbox is the sandbox's mail server and everybody's inbox. It takes mail over
// SMTP from who has switched to TLS and logged in, and delivers none of it.
type Mailbox struct {
	now func() time.Time

	mu    sync.Mutex
	last  int
	mails []*Mail // oldest first
}

// Mail is one mail as it arrived.
type Mail struct {
	// ID is unique within the mailbox, and only grows.
	ID       int
	Received time.Time
	// From and Recipients are the envelope's, folded to lower case.
	From       string
	Recipients []string
	// Raw is the mail as it was sent. It must not be changed.
	Raw []byte

	readBy map[string]bool
}

// Inbox returns the mails to a person, newest first.
func (m *Mailbox) Inbox(address string) []*Mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []*Mail
	for i := len(m.mails) - 1; i >= 0; i-- {
		if m.mails[i].isTo(address) {
			found = append(found, m.mails[i])
		}
	}
	return found
}

// Mail returns a person's mail, or false when they have none of that id.
func (m *Mailbox) Mail(address string, id int) (*Mail, bool) {
	for _, mail := range m.Inbox(address) {
		if mail.ID == id {
			return mail, true
		}
	}
	return nil, false
}

// Unread returns how many mails to a person have not been opened by them.
func (m *Mailbox) Unread(address string) int {
	unread := 0
	for _, mail := range m.Inbox(address) {
		if !m.IsRead(mail, address) {
			unread++
		}
	}
	return unread
}

// IsRead is whether the person has opened the mail.
func (m *Mailbox) IsRead(mail *Mail, address string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return mail.readBy[address]
}

func (m *Mailbox) markRead(mail *Mail, address string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mail.readBy[address] = true
}

func (m *Mailbox) add(mail *Mail) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	mail.ID, mail.Received, mail.readBy = m.last, m.now(), map[string]bool{}
	m.mails = append(m.mails, mail)
	if len(m.mails) > maxMails {
		m.mails = m.mails[len(m.mails)-maxMails:]
	}
}

func (m *Mail) isTo(address string) bool {
	for _, recipient := range m.Recipients {
		if recipient == address {
			return true
		}
	}
	return false
}

// mailServer speaks SMTP for a Mailbox.
type mailServer struct {
	server   *smtp.Server
	listener net.Listener
}

// startMailServer listens on loopback for the one account that may send.
func startMailServer(mailbox *Mailbox, username, password string, certificate tls.Certificate, log *slog.Logger) (*mailServer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &mailSession{mailbox: mailbox, username: username, password: password}, nil
	}))
	server.Domain = "localhost"
	server.MaxRecipients = maxRecipients
	server.MaxMessageBytes = maxMailBytes
	server.ReadTimeout = smtpIdleTimeout
	server.WriteTimeout = smtpIdleTimeout
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	go server.Serve(listener)
	return &mailServer{server, listener}, nil
}

func (s *mailServer) port() string {
	return strconv.Itoa(s.listener.Addr().(*net.TCPAddr).Port)
}

func (s *mailServer) close() error {
	// The listener as well: a server that was closed before its Serve ran does not
	// know it yet.
	return errors.Join(s.server.Close(), ignoreClosed(s.listener.Close()))
}

// mailSession is one connection. go-smtp offers AUTH only after STARTTLS, because
// AllowInsecureAuth is off.
type mailSession struct {
	mailbox            *Mailbox
	username, password string

	loggedIn   bool
	from       string
	recipients []string
}

func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(identity, username, password string) error {
		right := subtle.ConstantTimeCompare([]byte(username), []byte(s.username)) &
			subtle.ConstantTimeCompare([]byte(password), []byte(s.password))
		if right != 1 || (identity != "" && identity != username) {
			return smtp.ErrAuthFailed
		}
		s.loggedIn = true
		return nil
	}), nil
}

func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	if !s.loggedIn {
		return smtp.ErrAuthRequired
	}
	s.from = strings.ToLower(from)
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.recipients = append(s.recipients, strings.ToLower(to))
	return nil
}

func (s *mailSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mailbox.add(&Mail{From: s.from, Recipients: s.recipients, Raw: raw})
	return nil
}

func (s *mailSession) Reset() { s.from, s.recipients = "", nil }

func (s *mailSession) Logout() error { return nil }
