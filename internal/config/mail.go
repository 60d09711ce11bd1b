package config

import (
	"cmp"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode"

	"jitaccess/internal/access"
	"jitaccess/internal/loopback"
)

// checkMail looks at the server only when mail is sent at all.
func (r *reader) checkMail(all *Config) {
	c := &all.Mail
	if c.SenderAddress == "" {
		r.warnIf(all.Messages.Topic == "" && !all.Chats.Used(), "SMTP_SENDER_ADDRESS is not set: no mail is sent, people pass links on by hand")
		r.warnIf(all.Chats.Used(), "SMTP_SENDER_ADDRESS is not set: no mail is sent; people read of requests in chats")
		r.warnIf(all.Messages.Topic != "" && !all.Chats.Used(),
			"SMTP_SENDER_ADDRESS is not set: no mail is sent; who listens to NOTIFICATION_TOPIC has to pass links on")
		return
	}
	r.checkMailServer(c)
	c.Auth = strings.ToLower(c.Auth)
	if c.Auth == oauth2 && all.MailOAuth.Tenant != "" && len(r.said("SMTP_HOST")) == 0 {
		c.Host = microsoftHost
	}
	r.mailOptions(c)
	r.faultIf(strings.ContainsFunc(c.SenderName, unicode.IsControl), "SMTP_SENDER_NAME", "without control characters")
	c.Host = strings.Trim(c.Host, "[]")
	local := loopback.Is(c.Host)
	r.faultOfMailIf(!local && c.AllowPlain(), c, "SMTP_ENABLE_STARTTLS", "starttls.enable",
		"true, unless the mail server is on loopback: mail and password would be sent in clear text")
	r.faultOfMailIf(!local && c.Port == 25, c, "SMTP_PORT", "port", "other than 25, which Google Cloud blocks")
	r.checkMailOAuth(all)
	r.faultIf(strings.Contains(c.DKIMKey.File, "-----BEGIN"), "SMTP_DKIM_KEY", "it is a key, and not where one is")
	r.faultIf(c.DKIMSelector != "" && c.DKIMKey.IsZero(), "SMTP_DKIM_KEY", "SMTP_DKIM_SELECTOR needs it")
	r.faultIf(c.DKIMSelector == "" && !c.DKIMKey.IsZero(), "SMTP_DKIM_SELECTOR", "SMTP_DKIM_KEY needs it")
	secret := !c.StoredPassword().IsZero()
	switch {
	case c.Auth == oauth2:
	case c.Options.noLogin:
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

// checkMailbox looks at where mails come back to. It comes after checkMail, whose log-in it shares.
func (r *reader) checkMailbox(all *Config) {
	c := &all.Mailbox
	if c.Host == "" {
		set := r.said("IMAP_PORT", "IMAP_USERNAME", "IMAP_PASSWORD", "IMAP_FOLDER", "IMAP_KEEP_COPIES")
		r.warnIf(len(set) > 0, strings.Join(set, ", ")+": no effect without IMAP_HOST")
		return
	}
	if all.Mail.SenderAddress == "" {
		r.faultIf(true, "SMTP_SENDER_ADDRESS", "IMAP_HOST needs it: what is not sent does not come back")
		return
	}
	c.Host = strings.Trim(c.Host, "[]")
	r.faultIf(strings.ContainsFunc(c.Folder, unicode.IsControl), "IMAP_FOLDER", "without control characters")
	r.faultIf(strings.ContainsFunc(c.Username, unicode.IsControl), "IMAP_USERNAME", "without control characters")
	c.Username = cmp.Or(c.Username, all.Mail.Username)
	r.faultIf(c.Username == "", "IMAP_USERNAME", "IMAP_HOST needs it")
	r.faultIf(c.Password.IsZero() && all.MailLogin() == NoLogin, "IMAP_PASSWORD", "IMAP_HOST needs it")
	r.faultIf(c.Password.IsZero() && all.MailLogin() == PasswordLogin && c.Username != all.Mail.Username, "IMAP_PASSWORD",
		"IMAP_USERNAME is somebody else than SMTP_USERNAME")
	unsigned := all.Ledger.SigningKey.IsZero() && (all.Ledger.Database.IsZero() || all.Ledger.ByAccount())
	r.faultIf(unsigned, "SIGNING_KEY", "IMAP_HOST needs it: by it our own mails are told from what was made up")
}

// faultOfMailIf blames what was said last: the option, else the variable.
func (r *reader) faultOfMailIf(so bool, c *Mail, variable, key, accepted string) {
	if c.Options.has(key) {
		r.faultIf(so, "SMTP_OPTIONS", optionPrefix+key+" must be "+accepted)
	} else {
		r.faultIf(so, variable, "")
	}
}

// checkMailServer looks at how the mail server is reached, and at the addresses.
// Options have not replaced anything yet.
func (r *reader) checkMailServer(c *Mail) {
	for _, each := range []struct {
		variable string
		address  *string
	}{
		{"SMTP_SENDER_ADDRESS", &c.SenderAddress}, {"SMTP_REPLY_TO", &c.ReplyTo},
		{"SMTP_RETURN_PATH", &c.ReturnPath}, {"SMTP_CONFIRMATION_TO", &c.ConfirmationTo},
	} {
		if *each.address != "" {
			p, err := access.ParsePrincipal(*each.address)
			r.faultIf(err != nil, each.variable, "")
			*each.address = p.String()
		}
	}
	if c.CA.File != "" {
		text, err := os.ReadFile(c.CA.File)
		if cause, ok := errors.AsType[*fs.PathError](err); ok {
			r.faultIf(true, "SMTP_CA", "the file cannot be read: "+cause.Err.Error())
		}
		r.faultIf(err != nil, "SMTP_CA", "")
		r.faultIf(!x509.NewCertPool().AppendCertsFromPEM(text), "SMTP_CA", "there is no certificate in the file")
	}
	r.faultIf(!c.Proxy.IsZero() && c.ProxyURL() == nil, "ALL_PROXY", "")
}

// ProxyURL is ALL_PROXY; nil for none. It holds the password.
func (m Mail) ProxyURL() *url.URL {
	u, err := url.Parse(m.Proxy.Reveal())
	if err != nil || u.Opaque != "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil
	}
	_, ok := parseInt(u.Port(), 1, 65535)
	if !ok || !hostPattern().MatchString(strings.ToLower(u.Hostname())) || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) {
		return nil
	}
	// RFC 1929 has one byte for how long each is.
	if password, _ := u.User.Password(); u.User != nil && (u.User.Username() == "" || len(u.User.Username()) > 255 || len(password) > 255) {
		return nil
	}
	return &url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host}
}
