package brokertest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
)

// Rooms is a provider that is nothing like Google Cloud: its roles open doors, for
// everybody in the building who asks a colleague.
type Rooms struct {
	People []access.Principal
	Open   []access.Activation
}

// Lab is what there is, a key of the laboratory; RoomKinds are the kinds of Rooms.
var (
	Lab       = access.EntitlementID{Resource: "rooms/lab", Role: "roles/key"}
	RoomKinds = []access.ResourceKind{{Segment: "rooms", Name: lazyregexp.New(`^[a-z]{1,20}$`), Word: "room"}}
)

// Resources implements broker.Catalog.
func (r *Rooms) Resources(context.Context, access.Principal) ([]access.ResourceInfo, []*access.Error, error) {
	return []access.ResourceInfo{{Resource: Lab.Resource, Title: "Laboratory"}}, nil, nil
}

// Canonical spells conditions in capitals.
func (r *Rooms) Canonical(id access.EntitlementID) (access.EntitlementID, error) {
	id.Condition = strings.ToUpper(id.Condition)
	return id, nil
}

// Standing implements broker.Catalog.
func (r *Rooms) Standing(_ context.Context, q access.StandingQuery) (access.Standing, error) {
	s := access.Standing{Resource: q.Resource, Holdings: map[access.Principal][]access.Entitlement{},
		Reviewers:   map[access.EntitlementID][]access.Principal{},
		Activations: slices.Clone(r.Open)}
	for _, p := range q.Principals {
		if s.Holdings[p] = nil; slices.Contains(r.People, p) {
			s.Holdings[p] = []access.Entitlement{{ID: Lab, PeerApproval: true, MayReview: true}}
		}
	}
	for _, id := range q.ReviewersOf {
		s.Reviewers[id] = r.People
	}
	return s, nil
}

// Role implements broker.Catalog.
func (r *Rooms) Role(context.Context, access.Resource, access.Role) access.RoleInfo {
	return access.RoleInfo{Title: "Key holder", ChangesPermissions: access.No}
}

// Preview implements broker.Granter.
func (r *Rooms) Preview(g access.Grant) ([]access.Effect, error) {
	return []access.Effect{{Title: "door", Text: fmt.Sprintf("%s opens for %s", g.Resource.Name(), g.Principal)}}, nil
}

// Grant implements broker.Granter.
func (r *Rooms) Grant(ctx context.Context, g access.Grant, q access.StandingQuery,
	check func(access.Standing) error) ([]access.Outcome, error) {
	s, _ := r.Standing(ctx, q)
	if err := check(s); err != nil {
		return nil, err
	}
	r.Open = append(r.Open, access.Activation{RequestID: g.RequestID, Principal: g.Principal, Entitlement: g.Entitlements[0], Window: g.Window,
		Approvers: g.Approvers})
	return []access.Outcome{{Entitlement: g.Entitlements[0], Result: access.Granted, Window: g.Window}}, nil
}

// End implements broker.Granter.
func (r *Rooms) End(_ context.Context, e access.Ending) ([]access.Outcome, error) {
	r.Open[0].Window.End = e.At
	return []access.Outcome{{Entitlement: r.Open[0].Entitlement, Result: access.Removed, Window: r.Open[0].Window}}, nil
}
