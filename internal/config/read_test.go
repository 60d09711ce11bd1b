package config_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/config"
)

// enough is the least that can be configured.
func enough() map[string]string {
	return map[string]string{
		"GAE_SERVICE": "default", "GOOGLE_CLOUD_PROJECT": "acme-access",
		"RESOURCE_CATALOG": "AssetInventory", "RESOURCE_CUSTOMER_ID": "C0123abcd",
	}
}

// with adds variables, given as NAME=VALUE, to the least.
func with(entries ...string) map[string]string {
	env := enough()
	for _, entry := range entries {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}

func read(env map[string]string) (*config.Config, error) {
	return config.Read(func(name string) string { return env[name] })
}

func mustRead(t *testing.T, entries ...string) *config.Config {
	t.Helper()
	c, err := read(with(entries...))
	if err != nil {
		t.Fatalf("%q: %v", entries, err)
	}
	return c
}

// faults are the faults that an environment has.
func faults(t *testing.T, env map[string]string) []*config.Fault {
	t.Helper()
	c, err := read(env)
	if err == nil {
		return nil
	}
	if c != nil {
		t.Error("a configuration comes with the faults")
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%v is not joined", err)
	}
	var all []*config.Fault
	for _, err := range joined.Unwrap() {
		var fault *config.Fault
		if !errors.As(err, &fault) {
			t.Fatalf("%v is not a Fault", err)
		}
		all = append(all, fault)
	}
	return all
}

func TestRead_Faults(t *testing.T) {
	mail := "SMTP_SENDER_ADDRESS=jit@example.com"
	for _, c := range []struct {
		env      []string
		variable string
		says     string // part of the text
	}{
		{[]string{"RESOURCE_CATALOG=Asset Inventory"}, "RESOURCE_CATALOG", `is "Asset Inventory"; it must be PolicyAnalyzer or AssetInventory`},
		{[]string{"RESOURCE_CATALOG=PolicyAnalyzer,AssetInventory"}, "RESOURCE_CATALOG", ""},
		{[]string{"RESOURCE_CUSTOMER_ID= "}, "RESOURCE_CUSTOMER_ID", "RESOURCE_CATALOG=AssetInventory needs it"},
		{[]string{"RESOURCE_CATALOG=", "RESOURCE_CUSTOMER_ID=", "ADMINS=user:ana@example.com,group:ops@example.com"}, "RESOURCE_CUSTOMER_ID", "ADMINS names a group"},
		{[]string{"RESOURCE_CUSTOMER_ID=c0123abcd"}, "RESOURCE_CUSTOMER_ID", "C and letters or digits"},
		{[]string{"RESOURCE_CUSTOMER_ID=C"}, "RESOURCE_CUSTOMER_ID", ""},
		{[]string{"RESOURCE_CUSTOMER_ID=C01&x=y"}, "RESOURCE_CUSTOMER_ID", ""},
		{[]string{"RESOURCE_SCOPE=acme-app"}, "RESOURCE_SCOPE", "projects/ID, folders/NUMBER or organizations/NUMBER"},
		{[]string{"RESOURCE_SCOPE=organizations/acme"}, "RESOURCE_SCOPE", ""},
		{[]string{"RESOURCE_SCOPE=projects/a/../b"}, "RESOURCE_SCOPE", ""},
		{[]string{"RESOURCE_SCOPE=projects/a, projects/b"}, "RESOURCE_SCOPE", ""},
		{[]string{"GOOGLE_CLOUD_PROJECT=Acme Access"}, "GOOGLE_CLOUD_PROJECT", "a project id"},

		{[]string{"ACTIVATION_TIMEOUT=0"}, "ACTIVATION_TIMEOUT", "from 1 to 525600"},
		{[]string{"ACTIVATION_TIMEOUT=-5"}, "ACTIVATION_TIMEOUT", ""},
		{[]string{"ACTIVATION_TIMEOUT=30m"}, "ACTIVATION_TIMEOUT", `is "30m"`},
		{[]string{"ACTIVATION_TIMEOUT=30.0"}, "ACTIVATION_TIMEOUT", ""},
		{[]string{"ACTIVATION_TIMEOUT=0x10"}, "ACTIVATION_TIMEOUT", ""},
		{[]string{"ACTIVATION_TIMEOUT=1_000"}, "ACTIVATION_TIMEOUT", ""},
		{[]string{"ACTIVATION_TIMEOUT=99999999999999999999"}, "ACTIVATION_TIMEOUT", ""},
		{[]string{"ACTIVATION_TIMEOUT=4611686018427387904"}, "ACTIVATION_TIMEOUT", ""},
		{[]string{"ELEVATION_DURATION=x", "ACTIVATION_TIMEOUT=60"}, "ELEVATION_DURATION", `is "x"`},
		{[]string{"ACTIVATION_REQUEST_TIMEOUT=-1"}, "ACTIVATION_REQUEST_TIMEOUT", ""},
		{[]string{"ACTIVATION_REQUEST_TIMEOUT=0"}, "ACTIVATION_REQUEST_TIMEOUT", ""},
		{[]string{"ACTIVATION_REQUEST_MIN_REVIEWERS=0"}, "ACTIVATION_REQUEST_MIN_REVIEWERS", ""},
		{[]string{"ACTIVATION_REQUEST_MIN_REVIEWERS=11"}, "ACTIVATION_REQUEST_MIN_REVIEWERS", "at least 11 reviewers and at most 10"},
		{[]string{"ACTIVATION_REQUEST_MIN_REVIEWERS=3", "ACTIVATION_REQUEST_MAX_REVIEWERS=2"}, "ACTIVATION_REQUEST_MIN_REVIEWERS", ""},
		{[]string{"ACTIVATION_REQUEST_MAX_REVIEWERS=0"}, "ACTIVATION_REQUEST_MAX_REVIEWERS", ""},
		{[]string{"ACTIVATION_REQUEST_MAX_ROLES=0"}, "ACTIVATION_REQUEST_MAX_ROLES", ""},
		{[]string{"ADMINS=ana@example.com"}, "ADMINS", "user:ADDRESS and group:ADDRESS"},
		{[]string{"ADMINS=user:ana@example.com, domain:example.com"}, "ADMINS", ""},
		{[]string{"ADMINS=user:ana@example.com@example.org"}, "ADMINS", ""},
		{[]string{"AUDITORS=group:"}, "AUDITORS", ""},

		{[]string{"GAE_SERVICE="}, "IAP_AUDIENCE", "is not set; it must be a comma-separated list"},
		{[]string{"GAE_SERVICE=", "IAP_VERIFY_AUDIENCE=false"}, "IAP_AUDIENCE", "cannot be derived"},
		{[]string{"GAE_SERVICE=", "IAP_AUDIENCE= , "}, "IAP_AUDIENCE", ""},
		{[]string{"IAP_AUDIENCE=*"}, "IAP_AUDIENCE", "begin with /projects/"},
		{[]string{"IAP_AUDIENCE=/projects/1/apps/a /projects/2/apps/b"}, "IAP_AUDIENCE", ""},
		{[]string{"IAP_BACKEND_SERVICE_ID=my-backend"}, "IAP_BACKEND_SERVICE_ID", "the number of"},

		{[]string{"PORT=http"}, "PORT", ""},
		{[]string{"PORT=0"}, "PORT", ""},
		{[]string{"PORT=65536"}, "PORT", ""},
		{[]string{"PUBLIC_URL=jit.example.com"}, "PUBLIC_URL", "https://HOST"},
		{[]string{"PUBLIC_URL=http://jit.example.com"}, "PUBLIC_URL", ""},
		{[]string{"PUBLIC_URL=https://jit.example.com/access"}, "PUBLIC_URL", ""},
		{[]string{"PUBLIC_URL=https://jit.example.com?a=b"}, "PUBLIC_URL", ""},
		{[]string{"PUBLIC_URL=https://jit.example.com?"}, "PUBLIC_URL", ""},
		{[]string{"PUBLIC_URL=https://jit.example.com#"}, "PUBLIC_URL", ""},
		{[]string{"PUBLIC_URL=https://"}, "PUBLIC_URL", ""},
		{[]string{"PUBLIC_URL=https://jit.example.com:"}, "PUBLIC_URL", ""},
		{[]string{"PUBLIC_URL=https://jit.example.com:99999"}, "PUBLIC_URL", ""},
		{[]string{"PUBLIC_URL=https://jit_access.example.com"}, "PUBLIC_URL", ""},
		{[]string{"PUBLIC_URL=javascript:alert(1)"}, "PUBLIC_URL", ""},
		{[]string{"PUBLIC_URL=http://127.0.0.1.example.com"}, "PUBLIC_URL", ""},
		{[]string{"JITACCESS_GOOGLE_ENDPOINT=https://cloudresourcemanager.googleapis.com"}, "JITACCESS_GOOGLE_ENDPOINT", "loopback"},
		{[]string{"JITACCESS_GOOGLE_ENDPOINT=http://10.0.0.1:8081"}, "JITACCESS_GOOGLE_ENDPOINT", ""},
		{[]string{"JITACCESS_GOOGLE_ENDPOINT=http://localhost.example.com"}, "JITACCESS_GOOGLE_ENDPOINT", ""},
		{[]string{"JITACCESS_GOOGLE_ENDPOINT=127.0.0.1:8081"}, "JITACCESS_GOOGLE_ENDPOINT", ""},
		{[]string{"JITACCESS_GOOGLE_ENDPOINT=http://127.0.0.1:8081/v1"}, "JITACCESS_GOOGLE_ENDPOINT", ""},
		{[]string{"BACKEND_CONNECT_TIMEOUT=5s"}, "BACKEND_CONNECT_TIMEOUT", "seconds"},
		{[]string{"BACKEND_READ_TIMEOUT=-1"}, "BACKEND_READ_TIMEOUT", ""},
		{[]string{"BACKEND_WRITE_TIMEOUT=3601"}, "BACKEND_WRITE_TIMEOUT", ""},

		{[]string{"SMTP_SENDER_ADDRESS=JIT Access <jit@example.com>"}, "SMTP_SENDER_ADDRESS", "local@domain"},
		{[]string{"SMTP_SENDER_ADDRESS=jit"}, "SMTP_SENDER_ADDRESS", ""},
		{[]string{mail, "SMTP_SENDER_NAME=JIT\r\nBcc: all@example.com"}, "SMTP_SENDER_NAME", "control characters"},
		{[]string{mail, "SMTP_SENDER_NAME=JIT\u0085Access"}, "SMTP_SENDER_NAME", "control characters"},
		{[]string{mail, "SMTP_ENABLE_STARTTLS=false"}, "SMTP_ENABLE_STARTTLS", "clear text"},
		{[]string{mail, "SMTP_ENABLE_STARTTLS=yes", "SMTP_HOST=mail.example.com"}, "SMTP_ENABLE_STARTTLS", `is "yes"`},
		{[]string{mail, "SMTP_ENABLE_STARTTLS=false", "SMTP_HOST=127.0.0.1.example.com"}, "SMTP_ENABLE_STARTTLS", ""},
		{[]string{mail, "SMTP_PORT=25"}, "SMTP_PORT", "other than 25"},
		{[]string{mail, "SMTP_PORT=25", "SMTP_HOST=mail.example.com"}, "SMTP_PORT", "other than 25"},
		{[]string{mail, "SMTP_PORT=0"}, "SMTP_PORT", ""},
		{[]string{"SMTP_PORT=smtp"}, "SMTP_PORT", ""},
		{[]string{"SMTP_HOST=smtp.example.com:587"}, "SMTP_HOST", "without a port"},
		{[]string{"SMTP_HOST=smtps://smtp.example.com"}, "SMTP_HOST", ""},
		{[]string{"SMTP_SECRET=hunter2"}, "SMTP_SECRET", "is [redacted]; it must be projects/PROJECT/secrets/SECRET/versions/VERSION"},
		{[]string{"SMTP_SECRET=projects/p/secrets/s"}, "SMTP_SECRET", ""},
		{[]string{"SMTP_SECRET=projects/p/secrets/../versions/1"}, "SMTP_SECRET", ""},

		{[]string{mail, "SMTP_DKIM_SELECTOR=jit2026"}, "SMTP_DKIM_KEY", "SMTP_DKIM_SELECTOR needs it"},
		{[]string{mail, "SMTP_DKIM_KEY=/keys/dkim.pem"}, "SMTP_DKIM_SELECTOR", "SMTP_DKIM_KEY needs it"},
		{[]string{mail, "SMTP_DKIM_SELECTOR=jit2026._domainkey", "SMTP_DKIM_KEY=/keys/dkim.pem"}, "SMTP_DKIM_SELECTOR", "a selector"},
		{[]string{mail, "SMTP_DKIM_SELECTOR=jit2026", "SMTP_DKIM_KEY=projects/p/secrets/dkim"}, "SMTP_DKIM_KEY", "is [redacted]; it must be"},
		{[]string{mail, "SMTP_DKIM_SELECTOR=jit2026", "SMTP_DKIM_KEY=-----BEGIN PRIVATE KEY-----\nMC4C"}, "SMTP_DKIM_KEY", "is [redacted]; it must be projects/PROJECT/secrets/SECRET/versions/VERSION, or the path of a file, and not the key itself"},

		{[]string{"DATABASE_URL=mysql://jit:hunter2@db.example.com/jit"}, "DATABASE_URL", "is [redacted]; it must be sqlite:PATH"},
		{[]string{"DATABASE_URL=sqlite:x"}, "DATABASE_URL", "the disk of App Engine is memory, and not shared: use firestore:DATABASE, or PostgreSQL, such as postgres://"},
		{[]string{"DATABASE_URL=sqlite://x/y"}, "DATABASE_URL", "it must be sqlite:PATH"},
		{[]string{"DATABASE_URL=firestore:"}, "DATABASE_URL", "it must be sqlite:PATH"},
		{[]string{"DATABASE_URL=firestore:jit"}, "DATABASE_URL", "firestore:[PROJECT/]DATABASE"}, // too short
		{[]string{"DATABASE_URL=firestore:Jit-access"}, "DATABASE_URL", ""},
		{[]string{"DATABASE_URL=firestore:../jitaccess"}, "DATABASE_URL", ""},
		{[]string{"DATABASE_URL=firestore:a/b/jitaccess"}, "DATABASE_URL", ""},
		{[]string{"DATABASE_URL=firestore://acme-jit/jitaccess"}, "DATABASE_URL", ""},
		{[]string{"DATABASE_URL=firestore:projects/acme-jit/databases/jitaccess"}, "DATABASE_URL", ""},
		{[]string{"DATABASE_URL=projects/p/secrets/s"}, "DATABASE_URL", "is [redacted]"},
		{[]string{"SEAL_KEY=c2hvcnQ="}, "SEAL_KEY", "number 1 is not 32 bytes"},
		{[]string{"SIGNING_KEY=c2hvcnQ="}, "SIGNING_KEY", "number 1 is not 32 bytes"},
		{[]string{"SIGNING_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=, hunter2"}, "SIGNING_KEY", "number 2 is not 32 bytes"},
		{[]string{"SIGNING_KEY=,"}, "SIGNING_KEY", "there is none"},
		{[]string{"LEDGER_RETENTION=0"}, "LEDGER_RETENTION", ""},
		{[]string{"POLICY=https://policy.example.com/p.yaml"}, "POLICY", "or the path of a file"},
		{[]string{"POLICY=projects/p/secrets/policy"}, "POLICY", "or the path of a file"},
		{[]string{"POLICY=projects/p/locations/global/parameters/policy"}, "POLICY", "/parameters/PARAMETER/versions/VERSION"},
		{[]string{"SMTP_CA=projects/p/locations/global/parameters/ca/versions/1"}, "SMTP_CA", "/secrets/SECRET/versions/VERSION"},
		{[]string{"NOTIFICATION_TOPIC=jit/x"}, "NOTIFICATION_TOPIC", "projects/PROJECT/topics/TOPIC"},
		{[]string{"NOTIFICATION_TOPIC=projects/p/topics/../x"}, "NOTIFICATION_TOPIC", ""},
		{[]string{"NOTIFICATION_TOPIC=projects/p/subscriptions/jit"}, "NOTIFICATION_TOPIC", ""},
		{[]string{"NOTIFICATION_TOPIC=ab"}, "NOTIFICATION_TOPIC", ""},
		{[]string{"NOTIFICATION_TOPIC=jit%2e%2e"}, "NOTIFICATION_TOPIC", ""},
		{[]string{"SMTP_ADDRESS_MAPPING=user.mail"}, "SMTP_ADDRESS_MAPPING", `(user has an email, and no "mail")`},
		{[]string{"SMTP_ADDRESS_MAPPING=user.email ++"}, "SMTP_ADDRESS_MAPPING", "line 1, column 13"},
		{[]string{"SMTP_ADDRESS_MAPPING=user.email.size()"}, "SMTP_ADDRESS_MAPPING", "not a text but int"},
	} {
		t.Run(strings.Join(c.env, " "), func(t *testing.T) {
			found := faults(t, with(c.env...))
			if len(found) != 1 || found[0].Variable != c.variable || !strings.Contains(found[0].Error(), c.says) {
				t.Errorf("got %v, want one fault of %s with %q", found, c.variable, c.says)
			}
		})
	}
}

// Nobody should have to start ten times to learn of ten mistakes.
func TestRead_AllFaultsAtOnce(t *testing.T) {
	env := map[string]string{
		"RESOURCE_SCOPE": "acme", "RESOURCE_CATALOG": "Inventory", "ACTIVATION_TIMEOUT": "2h", "ACTIVATION_REQUEST_TIMEOUT": "x",
		"JUSTIFICATION_PATTERN": "(?=b)", "ACTIVATION_REQUEST_MIN_REVIEWERS": "0", "SMTP_SENDER_ADDRESS": "jit@example.com",
		"SMTP_ENABLE_STARTTLS": "false", "SMTP_PORT": "25", "PUBLIC_URL": "http://jit.example.com", "NOTIFICATION_TIMEZONE": "EST",
		"DATABASE_URL": "mysql:/tmp/x", "PORT": "eighty",
	}
	var got []string
	for _, fault := range faults(t, env) {
		got = append(got, fault.Variable)
	}
	for name := range env {
		if name == "SMTP_SENDER_ADDRESS" {
			continue
		}
		if !slices.Contains(got, name) {
			t.Errorf("the fault of %s is not reported", name)
		}
	}
	// This was not set, and is needed.
	if !slices.Contains(got, "IAP_AUDIENCE") || len(got) != len(env)-1+1 {
		t.Errorf("got the faults of %v", got)
	}
	_, err := read(env)
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(got) {
		t.Errorf("%d faults are printed on %d lines", len(got), len(lines))
	}
}

func TestRead_LineBreaksInAValueStayOnTheLine(t *testing.T) {
	_, err := read(with("RESOURCE_SCOPE=a\nFAKE is fine", "PUBLIC_URL="+strings.Repeat("x", 5000)))
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 2 || len(err.Error()) > 1000 {
		t.Errorf("got %d bytes on %d lines", len(err.Error()), len(lines))
	}
}

func TestRead_Defaults(t *testing.T) {
	c := mustRead(t)
	if c.Platform != config.AppEngine || c.Service != "default" || c.Catalog.Scope != "projects/acme-access" ||
		c.Catalog.ProjectsQuery != "state:ACTIVE" || c.Catalog.CustomerID != "C0123abcd" || c.Google.Project != "acme-access" {
		t.Errorf("%+v", c)
	}
	if r := c.Requests; r.MaxDuration != 2*time.Hour || r.Timeout != time.Hour || r.MinReviewers != 1 || r.MaxReviewers != 10 || r.MaxRoles != 10 ||
		r.JustificationHint != "Bug or case number" || !r.JustificationPattern.MatchString("anything") || r.Admins != nil || r.Auditors != nil {
		t.Errorf("%+v", r)
	}
	if i := c.Identity; !i.VerifyAudience || i.Audiences != nil || i.BackendServiceID != "" {
		t.Errorf("%+v", i)
	}
	if m := c.Mail; m.SenderAddress != "" || m.SenderName != "JIT Access" || m.Host != "smtp.gmail.com" || m.Port != 587 || !m.StartTLS ||
		!m.Password.IsZero() || m.TimeZone != time.UTC {
		t.Errorf("%+v", m)
	}
	if g := c.Google; g.ConnectTimeout != 5*time.Second || g.ReadTimeout != 20*time.Second || g.WriteTimeout != 5*time.Second || g.Endpoint != "" {
		t.Errorf("%+v", g)
	}
	if c.Server.Port != 8080 || c.Server.PublicURL != "" {
		t.Errorf("%+v", c.Server)
	}
}

func TestRead_Values(t *testing.T) {
	for _, c := range []struct {
		env []string
		got func(*config.Config) any
		// want is compared with ==.
		want any
	}{
		{[]string{"RESOURCE_SCOPE= organizations/123 \n"}, scope, "organizations/123"},
		{[]string{"RESOURCE_SCOPE= \t"}, scope, "projects/acme-access"},
		{[]string{"RESOURCE_SCOPE=projects/example.com:app"}, scope, "projects/example.com:app"},
		{[]string{"GOOGLE_CLOUD_PROJECT=", "K_SERVICE=jit", "GAE_SERVICE="}, scope, ""},
		{[]string{"RESOURCE_CATALOG= assetinventory "}, catalog, "AssetInventory C0123abcd state:ACTIVE"},
		{[]string{"AVAILABLE_PROJECTS_QUERY=labels.env:prod"}, catalog, "AssetInventory C0123abcd labels.env:prod"},
		{[]string{"RESOURCE_CATALOG=", "RESOURCE_CUSTOMER_ID="}, catalog, "PolicyAnalyzer  "},
		{[]string{"RESOURCE_CATALOG=POLICYANALYZER"}, catalog, "PolicyAnalyzer C0123abcd "},
		{[]string{"RESOURCE_CATALOG=PolicyAnalyzer", "RESOURCE_CUSTOMER_ID=", "ADMINS=user:ana@example.com", "AVAILABLE_PROJECTS_QUERY=x"}, catalog, "PolicyAnalyzer  x"},

		{[]string{"GAE_SERVICE=", "K_SERVICE=jit"}, platform, "Cloud Run jit"},
		{[]string{"GAE_SERVICE=x", "K_SERVICE=jit"}, platform, "App Engine x"},
		{[]string{"GAE_SERVICE=", "IAP_AUDIENCE=/projects/1/apps/a"}, platform, "host "},

		{[]string{"ACTIVATION_TIMEOUT=30"}, duration, 30 * time.Minute},
		{[]string{"ACTIVATION_TIMEOUT=+30"}, duration, 30 * time.Minute},
		{[]string{"ACTIVATION_TIMEOUT=030"}, duration, 30 * time.Minute},
		{[]string{"ELEVATION_DURATION=45"}, duration, 45 * time.Minute},
		{[]string{"ELEVATION_DURATION=45", "ACTIVATION_TIMEOUT=30"}, duration, 45 * time.Minute},
		{[]string{"ELEVATION_DURATION= ", "ACTIVATION_TIMEOUT=30"}, duration, 30 * time.Minute},
		{[]string{"ACTIVATION_REQUEST_TIMEOUT=360"}, timeout, 6 * time.Hour},
		{[]string{"ACTIVATION_REQUEST_TIMEOUT=720"}, timeout, 6 * time.Hour},
		{[]string{"BACKEND_READ_TIMEOUT=0"}, func(c *config.Config) any { return c.Google.ReadTimeout }, time.Duration(0)},

		{[]string{"IAP_VERIFY_AUDIENCE=TRUE"}, verify, true},
		{[]string{"IAP_VERIFY_AUDIENCE=False"}, verify, false},
		{[]string{"IAP_VERIFY_AUDIENCE=yes"}, verify, false},
		{[]string{"IAP_VERIFY_AUDIENCE=1"}, verify, false},
		{[]string{"IAP_VERIFY_AUDIENCE= "}, verify, true},
		{[]string{"IAP_VERIFY_AUDIENCE=false", "IAP_AUDIENCE=/projects/1/apps/a"}, verify, true},
		{[]string{"IAP_AUDIENCE=/projects/1/apps/a,, /projects/1/global/backendServices/2 ,"},
			func(c *config.Config) any { return strings.Join(c.Identity.Audiences, "+") }, "/projects/1/apps/a+/projects/1/global/backendServices/2"},
		{[]string{"ADMINS=user:Ana@Example.com, group:oncall@example.com"},
			func(c *config.Config) any { return strings.Join(c.Requests.Admins, "+") }, "user:ana@example.com+group:oncall@example.com"},

		{[]string{"PUBLIC_URL=https://JIT.example.com/"}, publicURL, "https://jit.example.com"},
		{[]string{"PUBLIC_URL=https://jit.example.com:443"}, publicURL, "https://jit.example.com"},
		{[]string{"PUBLIC_URL=https://jit.example.com:8443"}, publicURL, "https://jit.example.com:8443"},
		{[]string{"PUBLIC_URL=http://localhost:8080"}, publicURL, "http://localhost:8080"},
		{[]string{"PUBLIC_URL=http://[::1]:8080"}, publicURL, "http://[::1]:8080"},
		{[]string{"JITACCESS_GOOGLE_ENDPOINT=http://127.0.0.1:8081/"}, endpoint, "http://127.0.0.1:8081"},
		{[]string{"JITACCESS_GOOGLE_ENDPOINT=http://[::1]:8081"}, endpoint, "http://[::1]:8081"},

		{[]string{"SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_HOST=localhost", "SMTP_PORT=25", "SMTP_ENABLE_STARTTLS=false"},
			func(c *config.Config) any { return c.Mail.Port }, 25},
		{[]string{"SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_HOST=127.0.0.1", "SMTP_PORT=25"},
			func(c *config.Config) any { return c.Mail.Port }, 25},
		{[]string{"SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_HOST=::1", "SMTP_PORT=25"},
			func(c *config.Config) any { return c.Mail.Port }, 25},
		{[]string{"SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_HOST=[::1]", "SMTP_ENABLE_STARTTLS=false"},
			func(c *config.Config) any { return c.Mail.Host }, "::1"},
		{[]string{"SMTP_ENABLE_STARTTLS=false", "SMTP_PORT=25"}, // no mail is sent
			func(c *config.Config) any { return c.Mail.SenderAddress }, ""},
		{[]string{"SMTP_SECRET=projects/acme-access/secrets/smtp/versions/latest"},
			func(c *config.Config) any { return string(c.Mail.PasswordPath) }, "projects/acme-access/secrets/smtp/versions/latest"},
		{[]string{"SMTP_SENDER_ADDRESS=jit@example.com", "SMTP_DKIM_SELECTOR=jit.2026", "SMTP_DKIM_KEY=/keys/dkim.pem"},
			func(c *config.Config) any { return c.Mail.DKIMKey.File }, "/keys/dkim.pem"},
		{[]string{"SMTP_DKIM_SELECTOR=jit2026"}, // no mail is sent
			func(c *config.Config) any { return c.Mail.DKIMSelector }, "jit2026"},
		{[]string{"SMTP_PASSWORD= hunter2 "}, func(c *config.Config) any { return c.Mail.Password.Reveal() }, "hunter2"},
		{[]string{"NOTIFICATION_TOPIC= jit "}, func(c *config.Config) any { return c.Messages.Topic }, "jit"},
		{[]string{"NOTIFICATION_TOPIC=projects/example.com:p/topics/jit"}, func(c *config.Config) any { return c.Messages.Topic }, "projects/example.com:p/topics/jit"},
		{[]string{"SMTP_ADDRESS_MAPPING= "}, func(c *config.Config) any { return c.Mail.AddressMapping == nil }, true},
		{[]string{"SMTP_ADDRESS_MAPPING=user.email.extract('{name}@') + '@mail.example.org'"}, func(c *config.Config) any {
			address, err := c.Mail.AddressMapping.Address("ana@example.com")
			return fmt.Sprint(address, err)
		}, "ana@mail.example.org<nil>"},
		{[]string{"DATABASE_URL= ", "SMTP_OPTIONS="}, func(c *config.Config) any { return c.Platform }, config.AppEngine},
	} {
		t.Run(strings.Join(c.env, " "), func(t *testing.T) {
			if got := c.got(mustRead(t, c.env...)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func catalog(c *config.Config) any {
	return c.Catalog.Kind + " " + c.Catalog.CustomerID + " " + c.Catalog.ProjectsQuery
}
func scope(c *config.Config) any     { return c.Catalog.Scope }
func platform(c *config.Config) any  { return c.Platform.String() + " " + c.Service }
func duration(c *config.Config) any  { return c.Requests.MaxDuration }
func timeout(c *config.Config) any   { return c.Requests.Timeout }
func verify(c *config.Config) any    { return c.Identity.VerifyAudience }
func publicURL(c *config.Config) any { return c.Server.PublicURL }
func endpoint(c *config.Config) any  { return c.Google.Endpoint }

func TestRead_Warnings(t *testing.T) {
	quiet := []string{"SMTP_SENDER_ADDRESS=jit@example.com"}
	if c := mustRead(t, quiet...); len(c.Warnings) > 0 {
		t.Errorf("%q without a reason", c.Warnings)
	}
	for _, c := range []struct {
		env  []string
		want string // the beginning of the one warning
	}{
		{[]string{"SMTP_SENDER_ADDRESS="}, "SMTP_SENDER_ADDRESS is not set: no mail is sent, people pass links on by hand"},
		{[]string{"SMTP_SENDER_ADDRESS=", "NOTIFICATION_TOPIC=jit"}, "SMTP_SENDER_ADDRESS is not set: no mail is sent; who listens"},
		{[]string{"ELEVATION_DURATION=45", "ACTIVATION_TIMEOUT=30"}, "ACTIVATION_TIMEOUT is ignored, because ELEVATION_DURATION is set"},
		{[]string{"ACTIVATION_REQUEST_TIMEOUT=361"}, "ACTIVATION_REQUEST_TIMEOUT is 361 minutes and counts as 360"},
		{[]string{"DATABASE_URL=postgres://jit@db.example.com/jit", "SIGNING_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "LEDGER_RETENTION=30"}, "DATABASE_URL is set and PUBLIC_URL is not"},
		{[]string{"ACTIVATION_REQUEST_TIMEOUT=361", "LEDGER_RETENTION=1", "PUBLIC_URL=https://j.example.com", "DATABASE_URL=postgres://jit@db.example.com/jit"},
			"ACTIVATION_REQUEST_TIMEOUT is 361 minutes and counts as 360, because without SIGNING_KEY"},
		{[]string{"SEAL_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "LEDGER_RETENTION=1", "PUBLIC_URL=https://j.example.com",
			"DATABASE_URL=postgres://jit@db.example.com/jit"}, "SEAL_KEY has no effect without SIGNING_KEY: no application can ask, and there is no /v1"},
		{[]string{"IAP_BACKEND_SERVICE_ID=123"}, "IAP_BACKEND_SERVICE_ID is set and PUBLIC_URL is not"},
		{[]string{"IAP_VERIFY_AUDIENCE=false"}, "IAP_VERIFY_AUDIENCE is false"},
		{[]string{"IAP_VERIFY_AUDIENCE=false", "IAP_AUDIENCE=/projects/1/apps/a"}, "IAP_VERIFY_AUDIENCE is ignored"},
		{[]string{"AUDITORS=group:audit@example.com"}, "AUDITORS has no effect"},
		{[]string{"SMTP_USERNAME=jit"}, "SMTP_USERNAME is set without SMTP_PASSWORD or SMTP_SECRET, so nobody"},
		{[]string{"SMTP_PASSWORD=hunter2"}, "a password for mail is set without SMTP_USERNAME"},
		{[]string{"SMTP_USERNAME=jit", "SMTP_PASSWORD=hunter2", "SMTP_SECRET=projects/p/secrets/s/versions/1"}, "SMTP_PASSWORD is ignored"},
		{[]string{"SMTP_HOST=localhost", "SMTP_ENABLE_STARTTLS=on"}, `SMTP_ENABLE_STARTTLS is "on", which counts as false`},
	} {
		t.Run(strings.Join(c.env, " "), func(t *testing.T) {
			got := mustRead(t, append(quiet, c.env...)...).Warnings
			if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
				t.Errorf("got %q, want one that begins with %q", got, c.want)
			}
		})
	}
}

// A misspelled variable of ours is not passed over in silence.
func TestThreat36_UnknownVariablesAreNamed(t *testing.T) {
	got := config.Unknown([]string{"PATH=/bin", "JITACCESS_GOOGLE_ENDPOINT=http://localhost", "JITACCESS_GOOGLE_ENDPIONT=http://localhost",
		"JITACCESS_BLANK= ", "JITACCESS_NOTHING"})
	if len(got) != 1 || got[0] != "JITACCESS_GOOGLE_ENDPIONT is set, and no such variable is read; is JITACCESS_GOOGLE_ENDPOINT meant?" {
		t.Errorf("got %q", got)
	}
	for _, name := range []string{"JITACCESS_SPEED", "JITACCESS_PORT", "JITACCESS_SERVICE", "JITACCESS_PORT_HTTP"} {
		if got := config.Unknown([]string{name + "=8000"}); len(got) != 1 || got[0] != name+" is set, and no such variable is read" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// A variable whose name is one slip away from a known one was meant for us.
func TestThreat36_OneSlipIsNamed(t *testing.T) {
	const canary = "canary-4711"
	for name, meant := range map[string]string{
		"SMTP_SENDER_ADRESS":               "SMTP_SENDER_ADDRESS", // one letter missing
		"SMTP_SENDER_ADDDRESS":             "SMTP_SENDER_ADDRESS", // one too many
		"SMTP_SENDER_ADDRESZ":              "SMTP_SENDER_ADDRESS", // another one
		"SMPT_PASSWORD":                    "SMTP_PASSWORD",       // two swapped
		"SMTP-SECRET":                      "SMTP_SECRET",
		"smtp_host":                        "SMTP_HOST",
		"Smtp-Host":                        "SMTP_HOST",
		"SMTPHOST":                         "SMTP_HOST",
		"PUBLIC-URI":                       "PUBLIC_URL",
		"UBLIC_URL":                        "PUBLIC_URL",
		"PUBLIC_URLS":                      "PUBLIC_URL",
		"IAP_AUDIENCES":                    "IAP_AUDIENCE",
		"ADMIN":                            "ADMINS",
		"ACTIVATION_REQUEST_MIN_REVIEWER":  "ACTIVATION_REQUEST_MIN_REVIEWERS",
		"ACTIVATION_REQEUST_TIMEOUT":       "ACTIVATION_REQUEST_TIMEOUT",
		"ELEVATON_DURATION":                "ELEVATION_DURATION",
		"AVAILABLE_PROJECT_QUERY":          "AVAILABLE_PROJECTS_QUERY",
		"RESOURCE_COSTUMER_ID":             "", // two
		"RESOURCE_SCOPES":                  "RESOURCE_SCOPE",
		"RESOURCESCOPE":                    "RESOURCE_SCOPE",
		"resourceScope":                    "RESOURCE_SCOPE",
		"RESOURCES_SCOPES":                 "RESOURCE_SCOPE",
		"RESOURCE__SCOPES":                 "RESOURCE_SCOPE",
		"JITACCESS_RESOURCE_SCOPE":         "RESOURCE_SCOPE",
		"activationRequestTimeouts":        "ACTIVATION_REQUEST_TIMEOUT",
		"GOOGLE_QUOTA":                     "GOOGLE_QUOTAS",
		"SCOPE":                            "",
		"SCOPE_RESOURCE":                   "",
		"RESOURCE_CUSTOMERID":              "RESOURCE_CUSTOMER_ID",
		"GOOGLE_CLOUD_PROJET":              "GOOGLE_CLOUD_PROJECT",
		"DATABASE_UR":                      "DATABASE_URL",
		"port":                             "PORT",
		"MPTS_PASSWORD":                    "",
		"SMTP_PASSWORD_SECRET":             "",
		"":                                 "",
		"_":                                "",
		strings.Repeat("S", 1<<16) + "MTP": "",
	} {
		got := config.Unknown([]string{"SMTP_HOST=mail.example.com", name + "=" + canary})
		if meant == "" {
			if len(got) != 0 {
				t.Errorf("%.40s: %.100q", name, got)
			}
			continue
		}
		if want := name + " is set, and no such variable is read; is " + meant + " meant?"; len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		if strings.Contains(strings.Join(got, ""), canary) {
			t.Errorf("%s: the value is shown", name)
		}
		if got := config.Unknown([]string{name + "= \t", name}); len(got) != 0 {
			t.Errorf("%s, which is blank: %q", name, got)
		}
	}
}

// What platforms, shells and libraries set is none of ours.
func TestUsualVariablesAreNoSlips(t *testing.T) {
	var environ []string
	for name := range strings.FieldsSeq(`PATH HOME HOST HOSTNAME PWD OLDPWD SHLVL SHELL TERM USER LOGNAME LANG LC_ALL TZ TMPDIR _ MAIL EDITOR PAGER COLUMNS LINES DISPLAY
		K_SERVICE K_REVISION K_CONFIGURATION PORT CLOUD_RUN_JOB CLOUD_RUN_EXECUTION CLOUD_RUN_TASK_INDEX CLOUD_RUN_TASK_ATTEMPT CLOUD_RUN_TASK_COUNT
		GAE_APPLICATION GAE_DEPLOYMENT_ID GAE_ENV GAE_INSTANCE GAE_MEMORY_MB GAE_RUNTIME GAE_SERVICE GAE_VERSION GOOGLE_CLOUD_PROJECT NODE_ENV
		GOOGLE_APPLICATION_CREDENTIALS GOOGLE_CLOUD_QUOTA_PROJECT GOOGLE_CLOUD_REGION GOOGLE_CLOUD_LOCATION GCLOUD_PROJECT GCE_METADATA_IP GCE_METADATA_ROOT
		GCE_METADATA_HOST CLOUDSDK_CONFIG CLOUDSDK_CORE_PROJECT KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_PORT KUBERNETES_PORT_443_TCP
		HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy ftp_proxy all_proxy no_proxy SSL_CERT_FILE SSL_CERT_DIR
		GODEBUG GOMAXPROCS GOGC GOMEMLIMIT GOTRACEBACK GOPATH GOROOT GOFLAGS JAVA_TOOL_OPTIONS QUARKUS_HTTP_PORT PORT0 PORT1 SORT FORT EXPORT
		SSH_AUTH_SOCK SSH_CLIENT SSH_CONNECTION XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS SYSTEMD_EXEC_PID INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET DEBIAN_FRONTEND
		SMTP_SERVER SMTP_USER SMTP_FROM SMTP_PASS GOOGLE_APPLICATION_NAME GOOGLE_API_KEY GOOGLE_CLOUD_UNIVERSE_DOMAIN GOOGLE_OAUTH_ACCESS_TOKEN
		K_SINK K_CE_OVERRIDES OTEL_RESOURCE_ATTRIBUTES OTEL_METRICS_EXPORTER OTEL_LOGS_EXPORTER OTEL_EXPORTER_OTLP_TIMEOUT OTEL_EXPORTER_OTLP_INSECURE
		OTEL_EXPORTER_OTLP_METRICS_ENDPOINT OTEL_EXPORTER_OTLP_LOGS_HEADERS OTEL_BSP_SCHEDULE_DELAY JITACCESS_URL`) {
		environ = append(environ, name+"=x")
	}
	// Kubernetes, of services jitaccess and jitaccess-metrics.
	environ = append(environ, "JITACCESS_SERVICE_HOST=10.0.0.1", "JITACCESS_SERVICE_PORT=8000", "JITACCESS_SERVICE_PORT_HTTP=8000", "JITACCESS_PORT=tcp://10.0.0.1:8000",
		"JITACCESS_PORT_8000_TCP=tcp://10.0.0.1:8000", "JITACCESS_PORT_8000_TCP_PROTO=tcp", "JITACCESS_PORT_8000_TCP_PORT=8000", "JITACCESS_PORT_8000_TCP_ADDR=10.0.0.1",
		"JITACCESS_METRICS_SERVICE_HOST=10.0.0.2", "JITACCESS_METRICS_PORT=tcp://10.0.0.2:9090")
	if got := config.Unknown(environ); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}
