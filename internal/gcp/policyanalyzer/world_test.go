package policyanalyzer_test

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/gcp/gcptest"
	"jitaccess/internal/gcp/policyanalyzer"
	"jitaccess/internal/gcp/resourcemanager"
)

var (
	_ broker.Catalog            = (*policyanalyzer.Catalog)(nil)
	_ resourcemanager.Standings = (*policyanalyzer.Catalog)(nil)
)

const (
	self, peers, org, folder, shop, ana, ben = gcptest.Self, gcptest.Peers, gcptest.Org, gcptest.Folder, gcptest.Shop, gcptest.Ana, gcptest.Ben

	prefix = "//cloudresourcemanager.googleapis.com/"
)

var binding, parse = gcptest.Binding, gcptest.Parse

// anew is later than any answer that is kept.
var anew = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// object is JSON.
type object = map[string]any

// world is a Google Cloud that answers analyses with what a test says.
type world struct {
	*gcptest.Google
	catalog *policyanalyzer.Catalog

	mu sync.Mutex
	// live are policies. A resource without one may not be read.
	live map[string][]object
	// persons are results by identity, holders those without one.
	persons map[string][]any
	holders []any
	// errors are non-critical, partial is an analysis that was not finished.
	errors  []any
	partial bool
	// refuse answers a query instead, where it returns a status.
	refuse  func(q url.Values) int
	queries []url.Values
	// instead is the answer to every analysis.
	instead string
	now     time.Time
}

func newWorld(t testing.TB, changes ...func(*policyanalyzer.Config)) *world {
	t.Helper()
	w := &world{live: map[string][]object{shop: {}, folder: {}, org: {}}, persons: map[string][]any{},
		now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	w.Google = gcptest.Start(t, w.serve)
	policies := w.Policies(w.clock)
	c := policyanalyzer.Config{Platform: w.Platform, Scope: org, Policies: policies, SearchProjects: policies.SearchProjects,
		ExecutionTimeout: 20 * time.Second, Now: w.clock}
	for _, change := range changes {
		change(&c)
	}
	w.catalog = policyanalyzer.New(c)
	return w
}

func (w *world) clock() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

func (w *world) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch path := r.URL.Path; {
	case path == "/v1/"+org+":analyzeIamPolicy":
		q := r.URL.Query()
		w.queries = append(w.queries, q)
		if w.refuse != nil {
			if status := w.refuse(q); status != 0 {
				gcptest.Refuse(status, "x")(rw, r)
				return
			}
		}
		if w.instead != "" {
			rw.Header().Set("Content-Type", "application/json")
			io.WriteString(rw, w.instead)
			return
		}
		results := w.holders
		if identity := q.Get("analysisQuery.identitySelector.identity"); identity != "" {
			results = w.persons[identity]
		}
		main := object{"analysisResults": results, "nonCriticalErrors": w.errors, "fullyExplored": len(w.errors) == 0 && !w.partial}
		gcptest.Answer(rw, object{"mainAnalysis": main})
	case gcptest.ServePolicy(rw, r, w.live):
	case path == "/v3/"+shop:
		gcptest.Answer(rw, object{"parent": folder})
	case path == "/v3/"+folder:
		gcptest.Answer(rw, object{"parent": org})
	case path == "/v3/projects:search":
		page := object{"projects": []any{object{"projectId": "b", "displayName": r.URL.Query().Get("query")}}, "nextPageToken": "2"}
		if r.URL.Query().Get("pageToken") != "" {
			page = object{"projects": []any{object{"projectId": "a"}}}
		}
		gcptest.Answer(rw, page)
	default:
		gcptest.Refuse(404, "notFound")(rw, r)
	}
}

// result is a binding as analyzed; identities are whom it concerns.
func result(node string, b object, identities ...string) object {
	var names []any
	for _, i := range identities {
		names = append(names, object{"name": i})
	}
	return object{"attachedResourceFullName": prefix + node, "iamBinding": b, "identityList": object{"identities": names},
		"accessControlLists": []any{on("CONDITIONAL", shop)}}
}

// on is an access control list about resources.
func on(evaluation string, resources ...string) object {
	var names []any
	for _, r := range resources {
		names = append(names, object{"fullResourceName": prefix + r})
	}
	return object{"resources": names, "conditionEvaluation": object{"evaluationValue": evaluation}}
}

func with(r object, lists ...any) object {
	r["accessControlLists"] = lists
	return r
}

func (w *world) standing(t testing.TB, q access.StandingQuery) access.Standing {
	t.Helper()
	q.Resource = shop
	s, err := w.catalog.Standing(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// held writes what p holds on one line.
func held(s access.Standing, p access.Principal) string {
	var parts []string
	for _, e := range s.Holdings[p] {
		part := string(e.ID.Role)
		if e.ID.Condition != "" {
			part += "(" + e.ID.Condition + ")"
		}
		if e.Unconfirmed {
			part += "?"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

func codes(s access.Standing) string { return gcptest.Codes(s.Warnings) }

func id(role access.Role) access.EntitlementID {
	return access.EntitlementID{Resource: shop, Role: role}
}

func ids(roles ...access.Role) (all []access.EntitlementID) {
	for _, r := range roles {
		all = append(all, id(r))
	}
	return all
}

// asked is how many analyses were made.
func (w *world) asked(t testing.TB, want int) {
	t.Helper()
	if got := w.Calls(":analyzeIamPolicy"); got != want {
		t.Errorf("%d analyses, want %d", got, want)
	}
}

func names(rs []access.ResourceInfo) []string {
	var found []string
	for _, r := range rs {
		found = append(found, string(r.Resource))
	}
	return slices.Clip(found)
}
