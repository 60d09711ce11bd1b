// Package gcptest puts a server in place of all of Google's, for tests of the
// packages beneath gcp. The server knows nothing; each test brings its answers.
package gcptest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/gcp"
)

// Account is the service's own account, Project its project, Token what it calls with.
const (
	Account = "jitaccess@jit-access.iam.gserviceaccount.com"
	Project = "jit-access"
	Token   = "metadata-token"
)

// Metadata is a metadata server that answers as Google's does, unless an answer is
// replaced.
type Metadata struct {
	Address string
	// Values are the answers by path. They may be changed before anybody asks.
	Values map[string]string
	// Token, when set, is the answer to who asks for a token.
	Token func() string

	mu    sync.Mutex
	asked map[string]int
}

// StartMetadata starts a metadata server that ends with the test. The process finds it.
func StartMetadata(t testing.TB) *Metadata {
	t.Helper()
	m := &Metadata{asked: map[string]int{}, Values: map[string]string{
		"project/project-id":                      Project,
		"project/numeric-project-id":              "123456789012",
		"instance/region":                         "projects/123456789012/regions/europe-west1",
		"instance/service-accounts/default/email": Account,
		"instance/service-accounts/default/token": `{"access_token":"` + Token + `","expires_in":3599,"token_type":"Bearer"}`,
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		path := strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")
		m.asked[path]++
		value, known := m.Values[path]
		if !known || r.Header.Get("Metadata-Flavor") != "Google" {
			http.NotFound(w, r)
			return
		}
		if m.Token != nil && strings.HasSuffix(path, "/token") {
			value = m.Token()
		}
		fmt.Fprint(w, value)
	}))
	t.Cleanup(server.Close)
	m.Address = strings.TrimPrefix(server.URL, "http://")
	t.Setenv("GCE_METADATA_HOST", m.Address)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	return m
}

// Asked is how often a path was asked for.
func (m *Metadata) Asked(path string) int { m.mu.Lock(); defer m.mu.Unlock(); return m.asked[path] }

// NoWait repeats reads at once.
var NoWait = gcp.Retry{
	Sleep:  func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	Random: func() float64 { return 0 },
}

// Google is a server in place of Google's.
type Google struct {
	// Platform is connected to it.
	Platform *gcp.Platform

	mu    sync.Mutex
	calls []string
}

// Start starts a server that ends with the test, with a metadata server beside it.
func Start(t testing.TB, handler http.HandlerFunc) *Google { return StartAt(t, time.Now, handler) }

// StartAt is Start with the clock by which quotas are spent.
func StartAt(t testing.TB, now func() time.Time, handler http.HandlerFunc) *Google {
	t.Helper()
	g := &Google{}
	StartMetadata(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.calls = append(g.calls, r.Method+" "+r.URL.RequestURI())
		g.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer "+Token {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	p, err := gcp.Connect(context.Background(), gcp.Options{Version: "test", Hosted: true, Endpoint: server.URL, Retry: NoWait, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	g.Platform = p
	return g
}

// Calls counts the calls whose "METHOD /path?query" contains part.
func (g *Google) Calls(part string) (count int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.calls {
		if strings.Contains(c, part) {
			count++
		}
	}
	return count
}

// Answer writes a JSON body.
func Answer(w http.ResponseWriter, body any) { write(w, http.StatusOK, body) }

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// Refuse answers with an error body as Google writes it.
func Refuse(status int, reason string) http.HandlerFunc {
	return RefuseBecause(status, reason, "refused: "+reason)
}

// RefuseBecause is Refuse with Google's text and perhaps details.
func RefuseBecause(status int, reason, message string, details ...any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		write(w, status, map[string]any{"error": map[string]any{"code": status, "message": message, "status": "X", "details": details,
			"errors": []any{map[string]any{"message": message, "domain": "global", "reason": reason}}}})
	}
}
