package google_test

import (
	"bytes"
	"net/http/httptest"
	"net/url"
	"testing"

	"jitaccess/internal/sandbox/google"
)

// FuzzAnyCall: no path and no query makes the cloud panic or answer a fault of its
// own.
func FuzzAnyCall(fuzz *testing.F) {
	for _, seed := range []string{
		"/v3/projects:search?query=id:*&pageToken=MiAvdjMvcHJvamVjdHM6c2VhcmNoPw==", "/v1/projects?filter=labels.a=b&pageSize=-1",
		"/v1/organizations/482093157016/effectiveIamPolicies:batchGet?names=//x&names=//cloudresourcemanager.googleapis.com/projects/shop-orders-prod",
		"/v1/folders/731905264410:analyzeIamPolicy?analysisQuery.accessSelector.roles=roles/viewer&analysisQuery.conditionContext.accessTime=2026-03-02T09:30:00Z",
		"/admin/directory/v1/groups?customer=my_customer&query=memberKey='", "/admin/directory/v1/groups/sre@example.com/members?maxResults=1",
		"/v1/projects/example-jitaccess/secrets/a/versions/1:access", "/v1/projects/a:b:c", "/service_accounts/v1/metadata/jwk/", "/computeMetadata/v1/project/?recursive=true",
		"/v1/roles/../roles", "/v3/projects/%2e%2e:getIamPolicy", "/control/policy?resource=//",
	} {
		fuzz.Add("GET", seed, "{}")
		fuzz.Add("POST", seed, `{"fullResourceName":"//x/projects/shop-orders-prod","pageSize":-1,"pageToken":"x","payload":"{}","scope":[""],"messages":[{}]}`)
	}
	fuzz.Fuzz(func(t *testing.T, method, target, body string) {
		at, err := url.ParseRequestURI(target)
		if err != nil || (method != "GET" && method != "POST") {
			return
		}
		cloud, err := google.New(google.Options{WithoutCredentials: true})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(method, "/", bytes.NewReader([]byte(body)))
		r.URL = at
		w := httptest.NewRecorder()
		cloud.Handler().ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s: %d %s", method, target, w.Code, w.Body)
		}
	})
}
