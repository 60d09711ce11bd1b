package config

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/loopback"
)

// What Identity.Profile can be.
const (
	IAP        = "iap"
	Pomerium   = "pomerium"
	Cloudflare = "cloudflare"
	ALB        = "alb"
	JWT        = "jwt"
	OIDC       = "oidc"
)

// Identity is how callers are identified.
type Identity struct {
	// Profile is one of those above.
	Profile string `env:"IDENTITY" pattern:"iap|pomerium|cloudflare|alb|jwt|oidc"`
	// Audience is for whom assertions have to be; which text that is differs by profile.
	Audience string `env:"IDENTITY_AUDIENCE" pattern:"[!-~]{1,500}"`
	// MaxAge is 0 for what is usual with the profile.
	MaxAge time.Duration `env:"IDENTITY_MAX_AGE" unit:"minutes" min:"1" max:"43200"`
	// GroupsClaim is empty where groups of assertions count for nothing.
	GroupsClaim string `env:"IDENTITY_GROUPS_CLAIM" pattern:"[!-~]{1,200}"`

	BackendServiceID string   `env:"IAP_BACKEND_SERVICE_ID" pattern:"[0-9]{1,32}"`
	Audiences        []string `env:"IAP_AUDIENCE"`
	VerifyAudience   bool     `env:"IAP_VERIFY_AUDIENCE" default:"true"`

	// JWKSEndpoint is by https, or by http on loopback.
	JWKSEndpoint string `env:"JWKS_ENDPOINT"`

	CloudflareTeam     string `env:"CLOUDFLARE_TEAM" pattern:"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"`
	CloudflareEndpoint string `env:"JITACCESS_CLOUDFLARE_ENDPOINT"`

	ALB         string `env:"ALB_ARN" pattern:"load balancer"`
	ALBEndpoint string `env:"JITACCESS_ALB_ENDPOINT"`

	// Header, Issuer, Algorithms and the claims are those of signed headers of any proxy. JWKS
	// is empty where the issuer says by itself where its keys are.
	Header       string   `env:"IDENTITY_HEADER" pattern:"[A-Za-z0-9]+(-[A-Za-z0-9]+)*"`
	Issuer       string   `env:"IDENTITY_ISSUER" pattern:"[!-~]{1,500}"`
	JWKS         string   `env:"IDENTITY_JWKS"`
	Algorithms   []string `env:"IDENTITY_ALGORITHMS" default:"RS256"`
	EmailClaim   string   `env:"IDENTITY_EMAIL_CLAIM" default:"email" pattern:"[!-~]{1,200}"`
	SubjectClaim string   `env:"IDENTITY_SUBJECT_CLAIM" default:"sub" pattern:"[!-~]{1,200}"`

	// OIDCIssuer is as it was read, since it is compared to the letter.
	OIDCIssuer       string        `env:"OIDC_ISSUER"`
	OIDCClientID     string        `env:"OIDC_CLIENT_ID" pattern:"[ -~]{1,500}"`
	OIDCClientSecret StoredText    `env:"OIDC_CLIENT_SECRET" secret:"true"`
	OIDCMaxAge       time.Duration `env:"OIDC_MAX_AGE" default:"480" unit:"minutes" min:"1" max:"480"`
	// OIDCEmailVerified is "claim", or "assumed" where the provider does not say it.
	OIDCEmailVerified string `env:"OIDC_EMAIL_VERIFIED" default:"claim" pattern:"claim|assumed"`
	// OIDCClasses are the classes of authentication that are asked for, best first.
	OIDCClasses []string   `env:"OIDC_ACR_VALUES"`
	SessionKey  StoredText `env:"SESSION_KEY" secret:"true"`
}

// loadBalancer is the ARN of an Application Load Balancer; other kinds sign nobody in.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
const loadBalancer = `arn:aws(-us-gov)?:elasticloadbalancing:[a-z]{2}(-[a-z]+)+-[0-9]:[0-9]{12}:` +
	`loadbalancer/app/[A-Za-z0-9-]{1,32}/[0-9a-f]{16}`

// algorithms are those with which assertions may be signed: with the private half of a
// pair of keys, so that who can verify one cannot make one.
var algorithms = []string{"RS256", "ES256"}

// ofProfile are the variables that each profile has for itself.
var ofProfile = map[string][]string{
	IAP:        {"IAP_BACKEND_SERVICE_ID", "IAP_AUDIENCE"},
	Pomerium:   {"JWKS_ENDPOINT"},
	Cloudflare: {"CLOUDFLARE_TEAM", "JITACCESS_CLOUDFLARE_ENDPOINT"},
	ALB:        {"ALB_ARN", "JITACCESS_ALB_ENDPOINT"},
	JWT: {"IDENTITY_HEADER", "IDENTITY_ISSUER", "IDENTITY_JWKS", "IDENTITY_ALGORITHMS", "IDENTITY_EMAIL_CLAIM",
		"IDENTITY_SUBJECT_CLAIM"},
	OIDC: {"OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "OIDC_MAX_AGE", "OIDC_EMAIL_VERIFIED", "OIDC_ACR_VALUES", "SESSION_KEY"},
}

// needed are the variables without which nobody could be identified, or anybody.
var needed = map[string][]string{
	Pomerium:   {"JWKS_ENDPOINT"},
	Cloudflare: {"CLOUDFLARE_TEAM", "IDENTITY_AUDIENCE"},
	ALB:        {"ALB_ARN", "IDENTITY_AUDIENCE"},
	JWT:        {"IDENTITY_HEADER", "IDENTITY_ISSUER", "IDENTITY_AUDIENCE"},
	OIDC:       {"OIDC_ISSUER", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "SESSION_KEY", "PUBLIC_URL"},
}

func (r *reader) checkIdentity(c *Config) {
	i := &c.Identity
	r.chooseProfile(c)
	audience := r.variables["IDENTITY_AUDIENCE"]
	audience.accept = acceptOf(audience.accept, i.Profile)
	for _, name := range needed[i.Profile] {
		r.faultIf(r.variables[name].text == "", name, "IDENTITY="+i.Profile+" needs it")
	}
	for _, profile := range []string{IAP, Pomerium, Cloudflare, ALB, JWT, OIDC} {
		for _, name := range ofProfile[profile] {
			r.warnIf(profile != i.Profile && r.variables[name].text != "", name+" has no effect: people are identified by IDENTITY="+i.Profile)
		}
	}
	r.warnIf(i.Profile == IAP && i.Audience != "", "IDENTITY_AUDIENCE has no effect: that of Identity-Aware Proxy is IAP_AUDIENCE")
	r.warnIf(i.Profile == OIDC && i.Audience != "", "IDENTITY_AUDIENCE has no effect: that of a login is OIDC_CLIENT_ID")
	r.warnIf(i.Profile == OIDC && i.MaxAge != 0, "IDENTITY_MAX_AGE has no effect: that of a login is OIDC_MAX_AGE")
	r.standIn("JITACCESS_CLOUDFLARE_ENDPOINT", &i.CloudflareEndpoint)
	r.standIn("JITACCESS_ALB_ENDPOINT", &i.ALBEndpoint)
	switch i.Profile {
	case IAP:
		r.checkIAP(c)
	case Pomerium:
		r.checkPomerium(c)
	case JWT:
		r.checkJWT(i)
	case OIDC:
		r.checkOIDC(i)
	}
	r.warnIf(!c.Ledger.Database.IsZero() && c.Server.PublicURL == "",
		"DATABASE_URL is set and PUBLIC_URL is not: reminders and what else is told without anybody asking carry no link")
}

// acceptOf leaves of what a variable may be what it may be with one profile, where that differs.
func acceptOf(accept, profile string) string {
	for each := range strings.SplitSeq(accept, "; ") {
		if only, of := strings.CutPrefix(each, profile+": "); of && profile != "" {
			return only
		}
	}
	return accept
}

// chooseProfile is for when IDENTITY does not say it. Where two would do, neither is guessed.
func (r *reader) chooseProfile(c *Config) {
	i := &c.Identity
	switch iap := c.Platform != Host || len(i.Audiences) > 0; {
	case i.Profile != "":
	case iap && i.JWKSEndpoint != "":
		r.faultIf(true, "IDENTITY", "Identity-Aware Proxy could stand in front here, and with JWKS_ENDPOINT Pomerium")
	case i.JWKSEndpoint != "":
		i.Profile = Pomerium
	default:
		i.Profile = IAP
	}
}

func (r *reader) checkIAP(c *Config) {
	i := &c.Identity
	for _, audience := range i.Audiences {
		r.faultIf(!strings.HasPrefix(audience, "/projects/") || strings.ContainsAny(audience, " \t\r\n"), "IAP_AUDIENCE", "")
	}
	missing := c.Platform == Host && len(i.Audiences) == 0
	asked := len(r.said(append(slices.Clone(googleSettings), "IDENTITY")...)) > 0
	r.faultIf(missing && asked, "IAP_AUDIENCE",
		"neither GAE_SERVICE nor K_SERVICE is set, so it cannot be derived; behind anything but Identity-Aware Proxy set IDENTITY")
	r.faultIf(missing && !asked, "IDENTITY", "nothing says who signs people in; behind Pomerium JWKS_ENDPOINT alone is enough; "+
		"to try the service without any settings: jitaccess sandbox")
	if !i.VerifyAudience && len(i.Audiences) > 0 {
		r.warn("IAP_VERIFY_AUDIENCE is ignored, because IAP_AUDIENCE is set")
		i.VerifyAudience = true
	}
	r.warnIf(!i.VerifyAudience,
		"IAP_VERIFY_AUDIENCE is false: an assertion for any other service of this project is accepted; set IAP_AUDIENCE instead")
	r.warnIf(i.BackendServiceID != "" && c.Server.PublicURL == "",
		"IAP_BACKEND_SERVICE_ID is set and PUBLIC_URL is not: behind a load balancer no link can be written without it")
}

// pomeriumKeys is where each route of Pomerium has its keys.
// https://www.pomerium.com/docs/capabilities/getting-users-identity
const pomeriumKeys = "/.well-known/pomerium/jwks.json"

// checkPomerium finds out the host of the route. It is also where links lead, unless said.
func (r *reader) checkPomerium(c *Config) {
	i := &c.Identity
	endpoint := r.keyAddress("JWKS_ENDPOINT", &i.JWKSEndpoint)
	if c.Server.PublicURL == "" && endpoint != nil && endpoint.Path == pomeriumKeys {
		c.Server.PublicURL, _, _ = parseOrigin(endpoint.Scheme + "://" + endpoint.Host)
	}
	if _, host, ok := parseOrigin(c.Server.PublicURL); ok && i.Audience == "" {
		i.Audience = host
	}
	i.Audience = strings.ToLower(i.Audience)
	bad := r.variables["JWKS_ENDPOINT"].bad || r.variables["PUBLIC_URL"].bad
	r.faultIf(!bad && !hostPattern().MatchString(i.Audience), "IDENTITY_AUDIENCE",
		"IDENTITY=pomerium needs the host of the route, or PUBLIC_URL")
}

func (r *reader) checkJWT(i *Identity) {
	if i.JWKS != "" {
		r.keyAddress("IDENTITY_JWKS", &i.JWKS)
	} else if i.Issuer != "" {
		_, _, ok := parseURL(i.Issuer)
		r.faultIf(!ok, "IDENTITY_ISSUER", "without IDENTITY_JWKS its keys are looked up there")
	}
	for _, algorithm := range i.Algorithms {
		r.faultIf(!slices.Contains(algorithms, algorithm), "IDENTITY_ALGORITHMS", "")
	}
	r.faultIf(len(i.Algorithms) == 0, "IDENTITY_ALGORITHMS", "")
}

func (r *reader) checkOIDC(i *Identity) {
	if i.OIDCIssuer != "" {
		u, _, ok := parseURL(i.OIDCIssuer)
		r.faultIf(!ok || u.RawQuery != "", "OIDC_ISSUER", "")
	}
	for _, class := range i.OIDCClasses {
		r.faultIf(!matches("visible", class) || len(class) > 100, "OIDC_ACR_VALUES", "")
	}
	if _, err := ParseKeys(i.SessionKey.Value.Reveal()); err != nil {
		r.faultIf(!i.SessionKey.Value.IsZero(), "SESSION_KEY", err.Error())
	}
	r.warnIf(i.OIDCEmailVerified == "assumed",
		"OIDC_EMAIL_VERIFIED is assumed: the provider has to make sure that nobody can give themselves the address of another")
}

// keyAddress reads where keys are fetched from: by HTTPS, also where http is written, and by
// plain HTTP from this machine alone.
func (r *reader) keyAddress(name string, address *string) *url.URL {
	if *address == "" {
		return nil
	}
	text := *address
	if rest, plain := strings.CutPrefix(text, "http://"); plain {
		if u, err := url.Parse(text); err == nil && !loopback.Is(u.Hostname()) {
			text = "https://" + rest
		}
	}
	u, _, ok := parseURL(text)
	r.faultIf(!ok, name, "")
	if !ok {
		return nil
	}
	*address = text
	return u
}
