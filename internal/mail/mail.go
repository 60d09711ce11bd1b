// Package mail tells people by mail. It composes a message from a notice, without
// doing anything else, and delivers it over SMTP: TLS demanded and verified, within
// the deadline of the caller, and never after the call has returned.
//
// What the mail server is trusted for: to pass mails on. It can drop, read and
// forge them, and that must not matter: a mail holds a pointer to a request, and
// only a reviewer who is signed in can decide it. Replies decide nothing.
package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
	"unicode"

	"jitaccess/internal/access"
)

// Channel is the name of this channel in an access.Undelivered.
const Channel = "mail"

// Config is what a Mailer is made of.
type Config struct {
	// Sender is the address that mails come from; empty turns mail off, and then
	// nothing else matters. Its domain is also that of the message ids.
	Sender string
	// SenderName is shown beside it; may be empty.
	SenderName string

	// Host and Port are the submission server's. Port 25 is refused: it is for
	// servers among themselves, and closed on Google Cloud.
	Host string
	Port int
	// ImplicitTLS speaks TLS from the first byte (port 465) rather than STARTTLS.
	ImplicitTLS bool
	// MinTLS and MaxTLS are versions of crypto/tls; 0 is TLS 1.2, the least that is
	// spoken, and the newest.
	MinTLS, MaxTLS uint16
	// AllowPlain permits a connection without TLS if Host is loopback and the
	// server offers none. With any other host it is a fault.
	AllowPlain bool
	// Roots are who may sign the server's certificate; nil means the system's.
	Roots *x509.CertPool
	// Hello is the name given in EHLO; empty means the sender's domain. The name of
	// the machine is never told.
	Hello string
	// ReturnPath is the address in MAIL FROM, where mail servers report what they
	// could not deliver; empty means Sender.
	ReturnPath string

	// Username and Password log in; without a Username there is no log-in. Password
	// is read when it is first needed and again when a log-in fails, the latter
	// every 5 minutes at most.
	Username string
	Password func(context.Context) (string, error)
	// Mechanisms are how to log in, the best first: "PLAIN" and "LOGIN". nil means
	// both.
	Mechanisms []string

	// Sign makes a signed message of one that is ready to be sent; see NewDKIM. nil
	// signs nothing. A message that cannot be signed is not sent.
	Sign func(context.Context, []byte) ([]byte, error)

	// Location is the time zone of the times in mails; nil means UTC.
	Location *time.Location
	// Address says where a person gets mail; nil means at the principal's own
	// address.
	Address func(access.Principal) (string, error)
	// ConnectTimeout, ReadTimeout and WriteTimeout cap connecting, waiting for each
	// answer of the server and sending to it, besides the deadline of the context; 0
	// means 10 seconds.
	ConnectTimeout, ReadTimeout, WriteTimeout time.Duration
	// Now is the clock.
	Now func() time.Time
}

// Mailer implements broker.Notifier. Make one with New. It may be used
// concurrently.
type Mailer struct {
	c        Config
	composer composer
	password password
	// slots bounds connections at the same time: Exchange Online takes 3
	// (learn.microsoft.com, "SMTP submission improvements").
	slots chan struct{}
}

const (
	maxConnections = 3
	// maxRecipients is Gmail's limit for one message by SMTP.
	maxRecipients = 100
	stepTimeout   = 10 * time.Second
)

// New makes a Mailer. Errors name every fault of the configuration at once.
func New(c Config) (*Mailer, error) {
	if c.Sender == "" {
		return &Mailer{}, nil
	}
	sender, err := access.ParsePrincipal(c.Sender)
	var faults []error
	if err != nil {
		faults = append(faults, fmt.Errorf("sender address %q: %w", c.Sender, err))
	}
	if c.Hello == "" {
		c.Hello = sender.Domain()
	}
	if strings.ContainsFunc(c.SenderName, unicode.IsControl) {
		faults = append(faults, errors.New("sender name has control characters"))
	}
	if strings.ContainsFunc(c.Hello, func(r rune) bool { return r <= ' ' || r > '~' }) {
		faults = append(faults, fmt.Errorf("EHLO name %q is not a host name", c.Hello))
	}
	if c.Host == "" {
		faults = append(faults, errors.New("no mail server"))
	}
	if c.Port == 25 {
		faults = append(faults, errors.New("port 25 is not for submission; use 587, or 465 with implicit TLS"))
	}
	if c.Port < 1 || c.Port > 65535 {
		faults = append(faults, fmt.Errorf("port %d", c.Port))
	}
	if c.AllowPlain && !isLoopback(c.Host) {
		faults = append(faults, fmt.Errorf("mail without TLS is for a server on loopback, not for %q", c.Host))
	}
	if c.ReturnPath == "" {
		c.ReturnPath = c.Sender
	}
	returnPath, err := access.ParsePrincipal(c.ReturnPath)
	if err != nil {
		faults = append(faults, fmt.Errorf("return path %q: %w", c.ReturnPath, err))
	}
	if c.MinTLS == 0 {
		c.MinTLS = tls.VersionTLS12
	}
	if c.MinTLS < tls.VersionTLS12 || c.MaxTLS != 0 && c.MaxTLS < c.MinTLS {
		faults = append(faults, errors.New("TLS 1.2 is the least that is spoken"))
	}
	if c.Mechanisms == nil {
		c.Mechanisms = []string{"PLAIN", "LOGIN"}
	}
	for _, name := range c.Mechanisms {
		if name != "PLAIN" && name != "LOGIN" {
			faults = append(faults, fmt.Errorf("log-in by %q is not known", name))
		}
	}
	if c.Username != "" && c.Password == nil {
		faults = append(faults, errors.New("a user name without a password"))
	}
	if c.Location == nil {
		c.Location = time.UTC
	}
	if c.Address == nil {
		c.Address = func(p access.Principal) (string, error) { return string(p), nil }
	}
	for _, timeout := range []*time.Duration{&c.ConnectTimeout, &c.ReadTimeout, &c.WriteTimeout} {
		if *timeout == 0 {
			*timeout = stepTimeout
		}
	}
	m := &Mailer{
		c:        c,
		composer: composer{location: c.Location, domain: sender.Domain()},
		password: password{read: c.Password, now: c.Now, lock: make(chan struct{}, 1)},
		slots:    make(chan struct{}, maxConnections),
	}
	m.c.Sender, m.c.ReturnPath = string(sender), string(returnPath)
	return m, errors.Join(faults...)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Enabled is whether mail is configured.
func (m *Mailer) Enabled() bool { return m.c.Sender != "" }

// Notify sends one mail to everybody whom the notice names, over one connection,
// and returns who could not be told. Whoever is not among them has been accepted
// by the mail server, which is not yet delivered.
func (m *Mailer) Notify(ctx context.Context, n access.Notice) []access.Undelivered {
	if !m.Enabled() || n.Kind == access.NoticeSelfApproved {
		return nil
	}
	to, cc, failed := m.addressees(n)
	if len(to)+len(cc) == 0 {
		return failed
	}
	l, err := m.composer.compose(n, m.c.Now())
	if err == nil {
		var refused map[string]error
		l.to, l.cc = addresses(to), addresses(cc)
		refused, err = m.deliver(ctx, l)
		for _, a := range slices.Concat(to, cc) {
			if e := refused[a.address]; e != nil {
				failed = append(failed, undelivered(a.principal, e))
			}
		}
	}
	if err != nil {
		for _, a := range slices.Concat(to, cc) {
			failed = append(failed, undelivered(a.principal, err))
		}
	}
	return failed
}

func undelivered(p access.Principal, err error) access.Undelivered {
	return access.Undelivered{To: p, Channel: Channel, Err: err}
}

// addressee is a person and where they get mail.
type addressee struct {
	principal access.Principal
	address   string
}

// addressees finds where to send a notice, each address once. Every address passes
// our grammar here, wherever it came from: what it lets through cannot be read as
// anything else in a header or an SMTP command.
func (m *Mailer) addressees(n access.Notice) (to, cc []addressee, failed []access.Undelivered) {
	seen := map[string]bool{}
	collect := func(people []access.Principal) (found []addressee) {
		for _, p := range people {
			address, err := m.address(p)
			if err == nil && len(seen) == maxRecipients && !seen[address] {
				err = fmt.Errorf("more than %d recipients", maxRecipients)
			}
			if err != nil {
				failed = append(failed, undelivered(p, &access.Error{Kind: access.Invalid, Code: access.CodeBadInput,
					Args: access.Args{"reason": "address"}, Err: err}))
				continue
			}
			if !seen[address] {
				seen[address] = true
				found = append(found, addressee{p, address})
			}
		}
		return found
	}
	return collect(n.To), collect(n.CC), failed
}

func (m *Mailer) address(p access.Principal) (string, error) {
	if _, err := access.ParsePrincipal(string(p)); err != nil {
		return "", err
	}
	address, err := m.c.Address(p)
	if err != nil {
		return "", err
	}
	checked, err := access.ParsePrincipal(address)
	return string(checked), err
}

func addresses(people []addressee) (found []string) {
	for _, a := range people {
		found = append(found, a.address)
	}
	return found
}
