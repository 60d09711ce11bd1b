package broker

import (
	"context"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// View is a request as shown to one of the people it concerns.
type View struct {
	Request access.Request
	// Terms are those that the request carries; where the store keeps none they are those
	// of now, as far as they are known, and zero once it is decided.
	Terms access.Terms
	State access.State
	// Activations are what the provider holds of it.
	Activations []access.Activation
	// Roles describes the roles in the order of Request.Entitlements.
	Roles []access.RoleInfo
	// Effects are what approving now would write while it can be decided, and afterwards
	// what stands of what was written; none where nothing does. Unwritable is why something
	// of it cannot be.
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
	// Signature: the caller signs to approve it, with a key that is as Keys says. NoKey is
	// why they cannot; denying it takes none.
	Signature bool
	Keys      access.KeyTerms
	NoKey     *access.Error
	// Keyless are who was asked and has no passkey yet that counts, while it can be decided.
	Keyless []access.Principal
	// CanEnd is whether the caller may end the grant, CanWithdraw whether they may take the
	// request back, CanExtend whether they may ask for more time, and CanReview whether the
	// glass was broken and they may say what they think of it.
	CanEnd, CanWithdraw, CanExtend, CanReview bool
	// Tally is how far it has come, requirement by requirement of Terms.
	Tally access.Tally
	// Past is what the principal asked for on the same resource in PastTime before the request
	// was made, for whoever decides it; nil where that is not remembered, or not known now.
	Past *access.Past
	// CanBreak is whether the principal, who is the caller, may have at once what waits for
	// approval (Terms.Glass).
	CanBreak bool
	// Events are what happened to it, in order, where that is remembered.
	Events []access.Event
	// IsPrincipal and IsReviewer are what the caller is to the request.
	IsPrincipal, IsReviewer bool
	// ReviewURL is the link, for the principal to pass on; empty when no origin can
	// be trusted.
	ReviewURL string
	// Forgets is whether a denial is only a declining (see access.Limits). Declined is who
	// has declined then, as far as this instance knows.
	Forgets  bool
	Declined []access.Decision
	Warnings []*access.Error
}

// Show returns a request to one of the people whom it concerns: its principal, a
// reviewer and, where requests are remembered, an auditor, who decides nothing. It changes
// nothing. origin is as in Ask.
//
// When the provider cannot be asked the request is still shown, undecidable, with
// the reason.
func (b *Broker) Show(ctx context.Context, caller access.Caller, ref, origin string) (View, error) {
	r, err := b.open(ctx, ref)
	if err != nil {
		return View{}, err
	}
	v := View{
		Request:     r,
		Terms:       r.Terms,
		IsPrincipal: caller.Principal == r.Principal,
		Digest:      r.Digest(),
		Forgets:     b.forgets,
		Declined:    b.later.denied(r, b.c.Now()),
	}
	if err := b.concerned(ctx, caller, r); err != nil {
		return View{}, err
	}
	v.IsReviewer = !v.IsPrincipal && b.involves(ctx, caller, r) == nil
	if m := b.memory(); m != nil {
		if v.Events, err = m.History(ctx, r.ID); err != nil {
			return View{}, err
		}
	}
	if v.IsReviewer {
		if v.Past, err = b.past(ctx, r); err != nil { // it convinces, and decides nothing
			v.Warnings = []*access.Error{access.AsError(err)}
		}
	}
	v.CanReview = r.Unreviewed() && b.mayReview(ctx, caller, r, time.Time{}) == nil
	if origin != "" {
		v.ReviewURL = reviewURL(origin, ref, r)
	}
	q := access.StandingQuery{Resource: r.Resource, Principals: people(r, caller.Principal), Of: r.Entitlements}
	var now access.Terms
	standing, whyNot, err := b.look(ctx, caller, q, func(s access.Standing) error {
		if !v.IsReviewer {
			return nil
		}
		terms, _, err := b.mayDecide(ctx, caller, r, s, access.Approve)
		now = terms
		return err
	})
	at := b.c.Now()
	v.Activations = standing.OfRequest(r)
	v.State = r.StateWith(v.Activations, at)
	if b.forgets && v.State == access.Pending {
		if v.Terms = now; now.Rule == "" && !v.IsReviewer { // whoever made it decides nothing
			v.Terms, _ = b.termsOf(ctx, caller, r, &standing)
		}
	}
	v.Keyless = b.Keyless(ctx, r)
	v.Roles = b.describe(ctx, r.Entitlements)
	v.Warnings = withNew(v.Warnings, standing.Warnings)
	if r.Unattested {
		v.Warnings = append([]*access.Error{{Kind: access.Unprocessable, Code: access.CodeUnattested}}, v.Warnings...)
	}
	if v.Window = r.Window; v.Window.IsZero() {
		v.Window = standing.WindowAt(r, at)
	}
	var approvers []access.Principal
	if len(v.Activations) > 0 {
		v.Window = v.Activations[0].Window
		approvers = v.Activations[0].Approvers
	} else if v.IsReviewer && v.State == access.Pending {
		approvers = r.ApprovedBy()
		if !slices.Contains(approvers, caller.Principal) {
			approvers = append(approvers, caller.Principal)
		}
	}
	if len(approvers) > 0 {
		provider, err := b.providerOf(r.Resource)
		if err == nil {
			v.Effects, err = provider.Preview(grantOf(r, v.Window, approvers))
		}
		v.Unwritable = access.AsError(err)
	}
	v.CanWithdraw = b.memory() != nil && v.State == access.Pending && b.mayWithdraw(ctx, caller, r, time.Time{}) == nil
	if err != nil {
		v.State = r.StateAt(at)
		v.WhyNot = access.AsError(err)
		v.Warnings = append(v.Warnings, v.WhyNot)
		return v, nil
	}
	v.CanBreak = v.IsPrincipal && v.State == access.Pending && v.Terms.BreakGlass &&
		b.mayBreak(ctx, caller, v.Terms, r.Entitlements[0].Role, time.Time{}) == nil
	v.Tally = b.tally(ctx, caller, r, v.State, v.Terms, standing)
	v.CanEnd = b.canEnd(ctx, caller, r, v)
	v.CanExtend = v.IsPrincipal && b.canExtend(ctx, r, v.Activations)
	v.WhyNot = access.AsError(whyNot)
	v.CanDecide = v.IsReviewer && v.WhyNot == nil
	if v.Signature = v.CanDecide && now.Signature; v.Signature {
		v.Keys = now.Keys
		_, err := b.shownKeys(ctx, caller.Principal, now.Keys, at)
		v.NoKey = access.AsError(err)
	}
	return v, nil
}

// tally is how far a request has come: while it can be decided by what those who approved
// hold now, and once it was approved, all of it.
func (b *Broker) tally(ctx context.Context, caller access.Caller, r access.Request, state access.State, terms access.Terms,
	standing access.Standing) access.Tally {
	if r.Kind != access.Peers || b.forgets {
		return access.Tally{}
	}
	switch {
	case state == access.Pending:
		tally, _ := b.count(ctx, caller, r, r.Decisions, terms, standing) // groups that are not known fill nothing
		return tally
	case r.Window.IsZero():
		return access.Tally{}
	}
	tally := access.Tally{Complete: true, Approvers: r.ApprovedBy()}
	for _, need := range terms.Requirements {
		tally.Filled = append(tally.Filled, need.Count)
	}
	return tally
}

// open opens a request and spells its resource conditions as we do: JIT Access 1.x
// spells some differently. One that cannot be understood stays as it is, and is
// then nothing that anybody holds.
func (b *Broker) open(ctx context.Context, ref string) (access.Request, error) {
	r, err := timed(b, ctx, func(ctx context.Context) (access.Request, error) { return b.c.Store.Open(ctx, ref) })
	if codeOf(err) == access.CodeBadLink {
		if q := b.foreignNamed(ctx, ref); q.ID != "" {
			r, err = q, nil
		}
	}
	if err != nil {
		return r, err
	}
	r.Entitlements = slices.Clone(r.Entitlements)
	for i := range r.Entitlements {
		if id, err := b.canonical(r.Entitlements[i]); err == nil {
			r.Entitlements[i] = id
		}
	}
	slices.SortFunc(r.Entitlements, access.CompareEntitlementIDs)
	r.Entitlements = slices.Compact(r.Entitlements)
	return r, nil
}
