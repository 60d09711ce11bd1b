// Package broker decides. It is the only package that changes anything: it says
// who may do what, records that, has it done, and records what became of it. It
// declares the ports through which it does so, and every method takes the caller
// as an argument.
package broker

import (
	"cmp"
	"context"
	"io"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// Config is what a Broker is made of. Everything is required unless it says
// otherwise.
type Config struct {
	// Providers are the systems in which there is access.
	Providers []Registration
	Store     Store
	Journal   Journal
	Policy    Policy
	Notifier  Notifier
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
	c         Config
	providers providers
	// forgets is whether the store does; nothing else asks.
	forgets bool
	asked   recent[Asked]
	denied  recent[Decided]
	later   later
}

// New makes a Broker.
func New(c Config) *Broker {
	b := &Broker{c: c, providers: register(c.Providers), asked: recent[Asked]{now: c.Now}, denied: recent[Decided]{now: c.Now}}
	if c.Store != nil { // it is left out where nothing is asked or decided
		b.forgets = c.Store.Limits().Forgets
	}
	return b
}

// Channels are how requests are told, be it to machines alone. Without any, links are
// passed on by hand.
func (b *Broker) Channels() []access.Channel { return b.c.Notifier.Channels() }

// NewID mints a request id, for a form to carry.
func (b *Broker) NewID(kind access.RequestKind) (string, error) {
	return access.NewRequestID(b.c.Random, kind)
}

// Offer returns what the caller may request on a resource; an empty offer is no
// error. A role whose terms refuse it is a warning.
func (b *Broker) Offer(ctx context.Context, caller access.Caller, resource access.Resource) (Offer, error) {
	return b.offer(ctx, caller, resource, time.Time{})
}

// offer is Offer as of since, if it is not zero.
func (b *Broker) offer(ctx context.Context, caller access.Caller, resource access.Resource, since time.Time) (Offer, error) {
	standing, err := b.standing(ctx, caller, access.StandingQuery{
		Resource: resource, Principals: []access.Principal{caller.Principal}, Since: since})
	if err != nil {
		return Offer{}, err
	}
	roles, refused := b.offered(standing, caller.Principal)
	offer := Offer{Resource: resource, Roles: roles, Ineffective: standing.Ineffective, Warnings: withNew(standing.Warnings, refused)}
	b.further(ctx, caller, standing.Activations, &offer)
	var ids []access.EntitlementID
	for _, r := range offer.Roles {
		ids = append(ids, r.Entitlement.ID)
	}
	for i, description := range b.describe(ctx, ids) {
		offer.Roles[i].Role = description
	}
	return offer, nil
}

// further adds what else the caller may end to the offer, and takes out what only an
// admin may see. Whether they are one is asked only where that makes a difference: it
// may cost a call.
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
	if !others && len(offer.Ineffective) == 0 {
		return
	}
	admin, warning := b.isAdmin(ctx, caller)
	if warning != nil {
		offer.Warnings = append(slices.Clone(offer.Warnings), warning)
	}
	if !admin {
		offer.Ineffective = nil
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

// Reviewers returns who may be asked to approve the caller's request for all of the
// entitlements together, sorted, without the caller. They are of one resource, at
// least one. Only somebody who may request them learns that; for everyone else it
// is as if they did not exist.
func (b *Broker) Reviewers(ctx context.Context, caller access.Caller, ids ...access.EntitlementID) (
	[]access.Principal, []*access.Error, error) {
	// What cannot be requested together need not be looked up: that takes groups, or an
	// analysis, and only then is it known whether the caller may ask.
	terms, err := b.terms(caller.Principal, access.Peers, ids...)
	if err = cmp.Or(err, fewEnough(terms, len(ids))); err != nil {
		return nil, nil, err
	}
	q := access.StandingQuery{Resource: ids[0].Resource, Principals: []access.Principal{caller.Principal}, Of: ids, ReviewersOf: ids}
	standing, refusal, err := b.look(ctx, caller, q, b.c.Now(), func(s access.Standing) error {
		return mayAsk(access.Request{Principal: caller.Principal, Entitlements: ids}, nil, s)
	})
	if err = cmp.Or(err, refusal); err != nil {
		return nil, nil, err
	}
	return candidates(standing, caller.Principal, ids), standing.Warnings, nil
}

func notEligible(id access.EntitlementID) *access.Error {
	return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible, Field: access.FieldEntitlement,
		Args: access.Args{"role": string(id.Role), "resource": string(id.Resource)}}
}

// Offer is what a caller finds on a resource.
type Offer struct {
	Resource access.Resource
	// Roles are what the caller may request, sorted by id.
	Roles []OfferedRole
	// Further are the grants that are not over, stand beside no role, and are the
	// caller's to end: their own, such as of a role that they may no longer request,
	// and for an admin everybody's.
	Further []access.Activation
	// Ineffective is what makes nobody eligible, for an admin; empty for all others.
	Ineffective []access.Ineffective
	Warnings    []*access.Error
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
	// Effects are what approving now would write, or what was written; Unwritable is why
	// something of it cannot be.
	Effects    []access.Effect
	Unwritable *access.Error
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
