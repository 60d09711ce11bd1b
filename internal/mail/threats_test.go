package mail_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

func TestThreat29_NothingIsSentWithoutVerifiedTLS(t *testing.T) {
	greeting := "220 mail.example.com ESMTP\r\n"
	offer := "250-mail.example.com\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n"
	bare := "250-mail.example.com\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 1000\r\n"
	// A server that would take everything in clear text.
	willing := map[string]string{
		"": greeting, "AUTH": "235 2.7.0 welcome\r\n", "MAIL": "250 ok\r\n", "RCPT": "250 ok\r\n", "DATA": "354 go\r\n", "HELO": "250 mail.example.com\r\n",
		"NOOP": "250 ok\r\n", "RSET": "250 ok\r\n", "QUIT": "221 bye\r\n",
	}
	for _, test := range []struct {
		name    string
		replies map[string]string
	}{
		{"not offered", map[string]string{"EHLO": bare}},
		{"struck out", map[string]string{"EHLO": "250-mail.example.com\r\n250-AUTH PLAIN\r\n250 XXXXXXXX\r\n"}},
		{"in other words", map[string]string{"EHLO": "250-mail.example.com\r\n250-AUTH PLAIN\r\n250 XSTARTTLS\r\n"}},
		{"broken off in the middle", map[string]string{"EHLO": "250-mail.example.com\r\n250-AUTH PLAIN\r\n250 STARTT LS\r\n"}},
		{"EHLO refused, so that HELO offers nothing", map[string]string{"EHLO": "502 5.5.1 what?\r\n"}},
		{"offered, then refused for now", map[string]string{"EHLO": offer, "STARTTLS": "454 4.7.0 not now\r\n"}},
		{"offered, then refused", map[string]string{"EHLO": offer, "STARTTLS": "502 5.5.1 what?\r\n"}},
		{"offered, then an answer of another command", map[string]string{"EHLO": offer, "STARTTLS": "250 ok\r\n"}},
		{"accepted, and clear text goes on", map[string]string{"EHLO": offer, "STARTTLS": "220 go\r\n250 mail.example.com\r\n"}},
		{"accepted, with a whole answer to EHLO slipped in", map[string]string{"EHLO": offer, "STARTTLS": "220 go\r\n" + bare + "235 welcome\r\n"}},
		{"accepted, and silence ends in a closed connection", map[string]string{"EHLO": offer, "STARTTLS": "220 go\r\n\x15\x03\x03\x00\x02\x02\x28"}},
		{"log-in said to have happened already", map[string]string{"": greeting, "EHLO": "250-mail.example.com\r\n250 PREAUTH\r\n"}},
		{"an endless answer", map[string]string{"EHLO": strings.Repeat("250-"+strings.Repeat("x", 1000)+"\r\n", 400)}},
		{"no SMTP at all", map[string]string{"": "* OK IMAP4rev1 ready\r\n"}},
		{"busy", map[string]string{"": "421 4.3.2 busy\r\n"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			replies := map[string]string{}
			for verb, reply := range willing {
				replies[verb] = reply
			}
			for verb, reply := range test.replies {
				replies[verb] = reply
			}
			s := smtptest.StartScript(t, replies)
			failed := mailer(t, config(s.Host, s.Port, nil)).Notify(t.Context(), review()).Failed()
			if len(failed) != 3 {
				t.Errorf("undelivered %v, want everybody", failed)
			}
			for _, line := range s.Heard() {
				verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
				switch verb {
				case "AUTH", "MAIL", "RCPT", "DATA":
					t.Errorf("said %q in clear text", line)
				}
			}
			for _, u := range failed {
				wantSafe(t, u.Err)
			}
		})
	}
}

func TestThreat29_BytesBehindTheAnswerToSTARTTLSAreNotTakenForTheServers(t *testing.T) {
	// The server is real and its certificate good; somebody on the way adds an
	// answer that would be read after the handshake if it had been kept.
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	proxy := injector(t, s.Port, "220 2.0.0 Ready to start TLS\r\n", "250-mail.example.com\r\n250 AUTH PLAIN\r\n")
	failed := mailer(t, config("127.0.0.1", proxy, s.Roots)).Notify(t.Context(), review()).Failed()
	wantUndelivered(t, failed, access.Upstream)
	if text := failed[0].Err.Error(); !strings.Contains(text, "clear text") {
		t.Errorf("error is %q", text)
	}
	if s.LogIns() != 0 {
		t.Error("logged in")
	}
}

// injector passes bytes on to a server and adds some of its own behind a text that
// the server says.
func injector(t *testing.T, port int, behind, injected string) (listens int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		client, err := listener.Accept()
		if err != nil {
			return
		}
		defer client.Close()
		server, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			return
		}
		defer server.Close()
		go func() {
			buffer := make([]byte, 4096)
			for {
				n, err := client.Read(buffer)
				if err != nil {
					server.Close()
					return
				}
				if _, err := server.Write(buffer[:n]); err != nil {
					return
				}
			}
		}()
		buffer := make([]byte, 4096)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			said := bytes.Clone(buffer[:n])
			if bytes.HasSuffix(said, []byte(behind)) {
				said = append(said, injected...)
			}
			if _, err := client.Write(said); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return listener.Addr().(*net.TCPAddr).Port
}

func TestThreat29_TheCertificateMustBeTheServers(t *testing.T) {
	for _, test := range []struct {
		certificate smtptest.Certificate
		says        string
	}{
		{smtptest.WrongName, "not for 127.0.0.1"},
		{smtptest.Expired, "expired"},
		{smtptest.UnknownAuthority, "nobody who is trusted here"},
	} {
		for _, implicit := range []bool{false, true} {
			s := smtptest.Start(t, withUser(smtptest.Options{Certificate: test.certificate, ImplicitTLS: implicit}))
			c := config(s.Host, s.Port, s.Roots)
			c.ImplicitTLS = implicit
			// Permission to do without TLS is not one to accept a wrong certificate.
			c.AllowPlain = true
			failed := mailer(t, c).Notify(t.Context(), review()).Failed()
			wantUndelivered(t, failed, access.Upstream)
			if text := failed[0].Err.Error(); !strings.Contains(text, test.says) {
				t.Errorf("%s: error is %q, want it to say %q", test.certificate, text, test.says)
			}
			if s.LogIns() != 0 {
				t.Errorf("%s: logged in", test.certificate)
			}
		}
	}
}

func TestThreat29_WithoutTLSOnlyToLoopbackAndOnlyIfPermitted(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{NoTLS: true}))
	c := config(s.Host, s.Port, s.Roots)
	wantUndelivered(t, mailer(t, c).Notify(t.Context(), review()).Failed(), access.Upstream)

	c.AllowPlain = true
	if failed := mailer(t, c).Notify(t.Context(), review()).Failed(); failed != nil {
		t.Error(failed)
	}
	if got := s.Messages(); len(got) != 1 || got[0].TLS {
		t.Errorf("sent %v", got)
	}

	for _, host := range []string{"mail.example.com", "10.0.0.1", "localhost.example.com", "127.0.0.1.example.com", "0.0.0.0"} {
		c.Host = host
		if _, err := mail.New(c); err == nil {
			t.Errorf("mail without TLS to %q was permitted", host)
		}
	}

	// A server that offers TLS is not taken at less.
	offers := smtptest.Start(t, withUser(smtptest.Options{}))
	c = config(offers.Host, offers.Port, offers.Roots)
	c.AllowPlain = true
	if failed := mailer(t, c).Notify(t.Context(), review()).Failed(); failed != nil || !offers.Messages()[0].TLS {
		t.Errorf("undelivered %v, sent %v", failed, offers.Messages())
	}
}

// elsewhere is a connection to another machine.
type elsewhere struct{ net.Conn }

func (elsewhere) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 587} }

// A name may be of this machine, and lead elsewhere.
func TestThreat29_ClearTextEndsOnThisMachine(t *testing.T) {
	s := smtptest.StartTalk(t, usually)
	c := plainConfig("localhost", s.Port)
	c.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("%s:%d", s.Host, s.Port))
		return elsewhere{raw}, err
	}
	wantUndelivered(t, mailer(t, c).Notify(t.Context(), review()).Failed(), access.Upstream)
	if len(s.Messages()) != 0 {
		t.Error("sent in clear text")
	}
}

// hostile are addresses that a mail library, a mail server or a reader might take
// for something else: other recipients, parameters of the command, more headers.
var hostile = []access.Principal{
	"", "@", "ana", "ana@", "@example.com", "ana@@example.com", "ana@example.com@evil.example",
	`"ana@evil.example> ORCPT=x"@example.com`, `"ana"@example.com`, `"a b"@example.com`, `ana\@evil.example@example.com`,
	"ana@example.com> ORCPT=rfc822;x", "ana@example.com> NOTIFY=NEVER", "ana@example.com>,<eve@evil.example", "<ana@example.com>",
	"Ana <ana@example.com>", "ana@example.com, eve@evil.example", "ana@example.com;eve@evil.example", "ana@example.com (eve)",
	"ana@example.com\r\nBcc: eve@evil.example", "ana@example.com\nRCPT TO:<eve@evil.example>", "ana\x00@example.com", "ana@example.com\x00",
	"@evil.example:ana@example.com", "evil.example!ana@example.com@", "ana@[127.0.0.1]", "ana@example..com", "ana@-example.com", ".ana@example.com",
	"ana..b@example.com", "\u212Aim@example.com", "ana@ex\u0430mple.com", " ana@example.com", "ana@example.com ", "ana\t@example.com",
	"robot@shop-prod.iam.gserviceaccount.com",
}

func TestThreat12_HostileAddressesGetNothing(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	c := config(s.Host, s.Port, s.Roots)
	c.PerMinute = unlimited
	m := mailer(t, c)
	for _, address := range hostile {
		n := review()
		n.To = []access.Principal{address}
		failed := m.Notify(t.Context(), n).Failed()
		if len(failed) != 1 || failed[0].To != address {
			t.Errorf("%q: undelivered %v", address, failed)
		}
	}
	for _, got := range s.Messages() {
		if len(got.To) != 1 || got.To[0] != "ana@example.com" {
			t.Errorf("sent to %q", got.To)
		}
	}
	if got := len(s.Messages()); got != len(hostile) {
		t.Errorf("%d mails to the person in Cc, want %d", got, len(hostile))
	}
}

func TestThreat12_AMappedAddressPassesTheSameGrammar(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	for _, address := range hostile {
		c := config(s.Host, s.Port, s.Roots)
		c.Address = func(p access.Principal) (string, error) {
			if p == boris {
				return string(address), nil
			}
			return "mapped-" + string(p), nil
		}
		if failed := mailer(t, c).Notify(t.Context(), review()).Failed(); len(failed) != 1 || failed[0].To != boris {
			t.Errorf("%q: undelivered %v", address, failed)
		}
	}
	for _, got := range s.Messages() {
		if strings.Join(got.To, " ") != "mapped-chen@example.com mapped-ana@example.com" {
			t.Errorf("sent to %q", got.To)
		}
	}
}

func TestThreat12_UserTextNeverReachesAHeader(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	m := mailer(t, config(s.Host, s.Port, s.Roots))
	const canary = "CANARY"
	for _, text := range []string{canary + "\r\nBcc: eve@evil.example", "=?utf-8?q?=0D=0A" + canary + "?=", canary} {
		for _, n := range []access.Notice{review(), approved(), denied()} {
			n.Request.Justification, n.Decision.Comment = text, text
			n.Roles[0].Title, n.Roles[0].Description = text, text
			if failed := m.Notify(t.Context(), n).Failed(); failed != nil {
				t.Fatal(failed)
			}
		}
	}
	for _, got := range s.Messages() {
		header, body, _ := strings.Cut(got.Data, "\r\n\r\n")
		if strings.Contains(header, canary) || strings.Contains(header, "evil") || !strings.Contains(body, canary) {
			t.Errorf("user text in the header, or not in the body:\n%s", got.Data)
		}
	}
}

func TestThreat12_WhatMustNotReachAHeaderIsNotSent(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	m := mailer(t, config(s.Host, s.Port, s.Roots))
	for name, change := range map[string]func(*access.Notice){
		"id":                    func(n *access.Notice) { n.Request.ID = "mpa-AAAA\r\nBcc: eve@evil.example" },
		"no id":                 func(n *access.Notice) { n.Request.ID = "" },
		"principal":             func(n *access.Notice) { n.Request.Principal = "ana@example.com\r\nBcc: eve@evil.example" },
		"principal in capitals": func(n *access.Notice) { n.Request.Principal = "Ana@example.com" },
		"resource":              func(n *access.Notice) { n.Request.Resource = "projects/x\r\nBcc: eve@evil.example" },
		"script link":           func(n *access.Notice) { n.ReviewURL = "javascript:alert(1)" },
		"link in clear text":    func(n *access.Notice) { n.ReviewURL = "http://jit.example.com/review" },
		"link with a user":      func(n *access.Notice) { n.ReviewURL = "https://jit.example.com@evil.example/review" },
		"link of no host":       func(n *access.Notice) { n.BaseURL = "https:///review" },
		"kind":                  func(n *access.Notice) { n.Kind = "newsletter" },
	} {
		n := review()
		change(&n)
		if failed := m.Notify(t.Context(), n).Failed(); len(failed) != 3 {
			t.Errorf("%s: undelivered %v, want everybody", name, failed)
		}
	}
	if s.Connections() != 0 {
		t.Error("connected")
	}
}

func TestThreat12_AnAddressThatLooksEncodedIsShownAsItIs(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	n := review()
	n.Request.Principal = "=?utf-8?q?boss?=@example.com"
	n.CC = nil
	if failed := mailer(t, config(s.Host, s.Port, s.Roots)).Notify(t.Context(), n).Failed(); failed != nil {
		t.Fatal(failed)
	}
	header, _ := parse(t, s.Messages()[0].Data)
	raw := header.Get("Subject")
	if strings.Contains(raw, "?q?boss?=") {
		t.Errorf("subject is %q", raw)
	}
	if got := decoded(t, raw); got != "=?utf-8?q?boss?=@example.com requests access to project shop-prod" {
		t.Errorf("subject reads %q", got)
	}
}

func TestThreat17_ErrorsHoldNoSecretAndNoBytesOfTheServer(t *testing.T) {
	// The servers of smtptest repeat user name and password in what they say.
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	c := config(s.Host, s.Port, s.Roots)
	c.Login = mail.Password(func(context.Context) (string, error) { return "CANARYpassword", nil }, c.Now)
	for _, u := range mailer(t, c).Notify(t.Context(), review()).Failed() {
		wantSafe(t, u.Err)
	}
	for _, text := range []string{"\x1b[2J\u202e\xff", strings.Repeat("long ", 1000), "a\nb", "\u043e\u043a\u043d\u043e \u90ae\u4ef6"} {
		s := smtptest.Start(t, withUser(smtptest.Options{Refuse: map[smtptest.Step]*smtp.SMTPError{
			smtptest.AtMail: {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: text},
		}}))
		for _, u := range mailer(t, config(s.Host, s.Port, s.Roots)).Notify(t.Context(), review()).Failed() {
			wantSafe(t, u.Err)
		}
	}
}

// wantSafe demands that an error can be logged.
func wantSafe(t *testing.T, err error) {
	t.Helper()
	text := err.Error()
	if strings.Contains(text, "CANARY") || strings.Contains(text, secret) {
		t.Errorf("a secret in %q", text)
	}
	if len(text) > 1500 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("raw or long: %q", text)
	}
}

func TestThreat24_ANoticeIsOneMailForAtMost100People(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	n := review()
	n.To = nil
	for i := range 120 {
		n.To = append(n.To, access.Principal(fmt.Sprintf("reviewer-%d@example.com", i)))
	}
	n.To = append(n.To, n.To[0], n.To[0])
	failed := mailer(t, config(s.Host, s.Port, s.Roots)).Notify(t.Context(), n).Failed()
	if got := s.Messages(); len(got) != 1 || len(got[0].To) != 100 {
		t.Fatalf("%d mails", len(got))
	}
	if len(failed) != 21 {
		t.Errorf("%d are reported, want the 20 reviewers too many and the person in Cc", len(failed))
	}
}

func TestPasswordIsReadOnceAndAgainWhenALogInFails(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	clock := now
	reads, current := 0, secret
	c := config(s.Host, s.Port, s.Roots)
	c.Now = func() time.Time { return clock }
	c.Login = mail.Password(func(context.Context) (string, error) { reads++; return current, nil }, c.Now)
	m := mailer(t, c)
	m.Close() // so that each logs in
	step := func(what string, wantReads, wantFailed int) {
		t.Helper()
		if failed := m.Notify(t.Context(), review()).Failed(); len(failed) != wantFailed || reads != wantReads {
			t.Errorf("%s: %d reads, undelivered %v; want %d reads, %d undelivered", what, reads, failed, wantReads, wantFailed)
		}
	}
	step("first", 1, 0)
	step("again", 1, 0)
	s.SetPassword("rotated")
	current = "rotated"
	step("rotated", 2, 0)
	s.SetPassword("rotated again")
	step("rotated again, secret not yet", 2, 3)
	clock = clock.Add(4 * time.Minute)
	current = "rotated again"
	step("4 minutes later", 2, 3)
	clock = clock.Add(time.Minute)
	step("5 minutes later", 3, 0)
}

func TestAPasswordThatCannotBeReadIsReportedWithItsCause(t *testing.T) {
	c := config("127.0.0.1", 1, nil)
	cause := &access.Error{Kind: access.Upstream, Code: access.CodeServiceNotAllowed, Args: access.Args{"permission": "secretmanager.versions.access"}}
	c.Login = mail.Password(func(context.Context) (string, error) { return "", cause }, c.Now)
	for _, u := range mailer(t, c).Notify(t.Context(), review()).Failed() {
		if !errors.Is(u.Err, cause) {
			t.Errorf("error is %v", u.Err)
		}
	}
}
