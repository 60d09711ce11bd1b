package config_test

import (
	"strings"
	"testing"

	"jitaccess/internal/config"
)

const (
	mailOn  = "SMTP_SENDER_ADDRESS=JIT@example.com"
	byToken = "SMTP_AUTH=oauth2"
	secret  = "SMTP_OAUTH_CLIENT_SECRET=hunter2"
)

// Each complete set of variables, and what follows from it.
func TestMailOAuth_Flows(t *testing.T) {
	for _, c := range []struct {
		name string
		env  []string
		want config.MailLogin
		// follows is "mailbox host token-URL scope".
		follows string
	}{
		{"Microsoft 365", []string{"SMTP_OAUTH_TENANT=contoso.example", "SMTP_OAUTH_CLIENT_ID=app", secret}, config.ClientCredentials,
			"jit@example.com smtp.office365.com https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token https://outlook.office365.com/.default"},
		{"Microsoft 365 for another mailbox", []string{"SMTP_OAUTH_TENANT=72f988bf-86f1-41af-91ab-2d7cd011db47", "SMTP_OAUTH_CLIENT_ID=app", secret, "SMTP_USERNAME=shared@example.com"}, config.ClientCredentials,
			"shared@example.com smtp.office365.com https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/oauth2/v2.0/token https://outlook.office365.com/.default"},
		{"Microsoft 365 through another server", []string{"SMTP_OAUTH_TENANT=t", "SMTP_OAUTH_CLIENT_ID=app", secret, "SMTP_HOST=relay.example.com"}, config.ClientCredentials,
			"jit@example.com relay.example.com https://login.microsoftonline.com/t/oauth2/v2.0/token https://outlook.office365.com/.default"},
		{"Microsoft 365, the server by an option", []string{"SMTP_OAUTH_TENANT=t", "SMTP_OAUTH_CLIENT_ID=app", secret, "SMTP_OPTIONS=mail.smtp.host=relay.example.com"}, config.ClientCredentials,
			"jit@example.com relay.example.com https://login.microsoftonline.com/t/oauth2/v2.0/token https://outlook.office365.com/.default"},
		{"a national cloud of Microsoft's", []string{"SMTP_OAUTH_TENANT=t", "SMTP_OAUTH_CLIENT_ID=app", secret, "SMTP_OAUTH_TOKEN_URL=https://login.microsoftonline.us/t/oauth2/v2.0/token",
			"SMTP_OAUTH_SCOPE=https://outlook.office365.us/.default", "SMTP_HOST=smtp.office365.us"}, config.ClientCredentials,
			"jit@example.com smtp.office365.us https://login.microsoftonline.us/t/oauth2/v2.0/token https://outlook.office365.us/.default"},
		{"Microsoft 365 by consent", []string{"SMTP_OAUTH_TENANT=common", "SMTP_OAUTH_CLIENT_ID=app", secret, "SMTP_OAUTH_REFRESH_TOKEN=1//r", "SMTP_OAUTH_SCOPE=https://outlook.office.com/SMTP.Send"}, config.RefreshToken,
			"jit@example.com smtp.office365.com https://login.microsoftonline.com/common/oauth2/v2.0/token https://outlook.office.com/SMTP.Send"},
		{"Google by consent", []string{"SMTP_OAUTH_CLIENT_ID=app", secret, "SMTP_OAUTH_REFRESH_TOKEN=projects/p/secrets/s/versions/latest"}, config.RefreshToken,
			"jit@example.com smtp.gmail.com  "},
		{"another provider by consent", []string{"SMTP_OAUTH_CLIENT_ID=app", secret, "SMTP_OAUTH_REFRESH_TOKEN=r", "SMTP_OAUTH_TOKEN_URL=https://login.example.com/token", "SMTP_HOST=mail.example.com"}, config.RefreshToken,
			"jit@example.com mail.example.com https://login.example.com/token "},
		{"another provider", []string{"SMTP_OAUTH_CLIENT_ID=app", secret, "SMTP_OAUTH_TOKEN_URL=https://login.example.com/token?v=1", "SMTP_OAUTH_SCOPE=a b", "SMTP_HOST=mail.example.com"}, config.ClientCredentials,
			"jit@example.com mail.example.com https://login.example.com/token?v=1 a b"},
		{"a provider on this machine", []string{"SMTP_OAUTH_CLIENT_ID=app", secret, "SMTP_OAUTH_TOKEN_URL=http://127.0.0.1:8090/token", "SMTP_OAUTH_SCOPE=a", "SMTP_HOST=localhost"}, config.ClientCredentials,
			"jit@example.com localhost http://127.0.0.1:8090/token a"},
		{"domain-wide delegation", nil, config.Delegation, "jit@example.com smtp.gmail.com  https://mail.google.com/"},
		{"domain-wide delegation through the relay", []string{"SMTP_HOST=SMTP-relay.gmail.com"}, config.Delegation, "jit@example.com SMTP-relay.gmail.com  https://mail.google.com/"},
		{"domain-wide delegation on this machine", []string{"SMTP_HOST=127.0.0.1", "SMTP_USERNAME=box@example.com"}, config.Delegation, "box@example.com 127.0.0.1  https://mail.google.com/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustRead(t, append([]string{mailOn, byToken}, c.env...)...)
			follows := strings.Join([]string{got.Mail.Username, got.Mail.Host, got.MailOAuth.TokenURL, got.MailOAuth.Scope}, " ")
			if got.MailLogin() != c.want || follows != c.follows || len(got.Warnings) > 0 {
				t.Errorf("got %v: %s, warnings %q", got.MailLogin(), follows, got.Warnings)
			}
		})
	}
}

func TestMailLogin_WithoutTokens(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want string
	}{
		{[]string{byToken}, "none"}, // no mail at all
		{[]string{mailOn}, "none"},
		{[]string{mailOn, "SMTP_USERNAME=jit"}, "none"},
		{[]string{mailOn, "SMTP_USERNAME=jit", "SMTP_PASSWORD=hunter2"}, "password"},
		{[]string{mailOn, "SMTP_USERNAME=jit", "SMTP_SECRET=projects/p/secrets/s/versions/1", "SMTP_AUTH=Password"}, "password"},
		{[]string{mailOn, "SMTP_USERNAME=jit", "SMTP_PASSWORD=hunter2", "SMTP_OPTIONS=mail.smtp.auth=false"}, "none"},
		{[]string{mailOn, "SMTP_AUTH= OAuth2 "}, "oauth2, domain-wide delegation"},
	} {
		if got := mustRead(t, c.env...).MailLogin().String(); got != c.want {
			t.Errorf("%q: %s", c.env, got)
		}
	}
}

func TestMailOAuth_Faults(t *testing.T) {
	id := "SMTP_OAUTH_CLIENT_ID=app"
	url := "SMTP_OAUTH_TOKEN_URL=https://login.example.com/token"
	for _, c := range []struct {
		env      []string
		variable string
		says     string
	}{
		{[]string{"SMTP_AUTH=xoauth2"}, "SMTP_AUTH", "password or oauth2"},
		{[]string{byToken, "SMTP_HOST=mail.example.com"}, "SMTP_OAUTH_CLIENT_ID", "which only smtp.gmail.com and smtp-relay.gmail.com take, and not mail.example.com"},
		{[]string{byToken, "SMTP_HOST=smtp.gmail.com.example.com"}, "SMTP_OAUTH_CLIENT_ID", ""},
		{[]string{byToken, "SMTP_OAUTH_TENANT=t"}, "SMTP_OAUTH_CLIENT_ID", "SMTP_OAUTH_TENANT without it has no meaning"},
		{[]string{byToken, secret, "SMTP_OAUTH_REFRESH_TOKEN=r"}, "SMTP_OAUTH_CLIENT_ID", "SMTP_OAUTH_CLIENT_SECRET and SMTP_OAUTH_REFRESH_TOKEN"},
		{[]string{byToken, url}, "SMTP_OAUTH_CLIENT_ID", "SMTP_OAUTH_TOKEN_URL"},
		{[]string{byToken, id, "SMTP_OAUTH_TENANT=t"}, "SMTP_OAUTH_CLIENT_SECRET", "SMTP_OAUTH_CLIENT_ID needs it"},
		{[]string{byToken, id, secret}, "SMTP_OAUTH_TOKEN_URL", "neither SMTP_OAUTH_TENANT nor SMTP_OAUTH_REFRESH_TOKEN"},
		{[]string{byToken, id, secret, url}, "SMTP_OAUTH_SCOPE", "for what"},
		{[]string{byToken, id, secret, "SMTP_OAUTH_REFRESH_TOKEN=r", "SMTP_HOST=smtp.office365.com"}, "SMTP_OAUTH_TOKEN_URL", "smtp.office365.com is not Google's mail server"},
		{[]string{byToken, id, secret, "SMTP_OAUTH_TENANT=t", "SMTP_HOST=smtp.gmail.com"}, "SMTP_HOST", ""},
		{[]string{byToken, id, secret, "SMTP_OAUTH_TENANT=t", "SMTP_OPTIONS=mail.smtp.host=smtp.gmail.com"}, "SMTP_OPTIONS", "because of SMTP_OAUTH_TENANT"},
		{[]string{byToken, id, secret, "SMTP_OAUTH_TENANT=Common"}, "SMTP_OAUTH_TENANT", "logs in to one of them"},
		{[]string{byToken, id, secret, "SMTP_OAUTH_TENANT=a/b"}, "SMTP_OAUTH_TENANT", "tenant of Microsoft Entra"},
		{[]string{byToken, id, secret, "SMTP_OAUTH_TENANT=../x"}, "SMTP_OAUTH_TENANT", ""},
		{[]string{byToken, id, "SMTP_OAUTH_TENANT=t", "SMTP_OAUTH_CLIENT_SECRET=projects/p/secrets/s"}, "SMTP_OAUTH_CLIENT_SECRET", "is [redacted]"},
		{[]string{byToken, "SMTP_OPTIONS=mail.smtp.auth=false"}, "SMTP_OPTIONS", "mail.smtp.auth must be true"},
		{[]string{byToken, "SMTP_USERNAME=jit\x01auth=Bearer x"}, "SMTP_USERNAME", "control characters"},

		{[]string{byToken, id, secret, "SMTP_OAUTH_SCOPE=a", "SMTP_OAUTH_TOKEN_URL=http://login.example.com/token"}, "SMTP_OAUTH_TOKEN_URL", "http only for a loopback host"},
		{[]string{byToken, id, secret, "SMTP_OAUTH_SCOPE=a", "SMTP_OAUTH_TOKEN_URL=http://127.0.0.1.example.com/"}, "SMTP_OAUTH_TOKEN_URL", ""},
		{[]string{byToken, id, secret, "SMTP_OAUTH_SCOPE=a", "SMTP_OAUTH_TOKEN_URL=login.example.com/token"}, "SMTP_OAUTH_TOKEN_URL", ""},
		{[]string{byToken, id, secret, "SMTP_OAUTH_SCOPE=a", "SMTP_OAUTH_TOKEN_URL=https://"}, "SMTP_OAUTH_TOKEN_URL", ""},
		{[]string{byToken, id, secret, "SMTP_OAUTH_SCOPE=a", "SMTP_OAUTH_TOKEN_URL=https://a:hunter2@login.example.com/"}, "SMTP_OAUTH_TOKEN_URL", "is [redacted]"},
		{[]string{byToken, id, secret, "SMTP_OAUTH_SCOPE=a", "SMTP_OAUTH_TOKEN_URL=https://login.example.com/#x"}, "SMTP_OAUTH_TOKEN_URL", ""},
		{[]string{byToken, id, secret, "SMTP_OAUTH_SCOPE=a", "SMTP_OAUTH_TOKEN_URL=https://login.example.com/\nX: y"}, "SMTP_OAUTH_TOKEN_URL", ""},
		{[]string{byToken, id, secret, "SMTP_OAUTH_SCOPE=a", "SMTP_OAUTH_TOKEN_URL=file:///etc/passwd"}, "SMTP_OAUTH_TOKEN_URL", ""},
	} {
		t.Run(strings.Join(c.env, " "), func(t *testing.T) {
			found := faults(t, with(append([]string{mailOn}, c.env...)...))
			if len(found) != 1 || found[0].Variable != c.variable || !strings.Contains(found[0].Error(), c.says) {
				t.Fatalf("got %v, want one fault of %s with %q", found, c.variable, c.says)
			}
			if strings.Contains(found[0].Error(), "hunter2") {
				t.Errorf("shows a secret: %v", found[0])
			}
		})
	}
}

func TestMailOAuth_Warnings(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want string // the beginning of the one warning
	}{
		{[]string{"SMTP_OAUTH_TENANT=t", "SMTP_OAUTH_CLIENT_ID=app"}, "SMTP_OAUTH_TENANT, SMTP_OAUTH_CLIENT_ID: no effect without SMTP_AUTH=oauth2"},
		{[]string{"SMTP_AUTH=password", "SMTP_OAUTH_SCOPE=a"}, "SMTP_OAUTH_SCOPE: no effect without SMTP_AUTH=oauth2"},
		{[]string{byToken, "SMTP_PASSWORD=hunter2", "SMTP_SECRET=projects/p/secrets/s/versions/1"}, "SMTP_PASSWORD, SMTP_SECRET: no effect with SMTP_AUTH=oauth2"},
		{[]string{"SMTP_OPTIONS=mail.smtp.auth.mechanisms=PLAIN XOAUTH2"}, "SMTP_OPTIONS: mail.smtp.auth.mechanisms names XOAUTH2, which has no effect; set SMTP_AUTH=oauth2"},
		{[]string{byToken, "SMTP_OPTIONS=mail.smtp.auth.mechanisms=XOAUTH2 PLAIN"}, "SMTP_OPTIONS: mail.smtp.auth.mechanisms names mechanisms other than XOAUTH2"},
	} {
		t.Run(strings.Join(c.env, " "), func(t *testing.T) {
			got := mustRead(t, append([]string{mailOn}, c.env...)...).Warnings
			if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
				t.Errorf("got %q, want one that begins with %q", got, c.want)
			}
		})
	}
	quiet := mustRead(t, mailOn, byToken, "SMTP_OPTIONS=mail.smtp.auth=true,mail.smtp.auth.mechanisms=XOAUTH2")
	if len(quiet.Warnings) > 0 || quiet.Mail.Options.Mechanisms != nil {
		t.Errorf("%q, %q", quiet.Warnings, quiet.Mail.Options.Mechanisms)
	}
}
