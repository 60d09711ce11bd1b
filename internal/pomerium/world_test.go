package pomerium_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/pomerium"
	sandbox "jitaccess/internal/sandbox/pomerium"
)

const (
	ana     = access.Principal("ana@example.com")
	ben     = access.Principal("ben@example.com")
	eve     = access.Principal("eve@example.com")
	example = access.Resource("pomerium/jit-example")
)

var (
	_  broker.Provider  = (*pomerium.Provider)(nil)
	_  broker.Directory = pomerium.Directory(nil)
	id                  = access.EntitlementID{Resource: example, Role: pomerium.RoleAccess}
)

// world is a Pomerium Zero, what a ledger remembers, and providers that use both.
type world struct {
	t    *testing.T
	zero *sandbox.Zero
	api  *httptest.Server

	mu       sync.Mutex
	clock    time.Time
	slept    []time.Duration
	requests []access.Request
	listErr  error
	config   pomerium.Config
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, clock: time.Date(2026, 11, 22, 0, 2, 3, 0, time.UTC)}
	var err error
	if w.zero, err = sandbox.New(sandbox.Options{Now: w.now}); err != nil {
		t.Fatal(err)
	}
	w.api = httptest.NewServer(w.zero.API())
	w.api.Config.ErrorLog = nil
	t.Cleanup(w.api.Close)
	w.config = pomerium.Config{Endpoint: w.api.URL, RefreshToken: w.zero.RefreshToken(), Organization: w.zero.Organization(),
		Cluster: w.zero.Cluster(), List: w.list, Now: w.now, Sleep: w.sleep}
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clock
}

func (w *world) sleep(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock, w.slept = w.clock.Add(d), append(w.slept, d)
	return ctx.Err()
}

func (w *world) pass(d time.Duration) { _ = w.sleep(context.Background(), d) }

// list is a ledger's, a few at a time.
func (w *world) list(_ context.Context, l access.Listing) (access.Listed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listErr != nil {
		return access.Listed{}, w.listErr
	}
	all := slices.DeleteFunc(slices.Clone(w.requests), func(r access.Request) bool {
		return r.Resource != l.Resource || len(l.States) > 0 && !slices.Contains(l.States, r.State)
	})
	const page = 2
	from := len(l.After)
	to := min(from+page, len(all))
	listed := access.Listed{Requests: all[from:to]}
	if to < len(all) {
		listed.Next = strings.Repeat("x", to)
	}
	return listed, nil
}

func (w *world) provider() *pomerium.Provider {
	w.t.Helper()
	p, err := pomerium.New(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// approved remembers a request of somebody that was approved, and is its grant.
func (w *world) approved(who access.Principal, number byte, start time.Time, length time.Duration) access.Grant {
	window := access.Window{Start: start.Truncate(time.Second), End: start.Truncate(time.Second).Add(length)}
	r := access.Request{ID: access.RequestIDOf(access.Peers, [12]byte{number}), Kind: access.Peers, Principal: who, Resource: example,
		Entitlements: []access.EntitlementID{id}, Justification: "case 4711", Duration: length, Window: window, State: access.Approved,
		Decisions: []access.Decision{{Verdict: access.Approve, By: eve}}}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, r)
	return access.Grant{RequestID: r.ID, Principal: who, Resource: example, Entitlements: r.Entitlements, Window: window,
		Justification: r.Justification, Approvers: []access.Principal{eve}}
}

// state moves a request that is remembered.
func (w *world) state(id string, s access.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.requests {
		if w.requests[i].ID == id {
			w.requests[i].State = s
		}
	}
}

func agree(access.Standing) error { return nil }

func query(who access.Principal) access.StandingQuery {
	return access.StandingQuery{Resource: example, Principals: []access.Principal{who}}
}

// grant has a grant written that must succeed.
func (w *world) grant(p *pomerium.Provider, g access.Grant) access.Outcome {
	w.t.Helper()
	outcomes, err := p.Grant(w.t.Context(), g, query(g.Principal), agree)
	if err != nil || len(outcomes) != len(g.Entitlements) {
		w.t.Fatalf("%v, %v", outcomes, err)
	}
	w.state(g.RequestID, access.Active)
	return outcomes[0]
}

func (w *world) end(p *pomerium.Provider, g access.Grant) ([]access.Outcome, error) {
	return p.End(w.t.Context(), access.Ending{RequestID: g.RequestID, Principal: g.Principal, Resource: example, At: w.now()})
}

// rules are those of the policy, as text.
func (w *world) rules(name string) []string {
	w.t.Helper()
	text := w.zero.PPL(name)
	if text == "" || text == "{}" {
		return nil
	}
	var raws []json.RawMessage
	if err := json.Unmarshal([]byte(text), &raws); err != nil {
		w.t.Fatalf("%s: %v", text, err)
	}
	var all []string
	for _, r := range raws {
		all = append(all, string(r))
	}
	return all
}

func rule(who access.Principal, end time.Time) string {
	return `{"allow":{"and":[{"email":"` + string(who) + `"},{"date":{"before":"` + end.UTC().Format(time.RFC3339) + `"}}]}}`
}

func (w *world) wants(want ...string) {
	w.t.Helper()
	if got := w.rules("jit-example"); !slices.Equal(got, want) {
		w.t.Errorf("the policy is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (w *world) standing(p *pomerium.Provider, q access.StandingQuery) access.Standing {
	w.t.Helper()
	s, err := p.Standing(w.t.Context(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func codeOf(err error) access.Code {
	if e := access.AsError(err); e != nil {
		return e.Code
	}
	return ""
}

// count is how many calls of a method came since Sent was last called.
func count(sent []sandbox.Exchange, method, part string) (n int) {
	for _, e := range sent {
		if e.Method == method && strings.Contains(e.Target, part) {
			n++
		}
	}
	return n
}
