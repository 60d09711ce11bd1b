package main

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/sandbox/google"
)

// boundBy1x is a binding as JIT Access 1.x writes it (section 5.3): no id, and the
// resource condition behind the window.
func boundBy1x(role, description, condition string, from, until time.Time, people ...string) google.Binding {
	text := fmt.Sprintf(`(request.time >= timestamp("%s") && request.time < timestamp("%s"))`,
		from.UTC().Format("2006-01-02T15:04:05Z"), until.UTC().Format("2006-01-02T15:04:05Z"))
	if condition != "" {
		text = "(" + text + ") && (" + condition + ")"
	}
	b := google.Binding{Role: role, Condition: &google.Condition{Title: "JIT access activation", Description: description, Expression: text}}
	for _, p := range people {
		b.Members = append(b.Members, "user:"+p+"@example.com")
	}
	return b
}

// activeRoles are the roles that a person has active on a project, with their ends.
func (w *world) activeRoles(person, project string) map[string]int64 {
	w.t.Helper()
	active := map[string]int64{}
	for _, e := range w.api(person, "/api/projects/"+project+"/roles", nil).expect(w.t, 200).Entitlements {
		if e.Status == "ACTIVE" {
			active[e.ID] = *e.ValidUntil
		}
	}
	return active
}

// endOn is what the "End now" button of a role sends, as the page has it.
func (w *world) endOn(person, project, role string) string {
	w.t.Helper()
	page := w.call(person, "GET", "/access/projects/"+project, "").expect(w.t, 200).body
	_, card, found := strings.Cut(page, `<code class="role-name">`+role+"</code>")
	_, rest, ok := strings.Cut(card, `action="/requests/`)
	id, _, end := strings.Cut(rest, "/end")
	if !found || !ok || !end {
		w.t.Fatalf("%s is not active for %s:\n%s", role, person, page)
	}
	return id
}

// Point 5: bindings that JIT Access 1.x wrote count as ours: they are shown active,
// ended by their member or an admin, and cleared when they are over.
func TestBindingsOfJITAccess1(t *testing.T) {
	w := newWorld(t, surroundings{environment: map[string]string{"ADMINS": "user:erin@example.com"}})
	const (
		resource = "projects/" + project
		sql      = "roles/cloudsql.admin"
		storage  = "roles/storage.objectAdmin"
		where    = `resource.name.startsWith("projects/_/buckets/shop-orders-exports/")`
	)
	now := time.Now().Truncate(time.Second)
	until := now.Add(40 * time.Minute)
	w.add(resource,
		boundBy1x(sql, "Self-approved, justification: merged", "", now.Add(-time.Minute), until, "alice", "bob"),
		boundBy1x(storage, "Self-approved, justification: narrow", where, now.Add(-time.Minute), until, "alice"),
		boundBy1x(storage, "Self-approved, justification: over", where, now.Add(-3*time.Hour), now.Add(-2*time.Hour), "alice"),
		boundBy1x(storage, "Approved by bob@example.com, justification: over", where, now.Add(-9*time.Hour), now.Add(-8*time.Hour), "alice"),
		// Its link may still be good: this one stays as a record.
		boundBy1x(storage, "Approved by bob@example.com, justification: recent", where, now.Add(-3*time.Hour), now.Add(-time.Hour), "alice"),
		boundBy1x(storage, "Self-approved, justification: another's, over", where, now.Add(-3*time.Hour), now.Add(-2*time.Hour), "carol"),
		// Not ours: another title; and an eligible binding with ours.
		google.Binding{Role: storage, Members: []string{"user:alice@example.com"}, Condition: &google.Condition{Title: "by hand", Description: "by hand",
			Expression: fmt.Sprintf(`(request.time >= timestamp("%s") && request.time < timestamp("%s"))`, now.Add(-time.Hour).UTC().Format(time.RFC3339), now.Add(-time.Minute).UTC().Format(time.RFC3339))}},
		google.Binding{Role: "roles/logging.viewer", Members: []string{"user:alice@example.com"}, Condition: &google.Condition{Title: "JIT access activation", Description: "eligible, by hand",
			Expression: "has({}.jitAccessConstraint)"}})

	t.Run("shown active, by exactly the entitlement", func(t *testing.T) {
		active := w.activeRoles("alice", project)
		for id, end := range active {
			if strings.Contains(id, sql) && end != until.Unix() || strings.Contains(id, storage) && end != until.Unix() {
				t.Errorf("%s until %d, want %d", id, end, until.Unix())
			}
		}
		if len(active) != 3 { // with roles/secretmanager.admin, of the sandbox's own past
			t.Errorf("active: %v", active)
		}
		if bobs := w.activeRoles("bob", project); len(bobs) != 1 || bobs[project+":"+sql] != until.Unix() {
			t.Errorf("bob has %v", bobs)
		}
	})
	t.Run("ended by its member, who is taken out of a merged binding", func(t *testing.T) {
		id := w.endOn("alice", project, sql)
		w.api("frank", "/api/requests/"+id+"/end", dict{"resource": resource}).expect(t, http.StatusNotFound)
		w.api("bob", "/api/requests/"+id+"/end", dict{"resource": resource}).expect(t, http.StatusNotFound)
		w.api("alice", "/api/requests/"+id+"/end", dict{"resource": resource}).expect(t, 200, `"ENDED"`)
		left := w.described(resource, "justification: merged")
		if len(left) != 1 || !slices.Equal(left[0].Members, []string{"user:bob@example.com"}) {
			t.Errorf("left: %+v", left)
		}
		if bobs := w.activeRoles("bob", project); len(bobs) != 1 {
			t.Errorf("bob has lost it: %v", bobs)
		}
		w.api("alice", "/api/requests/"+id+"/end", dict{"resource": resource}).expect(t, http.StatusNotFound)
	})
	t.Run("ended by an admin", func(t *testing.T) {
		id := w.endOn("bob", project, sql)
		w.api("erin", "/api/requests/"+id+"/end", dict{"resource": resource}).expect(t, 200, `"ENDED"`)
		if left := w.described(resource, "justification: merged"); len(left) != 0 {
			t.Errorf("left: %+v", left)
		}
	})
	t.Run("replaced by a longer one, and what is over is cleared", func(t *testing.T) {
		var id string
		for _, e := range w.api("alice", "/api/projects/"+project+"/roles", nil).Entitlements {
			if e.Name == storage {
				id = e.ID
			}
		}
		granted := w.api("alice", "/api/projects/"+project+"/roles/self-activate", dict{"entitlementIds": []string{id}, "justification": "longer", "activationTimeout": 60}).expect(t, 200)
		if len(w.described(resource, "narrow")) != 0 || len(w.described(resource, "over")) != 0 {
			t.Errorf("left: %+v %+v", w.described(resource, "narrow"), w.described(resource, "over"))
		}
		if len(w.described(resource, "recent")) != 1 {
			t.Error("the record of a grant whose link may still be good is gone")
		}
		if active := w.activeRoles("alice", project); active[id] != granted.Entitlements[0].EndTime {
			t.Errorf("active: %v", active)
		}
		if len(w.described(resource, "by hand")) != 2 {
			t.Error("what is not ours was touched")
		}
		// Of a role that was not touched nothing is cleared.
		if len(w.described(resource, "failover drill")) == 0 && len(w.described(resource, "merged")) > 0 {
			t.Error("a role that was not activated was cleared")
		}
	})
}

// TestAGrantThatBeginsLater is on the page of its resource until it begins, and can be
// cancelled there; to the interface of JIT Access 1.x its role is not active.
func TestAGrantThatBeginsLater(t *testing.T) {
	w := newWorld(t, surroundings{})
	onPage, roles := "/access/projects/"+project, "/api/projects/"+project+"/roles"
	f := url.Values{"id": {w.formID(access.Peers)}, "entitlement": {peerID}, "justification": {"Node 7 hangs"}, "minutes": {"30"}, "reviewer": {bob},
		"start": {time.Now().UTC().Add(2 * time.Hour).Format("2006-01-02T15:04")}}
	ref := func(location string) string {
		u, err := url.Parse(location)
		if err != nil {
			t.Fatal(err)
		}
		return u.Query().Get("activation")
	}
	status := func() string {
		for _, e := range w.api(alice, roles, nil).expect(t, 200).Entitlements {
			if e.ID == peerID {
				return e.Status
			}
		}
		return ""
	}
	approve := func() {
		t.Helper()
		asked := w.form(alice, onPage, f).expect(t, 303)
		w.form(bob, reviewPath(ref(asked.location)), url.Values{"verdict": {"approve"}}).expect(t, 303)
	}
	approve()
	w.page(alice, onPage).expect(t, 200, "Begins at", "(in 1 hour ", number(t, f)+"/end")
	if status() != "INACTIVE" {
		t.Errorf("%s before it begins", status())
	}
	if a := w.page(bob, onPage).expect(t, 200); strings.Contains(a.body, "Begins at") {
		t.Error("somebody else's page shows it")
	}
	w.form(alice, "/requests/"+number(t, f)+"/end", url.Values{"resource": {"projects/" + project}}).expect(t, 200)
	w.pass(time.Minute)
	if a := w.page(alice, onPage).expect(t, 200); strings.Contains(a.body, "Begins at") {
		t.Error("it is there after it was cancelled")
	}
	f.Set("id", w.formID(access.Peers))
	approve()
	w.pass(2*time.Hour + time.Minute)
	if a := w.page(alice, onPage).expect(t, 200, number(t, f)+"/end"); strings.Contains(a.body, "Begins at") || status() != "ACTIVE" {
		t.Errorf("%s after it began", status())
	}
}
