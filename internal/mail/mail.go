// Package mail tells people by mail. It composes a message from a notice, without
// doing anything else, and delivers it over SMTP: TLS demanded and verified, within
// the deadline of the caller, and never after the call has returned.
//
// What the mail server is trusted for: to pass mails on. It can drop, read and
// forge them, and that must not matter: a mail holds a pointer to a request, and
// only a reviewer who is signed in can decide it. Replies decide nothing.
package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"golang.org/x/sync/semaphore"

	"jitaccess/internal/access"
	"jitaccess/internal/loopback"
	"jitaccess/internal/notice"
	"jitaccess/internal/words"
)

// Channel is the name of this channel in an access.Receipt.
const Channel = "mail"

// Config is what a Mailer is made of.
type Config struct {
	// Sender is the address that mails come from; empty turns mail off, and then
	// nothing else matters. Its domain is also that of the message ids.
	Sender string
	// SenderName is shown beside it; may be empty.
	SenderName string

	// Host and Port are the submission server's.
	Host string
	Port int
	// ImplicitTLS speaks TLS from the first byte (port 465) rather than STARTTLS.
	ImplicitTLS bool
	// MinTLS and MaxTLS are of crypto/tls; 0 is TLS 1.2, the least spoken, and the newest.
	MinTLS, MaxTLS uint16
	// AllowPlain permits a connection without TLS if Host is loopback and the
	// server offers none. With any other host it is a fault.
	AllowPlain bool
	// Roots are the authorities that may sign the server's certificate; nil, the system's.
	Roots *x509.CertPool
	// CA, unless it is nil, returns those authorities instead of Roots, and is called for
	// each connection. See Authorities.
	CA func(context.Context) (*x509.CertPool, error)
	// Dial connects to the server; nil means directly. See Proxy. What it connects to
	// has to prove by its certificate that it is Host.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Hello is the name given in EHLO; empty means the sender's domain. The name of
	// the machine is never told.
	Hello string
	// ReturnPath is the address in MAIL FROM, where mail servers report what they
	// could not deliver; empty means Sender.
	ReturnPath string
	// ReplyTo is where replies go; empty means to Sender, which nobody reads.
	ReplyTo string
	// ConfirmationTo asks mail programs to confirm there that a mail was read; empty
	// means that they are not asked.
	ConfirmationTo string

	// Username logs in with what Login returns; nil means that nobody logs in.
	Username string
	Login    Login
	// Token is whether that is an access token rather than a password: the log-in is
	// by XOAUTH2 then, and by nothing else.
	Token bool
	// Mechanisms are how to log in with a password, the best first; nil is PLAIN, LOGIN.
	Mechanisms []string

	// Sign makes a signed message of one that is ready to be sent; see NewDKIM. nil
	// signs nothing. A message that cannot be signed is not sent.
	Sign func(context.Context, []byte) ([]byte, error)

	// MessageID makes the Message-ID, without brackets, that begins with some words, such that it is
	// known when the mail comes back (see mailbox.Marks); nil makes plain ones.
	MessageID func(words, domain string) string

	// Language is that of mails; nil means English. Location is the time zone of the
	// times in them; nil means UTC. Provider and Immediate are as in notice.Writer.
	Language  *words.Language
	Location  *time.Location
	Provider  func(access.Resource) string
	Immediate func(access.Resource) bool
	// Address says where a person gets mail; nil means at the principal's address.
	Address func(access.Principal) (string, error)
	// ConnectTimeout, ReadTimeout and WriteTimeout cap connecting, waiting for each
	// answer of the server and sending to it, besides the deadline of the context; 0
	// means 10 seconds.
	ConnectTimeout, ReadTimeout, WriteTimeout time.Duration
	// MaxConnections is how many connections there are at once, and PerMinute how many
	// mails are sent within a minute; 0 means 3 and 30, which is what Exchange Online
	// takes of a mailbox (learn.microsoft.com, "SMTP submission improvements").
	MaxConnections, PerMinute int
	// Now is the clock; deadlines go by the real one. Sleep waits, or returns the
	// context's error when that ends first. Both are needed.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
	// AfterFunc calls later, unless stopped; Random is in [0, 1). nil is the system's.
	AfterFunc func(time.Duration, func()) (stop func() bool)
	Random    func() float64
}

// Mailer implements broker.Notifier. Make one with New; it may be used concurrently.
type Mailer struct {
	c       Config
	writer  notice.Writer
	pool    *pool
	pace    *pace
	history notice.History
}

const (
	maxConnections = 3
	perMinute      = 30
	// maxRecipients is Gmail's limit for one message by SMTP.
	maxRecipients = 100
	stepTimeout   = 10 * time.Second
)

// New makes a Mailer. Package config checks what an operator says; the errors here are
// mistakes of a caller by which an address could end an SMTP command, or mail and
// password be sent in clear text.
func New(c Config) (*Mailer, error) {
	if c.Sender == "" {
		return &Mailer{}, nil
	}
	for _, address := range []*string{&c.Sender, &c.ReturnPath, &c.ReplyTo, &c.ConfirmationTo} {
		if *address == "" {
			continue
		}
		checked, err := access.ParsePrincipal(*address)
		if err != nil {
			return nil, fmt.Errorf("mail: address %q: %w", *address, err)
		}
		*address = string(checked)
	}
	c.setDefaults()
	if c.AllowPlain && !loopback.Is(c.Host) || c.MinTLS < tls.VersionTLS12 || c.MaxTLS != 0 && c.MaxTLS < c.MinTLS {
		return nil, fmt.Errorf("mail: TLS 1.2 is the least that is spoken with %q", c.Host)
	}
	m := &Mailer{
		c:      c,
		writer: notice.Writer{Language: c.Language, Location: c.Location, Provider: c.Provider, Immediate: c.Immediate},
		pace:   &pace{perMinute: c.PerMinute, now: c.Now, sleep: c.Sleep},
	}
	m.pool = &pool{open: m.loggedIn, turns: semaphore.NewWeighted(int64(c.MaxConnections)), now: c.Now, afterFunc: c.AfterFunc}
	return m, nil
}

func (c *Config) setDefaults() {
	c.ReturnPath = cmp.Or(c.ReturnPath, c.Sender)
	c.Hello = cmp.Or(c.Hello, access.Principal(c.Sender).Domain())
	c.MinTLS = cmp.Or(c.MinTLS, tls.VersionTLS12)
	if c.Mechanisms == nil {
		c.Mechanisms = []string{"PLAIN", "LOGIN"}
	}
	if c.MessageID == nil {
		c.MessageID = plainID
	}
	c.Language = cmp.Or(c.Language, words.English())
	if c.Address == nil {
		c.Address = func(p access.Principal) (string, error) { return string(p), nil }
	}
	for _, timeout := range []*time.Duration{&c.ConnectTimeout, &c.ReadTimeout, &c.WriteTimeout} {
		*timeout = cmp.Or(*timeout, stepTimeout)
	}
	c.MaxConnections = cmp.Or(c.MaxConnections, maxConnections)
	c.PerMinute = cmp.Or(c.PerMinute, perMinute)
	if c.AfterFunc == nil {
		c.AfterFunc = func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
}

// domain is what message ids end in.
func (m *Mailer) domain() string { return access.Principal(m.c.Sender).Domain() }

// Enabled is whether mail is configured.
func (m *Mailer) Enabled() bool { return m.c.Sender != "" }

// Channels is mail, if it is configured.
func (m *Mailer) Channels() []access.Channel {
	if !m.Enabled() {
		return nil
	}
	return []access.Channel{{Name: Channel, People: true}}
}

// Close ends the connections that nobody uses. Mails can be sent afterwards; the
// connection of each is then ended with it.
func (m *Mailer) Close() {
	if m.Enabled() {
		m.pool.close()
	}
}

// Notify sends one mail to everybody whom the notice names, over one connection,
// and returns a receipt for each of them. Whoever's has no error has been accepted by
// the mail server, which is not yet delivered. It waits for its turn and tries
// again what the server refuses for now, as long as ctx leaves time for it.
func (m *Mailer) Notify(ctx context.Context, n access.Notice) access.Receipts {
	if !m.Enabled() || n.Kind == access.NoticeSelfApproved {
		return nil
	}
	began := m.c.Now()
	receipts := m.notify(ctx, n)
	m.history.Add(n.Kind, receipts, began, m.c.Now(), failure)
	return receipts
}

func (m *Mailer) notify(ctx context.Context, n access.Notice) (receipts access.Receipts) {
	var told []addressee
	seen := map[string]bool{}
	// collect returns addresses that are new: a mailbox that several share gets one mail.
	collect := func(people []access.Principal) (addresses []string) {
		for _, p := range people {
			address, err := m.address(p)
			if err == nil && len(seen) == maxRecipients && !seen[address] {
				err = fmt.Errorf("more than %d recipients", maxRecipients)
			}
			if err != nil {
				receipts = append(receipts, access.Receipt{To: p, Channel: Channel, Err: noAddress(err)})
				continue
			}
			told = append(told, addressee{p, address})
			if !seen[address] {
				seen[address] = true
				addresses = append(addresses, address)
			}
		}
		return addresses
	}
	to, cc := collect(n.To), collect(n.CC)
	if len(told) == 0 {
		return receipts
	}
	var refused map[string]error
	l, err := m.compose(n)
	if err == nil {
		l.to, l.cc = to, cc
		refused = m.deliver(ctx, l)
	}
	for _, a := range told {
		r := access.Receipt{To: a.principal, Channel: Channel, Ref: l.id, Err: cmp.Or(err, refused[a.address])}
		if r.Err != nil {
			r.Ref = ""
		}
		receipts = append(receipts, r)
	}
	return receipts
}

type addressee struct {
	principal access.Principal
	address   string
}

// address is where a person gets mail. Every address passes our grammar here,
// wherever it came from: what it lets through cannot be read as anything else in a
// header or an SMTP command.
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
