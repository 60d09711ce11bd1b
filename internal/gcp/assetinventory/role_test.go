package assetinventory_test

import (
	"net/http"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/gcptest"
)

func described(permissions ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		gcptest.Answer(w, map[string]any{"name": "any", "title": "Shop Admin", "description": "Runs the shop.", "includedPermissions": permissions})
	}
}

func TestRolesAreDescribedAndRemembered(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.instead["/roles/"] = described("compute.instances.get") })
	for _, role := range []access.Role{"roles/a", "projects/shop/roles/b", "organizations/1/roles/c"} {
		for range 2 {
			want := access.RoleInfo{Role: role, Title: "Shop Admin", Description: "Runs the shop.", ChangesPermissions: access.No}
			if got := w.catalog.Role(t.Context(), role); got != want {
				t.Errorf("got %+v", got)
			}
		}
		w.expect(t, map[string]int{"GET /v1/" + string(role) + "?": 1})
	}
	w.pass(11 * time.Minute)
	w.catalog.Role(t.Context(), "roles/a")
	w.expect(t, map[string]int{"GET /v1/roles/a?": 2})
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
		w := newWorld(t)
		permissions := []string{"compute.disks.get", permission}
		if permission == "" {
			permissions = nil
		}
		w.set(func() { w.instead["/roles/"] = described(permissions...) })
		if got := w.catalog.Role(t.Context(), "roles/a").ChangesPermissions; got != want {
			t.Errorf("%q: %d, want %d", permission, got, want)
		}
	}
}

func TestRoleThatCannotBeDescribedIsUnknown(t *testing.T) {
	for _, status := range []int{403, 404, 429, 500} {
		w := newWorld(t)
		w.set(func() { w.instead["/roles/"] = gcptest.Refuse(status, "x") })
		for range 3 {
			if got := w.catalog.Role(t.Context(), "roles/a"); got != (access.RoleInfo{}) {
				t.Errorf("%d: %+v", status, got)
			}
		}
		w.expect(t, map[string]int{"/roles/": 1})
	}
	w := newWorld(t)
	for _, role := range []access.Role{"", "roles/../x", "roles/a?b", "users/a"} {
		w.catalog.Role(t.Context(), role)
	}
	w.expect(t, map[string]int{"": 0})
}

func TestWhileIAMDoesNotAnswerNobodyAsks(t *testing.T) {
	w := newWorld(t)
	w.set(func() { w.instead["/roles/"] = gcptest.Refuse(503, "x") })
	w.catalog.Role(t.Context(), "roles/a")
	w.catalog.Role(t.Context(), "roles/b")
	w.expect(t, map[string]int{"/roles/": 1})
	w.set(func() { w.instead["/roles/"] = described("x.y.get") })
	w.pass(time.Minute)
	if got := w.catalog.Role(t.Context(), "roles/b"); got.Title == "" {
		t.Error("never asked again")
	}
}
