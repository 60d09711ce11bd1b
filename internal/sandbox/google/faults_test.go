package google_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	crm "google.golang.org/api/cloudresourcemanager/v3"

	"jitaccess/internal/sandbox/google"
)

// grantFrank tries one write that adds a binding, without a read.
func grantFrank(ctx context.Context, s *crm.Service) error {
	p := &crm.Policy{Bindings: []*crm.Binding{{Role: "roles/browser", Members: []string{"user:frank@example.com"}}}}
	_, err := s.Projects.SetIamPolicy("projects/shop-frontend-dev", &crm.SetIamPolicyRequest{Policy: p}).Context(ctx).Do()
	return err
}

const frontend = "projects/shop-frontend-dev"

func (f *fixture) frankGranted() bool {
	return f.Allowed("user:frank@example.com", "roles/browser", frontend, start) && f.Policies(frontend, "roles/browser")
}

// Policies is whether the policy text has some words.
func (f *fixture) Policies(resource, words string) bool {
	text, err := f.Policy(resource)
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.Contains(string(text), words)
}

func TestFaultsThatAnswer(t *testing.T) {
	for name, rule := range map[string]struct {
		fault google.Fault
		code  int
		words string
	}{
		"a quota":            {google.Fault{Status: 429}, 429, "Quota exceeded"},
		"an internal error":  {google.Fault{Status: 500}, 500, "Internal error encountered."},
		"an outage":          {google.Fault{Status: 503}, 503, "currently unavailable"},
		"words of one's own": {google.Fault{Status: 400, Message: "no, thanks"}, 400, "no, thanks"},
		"a conflict":         {google.Fault{Status: 409, Message: "There were concurrent policy changes."}, 409, "concurrent"},
		"a latency":          {google.Fault{Latency: time.Nanosecond, Status: 503}, 503, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			s := resourceManager(t, f.service())
			rule.fault.Times = 2
			rule.fault.Path = "/v3/" + frontend
			f.Faults().Add(rule.fault)
			for range 2 {
				refused(t, grantFrank(t.Context(), s), rule.code, rule.words)
			}
			if f.frankGranted() {
				t.Error("applied all the same")
			}
			if err := grantFrank(t.Context(), s); err != nil {
				t.Errorf("the fault is not over: %v", err)
			}
		})
	}
}

func TestFaultWithABodyThatIsNotGoogles(t *testing.T) {
	f := newFixture(t)
	f.Faults().Add(google.Fault{Status: 502, Body: "<html>bad gateway"})
	if code, body := f.get("/v3/projects:search"); code != 502 || body != "<html>bad gateway" {
		t.Errorf("%d %s", code, body)
	}
}

func TestFaultsHitWhatTheyName(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	id := f.Faults().Add(google.Fault{Method: "POST", Path: "/v3/projects/{id}:setIamPolicy", Status: 503})
	if _, err := s.Projects.Get(frontend).Do(); err != nil {
		t.Error(err)
	}
	read(t, s, frontend)
	refused(t, grantFrank(t.Context(), s), 503, "")
	f.Faults().Remove(id)
	if err := grantFrank(t.Context(), s); err != nil {
		t.Error(err)
	}
	f.Faults().Conflict(frontend, 1)
	refused(t, grantFrank(t.Context(), s), 409, "concurrent policy changes")
	if err := grantFrank(t.Context(), s); err != nil {
		t.Error(err)
	}
	f.Faults().Conflict("", 0)
	refused(t, grantFrank(t.Context(), s), 409, "")
	f.Faults().Clear()
	if err := grantFrank(t.Context(), s); err != nil {
		t.Error(err)
	}
}

func TestAnswerLostAfterTheWrite(t *testing.T) {
	t.Run("by reset", func(t *testing.T) {
		f := newFixture(t)
		f.Faults().Add(google.Fault{Lose: google.LoseByReset, Path: "/v3/" + frontend, Times: 1})
		if err := grantFrank(t.Context(), resourceManager(t, f.service())); err == nil {
			t.Error("an answer came")
		}
		if !f.frankGranted() {
			t.Error("not written")
		}
	})
	t.Run("by hanging", func(t *testing.T) {
		f := newFixture(t)
		s := resourceManager(t, f.service())
		f.Faults().Add(google.Fault{Lose: google.LoseByHang, Path: "/v3/" + frontend, Times: 1})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- grantFrank(ctx, s) }()
		until(t, done, func() bool { return f.Policies(frontend, "roles/browser") })
		cancel()
		if err := <-done; err == nil {
			t.Error("an answer came")
		}
	})
}

// until waits for something that a call does before it hangs; it gives up when the
// call ends.
func until(t *testing.T, done <-chan error, happened func() bool) {
	t.Helper()
	for !happened() {
		select {
		case err := <-done:
			t.Fatalf("the call did not hang: %v", err)
		default:
			runtime.Gosched()
		}
	}
}

func TestHangUntilTheClientGoesAway(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	f.Faults().Add(google.Fault{Hang: true, Path: "/v3/" + frontend, Times: 1})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- grantFrank(ctx, s) }()
	until(t, done, func() bool { return f.Calls().Count("POST /v3/projects/{id}:setIamPolicy") > 0 })
	cancel()
	if err := <-done; err == nil {
		t.Error("an answer came")
	}
	if f.Policies(frontend, "roles/browser") {
		t.Error("applied all the same")
	}
}

func TestRemovedEligibility(t *testing.T) {
	f := newFixture(t)
	f.Faults().RemoveEligibility("alice@example.com")
	if n := strings.Count(policyText(t, f, orders), "user:alice@example.com"); n != 1 {
		t.Errorf("alice is named %d times: her activation stays, her eligibility goes", n)
	}
	if l, err := groups(t, f).Groups.List().UserKey("alice@example.com").Do(); err != nil || len(l.Groups) != 0 {
		t.Errorf("groups: %v, %v", l, err)
	}
	f.Faults().Reset()
	if n := strings.Count(policyText(t, f, orders), "user:alice@example.com"); n != 3 {
		t.Errorf("after the reset alice is named %d times", n)
	}
	if l, err := groups(t, f).Groups.List().UserKey("alice@example.com").Do(); err != nil || len(l.Groups) != 3 {
		t.Errorf("groups after the reset: %v, %v", l, err)
	}
}

func TestDeletedPerson(t *testing.T) {
	f := newFixture(t)
	f.Faults().DeletePerson("bob@example.com")
	if text := policyText(t, f, orders); !strings.Contains(text, `"deleted:user:bob@example.com?uid=`) || strings.Contains(text, `"user:bob@`) {
		t.Error(text)
	}
	s := resourceManager(t, f.service())
	p := read(t, s, orders)
	if _, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
		t.Errorf("a policy that names him cannot be written: %v", err)
	}
	p = read(t, s, orders)
	p.Bindings = append(p.Bindings, &crm.Binding{Role: "roles/browser", Members: []string{"user:bob@example.com"}})
	_, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do()
	refused(t, err, 400, "User bob@example.com does not exist.")
}

func policyText(t *testing.T, f *fixture, resource string) string {
	t.Helper()
	text, err := f.Policy(resource)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCalls(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	f.Calls().Reset()
	read(t, s, orders)
	read(t, s, frontend)
	if n := f.Calls().Count("POST /v3/projects/{id}:getIamPolicy"); n != 2 || len(f.Calls().All()) != 1 {
		t.Errorf("%v", f.Calls().All())
	}
}

// post sends JSON to the control API.
func (f *fixture) post(path string, body any) (int, string) {
	f.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.do("POST", path, string(b), "Content-Type", "application/json")
}

func TestControlAPI(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	type object = map[string]any
	for _, step := range []struct {
		path string
		body object
	}{
		{"/control/faults", object{"path": "/v3/", "status": 503, "times": 1}}, {"/control/conflicts", object{"resource": frontend, "times": 1}},
		{"/control/keys/rotate", nil}, {"/control/keys/drop", nil}, {"/control/inventory/freeze", object{"on": true}}, {"/control/bindings/reorder", object{"on": true}},
		{"/control/policies/whole", object{"on": true}}, {"/control/permissions/revoke", object{"value": "x.y.z"}}, {"/control/permissions/restore", nil},
		{"/control/eligibility/remove", object{"value": "dan.o'brien@example.com"}}, {"/control/people/delete", object{"value": "frank@example.com"}},
		{"/control/projects/move", object{"project": "shop-payments-prod", "parent": f.OrganizationID()}},
	} {
		if code, body := f.post(step.path, step.body); code != 200 {
			t.Errorf("%s: %d %s", step.path, code, body)
		}
	}
	if _, body := f.get("/control/faults"); strings.Count(body, `"status"`) != 2 {
		t.Errorf("faults: %s", body)
	}
	_, err := s.Projects.Get(frontend).Do()
	refused(t, err, 503, "")
	if code, body := f.do("DELETE", "/control/faults", ""); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := f.do("DELETE", "/control/faults/7", ""); code != 200 {
		t.Error("removing what is gone is no error")
	}
	if _, err := s.Projects.Get(frontend).Do(); err != nil {
		t.Error(err)
	}
	if code, body := f.post("/control/reset", nil); code != 200 {
		t.Errorf("%d %s", code, body)
	}

	for path, words := range map[string]string{
		"/control/calls": "{}", "/control/people": "Alice Moreau", "/control/policy?resource=" + orders: "roles/cloudsql.admin",
		"/control/messages?topic=x": "[]",
	} {
		if code, body := f.get(path); code != 200 || !strings.Contains(body, words) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	_, body := f.post("/control/tokens", object{"email": "erin@example.com"})
	var token struct{ AccessToken string }
	if err := json.Unmarshal([]byte(body), &token); err != nil {
		t.Fatal(err)
	}
	if _, err := resourceManager(t, f.as(token.AccessToken)).Organizations.Get(f.OrganizationID()).Do(); err != nil {
		t.Error(err)
	}
}

func TestControlAPIRefusals(t *testing.T) {
	f := newFixture(t)
	for path, body := range map[string]string{
		"/control/faults": `{"lose":"forever"}`, "/control/conflicts": `{"colour":1}`, "/control/permissions/revoke": `{}`, "/control/inventory/freeze": `{"on":"yes"}`,
	} {
		if code, text := f.do("POST", path, body); code != 400 {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	if code, _ := f.do("POST", "/control/faults", `{"status":99}`); code != 400 {
		t.Error("a status that is none was taken")
	}
	if code, _ := f.get("/control/policy?resource=projects/x"); code != 400 {
		t.Error("a policy of nothing")
	}
	if code, _ := f.get("/control/nothing"); code != 404 {
		t.Error("a page of nothing")
	}
}

// A page that the person at this machine happens to visit must not drive the
// sandbox.
func TestThreat02_ControlAPIRefusesOtherSites(t *testing.T) {
	f := newFixture(t)
	for name, value := range map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"} {
		if code, _ := f.do("POST", "/control/reset", "{}", name, value); code != http.StatusForbidden {
			t.Errorf("%s: %d", name, code)
		}
	}
}

func TestUnknownPathsAreNotFoundAsAtGoogle(t *testing.T) {
	f := newFixture(t)
	for _, path := range []string{"/v3/projects/../../evil:getIamPolicy", "/v9/projects/x", "/v3/projects/a/b:getIamPolicy", "/favicon.ico"} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", f.url, bytes.NewReader(nil))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path = path
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != 404 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %s", path, answer.StatusCode, answer.Header.Get("Content-Type"))
		}
	}
}
