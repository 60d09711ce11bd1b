package assetinventory_test

import (
	"slices"
	"testing"

	"jitaccess/internal/access"
)

// Threat 22: reviewers are told to those who may request, and for nobody else are their
// groups expanded. Otherwise whoever signs in could spend the quota of the directory,
// and learn by how long it takes which roles have reviewers.
func TestThreat22_GroupsAreExpandedForThoseWhoMayRequest(t *testing.T) {
	id := access.EntitlementID{Resource: shop, Role: "roles/a"}
	for rule, c := range map[string]struct {
		bindings []map[string]any
		calls    int
	}{
		"somebody who holds nothing":       {nil, 0},
		"who activates it alone":           {[]map[string]any{binding("roles/a", self, "user:ana@example.com")}, 0},
		"who may only review it":           {[]map[string]any{binding("roles/a", "has({}.reviewerPrivilege)", "user:ana@example.com")}, 0},
		"who may request another role":     {[]map[string]any{binding("roles/b", peers, "user:ana@example.com")}, 0},
		"who may request it for one thing": {[]map[string]any{binding("roles/a", peers+` && resource.name == "x"`, "user:ana@example.com")}, 0},
		"who may request it":               {[]map[string]any{binding("roles/a", peers, "user:ana@example.com")}, 1},
		"who may request it, by a group":   {[]map[string]any{binding("roles/a", "has({}.externalApprovalConstraint)", "group:staff@example.com")}, 1},
	} {
		t.Run(rule, func(t *testing.T) {
			w := newWorld(t)
			w.set(func() {
				w.groups["ana@example.com"] = []string{"staff@example.com"}
				w.members["ops@example.com"] = []string{"ben@example.com"}
			})
			w.both(shop, c.bindings...)
			w.both(folder, binding("roles/a", "has({}.reviewerPrivilege)", "group:ops@example.com"))
			s := w.standing(t, access.StandingQuery{Principals: []access.Principal{ana}, Of: []access.EntitlementID{id}, ReviewersOf: []access.EntitlementID{id}})
			w.expect(t, map[string]int{"ops%40example.com/members": c.calls})
			if found, asked := s.Reviewers[id]; !asked || slices.Contains(found, ben) != (c.calls > 0) || len(s.Warnings) != 0 {
				t.Errorf("reviewers %v, %v, warns %v", found, asked, s.Warnings)
			}
		})
	}
}
