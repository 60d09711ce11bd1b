package login

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
)

// loggedOutElsewhere is the event that a logout token is about
// (https://openid.net/specs/openid-connect-backchannel-1_0.html).
const loggedOutElsewhere = "http://schemas.openid.net/event/backchannel-logout"

const (
	// logoutAge is how old a logout token may be.
	logoutAge = 10 * time.Minute
	// keysPause is the least time between two attempts to get keys because of logout tokens:
	// whoever reaches the service can send what names a key that nobody has.
	keysPause = 10 * time.Second
)

// EndElsewhere ends the session that a logout token names, on all instances. The same token
// once more changes nothing. Its errors are of kind Invalid where the token does not hold, of
// kind NotFound without Sessions, which could not be told, and of kind Unavailable where
// the provider's keys, or Sessions, cannot be had; then the provider may try again.
func (l *Login) EndElsewhere(ctx context.Context, token string) error {
	if l.c.Sessions == nil {
		return &access.Error{Kind: access.NotFound, Code: access.CodeNotFound,
			Err: errors.New("without DATABASE_URL no session can be ended elsewhere")}
	}
	if token == "" || len(token) > maxToken {
		return badLogout(fmt.Errorf("it has %d bytes", len(token)))
	}
	p, err := l.provider(ctx)
	if err != nil {
		return err
	}
	keys := &observed{KeySet: p.pacedKeys}
	id, err := oidc.NewVerifier(l.c.Issuer, keys, &oidc.Config{ClientID: l.c.ClientID, SupportedSigningAlgs: algorithms,
		Now: func() time.Time { return l.c.Now().Add(-skew) }}).Verify(oidc.ClientContext(ctx, l.client), token)
	if unreachable(keys.err) {
		return failed(access.Unavailable, keys.err)
	}
	if err != nil {
		return badLogout(errors.New(access.Clip(err.Error(), 300)))
	}
	claims, err := claimsOf(id)
	if err != nil {
		return badLogout(err)
	}
	session, err := logoutOf(claims, id.IssuedAt, l.c.Now())
	if err != nil {
		return badLogout(err)
	}
	if _, err := l.endings.end(ctx, l.sessionAtProvider(session), l.c.Now().Add(maxLife)); err != nil {
		return failed(access.Unavailable, err)
	}
	return nil
}

// logoutOf is the provider's id of the session that a logout token ends (2.4 and 2.6 there).
func logoutOf(claims jose.Claims, issued, now time.Time) (session string, err error) {
	events, err := claims.Object("events")
	if err == nil {
		_, err = events.Object(loggedOutElsewhere)
	}
	if err != nil {
		return "", fmt.Errorf("it is no logout token: %w", err)
	}
	if claims["nonce"] != nil { // so that no ID token is one
		return "", errors.New("it has a nonce")
	}
	if issued.After(now.Add(skew)) || now.Sub(issued) > logoutAge {
		return "", fmt.Errorf("it was issued at %s; is the clock right?", issued.UTC().Format(time.RFC3339))
	}
	if id, err := claims.String("jti"); err != nil || id == "" {
		return "", errors.New("it has no jti")
	}
	session, err = claims.String("sid")
	if err != nil || session == "" || len(session) > maxClaim {
		return "", errors.New("it names no session: the provider has to be told to send sid (backchannel_logout_session_required)")
	}
	return session, nil
}

// sessionAtProvider is the name under which it is kept that a session of the provider's is over.
func (l *Login) sessionAtProvider(sid string) string {
	sum := sha256.Sum256([]byte(l.c.Issuer + "\x00" + sid))
	return "sid " + base64.RawURLEncoding.EncodeToString(sum[:])
}

func badLogout(err error) error {
	return &access.Error{Kind: access.Invalid, Code: access.CodeBadInput, Args: access.Args{"reason": "the logout token does not hold"},
		Err: err}
}

// paced lets one request through in keysPause.
type paced struct {
	http.RoundTripper
	now  func() time.Time
	mu   sync.Mutex
	last time.Time
}

var errPaced = errors.New("the keys of the provider were asked for moments ago")

func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	now := p.now()
	soon := !p.last.IsZero() && now.Sub(p.last) < keysPause && now.Sub(p.last) >= 0
	if !soon {
		p.last = now
	}
	p.mu.Unlock()
	if soon {
		return nil, errPaced
	}
	return p.RoundTripper.RoundTrip(r)
}
