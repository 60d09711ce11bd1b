package main

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/sandbox/google"
)

// routeCalls are what each route asks of Google: of a service that remembers nothing but
// who signs for IAP, and when the same is sent again at once. The catalog is
// AssetInventory, and administrators are a group's members. prepare returns what stands
// in the route for {ref} or {id}; forms have a body, the JSON interface an object.
var routeCalls = []struct {
	route, who    string
	query         string
	prepare       func(w *world) string
	form          url.Values
	body          any
	first, second string
	// refused is the status with which it is refused here.
	refused int
}{
	{route: "GET /health/alive", first: "none", second: "none"},
	{route: "GET /health/ready", first: "1 IAP's keys, 1 own keys", second: "none"},
	{route: "GET /assets/{name}", first: "none", second: "none"},
	{route: "GET /api/openapi.json", first: "none", second: "none"},
	{route: "GET /_ah/start", first: "none", second: "none"},
	{route: "GET /_ah/warmup", first: "none", second: "none"},

	// There is no login behind a proxy; TestLogin has one.
	{route: "GET /oidc/callback", who: alice, first: "none", second: "none"},
	{route: "POST /oidc/logout", who: alice, form: url.Values{}, first: "none", second: "none"},
	{route: "POST /oidc/backchannel-logout", who: alice, form: url.Values{}, first: "none", second: "none"},
	{route: "GET /oidc/program", who: alice, first: "none", second: "none"},
	{route: "POST /oidc/program", who: alice, form: url.Values{}, first: "none", second: "none"},
	{route: "POST /oidc/program/token", who: alice, body: dict{}, first: "none", second: "none"},
	{route: "POST /oidc/program/logout", who: alice, body: dict{}, first: "none", second: "none"},

	// There is no administration page without Pomerium; TestPomerium_ThePathIsTheGuard has one.
	{route: "GET /admin", who: alice, first: "none", second: "none"},

	{route: "GET /", who: alice, first: "1 searchAllIamPolicies, 1 projects.search", second: "none"},
	{route: "GET /index.html", who: alice, first: "1 searchAllIamPolicies, 1 projects.search", second: "none"},
	{route: "GET /access/*", who: alice, first: "1 batchGet, 1 groups.list, 1 getIamPolicy, 6 roles.get", second: "1 getIamPolicy"},
	{route: "POST /access/*", who: alice, form: url.Values{"entitlement": {selfID}, "justification": {"Counted"}, "minutes": {"15"}},
		first: "1 batchGet, 1 groups.list, 1 getIamPolicy, 1 setIamPolicy", second: "1 batchGet, 1 groups.list, 1 getIamPolicy, 1 setIamPolicy"},
	{route: "GET /review", who: bob, query: "?activation={ref}", prepare: asked,
		first: "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 own keys, 1 roles.get", second: "1 getIamPolicy"},
	{route: "POST /review", who: bob, query: "?activation={ref}", prepare: asked, form: url.Values{"verdict": {"approve"}},
		first: "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 getIamPolicy above, 1 setIamPolicy, 1 own keys, 1 roles.get, 1 projects.get", second: "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 getIamPolicy above, 1 projects.get"},
	{route: "GET /review/reviewers", who: alice, query: "?activation={ref}", prepare: asked,
		first: "1 batchGet, 1 groups.list, 1 members.list, 1 getIamPolicy, 1 own keys", second: "1 getIamPolicy"},
	{route: "POST /review/reviewers", who: alice, query: "?activation={ref}", prepare: asked, form: url.Values{"reviewer": {"oncall-0@example.com"}},
		first: "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 signJwt, 1 own keys, 1 roles.get", second: "1 getIamPolicy"},
	{route: "POST /requests/{id}/end", who: alice, prepare: activated, form: url.Values{"resource": {"projects/" + project}},
		first: "1 groups.list, 1 getIamPolicy, 1 setIamPolicy", second: "1 groups.list, 1 getIamPolicy"},
	{route: "GET /notifications", who: "oncall-1@example.com", first: "1 members.list", second: "none"},
	{route: "POST /notifications", who: "oncall-1@example.com", form: url.Values{"channel": {"mail"}}, first: "1 groups.list", second: "1 groups.list"},
	{route: "GET /mail", who: alice, first: "none", second: "none"},
	{route: "GET /apps", who: alice, first: "none", second: "none"},
	{route: "POST /apps", who: alice, form: url.Values{}, first: "none", second: "none"},
	{route: "GET /apps/{app}", who: alice, first: "none", second: "none"},
	{route: "POST /apps/{app}", who: alice, form: url.Values{}, first: "none", second: "none"},
	{route: "GET /apps/{app}/template", who: alice, first: "none", second: "none"},
	{route: "POST /apps/{app}/template", who: alice, form: url.Values{}, first: "none", second: "none"},
	{route: "POST /apps/{app}/trial", who: alice, form: url.Values{}, first: "none", second: "none"},

	{route: "GET /api/", who: alice, first: "none", second: "none"},
	{route: "GET /api/policy", who: alice, first: "none", second: "none"},
	{route: "GET /api/projects", who: alice, first: "1 projects.search", second: "none"},
	{route: "GET /api/projects/{project}/roles", who: alice,
		first: "1 batchGet, 1 groups.list, 1 getIamPolicy, 6 roles.get", second: "1 getIamPolicy"},
	{route: "GET /api/projects/{project}/peers", who: alice, query: "?id=" + url.QueryEscape(peerID),
		first: "1 batchGet, 1 groups.list, 1 members.list, 1 getIamPolicy", second: "1 getIamPolicy"},
	{route: "POST /api/projects/{project}/roles/self-activate", who: alice, body: selfBody(nil),
		first: "1 batchGet, 1 groups.list, 1 getIamPolicy, 1 setIamPolicy", second: "1 batchGet, 1 groups.list, 1 getIamPolicy, 1 setIamPolicy"},
	{route: "POST /api/projects/{project}/roles/request", who: alice, body: askBody(dict{"peers": []string{bob}}),
		first: "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 signJwt, 1 own keys, 1 roles.get", second: "1 getIamPolicy, 1 signJwt"},
	{route: "GET /api/activation-request", who: bob, query: "?activation={ref}", prepare: asked,
		first: "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 own keys, 1 roles.get", second: "1 getIamPolicy"},
	{route: "POST /api/activation-request", who: bob, query: "?activation={ref}", prepare: asked, body: dict{},
		first: "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 getIamPolicy above, 1 setIamPolicy, 1 own keys, 1 roles.get, 1 projects.get", second: "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 getIamPolicy above, 1 projects.get"},
	{route: "POST /api/activation-request/deny", who: bob, query: "?activation={ref}", prepare: asked, body: dict{"comment": "no"},
		first: "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 getIamPolicy above, 1 own keys, 1 roles.get, 1 projects.get", second: "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 getIamPolicy above, 1 projects.get"},
	{route: "POST /api/activation-request/reviewers", who: alice, query: "?activation={ref}", prepare: asked, body: dict{"peers": []string{"oncall-0@example.com"}},
		first: "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 signJwt, 1 own keys, 1 roles.get", second: "1 getIamPolicy"},
	{route: "POST /api/requests/{id}/end", who: alice, prepare: activated, body: dict{"resource": "projects/" + project},
		first: "1 groups.list, 1 getIamPolicy, 1 setIamPolicy", second: "1 groups.list, 1 getIamPolicy"},

	{route: "GET /requests", who: alice, first: "none", second: "none"},
	{route: "GET /requests/{id}", who: alice, first: "none", second: "none"},
	{route: "POST /requests/{id}/withdraw", who: alice, form: url.Values{}, first: "none", second: "none"},
	{route: "POST /requests/{id}/extend", who: alice, form: url.Values{}, first: "none", second: "none"},
	{route: "GET /requests/{id}/extend", who: alice, first: "none", second: "none"},
	{route: "POST /requests/{id}/review", who: alice, form: url.Values{}, first: "none", second: "none"},
	{route: "GET /reviews", who: alice, first: "none", second: "none"},
	{route: "GET /history", who: alice, first: "none", second: "none"},
	{route: "GET /history/month", who: alice, first: "none", second: "none"},
	{route: "GET /history.csv", who: alice, first: "none", second: "none"},
	{route: "GET /history.json", who: alice, first: "none", second: "none"},
	{route: "GET /api/requests", who: alice, first: "none", second: "none"},
	{route: "GET /api/requests/{id}", who: alice, first: "none", second: "none"},
	{route: "POST /api/requests/{id}/withdraw", who: alice, body: dict{}, first: "none", second: "none"},
	{route: "POST /api/requests/{id}/extend", who: alice, body: dict{}, first: "none", second: "none"},
	{route: "POST /api/requests/{id}/review", who: alice, body: dict{}, first: "none", second: "none"},

	// Without a ledger nothing is asked by applications, and nobody signs.
	{route: "GET /.well-known/oauth-authorization-server", who: alice, first: "none", second: "none"},
	{route: "GET /.well-known/jwks.json", who: alice, first: "none", second: "none"},
	{route: "POST /v1/approvals", who: alice, body: dict{}, first: "none", second: "none"},
	{route: "GET /v1/approvals/{id}", who: alice, first: "none", second: "none"},
	{route: "POST /v1/approvals/{id}/withdraw", who: alice, body: dict{}, first: "none", second: "none"},
	{route: "POST /v1/github/{app}", who: alice, body: dict{}, first: "none", second: "none"},
	{route: "POST /v1/introspect", who: alice, form: url.Values{}, first: "none", second: "none"},
	{route: "POST /v1/revoke", who: alice, form: url.Values{}, first: "none", second: "none"},
	{route: "POST /language", who: alice, form: url.Values{"language": {"de"}}, first: "none", second: "none"},
	{route: "GET /passkeys", who: alice, first: "1 members.list", second: "none"},
	{route: "POST /passkeys", who: alice, form: url.Values{}, refused: http.StatusForbidden, first: "1 groups.list", second: "1 groups.list"},
	{route: "POST /passkeys/{id}/approve", who: alice, form: url.Values{"confirmed": {"1"}}, first: "none", second: "none"},
	{route: "POST /passkeys/{id}/remove", who: alice, form: url.Values{"confirmed": {"1"}}, first: "none", second: "none"},
}

// asked is the link of Alice's request to Bob.
func asked(w *world) string {
	answer := w.api(alice, askURL, askBody(dict{"peers": []string{bob}})).expect(w.t, http.StatusOK)
	link, err := url.Parse(answer.ReviewURL)
	if err != nil {
		w.t.Fatal(err)
	}
	return link.Query().Get("activation")
}

// activated is the id of a grant of Alice's.
func activated(w *world) string {
	return w.api(alice, selfURL, selfBody(nil)).expect(w.t, http.StatusOK).Entitlements[0].ActivationID
}

// documentedRoutes are those of the table in docs/security.md, which a test of the
// server holds against the router.
func documentedRoutes(t *testing.T) (routes []string) {
	t.Helper()
	document, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile("`((?:GET|POST) /[^`]*)`").FindAllSubmatch(document, -1) {
		routes = append(routes, string(found[1]))
	}
	return routes
}

// administered is a service whose administrators are the people on call.
func administered(t *testing.T) *world {
	s := withCatalog(config.AssetInventory, oncall)
	s.environment["ADMINS"] = "group:" + google.Believable(time.Now()).Groups[0].Email
	return newWorld(t, s)
}

// TestCallsOfEveryRoute keeps the number of calls of every route, first and again within
// 30 seconds, and the table of them in docs/calls.md; a route without a row fails. An image that a page of another site has of
// it, which says nothing of who may see it, costs none, not even the keys of IAP.
func TestCallsOfEveryRoute(t *testing.T) {
	shared := administered(t)
	rows := map[string]bool{}
	for _, c := range routeCalls {
		t.Run(strings.ReplaceAll(c.route, "/", "|"), func(t *testing.T) {
			rows[c.route] = true
			w, named := shared, "jit-AAAAAAAAAAAAAAAA"
			if c.form != nil || c.body != nil || c.prepare != nil {
				w = administered(t)
			}
			if c.prepare != nil {
				named = c.prepare(w)
			}
			method, path, _ := strings.Cut(c.route, " ")
			path = strings.NewReplacer("*", "projects/"+project, "{project}", project, "{name}", "icon.svg",
				"{ref}", url.QueryEscape(named), "{id}", url.PathEscape(named)).Replace(path + c.query)
			send := func(more ...string) answer {
				body, headers := "", append([]string{"X-JITACCESS", "1"}, more...)
				switch {
				case c.form != nil:
					if c.form.Get("verdict") != "" {
						c.form.Set("confirmed", "1")
					}
					body, headers = c.form.Encode(), append(headers, "Content-Type", "application/x-www-form-urlencoded", "Origin", w.public)
				case c.body != nil:
					body, headers = encoded(t, c.body), append(headers, "Content-Type", "application/json")
				}
				return w.call(c.who, method, path, body, headers...)
			}
			calls := func(do func() answer, good ...int) string {
				w.cloud.Calls().Reset()
				if a := do(); len(good) > 0 && a.status != good[0] && a.status >= 400 && a.status != http.StatusNotFound && a.status != http.StatusNotImplemented && a.status != c.refused {
					t.Errorf("%d: %.500s", a.status, a.body)
				}
				return tally(w.cloud.Calls().All())
			}
			w.restart(nil)
			if c.who != "" {
				image := func() answer {
					return send("Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image")
				}
				for range 2 {
					if got := calls(image); got != "none" {
						t.Errorf("an image of another site costs %s", got)
					}
				}
				w.ok(alice, "/api/policy", nil)
			}
			if got := calls(func() answer { return send() }, http.StatusOK); got != c.first {
				t.Errorf("first: %s\nwant %s", got, c.first)
			}
			if got := calls(func() answer { return send() }); got != c.second {
				t.Errorf("again: %s\nwant %s", got, c.second)
			}
		})
	}
	documented := map[string]bool{}
	for _, route := range documentedRoutes(t) {
		// What is below the administration page is what it is without; it asks the same.
		route = strings.Replace(route, " /admin/", " /", 1)
		documented[route] = true
		if !rows[route] {
			t.Errorf("nobody has counted the calls of %s", route)
		}
	}
	if len(documented) != len(routeCalls) {
		t.Errorf("%d routes are documented, %d counted", len(documented), len(routeCalls))
	}
}
