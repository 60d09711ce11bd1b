package pomerium

import (
	"context"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// Requests of which something stands, or may stand; and those of which it should not stand
// any more, of which the newest are enough.
var (
	standing = []access.State{access.Approved, access.Scheduled, access.Active, access.Failed}
	taken    = []access.State{access.Ended}
)

// maxTaken is how many requests that were ended early are looked through, and maxStanding how
// many of the others: a rule whose request is none of them has nobody's.
const (
	maxTaken    = 200
	maxStanding = 20000
)

// remembered are the requests of a resource of which a rule may be.
func (p *Provider) remembered(ctx context.Context, on access.Resource) ([]access.Request, error) {
	now := p.c.Now()
	var all []access.Request
	for _, l := range []struct {
		states []access.State
		most   int
	}{{standing, maxStanding}, {taken, maxTaken}} {
		seen := 0
		listing := access.Listing{View: "pomerium", Resource: on, States: l.states}
		for {
			page, err := p.c.List(ctx, listing)
			if err != nil {
				return all, err
			}
			for _, r := range page.Requests {
				if r.Resource == on && now.Before(r.Window.End) {
					all = append(all, r)
				}
			}
			seen += access.MaxPage
			if listing.After = page.Next; page.Next == "" || seen >= l.most {
				break
			}
		}
	}
	return all, nil
}

// gives is whether a rule is the grant of somebody for a window: until the same time, and from
// the same one where the rule says it. One that does not is no grant of what is to begin:
// whoever has access now has it by something else.
func (o own) gives(who access.Principal, w access.Window, now time.Time) bool {
	if o.waits() || who != o.principal || w.End.Unix() != o.before.Unix() {
		return false
	}
	return !o.after.IsZero() && w.Start.Unix() == o.after.Unix() || o.after.IsZero() && !w.Start.After(now)
}

// over is whether a request is to give no access any more.
func over(r access.Request) bool { return r.State == access.Ended || r.State == access.Failed }

// holders are the requests whose grant a rule is: those that give access, and only where there
// are none those that should not. A rule without a beginning is not that of a request for
// which one with it stands.
func holders(d *document, o own, remembered []access.Request, now time.Time) []access.Request {
	var live, other []access.Request
	for _, r := range remembered {
		exact := own{principal: r.Principal, after: r.Window.Start, before: r.Window.End}
		if !o.gives(r.Principal, r.Window, now) || o.after.IsZero() && d.has(exact) {
			continue
		}
		if over(r) {
			other = append(other, r)
		} else {
			live = append(live, r)
		}
	}
	if len(live) > 0 {
		return live
	}
	return other
}

// activations are the grants that stand in a policy, which may be nil. What nobody here has
// made, such as what the example granted, has an id that is made of what it says.
func (p *Provider) activations(on access.Resource, d *document, remembered []access.Request) []access.Activation {
	if d == nil {
		return nil
	}
	var all []access.Activation
	for _, r := range d.rules {
		if r.own == nil || r.own.waits() {
			continue
		}
		requests := holders(d, *r.own, remembered, p.c.Now())
		for _, request := range requests {
			for _, id := range request.Entitlements {
				all = append(all, access.Activation{RequestID: request.ID, Principal: request.Principal, Entitlement: id, Window: request.Window,
					Justification: request.Justification, Approvers: request.ApprovedBy(), BreakGlass: request.Kind == access.BreakGlass})
			}
		}
		if len(requests) == 0 {
			all = append(all, access.Activation{RequestID: idOf(on, *r.own), Derived: true, Principal: r.own.principal,
				Entitlement: p.entitlementOf(on), Window: p.windowOf(d, *r.own)})
		}
	}
	return all
}

// idOf is the id of a rule that is nobody's request.
func idOf(on access.Resource, o own) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{"jitaccess pomerium rule", string(on), string(o.principal),
		strconv.FormatInt(o.after.Unix(), 10), strconv.FormatInt(o.before.Unix(), 10)}, "\n")))
	return access.RequestIDOf(access.Peers, [12]byte(sum[:12]))
}

// entitlementOf is what a rule that is nobody's request gives: the first that there is to have.
func (p *Provider) entitlementOf(on access.Resource) access.EntitlementID {
	if all := p.of(on); len(all) > 0 {
		return all[0].ID
	}
	return access.EntitlementID{Resource: on, Role: RoleAccess}
}

// windowOf is when a rule lets somebody in. Where it does not say from when on it is what the
// example grants: an hour; and for what is longer than that, since the policy is there.
func (p *Provider) windowOf(d *document, o own) access.Window {
	w := access.Window{Start: o.after.Truncate(time.Second), End: o.before.Truncate(time.Second)}
	if o.after.IsZero() {
		w.Start = w.End.Add(-ExampleLength)
		if w.Start.After(p.c.Now()) && !d.created.IsZero() && d.created.Before(w.Start) {
			w.Start = d.created
		}
	}
	return w
}

// waitLength is for how long a request is open that was taken over from the example, where
// none ends.
const waitLength = 7 * 24 * time.Hour

// Waiting are what Pomerium's JIT example left to be decided, as requests: each asks for as
// long as the example gives, and has the same id whenever it is read. They stand in the
// policies until their person is granted something there.
func (p *Provider) Waiting(ctx context.Context) ([]access.Request, []*access.Error) {
	var all []access.Request
	var warnings []*access.Error
	var seen []access.Resource
	now := p.c.Now().UTC().Truncate(time.Second)
	after := now
	if purpose, _ := access.PurposeOf(ctx); purpose == access.ForPage {
		after = time.Time{} // anybody who opens an id that is none comes here
	}
	for _, e := range p.entitlements() {
		on := e.ID.Resource
		if slices.Contains(seen, on) {
			continue
		}
		seen = append(seen, on)
		d, err := p.policies.Get(ctx, on.Name(), after)
		if err != nil {
			warnings = append(warnings, failure(err, on, false))
			continue
		}
		if d == nil {
			continue
		}
		for _, r := range d.rules {
			if r.own == nil || !r.own.waits() {
				continue
			}
			all = append(all, access.Request{ID: idOf(on, *r.own), Kind: access.Peers, Principal: r.own.principal, Resource: on,
				Entitlements: []access.EntitlementID{p.entitlementOf(on)}, Justification: "asked for in Pomerium's JIT example, which takes no reason",
				Duration: ExampleLength, Created: now, Expires: now.Add(waitLength), State: access.Pending})
		}
	}
	return all, warnings
}
