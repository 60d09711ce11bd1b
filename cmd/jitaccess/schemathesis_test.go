package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"jitaccess/docs"
)

// What Schemathesis makes of docs/openapi.yaml, good and bad, is answered as that says: the whole
// service, with a ledger, applications and a broken glass, behind a proxy that signs people in. How
// it is tried, and which checks do not fit, is in testdata/schemathesis/schemathesis.toml.
func TestSchemathesis(t *testing.T) {
	s := newSchemathesis(t)
	said, err := s.run(t, s.proxy)
	if all := fmt.Sprintf("Tested: %d\n", s.operations); err != nil || !strings.Contains(said, all) {
		t.Errorf("%v, not %q\n%s", err, all, said)
	}
}

// It notices an answer that lacks a member, one of another type, one of a fault, and who gets in
// without a name.
func TestSchemathesisFindsWhatIsPlanted(t *testing.T) {
	s := newSchemathesis(t)
	planted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		if r.URL.Path == "/api/requests" {
			r.Header.Set("X-Goog-Iap-Jwt-Assertion", somebody)
		}
		s.proxy.ServeHTTP(answer, r)
		body := answer.Body.String()
		switch {
		case r.URL.Path == "/api/policy":
			body = strings.Replace(body, `"signedInUser"`, `"signedIn"`, 1)
		case r.URL.Path == "/health/alive":
			answer.Header().Set("Content-Type", "text/plain")
		case r.URL.Path == "/api/projects" && answer.Code == http.StatusOK:
			answer.Code = http.StatusInternalServerError
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		w.Write([]byte(body))
	})
	said, err := s.run(t, planted, "--phases", "coverage", "--include-path", "/api/policy", "--include-path", "/health/alive",
		"--include-path", "/api/projects", "--include-path", "/api/requests")
	if err == nil {
		t.Error("all is found to be good")
	}
	for _, found := range []string{`"signedInUser" is a required property`, "Undocumented Content-Type", "Server error", "accepts requests without authentication"} {
		if !strings.Contains(said, found) {
			t.Errorf("it does not say %q", found)
		}
	}
	if t.Failed() {
		t.Log(said)
	}
}

// schemathesis is a world in which there is something of everything, and what it has to know of it.
type schemathesis struct {
	*world
	proxy             inFront
	program, document string
	there             map[string]string
	// operations are how many there are to try: all but those that are not there behind this proxy.
	operations int
}

func newSchemathesis(t *testing.T) *schemathesis {
	t.Helper()
	program, err := filepath.Abs("testdata/schemathesis/venv/bin/st")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("Schemathesis is not installed; make test does that: %v", err)
	}
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(`version: 1
unmatched: marker
rules:
  - name: machines
    match: {role: [roles/compute.instanceAdmin.v1]}
    terms: {approvals: 1, break_glass: {who: ["user:`+alice+`"], max_duration: 1h, review_by: ["user:`+carol+`"]}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, surroundings{inStep: true, environment: map[string]string{"POLICY": policy,
		"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "jitaccess.db"), "SIGNING_KEY": crashKey, "SEAL_KEY": deployKey,
		"K_SERVICE": "", "IAP_AUDIENCE": "/projects/264853019977/locations/europe-west1/services/jitaccess",
		"ADMINS": "user:" + carol + ",user:" + frank, "AUDITORS": "user:" + carol, "GOOGLE_QUOTAS": unlimited(), "ACTIVATION_REQUEST_TIMEOUT": "525600"}})
	pending, _ := w.ask()
	active := w.api(alice, selfURL, selfBody(nil)).expect(t, 200).Entitlements[0].ActivationID
	glass := w.api(alice, selfURL, selfBody(dict{"entitlementIds": []string{peerID}, "breakGlass": true})).expect(t, 200).Entitlements[0].ActivationID
	key, _ := w.manages("deployer", deployURI)
	s := &schemathesis{world: w, proxy: inFront{w, key}, program: program}
	var made struct{ ID string }
	if a := w.call("", "POST", "/v1/approvals", `{"template": "production-deploy", "data": {"version": "v1.2"}}`,
		"Authorization", "Bearer "+s.proxy.token(), "Content-Type", "application/json"); a.status != http.StatusAccepted || json.Unmarshal([]byte(a.body), &made) != nil {
		t.Fatal(a.status, a.body)
	}
	w.form(bob, "/review?activation="+made.ID, url.Values{"verdict": {"approve"}}).expect(t, http.StatusSeeOther)
	s.there = map[string]string{"PENDING": pending, "ACTIVE": active, "GLASS": glass, "APPROVED": made.ID, "ORIGIN": w.public}

	text, err := docs.OpenAPI()
	var document dict
	if err == nil {
		err = json.Unmarshal(text, &document)
	}
	if err != nil {
		t.Fatal(err)
	}
	// Which numbers there are the document cannot know.
	parameters := document["components"].(dict)["parameters"].(dict)
	for name, numbers := range map[string][]string{"activation": {pending, active}, "id": {active, glass, made.ID, pending}} {
		examples := dict{}
		for _, number := range numbers {
			examples[number] = dict{"value": number}
		}
		parameter := parameters[name].(dict)
		delete(parameter, "example")
		parameter["examples"] = examples
	}
	for path, item := range document["paths"].(dict) {
		for _, method := range []string{"get", "post"} {
			if item.(dict)[method] != nil && !strings.HasPrefix(path, "/oidc/") && path != "/admin" {
				s.operations++
			}
		}
	}
	s.document = encoded(t, document)
	return s
}

// run has a handler tried. Nothing but this machine is asked.
func (s *schemathesis) run(t *testing.T, handler http.Handler, options ...string) (said string, err error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	configuration, err := os.ReadFile("testdata/schemathesis/schemathesis.toml")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, text := range map[string]string{"openapi.json": s.document,
		"schemathesis.toml": os.Expand(string(configuration), func(name string) string { return s.there[name] })} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), s.program, append([]string{"run", "openapi.json", "--url", server.URL, "--no-color"}, options...)...)
	command.Dir = folder
	command.Env = append(os.Environ(), "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1", "NO_PROXY=127.0.0.1")
	output, err := command.CombinedOutput()
	return string(output), err
}

// somebody stands for a person, and for an application.
const somebody = "somebody"

// inFront of a world is a proxy that signs people in, while so much time passes that nobody is too
// fast.
type inFront struct {
	*world
	key string
}

func (f inFront) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.pass(50 * time.Millisecond)
	if r.Method == http.MethodPost {
		f.pass(2 * time.Second)
	}
	if r.Header.Get("X-Goog-Iap-Jwt-Assertion") == somebody {
		r.Header.Set("X-Goog-Iap-Jwt-Assertion", f.assertion(whoseAddress(r.URL.Path)))
	}
	if r.Header.Get("Authorization") == "Bearer "+somebody {
		r.Header.Set("Authorization", "Bearer "+f.token())
	}
	f.service.ServeHTTP(w, r)
}

// whoseAddress is who may do most at an address.
func whoseAddress(path string) string {
	if strings.Contains(path, "/requests/") && strings.HasSuffix(path, "/review") {
		return carol
	}
	for start, person := range map[string]string{"/apps": carol, "/notifications": carol, "/history": carol, "/review": bob, "/api/activation-request": bob} {
		if strings.HasPrefix(path, start) && !strings.HasSuffix(path, "/reviewers") {
			return person
		}
	}
	return alice
}

// token is one of the application.
func (f inFront) token() string {
	f.t.Helper()
	secret, err := base64.StdEncoding.DecodeString(f.key)
	if err != nil {
		f.t.Fatal(err)
	}
	claims := jwt.MapClaims{"iss": deployURI, "aud": f.public, "sub": alice, "exp": f.now().Add(5 * time.Minute).Unix()}
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
	if err != nil {
		f.t.Error(err)
	}
	return text
}
