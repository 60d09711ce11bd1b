package main

import (
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/config"
	"jitaccess/internal/sandbox/google"
)

var writeCalls = flag.Bool("write-calls", false, "write docs/calls.md")

const callsPage = "../../docs/calls.md"

// callNames are the calls in the order of the table, by what google.Calls says.
var callNames = []struct{ template, name string }{
	{":analyzeIamPolicy", "analyzeIamPolicy"},
	{":searchAllIamPolicies", "searchAllIamPolicies"},
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
	{"GET /v3/projects/{id}", "projects.get"},
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

// withCatalog is a service without mail that uses a catalog, before a Google whose
// metadata server gives every scope.
func withCatalog(kind string, organization func(*google.Organization)) surroundings {
	s := surroundings{organization: organization,
		options:     google.Options{PageSize: 200, MetadataScopes: []string{google.ScopeCloudPlatform, google.ScopeGroupsReadOnly}},
		environment: map[string]string{"RESOURCE_CATALOG": kind, "SMTP_SENDER_ADDRESS": ""}}
	if kind == config.PolicyAnalyzer {
		s.environment["RESOURCE_CUSTOMER_ID"] = ""
	}
	return s
}

const projectURL = "/api/projects/" + project

// oncall adds ten more people on call.
func oncall(o *google.Organization) {
	for i := range 10 {
		email := fmt.Sprintf("oncall-%d@example.com", i)
		o.People = append(o.People, google.Person{Name: email, Email: email, Subject: "accounts.google.com:" + email})
		o.Groups[0].Members = append(slices.Clone(o.Groups[0].Members), email)
	}
}

// entitled are the ids of what a person can have of a kind.
func (w *world) entitled(email, kind string) (ids []string) {
	for _, e := range w.api(email, projectURL+"/roles", nil).expect(w.t, http.StatusOK).Entitlements {
		if e.ActivationType == kind {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// askTen asks nine people on call and Bob, and returns the address of the request.
func (w *world) askTen() string {
	peers := []string{bob}
	for i := range 9 {
		peers = append(peers, fmt.Sprintf("oncall-%d@example.com", i))
	}
	asked := w.api(alice, askURL, askBody(dict{"peers": peers})).expect(w.t, http.StatusOK)
	link, err := url.Parse(asked.ReviewURL)
	if err != nil || link.Query().Get("activation") == "" {
		w.t.Fatalf("the link is %q", asked.ReviewURL)
	}
	return decideURL(link.Query().Get("activation"))
}

// userActions are what people do, and what it costs a service that remembers nothing
// but who signs for IAP. prepare does what comes before, for the action's argument.
// The columns of 1.x are those of its own description; it also fetched IAP's keys
// each time.
var userActions = []struct {
	name             string
	oldPA, oldAI     string
	analyzer, assets string
	prepare          func(w *world) string
	do               func(w *world, argument string)
}{
	{"open a project", "1 analyzeIamPolicy", "1 batchGet, 1 groups.list",
		"1 analyzeIamPolicy, 1 getIamPolicy, 6 roles.get", "1 batchGet, 1 groups.list, 1 getIamPolicy, 6 roles.get",
		nil, func(w *world, _ string) { w.ok(alice, "/access/projects/"+project, nil) }},
	{"open it again within 30 s", "1 analyzeIamPolicy", "1 batchGet, 1 groups.list",
		"1 getIamPolicy", "1 getIamPolicy",
		func(w *world) string { w.ok(alice, "/access/projects/"+project, nil); return "" },
		func(w *world, _ string) { w.ok(alice, "/access/projects/"+project, nil) }},
	{"list the projects", "1 analyzeIamPolicy, of the whole scope", "1 projects.search a page",
		"1 analyzeIamPolicy", "1 projects.search",
		nil, func(w *world, _ string) { w.ok(alice, "/api/projects", nil) }},
	{"open the form for a role that peers approve", "2 analyzeIamPolicy", "2 batchGet, 1 groups.list, 1 members.list a group",
		"2 analyzeIamPolicy, 1 getIamPolicy, 6 roles.get", "1 batchGet, 1 groups.list, 1 members.list, 1 getIamPolicy, 6 roles.get",
		nil, func(w *world, _ string) {
			w.ok(alice, "/access/projects/"+project+"?entitlement="+url.QueryEscape(peerID), nil)
		}},
	{"activate 3 roles", "1 analyzeIamPolicy, 3 getIamPolicy, 3 setIamPolicy", "1 batchGet, 1 groups.list, 3 getIamPolicy, 3 setIamPolicy",
		"1 analyzeIamPolicy, 1 getIamPolicy, 1 getIamPolicy above, 1 setIamPolicy, 1 projects.get", "1 batchGet, 1 groups.list, 1 getIamPolicy, 1 getIamPolicy above, 1 setIamPolicy, 1 projects.get",
		func(w *world) string { return strings.Join(w.entitled(alice, "JIT"), " ") },
		func(w *world, ids string) {
			w.ok(alice, selfURL, selfBody(dict{"entitlementIds": strings.Fields(ids)}))
		}},
	{"ask 10 reviewers", "11 analyzeIamPolicy, 1 signJwt", "11 batchGet, 11 groups.list, 1 signJwt",
		"1 analyzeIamPolicy, 1 getIamPolicy, 1 signJwt, 1 own keys, 1 roles.get", "1 batchGet, 11 groups.list, 1 getIamPolicy, 1 signJwt, 1 own keys, 1 roles.get",
		nil, func(w *world, _ string) { w.askTen() }},
	{"open the link", "1 own keys", "1 own keys",
		"1 analyzeIamPolicy, 1 getIamPolicy, 1 own keys, 1 roles.get", "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 own keys, 1 roles.get",
		(*world).askTen, func(w *world, path string) { w.ok(bob, path, nil) }},
	{"approve", "2 analyzeIamPolicy, 1 getIamPolicy, 1 setIamPolicy, 1 own keys", "2 batchGet, 2 groups.list, 1 getIamPolicy, 1 setIamPolicy, 1 own keys",
		"1 analyzeIamPolicy, 1 getIamPolicy, 1 getIamPolicy above, 1 setIamPolicy, 1 own keys, 1 roles.get, 1 projects.get", "1 batchGet, 2 groups.list, 1 getIamPolicy, 1 getIamPolicy above, 1 setIamPolicy, 1 own keys, 1 roles.get, 1 projects.get",
		(*world).askTen, func(w *world, path string) { w.ok(bob, path, dict{}) }},
	{"end access early", "–", "–",
		"1 getIamPolicy, 1 setIamPolicy", "1 getIamPolicy, 1 setIamPolicy",
		func(w *world) string {
			return w.api(alice, selfURL, selfBody(nil)).expect(w.t, http.StatusOK).Entitlements[0].ActivationID
		},
		func(w *world, id string) {
			w.ok(alice, "/api/requests/"+id+"/end", dict{"resource": "projects/" + project})
		}},
}

// TestCalls (point 11) keeps the number of calls of every action, and the page that says so.
func TestCalls(t *testing.T) {
	for _, kind := range []string{config.PolicyAnalyzer, config.AssetInventory} {
		for _, action := range userActions {
			t.Run(kind+"/"+action.name, func(t *testing.T) {
				w := newWorld(t, withCatalog(kind, oncall))
				argument := ""
				if action.prepare != nil {
					argument = action.prepare(w)
				}
				if !strings.Contains(action.name, "again") {
					w.restart(nil)
				}
				w.ok(alice, "/api/policy", nil)
				w.cloud.Calls().Reset()
				action.do(w, argument)
				want := action.analyzer
				if kind == config.AssetInventory {
					want = action.assets
				}
				if got := tally(w.cloud.Calls().All()); got != want {
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
read when it is granted ("above"), and so is what the project is in (` + "`projects.get`" + `). Not counted are access tokens (once an hour) and IAP's keys (every 15 minutes; JIT Access 1.x fetched them for every call). ` + "`roles.get`" + ` describes
each role once in 10 minutes, and is done without where it is refused.

| action | 1.x, PolicyAnalyzer | PolicyAnalyzer | 1.x, AssetInventory | AssetInventory |
|---|---|---|---|---|
`)
	for _, a := range userActions {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", a.name, a.oldPA, a.analyzer, a.oldAI, a.assets)
	}
	b.WriteString(`
## Every route

Of a service with AssetInventory whose administrators are a group, that remembers nothing; and when the same is sent again at once. What another
site makes a browser fetch, such as an image of one of these addresses, is refused without a call.
The administration page comes with Pomerium and asks Google nothing here; what is below
it asks what the same asks without ` + "`/admin`" + `. The start page searches policies for the person's address: what they may have, to be found by role, and where
nothing is remembered what they have now. Both calls go out together; what may not be searched, or takes more than four seconds, is left out.

| route | first | again within 30 s |
|---|---|---|
`)
	for _, c := range routeCalls {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.route, c.first, c.second)
	}
	b.WriteString(`
## Reads of the ledger

To open a request reads it once and its events once. For whoever decides it, one read more counts what the requester had before on the same resource, by an index;
one for each of their addresses where a policy knows of several. Nothing is counted for anybody else, of what is decided, or without a ledger. Counted by
` + "`TestReadsOfTheLedgerAreCounted`" + `.

A person whom an analysis of the holders of a role does not show to hold it is asked about in one more: Google expands the first thousand members of a group. When Google
calls a query invalid, up to two more find out whether the scope, the project or the person is to blame.
`)
	return b.String()
}
