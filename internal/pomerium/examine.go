package pomerium

import (
	"context"
	"encoding/json"
	"slices"

	"jitaccess/internal/access"
)

// Examined is what an operator is to know of a policy that access is given through.
type Examined struct {
	Name string
	// Count is how many policies of the cluster may be meant by it, and Routes the names of the
	// routes to which they are attached.
	Count  int
	Routes []string
	// Unread is that its text is none that can be written.
	Unread bool
}

// Examine looks at the policies of the entitlements, and at the changes that wait to be
// applied. The error is an *access.Error.
func (p *Provider) Examine(ctx context.Context) (policies []Examined, waiting []string, err error) {
	var seen []access.Resource
	for _, e := range p.entitlements() {
		on := e.ID.Resource
		if slices.Contains(seen, on) {
			continue
		}
		seen = append(seen, on)
		all, err := p.called(ctx, on.Name())
		if err != nil {
			return nil, nil, failure(err, on, false)
		}
		examined := Examined{Name: on.Name(), Count: len(all)}
		for _, d := range all {
			_, form := parseRules(d.fields["ppl"])
			examined.Unread = examined.Unread || form != nil
			examined.Routes = append(examined.Routes, routes(d)...)
		}
		policies = append(policies, examined)
	}
	pending, err := p.client.pending(ctx)
	if err != nil {
		return policies, nil, failure(err, seen[0], false)
	}
	for _, c := range pending {
		waiting = append(waiting, c.ID)
	}
	return policies, waiting, nil
}

// routes are the names of the routes to which a policy is attached, or which it is enforced on.
func routes(d *document) []string {
	var names []string
	for _, field := range []string{"routes", "enforcedRoutes"} {
		var all []struct{ ID, Name string }
		if json.Unmarshal(d.fields[field], &all) != nil {
			continue // it says nothing of them
		}
		for _, r := range all {
			if !slices.Contains(names, r.Name) {
				names = append(names, r.Name)
			}
		}
	}
	return names
}
