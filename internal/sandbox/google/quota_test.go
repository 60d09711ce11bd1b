package google_test

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/googleapi"

	"jitaccess/internal/sandbox/google"
)

const (
	batchName = "batchGetEffectiveIamPoliciesQpmPerProject"
	batchPath = "/v1/organizations/482093157016/effectiveIamPolicies:batchGet?names=//cloudresourcemanager.googleapis.com/" + orders
	readName  = "ReadRequestsPerMinutePerProject"
)

// limited is a cloud with the documented quotas, of which some have another value.
func limited(values map[string]int) func(*google.Options) {
	return func(o *google.Options) {
		o.Quotas, o.WithoutCredentials = google.Documented(), true
		for i, q := range o.Quotas {
			if value, changed := values[q.Name]; changed {
				o.Quotas[i].Value = value
			}
		}
	}
}

func (f *fixture) use(service, name string) google.QuotaUse {
	f.t.Helper()
	for _, u := range f.Quotas().Uses() {
		if u.Service == service && u.Name == name {
			return u
		}
	}
	f.t.Fatalf("there is no quota %s of %s", name, service)
	return google.QuotaUse{}
}

func TestNoQuotaUnlessSet(t *testing.T) {
	f := newFixture(t, func(o *google.Options) { o.WithoutCredentials = true })
	for range 101 {
		if code, body := f.get(batchPath); code != 200 {
			t.Fatalf("%d %s", code, body)
		}
	}
	if uses := f.Quotas().Uses(); len(uses) > 0 {
		t.Errorf("%v", uses)
	}
}

func TestQuotaOfAMinute(t *testing.T) {
	f := newFixture(t, limited(nil))
	for range 100 {
		if code, body := f.get(batchPath); code != 200 {
			t.Fatalf("%d %s", code, body)
		}
	}
	for range 3 {
		if code, _ := f.get(batchPath); code != 429 {
			t.Fatalf("the call after the hundredth is answered with %d", code)
		}
	}
	// Other quotas are not touched.
	if _, err := resourceManager(t, f.service()).Projects.Get(orders).Do(); err != nil {
		t.Error(err)
	}
	f.offset.Store(int64(59 * time.Second))
	if code, _ := f.get(batchPath); code != 429 {
		t.Errorf("%d a second before the minute has passed", code)
	}
	f.offset.Store(int64(time.Minute))
	if code, _ := f.get(batchPath); code != 200 {
		t.Errorf("%d a minute later", code)
	}
	if u := f.use("cloudasset.googleapis.com", batchName); u.Used != 1 || u.Most != 100 || u.Total != 101 || u.Refused != 4 {
		t.Errorf("%+v", u)
	}
	if n := f.Calls().Count("GET /v1/organizations/{id}/effectiveIamPolicies:batchGet"); n != 105 {
		t.Errorf("%d calls: those that are refused count as well", n)
	}
}

func TestQuotaRefusalAsGoogleWordsIt(t *testing.T) {
	f := newFixture(t, limited(map[string]int{readName: 0}))
	_, err := resourceManager(t, f.service()).Projects.GetIamPolicy(orders, nil).Do()
	var refusal *googleapi.Error
	if !errors.As(err, &refusal) {
		t.Fatal(err)
	}
	if refusal.Code != 429 || refusal.Header.Get("Retry-After") != "" ||
		len(refusal.Errors) != 1 || refusal.Errors[0].Reason != "rateLimitExceeded" ||
		refusal.Message != "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute' of service "+
			"'cloudresourcemanager.googleapis.com' for consumer 'project_number:264853019977'." {
		t.Errorf("%+v", refusal)
	}
	for _, text := range []string{`"RESOURCE_EXHAUSTED"`, `"RATE_LIMIT_EXCEEDED"`, `"quota_limit": "ReadRequestsPerMinutePerProject"`,
		`"quota_limit_value": "0"`, `"quota_location": "global"`, `"quota_metric": "cloudresourcemanager.googleapis.com/read_requests"`,
		`"service": "cloudresourcemanager.googleapis.com"`, `"consumer": "projects/264853019977"`, "google.rpc.Help"} {
		if !strings.Contains(strings.ReplaceAll(refusal.Body, `":"`, `": "`), text) {
			t.Errorf("%s is missing in %s", text, refusal.Body)
		}
	}
}

// TestDirectoryQuotaIsForbidden: Workspace's APIs have 403 for it.
func TestDirectoryQuotaIsForbidden(t *testing.T) {
	f := newFixture(t, limited(map[string]int{"QueriesPerMinutePerUser": 1}))
	const path = "/admin/directory/v1/groups?customer=my_customer"
	if code, _ := f.get(path); code != 200 {
		t.Error(code)
	}
	code, body := f.get(path)
	if code != 403 || !strings.Contains(body, "userRateLimitExceeded") || !strings.Contains(body, "usageLimits") {
		t.Errorf("%d %s", code, body)
	}
}

func TestQuotaMaySayWhenToComeBack(t *testing.T) {
	quota := google.Documented()[0]
	quota.Value, quota.RetryAfter = 0, 1500*time.Millisecond
	f := newFixture(t, func(o *google.Options) { o.Quotas, o.WithoutCredentials = []google.Quota{quota}, true })
	answer, err := http.Get(f.url + "/v3/projects:search")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 429 || answer.Header.Get("Retry-After") != "2" {
		t.Errorf("%s, Retry-After %q", answer.Status, answer.Header.Get("Retry-After"))
	}
}

// TestQuotaOfADay counts the same calls as that of a minute; what one of them refuses
// uses nothing of the other.
func TestQuotaOfADay(t *testing.T) {
	f := newFixture(t, limited(map[string]int{"analyzeIamPolicyQpdPerProject": 2}))
	const path = "/v1/organizations/482093157016:analyzeIamPolicy?analysisQuery.accessSelector.roles=roles/viewer"
	for i, want := range []int{200, 200, 429, 429} {
		f.offset.Store(int64(time.Duration(i) * time.Hour))
		if code, body := f.get(path); code != want {
			t.Errorf("call %d: %d %s", i, code, body)
		}
	}
	for name, want := range map[string]int{"analyzeIamPolicyQpdPerProject": 2, "analyzeIamPolicyQpmPerProject": 0} {
		if u := f.use("cloudasset.googleapis.com", name); u.Refused != want || u.Total != 2 {
			t.Errorf("%s: %+v", name, u)
		}
	}
	f.offset.Store(int64(24 * time.Hour))
	if code, _ := f.get(path); code != 200 {
		t.Errorf("%d on the next day", code)
	}
}

func TestQuotaOfKilobytes(t *testing.T) {
	f := newFixture(t, limited(map[string]int{"regionalPublisherPerMinutePerProject": 4}))
	const path = "/v1/projects/example-jitaccess/topics/jitaccess-notifications:publish"
	message := func(bytes int) string {
		return `{"messages":[{"attributes":{"text":"` + strings.Repeat("x", bytes-len(`{"messages":[{"attributes":{"text":""}}]}`)) + `"}}]}`
	}
	for _, step := range []struct{ bytes, want int }{{2001, 200}, {1001, 429}, {1000, 200}, {100, 429}} {
		if code, body := f.do("POST", path, message(step.bytes)); code != step.want {
			t.Errorf("%d bytes: %d %s", step.bytes, code, body)
		}
	}
}

func TestQuotaIsSpentOnDemand(t *testing.T) {
	f := newFixture(t, limited(nil))
	if err := f.Quotas().Spend(batchName); err != nil {
		t.Fatal(err)
	}
	if code, _ := f.get(batchPath); code != 429 {
		t.Error(code)
	}
	f.offset.Store(int64(time.Minute))
	if code, _ := f.get(batchPath); code != 200 {
		t.Error("still spent a minute later")
	}
	if f.Quotas().Spend("nothing") == nil {
		t.Error("a quota that is none was spent")
	}
}

// TestQuotasNameMethodsThatAreHere, each of them that the service account calls.
func TestQuotasNameMethodsThatAreHere(t *testing.T) {
	f := newFixture(t)
	names := map[string]bool{}
	counted := map[string]bool{}
	for _, q := range google.Documented() {
		if key := q.Service + " " + q.Name; names[key] {
			t.Errorf("%s is there twice", key)
		} else {
			names[key] = true
		}
		if q.Value <= 0 || q.Per <= 0 || q.Title == "" || q.MetricTitle == "" || len(q.Methods) == 0 {
			t.Errorf("%+v", q)
		}
		for _, m := range q.Methods {
			counted[m] = true
		}
	}
	for method := range counted {
		verb, template, _ := strings.Cut(method, " ")
		f.Calls().Reset()
		f.do(verb, strings.NewReplacer("{", "", "}", "").Replace(template), "{}")
		if f.Calls().Count(method) != 1 {
			t.Errorf("%s is no method: %v", method, f.Calls().All())
		}
	}
	for _, method := range []string{"POST /v3/projects/{id}:getIamPolicy", "POST /v3/folders/{id}:getIamPolicy",
		"POST /v3/projects/{id}:setIamPolicy", "GET /v1/roles/{role}",
		"GET /admin/directory/v1/groups", "GET /admin/directory/v1/groups/{group}/members"} {
		if !counted[method] {
			t.Errorf("%s is counted by no quota: %q", method, slices.Sorted(maps.Keys(counted)))
		}
	}
}

func TestControlAPIOfQuotas(t *testing.T) {
	f := newFixture(t, func(o *google.Options) { o.WithoutCredentials = true })
	type object = map[string]any
	set := func(path string, body object, want int) {
		t.Helper()
		if code, text := f.post(path, body); code != want {
			t.Errorf("%s %v: %d %s", path, body, code, text)
		}
	}
	opens := func(want int) {
		t.Helper()
		if code, body := f.get(batchPath); code != want {
			t.Errorf("%d %s", code, body)
		}
	}
	set("/control/quotas/spend", object{"value": batchName}, 400)
	opens(200)
	set("/control/quotas", object{"values": object{"nothing": 1}}, 400)
	set("/control/quotas", object{"values": object{batchName: 1}}, 200)
	opens(200)
	opens(429)
	if _, body := f.get("/control/quotas"); !strings.Contains(body, `"refused": 1`) {
		t.Errorf("%s", body)
	}
	set("/control/quotas", nil, 200)
	opens(200)
	set("/control/quotas/spend", object{"value": batchName}, 200)
	opens(429)
	if code, _ := f.do("DELETE", "/control/quotas", ""); code != 200 {
		t.Error(code)
	}
	opens(200)
}

// TestResetForgetsQuotasThatWereSet, and what was used of those of the start.
func TestResetForgetsQuotasThatWereSet(t *testing.T) {
	f := newFixture(t, limited(map[string]int{batchName: 1}))
	f.get(batchPath)
	f.Faults().Reset()
	if code, _ := f.get(batchPath); code != 200 {
		t.Error(code)
	}
	f.Quotas().Set()
	f.Faults().Reset()
	f.get(batchPath)
	if code, _ := f.get(batchPath); code != 429 {
		t.Error(code)
	}
}

// TestLatencyOfEveryCall: with one that nobody waits for, only what is no API answers.
func TestLatencyOfEveryCall(t *testing.T) {
	f := newFixture(t, func(o *google.Options) { o.Latency = time.Hour })
	f.metadataToken()
	impatient := &http.Client{Timeout: 50 * time.Millisecond}
	if answer, err := impatient.Get(f.url + "/v3/projects:search"); err == nil {
		answer.Body.Close()
		t.Error("answered at once")
	}
}
