package broker

import (
	"cmp"
	"context"
	"slices"

	"jitaccess/internal/access"
)

// Choice is some roles of an offer that are requested together.
type Choice struct {
	// Offer is what they were chosen from. With an error it is all there is, or zero
	// when it could not be had.
	Offer Offer
	Roles []OfferedRole
	// Kind is how they are requested, Terms the strictest of theirs.
	Kind  access.RequestKind
	Terms access.Terms
	// ID is minted for the form, so that sending it twice is one request.
	ID string
	// Reviewers are who may be asked to approve all of them; none for Self.
	Reviewers []access.Principal
	Warnings  []*access.Error
}

// Choose returns what a form for the entitlements takes, in the order in which they
// come. Either all of them need approval or none does: what
// needs none would otherwise wait for others.
func (b *Broker) Choose(ctx context.Context, caller access.Caller, resource access.Resource, ids ...access.EntitlementID) (Choice, error) {
	begun := b.c.Now()
	offer, err := b.Offer(ctx, caller, resource)
	if err != nil {
		return Choice{}, err
	}
	c, err := offer.Choose(ids...)
	if notAllowed(err) {
		// As look does: no refusal rests on what is remembered.
		if offer, err = b.offer(ctx, caller, resource, begun); err != nil {
			return Choice{}, err
		}
		c, err = offer.Choose(ids...)
	}
	if err != nil {
		return c, err
	}
	if c.Kind == access.Peers {
		var warnings []*access.Error
		if c.Reviewers, warnings, err = b.Reviewers(ctx, caller, ids...); err != nil {
			return Choice{}, err
		}
		c.Warnings = slices.Concat(c.Warnings, warnings)
	}
	if c.ID, err = b.NewID(c.Kind); err != nil {
		return Choice{}, err
	}
	return c, nil
}

// Choose picks entitlements of the offer, each once. What takes a call is not in the
// Choice: reviewers, and an id.
func (o Offer) Choose(ids ...access.EntitlementID) (Choice, error) {
	none := Choice{Offer: o}
	c := Choice{Offer: o, Warnings: o.Warnings}
	var terms []access.Terms
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			continue
		}
		at := slices.IndexFunc(o.Roles, func(r OfferedRole) bool { return r.Entitlement.ID == id })
		if at < 0 {
			return none, notEligible(id)
		}
		c.Roles, terms = append(c.Roles, o.Roles[at]), append(terms, o.Roles[at].Terms)
	}
	if len(c.Roles) == 0 {
		return none, invalid(access.FieldEntitlement, access.CodeNoEntitlement, nil)
	}
	c.Terms, c.Kind = access.Strictest(terms[0], terms[1:]...), access.Self
	if err := fewEnough(c.Terms, len(c.Roles)); err != nil {
		return none, err
	}
	if c.Terms.Approvals() > 0 {
		c.Kind = access.Peers
	}
	for _, r := range c.Roles {
		if r.Terms.Approvals() > 0 && slices.ContainsFunc(terms, func(t access.Terms) bool { return t.Approvals() == 0 }) {
			return none, needsApproval(access.Invalid, cmp.Or(r.Role.Title, string(r.Entitlement.ID.Role)))
		}
	}
	return c, nil
}
