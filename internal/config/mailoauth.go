package config

import (
	"net/url"
	"slices"
	"strings"

	"jitaccess/internal/loopback"
)

// MailLogin is how the service logs in to the mail server.
type MailLogin int

const (
	// NoLogin: nobody logs in, or no mail is sent.
	NoLogin MailLogin = iota
	// PasswordLogin is with Mail.Username and its password.
	PasswordLogin
	// ClientCredentials is with a token of an application that logs in as itself.
	ClientCredentials
	// RefreshToken is with a token of an application that acts by consent.
	RefreshToken
	// Delegation is with a token of Google's for which the service account signs.
	Delegation
)

func (l MailLogin) String() string {
	return [...]string{"none", "password", "oauth2, client credentials", "oauth2, refresh token", "oauth2, domain-wide delegation"}[l]
}

// MailLogin is how the service logs in to the mail server.
func (c *Config) MailLogin() MailLogin {
	switch {
	case c.Mail.SenderAddress == "":
		return NoLogin
	case c.Mail.Auth == oauth2 && c.MailOAuth.ClientID == "":
		return Delegation
	case c.Mail.Auth == oauth2 && !c.MailOAuth.RefreshToken.IsZero():
		return RefreshToken
	case c.Mail.Auth == oauth2:
		return ClientCredentials
	case c.Mail.Username != "" && !c.Mail.StoredPassword().IsZero():
		return PasswordLogin
	}
	return NoLogin
}

// StoredPassword is the password, or where it is kept.
func (m Mail) StoredPassword() StoredText {
	if m.PasswordPath != "" {
		return StoredText{Version: string(m.PasswordPath)}
	}
	return StoredText{Value: m.Password}
}

const (
	oauth2 = "oauth2"

	// The mail server, token URL and scope of Microsoft 365 (learn.microsoft.com,
	// "Authenticate an IMAP, POP or SMTP connection using OAuth").
	microsoftHost  = "smtp.office365.com"
	microsoftScope = "https://outlook.office365.com/.default"

	// googleScope is for SMTP; narrower ones are not enough
	// (https://developers.google.com/workspace/gmail/imap/xoauth2-protocol).
	googleScope = "https://mail.google.com/"
)

func microsoftTokenURL(tenant string) string {
	return "https://login.microsoftonline.com/" + tenant + "/oauth2/v2.0/token"
}

// googleHosts are the mail servers that take tokens of Google's.
var googleHosts = []string{"smtp.gmail.com", "smtp-relay.gmail.com"}

// isGoogles is whether a mail server takes tokens of Google's. One on loopback may
// stand for it.
func isGoogles(host string) bool {
	return slices.Contains(googleHosts, strings.ToLower(host)) || loopback.Is(host)
}

// oauthVariables are those of MailOAuth.
var oauthVariables = []string{"SMTP_OAUTH_TENANT", "SMTP_OAUTH_CLIENT_ID", "SMTP_OAUTH_CLIENT_SECRET",
	"SMTP_OAUTH_REFRESH_TOKEN", "SMTP_OAUTH_TOKEN_URL", "SMTP_OAUTH_SCOPE"}

// said are those of the variables that are set.
func (r *reader) said(names ...string) []string {
	var set []string
	for _, name := range names {
		if r.variables[name].text != "" {
			set = append(set, name)
		}
	}
	return set
}

// defaultMailHost is the mail server that follows from the other variables.
func (r *reader) defaultMailHost(all *Config) {
	all.Mail.Auth = strings.ToLower(all.Mail.Auth)
	if all.Mail.Auth == oauth2 && all.MailOAuth.Tenant != "" && len(r.said("SMTP_HOST")) == 0 {
		all.Mail.Host = microsoftHost
	}
}

// checkMailOAuth finds out which of the ways to get a token is meant, and whether it
// has all that it needs. What belongs to another way is a fault if somebody could
// rely on it.
func (r *reader) checkMailOAuth(all *Config) {
	m, o := &all.Mail, &all.MailOAuth
	if m.Auth != oauth2 {
		if set := r.said(oauthVariables...); len(set) > 0 {
			r.warn("%s: no effect without SMTP_AUTH=oauth2", strings.Join(set, ", "))
		}
		return
	}
	if m.Options.has("auth") && !m.Options.auth {
		r.faultBecause("SMTP_OPTIONS", "mail.smtp.auth must be true, because of SMTP_AUTH=oauth2")
	}
	if set := r.said("SMTP_PASSWORD", "SMTP_SECRET"); len(set) > 0 {
		r.warn("%s: no effect with SMTP_AUTH=oauth2", strings.Join(set, ", "))
		m.Password, m.PasswordPath = Secret{}, ""
	}
	if m.Username == "" {
		m.Username = m.SenderAddress
	}
	if strings.ContainsFunc(m.Username, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		r.faultBecause("SMTP_USERNAME", "without control characters")
	}
	if o.TokenURL != "" && !isTokenURL(o.TokenURL) {
		r.fault("SMTP_OAUTH_TOKEN_URL")
	}
	if o.ClientID == "" {
		r.checkDelegation(m, o)
		return
	}
	if o.ClientSecret.IsZero() {
		r.faultBecause("SMTP_OAUTH_CLIENT_SECRET", "SMTP_OAUTH_CLIENT_ID needs it")
	}
	switch {
	case o.Tenant != "":
		r.checkMicrosoft(m, o)
	case o.TokenURL == "" && o.RefreshToken.IsZero():
		r.faultBecause("SMTP_OAUTH_TOKEN_URL", "with neither SMTP_OAUTH_TENANT nor SMTP_OAUTH_REFRESH_TOKEN it does not follow")
	case o.TokenURL == "" && !isGoogles(m.Host):
		r.faultBecause("SMTP_OAUTH_TOKEN_URL",
			"without it or SMTP_OAUTH_TENANT the token is Google's, and "+m.Host+" is not Google's mail server")
	case o.Scope == "" && o.RefreshToken.IsZero():
		r.faultBecause("SMTP_OAUTH_SCOPE", "an application that logs in as itself has to say for what")
	}
}

// checkMicrosoft fills in what follows from the tenant.
func (r *reader) checkMicrosoft(m *Mail, o *MailOAuth) {
	if slices.Contains([]string{"common", "organizations", "consumers"}, strings.ToLower(o.Tenant)) && o.RefreshToken.IsZero() {
		r.faultBecause("SMTP_OAUTH_TENANT", "an application logs in to one of them")
	}
	if slices.Contains(googleHosts, strings.ToLower(m.Host)) {
		r.faultOfMail(m, "SMTP_HOST", "host", "that of Microsoft 365 or unset, because of SMTP_OAUTH_TENANT")
	}
	if o.TokenURL == "" {
		o.TokenURL = microsoftTokenURL(o.Tenant)
	}
	if o.Scope == "" {
		o.Scope = microsoftScope
	}
}

// checkDelegation is for the service account that signs for itself: at Google, and
// with nothing but that.
func (r *reader) checkDelegation(m *Mail, o *MailOAuth) {
	if set := r.said("SMTP_OAUTH_TENANT", "SMTP_OAUTH_CLIENT_SECRET", "SMTP_OAUTH_REFRESH_TOKEN", "SMTP_OAUTH_TOKEN_URL"); len(set) > 0 {
		r.faultBecause("SMTP_OAUTH_CLIENT_ID", strings.Join(set, " and ")+" without it has no meaning")
		return
	}
	if !isGoogles(m.Host) {
		r.faultBecause("SMTP_OAUTH_CLIENT_ID",
			"without it the service account itself logs in, which only smtp.gmail.com and smtp-relay.gmail.com take, and not "+m.Host)
	}
	if o.Scope == "" {
		o.Scope = googleScope
	}
}

// isTokenURL is whether secrets may be sent there.
func isTokenURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Opaque != "" || u.Fragment != "" || strings.HasSuffix(text, "#") {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return hostPattern.MatchString(host) && (u.Scheme == "https" || u.Scheme == "http" && loopback.Is(host))
}
