package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/bearer"
	"jitaccess/internal/broker"
	"jitaccess/internal/server"
)

// asked is a broker that knows only what applications ask for: whatever they ask for is a
// request, and what becomes of it is said by a test.
type asked struct {
	mu       sync.Mutex
	requests map[string]access.Request
	// wakes are called when their request changes; waiting gets one from each who waits for it.
	wakes   map[string]map[int]func()
	woken   int
	waiting chan struct{}
	fails   error
	panics  bool
	last    broker.AskFor
	clock   time.Time
	// by are on whose account it was called.
	by []access.Principal
}

func newAsked() *asked {
	return &asked{requests: map[string]access.Request{}, wakes: map[string]map[int]func(){}, waiting: make(chan struct{}, 100), clock: noon}
}

func (a *asked) now() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.clock
}

// counts keeps on whose account it is called.
func (a *asked) counts(ctx context.Context) {
	_, by := access.PurposeOf(ctx)
	a.by = append(a.by, by)
}

func (a *asked) AskFor(ctx context.Context, c access.Caller, ask broker.AskFor) (broker.Asked, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts(ctx)
	if a.fails != nil {
		return broker.Asked{}, a.fails
	}
	if c.Application == "" || c.Application != ask.Application || c.Principal != "" || c.Method != access.MethodApplication {
		return broker.Asked{}, errors.New("nobody asks")
	}
	a.last = ask
	sent := access.Sent{Application: ask.Application, Template: ask.Template, Subject: ask.Subject, Data: ask.Data, Reason: ask.Reason,
		Minutes: ask.Minutes, Callback: ask.Callback}.Digest()
	id := access.AskedID(ask.Application, ask.Key)
	made, before := a.requests[id]
	switch {
	case before && made.Asking.Sent != sent:
		return broker.Asked{}, &access.Error{Kind: access.Conflict, Code: access.CodeKeyReused}
	case !before:
		made = access.Request{ID: id, Kind: access.Peers, Principal: ana, Resource: access.Resource("apps/" + ask.Application), Created: a.clock,
			Expires: a.clock.Add(time.Hour), Duration: 30 * time.Minute, State: access.Pending, Version: 1,
			Asking: access.Asking{Application: ask.Application, Subject: ask.Subject, Template: ask.Template, Title: "Deploy", Sent: sent,
				Metadata: map[string]string{"team": "shop"}}}
		for _, name := range slices.Sorted(maps.Keys(ask.Data)) {
			made.Asking.Data = append(made.Asking.Data, access.Datum{Name: name, Label: name, Value: ask.Data[name]})
		}
		a.requests[id] = made
	}
	return broker.Asked{Request: made, Ref: id, ReviewURL: ask.Origin + "/review?activation=" + id,
		Warnings: []*access.Error{{Kind: access.Upstream, Code: access.CodeNotDelivered, Args: access.Args{"recipient": "bob@example.com", "channel": "mail"}}}}, nil
}

func (a *asked) ForApplication(ctx context.Context, c access.Caller, id string) (access.Request, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts(ctx)
	q, ok := a.requests[id]
	switch {
	case a.panics:
		panic("a map that is nil")
	case a.fails != nil:
		return access.Request{}, a.fails
	case !ok || q.Asking.Application != c.Application:
		return access.Request{}, &access.Error{Kind: access.NotFound, Code: access.CodeBadLink}
	}
	return q, nil
}

func (a *asked) WhenChanged(id string, version int, wake func()) (leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.requests[id].Version != version {
		go wake()
		return func() {}
	}
	a.woken++
	n := a.woken
	if a.wakes[id] == nil {
		a.wakes[id] = map[int]func(){}
	}
	a.wakes[id][n] = wake
	a.waiting <- struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.wakes[id], n)
	}
}

func (a *asked) Withdraw(ctx context.Context, c access.Caller, id, _ string) (access.Request, []*access.Error, error) {
	a.counts(ctx)
	return a.becomes(id, access.Withdrawn, ""), nil, nil
}

func (a *asked) End(ctx context.Context, c access.Caller, on access.Resource, id string, of access.Principal) (broker.Ended, error) {
	a.counts(ctx)
	if a.fails != nil {
		return broker.Ended{}, a.fails
	}
	if on != "apps/"+access.Resource(c.Application) || of != ana {
		return broker.Ended{}, errors.New("another grant")
	}
	a.becomes(id, access.Ended, "")
	return broker.Ended{}, nil
}

// becomes brings a request to a state, decided by somebody where that is not empty.
func (a *asked) becomes(id string, state access.State, by access.Principal) access.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.requests[id]
	q.State, q.Version = state, q.Version+1
	if by != "" {
		verdict := access.Approve
		if state == access.Denied {
			verdict = access.Deny
		}
		q.Decisions = append(q.Decisions, access.Decision{Verdict: verdict, By: by, At: a.clock, Comment: "fine"})
	}
	if slices.Contains([]access.State{access.Approved, access.Scheduled, access.Active}, state) {
		q.Window = access.Window{Start: a.clock, End: a.clock.Add(q.Duration)}
	}
	a.requests[id] = q
	for _, wake := range a.wakes[id] {
		go wake()
	}
	delete(a.wakes, id)
	return q
}

func (a *asked) passes(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clock = a.clock.Add(d)
}

// registry is what the tests' applications are.
type registry struct{ err error }

var deployKey, otherKey = bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)

func (g registry) Applications(context.Context) ([]application.Application, error) {
	return []application.Application{
		{Name: "deployer", URI: "https://deploy.example.com", Keys: application.Known(application.Key{ID: "1", Secret: deployKey}), Active: true},
		{Name: "other", URI: "https://other.example.com", Keys: application.Known(application.Key{ID: "1", Secret: otherKey}), Active: true},
	}, g.err
}

// applications is a service with the API for applications, and what it is made of.
func applications(t testing.TB, a *asked, change func(*server.Config)) (http.Handler, *logBuffer) {
	t.Helper()
	tokens, err := bearer.NewSigner(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, newWorld(t), func(c *server.Config) {
		c.Applications = &server.Applications{Broker: a, Registry: registry{}, GitHub: &hub{}, Tokens: tokens, Waiters: 2, Now: a.now}
		c.Now = a.now
		if change != nil {
			change(c)
		}
	})
}

// claimsOf are the claims of a token that is good at that time.
func claimsOf(at time.Time, id string) jwt.MapClaims {
	return jwt.MapClaims{"iss": "https://deploy.example.com", "aud": "https://access.example.com", "sub": "ana", "jti": id, "ticket": "T-1",
		"iat": at.Unix(), "exp": at.Add(5 * time.Minute).Unix()}
}

func tokenOf(t testing.TB, key []byte, claims jwt.MapClaims) string {
	t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// program is an application that calls the service.
type program struct {
	t     testing.TB
	h     http.Handler
	token string
	more  http.Header
}

func programOf(t testing.TB, h http.Handler) program {
	return program{t: t, h: h, token: tokenOf(t, deployKey, claimsOf(noon, "1"))}
}

func (p program) send(method, path, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "access.example.com"
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for name, values := range p.more {
		r.Header[name] = values
	}
	return do(p.h, r)
}

func (p program) ask(body string) *httptest.ResponseRecorder {
	return p.send("POST", "/v1/approvals", "application/json", body)
}

// answer is an answer of the API.
type answer map[string]any

func (p program) reads(w *httptest.ResponseRecorder, status int) answer {
	p.t.Helper()
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != status {
		p.t.Fatalf("%d %s, %v", w.Code, w.Body, err)
	}
	return a
}

// refused reads a refusal, and whether it has the form that they all have.
func (p program) refused(w *httptest.ResponseRecorder, status int, code string) answer {
	p.t.Helper()
	a := p.reads(w, status)
	if a["code"] != code || a["type"] != "urn:jitaccess:problem:"+code || a["status"] != float64(status) || a["detail"] == "" || a["incident"] == "" ||
		a["title"] == "" || w.Header().Get("Content-Type") != "application/problem+json" {
		p.t.Errorf("%s %s, want %s", w.Body, w.Header(), code)
	}
	return a
}

const deploy = `{"template":"production-deploy","data":{"version":"v1","cluster":"eu"},"reason":"release","minutes":15}`

func TestAnApplicationAsksAndCollects(t *testing.T) {
	a := newAsked()
	h, log := applications(t, a, nil)
	p := programOf(t, h)
	w := p.ask(deploy)
	made := p.reads(w, http.StatusAccepted)
	id := made["id"].(string)
	if made["status"] != "pending" || made["url"] != "https://access.example.com/review?activation="+id || made["interval"] != 5.0 || made["expires"] != "2026-11-22T13:00:00Z" ||
		w.Header().Get("Location") != "/v1/approvals/"+id || made["access_token"] != nil {
		t.Errorf("%s %s", w.Body, w.Header())
	}
	if a.last.Reason != "release" || a.last.Minutes != 15 || a.last.Data["cluster"] != "eu" || a.last.Claims["ticket"] != "T-1" || a.last.Claims["iss"] != nil ||
		a.last.Subject != "ana" || a.last.Key != "jti:1" || a.last.Origin != "https://access.example.com" {
		t.Errorf("asked for %+v", a.last)
	}
	if warned := made["warnings"].([]any); len(warned) != 1 || warned[0].(map[string]any)["code"] != "not-delivered" {
		t.Error(warned)
	}
	if got := p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), 200); got["status"] != "pending" || got["window"] != nil || len(got["decisions"].([]any)) != 0 {
		t.Error(got)
	}
	// What is approved and not yet written is not yet there.
	for _, state := range []access.State{access.Approved, access.Scheduled} {
		a.becomes(id, state, "")
		if got := p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), 200); got["status"] != "pending" || got["access_token"] != nil {
			t.Error(state, got)
		}
	}
	a.becomes(id, access.Active, ben)
	a.passes(time.Minute)
	got := p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), 200)
	if got["status"] != "approved" || got["expires_in"] != 29.0*60 || got["token_type"] != "Bearer" || got["metadata"].(map[string]any)["team"] != "shop" {
		t.Error(got)
	}
	if by := got["decisions"].([]any)[0].(map[string]any); by["by"] != string(ben) || by["verdict"] != "approve" || by["at"] != "2026-11-22T12:00:00Z" || by["signed"] != false {
		t.Error(by)
	}
	claims := p.verifies(got["access_token"].(string))
	for name, want := range map[string]any{"iss": "https://access.example.com", "aud": "https://deploy.example.com", "sub": "ana", "client_id": "deployer",
		"scope": "production-deploy", "jti": id, "exp": float64(noon.Add(30 * time.Minute).Unix()), "nbf": float64(noon.Unix()), "iat": float64(noon.Add(time.Minute).Unix())} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	if said := claims["approval"].(map[string]any); said["signed"] != false || said["approvers"].([]any)[0] != string(ben) ||
		said["data_digest"] != bearer.DataDigest(map[string]string{"version": "v1", "cluster": "eu"}) {
		t.Error(said)
	}
	// Collected later it is the same window, and so it is when the request is made again.
	a.passes(4 * time.Minute)
	p.token = tokenOf(t, deployKey, claimsOf(a.now(), "1"))
	for _, again := range []answer{p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), 200), p.reads(p.ask(deploy), http.StatusAccepted)} {
		if claims := p.verifies(again["access_token"].(string)); again["id"] != id || claims["exp"] != float64(noon.Add(30*time.Minute).Unix()) {
			t.Error(again)
		}
	}
	if text := log.String(); strings.Count(text, `"application.collectToken"`) != 3 || !strings.Contains(text, `"application":"deployer"`) || strings.Contains(text, "eyJ") {
		t.Error(text)
	}
	// When it is over, there is none any more.
	a.passes(time.Hour)
	p.token = tokenOf(t, deployKey, claimsOf(a.now(), "2"))
	if got := p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), 200); got["status"] != "expired" || got["access_token"] != nil || got["expires_in"] != nil {
		t.Error(got)
	}
}

// verifies reads an access token by the published keys alone.
func (p program) verifies(token string) jwt.MapClaims {
	p.t.Helper()
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(do(p.h, httptest.NewRequest("GET", "/.well-known/jwks.json", nil)).Body.Bytes(), &set); err != nil {
		p.t.Fatal(err)
	}
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithValidMethods([]string{"ES256"})).ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		return publicKey(p.t, set.Keys, t.Header["kid"]), nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return claims
}

func TestEveryStateHasAWordForApplications(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, nil)
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	for _, state := range access.States {
		want := string(state)
		if slices.Contains([]access.State{access.Pending, access.Approved, access.Scheduled}, state) {
			want = "pending"
		}
		if state == access.Active {
			want = "approved"
		}
		a.becomes(id, access.Active, "") // with a window
		a.becomes(id, state, "")
		if got := p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), 200); got["status"] != want || (got["access_token"] != nil) != (want == "approved") {
			t.Errorf("%s: %v", state, got)
		}
	}
	// It lapses by the clock, whatever is recorded.
	a.becomes(id, access.Pending, "")
	a.passes(time.Hour)
	p.token = tokenOf(t, deployKey, claimsOf(a.now(), "1"))
	if got := p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), 200); got["status"] != "lapsed" {
		t.Error(got)
	}
}

func TestTheSameIsTheSame(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, nil)
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	if again := p.reads(p.ask(deploy), http.StatusAccepted)["id"]; again != id {
		t.Errorf("%v is not %v", again, id)
	}
	other := strings.Replace(deploy, "v1", "v2", 1)
	p.refused(p.ask(other), http.StatusConflict, "key-reused")
	// Another token asks for something else, unless it has the same key; that wins over the token.
	p.token = tokenOf(t, deployKey, claimsOf(noon, "2"))
	if again := p.reads(p.ask(deploy), http.StatusAccepted)["id"]; again == id {
		t.Error("another token is the same request")
	}
	p.more = http.Header{"Idempotency-Key": {"release 7"}}
	id = p.reads(p.ask(other), http.StatusAccepted)["id"].(string)
	p.token = tokenOf(t, deployKey, claimsOf(noon, "3"))
	if again := p.reads(p.ask(other), http.StatusAccepted)["id"]; again != id {
		t.Error("the key does not outlive the token")
	}
	p.refused(p.ask(deploy), http.StatusConflict, "key-reused")
	// A key is no token's id, nor the other way round, and another application's is another.
	p.more = http.Header{"Idempotency-Key": {"jti:1"}}
	if again := p.reads(p.ask(other), http.StatusAccepted)["id"]; again == id {
		t.Error("a key is taken for a token")
	}
	claims := claimsOf(noon, "1")
	claims["iss"] = "other.example.com"
	if again := p.reads(program{t: t, h: h, token: tokenOf(t, otherKey, claims)}.ask(deploy), http.StatusAccepted)["id"]; again == id {
		t.Error("two applications have one request")
	}
	// A decision changes nothing of that: what was approved is not asked for once more.
	p = programOf(t, h)
	id = p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	a.becomes(id, access.Active, ben)
	if again := p.reads(p.ask(deploy), http.StatusAccepted); again["id"] != id || again["status"] != "approved" {
		t.Error(again)
	}
	for _, keys := range [][]string{{""}, {"a", "a"}, {strings.Repeat("k", 256)}, {"ü"}, {"a\x7f"}} {
		p.more = http.Header{"Idempotency-Key": keys}
		p.refused(p.ask(deploy), http.StatusBadRequest, "bad-input")
	}
}

// Whatever is wrong with a token is one answer, and the log alone says what it is.
func TestWhoIsNoApplicationLearnsNothing(t *testing.T) {
	a := newAsked()
	h, log := applications(t, a, nil)
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	with := func(change jwt.MapClaims) jwt.MapClaims {
		claims := claimsOf(noon, "1")
		maps.Copy(claims, change)
		return claims
	}
	keySet := do(h, httptest.NewRequest("GET", "/.well-known/jwks.json", nil)).Body.Bytes()
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, claimsOf(noon, "1")).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	a.becomes(id, access.Active, ben)
	collected := p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), 200)["access_token"].(string)
	var bodies []string
	for what, token := range map[string]string{
		"no token": "x", "unsigned": none, "a short key": tokenOf(t, []byte("secret"), claimsOf(noon, "1")), "our public key": tokenOf(t, keySet, claimsOf(noon, "1")),
		"another's key": tokenOf(t, otherKey, claimsOf(noon, "1")), "an access token": collected, "audiences": tokenOf(t, deployKey, with(jwt.MapClaims{"aud": []string{"access.example.com"}})),
		"another audience": tokenOf(t, deployKey, with(jwt.MapClaims{"aud": "evil.example.com"})), "over": tokenOf(t, deployKey, with(jwt.MapClaims{"exp": noon.Unix()})),
		"without end": tokenOf(t, deployKey, jwt.MapClaims{"iss": "deploy.example.com", "aud": "access.example.com", "sub": "ana"}),
		"far":         tokenOf(t, deployKey, with(jwt.MapClaims{"exp": noon.Add(time.Hour).Unix()})), "ahead": tokenOf(t, deployKey, with(jwt.MapClaims{"nbf": noon.Add(2 * time.Minute).Unix()})),
		"large": strings.Repeat("a", 9000),
	} {
		for _, path := range []string{"POST /v1/approvals", "GET /v1/approvals/" + id, "GET /v1/approvals/none", "POST /v1/approvals/" + id + "/withdraw", "POST /v1/introspect", "POST /v1/revoke"} {
			method, path, _ := strings.Cut(path, " ")
			p.token = token
			w := p.send(method, path, "application/json", "{")
			refused := p.refused(w, http.StatusUnauthorized, "bad-token")
			delete(refused, "incident")
			delete(refused, "error")
			body, _ := json.Marshal(refused)
			bodies = append(bodies, string(body)+w.Header().Get("WWW-Authenticate"))
			if bodies[0] != bodies[len(bodies)-1] || w.Header().Get("WWW-Authenticate") != `Bearer error="invalid_token"` {
				t.Errorf("%s, %s: %s %s", what, path, w.Body, w.Header())
			}
		}
	}
	text := log.String()
	for _, why := range []string{"its aud is not", "it is over", "it lives longer", "it is not good yet", "signature does not verify", "algorithm is not", "longer than 8 KiB"} {
		if !strings.Contains(text, why) {
			t.Errorf("the log does not say that %s", why)
		}
	}
	if strings.Contains(text, "eyJ") || strings.Count(text, `"application.authenticate"`) != len(bodies) || strings.Contains(text, `"level":"ERROR"`) {
		t.Error(text)
	}
	p.token = ""
	if w := p.ask(deploy); w.Header().Get("WWW-Authenticate") != "Bearer" {
		t.Error(w.Header())
	} else {
		p.refused(w, http.StatusUnauthorized, "no-token")
	}
}

// The token is in one of two headers, and what a proxy says counts for nothing.
func TestWhereATokenIs(t *testing.T) {
	h, _ := applications(t, newAsked(), nil)
	token := programOf(t, h).token
	for what, c := range map[string]struct {
		header http.Header
		status int
		code   string
	}{
		"one":                 {http.Header{"Authorization": {"bearer " + token}}, 202, ""},
		"the other":           {http.Header{"X-Nl3-Authorization-Token": {token}}, 202, ""},
		"beside a proxy's":    {http.Header{"Authorization": {"Bearer " + token}, "Proxy-Authorization": {"Bearer x"}, "X-Goog-Iap-Jwt-Assertion": {"x"}, personHeader: {string(ana)}}, 202, ""},
		"a proxy's alone":     {http.Header{"Proxy-Authorization": {"Bearer " + token}, "X-Goog-Iap-Jwt-Assertion": {"x"}, personHeader: {string(ana)}}, 401, "no-token"},
		"both":                {http.Header{"Authorization": {"Bearer " + token}, "X-Nl3-Authorization-Token": {token}}, 400, "two-tokens"},
		"twice":               {http.Header{"Authorization": {"Bearer " + token, "Bearer " + token}}, 400, "two-tokens"},
		"twice in the other":  {http.Header{"X-Nl3-Authorization-Token": {token, token}}, 400, "two-tokens"},
		"another scheme":      {http.Header{"Authorization": {"Basic " + token}}, 401, "bad-token"},
		"no scheme":           {http.Header{"Authorization": {token}}, 401, "bad-token"},
		"a scheme too much":   {http.Header{"X-Nl3-Authorization-Token": {"Bearer " + token}}, 401, "bad-token"},
		"two in one":          {http.Header{"Authorization": {"Bearer " + token + ", Bearer " + token}}, 401, "bad-token"},
		"beside another kind": {http.Header{"Authorization": {"Basic eA=="}, "X-Nl3-Authorization-Token": {token}}, 400, "two-tokens"},
	} {
		p := program{t: t, h: h, more: c.header}
		if w := p.ask(deploy); c.code == "" && w.Code != c.status {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		} else if c.code != "" {
			p.refused(w, c.status, c.code)
		}
	}
}

func TestWhatIsAskedForIsReadStrictly(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, nil)
	p := programOf(t, h)
	for body, field := range map[string]string{
		``: "", `null`: "", `[]`: "", `"x"`: "", `{`: "", `{}{}`: "", `{"template":"a","template":"a"}`: "", `{"template":"a","data":{"a":"1","a":"2"}}`: "",
		`{"template":"a","data":` + strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 100) + `}`: "", strings.Repeat("[", 30000): "", "{\"template\":\"\xff\"}": "",
		`{}`: "template", `{"template":null}`: "template", `{"template":7}`: "template", `{"Template":"a"}`: "Template", `{"template":"a","datas":{}}`: "datas",
		`{"template":"a","data":null}`: "data", `{"template":"a","data":[]}`: "data", `{"template":"a","data":{"a":1}}`: "data.a", `{"template":"a","data":{"a":null}}`: "data.a",
		`{"template":"a","data":{"a":{}}}`: "data.a", `{"template":"a","reason":null}`: "reason", `{"template":"a","callback":["x"]}`: "callback",
		`{"template":"a","minutes":0}`: "minutes", `{"template":"a","minutes":-1}`: "minutes", `{"template":"a","minutes":"5"}`: "minutes", `{"template":"a","minutes":1.5}`: "minutes",
		`{"template":"a","minutes":1e2}`: "minutes", `{"template":"a","minutes":null}`: "minutes", `{"template":"a","minutes":99999999999999999999}`: "minutes",
		`{"template":"a","subject":"ben"}`: "subject", `{"template":"a","approvers":["ana"]}`: "approvers", `{"template":"a","":1}`: "",
	} {
		got := p.refused(p.ask(body), http.StatusBadRequest, "bad-input")
		if field != "" && got["field"] != field {
			t.Errorf("%s: %v", body, got)
		}
		if detail := got["detail"].(string); strings.Contains(detail, "form") || strings.Contains(detail, "page") {
			t.Errorf("a program is told what a person does: %s", detail)
		}
	}
	p.refused(p.send("POST", "/v1/approvals", "text/plain", deploy), http.StatusUnsupportedMediaType, "media-type")
	p.refused(p.send("POST", "/v1/approvals", "", deploy), http.StatusUnsupportedMediaType, "media-type")
	long := `{"template":"` + strings.Repeat("a", 64<<10) + `"}`
	p.refused(p.ask(long), http.StatusRequestEntityTooLarge, "too-large")
	unmeasured := httptest.NewRequest("POST", "/v1/approvals", struct{ *strings.Reader }{strings.NewReader(long)})
	unmeasured.ContentLength, unmeasured.Host = -1, "access.example.com"
	unmeasured.Header = http.Header{"Authorization": {"Bearer " + p.token}, "Content-Type": {"application/json"}}
	p.refused(do(h, unmeasured), http.StatusRequestEntityTooLarge, "too-large")
	if len(a.requests) != 0 {
		t.Error("something was asked for")
	}
}

// What is another application's is not there.
func TestApplicationsDoNotSeeOneAnother(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, nil)
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	a.becomes(id, access.Active, ben)
	collected := p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), 200)["access_token"].(string)
	claims := claimsOf(noon, "1")
	claims["iss"] = "other.example.com"
	other := program{t: t, h: h, token: tokenOf(t, otherKey, claims)}
	other.refused(other.send("GET", "/v1/approvals/"+id, "", ""), 404, "not-found")
	other.refused(other.send("GET", "/v1/approvals/"+id+"?wait=20", "", ""), 404, "not-found")
	other.refused(other.send("POST", "/v1/approvals/"+id+"/withdraw", "", ""), 404, "not-found")
	if got := other.reads(other.send("POST", "/v1/introspect", "application/x-www-form-urlencoded", url.Values{"token": {collected}}.Encode()), 200); len(got) != 1 || got["active"] != false {
		t.Error(got)
	}
	if got := other.reads(other.send("POST", "/v1/revoke", "application/x-www-form-urlencoded", url.Values{"token": {collected}}.Encode()), 200); len(got) != 0 || a.requests[id].State != access.Active {
		t.Error(got, a.requests[id].State)
	}
	p.refused(p.send("GET", "/v1/approvals/mpa-AAAAAAAAAAAAAAAA", "", ""), 404, "not-found")
	p.refused(p.send("GET", "/v1/approvals/%20", "", ""), 400, "bad-request-id")
}

func TestAnApplicationWithdraws(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, nil)
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	if got := p.reads(p.send("POST", "/v1/approvals/"+id+"/withdraw", "", ""), 200); got["status"] != "withdrawn" {
		t.Error(got)
	}
}

// Trouble of ours is not told as what became of a request or a token.
func TestTroubleIsNoAnswer(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, nil)
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	a.becomes(id, access.Active, ben)
	token := url.Values{"token": {p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), 200)["access_token"].(string)}}.Encode()
	a.fails = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
	for _, w := range []*httptest.ResponseRecorder{p.ask(deploy), p.send("GET", "/v1/approvals/"+id, "", ""), p.send("POST", "/v1/approvals/"+id+"/withdraw", "", ""),
		p.send("POST", "/v1/introspect", "application/x-www-form-urlencoded", token), p.send("POST", "/v1/revoke", "application/x-www-form-urlencoded", token)} {
		p.refused(w, http.StatusServiceUnavailable, "ledger-unavailable")
		if w.Header().Get("Retry-After") == "" {
			t.Error(w.Header())
		}
	}
	h, _ = applications(t, a, func(c *server.Config) {
		c.Applications.Registry = registry{err: &access.Error{Kind: access.Unavailable, Code: access.CodeApplicationsUnknown}}
	})
	p.h = h
	p.refused(p.ask(deploy), http.StatusServiceUnavailable, "applications-unknown")
}

// What is asked for is told to people: one application may not ask for much at once.
func TestAnApplicationIsPaced(t *testing.T) {
	h, _ := applications(t, newAsked(), nil)
	p := programOf(t, h)
	for range 100 {
		p.reads(p.ask(deploy), http.StatusAccepted)
	}
	w := p.ask(deploy)
	p.refused(w, http.StatusTooManyRequests, "too-fast")
	if w.Header().Get("Retry-After") == "" {
		t.Error(w.Header())
	}
	claims := claimsOf(noon, "1")
	claims["iss"] = "other.example.com"
	program{t: t, h: h, token: tokenOf(t, otherKey, claims)}.reads(program{t: t, h: h, token: tokenOf(t, otherKey, claims)}.ask(deploy), http.StatusAccepted)
	id := p.reads(p.send("GET", "/v1/approvals/"+access.AskedID("deployer", "jti:1"), "", ""), 200)["id"].(string)
	for range 999 {
		p.send("GET", "/v1/approvals/"+id, "", "")
	}
	p.refused(p.send("GET", "/v1/approvals/"+id, "", ""), http.StatusTooManyRequests, "too-fast")
}

// What is called for an application counts for it, as a person's does for them: one application
// gets a part of Google's quotas only, whichever way it asks.
func TestWhatAnApplicationCausesCountsForIt(t *testing.T) {
	a := newAsked()
	h, _ := applications(t, a, nil)
	p := programOf(t, h)
	id := p.reads(p.ask(deploy), http.StatusAccepted)["id"].(string)
	a.becomes(id, access.Active, ben)
	token := p.reads(p.send("GET", "/v1/approvals/"+id, "", ""), 200)["access_token"].(string)
	p.reads(p.send("GET", "/v1/approvals/"+id+"?wait=1", "", ""), 200)
	for _, path := range []string{"/v1/introspect", "/v1/revoke"} {
		p.reads(p.send("POST", path, "application/x-www-form-urlencoded", url.Values{"token": {token}}.Encode()), 200)
	}
	p.reads(p.send("POST", "/v1/approvals/"+id+"/withdraw", "", ""), 200)
	if status, body := deliver(h, "/v1/github/deployer", "signed deploy"); status != http.StatusAccepted {
		t.Fatal(status, body)
	}
	if len(a.by) < 7 || slices.ContainsFunc(a.by, func(by access.Principal) bool { return by != "app:deployer" }) {
		t.Errorf("it counts for %q", a.by)
	}
	other := claimsOf(noon, "2")
	other["iss"] = "other.example.com"
	a.by = nil
	p = program{t: t, h: h, token: tokenOf(t, otherKey, other)}
	if p.reads(p.ask(deploy), http.StatusAccepted); !slices.Equal(a.by, []access.Principal{"app:other"}) {
		t.Errorf("another's counts for %q", a.by)
	}
}

// publicKey is the key of a set with that id.
func publicKey(t testing.TB, set []map[string]string, id any) *ecdsa.PublicKey {
	t.Helper()
	for _, k := range set {
		if k["kid"] == id && k["kty"] == "EC" && k["crv"] == "P-256" {
			x, errX := base64.RawURLEncoding.DecodeString(k["x"])
			y, errY := base64.RawURLEncoding.DecodeString(k["y"])
			key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
			if errX != nil || errY != nil || err != nil {
				t.Fatal(errX, errY, err)
			}
			return key
		}
	}
	t.Fatalf("no key %v in %v", id, set)
	return nil
}
