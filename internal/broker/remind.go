package broker

import (
	"context"
	"slices"

	"jitaccess/internal/access"
)

// remind tells people of a request again, once: those who have not decided, others who are
// to know that it waits, or the holder of a grant that it ends. Of several instances the
// one tells that records it; for the others that is a Conflict. What could not be told is
// in the outbox, and the error.
func (b *Broker) remind(ctx context.Context, did access.Action, r access.Request) error {
	ctx, cancel := detach(ctx)
	defer cancel()
	n, err := b.reminder(ctx, did, r)
	if err != nil {
		return err
	}
	var notices []access.Notice
	if len(n.To) > 0 {
		notices = append(notices, n)
	}
	if _, _, err := b.intend(ctx, b.event(system, did, r), notices...); err != nil {
		return err
	}
	for _, n := range notices {
		if err := first(b.tell(ctx, system, n)); err != nil {
			return err
		}
	}
	return nil
}

// reminder is what people are told again. It is to nobody where nobody needs it any more.
func (b *Broker) reminder(ctx context.Context, did access.Action, r access.Request) (access.Notice, error) {
	kind := access.NoticeReminder
	switch {
	case did == access.Escalated:
		kind = access.NoticeEscalated
	case r.State == access.Active:
		kind = access.NoticeEnding
	}
	n := b.noticeOf(hearings[slices.IndexFunc(hearings, func(h hearing) bool { return h.kind == kind })], r, nil)
	n.Roles = b.describe(ctx, r.Entitlements)
	if b.c.Origin != "" {
		n.BaseURL = b.c.Origin + "/"
		if kind != access.NoticeEscalated { // nobody of those may open it
			n.ReviewURL = reviewURL(b.c.Origin, r.ID, r)
		}
	}
	if kind == access.NoticeEnding {
		n.Window = r.Window
		next, err := b.extensions(ctx, r.ID, r.Principal, r.Resource, granting...)
		if len(next) > 0 { // access does not end with it
			n.To = nil
		}
		return n, err
	}
	return n, nil
}

// waitedFor are those who were asked and have not decided, by any of their addresses.
func (b *Broker) waitedFor(r access.Request) []access.Principal {
	decided := map[access.Principal]bool{}
	for _, d := range r.Decisions {
		decided[b.human(d.By, r.Terms.People...)] = true
	}
	return slices.DeleteFunc(slices.Clone(r.Reviewers), func(p access.Principal) bool { return decided[b.human(p, r.Terms.People...)] })
}

// escalatedTo is whom the next escalation of a request names: people, and groups, which
// have an address too. A policy that names others is not taken.
func escalatedTo(r access.Request) []access.Principal {
	if r.Escalated >= len(r.Terms.Escalations) {
		return nil
	}
	all, _ := spelledOut(r.Terms.Escalations[r.Escalated].To)
	return all
}

// stale is whether a notice from the outbox has nothing to say any more: a reminder of what
// was decided since, or is over; and what is not of a request as it is remembered. Whoever
// may write the database tells nobody in our name what was never asked.
func (b *Broker) stale(ctx context.Context, n access.Notice) (bool, error) {
	switch {
	case n.Kind.OfPasskey():
		return b.staleKey(ctx, n)
	case n.Kind.OfApplication():
		return b.staleChange(ctx, n)
	}
	r, err := b.open(ctx, n.Request.ID)
	if slices.Contains(spoiled, codeOf(err)) {
		return true, nil
	}
	if err != nil || !sameAsked(n.Request, r) {
		return err == nil, err
	}
	if n.Kind == access.NoticeChanged { // of what came after it, there is another
		return r.State != n.Request.State || r.Asking.Callback != n.Request.Asking.Callback ||
			r.Asking.Application != n.Request.Asking.Application, nil
	}
	waits := access.Pending
	switch n.Kind {
	case access.NoticeEnding:
		waits = access.Active
	case access.NoticeReminder, access.NoticeEscalated:
	default:
		return false, nil
	}
	return r.StateAt(b.c.Now()) != waits, nil
}

// sameAsked is whether two say the same of who asked for what, for how long and why, however
// JIT Access 1.x spells conditions.
func sameAsked(a, b access.Request) bool {
	return a.Principal == b.Principal && a.Resource == b.Resource && a.Justification == b.Justification && a.Duration == b.Duration &&
		slices.Equal(a.RoleNames(), b.RoleNames())
}

// homeward is the notice with its links to where this service is, as far as that is known.
func (b *Broker) homeward(n access.Notice) access.Notice {
	if b.c.Origin == "" {
		return n
	}
	if n.BaseURL != "" {
		n.BaseURL = b.c.Origin + "/"
	}
	switch {
	case n.Kind.OfPasskey():
		n.ReviewURL = b.c.Origin + passkeysPath
	case n.Kind == access.NoticeChangeWaits:
		n.ReviewURL = appURL(b.c.Origin, n.Change.Application)
	case n.ReviewURL != "":
		n.ReviewURL = reviewURL(b.c.Origin, n.Request.ID, n.Request)
	}
	return n
}
