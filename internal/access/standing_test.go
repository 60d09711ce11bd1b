package access_test

import (
	"testing"

	"jitaccess/internal/access"
)

// What could not be asked is no reason to call somebody not eligible; what is
// missing for good is no reason to have them wait.
func TestNotHeldTellsWhatCouldNotBeAsked(t *testing.T) {
	refusal := &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible}
	for _, c := range []struct {
		kind   access.Kind
		code   access.Code
		unsure bool
	}{
		{access.TooMany, access.CodeQuota, true},
		{access.TooMany, access.CodeAnalysisQuota, true},
		{access.Unavailable, access.CodeUpstreamFailed, true},
		{access.TimedOut, access.CodeUpstreamTimeout, true},
		{access.TimedOut, access.CodeDeadline, true},
		{access.Upstream, access.CodeServiceNotAllowed, true},
		{access.Unavailable, access.CodeAnalysisPartial, true},
		{access.Unprocessable, access.CodeAnalysisPartial, false},
		{access.Unprocessable, access.CodeUnreadableBinding, false},
		{access.TooMany, access.CodeStaleInventory, false},
		{access.TooMany, access.CodeStaleGroups, true},
	} {
		warning := &access.Error{Kind: c.kind, Code: c.code}
		want := refusal
		if c.unsure {
			want = warning
		}
		if got := (access.Standing{Warnings: []*access.Error{warning}}).NotHeld(refusal); got != want {
			t.Errorf("%s of kind %v: %v", c.code, c.kind, got)
		}
	}
}
