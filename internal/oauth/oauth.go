// Package oauth gets the access tokens with which the service logs in to a mail
// server (RFC 6749), keeps them while they are good, and says why there is none.
//
// What the token endpoint is trusted for: to issue tokens, and to be told the
// application's secret. What it answers is taken apart with care and is never
// repeated whole.
package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/semaphore"

	"jitaccess/internal/loopback"
	"jitaccess/internal/outbound"
)

// Google is where Google issues tokens, and what it wants an assertion to be for.
const Google = "https://oauth2.googleapis.com/token"

// Config is what a Source is made of. With an Assertion the application is not
// needed, with a RefreshToken it acts for whom that is of, and else it logs in as
// itself (client credentials).
type Config struct {
	// TokenURL is where tokens are issued: https, or http on a loopback host.
	TokenURL string
	// Scope is what they are for; several are separated by spaces.
	Scope string
	// Mailbox is the address that is logged in to.
	Mailbox string

	// ClientID is the application. What proves it is read when it is first needed, and
	// again when the endpoint refuses it, the latter every 5 minutes at most. What
	// reads it gives the secret and nothing else, and errors that do not hold it.
	ClientID     string
	ClientSecret func(context.Context) (string, error)
	RefreshToken func(context.Context) (string, error)
	// Assertion is of a service account that may act for the mailbox.
	Assertion *Assertion

	// Transport is nil for the usual one, with the proxy of the environment.
	Transport http.RoundTripper
	// Now is the clock.
	Now func() time.Time
	// Warn is told what an operator should know though it works; may be nil.
	Warn func(text string)
}

// Assertion is a JWT by which an account proves itself (RFC 7523).
type Assertion struct {
	// Account signs. At Google it needs domain-wide delegation for the scope.
	Account string
	// Sign signs the claims in payload as the account.
	Sign func(ctx context.Context, payload []byte) (jwt string, err error)
}

const (
	// fetchTimeout bounds getting one token, for callers that have more time than a notice.
	fetchTimeout = 10 * time.Second
	// margin before its end a token is given up, or half its life if that is less.
	margin = 5 * time.Minute
	// unknownLife is of a token that does not say when it ends; maxLife bounds the others'.
	unknownLife = 10 * time.Minute
	maxLife     = 24 * time.Hour
	// refetchInterval is how often a refused token is replaced, and failureLife how
	// long an endpoint that failed is left alone.
	refetchInterval = 10 * time.Second
	failureLife     = 5 * time.Second
	// rereadInterval is how often refused secrets are read again.
	rereadInterval = 5 * time.Minute
	// maxToken is what still fits into a log-in by XOAUTH2 with the longest address:
	// 12288 characters of base64 (RFC 4954, 4).
	maxToken = 12288/4*3 - 512
)

// Source has access tokens. It implements mail.Login, for concurrent use; see New.
type Source struct {
	c    Config
	host string

	// lock guards the rest. A caller stops waiting for it when its context ends; the
	// one that holds it fetches for all.
	lock *semaphore.Weighted
	// flow is kept, because it learns how the endpoint wants to be told the secret.
	flow                       clientcredentials.Config
	clientSecret, refreshToken secret
	// token is the last one. It is handed out until keep, and until ends where no other
	// can be had.
	token      string
	keep, ends time.Time
	// asked and reread are when a token was asked for and the secrets were read again.
	asked, reread time.Time
	// failure is why there is no token, until then.
	failure error
	until   time.Time
}

// New makes a Source. It makes no call. Package config checks what an operator says; the
// errors here are mistakes of a caller by which a secret could be sent in clear text, or
// a token be asked for in no way or in two.
func New(c Config) (*Source, error) {
	u, err := url.Parse(c.TokenURL)
	application, account := c.ClientID != "", c.Assertion != nil
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return nil, errors.New("the token URL is none")
	case u.Scheme != "https" && !(u.Scheme == "http" && loopback.Is(u.Hostname())):
		return nil, fmt.Errorf("secrets are sent over https, or to this machine, and not to %s://%s", u.Scheme, u.Host)
	case c.Mailbox == "":
		return nil, errors.New("no mailbox")
	case application == account || application != (c.ClientSecret != nil) || account && c.RefreshToken != nil:
		return nil, errors.New("either an application with its secret, or an account that signs")
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	if c.Warn == nil {
		c.Warn = func(string) {}
	}
	s := &Source{
		c: c, host: u.Host, lock: semaphore.NewWeighted(1),
		clientSecret: secret{read: c.ClientSecret},
		refreshToken: secret{read: c.RefreshToken},
		flow:         clientcredentials.Config{ClientID: c.ClientID, TokenURL: c.TokenURL},
	}
	if c.Assertion != nil {
		// There is no secret, so there is nothing to find out.
		s.flow.AuthStyle = oauth2.AuthStyleInParams
	} else {
		s.flow.Scopes = strings.Fields(c.Scope)
	}
	return s, nil
}

// Format keeps secrets out of printed values.
func (s *Source) Format(f fmt.State, _ rune) { fmt.Fprint(f, "access tokens from "+s.host) }

// Secret is an access token. refused is empty, or the one that the mail server has
// just refused: then it is another one, or the same one if it is as good as new, with
// the reason if the token itself tells why it was refused.
func (s *Source) Secret(ctx context.Context, refused string) (string, error) {
	if s.lock.Acquire(ctx, 1) != nil {
		return "", s.late()
	}
	defer s.lock.Release(1)
	now := s.c.Now()
	if s.token != "" && s.token != refused && now.Before(s.keep) {
		return s.token, nil
	}
	if s.failure != nil && now.Before(s.until) {
		return s.old(now, refused, s.failure)
	}
	if refused != "" && s.token == refused {
		if now.Before(s.asked.Add(refetchInterval)) {
			// Another one would fare no better.
			return refused, s.unfit(refused)
		}
		s.token = ""
	}
	token, err := s.fetch(ctx)
	if err != nil {
		return s.old(now, refused, err)
	}
	return token, nil
}

// old is the token that ends soon, if there is no newer one.
func (s *Source) old(now time.Time, refused string, err error) (string, error) {
	if s.token == "" || s.token == refused || !now.Before(s.ends) {
		return "", err
	}
	return s.token, nil
}

// Fresh fetches a token, after reading the secrets again.
func (s *Source) Fresh(ctx context.Context) (string, error) {
	if s.lock.Acquire(ctx, 1) != nil {
		return "", s.late()
	}
	defer s.lock.Release(1)
	if _, err := s.readSecrets(ctx, true); err != nil {
		return "", err
	}
	return s.fetch(ctx)
}

// fetch gets a token, and once more if the secrets were refused and have changed.
func (s *Source) fetch(ctx context.Context) (string, error) {
	within, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	s.asked, s.failure = s.c.Now(), nil
	token, err := s.ask(within)
	if refusesSecrets(err) && (s.reread.IsZero() || s.asked.Sub(s.reread) >= rereadInterval) {
		s.reread = s.asked
		if changed, unread := s.readSecrets(within, true); unread != nil {
			err = unread
		} else if changed {
			token, err = s.ask(within)
		}
	}
	// That somebody had no time left is no news about the endpoint.
	if err != nil && ctx.Err() == nil {
		s.failure, s.until = err, s.c.Now().Add(failureLife)
	}
	return token, err
}

// readSecrets reads the secrets that are not known yet, or all of them again, and
// reports whether one has changed.
func (s *Source) readSecrets(ctx context.Context, again bool) (changed bool, err error) {
	for _, one := range []*secret{&s.clientSecret, &s.refreshToken} {
		if one.read == nil || one.stored != "" && !again {
			continue
		}
		stored, err := one.read(ctx)
		if err != nil {
			return false, err
		}
		if stored != one.stored {
			one.stored, one.value, changed = stored, stored, true
		}
	}
	return changed, nil
}

func (s *Source) ask(ctx context.Context) (string, error) {
	sent, err := s.prepare(ctx)
	if err != nil {
		return "", err
	}
	said := &exchange{base: s.c.Transport}
	answer, err := s.flow.Token(context.WithValue(ctx, oauth2.HTTPClient, outbound.Client("oauth", said)))
	if err != nil {
		return "", s.explain(ctx, said, err)
	}
	if sent != "" && answer.RefreshToken != sent {
		s.refreshToken.value = answer.RefreshToken
		s.c.Warn("the mail provider has replaced the refresh token, and the new one cannot be stored: this instance of the service " +
			"uses it until it ends, and others may be refused; have the provider issue refresh tokens that stay, " +
			"or let the application log in as itself")
	}
	life, err := s.examine(answer)
	if err != nil {
		return "", err
	}
	s.token = answer.AccessToken
	s.ends = s.asked.Add(life)
	s.keep = s.ends.Add(-min(margin, life/2))
	return s.token, nil
}

// prepare sets the next question's parameters; refresh is the refresh token among them.
func (s *Source) prepare(ctx context.Context) (refresh string, err error) {
	if s.c.Assertion != nil {
		jwt, err := s.assertion(ctx)
		if err != nil {
			return "", err
		}
		s.flow.EndpointParams = url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {jwt}}
		return "", nil
	}
	if _, err := s.readSecrets(ctx, false); err != nil {
		return "", err
	}
	s.flow.ClientSecret, refresh = s.clientSecret.value, s.refreshToken.value
	if s.c.RefreshToken != nil {
		s.flow.EndpointParams = url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}
	}
	return refresh, nil
}

// assertion signs who we are and whom we act for,
// https://developers.google.com/identity/protocols/oauth2/service-account. It is
// good for the hour that Google allows, and begins early, because clocks differ.
func (s *Source) assertion(ctx context.Context) (string, error) {
	issued := s.c.Now().Add(-10 * time.Second)
	// Texts and numbers always become JSON.
	payload, _ := json.Marshal(map[string]any{
		"iss": s.c.Assertion.Account, "sub": s.c.Mailbox, "scope": s.c.Scope, "aud": Google,
		"iat": issued.Unix(), "exp": issued.Add(time.Hour).Unix(),
	})
	return s.c.Assertion.Sign(ctx, payload)
}

// secret is one that is kept elsewhere.
type secret struct {
	// read is nil for a secret that is not needed.
	read func(context.Context) (string, error)
	// stored is what was read, empty if nothing was yet. value is what to use: that,
	// or what the provider has replaced it with.
	stored, value string
}
