package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/notice"
)

// Probe goes through a conversation with the server as far as the log-in, and if
// there is somebody to send to, sends them a mail that says so. passed is told of
// each step that was taken, by its name and what was found; the error is of the one
// that failed. Other than for a notice the password is read, or the token fetched,
// afresh, so that what is tried is what is configured.
func (m *Mailer) Probe(ctx context.Context, to access.Principal, passed func(name, text string)) error {
	began := m.c.Now()
	err := m.probe(ctx, to, passed)
	if to != "" {
		m.history.Add(notice.TestMessage, access.Receipts{{To: to, Err: err}}, began, m.c.Now(), failure)
	}
	return err
}

func (m *Mailer) probe(ctx context.Context, to access.Principal, passed func(name, text string)) (err error) {
	var secret, address string
	if m.c.Login != nil {
		if secret, err = m.c.Login.Fresh(ctx); err != nil {
			return m.noSecret(ctx, err)
		}
		if m.c.Token {
			passed("token", "an access token could be had")
		} else {
			passed("secret", "the password could be read")
		}
	}
	if to != "" {
		if address, err = m.address(to); err != nil {
			return noAddress(err)
		}
	}
	if err := m.resolve(ctx, passed); err != nil {
		return err
	}
	s, err := m.open(ctx, secret, passed)
	if err != nil {
		_, reason := m.another(ctx, secret, err)
		return cmp.Or(reason, err)
	}
	defer s.close()
	if to == "" {
		_ = s.client.Quit()
		return nil
	}
	now, words := m.c.Now(), m.c.Language
	data, err := m.encode(ctx, letter{
		to: []string{address}, subject: words.Text("notice.test"), date: now, id: fmt.Sprintf("test-%d@%s", now.UnixNano(), m.domain()),
		body: func() (text, html string, err error) {
			return words.Text("notice.test.text"), string("<p>" + words.HTML("notice.test.text") + "</p>"), nil
		},
	})
	if err != nil {
		return err
	}
	if m.c.Sign != nil {
		passed("sign", "with DKIM")
	}
	refused, _ := s.send(data, m.c.ReturnPath, []string{address})
	if err = refused[address]; err == nil {
		_ = s.client.Quit()
		passed("accepted", fmt.Sprintf("the server took a mail to %s and said %q; whether it arrives, look there",
			address, cleaned(s.answer, secret)))
	}
	return err
}

// Test sends a test message, and returns its steps; only the last may have failed.
func (m *Mailer) Test(ctx context.Context, to access.Principal) []notice.Step {
	var steps []notice.Step
	err := m.Probe(ctx, to, func(name, text string) { steps = append(steps, notice.Step{Name: name, Text: text}) })
	if err == nil {
		return steps
	}
	failed := notice.Step{Name: "test", Failure: failure(err)}
	if f, ok := errors.AsType[*Fault](err); ok {
		failed.Name, failed.Failure.What = f.Step, f.Said()
	}
	return append(steps, failed)
}

// Name is that of the channel.
func (m *Mailer) Name() string { return Channel }

// Recent is what this instance has lately tried to send; see notice.History.
func (m *Mailer) Recent() []notice.Attempt { return m.history.Recent() }

// failure explains to an administrator why something could not be sent.
func failure(err error) *notice.Failure {
	if f, ok := errors.AsType[*Fault](err); ok {
		return &notice.Failure{What: f.What(), Meaning: f.Meaning, Remedy: f.Remedy, Err: err}
	}
	return &notice.Failure{Meaning: "It could not be sent.", Remedy: "The log has the cause.", Err: err}
}

// resolve tells the addresses behind the server's name.
func (m *Mailer) resolve(ctx context.Context, passed func(name, text string)) error {
	if _, err := netip.ParseAddr(m.c.Host); err == nil {
		passed("resolve", m.c.Host+" is an address")
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, m.c.ConnectTimeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, m.c.Host)
	switch {
	case err == nil:
		passed("resolve", m.c.Host+" is "+some(addresses))
	case m.c.Dial != nil:
		passed("resolve", m.c.Host+" is not known here; the proxy may know it")
	default:
		return fault(ctx, atResolve, err)
	}
	return nil
}

func (s *session) reached() string {
	if _, ok := s.conn.Conn.(proxied); ok {
		return "through the proxy"
	}
	return "to " + s.conn.RemoteAddr().String()
}

// protection says how the conversation is protected, and by whose certificate.
func (s *session) protection() string {
	state, ok := s.client.TLSConnectionState()
	if !ok {
		return "none, on this machine"
	}
	// There is one, since it has been verified.
	c := state.PeerCertificates[0]
	return fmt.Sprintf("version %s with a certificate for this host (for %s, by %s, until %s)",
		strings.TrimPrefix(tls.VersionName(state.Version), "TLS "), some(namesOf(c)), quoted(issuer(c)), c.NotAfter.UTC().Format(time.DateOnly))
}

func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func issuer(c *x509.Certificate) string {
	if c.Issuer.CommonName != "" {
		return c.Issuer.CommonName
	}
	return c.Issuer.String()
}

// quoted makes a name that others chose fit to be shown.
func quoted(name string) string { return strconv.Quote(clipped(printable(name), maxName)) }

// maxName is how much is shown of a name in a certificate.
const maxName = 100

// some names the first few, made fit to be shown.
func some(names []string) string {
	const few = 4
	var shown []string
	for _, name := range names[:min(few, len(names))] {
		shown = append(shown, clipped(printable(name), maxName))
	}
	text := strings.Join(shown, ", ")
	if len(names) > few {
		text += fmt.Sprintf(" and %d more", len(names)-few)
	}
	return text
}
