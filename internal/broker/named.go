package broker

import (
	"context"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// searchTime is how long the searches for what policies say of a person may take: pages that
// show it are of use without.
const searchTime = 4 * time.Second

// Named is what the policies of the providers that can be searched say of the caller by name:
// of grants those that give access now or are to, the first to end first. searched is whether
// there is such a provider; what could not be searched is a warning.
func (b *Broker) Named(ctx context.Context, caller access.Caller) (found access.Named, searched bool, warnings []*access.Error) {
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	for _, r := range b.c.Providers {
		provider, can := r.Provider.(Searching)
		if !can {
			continue
		}
		searched = true
		named, err := provider.Named(ctx, caller.Principal)
		if err != nil {
			warnings = append(warnings, access.AsError(err))
			continue
		}
		found.Part = found.Part || named.Part
		found.Eligible = append(found.Eligible, named.Eligible...)
		for _, a := range named.Activations {
			if a.Principal == caller.Principal && a.Window.Length() > 0 && b.c.Now().Before(a.Window.End) {
				found.Activations = append(found.Activations, a)
			}
		}
	}
	slices.SortStableFunc(found.Activations, func(a, b access.Activation) int { return a.Window.End.Compare(b.Window.End) })
	return found, searched, warnings
}
