// Package bearer is the tokens of applications: authentication tokens, by which they say
// who they are and whose access they ask for, and access tokens, which they are handed once
// somebody has approved that. Both are JWTs; the first are made with a key that the application
// and this service share, the second are signed with a key that only this service has.
package bearer

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/jose"
)

// MaxLife is how long an authentication token may live, and Skew how far the clock of who
// made it may be ahead.
const (
	MaxLife = 10 * time.Minute
	Skew    = time.Minute
)

// maxInstant is a second in the far future: what is beyond could wrap around.
const maxInstant = 1 << 40

// maxName is how long a subject or the id of a token may be, in bytes.
const maxName = 255

// Authentication is what an authentication token says.
type Authentication struct {
	// Application is the name of who made it, and URI what tokens call it.
	Application, URI string
	// Subject is the person, as the application calls them.
	Subject string
	// ID tells it from other tokens of the application: "jti:" and its jti, or "digest:" and
	// a digest of it.
	ID string
	// Claims are those that have no meaning here; numbers are json.Number.
	Claims map[string]any
}

// registered are the claims that have a meaning here.
var registered = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// Why a token is refused, besides what package jose refuses. The texts carry nothing of it.
var (
	errInactive = errors.New("its application is not active")
	errAudience = errors.New("its aud is not the one text that names this service")
	errSubject  = errors.New("it has no sub, or one that is too long")
	errID       = errors.New("its jti is no text, or too long")
	errInstant  = errors.New("it has an instant that is none")
	errOver     = errors.New("it is over")
	errAhead    = errors.New("it is not good yet: the clock of who made it is ahead")
	errFar      = fmt.Errorf("it lives longer than %v", MaxLife)
)

// Authenticate verifies an authentication token: one of the applications has made it, for one
// of the audiences, which are origins, and it is good now. An application is called by its URI
// in iss, or by its host.
//
// An *access.Error says nothing about the token: the keys of the application that it names are
// not known now. Every other error is for the log: who sent the token must not learn which part
// of it was wrong.
func Authenticate(ctx context.Context, token string, audiences []string, all []application.Application,
	now time.Time) (Authentication, error) {
	var makers []application.Application // of each secret
	var unknown error
	claims, by, err := jose.VerifyShared(token, func(said jose.Claims) (secrets [][]byte) {
		var damaged error
		known := false
		for _, a := range all {
			if a.Damaged != nil { // whose tokens are its, nobody knows
				damaged = a.Damaged
				continue
			}
			if iss, _ := said.String("iss"); !named(a.URI, iss) {
				continue
			}
			known = true
			keys, err := a.Keys(ctx)
			unknown = cmp.Or(unknown, err)
			for _, key := range keys {
				makers, secrets = append(makers, a), append(secrets, key.Secret)
			}
		}
		if !known {
			unknown = damaged
		}
		return secrets
	})
	switch {
	case err == nil:
	case unknown != nil:
		return Authentication{}, &access.Error{Kind: access.Unavailable, Code: access.CodeApplicationsUnknown, Err: unknown}
	default:
		return Authentication{}, err
	}
	maker := makers[by]
	a := Authentication{Application: maker.Name, URI: maker.URI, Claims: map[string]any{}}
	switch aud, _ := claims.String("aud"); {
	case !maker.Active:
		return Authentication{}, errInactive
	case !slices.ContainsFunc(audiences, func(origin string) bool { return named(origin, aud) }):
		return Authentication{}, errAudience
	}
	if a.Subject, _ = claims.String("sub"); a.Subject == "" || len(a.Subject) > maxName {
		return Authentication{}, errSubject
	}
	if err := inTime(claims, now); err != nil {
		return Authentication{}, err
	}
	if a.ID, err = idOf(token, claims); err != nil {
		return Authentication{}, err
	}
	for name, raw := range claims {
		if slices.Contains(registered, name) {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		var value any
		if err := d.Decode(&value); err != nil {
			return Authentication{}, err
		}
		a.Claims[name] = value
	}
	return a, nil
}

// named is whether a text is a URI to the letter, or its host; nothing is named by no text.
func named(uri, text string) bool {
	if text == "" || text == uri {
		return text != ""
	}
	u, err := url.Parse(uri)
	return err == nil && u.Host == text
}

// inTime is nil for a token that is good now. Only exp must be there.
func inTime(claims jose.Claims, now time.Time) error {
	instants := map[string]time.Time{}
	for _, name := range []string{"exp", "nbf", "iat"} {
		if claims[name] == nil && name != "exp" {
			continue
		}
		seconds, err := claims.Int64(name)
		if err != nil {
			return err
		}
		if seconds < 0 || seconds > maxInstant {
			return errInstant
		}
		instants[name] = time.Unix(seconds, 0)
	}
	exp := instants["exp"]
	made, dated := instants["iat"]
	switch {
	case !now.Before(exp):
		return errOver
	case instants["nbf"].After(now.Add(Skew)), made.After(now.Add(Skew)):
		return errAhead
	case exp.After(now.Add(MaxLife + Skew)), dated && exp.After(made.Add(MaxLife)):
		return errFar
	}
	return nil
}

// idOf is the jti of a token, or a digest of it where it has none.
func idOf(token string, claims jose.Claims) (string, error) {
	if claims["jti"] == nil {
		sum := sha256.Sum256([]byte(token))
		return "digest:" + hex.EncodeToString(sum[:]), nil
	}
	id, err := claims.String("jti")
	if err != nil || id == "" || len(id) > maxName {
		return "", errID
	}
	return "jti:" + id, nil
}
