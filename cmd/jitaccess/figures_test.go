package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/config"
	"jitaccess/internal/sandbox/google"
)

// readers take turns in benchmarks, since nobody may ask all the time.
const readers = 40

func reader(i int) string { return fmt.Sprintf("reader-%d@example.com", i%readers) }

// fullProject makes the policy of a project as full as Google allows: 300 bindings
// with 1,500 members, among them 250 groups. Alice and the readers are in ten of the
// groups.
func fullProject(o *google.Organization) {
	for i := range readers {
		o.People = append(o.People, google.Person{Name: "Reader", Email: reader(i), Subject: "accounts.google.com:" + reader(i)})
	}
	for i := range 250 {
		g := google.Group{Email: fmt.Sprintf("team-%d@example.com", i), Members: []string{fmt.Sprintf("person-%d@example.com", i)}}
		if i%25 == 0 {
			g.Members = append(g.Members, alice)
			for r := range readers {
				g.Members = append(g.Members, reader(r))
			}
		}
		o.Groups = append(o.Groups, g)
	}
	var bindings []google.Binding
	for i := range 300 {
		b := google.Binding{Role: fmt.Sprintf("roles/service%d.admin", i), Condition: &google.Condition{Title: "Eligible",
			Expression: fmt.Sprintf(`has({}.multiPartyApprovalConstraint) && resource.name.startsWith("projects/_/buckets/b-%d/")`, i)}}
		if i < 250 {
			b.Members = append(b.Members, fmt.Sprintf("group:team-%d@example.com", i))
		}
		for len(b.Members) < 5 {
			b.Members = append(b.Members, fmt.Sprintf("user:person-%d@example.com", 5*i+len(b.Members)))
		}
		bindings = append(bindings, b)
	}
	for i := range o.Projects {
		if o.Projects[i].ID == project {
			o.Projects[i].Policy.Bindings = bindings
		}
	}
}

// busy measures during how much time at least one call was at Google.
type busy struct {
	next  http.Handler
	mu    sync.Mutex
	calls int
	since time.Time
	total time.Duration
}

func (b *busy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	if b.calls == 0 {
		b.since = time.Now()
	}
	b.calls++
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.calls--; b.calls == 0 {
			b.total += time.Since(b.since)
		}
	}()
	b.next.ServeHTTP(w, r)
}

// own opens a page as one reader after the other and reports the time that was not
// spent waiting for Google: half of the pages took less than the median.
func (b *busy) own(tb *testing.B, w *world, path string) {
	tb.Helper()
	for i := range readers {
		w.inside(w.as(reader(i), "GET", path, ""))
	}
	var took []time.Duration
	for tb.Loop() {
		r := w.as(reader(len(took)), "GET", path, "")
		b.total = 0
		begun := time.Now()
		w.inside(r)
		took = append(took, time.Since(begun)-b.total)
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	tb.ReportMetric(ms(took[len(took)/2]), "own-ms-median")
	tb.ReportMetric(ms(took[len(took)-1]), "own-ms-longest")
}

// timed is a service whose own time is measured.
func (b *busy) timed(tb *testing.B, kind string, pageSize int, organization func(*google.Organization)) *world {
	s := withCatalog(kind, organization)
	s.options.PageSize, s.measured, s.wrap = pageSize, true, func(h http.Handler) http.Handler { b.next = h; return b }
	return newWorld(tb, s)
}

var catalogs = []string{config.PolicyAnalyzer, config.AssetInventory}

// BenchmarkOpenFullProject opens the page of a project with 1,500 members, 300
// bindings and 250 groups; own time is to be under 10 ms.
func BenchmarkOpenFullProject(b *testing.B) {
	for _, kind := range catalogs {
		b.Run(kind, func(b *testing.B) {
			var at busy
			at.own(b, at.timed(b, kind, 200, fullProject), "/access/projects/"+project)
		})
	}
}

// BenchmarkTenThousandProjects lists and searches 10,000 projects; no page is to have
// more than 100 ms of own time after the first.
func BenchmarkTenThousandProjects(b *testing.B) {
	var at busy
	w := at.timed(b, config.AssetInventory, 1000, func(o *google.Organization) {
		for i := range 10_000 - len(o.Projects) {
			o.Projects = append(o.Projects, google.Project{ID: fmt.Sprintf("team-%05d-prod", i), Number: fmt.Sprint(5_000_000_000 + i),
				DisplayName: fmt.Sprintf("Team %d", i), Parent: o.Projects[0].Parent})
		}
	})
	for _, path := range []string{"/", "/?q=team-09", "/api/projects"} {
		b.Run(path, func(b *testing.B) {
			at.own(b, w, path)
		})
	}
}

// wave is calls of which none is answered before all have come. A service that made
// one only after the answer to another would never get either.
type wave struct {
	calls map[string]int
	all   chan struct{}
}

// waves lets one wave after the other through, and what comes beyond at once.
type waves struct {
	next   http.Handler
	mu     sync.Mutex
	waves  []*wave
	beyond []string
}

func (g *waves) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if all := g.join(r); all != nil {
		select {
		case <-all:
		case <-r.Context().Done():
			return
		}
	}
	g.next.ServeHTTP(w, r)
}

func (g *waves) join(r *http.Request) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/computeMetadata/") || g.waves == nil {
		return nil
	}
	for _, v := range g.waves {
		for part, left := range v.calls {
			if left > 0 && strings.Contains(r.URL.Path, part) {
				if v.calls[part]--; left == 1 {
					delete(v.calls, part)
				}
				if len(v.calls) == 0 {
					close(v.all)
				}
				return v.all
			}
		}
		if len(v.calls) > 0 {
			break // the next wave comes after the answers to this one
		}
	}
	g.beyond = append(g.beyond, r.Method+" "+r.URL.Path)
	return nil
}

// expect sets the waves.
func (g *waves) expect(calls ...map[string]int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waves, g.beyond = []*wave{}, nil
	for _, c := range calls {
		g.waves = append(g.waves, &wave{calls: c, all: make(chan struct{})})
	}
}

// TestOpeningAProjectIsTwoCallsDeep (point 11): policies and people at once, then what the roles
// are called.
func TestOpeningAProjectIsTwoCallsDeep(t *testing.T) {
	for _, kind := range catalogs {
		t.Run(kind, func(t *testing.T) {
			var g waves
			s := withCatalog(kind, fullProject)
			s.wrap = func(h http.Handler) http.Handler { g.next = h; return &g }
			w := newWorld(t, s)
			roles := len(w.entitled(alice, "MPA")) + len(w.entitled(alice, "JIT"))
			if roles < 10 {
				t.Fatalf("the alice has %d roles", roles)
			}
			w.restart(nil)
			w.ok(alice, "/api/policy", nil)
			first := map[string]int{":analyzeIamPolicy": 1, ":getIamPolicy": 1}
			if kind == config.AssetInventory {
				first = map[string]int{":batchGet": 1, ":getIamPolicy": 1, "/admin/directory/v1/groups": 1}
			}
			g.expect(first, map[string]int{"/v1/roles/": roles})
			w.ok(alice, "/access/projects/"+project, nil)
			if len(g.beyond) > 0 || len(g.waves[1].calls) > 0 {
				t.Errorf("beyond two waves: %q; of the second are missing %v", g.beyond, g.waves[1].calls)
			}
		})
	}
}

// TestAskingTenReviewersFetchesPoliciesTwice (point 11) at most: what people hold, and the
// project's own policy.
func TestAskingTenReviewersFetchesPoliciesTwice(t *testing.T) {
	for _, kind := range catalogs {
		w := newWorld(t, withCatalog(kind, oncall))
		w.cloud.Calls().Reset()
		w.askTen()
		fetches := 0
		for template, n := range w.cloud.Calls().All() {
			if strings.HasSuffix(template, ":batchGet") || strings.HasSuffix(template, "IamPolicy") {
				fetches += n
			}
		}
		if fetches > 2 {
			t.Errorf("%s: %d policy fetches", kind, fetches)
		}
	}
}

// TestPolicyAnalyzerStory (point 2) plays the whole story with the catalog of JIT Access 1.x,
// for people in nested groups, too, whom the other catalog does not know.
func TestPolicyAnalyzerStory(t *testing.T) {
	w := newWorld(t, withCatalog(config.PolicyAnalyzer, nil))
	const payments, dan, carol = "shop-payments-prod", "dan.o'brien@example.com", "carol@example.com"
	role := payments + ":roles/cloudsql.admin"
	peers := w.ok(dan, "/api/projects/"+payments+"/peers?id="+url.QueryEscape(role), nil)
	for _, peer := range []string{"bob@example.com", carol} {
		if !strings.Contains(peers, peer) {
			t.Errorf("%s is no peer: %s", peer, peers)
		}
	}
	if strings.Contains(peers, dan) || strings.Contains(peers, alice) {
		t.Errorf("peers are %s", peers)
	}
	ask := dict{"entitlementId": role, "peers": []string{carol}, "justification": "Ledger stuck", "activationTimeout": 15}
	for who, want := range map[string]int{alice: http.StatusForbidden, "frank@example.com": http.StatusForbidden, dan: http.StatusOK} {
		asked := w.api(who, "/api/projects/"+payments+"/roles/request", ask).expect(t, want)
		if who != dan {
			continue
		}
		link, err := url.Parse(asked.ReviewURL)
		if err != nil {
			t.Fatal(err)
		}
		path := decideURL(link.Query().Get("activation"))
		w.ok(carol, path, nil)
		// Who lost it since the link was written does not decide.
		w.cloud.Faults().RemoveEligibility(carol)
		w.api(carol, path, dict{}).expect(t, http.StatusForbidden)
		w.cloud.Faults().Reset()
		w.ok(carol, path, dict{})
	}
	// What was just granted shows, though Google's analysis is minutes behind.
	if roles := w.ok(dan, "/api/projects/"+payments+"/roles", nil); !strings.Contains(roles, `"ACTIVE"`) {
		t.Errorf("nothing is active: %s", roles)
	}
	policy, err := w.cloud.Policy("projects/" + payments)
	if err != nil || !strings.Contains(string(policy), "Approved by carol@example.com, justification: Ledger stuck") {
		t.Errorf("the policy is %s, %v", policy, err)
	}

	w.cloud.Faults().Add(google.Fault{Path: "/v1/" + w.cloud.OrganizationID() + ":analyzeIamPolicy", Status: http.StatusTooManyRequests})
	w.api("erin@example.com", "/api/projects", nil).expect(t, http.StatusTooManyRequests, "AssetInventory")
}

// TestAProjectOutsideTheScopeIsNone (point 2), though the service may read its policy.
func TestAProjectOutsideTheScopeIsNone(t *testing.T) {
	for _, kind := range catalogs {
		w := newWorld(t, withCatalog(kind, nil))
		w.restart(map[string]string{"RESOURCE_SCOPE": "folders/198467720153"})
		if a := w.api(alice, projectURL+"/roles", nil).expect(t, http.StatusNotFound); strings.Contains(a.body, "cloudsql") {
			t.Errorf("%s: %s", kind, a.body)
		}
		if kind == config.PolicyAnalyzer {
			w.restart(map[string]string{"RESOURCE_SCOPE": "folders/1"})
			if a := w.api(alice, "/api/projects", nil); !slices.Contains([]int{http.StatusBadGateway, http.StatusForbidden}, a.status) {
				t.Errorf("a wrong scope is %d %s", a.status, a.body)
			}
		}
	}
}
