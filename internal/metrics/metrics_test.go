package metrics_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/metrics"
)

const token = "a-token-of-scrapers"

func text(t testing.TB, s *metrics.Service) string {
	var b strings.Builder
	if err := s.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// used is a service in which everything has happened.
func used() *metrics.Service {
	s := metrics.New("1.0", func(context.Context) map[string]float64 {
		return map[string]float64{metrics.LedgerReachable: 1, metrics.OutboxMessages: 2, metrics.OutboxAge: 3, metrics.SweepAge: 4.5, metrics.PolicyAge: 5}
	})
	at := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	for _, action := range []access.Action{access.RequestMade, access.RequestApproved, access.RequestDenied, access.GrantWritten, access.GrantFailed} {
		s.Event(access.Event{Action: action, At: at.Add(61 * time.Second), Request: access.Request{Kind: access.Peers, Created: at,
			Principal: "canary@example.com", Resource: "projects/canary", Justification: "canary"}})
	}
	s.HTTP("GET", "/access/*", 200, 30*time.Millisecond)
	s.HTTP("GET", "", 404, time.Second)
	s.HTTP("CANARY", "/", 405, time.Hour)
	s.Call("cloudasset", 200, 20*time.Millisecond)
	s.Call("cloudasset", 503, time.Second)
	s.Call("pomerium", 0, time.Minute)
	s.Spans("exported", 512)
	s.Spans("dropped", 3)
	return s
}

func TestWhatIsTold(t *testing.T) {
	got := text(t, used())
	for _, line := range []string{
		`jitaccess_build_info{version="1.0"} 1`,
		`jitaccess_http_requests_total{method="GET",route="/access/*",status="200"} 1.0`,
		`jitaccess_http_requests_total{method="GET",route="none",status="404"} 1.0`,
		`jitaccess_http_requests_total{method="other",route="/",status="405"} 1.0`,
		`jitaccess_http_request_duration_seconds_bucket{route="/access/*",le="0.025"} 0`,
		`jitaccess_http_request_duration_seconds_bucket{route="/access/*",le="0.05"} 1`,
		`jitaccess_http_request_duration_seconds_bucket{route="/",le="30.0"} 0`,
		`jitaccess_http_request_duration_seconds_bucket{route="/",le="+Inf"} 1`,
		`jitaccess_http_request_duration_seconds_count{route="none"} 1`,
		`jitaccess_http_request_duration_seconds_sum{route="none"} 1.0`,
		`jitaccess_requests_total{kind="peers"} 1.0`,
		`jitaccess_decisions_total{decision="approved"} 1.0`,
		`jitaccess_time_to_decision_seconds_bucket{decision="approved",le="60.0"} 0`,
		`jitaccess_time_to_decision_seconds_bucket{decision="approved",le="300.0"} 1`,
		`jitaccess_grants_total{outcome="grant failed"} 1.0`,
		`jitaccess_upstream_duration_seconds_count{api="cloudasset"} 2`,
		`jitaccess_upstream_failures_total{api="cloudasset",status="503"} 1.0`,
		`jitaccess_upstream_failures_total{api="pomerium",status="none"} 1.0`,
		`jitaccess_spans_total{outcome="exported"} 512.0`, `jitaccess_spans_total{outcome="dropped"} 3.0`,
		`jitaccess_ledger_reachable 1.0`, `jitaccess_outbox_messages 2.0`, `jitaccess_outbox_age_seconds 3.0`, `jitaccess_sweep_age_seconds 4.5`,
		"# UNIT jitaccess_outbox_age_seconds seconds",
	} {
		if !strings.Contains(got, "\n"+line+"\n") {
			t.Errorf("it lacks %s", line)
		}
	}
	if strings.Contains(strings.ToLower(got), "canary") || !strings.HasSuffix(got, "\n# EOF\n") {
		t.Errorf("it is\n%s", got)
	}
	// What cannot be known is left out, and is no zero.
	if got := text(t, metrics.New("1.0", nil)); strings.Contains(got, "\njitaccess_outbox_messages ") || !strings.Contains(got, "# TYPE jitaccess_outbox_messages gauge\n") {
		t.Errorf("it is\n%s", got)
	}
}

// Each line is one that the format has: the sample after the type of its family, once.
func TestItIsOpenMetrics(t *testing.T) {
	sample := regexp.MustCompile(`^([a-z_]+?)(_total|_info|_bucket|_count|_sum)?(\{[a-z]+="(?:[^"\\\n]|\\[\\n"])*"(?:,[a-z]+="(?:[^"\\\n]|\\[\\n"])*")*\})? (?:[0-9.e+-]+)$`)
	s := used()
	s.HTTP("GET", "/a\"b\\c\nd", 200, 0)
	kind, name, seen := "", "", map[string]bool{}
	lines := strings.Split(strings.TrimSuffix(text(t, s), "# EOF\n"), "\n")
	for _, line := range lines[:len(lines)-1] {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ = strings.Cut(rest, " ")
			if seen[name] {
				t.Errorf("%s stands twice", name)
			}
			seen[name] = true
			continue
		}
		if strings.HasPrefix(line, "# UNIT "+name+" ") || strings.HasPrefix(line, "# HELP "+name+" ") {
			continue
		}
		m := sample.FindStringSubmatch(line)
		want := map[string][]string{"counter": {"_total"}, "info": {"_info"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum"}}[kind]
		if m == nil || m[1] != name || !slices.Contains(want, m[2]) || seen[m[1]+m[2]+m[3]] && m[2] != "" {
			t.Errorf("not a sample of the %s %s: %s", kind, name, line)
		} else {
			seen[m[1]+m[2]+m[3]] = true
		}
	}
}

// Each name of the document is told, with its type and labels, and each that is told is in it.
func TestTheDocumentIsWhatIsTold(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, told []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(jitaccess_[a-z_]+)` \\| ([a-z]+) \\| ([a-z, ]*?) ?\\| ").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, row[1]+" "+row[2]+" "+row[3])
	}
	got := text(t, used())
	for _, family := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(got, -1) {
		first := regexp.MustCompile(`(?m)^` + family[1] + `(?:_total|_info|_bucket)?\{(.*)\} `).FindStringSubmatch(got)
		var labels []string
		if first != nil {
			for _, label := range regexp.MustCompile(`([a-z]+)="`).FindAllStringSubmatch(first[1], -1) {
				if label[1] != "le" {
					labels = append(labels, label[1])
				}
			}
		}
		told = append(told, family[1]+" "+family[2]+" "+strings.Join(labels, ", "))
	}
	slices.Sort(documented)
	slices.Sort(told)
	if !slices.Equal(documented, told) || len(told) < 10 {
		t.Errorf("documented are\n%s\ntold are\n%s", strings.Join(documented, "\n"), strings.Join(told, "\n"))
	}
}

func TestWhoMayRead(t *testing.T) {
	for _, test := range []struct {
		name, method, path, authorization string
		status                            int
		refused                           string
	}{
		{"a scraper", "GET", "/metrics", "Bearer " + token, 200, ""},
		{"a scraper that spells it otherwise", "GET", "/metrics", "bearer " + token, 200, ""},
		{"nobody", "GET", "/metrics", "", 401, "it sent no token"},
		{"nobody, elsewhere", "GET", "/", "", 401, "it sent no token"},
		{"an empty token", "GET", "/metrics", "Bearer ", 401, "its token is not METRICS_TOKEN"},
		{"another token", "GET", "/metrics", "Bearer canary-4711-canary", 401, "its token is not METRICS_TOKEN"},
		{"the beginning of it", "GET", "/metrics", "Bearer " + token[:10], 401, "its token is not METRICS_TOKEN"},
		{"a password", "GET", "/metrics", "Basic " + token, 401, "its token is not METRICS_TOKEN"},
		{"the token alone", "GET", "/metrics", token, 401, "its token is not METRICS_TOKEN"},
		{"the token in the address", "GET", "/metrics?access_token=" + token, "", 401, "it sent no token"},
		{"a scraper at another address", "GET", "/debug/pprof", "Bearer " + token, 404, ""},
		{"a scraper that writes", "POST", "/metrics", "Bearer " + token, 405, ""},
	} {
		refused := ""
		h := used().Handler(token, func(why string) { refused = why })
		r, w := httptest.NewRequest(test.method, test.path, nil), httptest.NewRecorder()
		if test.authorization != "" {
			r.Header.Set("Authorization", test.authorization)
		}
		h.ServeHTTP(w, r)
		if w.Code != test.status || refused != test.refused || strings.Contains(w.Body.String(), "jitaccess_") != (test.status == 200) {
			t.Errorf("%s: %d, %q, %s", test.name, w.Code, refused, w.Body)
		}
		if (w.Header().Get("WWW-Authenticate") != "") != (w.Code == 401) || w.Code == 200 && w.Header().Get("Content-Type") != metrics.ContentType {
			t.Errorf("%s: %v", test.name, w.Header())
		}
	}
	// Without a token there is nobody who could be known.
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Authorization", "Bearer ")
	used().Handler("", func(string) {}).ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("no token: %d", w.Code)
	}
}

// Whatever happens in however many projects, no more is told.
func TestWhatIsToldDoesNotGrow(t *testing.T) {
	s := metrics.New("1.0", nil)
	happen := func(n int) {
		for i := range n {
			s.Event(access.Event{Action: access.RequestMade, Request: access.Request{Kind: access.Self, Resource: access.Resource(fmt.Sprint("projects/p", i)),
				Principal: access.Principal(fmt.Sprintf("p%d@example.com", i))}})
			s.HTTP(fmt.Sprint("M", i), "/access/*", 200, 0)
		}
	}
	happen(1)
	few := strings.Count(text(t, s), "\n")
	if happen(10_000); strings.Count(text(t, s), "\n") != few {
		t.Errorf("%d lines became %d", few, strings.Count(text(t, s), "\n"))
	}
}

func BenchmarkWrite(b *testing.B) {
	s := used()
	for route := range 150 {
		s.HTTP("GET", fmt.Sprint("/route/", route), 200, time.Millisecond)
	}
	for b.Loop() {
		if err := s.Write(b.Context(), io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
