package mail

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/loopback"
	"jitaccess/internal/redact"
)

// Login is what to log in with: a password, or an access token. It is safe for
// concurrent use. Its errors hold no secret.
type Login interface {
	// Secret is the password or the token. refused is empty, or the secret that the
	// server has just refused: then it is another one, or the same one when there is
	// no other and trying again is useless, or the reason if that is known.
	Secret(ctx context.Context, refused string) (string, error)
	// Fresh asks for the secret anew, so that what is tried is what is configured.
	Fresh(ctx context.Context) (string, error)
}

// loggedIn opens a connection and logs in; once more, over another connection, if the
// log-in is refused and there is another secret to try.
func (m *Mailer) loggedIn(ctx context.Context) (*session, error) {
	var secret string
	if m.c.Login != nil {
		var err error
		if secret, err = m.c.Login.Secret(ctx, ""); err != nil {
			return nil, m.noSecret(ctx, err)
		}
	}
	var refusal error
	for range 2 {
		s, err := m.open(ctx, secret, func(string, string) {})
		if err == nil {
			return s, nil
		}
		refusal = err
		if secret, err = m.another(ctx, secret, err); err != nil {
			return nil, err
		}
	}
	return nil, refusal
}

// another is what to try when an attempt with a secret has failed with err; or else
// that error, with the reason if it is known.
func (m *Mailer) another(ctx context.Context, secret string, err error) (string, error) {
	var f *Fault
	if !errors.As(err, &f) || f.Step != string(atLogin) || f.Code/100 != 5 {
		return "", err
	}
	next, failure := m.c.Login.Secret(ctx, secret)
	switch {
	case failure != nil:
		// Why there is nothing else is what an operator has to mend first.
		e := *access.AsError(m.noSecret(ctx, failure))
		e.Err = fmt.Errorf("%w; wanted because of: %w", e.Err, access.AsError(err).Err)
		return "", &e
	case next == secret:
		return "", err
	}
	return next, nil
}

// noSecret is the fault of there being nothing to log in with.
func (m *Mailer) noSecret(ctx context.Context, err error) error {
	if m.c.Token {
		return fault(ctx, atToken, err)
	}
	return fault(ctx, atPassword, err)
}

func (s *session) logIn() error {
	login, mechanisms := atLogin, s.c.Mechanisms
	if s.c.Token {
		login, mechanisms = atTokenLogin, []string{xoauth2}
	}
	_, list := s.client.Extension("AUTH")
	offered := strings.Fields(strings.ToUpper(list))
	at := slices.IndexFunc(mechanisms, func(name string) bool { return slices.Contains(offered, name) })
	if at < 0 {
		return s.fault(login, fmt.Errorf("%w: not by %s", errNoMechanism, strings.Join(mechanisms, " or ")))
	}
	s.mechanism = mechanisms[at]
	token := &tokenAuth{username: s.c.Username, token: s.secret}
	// Each of them checks that the connection is encrypted or local.
	auth := map[string]smtp.Auth{
		xoauth2: token,
		"PLAIN": smtp.PlainAuth("", s.c.Username, s.secret, s.c.Host, false),
		"LOGIN": smtp.LoginAuth(s.c.Username, s.secret, s.c.Host, false),
	}[s.mechanism]
	s.extend()
	if err := s.client.Auth(auth); err != nil {
		return token.explain(s.fault(login, err))
	}
	return nil
}

// xoauth2 logs in with an access token,
// https://developers.google.com/workspace/gmail/imap/xoauth2-protocol.
const xoauth2 = "XOAUTH2"

// maxCommand is the longest command line, its end included (RFC 5321, 4.5.3.1.4).
const maxCommand = 512

// tokenAuth is the client's half of XOAUTH2. go-mail's own does not look whether the
// connection is encrypted, and drops what the server says of a token.
type tokenAuth struct {
	username, token string

	sent bool
	// said is the JSON with which the server refuses the token.
	said []byte
}

// Start sends the token along unless the line would become too long. Then the server
// has to ask for it (RFC 4954, 4).
func (a *tokenAuth) Start(server *smtp.ServerInfo) (mechanism string, response []byte, err error) {
	if !server.TLS && !loopback.Is(server.Name) {
		return "", nil, smtp.ErrUnencrypted
	}
	response = a.response()
	if len("AUTH "+xoauth2+" \r\n")+base64.StdEncoding.EncodedLen(len(response)) > maxCommand {
		return xoauth2, nil, nil
	}
	a.sent = true
	return xoauth2, response, nil
}

func (a *tokenAuth) Next(challenge []byte, more bool) ([]byte, error) {
	switch {
	case !more:
		return nil, nil
	case !a.sent:
		a.sent = true
		return a.response(), nil
	case a.said == nil:
		// An empty line, upon which the server refuses with a code.
		a.said = append([]byte{}, challenge...)
		return []byte{}, nil
	}
	return nil, smtp.ErrUnexpectedServerChallange
}

func (a *tokenAuth) response() []byte {
	return []byte("user=" + a.username + "\x01auth=Bearer " + a.token + "\x01\x01")
}

// explain adds to a fault what the server said of the token: a status, and which
// schemes it knows. Anything else could be what we have just sent.
func (a *tokenAuth) explain(failed error) error {
	var f *Fault
	var said struct {
		Status  any
		Schemes string
	}
	if json.Unmarshal(a.said, &said) != nil || !errors.As(failed, &f) {
		return failed
	}
	if status := fmt.Sprint(said.Status); statusPattern().MatchString(status) {
		f.Reply += " (of the token: status " + status + ")"
	}
	if schemesPattern().MatchString(said.Schemes) {
		f.Reply += " (scheme " + said.Schemes + ")"
	}
	return failed
}

var (
	statusPattern  = lazyregexp.New(`^[0-9]{3}$`)
	schemesPattern = lazyregexp.New(`^[A-Za-z]{1,10}( [A-Za-z]{1,10}){0,2}$`)
)

// rereadInterval is how often a failing log-in may read the password again.
const rereadInterval = 5 * time.Minute

// Password is a Login with a password. It is read when it is first needed, and again
// when a log-in fails, the latter every 5 minutes at most. read gives the password
// and nothing else, and errors that do not hold it.
func Password(read func(context.Context) (string, error), now func() time.Time) Login {
	return &password{kept: newKept(read), now: now}
}

type password struct {
	*kept[string]
	now    func() time.Time
	reread time.Time // guarded by the lock of kept
}

// Format keeps the password out of printed values.
func (p *password) Format(f fmt.State, _ rune) { fmt.Fprint(f, redact.Mark) }

func (p *password) Secret(ctx context.Context, refused string) (string, error) {
	return p.get(ctx, func(known string) bool {
		// It may have been rotated.
		now := p.now()
		due := refused != "" && known == refused && (p.reread.IsZero() || now.Sub(p.reread) >= rereadInterval)
		if due {
			p.reread = now
		}
		return due
	})
}

func (p *password) Fresh(ctx context.Context) (string, error) {
	return p.get(ctx, func(string) bool { return true })
}
