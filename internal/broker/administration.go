package broker

import (
	"context"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// Where a provider has no list of who approves (Registration.Unnamed), the admins do. Without
// any, it is whoever the proxy before the service lets to the administration page: then that
// page is the only door, and nobody decides, or ends what others have, anywhere else.

// unnamed is whether nothing names who approves on a resource.
func (b *Broker) unnamed(on access.Resource) bool {
	k := b.kinds[on.Kind()]
	return k.unnamed != nil && k.unnamed()
}

// guarded is whether the administration page is the only door to a resource.
func (b *Broker) guarded(on access.Resource) bool { return len(b.c.Admins) == 0 && b.unnamed(on) }

// DecidedAtPage is whether there are resources to which the administration page is the only
// door.
func (b *Broker) DecidedAtPage() bool {
	return len(b.c.Admins) == 0 &&
		slices.ContainsFunc(b.c.Providers, func(r Registration) bool { return r.Unnamed != nil && r.Unnamed() })
}

// named are the terms with those who approve in place of peers, where there is no list of
// peers. Of the administration page nobody is asked by name.
func (b *Broker) named(on access.Resource, t access.Terms) access.Terms {
	if !b.unnamed(on) {
		return t
	}
	from := b.c.Admins
	if b.guarded(on) {
		from = []string{access.FromAdminPage}
	}
	t.Requirements = slices.Clone(t.Requirements)
	for i, need := range t.Requirements {
		if at := slices.Index(need.From, access.FromPeers); at >= 0 {
			t.Requirements[i].From = slices.Replace(slices.Clone(need.From), at, at+1, from...)
			t.MaxReviewers = max(t.MaxReviewers, len(from))
		}
	}
	if t.AtAdminPage() {
		t.MinReviewers = 0
	}
	return t
}

// decidesAtPage is whether p decides the request as somebody at the administration page: as
// the caller who is there now, or by an approval of theirs that was given there.
func decidesAtPage(caller access.Caller, p access.Principal, r access.Request) bool {
	if !r.Terms.AtAdminPage() {
		return false
	}
	said := r.DecisionOf(p)
	return p == caller.Principal && caller.AtAdmin || said != nil && slices.Contains(said.As, access.FromAdminPage)
}

// administers is whether the caller may end what others have on a resource: an admin or,
// where nobody is one, whoever is at the administration page. The warnings are as of admin.
func (b *Broker) administers(ctx context.Context, caller access.Caller, on access.Resource, since time.Time) (bool, []*access.Error) {
	if b.guarded(on) {
		return caller.AtAdmin, nil
	}
	return b.admin(ctx, caller, since)
}

// notAtPage is the refusal for whoever would have to be at the administration page; otherwise
// it is the other one.
func (b *Broker) notAtPage(caller access.Caller, on access.Resource, otherwise *access.Error) *access.Error {
	if b.guarded(on) && !caller.AtAdmin {
		return &access.Error{Kind: access.NotAllowed, Code: access.CodeDecideAtAdmin}
	}
	return otherwise
}

// Administration is what the caller may decide and end on the resources of providers that
// have no list of who approves.
type Administration struct {
	// Waiting are requests to be decided, the newest first; Active the grants that are not
	// over, in the order of the provider.
	Waiting []access.Request
	Active  []access.Activation
	// Guarded: nobody is named who approves, so that the page is the only door.
	Guarded  bool
	Warnings []*access.Error
}

// Administration finds it. What cannot be read of one resource is a warning, and hides no
// other. Who may decide and end nothing finds nothing.
func (b *Broker) Administration(ctx context.Context, caller access.Caller) (Administration, error) {
	var found Administration
	if _, err := b.needsMemory(); err != nil {
		return found, err
	}
	for _, r := range b.c.Providers {
		if r.Unnamed == nil {
			continue
		}
		waiting, unread := b.foreign(ctx, r)
		found.Warnings = withNew(found.Warnings, unread)
		for _, q := range waiting {
			kept, err := b.c.Store.Open(ctx, q.ID)
			if codeOf(err) == access.CodeBadLink && kept.ID == "" && b.involves(ctx, caller, q) == nil {
				found.Waiting = append(found.Waiting, q) // what is recorded is among the others
			}
		}
		l := listOf(ctx, r, caller.Principal)
		found.Warnings = withNew(found.Warnings, append(l.warnings, warningOf(l.err)...))
		for _, info := range l.infos {
			err := b.administration(ctx, caller, info.Resource, &found)
			found.Warnings = withNew(found.Warnings, warningOf(err))
		}
	}
	slices.SortStableFunc(found.Waiting, func(a, b access.Request) int { return b.Created.Compare(a.Created) })
	return found, nil
}

// administration adds what there is on one resource.
func (b *Broker) administration(ctx context.Context, caller access.Caller, on access.Resource, found *Administration) error {
	all, warnings := b.administers(ctx, caller, on, time.Time{})
	found.Guarded = found.Guarded || b.guarded(on)
	waiting := access.Listing{Resource: on, States: []access.State{access.Pending}, Viewer: caller.Principal, View: viewWaiting,
		Attest: true}
	if !all {
		listed, unknown, err := b.History(ctx, caller, ViewReviews, waiting)
		if err != nil {
			return err
		}
		found.Waiting, warnings = append(found.Waiting, listed.Requests...), withNew(warnings, unknown)
	}
	for all {
		listed, err := b.memory().List(ctx, waiting)
		if err != nil {
			return err
		}
		for _, r := range listed.Requests {
			if r.State = r.StateAt(b.c.Now()); r.State == access.Pending {
				found.Waiting = append(found.Waiting, r)
			}
		}
		if waiting.After = listed.Next; listed.Next == "" || len(found.Waiting) >= maxWaiting {
			break
		}
	}
	found.Warnings = withNew(found.Warnings, warnings)
	standing, err := b.standing(ctx, caller, access.StandingQuery{Resource: on})
	if err != nil {
		return err
	}
	found.Warnings = withNew(found.Warnings, standing.Warnings)
	for _, a := range standing.Activations {
		over := a.Window.Length() <= 0 || !b.c.Now().Before(a.Window.End)
		if !over && (all || !b.guarded(on) && b.approved(caller, a.Approvers)) {
			found.Active = append(found.Active, a)
		}
	}
	return nil
}

// viewWaiting is the list of what waits on one resource. maxWaiting is how many requests the
// administration page shows of what waits; the others come when these are decided.
const (
	viewWaiting = "waiting"
	maxWaiting  = 200
)

// AdminPath is where the administration page is, and what decides there is below.
const AdminPath = "/admin"
