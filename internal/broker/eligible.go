package broker

import (
	"context"
	"maps"
	"slices"

	"jitaccess/internal/access"
)

// Eligible is what people may request on a resource.
type Eligible struct {
	// People are who was asked about, sorted; of everybody, those whom an eligibility
	// names.
	People []EligiblePerson
	// Ineffective is what makes nobody eligible.
	Ineffective []access.Ineffective
	Warnings    []*access.Error
}

// EligiblePerson is what one of them may request; it may be nothing.
type EligiblePerson struct {
	Person access.Principal
	// Roles are sorted by id, and not described.
	Roles []OfferedRole
}

// Eligible returns what a person may request on a resource, or everybody if person is
// empty. It tells of others, so that only the service itself may ask, for whoever
// operates it.
func (b *Broker) Eligible(ctx context.Context, caller access.Caller, on access.Resource, person access.Principal) (Eligible, error) {
	if caller.Method != access.MethodSystem {
		return Eligible{}, &access.Error{Kind: access.NotAllowed, Code: access.CodeNotAdmin}
	}
	q := access.StandingQuery{Resource: on, Everybody: person == ""}
	if person != "" {
		q.Principals = []access.Principal{person}
	}
	standing, err := b.standing(ctx, caller, q)
	if err != nil {
		return Eligible{}, err
	}
	found := Eligible{Ineffective: standing.Ineffective, Warnings: standing.Warnings}
	for _, p := range slices.Sorted(maps.Keys(standing.Holdings)) {
		roles, refused := b.offered(standing, p)
		found.People = append(found.People, EligiblePerson{p, roles})
		found.Warnings = withNew(found.Warnings, refused)
	}
	return found, nil
}

// offered is what p may request, by what the provider says, and why some of it is not
// offered: its terms refuse it.
func (b *Broker) offered(standing access.Standing, p access.Principal) (roles []OfferedRole, refused []*access.Error) {
	for _, e := range standing.Holdings[p] {
		if !e.MayRequest() {
			continue
		}
		terms, err := b.terms(p, e.Kind(), e.ID)
		if err != nil {
			refused = append(refused, access.AsError(err))
			continue
		}
		roles = append(roles, OfferedRole{
			Entitlement: e,
			Terms:       terms,
			Activation:  current(standing.Activations, p, e.ID, b.c.Now()),
			Upcoming:    upcoming(standing.Activations, p, e.ID, b.c.Now()),
		})
	}
	return roles, refused
}
