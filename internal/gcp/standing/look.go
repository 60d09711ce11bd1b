package standing

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iampolicy"
)

// look is what was found out for one query.
type look struct {
	k     *Catalog
	q     access.StandingQuery
	found Found
	// members are the people in each group that was expanded.
	members map[string][]access.Principal
	// ineffective is what of the groups makes nobody eligible.
	ineffective []access.Ineffective

	mu       sync.Mutex
	warnings []*access.Error
	// live and parents are the readings that have begun, by node.
	live    map[access.Resource]func() (*iampolicy.Policy, error)
	parents map[access.Resource]func() (access.Resource, error)
	// above is what lies above the resource, aboveErr why that is not all.
	above    []access.Resource
	aboveErr *access.Error
}

// look asks the source. A query about nobody needs no source: the activations stand
// in the resource's own policy.
func (k *Catalog) look(ctx context.Context, q access.StandingQuery) (*look, error) {
	l := &look{k: k, q: q, live: map[access.Resource]func() (*iampolicy.Policy, error){},
		parents: map[access.Resource]func() (access.Resource, error){}}
	if len(q.Principals) == 0 && len(q.ReviewersOf) == 0 && !q.Everybody {
		return l, nil
	}
	if !q.Since.IsZero() {
		l.ahead(ctx, k.c.Source.Known(q))
	}
	var tree sync.WaitGroup
	if q.Above {
		tree.Go(func() { l.above, l.aboveErr = l.ancestry(ctx) })
	}
	var err error
	l.found, err = k.c.Source.Look(ctx, q)
	tree.Wait()
	if l.aboveErr != nil {
		for _, node := range l.found.Above {
			if !slices.Contains(l.above, node.Resource) {
				l.above = append(l.above, node.Resource)
			}
		}
	}
	l.warnings = l.found.Warnings
	return l, err
}

// complete makes the look-ups that depend on the first ones: the live policies of
// the nodes above that matter, and the people in groups of reviewers. own is the
// project's policy, or the nearest thing to it.
func (l *look) complete(ctx context.Context, own *iampolicy.Policy) error {
	var people sync.WaitGroup
	if len(l.q.ReviewersOf) > 0 {
		if table, _ := l.table(own); l.wantsReviewers(table) {
			people.Go(func() {
				l.expand(ctx, table, table.ReviewerGroups(l.q.ReviewersOf))
				for _, i := range l.ineffective {
					l.warn(i.Why)
				}
			})
		}
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

// everybody makes the query one about everybody who is named in an eligible binding of
// the resource, in person or as a direct member of a group. Groups are expanded, which
// costs one look-up for each group and none for each person; a group that cannot be read
// is a warning, and its people may be missing. The source must be one that reads whole
// policies, and so expands groups (Found.Members).
func (l *look) everybody(ctx context.Context, own *iampolicy.Policy) {
	var groups []string
	table, _ := l.table(own)
	for _, member := range table.Members() {
		kind, address, _ := strings.Cut(member, ":")
		switch p, err := access.ParsePrincipal(address); {
		case kind == "group":
			groups = append(groups, address)
		case kind == "user" && err == nil:
			l.q.Principals = append(l.q.Principals, p)
		}
	}
	l.expand(ctx, table, groups)
	l.found.Groups = map[access.Principal][]string{}
	for group, members := range l.members {
		for _, p := range members {
			l.q.Principals = append(l.q.Principals, p)
			l.found.Groups[p] = append(l.found.Groups[p], group)
		}
	}
	slices.Sort(l.q.Principals)
	l.q.Principals = slices.Compact(l.q.Principals)
}

// expand finds the people in groups that the table names, and what else is in them. A
// group that cannot be read is a warning.
func (l *look) expand(ctx context.Context, table eligibility.Table, groups []string) {
	members, unreadable := l.found.Members(ctx, groups)
	l.warn(unreadable...)
	l.members = make(map[string][]access.Principal, len(members))
	for _, group := range slices.Sorted(maps.Keys(members)) {
		l.members[group] = members[group].People
		row := table.Naming("group:" + group)
		wrong := func(code access.Code, args access.Args) {
			args["group"] = group
			l.ineffective = append(l.ineffective, access.Ineffective{Node: row.Node, Role: string(row.ID.Role), Member: "group:" + group,
				Why: &access.Error{Kind: access.Unprocessable, Code: code, Args: args}})
		}
		// Only its direct members count.
		if n := members[group].Groups; n > 0 {
			wrong(access.CodeGroupsInGroup, access.Args{"count": strconv.Itoa(n), "catalog": "PolicyAnalyzer"})
		}
		if members[group].Everybody {
			wrong(access.CodeEverybodyInGroup, access.Args{})
		}
	}
}

// wantsReviewers is whether groups of reviewers are to be expanded, which is expensive:
// not for principals of whom none may request what they would review. They are told
// nothing, and are not to learn by how long it takes which roles have reviewers.
func (l *look) wantsReviewers(table eligibility.Table) bool {
	if l.found.Members == nil || len(l.q.ReviewersOf) == 0 {
		return false
	}
	return len(l.q.Principals) == 0 || slices.ContainsFunc(l.q.Principals, func(p access.Principal) bool {
		return slices.ContainsFunc(table.Holdings(p, l.found.Groups[p]), func(e access.Entitlement) bool {
			return e.PeerApproval && slices.Contains(l.q.ReviewersOf, e.ID)
		})
	})
}

func (l *look) warn(warnings ...*access.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warnings = append(l.warnings, warnings...)
}

func (l *look) inPerson(node access.Resource, live *iampolicy.Policy) *iampolicy.Policy {
	if l.found.InPerson == nil || live == nil {
		return live
	}
	return l.found.InPerson(node, live)
}

// table is what makes people eligible, if own is the resource's policy, and what makes
// nobody so. The latter is told of the policy as it is written: by whom the source knows
// it would say nothing of members and bindings that mean nobody.
func (l *look) table(own *iampolicy.Policy) (eligibility.Table, []access.Ineffective) {
	table, ineffective := l.tableOf(append([]Node{{Resource: l.q.Resource, Policy: l.inPerson(l.q.Resource, own)}}, l.found.Above...))
	if l.found.InPerson == nil {
		return table, ineffective
	}
	ineffective = slices.DeleteFunc(ineffective, func(i access.Ineffective) bool { return i.Node == l.q.Resource })
	_, written := l.tableOf([]Node{{Resource: l.q.Resource, Policy: own}})
	return table, append(slices.DeleteFunc(written, func(i access.Ineffective) bool {
		return i.Why.Code == access.CodeMemberDomain // the source knows who is in it
	}), ineffective...)
}

func (l *look) tableOf(nodes []Node) (eligibility.Table, []access.Ineffective) {
	var rows []eligibility.Row
	var ineffective []access.Ineffective
	for _, n := range nodes {
		more, wrong := n.Policy.Eligible(l.q.Resource, n.Resource, n.Unconfirmed)
		rows, ineffective = append(rows, more...), append(ineffective, wrong...)
	}
	table, over := eligibility.New(rows, l.k.c.Now())
	if l.q.Ruled {
		table = table.Ruled()
	}
	return table, append(ineffective, over...)
}

// standing answers the query for the given policy of the resource. It makes no
// calls and changes nothing.
func (l *look) standing(own *iampolicy.Policy) access.Standing {
	table, ineffective := l.table(own)
	s := access.Standing{
		Resource:    l.q.Resource,
		Holdings:    make(map[access.Principal][]access.Entitlement, len(l.q.Principals)),
		Reviewers:   make(map[access.EntitlementID][]access.Principal, len(l.q.ReviewersOf)),
		Ineffective: append(ineffective, l.ineffective...),
		Warnings:    slices.Clone(l.warnings),
		Above:       l.above, AboveKnown: l.q.Above && l.aboveErr == nil, AboveErr: l.aboveErr,
	}
	for _, i := range ineffective {
		if i.Why.Code == access.CodeNotUnderstood {
			s.Warnings = append(s.Warnings, i.Warning())
		}
	}
	for _, p := range l.q.Principals {
		for _, missed := range table.Missed(p, l.found.Groups[p]) {
			s.Warnings = append(s.Warnings, access.Ineffective{Node: missed.Node, Role: string(missed.ID.Role)}.Warning())
		}
	}
	for _, p := range l.q.Principals {
		s.Holdings[p] = table.Holdings(p, l.found.Groups[p])
		for _, e := range s.Holdings[p] {
			if e.Unclear {
				s.Warnings = append(s.Warnings, &access.Error{Kind: access.Unprocessable, Code: access.CodeTimeUnclear,
					Args: access.Args{"role": string(e.ID.Role), "resource": string(e.ID.Resource)}})
			}
		}
	}
	for _, id := range l.q.ReviewersOf {
		var requesters []access.Entitlement
		for _, p := range l.q.Principals {
			held := s.Holding(p, id) // of who holds nothing there are no reviewers
			requesters = append(requesters, held)
		}
		s.Reviewers[id] = table.Reviewers(id, l.members, requesters...)
	}
	if l.wantsReviewers(table) {
		for _, group := range table.ReviewerGroups(l.q.ReviewersOf) {
			if _, asked := l.members[group]; !asked {
				s.Warnings = append(s.Warnings, Unreadable(group, nil))
			}
		}
	}
	activations, warnings := own.Activations(l.q.Resource)
	s.Activations, s.Warnings = activations, append(s.Warnings, warnings...)
	return s
}
