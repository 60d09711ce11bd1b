package mail_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"sync"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

func TestCertificatesAreReadOnceAndWhenTheyAreNeeded(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	reads := 0
	fails := error(&access.Error{Kind: access.Upstream, Code: access.CodeServiceNotAllowed, Args: access.Args{"permission": "secretmanager.versions.access"}})
	c := config(s.Host, s.Port, nil)
	c.MaxConnections = 3
	c.CA = mail.Authorities(func(context.Context) ([]byte, error) {
		reads++
		return s.Authority, fails
	})
	m := mailer(t, c)
	if failed := m.Notify(t.Context(), review()).Failed(); reads != 1 || len(failed) != 3 || !errors.Is(failed[0].Err, fails) {
		t.Errorf("after %d reads: %v", reads, failed)
	}
	fails = nil
	var sending sync.WaitGroup
	for i := range 10 {
		sending.Go(func() {
			if failed := m.Notify(t.Context(), request(i)).Failed(); failed != nil {
				t.Error(failed)
			}
		})
	}
	sending.Wait()
	if reads != 2 {
		t.Errorf("%d reads, want one that failed and one", reads)
	}
	// Who is not named there is not trusted, not even by what the system trusts.
	other := smtptest.Start(t, withUser(smtptest.Options{}))
	c.Host, c.Port, c.Roots = other.Host, other.Port, other.Roots
	wantUndelivered(t, mailer(t, c).Notify(t.Context(), review()).Failed(), access.Upstream)
}

func TestCertificatesThatCannotBeUsed(t *testing.T) {
	for _, test := range []struct {
		text string
		err  error
		says string
	}{
		{"", nil, "no certificate as PEM"},
		{"CANARY", nil, "no certificate as PEM"},
		{"-----BEGIN CERTIFICATE-----\nCANARY==\n-----END CERTIFICATE-----\n", nil, "no certificate as PEM"},
		{"-----BEGIN PRIVATE KEY-----\nQ0FOQVJZ\n-----END PRIVATE KEY-----\n", nil, "no certificate as PEM"},
		{"", errors.New("open /etc/ca.pem: permission denied"), "open /etc/ca.pem: permission denied"},
	} {
		c := config("127.0.0.1", 1, nil)
		c.CA = mail.Authorities(func(context.Context) ([]byte, error) { return []byte(test.text), test.err })
		failed := mailer(t, c).Notify(t.Context(), review()).Failed()
		wantUndelivered(t, failed, access.Upstream)
		if wantSafe(t, failed[0].Err); !strings.Contains(failed[0].Err.Error(), test.says) {
			t.Errorf("%q: error is %q", test.text, failed[0].Err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := config("127.0.0.1", 1, nil)
	c.CA = mail.Authorities(func(ctx context.Context) ([]byte, error) { cancel(); return nil, ctx.Err() })
	wantUndelivered(t, mailer(t, c).Notify(ctx, review()).Failed(), access.TimedOut)
}

// Threat 29: SMTP_CA is instead of the system's authorities, and not beside them: none
// of those can vouch for the mail server then.
func TestThreat29_NobodyElseVouchesForTheServer(t *testing.T) {
	own, other := smtptest.NewAuthority(t), smtptest.NewAuthority(t)
	text, _ := smtptest.PEM(t, own.Issue(t, smtptest.Good))
	pool, err := mail.Authorities(func(context.Context) ([]byte, error) { return text, nil })(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := x509.NewCertPool()
	want.AppendCertsFromPEM(text)
	if !pool.Equal(want) {
		t.Error("others vouch as well")
	}
	// Nor do the Roots that there are otherwise.
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	c := config(s.Host, s.Port, s.Roots)
	c.CA = func(context.Context) (*x509.CertPool, error) { return other.Roots, nil }
	wantUndelivered(t, mailer(t, c).Notify(t.Context(), review()).Failed(), access.Upstream)
	if s.LogIns() != 0 {
		t.Error("logged in")
	}
}
