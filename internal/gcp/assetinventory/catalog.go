// Package assetinventory knows what may be activated, from Cloud Asset Inventory's
// copy of the policies above a project, the project's own policy as it is now, and
// the groups of the directory.
package assetinventory

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/api/cloudasset/v1"
	"google.golang.org/api/iam/v1"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/eligibility"
	"jitaccess/internal/gcp/iampolicy"
)

// How old shared answers may be, how many are kept, and how long one may take. The
// whole of an action has 25 seconds; group look-ups get less of it, since a page
// without them is better than none.
const (
	pageAge          = 30 * time.Second
	staleAge         = 5 * time.Minute
	inventoryTimeout = 20 * time.Second
	groupTimeout     = 10 * time.Second
	maxInventories   = 200
	maxPeople        = 2000
	maxGroups        = 100
	parallel         = 8
)

// Policies reads the live policies of resources.
type Policies interface {
	GetIamPolicy(ctx context.Context, resource access.Resource) (*iampolicy.Policy, error)
}

// Directory knows groups; see package directory.
type Directory interface {
	Groups(ctx context.Context, p access.Principal) ([]string, error)
	Members(ctx context.Context, group string) ([]access.Principal, error)
}

// Config is what a Catalog is made of. Everything is required unless it says
// otherwise.
type Config struct {
	Platform *gcp.Platform
	// Scope is the organization, folder or project under which policies count.
	Scope     access.Resource
	Policies  Policies
	Directory Directory
	// SearchProjects returns all projects that match a Resource Manager query.
	SearchProjects func(ctx context.Context, query string) ([]access.ResourceInfo, error)
	// ProjectsQuery selects the projects that are offered; empty is state:ACTIVE.
	ProjectsQuery string
	// Now is the clock.
	Now func() time.Time
}

// Catalog knows what may be activated. Make one with New. It is safe for
// concurrent use.
type Catalog struct {
	c      Config
	assets *cloudasset.Service
	iam    *iam.Service
	reader eligibility.Reader

	projects    *shared[[]access.ResourceInfo]
	inventories *shared[inventory]
	groups      *shared[[]string]
	members     *shared[[]access.Principal]
	ancestors   *shared[*iampolicy.Policy]
	roles       *shared[access.RoleInfo]
	quiet       quiet
}

// New makes a Catalog. It makes no call.
func New(ctx context.Context, c Config) (*Catalog, error) {
	assets, err := cloudasset.NewService(ctx, c.Platform.ClientOptions("cloudasset", c.Platform.Client)...)
	if err != nil {
		return nil, &access.Error{Kind: access.Internal, Code: access.CodeInternal, Err: err}
	}
	roles, err := iam.NewService(ctx, c.Platform.ClientOptions("iam", c.Platform.Client)...)
	if err != nil {
		return nil, &access.Error{Kind: access.Internal, Code: access.CodeInternal, Err: err}
	}
	c.ProjectsQuery = cmp.Or(c.ProjectsQuery, "state:ACTIVE")
	k := &Catalog{c: c, assets: assets, iam: roles}
	k.projects = newShared(c.Now, 1, inventoryTimeout, c.SearchProjects)
	k.inventories = newShared(c.Now, maxInventories, inventoryTimeout, k.batchGet)
	k.groups = newShared(c.Now, maxPeople, groupTimeout, func(ctx context.Context, p string) ([]string, error) {
		return c.Directory.Groups(ctx, access.Principal(p))
	})
	k.members = newShared(c.Now, maxGroups, groupTimeout, c.Directory.Members)
	k.ancestors = newShared(c.Now, maxInventories, inventoryTimeout, func(ctx context.Context, r string) (*iampolicy.Policy, error) {
		return c.Policies.GetIamPolicy(ctx, access.Resource(r))
	})
	k.roles = newShared(c.Now, maxRoles, roleTimeout, k.getRole)
	return k, nil
}

// Resources returns the projects that match the operator's query. As in JIT Access
// 1.x they are the same for everybody: what a person may do there is found out when
// they choose one.
func (k *Catalog) Resources(ctx context.Context, _ access.Principal) ([]access.ResourceInfo, error) {
	found, _, err := k.projects.get(ctx, k.c.ProjectsQuery, k.c.Now().Add(-pageAge))
	if err != nil {
		return nil, gcp.Failure(err, gcp.Call{Service: "Resource Manager"})
	}
	found = slices.Clone(found)
	slices.SortFunc(found, func(a, b access.ResourceInfo) int { return cmp.Compare(a.Resource, b.Resource) })
	return found, nil
}

// Standing answers a query from one look at the resource's policies: its own as it
// is now, those above it from the inventory, or as they are now if the query asks
// for an action (Since).
func (k *Catalog) Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	type read struct {
		policy *iampolicy.Policy
		err    error
	}
	if err := onlyProjects(q.Resource); err != nil {
		return access.Standing{}, err
	}
	live := make(chan read, 1)
	go func() {
		policy, err := k.c.Policies.GetIamPolicy(ctx, q.Resource)
		live <- read{policy, err}
	}()
	l, err := k.look(ctx, q)
	own := <-live
	if failure := gcp.Failure(own.err, k.policyCall(q.Resource)); failure != nil &&
		(err == nil || access.AsError(err).Code != access.CodeUnknownResource) {
		// Google answers 403 for the policy of a project that does not exist; that the
		// inventory does not know it either is then the better answer.
		err = failure
	}
	if err != nil {
		return access.Standing{}, err
	}
	if err := l.complete(ctx, own.policy); err != nil {
		return access.Standing{}, err
	}
	return l.standing(own.policy), nil
}

// Prepare makes every look-up that a query needs except that of the resource's own
// policy. The function that it returns makes none; it says what the query's answer
// is if the resource's policy is the given one. A group of reviewers that only
// that policy names, and not the inventory's copy of it, is a warning.
func (k *Catalog) Prepare(ctx context.Context, q access.StandingQuery) (func(*iampolicy.Policy) access.Standing, error) {
	if err := onlyProjects(q.Resource); err != nil {
		return nil, err
	}
	l, err := k.look(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := l.complete(ctx, l.inventory.own); err != nil {
		return nil, err
	}
	return l.standing, nil
}

func (k *Catalog) policyCall(r access.Resource) gcp.Call {
	return gcp.Call{Service: "Resource Manager", Permission: "resourcemanager." + r.Kind() + ".getIamPolicy",
		Resource: string(r), Account: k.c.Platform.ServiceAccount}
}

// onlyProjects refuses what this catalog does not list.
func onlyProjects(r access.Resource) error {
	if _, ok := r.ProjectID(); !ok {
		return &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Args: access.Args{"resource": string(r)},
			Err: errors.New("the catalog AssetInventory knows projects only")}
	}
	return nil
}
