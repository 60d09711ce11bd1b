package storybook

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/notice"
)

// Account is a mail account in whatever state a test wants.
type Account struct {
	Called string // empty is mail
	// Besides are accounts on the same page.
	Besides  []*Account
	Set      []notice.Setting
	Attempts []notice.Attempt
	Steps    []notice.Step
	Tested   []access.Principal
}

func (a *Account) Name() string               { return cmp.Or(a.Called, "mail") }
func (a *Account) Settings() []notice.Setting { return a.Set }
func (a *Account) Recent() []notice.Attempt   { return a.Attempts }
func (a *Account) Test(ctx context.Context, to access.Principal) []notice.Step {
	if _, ok := ctx.Deadline(); !ok {
		panic("a test message without a deadline")
	}
	a.Tested = append(a.Tested, to)
	return a.Steps
}

var sendAsDenied = &notice.Failure{
	What:    `the sender: 550 5.7.60: "SMTP; Client does not have permissions to send as this sender"`,
	Meaning: "The account that logs in may not send as the sender.",
	Remedy:  "Set SMTP_SENDER_ADDRESS and SMTP_RETURN_PATH to the mailbox of SMTP_USERNAME, or let that mailbox send as the sender: Exchange admin center, Recipients, Mailboxes, the sender's, Delegation, Send as.",
	Err:     &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed, Err: errors.New("550 5.7.60 the cause")},
}

// NewAccount is a believable one whose test message arrives.
func NewAccount() *Account {
	return &Account{
		Set: []notice.Setting{
			{Name: "Sender", Value: "JIT Access <access@example.com>", Variables: "SMTP_SENDER_NAME, SMTP_SENDER_ADDRESS"},
			{Name: "Server", Value: "smtp.office365.com:587, STARTTLS demanded", Variables: "SMTP_HOST, SMTP_PORT"},
			{Name: "Logs in", Value: "as access@example.com with an access token (XOAUTH2)", Variables: "SMTP_USERNAME, SMTP_AUTH"},
			{Name: "Client secret", Value: "set, hidden; projects/acme-access/secrets/mail-client-secret-of-the-service/versions/latest", Variables: "SMTP_OAUTH_CLIENT_SECRET"},
			{Name: "Limits", Value: "3 connections at once, 30 mails a minute", Variables: "SMTP_MAX_CONNECTIONS, SMTP_MESSAGES_PER_MINUTE"},
		},
		Attempts: []notice.Attempt{
			{At: Noon.Add(-2 * time.Minute), Took: 412 * time.Millisecond, Kind: access.NoticeReview, To: []string{string(Ben), string(Carl), string(Ana)}},
			{At: Noon.Add(-3 * time.Hour), Took: 10 * time.Second, Kind: access.NoticeDenied, To: []string{string(Ana)}, Failure: sendAsDenied},
		},
		Steps: []notice.Step{
			{Name: "token", Text: "an access token could be had"}, {Name: "resolve", Text: "smtp.office365.com is 203.0.113.7, 2001:db8::7"},
			{Name: "connect", Text: "to 203.0.113.7:587"},
			{Name: "TLS", Text: `version 1.3 with a certificate for this host (for outlook.com, *.outlook.com, office365.com and 20 more, by "DigiCert Cloud Services CA-1", until 2027-03-01)`},
			{Name: "log-in", Text: "as access@example.com by XOAUTH2"},
			{Name: "accepted", Text: `the server took a mail to carl.mendes@example.com and said "OK <4F2C> [Hostname=AM6PR0102.eurprd01.prod.outlook.com]"; whether it arrives, look there`},
		},
	}
}

// EveryAccount is mail with all channels beside it; of programs one is down, and one wants no more.
func EveryAccount() *Account {
	down := &notice.Failure{What: "siem.example.com: timed out", Meaning: "siem.example.com did not answer in time.",
		Remedy: "If it goes on, see whether a firewall lets this service reach it on port 443.", Err: errors.New("timed out")}
	space := &notice.Failure{What: "Google Chat: 403, PERMISSION_DENIED", Meaning: "The webhook may not post in the space, or was removed.",
		Remedy: "See in the space, Apps & integrations, Webhooks, whether it is there, and whether administrators let people add apps to spaces.", Err: errors.New("403")}
	at := func(kind access.NoticeKind, ago time.Duration, f *notice.Failure, to ...string) notice.Attempt {
		return notice.Attempt{At: Noon.Add(-ago), Took: 230 * time.Millisecond, Kind: kind, To: to, Failure: f}
	}
	a := NewAccount()
	a.Besides = []*Account{
		{Called: "slack", Set: []notice.Setting{{Name: "Token", Value: "set, hidden; projects/acme-access/secrets/slack-token/versions/3", Variables: "SLACK_TOKEN"},
			{Name: "Channel", Value: "#access", Variables: "SLACK_CHANNEL"}}, Attempts: []notice.Attempt{at(access.NoticeReview, 2*time.Minute, nil, string(Ben))}},
		{Called: "googlechat", Set: []notice.Setting{{Name: "Webhook", Value: "set, hidden", Variables: "GOOGLE_CHAT_WEBHOOK"}},
			Attempts: []notice.Attempt{at(access.NoticeReview, 2*time.Minute, space)}},
		{Called: "teams"},
		{Called: "webhook", Set: []notice.Setting{{Name: "Addresses", Value: "set, hidden", Variables: "WEBHOOK_URL"},
			{Name: "Keys", Value: "set, hidden; projects/acme-access/secrets/webhook-keys/versions/latest", Variables: "WEBHOOK_SECRET"},
			{Name: "Programs", Value: "siem.example.com, hooks.example.com:8443 (answered 410 and gets no more)"}},
			Attempts: []notice.Attempt{at(access.NoticeHappened, time.Minute, down), at(access.NoticeReview, 2*time.Minute, nil)},
			Steps: []notice.Step{{Name: "secret", Text: "where to could be read: siem.example.com, hooks.example.com:8443; whether messages are taken there is seen by a test message"},
				{Name: "message", Text: `chat-relay.example.com answered 200 and said "{\"error\":\"no such room\"}", which nobody here reads`}, {Name: "message", Failure: down}}},
	}
	return a
}

func FailingAccount() *Account {
	a := NewAccount()
	failure := *sendAsDenied
	failure.What = strings.TrimPrefix(failure.What, "the sender: ")
	a.Steps = append(a.Steps[:5:5], notice.Step{Name: "the sender", Failure: &failure})
	return a
}

// login stands for a login of the service's own.
type login struct{ finish, end error }

func (l *login) Start(http.Header, *http.Request) (string, error) {
	return "https://id.example.com/auth", nil
}

func (l *login) Finish(http.Header, *http.Request) (string, access.Caller, error) {
	return "/", access.Caller{Principal: Ana, Subject: "1", Method: "oidc"}, l.finish
}

func (l *login) Renew(http.Header, *http.Request) {}

func (l *login) End(http.Header, *http.Request) (string, error) {
	return "https://id.example.com/end?client_id=a&b=c", l.end
}

func (l *login) EndElsewhere(context.Context, string) error { return l.end }

func (l *login) SessionEnds(*http.Request) time.Time { return Noon.Add(5 * time.Hour) }

func (l *login) ProgramCode(*http.Request, string, string) (string, error) { return "sealed", nil }

func (l *login) ProgramToken(context.Context, string, string, string) (string, access.Caller, time.Time, error) {
	return "token", access.Caller{Principal: Ana, Subject: "1", Method: "oidc-program"}, Noon.Add(5 * time.Hour), nil
}

func (l *login) EndProgram(*http.Request) (bool, time.Time, error) {
	return true, Noon.Add(5 * time.Hour), nil
}

func (l *login) IdentifyScript(r *http.Request) (access.Caller, error) { return Identify(r) }
