package main

import (
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"jitaccess/internal/login"
	"jitaccess/internal/oauth/oauthtest"
)

const (
	sessionKey = "c2Vzc2lvbiBrZXkgbm8gMSwgb2YgMzIgYnl0ZXMhISE="
	secondKey  = "c2Vzc2lvbiBrZXkgbm8gMiwgb2YgMzIgYnl0ZXMhISE="
)

// newLoginWorld is a world with a login of its own at a real OpenID provider.
func newLoginWorld(t *testing.T, thin bool, more map[string]string) *world {
	t.Helper()
	w := newWorld(t, surroundings{})
	environment := map[string]string{"IDENTITY": "oidc", "OIDC_ISSUER": oauthtest.StartOpenID(t, thin, w.public+login.CallbackPath),
		"OIDC_CLIENT_ID": oauthtest.Client, "OIDC_CLIENT_SECRET": oauthtest.Secret, "SESSION_KEY": sessionKey, "IDENTITY_GROUPS_CLAIM": "groups",
		// What is kept on a disk.
		"K_SERVICE": "", "DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "jitaccess.db")}
	maps.Copy(environment, more)
	w.restart(environment)
	return w
}

// visitor is somebody with a browser, which keeps cookies and follows nothing by itself.
type visitor struct {
	w      *world
	client *http.Client
}

func (w *world) visitor() *visitor {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &visitor{w, &http.Client{Jar: jar, CheckRedirect: client.CheckRedirect}}
}

// visit opens a page, or sends a form from the service's own.
func (p *visitor) visit(address string, form url.Values) answer {
	p.w.t.Helper()
	method, body := "GET", ""
	if form != nil {
		method, body = "POST", form.Encode()
	}
	if strings.HasPrefix(address, "/") {
		address = p.w.public + address
	}
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		p.w.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", p.w.public)
	}
	response, err := p.client.Do(r)
	if err != nil {
		p.w.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.w.t.Fatal(err)
	}
	return answer{status: response.StatusCode, location: response.Header.Get("Location"), header: response.Header, body: string(text)}
}

// open opens a page as a person does who logs in when they are asked to. It returns the page,
// and the addresses on the way.
func (p *visitor) open(path, email string) (a answer, way []string) {
	p.w.t.Helper()
	at, form := p.w.public+path, url.Values(nil)
	for range 15 {
		way = append(way, at)
		a = p.visit(at, form)
		form = nil
		base, err := url.Parse(at)
		if err != nil {
			p.w.t.Fatal(err)
		}
		next := a.location
		if next == "" && base.Host == mustHost(p.w.public) {
			return a, way
		}
		if next == "" { // a page of the provider
			next = submits(a.body)
			form = url.Values{"prompt": {"consent"}}
			if strings.Contains(a.body, `name="password"`) {
				form = url.Values{"prompt": {"login"}, "login": {email}, "password": {"any"}}
			}
		}
		there, err := base.Parse(next)
		if err != nil {
			p.w.t.Fatal(err)
		}
		at = there.String()
	}
	p.w.t.Fatalf("in a circle: %s", way)
	return a, way
}

func mustHost(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	return u.Host
}

// submits is where the form of a page is sent.
func submits(page string) string {
	if found := regexp.MustCompile(`action="([^"]*)" method="post"`).FindStringSubmatch(page); found != nil {
		return html.UnescapeString(found[1])
	}
	return ""
}

// kept are the fields of a form that is shown again.
func kept(page string) url.Values {
	f := url.Values{}
	for _, found := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		f.Add(html.UnescapeString(found[1]), html.UnescapeString(found[2]))
	}
	return f
}

// The whole way, at npm's oidc-provider: Alice comes to a page, logs in, activates a role, and
// logs out; a form that was sent after that is sent again when she is back, and grants once.
func TestLogin(t *testing.T) {
	for name, thin := range map[string]bool{"ID tokens with all claims": false, "claims at the UserInfo endpoint": true} {
		t.Run(name, func(t *testing.T) {
			w := newLoginWorld(t, thin, nil)
			p := w.visitor()
			if a := p.visit("/access/projects/"+project, nil); a.status != 303 || !strings.HasPrefix(a.location, w.Environment["OIDC_ISSUER"]+"/") {
				t.Fatalf("%d %s", a.status, a.location)
			}
			w.api("", "/api/projects", nil).expect(t, 401, "no-identity")
			const wanted = "?q=a%2Fb&x=%22"
			page, way := p.open("/access/projects/"+project+wanted, alice)
			page.expect(t, 200, alice, "Log out", "roles/cloudsql.admin")
			if last := way[len(way)-1]; last != w.public+"/access/projects/"+project+wanted {
				t.Errorf("it leads to %s", last)
			}
			if !w.logged("oidc.authenticate", "logged in", alice, `"user_id":"id of `+alice) || w.logged("code=") || w.logged(oauthtest.Secret) {
				t.Errorf("log: %s", w.log)
			}

			restored := func(what string) int { return len(w.described("projects/"+project, "Restore <"+what+">")) }
			// A form in time.
			form := url.Values{"entitlement": {selfID}, "justification": {"Restore <the> \"backup\""}, "minutes": {"15"}}
			form.Set("id", formID(t, p.visit("/access/projects/"+project+"?entitlement="+url.QueryEscape(selfID), nil)))
			other := p.visit("/access/projects/"+project+"?entitlement="+url.QueryEscape(selfID), nil)
			if a := p.visit("/access/projects/"+project, form); a.status != 303 {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if n := restored("the"); n != 1 {
				t.Errorf("%d grants", n)
			}

			// And one that is late, since she has logged out in another tab.
			thief := w.visitor()
			ours, _ := url.Parse(w.public)
			thief.client.Jar.SetCookies(ours, p.client.Jar.Cookies(ours))
			thief.visit("/requests", nil).expect(t, 200, alice)
			p.visit("/oidc/logout", url.Values{}).expect(t, 200, "You are logged out", w.Environment["OIDC_ISSUER"]+"/session/end?client_id=jitaccess")
			thief.visit("/requests", nil).expect(t, 303)
			form.Set("id", formID(t, other))
			form.Set("justification", "Restore <another> \"backup\"")
			late := p.visit("/access/projects/"+project, form).expect(t, 401, "nothing that you entered is lost")
			again := kept(late.body)
			if again.Encode() != form.Encode() || restored("another") != 0 {
				t.Fatalf("kept %v of %v; %d grants", again, form, restored("another"))
			}
			p.visit("/access/projects/"+project, again).expect(t, 401)
			page, way = p.open("/", alice)
			page.expect(t, 200, alice)
			if !slices.ContainsFunc(way, func(at string) bool { return strings.Contains(at, "prompt=login") }) {
				t.Errorf("nobody was asked who they are: %s", way)
			}
			for range 2 {
				if a := p.visit("/access/projects/"+project, again); a.status != 303 {
					t.Errorf("%d %s", a.status, a.body)
				}
			}
			if n := restored("another"); n != 1 {
				t.Errorf("%d grants", n)
			}
		})
	}
}

// formID is the number of a form.
func formID(t *testing.T, page answer) string {
	t.Helper()
	if found := regexp.MustCompile(`name="id" value="([^"]+)"`).FindStringSubmatch(page.body); found != nil {
		return found[1]
	}
	t.Fatalf("no form: %d %s", page.status, page.body)
	return ""
}

// A form that Alice has filled has her number: Frank gets nothing by sending it.
func TestAFormOfAnotherWhoLogsIn(t *testing.T) {
	w := newLoginWorld(t, false, nil)
	p := w.visitor()
	p.open("/", alice)
	form := url.Values{"entitlement": {selfID}, "justification": {"Restore this"}, "minutes": {"15"}}
	form.Set("id", formID(t, p.visit("/access/projects/"+project+"?entitlement="+url.QueryEscape(selfID), nil)))
	p.visit("/oidc/logout", url.Values{}).expect(t, 200)
	again := kept(p.visit("/access/projects/"+project, form).expect(t, 401).body)
	other := w.visitor()
	page, _ := other.open("/", frank)
	page.expect(t, 200, frank)
	if a := other.visit("/access/projects/"+project, again); a.status != 400 || len(w.described("projects/"+project, "Restore this")) != 0 ||
		!w.logged("bad-request-id", frank) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestNobodyLogsInWithAnAddressThatIsNotVerified(t *testing.T) {
	w := newLoginWorld(t, false, nil)
	page, _ := w.visitor().open("/", "unverified@example.com")
	page.expect(t, 401, "does not say that your e-mail address is yours")
	if !w.logged("oidc.authenticate", "ERROR", "unverified-address") {
		t.Errorf("log: %s", w.log)
	}
}

// Groups of the provider make an administrator, and keys are replaced under people who are in.
func TestGroupsAndKeysOfALogin(t *testing.T) {
	w := newLoginWorld(t, false, map[string]string{"ADMINS": "claim:of-alice"})
	admin, other := w.visitor(), w.visitor()
	admin.open("/", alice)
	other.open("/", bob)
	admin.visit("/notifications", nil).expect(t, 200)
	other.visit("/notifications", nil).expect(t, 403)
	w.restart(map[string]string{"SESSION_KEY": secondKey + "," + sessionKey})
	admin.visit("/notifications", nil).expect(t, 200)
	w.restart(map[string]string{"SESSION_KEY": secondKey})
	admin.visit("/notifications", nil).expect(t, 200)
	other.visit("/notifications", nil).expect(t, 303)
	// A provider that is down at the start, and one that is there later.
	issuer := w.Environment["OIDC_ISSUER"]
	w.restart(map[string]string{"OIDC_ISSUER": "http://127.0.0.1:1"})
	w.visitor().visit("/", nil).expect(t, 503, "identity provider did not answer")
	w.call("", "GET", "/health/ready", "").expect(t, 200, `"IdentityProviderIsAvailable":false`, `"healthy":true`)
	w.restart(map[string]string{"OIDC_ISSUER": issuer})
	admin.visit("/notifications", nil).expect(t, 200)
	w.call("", "GET", "/health/ready", "").expect(t, 200, `"IdentityProviderIsAvailable":true`)
}

// In a browser: its rules for cookies and for forms that lead elsewhere are what no program has.
func TestLoginInABrowser(t *testing.T) {
	w := newLoginWorld(t, false, nil)
	b := openBrowser(t, w.public, true)
	b.open("/access/projects/" + project)
	b.do(chromedp.SendKeys(`input[name=login]`, alice), chromedp.SendKeys(`input[name=password]`, "any"))
	b.press("Sign-in")
	b.press("Continue")
	b.sees("Signed in as "+alice, "Log out")
	b.tick("roles/cloudsql.admin")
	b.opens()
	b.fill("justification", "Restoring what outlived a session")

	// The session ends while she types: all of them do.
	w.restart(map[string]string{"SESSION_KEY": secondKey})
	b.press("Activate now")
	b.sees("Log in, then send it again", "Nothing was done")
	tab, done := chromedp.NewContext(b.ctx)
	defer done()
	// The provider still knows her.
	if err := chromedp.Do(tab, chromedp.Navigate(w.public+"/"), chromedp.WaitVisible(`//button[normalize-space(.)="Log out"]`)); err != nil {
		t.Fatal(err)
	}
	b.press("Send it again")
	b.sees("Access granted")
	if n := len(w.described("projects/"+project, "Restoring what outlived a session")); n != 1 {
		t.Errorf("%d grants", n)
	}

	b.press("Log out")
	b.sees("You are logged out", "Log out at the provider too")
	b.follow(`//a[normalize-space(.)="Log in"]`)
	b.do(chromedp.WaitVisible(`input[name=login]`)) // it asks who she is
}

// A rule says how an approver must be authenticated: what the provider says of the login counts,
// and a login that the service has asked for in that way satisfies it.
func TestAnApproverIsAuthenticatedAsARuleDemands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nrules:\n- name: with a key\n  match: {resource: [\"projects/*\"]}\n"+
		"  terms: {approver_access_level: [phr, \"amr:mfa\"]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newLoginWorld(t, false, map[string]string{"POLICY": file})
	asker, approver := w.visitor(), w.visitor()
	asker.open("/", alice)
	form := url.Values{"entitlement": {peerID}, "justification": {"Restore this"}, "minutes": {"15"}, "reviewer": {bob}}
	form.Set("id", formID(t, asker.visit("/access/projects/"+project+"?entitlement="+url.QueryEscape(peerID), nil)))
	asked := asker.visit("/access/projects/"+project, form)
	request := regexp.MustCompile(`/review\?activation=[A-Za-z0-9_-]+`).FindString(asked.location + asked.body)
	verdict := url.Values{"verdict": {"approve"}, "confirmed": {"1"}}
	approver.open("/", bob)
	approver.visit(request, verdict).expect(t, 403, "access level phr")
	w.restart(map[string]string{"OIDC_ACR_VALUES": "phr"})
	approver.visit(request, verdict).expect(t, 403, "access level phr") // the same login
	approver.visit("/oidc/logout", url.Values{}).expect(t, 200)
	approver.open("/", bob)
	if a := approver.visit(request, verdict); a.status != 303 && a.status != 200 || len(w.described("projects/"+project, "Restore this")) != 1 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// Whoever logs out at the provider is logged out here, in every browser that has the session.
func TestLoggingOutAtTheProvider(t *testing.T) {
	w := newLoginWorld(t, false, nil)
	p, other := w.visitor(), w.visitor()
	p.open("/", alice)
	other.open("/", bob)
	p.visit("/requests", nil).expect(t, 200)
	at := w.Environment["OIDC_ISSUER"] + "/session/end?client_id=" + oauthtest.Client
	confirm := p.visit(at, nil).expect(t, 200)
	secret := regexp.MustCompile(`name="xsrf" value="([^"]+)"`).FindStringSubmatch(confirm.body)
	p.visit(w.Environment["OIDC_ISSUER"]+"/session/end/confirm", url.Values{"xsrf": {secret[1]}, "logout": {"yes"}})
	if a := p.visit("/requests", nil); a.status != 303 || !w.logged("oidc.authenticate", "the identity provider has ended a session") {
		t.Errorf("%d; log: %s", a.status, w.log)
	}
	other.visit("/requests", nil).expect(t, 200)
	page, _ := p.open("/requests", alice)
	page.expect(t, 200, alice)
}
