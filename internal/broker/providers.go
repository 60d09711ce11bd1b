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
	// Unnamed is whether nothing names who approves on its resources, as no policy file may:
	// then the admins do and, without any, whoever is let to the administration page. It may
	// change. nil where the provider itself knows who approves.
	Unnamed func() bool
	// Title is what an entitlement is called as far as that is known without asking anybody;
	// empty, as nil, for the name of its role.
	Title func(access.EntitlementID) string
	// RoleTitle is what the provider called a role when it was last asked; empty, as nil, where it was not. It may
	// be known to one instance and not to another: it stands before the name of the role, never in its place.
	RoleTitle func(access.Role) string
}

// owned is a kind of resource and whose it is.
type owned struct {
	access.ResourceKind
	provider Provider
	unnamed  func() bool
	title    func(access.EntitlementID) string
	role     func(access.Role) string
}

// register sorts providers by the first segment of the paths that are theirs. Two for
// one kind are a mistake in the assembly of the service, and panic.
func register(all []Registration) map[string]owned {
	kinds := map[string]owned{}
	for _, r := range all {
		for _, k := range r.Kinds {
			if _, taken := kinds[k.Segment]; taken {
				panic(fmt.Sprintf("two providers of %s", k.Segment))
			}
			kinds[k.Segment] = owned{k, r.Provider, r.Unnamed, r.Title, r.RoleTitle}
		}
	}
	return kinds
}

// providerOf is whose the resource is; CodeUnknownResource when it is nobody's.
func (b *Broker) providerOf(on access.Resource) (Provider, error) {
	if k, ok := b.kinds[on.Kind()]; ok && k.Has(on) {
		return k.provider, nil
	}
	return nil, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Args: access.Args{"resource": string(on)},
		Err: errors.New("no provider has such resources")}
}

// ResourceKind is what can be said of resources of this kind; zero when nobody has such.
func (b *Broker) ResourceKind(on access.Resource) access.ResourceKind {
	return b.kinds[on.Kind()].ResourceKind
}

// ResourceKindNamed is the kind of resource that somebody means by a name alone: the first
// that has such names, of the providers as they were registered; zero for none.
func (b *Broker) ResourceKindNamed(name string) access.ResourceKind {
	for _, r := range b.c.Providers {
		for _, k := range r.Kinds {
			if k.Name().MatchString(name) {
				return k
			}
		}
	}
	return access.ResourceKind{}
}

// Title is what an entitlement is called, for lists: it asks nobody, and so it is the name of
// the role where more is not known without.
func (b *Broker) Title(id access.EntitlementID) string {
	title := ""
	if k := b.kinds[id.Resource.Kind()]; k.title != nil {
		title = k.title(id)
	}
	return cmp.Or(title, string(id.Role))
}

// RoleTitle is Title or, where that is but the name of the role, what the provider called that role when it was
// last asked.
func (b *Broker) RoleTitle(id access.EntitlementID) string {
	title := b.Title(id)
	if k := b.kinds[id.Resource.Kind()]; k.role != nil && title == string(id.Role) {
		return cmp.Or(k.role(id.Role), title)
	}
	return title
}

// ParseResource reads the path of a resource from outside. The error, which is no
// *access.Error, says that it is none, or none that any provider has.
func (b *Broker) ParseResource(path string) (access.Resource, error) {
	on, err := access.ParseResource(path)
	if err == nil {
		_, err = b.providerOf(on)
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
		id, err = b.canonical(id)
	}
	if err != nil {
		return access.EntitlementID{}, fmt.Errorf("not an entitlement id: %v", err)
	}
	return id, nil
}

func (b *Broker) canonical(id access.EntitlementID) (access.EntitlementID, error) {
	provider, err := b.providerOf(id.Resource)
	if err != nil {
		return id, err
	}
	return provider.Canonical(id)
}

// standing asks about a resource. What has been read for the caller's request already
// is not read again.
func (b *Broker) standing(ctx context.Context, caller access.Caller, q access.StandingQuery) (access.Standing, error) {
	provider, err := b.providerOf(q.Resource)
	if err != nil {
		return access.Standing{}, err
	}
	q.Arrived, q.Ruled = caller.Arrived, b.looks().Approvals
	q.Above = b.looks().Ancestors && (len(q.Principals) > 0 || q.Everybody)
	return provider.Standing(ctx, q)
}

// look asks what people hold and has the answer judged. A refusal never rests on what
// is remembered: before anybody is told that they may not, the same is asked once
// more, as of when this look began. What cannot be asked is the error, and no refusal.
func (b *Broker) look(ctx context.Context, caller access.Caller, q access.StandingQuery,
	judge func(access.Standing) error) (standing access.Standing, refusal, err error) {
	begun := b.c.Now()
	standing, err = b.standing(ctx, caller, q)
	if err != nil {
		return standing, nil, err
	}
	if refusal = judge(standing); !notAllowed(refusal) {
		return standing, refusal, nil
	}
	q.Since = begun
	if standing, err = b.standing(ctx, caller, q); err != nil {
		return standing, nil, err
	}
	return standing, judge(standing), nil
}

func notAllowed(err error) bool { return err != nil && access.AsError(err).Kind == access.NotAllowed }

// describe looks roles up at the same time; what is not known is zero but for its
// name.
func (b *Broker) describe(ctx context.Context, ids []access.EntitlementID) []access.RoleInfo {
	infos := make([]access.RoleInfo, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			if provider, err := b.providerOf(id.Resource); err == nil {
				infos[i] = provider.Role(ctx, id.Resource, id.Role)
			}
			infos[i].Role = id.Role
		})
	}
	wg.Wait()
	return infos
}

// listTime is how long providers have for their lists of resources: less than a page
// has in all, so that one that hangs leaves time to show what the others found.
const listTime = 22 * time.Second

// Resources returns the resources that the caller may choose from, sorted. All
// providers are asked at the same time. One that fails, or does not answer in time, is a
// warning, as is what could not be listed; only when none answers is its failure the
// error.
func (b *Broker) Resources(ctx context.Context, caller access.Caller) ([]access.ResourceInfo, []*access.Error, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	lists := make([]list, len(b.c.Providers))
	var wg sync.WaitGroup
	for i, r := range b.c.Providers {
		wg.Go(func() { lists[i] = listOf(ctx, r, caller.Principal) })
	}
	wg.Wait()
	var all list
	failures := 0
	for _, l := range lists {
		if l.err != nil {
			failures++
			all.err = cmp.Or(all.err, l.err)
			l.warnings = []*access.Error{access.AsError(l.err)}
		}
		all.infos, all.warnings = append(all.infos, l.infos...), append(all.warnings, l.warnings...)
	}
	if failures > 0 && failures == len(lists) {
		return nil, nil, all.err
	}
	slices.SortFunc(all.infos, func(a, b access.ResourceInfo) int { return cmp.Compare(a.Resource, b.Resource) })
	return all.infos, all.warnings, nil
}

// list is what a provider answers about resources.
type list struct {
	infos    []access.ResourceInfo
	warnings []*access.Error
	err      error
}

// listOf asks one provider, and waits no longer than ctx, whether it heeds that or not.
// It asks in a goroutine of its own, where a panic would end the process: it is an error
// instead.
func listOf(ctx context.Context, r Registration, p access.Principal) list {
	answer := make(chan list, 1)
	go func() {
		var l list
		defer func() {
			if fault := recover(); fault != nil {
				l = list{err: fmt.Errorf("panic: %v", fault)}
			}
			answer <- l
		}()
		l.infos, l.warnings, l.err = r.Provider.Resources(ctx, p)
	}()
	select {
	case l := <-answer:
		return l
	case <-ctx.Done():
		return list{err: &access.Error{Kind: access.TimedOut, Code: access.CodeUpstreamTimeout,
			Args: access.Args{"service": r.Name}, Err: ctx.Err()}}
	}
}
