package iampolicy

import (
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
	"jitaccess/internal/gcp/condition"
)

// Title marks our bindings. It is not enough: operators give eligible bindings
// that title too.
const Title = "JIT access activation"

// own is what a binding of ours says.
type own struct {
	role   access.Role
	window access.Window
	// until is when the resource condition ends it; zero is never.
	until      time.Time
	resource   string // canonical resource condition, or empty
	expression string
	description
}

// recognise returns nil for a binding that is not ours, and an error for one that
// seems to be ours and cannot be understood.
func recognise(b Binding) (*own, error) {
	if b.Condition == nil || b.Condition.Title != Title {
		return nil, nil
	}
	window, resource, ok, err := condition.ParseActivation(b.Condition.Expression)
	if !ok || err != nil {
		return nil, err
	}
	if e, err := condition.ParseEligibility(b.Condition.Expression); err != nil || e.Kind != eligibility.None {
		return nil, err // an eligibility that itself is limited in time
	}
	role, err := access.ParseRole(b.Role)
	if err != nil {
		return nil, err
	}
	limits, _ := condition.Limits(resource)
	return &own{role, window, limits.End, resource, b.Condition.Expression, parseDescription(b.Condition.Description)}, nil
}

// effective is when the grant gives access.
func (o *own) effective() access.Window { return o.window.Before(o.until) }

// member reads a member of a binding. Groups, service accounts and people whose
// account was deleted are not ours to grant to or to end.
func member(text string) (access.Principal, bool) {
	address, ok := strings.CutPrefix(text, "user:")
	if !ok {
		return "", false
	}
	p, err := access.ParsePrincipal(address)
	return p, err == nil
}

// deletedMember reads a member that stands for a deleted account, whose address may have
// been given to another since (https://cloud.google.com/iam/docs/principal-identifiers).
func deletedMember(text string) (access.Principal, bool) {
	text, ok := strings.CutPrefix(text, "deleted:")
	address, _, _ := strings.Cut(text, "?uid=")
	p, isPerson := member(address)
	return p, ok && isPerson
}

// idOf is the request id of the member's grant. One of JIT Access 1.x has none; it
// gets one that is derived from all that identifies it, in the form of an id.
func (o *own) idOf(p access.Principal) (id string, derived bool) {
	if o.id != "" {
		return o.id, false
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{"binding without id", string(p), string(o.role), o.expression}, "\x00")))
	kind := access.Self
	switch {
	case o.glass:
		kind = access.BreakGlass
	case len(o.approvers) > 0:
		kind = access.Peers
	}
	return access.RequestIDOf(kind, [12]byte(sum[:12])), true
}

// grants is whether the binding is for exactly this entitlement.
func (o *own) grants(id access.EntitlementID) bool {
	return o.role == id.Role && (o.resource == id.Condition || condition.Equal(o.resource, id.Condition))
}

// says is whether the binding says what the grant says of one of its entitlements.
func (o *own) says(g access.Grant, id access.EntitlementID) bool {
	return o.id == g.RequestID && o.glass == g.BreakGlass && o.self == (len(g.Approvers) == 0 && !g.BreakGlass) &&
		slices.Equal(o.approvers, g.Approvers) && o.grants(id) &&
		o.window.Start.Equal(g.Window.Start.Truncate(time.Second)) && o.window.End.Equal(g.Window.End.Truncate(time.Second))
}

// disposable is whether no link refers to the grant, so that it needs no record in
// the policy once it is over. One without id is known by its start (access.Standing.OfRequest).
func (o *own) disposable() bool { return o.self || o.id == "" && len(o.approvers) == 0 }

// nameless is whether neither a link nor a form refers to the grant.
func (o *own) nameless() bool { return o.id == "" && len(o.approvers) == 0 }

// over is whether the grant gives nothing any more. IAM takes the end as exclusive.
func (o *own) over(now time.Time) bool { return !o.window.End.After(now) }

// kept is until when the binding is needed, where a link is good for life after it was
// approved: it is over then, and neither a link nor a form that was opened before its end
// can revive the grant for want of its trace.
func (o *own) kept(life time.Duration) time.Time {
	until := o.window.Start.Add(life + access.LinkSkew)
	form := o.window.End.Add(access.FormLife + access.LinkSkew)
	if o.self || o.glass && until.Before(form) { // a ledger may have to learn of a broken glass yet
		until = form
	}
	if o.nameless() || until.Before(o.window.End) {
		return o.window.End
	}
	return until
}

// clearable is whether the binding has served its purpose.
func (o *own) clearable(life time.Duration, now time.Time) bool {
	return o.over(now) && (o.nameless() || now.After(o.kept(life)))
}

// covered is whether what is left of the window lies within w.
func (o *own) covered(w access.Window, now time.Time) bool {
	start := o.window.Start
	if now = now.UTC().Truncate(time.Second); start.Before(now) {
		start = now
	}
	return !start.Before(w.Start) && !o.window.End.After(w.End)
}

// Activations are all grants of ours, ended ones too, in order, one for each
// person. A binding that has our title and cannot be understood is a warning.
func (p *Policy) Activations(r access.Resource) ([]access.Activation, []*access.Error) {
	var found []access.Activation
	var warnings []*access.Error
	for _, b := range p.bindings {
		if err := b.meaning.ownErr; err != nil {
			warnings = append(warnings, &access.Error{Kind: access.Unprocessable, Code: access.CodeUnreadableBinding, Err: err,
				Args: access.Args{"role": b.Role, "resource": string(r)}})
		}
		own := b.meaning.own
		if own == nil {
			continue
		}
		for _, m := range b.Members {
			principal, ok := member(m)
			if !ok {
				continue
			}
			id, derived := own.idOf(principal)
			found = append(found, access.Activation{RequestID: id, Derived: derived, Principal: principal,
				Entitlement: access.EntitlementID{Resource: r, Role: own.role, Condition: own.resource}, Window: own.effective(), Until: own.until,
				Justification: own.justification, Approvers: own.approvers, BreakGlass: own.glass})
		}
	}
	return found, warnings
}
