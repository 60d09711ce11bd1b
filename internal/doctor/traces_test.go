package doctor

import (
	"context"
	"errors"
	"testing"

	"jitaccess/internal/config"
	"jitaccess/internal/tracing"
)

func TestTraces(t *testing.T) {
	for _, test := range []struct {
		protocol string
		err      error
		want     string
	}{
		{config.OTLPProtobuf, nil, "ok       traces: spans are taken at https://otel.example.com/v1/traces"},
		{config.OTLPProtobuf, errors.New("connection refused"), "warning  traces: spans are not taken at https://otel.example.com/v1/traces: connection refused; " +
			"see that a collector listens there for OTLP over HTTP, usually at port 4318, and what the network lets out"},
		{config.OTLPProtobuf, tracing.StatusError(401), "warning  traces: spans are not taken at https://otel.example.com/v1/traces: it answered 401 Unauthorized; " +
			"set OTEL_EXPORTER_OTLP_HEADERS to what it knows its senders by"},
		{config.OTLPProtobuf, tracing.StatusError(404), "warning  traces: spans are not taken at https://otel.example.com/v1/traces: it answered 404 Not Found; " +
			"OTEL_EXPORTER_OTLP_ENDPOINT is without /v1/traces, which is added, and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT with it"},
		{config.OTLPProtobuf, tracing.StatusError(415), "warning  traces: spans are not taken at https://otel.example.com/v1/traces: it answered 415 Unsupported Media Type; " +
			"set OTEL_EXPORTER_OTLP_PROTOCOL=http/json, or OTEL_EXPORTER_OTLP_COMPRESSION=none"},
		{config.OTLPJSON, tracing.StatusError(415), "warning  traces: spans are not taken at https://otel.example.com/v1/traces: it answered 415 Unsupported Media Type; " +
			"set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf, or OTEL_EXPORTER_OTLP_COMPRESSION=none"},
		{config.OTLPJSON, tracing.StatusError(500), "warning  traces: spans are not taken at https://otel.example.com/v1/traces: it answered 500 Internal Server Error; " +
			"see what the collector says in its log"},
	} {
		var found []string
		d := &doctor{report: func(f Finding) { found = append(found, f.String()) }}
		d.traces(t.Context())
		d.Settings = &config.Config{Traces: config.Traces{Endpoint: "https://otel.example.com/v1/traces", Protocol: test.protocol}}
		d.Traces = func(context.Context) error { return test.err }
		d.traces(t.Context())
		if len(found) != 1 || found[0] != test.want {
			t.Errorf("found %q, want %q", found, test.want)
		}
	}
}
