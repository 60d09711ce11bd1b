package main

import (
	"net/http"
	"slices"
	"sync"
	"testing"

	"jitaccess/internal/sandbox/google"
)

// TestEligibilityIsTakenBackBetweenAttempts: whoever writes the same policy at the same time
// has the service read it and write again. What was taken back by then, at whichever node it
// stood, gives nothing, though everything was in order when it was decided.
func TestEligibilityIsTakenBackBetweenAttempts(t *testing.T) {
	const role = "roles/run.viewer"
	for name, c := range map[string]struct {
		node     string
		readable bool // the service may read the node's policy; else the inventory is asked again
	}{
		"project": {"projects/" + project, true}, "folder": {"folders/731905264410", true},
		"organization": {"organizations/482093157016", true}, "organization, by the inventory": {"organizations/482093157016", false},
	} {
		for _, way := range []string{"alone", "approved", "approved, remembered", "in order"} {
			t.Run(name+", "+way, func(t *testing.T) {
				var w *world
				var meanwhile sync.Once
				takenBack := func() {
					p := w.policy(c.node)
					p.Bindings = slices.DeleteFunc(p.Bindings, func(b google.Binding) bool {
						return b.Role == role && slices.Contains(b.Members, "user:"+alice)
					})
					if err := w.cloud.SetPolicy(c.node, p); err != nil {
						t.Error(err)
					}
				}
				conflicts := 0
				w = newWorld(t, surroundings{wrap: func(cloud http.Handler) http.Handler {
					return http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
						conflict := false
						if r.URL.Path == "/v3/projects/"+project+":setIamPolicy" {
							meanwhile.Do(func() { conflict = true })
						}
						if !conflict {
							cloud.ServeHTTP(answer, r)
							return
						}
						conflicts++
						if way != "in order" {
							takenBack()
						}
						http.Error(answer, `{"error": {"code": 409, "status": "ABORTED", "message": "There were concurrent policy changes."}}`, http.StatusConflict)
					})
				}})
				expression := "has({}.multiPartyApprovalConstraint)"
				if way == "alone" {
					expression = "has({}.jitAccessConstraint)"
				}
				p := w.policy(c.node)
				p.Bindings = append(p.Bindings, eligibleBinding(role, expression, "alice"), eligibleBinding(role, expression, "bob"))
				if c.readable && c.node == w.cloud.OrganizationID() {
					p.Bindings = append(p.Bindings, google.Binding{Role: "roles/iam.securityReviewer", Members: []string{"serviceAccount:" + w.cloud.ServiceAccount()}})
				}
				if err := w.cloud.SetPolicy(c.node, p); err != nil {
					t.Fatal(err)
				}
				if way == "approved, remembered" {
					w.restart(onDisk(w, t.TempDir()+"/jitaccess.db"))
				}
				var said answer
				if way == "alone" {
					said = w.api(alice, selfURL, selfBody(dict{"entitlementIds": []string{project + ":" + role}}))
				} else {
					asked := w.api(alice, askURL, askBody(dict{"entitlementId": project + ":" + role}))
					asked.expect(t, 200)
					said = w.api(bob, decideURL(refOf(t, asked)), dict{})
				}
				granted := len(slices.DeleteFunc(w.policy("projects/"+project).Bindings, func(b google.Binding) bool {
					return b.Role != role || b.Condition == nil || b.Condition.Title != "JIT access activation"
				}))
				if conflicts != 1 {
					t.Fatalf("%d conflicts: %d %s", conflicts, said.status, said.body)
				}
				if way == "in order" {
					if said.status != 200 || granted != 1 {
						t.Errorf("what nobody took back: %d %s, %d grants", said.status, said.body, granted)
					}
				} else if said.status != 403 || granted != 0 {
					t.Errorf("%d %s, %d grants", said.status, said.body, granted)
				}
			})
		}
	}
}
