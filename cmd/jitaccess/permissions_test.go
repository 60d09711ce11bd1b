package main

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/sandbox/google"
)

// TestARefusedSearchChangesNothing: a query that Google does not understand is the
// operator's to correct, and nobody reads that a change was refused.
func TestARefusedSearchChangesNothing(t *testing.T) {
	for _, catalog := range []string{"AssetInventory", "PolicyAnalyzer"} {
		w := newWorld(t, surroundings{environment: map[string]string{"RESOURCE_CATALOG": catalog, "AVAILABLE_PROJECTS_QUERY": "parent:folders/731905264410 AND"}})
		w.cloud.Faults().Add(google.Fault{Path: "/v3/projects:search", Status: 400, Message: "Invalid query string."})
		a := w.api(alice, "/api/projects", nil).expect(t, 422, "Invalid query string.", "AVAILABLE_PROJECTS_QUERY")
		if a.Code != "query-refused" || strings.Contains(a.Message, "change") {
			t.Errorf("%s: %s: %s", catalog, a.Code, a.Message)
		}
		if page := w.page(alice, "/"); strings.Contains(page.body, "refused the change") || !strings.Contains(page.body, "the query with which this service finds projects") {
			t.Errorf("%s: the page says %s", catalog, page.body)
		}
	}
}

// TestAMissingPermissionIsForTheOperator: when the service account lacks a
// permission the page says that the operator must grant it, and the log says which;
// where only a nicety depends on it, nothing else is lost.
func TestAMissingPermissionIsForTheOperator(t *testing.T) {
	const path = "/access/projects/" + project
	open := func(w *world, _ string) answer { return w.page(alice, path) }
	activate := func(w *world, _ string) answer {
		return w.form(alice, path, url.Values{"id": {w.formID(access.Self)}, "entitlement": {selfID}, "justification": {"Restore & check"}, "minutes": {"30"}})
	}
	request := func(w *world, _ string) answer {
		return w.form(alice, path, url.Values{"id": {w.formID(access.Peers)}, "entitlement": {peerID}, "justification": {"Restore & check"}, "minutes": {"30"}, "reviewer": {bob}})
	}
	approve := func(w *world, ref string) answer {
		return w.form(bob, reviewPath(ref), url.Values{"verdict": {"approve"}})
	}
	end := func(w *world, ref string) answer {
		return w.form(alice, "/requests/"+ref+"/end", url.Values{"resource": {"projects/" + project}})
	}
	tests := []struct {
		permission string
		action     string
		do         func(w *world, ref string) answer
		status     int
		says       []string
	}{
		{"resourcemanager.projects.getIamPolicy", "open", open, 502, []string{"An operator has to grant it the permission", "lacks resourcemanager.projects.getIamPolicy"}},
		{"resourcemanager.projects.getIamPolicy", "activate", activate, 502, []string{"An operator has to grant it the permission", "lacks resourcemanager.projects.getIamPolicy", `value="Restore &amp; check"`}},
		{"resourcemanager.projects.setIamPolicy", "activate", activate, 502, []string{"An operator has to grant it the permission", "lacks resourcemanager.projects.setIamPolicy", `value="Restore &amp; check"`}},
		{"resourcemanager.projects.setIamPolicy", "approve", approve, 502, []string{"An operator has to grant it the permission", "lacks resourcemanager.projects.setIamPolicy"}},
		{"resourcemanager.projects.setIamPolicy", "end", end, 502, []string{"An operator has to grant it the permission", "lacks resourcemanager.projects.setIamPolicy"}},
		{"cloudasset.assets.analyzeIamPolicy", "open", open, 502, []string{"An operator has to grant it the permission", "lacks cloudasset.assets.analyzeIamPolicy"}},
		{"cloudasset.assets.searchAllIamPolicies", "open", open, 502, []string{"An operator has to grant it the permission"}},
		{"cloudasset.assets.searchAllResources", "request", request, 502, []string{"An operator has to grant it the permission", `value="Restore &amp; check"`}},
		{"cloudasset.assets.analyzeIamPolicy", "approve", approve, 502, []string{"An operator has to grant it the permission"}},
		{"iam.serviceAccounts.signJwt", "request", request, 502, []string{"An operator has to let", "Service Account Token Creator", `value="Restore &amp; check"`}},
		{"Groups Reader", "open", open, 200, []string{"operator has to grant it the permission", "roles/cloudsql.admin"}},
		{"iam.serviceAccounts.getAccessToken", "open", open, 200, []string{"permission", "roles/cloudsql.admin"}},
		{"Groups Reader", "activate what is held in person", activate, 0, nil},
		{"Groups Reader", "request what is held through a group", request, 502, []string{"operator has to grant it the permission"}},
		{"secretmanager.versions.access", "request", request, 200, []string{"bob@example.com could not be told by mail", "activation="}},
		{"iam.roles.get", "open", open, 200, []string{"roles/cloudsql.admin"}},
		{"resourcemanager.projects.get", "open", open, 200, []string{"roles/cloudsql.admin"}},
		{"resourcemanager.folders.getIamPolicy", "approve", approve, 200, []string{"may be minutes old"}},
	}
	quiet := []string{"iam.roles.get", "resourcemanager.projects.get"}
	for _, test := range tests {
		t.Run(test.permission+": "+test.action, func(t *testing.T) {
			w := newWorld(t, surroundings{})
			ref := ""
			switch test.action {
			case "approve":
				ref, _ = w.ask()
			case "end":
				f := url.Values{"id": {w.formID(access.Self)}, "entitlement": {selfID}, "justification": {"x"}, "minutes": {"30"}}
				w.form(alice, path, f).expect(t, 303)
				ref = number(t, f)
			}
			w.pass(10 * time.Minute)
			before, _ := w.cloud.Policy("projects/" + project)
			from := len(w.log.String())
			w.cloud.Faults().RevokePermission(test.permission)
			a := test.do(w, ref)
			if test.status != 0 {
				a.expect(t, test.status, test.says...)
			}
			log := w.log.String()[from:]
			if !slices.Contains(quiet, test.permission) && !strings.Contains(log, test.permission[strings.LastIndex(test.permission, ".")+1:]) {
				t.Errorf("the log does not say what is lacking: %s", log)
			}
			after, _ := w.cloud.Policy("projects/" + project)
			if a.status >= 400 && string(after) != string(before) {
				t.Errorf("refused with %d, and the policy changed", a.status)
			}
			// Granted again, it works; nothing that was typed was lost.
			w.cloud.Faults().RestorePermissions()
			w.pass(10 * time.Minute)
			if a := test.do(w, ref); a.status != 303 && a.status != 200 && a.status != 409 {
				t.Errorf("once it is granted: %d %s", a.status, a.body)
			}
		})
	}
}
