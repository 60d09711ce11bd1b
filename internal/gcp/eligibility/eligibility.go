// Package eligibility reads out of IAM policies what people may activate and who
// may approve it. It makes no calls.
package eligibility

import (
	"errors"
	"slices"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/condition"
	"jitaccess/internal/gcp/iampolicy"
)

// Node is one resource with its own policy: the project, or a folder or
// organization above it.
type Node struct {
	Resource access.Resource
	Policy   *iampolicy.Policy
	// Unconfirmed: the policy is not the live one, though that was wanted.
	Unconfirmed bool
}

// Table is what the policies of a resource and of everything above it make people
// eligible for. It does not change once made.
type Table struct {
	rows []row
	// Warnings are the bindings that could not be understood; all others are in the
	// table.
	Warnings []*access.Error
}

// row is one eligible binding.
type row struct {
	id          access.EntitlementID
	kind        condition.Kind
	topic       string
	members     []string
	node        access.Resource
	unconfirmed bool
}

// Read makes the table of a resource from its node and those above it.
func (r *Reader) Read(resource access.Resource, nodes []Node) *Table {
	t := &Table{}
	for _, n := range nodes {
		if n.Policy == nil {
			continue
		}
		for _, b := range n.Policy.Bindings() {
			id, eligible, err := r.binding(resource, b)
			if err != nil {
				t.Warnings = append(t.Warnings, &access.Error{Kind: access.Unprocessable, Code: access.CodeUnreadableBinding,
					Args: access.Args{"role": b.Role, "resource": string(n.Resource)}, Err: err})
				continue
			}
			if eligible.Kind != condition.None {
				t.rows = append(t.rows, row{id, eligible.Kind, eligible.Topic, b.Members, n.Resource, n.Unconfirmed})
			}
		}
	}
	return t
}

// binding reads one binding; the kind is None when it makes nobody eligible.
func (r *Reader) binding(resource access.Resource, b iampolicy.Binding) (id access.EntitlementID, eligible condition.Eligibility, err error) {
	if b.Condition == nil {
		return id, eligible, nil
	}
	switch b.Role {
	case "roles/owner", "roles/editor", "roles/viewer":
		// IAM takes no conditions on basic roles, so an activation could not end
		// (https://cloud.google.com/iam/docs/conditions-overview).
		return id, eligible, nil
	}
	eligible, err = r.parse(b.Condition.Expression)
	if err != nil || eligible.Kind == condition.None {
		return id, eligible, err
	}
	role, err := access.ParseRole(b.Role)
	if err != nil {
		return id, condition.Eligibility{}, err
	}
	return access.EntitlementID{Resource: resource, Role: role, Condition: eligible.Resource}, eligible, nil
}

// Holdings are what p holds, directly or through one of the groups, sorted by id.
// What is held in several ways is one entitlement, and so are one role and resource
// condition under several topics: the id, which is that of JIT Access 1.x, has none.
func (t *Table) Holdings(p access.Principal, groups []string) []access.Entitlement {
	mine := make(map[string]bool, len(groups)+1)
	mine["user:"+string(p)] = true
	for _, g := range groups {
		mine["group:"+Fold(g)] = true
	}
	at := map[access.EntitlementID]int{}
	var held []access.Entitlement
	for _, row := range t.rows {
		ways := row.ways(mine)
		if len(ways) == 0 {
			continue
		}
		i, seen := at[row.id]
		if !seen {
			i = len(held)
			at[row.id] = i
			held = append(held, access.Entitlement{ID: row.id, Unconfirmed: true})
		}
		held[i].SelfApproval = held[i].SelfApproval || row.kind == condition.SelfApproval || row.kind == condition.Both
		if way, ok := row.requests(); ok {
			held[i].PeerApproval = true
			held[i].Requests = with(held[i].Requests, way)
		}
		if way, ok := row.reviews(); ok {
			held[i].MayReview = true
			held[i].Reviews = with(held[i].Reviews, way)
		}
		held[i].Unconfirmed = held[i].Unconfirmed && row.unconfirmed
		if !slices.Contains(held[i].Sources, row.node) {
			held[i].Sources = append(held[i].Sources, row.node)
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

// with adds a way of approval, sorted and once.
func with(ways []access.Approval, way access.Approval) []access.Approval {
	at, found := slices.BinarySearchFunc(ways, way, access.CompareApprovals)
	if found {
		return ways
	}
	return slices.Insert(ways, at, way)
}

// requests is how the members of the row may request with approval; ok is false
// when they may not.
func (r row) requests() (way access.Approval, ok bool) {
	switch r.kind {
	case condition.PeerApproval, condition.Both:
		return access.Approval{Topic: r.topic}, true
	case condition.ExternalApproval:
		return access.Approval{Topic: r.topic, External: true}, true
	}
	return way, false
}

// reviews is how the members of the row may approve for others; ok is false when
// they may not.
func (r row) reviews() (way access.Approval, ok bool) {
	switch r.kind {
	case condition.PeerApproval, condition.Both:
		return access.Approval{Topic: r.topic}, true
	case condition.Reviewer:
		return access.Approval{Topic: r.topic, External: true}, true
	}
	return way, false
}

// reviewed is whether the members of the row may approve a request for one of ids,
// whatever its topic.
func (r row) reviewed(ids ...access.EntitlementID) bool {
	_, ok := r.reviews()
	return ok && slices.Contains(ids, r.id)
}

// reviewedFor is whether the members of the row may approve a request of one of
// the requesters.
func (r row) reviewedFor(requesters []access.Entitlement) bool {
	way, _ := r.reviews()
	reviewer := access.Entitlement{ID: r.id, MayReview: true, Reviews: []access.Approval{way}}
	return slices.ContainsFunc(requesters, reviewer.MayReviewFor)
}

// ways are the members of the row that are among mine.
func (r row) ways(mine map[string]bool) []access.Way {
	var ways []access.Way
	for _, m := range r.members {
		if m = Fold(m); mine[m] {
			ways = append(ways, access.Way{Node: r.node, Member: m})
		}
	}
	return ways
}

// Members are all members that the table makes eligible, such as user:ADDRESS and
// group:ADDRESS, sorted, once each.
func (t *Table) Members() []string {
	var members []string
	for _, row := range t.rows {
		for _, m := range row.members {
			members = append(members, Fold(m))
		}
	}
	slices.Sort(members)
	return slices.Compact(members)
}

// ReviewerGroups are the groups whose members may review one of the ids, sorted.
func (t *Table) ReviewerGroups(ids []access.EntitlementID) []string {
	var groups []string
	for _, row := range t.rows {
		if !row.reviewed(ids...) {
			continue
		}
		for _, m := range row.members {
			if g, ok := strings.CutPrefix(Fold(m), "group:"); ok {
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
func (t *Table) Reviewers(id access.EntitlementID, members map[string][]access.Principal, requesters ...access.Entitlement) []access.Principal {
	var people []access.Principal
	for _, row := range t.rows {
		if !row.reviewed(id) || len(requesters) > 0 && !row.reviewedFor(requesters) {
			continue
		}
		for _, m := range row.members {
			kind, address, _ := strings.Cut(Fold(m), ":")
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
func (t *Table) Nodes(held []access.Entitlement, ids []access.EntitlementID) []access.Resource {
	var nodes []access.Resource
	for _, row := range t.rows {
		used := row.reviewed(ids...) ||
			slices.ContainsFunc(held, func(e access.Entitlement) bool { return e.ID == row.id && slices.Contains(e.Sources, row.node) })
		if used && !slices.Contains(nodes, row.node) {
			nodes = append(nodes, row.node)
		}
	}
	return nodes
}

var errLongCondition = errors.New("the condition is longer than any that IAM takes")

// Fold lower-cases A–Z and nothing else, so that no two members of different
// people become equal.
func Fold(member string) string {
	for i := 0; i < len(member); i++ {
		if 'A' <= member[i] && member[i] <= 'Z' {
			folded := []byte(member)
			for ; i < len(folded); i++ {
				if 'A' <= folded[i] && folded[i] <= 'Z' {
					folded[i] += 'a' - 'A'
				}
			}
			return string(folded)
		}
	}
	return member
}
