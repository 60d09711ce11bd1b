package config_test

import (
	"strings"
	"testing"

	"jitaccess/internal/config"
)

func TestMetricsSettings(t *testing.T) {
	const token = "a-token-of-scrapers"
	for _, test := range []struct{ address, token, fault string }{
		{"", "", ""},
		{":9090", token, ""},
		{"127.0.0.1:9090", "projects/p-1/secrets/s/versions/1", ""},
		{"[::1]:9090", token, ""},
		{"127.0.0.1:9090", "", "METRICS_TOKEN is not set"},
		{":9090", "short", "METRICS_TOKEN is [redacted]"},
		{":9090", "canary with spaces in it", "METRICS_TOKEN is [redacted]"},
		{":9090", "projects/p-1/secrets/s", "METRICS_TOKEN is [redacted]"},
		{"9090", token, "METRICS_ADDRESS is"},
		{":0", token, "METRICS_ADDRESS is"},
		{":65536", token, "METRICS_ADDRESS is"},
		{"localhost", token, "METRICS_ADDRESS is"},
		{"http://localhost:9090", token, "METRICS_ADDRESS is"},
		{":8080", token, "PORT is another"},
	} {
		environment := map[string]string{"K_SERVICE": "x", "METRICS_ADDRESS": test.address, "METRICS_TOKEN": test.token}
		_, err := config.Read(func(name string) string { return environment[name] })
		if (err == nil) != (test.fault == "") || err != nil && (!strings.Contains(err.Error(), test.fault) || test.token != "" && strings.Contains(err.Error(), test.token)) {
			t.Errorf("%s, %s: %v", test.address, test.token, err)
		}
	}
}
