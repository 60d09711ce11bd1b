package config

import (
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"jitaccess/internal/loopback"
)

// Protocols of OTLP that there are; the third that is standard, grpc, is not.
const (
	OTLPProtobuf = "http/protobuf"
	OTLPJSON     = "http/json"
)

// Used is whether anything is traced.
func (t Traces) Used() bool { return t.Endpoint != "" && !t.Disabled && t.Exporter != "none" }

// Compressed is whether what goes is.
func (t Traces) Compressed() bool { return t.Compression == "gzip" }

// Timeout is for how long a call may take that hands on spans.
func (t Traces) Timeout() time.Duration { return time.Duration(t.Milliseconds) * time.Millisecond }

// Followed is whether what a request says of the trace that it is part of holds.
func (t Traces) Followed() bool {
	return strings.Contains(","+strings.Join(t.Propagators, ",")+",", ",tracecontext,")
}

// Sampling is the share of traces that are recorded, and whether of one that is followed what it
// says of itself counts instead.
func (t Traces) Sampling() (share float64, parent bool) {
	share, parent, _ = t.sampling()
	return share, parent
}

func (t Traces) sampling() (share float64, parent, ok bool) {
	kind, parent := strings.CutPrefix(t.Sampler, "parentbased_")
	switch kind {
	case "always_on":
		return 1, parent, true
	case "always_off":
		return 0, parent, true
	case "traceidratio":
		if t.SamplerArgument == "" {
			return 1, parent, true // as the standard has it
		}
		share, err := strconv.ParseFloat(t.SamplerArgument, 64)
		return share, parent, err == nil && share >= 0 && share <= 1
	}
	return 0, parent, false
}

// Pair is a name with a value.
type Pair struct{ Name, Value string }

// Attributes are what OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME say of the service, its
// name first.
func (t Traces) Attributes() []Pair {
	name, rest := "jitaccess", []Pair(nil)
	given, _ := parsePairs(t.Resource)
	for _, p := range given {
		if p.Name == serviceName {
			name = p.Value
		} else {
			rest = append(rest, p)
		}
	}
	if t.ServiceName != "" {
		name = t.ServiceName
	}
	return append([]Pair{{serviceName, name}}, rest...)
}

const serviceName = "service.name"

// ParseHeaders reads headers as OTEL_EXPORTER_OTLP_HEADERS has them. What is wrong is not told:
// they hold secrets.
func ParseHeaders(text string) ([]Pair, bool) {
	all, ok := parsePairs(text)
	for _, p := range all {
		ok = ok && httpguts.ValidHeaderFieldName(p.Name) && httpguts.ValidHeaderFieldValue(p.Value)
	}
	return all, ok
}

// parsePairs reads NAME=VALUE,NAME=VALUE, where values may be percent-encoded
// (https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable).
func parsePairs(text string) (all []Pair, ok bool) {
	for _, entry := range parseList(text) {
		name, value, found := strings.Cut(entry, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !found || name == "" || err != nil || !utf8.ValidString(name+value) {
			return nil, false
		}
		all = append(all, Pair{name, value})
	}
	return all, true
}

func (r *reader) checkTraces(c *Config) {
	t := &c.Traces
	if !t.Used() {
		return // a platform may set what is left for everybody
	}
	r.faultIf(t.Exporter != "otlp", "OTEL_TRACES_EXPORTER", "")
	why := ""
	if t.Protocol == "grpc" {
		why = "gRPC is not built in; collectors take HTTP at port 4318"
	}
	r.faultIf(t.Protocol != OTLPProtobuf && t.Protocol != OTLPJSON, "OTEL_EXPORTER_OTLP_PROTOCOL", why)
	r.faultIf(t.Compression != "gzip" && t.Compression != "none", "OTEL_EXPORTER_OTLP_COMPRESSION", "")
	_, _, ok := t.sampling()
	_, _, known := Traces{Sampler: t.Sampler}.sampling()
	r.faultIf(!known, "OTEL_TRACES_SAMPLER", "")
	r.faultIf(known && !ok, "OTEL_TRACES_SAMPLER_ARG", "")
	_, ok = parsePairs(t.Resource)
	r.faultIf(!ok, "OTEL_RESOURCE_ATTRIBUTES", "")
	r.faultIf(!utf8.ValidString(t.ServiceName), "OTEL_SERVICE_NAME", "")
	if h := t.Headers.Value; !h.IsZero() {
		_, ok = ParseHeaders(h.Reveal())
		r.faultIf(!ok, "OTEL_EXPORTER_OTLP_HEADERS", "")
	}
	r.checkTracesEndpoint(t)
}

// checkTracesEndpoint reads where spans go. A collector beside the service is often reached
// without TLS, which is not for headers: these hold secrets.
func (r *reader) checkTracesEndpoint(t *Traces) {
	const name = "OTEL_EXPORTER_OTLP_ENDPOINT"
	u, err := url.Parse(t.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.Opaque != "" || u.RawQuery != "" || u.ForceQuery ||
		strings.Contains(t.Endpoint, "#") || !hostPattern().MatchString(strings.ToLower(u.Hostname())) {
		r.faultIf(true, name, "")
		return
	}
	r.faultIf(u.Scheme == "http" && !t.Headers.IsZero() && !loopback.Is(strings.ToLower(u.Hostname())), name,
		"it begins with http://, and headers are set, which may be secrets: use https://")
	if r.variables[name].name == name { // it is where all signals go, and traces below it
		u = u.JoinPath("v1", "traces")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	t.Endpoint = u.String()
}
