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
	at := map[access.EntitlementID]int{}
	var held []access.Entitlement
	for _, row := range t.rows {
		ways := row.ways(mine)
		if row.Kind == None || len(ways) == 0 {
			continue
		}
		i, seen := at[row.ID]
		if !seen {
			i = len(held)
			at[row.ID] = i
			held = append(held, access.Entitlement{ID: row.ID, Unconfirmed: true})
		}
		if row.Kind != Reviewer {
			// All of them hold now, so that together they last as long as the last of them.
			if until := row.Window.End; !held[i].MayRequest() || until.IsZero() || !held[i].Until.IsZero() && until.After(held[i].Until) {
				held[i].Until = until
			}
			held[i].Unclear = held[i].Unclear || row.Unclear
		}
		held[i].SelfApproval = held[i].SelfApproval || row.Kind == SelfApproval || row.Kind == Both
		if way, ok := row.requests(); ok {
			held[i].PeerApproval = true
			held[i].Requests = with(held[i].Requests, way)
		}
		if way, ok := row.reviews(); ok {
			held[i].MayReview = true
			held[i].Reviews = with(held[i].Reviews, way)
		}
		held[i].Unconfirmed = held[i].Unconfirmed && row.Unconfirmed
		if !slices.Contains(held[i].Sources, row.Node) {
			held[i].Sources = append(held[i].Sources, row.Node)
		}
		for _, w := range ways {
			if !slices.Contains(held[i].Ways, w) {
				held[i].Ways = append(held[i].Ways, w)
			}
		}
	}
	slices.SortFunc(held, func(a, b access.Entitlement) int { return access.CompareEntitlementIDs(a.ID, b.ID) })
	return held
}

// Missed are the rows that were meant to make p eligible, as far as can be told, and
// make nobody so.
func (t Table) Missed(p access.Principal, groups []string) []Row {
	mine := membersOf(p, groups)
	var rows []Row
	for _, r := range t.rows {
		if r.Kind == None && len(r.ways(mine)) > 0 {
			rows = append(rows, r)
		}
	}
	return rows
}

// Naming is the first row that makes a member eligible; ok is false when none does.
func (t Table) Naming(member string) (r Row, ok bool) {
	i := slices.IndexFunc(t.rows, func(r Row) bool { return r.Kind != None && slices.Contains(r.Members, member) })
	if i < 0 {
		return r, false
	}
	return t.rows[i], true
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

// with adds a way of approval, sorted and once.
func with(ways []access.Approval, way access.Approval) []access.Approval {
	at, found := slices.BinarySearchFunc(ways, way, access.CompareApprovals)
	if found {
		return ways
	}
	return slices.Insert(ways, at, way)
}

// reviewed is whether the members of the row may approve a request for one of ids,
// whatever its topic.
func (r Row) reviewed(ids ...access.EntitlementID) bool {
	_, ok := r.reviews()
	return ok && slices.Contains(ids, r.ID)
}

// reviewedFor is whether the members of the row may approve a request of one of
// the requesters.
func (r Row) reviewedFor(requesters []access.Entitlement) bool {
	way, _ := r.reviews()
	reviewer := access.Entitlement{ID: r.ID, MayReview: true, Reviews: []access.Approval{way}}
	return slices.ContainsFunc(requesters, reviewer.MayReviewFor)
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
		if !row.reviewed(id) || len(requesters) > 0 && !row.reviewedFor(requesters) {
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
