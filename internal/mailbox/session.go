package mailbox

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

// What a server may say to one command: mails are fetched by commands of their own. The client
// keeps answers whole.
const (
	maxAnswer = 256 << 10
	maxField  = 8 << 10 // of the header of one mail, as far as it is asked for
)

// session is one conversation with the server, in which somebody is logged in.
type session struct {
	c      Config
	conn   *conn
	client *imapclient.Client
	// news gets a value when the server says how many mails there are.
	news      chan struct{}
	mechanism string
}

// conn bounds what the server may say.
type conn struct {
	net.Conn
	left atomic.Int64
	// over is whether it has said more.
	over atomic.Bool
}

func (c *conn) Read(p []byte) (int, error) {
	left := c.left.Load()
	if left <= 0 {
		c.over.Store(true)
		return 0, errTooMuch
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), left)])
	c.left.Add(-int64(n))
	return n, err
}

// allow is what the server may say from now on.
func (s *session) allow(bytes int64) { s.conn.left.Store(bytes) }

// open connects, makes sure of the server and logs in. At the end of ctx the connection is
// closed. passed is told of each step.
func (c Config) open(ctx context.Context, secret string, passed func(name, text string)) (s *session, err error) {
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
	s = &session{c: c, conn: &conn{Conn: raw}, news: make(chan struct{}, 1)}
	s.allow(maxAnswer)
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer func() {
		if !stop() && err == nil {
			err = fault(ctx, atLogin, secret, ctx.Err())
		}
		if err != nil {
			s.close()
		}
	}()
	passed("connect", "to "+raw.RemoteAddr().String())
	options := &imapclient.Options{TLSConfig: config, UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(*imapclient.UnilateralDataMailbox) {
			select {
			case s.news <- struct{}{}:
			default:
			}
		}}}
	if c.ImplicitTLS {
		encrypted := tls.Client(s.conn, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, fault(ctx, atTLS, secret, err)
		}
		s.client = imapclient.New(encrypted, options)
	} else if s.client, err = imapclient.NewStartTLS(s.conn, options); err != nil {
		return nil, s.fault(ctx, atTLS, secret, err)
	}
	passed("TLS", "with a certificate for this host")
	if err := s.client.WaitGreeting(); err != nil {
		return nil, s.fault(ctx, atGreeting, secret, err)
	}
	if err := s.logIn(secret); err != nil {
		return nil, s.fault(ctx, atLogin, secret, err)
	}
	passed("log-in", "as "+c.Username+" by "+s.mechanism)
	return s, nil
}

// logIn is over TLS always: without it there is no session.
func (s *session) logIn(secret string) error {
	caps := s.client.Caps()
	switch {
	case s.c.Token && caps.Has(imap.AuthCap(xoauth2)):
		s.mechanism = xoauth2
		return s.client.Authenticate(&tokenLogin{s.c.Username, secret})
	case s.c.Token:
	case caps.Has(imap.AuthCap(sasl.Plain)):
		s.mechanism = sasl.Plain
		return s.client.Authenticate(sasl.NewPlainClient("", s.c.Username, secret))
	case !caps.Has(imap.CapLoginDisabled):
		s.mechanism = "LOGIN"
		return s.client.Login(s.c.Username, secret).Wait()
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
	return context.AfterFunc(ctx, func() { s.conn.Close() })
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
	s.conn.Close()
	if s.client != nil {
		s.client.Close()
	}
}

var (
	errTooMuch     = errors.New("the server says more than it was asked for")
	errNoMechanism = errors.New("the server offers no way to log in that may be used")
	errNoNumbers   = errors.New("the server does not say which number the next mail gets (UIDNEXT)")
)
