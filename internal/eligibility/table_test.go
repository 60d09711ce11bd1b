package eligibility_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
	"jitaccess/internal/gcp/iampolicy"
)

const (
	self  = "has({}.jitAccessConstraint)"
	peers = "has({}.multiPartyApprovalConstraint)"
	shop  = access.Resource("projects/shop")
	ana   = access.Principal("ana@example.com")
)

func binding(role, expression string, members ...string) map[string]any {
	b := map[string]any{"role": role, "members": members}
	if expression != "" {
		b["condition"] = map[string]string{"title": "any", "expression": expression}
	}
	return b
}

func policy(t testing.TB, bindings ...map[string]any) *iampolicy.Policy {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"version": 3, "etag": "e", "bindings": bindings})
	if err != nil {
		t.Fatal(err)
	}
	p, err := new(iampolicy.Policy).Reparse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// node is a resource and its policy.
type node struct {
	Resource    access.Resource
	Policy      *iampolicy.Policy
	Unconfirmed bool
}

// table is what IAM policies say, and what in them makes nobody eligible.
type table struct {
	eligibility.Table
	ineffective []access.Ineffective
	// Warnings are what could not be understood.
	Warnings []*access.Error
}

var now = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

func readNodes(nodes ...node) table {
	var rows []eligibility.Row
	var t table
	for _, n := range nodes {
		more, ineffective := n.Policy.Eligible(shop, n.Resource, n.Unconfirmed)
		rows, t.ineffective = append(rows, more...), append(t.ineffective, ineffective...)
	}
	var over []access.Ineffective
	t.Table, over = eligibility.New(rows, now)
	t.ineffective = append(t.ineffective, over...)
	for _, i := range t.ineffective {
		if i.Why.Code == access.CodeNotUnderstood {
			t.Warnings = append(t.Warnings, i.Warning())
		}
	}
	return t
}

func read(t testing.TB, bindings ...map[string]any) table {
	t.Helper()
	return readNodes(node{Resource: shop, Policy: policy(t, bindings...)})
}

func id(role access.Role, condition string) access.EntitlementID {
	return access.EntitlementID{Resource: shop, Role: role, Condition: condition}
}

func TestMarkersMakeABindingAnEligibility(t *testing.T) {
	for _, c := range []struct {
		name       string
		expression string
		self, peer bool
		condition  string
	}{
		{"no condition", "", false, false, ""},
		{"another condition", `resource.type == "x"`, false, false, ""},
		{"self-approval", self, true, false, ""},
		{"peer approval", peers, false, true, ""},
		{"both in one", self + " && " + peers, true, true, ""},
		{"any case and spaces", "HAS({ }.JITACCESSCONSTRAINT)", true, false, ""},
		{"with a resource condition", self + ` && resource.name=='x'`, true, false, `resource.name == "x"`},
		{"an activation", `(request.time >= timestamp("2026-01-01T00:00:00Z") && request.time < timestamp("2026-01-01T01:00:00Z"))`, false, false, ""},
		{"a condition that is not CEL and not ours", `)(`, false, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := read(t, binding("roles/x.admin", c.expression, "user:ana@example.com"))
			if len(table.Warnings) > 0 {
				t.Errorf("warns: %v", table.Warnings)
			}
			held := table.Holdings(ana, nil)
			if !c.self && !c.peer {
				if len(held) != 0 {
					t.Errorf("holds %v", held)
				}
				return
			}
			if len(held) != 1 || held[0].ID != id("roles/x.admin", c.condition) || held[0].SelfApproval != c.self ||
				held[0].PeerApproval != c.peer || held[0].MayReview != c.peer || !slices.Equal(held[0].Sources, []access.Resource{shop}) {
				t.Errorf("holds %+v", held)
			}
		})
	}
}

func TestMembersThatMatch(t *testing.T) {
	groups := []string{"ops@example.com"}
	for member, want := range map[string]bool{
		"user:ana@example.com":                 true,
		"user:ANA@Example.Com":                 true,
		"group:ops@example.com":                true,
		"group:OPS@example.com":                true,
		"user:ben@example.com":                 false,
		"group:dev@example.com":                false,
		"group:ana@example.com":                false,
		"user:ops@example.com":                 false,
		"domain:example.com":                   false,
		"allUsers":                             false,
		"allAuthenticatedUsers":                false,
		"serviceAccount:ana@example.com":       false,
		"deleted:user:ana@example.com?uid=123": false,
		"deleted:group:ops@example.com?uid=1":  false,
		"user:ana@example.com?uid=123":         false,
		" user:ana@example.com":                false,
		"user: ana@example.com":                false,
		"ana@example.com":                      false,
		"principal://iam.googleapis.com/x":     false,
		"user:":                                false,
		"":                                     false,
	} {
		table := read(t, binding("roles/x.admin", self, member))
		if got := len(table.Holdings(ana, groups)) == 1; got != want {
			t.Errorf("%q: %v, want %v", member, got, want)
		}
	}
}

// KELVIN SIGN lower-cases to k and LATIN SMALL LETTER LONG S upper-cases to S.
func TestThreat07_OnlyASCIIIsFolded(t *testing.T) {
	for member, p := range map[string]access.Principal{
		"user:\u212Aim@example.com":  "kim@example.com",
		"user:ro\u017Fe@example.com": "rose@example.com",
		"group:\u212A@example.com":   "ana@example.com",
	} {
		table := read(t, binding("roles/x.admin", peers, member))
		if held := table.Holdings(p, []string{"k@example.com"}); len(held) > 0 {
			t.Errorf("%q passed for %s", member, p)
		}
		if people := table.Reviewers(id("roles/x.admin", ""), nil); len(people) > 0 {
			t.Errorf("%q became the reviewer %s", member, people)
		}
	}
}

func TestBasicRolesAreNotOffered(t *testing.T) {
	for role, want := range map[string]int{"roles/owner": 0, "roles/editor": 0, "roles/viewer": 0,
		"roles/browser": 1, "roles/compute.viewer": 1, "projects/shop/roles/viewer": 1, "organizations/1/roles/owner": 1} {
		if held := read(t, binding(role, self, "user:ana@example.com")).Holdings(ana, nil); len(held) != want {
			t.Errorf("%s: %v", role, held)
		}
	}
}

func TestOneBadBindingIsAWarning(t *testing.T) {
	table := read(t,
		binding("roles/a", self+" && (((", "user:ana@example.com"),
		binding("roles/b", self, "user:ana@example.com"),
		binding("roles/../c", self, "user:ana@example.com"),
		binding("", self, "user:ana@example.com"),
		binding("roles/d", self+" && "+strings.Repeat("x", 20<<10), "user:ana@example.com"),
		binding("roles/e", peers))
	held := table.Holdings(ana, nil)
	if len(held) != 1 || held[0].ID.Role != "roles/b" {
		t.Errorf("holds %v", held)
	}
	var roles []string
	for _, w := range table.Warnings {
		if w.Code != access.CodeUnreadableBinding || w.Args["resource"] != "projects/shop" {
			t.Errorf("warns %v", w)
		}
		roles = append(roles, w.Args["role"])
	}
	if want := []string{"roles/a", "roles/../c", "", "roles/d"}; !slices.Equal(roles, want) {
		t.Errorf("warns of %q, want %q", roles, want)
	}
}

func TestHeldBothWaysIsOneEntitlement(t *testing.T) {
	folder := access.Resource("folders/7")
	nodes := []node{
		{Resource: shop, Policy: policy(t, binding("roles/a", self, "user:ana@example.com"), binding("roles/a", self, "group:ops@example.com"))},
		{Resource: folder, Policy: policy(t, binding("roles/a", peers, "group:ops@example.com"))},
		{Resource: "organizations/1"},
	}
	held := readNodes(nodes...).Holdings(ana, []string{"ops@example.com"})
	if len(held) != 1 || !held[0].SelfApproval || !held[0].PeerApproval || !held[0].MayReview ||
		!slices.Equal(held[0].Sources, []access.Resource{shop, folder}) {
		t.Errorf("holds %+v", held)
	}
	ways := []access.Way{{Node: shop, Member: "user:ana@example.com"}, {Node: shop, Member: "group:ops@example.com"}, {Node: folder, Member: "group:ops@example.com"}}
	if !slices.Equal(held[0].Ways, ways) {
		t.Errorf("through %v, want %v", held[0].Ways, ways)
	}
}

func TestMembersAreThoseOfEligibleBindings(t *testing.T) {
	table := read(t,
		binding("roles/a", self, "user:ANA@example.com", "group:ops@example.com"),
		binding("roles/b", peers, "user:ana@example.com", "domain:example.com"), // a domain means nobody here
		binding("roles/c", `resource.type == "x"`, "user:ben@example.com"))
	if got, want := table.Members(), []string{"group:ops@example.com", "user:ana@example.com"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestResourceConditionsAreDifferentEntitlements(t *testing.T) {
	table := read(t,
		binding("roles/a", peers+` && resource.name == "x"`, "user:ana@example.com"),
		binding("roles/a", peers+` && resource.name == "y"`, "user:ben@example.com"),
		binding("roles/a", peers, "user:eve@example.com"))
	for condition, want := range map[string]access.Principal{`resource.name == "x"`: ana, `resource.name == "y"`: "ben@example.com", "": "eve@example.com"} {
		if got := table.Reviewers(id("roles/a", condition), nil); !slices.Equal(got, []access.Principal{want}) {
			t.Errorf("%q is reviewed by %v, want %s", condition, got, want)
		}
		for _, p := range []access.Principal{ana, "ben@example.com", "eve@example.com"} {
			held := table.Holdings(p, nil)
			if got := held[0].ID.Condition == condition; len(held) != 1 || got != (p == want) {
				t.Errorf("%s holds %v", p, held)
			}
		}
	}
}

func TestReviewersAreThoseWithThePeerMarkerForExactlyThatId(t *testing.T) {
	table := read(t,
		binding("roles/a", peers, "user:Ana@example.com", "group:OPS@example.com", "group:gone@example.com",
			"user:x@shop.iam.gserviceaccount.com", "deleted:user:old@example.com?uid=1", "domain:example.com", "user:two@@example.com"),
		binding("roles/a", peers, "user:ana@example.com"),
		binding("roles/a", self, "user:solo@example.com", "group:self@example.com"),
		binding("roles/a", self+" && "+peers, "user:both@example.com"),
		binding("roles/b", peers, "user:other@example.com"))
	a := id("roles/a", "")
	if got, want := table.ReviewerGroups([]access.EntitlementID{a}), []string{"gone@example.com", "ops@example.com"}; !slices.Equal(got, want) {
		t.Errorf("groups %q, want %q", got, want)
	}
	members := map[string][]access.Principal{"ops@example.com": {"ben@example.com", "ana@example.com"}, "self@example.com": {"no@example.com"}}
	if got, want := table.Reviewers(a, members), []access.Principal{"ana@example.com", "ben@example.com", "both@example.com"}; !slices.Equal(got, want) {
		t.Errorf("reviewers %q, want %q", got, want)
	}
}

func TestUnconfirmedOnlyWhenNoSourceIsLive(t *testing.T) {
	inherited := policy(t, binding("roles/a", self, "user:ana@example.com"), binding("roles/b", self, "user:ana@example.com"))
	nodes := []node{
		{Resource: shop, Policy: policy(t, binding("roles/a", self, "user:ana@example.com"))},
		{Resource: "folders/7", Policy: inherited, Unconfirmed: true},
	}
	held := readNodes(nodes...).Holdings(ana, nil)
	if len(held) != 2 || held[0].Unconfirmed || !held[1].Unconfirmed {
		t.Errorf("holds %+v", held)
	}
}

func TestHoldingsAreSortedById(t *testing.T) {
	table := read(t, binding("roles/c", self, "user:ana@example.com"), binding("roles/a", self, "user:ana@example.com"), binding("roles/b", self, "user:ana@example.com"))
	if !slices.IsSortedFunc(table.Holdings(ana, nil), func(a, b access.Entitlement) int { return access.CompareEntitlementIDs(a.ID, b.ID) }) {
		t.Error("not sorted")
	}
}

func FuzzRead(f *testing.F) {
	f.Add("roles/a", self, "user:ana@example.com")
	f.Add("roles/a", peers+` && resource.name.startsWith("x")`, "group:ops@example.com")
	f.Add("roles/owner", self+" || true", "deleted:user:ana@example.com?uid=1")
	f.Add("", "((", ":")
	f.Fuzz(func(t *testing.T, role, expression, member string) {
		table := read(t, binding(role, expression, member))
		for _, e := range table.Holdings(ana, nil) {
			if !strings.EqualFold(member, "user:ana@example.com") {
				t.Errorf("%q is ana", member)
			}
			if _, err := access.ParseRole(string(e.ID.Role)); err != nil {
				t.Error(err)
			}
		}
		table.Reviewers(id(access.Role(role), ""), nil)
	})
}

// largePolicy has 1,500 members in 300 bindings: every tenth binding is an
// eligibility, and there are activations of many people.
func largePolicy(t testing.TB) []byte {
	var bindings []map[string]any
	for i := range 300 {
		var members []string
		for j := range 5 {
			members = append(members, fmt.Sprintf("user:person-%d-%d@example.com", i, j))
		}
		expression := fmt.Sprintf(`(request.time >= timestamp("2026-01-01T%02d:%02d:00Z") && request.time < timestamp("2026-01-02T00:00:00Z"))`, i/60, i%60)
		switch {
		case i%10 == 0:
			members[0] = "group:ops@example.com"
			expression = peers + fmt.Sprintf(` && resource.name.startsWith("projects/shop/x%d")`, i)
		case i%2 == 0:
			expression = ""
		}
		bindings = append(bindings, binding(fmt.Sprintf("roles/service%d.admin", i), expression, members...))
		if i%2 == 1 {
			bindings[i]["condition"].(map[string]string)["title"] = "JIT access activation"
		}
	}
	raw, err := json.Marshal(map[string]any{"version": 3, "etag": "e", "bindings": bindings})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// What a roles page adds to the upstream's time when the live policy has changed since the
// last one: reading what is new of it, and finding what one person holds and all
// activations. Under 5 ms for the whole page is the aim.
func BenchmarkRolesPageChanged(b *testing.B) {
	before := largePolicy(b)
	changed := bytes.Replace(before, []byte("2026-01-01T02:31:00Z"), []byte("2026-01-01T02:31:30Z"), 1)
	p, err := new(iampolicy.Policy).Reparse(before)
	if err != nil || bytes.Equal(before, changed) {
		b.Fatal("not changed", err)
	}
	for b.Loop() {
		if p, err = p.Reparse(changed); err != nil {
			b.Fatal(err)
		}
		before, changed = changed, before
		if len(readNodes(node{Resource: shop, Policy: p}).Holdings(ana, []string{"ops@example.com"})) != 30 {
			b.Fatal("wrong")
		}
		p.Activations(shop)
	}
}

// The same with nothing remembered from the page before, and without the activations.
func BenchmarkRolesPageCold(b *testing.B) {
	raw := largePolicy(b)
	for b.Loop() {
		p, err := new(iampolicy.Policy).Reparse(raw)
		if err != nil {
			b.Fatal(err)
		}
		readNodes(node{Resource: shop, Policy: p}).Holdings(ana, []string{"ops@example.com"})
	}
}

// Without reading the policy, which package iampolicy measures.
func BenchmarkRolesPageEligibilityAlone(b *testing.B) {
	p, err := new(iampolicy.Policy).Reparse(largePolicy(b))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		readNodes(node{Resource: shop, Policy: p}).Holdings(ana, []string{"ops@example.com"})
	}
}

// What a folder or the organization above the resource gives for reviewing is inherited;
// where a rule demands approvals, who may activate alone reviews too.
func TestWhatIsInherited(t *testing.T) {
	id := access.EntitlementID{Resource: "projects/p", Role: "roles/r"}
	for node, want := range map[access.Resource]bool{"projects/p": false, "folders/1": true, "organizations/1": true} {
		for _, kind := range []eligibility.Kind{eligibility.PeerApproval, eligibility.Reviewer, eligibility.SelfApproval} {
			table, _ := eligibility.New([]eligibility.Row{{ID: id, Kind: kind, Members: []string{"user:ana@example.com"}, Node: node}}, time.Now())
			alone := kind == eligibility.SelfApproval
			held := table.Holdings("ana@example.com", nil)
			if len(held) != 1 || (len(held[0].Inherited) > 0) != (want && !alone) || held[0].MayReview == alone {
				t.Errorf("%s: %+v", node, held)
			}
			held = table.Ruled().Holdings("ana@example.com", nil)
			if len(held) != 1 || (len(held[0].Inherited) > 0) != want || !held[0].MayReview || held[0].SelfApproval != alone ||
				held[0].PeerApproval != (kind != eligibility.Reviewer) {
				t.Errorf("%s, ruled: %+v", node, held)
			}
		}
	}
	folder := access.EntitlementID{Resource: "folders/1", Role: "roles/r"}
	table, _ := eligibility.New([]eligibility.Row{{ID: folder, Kind: eligibility.PeerApproval, Members: []string{"user:ana@example.com"}, Node: "folders/1"}}, time.Now())
	if held := table.Holdings("ana@example.com", nil); len(held) != 1 || len(held[0].Inherited) > 0 {
		t.Errorf("of the folder itself: %+v", held)
	}
}
