package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/broker"
	"jitaccess/internal/seal"
	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
)

// apps are pages of applications that carl and dora administrate, and what was asked on trial.
type apps struct {
	http.Handler
	t      *testing.T
	asked  []broker.AskFor
	asCode bool
	// atGitHub is whether GitHub asks for all of them.
	atGitHub bool
	clock    time.Time
	deeds    *storybook.Deeds
	// registry is behind the pages.
	registry *managed.Registry
}

func newApps(t *testing.T, admins ...access.Principal) *apps {
	w := newWorld(t)
	sealer, err := seal.New([][]byte{bytes.Repeat([]byte{1}, 32)}, managed.Purpose)
	if err != nil {
		t.Fatal(err)
	}
	a := &apps{t: t, clock: noon, deeds: &storybook.Deeds{}}
	w.Admins = []string{"user:" + string(carl), "user:" + string(dora)}
	if len(admins) > 0 {
		w.Admins = access.Each(admins, func(p access.Principal) string { return "user:" + string(p) })
	}
	b := w.World.World.Broker()
	m := managed.New(managed.Config{Deeds: a.deeds, Authority: b, Sealer: sealer, Now: func() time.Time { return a.clock }, Random: rand.Reader})
	a.registry = m
	a.Handler, _ = serve(t, w, func(c *server.Config) {
		c.Now = func() time.Time { return a.clock }
		c.Apps = &server.Apps{Registry: m, Managed: m, AsCode: func() bool { return a.asCode },
			AtGitHub: func(string) bool { return a.atGitHub },
			Ask: func(_ context.Context, caller access.Caller, ask broker.AskFor) (broker.Asked, error) {
				if caller.Application != ask.Application || caller.Method != access.MethodApplication || string(caller.Principal) != ask.Subject {
					t.Errorf("asked as %+v", caller)
				}
				a.asked = append(a.asked, ask)
				return broker.Asked{Request: access.Request{ID: "mpa-1"}}, nil
			}, Origin: "https://machines.example.com"}
	})
	return a
}

func (a *apps) send(who access.Principal, method, path string, form ...string) *httptest.ResponseRecorder {
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Add(form[i], form[i+1])
	}
	r := request(method, path)
	if method == http.MethodPost {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(values.Encode())), -1
	}
	r.Header.Set(personHeader, string(who))
	return do(a, r)
}

func (a *apps) must(status int, got *httptest.ResponseRecorder) string {
	a.t.Helper()
	if got.Code != status {
		a.t.Fatalf("%d, want %d: %s", got.Code, status, said(got.Body.String()))
	}
	return got.Body.String()
}

var shownKey = regexp.MustCompile(`<input id="key" type="text" value="([^"]+)" readonly`)

func (a *apps) create() (key string) {
	a.t.Helper()
	page := a.must(http.StatusOK, a.send(carl, "POST", "/apps", "name", "deployer", "uri", "https://deploy.example.com", "hosts", "deploy.example.com"))
	found := shownKey.FindStringSubmatch(page)
	if found == nil {
		a.t.Fatalf("no key is shown: %s", said(page))
	}
	return strings.ReplaceAll(found[1], "&#43;", "+")
}

// show is the application as it is.
func (a *apps) show() managed.View {
	a.t.Helper()
	v, err := a.registry.Show(a.t.Context(), access.Caller{Principal: carl}, "deployer")
	if err != nil {
		a.t.Fatal(err)
	}
	return v
}

func (a *apps) template(who access.Principal, number int) *httptest.ResponseRecorder {
	return a.send(who, "POST", "/apps/deployer/template", "number", strconv.Itoa(number), "new", "1", "key", "production-deploy", "name", "Production deploy",
		"title", "Deploy {version}", "type", "approve", "data", "version | Version | ^v[0-9.]+$", "approvers", "user:ben@example.com", "approvals", "1",
		"max", "120", "default", "30", "life", "60", "metadata", "team = shop", "active", "1")
}

func TestAKeyIsOnOnePage(t *testing.T) {
	a := newApps(t)
	key := a.create()
	if again := a.send(carl, "POST", "/apps", "name", "deployer", "uri", "https://deploy.example.com"); again.Code != http.StatusConflict ||
		shownKey.MatchString(again.Body.String()) {
		t.Errorf("the form sent again: %d, %s", again.Code, said(again.Body.String()))
	}
	for _, path := range []string{"/apps", "/apps/deployer", "/apps/deployer/template"} {
		page := a.must(http.StatusOK, a.send(carl, "GET", path))
		if strings.Contains(page, key) || shownKey.MatchString(page) {
			t.Errorf("%s shows a key", path)
		}
	}
}

// Nothing that one administrator wants holds before another has agreed, and there is no button
// to agree with for its author.
func TestTwoAdministratorsMakeATemplate(t *testing.T) {
	a := newApps(t)
	a.create()
	if page := a.must(http.StatusOK, a.template(carl, 1)); strings.Contains(page, `value="agree"`) || !strings.Contains(page, `value="drop"`) {
		t.Errorf("its author is offered to agree: %s", said(page))
	}
	if got := a.send(carl, "POST", "/apps/deployer", "number", "2", "do", "agree"); got.Code != http.StatusForbidden {
		t.Errorf("its author agrees: %d", got.Code)
	}
	if page := a.must(http.StatusOK, a.send(dora, "GET", "/apps/deployer")); !strings.Contains(page, `value="agree"`) || strings.Contains(page, "do=trial") ||
		strings.Contains(page, "/apps/deployer/trial") {
		t.Errorf("another: %s", said(page))
	}
	a.must(http.StatusOK, a.send(dora, "POST", "/apps/deployer", "number", "2", "do", "agree", "confirmed", "1"))
	page := a.must(http.StatusOK, a.send(dora, "GET", "/apps/deployer"))
	form := regexp.MustCompile(`name="id" value="([0-9a-f]{24})"`).FindStringSubmatch(page)
	if form == nil {
		t.Fatalf("no trial can be sent: %s", said(page))
	}
	if got := a.send(dora, "POST", "/apps/deployer/trial", "id", form[1], "template", "production-deploy", "data.version", "v1"); got.Code != http.StatusSeeOther ||
		got.Header().Get("Location") != "/requests/mpa-1" {
		t.Errorf("%d to %s", got.Code, got.Header().Get("Location"))
	}
	if len(a.asked) != 1 || a.asked[0].Subject != string(dora) || a.asked[0].Data["version"] != "v1" || a.asked[0].Template != "production-deploy" {
		t.Errorf("asked %+v", a.asked)
	}
}

func TestApplicationsAreForAdministrators(t *testing.T) {
	a := newApps(t)
	a.create()
	for _, path := range []string{"/apps", "/apps/deployer", "/apps/deployer/template", "/apps/other"} {
		if got := a.send(ana, "GET", path); got.Code != http.StatusForbidden {
			t.Errorf("GET %s: %d", path, got.Code)
		}
	}
	for _, path := range []string{"/apps", "/apps/deployer", "/apps/deployer/template", "/apps/deployer/trial"} {
		if got := a.send(ana, "POST", path, "number", "1", "do", "off", "name", "evil", "uri", "https://evil.example"); got.Code != http.StatusForbidden {
			t.Errorf("POST %s: %d", path, got.Code)
		}
	}
	if len(a.asked) > 0 {
		t.Error("something was asked for")
	}
}

// Where the policy file has them, nothing is changed by page.
func TestApplicationsOfThePolicyFileAreOnlyShown(t *testing.T) {
	a := newApps(t)
	a.create()
	a.asCode = true
	for _, path := range []string{"/apps", "/apps/deployer"} {
		page := said(a.must(http.StatusOK, a.send(carl, "GET", path)))
		if regexp.MustCompile(`name="do"|action="/apps"|/template`).MatchString(page) {
			t.Errorf("%s: %s", path, page)
		}
	}
	for _, path := range []string{"/apps", "/apps/deployer", "/apps/deployer/template"} {
		if got := a.send(carl, "POST", path, "number", "1", "do", "off", "name", "x", "uri", "https://x.example"); got.Code != http.StatusBadRequest {
			t.Errorf("POST %s: %d", path, got.Code)
		}
	}
}

func TestFormsOfApplicationsThatAreNone(t *testing.T) {
	a := newApps(t)
	a.create()
	for name, got := range map[string]*httptest.ResponseRecorder{
		"a name with a slash":       a.send(carl, "GET", "/apps/..%2fetc"),
		"an unknown application":    a.send(carl, "GET", "/apps/other"),
		"an unknown template":       a.send(carl, "GET", "/apps/deployer/template?key=none"),
		"nothing to do":             a.send(carl, "POST", "/apps/deployer", "number", "1", "do", "delete"),
		"no number":                 a.send(carl, "POST", "/apps/deployer", "do", "off"),
		"a number of before":        a.send(carl, "POST", "/apps/deployer", "number", "0", "do", "off"),
		"a template that is none":   a.send(carl, "POST", "/apps/deployer/template", "number", "1", "new", "1", "key", "a"),
		"a pattern that is none":    a.send(carl, "POST", "/apps/deployer/template", "number", "1", "new", "1", "key", "a", "data", "a | b | ("),
		"a trial without its form":  a.send(carl, "POST", "/apps/deployer/trial", "template", "a"),
		"an application without it": a.send(carl, "POST", "/apps", "name", "", "uri", ""),
	} {
		if got.Code < 400 || got.Code >= 500 {
			t.Errorf("%s: %d", name, got.Code)
		}
	}
}

// Code on the page asks where programs find the service, and texts stay what they are in each of its
// languages: whoever runs it runs nothing that stands in a URI.
func TestCodeIsSpelledForItsLanguage(t *testing.T) {
	a := newApps(t)
	a.must(http.StatusOK, a.send(carl, "POST", "/apps", "name", "odd", "uri", "https://odd.example/it's-$(id)-%25s"))
	page := html.UnescapeString(a.must(http.StatusOK, a.send(carl, "GET", "/apps/odd")))
	for _, want := range []string{`iss: "https://odd.example/it's-$(id)-%25s"`, `'"https://odd.example/it'\''s-$(id)-%25s"'`,
		`const api = "https://machines.example.com";`, `sub: "` + string(carl) + `"`} {
		if !strings.Contains(page, want) {
			t.Errorf("%s is not in %s", want, said(page))
		}
	}
}

var _ application.Registry = (*managed.Registry)(nil)

// A press of a button alone agrees to nothing, and drops nothing: it is asked once more, with
// all that is changed.
func TestWhatWaitsIsAskedOnceMore(t *testing.T) {
	for _, do := range []string{"agree", "drop"} {
		a := newApps(t)
		a.create()
		a.must(http.StatusOK, a.template(carl, 1))
		if page := a.must(http.StatusOK, a.send(dora, "GET", "/apps/deployer")); strings.Count(page, `data-guard="confirmed" aria-describedby="guard"`) != 2 ||
			!strings.Contains(page, "/assets/guard.js") {
			t.Errorf("the buttons are not guarded: %s", page)
		}
		for _, unconfirmed := range [][]string{nil, {"confirmed", ""}} {
			page := a.must(http.StatusOK, a.send(dora, "POST", "/apps/deployer", append([]string{"number", "2", "do", do}, unconfirmed...)...))
			if !strings.Contains(page, `<input type="hidden" name="do" value="`+do+`">`) || !strings.Contains(page, `name="confirmed" value="1" required`) ||
				!strings.Contains(page, `<button class="primary" data-guard aria-describedby="guard">`) || !strings.Contains(page, "user:ben@example.com") {
				t.Errorf("%s: %s", do, said(page))
			}
		}
		if v := a.show(); v.Waiting == nil || v.Number != 2 {
			t.Errorf("%s: a press alone has done it: %+v", do, v)
		}
		if got := a.send(dora, "POST", "/apps/deployer", "number", "1", "do", do); got.Code != http.StatusConflict {
			t.Errorf("%s of what does not wait: %d", do, got.Code)
		}
		a.must(http.StatusOK, a.send(dora, "POST", "/apps/deployer", "number", "2", "do", do, "confirmed", "1"))
		if v := a.show(); v.Waiting != nil || (len(v.Templates) == 1) != (do == "agree") {
			t.Errorf("%s: %+v", do, v)
		}
	}
}

// What GitHub asks for has no key, and nobody can ask for it by a program or a trial.
func TestAnApplicationOfGitHubSaysWhereItIsSetUp(t *testing.T) {
	a := newApps(t)
	a.create()
	a.must(http.StatusOK, a.template(carl, 1))
	a.must(http.StatusOK, a.send(dora, "POST", "/apps/deployer", "number", "2", "do", "agree", "confirmed", "1"))
	a.asCode, a.atGitHub = true, true
	page := a.must(http.StatusOK, a.send(carl, "GET", "/apps/deployer"))
	if !strings.Contains(page, "https://machines.example.com/v1/github/deployer") || !strings.Contains(page, "docs/github.md") ||
		strings.Contains(page, "/trial") || strings.Contains(page, "SIGNING_KEY") || strings.Contains(page, "njwt") {
		t.Errorf("%s", said(page))
	}
	if got := a.send(carl, "POST", "/apps/deployer/trial", "id", strings.Repeat("0", 24), "template", "production-deploy"); got.Code != http.StatusBadRequest || len(a.asked) > 0 {
		t.Errorf("a trial of it: %d", got.Code)
	}
}

// Who is the only administrator is not told to wait for another.
func TestTheOnlyAdministratorIsToldThatItHolds(t *testing.T) {
	for admins, want := range map[string]string{string(carl): "You are the only administrator", string(carl) + " " + string(dora): "once another administrator has agreed"} {
		a := newApps(t, access.Each(strings.Fields(admins), func(p string) access.Principal { return access.Principal(p) })...)
		a.create()
		if page := a.must(http.StatusOK, a.send(carl, "GET", "/apps/deployer/template")); !strings.Contains(page, want) {
			t.Errorf("%s: %s", admins, said(page))
		}
	}
}

// An application that is damaged stands in the list with the reason, and has no page; others have.
func TestADamagedApplicationStandsInTheList(t *testing.T) {
	a := newApps(t)
	a.create()
	a.deeds.All = append(a.deeds.All, managed.Deed{Of: "shop", Number: 7, Body: []byte("{}")})
	a.clock = a.clock.Add(time.Minute)
	page := a.must(http.StatusOK, a.send(carl, "GET", "/apps"))
	if strings.Count(page, "Not as it was recorded") != 1 || !strings.Contains(page, "What is kept of shop is not what was recorded") ||
		!strings.Contains(page, "https://deploy.example.com") {
		t.Errorf("%s", said(page))
	}
	a.must(http.StatusUnprocessableEntity, a.send(carl, "GET", "/apps/shop"))
	page = a.must(http.StatusOK, a.send(carl, "GET", "/apps/deployer"))
	if !strings.Contains(page, "made it") {
		t.Errorf("%s", said(page))
	}
}
