package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// twoApplications is a world with two applications, of which the first may be called back at
// hosts, and whose person ann@example.com is alice@example.com, and bobby is bob@example.com.
func twoApplications(t *testing.T, host string) *world {
	t.Helper()
	dir := t.TempDir()
	key, file := filepath.Join(dir, "console.key"), deployerPolicy(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	more := strings.Replace(string(text), "applications:\n", `people: [["`+bob+`", "app:deployer/bobby", "bobby@example.com"]]
applications:
  - name: console
    uri: https://console.example.com
    signing_key: `+key+`
    templates: [{key: k, type: approve, name: n, title: t, approvers: ["user:`+bob+`"], max_duration: 1h}]
`, 1)
	more = strings.Replace(more, "    templates:\n      - key: production", "    callback_hosts: [\""+host+"\"]\n    templates:\n      - key: production", 1)
	for path, content := range map[string]string{key: base64.StdEncoding.EncodeToString(make([]byte, 32)), file: more} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return newWorld(t, surroundings{environment: map[string]string{"POLICY": file, "DATABASE_URL": "sqlite:" + filepath.Join(dir, "jitaccess.db"),
		"SIGNING_KEY": crashKey, "K_SERVICE": "", "IAP_AUDIENCE": "/projects/264853019977/locations/europe-west1/services/jitaccess"}})
}

// What is wrong of what an application sends, against the whole service; what else is wrong with
// each, the tests of packages bearer, jose and server have.
func TestWhatIsWrongOfWhatAnApplicationSends(t *testing.T) {
	w := twoApplications(t, "deploy.example.com")
	d := deployer{t, w, w.url}
	keySet := w.page("", "/.well-known/jwks.json").body
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	claims := func(edit func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{"iss": deployURI, "aud": w.public, "sub": alice, "exp": w.now().Add(5 * time.Minute).Unix()}
		edit(c)
		return c
	}
	signed := func(method jwt.SigningMethod, key any, edit func(jwt.MapClaims)) string {
		text, err := jwt.NewWithClaims(method, claims(edit)).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	same := func(jwt.MapClaims) {}
	ask := func(token, body string) answer {
		return w.call("", "POST", "/v1/approvals", body, "Authorization", "Bearer "+token, "Content-Type", "application/json")
	}
	for name, token := range map[string]string{
		"HS256 with a short key":                          signed(jwt.SigningMethodHS256, []byte("secret"), same),
		"alg none":                                        signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same),
		"RS256 with a key of one's own":                   signed(jwt.SigningMethodRS256, rsaKey, same),
		"ES256 with a key of one's own":                   signed(jwt.SigningMethodES256, ecKey, same),
		"RS256 confusion: HS256 with our published key":   signed(jwt.SigningMethodHS256, []byte(keySet), same),
		"RS256 confusion: HS256 with a public key in PEM": signed(jwt.SigningMethodHS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), same),
		"another application's key":                       signed(jwt.SigningMethodHS256, make([]byte, 32), same),
		"aud as an array":                                 d.token(func(c jwt.MapClaims) { c["aud"] = []string{w.public} }),
		"no exp":                                          d.token(func(c jwt.MapClaims) { delete(c, "exp") }),
		"a far exp":                                       d.token(func(c jwt.MapClaims) { c["exp"] = w.now().Add(time.Hour).Unix() }),
		"nbf ahead":                                       d.token(func(c jwt.MapClaims) { c["nbf"] = w.now().Add(3 * time.Minute).Unix() }),
		"the text of the key in place of what it stands for": signed(jwt.SigningMethodHS256, []byte(deployKey), same),
	} {
		if a := ask(token, encoded(t, deployBody(nil))); a.status != http.StatusUnauthorized || !strings.Contains(a.body, "urn:jitaccess:problem:bad-token") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"data that the template does not know": {encoded(t, deployBody(dict{"data": dict{"version": "v1", "cluster": "eu", "x": "y"}})), 400, "unknown-datum"},
		"64 KB":                                {encoded(t, deployBody(dict{"reason": strings.Repeat("x", 64<<10)})), 413, "too-large"},
		"deep JSON":                            {`{"template":"production-deploy","data":` + strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000) + "}", 400, "bad-input"},
		"a callback to a metadata server":      {encoded(t, deployBody(dict{"callback": "http://169.254.169.254/computeMetadata/v1/"})), 400, "bad-callback"},
	} {
		if a := ask(d.token(), c.body); a.status != c.status || !strings.Contains(a.body, "urn:jitaccess:problem:"+c.code) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}

	token := d.token()
	made := ask(token, encoded(t, deployBody(nil)))
	var first, second struct{ ID, Status string }
	decode(t, made.body, &first)
	if a := ask(token, encoded(t, deployBody(dict{"minutes": 5}))); a.status != http.StatusConflict {
		t.Errorf("the same key with another body: %d %s", a.status, a.body)
	}
	if a := w.form(bob, "/review?activation="+first.ID, url.Values{"verdict": {"approve"}}); a.status >= 400 {
		t.Fatal(a.status, a.body)
	}
	replayed := ask(token, encoded(t, deployBody(nil)))
	decode(t, replayed.body, &second)
	if replayed.status != http.StatusAccepted || second.ID != first.ID || second.Status != "approved" {
		t.Errorf("a replay after the approval: %d %s", replayed.status, replayed.body)
	}

	// An approver who is sub under another address, and by another name.
	for _, sub := range []string{bob, "bobby", "bobby@example.com", "BOB@example.com"} {
		a := ask(d.token(func(c jwt.MapClaims) { c["sub"] = sub }), encoded(t, deployBody(nil)))
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.body, "no-approvers") {
			t.Errorf("an approver who is sub as %s: %d %s", sub, a.status, a.body)
		}
	}
}

// A callback that leads on by a redirect leads nowhere, and stands in the log.
func TestACallbackToMetadataByARedirect(t *testing.T) {
	var reached, called atomic.Bool
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	t.Cleanup(inside.Close)
	theirs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		called.Store(true)
		http.Redirect(w, r, inside.URL+"/computeMetadata/v1/instance/service-accounts/default/token", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(theirs.Close)
	w := twoApplications(t, strings.TrimPrefix(theirs.URL, "http://"))
	d := deployer{t, w, w.url}
	status, made := d.call("POST", "/v1/approvals", "a", deployBody(dict{"callback": theirs.URL + "/done"}))
	if status != http.StatusAccepted {
		t.Fatal(status, made)
	}
	if a := w.form(bob, "/review?activation="+made["id"].(string), url.Values{"verdict": {"approve"}}); a.status >= 400 {
		t.Fatal(a.status, a.body)
	}
	if !called.Load() || reached.Load() || !strings.Contains(w.log.String(), "not-called-back") || !strings.Contains(w.log.String(), "307 Temporary Redirect") {
		t.Errorf("called %v, inside %v\n%s", called.Load(), reached.Load(), w.log)
	}
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err, text)
	}
}
