package gcp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/gcptest"
)

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

func connect(t *testing.T, endpoint string) *gcp.Platform {
	t.Helper()
	at := time.Now() // which does not pass: what may be done again after a while is not done again
	p, err := gcp.Connect(t.Context(), gcp.Options{Version: "2.0", Hosted: true, Endpoint: endpoint, Retry: gcptest.NoWait,
		Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
