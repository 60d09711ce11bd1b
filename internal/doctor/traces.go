package doctor

import (
	"context"
	"errors"
	"net/http"

	"jitaccess/internal/config"
	"jitaccess/internal/tracing"
)

// traces is whether spans would be taken. That they are not harms nothing else.
func (d *doctor) traces(ctx context.Context) {
	if d.Traces == nil {
		return
	}
	t := d.Settings.Traces
	err := d.Traces(ctx)
	if err == nil {
		d.ok("traces", "spans are taken at %s", t.Endpoint)
		return
	}
	d.warn("traces", "spans are not taken at "+t.Endpoint+": "+why(err), tracesRemedy(t, err))
}

func tracesRemedy(t config.Traces, err error) string {
	status, _ := errors.AsType[tracing.StatusError](err)
	switch int(status) {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "set OTEL_EXPORTER_OTLP_HEADERS to what it knows its senders by"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return "OTEL_EXPORTER_OTLP_ENDPOINT is without /v1/traces, which is added, and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT with it"
	case http.StatusBadRequest, http.StatusUnsupportedMediaType:
		other := config.OTLPJSON
		if t.Protocol == config.OTLPJSON {
			other = config.OTLPProtobuf
		}
		return "set OTEL_EXPORTER_OTLP_PROTOCOL=" + other + ", or OTEL_EXPORTER_OTLP_COMPRESSION=none"
	case 0:
		return "see that a collector listens there for OTLP over HTTP, usually at port 4318, and what the network lets out"
	}
	return "see what the collector says in its log"
}
