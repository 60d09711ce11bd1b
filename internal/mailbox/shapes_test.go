package mailbox_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"jitaccess/internal/mailbox"
)

// ours is the Message-ID of a mail of ours, request what that was about.
const (
	ours    = "mpa-AAAAAAAAAAAAAAAA.review.0123456789abcdef0123@example.com"
	request = "mpa-AAAAAAAAAAAAAAAA"
)

func requestOf(id string) (string, bool) { return request, id == ours }

// report is one of RFC 3464, as section 2 and the examples of its appendix have it: parts is what
// stands after the text for people.
func report(header string, parts ...string) string {
	return header + `MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_b"

This is a MIME-encapsulated message.

--=_b
Content-Type: text/plain; charset=us-ascii

A mail of yours could not be delivered.

--=_b
` + strings.Join(parts, "\n--=_b\n") + "\n--=_b--\n"
}

const fromPostfix = `From: MAILER-DAEMON@mail.example.net (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: jit@example.com
Auto-Submitted: auto-replied
Message-Id: <20260302093000.1A2B3@mail.example.net>
`

// status is a part of type message/delivery-status with such groups about recipients.
func status(groups ...string) string {
	return "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mail.example.net\nArrival-Date: Mon, 2 Mar 2026 09:30:00 +0000\n\n" +
		strings.Join(groups, "\n")
}

const refused = `Final-Recipient: rfc822; ben@example.net
Original-Recipient: rfc822;ben@example.com
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.net
Diagnostic-Code: smtp; 550 5.1.1 <ben@example.net>: Recipient address
    rejected: User unknown in virtual mailbox table
`

// returned is the header of a mail of ours with that Message-ID.
func returned(kind, id string) string {
	return "Content-Type: " + kind + "\n\nFrom: JIT Access <jit@example.com>\nTo: <ben@example.com>\nSubject: ana@example.com requests access\n" +
		"Message-ID: <" + id + ">\n"
}

// shapes are the reports of mail servers that ours could not be delivered, each written from what
// its documentation says of the form.
var shapes = map[string]struct {
	mail string
	want string // whom it did not reach, with the status and what the server said
}{
	"RFC 3464, with the header": {report(fromPostfix, status(refused), returned("text/rfc822-headers", ours)),
		"ben@example.com 5.1.1 550 5.1.1 <ben@example.net>: Recipient address rejected: User unknown in virtual mailbox table"},
	"RFC 3464, with the mail": {report(fromPostfix, status(refused), returned("message/rfc822", ours)+"\nThe text of ours, which says 4.0.0 and X-Failed-Recipients: eve@example.com\n"),
		"ben@example.com 5.1.1 550 5.1.1 <ben@example.net>: Recipient address rejected: User unknown in virtual mailbox table"},
	"RFC 6533": {report(fromPostfix, "Content-Type: message/global-delivery-status\n\nReporting-MTA: dns; mail.example.net\n\n"+refused,
		returned("message/global-headers", ours)), "ben@example.com 5.1.1 550 5.1.1 <ben@example.net>: Recipient address rejected: User unknown in virtual mailbox table"},
	"two of three": {report(fromPostfix, status(refused,
		"Final-Recipient: rfc822; cho@example.com\nAction: delayed\nStatus: 4.4.1\n",
		"Final-Recipient: RFC822; Dan@Example.com\nAction: FAILED\nStatus: 5.2.2 (mailbox full)\nDiagnostic-Code: smtp; 552 5.2.2 over quota\n"),
		returned("text/rfc822-headers", ours)),
		"ben@example.com 5.1.1 550 5.1.1 <ben@example.net>: Recipient address rejected: User unknown in virtual mailbox table; dan@example.com 5.2.2 552 5.2.2 over quota"},
	"one of whom it is said twice": {report(fromPostfix, status(refused, refused), returned("text/rfc822-headers", ours)),
		"ben@example.com 5.1.1 550 5.1.1 <ben@example.net>: Recipient address rejected: User unknown in virtual mailbox table"},
	"given up after days": {report(fromPostfix, status("Final-Recipient: rfc822; ben@example.com\nAction: failed\nStatus: 4.4.1\n"),
		returned("message/rfc822", ours)), "ben@example.com 4.4.1 "},
	"an address that is none": {report(fromPostfix, status("Final-Recipient: x400; /S=Ben/O=Example/\nAction: failed\nStatus: 5.1.1\n"),
		returned("message/rfc822", ours)), " 5.1.1 "},
	"no status": {report(fromPostfix, status("Final-Recipient: rfc822; ben@example.com\nAction: failed\nStatus: nonsense\n"),
		returned("message/rfc822", ours)), "ben@example.com  "},

	// Exchange: the text is HTML and in the language of the tenant, and of ours nothing may come
	// back but its Message-ID in what the report answers.
	"Exchange": {`From: postmaster@tenant.example.com
To: jit@example.com
Subject: =?utf-8?Q?Unzustellbar=3A?=
X-MS-Exchange-Message-Is-Ndr:
In-Reply-To: <` + ours + `>
References: <` + ours + `>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
 boundary="abc"

--abc
Content-Type: multipart/alternative; differences=Content-Type; boundary="inner"

--inner
Content-Type: text/plain; charset="iso-8859-1"
Content-Transfer-Encoding: quoted-printable

Fehler bei der =DCbermittlung

--inner
Content-Type: text/html; charset="iso-8859-1"
Content-Transfer-Encoding: quoted-printable

<html><body><p>ben@example.com</p></body></html>

--inner--

--abc
Content-Type: message/delivery-status

Reporting-MTA: dns;AM0PR0102.eurprd01.prod.outlook.com

Final-recipient: RFC822; ben@example.com
Action: failed
Status: 5.7.124
Diagnostic-Code: smtp;550 5.7.124 RESOLVER.RST.SenderNotInAllowedSendersList; not allowed
X-Display-Name: Ben

--abc--
`, "ben@example.com 5.7.124 550 5.7.124 RESOLVER.RST.SenderNotInAllowedSendersList; not allowed"},
	"Exchange, no report": {`From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@tenant.example.com>
To: jit@example.com
X-MS-Exchange-Message-Is-Ndr:
In-Reply-To: <` + ours + `>
MIME-Version: 1.0
Content-Type: text/html; charset=utf-8

<html><body><b>Remote Server returned</b><br>&#39;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup&#39;</body></html>
`, " 5.1.10 '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup'"},

	"Gmail": {`From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>
To: jit@example.com
Auto-Submitted: auto-replied
Subject: Delivery Status Notification (Failure)
References: <` + ours + `>
In-Reply-To: <` + ours + `>
X-Failed-Recipients: ben@example.com
Content-Type: multipart/report; boundary="0000"; report-type=delivery-status

--0000
Content-Type: multipart/related; boundary="0001"

--0001
Content-Type: multipart/alternative; boundary="0002"

--0002
Content-Type: text/plain; charset="UTF-8"

** Address not found **

--0002
Content-Type: text/html; charset="UTF-8"

<html>Address not found</html>

--0002--
--0001
Content-Type: image/png; name="icon.png"
Content-Transfer-Encoding: base64

iVBORw0KGgo=
--0001--
--0000
Content-Type: message/delivery-status

Reporting-MTA: dns; googlemail.com

Final-Recipient: rfc822; ben@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist.

--0000
Content-Type: message/rfc822

Message-ID: <` + ours + `>
Subject: s

--0000--
`, "ben@example.com 5.1.1 550-5.1.1 The email account that you tried to reach does not exist."},
	"Gmail, text alone": {`From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>
To: jit@example.com
Subject: Delivery Status Notification (Failure)
X-Failed-Recipients: ben@example.com, Cho@example.com
In-Reply-To: <` + ours + `>
Content-Type: text/plain; charset=UTF-8

Delivery to the following recipients failed permanently:

     ben@example.com

Technical details of permanent failure:
The error that the other server returned was: 552 5.2.2 The mailbox is over quota
`, "ben@example.com 5.2.2 The error that the other server returned was: 552 5.2.2 The mailbox is over quota; " +
		"cho@example.com 5.2.2 The error that the other server returned was: 552 5.2.2 The mailbox is over quota"},

	"Exim, no report": {`From: Mail Delivery System <Mailer-Daemon@mx.example.net>
To: jit@example.com
Subject: Mail delivery failed: returning message to sender
X-Failed-Recipients: ben@example.com
Auto-Submitted: auto-replied

This message was created automatically by mail delivery software.

  ben@example.com
    host mx.example.com [192.0.2.1]
    SMTP error from remote mail server after RCPT TO:<ben@example.com>:
    550 5.7.1 relaying denied

------ This is a copy of the message, including all the headers. ------

Return-path: <jit@example.com>
From: JIT Access <jit@example.com>
To: <ben@example.com>
Message-ID: <` + ours + `>

Text.
`, "ben@example.com 5.7.1 550 5.7.1 relaying denied"},

	// Postfix that does not speak MIME (RFC 3462 came in 2003), and qmail.
	"a daemon's text": {`Return-Path: <>
From: MAILER-DAEMON@mail.example.net
To: jit@example.com
Subject: failure notice

Hi. This is the program at mail.example.net.
<ben@example.com>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

Message-ID: <` + ours + `>
`, " 5.1.1 Sorry, no mailbox here by that name. (#5.1.1)"},
}

func read(mail string) (mailbox.Returned, bool) {
	return mailbox.Read(strings.NewReader(strings.ReplaceAll(mail, "\n", "\r\n")), requestOf)
}

func inWords(r mailbox.Returned) string {
	var all []string
	for _, f := range r.Failures {
		all = append(all, fmt.Sprint(f.To, " ", f.Status, " ", f.Text))
	}
	return strings.Join(all, "; ")
}

// What a mail server says of ours is understood, in the form of the standard and in those that are none.
func TestReportsOfMailServersAreUnderstood(t *testing.T) {
	for name, c := range shapes {
		t.Run(name, func(t *testing.T) {
			r, ok := read(c.mail)
			if !ok || r.Request != request || inWords(r) != c.want {
				t.Errorf("%v %s\n %q, want\n %q", ok, r.Request, inWords(r), c.want)
			}
			// Of another mail, or one that was made up, it says nothing to us.
			if r, ok := read(strings.ReplaceAll(c.mail, ours, "mpa-AAAAAAAAAAAAAAAA.review.0123456789abcdef0124@example.com")); ok {
				t.Errorf("made up: %+v", r)
			}
			if r, ok := read(strings.ReplaceAll(c.mail, "<"+ours+">", "")); ok {
				t.Errorf("without a Message-ID: %+v", r)
			}
		})
	}
}

// Everything else is none, though it bears our Message-ID: it is left alone.
func TestWhatIsNoReportIsLeftAlone(t *testing.T) {
	answers := "In-Reply-To: <" + ours + ">\nReferences: <" + ours + ">\n"
	other := "CAB.1@mail.example.org"
	for name, mail := range map[string]string{
		"a reply that approves": "From: Ben <ben@example.com>\nTo: jit@example.com\nSubject: Re: ana@example.com requests access\n" + answers + "\napprove\n5.1.1 550 failed\n",
		"a reply with the mail in it": "From: Ben <ben@example.com>\n" + answers + "Content-Type: multipart/mixed; boundary=\"x\"\n\n--x\nContent-Type: text/plain\n\nApproved!\n--x\n" +
			status(refused) + "\n--x\n" + returned("message/rfc822", ours) + "\n--x--\n",
		"out of office": "From: Ben <ben@example.com>\nSubject: Automatic reply\nAuto-Submitted: auto-replied (vacation)\nPrecedence: bulk\nX-Auto-Response-Suppress: All\n" +
			answers + "\nI am away until 5.1.1, call 550 1234.\n",
		"a list's answer": "From: sre-owner@example.com\nAuto-Submitted: auto-generated\nList-Id: <sre.example.com>\n" + answers + "\nHeld: 550 5.7.1 not a member\n",
		"a read receipt": "From: Ben <ben@example.com>\n" + answers + "Content-Type: multipart/report; report-type=disposition-notification; boundary=\"x\"\n\n--x\n" +
			"Content-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; ben@example.com\nOriginal-Message-ID: <" + ours + ">\n" +
			"Disposition: manual-action/MDN-sent-manually; displayed\nAction: failed\n\n--x\n" + returned("text/rfc822-headers", ours) + "\n--x--\n",
		"a complaint": "From: abuse@example.net\nContent-Type: multipart/report; report-type=feedback-report; boundary=\"x\"\n\n--x\n" + status(refused) + "\n--x\n" +
			returned("message/rfc822", ours) + "\n--x--\n",
		"a warning of a delay": report(fromPostfix, status("Final-Recipient: rfc822; ben@example.com\nAction: delayed\nStatus: 4.4.1\n"), returned("text/rfc822-headers", ours)),
		"that it was delivered": report(fromPostfix, status("Final-Recipient: rfc822; ben@example.com\nAction: delivered\nStatus: 2.0.0\n",
			"Final-Recipient: rfc822; cho@example.com\nAction: relayed\nStatus: 2.0.0\n", "Final-Recipient: rfc822; sre@example.com\nAction: expanded\nStatus: 2.0.0\n"),
			returned("text/rfc822-headers", ours)),
		"a report about nobody": report(fromPostfix, status(), returned("text/rfc822-headers", ours)),
		"of a reply to ours":    report(fromPostfix+answers, status(refused), "Content-Type: message/rfc822\n\nFrom: ben@example.com\nMessage-ID: <"+other+">\n"+answers+"\nApproved.\n"),
		"of a reply to ours, as text": "From: Mail Delivery System <Mailer-Daemon@mx.example.net>\nX-Failed-Recipients: ana@example.com\n" + answers +
			"\n550 5.1.1 no\n\n------ copy ------\nMessage-ID: <" + other + ">\n" + answers + "\nApproved.\n",
		"of a mail without a Message-ID": report(fromPostfix+answers, status(refused), "Content-Type: message/rfc822\n\nFrom: ben@example.com\n"+answers+"\nApproved.\n"),
		"a daemon that warns": "Return-Path: <>\nFrom: MAILER-DAEMON@mail.example.net\nAuto-Submitted: auto-replied\n" + answers +
			"\nTHIS IS A WARNING MESSAGE ONLY. 4.4.1 connection timed out; it is tried for 4 more days\n",
		"a person called postmaster": "From: postmaster@example.com\nSubject: Re: access\n" + answers + "\nI saw 550 5.1.1 in the log. Approved.\n",
		"nothing":                    "", "no header": "\n\n550 5.1.1\n", "no mail": "\x00\xff\xfe",
		"a header without an end": "From: MAILER-DAEMON@example.net\nX-Failed-Recipients: " + strings.Repeat("ben@example.com, ", 10_000) + "\n" + answers + "\n550 5.1.1\n",
	} {
		if r, ok := read(mail); ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// nested is a report in so many multiparts.
func nested(depth int) string {
	var b, end strings.Builder
	b.WriteString(fromPostfix)
	for i := range depth {
		kind := "mixed"
		if i == 0 {
			kind = "report; report-type=delivery-status"
		}
		fmt.Fprintf(&b, "Content-Type: multipart/%s; boundary=\"b%d\"\n\n--b%d\n", kind, i, i)
	}
	b.WriteString(status(refused))
	for i := range depth {
		fmt.Fprintf(&end, "\n--b%d--\n", depth-1-i)
	}
	return b.String() + strings.Replace(end.String(), "\n--b0--", "\n--b0\n"+returned("text/rfc822-headers", ours)+"\n--b0--", 1)
}

// numbered is a text so many times, with its number in it.
func numbered(n int, text string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, text, i)
	}
	return b.String()
}

// As deep as mail servers nest, and not deeper.
func TestMultipartsInEachOther(t *testing.T) {
	for depth, want := range map[int]bool{1: true, 5: true, 6: false} {
		if r, ok := read(nested(depth)); ok != want {
			t.Errorf("%d: %+v", depth, r)
		}
	}
}

// hostile are mails that are meant to cost much.
func hostile() map[string]string {
	many := func(n int, text string) string { return strings.Repeat(text, n) }
	return map[string]string{
		"a thousand multiparts": nested(1000),
		"100,000 parts":         report(fromPostfix, status(refused), many(100_000, "Content-Type: text/plain\n\nx\n--=_b\n")+returned("text/rfc822-headers", ours)),
		"a thousand recipients": report(fromPostfix, status(numbered(1000, "Final-Recipient: rfc822; p%d@example.com\nAction: failed\n\n")),
			returned("text/rfc822-headers", ours)),
		"a thousand in a field": "From: MAILER-DAEMON@x\nX-Failed-Recipients: " + numbered(1000, "p%d@example.com, ") + "a@example.com\nIn-Reply-To: <" + ours + ">\n\n550 no\n",
		"a field of 10 MB":      fromPostfix + "X-Padding: " + many(10<<20, "x") + "\n\n",
		"a million fields":      fromPostfix + many(1_000_000, "X: y\n") + "\n",
		"a part's header":       report(fromPostfix, "Content-Type: message/delivery-status\n"+many(200_000, "X: y\n"), returned("text/rfc822-headers", ours)),
		"folded for ever":       fromPostfix + "Subject: x\n" + many(1_000_000, " y\n") + "\n",
		"base64 for ever":       report(fromPostfix, "Content-Type: text/html\nContent-Transfer-Encoding: base64\n\n"+many(1<<20, "PGI+"), status(refused)),
		"tags for ever":         "From: MAILER-DAEMON@x\nContent-Type: text/html\n\n" + many(1<<20, "<"),
		"references for ever":   "From: MAILER-DAEMON@x\nX-Failed-Recipients: a@b.example\nReferences: " + many(5000, "<a@b> ") + "\n\nx",
		"a charset":             report(fromPostfix, "Content-Type: text/plain; charset=utf-7\n\n+AAAA-", "Content-Type: text/plain; charset=\"\x00\"\n\nx"),
		"encodings":             report(fromPostfix, "Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n\nbegin", "Content-Transfer-Encoding: quoted-printable\n\n=ZZ=\n"),
		"a boundary":            fromPostfix + "Content-Type: multipart/report; boundary=\"" + many(5000, "b") + "\"\n\n--b\n",
		"no boundary":           fromPostfix + "Content-Type: multipart/report; report-type=delivery-status\n\n--\n\n--\n--\n",
		"control characters":    report(fromPostfix, status("Final-Recipient: rfc822; ben@example.com\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 \x1b[2J\u202e<script>"), returned("text/rfc822-headers", ours)),
	}
}

// No mail takes more than its bounds let it, and what is said is short and can be seen.
func TestHostileMailsAreBounded(t *testing.T) {
	for name, mail := range hostile() {
		t.Run(name, func(t *testing.T) {
			mail := strings.ReplaceAll(mail, "\n", "\r\n")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, ok := mailbox.Read(strings.NewReader(mail), requestOf)
			runtime.ReadMemStats(&after)
			wantHarmless(t, r, ok)
			if bytes := after.TotalAlloc - before.TotalAlloc; bytes > 64<<20 {
				t.Errorf("%d bytes", bytes)
			}
		})
	}
}

func wantHarmless(t testing.TB, r mailbox.Returned, ok bool) {
	t.Helper()
	if !ok {
		return
	}
	if len(r.Failures) == 0 || len(r.Failures) > 20 || r.Request != request {
		t.Fatalf("%+v", r)
	}
	for _, f := range r.Failures {
		if len(f.Text) > 310 || len(f.Status) > 12 || strings.ContainsFunc(f.Text, func(c rune) bool { return c < ' ' || c == '\u202e' }) {
			t.Fatalf("%+v", f)
		}
	}
}

// FuzzRead reads whatever anybody may send.
func FuzzRead(f *testing.F) {
	for _, c := range shapes {
		f.Add(strings.ReplaceAll(c.mail, "\n", "\r\n"))
	}
	for _, mail := range hostile() {
		f.Add(mail[:min(len(mail), 4<<10)])
	}
	f.Fuzz(func(t *testing.T, mail string) {
		r, ok := mailbox.Read(strings.NewReader(mail), requestOf)
		wantHarmless(t, r, ok)
	})
}
