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

// Account is the service's own account, Project its project.
const (
	Account = "jitaccess@jit-access.iam.gserviceaccount.com"
	Project = "jit-access"
)

// Google is a server in place of Google's.
type Google struct {
	// Platform is connected to it.
	Platform *gcp.Platform

	mu    sync.Mutex
	calls []string
}

// Start starts a server that ends with the test, with a metadata server beside it.
func Start(t testing.TB, handler http.HandlerFunc) *Google {
	t.Helper()
	g := &Google{}
	mux := http.NewServeMux()
	for path, value := range map[string]string{
		"project/project-id":                      Project,
		"project/numeric-project-id":              "123456789012",
		"instance/region":                         "projects/123456789012/regions/europe-west1",
		"instance/service-accounts/default/email": Account,
		"instance/service-accounts/default/token": `{"access_token":"token","expires_in":3599,"token_type":"Bearer"}`,
	} {
		mux.HandleFunc("GET /computeMetadata/v1/"+path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, value) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.calls = append(g.calls, r.Method+" "+r.URL.RequestURI())
		g.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer token" {
			http.Error(w, "no token", http.StatusUnauthorized)
			return
		}
		handler(w, r)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
	p, err := gcp.Connect(context.Background(), gcp.Options{Version: "test", Hosted: true, Endpoint: server.URL, Retry: gcp.Retry{
		Sleep:  func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		Random: func() float64 { return 0 },
	}})
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
func Answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	json.NewEncoder(w).Encode(body)
}

// Refuse answers with an error body as Google writes it.
func Refuse(status int, reason string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": status, "message": "refused: " + reason, "status": "X",
			"errors": []any{map[string]any{"message": "refused", "domain": "global", "reason": reason}}}})
	}
}
