// Package login signs people in where no proxy in front of the service does, as a client
// of one OpenID provider (https://openid.net/specs/openid-connect-core-1_0.html), with the
// authorization code flow and PKCE. From then on a sealed cookie says who somebody is.
//
// What the provider is trusted for: to say who somebody is and whether an e-mail address
// is theirs. What a browser is trusted for: nothing; it keeps what it cannot read.
package login

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/semaphore"

	"jitaccess/internal/access"
	"jitaccess/internal/lookup"
	"jitaccess/internal/loopback"
)

// Method names the profile in the journal, and Event is what the log calls somebody's
// being let in or not.
const (
	Method = "oidc"
	Event  = "oidc.authenticate"
)

// CallbackPath is where the provider sends a browser back to; with the origin of the
// service in front it is the redirect URI that has to be registered there.
const CallbackPath = "/oidc/callback"

const (
	// maxLife is how long a session lasts at most, and begunLife how long somebody may
	// take to log in at the provider.
	maxLife   = 8 * time.Hour
	begunLife = 10 * time.Minute
	// skew is how far another clock may be from ours: the provider's or another instance's.
	skew = 30 * time.Second
	// atOnce is how many codes are redeemed at the same time. Whoever can begin a log-in, which
	// is everybody, can have the provider asked.
	atOnce = 16
	// maxBegun is how many logins one browser may have begun; each has a cookie, and
	// browsers send all of them. begunBytes is how long these may be together before another
	// is begun: with that and a session it is less than 16 KiB, which is as long a header as
	// many a server on the way takes.
	maxBegun   = 8
	begunBytes = 6 << 10
)

// Config is what a Login is made of. Everything is required unless it says otherwise.
type Config struct {
	// Issuer is the provider, spelled as its tokens spell it: by https, or by http on
	// loopback.
	Issuer   string
	ClientID string
	// ClientSecret reads the client's secret. It is called again every few minutes.
	ClientSecret func(context.Context) (string, error)
	// Origin is that of the service, by https, or by http on loopback; then cookies lack what
	// browsers accept by https alone.
	Origin string
	// Keys seal cookies with the first of them and open those of all.
	Keys [][]byte
	// MaxAge is the longest time from somebody's authentication to the end of their session;
	// at most 8 hours count, which 0 means too.
	MaxAge time.Duration
	// AuthenticationClasses are what is asked for, best first, as acr_values; none asks for nothing.
	AuthenticationClasses []string
	// GroupsClaim is the claim that has somebody's groups; empty is that none are read.
	GroupsClaim string
	// AssumeVerified accepts an address of which the provider does not say whether it is
	// verified. One of which it says that it is not is refused all the same.
	AssumeVerified bool
	// Sessions remembers over all instances which sessions were ended. May be nil: then a
	// copy of a cookie is good until its session is over.
	Sessions Sessions
	// Transport reaches the provider; nil is the usual one, with the proxy of the environment.
	Transport http.RoundTripper
	// Now is the clock.
	Now func() time.Time
	// Warn is told what an operator should know though people get in. May be nil.
	Warn func(error)
}

// Login signs people in. Make one with New; it is safe for concurrent use.
type Login struct {
	c       Config
	cookies cookies
	client  *http.Client
	// pacedClient is for what anybody may have asked.
	pacedClient *http.Client
	providers   *lookup.Cache[*provider]
	endings     *endings
	turns       *semaphore.Weighted
}

// New makes a Login. It asks the provider nothing: one that cannot be reached keeps people
// from logging in, and the service from nothing. Its errors are mistakes of an operator.
func New(c Config) (*Login, error) {
	issuer, err := url.Parse(c.Issuer)
	if err != nil || !private(issuer) || issuer.RawQuery != "" || issuer.Fragment != "" || issuer.User != nil {
		return nil, fmt.Errorf("the issuer %q is no https URL", c.Issuer)
	}
	origin, err := url.Parse(c.Origin)
	if err != nil || !private(origin) {
		return nil, errors.New("people log in over https alone, or on this machine: PUBLIC_URL must be https://HOST")
	}
	if c.ClientID == "" || c.ClientSecret == nil || c.Now == nil {
		return nil, errors.New("the login is not complete")
	}
	if c.MaxAge <= 0 || c.MaxAge > maxLife {
		c.MaxAge = maxLife
	}
	if c.Warn == nil {
		c.Warn = func(error) {}
	}
	l := &Login{c: c, client: newClient(c.Transport), endings: newEndings(c), turns: semaphore.NewWeighted(atOnce)}
	// A session of another provider, or of another client there, is none here.
	if l.cookies, err = newCookies(c.Keys, origin.Scheme == "https", c.Issuer+" "+c.ClientID); err != nil {
		return nil, err
	}
	l.pacedClient = newClient(&paced{RoundTripper: cmp.Or(c.Transport, http.DefaultTransport), now: c.Now})
	l.providers = lookup.New(c.Now, 1, providerTimeout, l.discover)
	return l, nil
}

// private is whether what is sent there cannot be read on the way.
func private(u *url.URL) bool {
	return u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && loopback.Is(u.Hostname()))
}

// begun is a login that has been begun, as the browser keeps it.
type begun struct {
	State, Nonce, Verifier string
	// At is when, and To where it leads, a path of ours with its query.
	At int64
	To string
}

const cookieOfBegun = "login-"

// nameOfBegun is a name for each login, so that those of several tabs do not end one another.
func nameOfBegun(state string) string { return cookieOfBegun + state[:min(len(state), 12)] }

// Start begins a login that leads to the page that r asks for, and returns the address at
// the provider where the browser goes next. It sets a cookie in h. The error is of kind
// Unavailable where the provider cannot be reached, and CodeNoIdentity where a browser
// would not keep an address as long as r's.
func (l *Login) Start(h http.Header, r *http.Request) (address string, err error) {
	p, err := l.provider(r.Context())
	if err != nil {
		return "", err
	}
	b := begun{oauth2.GenerateVerifier(), oauth2.GenerateVerifier(), oauth2.GenerateVerifier(), l.c.Now().Unix(), r.URL.RequestURI()}
	if err := l.cookies.set(h, nameOfBegun(b.State), b, begunLife); err != nil {
		return "", &access.Error{Kind: access.Unauthenticated, Code: access.CodeNoIdentity, Err: err}
	}
	l.forgetBegun(h, r)
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(b.Verifier), oauth2.SetAuthURLParam("nonce", b.Nonce),
		oauth2.SetAuthURLParam("max_age", fmt.Sprint(int(l.askedAge()/time.Second)))}
	if len(l.c.AuthenticationClasses) > 0 {
		options = append(options, oauth2.SetAuthURLParam("acr_values", strings.Join(l.c.AuthenticationClasses, " ")))
	}
	if l.cookies.text(r, cookieOfSession) == loggedOut {
		// Whoever has logged out is asked who they are; else the provider would say who they were.
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	return p.flow.AuthCodeURL(b.State, options...), nil
}

// askedAge is how old an authentication may be for the provider to let somebody pass without
// another. It is less than MaxAge, so that the session that follows is not over at once.
func (l *Login) askedAge() time.Duration { return l.c.MaxAge - min(5*time.Minute, l.c.MaxAge/2) }

// forgetBegun drops the logins that a browser has begun and not finished, if they are many or long.
func (l *Login) forgetBegun(h http.Header, r *http.Request) {
	var names []string
	size := 0
	for _, c := range r.Cookies() {
		if name, ours := strings.CutPrefix(c.Name, l.cookies.prefix); ours && strings.HasPrefix(name, cookieOfBegun) {
			names, size = append(names, name), size+len(c.Name)+len(c.Value)
		}
	}
	if len(names) >= maxBegun || size >= begunBytes {
		for _, name := range names {
			l.cookies.drop(h, name)
		}
	}
}

// Finish ends a login at the callback: it makes a session for whom the provider names, and
// returns the path where this login leads. It sets cookies in h. Its errors:
// CodeLoginLapsed where this browser has begun no such login lately, CodeLoginRefused where
// the provider lets nobody in, CodeUnverifiedAddress, CodeBadIdentity where what the
// provider says does not hold, and others of kinds Upstream and Unavailable.
func (l *Login) Finish(h http.Header, r *http.Request) (to string, caller access.Caller, err error) {
	q, err := single(r.URL.RawQuery, "state", "code", "iss", "error")
	if err != nil {
		return "", access.Caller{}, lapsed(err)
	}
	var b begun
	name := nameOfBegun(q["state"])
	switch _, err := l.cookies.get(r, name, &b); {
	case err != nil:
		return "", access.Caller{}, lapsed(err)
	case subtle.ConstantTimeCompare([]byte(b.State), []byte(q["state"])) != 1:
		return "", access.Caller{}, lapsed(errors.New("the state is another"))
	}
	l.cookies.drop(h, name) // it serves once, whatever comes of it
	if began := time.Unix(b.At, 0); l.c.Now().Sub(began) > begunLife || began.Sub(l.c.Now()) > skew {
		return "", access.Caller{}, lapsed(fmt.Errorf("it was begun at %s", began.UTC().Format(time.RFC3339)))
	}
	p, err := l.provider(r.Context())
	if err != nil {
		return "", access.Caller{}, err
	}
	if iss, sent := q["iss"]; iss != l.c.Issuer && (sent || p.namesItself) {
		// RFC 9207: another provider has answered than was asked.
		return "", access.Caller{}, bad(fmt.Errorf("the answer is by the issuer %s", clip(iss)))
	}
	if reason := q["error"]; reason != "" {
		return "", access.Caller{}, &access.Error{Kind: access.Unauthenticated, Code: access.CodeLoginRefused,
			Err: fmt.Errorf("the provider answered %s", clip(reason))}
	}
	now := l.c.Now()
	if err := l.turns.Acquire(r.Context(), 1); err != nil {
		return "", access.Caller{}, &access.Error{Kind: access.TooMany, Code: access.CodeTooFast, Err: err}
	}
	defer l.turns.Release(1)
	who, err := l.exchange(r.Context(), p, q["code"], b)
	if err != nil {
		return "", access.Caller{}, err
	}
	s := sessionOf(who, now)
	if !s.ends(l.c.MaxAge).After(now) {
		return "", access.Caller{}, bad(fmt.Errorf("they were authenticated at %s, which is longer ago than OIDC_MAX_AGE; is the clock right?",
			who.Asserted.Format(time.RFC3339)))
	}
	if err := l.setSession(h, s); err != nil {
		return "", access.Caller{}, err
	}
	return ownPath(b.To), s.caller(), nil
}

// ownPath is a path of ours with its query, as URL.RequestURI gives it, which escapes what is
// not in order; or / for one that browsers take for an address elsewhere, as //host.
func ownPath(to string) string {
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
		return "/"
	}
	return to
}

// single reads parameters of a query that may be there once, and returns those that are.
func single(query string, names ...string) (map[string]string, error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, name := range names {
		switch values := q[name]; len(values) {
		case 0:
		case 1:
			found[name] = values[0]
		default:
			return nil, fmt.Errorf("%s is there twice", name)
		}
	}
	return found, nil
}

func lapsed(err error) error {
	return &access.Error{Kind: access.Unauthenticated, Code: access.CodeLoginLapsed, Err: err}
}

func bad(err error) error {
	return &access.Error{Kind: access.Unauthenticated, Code: access.CodeBadIdentity, Err: err}
}

// Ready returns why nobody could log in now; those who are logged in stay so.
func (l *Login) Ready(ctx context.Context) error {
	_, err := l.provider(ctx)
	return err
}

// clip makes text of others fit for the log: short, printable, in quotes.
func clip(text string) string { return fmt.Sprintf("%q", access.Clip(cmp.Or(text, "nothing"), 80)) }
