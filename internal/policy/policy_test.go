package policy_test

import (
	"reflect"
	"regexp"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/policy"
)

func TestTermsFollowTheMarker(t *testing.T) {
	i := policy.New(policy.Settings{MaxDuration: time.Hour, DefaultDuration: 2 * time.Hour, MinReviewers: 2, MaxReviewers: 5, MaxRoles: 7,
		RequestTimeout: 3 * time.Hour, Justification: regexp.MustCompile(`.*`), JustificationHint: "a ticket"})
	terms := func(kind access.RequestKind) access.Terms {
		got, _, err := i.Terms(access.Subject{Entitlement: access.EntitlementID{Resource: "projects/p", Role: "roles/r"}, Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		if got.Hint != "a ticket" || len(got.Justification) != 1 || got.Justification[0].Message != "a ticket" {
			t.Errorf("%s: %+v", kind, got)
		}
		got.Hint, got.Justification = "", nil
		return got
	}
	alone := access.Terms{MaxDuration: time.Hour, DefaultDuration: time.Hour, RequestLife: 3 * time.Hour, MaxRoles: 7}
	if got := terms(access.Self); !reflect.DeepEqual(got, alone) || got.Approvals() != 0 {
		t.Errorf("self-approval: %+v, want %+v", got, alone)
	}
	peers := alone
	peers.Requirements = []access.Requirement{{Count: 1, From: []string{access.FromPeers}}}
	peers.MinReviewers, peers.MaxReviewers, peers.StartWithin = 2, 5, 24*time.Hour
	if got := terms(access.Peers); !reflect.DeepEqual(got, peers) || got.Approvals() != 1 {
		t.Errorf("peer approval: %+v, want %+v", got, peers)
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
		i := policy.New(policy.Settings{Justification: regexp.MustCompile(test.pattern), JustificationHint: "a number"})
		for _, kind := range []access.RequestKind{access.Self, access.Peers} {
			terms, _, _ := i.Terms(access.Subject{Kind: kind})
			if rule := terms.Justification[0]; rule.Pattern.MatchString(test.text) != test.want || rule.Message != "a number" {
				t.Errorf("%s on %q, want accepted: %v, else %q", test.pattern, test.text, test.want, rule.Message)
			}
		}
	}
}
