package mail

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"slices"
	"strings"
	"sync"
	texttemplate "text/template"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/notice"
)

//go:embed templates
var templates embed.FS

var (
	textLetter = sync.OnceValue(func() *texttemplate.Template {
		return texttemplate.Must(texttemplate.ParseFS(templates, "templates/letter.txt"))
	})
	htmlLetter = sync.OnceValue(func() *htmltemplate.Template {
		return htmltemplate.Must(htmltemplate.ParseFS(templates, "templates/letter.html"))
	})
)

// letter is a mail, ready but for its encoding.
type letter struct {
	to, cc []string
	// by is who did what it tells of.
	by      access.Principal
	subject string
	// id and inReplyTo are message ids without angle brackets; inReplyTo is empty
	// for the first mail of a request, or of a passkey.
	id, inReplyTo string
	date          time.Time
	// body renders both parts, when the letter is encoded.
	body func() (text, html string, err error)
}

// compose writes the letter for a notice, without its recipients. It does no I/O. User text goes
// into the body alone; the headers are made of fixed words, the request's id, its
// principal and its resource, all of which the writer has checked, and a number of a passkey.
func (m *Mailer) compose(n access.Notice) (letter, error) {
	facts, err := m.writer.Write(n)
	if err != nil {
		return letter{}, &access.Error{Kind: access.Internal, Code: access.CodeInternal, Err: fmt.Errorf("mail: compose: %w", err)}
	}
	replies := m.c.Language.Text("notice.mail.no-replies")
	if m.c.ReplyTo != "" {
		replies = m.c.Language.Text("notice.mail.replies", "address", m.c.ReplyTo)
	}
	facts.Notes = append(facts.Notes, replies)
	id, first := messageIDs.Replace(n.Request.ID), access.NoticeReview
	if n.Kind.OfPasskey() {
		id, first = "passkey-"+n.Passkey.ID(), access.NoticePasskeyAdded
	}
	if n.Kind.OfApplication() {
		id, first = fmt.Sprintf("application-%s-%d", n.Change.Application, n.Change.Number), n.Kind
	}
	if n.Kind == access.NoticeReconciled {
		id, first = fmt.Sprintf("reconciled-%d", n.Round.Began.Unix()), n.Kind
	}
	thread := m.c.MessageID(id+"."+string(first), m.domain())
	l := letter{by: facts.By, subject: facts.Subject, date: m.c.Now(), id: thread,
		body: func() (string, string, error) { return render(facts, m.c.Language.Tag()) }}
	if n.Kind != first && n.Kind != access.NoticeGlass { // which come first of a request
		if n.Kind != access.NoticeEnding { // of what was activated without others there is no first mail
			l.subject, l.inReplyTo = "Re: "+l.subject, thread
		}
		// Without a memory several reviewers may decline one request, also in one second;
		// were the ids the same, mail servers would drop all but the first.
		// What tells of no decision is told apart by its own id, which stays when it is sent again.
		d := n.Decision
		said := sha256.Sum256(fmt.Append(nil, d.At.Unix(), d.By, " ", d.Comment))
		if d.At.IsZero() {
			said = sha256.Sum256(fmt.Append(nil, n.ID, n.Bounce.To))
		}
		messageID := m.c.MessageID
		if n.Kind == access.NoticeBounced {
			messageID = plainID // that this one comes back is told to nobody, by a mail that comes back
		}
		l.id = messageID(fmt.Sprintf("%s.%s.%x", id, n.Kind, said[:5]), m.domain())
	}
	l.subject = headerText(l.subject)
	return l, nil
}

func render(facts notice.Facts, language string) (text, html string, err error) {
	var t, h bytes.Buffer
	said := struct {
		notice.Facts
		Language string
	}{facts, language}
	err = errors.Join(textLetter().Execute(&t, said), htmlLetter().Execute(&h, said))
	return t.String(), h.String(), err
}

// messageIDs encodes what ids of 1.x may contain and Message-IDs had better not.
var messageIDs = strings.NewReplacer("+", "%2B", "/", "%2F")

func plainID(words, domain string) string { return words + "@" + domain }

// headerText keeps readers from decoding a subject that was never encoded: an
// address may legally look like an encoded word (RFC 2047).
func headerText(s string) string {
	if !strings.Contains(s, "=?") || strings.ContainsFunc(s, func(r rune) bool { return r > '~' }) {
		return s // what is not ASCII is encoded as a whole
	}
	// The text is ASCII, so it may be cut anywhere. 45 bytes make an encoded word
	// of 72, of at most 75.
	var words []string
	for part := range slices.Chunk([]byte(s), 45) {
		words = append(words, "=?UTF-8?B?"+base64.StdEncoding.EncodeToString(part)+"?=")
	}
	return strings.Join(words, " ")
}
