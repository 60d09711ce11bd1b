package gcp_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/gcptest"
)

func get(t *testing.T, c *http.Client, url string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(r)
	if err == nil {
		t.Cleanup(func() { response.Body.Close() })
	}
	return response, err
}

func TestMetadataServerSaysWhoTheServiceIs(t *testing.T) {
	gcptest.StartMetadata(t)
	p := connect(t, "")
	if p.Project != "jit-access" || p.ProjectNumber != "123456789012" || p.Region != "europe-west1" ||
		p.ServiceAccount != "jitaccess@jit-access.iam.gserviceaccount.com" {
		t.Errorf("got %+v", p)
	}
	for service, want := range map[string]string{
		"cloudasset":      "https://cloudasset.googleapis.com",
		"www.gstatic.com": "https://www.gstatic.com",
	} {
		if got := p.Endpoint(service); got != want {
			t.Errorf("Endpoint(%q) = %q, want %q", service, got, want)
		}
	}
}

func TestRegionIsOptional(t *testing.T) {
	m := gcptest.StartMetadata(t)
	delete(m.Values, "instance/region")
	if p := connect(t, ""); p.Region != "" {
		t.Errorf("region is %q", p.Region)
	}
}

func TestWithoutKnowingWhoItIsNothingStarts(t *testing.T) {
	for name, change := range map[string]func(m map[string]string){
		"no project":                     func(m map[string]string) { delete(m, "project/project-id") },
		"no number":                      func(m map[string]string) { delete(m, "project/numeric-project-id") },
		"no account":                     func(m map[string]string) { delete(m, "instance/service-accounts/default/email") },
		"a project that leaves its path": func(m map[string]string) { m["project/project-id"] = "../../evil" },
		"a number that is none":          func(m map[string]string) { m["project/numeric-project-id"] = "12/34" },
		"an account that leaves its path": func(m map[string]string) {
			m["instance/service-accounts/default/email"] = "x@y/../z:signJwt?"
		},
		"a web page": func(m map[string]string) { m["project/project-id"] = "<html>\nlog in</html>" },
	} {
		t.Run(name, func(t *testing.T) {
			change(gcptest.StartMetadata(t).Values)
			_, err := gcp.Connect(t.Context(), gcp.Options{Hosted: true})
			e := access.AsError(err)
			if e == nil || e.Kind != access.Unavailable || strings.Contains(e.Error(), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestEndpointMustBeLoopback(t *testing.T) {
	gcptest.StartMetadata(t)
	for endpoint, ok := range map[string]bool{
		"http://127.0.0.1:8081":        true,
		"http://127.0.0.1:8081/":       true,
		"http://[::1]:8081":            true,
		"http://localhost:8081":        true,
		"https://127.0.0.1:8443":       true,
		"http://example.com":           false,
		"https://www.googleapis.com":   false,
		"http://127.0.0.1.example.com": false,
		"http://localhost.example.com": false,
		"http://127.0.0.1@example.com": false,
		"http://user@127.0.0.1":        false,
		"http://127.0.0.1/path":        false,
		"http://127.0.0.1?x=1":         false,
		"http://127.0.0.1#x":           false,
		"http://169.254.169.254":       false,
		"http://0.0.0.0:80":            false,
		"http://[::ffff:10.0.0.1]":     false,
		"ftp://127.0.0.1":              false,
		"127.0.0.1:8081":               false,
		"//127.0.0.1":                  false,
		"http://2130706433":            false,
		"http://127.0.0.1:port":        false,
		" ":                            false,
	} {
		_, err := gcp.Connect(t.Context(), gcp.Options{Hosted: true, Endpoint: endpoint})
		if (err == nil) != ok {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestEndpointReplacesEveryHostAndGetsTheTokens(t *testing.T) {
	m := gcptest.StartMetadata(t)
	g := startGoogle(t, func(w http.ResponseWriter, r *http.Request) { gcptest.Answer(w, map[string]any{}) })
	p := connect(t, g.URL+"/")
	for _, service := range []string{"cloudasset", "iam", "www.gstatic.com"} {
		if p.Endpoint(service) != g.URL {
			t.Errorf("Endpoint(%q) = %q", service, p.Endpoint(service))
		}
	}
	for range 3 {
		if _, err := get(t, p.Client, p.Endpoint("iam")+"/v1/roles/viewer"); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range g.requests() {
		if r.Header.Get("Authorization") != "Bearer metadata-token" || r.Header.Get("User-Agent") != "JIT-Access/2.0" {
			t.Errorf("sent %v", r.Header)
		}
	}
	if n := m.Asked("instance/service-accounts/default/token"); n != 1 {
		t.Errorf("asked for a token %d times, want once for three calls", n)
	}
}

func TestNoCredentialsGoToAnEndpointWithoutMetadataHost(t *testing.T) {
	t.Setenv("GCE_METADATA_HOST", "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", keyFile(t, "service_account"))
	if _, err := gcp.Connect(t.Context(), gcp.Options{Endpoint: "http://127.0.0.1:1"}); err == nil {
		t.Error("application default credentials were taken for a replaced Google")
	}
}

func TestDefaultCredentialsMustBeOfAServiceAccount(t *testing.T) {
	t.Setenv("GCE_METADATA_HOST", "")
	t.Setenv("GOOGLE_CLOUD_PROJECT", "")
	for kind, ok := range map[string]bool{"service_account": true, "authorized_user": false} {
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", keyFile(t, kind))
		p, err := gcp.Connect(t.Context(), gcp.Options{})
		if (err == nil) != ok {
			t.Errorf("%s: %v", kind, err)
		}
		if ok && (p.Project != "jit-access" || p.ServiceAccount != "jitaccess@jit-access.iam.gserviceaccount.com") {
			t.Errorf("got %+v", p)
		}
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "absent.json"))
	if _, err := gcp.Connect(t.Context(), gcp.Options{}); err == nil {
		t.Error("a missing file was accepted")
	}
}

func keyFile(t *testing.T, kind string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	file := map[string]string{"type": kind, "project_id": "jit-access", "private_key_id": "1",
		"client_id": "1", "client_secret": "s", "refresh_token": "r", "token_uri": "http://127.0.0.1:1/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))}
	if kind == "service_account" {
		file["client_email"] = "jitaccess@jit-access.iam.gserviceaccount.com"
	}
	raw, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The token must not follow a redirect to another host.
func TestThreat25_RedirectsAreNotFollowed(t *testing.T) {
	gcptest.StartMetadata(t)
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer elsewhere.Close()
	g := startGoogle(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	p := connect(t, g.URL)
	for _, c := range []*http.Client{p.Client, p.DirectoryClient} {
		response, err := get(t, c, g.URL+"/v1/x")
		if err != nil || response.StatusCode != http.StatusFound {
			t.Errorf("got %v, %v", response, err)
		}
	}
	if _, err := p.IAPKeys(t.Context()); err == nil {
		t.Error("a redirect passed for a key set")
	}
	if reached {
		t.Error("followed")
	}
}

func TestServerThatHangsTimesOut(t *testing.T) {
	gcptest.StartMetadata(t)
	done := make(chan struct{})
	g := startGoogle(t, func(w http.ResponseWriter, r *http.Request) { <-done })
	defer close(done)
	p, err := gcp.Connect(t.Context(), gcp.Options{Hosted: true, Endpoint: g.URL,
		ConnectTimeout: time.Second, ReadTimeout: 20 * time.Millisecond, WriteTimeout: time.Second, Retry: gcptest.NoWait})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.ServiceAccountKeys(t.Context())
	if e := access.AsError(err); e == nil || e.Kind != access.TimedOut || e.Code != access.CodeUpstreamTimeout {
		t.Errorf("got %v", err)
	}
}

func TestKeySets(t *testing.T) {
	gcptest.StartMetadata(t)
	g := startGoogle(t, func(w http.ResponseWriter, r *http.Request) { gcptest.Answer(w, map[string]any{"keys": []any{}}) })
	p := connect(t, g.URL)
	for want, fetch := range map[string]func() ([]byte, error){
		"/service_accounts/v1/metadata/jwk/jitaccess@jit-access.iam.gserviceaccount.com": func() ([]byte, error) { return p.ServiceAccountKeys(t.Context()) },
		"/iap/verify/public_key-jwk": func() ([]byte, error) { return p.IAPKeys(t.Context()) },
	} {
		body, err := fetch()
		if err != nil || strings.TrimSpace(string(body)) != `{"keys":[]}` {
			t.Errorf("got %q, %v", body, err)
		}
		if g.at(want) != 1 {
			t.Errorf("%s was not asked for", want)
		}
	}
	for _, r := range g.requests() {
		if r.Header.Get("Authorization") != "" {
			t.Error("a public document was asked for with credentials")
		}
	}
}

func TestKeySetThatCannotBeHad(t *testing.T) {
	gcptest.StartMetadata(t)
	for name, handler := range map[string]http.HandlerFunc{
		"too large":   func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 300<<10)) },
		"not found":   http.NotFound,
		"forbidden":   gcptest.RefuseBecause(403, "forbidden", "no"),
		"unavailable": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) },
		"cut off": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("{"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := connect(t, startGoogle(t, handler).URL)
			_, err := p.IAPKeys(t.Context())
			if e := access.AsError(err); e == nil || e.Code != access.CodeUpstreamFailed {
				t.Errorf("got %v", err)
			}
		})
	}
}
