package config_test

import (
	"strings"
	"testing"

	"jitaccess/internal/config"
)

// The mailbox needs what tells our own mails from what was made up, and something to log in with.
func TestTheMailboxThatMailsComeBackTo(t *testing.T) {
	base := map[string]string{"RESOURCE_SCOPE": "projects/p", "IAP_AUDIENCE": "/projects/1/global/backendServices/1", "SMTP_SENDER_ADDRESS": "jit@example.com", "SMTP_USERNAME": "jit@example.com",
		"SMTP_PASSWORD": "HUSH", "SIGNING_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "IMAP_HOST": "imap.example.com"}
	for _, c := range []struct {
		rule   string
		change map[string]string
		fault  string
		warns  string
	}{
		{"all that follows from the mail server", nil, "", ""},
		{"its own log-in", map[string]string{"SMTP_PASSWORD": "", "SMTP_USERNAME": "", "IMAP_USERNAME": "u", "IMAP_PASSWORD": "HUSH"}, "", ""},
		{"a token for another mailbox", map[string]string{"SMTP_AUTH": "oauth2", "SMTP_OAUTH_TENANT": "example.com", "SMTP_OAUTH_CLIENT_ID": "x",
			"SMTP_OAUTH_CLIENT_SECRET": "HUSH", "SMTP_PASSWORD": "", "IMAP_USERNAME": "bounces@example.com"}, "", ""},
		{"a key in SQLite's folder", map[string]string{"SIGNING_KEY": "", "DATABASE_URL": "sqlite:x.db"}, "", ""},
		{"no key", map[string]string{"SIGNING_KEY": ""}, "SIGNING_KEY", ""},
		{"the service account signs", map[string]string{"SIGNING_KEY": "", "DATABASE_URL": "postgres://u@h/d"}, "SIGNING_KEY", ""},
		{"nothing is sent", map[string]string{"SMTP_SENDER_ADDRESS": ""}, "SMTP_SENDER_ADDRESS", ""},
		{"nobody logs in", map[string]string{"SMTP_USERNAME": "", "SMTP_PASSWORD": ""}, "IMAP_USERNAME", ""},
		{"no password", map[string]string{"SMTP_PASSWORD": ""}, "IMAP_PASSWORD", ""},
		{"somebody else without a password", map[string]string{"IMAP_USERNAME": "bounces@example.com"}, "IMAP_PASSWORD", ""},
		{"a host with a port", map[string]string{"IMAP_HOST": "imap.example.com:993"}, "IMAP_HOST", ""},
		{"a port that is none", map[string]string{"IMAP_PORT": "0"}, "IMAP_PORT", ""},
		{"a folder of two lines", map[string]string{"IMAP_FOLDER": "IN\nBOX"}, "IMAP_FOLDER", ""},
		{"a mailbox without a host", map[string]string{"IMAP_HOST": "", "IMAP_PASSWORD": "HUSH"}, "", "no effect without IMAP_HOST"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			env := map[string]string{}
			for _, from := range []map[string]string{base, c.change} {
				for name, value := range from {
					env[name] = value
				}
			}
			read, err := config.Read(func(name string) string { return env[name] })
			switch {
			case c.fault == "" && err != nil, c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
				t.Fatalf("%v, want a fault of %q", err, c.fault)
			case err != nil && strings.Contains(err.Error(), "HUSH"):
				t.Errorf("tells the password: %v", err)
			case err == nil && !strings.Contains(strings.Join(read.Warnings, "\n"), c.warns):
				t.Errorf("%q", read.Warnings)
			}
		})
	}
}
