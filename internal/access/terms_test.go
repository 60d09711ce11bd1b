package access_test

import (
	"reflect"
	"regexp"
	"testing"
	"time"

	"jitaccess/internal/access"
)

func peers(n int) []access.Requirement {
	return []access.Requirement{{Count: n, From: []string{access.FromPeers}}}
}

func TestStrictest(t *testing.T) {
	ticket := access.JustificationRule{Pattern: regexp.MustCompile(`INC-`), Message: "a ticket"}
	again := access.JustificationRule{Pattern: regexp.MustCompile(`INC-`), Message: "a ticket"}
	change := access.JustificationRule{Pattern: regexp.MustCompile(`CHG-`), Message: "a change"}
	from := func(n int, who ...string) access.Requirement { return access.Requirement{Count: n, From: who} }
	for _, c := range []struct {
		rule       string
		a, b, want access.Terms
	}{
		{"of each the one that allows least",
			access.Terms{Requirements: peers(1), MinReviewers: 1, MaxReviewers: 10, MaxDuration: time.Hour},
			access.Terms{Requirements: peers(2), MinReviewers: 3, MaxReviewers: 5, MaxDuration: 2 * time.Hour},
			access.Terms{Requirements: peers(2), MinReviewers: 3, MaxReviewers: 5, MaxDuration: time.Hour}},
		{"times and numbers",
			access.Terms{DefaultDuration: 2, RequestLife: 3, StartWithin: 4, MaxRoles: 5},
			access.Terms{DefaultDuration: 1, RequestLife: 4, StartWithin: 3, MaxRoles: 6},
			access.Terms{DefaultDuration: 1, RequestLife: 3, StartWithin: 3, MaxRoles: 5}},
		{"approvals from the same people are the larger number, from others they add up",
			access.Terms{Requirements: []access.Requirement{from(1, "peers"), from(1, "group:a", "peers")}},
			access.Terms{Requirements: []access.Requirement{from(2, "peers", "group:a"), from(1, "group:b")}},
			access.Terms{Requirements: []access.Requirement{from(1, "peers"), from(2, "group:a", "peers"), from(1, "group:b")}}},
		{"every rule for the reason, each once",
			access.Terms{Justification: []access.JustificationRule{ticket}, Hint: "a number"},
			access.Terms{Justification: []access.JustificationRule{again, change}, Hint: "another"},
			access.Terms{Justification: []access.JustificationRule{ticket, change}, Hint: "a number"}},
		{"what one demands all demand; what one forbids none has",
			access.Terms{Rule: "a", Signature: true, BreakGlass: true},
			access.Terms{Rule: "b", InOrder: true},
			access.Terms{Rule: "a, b", Signature: true, InOrder: true}},
		{"what is needed of approvers adds up",
			access.Terms{ApproverAccessLevels: []string{"corp"}, Signature: true, Keys: access.KeyTerms{Age: 1, SelfEnrolled: true}},
			access.Terms{ApproverAccessLevels: []string{"corp", "lab"}, InheritedOnly: true,
				Signature: true, Keys: access.KeyTerms{Age: 2, DeviceBound: true}},
			access.Terms{ApproverAccessLevels: []string{"corp", "lab"}, InheritedOnly: true,
				Signature: true, Keys: access.KeyTerms{Age: 2, DeviceBound: true}}},
		{"keys that nobody else has approved count where all that demand a signature say so",
			access.Terms{Signature: true, Keys: access.KeyTerms{SelfEnrolled: true}}, access.Terms{},
			access.Terms{Signature: true, Keys: access.KeyTerms{SelfEnrolled: true}}},
		{"of times of which none is without limit, the one there is, or the shorter",
			access.Terms{MaxContinuous: 0, RemindAfter: 5}, access.Terms{MaxContinuous: 7, RemindAfter: 3},
			access.Terms{MaxContinuous: 7, RemindAfter: 3}},
		{"everybody who is to be told is told",
			access.Terms{Notify: []string{"a"}, NotifyOnly: true, Escalations: []access.Escalation{{After: 2, To: []string{"x", "y"}}}},
			access.Terms{Notify: []string{"b"}, Escalations: []access.Escalation{{After: 1, To: []string{"z"}}, {After: 2, To: []string{"y", "x"}}}},
			access.Terms{Notify: []string{"a", "b"}, Escalations: []access.Escalation{{After: 1, To: []string{"z"}}, {After: 2, To: []string{"x", "y"}}}}},
		{"the glass is broken for the shorter time, by those who may in both",
			access.Terms{BreakGlass: true, Glass: access.GlassTerms{Who: []string{"a", "b"}, ReviewBy: []string{"c"}, MaxDuration: 2}},
			access.Terms{BreakGlass: true, Glass: access.GlassTerms{Who: []string{"b", "a"}, ReviewBy: []string{"c"}, MaxDuration: 1}},
			access.Terms{BreakGlass: true, Glass: access.GlassTerms{Who: []string{"a", "b"}, ReviewBy: []string{"c"}, MaxDuration: 1}}},
		{"not at all where they are not the same",
			access.Terms{BreakGlass: true, Glass: access.GlassTerms{Who: []string{"a"}, ReviewBy: []string{"c"}, MaxDuration: 2}},
			access.Terms{BreakGlass: true, Glass: access.GlassTerms{Who: []string{"b"}, ReviewBy: []string{"c"}, MaxDuration: 1}},
			access.Terms{}},
		{"terms of one file, and of two versions of it",
			access.Terms{Rule: "a", Policy: "1"}, access.Terms{Rule: "a", Policy: "1, 2"}, access.Terms{Rule: "a", Policy: "1, 2"}},
		{"a rule is named once", access.Terms{Rule: "a, b"}, access.Terms{Rule: "b"}, access.Terms{Rule: "a, b"}},
		{"a rule beside none", access.Terms{}, access.Terms{Rule: "b"}, access.Terms{Rule: "b"}},
	} {
		if got := access.Strictest(c.a, c.b); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.rule, got, c.want)
		}
	}
	if n := (access.Terms{Requirements: []access.Requirement{from(2, "peers"), from(1, "group:b")}}).Approvals(); n != 3 {
		t.Errorf("%d approvals", n)
	}
}
