// Package identity turns an HTTP request into the person who made it. It believes
// nothing but a signed assertion of the front that signs people in: plain headers, addresses
// and cookies are never looked at, and without an assertion nobody is signed in.
package identity

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/jose"
)

// Skew is how far the front's clock may be from ours, either way, as Google advises
// for its own (https://cloud.google.com/iap/docs/signed-headers-howto).
const Skew = 30 * time.Second

// Profile is how one kind of front says who somebody is. Everything is required
// unless it says otherwise.
type Profile struct {
	// Method names the profile in the journal.
	Method string
	// Header carries the assertion, in canonical form, and Scheme is the word before it, if
	// there is one.
	Header, Scheme string
	// Form is what its signature and its JOSE header must be.
	Form jose.Form
	// Issuer returns why a signed assertion is not by the front. See IssuedBy.
	Issuer func(jose.Token) error
	// Audience returns why a signed assertion is not for us; Expected says in words
	// for whom it has to be, and Ours whether that is so called.
	Audience func(jose.Token) error
	Ours     func(name string) bool
	Expected string
	// MaxLife is the longest time from iat to exp, without skew.
	MaxLife time.Duration
	// MaxAge is the longest time since iat; zero is MaxLife.
	MaxAge time.Duration
	// Undated is whether assertions have no iat. MaxAge is then the longest that one may still
	// be valid for, so that no later sight of it is longer after the first.
	Undated bool
	// Caller reads the person from an assertion that holds. Method is filled in.
	Caller func(jose.Token) (access.Caller, error)

	// Event is what the log calls somebody's being let in or not.
	Event string
	// Check names the keys in /health/ready, and Service the key server in an error.
	Check, Service string
	// SwitchAccount is the address, at the service's own host, where one signs in as
	// somebody else; empty where the front has none.
	SwitchAccount string
}

// Config is what a Verifier is made of. All but GroupsClaim is required.
type Config struct {
	Profile Profile
	// Keys are the keys of the profile's issuer, and of nobody else.
	Keys jose.Keys
	// GroupsClaim is the claim that has the caller's groups. Empty: they are in none.
	GroupsClaim string
	// Now is the clock.
	Now func() time.Time
}

// Verifier identifies callers by one profile. Make one with New; it may be shared.
type Verifier struct {
	c      Config
	tokens *jose.Verifier
}

// New makes a Verifier. It refuses to make one that would accept an assertion meant
// for anybody, of any age, or without a signature.
func New(c Config) (*Verifier, error) {
	switch p := c.Profile; {
	case p.Audience == nil || p.Ours == nil || p.Expected == "":
		return nil, errors.New("no audience is configured")
	case p.Issuer == nil || p.Caller == nil || p.MaxLife <= 0 || p.MaxAge < 0 || len(p.Form.Algorithms) == 0 || c.Keys == nil || c.Now == nil:
		return nil, fmt.Errorf("the identity profile %q is not complete", p.Method)
	case p.Method == access.MethodSystem:
		return nil, fmt.Errorf("%q is the service itself, and no identity profile", p.Method)
	case p.Header == "" || p.Header != http.CanonicalHeaderKey(p.Header):
		return nil, fmt.Errorf("%q is not a header in canonical form", p.Header)
	}
	c.Profile.MaxAge = cmp.Or(c.Profile.MaxAge, c.Profile.MaxLife)
	return &Verifier{c, jose.NewVerifier(c.Profile.Form, c.Keys)}, nil
}

// Profile is the one that the Verifier identifies by.
func (v *Verifier) Profile() Profile { return v.c.Profile }

// Ready returns why nobody can be identified, which wraps jose.ErrKeysUnavailable,
// or why only the last good keys are there to do it; nil when all is well.
func (v *Verifier) Ready(ctx context.Context) error { return v.c.Keys.Ready(ctx) }

// Reach asks for a key that nobody has, and returns why the key server could not answer,
// which wraps jose.ErrKeysUnavailable; nil where it did.
func (v *Verifier) Reach(ctx context.Context) error {
	form := v.c.Profile.Form
	form.Ours = nil // it is nobody's
	header := map[string]any{"alg": form.Algorithms[0], "kid": "00000000-0000-0000-0000-000000000000"}
	for _, member := range form.Header {
		header[member] = ""
	}
	text, _ := json.Marshal(header) // texts, so that it cannot fail
	encoding := base64.RawURLEncoding
	if form.Padded {
		encoding = base64.URLEncoding
	}
	if _, err := form.Verify(ctx, encoding.EncodeToString(text)+"..", v.c.Keys); errors.Is(err, jose.ErrKeysUnavailable) {
		return err
	}
	return nil
}

// Identify returns who made the request. The error is CodeNoIdentity when there is
// no assertion, CodeBadIdentity when there is one that does not hold, CodeUnverifiedAddress
// when it leaves open whose address it has, and of kind Unavailable when the keys to check it
// cannot be had.
func (v *Verifier) Identify(r *http.Request) (access.Caller, error) {
	assertion, err := v.assertion(r.Header)
	if err != nil {
		return access.Caller{}, v.bad(err)
	}
	if assertion == "" {
		return access.Caller{}, &access.Error{Kind: access.Unauthenticated, Code: access.CodeNoIdentity,
			Err: fmt.Errorf("no %s header; is the proxy in front of the service, and on?", v.c.Profile.Header)}
	}
	token, err := v.tokens.Verify(r.Context(), assertion)
	if errors.Is(err, jose.ErrKeysUnavailable) {
		return access.Caller{}, &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed,
			Args: access.Args{"service": v.c.Profile.Service}, Err: err}
	}
	if err == nil {
		err = v.check(token)
	}
	if err != nil {
		return access.Caller{}, v.bad(err)
	}
	caller, err := v.c.Profile.Caller(token)
	if err != nil {
		return access.Caller{}, v.bad(err)
	}
	caller.Method = v.c.Profile.Method
	if v.c.GroupsClaim != "" {
		caller.Claims, caller.ClaimsUnknown = Groups(token.Claims, v.c.GroupsClaim)
	}
	// check has read it, if it has to be there.
	if issued, err := token.Claims.Int64("iat"); err == nil && token.Claims["iat"] != nil {
		caller.Asserted = time.Unix(issued, 0).UTC()
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
	switch values := h[v.c.Profile.Header]; len(values) {
	case 0:
		return "", nil
	case 1:
		return v.behindScheme(values[0])
	}
	return "", errors.New("the assertion stands twice")
}

// behindScheme is what follows the scheme, where there is one (RFC 9110, 11.4).
func (v *Verifier) behindScheme(value string) (string, error) {
	if v.c.Profile.Scheme == "" {
		return value, nil
	}
	scheme, assertion, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, v.c.Profile.Scheme) {
		return "", fmt.Errorf("%s does not begin with %s", v.c.Profile.Header, v.c.Profile.Scheme)
	}
	return assertion, nil
}

// slack is Skew in seconds.
const slack = int64(Skew / time.Second)

// check checks that the assertion is by the front, for us, and for now.
func (v *Verifier) check(t jose.Token) error {
	if err := cmp.Or(v.c.Profile.Issuer(t), v.c.Profile.Audience(t), v.madeToSignIn(t.Claims)); err != nil {
		return err
	}
	now := v.c.Now().Unix()
	if t.Header["exp"] != nil {
		if err := unexpired(t.Header, now); err != nil {
			return fmt.Errorf("of the header: %w", err)
		}
	}
	if t.Claims["nbf"] != nil {
		if from, err := t.Claims.Int64("nbf"); err != nil || from > now+slack {
			return errors.New("it is not valid yet")
		}
	}
	return cmp.Or(unexpired(t.Claims, now), v.age(t.Claims, now))
}

// madeToSignIn checks that an assertion for us was made for nobody else who passes it on, such
// as an access token (OpenID Connect Core 1.0, 3.1.3.7), and that it is none of those that the
// same keys sign to say what has happened, such as a logout token, where events must be, and
// nowhere else (RFC 8417, 2.2; OpenID Connect Back-Channel Logout 1.0, 2.4).
func (v *Verifier) madeToSignIn(c jose.Claims) error {
	if c["events"] != nil {
		return errors.New("it says what has happened, and signs nobody in")
	}
	if party, err := c.String("azp"); c["azp"] != nil && (err != nil || !v.c.Profile.Ours(party)) {
		return errors.New("it was made for another (azp)")
	}
	return nil
}

func unexpired(c jose.Claims, now int64) error {
	expires, err := c.Int64("exp")
	if err == nil && expires <= now-slack {
		err = errors.New("it has expired")
	}
	return err
}

// age checks how old an assertion is, which has an exp, and how old it may become.
func (v *Verifier) age(c jose.Claims, now int64) error {
	p := v.c.Profile
	maxLife, maxAge := int64(p.MaxLife/time.Second), int64(p.MaxAge/time.Second)
	expires, _ := c.Int64("exp")
	if p.Undated && c["iat"] == nil {
		if expires > now+maxAge+2*slack {
			return fmt.Errorf("it is valid for longer than %s", p.MaxAge)
		}
		return nil
	}
	issuedAt, err := c.Int64("iat")
	switch {
	case err != nil:
		return err
	case issuedAt <= 0 || expires <= issuedAt:
		return errors.New("exp is not after iat")
	case expires-issuedAt > maxLife+2*slack:
		// Google: ten minutes and twice the skew, at the most.
		return fmt.Errorf("it is valid for longer than %s", p.MaxLife)
	case issuedAt > now+slack:
		return errors.New("it was issued in the future; is the clock right?")
	case issuedAt < now-maxAge-slack:
		return fmt.Errorf("it is older than %s", p.MaxAge)
	}
	return nil
}

// IssuedBy accepts exactly these iss claims.
func IssuedBy(issuers ...string) func(jose.Token) error {
	return func(t jose.Token) error {
		if issuer, err := t.Claims.String("iss"); err != nil || !slices.Contains(issuers, issuer) {
			return fmt.Errorf("the issuer is not %s", strings.Join(issuers, " or "))
		}
		return nil
	}
}

// only is whether a name is this one.
func only(name string) func(string) bool { return func(is string) bool { return is == name } }

// madeFor accepts an aud claim that is the audience, or a list with it in it.
func madeFor(audience string) func(jose.Token) error {
	return func(t jose.Token) error {
		one, err := t.Claims.String("aud")
		several, none := t.Claims.Strings("aud")
		if err == nil && one == audience || none == nil && slices.Contains(several, audience) {
			return nil
		}
		return fmt.Errorf("the assertion is for the audience %.200s", t.Claims["aud"])
	}
}

// errUnverified: somebody may have given themselves the address of another.
var errUnverified = errors.New("claim email_verified is not true")

// Person reads who somebody is from two claims that must be there. An address of which the
// front says that it was not verified is nobody's.
func Person(c jose.Claims, subjectClaim, emailClaim string) (access.Caller, error) {
	subject, err := c.String(subjectClaim)
	email, noEmail := c.String(emailClaim)
	if err = cmp.Or(err, noEmail); err != nil {
		return access.Caller{}, err
	}
	if subject == "" {
		return access.Caller{}, fmt.Errorf("claim %s is empty", subjectClaim)
	}
	if verified := c["email_verified"]; verified != nil && !saysTrue(verified) {
		return access.Caller{}, errUnverified
	}
	principal, err := access.ParsePrincipal(email)
	if err != nil {
		return access.Caller{}, fmt.Errorf("claim %s: %w", emailClaim, err)
	}
	return access.Caller{Principal: principal, Subject: subject}, nil
}

// saysTrue is whether a claim is true, which some write as a text
// (https://docs.aws.amazon.com/cognito/latest/developerguide/userinfo-endpoint.html).
func saysTrue(claim json.RawMessage) bool {
	return string(claim) == "true" || string(claim) == `"true"`
}

// Groups are those that a claim names. They are unknown where it is missing or cannot be read,
// and where the provider left them out because they are too many: so Entra ID marks it, see
// https://learn.microsoft.com/en-us/entra/identity-platform/id-token-claims-reference#groups-overage-claim
func Groups(c jose.Claims, name string) (list []string, unknown bool) {
	list, err := c.Strings(name)
	elsewhere, _ := c.Object("_claim_names")
	if err != nil || elsewhere[name] != nil || saysTrue(c["hasgroups"]) {
		return nil, true
	}
	return list, false
}

// bad says for the log why an assertion was refused and what was expected.
func (v *Verifier) bad(err error) error {
	p, code := v.c.Profile, access.CodeBadIdentity
	if errors.Is(err, errUnverified) {
		code = access.CodeUnverifiedAddress
	}
	return &access.Error{Kind: access.Unauthenticated, Code: code,
		// The journal takes what follows "assertion:" for a secret.
		Err: fmt.Errorf("the %s assertion is refused: %w; expected audience: %s", p.Method, err, p.Expected)}
}
