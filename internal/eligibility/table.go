package eligibility

import (
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// Table is what everybody is eligible for on one resource. It does not change once
// made.
type Table struct{ rows []Row }

// New makes the table of the rows that hold at a time. What does not hold then makes
// nobody eligible.
func New(rows []Row, now time.Time) (Table, []access.Ineffective) {
	t := Table{make([]Row, 0, len(rows))}
	var ineffective []access.Ineffective
	for _, r := range rows {
		if why := r.at(now); why != nil {
			ineffective = append(ineffective, access.Ineffective{
				Node: r.Node, Role: string(r.ID.Role), Expression: r.ID.Condition, Why: why})
			continue
		}
		t.rows = append(t.rows, r)
	}
	return t, ineffective
}

// Holdings are what p holds, directly or through one of the groups, sorted by id.
// What is held in several ways is one entitlement, and so are one role and resource
// condition under several topics: the id, which is that of JIT Access 1.x, has none.
func (t Table) Holdings(p access.Principal, groups []string) []access.Entitlement {
	mine := membersOf(p, groups)
	at := map[access.EntitlementID]*access.Entitlement{}
	for _, row := range t.rows {
		ways := row.ways(mine)
		if row.Kind == None || len(ways) == 0 {
			continue
		}
		e := at[row.ID]
		if e == nil {
			e = &access.Entitlement{ID: row.ID, Unconfirmed: true}
			at[row.ID] = e
		}
		if row.Kind != Reviewer {
			// All of them hold now, so that together they last as long as the last of them.
			if until := row.Window.End; !e.MayRequest() || until.IsZero() || !e.Until.IsZero() && until.After(e.Until) {
				e.Until = until
			}
			e.Unclear = e.Unclear || row.Unclear
		}
		e.SelfApproval = e.SelfApproval || row.Kind == SelfApproval || row.Kind == Both
		if way, ok := row.requests(); ok {
			e.PeerApproval = true
			e.Requests = once(e.Requests, way)
		}
		if way, ok := row.reviews(); ok {
			e.MayReview = true
			e.Reviews = once(e.Reviews, way)
			if row.inherited() {
				e.Inherited = once(e.Inherited, way)
			}
		}
		e.Unconfirmed = e.Unconfirmed && row.Unconfirmed
		e.Sources = once(e.Sources, row.Node)
		e.Ways = once(e.Ways, ways...)
	}
	var held []access.Entitlement
	for _, e := range at {
		slices.SortFunc(e.Requests, access.CompareApprovals)
		slices.SortFunc(e.Reviews, access.CompareApprovals)
		held = append(held, *e)
	}
	slices.SortFunc(held, func(a, b access.Entitlement) int { return access.CompareEntitlementIDs(a.ID, b.ID) })
	return held
}

// Ruled is the table where a rule demands approvals of whoever IAM lets activate alone:
// they may ask for them as well, and approve for each other.
func (t Table) Ruled() Table {
	rows := slices.Clone(t.rows)
	for i := range rows {
		if rows[i].Kind == SelfApproval {
			rows[i].Kind = Both
		}
	}
	return Table{rows}
}

// Missed are the rows that were meant to make p eligible, as far as can be told, and
// make nobody so.
func (t Table) Missed(p access.Principal, groups []string) []Row {
	mine := membersOf(p, groups)
	return slices.DeleteFunc(slices.Clone(t.rows), func(r Row) bool { return r.Kind != None || len(r.ways(mine)) == 0 })
}

// Naming is the first row that makes a member eligible; zero when none does.
func (t Table) Naming(member string) Row {
	i := slices.IndexFunc(t.rows, func(r Row) bool { return r.Kind != None && slices.Contains(r.Members, member) })
	if i < 0 {
		return Row{}
	}
	return t.rows[i]
}

// membersOf are the members that mean p.
func membersOf(p access.Principal, groups []string) map[string]bool {
	_, domain, _ := strings.Cut(string(p), "@")
	mine := map[string]bool{"user:" + string(p): true, "domain:" + domain: true}
	for _, g := range groups {
		mine["group:"+access.FoldASCII(g)] = true
	}
	return mine
}

// once adds what is not in a list yet.
func once[T comparable](list []T, more ...T) []T {
	for _, item := range more {
		if !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	return list
}

// reviewed is whether the members of the row may approve a request for one of ids,
// whatever its topic.
func (r Row) reviewed(ids ...access.EntitlementID) bool {
	_, ok := r.reviews()
	return ok && slices.Contains(ids, r.ID)
}

// ways are the members of the row that are among mine.
func (r Row) ways(mine map[string]bool) []access.Way {
	var ways []access.Way
	for _, m := range r.Members {
		if mine[m] {
			ways = append(ways, access.Way{Node: r.Node, Member: m})
		}
	}
	return ways
}

// Members are all members that the table makes eligible, sorted, once each.
func (t Table) Members() []string {
	var members []string
	for _, row := range t.rows {
		if row.Kind != None {
			members = append(members, row.Members...)
		}
	}
	slices.Sort(members)
	return slices.Compact(members)
}

// ReviewerGroups are the groups whose members may review one of the ids, sorted.
func (t Table) ReviewerGroups(ids []access.EntitlementID) []string {
	var groups []string
	for _, row := range t.rows {
		if !row.reviewed(ids...) {
			continue
		}
		for _, m := range row.Members {
			if g, ok := strings.CutPrefix(m, "group:"); ok {
				groups = append(groups, g)
			}
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// Reviewers are the people who may review requests for exactly this id, sorted,
// once each: those of the requesters, who hold it, or anybody's where there are
// none. members holds the people of each of its ReviewerGroups; a group that is
// missing there counts as empty.
func (t Table) Reviewers(id access.EntitlementID, members map[string][]access.Principal,
	requesters ...access.Entitlement) []access.Principal {
	var people []access.Principal
	for _, row := range t.rows {
		way, _ := row.reviews()
		reviewer := access.Entitlement{ID: row.ID, MayReview: true, Reviews: []access.Approval{way}}
		if !row.reviewed(id) || len(requesters) > 0 && !slices.ContainsFunc(requesters, reviewer.MayReviewFor) {
			continue
		}
		for _, m := range row.Members {
			kind, address, _ := strings.Cut(m, ":")
			switch kind {
			case "user":
				if p, err := access.ParsePrincipal(address); err == nil {
					people = append(people, p)
				}
			case "group":
				people = append(people, members[address]...)
			}
		}
	}
	slices.Sort(people)
	return slices.Compact(people)
}

// Carrying are the nodes on which somebody is made eligible for one of the ids, or for
// anything when there are none.
func (t Table) Carrying(ids []access.EntitlementID) []access.Resource {
	var nodes []access.Resource
	for _, row := range t.rows {
		if row.Kind != None && (len(ids) == 0 || slices.Contains(ids, row.ID)) {
			nodes = once(nodes, row.Node)
		}
	}
	return nodes
}

// Nodes are where the entitlements that p holds and those in ids come from, the
// one above the other as they were read.
func (t Table) Nodes(held []access.Entitlement, ids []access.EntitlementID) []access.Resource {
	var nodes []access.Resource
	for _, row := range t.rows {
		used := row.reviewed(ids...) ||
			slices.ContainsFunc(held, func(e access.Entitlement) bool { return e.ID == row.ID && slices.Contains(e.Sources, row.Node) })
		if used && !slices.Contains(nodes, row.Node) {
			nodes = append(nodes, row.Node)
		}
	}
	return nodes
}
