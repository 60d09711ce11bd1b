package server_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
)

// login stands for a login of the service's own: who comes back from it is Ana.
type login struct {
	started, finished, ended, renewed int
	start, finish, end                error
	tokens                            []string
	// codes are what programs were let have, and out is whose programs have logged out.
	codes, out []string
	everywhere bool
}

func (l *login) SessionEnds(*http.Request) time.Time { return storybook.Noon.Add(time.Hour) }

func (l *login) ProgramCode(_ *http.Request, challenge, redirect string) (string, error) {
	l.codes = append(l.codes, challenge+" "+redirect)
	return "sealed", nil
}

func (l *login) ProgramToken(_ context.Context, code, verifier, redirect string) (string, access.Caller, time.Time, error) {
	l.tokens = append(l.tokens, code+" "+verifier+" "+redirect)
	return "token", access.Caller{Principal: ana, Subject: "1", Method: "oidc-program"}, storybook.Noon.Add(time.Hour), l.finish
}

func (l *login) EndProgram(r *http.Request) (bool, time.Time, error) {
	shown, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer of-")
	if !ok {
		return false, time.Time{}, &access.Error{Kind: access.Unauthenticated, Code: access.CodeNoIdentity}
	}
	l.out = append(l.out, shown)
	return l.everywhere, storybook.Noon.Add(time.Hour), nil
}

func (l *login) IdentifyScript(r *http.Request) (access.Caller, error) {
	if r.Header.Get("Authorization") == "Bearer of-ana" {
		return access.Caller{Principal: ana, Subject: "1", Method: "oidc-program"}, nil
	}
	return storybook.Identify(r)
}

func (l *login) Start(h http.Header, r *http.Request) (string, error) {
	l.started++
	if l.start != nil {
		return "", l.start
	}
	h.Add("Set-Cookie", "begun="+url.QueryEscape(r.URL.RequestURI()))
	return "https://id.example.com/auth?x=y", nil
}

func (l *login) Finish(h http.Header, _ *http.Request) (string, access.Caller, error) {
	l.finished++
	if l.finish != nil {
		return "", access.Caller{}, l.finish
	}
	h.Add("Set-Cookie", "session=ana")
	return "/requests?x=y", access.Caller{Principal: ana, Subject: "1", Method: "oidc"}, nil
}

func (l *login) Renew(http.Header, *http.Request) { l.renewed++ }

func (l *login) End(h http.Header, _ *http.Request) (string, error) {
	l.ended++
	h.Add("Set-Cookie", "session=out")
	return "https://id.example.com/end?client_id=a&b=c", l.end
}

func (l *login) EndElsewhere(_ context.Context, token string) error {
	l.tokens = append(l.tokens, token)
	return l.end
}

// withLogin is a server with a login of its own.
func withLogin(l *login) func(*server.Config) {
	return func(c *server.Config) { c.Login, c.SwitchAccount, c.AuthenticateEvent = l, "", "oidc.authenticate" }
}

func visit(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Who opens a page is sent to log in; what a program or a script asks for is refused, as is
// what another site or a browser fetches in advance. Health and assets need nobody.
func TestWhoIsNotLoggedInIsSentToLogIn(t *testing.T) {
	const sameOrigin = "Origin: https://access.example.com"
	for _, test := range []struct {
		name, method, target, body string
		headers                    []string
		status                     int
	}{
		{"a page", "GET", "/review?activation=a.b.c", "", nil, 303},
		{"a page that is typed", "GET", "/", "", []string{"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 303},
		{"a link in a mail", "GET", "/requests", "", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 303},
		{"a page that is not there", "GET", "/nowhere", "", nil, 303},
		{"HEAD", "HEAD", "/", "", nil, 401},
		{"a script of ours", "GET", "/requests/jit-1", "", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}, 401},
		{"an image", "GET", "/favicon.ico", "", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, 401},
		{"an image of another site", "GET", "/", "", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"}, 403},
		{"a frame", "GET", "/", "", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, 401},
		{"in advance", "GET", "/", "", []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Purpose: prefetch"}, 401},
		{"the interface for programs", "GET", "/api/projects", "", []string{"X-JITACCESS: 1"}, 401},
		{"the interface, opened", "GET", "/api/", "", nil, 401},
		{"health", "GET", "/health/alive", "", nil, 200},
		{"an asset", "GET", "/assets/icon.svg", "", nil, 200},
		{"a form", "POST", "/access/projects/shop", "a=b", []string{sameOrigin}, 401},
		{"a form of another site", "POST", "/access/projects/shop", "a=b", []string{"Origin: https://evil.example.com"}, 403},
		{"a form of nobody", "POST", "/access/projects/shop", "a=b", nil, 403},
		{"what is no form", "POST", "/access/projects/shop", "a=b", []string{sameOrigin, "Content-Type: text/plain"}, 415},
		{"a form that is none", "POST", "/access/projects/shop", "%zz", []string{sameOrigin}, 400},
	} {
		l := &login{}
		h, _ := serve(t, newWorld(t), withLogin(l))
		w := visit(h, test.method, test.target, test.body, test.headers...)
		redirected := w.Header().Get("Location") == "https://id.example.com/auth?x=y" && w.Header().Get("Set-Cookie") == "begun="+url.QueryEscape(test.target)
		if w.Code != test.status || redirected != (test.status == 303) || (l.started == 1) != (test.status == 303) {
			t.Errorf("%s: %d %v", test.name, w.Code, w.Header())
		}
		if kept := strings.Contains(w.Body.String(), "type=\"hidden\""); kept != (test.name == "a form") {
			t.Errorf("%s: the form is kept: %v\n%s", test.name, kept, w.Body)
		}
	}
}

// While the provider cannot be reached the page says so.
func TestALoginThatCannotBegin(t *testing.T) {
	l := &login{start: &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed, Args: access.Args{"service": "the identity provider"}, Err: errors.New("no")}}
	h, log := serve(t, newWorld(t), withLogin(l))
	if w := visit(h, "GET", "/", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "identity provider did not answer") || !strings.Contains(log.String(), `"level":"ERROR"`) {
		t.Errorf("%d %s\n%s", w.Code, w.Body, log)
	}
}

// A form that was sent when the log-in was over keeps all that was in it, in a page that sends
// it to the same place again, and nothing was done with it.
func TestAFormOutlivesTheSession(t *testing.T) {
	world := newWorld(t)
	h, log := serve(t, world, withLogin(&login{}))
	sent := url.Values{"entitlement": {"shop:roles/editor", "shop:roles/viewer"}, "justification": {"Line one\r\nline \"two\" <b> & 'é'\x00 "}, "id": {"jit-AAAAAAAAAAAAAAAA"}, "minutes": {"15", ""}}
	w := visit(h, "POST", "/access/projects/shop", sent.Encode(), "Origin: https://access.example.com")
	body := w.Body.String()
	if w.Code != 401 || world.changes != 0 || !strings.Contains(body, "Nothing was done") || !strings.Contains(body, `<form method="post">`) ||
		!strings.Contains(body, `target="_blank"`) {
		t.Fatalf("%d, %d changes\n%s", w.Code, world.changes, body)
	}
	again := url.Values{}
	for _, found := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(body, -1) {
		again.Add(unescaped(found[1]), unescaped(found[2]))
	}
	// An HTML parser would take no NUL either.
	sent["justification"][0] = strings.ReplaceAll(sent["justification"][0], "\x00", "\uFFFD")
	if again.Encode() != sent.Encode() {
		t.Errorf("sent\n%s\nkept\n%s", sent.Encode(), again.Encode())
	}
	if strings.Contains(log.String(), "Line one") {
		t.Errorf("the log has what was typed: %s", log)
	}
	if w := visit(h, "POST", "/access/projects/shop", "x="+strings.Repeat("y", 70<<10), "Origin: https://access.example.com"); w.Code != 413 {
		t.Errorf("too large: %d", w.Code)
	}
}

var unescaped = func(text string) string {
	return strings.NewReplacer("&#34;", `"`, "&lt;", "<", "&gt;", ">", "&#39;", "'", "&#43;", "+", "&amp;", "&").Replace(text)
}

func TestComingBackFromTheProvider(t *testing.T) {
	l := &login{}
	h, log := serve(t, newWorld(t), withLogin(l))
	navigated := []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
	if w := visit(h, "GET", "/oidc/callback?state=secret&code=secret", "", navigated...); w.Code != 303 || w.Header().Get("Location") != "/requests?x=y" ||
		w.Header().Get("Set-Cookie") != "session=ana" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if !strings.Contains(log.String(), `"msg":"logged in"`) || !strings.Contains(log.String(), `"user":"`+string(ana)) || strings.Contains(log.String(), "secret") {
		t.Errorf("log: %s", log)
	}
	// No other method, and nothing that another site embeds.
	for _, bad := range [][]string{{"HEAD"}, {"POST", "Origin: https://access.example.com"}, {"GET", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}} {
		if w := visit(h, bad[0], "/oidc/callback?state=x", "", bad[1:]...); w.Code < 400 || l.finished != 1 {
			t.Errorf("%v: %d", bad, w.Code)
		}
	}
	for code, says := range map[access.Code]string{
		access.CodeLoginLapsed:       "begun in another browser",
		access.CodeLoginRefused:      "did not let you in",
		access.CodeUnverifiedAddress: "does not say that your e-mail address is yours",
	} {
		l.finish = &access.Error{Kind: access.Unauthenticated, Code: code, Err: errors.New("why")}
		w := visit(h, "GET", "/oidc/callback?state=x", "", navigated...)
		if w.Code != 401 || !strings.Contains(w.Body.String(), says) || strings.Contains(w.Body.String(), "Open this page again") || w.Header().Get("Set-Cookie") != "" || !strings.Contains(log.String(), `"event":"oidc.authenticate","`) {
			t.Errorf("%s: %d %s", code, w.Code, w.Body)
		}
	}
	// This address serves once: nothing comes of opening it once more, whatever failed.
	for kind, code := range map[access.Kind]access.Code{access.Upstream: access.CodeUpstreamFailed, access.TimedOut: access.CodeUpstreamTimeout,
		access.TooMany: access.CodeTooFast, access.Unavailable: access.CodeLedgerUnavailable} {
		l.finish = &access.Error{Kind: kind, Code: code, Err: errors.New("why")}
		w := visit(h, "GET", "/oidc/callback?state=x", "", navigated...)
		if w.Code < 400 || strings.Contains(w.Body.String(), `href=""`+">Try again") || !strings.Contains(w.Body.String(), `<a class="button" href="/">`) {
			t.Errorf("%s: %d %s", code, w.Code, w.Body)
		}
	}
}

// Logging out is a form of our own pages, in the head of each; the page after it is nobody's.
func TestTheButtonLogsOut(t *testing.T) {
	l := &login{}
	h, log := serve(t, newWorld(t), withLogin(l))
	person := personHeader + ": " + string(ana)
	if w := visit(h, "GET", "/", "", person); w.Code != 200 || !strings.Contains(w.Body.String(), `<form method="post" action="/oidc/logout"><button>Log out</button></form>`) || l.renewed == 0 {
		t.Errorf("%d, renewed %d\n%s", w.Code, l.renewed, w.Body)
	}
	for _, headers := range [][]string{{person}, {person, "Origin: https://evil.example.com"}, {person, "Sec-Fetch-Site: cross-site"}} {
		if w := visit(h, "POST", "/oidc/logout", "", headers...); w.Code != 403 || l.ended != 0 {
			t.Errorf("%v: %d", headers, w.Code)
		}
	}
	if w := visit(h, "GET", "/oidc/logout", "", person); w.Code != 405 || l.ended != 0 {
		t.Errorf("GET: %d", w.Code)
	}
	for _, who := range []string{person, "X: y"} {
		w := visit(h, "POST", "/oidc/logout", "", "Origin: https://access.example.com", who)
		body := w.Body.String()
		if w.Code != 200 || w.Header().Get("Set-Cookie") != "session=out" || !strings.Contains(body, `href="https://id.example.com/end?client_id=a&amp;b=c"`) ||
			strings.Contains(body, string(ana)) || strings.Contains(body, "/oidc/logout") {
			t.Errorf("%d %s", w.Code, body)
		}
	}
	if !strings.Contains(log.String(), `"msg":"logged out"`) {
		t.Errorf("log: %s", log)
	}
	l.end = &access.Error{Kind: access.Unavailable, Code: access.CodeCopiesLast, Err: errors.New("no database")}
	if w := visit(h, "POST", "/oidc/logout", "", "Origin: https://access.example.com", person); w.Code != 200 || !strings.Contains(w.Body.String(), "could not be ended") ||
		!strings.Contains(log.String(), "no database") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Behind a proxy there is nothing of a login.
func TestWithoutALogin(t *testing.T) {
	h, _ := serve(t, newWorld(t), nil)
	person := personHeader + ": " + string(ana)
	for _, route := range []string{"GET /oidc/callback", "POST /oidc/logout", "POST /oidc/backchannel-logout"} {
		method, path, _ := strings.Cut(route, " ")
		if w := visit(h, method, path, "", person, "Origin: https://access.example.com"); w.Code != 404 {
			t.Errorf("%s: %d", route, w.Code)
		}
	}
	if w := visit(h, "GET", "/", "", person); strings.Contains(w.Body.String(), "Log out") {
		t.Error("there is a button for it")
	}
	if w := visit(h, "POST", "/access/projects/shop", "a=b", "Origin: https://access.example.com"); w.Code != 401 || strings.Contains(w.Body.String(), `type="hidden"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// The provider says that a session is over with one token, in a form, and with no browser around
// it; it is answered as it has to be, and nothing of the token is logged.
func TestTheProviderEndsASession(t *testing.T) {
	l := &login{}
	h, log := serve(t, newWorld(t), withLogin(l))
	const path = "/oidc/backchannel-logout"
	if w := visit(h, "POST", path, "logout_token=a.secret.token"); w.Code != 200 || w.Body.Len() != 0 ||
		!strings.Contains(w.Header().Get("Cache-Control"), "no-store") || !slices.Equal(l.tokens, []string{"a.secret.token"}) {
		t.Fatalf("%d %s, %v", w.Code, w.Body, l.tokens)
	}
	for _, bad := range []string{"x=y", "logout_token=a&logout_token=b", "%"} {
		if w := visit(h, "POST", path, bad); w.Code != 400 || len(l.tokens) != 1 {
			t.Errorf("%s: %d %v", bad, w.Code, l.tokens)
		}
	}
	for _, kind := range []struct {
		kind   access.Kind
		status int
	}{{access.Invalid, 400}, {access.Unavailable, 503}, {access.NotFound, 404}} {
		l.end = &access.Error{Kind: kind.kind, Code: access.CodeBadInput}
		if w := visit(h, "POST", path, "logout_token=a.secret.token"); w.Code != kind.status {
			t.Errorf("%d, want %d", w.Code, kind.status)
		}
	}
	if w := visit(h, "GET", path, ""); w.Code == 200 || len(l.tokens) != 4 || strings.Contains(log.String(), "secret") {
		t.Errorf("%d; log: %s", w.Code, log)
	}
}
