package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/porttest"
)

// everyTrace takes the traces of all stories that the tests have, and looks at each of them.
var everyTrace = sync.OnceValue(func() *traceCollector {
	c := &traceCollector{}
	c.url = httptest.NewServer(c).URL
	return c
})

// traceCollector takes traces, and finds what must not be in one.
type traceCollector struct {
	url   string
	mu    sync.Mutex
	spans []*tracev1.Span
	found []string
}

func (c *traceCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	var data tracev1.TracesData
	if err == nil {
		err = proto.Unmarshal(text, &data)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || r.Header.Get("Traceparent") != "" {
		c.found = append(c.found, fmt.Sprintf("what is sent is no OTLP: %v", err))
	}
	for _, resource := range data.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, s)
				if why := tells(s); why != "" {
					c.found = append(c.found, why)
				}
			}
		}
	}
	if over := len(c.spans) - 20_000; over > 0 {
		c.spans = slices.Clone(c.spans[over:])
	}
}

// judge reports what was found in the traces until now.
func (c *traceCollector) judge(t testing.TB) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, found := range c.found {
		t.Errorf("a trace tells %s", found)
	}
	c.found = nil
}

// spanNames are all that there are of what is no request and no call, and attributeValues what each
// attribute can be: what the product itself knows. A name of a person, a project or a role is none
// of it, nor is what somebody wrote.
var (
	spanNames = []string{"ask", "ask for", "add reviewers", "decide", "end", "withdraw", "review glass", "enrol passkey", "approve passkey", "remove passkey",
		"change application", "take in a bounce", "sweep", "survey", "reconcile"}
	apiValues       = `google|identity|login|oauth|pomerium|github|callback|smtp|imap|database`
	callValues      = `GET|POST|PUT|PATCH|DELETE|connect|send|look|read|write|[gs]etIamPolicy|testIamPermissions|signJwt|batchGet|analyzeIamPolicy|searchAllIamPolicies|searchAllResources|searchTransitiveMemberships|searchTransitiveGroups|generateAccessToken|runQuery|runAggregationQuery|commit`
	methodValues    = `GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|other`
	attributeValues = map[string]*regexp.Regexp{
		attributeAPI:      regexp.MustCompile(`^(` + apiValues + `)$`),
		attributeCall:     regexp.MustCompile(`^(` + callValues + `)$`),
		attributeKind:     regexp.MustCompile(`^(` + string(access.Self) + `|` + string(access.Peers) + `|` + string(access.BreakGlass) + `)$`),
		attributeIncident: regexp.MustCompile(`^[0-9A-Z]{4}-[0-9A-Z]{4}$`),
		attributeMethod:   regexp.MustCompile(`^(` + methodValues + `)$`),
	}
	numbers = []string{attributeStatus, attributeAnswer}
)

// knownRoutes are the patterns of all routes, and knownCodes all codes of errors; both are in the
// description of the interface, which other tests hold against the product.
var knownRoutes, knownCodes = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{"/api": true, "/admin/api": true} // they end in a slash, which chi leaves out
	for _, c := range routeCalls {
		_, pattern, _ := strings.Cut(c.route, " ")
		known[pattern] = true
		known["/admin"+pattern] = true
	}
	for _, route := range regexp.MustCompile(`"(/[^" ]*)"`).FindAllStringSubmatch(readSource("../../internal/server/server.go")+readSource("../../internal/server/v1.go"), -1) {
		known[route[1]], known["/admin"+route[1]] = true, true
	}
	return known
}), sync.OnceValue(func() map[string]bool {
	known := map[string]bool{"500": true, "501": true, "502": true, "503": true, "504": true}
	for _, code := range regexp.MustCompile(`(?m)Code = "([a-z0-9-]+)"|^\tCode[A-Za-z0-9]+ += "([a-z0-9-]+)"`).FindAllStringSubmatch(readSource("../../internal/access/error.go"), -1) {
		known[code[1]+code[2]] = true
	}
	return known
})

// knownActions are what happens in spans.
var knownActions = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{}
	for _, action := range regexp.MustCompile(`(?m)^\t[A-Z][A-Za-z]+ +Action = "([a-z -]+)"`).FindAllStringSubmatch(readSource("../../internal/access/record.go"), -1) {
		known[action[1]] = true
	}
	return known
})

// tells is what a span tells that it must not; empty for nothing.
func tells(s *tracev1.Span) string {
	name, route := s.Name, false
	for _, a := range s.Attributes {
		text := a.Value.GetStringValue()
		good := false
		switch want := attributeValues[a.Key]; {
		case want != nil:
			good = want.MatchString(text)
		case slices.Contains(numbers, a.Key):
			good = text == ""
		case a.Key == attributeRoute:
			route = true
			good = knownRoutes()[text] && strings.HasSuffix(name, " "+text)
		case a.Key == attributeError:
			good = knownCodes()[text]
		}
		if !good {
			return fmt.Sprintf("%s=%q", a.Key, text)
		}
	}
	for _, e := range s.Events {
		if !knownActions()[e.Name] {
			return fmt.Sprintf("the event %q", e.Name)
		}
		if why := tells(&tracev1.Span{Name: "ask", Attributes: e.Attributes}); why != "" {
			return why
		}
	}
	method, _, _ := strings.Cut(name, " ")
	switch {
	case s.TraceState != "" || s.Status.GetMessage() != "":
		return "a state or a message"
	case slices.Contains(spanNames, name), attributeValues[attributeMethod].MatchString(name):
	case route && attributeValues[attributeMethod].MatchString(method):
	case regexp.MustCompile(`^(` + apiValues + `) (` + callValues + `)$`).MatchString(name):
	default:
		return fmt.Sprintf("the name %q", name)
	}
	return ""
}

// named are the spans of a name, the newest last.
func (c *traceCollector) named(name string) (all []*tracev1.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name {
			all = append(all, s)
		}
	}
	return all
}

// below are the spans of the same trace whose parent it is.
func (c *traceCollector) below(parent *tracev1.Span) (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if string(s.ParentSpanId) == string(parent.SpanId) && string(s.TraceId) == string(parent.TraceId) {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func eventsOf(s *tracev1.Span) (names []string) {
	for _, e := range s.Events {
		names = append(names, e.Name)
	}
	return names
}

// What people do is one trace each: the request, what it led to, and who was asked for it.
func TestTracesTellWhatHappens(t *testing.T) {
	w := newWorld(t, surroundings{})
	c := everyTrace()
	w.send(alice, func() *http.Request {
		r := w.request("GET", "/", nil)
		r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
		return r
	}()).expect(t, http.StatusOK)
	ref, id := w.ask()
	w.form(bob, reviewPath(ref), map[string][]string{"verdict": {"approve"}}).expect(t, http.StatusSeeOther)
	if w.live(id) != 1 {
		t.Fatal("nothing was granted")
	}
	refused := w.api(alice, decideURL(ref), dict{})
	w.page(alice, "/canary/of/nobody")
	w.call(alice, "CANARY", "/", "")
	w.flush()

	home := last(t, c.named("GET /"))
	if len(home.Links) != 1 || len(home.ParentSpanId) != 0 || fmt.Sprintf("%x", home.Links[0].TraceId) != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the home page: %v", home)
	}
	asked := last(t, c.named("POST /api/projects/{project}/roles/request"))
	if got := c.below(asked); !slices.Contains(got, "ask") {
		t.Errorf("below a request are %q", got)
	}
	ask := last(t, c.named("ask"))
	if got := c.below(ask); !slices.Contains(got, "google getIamPolicy") || !slices.Contains(got, "google signJwt") || !slices.Contains(got, "smtp send") {
		t.Errorf("below asking are %q", got)
	}
	if got := eventsOf(ask); !slices.Equal(got, []string{string(access.RequestMade)}) {
		t.Errorf("what happened was %q", got)
	}
	decided := c.named("decide")
	if len(decided) < 2 {
		t.Fatalf("%d decisions", len(decided))
	}
	if got := eventsOf(decided[len(decided)-2]); !slices.Equal(got, []string{string(access.RequestApproved), string(access.GrantWritten)}) {
		t.Errorf("what happened was %q", got)
	}
	if got := c.below(decided[len(decided)-2]); !slices.Contains(got, "google setIamPolicy") {
		t.Errorf("below approving are %q", got)
	}
	code := ""
	for _, a := range decided[len(decided)-1].Attributes {
		if a.Key == attributeError {
			code = a.Value.GetStringValue()
		}
	}
	if refused.Code == "" || code != refused.Code || decided[len(decided)-1].Status != nil {
		t.Errorf("a refusal %q is %v", refused.Code, decided[len(decided)-1])
	}
	incident := false
	for _, s := range c.named("POST /api/activation-request") {
		for _, a := range s.Attributes {
			incident = incident || a.Key == attributeIncident && a.Value.GetStringValue() == refused.Incident
		}
	}
	if !incident {
		t.Errorf("no request has the incident %q", refused.Incident)
	}
	// What nobody answers has no name but its method: its address may be anything.
	if nowhere := c.named("GET"); len(nowhere) == 0 {
		t.Error("what is nowhere is not traced")
	}
	c.judge(t)
}

func last(t *testing.T, all []*tracev1.Span) *tracev1.Span {
	t.Helper()
	if len(all) == 0 {
		t.Fatal("there is no such span")
	}
	return all[len(all)-1]
}

// The ledger, the mailbox and the sweep are traced, too, and counted.
func TestTracesOfTheSweep(t *testing.T) {
	w := newWorld(t, surroundings{})
	var log lockedBuffer
	s := metered(t, w, &log)
	if _, err := s.sweeper.sweep(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	s.observing.flush(t.Context())
	swept := last(t, everyTrace().named("sweep"))
	if got := everyTrace().below(swept); !slices.Contains(got, "database read") || len(swept.ParentSpanId) != 0 {
		t.Errorf("below a sweep are %q", got)
	}
	got := scrape(s, scraperToken).Body.String()
	for _, want := range []string{`jitaccess_upstream_duration_seconds_count{api="database"} `, `jitaccess_spans_total{outcome="exported"} `} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("it lacks %s", want)
		}
	}
	everyTrace().judge(t)
}

// Who takes traces may be down, or hang, or say no: nobody waits for them, and it is said once.
func TestTracesAreNobodysTrouble(t *testing.T) {
	hangs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(hangs.Close)
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer canary 4711" {
			t.Error("it lacks its header")
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(refuses.Close)
	for _, test := range []struct {
		name, endpoint string
		said           int
	}{
		{"down", "http://127.0.0.1:1", 1},
		{"says no", refuses.URL, 1},
		{"hangs", hangs.URL, 0},
	} {
		// A call by itself would have ten minutes.
		w := newWorld(t, surroundings{environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": test.endpoint,
			"OTEL_EXPORTER_OTLP_TIMEOUT": "600000", "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20canary%204711"}})
		for range 3 {
			w.page(alice, "/").expect(t, http.StatusOK)
			w.flush()
		}
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%s: it ends after %v", test.name, took)
		}
		if said := w.log.String(); strings.Count(said, "traces are not taken") != test.said || strings.Contains(said, "canary 4711") {
			t.Errorf("%s: said was %s", test.name, said)
		}
	}
}

// A collector that takes nothing is no reason to send requests elsewhere.
func TestHealthSaysWhetherTracesAreTaken(t *testing.T) {
	var taken, answered atomic.Bool // whether they are, and were the last time
	takes := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := taken.Load()
		if !now {
			w.WriteHeader(http.StatusUnauthorized)
		}
		answered.Store(now)
	}))
	t.Cleanup(takes.Close)
	w := newWorld(t, surroundings{environment: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": takes.URL,
		"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20canary%204711"}})
	for _, step := range []struct {
		what  string
		taken bool
	}{{"they are", true}, {"they are not", false}, {"they are again", true}} {
		taken.Store(step.taken)
		for w.page(alice, "/"); answered.Load() != step.taken; w.page(alice, "/") { // a span may end after its answer
			w.flush()
		}
		w.flush()               // what was under way is over
		w.pass(6 * time.Second) // longer than an outcome is remembered
		ready := w.send("", w.request("GET", "/health/ready", nil))
		if ready.status != http.StatusOK || !strings.Contains(ready.body, `"healthy":true`) ||
			!strings.Contains(ready.body, fmt.Sprintf(`"TracesAreTaken":%t`, step.taken)) {
			t.Errorf("%s: %d %s", step.what, ready.status, ready.body)
		}
	}
	if !w.logged("TracesAreTaken", "401") || w.logged("4711") {
		t.Error("the log does not say why, or says too much")
	}
}

// Off means off.
func TestNothingIsTracedUnlessSomebodyTakesIt(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++ }))
	t.Cleanup(server.Close)
	for _, off := range []map[string]string{
		{"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL, "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL, "OTEL_TRACES_EXPORTER": "none"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL, "OTEL_TRACES_SAMPLER": "always_off"},
	} {
		w := newWorld(t, surroundings{environment: off})
		w.page(alice, "/").expect(t, http.StatusOK)
		if ready := w.call("", "GET", "/health/ready", "").body; off["OTEL_EXPORTER_OTLP_ENDPOINT"] != "" && off["OTEL_TRACES_SAMPLER"] == "" &&
			strings.Contains(ready, "Traces") {
			t.Errorf("%v: %s", off, ready)
		}
		w.stop()
	}
	if calls != 0 {
		t.Errorf("%d calls", calls)
	}
}

// The proxy in front may write which trace a request is part of, where an operator says so.
func TestATraceIsFollowedWhereTheOperatorSaysSo(t *testing.T) {
	w := newWorld(t, surroundings{environment: map[string]string{"OTEL_PROPAGATORS": "tracecontext"}})
	for i, flags := range []string{"01", "00"} {
		r := w.request("GET", "/assets/nothing", nil)
		r.Header.Set("Traceparent", fmt.Sprintf("00-0af7651916cd43dd8448eb211c8031%02d-b7ad6b7169203331-%s", i, flags))
		w.send("", r)
	}
	w.flush()
	var followed []string
	for _, s := range everyTrace().named("GET /assets/{name}") {
		if trace := fmt.Sprintf("%x", s.TraceId); strings.HasPrefix(trace, "0af7651916cd43dd8448eb211c8031") {
			followed = append(followed, trace[30:])
		}
	}
	if !slices.Equal(followed, []string{"00"}) { // the second says that it is not recorded
		t.Errorf("followed were %q", followed)
	}
}

// What is kept in Secret Manager is read when it is first needed; the service starts without it.
func TestHeadersOfTracesMayBeASecret(t *testing.T) {
	read := 0
	c, err := config.Read(func(name string) string {
		return map[string]string{"K_SERVICE": "x", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com", "OTEL_EXPORTER_OTLP_HEADERS": "projects/p-1/secrets/s/versions/1"}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	answers := []struct {
		text string
		err  error
	}{{"", io.ErrUnexpectedEOF}, {"canary", nil}, {"a=b,c=d%20e\n", nil}}
	headers := traceHeaders(c.Traces, func(_ context.Context, version string) ([]byte, error) {
		a := answers[read]
		read++
		return []byte(a.text), a.err
	})
	for range 2 {
		if got, err := headers(t.Context()); err == nil || strings.Contains(err.Error(), "canary") {
			t.Error(got, err)
		}
	}
	for range 2 {
		if got, err := headers(t.Context()); err != nil || got.Get("A") != "b" || got.Get("C") != "d e" || read != 3 {
			t.Error(got, err, read)
		}
	}
}

// sources is the folder of the test, from which others go elsewhere.
var sources, _ = os.Getwd()

func readSource(path string) string {
	text, err := os.ReadFile(filepath.Join(sources, path))
	if err != nil {
		panic(err)
	}
	return string(text)
}

// At the end of the process what was traced is handed on, before the next five seconds are over.
func TestWhatIsTracedIsHandedOnAtTheEnd(t *testing.T) {
	c := &traceCollector{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	w := newWorld(t, surroundings{})
	env := w.Env(map[string]string{"PORT": porttest.Free(t), "OTEL_EXPORTER_OTLP_ENDPOINT": server.URL})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan int, 1)
	var out lockedBuffer
	go func() { done <- run(ctx, nil, env, &out, &out) }()
	for status := 0; status != http.StatusOK; {
		status, _ = get(t, "http://127.0.0.1:"+env("PORT")+"/health/ready", done, &out)
	}
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit status %d:\n%s", code, out.String())
	}
	if len(c.named("GET /health/ready")) == 0 {
		t.Error("the last request is not traced")
	}
	c.judge(t)
}

// A job that sweeps does so too.
func TestAJobHandsOnWhatItTraced(t *testing.T) {
	c := &traceCollector{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	p := newCluster(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL})
	p.stop()
	var out lockedBuffer
	if code := run(t.Context(), []string{"sweep"}, func(name string) string { return p.environment[name] }, &out, &out); code != exitOK {
		t.Fatalf("exit status %d:\n%s", code, out.String())
	}
	if swept := c.named("sweep"); len(swept) == 0 || len(c.named("survey")) == 0 || !slices.Contains(c.below(last(t, swept)), "database read") {
		t.Error("the sweep is not traced")
	}
	c.judge(t)
}

// What must not be in a trace is found there: in every place, of every kind.
func TestWhatMustNotBeInATraceIsFound(t *testing.T) {
	text := func(key, value string) *commonv1.KeyValue {
		return &commonv1.KeyValue{Key: key, Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_StringValue{StringValue: value}}}
	}
	good := func() *tracev1.Span {
		return &tracev1.Span{Name: "GET /access/*", Attributes: []*commonv1.KeyValue{text(attributeRoute, "/access/*"), text(attributeMethod, "GET")},
			Events: []*tracev1.Span_Event{{Name: "approved", Attributes: []*commonv1.KeyValue{text(attributeError, "not-eligible")}}}}
	}
	if why := tells(good()); why != "" {
		t.Error(why)
	}
	for name, plant := range map[string]func(s *tracev1.Span){
		"a path for a route":     func(s *tracev1.Span) { s.Attributes[0] = text(attributeRoute, "/access/projects/canary") },
		"a path in the name":     func(s *tracev1.Span) { s.Name = "GET /access/projects/canary" },
		"a query":                func(s *tracev1.Span) { s.Name = "GET /access/*?activation=canary" },
		"a person":               func(s *tracev1.Span) { s.Attributes = append(s.Attributes, text("enduser.id", alice)) },
		"an address":             func(s *tracev1.Span) { s.Attributes = append(s.Attributes, text("url.full", "http://x/")) },
		"a method of one's own":  func(s *tracev1.Span) { s.Attributes[1] = text(attributeMethod, "CANARY") },
		"a justification":        func(s *tracev1.Span) { s.Events[0].Name = "restore the backup" },
		"a person in an event":   func(s *tracev1.Span) { s.Events[0].Attributes[0] = text(attributeError, alice) },
		"a text for a status":    func(s *tracev1.Span) { s.Attributes = append(s.Attributes, text(attributeStatus, "canary")) },
		"a host for an API":      func(s *tracev1.Span) { s.Attributes = append(s.Attributes, text(attributeAPI, "hooks.example.com")) },
		"a project for a call":   func(s *tracev1.Span) { s.Attributes = append(s.Attributes, text(attributeCall, "shop-prod")) },
		"a request's number":     func(s *tracev1.Span) { s.Attributes = append(s.Attributes, text(attributeIncident, "jitr-0123456789")) },
		"a message of a failure": func(s *tracev1.Span) { s.Status = &tracev1.Status{Message: "canary"} },
		"somebody's state":       func(s *tracev1.Span) { s.TraceState = "canary=1" },
		"an unknown name":        func(s *tracev1.Span) { s.Name, s.Attributes = "canary", nil },
	} {
		s := good()
		if plant(s); tells(s) == "" {
			t.Errorf("%s is not found", name)
		}
	}
}

// Each action of the broker that changes something is observed: those that are not are named here.
func TestEachActionIsObserved(t *testing.T) {
	reads := strings.Fields(`Admin Administration Auditor Cautions Choose Counts DamagedPasskeys Eligible Extension ForApplication History HasReconciled Keyless
		MoreReviewers Named NotStanding Offer PasskeyList Reconcile Resources Reviewers SecondAdmin Show Signing Timeline`)
	context, observed := reflect.TypeFor[context.Context](), 0
	for m := range reflect.TypeFor[observedBroker]().Methods() {
		if m.Type.NumIn() < 2 || m.Type.In(1) != context {
			continue
		}
		file, _ := runtime.FuncForPC(m.Func.Pointer()).FileLine(m.Func.Pointer())
		switch passed := file == "<autogenerated>"; {
		case passed != slices.Contains(reads, m.Name):
			t.Errorf("%s: observed is %v", m.Name, !passed)
		case !passed:
			observed++
		}
	}
	if observed != len(spanNames) {
		t.Errorf("%d actions are observed, and there are %d names", observed, len(spanNames))
	}
}
