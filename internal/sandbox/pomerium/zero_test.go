package pomerium

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 22, 0, 2, 3, 0, time.UTC)

// newZero is a Zero with a clock that is moved by hand.
func newZero(t *testing.T) (*Zero, *time.Time) {
	t.Helper()
	clock := start
	z, err := New(Options{Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	return z, &clock
}

// client sends what the example's client sends.
type client struct {
	t     *testing.T
	api   http.Handler
	token string
}

func (c *client) send(method, target, body string) (int, string) {
	c.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	w := httptest.NewRecorder()
	c.api.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

func signIn(t *testing.T, z *Zero) *client {
	t.Helper()
	c := &client{t: t, api: z.API()}
	status, text := c.send("POST", "/api/v0/token", `{"refreshToken":"`+z.RefreshToken()+`"}`)
	var answer map[string]any
	if err := json.Unmarshal([]byte(text), &answer); err != nil || status != 200 || answer["expiresInSeconds"] != "3600" {
		t.Fatalf("%d %s", status, text)
	}
	c.token = answer["idToken"].(string)
	return c
}

// exchange is what was captured of the unchanged code of Pomerium's JIT example against a
// loopback server, with the ids left out: {org}, {cluster}, {id}, {token}.
type exchange struct {
	Method, Target, Body string
	Status               int
	Answer               map[string]any
}

// The requests of the unchanged example are answered as it expects.
func TestTheExamplesRequestsAreAnswered(t *testing.T) {
	text, err := os.ReadFile("testdata/example.json")
	if err != nil {
		t.Fatal(err)
	}
	var exchanges []exchange
	if err := json.Unmarshal(text, &exchanges); err != nil {
		t.Fatal(err)
	}
	z, _ := newZero(t)
	c, id := &client{t: t, api: z.API()}, ""
	for _, e := range exchanges {
		fill := strings.NewReplacer("{org}", z.Organization(), "{cluster}", z.Cluster(), "{token}", z.RefreshToken(), "{id}", id)
		status, text := c.send(e.Method, fill.Replace(e.Target), fill.Replace(e.Body))
		if status != e.Status {
			t.Fatalf("%s %s: %d %s", e.Method, e.Target, status, text)
		}
		var answer map[string]any
		if json.Unmarshal([]byte(text), &answer) != nil { // a list
			continue
		}
		for name, want := range e.Answer {
			got, _ := json.Marshal(answer[name])
			expected, _ := json.Marshal(want)
			if !bytes.Equal(got, []byte(fill.Replace(string(expected)))) {
				t.Errorf("%s %s: %s is %s, want %s", e.Method, e.Target, name, got, expected)
			}
		}
		if token, ok := answer["idToken"].(string); ok {
			c.token = token
		}
		if made, ok := answer["id"].(string); ok {
			id = made
		}
	}
}

func TestWhatTheAPIRefuses(t *testing.T) {
	z, clock := newZero(t)
	c := signIn(t, z)
	policies := "/api/v0/organizations/" + z.Organization() + "/policies"
	good := `{"description":"","enforced":false,"explanation":"","name":"n","namespaceId":"` + z.Cluster() + `","ppl":{},"remediation":""}`
	for name, e := range map[string]exchange{
		"a wrong refresh token":  {Method: "POST", Target: "/api/v0/token", Body: `{"refreshToken":"x"}`, Status: 401},
		"no JSON":                {Method: "POST", Target: policies, Body: `{`, Status: 400},
		"a field is missing":     {Method: "POST", Target: policies, Body: strings.Replace(good, `"enforced":false,`, "", 1), Status: 400},
		"a text that is none":    {Method: "POST", Target: policies, Body: strings.Replace(good, `{}`, `"x"`, 1), Status: 400},
		"an unknown policy":      {Method: "GET", Target: policies + "/x", Status: 404},
		"an unknown policy, put": {Method: "PUT", Target: policies + "/x", Body: good, Status: 404},
		"another organization":   {Method: "GET", Target: "/api/v0/organizations/x/policies", Status: 403},
		"an unknown changeset":   {Method: "POST", Target: "/api/v0/organizations/" + z.Organization() + "/changesets/x/apply", Status: 404},
		"an unknown address":     {Method: "GET", Target: "/api/v0/x", Status: 404},
	} {
		if status, text := c.send(e.Method, e.Target, e.Body); status != e.Status {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	for name, token := range map[string]string{"none": "", "another": "x"} {
		if status, _ := (&client{t: t, api: z.API(), token: token}).send("GET", policies, ""); status != 401 {
			t.Errorf("with token %s: %d", name, status)
		}
	}
	*clock = clock.Add(time.Hour)
	if status, _ := c.send("GET", policies, ""); status != 401 {
		t.Errorf("with a token that is over: %d", status)
	}
	// Only Bearer is proven.
	c = signIn(t, z)
	r := httptest.NewRequest("GET", policies, nil)
	r.Header.Set("Authorization", c.token)
	w := httptest.NewRecorder()
	c.api.ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("without a scheme: %d", w.Code)
	}
}

func TestWhatPoliciesMean(t *testing.T) {
	who := Person{Email: "ana@example.com", Subject: "1", Groups: []string{"g"}}
	at := start
	for ppl, lets := range map[string]bool{
		`[]`: false, `{}`: false, `[{}]`: false, `null`: false,
		`{"allow":{"and":[{"email":"ana@example.com"}]}}`:                                               true,
		`{"allow":{"and":[{"email":{"is":"ana@example.com"}}]}}`:                                        true,
		`{"allow":{"and":[{"email":"Ana@example.com"}]}}`:                                               false,
		`[{"allow":{"and":[{"email":"ben@example.com"}]}},{"allow":{"or":[{"domain":"example.com"}]}}]`: true,
		`[{"allow":{"and":[{"accept":true}]}},{"deny":{"or":[{"email":"ana@example.com"}]}}]`:           false,
		`{"allow":{"and":[{"accept":true},{"reject":true}]}}`:                                           false,
		`{"allow":{"or":[{"accept":true},{"reject":true}]}}`:                                            true,
		`{"allow":{"not":[{"domain":"other.test"},{"reject":true}]}}`:                                   true,
		`{"allow":{"not":[{"domain":"example.com"},{"reject":true}]}}`:                                  false,
		`{"allow":{"nor":[{"domain":"example.com"},{"reject":true}]}}`:                                  true,
		`{"allow":{"nor":[{"domain":"example.com"},{"accept":true}]}}`:                                  false,
		`{"allow":{"and":[{"groups":{"has":"g"}}]}}`:                                                    true,
		`{"allow":{"and":[{"groups":{"has":"h"}}]}}`:                                                    false,
		`{"allow":{"and":[{"date":{"before":"2026-11-22T00:02:04Z"}}]}}`:                                true,
		`{"allow":{"and":[{"date":{"before":"2026-11-22T00:02:03Z"}}]}}`:                                false,
		`{"allow":{"and":[{"date":{"after":"2026-11-22T00:02:02Z","before":"2026-11-22T01:00:00"}}]}}`:  true,
		`{"allow":{"and":[{"date":{"after":"2026-11-22T00:02:03Z"}}]}}`:                                 false,
		// What is not understood lets nobody in.
		`{"allow":{"or":[{"accept":true},{"time_of_day":{}}]}}`: false,
		`{"allow":{"xor":[{"accept":true}]}}`:                   false,
		`{"permit":{"and":[{"accept":true}]}}`:                  false,
		`{"allow":{"and":[{"accept":true,"reject":true}]}}`:     false,
		`{"allow":{"and":[{"date":{"before":"soon"}}]}}`:        false,
		`{"allow":{"and":[{"date":{"around":"2026-11-22"}}]}}`:  false,
		`{"allow":{"and":[{"email":{"like":"ana"}}]}}`:          false,
		`[17]`: false,
	} {
		ok, err := evaluate(json.RawMessage(ppl), who, at)
		if (ok && err == nil) != lets {
			t.Errorf("%s: %v, %v", ppl, ok, err)
		}
	}
}

// What waits in a changeset does not hold.
func TestChangesets(t *testing.T) {
	z, _ := newZero(t)
	z.ApplyByHand(true)
	if _, err := z.AddPolicy(DemoPolicy, `{"allow":{"and":[{"accept":true}]}}`); err != nil {
		t.Fatal(err)
	}
	if z.admits(DemoPolicy, z.People()[0]) {
		t.Error("it holds though it waits")
	}
	c := signIn(t, z)
	target := "/api/v0/organizations/" + z.Organization() + "/changesets?clusterId=" + z.Cluster() + "&status=pending"
	var waiting []map[string]string
	if status, text := c.send("GET", target, ""); status != 200 || json.Unmarshal([]byte(text), &waiting) != nil || len(waiting) != 1 || waiting[0]["status"] != "pending" {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := c.send("POST", "/api/v0/organizations/"+z.Organization()+"/changesets/"+waiting[0]["id"]+"/apply", ""); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if !z.admits(DemoPolicy, z.People()[0]) {
		t.Error("it does not hold though it was applied")
	}
	if _, text := c.send("GET", target, ""); text != "[]" {
		t.Errorf("waits still: %s", text)
	}
}

// visitor is a browser at the proxy.
func visit(z *Zero, service http.Handler, method, target string, who string, form url.Values, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.RemoteAddr, r.Host = "127.0.0.1:1234", "localhost:8000"
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if who != "" {
		r.AddCookie(&http.Cookie{Name: personCookie, Value: who})
	}
	w := httptest.NewRecorder()
	z.Proxy(service, "localhost").ServeHTTP(w, r)
	return w
}

// echo is a service that says what it was told.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %q", r.URL.EscapedPath(), r.Header[AssertionHeader])
	for name := range r.Header {
		if strings.HasPrefix(strings.ToLower(name), "x_") || strings.Contains(strings.ToLower(name), "pomerium") && name != AssertionHeader {
			fmt.Fprint(w, " also ", name)
		}
	}
})

const anas, denizs = "ana.weber@example.com", "deniz.kaya@example.com"

func TestTheProxysRoutes(t *testing.T) {
	z, clock := newZero(t)
	for name, c := range map[string]struct {
		target, who string
		status      int
	}{
		"nobody":                      {"/", "", 302},
		"somebody who is not there":   {"/", "eve@example.com", 302},
		"a person":                    {"/", anas, 200},
		"administration, not for all": {"/admin", anas, 403},
		"administration, below":       {"/admin/approve-access", anas, 403},
		"administration":              {"/admin", denizs, 200},
		"the path as it is written":   {"/%61dmin", anas, 200},
		"the door, without a policy":  {"/demo/", anas, 403},
		"a probe":                     {"/health/live", "", 200},
		"keys":                        {KeysPath, "", 200},
		"people":                      {"/.pomerium/", "", 200},
		"an asset":                    {"/.pomerium/assets/pomerium.css", "", 200},
		"no asset":                    {"/.pomerium/assets/frame.html", "", 404},
	} {
		if w := visit(z, echo, "GET", c.target, c.who, nil, nil); w.Code != c.status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if _, err := z.AddPolicy(DemoPolicy, `[{"allow":{"and":[{"email":"`+anas+`"},{"date":{"before":"2026-11-22T01:02:03Z"}}]}}]`); err != nil {
		t.Fatal(err)
	}
	if w := visit(z, echo, "GET", "/demo/", anas, nil, nil); w.Code != 200 || !strings.Contains(w.Body.String(), "The door is open") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := visit(z, echo, "GET", "/demo/", denizs, nil, nil); w.Code != 403 {
		t.Errorf("somebody else: %d", w.Code)
	}
	*clock = clock.Add(time.Hour)
	if w := visit(z, echo, "GET", "/demo/", anas, nil, nil); w.Code != 403 {
		t.Errorf("after the end: %d", w.Code)
	}
}

// Nobody says who they are but the proxy.
func TestTheClientsOwnHeadersAreTakenOff(t *testing.T) {
	z, _ := newZero(t)
	forged := http.Header{AssertionHeader: {"forged"}, "x-pomerium-jwt-assertion": {"forged"}, "X_Pomerium_Jwt_Assertion": {"forged"},
		"X-Pomerium-Claim-Email": {"forged"}}
	w := visit(z, echo, "GET", "/", anas, nil, forged)
	if text := w.Body.String(); strings.Contains(text, "forged") || strings.Contains(text, "also") || strings.Count(text, `"`) != 2 {
		t.Error(text)
	}
	if w := visit(z, echo, "GET", "/health/live", "", nil, forged); strings.Contains(w.Body.String(), "forged") {
		t.Error(w.Body)
	}
}

func TestAssertionsAreSignedByThePublishedKeys(t *testing.T) {
	z, _ := newZero(t)
	who, _ := z.person(anas)
	old, err := z.Assertion(who, "localhost")
	if err != nil || z.RotateKeys() != nil {
		t.Fatal(err)
	}
	fresh, err := z.Assertion(who, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	for _, assertion := range []string{old, fresh} {
		header, claims := verified(t, z, assertion)
		if header["alg"] != "ES256" || claims["iss"] != "localhost" || claims["aud"] != "localhost" || claims["email"] != anas || claims["sub"] != who.Subject ||
			claims["exp"].(float64)-claims["iat"].(float64) != assertionLife.Seconds() {
			t.Errorf("%v %v", header, claims)
		}
	}
}

// verified checks an assertion with the keys as they are published.
func verified(t *testing.T, z *Zero, assertion string) (header, claims map[string]any) {
	t.Helper()
	w := visit(z, echo, "GET", KeysPath, "", nil, nil)
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(w.Body.Bytes(), &set); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(assertion, ".")
	decode := func(text string) []byte {
		b, err := base64URL.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i, into := range []*map[string]any{&header, &claims} {
		if err := json.Unmarshal(decode(parts[i]), into); err != nil {
			t.Fatal(err)
		}
	}
	at := slices.IndexFunc(set.Keys, func(k map[string]string) bool { return k["kid"] == header["kid"] })
	if at < 0 {
		t.Fatalf("%v is not among %v", header["kid"], set.Keys)
	}
	number := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, decode(set.Keys[at]["x"]), decode(set.Keys[at]["y"])))
	if err != nil {
		t.Fatal(err)
	}
	digest, signature := sha256.Sum256([]byte(parts[0]+"."+parts[1])), decode(parts[2])
	if !ecdsa.Verify(key, digest[:], number(signature[:32]), number(signature[32:])) {
		t.Error("the signature is not of the key")
	}
	return header, claims
}

func TestOneChoosesWhoOneIs(t *testing.T) {
	z, _ := newZero(t)
	here := http.Header{"Origin": {"http://localhost:8000"}, "Sec-Fetch-Site": {"same-origin"}}
	for to, leads := range map[string]string{"/access": "/access", "//evil.test": "/", "https://evil.test/": "/", `/\evil`: "/", "": "/"} {
		w := visit(z, echo, "POST", "/.pomerium/sign-in", "", url.Values{"email": {anas}, "return": {to}}, here)
		if w.Code != 303 || w.Header().Get("Location") != leads || !strings.Contains(w.Header().Get("Set-Cookie"), anas) {
			t.Errorf("to %q: %d %v", to, w.Code, w.Header())
		}
	}
	if w := visit(z, echo, "POST", "/.pomerium/sign-in", "", url.Values{"email": {"eve@example.com"}}, here); w.Code != 400 {
		t.Errorf("nobody: %d", w.Code)
	}
	if w := visit(z, echo, "GET", "/.pomerium/sign_out", anas, nil, nil); w.Code != 303 || !strings.Contains(w.Header().Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("signed out: %d %v", w.Code, w.Header())
	}
	elsewhere := http.Header{"Origin": {"https://evil.test"}, "Sec-Fetch-Site": {"cross-site"}}
	if w := visit(z, echo, "POST", "/.pomerium/sign-in", "", url.Values{"email": {anas}}, elsewhere); w.Code != 403 {
		t.Errorf("from elsewhere: %d", w.Code)
	}
	z.ApplyByHand(true)
	if _, err := z.AddPolicy(DemoPolicy, "[]"); err != nil {
		t.Fatal(err)
	}
	for do, waits := range map[string]bool{"apply": false} {
		visit(z, echo, "POST", "/.pomerium/changesets", anas, url.Values{"do": {do}}, here)
		if (z.Changesets()[0].Status == "pending") != waits {
			t.Errorf("%s: %+v", do, z.Changesets())
		}
	}
}

// A name that leads to this machine from elsewhere is not served.
func TestItAnswersOnThisMachineOnly(t *testing.T) {
	z, _ := newZero(t)
	for _, hosts := range [][2]string{{"10.0.0.1:1", "localhost:8000"}, {"127.0.0.1:1", "evil.test"}, {"127.0.0.1:1", "localhost.evil.test:8000"}} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Host = hosts[0], hosts[1]
		w := httptest.NewRecorder()
		z.Proxy(echo, "localhost").ServeHTTP(w, r)
		if w.Code != http.StatusMisdirectedRequest {
			t.Errorf("%v: %d", hosts, w.Code)
		}
	}
}

func TestFaultsHitAsOftenAsTheySay(t *testing.T) {
	z, _ := newZero(t)
	c := signIn(t, z)
	policies := "/api/v0/organizations/" + z.Organization() + "/policies"
	z.Fail(Fault{Method: "GET", Times: 1, Status: 429, RetryAfter: "7"})
	if status, _ := c.send("GET", policies, ""); status != 429 {
		t.Error(status)
	}
	if status, _ := c.send("GET", policies, ""); status != 200 {
		t.Error(status)
	}
	z.Fail(Fault{Lose: true})
	server := httptest.NewServer(z.API())
	server.Config.ErrorLog = nil
	defer server.Close()
	if _, err := server.Client().Get(server.URL + policies); err == nil || !strings.Contains(err.Error(), io.EOF.Error()) {
		t.Errorf("%v", err)
	}
	z.Mend()
	if status, _ := c.send("GET", policies, ""); status != 200 {
		t.Error(status)
	}
}
