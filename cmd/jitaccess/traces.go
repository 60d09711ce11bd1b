package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/events"
	"jitaccess/internal/ledger"
	"jitaccess/internal/outbound"
	"jitaccess/internal/tracing"
)

// endTime is how long the end of the process waits for whoever takes traces.
const endTime = 2 * time.Second

// newObserving makes what counts and traces, as it is configured. Spans are handed on until ctx
// ends; see end.
func newObserving(ctx context.Context, c *config.Config, google *cloud, log *slog.Logger, k clock, kept func() *ledger.Store,
	policyRead func() time.Time) *observing {
	o := &observing{metrics: newMetrics(c, kept, policyRead, k), now: k.now}
	if !c.Traces.Used() {
		return o
	}
	t := tracesTo(c, google, k)
	t.Counted = func(outcome string, spans int) {
		if o.metrics != nil {
			o.metrics.Spans(outcome, spans)
		}
	}
	t.Failing = func(err error) {
		log.Warn("traces are not taken where OTEL_EXPORTER_OTLP_ENDPOINT says, and are dropped; all else works: run jitaccess doctor",
			"event", events.Traces, "error", err)
	}
	o.traces = tracing.New(t)
	go o.traces.Run(ctx)
	return o
}

// tracesTo says how and where to traces go.
func tracesTo(c *config.Config, google *cloud, k clock) tracing.Config {
	share, parent := c.Traces.Sampling()
	instance := make([]byte, 8)
	rand.Read(instance)
	var resource []tracing.Attribute
	for _, p := range c.Traces.Attributes() {
		resource = append(resource, tracing.Attribute{Key: p.Name, Value: p.Value})
	}
	resource = append(resource, tracing.Attribute{Key: "service.version", Value: version},
		tracing.Attribute{Key: "service.instance.id", Value: hex.EncodeToString(instance)})
	return tracing.Config{
		Endpoint: c.Traces.Endpoint, Headers: traceHeaders(c.Traces, google.secret), JSON: c.Traces.Protocol == config.OTLPJSON,
		Gzip: c.Traces.Compressed(), Timeout: c.Traces.Timeout(), Client: outbound.Client("otlp", nil), Resource: resource,
		Sampler: tracing.Sampler{Share: share, Parent: parent}, Followed: c.Traces.Followed(),
		Now: k.now, Sleep: k.sleep, Random: rand.Reader,
	}
}

// traceHeaders are read once, when they are first needed: where they cannot be, the service runs
// all the same.
func traceHeaders(c config.Traces, secret func(context.Context, string) ([]byte, error)) func(context.Context) (http.Header, error) {
	read := oneLine("value of OTEL_EXPORTER_OTLP_HEADERS", stored(secret, c.Headers))
	var mu sync.Mutex
	var headers http.Header
	return func(ctx context.Context) (http.Header, error) {
		mu.Lock()
		defer mu.Unlock()
		if headers != nil || c.Headers.IsZero() {
			return headers, nil
		}
		text, err := read(ctx)
		if err != nil {
			return nil, err
		}
		all, ok := config.ParseHeaders(text)
		if !ok {
			return nil, errors.New("what is kept for OTEL_EXPORTER_OTLP_HEADERS must be NAME=VALUE, several separated by commas")
		}
		headers = http.Header{}
		for _, p := range all {
			headers.Add(p.Name, p.Value)
		}
		return headers, nil
	}
}

// flush hands on the spans that there are, where the process may stand still from now on.
func (o *observing) flush(ctx context.Context) {
	if !o.idle() {
		ctx, cancel := context.WithTimeout(ctx, endTime)
		defer cancel()
		o.traces.Flush(ctx)
	}
}

// end hands on the spans that are left, at the end of the process.
func (o *observing) end(ctx context.Context) {
	if !o.idle() {
		ctx, cancel := context.WithTimeout(ctx, endTime)
		defer cancel()
		o.traces.Close(ctx)
	}
}
