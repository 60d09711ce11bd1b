package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/oauth"
	"jitaccess/internal/oauth/oauthtest"
)

// TestProvider gets tokens from a real OAuth server, and logs in with them at a mail
// server that verifies them there.
func TestProvider(t *testing.T) {
	p := oauthtest.Start(t)
	application := func(id string) oauth.Config {
		return oauth.Config{TokenURL: p.TokenURL(), Scope: "mail", Mailbox: oauthtest.Mailbox, ClientID: id,
			ClientSecret: constant(oauthtest.Secret), Now: time.Now}
	}
	var sent []string
	var revoked string
	server := smtptest.Start(t, smtptest.Options{VerifyToken: func(username, token string) error {
		sent = append(sent, token)
		if err := p.Verify(username, token, oauthtest.Basic, oauthtest.Post, oauthtest.Opaque); err != nil {
			revoked = token
			return err
		}
		return nil
	}})
	mailer := func(t *testing.T, mailbox string, s *oauth.Source) *mail.Mailer {
		t.Helper()
		m, err := mail.New(mail.Config{Sender: mailbox, Host: server.Host, Port: server.Port, Roots: server.Roots,
			Username: mailbox, Login: s, Token: true, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	probe := func(t *testing.T, c oauth.Config) error {
		t.Helper()
		return mailer(t, c.Mailbox, newSource(t, c)).Probe(t.Context(), "ana@example.com", func(string, string) {})
	}

	for _, id := range []string{oauthtest.Basic, oauthtest.Post, oauthtest.Opaque} {
		t.Run("client credentials, "+id, func(t *testing.T) {
			if err := probe(t, application(id)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("refresh token", func(t *testing.T) {
		c := application(oauthtest.Consented)
		c.RefreshToken = constant(p.RefreshToken)
		for range 2 { // it stays good
			if err := probe(t, c); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("refresh tokens that serve once", func(t *testing.T) {
		c := application(oauthtest.Rotating)
		c.RefreshToken, c.Scope = constant(p.RotatingToken), ""
		warned := 0
		c.Warn = func(string) { warned++ }
		s := newSource(t, c)
		first, err := s.Fresh(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		second, err := s.Fresh(t.Context())
		if err != nil || first == second || warned != 2 || p.Verify(oauthtest.Mailbox, second) != nil {
			t.Errorf("%v after %d warnings", err, warned)
		}
		// Who begins with the first one again is taken for a thief, and the consent is
		// over.
		_, err = newSource(t, c).Secret(t.Context(), "")
		wantFault(t, err, "invalid_grant", "answered 400: invalid_grant")
	})
	t.Run("another mailbox than consented", func(t *testing.T) {
		c := application(oauthtest.Consented)
		c.RefreshToken, c.Mailbox = constant(p.RefreshToken), "boss@example.com"
		failed := mailer(t, c.Mailbox, newSource(t, c)).Notify(t.Context(), notice()).Failed()
		if len(failed) != 1 {
			t.Fatalf("undelivered %v", failed)
		}
		wantFault(t, failed[0].Err, oauth.CodeOtherMailbox, `its token is for "jitaccess@example.com", and the log-in for "boss@example.com"`)
		if !strings.Contains(failed[0].Err.Error(), "the log-in: 535") {
			t.Errorf("%v", failed[0].Err)
		}
		wantFault(t, probe(t, c), oauth.CodeOtherMailbox, "the log-in: 535")
	})
	for _, test := range []struct {
		name       string
		change     func(*oauth.Config)
		code, says string
	}{
		{"wrong client secret", func(c *oauth.Config) { c.ClientSecret = constant("CANARY") }, "invalid_client", `answered 401: invalid_client: "client authentication failed"`},
		{"unknown application", func(c *oauth.Config) { c.ClientID = "nobody" }, "invalid_client", ""},
		{"wrong refresh token", func(c *oauth.Config) { c.ClientID, c.RefreshToken = oauthtest.Consented, constant("CANARY") }, "invalid_grant", "answered 400"},
		{"a grant that it may not use", func(c *oauth.Config) { c.ClientID = oauthtest.Consented }, "invalid_request", "not allowed for this client"},
		{"another address of the server", func(c *oauth.Config) { c.TokenURL = p.Issuer + "/nothing" }, "invalid_request", "answered 404"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := application(oauthtest.Basic)
			test.change(&c)
			_, err := newSource(t, c).Secret(t.Context(), "")
			wantFault(t, err, test.code, test.says)
		})
	}
	t.Run("a revoked token", func(t *testing.T) {
		now := time.Now()
		c := application(oauthtest.Opaque)
		c.Now = func() time.Time { return now }
		s := newSource(t, c)
		token, err := s.Secret(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		p.Revoke(t, oauthtest.Opaque, token)
		now = now.Add(time.Minute)
		before := len(server.Messages())
		failed := mailer(t, c.Mailbox, s).Notify(t.Context(), notice()).Failed()
		if failed != nil || len(server.Messages()) != before+1 || revoked != token || sent[len(sent)-1] == token {
			t.Errorf("undelivered %v, refused %q, then sent %q", failed, revoked, sent[len(sent)-1])
		}
	})
}

// notice asks somebody for a review.
func notice() access.Notice {
	return access.Notice{
		Kind: access.NoticeReview, To: []access.Principal{"ana@example.com"},
		Request: access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Principal: "ben@example.com", Resource: "projects/shop-prod", Justification: "Bug 4711",
			Entitlements: []access.EntitlementID{{Resource: "projects/shop-prod", Role: "roles/compute.admin"}}, Duration: time.Hour},
		Roles:     []access.RoleInfo{{Role: "roles/compute.admin"}},
		ReviewURL: "https://jit.example.com/review?activation=x", BaseURL: "https://jit.example.com/",
	}
}

// What Exchange Online says of a token without the role is a bare 535; the token says
// why, and the operator reads what to do.
func TestATokenWithoutTheRoleIsExplained(t *testing.T) {
	e := newEndpoint(t, func(w http.ResponseWriter, _ question) {
		issue(w, map[string]any{"access_token": jwt(`{"appid":"app","tid":"t"}`), "token_type": "Bearer", "expires_in": 3600})
	})
	server := smtptest.Start(t, smtptest.Options{VerifyToken: func(string, string) error { return errors.New("no") }})
	m, err := mail.New(mail.Config{Sender: "jit@example.com", Host: server.Host, Port: server.Port, Roots: server.Roots,
		Username: "jit@example.com", Login: newSource(t, e.config()), Token: true, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	failed := m.Notify(t.Context(), notice()).Failed()
	if len(failed) != 1 {
		t.Fatalf("undelivered %v", failed)
	}
	text := failed[0].Err.Error()
	for _, says := range []string{"its token lacks the role SMTP.SendAsApp", "Entra admin center", "grant admin consent", "wanted because of: mail: the log-in: 535"} {
		if !strings.Contains(text, says) {
			t.Errorf("%s\ndoes not say %q", text, says)
		}
	}
}

// If the judge took anything, the other test would say nothing.
func TestProvider_TheMailServerJudges(t *testing.T) {
	p := oauthtest.Start(t)
	c := oauth.Config{TokenURL: p.TokenURL(), Scope: "mail", Mailbox: oauthtest.Mailbox, ClientID: oauthtest.Basic,
		ClientSecret: constant(oauthtest.Secret), Now: time.Now}
	token, err := newSource(t, c).Secret(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(oauthtest.Mailbox, token, oauthtest.Basic); err != nil {
		t.Error(err)
	}
	parts := strings.Split(token, ".")
	for name, forged := range map[string]string{
		"no signature":       parts[0] + "." + parts[1] + ".",
		"another signature":  parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])),
		"alg none":           "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		"nobody's":           "opaque",
		"claims of somebody": jwt(`{"upn":"jitaccess@example.com"}`),
	} {
		if p.Verify(oauthtest.Mailbox, forged, oauthtest.Basic) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if p.Verify(oauthtest.Mailbox, token, oauthtest.Post) == nil {
		t.Error("an application that may not use the mailbox was let in")
	}
}

// Where packages come from is the business of who installs them.
func TestTheLockNamesNoHost(t *testing.T) {
	lock, err := os.ReadFile("testdata/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(lock), `"resolved"`) || !strings.Contains(string(lock), `"integrity": "sha512-`) {
		t.Error("npm install was run without the settings in testdata/.npmrc")
	}
}
