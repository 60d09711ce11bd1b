package config

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/loopback"
)

func (r *reader) platform(c *Config) {
	if service := strings.TrimSpace(r.lookup("GAE_SERVICE")); service != "" {
		c.Platform, c.Service = AppEngine, service
	} else if service := strings.TrimSpace(r.lookup("K_SERVICE")); service != "" {
		c.Platform, c.Service = CloudRun, service
	}
}

// check is for what a single tag cannot say.
func (r *reader) check(c *Config) {
	r.checkProviders(c)
	r.checkCatalog(c)
	r.checkRequests(&c.Requests, !c.Google.Used || c.Catalog.CustomerID != "", !c.Ledger.Database.IsZero())
	for name, people := range map[string][]string{"ADMINS": c.Requests.Admins, "AUDITORS": c.Requests.Auditors} {
		claims := slices.ContainsFunc(people, func(m string) bool { return strings.HasPrefix(m, "claim:") })
		r.faultIf(claims && c.Identity.GroupsClaim == "", "IDENTITY_GROUPS_CLAIM", name+" names a claim")
	}
	r.checkLedger(c)
	r.checkOrigins(c)
	r.checkIdentity(c)
	r.checkApprovers(c)
	r.checkMail(c)
	r.checkMailbox(c)
	r.checkChats(c)
	r.checkMetrics(c)
	r.checkTraces(c)
	m := c.Messages
	r.faultIf(m.Webhooks.IsZero() != m.WebhookKeys.IsZero(), "WEBHOOK_SECRET", "WEBHOOK_URL and WEBHOOK_SECRET go together")
}

func (r *reader) checkCatalog(c *Config) {
	if project := c.Google.Project; project != "" {
		_, err := access.Project(project)
		r.faultIf(err != nil, "GOOGLE_CLOUD_PROJECT", "")
	}
	switch scope := c.Catalog.Scope; {
	case scope == "" && c.Google.Project != "":
		c.Catalog.Scope = "projects/" + c.Google.Project
	case scope != "":
		_, err := resourcename.Parse(scope)
		r.faultIf(err != nil, "RESOURCE_SCOPE", "")
	}
	switch {
	case strings.EqualFold(c.Catalog.Kind, PolicyAnalyzer):
		c.Catalog.Kind = PolicyAnalyzer
	case strings.EqualFold(c.Catalog.Kind, AssetInventory):
		c.Catalog.Kind = AssetInventory
		c.Catalog.ProjectsQuery = cmp.Or(c.Catalog.ProjectsQuery, "state:ACTIVE")
		r.faultIf(c.Catalog.CustomerID == "", "RESOURCE_CUSTOMER_ID", "RESOURCE_CATALOG=AssetInventory needs it")
	default:
		r.faultIf(true, "RESOURCE_CATALOG", "")
	}
}

func (r *reader) checkRequests(c *Requests, customer, remembered bool) {
	least, most := r.variables["ACTIVATION_REQUEST_MIN_REVIEWERS"], r.variables["ACTIVATION_REQUEST_MAX_REVIEWERS"]
	// Blame what was set; the other is a default.
	blamed := least
	if least.text == "" {
		blamed = most
	}
	r.faultIf(c.MinReviewers > c.MaxReviewers && !least.bad && !most.bad, blamed.name,
		fmt.Sprintf("at least %s and at most %d cannot both hold", access.Counted(c.MinReviewers, "reviewer", "reviewers"), c.MaxReviewers))
	if c.Timeout > access.LinkLife && !remembered {
		r.warn("ACTIVATION_REQUEST_TIMEOUT is %d minutes and counts as %d, because a signature can be verified for %d hours",
			c.Timeout/time.Minute, access.LinkLife/time.Minute, access.LinkLife/time.Hour)
		c.Timeout = access.LinkLife
	}
	r.faultIf(strings.Contains(c.Policy.File, "://"), "POLICY", "") // an address is no path
	var ok bool
	c.Admins, ok = parsePeople(c.Admins)
	r.faultIf(!ok, "ADMINS", "")
	r.faultIf(!customer && !r.variables["ADMINS"].bad && slices.ContainsFunc(c.Admins, isGroup),
		"RESOURCE_CUSTOMER_ID", "ADMINS names a group, whose members are looked up there")
	c.Auditors, ok = parsePeople(c.Auditors)
	r.faultIf(!ok, "AUDITORS", "")
	r.warnIf(len(c.Auditors) > 0 && !remembered, "AUDITORS has no effect: without DATABASE_URL there is no history to read")
}

func (r *reader) checkOrigins(c *Config) {
	if text := c.Server.PublicURL; text != "" {
		origin, _, ok := parseOrigin(text)
		r.faultIf(!ok, "PUBLIC_URL", "")
		c.Server.PublicURL = origin
	}
	if text := c.Server.MachinesURL; text != "" {
		origin, _, ok := parseOrigin(text)
		r.faultIf(!ok, "MACHINES_URL", "")
		c.Server.MachinesURL = origin
	}
	if c.Server.Serve == Machines {
		for _, name := range []string{"DATABASE_URL", "PUBLIC_URL", "MACHINES_URL"} {
			r.faultIf(r.variables[name].text == "", name, "SERVE=machines needs it")
		}
		r.faultIf(c.Ledger.ByAccount(), "SIGNING_KEY", "SERVE=machines needs it: what applications get is signed with it, "+
			"and without it there is no /v1")
	}
	r.standIn("JITACCESS_GOOGLE_ENDPOINT", &c.Google.Endpoint)
}

// standIn reads the origin of a server on this machine that stands in for somebody else's.
func (r *reader) standIn(name string, endpoint *string) {
	if *endpoint == "" {
		return
	}
	origin, host, ok := parseOrigin(*endpoint)
	r.faultIf(!ok || !loopback.Is(host), name, "")
	*endpoint = origin
}

// metricsToken is what a token of scrapers has to be: of a length that nobody guesses, and of
// characters that a header can have (RFC 6750, 2.1).
var metricsToken = lazyregexp.New(`^[A-Za-z0-9._~+/-]{16,500}=*$`)

// IsMetricsToken is whether a text can be the token of scrapers.
func IsMetricsToken(text string) bool { return metricsToken().MatchString(text) }

func (r *reader) checkMetrics(c *Config) {
	m := c.Metrics
	r.warnIf(m.Address == "" && !m.Token.IsZero(), "METRICS_TOKEN has no effect without METRICS_ADDRESS")
	r.faultIf(!m.Token.Value.IsZero() && !IsMetricsToken(m.Token.Value.Reveal()), "METRICS_TOKEN", "")
	if m.Address == "" {
		return
	}
	_, text, err := net.SplitHostPort(m.Address)
	port, ok := parseInt(text, 1, math.MaxUint16)
	r.faultIf(err != nil || !ok, "METRICS_ADDRESS", "")
	r.faultIf(port == c.Server.Port, "METRICS_ADDRESS", "PORT is another: there people come in")
	r.faultIf(m.Token.IsZero(), "METRICS_TOKEN", "METRICS_ADDRESS needs it: nobody reads metrics who does not say who they are")
}
