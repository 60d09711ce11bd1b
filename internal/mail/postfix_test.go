package mail_test

import (
	"context"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/postfixtest"
)

// TestPostfix goes through a mail server that others have written: it demands TLS
// and a log-in, delivers to a Maildir each, and knows ana and boris alone.
func TestPostfix(t *testing.T) {
	p := startPostfix(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *postfixtest.Postfix)
	}{
		{"delivers what we send", func(t *testing.T, p *postfixtest.Postfix) { postfixDelivers(t, p, postfixConfig(p)) }},
		{"delivers what we send with TLS from the first byte", func(t *testing.T, p *postfixtest.Postfix) {
			c := postfixConfig(p)
			c.Port, c.ImplicitTLS = p.ImplicitPort, true
			postfixDelivers(t, p, c)
		}},
		{"refuses one recipient, and the others get theirs", postfixRefusesOne},
		{"refuses a wrong password", postfixRefusesPassword},
		{"wants STARTTLS, and we begin with TLS", postfixAnswersInClearText},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, p) })
	}
}

func postfixDelivers(t *testing.T, p *postfixtest.Postfix, c mail.Config) {
	n := review()
	n.To = []access.Principal{boris}
	if failed := mailer(t, c).Notify(t.Context(), n).Failed(); failed != nil {
		t.Fatalf("could not tell %v", failed)
	}
	p.Wait(t, "status=sent", 2)
	for _, who := range []string{"ana", "boris"} {
		header, parts := parse(t, p.Mail(t, who))
		if got := header.Get("Subject"); got != "ana@example.com requests access to project shop-prod" {
			t.Errorf("%s got the subject %q", who, got)
		}
		if got := header.Get("Received"); !strings.Contains(got, "with ESMTPSA id") {
			t.Errorf("%s's mail was received %q, want ESMTP over TLS with a log-in", who, got)
		}
		if len(parts) != 2 || !strings.Contains(parts[0].text, n.ReviewURL) || !strings.Contains(parts[1].text, n.ReviewURL) {
			t.Errorf("%s got the parts %v, want the link in both", who, parts)
		}
	}
}

func postfixRefusesOne(t *testing.T, p *postfixtest.Postfix) {
	failed := mailer(t, postfixConfig(p)).Notify(t.Context(), review()).Failed()
	if len(failed) != 1 || failed[0].To != chen || !strings.Contains(failed[0].Err.Error(), "550") {
		t.Errorf("undelivered %v, want chen alone", failed)
	}
	p.Wait(t, "status=sent", 2)
}

func postfixRefusesPassword(t *testing.T, p *postfixtest.Postfix) {
	c := postfixConfig(p)
	c.Login = mail.Password(func(context.Context) (string, error) { return "wrong", nil }, c.Now)
	failed := mailer(t, c).Notify(t.Context(), review()).Failed()
	wantUndelivered(t, failed, access.Upstream)
	if text := failed[0].Err.Error(); !strings.Contains(text, "the log-in: 535 5.7.8") {
		t.Errorf("error is %q", text)
	}
}

func postfixAnswersInClearText(t *testing.T, p *postfixtest.Postfix) {
	c := postfixConfig(p)
	c.ImplicitTLS = true
	failed := mailer(t, c).Notify(t.Context(), review()).Failed()
	wantUndelivered(t, failed, access.Upstream)
	if text := failed[0].Err.Error(); !strings.Contains(text, "clear text") {
		t.Errorf("error is %q", text)
	}
}

func startPostfix(t *testing.T) *postfixtest.Postfix {
	return postfixtest.Start(t, postfixtest.Options{Mailboxes: []string{"ana", "boris"}})
}

func postfixConfig(p *postfixtest.Postfix) mail.Config {
	return config("127.0.0.1", p.Port, p.TLS.Roots)
}
