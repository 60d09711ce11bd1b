package config_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/config"
)

// traces reads an environment that has an endpoint and more.
func traces(more map[string]string) (*config.Config, error) {
	environment := map[string]string{"K_SERVICE": "x", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://otel.example.com"}
	maps.Copy(environment, more)
	return config.Read(func(name string) string { return environment[name] })
}

func TestTracesAreOffUnlessSomebodyTakesThem(t *testing.T) {
	for _, test := range []struct {
		environment map[string]string
		used        bool
	}{
		{nil, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, false},
		{map[string]string{"OTEL_SDK_DISABLED": "true"}, false},
		{map[string]string{"OTEL_SDK_DISABLED": "false"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none"}, false},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		// What a platform sets for all programs harms none that traces nothing.
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_TRACES_SAMPLER": "xray", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_EXPORTER": "console",
			"OTEL_RESOURCE_ATTRIBUTES": "%", "OTEL_EXPORTER_OTLP_HEADERS": "=", "OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"}, false},
		{map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "no address"}, false},
	} {
		if c, err := traces(test.environment); err != nil || c.Traces.Used() != test.used {
			t.Errorf("%v: %v", test.environment, err)
		}
	}
}

func TestWhereTracesGo(t *testing.T) {
	for _, test := range []struct{ general, own, headers, want, fault string }{
		{"https://otel.example.com", "", "", "https://otel.example.com/v1/traces", ""},
		{"https://otel.example.com/", "", "", "https://otel.example.com/v1/traces", ""},
		{"https://otel.example.com/otlp", "", "", "https://otel.example.com/otlp/v1/traces", ""},
		{"https://otel.example.com/otlp/", "", "", "https://otel.example.com/otlp/v1/traces", ""},
		{"http://collector:4318", "", "", "http://collector:4318/v1/traces", ""},
		{"http://[::1]:4318", "", "a=b", "http://[::1]:4318/v1/traces", ""},
		{"", "https://otel.example.com/spans", "", "https://otel.example.com/spans", ""},
		{"", "https://otel.example.com", "", "https://otel.example.com/", ""},
		{"https://other.example.com", "https://otel.example.com/spans", "", "https://otel.example.com/spans", ""},
		{"http://localhost:4318", "", "Authorization=canary", "http://localhost:4318/v1/traces", ""},
		{"https://otel.example.com", "", "Authorization=canary", "https://otel.example.com/v1/traces", ""},
		{"http://collector:4318", "", "Authorization=canary", "", "OTEL_EXPORTER_OTLP_ENDPOINT is"},
		{"http://collector:4318", "", "projects/p-1/secrets/s/versions/1", "", "use https://"},
		{"", "http://collector:4318/x", "Authorization=canary", "", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is"},
		{"otel.example.com:4318", "", "", "", "OTEL_EXPORTER_OTLP_ENDPOINT is"},
		{"collector", "", "", "", "OTEL_EXPORTER_OTLP_ENDPOINT is"},
		{"ftp://otel.example.com", "", "", "", "OTEL_EXPORTER_OTLP_ENDPOINT is"},
		{"https://", "", "", "", "OTEL_EXPORTER_OTLP_ENDPOINT is"},
		{"https://user:canary@otel.example.com", "", "", "", "OTEL_EXPORTER_OTLP_ENDPOINT is [redacted]"},
		{"https://otel.example.com?key=1", "", "", "", "OTEL_EXPORTER_OTLP_ENDPOINT is"},
		{"https://otel.example.com?", "", "", "", "OTEL_EXPORTER_OTLP_ENDPOINT is"},
		{"https://otel.example.com#x", "", "", "", "OTEL_EXPORTER_OTLP_ENDPOINT is"},
		{"unix:///run/otel.sock", "", "", "", "OTEL_EXPORTER_OTLP_ENDPOINT is"},
		{"https://otel example.com", "", "", "", "OTEL_EXPORTER_OTLP_ENDPOINT is"},
	} {
		c, err := traces(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": test.general, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": test.own,
			"OTEL_EXPORTER_OTLP_HEADERS": test.headers})
		switch {
		case test.fault == "" && (err != nil || c.Traces.Endpoint != test.want):
			t.Errorf("%s, %s: %v, %v", test.general, test.own, c, err)
		case test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault) || strings.Contains(err.Error(), "canary")):
			t.Errorf("%s, %s: %v", test.general, test.own, err)
		}
	}
}

func TestTracesSettings(t *testing.T) {
	for name, test := range map[string]struct{ good, bad []string }{
		"OTEL_EXPORTER_OTLP_PROTOCOL":           {[]string{"", "http/protobuf", "http/json"}, []string{"grpc", "http", "HTTP/JSON"}},
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL":    {[]string{"", "http/protobuf", "http/json"}, []string{"grpc"}},
		"OTEL_EXPORTER_OTLP_COMPRESSION":        {[]string{"", "none", "gzip"}, []string{"zstd", "GZIP"}},
		"OTEL_EXPORTER_OTLP_TIMEOUT":            {[]string{"", "1", "600000"}, []string{"0", "-1", "10s", "600001"}},
		"OTEL_TRACES_EXPORTER":                  {[]string{"", "otlp", "none"}, []string{"console", "zipkin", "otlp,console"}},
		"OTEL_TRACES_SAMPLER":                   {[]string{"", "always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"}, []string{"xray", "parentbased_", "parentbased_parentbased_always_on", "always", "jaeger_remote"}},
		"OTEL_RESOURCE_ATTRIBUTES":              {[]string{"", "a=b", "a=b,c=d%20e%2Cf", "a=", " a = b , ", "service.name=x", "a=b=c"}, []string{"a", "=b", "a=%zz", "a=%ff", "a=b,c"}},
		"OTEL_EXPORTER_OTLP_HEADERS":            {[]string{"", "a=b", "Authorization=Bearer canary", "authorization=Basic%20Y2FuYXJ5==,x-scope=1", "projects/p-1/secrets/s/versions/1"}, []string{"canary", "=canary", "a b=canary", "a:=canary", "a=canary%0d%0ab: c", "a=canary%00", "projects/p-1/secrets/canary"}},
		"OTEL_EXPORTER_OTLP_TRACES_HEADERS":     {[]string{"a=b"}, []string{"canary"}},
		"OTEL_PROPAGATORS":                      {[]string{"", "none", "tracecontext", "tracecontext,baggage", "b3"}, nil},
		"OTEL_SERVICE_NAME":                     {[]string{"", "x y"}, []string{"\xff"}},
		"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": {[]string{"gzip"}, []string{"deflate"}},
	} {
		for _, text := range test.good {
			if _, err := traces(map[string]string{name: text}); err != nil {
				t.Errorf("%s=%s: %v", name, text, err)
			}
		}
		for _, text := range test.bad {
			if _, err := traces(map[string]string{name: text}); err == nil || !strings.Contains(err.Error(), name+" is ") || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s=%s: %v", name, text, err)
			}
		}
	}
	if _, err := traces(map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}); err == nil || !strings.Contains(err.Error(), "gRPC is not built in; collectors take HTTP at port 4318") {
		t.Error(err)
	}
	for _, text := range []string{"-0.1", "1.1", "NaN", "half", "1e400"} {
		if _, err := traces(map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": text}); err == nil || !strings.Contains(err.Error(), "OTEL_TRACES_SAMPLER_ARG is ") {
			t.Errorf("%s: %v", text, err)
		}
		if _, err := traces(map[string]string{"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": text}); err != nil { // nobody reads it
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestWhatTracesComeTo(t *testing.T) {
	for _, test := range []struct {
		sampler, argument string
		share             float64
		parent            bool
	}{
		{"", "", 1, true}, {"always_on", "", 1, false}, {"always_off", "1", 0, false}, {"traceidratio", "", 1, false}, {"traceidratio", "0.25", 0.25, false},
		{"parentbased_traceidratio", "0", 0, true}, {"parentbased_always_off", "", 0, true},
	} {
		c, err := traces(map[string]string{"OTEL_TRACES_SAMPLER": test.sampler, "OTEL_TRACES_SAMPLER_ARG": test.argument})
		if err != nil {
			t.Fatal(err)
		}
		if share, parent := c.Traces.Sampling(); share != test.share || parent != test.parent {
			t.Errorf("%+v: %v, %v", test, share, parent)
		}
	}
	for _, test := range []struct {
		name, attributes string
		want             []config.Pair
	}{
		{"", "", []config.Pair{{"service.name", "jitaccess"}}},
		{"access", "", []config.Pair{{"service.name", "access"}}},
		{"", "a=b,service.name=other", []config.Pair{{"service.name", "other"}, {"a", "b"}}},
		{"access", "service.name=other,deployment.environment.name=a%20b", []config.Pair{{"service.name", "access"}, {"deployment.environment.name", "a b"}}},
	} {
		c, err := traces(map[string]string{"OTEL_SERVICE_NAME": test.name, "OTEL_RESOURCE_ATTRIBUTES": test.attributes})
		if err != nil || !slices.Equal(c.Traces.Attributes(), test.want) {
			t.Errorf("%+v: %v, %v", test, c, err)
		}
	}
	for text, followed := range map[string]bool{"": false, "none": false, "baggage": false, "xtracecontext": false, "tracecontext": true, "baggage, tracecontext": true} {
		c, err := traces(map[string]string{"OTEL_PROPAGATORS": text})
		if err != nil || c.Traces.Followed() != followed {
			t.Errorf("%s: %v, %v", text, c, err)
		}
	}
	c, err := traces(map[string]string{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "250", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"})
	if err != nil || c.Traces.Timeout() != 250*time.Millisecond || !slices.Contains(c.Warnings, "OTEL_EXPORTER_OTLP_TIMEOUT is ignored, because OTEL_EXPORTER_OTLP_TRACES_TIMEOUT is set") {
		t.Error(c, err)
	}
	if all, ok := config.ParseHeaders("a=b%2Cc, D=e=="); !ok || !slices.Equal(all, []config.Pair{{"a", "b,c"}, {"D", "e=="}}) {
		t.Error(all, ok)
	}
}
