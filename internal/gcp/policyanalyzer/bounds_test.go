package policyanalyzer_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/policyanalyzer"
)

// What is kept of many large answers is bounded in bytes: the oldest is asked for again,
// and the newest is not.
func TestMemoriesOfTheCatalogAreBoundedInBytes(t *testing.T) {
	policyanalyzer.WithMaxBytes(t, 30<<10)
	large := func(of string) object {
		b := binding("roles/a", self, of)
		b["condition"].(map[string]string)["title"] = strings.Repeat("x", 12<<10)
		return b
	}
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("projects/a-long-name-of-project-%03d", i))
	}
	for name, look := range map[string]struct {
		prepare func(w *world, p access.Principal)
		ask     func(w *world, p access.Principal)
	}{
		"what a person holds": {
			func(w *world, p access.Principal) {
				w.persons["user:"+string(p)] = []any{result(shop, large("user:"+string(p)))}
			},
			func(w *world, p access.Principal) {
				w.standing(t, access.StandingQuery{Principals: []access.Principal{p}})
			}},
		"who holds a role": {
			func(w *world, p access.Principal) {
				w.holders = []any{result(shop, large("user:"+string(p)), "user:"+string(p))}
			},
			func(w *world, p access.Principal) {
				w.standing(t, access.StandingQuery{ReviewersOf: ids(access.Role("roles/" + p.Domain()))})
			}},
		"lists of projects": {
			func(w *world, p access.Principal) {
				w.persons["user:"+string(p)] = []any{with(result(folder, binding("roles/viewer", "", "user:"+string(p))), on("", many...))}
			},
			func(w *world, p access.Principal) {
				if found, _, err := w.catalog.Resources(t.Context(), p); err != nil || len(found) != 200 {
					t.Errorf("%d, %v", len(found), err)
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			people := []access.Principal{"p@a.example", "p@b.example", "p@c.example"}
			for _, p := range people {
				w.now = w.now.Add(time.Millisecond) // the oldest is one
				look.prepare(w, p)
				look.ask(w, p)
			}
			w.asked(t, 3)
			look.ask(w, people[2])
			w.asked(t, 3)
			look.ask(w, people[0])
			w.asked(t, 4)
		})
	}
}
