package condition_test

import (
	"fmt"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
	"jitaccess/internal/gcp/condition"
)

// doubtsOf are the codes of what is wrong with a condition, and what was meant.
func doubtsOf(t testing.TB, expression string) (codes []access.Code, meant string) {
	t.Helper()
	found, err := condition.ParseEligibility(expression)
	if err != nil {
		t.Fatalf("%q is not understood at all: %v", expression, err)
	}
	for _, d := range condition.Doubts(expression, found) {
		codes = append(codes, d.Code)
		if d.Args["meant"] != "" {
			meant = d.Args["meant"]
		}
	}
	return codes, meant
}

func TestDoubts(t *testing.T) {
	const misspelled, misplaced, grants, parts = access.CodeMarkerMisspelled, access.CodeMarkerMisplaced, access.CodeMarkerGrants, access.CodeMarkerGrantsParts
	for _, c := range []struct {
		name, expression, meant string
		codes                   []access.Code
	}{
		{"no marker", `resource.name.startsWith("projects/_/buckets/constraints")`, "", nil},
		{"nothing", "", "", nil},
		{"not CEL", "((", "", nil},
		{"a marker", self, "", nil},
		{"a marker with a resource", peer + ` && resource.name == "x"`, "", nil},
		{"both markers", self + " && " + peer, "", nil},
		{"a topic", "has({}.reviewerPrivilege.dba)", "", nil},
		{"a topic with a hyphen", "has({}.reviewerPrivilege.dba-oncall)", "", nil},
		{"a window", `(request.time >= timestamp("2026-01-01T00:00:00Z") && request.time < timestamp("2026-01-01T01:00:00Z"))`, "", nil},

		{"a letter is missing", "has({}.jitAccessContraint)", self, []access.Code{misspelled}},
		{"a letter is missing, with a resource", "has({}.jitAccessContraint) && a", self + " && a", []access.Code{misspelled}},
		{"the plural", "has({}.jitAccessConstraints)", self, []access.Code{misspelled}},
		{"underscores", "has({}.multi_party_approval_constraint)", peer, []access.Code{misspelled}},
		{"a part of the name", "has({}.externalApproval)", "has({}.externalApprovalConstraint)", []access.Code{misspelled}},
		{"of a reviewer, with a topic", "has({}.reviewerPriviledge.dba) && a", "has({}.reviewerPrivilege.dba) && a", []access.Code{misspelled}},
		{"without has", "jitAcessConstraint", self, []access.Code{misspelled, parts}},

		{"in parentheses", "(" + self + ")", self, []access.Code{misplaced}},
		{"in parentheses with a clause", "(" + self + " && (a || b))", self + " && (a || b)", []access.Code{misplaced}},
		{"an alternative", "a || " + self, self, []access.Code{misplaced, parts}},
		{"the first alternative", self + " || a", self, []access.Code{misplaced, parts}},
		{"negated", "!" + self, self, []access.Code{misplaced, grants}},
		{"negated, with a clause", "a && !" + self, self, []access.Code{misplaced, parts}},
		{"compared", self + " == true", self, []access.Code{misplaced}},
		{"compared the other way", self + " == false", self, []access.Code{misplaced, grants}},
		{"chosen", self + " ? a : true", self, []access.Code{misplaced, grants}},
		{"or always", self + " || true", self, []access.Code{misplaced, grants}},
		{"self-approval has no topics", "has({}.jitAccessConstraint.dba)", self, []access.Code{misplaced}},
		{"not on an empty map", "has(resource.jitAccessConstraint)", self, []access.Code{misplaced, parts}},
		{"by index", `has({}["jitAccessConstraint"])`, self, []access.Code{misplaced}},
		{"another function", "had({}.jitAccessConstraint) && a", self + " && a", []access.Code{misplaced, parts}},
		{"a string", `a == "` + self + `"`, self, []access.Code{misplaced, parts}},
		{"a comment", "a // && " + self, self, []access.Code{misplaced, parts}},

		// It counts, and gives more than it seems to.
		{"alternatives beside it", self + " && a || b", "", []access.Code{parts}},
		{"always beside it", self + " && a || true", "", []access.Code{grants}},
	} {
		t.Run(c.name, func(t *testing.T) {
			codes, meant := doubtsOf(t, c.expression)
			if fmt.Sprint(codes) != fmt.Sprint(c.codes) || meant != c.meant {
				t.Errorf("%q: %v, meant %q; want %v, %q", c.expression, codes, meant, c.codes, c.meant)
			}
			if meant == "" {
				return
			}
			if found, err := condition.ParseEligibility(meant); err != nil || found.Kind == eligibility.None {
				t.Errorf("%q is proposed, and is no eligibility: %v", meant, err)
			}
		})
	}
}

// Nothing is left unsaid: a condition that gives the role without an activation, and
// speaks of a marker, is told; one that is told to give it always does.
func FuzzDoubts(f *testing.F) {
	for _, seed := range []string{self, "!" + self, self + " || a", self + " && a || b", "(" + self + ") && c", "!(" + self + " && a)", self + " ? a : b",
		self + " == false", "has({}.jitAccessContraint) || !a", "a && (b || !" + peer + ")", "!has({}.reviewerPrivilege.dba)", "has({}.reviewerPrivilege.dba) || true",
		"!(!" + self + ") != true", "!has({}.x)"} {
		f.Add(seed)
	}
	env := environment(f)
	f.Fuzz(func(t *testing.T, expression string) {
		found, err := condition.ParseEligibility(expression)
		if err != nil {
			return
		}
		codes := map[access.Code]bool{}
		for _, d := range condition.Doubts(expression, found) {
			codes[d.Code] = true
		}
		program, err := tryCompile(env, expression)
		if err != nil {
			return
		}
		always, ever := true, false
		for i := range 8 {
			is := evaluate(program, map[string]any{"a": i&1 > 0, "b": i&2 > 0, "c": i&4 > 0, "request": map[string]any{"time": time.Unix(1_772_452_800, 0)}})
			always, ever = always && is, ever || is
		}
		if codes[access.CodeMarkerGrants] && !always {
			t.Errorf("%q is told to give the role at all times, and does not", expression)
		}
		speaks := found.Kind != eligibility.None || codes[access.CodeMarkerMisplaced] || codes[access.CodeMarkerMisspelled]
		if ever && speaks && !codes[access.CodeMarkerGrants] && !codes[access.CodeMarkerGrantsParts] {
			t.Errorf("%q gives the role without an activation, and that is not told: %v", expression, codes)
		}
	})
}
