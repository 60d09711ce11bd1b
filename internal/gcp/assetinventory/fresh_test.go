package assetinventory_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/gcptest"
)

func TestApprovalAsksEachThingOnce(t *testing.T) {
	w := newWorld(t)
	w.set(func() {
		w.groups["ana@example.com"] = []string{"ops@example.com"}
		w.groups["ben@example.com"] = []string{"ops@example.com"}
	})
	w.both(shop, binding("roles/x", self, "user:eve@example.com"))
	w.both(folder, binding("roles/b", peers, "group:ops@example.com"))
	w.both(org, binding("roles/c", peers, "user:eve@example.com"))
	judge, err := w.catalog.Prepare(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana, ben}, Since: anew})
	if err != nil {
		t.Fatal(err)
	}
	s := judge(parse(t))
	if held(s, ana) != "roles/b" || held(s, ben) != "roles/b" || len(s.Warnings) != 0 {
		t.Errorf("hold %q and %q, warns %v", held(s, ana), held(s, ben), s.Warnings)
	}
	// The organization carries nothing of theirs, so nobody asks it.
	w.expect(t, map[string]int{":batchGet": 1, folder + ":getIamPolicy": 1, org + ":getIamPolicy": 0, shop + ":getIamPolicy": 0,
		"memberKey": 2, "/members": 0, "": 5})
}

// The queries of one action share what they ask; the next action asks again.
func TestOneActionAsksTheNodesAboveOnce(t *testing.T) {
	w := newWorld(t)
	w.both(folder, binding("roles/b", peers, "user:ana@example.com"), binding("roles/c", self, "user:ana@example.com"))
	w.both(org, binding("roles/c", self, "user:ana@example.com"))
	q := access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}, Of: []access.EntitlementID{{Resource: shop, Role: "roles/b"}}}
	for action := 1; action <= 2; action++ {
		q.Since = w.now
		w.pass(time.Millisecond)
		w.standing(t, q)
		w.pass(time.Second)
		if _, err := w.catalog.Prepare(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		// What the organization carries is not what was asked for.
		w.expect(t, map[string]int{":batchGet": action, folder + ":getIamPolicy": action, org + ":getIamPolicy": 0, "directory/v1/groups": action})
	}
}

// Threats, row 6: what was lost between the view and the decision is lost.
func TestThreat06_FreshBelievesNoCache(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.groups["ana@example.com"] = []string{"ops@example.com"} })
	w.both(shop, binding("roles/a", self, "user:ana@example.com"))
	w.both(folder, binding("roles/b", peers, "group:ops@example.com"), binding("roles/c", self, "user:ana@example.com"))
	if s := w.standing(t, fresh(ana)); held(s, ana) != "roles/a roles/b roles/c" {
		t.Fatalf("holds %q", held(s, ana))
	}
	w.set(func() {
		w.live[shop] = nil
		w.live[folder] = []map[string]any{binding("roles/b", peers, "group:ops@example.com")}
	})
	if s := w.standing(t, fresh(ana)); held(s, ana) != "roles/b" {
		t.Errorf("holds %q after the policies changed", held(s, ana))
	}
	w.set(func() { w.groups["ana@example.com"] = nil })
	if s := w.standing(t, fresh(ana)); held(s, ana) != "" {
		t.Errorf("holds %q after leaving the group", held(s, ana))
	}
}

func TestInheritedEligibilityThatCannotBeConfirmedIsMarked(t *testing.T) {
	w := newWorld(t)
	w.both(shop, binding("roles/a", self, "user:ana@example.com"))
	w.both(folder, binding("roles/a", self, "user:ana@example.com"), binding("roles/b", self, "user:ana@example.com"))
	w.both(org, binding("roles/b", self, "user:ana@example.com"), binding("roles/c", self, "user:ana@example.com"))
	w.set(func() { delete(w.live, folder) })
	s := w.standing(t, fresh(ana))
	if held(s, ana) != "roles/a roles/b roles/c" || codes(s) != "inventory-only" || s.Warnings[0].Args["resource"] != folder {
		t.Errorf("holds %q, warns %v", held(s, ana), s.Warnings)
	}
	w.set(func() { delete(w.live, org) })
	if s := w.standing(t, fresh(ana)); held(s, ana) != "roles/a roles/b? roles/c?" {
		t.Errorf("holds %q", held(s, ana))
	}
	// A page does not confirm, and so marks nothing.
	if s := w.standing(t, onlyAna); held(s, ana) != "roles/a roles/b roles/c" || codes(s) != "" {
		t.Errorf("holds %q, warns %v", held(s, ana), s.Warnings)
	}
}

func TestNodeThatFailsJustNowIsAnErrorNotADoubt(t *testing.T) {
	for status, want := range map[int]access.Kind{429: access.TooMany, 500: access.Upstream, 503: access.Unavailable} {
		w := newWorld(t)
		w.both(folder, binding("roles/b", self, "user:ana@example.com"))
		w.set(func() { w.instead[folder+":getIamPolicy"] = gcptest.Refuse(status, "x") })
		_, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}, Since: anew})
		if e := access.AsError(err); e == nil || e.Kind != want {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestReviewersOfAnInheritedEligibilityAreConfirmedToo(t *testing.T) {
	w := newWorld(t)
	w.both(folder, binding("roles/b", peers, "user:ana@example.com", "user:ben@example.com"))
	w.set(func() { w.live[folder] = []map[string]any{binding("roles/b", peers, "user:ben@example.com")} })
	id := access.EntitlementID{Resource: shop, Role: "roles/b"}
	s := w.standing(t, access.StandingQuery{ReviewersOf: []access.EntitlementID{id}, Since: anew})
	if !slices.Equal(s.Reviewers[id], []access.Principal{ben}) {
		t.Errorf("got %v", s.Reviewers)
	}
}

func TestInventoryThatFailsServesTheLastAnswerForFiveMinutes(t *testing.T) {
	for status, stale := range map[int]bool{429: true, 500: true, 503: true, 403: false, 404: false} {
		w := newWorld(t)
		w.both(folder, binding("roles/b", self, "user:ana@example.com"))
		w.standing(t, onlyAna)
		w.set(func() { w.instead[":batchGet"] = gcptest.Refuse(status, "x") })
		w.pass(4 * time.Minute)
		s, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}})
		if stale != (err == nil) {
			t.Errorf("%d: %v", status, err)
		}
		if stale && (held(s, ana) != "roles/b" || codes(s) != "stale-inventory" || s.Warnings[0].Args["seconds"] != "240") {
			t.Errorf("%d: holds %q, warns %v", status, held(s, ana), s.Warnings)
		}
		w.pass(2 * time.Minute)
		if _, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}}); err == nil {
			t.Errorf("%d: served an answer of six minutes", status)
		}
	}
}

func TestStaleInventoryIsStillConfirmedAtTheMomentOfEffect(t *testing.T) {
	w := newWorld(t)
	w.both(folder, binding("roles/b", self, "user:ana@example.com"))
	w.standing(t, onlyAna)
	w.set(func() {
		w.instead[":batchGet"] = gcptest.Refuse(429, "x")
		w.live[folder] = nil
	})
	if s := w.standing(t, fresh(ana)); held(s, ana) != "" {
		t.Errorf("holds %q", held(s, ana))
	}
}

func TestConcurrentLookUpsShareOneCall(t *testing.T) {
	w := newWorld(t)
	w.both(folder, binding("roles/b", self, "user:ana@example.com"))
	release := make(chan struct{})
	asked := make(chan struct{}, 1)
	w.set(func() {
		w.instead[":batchGet"] = func(rw http.ResponseWriter, r *http.Request) {
			asked <- struct{}{}
			<-release
			w.mu.Lock()
			defer w.mu.Unlock()
			w.batchGet(rw, r)
		}
	})
	// The first caller leads the call and gives up before it ends.
	first, giveUp := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := w.catalog.Prepare(first, access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}})
		gaveUp <- err
	}()
	<-asked
	var all sync.WaitGroup
	var started sync.WaitGroup
	for range 20 {
		started.Add(1)
		all.Go(func() {
			started.Done()
			s, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}})
			if err != nil || held(s, ana) != "roles/b" {
				t.Errorf("got %q, %v", held(s, ana), err)
			}
		})
	}
	started.Wait()
	giveUp()
	if err := <-gaveUp; err == nil || access.AsError(err).Code != access.CodeDeadline {
		t.Errorf("the caller that gave up got %v", err)
	}
	close(release)
	all.Wait()
	w.expect(t, map[string]int{":batchGet": 1})
}

// Threats, row 40: JSON of another shape is an error of the service that sent it, or
// as if nothing stood there.
func TestThreat40_AMisshapenAnswerIsAnError(t *testing.T) {
	for _, c := range []struct{ part, body, inventory, groups, reviewers string }{
		{":batchGet", `null`, "upstream-failed", "", ""},
		{":batchGet", `{"policyResults":[null]}`, "unknown-resource", "", ""},
		{":batchGet", `{"policyResults":[{"policies":[null,{"policy":null}]}]}`, "", "", ""},
		{"directory/v1/groups?", `null`, "", "upstream-failed", ""},
		{"directory/v1/groups?", `{"groups":[null]}`, "", "", ""},
		{"/members", `null`, "", "", "group-unreadable"},
		{"/members", `{"members":[null]}`, "", "", ""},
	} {
		t.Run(c.part+" "+c.body, func(t *testing.T) {
			w := newWorld(t)
			w.both(shop, binding("roles/b", peers, "user:ana@example.com", "group:ops@example.com"))
			w.instead[c.part] = func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "application/json")
				io.WriteString(rw, c.body)
			}
			s, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}})
			if got := access.AsError(err); (got == nil) != (c.inventory == "") || got != nil && string(got.Code) != c.inventory {
				t.Fatalf("%v, want %q", err, c.inventory)
			}
			if codes(s) != c.groups {
				t.Errorf("warns %q, want %q", codes(s), c.groups)
			}
			if c.inventory != "" || c.groups != "" {
				return
			}
			s = w.standing(t, access.StandingQuery{ReviewersOf: []access.EntitlementID{{Resource: shop, Role: "roles/b"}}})
			if c.part == "/members" && codes(s) != c.reviewers {
				t.Errorf("warns %q, want %q", codes(s), c.reviewers)
			}
		})
	}
}

// Where the policies above projects take more than there is room for, what is remembered
// of projects goes, and they with it.
func TestTooManyPoliciesAreForgotten(t *testing.T) {
	const mall = "projects/mall"
	for full, want := range map[bool]int{false: 2, true: 3} {
		w := newWorld(t)
		w.live[mall] = nil
		w.instead["projects%2Fmall"] = func(rw http.ResponseWriter, _ *http.Request) {
			gcptest.Answer(rw, map[string]any{"policyResults": []any{map[string]any{}}})
		}
		w.standing(t, onlyAna)
		if full {
			w.catalog.FillPolicies()
		}
		if _, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: mall, Principals: []access.Principal{ana}}); err != nil {
			t.Fatal(err)
		}
		w.standing(t, onlyAna)
		w.expect(t, map[string]int{":batchGet": want})
	}
}

// The folder's own policy is the live one, whatever the inventory has of it: who was taken out is not
// eligible there, and what stands above counts as for a project.
func TestAFoldersOwnPolicyIsReadLive(t *testing.T) {
	for _, since := range []time.Time{{}, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} {
		w := newWorld(t)
		w.both(org, binding("roles/a", self, "user:ana@example.com"))
		w.inventory[folder] = []map[string]any{binding("roles/b", self, "user:ana@example.com")}
		w.live[folder] = []map[string]any{binding("roles/c", self, "user:ana@example.com")}
		s, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: folder, Principals: []access.Principal{ana}, Since: since})
		var held []string
		for _, e := range s.Holdings[ana] {
			held = append(held, e.ID.String())
		}
		slices.Sort(held)
		if got := strings.Join(held, " "); err != nil || got != folder+":roles/a "+folder+":roles/c" {
			t.Errorf("%s, %v", got, err)
		}
		_, err = w.catalog.Standing(t.Context(), access.StandingQuery{Resource: "folders/9", Principals: []access.Principal{ana}, Since: since})
		if access.AsError(err) == nil || access.AsError(err).Code != access.CodeUnknownResource {
			t.Errorf("a folder elsewhere: %v", err)
		}
	}
}
