package broker

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"jitaccess/internal/access"
)

func grantOf(r access.Request, w access.Window, approvers []access.Principal) access.Grant {
	return access.Grant{
		RequestID: r.ID, Principal: r.Principal, Resource: r.Resource, Entitlements: r.Entitlements,
		Window: w, Justification: r.Justification, Approvers: approvers, BreakGlass: r.Kind == access.BreakGlass,
	}
}

// grant has it written and records what became of it. What could not be made sure of
// at the moment of effect is a warning; when some entitlements were refused and
// others granted, so are the refused ones. The notices are kept with a grant that is new.
func (b *Broker) grant(ctx context.Context, caller access.Caller, r access.Request, approvers []access.Principal,
	q access.StandingQuery, check func(access.Standing) error, notices ...access.Notice) ([]access.Outcome, []*access.Error, error) {
	// Grant may return while a check still runs.
	var last atomic.Pointer[[]*access.Error]
	var outcomes []access.Outcome
	provider, err := b.providerOf(r.Resource)
	if err == nil {
		g := grantOf(r, r.Window, approvers)
		q.Above, q.Ruled = b.looks().Ancestors, b.looks().Approvals
		g.LinkLife = b.c.Store.Limits().LinkLife
		outcomes, err = provider.Grant(ctx, g, q, func(s access.Standing) error {
			last.Store(&s.Warnings)
			return check(s)
		})
	}
	event := b.event(caller, access.GrantWritten, r)
	event.Window, event.Outcomes, event.Err, event.Follows = granted(outcomes, r.Window), outcomes, err, new(bool)
	if err != nil {
		event.Action = access.GrantFailed
	}
	if unsure := last.Load(); unsure != nil {
		event.Warnings = *unsure
	}
	event.Warnings = withNew(event.Warnings, waits(outcomes))
	var told []access.Notice
	for _, n := range notices {
		if n.Window, n.Outcomes = event.Window, outcomes; err == nil && tells(caller, outcomes) {
			told = append(told, n)
		}
	}
	_, unrecorded, _ := b.commit(ctx, event, told...)
	warnings := slices.Concat(event.Warnings, unrecorded)
	if err == nil && len(unrecorded) == 0 && b.calledOff(ctx, event) {
		err := b.takeBack(ctx, caller, provider, r)
		return nil, warnings, cmp.Or(err, error(&access.Error{Kind: access.Gone, Code: access.CodeAlreadyEnded}))
	}
	for _, o := range outcomes {
		if o.Result == access.Refused && err == nil {
			warnings = append(warnings, o.Err)
		}
	}
	return outcomes, warnings, err
}

// calledOff is whether somebody has ended what was being written meanwhile. Whoever does
// records that before they look what there is to end, so that one of both finds the other:
// where nothing stands between the request and the record of its grant, they find the grant.
func (b *Broker) calledOff(ctx context.Context, written access.Event) bool {
	if b.memory() == nil {
		return false
	}
	now, err := written.Request.Apply(written)
	if err != nil || !*written.Follows {
		now, err = b.open(ctx, written.Request.ID)
	}
	if err == nil && now.State != access.Ended {
		_, ended, err := b.endedWith(ctx, now)
		return err == nil && ended
	}
	return err == nil
}

// takeBack has a grant ended, whatever stands of it, and records that.
func (b *Broker) takeBack(ctx context.Context, caller access.Caller, provider Provider, r access.Request) error {
	now := b.c.Now()
	outcomes, err := provider.End(ctx, access.Ending{RequestID: r.ID, Principal: r.Principal, Resource: r.Resource,
		At: now.UTC().Truncate(time.Second), Since: now})
	event := b.event(caller, access.GrantEnded, r)
	event.Window, event.Outcomes, event.Err = r.Window, outcomes, err
	if err != nil {
		event.Action = access.EndFailed
	}
	_, _, _ = b.commit(ctx, event)
	return err
}

// waits are the warnings that what was written does not hold yet.
func waits(outcomes []access.Outcome) []*access.Error {
	var warnings []*access.Error
	for _, o := range outcomes {
		if o.Waits != nil {
			warnings = append(warnings, o.Waits)
		}
	}
	return warnings
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

// tells is whether people are told of a grant: once, when it is new, and when somebody
// else may have written it whose process ended.
func tells(caller access.Caller, outcomes []access.Outcome) bool {
	return anyGranted(outcomes) || caller.Method == access.MethodSystem
}

// anyGranted is whether something is new, so that people are told once.
func anyGranted(outcomes []access.Outcome) bool {
	return slices.ContainsFunc(outcomes, func(o access.Outcome) bool { return o.Result == access.Granted })
}
