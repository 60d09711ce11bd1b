package policyanalyzer

import (
	"context"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/standing"
	"jitaccess/internal/lookup"
)

// Look makes one analysis where it can. One person's holdings are one; so is
// everything about the holders of given roles, whoever they are. Only a person of
// whom that does not show that they hold all that matters is asked about on their
// own: they may be beyond what Google expands of a large group.
func (k *Catalog) Look(ctx context.Context, q access.StandingQuery) (standing.Found, error) {
	l := &look{k: k, q: q}
	ids := slices.Concat(q.Of, q.ReviewersOf)
	people := q.Principals
	if len(ids) > 0 && (len(q.ReviewersOf) > 0 || len(people) > 1) {
		a, stale, err := standing.Recall(ctx, k.holders, holdersKey(q.Resource, ids...), q, service, k.c.Now)
		if err != nil {
			return standing.Found{}, err
		}
		l.add(a, stale)
		people = l.unproven(people)
	}
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, p := range people {
		g.Go(func() error {
			a, stale, err := standing.Recall(ctx, k.persons, personKey(q.Resource, p), q, service, k.c.Now)
			if err != nil {
				return err
			}
			l.add(a, stale)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return standing.Found{}, err
	}
	return standing.Found{Own: l.asAnalyzed(q.Resource), Above: l.above(), InPerson: l.inPerson, Warnings: l.warnings}, nil
}

// Known are the nodes that the last analyses of the same question showed.
func (k *Catalog) Known(q access.StandingQuery) []standing.Node {
	l := &look{k: k, q: q}
	if a, _, ok := k.holders.Last(holdersKey(q.Resource, slices.Concat(q.Of, q.ReviewersOf)...), lookup.MaxAge); ok {
		l.add(a, nil)
	}
	for _, p := range q.Principals {
		if a, _, ok := k.persons.Last(personKey(q.Resource, p), lookup.MaxAge); ok {
			l.add(a, nil)
		}
	}
	return l.above()
}

// look is what was found out for one query.
type look struct {
	k *Catalog
	q access.StandingQuery

	mu       sync.Mutex
	found    []found
	warnings []*access.Error
}

func (l *look) add(a analysis, stale *access.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found = append(l.found, a.found...)
	for _, w := range a.warnings {
		if !slices.ContainsFunc(l.warnings, func(known *access.Error) bool { return known.Error() == w.Error() }) {
			l.warnings = append(l.warnings, w)
		}
	}
	if stale != nil {
		l.warnings = append(l.warnings, stale)
	}
}

// unproven are the people who, by what was found, do not hold all that matters.
func (l *look) unproven(people []access.Principal) []access.Principal {
	var rows []eligibility.Row
	for _, n := range append([]standing.Node{{Resource: l.q.Resource, Policy: l.asAnalyzed(l.q.Resource)}}, l.above()...) {
		more, _ := n.Policy.Eligible(l.q.Resource, n.Resource, false)
		rows = append(rows, more...)
	}
	table, _ := eligibility.New(rows, l.k.c.Now())
	return slices.DeleteFunc(slices.Clone(people), func(p access.Principal) bool {
		held := table.Holdings(p, nil)
		return len(l.q.Of) > 0 && !slices.ContainsFunc(l.q.Of, func(id access.EntitlementID) bool {
			return !slices.ContainsFunc(held, func(e access.Entitlement) bool { return e.ID == id })
		})
	})
}

// above are the nodes above the project that carry anything.
func (l *look) above() []standing.Node {
	var nodes []standing.Node
	for _, f := range l.found {
		if f.node != l.q.Resource && !slices.ContainsFunc(nodes, func(n standing.Node) bool { return n.Resource == f.node }) {
			nodes = append(nodes, standing.Node{Resource: f.node, Policy: l.asAnalyzed(f.node)})
		}
	}
	slices.SortFunc(nodes, func(a, b standing.Node) int { return strings.Compare(string(a.Resource), string(b.Resource)) })
	return nodes
}

// asAnalyzed is the policy of a node as far as it concerns those asked about.
func (l *look) asAnalyzed(node access.Resource) *iampolicy.Policy {
	var bindings []iampolicy.Binding
	for _, f := range l.found {
		if f.node == node && f.binding.Condition != nil {
			b := f.binding
			b.Members = f.people
			bindings = append(bindings, b)
		}
	}
	return iampolicy.New(bindings)
}

// inPerson makes of a live policy one that names everybody in person. Who is named
// in the live one counts, if Google has shown the project to be within the scope at
// all. Who is meant through a group counts while the live binding still has every
// group in which the analysis may have found them: in which of several is not known.
func (l *look) inPerson(node access.Resource, live *iampolicy.Policy) *iampolicy.Policy {
	if len(l.found) == 0 {
		return iampolicy.New(nil)
	}
	var bindings []iampolicy.Binding
	for _, b := range live.Bindings() {
		if b.Condition == nil {
			continue
		}
		now := map[string]bool{}
		var people []string
		for _, m := range b.Members {
			m = access.FoldASCII(m)
			now[m] = true
			if strings.HasPrefix(m, "user:") {
				people = append(people, m)
			}
		}
		for _, f := range l.found {
			if f.node == node && f.binding.Role == b.Role &&
				f.binding.Condition != nil && f.binding.Condition.Expression == b.Condition.Expression &&
				!slices.ContainsFunc(f.collectives, func(m string) bool { return !now[m] }) {
				people = append(people, f.indirect...)
			}
		}
		b.Members = people
		bindings = append(bindings, b)
	}
	return iampolicy.New(bindings)
}
