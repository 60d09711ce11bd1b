package login_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/login"
)

const backchannel = "http://schemas.openid.net/event/backchannel-logout"

// logInAs logs Ana in by a session of the provider's.
func (b *browser) logInAs(sid any) {
	b.w.t.Helper()
	v := b.start("/")
	b.w.provider.claims["sid"] = sid
	if _, _, err := b.finish(v, nil); err != nil {
		b.w.t.Fatal(err)
	}
}

// logoutToken is one that the provider signs, with changes.
func (w *world) logoutToken(change func(jwt.MapClaims)) string {
	p := w.provider
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.claims
	defer func() { p.claims = before }()
	p.claims = jwt.MapClaims{"iss": p.URL, "aud": client, "sub": "1234", "sid": "session-1", "jti": "t-1", "iat": w.now().Unix(),
		"exp": w.now().Add(2 * time.Minute).Unix(), "events": map[string]any{backchannel: map[string]any{}}}
	if change != nil {
		change(p.claims)
	}
	return p.sign()
}

// What the provider ends is over in every browser and on every instance, and nothing else is.
func TestTheProviderEndsASession(t *testing.T) {
	kept := &memory{ended: map[string]time.Time{}}
	w := newWorld(t, func(c *login.Config) { c.Sessions = kept })
	one, copied, other, silent := w.browser(), (*browser)(nil), w.browser(), w.browser()
	one.logInAs("session-1")
	copied = one.copied()
	other.logInAs("session-2")
	silent.logInAs(nil)
	first := w.login
	w.again(nil) // another instance
	token := w.logoutToken(nil)
	for range 2 { // a second time changes nothing
		if err := w.login.EndElsewhere(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	one.is("", access.CodeNoIdentity)
	other.is(ana, "")
	silent.is(ana, "")
	w.login = first
	w.pass(16 * time.Second)
	copied.is("", access.CodeNoIdentity)
	other.is(ana, "")
	for id, until := range kept.ended {
		if strings.Contains(id, "session-1") || until.Before(w.now().Add(7*time.Hour)) {
			t.Errorf("%s until %s", id, until)
		}
	}
	// Whoever logs in again is in.
	one.logInAs("session-3")
	one.is(ana, "")
}

func TestBadLogoutTokens(t *testing.T) {
	kept := &memory{ended: map[string]time.Time{}}
	w := newWorld(t, func(c *login.Config) { c.Sessions = kept })
	b := w.browser()
	b.logInAs("session-1")
	set := func(name string, value any) func(jwt.MapClaims) {
		return func(c jwt.MapClaims) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
	}
	for name, change := range map[string]func(jwt.MapClaims){
		"another issuer":              set("iss", "https://evil.example.com"),
		"another client":              set("aud", "other"),
		"nobody":                      set("aud", nil),
		"over":                        func(c jwt.MapClaims) { c["exp"] = w.now().Add(-31 * time.Second).Unix() },
		"without an end":              set("exp", nil),
		"without a time":              set("iat", nil),
		"of the future":               func(c jwt.MapClaims) { c["iat"] = w.now().Add(31 * time.Second).Unix() },
		"of long ago":                 func(c jwt.MapClaims) { c["iat"] = w.now().Add(-11 * time.Minute).Unix() },
		"no event":                    set("events", nil),
		"another event":               set("events", map[string]any{"http://schemas.openid.net/event/other": map[string]any{}}),
		"an event that is no object":  set("events", map[string]any{backchannel: true}),
		"events that are a text":      set("events", backchannel),
		"a nonce":                     set("nonce", "x"),
		"an empty nonce":              set("nonce", ""),
		"no id":                       set("jti", nil),
		"an empty id":                 set("jti", ""),
		"no session":                  set("sid", nil),
		"an empty session":            set("sid", ""),
		"a session that is a number":  set("sid", 1),
		"a session of 256 characters": set("sid", strings.Repeat("x", 256)),
	} {
		err := w.login.EndElsewhere(t.Context(), w.logoutToken(change))
		if err == nil || access.AsError(err).Kind != access.Invalid || len(kept.ended) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	token := w.logoutToken(nil)
	for name, text := range map[string]string{"nothing": "", "not a token": "x", "cut": token[:len(token)-4], "unsigned": token[:strings.LastIndex(token, ".")+1],
		"long": strings.Repeat("x", 65<<10)} {
		w.pass(11 * time.Second) // the keys may be asked for again
		if err := w.login.EndElsewhere(t.Context(), text); err == nil || access.AsError(err).Kind != access.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.provider.method, w.provider.signer = jwt.SigningMethodHS256, key("shared")
	if err := w.login.EndElsewhere(t.Context(), w.logoutToken(nil)); err == nil || access.AsError(err).Kind != access.Invalid {
		t.Errorf("signed with a shared key: %v", err)
	}
	w.provider.method, w.provider.signer = jwt.SigningMethodES256, strangersKey()
	if err := w.login.EndElsewhere(t.Context(), w.logoutToken(nil)); err == nil || len(kept.ended) > 0 {
		t.Errorf("signed by a stranger: %v", err)
	}
	b.is(ana, "")
}

// An ID token, which browsers see, ends nothing.
func TestAnIDTokenIsNoLogoutToken(t *testing.T) {
	w := newWorld(t, func(c *login.Config) { c.Sessions = &memory{ended: map[string]time.Time{}} })
	b := w.browser()
	b.logInAs("session-1")
	if err := w.login.EndElsewhere(t.Context(), w.provider.sign()); err == nil || access.AsError(err).Kind != access.Invalid {
		t.Error(err)
	}
	b.is(ana, "")
}

// Whoever sends tokens with keys that nobody has does not make the service ask the provider for
// each, and does not keep out what is signed with a key that is known.
func TestAFloodOfLogoutTokensIsNoFloodForTheProvider(t *testing.T) {
	kept := &memory{ended: map[string]time.Time{}}
	w := newWorld(t, func(c *login.Config) { c.Sessions = kept })
	forged := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": w.provider.URL, "aud": client, "exp": w.now().Add(time.Minute).Unix()})
	forged.Header["kid"] = "nobody's"
	text, err := forged.SignedString(strangersKey())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := w.login.EndElsewhere(t.Context(), text); err == nil {
			t.Fatal("it holds")
		}
	}
	if n := w.provider.calls["/jwks"]; n > 2 {
		t.Errorf("the keys were asked for %d times", n)
	}
	if err := w.login.EndElsewhere(t.Context(), w.logoutToken(nil)); err != nil || len(kept.ended) != 1 {
		t.Errorf("a good one among them: %v", err)
	}
	w.pass(11 * time.Second)
	asked := w.provider.calls["/jwks"]
	// Until go-oidc has put its last call away, who comes is answered as that was.
	for range 100_000 {
		if _ = w.login.EndElsewhere(t.Context(), text); w.provider.calls["/jwks"] > asked {
			break
		}
		runtime.Gosched()
	}
	if w.provider.calls["/jwks"] != asked+1 {
		t.Error("a new key is never looked for")
	}
}

// What cannot be kept for all instances is told, so that the provider tries again; without a
// place for it the provider is told that nothing is ended.
func TestALogoutElsewhereThatCannotBeKept(t *testing.T) {
	kept := &memory{ended: map[string]time.Time{}, err: errors.New("the ledger cannot be reached")}
	w := newWorld(t, func(c *login.Config) { c.Sessions = kept })
	if err := w.login.EndElsewhere(t.Context(), w.logoutToken(nil)); err == nil || access.AsError(err).Kind != access.Unavailable {
		t.Error(err)
	}
	w.provider.down["/jwks"] = 503
	w.again(nil)
	if err := w.login.EndElsewhere(t.Context(), w.logoutToken(nil)); err == nil || access.AsError(err).Kind != access.Unavailable {
		t.Error(err)
	}
	w.again(func(c *login.Config) { c.Sessions = nil })
	if err := w.login.EndElsewhere(t.Context(), w.logoutToken(nil)); err == nil || access.AsError(err).Kind != access.NotFound {
		t.Error(err)
	}
}

// How somebody was authenticated counts as the ID token says it, and in no other place; what
// says nothing, and what cannot be read, counts for nothing.
func TestAccessLevelsOfALogin(t *testing.T) {
	for name, test := range map[string]struct {
		acr, amr any
		want     string
	}{
		"nothing":                  {nil, nil, ""},
		"a class":                  {"phr", nil, "phr"},
		"a class that is an URN":   {"urn:mace:incommon:iap:silver", nil, "urn:mace:incommon:iap:silver"},
		"a class that is worth 0":  {"0", nil, ""},
		"an empty class":           {"", nil, ""},
		"a class with a space":     {"phr phrh", nil, ""},
		"a class that is a number": {2, nil, ""},
		"classes":                  {[]string{"phr"}, nil, ""},
		"a long class":             {strings.Repeat("x", 101), nil, ""},
		"methods":                  {nil, []string{"pwd", "mfa"}, "amr:pwd amr:mfa"},
		"a class and methods":      {"2", []string{"hwk"}, "2 amr:hwk"},
		"a method that is a text":  {nil, "mfa", ""},
		"methods that are none":    {nil, []any{"mfa", 1}, ""},
		"a method with a space":    {nil, []string{"mfa x", "otp"}, "amr:otp"},
		"too many methods":         {nil, strings.Split(strings.Repeat("mfa ", 11), " "), ""},
	} {
		w := newWorld(t, nil)
		b := w.browser()
		v := b.start("/")
		for claim, value := range map[string]any{"acr": test.acr, "amr": test.amr} {
			if value != nil {
				w.provider.claims[claim] = value
			}
		}
		if _, _, err := b.finish(v, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c, err := b.who(); err != nil || strings.Join(c.AccessLevels, " ") != test.want || c.Asserted.IsZero() {
			t.Errorf("%s: %q, %v", name, c.AccessLevels, err)
		}
	}
	w := newWorld(t, func(c *login.Config) { c.AuthenticationClasses = []string{"phrh", "phr"} })
	b := w.browser()
	v := b.start("/")
	if !strings.Contains(v.address, "acr_values=phrh+phr") {
		t.Errorf("it does not ask for them: %s", v.address)
	}
	delete(w.provider.claims, "email")
	w.provider.userinfo = map[string]any{"sub": "1234", "email": ana, "email_verified": true, "acr": "phrh", "amr": []string{"mfa"}, "sid": "x"}
	if _, _, err := b.finish(v, nil); err != nil {
		t.Fatal(err)
	}
	if c, _ := b.who(); len(c.AccessLevels) > 0 {
		t.Errorf("the UserInfo endpoint says how somebody was authenticated: %v", c.AccessLevels)
	}
}
