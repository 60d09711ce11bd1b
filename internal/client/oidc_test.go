package client_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"jitaccess/internal/client"
)

// ownLogin is a service that signs people in itself. A code stands for one challenge and place, and asked is what
// was asked of its page last.
type ownLogin struct {
	*httptest.Server
	asked    url.Values
	redeemed int
}

func newOwnLogin(t *testing.T) *ownLogin {
	o := &ownLogin{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := func(status int, v any) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(v)
		}
		switch r.URL.Path {
		case "/oidc/program/token":
			var said struct{ Code, Verifier, RedirectURI string }
			_ = json.NewDecoder(r.Body).Decode(&said)
			sum := sha256.Sum256([]byte(said.Verifier))
			if said.Verifier == o.asked.Get("state") || strings.Contains(said.RedirectURI, said.Verifier) || said.Code != "good" || r.Header.Get("X-JITACCESS") != "1" || r.Header.Get("Authorization") != "" || o.redeemed > 0 ||
				said.RedirectURI != o.asked.Get("redirect_uri") || base64.RawURLEncoding.EncodeToString(sum[:]) != o.asked.Get("code_challenge") {
				answer(400, map[string]string{"message": "The code does not hold.", "code": "bad-input"})
				return
			}
			o.redeemed++
			answer(200, map[string]string{"token": "of-ana", "expires": "2030-01-02T03:04:05Z"})
		case "/api/policy":
			if r.Header.Get("Authorization") == "Bearer of-ana" {
				answer(200, map[string]any{"signedInUser": map[string]string{"email": "ana@example.com"}})
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="jitaccess"`)
			answer(401, map[string]string{"message": "You are not signed in.", "code": "no-identity"})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(o.Close)
	return o
}

// browser is one whose user lets the program; change is what the way back has of what was asked for.
func (o *ownLogin) browser(t *testing.T, change func(url.Values), before func(to string)) func(context.Context, string, string) error {
	return func(ctx context.Context, address, letters string) error {
		u, err := url.Parse(address)
		if err != nil || u.Scheme+"://"+u.Host != o.URL || u.Path != "/oidc/program" {
			t.Errorf("it leads to %s", address)
			return err
		}
		o.asked = u.Query()
		to := o.asked.Get("redirect_uri")
		if !regexp.MustCompile(`^http://127\.0\.0\.1:[0-9]+/[A-Za-z0-9_-]{43}$`).MatchString(to) || len(o.asked.Get("state")) != 43 ||
			o.asked.Get("code_challenge_method") != "S256" || letters != o.asked.Get("code_challenge")[:8] {
			t.Errorf("%v %s", o.asked, letters)
		}
		if before != nil {
			before(to)
		}
		back := url.Values{"code": {"good"}, "state": {o.asked.Get("state")}, "iss": {o.URL}}
		if change != nil {
			change(back)
		}
		answer, err := http.Get(to + "?" + back.Encode())
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		_, err = io.ReadAll(answer.Body)
		return err
	}
}

// A service that signs people in itself is found by what it says, and gives a token to this program alone.
func TestSigningInAtTheServiceItself(t *testing.T) {
	o := newOwnLogin(t)
	signed, err := client.SignIn{Origin: client.Origin(o.URL), Browse: o.browser(t, nil, nil), Random: rand.Reader}.Do(t.Context())
	if err != nil || signed.Person != "ana@example.com" || signed.Token.Front != client.OwnLogin || signed.Token.Value != "of-ana" ||
		signed.Token.Origin != client.Origin(o.URL) || signed.Token.Expires.Year() != 2030 || signed.Token.ByProxy() {
		t.Errorf("%+v, %v", signed, err)
	}
	first := o.asked
	o.redeemed = 0
	if _, err := (client.SignIn{Origin: client.Origin(o.URL), Browse: o.browser(t, nil, nil), Random: rand.Reader}).Do(t.Context()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"redirect_uri", "state", "code_challenge"} {
		if first.Get(name) == o.asked.Get(name) {
			t.Errorf("%s is the same twice", name)
		}
	}
}

// What is not the answer to this log-in logs nobody in.
func TestBadAnswersOfALogin(t *testing.T) {
	for _, test := range []struct {
		name, says string
		change     func(url.Values)
	}{
		{"of another log-in, as of whoever knows where it listens", "another log-in", func(q url.Values) { q.Set("state", strings.Repeat("s", 43)) }},
		{"without a state", "another log-in", func(q url.Values) { q.Del("state") }},
		{"of another service, to which this one has led on", `"https://access.example.com" has let this program`, func(q url.Values) { q.Set("iss", "https://access.example.com") }},
		{"of a service that does not say which it is", "does not say which service has let this program", func(q url.Values) { q.Del("iss") }},
		{"with somebody else's code", "does not hold", func(q url.Values) { q.Set("code", "theirs") }},
		{"without a code", "does not hold", func(q url.Values) { q.Del("code") }},
	} {
		o := newOwnLogin(t)
		signed, err := client.SignIn{Origin: client.Origin(o.URL), Browse: o.browser(t, test.change, nil), Random: rand.Reader}.Do(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.says) || signed.Token.Value != "" || o.redeemed != 0 {
			t.Errorf("%s: %+v, %v", test.name, signed, err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	if _, err := (client.SignIn{Origin: client.Origin(newOwnLogin(t).URL), Random: rand.Reader,
		Browse: func(context.Context, string, string) error { stop(); return nil }}).Do(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody logs in: %v", err)
	}
	if _, err := (client.SignIn{Origin: client.Origin(newOwnLogin(t).URL), Random: strings.NewReader(""),
		Browse: func(context.Context, string, string) error { t.Error("with what can be guessed"); return nil }}).Do(t.Context()); err == nil {
		t.Error("a log-in without randomness")
	}
}

// Where the program listens only the browser of this log-in is heard, and once.
func TestWhoIsHeardAtTheEndOfALogin(t *testing.T) {
	o := newOwnLogin(t)
	var bound string
	before := func(to string) {
		u, _ := url.Parse(to)
		bound = u.Host
		get := func(method, address, host string) int {
			r, err := http.NewRequest(method, address, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			return answer.StatusCode
		}
		theirs := "?code=theirs&state=theirs"
		for name, status := range map[string]int{
			"who guesses the port":         get("GET", "http://"+u.Host+"/"+theirs, u.Host),
			"who guesses a path":           get("GET", "http://"+u.Host+"/"+strings.Repeat("A", 43)+theirs, u.Host),
			"who knows the beginning":      get("GET", to[:len(to)-1]+theirs, u.Host),
			"who knows more":               get("GET", to+"/"+theirs, u.Host),
			"a form":                       get("POST", to+theirs, u.Host),
			"a page whose name leads here": get("GET", to+theirs, "evil.example.com:"+u.Port()),
			"a page whose name leads here, by a name like ours":   get("GET", to+theirs, "localhost.evil.example.com:"+u.Port()),
			"a page whose name leads here, and names no port":     get("GET", to+theirs, "evil.example.com"),
			"a page that names another port of this very machine": get("GET", to+theirs, "127.0.0.1:1"),
		} {
			if status != http.StatusNotFound {
				t.Errorf("%s is heard: %d", name, status)
			}
		}
	}
	after := ""
	browse := o.browser(t, nil, before)
	signed, err := client.SignIn{Origin: client.Origin(o.URL), Random: rand.Reader, Browse: func(ctx context.Context, address, letters string) error {
		if err := browse(ctx, address, letters); err != nil {
			return err
		}
		answer, err := http.Get(o.asked.Get("redirect_uri") + "?code=theirs&state=" + o.asked.Get("state"))
		if err == nil {
			answer.Body.Close()
			after = answer.Status
		}
		return err
	}}.Do(t.Context())
	if err != nil || signed.Person != "ana@example.com" || !strings.HasPrefix(after, "410") {
		t.Errorf("%+v, %v; a second is answered %s", signed, err, after)
	}
	if c, err := net.Dial("tcp", bound); err == nil {
		c.Close()
		t.Error("it goes on listening")
	}
}

// What is said of the end of a session is what the service says.
func TestLoggingOutAtTheServiceItself(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		status       int
		everywhere   bool
		over, failed bool
	}{
		{"on all instances", `{"everywhere":true,"expires":"2030-01-02T03:04:05Z"}`, 200, true, false, false},
		{"on one", `{"everywhere":false,"expires":"2030-01-02T03:04:05Z"}`, 200, false, false, false},
		{"over before", `{"message":"You are not signed in.","code":"no-identity"}`, 401, false, true, true},
		{"a token of nobody's", `{"message":"It cannot be verified.","code":"bad-identity"}`, 401, false, false, true},
		{"not there", `{"message":"Nothing is here.","code":"no-identity"}`, 404, false, false, true},
		{"by a proxy", ``, 401, false, false, true},
	} {
		asked := ""
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization") + " " + r.Header.Get("X-JITACCESS")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.answer)
		}))
		origin := client.Origin(s.URL)
		service := client.Service{Origin: origin, Token: client.Token{Origin: origin, Front: client.OwnLogin, Value: "of-ana"}}
		everywhere, expires, err := service.LogOut(t.Context())
		if asked != "POST /oidc/program/logout Bearer of-ana 1" || everywhere != test.everywhere || (err != nil) != test.failed ||
			errors.Is(err, client.ErrOver) != test.over || (expires.Year() == 2030) != (err == nil) {
			t.Errorf("%s: %s: %v, %v, %v", test.name, asked, everywhere, expires, err)
		}
		s.Close()
	}
}
