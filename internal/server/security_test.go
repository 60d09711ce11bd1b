package server_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/server"
)

// open are the routes that need no identity.
var open = map[string]bool{"/health/alive": true, "/health/ready": true, "/assets/{name}": true, "/_ah/start": true, "/_ah/warmup": true,
	"/api/openapi.json": true, "/.well-known/oauth-authorization-server": true, "/.well-known/jwks.json": true}

// routes calls visit for every route, with an address that leads there.
func routes(t *testing.T, h http.Handler, visit func(method, route, path string)) {
	t.Helper()
	fill := strings.NewReplacer("*", "projects/acme-orders-prod", "{id}", "jit-AAAAAAAAAAAAAAAA", "{project}", "acme-orders-prod", "{name}", "style.css")
	n := 0
	err := chi.Walk(h.(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		n++
		visit(method, route, fill.Replace(route))
		return nil
	})
	if err != nil || n < 25 {
		t.Fatalf("walked %d routes: %v", n, err)
	}
}

// docs/security.md says who each route is for.
func TestTheDocumentNamesEveryRoute(t *testing.T) {
	document, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, found := range regexp.MustCompile("`((?:GET|POST) /[^`]*)`").FindAllStringSubmatch(string(document), -1) {
		named[found[1]] = true
	}
	routes(t, everything(t), func(method, route, _ string) {
		if name := method + " " + route; !named[name] {
			t.Errorf("docs/security.md lacks %s", name)
		} else {
			delete(named, name)
		}
	})
	for name := range named {
		t.Errorf("docs/security.md has %s, which is no route", name)
	}
}

// request is a well-formed one of a signed-in person.
func request(method, path string) *http.Request {
	var r *http.Request
	if method == http.MethodPost {
		r = httptest.NewRequest(method, path, strings.NewReader("x=y"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	} else {
		r = httptest.NewRequest(method, path, nil)
	}
	r.Host = "access.example.com"
	r.Header.Set(personHeader, string(ana))
	r.Header.Set("X-JITACCESS", "1")
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	checked(r, w)
	return w
}

func TestThreat26_EveryRouteRefusesAnonymousCallers(t *testing.T) {
	f := newWorld(t)
	programs := newAsked()
	h, _ := applications(t, programs, func(c *server.Config) { c.Broker = f })
	routes(t, h, func(method, route, path string) {
		r := request(method, path)
		r.Header.Del(personHeader)
		// What a proxy that is not ours, or a client, might claim.
		r.Header.Set("X-Goog-Authenticated-User-Email", "accounts.google.com:"+string(ana))
		r.Header.Set("X-Debug-Principal", string(ana))
		r.Header.Set("X-Forwarded-User", string(ana))
		want := http.StatusUnauthorized
		if open[route] {
			want = http.StatusOK
		}
		if got := do(h, r).Code; got != want {
			t.Errorf("%s %s: %d, want %d", method, route, got, want)
		}
	})
	for _, path := range []string{"/nowhere", "/api/nowhere", "/assets/../x"} {
		r := request("GET", path)
		r.Header.Del(personHeader)
		if got := do(h, r).Code; got != http.StatusUnauthorized {
			t.Errorf("%s: %d", path, got)
		}
	}
	if f.changes != 0 || len(programs.requests) != 0 {
		t.Error("the broker was asked")
	}
}

// Threats 38 and 39: there is no session to fall back on, and a missing header is
// nobody.
func TestThreat39_IdentityIsPerRequest(t *testing.T) {
	h, _ := serve(t, newWorld(t), nil)
	w := do(h, request("GET", "/"))
	if w.Code != 200 || len(w.Result().Cookies()) != 0 {
		t.Fatalf("%d, cookies %v", w.Code, w.Result().Cookies())
	}
	r := request("GET", "/")
	r.Header.Del(personHeader)
	r.Header.Set("Connection", "close, "+personHeader)
	if w := do(h, r); w.Code != http.StatusUnauthorized {
		t.Errorf("without the header: %d", w.Code)
	}
	nobody, _ := serve(t, newWorld(t), func(c *server.Config) {
		c.Identify = func(*http.Request) (access.Caller, error) { return access.Caller{}, nil }
	})
	if w := do(nobody, request("GET", "/")); w.Code != http.StatusUnauthorized {
		t.Errorf("identified as nobody: %d", w.Code)
	}
}

func TestThreat02_EveryChangeRefusesOtherSites(t *testing.T) {
	foreign := map[string]map[string]string{
		"cross-site":             {"Sec-Fetch-Site": "cross-site"},
		"same-site":              {"Sec-Fetch-Site": "same-site"},
		"foreign origin":         {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
		"null origin":            {"Sec-Fetch-Site": "", "Origin": "null"},
		"other port":             {"Sec-Fetch-Site": "", "Origin": "https://access.example.com:8443"},
		"cross-site, our origin": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
	}
	for name, headers := range foreign {
		f := newWorld(t)
		h, _ := serve(t, f, nil)
		routes(t, h, func(method, route, path string) {
			if method != http.MethodPost {
				return
			}
			r := request(method, path)
			for k, v := range headers {
				if r.Header.Set(k, v); v == "" {
					r.Header.Del(k)
				}
			}
			if got := do(h, r).Code; got != http.StatusForbidden {
				t.Errorf("%s: %s: %d", name, route, got)
			}
		})
		if f.changes != 0 {
			t.Errorf("%s: the broker was asked", name)
		}
	}
}

func TestThreat02_AFormSaysWhereItComesFrom(t *testing.T) {
	h, _ := serve(t, newWorld(t), nil)
	for name, c := range map[string]struct {
		origin, site string
		want         int
	}{
		"neither":         {"", "", http.StatusForbidden},
		"origin":          {"https://access.example.com", "", http.StatusNotFound},
		"fetch metadata":  {"", "same-origin", http.StatusNotFound},
		"both":            {"https://access.example.com", "same-origin", http.StatusNotFound},
		"empty, as given": {" ", "", http.StatusForbidden},
	} {
		r := httptest.NewRequest("POST", "/requests/jit-AAAAAAAAAAAAAAAA/end", strings.NewReader("resource=projects/acme-orders-prod"))
		r.Host = "access.example.com"
		r.Header.Set(personHeader, string(ana))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", c.origin)
		r.Header.Set("Sec-Fetch-Site", c.site)
		if got := do(h, r).Code; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestThreat02_TheInterfaceDemandsItsHeader(t *testing.T) {
	f := newWorld(t)
	h, _ := serve(t, f, nil)
	routes(t, h, func(method, route, path string) {
		if !strings.HasPrefix(route, "/api/") || open[route] {
			return
		}
		for _, values := range [][]string{nil, {""}, {"0"}, {"1", "1"}, {"1 "}, {"true"}} {
			r := request(method, path)
			r.Header["X-Jitaccess"] = values
			if w := do(h, r); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "missing-header") {
				t.Errorf("%s %q: %d", route, values, w.Code)
			}
		}
	})
	if f.changes != 0 {
		t.Error("the broker was asked")
	}
}

func TestThreat03_EveryAnswerCarriesTheHeaders(t *testing.T) {
	f := newWorld(t)
	h, _ := serve(t, f, nil)
	want := map[string]string{
		"Content-Security-Policy":      "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
		"Referrer-Policy":              "same-origin",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
	}
	check := func(name string, w *httptest.ResponseRecorder) {
		for k, v := range want {
			if got := w.Header().Values(k); len(got) != 1 || got[0] != v {
				t.Errorf("%s: %s is %q", name, k, got)
			}
		}
		if cache := w.Header().Get("Cache-Control"); cache != "no-store" && !strings.HasPrefix(name, "GET /assets") && !strings.HasPrefix(name, "GET /api/openapi.json") {
			t.Errorf("%s: Cache-Control %q", name, cache)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s allows other origins", name)
		}
	}
	routes(t, h, func(method, route, path string) {
		check(method+" "+route, do(h, request(method, path)))
		r := request(method, path)
		r.Header.Del(personHeader)
		check(method+" "+route+" anonymous", do(h, r))
	})
	check("unknown", do(h, request("GET", "/nowhere")))
	check("method", do(h, request("DELETE", "/review")))
	check("OPTIONS", do(h, request("OPTIONS", "/review")))
	broken, _ := serve(t, nil, func(c *server.Config) { c.AdminPage = false })
	w := do(broken, request("GET", "/"))
	check("panic", w)
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "nil pointer") {
		t.Errorf("panic: %d %s", w.Code, w.Body)
	}
}

// A mail scanner may open a link as often and in whatever order it likes.
func TestThreat01_GetAndHeadChangeNothing(t *testing.T) {
	f := newWorld(t)
	now := noon
	h, _ := serve(t, f, func(c *server.Config) {
		// Time passes, so that nobody is too fast.
		c.Now = func() time.Time { now = now.Add(time.Second); return now }
	})
	ask := httptest.NewRequest("POST", "/access/projects/acme-orders-prod", strings.NewReader(url.Values{
		"entitlement": {security.String()}, "reviewer": {string(ben)}, "justification": {"case 4711"}, "minutes": {"60"}}.Encode()))
	ask.Header = request("POST", "/").Header
	if w := do(h, ask); w.Code != http.StatusSeeOther {
		t.Fatal(w.Code, w.Body)
	}
	asked := f.changes
	ref := "?activation=ref-mpa-CCCCCCCCCCCCCCCC"
	paths := []string{"/" + ref, "/review" + ref, "/review" + ref + "&verdict=approve", "/api/activation-request" + ref, "/api/activation-request/deny" + ref,
		"/access/projects/acme-orders-prod?entitlement=" + url.QueryEscape(admin.String()) + "&justification=x&minutes=5&id=jit-AAAAAAAAAAAAAAAA"}
	routes(t, h, func(_, _, path string) { paths = append(paths, path, path+ref) })
	people := []access.Principal{ana, ben, carl, dora, ""}
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		method := []string{"GET", "HEAD"}[random.IntN(2)]
		r := request(method, paths[random.IntN(len(paths))])
		r.Header.Set(personHeader, string(people[random.IntN(len(people))]))
		if random.IntN(2) == 0 {
			r.Header.Set("X-HTTP-Method-Override", "POST")
		}
		do(h, r)
	}
	if f.changes != asked {
		t.Errorf("%d changes", f.changes-asked)
	}
}

func TestThreat04_LogsHoldNoQuery(t *testing.T) {
	h, log := serve(t, newWorld(t), nil)
	const secret = "token-of-a-link"
	routes(t, h, func(method, _, path string) {
		for _, person := range []string{"", string(ana)} {
			r := request(method, path+"?activation="+secret)
			r.Header.Set(personHeader, person)
			do(h, r)
		}
	})
	if log.String() == "" || strings.Contains(log.String(), secret) {
		t.Errorf("log has the token, or nothing: %.300s", log)
	}
}

func TestThreat13_TemplatesHaveNoScriptOfTheirOwn(t *testing.T) {
	files, _ := filepath.Glob("../../web/templates/*.html")
	inline := regexp.MustCompile(`(?i)\son[a-z]+=|\sstyle=|javascript:|<style|<script(?:>|\s+[^s])|https?://`)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if found := inline.FindString(string(b)); found != "" {
			t.Errorf("%s has %q, which the policy forbids or which leads elsewhere", f, found)
		}
	}
	if len(files) < 7 {
		t.Error("no templates")
	}
}

// There is no parameter that decides where a redirect leads.
func TestThreat15_RedirectsStayHere(t *testing.T) {
	h, _ := serve(t, newWorld(t), nil)
	for _, evil := range []string{"https://evil.example", "//evil.example", `/\evil.example`, "%2F%2Fevil.example"} {
		q := url.Values{}
		for _, name := range []string{"activation", "projectId", "q", "next", "url", "redirect", "return", "continue"} {
			q.Set(name, evil)
		}
		for _, path := range []string{"/?" + q.Encode(), "/?activation=" + url.QueryEscape(evil), "/?projectId=" + url.QueryEscape(evil), "/?q=" + url.QueryEscape(evil), "//evil.example/", "/%2F/evil.example"} {
			r := request("GET", "/")
			u, err := url.ParseRequestURI(path)
			if err != nil {
				continue
			}
			r.URL = u
			if to := do(h, r).Header().Get("Location"); to != "" && !strings.HasPrefix(to, "/review?") && !strings.HasPrefix(to, "/access/") {
				t.Errorf("%s leads to %s", path, to)
			}
		}
	}
}

func TestThreat16_OnlyACertainHostMakesLinks(t *testing.T) {
	appEngine := server.Platform{AppEngine: true, ProjectID: "acme-access"}
	appEngineJit := server.Platform{AppEngine: true, ProjectID: "acme-access", Service: "jit"}
	cloudRun := server.Platform{CloudRun: true, Service: "jitaccess", ProjectNumber: "123456", Region: "europe-west1"}
	for _, c := range []struct {
		name      string
		platform  server.Platform
		publicURL string
		host      string
		want      string
	}{
		{"configured, whatever the host", server.Platform{}, "https://access.example.com", "evil.example", "https://access.example.com"},
		{"App Engine", appEngine, "", "acme-access.appspot.com", "https://acme-access.appspot.com"},
		{"App Engine in a region", appEngine, "", "acme-access.ew.r.appspot.com", "https://acme-access.ew.r.appspot.com"},
		{"App Engine, folded", appEngine, "", "ACME-access.appspot.com:443", "https://acme-access.appspot.com"},
		{"App Engine, the default service by name", server.Platform{AppEngine: true, ProjectID: "acme-access", Service: "default"}, "", "acme-access.appspot.com", "https://acme-access.appspot.com"},
		{"another service", appEngineJit, "", "jit-dot-acme-access.appspot.com", "https://jit-dot-acme-access.appspot.com"},
		{"another service in a region", appEngineJit, "", "JIT-dot-acme-access.ew.r.appspot.com", "https://jit-dot-acme-access.ew.r.appspot.com"},
		{"the default service's host, for another", appEngineJit, "", "acme-access.appspot.com", ""},
		{"the default service's host in a region, for another", appEngineJit, "", "acme-access.ew.r.appspot.com", ""},
		{"another service's host, for the default one", appEngine, "", "jit-dot-acme-access.appspot.com", ""},
		{"a version of a service", appEngineJit, "", "v1-dot-jit-dot-acme-access.appspot.com", ""},
		{"a service after a dot", appEngineJit, "", "jit.acme-access.appspot.com", ""},
		{"a third service", appEngineJit, "", "evil-dot-acme-access.appspot.com", ""},
		{"a service that is no name", server.Platform{AppEngine: true, ProjectID: "acme-access", Service: "a.b"}, "", "a.b-dot-acme-access.appspot.com", ""},
		{"a service of no project", server.Platform{AppEngine: true, Service: "jit"}, "", "jit-dot-.appspot.com", ""},
		{"another project", appEngine, "", "acme-evil.appspot.com", ""},
		{"a version of another project", appEngine, "", "acme-access.x.y.r.appspot.com", ""},
		{"suffix", appEngine, "", "acme-access.appspot.com.evil.example", ""},
		{"prefix", appEngine, "", "evil-acme-access.appspot.com", ""},
		{"port", appEngine, "", "acme-access.appspot.com:8443", ""},
		{"no project", server.Platform{AppEngine: true}, "", ".appspot.com", ""},
		{"Cloud Run", cloudRun, "", "jitaccess-123456.europe-west1.run.app", "https://jitaccess-123456.europe-west1.run.app"},
		{"Cloud Run, hashed form", cloudRun, "", "jitaccess-abcdef-ew.a.run.app", ""},
		{"another number", cloudRun, "", "jitaccess-654321.europe-west1.run.app", ""},
		{"another region", cloudRun, "", "jitaccess-123456.us-central1.run.app", ""},
		{"not on Cloud Run", appEngine, "", "jitaccess-123456.europe-west1.run.app", ""},
		{"nothing known", server.Platform{CloudRun: true}, "", "-..run.app", ""},
		{"loopback", appEngine, "", "localhost:8080", ""},
		{"user part", appEngine, "", "acme-access.appspot.com:443@evil.example", ""},
		{"path", appEngine, "", "acme-access.appspot.com:443/evil", ""},
		{"empty", appEngine, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newWorld(t)
			h, _ := serve(t, f, func(sc *server.Config) { sc.PublicURL, sc.Platform = c.publicURL, c.platform })
			r := httptest.NewRequest("POST", "/access/projects/acme-orders-prod", strings.NewReader(url.Values{
				"entitlement": {security.String()}, "reviewer": {string(ben)}, "justification": {"x"}, "minutes": {"60"}}.Encode()))
			r.Header = request("POST", "/").Header
			r.Host = c.host
			for _, h := range []string{"X-Forwarded-Host", "X-Original-Host", "Forwarded"} {
				r.Header.Set(h, "host=evil.example")
			}
			w := do(h, r)
			if c.want == "" {
				if w.Code != http.StatusUnprocessableEntity {
					t.Errorf("%d, want a refusal that names PUBLIC_URL", w.Code)
				}
				return
			}
			page := do(h, request("GET", w.Header().Get("Location")))
			if c.publicURL == "" {
				r := request("GET", w.Header().Get("Location"))
				r.Host = c.host
				page = do(h, r)
			}
			if !strings.Contains(page.Body.String(), `value="`+c.want+`/?activation=`) {
				t.Errorf("no link of %s", c.want)
			}
		})
	}
}

func TestThreat22_ReviewersAreToldToRequestersOnly(t *testing.T) {
	f := newWorld(t)
	h, _ := serve(t, f, nil)
	r := request("GET", "/access/projects/acme-orders-prod?entitlement="+url.QueryEscape(security.String()))
	r.Header.Set(personHeader, string(dora))
	w := do(h, r)
	if w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), string(ben)) {
		t.Errorf("%d", w.Code)
	}
}

func TestThreat27_ForwardedHeadersAreIgnored(t *testing.T) {
	h, log := serve(t, newWorld(t), nil)
	plain := do(h, request("GET", "/access/projects/acme-orders-prod")).Body.String()
	r := request("GET", "/access/projects/acme-orders-prod")
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Uri", "X-Real-Ip", "True-Client-Ip", "X-Original-Url", "X-Rewrite-Url"} {
		r.Header.Set(name, "evil.example")
	}
	if do(h, r).Body.String() != plain || strings.Contains(log.String(), "evil") {
		t.Error("a forwarded header changed the answer")
	}
}

func TestThreat40_SizesAreCapped(t *testing.T) {
	f := newWorld(t)
	h, _ := serve(t, f, nil)
	large := strings.Repeat("a", 70<<10)
	for name, change := range map[string]func(*http.Request) *http.Request{
		"query": func(r *http.Request) *http.Request {
			r.URL.RawQuery = "activation=" + strings.Repeat(".", 20<<10)
			return r
		},
		"path":   func(r *http.Request) *http.Request { r.URL.Path = "/access/projects/" + large; return r },
		"header": func(r *http.Request) *http.Request { r.Header.Set("X-Large", large); return r },
		"declared body": func(r *http.Request) *http.Request {
			p := httptest.NewRequest("POST", "/review?activation=x", strings.NewReader("verdict=approve&confirmed=1&comment="+large))
			p.Header = request("POST", "/").Header
			return p
		},
		"body of unknown length": func(r *http.Request) *http.Request {
			p := httptest.NewRequest("POST", "/review?activation=x", strings.NewReader("verdict=approve&confirmed=1&comment="+large))
			p.Header, p.ContentLength = request("POST", "/").Header, -1
			return p
		},
		"JSON of unknown length": func(r *http.Request) *http.Request {
			p := httptest.NewRequest("POST", "/api/activation-request/deny?activation=x", strings.NewReader(`{"comment":"`+large+`"}`))
			p.Header, p.ContentLength = request("POST", "/").Header, -1
			p.Header.Set("Content-Type", "application/json")
			return p
		},
		"deep JSON": func(r *http.Request) *http.Request {
			p := httptest.NewRequest("POST", "/api/activation-request/deny?activation=x", strings.NewReader(strings.Repeat("[", 60<<10)))
			p.Header = request("POST", "/").Header
			p.Header.Set("Content-Type", "application/json")
			return p
		},
	} {
		want := http.StatusRequestEntityTooLarge
		if name == "deep JSON" {
			want = http.StatusBadRequest
		}
		if got := do(h, change(request("GET", "/"))).Code; got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if f.changes != 0 {
		t.Error("the broker was asked")
	}
}
