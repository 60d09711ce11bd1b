package provider

import (
	"context"
	"slices"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/resourcemanager"
	"jitaccess/internal/gcp/standing"
	"jitaccess/internal/lookup"
)

// Naming is the same Google, which offers beside projects the folders and organizations that
// named returns: those that are found, and lie in the scope. It may be asked at any time.
func (g *Google) Naming(named func() []access.Resource) *Google {
	naming := *g
	naming.named = named
	return &naming
}

// NamedInVain is what is named, and why some of it cannot be offered.
func (g *Google) NamedInVain(ctx context.Context) (named []access.Resource, why []*access.Error) {
	if named = g.named(); len(named) > 0 {
		_, why = g.holders(ctx, named)
	}
	return named, why
}

// What is kept of folders and organizations: a list of all folders, and what organizations are
// called.
const (
	maxHolders     = 8
	holdersBytes   = 8 << 20
	holdersTimeout = 20 * time.Second
	allFolders     = "folders"
)

func newHolders(c Config, client *resourcemanager.Client) *lookup.Cache[[]resourcemanager.Node] {
	return lookup.New(c.Now, maxHolders, holdersTimeout, func(ctx context.Context, which string) ([]resourcemanager.Node, error) {
		if which == allFolders {
			return client.SearchFolders(ctx)
		}
		n, err := client.Organization(ctx, access.Resource(which))
		return []resourcemanager.Node{n}, err
	}).Within(holdersBytes, func(all []resourcemanager.Node) (bytes int) {
		const texts = 48 // beside their bytes
		for _, n := range all {
			bytes += texts + len(n.Resource) + len(n.Title) + len(n.Parent)
		}
		return bytes
	})
}

// holders are those of the folders and organizations that can be offered, and why the others
// cannot be.
func (g *Google) holders(ctx context.Context, named []access.Resource) (offered []access.ResourceInfo, warnings []*access.Error) {
	seen := map[access.Resource]resourcemanager.Node{}
	failed := map[string]bool{}
	asked := func(which string) {
		all, stale, err := standing.Recall(ctx, g.described, which, access.StandingQuery{}, "Resource Manager", g.now)
		switch e := access.AsError(err); {
		case e == nil:
		case e.Code == access.CodeServiceNotAllowed || e.Code == access.CodeUnknownResource: // it is not among those that are seen
		default:
			failed[which], warnings = true, append(warnings, e)
		}
		if stale != nil {
			warnings = append(warnings, stale)
		}
		for _, n := range all {
			seen[n.Resource] = n
		}
	}
	if slices.ContainsFunc(named, func(r access.Resource) bool { return r.Kind() == "folders" }) && g.Scope.HoldsOthers() {
		asked(allFolders)
	}
	if g.Scope.Kind() == "organizations" && slices.Contains(named, g.Scope) {
		asked(string(g.Scope))
	}
	for _, on := range named {
		n, found := seen[on]
		e := &access.Error{Kind: access.NotFound, Args: access.Args{"resource": string(on)}}
		switch {
		case !g.Scope.HoldsOthers(), on.Kind() == "organizations" && on != g.Scope, found && outside(g.Scope, n, seen):
			e.Code, e.Args["scope"] = access.CodeNamedOutside, string(g.Scope)
		case failed[string(on)], failed[allFolders] && on.Kind() == "folders":
			continue
		case !found:
			e.Code = access.CodeNamedUnseen
		case n.Leaving:
			e.Code = access.CodeNamedLeaving
		default:
			offered = append(offered, n.ResourceInfo)
			continue
		}
		warnings = append(warnings, e)
	}
	return offered, warnings
}

// titleAge is for how long a name that was listed is told beside its number.
const titleAge = time.Hour

// Title is what a folder or an organization is called, of what was listed before: it asks nobody.
func (g *Google) Title(on access.Resource) string {
	which := string(on)
	if on.Kind() == "folders" {
		which = allFolders
	}
	all, _, _ := g.described.Last(which, titleAge)
	for _, n := range all {
		if n.Resource == on {
			return n.Title
		}
	}
	return ""
}

// outside is whether a node is known to lie elsewhere than in the scope. Where the service account
// does not see what it lies in, nothing is known; it is found out when somebody chooses it.
func outside(scope access.Resource, n resourcemanager.Node, seen map[access.Resource]resourcemanager.Node) bool {
	for range len(seen) { // no longer, if they are in a circle
		if n.Resource == scope || n.Parent == scope {
			return false
		}
		if n.Parent == "" || n.Parent.Kind() == "organizations" {
			return n.Parent != ""
		}
		n = seen[n.Parent]
	}
	return false
}
