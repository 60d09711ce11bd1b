package iampolicy

import (
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
	"jitaccess/internal/gcp/condition"
)

// meaning is what a binding says by its role and condition, whoever its members are. It
// is shared by all copies of the binding and never changes.
type meaning struct {
	// own is nil when the binding is not a grant of ours. ownErr is why one that seems to
	// be ours cannot be understood; it is then treated as somebody else's.
	own    *own
	ownErr error
	// row is what the binding makes its members eligible for, or was meant to, without them
	// and without where it stands; nil when it has nothing to do with that.
	row *eligibility.Row
	// err is why a binding that bears a marker makes nobody eligible, doubts what else is
	// wrong with it.
	err    *access.Error
	doubts []*access.Error
}

// nothing is the meaning of most bindings.
var nothing = &meaning{}

func meaningOf(b Binding) *meaning {
	if b.Condition == nil {
		return nothing
	}
	m := &meaning{}
	if m.own, m.ownErr = recognise(b); m.own != nil {
		return m
	}
	found, err := condition.ParseEligibility(b.Condition.Expression)
	if err != nil {
		m.err = notUnderstood(err)
		return m
	}
	m.doubts = condition.Doubts(b.Condition.Expression, found)
	if found.Kind == eligibility.None && m.doubts == nil && m.ownErr == nil {
		return nothing
	}
	if found.Kind == eligibility.None {
		if m.doubts != nil {
			m.row = &eligibility.Row{ID: access.EntitlementID{Role: access.Role(b.Role)}} // the role is for a text, no more
		}
		return m
	}
	if basic(b.Role) {
		m.err = &access.Error{Kind: access.Unprocessable, Code: access.CodeBasicRole}
		return m
	}
	role, err := access.ParseRole(b.Role)
	if err != nil {
		m.err = notUnderstood(err)
		return m
	}
	m.row = &eligibility.Row{ID: access.EntitlementID{Role: role, Condition: found.Resource}, Kind: found.Kind, Topic: found.Topic}
	m.row.Window, m.row.Unclear = condition.Limits(found.Resource)
	return m
}

func notUnderstood(err error) *access.Error {
	return &access.Error{Kind: access.Unprocessable, Code: access.CodeNotUnderstood, Args: access.Args{"reason": err.Error()}, Err: err}
}

// basic is whether a role is one of those that take no condition, so that a grant of it
// could not end (https://cloud.google.com/iam/docs/conditions-overview).
func basic(role string) bool {
	return role == "roles/owner" || role == "roles/editor" || role == "roles/viewer"
}

// Eligible is whom the policy, which is that of node, makes eligible on a resource, and
// what of it makes nobody so. unconfirmed is as in eligibility.Row. A nil policy says
// nothing.
func (p *Policy) Eligible(on, node access.Resource, unconfirmed bool) (rows []eligibility.Row, ineffective []access.Ineffective) {
	if p == nil {
		return nil, nil
	}
	for _, b := range p.bindings {
		m := b.meaning
		wrong := func(member string, why *access.Error) {
			i := access.Ineffective{Node: node, Role: b.Role, Member: member, Why: why}
			if member == "" {
				i.Expression = b.Condition.Expression
			}
			ineffective = append(ineffective, i)
		}
		for _, doubt := range m.doubts {
			wrong("", doubt)
		}
		if m.err != nil {
			wrong("", m.err)
		}
		if m.row == nil {
			continue
		}
		row := *m.row
		row.ID.Resource, row.Node, row.Unconfirmed = on, node, unconfirmed
		var strange []*access.Error
		row.Members, strange = countingMembers(b.Members)
		rows = append(rows, row)
		for _, why := range strange {
			if row.Kind != eligibility.None {
				wrong(why.Args["member"], why)
			}
		}
	}
	return rows, ineffective
}

// countingMembers are the members that mean people who sign in, folded, and why each of
// the others means none.
func countingMembers(all []string) (members []string, strange []*access.Error) {
	members = make([]string, 0, len(all))
	for _, m := range all {
		folded := access.FoldASCII(m)
		if why := nobody(folded); why != nil {
			why.Args["member"] = m
			strange = append(strange, why)
			continue
		}
		members = append(members, folded)
	}
	return members, strange
}

// nobody is why a member, folded, means nobody who signs in here
// (https://cloud.google.com/iam/docs/principal-identifiers); nil when it does.
func nobody(member string) *access.Error {
	kind, address, _ := strings.Cut(member, ":")
	code, args := access.CodeMemberNobody, access.Args{}
	switch kind {
	case "user", "group":
		if _, err := access.ParsePrincipal(address); err == nil {
			return nil
		}
		if !strings.HasSuffix(address, ".gserviceaccount.com") {
			code = access.CodeMemberMisspelled
		}
	case "domain":
		// Policy Analyzer knows who is in a domain.
		code, args["catalog"] = access.CodeMemberDomain, "PolicyAnalyzer"
	case "deleted":
		code = access.CodeMemberDeleted
	case "allusers", "allauthenticatedusers":
		code = access.CodeMemberEverybody
	case "serviceaccount", "principal", "principalset", "projectowner", "projecteditor", "projectviewer":
	default:
		code = access.CodeMemberMisspelled
	}
	return &access.Error{Kind: access.Unprocessable, Code: code, Args: args}
}
