package assetinventory_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/gcptest"
	"jitaccess/internal/gcp/iampolicy"
)

// anew is later than any answer that is kept.
var anew = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

var onlyAna = access.StandingQuery{Principals: []access.Principal{ana}}

func fresh(people ...access.Principal) access.StandingQuery {
	return access.StandingQuery{Principals: people, Since: anew}
}

func TestResourcesAreThoseOfTheQuerySorted(t *testing.T) {
	w := newWorld(t)
	got, _, err := w.catalog.Resources(t.Context(), ana)
	if err != nil || len(got) != 2 || got[0].Resource != "projects/billing" || got[1].Title != "Shop" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestRolesPageIsThreeCalls(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.groups["ana@example.com"] = []string{"ops@example.com"} })
	w.both(shop, binding("roles/a", self, "user:ana@example.com"))
	w.both(folder, binding("roles/b", peers, "group:ops@example.com"))
	w.both(org, binding("roles/c", self, "group:other@example.com"))
	s := w.standing(t, onlyAna)
	if held(s, ana) != "roles/a roles/b" || len(s.Warnings) != 0 {
		t.Errorf("holds %q, warns %v", held(s, ana), s.Warnings)
	}
	w.expect(t, map[string]int{":batchGet": 1, ":getIamPolicy": 1, "directory/v1/groups": 1, "": 3})
}

func TestNextPageReadsOnlyTheLivePolicy(t *testing.T) {
	w := newWorld(t)
	w.both(folder, binding("roles/b", self, "user:ana@example.com"))
	w.standing(t, onlyAna)
	w.pass(29 * time.Second)
	w.standing(t, onlyAna)
	w.expect(t, map[string]int{":batchGet": 1, ":getIamPolicy": 2, "directory/v1/groups": 1})
	w.standing(t, access.StandingQuery{Principals: []access.Principal{ben}})
	w.expect(t, map[string]int{":batchGet": 1, ":getIamPolicy": 3, "directory/v1/groups": 2})
	w.pass(2 * time.Second)
	w.standing(t, onlyAna)
	w.expect(t, map[string]int{":batchGet": 2, ":getIamPolicy": 4, "directory/v1/groups": 3})
}

func TestLivePolicyReplacesTheInventorysCopy(t *testing.T) {
	w := newWorld(t)
	w.set(func() {
		w.inventory[shop] = []map[string]any{binding("roles/gone", self, "user:ana@example.com")}
		w.live[shop] = []map[string]any{binding("roles/new", self, "user:ana@example.com")}
	})
	if s := w.standing(t, onlyAna); held(s, ana) != "roles/new" {
		t.Errorf("holds %q", held(s, ana))
	}
}

func TestActivationMadeASecondAgoShows(t *testing.T) {
	w := newWorld(t)
	w.set(func() {
		b := binding("roles/a", `(request.time >= timestamp("2026-03-01T12:00:00Z") && request.time < timestamp("2026-03-01T13:00:00Z"))`, "user:ana@example.com")
		b["condition"].(map[string]string)["title"] = "JIT access activation"
		b["condition"].(map[string]string)["description"] = "Self-approved, justification: why [jit-AAAAAAAAAAAAAAAA]"
		w.live[shop] = []map[string]any{b}
	})
	s := w.standing(t, access.StandingQuery{})
	if len(s.Activations) != 1 || s.Activations[0].RequestID != "jit-AAAAAAAAAAAAAAAA" || s.Activations[0].Principal != ana {
		t.Errorf("got %+v", s.Activations)
	}
}

func TestReviewersThroughUsersAndGroupsOfAllSizes(t *testing.T) {
	w := newWorld(t)
	w.set(func() {
		for i := range 10_000 {
			w.members["all@example.com"] = append(w.members["all@example.com"], email(i))
		}
		w.members["ops@example.com"] = []string{"ben@example.com", email(0)}
	})
	w.both(shop, binding("roles/a", peers, "user:Ana@example.com", "group:all@example.com"))
	w.both(folder, binding("roles/a", peers, "group:ops@example.com", "group:gone@example.com"))
	id := access.EntitlementID{Resource: shop, Role: "roles/a"}
	other := access.EntitlementID{Resource: shop, Role: "roles/other"}
	q := access.StandingQuery{ReviewersOf: []access.EntitlementID{id, other}}
	s := w.standing(t, q)
	people := s.Reviewers[id]
	if len(people) != 10_002 || !slices.IsSorted(people) || !slices.Contains(people, ana) || !slices.Contains(people, ben) {
		t.Errorf("%d reviewers", len(people))
	}
	if found, asked := s.Reviewers[other]; !asked || len(found) != 0 {
		t.Errorf("got %v, %v", found, asked)
	}
	if codes(s) != "group-unreadable" || s.Warnings[0].Args["group"] != "gone@example.com" {
		t.Errorf("warns %v", s.Warnings)
	}
	w.expect(t, map[string]int{"all@example.com/members": 0, "all%40example.com/members": 50, "ops%40example.com/members": 1, "gone%40example.com/members": 1})
	w.standing(t, q)
	w.expect(t, map[string]int{"all%40example.com/members": 50, ":batchGet": 1})
}

func TestGroupThatCannotBeReadIsAWarning(t *testing.T) {
	for _, status := range []int{403, 404, 429, 500, 503} {
		w := newWorld(t)
		w.set(func() { w.instead["/members"] = gcptest.Refuse(status, "no") })
		w.both(shop, binding("roles/a", peers, "user:ana@example.com", "group:ops@example.com"))
		id := access.EntitlementID{Resource: shop, Role: "roles/a"}
		s := w.standing(t, access.StandingQuery{Principals: []access.Principal{ana}, ReviewersOf: []access.EntitlementID{id}})
		if held(s, ana) != "roles/a" || !slices.Equal(s.Reviewers[id], []access.Principal{ana}) || codes(s) != "group-unreadable" {
			t.Errorf("%d: %q, %v, %v", status, held(s, ana), s.Reviewers, s.Warnings)
		}
	}
}

func TestDirectoryThatFailsLeavesWhatIsHeldInPerson(t *testing.T) {
	for status, want := range map[int]access.Code{400: access.CodePersonUnreadable, 403: access.CodeServiceNotAllowed, 404: access.CodePersonUnreadable,
		429: access.CodeQuota, 500: access.CodeUpstreamFailed} {
		for _, since := range []time.Time{{}, anew} {
			w := newWorld(t)
			w.set(func() { w.instead["/admin/"] = gcptest.Refuse(status, "no") })
			w.both(shop, binding("roles/a", self, "user:ana@example.com"), binding("roles/b", self, "group:ops@example.com"))
			s := w.standing(t, access.StandingQuery{Principals: []access.Principal{ana}, Since: since})
			if held(s, ana) != "roles/a" || codes(s) != string(want) {
				t.Errorf("%d: %q, %v", status, held(s, ana), s.Warnings)
			}
		}
	}
}

func TestOneBadBindingNeverHidesTheRest(t *testing.T) {
	w := newWorld(t)
	w.both(shop, binding("roles/a", self+" && (((", "user:ana@example.com"), binding("roles/b", self, "user:ana@example.com"))
	w.both(folder, binding("roles/c", peers+" && )", "user:ana@example.com"))
	if s := w.standing(t, onlyAna); held(s, ana) != "roles/b" || codes(s) != "unreadable-binding unreadable-binding" {
		t.Errorf("holds %q, warns %v", held(s, ana), s.Warnings)
	}
}

func TestEveryPrincipalHasAnEntry(t *testing.T) {
	s := newWorld(t).standing(t, access.StandingQuery{Principals: []access.Principal{ana, ben}})
	if _, ok := s.Holdings[ben]; !ok || len(s.Holdings) != 2 || s.Resource != shop {
		t.Errorf("got %+v", s)
	}
}

// Ending a grant asks about nobody: what is active stands in the policy itself.
func TestAboutNobodyOnlyThePolicyIsRead(t *testing.T) {
	w := newWorld(t)
	w.standing(t, access.StandingQuery{})
	w.expect(t, map[string]int{":getIamPolicy": 1, "": 1})
}

func TestUnknownResources(t *testing.T) {
	w := newWorld(t)
	for _, r := range []access.Resource{"projects/elsewhere", "projects/4711", "folders/8", "organizations/2", ""} {
		_, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: r, Principals: []access.Principal{ana}})
		if e := access.AsError(err); e == nil || e.Kind != access.NotFound || e.Code != access.CodeUnknownResource || e.Args["resource"] != string(r) {
			t.Errorf("%q: %v", r, err)
		}
		if _, err := w.catalog.Prepare(t.Context(), access.StandingQuery{Resource: r, Principals: []access.Principal{ana}}); access.AsError(err).Code != access.CodeUnknownResource {
			t.Errorf("%q: %v", r, err)
		}
	}
}

func TestUpstreamFailures(t *testing.T) {
	for _, c := range []struct {
		call    string
		handler http.HandlerFunc
		kind    access.Kind
		code    access.Code
	}{
		{":batchGet", gcptest.Refuse(400, "x"), access.Unprocessable, access.CodeCallRefused},
		{":batchGet", gcptest.Refuse(403, "forbidden"), access.Upstream, access.CodeServiceNotAllowed},
		{":batchGet", gcptest.Refuse(429, "x"), access.TooMany, access.CodeQuota},
		{":batchGet", gcptest.Refuse(500, "x"), access.Upstream, access.CodeUpstreamFailed},
		{":batchGet", gcptest.Refuse(503, "x"), access.Unavailable, access.CodeUpstreamFailed},
		{":batchGet", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, access.Unavailable, access.CodeUpstreamFailed},
		{":batchGet", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("<html>")) }, access.Upstream, access.CodeUpstreamFailed},
		{":batchGet", func(w http.ResponseWriter, r *http.Request) { gcptest.Answer(w, map[string]any{}) }, access.NotFound, access.CodeUnknownResource},
		{":batchGet", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("null")) }, access.Upstream, access.CodeUpstreamFailed},
		{":batchGet", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"policyResults":[null]}`)) }, access.NotFound, access.CodeUnknownResource},
		{":getIamPolicy", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("null")) }, access.Upstream, access.CodeUpstreamFailed},
		{":getIamPolicy", gcptest.Refuse(403, "forbidden"), access.Upstream, access.CodeServiceNotAllowed},
		{":getIamPolicy", gcptest.Refuse(404, "notFound"), access.NotFound, access.CodeUnknownResource},
		{":getIamPolicy", gcptest.Refuse(429, "x"), access.TooMany, access.CodeQuota},
		{":getIamPolicy", gcptest.Refuse(503, "x"), access.Unavailable, access.CodeUpstreamFailed},
	} {
		w := newWorld(t)
		w.set(func() { w.instead[c.call] = c.handler })
		_, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}})
		e := access.AsError(err)
		if e == nil || e.Kind != c.kind || e.Code != c.code {
			t.Errorf("%s: %v, want %s %s", c.call, err, c.kind, c.code)
			continue
		}
		if c.code == access.CodeServiceNotAllowed && (e.Args["permission"] == "" || e.Args["resource"] == "") {
			t.Errorf("%s: the operator is not told what to grant: %v", c.call, e.Args)
		}
	}
}

func TestInventoryWithoutBindingsIsNoFault(t *testing.T) {
	w := newWorld(t)
	w.set(func() {
		w.instead[":batchGet"] = func(rw http.ResponseWriter, r *http.Request) {
			gcptest.Answer(rw, map[string]any{"policyResults": []any{map[string]any{"policies": []any{
				nil, map[string]any{"attachedResource": "//cloudresourcemanager.googleapis.com/projects/123"},
				map[string]any{"attachedResource": "//cloudresourcemanager.googleapis.com/folders/7", "policy": map[string]any{}},
				map[string]any{"attachedResource": "//storage.googleapis.com/bucket", "policy": map[string]any{"bindings": []any{binding("roles/x", self, "user:ana@example.com")}}},
			}}}})
		}
		w.live[shop] = []map[string]any{binding("roles/a", self, "user:ana@example.com")}
	})
	if s := w.standing(t, onlyAna); held(s, ana) != "roles/a" {
		t.Errorf("holds %q", held(s, ana))
	}
}

func TestDeadlineIsReportedAsSuch(t *testing.T) {
	w := newWorld(t)
	done := make(chan struct{})
	defer close(done)
	w.set(func() { w.instead[":batchGet"] = func(http.ResponseWriter, *http.Request) { <-done } })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := w.catalog.Prepare(ctx, access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}})
	if e := access.AsError(err); e == nil || e.Kind != access.TimedOut {
		t.Errorf("got %v", err)
	}
}

func TestPrepareIsPureAndJudgesThePolicyAboutToBeWritten(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.groups["ana@example.com"] = []string{"ops@example.com"} })
	w.both(shop, binding("roles/old", self, "user:ana@example.com"))
	judge, err := w.catalog.Prepare(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}, Since: anew})
	if err != nil {
		t.Fatal(err)
	}
	calls := w.Calls("")
	w.expect(t, map[string]int{shop + ":getIamPolicy": 0})
	for _, c := range []struct {
		policy *iampolicy.Policy
		want   string
	}{
		{parse(t, binding("roles/a", peers, "group:ops@example.com")), "roles/a"},
		{parse(t), ""},
		{parse(t, binding("roles/b", self, "user:ana@example.com")), "roles/b"},
		{parse(t, binding("roles/a", peers, "group:ops@example.com")), "roles/a"},
	} {
		if got := held(judge(c.policy), ana); got != c.want {
			t.Errorf("holds %q, want %q", got, c.want)
		}
	}
	if w.Calls("") != calls {
		t.Error("judging made calls")
	}
}

func TestPrepareWarnsOfAGroupThatOnlyTheNewPolicyNames(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.members["ops@example.com"] = []string{"ben@example.com"} })
	w.both(shop, binding("roles/a", peers, "group:ops@example.com"))
	id := access.EntitlementID{Resource: shop, Role: "roles/a"}
	judge, err := w.catalog.Prepare(t.Context(), access.StandingQuery{Resource: shop, ReviewersOf: []access.EntitlementID{id}})
	if err != nil {
		t.Fatal(err)
	}
	s := judge(parse(t, binding("roles/a", peers, "group:ops@example.com", "group:new@example.com")))
	if !slices.Equal(s.Reviewers[id], []access.Principal{ben}) || codes(s) != "group-unreadable" || s.Warnings[0].Args["group"] != "new@example.com" {
		t.Errorf("got %v, %v", s.Reviewers, s.Warnings)
	}
}

func TestCatalogIsSafeForConcurrentUse(t *testing.T) {
	w := newWorld(t)
	w.both(folder, binding("roles/b", peers, "user:ana@example.com", "group:ops@example.com"))
	id := access.EntitlementID{Resource: shop, Role: "roles/b"}
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			q := access.StandingQuery{Resource: shop, Principals: []access.Principal{ana, ben}, ReviewersOf: []access.EntitlementID{id}}
			if i%2 == 0 {
				q.Since = anew
			}
			s, err := w.catalog.Standing(t.Context(), q)
			if err != nil || !strings.HasPrefix(held(s, ana), "roles/b") {
				t.Errorf("got %q, %v", held(s, ana), err)
			}
			w.catalog.Role(t.Context(), shop, "roles/b")
			w.catalog.Resources(t.Context(), ana)
		})
	}
	all.Wait()
}
