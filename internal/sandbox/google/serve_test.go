package google_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"jitaccess/internal/sandbox/google"
)

// Google's libraries for Java compress what they send.
func TestBodiesMayBeCompressed(t *testing.T) {
	f := newFixture(t)
	token, err := f.IssueToken(f.ServiceAccount())
	if err != nil {
		t.Fatal(err)
	}
	packed := func(text string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		io.WriteString(w, text)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	sign := packed(`{"payload":"{\"iss\":\"x\"}"}`)
	send := func(body, encoding string) (int, string) {
		headers := []string{"Authorization", "Bearer " + token, "Content-Type", "application/json"}
		if encoding != "" {
			headers = append(headers, "Content-Encoding", encoding)
		}
		return f.do("POST", "/v1/projects/-/serviceAccounts/"+f.ServiceAccount()+":signJwt", body, headers...)
	}
	if code, body := send(sign, "gzip"); code != 200 || !strings.Contains(body, "signedJwt") {
		t.Errorf("compressed: %d %s", code, body)
	}
	if code, body := send(`{"payload":"{\"iss\":\"x\"}"}`, "identity"); code != 200 {
		t.Errorf("as it is: %d %s", code, body)
	}
	for what, c := range map[string][2]string{
		"compressed, and not said":  {sign, ""},
		"said, and not compressed":  {`{"payload":"{}"}`, "gzip"},
		"cut short":                 {sign[:len(sign)-9], "gzip"},
		"nothing":                   {"", "gzip"},
		"another encoding":          {sign, "br"},
		"a bomb":                    {packed(`{"payload":"` + strings.Repeat(" ", 11<<20) + `"}`), "gzip"},
		"compressed, but no object": {packed("[]"), "gzip"},
	} {
		if code, body := send(c[0], c[1]); code != 400 || !strings.Contains(body, `"error"`) {
			t.Errorf("%s: %d %.100s", what, code, body)
		}
	}
}

// FuzzAnyCall: no path and no query makes the cloud panic or answer a fault of its
// own.
func FuzzAnyCall(fuzz *testing.F) {
	for _, seed := range []string{
		"/v3/projects:search?query=id:*&pageToken=MiAvdjMvcHJvamVjdHM6c2VhcmNoPw==", "/v1/projects?filter=labels.a=b&pageSize=-1",
		"/v1/organizations/482093157016/effectiveIamPolicies:batchGet?names=//x&names=//cloudresourcemanager.googleapis.com/projects/shop-orders-prod",
		"/v1/folders/731905264410:analyzeIamPolicy?analysisQuery.accessSelector.roles=roles/viewer&analysisQuery.conditionContext.accessTime=2026-03-02T09:30:00Z",
		"/admin/directory/v1/groups?customer=my_customer&query=memberKey='", "/admin/directory/v1/groups/sre@example.com/members?maxResults=1",
		"/v1/projects/example-jitaccess/secrets/a/versions/1:access", "/v1/projects/a:b:c", "/service_accounts/v1/metadata/jwk/", "/computeMetadata/v1/project/?recursive=true", "/computeMetadata/v1/instance/service-accounts/?recursive=true",
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
