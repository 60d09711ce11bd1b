package iampolicy

import (
	"fmt"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
	"jitaccess/internal/gcp/condition"
)

// Inspect is what of the policy looks like grants of ours and is not as we write them, and
// who holds roles without a condition.
func (p *Policy) Inspect(now time.Time) access.Inspection {
	var found access.Inspection
	for _, b := range p.bindings {
		if b.Condition == nil {
			if role, err := access.ParseRole(b.Role); err == nil {
				members := make([]string, 0, len(b.Members))
				for _, m := range b.Members {
					members = append(members, access.FoldASCII(m))
				}
				found.Permanent = append(found.Permanent, access.Permanent{Role: role, Members: members})
			}
			continue
		}
		if kind, id, why := b.odd(now); kind != "" {
			found.Oddities = append(found.Oddities, access.Oddity{Kind: kind, ID: id, Role: b.Role, Members: b.Members, Why: why})
		}
	}
	return found
}

// odd is what is odd about a binding with a condition; nothing for most.
func (b Binding) odd(now time.Time) (kind access.OddityKind, id, why string) {
	o := b.meaning.own
	if o == nil {
		return b.imitates()
	}
	id = o.id
	for _, m := range b.Members {
		if p, ok := member(m); ok && id == "" {
			id, _ = o.idOf(p)
		}
	}
	written, err := condition.Activation(o.window, o.resource)
	switch kind := access.KindOfID(o.id); {
	case err != nil || written != o.expression:
		return access.Edited, id, "its condition is not spelled as it is written"
	case len(b.Members) != 1 && o.id != "":
		return access.Edited, id, fmt.Sprintf("it has %d members", len(b.Members))
	case strings.ContainsFunc(strings.Join(b.Members, ""), access.Unseen):
		return access.Edited, id, "a member has unseen characters"
	case kind == access.Peers && len(o.approvers) == 0, kind == access.Self && !o.self, o.id == "" && !o.self && len(o.approvers) == 0:
		return access.Edited, id, "its description does not say who approved it, or that nobody had to"
	}
	for _, m := range b.Members {
		_, person := member(m)
		if _, deleted := deletedMember(m); !person && !deleted {
			return access.Edited, id, "a member is no person"
		}
	}
	if o.clearable(access.LinkLife, now) {
		return access.Uncleared, id, "it was over at " + o.window.End.UTC().Format(time.RFC3339)
	}
	return "", "", ""
}

// imitates is whether a binding that is not ours has our title, or our text.
func (b Binding) imitates() (access.OddityKind, string, string) {
	id := parseDescription(b.Condition.Description).id
	if b.Condition.Title == Title {
		if e, err := condition.ParseEligibility(b.Condition.Expression); err == nil && e.Kind != eligibility.None {
			return "", "", "" // operators give eligible bindings that title
		}
		return access.Imitated, id, "it has the title of a grant, and its condition is another"
	}
	w, _, ok, err := condition.ParseActivation(b.Condition.Expression)
	if ok && err == nil && id != "" {
		return access.Untitled, id, "it has the condition and the id of a grant until " + w.End.UTC().Format(time.RFC3339) + ", and another title"
	}
	return "", "", ""
}
