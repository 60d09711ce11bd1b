package assetinventory

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/eligibility"
	"jitaccess/internal/gcp/iampolicy"
)

// look is what was found out for one query.
type look struct {
	k         *Catalog
	q         access.StandingQuery
	inventory inventory
	above     []eligibility.Node

	mu sync.Mutex
	// groups are those that each principal is in; members are the people in each
	// group of reviewers.
	groups   map[access.Principal][]string
	members  map[string][]access.Principal
	warnings []*access.Error
}

// look asks, all at once, for the inventory and for the groups of the principals.
func (k *Catalog) look(ctx context.Context, q access.StandingQuery) (*look, error) {
	l := &look{k: k, q: q, groups: map[access.Principal][]string{}, members: map[string][]access.Principal{}}
	var people sync.WaitGroup
	people.Go(func() { l.findGroups(ctx) })
	found, stale, err := k.inventory(ctx, q.Resource, k.after(q))
	if err != nil {
		return nil, err
	}
	people.Wait()
	if stale != nil {
		l.warnings = append(l.warnings, stale)
	}
	l.inventory, l.above = found, slices.Clone(found.above)
	return l, nil
}

// complete makes the look-ups that depend on the first ones: the live policies of
// the nodes above that matter, and the people in groups of reviewers. own is the
// project's policy, or the nearest thing to it.
func (l *look) complete(ctx context.Context, own *iampolicy.Policy) error {
	var people sync.WaitGroup
	if len(l.q.ReviewersOf) > 0 {
		nodes := append([]eligibility.Node{{Resource: l.q.Resource, Policy: own}}, l.above...)
		groups := l.k.reader.Read(l.q.Resource, nodes).ReviewerGroups(l.q.ReviewersOf)
		people.Go(func() { l.findMembers(ctx, groups) })
	}
	var err error
	if !l.q.Since.IsZero() {
		err = l.confirm(ctx)
	}
	people.Wait()
	// Look-ups end in any order; pages and logs should not differ by it.
	slices.SortFunc(l.warnings, func(a, b *access.Error) int { return cmp.Compare(a.Error(), b.Error()) })
	if err == nil && ctx.Err() != nil {
		err = gcp.Failure(ctx.Err(), gcp.Call{Service: "Google Cloud"})
	}
	return err
}

// findGroups finds the groups of every principal. Where that fails, what a
// principal holds in person still stands.
func (l *look) findGroups(ctx context.Context) {
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, p := range l.q.Principals {
		g.Go(func() error {
			groups, _, err := l.k.groups.get(ctx, string(p), l.k.after(l.q))
			l.mu.Lock()
			defer l.mu.Unlock()
			l.groups[p] = groups
			if err != nil {
				l.warnings = append(l.warnings, gcp.Failure(err, gcp.Call{Service: "Directory API"}))
			}
			return nil
		})
	}
	g.Wait()
}

// findMembers expands groups of reviewers. One that cannot be read is a warning.
func (l *look) findMembers(ctx context.Context, groups []string) {
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, group := range groups {
		g.Go(func() error {
			members, _, err := l.k.members.get(ctx, group, l.k.after(l.q))
			l.mu.Lock()
			defer l.mu.Unlock()
			l.members[group] = members
			if err != nil {
				l.warnings = append(l.warnings, unreadable(group, gcp.Failure(err, gcp.Call{Service: "Directory API"})))
			}
			return nil
		})
	}
	g.Wait()
}

func unreadable(group string, cause *access.Error) *access.Error {
	e := &access.Error{Kind: access.Upstream, Code: access.CodeGroupUnreadable, Args: access.Args{"group": group}}
	if cause != nil {
		e.Kind, e.Err = cause.Kind, cause
	}
	return e
}

// confirm reads the live policy of every node above from which one of the
// principals, or a group of reviewers, has something that was asked for. A node that the service
// account may not read keeps the inventory's copy and is marked; a node that
// cannot be read just now is an error, since waiting helps.
func (l *look) confirm(ctx context.Context) error {
	table := l.k.reader.Read(l.q.Resource, l.above)
	var matter []access.Resource
	unasked := func(e access.Entitlement) bool { return len(l.q.Of) > 0 && !slices.Contains(l.q.Of, e.ID) }
	for _, p := range l.q.Principals {
		held := slices.DeleteFunc(table.Holdings(p, l.groups[p]), unasked)
		matter = append(matter, table.Nodes(held, l.q.ReviewersOf)...)
	}
	if len(l.q.Principals) == 0 {
		matter = table.Nodes(nil, l.q.ReviewersOf)
	}
	var g errgroup.Group
	for i, node := range l.above {
		if !slices.Contains(matter, node.Resource) {
			continue
		}
		g.Go(func() error {
			live, _, err := l.k.ancestors.get(ctx, string(node.Resource), l.q.Since)
			if err == nil {
				l.above[i].Policy = live
				return nil
			}
			failure := gcp.Failure(err, l.k.policyCall(node.Resource))
			if failure.Code != access.CodeServiceNotAllowed && failure.Code != access.CodeUnknownResource {
				return failure
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.above[i].Unconfirmed = true
			l.warnings = append(l.warnings, &access.Error{Kind: failure.Kind, Code: access.CodeInventoryOnly,
				Args: access.Args{"resource": string(node.Resource)}, Err: failure})
			return nil
		})
	}
	return g.Wait()
}

// after is when a shared answer must have been asked for to serve a query.
func (k *Catalog) after(q access.StandingQuery) time.Time {
	if !q.Since.IsZero() {
		return q.Since
	}
	return k.c.Now().Add(-pageAge)
}

// standing answers the query for the given policy of the resource. It makes no
// calls and changes nothing.
func (l *look) standing(own *iampolicy.Policy) access.Standing {
	table := l.k.reader.Read(l.q.Resource, append([]eligibility.Node{{Resource: l.q.Resource, Policy: own}}, l.above...))
	s := access.Standing{
		Resource:  l.q.Resource,
		Holdings:  make(map[access.Principal][]access.Entitlement, len(l.q.Principals)),
		Reviewers: make(map[access.EntitlementID][]access.Principal, len(l.q.ReviewersOf)),
		Warnings:  append(slices.Clone(l.warnings), table.Warnings...),
	}
	for _, p := range l.q.Principals {
		s.Holdings[p] = table.Holdings(p, l.groups[p])
	}
	for _, id := range l.q.ReviewersOf {
		s.Reviewers[id] = table.Reviewers(id, l.members)
	}
	for _, group := range table.ReviewerGroups(l.q.ReviewersOf) {
		if _, asked := l.members[group]; !asked {
			s.Warnings = append(s.Warnings, unreadable(group, nil))
		}
	}
	activations, warnings := own.Activations(l.q.Resource)
	s.Activations, s.Warnings = activations, append(s.Warnings, warnings...)
	return s
}
