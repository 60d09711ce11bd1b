package assetinventory

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/gcp/standing"
	"jitaccess/internal/lookup"
)

// service is the name of the API, for people.
const service = "Cloud Asset Inventory"

// Look asks, all at once, for the inventory and for the groups of the principals.
func (k *Catalog) Look(ctx context.Context, q access.StandingQuery) (standing.Found, error) {
	var groups map[access.Principal][]string
	var unknown []*access.Error
	var people sync.WaitGroup
	people.Go(func() { groups, unknown = eachOf(ctx, k.c.Directory.Groups, q.Principals, q.Since, theFailure) })
	found, stale, err := standing.Recall(ctx, k.inventories, string(q.Resource), q, service, k.c.Now)
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
		Whole:  true,
		Groups: groups,
		Members: func(ctx context.Context, groups []string) (map[string]directory.Members, []*access.Error) {
			return eachOf(ctx, k.c.Directory.Members, groups, q.Since, standing.Unreadable)
		},
		Warnings: unknown,
	}, nil
}

// Known is what Asset Inventory last said of the folders and organization above.
func (k *Catalog) Known(q access.StandingQuery) []standing.Node {
	last, _, _ := k.inventories.Last(string(q.Resource), lookup.MaxAge)
	return last.above
}

// theFailure is the warning of whose groups cannot be found; what they hold still stands.
func theFailure(_ access.Principal, failure *access.Error) *access.Error { return failure }

// eachOf looks every key up, some at a time. What fails, or is not of now, is a warning.
func eachOf[K ~string, V any](ctx context.Context,
	get func(context.Context, K, time.Time) (V, *access.Error, error), keys []K, since time.Time,
	warn func(K, *access.Error) *access.Error) (map[K]V, []*access.Error) {
	var mu sync.Mutex
	found := make(map[K]V, len(keys))
	var warnings []*access.Error
	var g errgroup.Group
	g.SetLimit(parallel)
	for _, key := range keys {
		g.Go(func() error {
			value, stale, err := get(ctx, key, since)
			mu.Lock()
			defer mu.Unlock()
			found[key] = value
			if err != nil {
				warnings = append(warnings, warn(key, gcp.Failure(err, gcp.Call{Service: "Directory API"})))
			}
			if stale != nil {
				warnings = append(warnings, stale)
			}
			return nil
		})
	}
	g.Wait()
	return found, warnings
}

// inventory is what Asset Inventory says of one resource.
type inventory struct {
	// own is its copy of the resource's own policy; nil when there is none.
	own *iampolicy.Policy
	// above are the folders and the organization, nearest first, within the scope.
	above []standing.Node
}

// effective is what Asset Inventory answers to batchGet, the policies that apply to each of the
// resources, from it upwards
// (https://cloud.google.com/asset-inventory/docs/reference/rest/v1/effectiveIamPolicies/batchGet).
type effective struct {
	PolicyResults []*struct {
		Policies []struct {
			AttachedResource string  `json:"attachedResource"`
			Policy           *policy `json:"policy"`
		} `json:"policies"`
	} `json:"policyResults"`
}

// batchGet asks Asset Inventory for the policies that apply to a resource. Google
// allows 100 such calls a minute for the whole service.
func (k *Catalog) batchGet(ctx context.Context, resource string) (inventory, error) {
	answer, err := gcp.Ask[effective](ctx, k.assets, "/v1/"+string(k.c.Scope)+"/effectiveIamPolicies:batchGet",
		url.Values{"names": {access.Resource(resource).FullName()}}, nil)
	if err != nil {
		failure := gcp.Failure(err, gcp.Call{Service: service, Permission: "cloudasset.assets.analyzeIamPolicy",
			Resource: string(k.c.Scope), Account: k.c.Platform.ServiceAccount})
		if failure.Code == access.CodeUnknownResource {
			failure.Args = access.Args{"resource": resource}
		}
		return inventory{}, failure
	}
	if len(answer.PolicyResults) == 0 || answer.PolicyResults[0] == nil {
		return inventory{}, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Args: access.Args{"resource": resource},
			Err: errors.New("no entry in Cloud Asset Inventory within the scope")}
	}
	var found inventory
	for _, info := range answer.PolicyResults[0].Policies {
		if info.Policy == nil {
			continue
		}
		// Projects do not nest, so a project's policy is the project's own, whether
		// Google names it by id or by number. Folders do, and have one name.
		node, err := resourcename.Parse(strings.TrimPrefix(info.AttachedResource, access.FullNamePrefix))
		if err == nil && (node.Kind() == "projects" || node == access.Resource(resource)) {
			found.own = k.policies.of(node, info.Policy.Bindings)
		} else if err == nil {
			found.above = append(found.above, standing.Node{Resource: node, Policy: k.policies.of(node, info.Policy.Bindings)})
		}
	}
	if k.policies.full() {
		k.inventories.Clear()
	}
	return found, nil
}
