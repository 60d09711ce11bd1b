package mail_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

// TestProbe: the steps that were taken are told, and the fault is of the next one.
func TestProbe(t *testing.T) {
	const tls = "TLS 1.3 with a certificate for this host"
	for _, test := range []struct {
		name   string
		server smtptest.Options
		to     access.Principal
		passed []string
		fault  string
		mails  int
	}{
		{"up to the log-in", smtptest.Options{}, "", []string{"connected", tls, "logged in"}, "", 0},
		{"with implicit TLS", smtptest.Options{ImplicitTLS: true}, "", []string{"connected", tls, "logged in"}, "", 0},
		{"with a mail", smtptest.Options{}, chen, []string{"connected", tls, "logged in", "the server accepted a mail to chen@example.com; whether it arrives, look there"}, "", 1},
		{"no TLS", smtptest.Options{NoTLS: true}, chen, []string{"connected"}, "STARTTLS", 0},
		{"another password", smtptest.Options{Password: "another"}, chen, []string{"connected", tls}, "535", 0},
		{"recipient refused", smtptest.Options{RefuseRecipient: map[string]*smtp.SMTPError{"chen@example.com": {Code: 550, Message: "who?"}}}, chen,
			[]string{"connected", tls, "logged in"}, "a recipient: 550", 0},
		{"no address of a person", smtptest.Options{}, "robot@x.iam.gserviceaccount.com", []string{"connected", tls, "logged in"}, "service account", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.server.Username = "jit"
			if test.server.Password == "" {
				test.server.Password = secret
			}
			server := smtptest.Start(t, test.server)
			m, err := mail.New(mail.Config{Sender: "jitaccess@example.com", Host: server.Host, Port: server.Port, ImplicitTLS: test.server.ImplicitTLS, Roots: server.Roots,
				Username: "jit", Login: mail.Password(func(context.Context) (string, error) { return secret + "\n", nil }, time.Now), Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			var passed []string
			err = m.Probe(context.Background(), test.to, func(step string) { passed = append(passed, step) })
			if !slices.Equal(passed, test.passed) {
				t.Errorf("passed %q, want %q", passed, test.passed)
			}
			if (err == nil) != (test.fault == "") || err != nil && (!strings.Contains(err.Error(), test.fault) || strings.Contains(err.Error(), secret)) {
				t.Errorf("fault %v, want %q", err, test.fault)
			}
			if len(server.Messages()) != test.mails {
				t.Errorf("%d mails", len(server.Messages()))
			}
		})
	}
}
