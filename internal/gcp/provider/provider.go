// Package provider assembles Google Cloud as one provider: what knows who may activate
// what, and what writes grants, each from the APIs that it takes.
package provider

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/assetinventory"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/policyanalyzer"
	"jitaccess/internal/gcp/resourcemanager"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/lookup"
)

// Name is the provider in words.
const Name = "Google Cloud"

// Config is what a Google is made of. Everything is required unless it says otherwise.
type Config struct {
	Platform *gcp.Platform
	// Scope is the project, folder or organization under which policies count; empty is
	// the service's own project.
	Scope string
	// PolicyAnalyzer has Policy Analyzer asked who is eligible, and not Asset Inventory
	// with the directory.
	PolicyAnalyzer bool
	// CustomerID is whose directory is asked for groups; may be empty with
	// PolicyAnalyzer, where only listings of people ask it.
	CustomerID string
	// ProjectsQuery selects the projects that are offered; may be empty.
	ProjectsQuery string
	// ExecutionTimeout is how long an analysis may take; 0 is as long as Google likes.
	ExecutionTimeout time.Duration
	Now              func() time.Time
	Sleep            func(ctx context.Context, d time.Duration) error
}

// Google is Google Cloud as a provider of package broker. It is safe for concurrent use.
type Google struct {
	catalog
	*resourcemanager.Granter
	// Scope is where policies count.
	Scope access.Resource
	// Policies reads live policies and finds projects, Groups the directory.
	Policies *resourcemanager.Client
	Groups   *directory.Directory

	// inventory can list everybody, whichever catalog there is.
	inventory *assetinventory.Catalog
	// named are the folders and organizations that are to be offered themselves, described what
	// is known of folders and organizations.
	named     func() []access.Resource
	described *lookup.Cache[[]resourcemanager.Node]
	now       func() time.Time
}

// catalog is what both catalogs are: what the broker asks, and what is asked once more
// about the policy that is about to be written.
type catalog interface {
	Resources(ctx context.Context, p access.Principal) ([]access.ResourceInfo, []*access.Error, error)
	Canonical(id access.EntitlementID) (access.EntitlementID, error)
	Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error)
	Role(ctx context.Context, on access.Resource, role access.Role) access.RoleInfo
	RoleTitle(role access.Role) string
	Prepare(ctx context.Context, q access.StandingQuery) (func(*iampolicy.Policy) access.Standing, error)
}

// New makes a Google. It makes no calls.
func New(c Config) (g *Google, err error) {
	g = &Google{now: c.Now, Groups: directory.New(c.Platform, c.CustomerID, c.Now), named: func() []access.Resource { return nil }}
	if g.Scope, err = resourcename.Parse(cmp.Or(c.Scope, "projects/"+c.Platform.Project)); err != nil {
		return nil, err
	}
	g.Policies = resourcemanager.New(resourcemanager.Config{
		HTTP:           c.Platform.Client,
		Endpoint:       c.Platform.Endpoint("cloudresourcemanager"),
		ServiceAccount: c.Platform.ServiceAccount,
		Now:            c.Now,
		Random:         rand.Float64,
		Sleep:          c.Sleep,
	})
	g.described = newHolders(c, g.Policies)
	g.inventory = assetinventory.New(assetinventory.Config{
		Platform:       c.Platform,
		Scope:          g.Scope,
		Policies:       g.Policies,
		Directory:      g.Groups,
		SearchProjects: g.Policies.SearchProjects,
		ProjectsQuery:  c.ProjectsQuery,
		Now:            c.Now,
	})
	g.catalog = g.inventory
	if c.PolicyAnalyzer {
		g.catalog = policyanalyzer.New(policyanalyzer.Config{
			Platform:         c.Platform,
			Scope:            g.Scope,
			Policies:         g.Policies,
			SearchProjects:   g.Policies.SearchProjects,
			ProjectsQuery:    c.ProjectsQuery,
			ExecutionTimeout: c.ExecutionTimeout,
			Now:              c.Now,
		})
	}
	g.Granter = resourcemanager.NewGranter(g.Policies, g.catalog)
	return g, nil
}

// Resources asks the catalog for projects. For nobody in particular it is all that the service
// account may see, which Policy Analyzer does not list. The folders and organizations that are
// named are the same for everybody.
func (g *Google) Resources(ctx context.Context, p access.Principal) ([]access.ResourceInfo, []*access.Error, error) {
	var holders []access.ResourceInfo
	var missing []*access.Error
	var others sync.WaitGroup
	if named := g.named(); len(named) > 0 {
		others.Go(func() { holders, missing = g.holders(ctx, named) })
	}
	list := g.catalog.Resources
	if p == "" {
		list = g.inventory.Resources
	}
	projects, warnings, err := list(ctx, p)
	others.Wait()
	if err != nil {
		return nil, nil, err
	}
	all := append(projects, holders...)
	slices.SortFunc(all, func(a, b access.ResourceInfo) int { return cmp.Compare(a.Resource, b.Resource) })
	return all, append(warnings, missing...), nil
}

// Named searches the inventory, whichever catalog there is.
func (g *Google) Named(ctx context.Context, p access.Principal) (access.Named, error) {
	return g.inventory.Named(ctx, p)
}

// Inspect reads the resource's own policy.
func (g *Google) Inspect(ctx context.Context, on access.Resource) (access.Inspection, error) {
	p, err := g.Policies.GetIamPolicy(ctx, on, time.Time{})
	if err != nil {
		return access.Inspection{}, err
	}
	return p.Inspect(g.now()), nil
}

// Standing asks the catalog. Everybody is listed from whole policies and the directory,
// which Policy Analyzer has not.
func (g *Google) Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	if q.Everybody {
		return g.inventory.Standing(ctx, q)
	}
	return g.catalog.Standing(ctx, q)
}
