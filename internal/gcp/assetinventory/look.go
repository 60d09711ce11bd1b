package assetinventory

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/standing"
	"jitaccess/internal/lookup"
)

// Look asks, all at once, for the inventory and for the groups of the principals.
func (k *Catalog) Look(ctx context.Context, q access.StandingQuery) (standing.Found, error) {
	after := standing.After(q, k.c.Now())
	var groups map[access.Principal][]string
	var unknown []*access.Error
	var people sync.WaitGroup
	people.Go(func() { groups, unknown = eachOf(ctx, k.groups, q.Principals, after, directoryFailure) })
	found, stale, err := standing.Recall(ctx, k.inventories, string(q.Resource), q, "Cloud Asset Inventory", k.c.Now)
	if err != nil {
		return standing.Found{}, err
	}
	people.Wait()
	if stale != nil {
		unknown = append(unknown, stale)
	}
	return standing.Found{
		Own:    found.own,
		Above:  slices.Clone(found.above),
		Groups: groups,
		Members: func(ctx context.Context, groups []string) (map[string]directory.Members, []*access.Error) {
			return eachOf(ctx, k.members, groups, after, func(group string, err error) *access.Error {
				return standing.Unreadable(group, gcp.Failure(err, gcp.Call{Service: "Directory API"}))
			})
		},
		Warnings: unknown,
	}, nil
}

// directoryFailure is the warning of somebody whose groups cannot be found; what
// they hold in person still stands.
func directoryFailure(_ access.Principal, err error) *access.Error {
	return gcp.Failure(err, gcp.Call{Service: "Directory API"})
}

// eachOf looks every key up, some at a time. What fails is a warning.
func eachOf[K ~string, V any](ctx context.Context, c *lookup.Cache[V], keys []K, after time.Time, warn func(K, error) *access.Error) (map[K]V, []*access.Error) {
	var mu sync.Mutex
	found := make(map[K]V, len(keys))
	var warnings []*access.Error
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, key := range keys {
		g.Go(func() error {
			value, err := c.Get(ctx, string(key), after)
			mu.Lock()
			defer mu.Unlock()
			found[key] = value
			if err != nil {
				warnings = append(warnings, warn(key, err))
			}
			return nil
		})
	}
	g.Wait()
	return found, warnings
}
