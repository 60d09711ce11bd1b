package broker

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"jitaccess/internal/access"
)

// actionTime is how long an action may take in all, where the caller set no
// deadline of their own.
const actionTime = 25 * time.Second

// tellTime bounds the telling of people, so that a mail server that hangs does not
// eat the action's time.
const tellTime = 10 * time.Second

// detach lets an action go on when the browser goes away: once an intent is
// recorded it is carried through. The deadline stays.
func detach(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	detached := context.WithoutCancel(ctx)
	if !ok {
		return context.WithTimeout(detached, actionTime)
	}
	return context.WithDeadline(detached, deadline)
}

func (b *Broker) event(caller access.Caller, action access.Action, r access.Request) access.Event {
	return access.Event{Action: action, At: b.c.Now(), Caller: caller, Request: r}
}

// record writes an intent. What cannot be recorded is not done.
func (b *Broker) record(ctx context.Context, e access.Event) error {
	if err := b.c.Journal.Record(ctx, e); err != nil {
		return &access.Error{Kind: access.Unavailable, Code: access.CodeJournalUnavailable, Err: err}
	}
	return nil
}

// refuse journals that somebody was refused what they tried, and returns why. That
// the journal cannot be written changes nothing about a refusal.
func (b *Broker) refuse(ctx context.Context, caller access.Caller, trying access.Action, r access.Request, err error) error {
	event := b.event(caller, access.ActionRefused, r)
	event.Trying, event.Err = trying, err
	if r.Duration > 0 {
		event.Window = r.WindowAt(event.At)
	}
	_ = b.c.Journal.Record(ctx, event)
	return err
}

// recordOutcome writes what became of an intent; by then it is too late to refuse,
// so a journal that fails is a warning.
func (b *Broker) recordOutcome(ctx context.Context, e access.Event) []*access.Error {
	if err := b.c.Journal.Record(ctx, e); err != nil {
		return []*access.Error{{Kind: access.Unavailable, Code: access.CodeOutcomeUnrecorded, Err: err}}
	}
	return nil
}

func grantOf(r access.Request, w access.Window, approvers []access.Principal) access.Grant {
	return access.Grant{
		RequestID: r.ID, Principal: r.Principal, Resource: r.Resource, Entitlements: r.Entitlements,
		Window: w, Justification: r.Justification, Approvers: approvers,
	}
}

// grant has it written and records what became of it. What could not be made sure of
// at the moment of effect is a warning; when some entitlements were refused and
// others granted, so are the refused ones.
func (b *Broker) grant(ctx context.Context, caller access.Caller, r access.Request, w access.Window, approvers []access.Principal,
	q access.StandingQuery, check func(access.Standing) error) ([]access.Outcome, []*access.Error, error) {
	// Grant may return while a check still runs.
	var last atomic.Pointer[[]*access.Error]
	outcomes, err := b.c.Granter.Grant(ctx, grantOf(r, w, approvers), q, func(s access.Standing) error {
		last.Store(&s.Warnings)
		return check(s)
	})
	event := b.event(caller, access.GrantWritten, r)
	event.Window, event.Outcomes, event.Err = granted(outcomes, w), outcomes, err
	if err != nil {
		event.Action = access.GrantFailed
	}
	if unsure := last.Load(); unsure != nil {
		event.Warnings = *unsure
	}
	warnings := slices.Concat(event.Warnings, b.recordOutcome(ctx, event))
	for _, o := range outcomes {
		if o.Result == access.Refused && err == nil {
			warnings = append(warnings, o.Err)
		}
	}
	return outcomes, warnings, err
}

// withNew adds the warnings that say something else than those that are there.
func withNew(warnings, more []*access.Error) []*access.Error {
	all := slices.Clone(warnings)
	for _, w := range more {
		if !slices.ContainsFunc(all, func(a *access.Error) bool { return a.Code == w.Code && maps.Equal(a.Args, w.Args) }) {
			all = append(all, w)
		}
	}
	return all
}

// granted is the window that stands: the first outcome's that has one, as an
// earlier write of the same request may have begun before.
func granted(outcomes []access.Outcome, w access.Window) access.Window {
	for _, o := range outcomes {
		if !o.Window.IsZero() {
			return o.Window
		}
	}
	return w
}

// anyGranted is whether something is new, so that people are told once.
func anyGranted(outcomes []access.Outcome) bool {
	return slices.ContainsFunc(outcomes, func(o access.Outcome) bool { return o.Result == access.Granted })
}

// tell notifies people and returns who could not be told, as warnings.
func (b *Broker) tell(ctx context.Context, caller access.Caller, n access.Notice) []*access.Error {
	if len(b.c.Notifier.Channels()) == 0 {
		if n.Kind == access.NoticeReview {
			return []*access.Error{{Kind: access.Unavailable, Code: access.CodeNoChannel}}
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	var warnings []*access.Error
	for _, u := range b.c.Notifier.Notify(ctx, n).Failed() {
		warning := &access.Error{Kind: access.Unavailable, Code: access.CodeNotDelivered,
			Args: access.Args{"recipient": string(u.To), "channel": u.Channel}, Err: u.Err}
		if u.To == "" {
			warning.Code, warning.Args = access.CodeNotPublished, access.Args{"channel": u.Channel}
		}
		event := b.event(caller, access.NoticeFailed, n.Request)
		event.Err = warning
		warnings = append(append(warnings, warning), b.recordOutcome(ctx, event)...)
	}
	return warnings
}

// End takes back the caller's grant, or for an admin anyone's, before its end. A
// grant that is not there, or not theirs to end, is not found.
func (b *Broker) End(ctx context.Context, caller access.Caller, resource access.Resource, requestID string) (Ended, error) {
	ctx = access.Begin(ctx, b.c.Now())
	r := access.Request{ID: requestID, Resource: resource}
	standing, err := b.c.Catalog.Standing(ctx, access.StandingQuery{Resource: resource})
	if err != nil {
		return Ended{}, b.refuse(ctx, caller, access.EndAsked, r, err)
	}
	admin, warning := b.isAdmin(ctx, caller)
	result := Ended{Warnings: standing.Warnings}
	if warning != nil {
		result.Warnings = append(result.Warnings, warning)
	}
	for _, a := range standing.Activations {
		if a.RequestID == requestID && (a.Principal == caller.Principal || admin) {
			result.Activations = append(result.Activations, a)
		}
	}
	if len(result.Activations) == 0 {
		return result, b.refuse(ctx, caller, access.EndAsked, r, &access.Error{Kind: access.NotFound, Code: access.CodeNoGrant})
	}

	ctx, cancel := detach(ctx)
	defer cancel()
	// The form that made it may be sent again, and must not be answered from memory.
	b.asked.forget(func(a Asked) bool { return a.Request.ID == requestID })
	var people []access.Principal
	for _, a := range result.Activations {
		if !slices.Contains(people, a.Principal) {
			people = append(people, a.Principal)
		}
	}
	for _, p := range people {
		outcomes, warnings, err := b.end(ctx, caller, result.Activations, access.Ending{
			RequestID: requestID, Principal: p, Resource: resource, At: b.c.Now().UTC().Truncate(time.Second),
		})
		result.Outcomes = append(result.Outcomes, outcomes...)
		result.Warnings = append(result.Warnings, warnings...)
		if err != nil {
			return result, err
		}
	}
	return result, nil
}

func (b *Broker) end(ctx context.Context, caller access.Caller, found []access.Activation, e access.Ending) ([]access.Outcome, []*access.Error, error) {
	r := access.Request{ID: e.RequestID, Resource: e.Resource, Principal: e.Principal}
	event := b.event(caller, access.EndAsked, r)
	for _, a := range found {
		if a.Principal == e.Principal {
			event.Request.Entitlements = append(event.Request.Entitlements, a.Entitlement)
			event.Request.Justification = a.Justification
			event.Window = a.Window
		}
	}
	if err := b.record(ctx, event); err != nil {
		return nil, nil, err
	}
	outcomes, err := b.c.Granter.End(ctx, e)
	event.Action, event.At, event.Outcomes, event.Err = access.GrantEnded, b.c.Now(), outcomes, err
	if err != nil {
		event.Action = access.EndFailed
	}
	return outcomes, b.recordOutcome(ctx, event), err
}

// Admin is nil for one of the admins, and says otherwise why the caller is not let
// in: not one of them, or groups that cannot be read.
func (b *Broker) Admin(ctx context.Context, caller access.Caller) error {
	admin, failure := b.isAdmin(ctx, caller)
	switch {
	case admin:
		return nil
	case failure != nil:
		return failure
	}
	return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotAdmin}
}

// NamedAdmin is whether the admins name the caller in person, which takes no call to
// find out. Who is one through a group is not.
func (b *Broker) NamedAdmin(caller access.Caller) bool {
	return slices.Contains(b.c.Admins, "user:"+string(caller.Principal))
}

// isAdmin is whether the caller is one of the admins. When groups cannot be read
// the answer is no, with a warning.
func (b *Broker) isAdmin(ctx context.Context, caller access.Caller) (bool, *access.Error) {
	if b.NamedAdmin(caller) {
		return true, nil
	}
	if !slices.ContainsFunc(b.c.Admins, func(m string) bool { return strings.HasPrefix(m, "group:") }) {
		return false, nil
	}
	groups, err := b.c.Directory.Groups(ctx, caller.Principal)
	if err != nil {
		return false, access.AsError(err)
	}
	return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(b.c.Admins, "group:"+g) }), nil
}
