package mail_test

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

// tokens is a Login that has one token after the other, and then a fault or nothing
// else.
type tokens struct {
	all     []string
	fault   error
	refused []string
}

func (l *tokens) Secret(_ context.Context, refused string) (string, error) {
	if refused == "" {
		return l.all[0], nil
	}
	l.refused = append(l.refused, refused)
	if at := slices.Index(l.all, refused) + 1; at < len(l.all) {
		return l.all[at], nil
	}
	return refused, l.fault
}

func (l *tokens) Fresh(context.Context) (string, error) { return l.all[0], l.fault }

// withToken is the configuration of a Mailer that logs in by token.
func withToken(s *smtptest.Server, l mail.Login) mail.Config {
	c := config(s.Host, s.Port, s.Roots)
	c.Login, c.Token = l, true
	return c
}

func TestXOAUTH2(t *testing.T) {
	long := strings.Repeat("CANARYlong", 400)
	for _, test := range []struct {
		name    string
		tokens  []string
		fault   error
		good    string // the token that the server takes
		logIns  int
		refused []string
		says    []string // of the fault
	}{
		{name: "taken", tokens: []string{"good"}, good: "good", logIns: 1},
		{name: "too long for a command line", tokens: []string{long}, good: long, logIns: 1},
		{name: "the last that fits the line", tokens: []string{strings.Repeat("x", 337)}, good: strings.Repeat("x", 337), logIns: 1},
		{name: "the first that does not fit", tokens: []string{strings.Repeat("x", 338)}, good: strings.Repeat("x", 338), logIns: 1},
		{name: "revoked, another is taken", tokens: []string{"CANARYold", "new"}, good: "new", logIns: 2, refused: []string{"CANARYold"}},
		{name: "refused, no other", tokens: []string{"CANARY1"}, logIns: 1, refused: []string{"CANARY1"},
			says: []string{"the log-in: 535", "(of the token: status 400) (scheme Bearer)"}},
		{name: "another refused too", tokens: []string{"CANARY1", "CANARY2", "CANARY3"}, logIns: 2, refused: []string{"CANARY1", "CANARY2"}, says: []string{"535"}},
		{name: "another refused too, and why", tokens: []string{"CANARY1", "CANARY2"}, logIns: 2, refused: []string{"CANARY1", "CANARY2"}, fault: errors.New("it is for another"),
			says: []string{"535", "it is for another"}},
		{name: "refused, and none to be had", tokens: []string{"CANARY1"}, logIns: 1, refused: []string{"CANARY1"}, fault: errors.New("the secret has expired"),
			says: []string{"getting an access token: the secret has expired", "wanted because of: mail: the log-in: 535"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := smtptest.Start(t, smtptest.Options{VerifyToken: func(username, token string) error {
				if username != "jit@example.com" || token != test.good {
					return errors.New("no")
				}
				return nil
			}})
			l := &tokens{all: test.tokens, fault: test.fault}
			failed := mailer(t, withToken(s, l)).Notify(t.Context(), review()).Failed()
			if (failed == nil) != (test.says == nil) || len(s.Messages()) != map[bool]int{true: 1}[failed == nil] {
				t.Errorf("undelivered %v, %d mails", failed, len(s.Messages()))
			}
			if s.LogIns() != test.logIns || s.Connections() != test.logIns || !slices.Equal(l.refused, test.refused) {
				t.Errorf("%d log-ins over %d connections, refused %q", s.LogIns(), s.Connections(), l.refused)
			}
			for _, u := range failed {
				wantSafe(t, u.Err)
				for _, says := range test.says {
					if !strings.Contains(u.Err.Error(), says) {
						t.Errorf("%v does not say %q", u.Err, says)
					}
				}
			}
		})
	}
}

// A token is not sent as a password, and a password not as a token.
func TestXOAUTH2_IsOfferedOrNothingIsSent(t *testing.T) {
	passwords := smtptest.Start(t, withUser(smtptest.Options{}))
	failed := mailer(t, withToken(passwords, &tokens{all: []string{secret}})).Notify(t.Context(), review()).Failed()
	if len(failed) == 0 || !strings.Contains(failed[0].Err.Error(), "not by XOAUTH2") || passwords.LogIns() != 0 {
		t.Errorf("a server of passwords: %v after %d log-ins", failed, passwords.LogIns())
	}
	byToken := smtptest.Start(t, smtptest.Options{VerifyToken: func(string, string) error { return nil }})
	failed = mailer(t, config(byToken.Host, byToken.Port, byToken.Roots)).Notify(t.Context(), review()).Failed()
	if len(failed) == 0 || !strings.Contains(failed[0].Err.Error(), "not by PLAIN or LOGIN") || byToken.LogIns() != 0 {
		t.Errorf("a server of tokens: %v after %d log-ins", failed, byToken.LogIns())
	}
}

// Servers that answer a token by no rule: it is not sent again and again, and nothing of the
// token in the fault.
func TestXOAUTH2_OddAnswers(t *testing.T) {
	challenge := func(text string) string { return "334 " + base64.StdEncoding.EncodeToString([]byte(text)) + "\r\n" }
	for _, test := range []struct {
		name, auth string
		tries      int
	}{
		{name: "challenges for ever", auth: challenge(`{"status":"400"}`) + challenge("again") + challenge("again")},
		{name: "not base64", auth: "334 %%%\r\n"},
		{name: "not JSON", auth: challenge("CANARYtoken") + "535 5.7.8 CANARYtoken\r\n"},
		{name: "repeats the token", auth: challenge(`{"status":"CANARYtoken","schemes":"CANARYtoken","scope":"CANARYtoken"}`) + "535 5.7.8 CANARYtoken\r\n"},
		{name: "of other types", auth: challenge(`{"status":{"a":1},"schemes":[1]}`) + "535 no\r\n"},
		{name: "control characters", auth: challenge("{\"status\":\"4\\u001b0\",\"schemes\":\"a\\r\\nb\"}") + "535 no\r\n"},
		{name: "refuses at once, as Exchange Online does", auth: "535 5.7.3 Authentication unsuccessful [X.PROD.OUTLOOK.COM]\r\n"},
		{name: "closes", auth: "421 4.7.0 later\r\n", tries: 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := smtptest.StartScript(t, map[string]string{"": "220 mail\r\n", "EHLO": "250-mail\r\n250 AUTH XOAUTH2\r\n", "AUTH": test.auth, "QUIT": "221 bye\r\n"})
			c := config(s.Host, s.Port, nil)
			c.AllowPlain, c.Login, c.Token = true, &tokens{all: []string{"CANARYtoken"}}, true
			failed := mailer(t, c).Notify(t.Context(), review()).Failed()
			if len(failed) == 0 {
				t.Fatal("delivered")
			}
			wantSafe(t, failed[0].Err)
			sent := 0
			for _, line := range s.Heard() {
				if strings.HasPrefix(line, "AUTH") {
					sent++
				}
			}
			// What passes is tried again, but not for ever.
			if tries := max(1, test.tries); sent != tries {
				t.Errorf("sent %d times, want %d: %q", sent, tries, s.Heard())
			}
		})
	}
}

// Threat 29: a token leaves only over TLS or to this machine.
func TestThreat29_ATokenIsNotSentInClearText(t *testing.T) {
	l := &tokens{all: []string{"CANARYtoken"}}
	s := smtptest.StartScript(t, map[string]string{"": "220 mail\r\n", "EHLO": "250-mail\r\n250 AUTH XOAUTH2\r\n", "QUIT": "221 bye\r\n"})
	c := config(s.Host, s.Port, nil)
	c.Login, c.Token = l, true
	failed := mailer(t, c).Notify(t.Context(), review()).Failed()
	if len(failed) == 0 || !strings.Contains(failed[0].Err.Error(), "STARTTLS") || slices.ContainsFunc(s.Heard(), func(line string) bool { return strings.HasPrefix(line, "AUTH") }) {
		t.Errorf("%v, sent %q", failed, s.Heard())
	}
}

func TestNoTokenNoConnection(t *testing.T) {
	cause := &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed, Args: access.Args{"service": "token endpoint"}}
	s := smtptest.Start(t, smtptest.Options{VerifyToken: func(string, string) error { return nil }})
	failed := mailer(t, withToken(s, failing{cause})).Notify(t.Context(), review()).Failed()
	if len(failed) != 3 || !errors.Is(failed[0].Err, cause) || s.Connections() != 0 {
		t.Errorf("%v after %d connections", failed, s.Connections())
	}
	plain := mailer(t, withToken(s, failing{errors.New("broken")})).Notify(t.Context(), review()).Failed()
	if len(plain) != 3 || !strings.Contains(plain[0].Err.Error(), "getting an access token: broken") {
		t.Errorf("%v", plain)
	}
}

type failing struct{ error }

func (f failing) Secret(context.Context, string) (string, error) { return "", f.error }
func (f failing) Fresh(context.Context) (string, error)          { return "", f.error }

// The probe wants to know whether what is configured works, so nothing that was kept
// will do.
func TestProbeAsksAfresh(t *testing.T) {
	s := smtptest.Start(t, smtptest.Options{VerifyToken: func(string, string) error { return nil }})
	m := mailer(t, withToken(s, &tokens{all: []string{"kept"}, fault: errors.New("no more")}))
	if failed := m.Notify(t.Context(), review()).Failed(); failed != nil {
		t.Errorf("undelivered %v", failed)
	}
	if err := m.Probe(t.Context(), "", func(string, string) {}); err == nil || !strings.Contains(err.Error(), "no more") {
		t.Errorf("the probe says %v", err)
	}
}

// A refusal for now is no reason for another token.
func TestATokenIsNotChangedForARefusalThatPasses(t *testing.T) {
	for code, refused := range map[int]int{421: 0, 432: 0, 454: 0, 535: 2, 534: 2} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			s := smtptest.Start(t, smtptest.Options{VerifyToken: func(string, string) error { return nil },
				Refuse: map[smtptest.Step]*smtp.SMTPError{smtptest.AtAuth: {Code: code, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "no"}}})
			l := &tokens{all: []string{"a", "b"}}
			if failed := mailer(t, withToken(s, l)).Notify(t.Context(), review()).Failed(); len(failed) == 0 || len(l.refused) != refused {
				t.Errorf("%v, refused %q", failed, l.refused)
			}
		})
	}
}
