package main

import (
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"jitaccess/internal/config"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

// text is a page as people read it, without tags.
func text(a answer) string {
	var b strings.Builder
	tag := false
	for _, r := range a.body {
		switch {
		case r == '<':
			tag = true
		case r == '>':
			tag = false
			b.WriteByte(' ')
		case !tag:
			b.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(html.UnescapeString(b.String())), " ")
}

// says demands texts of a page, and that no secret is in it.
func says(t *testing.T, a answer, texts ...string) {
	t.Helper()
	page := text(a)
	for _, want := range texts {
		if !strings.Contains(page, want) {
			t.Errorf("does not say %q:\n%s", want, page)
		}
	}
	if strings.Contains(a.body, "correct horse") {
		t.Errorf("shows the password:\n%s", page)
	}
}

// TestMailAccount: an administrator sees the account, what it has sent, and each step
// of a test message; nobody else does.
func TestMailAccount(t *testing.T) {
	w := newWorld(t, surroundings{environment: map[string]string{"ADMINS": "user:bob@example.com"}})
	says(t, w.page(alice, "/notifications").expect(t, 403), "This page is for administrators of this service.")
	w.form(alice, "/notifications", url.Values{"channel": {"mail"}}).expect(t, 403)
	if len(w.mail.Messages()) != 0 {
		t.Fatal("alice has a mail sent")
	}

	server := fmt.Sprintf("%s:%d", w.mail.Host, w.mail.Port)
	says(t, w.page(bob, "/notifications").expect(t, 200), server+", STARTTLS demanded", "as jitaccess with a password",
		"set, hidden: projects/", "/secrets/smtp-password/versions/", "3 connections at once, 30 mails a minute", "It has sent none since it started.")
	if w.mail.Connections() != 0 {
		t.Error("looking connects")
	}

	w.ask()
	says(t, w.page(bob, "/notifications").expect(t, 200), "accepted Request for review", "To bob@example.com , alice@example.com")

	tested := w.form(bob, "/notifications", url.Values{"channel": {"mail"}}).expect(t, 200)
	says(t, tested, "The mail server took the test message.", "ok secret", "ok resolve 127.0.0.1 is an address", "ok connect to "+server,
		"ok TLS version 1.3 with a certificate for this host (for localhost, 127.0.0.1, ::1, by", "ok log-in as jitaccess by PLAIN",
		"ok accepted the server took a mail to bob@example.com", "accepted Test message")
	messages := w.mail.Messages()
	if last := messages[len(messages)-1]; len(last.To) != 1 || last.To[0] != bob || !strings.Contains(last.Data, "Subject: Test mail") {
		t.Errorf("sent %+v", last)
	}
	if !w.logged("http.testMail", bob) {
		t.Error("it is not in the log")
	}
}

// What the mail server says of a request that it does not want to pass on: the
// requester reads who was not reached and has the link, the administrator what it
// means and what to do, and the log has the server's words, without the password
// that the server repeats.
func TestARefusedMailIsExplained(t *testing.T) {
	for _, c := range []struct {
		name    string
		mail    smtptest.Options
		reached int
		page    []string
		log     []string
	}{
		{"send-as", smtptest.Options{Refuse: map[smtptest.Step]*smtp.SMTPError{smtptest.AtMail: {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 60},
			Message: "SMTP; Client does not have permissions to send as this sender (correct horse)"}}}, 0,
			[]string{"not sent Request for review", "The account that logs in may not send as the sender. Set SMTP_SENDER_ADDRESS", "the sender: 550 5.7.60"},
			[]string{"api.notify", "550 5.7.60", "permissions to send as this sender", "may not send as the sender"}},
		{"one recipient", smtptest.Options{RefuseRecipient: map[string]*smtp.SMTPError{bob: {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user: correct horse"}}}, 1,
			[]string{"not sent Request for review", "accepted Request for review", "There is no mailbox at the recipient's address.", "SMTP_ADDRESS_MAPPING"},
			[]string{"api.notify", "550 5.1.1", "no such user"}},
		{"the log-in", smtptest.Options{Refuse: map[smtptest.Step]*smtp.SMTPError{smtptest.AtAuth: {Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 139},
			Message: "Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant (amFjb3JyZWN0 correct horse)"}}}, 0,
			[]string{"SMTP AUTH is turned off for the whole Microsoft 365 tenant.", "Manage email apps, Authenticated SMTP", "535 5.7.139"},
			[]string{"api.notify", "535 5.7.139", "disabled for the Tenant"}},
		{"too many connections", smtptest.Options{Refuse: map[smtptest.Step]*smtp.SMTPError{smtptest.AtMail: {Code: 432, EnhancedCode: smtp.EnhancedCode{4, 3, 2},
			Message: "STOREDRV.ClientSubmit; sender thread limit exceeded"}}}, 0,
			[]string{"The mailbox has more connections to Exchange Online than the three that it may have.", "Lower SMTP_MAX_CONNECTIONS", "the sender: 432 4.3.2"},
			[]string{"api.notify", "432 4.3.2", "sender thread limit exceeded"}},
		{"the certificate", smtptest.Options{Certificate: smtptest.WrongName}, 0,
			[]string{"The server's certificate is not for the name in SMTP_HOST.", "the certificate is for mail.example.org, not for 127.0.0.1"},
			[]string{"api.notify", "mail.example.org"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, surroundings{mail: c.mail, environment: map[string]string{"ADMINS": "user:carol@example.com"}})
			asked := w.api(alice, askURL, askBody(nil)).expect(t, 200, "bob@example.com could not be told by mail")
			if asked.ReviewURL == "" {
				t.Error("the requester has no link to pass on")
			}
			if n := len(w.mail.Messages()); n != c.reached {
				t.Errorf("%d mails", n)
			}
			says(t, w.page(carol, "/notifications").expect(t, 200), c.page...)
			if !w.logged(c.log...) {
				t.Errorf("the log lacks a line with %q:\n%s", c.log, w.log)
			}
			if strings.Contains(w.log.String(), "correct horse") {
				t.Errorf("the log has the password:\n%s", w.log)
			}
		})
	}
}

// The settings are told whatever they are, and no secret is among them.
func TestTheMailAccountHidesSecrets(t *testing.T) {
	const canary = "CANARY-secret"
	google := map[string]string{"SMTP_SENDER_ADDRESS": "access@example.com", "SMTP_USERNAME": "access@example.com"}
	for _, c := range []struct {
		name string
		env  map[string]string
		want []string
	}{
		{"a password", map[string]string{"SMTP_PASSWORD": canary}, []string{"Log-in: as access@example.com with a password", "Password: set, hidden (SMTP_PASSWORD)", "Server: smtp.gmail.com:587, STARTTLS demanded"}},
		{"a password in Secret Manager", map[string]string{"SMTP_SECRET": "projects/acme/secrets/mail/versions/latest"}, []string{"Password: set, hidden: projects/acme/secrets/mail/versions/latest"}},
		{"none", map[string]string{"SMTP_USERNAME": "", "SMTP_HOST": "relay.example.com", "SMTP_PORT": "465"}, []string{"Log-in: none", "Server: relay.example.com:465, TLS from the first byte"}},
		{"client credentials", map[string]string{"SMTP_AUTH": "oauth2", "SMTP_OAUTH_TENANT": "72f988bf-86f1-41af-91ab-2d7cd011db47", "SMTP_OAUTH_CLIENT_ID": "6b2d1d92-7018-4182-b70e-821127bec509", "SMTP_OAUTH_CLIENT_SECRET": canary},
			[]string{"access token (XOAUTH2)", "by client credentials of the application 6b2d1d92", "Tenant: 72f988bf", "Client secret: set, hidden (SMTP_OAUTH_CLIENT_SECRET)"}},
		{"a refresh token", map[string]string{"SMTP_AUTH": "oauth2", "SMTP_OAUTH_CLIENT_ID": "x.apps.googleusercontent.com", "SMTP_OAUTH_CLIENT_SECRET": canary, "SMTP_OAUTH_REFRESH_TOKEN": "projects/acme/secrets/token/versions/3"},
			[]string{"by refresh token for the application x.apps", "Refresh token: set, hidden: projects/acme/secrets/token/versions/3"}},
		{"domain-wide delegation", map[string]string{"SMTP_AUTH": "oauth2"}, []string{"of the service account jitaccess@acme.iam.gserviceaccount.com, which acts for the mailbox"}},
		{"a key in a file", map[string]string{"SMTP_SECRET": "projects/acme/secrets/mail/versions/1", "SMTP_DKIM_SELECTOR": "jit", "SMTP_DKIM_KEY": "/etc/" + canary},
			[]string{"key set, hidden: in a file"}},
		{"everything else", map[string]string{"SMTP_SECRET": "projects/acme/secrets/mail/versions/1", "SMTP_REPLY_TO": "help@example.com", "SMTP_RETURN_PATH": "bounce@example.com",
			"SMTP_CONFIRMATION_TO": "read@example.com", "SMTP_CA": "projects/acme/secrets/ca/versions/1", "SMTP_MAX_CONNECTIONS": "1", "SMTP_MESSAGES_PER_MINUTE": "7",
			"SMTP_DKIM_SELECTOR": "jit", "SMTP_DKIM_KEY": "projects/acme/secrets/dkim/versions/1", "ALL_PROXY": "http://user:" + canary + "@proxy.example.com:3128", "NOTIFICATION_TIMEZONE": "Europe/Berlin",
			"SMTP_ADDRESS_MAPPING": "user.email"},
			[]string{"Replies to: help@example.com", "Bounces to: bounce@example.com", "Confirmations to: read@example.com", "signed by those in projects/acme/secrets/ca/versions/1",
				"1 connection at once, 7 mails a minute", "DKIM, selector jit; key set, hidden: projects/acme/secrets/dkim/versions/1", "Proxy: set, hidden", "Europe/Berlin", "Addresses: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := map[string]string{"K_SERVICE": "jitaccess", "RESOURCE_CATALOG": "AssetInventory", "RESOURCE_CUSTOMER_ID": "C1"}
			for _, more := range []map[string]string{google, c.env} {
				for name, value := range more {
					env[name] = value
				}
			}
			settings, err := config.Read(func(name string) string { return env[name] })
			if err != nil {
				t.Fatal(err)
			}
			mailer, err := mail.New(mail.Config{Sender: "access@example.com", Host: "127.0.0.1", Port: 587, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			var all strings.Builder
			for _, s := range (mailAccount{mailer, settings, "jitaccess@acme.iam.gserviceaccount.com"}).Settings() {
				fmt.Fprintf(&all, "%s: %s (%s)\n", s.Name, s.Value, s.Variables)
			}
			for _, want := range c.want {
				if !strings.Contains(all.String(), want) {
					t.Errorf("lacks %q:\n%s", want, all.String())
				}
			}
			if strings.Contains(all.String(), "CANARY") {
				t.Errorf("shows a secret:\n%s", all.String())
			}
		})
	}
	off, err := mail.New(mail.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if got := (mailAccount{off, &config.Config{}, ""}).Settings(); got != nil {
		t.Errorf("there is no account, and it shows %v", got)
	}
}
