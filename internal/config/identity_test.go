package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/config"
)

const (
	jwksText   = "http://jit-example.curious-cat-9999.pomerium.app/.well-known/pomerium/jwks.json"
	balancer   = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/jit/50dc6c495c0c9188"
	sessionKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)

// behind is a host that runs anywhere, behind the profile, with variables changed.
func behind(profile string, entries ...string) map[string]string {
	least := map[string][]string{
		"iap":        {"IAP_AUDIENCE=/projects/1/apps/a"},
		"pomerium":   {"JWKS_ENDPOINT=" + jwksText},
		"cloudflare": {"CLOUDFLARE_TEAM=acme", "IDENTITY_AUDIENCE=" + strings.Repeat("0a", 32)},
		"alb":        {"ALB_ARN=" + balancer, "IDENTITY_AUDIENCE=client-1"},
		"jwt":        {"IDENTITY_HEADER=X-Token", "IDENTITY_ISSUER=https://login.example.com", "IDENTITY_AUDIENCE=jit"},
		"oidc": {"OIDC_ISSUER=https://login.example.com/", "OIDC_CLIENT_ID=jit", "OIDC_CLIENT_SECRET=hunter2", "SESSION_KEY=" + sessionKey,
			"PUBLIC_URL=https://jit.example.com"},
	}
	return with(append(append([]string{"GAE_SERVICE=", "IDENTITY=" + profile}, least[profile]...), entries...)...)
}

func TestIdentity_LeastOfEachProfile(t *testing.T) {
	for _, profile := range []string{"iap", "pomerium", "cloudflare", "alb", "jwt", "oidc"} {
		c, err := read(behind(profile))
		if err != nil || c.Identity.Profile != profile || len(c.Warnings) > 1 {
			t.Errorf("%s: %v, %v", profile, c, err)
		}
	}
}

// Which profile it is follows from what is set, and where two would do it is asked for.
func TestIdentity_IsNotGuessed(t *testing.T) {
	for what, test := range map[string]struct {
		env  map[string]string
		want string // a profile, or the variable with the fault
	}{
		"App Engine":                   {enough(), "iap"},
		"Cloud Run":                    {with("GAE_SERVICE=", "K_SERVICE=jit"), "iap"},
		"a host with an audience":      {with("GAE_SERVICE=", "IAP_AUDIENCE=/projects/1/apps/a"), "iap"},
		"a host with keys of Pomerium": {with("GAE_SERVICE=", "JWKS_ENDPOINT="+jwksText), "pomerium"},
		"a host":                       {with("GAE_SERVICE="), "IAP_AUDIENCE"},
		"both":                         {with("GAE_SERVICE=", "IAP_AUDIENCE=/projects/1/apps/a", "JWKS_ENDPOINT="+jwksText), "IDENTITY"},
		"both on App Engine":           {with("JWKS_ENDPOINT=" + jwksText), "IDENTITY"},
		"Pomerium on App Engine":       {with("JWKS_ENDPOINT="+jwksText, "IDENTITY=pomerium"), "pomerium"},
		"IAP beside keys of Pomerium":  {with("JWKS_ENDPOINT="+jwksText, "IDENTITY=iap"), "iap"},
		"two doors":                    {with("IDENTITY=iap,oidc"), "IDENTITY"},
		"a door that there is not":     {with("IDENTITY=header"), "IDENTITY"},
		"IAP on a host":                {with("GAE_SERVICE=", "IDENTITY=iap"), "IAP_AUDIENCE"},
	} {
		c, err := read(test.env)
		if err == nil && c.Identity.Profile == test.want {
			continue
		}
		if found := faults(t, test.env); len(found) != 1 || found[0].Variable != test.want {
			t.Errorf("%s: %v, want %s", what, err, test.want)
		}
	}
	if _, err := read(with("GAE_SERVICE=")); !strings.Contains(err.Error(), "set IDENTITY") {
		t.Errorf("nothing says what to set behind another front: %v", err)
	}
}

func TestIdentity_Faults(t *testing.T) {
	for _, test := range []struct {
		profile  string
		env      []string
		variable string
	}{
		{"pomerium", []string{"JWKS_ENDPOINT="}, "JWKS_ENDPOINT"},
		{"pomerium", []string{"JWKS_ENDPOINT=ftp://jit.example.com/.well-known/pomerium/jwks.json"}, "JWKS_ENDPOINT"},
		{"pomerium", []string{"JWKS_ENDPOINT=jit.example.com"}, "JWKS_ENDPOINT"},
		{"pomerium", []string{"JWKS_ENDPOINT=https://https://jit.example.com/.well-known/pomerium/jwks.json"}, "JWKS_ENDPOINT"},
		{"jwt", []string{"IDENTITY_ISSUER=https://https://login.example.com"}, "IDENTITY_ISSUER"},
		{"oidc", []string{"OIDC_ISSUER=https://login.example.com:"}, "OIDC_ISSUER"},
		{"pomerium", []string{"JWKS_ENDPOINT=https://ana:hunter2@jit.example.com/.well-known/pomerium/jwks.json"}, "JWKS_ENDPOINT"},
		{"pomerium", []string{"JWKS_ENDPOINT=https://keys.example.com/keys"}, "IDENTITY_AUDIENCE"},
		{"pomerium", []string{"IDENTITY_AUDIENCE=https://jit.example.com"}, "IDENTITY_AUDIENCE"},
		{"pomerium", []string{"IDENTITY_MAX_AGE=0"}, "IDENTITY_MAX_AGE"},
		{"pomerium", []string{"IDENTITY_MAX_AGE=43201"}, "IDENTITY_MAX_AGE"},
		{"pomerium", []string{"IDENTITY_GROUPS_CLAIM=two words"}, "IDENTITY_GROUPS_CLAIM"},
		{"cloudflare", []string{"CLOUDFLARE_TEAM="}, "CLOUDFLARE_TEAM"},
		{"cloudflare", []string{"CLOUDFLARE_TEAM=acme.cloudflareaccess.com"}, "CLOUDFLARE_TEAM"},
		{"cloudflare", []string{"CLOUDFLARE_TEAM=evil.example/#"}, "CLOUDFLARE_TEAM"},
		{"cloudflare", []string{"IDENTITY_AUDIENCE="}, "IDENTITY_AUDIENCE"},
		{"cloudflare", []string{"JITACCESS_CLOUDFLARE_ENDPOINT=https://keys.example.com"}, "JITACCESS_CLOUDFLARE_ENDPOINT"},
		{"alb", []string{"ALB_ARN="}, "ALB_ARN"},
		{"alb", []string{"ALB_ARN=" + strings.Replace(balancer, "/app/", "/net/", 1)}, "ALB_ARN"},
		{"alb", []string{"ALB_ARN=" + strings.Replace(balancer, "eu-central-1", "evil.example/", 1)}, "ALB_ARN"},
		{"alb", []string{"ALB_ARN=" + balancer + "," + balancer}, "ALB_ARN"},
		{"alb", []string{"IDENTITY_AUDIENCE="}, "IDENTITY_AUDIENCE"},
		{"alb", []string{"IDENTITY_AUDIENCE=the client id"}, "IDENTITY_AUDIENCE"},
		{"alb", []string{"JITACCESS_ALB_ENDPOINT=http://10.0.0.1"}, "JITACCESS_ALB_ENDPOINT"},
		{"jwt", []string{"IDENTITY_HEADER="}, "IDENTITY_HEADER"},
		{"jwt", []string{"IDENTITY_HEADER=X_Token"}, "IDENTITY_HEADER"},
		{"jwt", []string{"IDENTITY_HEADER=X-Token:"}, "IDENTITY_HEADER"},
		{"jwt", []string{"IDENTITY_ISSUER="}, "IDENTITY_ISSUER"},
		{"jwt", []string{"IDENTITY_ISSUER=acme"}, "IDENTITY_ISSUER"},
		{"jwt", []string{"IDENTITY_ISSUER=http://login.example.com"}, "IDENTITY_ISSUER"},
		{"jwt", []string{"IDENTITY_AUDIENCE="}, "IDENTITY_AUDIENCE"},
		{"jwt", []string{"IDENTITY_JWKS=keys.json"}, "IDENTITY_JWKS"},
		{"jwt", []string{"IDENTITY_ALGORITHMS=HS256"}, "IDENTITY_ALGORITHMS"},
		{"jwt", []string{"IDENTITY_ALGORITHMS=RS256,none"}, "IDENTITY_ALGORITHMS"},
		{"jwt", []string{"IDENTITY_ALGORITHMS=,"}, "IDENTITY_ALGORITHMS"},
		{"oidc", []string{"OIDC_ISSUER="}, "OIDC_ISSUER"},
		{"oidc", []string{"OIDC_ISSUER=http://login.example.com"}, "OIDC_ISSUER"},
		{"oidc", []string{"OIDC_ISSUER=https://login.example.com?tenant=1"}, "OIDC_ISSUER"},
		{"oidc", []string{"OIDC_CLIENT_ID="}, "OIDC_CLIENT_ID"},
		{"oidc", []string{"OIDC_CLIENT_SECRET="}, "OIDC_CLIENT_SECRET"},
		{"oidc", []string{"SESSION_KEY="}, "SESSION_KEY"},
		{"oidc", []string{"SESSION_KEY=hunter2"}, "SESSION_KEY"},
		{"oidc", []string{"SESSION_KEY=projects/p/secrets/s"}, "SESSION_KEY"},
		{"oidc", []string{"PUBLIC_URL="}, "PUBLIC_URL"},
		{"oidc", []string{"OIDC_MAX_AGE=481"}, "OIDC_MAX_AGE"},
		{"oidc", []string{"OIDC_EMAIL_VERIFIED=true"}, "OIDC_EMAIL_VERIFIED"},
	} {
		t.Run(test.profile+" "+strings.Join(test.env, " "), func(t *testing.T) {
			found := faults(t, behind(test.profile, test.env...))
			if len(found) != 1 || found[0].Variable != test.variable || strings.Contains(found[0].Error(), "hunter2") {
				t.Errorf("got %v, want one fault of %s", found, test.variable)
			}
			// What other fronts take would lead astray.
			if says := fmt.Sprint(found); test.variable == "IDENTITY_AUDIENCE" && strings.Contains(says, ": the") {
				t.Errorf("it speaks of other fronts: %s", says)
			}
		})
	}
	// What names a group of an assertion takes one that is read.
	for _, name := range []string{"ADMINS", "AUDITORS"} {
		people := name + "=claim:db admins, user:Ana@example.com,claim:/ops"
		if found := faults(t, with(people)); len(found) != 1 || found[0].Variable != "IDENTITY_GROUPS_CLAIM" {
			t.Errorf("%s: %v", people, found)
		}
		if found := faults(t, with(name+"=claim:", "IDENTITY_GROUPS_CLAIM=groups")); len(found) != 1 || found[0].Variable != name {
			t.Errorf("a claim of no name: %v", found)
		}
		c := mustRead(t, people, "IDENTITY_GROUPS_CLAIM=groups")
		if got := strings.Join(append(c.Requests.Admins, c.Requests.Auditors...), "+"); got != "claim:db admins+user:ana@example.com+claim:/ops" {
			t.Errorf("%s: %s", people, got)
		}
	}
	// All that a profile lacks is said at once.
	if found := faults(t, with("IDENTITY=oidc")); len(found) != 5 {
		t.Errorf("%d faults: %v", len(found), found)
	}
}

// Keys never come by plain HTTP from another machine, whatever is written.
func TestIdentity_KeysAreFetchedByHTTPS(t *testing.T) {
	const path = "/.well-known/pomerium/jwks.json"
	for read, want := range map[string][2]string{ // address, origin
		jwksText:                                {"https://jit-example.curious-cat-9999.pomerium.app" + path, "https://jit-example.curious-cat-9999.pomerium.app"},
		"https://JIT.example.com" + path:        {"https://JIT.example.com" + path, "https://jit.example.com"},
		"https://jit.example.com:8443" + path:   {"https://jit.example.com:8443" + path, "https://jit.example.com:8443"},
		"http://127.0.0.1:8000" + path:          {"http://127.0.0.1:8000" + path, "http://127.0.0.1:8000"},
		"http://localhost.example.com" + path:   {"https://localhost.example.com" + path, "https://localhost.example.com"},
		"http://127.0.0.1.example.com:8" + path: {"https://127.0.0.1.example.com:8" + path, "https://127.0.0.1.example.com:8"},
	} {
		env := behind("pomerium", "JWKS_ENDPOINT="+read)
		c, err := config.Read(func(name string) string { return env[name] })
		if err != nil || c.Identity.JWKSEndpoint != want[0] || c.Server.PublicURL != want[1] {
			t.Errorf("%s: %+v, %v", read, c, err)
		}
	}
}

func TestIdentity_HostOfTheRoute(t *testing.T) {
	for _, test := range []struct {
		env          []string
		host, origin string
	}{
		{nil, "jit-example.curious-cat-9999.pomerium.app", "https://jit-example.curious-cat-9999.pomerium.app"},
		{[]string{"PUBLIC_URL=https://JIT.example.com:8443"}, "jit.example.com", "https://jit.example.com:8443"},
		{[]string{"PUBLIC_URL=https://jit.example.com", "JWKS_ENDPOINT=https://keys.example.com/k"}, "jit.example.com", "https://jit.example.com"},
		{[]string{"IDENTITY_AUDIENCE=Jit.example.com", "JWKS_ENDPOINT=https://keys.example.com/k"}, "jit.example.com", ""},
	} {
		c, err := read(behind("pomerium", test.env...))
		if err != nil || c.Identity.Audience != test.host || c.Server.PublicURL != test.origin {
			t.Errorf("%q: %+v, %v", test.env, c, err)
		}
	}
}

func TestIdentity_WarnsOfWhatHasNoEffect(t *testing.T) {
	for _, test := range []struct{ profile, entry, says string }{
		{"iap", "JWKS_ENDPOINT=" + jwksText, "JWKS_ENDPOINT has no effect"},
		{"iap", "IDENTITY_AUDIENCE=x", "IAP_AUDIENCE"},
		{"pomerium", "CLOUDFLARE_TEAM=acme", "CLOUDFLARE_TEAM has no effect"},
		{"cloudflare", "IAP_AUDIENCE=/projects/1/apps/a", "IAP_AUDIENCE has no effect"},
		{"oidc", "IDENTITY_MAX_AGE=5", "OIDC_MAX_AGE"},
		{"oidc", "IDENTITY_AUDIENCE=5", "OIDC_CLIENT_ID"},
		{"oidc", "OIDC_EMAIL_VERIFIED=assumed", "address of another"},
	} {
		c, err := read(behind(test.profile, test.entry))
		if err != nil || !slices.ContainsFunc(c.Warnings, func(w string) bool { return strings.Contains(w, test.says) }) {
			t.Errorf("%s, %s: %v, %v", test.profile, test.entry, c, err)
		}
	}
	c, err := read(behind("jwt", "IDENTITY_ALGORITHMS=ES256, RS256", "IDENTITY_MAX_AGE=90", "IDENTITY_GROUPS_CLAIM=https://acme.example/groups",
		"IDENTITY_ISSUER=acme", "IDENTITY_JWKS=http://keys.example.com/k"))
	if i := c.Identity; err != nil || len(i.Algorithms) != 2 || i.MaxAge != 90*time.Minute || i.JWKS != "https://keys.example.com/k" || i.EmailClaim != "email" {
		t.Errorf("%+v, %v", c, err)
	}
}
