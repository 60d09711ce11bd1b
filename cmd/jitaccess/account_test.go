package main

import (
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Threat 21: whoever can sign as the service account can make any link. It shows
// nothing and grants nothing that the people in it could not have asked for and
// approved.
func TestThreat21_ASignatureOfTheAccountGrantsNothing(t *testing.T) {
	w := newWorld(t, surroundings{})
	before, err := w.cloud.Policy("projects/" + project)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	account := w.cloud.ServiceAccount()
	forged := func(edits dict) string {
		claims := dict{"iss": account, "aud": account, "iat": now, "exp": now + 3600, "jti": "mpa-AAAAAAAAAAAAAAAA", "beneficiary": alice,
			"reviewers": []string{bob}, "entitlement": peerID, "justification": "forged", "start": now, "end": now + 1800, "purpose": "activation", "duration": 1800}
		maps.Copy(claims, edits)
		maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
		return linkOf(t, w.signAsAccount(encoded(t, claims)))
	}
	of1x := dict{"purpose": nil, "duration": nil}
	for rule, c := range map[string]struct {
		by    string
		edits dict
	}{
		"for somebody who is not eligible":    {bob, dict{"beneficiary": frank}},
		"asking somebody who may not approve": {frank, dict{"reviewers": []string{frank}}},
		"of a role that nobody may request":   {bob, dict{"entitlement": project + ":roles/resourcemanager.projectIamAdmin"}},
		"of a basic role":                     {bob, dict{"entitlement": project + ":roles/owner"}},
		"of what is activated alone":          {bob, dict{"entitlement": selfID}},
		"of another project, by its number":   {bob, dict{"entitlement": "219046635873:roles/compute.instanceAdmin.v1"}},
		"for a day":                           {bob, dict{"end": now + 86400, "duration": 86400}},
		"from next year on":                   {bob, dict{"start": now + 365*86400, "end": now + 365*86400 + 1800}},
		"from next year on, as 1.x writes it": {bob, with(dict{"start": now + 365*86400, "end": now + 365*86400 + 1800}, of1x)},
		"for a day, as 1.x writes it":         {bob, with(dict{"end": now + 86400}, of1x)},
		"by who asks, as 1.x writes it":       {alice, with(dict{"reviewers": []string{alice, bob}}, of1x)},
		"for the service account":             {bob, dict{"beneficiary": account}},
		"asking more people than are asked": {bob, dict{"reviewers": slices.Collect(func(yield func(string) bool) {
			for i := range 11 {
				_ = yield(person(i).Email)
			}
			yield(bob)
		})}},
	} {
		t.Run(rule, func(t *testing.T) {
			w.pass(10 * time.Second)
			ref := forged(c.edits)
			if a := w.api(c.by, decideURL(ref), dict{}); a.status < 400 || a.status >= 500 {
				t.Errorf("%d %s", a.status, a.body)
			}
			if a := w.form(c.by, reviewPath(ref), url.Values{"verdict": {"approve"}}); a.status < 400 || a.status >= 500 {
				t.Errorf("%d %s", a.status, a.body)
			}
			if after, _ := w.cloud.Policy("projects/" + project); string(after) != string(before) {
				t.Fatalf("the policy changed:\n%s", after)
			}
		})
	}
	w.pass(10 * time.Second)
	w.api(bob, decideURL(forged(nil)), dict{}).expect(t, http.StatusOK, `"ACTIVE"`)
}

// Threat 21: the account is given no more than the guide says, no key among it.
func TestThreat21_TheGuideGivesTheAccountWhatItNeeds(t *testing.T) {
	text, err := os.ReadFile("../../deploy/setup.md")
	if err != nil {
		t.Fatal(err)
	}
	needed := []string{
		"roles/browser", "roles/cloudasset.viewer", "roles/iam.roleViewer", "roles/iam.securityReviewer", "roles/iam.serviceAccountTokenCreator",
		"roles/pubsub.publisher", "roles/resourcemanager.projectIamAdmin", "roles/secretmanager.secretAccessor",
		"roles/appengine.appViewer", "roles/iam.serviceAccountViewer", "roles/run.viewer", // for doctor to look further
		"roles/resourcemanager.folderIamAdmin", "roles/resourcemanager.organizationAdmin", // where a policy gives out folders or the organization
		"roles/cloudsql.client", "roles/cloudsql.instanceUser", "roles/datastore.user", "roles/parametermanager.parameterViewer", // where its ledger, or its policy, is there
	}
	others := []string{ // of people who deploy, visit, are eligible, and of Google's own agent
		"roles/compute.admin", "roles/iam.serviceAccountUser", "roles/iap.httpsResourceAccessor", "roles/run.invoker",
	}
	for _, role := range regexp.MustCompile(`roles/[A-Za-z.]+[A-Za-z]`).FindAllString(string(text), -1) {
		if !slices.Contains(needed, role) && !slices.Contains(others, role) {
			t.Errorf("deploy/setup.md speaks of %s", role)
		}
	}
	for _, file := range []string{"../../deploy/setup.md", "../../deploy/cloudrun.yaml", "../../app.yaml", "../../Dockerfile"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"keys create", "GOOGLE_APPLICATION_CREDENTIALS", "private_key", ".json /"} {
			if strings.Contains(string(text), key) {
				t.Errorf("%s speaks of %q", file, key)
			}
		}
	}
}
