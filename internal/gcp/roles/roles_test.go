package roles_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/gcptest"
	"jitaccess/internal/gcp/roles"
)

// world is an IAM that answers everything in one way.
type world struct {
	*gcptest.Google
	roles *roles.Roles
	says  http.HandlerFunc
	now   time.Time
}

func newWorld(t testing.TB, says http.HandlerFunc) *world {
	t.Helper()
	w := &world{says: says, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	w.Google = gcptest.Start(t, func(rw http.ResponseWriter, r *http.Request) { w.says(rw, r) })
	w.roles = roles.New(w.Platform, func() time.Time { return w.now })
	return w
}

// expect compares counted calls.
func (w *world) expect(t testing.TB, part string, want int) {
	t.Helper()
	if got := w.Calls(part); got != want {
		t.Errorf("%d calls of %s, want %d", got, part, want)
	}
}

func described(permissions ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		gcptest.Answer(w, map[string]any{"name": "any", "title": "Shop Admin", "description": "Runs the shop.", "includedPermissions": permissions})
	}
}

func TestRolesAreDescribedAndRemembered(t *testing.T) {
	w := newWorld(t, described("compute.instances.get"))
	for _, role := range []access.Role{"roles/a", "projects/shop/roles/b", "organizations/1/roles/c"} {
		for range 2 {
			want := access.RoleInfo{Role: role, Title: "Shop Admin", Description: "Runs the shop.", ChangesPermissions: access.No}
			if got := w.roles.Role(t.Context(), "projects/p", role); got != want {
				t.Errorf("got %+v", got)
			}
		}
		w.expect(t, "GET /v1/"+string(role)+"?", 1)
	}
	w.now = w.now.Add(11 * time.Minute)
	w.roles.Role(t.Context(), "projects/p", "roles/a")
	w.expect(t, "GET /v1/roles/a?", 2)
}

func TestThreat20_RolesThatChangePermissionsAreMarked(t *testing.T) {
	for permission, want := range map[string]access.Answer{
		"":                                       access.Unknown,
		"compute.instances.get":                  access.No,
		"iam.serviceAccounts.get":                access.No,
		"iam.roles.list":                         access.No,
		"orgpolicy.policy.get":                   access.No,
		"resourcemanager.projects.getIamPolicy":  access.No,
		"resourcemanager.projects.setIamPolicy":  access.Yes,
		"storage.buckets.setIamPolicy":           access.Yes,
		"iam.serviceAccounts.setIamPolicy":       access.Yes,
		"iam.serviceAccounts.actAs":              access.Yes,
		"iam.serviceAccounts.getAccessToken":     access.Yes,
		"iam.serviceAccounts.signJwt":            access.Yes,
		"iam.serviceAccounts.signBlob":           access.Yes,
		"iam.serviceAccounts.implicitDelegation": access.Yes,
		"iam.serviceAccountKeys.create":          access.Yes,
		"iam.roles.update":                       access.Yes,
		"orgpolicy.policy.set":                   access.Yes,
		"orgpolicy.policies.create":              access.Yes,
	} {
		permissions := []string{"compute.disks.get", permission}
		if permission == "" {
			permissions = nil
		}
		w := newWorld(t, described(permissions...))
		if got := w.roles.Role(t.Context(), "projects/p", "roles/a").ChangesPermissions; got != want {
			t.Errorf("%q: %d, want %d", permission, got, want)
		}
	}
}

func TestRoleThatCannotBeDescribedIsUnknown(t *testing.T) {
	for _, status := range []int{403, 404, 429, 500} {
		w := newWorld(t, gcptest.Refuse(status, "x"))
		for range 3 {
			if got := w.roles.Role(t.Context(), "projects/p", "roles/a"); got != (access.RoleInfo{}) {
				t.Errorf("%d: %+v", status, got)
			}
		}
		w.expect(t, "/roles/", 1)
	}
	w := newWorld(t, gcptest.Refuse(500, "x"))
	for _, role := range []access.Role{"", "roles/../x", "roles/a?b", "users/a"} {
		w.roles.Role(t.Context(), "projects/p", role)
	}
	w.expect(t, "", 0)
}

func TestWhileIAMDoesNotAnswerNobodyAsks(t *testing.T) {
	w := newWorld(t, gcptest.Refuse(503, "x"))
	w.roles.Role(t.Context(), "projects/p", "roles/a")
	w.roles.Role(t.Context(), "projects/p", "roles/b")
	w.expect(t, "/roles/", 1)
	w.says = described("x.y.get")
	w.now = w.now.Add(time.Minute)
	if got := w.roles.Role(t.Context(), "projects/p", "roles/b"); got.Title == "" {
		t.Error("never asked again")
	}
}

// Descriptions are bounded in bytes: the oldest is asked for again, the newest is not.
func TestDescriptionsAreBoundedInBytes(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		gcptest.Answer(rw, map[string]any{"name": "any", "title": "Admin", "description": strings.Repeat("x", 400<<10)})
	})
	for _, role := range []access.Role{"roles/a", "roles/b", "roles/c", "roles/c", "roles/a"} {
		w.roles.Role(t.Context(), "projects/p", role)
		w.now = w.now.Add(time.Second)
	}
	w.expect(t, "GET /v1/roles/c?", 1)
	w.expect(t, "GET /v1/roles/a?", 2)
}

// A list asks nobody what a role is called, and goes on saying what was said last.
func TestTitlesAreRememberedAndNeverAskedFor(t *testing.T) {
	title := "Storage Object Viewer"
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		gcptest.Answer(rw, map[string]any{"name": "any", "title": title})
	})
	if got := w.roles.RoleTitle("roles/a"); got != "" {
		t.Errorf("%q before anybody asked", got)
	}
	w.expect(t, "GET /v1/roles/a?", 0)
	w.roles.Role(t.Context(), "projects/p", "roles/a")
	w.now = w.now.Add(24 * time.Hour)
	if got := w.roles.RoleTitle("roles/a"); got != title {
		t.Errorf("%q a day later", got)
	}
	w.expect(t, "GET /v1/roles/a?", 1)
	for _, title = range []string{"Reader\u202e", "", strings.Repeat("x", 401)} {
		w.now = w.now.Add(time.Hour)
		w.roles.Role(t.Context(), "projects/p", "roles/a")
		want := access.Visible(title)
		if len(title) > 400 {
			want = ""
		}
		if got := w.roles.RoleTitle("roles/a"); got != want {
			t.Errorf("%q, now that it is called %q", got, title)
		}
	}
}

// However many roles there are, what is remembered of them has an end.
func TestTitlesAreBounded(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		gcptest.Answer(rw, map[string]any{"name": "any", "title": "Some"})
	})
	known, last := 0, access.Role("")
	for i := range 1001 {
		last = access.Role(fmt.Sprint("roles/r", i))
		w.roles.Role(t.Context(), "projects/p", last)
	}
	for i := range 1001 {
		if w.roles.RoleTitle(access.Role(fmt.Sprint("roles/r", i))) != "" {
			known++
		}
	}
	if known > 1000 || w.roles.RoleTitle(last) == "" {
		t.Errorf("%d are known, the last is %q", known, w.roles.RoleTitle(last))
	}
}
