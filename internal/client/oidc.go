package client

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// ownLogin is what a service that signs people in itself says to whom it does not know
// (docs/login.md, Programs).
const ownLogin = `Bearer realm="jitaccess"`

// checkLetters is how much of the challenge its page shows, so that people see that it is this
// log-in which they let.
const checkLetters = 8

// byOwnLogin has somebody let this program act in their name, by browser, and gets its token
// (RFC 8252, with the PKCE of RFC 7636).
func (s SignIn) byOwnLogin(ctx context.Context) (Token, error) {
	state, err := s.unguessable()
	if err != nil {
		return Token{}, err
	}
	verifier, err := s.unguessable()
	if err != nil {
		return Token{}, err
	}
	a, err := s.listenHere()
	if err != nil {
		return Token{}, err
	}
	defer a.close()
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	redirect := "http://127.0.0.1:" + a.port + a.path
	address := string(s.Origin) + "/oidc/program?" + url.Values{"redirect_uri": {redirect}, "state": {state}, "code_challenge": {challenge},
		"code_challenge_method": {"S256"}}.Encode()
	if err := s.Browse(ctx, address, challenge[:checkLetters]); err != nil {
		return Token{}, err
	}
	q, err := a.wait(ctx)
	if err != nil {
		return Token{}, err
	}
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
		return Token{}, errors.New("what the browser has brought is of another log-in; begin again")
	}
	// A service that is somebody else's can lead the browser on to one where its user is logged in, with all that was
	// asked for and the same letters. The code is then that one's, and neither it nor the verifier goes here (RFC 9207).
	switch by := q.Get("iss"); by {
	case string(s.Origin):
	case "":
		return Token{}, fmt.Errorf("what the browser has brought does not say which service has let this program; it was sent to nobody. "+
			"%s may need a newer version, or lead to somebody else's", s.Origin)
	default:
		return Token{}, fmt.Errorf("%q has let this program, and not %s, which may be after its token; it was sent to neither. "+
			"If that is the one that you mean, begin again with its address", by, s.Origin)
	}
	var said struct {
		Token   string
		Expires time.Time
	}
	service := Service{Origin: s.Origin, Transport: s.Transport}
	_, err = service.call(ctx, request{method: http.MethodPost, path: "/oidc/program/token",
		body: map[string]string{"code": q.Get("code"), "verifier": verifier, "redirectUri": redirect}}, &said)
	if r, refused := errors.AsType[*Refusal](err); refused && r.Status == http.StatusBadRequest {
		return Token{}, fmt.Errorf("%w; a code is good once and for a minute: begin again", r)
	}
	if u, lost := errors.AsType[*Unreachable](err); lost {
		u.MayHaveHappened = false // a token that has not arrived opens nothing to anybody
	}
	if err != nil {
		return Token{}, err
	}
	value, err := clean([]byte(said.Token))
	return Token{Origin: s.Origin, Front: OwnLogin, Value: value, Expires: said.Expires}, err
}

// ErrOver is that a session was over before anybody ended it, as the service says.
var ErrOver = errors.New("the session was over already")

// LogOut ends the session that the token of OwnLogin is of. everywhere is whether all instances of the service get
// to know that; on others it lasts until expires. The error is ErrOver where there is nothing to end.
func (s *Service) LogOut(ctx context.Context) (everywhere bool, expires time.Time, err error) {
	var said struct {
		Everywhere bool
		Expires    time.Time
	}
	_, err = s.call(ctx, request{method: http.MethodPost, path: "/oidc/program/logout"}, &said)
	// A token that the service does not know is none that is over.
	if r, refused := errors.AsType[*Refusal](err); refused && r.Status == http.StatusUnauthorized && r.Code == "no-identity" {
		err = ErrOver
	}
	return said.Everywhere, said.Expires, err
}
