package broker_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/policy"
)

// world is an organization in memory, behind every port of the broker. It keeps
// what each port promises, and fails on demand.
type world struct {
	t   *testing.T
	mu  sync.Mutex
	now time.Time

	holdings    map[access.Principal][]access.Entitlement
	activations []access.Activation
	journal     []access.Event
	told        []access.Notice
	requests    map[string]access.Request
	calls       map[string]int

	limits       access.Limits
	policy       policy.Instance
	silent       bool
	catalogErr   error
	warnings     []*access.Error
	journalErr   map[access.Action]error
	storeErr     error
	grantErr     error
	undelivered  access.Receipts
	beforeGrant  func()
	groups       map[access.Principal][]string
	directoryErr error
}

var (
	ana, ben, cho, dan = access.Principal("ana@example.com"), access.Principal("ben@example.com"), access.Principal("cho@example.com"), access.Principal("dan@example.com")
	shop               = access.Resource("projects/shop")
	viewer             = access.EntitlementID{Resource: shop, Role: "roles/viewer.logs"}
	admin              = access.EntitlementID{Resource: shop, Role: "roles/compute.admin"}
	narrow             = access.EntitlementID{Resource: shop, Role: "roles/compute.admin", Condition: `resource.name == "a"`}
)

func newWorld(t *testing.T) *world {
	peer := func(id access.EntitlementID) access.Entitlement {
		return access.Entitlement{ID: id, PeerApproval: true, MayReview: true}
	}
	self := func(id access.EntitlementID) access.Entitlement {
		return access.Entitlement{ID: id, SelfApproval: true}
	}
	return &world{
		t:   t,
		now: time.Date(2026, 3, 1, 10, 0, 0, 500e6, time.UTC),
		holdings: map[access.Principal][]access.Entitlement{
			ana: {peer(admin), self(viewer)},
			ben: {peer(admin)},
			cho: {peer(admin)},
		},
		requests:   map[string]access.Request{},
		calls:      map[string]int{},
		journalErr: map[access.Action]error{},
		limits:     access.Limits{Forgets: true},
		policy: policy.Instance{
			JustificationHint: "a ticket", Justification: regexp.MustCompile(`[A-Za-z0-9_ <>\[\]-]*`),
			MaxDuration: 2 * time.Hour, DefaultDuration: time.Hour, MinReviewers: 1, MaxReviewers: 2, MaxRoles: 2,
			RequestTimeout: time.Hour,
		},
	}
}

func (w *world) broker() *broker.Broker {
	return broker.New(broker.Config{
		Catalog: w, Granter: w, Store: w, Journal: w, Notifier: w, Directory: w,
		Admins: []string{"user:dan@example.com", "group:ops@example.com"},
		Policy: w.policy,
		Now:    func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now },
		Random: rand.Reader,
	})
}

func (w *world) count(call string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[call]++
}

func (w *world) Resources(context.Context, access.Principal) ([]access.ResourceInfo, error) {
	return []access.ResourceInfo{{Resource: shop, Title: "Shop"}}, w.catalogErr
}

func (w *world) Standing(_ context.Context, q access.StandingQuery) (access.Standing, error) {
	w.count("standing")
	if w.catalogErr != nil {
		return access.Standing{}, w.catalogErr
	}
	return w.standing(q), nil
}

func (w *world) standing(q access.StandingQuery) access.Standing {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := access.Standing{Resource: q.Resource, Holdings: map[access.Principal][]access.Entitlement{}, Reviewers: map[access.EntitlementID][]access.Principal{},
		Activations: slices.Clone(w.activations), Warnings: w.warnings}
	for _, p := range q.Principals {
		s.Holdings[p] = slices.Clone(w.holdings[p])
	}
	for _, id := range q.ReviewersOf {
		for _, p := range slices.Sorted(maps.Keys(w.holdings)) {
			if slices.ContainsFunc(w.holdings[p], func(e access.Entitlement) bool { return e.ID == id && e.MayReview }) {
				s.Reviewers[id] = append(s.Reviewers[id], p)
			}
		}
	}
	return s
}

func (w *world) Role(_ context.Context, r access.Role) access.RoleInfo {
	return access.RoleInfo{Title: "title of " + string(r)}
}

func (w *world) Preview(g access.Grant) []access.Binding {
	var bs []access.Binding
	for _, id := range g.Entitlements {
		bs = append(bs, access.Binding{Entitlement: id, Text: fmt.Sprint(g.Principal, g.Window, g.Approvers)})
	}
	return bs
}

func (w *world) Grant(_ context.Context, g access.Grant, q access.StandingQuery, check func(access.Standing) error) ([]access.Outcome, error) {
	if age := w.now.Sub(q.Since); q.Since.IsZero() || age > time.Minute {
		w.t.Errorf("granted on what was known %v ago", age)
	}
	w.count("grant")
	if w.beforeGrant != nil {
		w.beforeGrant()
	}
	if w.grantErr != nil {
		return nil, w.grantErr
	}
	if err := check(w.standing(q)); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var outcomes []access.Outcome
	for _, id := range g.Entitlements {
		i := slices.IndexFunc(w.activations, func(a access.Activation) bool {
			return a.RequestID == g.RequestID && a.Principal == g.Principal && a.Entitlement == id
		})
		if i >= 0 {
			outcomes = append(outcomes, access.Outcome{Entitlement: id, Result: access.AlreadyGranted, Window: w.activations[i].Window})
			continue
		}
		w.activations = append(w.activations, access.Activation{RequestID: g.RequestID, Principal: g.Principal, Entitlement: id,
			Window: g.Window, Justification: g.Justification, Approvers: g.Approvers})
		outcomes = append(outcomes, access.Outcome{Entitlement: id, Result: access.Granted, Window: g.Window})
	}
	return outcomes, nil
}

func (w *world) End(_ context.Context, e access.Ending) ([]access.Outcome, error) {
	w.count("end")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.grantErr != nil {
		return nil, w.grantErr
	}
	var outcomes []access.Outcome
	for i := range w.activations {
		if a := &w.activations[i]; a.RequestID == e.RequestID && a.Principal == e.Principal {
			a.Window.End = e.At
			if a.Window.End.Before(a.Window.Start) {
				a.Window.End = a.Window.Start
			}
			outcomes = append(outcomes, access.Outcome{Entitlement: a.Entitlement, Result: access.Removed, Window: a.Window})
		}
	}
	return outcomes, nil
}

func (w *world) Open(_ context.Context, ref string) (access.Request, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.requests[ref]
	if !ok {
		return r, &access.Error{Kind: access.NotFound, Code: access.CodeBadLink}
	}
	return r, nil
}

func (w *world) Append(_ context.Context, r access.Request, events []access.Event, _ []access.Notice) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.storeErr != nil {
		return "", w.storeErr
	}
	if !w.limits.Forgets {
		stored := w.requests["ref-"+r.ID]
		if stored.Version != r.Version {
			return "", &access.Error{Kind: access.Conflict, Code: access.CodeConflict}
		}
		r.Version++
		for _, e := range events {
			if e.Decision.Verdict != "" {
				r.Decisions = append(slices.Clone(r.Decisions), e.Decision)
			}
		}
	}
	w.requests["ref-"+r.ID] = r
	return "ref-" + r.ID, nil
}

func (w *world) Limits() access.Limits { return w.limits }

func (w *world) Record(_ context.Context, e access.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.journalErr[e.Action]; err != nil {
		return err
	}
	w.journal = append(w.journal, e)
	return nil
}

func (w *world) Channels() []access.Channel {
	if w.silent {
		return nil
	}
	return []access.Channel{{Name: "mail", People: true}}
}

func (w *world) Notify(_ context.Context, n access.Notice) access.Receipts {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, n)
	return w.undelivered
}

func (w *world) Groups(_ context.Context, p access.Principal) ([]string, error) {
	return w.groups[p], w.directoryErr
}

// actions is the journal in brief.
func (w *world) actions() string {
	var s []string
	for _, e := range w.journal {
		s = append(s, string(e.Action))
	}
	return strings.Join(s, ", ")
}

func caller(p access.Principal) access.Caller {
	return access.Caller{Principal: p, Subject: "s-" + string(p), Method: "iap"}
}

// is checks an error's kind and code.
func is(t *testing.T, err error, kind access.Kind, code access.Code) {
	t.Helper()
	var e *access.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Code != code {
		t.Fatalf("got %v, want %s: %s", err, kind, code)
	}
}

// ask is a request that is in order; tests change what they are about.
func ask() broker.Ask {
	return broker.Ask{Resource: shop, Entitlements: []access.EntitlementID{admin}, Justification: "case 42", Duration: time.Hour,
		Reviewers: []string{"ben@example.com", "Cho@Example.com"}, Origin: "https://jit.example.com", Host: "jit.example.com"}
}

func selfAsk() broker.Ask {
	a := ask()
	a.Entitlements, a.Reviewers = []access.EntitlementID{viewer}, nil
	return a
}
