package sandbox_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"jitaccess/internal/sandbox"
)

// claims returns the claims of an assertion without judging it.
func claims(t *testing.T, assertion string) map[string]any {
	t.Helper()
	parts := strings.Split(strings.TrimSpace(assertion), ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", assertion)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func smtpAddress(s *sandbox.Sandbox) string {
	return net.JoinHostPort(s.Environment()["SMTP_HOST"], s.Environment()["SMTP_PORT"])
}

// dialTLS switches to TLS as a careful mailer does.
func dialTLS(t *testing.T, s *sandbox.Sandbox) *smtp.Client {
	t.Helper()
	connection, err := net.Dial("tcp", smtpAddress(s))
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClientStartTLS(connection, &tls.Config{ServerName: "localhost", RootCAs: s.MailRoots()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

const twoParts = "From: JIT Access <jitaccess@example.com>\r\n" +
	"To: =?utf-8?q?Ren=C3=A9?= <%s>\r\n" +
	"Subject: =?utf-8?q?Zugriff_f=C3=BCr_<b>?=\r\n" +
	"X-Kept: as it was\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/alternative; boundary=b1\r\n\r\n" +
	"--b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nOpen http://localhost:1/?activation=x now <script>\r\n" +
	"--b1\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"<html><head><title>t</title></head><body><a href=3D\"http://localhost:1/?activation=3Dx\">Review</a></body></html>\r\n" +
	"--b1--\r\n"

// secretPassword reads the password where the service reads it.
func secretPassword(t *testing.T, s *sandbox.Sandbox) string {
	t.Helper()
	environment := s.Environment()
	token, err := s.Cloud().IssueToken(s.Cloud().ServiceAccount())
	if err != nil {
		t.Fatal(err)
	}
	response, body := do(t, http.DefaultClient, "GET",
		environment["JITACCESS_GOOGLE_ENDPOINT"]+"/v1/"+environment["SMTP_SECRET"]+":access", "", "Authorization", "Bearer "+token)
	var answer struct{ Payload struct{ Data []byte } }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("the secret: %d %s %v", response.StatusCode, body, err)
	}
	return strings.TrimSuffix(string(answer.Payload.Data), "\n")
}

func send(t *testing.T, s *sandbox.Sandbox, text string, to ...string) {
	t.Helper()
	c := dialTLS(t, s)
	if err := c.Auth(sasl.NewPlainClient("", s.Environment()["SMTP_USERNAME"], secretPassword(t, s))); err != nil {
		t.Fatal(err)
	}
	if err := c.SendMail(s.Environment()["SMTP_SENDER_ADDRESS"], to, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
}

func TestMailArrivesOverTLSWithThePasswordOfSecretManager(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<body>the service")
	})
	a, b := people(t, s)
	send(t, s, fmt.Sprintf(twoParts, a.Email), strings.ToUpper(a.Email))

	c := browser(t)
	_, page := signIn(t, c, s, a.Email, "/")
	if !strings.Contains(page, "(1 new)") {
		t.Error("the bar does not tell of the new mail")
	}
	_, page = do(t, c, "GET", s.URL()+"/sandbox/mailbox", "")
	for _, want := range []string{"Zugriff für &lt;b&gt;", "jitaccess@example.com", `href="/sandbox/mailbox/1"`, "new"} {
		if !strings.Contains(page, want) {
			t.Errorf("the mailbox lacks %q: %s", want, page)
		}
	}
	_, page = do(t, c, "GET", s.URL()+"/sandbox/mailbox/1", "")
	for _, want := range []string{
		"René &lt;" + a.Email + "&gt;", `<a href="http://localhost:1/?activation=x">`, "now &lt;script&gt;", "X-Kept: as it was",
		`src="/sandbox/mailbox/1/html" sandbox="`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the mail lacks %q: %s", want, page)
		}
	}
	if strings.Contains(page, "new)") {
		t.Error("a mail that is open counts as new")
	}

	_, page = signIn(t, c, s, b.Email, "/sandbox/mailbox")
	if strings.Contains(page, "Zugriff") {
		t.Error("a mail to one person is in the mailbox of another")
	}
	for _, path := range []string{"/sandbox/mailbox/1", "/sandbox/mailbox/1/html", "/sandbox/mailbox/2", "/sandbox/mailbox/x"} {
		if response, _ := do(t, c, "GET", s.URL()+path, ""); response.StatusCode != http.StatusNotFound {
			t.Errorf("%s of someone else: %d, want 404", path, response.StatusCode)
		}
	}
}

func TestThreat13_MailIsShownWithoutPowers(t *testing.T) {
	s := start(t, http.NotFound)
	a, _ := people(t, s)
	send(t, s, fmt.Sprintf(twoParts, a.Email), a.Email)
	c := browser(t)
	signIn(t, c, s, a.Email, "/sandbox/")
	response, page := do(t, c, "GET", s.URL()+"/sandbox/mailbox/1/html", "")
	policy := response.Header.Get("Content-Security-Policy")
	for _, want := range []string{"sandbox ", "default-src 'none'", "frame-ancestors 'self'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
	for _, never := range []string{"allow-scripts", "allow-same-origin", "allow-forms"} {
		if strings.Contains(policy, never) {
			t.Errorf("policy %q gives %s", policy, never)
		}
	}
	if !strings.Contains(page, `<head><base target="_top">`) || !strings.Contains(page, `href="http://localhost:1/?activation=x"`) {
		t.Errorf("links do not open on top: %s", page)
	}
}

func TestMailServerRefuses(t *testing.T) {
	s := start(t, http.NotFound)
	a, _ := people(t, s)
	user, password := s.Environment()["SMTP_USERNAME"], secretPassword(t, s)

	t.Run("a wrong log-in", func(t *testing.T) {
		for _, login := range [][2]string{{user, "wrong"}, {user, ""}, {user, password + "\n"}, {"other", password}, {"", ""}} {
			err := dialTLS(t, s).Auth(sasl.NewPlainClient("", login[0], login[1]))
			var refusal *smtp.SMTPError
			if !errors.As(err, &refusal) || refusal.Code != 535 {
				t.Errorf("%q: got %v, want 535", login, err)
			}
		}
	})
	t.Run("who speaks for another", func(t *testing.T) {
		if err := dialTLS(t, s).Auth(sasl.NewPlainClient("root", user, password)); err == nil {
			t.Error("want an error")
		}
	})
	t.Run("mail without a log-in", func(t *testing.T) {
		if err := dialTLS(t, s).SendMail("x@example.com", []string{a.Email}, strings.NewReader("Subject: x\r\n\r\n")); err == nil {
			t.Error("want an error")
		}
	})
	t.Run("a log-in in clear text", func(t *testing.T) {
		c, err := smtp.Dial(smtpAddress(s))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Auth(sasl.NewPlainClient("", user, password)); err == nil {
			t.Error("want an error")
		}
	})
	t.Run("a client that does not know its certificate", func(t *testing.T) {
		connection, err := net.Dial("tcp", smtpAddress(s))
		if err != nil {
			t.Fatal(err)
		}
		c, err := smtp.NewClientStartTLS(connection, &tls.Config{ServerName: "localhost", RootCAs: x509.NewCertPool()})
		if err == nil {
			err = c.Noop() // shakes hands
			c.Close()
		}
		if err == nil {
			t.Error("want an error")
		}
	})
	t.Run("a mail without end", func(t *testing.T) {
		c := dialTLS(t, s)
		if err := c.Auth(sasl.NewPlainClient("", user, password)); err != nil {
			t.Fatal(err)
		}
		body := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1<<14)
		if err := c.SendMail("x@example.com", []string{a.Email}, strings.NewReader(body)); err == nil {
			t.Error("want an error")
		}
	})
	if n := len(s.Mailbox().Inbox(a.Email)); n != 0 {
		t.Errorf("%d mails arrived", n)
	}
}

func TestMailboxForgetsTheOldest(t *testing.T) {
	s := start(t, http.NotFound)
	a, _ := people(t, s)
	c := dialTLS(t, s)
	if err := c.Auth(sasl.NewPlainClient("", s.Environment()["SMTP_USERNAME"], secretPassword(t, s))); err != nil {
		t.Fatal(err)
	}
	for i := range 501 {
		if err := c.SendMail("x@example.com", []string{a.Email}, strings.NewReader(fmt.Sprintf("Subject: %d\r\n\r\n", i))); err != nil {
			t.Fatal(err)
		}
	}
	inbox := s.Mailbox().Inbox(a.Email)
	if len(inbox) != 500 || inbox[0].ID != 501 || inbox[499].ID != 2 {
		t.Errorf("%d mails, newest %d", len(inbox), inbox[0].ID)
	}
}
