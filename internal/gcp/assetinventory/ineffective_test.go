package assetinventory_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/gcptest"
)

// told are the entries of a standing's list, as "node role member code".
func told(s access.Standing) []string {
	var all []string
	for _, i := range s.Ineffective {
		all = append(all, strings.Join([]string{string(i.Node), i.Role, i.Member, string(i.Why.Code)}, " "))
	}
	slices.Sort(all)
	return all
}

// Whoever opens a project hears that something there could not be read; only who may
// have lost by it hears of what was written with a slip. Neither is told by name.
func TestStrangersAreWarnedOfWhatNobodyCanRead(t *testing.T) {
	for name, bindings := range map[string][]map[string]any{
		"on the project": {binding("roles/a", self+" && (", "user:ana@example.com")},
		"beside others":  {binding("roles/a", self+" && (", "user:ana@example.com"), binding("roles/b", self, "user:ben@example.com")},
	} {
		w := newWorld(t)
		w.both(shop, bindings...)
		if s := w.standing(t, access.StandingQuery{Principals: []access.Principal{"stranger@example.com"}}); codes(s) != "unreadable-binding" {
			t.Errorf("%s: %v", name, s.Warnings)
		}
		w = newWorld(t)
		w.both(folder, bindings...)
		if s := w.standing(t, access.StandingQuery{Principals: []access.Principal{"stranger@example.com"}}); codes(s) != "unreadable-binding" {
			t.Errorf("%s, on the folder: %v", name, s.Warnings)
		}
	}
}

func TestWhoeverWasMeantHearsOfASlip(t *testing.T) {
	w := newWorld(t)
	w.both(shop, binding("roles/a", "has({}.jitAccessContraint)", "user:ana@example.com", "group:ops@example.com"))
	w.groups["ben@example.com"] = []string{"ops@example.com"}
	for person, want := range map[access.Principal]string{ana: "unreadable-binding", ben: "unreadable-binding", "eve@example.com": ""} {
		s := w.standing(t, access.StandingQuery{Principals: []access.Principal{person}})
		if codes(s) != want || !slices.Equal(told(s), []string{"projects/shop roles/a  marker-misspelled"}) {
			t.Errorf("%s: %v, told %q", person, s.Warnings, told(s))
		}
	}
}

// A group counts by its own people. What else is in it is told, once for each group.
func TestGroupsWithinGroups(t *testing.T) {
	w := newWorld(t)
	w.both(shop, binding("roles/a", peers, "user:ana@example.com", "group:ops@example.com"), binding("roles/b", peers, "group:ops@example.com", "group:all@example.com"))
	w.instead["/ops%40example.com/members"] = func(rw http.ResponseWriter, _ *http.Request) {
		gcptest.Answer(rw, map[string]any{"members": []any{
			map[string]any{"type": "GROUP", "email": "dev@example.com"}, map[string]any{"type": "GROUP", "email": "sre@example.com"}}})
	}
	w.instead["/all%40example.com/members"] = func(rw http.ResponseWriter, _ *http.Request) {
		gcptest.Answer(rw, map[string]any{"members": []any{map[string]any{"type": "CUSTOMER", "id": "C0123"},
			map[string]any{"type": "USER", "email": "partner@other.test"}}})
	}
	want := []string{"projects/shop roles/a group:ops@example.com groups-in-group", "projects/shop roles/b group:all@example.com everybody-in-group"}
	s, err := w.catalog.Standing(t.Context(), access.StandingQuery{Resource: shop, Everybody: true})
	if err != nil || !slices.Equal(told(s), want) || codes(s) != "" {
		t.Errorf("told %q, %v, %v", told(s), s.Warnings, err)
	}
	if held(s, "partner@other.test") != "roles/b" {
		t.Errorf("somebody of another domain holds %q", held(s, "partner@other.test"))
	}
	for _, i := range s.Ineffective {
		if i.Why.Code == access.CodeGroupsInGroup && (i.Why.Args["count"] != "2" || i.Why.Args["catalog"] != "PolicyAnalyzer" || i.Why.Args["group"] != "ops@example.com") {
			t.Errorf("told %v", i.Why.Args)
		}
	}
	// Who looks for reviewers hears why there are so few.
	id := access.EntitlementID{Resource: shop, Role: "roles/a"}
	s = w.standing(t, access.StandingQuery{Principals: []access.Principal{ana}, ReviewersOf: []access.EntitlementID{id}})
	if codes(s) != "groups-in-group" || !slices.Equal(s.Reviewers[id], []access.Principal{ana}) {
		t.Errorf("%v, reviewed by %v", s.Warnings, s.Reviewers)
	}
}

func TestADomainMeansNobodyHere(t *testing.T) {
	w := newWorld(t)
	w.both(shop, binding("roles/a", self, "domain:example.com"))
	s := w.standing(t, access.StandingQuery{Principals: []access.Principal{ana}})
	if held(s, ana) != "" || !slices.Equal(told(s), []string{"projects/shop roles/a domain:example.com member-domain"}) {
		t.Errorf("holds %q, told %q", held(s, ana), told(s))
	}
}

// Rules of time that are not understood are told to whom they concern.
func TestARuleOfTimeThatIsNotUnderstoodIsAWarning(t *testing.T) {
	w := newWorld(t)
	w.both(shop, binding("roles/a", self+` && request.time.getHours("Europe/Berlin") < 18`, "user:ana@example.com"))
	for person, want := range map[access.Principal]string{ana: "time-unclear", ben: ""} {
		if s := w.standing(t, access.StandingQuery{Principals: []access.Principal{person}}); codes(s) != want {
			t.Errorf("%s: %v", person, s.Warnings)
		}
	}
}
