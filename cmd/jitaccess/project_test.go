package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/sandbox/google"
)

// A project has one name here: by its number, which Google takes too, approvers and
// those who watch the log would not know what it is about (threat 8).
func TestThreat08_AProjectIsKnownByItsIDOnly(t *testing.T) {
	for _, catalog := range []string{"AssetInventory", "PolicyAnalyzer"} {
		t.Run(catalog, func(t *testing.T) {
			w := newWorld(t, surroundings{environment: map[string]string{"RESOURCE_CATALOG": catalog}})
			projects := google.Believable(time.Now()).Projects
			number := projects[slices.IndexFunc(projects, func(p google.Project) bool { return p.ID == project })].Number
			before, err := w.cloud.Policy("projects/" + project)
			if err != nil {
				t.Fatal(err)
			}
			byNumber := func(id string) string { return strings.Replace(id, project, number, 1) }
			w.api(alice, byNumber("/api/projects/"+project+"/roles"), nil).expect(t, http.StatusNotFound, "unknown-resource")
			w.api(alice, byNumber("/api/projects/"+project+"/peers?id="+peerID), nil).expect(t, http.StatusBadRequest, "other-resource")
			w.api(alice, "/api/projects/"+number+"/peers?id="+byNumber(peerID), nil).expect(t, http.StatusNotFound, "unknown-resource")
			w.api(alice, byNumber(selfURL), selfBody(dict{"entitlementIds": []string{byNumber(selfID)}})).expect(t, http.StatusNotFound, "unknown-resource")
			w.api(alice, byNumber(askURL), askBody(dict{"entitlementId": byNumber(peerID)})).expect(t, http.StatusNotFound, "unknown-resource")
			w.page(alice, "/access/projects/"+number).expect(t, http.StatusNotFound)
			w.form(alice, "/access/projects/"+number, url.Values{"id": {w.formID(access.Self)}, "entitlement": {byNumber(selfID)},
				"justification": {"x"}, "minutes": {"5"}}).expect(t, http.StatusNotFound)
			w.api(alice, "/api/requests/jit-AAAAAAAAAAAAAAAA/end", dict{"resource": "projects/" + number}).expect(t, http.StatusNotFound)
			if after, _ := w.cloud.Policy("projects/" + project); string(after) != string(before) {
				t.Errorf("the policy changed:\n%s", after)
			}
			w.pass(time.Minute)
			w.api(alice, selfURL, selfBody(nil)).expect(t, http.StatusOK)
		})
	}
}
