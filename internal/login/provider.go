package login

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"jitaccess/internal/access"
	"jitaccess/internal/identity"
	"jitaccess/internal/jose"
	"jitaccess/internal/lookup"
	"jitaccess/internal/outbound"
)

const (
	// providerTimeout bounds finding out about the provider, and callTimeout each of its answers.
	providerTimeout = 10 * time.Second
	callTimeout     = 8 * time.Second
	// maxAnswer and maxToken bound what it answers.
	maxAnswer = 1 << 20
	maxToken  = 64 << 10
	maxClaim  = 255 // of sub (OpenID Connect Core 1.0, 2)
)

// algorithms are those with which ID tokens may be signed: with the private half of a pair
// of keys. Whoever can verify one cannot make one, and none is unsigned.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512,
	oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// provider is what is known of the provider.
type provider struct {
	flow oauth2.Config
	// styles are the ways in which a client may say its secret.
	styles []oauth2.AuthStyle
	oidc   *oidc.Provider
	keys   oidc.KeySet
	// pacedKeys are the same for what anybody may send.
	pacedKeys oidc.KeySet
	// namesItself: its answers at the callback say by whom they are (RFC 9207).
	namesItself bool
	endSession  *url.URL // nil for none
}

// provider asks at most every few minutes, and one at a time.
func (l *Login) provider(ctx context.Context) (*provider, error) {
	p, err := l.providers.Get(ctx, "", l.c.Now().Add(-lookup.MaxAge))
	if err != nil {
		return nil, failed(access.Unavailable, err)
	}
	return p, nil
}

// discover reads what the provider says of itself
// (https://openid.net/specs/openid-connect-discovery-1_0.html).
func (l *Login) discover(ctx context.Context, _ string) (*provider, error) {
	secret, err := l.c.ClientSecret(ctx)
	if err != nil {
		return nil, err
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, l.client), l.c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("discovery: %s", access.Clip(err.Error(), 300))
	}
	var said struct {
		JWKS        string   `json:"jwks_uri"`
		EndSession  string   `json:"end_session_endpoint"`
		NamesItself bool     `json:"authorization_response_iss_parameter_supported"`
		Scopes      []string `json:"scopes_supported"`
		Methods     []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := found.Claims(&said); err != nil {
		return nil, err
	}
	endpoint := found.Endpoint()
	for _, address := range []string{endpoint.AuthURL, endpoint.TokenURL, said.JWKS} {
		if u, err := url.Parse(address); err != nil || !private(u) {
			return nil, fmt.Errorf("discovery: %s is no https URL", clip(address))
		}
	}
	p := &provider{oidc: found, namesItself: said.NamesItself,
		// Not ctx, which ends with this call.
		keys:      oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), l.client), said.JWKS),
		pacedKeys: oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), l.pacedClient), said.JWKS),
		flow: oauth2.Config{ClientID: l.c.ClientID, ClientSecret: secret, Endpoint: endpoint,
			RedirectURL: strings.TrimSuffix(l.c.Origin, "/") + CallbackPath, Scopes: []string{oidc.ScopeOpenID, "email", "profile"}}}
	if len(said.Methods) == 0 || slices.Contains(said.Methods, "client_secret_basic") {
		p.styles = append(p.styles, oauth2.AuthStyleInHeader)
	}
	if slices.Contains(said.Methods, "client_secret_post") {
		p.styles = append(p.styles, oauth2.AuthStyleInParams)
	}
	// Providers refuse scopes that they do not know.
	if l.c.GroupsClaim != "" && slices.Contains(said.Scopes, "groups") {
		p.flow.Scopes = append(p.flow.Scopes, "groups")
	}
	if u, err := url.Parse(said.EndSession); err == nil && private(u) {
		p.endSession = u
	}
	return p, nil
}

// endAddress is where one logs out at the provider. It gets no ID token as a hint, since a
// cookie that held one would be long, and so it asks before it does so.
func (p *provider) endAddress(clientID string) string {
	if p.endSession == nil {
		return ""
	}
	u := *p.endSession
	q := u.Query()
	q.Set("client_id", clientID)
	u.RawQuery = q.Encode()
	return u.String()
}

// authenticated is whom the provider names, and by which session of its own; that may be empty.
type authenticated struct {
	access.Caller
	session string
}

// exchange has the provider say who the code stands for.
func (l *Login) exchange(ctx context.Context, p *provider, code string, b begun) (authenticated, error) {
	ctx = oidc.ClientContext(ctx, l.client)
	token, err := p.redeem(ctx, code, b.Verifier)
	if err != nil {
		return authenticated{}, refusedCode(err)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" || len(raw) > maxToken {
		return authenticated{}, bad(fmt.Errorf("an ID token of %d bytes", len(raw)))
	}
	keys := &observed{KeySet: p.keys}
	id, err := oidc.NewVerifier(l.c.Issuer, keys, &oidc.Config{ClientID: l.c.ClientID, SupportedSigningAlgs: algorithms,
		Now: func() time.Time { return l.c.Now().Add(-skew) }}).Verify(ctx, raw)
	switch {
	case unreachable(keys.err):
		return authenticated{}, failed(access.Unavailable, keys.err)
	case err != nil:
		return authenticated{}, bad(errors.New(access.Clip(err.Error(), 300)))
	case id.Nonce != b.Nonce: // which go-oidc leaves to its caller
		return authenticated{}, bad(errors.New("the ID token has another nonce"))
	case id.IssuedAt.After(l.c.Now().Add(skew)):
		return authenticated{}, bad(errors.New("the ID token was issued in the future; is the clock right?"))
	}
	claims, err := claimsOf(id)
	if err != nil {
		return authenticated{}, bad(err)
	}
	if party, err := claims.String("azp"); (claims["azp"] != nil || len(id.Audience) > 1) && (err != nil || party != l.c.ClientID) {
		return authenticated{}, bad(errors.New("the ID token was made for another client"))
	}
	// What is said beside the ID token is not of how they were authenticated now.
	levels := levelsOf(claims)
	session, _ := claims.String("sid")
	if len(session) > maxClaim {
		session = ""
	}
	if claims["email"] == nil {
		if err := l.addUserInfo(ctx, p, token, id, claims); err != nil {
			return authenticated{}, err
		}
	}
	who, err := l.callerOf(claims)
	who.AccessLevels = levels
	return authenticated{who, session}, err
}

// How many values of amr are read, and how long one and that of acr may be.
const (
	maxMethods = 10
	maxLevel   = 100
)

// levelsOf are what somebody's authentication is worth, as access levels: the value of acr
// (OpenID Connect Core 1.0, 2), by which "0" is worth nothing, and those of amr (RFC 8176) with
// "amr:" before them. What cannot be read, or does not fit into a session, is none.
func levelsOf(claims jose.Claims) []string {
	var levels []string
	if class, err := claims.String("acr"); err == nil && class != "0" && isLevel(class) {
		levels = append(levels, class)
	}
	methods, err := claims.Strings("amr")
	if err != nil || len(methods) > maxMethods {
		return levels
	}
	for _, method := range methods {
		if isLevel(method) {
			levels = append(levels, "amr:"+method)
		}
	}
	return levels
}

// isLevel is whether a text can be an access level of a policy file.
func isLevel(text string) bool {
	return text != "" && len(text) <= maxLevel && !strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' })
}

// redeem gets tokens for a code. A client is registered for one way to say its secret, and only
// one that is refused for it is told in another; the code is not used up by that.
func (p *provider) redeem(ctx context.Context, code, verifier string) (token *oauth2.Token, err error) {
	err = errors.New("the provider takes no client secret")
	for _, style := range p.styles {
		flow := p.flow
		flow.Endpoint.AuthStyle = style
		token, err = flow.Exchange(ctx, code, oauth2.VerifierOption(verifier))
		if refused, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || refused.ErrorCode != "invalid_client" {
			break
		}
	}
	return token, err
}

// observed remembers why a signature was not verified: go-oidc says that as a text alone.
type observed struct {
	oidc.KeySet
	err error
}

func (o *observed) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := o.KeySet.VerifySignature(ctx, jwt)
	o.err = err
	return payload, err
}

// claimsOf reads the claims of a token, or of what the provider says beside it.
func claimsOf(from interface{ Claims(any) error }) (jose.Claims, error) {
	var text rawJSON
	if err := from.Claims(&text); err != nil {
		return nil, err
	}
	return jose.ParseClaims(text)
}

// rawJSON takes a JSON value as it is.
type rawJSON []byte

func (j *rawJSON) UnmarshalJSON(text []byte) error { *j = slices.Clone(text); return nil }

// addUserInfo adds claims that providers may leave out of an ID token: those of scopes, which
// the UserInfo endpoint has (OpenID Connect Core 1.0, 5.4). What is signed counts first.
func (l *Login) addUserInfo(ctx context.Context, p *provider, token *oauth2.Token, id *oidc.IDToken, claims jose.Claims) error {
	if u, err := url.Parse(p.oidc.UserInfoEndpoint()); err != nil || !private(u) {
		return nil
	}
	info, err := p.oidc.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return failed(access.Upstream, errors.New(access.Clip(err.Error(), 300)))
	}
	more, err := claimsOf(info)
	if err != nil {
		return bad(err)
	}
	if info.Subject != id.Subject {
		return bad(errors.New("the UserInfo endpoint speaks of somebody else"))
	}
	// That it is verified is said of an address that the ID token does not name.
	if string(claims["email_verified"]) != "false" {
		delete(claims, "email_verified")
	}
	for name, value := range more {
		if claims[name] == nil {
			claims[name] = value
		}
	}
	return nil
}

// callerOf reads who somebody is.
func (l *Login) callerOf(claims jose.Claims) (access.Caller, error) {
	// Some providers write it as a string.
	verified := string(claims["email_verified"])
	if claims["email"] != nil && verified != "true" && verified != `"true"` && !(claims["email_verified"] == nil && l.c.AssumeVerified) {
		return access.Caller{}, &access.Error{Kind: access.Unauthenticated, Code: access.CodeUnverifiedAddress,
			Err: fmt.Errorf("email_verified of %s is %s", clip(string(claims["email"])), clip(verified))}
	}
	caller, err := identity.Person(claims, "sub", "email")
	if err != nil {
		return access.Caller{}, bad(err)
	}
	if len(caller.Subject) > maxClaim {
		return access.Caller{}, bad(errors.New("the claim sub is too long"))
	}
	if claims["auth_time"] != nil {
		at, err := claims.Int64("auth_time")
		if err != nil || at <= 0 || time.Unix(at, 0).After(l.c.Now().Add(skew)) {
			return access.Caller{}, bad(errors.New("the claim auth_time is none, or in the future"))
		}
		caller.Asserted = time.Unix(at, 0).UTC()
	}
	if l.c.GroupsClaim != "" {
		caller.Claims, caller.ClaimsUnknown = identity.Groups(claims, l.c.GroupsClaim)
	}
	return caller, nil
}

// refusedCode is why the provider gave nothing for a code.
func refusedCode(err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case !ok:
		return failed(access.Unavailable, errors.New(access.Clip(err.Error(), 300)))
	case refused.ErrorCode == "invalid_grant": // it was used before, or is over
		return lapsed(errors.New("the provider answered invalid_grant"))
	}
	return failed(access.Upstream, fmt.Errorf("the token endpoint answered %d: %s", refused.Response.StatusCode, clip(refused.ErrorCode)))
}

// failed is for a provider that does not do its part.
func failed(kind access.Kind, err error) error {
	return &access.Error{Kind: kind, Code: access.CodeUpstreamFailed, Args: access.Args{"service": "the identity provider"}, Err: err}
}

// unreachable is whether it is no answer at all.
func unreachable(err error) bool {
	_, ok := errors.AsType[*url.Error](err)
	return ok || errors.Is(err, context.DeadlineExceeded)
}

// newClient reaches the provider.
func newClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = http.DefaultTransport
	}
	client := outbound.Client("login", bounded{transport})
	client.Timeout = callTimeout
	return client
}

// bounded cuts long answers off, and makes errors of those that a server in trouble gives.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests {
		response.Body.Close()
		return nil, fmt.Errorf("%s answered %s", r.URL.Host, response.Status)
	}
	response.Body = outbound.Bound(response.Body, maxAnswer)
	return response, nil
}
