package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"jitaccess/internal/access"
	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/sandbox/google"
)

// decide sends the form of the request's page, as the browser of a reviewer does.
func (w *world) decide(email, ref, verdict, comment string) answer {
	w.t.Helper()
	page := w.page(email, reviewPath(ref)).expect(w.t, 200)
	digest := regexp.MustCompile(`name="digest" value="([0-9a-f]+)"`).FindStringSubmatch(page.body)
	if digest == nil {
		w.t.Fatalf("no form on the page: %s", page.body)
	}
	return w.form(email, reviewPath(ref), url.Values{"verdict": {verdict}, "digest": {digest[1]}, "comment": {comment}})
}

// letter is a mail as its reader sees it.
type letter struct {
	header            netmail.Header
	subject, from     string
	text, html, plain string // plain is the HTML without its markup
}

func readLetter(t testing.TB, data string) letter {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	l := letter{header: m.Header}
	decode := func(name string) string {
		text, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get(name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	l.subject, l.from = decode("Subject"), decode("From")
	_, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	for _, into := range []*string{&l.text, &l.html} {
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		*into = string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	}
	l.plain = html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(l.html, ""))
	return l
}

func (w *world) lastLetter() letter {
	w.t.Helper()
	all := w.mail.Messages()
	if len(all) == 0 {
		w.t.Fatal("no mail")
	}
	return readLetter(w.t, all[len(all)-1].Data)
}

// standsWithoutMail makes a request and approves it on its page, and demands that both
// are done, that each answer names who was not told, and that the log says why in
// all the words of cause.
func (w *world) standsWithoutMail(what string, cause ...string) {
	w.t.Helper()
	f := url.Values{"id": {w.formID(access.Peers)}, "entitlement": {peerID}, "justification": {"Node 7 hangs"}, "minutes": {"30"}, "reviewer": {bob}}
	asked := w.form(alice, "/access/projects/"+project, f)
	asked.expect(w.t, 200, "Request sent", bob+" could not be told by mail.", alice+" could not be told by mail.", "Copy the link and pass it on by hand.")
	link := regexp.MustCompile(`href="/review\?activation=([^"]+)"`).FindStringSubmatch(asked.body)
	if link == nil {
		w.t.Fatalf("%s: no link to pass on: %s", what, asked.body)
	}
	ref, err := url.QueryUnescape(html.UnescapeString(link[1]))
	if err != nil {
		w.t.Fatal(err)
	}
	w.decide(bob, ref, "approve", "").expect(w.t, 200, ": Granted", alice+" could not be told by mail.")
	if n := w.granted(number(w.t, f)); n != 1 {
		w.t.Errorf("%s: %d grants", what, n)
	}
	if !w.logged(append(slices.Clone(cause), `"event":"api.notify"`, `recipient=\"`+bob)...) || !w.logged(append(slices.Clone(cause), `"event":"api.notify"`, `recipient=\"`+alice)...) {
		w.t.Errorf("%s: the log does not say %q:\n%s", what, cause, w.log.String())
	}
	if n := len(w.mail.Messages()); n != 0 {
		w.t.Errorf("%s: %d mails", what, n)
	}
}

// TestThreat31_AMailServerThatNeverAnswers: wherever it falls silent, the request is made and
// the access granted, in time, and it is said who was not told. The time-outs are
// short ones of SMTP_OPTIONS.
func TestThreat31_AMailServerThatNeverAnswers(t *testing.T) {
	for _, step := range smtptest.Steps {
		t.Run(string(step), func(t *testing.T) {
			w := newWorld(t, surroundings{mail: smtptest.Options{Hang: step},
				environment: map[string]string{"SMTP_OPTIONS": "mail.smtp.timeout=50, mail.smtp.writetimeout=50"}})
			w.standsWithoutMail("silent", "upstream-timeout")
		})
	}
}

// TestAMailServerThatBreaksOff: the same of one that closes the connection.
func TestAMailServerThatBreaksOff(t *testing.T) {
	for _, step := range smtptest.Steps {
		t.Run(string(step), func(t *testing.T) {
			newWorld(t, surroundings{mail: smtptest.Options{Cut: step}}).standsWithoutMail("broken off", "mail: ")
		})
	}
}

// TestThreat29_AStrippedConnectionCostsNoGrant: whoever keeps TLS away, or speaks
// before it, learns neither password nor mail, and keeps nobody from their access.
func TestThreat29_AStrippedConnectionCostsNoGrant(t *testing.T) {
	const (
		offer = "250-mail.example.com\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n"
		bare  = "250-mail.example.com\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 1000\r\n"
	)
	for name, test := range map[string]struct {
		replies map[string]string
		says    string
	}{
		"not offered":                         {map[string]string{"EHLO": bare}, "does not offer STARTTLS"},
		"struck out":                          {map[string]string{"EHLO": strings.Replace(offer, "STARTTLS", "XXXXXXXX", 1)}, "does not offer STARTTLS"},
		"EHLO refused":                        {map[string]string{"EHLO": "502 5.5.1 what?\r\n"}, "does not offer STARTTLS"},
		"offered and refused":                 {map[string]string{"EHLO": offer, "STARTTLS": "454 4.7.0 not now\r\n"}, "454"},
		"accepted, and clear text goes on":    {map[string]string{"EHLO": offer, "STARTTLS": "220 go\r\n" + bare + "235 2.7.0 welcome\r\n"}, "clear text"},
		"accepted, and the connection closed": {map[string]string{"EHLO": offer, "STARTTLS": "220 go\r\n\x15\x03\x03\x00\x02\x02\x28"}, "starting TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			replies := map[string]string{"": "220 mail.example.com ESMTP\r\n", "HELO": "250 mail.example.com\r\n", "AUTH": "235 2.7.0 welcome\r\n",
				"MAIL": "250 ok\r\n", "RCPT": "250 ok\r\n", "DATA": "354 go\r\n", "QUIT": "221 bye\r\n"}
			for verb, reply := range test.replies {
				replies[verb] = reply
			}
			s := smtptest.StartScript(t, replies)
			w := newWorld(t, surroundings{environment: map[string]string{"SMTP_HOST": s.Host, "SMTP_PORT": strconv.Itoa(s.Port)}})
			w.standsWithoutMail(name, test.says)
			for _, line := range s.Heard() {
				if verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); slices.Contains([]string{"AUTH", "MAIL", "RCPT", "DATA"}, verb) {
					t.Errorf("said %q in clear text", line)
				}
			}
		})
	}
}

// TestSecretsThatAreNoPassword: each is a warning that says so; none gets into a page
// or the log.
func TestSecretsThatAreNoPassword(t *testing.T) {
	const canary = "CANARYsecret"
	for name, test := range map[string]struct {
		secret string
		says   string
	}{
		"of 64 KiB":          {strings.Repeat(canary[:8], 64<<10/8), "mail: the log-in"},
		"with an inner line": {canary + "\nsecond line\n", "line break"},
		"with Windows' ends": {canary + "\r\n" + canary + "\r\n", "line break"},
		"with a NUL":         {canary + "\x00", "NUL"},
		"two line breaks":    {canary + "\n\n", "line break"},
		"empty":              {"", "empty"},
		"a line break alone": {"\n", "empty"},
		"another password":   {canary, "535"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, surroundings{environment: map[string]string{"SMTP_SECRET": "projects/example-jitaccess/secrets/other/versions/1"}})
			w.cloud.AddSecret("other", []byte(test.secret))
			w.standsWithoutMail(name, test.says)
			if log := w.log.String(); strings.Contains(log, canary[:8]) || strings.Contains(log, base64.StdEncoding.EncodeToString([]byte(canary))[:8]) {
				t.Errorf("the secret is in the log:\n%.3000s", log)
			}
		})
	}
}

// TestARotatedPassword: the version that is meant is the latest, and the service
// learns of a new one by the refusal of the old.
func TestARotatedPassword(t *testing.T) {
	w := newWorld(t, surroundings{environment: map[string]string{"SMTP_SECRET": "projects/example-jitaccess/secrets/smtp-password/versions/latest"}})
	told := func(want bool) {
		t.Helper()
		w.pass(10 * time.Minute) // nothing is asked too often
		if a := w.api(alice, askURL, askBody(nil)).expect(t, 200); (len(a.Warnings) == 0) != want {
			t.Errorf("warnings %q", a.Warnings)
		}
	}
	told(true)
	w.mail.SetPassword("battery staple")
	told(false)
	w.cloud.AddSecret("smtp-password", []byte("battery staple\n"))
	told(true)
	told(true)
}

// hostileAddresses are what a mail library or server might take for somebody else.
var hostileAddresses = []string{
	`"bob@evil.example> ORCPT=rfc822;x"@example.com`, `"bob"@example.com`, `"a b"@example.com`, `"bob\"@evil.example"@example.com`,
	"bob@example.com> NOTIFY=NEVER", "bob@example.com SIZE=1", "<bob@example.com>", "Bob <bob@example.com>", "bob@example.com,eve@evil.example",
	"bob@example.com\r\nRCPT TO:<eve@evil.example>", "bob@example.com\nBcc: eve@evil.example", "bob@example.com\r", "bo\x00b@example.com",
	"bob@evil.example@example.com", "bob@@example.com", "@evil.example:bob@example.com", "bob", "", "@example.com", "bob@",
	"b\u00f6b@example.com", "bob@ex\u0430mple.com", "bob@\u4f8b\u3048.\u30c6\u30b9\u30c8", "\u202ebob@example.com", "\u212Aim@example.com", "bob@[127.0.0.1]",
}

// TestThreat12_AMappingThatGivesHostileAddresses: whom it concerns is named, and gets
// nothing; nobody else gets it either; the others get theirs.
func TestThreat12_AMappingThatGivesHostileAddresses(t *testing.T) {
	for _, address := range hostileAddresses {
		w := newWorld(t, surroundings{environment: map[string]string{
			"SMTP_ADDRESS_MAPPING": "user.email == '" + bob + "' ? " + celText(address) + " : 'mapped.' + user.email"}})
		a := w.api(alice, askURL, askBody(nil)).expect(t, 200)
		if got := strings.Join(a.Warnings, "; "); got != bob+" could not be told by mail." {
			t.Errorf("%q: warns %q", address, got)
		}
		if got := w.mail.Messages(); len(got) != 1 || !slices.Equal(got[0].To, []string{"mapped." + alice}) || strings.Contains(got[0].Data, "evil") {
			t.Errorf("%q: sent %d mails, %+v", address, len(got), got)
		}
		if !w.logged(`"event":"api.notify"`, bob) || w.logged("api.notify", "evil.example") {
			t.Errorf("%q: the log says %s", address, w.log.String())
		}
		u, err := url.Parse(a.ReviewURL)
		if err != nil {
			t.Fatal(err)
		}
		w.decide(bob, u.Query().Get("activation"), "approve", "").expect(t, 200, ": Granted", bob+" could not be told by mail.")
		if w.granted(a.Entitlements[0].ActivationID) != 1 {
			t.Errorf("%q: not granted", address)
		}
	}
}

// celText is a literal of CEL.
func celText(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < ' ' || r > '~' || r == '\'' || r == '\\' {
			fmt.Fprintf(&b, `\U%08x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return "'" + b.String() + "'"
}

// TestThreat12_GroupsWithHostileMembers: whoever can put members into a group, or
// bindings into a policy, reaches nobody with our mails by it.
func TestThreat12_GroupsWithHostileMembers(t *testing.T) {
	w := newWorld(t, surroundings{organization: func(o *google.Organization) {
		for i := range o.Groups {
			if o.Groups[i].Email == "sre@example.com" {
				o.Groups[i].Members = append(o.Groups[i].Members, hostileAddresses...)
			}
		}
	}})
	w.page(alice, "/access/projects/"+project).expect(t, 200, "roles/compute.instanceAdmin.v1")
	peers := w.api(alice, "/api/projects/"+project+"/peers?role="+url.QueryEscape("roles/compute.instanceAdmin.v1"), nil).expect(t, 200)
	if len(peers.Peers) != 1 || peers.Peers[0].Email != bob {
		t.Errorf("peers are %v", peers.Peers)
	}
	for _, address := range hostileAddresses {
		if strings.TrimSpace(address) == bob {
			continue // a form is forgiven blanks at the ends
		}
		w.pass(10 * time.Second)
		a := w.api(alice, askURL, askBody(dict{"peers": []string{bob, address}}))
		if a.status < 400 || a.status > 499 || a.Field != "reviewer" {
			t.Errorf("%q as a reviewer: %d %s", address, a.status, a.body)
		}
	}
	if n := len(w.mail.Messages()); n != 0 {
		t.Errorf("%d mails", n)
	}
	w.api(alice, askURL, askBody(nil)).expect(t, 200)
	if got := w.mail.Messages(); len(got) != 1 || !slices.Equal(got[0].To, []string{bob, alice}) {
		t.Errorf("%d mails, or to others: %q", len(got), got[0].To)
	}
}

// TestEveryScriptIsReadBack: what people and administrators write in their own script is in
// the mail, in both parts, as they wrote it; headers hold nothing of it but the
// sender's name.
func TestEveryScriptIsReadBack(t *testing.T) {
	for name, text := range map[string]string{
		"Arabic":      "إعادة تشغيل الخادم رقم ٧",
		"Hebrew":      "הפעלה מחדש של השרת מספר 7 (דחוף)",
		"Devanagari":  "सर्वर क्रमांक ७ को पुनः आरंभ करें",
		"Thai":        "รีสตาร์ทเซิร์ฟเวอร์หมายเลข ๗",
		"Chinese":     "重启七号服务器，工单四七一一",
		"Japanese":    "七号機のサーバーを再起動します",
		"Korean":      "서버 일곱 번 재시작",
		"Cyrillic":    "Перезапуск сервера № 7 — «срочно»",
		"emoji":       "🔥🖥️ 7 👩🏽 🇺🇦 𝒳",
		"combining":   "Sto\u0308rung e\u0301\u0323\u0308 Z\u0351\u036b\u0343a\u0347",
		"markup":      `<b>&amp; "quoted" 'single' {{.URL}} {{ACTION_URL}}`,
		"SMTP":        ". .. RCPT TO:<eve@evil.example> From eve@evil.example =?utf-8?q?x?=",
		"quoted text": "=3D =0D=0A 100% =",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, surroundings{environment: map[string]string{"SMTP_SENDER_NAME": text, "JUSTIFICATION_HINT": text}, organization: func(o *google.Organization) {
				o.CustomRoles = append(o.CustomRoles, google.Role{Name: "organizations/" + o.ID + "/roles/scripted", Title: text, Description: text + " " + text,
					Permissions: []string{"compute.instances.get"}})
				for i := range o.Projects {
					if o.Projects[i].ID == project {
						o.Projects[i].DisplayName = text
						o.Projects[i].Policy.Bindings = append(o.Projects[i].Policy.Bindings, google.Binding{Role: "organizations/" + o.ID + "/roles/scripted",
							Members: []string{"group:sre@example.com"}, Condition: &google.Condition{Title: text, Expression: "has({}.multiPartyApprovalConstraint)"}})
					}
				}
			}})
			a := w.api(alice, askURL, askBody(dict{"entitlementId": project + ":" + w.cloud.OrganizationID() + "/roles/scripted", "justification": text})).expect(t, 200)
			if len(a.Warnings) > 0 {
				t.Fatalf("warnings %q", a.Warnings)
			}
			u, err := url.Parse(a.ReviewURL)
			if err != nil {
				t.Fatal(err)
			}
			ref := u.Query().Get("activation")
			check := func(times int) {
				t.Helper()
				l := w.lastLetter()
				if n := strings.Count(l.text, text); n < times {
					t.Errorf("the text has it %d times, not %d:\n%s", n, times, l.text)
				}
				if n := strings.Count(l.plain, text); n < times {
					t.Errorf("the HTML has it %d times, not %d:\n%s", n, times, l.plain)
				}
				if !strings.HasSuffix(l.subject, "alice@example.com requests access to project "+project) {
					t.Errorf("the subject is %q", l.subject)
				}
				if from, err := l.header.AddressList("From"); err != nil || len(from) != 1 || from[0].Name != text || from[0].Address != "jitaccess@example.com" {
					t.Errorf("the sender is %v, %v", from, err)
				}
				if strings.Contains(l.html, "<b>") {
					t.Errorf("markup:\n%s", l.html)
				}
			}
			check(4) // the reason, the role's title and twice its description
			w.page(bob, reviewPath(ref)).expect(t, 200, html.EscapeString(text))
			w.decide(bob, ref, "deny", text).expect(t, 200)
			check(5) // and the comment
			a = w.api(alice, askURL, askBody(dict{"justification": text})).expect(t, 200)
			if u, err = url.Parse(a.ReviewURL); err != nil {
				t.Fatal(err)
			}
			w.decide(bob, u.Query().Get("activation"), "approve", "").expect(t, 303)
			check(1)
			if w.granted(a.Entitlements[0].ActivationID) != 1 {
				t.Error("not granted")
			}
		})
	}
}

// TestThreat13And14_RoleTitlesHideNothing: who may define roles cannot turn the direction of a mail or a
// page, or make a part of it invisible.
func TestThreat13And14_RoleTitlesHideNothing(t *testing.T) {
	w := newWorld(t, surroundings{organization: func(o *google.Organization) {
		o.CustomRoles = append(o.CustomRoles, google.Role{Name: "organizations/" + o.ID + "/roles/sly", Title: "Viewer\u202e reenwO\u202c\u200b", Description: "\u2066\u2067 a\u00adb \ufeff"})
		for i := range o.Projects {
			if o.Projects[i].ID == project {
				o.Projects[i].Policy.Bindings = append(o.Projects[i].Policy.Bindings, google.Binding{Role: "organizations/" + o.ID + "/roles/sly",
					Members: []string{"group:sre@example.com"}, Condition: &google.Condition{Title: "Eligible", Expression: "has({}.multiPartyApprovalConstraint)"}})
			}
		}
	}})
	w.api(alice, askURL, askBody(dict{"entitlementId": project + ":" + w.cloud.OrganizationID() + "/roles/sly"})).expect(t, 200)
	l := w.lastLetter()
	page := html.UnescapeString(w.call(alice, "GET", "/access/projects/"+project, "").expect(t, 200).body)
	for _, part := range []string{l.text, l.plain, page} {
		if strings.ContainsAny(part, "\u202e\u202c\u200b\u2066\u2067\u00ad\ufeff") || !strings.Contains(part, "Viewer[U+202E] reenwO[U+202C][U+200B]") {
			t.Errorf("says\n%s", part)
		}
	}
}

// TestMailsAreSigned: with the key from Secret Manager or a file; and when it cannot
// be had, nothing is sent, and the log says what is wrong without the key or where
// it is.
func TestMailsAreSigned(t *testing.T) {
	key, record := dkimKey(t)
	file := filepath.Join(t.TempDir(), "dkim.pem")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ where, says string }{
		"from Secret Manager":                   {"projects/example-jitaccess/secrets/dkim/versions/1", ""},
		"from a file":                           {file, ""},
		"no such file":                          {filepath.Join(t.TempDir(), "CANARY.pem"), "signing: the file cannot be read"},
		"the key, bare, where its file belongs": {strings.Join(strings.Split(key, "\n")[1:2], ""), "signing: the file cannot be read"},
		"no such secret":                        {"projects/example-jitaccess/secrets/none/versions/1", "secretmanager"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, surroundings{environment: map[string]string{"SMTP_DKIM_SELECTOR": "jit2026", "SMTP_DKIM_KEY": test.where}})
			w.cloud.AddSecret("dkim", []byte(key))
			if test.says != "" {
				w.standsWithoutMail(name, test.says)
				if log := w.log.String(); strings.Contains(log, "CANARY") || strings.Contains(log, strings.Split(key, "\n")[1]) {
					t.Errorf("the log says\n%s", log)
				}
				return
			}
			w.ask()
			found, err := dkim.VerifyWithOptions(strings.NewReader(w.mail.Messages()[0].Data), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
				return map[string][]string{"jit2026._domainkey.example.com": {record}}[name], nil
			}})
			if err != nil || len(found) != 1 || found[0].Err != nil {
				t.Errorf("%+v %v", found, err)
			}
		})
	}
}

// dkimKey is a private key as PEM, and what the world verifies with.
func dkimKey(t *testing.T) (key, record string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
}
