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
	// wrong is why a binding that bears a marker, or seems to, makes nobody eligible, and
	// what else is wrong with it.
	wrong []*access.Error
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
		m.wrong = notUnderstood(err)
		return m
	}
	m.wrong = condition.Doubts(b.Condition.Expression, found)
	if found.Kind == eligibility.None {
		switch {
		case m.wrong != nil:
			m.row = &eligibility.Row{ID: access.EntitlementID{Role: access.Role(b.Role)}} // the role is for a text, no more
		case m.ownErr == nil:
			return nothing
		}
		return m
	}
	if basic(b.Role) {
		m.wrong = append(m.wrong, &access.Error{Kind: access.Unprocessable, Code: access.CodeBasicRole})
		return m
	}
	role, err := access.ParseRole(b.Role)
	if err != nil {
		m.wrong = append(m.wrong, notUnderstood(err)...)
		return m
	}
	m.row = &eligibility.Row{ID: access.EntitlementID{Role: role, Condition: found.Resource}, Kind: found.Kind, Topic: found.Topic}
	m.row.Window, m.row.Unclear = condition.Limits(found.Resource)
	return m
}

func notUnderstood(err error) []*access.Error {
	return []*access.Error{{Kind: access.Unprocessable, Code: access.CodeNotUnderstood, Args: access.Args{"reason": err.Error()}, Err: err}}
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
		for _, why := range m.wrong {
			ineffective = append(ineffective, access.Ineffective{Node: node, Role: b.Role, Expression: b.Condition.Expression, Why: why})
		}
		if m.row == nil {
			continue
		}
		row := *m.row
		row.ID.Resource, row.Node, row.Unconfirmed = on, node, unconfirmed
		row.Members = make([]string, 0, len(b.Members))
		for _, text := range b.Members {
			folded := access.FoldASCII(text)
			why := nobody(folded)
			if why == nil {
				row.Members = append(row.Members, folded)
			} else if row.Kind != eligibility.None {
				why.Args["member"] = text
				ineffective = append(ineffective, access.Ineffective{Node: node, Role: b.Role, Member: text, Why: why})
			}
		}
		rows = append(rows, row)
	}
	return rows, ineffective
}

// nobody is why a member, folded, means nobody who signs in here
// (https://cloud.google.com/iam/docs/principal-identifiers); nil when it does.
func nobody(member string) *access.Error {
	kind, address, _ := strings.Cut(member, ":")
	if kind == "user" || kind == "group" {
		if _, err := access.ParsePrincipal(address); err == nil {
			return nil
		}
	}
	code, args := access.CodeMemberNobody, access.Args{}
	switch kind {
	case "user", "group":
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
