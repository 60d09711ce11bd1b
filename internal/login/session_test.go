package login_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/login"
)

func text(s string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return s, nil }
}

func contextThatIsOver() (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), time.Unix(0, 0))
}

func (b *browser) logOut() string {
	b.w.t.Helper()
	h := http.Header{}
	address, err := b.w.login.End(h, b.request("/"))
	if err != nil {
		b.w.t.Error(err)
	}
	b.take(h)
	return address
}

func (b *browser) copied() *browser {
	c := b.w.browser()
	for name, value := range b.cookies {
		c.cookies[name] = value
	}
	return c
}

// memory remembers which sessions were ended.
type memory struct {
	mu    sync.Mutex
	ended map[string]time.Time
	asked int
	err   error
}

func (m *memory) EndSession(_ context.Context, id string, until time.Time) (first bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ended := m.ended[id]; !ended && m.err == nil {
		m.ended[id], first = until, true
	}
	return first, m.err
}

func (m *memory) SessionEnded(_ context.Context, id string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	_, ended := m.ended[id]
	return ended, m.err
}

// A session is over eight hours after the authentication, or after what is set, and is never
// prolonged.
func TestASessionEnds(t *testing.T) {
	for name, test := range map[string]struct {
		maxAge, authenticated, want time.Duration
		silent                      bool
	}{
		"eight hours":                     {want: 8 * time.Hour},
		"more is not":                     {maxAge: 24 * time.Hour, want: 8 * time.Hour},
		"what is set":                     {maxAge: time.Hour, want: time.Hour},
		"counted from the authentication": {maxAge: time.Hour, authenticated: 20 * time.Minute, want: 40 * time.Minute},
		"which is not said":               {maxAge: time.Hour, silent: true, want: time.Hour},
	} {
		w := newWorld(t, func(c *login.Config) { c.MaxAge = test.maxAge })
		b := w.browser()
		v := b.start("/")
		w.provider.claims["auth_time"] = w.now().Add(-test.authenticated).Unix()
		if test.silent {
			delete(w.provider.claims, "auth_time")
		}
		if _, c, err := b.finish(v, nil); err != nil || c.Asserted.IsZero() != test.silent {
			t.Errorf("%s: %+v, %v", name, c, err)
			continue
		}
		w.pass(test.want - time.Second)
		b.is(ana, "")
		w.login.Renew(http.Header{}, b.request("/"))
		w.pass(time.Second)
		b.is("", access.CodeNoIdentity)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// Who is in is held to a shorter time from when it is set.
func TestASessionEndsByWhatIsSetNow(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.logIn()
	w.pass(time.Hour)
	b.is(ana, "")
	w.again(func(c *login.Config) { c.MaxAge = time.Hour })
	b.is("", access.CodeNoIdentity)
}

// The provider is asked for an authentication that is newer than what ends a session, so that
// nobody goes in a circle.
func TestTheProviderIsToldHowOldAnAuthenticationMayBe(t *testing.T) {
	for maxAge, want := range map[time.Duration]string{0: "28500", time.Hour: "3300", time.Minute: "30"} {
		w := newWorld(t, func(c *login.Config) { c.MaxAge = maxAge })
		if v := w.browser().start("/"); !strings.Contains(v.address, "max_age="+want+"&") {
			t.Errorf("%s: %s", maxAge, v.address)
		}
	}
}

// Whoever has logged out is asked who they are when they log in again, and their session is
// over in this browser. Where it was copied it is over with a memory, and on the same instance.
func TestLoggingOut(t *testing.T) {
	m := &memory{ended: map[string]time.Time{}}
	for _, sessions := range []login.Sessions{m, nil} {
		w := newWorld(t, func(c *login.Config) { c.Sessions = sessions })
		b := w.browser()
		b.logIn()
		thief := b.copied()
		thief.is(ana, "")
		if address := b.logOut(); address != w.provider.URL+"/end?client_id=jitaccess&x=1" {
			t.Errorf("address %s", address)
		}
		b.is("", access.CodeNoIdentity)
		thief.is("", access.CodeNoIdentity)
		b.logOut()
		if v := b.start("/"); !strings.Contains(v.address, "&prompt=login&") {
			t.Errorf("%s", v.address)
		}
		b.logIn()
		b.is(ana, "")
		thief.is("", access.CodeNoIdentity)
		// Another instance.
		w.again(nil)
		if sessions == nil {
			thief.is(ana, "") // the document says so
		} else {
			thief.is("", access.CodeNoIdentity)
		}
	}
	if len(m.ended) != 1 {
		t.Errorf("ended: %v", m.ended)
	}
}

// What another instance has ended is seen within a quarter of a minute, and the memory is not
// asked for each page.
func TestWhatAnotherInstanceHasEnded(t *testing.T) {
	m := &memory{ended: map[string]time.Time{}}
	w := newWorld(t, func(c *login.Config) { c.Sessions = m })
	b := w.browser()
	b.logIn()
	thief := b.copied()
	here := w.login
	for range 10 {
		thief.is(ana, "")
	}
	if m.asked != 1 {
		t.Errorf("asked %d times", m.asked)
	}
	w.again(nil)
	b.logOut()
	w.login = here
	w.pass(16 * time.Second)
	thief.is("", access.CodeNoIdentity)

	// While it cannot be asked people stay in, it says so, and each has their look at it once.
	b.logIn()
	m.err = errors.New("no database")
	m.asked = 0
	for range 10 {
		b.is(ana, "")
	}
	if m.asked != 1 || len(w.warnings) != 1 {
		t.Errorf("asked %d times, %v", m.asked, w.warnings)
	}
	h := http.Header{}
	if _, err := w.login.End(h, b.request("/")); err == nil || access.AsError(err).Code != access.CodeCopiesLast {
		t.Errorf("%v", err)
	}
	thief = b.copied()
	b.take(h)
	b.is("", access.CodeNoIdentity)
	thief.is("", access.CodeNoIdentity) // of this instance
}

// Keys are replaced while people are logged in: what an older one has sealed is good and is
// sealed anew, and what none has sealed is nobody's.
func TestKeysAreReplaced(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.logIn()
	before, err := b.who()
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	w.login.Renew(h, b.request("/"))
	if len(h) != 0 {
		t.Errorf("sealed anew for nothing: %v", h)
	}
	w.again(func(c *login.Config) { c.Keys = [][]byte{key("b"), key("a")} })
	b.is(ana, "")
	old := b.copied()
	w.login.Renew(h, b.request("/"))
	b.take(h)
	w.again(func(c *login.Config) { c.Keys = [][]byte{key("b")} })
	old.is("", access.CodeBadIdentity)
	after, err := b.who()
	if err != nil || after.Principal != before.Principal || !after.Asserted.Equal(before.Asserted) {
		t.Errorf("%+v, %v; before %+v", after, err, before)
	}
	w.pass(8 * time.Hour)
	b.is("", access.CodeNoIdentity)
}

func TestBadCookies(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.logIn()
	good := b.cookies["__Host-session"]
	for _, test := range []struct {
		name, value string
		code        access.Code
	}{
		{"cut", good[:len(good)-1], access.CodeBadIdentity},
		{"cut short", good[:5], access.CodeBadIdentity},
		{"empty", "", access.CodeBadIdentity},
		{"longer", good + "A", access.CodeBadIdentity},
		{"no Base64", strings.Repeat("!", 60), access.CodeBadIdentity},
		{"of nobody's key", "AAAA" + good[4:], access.CodeBadIdentity},
		{"in plain text", "eyJQcmluY2lwYWwiOiJhbmFAZXhhbXBsZS5jb20ifQ", access.CodeBadIdentity},
	} {
		b.cookies["__Host-session"] = test.value
		if c, err := b.who(); err == nil || c.Principal != "" || access.AsError(err).Code != test.code {
			t.Errorf("%s: %+v, %v", test.name, c, err)
		}
	}
	for i := range len(good) {
		letter := byte('A')
		if good[i] == 'A' {
			letter = 'B'
		}
		b.cookies["__Host-session"] = good[:i] + string(letter) + good[i+1:]
		if c, err := b.who(); err == nil {
			t.Fatalf("letter %d: %+v", i, c)
		}
	}
	b.cookies["__Host-session"] = good
	b.is(ana, "")
	// Two of one name are of two minds.
	r := b.request("/")
	r.AddCookie(&http.Cookie{Name: "__Host-session", Value: good})
	if _, err := w.login.Identify(r); err == nil {
		t.Error("a cookie that is there twice")
	}
	// Another name, provider or client.
	delete(b.cookies, "__Host-session")
	b.cookies["session"] = good
	b.is("", access.CodeNoIdentity)
	b.cookies["__Host-session"] = good
	for _, change := range []func(*login.Config){
		func(c *login.Config) { c.ClientID = "other" },
		func(c *login.Config) { c.ClientID, c.Issuer = client, "https://id.example.com" },
		func(c *login.Config) { c.Issuer, c.Keys = w.provider.URL, [][]byte{key("b")} },
	} {
		w.again(change)
		b.is("", access.CodeBadIdentity)
	}
}

func TestClocks(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	b.logIn()
	w.pass(-20 * time.Second) // another instance, whose clock is behind
	b.is(ana, "")
	w.pass(-20 * time.Second)
	b.is("", access.CodeBadIdentity)
	w.pass(40 * time.Second)
	// The provider's clock is ahead of ours, or behind.
	for _, seconds := range []int64{25, -320} {
		v := b.start("/")
		for _, name := range []string{"iat", "exp", "auth_time"} {
			w.provider.claims[name] = w.provider.claims[name].(int64) + seconds
		}
		if _, _, err := b.finish(v, nil); err != nil {
			t.Errorf("%d seconds: %v", seconds, err)
		}
	}
}
