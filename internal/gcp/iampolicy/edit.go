package iampolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/condition"
)

// Grant returns the policy with one entitlement of the grant in it, and what became
// of it. The policy is returned as it was, the same pointer, when the request
// already holds the entitlement or the grant is refused.
//
// The new binding stands beside what the person already has. It takes the place of
// a self-approved grant, or one without id, that has nothing left to give beyond
// it; so no access that is live gets shorter. Bindings of ours for the same role
// that are over are cleared.
func (p *Policy) Grant(g access.Grant, id access.EntitlementID, now time.Time) (*Policy, access.Outcome) {
	for i, e := range p.elements {
		if e.own != nil && e.own.id == g.RequestID && e.own.grants(id) && holds(p.bindings[i], g.Principal) {
			return p, access.Outcome{Entitlement: id, Result: access.AlreadyGranted, Window: e.own.window}
		}
	}
	next, err := p.grant(g, id, now)
	if err != nil {
		return p, access.Outcome{Entitlement: id, Result: access.Refused, Err: access.AsError(err)}
	}
	return next, access.Outcome{Entitlement: id, Result: access.Granted, Window: next.elements[len(next.elements)-1].own.window}
}

func (p *Policy) grant(g access.Grant, id access.EntitlementID, now time.Time) (*Policy, error) {
	if !g.Window.End.After(now) {
		return nil, &access.Error{Kind: access.Gone, Code: access.CodeWindowOver}
	}
	raw, b, err := newBinding(g, id)
	if err != nil {
		return nil, err
	}
	next := p.clear(id.Role, now).takeOut(func(o *own, m access.Principal) bool {
		return m == g.Principal && o.disposable() && o.grants(id) && o.covered(g.Window, now)
	})
	if err := next.roomFor(g.Principal, id); err != nil {
		return nil, err
	}
	return next.with(raw, b), nil
}

// Preview is the binding that Grant would add, for reading.
func Preview(g access.Grant, id access.EntitlementID) (string, error) {
	raw, _, err := newBinding(g, id)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return "", err
	}
	return b.String(), nil
}

// newBinding makes the binding of a grant. What it returns has been read back and
// found to say what the grant says.
func newBinding(g access.Grant, id access.EntitlementID) (json.RawMessage, Binding, error) {
	if _, err := access.ParseRequestID(g.RequestID); err != nil {
		return nil, Binding{}, err
	}
	if p, err := access.ParsePrincipal(string(g.Principal)); err != nil || p != g.Principal {
		return nil, Binding{}, fmt.Errorf("the principal of a grant is %.40q", string(g.Principal))
	}
	if !g.Window.Start.Before(g.Window.End) {
		return nil, Binding{}, errors.New("the window of a grant is empty")
	}
	switch id.Role {
	case "roles/owner", "roles/editor", "roles/viewer":
		// Basic roles take no condition (https://cloud.google.com/iam/docs/conditions-overview),
		// so they cannot be given for a time.
		return nil, Binding{}, &access.Error{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable,
			Args: access.Args{"role": string(id.Role), "resource": string(id.Resource)}}
	}
	expression, err := condition.Activation(g.Window, id.Condition)
	if err != nil {
		return nil, Binding{}, err
	}
	text, err := Describe(g, MaxDescription)
	if err != nil {
		return nil, Binding{}, &access.Error{Kind: access.Unprocessable, Code: access.CodePlatformRefused,
			Args: access.Args{"reason": err.Error()}, Err: err}
	}
	b := Binding{Role: string(id.Role), Members: []string{"user:" + string(g.Principal)},
		Condition: &Condition{Title: Title, Description: text, Expression: expression}}
	o, err := recognise(b)
	if err != nil || o == nil || o.id != g.RequestID || o.self != (len(g.Approvers) == 0) ||
		!slices.Equal(o.approvers, g.Approvers) || !o.grants(id) ||
		!o.window.Start.Equal(g.Window.Start.Truncate(time.Second)) || !o.window.End.Equal(g.Window.End.Truncate(time.Second)) {
		return nil, Binding{}, errors.Join(errors.New("the binding would not say what was approved"), err)
	}
	raw := joinObject(set(set(set(nil, "role", encode(b.Role)), "members", encode(b.Members)), "condition", encode(b.Condition)))
	return raw, b, nil
}

// Found are the entitlements that the grant to be ended has in the policy, each
// once. There may be none.
func (p *Policy) Found(e access.Ending) []access.EntitlementID {
	var found []access.EntitlementID
	activations, _ := p.Activations(e.Resource)
	for _, a := range activations {
		if a.RequestID == e.RequestID && a.Principal == e.Principal && !slices.Contains(found, a.Entitlement) {
			found = append(found, a.Entitlement)
		}
	}
	return found
}

// End returns the policy with one entitlement of a grant ended, and what became of
// it. The policy is returned as it was, the same pointer, when it was over already
// or cannot be ended.
//
// A self-approved grant, and one without id, is taken out. Any other keeps its
// start and ends at the later of its start and e.At, so that the link that
// approved it finds it and cannot revive it. Where several people share a binding,
// only this one is touched. Bindings of ours for the same role that are over are
// cleared.
func (p *Policy) End(e access.Ending, id access.EntitlementID, now time.Time) (*Policy, access.Outcome) {
	mine := func(o *own, m access.Principal) bool {
		if m != e.Principal || !o.grants(id) {
			return false
		}
		carried, _ := o.idOf(m)
		return carried == e.RequestID
	}
	outcome := access.Outcome{Entitlement: id, Result: access.Removed}
	cleared := p.clear(id.Role, now)
	next := &Policy{etag: p.etag, fields: p.fields}
	ended := false
	for i, element := range cleared.elements {
		next.elements = append(next.elements, element)
		next.bindings = append(next.bindings, cleared.bindings[i])
		o := element.own
		if o == nil || !holdsAs(cleared.bindings[i], o, mine) {
			continue
		}
		w := cut(o.window, e.At)
		outcome.Window = w
		if w == o.window {
			continue
		}
		ended = true
		shared, own := split(element, cleared.bindings[i], func(m access.Principal) bool { return mine(o, m) })
		next.elements, next.bindings = next.elements[:len(next.elements)-1], next.bindings[:len(next.bindings)-1]
		if shared.raw != nil {
			next.append(shared.raw, shared.binding)
		}
		if o.disposable() {
			continue
		}
		tombstone, err := own.until(w, o.resource)
		if err != nil {
			return p, access.Outcome{Entitlement: id, Result: access.Refused, Err: access.AsError(err)}
		}
		next.append(tombstone.raw, tombstone.binding)
	}
	if !ended {
		if outcome.Window.IsZero() { // over, and cleared by now
			outcome.Window = p.windowOf(mine)
		}
		return p, outcome
	}
	return next, outcome
}

// cut is the window ended at a time: it never gets longer, and never ends before
// it starts.
func cut(w access.Window, at time.Time) access.Window {
	at = at.UTC().Truncate(time.Second)
	if at.Before(w.Start) {
		at = w.Start
	}
	if at.Before(w.End) {
		w.End = at
	}
	return w
}

// windowOf is the window of the first binding of ours for which mine is true.
func (p *Policy) windowOf(mine func(*own, access.Principal) bool) access.Window {
	for i, e := range p.elements {
		if e.own != nil && holdsAs(p.bindings[i], e.own, mine) {
			return e.own.window
		}
	}
	return access.Window{}
}

// clear takes out the bindings of ours for a role that have served their purpose.
func (p *Policy) clear(role access.Role, now time.Time) *Policy {
	return p.takeOut(func(o *own, _ access.Principal) bool { return o.role == role && o.clearable(now) })
}

// takeOut returns the policy without the people in bindings of ours for whom out
// is true, and without the bindings that this leaves empty. It returns p itself
// when there are none. Other members of such bindings stay.
func (p *Policy) takeOut(out func(*own, access.Principal) bool) *Policy {
	next := &Policy{etag: p.etag, fields: p.fields}
	for i, e := range p.elements {
		b := p.bindings[i]
		if e.own != nil && holdsAs(b, e.own, out) {
			rest, _ := split(e, b, func(m access.Principal) bool { return out(e.own, m) })
			if rest.raw != nil {
				next.append(rest.raw, rest.binding)
			}
			continue
		}
		next.elements, next.bindings = append(next.elements, e), append(next.bindings, b)
	}
	if len(next.elements) == len(p.elements) && members(next.bindings) == members(p.bindings) {
		return p
	}
	return next
}

// with returns the policy with a binding added at the end.
func (p *Policy) with(raw json.RawMessage, b Binding) *Policy {
	next := &Policy{etag: p.etag, fields: p.fields, elements: slices.Clone(p.elements), bindings: slices.Clone(p.bindings)}
	next.append(raw, b)
	return next
}

// holds is whether the person is a member of the binding.
func holds(b Binding, p access.Principal) bool {
	return slices.ContainsFunc(b.Members, func(text string) bool { m, ok := member(text); return ok && m == p })
}

// holdsAs is whether which is true of any member.
func holdsAs(b Binding, o *own, which func(*own, access.Principal) bool) bool {
	return slices.ContainsFunc(b.Members, func(text string) bool { m, ok := member(text); return ok && which(o, m) })
}
