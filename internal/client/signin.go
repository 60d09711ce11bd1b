package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"jitaccess/internal/lazyregexp"
)

// SignIn is how somebody signs in.
type SignIn struct {
	Origin    Origin
	Transport http.RoundTripper
	// Front is what stands before the service; empty is to find out.
	Front Front
	// As is who to be in a sandbox, where anyone may be anyone; empty is whom it proposes.
	As string
	// Impersonate is the service account with which a pipeline passes Identity-Aware Proxy.
	Impersonate string
	// Audience is the OAuth client that IAP takes tokens for; empty is to find out.
	Audience string
	// Token is one that was had elsewhere; nil is to get one.
	Token []byte
	// Run runs another program, and returns what it has printed.
	Run func(ctx context.Context, name string, args ...string) ([]byte, error)
	// Browse has the user open an address, whose page shows the letters that go with it, if any, so
	// that nobody else's is taken for it. Random makes what nobody can guess.
	Browse func(ctx context.Context, address, letters string) error
	Random io.Reader
}

// Signed is who signed in. Person is empty where the front lets the caller through and the service
// takes them for nobody, as it does service accounts: then only applications ask with this token.
type Signed struct {
	Token  Token
	Person string
}

// ErrUnknownFront is that nobody knows how to sign in here.
var ErrUnknownFront = errors.New("it is not known how to sign in there by command line")

// Do signs in, and makes sure that the service knows who it is.
func (s SignIn) Do(ctx context.Context) (Signed, error) {
	f := findings{front: s.Front}
	if f.front == "" && s.Token == nil {
		var err error
		if f, err = s.find(ctx); err != nil {
			return Signed{}, err
		}
	}
	var value string
	var err error
	switch {
	case s.Token == nil && s.Impersonate != "" && f.front != IAP:
		return Signed{}, fmt.Errorf("a service account passes Identity-Aware Proxy, and before %s stands %s", s.Origin, frontNames[f.front])
	case f.front == OwnLogin:
		t, err := s.byOwnLogin(ctx)
		if err != nil {
			return Signed{}, err
		}
		return s.verified(ctx, t)
	case s.Token != nil:
		if f.front == "" {
			f.front = BearerFront
		}
		value, err = clean(s.Token)
	case f.front == Sandbox:
		value = s.As
		if value == "" {
			value = f.person
		}
	case f.front == IAP:
		value, err = s.byGcloud(ctx)
	case f.front == Pomerium:
		value, err = s.byPomerium(ctx)
	default:
		err = fmt.Errorf("%w: get a token that it takes in another way, and give it with --token-file", ErrUnknownFront)
	}
	if err != nil {
		return Signed{}, err
	}
	return s.verified(ctx, Token{Origin: s.Origin, Front: f.front, Value: value, Expires: expiryOf(value)})
}

var frontNames = map[Front]string{Sandbox: "the sandbox's own sign-in", IAP: "Identity-Aware Proxy", Pomerium: "Pomerium",
	OwnLogin: "a log-in of the service's own", BearerFront: "something that takes bearer tokens"}

// findings are what an answer to somebody who has not signed in says of who signs people in.
type findings struct {
	front Front
	// person is whom a sandbox proposes.
	person string
}

var proposed = lazyregexp.New(`^Sandbox person="([^"]+)"$`)

// find tells fronts by what they say of themselves.
//
//	IAP:      https://cloud.google.com/iap/docs/special-urls-and-headers-howto (X-Goog-IAP-Generated-Response)
//	Pomerium: its redirect to /.pomerium/sign_in (https://www.pomerium.com/docs/internals/special-routes)
func (s SignIn) find(ctx context.Context) (findings, error) {
	service := Service{Origin: s.Origin, Transport: s.Transport}
	_, err := service.Me(ctx)
	r, refused := errors.AsType[*Refusal](err)
	if err != nil && !refused {
		return findings{}, err
	}
	if err == nil {
		return findings{}, fmt.Errorf("%w: it answers without that anybody signs in", ErrUnknownFront)
	}
	demand := r.header.Get("WWW-Authenticate")
	location, _ := url.Parse(r.header.Get("Location"))
	switch match := proposed().FindStringSubmatch(demand); {
	case match != nil:
		return findings{front: Sandbox, person: match[1]}, nil
	case demand == ownLogin && !r.ByFront() && r.Status == http.StatusUnauthorized:
		return findings{front: OwnLogin}, nil
	case r.header.Get("X-Goog-IAP-Generated-Response") == "true" || location != nil && location.Hostname() == "accounts.google.com":
		return findings{front: IAP}, nil
	case r.header.Get("X-Pomerium-Intercepted-Response") == "true" || location != nil && strings.HasPrefix(location.Path, "/.pomerium/"):
		return findings{front: Pomerium}, nil
	case !r.ByFront() && r.Status == http.StatusUnauthorized:
		return findings{}, fmt.Errorf("%w: %w Its proxy does not pass on who somebody is, or was gone around, or takes a token that "+
			"--token-file gives", ErrUnknownFront, r)
	}
	return findings{}, fmt.Errorf("%w: %w. Name what signs people in with --front iap or --front pomerium, "+
		"or give a token that it takes with --token-file", ErrUnknownFront, r)
}

// verified asks the service who a token is.
func (s SignIn) verified(ctx context.Context, t Token) (Signed, error) {
	service := Service{Origin: s.Origin, Transport: s.Transport, Token: t}
	person, err := service.Me(ctx)
	r, refused := errors.AsType[*Refusal](err)
	switch {
	case err == nil:
		return Signed{t, person}, nil
	case refused && !r.ByFront() && r.Status == http.StatusUnauthorized && s.Impersonate != "":
		return Signed{Token: t}, nil
	case refused && t.Front == IAP && r.ByFront():
		return Signed{}, s.refusedByIAP(r, t)
	case refused && t.Front == Sandbox && r.SignedOut():
		return Signed{}, fmt.Errorf("nobody in the sandbox is %s; its first page shows who is there", t.Value)
	}
	return Signed{}, err
}

// expiryOf is what a JWT says of itself; zero for what is none. Nothing is decided by it but
// whether it is worth being sent.
func expiryOf(token string) time.Time {
	var said struct{ Exp int64 }
	if json.Unmarshal(payloadOf(token), &said) != nil || said.Exp <= 0 {
		return time.Time{}
	}
	return time.Unix(said.Exp, 0).UTC()
}

func payloadOf(token string) []byte {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	text, _ := base64.RawURLEncoding.DecodeString(parts[1])
	return text
}
