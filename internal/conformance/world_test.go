package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

const (
	scratch = "conformance-scratch"
	number  = "550012345678"
	people  = "sre@example.com"
)

// fakeClock is one clock for all; to sleep is to let it go on.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

// world is a Google Cloud with a project that is scratch, and what a run needs of it.
type world struct {
	t     *testing.T
	cloud *google.Cloud
	clock *fakeClock
	Config
	// wrap stands before Google's answers, one at a time: serving is held meanwhile.
	wrap    func(http.Handler) http.Handler
	serving sync.Mutex
}

// ownPolicy is what a project has that somebody made, with some APIs.
func ownPolicy(bindings ...google.Binding) google.Policy {
	return google.Policy{Bindings: append([]google.Binding{
		{Role: "roles/owner", Members: []string{"user:erin@example.com"}},
		{Role: "roles/editor", Members: []string{"serviceAccount:" + number + "@cloudservices.gserviceaccount.com",
			"serviceAccount:" + number + "-compute@developer.gserviceaccount.com"}},
	}, bindings...)}
}

func newWorld(t *testing.T, edit ...func(*google.Project)) *world {
	t.Helper()
	w := &world{t: t, clock: &fakeClock{now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}}
	organization := google.Believable(w.clock.now)
	project := google.Project{ID: scratch, Number: number, DisplayName: "Scratch", Parent: "organizations/" + organization.ID, Policy: ownPolicy()}
	for _, e := range edit {
		e(&project)
	}
	organization.Projects = append(organization.Projects, project)
	var err error
	if w.cloud, err = google.New(google.Options{Now: w.clock.Now, Organization: organization}); err != nil {
		t.Fatal(err)
	}
	inner := w.cloud.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.serving.Lock()
		defer w.serving.Unlock()
		if w.wrap != nil {
			w.wrap(inner).ServeHTTP(rw, r)
			return
		}
		inner.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	as := func(scopes ...string) *http.Client {
		token, err := w.cloud.IssueToken(w.cloud.ServiceAccount(), scopes...)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Client{Transport: bearer(token)}
	}
	assertion, err := w.cloud.SignIAPAssertion("alice@example.com", "accounts.google.com:1", "/projects/"+number+"/apps/"+scratch)
	if err != nil {
		t.Fatal(err)
	}
	w.Config = Config{
		Project: scratch, Account: w.cloud.ServiceAccount(), HTTP: as(), Directory: as(google.ScopeGroupsReadOnly),
		Endpoint: func(string) string { return server.URL },
		Keys: func(context.Context) ([]byte, error) {
			answer, err := http.Get(server.URL + "/iap/verify/public_key-jwk")
			if err != nil {
				return nil, err
			}
			defer answer.Body.Close()
			return io.ReadAll(answer.Body)
		},
		Skew:      func() (time.Duration, bool) { return 0, false },
		Assertion: assertion, Group: people, Customer: "my_customer", Patience: 8 * time.Minute,
		Version: "test", Now: w.clock.Now, Sleep: w.clock.Sleep,
	}
	return w
}

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// policy is that of the scratch project as Google has it, without what changes with each write.
func (w *world) policy() string {
	w.t.Helper()
	text, err := w.cloud.Policy("projects/" + scratch)
	if err != nil {
		w.t.Fatal(err)
	}
	var p google.Policy
	if err := json.Unmarshal(text, &p); err != nil {
		w.t.Fatal(err)
	}
	p.Etag = ""
	again, err := json.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(again)
}

// run makes a run that begins, and sees that nothing is left of it.
func (w *world) run(ctx context.Context) Report {
	w.t.Helper()
	before := w.policy()
	report, err := Run(ctx, w.Config)
	if err != nil {
		w.t.Fatal(err)
	}
	if after := w.policy(); after != before || len(report.Left) > 0 {
		w.t.Errorf("the policy was\n%s\nand is\n%s\nleft: %v", before, after, report.Left)
	}
	return report
}

// results are the ids of the checks with a result.
func results(r Report, result Result) (ids []string) {
	for _, c := range r.Checks {
		if c.Result == result {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// made is the check for which a call was made, and what was called.
func made(r *http.Request) (check, method string) {
	path := r.URL.Path
	return strings.TrimPrefix(r.Header.Get("X-Goog-Request-Reason"), reason), path[strings.LastIndexAny(path, ":/")+1:]
}

// instead answers the calls of a method that are made for a check, or for any if that is
// empty, in Google's place.
func instead(check, method string, answer func(w http.ResponseWriter, body []byte)) func(http.Handler) http.Handler {
	return func(google http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, m := made(r); m != method || check != "" && c != check {
				google.ServeHTTP(w, r)
				return
			}
			recorder := httptest.NewRecorder()
			google.ServeHTTP(recorder, r)
			answer(w, recorder.Body.Bytes())
		})
	}
}

// says is an answer of a status, in Google's form.
func says(status int, code, message string) func(http.ResponseWriter, []byte) {
	return func(w http.ResponseWriter, _ []byte) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": status, "status": code, "message": message}})
	}
}

// edited is Google's answer, changed.
func edited(change func(map[string]any)) func(http.ResponseWriter, []byte) {
	return func(w http.ResponseWriter, body []byte) {
		var all map[string]any
		json.NewDecoder(bytes.NewReader(body)).Decode(&all)
		change(all)
		json.NewEncoder(w).Encode(all)
	}
}

// permissions are those that a test of permissions answers besides, or without, one.
func permissions(with, without string) func(http.ResponseWriter, []byte) {
	return edited(func(all map[string]any) {
		held, _ := all["permissions"].([]any)
		held = slices.DeleteFunc(held, func(p any) bool { return p == without })
		if with != "" && !slices.Contains(held, any(with)) {
			held = append(held, with)
		}
		all["permissions"] = held
	})
}
