package server_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/access"
)

const (
	programRedirect  = "http://127.0.0.1:49152/a-path"
	programChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	programState     = "bZ2Hn8tQpWm4cR7yKd1sLg"
)

// programAsks is the address to which a program leads a browser.
func programAsks(edit func(url.Values)) string {
	q := url.Values{"redirect_uri": {programRedirect}, "state": {programState}, "code_challenge": {programChallenge}, "code_challenge_method": {"S256"}}
	if edit != nil {
		edit(q)
	}
	return "/oidc/program?" + q.Encode()
}

// A program gets a code only once somebody has read which program it is and has pressed; the code goes to where
// that program listens, and nowhere else.
func TestAProgramIsLet(t *testing.T) {
	l := &login{}
	h, log := serve(t, newWorld(t), withLogin(l))
	person := personHeader + ": " + string(ana)
	fromElsewhere := []string{person, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
	shown := visit(h, "GET", programAsks(nil), "", fromElsewhere...)
	for _, says := range []string{"127.0.0.1:49152", string(ana), programChallenge[:8], "13:00", "close this page", `name="confirmed"`, "data-guard"} {
		if !strings.Contains(shown.Body.String(), says) {
			t.Errorf("it does not say %s:\n%s", says, shown.Body)
		}
	}
	if shown.Code != 200 || shown.Header().Get("Refresh") != "" || strings.Contains(shown.Body.String(), "sealed") || len(l.codes) != 0 {
		t.Errorf("%d %v", shown.Code, shown.Header())
	}

	let := visit(h, "POST", programAsks(nil), "confirmed=1&principal="+string(ana), person, "Origin: https://access.example.com")
	onward := programRedirect + "?" + url.Values{"code": {"sealed"}, "state": {programState}, "iss": {"https://access.example.com"}}.Encode()
	if let.Code != 200 || let.Header().Get("Refresh") != "0; url="+onward || let.Header().Get("Location") != "" ||
		!strings.Contains(let.Body.String(), `href="`+strings.ReplaceAll(onward, "&", "&amp;")+`" rel="noreferrer"`) ||
		!slices.Equal(l.codes, []string{programChallenge + " " + programRedirect}) {
		t.Errorf("%d %v %v\n%s", let.Code, let.Header(), l.codes, let.Body)
	}
	if csp := let.Header().Get("Content-Security-Policy"); csp != shown.Header().Get("Content-Security-Policy") || !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("%s", csp)
	}
	if !strings.Contains(log.String(), "let a program at 127.0.0.1:49152 act in their name") || strings.Contains(log.String(), "sealed") ||
		strings.Contains(log.String(), programState) || strings.Contains(log.String(), "a-path") {
		t.Errorf("log: %s", log)
	}
}

// Nothing comes of a press that was not made on the page as it is for whoever is logged in now, or that
// another site has caused.
func TestNoProgramIsLetWithoutAPress(t *testing.T) {
	const ours = "Origin: https://access.example.com"
	person := personHeader + ": " + string(ana)
	for _, test := range []struct {
		name, method, body string
		headers            []string
		status             int
	}{
		{"only looked at", "GET", "", []string{person}, 200},
		{"not read", "POST", "principal=" + string(ana), []string{person, ours}, 200},
		{"read by another", "POST", "confirmed=1&principal=" + string(ben), []string{person, ours}, 200},
		{"read by nobody", "POST", "confirmed=1", []string{person, ours}, 200},
		{"in the address alone", "POST", "", []string{person, ours, "Content-Type: application/x-www-form-urlencoded"}, 200},
		{"another site's form", "POST", "confirmed=1&principal=" + string(ana), []string{person, "Origin: https://evil.example.com"}, 403},
		{"another site's form, by what the browser says", "POST", "confirmed=1&principal=" + string(ana), []string{person, "Sec-Fetch-Site: cross-site"}, 403},
		{"a form of no page", "POST", "confirmed=1&principal=" + string(ana), []string{person}, 403},
		{"a frame", "GET", "", []string{person, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, 403},
		{"a script of another site", "GET", "", []string{person, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}, 403},
		{"JSON", "POST", `{"confirmed":"1"}`, []string{person, ours, "Content-Type: application/json"}, 415},
		{"twice", "POST", "confirmed=1&confirmed=1&principal=" + string(ana), []string{person, ours}, 400},
		{"nobody", "POST", "confirmed=1&principal=" + string(ana), []string{ours}, 401},
		{"a program that has a token", "GET", "", []string{"Authorization: Bearer of-ana"}, 303},
		{"a program that has a token sends the form", "POST", "confirmed=1&principal=" + string(ana), []string{"Authorization: Bearer of-ana", ours}, 401},
	} {
		l := &login{}
		h, _ := serve(t, newWorld(t), withLogin(l))
		target := programAsks(nil)
		if test.name == "in the address alone" {
			target += "&confirmed=1&principal=" + string(ana)
		}
		w := visit(h, test.method, target, test.body, test.headers...)
		if w.Code != test.status || len(l.codes) != 0 || strings.Contains(w.Body.String(), "sealed") || w.Header().Get("Refresh") != "" {
			t.Errorf("%s: %d, %v\n%.600s", test.name, w.Code, l.codes, w.Body)
		}
	}
}

// Nobody is led anywhere but to a port of their own machine, by its address; a fault is said here.
func TestWhereAProgramMayListen(t *testing.T) {
	const good, bad = 200, 400
	set := func(name string, values ...string) func(url.Values) { return func(q url.Values) { q[name] = values } }
	for _, test := range []struct {
		name   string
		edit   func(url.Values)
		status int
	}{
		{"IPv4", nil, good},
		{"IPv6", set("redirect_uri", "http://[::1]:8080/x"), good},
		{"no path", set("redirect_uri", "http://127.0.0.1:1/"), good},
		{"the last port", set("redirect_uri", "http://127.0.0.1:65535/x"), good},
		{"no such port", set("redirect_uri", "http://127.0.0.1:65536/x"), bad},
		{"port 0", set("redirect_uri", "http://127.0.0.1:0/x"), bad},
		{"no port", set("redirect_uri", "http://127.0.0.1/x"), bad},
		{"localhost, which may be anywhere", set("redirect_uri", "http://localhost:8080/x"), bad},
		{"another address of the loopback network", set("redirect_uri", "http://127.0.0.2:8080/x"), bad},
		{"an address that is a part of a name", set("redirect_uri", "http://127.0.0.1:80.evil.example.com/x"), bad},
		{"a name that begins so", set("redirect_uri", "http://127.0.0.1.evil.example.com:8080/x"), bad},
		{"a user in front", set("redirect_uri", "http://127.0.0.1:8080@evil.example.com/x"), bad},
		{"another site", set("redirect_uri", "https://evil.example.com/x"), bad},
		{"by https", set("redirect_uri", "https://127.0.0.1:8080/x"), bad},
		{"another scheme", set("redirect_uri", "javascript:alert(1)//http://127.0.0.1:8080/x"), bad},
		{"in other letters", set("redirect_uri", "HTTP://127.0.0.1:8080/x"), bad},
		{"a query", set("redirect_uri", "http://127.0.0.1:8080/x?code=theirs"), bad},
		{"a fragment", set("redirect_uri", "http://127.0.0.1:8080/x#y"), bad},
		{"folders", set("redirect_uri", "http://127.0.0.1:8080/x/../y"), bad},
		{"escapes", set("redirect_uri", "http://127.0.0.1:8080/%2e"), bad},
		{"a line break", set("redirect_uri", "http://127.0.0.1:8080/x\r\nSet-Cookie: a=b"), bad},
		{"a line break at the end", set("redirect_uri", "http://127.0.0.1:8080/x\n"), bad},
		{"a decimal address", set("redirect_uri", "http://2130706433:8080/x"), bad},
		{"nothing", set("redirect_uri"), bad},
		{"two", set("redirect_uri", programRedirect, "http://127.0.0.1:2/x"), bad},
		{"a short state", set("state", "abc"), bad},
		{"a state with more in it", set("state", programState+"&code=theirs"), bad},
		{"a long state", set("state", strings.Repeat("s", 129)), bad},
		{"no state", set("state"), bad},
		{"two states", set("state", programState, programState), bad},
		{"no challenge", set("code_challenge", ""), bad},
		{"a challenge that is none", set("code_challenge", programChallenge+"A"), bad},
		{"the verifier itself", set("code_challenge_method", "plain"), bad},
		{"no method", set("code_challenge_method"), bad},
	} {
		l := &login{}
		h, _ := serve(t, newWorld(t), withLogin(l))
		for _, method := range []string{"GET", "POST"} {
			body := map[string]string{"POST": "confirmed=1&principal=" + string(ana)}[method]
			w := visit(h, method, programAsks(test.edit), body, personHeader+": "+string(ana), "Origin: https://access.example.com")
			if let := len(l.codes) == 1; w.Code != test.status || let != (test.status == good && method == "POST") || w.Header().Get("Location") != "" ||
				(w.Header().Get("Refresh") != "") != let {
				t.Errorf("%s: %s %d %v %v", test.name, method, w.Code, w.Header(), l.codes)
			}
			if test.status == bad && regexp.MustCompile(`(href|url|src|action)=.{0,2}http`).MatchString(w.Body.String()) {
				t.Errorf("%s leads elsewhere:\n%s", test.name, w.Body)
			}
		}
	}
}

// A program redeems a code by a call that no page can make, and is answered in JSON whatever happens.
func TestAProgramRedeemsACode(t *testing.T) {
	l := &login{}
	h, log := serve(t, newWorld(t), withLogin(l))
	const path, body = "/oidc/program/token", `{"code":"secret-code","verifier":"secret-verifier","redirectUri":"http://127.0.0.1:1/x"}`
	script := []string{"X-JITACCESS: 1", "Content-Type: application/json"}
	if w := visit(h, "POST", path, body, script...); w.Code != 200 || w.Body.String() != `{"token":"token","expires":"2026-11-22T13:00:00Z"}` ||
		w.Header().Get("Cache-Control") != "no-store" || !slices.Equal(l.tokens, []string{"secret-code secret-verifier http://127.0.0.1:1/x"}) {
		t.Fatalf("%d %v %s %v", w.Code, w.Header(), w.Body, l.tokens)
	}
	if !strings.Contains(log.String(), "gave a program a token") || !strings.Contains(log.String(), string(ana)) || !strings.Contains(log.String(), "oidc-program") ||
		strings.Contains(log.String(), "secret-") {
		t.Errorf("log: %s", log)
	}
	for name, test := range map[string]struct {
		method, body string
		headers      []string
		status       int
	}{
		"a form of a page":     {"POST", "code=x", []string{"Content-Type: application/x-www-form-urlencoded"}, 400},
		"without the header":   {"POST", body, []string{"Content-Type: application/json"}, 400},
		"another site":         {"POST", body, append([]string{"Origin: https://evil.example.com"}, script...), 403},
		"no JSON":              {"POST", "code", script, 400},
		"two objects":          {"POST", body + body, script, 400},
		"another type":         {"POST", body, []string{"X-JITACCESS: 1", "Content-Type: text/plain"}, 415},
		"too large":            {"POST", `{"code":"` + strings.Repeat("x", 70<<10) + `"}`, script, 413},
		"another method":       {"GET", "", script[:1], 401},
		"what is not expected": {"POST", `{"code":["x"]}`, script, 400},
	} {
		w := visit(h, test.method, path, test.body, test.headers...)
		if w.Code != test.status || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") || len(l.tokens) != 1 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	l.finish = &access.Error{Kind: access.Invalid, Code: access.CodeBadInput, Args: access.Args{"reason": "the code does not hold"}}
	if w := visit(h, "POST", path, body, script...); w.Code != 400 || !strings.Contains(w.Body.String(), "bad-input") || strings.Contains(log.String(), "secret-") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A program ends the session that its token is of, and nobody else's; nothing but that token ends one here.
func TestAProgramLogsOut(t *testing.T) {
	const path, script, token = "/oidc/program/logout", "X-JITACCESS: 1", "Authorization: Bearer of-ana"
	person, ours := personHeader+": "+string(ana), "Origin: https://access.example.com"
	for _, everywhere := range []bool{true, false} {
		l := &login{everywhere: everywhere}
		h, log := serve(t, newWorld(t), withLogin(l))
		want := fmt.Sprintf(`{"everywhere":%v,"expires":"2026-11-22T13:00:00Z"}`, everywhere)
		if w := visit(h, "POST", path, "", token, script); w.Code != 200 || w.Body.String() != want || !slices.Equal(l.out, []string{"ana"}) ||
			w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%d %v %s %v", w.Code, w.Header(), w.Body, l.out)
		}
		if !strings.Contains(log.String(), "logged out by a program") || !strings.Contains(log.String(), string(ana)) ||
			!strings.Contains(log.String(), "oidc-program") || strings.Contains(log.String(), "of-ana") {
			t.Errorf("log: %s", log)
		}
	}
	for _, test := range []struct {
		name, method string
		headers      []string
		status       int
	}{
		{"nobody", "POST", []string{script}, 401},
		{"a cookie in place of a token", "POST", []string{person, script, ours}, 401},
		{"a token that is none", "POST", []string{"Authorization: Bearer of-nobody", script}, 401},
		{"without the header", "POST", []string{token}, 400},
		{"another header", "POST", []string{token, "X-JITACCESS: yes"}, 400},
		{"a form of ours", "POST", []string{person, ours, "Content-Type: application/x-www-form-urlencoded"}, 400},
		{"another site's form", "POST", []string{person, "Origin: https://evil.example.com", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate",
			"Sec-Fetch-Dest: document", "Content-Type: application/x-www-form-urlencoded"}, 403},
		{"another site's form, of an old browser", "POST", []string{person, "Origin: https://evil.example.com", "Content-Type: text/plain"}, 400},
		{"another site's script", "POST", []string{token, script, "Origin: https://evil.example.com"}, 403},
		{"another site's script, by what the browser says", "POST", []string{token, script, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors"}, 403},
		{"another site's link", "GET", []string{person, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 405},
		{"another method", "GET", []string{token, script}, 405},
	} {
		l := &login{}
		h, _ := serve(t, newWorld(t), withLogin(l))
		w := visit(h, test.method, path, "", test.headers...)
		if w.Code != test.status || len(l.out) != 0 || l.ended != 0 || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") ||
			(w.Header().Get("WWW-Authenticate") != "") != (test.status == 401) {
			t.Errorf("%s: %d %v %v %s", test.name, w.Code, l.out, w.Header(), w.Body)
		}
	}
}

// A program's token opens the JSON interface, and no page; who has none is told how to get one.
func TestWhatAProgramMayDo(t *testing.T) {
	const token, script = "Authorization: Bearer of-ana", "X-JITACCESS: 1"
	for target, want := range map[string]int{"/api/projects": 200, "/api/policy": 200, "/api/nothing": 404, "/": 303, "/requests": 303, "/passkeys": 303,
		"/notifications": 303, "/history.csv": 303, "/review?activation=x": 303, "/admin": 303, "/nowhere": 303, "/api%2f..%2frequests": 404} {
		h, _ := serve(t, newWorld(t), withLogin(&login{}))
		if w := visit(h, "GET", target, "", token, script); w.Code != want || strings.Contains(w.Body.String(), `class="who"><`) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	world := newWorld(t)
	h, _ := serve(t, world, withLogin(&login{}))
	for target, body := range map[string]string{"/language": "language=de", "/oidc/logout": "", "/access/projects/shop": "a=b", "/passkeys": "a=b"} {
		if w := visit(h, "POST", target, body, token, script, "Origin: https://access.example.com"); target != "/oidc/logout" && w.Code != 401 || world.changes != 0 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	// Nor without the header that no other site can have sent.
	if w := visit(h, "GET", "/api/projects", "", token); w.Code != 400 {
		t.Errorf("%d", w.Code)
	}
	for name, test := range map[string]struct {
		headers []string
		demands string
	}{
		"nobody":       {[]string{script}, `Bearer realm="jitaccess"`},
		"another page": {[]string{"Accept: text/html"}, `Bearer realm="jitaccess"`},
	} {
		if w := visit(h, "GET", "/api/policy", "", test.headers...); w.Code != 401 || w.Header().Get("WWW-Authenticate") != test.demands {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	behindProxy, _ := serve(t, newWorld(t), nil)
	if w := visit(behindProxy, "GET", "/api/policy", "", script, token); w.Code != 401 || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("behind a proxy: %d %v", w.Code, w.Header())
	}
	for _, route := range []string{"GET /oidc/program", "POST /oidc/program", "POST /oidc/program/token",
		"POST /oidc/program/logout"} {
		method, path, _ := strings.Cut(route, " ")
		if w := visit(behindProxy, method, path, "", personHeader+": "+string(ana), "Origin: https://access.example.com", script); w.Code != 404 {
			t.Errorf("behind a proxy: %s: %d", route, w.Code)
		}
	}
}

// Before somebody is logged in the page is where the log-in leads, with all that the program asks for.
func TestAProgramWaitsForTheLogin(t *testing.T) {
	l := &login{}
	h, _ := serve(t, newWorld(t), withLogin(l))
	w := visit(h, "GET", programAsks(nil), "", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
	if w.Code != http.StatusSeeOther || !strings.Contains(w.Header().Get("Set-Cookie"), url.QueryEscape(programAsks(nil))) || len(l.codes) != 0 {
		t.Errorf("%d %v", w.Code, maps.Collect(maps.All(w.Header())))
	}
}
