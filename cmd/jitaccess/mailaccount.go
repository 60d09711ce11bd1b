package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/mail"
	"jitaccess/internal/mailbox"
	"jitaccess/internal/notice"
	"jitaccess/internal/words"
)

// mailAccount shows administrators the mail account. It implements server.Account.
type mailAccount struct {
	*mail.Mailer
	// mailbox is nil where nothing that comes back is read.
	mailbox *mailbox.Mailbox
	config  *config.Config
	// account is the service account, which may act for the mailbox.
	account string
}

func (a mailAccount) Settings() []notice.Setting {
	if !a.Enabled() {
		return nil
	}
	c := a.config.Mail
	var s accountSettings
	s.add("Sender", c.SenderName+" <"+c.SenderAddress+">", "SMTP_SENDER_NAME, SMTP_SENDER_ADDRESS")
	s.add("Server", fmt.Sprintf("%s:%d, %s", c.Host, c.Port, protection(c)), "SMTP_HOST, SMTP_PORT, SMTP_OPTIONS")
	s.add("Certificate", keptIn(c.CA, "signed by those in "), "SMTP_CA")
	if !c.Proxy.IsZero() {
		s.add("Proxy", "set, hidden", "ALL_PROXY, NO_PROXY")
	}
	a.addLogIn(&s)
	s.add("Replies to", c.ReplyTo, "SMTP_REPLY_TO")
	s.add("Bounces to", c.ReturnPath, "SMTP_RETURN_PATH")
	s.add("Confirmations to", c.ConfirmationTo, "SMTP_CONFIRMATION_TO")
	if c.AddressMapping != nil {
		s.add("Addresses", "people get mail where the mapping says", "SMTP_ADDRESS_MAPPING")
	}
	if c.DKIMSelector != "" {
		s.add("Signature", "DKIM, selector "+c.DKIMSelector+"; key "+keptIn(c.DKIMKey, hidden), "SMTP_DKIM_SELECTOR, SMTP_DKIM_KEY")
	}
	s.add("Limits", words.English().Text("mail.limits", "connections", c.MaxConnections, "mails", c.PerMinute),
		"SMTP_MAX_CONNECTIONS, SMTP_MESSAGES_PER_MINUTE")
	a.addMailbox(&s)
	s.add("Times", "in the zone "+c.TimeZone.String(), "NOTIFICATION_TIMEZONE")
	return s
}

// Test sends a message, and then logs in to the mailbox to which mails come back.
func (a mailAccount) Test(ctx context.Context, to access.Principal) []notice.Step {
	steps := a.Mailer.Test(ctx, to)
	if a.mailbox == nil || len(steps) > 0 && steps[len(steps)-1].Failure != nil {
		return steps
	}
	err := a.mailbox.Probe(ctx, func(name, text string) { steps = append(steps, notice.Step{Name: "mailbox: " + name, Text: text}) })
	if f, ok := errors.AsType[*mailbox.Fault](err); ok {
		steps = append(steps, notice.Step{Name: "mailbox: " + f.Step,
			Failure: &notice.Failure{What: f.Said, Meaning: f.Meaning, Remedy: f.Remedy, Err: err}})
	}
	return steps
}

// addMailbox adds where mails come back to, and what became of looking there.
func (a mailAccount) addMailbox(s *accountSettings) {
	c := a.config.Mailbox
	if a.mailbox == nil {
		return
	}
	protected, kept := "STARTTLS demanded", "what was taken in is deleted"
	if implicitIMAP(c) {
		protected = "TLS from the first byte"
	}
	if c.Keep {
		kept = "what was taken in stays, as read"
	}
	s.add("Mails that come back", fmt.Sprintf("are read at %s:%d, %s, as %s, in the folder %s; %s", c.Host, c.Port, protected, c.Username,
		c.Folder, kept), "IMAP_HOST, IMAP_PORT, IMAP_USERNAME, IMAP_FOLDER, IMAP_KEEP_COPIES")
	s.add("Password of the mailbox", keptIn(c.Password, hidden), "IMAP_PASSWORD")
	last := a.mailbox.Last()
	text := "nobody has looked yet"
	if !last.At.IsZero() {
		text = fmt.Sprintf("at %s: %s; of ours that came back: %d", last.At.UTC().Format(time.RFC3339),
			access.Counted(last.Mails, "new mail", "new mails"), last.Returned)
	}
	if last.Left > 0 {
		text += fmt.Sprintf("; up to %d more wait for the next look", last.Left)
	}
	if f, ok := errors.AsType[*mailbox.Fault](last.Err); ok {
		text += "; it broke off: " + f.What() + ". " + f.Meaning + " " + f.Remedy
	} else if last.Err != nil {
		text += "; it broke off, and the log has the cause"
	}
	s.add("Last look there", text, "")
}

type accountSettings []notice.Setting

func (s *accountSettings) add(name, value, variables string) {
	if value != "" {
		*s = append(*s, notice.Setting{Name: name, Value: value, Variables: variables})
	}
}

func (a mailAccount) addLogIn(s *accountSettings) {
	c, o := a.config.Mail, a.config.MailOAuth
	login := a.config.MailLogin()
	switch login {
	case config.NoLogin:
		s.add("Log-in", "none", "SMTP_USERNAME, SMTP_SECRET")
		return
	case config.PasswordLogin:
		variable := "SMTP_PASSWORD"
		if c.PasswordPath != "" {
			variable = "SMTP_SECRET"
		}
		s.add("Log-in", "as "+c.Username+" with a password", "SMTP_AUTH, SMTP_USERNAME")
		s.add("Password", keptIn(c.StoredPassword(), hidden), variable)
		return
	}
	s.add("Log-in", "as "+c.Username+" with an access token (XOAUTH2)", "SMTP_AUTH, SMTP_USERNAME")
	switch login {
	case config.Delegation:
		s.add("Token", "of the service account "+a.account+", which acts for the mailbox (domain-wide delegation)", "SMTP_OAUTH_CLIENT_ID unset")
	case config.RefreshToken:
		s.add("Token", "by refresh token for the application "+o.ClientID, "SMTP_OAUTH_CLIENT_ID")
	case config.ClientCredentials:
		s.add("Token", "by client credentials of the application "+o.ClientID, "SMTP_OAUTH_CLIENT_ID")
	}
	s.add("Tenant", o.Tenant, "SMTP_OAUTH_TENANT")
	s.add("Token from", o.TokenURL, "SMTP_OAUTH_TOKEN_URL")
	s.add("Scope", o.Scope, "SMTP_OAUTH_SCOPE")
	s.add("Client secret", keptIn(o.ClientSecret, hidden), "SMTP_OAUTH_CLIENT_SECRET")
	s.add("Refresh token", keptIn(o.RefreshToken, hidden), "SMTP_OAUTH_REFRESH_TOKEN")
}

const hidden = "set, hidden: "

// keptIn says where a text is kept, and of one that is given that it is there; empty
// where there is none. A path is told of what is no secret alone: somebody may have
// put the secret where its path belongs.
func keptIn(text config.StoredText, before string) string {
	switch {
	case text.Version != "":
		return before + text.Version
	case text.File != "" && before != hidden:
		return before + text.File
	case text.File != "":
		return before + "in a file"
	case text.Value.IsZero():
		return ""
	}
	return strings.TrimSuffix(before, ": ")
}

func protection(c config.Mail) string {
	switch {
	case c.ImplicitTLS():
		return "TLS from the first byte"
	case c.AllowPlain():
		return "clear text where no TLS is offered, on this machine"
	}
	return "STARTTLS demanded"
}
