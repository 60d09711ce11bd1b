package broker

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// Offer is what a caller finds on a resource.
type Offer struct {
	Resource access.Resource
	// Roles are what the caller may request, sorted by id.
	Roles []OfferedRole
	// Refused are what the caller is eligible for and cannot be had now, sorted by id.
	Refused []RefusedRole
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
	// Why says where the terms come from.
	Why access.Explanation
	// Activation is the caller's grant of exactly this entitlement that is active
	// now and ends last; nil when there is none.
	Activation *access.Activation
	// Upcoming are those that begin later, the soonest first.
	Upcoming []access.Activation
	// Ended is when the last of the caller's grants of it ended that is known; zero for none.
	Ended time.Time
}

// RefusedRole is an entitlement that its terms refuse, or of which it is not known
// whether they do.
type RefusedRole struct {
	ID   access.EntitlementID
	Role access.RoleInfo
	Err  *access.Error
	Why  access.Explanation
}

// Offer returns what the caller may request on a resource; an empty offer is no
// error.
func (b *Broker) Offer(ctx context.Context, caller access.Caller, resource access.Resource) (Offer, error) {
	return b.offer(ctx, caller, resource, time.Time{})
}

// offer is Offer as of since, if it is not zero.
func (b *Broker) offer(ctx context.Context, caller access.Caller, resource access.Resource, since time.Time) (Offer, error) {
	if err := b.byHand(resource); err != nil {
		return Offer{}, err
	}
	standing, err := b.standing(ctx, caller, access.StandingQuery{
		Resource: resource, Principals: []access.Principal{caller.Principal}, Since: since})
	if err != nil {
		return Offer{}, err
	}
	roles, refused := b.offered(ctx, caller, standing, caller.Principal)
	offer := Offer{Resource: resource, Roles: roles, Refused: refused, Ineffective: standing.Ineffective, Warnings: standing.Warnings}
	b.further(ctx, caller, standing.Activations, &offer)
	described := b.describe(ctx, slices.Concat(access.Each(offer.Roles, func(r OfferedRole) access.EntitlementID { return r.Entitlement.ID }),
		access.Each(offer.Refused, func(r RefusedRole) access.EntitlementID { return r.ID })))
	for i := range offer.Roles {
		offer.Roles[i].Role = described[i]
	}
	for i := range offer.Refused {
		offer.Refused[i].Role = described[len(offer.Roles)+i]
	}
	return offer, nil
}

// offered is what p may request, by what the provider says, and why some of it is not
// offered: its terms refuse it.
func (b *Broker) offered(ctx context.Context, caller access.Caller, standing access.Standing, p access.Principal) (
	roles []OfferedRole, refused []RefusedRole) {
	held := standing.Holdings[p]
	facts := b.facts(ctx, caller, p, &standing, access.Each(held, func(e access.Entitlement) access.EntitlementID { return e.ID })...)
	roles = make([]OfferedRole, 0, len(held))
	for _, e := range held {
		if !e.MayRequest() {
			continue
		}
		terms, why, err := b.explained(facts, e.Kind(), time.Time{}, e.ID)
		if err = cmp.Or(err, b.carriesOut(terms)); err != nil {
			refused = append(refused, RefusedRole{ID: e.ID, Err: access.AsError(err), Why: why})
			continue
		}
		role := OfferedRole{Entitlement: e, Terms: terms, Why: why}
		now := b.c.Now()
		for i, a := range standing.Activations {
			switch w := a.Window; {
			case a.Principal != p || a.Entitlement != e.ID:
			case w.Start.After(now) && w.Length() > 0: // one that was ended before it began has none
				role.Upcoming = append(role.Upcoming, a)
			case w.Contains(now) && (role.Activation == nil || w.End.After(role.Activation.Window.End)):
				role.Activation = &standing.Activations[i]
			case !w.End.After(now) && w.End.After(role.Ended):
				role.Ended = w.End
			}
		}
		slices.SortFunc(role.Upcoming, func(a, b access.Activation) int { return a.Window.Start.Compare(b.Window.Start) })
		roles = append(roles, role)
	}
	return roles, refused
}

// further adds what else the caller may end to the offer, and takes out what only an
// admin may see. Whether they are one is asked only where that makes a difference: it
// may cost a call.
func (b *Broker) further(ctx context.Context, caller access.Caller, all []access.Activation, offer *Offer) {
	for _, a := range all {
		same := func(b access.Activation) bool {
			return b.RequestID == a.RequestID && b.Principal == a.Principal && b.Entitlement == a.Entitlement
		}
		shown := slices.ContainsFunc(offer.Roles, func(r OfferedRole) bool {
			return r.Activation != nil && same(*r.Activation) || slices.ContainsFunc(r.Upcoming, same)
		})
		if !shown && a.Window.Length() > 0 && b.c.Now().Before(a.Window.End) {
			offer.Further = append(offer.Further, a)
		}
	}
	another := func(a access.Activation) bool { return a.Principal != caller.Principal }
	if !slices.ContainsFunc(offer.Further, another) && len(offer.Ineffective) == 0 {
		return
	}
	admin, warnings := b.admin(ctx, caller, time.Time{})
	offer.Warnings = slices.Concat(offer.Warnings, warnings)
	if !admin {
		offer.Ineffective = nil
		offer.Further = slices.DeleteFunc(offer.Further, another)
	}
}

// Choice is some roles of an offer that are requested together.
type Choice struct {
	// Offer is what they were chosen from. With an error it is all there is, or zero
	// when it could not be had.
	Offer Offer
	Roles []OfferedRole
	// Kind is how they are requested, Terms the strictest of theirs.
	Kind  access.RequestKind
	Terms access.Terms
	// Form numbers the form, so that sending it twice is one request.
	Form string
	// GlassForm numbers the form with which the caller has them at once, without approval,
	// and others look at it afterwards; empty where that is not for them.
	GlassForm string
	// Extends is the request whose grant this one would go on with; zero for all others.
	Extends access.Request
	// Reviewers are who may be asked to approve all of them, people and groups
	// (access.Principal.Group); none for Self. Typed: there are others, of whom there is no
	// list, so that their addresses are typed.
	// Keyless are those of them who could not sign yet, where approvals are signed.
	Reviewers, Keyless []access.Principal
	Typed              bool
	Warnings           []*access.Error
}

// Choose returns what a form for the entitlements takes, in the order in which they
// come. Either all of them need approval or none does: what needs none would
// otherwise wait for others.
func (b *Broker) Choose(ctx context.Context, caller access.Caller, resource access.Resource, ids ...access.EntitlementID) (Choice, error) {
	begun := b.c.Now()
	offer, err := b.Offer(ctx, caller, resource)
	if err != nil {
		return Choice{}, err
	}
	c, err := offer.Choose(ids...)
	if e := access.AsError(err); e != nil && (e.Kind == access.NotAllowed || e.Code == access.CodeNeedsApproval) {
		// As look does: no refusal rests on what is remembered.
		if offer, err = b.offer(ctx, caller, resource, begun); err != nil {
			return Choice{}, err
		}
		c, err = offer.Choose(ids...)
	}
	if err != nil {
		return c, err
	}
	if c.Kind == access.Peers && c.Terms.Asked() > 0 {
		all, err := b.Reviewers(ctx, caller, ids...)
		if err != nil {
			return Choice{}, err
		}
		c.Reviewers, c.Keyless, c.Typed = all.People, all.Keyless, typed(c.Terms)
		c.Warnings = slices.Concat(c.Warnings, all.Warnings)
	}
	opened := b.openedAt(c.Roles)
	if c.Form, err = access.NewForm(b.c.Random, c.Kind, caller.Principal, opened); err != nil {
		return Choice{}, access.AsError(err)
	}
	if c.Kind == access.Peers && c.Terms.BreakGlass {
		switch err := b.mayBreak(ctx, caller, c.Terms, ids[0].Role, time.Time{}); {
		case err == nil:
			if c.GlassForm, err = access.NewForm(b.c.Random, access.BreakGlass, caller.Principal, opened); err != nil {
				return Choice{}, access.AsError(err)
			}
		case access.AsError(err).Code != access.CodeNoBreakGlass: // it is not known whether they may
			c.Warnings = slices.Concat(c.Warnings, warningOf(err))
		}
	}
	return c, nil
}

// openedAt is when a form that shows these roles counts as opened. The clock of who ends
// access meanwhile may be behind ours: what this page does not show as ended ended after
// it. What it shows, it was opened after.
func (b *Broker) openedAt(roles []OfferedRole) time.Time {
	opened := b.c.Now().Add(-access.LinkSkew)
	for _, role := range roles {
		if role.Ended.After(opened) {
			opened = role.Ended
		}
	}
	return opened
}

// Choose picks entitlements of the offer, each once. What takes a call is not in the
// Choice: reviewers, and the number of a form.
func (o Offer) Choose(ids ...access.EntitlementID) (Choice, error) {
	none := Choice{Offer: o}
	c := Choice{Offer: o, Warnings: o.Warnings, Kind: access.Self}
	var terms []access.Terms
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			continue
		}
		at := slices.IndexFunc(o.Roles, func(r OfferedRole) bool { return r.Entitlement.ID == id })
		if refused := slices.IndexFunc(o.Refused, func(r RefusedRole) bool { return r.ID == id }); refused >= 0 {
			return none, o.Refused[refused].Err
		}
		if at < 0 {
			return none, notEligible(id)
		}
		c.Roles, terms = append(c.Roles, o.Roles[at]), append(terms, o.Roles[at].Terms)
	}
	if len(c.Roles) == 0 {
		return none, invalid(access.FieldEntitlement, access.CodeNoEntitlement, nil)
	}
	c.Terms = access.Strictest(terms[0], terms[1:]...)
	if err := fewEnough(c.Terms, len(c.Roles)); err != nil {
		return none, err
	}
	alone := slices.ContainsFunc(terms, func(t access.Terms) bool { return t.Approvals() == 0 })
	for _, r := range c.Roles {
		if r.Terms.Approvals() == 0 {
			continue
		}
		if c.Kind = access.Peers; alone {
			return none, needsApproval(access.Invalid, cmp.Or(r.Role.Title, string(r.Entitlement.ID.Role)))
		}
	}
	return c, nil
}

// Reviewers are who may be asked to approve.
type Reviewers struct {
	// People are people and groups, sorted. Keyless are the people among them who have no
	// passkey yet that counts, where approvals are signed.
	People, Keyless []access.Principal
	Warnings        []*access.Error
}

// Reviewers returns who may be asked to approve the caller's request for all of the
// entitlements together, people and groups, sorted, without the caller. They are of one resource, at
// least one. Only somebody who may request them learns that; for everyone else it
// is as if they did not exist.
func (b *Broker) Reviewers(ctx context.Context, caller access.Caller, ids ...access.EntitlementID) (Reviewers, error) {
	// What cannot be requested together need not be looked up: that takes groups, or an
	// analysis, and only then is it known whether the caller may ask.
	terms, err := b.terms(b.facts(ctx, caller, caller.Principal, nil, ids...), access.Peers, time.Time{}, ids...)
	if err = cmp.Or(err, fewEnough(terms, len(ids)), agrees(terms, access.Peers)); err != nil {
		return Reviewers{}, err
	}
	r := access.Request{Principal: caller.Principal, Resource: ids[0].Resource, Entitlements: ids}
	return b.candidates(ctx, caller, r, terms, func(s access.Standing) error { return holds(r.Principal, r, nil, s) })
}

// typed is whether there are people among those who may approve of whom there is no list.
func typed(t access.Terms) bool {
	return slices.ContainsFunc(spelledIn(t), func(from string) bool { return isClaim(from) || strings.HasPrefix(from, "domain:") })
}

// candidates may approve the request by its terms: sorted, without its principal. They are
// nobody's to know whom judge refuses; with an error they may be in part. Groups are named and not looked into; peers are
// looked for where the terms name them, which is expensive.
func (b *Broker) candidates(ctx context.Context, caller access.Caller, r access.Request, terms access.Terms,
	judge func(access.Standing) error) (Reviewers, error) {
	q := access.StandingQuery{Resource: r.Resource, Principals: []access.Principal{r.Principal}, Of: r.Entitlements}
	if slices.Contains(spelledIn(terms), access.FromPeers) {
		q.ReviewersOf = r.Entitlements
	}
	named, _ := b.namedIn(r, terms)
	var all []access.Principal
	nobody := error(&access.Error{Kind: access.NotAllowed}) // that there is nobody is looked at again as well
	s, refusal, err := b.look(ctx, caller, q, func(s access.Standing) error {
		all = slices.DeleteFunc(slices.Clone(s.Reviewers[r.Entitlements[0]]), func(p access.Principal) bool {
			lacks := func(id access.EntitlementID) bool { return !slices.Contains(s.Reviewers[id], p) }
			return b.another(r, p) != nil || slices.ContainsFunc(r.Entitlements, lacks)
		})
		all = append(all, named...)
		if err := judge(s); err != nil || len(all) > 0 {
			return err
		}
		return nobody
	})
	if refusal == nobody {
		refusal = nil
	}
	if err = cmp.Or(err, refusal); err != nil {
		return Reviewers{}, err
	}
	if terms.InheritedOnly {
		all, err = b.inheriting(ctx, caller, r, all)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	keyless, unknown := b.keyless(ctx, all, terms)
	return Reviewers{all, keyless, slices.Concat(s.Warnings, unknown)}, err
}

// inheriting are the people, and all groups, that a folder or the organization lets review
// the request.
func (b *Broker) inheriting(ctx context.Context, caller access.Caller, r access.Request, all []access.Principal) (
	[]access.Principal, error) {
	q := access.StandingQuery{Resource: r.Resource, Principals: append([]access.Principal{r.Principal}, persons(all)...), Of: r.Entitlements}
	s, err := b.standing(ctx, caller, q)
	return slices.DeleteFunc(all, func(p access.Principal) bool {
		_, group := p.Group()
		return !group && inherits(r, p, s) != nil
	}), err
}

// Eligible is what people may request on a resource.
type Eligible struct {
	// People are who was asked about, sorted; of everybody, those whom an eligibility
	// names.
	People []EligiblePerson
	// Ineffective is what makes nobody eligible.
	Ineffective []access.Ineffective
	Warnings    []*access.Error
}

// EligiblePerson is what one of them may request; it may be nothing.
type EligiblePerson struct {
	Person access.Principal
	// Roles are sorted by id, and not described.
	Roles []OfferedRole
}

// Eligible returns what a person may request on a resource, or everybody if person is
// empty. It tells of others, so that only the service itself may ask, for whoever
// operates it.
func (b *Broker) Eligible(ctx context.Context, caller access.Caller, on access.Resource, person access.Principal) (Eligible, error) {
	if caller.Method != access.MethodSystem {
		return Eligible{}, &access.Error{Kind: access.NotAllowed, Code: access.CodeNotAdmin}
	}
	q := access.StandingQuery{Resource: on, Everybody: person == ""}
	if person != "" {
		q.Principals = []access.Principal{person}
	}
	standing, err := b.standing(ctx, caller, q)
	if err != nil {
		return Eligible{}, err
	}
	found := Eligible{Ineffective: standing.Ineffective, Warnings: standing.Warnings}
	for _, p := range slices.Sorted(maps.Keys(standing.Holdings)) {
		roles, refused := b.offered(ctx, caller, standing, p)
		found.People = append(found.People, EligiblePerson{p, roles})
		for _, r := range refused {
			found.Warnings = withNew(found.Warnings, []*access.Error{r.Err})
		}
	}
	return found, nil
}
