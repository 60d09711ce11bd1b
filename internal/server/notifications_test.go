package server_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/notice"
	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
)

// asking is a request for a test message of it, and others as request makes them.
func asking(method string) *http.Request {
	r := request(method, "/notifications")
	if method == http.MethodPost {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("channel=mail")), int64(len("channel=mail"))
	}
	return r
}

func withAccount(a server.Account) func(*server.Config) {
	return func(c *server.Config) { c.Accounts = []server.Account{a} }
}

// Others neither see the account nor send with it.
func TestTheMailAccountIsForAdministrators(t *testing.T) {
	for _, c := range []struct {
		who  access.Principal
		fail error
		want int
	}{
		{carl, nil, 200},
		{dora, nil, 200}, // through a group
		{ana, nil, 403},
		{ben, nil, 403},
		{"", nil, 401},
		{dora, &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed, Err: errors.New("groups")}, 502},
	} {
		f, a := newWorld(t), storybook.NewAccount()
		if c.fail != nil {
			f.fails["Admin"] = c.fail
		}
		h, _ := serve(t, f, withAccount(a))
		for _, method := range []string{"GET", "HEAD", "POST"} {
			r := asking(method)
			r.Header.Set(personHeader, string(c.who))
			w := do(h, r)
			if w.Code != c.want {
				t.Errorf("%s %s: %d, want %d", method, c.who, w.Code, c.want)
			}
			if c.want != 200 && strings.Contains(w.Body.String(), "office365.com") {
				t.Errorf("%s %s: shows the account", method, c.who)
			}
		}
		if sent := len(a.Tested); sent != 0 && c.want != 200 || sent != 1 && c.want == 200 {
			t.Errorf("%s: %d test messages", c.who, sent)
		}
		if len(a.Tested) == 1 && a.Tested[0] != c.who {
			t.Errorf("sent to %s, not to the administrator", a.Tested[0])
		}
	}
}

// Threat 13: what mail servers, certificates and addresses say is text on the page.
func TestThreat13_WhatMailServersSayIsText(t *testing.T) {
	for _, said := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'><svg/onload=alert(1)>`, `</style><script>x</script>`, `{{.User}}<b>`, `javascript:alert(1)`} {
		a := storybook.NewAccount()
		failure := &notice.Failure{What: said, Meaning: said, Remedy: said, Err: errors.New(said)}
		a.Set = append(a.Set, notice.Setting{Name: said, Value: said, Variables: said})
		a.Attempts = append(a.Attempts, notice.Attempt{At: noon, Kind: access.NoticeKind(said), To: []string{said}, Failure: failure})
		a.Steps = append(a.Steps, notice.Step{Name: said, Text: said}, notice.Step{Name: said, Failure: failure})
		h, _ := serve(t, newWorld(t), withAccount(a))
		for _, method := range []string{"GET", "POST"} {
			r := asking(method)
			r.Header.Set(personHeader, string(carl))
			w := do(h, r)
			body := w.Body.String()
			for _, tag := range []string{"<script>", "<img src=x", "<svg/onload", "<b>", "javascript:alert(1)\"", "</style>"} {
				if strings.Contains(body, tag) {
					t.Errorf("%s, %q: the page has %s", method, said, tag)
				}
			}
			if w.Code != 200 || !strings.Contains(body, "alert(1)") && !strings.Contains(body, "{{.User}}") && !strings.Contains(body, "&lt;/style") {
				t.Errorf("%s, %q: %d, or it is not shown", method, said, w.Code)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("%s: Cache-Control %q", method, w.Header().Get("Cache-Control"))
			}
		}
	}
}

// Threat 2: only our form sends: no other type of content, and nothing that cannot be
// read; nor a page of another site, nor a look.
func TestThreat02_OnlyTheFormSendsATestMessage(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		method, site, mediaType, body string
		sent                          int
	}{
		"the form":                 {"POST", "same-origin", form, "channel=mail", 1},
		"another type":             {"POST", "same-origin", "text/plain", "channel=mail", 0},
		"JSON":                     {"POST", "same-origin", "application/json", "{}", 0},
		"no type":                  {"POST", "same-origin", "", "channel=mail", 0},
		"a form that is none":      {"POST", "same-origin", form, "channel=mail&a=%zz", 0},
		"a huge form":              {"POST", "same-origin", form, "channel=mail&" + strings.Repeat("a", 1<<20), 0},
		"another site":             {"POST", "cross-site", form, "channel=mail", 0},
		"a neighbour":              {"POST", "same-site", form, "channel=mail", 0},
		"a look":                   {"GET", "same-origin", form, "", 0},
		"a look with nothing":      {"HEAD", "none", "", "", 0},
		"an override of a look":    {"GET", "same-origin", form, "_method=POST", 0},
		"another recipient's name": {"POST", "same-origin", form, "channel=mail&to=eve%40evil.example&address=eve%40evil.example", 1},
	} {
		a := storybook.NewAccount()
		h, _ := serve(t, newWorld(t), withAccount(a))
		r := httptest.NewRequest(c.method, "/notifications", strings.NewReader(c.body))
		r.Header, r.Host = request(c.method, "/").Header, "access.example.com"
		r.Header.Set(personHeader, string(carl))
		r.Header.Set("Sec-Fetch-Site", c.site)
		r.Header.Set("Content-Type", c.mediaType)
		r.Header.Set("X-HTTP-Method-Override", "POST")
		w := do(h, r)
		if len(a.Tested) != c.sent || c.sent == 1 && a.Tested[0] != carl || c.method == "POST" && (w.Code == 200) != (c.sent == 1) {
			t.Errorf("%s: %d, sent to %v", name, w.Code, a.Tested)
		}
	}
}

// Threat 24: somebody's button, however often it is pressed, does not use up what
// the account may send.
func TestThreat24_TestMessagesAreFew(t *testing.T) {
	f, a := newWorld(t), storybook.NewAccount()
	now := noon
	h, _ := serve(t, f, func(c *server.Config) { c.Accounts, c.Now = []server.Account{a}, func() time.Time { return now } })
	press := func() int {
		r := asking("POST")
		r.Header.Set(personHeader, string(carl))
		return do(h, r).Code
	}
	for range 5 {
		if code := press(); code != http.StatusOK {
			t.Fatal(code)
		}
	}
	if code := press(); code != http.StatusTooManyRequests || len(a.Tested) != 5 {
		t.Errorf("the sixth: %d, %d sent", code, len(a.Tested))
	}
	if now = now.Add(10 * time.Second); press() != http.StatusOK {
		t.Error("ten seconds later still none")
	}
}

// The log has what became of it, and the cause.
func TestTestMessagesAreLogged(t *testing.T) {
	for _, c := range []struct {
		account *storybook.Account
		want    []string
	}{
		{storybook.NewAccount(), []string{`"level":"INFO"`, `"event":"http.testMail"`, `"user":"carl.mendes@example.com"`}},
		{storybook.FailingAccount(), []string{`"level":"WARN"`, `"event":"http.testMail"`, "550 5.7.60 the cause"}},
	} {
		h, log := serve(t, newWorld(t), withAccount(c.account))
		r := asking("POST")
		r.Header.Set(personHeader, string(carl))
		do(h, r)
		for line := range strings.Lines(log.String()) {
			if !strings.Contains(line, "http.testMail") {
				continue
			}
			for _, want := range c.want {
				if !strings.Contains(line, want) {
					t.Errorf("lacks %s: %s", want, line)
				}
			}
		}
		if strings.Count(log.String(), "http.testMail") != 1 {
			t.Errorf("log:\n%s", log)
		}
	}
}

// Whom ADMINS names in person is led to the page; for nobody is a call made to find
// that out.
func TestAdministratorsAreLedToTheMailAccount(t *testing.T) {
	for who, want := range map[access.Principal]bool{carl: true, dora: false, ana: false} {
		f := newWorld(t)
		f.fails["Admin"] = errors.New("nobody may ask")
		h, _ := serve(t, f, withAccount(storybook.NewAccount()))
		r := request("GET", "/")
		r.Header.Set(personHeader, string(who))
		w := do(h, r)
		if got := strings.Contains(w.Body.String(), `href="/notifications"`); got != want || w.Code != 200 {
			t.Errorf("%s: %d, link %v, want %v", who, w.Code, got, want)
		}
	}
}
