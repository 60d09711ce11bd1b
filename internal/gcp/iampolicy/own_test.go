package iampolicy

import (
	"testing"
	"time"

	"jitaccess/internal/access"
)

// What is read back of a binding before it is written must be what the grant says, in
// every part.
func TestABindingSaysWhatWasApproved(t *testing.T) {
	start := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	id := access.EntitlementID{Resource: "projects/shop", Role: "roles/a"}
	g := access.Grant{RequestID: "mpa-AAAAAAAAAAAAAAAA", Window: access.Window{Start: start, End: start.Add(time.Hour)},
		Approvers: []access.Principal{"ben@example.com"}}
	for part, change := range map[string]func(*own){
		"":                       func(*own) {},
		"the id":                 func(o *own) { o.id = "mpa-BBBBBBBBBBBBBBBB" },
		"no id":                  func(o *own) { o.id = "" },
		"that it is approved":    func(o *own) { o.self = true },
		"who approved it":        func(o *own) { o.approvers = nil },
		"the role":               func(o *own) { o.role = "roles/b" },
		"the resource condition": func(o *own) { o.resource = "a" },
		"the start":              func(o *own) { o.window.Start = start.Add(-time.Second) },
		"the end":                func(o *own) { o.window.End = start.Add(2 * time.Hour) },
	} {
		o := &own{role: id.Role, window: g.Window, description: description{id: g.RequestID, approvers: g.Approvers}}
		if change(o); o.says(g, id) != (part == "") {
			t.Errorf("another %q: %v", part, o.says(g, id))
		}
	}
}
