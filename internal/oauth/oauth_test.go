package oauth_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/oauth"
)

// endpoint is a token endpoint that answers what the test says, and remembers what
// it was asked.
type endpoint struct {
	t   *testing.T
	url string
	*http.Client

	mutex sync.Mutex
	asked []question
	// answer replies; the default is a token of an hour with a number.
	answer func(w http.ResponseWriter, q question)
	now    time.Time
}

// question is one that the endpoint was asked.
type question struct {
	url.Values
	id, secret string
}

func newEndpoint(t *testing.T, answer func(w http.ResponseWriter, q question)) *endpoint {
	e := &endpoint{t: t, answer: answer, now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Method != "POST" {
			t.Errorf("%s %v", r.Method, err)
		}
		q := question{Values: r.PostForm}
		q.id, q.secret, _ = r.BasicAuth()
		q.id, _ = url.QueryUnescape(q.id)
		q.secret, _ = url.QueryUnescape(q.secret)
		e.mutex.Lock()
		e.asked = append(e.asked, q)
		answer, n := e.answer, len(e.asked)
		e.mutex.Unlock()
		if answer == nil {
			issue(w, map[string]any{"access_token": fmt.Sprint("token", n), "token_type": "Bearer", "expires_in": 3600})
			return
		}
		answer(w, q)
	}))
	t.Cleanup(server.Close)
	e.url, e.Client = server.URL, server.Client()
	return e
}

// count is how often the endpoint has been asked.
func (e *endpoint) count() int {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	return len(e.asked)
}

func (e *endpoint) answers(answer func(w http.ResponseWriter, q question)) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.answer = answer
}

// pass lets time pass for the source.
func (e *endpoint) pass(d time.Duration) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.now = e.now.Add(d)
}

// config is of an application that logs in as itself.
func (e *endpoint) config() oauth.Config {
	return oauth.Config{
		TokenURL: e.url + "/token", Scope: "mail", Mailbox: "jit@example.com",
		ClientID: "app", ClientSecret: constant("CANARYsecret"), Transport: e.Client.Transport,
		Now:  func() time.Time { e.mutex.Lock(); defer e.mutex.Unlock(); return e.now },
		Warn: func(text string) { e.t.Errorf("warned: %s", text) },
	}
}

func constant(text string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return text, nil }
}

func newSource(t *testing.T, c oauth.Config) *oauth.Source {
	t.Helper()
	s, err := oauth.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func issue(w http.ResponseWriter, answer map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}

func refuse(w http.ResponseWriter, status int, code, description string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": code, "error_description": description, "error_codes": []int{7000215}})
}

func wantToken(t *testing.T, s *oauth.Source, refused, want string) {
	t.Helper()
	if got, err := s.Secret(t.Context(), refused); got != want || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// wantFault demands a fault that can be logged, with a code and a text.
func wantFault(t *testing.T, err error, code, says string) *oauth.Fault {
	t.Helper()
	var f *oauth.Fault
	var e *access.Error
	if !errors.As(err, &f) || !errors.As(err, &e) || e.Args["service"] == "" {
		t.Fatalf("got %v, want a fault", err)
	}
	if got, _ := f.OAuthError(); got != code || !strings.Contains(err.Error(), says) {
		t.Errorf("got %q: %v; want %q with %q", got, err, code, says)
	}
	wantSafe(t, err)
	return f
}

// Threat 17: nothing secret in an error, and no byte that could disturb a log.
func wantSafe(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if strings.Contains(text, "CANARY") || len(text) > 1000 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("not fit for a log: %.2000q", text)
	}
}

// What each flow sends.
func TestFlows(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*oauth.Config)
		id     string
		want   url.Values
	}{
		{"client credentials", func(*oauth.Config) {}, "app", url.Values{"grant_type": {"client_credentials"}, "scope": {"mail"}}},
		{"several scopes", func(c *oauth.Config) { c.Scope = " a  b " }, "app", url.Values{"grant_type": {"client_credentials"}, "scope": {"a b"}}},
		{"refresh token", func(c *oauth.Config) { c.RefreshToken, c.Scope = constant("1//refresh"), "" }, "app",
			url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"1//refresh"}}},
		{"refresh token with a scope", func(c *oauth.Config) { c.RefreshToken = constant("1//refresh") }, "app",
			url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"1//refresh"}, "scope": {"mail"}}},
		{"assertion", func(c *oauth.Config) {
			c.ClientID, c.ClientSecret = "", nil
			c.Assertion = &oauth.Assertion{Account: "jit@acme.iam.gserviceaccount.com", Sign: func(_ context.Context, payload []byte) (string, error) {
				return "signed " + string(payload), nil
			}}
		}, "", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {
			`signed {"aud":"https://oauth2.googleapis.com/token","exp":1772445590,"iat":1772441990,"iss":"jit@acme.iam.gserviceaccount.com","scope":"mail","sub":"jit@example.com"}`}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newEndpoint(t, nil)
			c := e.config()
			test.change(&c)
			wantToken(t, newSource(t, c), "", "token1")
			if got := e.asked[0]; got.Encode() != test.want.Encode() || got.id != test.id || (got.secret == "CANARYsecret") != (test.id != "") {
				t.Errorf("asked %v as %q with %q", got.Values, got.id, got.secret)
			}
		})
	}
}

// Some endpoints take the secret in a header, some among the parameters. Which, is
// found out once.
func TestTheSecretIsSentAsTheEndpointWantsIt(t *testing.T) {
	e := newEndpoint(t, func(w http.ResponseWriter, q question) {
		if q.Get("client_secret") != "CANARYsecret" {
			refuse(w, 401, "invalid_client", "no")
			return
		}
		issue(w, map[string]any{"access_token": "token", "token_type": "Bearer", "expires_in": 3600})
	})
	s := newSource(t, e.config())
	wantToken(t, s, "", "token")
	e.pass(time.Hour)
	wantToken(t, s, "", "token")
	if e.count() != 3 {
		t.Errorf("asked %d times", e.count())
	}
}

func TestATokenIsFetchedOnceAnHour(t *testing.T) {
	e := newEndpoint(t, nil)
	s := newSource(t, e.config())
	for range 54 {
		wantToken(t, s, "", "token1")
		e.pass(time.Minute)
	}
	e.pass(time.Minute)
	wantToken(t, s, "", "token2")
	if e.count() != 2 {
		t.Errorf("asked %d times in 55 minutes", e.count())
	}
}

// How long a token is kept, by what the endpoint says of it.
func TestLifeOfAToken(t *testing.T) {
	for _, test := range []struct {
		expires any
		kept    time.Duration // 0: the token is refused
		says    string
	}{
		{3600, 55 * time.Minute, ""},
		{"3600", 55 * time.Minute, ""},
		{600, 5 * time.Minute, ""},
		{60, 30 * time.Second, ""},
		{nil, 5 * time.Minute, ""},
		{31536000, 24*time.Hour - 5*time.Minute, ""},
		{99999999999, 24*time.Hour - 5*time.Minute, ""},
		{"99999999999", 24*time.Hour - 5*time.Minute, ""},
		{0, 0, "has ended already"},
		{-1, 0, "has ended already"},
		{"-3600", 0, "has ended already"},
		{-99999999999, 0, "has ended already"},
		{"-99999999999", 0, "has ended already"},
		// In nanoseconds these are more than the least number.
		{-9223372037, 0, "has ended already"},
		{"-9223372037", 0, "has ended already"},
		{math.MinInt64, 0, "has ended already"},
		{"", 0, "is no token"},
		{"soon", 0, "is no token"},
		{3600.5, 0, "is no token"},
		{[]int{3600}, 0, "is no token"},
		{true, 0, "is no token"},
	} {
		t.Run(fmt.Sprint(test.expires), func(t *testing.T) {
			e := newEndpoint(t, func(w http.ResponseWriter, _ question) {
				answer := map[string]any{"access_token": "token", "token_type": "bearer", "expires_in": test.expires}
				if test.expires == nil {
					delete(answer, "expires_in")
				}
				issue(w, answer)
			})
			s := newSource(t, e.config())
			_, err := s.Secret(t.Context(), "")
			if test.kept == 0 {
				wantFault(t, err, "", test.says)
				return
			}
			e.pass(test.kept - time.Second)
			wantToken(t, s, "", "token")
			if e.count() != 1 {
				t.Errorf("not kept for %v", test.kept)
			}
			e.pass(time.Second)
			wantToken(t, s, "", "token")
			if e.count() != 2 {
				t.Errorf("kept for longer than %v", test.kept)
			}
		})
	}
}

func TestConcurrentSendsShareOneFetch(t *testing.T) {
	e := newEndpoint(t, nil)
	s := newSource(t, e.config())
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { wantToken(t, s, "", "token1") })
	}
	all.Wait()
	// All of them are refused at once.
	e.pass(time.Minute)
	for range 50 {
		all.Go(func() { wantToken(t, s, "token1", "token2") })
	}
	all.Wait()
	if e.count() != 2 {
		t.Errorf("asked %d times", e.count())
	}
}

// Who waits for somebody else's fetch waits no longer than the own deadline; and a
// fetch that its own deadline ended says nothing about the endpoint.
func TestDeadlinesAreOnesOwn(t *testing.T) {
	reached, proceed := make(chan struct{}, 1), make(chan struct{})
	e := newEndpoint(t, func(w http.ResponseWriter, _ question) { reached <- struct{}{}; <-proceed })
	s := newSource(t, e.config())
	first, stop := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := s.Secret(first, "")
		failed <- err
	}()
	<-reached
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Secret(over, "")
	wantFault(t, err, "", "no answer in time")
	stop()
	wantFault(t, <-failed, "", "no answer in time")
	if access.AsError(err).Kind != access.TimedOut {
		t.Errorf("kind of %v", err)
	}
	close(proceed)
	e.answers(nil)
	if got, err := s.Secret(t.Context(), ""); err != nil || got == "" {
		t.Errorf("the next one got %q, %v", got, err)
	}
}

func TestARefusedTokenIsReplaced(t *testing.T) {
	e := newEndpoint(t, nil)
	s := newSource(t, e.config())
	wantToken(t, s, "", "token1")
	wantToken(t, s, "token1", "token1") // as good as new
	e.pass(9 * time.Second)
	wantToken(t, s, "token1", "token1")
	e.pass(time.Second)
	wantToken(t, s, "token1", "token2")
	wantToken(t, s, "token1", "token2") // somebody else who was late
	wantToken(t, s, "", "token2")
	if e.count() != 2 {
		t.Errorf("asked %d times", e.count())
	}
	// A token that is refused is not handed out again when there is no other.
	e.pass(time.Minute)
	e.answers(func(w http.ResponseWriter, _ question) { refuse(w, 400, "unauthorized_client", "disabled") })
	_, err := s.Secret(t.Context(), "token2")
	wantFault(t, err, "unauthorized_client", "disabled")
	_, err = s.Secret(t.Context(), "")
	wantFault(t, err, "unauthorized_client", "disabled")
}

func TestAnEndpointThatFailsIsLeftAloneForAWhile(t *testing.T) {
	e := newEndpoint(t, func(w http.ResponseWriter, _ question) { w.WriteHeader(503) })
	s := newSource(t, e.config())
	for range 20 {
		_, err := s.Secret(t.Context(), "")
		wantFault(t, err, "", "answered 503")
	}
	once := e.count()
	e.pass(5 * time.Second)
	_, err := s.Secret(t.Context(), "")
	wantFault(t, err, "", "answered 503")
	// The library asks once in each of the two ways to send a secret.
	if once != 2 || e.count() != 4 {
		t.Errorf("asked %d and %d times", once, e.count())
	}
	e.answers(nil)
	e.pass(5 * time.Second)
	wantToken(t, s, "", "token5")
}

// An outage is no trouble while the last token is good.
func TestTheLastMinutesOfATokenAreForOutages(t *testing.T) {
	e := newEndpoint(t, nil)
	s := newSource(t, e.config())
	wantToken(t, s, "", "token1")
	e.answers(func(w http.ResponseWriter, _ question) { w.WriteHeader(503) })
	e.pass(59 * time.Minute)
	wantToken(t, s, "", "token1")
	wantToken(t, s, "", "token1")
	if _, err := s.Secret(t.Context(), "token1"); err == nil {
		t.Error("a refused token was handed out again")
	}
	e.pass(time.Minute)
	if _, err := s.Secret(t.Context(), ""); err == nil {
		t.Error("a token that has ended was handed out")
	}
}

func TestFreshKeepsNothing(t *testing.T) {
	e := newEndpoint(t, nil)
	c := e.config()
	reads := 0
	c.ClientSecret = func(context.Context) (string, error) { reads++; return "CANARYsecret", nil }
	s := newSource(t, c)
	wantToken(t, s, "", "token1")
	if got, err := s.Fresh(t.Context()); got != "token2" || err != nil || reads != 2 {
		t.Errorf("got %q, %v after %d reads", got, err, reads)
	}
	wantToken(t, s, "", "token2")
	cause := errors.New("no such secret")
	c.ClientSecret = func(context.Context) (string, error) { return "", cause }
	if _, err := newSource(t, c).Fresh(t.Context()); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
}

func TestFaultsOfTheConfiguration(t *testing.T) {
	sign := &oauth.Assertion{Account: "a", Sign: func(context.Context, []byte) (string, error) { return "", nil }}
	for _, test := range []struct {
		name   string
		change func(*oauth.Config)
		says   string
	}{
		{"clear text", func(c *oauth.Config) { c.TokenURL = "http://login.example.com/token" }, "over https"},
		{"clear text that looks like loopback", func(c *oauth.Config) { c.TokenURL = "http://127.0.0.1.example.com/token" }, "over https"},
		{"another scheme", func(c *oauth.Config) { c.TokenURL = "ftp://127.0.0.1/token" }, "over https"},
		{"no URL", func(c *oauth.Config) { c.TokenURL = "" }, "token URL"},
		{"no host", func(c *oauth.Config) { c.TokenURL = "https:///token" }, "token URL"},
		{"a password in it", func(c *oauth.Config) { c.TokenURL = "https://a:CANARY@login.example.com/" }, "token URL"},
		{"control characters", func(c *oauth.Config) { c.TokenURL = "https://login.example.com/\r\n" }, "token URL"},
		{"no mailbox", func(c *oauth.Config) { c.Mailbox = "" }, "mailbox"},
		{"no application", func(c *oauth.Config) { c.ClientID = "" }, "either"},
		{"no secret", func(c *oauth.Config) { c.ClientSecret = nil }, "either"},
		{"both", func(c *oauth.Config) { c.Assertion = sign }, "either"},
	} {
		c := newEndpoint(t, nil).config()
		test.change(&c)
		if _, err := oauth.New(c); err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	for _, good := range []string{"http://127.0.0.1:1/token", "http://localhost/token", "http://[::1]:1/token", "https://login.example.com/token?v=1"} {
		c := newEndpoint(t, nil).config()
		c.TokenURL = good
		if _, err := oauth.New(c); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

// jwt is a token that says what it is for; nobody verifies its signature here.
func jwt(claims string) string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"RS256"}`) + "." + part(claims) + "." + part("signature")
}
