package config_test

import (
	"strings"
	"testing"

	"jitaccess/internal/config"
)

// Where there is no key of one's own the service account signs, but beside SQLite.
func TestWhoSignsWhatIsRemembered(t *testing.T) {
	const key = "SIGNING_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	for _, c := range []struct {
		env  []string
		want bool
	}{
		{nil, false},
		{[]string{key}, false},
		{[]string{"DATABASE_URL=postgres://jit@db.example.com/jit"}, true},
		{[]string{"DATABASE_URL=postgres://jit@db.example.com/jit", key}, false},
		{[]string{"DATABASE_URL=firestore:jitaccess"}, true},
		{[]string{"DATABASE_URL=firestore:jitaccess", key}, false},
		{[]string{"DATABASE_URL=projects/p/secrets/s/versions/1"}, true},
		{[]string{"DATABASE_URL=projects/p/secrets/s/versions/1", "SIGNING_KEY=projects/p/secrets/k/versions/1"}, false},
		{[]string{"DATABASE_URL=sqlite:jit.db"}, false},
	} {
		values := map[string]string{}
		for _, e := range c.env {
			name, value, _ := strings.Cut(e, "=")
			values[name] = value
		}
		l, err := config.ReadLedger(func(name string) string { return values[name] })
		if err != nil && c.env != nil && values["DATABASE_URL"] != "" {
			t.Fatal(c.env, err)
		}
		if got := l.ByAccount(); got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
}

func TestWhereALedgerIs(t *testing.T) {
	for text, want := range map[string]config.Database{
		"sqlite:":                               {SQLite: "jitaccess.db"},
		"sqlite:/data/jit.db":                   {SQLite: "/data/jit.db"},
		"firestore:jitaccess":                   {Firestore: config.Firestore{Database: "jitaccess"}},
		"firestore:(default)":                   {Firestore: config.Firestore{Database: "(default)"}},
		"firestore:acme-jit/jitaccess":          {Firestore: config.Firestore{Project: "acme-jit", Database: "jitaccess"}},
		"firestore:example.com:acme-jit/ledger": {Firestore: config.Firestore{Project: "example.com:acme-jit", Database: "ledger"}},
	} {
		if got, err := config.ParseDatabase(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

// Commands look where the service remembers, also where nothing says so.
func TestALedgerIsReadWhereTheServiceHasIt(t *testing.T) {
	behindPomerium := map[string]string{"API_USER_TOKEN": "t", "ORGANIZATION_ID": "o", "CLUSTER_ID": "c",
		"JWKS_ENDPOINT": "https://jit.example.com/.well-known/pomerium/jwks.json"}
	for name, c := range map[string]struct{ variable, value, want string }{
		"nothing said":          {"PORT", "8000", "sqlite:"},
		"one that is named":     {"DATABASE_URL", "sqlite:other.db", "sqlite:other.db"},
		"a service in a fault":  {"CLUSTER_ID", "", ""},
		"beside Google Cloud":   {"RESOURCE_SCOPE", "organizations/1", ""},
		"one that is no ledger": {"DATABASE_URL", "mysql:x", "mysql:x"},
	} {
		l, err := config.ReadLedger(func(variable string) string {
			if variable == c.variable {
				return c.value
			}
			return behindPomerium[variable]
		})
		if got := l.Database.Value.Reveal(); got != c.want || (err == nil) != strings.HasPrefix(c.want, "sqlite:") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
