package policyanalyzer_test

import (
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/policyanalyzer"
)

var onlyAna = access.StandingQuery{Principals: []access.Principal{ana}}

// Point 2: what is asked, and of what.
func TestQueriesAreThoseOfThePredecessor(t *testing.T) {
	w := newWorld(t)
	w.persons["user:ana@example.com"] = []any{result(folder, binding("roles/a", peers, "user:ana@example.com", "user:ben@example.com"))}
	w.holders = []any{result(folder, binding("roles/a", peers, "user:ana@example.com", "user:ben@example.com"), "user:ana@example.com", "user:ben@example.com")}
	w.standing(t, onlyAna)
	w.standing(t, access.StandingQuery{Principals: []access.Principal{ana}, Of: ids("roles/a"), ReviewersOf: ids("roles/a")})
	if _, _, err := w.catalog.Resources(t.Context(), ana); err != nil {
		t.Fatal(err)
	}
	const q, at, timeout = "analysisQuery.", "2026-03-01T12:00:00Z", "20s"
	want := []url.Values{
		{q + "identitySelector.identity": {"user:ana@example.com"}, q + "resourceSelector.fullResourceName": {prefix + shop}},
		{q + "resourceSelector.fullResourceName": {prefix + shop}, q + "accessSelector.roles": {"roles/a"}, q + "options.expandGroups": {"true"}},
		{q + "identitySelector.identity": {"user:ana@example.com"}, q + "accessSelector.permissions": {"resourcemanager.projects.get"}, q + "options.expandResources": {"true"}},
	}
	if len(w.queries) != len(want) {
		t.Fatalf("%d queries", len(w.queries))
	}
	for i, got := range w.queries {
		want[i].Set(q+"conditionContext.accessTime", at)
		want[i].Set("executionTimeout", timeout)
		got.Del("alt")
		got.Del("prettyPrint")
		if got.Encode() != want[i].Encode() {
			t.Errorf("query %d is\n%s, want\n%s", i, got.Encode(), want[i].Encode())
		}
	}
}

func TestWhatAPersonHoldsAnyWay(t *testing.T) {
	w := newWorld(t)
	w.live[shop] = []object{binding("roles/direct", self, "user:ana@example.com"), binding("roles/group", peers, "group:ops@example.com"),
		binding("roles/domain", self, "domain:example.com")}
	w.persons["user:ana@example.com"] = []any{
		result(shop, w.live[shop][0]), result(shop, w.live[shop][1]), result(shop, w.live[shop][2]),
		result(folder, binding("roles/inherited", self, "group:nested@example.com")),
		result(org, binding("roles/both", self+" && "+peers, "user:ana@example.com")),
		result(org, binding("roles/narrow", self+` && resource.name=='x'`, "user:ana@example.com")),
		result(org, binding("roles/plain", "", "user:ana@example.com")),
		result(org, binding("roles/viewer", self, "user:ana@example.com")),
	}
	s := w.standing(t, onlyAna)
	if got := held(s, ana); got != `roles/both roles/direct roles/domain roles/group roles/inherited roles/narrow(resource.name == "x")` || codes(s) != "" {
		t.Errorf("holds %q, warns %v", got, s.Warnings)
	}
	w.asked(t, 1)
}

// JIT Access 1.x showed what Google said of other resources, too.
func TestResultsForOtherResourcesDoNotCount(t *testing.T) {
	w := newWorld(t)
	mine := "user:ana@example.com"
	w.persons[mine] = []any{
		with(result("projects/other", binding("roles/a", self, mine)), on("CONDITIONAL", "projects/other")),
		with(result(folder, binding("roles/b", self, mine)), on("CONDITIONAL", "projects/other", "projects/shop-2")),
		with(object{"attachedResourceFullName": "//storage.googleapis.com/bucket", "iamBinding": binding("roles/c", self, mine)}, on("CONDITIONAL", shop)),
		with(result(folder, binding("roles/d", self, mine)), on("CONDITIONAL", "projects/other"), on("CONDITIONAL", "projects/other", shop)),
		with(result(folder, binding("roles/e", self, mine))),
		nil, object{}, with(result("projects/123", binding("roles/f", self, mine)), nil, object{"resources": []any{nil}}),
	}
	if s := w.standing(t, onlyAna); held(s, ana) != "roles/d" {
		t.Errorf("holds %q", held(s, ana))
	}
}

// In JIT Access 1.x two of a kind, and an evaluation that contradicted the clock,
// took the whole list away.
func TestDuplicatesAndEvaluationsAreHarmless(t *testing.T) {
	activation := binding("roles/a", `(request.time >= timestamp("2026-03-01T11:00:00Z") && request.time < timestamp("2026-03-01T13:00:00Z"))`, "user:ana@example.com")
	activation["condition"].(map[string]string)["title"] = "JIT access activation"
	w := newWorld(t)
	w.live[shop] = []object{activation, activation}
	eligible := binding("roles/a", self, "user:ana@example.com")
	var results []any
	for _, evaluation := range []string{"CONDITIONAL", "TRUE", "FALSE", "", "NEW_VALUE"} {
		results = append(results, with(result(folder, eligible), on(evaluation, shop)), with(result(shop, activation), on(evaluation, shop)))
	}
	w.persons["user:ana@example.com"] = results
	s := w.standing(t, onlyAna)
	if held(s, ana) != "roles/a" || len(s.Activations) != 2 || codes(s) != "" {
		t.Errorf("holds %q, %d activations, warns %v", held(s, ana), len(s.Activations), s.Warnings)
	}
}

func TestNonCriticalErrorsAreWarnings(t *testing.T) {
	for _, c := range []struct {
		errors  []any
		partial bool
		kind    access.Kind
		says    string
	}{
		{[]any{object{"code": "PERMISSION_DENIED", "cause": "no\nreading of group x"}}, false, access.Unprocessable, `"no\nreading of group x"`},
		{[]any{object{"code": "DEADLINE_EXCEEDED", "cause": "late"}, nil, object{}}, false, access.Unavailable, `"late"`},
		{nil, true, access.Unavailable, "too long"},
	} {
		w := newWorld(t)
		w.errors, w.partial = c.errors, c.partial
		w.persons["user:ana@example.com"] = []any{result(folder, binding("roles/a", self, "user:ana@example.com"))}
		s := w.standing(t, onlyAna)
		if held(s, ana) != "roles/a" || codes(s) != "analysis-partial" || s.Warnings[0].Kind != c.kind || !strings.Contains(s.Warnings[0].Args["reason"], c.says) {
			t.Errorf("holds %q, warns %v", held(s, ana), s.Warnings)
		}
	}
}

// Peers whose resource condition is another one cannot approve, so they are not
// offered; JIT Access 1.x offered them.
func TestReviewersHoldExactlyTheSame(t *testing.T) {
	w := newWorld(t)
	narrow := peers + ` && resource.name == "x"`
	w.live[shop] = []object{binding("roles/a", peers, "user:ana@example.com", "group:ops@example.com", "user:new@example.com")}
	w.holders = []any{
		result(shop, binding("roles/a", peers, "user:ana@example.com", "group:ops@example.com"), "user:ana@example.com", "group:ops@example.com",
			"user:Ben@example.com", "serviceAccount:x@y.iam.gserviceaccount.com"),
		result(folder, binding("roles/a", narrow, "user:narrow@example.com"), "user:narrow@example.com"),
		result(folder, binding("roles/a", self, "user:alone@example.com"), "user:alone@example.com"),
		result(folder, binding("roles/a", "", "user:plain@example.com"), "user:plain@example.com"),
		result(org, binding("roles/a", peers, "user:top@example.com"), "user:top@example.com"),
	}
	s := w.standing(t, access.StandingQuery{Principals: []access.Principal{ana}, Of: ids("roles/a"), ReviewersOf: ids("roles/a")})
	want := []access.Principal{"ana@example.com", "ben@example.com", "new@example.com", "top@example.com"}
	if got := s.Reviewers[id("roles/a")]; !slices.Equal(got, want) || held(s, ana) != "roles/a" || codes(s) != "" {
		t.Errorf("reviewers %v, holds %q, warns %v", got, held(s, ana), s.Warnings)
	}
	w.asked(t, 1)
}

func TestTenReviewersAreOneAnalysis(t *testing.T) {
	w := newWorld(t)
	people := []access.Principal{ana}
	members := []string{"user:ana@example.com"}
	for i := range 10 {
		p := access.Principal("p" + string(rune('0'+i)) + "@example.com")
		people, members = append(people, p), append(members, "user:"+string(p))
	}
	w.holders = []any{result(folder, binding("roles/a", peers, "group:all@example.com"), members...)}
	s := w.standing(t, access.StandingQuery{Principals: people, Of: ids("roles/a")})
	for _, p := range people {
		if held(s, p) != "roles/a" {
			t.Errorf("%s holds %q", p, held(s, p))
		}
	}
	w.asked(t, 1)
}

// Google expands a thousand members of a group; whoever is beyond is asked about.
func TestWhoIsNotAmongTheHoldersIsAskedAbout(t *testing.T) {
	w := newWorld(t)
	b := binding("roles/a", peers, "group:huge@example.com")
	w.holders = []any{result(folder, b, "user:ana@example.com")}
	w.persons["user:ben@example.com"] = []any{result(folder, b)}
	s := w.standing(t, access.StandingQuery{Principals: []access.Principal{ana, ben, "eve@example.com"}, Of: ids("roles/a")})
	if held(s, ana) != "roles/a" || held(s, ben) != "roles/a" || held(s, "eve@example.com") != "" {
		t.Errorf("hold %v", s.Holdings)
	}
	w.asked(t, 3)
}

func TestProjectsAreThoseAPersonMaySee(t *testing.T) {
	w := newWorld(t)
	mine := "user:ana@example.com"
	w.persons[mine] = []any{
		with(result(folder, binding("roles/viewer", "", mine)), on("", folder, "projects/c", "projects/a", "projects/a")),
		with(result(shop, binding("roles/x", self, mine)), on("CONDITIONAL", shop)),
		with(result(shop, binding("roles/x", `request.time < timestamp("2020-01-01T00:00:00Z")`, mine)), on("TRUE", "projects/z1")),
		with(result(shop, binding("roles/x", self, mine)), on("FALSE", "projects/z2")),
		with(result(shop, binding("roles/x", "", mine)), on("TRUE", "projects/../z3", "projects/Z4")),
		nil, object{},
	}
	got, _, err := w.catalog.Resources(t.Context(), ana)
	if want := []string{"projects/a", "projects/c", shop}; err != nil || !slices.Equal(names(got), want) {
		t.Errorf("got %v, %v; want %v", names(got), err, want)
	}
	if got, _, err := w.catalog.Resources(t.Context(), ben); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
	w.catalog.Resources(t.Context(), ana)
	w.asked(t, 2)
}

func TestWithAQueryTheProjectsAreThoseOfResourceManager(t *testing.T) {
	w := newWorld(t, func(c *policyanalyzer.Config) { c.ProjectsQuery = "labels.env:prod" })
	got, _, err := w.catalog.Resources(t.Context(), ana)
	if err != nil || !slices.Equal(names(got), []string{"projects/a", "projects/b"}) || got[1].Title != "labels.env:prod" {
		t.Errorf("got %v, %v", got, err)
	}
	w.asked(t, 0)
}

func TestUnknownResources(t *testing.T) {
	w := newWorld(t)
	for _, r := range []access.Resource{"projects/elsewhere", "projects/4711", "pomerium/shop", ""} {
		_, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: r, Principals: []access.Principal{ana}})
		if e := access.AsError(err); e == nil || e.Code != access.CodeUnknownResource || e.Args["resource"] != string(r) {
			t.Errorf("%q: %v", r, err)
		}
	}
}

func TestPagesShareAnswersForThirtySeconds(t *testing.T) {
	w := newWorld(t)
	w.persons["user:ana@example.com"] = []any{result(folder, binding("roles/a", self, "user:ana@example.com"))}
	w.standing(t, onlyAna)
	w.pass(29 * time.Second)
	w.standing(t, onlyAna)
	w.asked(t, 1)
	w.standing(t, access.StandingQuery{Principals: []access.Principal{ben}})
	w.asked(t, 2)
	w.pass(2 * time.Second)
	w.standing(t, onlyAna)
	w.asked(t, 3)
	w.standing(t, access.StandingQuery{})
	w.asked(t, 3)
}

func TestOneBadBindingNeverHidesTheRest(t *testing.T) {
	w := newWorld(t)
	mine := "user:ana@example.com"
	w.live[shop] = []object{binding("roles/a", self+" && (((", mine), binding("roles/b", self, mine)}
	w.persons[mine] = []any{result(shop, w.live[shop][0]), result(shop, w.live[shop][1]), result(folder, binding("roles/c", peers+" && )", mine)),
		result(folder, binding("roles/../d", self, mine)), result("folders/x", binding("roles/e", self, mine))}
	s := w.standing(t, onlyAna)
	if held(s, ana) != "roles/b" || codes(s) != "unreadable-binding unreadable-binding unreadable-binding" {
		t.Errorf("holds %q, warns %v", held(s, ana), s.Warnings)
	}
	refusal := &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible}
	if got := s.NotHeld(refusal); got != refusal {
		t.Errorf("whoever is not eligible is told %v", got)
	}
}

func TestCatalogIsSafeForConcurrentUse(t *testing.T) {
	w := newWorld(t)
	b := binding("roles/a", peers, "group:ops@example.com")
	w.live[folder], w.live[shop] = []object{b}, []object{b}
	w.holders = []any{result(folder, b, "user:ana@example.com", "user:ben@example.com"), result(shop, b, "user:ana@example.com")}
	w.persons["user:ana@example.com"] = []any{result(folder, b), result(shop, b)}
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			q := access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}}
			if i%4 > 1 {
				q.Principals, q.Of, q.ReviewersOf = []access.Principal{ana, ben}, ids("roles/a"), ids("roles/a")
			}
			if i%2 == 0 {
				q.Since = anew
			}
			s, err := w.catalog.Standing(t.Context(), q)
			if err != nil || held(s, ana) != "roles/a" {
				t.Errorf("got %q, %v", held(s, ana), err)
			}
			w.catalog.Resources(t.Context(), ana)
		})
	}
	all.Wait()
}

// Threats, row 40: JSON of another shape is an error, or as if nothing stood there.
func TestThreat40_AMisshapenAnswerIsAnError(t *testing.T) {
	for body, fails := range map[string]bool{"null": true, `{"mainAnalysis":null}`: true, `{"mainAnalysis":{"fullyExplored":true,"analysisResults":[null,{"iamBinding":null},{"iamBinding":{},"accessControlLists":[null,{"resources":[null]}]}],"nonCriticalErrors":[null]}}`: false} {
		w := newWorld(t)
		w.instead = body
		id := access.EntitlementID{Resource: shop, Role: "roles/b"}
		for _, q := range []access.StandingQuery{{Resource: shop, Principals: []access.Principal{ana}}, {Resource: shop, ReviewersOf: []access.EntitlementID{id}}} {
			s, err := w.catalog.Standing(t.Context(), q)
			if e := access.AsError(err); (e != nil) != fails || e != nil && e.Code != access.CodeUpstreamFailed || len(s.Holdings[ana])+len(s.Reviewers[id]) != 0 {
				t.Errorf("%s: %+v, %v", body, s, err)
			}
		}
		if _, _, err := w.catalog.Resources(t.Context(), ana); (err != nil) != fails {
			t.Errorf("%s: projects: %v", body, err)
		}
	}
}
