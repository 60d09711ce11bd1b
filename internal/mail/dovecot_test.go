package mail_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"jitaccess/internal/access"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/postfixtest"
)

// TestDovecot reads every letter back as a mail program does, over IMAP, from a
// server that others have written, behind another such: what we meant is what
// arrives, and looks like it.
func TestDovecot(t *testing.T) {
	p := startPostfix(t)
	d := postfixtest.StartDovecot(t, p, "boris")
	box := openMailbox(t, d, p, "boris@example.com")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	machine := regexp.MustCompile(`(?i)\b` + regexp.QuoteMeta(host) + `\b`)
	key := newDKIMKey(t, "rsa")
	zone, err := time.LoadLocation("Australia/Melbourne")
	if err != nil {
		t.Fatal(err)
	}
	c := postfixConfig(p)
	c.SenderName = "Zugänge «JIT»"
	c.Location = zone
	c.Sign = mail.NewDKIM("jit2026", "example.com", holds(key.pem))
	arrived, pages := map[string]string{}, map[string]string{}
	all := renderedLetters()
	for name, n := range all {
		if !slices.Contains(slices.Concat(n.To, n.CC), boris) { // whose mailbox is read
			n.CC = append(slices.Clone(n.CC), boris)
		}
		// Nobody there is called Chen.
		failed := mailer(t, c).Notify(t.Context(), n).Failed()
		if slices.ContainsFunc(failed, func(u access.Receipt) bool { return u.To == ana || u.To == boris }) {
			t.Fatal(failed)
		}
		p.Wait(t, "to=<boris@example.com>", 1)
		got := box.newest()
		raw := string(got.BodySection[0].Bytes)
		arrived[name] = raw
		header, parts := parse(t, raw)
		kind, begins := strings.TrimSuffix(n.Request.Resource.Kind(), "s")+" "+n.Request.Resource.Name(), false
		subject := string(n.Request.Principal) + " requests access to " + kind
		first := strings.NewReplacer("+", "%2B", "/", "%2F").Replace(n.Request.ID) + ".review@example.com"
		switch n.Kind {
		case access.NoticeReview:
			begins = true
		case access.NoticeEnding: // of what was activated without others it is the only mail
			subject = "Your access to " + kind + " ends soon"
		case access.NoticeGlass, access.NoticeGlassReviewed:
			subject, begins = string(n.Request.Principal)+" breaks the glass for "+kind, n.Kind == access.NoticeGlass
		case access.NoticePasskeyAdded, access.NoticePasskeyApproved, access.NoticePasskeyRemoved:
			subject, begins = "Passkey "+n.Passkey.ID()+" of "+string(n.Passkey.Of), n.Kind == access.NoticePasskeyAdded
			first = "passkey-" + n.Passkey.ID() + ".passkey-added@example.com"
		case access.NoticeChangeWaits, access.NoticeChangedAlone:
			subject, begins = "A change of application deployer waits for you", true
			if n.Kind == access.NoticeChangedAlone {
				subject = "dora@example.com changed application deployer alone"
			}
			first = "application-deployer-2." + string(n.Kind) + "@example.com"
		}
		if n.Kind == access.NoticeReconciled {
			subject, begins, first = "23 differences between access that stands and what is remembered", true,
				fmt.Sprintf("reconciled-%d.reconciled@example.com", now.Unix())
			if n.Round.Differences == 0 {
				subject = "The weekly check of access could not look at everything"
			}
		}
		if a := n.Request.Asking; a.Unlinked {
			subject = a.Application + " asks to approve " + a.Template
		} else if !a.IsZero() {
			subject = a.Application + " asks to approve " + a.Template + " for " + string(n.Request.Principal)
		}
		answers := !begins && n.Kind != access.NoticeEnding
		if answers {
			subject = "Re: " + subject
		}
		e := got.Envelope
		if e.Subject != subject || len(e.From) != 1 || e.From[0].Name != c.SenderName || e.From[0].Addr() != c.Sender || !e.Date.Equal(now) {
			t.Errorf("%s: the subject is %q, the sender %v, the date %s", name, e.Subject, e.From, e.Date)
		}
		// Mail programs thread by these, and servers sort out-of-office replies by those.
		if begins != (e.MessageID == first) || !strings.HasSuffix(e.MessageID, "@example.com") ||
			!answers && (e.InReplyTo != nil || header.Get("References") != "") ||
			answers && (!slices.Equal(e.InReplyTo, []string{first}) || header.Get("References") != "<"+first+">") {
			t.Errorf("%s: message %q answers %q, after %q", name, e.MessageID, e.InReplyTo, header.Get("References"))
		}
		for field, want := range map[string]string{"Auto-Submitted": "auto-generated", "Precedence": "bulk", "Return-Path": "<jit@example.com>"} {
			if got := header.Get(field); got != want {
				t.Errorf("%s: %s is %q, want %q", name, field, got, want)
			}
		}
		for field, values := range header {
			// These are partly random.
			if field != "Dkim-Signature" && field != "Content-Type" && machine.MatchString(strings.Join(values, " ")) {
				t.Errorf("%s: %s names the machine: %q", name, field, values)
			}
		}
		if got := structure(got.BodyStructure); got != "multipart/alternative(text/plain UTF-8, text/html UTF-8)" {
			t.Errorf("%s is built as %s", name, got)
		}
		// What it is to say stands in the golden files.
		if _, err := os.Stat(filepath.Join("testdata", name+".html")); err == nil {
			golden(t, name+".html", parts[1].text)
		}
		for _, p := range parts {
			if n.Request.Justification == everyScript && !strings.Contains(p.text, everyScript) {
				t.Errorf("%s: the %s has another reason:\n%s", name, p.kind, p.text)
			}
		}
		pages[name] = parts[1].text
	}
	wantVerified(t, true, arrived, key.record)
	box.wantThread("review", "approved", arrived)
	t.Run("rendered", func(t *testing.T) { wantReadable(t, pages) })
}

// structure is a body structure in one line.
func structure(s imap.BodyStructure) string {
	switch s := s.(type) {
	case *imap.BodyStructureMultiPart:
		var parts []string
		for _, child := range s.Children {
			parts = append(parts, structure(child))
		}
		return s.MediaType() + "(" + strings.Join(parts, ", ") + ")"
	case *imap.BodyStructureSinglePart:
		return s.MediaType() + " " + s.Params["charset"]
	}
	return "nothing"
}

// inbox is somebody's mail, seen through IMAP.
type inbox struct {
	t      *testing.T
	client *imapclient.Client
}

// openMailbox logs in, under the protection of TLS that STARTTLS has begun.
func openMailbox(t *testing.T, d *postfixtest.Dovecot, p *postfixtest.Postfix, who string) *inbox {
	t.Helper()
	client, err := imapclient.DialStartTLS(net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port)),
		&imapclient.Options{TLSConfig: &tls.Config{RootCAs: p.TLS.Roots}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.Login(who, secret).Wait(); err != nil {
		t.Fatal(err)
	}
	return &inbox{t, client}
}

// newest is the mail that came last. Dovecot looks for it when the box is selected.
func (m *inbox) newest() *imapclient.FetchMessageBuffer {
	m.t.Helper()
	inbox, err := m.client.Select("INBOX", nil).Wait()
	if err != nil || inbox.NumMessages == 0 {
		m.t.Fatalf("%+v %v", inbox, err)
	}
	found, err := m.client.Fetch(imap.SeqSetNum(inbox.NumMessages), &imap.FetchOptions{
		Envelope: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
	if err != nil || len(found) != 1 || len(found[0].BodySection) != 1 {
		m.t.Fatalf("%+v %v", found, err)
	}
	return found[0]
}

// wantThread demands that the server finds one letter below another.
func (m *inbox) wantThread(above, below string, arrived map[string]string) {
	m.t.Helper()
	id := func(name string) uint32 {
		header, _ := parse(m.t, arrived[name])
		found, err := m.client.Search(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: header.Get("Message-Id")}}}, nil).Wait()
		if err != nil || len(found.AllSeqNums()) == 0 {
			m.t.Fatalf("%s: %v %v", name, found, err)
		}
		return found.AllSeqNums()[0]
	}
	threads, err := m.client.Thread(&imapclient.ThreadOptions{Algorithm: imap.ThreadReferences, SearchCriteria: &imap.SearchCriteria{}}).Wait()
	if err != nil {
		m.t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v", threads); len(threads) == 0 || !inOneThread(threads, id(above), id(below)) {
		m.t.Errorf("%s (%d) and %s (%d) are in no thread of %s", above, id(above), below, id(below), text)
	}
}

func inOneThread(threads []imapclient.ThreadData, one, other uint32) bool {
	var members func(d imapclient.ThreadData) []uint32
	members = func(d imapclient.ThreadData) []uint32 {
		all := slices.Clone(d.Chain)
		for _, below := range d.SubThreads {
			all = append(all, members(below)...)
		}
		return all
	}
	return slices.ContainsFunc(threads, func(d imapclient.ThreadData) bool {
		all := members(d)
		return slices.Contains(all, one) && slices.Contains(all, other)
	})
}
