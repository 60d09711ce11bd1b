package config_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/config"
)

// example is the environment of Pomerium's example, with variables changed.
func example(entries ...string) map[string]string {
	env := map[string]string{"API_USER_TOKEN": "hunter2", "CLUSTER_ID": "cluster-1", "ORGANIZATION_ID": "Org_1", "JWKS_ENDPOINT": jwksText}
	for _, entry := range entries {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}

// The four variables of the example are enough, and nothing of Google's is used.
func TestProviders_TheExampleStarts(t *testing.T) {
	c, err := read(example())
	if err != nil {
		t.Fatal(err)
	}
	where, _ := config.ParseDatabase(c.Ledger.Database.Value.Reveal())
	if c.Google.Used || !c.Pomerium.Used() || !c.Guarded() || c.Server.Port != 8000 || where.SQLite != "jitaccess.db" || c.Ledger.ByAccount() ||
		c.Identity.Profile != config.Pomerium || c.Server.PublicURL != "https://jit-example.curious-cat-9999.pomerium.app" ||
		c.Pomerium.APIUserToken.Reveal() != "hunter2" {
		t.Errorf("%+v", c)
	}
	if c, err = read(example("PORT=9000")); err != nil || c.Server.Port != 9000 {
		t.Errorf("%v, %v", c, err)
	}
}

// Whether Google Cloud is used follows from the platform and from what is set; what is in
// many an environment anyway asks for nothing.
func TestProviders_WhetherGoogleIsUsed(t *testing.T) {
	database := "DATABASE_URL=sqlite:x"
	for what, test := range map[string]struct {
		env  map[string]string
		used bool
	}{
		"today's App Engine":      {enough(), true},
		"today's Cloud Run":       {with("GAE_SERVICE=", "K_SERVICE=jit"), true},
		"today's host":            {map[string]string{"IAP_AUDIENCE": "/projects/1/apps/a"}, true},
		"the example":             {example(), false},
		"in a project":            {example("GOOGLE_CLOUD_PROJECT=acme", "GCE_METADATA_HOST=127.0.0.1:1"), false},
		"with a scope":            {example(database, "RESOURCE_SCOPE=organizations/1"), true},
		"with a catalog":          {example(database, "RESOURCE_CATALOG=PolicyAnalyzer"), true},
		"with another Google":     {example(database, "JITACCESS_GOOGLE_ENDPOINT=http://127.0.0.1:1"), true},
		"with quotas":             {example(database, "BACKEND_READ_TIMEOUT=20"), true},
		"behind IAP":              {example(database, "IDENTITY=iap", "IAP_AUDIENCE=/projects/1/apps/a", "ADMINS=user:ana@example.com"), true},
		"both on Cloud Run":       {example("DATABASE_URL=postgres://h/d", "K_SERVICE=jit", "IDENTITY=pomerium"), true},
		"a login, and the policy": {example("IDENTITY=jwt", "JWKS_ENDPOINT=", "IDENTITY_HEADER=X-Token", "IDENTITY_ISSUER=https://l.example.com", "IDENTITY_AUDIENCE=j", "ADMINS=user:ana@example.com"), false},
	} {
		c, err := read(test.env)
		if err != nil || c.Google.Used != test.used {
			t.Errorf("%s: %v, %v", what, c != nil && c.Google.Used, err)
		}
		if err == nil && test.used && c.Server.Port != 8080 {
			t.Errorf("%s: port %d", what, c.Server.Port)
		}
	}
}

func TestProviders_Faults(t *testing.T) {
	for _, c := range []struct {
		env            map[string]string
		variable, says string
	}{
		{example("API_USER_TOKEN="), "API_USER_TOKEN", "needs API_USER_TOKEN, ORGANIZATION_ID and CLUSTER_ID"},
		{example("CLUSTER_ID="), "CLUSTER_ID", "is not set"},
		{example("ORGANIZATION_ID="), "ORGANIZATION_ID", "is not set"},
		{with("CLUSTER_ID=c", "ORGANIZATION_ID=o", "DATABASE_URL=postgres://h/d", "ADMINS=user:a@example.com"), "API_USER_TOKEN", "is not set"},
		{example("API_USER_TOKEN=a b"), "API_USER_TOKEN", "is [redacted]"},
		{example("CLUSTER_ID=../x"), "CLUSTER_ID", "letters, digits"},
		{example("ORGANIZATION_ID=a/b"), "ORGANIZATION_ID", "letters, digits"},
		{example("ORGANIZATION_ID=" + strings.Repeat("a", 101)), "ORGANIZATION_ID", "letters, digits"},
		{example("JITACCESS_POMERIUM_ENDPOINT=https://console.example.com"), "JITACCESS_POMERIUM_ENDPOINT", "loopback"},
		{example("K_SERVICE=jit", "DATABASE_URL=postgres://h/d"), "IDENTITY", "Pomerium"},
		{example("RESOURCE_SCOPE=projects/shop"), "DATABASE_URL", "requests must be remembered"},
		{example("DATABASE_URL=postgres://h/d"), "SIGNING_KEY", "no service account signs"},
		{example("DATABASE_URL=projects/p/secrets/s/versions/1", "SIGNING_KEY="+sessionKey), "DATABASE_URL", "needs Google Cloud"},
		{example("SIGNING_KEY=projects/p/secrets/s/versions/1"), "SIGNING_KEY", "needs Google Cloud"},
		{example("POLICY=projects/p/locations/global/parameters/s/versions/1"), "POLICY", "needs Google Cloud"},
		{example("SMTP_SECRET=projects/p/secrets/s/versions/1"), "SMTP_SECRET", "needs Google Cloud; RESOURCE_SCOPE asks for Google Cloud, and without it set SMTP_PASSWORD"},
		{example("SIGNING_KEY=projects/p/secret/s/versions/1"), "SIGNING_KEY", "is spelled as no such path; what is kept there needs Google Cloud"},
		{example("API_USER_TOKEN=projects/p/secrets/s/versions/1"), "API_USER_TOKEN", "it is given itself, not by where it is kept"},
		{example("NOTIFICATION_TOPIC=jit"), "NOTIFICATION_TOPIC", "Pub/Sub needs Google Cloud"},
		{example("DATABASE_URL=firestore:jitaccess"), "DATABASE_URL", "Firestore needs Google Cloud"},
		{example("ADMINS=user:a@example.com,group:ops@example.com"), "ADMINS", "no directory"},
		{example("AUDITORS=group:ops@example.com"), "AUDITORS", "no directory"},
		{example("SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_AUTH=oauth2"), "SMTP_OAUTH_CLIENT_ID", "no service account"},
		{example("IDENTITY=jwt", "JWKS_ENDPOINT=", "IDENTITY_HEADER=X-Token", "IDENTITY_ISSUER=https://l.example.com", "IDENTITY_AUDIENCE=j"),
			"ADMINS", "whose routes say who gets to /admin"},
	} {
		found := faults(t, c.env)
		if len(found) == 0 || !slices.ContainsFunc(found, func(f *config.Fault) bool {
			return f.Variable == c.variable && strings.Contains(f.Error(), c.says)
		}) {
			t.Errorf("%v: got %v, want a fault of %s with %q", c.env, found, c.variable, c.says)
		}
		if strings.Contains(strings.Join(slices.Collect(maps.Keys(c.env)), " "), "hunter2") {
			t.Error("the token is told")
		}
	}
}

// Where nothing of Google's is set, no fault sends anybody to a variable of Google's.
func TestProviders_NoFaultLeadsToGoogleWhereThereIsNone(t *testing.T) {
	for what, env := range map[string]map[string]string{
		"nothing at all":      {},
		"no front":            example("JWKS_ENDPOINT="),
		"a directory's group": example("ADMINS=group:ops@example.com"),
	} {
		found := faults(t, env)
		if len(found) == 0 {
			t.Errorf("%s: no fault", what)
		}
		for _, f := range found {
			if strings.HasPrefix(f.Variable, "IAP_") || f.Variable == "RESOURCE_CUSTOMER_ID" {
				t.Errorf("%s: %v", what, f)
			}
		}
	}
	if found := faults(t, example("JWKS_ENDPOINT=")); found[0].Variable != "IDENTITY" || !strings.Contains(found[0].Error(), "behind Pomerium JWKS_ENDPOINT") {
		t.Errorf("no front: %v", found)
	}
}

// With neither system to give access to, it is said what to set, for both.
func TestProviders_NeitherIsAFault(t *testing.T) {
	found := faults(t, map[string]string{"JWKS_ENDPOINT": jwksText})
	var said []string
	for _, f := range found {
		said = append(said, f.Variable)
		if !strings.Contains(f.Error(), "nothing to give access to") || !strings.Contains(f.Error(), "RESOURCE_SCOPE") {
			t.Error(f)
		}
	}
	if strings.Join(said, " ") != "API_USER_TOKEN ORGANIZATION_ID CLUSTER_ID" {
		t.Errorf("got %v", found)
	}
}

// All that is wrong is told at once, without Google too, each time in the same order.
func TestProviders_AllFaultsAtOnce(t *testing.T) {
	env := example("CLUSTER_ID=", "PORT=x", "NOTIFICATION_TOPIC=jit", "ADMINS=group:o@example.com", "SMTP_SECRET=projects/p/secrets/s/versions/1",
		"SIGNING_KEY=projects/p/secrets/k/versions/1", "JITACCESS_POMERIUM_ENDPOINT=http://example.com")
	first := ""
	for range 5 {
		var said []string
		for _, f := range faults(t, env) {
			said = append(said, f.Variable)
		}
		got := strings.Join(said, " ")
		if first = max(first, got); got != first {
			t.Errorf("%s, and then %s", first, got)
		}
		slices.Sort(said)
		if want := "ADMINS CLUSTER_ID JITACCESS_POMERIUM_ENDPOINT NOTIFICATION_TOPIC PORT SIGNING_KEY SMTP_SECRET"; strings.Join(said, " ") != want {
			t.Errorf("got %v, want %s", said, want)
		}
	}
}
