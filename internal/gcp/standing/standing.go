// Package standing answers what the policies of a project, and of everything above
// it, say of people. It is the part that all catalogs share: the project's own
// policy is read live and wins, and what a source knows of the rest is confirmed
// when it matters.
package standing

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/condition"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/lookup"
)

// How old shared answers may be: for a page, and while Google cannot answer.
const (
	PageAge  = 30 * time.Second
	staleAge = 5 * time.Minute
)

// Live policies and parents of what is above a project serve the action that read them,
// and no other. How long one may take, how many are kept, and how large policies are
// together.
const (
	ancestorTimeout = 20 * time.Second
	maxAncestors    = 50
	ancestorBytes   = 8 << 20
	maxParents      = 2000
)

// Policies reads the live policies of resources.
type Policies interface {
	// GetIamPolicy reads a policy, unless it was asked for at an instant or later
	// already; zero reads it in any case.
	GetIamPolicy(ctx context.Context, resource access.Resource, since time.Time) (*iampolicy.Policy, error)
	// Parent reads what a project or folder is directly in; empty when that is nothing.
	Parent(ctx context.Context, resource access.Resource) (access.Resource, error)
	// Remembered is the last policy that was read and when it was asked for, if it is no
	// older than maxAge and we have not written to it since; nil otherwise.
	Remembered(resource access.Resource, maxAge time.Duration) (*iampolicy.Policy, time.Time)
}

// Source knows who may be eligible, apart from what live policies say.
type Source interface {
	// Look makes the look-ups that a query needs. What cannot be read in part is a
	// warning.
	Look(ctx context.Context, q access.StandingQuery) (Found, error)
	// Known are the nodes above the resource as far as they are remembered of a Look that
	// was like this one, however old: what will be needed of them is read while Look looks,
	// and nothing else rests on it. It makes no call.
	Known(q access.StandingQuery) []Node
}

// Node is one resource with its own policy: the project, or a folder or organization
// above it.
type Node struct {
	Resource access.Resource
	Policy   *iampolicy.Policy
	// Unconfirmed: the policy is not the live one, though that was wanted.
	Unconfirmed bool
}

// Found is what a source knows for one query. It belongs to the caller.
type Found struct {
	// Own is its copy of the project's own policy, for the look-ups that depend on
	// one; nil when it has none. The live policy takes its place.
	Own *iampolicy.Policy
	// Above are the folders and the organization within the scope, nearest first.
	Above []Node
	// Whole: Above has all of them that have a policy, so that a folder that is not there is
	// news to the source.
	Whole bool
	// Groups are those that each principal is in.
	Groups map[access.Principal][]string
	// Members expands groups of reviewers; one that cannot be read is a warning. It
	// is nil where the policies name everybody in person.
	Members func(ctx context.Context, groups []string) (map[string]directory.Members, []*access.Error)
	// InPerson makes of a live policy one that names in person everybody of whom the
	// source knows that they are meant. It is nil where Groups and Members tell that.
	InPerson func(node access.Resource, live *iampolicy.Policy) *iampolicy.Policy
	// Warnings are what could not be found out.
	Warnings []*access.Error
}

// Config is what a Catalog is made of.
type Config struct {
	Source         Source
	Policies       Policies
	ServiceAccount string
	Now            func() time.Time
}

// Catalog answers queries. It implements Standing and Canonical of the broker's port
// Catalog, and resourcemanager.Standings.
type Catalog struct {
	c         Config
	ancestors *lookup.Cache[*iampolicy.Policy]
	parents   *lookup.Cache[access.Resource]
}

// New makes a Catalog. It makes no call.
func New(c Config) Catalog {
	return Catalog{c: c,
		ancestors: lookup.New(c.Now, maxAncestors, ancestorTimeout, func(ctx context.Context, r string) (*iampolicy.Policy, error) {
			// Not as of when the first who asked began: others share it who began later.
			return c.Policies.GetIamPolicy(ctx, access.Resource(r), c.Now())
		}).Within(ancestorBytes, (*iampolicy.Policy).Size),
		parents: lookup.New(c.Now, maxParents, ancestorTimeout, func(ctx context.Context, r string) (access.Resource, error) {
			return c.Policies.Parent(ctx, access.Resource(r))
		})}
}

// Standing answers a query from one look at the resource's policies: its own as it
// is now, those above it as the source knows them, or as they are now if the query
// is of an action (Since).
func (k *Catalog) Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	if err := byItsName(q.Resource); err != nil {
		return access.Standing{}, err
	}
	var own *iampolicy.Policy
	var ownErr error
	var live sync.WaitGroup
	var stale *access.Error
	live.Go(func() { own, stale, ownErr = k.own(ctx, q) })
	l, err := k.look(ctx, q)
	live.Wait()
	if stale != nil {
		l.warn(stale)
	}
	if failure := gcp.Failure(ownErr, k.policyCall(q.Resource)); failure != nil &&
		(err == nil || access.AsError(err).Code != access.CodeUnknownResource) {
		// Google answers 403 for the policy of a project that does not exist; that the
		// source does not know it either is then the better answer.
		err = failure
	}
	switch {
	case err != nil:
	case q.Everybody:
		l.everybody(ctx, own)
	default:
		err = l.complete(ctx, own)
	}
	if err != nil {
		return access.Standing{}, err
	}
	return l.standing(own), nil
}

// own is the resource's own policy as it is now. While Google does not say, for its quota
// is spent, a page gets the one that is remembered, with a warning.
func (k *Catalog) own(ctx context.Context, q access.StandingQuery) (*iampolicy.Policy, *access.Error, error) {
	own, err := k.c.Policies.GetIamPolicy(ctx, q.Resource, cmp.Or(q.Since, q.Arrived))
	failure := gcp.Failure(err, k.policyCall(q.Resource))
	if failure == nil || failure.Code != access.CodeQuota || !q.Since.IsZero() {
		return own, nil, err
	}
	if last, at := k.c.Policies.Remembered(q.Resource, staleAge); last != nil {
		return last, staleSince(at, k.c.Now(), failure), nil
	}
	return nil, nil, err
}

// staleSince is the warning of an answer that is of an instant, because of a failure.
func staleSince(at, now time.Time, failure *access.Error) *access.Error {
	return &access.Error{Kind: failure.Kind, Code: access.CodeStaleInventory, Err: failure,
		Args: access.Args{"seconds": strconv.Itoa(int(now.Sub(at) / time.Second))}}
}

// Canonical spells the resource condition of an id as every answer does: whoever means
// the same, writes the same.
func (k *Catalog) Canonical(id access.EntitlementID) (access.EntitlementID, error) {
	var err error
	id.Condition, err = condition.Canonical(id.Condition)
	return id, err
}

// Prepare makes every look-up that a query needs except that of the resource's own
// policy. The function that it returns makes none; it says what the query's answer
// is if the resource's policy is the given one. A group of reviewers that only
// that policy names, and not the source's copy of it, is a warning.
func (k *Catalog) Prepare(ctx context.Context, q access.StandingQuery) (func(*iampolicy.Policy) access.Standing, error) {
	if err := byItsName(q.Resource); err != nil {
		return nil, err
	}
	l, err := k.look(ctx, q)
	if err != nil {
		return nil, err
	}
	if err := l.complete(ctx, l.found.Own); err != nil {
		return nil, err
	}
	return l.standing, nil
}

func (k *Catalog) policyCall(r access.Resource) gcp.Call {
	return gcp.Call{Service: "Resource Manager", Permission: "resourcemanager." + r.Kind() + ".getIamPolicy",
		Resource: string(r), Account: k.c.ServiceAccount}
}

// byItsName refuses what is no project, folder or organization, or is not called as everywhere
// else: Google also takes the number of a project where its id belongs, and no id is a number.
// Under a second name approvers and those who watch the log would not know the project
// (https://cloud.google.com/resource-manager/docs/creating-managing-projects).
func byItsName(r access.Resource) error {
	if id, ok := r.ProjectID(); r.HoldsOthers() || ok && strings.Trim(id, "0123456789") != "" {
		return nil
	}
	return &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Args: access.Args{"resource": string(r)},
		Err: errors.New("the catalog knows projects by their ids, folders and organizations by their numbers")}
}

// After is when a shared answer must have been asked for to serve a query.
func After(q access.StandingQuery, now time.Time) time.Time {
	if !q.Since.IsZero() {
		return q.Since
	}
	return now.Add(-PageAge)
}

// Recall looks something up for a query. While the service cannot answer, the last
// answer serves for five minutes, with a warning; not for an action by who has kept it
// from answering (gcp.ByOwnDoing).
func Recall[V any](ctx context.Context, c *lookup.Cache[V], key string, q access.StandingQuery, service string,
	now func() time.Time) (V, *access.Error, error) {
	found, err := c.Get(ctx, key, After(q, now()))
	if err == nil {
		return found, nil, nil
	}
	failure := gcp.Failure(err, gcp.Call{Service: service})
	if !q.Since.IsZero() && gcp.ByOwnDoing(err) {
		return found, nil, failure
	}
	switch failure.Code {
	case access.CodeQuota, access.CodeAnalysisQuota, access.CodeUpstreamFailed, access.CodeUpstreamTimeout:
		if last, at, ok := c.Last(key, staleAge); ok && ctx.Err() == nil {
			return last, staleSince(at, now(), failure), nil
		}
	}
	return found, nil, failure
}

// Projects looks up the projects that match the operator's query, sorted, as Recall does.
func Projects(ctx context.Context, c *lookup.Cache[[]access.ResourceInfo], query string,
	now func() time.Time) ([]access.ResourceInfo, []*access.Error, error) {
	found, stale, err := Recall(ctx, c, query, access.StandingQuery{}, "Resource Manager", now)
	if err != nil {
		return nil, nil, err
	}
	found = slices.Clone(found)
	slices.SortFunc(found, func(a, b access.ResourceInfo) int { return cmp.Compare(a.Resource, b.Resource) })
	if stale != nil {
		return found, []*access.Error{stale}, nil
	}
	return found, nil, nil
}

// ProjectsBytes is what a list of all projects may take in memory: that of more than a
// hundred thousand. A longer one is looked up each time.
const ProjectsBytes = 16 << 20

// ListBytes is about what a list of projects takes in memory, in bytes.
func ListBytes(list []access.ResourceInfo) (n int) {
	const texts = 32 // beside their bytes
	for _, r := range list {
		n += texts + len(r.Resource) + len(r.Title)
	}
	return n
}

// Unreadable is the warning of a group whose members are not known.
func Unreadable(group string, cause *access.Error) *access.Error {
	e := &access.Error{Kind: access.Upstream, Code: access.CodeGroupUnreadable, Args: access.Args{"group": group}}
	if cause != nil {
		e.Kind, e.Err = cause.Kind, cause
	}
	return e
}
