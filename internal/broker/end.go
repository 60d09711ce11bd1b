package broker

import (
	"context"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// Ended is what became of ending a grant.
type Ended struct {
	Activations []access.Activation
	Outcomes    []access.Outcome
	Warnings    []*access.Error
}

// End takes back the caller's grant, or for an admin anyone's, before its end. A
// grant that is not there, or not theirs to end, is not found.
func (b *Broker) End(ctx context.Context, caller access.Caller, resource access.Resource, requestID string) (Ended, error) {
	begun := b.c.Now()
	r := access.Request{ID: requestID, Resource: resource}
	standing, err := b.standing(ctx, caller, access.StandingQuery{Resource: resource, Since: begun})
	if err != nil {
		return Ended{}, b.refuse(ctx, caller, access.EndAsked, r, err)
	}
	admin, warnings := b.admin(ctx, caller, begun)
	result := Ended{Warnings: slices.Concat(standing.Warnings, warnings)}
	var people []access.Principal
	for _, a := range standing.Activations {
		if a.RequestID == requestID && (a.Principal == caller.Principal || admin) {
			result.Activations = append(result.Activations, a)
			if !slices.Contains(people, a.Principal) {
				people = append(people, a.Principal)
			}
		}
	}
	if len(result.Activations) == 0 {
		return result, b.refuse(ctx, caller, access.EndAsked, r, &access.Error{Kind: access.NotFound, Code: access.CodeNoGrant})
	}

	ctx, cancel := detach(ctx)
	defer cancel()
	// The form that made it may be sent again, and must not be answered from memory.
	b.asked.forget(func(a Asked) bool { return a.Request.ID == requestID })
	for _, p := range people {
		outcomes, warnings, err := b.end(ctx, caller, result.Activations, access.Ending{
			RequestID: requestID, Principal: p, Resource: resource, At: b.c.Now().UTC().Truncate(time.Second), Since: begun,
		})
		result.Outcomes = append(result.Outcomes, outcomes...)
		result.Warnings = append(result.Warnings, warnings...)
		if err != nil {
			return result, err
		}
	}
	return result, nil
}

func (b *Broker) end(ctx context.Context, caller access.Caller, found []access.Activation, e access.Ending) (
	[]access.Outcome, []*access.Error, error) {
	r := access.Request{ID: e.RequestID, Resource: e.Resource, Principal: e.Principal}
	event := b.event(caller, access.EndAsked, r)
	for _, a := range found {
		if a.Principal == e.Principal {
			event.Request.Entitlements = append(event.Request.Entitlements, a.Entitlement)
			event.Request.Justification = a.Justification
			event.Window = a.Window
		}
	}
	_, warnings, err := b.commit(ctx, event)
	if err != nil {
		return nil, nil, err
	}
	var outcomes []access.Outcome
	provider, err := b.providerOf(e.Resource)
	if err == nil {
		outcomes, err = provider.End(ctx, e)
	}
	event.Action, event.At, event.Outcomes, event.Err = access.GrantEnded, b.c.Now(), outcomes, err
	if err != nil {
		event.Action = access.EndFailed
	}
	_, unrecorded, _ := b.commit(ctx, event)
	return outcomes, withNew(warnings, unrecorded), err
}
