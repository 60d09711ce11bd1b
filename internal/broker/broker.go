// Package broker decides. It is the only package that changes anything: it says
// who may do what, records that, has it done, and records what became of it. It
// declares the ports through which it does so, and every method takes the caller
// as an argument.
package broker

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/condition"
	"jitaccess/internal/policy"
)

// Config is what a Broker is made of. Everything is required unless it says
// otherwise.
type Config struct {
	Catalog  Catalog
	Granter  Granter
	Store    Store
	Journal  Journal
	Notifier Notifier
	// Policy says which terms apply.
	Policy policy.Instance
	// Directory may be nil when Admins names no group.
	Directory Directory
	// Admins may end anyone's grants: "user:ADDRESS" and "group:ADDRESS". They may
	// not approve by it. May be empty.
	Admins []string
	// Now is the clock.
	Now func() time.Time
	// Random is a source of cryptographic quality.
	Random io.Reader
}

// Broker carries out what callers ask. Make one with New; all its methods may be
// called concurrently.
//
// Errors are *access.Error. Once something has been recorded or granted, later
// trouble is a warning in the answer, not an error.
type Broker struct {
	c      Config
	asked  recent[Asked]
	denied recent[Decided]
	later  later
}

// New makes a Broker.
func New(c Config) *Broker {
	return &Broker{c: c, asked: recent[Asked]{now: c.Now}, denied: recent[Decided]{now: c.Now}}
}

// Instance is what holds for every entitlement.
func (b *Broker) Instance() Instance { return b.c.Policy }

// Instance is as in package policy.
type Instance = policy.Instance

// Channels are how requests are told, be it to machines alone. Without any, links are
// passed on by hand.
func (b *Broker) Channels() []access.Channel { return b.c.Notifier.Channels() }

// ParseEntitlementID reads an entitlement id from outside. Its resource condition
// may be spelled in any way that means the same; ours is the canonical one.
func ParseEntitlementID(text string) (access.EntitlementID, error) {
	id, err := access.ParseEntitlementID(text)
	if err == nil {
		id.Condition, err = condition.Canonical(id.Condition)
	}
	if err != nil {
		return access.EntitlementID{}, err
	}
	return id, nil
}

// NewID mints a request id, for a form to carry. peer is as in access.NewRequestID.
func (b *Broker) NewID(peer bool) (string, error) { return access.NewRequestID(b.c.Random, peer) }

// Resources returns the resources that the caller may choose from.
func (b *Broker) Resources(ctx context.Context, caller access.Caller) ([]access.ResourceInfo, error) {
	return b.c.Catalog.Resources(ctx, caller.Principal)
}

// Offer returns what the caller may request on a resource; an empty offer is no
// error.
func (b *Broker) Offer(ctx context.Context, caller access.Caller, resource access.Resource) (Offer, error) {
	standing, err := b.c.Catalog.Standing(ctx, access.StandingQuery{Resource: resource, Principals: []access.Principal{caller.Principal}})
	if err != nil {
		return Offer{}, err
	}
	offer := Offer{Resource: resource, Warnings: standing.Warnings}
	for _, e := range standing.Holdings[caller.Principal] {
		if !e.MayRequest() {
			continue
		}
		offer.Roles = append(offer.Roles, OfferedRole{
			Entitlement: e,
			Terms:       b.c.Policy.Of(e.ID, e.SelfApproval),
			Activation:  current(standing.Activations, caller.Principal, e.ID, b.c.Now()),
			Upcoming:    upcoming(standing.Activations, caller.Principal, e.ID, b.c.Now()),
		})
	}
	b.further(ctx, caller, standing.Activations, &offer)
	descriptions := b.describe(ctx, func(yield func(access.Role)) {
		for _, r := range offer.Roles {
			yield(r.Entitlement.ID.Role)
		}
	})
	for i := range offer.Roles {
		offer.Roles[i].Role = descriptions[i]
	}
	return offer, nil
}

// further adds what else the caller may end to the offer. Whether they are an admin
// is asked only where that makes a difference: it may cost a call.
func (b *Broker) further(ctx context.Context, caller access.Caller, all []access.Activation, offer *Offer) {
	others := false
	for _, a := range all {
		if a.Window.Length() <= 0 || !b.c.Now().Before(a.Window.End) {
			continue
		}
		same := func(b access.Activation) bool {
			return b.RequestID == a.RequestID && b.Principal == a.Principal && b.Entitlement == a.Entitlement
		}
		shown := slices.ContainsFunc(offer.Roles, func(r OfferedRole) bool {
			return r.Activation != nil && same(*r.Activation) || slices.ContainsFunc(r.Upcoming, same)
		})
		if !shown {
			offer.Further = append(offer.Further, a)
			others = others || a.Principal != caller.Principal
		}
	}
	if !others {
		return
	}
	admin, warning := b.isAdmin(ctx, caller)
	if warning != nil {
		offer.Warnings = append(slices.Clone(offer.Warnings), warning)
	}
	if !admin {
		offer.Further = slices.DeleteFunc(offer.Further, func(a access.Activation) bool { return a.Principal != caller.Principal })
	}
}

// current finds the activation of exactly this entitlement that is active now and
// ends last.
func current(all []access.Activation, p access.Principal, id access.EntitlementID, now time.Time) *access.Activation {
	var found *access.Activation
	for i, a := range all {
		if a.Principal == p && a.Entitlement == id && a.Window.Contains(now) && (found == nil || a.Window.End.After(found.Window.End)) {
			found = &all[i]
		}
	}
	return found
}

// upcoming are the activations of exactly this entitlement that begin later, the
// soonest first. One that was ended before it began has no length.
func upcoming(all []access.Activation, p access.Principal, id access.EntitlementID, now time.Time) []access.Activation {
	var found []access.Activation
	for _, a := range all {
		if a.Principal == p && a.Entitlement == id && a.Window.Start.After(now) && a.Window.Length() > 0 {
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b access.Activation) int { return a.Window.Start.Compare(b.Window.Start) })
	return found
}

// describe looks roles up at the same time; what is not known is zero but for its
// name.
func (b *Broker) describe(ctx context.Context, each func(func(access.Role))) []access.RoleInfo {
	var roles []access.Role
	each(func(r access.Role) { roles = append(roles, r) })
	infos := make([]access.RoleInfo, len(roles))
	var wg sync.WaitGroup
	for i, role := range roles {
		wg.Go(func() {
			infos[i] = b.c.Catalog.Role(ctx, role)
			infos[i].Role = role
		})
	}
	wg.Wait()
	return infos
}

func (b *Broker) describeRequest(ctx context.Context, r access.Request) []access.RoleInfo {
	return b.describe(ctx, func(yield func(access.Role)) {
		for _, id := range r.Entitlements {
			yield(id.Role)
		}
	})
}

// Reviewers returns who may be asked to approve the caller's request for all of the
// entitlements together, sorted, without the caller. They are of one resource, at
// least one. Only somebody who may request them learns that; for everyone else it
// is as if they did not exist.
func (b *Broker) Reviewers(ctx context.Context, caller access.Caller, ids ...access.EntitlementID) ([]access.Principal, []*access.Error, error) {
	// What cannot be requested together need not be looked up: that takes groups, or an
	// analysis, and only then is it known whether the caller may ask.
	if err := b.fewEnough(ids); err != nil {
		return nil, nil, err
	}
	standing, err := b.c.Catalog.Standing(ctx, access.StandingQuery{
		Resource:    ids[0].Resource,
		Principals:  []access.Principal{caller.Principal},
		Of:          ids,
		ReviewersOf: ids,
	})
	if err != nil {
		return nil, nil, err
	}
	reviewers := slices.Clone(standing.Reviewers[ids[0]])
	for _, id := range ids {
		if held, _ := standing.Holding(caller.Principal, id); !held.PeerApproval {
			return nil, nil, standing.NotHeld(notEligible(id))
		}
		reviewers = slices.DeleteFunc(reviewers, func(p access.Principal) bool {
			return p == caller.Principal || !slices.Contains(standing.Reviewers[id], p)
		})
	}
	return reviewers, standing.Warnings, nil
}

func notEligible(id access.EntitlementID) *access.Error {
	return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible, Field: FieldEntitlement,
		Args: access.Args{"role": string(id.Role), "resource": string(id.Resource)}}
}

// Fields that an Invalid or NotAllowed error of Ask and Decide may name.
const (
	FieldResource      = "resource"
	FieldEntitlement   = "entitlement"
	FieldJustification = "justification"
	FieldDuration      = "minutes"
	FieldStart         = "start"
	FieldReviewer      = "reviewer"
	FieldID            = "id"
	FieldComment       = "comment"
	FieldVerdict       = "verdict"
)

// Offer is what a caller finds on a resource.
type Offer struct {
	Resource access.Resource
	// Roles are what the caller may request, sorted by id.
	Roles []OfferedRole
	// Further are the grants that are not over, stand beside no role, and are the
	// caller's to end: their own, such as of a role that they may no longer request,
	// and for an admin everybody's.
	Further  []access.Activation
	Warnings []*access.Error
}

// OfferedRole is one entitlement of an offer.
type OfferedRole struct {
	Entitlement access.Entitlement
	Terms       access.Terms
	Role        access.RoleInfo
	// Activation is the caller's grant of exactly this entitlement that is active
	// now and ends last; nil when there is none.
	Activation *access.Activation
	// Upcoming are those that begin later, the soonest first.
	Upcoming []access.Activation
}

// Ask is a request as a person states it.
type Ask struct {
	// ID was minted with the form, so that sending it twice is one request; empty
	// mints one. It must begin with jit- for activation without others and with
	// mpa- for a request to reviewers.
	ID            string
	Resource      access.Resource
	Entitlements  []access.EntitlementID
	Justification string
	Duration      time.Duration
	// Start is when access is wanted from; zero is at once.
	Start time.Time
	// Reviewers are addresses as typed. They must be empty for activation without
	// others.
	Reviewers []string
	// Origin is the scheme and host for links; empty when none can be trusted, in
	// which case only what writes no link works. Host is the host that the request
	// came to, for the refusal's text.
	Origin, Host string
}

// Asked is what became of an Ask.
type Asked struct {
	Request access.Request
	// Ref opens the request of a peer approval; empty for self-approval.
	Ref string
	// ReviewURL is the link for reviewers; empty for self-approval.
	ReviewURL string
	// Outcomes and Window are set for self-approval.
	Outcomes []access.Outcome
	Window   access.Window
	// Warnings are troubles that came after what was recorded or granted.
	Warnings []*access.Error
}

// View is a request as shown to one of the people it concerns.
type View struct {
	Request access.Request
	State   access.State
	// Activations are what the provider holds of it.
	Activations []access.Activation
	// Roles describes the roles in the order of Request.Entitlements.
	Roles []access.RoleInfo
	// Bindings is the text that approving now would write, or that was written.
	Bindings []access.Binding
	// Window is what was granted, or what approving now would grant.
	Window access.Window
	// Digest is to be sent back with the decision.
	Digest string
	// CanDecide is whether the caller may decide it now; if they may not though
	// they are a reviewer, WhyNot says why.
	CanDecide bool
	WhyNot    *access.Error
	// CanEnd is whether the caller may end the grant.
	CanEnd bool
	// IsPrincipal and IsReviewer are what the caller is to the request.
	IsPrincipal, IsReviewer bool
	// ReviewURL is the link, for the principal to pass on; empty when no origin can
	// be trusted.
	ReviewURL string
	// Forgets is whether a denial is only a declining (see access.Limits).
	Forgets  bool
	Warnings []*access.Error
}

// Decide is a decision as a person states it.
type Decide struct {
	Ref     string
	Verdict access.Verdict
	// Comment is required when denying.
	Comment string
	// Digest is that of the View decided on; empty when the caller saw none (the
	// JSON interface of JIT Access 1.x).
	Digest string
	// Origin is as in Ask. Without one a decision still works; mails carry no link.
	Origin string
}

// Decided is what became of a decision.
type Decided struct {
	Request  access.Request
	State    access.State
	Decision access.Decision
	// Window and Outcomes are set when it led to a grant, now or earlier.
	Window   access.Window
	Outcomes []access.Outcome
	// Forgets is as in View.
	Forgets  bool
	Warnings []*access.Error
}

// Ended is what became of ending a grant.
type Ended struct {
	Activations []access.Activation
	Outcomes    []access.Outcome
	Warnings    []*access.Error
}
