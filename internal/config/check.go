package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/loopback"
)

// platform tells where the service runs.
func (r *reader) platform(c *Config) {
	if service := strings.TrimSpace(r.lookup("GAE_SERVICE")); service != "" {
		c.Platform, c.Service = AppEngine, service
	} else if service := strings.TrimSpace(r.lookup("K_SERVICE")); service != "" {
		c.Platform, c.Service = CloudRun, service
	}
}

// check is for what a single tag cannot say.
func (r *reader) check(c *Config) {
	r.checkCatalog(c)
	r.checkRequests(&c.Requests, c.Catalog.CustomerID)
	r.checkIdentity(c)
	r.checkMail(c)
	r.checkOrigins(c)
}

func (r *reader) checkCatalog(c *Config) {
	if project := c.Google.Project; project != "" {
		if _, err := access.Project(project); err != nil {
			r.fault("GOOGLE_CLOUD_PROJECT")
		}
	}
	switch scope := c.Catalog.Scope; {
	case scope == "" && c.Google.Project != "":
		c.Catalog.Scope = "projects/" + c.Google.Project
	case scope != "":
		if _, err := resourcename.Parse(scope); err != nil {
			r.fault("RESOURCE_SCOPE")
		}
	}
	switch {
	case strings.EqualFold(c.Catalog.Kind, PolicyAnalyzer):
		c.Catalog.Kind = PolicyAnalyzer
	case strings.EqualFold(c.Catalog.Kind, AssetInventory):
		c.Catalog.Kind = AssetInventory
		c.Catalog.ProjectsQuery = cmp.Or(c.Catalog.ProjectsQuery, "state:ACTIVE")
		if c.Catalog.CustomerID == "" {
			r.faultBecause("RESOURCE_CUSTOMER_ID", "RESOURCE_CATALOG=AssetInventory needs it")
		}
	default:
		r.fault("RESOURCE_CATALOG")
	}
}

func (r *reader) checkRequests(c *Requests, customer string) {
	if c.MinReviewers > c.MaxReviewers && !r.variables["ACTIVATION_REQUEST_MIN_REVIEWERS"].bad &&
		!r.variables["ACTIVATION_REQUEST_MAX_REVIEWERS"].bad {
		// Blame what was set; the other is a default.
		blamed := "ACTIVATION_REQUEST_MIN_REVIEWERS"
		if r.variables[blamed].text == "" {
			blamed = "ACTIVATION_REQUEST_MAX_REVIEWERS"
		}
		r.faultBecause(blamed, fmt.Sprintf("at least %d reviewers and at most %d cannot both hold", c.MinReviewers, c.MaxReviewers))
	}
	if c.Timeout > access.LinkLife {
		r.warn("ACTIVATION_REQUEST_TIMEOUT is %d minutes and counts as %d, because a signature can be verified for %d hours",
			c.Timeout/time.Minute, access.LinkLife/time.Minute, access.LinkLife/time.Hour)
		c.Timeout = access.LinkLife
	}
	var ok bool
	if c.Admins, ok = parsePeople(c.Admins); !ok {
		r.fault("ADMINS")
	}
	if customer == "" && slices.ContainsFunc(c.Admins, func(m string) bool { return strings.HasPrefix(m, "group:") }) {
		r.faultBecause("RESOURCE_CUSTOMER_ID", "ADMINS names a group, whose members are looked up there")
	}
	if c.Auditors, ok = parsePeople(c.Auditors); !ok {
		r.fault("AUDITORS")
	} else if len(c.Auditors) > 0 {
		r.warn("AUDITORS has no effect: this version has no history to read")
	}
}

func (r *reader) checkIdentity(c *Config) {
	for _, audience := range c.Identity.Audiences {
		if !strings.HasPrefix(audience, "/projects/") || strings.ContainsAny(audience, " \t\r\n") {
			r.fault("IAP_AUDIENCE")
		}
	}
	if c.Platform == Host && len(c.Identity.Audiences) == 0 {
		r.faultBecause("IAP_AUDIENCE", "neither GAE_SERVICE nor K_SERVICE is set, so it cannot be derived")
	}
	if !c.Identity.VerifyAudience && len(c.Identity.Audiences) > 0 {
		r.warn("IAP_VERIFY_AUDIENCE is ignored, because IAP_AUDIENCE is set")
		c.Identity.VerifyAudience = true
	}
	if !c.Identity.VerifyAudience {
		r.warn("IAP_VERIFY_AUDIENCE is false: an assertion for any other service of this project is accepted; set IAP_AUDIENCE instead")
	}
	if c.Identity.BackendServiceID != "" && c.Server.PublicURL == "" {
		r.warn("IAP_BACKEND_SERVICE_ID is set and PUBLIC_URL is not: behind a load balancer no link can be written without it")
	}
}

// checkMail looks at the server only when mail is sent at all.
func (r *reader) checkMail(all *Config) {
	c := &all.Mail
	switch {
	case c.SenderAddress == "" && all.Messages.Topic == "":
		r.warn("SMTP_SENDER_ADDRESS is not set: no mail is sent, people pass links on by hand")
		return
	case c.SenderAddress == "":
		r.warn("SMTP_SENDER_ADDRESS is not set: no mail is sent; who listens to NOTIFICATION_TOPIC has to pass links on")
		return
	}
	r.checkMailServer(c)
	r.defaultMailHost(all)
	r.mailOptions(c)
	sender, err := access.ParsePrincipal(c.SenderAddress)
	if err != nil {
		r.fault("SMTP_SENDER_ADDRESS")
	}
	c.SenderAddress = sender.String()
	if strings.ContainsFunc(c.SenderName, unicode.IsControl) {
		r.faultBecause("SMTP_SENDER_NAME", "without control characters")
	}
	c.Host = strings.Trim(c.Host, "[]")
	if !loopback.Is(c.Host) {
		if c.AllowPlain() {
			r.faultOfMail(c, "SMTP_ENABLE_STARTTLS", "starttls.enable",
				"true, unless the mail server is on loopback: mail and password would be sent in clear text")
		}
		if c.Port == 25 {
			r.faultOfMail(c, "SMTP_PORT", "port", "other than 25, which Google Cloud blocks")
		}
	}
	r.checkMailOAuth(all)
	switch {
	case strings.Contains(c.DKIMKey.File, "-----BEGIN"):
		r.faultBecause("SMTP_DKIM_KEY", "it is a key, and not where one is")
	case c.DKIMSelector != "" && c.DKIMKey.IsZero():
		r.faultBecause("SMTP_DKIM_KEY", "SMTP_DKIM_SELECTOR needs it")
	case c.DKIMSelector == "" && !c.DKIMKey.IsZero():
		r.faultBecause("SMTP_DKIM_SELECTOR", "SMTP_DKIM_KEY needs it")
	}
	secret := !c.StoredPassword().IsZero()
	switch {
	case c.Auth == oauth2:
	case c.Options.has("auth") && !c.Options.auth:
		c.Username = ""
		r.warn("SMTP_OPTIONS: mail.smtp.auth is not true: nobody logs in to the mail server")
	case c.Username != "" && !secret:
		r.warn("SMTP_USERNAME is set without SMTP_PASSWORD or SMTP_SECRET, so nobody logs in to the mail server")
	case c.Username == "" && secret:
		r.warn("a password for mail is set without SMTP_USERNAME: nobody logs in to the mail server")
	case c.PasswordPath != "" && !c.Password.IsZero():
		r.warn("SMTP_PASSWORD is ignored, because SMTP_SECRET is set")
	}
}

// faultOfMail blames what was said last: the option, else the variable.
func (r *reader) faultOfMail(c *Mail, variable, key, accepted string) {
	if c.Options.has(key) {
		r.faultBecause("SMTP_OPTIONS", optionPrefix+key+" must be "+accepted)
		return
	}
	r.fault(variable)
}

func (r *reader) checkOrigins(c *Config) {
	if text := c.Server.PublicURL; text != "" {
		origin, _, ok := parseOrigin(text)
		if !ok {
			r.fault("PUBLIC_URL")
		}
		c.Server.PublicURL = origin
	}
	if text := c.Google.Endpoint; text != "" {
		origin, host, ok := parseOrigin(text)
		if !ok || !loopback.Is(host) {
			r.fault("JITACCESS_GOOGLE_ENDPOINT")
		}
		c.Google.Endpoint = origin
	}
}
