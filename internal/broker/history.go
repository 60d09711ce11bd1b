package broker

import (
	"context"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// Views of what is remembered.
const (
	ViewMine    = "mine"    // the caller's own requests
	ViewReviews = "reviews" // those that wait for the caller
	ViewAll     = "all"     // everybody's for auditors, and for others their own
)

// History lists what is remembered, as far as it is the caller's to see: their own and
// what waits for them, or everybody's for auditors. Who asks for what is not theirs gets
// what is.
func (b *Broker) History(ctx context.Context, caller access.Caller, view string, l access.Listing) (access.Listed, []*access.Error, error) {
	m, err := b.needsMemory()
	if err != nil {
		return access.Listed{}, nil, err
	}
	var warnings []*access.Error
	l.Viewer, l.View, l.Attest = caller.Principal, view, true
	switch view {
	case ViewMine:
		l.Principal = caller.Principal
	case ViewReviews:
		l.Reviewer, l.States = caller.Principal, []access.State{access.Pending}
	case ViewAll:
		warnings = b.ownUnlessAuditor(ctx, caller, &l)
	default:
		return access.Listed{}, nil, invalid("view", access.CodeBadInput, access.Args{"reason": "view must be mine, reviews or all"})
	}
	var glasses []access.Request
	if view == ViewReviews && l.After == "" { // few at any time, so that they stand on the first page
		some := l
		some.Reviewer, some.States = "", nil
		if glasses, warnings, err = b.toReview(ctx, caller, some); err != nil {
			return access.Listed{}, nil, err
		}
	}
	listed, err := m.List(ctx, l)
	if view == ViewReviews && l.After == "" && err == nil {
		var more []access.Request
		var unknown []*access.Error
		more, unknown, err = b.askedOfGroups(ctx, caller, l)
		listed.Requests, warnings = append(more, listed.Requests...), withNew(warnings, unknown)
	}
	now := b.c.Now()
	for i := range glasses {
		glasses[i].State = glasses[i].StateAt(now)
	}
	shown, there := slices.Grow(glasses, len(listed.Requests)), map[string]bool{}
	for _, r := range listed.Requests {
		if r.State = r.StateAt(now); view == ViewReviews && (r.State != access.Pending || r.DecisionOf(caller.Principal) != nil) {
			continue // nothing waits there for them, though the sweep has not been by
		}
		if !there[r.ID] {
			there[r.ID], shown = true, append(shown, r)
		}
	}
	listed.Requests = shown
	return listed, warnings, err
}

// ownUnlessAuditor leaves of a list what the caller may see.
func (b *Broker) ownUnlessAuditor(ctx context.Context, caller access.Caller, l *access.Listing) (warnings []*access.Error) {
	auditor, warnings := b.among(ctx, caller, b.c.Auditors, time.Time{})
	if !auditor {
		l.Principal = caller.Principal
	}
	return warnings
}

// Counts counts the requests of ViewAll, as Memory.Count does.
func (b *Broker) Counts(ctx context.Context, caller access.Caller, l access.Listing) (
	counts []access.Count, whole bool, warnings []*access.Error, err error) {
	m, err := b.needsMemory()
	if err != nil {
		return nil, false, nil, err
	}
	l.Viewer, l.View = caller.Principal, ViewAll
	warnings = b.ownUnlessAuditor(ctx, caller, &l)
	counts, whole, err = m.Count(ctx, l)
	return counts, whole, warnings, err
}

// PastTime is how far back an approver is told what somebody had.
const PastTime = 90 * 24 * time.Hour

// past is what the human behind a request asked for on its resource before, by all of their
// addresses; nil where nothing is remembered, and for what is decided. It is counted by an
// index, as the state was recorded.
func (b *Broker) past(ctx context.Context, r access.Request) (*access.Past, error) {
	m := b.memory()
	if m == nil || r.StateAt(b.c.Now()) != access.Pending {
		return nil, nil
	}
	var past access.Past
	for _, p := range b.accounts(r.Principal) {
		l := access.Listing{Principal: p, Resource: r.Resource, States: append([]access.State{access.Denied}, gave...),
			From: r.Created.Add(-PastTime), To: r.Created}
		counts, err := timed(b, ctx, func(ctx context.Context) ([]access.Count, error) {
			counts, _, err := m.Count(ctx, l)
			return counts, err
		})
		if err != nil {
			return nil, err
		}
		for _, c := range counts {
			if c.State == access.Denied {
				past.Denied += c.Requests
				continue
			}
			past.Had += c.Requests
			if c.Day.After(past.Last) {
				past.Last = c.Day
			}
		}
	}
	return &past, nil
}

// askedOfGroups are the requests that wait for groups of which the caller is one, as far as
// the policy names them: all that wait for each, or the newest thousand. They are no request of
// the caller's own. The warnings are of groups that cannot be read.
func (b *Broker) askedOfGroups(ctx context.Context, caller access.Caller, l access.Listing) ([]access.Request, []*access.Error, error) {
	var found []access.Request
	groups, warnings := b.approverGroups(ctx)
	for _, group := range groups {
		in, err := b.memberOf(ctx, caller, caller.Principal, group)
		if warnings = withNew(warnings, warningOf(err)); !in {
			continue
		}
		l.Reviewer, l.After = access.Principal(access.GroupPrefix+group), ""
		for read := 0; ; {
			listed, err := b.memory().List(ctx, l)
			if err != nil {
				return nil, warnings, err
			}
			found = append(found, slices.DeleteFunc(slices.Clone(listed.Requests),
				func(r access.Request) bool { return b.another(r, caller.Principal) != nil })...)
			if read += len(listed.Requests); listed.Next == "" || read >= mostOfGroup {
				break
			}
			l.After = listed.Next
		}
	}
	return found, warnings, nil
}

// mostOfGroup is about how many requests that wait for one group are looked at.
const mostOfGroup = 1000

// approverGroups are the groups that the policy, and templates of applications, name for
// approving. The warnings are of applications that are not known now.
func (b *Broker) approverGroups(ctx context.Context) ([]string, []*access.Error) {
	groups, warnings := slices.Clone(b.looks().Approvers), []*access.Error(nil)
	for _, r := range b.c.Providers {
		if apps, ok := r.Provider.(Applications); ok {
			more, err := apps.ApproverGroups(ctx)
			groups, warnings = append(groups, more...), withNew(warnings, warningOf(err))
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), warnings
}

// Remembers is whether there are lists and histories here.
func (b *Broker) Remembers() bool { return b.memory() != nil }

// Auditor is whether the caller may read everybody's history. When groups cannot be read,
// they are not.
func (b *Broker) Auditor(ctx context.Context, caller access.Caller) bool {
	auditor, _ := b.among(ctx, caller, b.c.Auditors, time.Time{})
	return auditor
}

// concerned is nil for whom a request concerns: its principal, who was asked, who may
// review it when the glass was broken and, where it is remembered, auditors.
func (b *Broker) concerned(ctx context.Context, caller access.Caller, r access.Request) error {
	err := b.involves(ctx, caller, r)
	if err == nil || caller.Principal == r.Principal || b.memory() != nil && b.Auditor(ctx, caller) ||
		b.mayReview(ctx, caller, r, time.Time{}) == nil {
		return nil
	}
	return err
}

// Timeline returns a request with its events to whom it concerns. It asks the ledger alone,
// so that a page may ask again and again.
func (b *Broker) Timeline(ctx context.Context, caller access.Caller, id string) (access.Request, []access.Event, error) {
	m, err := b.needsMemory()
	if err != nil {
		return access.Request{}, nil, err
	}
	r, err := b.open(ctx, id)
	if err != nil {
		return access.Request{}, nil, err
	}
	if err := b.concerned(ctx, caller, r); err != nil {
		return access.Request{}, nil, err
	}
	r.State = r.StateAt(b.c.Now())
	events, err := m.History(ctx, id)
	return r, events, err
}

// Withdraw takes back a request that is not decided: the caller's own, or for an admin
// anyone's. Withdrawn again it is the same, and tells nobody again. The warnings are of
// who could not be told.
func (b *Broker) Withdraw(ctx context.Context, caller access.Caller, id, origin string) (access.Request, []*access.Error, error) {
	if _, err := b.needsMemory(); err != nil {
		return access.Request{}, nil, err
	}
	r, err := b.open(ctx, id)
	refused := func(err error) (access.Request, []*access.Error, error) {
		return r, nil, b.refuse(ctx, caller, access.RequestWithdrawn, r, err)
	}
	if err != nil {
		return refused(err)
	}
	if err := b.mayWithdraw(ctx, caller, r, b.c.Now()); err != nil {
		return refused(err)
	}
	if r.State == access.Withdrawn {
		return r, nil, nil
	}
	standing, err := b.standing(ctx, caller, access.StandingQuery{Resource: r.Resource, Principals: []access.Principal{r.Principal},
		Of:    r.Entitlements,
		Since: b.c.Now()})
	if err == nil {
		err = b.undecided(r, standing)
	}
	if err != nil {
		return refused(err)
	}
	ctx, cancel := detach(ctx)
	defer cancel()
	notice := b.outcomeNotice(ctx, access.RequestWithdrawn, r, access.Decision{}, access.Window{}, origin)
	notice.By = caller.By()
	if r, _, err = b.intend(ctx, b.event(caller, access.RequestWithdrawn, r), notice); err != nil {
		return r, nil, err
	}
	return r, b.tell(ctx, caller, notice), nil
}

// mayWithdraw is nil for the principal of a request, and for admins.
func (b *Broker) mayWithdraw(ctx context.Context, caller access.Caller, r access.Request, since time.Time) error {
	err := yours(caller, r)
	if err != nil {
		if admin, _ := b.admin(ctx, caller, since); admin {
			return nil
		}
	}
	return err
}

func (b *Broker) needsMemory() (Memory, error) {
	if m := b.memory(); m != nil {
		return m, nil
	}
	return nil, &access.Error{Kind: access.NotFound, Code: access.CodeNeedsLedger}
}
