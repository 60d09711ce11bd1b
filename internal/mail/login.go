package mail

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// rereadInterval is how often a failing log-in may read the password again.
const rereadInterval = 5 * time.Minute

// loggedIn opens a connection and logs in; once more, over another connection, if the
// log-in is refused and the password has changed since.
func (m *Mailer) loggedIn(ctx context.Context) (*session, error) {
	var password string
	if m.c.Username != "" {
		var err error
		if password, err = m.password.get(ctx); err != nil {
			return nil, fault(ctx, atPassword, err)
		}
	}
	s, err := m.open(ctx, password, unheard)
	var rejection *loginRefused
	if errors.As(err, &rejection) {
		if another, ok := m.password.refused(ctx, password); ok {
			return m.open(ctx, another, unheard)
		}
	}
	return s, err
}

// loginRefused marks an answer of the server that another password may change.
type loginRefused struct{ error }

func (e *loginRefused) Unwrap() error { return e.error }

func (s *session) logIn(c Config, password string) error {
	_, list := s.client.Extension("AUTH")
	offered := strings.Fields(strings.ToUpper(list))
	at := slices.IndexFunc(c.Mechanisms, func(name string) bool { return slices.Contains(offered, name) })
	if at < 0 {
		return fault(s.ctx, atLogin, errNoMechanism)
	}
	s.mechanism = c.Mechanisms[at]
	var auth smtp.Auth
	// go-mail adds its own check that the connection is encrypted or local.
	switch s.mechanism {
	case "PLAIN":
		auth = smtp.PlainAuth("", c.Username, password, c.Host, false)
	default:
		auth = smtp.LoginAuth(c.Username, password, c.Host, false)
	}
	s.extend()
	if err := s.client.Auth(auth); err != nil {
		failed := fault(s.ctx, atLogin, err)
		if code := replyCode(err); 500 <= code && code < 600 {
			return &loginRefused{failed}
		}
		return failed
	}
	return nil
}

// password keeps the password once it has been read. Its errors never hold it.
type password struct {
	read func(context.Context) (string, error)
	now  func() time.Time

	// lock is held by whoever put something in: a mutex that one need not wait for
	// longer than the deadline.
	lock   chan struct{}
	known  bool
	value  string
	reread time.Time
}

// get returns the password, reading it if that has not been done yet.
func (p *password) get(ctx context.Context) (string, error) {
	if err := p.acquire(ctx); err != nil {
		return "", err
	}
	defer p.release()
	if p.known {
		return p.value, nil
	}
	return p.fetch(ctx)
}

// refused is told that a log-in with the value failed. It returns another one to try, if
// there is one: it may have been rotated.
func (p *password) refused(ctx context.Context, value string) (another string, ok bool) {
	if p.acquire(ctx) != nil {
		return "", false
	}
	defer p.release()
	if p.value != value {
		return p.value, true
	}
	now := p.now()
	if !p.reread.IsZero() && now.Sub(p.reread) < rereadInterval {
		return "", false
	}
	p.reread = now
	another, err := p.fetch(ctx)
	return another, err == nil && another != value
}

func (p *password) acquire(ctx context.Context) error {
	select {
	case p.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *password) release() { <-p.lock }

func (p *password) fetch(ctx context.Context) (string, error) {
	raw, err := p.read(ctx)
	if err != nil {
		return "", err
	}
	value, err := cleanPassword(raw)
	if err == nil {
		p.value, p.known = value, true
	}
	return value, err
}

// cleanPassword strips the one line break that "echo PASSWORD | gcloud secrets …"
// stores, and refuses any other: a server would answer with a bare 535.
func cleanPassword(raw string) (string, error) {
	value, found := strings.CutSuffix(raw, "\n")
	if found {
		value = strings.TrimSuffix(value, "\r")
	}
	if value == "" {
		return "", errors.New("the SMTP password is empty")
	}
	if strings.ContainsAny(value, "\r\n\x00") {
		return "", errors.New("the SMTP password has a line break or NUL within")
	}
	return value, nil
}
