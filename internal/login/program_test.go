package login_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/login"
)

const (
	here     = "http://127.0.0.1:49152/path"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// lets has Ana let a program act in her name.
func (b *browser) lets() (code string) {
	b.w.t.Helper()
	code, err := b.w.login.ProgramCode(b.request("/oidc/program"), challengeOf(verifier), here)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return code
}

// token is that of a program of Ana's.
func (b *browser) token() string {
	b.w.t.Helper()
	token, c, ends, err := b.w.login.ProgramToken(b.w.t.Context(), b.lets(), verifier, here)
	if err != nil || c.Principal != ana || !ends.Equal(b.w.login.SessionEnds(b.request("/"))) {
		b.w.t.Fatal(c, ends, err)
	}
	return token
}

// program is whom a request of a program is taken for.
func (w *world) program(authorization ...string) (access.Caller, error) {
	r := httptest.NewRequest("GET", "/api/projects", nil)
	for _, one := range authorization {
		r.Header.Add("Authorization", one)
	}
	return w.login.IdentifyScript(r)
}

func (w *world) programIs(token string, want access.Principal, code access.Code) {
	w.t.Helper()
	c, err := w.program("Bearer " + token)
	if c.Principal != want || code == "" && err != nil || code != "" && (err == nil || access.AsError(err).Code != code) {
		w.t.Errorf("it is %q, %v; want %q, %s", c.Principal, err, want, code)
	}
}

// A program's token is somebody's session under another name: it says who they are, how and when they were
// authenticated, and that it is a program's.
func TestAProgramGetsAToken(t *testing.T) {
	w := newWorld(t, func(c *login.Config) { c.GroupsClaim = "groups" })
	b := w.browser()
	v := b.start("/")
	w.provider.claims["groups"], w.provider.claims["amr"] = []string{"of-ana"}, []string{"mfa"}
	if _, _, err := b.finish(v, nil); err != nil {
		t.Fatal(err)
	}
	her, _ := b.who()
	c, err := w.program("Bearer " + b.token())
	if err != nil || c.Method != login.MethodOfPrograms || len(c.Claims) != 1 || len(c.AccessLevels) != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	if c.Method = her.Method; c.Principal != her.Principal || c.Subject != her.Subject || !c.Asserted.Equal(her.Asserted) || c.Claims[0] != her.Claims[0] {
		t.Errorf("%+v, not %+v", c, her)
	}
	// Who shows no token is who the cookie says, and a token counts before a cookie.
	r := b.request("/api/projects")
	if c, err := w.login.IdentifyScript(r); err != nil || c.Principal != ana || c.Method != login.Method {
		t.Errorf("%+v, %v", c, err)
	}
	r.Header.Set("Authorization", "Basic Zm9yIGFub3RoZXIgc2VydmVy")
	if c, err := w.login.IdentifyScript(r); err != nil || c.Principal != ana {
		t.Errorf("%+v, %v", c, err)
	}
	r.Header.Set("Authorization", "Bearer nonsense")
	if c, err := w.login.IdentifyScript(r); err == nil {
		t.Errorf("%+v", c)
	}
}

// A code is good once, for a minute, for whoever knows the verifier, and for where it was to be brought.
func TestBadCodes(t *testing.T) {
	for _, test := range []struct {
		name string
		// change makes another code, verifier or place of those that are good.
		change func(w *world, code, verifier, redirect *string)
		want   access.Code
	}{
		{"good", func(*world, *string, *string, *string) {}, ""},
		{"after most of a minute", func(w *world, _, _, _ *string) { w.pass(time.Minute) }, ""},
		{"of an instance whose clock is ahead", func(w *world, _, _, _ *string) { w.pass(-20 * time.Second) }, ""},
		{"late", func(w *world, _, _, _ *string) { w.pass(time.Minute + time.Second) }, access.CodeBadInput},
		{"from the future", func(w *world, _, _, _ *string) { w.pass(-40 * time.Second) }, access.CodeBadInput},
		{"another's verifier", func(_ *world, _, v, _ *string) { *v = strings.Repeat("v", 43) }, access.CodeBadInput},
		{"no verifier", func(_ *world, _, v, _ *string) { *v = "" }, access.CodeBadInput},
		{"the challenge as verifier", func(_ *world, _, v, _ *string) { *v = challengeOf(*v) }, access.CodeBadInput},
		{"another port", func(_ *world, _, _, r *string) { *r = "http://127.0.0.1:49153/path" }, access.CodeBadInput},
		{"nowhere", func(_ *world, _, _, r *string) { *r = "" }, access.CodeBadInput},
		{"changed", func(_ *world, c, _, _ *string) { *c = (*c)[:len(*c)-8] + "AAAAAAAA" }, access.CodeBadInput},
		{"nothing", func(_ *world, c, _, _ *string) { *c = "" }, access.CodeBadInput},
		{"with another key", func(w *world, _, _, _ *string) { w.again(func(c *login.Config) { c.Keys = [][]byte{key("b")} }) }, access.CodeBadInput},
		{"with the key before", func(w *world, _, _, _ *string) {
			w.again(func(c *login.Config) { c.Keys = [][]byte{key("b"), key("a")} })
		}, ""},
		{"of another client", func(w *world, _, _, _ *string) { w.again(func(c *login.Config) { c.ClientID = "other" }) }, access.CodeBadInput},
	} {
		w := newWorld(t, nil)
		b := w.browser()
		b.logIn()
		code, v, redirect := b.lets(), verifier, here
		test.change(w, &code, &v, &redirect)
		token, c, _, err := w.login.ProgramToken(t.Context(), code, v, redirect)
		if got := codeOf(err); got != test.want || (token != "") != (test.want == "") || (c.Principal != "") != (test.want == "") {
			t.Errorf("%s: %q, %v, %v", test.name, token, c.Principal, err)
		}
		if err != nil && (strings.Contains(err.Error(), v) && v != "" || len(code) > 9 && strings.Contains(err.Error(), code)) {
			t.Errorf("%s: the error has what is secret: %v", test.name, err)
		}
	}
}

func codeOf(err error) access.Code {
	if err == nil {
		return ""
	}
	return access.AsError(err).Code
}

// A cookie, a code and a token are each good for what they are.
func TestNothingIsTakenForAnother(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.logIn()
	token, code, cookie := b.token(), b.lets(), b.cookies["__Host-session"]
	begun := w.browser()
	begun.start("/")
	w.programIs(token, ana, "")
	for _, other := range []string{code, cookie, begun.cookies[nameIn(begun)], "", "out", token + "A", token[:len(token)-2]} {
		w.programIs(other, "", access.CodeBadIdentity)
	}
	for _, headers := range [][]string{{"Bearer " + token, "Bearer " + token}, {"Basic x", "Bearer " + token}, {"Bearer"}, {"Bearer  " + token}, {"bearer " + token + " x"}} {
		if c, err := w.program(headers...); err == nil {
			t.Errorf("%q: %+v", headers, c)
		}
	}
	if c, err := w.program("bearer " + token); err != nil || c.Principal != ana { // schemes are of any case
		t.Errorf("%v, %v", c, err)
	}
	for _, name := range []string{"__Host-session", "session", "__Host-program token", "__Host-program%20token", "program token"} {
		for _, value := range []string{token, code} {
			thief := w.browser()
			thief.cookies[name] = value
			if c, err := thief.who(); err == nil {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
	for _, other := range []string{token, cookie} {
		if _, _, _, err := w.login.ProgramToken(t.Context(), other, verifier, here); codeOf(err) != access.CodeBadInput {
			t.Errorf("%v", err)
		}
	}
	// A token is no way to another: a code is for who is in by the cookie.
	r := httptest.NewRequest("POST", "/oidc/program", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	if code, err := w.login.ProgramCode(r, challengeOf(verifier), here); err == nil || code != "" || !w.login.SessionEnds(r).IsZero() {
		t.Errorf("%q, %v", code, err)
	}
	if c, err := w.login.Identify(r); err == nil {
		t.Errorf("a page of %v", c)
	}
}

func nameIn(b *browser) string {
	for name := range b.cookies {
		if strings.Contains(name, "login-") {
			return name
		}
	}
	b.w.t.Fatal("no log-in was begun")
	return ""
}

// Of all who redeem a code, on whatever instance, one gets a token.
func TestACodeIsRedeemedOnce(t *testing.T) {
	kept := &memory{ended: map[string]time.Time{}}
	w := newWorld(t, func(c *login.Config) { c.Sessions = kept })
	b := w.browser()
	b.logIn()
	one := w.login
	w.again(nil)
	for range 20 {
		code := b.lets()
		var got atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				on := []*login.Login{one, w.login}[i%2]
				if token, _, _, err := on.ProgramToken(t.Context(), code, verifier, here); err == nil && token != "" {
					got.Add(1)
				} else if codeOf(err) != access.CodeBadInput {
					t.Errorf("%v", err)
				}
			})
		}
		all.Wait()
		if got.Load() != 1 {
			t.Errorf("%d tokens", got.Load())
		}
	}
	// A wrong verifier uses nothing up.
	code := b.lets()
	if _, _, _, err := w.login.ProgramToken(t.Context(), code, "another", here); err == nil {
		t.Error("a token without the verifier")
	}
	if _, _, _, err := w.login.ProgramToken(t.Context(), code, verifier, here); err != nil {
		t.Error(err)
	}
	// What cannot be kept is not redeemed.
	code, kept.err = b.lets(), errors.New("no database")
	if token, _, _, err := w.login.ProgramToken(t.Context(), code, verifier, here); token != "" || codeOf(err) != access.CodeLedgerUnavailable {
		t.Errorf("%q, %v", token, err)
	}
	// Without a memory each instance knows for itself.
	w.again(func(c *login.Config) { c.Sessions = nil })
	code = b.lets()
	for i := range 2 {
		if _, _, _, err := w.login.ProgramToken(t.Context(), code, verifier, here); (err == nil) != (i == 0) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// A token is over when the session is, by whatever ends that, and so is a code.
func TestATokenEndsWithTheSession(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(w *world, b *browser)
		want access.Code
	}{
		"in time":  {func(w *world, _ *browser) { w.pass(8*time.Hour - time.Second) }, ""},
		"its time": {func(w *world, _ *browser) { w.pass(8 * time.Hour) }, access.CodeNoIdentity},
		"what is set now": {func(w *world, _ *browser) {
			w.again(func(c *login.Config) { c.MaxAge = time.Second })
			w.pass(time.Second)
		}, access.CodeNoIdentity},
		"logging out": {func(_ *world, b *browser) { b.logOut() }, access.CodeNoIdentity},
		"on another instance": {func(w *world, b *browser) {
			here := w.login
			w.again(nil)
			b.logOut()
			w.login = here
			w.pass(16 * time.Second)
		}, access.CodeNoIdentity},
		"at the provider":       {func(w *world, _ *browser) { _ = w.login.EndElsewhere(w.t.Context(), w.logoutToken(nil)) }, access.CodeNoIdentity},
		"another's logging out": {func(w *world, _ *browser) { other := w.browser(); other.logInAs("session-2"); other.logOut() }, ""},
		"a key taken away":      {func(w *world, _ *browser) { w.again(func(c *login.Config) { c.Keys = [][]byte{key("b")} }) }, access.CodeBadIdentity},
		"a clock that is wrong": {func(w *world, _ *browser) { w.pass(-time.Hour) }, access.CodeBadIdentity},
	} {
		w := newWorld(t, func(c *login.Config) { c.Sessions = &memory{ended: map[string]time.Time{}} })
		b := w.browser()
		b.logInAs("session-1")
		token, code := b.token(), b.lets()
		test.end(w, b)
		want := access.Principal(ana)
		if test.want != "" {
			want = ""
		}
		w.programIs(token, want, test.want)
		if t.Failed() {
			t.Fatal(name)
		}
		if _, _, _, err := w.login.ProgramToken(t.Context(), code, verifier, here); test.want != "" && err == nil {
			t.Errorf("%s: a code outlives it", name)
		}
	}
}

// ends has the program of a token log out, as a request that shows it and these cookies.
func (b *browser) ends(token string) (everywhere bool, ends time.Time, err error) {
	r := b.request("/oidc/program/logout")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return b.w.login.EndProgram(r)
}

// A program ends the session that its token is of: for itself, for the browser, and for all who have the same; once.
func TestAProgramEndsItsSession(t *testing.T) {
	kept := &memory{ended: map[string]time.Time{}}
	var warned []error
	w := newWorld(t, func(c *login.Config) {
		c.Sessions, c.Warn = kept, func(err error) { warned = append(warned, err) }
	})
	b, nobody := w.browser(), w.browser()
	b.logIn()
	token, code, over := b.token(), b.lets(), w.login.SessionEnds(b.request("/"))
	other := w.browser()
	other.logIn()
	others := other.token()

	everywhere, ends, err := nobody.ends(token)
	if err != nil || !everywhere || !ends.Equal(over) {
		t.Fatal(everywhere, ends, err)
	}
	w.programIs(token, "", access.CodeNoIdentity)
	b.is("", access.CodeNoIdentity)
	if _, _, _, err := w.login.ProgramToken(t.Context(), code, verifier, here); codeOf(err) != access.CodeNoIdentity {
		t.Errorf("a code of a session that was ended: %v", err)
	}
	w.programIs(others, ana, "") // another session of the same person goes on
	other.is(ana, "")
	if _, _, err := nobody.ends(token); codeOf(err) != access.CodeNoIdentity {
		t.Errorf("twice: %v", err)
	}
	w.again(nil) // another instance
	w.programIs(token, "", access.CodeNoIdentity)
	b.is("", access.CodeNoIdentity)

	// While the database is out of reach, and without one, this instance alone knows.
	for name, keep := range map[string]func(*login.Config){
		"the database is out of reach": func(c *login.Config) {
			c.Sessions = &memory{ended: map[string]time.Time{}, err: errors.New("no database")}
		},
		"there is none": func(c *login.Config) { c.Sessions = nil },
	} {
		w.again(func(c *login.Config) { c.Sessions = kept })
		b.logIn()
		token, over = b.token(), w.login.SessionEnds(b.request("/"))
		w.again(keep)
		warned = nil
		if everywhere, ends, err := nobody.ends(token); err != nil || everywhere || !ends.Equal(over) {
			t.Errorf("%s: %v, %v, %v", name, everywhere, ends, err)
		}
		w.programIs(token, "", access.CodeNoIdentity)
		b.is("", access.CodeNoIdentity)
		told := slices.ContainsFunc(warned, func(err error) bool { return strings.Contains(err.Error(), "on this instance alone") })
		if told != (name != "there is none") {
			t.Errorf("%s: %v", name, warned)
		}
		w.again(keep)
		w.programIs(token, ana, "")
	}
}

// Nothing but a token that holds ends a session there, and none but its own.
// Without a database so many are kept in mind at a time. Of what is not nobody says that it is over.
func TestAProgramIsNotToldOfAnEndThatIsNotKept(t *testing.T) {
	w := newWorld(t, func(c *login.Config) { c.Sessions = nil })
	b := w.browser()
	b.logIn()
	token := b.token()
	for range 9_999 { // and the code of that token
		if _, _, _, err := w.login.ProgramToken(t.Context(), b.lets(), verifier, here); err != nil {
			t.Fatal(err)
		}
	}
	if everywhere, _, err := w.browser().ends(token); err == nil || codeOf(err) == access.CodeNoIdentity {
		t.Errorf("%v, %v", everywhere, err)
	}
	w.programIs(token, ana, "")
	w.mu.Lock()
	w.at = w.at.Add(time.Hour)
	w.mu.Unlock()
	if _, _, err := w.browser().ends(token); err != nil {
		t.Error(err)
	}
	w.programIs(token, "", access.CodeNoIdentity)
}

func TestWhatEndsNoSessionOfAProgram(t *testing.T) {
	for _, test := range []struct {
		name  string
		token func(w *world, b *browser) string
		want  access.Code
	}{
		{"a cookie in place of a token", func(*world, *browser) string { return "" }, access.CodeNoIdentity},
		{"the cookie as a token", func(_ *world, b *browser) string { return b.cookies["__Host-session"] }, access.CodeBadIdentity},
		{"a code", func(_ *world, b *browser) string { return b.lets() }, access.CodeBadIdentity},
		{"nonsense", func(*world, *browser) string { return "nonsense" }, access.CodeBadIdentity},
		{"a token that was changed", func(_ *world, b *browser) string { return b.token() + "A" }, access.CodeBadIdentity},
		{"of a session of before", func(w *world, b *browser) string {
			before := w.browser()
			before.logIn()
			token := before.token()
			w.pass(8 * time.Hour)
			b.logIn()
			return token
		}, access.CodeNoIdentity},
		{"of a key that was taken away", func(w *world, b *browser) string {
			token := b.token()
			w.again(func(c *login.Config) { c.Keys = [][]byte{key("b")} })
			b.logIn()
			return token
		}, access.CodeBadIdentity},
		{"another's token", func(w *world, _ *browser) string {
			other := w.browser()
			other.logInAs("session-2")
			return other.token()
		}, ""},
	} {
		kept := &memory{ended: map[string]time.Time{}}
		w := newWorld(t, func(c *login.Config) { c.Sessions = kept })
		b := w.browser()
		b.logIn()
		token := test.token(w, b)
		clear(kept.ended)
		if everywhere, ends, err := b.ends(token); codeOf(err) != test.want || (err == nil) != everywhere || ends.IsZero() != (err != nil) {
			t.Errorf("%s: %v, %v, %v", test.name, everywhere, ends, err)
		}
		if b.is(ana, ""); t.Failed() {
			t.Fatal(test.name)
		}
		if want := map[bool]int{true: 1}[test.want == ""]; len(kept.ended) != want {
			t.Errorf("%s: %v are ended", test.name, kept.ended)
		}
	}
	// Nor a token beside another.
	w := newWorld(t, nil)
	b := w.browser()
	b.logIn()
	token := b.token()
	r := httptest.NewRequest("POST", "/oidc/program/logout", nil)
	r.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + token}
	if _, _, err := w.login.EndProgram(r); codeOf(err) != access.CodeBadIdentity {
		t.Errorf("two tokens: %v", err)
	}
	w.programIs(token, ana, "")
}
