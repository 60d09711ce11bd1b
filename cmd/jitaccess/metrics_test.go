package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
)

const scraperToken = "a-token-of-scrapers"

// scrape asks a service as a scraper with a token does.
func scrape(s *service, token string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	s.metrics.ServeHTTP(w, r)
	return w
}

// metered is the service of a world that is scraped.
func metered(t testing.TB, w *world, log *lockedBuffer) *service {
	t.Helper()
	w.Environment["METRICS_ADDRESS"], w.Environment["METRICS_TOKEN"] = "127.0.0.1:9090", scraperToken
	c, err := config.Read(w.Env(nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.Ledger.Database.IsZero() { // the platform of the world is Cloud Run, which has no disk
		c.Ledger.Database = config.StoredText{Value: config.NewSecret("sqlite:" + filepath.Join(t.TempDir(), "ledger.db"))}
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	s, err := start(ctx, c, w.mail.Roots, clock{now: w.now, sleep: sleep}, log)
	if err != nil {
		t.Fatal(err)
	}
	w.service.open(s)
	return s
}

// What people do and what the service asks of Google is counted, without their names.
func TestMetricsTellWhatHappens(t *testing.T) {
	w := newWorld(t, surroundings{})
	var log lockedBuffer
	s := metered(t, w, &log)
	if page := w.page("alice@example.com", "/"); page.status != http.StatusOK {
		t.Fatalf("%+v", page)
	}
	got := scrape(s, scraperToken)
	for _, want := range []string{
		`jitaccess_http_requests_total{method="GET",route="/",status="200"} 1.0`, `jitaccess_upstream_duration_seconds_count{api="google"} `,
		"jitaccess_ledger_reachable 1.0", "jitaccess_outbox_messages 0.0", `jitaccess_build_info{version="dev"} 1`,
	} {
		if !strings.Contains(got.Body.String(), "\n"+want) {
			t.Errorf("it lacks %s:\n%s", want, got.Body)
		}
	}
	for _, name := range []string{"alice", "projects/", "example.com"} {
		if strings.Contains(got.Body.String(), name) {
			t.Errorf("it has the name %s", name)
		}
	}
	for range 3 {
		if got := scrape(s, "another-token-4711"); got.Code != http.StatusUnauthorized {
			t.Errorf("another token: %d", got.Code)
		}
	}
	if said := log.String(); strings.Count(said, "a scraper of metrics was refused") != 1 || !strings.Contains(said, "have it send METRICS_TOKEN") ||
		strings.Contains(said, "another-token-4711") || strings.Contains(said, "[redacted]") {
		t.Errorf("the log says\n%s", said)
	}
	// At the port where people come in there is none of it.
	if page := w.page("alice@example.com", "/metrics"); page.status != http.StatusNotFound {
		t.Errorf("%d", page.status)
	}
}

// A port that another has is said before anything starts.
func TestMetricsNeedTheirPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = listenForScrapers(&config.Config{Metrics: config.Metrics{Address: taken.Addr().String()}})
	if err == nil || !strings.Contains(err.Error(), "METRICS_ADDRESS") {
		t.Error(err)
	}
	if l, err := listenForScrapers(&config.Config{}); l != nil || err != nil {
		t.Error(l, err)
	}
}

// BenchmarkMetrics is a scrape where each of 10,000 projects was asked for, with a ledger.
func BenchmarkMetrics(b *testing.B) {
	var log lockedBuffer
	s := metered(b, newWorld(b, surroundings{measured: true}), &log)
	for i := range 10_000 {
		s.observing.metrics.Event(access.Event{Action: access.RequestMade, Request: access.Request{Kind: access.Self, Resource: access.Resource(fmt.Sprint("projects/p", i))}})
		s.observing.metrics.HTTP(http.MethodGet, "/access/*", http.StatusOK, 0)
		s.observing.metrics.Call("cloudresourcemanager", http.StatusOK, 0)
	}
	for b.Loop() {
		if got := scrape(s, scraperToken); got.Code != http.StatusOK {
			b.Fatal(got.Code)
		}
	}
}
