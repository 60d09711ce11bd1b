package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

// compact makes a compact JWS of raw parts.
func compact(header, claims string, sign func(string) []byte) string {
	signed := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return signed + "." + base64.RawURLEncoding.EncodeToString(sign(signed))
}

// parts are the header and the claims of a compact JWS.
func parts(t *testing.T, token string) (header, claims string) {
	t.Helper()
	p := strings.Split(token, ".")
	h, err := base64.RawURLEncoding.DecodeString(p[0])
	if err != nil {
		t.Fatal(err)
	}
	c, err := base64.RawURLEncoding.DecodeString(p[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(h), string(c)
}

// TestOnlyWhoTheProxyVouchesForGetsIn: everything else is 401 with a line in the log
// that says why, on pages and in the JSON interface, and does nothing.
func TestOnlyWhoTheProxyVouchesForGetsIn(t *testing.T) {
	w := newWorld(t, surroundings{})
	good := w.assertion(alice)
	header, claims := parts(t, good)
	kid := header[strings.Index(header, `"kid":"`)+7:]
	kid = kid[:strings.Index(kid, `"`)]
	keys := w.get("/iap/verify/public_key-jwk")
	edit := func(changes dict) string {
		return w.assertion(alice, func(c map[string]any) {
			for k, v := range changes {
				if v == nil {
					delete(c, k)
				} else {
					c[k] = v
				}
			}
		})
	}
	now := time.Now().Unix()
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own, err := w.cloud.IssueToken(w.cloud.ServiceAccount())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		rule, assertion, why string
	}{
		{"missing", "", "no-identity"},
		{"no token at all", "alice@example.com", "bad-identity"},
		{"dots", strings.Repeat(".", 8<<10), "bad-identity"},
		{"an access token", own, "bad-identity"},
		{"alg none", compact(strings.Replace(header, "ES256", "none", 1), claims, func(string) []byte { return nil }), "bad-identity"},
		{"HS256, with the public key for a secret", compact(strings.Replace(header, "ES256", "HS256", 1), claims, func(s string) []byte {
			m := hmac.New(sha256.New, []byte(keys))
			m.Write([]byte(s))
			return m.Sum(nil)
		}), "bad-identity"},
		{"the service account's signature", w.signAsAccount(claims), "bad-identity"},
		{"signed by a stranger with a known key id", compact(header, claims, func(s string) []byte {
			d := sha256.Sum256([]byte(s))
			r, v, err := ecdsa.Sign(rand.Reader, stranger, d[:])
			if err != nil {
				t.Fatal(err)
			}
			return append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)
		}), "bad-identity"},
		{"a signature of nothing", compact(header, claims, func(string) []byte { return make([]byte, 64) }), "bad-identity"},
		{"an unknown key", compact(strings.Replace(header, kid, "unknown", 1), claims, func(string) []byte { return make([]byte, 64) }), "bad-identity"},
		{"claims of another, the signature of this", strings.Join([]string{
			strings.Split(good, ".")[0], base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(claims, alice, bob, 1))), strings.Split(good, ".")[2]}, "."), "bad-identity"},
		{"another issuer", edit(dict{"iss": "https://accounts.google.com"}), "issuer"},
		{"another service's audience", edit(dict{"aud": "/projects/" + w.cloud.ProjectNumber() + "/locations/europe-west1/services/other"}), "audience"},
		{"another project's audience", edit(dict{"aud": "/projects/1/locations/europe-west1/services/jitaccess"}), "audience"},
		{"an array of audiences", edit(dict{"aud": []string{"/projects/" + w.cloud.ProjectNumber() + "/locations/" + w.cloud.Region() + "/services/jitaccess"}}), "aud"},
		{"no audience", edit(dict{"aud": nil}), "aud"},
		{"expired", edit(dict{"iat": now - 700, "exp": now - 40}), "expired"},
		{"no expiry", edit(dict{"exp": nil}), "exp"},
		{"expiry as text", edit(dict{"exp": "9999999999"}), "claim exp"},
		{"issued in the future", edit(dict{"iat": now + 40, "exp": now + 600}), "future"},
		{"valid for a day", edit(dict{"exp": now + 86400}), "longer"},
		{"no subject", edit(dict{"sub": ""}), "claim sub"},
		{"no e-mail address", edit(dict{"email": nil}), "claim email"},
		{"a service account", edit(dict{"email": w.cloud.ServiceAccount()}), "email"},
		{"an address with two at signs", edit(dict{"email": "alice@example.com@evil.example"}), "email"},
		{"an address that only Unicode folds to hers", edit(dict{"email": "\u212a@example.com"}), "email"},
	}
	for _, test := range tests {
		for _, path := range []string{"/", "/access/projects/" + project, "/api/policy", "/api/projects", "/nowhere"} {
			from := len(w.log.String())
			r := w.request("GET", path, nil)
			r.Header.Set("X-JITACCESS", "1")
			if test.assertion != "" {
				r.Header.Set("X-Goog-Iap-Jwt-Assertion", test.assertion)
			}
			w.send("", r).expect(t, 401)
			if line := w.log.String()[from:]; !strings.Contains(line, test.why) || !strings.Contains(line, `"status":"401"`) {
				t.Errorf("%s: the log says %s", test.rule, line)
			} else if test.assertion != "" && len(test.assertion) > 100 && strings.Contains(line, test.assertion) {
				t.Errorf("%s: the log has the assertion", test.rule)
			}
		}
		before := w.foreign("projects/" + project)
		r := w.request("POST", selfURL, strings.NewReader(encoded(t, selfBody(nil))))
		r.Header.Set("X-JITACCESS", "1")
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Goog-Authenticated-User-Email", "accounts.google.com:"+alice)
		if test.assertion != "" {
			r.Header.Set("X-Goog-Iap-Jwt-Assertion", test.assertion)
		}
		w.send("", r).expect(t, 401)
		if w.foreign("projects/"+project) != before {
			t.Errorf("%s: the policy changed", test.rule)
		}
	}
	// The same, untouched, gets in; within the skew of 30 seconds too.
	for _, assertion := range []string{good, edit(dict{"iat": now + 20, "exp": now + 600}), edit(dict{"iat": now - 600, "exp": now - 10})} {
		r := w.request("GET", "/api/policy", nil)
		r.Header.Set("X-JITACCESS", "1")
		r.Header.Set("X-Goog-Iap-Jwt-Assertion", assertion)
		w.send("", r).expect(t, 200, alice)
	}
	twice := w.request("GET", "/", nil)
	twice.Header["X-Goog-Iap-Jwt-Assertion"] = []string{good, good}
	w.send("", twice).expect(t, 401)
}

// TestKeysSurviveTheirServer: keys that were good are used while nobody can be
// asked for new ones; a new key is found when its server is back.
func TestKeysSurviveTheirServer(t *testing.T) {
	w := newWorld(t, surroundings{})
	w.page(alice, "/").expect(t, 200)
	for _, path := range []string{"/iap/verify/", "/service_accounts/"} {
		w.cloud.Faults().Add(google.Fault{Path: path, Status: 503})
	}
	w.pass(20 * time.Minute)
	w.page(alice, "/").expect(t, 200)
	if err := w.cloud.Faults().RotateKeys(); err != nil {
		t.Fatal(err)
	}
	if a := w.page(alice, "/"); a.status != 401 && a.status != 503 {
		t.Errorf("a key that nobody can check: %d", a.status)
	}
	w.cloud.Faults().Clear()
	w.pass(61 * time.Second)
	w.page(alice, "/").expect(t, 200)
}

// TestReadinessFollowsWhatRequestsWouldMeet: while nobody can be identified every page
// answers 503, and so does /health/ready; keys that were fetched once are kept, and
// then it only names what is missing.
func TestReadinessFollowsWhatRequestsWouldMeet(t *testing.T) {
	w := newWorld(t, surroundings{})
	ready := func(status int, texts ...string) {
		t.Helper()
		w.pass(6 * time.Second) // longer than an outcome is remembered
		w.call("", "GET", "/health/ready", "").expect(t, status, texts...)
	}
	out := func(path string) {
		w.cloud.Faults().Add(google.Fault{Path: path, Status: 403, Message: "egress denied"})
	}
	out("/iap/verify/")
	w.page(alice, "/").expect(t, 503)
	ready(503, `"healthy":false`, `"IapKeysAreAvailable":false`, `"ServiceAccountKeysAreAvailable":true`)
	if w.logged("ServiceAccountKeysAreAvailable") || !w.logged("IapKeysAreAvailable", "WARNING") {
		t.Error("the log does not say which dependency fails")
	}
	w.cloud.Faults().Clear()
	ready(200, `"healthy":true`, `"IapKeysAreAvailable":true`)
	w.page(alice, "/").expect(t, 200)

	out("/iap/verify/")
	w.pass(20 * time.Minute)
	ready(200, `"healthy":true`, `"IapKeysAreAvailable":false`, `"ServiceAccountKeysAreAvailable":true`)
	w.page(alice, "/").expect(t, 200)
	w.cloud.Faults().Clear()
	w.pass(2 * time.Minute)
	ready(200, `"healthy":true`, `"IapKeysAreAvailable":true`)

	// Links cannot be opened without the account's own keys, but pages can.
	out("/service_accounts/")
	w.pass(20 * time.Minute)
	ready(200, `"healthy":true`, `"ServiceAccountKeysAreAvailable":false`)
	w.page(alice, "/").expect(t, 200)
}

// TestLinksLeadToThisAppEngineService: the host of another service than the default
// one has that service's name in it; any other host leads to somebody else's code.
func TestLinksLeadToThisAppEngineService(t *testing.T) {
	const projectHost = "example-jitaccess"
	for service, hosts := range map[string]map[string]bool{
		"default": {projectHost + ".ew.r.appspot.com": true, projectHost + ".appspot.com": true,
			"jit-dot-" + projectHost + ".appspot.com": false, "jit-dot-" + projectHost + ".ew.r.appspot.com": false},
		"jit": {"jit-dot-" + projectHost + ".ew.r.appspot.com": true, "jit-dot-" + projectHost + ".appspot.com": true,
			projectHost + ".ew.r.appspot.com": false, projectHost + ".appspot.com": false, "other-dot-" + projectHost + ".appspot.com": false,
			"v1-dot-jit-dot-" + projectHost + ".appspot.com": false},
	} {
		w := newWorld(t, surroundings{environment: map[string]string{"K_SERVICE": "", "GAE_SERVICE": service, "GOOGLE_CLOUD_PROJECT": projectHost, "PUBLIC_URL": ""}})
		for host, ours := range hosts {
			r := w.request("POST", askURL, strings.NewReader(encoded(t, askBody(nil))))
			r.Host = host
			r.Header.Set("X-Goog-Iap-Jwt-Assertion", w.assertion(alice, func(c map[string]any) { c["aud"] = "/projects/" + w.cloud.ProjectNumber() + "/apps/" + projectHost }))
			r.Header.Set("X-JITACCESS", "1")
			r.Header.Set("Content-Type", "application/json")
			a := w.send("", r)
			if ours && (a.status != 200 || !strings.HasPrefix(a.ReviewURL, "https://"+host+"/?activation=")) || !ours && a.Code != "no-public-url" {
				t.Errorf("service %s under %s: %d %s %.80s", service, host, a.status, a.Message, a.ReviewURL)
			}
		}
		var out bytes.Buffer
		examine(t.Context(), w.env(nil), recipients{}, w.mail.Roots, &out)
		label := projectHost
		if service != "default" {
			label = service + "-dot-" + projectHost
		}
		if want := "ok       public address: links can be written under https://" + label + ".appspot.com and https://" + label + ".REGION.r.appspot.com;"; !strings.Contains(out.String(), want) {
			t.Errorf("service %s: doctor does not say %q:\n%s", service, want, out.String())
		}
	}
}

// get asks Google without credentials.
func (w *world) get(path string) string {
	w.t.Helper()
	response, err := http.Get(w.google + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(body)
}
