package mailbox

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"jitaccess/internal/outbound"
)

// observedAs is what observers call the mailbox's server.
const observedAs = "imap"

// What a server may say to one command: mails are fetched by commands of their own. The client
// keeps answers whole.
const (
	maxAnswer = 256 << 10
	maxField  = 8 << 10 // of the header of one mail, as far as it is asked for
)

// session is one conversation with the server, in which somebody is logged in.
type session struct {
	c      Config
	raw    net.Conn
	conn   *conn // nil until TLS has begun
	client *imapclient.Client
	// secret is what logged in, which no fault may tell.
	secret string
	// news gets a value when the server says how many mails there are.
	news      chan struct{}
	mechanism string
}

// allow is what the server may say from now on.
func (s *session) allow(bytes int64) { s.conn.left.Store(bytes) }

// open connects, makes sure of the server and logs in. At the end of ctx the connection is
// closed. passed is told of each step.
func (c Config) open(ctx context.Context, secret string, passed func(name, text string)) (opened *session, err error) {
	answered := outbound.Begin(ctx, observedAs, "connect")
	defer func() { answered(outbound.Status(err)) }()
	config := &tls.Config{ServerName: c.Host, RootCAs: c.Roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"imap"}}
	if c.CA != nil {
		if config.RootCAs, err = c.CA(ctx); err != nil {
			return nil, fault(ctx, atAuthorities, secret, err)
		}
	}
	dialling, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	raw, err := c.Dial(dialling, "tcp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
	if err != nil {
		return nil, fault(ctx, atConnect, secret, err)
	}
	passed("connect", "to "+raw.RemoteAddr().String())
	s := &session{c: c, raw: raw, secret: secret, news: make(chan struct{}, 1)}
	stop := s.within(ctx)
	err = s.prepare(ctx, config, passed)
	if !stop() && err == nil {
		err = s.fault(ctx, atLogin, ctx.Err())
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// prepare begins TLS and logs in.
func (s *session) prepare(ctx context.Context, config *tls.Config, passed func(name, text string)) error {
	// Who begins with TLS where it is not meant to waits for each other.
	_ = s.raw.SetDeadline(time.Now().Add(stepTime))
	greeting := ""
	if !s.c.ImplicitTLS {
		var err error
		if greeting, err = startTLS(s.raw); err != nil {
			return s.fault(ctx, atTLS, err)
		}
	}
	encrypted := tls.Client(s.raw, config)
	if err := encrypted.HandshakeContext(ctx); err != nil {
		return s.fault(ctx, atTLS, err)
	}
	_ = s.raw.SetDeadline(time.Time{})
	passed("TLS", "with a certificate for this host")
	s.conn = &conn{Conn: encrypted, first: greeting}
	s.allow(maxAnswer)
	s.client = imapclient.New(s.conn, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(*imapclient.UnilateralDataMailbox) {
			select {
			case s.news <- struct{}{}:
			default:
			}
		}}})
	if err := s.client.WaitGreeting(); err != nil {
		return s.fault(ctx, atGreeting, err)
	}
	if err := s.logIn(); err != nil {
		return s.fault(ctx, atLogin, err)
	}
	passed("log-in", "as "+s.c.Username+" by "+s.mechanism)
	return nil
}

// logIn is over TLS always: without it there is no session.
func (s *session) logIn() error {
	caps := s.client.Caps()
	switch {
	case s.c.Token && caps.Has(imap.AuthCap(xoauth2)):
		s.mechanism = xoauth2
		return s.client.Authenticate(&tokenLogin{s.c.Username, s.secret})
	case s.c.Token:
	case caps.Has(imap.AuthCap(sasl.Plain)):
		s.mechanism = sasl.Plain
		return s.client.Authenticate(sasl.NewPlainClient("", s.c.Username, s.secret))
	case !caps.Has(imap.CapLoginDisabled):
		s.mechanism = "LOGIN"
		return s.client.Login(s.c.Username, s.secret).Wait()
	}
	return errNoMechanism
}

// xoauth2 logs in with an access token,
// https://developers.google.com/workspace/gmail/imap/xoauth2-protocol.
const xoauth2 = "XOAUTH2"

type tokenLogin struct{ username, token string }

func (l *tokenLogin) Start() (mechanism string, response []byte, err error) {
	return xoauth2, []byte("user=" + l.username + "\x01auth=Bearer " + l.token + "\x01\x01"), nil
}

// Next answers the reason of a refusal with nothing, upon which the server refuses.
func (l *tokenLogin) Next([]byte) ([]byte, error) { return nil, nil }

// within closes the connection at the end of ctx, unless stop is called before.
func (s *session) within(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { s.raw.Close() })
}

// head is what is asked of every mail.
type head struct {
	uid    imap.UID
	fields []byte
}

// fields are those of a mail by which it may be a bounce; see mayBe.
var fields = []string{"Content-Type", "X-Failed-Recipients", "X-Ms-Exchange-Message-Is-Ndr", "From"}

// heads fetches them of all mails with UIDs in a range, without marking any as read.
func (s *session) heads(from, to imap.UID) (heads []head, err error) {
	s.allow(maxAnswer + int64(to-from+1)*maxField)
	var set imap.UIDSet
	set.AddRange(from, to)
	found, err := s.client.Fetch(set, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{
		Specifier: imap.PartSpecifierHeader, HeaderFields: fields, Peek: true, Partial: &imap.SectionPartial{Size: maxField / 2}}}}).Collect()
	for _, each := range found {
		if len(each.BodySection) > 0 && from <= each.UID && each.UID <= to {
			heads = append(heads, head{each.UID, each.BodySection[0].Bytes})
		}
	}
	slices.SortFunc(heads, func(a, b head) int { return int(int64(a.uid) - int64(b.uid)) })
	return heads, err
}

// mail fetches the beginning of one mail, without marking it as read; nil where it is gone.
func (s *session) mail(uid imap.UID) ([]byte, error) {
	s.allow(maxAnswer + maxMessage)
	found, err := s.client.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{
		Peek: true, Partial: &imap.SectionPartial{Size: maxMessage}}}}).Collect()
	if err != nil || len(found) == 0 || len(found[0].BodySection) == 0 {
		return nil, err
	}
	return found[0].BodySection[0].Bytes, nil
}

// settle marks a mail that was taken in as read, or takes it away. Where the server does not let
// us delete that one alone it is marked as deleted, and stays until somebody expunges it.
func (s *session) settle(uid imap.UID) error {
	s.allow(maxAnswer)
	set, flags := imap.UIDSetNum(uid), []imap.Flag{imap.FlagSeen}
	if !s.c.Keep {
		flags = append(flags, imap.FlagDeleted)
	}
	err := s.client.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: flags}, nil).Close()
	if caps := s.client.Caps(); err == nil && !s.c.Keep && (caps.Has(imap.CapUIDPlus) || caps.Has(imap.CapIMAP4rev2)) {
		err = s.client.UIDExpunge(set).Close()
	}
	if _, refused := errors.AsType[*imap.Error](err); refused {
		return nil // it is read again by whoever starts next, and told of once all the same
	}
	return err
}

func (s *session) close() {
	s.raw.Close()
	if s.client != nil {
		s.client.Close()
	}
}
