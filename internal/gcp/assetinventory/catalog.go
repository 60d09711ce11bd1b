// Package assetinventory knows what may be activated, from Cloud Asset Inventory's
// copy of the policies above a project, the project's own policy as it is now, and
// the groups of the directory.
package assetinventory

import (
	"cmp"
	"context"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/roles"
	"jitaccess/internal/gcp/standing"
	"jitaccess/internal/lookup"
)

// How many shared answers are kept, and how long one may take. The whole of an
// action has 25 seconds.
const (
	inventoryTimeout = 20 * time.Second
	maxInventories   = 2000
	parallel         = 8
	searchBytes      = 8 << 20
)

// maxAnswer bounds an answer. Those of an organization with a dozen full policies above a
// project have some 4 MB.
const maxAnswer = 32 << 20

// Directory knows groups; see package directory.
type Directory interface {
	Groups(ctx context.Context, p access.Principal, since time.Time) ([]string, *access.Error, error)
	Members(ctx context.Context, group string, since time.Time) (directory.Members, *access.Error, error)
}

// Config is what a Catalog is made of. Everything is required unless it says
// otherwise.
type Config struct {
	Platform *gcp.Platform
	// Scope is the organization, folder or project under which policies count.
	Scope     access.Resource
	Policies  standing.Policies
	Directory Directory
	// SearchProjects returns all projects that match a Resource Manager query.
	SearchProjects func(ctx context.Context, query string) ([]access.ResourceInfo, error)
	// ProjectsQuery selects the projects that are offered; empty is state:ACTIVE.
	ProjectsQuery string
	// Now is the clock.
	Now func() time.Time
}

// Catalog knows what may be activated. Make one with New. It may be used concurrently.
type Catalog struct {
	standing.Catalog
	*roles.Roles
	c      Config
	assets gcp.API

	projects    *lookup.Cache[[]access.ResourceInfo]
	inventories *lookup.Cache[inventory]
	policies    policies
	searches    *lookup.Cache[access.Named]
}

// New makes a Catalog. It makes no call.
func New(c Config) *Catalog {
	c.ProjectsQuery = cmp.Or(c.ProjectsQuery, "state:ACTIVE")
	k := &Catalog{c: c, assets: c.Platform.API("cloudasset", c.Platform.Client, maxAnswer), Roles: roles.New(c.Platform, c.Now)}
	k.Catalog = standing.New(standing.Config{Source: k, Policies: c.Policies, ServiceAccount: c.Platform.ServiceAccount, Now: c.Now})
	k.projects = lookup.New(c.Now, 1, inventoryTimeout, c.SearchProjects).Within(standing.ProjectsBytes, standing.ListBytes)
	k.inventories = lookup.New(c.Now, maxInventories, inventoryTimeout, k.batchGet)
	k.searches = lookup.New(c.Now, maxInventories, inventoryTimeout, k.search).Within(searchBytes, namedBytes)
	return k
}

// Resources returns the projects that match the operator's query. As in JIT Access
// 1.x they are the same for everybody: what a person may do there is found out when
// they choose one.
func (k *Catalog) Resources(ctx context.Context, _ access.Principal) ([]access.ResourceInfo, []*access.Error, error) {
	return standing.Projects(ctx, k.projects, k.c.ProjectsQuery, k.c.Now)
}
