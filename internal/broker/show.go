package broker

import (
	"context"
	"slices"

	"jitaccess/internal/access"
)

// Show returns a request to one of the people whom it concerns: its principal or a
// reviewer. It changes nothing. origin is as in Ask.
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
		IsPrincipal: caller.Principal == r.Principal,
		IsReviewer:  slices.Contains(r.Reviewers, caller.Principal),
		Digest:      r.Digest(),
		Forgets:     b.forgets,
	}
	if !v.IsPrincipal && !v.IsReviewer {
		return View{}, r.Involves(caller.Principal)
	}
	if origin != "" {
		v.ReviewURL = reviewURL(origin, ref, r.Resource)
	}
	q := access.StandingQuery{Resource: r.Resource, Principals: people(r, caller.Principal), Of: r.Entitlements}
	standing, whyNot, err := b.look(ctx, caller, q, b.c.Now(), func(s access.Standing) error {
		if !v.IsReviewer {
			return nil
		}
		return b.mayDecide(caller, r, s, access.Approve)
	})
	now := b.c.Now()
	v.Activations = standing.OfRequest(r)
	v.State = r.StateWith(v.Activations, now)
	v.Roles = b.describe(ctx, r.Entitlements)
	v.Warnings = standing.Warnings
	v.Window = standing.WindowAt(r, now)
	var approvers []access.Principal
	if len(v.Activations) > 0 {
		v.Window = v.Activations[0].Window
		approvers = v.Activations[0].Approvers
	} else if v.IsReviewer {
		approvers = r.ApprovedBy()
		if !slices.Contains(approvers, caller.Principal) {
			approvers = append(approvers, caller.Principal)
		}
	}
	if len(approvers) > 0 {
		effects, err := b.providers.Preview(grantOf(r, v.Window, approvers))
		v.Effects, v.Unwritable = effects, access.AsError(err)
	}
	if err != nil {
		v.State = r.StateAt(now)
		v.WhyNot = access.AsError(err)
		v.Warnings = append(v.Warnings, v.WhyNot)
		return v, nil
	}
	if v.State == access.Active {
		v.CanEnd = v.IsPrincipal
	}
	v.WhyNot = access.AsError(whyNot)
	v.CanDecide = v.IsReviewer && v.WhyNot == nil
	return v, nil
}

// open opens a request and spells its resource conditions as we do: JIT Access 1.x
// spells some differently. One that cannot be understood stays as it is, and is
// then nothing that anybody holds.
func (b *Broker) open(ctx context.Context, ref string) (access.Request, error) {
	r, err := b.c.Store.Open(ctx, ref)
	if err != nil {
		return r, err
	}
	r.Entitlements = slices.Clone(r.Entitlements)
	for i := range r.Entitlements {
		if id, err := b.providers.Canonical(r.Entitlements[i]); err == nil {
			r.Entitlements[i] = id
		}
	}
	slices.SortFunc(r.Entitlements, access.CompareEntitlementIDs)
	r.Entitlements = slices.Compact(r.Entitlements)
	return r, nil
}
