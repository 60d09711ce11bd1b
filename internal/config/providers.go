package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"jitaccess/internal/lazyregexp"
)

// PomeriumZero is the cluster whose policies give access. It is not used when all of its
// fields are zero.
type PomeriumZero struct {
	APIUserToken   Secret `env:"API_USER_TOKEN" secret:"true" pattern:"visible"`
	OrganizationID string `env:"ORGANIZATION_ID" pattern:"[A-Za-z0-9_-]{1,100}"`
	ClusterID      string `env:"CLUSTER_ID" pattern:"[A-Za-z0-9_-]{1,100}"`
	// ApplyChangesets: where the cluster does not apply changes by itself, grants apply theirs.
	ApplyChangesets bool `env:"POMERIUM_APPLY_CHANGESETS" default:"false"`
	// Policies are NAME=ID: policies that are not looked for by their names.
	Policies []string `env:"POMERIUM_POLICY_IDS"`
	// Endpoint is scheme, host and port.
	Endpoint string `env:"JITACCESS_POMERIUM_ENDPOINT"`
}

// Used is whether access to what Pomerium guards is given here.
func (p PomeriumZero) Used() bool {
	return !p.APIUserToken.IsZero() || p.OrganizationID != "" || p.ClusterID != ""
}

// PolicyIDs are the ids of policies that are known, by name.
func (p PomeriumZero) PolicyIDs() map[string]string {
	ids := map[string]string{}
	for _, pair := range p.Policies {
		name, id, _ := strings.Cut(pair, "=")
		ids[name] = id
	}
	return ids
}

var namedPolicy = lazyregexp.New(`^[a-z0-9-][a-z0-9._-]{0,62}=[A-Za-z0-9_-]{1,128}$`)

// Guarded is whether nobody is named who approves on Pomerium's resources, unless the policy
// file names them: then whoever Pomerium lets to the administration page does.
func (c *Config) Guarded() bool { return c.Pomerium.Used() && len(c.Requests.Admins) == 0 }

// localPort is where the service listens without Google Cloud, as Pomerium's example does,
// and localLedger where it remembers requests then.
const (
	localPort   = 8000
	localLedger = "sqlite:"
)

// checkProviders finds out which systems access is given in, and what is as it is without
// Google Cloud. It is always there on its platforms; elsewhere one of its settings asks for it,
// or there is nothing else.
func (r *reader) checkProviders(c *Config) {
	p := &c.Pomerium
	c.Google.Used = c.Platform != Host || len(r.said(slices.Clone(googleSettings)...)) > 0 || strings.EqualFold(c.Identity.Profile, IAP) ||
		!p.Used() && c.Identity.JWKSEndpoint == ""
	r.standIn("JITACCESS_POMERIUM_ENDPOINT", &p.Endpoint)
	for _, pair := range p.Policies {
		r.faultIf(!namedPolicy().MatchString(pair), "POMERIUM_POLICY_IDS", "")
	}
	r.faultIf(strings.HasPrefix(p.APIUserToken.Reveal(), "projects/"), "API_USER_TOKEN", "it is given itself, not by where it is kept")
	r.faultIf(len(p.PolicyIDs()) < len(p.Policies), "POMERIUM_POLICY_IDS", "a policy has one id")
	ids := slices.Sorted(maps.Values(p.PolicyIDs()))
	r.faultIf(len(slices.Compact(ids)) < len(p.PolicyIDs()), "POMERIUM_POLICY_IDS", "an id is that of one policy")
	for _, name := range []string{"API_USER_TOKEN", "ORGANIZATION_ID", "CLUSTER_ID"} {
		missing := r.variables[name].text == ""
		r.faultIf(missing && p.Used(), name, "Pomerium needs API_USER_TOKEN, ORGANIZATION_ID and CLUSTER_ID")
		r.faultIf(missing && !p.Used() && !c.Google.Used, name, "there is nothing to give access to: it takes API_USER_TOKEN, "+
			"ORGANIZATION_ID and CLUSTER_ID for Pomerium, or RESOURCE_SCOPE for Google Cloud")
	}
	if c.Google.Used {
		r.faultIf(p.Used() && c.Ledger.Database.IsZero(), "DATABASE_URL",
			"Pomerium's policies have no room for the number of a request, so that requests must be remembered")
		return
	}
	if r.variables["PORT"].text == "" {
		c.Server.Port = localPort
	}
	if c.Ledger.Database.IsZero() {
		c.Ledger.Database.Value = NewSecret(localLedger)
	}
	r.withoutGoogle(c)
}

// googleSettings ask for Google Cloud. Its project and the address of its metadata server are
// not among them: they stand in many an environment anyway.
var googleSettings = slices.DeleteFunc(append(variablesOf[Catalog](), append(variablesOf[Google](),
	"IAP_BACKEND_SERVICE_ID", "IAP_AUDIENCE", "IAP_VERIFY_AUDIENCE")...),
	func(name string) bool { return name == "GOOGLE_CLOUD_PROJECT" || name == "GCE_METADATA_HOST" })

// variablesOf are the names of all variables of a section.
func variablesOf[Section any]() []string {
	var names []string
	for field := range reflect.TypeFor[Section]().Fields() {
		if env := field.Tag.Get("env"); env != "" {
			names = append(names, strings.Split(env, ",")...)
		}
	}
	return names
}

// withoutGoogle finds what only Google Cloud has.
func (r *reader) withoutGoogle(c *Config) {
	const asked = "; RESOURCE_SCOPE asks for Google Cloud"
	for _, name := range slices.Sorted(maps.Keys(r.variables)) {
		v := r.variables[name]
		instead := "without it give the text itself"
		if name == "SMTP_SECRET" {
			instead = "without it set SMTP_PASSWORD"
		}
		r.faultIf(v.elsewhere, name, "what is kept there needs Google Cloud"+asked+", and "+instead)
	}
	r.faultIf(c.Messages.Topic != "", "NOTIFICATION_TOPIC", "Pub/Sub needs Google Cloud"+asked)
	const groups = "no directory knows who is in a group without Google Cloud" + asked
	r.faultIf(slices.ContainsFunc(c.Requests.Admins, isGroup), "ADMINS", groups)
	r.faultIf(slices.ContainsFunc(c.Requests.Auditors, isGroup), "AUDITORS", groups)
	where, _ := ParseDatabase(c.Ledger.Database.Value.Reveal())
	r.faultIf(where.Firestore != Firestore{}, "DATABASE_URL", "Firestore needs Google Cloud"+asked)
	r.faultIf(c.Ledger.ByAccount(), "SIGNING_KEY", "no service account signs without Google Cloud, and beside PostgreSQL no key is made")
	r.faultIf(strings.EqualFold(c.Mail.Auth, oauth2) && c.MailOAuth.ClientID == "" && c.Mail.SenderAddress != "", "SMTP_OAUTH_CLIENT_ID",
		"no service account logs in without Google Cloud"+asked)
}

// isGroup is whether somebody is named as a group of the directory.
func isGroup(member string) bool { return strings.HasPrefix(strings.ToLower(member), "group:") }

// checkApprovers is for whoever approves on Pomerium's resources: nobody can be left to guess.
func (r *reader) checkApprovers(c *Config) {
	if !c.Guarded() || c.Identity.Profile == Pomerium {
		return
	}
	r.faultIf(c.Requests.Policy.IsZero(), "ADMINS",
		"nobody is named who approves: without ADMINS or POLICY it takes IDENTITY=pomerium, whose routes say who gets to /admin")
	r.warnIf(!c.Requests.Policy.IsZero(), "ADMINS is not set: on Pomerium's resources only whom POLICY names can approve")
}
