package mail_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

var _ broker.Notifier = (*mail.Mailer)(nil)

const (
	ana    = access.Principal("ana@example.com")
	boris  = access.Principal("boris@example.com")
	chen   = access.Principal("chen@example.com")
	secret = "correct horse battery staple"
)

var now = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

// review is a notice that asks boris and chen to decide a request of ana.
func review() access.Notice {
	entitlement := access.EntitlementID{Resource: "projects/shop-prod", Role: "roles/compute.admin"}
	return access.Notice{
		Kind: access.NoticeReview,
		Request: access.Request{
			ID:            "mpa-AAAAAAAAAAAAAAAA",
			Principal:     ana,
			Resource:      "projects/shop-prod",
			Entitlements:  []access.EntitlementID{entitlement},
			Justification: "Bug 4711: restart the stuck instance group",
			Duration:      90 * time.Minute,
			Reviewers:     []access.Principal{boris, chen},
			Created:       now,
			Expires:       now.Add(time.Hour),
		},
		To:        []access.Principal{boris, chen},
		CC:        []access.Principal{ana},
		Window:    access.Window{Start: now, End: now.Add(90 * time.Minute)},
		Roles:     []access.RoleInfo{{Role: "roles/compute.admin", Title: "Compute Admin", Description: "Full control of all Compute Engine resources.", ChangesPermissions: access.Yes}},
		ReviewURL: "https://jit.example.com/review?activation=ABC~~DE~FG",
		BaseURL:   "https://jit.example.com/",
	}
}

// approved is the notice of boris's approval.
func approved() access.Notice {
	n := review()
	n.Kind = access.NoticeApproved
	n.To, n.CC = []access.Principal{ana}, []access.Principal{boris, chen}
	n.Decision = access.Decision{Verdict: access.Approve, By: boris, At: now.Add(5 * time.Minute)}
	n.Window = access.Window{Start: n.Decision.At, End: n.Decision.At.Add(90 * time.Minute)}
	return n
}

// glass is the notice that ana breaks the glass.
func glass() access.Notice {
	n := review()
	n.Kind, n.Request.ID, n.Request.Kind, n.Request.Reviewers = access.NoticeGlass, "brk-AAAAAAAAAAAAAAAA", access.BreakGlass, nil
	n.Request.Terms = access.Terms{Rule: "production", Policy: "0123456789abcdef"}
	n.Request.Justification = "Everything is down"
	return n
}

// denied is the notice of boris's denial.
func denied() access.Notice {
	n := approved()
	n.Kind = access.NoticeDenied
	n.Decision.Verdict, n.Decision.Comment = access.Deny, "Please use the staging project."
	n.Window = access.Window{}
	return n
}

// config is that of a Mailer that talks to s and logs in as jit@example.com.
func config(host string, port int, roots *x509.CertPool) mail.Config {
	return mail.Config{
		Sender:     "jit@example.com",
		SenderName: "JIT Access",
		Host:       host,
		Port:       port,
		Roots:      roots,
		Username:   "jit@example.com",
		Login:      mail.Password(func(context.Context) (string, error) { return secret, nil }, time.Now),
		Provider:   func(access.Resource) string { return "Google" },
		Now:        func() time.Time { return now },
		Sleep:      func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

func mailer(t testing.TB, c mail.Config) *mail.Mailer {
	t.Helper()
	m, err := mail.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// withUser are the options of a server that knows the Mailer of config.
func withUser(o smtptest.Options) smtptest.Options {
	o.Username, o.Password = "jit@example.com", secret
	return o
}

func TestMailIsDeliveredToEverybodyOverTLS(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		for _, implicit := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s implicit=%v", mechanism, implicit), func(t *testing.T) {
				s := smtptest.Start(t, withUser(smtptest.Options{Mechanisms: []string{mechanism}, ImplicitTLS: implicit}))
				c := config(s.Host, s.Port, s.Roots)
				c.ImplicitTLS = implicit
				if failed := mailer(t, c).Notify(t.Context(), review()).Failed(); failed != nil {
					t.Fatalf("could not tell %v", failed)
				}
				messages := s.Messages()
				if len(messages) != 1 || s.Connections() != 1 {
					t.Fatalf("%d messages over %d connections, want 1 over 1", len(messages), s.Connections())
				}
				got := messages[0]
				if !got.TLS || got.From != "jit@example.com" || !slices.Equal(got.To, []string{"boris@example.com", "chen@example.com", "ana@example.com"}) {
					t.Errorf("TLS %v, from %q to %q", got.TLS, got.From, got.To)
				}
			})
		}
	}
}

// A receipt has the Message-ID by which the mail is found again, for everybody who got
// it; who did not has none, and the reason.
func TestReceiptsNameTheMail(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{RefuseRecipient: map[string]*smtp.SMTPError{"chen@example.com": {Code: 550, Message: "who?"}}}))
	m := mailer(t, config(s.Host, s.Port, s.Roots))
	n := review()
	n.To = append(n.To, "robot@x.iam.gserviceaccount.com")
	receipts := m.Notify(t.Context(), n)
	header, _ := parse(t, s.Messages()[0].Data)
	id := strings.Trim(header.Get("Message-Id"), "<>")
	var got []string
	for _, r := range receipts {
		if r.Channel != "mail" || (r.Err == nil) != (r.Ref == id) || r.Err != nil && r.Ref != "" {
			t.Errorf("%+v, want %s", r, id)
		}
		got = append(got, fmt.Sprint(r.To, r.Err == nil))
	}
	if want := []string{"robot@x.iam.gserviceaccount.comfalse", "boris@example.comtrue", "chen@example.comfalse", "ana@example.comtrue"}; !slices.Equal(got, want) {
		t.Errorf("receipts of %v, want %v", got, want)
	}
	if channels := m.Channels(); len(channels) != 1 || channels[0] != (access.Channel{Name: "mail", People: true}) {
		t.Errorf("channels %v", channels)
	}
}

func TestMailHasTheHeadersOfThePredecessorAndThreads(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	c := config(s.Host, s.Port, s.Roots)
	c.SenderName = `Zugänge "JIT"`
	m := mailer(t, c)
	for _, n := range []access.Notice{review(), approved(), denied()} {
		if failed := m.Notify(t.Context(), n).Failed(); failed != nil {
			t.Fatal(failed)
		}
	}
	messages := s.Messages()
	for i, want := range []map[string]string{
		{
			"To": "<boris@example.com>, <chen@example.com>", "Cc": "<ana@example.com>",
			"Subject":    "ana@example.com requests access to project shop-prod",
			"Message-Id": "<mpa-AAAAAAAAAAAAAAAA.review@example.com>", "In-Reply-To": "", "References": "",
		},
		{
			"To": "<ana@example.com>", "Cc": "<boris@example.com>, <chen@example.com>",
			"Subject":     "Re: ana@example.com requests access to project shop-prod",
			"Message-Id":  "<mpa-AAAAAAAAAAAAAAAA.approved.de5f65894c@example.com>",
			"In-Reply-To": "<mpa-AAAAAAAAAAAAAAAA.review@example.com>",
			"References":  "<mpa-AAAAAAAAAAAAAAAA.review@example.com>",
		},
		{
			"Subject":     "Re: ana@example.com requests access to project shop-prod",
			"Message-Id":  "<mpa-AAAAAAAAAAAAAAAA.denied.d7fc7f3705@example.com>",
			"In-Reply-To": "<mpa-AAAAAAAAAAAAAAAA.review@example.com>",
			"References":  "<mpa-AAAAAAAAAAAAAAAA.review@example.com>",
		},
	} {
		want["Date"] = "Mon, 02 Mar 2026 09:30:00 +0000"
		want["Auto-Submitted"] = "auto-generated"
		want["Precedence"] = "bulk"
		want["X-Auto-Response-Suppress"] = "OOF, AutoReply" // and no delivery report
		want["User-Agent"] = ""
		want["X-Mailer"] = ""
		header, parts := parse(t, messages[i].Data)
		for name, value := range want {
			if got := header.Get(name); got != value {
				t.Errorf("mail %d: %s is %q, want %q", i, name, got, value)
			}
		}
		if from, err := header.AddressList("From"); err != nil || *from[0] != (netmail.Address{Name: c.SenderName, Address: "jit@example.com"}) {
			t.Errorf("mail %d: From is %v, %v", i, from, err)
		}
		if len(parts) != 2 || parts[0].kind != "text/plain" || parts[1].kind != "text/html" {
			t.Errorf("mail %d has the parts %v, want text before HTML", i, parts)
		}
	}
}

func TestMailDoesNotTellTheNameOfTheMachine(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	m := mailer(t, config(s.Host, s.Port, s.Roots))
	for _, n := range []access.Notice{review(), approved(), denied()} {
		if failed := m.Notify(t.Context(), n).Failed(); failed != nil {
			t.Fatal(failed)
		}
	}
	if err := m.Probe(t.Context(), ana, func(string, string) {}); err != nil {
		t.Fatal(err)
	}
	if len(s.Messages()) != 4 {
		t.Fatalf("%d mails", len(s.Messages()))
	}
	for i, got := range s.Messages() {
		if got.Hello != "example.com" {
			t.Errorf("said hello as %q, want the sender's domain", got.Hello)
		}
		if strings.Contains(got.Data, name) {
			t.Errorf("mail %d names the machine %q", i, name)
		}
		header, _ := parse(t, got.Data)
		if !strings.HasSuffix(header.Get("Message-Id"), "@example.com>") || header.Get("Auto-Submitted") != "auto-generated" || header.Get("Precedence") != "bulk" {
			t.Errorf("mail %d: %v", i, header)
		}
	}
}

func TestSelfApprovalSendsNoMail(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	n := approved()
	n.Kind = access.NoticeSelfApproved
	if failed := mailer(t, config(s.Host, s.Port, s.Roots)).Notify(t.Context(), n).Failed(); failed != nil {
		t.Error(failed)
	}
	if s.Connections() != 0 {
		t.Error("connected")
	}
}

func TestWithoutASenderMailIsOff(t *testing.T) {
	m := mailer(t, mail.Config{})
	if m.Enabled() {
		t.Error("Enabled")
	}
	if failed := m.Notify(t.Context(), review()).Failed(); failed != nil {
		t.Error(failed)
	}
}

func TestOneRefusedRecipientDoesNotCostTheOthersTheirMail(t *testing.T) {
	for _, code := range []int{450, 550} {
		s := smtptest.Start(t, withUser(smtptest.Options{RefuseRecipient: map[string]*smtp.SMTPError{
			string(chen): {Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: "unknown \x1b[31m"},
		}}))
		failed := mailer(t, config(s.Host, s.Port, s.Roots)).Notify(t.Context(), review()).Failed()
		if len(failed) != 1 || failed[0].To != chen || failed[0].Channel != "mail" {
			t.Fatalf("%d: undelivered %v, want chen alone", code, failed)
		}
		if text := failed[0].Err.Error(); !strings.Contains(text, fmt.Sprint(code)) || strings.Contains(text, "\x1b") {
			t.Errorf("%d: error is %q", code, text)
		}
		if got := s.Messages(); len(got) != 1 || !slices.Equal(got[0].To, []string{string(boris), string(ana)}) {
			t.Errorf("%d: sent %v", code, got)
		}
	}
}

func TestEverybodyIsReportedWhenNobodyIsTaken(t *testing.T) {
	refusal := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such person"}
	s := smtptest.Start(t, withUser(smtptest.Options{RefuseRecipient: map[string]*smtp.SMTPError{
		string(ana): refusal, string(boris): refusal, string(chen): refusal,
	}}))
	failed := mailer(t, config(s.Host, s.Port, s.Roots)).Notify(t.Context(), review()).Failed()
	wantUndelivered(t, failed, access.Upstream)
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("sent %v", got)
	}
}

// wantUndelivered demands that boris, chen and ana are reported, with an error of
// the kind.
func wantUndelivered(t *testing.T, failed access.Receipts, kind access.Kind) {
	t.Helper()
	var who []access.Principal
	for _, u := range failed {
		who = append(who, u.To)
		var e *access.Error
		if !errors.As(u.Err, &e) || e.Kind != kind || u.Channel != "mail" {
			t.Errorf("%s by %s: %v, want an error of kind %v", u.To, u.Channel, u.Err, kind)
		}
	}
	if !slices.Equal(who, []access.Principal{boris, chen, ana}) {
		t.Errorf("reported %v, want everybody", who)
	}
}

func TestRefusalsOfTheServerAreReported(t *testing.T) {
	for _, test := range []struct {
		name string
		at   smtptest.Step
		code int
		more smtp.EnhancedCode
		kind access.Kind
		says string
	}{
		{"log-in, for now", smtptest.AtAuth, 454, smtp.EnhancedCode{4, 7, 0}, access.Unavailable, "the log-in: 454 4.7.0"},
		{"log-in, Exchange Online without passwords", smtptest.AtAuth, 550, smtp.EnhancedCode{5, 7, 30}, access.Upstream, "does not take passwords"},
		{"log-in, Gmail wants an app password", smtptest.AtAuth, 534, smtp.EnhancedCode{5, 7, 9}, access.Upstream, "app password"},
		{"sender, too many mails", smtptest.AtMail, 432, smtp.EnhancedCode{4, 3, 2}, access.Unavailable, "the sender: 432"},
		{"sender, not allowed", smtptest.AtMail, 553, smtp.EnhancedCode{5, 7, 1}, access.Upstream, "the sender: 553"},
		{"message, for now", smtptest.AtAnswer, 451, smtp.EnhancedCode{4, 3, 0}, access.Unavailable, "the message: 451"},
		{"message, spam", smtptest.AtAnswer, 554, smtp.EnhancedCode{5, 7, 1}, access.Upstream, "the message: 554"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := smtptest.Start(t, withUser(smtptest.Options{Refuse: map[smtptest.Step]*smtp.SMTPError{
				test.at: {Code: test.code, EnhancedCode: test.more, Message: "no"},
			}}))
			failed := mailer(t, config(s.Host, s.Port, s.Roots)).Notify(t.Context(), review()).Failed()
			wantUndelivered(t, failed, test.kind)
			if text := failed[0].Err.Error(); !strings.Contains(text, test.says) {
				t.Errorf("error is %q, want it to say %q", text, test.says)
			}
			if got := s.Messages(); len(got) != 0 {
				t.Errorf("sent %v", got)
			}
		})
	}
}

func TestThreat31_AServerThatHangsCostsNoMoreThanTheDeadline(t *testing.T) {
	for _, step := range smtptest.Steps {
		t.Run(string(step), func(t *testing.T) {
			s := smtptest.Start(t, withUser(smtptest.Options{Hang: step}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				<-s.Reached
				cancel()
			}()
			wantUndelivered(t, mailer(t, config(s.Host, s.Port, s.Roots)).Notify(ctx, review()).Failed(), access.TimedOut)
		})
	}
}

func TestThreat31_AServerThatBreaksOffIsReported(t *testing.T) {
	for _, step := range smtptest.Steps {
		t.Run(string(step), func(t *testing.T) {
			s := smtptest.Start(t, withUser(smtptest.Options{Cut: step}))
			failed := mailer(t, config(s.Host, s.Port, s.Roots)).Notify(t.Context(), review()).Failed()
			if len(failed) != 3 {
				t.Errorf("reported %v, want everybody", failed)
			}
			if got := s.Messages(); len(got) != 0 {
				t.Errorf("sent %v", got)
			}
		})
	}
}

func TestAStepHasATimeOfItsOwn(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{Hang: smtptest.AtGreeting}))
	c := config(s.Host, s.Port, s.Roots)
	c.ReadTimeout = time.Millisecond
	wantUndelivered(t, mailer(t, c).Notify(t.Context(), review()).Failed(), access.TimedOut)
}

func TestAContextThatIsOverSendsNothing(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantUndelivered(t, mailer(t, config(s.Host, s.Port, s.Roots)).Notify(ctx, review()).Failed(), access.TimedOut)
	if s.LogIns() != 0 {
		t.Error("logged in")
	}
}

func TestNobodyListensThere(t *testing.T) {
	c := config("127.0.0.1", 1, nil) // tcpmux
	wantUndelivered(t, mailer(t, c).Notify(t.Context(), review()).Failed(), access.Unavailable)
}

// part is a part of a mail, decoded.
type part struct{ kind, text string }

// parse reads a mail as another program would.
func parse(t *testing.T, data string) (netmail.Header, []part) {
	t.Helper()
	message, err := netmail.ReadMessage(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %q, %v", kind, err)
	}
	var parts []part
	for reader := multipart.NewReader(message.Body, parameters["boundary"]); ; {
		p, err := reader.NextRawPart()
		if err == io.EOF {
			return message.Header, parts
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, parameters, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil || !strings.EqualFold(parameters["charset"], "UTF-8") || p.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
			t.Fatalf("part header %v, %v", p.Header, err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part{kind, string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))})
	}
}

// decoded reads a header as mail programs do.
func decoded(t *testing.T, header string) string {
	t.Helper()
	text, err := new(mime.WordDecoder).DecodeHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Of two people who decline in one second, or of one with two reasons, each is a mail of
// its own to every mail server; the same sent twice is one.
func TestTwoDeclinesInOneSecondAreTwoMails(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	m := mailer(t, config(s.Host, s.Port, s.Roots))
	first := denied()
	other, another := first, first
	other.Decision.By, another.Decision.Comment = "chen@example.com", "another reason"
	ids := map[string]int{}
	for _, n := range []access.Notice{first, other, another, first} {
		if failed := m.Notify(t.Context(), n).Failed(); failed != nil {
			t.Fatal(failed)
		}
	}
	for _, message := range s.Messages() {
		_, rest, _ := strings.Cut(string(message.Data), "Message-ID:")
		id, _, _ := strings.Cut(rest, ">")
		ids[strings.TrimSpace(id)]++
	}
	if len(ids) != 3 {
		t.Errorf("message ids: %v", ids)
	}
}
