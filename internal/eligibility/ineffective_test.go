package eligibility_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
)

// told are the entries of the list, as "role member code meant".
func told(t table) []string {
	var all []string
	for _, i := range t.ineffective {
		line := strings.Join([]string{i.Role, i.Member, string(i.Why.Code), i.Why.Args["meant"]}, " ")
		if i.Node != shop || (i.Member == "") != (i.Expression != "") {
			line += fmt.Sprintf(" at %q of %q", i.Node, i.Expression)
		}
		all = append(all, line)
	}
	return all
}

func TestWhatMakesNobodyEligibleIsTold(t *testing.T) {
	table := read(t,
		binding("roles/good", self, "user:ana@example.com", "group:ops@example.com"),
		binding("roles/other", `resource.type == "x"`, "serviceAccount:x@shop.iam.gserviceaccount.com"),
		binding("roles/slip", "has({}.jitAccessContraint)", "user:ana@example.com", "domain:example.com"),
		binding("roles/always", "!"+self, "user:ana@example.com"),
		binding("roles/broken", self+" && (", "user:ana@example.com"),
		binding("roles/owner", self, "user:ana@example.com"),
		binding("roles/members", peers, "user:ana@example.com", "domain:example.com", "allUsers", "allAuthenticatedUsers", "serviceAccount:x@shop.iam.gserviceaccount.com",
			"principal://iam.googleapis.com/locations/global/workforcePools/p/subject/s", "principalSet://goog/public:all", "deleted:user:ben@example.com?uid=1",
			"deleted:group:ops@example.com?uid=1", "user:x@shop.iam.gserviceaccount.com", "user:two@@example.com", "projectOwner:shop", "nonsense"),
		binding("roles/past", self+` && request.time < timestamp("2020-01-01T00:00:00Z")`, "user:ana@example.com"),
		binding("roles/ahead", self+` && request.time >= timestamp("2030-01-01T00:00:00Z")`, "user:ana@example.com"))
	want := []string{
		"roles/slip  marker-misspelled " + self,
		"roles/always  marker-misplaced " + self,
		"roles/always  marker-grants ",
		"roles/broken  not-understood ",
		"roles/owner  basic-role ",
		"roles/members domain:example.com member-domain ",
		"roles/members allUsers member-everybody ",
		"roles/members allAuthenticatedUsers member-everybody ",
		"roles/members serviceAccount:x@shop.iam.gserviceaccount.com member-nobody ",
		"roles/members principal://iam.googleapis.com/locations/global/workforcePools/p/subject/s member-nobody ",
		"roles/members principalSet://goog/public:all member-nobody ",
		"roles/members deleted:user:ben@example.com?uid=1 member-deleted ",
		"roles/members deleted:group:ops@example.com?uid=1 member-deleted ",
		"roles/members user:x@shop.iam.gserviceaccount.com member-nobody ",
		"roles/members user:two@@example.com member-misspelled ",
		"roles/members projectOwner:shop member-nobody ",
		"roles/members nonsense member-misspelled ",
		"roles/past  eligibility-over ",
		"roles/ahead  eligibility-ahead ",
	}
	if got := told(table); !slices.Equal(got, want) {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var roles []access.Role
	for _, e := range table.Holdings(ana, []string{"ops@example.com"}) {
		roles = append(roles, e.ID.Role)
	}
	if want := []access.Role{"roles/good", "roles/members"}; !slices.Equal(roles, want) {
		t.Errorf("ana holds %v", roles)
	}
	if missed := table.Missed(ana, nil); len(missed) != 2 || missed[0].ID.Role != "roles/slip" || missed[1].ID.Role != "roles/always" {
		t.Errorf("ana misses %+v", missed)
	}
	if missed := table.Missed("ben@example.com", nil); len(missed) != 0 {
		t.Errorf("ben misses %+v", missed)
	}
}

// The same list, whichever bindings surround what is wrong.
func TestWhatIsGoodIsNotTold(t *testing.T) {
	table := read(t,
		binding("roles/a", self+" && "+peers, "user:ana@example.com"),
		binding("roles/b", peersOf("dba-oncall")+` && resource.name == "x"`, "group:ops@example.com"),
		binding("roles/c", reviewer, "user:o'neil@example.com"),
		binding("roles/d", self+` && request.time < timestamp("2030-01-01T00:00:00Z")`, "user:ana@example.com"),
		binding("roles/e", `(request.time >= timestamp("2026-01-01T00:00:00Z") && request.time < timestamp("2026-01-01T01:00:00Z"))`, "deleted:user:ana@example.com?uid=1"),
		binding("roles/f", "", "allUsers"))
	if got := told(table); len(got) > 0 {
		t.Errorf("told: %q", got)
	}
}

// An activation of ours of a role whose resource condition speaks of a marker is no
// eligibility that somebody wrote badly.
func TestGrantsOfOursAreNotTold(t *testing.T) {
	b := binding("roles/a", `((request.time >= timestamp("2026-01-01T00:00:00Z") && request.time < timestamp("2026-01-01T01:00:00Z"))) && (`+external+`)`, "user:ana@example.com")
	b["condition"].(map[string]string)["title"] = "JIT access activation"
	if table := read(t, b); len(table.ineffective) > 0 || len(table.Missed(ana, nil)) > 0 {
		t.Errorf("told: %q", told(table))
	}
}

func TestAnEligibilityEndsByItsOwnCondition(t *testing.T) {
	const ends = `request.time < timestamp("2026-03-02T10:00:00Z")`
	table := read(t,
		binding("roles/a", self+" && "+ends, "user:ana@example.com"),
		binding("roles/b", self+` && `+ends+` && request.time.getHours("Europe/Berlin") < 18`, "user:ana@example.com"),
		binding("roles/c", self, "user:ana@example.com"))
	held := table.Holdings(ana, nil)
	until := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	if len(held) != 3 || !held[0].Until.Equal(until) || held[0].Unclear || !held[1].Until.Equal(until) || !held[1].Unclear ||
		!held[2].Until.IsZero() || held[2].Unclear {
		t.Errorf("holds %+v", held)
	}
	if len(held) > 0 && held[0].ID != id("roles/a", ends) {
		t.Errorf("the id, which links carry, is %v", held[0].ID)
	}
}

// The rows of a policy file: people of a domain, and one role in several ways that end
// at different times.
func TestRowsThatNoIAMPolicyHolds(t *testing.T) {
	site := access.EntitlementID{Resource: "pomerium/intranet", Role: "roles/access"}
	row := func(kind eligibility.Kind, until time.Time, members ...string) eligibility.Row {
		return eligibility.Row{ID: site, Kind: kind, Members: members, Node: site.Resource, Window: access.Window{End: until}}
	}
	table, over := eligibility.New([]eligibility.Row{
		row(eligibility.PeerApproval, now.Add(time.Hour), "domain:example.com"),
		row(eligibility.PeerApproval, now.Add(2*time.Hour), "user:ana@example.com"),
		row(eligibility.Reviewer, time.Time{}, "group:leads@example.com"),
		row(eligibility.SelfApproval, now, "user:ana@example.com"),
	}, now)
	if len(over) != 1 || over[0].Why.Code != access.CodeEligibilityOver {
		t.Errorf("over: %+v", over)
	}
	held := table.Holdings(ana, nil)
	if len(held) != 1 || held[0].SelfApproval || !held[0].PeerApproval || !held[0].Until.Equal(now.Add(2*time.Hour)) {
		t.Errorf("ana holds %+v", held)
	}
	if held := table.Holdings("eve@other.test", nil); len(held) > 0 {
		t.Errorf("somebody of another domain holds %+v", held)
	}
	if held := table.Holdings("eve@example.com", []string{"leads@example.com"}); len(held) != 1 || !held[0].MayReview || !held[0].Until.Equal(now.Add(time.Hour)) {
		t.Errorf("eve holds %+v", held)
	}
}
