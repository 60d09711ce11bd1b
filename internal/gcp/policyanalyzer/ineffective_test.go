package policyanalyzer_test

import (
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/access"
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

// Google says nothing of a stranger; that a binding of the project cannot be read by
// anybody stands in its policy.
func TestStrangersAreWarnedOfWhatNobodyCanRead(t *testing.T) {
	w := newWorld(t)
	w.live[shop] = []object{binding("roles/a", self+" && (", "user:ana@example.com"), binding("roles/b", self, "user:ben@example.com")}
	s := w.standing(t, access.StandingQuery{Principals: []access.Principal{"stranger@example.com"}})
	if codes(s) != "unreadable-binding" || held(s, "stranger@example.com") != "" {
		t.Errorf("%v, holds %q", s.Warnings, held(s, "stranger@example.com"))
	}
}

// The list is of the policy as it is written, whoever asks. Policy Analyzer knows who
// is in a domain, so that one counts.
func TestWhatMakesNobodyEligibleIsTold(t *testing.T) {
	w := newWorld(t)
	slip := binding("roles/a", "has({}.jitAccessContraint)", "user:ana@example.com")
	w.live[shop] = []object{slip, binding("roles/b", self, "domain:example.com", "serviceAccount:x@shop.iam.gserviceaccount.com", "user:ana@example.com")}
	w.persons["user:ana@example.com"] = []any{result(shop, slip, "user:ana@example.com"),
		result(folder, binding("roles/c", "("+self+")", "group:ops@example.com"), "user:ana@example.com")}
	want := []string{"projects/shop roles/a  marker-misspelled", "projects/shop roles/b serviceAccount:x@shop.iam.gserviceaccount.com member-nobody"}
	for _, person := range []access.Principal{ana, ben} {
		s := w.standing(t, access.StandingQuery{Principals: []access.Principal{person}})
		got := told(s)
		if person == ana {
			if !slices.Contains(got, "folders/7 roles/c  marker-misplaced") || strings.Count(codes(s), "unreadable-binding") != 2 {
				t.Errorf("%s: told %q, %v", person, got, s.Warnings)
			}
			got = slices.DeleteFunc(got, func(line string) bool { return strings.HasPrefix(line, folder) })
		} else if codes(s) != "" {
			t.Errorf("%s: %v", person, s.Warnings)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: told %q, want %q", person, got, want)
		}
	}
}
