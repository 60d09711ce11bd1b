package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iamcredentials"
	"jitaccess/internal/gcp/provider"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/gcp/secretmanager"
	"jitaccess/internal/jose"
	"jitaccess/internal/policy"
	"jitaccess/internal/pomerium"
)

// errNeedsGoogle is for what only Google Cloud has.
var errNeedsGoogle = errors.New("this needs Google Cloud, which none of the settings asks for (docs/configuration.md)")

// cloud is Google Cloud with all that the service has of it. The nil cloud is none.
type cloud struct {
	*gcp.Platform
	provider *provider.Google
	signer   *iamcredentials.Signer
	secrets  *secretmanager.Secrets
	// keys are those of the service account.
	keys *jose.KeySet
}

// newCloud makes what there is on a platform; nil of none. It makes no calls.
func newCloud(c *config.Config, platform *gcp.Platform, k clock) (g *cloud, err error) {
	if platform == nil {
		return nil, nil
	}
	g = &cloud{Platform: platform, keys: jose.NewKeySet(platform.ServiceAccountKeys, k.now),
		signer: iamcredentials.New(platform), secrets: secretmanager.New(platform)}
	g.provider, err = newGoogle(c, platform, k)
	return g, err
}

// platform is nil of none.
func (g *cloud) platform() *gcp.Platform {
	if g == nil {
		return nil
	}
	return g.Platform
}

// here is the platform, or why there is none.
func (g *cloud) here() (*gcp.Platform, error) {
	if g == nil {
		return nil, errNeedsGoogle
	}
	return g.Platform, nil
}

// secret reads a version of a secret.
func (g *cloud) secret(ctx context.Context, version string) ([]byte, error) {
	if g == nil {
		return nil, errNeedsGoogle
	}
	return g.secrets.Access(ctx, version)
}

// directory is what knows who is in which groups; nil where nothing does.
func (g *cloud) directory() broker.Directory {
	if g == nil {
		return nil
	}
	return g.provider.Groups
}

func newGoogle(c *config.Config, platform *gcp.Platform, k clock) (*provider.Google, error) {
	return provider.New(provider.Config{
		Platform: platform, Scope: c.Catalog.Scope, CustomerID: c.Catalog.CustomerID, ProjectsQuery: c.Catalog.ProjectsQuery,
		PolicyAnalyzer: c.Catalog.Kind == config.PolicyAnalyzer, ExecutionTimeout: c.Google.ReadTimeout,
		Now: k.now, Sleep: k.sleep,
	})
}

func registered(google *provider.Google) []broker.Registration {
	kinds := slices.Clone(resourcename.Kinds)
	for i := range kinds {
		kinds[i].Title = google.Title
	}
	return []broker.Registration{{Provider: google, Name: provider.Name, Kinds: kinds, RoleTitle: google.RoleTitle}}
}

// leasing is what Pomerium's provider needs of the ledger.
type leasing interface {
	List(ctx context.Context, l access.Listing) (access.Listed, error)
	Lease(ctx context.Context, name string, life time.Duration) (release func(context.Context) error, err error)
}

// newPomerium makes the provider of Pomerium's policies. given are the entitlements of the
// policy file. It makes no calls.
func newPomerium(c *config.Config, g *cloud, remembers leasing, given func() []policy.Entitlement, k clock) (*pomerium.Provider, error) {
	p := c.Pomerium
	var groups pomerium.Directory
	if directory := g.directory(); directory != nil {
		groups = directory
	}
	return pomerium.New(pomerium.Config{
		Endpoint: p.Endpoint, RefreshToken: p.APIUserToken.Reveal(), Organization: p.OrganizationID, Cluster: p.ClusterID,
		ApplyChangesets: p.ApplyChangesets, PolicyIDs: p.PolicyIDs(), Directory: groups,
		List: remembers.List, Lease: remembers.Lease, Now: k.now, Sleep: k.sleep,
		Entitlements: func() []pomerium.Entitlement {
			var all []pomerium.Entitlement
			for _, e := range given() {
				if isPomeriums(e.ID.Resource) {
					all = append(all, pomerium.Entitlement{ID: e.ID, Title: e.Title, Requesters: e.Requesters})
				}
			}
			return all
		},
	})
}

// unnamed is whether nothing says who approves on Pomerium's resources: no policy file has
// entitlements of Pomerium's. Of one that could not be read yet nobody knows, and it decides
// nothing.
func unnamed(terms broker.Policy) func() bool {
	live, ok := terms.(*livePolicy)
	return func() bool {
		return !ok || live.taken.Load() != nil &&
			!slices.ContainsFunc(live.entitlements(), func(e policy.Entitlement) bool { return isPomeriums(e.ID.Resource) })
	}
}

func isPomeriums(on access.Resource) bool { return hasKind(pomerium.Kinds, on) }

func hasKind(kinds []access.ResourceKind, on access.Resource) bool {
	return slices.ContainsFunc(kinds, func(k access.ResourceKind) bool { return k.Has(on) })
}

// providersOf is what sentences call the system that a resource is part of; of no resource, the
// one that most are part of.
func providersOf(c *config.Config) func(access.Resource) string {
	return func(on access.Resource) string {
		switch {
		case on == "" && c.Google.Used, hasKind(resourcename.Kinds, on):
			return "Google"
		case on == "" && c.Pomerium.Used(), isPomeriums(on):
			return "Pomerium"
		}
		return ""
	}
}

// providerNames are the systems in which access is given, for the log.
func providerNames(all []broker.Registration) string {
	return strings.Join(access.Each(all, func(r broker.Registration) string { return r.Name }), ", ")
}
