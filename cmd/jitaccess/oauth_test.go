package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/oauth"
	"jitaccess/internal/oauth/oauthtest"
	"jitaccess/internal/sandbox/google"
)

// secretPath is where the first version of a secret of the world lies.
func secretPath(name string) string {
	return "projects/example-jitaccess/secrets/" + name + "/versions/1"
}

// TestMailByOAuth is the whole stack before a real OAuth server and a mail server that
// verifies its tokens: somebody asks for access, and the reviewer gets the mail.
func TestMailByOAuth(t *testing.T) {
	p := oauthtest.Start(t)
	const wrong = "CANARY"
	for _, test := range []struct {
		name        string
		environment map[string]string
		secrets     map[string]string
		says        []string // of the log, when nobody is reached
	}{
		{name: "client credentials", environment: map[string]string{"SMTP_OAUTH_CLIENT_ID": oauthtest.Basic}},
		{name: "the secret among the parameters", environment: map[string]string{"SMTP_OAUTH_CLIENT_ID": oauthtest.Post, "SMTP_OAUTH_CLIENT_SECRET": oauthtest.Secret}},
		{name: "refresh token", environment: map[string]string{"SMTP_OAUTH_CLIENT_ID": oauthtest.Consented, "SMTP_OAUTH_REFRESH_TOKEN": secretPath("refresh"), "SMTP_OAUTH_SCOPE": ""},
			secrets: map[string]string{"refresh": p.RefreshToken + "\n"}},
		{name: "wrong client secret", environment: map[string]string{"SMTP_OAUTH_CLIENT_ID": oauthtest.Basic}, secrets: map[string]string{"client": wrong},
			says: []string{"answered 401: invalid_client", "client authentication failed"}},
		{name: "a secret of two lines", environment: map[string]string{"SMTP_OAUTH_CLIENT_ID": oauthtest.Basic}, secrets: map[string]string{"client": wrong + "\nwrong"},
			says: []string{"the client secret has a line break or NUL within", "each as one line."}},
		{name: "a refresh token that is none", environment: map[string]string{"SMTP_OAUTH_CLIENT_ID": oauthtest.Consented, "SMTP_OAUTH_REFRESH_TOKEN": wrong},
			says: []string{"answered 400: invalid_grant"}},
		{name: "a secret that is not there", environment: map[string]string{"SMTP_OAUTH_CLIENT_ID": oauthtest.Basic, "SMTP_OAUTH_CLIENT_SECRET": secretPath("nothing")},
			says: []string{"Secret Manager", "A secret that is needed for an access token cannot be read."}},
		{name: "an application that may not use the mailbox", environment: map[string]string{"SMTP_OAUTH_CLIENT_ID": oauthtest.Opaque},
			says: []string{"the log-in: 535", "(of the token: status 400) (scheme Bearer)"}},
		{name: "another mailbox than consented", environment: map[string]string{"SMTP_OAUTH_CLIENT_ID": oauthtest.Consented, "SMTP_OAUTH_REFRESH_TOKEN": p.RefreshToken, "SMTP_USERNAME": "boss@example.com"},
			says: []string{"the log-in: 535", "its token is for", "boss@example.com"}},
		{name: "the address of something else", environment: map[string]string{"SMTP_OAUTH_CLIENT_ID": oauthtest.Basic, "SMTP_OAUTH_TOKEN_URL": p.Issuer + "/jwks"},
			says: []string{"answered 404: invalid_request"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tokens []string
			environment := map[string]string{
				"SMTP_AUTH": "oauth2", "SMTP_USERNAME": "", "SMTP_SECRET": "", "SMTP_SENDER_ADDRESS": oauthtest.Mailbox,
				"SMTP_OAUTH_TOKEN_URL": p.TokenURL(), "SMTP_OAUTH_SCOPE": "mail", "SMTP_OAUTH_CLIENT_SECRET": secretPath("client")}
			maps.Copy(environment, test.environment)
			secrets := map[string]string{"client": oauthtest.Secret + "\n"}
			maps.Copy(secrets, test.secrets)
			w := newWorld(t, surroundings{environment: environment, mail: smtptest.Options{VerifyToken: func(username, token string) error {
				tokens = append(tokens, token)
				return p.Verify(username, token, oauthtest.Basic, oauthtest.Post)
			}}})
			for name, value := range secrets {
				w.cloud.AddSecret(name, []byte(value))
			}
			a := w.api(alice, askURL, askBody(nil))
			told := !strings.Contains(a.body, "could not be told")
			if a.status != 200 || a.ReviewURL == "" || told != (test.says == nil) || told != (len(w.mail.Messages()) == 1) {
				t.Fatalf("%d %s, %d mails; log: %s", a.status, a.body, len(w.mail.Messages()), w.log)
			}
			if !told && !w.logged(test.says...) {
				t.Errorf("the log does not say %q: %s", test.says, w.log)
			}
			if !w.logged("runtime.startup", `"mail_login":"oauth2, `) {
				t.Errorf("the start does not say how: %s", w.log)
			}
			for _, secret := range append(tokens, wrong, oauthtest.Secret, p.RefreshToken) {
				if strings.Contains(w.log.String()+a.body, secret) {
					t.Errorf("%.20q... is shown", secret)
				}
			}
		})
	}
}

const mailScope = "https://mail.google.com/"

// delegation is a world whose service account may act for the mailbox, and whose mail
// server takes the tokens that Google has issued for that.
// refuse has it refuse the last one from then on.
func delegation(t *testing.T, change func(*google.Organization)) (w *world, refuse func()) {
	var mutex sync.Mutex
	var last, refused string
	w = newWorld(t, surroundings{
		inStep: true,
		organization: func(o *google.Organization) {
			o.People = append(o.People, google.Person{Name: "JIT Access", Email: "jitaccess@example.com", Subject: "accounts.google.com:jitaccess@example.com"})
			o.Delegations = []google.Delegation{{ServiceAccount: o.ServiceAccount, Scopes: []string{mailScope}}}
			if change != nil {
				change(o)
			}
		},
		environment: map[string]string{"SMTP_AUTH": "oauth2", "SMTP_USERNAME": "", "SMTP_SECRET": ""},
		mail: smtptest.Options{VerifyToken: func(username, token string) error {
			mutex.Lock()
			defer mutex.Unlock()
			last = token
			email, scopes, ok := w.cloud.Holder(token)
			if !ok || email != username || !slices.Equal(scopes, []string{mailScope}) || token == refused {
				return fmt.Errorf("%s of %s", scopes, email)
			}
			return nil
		}},
	})
	return w, func() { mutex.Lock(); defer mutex.Unlock(); refused = last }
}

// TestMailByDelegation: the service account signs for itself, so no key and no
// password exists; and a token is fetched once an hour, not once a mail.
func TestMailByDelegation(t *testing.T) {
	w, refuse := delegation(t, nil)
	const exchange, sign = "POST /token", "POST /v1/projects/-/serviceAccounts/{account}:signJwt"
	w.cloud.Calls().Reset()
	asked := 0
	step := func(what string, tokens int) {
		t.Helper()
		a := w.api(alice, askURL, askBody(nil))
		asked++
		if a.status != 200 || strings.Contains(a.body, "could not be told") || len(w.mail.Messages()) != asked {
			t.Errorf("%s: %d %s, %d mails; log: %s", what, a.status, a.body, len(w.mail.Messages()), w.log)
		}
		// Each request is signed too.
		if got, signed := w.cloud.Calls().Count(exchange), w.cloud.Calls().Count(sign); got != tokens || signed != tokens+asked {
			t.Errorf("%s: %d tokens, %d signatures; want %d and %d", what, got, signed, tokens, tokens+asked)
		}
	}
	step("first", 1)
	for range 10 {
		w.pass(5 * time.Minute)
		step("within the hour", 1)
	}
	w.pass(5 * time.Minute)
	step("after 55 minutes", 2)
	w.pass(time.Minute)
	refuse()
	step("after a refusal", 3)
	if !w.logged("runtime.startup", "oauth2, domain-wide delegation") {
		t.Errorf("log: %s", w.log)
	}
}

func TestMailByDelegation_OneTokenForMailsAtOnce(t *testing.T) {
	w, _ := delegation(t, nil)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { w.api(alice, askURL, askBody(nil)) })
	}
	all.Wait()
	if got := w.cloud.Calls().Count("POST /token"); got != 1 || len(w.mail.Messages()) != 10 {
		t.Errorf("%d tokens, %d mails; log: %s", got, len(w.mail.Messages()), w.log)
	}
}

func TestMailByDelegation_Refusals(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*google.Organization)
		says   string
	}{
		"not delegated":         {func(o *google.Organization) { o.Delegations = nil }, "answered 401: unauthorized_client: "},
		"for another scope":     {func(o *google.Organization) { o.Delegations[0].Scopes = []string{google.ScopePubSub} }, "unauthorized_client"},
		"there is no such user": {func(o *google.Organization) { o.People = o.People[:len(o.People)-1] }, "answered 400: invalid_grant: "},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := delegation(t, test.change)
			a := w.api(alice, askURL, askBody(nil))
			if a.status != 200 || !strings.Contains(a.body, "could not be told") || w.mail.Connections() != 0 || !w.logged(test.says) {
				t.Errorf("%d %s; log: %s", a.status, a.body, w.log)
			}
		})
	}
}

// Where the secrets of each way are sent, and for what.
func TestWhereTokensComeFrom(t *testing.T) {
	for _, test := range []struct {
		environment map[string]string
		url, scope  string
	}{
		{nil, oauth.Google, mailScope},
		{map[string]string{"SMTP_OAUTH_REFRESH_TOKEN": "r"}, oauth.Google, ""},
		{map[string]string{"SMTP_OAUTH_REFRESH_TOKEN": "r", "SMTP_OAUTH_TOKEN_URL": "https://login.example.com/"}, "https://login.example.com/", ""},
		{map[string]string{"SMTP_OAUTH_TENANT": "contoso.example"}, "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token", "https://outlook.office365.com/.default"},
	} {
		environment := map[string]string{"K_SERVICE": "jitaccess", "SMTP_SENDER_ADDRESS": "jit@example.com", "SMTP_AUTH": "oauth2"}
		if test.environment != nil {
			environment["SMTP_OAUTH_CLIENT_ID"], environment["SMTP_OAUTH_CLIENT_SECRET"] = "app", "x"
			maps.Copy(environment, test.environment)
		}
		c, err := config.Read(func(name string) string { return environment[name] })
		if err != nil {
			t.Fatal(err)
		}
		got := oauthConfig(c, c.MailLogin(), &cloud{Platform: &gcp.Platform{ServiceAccount: "jit@acme.iam.gserviceaccount.com"}})
		if got.TokenURL != test.url || got.Scope != test.scope ||
			(got.Assertion != nil) != (test.environment == nil) || (got.RefreshToken != nil) != (environment["SMTP_OAUTH_REFRESH_TOKEN"] != "") {
			t.Errorf("%v: %+v", test.environment, got)
		}
	}
}
