package broker

import (
	"cmp"
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

// End takes back the grant of a person that bears the number, before its end, or calls off
// what is approved and not written yet: the caller's, what they approved where that is
// remembered, or for whoever administers the resource anyone's; and with it what extends it. With what an admin ends
// of somebody's go their activations without others of the same roles that are yet to
// begin. A grant that is not there, or not theirs to end, is not found. of may be empty
// where only one person has a grant of that number which the caller may end, or the caller
// has. Ended again it is the same. Where the store cannot be reached, what the provider holds is ended all the same.
func (b *Broker) End(ctx context.Context, caller access.Caller, resource access.Resource, requestID string,
	of access.Principal) (Ended, error) {
	begun := b.c.Now()
	r := access.Request{ID: requestID, Resource: resource, Principal: of}
	kept, unknown := b.keptToEnd(ctx, r)
	standing, err := b.standing(ctx, caller, access.StandingQuery{Resource: resource, Since: begun})
	if err != nil && kept.ID == "" {
		return Ended{}, b.refuse(ctx, caller, access.EndAsked, r, err)
	}
	if standing.Remembered {
		standing.Activations = standing.OfRequest(kept)
	}
	admin, warnings := b.administers(ctx, caller, resource, begun)
	result := Ended{Warnings: slices.Concat(standing.Warnings, warnings)}
	if unknown != nil {
		result.Warnings = append(result.Warnings, unknown)
	}
	mayEnd := func(p access.Principal, approvers []access.Principal) bool {
		return p == caller.Principal || askedBy(caller, kept) || admin || !b.guarded(resource) && b.approved(caller, approvers)
	}
	mine := func(a access.Activation) bool { return a.RequestID == requestID && a.Principal == caller.Principal }
	if of == "" && slices.ContainsFunc(standing.Activations, mine) {
		of = caller.Principal
	}
	for _, a := range standing.Activations {
		if a.RequestID == requestID && mayEnd(a.Principal, a.Approvers) && (of == "" || a.Principal == of) {
			result.Activations = append(result.Activations, a)
		}
	}
	if kept.ID != "" && (of != "" && kept.Principal != of || !mayEnd(kept.Principal, kept.ApprovedBy())) {
		kept = access.Request{}
	}
	switch {
	case len(result.Activations) > 0:
		of = result.Activations[0].Principal
		if slices.ContainsFunc(result.Activations, func(a access.Activation) bool { return a.Principal != of }) {
			return result, b.refuse(ctx, caller, access.EndAsked, r, &access.Error{Kind: access.Conflict, Code: access.CodeBadRequestID})
		}
	case kept.State == access.Ended:
		return result, nil
	case err != nil && kept.State == access.Active: // it stands, and cannot be reached
		return result, b.refuse(ctx, caller, access.EndAsked, r, err)
	case slices.Contains([]access.State{access.Approved, access.Scheduled}, kept.State):
		of = kept.Principal
	case unknown != nil:
		return result, b.refuse(ctx, caller, access.EndAsked, r, unknown)
	default:
		none := &access.Error{Kind: access.NotFound, Code: access.CodeNoGrant}
		return result, b.refuse(ctx, caller, access.EndAsked, r, b.notAtPage(caller, resource, none))
	}

	ctx, cancel := detach(ctx)
	defer cancel()
	first := ending{found: result.Activations, of: access.Ending{RequestID: requestID, Principal: of, Resource: resource,
		At: begun.UTC().Truncate(time.Second), Since: begun}}
	if kept.Principal == of {
		first.kept = kept
	}
	queue := []ending{first}
	if admin && of != caller.Principal {
		ahead, unread := b.ahead(ctx, first, standing)
		queue, result.Warnings = append(queue, ahead...), append(result.Warnings, warningOf(unread)...)
	}
	queue = b.askRest(ctx, caller, queue, standing)
	for i := 0; i < len(queue); i++ {
		e := queue[i]
		if e.over(begun) {
			result.Outcomes = append(result.Outcomes, e.removed()...)
		} else {
			outcomes, warnings, err := b.end(ctx, caller, caller.Principal, e)
			if err != nil && i == 0 {
				return result, err
			}
			result.Outcomes, result.Warnings = append(result.Outcomes, outcomes...), withNew(result.Warnings, append(warnings, warningOf(err)...))
		}
		var lost error
		queue, lost = b.extending(ctx, queue, e, standing)
		result.Warnings = withNew(result.Warnings, warningOf(lost))
	}
	return result, nil
}

// warningOf is an error as what is told beside a result; none for nil.
func warningOf(err error) []*access.Error {
	if err == nil {
		return nil
	}
	return []*access.Error{access.AsError(err)}
}

// canEnd is whether the caller may end, or call off, what is shown.
func (b *Broker) canEnd(ctx context.Context, caller access.Caller, r access.Request, v View) bool {
	if v.State != access.Active && (b.memory() == nil || v.State != access.Approved && v.State != access.Scheduled) {
		return false
	}
	approvers := r.ApprovedBy()
	for _, a := range v.Activations {
		approvers = append(approvers, a.Approvers...)
	}
	if v.IsPrincipal || !b.guarded(r.Resource) && b.approved(caller, approvers) {
		return true
	}
	admin, _ := b.administers(ctx, caller, r.Resource, time.Time{})
	return admin
}

// keptToEnd is the request of that number as it is remembered; zero where it is not, and the
// error where that cannot be found out.
func (b *Broker) keptToEnd(ctx context.Context, r access.Request) (access.Request, *access.Error) {
	if _, err := access.ParseRequestID(r.ID); b.memory() == nil || err != nil {
		return access.Request{}, nil
	}
	kept, err := b.open(ctx, r.ID)
	if e := access.AsError(err); e != nil {
		if e.Kind == access.NotFound || e.Kind == access.Gone {
			e = nil
		}
		return access.Request{}, e
	}
	if kept.Resource != r.Resource {
		return access.Request{}, nil
	}
	return kept, nil
}

// approved is whether the caller is among those who approved, by any address. Where nothing
// is remembered they are known by what the provider holds alone, and may not end it.
func (b *Broker) approved(caller access.Caller, approvers []access.Principal) bool {
	return !b.forgets && slices.ContainsFunc(approvers, func(p access.Principal) bool { return b.human(p) == b.human(caller.Principal) })
}

// ending is one grant that is to be ended: what the provider holds of it, which may be
// nothing, and the request as far as it is remembered. asked is whether it is recorded
// that it is to be ended.
type ending struct {
	of    access.Ending
	found []access.Activation
	kept  access.Request
	asked bool
}

// over is whether it was ended, and nothing of it stands. To end that again records nothing:
// whoever presses the button without end would make the history of a request, which is read
// whole each time that it is opened, as long as they like.
func (e ending) over(now time.Time) bool {
	return e.kept.State == access.Ended && !slices.ContainsFunc(e.found, func(a access.Activation) bool {
		return gives(a, now)
	})
}

// removed is what became of what is over.
func (e ending) removed() []access.Outcome {
	return access.Each(e.found, func(a access.Activation) access.Outcome {
		return access.Outcome{Entitlement: a.Entitlement, Result: access.Removed, Window: a.Window}
	})
}

// and adds to a queue what ends another grant of the same person, unless it is there.
func (e ending) and(queue []ending, s access.Standing, id string, kept access.Request) []ending {
	if slices.ContainsFunc(queue, func(other ending) bool { return other.of.RequestID == id }) {
		return queue
	}
	next := ending{of: e.of, kept: kept}
	next.of.RequestID = id
	for _, a := range s.Activations {
		if a.RequestID == id && a.Principal == e.of.Principal {
			next.found = append(next.found, a)
		}
	}
	return append(queue, next)
}

// askRest completes a queue with what extends what is in it, and records of all but the first
// that they are to be ended. That comes before the first is: whoever ends them may die in
// between, and a sweep ends only what is recorded; it does so too where the first cannot be
// ended. What is not remembered no sweep writes.
func (b *Broker) askRest(ctx context.Context, caller access.Caller, queue []ending, s access.Standing) []ending {
	for i := 0; i < len(queue); i++ {
		queue, _ = b.extending(ctx, queue, queue[i], s) // looked up once more when it is ended
		if e := &queue[i]; i > 0 && e.kept.ID != "" && !e.over(b.c.Now()) {
			event, _ := e.event(b.event(caller, access.EndAsked, access.Request{}))
			_, lost, err := b.commit(ctx, event)
			e.asked = err == nil && len(lost) == 0
		}
	}
	return queue
}

// extending adds to a queue the grants that extend one. It is asked once more when that is
// ended, so that none is missed that was approved meanwhile: what is approved later was so in
// the knowledge of the end. Where that cannot be looked up they are what the provider holds of
// the same roles from its end on.
func (b *Broker) extending(ctx context.Context, queue []ending, e ending, s access.Standing) (_ []ending, lost error) {
	if e.kept.ID != "" {
		var extensions []access.Request
		extensions, lost = b.extensions(ctx, e.kept.ID, e.kept.Principal, e.kept.Resource, granting...)
		for _, r := range extensions {
			queue = e.and(queue, s, r.ID, r)
		}
		if lost == nil {
			return queue, nil
		}
	}
	if b.forgets {
		return queue, nil
	}
	for _, had := range e.found {
		for _, a := range s.Activations {
			if a.Principal == e.of.Principal && a.Entitlement == had.Entitlement && a.Window.Start.Equal(had.Window.End) &&
				a.Window.Length() > 0 && a.Window.Start.After(b.c.Now()) {
				queue = e.and(queue, s, a.RequestID, access.Request{})
			}
		}
	}
	return queue, lost
}

// ahead is what would give its principal the same roles again later with nobody deciding
// it: their activations without others that have not begun. Whoever an admin takes access
// from has none by what they asked for before.
func (b *Broker) ahead(ctx context.Context, e ending, s access.Standing) (all []ending, err error) {
	now, ids := b.c.Now(), slices.Clone(e.kept.Entitlements)
	for _, a := range e.found {
		ids = append(ids, a.Entitlement)
	}
	same := func(id access.EntitlementID) bool { return slices.Contains(ids, id) }
	if b.memory() != nil {
		var kept []access.Request
		kept, err = b.remembered(ctx, e.of.Principal, e.of.Resource, granting, func(r access.Request) bool {
			return r.Kind == access.Self && r.Window.Start.After(now) && slices.ContainsFunc(r.Entitlements, same)
		})
		for _, r := range kept {
			all = e.and(all, s, r.ID, r)
		}
	}
	for _, a := range s.Activations {
		if a.Principal == e.of.Principal && access.KindOfID(a.RequestID) == access.Self && same(a.Entitlement) &&
			a.Window.Start.After(now) && a.Window.Length() > 0 {
			all = e.and(all, s, a.RequestID, access.Request{})
		}
	}
	return slices.DeleteFunc(all, func(other ending) bool { return other.of.RequestID == e.of.RequestID }), err
}

// end has one grant ended, or called off, which is recorded first unless it is, and tells
// people. by is who wants it.
func (b *Broker) end(ctx context.Context, caller access.Caller, by access.Principal, e ending) (
	[]access.Outcome, []*access.Error, error) {
	// The form that made it may be sent again, and must not be answered from memory.
	b.asked.forget(func(a Asked) bool { return a.Request.ID == e.of.RequestID && a.Request.Principal == e.of.Principal })
	now := b.c.Now()
	event, approvers := e.event(b.event(caller, access.EndAsked, access.Request{}))
	var warnings []*access.Error
	if !e.asked {
		var err error
		if _, warnings, err = b.commit(ctx, event); err != nil {
			return nil, nil, err
		}
	}
	var told []access.Notice // of an end by somebody else
	if by != e.of.Principal && (e.calledOff() || slices.ContainsFunc(e.found, func(a access.Activation) bool { return gives(a, now) })) {
		told = append(told, b.endedNotice(ctx, by, event, e.kept, approvers))
	}
	outcomes, more, err := b.carryOutEnd(ctx, event, e, told)
	return outcomes, withNew(warnings, more), err
}

// gives is whether an activation gives access then, or later.
func gives(a access.Activation, now time.Time) bool {
	return a.Window.Length() > 0 && now.Before(a.Window.End)
}

// calledOff is whether it is approved, and nothing of it was written.
func (e ending) calledOff() bool {
	return (e.kept.State == access.Approved || e.kept.State == access.Scheduled) && len(e.found) == 0
}

// event is what is recorded of an ending: an event completed by what is known of the grant,
// and of who approved it.
func (e ending) event(event access.Event) (access.Event, []access.Principal) {
	r, approvers := e.kept, e.kept.ApprovedBy()
	if r.ID == "" {
		r = access.Request{ID: e.of.RequestID, Resource: e.of.Resource, Principal: e.of.Principal}
	}
	r.Entitlements, r.Justification = nil, ""
	if e.calledOff() {
		r.Entitlements, r.Justification, event.Window = e.kept.Entitlements, e.kept.Justification, e.kept.Window
	}
	for _, a := range e.found {
		r.Entitlements, r.Justification, event.Window = append(r.Entitlements, a.Entitlement), a.Justification, a.Window
		if e.kept.ID == "" {
			approvers = a.Approvers
		}
	}
	event.Request = r
	return event, approvers
}

// carryOutEnd ends what the event asks for, and records what became of it. told is who hears
// of it.
func (b *Broker) carryOutEnd(ctx context.Context, event access.Event, e ending, told []access.Notice) (
	outcomes []access.Outcome, warnings []*access.Error, err error) {
	// What is not written is called off first: who writes it meanwhile looks afterwards
	// (calledOff), and then one of both ends it.
	kept, off := told, e.calledOff()
	if off {
		event.Action, event.At = access.GrantEnded, b.c.Now()
		_, unrecorded, _ := b.commit(ctx, event, kept...)
		if len(unrecorded) > 0 { // then it may be written all the same
			return nil, nil, unrecorded[0]
		}
	}
	provider, err := b.providerOf(e.of.Resource)
	if err == nil {
		e.of.Stands = e.found
		outcomes, err = provider.End(ctx, e.of)
	}
	if event.Caller.Method == access.MethodSystem && access.AsError(err).MayPass() && !off {
		return nil, nil, err // it stays due, and is recorded once it is known
	}
	event.Action, event.At, event.Outcomes, event.Err = access.GrantEnded, b.c.Now(), outcomes, err
	if event.Warnings = waits(outcomes); err != nil {
		event.Action = access.EndFailed
	}
	warnings = event.Warnings
	if !off || len(outcomes) > 0 {
		if off || err != nil {
			kept = nil
		}
		_, unrecorded, _ := b.commit(ctx, event, kept...)
		warnings = withNew(warnings, unrecorded)
	}
	if off && err != nil { // nothing is known to stand, and nothing will be written
		warnings, err = append(warnings, access.AsError(err)), nil
	}
	for _, n := range told {
		if err == nil {
			warnings = append(warnings, b.tell(ctx, event.Caller, n)...)
		}
	}
	return outcomes, warnings, err
}

// finishEnd carries out an end that somebody asked for whose process died: by what stands,
// it was ended, or is now, with what extends it. Access that ran its time meanwhile has
// expired.
func (b *Broker) finishEnd(ctx context.Context, r access.Request) error {
	ctx, cancel := detach(ctx)
	defer cancel()
	events, err := timed(b, ctx, func(ctx context.Context) ([]access.Event, error) { return b.memory().History(ctx, r.ID) })
	if err != nil {
		return err
	}
	var by access.Principal
	for _, e := range events {
		if e.Action == access.EndAsked {
			by = e.Caller.Principal
		}
	}
	now := b.c.Now()
	standing, err := b.standing(ctx, system, access.StandingQuery{Resource: r.Resource, Since: now})
	if err != nil {
		return err
	}
	held := standing.OfRequest(r)
	if r.State == access.Active && r.StateWith(held, now) == access.Expired {
		_, warnings, err := b.commit(ctx, b.event(system, access.GrantExpired, r))
		return cmp.Or(err, first(warnings))
	}
	e := ending{found: held, kept: r, of: access.Ending{RequestID: r.ID, Principal: r.Principal, Resource: r.Resource,
		At: now.UTC().Truncate(time.Second), Since: now}}
	event, approvers := e.event(b.event(system, access.GrantEnded, r))
	var told []access.Notice
	if by != r.Principal {
		told = append(told, b.endedNotice(ctx, by, event, r, approvers))
	}
	_, warnings, err := b.carryOutEnd(ctx, event, e, told)
	queue, lost := b.extending(ctx, []ending{e}, e, standing)
	for i := 1; i < len(queue); i++ {
		_, more, failed := b.end(ctx, system, by, queue[i])
		warnings = append(warnings, more...)
		var further error
		queue, further = b.extending(ctx, queue, queue[i], standing)
		err = cmp.Or(err, failed, further)
	}
	return cmp.Or(err, lost, first(warnings))
}

// endedNotice is what people hear of an end by somebody else: its holder and who approved
// it, but not who ended it.
func (b *Broker) endedNotice(ctx context.Context, by access.Principal, event access.Event, kept access.Request,
	approvers []access.Principal) access.Notice {
	r := event.Request
	if kept.ID != "" {
		r = kept
	}
	others := slices.DeleteFunc(slices.Clone(approvers), func(p access.Principal) bool { return p == by })
	n := b.notice(access.GrantEnded, r, others)
	n.By, n.Window, n.Roles = by, event.Window, b.describe(ctx, r.Entitlements)
	if b.c.Origin != "" {
		n.BaseURL = b.c.Origin + "/"
		if kept.ID != "" {
			n.ReviewURL = reviewURL(b.c.Origin, r.ID, r)
		}
	}
	return n
}
