package server_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/notice"
	"jitaccess/internal/server"
)

// account is a mail account in whatever state a test wants.
type account struct {
	name string // empty is mail
	// besides are accounts on the same page.
	besides  []*account
	settings []notice.Setting
	recent   []notice.Attempt
	steps    []notice.Step
	tested   []access.Principal
}

func (a *account) Name() string               { return cmp.Or(a.name, "mail") }
func (a *account) Settings() []notice.Setting { return a.settings }
func (a *account) Recent() []notice.Attempt   { return a.recent }
func (a *account) Test(ctx context.Context, to access.Principal) []notice.Step {
	if _, ok := ctx.Deadline(); !ok {
		panic("a test message without a deadline")
	}
	a.tested = append(a.tested, to)
	return a.steps
}

var sendAsDenied = &notice.Failure{
	What:    `the sender: 550 5.7.60: "SMTP; Client does not have permissions to send as this sender"`,
	Meaning: "The account that logs in may not send as the sender.",
	Remedy:  "Set SMTP_SENDER_ADDRESS and SMTP_RETURN_PATH to the mailbox of SMTP_USERNAME, or let that mailbox send as the sender: Exchange admin center, Recipients, Mailboxes, the sender's, Delegation, Send as.",
	Err:     &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed, Err: errors.New("550 5.7.60 the cause")},
}

// newAccount is a believable one whose test message arrives.
func newAccount() *account {
	return &account{
		settings: []notice.Setting{
			{Name: "Sender", Value: "JIT Access <access@example.com>", Variables: "SMTP_SENDER_NAME, SMTP_SENDER_ADDRESS"},
			{Name: "Server", Value: "smtp.office365.com:587, STARTTLS demanded", Variables: "SMTP_HOST, SMTP_PORT"},
			{Name: "Logs in", Value: "as access@example.com with an access token (XOAUTH2)", Variables: "SMTP_USERNAME, SMTP_AUTH"},
			{Name: "Client secret", Value: "set, hidden; projects/acme-access/secrets/mail-client-secret-of-the-service/versions/latest", Variables: "SMTP_OAUTH_CLIENT_SECRET"},
			{Name: "Limits", Value: "3 connections at once, 30 mails a minute", Variables: "SMTP_MAX_CONNECTIONS, SMTP_MESSAGES_PER_MINUTE"},
		},
		recent: []notice.Attempt{
			{At: noon.Add(-2 * time.Minute), Took: 412 * time.Millisecond, Kind: access.NoticeReview, To: []string{string(ben), string(carl), string(ana)}},
			{At: noon.Add(-3 * time.Hour), Took: 10 * time.Second, Kind: access.NoticeDenied, To: []string{string(ana)}, Failure: sendAsDenied},
		},
		steps: []notice.Step{
			{Name: "token", Text: "an access token could be had"}, {Name: "resolve", Text: "smtp.office365.com is 203.0.113.7, 2001:db8::7"},
			{Name: "connect", Text: "to 203.0.113.7:587"},
			{Name: "TLS", Text: `version 1.3 with a certificate for this host (for outlook.com, *.outlook.com, office365.com and 20 more, by "DigiCert Cloud Services CA-1", until 2027-03-01)`},
			{Name: "log-in", Text: "as access@example.com by XOAUTH2"},
			{Name: "accepted", Text: `the server took a mail to carl.mendes@example.com and said "OK <4F2C> [Hostname=AM6PR0102.eurprd01.prod.outlook.com]"; whether it arrives, look there`},
		},
	}
}

// everyAccount is mail with all channels beside it; of programs one is down, and one wants no more.
func everyAccount() *account {
	down := &notice.Failure{What: "siem.example.com: timed out", Meaning: "siem.example.com did not answer in time.",
		Remedy: "If it goes on, see whether a firewall lets this service reach it on port 443.", Err: errors.New("timed out")}
	space := &notice.Failure{What: "Google Chat: 403, PERMISSION_DENIED", Meaning: "The webhook may not post in the space, or was removed.",
		Remedy: "See in the space, Apps & integrations, Webhooks, whether it is there, and whether administrators let people add apps to spaces.", Err: errors.New("403")}
	at := func(kind access.NoticeKind, ago time.Duration, f *notice.Failure, to ...string) notice.Attempt {
		return notice.Attempt{At: noon.Add(-ago), Took: 230 * time.Millisecond, Kind: kind, To: to, Failure: f}
	}
	a := newAccount()
	a.besides = []*account{
		{name: "slack", settings: []notice.Setting{{Name: "Token", Value: "set, hidden; projects/acme-access/secrets/slack-token/versions/3", Variables: "SLACK_TOKEN"},
			{Name: "Channel", Value: "#access", Variables: "SLACK_CHANNEL"}}, recent: []notice.Attempt{at(access.NoticeReview, 2*time.Minute, nil, string(ben))}},
		{name: "googlechat", settings: []notice.Setting{{Name: "Webhook", Value: "set, hidden", Variables: "GOOGLE_CHAT_WEBHOOK"}},
			recent: []notice.Attempt{at(access.NoticeReview, 2*time.Minute, space)}},
		{name: "teams"},
		{name: "webhook", settings: []notice.Setting{{Name: "Addresses", Value: "set, hidden", Variables: "WEBHOOK_URL"},
			{Name: "Keys", Value: "set, hidden; projects/acme-access/secrets/webhook-keys/versions/latest", Variables: "WEBHOOK_SECRET"},
			{Name: "Programs", Value: "siem.example.com, hooks.example.com:8443 (answered 410 and gets no more)"}},
			recent: []notice.Attempt{at(access.NoticeHappened, time.Minute, down), at(access.NoticeReview, 2*time.Minute, nil)},
			steps: []notice.Step{{Name: "secret", Text: "where to could be read: siem.example.com, hooks.example.com:8443; whether messages are taken there is seen by a test message"},
				{Name: "message", Text: `chat-relay.example.com answered 200 and said "{\"error\":\"no such room\"}", which nobody here reads`}, {Name: "message", Failure: down}}},
	}
	return a
}

// asking is a request for a test message of it, and others as request makes them.
func asking(method string) *http.Request {
	r := request(method, "/notifications")
	if method == http.MethodPost {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("channel=mail")), int64(len("channel=mail"))
	}
	return r
}

func failingAccount() *account {
	a := newAccount()
	failure := *sendAsDenied
	failure.What = strings.TrimPrefix(failure.What, "the sender: ")
	a.steps = append(a.steps[:5:5], notice.Step{Name: "the sender", Failure: &failure})
	return a
}

func withAccount(a server.Account) func(*server.Config) {
	return func(c *server.Config) { c.Accounts = []server.Account{a} }
}

// Others neither see the account nor send with it.
func TestTheMailAccountIsForAdministrators(t *testing.T) {
	for _, c := range []struct {
		who  access.Principal
		fail error
		want int
	}{
		{carl, nil, 200},
		{dora, nil, 200}, // through a group
		{ana, nil, 403},
		{ben, nil, 403},
		{"", nil, 401},
		{dora, &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed, Err: errors.New("groups")}, 502},
	} {
		f, a := newWorld(t), newAccount()
		if c.fail != nil {
			f.fails["Admin"] = c.fail
		}
		h, _ := serve(t, f, withAccount(a))
		for _, method := range []string{"GET", "HEAD", "POST"} {
			r := asking(method)
			r.Header.Set(personHeader, string(c.who))
			w := do(h, r)
			if w.Code != c.want {
				t.Errorf("%s %s: %d, want %d", method, c.who, w.Code, c.want)
			}
			if c.want != 200 && strings.Contains(w.Body.String(), "office365.com") {
				t.Errorf("%s %s: shows the account", method, c.who)
			}
		}
		if sent := len(a.tested); sent != 0 && c.want != 200 || sent != 1 && c.want == 200 {
			t.Errorf("%s: %d test messages", c.who, sent)
		}
		if len(a.tested) == 1 && a.tested[0] != c.who {
			t.Errorf("sent to %s, not to the administrator", a.tested[0])
		}
	}
}

// Threat 13: what mail servers, certificates and addresses say is text on the page.
func TestThreat13_WhatMailServersSayIsText(t *testing.T) {
	for _, said := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'><svg/onload=alert(1)>`, `</style><script>x</script>`, `{{.User}}<b>`, `javascript:alert(1)`} {
		a := newAccount()
		failure := &notice.Failure{What: said, Meaning: said, Remedy: said, Err: errors.New(said)}
		a.settings = append(a.settings, notice.Setting{Name: said, Value: said, Variables: said})
		a.recent = append(a.recent, notice.Attempt{At: noon, Kind: access.NoticeKind(said), To: []string{said}, Failure: failure})
		a.steps = append(a.steps, notice.Step{Name: said, Text: said}, notice.Step{Name: said, Failure: failure})
		h, _ := serve(t, newWorld(t), withAccount(a))
		for _, method := range []string{"GET", "POST"} {
			r := asking(method)
			r.Header.Set(personHeader, string(carl))
			w := do(h, r)
			body := w.Body.String()
			for _, tag := range []string{"<script>", "<img src=x", "<svg/onload", "<b>", "javascript:alert(1)\"", "</style>"} {
				if strings.Contains(body, tag) {
					t.Errorf("%s, %q: the page has %s", method, said, tag)
				}
			}
			if w.Code != 200 || !strings.Contains(body, "alert(1)") && !strings.Contains(body, "{{.User}}") && !strings.Contains(body, "&lt;/style") {
				t.Errorf("%s, %q: %d, or it is not shown", method, said, w.Code)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s: Cache-Control %q", method, w.Header().Get("Cache-Control"))
			}
		}
	}
}

// Threat 2: only our form sends: no other type of content, and nothing that cannot be
// read; nor a page of another site, nor a look.
func TestThreat02_OnlyTheFormSendsATestMessage(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		method, site, mediaType, body string
		sent                          int
	}{
		"the form":                 {"POST", "same-origin", form, "channel=mail", 1},
		"another type":             {"POST", "same-origin", "text/plain", "channel=mail", 0},
		"JSON":                     {"POST", "same-origin", "application/json", "{}", 0},
		"no type":                  {"POST", "same-origin", "", "channel=mail", 0},
		"a form that is none":      {"POST", "same-origin", form, "channel=mail&a=%zz", 0},
		"a huge form":              {"POST", "same-origin", form, "channel=mail&" + strings.Repeat("a", 1<<20), 0},
		"another site":             {"POST", "cross-site", form, "channel=mail", 0},
		"a neighbour":              {"POST", "same-site", form, "channel=mail", 0},
		"a look":                   {"GET", "same-origin", form, "", 0},
		"a look with nothing":      {"HEAD", "none", "", "", 0},
		"an override of a look":    {"GET", "same-origin", form, "_method=POST", 0},
		"another recipient's name": {"POST", "same-origin", form, "channel=mail&to=eve%40evil.example&address=eve%40evil.example", 1},
	} {
		a := newAccount()
		h, _ := serve(t, newWorld(t), withAccount(a))
		r := httptest.NewRequest(c.method, "/notifications", strings.NewReader(c.body))
		r.Header, r.Host = request(c.method, "/").Header, "access.example.com"
		r.Header.Set(personHeader, string(carl))
		r.Header.Set("Sec-Fetch-Site", c.site)
		r.Header.Set("Content-Type", c.mediaType)
		r.Header.Set("X-HTTP-Method-Override", "POST")
		w := do(h, r)
		if len(a.tested) != c.sent || c.sent == 1 && a.tested[0] != carl || c.method == "POST" && (w.Code == 200) != (c.sent == 1) {
			t.Errorf("%s: %d, sent to %v", name, w.Code, a.tested)
		}
	}
}

// Threat 24: somebody's button, however often it is pressed, does not use up what
// the account may send.
func TestThreat24_TestMessagesAreFew(t *testing.T) {
	f, a := newWorld(t), newAccount()
	now := noon
	h, _ := serve(t, f, func(c *server.Config) { c.Accounts, c.Now = []server.Account{a}, func() time.Time { return now } })
	press := func() int {
		r := asking("POST")
		r.Header.Set(personHeader, string(carl))
		return do(h, r).Code
	}
	for range 5 {
		if code := press(); code != http.StatusOK {
			t.Fatal(code)
		}
	}
	if code := press(); code != http.StatusTooManyRequests || len(a.tested) != 5 {
		t.Errorf("the sixth: %d, %d sent", code, len(a.tested))
	}
	if now = now.Add(10 * time.Second); press() != http.StatusOK {
		t.Error("ten seconds later still none")
	}
}

// The log has what became of it, and the cause.
func TestTestMessagesAreLogged(t *testing.T) {
	for _, c := range []struct {
		account *account
		want    []string
	}{
		{newAccount(), []string{`"level":"INFO"`, `"event":"http.testMail"`, `"user":"carl.mendes@example.com"`}},
		{failingAccount(), []string{`"level":"WARN"`, `"event":"http.testMail"`, "550 5.7.60 the cause"}},
	} {
		h, log := serve(t, newWorld(t), withAccount(c.account))
		r := asking("POST")
		r.Header.Set(personHeader, string(carl))
		do(h, r)
		for line := range strings.Lines(log.String()) {
			if !strings.Contains(line, "http.testMail") {
				continue
			}
			for _, want := range c.want {
				if !strings.Contains(line, want) {
					t.Errorf("lacks %s: %s", want, line)
				}
			}
		}
		if strings.Count(log.String(), "http.testMail") != 1 {
			t.Errorf("log:\n%s", log)
		}
	}
}

// Whom ADMINS names in person is led to the page; for nobody is a call made to find
// that out.
func TestAdministratorsAreLedToTheMailAccount(t *testing.T) {
	for who, want := range map[access.Principal]bool{carl: true, dora: false, ana: false} {
		f := newWorld(t)
		f.fails["Admin"] = errors.New("nobody may ask")
		h, _ := serve(t, f, withAccount(newAccount()))
		r := request("GET", "/")
		r.Header.Set(personHeader, string(who))
		w := do(h, r)
		if got := strings.Contains(w.Body.String(), `href="/notifications"`); got != want || w.Code != 200 {
			t.Errorf("%s: %d, link %v, want %v", who, w.Code, got, want)
		}
	}
}
