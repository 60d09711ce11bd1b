package broker

import (
	"context"

	"jitaccess/internal/access"
)

// Catalog knows what may be activated. All its methods may be called concurrently.
//
// Errors are *access.Error. CodeUnknownResource when there is no such resource or
// the service account may not see it; CodeServiceNotAllowed when the service
// account lacks a permission; Upstream, Unavailable, TimedOut and TooMany kinds
// when the platform fails. One unreadable binding or group is a warning in the
// answer, never an error.
type Catalog interface {
	// Resources returns the resources that the principal may choose from, sorted.
	Resources(ctx context.Context, p access.Principal) ([]access.ResourceInfo, error)

	// Standing answers a query from one look at the resource's policies. Equal
	// look-ups that run at the same time share one call; what is shared between
	// people may be 30 seconds old unless the query is of an action (Since). The
	// resource's own policy is always read live, once for what one person does
	// (access.Begin).
	Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error)

	// Role describes a role. It never fails: what is not known is zero.
	Role(ctx context.Context, role access.Role) access.RoleInfo
}

// Granter makes and ends grants. Both are idempotent by request id: repeating a
// call changes nothing and reports what stands.
type Granter interface {
	// Preview returns the text that Grant would write, one for each entitlement.
	// It makes no calls.
	Preview(g access.Grant) []access.Binding

	// Grant writes the grant. Immediately before every write it calls check with
	// what the policy that it is about to change says of q (so that nobody loses
	// eligibility between the check and the write), and writes nothing of this
	// grant when check returns an error; it returns that error then. check may be
	// called several times, from another goroutine, one call at a time.
	//
	// There is one outcome for each entitlement, in order. The error is non-nil
	// when nothing was granted; if it is CodeUnknownOutcome, nobody could find out.
	Grant(ctx context.Context, g access.Grant, q access.StandingQuery, check func(access.Standing) error) ([]access.Outcome, error)

	// End takes back every grant that carries the id and belongs to the principal.
	// A self-approved grant is removed; any other is left as a record whose window
	// has been cut short, so that a link cannot revive it. Outcomes are those of
	// the grants found; none is no error.
	End(ctx context.Context, e access.Ending) ([]access.Outcome, error)
}

// Store keeps a request between asking and deciding. There is one conformance
// suite for all of them: package storetest.
type Store interface {
	// Open returns the request that ref points to. CodeBadLink (NotFound kind)
	// when it points to none, CodeLinkExpired (Gone) when it can no longer be
	// opened.
	Open(ctx context.Context, ref string) (access.Request, error)

	// Append records events on the request, atomically: all or none. A request
	// whose Version is 0 is created. When the stored version is not the request's,
	// nothing is recorded and the error is of kind Conflict; a store that forgets
	// (Limits) cannot notice. The returned ref opens the request from now on; a
	// store that forgets may return none for a request that was opened, as the ref
	// that opened it stays good. With access.ReviewersAdded the request's Reviewers
	// replace what was recorded, and nothing else does; every ref given out before
	// stays good.
	// Notices are what people are to be told if the events are recorded; a store
	// may keep them so that none is lost, and never sends them.
	Append(ctx context.Context, r access.Request, events []access.Event, notices []access.Notice) (ref string, err error)

	// Limits says what the store cannot do. It is constant.
	Limits() access.Limits
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
	// no receipt. It never works on after it has returned.
	Notify(ctx context.Context, n access.Notice) access.Receipts
}

// Directory answers which groups people are in.
type Directory interface {
	// Groups returns the addresses of the groups that p is a direct member of.
	Groups(ctx context.Context, p access.Principal) ([]string, error)
}
