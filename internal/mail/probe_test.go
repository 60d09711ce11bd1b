package mail_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

var day = regexp.MustCompile(`[0-9]{4}-[0-9]{2}-[0-9]{2}`)

// TestProbeWithoutALogIn: that nobody logs in is a step too.
func TestProbeWithoutALogIn(t *testing.T) {
	server := smtptest.Start(t, smtptest.Options{})
	m, err := mail.New(mail.Config{Sender: "jitaccess@example.com", Host: server.Host, Port: server.Port, Roots: server.Roots, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	var passed []string
	if err := m.Probe(t.Context(), "", func(name, text string) { passed = append(passed, name+": "+text) }); err != nil {
		t.Fatal(err)
	}
	if want := "log-in: nobody logs in; a user name and a password are not set"; !slices.Contains(passed, want) {
		t.Errorf("passed %q, want %q in it", passed, want)
	}
}

// TestProbe: the steps that were taken are told, and the fault is of the next one.
func TestProbe(t *testing.T) {
	begun := []string{"secret: the password could be read", "resolve: 127.0.0.1 is an address", "connect: to 127.0.0.1:PORT"}
	secure := append(slices.Clone(begun), `TLS: version 1.3 with a certificate for this host (for localhost, 127.0.0.1, ::1, by "Test authority", until DAY)`)
	in := append(slices.Clone(secure), "log-in: as jit by PLAIN")
	for _, test := range []struct {
		name   string
		server smtptest.Options
		to     access.Principal
		passed []string
		fault  string
		mails  int
	}{
		{"up to the log-in", smtptest.Options{}, "", in, "", 0},
		{"with implicit TLS", smtptest.Options{ImplicitTLS: true}, "", in, "", 0},
		{"with a mail", smtptest.Options{}, chen,
			append(slices.Clone(in), `accepted: the server took a mail to chen@example.com and said "OK: queued"; whether it arrives, look there`), "", 1},
		{"no TLS", smtptest.Options{NoTLS: true}, chen, begun, "STARTTLS", 0},
		{"another password", smtptest.Options{Password: "another"}, chen, secure, "535", 0},
		{"recipient refused", smtptest.Options{RefuseRecipient: map[string]*smtp.SMTPError{"chen@example.com": {Code: 550, Message: "who?"}}}, chen,
			in, "a recipient: 550", 0},
		{"no address of a person", smtptest.Options{}, "robot@x.iam.gserviceaccount.com", begun[:1], "service account", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.server.Username = "jit"
			if test.server.Password == "" {
				test.server.Password = secret
			}
			server := smtptest.Start(t, test.server)
			m, err := mail.New(mail.Config{Sender: "jitaccess@example.com", Host: server.Host, Port: server.Port, ImplicitTLS: test.server.ImplicitTLS, Roots: server.Roots,
				Username: "jit", Login: mail.Password(func(context.Context) (string, error) { return secret, nil }, time.Now), Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			var passed []string
			err = m.Probe(context.Background(), test.to, func(name, text string) {
				step := strings.ReplaceAll(name+": "+text, fmt.Sprint(server.Port), "PORT")
				passed = append(passed, day.ReplaceAllString(step, "DAY"))
			})
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
