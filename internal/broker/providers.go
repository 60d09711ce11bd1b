package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// Registration is a provider with what can be said of it without asking it.
type Registration struct {
	Provider Provider
	// Name is the system in words, for people: "Google Cloud".
	Name string
	// Kinds are the kinds of resources that are this provider's and nobody else's.
	Kinds []access.ResourceKind
}

// providers are those of a service, as one: what is asked of it goes to the provider
// whose resource it is about.
type providers struct {
	all []Registration
	// kinds are by the first segment of the paths.
	kinds map[string]registered
}

// registered is one kind of resource and whose it is.
type registered struct {
	access.ResourceKind
	provider Provider
}

var _ Provider = providers{}

// register makes providers. Two for one kind are a mistake in the assembly of the
// service, and panic.
func register(all []Registration) providers {
	kinds := map[string]registered{}
	for _, r := range all {
		for _, k := range r.Kinds {
			if _, taken := kinds[k.Segment]; taken {
				panic(fmt.Sprintf("two providers of %s", k.Segment))
			}
			kinds[k.Segment] = registered{k, r.Provider}
		}
	}
	return providers{all, kinds}
}

// of is whose the resource is; CodeUnknownResource when it is nobody's.
func (ps providers) of(on access.Resource) (Provider, error) {
	if k, ok := ps.kinds[on.Kind()]; ok && k.Has(on) {
		return k.provider, nil
	}
	return nil, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Args: access.Args{"resource": string(on)},
		Err: errors.New("no provider has such resources")}
}

// listTime is how long providers have for their lists of resources: less than a page
// has in all, so that one that hangs leaves time to show what the others found.
const listTime = 22 * time.Second

// list is what a provider answers about resources.
type list struct {
	infos    []access.ResourceInfo
	warnings []*access.Error
	err      error
}

// Resources asks all at the same time and returns what they have together, sorted. One
// that fails, or does not answer in time, is a warning; only when none answers is its
// failure the error.
func (ps providers) Resources(ctx context.Context, p access.Principal) ([]access.ResourceInfo, []*access.Error, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	lists := make([]chan list, len(ps.all))
	for i, r := range ps.all {
		lists[i] = make(chan list, 1)
		go func() { lists[i] <- listOf(ctx, r.Provider, p) }()
	}
	var infos []access.ResourceInfo
	var warnings []*access.Error
	var failures []error
	for i, r := range ps.all {
		var l list
		select {
		case l = <-lists[i]:
		case <-ctx.Done():
			select {
			case l = <-lists[i]: // it had answered before
			default:
				l.err = &access.Error{Kind: access.TimedOut, Code: access.CodeUpstreamTimeout, Args: access.Args{"service": r.Name}, Err: ctx.Err()}
			}
		}
		if l.err != nil {
			failures = append(failures, l.err)
			warnings = append(warnings, access.AsError(l.err))
			continue
		}
		infos, warnings = append(infos, l.infos...), append(warnings, l.warnings...)
	}
	if len(failures) > 0 && len(failures) == len(ps.all) {
		return nil, nil, failures[0]
	}
	slices.SortFunc(infos, func(a, b access.ResourceInfo) int { return cmp.Compare(a.Resource, b.Resource) })
	return infos, warnings, nil
}

// listOf asks one provider. It runs in a goroutine of its own, where a panic would end
// the process: it is an error instead.
func listOf(ctx context.Context, provider Provider, p access.Principal) (l list) {
	defer func() {
		if fault := recover(); fault != nil {
			l = list{err: fmt.Errorf("panic: %v", fault)}
		}
	}()
	l.infos, l.warnings, l.err = provider.Resources(ctx, p)
	return l
}

func (ps providers) Canonical(id access.EntitlementID) (access.EntitlementID, error) {
	provider, err := ps.of(id.Resource)
	if err != nil {
		return access.EntitlementID{}, err
	}
	return provider.Canonical(id)
}

func (ps providers) Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	provider, err := ps.of(q.Resource)
	if err != nil {
		return access.Standing{}, err
	}
	return provider.Standing(ctx, q)
}

func (ps providers) Role(ctx context.Context, on access.Resource, role access.Role) access.RoleInfo {
	provider, err := ps.of(on)
	if err != nil {
		return access.RoleInfo{}
	}
	return provider.Role(ctx, on, role)
}

func (ps providers) Preview(g access.Grant) ([]access.Effect, error) {
	provider, err := ps.of(g.Resource)
	if err != nil {
		return nil, err
	}
	return provider.Preview(g)
}

func (ps providers) Grant(ctx context.Context, g access.Grant, q access.StandingQuery,
	check func(access.Standing) error) ([]access.Outcome, error) {
	provider, err := ps.of(g.Resource)
	if err != nil {
		return nil, err
	}
	return provider.Grant(ctx, g, q, check)
}

func (ps providers) End(ctx context.Context, e access.Ending) ([]access.Outcome, error) {
	provider, err := ps.of(e.Resource)
	if err != nil {
		return nil, err
	}
	return provider.End(ctx, e)
}

// ResourceKind is what can be said of resources of this kind; zero when nobody has such.
func (b *Broker) ResourceKind(on access.Resource) access.ResourceKind {
	return b.providers.kinds[on.Kind()].ResourceKind
}

// ParseResource reads the path of a resource from outside. The error, which is no
// *access.Error, says that it is none, or none that any provider has.
func (b *Broker) ParseResource(path string) (access.Resource, error) {
	on, err := access.ParseResource(path)
	if err == nil {
		_, err = b.providers.of(on)
	}
	if err != nil {
		return "", fmt.Errorf("not the path of a resource: %v", err)
	}
	return on, nil
}

// ParseEntitlementID reads an entitlement id from outside. Its resource condition
// may be spelled in any way that means the same; the provider's is the canonical one.
// The error is as that of ParseResource.
func (b *Broker) ParseEntitlementID(text string) (access.EntitlementID, error) {
	id, err := access.ParseEntitlementID(text)
	if err == nil {
		id, err = b.providers.Canonical(id)
	}
	if err != nil {
		return access.EntitlementID{}, fmt.Errorf("not an entitlement id: %v", err)
	}
	return id, nil
}

// Resources returns the resources that the caller may choose from, sorted, and
// warnings of what could not be listed.
func (b *Broker) Resources(ctx context.Context, caller access.Caller) ([]access.ResourceInfo, []*access.Error, error) {
	return b.providers.Resources(ctx, caller.Principal)
}

// standing asks about a resource. What has been read for the caller's request already
// is not read again.
func (b *Broker) standing(ctx context.Context, caller access.Caller, q access.StandingQuery) (access.Standing, error) {
	q.Arrived = caller.Arrived
	return b.providers.Standing(ctx, q)
}

// describe looks roles up at the same time; what is not known is zero but for its
// name.
func (b *Broker) describe(ctx context.Context, ids []access.EntitlementID) []access.RoleInfo {
	infos := make([]access.RoleInfo, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			infos[i] = b.providers.Role(ctx, id.Resource, id.Role)
			infos[i].Role = id.Role
		})
	}
	wg.Wait()
	return infos
}
