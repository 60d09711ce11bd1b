package application

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
)

// ProviderName is the provider in words.
const ProviderName = "applications"

// Kinds are the kinds of resources: an application, by its name.
var Kinds = []access.ResourceKind{{Segment: "apps", Name: namePattern, Word: "application"}}

// rolePrefix begins the role that a template is.
const rolePrefix = "roles/"

// EntitlementID is what a template of an application gives.
func EntitlementID(application, template string) access.EntitlementID {
	return access.EntitlementID{Resource: access.Resource("apps/" + application), Role: access.Role(rolePrefix + template)}
}

// Provider is applications as a provider of package broker. What it gives is a window in the
// ledger, from which the application gets a token: nothing is written anywhere else, so that
// only what is remembered stands.
type Provider struct {
	registry Registry
	now      func() time.Time
}

// NewProvider makes a Provider.
func NewProvider(registry Registry, now func() time.Time) *Provider { return &Provider{registry, now} }

// named is the application of a name; nil where there is none. That it is damaged is an error.
func (p *Provider) named(ctx context.Context, name string) (*Application, error) {
	all, err := p.registry.Applications(ctx)
	if err != nil {
		return nil, unknown(err)
	}
	for i := range all {
		if all[i].Name == name {
			if all[i].Damaged != nil {
				return nil, all[i].Damaged
			}
			return &all[i], nil
		}
	}
	return nil, nil
}

// unknown is the error while it is not known which applications there are.
func unknown(err error) *access.Error {
	if e := access.AsError(err); e.Kind != access.Internal {
		return e
	}
	return &access.Error{Kind: access.Unavailable, Code: access.CodeApplicationsUnknown, Err: err}
}

// Resources are none: nobody asks for any of them by hand.
func (p *Provider) Resources(context.Context, access.Principal) ([]access.ResourceInfo, []*access.Error, error) {
	return nil, nil, nil
}

// Canonical is the id as it came: there are no conditions here.
func (p *Provider) Canonical(id access.EntitlementID) (access.EntitlementID, error) {
	if id.Condition != "" || !strings.HasPrefix(string(id.Role), rolePrefix) {
		return id, errors.New("what an application asks for is apps/NAME:roles/TEMPLATE")
	}
	return id, nil
}

// Standing lets everybody who is asked about have what active templates of an active
// application give: whom it asks for is the application's to say. Nobody is a peer.
func (p *Provider) Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	s := access.Standing{Resource: q.Resource, Holdings: map[access.Principal][]access.Entitlement{},
		Reviewers: map[access.EntitlementID][]access.Principal{}, AboveKnown: true, Remembered: true}
	for _, id := range q.ReviewersOf {
		s.Reviewers[id] = nil
	}
	if len(q.Principals) == 0 {
		return s, nil
	}
	a, err := p.named(ctx, q.Resource.Name())
	if err != nil {
		return access.Standing{}, err
	}
	var held []access.Entitlement
	if a != nil && a.Active {
		for _, t := range a.Templates {
			if id := EntitlementID(a.Name, t.Key); t.Active && (len(q.Of) == 0 || slices.Contains(q.Of, id)) {
				held = append(held, access.Entitlement{ID: id, PeerApproval: true, Sources: []access.Resource{q.Resource}})
			}
		}
	}
	slices.SortFunc(held, func(a, b access.Entitlement) int { return access.CompareEntitlementIDs(a.ID, b.ID) })
	for _, who := range q.Principals {
		s.Holdings[who] = held
	}
	return s, nil
}

// Terms are what a template demands. Those of a template that there is none of, or that is not
// active, are of kind NotAllowed.
func (p *Provider) Terms(ctx context.Context, id access.EntitlementID) (access.Terms, error) {
	a, err := p.named(ctx, id.Resource.Name())
	if err != nil {
		return access.Terms{}, err
	}
	key := strings.TrimPrefix(string(id.Role), rolePrefix)
	if a != nil && a.Active {
		if t := a.template(key); t != nil && t.Active {
			return t.Terms(), nil
		}
	}
	return access.Terms{}, &access.Error{Kind: access.NotAllowed, Code: access.CodeTemplateLost,
		Args: access.Args{"application": id.Resource.Name(), "template": key}}
}

// ApproverGroups are the groups that templates name for approving, also those that are not
// active: what was asked by them is shown, and why it cannot be approved.
func (p *Provider) ApproverGroups(ctx context.Context) ([]string, error) {
	all, err := p.registry.Applications(ctx)
	if err != nil {
		return nil, unknown(err)
	}
	var groups []string
	for _, a := range all {
		for _, t := range a.Templates {
			for _, spelled := range t.Approvers {
				if group, ok := strings.CutPrefix(spelled, access.GroupPrefix); ok && !slices.Contains(groups, group) {
					groups = append(groups, group)
				}
			}
		}
	}
	return groups, nil
}

// Terms are what the template demands.
func (t Template) Terms() access.Terms {
	return access.Terms{
		Requirements: []access.Requirement{{Count: t.Approvals, From: t.Approvers}}, Signature: t.Sign,
		MaxReviewers: len(t.Approvers), MaxDuration: t.MaxDuration, DefaultDuration: min(t.DefaultDuration, t.MaxDuration),
		RequestLife: t.RequestLife, MaxRoles: 1,
	}
}

// Role describes a template. What a token of an application lets somebody do there is nobody's
// business here; it changes no permissions of ours.
func (p *Provider) Role(ctx context.Context, on access.Resource, role access.Role) access.RoleInfo {
	info := access.RoleInfo{Role: role, ChangesPermissions: access.No}
	if a, _ := p.named(ctx, on.Name()); a != nil {
		if t := a.template(strings.TrimPrefix(string(role), rolePrefix)); t != nil {
			info.Title = t.Name
		}
	}
	return info
}

// Preview is the token that the application can collect.
func (p *Provider) Preview(g access.Grant) ([]access.Effect, error) {
	return access.Each(g.Entitlements, func(id access.EntitlementID) access.Effect {
		return access.Effect{Title: string(id.Role), Text: fmt.Sprintf("an access token for %s\nscope: %s\nfrom: %s\nuntil: %s",
			g.Resource.Name(), strings.TrimPrefix(string(id.Role), rolePrefix), g.Window.Start.UTC().Format(time.RFC3339),
			g.Window.End.UTC().Format(time.RFC3339))}
	}), nil
}

// Grant writes nothing: that it is recorded is the grant.
func (p *Provider) Grant(ctx context.Context, g access.Grant, q access.StandingQuery, check func(access.Standing) error) (
	[]access.Outcome, error) {
	if !p.now().Before(g.Window.End) {
		return nil, &access.Error{Kind: access.Gone, Code: access.CodeWindowOver}
	}
	s, err := p.Standing(ctx, q)
	if err == nil {
		err = check(s)
	}
	if err != nil {
		return nil, err
	}
	return access.Each(g.Entitlements, func(id access.EntitlementID) access.Outcome {
		return access.Outcome{Entitlement: id, Result: access.Granted, Window: g.Window}
	}), nil
}

// End takes nothing back: that it is recorded is the end.
func (p *Provider) End(_ context.Context, e access.Ending) ([]access.Outcome, error) {
	return access.Each(e.Stands, func(a access.Activation) access.Outcome {
		return access.Outcome{Entitlement: a.Entitlement, Result: access.Removed, Window: a.Window.Before(e.At)}
	}), nil
}

// CheckName is nil for what an application can be called.
func CheckName(name string) error {
	if !namePattern().MatchString(name) {
		return errors.New("a name has lower-case letters, digits and hyphens between them, at most 40")
	}
	return nil
}

// namePattern is what applications are called: also a label of a host.
var namePattern = lazyregexp.New(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
