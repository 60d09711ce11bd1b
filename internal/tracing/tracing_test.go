package tracing_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"jitaccess/internal/outbound"
	"jitaccess/internal/tracing"
)

// collector takes spans, as the official definition of OTLP reads them.
type collector struct {
	t       testing.TB
	mu      sync.Mutex
	taken   []*tracev1.ResourceSpans
	calls   int
	headers http.Header
	// answer is what it says in place of taking them; nil takes them.
	answer func(call int, w http.ResponseWriter) bool
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	c.headers = r.Header.Clone()
	if c.answer != nil && c.answer(c.calls, w) {
		return
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			c.t.Error(err)
			return
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		c.t.Error(err)
	}
	var data tracev1.TracesData
	switch r.Header.Get("Content-Type") {
	case "application/json":
		err = protojson.Unmarshal(idsInBase64(c.t, text), &data)
	case "application/x-protobuf":
		if err = proto.Unmarshal(text, &data); err == nil && len(data.ProtoReflect().GetUnknown()) > 0 {
			err = errors.New("there is what nobody knows")
		}
	default:
		err = fmt.Errorf("the content type is %s", r.Header.Get("Content-Type"))
	}
	if err != nil {
		c.t.Errorf("%v: %s", err, text)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.taken = append(c.taken, data.ResourceSpans...)
}

// hexIDs are ids, which OTLP has in hexadecimal where protobuf's own mapping has base64
// (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
var hexIDs = regexp.MustCompile(`"(traceId|spanId|parentSpanId)":"([^"]*)"`)

func idsInBase64(t testing.TB, text []byte) []byte {
	return hexIDs.ReplaceAllFunc(text, func(found []byte) []byte {
		part := hexIDs.FindSubmatch(found)
		id, err := hex.DecodeString(string(part[2]))
		if err != nil {
			t.Error(err)
		}
		return []byte(`"` + string(part[1]) + `":"` + base64.StdEncoding.EncodeToString(id) + `"`)
	})
}

func (c *collector) spans() (all []*tracev1.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.taken {
		for _, s := range r.ScopeSpans {
			all = append(all, s.Spans...)
		}
	}
	return all
}

// config is of a tracer that hands on to a collector; outcomes counts what became of spans.
func (c *collector) config(t testing.TB, outcomes map[string]int) tracing.Config {
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	random := rand.NewChaCha8([32]byte{1})
	var mu sync.Mutex
	return tracing.Config{
		Endpoint: server.URL + "/v1/traces", Headers: noHeaders, Timeout: 10 * time.Second,
		Client: outbound.Client("otlp", nil), Sampler: tracing.Sampler{Share: 1, Parent: true},
		Now: time.Now, Sleep: func(context.Context, time.Duration) error { return nil }, Random: random,
		Counted: func(outcome string, spans int) {
			mu.Lock()
			defer mu.Unlock()
			outcomes[outcome] += spans
		},
	}
}

func noHeaders(context.Context) (http.Header, error) { return nil, nil }

func attribute(key string, value any) tracing.Attribute {
	return tracing.Attribute{Key: key, Value: value}
}

// What is sent is what official definitions read, in either form.
func TestWhatIsSentIsOTLP(t *testing.T) {
	for _, form := range []struct {
		name       string
		json, gzip bool
		header     string
	}{{"protobuf", false, false, "application/x-protobuf"}, {"JSON", true, false, "application/json"},
		{"protobuf, compressed", false, true, "application/x-protobuf"}, {"JSON, compressed", true, true, "application/json"}} {
		t.Run(form.name, func(t *testing.T) {
			at := time.Date(2026, 11, 1, 9, 0, 0, 123456789, time.UTC)
			c, outcomes := &collector{t: t}, map[string]int{}
			config := c.config(t, outcomes)
			config.JSON, config.Gzip = form.json, form.gzip
			config.Resource = []tracing.Attribute{attribute("service.name", "jit \"access\" <é>")}
			config.Headers = func(context.Context) (http.Header, error) {
				return http.Header{"Authorization": {"Bearer canary"}}, nil
			}
			config.Now = func() time.Time { at = at.Add(time.Second); return at }
			tracer := tracing.New(config)
			said := http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}
			ctx, request := tracer.BeginRequest(t.Context(), said, "GET", attribute("http.request.method", "GET"))
			ctx, action := tracer.Begin(ctx, tracing.Internal, "decide")
			action.Happened("approved", attribute("jitaccess.kind", "peers"))
			_, call := tracer.Begin(ctx, tracing.Client, "google")
			call.Set(attribute("jitaccess.status", 503), attribute("negative", -1))
			call.Fail()
			call.End()
			action.End()
			request.Name("GET /review")
			request.End()
			request.End()
			request.Set(attribute("late", "x"))
			tracer.Flush(t.Context())
			all := c.spans()
			if len(all) != 3 || len(c.taken) != 1 || outcomes[tracing.Exported] != 3 || len(outcomes) != 1 {
				t.Fatalf("taken were %v; %v", all, outcomes)
			}
			got, decided, asked := all[2], all[1], all[0]
			if got.Name != "GET /review" || got.Kind != tracev1.Span_SPAN_KIND_SERVER || len(got.ParentSpanId) != 0 || len(got.TraceId) != 16 || len(got.SpanId) != 8 ||
				got.EndTimeUnixNano-got.StartTimeUnixNano != uint64(6*time.Second) || got.StartTimeUnixNano%1e9 != 123456789 ||
				got.Attributes[0].Key != "http.request.method" || got.Attributes[0].Value.GetStringValue() != "GET" || len(got.Attributes) != 1 || got.Status != nil ||
				got.Flags != 0x101 {
				t.Errorf("the request is %v", got)
			}
			if len(got.Links) != 1 || hex.EncodeToString(got.Links[0].TraceId) != "0af7651916cd43dd8448eb211c80319c" ||
				hex.EncodeToString(got.Links[0].SpanId) != "b7ad6b7169203331" || bytes.Equal(got.TraceId, got.Links[0].TraceId) || got.Links[0].Flags != 0x300 {
				t.Errorf("its links are %v", got.Links)
			}
			if decided.Name != "decide" || decided.Kind != tracev1.Span_SPAN_KIND_INTERNAL || !bytes.Equal(decided.ParentSpanId, got.SpanId) ||
				!bytes.Equal(decided.TraceId, got.TraceId) || len(decided.Events) != 1 || decided.Events[0].Name != "approved" ||
				decided.Events[0].Attributes[0].Value.GetStringValue() != "peers" || decided.Events[0].TimeUnixNano <= decided.StartTimeUnixNano {
				t.Errorf("the action is %v", decided)
			}
			if asked.Kind != tracev1.Span_SPAN_KIND_CLIENT || !bytes.Equal(asked.ParentSpanId, decided.SpanId) ||
				asked.Status.GetCode() != tracev1.Status_STATUS_CODE_ERROR || asked.Attributes[0].Value.GetIntValue() != 503 || asked.Attributes[1].Value.GetIntValue() != -1 {
				t.Errorf("the call is %v", asked)
			}
			resource := c.taken[0].Resource.Attributes
			if resource[0].Key != "service.name" || resource[0].Value.GetStringValue() != "jit \"access\" <é>" || c.taken[0].ScopeSpans[0].Scope.Name != "jitaccess" {
				t.Errorf("the resource is %v", resource)
			}
			if c.headers.Get("Authorization") != "Bearer canary" || c.headers.Get("Content-Type") != form.header || c.headers.Get("Traceparent") != "" {
				t.Errorf("the headers are %v", c.headers)
			}
			tracer.Flush(t.Context())
			if c.calls != 1 {
				t.Errorf("%d calls, where nothing is left", c.calls)
			}
		})
	}
}

// A request says of which trace it is part, and nobody has to believe that.
func TestWhatRequestsSayOfTheirTrace(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for _, test := range []struct {
		name    string
		headers []string
		good    bool
	}{
		{"as it is defined", []string{"00-" + trace + "-" + span + "-01"}, true},
		{"not recorded there", []string{"00-" + trace + "-" + span + "-00"}, true},
		{"a later version, with more", []string{"cc-" + trace + "-" + span + "-01-what-the-future-says"}, true},
		{"none", nil, false},
		{"empty", []string{""}, false},
		{"twice", []string{"00-" + trace + "-" + span + "-01", "00-" + trace + "-" + span + "-01"}, false},
		{"this version, with more", []string{"00-" + trace + "-" + span + "-01-more"}, false},
		{"the version that there is not", []string{"ff-" + trace + "-" + span + "-01"}, false},
		{"in capitals", []string{"00-" + strings.ToUpper(trace) + "-" + span + "-01"}, false},
		{"no trace", []string{"00-" + strings.Repeat("0", 32) + "-" + span + "-01"}, false},
		{"no span", []string{"00-" + trace + "-" + strings.Repeat("0", 16) + "-01"}, false},
		{"a trace that is too short", []string{"00-" + trace[2:] + "-" + span + "-01"}, false},
		{"a trace that is too long", []string{"00-" + trace + "00-" + span + "-01"}, false},
		{"no hexadecimal", []string{"00-" + trace[2:] + "zz-" + span + "-01"}, false},
		{"no flags", []string{"00-" + trace + "-" + span}, false},
		{"blanks", []string{" 00-" + trace + "-" + span + "-01"}, false},
		{"very long", []string{strings.Repeat("00-", 1<<16)}, false},
	} {
		for _, followed := range []bool{false, true} {
			c := &collector{t: t}
			config := c.config(t, map[string]int{})
			config.Followed, config.Sampler.Parent = followed, false
			tracer := tracing.New(config)
			_, s := tracer.BeginRequest(t.Context(), http.Header{"Traceparent": test.headers}, "GET")
			s.End()
			tracer.Flush(t.Context())
			got := c.spans()[0]
			follows, links := hex.EncodeToString(got.TraceId) == trace, len(got.Links) == 1
			if follows != (test.good && followed) || links != (test.good && !followed) || (len(got.ParentSpanId) > 0) != follows || (got.Flags&0x200 != 0) != follows {
				t.Errorf("%s, followed: %v: %v", test.name, followed, got)
			}
		}
	}
}

// Which traces are recorded is the operator's to say, and a caller's only where they are followed.
func TestSamplers(t *testing.T) {
	yes, no := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	for _, test := range []struct {
		share            float64
		parent, followed bool
		said             string
		want             int // of 1000
	}{
		{1, true, false, "", 1000}, {0, true, false, "", 0},
		{1, true, false, no, 1000}, {0, true, false, yes, 0},
		{1, true, true, no, 0}, {0, true, true, yes, 1000},
		{1, false, true, no, 1000}, {0, false, true, yes, 0},
		{0.25, true, false, "", 250}, {0.25, true, false, yes, 250}, {0.25, true, true, yes, 1000},
	} {
		c, outcomes := &collector{t: t}, map[string]int{}
		config := c.config(t, outcomes)
		config.Sampler, config.Followed = tracing.Sampler{Share: test.share, Parent: test.parent}, test.followed
		tracer := tracing.New(config)
		headers := http.Header{}
		if test.said != "" {
			headers.Set("Traceparent", test.said)
		}
		for range 1000 {
			ctx, s := tracer.BeginRequest(t.Context(), headers, "GET")
			_, inner := tracer.Begin(ctx, tracing.Client, "x") // of one that is not recorded nothing is
			inner.End()
			s.End()
			tracing.Of(ctx).Happened("x")
		}
		tracer.Flush(t.Context())
		if got := len(c.spans()); got%2 != 0 || got/2 < test.want*8/10 || got/2 > test.want*12/10 {
			t.Errorf("%+v: %d", test, got/2)
		}
	}
}

// Nothing is recorded by a tracer that there is not.
func TestNoTracer(t *testing.T) {
	var tracer *tracing.Tracer
	ctx, s := tracer.BeginRequest(t.Context(), http.Header{}, "GET")
	_, inner := tracer.Begin(ctx, tracing.Internal, "x")
	for _, each := range []*tracing.Span{s, inner, tracing.Of(ctx), tracing.Of(t.Context())} {
		each.Set(attribute("a", 1))
		each.Happened("x")
		each.Fail()
		each.Name("x")
		each.End()
		if each != nil {
			t.Error("there is a span")
		}
	}
	tracer.Flush(t.Context())
	tracer.Close(t.Context())
}

// What a span keeps ends.
func TestEventsEnd(t *testing.T) {
	c := &collector{t: t}
	tracer := tracing.New(c.config(t, map[string]int{}))
	_, s := tracer.Begin(t.Context(), tracing.Internal, "sweep")
	for i := range 1000 {
		s.Happened(strconv.Itoa(i))
	}
	s.End()
	tracer.Flush(t.Context())
	if got := c.spans()[0]; len(got.Events) != 128 || got.DroppedEventsCount != 872 {
		t.Errorf("%d events, %d dropped", len(got.Events), got.DroppedEventsCount)
	}
}

// end ends so many spans.
func end(ctx context.Context, tracer *tracing.Tracer, count int) {
	for range count {
		_, s := tracer.Begin(ctx, tracing.Internal, "x")
		s.End()
	}
}

// What is too much is dropped and counted, and whoever records never waits.
func TestTheQueueEnds(t *testing.T) {
	c, outcomes := &collector{t: t}, map[string]int{}
	tracer := tracing.New(c.config(t, outcomes))
	end(t.Context(), tracer, 5000)
	tracer.Flush(t.Context())
	if got := len(c.spans()); got != 2048 || c.calls != 4 || outcomes[tracing.Dropped] != 5000-2048 || outcomes[tracing.Exported] != 2048 {
		t.Errorf("%d spans in %d calls: %v", got, c.calls, outcomes)
	}
	tracer.Close(t.Context())
	if end(t.Context(), tracer, 1); outcomes[tracing.Dropped] != 5001-2048 {
		t.Errorf("after the end: %v", outcomes)
	}
}

// transport answers without a network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answered(status int, headers ...string) *http.Response {
	a := &http.Response{StatusCode: status, Body: http.NoBody, Header: http.Header{}}
	for i := 0; i < len(headers); i += 2 {
		a.Header.Set(headers[i], headers[i+1])
	}
	return a
}

// What may work a moment later is tried again, and nothing else; what is not taken is dropped,
// counted and said once.
func TestWhoeverTakesThemMayBeInTrouble(t *testing.T) {
	refused := errors.New("connection refused")
	for _, test := range []struct {
		name   string
		answer func(call int) (*http.Response, error)
		calls  int
		taken  bool
		waited time.Duration
		said   string
	}{
		{"fine", func(int) (*http.Response, error) { return answered(200), nil }, 1, true, 0, ""},
		{"down for a moment", func(call int) (*http.Response, error) {
			if call < 3 {
				return nil, refused
			}
			return answered(200), nil
		}, 3, true, 3 * time.Second, ""},
		{"down", func(int) (*http.Response, error) { return nil, refused }, 5, false, 15 * time.Second, "connection refused"},
		{"not now", func(int) (*http.Response, error) { return answered(503), nil }, 5, false, 15 * time.Second, "it answered 503"},
		{"too many", func(int) (*http.Response, error) { return answered(429, "Retry-After", "7"), nil }, 5, false, 29 * time.Second, "it answered 429"},
		{"for ever", func(int) (*http.Response, error) { return answered(429, "Retry-After", "999999999"), nil }, 5, false, 2 * time.Minute, "it answered 429"},
		{"back in the past", func(int) (*http.Response, error) { return answered(502, "Retry-After", "-5"), nil }, 5, false, 15 * time.Second, "it answered 502"},
		{"at a date", func(int) (*http.Response, error) {
			return answered(504, "Retry-After", "Sun, 01 Nov 2026 09:00:00 GMT"), nil
		}, 5, false, 15 * time.Second, "it answered 504"},
		{"who are you", func(int) (*http.Response, error) { return answered(401), nil }, 1, false, 0, "it answered 401"},
		{"no such place", func(int) (*http.Response, error) { return answered(404), nil }, 1, false, 0, "it answered 404"},
		{"nonsense", func(int) (*http.Response, error) { return answered(400), nil }, 1, false, 0, "it answered 400"},
		{"elsewhere", func(int) (*http.Response, error) { return answered(307, "Location", "http://127.0.0.1:1/canary"), nil }, 1, false, 0, "it answered 307"},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls, outcomes, began := 0, map[string]int{}, time.Now()
			var last time.Time
			var said []error
			config := (&collector{t: t}).bare(outcomes)
			config.Client = outbound.Client("otlp", transport(func(*http.Request) (*http.Response, error) {
				calls++
				last = time.Now()
				return test.answer(calls)
			}))
			config.Failing = func(err error) { said = append(said, err) }
			tracer := tracing.New(config)
			ctx, cancel := context.WithCancel(t.Context())
			end(ctx, tracer, 512) // as many as begin a batch at once
			go tracer.Run(ctx)
			time.Sleep(3 * time.Minute)
			cancel()
			synctest.Wait()
			if calls != test.calls || last.Sub(began) != test.waited {
				t.Errorf("%s: %d calls, the last after %v", test.name, calls, last.Sub(began))
			}
			if (outcomes[tracing.Exported] == 512) != test.taken || (outcomes[tracing.Dropped] == 512) == test.taken {
				t.Errorf("%s: %v", test.name, outcomes)
			}
			if (len(said) == 1) == test.taken || len(said) == 1 && !strings.Contains(said[0].Error(), test.said) || strings.Contains(fmt.Sprint(said), "canary") {
				t.Errorf("%s: said was %v", test.name, said)
			}
		})
	}
}

// bare is a configuration that is without a network.
func (c *collector) bare(outcomes map[string]int) tracing.Config {
	return tracing.Config{
		Endpoint: "http://canary.example.com/v1/traces", Headers: noHeaders, Timeout: 10 * time.Second, Sampler: tracing.Sampler{Share: 1},
		Now: time.Now, Sleep: sleep, Random: rand.NewChaCha8([32]byte{2}), Counted: func(outcome string, spans int) { outcomes[outcome] += spans },
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// That they are not taken is said once, and again once they were taken in between, but not every
// few seconds.
func TestItIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		outcomes := map[string]int{}
		var said []time.Duration
		began := time.Now()
		config := (&collector{t: t}).bare(outcomes)
		config.Client = outbound.Client("otlp", transport(func(*http.Request) (*http.Response, error) {
			if down.Load() {
				return answered(401), nil
			}
			return answered(200), nil
		}))
		config.Failing = func(error) { said = append(said, time.Since(began)) }
		tracer := tracing.New(config)
		ctx, cancel := context.WithCancel(t.Context())
		go tracer.Run(ctx)
		step := func(isDown bool, lasts time.Duration) {
			down.Store(isDown)
			for range lasts / (10 * time.Second) {
				end(ctx, tracer, 1)
				time.Sleep(10 * time.Second)
			}
		}
		step(true, time.Hour)
		step(false, time.Minute)
		step(true, 5*time.Minute)
		step(false, time.Minute)
		step(true, time.Minute) // a moment after the last time
		step(false, time.Minute)
		cancel()
		synctest.Wait()
		if len(said) != 2 || said[0] > time.Minute || said[1] < time.Hour {
			t.Errorf("said was at %v", said)
		}
	})
}

// At the end what is left goes, within the time that there is, and what was on its way goes again.
func TestTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls, outcomes := 0, map[string]int{}
		config := (&collector{t: t}).bare(outcomes)
		config.Client = outbound.Client("otlp", transport(func(r *http.Request) (*http.Response, error) {
			if calls++; calls == 1 {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return answered(200), nil
		}))
		tracer := tracing.New(config)
		ctx, cancel := context.WithCancel(t.Context())
		go tracer.Run(ctx)
		end(ctx, tracer, 10)
		time.Sleep(6 * time.Second) // it hangs by now
		end(ctx, tracer, 5)
		cancel()
		closing, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer done()
		tracer.Close(closing)
		if calls != 2 || outcomes[tracing.Exported] != 15 {
			t.Errorf("%d calls, %v", calls, outcomes)
		}
	})
	// Whoever hangs for ever costs that time, and no more.
	synctest.Test(t, func(t *testing.T) {
		outcomes := map[string]int{}
		config := (&collector{t: t}).bare(outcomes)
		config.Client = outbound.Client("otlp", transport(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		tracer := tracing.New(config)
		ctx, cancel := context.WithCancel(t.Context())
		go tracer.Run(ctx)
		end(ctx, tracer, 2000)
		time.Sleep(time.Second)
		cancel()
		began := time.Now()
		closing, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer done()
		tracer.Close(closing)
		if took := time.Since(began); took != 2*time.Second || outcomes[tracing.Dropped] != 2000 || outcomes[tracing.Exported] != 0 {
			t.Errorf("it took %v, %v", took, outcomes)
		}
	})
	// And whoever is down costs none.
	synctest.Test(t, func(t *testing.T) {
		calls, outcomes := 0, map[string]int{}
		config := (&collector{t: t}).bare(outcomes)
		config.Client = outbound.Client("otlp", transport(func(r *http.Request) (*http.Response, error) {
			calls++
			return nil, errors.New("connection refused")
		}))
		tracer := tracing.New(config)
		end(t.Context(), tracer, 2000)
		began := time.Now()
		tracer.Close(t.Context())
		if took := time.Since(began); took != 0 || calls != 1 || outcomes[tracing.Dropped] != 2000 {
			t.Errorf("it took %v and %d calls, %v", took, calls, outcomes)
		}
	})
}

// Who takes them may say that some are wrong.
func TestSomeAreRefused(t *testing.T) {
	partly := []byte{0x0a, 0x05, 0x08, 0x03, 0x12, 0x01, 'x'} // field 1: {1: 3, 2: "x"}
	for _, test := range []struct {
		json   bool
		answer string
		wrong  int
	}{
		{true, `{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}`, 3},
		{true, `{"partialSuccess":{"rejectedSpans":3,"errorMessage":"x"}}`, 3},
		{true, `{"partialSuccess":{"rejectedSpans":"-3"}}`, 0},
		{true, `{"partialSuccess":{"rejectedSpans":"999999"}}`, 5},
		{true, `{"partialSuccess":{}}`, 0},
		{true, `{"partialSuccess":null}`, 0},
		{true, ``, 0},
		{true, `<html>`, 0},
		{true, `{"partialSuccess":{"rejectedSpans":{}}}`, 0},
		{false, string(partly), 3},
		{false, ``, 0},
		{false, "\x0a", 0},
		{false, "\x0a\x7f\x08", 0},
		{false, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0},
		{false, "\x0a\x02\x08\xff", 0},
		{false, "\x0d\x01\x02\x03\x04", 0},
		{false, "{}", 0},
		{false, strings.Repeat("\x0a", 1<<20), 0},
	} {
		c, outcomes := &collector{t: t}, map[string]int{}
		c.answer = func(_ int, w http.ResponseWriter) bool { _, _ = io.WriteString(w, test.answer); return true }
		config := c.config(t, outcomes)
		config.JSON = test.json
		said := 0
		config.Failing = func(error) { said++ }
		tracer := tracing.New(config)
		end(t.Context(), tracer, 5)
		tracer.Flush(t.Context())
		if outcomes[tracing.Refused] != test.wrong || outcomes[tracing.Exported] != 5-test.wrong || outcomes[tracing.Dropped] != 0 || (said == 1) != (test.wrong > 0) {
			t.Errorf("%.60q: %v, said %d times", test.answer, outcomes, said)
		}
	}
}

// No error has the address or a header.
func TestErrorsAreWithoutSecrets(t *testing.T) {
	config := (&collector{t: t}).bare(map[string]int{})
	config.Headers = func(context.Context) (http.Header, error) { return http.Header{"Authorization": {"canary"}}, nil }
	for _, fail := range []error{errors.New("no route"), context.DeadlineExceeded} {
		config.Client = outbound.Client("otlp", transport(func(r *http.Request) (*http.Response, error) { return nil, fail }))
		if err := tracing.New(config).Probe(t.Context()); !errors.Is(err, fail) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v", err)
		}
	}
	unread := errors.New("it cannot be read")
	config.Headers = func(context.Context) (http.Header, error) { return nil, unread }
	if err := tracing.New(config).Probe(t.Context()); !errors.Is(err, unread) {
		t.Error(err)
	}
}

// Whoever takes them may say again what they were sent, in other words, at length and in colours.
func TestWhatIsSaidOfSpansIsTold(t *testing.T) {
	for name, test := range map[string]struct{ said, want string }{
		"a reason":         {"too old", `"too old"`},
		"a header":         {"no tenant: Bearer canary-1", `"no tenant: [redacted]"`},
		"what it is":       {"canary-1 is over its limit", `"[redacted] is over its limit"`},
		"in another form":  {base64.StdEncoding.EncodeToString([]byte("x canary-1")), `"[redacted]"`},
		"another's token":  {"use ghp_abcdefghijklmnop", `"use [redacted]"`},
		"lines":            {"a\nb\r\nlevel=error", `"a b level=error"`},
		"colours":          {"\x1b[31mred", "red"},
		"without end":      {strings.Repeat("x ", 20_000), "x x"},
		"nothing":          {"", `""`},
		"a name beside it": {"x-tenant blue", `"x-tenant [redacted]"`},
	} {
		c := &collector{t: t}
		body, err := json.Marshal(map[string]any{"partialSuccess": map[string]any{"rejectedSpans": "1", "errorMessage": test.said}})
		if err != nil {
			t.Fatal(err)
		}
		c.answer = func(_ int, w http.ResponseWriter) bool { _, _ = w.Write(body); return true }
		config := c.config(t, map[string]int{})
		config.JSON = true
		config.Headers = func(context.Context) (http.Header, error) {
			return http.Header{"Authorization": {"Bearer canary-1"}, "X-Tenant": {"blue"}}, nil
		}
		var said error
		config.Failing = func(err error) { said = err }
		tracer := tracing.New(config)
		end(t.Context(), tracer, 1)
		tracer.Flush(t.Context())
		if text := fmt.Sprint(said); !strings.Contains(text, test.want) || strings.Contains(text, "canary") || strings.ContainsAny(text, "\n\r\x1b") || len(text) > 400 {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// Until a batch is taken whole, what was wrong with the last one is known; what is broken off says
// nothing of it.
func TestWhyTheLastBatchWasNotTaken(t *testing.T) {
	c := &collector{t: t}
	answer, calls := func(w http.ResponseWriter) {}, 0
	c.answer = func(_ int, w http.ResponseWriter) bool { calls++; answer(w); return true }
	config := c.config(t, map[string]int{})
	config.JSON = true
	tracer := tracing.New(config)
	says := func(status int, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(status); _, _ = io.WriteString(w, body) }
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tracer.Untaken(); err != nil {
		t.Errorf("before the first: %v", err)
	}
	for _, step := range []struct {
		what   string
		ctx    context.Context
		answer func(http.ResponseWriter)
		want   string
	}{
		{"it is taken", t.Context(), says(200, ""), ""},
		{"somebody says no", t.Context(), says(401, ""), "it answered 401 Unauthorized"},
		{"later", t.Context(), says(503, ""), "it answered 503 Service Unavailable"},
		{"nobody tries", over, says(200, ""), "it answered 503 Service Unavailable"},
		{"it is taken again", t.Context(), says(200, "{}"), ""},
		{"one is wrong", t.Context(), says(200, `{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}`), `1 span was refused: "too old"`},
		{"one is wrong again", t.Context(), says(200, `{"partialSuccess":{"rejectedSpans":"1"}}`), `1 span was refused: ""`},
		{"none is wrong", t.Context(), says(200, "{}"), ""},
	} {
		answer = step.answer
		end(t.Context(), tracer, 1)
		tracer.Flush(step.ctx)
		got := ""
		if err := tracer.Untaken(); err != nil {
			got = err.Error()
		}
		if got != step.want {
			t.Errorf("%s: %q, want %q", step.what, got, step.want)
		}
	}
	if calls != 7 {
		t.Errorf("%d calls", calls)
	}
}

// Whoever is asked whether they would take spans gets none.
func TestProbe(t *testing.T) {
	for _, inJSON := range []bool{true, false} {
		c := &collector{t: t}
		config := c.config(t, map[string]int{})
		config.JSON = inJSON
		if err := tracing.New(config).Probe(t.Context()); err != nil || c.calls != 1 || len(c.taken) != 0 {
			t.Errorf("%v, %d calls, %v", err, c.calls, c.taken)
		}
	}
}

// Handing on is no call that is traced: it would never end.
func TestHandingOnIsNotObserved(t *testing.T) {
	c := &collector{t: t}
	tracer := tracing.New(c.config(t, map[string]int{}))
	ctx := outbound.WithObserver(t.Context(), func(context.Context, string, string) func(int) {
		t.Error("it was observed")
		return func(int) {}
	})
	end(ctx, tracer, 1)
	tracer.Flush(ctx)
	if len(c.spans()) != 1 {
		t.Error("it was not handed on")
	}
}

func BenchmarkSpan(b *testing.B) {
	config := (&collector{t: b}).bare(map[string]int{})
	config.Client = outbound.Client("otlp", transport(func(r *http.Request) (*http.Response, error) { return answered(200), nil }))
	tracer := tracing.New(config)
	n := 0
	for b.Loop() {
		_, s := tracer.Begin(b.Context(), tracing.Client, "cloudresourcemanager getIamPolicy", attribute("jitaccess.api", "cloudresourcemanager"))
		s.Set(attribute("jitaccess.status", 200))
		s.End()
		if n++; n%512 == 0 {
			tracer.Flush(b.Context())
		}
	}
}
