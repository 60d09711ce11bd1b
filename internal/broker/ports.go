package broker

import (
	"context"
	"time"

	"jitaccess/internal/access"
)

// Provider is a system in which entitlements exist and grants are made. Broker chooses
// it by the kind of the resource (Registration); an id of another's never reaches it.
type Provider interface {
	Catalog
	Granter
}

// Catalog knows what may be activated. All its methods may be called concurrently.
//
// Errors are *access.Error. CodeUnknownResource when there is no such resource or
// the service account may not see it; CodeServiceNotAllowed when the service
// account lacks a permission; Upstream, Unavailable, TimedOut and TooMany kinds
// when the platform fails. One unreadable binding or group is a warning in the
// answer, never an error.
type Catalog interface {
	// Resources returns the resources that the principal may choose from, sorted; all that
	// there are, as far as the service may see, when it is empty. What could not be listed
	// in part is a warning. It keeps to ctx's deadline, or is left
	// out.
	Resources(ctx context.Context, p access.Principal) ([]access.ResourceInfo, []*access.Error, error)

	// Canonical spells an id as this provider does in every answer, so that ids which
	// mean the same are equal. It makes no call. The error, which need not be an
	// *access.Error, says that the id can be none of this provider's.
	Canonical(id access.EntitlementID) (access.EntitlementID, error)

	// Standing answers a query from one look at the resource's policies. Equal
	// look-ups that run at the same time share one call; what is shared between
	// people may be 30 seconds old unless the query is of an action (Since). The
	// resource's own policy is always read live, once for what one person does (Since, Arrived).
	Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error)

	// Role describes a role as it is on a resource, also whether it can change
	// permissions. It never fails: what is not known is zero.
	Role(ctx context.Context, on access.Resource, role access.Role) access.RoleInfo
}

// Granter makes and ends grants. Both are idempotent by request id: repeating a
// call changes nothing and reports what stands.
type Granter interface {
	// Preview returns what Grant would write. The error, an *access.Error, says why some
	// or all of it cannot be written. It makes no calls.
	Preview(g access.Grant) ([]access.Effect, error)

	// Grant writes the grant. Immediately before every write it calls check with
	// what the policy that it is about to change says of q (so that nobody loses
	// eligibility between the check and the write), and writes nothing of this
	// grant when check returns an error; it returns that error then. check may be
	// called several times, from another goroutine, one call at a time.
	//
	// There is one outcome for each entitlement, in order. The error is non-nil
	// when nothing was granted; if it is CodeUnknownOutcome, nobody could find out.
	Grant(ctx context.Context, g access.Grant, q access.StandingQuery, check func(access.Standing) error) ([]access.Outcome, error)

	// End takes back every grant that carries the id and belongs to the principal. It is
	// left as a record whose window has been cut short, for as long as its link can be
	// opened, or a form that was opened before its end be sent (access.FormLife). Outcomes
	// are those of the grants found; none is no error.
	End(ctx context.Context, e access.Ending) ([]access.Outcome, error)
}

// Inspecting is a Provider that can tell what looks like grants of ours and is not as we
// write them. It makes its own look. Errors are as those of a Catalog.
type Inspecting interface {
	Inspect(ctx context.Context, on access.Resource) (access.Inspection, error)
}

// Searching is a Provider that can tell from one search over all its policies what they say of
// a person by name. What it may not search is an error, as those of a Catalog; it costs
// nothing but what is found.
type Searching interface {
	Named(ctx context.Context, p access.Principal) (access.Named, error)
}

// Applications is a Provider for whose resources applications ask, and nobody by hand. Errors
// are as those of a Catalog; while it is not known which applications there are, they are of
// kind Unavailable.
type Applications interface {
	// Asking is what an application asks for by what it sends, as approvers are shown it. It is
	// of kind NotFound for an application that may not ask, and of kind Invalid for all that is
	// wrong in what is sent. unlinked is whether it may be for somebody of whom nobody knows who
	// they are; whether it is, Asking leaves open.
	Asking(ctx context.Context, s access.Sent) (a access.Asking, unlinked bool, err error)

	// Terms are what activating an entitlement takes before any rule does. Those of what can
	// no longer be asked for are of kind NotAllowed.
	Terms(ctx context.Context, id access.EntitlementID) (access.Terms, error)

	// ApproverGroups are the addresses of the groups whose members approve what applications
	// ask for, each once.
	ApproverGroups(ctx context.Context) ([]string, error)
}

// Store keeps a request between asking and deciding. There is one conformance
// suite for all of them: package storetest.
type Store interface {
	// Open returns the request that ref points to. CodeBadLink (NotFound kind)
	// when it points to none, CodeLinkExpired (Gone) when it can no longer be
	// opened.
	Open(ctx context.Context, ref string) (access.Request, error)

	// Commit records an event of every action, also those that the store has no use
	// for, atomically with the notices: both or neither. e.Request is the request as
	// it was opened; with ReviewersAdded its Reviewers are already those of then, and
	// nothing else is new.
	//
	// A store that remembers keeps a request as the fold of its events
	// (access.Request.Apply). When an intent is committed on another Version than the
	// stored one, or may not follow, nothing is recorded and the error is of kind
	// Conflict. Facts (access.Action.IsIntent) and the end of a grant are recorded
	// whatever the version, and of a request that the store does not know they make
	// none: it may be JIT Access 1.x's. A store that forgets (Limits) cannot notice.
	// Where e.Follows is not nil, it is set to whether the event is the one directly behind
	// e.Request.Version; it stays false where that is not known.
	//
	// The returned ref opens the request from now on, and every ref given out before
	// stays good. With a Conflict it may be returned too, and opens what stands. A store that
	// forgets returns one only for what makes a new one necessary, which is asking, and asking more people.
	//
	// Notices are what people are to be told if the event is recorded; a store may keep
	// them so that none is lost, and never sends them.
	Commit(ctx context.Context, e access.Event, notices []access.Notice) (ref string, err error)

	// Limits says what the store cannot do. It is constant.
	Limits() access.Limits
}

// Policy says which terms hold. It makes no calls, and may be called concurrently.
type Policy interface {
	// Terms returns what activating an entitlement takes, and why that holds at the moment
	// at which it is asked for; the zero Explanation where the policy does not say why. The
	// error is an *access.Error: the policy refuses it, or what decides is not known now.
	// Terms that the broker cannot carry out it refuses.
	Terms(s access.Subject) (access.Terms, access.Explanation, error)
}

// Looking is a Policy that says what it looks at of a subject beside its ids, kind and
// times. The broker looks that up before it asks for terms; for every other Policy it
// looks nothing up.
type Looking interface{ Looks() access.Looks }

// Renewing is a Policy that may have been replaced since it was read. Renew is called
// before something is decided by it, or written; the error, an *access.Error, says that it
// decides nothing now.
type Renewing interface {
	Renew(ctx context.Context) error
}

// Naming is a Policy that knows of several addresses of one human. Accounts returns all of
// them: that of the person alone where it knows of no others.
type Naming interface {
	Accounts(p access.Principal) []access.Principal
}

// Journal records what was decided and what became of it.
type Journal interface {
	// Record writes the event durably enough for the platform, or fails. An
	// intent that cannot be recorded is not carried out.
	Record(ctx context.Context, e access.Event) error
}

// Notifier tells people, or machines that tell them.
type Notifier interface {
	// Channels are the ways there are to tell; none when nobody is told.
	Channels() []access.Channel

	// Notify tells within ctx, through every channel, and returns what became of it for
	// each of those to whom it went; a channel that does not tell of such a notice has
	// no receipt. It never works on after it has returned. A channel that wants no more for a
	// while says so in the error (Resting); it is told again after that.
	Notify(ctx context.Context, n access.Notice) access.Receipts
}

// Resting is the error of a channel that wants no more until then.
type Resting interface {
	error
	RestsUntil() time.Time
}

// Directory answers who is in which groups.
type Directory interface {
	// MemberOf is whether p is a direct member of one of the groups. since is when the
	// action began that wants to know, and nothing that was asked before serves; zero is
	// a page. The warning says that the answer is not of now, and how old it is.
	MemberOf(ctx context.Context, p access.Principal, groups []string, since time.Time) (bool, *access.Error, error)

	// PeopleIn are the direct members of a group who can sign in, sorted or not. since and
	// the warning are as for MemberOf. CodeGroupUnreadable of kind NotFound when there is
	// no such group.
	PeopleIn(ctx context.Context, group string, since time.Time) ([]access.Principal, *access.Error, error)
}
