package mail_test

import (
	"flag"
	"mime"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/words/wordstest"
)

var update = flag.Bool("update", false, "write the golden files")

// letters are the mails of the golden files.
func letters() map[string]access.Notice {
	change := func(n access.Notice, change func(*access.Notice)) access.Notice {
		change(&n)
		return n
	}
	hostile := `</td><script>alert(1)</script> {{ACTION_URL}} {{.URL}} " onload="x` + "\u202egnp.exe\u200b\x1b[2J\r\nReviewed-By: nobody"
	return map[string]access.Notice{
		"review":   review(),
		"approved": approved(),
		"denied":   change(denied(), func(n *access.Notice) { n.Final = true }),
		"declined": denied(),
		"ended": change(approved(), func(n *access.Notice) {
			n.Kind, n.By, n.Decision, n.CC = access.NoticeEnded, "dora@example.com", access.Decision{}, []access.Principal{boris}
		}),
		"bounced-hostile": change(approved(), func(n *access.Notice) {
			n.Kind, n.Decision, n.Window, n.CC = access.NoticeBounced, access.Decision{}, access.Window{}, []access.Principal{"dora@example.com"}
			n.Bounce = access.Bounce{To: boris, Status: "5.1.1", Text: hostile[:70], Meaning: "There is no such mailbox.", Remedy: "Ask."}
		}),
		"approved-for-less": change(approved(), func(n *access.Notice) {
			n.Decision.Duration = n.Request.Duration / 2
			n.Window.End = n.Window.Start.Add(n.Decision.Duration)
		}),
		"application-review": change(review(), asked),
		"application-review-unlinked": change(review(), func(n *access.Notice) {
			asked(n)
			n.Request.Principal, n.Request.Asking.Subject, n.Request.Asking.Unlinked = access.Spelled("deployer", `CORP\ana`), `CORP\ana`, true
			n.Request.Asking.Data[0].Value = hostile[:60]
		}),
		"application-reminder": change(review(), func(n *access.Notice) {
			asked(n)
			n.Kind = access.NoticeReminder
		}),
		"application-approved": change(approved(), asked),
		"application-denied": change(denied(), func(n *access.Notice) {
			asked(n)
			n.Final = true
		}),
		"application-ended": change(approved(), func(n *access.Notice) {
			asked(n)
			n.Kind, n.Decision = access.NoticeEnded, access.Decision{}
		}),
		"broken-glass": change(glass(), func(n *access.Notice) {
			n.To, n.CC = []access.Principal{boris, "security@example.com"}, nil
		}),
		"glass-reviewed": change(glass(), func(n *access.Notice) {
			n.Kind, n.To, n.CC = access.NoticeGlassReviewed, []access.Principal{ana}, nil
			n.Decision = access.Decision{By: "eve@example.com", At: now.Add(time.Hour), Comment: "It was needed: see INC-4711."}
		}),
		"declined-nobody-else": change(denied(), func(n *access.Notice) {
			n.Request.Reviewers, n.CC = n.Request.Reviewers[:1], n.CC[:1]
		}),
		"review-later-several-roles": change(review(), func(n *access.Notice) {
			n.Request.Resource = "folders/4711"
			n.Request.Start = now.Add(24 * time.Hour)
			n.Request.Entitlements = []access.EntitlementID{
				{Resource: "folders/4711", Role: "organizations/7/roles/oncall"},
				{Resource: "folders/4711", Role: "roles/storage.admin", Condition: `resource.name.startsWith("projects/_/buckets/invoices")`},
			}
			n.Roles = []access.RoleInfo{{}, {Title: "Storage Admin", ChangesPermissions: access.No}}
			n.Window = access.Window{Start: n.Request.Start, End: n.Request.Start.Add(90 * time.Minute)}
		}),
		"review-of-predecessor": change(review(), func(n *access.Notice) {
			n.Request.ID = "mpa-AB+/AAAAAAAAAAAA"
			n.Request.Fixed = access.Window{Start: now, End: now.Add(26*time.Hour + time.Minute)}
			n.Window = n.Request.Fixed
		}),
		"approved-without-link": change(approved(), func(n *access.Notice) {
			n.ReviewURL, n.BaseURL = "", ""
			n.Decision.Comment = "Viel Erfolg!"
		}),
		"approved-in-part": change(approved(), func(n *access.Notice) {
			refused := func(role access.Role, code access.Code, args access.Args) access.Outcome {
				id := access.EntitlementID{Resource: n.Request.Resource, Role: role}
				n.Request.Entitlements = append(n.Request.Entitlements, id)
				return access.Outcome{Entitlement: id, Result: access.Refused, Err: &access.Error{Kind: access.Unprocessable, Code: code, Args: args}}
			}
			n.Request.Entitlements = slices.Clone(n.Request.Entitlements)
			n.Outcomes = []access.Outcome{
				{Entitlement: n.Request.Entitlements[0], Result: access.Granted, Window: n.Window},
				refused("roles/pubsub.editor", access.CodeServiceNotAllowed, access.Args{"resource": "projects/shop-prod"}),
				refused("roles/billing.admin", access.CodeRoleNotGrantable, access.Args{"role": "roles/billing.admin", "resource": "projects/shop-prod"}),
				refused("roles/browser", access.CodePlatformRefused, access.Args{"reason": "\"<script>\"", "violation": "AAbbCC11"}),
			}
		}),
		"reminder":         again(access.NoticeReminder),
		"passkey-added":    ofPasskey(access.NoticePasskeyAdded),
		"passkey-approved": ofPasskey(access.NoticePasskeyApproved),
		"passkey-removed":  ofPasskey(access.NoticePasskeyRemoved),
		"reconciled":       reconciled(),
		"reconciled-hostile": change(reconciled(), func(n *access.Notice) {
			n.Differences[0].Principal, n.Differences[0].Roles, n.Differences[0].ID = access.Principal(hostile), []string{hostile}, hostile
			n.Differences[1].Kind = "nobody's"
		}),
		"reconciled-short": change(reconciled(), func(n *access.Notice) {
			n.Differences = nil
			n.Round.Differences, n.Round.Unread, n.Round.Short, n.Round.Partial = 0, 1, true, true
		}),
		"change-waits":    ofApplication(access.NoticeChangeWaits),
		"change-alone":    ofApplication(access.NoticeChangedAlone),
		"change-hostile":  change(ofApplication(access.NoticeChangeWaits), func(n *access.Notice) { n.Change.What = []string{"template " + hostile} }),
		"passkey-hostile": change(ofPasskey(access.NoticePasskeyAdded), func(n *access.Notice) { n.Passkey.Name = hostile }),
		"escalated": change(again(access.NoticeEscalated), func(n *access.Notice) {
			n.To, n.ReviewURL = []access.Principal{"leads@example.com"}, ""
			n.Request.Decisions = []access.Decision{{Verdict: access.Approve, By: boris}}
		}),
		"ending": change(again(access.NoticeEnding), func(n *access.Notice) {
			n.Request.ID, n.Request.Kind, n.Request.Reviewers = "jit-AAAAAAAAAAAAAAAA", access.Self, nil
			n.To, n.Window = []access.Principal{ana}, access.Window{Start: now, End: now.Add(90 * time.Minute)}
		}),
		"ending-without-link": change(again(access.NoticeEnding), func(n *access.Notice) {
			n.To, n.Window = []access.Principal{ana}, access.Window{Start: now, End: now.Add(90 * time.Minute)}
			n.ReviewURL, n.BaseURL = "", ""
		}),
		"review-unicode": change(review(), func(n *access.Notice) {
			n.Request.Justification = "Störung №4711: サーバー再起動 — «срочно» שלום 😀"
		}),
		"review-hostile": change(review(), func(n *access.Notice) {
			n.Request.Justification = hostile
			n.Roles[0].Title, n.Roles[0].Description = hostile, strings.Repeat("very long ", 500)
			n.Request.Entitlements[0].Condition = hostile
		}),
	}
}

// ofPasskey is a notice of a passkey.
func ofPasskey(kind access.NoticeKind) access.Notice {
	k := access.Passkey{Of: ana, Credential: []byte("a credential"), Name: "Blue security key", Enrolled: now}
	if kind != access.NoticePasskeyAdded {
		k.Approved, k.ApprovedBy = now.Add(time.Hour), "dora@example.com"
	}
	if kind == access.NoticePasskeyRemoved {
		k.Removed, k.RemovedBy = now.Add(2*time.Hour), ana
	}
	return access.Notice{ID: "a stable id", Kind: kind, Request: access.Request{Principal: ana}, Passkey: k, To: []access.Principal{ana},
		BaseURL: "https://jit.example.com/", ReviewURL: "https://jit.example.com/passkeys"}
}

// ofApplication is a notice of a change of an application.
func ofApplication(kind access.NoticeKind) access.Notice {
	n := access.Notice{ID: "a stable id", Kind: kind, To: []access.Principal{ana}, BaseURL: "https://jit.example.com/",
		Change: access.ApplicationChange{Application: "deployer", Number: 2, By: "dora@example.com", At: now, What: []string{"uri", "template production-deploy"}}}
	if kind == access.NoticeChangeWaits {
		n.ReviewURL = "https://jit.example.com/apps/deployer"
	}
	return n
}

// reconciled is a notice of the weekly reconciliation.
func reconciled() access.Notice {
	return access.Notice{ID: "a stable id", Kind: access.NoticeReconciled, Did: access.Reconciled, To: []access.Principal{"dora@example.com"},
		BaseURL: "https://jit.example.com/", Round: access.Round{Began: now, Ended: now.Add(time.Hour), Looked: 412, Unread: 2, Differences: 23},
		Differences: []access.Difference{
			{Kind: access.NotRemembered, ID: "mpa-AAAAAAAAAAAAAAAA", Resource: "projects/shop-prod", Principal: boris, Roles: []string{"roles/compute.admin"}},
			{Kind: access.NotStanding, ID: "jit-AAAAAAAAAAAAAAAA", Resource: "folders/4711", Principal: ana, Roles: []string{"roles/storage.admin"}},
			{Kind: access.Imitated.Difference(), Resource: "projects/shop-prod", Roles: []string{"roles/editor"}}}}
}

// again is a notice of what time brings about: nobody has decided, and no window is known.
func again(kind access.NoticeKind) access.Notice {
	n := review()
	n.ID, n.Kind, n.Window, n.CC = "a stable id", kind, access.Window{}, nil
	return n
}

// Two escalations of one request are two mails, and one that is sent again is the same.
func TestMailsOfOneRequestAreToldApart(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	m := mailer(t, config(s.Host, s.Port, s.Roots))
	first, second := again(access.NoticeEscalated), again(access.NoticeEscalated)
	second.ID = "another"
	var ids []string
	for _, n := range []access.Notice{first, second, first} {
		receipts := m.Notify(t.Context(), n)
		ids = append(ids, receipts[0].Ref)
	}
	if ids[0] == ids[1] || ids[0] != ids[2] || ids[0] == "" {
		t.Errorf("%q", ids)
	}
}

func TestLettersReadAsTheGoldenFiles(t *testing.T) {
	zone, err := time.LoadLocation("Australia/Melbourne")
	if err != nil {
		t.Fatal(err)
	}
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	c := config(s.Host, s.Port, s.Roots)
	c.Location = zone
	m := mailer(t, c)
	for name, n := range letters() {
		t.Run(name, func(t *testing.T) {
			if failed := m.Notify(t.Context(), n).Failed(); failed != nil {
				t.Fatal(failed)
			}
			messages := s.Messages()
			header, parts := parse(t, messages[len(messages)-1].Data)
			var head strings.Builder
			for _, field := range []string{"From", "To", "Cc", "Subject", "Message-Id", "In-Reply-To"} {
				head.WriteString(field + ": " + header.Get(field) + "\n")
			}
			golden(t, name+".txt", head.String()+"\n"+parts[0].text)
			golden(t, name+".html", parts[1].text)
		})
	}
}

// What is left of English in a mail in another language is data. A reason and its like
// are data too.
func TestMailsHaveNoWordsOfTheirOwn(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	c := config(s.Host, s.Port, s.Roots)
	c.Language, c.ReplyTo = wordstest.Bracketed(t), "help@example.com"
	m := mailer(t, c)
	if err := m.Probe(t.Context(), ana, func(string, string) {}); err != nil {
		t.Fatal(err)
	}
	for name, n := range letters() {
		if name == "review-hostile" || name == "bounced-hostile" || name == "passkey-hostile" || name == "change-hostile" || name == "reconciled-hostile" || name == "application-review-unlinked" {
			continue // its data looks like words
		}
		if failed := m.Notify(t.Context(), n).Failed(); failed != nil {
			t.Fatal(failed)
		}
	}
	base := review()
	data := []string{ofPasskey("").ReviewURL, ofApplication(access.NoticeChangeWaits).ReviewURL, "roles/production-deploy", "production-deploy", base.ReviewURL, base.BaseURL, base.Roles[0].Description, base.Request.Justification, "Compute Admin", "Storage Admin",
		"Störung №4711: サーバー再起動", denied().Decision.Comment, "Viel Erfolg!", "organizations/7/roles/oncall", "shop-prod", "Everything is down", "It was needed: see INC-4711.", "production",
		`resource.name.startsWith("projects/_/buckets/invoices")`, "Re:",
		"Deploy v1.2 to eu-1", "deployer", "Production deploy", "Version", "Cluster", "v1.2", "eu-1", "OPS-1", "ticket", "branch", "ana1", "Blue security key", ofPasskey("").Passkey.ID(), reconciled().Differences[0].ID, reconciled().Differences[1].ID}
	role := regexp.MustCompile(`roles/[a-z.-]+|[a-z]+@example.com`)
	for _, message := range s.Messages() {
		header, parts := parse(t, message.Data)
		for _, text := range []string{header.Get("Subject"), parts[0].text} {
			decoded, err := new(mime.WordDecoder).DecodeHeader(text)
			if err != nil {
				t.Fatal(err)
			}
			if found := wordstest.Own(decoded, data, role); found != nil {
				t.Errorf("%q are not of the language:\n%s", found, decoded)
			}
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (go test -update writes it):\n%s", path, got)
	}
}

func TestThreat13And14_UserTextIsInertInBothParts(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	if failed := mailer(t, config(s.Host, s.Port, s.Roots)).Notify(t.Context(), letters()["review-hostile"]).Failed(); failed != nil {
		t.Fatal(failed)
	}
	_, parts := parse(t, s.Messages()[0].Data)
	for _, p := range parts {
		if strings.ContainsAny(p.text, "\u202e\u200b\x1b") || strings.Contains(p.text, "\nReviewed-By") {
			t.Errorf("%s: invisible characters or line breaks of the user", p.kind)
		}
		if !strings.Contains(p.text, "{{ACTION_URL}}") || strings.Count(p.text, "activation=ABC~~DE~FG") != 1 {
			t.Errorf("%s: a placeholder in the reason was filled in", p.kind)
		}
		if len(p.text) > 20_000 {
			t.Errorf("%s: %d characters", p.kind, len(p.text))
		}
	}
	if html := parts[1].text; strings.Contains(html, "<script") || strings.Contains(html, `" onload="`) {
		t.Errorf("markup of the user stands in\n%s", html)
	}
}

func TestThreat28_MailsSayThatRepliesAndOpeningDecideNothing(t *testing.T) {
	s := smtptest.Start(t, withUser(smtptest.Options{}))
	if failed := mailer(t, config(s.Host, s.Port, s.Roots)).Notify(t.Context(), review()).Failed(); failed != nil {
		t.Fatal(failed)
	}
	header, parts := parse(t, s.Messages()[0].Data)
	for _, p := range parts {
		for _, says := range []string{"Opening the link changes nothing", "Only a reviewer who is signed in", "a reply decides nothing"} {
			if !strings.Contains(p.text, says) {
				t.Errorf("%s does not say %q", p.kind, says)
			}
		}
	}
	if header.Get("Reply-To") != "" {
		t.Error("invites replies")
	}
}

func TestMailsLoadNothingFromElsewhere(t *testing.T) {
	files, err := filepath.Glob("testdata/*.html")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"<img", "<link", "@import", "url(", "src=", "<script"} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%s has %q", file, bad)
			}
		}
	}
}

func TestTimesReadAsInThePredecessor(t *testing.T) {
	melbourne, err := time.LoadLocation("Australia/Melbourne")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		zone *time.Location
		want string
	}{
		{melbourne, "From: Fri, 2 Jan 1970 10:00:00 +1000\n"},
		{nil, "From: Fri, 2 Jan 1970 00:00:00 GMT\n"},
		{time.FixedZone("", -(3*3600 + 1800)), "From: Thu, 1 Jan 1970 20:30:00 -0330\n"},
	} {
		s := smtptest.Start(t, withUser(smtptest.Options{}))
		c := config(s.Host, s.Port, s.Roots)
		c.Location = test.zone
		n := approved()
		n.Window = access.Window{Start: time.Unix(86400, 0), End: time.Unix(86400+3600, 0)}
		if failed := mailer(t, c).Notify(t.Context(), n).Failed(); failed != nil {
			t.Fatal(failed)
		}
		if _, parts := parse(t, s.Messages()[0].Data); !strings.Contains(parts[0].text, test.want) {
			t.Errorf("want %q in\n%s", test.want, parts[0].text)
		}
	}
}

// asked makes a request one that an application makes.
func asked(n *access.Notice) {
	id := access.EntitlementID{Resource: "apps/deployer", Role: "roles/production-deploy"}
	n.Request.Resource, n.Request.Entitlements, n.Outcomes = id.Resource, []access.EntitlementID{id}, nil
	n.Roles = []access.RoleInfo{{Role: id.Role, Title: "Production deploy", ChangesPermissions: access.No}}
	n.Request.Asking = access.Asking{Application: "deployer", Subject: "ana1", Template: "production-deploy", Title: "Deploy v1.2 to eu-1",
		Data:   []access.Datum{{Name: "version", Label: "Version", Value: "v1.2"}, {Name: "cluster", Label: "Cluster", Value: "eu-1"}},
		Claims: []access.Datum{{Name: "ticket", Label: "ticket", Value: "OPS-1"}, {Name: "branch", Label: "branch"}}}
	n.Request.Justification = n.Request.Asking.Title
}
