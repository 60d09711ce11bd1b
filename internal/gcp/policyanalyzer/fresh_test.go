package policyanalyzer_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"jitaccess/internal/access"
)

// What the live policy of a node says wins over what was analyzed.
func TestLivePolicyWins(t *testing.T) {
	mine, ops, dev := "user:ana@example.com", "group:ops@example.com", "group:dev@example.com"
	for _, c := range []struct {
		name           string
		analyzed, live []object
		want           string
	}{
		{"unchanged", []object{binding("roles/a", self, mine)}, []object{binding("roles/a", self, mine)}, "roles/a"},
		{"new, in person", []object{binding("roles/x", "", mine)}, []object{binding("roles/a", self, mine)}, "roles/a"},
		{"taken out, in person", []object{binding("roles/a", self, mine)}, []object{binding("roles/a", self, "user:ben@example.com")}, ""},
		{"binding removed", []object{binding("roles/a", self, mine)}, nil, ""},
		{"through a group", []object{binding("roles/a", self, ops)}, []object{binding("roles/a", self, ops)}, "roles/a"},
		{"through a group, in capitals", []object{binding("roles/a", self, ops)}, []object{binding("roles/a", self, "group:OPS@example.com")}, "roles/a"},
		{"the group is gone", []object{binding("roles/a", self, ops)}, []object{binding("roles/a", self, dev)}, ""},
		{"one of two groups is gone, and which was theirs is not known", []object{binding("roles/a", self, ops, dev)}, []object{binding("roles/a", self, dev)}, ""},
		{"more groups", []object{binding("roles/a", self, ops)}, []object{binding("roles/a", self, dev, ops)}, "roles/a"},
		{"in person and through a group, then only the group is left", []object{binding("roles/a", self, mine, ops)}, []object{binding("roles/a", self, ops)}, ""},
		{"in person under another case", []object{binding("roles/a", self, "user:Ana@example.com")}, []object{binding("roles/a", self, "user:ben@example.com")}, ""},
		{"through a domain", []object{binding("roles/a", self, "domain:example.com")}, []object{binding("roles/a", self, "domain:example.com")}, "roles/a"},
		{"another marker now", []object{binding("roles/a", self, ops)}, []object{binding("roles/a", peers, ops)}, ""},
		{"another role now", []object{binding("roles/a", self, ops)}, []object{binding("roles/b", self, ops)}, ""},
		{"members that left the company are nobody", []object{binding("roles/a", self, ops, "deleted:user:x@example.com?uid=1")}, []object{binding("roles/a", self, ops)}, "roles/a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, node := range []string{shop, folder} {
				w := newWorld(t)
				w.live[node] = c.live
				var results []any
				for _, b := range c.analyzed {
					results = append(results, result(node, b))
				}
				w.persons[mine] = results
				want := c.want
				q := access.StandingQuery{Principals: []access.Principal{ana}, Since: anew}
				if node == folder && c.name == "new, in person" {
					want = "" // nothing led there
				}
				if s := w.standing(t, q); held(s, ana) != want {
					t.Errorf("%s: holds %q, want %q", node, held(s, ana), want)
				}
			}
		})
	}
}

// A project that Google never showed to be within the scope is none of ours, even if
// the service account can read its policy.
func TestNothingCountsInAProjectThatNoAnalysisIsAbout(t *testing.T) {
	w := newWorld(t)
	w.live[shop] = []object{binding("roles/a", self, "user:ana@example.com")}
	if s := w.standing(t, onlyAna); held(s, ana) != "" {
		t.Errorf("holds %q", held(s, ana))
	}
}

func TestPrepareIsPureAndJudgesThePolicyAboutToBeWritten(t *testing.T) {
	w := newWorld(t)
	w.persons["user:ana@example.com"] = []any{result(shop, binding("roles/a", self, "group:ops@example.com"))}
	judge, err := w.catalog.Prepare(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}, Of: ids("roles/a"), Since: anew})
	if err != nil {
		t.Fatal(err)
	}
	calls := w.Calls("")
	for range 2 {
		if got := held(judge(parse(t, binding("roles/a", self, "group:ops@example.com"))), ana); got != "roles/a" {
			t.Errorf("holds %q", got)
		}
		if got := held(judge(parse(t)), ana); got != "" {
			t.Errorf("holds %q", got)
		}
	}
	if w.Calls("") != calls || w.Calls(shop+":getIamPolicy") != 0 {
		t.Error("judging made calls")
	}
}

// Threats, row 6: what was lost between the view and the decision is lost.
func TestThreat06_AnActionBelievesNoCache(t *testing.T) {
	w := newWorld(t)
	w.persons["user:ana@example.com"] = []any{result(folder, binding("roles/a", self, "user:ana@example.com"))}
	w.live[folder] = []object{binding("roles/a", self, "user:ana@example.com")}
	if s := w.standing(t, onlyAna); held(s, ana) != "roles/a" {
		t.Fatalf("holds %q", held(s, ana))
	}
	w.persons["user:ana@example.com"] = nil
	if s := w.standing(t, access.StandingQuery{Principals: []access.Principal{ana}, Since: w.now}); held(s, ana) != "" {
		t.Errorf("holds %q", held(s, ana))
	}
}

func TestOneActionAsksOnce(t *testing.T) {
	w := newWorld(t)
	b := binding("roles/a", peers, "user:ana@example.com", "user:ben@example.com")
	w.live[folder] = []object{b}
	w.holders = []any{result(folder, b, "user:ana@example.com", "user:ben@example.com")}
	q := access.StandingQuery{Resource: shop, Principals: []access.Principal{ana, ben}, Of: ids("roles/a")}
	for action := 1; action <= 2; action++ {
		q.Since = w.now
		w.pass(time.Millisecond)
		w.standing(t, q)
		if _, err := w.catalog.Prepare(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		w.asked(t, action)
		if got := w.Calls(folder + ":getIamPolicy"); got != action {
			t.Errorf("%d reads of the folder", got)
		}
		w.pass(time.Second)
	}
}

func TestNodeThatMayNotBeReadIsMarked(t *testing.T) {
	w := newWorld(t)
	delete(w.live, folder)
	w.persons["user:ana@example.com"] = []any{result(folder, binding("roles/a", self, "user:ana@example.com"))}
	s := w.standing(t, access.StandingQuery{Principals: []access.Principal{ana}, Since: anew})
	if held(s, ana) != "roles/a?" || codes(s) != "inventory-only" {
		t.Errorf("holds %q, warns %v", held(s, ana), s.Warnings)
	}
}

func TestUpstreamFailures(t *testing.T) {
	for status, want := range map[int]access.Code{403: access.CodeServiceNotAllowed, 404: access.CodeUnknownResource, 429: access.CodeAnalysisQuota,
		500: access.CodeUpstreamFailed, 503: access.CodeUpstreamFailed, 504: access.CodeUpstreamTimeout} {
		w := newWorld(t)
		w.refuse = func(url.Values) int { return status }
		_, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}})
		if e := access.AsError(err); e == nil || e.Code != want {
			t.Errorf("%d: %v, want %s", status, err, want)
		}
		if _, _, err := w.catalog.Resources(t.Context(), ana); err == nil {
			t.Errorf("%d: projects are listed", status)
		}
	}
}

func TestWithoutQuotaTheLastAnswerServesForFiveMinutes(t *testing.T) {
	w := newWorld(t)
	w.persons["user:ana@example.com"] = []any{result(folder, binding("roles/a", self, "user:ana@example.com"))}
	w.standing(t, onlyAna)
	w.refuse = func(url.Values) int { return 429 }
	w.pass(4 * time.Minute)
	if s := w.standing(t, onlyAna); held(s, ana) != "roles/a" || codes(s) != "stale-inventory" || s.Warnings[0].Args["seconds"] != "240" {
		t.Errorf("holds %q, warns %v", held(s, ana), s.Warnings)
	}
	w.pass(2 * time.Minute)
	if _, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}}); access.AsError(err).Code != access.CodeAnalysisQuota {
		t.Errorf("an answer of six minutes served: %v", err)
	}
}

// Google calls a query invalid when it does not know the person. JIT Access 1.x
// believed that of every such answer, and showed an empty page for a wrong scope.
func TestABadScopeIsNotHidden(t *testing.T) {
	of := func(q url.Values) (identity, resource string) {
		return q.Get("analysisQuery.identitySelector.identity"), q.Get("analysisQuery.resourceSelector.fullResourceName")
	}
	for _, c := range []struct {
		name           string
		refuse         func(q url.Values) int
		page, projects access.Code
		asked          int
	}{
		{"an unknown person", func(q url.Values) int {
			if identity, _ := of(q); identity != "" {
				return 400
			}
			return 0
		}, "", "", 3},
		{"a bad scope", func(url.Values) int { return 400 }, access.CodeScopeRefused, access.CodeScopeRefused, 2},
		{"a project outside of the scope", func(q url.Values) int {
			if _, resource := of(q); resource == prefix+shop {
				return 400
			}
			return 0
		}, access.CodeUnknownResource, "", 3},
		{"a scope that may not be asked about", func(q url.Values) int {
			if identity, _ := of(q); identity != "" {
				return 400
			}
			return 403
		}, access.CodeServiceNotAllowed, access.CodeServiceNotAllowed, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.refuse = c.refuse
			s, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}})
			if code(err) != c.page || held(s, ana) != "" {
				t.Errorf("page: %v, holds %q", err, held(s, ana))
			}
			w.asked(t, c.asked)
			found, _, err := w.catalog.Resources(t.Context(), ana)
			if code(err) != c.projects || len(found) != 0 {
				t.Errorf("projects: %v, %v", found, err)
			}
		})
	}
}

func code(err error) access.Code {
	if err == nil {
		return ""
	}
	return access.AsError(err).Code
}

// Who has spent their own part of the quota sees what was known, and does nothing that
// rests on it: that would be a way to keep what was lost. Others go on.
func TestNobodyKeepsAnEligibilityBySpendingTheirPart(t *testing.T) {
	w := newWorld(t)
	w.live[folder] = []object{binding("roles/a", self, "group:ops@example.com")}
	w.persons["user:ana@example.com"] = []any{result(folder, binding("roles/a", self, "group:ops@example.com"), "user:ana@example.com")}
	act := access.WithPerson(access.WithPurpose(t.Context(), access.ForAction), ana)
	q := access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}, Since: w.now}
	if s, err := w.catalog.Standing(act, q); err != nil || held(s, ana) != "roles/a" {
		t.Fatalf("holds %q, %v", held(s, ana), err)
	}
	w.persons["user:ana@example.com"] = nil // she has left the group
	for n := range 40 {
		w.pass(time.Millisecond)
		q.Principals, q.Since = []access.Principal{access.Principal(fmt.Sprintf("somebody%d@example.com", n))}, w.clock()
		w.catalog.Standing(act, q)
	}
	w.pass(time.Millisecond)
	q.Principals, q.Since = []access.Principal{ana}, w.clock()
	if s, err := w.catalog.Standing(act, q); access.AsError(err) == nil || access.AsError(err).Kind != access.TooMany {
		t.Errorf("an action: holds %q, %v", held(s, ana), err)
	}
	others := access.WithPerson(act, ben)
	if s, err := w.catalog.Standing(others, q); err != nil || held(s, ana) != "" || codes(s) != "" {
		t.Errorf("somebody else's: holds %q, %v, %v", held(s, ana), codes(s), err)
	}
}
