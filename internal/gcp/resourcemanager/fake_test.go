package resourcemanager_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/resourcemanager"
)

// google is a Resource Manager with one project, which enforces what the real one
// does: etags, versions, and that conditions are not lost. It can be told to fail.
type google struct {
	t testing.TB

	mu       sync.Mutex
	bindings []json.RawMessage
	rest     string // other fields of the policy
	version  int    // counts writes; the etag is made of it
	// onRead and onWrite are asked before a call is carried out, with its number
	// from 1; they may answer it, or return a fault.
	onRead, onWrite func(n int, body string) *fault
	reads, writes   int // calls
	made            int // writes that changed the policy
	reasons         []string
	gets            int
	onGet           *fault
}

// fault is how a call fails.
type fault struct {
	status int
	body   string
	// after: the call is carried out, and only its answer fails.
	after bool
	// hang: nobody answers.
	hang bool
	// late is when a hanging call is carried out though its caller has left.
	late time.Duration
	// reset: the connection breaks.
	reset bool
}

func newGoogle(t testing.TB, bindings ...string) *google {
	g := &google{t: t, rest: `"auditConfigs": [ {"service":"allServices"} ]`, version: 1}
	for _, b := range bindings {
		g.bindings = append(g.bindings, json.RawMessage(b))
	}
	return g
}

func (g *google) policy() string {
	var all []string
	for _, b := range g.bindings {
		all = append(all, string(b))
	}
	return fmt.Sprintf(`{"version":3,"etag":"v%d",%s,"bindings":[%s]}`, g.version, g.rest, strings.Join(all, ","))
}

// ServeHTTP is for a real connection, RoundTrip for synthetic time.
func (g *google) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	res, err := g.RoundTrip(r)
	if err != nil {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			c.Close()
		}
		return
	}
	w.WriteHeader(res.StatusCode)
	io.Copy(w, res.Body)
}

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}}
}

func problem(status int, code, message string) string {
	b, _ := json.Marshal(message)
	return fmt.Sprintf(`{"error":{"code":%d,"message":%s,"status":%q}}`, status, b, code)
}

func (g *google) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	var f *fault
	var carryOut func() (int, string)
	switch {
	case r.Method == "POST" && r.URL.Path == "/v3/projects/shop:getIamPolicy":
		g.reads++
		if g.onRead != nil {
			f = g.onRead(g.reads, string(body))
		}
		carryOut = func() (int, string) {
			if string(body) != `{"options":{"requestedPolicyVersion":3}}` {
				return 400, problem(400, "INVALID_ARGUMENT", "not version 3")
			}
			return 200, g.policy()
		}
	case r.Method == "POST" && r.URL.Path == "/v3/projects/shop:setIamPolicy":
		g.writes++
		g.reasons = append(g.reasons, r.Header.Get("X-Goog-Request-Reason"))
		if g.onWrite != nil {
			f = g.onWrite(g.writes, string(body))
		}
		carryOut = func() (int, string) { return g.set(body) }
	case r.Method == "GET" && r.URL.Path == "/v3/projects/shop":
		g.gets++
		f = g.onGet
		carryOut = func() (int, string) { return 200, `{"name":"projects/1"}` }
	default:
		g.t.Errorf("unexpected call %s %s", r.Method, r.URL)
		carryOut = func() (int, string) { return 404, "" }
	}
	if f == nil {
		defer g.mu.Unlock()
		return answer(carryOut()), nil
	}
	if f.after {
		carryOut()
	}
	g.mu.Unlock()
	switch {
	case f.hang:
		<-r.Context().Done()
		if f.late > 0 {
			go func() {
				time.Sleep(f.late)
				g.mu.Lock()
				defer g.mu.Unlock()
				carryOut()
			}()
		}
		return nil, r.Context().Err()
	case f.reset:
		return nil, &errorOf{syscall.ECONNRESET}
	}
	return answer(f.status, f.body), nil
}

type errorOf struct{ error }

func (e *errorOf) Unwrap() error { return e.error }

func (g *google) set(body []byte) (int, string) {
	var in struct {
		Policy struct {
			Etag         string
			Version      int
			Bindings     []json.RawMessage
			AuditConfigs json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &in); err != nil || in.Policy.Version != 3 || in.Policy.Etag == "" {
		g.t.Errorf("a bad write: %v, %s", err, body)
		return 400, problem(400, "INVALID_ARGUMENT", "bad policy")
	}
	if in.Policy.Etag != fmt.Sprintf("v%d", g.version) {
		return 409, problem(409, "ABORTED", "There were concurrent policy changes.")
	}
	if `"auditConfigs": `+string(in.Policy.AuditConfigs) != g.rest {
		g.t.Errorf("audit configuration lost: %s", in.Policy.AuditConfigs)
	}
	g.bindings = in.Policy.Bindings
	g.version++
	g.made++
	return 200, g.policy()
}

// change is what somebody else does to the policy.
func (g *google) change(binding string) {
	g.bindings = append(g.bindings, json.RawMessage(binding))
	g.version++
}

// ofRequest counts the bindings that carry an id.
func (g *google) ofRequest(id string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, b := range g.bindings {
		if strings.Contains(string(b), " ["+id+"]") {
			n++
		}
	}
	return n
}

// always fails every call in the same way.
func always(f fault) func(int, string) *fault { return func(int, string) *fault { return &f } }

// first fails the first calls.
func first(n int, f fault) func(int, string) *fault {
	return func(i int, _ string) *fault {
		if i <= n {
			return &f
		}
		return nil
	}
}

// standings says what stands in the policy and nothing else.
type standings struct{}

func (standings) Prepare(_ context.Context, q access.StandingQuery) (func(*iampolicy.Policy) access.Standing, error) {
	return func(p *iampolicy.Policy) access.Standing {
		found, warnings := p.Activations(q.Resource)
		return access.Standing{Resource: q.Resource, Activations: found, Warnings: warnings}
	}, nil
}

// noStandings cannot answer.
type noStandings struct{}

func (noStandings) Prepare(context.Context, access.StandingQuery) (func(*iampolicy.Policy) access.Standing, error) {
	return nil, &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
}

func clientOf(g http.RoundTripper) *resourcemanager.Client {
	return resourcemanager.New(resourcemanager.Config{HTTP: &http.Client{Transport: g}, Endpoint: "http://127.0.0.1:1/",
		ServiceAccount: "jit@ops.iam.gserviceaccount.com", Now: time.Now, Sleep: sleep})
}

// sleep waits by the clock, which is that of synctest.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func granterOf(g *google) *resourcemanager.Granter {
	return resourcemanager.NewGranter(clientOf(g), standings{})
}

const shop = access.Resource("projects/shop")

func entitlement(role access.Role) access.EntitlementID {
	return access.EntitlementID{Resource: shop, Role: role}
}

// grantTo is an approved grant of some roles from now on for an hour.
func grantTo(who access.Principal, id string, roles ...access.Role) access.Grant {
	g := access.Grant{RequestID: id, Principal: who, Resource: shop, Justification: "because",
		Approvers: []access.Principal{"bob@example.com"}}
	for _, r := range roles {
		g.Entitlements = append(g.Entitlements, entitlement(r))
	}
	start := time.Now().UTC().Truncate(time.Second)
	g.Window = access.Window{Start: start, End: start.Add(time.Hour)}
	return g
}

func query(g access.Grant) access.StandingQuery {
	return access.StandingQuery{Resource: g.Resource, Principals: []access.Principal{g.Principal}, Since: time.Now()}
}

func fine(access.Standing) error { return nil }

func results(outcomes []access.Outcome) string {
	var all []string
	for _, o := range outcomes {
		text := string(o.Result)
		if o.Err != nil {
			text += " " + string(o.Err.Code)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func codeOf(err error) access.Code {
	var e *access.Error
	if err == nil {
		return ""
	}
	if !errors.As(err, &e) {
		return "not an access.Error"
	}
	return e.Code
}

// serve puts Google on a real connection.
func serve(t *testing.T, g *google) *resourcemanager.Client {
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return resourcemanager.New(resourcemanager.Config{HTTP: server.Client(), Endpoint: server.URL, Now: time.Now, Sleep: sleep})
}
