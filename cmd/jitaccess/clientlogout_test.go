package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keeps puts a token into the file that login keeps it in.
func (o *operatorOfShell) keeps(mode os.FileMode, text string) {
	o.t.Helper()
	if err := os.MkdirAll(filepath.Dir(o.tokenFile()), 0o700); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(o.tokenFile(), []byte(text), mode); err != nil {
		o.t.Fatal(err)
	}
}

// Where the service signs people in itself, logout ends the session, for the browser and for what has a copy of the
// token, and nobody else's.
func TestLogoutEndsTheSession(t *testing.T) {
	w := newLoginWorld(t, false, nil)
	hers, his := w.visitor(), w.visitor()
	alices, bobs := shell(t), shell(t)
	alices.browse, bobs.browse = hers.lets(alice, nil), his.lets(bob, nil)
	alices.must("login", w.public)
	bobs.must("login", w.public)
	kept, err := os.ReadFile(alices.tokenFile())
	if err != nil {
		t.Fatal(err)
	}
	hers.visit("/requests", nil).expect(t, 200, alice)
	code, out, said := alices.types("logout")
	if code != exitOK || out != "The token for "+w.public+" is forgotten.\nIts session is over, in the browser too.\n" || said != "" {
		t.Errorf("%d %q %q", code, out, said)
	}
	if _, err := os.Stat(alices.tokenFile()); err == nil {
		t.Error("the token is kept")
	}
	if !w.logged("logged out by a program", `"user":"`+alice, `"method":"oidc-program"`) {
		t.Errorf("it is not in the log: %s", w.log)
	}
	hers.visit("/requests", nil).expect(t, 303)
	his.visit("/requests", nil).expect(t, 200, bob)
	bobs.must("roles", project)
	if out := alices.must("logout"); out != "Nobody was logged in here.\n" {
		t.Errorf("twice: %s", out)
	}

	// What has a copy of the token is nobody, on other instances too.
	for range 2 {
		alices.keeps(0o600, string(kept))
		alices.fails(exitSignedOut, "jitaccess login", "roles", project)
		if out := alices.must("logout"); !strings.HasSuffix(out, " is forgotten.\nThe service says that its session was over already.\n") {
			t.Errorf("%s", out)
		}
		w.restart(nil)
	}
	his.visit("/requests", nil).expect(t, 200, bob)

	// Without a memory the instance that was asked alone knows.
	w.restart(map[string]string{"DATABASE_URL": "", "SIGNING_KEY": ""})
	hers = w.visitor()
	alices.browse = hers.lets(alice, nil)
	alices.must("login", w.public)
	code, out, said = alices.types("logout")
	if code != exitOK || !strings.HasSuffix(out, "Its session is over, in the browser too.\n") ||
		!strings.Contains(said, "warning: where the service has other instances, they were not told: there the session lasts until ") {
		t.Errorf("%d %q %q", code, out, said)
	}
	hers.visit("/requests", nil).expect(t, 303)
}

// logout forgets the token whatever it is answered, says what is so, and sends it nowhere but to a service that has a
// session of it.
func TestWhatIsKnownAfterALogout(t *testing.T) {
	const unknown = "it is not known whether its session is over"
	answer := func(status int, media, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		}
	}
	refusal := func(status int, code string) http.HandlerFunc {
		return answer(status, "application/json", `{"message":"It is so.","code":"`+code+`","incident":"I"}`)
	}
	over := answer(200, "application/json", `{"everywhere":true,"expires":"2030-01-02T03:04:05Z"}`)
	for _, test := range []struct {
		name, front string
		mode        os.FileMode
		answers     http.HandlerFunc
		sent        int
		status      int
		says        string
	}{
		{"ended", "oidc", 0o600, over, 1, exitOK, "Its session is over, in the browser too."},
		{"ended on one instance", "oidc", 0o600, answer(200, "application/json", `{"everywhere":false,"expires":"2030-01-02T03:04:05Z"}`), 1, exitOK, "lasts until 2030-01-0"},
		{"ended, and no more is said", "oidc", 0o600, answer(200, "application/json", `{}`), 1, exitOK, "lasts until its time is over"},
		{"over already", "oidc", 0o600, refusal(401, "no-identity"), 1, exitOK, "was over already"},
		{"a token that the service does not know", "oidc", 0o600, refusal(401, "bad-identity"), 1, exitFailure, unknown + ": It is so."},
		{"an older version", "oidc", 0o600, refusal(404, "not-found"), 1, exitFailure, unknown},
		{"a service that is in trouble", "oidc", 0o600, refusal(500, "internal"), 1, exitFailure, unknown},
		{"too fast", "oidc", 0o600, refusal(429, "too-fast"), 1, exitFailure, unknown},
		{"a proxy that stands before it now", "oidc", 0o600, answer(401, "text/html", "<h1>Who are you?</h1>"), 1, exitFailure, unknown + ": what stands before"},
		{"a proxy that leads elsewhere", "oidc", 0o600, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/sign_in", http.StatusFound) }, 1, exitFailure, unknown},
		{"a page", "oidc", 0o600, answer(200, "text/html", "<h1>Welcome</h1>"), 1, exitFailure, unknown},
		{"half an answer", "oidc", 0o600, answer(200, "application/json", `{"everywhere":`), 1, exitFailure, unknown},
		{"nobody there", "oidc", 0o600, nil, 0, exitFailure, unknown},
		{"the sandbox", "sandbox", 0o600, over, 0, exitOK, "was told nothing"},
		{"Identity-Aware Proxy", "iap", 0o600, over, 0, exitOK, "was told nothing"},
		{"Pomerium", "pomerium", 0o600, over, 0, exitOK, "was told nothing"},
		{"another proxy", "bearer", 0o600, over, 0, exitOK, "was told nothing"},
		{"a file that others may have written", "oidc", 0o666, over, 0, exitFailure, "no session was ended"},
		{"a front that nobody knows", "other", 0o600, over, 0, exitFailure, "no session was ended"},
	} {
		sent, p := 0, shell(t)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if sent++; r.Method != "POST" || r.URL.Path != "/oidc/program/logout" || r.Header.Get("Authorization") != "Bearer of-alice" ||
				r.Header.Get("X-JITACCESS") != "1" {
				t.Errorf("%s: %s %s %v", test.name, r.Method, r.URL, r.Header)
			}
			if _, err := os.Stat(p.tokenFile()); err == nil {
				t.Errorf("%s: whoever interrupts it keeps the token", test.name)
			}
			test.answers(w, r)
		}))
		if test.answers == nil {
			s.Close()
		}
		p.keeps(test.mode, fmt.Sprintf(`{"origin":%q,"front":%q,"token":"of-alice"}`, s.URL, test.front))
		if err := os.Chmod(p.tokenFile(), test.mode); err != nil {
			t.Fatal(err)
		}
		code, out, said := p.types("logout")
		if code != test.status || !strings.Contains(out+said, test.says) || sent != test.sent || strings.Contains(out+said, "of-alice") {
			t.Errorf("%s: %d, sent %d: %s%s", test.name, code, sent, out, said)
		}
		if strings.Contains(out, "session") != (test.status == exitOK && test.front == "oidc") {
			t.Errorf("%s: it says of a session what nobody knows: %s", test.name, out)
		}
		if _, err := os.Stat(p.tokenFile()); err == nil {
			t.Errorf("%s: the token is kept", test.name)
		}
		s.Close()
	}
}
