package iampolicy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/condition"
)

// Grant returns the policy with one entitlement of the grant in it, and what became
// of it. The policy is returned as it was, the same pointer, when the request
// already holds the entitlement or the grant is refused.
//
// The new binding stands beside what the person already has. It takes the place of
// a grant that nobody else approved and that has nothing left to give beyond it; so
// no access that is live gets shorter. Bindings of ours for the same role
// that are over are cleared.
func (p *Policy) Grant(g access.Grant, id access.EntitlementID, now time.Time) (*Policy, access.Outcome) {
	for _, b := range p.bindings {
		if own := b.meaning.own; own != nil && own.id == g.RequestID && own.grants(id) && slices.ContainsFunc(b.Members, is(g.Principal)) {
			return p, access.Outcome{Entitlement: id, Result: access.AlreadyGranted, Window: own.effective()}
		}
	}
	next, err := p.grant(g, id, now)
	if err != nil {
		return p, access.Outcome{Entitlement: id, Result: access.Refused, Err: access.AsError(err)}
	}
	return next, access.Outcome{Entitlement: id, Result: access.Granted, Window: next.bindings[len(next.bindings)-1].meaning.own.effective()}
}

func (p *Policy) grant(g access.Grant, id access.EntitlementID, now time.Time) (*Policy, error) {
	if !g.Window.End.After(now) {
		return nil, &access.Error{Kind: access.Gone, Code: access.CodeWindowOver}
	}
	b, err := newBinding(g, id)
	if err != nil {
		return nil, err
	}
	// Where there is room, a record stays for as long as any link may live: other
	// deployments may have given out ones that live longer than ours.
	cleared := p.clear(id.Role, access.LinkLife, now)
	life := min(cmp.Or(g.LinkLife, access.LinkLife), access.LinkLife)
	if cleared.roomFor(g.Principal, id, life, now) != nil {
		cleared = p.clear(id.Role, life, now)
	}
	next := cleared.latest(g.Principal, id, now).takeOut(func(o *own, text string) bool {
		return is(g.Principal)(text) && o.disposable() && !o.over(now) && o.grants(id) && o.covered(g.Window, now)
	})
	if err := next.roomFor(g.Principal, id, life, now); err != nil {
		return nil, err
	}
	next = &Policy{etag: p.etag, fields: p.fields, raw: slices.Clone(next.raw), bindings: slices.Clone(next.bindings)}
	next.append(encode(b), b)
	return next, nil
}

// Preview is the binding that Grant would add, for reading.
func Preview(g access.Grant, id access.EntitlementID) (string, error) {
	b, err := newBinding(g, id)
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	err = json.Indent(&text, encode(b), "", "  ")
	return text.String(), err
}

// newBinding makes the binding of a grant. What it returns has been read back and
// found to say what the grant says.
func newBinding(g access.Grant, id access.EntitlementID) (Binding, error) {
	if _, err := access.ParseRequestID(g.RequestID); err != nil {
		return Binding{}, err
	}
	if p, err := access.ParsePrincipal(string(g.Principal)); err != nil || p != g.Principal {
		return Binding{}, fmt.Errorf("the principal of a grant is %.40q", string(g.Principal))
	}
	if !g.Window.Start.Before(g.Window.End) {
		return Binding{}, errors.New("the window of a grant is empty")
	}
	if basic(string(id.Role)) {
		return Binding{}, &access.Error{Kind: access.Unprocessable, Code: access.CodeBasicRoleRefused,
			Args: access.Args{"role": string(id.Role)}}
	}
	expression, err := condition.Activation(g.Window, id.Condition)
	if err != nil {
		return Binding{}, err
	}
	text, err := Describe(g, MaxDescription)
	if err != nil {
		return Binding{}, &access.Error{Kind: access.Unprocessable, Code: access.CodeApproversTooLong,
			Args: access.Args{"count": strconv.Itoa(len(g.Approvers)), "max": strconv.Itoa(MaxDescription)}, Err: err}
	}
	b := Binding{Role: string(id.Role), Members: []string{"user:" + string(g.Principal)},
		Condition: &Condition{Title: Title, Description: text, Expression: expression}}
	o, err := recognise(b)
	if err != nil || o == nil || !o.says(g, id) {
		return Binding{}, errors.Join(errors.New("the binding would not say what was approved"), err)
	}
	return b, nil
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
// A grant to which neither a link nor a form refers is taken out. Any other keeps its
// start and ends at the later of its start and e.At, so that what made it finds it and
// cannot revive it. Where several people share a binding, only this one is touched.
// Bindings of ours for the same role that are over are cleared.
func (p *Policy) End(e access.Ending, id access.EntitlementID, now time.Time) (*Policy, access.Outcome) {
	mine := is(e.Principal)
	ofGrant := func(b Binding) bool {
		o := b.meaning.own
		if o == nil || !o.grants(id) || !slices.ContainsFunc(b.Members, mine) {
			return false
		}
		carried, _ := o.idOf(e.Principal)
		return carried == e.RequestID
	}
	outcome := access.Outcome{Entitlement: id, Result: access.Removed}
	if i := slices.IndexFunc(p.bindings, ofGrant); i >= 0 { // it may be over, and is cleared then
		outcome.Window = p.bindings[i].meaning.own.effective()
	}
	cleared := p.clear(id.Role, access.LinkLife, now)
	next := &Policy{etag: p.etag, fields: p.fields}
	ended := false
	for i, b := range cleared.bindings {
		o := b.meaning.own
		if !ofGrant(b) {
			next.append(cleared.raw[i], b)
			continue
		}
		w := o.window.Before(e.At.UTC().Truncate(time.Second))
		outcome.Window = w.Before(o.until)
		if w == o.window {
			next.append(cleared.raw[i], b)
			continue
		}
		ended = true
		if others := only(cleared.raw[i], b, not(mine)); others.raw != nil {
			next.append(others.raw, others.binding)
		}
		if o.nameless() {
			continue
		}
		tombstone, err := only(cleared.raw[i], b, mine).until(w, o.resource)
		if err != nil {
			return p, access.Outcome{Entitlement: id, Result: access.Refused, Err: access.AsError(err)}
		}
		next.append(tombstone.raw, tombstone.binding)
	}
	if !ended {
		return p, outcome
	}
	return next.latest(e.Principal, id, now), outcome
}

// latest takes out the self-approved grants of a person for an entitlement that are over,
// but for the one that ended last: no form that was opened before its end can be sent.
func (p *Policy) latest(m access.Principal, id access.EntitlementID, now time.Time) *Policy {
	var last time.Time
	each := func(o *own, text string) bool {
		found := is(m)(text) && o.self && o.over(now) && o.grants(id)
		if found && o.window.End.After(last) {
			last = o.window.End
		}
		return found
	}
	for _, b := range p.bindings {
		for _, text := range b.Members {
			_ = b.meaning.own != nil && each(b.meaning.own, text)
		}
	}
	return p.takeOut(func(o *own, text string) bool { return each(o, text) && o.window.End.Before(last) })
}

// clear takes out the bindings of ours for a role that have served their purpose, where
// a link is good for life; of people whose account was deleted too.
func (p *Policy) clear(role access.Role, life time.Duration, now time.Time) *Policy {
	return p.takeOut(func(o *own, text string) bool {
		_, person := member(text)
		_, deleted := deletedMember(text)
		return (person || deleted) && o.role == role && o.clearable(life, now)
	})
}

// takeOut returns the policy without the members of bindings of ours for which out is
// true, and without the bindings that this leaves empty. It returns p itself when there
// are none. Other members of such bindings stay.
func (p *Policy) takeOut(out func(o *own, text string) bool) *Policy {
	next := &Policy{etag: p.etag, fields: p.fields}
	for i, b := range p.bindings {
		own := b.meaning.own
		gone := func(text string) bool { return out(own, text) }
		if own == nil || !slices.ContainsFunc(b.Members, gone) {
			next.append(p.raw[i], b)
			continue
		}
		if rest := only(p.raw[i], b, not(gone)); rest.raw != nil {
			next.append(rest.raw, rest.binding)
		}
	}
	if len(next.raw) == len(p.raw) && members(next.bindings) == members(p.bindings) {
		return p
	}
	return next
}

// is makes a test for a person among the members of a binding.
func is(p access.Principal) func(text string) bool {
	return func(text string) bool { m, ok := member(text); return ok && m == p }
}

func not(test func(text string) bool) func(text string) bool {
	return func(text string) bool { return !test(text) }
}
