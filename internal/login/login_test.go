package login_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/login"
)

func TestSomebodyLogsIn(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.is("", access.CodeNoIdentity)
	v := b.start("/review?activation=abc")
	u, err := url.Parse(v.address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for name, want := range map[string]string{"client_id": client, "redirect_uri": origin + "/oidc/callback", "response_type": "code",
		"scope": "openid email profile", "code_challenge_method": "S256", "max_age": "28500", "prompt": ""} {
		if q.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, q.Get(name), want)
		}
	}
	if len(q.Get("state")) < 43 || len(q.Get("nonce")) < 43 || q.Get("state") == q.Get("nonce") || strings.Contains(v.address, secret) {
		t.Errorf("address: %s", v.address)
	}
	to, caller, err := b.finish(v, nil)
	if err != nil || to != "/review?activation=abc" || caller.Principal != ana {
		t.Fatalf("%s, %+v, %v", to, caller, err)
	}
	if len(b.cookies) != 1 {
		t.Errorf("cookies: %v", b.cookies)
	}
	c, err := b.who()
	if err != nil || c.Principal != ana || c.Subject != "1234" || c.Method != "oidc" || !c.Asserted.Equal(w.now()) || c.Claims != nil || c.ClaimsUnknown {
		t.Errorf("%+v, %v", c, err)
	}
	// What a browser has tells nobody who it is.
	for _, value := range b.cookies {
		raw, _ := base64.RawURLEncoding.DecodeString(value)
		if strings.Contains(value+string(raw), "ana") || strings.Contains(string(raw), "Principal") {
			t.Error("a cookie can be read")
		}
	}
}

// Each is one fault of a callback; nobody is logged in by it, and a login that was begun
// cannot be finished a second time.
func TestBadCallbacks(t *testing.T) {
	for _, test := range []badCallback{
		{name: "no state", edit: func(q url.Values) { q.Del("state") }, code: access.CodeLoginLapsed},
		{name: "another state", edit: func(q url.Values) { q.Set("state", "x"+q.Get("state")) }, code: access.CodeLoginLapsed},
		{name: "the state longer", edit: func(q url.Values) { q.Set("state", q.Get("state")+"x") }, code: access.CodeLoginLapsed},
		{name: "the state cut to its name", edit: func(q url.Values) { q.Set("state", q.Get("state")[:12]) }, code: access.CodeLoginLapsed},
		{name: "two states", edit: func(q url.Values) { q.Add("state", "x") }, code: access.CodeLoginLapsed},
		{name: "a state of another browser", before: func(w *world, b *browser, v *visit) { *v = w.browser().start("/") }, code: access.CodeLoginLapsed},
		{name: "too late", before: func(w *world, _ *browser, _ *visit) { w.pass(10*time.Minute + time.Second) }, code: access.CodeLoginLapsed},
		{name: "before it was begun", before: func(w *world, _ *browser, _ *visit) { w.pass(-time.Minute) }, code: access.CodeLoginLapsed},
		{name: "a cookie that was cut", before: func(_ *world, b *browser, _ *visit) {
			for name, value := range b.cookies {
				b.cookies[name] = value[:len(value)-3]
			}
		}, code: access.CodeLoginLapsed},
		{name: "another client's cookie", before: func(w *world, _ *browser, _ *visit) { w.again(func(c *login.Config) { c.ClientID = "other" }) }, code: access.CodeLoginLapsed},

		{name: "the provider refuses", edit: func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }, code: access.CodeLoginRefused},
		{name: "no code", edit: func(q url.Values) { q.Del("code") }, code: access.CodeLoginLapsed},
		{name: "another code", edit: func(q url.Values) { q.Set("code", "x") }, code: access.CodeLoginLapsed},
		{name: "another issuer answers", edit: func(q url.Values) { q.Set("iss", "https://evil.example.com") }, code: access.CodeBadIdentity},
		{name: "an issuer that is empty", edit: func(q url.Values) { q.Set("iss", "") }, code: access.CodeBadIdentity},
		{name: "an issuer that does not name itself", before: func(w *world, _ *browser, _ *visit) {
			w.provider.document = func(d map[string]any) { d["authorization_response_iss_parameter_supported"] = true }
			w.again(nil)
		}, code: access.CodeBadIdentity},

		claim("a nonce that is another's", "nonce", "x"),
		claim("no nonce", "nonce", nil),
		claim("another client's token", "aud", "other"),
		claim("a token for two, of which nobody asked", "aud", []string{client, "other"}),
		claim("a token that another asked for", "azp", "other"),
		claim("another issuer's token", "iss", "https://evil.example.com"),
		claim("an issuer with a slash", "iss", "/"),
		claim("a token that is over", "exp", -31),
		claim("a token of the future", "iat", 31),
		claim("a token that is not valid yet", "nbf", 600),
		claim("an authentication in the future", "auth_time", 31),
		claim("an authentication that is none", "auth_time", "yesterday"),
		claim("an authentication of eight hours ago", "auth_time", -8*3600),
		claim("no subject", "sub", nil),
		claim("an empty subject", "sub", ""),
		claim("a long subject", "sub", strings.Repeat("x", 256)),
		claim("no address", "email", nil),
		claim("an address that is none", "email", "ana"),
		claim("a list of addresses", "email", []string{ana}),
		{name: "an address that is not verified", before: claims("email_verified", false), code: access.CodeUnverifiedAddress},
		{name: "an address of which nobody says so", before: claims("email_verified", nil), code: access.CodeUnverifiedAddress},
		{name: "an address that is verified as text", before: claims("email_verified", "false"), code: access.CodeUnverifiedAddress},
		{name: "an address that is verified as a number", before: claims("email_verified", 1), code: access.CodeUnverifiedAddress},

		signed("signed with the client's secret", jwt.SigningMethodHS256, []byte(secret)),
		signed("signed with a key that both sides have", jwt.SigningMethodHS256, key("shared")),
		signed("not signed", jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		signed("signed with another key", jwt.SigningMethodES256, strangersKey()),
		{name: "no token at all", before: func(w *world, _ *browser, _ *visit) { w.provider.raw = "x" }, code: access.CodeBadIdentity},
		{name: "a huge token", before: claims("x", strings.Repeat("x", 70<<10)), code: access.CodeBadIdentity},

		down("the provider fails at the token endpoint", "/token", 503, access.Unavailable),
		down("the provider is asked too much", "/token", 429, access.Unavailable),
		down("the token endpoint sends elsewhere", "/token", 307, access.Upstream),
		down("the keys cannot be had", "/jwks", 503, access.Unavailable),
		down("the keys are elsewhere", "/jwks", 302, access.Unauthenticated),
		{name: "the client's secret is another", before: func(w *world, _ *browser, _ *visit) {
			w.again(func(c *login.Config) { c.ClientSecret = text("wrong") })
		}, code: access.CodeUpstreamFailed, kind: access.Upstream},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, nil)
			b := w.browser()
			v := b.start("/requests")
			if test.before != nil {
				test.before(w, b, &v)
			}
			_, caller, err := b.finish(v, test.edit)
			e := access.AsError(err)
			kind := test.kind
			if kind == access.Internal {
				kind = access.Unauthenticated
			}
			if err == nil || e.Kind != kind || test.code != "" && e.Code != test.code || caller.Principal != "" {
				t.Fatalf("%+v, %v", caller, err)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("%d bytes for the log", len(err.Error()))
			}
			b.is("", access.CodeNoIdentity)
		})
	}
}

func claims(name string, value any) func(*world, *browser, *visit) {
	return func(w *world, _ *browser, _ *visit) {
		switch n, number := value.(int); {
		case number && name != "email_verified":
			w.provider.claims[name] = w.now().Unix() + int64(n)
		case value == "/":
			w.provider.claims[name] = w.provider.URL + "/"
		case value == nil:
			delete(w.provider.claims, name)
		default:
			w.provider.claims[name] = value
		}
	}
}

type badCallback struct {
	name string
	// before edits the world when the login has been begun; edit what the provider sends back.
	before func(*world, *browser, *visit)
	edit   func(url.Values)
	code   access.Code
	kind   access.Kind
}

// claim is an ID token of which one claim is another; a number is seconds from now.
func claim(what, name string, value any) badCallback {
	return badCallback{name: what, before: claims(name, value), code: access.CodeBadIdentity}
}

func signed(what string, method jwt.SigningMethod, signer any) badCallback {
	return badCallback{name: what, before: func(w *world, _ *browser, _ *visit) { w.provider.method, w.provider.signer = method, signer }, code: access.CodeBadIdentity}
}

func down(what, path string, status int, kind access.Kind) badCallback {
	return badCallback{name: what, before: func(w *world, _ *browser, _ *visit) { w.provider.down[path] = status }, kind: kind}
}

// A client is registered for one way to say its secret, which is found out.
func TestHowTheClientSaysItsSecret(t *testing.T) {
	w := newWorld(t, nil)
	for _, test := range []struct {
		methods any
		inForm  bool
		calls   int // 0: nobody logs in
	}{
		{nil, false, 1}, {nil, true, 0}, {[]string{"client_secret_basic"}, false, 1}, {[]string{"client_secret_post"}, true, 1},
		{[]string{"client_secret_post", "client_secret_basic"}, false, 1}, {[]string{"client_secret_post", "client_secret_basic"}, true, 2},
		{[]string{"private_key_jwt"}, false, 0},
	} {
		w.provider.document = func(d map[string]any) { d["token_endpoint_auth_methods_supported"] = test.methods }
		w.provider.inForm = test.inForm
		w.again(nil)
		before := w.provider.calls["/token"]
		b := w.browser()
		_, _, err := b.finish(b.start("/"), nil)
		if n := w.provider.calls["/token"] - before; (err == nil) != (test.calls > 0) || err == nil && n != test.calls {
			t.Errorf("%v, in the form %v: %d calls, %v", test.methods, test.inForm, n, err)
		}
	}
}

// A callback serves once: neither its address nor the state in it is good a second time,
// whatever came of the first.
func TestALoginIsFinishedOnce(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	v := b.start("/")
	cookies := map[string]string{}
	for name, value := range b.cookies {
		cookies[name] = value
	}
	if _, _, err := b.finish(v, func(q url.Values) { q.Set("iss", "https://evil.example.com") }); err == nil {
		t.Fatal("another issuer")
	}
	if _, _, err := b.finish(v, nil); err == nil || access.AsError(err).Code != access.CodeLoginLapsed {
		t.Errorf("after a fault: %v", err)
	}
	// Whoever has kept the cookie has no code that is good twice.
	v = b.start("/")
	for name, value := range b.cookies {
		cookies[name] = value
	}
	if _, _, err := b.finish(v, nil); err != nil {
		t.Fatal(err)
	}
	thief := &browser{w, cookies}
	if _, _, err := thief.finish(v, nil); err == nil || access.AsError(err).Code != access.CodeLoginLapsed {
		t.Errorf("a code that was used: %v", err)
	}
}

// Nobody makes a session in another's browser: neither by a link to a callback of their own,
// nor with a cookie of theirs that they plant there.
func TestNobodyFixesASession(t *testing.T) {
	w := newWorld(t, nil)
	thief, victim := w.browser(), w.browser()
	v := thief.start("/")
	if _, _, err := victim.finish(v, nil); err == nil {
		t.Error("a callback of another browser makes a session")
	}
	victim.is("", access.CodeNoIdentity)
	// A session that is there before is another after: what was known of it is worth nothing.
	thief.logIn()
	before := thief.cookies["__Host-session"]
	victim.cookies["__Host-session"] = before
	if _, _, err := victim.finish(victim.start("/"), nil); err != nil {
		t.Fatal(err)
	}
	if victim.cookies["__Host-session"] == before {
		t.Error("the session is the one that was planted")
	}
	// A cookie of one kind is none of another.
	victim.start("/")
	for name, value := range victim.cookies {
		if strings.Contains(name, "login-") {
			victim.cookies["__Host-session"] = value
		}
	}
	victim.is("", access.CodeBadIdentity)
}

func TestTwoTabsLogInAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	one := b.start("/one")
	claims := w.provider.claims
	two := b.start("/two")
	if to, _, err := b.finish(two, nil); err != nil || to != "/two" {
		t.Errorf("%s, %v", to, err)
	}
	w.provider.claims = claims
	if to, _, err := b.finish(one, nil); err != nil || to != "/one" {
		t.Errorf("%s, %v", to, err)
	}
	if len(b.cookies) != 1 {
		t.Errorf("cookies: %v", b.cookies)
	}
	// What is begun and never finished does not pile up.
	for range 100 {
		b.start("/")
	}
	if n := len(b.cookies); n > 10 {
		t.Errorf("%d cookies", n)
	}
}

// Another site can lead a browser to long addresses. What it keeps of them must not make its
// requests longer than servers on the way take, or whoever it is could open nothing for a while.
func TestLongAddressesDoNotPileUp(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	for range 10 {
		b.start("/requests?x=" + strings.Repeat("x", 2600))
		if n := len(b.request("/").Header.Get("Cookie")); n > 10<<10 {
			t.Fatalf("cookies of %d bytes", n)
		}
	}
	// Two links of a usual length are open at once.
	b = w.browser()
	one := b.start("/?activation=" + strings.Repeat("x", 1900))
	claims := w.provider.claims
	b.start("/?activation=" + strings.Repeat("y", 1900))
	w.provider.claims = claims
	if _, _, err := b.finish(one, nil); err != nil {
		t.Error(err)
	}
}

// A login leads to a page of ours only, and never in a circle.
func TestALoginLeadsToOurOwnPagesOnly(t *testing.T) {
	w := newWorld(t, nil)
	for target, want := range map[string]string{
		"/":                             "/",
		"/access/projects/shop?x=a%2Fb": "/access/projects/shop?x=a%2Fb",
		"/review?activation=a.b.c":      "/review?activation=a.b.c",
		"//evil.example.com":            "/",
		"//evil.example.com/a":          "/",
		`/\evil.example.com`:            "/%5Cevil.example.com",
		"/%2Fevil.example.com":          "/%2Fevil.example.com",
		`/%5Cevil.example.com`:          `/%5Cevil.example.com`,
		"///evil.example.com":           "/",
		"https://evil.example.com/a":    "/a",
		"https://evil.example.com//b":   "/",
	} {
		b := w.browser()
		r := b.request("/")
		u, err := url.Parse(target)
		if strings.HasPrefix(target, "//") {
			// As a server reads it.
			u, err = url.ParseRequestURI(target)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.URL = u
		h := http.Header{}
		address, err := w.login.Start(h, r)
		if err != nil {
			t.Fatal(err)
		}
		b.take(h)
		q, _ := url.Parse(address)
		v := b.start("/") // for the provider to have a code
		w.provider.codes[v.code] = q.Query().Get("code_challenge")
		w.provider.claims["nonce"] = q.Query().Get("nonce")
		v.state = q.Query().Get("state")
		if to, _, err := b.finish(v, nil); err != nil || to != want {
			t.Errorf("%s leads to %q, %v; want %q", target, to, err, want)
		}
	}
	// What no browser would keep is not begun.
	b := w.browser()
	h := http.Header{}
	if _, err := w.login.Start(h, b.request("/review?activation="+strings.Repeat("x", 3500))); err == nil || len(h) != 0 ||
		access.AsError(err).Code != access.CodeNoIdentity {
		t.Errorf("%v, %v", err, h)
	}
	if _, err := w.login.Start(h, b.request("/review?activation="+strings.Repeat("x", 2500))); err != nil {
		t.Error(err)
	}
}

func TestOverHTTPOnThisMachine(t *testing.T) {
	w := newWorld(t, func(c *login.Config) { c.Origin = "http://localhost:8080" })
	b := w.browser()
	b.logIn()
	b.is(ana, "")
	for _, origin := range []string{"", "http://access.example.com", "access.example.com", "ftp://localhost"} {
		w.config.Origin = origin
		if _, err := login.New(w.config); err == nil {
			t.Errorf("cookies go over the wire to %q", origin)
		}
	}
	w.config.Origin = origin
	for _, issuer := range []string{"", "http://id.example.com", "https://id.example.com?x=y", "https://id.example.com#x", "https://u@id.example.com", "id.example.com"} {
		w.config.Issuer = issuer
		if _, err := login.New(w.config); err == nil {
			t.Errorf("issuer %q", issuer)
		}
	}
	for _, keys := range [][][]byte{nil, {nil}, {key("a")[:31]}, {key("a"), []byte("x")}} {
		w.config.Issuer, w.config.Keys = "https://id.example.com", keys
		if _, err := login.New(w.config); err == nil {
			t.Errorf("keys %v", keys)
		}
	}
}

// A provider that cannot be reached is no fault of the start, and one day it can.
func TestAProviderThatIsDown(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.logIn()
	const discovery = "/.well-known/openid-configuration"
	w.again(nil)
	w.provider.down[discovery] = 503
	for range 2 {
		if _, err := w.login.Start(http.Header{}, b.request("/")); err == nil || access.AsError(err).Kind != access.Unavailable {
			t.Errorf("down: %v", err)
		}
	}
	if w.login.Ready(t.Context()) == nil {
		t.Error("it is ready")
	}
	b.is(ana, "") // who is in stays in
	h := http.Header{}
	if address, err := w.login.End(h, b.request("/")); err != nil || address != "" {
		t.Errorf("%s, %v", address, err)
	}
	b.take(h)
	b.is("", access.CodeNoIdentity)
	delete(w.provider.down, discovery)
	b.logIn()
	if err := w.login.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	// It is not asked anew for each.
	asked := w.provider.calls[discovery]
	for range 5 {
		b.logIn()
	}
	if w.provider.calls[discovery] != asked {
		t.Errorf("%d calls more", w.provider.calls[discovery]-asked)
	}
	for name, edit := range map[string]func(map[string]any){
		"another issuer":      func(d map[string]any) { d["issuer"] = w.provider.URL + "/" },
		"tokens in the clear": func(d map[string]any) { d["token_endpoint"] = "http://id.example.com/token" },
		"keys in the clear":   func(d map[string]any) { d["jwks_uri"] = "http://id.example.com/jwks" },
		"people in the clear": func(d map[string]any) { d["authorization_endpoint"] = "http://id.example.com/auth" },
		"no address":          func(d map[string]any) { delete(d, "authorization_endpoint") },
		"a script":            func(d map[string]any) { d["authorization_endpoint"] = "javascript:alert(1)" },
		"no end":              func(d map[string]any) { d["x"] = strings.Repeat("x", 2<<20) },
	} {
		w.provider.document = edit
		w.again(nil)
		if address, err := w.login.Start(http.Header{}, b.request("/")); err == nil || access.AsError(err).Kind != access.Unavailable {
			t.Errorf("%s: %s, %v", name, address, err)
		}
	}
}

// What a provider leaves out of the ID token is asked for, and must be of the same person.
func TestClaimsOfTheUserInfoEndpoint(t *testing.T) {
	w := newWorld(t, func(c *login.Config) { c.GroupsClaim = "groups" })
	for name, test := range map[string]struct {
		says map[string]any
		code access.Code
	}{
		"all of it":     {map[string]any{"sub": "1234", "email": ana, "email_verified": true, "groups": []string{"a"}}, ""},
		"somebody else": {map[string]any{"sub": "5678", "email": ana, "email_verified": true}, access.CodeBadIdentity},
		"not verified":  {map[string]any{"sub": "1234", "email": ana, "email_verified": false}, access.CodeUnverifiedAddress},
		"no address":    {map[string]any{"sub": "1234"}, access.CodeBadIdentity},
		"nobody":        {map[string]any{"email": ana, "email_verified": true}, access.CodeBadIdentity},
	} {
		b := w.browser()
		v := b.start("/")
		delete(w.provider.claims, "email")
		delete(w.provider.claims, "email_verified")
		w.provider.userinfo = test.says
		_, caller, err := b.finish(v, nil)
		if test.code == "" && (err != nil || caller.Principal != ana || len(caller.Claims) != 1) || test.code != "" && (err == nil || access.AsError(err).Code != test.code) {
			t.Errorf("%s: %+v, %v", name, caller, err)
		}
	}
	// That an address is verified which the ID token does not name is nothing about another.
	for _, says := range []map[string]any{{"sub": "1234", "email": ana, "email_verified": false}, {"sub": "1234", "email": ana}} {
		b := w.browser()
		v := b.start("/")
		delete(w.provider.claims, "email")
		w.provider.claims["email_verified"] = true
		w.provider.userinfo = says
		if _, caller, err := b.finish(v, nil); err == nil || access.AsError(err).Code != access.CodeUnverifiedAddress {
			t.Errorf("%v: %+v, %v", says, caller, err)
		}
	}
	// A claim that is signed counts, whatever is said beside it.
	b := w.browser()
	v := b.start("/")
	delete(w.provider.claims, "email")
	w.provider.claims["email_verified"] = false
	w.provider.userinfo = map[string]any{"sub": "1234", "email": ana, "email_verified": true}
	if _, _, err := b.finish(v, nil); err == nil || access.AsError(err).Code != access.CodeUnverifiedAddress {
		t.Errorf("%v", err)
	}
	v = b.start("/")
	delete(w.provider.claims, "email")
	w.provider.down["/userinfo"] = 401
	if _, _, err := b.finish(v, nil); err == nil || access.AsError(err).Kind != access.Upstream {
		t.Errorf("%v", err)
	}
}

func TestGroups(t *testing.T) {
	many := make([]string, 200)
	for i := range many {
		many[i] = strings.Repeat("x", 36)
	}
	for name, test := range map[string]struct {
		claim   string
		groups  any
		more    map[string]any
		want    int
		unknown bool
	}{
		"some":               {"groups", []string{"a", "b"}, nil, 2, false},
		"none":               {"groups", []string{}, nil, 0, false},
		"no claim":           {"groups", nil, nil, 0, true},
		"nobody asks":        {"", []string{"a"}, nil, 0, false},
		"too many":           {"groups", nil, map[string]any{"_claim_names": map[string]any{"groups": "s"}, "_claim_sources": map[string]any{"s": map[string]any{"endpoint": "https://graph.example.com"}}}, 0, true},
		"more than a cookie": {"groups", many, nil, 0, true},
		"no list":            {"groups", map[string]any{"a": true}, nil, 0, true},
		"numbers":            {"groups", []any{"a", 1}, nil, 0, true},
	} {
		w := newWorld(t, func(c *login.Config) { c.GroupsClaim = test.claim })
		w.provider.document = func(d map[string]any) { d["scopes_supported"] = []string{"openid", "groups"} }
		b := w.browser()
		v := b.start("/")
		if strings.Contains(v.address, "+groups") != (test.claim != "") {
			t.Errorf("%s: %s", name, v.address)
		}
		if test.groups != nil {
			w.provider.claims["groups"] = test.groups
		}
		for name, value := range test.more {
			w.provider.claims[name] = value
		}
		if _, _, err := b.finish(v, nil); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if c, err := b.who(); err != nil || len(c.Claims) != test.want || c.ClaimsUnknown != test.unknown {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestAssumedToBeVerified(t *testing.T) {
	w := newWorld(t, func(c *login.Config) { c.AssumeVerified = true })
	for value, code := range map[any]access.Code{nil: "", true: "", "true": "", false: access.CodeUnverifiedAddress, "no": access.CodeUnverifiedAddress} {
		b := w.browser()
		v := b.start("/")
		if value == nil {
			delete(w.provider.claims, "email_verified")
		} else {
			w.provider.claims["email_verified"] = value
		}
		if _, _, err := b.finish(v, nil); (err == nil) != (code == "") || err != nil && access.AsError(err).Code != code {
			t.Errorf("%v: %v", value, err)
		}
	}
}

// Whoever begins log-ins by the thousand has the provider asked a few at a time, and while it
// does not answer others wait no longer than their request lasts.
func TestFewCodesAreRedeemedAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	arrived, release := make(chan bool, 100), make(chan bool)
	w.again(func(c *login.Config) { c.Transport = holding{arrived, release} })
	var all sync.WaitGroup
	for range 16 {
		b := w.browser()
		v := b.start("/")
		all.Go(func() { b.finish(v, nil) })
	}
	for range 16 {
		<-arrived
	}
	b := w.browser()
	v := b.start("/")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := w.login.Finish(http.Header{}, b.request(v.query(nil)).WithContext(ctx)); err == nil || access.AsError(err).Kind != access.TooMany {
		t.Errorf("%v", err)
	}
	close(release)
	all.Wait()
	if len(arrived) != 0 {
		t.Errorf("%d more were asked", len(arrived))
	}
}

// holding holds requests to the token endpoint up.
type holding struct{ arrived, release chan bool }

func (h holding) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/token" {
		h.arrived <- true
		<-h.release
	}
	return http.DefaultTransport.RoundTrip(r)
}

func TestATimeOutAtTheCallback(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	v := b.start("/")
	ctx, cancel := contextThatIsOver()
	defer cancel()
	if _, _, err := w.login.Finish(http.Header{}, b.request(v.query(nil)).WithContext(ctx)); err == nil || access.AsError(err).Kind == access.Unauthenticated {
		t.Errorf("%v", err)
	}
}

func FuzzCookies(f *testing.F) {
	f.Add("AAAA", "/")
	f.Add("out", "/")
	f.Fuzz(func(t *testing.T, cookie, _ string) {
		l, err := login.New(login.Config{Issuer: "https://id.example.com", ClientID: client, ClientSecret: text(secret), Origin: origin, Keys: [][]byte{key("a")}, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", "__Host-session="+cookie)
		if c, err := l.Identify(r); err == nil || c.Principal != "" {
			t.Errorf("%q is %s", cookie, c.Principal)
		}
	})
}
