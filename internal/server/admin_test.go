package server_test

import (
	"cmp"
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
)

// administered is a broker that has an administration page, and notes at which door people
// stand.
type administered struct {
	*canned
	found broker.Administration
	at    map[string]bool
	// decisions counts them.
	decisions int
	// titles are those of roles that are known without asking; atPage is that nobody is named.
	titles map[access.Role]string
	atPage bool
}

func (a *administered) Title(id access.EntitlementID) string {
	return cmp.Or(a.titles[id.Role], a.canned.Title(id))
}

func (a *administered) RoleTitle(id access.EntitlementID) string {
	return cmp.Or(a.titles[id.Role], a.canned.RoleTitle(id))
}

func (a *administered) DecidedAtPage() bool { return a.atPage }

func (a *administered) note(what string, c access.Caller) { a.at[what] = c.AtAdmin }

func (a *administered) Administration(_ context.Context, c access.Caller) (broker.Administration, error) {
	a.note("list", c)
	return a.found, a.Err
}

func (a *administered) Show(ctx context.Context, c access.Caller, ref, origin string) (broker.View, error) {
	a.note("show", c)
	return a.canned.Show(ctx, c, ref, origin)
}

func (a *administered) Decide(ctx context.Context, c access.Caller, d broker.Decide) (broker.Decided, error) {
	a.note("decide", c)
	a.decisions++
	return a.canned.Decide(ctx, c, d)
}

func (a *administered) End(ctx context.Context, c access.Caller, on access.Resource, id string, of access.Principal) (broker.Ended, error) {
	a.note("end", c)
	return a.canned.End(ctx, c, on, id, of)
}

// administer makes a server with an administration page. door is whether a proxy guards it.
func administer(t *testing.T, door bool) (*administered, http.Handler) {
	t.Helper()
	a := &administered{canned: newCanned(t), at: map[string]bool{}}
	storybook.Ledgered(a.canned.State)
	h, _ := serve(t, a, func(c *server.Config) { c.AdminDoor = door })
	return a, h
}

// sent is a request whose address is as it is, with what a browser or a script sends.
func sent(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	r.RequestURI = target
	path, query, _ := strings.Cut(target, "?")
	r.URL.RawQuery = query
	if u, err := r.URL.Parse(path); err == nil && !strings.HasPrefix(path, "//") {
		r.URL.Path, r.URL.RawPath = u.Path, u.RawPath
	} else {
		r.URL.Path = path
	}
	if strings.Contains(path, "..") || strings.Contains(path, "/./") { // Parse resolves them, and a server does not
		r.URL.Path = path
	}
	r.Header.Set(personHeader, string(ben))
	if strings.Contains(target, "/api/") {
		r.Header.Set("X-JITACCESS", "1")
		r.Header.Set("Content-Type", "application/json")
	} else {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	return r
}

// Only the address as it was sent makes somebody be at the administration page, and only where
// a proxy guards it; whatever else could be read as it is another place, or no place at all.
func TestOnlyTheRawPathIsTheAdministrationPage(t *testing.T) {
	const ref, verdict = "?activation=mpa-AQEBAQEBAQEBAQEB", "verdict=deny&comment=no"
	for _, c := range []struct {
		target, body, does string
		at                 bool
	}{
		{"/admin", "", "list", true},
		{"/admin?x=/../", "", "list", true},
		{"/admin/review" + ref, "", "show", true},
		{"/admin/review" + ref, verdict, "decide", true},
		{"/admin/requests/mpa-x/end", "resource=projects/acme-orders-prod", "end", true},
		{"/admin/api/activation-request" + ref, "{}", "decide", true},
		{"/admin/api/activation-request/deny" + ref, `{"comment":"no"}`, "decide", true},
		{"/admin/api/requests/mpa-x/end", `{"resource":"projects/acme-orders-prod"}`, "end", true},
		{"/review" + ref, verdict, "decide", false},
		{"/review" + ref + "&x=/admin/review", verdict, "decide", false},
		{"/api/activation-request" + ref, "{}", "decide", false},
		{"/requests/mpa-x/end", "resource=projects/acme-orders-prod", "end", false},

		{"/%61dmin", "", "", false},
		{"/%61dmin/review" + ref, verdict, "", false},
		{"/admin%2Freview" + ref, verdict, "", false},
		{"/admin/%72eview" + ref, verdict, "", false},
		{"/admin/requests/mpa%2Dx/end", "resource=projects/acme-orders-prod", "end", false},
		{"//admin/review" + ref, verdict, "", false},
		{"/admin//review" + ref, verdict, "", false},
		{"/admin/../review" + ref, verdict, "", false},
		{"/admin/./review" + ref, verdict, "", false},
		{"/./admin/review" + ref, verdict, "", false},
		{"/x/../admin/review" + ref, verdict, "", false},
		{"/admin/", "", "", false},
		{"/Admin", "", "", false},
		{"/administration", "", "", false},
		{"/admin;x=y/review" + ref, verdict, "", false},
		{"/admin/review;x" + ref, verdict, "", false},
		{`/admin\review` + ref, verdict, "", false},
		{"http://access.example.com/admin/review" + ref, verdict, "decide", false},
	} {
		method := http.MethodPost
		if c.body == "" {
			method = http.MethodGet
		}
		for _, door := range []bool{true, false} {
			a, h := administer(t, door)
			a.at = map[string]bool{}
			w := do(h, sent(method, c.target, c.body))
			at, did := a.at[c.does]
			switch {
			case c.does == "" && (len(a.at) > 0 || w.Code < 400):
				t.Errorf("%s: does %v, %d", c.target, a.at, w.Code)
			case c.does != "" && (!did || at != (c.at && door)):
				t.Errorf("%s: %d, does %v; want %s at the page: %t", c.target, w.Code, a.at, c.does, c.at && door)
			}
		}
	}
}

// The form of a decision is of whom it was shown to: kept over the end of a session, it decides
// nothing in the name of another who is signed in then.
func TestADecisionIsThatOfWhomItWasShownTo(t *testing.T) {
	for _, path := range []string{"/review?activation=mpa-AQEBAQEBAQEBAQEB", "/admin/review?activation=mpa-AQEBAQEBAQEBAQEB"} {
		for _, verdict := range []string{"verdict=deny&comment=no", "verdict=approve&confirmed=1", "verdict=approve"} {
			for by, decides := range map[string]bool{"&by=" + string(ben): true, "": true, "&by=" + string(carl): false, "&by=" + string(ben) + "&by=" + string(carl): false} {
				a, h := administer(t, true)
				w := do(h, sent("POST", path, verdict+by))
				if a.at = map[string]bool{}; !decides && w.Code < 400 || decides && w.Code >= 400 {
					t.Errorf("%s %s %s: %d", path, verdict, by, w.Code)
				}
				if !decides && a.decisions > 0 || !decides && strings.Contains(w.Body.String(), "Approve this?") {
					t.Errorf("%s %s %s decides", path, verdict, by)
				}
			}
		}
	}
	a, h := administer(t, true)
	if w := do(h, sent("POST", "/requests/brk-AQEBAQEBAQEBAQEB/review", "comment=fine&by="+string(carl))); w.Code != http.StatusConflict {
		t.Errorf("the review of a broken glass: %d %s", w.Code, w.Body)
	}
	a.View.CanDecide = true
	if page := do(h, sent("GET", "/review?activation=mpa-AQEBAQEBAQEBAQEB", "")).Body.String(); strings.Count(page, `name="by" value="ben.okafor@example.com"`) != 2 {
		t.Error("the page's forms do not say whom they were shown to")
	}
}

// A header that says where a request went counts for nothing.
func TestNoHeaderIsTheAdministrationPage(t *testing.T) {
	for _, name := range []string{"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Envoy-Original-Path"} {
		a, h := administer(t, true)
		r := sent("POST", "/review?activation=mpa-AQEBAQEBAQEBAQEB", "verdict=deny&comment=no")
		r.Header.Set(name, "/admin/review")
		do(h, r)
		if at, did := a.at["decide"]; at || !did {
			t.Errorf("%s: %v", name, a.at)
		}
	}
}

// Without a provider that needs it there is no such page.
func TestNoAdministrationPageWithoutNeed(t *testing.T) {
	c := newCanned(t)
	h, _ := serve(t, c, func(c *server.Config) { c.AdminPage = false })
	for _, target := range []string{"/admin", "/admin/review?activation=x", "/admin/api/policy"} {
		if w := do(h, sent("GET", target, "")); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

// Lists, pages and refusals call an entitlement what its provider calls it, wherever that is
// known without asking; the name of its role stands in for that, and nowhere beside it.
func TestEntitlementsAreCalledByTheirTitles(t *testing.T) {
	for _, c := range []struct{ request, shown string }{
		{"GET /requests", "Shop permissions"},
		{"GET /reviews", "Shop permissions"},
		{"GET /history", "Shop permissions"},
		{"GET /", "Shop permissions"},
		{"GET /admin", "Shop permissions"},
		{"POST /requests/jit-AQEBAQEBAQEBAQEB/end resource=projects/acme-orders-prod", "You are not eligible for Shop permissions on"},
	} {
		a, h := administer(t, true)
		a.titles = map[access.Role]string{security.Role: "Shop permissions", admin.Role: "Shop consoles"}
		q := a.View.Request
		q.Entitlements = []access.EntitlementID{security}
		a.found.Waiting = []access.Request{q}
		for _, view := range []string{broker.ViewMine, broker.ViewReviews, broker.ViewAll} {
			a.Listed[view] = []access.Request{q}
		}
		method, rest, _ := strings.Cut(c.request, " ")
		target, body, _ := strings.Cut(rest, " ")
		if method == http.MethodPost {
			a.Err = &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible,
				Args: access.Args{"role": string(security.Role), "resource": string(orders)}}
		}
		text := do(h, sent(method, target, body)).Body.String()
		if !strings.Contains(text, c.shown) || strings.Contains(text, string(security.Role)) {
			t.Errorf("%s: %s", c.request, text)
		}
	}
}

// Where nobody is named, whoever looks for what waits for them is led to the page where it does.
func TestReviewsLeadToTheAdministrationPage(t *testing.T) {
	for _, atPage := range []bool{true, false} {
		a, h := administer(t, true)
		a.atPage = atPage
		if leads := strings.Contains(do(h, sent("GET", "/reviews", "")).Body.String(), `href="/admin"`); leads != atPage {
			t.Errorf("nobody is named: %t; it leads there: %t", atPage, leads)
		}
		if strings.Contains(do(h, sent("GET", "/requests", "")).Body.String(), `href="/admin"`) {
			t.Error("one's own requests lead there")
		}
	}
}

func TestStorybookOfTheAdministrationPage(t *testing.T) {
	grant := *storybook.ActiveNow()
	for name, s := range map[string]struct {
		set     func(*administered)
		request string
		code    int
	}{
		"admin": {func(a *administered) {
			a.found = broker.Administration{Guarded: true, Waiting: []access.Request{a.View.Request}, Active: []access.Activation{grant, storybook.Later(3)}}
		}, "GET /admin", 200},
		"admin-named": {func(a *administered) {
			a.found = broker.Administration{Warnings: []*access.Error{storybook.Warn(access.CodeUpstreamFailed, access.Args{"service": "Pomerium Zero"})}}
		}, "GET /admin", 200},
		"admin-own": {func(a *administered) {
			a.View.Request.Principal = ben
			a.titles = map[access.Role]string{grant.Entitlement.Role: "Shop consoles", security.Role: "Shop permissions"}
			a.found = broker.Administration{Guarded: true, Waiting: []access.Request{a.View.Request}, Active: []access.Activation{grant}}
		}, "GET /admin", 200},
		"reviews-at-page": {func(a *administered) { a.atPage = true }, "GET /reviews", 200},
		"admin-review": {func(a *administered) {
			a.View.Request.Reviewers, a.View.Request.Decisions, a.View.Events = nil, nil, a.View.Events[:1]
			a.View.Request.Terms.Requirements = []access.Requirement{{Count: 1, From: []string{access.FromAdminPage}}}
			a.View.Terms, a.View.Tally, a.View.CanWithdraw = a.View.Request.Terms, access.Tally{Filled: []int{0}}, false
		}, "GET /admin/review?activation=mpa-AQEBAQEBAQEBAQEB", 200},
		"admin-review-own": {func(a *administered) {
			storybook.Own(&a.View)
			a.View.Request.Reviewers, a.View.Request.Decisions, a.View.Events = nil, nil, a.View.Events[:1]
			a.View.Request.Terms = access.Terms{Requirements: []access.Requirement{{Count: 1, From: []string{access.FromAdminPage}}}}
			a.View.Terms, a.View.Tally = a.View.Request.Terms, access.Tally{Filled: []int{0}}
			a.View.ReviewURL = "https://access.example.com/admin/review?activation=mpa-AQEBAQEBAQEBAQEB"
		}, "GET /review?activation=mpa-AQEBAQEBAQEBAQEB", 200},
		"admin-ask": {func(a *administered) {
			storybook.NeedApproval(a.canned.State)
			for i := range a.State.Offer.Roles {
				a.State.Offer.Roles[i].Terms.Requirements = []access.Requirement{{Count: 1, From: []string{access.FromAdminPage}}}
				a.State.Offer.Roles[i].Terms.MinReviewers = 0
			}
			a.State.Reviewers = nil
		}, "GET /access/projects/acme-orders-prod?entitlement=acme-orders-prod:roles/iam.securityAdmin", 200},
		"admin-ended": {func(a *administered) {
			a.Ended = broker.Ended{Outcomes: []access.Outcome{{Entitlement: grant.Entitlement, Result: access.Removed,
				Window: access.Window{Start: noon.Add(-15 * time.Minute), End: noon}}}}
		}, "POST /admin/requests/jit-AQEBAQEBAQEBAQEB/end resource=projects/acme-orders-prod&principal=ana.ito@example.com", 200},
		"error-decide-at-admin": {func(a *administered) { a.Err = &access.Error{Kind: access.NotAllowed, Code: access.CodeDecideAtAdmin} },
			"GET /review?activation=mpa-AQEBAQEBAQEBAQEB", 403},
	} {
		t.Run(name, func(t *testing.T) {
			a, h := administer(t, true)
			s.set(a)
			method, rest, _ := strings.Cut(s.request, " ")
			target, body, _ := strings.Cut(rest, " ")
			w := do(h, sent(method, target, body))
			if w.Code != s.code {
				t.Fatalf("%d: %s", w.Code, w.Body)
			}
			checkMarkup(t, w.Body.String())
			if leads := strings.Contains(w.Body.String(), `<a href="/admin">Administration</a></nav>`); leads != strings.HasPrefix(target, "/admin") {
				t.Errorf("leads to the page: %t", leads)
			}
			compare(t, filepath.Join("testdata", "story", name+".html"), ownPart(t, w.Body.String()))
			if *storybookFolder != "" {
				page := strings.NewReplacer(`"/assets/`, `"assets/`).Replace(w.Body.String())
				writeFile(t, filepath.Join(*storybookFolder, name+".html"), []byte(page))
			}
		})
	}
}
