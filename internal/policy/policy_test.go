package policy_test

import (
	"regexp"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/policy"
)

func TestTermsFollowTheMarker(t *testing.T) {
	i := policy.Instance{MaxDuration: time.Hour, MinReviewers: 2, MaxReviewers: 5}
	id := access.EntitlementID{Resource: "projects/p", Role: "roles/r"}
	if got, want := i.Of(id, true), (access.Terms{MaxDuration: time.Hour}); got != want {
		t.Errorf("self-approval: %+v, want %+v", got, want)
	}
	if got, want := i.Of(id, false), (access.Terms{Approvals: 1, MinReviewers: 2, MaxReviewers: 5, MaxDuration: time.Hour}); got != want {
		t.Errorf("peer approval: %+v, want %+v", got, want)
	}
}

func TestJustificationMatchesAsAWhole(t *testing.T) {
	tests := []struct {
		pattern, text string
		want          bool
	}{
		{`.*`, "anything", true},
		{`\d+`, "42", true},
		{`\d+`, "case 42", false},
		{`\d+`, "42 now", false},
		{`^\d+$`, "42", true},
		// The first alternative that matches is not the one that matches all.
		{`a|ab`, "ab", true},
		{`(b/\d+)|(case-\d+)`, "case-7", true},
		{`\d+?`, "42", true},
	}
	for _, test := range tests {
		i := policy.Instance{Justification: regexp.MustCompile(test.pattern), JustificationHint: "a number"}
		err := i.CheckJustification(test.text)
		if (err == nil) != test.want {
			t.Errorf("%s on %q: %v, want accepted: %v", test.pattern, test.text, err, test.want)
		}
		if e := access.AsError(err); e != nil && (e.Kind != access.Invalid || e.Args["hint"] != "a number") {
			t.Errorf("%v", e)
		}
	}
}
