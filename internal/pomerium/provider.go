// Package pomerium is Pomerium Zero as a provider: who may ask for what is said by the policy
// file, and a grant is a rule in a policy of Pomerium that lets one person in until it ends
// by itself. It does what Pomerium's JIT example does, with the same account, policy and
// text, so that it can take its place.
//
// The text has no room for the id of a request. Which grant is whose is found by person and
// window among the requests that are remembered, so that the provider needs a ledger.
package pomerium

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/lookup"
)

// Name is the provider in words.
const Name = "Pomerium Zero"

// DefaultEndpoint is where its API is.
const DefaultEndpoint = "https://console.pomerium.app"

const kind = "pomerium"

// Kinds are the kinds of resources: a policy, by its name. Pomerium allows other names too.
var Kinds = []access.ResourceKind{{Segment: kind, Name: lazyregexp.New(`^[a-z0-9-][a-z0-9._-]{0,62}$`), Word: "Pomerium policy"}}

// What Pomerium's JIT example gives access by: its policy, and for how long.
const (
	ExamplePolicy = "jit-example"
	ExampleLength = time.Hour
)

// RoleAccess is what there is to have of a policy, unless a policy file names it otherwise.
const RoleAccess access.Role = "roles/access"

// Entitlement is who may ask for what.
type Entitlement struct {
	ID access.EntitlementID
	// Title is what people read; may be empty.
	Title string
	// Requesters are spelled user:, group: or domain:. None is everybody who is signed in.
	Requesters []string
}

// byDefault is what there is without any entitlements: what the example gives.
var byDefault = []Entitlement{{ID: access.EntitlementID{Resource: kind + "/" + ExamplePolicy, Role: RoleAccess}}}

// Directory answers who is in which groups; see package broker.
type Directory interface {
	MemberOf(ctx context.Context, p access.Principal, groups []string, since time.Time) (bool, *access.Error, error)
	PeopleIn(ctx context.Context, group string, since time.Time) ([]access.Principal, *access.Error, error)
}

// Config is what a Provider is made of. Everything is required unless it says otherwise.
type Config struct {
	// Endpoint is where the API is, without /api; empty is DefaultEndpoint.
	Endpoint string
	// RefreshToken is the API user token, Organization and Cluster are ids.
	RefreshToken, Organization, Cluster string
	// ApplyChangesets: changes that wait for somebody to apply them are applied, those of
	// others with them.
	ApplyChangesets bool
	// PolicyIDs are ids of policies by their names, for those that are not to be looked for
	// by name; may be nil. Each is the policy of its name alone, whatever it is called in Pomerium:
	// a policy of two names would be given by the weaker rules of the two, and written by two at
	// a time.
	PolicyIDs map[string]string
	// Entitlements are those of the policy file for this provider, as of now; while there are
	// none everybody may ask for the example's policy. May be nil.
	Entitlements func() []Entitlement
	// Directory answers for group:; nil where there is none.
	Directory Directory
	// List lists what is remembered, as package broker's Memory.
	List func(ctx context.Context, l access.Listing) (access.Listed, error)
	// Lease lets one at a time have what bears a name, over all instances, for life at most;
	// nil is within this process.
	Lease func(ctx context.Context, name string, life time.Duration) (release func(context.Context) error, err error)
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
}

// Provider is Pomerium Zero as a provider of package broker. It is safe for concurrent use.
type Provider struct {
	c      Config
	client *client
	// policies are those that pages are shown.
	policies *lookup.Cache[*document]
	writing  locks
	// pinned are the ids of Config.PolicyIDs.
	pinned map[string]bool

	mu sync.Mutex
	// ids are those of the policies by name, once they are known.
	ids map[string]string
}

// How many policies are kept for the pages of one request, and how large they are together.
const (
	maxKept   = 100
	keptBytes = 32 << 20
	lookTime  = 20 * time.Second
)

// New makes a Provider. It makes no calls.
func New(c Config) (*Provider, error) {
	if c.Endpoint == "" {
		c.Endpoint = DefaultEndpoint
	}
	if c.RefreshToken == "" {
		return nil, errors.New("an API user token is needed for Pomerium Zero")
	}
	if c.List == nil {
		return nil, errors.New("a ledger is needed for Pomerium Zero: its policies have no room for the ids of requests")
	}
	ids := []string{c.Organization, c.Cluster}
	for _, id := range c.PolicyIDs {
		ids = append(ids, id)
	}
	for _, id := range ids {
		if !idPattern().MatchString(id) {
			return nil, fmt.Errorf("%.40q is no id of Pomerium Zero", id)
		}
	}
	if c.Entitlements == nil {
		c.Entitlements = func() []Entitlement { return nil }
	}
	p := &Provider{c: c, client: newClient(c), ids: map[string]string{}, pinned: map[string]bool{}}
	for name, id := range c.PolicyIDs {
		if p.pinned[id] {
			return nil, fmt.Errorf("the policy %s has two names", id)
		}
		p.ids[name], p.pinned[id] = id, true
	}
	p.policies = lookup.New(c.Now, maxKept, lookTime, p.find).Within(keptBytes, func(d *document) int {
		if d == nil {
			return 0
		}
		return 3 * d.size
	})
	return p, nil
}

func (p *Provider) entitlements() []Entitlement {
	if all := p.c.Entitlements(); len(all) > 0 {
		return all
	}
	return byDefault
}

// of are the entitlements of a resource.
func (p *Provider) of(on access.Resource) []Entitlement {
	return slices.DeleteFunc(slices.Clone(p.entitlements()), func(e Entitlement) bool { return e.ID.Resource != on })
}

// Resources are the policies that the principal may ask for, by what is known without asking
// anybody: whoever may do so through a group only is shown what they may not have, too.
func (p *Provider) Resources(_ context.Context, who access.Principal) ([]access.ResourceInfo, []*access.Error, error) {
	var all []access.ResourceInfo
	for _, e := range p.entitlements() {
		might := func(r string) bool {
			return strings.HasPrefix(r, "group:") || r == "user:"+string(who) || r == "domain:"+who.Domain()
		}
		known := slices.ContainsFunc(all, func(i access.ResourceInfo) bool { return i.Resource == e.ID.Resource })
		if known || who != "" && len(e.Requesters) > 0 && !slices.ContainsFunc(e.Requesters, might) {
			continue
		}
		all = append(all, access.ResourceInfo{Resource: e.ID.Resource, Title: e.Title})
	}
	slices.SortFunc(all, func(a, b access.ResourceInfo) int { return strings.Compare(string(a.Resource), string(b.Resource)) })
	return all, nil, nil
}

// Canonical is the id as it came: there are no conditions here.
func (p *Provider) Canonical(id access.EntitlementID) (access.EntitlementID, error) {
	if id.Condition != "" {
		return id, errors.New("there are no resource conditions at Pomerium Zero")
	}
	return id, nil
}

// Role describes what there is to have of a policy. Whoever passes a route by a policy can
// change no policy by that.
func (p *Provider) Role(_ context.Context, on access.Resource, role access.Role) access.RoleInfo {
	return access.RoleInfo{Role: role, ChangesPermissions: access.No, Title: p.Title(access.EntitlementID{Resource: on, Role: role})}
}

// Title is that of the policy file or, where it has none, one by the policy's name.
func (p *Provider) Title(id access.EntitlementID) string {
	for _, e := range p.of(id.Resource) {
		if e.ID == id && e.Title != "" {
			return e.Title
		}
	}
	return "Access by policy " + id.Resource.Name()
}

// Standing answers from the entitlements, the policy as it is now, and what is remembered.
// That a policy is not there yet is no fault: it is made with the first grant.
func (p *Provider) Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	if !Kinds[0].Has(q.Resource) {
		return access.Standing{}, unknownResource(q.Resource)
	}
	answer := p.eligible(ctx, q)
	after := q.Since
	if after.IsZero() {
		after = q.Arrived
	}
	if after.IsZero() {
		after = p.c.Now()
	}
	d, err := p.policies.Get(ctx, q.Resource.Name(), after)
	switch {
	case err != nil && !errors.Is(err, errForm):
		return access.Standing{}, failure(err, q.Resource, false)
	case d == nil && len(p.of(q.Resource)) == 0:
		return access.Standing{}, unknownResource(q.Resource)
	}
	if err != nil {
		answer.Warnings = append(answer.Warnings, formFault(q.Resource, err))
	}
	// The policy was read before what is remembered is: a grant is recorded first.
	remembered, err := p.remembered(ctx, q.Resource)
	if err != nil {
		answer.Warnings = append(answer.Warnings, access.AsError(err))
	}
	answer.Activations = p.activations(q.Resource, d, remembered)
	return answer, nil
}

func unknownResource(on access.Resource) *access.Error {
	return &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Args: access.Args{"resource": string(on)},
		Err: errors.New("no entitlement of the policy file is for it")}
}

func formFault(on access.Resource, cause error) *access.Error {
	return &access.Error{Kind: access.Unprocessable, Code: access.CodePolicyForm, Args: access.Args{"resource": string(on)}, Err: cause}
}

// eligible is what people hold by the entitlements, without what stands.
func (p *Provider) eligible(ctx context.Context, q access.StandingQuery) access.Standing {
	answer := access.Standing{Resource: q.Resource, Holdings: map[access.Principal][]access.Entitlement{},
		Reviewers: map[access.EntitlementID][]access.Principal{}, AboveKnown: true}
	entitlements := p.of(q.Resource)
	var rows []eligibility.Row
	var groups []string
	for _, e := range entitlements {
		row := eligibility.Row{ID: e.ID, Kind: eligibility.PeerApproval, Node: e.ID.Resource}
		for _, r := range e.Requesters {
			row.Members = append(row.Members, access.FoldASCII(r))
		}
		if len(e.Requesters) == 0 { // everybody, so far as they are asked about
			for _, who := range q.Principals {
				row.Members = append(row.Members, "user:"+string(who))
			}
		}
		for _, m := range row.Members {
			if g, ok := strings.CutPrefix(m, "group:"); ok && !slices.Contains(groups, g) {
				groups = append(groups, g)
			}
		}
		rows = append(rows, row)
	}
	table, ineffective := eligibility.New(rows, p.c.Now())
	if answer.Ineffective = ineffective; q.Ruled {
		table = table.Ruled()
	}
	people := q.Principals
	expanded := map[string][]access.Principal{}
	expand := func(wanted []string) {
		for _, g := range wanted {
			if _, known := expanded[g]; known {
				continue
			}
			members, warnings := p.peopleIn(ctx, g, q.Since)
			expanded[g], answer.Warnings = members, append(answer.Warnings, warnings...)
		}
	}
	if q.Everybody {
		expand(groups)
		people = nil
		for _, m := range table.Members() {
			of, address, _ := strings.Cut(m, ":")
			if who, err := access.ParsePrincipal(address); of == "user" && err == nil {
				people = append(people, who)
			}
		}
		for _, g := range groups {
			people = append(people, expanded[g]...)
		}
		slices.Sort(people)
		people = slices.Compact(people)
	}
	var requesters []access.Entitlement
	for _, who := range people {
		in, warnings := p.groupsOf(ctx, who, groups, q.Since)
		answer.Warnings = append(answer.Warnings, warnings...)
		held := table.Holdings(who, in)
		answer.Holdings[who] = held
		for _, e := range held {
			if slices.Contains(q.ReviewersOf, e.ID) && e.PeerApproval {
				requesters = append(requesters, e)
			}
		}
	}
	expand(table.ReviewerGroups(q.ReviewersOf))
	for _, id := range q.ReviewersOf {
		answer.Reviewers[id] = table.Reviewers(id, expanded, requesters...)
	}
	return answer
}

// groupsOf are those of some groups that somebody is in. What cannot be found out is a
// warning.
func (p *Provider) groupsOf(ctx context.Context, who access.Principal, groups []string, since time.Time) (
	in []string, warnings []*access.Error) {
	for _, g := range groups {
		if p.c.Directory == nil {
			return nil, []*access.Error{{Kind: access.Unavailable, Code: access.CodeDirectoryNotSet}}
		}
		member, stale, err := p.c.Directory.MemberOf(ctx, who, []string{g}, since)
		switch {
		case err != nil: // itself, since by it a refusal may be no refusal (access.Standing.NotHeld)
			warnings = append(warnings, access.AsError(err))
		case member:
			in = append(in, g)
		}
		if stale != nil {
			warnings = append(warnings, stale)
		}
	}
	return in, warnings
}

func (p *Provider) peopleIn(ctx context.Context, group string, since time.Time) ([]access.Principal, []*access.Error) {
	if p.c.Directory == nil {
		return nil, []*access.Error{{Kind: access.Unavailable, Code: access.CodeDirectoryNotSet}}
	}
	people, stale, err := p.c.Directory.PeopleIn(ctx, group, since)
	return people, unread(group, stale, err)
}

// unread is the warning of a group that could not be read, or not as it is now.
func unread(group string, stale *access.Error, err error) []*access.Error {
	switch {
	case err != nil:
		cause := access.AsError(err)
		return []*access.Error{{Kind: cause.Kind, Code: access.CodeGroupUnreadable, Args: access.Args{"group": group}, Err: err}}
	case stale != nil:
		return []*access.Error{stale}
	}
	return nil
}
