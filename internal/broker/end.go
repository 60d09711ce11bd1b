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

// End takes back the grant of a person that bears the number, before its end: the
// caller's, or for an admin anyone's. A grant that is not there, or not theirs to end, is
// not found. of may be empty where only one person has a grant of that number which the
// caller may end, or the caller has.
func (b *Broker) End(ctx context.Context, caller access.Caller, resource access.Resource, requestID string,
	of access.Principal) (Ended, error) {
	begun := b.c.Now()
	r := access.Request{ID: requestID, Resource: resource, Principal: of}
	standing, err := b.standing(ctx, caller, access.StandingQuery{Resource: resource, Since: begun})
	if err != nil {
		return Ended{}, b.refuse(ctx, caller, access.EndAsked, r, err)
	}
	admin, warnings := b.admin(ctx, caller, begun)
	result := Ended{Warnings: slices.Concat(standing.Warnings, warnings)}
	mine := func(a access.Activation) bool { return a.RequestID == requestID && a.Principal == caller.Principal }
	if of == "" && slices.ContainsFunc(standing.Activations, mine) {
		of = caller.Principal
	}
	for _, a := range standing.Activations {
		if a.RequestID == requestID && (a.Principal == caller.Principal || admin) && (of == "" || a.Principal == of) {
			result.Activations = append(result.Activations, a)
		}
	}
	if len(result.Activations) == 0 {
		return result, b.refuse(ctx, caller, access.EndAsked, r, &access.Error{Kind: access.NotFound, Code: access.CodeNoGrant})
	}
	of = result.Activations[0].Principal
	if slices.ContainsFunc(result.Activations, func(a access.Activation) bool { return a.Principal != of }) {
		return result, b.refuse(ctx, caller, access.EndAsked, r, &access.Error{Kind: access.Conflict, Code: access.CodeBadRequestID})
	}

	ctx, cancel := detach(ctx)
	defer cancel()
	// The form that made it may be sent again, and must not be answered from memory.
	b.asked.forget(func(a Asked) bool { return a.Request.ID == requestID && a.Request.Principal == of })
	outcomes, warnings, err := b.end(ctx, caller, result.Activations, access.Ending{
		RequestID: requestID, Principal: of, Resource: resource, At: b.c.Now().UTC().Truncate(time.Second), Since: begun,
	})
	result.Outcomes, result.Warnings = outcomes, append(result.Warnings, warnings...)
	return result, err
}

func (b *Broker) end(ctx context.Context, caller access.Caller, found []access.Activation, e access.Ending) (
	[]access.Outcome, []*access.Error, error) {
	r := access.Request{ID: e.RequestID, Resource: e.Resource, Principal: e.Principal}
	event := b.event(caller, access.EndAsked, r)
	for _, a := range found {
		event.Request.Entitlements = append(event.Request.Entitlements, a.Entitlement)
		event.Request.Justification = a.Justification
		event.Window = a.Window
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
