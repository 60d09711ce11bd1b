// Package identity turns an HTTP request into the person who made it. It believes
// nothing but a signed assertion of the proxy in front: plain headers, addresses
// and cookies are never looked at, and without an assertion nobody is signed in.
package identity

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
)

// skew is how far the proxy's clock may be from ours, either way.
// https://cloud.google.com/iap/docs/signed-headers-howto
const skew = 30 * time.Second

// Profile is how one kind of proxy says who somebody is.
type Profile struct {
	// Method names the profile in the journal.
	Method string
	// Header carries the assertion, in canonical form.
	Header string
	// Algorithm is the only one accepted.
	Algorithm jose.Algorithm
	// Issuer is the exact iss claim.
	Issuer string
	// MaxLife is the longest time from iat to exp, without skew.
	MaxLife time.Duration
	// Service names the key server in an error.
	Service string
}

// IAP is Google's Identity-Aware Proxy, on each of its fronts.
var IAP = Profile{
	Method:    "iap",
	Header:    "X-Goog-Iap-Jwt-Assertion",
	Algorithm: jose.ES256,
	Issuer:    "https://cloud.google.com/iap",
	MaxLife:   10 * time.Minute,
	Service:   "the key server of Identity-Aware Proxy",
}

// Config is what a Verifier is made of. Everything is required unless it says
// otherwise.
type Config struct {
	Profile Profile
	// Keys are the keys of the profile's issuer, and of nobody else.
	Keys *jose.KeySet
	// Audiences are the accepted audiences, exactly as in the assertion. It may be
	// empty if AnyAudienceOf is set, and is ignored then.
	Audiences []string
	// AnyAudienceOf is a project number. When it is set any audience of that
	// project is accepted. This is weaker: whoever runs another protected service
	// in the project can pass on the assertions of its visitors.
	AnyAudienceOf string
	// Now is the clock.
	Now func() time.Time
}

// Verifier identifies callers by one profile. Make one with New. Its methods may
// be called concurrently.
type Verifier struct{ c Config }

var projectNumber = regexp.MustCompile(`^[0-9]{1,32}$`)

// New makes a Verifier. It refuses to make one that would accept an assertion
// meant for anybody.
func New(c Config) (*Verifier, error) {
	switch {
	case c.AnyAudienceOf != "":
		if !projectNumber.MatchString(c.AnyAudienceOf) {
			return nil, fmt.Errorf("%q is not a project number", c.AnyAudienceOf)
		}
	case len(c.Audiences) == 0:
		return nil, errors.New("no audience is configured")
	case slices.Contains(c.Audiences, ""):
		return nil, errors.New("an audience is empty")
	}
	c.Audiences = slices.Clone(c.Audiences)
	return &Verifier{c}, nil
}

// Identify returns who made the request. The error is CodeNoIdentity when there is
// no assertion, CodeBadIdentity when there is one that does not hold, and of kind
// Unavailable when the keys to check it cannot be had.
func (v *Verifier) Identify(r *http.Request) (access.Caller, error) {
	assertion, err := v.assertion(r.Header)
	if err != nil {
		return access.Caller{}, v.bad(err)
	}
	if assertion == "" {
		return access.Caller{}, &access.Error{Kind: access.Unauthenticated, Code: access.CodeNoIdentity,
			Err: fmt.Errorf("no %s header; is the proxy in front of the service, and on?", v.c.Profile.Header)}
	}
	claims, err := jose.Verify(r.Context(), assertion, v.c.Profile.Algorithm, v.c.Keys)
	if errors.Is(err, jose.ErrKeysUnavailable) {
		return access.Caller{}, &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed,
			Args: access.Args{"service": v.c.Profile.Service}, Err: err}
	}
	if err != nil {
		return access.Caller{}, v.bad(err)
	}
	if err := v.checkClaims(claims); err != nil {
		return access.Caller{}, v.bad(err)
	}
	caller, err := v.caller(claims)
	if err != nil {
		return access.Caller{}, v.bad(err)
	}
	return caller, nil
}

// assertion returns the value of the header, empty if there is none. A second
// value, or the same name with an underscore, which some servers on the way take
// for the same, is something that no proxy sends (CVE-2025-64484).
func (v *Verifier) assertion(h http.Header) (string, error) {
	for name := range h {
		if name != v.c.Profile.Header && strings.EqualFold(strings.ReplaceAll(name, "_", "-"), v.c.Profile.Header) {
			return "", errors.New("a header imitates that of the assertion")
		}
	}
	values := h[v.c.Profile.Header]
	if len(values) > 1 {
		return "", errors.New("the assertion stands twice")
	}
	if len(values) == 0 {
		return "", nil
	}
	return values[0], nil
}

// checkClaims checks that the assertion is by the proxy, for us, and for now.
func (v *Verifier) checkClaims(c jose.Claims) error {
	if issuer, err := c.String("iss"); err != nil || issuer != v.c.Profile.Issuer {
		return fmt.Errorf("the issuer is not %s", v.c.Profile.Issuer)
	}
	audience, err := c.String("aud")
	if err != nil {
		return fmt.Errorf("%w (an array is not accepted)", err)
	}
	if !v.accepts(audience) {
		return fmt.Errorf("the assertion is for the audience %q", audience)
	}
	issuedAt, err := c.Int64("iat")
	if err != nil {
		return err
	}
	expires, err := c.Int64("exp")
	if err != nil {
		return err
	}
	now := v.c.Now().Unix()
	slack := int64(skew / time.Second)
	switch {
	case issuedAt <= 0 || expires <= issuedAt:
		return errors.New("exp is not after iat")
	case expires-issuedAt > int64(v.c.Profile.MaxLife/time.Second)+2*slack:
		// Google: ten minutes and twice the skew, at the most.
		return fmt.Errorf("it is valid for longer than %s", v.c.Profile.MaxLife)
	case issuedAt > now+slack:
		return errors.New("it was issued in the future; is the clock right?")
	case expires <= now-slack:
		return errors.New("it has expired")
	}
	return nil
}

// accepts is whether the audience is ours.
func (v *Verifier) accepts(audience string) bool {
	if v.c.AnyAudienceOf != "" {
		rest, ok := strings.CutPrefix(audience, "/projects/"+v.c.AnyAudienceOf+"/")
		return ok && rest != ""
	}
	return slices.Contains(v.c.Audiences, audience)
}

// caller reads the person. What the proxy says of the device is evidence for the
// journal, so that it may be missing or unreadable; who it is may not.
func (v *Verifier) caller(c jose.Claims) (access.Caller, error) {
	subject, err := c.String("sub")
	if err != nil {
		return access.Caller{}, err
	}
	if subject == "" {
		return access.Caller{}, errors.New("claim sub is empty")
	}
	email, err := c.String("email")
	if err != nil {
		return access.Caller{}, err
	}
	principal, err := access.ParsePrincipal(email)
	if err != nil {
		return access.Caller{}, fmt.Errorf("claim email: %w", err)
	}
	caller := access.Caller{Principal: principal, Subject: subject, Method: v.c.Profile.Method}
	if google, err := c.Object("google"); err == nil {
		caller.Device, _ = google.String("device_id")
		caller.AccessLevels, _ = google.Strings("access_levels")
	}
	return caller, nil
}

// bad says for the log why an assertion was refused and what was expected.
func (v *Verifier) bad(err error) error {
	expected := strings.Join(v.c.Audiences, " or ")
	if v.c.AnyAudienceOf != "" {
		expected = "any of project " + v.c.AnyAudienceOf
	}
	return &access.Error{Kind: access.Unauthenticated, Code: access.CodeBadIdentity,
		// The journal takes what follows "assertion:" for a secret.
		Err: fmt.Errorf("the %s assertion is refused: %w; expected audience: %s", v.c.Profile.Method, err, expected)}
}
