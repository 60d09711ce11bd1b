package mail_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
)

func TestBouncesGoToTheReturnPath(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	c := config(s.Host, s.Port, s.Roots)
	c.ReturnPath, c.Hello = "Bounces@example.com", "jit.example.com"
	if failed := mailer(t, c).Notify(t.Context(), review()).Failed(); failed != nil {
		t.Fatal(failed)
	}
	got := s.Messages()[0]
	if got.From != "bounces@example.com" || got.Hello != "jit.example.com" {
		t.Errorf("from %q, hello %q", got.From, got.Hello)
	}
	if header, _ := parse(t, got.Data); header.Get("From") != `"JIT Access" <jit@example.com>` {
		t.Errorf("From is %s", header.Get("From"))
	}
}

func TestAServerByItsAddress(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		s := smtptest.Start(t, withUser(smtptest.Options{ImplicitTLS: implicit}))
		c := config("::1", s.Port, s.Roots)
		c.ImplicitTLS = implicit
		var dialed []string
		c.Dial = func(_ context.Context, network, address string) (net.Conn, error) {
			dialed = append(dialed, address)
			return net.Dial(network, net.JoinHostPort(s.Host, strconv.Itoa(s.Port)))
		}
		if failed := mailer(t, c).Notify(t.Context(), review()).Failed(); failed != nil {
			t.Error(failed)
		}
		if len(dialed) != 1 || dialed[0] != fmt.Sprintf("[::1]:%d", s.Port) {
			t.Errorf("dialed %q", dialed)
		}
		// The certificate is not for this one.
		c.Host = "2001:db8::25"
		wantUndelivered(t, mailer(t, c).Notify(t.Context(), review()).Failed(), access.Upstream)
	}
}

func TestWhereRepliesAndConfirmationsGo(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	c := config(s.Host, s.Port, s.Roots)
	for _, test := range []struct{ reply, confirmation, says string }{
		{"", "", "Nobody reads replies to this mail, and a reply decides nothing."},
		{"Help@example.com", "Read@example.com", "Replies to this mail go to help@example.com; a reply decides nothing."},
	} {
		c.ReplyTo, c.ConfirmationTo = test.reply, test.confirmation
		m := mailer(t, c)
		for _, n := range []access.Notice{review(), approved()} {
			if failed := m.Notify(t.Context(), n).Failed(); failed != nil {
				t.Fatal(failed)
			}
			got := s.Messages()[len(s.Messages())-1]
			header, parts := parse(t, got.Data)
			for name, address := range map[string]string{"Reply-To": test.reply, "Disposition-Notification-To": test.confirmation} {
				want := ""
				if address != "" {
					want = "<" + strings.ToLower(address) + ">"
				}
				if header.Get(name) != want {
					t.Errorf("%s is %q, want %q", name, header.Get(name), want)
				}
			}
			if !strings.Contains(parts[0].text, test.says) || !strings.Contains(parts[1].text, test.says) {
				t.Errorf("it does not say %q:\n%s", test.says, parts[0].text)
			}
			if got.From != "jit@example.com" {
				t.Errorf("from %q", got.From)
			}
		}
	}
}

func TestTheFirstMechanismThatIsOfferedIsTaken(t *testing.T) {
	for _, c := range []struct {
		wanted, offered string
		logsIn          bool
	}{
		{"LOGIN", "PLAIN LOGIN", true}, {"LOGIN PLAIN", "PLAIN", true}, {"PLAIN", "PLAIN LOGIN", true}, {"LOGIN", "PLAIN", false}, {"PLAIN", "LOGIN", false},
	} {
		s := smtptest.Start(t, withUser(smtptest.Options{Mechanisms: strings.Fields(c.offered)}))
		mc := config(s.Host, s.Port, s.Roots)
		mc.Mechanisms = strings.Fields(c.wanted)
		failed := mailer(t, mc).Notify(t.Context(), review()).Failed()
		if (failed == nil) != c.logsIn || !c.logsIn && s.LogIns() != 0 {
			t.Errorf("wanted %s, offered %s: %v", c.wanted, c.offered, failed)
		}
	}
}

func TestVersionsOfTLSCanBeNarrowedAndNotWidened(t *testing.T) {
	for _, c := range []struct {
		least, most uint16
		good        bool
	}{
		{0, 0, true}, {tls.VersionTLS12, tls.VersionTLS12, true}, {tls.VersionTLS13, tls.VersionTLS13, true}, {tls.VersionTLS12, tls.VersionTLS13, true},
		{tls.VersionTLS11, 0, false}, {0, tls.VersionTLS11, false}, {tls.VersionTLS13, tls.VersionTLS12, false},
	} {
		s := smtptest.Start(t, withUser(smtptest.Options{}))
		mc := config(s.Host, s.Port, s.Roots)
		mc.MinTLS, mc.MaxTLS = c.least, c.most
		m, err := mail.New(mc)
		if (err == nil) != c.good {
			t.Errorf("%x to %x: %v", c.least, c.most, err)
		}
		if err != nil {
			continue
		}
		if failed := m.Notify(t.Context(), review()).Failed(); failed != nil {
			t.Errorf("%x to %x: %v", c.least, c.most, failed)
		}
	}
}

// Somebody whose address cannot be found is not told; everybody else is.
func TestAnAddressThatCannotBeMappedConcernsOnePerson(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	c := config(s.Host, s.Port, s.Roots)
	c.Address = func(p access.Principal) (string, error) {
		switch p {
		case boris:
			return "", errors.New("no such key: boris")
		case chen:
			return "chen@mail.example.org", nil
		}
		return string(p), nil
	}
	failed := mailer(t, c).Notify(t.Context(), review()).Failed()
	if len(failed) != 1 || failed[0].To != boris || failed[0].Channel != mail.Channel || failed[0].Err == nil {
		t.Fatalf("got %v", failed)
	}
	if got := strings.Join(s.Messages()[0].To, " "); got != "chen@mail.example.org ana@example.com" {
		t.Errorf("sent to %s", got)
	}
}

// Package config has said so to operators before; here it would reach the server.
func TestAddressesThatAreNoneAreNotUsed(t *testing.T) {
	for name, change := range map[string]func(*mail.Config){
		"sender":                   func(c *mail.Config) { c.Sender = "JIT <jit@example.com>" },
		"return path":              func(c *mail.Config) { c.ReturnPath = "jit@example.com> SIZE=1" },
		"reply address":            func(c *mail.Config) { c.ReplyTo = "jit@example.com\r\nBcc: x@example.com" },
		"address of confirmations": func(c *mail.Config) { c.ConfirmationTo = "jit@example.com, x@example.com" },
	} {
		c := config("smtp.example.com", 587, nil)
		if _, err := mail.New(c); err != nil {
			t.Fatal(err)
		}
		change(&c)
		if _, err := mail.New(c); err == nil {
			t.Errorf("%s: it is accepted", name)
		}
	}
}

// People who share a mailbox get one mail, and none of them is taken for told when it
// is refused.
func TestThreat31_NobodyWhoSharesAnAddressIsForgotten(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{RefuseRecipient: map[string]*smtp.SMTPError{
		"team@example.com": {Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"},
	}}))
	c := config(s.Host, s.Port, s.Roots)
	shared := map[access.Principal]string{boris: "team@example.com", chen: "team@example.com", ana: "team@example.com"}
	c.Address = func(p access.Principal) (string, error) { return shared[p], nil }
	m := mailer(t, c)
	failed := m.Notify(t.Context(), review()).Failed()
	var who []access.Principal
	for _, u := range failed {
		who = append(who, u.To)
	}
	if !slices.Equal(who, []access.Principal{boris, chen, ana}) {
		t.Errorf("undelivered %v", failed)
	}
	if recent := m.Recent(); len(recent) != 1 || recent[0].Failure == nil || len(recent[0].To) != 3 {
		t.Errorf("remembers %v", recent)
	}
	shared[chen], shared[ana] = "other@example.com", "other@example.com"
	failed = m.Notify(t.Context(), review()).Failed()
	if len(failed) != 1 || failed[0].To != boris {
		t.Errorf("undelivered %v", failed)
	}
	if got := s.Messages(); len(got) != 1 || strings.Join(got[0].To, " ") != "other@example.com" || strings.Count(got[0].Data, "<other@example.com>") != 1 {
		t.Errorf("sent %v", got)
	}
}
