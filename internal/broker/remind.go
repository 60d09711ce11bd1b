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

// still is what of a notice from the outbox is to be told now: of a request that waits, as it is
// now and to those who have not decided. any is false where nothing is: it is not true any more
// (holds), or not of a request as it is remembered. Whoever
// may write the database tells nobody in our name what was never asked. Programs that hear of
// everything hear all the same what happened, with when.
func (b *Broker) still(ctx context.Context, n access.Notice) (told access.Notice, any bool, err error) {
	switch {
	case n.Kind.OfPasskey():
		stale, err := b.staleKey(ctx, n)
		return n, !stale, err
	case n.Kind.OfApplication():
		stale, err := b.staleChange(ctx, n)
		return n, !stale, err
	case n.Kind == access.NoticeReconciled:
		return b.ofLastRound(ctx, n)
	}
	r, err := b.open(ctx, n.Request.ID)
	if slices.Contains(spoiled, codeOf(err)) {
		return n, false, nil
	}
	if err != nil || !sameAsked(n.Request, r) {
		return n, false, err
	}
	holds, err := b.holds(ctx, n, r)
	if err != nil {
		return n, false, err
	}
	waits := slices.Contains([]access.NoticeKind{access.NoticeReview, access.NoticeReminder}, n.Kind)
	if holds && waits {
		n = b.stillAsked(n, r)
		holds = len(n.To) > 0
	}
	switch {
	case !holds && n.Kind != access.NoticeChanged:
		n.Left = b.programs(n)
		holds = len(n.Left) > 0
	case r.Review.At.After(n.At), n.Kind == access.NoticeGlass && !slices.Contains(granting, r.StateAt(b.c.Now())):
		n.Earlier = access.Receipts{} // what came after it stays
	}
	return n, holds, nil
}

// holds is whether what a notice says of a request is true now.
func (b *Broker) holds(ctx context.Context, n access.Notice, r access.Request) (bool, error) {
	state := r.StateAt(b.c.Now())
	switch n.Kind {
	case access.NoticeChanged: // of what came after it, there is another
		return state == n.Request.State && r.Asking.Callback == n.Request.Asking.Callback &&
			r.Asking.Application == n.Request.Asking.Application, nil
	case access.NoticeReview, access.NoticeReminder, access.NoticeEscalated:
		return state == access.Pending, nil
	case access.NoticeApproved, access.NoticeSelfApproved:
		return slices.Contains(granting, state), nil
	case access.NoticeHappened:
		return state == n.Request.State, nil
	case access.NoticeEnding:
		if state != access.Active {
			return false, nil
		}
		next, err := b.extensions(ctx, r.ID, r.Principal, r.Resource, granting...)
		return len(next) == 0, err
	}
	return true, nil
}

// stillAsked is the notice that asks for a decision, of the request as it is now, for those who have
// not decided.
func (b *Broker) stillAsked(n access.Notice, r access.Request) access.Notice {
	waited := addresses(b.waitedFor(r))
	decided := func(p access.Principal) bool {
		return slices.Contains(addresses(r.Reviewers), p) && !slices.Contains(waited, p)
	}
	n.Request, n.To = r, slices.DeleteFunc(slices.Clone(n.To), decided)
	n.Left = slices.DeleteFunc(slices.Clone(n.Left), func(t access.Target) bool { return decided(t.To) })
	return n
}

// programs are those of who is left to be told of a notice that hear of everything, and are no people.
func (b *Broker) programs(n access.Notice) (left []access.Target) {
	for _, c := range b.c.Notifier.Channels() {
		if t := (access.Target{Channel: c.Name}); c.Everything && !c.People && (n.Left == nil || slices.Contains(n.Left, t)) {
			left = append(left, t)
		}
	}
	return left
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
