package sandbox_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

const assertion = "X-Goog-Iap-Jwt-Assertion"

// echo answers with the assertion that came in.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintln(w, strings.Join(r.Header.Values(assertion), "\n"))
}

func TestNobodyReachesTheServiceUnnamed(t *testing.T) {
	reached := 0
	s := start(t, func(w http.ResponseWriter, r *http.Request) { reached++ })
	a, b := people(t, s)
	response, page := do(t, browser(t), "GET", s.URL()+"/access/projects/x?a=1", "", "Accept", "text/html")
	if response.StatusCode != http.StatusOK || response.Request.URL.Path != "/sandbox/" {
		t.Errorf("a browser got %d at %s, want the sign-in page", response.StatusCode, response.Request.URL)
	}
	for _, want := range []string{a.Name, b.Name, `value="/access/projects/x?a=1"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the sign-in page lacks %q", want)
		}
	}
	for name, header := range map[string][]string{
		"a script":          {},
		"a form":            {"Accept", "text/html"},
		"an unknown person": {"Cookie", "sandbox_person=stranger@example.net"},
	} {
		method := "GET"
		if name == "a form" {
			method = "POST"
		}
		if response, _ := do(t, browser(t), method, s.URL()+"/api/policy", "", header...); response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s got %d, want 401", name, response.StatusCode)
		}
	}
	if reached != 0 {
		t.Errorf("the service was reached %d times", reached)
	}
}

// The storybook is for whoever comes, from this machine alone.
func TestTheStorybookNeedsNobody(t *testing.T) {
	s := start(t, echo)
	if _, text := do(t, browser(t), "GET", s.URL()+"/sandbox/storybook", ""); text != "story /sandbox/storybook/" {
		t.Errorf("got %q", text)
	}
	if response, text := do(t, browser(t), "GET", s.URL()+"/sandbox/storybook/en/home", "", "Host", "evil.example.com"); response.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("got %d, %q under a name that leads here from elsewhere", response.StatusCode, text)
	}
	if response, _ := do(t, browser(t), "POST", s.URL()+"/sandbox/storybook/en/home", "", "Origin", s.URL()); response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a form got %d", response.StatusCode)
	}
}

func TestHealthIsAnsweredPastIAP(t *testing.T) {
	s := start(t, echo)
	response, text := do(t, browser(t), "GET", s.URL()+"/health/alive", "", assertion, "forged")
	if response.StatusCode != http.StatusOK || strings.TrimSpace(text) != "" {
		t.Errorf("got %d with assertion %q, want 200 without one", response.StatusCode, text)
	}
}

func TestSignInAndSwitch(t *testing.T) {
	s := start(t, echo)
	a, b := people(t, s)
	c := browser(t)
	_, first := signIn(t, c, s, a.Email, "/whoami?x=1")
	response, again := do(t, c, "GET", s.URL()+"/whoami", "")
	if response.StatusCode != http.StatusOK || first == "\n" || again == "\n" {
		t.Fatalf("got %d, assertions %q and %q", response.StatusCode, first, again)
	}
	response, second := signIn(t, c, s, b.Email, "/whoami")
	if response.Request.URL.Path != "/whoami" {
		t.Errorf("led to %s", response.Request.URL)
	}
	if claims(t, first)["email"] != a.Email || claims(t, second)["email"] != b.Email {
		t.Errorf("the service saw %v, then %v", claims(t, first), claims(t, second))
	}
	response, _ = do(t, c, "GET", s.URL()+"/?gcp-iap-mode=CLEAR_LOGIN_COOKIE", "")
	if response.Request.URL.Path != "/sandbox/" {
		t.Errorf("signing out led to %s", response.Request.URL)
	}
	if response, _ := do(t, c, "GET", s.URL()+"/whoami", ""); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %d after signing out, want 401", response.StatusCode)
	}
}

func TestSignInRefuses(t *testing.T) {
	s := start(t, echo)
	a, _ := people(t, s)
	for name, c := range map[string]struct {
		email  string
		header []string
		want   int
	}{
		"a stranger":              {"stranger@example.net", []string{"Origin", s.URL()}, http.StatusBadRequest},
		"nobody":                  {"", []string{"Origin", s.URL()}, http.StatusBadRequest},
		"another site":            {a.Email, []string{"Origin", "http://example.net"}, http.StatusForbidden},
		"another port":            {a.Email, []string{"Origin", "http://localhost:1"}, http.StatusForbidden},
		"cross-site":              {a.Email, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"no word of where from":   {a.Email, nil, http.StatusForbidden},
		"an origin that is null":  {a.Email, []string{"Origin", "null"}, http.StatusForbidden},
		"same-site but not -self": {a.Email, []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			response, _ := do(t, browser(t), "POST", s.URL()+"/sandbox/sign-in", "email="+c.email, append(c.header, "Content-Type", form)...)
			if response.StatusCode != c.want || len(response.Cookies()) != 0 {
				t.Errorf("got %d and cookies %v, want %d and none", response.StatusCode, response.Cookies(), c.want)
			}
		})
	}
	if response, _ := do(t, browser(t), "GET", s.URL()+"/sandbox/sign-in?email="+a.Email, ""); response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET got %d, want 405", response.StatusCode)
	}
}

func TestThreat15_SignInLeadsNowhereElse(t *testing.T) {
	s := start(t, echo)
	a, _ := people(t, s)
	for _, back := range []string{
		"//example.net/", "https://example.net/", `/\example.net`, `\\example.net`, "/\t/example.net", "javascript:alert(1)", "example.net", "", "//", "/%zz",
	} {
		c := browser(t)
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		response, _ := signIn(t, c, s, a.Email, back)
		if response.StatusCode != http.StatusSeeOther || response.Header.Get("Location") != "/" {
			t.Errorf("return %q led to %q, want /", back, response.Header.Get("Location"))
		}
	}
}

func TestThreat26_ForgedIdentityIsStripped(t *testing.T) {
	var seen http.Header
	s := start(t, func(w http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() })
	a, _ := people(t, s)
	c := browser(t)
	signIn(t, c, s, a.Email, "/")
	for _, name := range []string{
		"X-Goog-IAP-JWT-Assertion", assertion, "x-goog-iap-jwt-assertion", "X_Goog_Iap_Jwt_Assertion", "X-Goog_IAP-JWT_Assertion",
		"X-Goog-Authenticated-User-Email", "x_goog_authenticated_user_email", "X-Goog-Anything",
	} {
		do(t, c, "GET", s.URL()+"/", "", name, "forged", "Connection", "close, "+assertion)
		for header, values := range seen {
			if strings.Contains(strings.Join(values, " "), "forged") {
				t.Errorf("%s reached the service as %s: %q", name, header, values)
			}
		}
		if got := seen.Values(assertion); len(got) != 1 || claims(t, got[0])["email"] != a.Email {
			t.Errorf("with %s: assertions %q", name, got)
		}
	}
}

func TestThreat16_AnswersToLoopbackNamesOnly(t *testing.T) {
	s := start(t, echo)
	port := s.Environment()["PORT"]
	for host, want := range map[string]int{
		"localhost:" + port:             http.StatusOK,
		"127.0.0.1:" + port:             http.StatusOK,
		"[::1]:" + port:                 http.StatusOK,
		"[::1]":                         http.StatusOK,
		"localhost":                     http.StatusOK,
		"example.net":                   http.StatusMisdirectedRequest,
		"localhost.example.net:" + port: http.StatusMisdirectedRequest,
		"127.0.0.1.example.net":         http.StatusMisdirectedRequest,
		"192.0.2.1:" + port:             http.StatusMisdirectedRequest,
	} {
		for _, path := range []string{"/sandbox/", "/health/alive"} {
			if response, _ := do(t, browser(t), "GET", s.URL()+path, "", "Host", host); response.StatusCode != want {
				t.Errorf("host %s%s: got %d, want %d", host, path, response.StatusCode, want)
			}
		}
	}
}

func TestBarIsInPagesOnceAndOnlyThere(t *testing.T) {
	const page = `<!doctype html><html><head><title>Hi</title></head><BODY class="a>b" data-x='>'><p>Hello</p><body></BODY></html>`
	for name, c := range map[string]struct {
		kind, encoding, body string
		status               int
		bar                  bool
	}{
		"a page":              {"text/html; charset=utf-8", "", page, 200, true},
		"an error page":       {"text/html", "", page, 404, true},
		"a page without kind": {"", "", page, 200, true},
		"a fragment":          {"text/html", "", "<p>no body tag</p>", 200, false},
		"a tag like body":     {"text/html", "", "<bodyguard>", 200, false},
		"JSON":                {"application/json", "", `{"a":"<body>"}`, 200, false},
		"a stylesheet":        {"text/css", "", "/* <body> */", 200, false},
		"plain text":          {"text/plain; charset=utf-8", "", page, 200, false},
		"what is compressed":  {"text/html", "br", page, 200, false},
		"an odd kind":         {"text/html/x; =", "", page, 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(w http.ResponseWriter, r *http.Request) {
				if c.kind != "" {
					w.Header().Set("Content-Type", c.kind)
				}
				if c.encoding != "" {
					w.Header().Set("Content-Encoding", c.encoding)
				}
				if c.kind != "" || c.status != 200 {
					w.Header().Set("Content-Length", strconv.Itoa(len(c.body)))
					w.WriteHeader(c.status)
				}
				io.WriteString(w, c.body[:len(c.body)/2])
				io.WriteString(w, c.body[len(c.body)/2:])
			})
			a, _ := people(t, s)
			client := browser(t)
			signIn(t, client, s, a.Email, "/")
			response, got := do(t, client, "GET", s.URL()+"/x", "")
			if response.StatusCode != c.status {
				t.Errorf("got %d, want %d", response.StatusCode, c.status)
			}
			if !c.bar {
				if got != c.body {
					t.Errorf("got %q, want it untouched", got)
				}
				return
			}
			if n := strings.Count(got, `class="sandbox-bar"`); n != 1 {
				t.Errorf("%d bars in %q", n, got)
			}
			before, after, _ := strings.Cut(c.body, "<p>Hello")
			if !strings.HasPrefix(got, before) || !strings.HasSuffix(got, "<p>Hello"+after) {
				t.Errorf("the page around the bar has changed: %q", got)
			}
			if response.ContentLength != int64(len(got)) {
				t.Errorf("Content-Length %d for %d bytes", response.ContentLength, len(got))
			}
			if !strings.Contains(got, a.Name) || !strings.Contains(got, `value="/x"`) {
				t.Errorf("the bar lacks the person or the way back: %q", got)
			}
			if strings.Contains(got, "style=") || strings.Contains(got, "<style") || strings.Contains(got, "<script") {
				t.Error("the bar does not keep to a strict content security policy")
			}
		})
	}
}

func TestAnswersWithoutBodyStayWithout(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		status int
	}{"HEAD": {"HEAD", 200}, "no content": {"GET", 204}, "not modified": {"GET", 304}, "a redirect": {"GET", 303}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(c.status)
			})
			a, _ := people(t, s)
			client := browser(t)
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			signIn(t, client, s, a.Email, "/")
			if response, got := do(t, client, c.method, s.URL()+"/", ""); response.StatusCode != c.status || got != "" {
				t.Errorf("got %d %q, want %d and nothing", response.StatusCode, got, c.status)
			}
		})
	}
}

func TestBarStreamsWhatIsNoPage(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("kind"))
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		w.Write([]byte("<body>"))
	})
	a, _ := people(t, s)
	client := browser(t)
	signIn(t, client, s, a.Email, "/health/alive")
	if _, got := do(t, client, "GET", s.URL()+"/?kind=text/event-stream", ""); got != "<body>" {
		t.Errorf("got %q", got)
	}
	if _, got := do(t, client, "GET", s.URL()+"/?kind=text/html", ""); !strings.Contains(got, "sandbox-bar") {
		t.Errorf("a flushed page has no bar: %q", got)
	}
}

func TestPolicyPageShowsWhoHasWhat(t *testing.T) {
	s := start(t, http.NotFound)
	a, _ := people(t, s)
	resource := s.Environment()["RESOURCE_SCOPE"]
	c := browser(t)
	signIn(t, c, s, a.Email, "/sandbox/")
	response, page := do(t, c, "GET", s.URL()+"/sandbox/policy?resource="+resource, "")
	if response.StatusCode != http.StatusOK {
		t.Fatalf("got %d %s", response.StatusCode, page)
	}
	for _, want := range []string{resource, a.Name, "Roles now", `http-equiv="refresh"`, "etag"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "since the start") {
		t.Error("nothing has changed, yet a binding is marked")
	}
	if response, _ := do(t, c, "GET", s.URL()+"/sandbox/policy", ""); response.StatusCode != http.StatusOK {
		t.Errorf("without a resource: %d", response.StatusCode)
	}
	for _, bad := range []string{"projects/nowhere", "../x", "%00"} {
		if response, _ := do(t, c, "GET", s.URL()+"/sandbox/policy?resource="+bad, ""); response.StatusCode != http.StatusNotFound {
			t.Errorf("resource %q: %d, want 404", bad, response.StatusCode)
		}
	}
}

func TestPolicyPageMarksWhatChanged(t *testing.T) {
	s := start(t, http.NotFound)
	a, _ := people(t, s)
	resource := "projects/" + s.Cloud().ProjectID()
	const role = "roles/storage.objectViewer"
	if s.Cloud().Allowed("user:"+a.Email, role, resource, time.Now()) {
		t.Fatalf("%s has %s already", a.Email, role)
	}
	err := s.Cloud().SetPolicy(resource, google.Policy{Bindings: []google.Binding{
		{Role: "roles/browser", Members: []string{"group:nobody@example.com"}},
		{Role: role, Members: []string{"user:" + a.Email}, Condition: &google.Condition{Title: "<i>", Expression: `request.time < timestamp("2100-01-01T00:00:00Z")`}},
		{Role: "roles/storage.admin", Members: []string{"user:" + a.Email}, Condition: &google.Condition{Title: "over", Expression: `request.time < timestamp("2000-01-01T00:00:00Z")`}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := browser(t)
	// Without a resource it is the one that has changed.
	_, page := signIn(t, c, s, a.Email, "/sandbox/policy?whole=1")
	for _, want := range []string{
		"IAM policy of " + resource, "since the start", "with a condition", "&lt;i&gt;",
		"<code>" + role + "</code>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "<code>roles/storage.admin</code>") {
		t.Error("a role that is over counts as held")
	}
}

func TestSandboxPagesAreStrict(t *testing.T) {
	s := start(t, http.NotFound)
	a, _ := people(t, s)
	c := browser(t)
	signIn(t, c, s, a.Email, "/sandbox/")
	for _, path := range []string{"/sandbox/", "/sandbox/mailbox", "/sandbox/policy"} {
		response, page := do(t, c, "GET", s.URL()+path, "")
		if policy := response.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if strings.Contains(page, "<script") || strings.Contains(page, "style=") {
			t.Errorf("%s needs what its policy forbids", path)
		}
	}
	for path, want := range map[string]int{
		"/sandbox/assets/bar.css": 200, "/sandbox/assets/sandbox.css": 200, "/sandbox/assets/people.html": 404,
		"/sandbox/assets/none.css": 404, "/sandbox/assets/..%2f..%2fgo.mod": 404, "/sandbox/nothing": 404, "/sandbox": 200,
	} {
		if response, _ := do(t, c, "GET", s.URL()+path, ""); response.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
		}
	}
}
