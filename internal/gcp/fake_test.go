package gcp_test

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

// metadataServer answers as Google's does, unless an answer is replaced.
type metadataServer struct {
	mu      sync.Mutex
	values  map[string]string
	asked   map[string]int
	address string
}

func startMetadata(t *testing.T) *metadataServer {
	t.Helper()
	m := &metadataServer{asked: map[string]int{}, values: map[string]string{
		"project/project-id":                      "jit-access",
		"project/numeric-project-id":              "123456789012",
		"instance/region":                         "projects/123456789012/regions/europe-west1",
		"instance/service-accounts/default/email": "jitaccess@jit-access.iam.gserviceaccount.com",
		"instance/service-accounts/default/token": `{"access_token":"metadata-token","expires_in":3599,"token_type":"Bearer"}`,
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		path := strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")
		m.asked[path]++
		value, known := m.values[path]
		if !known || r.Header.Get("Metadata-Flavor") != "Google" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, value)
	}))
	t.Cleanup(server.Close)
	m.address = strings.TrimPrefix(server.URL, "http://")
	t.Setenv("GCE_METADATA_HOST", m.address)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	return m
}

// google is a server in place of all of Google's.
type google struct {
	URL string
	mu  sync.Mutex
	got []*http.Request
}

func startGoogle(t *testing.T, handler http.HandlerFunc) *google {
	t.Helper()
	g := &google{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.got = append(g.got, r.Clone(context.Background()))
		g.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	g.URL = server.URL
	return g
}

func (g *google) requests() []*http.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.got
}

// at counts the calls to paths that end in suffix.
func (g *google) at(suffix string) (count int) {
	for _, r := range g.requests() {
		if strings.HasSuffix(r.URL.Path, suffix) {
			count++
		}
	}
	return count
}

// noWait repeats reads at once.
var noWait = gcp.Retry{
	Sleep:  func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	Random: func() float64 { return 0 },
}

func connect(t *testing.T, endpoint string) *gcp.Platform {
	t.Helper()
	p, err := gcp.Connect(t.Context(), gcp.Options{Version: "2.0", Hosted: true, Endpoint: endpoint, Retry: noWait})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// refusal is an error body as Google writes it.
func refusal(status int, message, reason string) map[string]any {
	return map[string]any{"error": map[string]any{"code": status, "message": message, "status": "X",
		"errors": []any{map[string]any{"message": message, "domain": "global", "reason": reason}}}}
}
