package mail_test

import (
	"mime"
	"net/mail"
	"regexp"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/words"
)

// encoded is a header of encoded words (RFC 2047) alone, none longer than 75 characters.
var encoded = regexp.MustCompile(`^=\?(?i:utf-8)\?[qb]\?[!-~]{1,63}\?=$`)

// Mails are in the language of the deployment, headers too; testdata/TAG-NAME has how two look.
func TestMailsSpeakTheLanguageOfTheDeployment(t *testing.T) {
	hostile := review() // an address that looks like an encoded word
	hostile.Request.Principal = "=?utf-8?q?ana?=@example.com"
	for tag, sender := range map[string]string{"de": "Zugriff für Müller & Söhne", "ja": "アクセス管理（本番環境）"} {
		s := smtptest.Start(t, withUser(smtptest.Options{}))
		c := config(s.Host, s.Port, s.Roots)
		c.Language, c.SenderName = words.Tagged(tag), sender
		m := mailer(t, c)
		for name, n := range map[string]access.Notice{"review": review(), "approved": approved(), "reconciled": reconciled(), "hostile": hostile} {
			if failed := m.Notify(t.Context(), n).Failed(); failed != nil {
				t.Fatal(failed)
			}
			messages := s.Messages()
			sent := string(messages[len(messages)-1].Data)
			for line := range strings.Lines(sent[:strings.Index(sent, "\r\n\r\n")]) {
				if len(line) > 78+2 || strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
					t.Errorf("%s, %s: a line of the head is %q", tag, name, line)
				}
			}
			header, parts := parse(t, messages[len(messages)-1].Data)
			subject := header.Get("Subject")
			for word := range strings.FieldsSeq(subject) {
				if tag == "ja" && word != "Re:" && !encoded.MatchString(word) {
					t.Errorf("%s, %s: the subject has %q", tag, name, word)
				}
			}
			read, err := new(mime.WordDecoder).DecodeHeader(subject)
			want := words.Tagged(tag).Text("notice.subject", "principal", n.Request.Principal, "kind", words.Tagged(tag).Text("kind.projects"),
				"name", n.Request.Resource.Name())
			if n.Kind == access.NoticeReconciled {
				want = words.Tagged(tag).Text("notice.reconciled.subject", "count", n.Round.Differences)
			}
			if err != nil || strings.TrimPrefix(read, "Re: ") != want {
				t.Errorf("%s, %s: the subject reads %q, want %q: %v", tag, name, read, want, err)
			}
			from, err := mail.ParseAddress(header.Get("From"))
			if err != nil || from.Name != sender {
				t.Errorf("%s, %s: from %v: %v", tag, name, from, err)
			}
			if !strings.Contains(parts[1].text, `<html lang="`+tag+`">`) {
				t.Errorf("%s, %s: the mail does not say its language", tag, name)
			}
			if name != "hostile" {
				golden(t, tag+"-"+name+".txt", "Subject: "+read+"\n\n"+parts[0].text)
				golden(t, tag+"-"+name+".html", parts[1].text)
			}
		}
	}
}
