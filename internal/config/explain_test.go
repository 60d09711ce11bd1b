package config_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"jitaccess/internal/config"
)

func explained(environment map[string]string) (config.Explanation, map[string]config.Setting) {
	e := config.Explain(func(name string) string { return environment[name] })
	byName := map[string]config.Setting{}
	for _, s := range e.Settings {
		byName[s.Name] = s
	}
	return e, byName
}

// Every setting is there once, and each has a sentence for when it is set.
func TestExplainHasEverySetting(t *testing.T) {
	e, _ := explained(nil)
	i := 0
	for section := range reflect.TypeFor[config.Config]().Fields() {
		if section.Tag.Get("title") == "" {
			continue
		}
		for field := range section.Type.Fields() {
			env := field.Tag.Get("env")
			if env == "" {
				continue
			}
			first, _, _ := strings.Cut(env, ",")
			if i >= len(e.Settings) || e.Settings[i].Name != first || e.Settings[i].Section != section.Tag.Get("title") {
				t.Fatalf("%s is not number %d", first, i)
			}
			i++
			if set, unset := config.Follows(env); !strings.HasSuffix(set, ".") || unset != "" && !strings.HasSuffix(unset, ".") {
				t.Errorf("variables.txt does not say what follows from %s: %q, %q", env, set, unset)
			}
		}
	}
}

func TestExplainSaysWhatHoldsAndWhy(t *testing.T) {
	google := map[string]string{"K_SERVICE": "jit", "RESOURCE_CATALOG": "assetinventory", "RESOURCE_CUSTOMER_ID": "C01", "ACTIVATION_REQUEST_TIMEOUT": "999",
		"BACKEND_READ_TIMEOUT": "0", "IAP_VERIFY_AUDIENCE": "false", "SMTP_SECRET": "projects/p-1/secrets/s/versions/1", "SMTP_SENDER_ADDRESS": "jit@example.com",
		"activation_timeout": "3", "ACTIVATION_TIMEOUT": "1"}
	pomerium := map[string]string{"API_USER_TOKEN": "t", "ORGANIZATION_ID": "o", "CLUSTER_ID": "c",
		"JWKS_ENDPOINT": "https://a.example.com/.well-known/pomerium/jwks.json", "ADMINS": "user:a@example.com, user:b@example.com"}
	untraced := map[string]string{"K_SERVICE": "jit", "RESOURCE_CUSTOMER_ID": "C01", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}
	for _, test := range []struct {
		in      map[string]string
		name    string
		value   string
		source  config.Source
		follows string
	}{
		{google, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", config.Unset, "Nothing is traced."},
		{google, "OTEL_SERVICE_NAME", "", config.Unset, "without OTEL_EXPORTER_OTLP_ENDPOINT nothing is traced"},
		{untraced, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318", config.Environment, "OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER says"},
		{google, "RESOURCE_SCOPE", "", config.AtStart, "the metadata server names at start"},
		{google, "RESOURCE_CATALOG", "AssetInventory", config.Environment, "found by AssetInventory."},
		{google, "AVAILABLE_PROJECTS_QUERY", "state:ACTIVE", config.Derived, "the query state:ACTIVE finds"},
		{google, "ACTIVATION_TIMEOUT", "1 minute", config.Environment, "Access lasts 1 minute at most."},
		{google, "ACTIVATION_REQUEST_TIMEOUT", "360 minutes", config.Environment, "over after 360 minutes."},
		{google, "IDENTITY", "iap", config.Derived, "iap says"},
		{google, "IAP_AUDIENCE", "", config.AtStart, "derived from the platform"},
		{google, "IAP_VERIFY_AUDIENCE", "false", config.Environment, "any service of this project"},
		{google, "BACKEND_READ_TIMEOUT", "0 seconds", config.Environment, "without a limit of its own"},
		{google, "BACKEND_WRITE_TIMEOUT", "5 seconds", config.Default, "takes 5 seconds at most"},
		{google, "SMTP_SECRET", "projects/p-1/secrets/s/versions/1", config.Environment, "is read from projects/p-1/secrets/s/versions/1"},
		{google, "OIDC_MAX_AGE", "480 minutes", config.Default, "no effect: people are not identified by IDENTITY=oidc"},
		{google, "POMERIUM_POLICY_IDS", "", config.Unset, "no effect: Pomerium Zero is not used"},
		{google, "LEDGER_RETENTION", "", config.Unset, "no effect: DATABASE_URL is not set"},
		{google, "WEEKLY_RECONCILE", "true", config.Default, "no effect: DATABASE_URL is not set"},
		{pomerium, "WEEKLY_RECONCILE", "true", config.Default, "ADMINS are told what differs"},
		{google, "GOOGLE_CLOUD_PROJECT", "", config.AtStart, "The metadata server says"},
		{pomerium, "GOOGLE_CLOUD_PROJECT", "", config.Unset, "no effect: Google Cloud is not used"},
		{pomerium, "DATABASE_URL", "sqlite:", config.Derived, "are remembered"},
		{pomerium, "PORT", "8000", config.Derived, "listens on port 8000"},
		{pomerium, "PUBLIC_URL", "https://a.example.com", config.Derived, "Links lead to https://a.example.com."},
		{pomerium, "IDENTITY_AUDIENCE", "a.example.com", config.Derived, "made for a.example.com"},
		{pomerium, "ADMINS", "user:a@example.com, user:b@example.com", config.Environment, "may end anyone's access"},
		{pomerium, "SMTP_PORT", "587", config.Default, "no effect: without SMTP_SENDER_ADDRESS"},
		{pomerium, "SMTP_SENDER_ADDRESS", "", config.Unset, "No mail is sent."},
	} {
		e, settings := explained(test.in)
		got := settings[test.name]
		if e.Faulty || got.Value != test.value || got.Source != test.source || !strings.Contains(got.Follows, test.follows) || got.Fault != "" {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}

// A fault stands at its setting, also where it takes several to see it, and the others are explained.
func TestExplainShowsFaultsAtTheirSettings(t *testing.T) {
	for _, test := range []struct {
		in         map[string]string
		name, want string
	}{
		{map[string]string{"K_SERVICE": "x", "ELEVATION_DURATION": "soon"}, "ELEVATION_DURATION", `is "soon"; it must be a whole number of minutes`},
		{map[string]string{"K_SERVICE": "x", "DATABASE_URL": "sqlite:x"}, "DATABASE_URL", "the disk of Cloud Run is memory"},
		{map[string]string{"K_SERVICE": "x", "IDENTITY": "oidc"}, "SESSION_KEY", "is not set; it must be"},
		{map[string]string{"K_SERVICE": "x", "ACTIVATION_REQUEST_MIN_REVIEWERS": "11"}, "ACTIVATION_REQUEST_MIN_REVIEWERS", "cannot both hold"},
		{map[string]string{}, "IDENTITY", "nothing says who signs people in"},
	} {
		e, settings := explained(test.in)
		if got := settings[test.name]; !e.Faulty || !strings.Contains(got.Fault, test.want) || got.Follows != "" {
			t.Errorf("%s: %+v", test.name, got)
		}
		if got := settings["PORT"]; got.Follows != "The service listens on port 8080." {
			t.Errorf("beside a fault of %s: %+v", test.name, got)
		}
	}
}

// Whatever stands in a secret, in order or not, is nowhere in what is explained.
func TestExplainShowsNoSecret(t *testing.T) {
	const canary = "Canary4711"
	for section := range reflect.TypeFor[config.Config]().Fields() {
		if section.Tag.Get("title") == "" {
			continue
		}
		for field := range section.Type.Fields() {
			secret, env := field.Tag.Get("secret") != "", field.Tag.Get("env")
			for name := range strings.SplitSeq(env, ",") {
				for _, text := range []string{canary, canary + " " + canary, "postgres://u:" + canary + "@h/d", "https://u:" + canary + "@h/", "projects/" + canary,
					"-----BEGIN KEY-----" + canary, "mail.smtp.password=" + canary, "sqlite:postgres://u:" + canary + "@h/d", "u:" + canary + "@h",
					"user:a@example.com, u:" + canary + "@h:25", "u:" + canary + "@" + canary + "@h"} {
					if name == "" || !secret && !strings.Contains(text, "u:"+canary) {
						continue
					}
					for _, where := range []string{"K_SERVICE", "IDENTITY"} { // on Cloud Run, or on a machine of one's own, where a database may be a file
						e, _ := explained(map[string]string{where: "oidc", "SMTP_SENDER_ADDRESS": "a@example.com", "SMTP_AUTH": "oauth2", name: text})
						if shown, err := json.Marshal(e); err != nil || strings.Contains(string(shown), canary) {
							t.Errorf("%s=%s is shown (%v)", name, text, err)
						}
					}
				}
			}
		}
	}
}
