package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/sandbox/google"
)

var writeCalls = flag.Bool("write-calls", false, "write docs/calls.md")

const callsPage = "../../docs/calls.md"

// callNames are the calls in the order of the table, by what google.Calls says.
var callNames = []struct{ template, name string }{
	{":analyzeIamPolicy", "analyzeIamPolicy"},
	{":batchGet", "batchGet"},
	{"GET /admin/directory/v1/groups", "groups.list"},
	{"/members", "members.list"},
	{"/projects/{id}:getIamPolicy", "getIamPolicy"},
	{":getIamPolicy", "getIamPolicy above"},
	{":setIamPolicy", "setIamPolicy"},
	{"projects:search", "projects.search"},
	{":signJwt", "signJwt"},
	{"/iap/verify/public_key-jwk", "IAP's keys"},
	{"/service_accounts/v1/metadata/jwk", "own keys"},
	{"/roles/{role}", "roles.get"},
}

// tally writes counted calls in the order of the table. Access tokens, which last an
// hour, are left out.
func tally(calls map[string]int) string {
	var parts []string
	rest := map[string]int{}
	for template, n := range calls {
		if !strings.Contains(template, "/computeMetadata/") && !strings.Contains(template, ":generateAccessToken") {
			rest[template] = n
		}
	}
	for _, c := range callNames {
		n := 0
		for template, count := range rest {
			if strings.HasSuffix(template, c.template) || strings.Contains(template, c.template) && c.name != "groups.list" {
				n += count
				delete(rest, template)
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c.name))
		}
	}
	for template, n := range rest {
		parts = append(parts, fmt.Sprintf("%d of %s", n, template))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// counted is the service before a Google that counts.
type counted struct {
	t       testing.TB
	cloud   *google.Cloud
	address string
	kind    string
	scope   string
	http.Handler
}

func startCounted(t testing.TB, kind string, organization google.Organization, pageSize int, wrap func(http.Handler) http.Handler) *counted {
	t.Helper()
	cloud, err := google.New(google.Options{Organization: organization, PageSize: pageSize,
		MetadataScopes: []string{google.ScopeCloudPlatform, google.ScopeGroupsReadOnly}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(wrap(cloud.Handler()))
	t.Cleanup(server.Close)
	c := &counted{t: t, cloud: cloud, address: strings.TrimPrefix(server.URL, "http://"), kind: kind, scope: cloud.OrganizationID()}
	c.restart()
	return c
}

// restart makes the service forget everything.
func (c *counted) restart() {
	c.t.Helper()
	c.t.Setenv("GCE_METADATA_HOST", c.address)
	env := map[string]string{
		"K_SERVICE": "jitaccess", "GCE_METADATA_HOST": c.address, "JITACCESS_GOOGLE_ENDPOINT": "http://" + c.address,
		"PUBLIC_URL": "https://jit.example.com", "RESOURCE_SCOPE": c.scope, "RESOURCE_CATALOG": c.kind,
	}
	if c.kind == config.AssetInventory {
		env["RESOURCE_CUSTOMER_ID"] = c.cloud.CustomerID()
	}
	settings, err := config.Read(func(name string) string { return env[name] })
	if err != nil {
		c.t.Fatal(err)
	}
	if c.Handler, err = start(context.Background(), settings, nil, wallClock, &lockedBuffer{}); err != nil {
		c.t.Fatal(err)
	}
	c.cloud.Calls().Reset()
}

// as sends a request as a person; a body is JSON, a path without /api/ a page.
func (c *counted) as(email, path string, body any) string {
	c.t.Helper()
	w := c.send(email, path, body)
	if w.Code != http.StatusOK {
		c.t.Fatalf("%s %s: %d %s", email, path, w.Code, w.Body)
	}
	return w.Body.String()
}

func (c *counted) send(email, path string, body any) *httptest.ResponseRecorder {
	c.t.Helper()
	method, text := "GET", ""
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		method, text = "POST", string(encoded)
	}
	r := httptest.NewRequest(method, "https://jit.example.com"+path, strings.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-JITACCESS", "1")
	assertion, err := c.cloud.SignIAPAssertion(email, "accounts.google.com:"+email,
		"/projects/"+c.cloud.ProjectNumber()+"/locations/"+c.cloud.Region()+"/services/jitaccess")
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("X-Goog-Iap-Jwt-Assertion", assertion)
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

const (
	requester    = "alice@example.com"
	approver     = "bob@example.com"
	api          = "/api/projects/" + project
	reviewedRole = project + ":roles/compute.instanceAdmin.v1"
)

// oncall is the believable organization with ten more people on call.
func oncall() google.Organization {
	o := google.Believable(time.Now())
	for i := range 10 {
		email := fmt.Sprintf("oncall-%d@example.com", i)
		o.People = append(o.People, google.Person{Name: email, Email: email, Subject: "accounts.google.com:" + email})
		o.Groups[0].Members = append(slices.Clone(o.Groups[0].Members), email)
	}
	return o
}

// entitled are the ids of what a person can have of a kind.
func (c *counted) entitled(email, kind string) (ids []string) {
	var offer struct {
		Entitlements []struct{ ID, ActivationType string }
	}
	if err := json.Unmarshal([]byte(c.as(email, api+"/roles", nil)), &offer); err != nil {
		c.t.Fatal(err)
	}
	for _, e := range offer.Entitlements {
		if e.ActivationType == kind {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// request asks nine people and the approver, and returns the path of the request.
func (c *counted) request() string {
	peers := []string{approver}
	for i := range 9 {
		peers = append(peers, fmt.Sprintf("oncall-%d@example.com", i))
	}
	var asked struct{ ReviewURL string }
	if err := json.Unmarshal([]byte(c.as(requester, api+"/roles/request", map[string]any{"entitlementId": reviewedRole, "peers": peers,
		"justification": "Node 7 hangs", "activationTimeout": 30})), &asked); err != nil {
		c.t.Fatal(err)
	}
	link, err := url.Parse(asked.ReviewURL)
	if err != nil || link.Query().Get("activation") == "" {
		c.t.Fatalf("the link is %q", asked.ReviewURL)
	}
	return "/api/activation-request?activation=" + url.QueryEscape(link.Query().Get("activation"))
}

// userActions are what people do, and what it costs a service that remembers nothing
// but who signs for IAP. prepare does what comes before, for the action's argument.
// The columns of 1.x are those of its own description; it also fetched IAP's keys
// each time.
var userActions = []struct {
	name             string
	oldPA, oldAI     string
	analyzer, assets string
	prepare          func(c *counted) string
	do               func(c *counted, argument string)
}{
	{"open a project", "1 analyzeIamPolicy", "1 batchGet, 1 groups.list",
		"1 analyzeIamPolicy, 1 getIamPolicy, 6 roles.get", "1 batchGet, 1 groups.list, 1 getIamPolicy, 6 roles.get",
		nil, func(c *counted, _ string) { c.as(requester, "/access/projects/"+project, nil) }},
	{"open it again within 30 s", "1 analyzeIamPolicy", "1 batchGet, 1 groups.list",
		"1 getIamPolicy", "1 getIamPolicy",
		func(c *counted) string { c.as(requester, "/access/projects/"+project, nil); return "" },
		func(c *counted, _ string) { c.as(requester, "/access/projects/"+project, nil) }},
	{"list the projects", "1 analyzeIamPolicy, of the whole scope", "1 projects.search a page",
		"1 analyzeIamPolicy", "1 projects.search",
		nil, func(c *counted, _ string) { c.as(requester, "/api/projects", nil) }},
	{"open the form for a role that peers approve", "2 analyzeIamPolicy", "2 batchGet, 1 groups.list, 1 members.list a group",
		"2 analyzeIamPolicy, 1 getIamPolicy, 6 roles.get", "1 batchGet, 1 groups.list, 1 members.list, 1 getIamPolicy, 6 roles.get",
		nil, func(c *counted, _ string) {
			c.as(requester, "/access/projects/"+project+"?entitlement="+url.QueryEscape(reviewedRole), nil)
		}},
	{"activate 3 roles", "1 analyzeIamPolicy, 3 getIamPolicy, 3 setIamPolicy", "1 batchGet, 1 groups.list, 3 getIamPolicy, 3 setIamPolicy",
		"1 analyzeIamPolicy, 1 getIamPolicy, 1 getIamPolicy above, 1 setIamPolicy", "1 batchGet, 1 groups.list, 1 getIamPolicy, 1 getIamPolicy above, 1 setIamPolicy",
		func(c *counted) string { return strings.Join(c.entitled(requester, "JIT"), " ") },
		func(c *counted, ids string) {
			c.as(requester, api+"/roles/self-activate", map[string]any{"entitlementIds": strings.Fields(ids), "justification": "Restoring", "activationTimeout": 30})
		}},
	{"ask 10 reviewers", "11 analyzeIamPolicy, 1 signJwt", "11 batchGet, 11 groups.list, 1 signJwt",
		"1 analyzeIamPolicy, 1 getIamPolicy, 1 signJwt, 1 own keys, 1 roles.get", "1 batchGet, 11 groups.list, 1 getIamPolicy, 1 signJwt, 1 own keys, 1 roles.get",
		nil, func(c *counted, _ string) { c.request() }},
	{"open the link", "1 own keys", "1 own keys",
		"1 analyzeIamPolicy, 1 getIamPolicy, 1 own keys, 1 roles.get", "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 own keys, 1 roles.get",
		(*counted).request, func(c *counted, path string) { c.as(approver, path, nil) }},
	{"approve", "2 analyzeIamPolicy, 1 getIamPolicy, 1 setIamPolicy, 1 own keys", "2 batchGet, 2 groups.list, 1 getIamPolicy, 1 setIamPolicy, 1 own keys",
		"1 analyzeIamPolicy, 1 getIamPolicy, 1 getIamPolicy above, 1 setIamPolicy, 1 own keys, 1 roles.get", "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 getIamPolicy above, 1 setIamPolicy, 1 own keys, 1 roles.get",
		(*counted).request, func(c *counted, path string) { c.as(approver, path, struct{}{}) }},
	{"end access early", "–", "–",
		"1 getIamPolicy, 1 setIamPolicy", "1 getIamPolicy, 1 setIamPolicy",
		func(c *counted) string {
			var done struct {
				Entitlements []struct{ ActivationID string }
			}
			if err := json.Unmarshal([]byte(c.as(requester, api+"/roles/self-activate", map[string]any{
				"entitlementIds": []string{project + ":roles/cloudsql.admin"}, "justification": "Restoring", "activationTimeout": 30})), &done); err != nil {
				c.t.Fatal(err)
			}
			return done.Entitlements[0].ActivationID
		},
		func(c *counted, id string) {
			c.as(requester, "/api/requests/"+id+"/end", map[string]any{"resource": "projects/" + project})
		}},
}

func notWrapped(h http.Handler) http.Handler { return h }

// TestCalls (point 11) keeps the number of calls of every action, and the page that says so.
func TestCalls(t *testing.T) {
	for _, kind := range []string{config.PolicyAnalyzer, config.AssetInventory} {
		for _, action := range userActions {
			t.Run(kind+"/"+action.name, func(t *testing.T) {
				c := startCounted(t, kind, oncall(), 200, notWrapped)
				argument := ""
				if action.prepare != nil {
					argument = action.prepare(c)
				}
				if !strings.Contains(action.name, "again") {
					c.restart()
				}
				c.as(requester, "/api/policy", nil)
				c.cloud.Calls().Reset()
				action.do(c, argument)
				want := action.analyzer
				if kind == config.AssetInventory {
					want = action.assets
				}
				if got := tally(c.cloud.Calls().All()); got != want {
					t.Errorf("%s,\nwant %s", got, want)
				}
			})
		}
	}
	page := callsDocument()
	if *writeCalls {
		if err := os.WriteFile(callsPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if written, err := os.ReadFile(callsPage); err != nil || string(written) != page {
		t.Errorf("docs/calls.md is not that of the table: go test ./cmd/jitaccess -run 'TestCalls$' -write-calls (%v)", err)
	}
}

func callsDocument() string {
	var b strings.Builder
	b.WriteString(`# What an action costs

Calls to Google of each thing that people do, counted by a test of the whole service, which keeps this page equal to what it counted. The service remembers nothing
of the project before; what it has looked up in the last 30 seconds it does not ask for again. Within one action nothing is asked twice, and equal
look-ups of several people at the same time share a call. Those of one action go out together, at most two after one another when a page is opened.

The project is one of the sandbox's, with eligibilities of its own, of its folder and through groups; the role that peers approve comes from the folder, whose policy is
read when it is granted ("above"). Not counted are access tokens (once an hour) and IAP's keys (every 15 minutes; JIT Access 1.x fetched them for every call). ` + "`roles.get`" + ` describes
each role once in 10 minutes, and is done without where it is refused.

| action | 1.x, PolicyAnalyzer | PolicyAnalyzer | 1.x, AssetInventory | AssetInventory |
|---|---|---|---|---|
`)
	for _, a := range userActions {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", a.name, a.oldPA, a.analyzer, a.oldAI, a.assets)
	}
	b.WriteString(`
A person whom an analysis of the holders of a role does not show to hold it is asked about in one more: Google expands the first thousand members of a group. When Google
calls a query invalid, up to two more find out whether the scope, the project or the person is to blame.
`)
	return b.String()
}
