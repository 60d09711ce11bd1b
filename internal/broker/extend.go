package broker

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"jitaccess/internal/access"
)

// Extension returns what a form takes with which the caller goes on with a grant of
// theirs, the request's whose id it is, from its end on (Ask.Extends). What
// Terms.MaxContinuous leaves bounds its Terms.MaxDuration. It changes nothing.
func (b *Broker) Extension(ctx context.Context, caller access.Caller, id string) (Choice, error) {
	r, err := b.toExtend(ctx, caller, id)
	if err != nil {
		return Choice{}, err
	}
	end, err := b.extendable(ctx, caller, r, time.Time{})
	if err != nil {
		return Choice{}, err
	}
	c, err := b.Choose(ctx, caller, r.Resource, r.Entitlements...)
	if err != nil {
		return c, err
	}
	next := access.Request{ID: c.Form, Principal: r.Principal, Resource: r.Resource, Entitlements: r.Entitlements, Extends: r.ID}
	if c.Terms.MaxContinuous > 0 {
		left, err := b.left(ctx, c.Terms, next, access.Window{Start: end, End: end})
		if err == nil && left < time.Minute {
			err = tooContinuous(c.Terms, left)
		}
		if err != nil {
			return Choice{}, err
		}
		c.Terms.MaxDuration = min(c.Terms.MaxDuration, left.Truncate(time.Minute))
		c.Terms.DefaultDuration = min(c.Terms.DefaultDuration, c.Terms.MaxDuration)
	}
	c.Extends = r
	return c, nil
}

// toExtend opens a request of the caller's own whose grant they would go on with.
func (b *Broker) toExtend(ctx context.Context, caller access.Caller, id string) (access.Request, error) {
	if _, err := b.needsMemory(); err != nil {
		return access.Request{}, err
	}
	if _, err := access.ParseRequestID(id); err != nil {
		return access.Request{}, &access.Error{Kind: access.NotFound, Code: access.CodeBadLink, Err: err}
	}
	r, err := b.open(ctx, id)
	if err = cmp.Or(err, yours(caller, r)); err == nil && (r.Kind == access.BreakGlass || !r.Asking.IsZero()) {
		err = notExtendable() // what others had no say in is not gone on with, nor what an application asked for
	}
	return r, err
}

func notExtendable() error {
	return &access.Error{Kind: access.Conflict, Code: access.CodeNotExtendable}
}

// extendable is when the grant of the request ends that is to be extended: of several
// roles the first that does, so that there is no gap. It is one that gives access now, and
// of which no extension is decided or waits to be. since is as in StandingQuery.
func (b *Broker) extendable(ctx context.Context, caller access.Caller, r access.Request, since time.Time) (end time.Time, err error) {
	now := b.c.Now()
	standing, err := b.standing(ctx, caller, access.StandingQuery{Resource: r.Resource, Since: since})
	if err != nil {
		return end, err
	}
	for _, a := range standing.OfRequest(r) {
		if a.Window.Contains(now) && (end.IsZero() || a.Window.End.Before(end)) {
			end = a.Window.End
		}
	}
	if end.IsZero() || !slices.Contains(granting, r.StateAt(now)) {
		return end, notExtendable()
	}
	return end, b.onlyExtension(ctx, r.ID, access.Request{Principal: r.Principal, Resource: r.Resource}, unsettled...)
}

// granting are the states of what gives access or is to; unsettled are those in which it
// still may, and gave those in which it does or did.
var (
	granting  = []access.State{access.Approved, access.Scheduled, access.Active}
	unsettled = append([]access.State{access.Pending}, granting...)
	gave      = append([]access.State{access.Ended, access.Expired}, granting...)
)

// canExtend is whether the holder of what stands may ask to go on with it.
func (b *Broker) canExtend(ctx context.Context, r access.Request, held []access.Activation) bool {
	live := func(a access.Activation) bool { return a.Window.Contains(b.c.Now()) }
	if b.memory() == nil || r.Kind == access.BreakGlass || !r.Asking.IsZero() {
		return false
	}
	return slices.ContainsFunc(held, live) && slices.Contains(granting, r.StateAt(b.c.Now())) &&
		b.onlyExtension(ctx, r.ID, access.Request{Principal: r.Principal, Resource: r.Resource}, unsettled...) == nil
}

// onlyExtension is nil when no other request than r extends the one of that id, in one of
// the states. Of two that are made at the same time both may be: they begin together, so
// that nobody has access for longer.
func (b *Broker) onlyExtension(ctx context.Context, id string, r access.Request, states ...access.State) error {
	others, err := b.extensions(ctx, id, r.Principal, r.Resource, states...)
	if err != nil {
		return err
	}
	for _, other := range others {
		if other.ID != r.ID {
			return &access.Error{Kind: access.Conflict, Code: access.CodeAlreadyExtended, Args: access.Args{"id": other.ID}}
		}
	}
	return nil
}

// extensions are the requests that extend the one of that id, in one of the states now.
func (b *Broker) extensions(ctx context.Context, id string, p access.Principal, on access.Resource,
	states ...access.State) ([]access.Request, error) {
	return b.remembered(ctx, p, on, states, func(r access.Request) bool { return r.Extends == id })
}

// remembered are somebody's requests for a resource that are in one of the states now,
// as they are when they are opened: a list is not evidence. want chooses what to open.
func (b *Broker) remembered(ctx context.Context, p access.Principal, on access.Resource, states []access.State,
	want func(access.Request) bool) ([]access.Request, error) {
	m, err := b.needsMemory()
	if err != nil {
		return nil, err
	}
	var found []access.Request
	l := access.Listing{Viewer: p, View: ViewMine, Principal: p, Resource: on, States: states}
	for {
		listed, err := timed(b, ctx, func(ctx context.Context) (access.Listed, error) { return m.List(ctx, l) })
		if err != nil {
			return nil, err
		}
		for _, row := range listed.Requests {
			if !want(row) {
				continue
			}
			r, err := b.open(ctx, row.ID)
			if e := access.AsError(err); e != nil && e.Kind == access.Gone {
				continue // erased meanwhile
			} else if err != nil {
				return nil, err
			}
			if r.Principal == p && want(r) && slices.Contains(states, r.StateAt(b.c.Now())) {
				found = append(found, r)
			}
		}
		if l.After = listed.Next; l.After == "" {
			return found, nil
		}
	}
}

// extend makes r a request that begins where the grant ends that it extends. One that was
// made by the same form already begins where it did.
func (b *Broker) extend(ctx context.Context, caller access.Caller, r *access.Request, extended access.Request) error {
	if r.Kind == access.BreakGlass {
		return invalid(access.FieldID, access.CodeBadRequestID, nil)
	}
	made, err := b.open(ctx, r.ID)
	if err == nil && made.Extends == extended.ID {
		r.Start = made.Start
		return nil
	}
	if e := access.AsError(err); e != nil && e.Code != access.CodeBadLink {
		return e
	}
	r.Start, err = b.extendable(ctx, caller, extended, b.c.Now())
	return err
}

// unbroken is nil while access in the window, together with what the same human has or had
// of a role without a break before and after it, lasts no longer than the terms let it.
func (b *Broker) unbroken(ctx context.Context, t access.Terms, r access.Request, w access.Window) error {
	if t.MaxContinuous == 0 {
		return nil
	}
	left, err := b.left(ctx, t, r, w)
	if err != nil || w.Length() <= left {
		return err
	}
	return tooContinuous(t, left)
}

func tooContinuous(t access.Terms, left time.Duration) error {
	return invalid(access.FieldDuration, access.CodeTooContinuous, access.Args{
		"max": strconv.Itoa(int(t.MaxContinuous / time.Minute)), "left": strconv.Itoa(int(max(0, left) / time.Minute))})
}

// left is how much of MaxContinuous the human behind the request has left for a window:
// without what the grants that it extends lasted, and all that touches these and it, by
// whichever address. An hour that several of them gave counts once.
func (b *Broker) left(ctx context.Context, t access.Terms, r access.Request, w access.Window) (time.Duration, error) {
	var all []access.Request
	since := w.Start.Add(-t.MaxContinuous)
	shared := func(o access.Request) bool {
		return o.ID != r.ID && !o.Window.End.Before(since) && slices.ContainsFunc(o.Entitlements, func(id access.EntitlementID) bool {
			return slices.ContainsFunc(r.Entitlements, func(mine access.EntitlementID) bool { return mine.Role == id.Role })
		})
	}
	for _, p := range b.accounts(r.Principal) {
		some, err := b.remembered(ctx, p, r.Resource, gave, shared)
		if err != nil {
			return 0, err
		}
		for _, o := range some {
			if o.State == access.Ended {
				if o.Window, err = b.until(ctx, o); err != nil {
					return 0, err
				}
			}
			all = append(all, o)
		}
	}
	left := t.MaxContinuous
	for _, id := range r.Entitlements {
		left = min(left, t.MaxContinuous-continuous(id, r, w, all))
	}
	return left, nil
}

// endedWith is whether an extension goes with what it extends, which somebody has ended: nobody
// else has decided on it, or whoever did could not know of the end. by is who asked for that.
func (b *Broker) endedWith(ctx context.Context, r access.Request) (by access.Principal, ended bool, err error) {
	if r.Extends == "" {
		return "", false, nil
	}
	events, err := timed(b, ctx, func(ctx context.Context) ([]access.Event, error) { return b.memory().History(ctx, r.Extends) })
	if e := access.AsError(err); e != nil && e.Kind == access.Gone {
		return "", false, nil // erased since
	}
	for _, e := range events {
		switch {
		case e.Action == access.EndAsked:
			by = e.Caller.Principal
		case e.Action == access.GrantEnded && !ended:
			ended = r.Kind == access.Self || !slices.ContainsFunc(r.Decisions, func(d access.Decision) bool { return d.At.After(e.At) })
		}
	}
	return by, ended, err
}

// endedThere is endedWith by what the provider holds: what is remembered may be an older copy, or
// somebody may have cut off the end of it. Who ended it is not known then.
func endedThere(r access.Request, s access.Standing) bool {
	return r.Extends != "" && slices.ContainsFunc(s.Activations, func(a access.Activation) bool {
		return a.RequestID == r.Extends && a.Principal == r.Principal && a.Window.End.Before(r.Start) &&
			!slices.ContainsFunc(r.Decisions, func(d access.Decision) bool { return d.At.After(a.Window.End) })
	})
}

// until is the window of what was ended early, as far as it gave access.
func (b *Broker) until(ctx context.Context, r access.Request) (access.Window, error) {
	events, err := timed(b, ctx, func(ctx context.Context) ([]access.Event, error) { return b.memory().History(ctx, r.ID) })
	for _, e := range events {
		refused := func(o access.Outcome) bool { return o.Result == access.Refused }
		if e.Action == access.GrantEnded && !slices.ContainsFunc(e.Outcomes, refused) {
			return r.Window.Before(e.At), nil
		}
	}
	return r.Window, err
}

// breakTime is how long somebody is without access for that to be a break. What is shorter
// counts as access.
const breakTime = 5 * time.Minute

// continuous is how long access to an entitlement lasts outside of a window without a
// break around it, and in the grants that the request extends.
func continuous(id access.EntitlementID, r access.Request, w access.Window, all []access.Request) time.Duration {
	all = slices.DeleteFunc(slices.Clone(all), func(o access.Request) bool {
		return o.Window.Length() <= 0 || !slices.Contains(o.Entitlements, id)
	})
	chain := []string{r.Extends}
	for i := 0; i < len(chain); i++ {
		for _, o := range all {
			if o.ID == chain[i] && !slices.Contains(chain, o.Extends) {
				chain = append(chain, o.Extends)
			}
		}
	}
	stretch := []access.Window{w}
	for at := 0; at >= 0; {
		at = slices.IndexFunc(all, func(o access.Request) bool {
			return slices.Contains(chain, o.ID) || slices.ContainsFunc(stretch, func(s access.Window) bool {
				return o.Window.Start.Before(s.End.Add(breakTime)) && s.Start.Before(o.Window.End.Add(breakTime))
			})
		})
		if at >= 0 {
			stretch, all = append(stretch, all[at].Window), slices.Delete(all, at, at+1)
		}
	}
	slices.SortFunc(stretch, func(a, b access.Window) int { return a.Start.Compare(b.Start) })
	var total time.Duration
	var until time.Time
	for _, s := range stretch {
		if !until.IsZero() && s.Start.Before(until.Add(breakTime)) {
			s.Start = until
		}
		if s.Length() > 0 {
			total, until = total+s.Length(), s.End
		}
	}
	return total - w.Length()
}
