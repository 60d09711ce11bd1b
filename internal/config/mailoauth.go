package config

import (
	"cmp"
	"slices"
	"strings"

	"jitaccess/internal/loopback"
)

// MailLogin is how the service logs in to the mail server.
type MailLogin int

const (
	NoLogin           MailLogin = iota // nobody logs in, or no mail is sent
	PasswordLogin                      // with Mail.Username and its password
	ClientCredentials                  // with a token of an application that logs in as itself
	RefreshToken                       // with a token of an application that acts by consent
	Delegation                         // with a token of Google's for which the service account signs
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

// googleHosts are the mail servers that take tokens of Google's.
var googleHosts = []string{"smtp.gmail.com", "smtp-relay.gmail.com"}

// isGoogles is whether a server takes tokens of Google's; one on loopback may stand for it.
func isGoogles(host string) bool {
	return slices.Contains(googleHosts, strings.ToLower(host)) || loopback.Is(host)
}

// said are those of the variables that are set.
func (r *reader) said(names ...string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return r.variables[name].text == "" })
}

// checkMailOAuth finds out which of the ways to get a token is meant, and whether it
// has all that it needs. What belongs to another way, and is relied on, is a fault.
func (r *reader) checkMailOAuth(all *Config) {
	m, o := &all.Mail, &all.MailOAuth
	if m.Auth != oauth2 {
		set := r.said("SMTP_OAUTH_TENANT", "SMTP_OAUTH_CLIENT_ID", "SMTP_OAUTH_CLIENT_SECRET",
			"SMTP_OAUTH_REFRESH_TOKEN", "SMTP_OAUTH_TOKEN_URL", "SMTP_OAUTH_SCOPE")
		r.warnIf(len(set) > 0, strings.Join(set, ", ")+": no effect without SMTP_AUTH=oauth2")
		return
	}
	r.faultIf(m.Options.noLogin, "SMTP_OPTIONS", "mail.smtp.auth must be true, because of SMTP_AUTH=oauth2")
	ignored := r.said("SMTP_PASSWORD", "SMTP_SECRET")
	r.warnIf(len(ignored) > 0, strings.Join(ignored, ", ")+": no effect with SMTP_AUTH=oauth2")
	m.Password, m.PasswordPath = Secret{}, ""
	m.Username = cmp.Or(m.Username, m.SenderAddress)
	r.faultIf(strings.ContainsFunc(m.Username, func(c rune) bool { return c < ' ' || c == 0x7f }),
		"SMTP_USERNAME", "without control characters")
	_, _, ok := parseURL(o.TokenURL)
	r.faultIf(o.TokenURL != "" && !ok, "SMTP_OAUTH_TOKEN_URL", "")
	if o.ClientID == "" {
		r.checkDelegation(m, o)
		return
	}
	r.faultIf(o.ClientSecret.IsZero(), "SMTP_OAUTH_CLIENT_SECRET", "SMTP_OAUTH_CLIENT_ID needs it")
	switch {
	case o.Tenant != "":
		r.checkMicrosoft(m, o)
	case o.TokenURL == "" && o.RefreshToken.IsZero():
		r.faultIf(true, "SMTP_OAUTH_TOKEN_URL", "with neither SMTP_OAUTH_TENANT nor SMTP_OAUTH_REFRESH_TOKEN it does not follow")
	case o.TokenURL == "":
		r.faultIf(!isGoogles(m.Host) && !r.variables["SMTP_HOST"].bad, "SMTP_OAUTH_TOKEN_URL",
			"without it or SMTP_OAUTH_TENANT the token is Google's, and "+m.Host+" is not Google's mail server")
	default:
		r.faultIf(o.Scope == "" && o.RefreshToken.IsZero(), "SMTP_OAUTH_SCOPE", "an application that logs in as itself has to say for what")
	}
}

// checkMicrosoft fills in what follows from the tenant.
func (r *reader) checkMicrosoft(m *Mail, o *MailOAuth) {
	several := slices.Contains([]string{"common", "organizations", "consumers"}, strings.ToLower(o.Tenant))
	r.faultIf(several && o.RefreshToken.IsZero(), "SMTP_OAUTH_TENANT", "an application logs in to one of them")
	r.faultOfMailIf(slices.Contains(googleHosts, strings.ToLower(m.Host)), m, "SMTP_HOST", "host",
		"that of Microsoft 365 or unset, because of SMTP_OAUTH_TENANT")
	o.TokenURL = cmp.Or(o.TokenURL, "https://login.microsoftonline.com/"+o.Tenant+"/oauth2/v2.0/token")
	o.Scope = cmp.Or(o.Scope, microsoftScope)
}

// checkDelegation is for the service account that signs for itself, at Google alone.
func (r *reader) checkDelegation(m *Mail, o *MailOAuth) {
	set := r.said("SMTP_OAUTH_TENANT", "SMTP_OAUTH_CLIENT_SECRET", "SMTP_OAUTH_REFRESH_TOKEN", "SMTP_OAUTH_TOKEN_URL")
	r.faultIf(len(set) > 0, "SMTP_OAUTH_CLIENT_ID", strings.Join(set, " and ")+" without it has no meaning")
	r.faultIf(!isGoogles(m.Host) && !r.variables["SMTP_HOST"].bad, "SMTP_OAUTH_CLIENT_ID",
		"without it the service account itself logs in, which only smtp.gmail.com and smtp-relay.gmail.com take, and not "+m.Host)
	o.Scope = cmp.Or(o.Scope, googleScope)
}
