// Package brokertest is an organization in memory behind every port of the broker,
// for tests of whatever stands on the broker. It keeps what each port promises, and
// fails on demand. Grants are made and ended by the granter of Google Cloud itself, in
// policies that are kept here.
package brokertest

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/gcp/condition"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/passkey"
	"jitaccess/internal/policy"
)

// Judge is a test, a testing.TB.
type Judge interface {
	Errorf(format string, args ...any)
}

// World is the organization. Tests change it between calls, or under Mu.
type World struct {
	// Store forgets, as the token store does, unless a test says otherwise.
	*Store
	// Ledger is the store in its place, where a test has one.
	Ledger broker.Store
	// T hears of what must not happen; nil where nobody judges.
	T  Judge
	Mu sync.Mutex
	// Clock is how late it is.
	Clock  time.Time
	Random io.Reader

	// Listed are the resources to choose from, Unknown those that are not there.
	Listed  []access.ResourceInfo
	Unknown func(access.Resource) bool
	// Holdings are what people hold, Remembered what a look that is of no action
	// (StandingQuery.Since) is told instead, for whom it has an entry.
	Holdings, Remembered map[access.Principal][]access.Entitlement
	Titles               map[access.Role]access.RoleInfo
	Activations          []access.Activation
	// Ineffective and Warnings come with every look.
	Ineffective []access.Ineffective
	Warnings    []*access.Error

	// Origin is that of links in what is told without anybody asking.
	Origin string
	// Signatures are where passkeys are kept, unless the Ledger keeps them; nil: nobody can sign.
	Signatures *Signatures
	// Managed are the applications that are managed by page; nil: none are.
	Managed broker.Managed

	// Settings make the policy, unless there is a Policy.
	Settings         policy.Settings
	Policy           broker.Policy
	Admins, Auditors []string
	// Mailed is where mail goes; nil is to addresses.
	Mailed func(access.Principal) (string, error)
	// Claims: assertions name groups.
	Claims   bool
	GroupsOf map[access.Principal][]string
	// Empty are groups that nobody is in.
	Empty []string

	// Journal is what was recorded, Told what people were, Calls how often the
	// provider was asked what.
	Journal []access.Event
	Told    []access.Notice
	// ToldWithin is how long each of Told could take, as they began.
	ToldWithin []time.Duration
	Calls      map[string]int

	// Above are what lies above every resource; AboveErr: there may be more.
	Above    []access.Resource
	AboveErr *access.Error

	// Telling is called before somebody is told; may be nil.
	Telling func(context.Context, access.Notice)
	// Also are channels beside mail, which take everything.
	Also []access.Channel

	// What fails.
	CatalogErr, GrantErr, PreviewErr, DirectoryErr error
	// AgainErr fails looks that are of an action.
	AgainErr    error
	JournalErr  map[access.Action]error
	Undelivered access.Receipts
	// Silent: there is no channel.
	Silent bool
	// BeforeGrant runs when a grant is about to be written.
	BeforeGrant func()
}

// New makes a world without people: terms of two hours and two roles, one or two
// reviewers, and a request that can be decided for an hour.
func New(t Judge, clock time.Time) *World {
	w := &World{
		T: t, Clock: clock, Random: rand.Reader,
		Holdings: map[access.Principal][]access.Entitlement{}, Calls: map[string]int{}, JournalErr: map[access.Action]error{},
		Settings: policy.Settings{
			JustificationHint: "a ticket", Justification: regexp.MustCompile(`.*`),
			MaxDuration: 2 * time.Hour, DefaultDuration: time.Hour, MinReviewers: 1, MaxReviewers: 2, MaxRoles: 2,
			RequestTimeout: time.Hour,
		},
	}
	w.Store = NewStore(w.now)
	w.Forgets = true
	return w
}

// Peer is somebody's eligibility for what peers approve, Self for what nobody does.
func Peer(id access.EntitlementID) access.Entitlement {
	return access.Entitlement{ID: id, PeerApproval: true, MayReview: true}
}

// Self is as Peer says.
func Self(id access.EntitlementID) access.Entitlement {
	return access.Entitlement{ID: id, SelfApproval: true}
}

// Registration is the world as a provider: Google Cloud.
func (w *World) Registration() broker.Registration {
	return broker.Registration{Provider: w, Name: "Google Cloud", Kinds: resourcename.Kinds,
		RoleTitle: func(r access.Role) string { return w.Titles[r].Title }}
}

// Broker makes the broker of the world as it is now.
func (w *World) Broker() *broker.Broker { return w.BrokerOf(w.Registration()) }

// BrokerOf is Broker with other providers.
func (w *World) BrokerOf(providers ...broker.Registration) *broker.Broker {
	var p broker.Policy = policy.New(w.Settings)
	if w.Policy != nil {
		p = w.Policy
	}
	store := cmp.Or[broker.Store](w.Ledger, w.Store)
	c := broker.Config{
		Providers: providers, Store: store, Journal: w, Notifier: w, Directory: w, Admins: w.Admins, Auditors: w.Auditors, Claims: w.Claims,
		Policy: p, Origin: w.Origin, Now: w.now, Random: w.Random, Managed: w.Managed, Mailed: w.Mailed,
	}
	if w.Signatures != nil {
		c.Signatures = w.Signatures
		if kept, ok := w.Ledger.(broker.Signatures); ok {
			c.Signatures = kept
		}
		c.Nonces, _ = passkey.NewNonces(w.now, rand.Reader, make([]byte, 32))
	}
	return broker.New(c)
}

func (w *World) now() time.Time {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return w.Clock
}

// Actions is the journal in brief.
func (w *World) Actions() string { return actions(w.Journal) }

// Forget drops what was recorded, told and counted.
func (w *World) Forget() { w.Journal, w.Told, w.Events, w.Calls = nil, nil, nil, map[string]int{} }

func (w *World) count(call string) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	w.Calls[call]++
}

// Resources implements broker.Catalog.
func (w *World) Resources(context.Context, access.Principal) ([]access.ResourceInfo, []*access.Error, error) {
	return w.Listed, nil, w.CatalogErr
}

// Canonical implements broker.Catalog, as Google Cloud does.
func (w *World) Canonical(id access.EntitlementID) (_ access.EntitlementID, err error) {
	id.Condition, err = condition.Canonical(id.Condition)
	return id, err
}

// Standing implements broker.Catalog.
func (w *World) Standing(_ context.Context, q access.StandingQuery) (access.Standing, error) {
	w.count("standing")
	if w.CatalogErr != nil {
		return access.Standing{}, w.CatalogErr
	}
	if w.AgainErr != nil && !q.Since.IsZero() {
		return access.Standing{}, w.AgainErr
	}
	if w.Unknown != nil && w.Unknown(q.Resource) {
		return access.Standing{}, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource,
			Args: access.Args{"resource": string(q.Resource)}}
	}
	return w.standing(q), nil
}

func (w *World) standing(q access.StandingQuery) access.Standing {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	holdings := maps.Clone(w.Holdings)
	if q.Since.IsZero() {
		maps.Copy(holdings, w.Remembered)
	}
	if q.Ruled {
		for p, held := range holdings {
			holdings[p] = slices.Clone(held)
			for i, e := range held {
				holdings[p][i].PeerApproval, holdings[p][i].MayReview = e.PeerApproval || e.SelfApproval, e.MayReview || e.SelfApproval
			}
		}
	}
	s := access.Standing{Resource: q.Resource, Holdings: map[access.Principal][]access.Entitlement{},
		Reviewers: map[access.EntitlementID][]access.Principal{}, Ineffective: w.Ineffective, Warnings: w.Warnings,
	}
	if q.Above {
		s.Above, s.AboveKnown = w.Above, w.AboveErr == nil
		s.AboveErr = w.AboveErr
	}
	on := func(id access.EntitlementID) bool { return id.Resource == q.Resource }
	for _, a := range w.Activations {
		if on(a.Entitlement) {
			s.Activations = append(s.Activations, a)
		}
	}
	for _, p := range q.Principals {
		s.Holdings[p] = slices.DeleteFunc(slices.Clone(holdings[p]), func(e access.Entitlement) bool { return !on(e.ID) })
	}
	for _, id := range q.ReviewersOf {
		for _, p := range slices.Sorted(maps.Keys(holdings)) {
			if slices.ContainsFunc(holdings[p], func(e access.Entitlement) bool { return e.ID == id && e.MayReview }) {
				s.Reviewers[id] = append(s.Reviewers[id], p)
			}
		}
	}
	return s
}

// Role implements broker.Catalog.
func (w *World) Role(_ context.Context, _ access.Resource, r access.Role) access.RoleInfo {
	return cmp.Or(w.Titles[r], access.RoleInfo{Title: "title of " + string(r)})
}

// Preview implements broker.Granter.
func (w *World) Preview(g access.Grant) ([]access.Effect, error) {
	var effects []access.Effect
	for _, id := range g.Entitlements {
		effects = append(effects, access.Effect{Title: string(id.Role),
			Text: fmt.Sprint("JIT access activation of ", g.Principal, g.Window, g.Approvers)})
	}
	return effects, w.PreviewErr
}

// fresh fails the test when an action does not rest on what was so when it began: clocks
// here stand still while it runs.
func (w *World) fresh(since time.Time) {
	if now := w.now(); w.T != nil && !since.Equal(now) {
		w.T.Errorf("at %v, on what was known at %v", now, since)
	}
}

// Grant implements broker.Granter.
func (w *World) Grant(ctx context.Context, g access.Grant, q access.StandingQuery,
	check func(access.Standing) error) ([]access.Outcome, error) {
	w.fresh(q.Since)
	w.count("grant")
	if w.BeforeGrant != nil {
		w.BeforeGrant()
	}
	if w.GrantErr != nil {
		return nil, w.GrantErr
	}
	return w.granter().Grant(ctx, g, q, check)
}

// End implements broker.Granter.
func (w *World) End(ctx context.Context, e access.Ending) ([]access.Outcome, error) {
	w.count("end")
	w.fresh(e.Since)
	if w.GrantErr != nil {
		return nil, w.GrantErr
	}
	return w.granter().End(ctx, e)
}

// Record implements broker.Journal.
func (w *World) Record(_ context.Context, e access.Event) error {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	if err := w.JournalErr[e.Action]; err != nil {
		return err
	}
	w.Journal = append(w.Journal, e)
	return nil
}

// Channels implements broker.Notifier.
func (w *World) Channels() []access.Channel {
	if w.Silent {
		return nil
	}
	return append([]access.Channel{{Name: "mail", People: true}}, w.Also...)
}

// Notify implements broker.Notifier.
func (w *World) Notify(ctx context.Context, n access.Notice) access.Receipts {
	if w.Telling != nil {
		w.Telling(ctx, n)
	}
	w.Mu.Lock()
	defer w.Mu.Unlock()
	w.Told = append(w.Told, n)
	deadline, _ := ctx.Deadline()
	w.ToldWithin = append(w.ToldWithin, time.Until(deadline))
	if w.Undelivered != nil || n.Kind == access.NoticeSelfApproved {
		return w.Undelivered
	}
	var delivered access.Receipts
	for _, p := range slices.Concat(n.To, n.CC) {
		delivered = append(delivered, access.Receipt{To: p, Channel: "mail", Ref: "delivered"})
	}
	for _, c := range w.Also {
		delivered = append(delivered, access.Receipt{Channel: c.Name, Ref: string(n.Did)})
	}
	return delivered
}

// PeopleIn implements broker.Directory. A group that nobody is in is Empty, or there is none.
func (w *World) PeopleIn(_ context.Context, group string, _ time.Time) ([]access.Principal, *access.Error, error) {
	w.count("people in a group")
	w.Mu.Lock()
	defer w.Mu.Unlock()
	if w.DirectoryErr != nil {
		return nil, nil, w.DirectoryErr
	}
	var people []access.Principal
	for p, groups := range w.GroupsOf {
		if slices.Contains(groups, group) {
			people = append(people, p)
		}
	}
	if slices.Sort(people); people == nil && !slices.Contains(w.Empty, group) {
		return nil, nil, &access.Error{Kind: access.NotFound, Code: access.CodeGroupUnreadable, Args: access.Args{"group": group}}
	}
	return people, nil, nil
}

// MemberOf implements broker.Directory.
func (w *World) MemberOf(_ context.Context, p access.Principal, groups []string, _ time.Time) (bool, *access.Error, error) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(w.GroupsOf[p], g) }), nil, w.DirectoryErr
}
