package access

import "slices"

// FromPeers, in a Requirement, is everybody else who may review the entitlement.
const FromPeers = "peers"

// FromAdminPage, in a Requirement, is everybody whom the proxy before the service lets to
// the administration page (Caller.AtAdmin), where nobody is named who approves. No policy
// file can spell it.
const FromAdminPage = "admin page"

// Requirement is a number of approvals that a request takes.
type Requirement struct {
	// Count is how many different people must give them.
	Count int
	// From says who may, any of these: FromPeers, or what a policy names.
	From []string
}

// Same is whether both are approvals from the same people; the counts may differ.
func (r Requirement) Same(as Requirement) bool { return sameItems(r.From, as.From) }

// Tally is how far a request has come.
type Tally struct {
	// Filled is how many approvals each requirement has, in their order.
	Filled []int
	// Approvers are the people who fill them, in the order of their decisions.
	Approvers []Principal
	// Complete: every requirement is filled, and nobody has denied.
	Complete bool
	// Denied: somebody has, which ends it.
	Denied bool
}

// Open is the first of needs that is not filled; false where all are. Of the zero Tally it is
// the first.
func (t Tally) Open(needs []Requirement) (Requirement, bool) {
	for i, need := range needs {
		if i >= len(t.Filled) || t.Filled[i] < need.Count {
			return need, true
		}
	}
	return Requirement{}, false
}

// Quorum counts what was decided on a request of the requester. A person counts
// once, however often they approve, and fills one requirement; who fills which is
// chosen so that as much as possible is filled. The requester never counts. may says
// whether somebody may fill a requirement.
//
// People are told apart by address; two addresses of one person are two.
func Quorum(requester Principal, decisions []Decision, needs []Requirement, may func(Principal, Requirement) bool) Tally {
	var people []Principal
	t := Tally{Filled: make([]int, len(needs))}
	for _, d := range decisions {
		switch {
		case d.By == requester:
		case d.Verdict == Deny:
			t.Denied = true
		case d.Verdict == Approve && !slices.Contains(people, d.By):
			people = append(people, d.By)
		}
	}
	// filling is who fills each requirement. To find a place for one more, somebody
	// may move to another place, and so on (a bipartite matching).
	filling := make([][]Principal, len(needs))
	var place func(p Principal, tried []bool) bool
	place = func(p Principal, tried []bool) bool {
		for i, need := range needs {
			if tried[i] || !may(p, need) {
				continue
			}
			tried[i] = true
			if len(filling[i]) < need.Count {
				filling[i] = append(filling[i], p)
				return true
			}
			for k, other := range filling[i] {
				if place(other, tried) {
					filling[i][k] = p
					return true
				}
			}
		}
		return false
	}
	for _, p := range people {
		if place(p, make([]bool, len(needs))) {
			t.Approvers = append(t.Approvers, p)
		}
	}
	t.Complete = !t.Denied
	for i, need := range needs {
		t.Filled[i] = len(filling[i])
		t.Complete = t.Complete && t.Filled[i] >= need.Count
	}
	return t
}
