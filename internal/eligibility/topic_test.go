package eligibility_test

import (
	"slices"
	"testing"

	"jitaccess/internal/access"
)

const (
	external = "has({}.externalApprovalConstraint)"
	reviewer = "has({}.reviewerPrivilege)"
)

func peersOf(topic string) string    { return "has({}.multiPartyApprovalConstraint." + topic + ")" }
func externalOf(topic string) string { return "has({}.externalApprovalConstraint." + topic + ")" }
func reviewerOf(topic string) string { return "has({}.reviewerPrivilege." + topic + ")" }

// Appendix B: who may request, who may review, and whose requests.
func TestTopicsAndExplicitReviewers(t *testing.T) {
	const ben = access.Principal("ben@example.com")
	for _, c := range []struct {
		name string
		// What ana and ben hold.
		ana, ben string
		// Whether ana may request at all, and whether ben may approve what she does.
		request, approve bool
	}{
		{"peers", peers, peers, true, true},
		{"peers of one topic", peersOf("dba"), peersOf("DBA"), true, true},
		{"peers of different topics", peersOf("dba"), peersOf("net"), true, false},
		{"a peer without a topic reviews all topics", peersOf("dba"), peers, true, true},
		{"a peer with a topic does not review what has none", peers, peersOf("dba"), true, false},
		{"a reviewer for peers", peers, reviewer, true, true},
		{"a reviewer without a topic", peersOf("dba"), reviewer, true, true},
		{"a reviewer of the topic", peersOf("dba"), reviewerOf("dba"), true, true},
		{"a reviewer of another topic", peersOf("dba"), reviewerOf("net"), true, false},
		{"a reviewer with a topic, of what has none", peers, reviewerOf("dba"), true, false},
		{"external", external, reviewer, true, true},
		{"external, topics alike", externalOf("dba-oncall"), reviewerOf("dba-oncall"), true, true},
		{"external, topics differ", externalOf("dba"), reviewerOf("net"), true, false},
		{"external, reviewer without a topic", externalOf("dba"), reviewer, true, true},
		{"who may only request reviews nothing", external, external, true, false},
		{"who may only request reviews no peers", peers, external, true, false},
		{"peers do not approve what is external", external, peers, true, false},
		{"who may only review requests nothing", reviewer, reviewer, false, false},
		{"self-approval reviews nothing", peers, self, true, false},
		{"self-approval needs no reviewer", self, reviewer, false, false},
		{"another resource condition", peersOf("dba") + ` && resource.name == "x"`, reviewerOf("dba"), true, false},
		{"the same resource condition, spelled otherwise", peersOf("dba") + ` && resource.name == "x"`, `resource.name=='x' && ` + reviewerOf("dba"), true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := read(t, binding("roles/a", c.ana, "user:ana@example.com"), binding("roles/a", c.ben, "user:ben@example.com"),
				binding("roles/b", reviewer, "user:of-another-role@example.com"))
			if len(table.Warnings) > 0 {
				t.Fatalf("warns: %v", table.Warnings)
			}
			asks := table.Holdings(ana, nil)[0]
			if asks.PeerApproval != c.request {
				t.Errorf("ana holds %+v", asks)
			}
			s := access.Standing{Holdings: map[access.Principal][]access.Entitlement{ana: {asks}, ben: table.Holdings(ben, nil)}}
			if got := s.MayReview(ben, ana, asks.ID); got != c.approve {
				t.Errorf("ben holds %+v and may review for %+v: %v", s.Holdings[ben], asks, got)
			}
			offered := table.Reviewers(asks.ID, nil, asks)
			if slices.Contains(offered, ben) != c.approve || slices.Contains(offered, "of-another-role@example.com") {
				t.Errorf("offered %q", offered)
			}
		})
	}
}

// The ids of JIT Access 1.x have no topic, so one role under two is one entitlement:
// whoever reviews one of them may approve.
func TestOneRoleUnderSeveralTopicsIsOneEntitlement(t *testing.T) {
	table := read(t,
		binding("roles/a", peersOf("net"), "group:ops@example.com"), binding("roles/a", externalOf("dba"), "user:ana@example.com"),
		binding("roles/a", externalOf("dba"), "user:ANA@example.com"),
		binding("roles/a", reviewerOf("dba"), "user:dba@example.com"), binding("roles/a", reviewerOf("sec"), "user:sec@example.com"),
		binding("roles/a", peersOf("net"), "user:net@example.com"), binding("roles/a", peersOf("dba"), "user:peer@example.com"))
	held := table.Holdings(ana, []string{"ops@example.com"})
	want := []access.Approval{{Topic: "net"}, {Topic: "dba", External: true}}
	if len(held) != 1 || !slices.Equal(held[0].Requests, want) || !slices.Equal(held[0].Reviews, want[:1]) {
		t.Fatalf("holds %+v", held)
	}
	if got, want := table.Reviewers(held[0].ID, nil, held[0]), []access.Principal{"dba@example.com", "net@example.com"}; !slices.Equal(got, want) {
		t.Errorf("reviewers %q, want %q", got, want)
	}
	if got := table.Reviewers(held[0].ID, nil, access.Entitlement{}); len(got) != 0 {
		t.Errorf("reviewers of who holds nothing: %q", got)
	}
}

func TestAMarkerThatCannotBeUnderstoodIsAWarning(t *testing.T) {
	for _, expression := range []string{"has({}.reviewerPrivilege.a.b)", "has({}.externalApprovalConstraint._a)", external + " && " + reviewer} {
		table := read(t, binding("roles/a", expression, "user:ana@example.com"))
		if len(table.Warnings) != 1 || len(table.Holdings(ana, nil)) != 0 {
			t.Errorf("%s: %v, holds %v", expression, table.Warnings, table.Holdings(ana, nil))
		}
	}
}
