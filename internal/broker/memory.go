package broker

import (
	"context"
	"iter"
	"time"

	"jitaccess/internal/access"
)

// Memory is what a store that remembers does beyond being a Store. Narrow on purpose,
// so that a store of documents fits as well as a relational one: compare-and-swap on
// one request with its events, personal data and messages in one transaction; listing
// by one index; no joins; nothing is locked while anybody else is called.
//
// Errors are *access.Error. CodeLedgerUnavailable (Unavailable kind) when it cannot be
// reached; CodeLedgerDamaged (Unprocessable) when what is kept of a request is not
// what was recorded. The conformance suite is that of Store: package storetest.
type Memory interface {
	Store

	// Import records a request that a store which forgets has opened (a token's), as its
	// principal made it, unless one is recorded under its id, and returns what is recorded
	// then. One of equal Digest keeps all that happened to it and gains the reviewers
	// that it has not got, while it is undecided; another Digest is of kind Conflict.
	Import(ctx context.Context, r access.Request) (access.Request, error)

	// List returns a page, the newest request first. A cursor of another list, or that
	// is none, is CodeBadInput.
	List(ctx context.Context, l access.Listing) (access.Listed, error)

	// Count counts what is on all pages of a list, in no order. Where the list is of a role or
	// of words, each request has to be looked at: then of the newest, and whole is whether
	// those are all.
	Count(ctx context.Context, l access.Listing) (counts []access.Count, whole bool, err error)

	// Due returns what is due by a time (Request.DueAt), the longest due first, at most
	// max, of what comes after one that was returned before; zero begins. It is of requests in
	// one of the states, or in any where none is given. Who acts on it opens it: a list is not
	// evidence.
	Due(ctx context.Context, by time.Time, after access.Due, max int, states ...access.State) ([]access.Due, error)

	// Swept records that a periodic sweep began; LastSweep is when the last did, on
	// whichever instance, and zero before the first. It is a hint: nobody gets access by it.
	Swept(ctx context.Context, at time.Time) error
	LastSweep(ctx context.Context) (time.Time, error)

	// History returns the events of a request in their order; none of what is not known.
	// Of personal data that was erased, nothing is in them.
	History(ctx context.Context, id string) ([]access.Event, error)

	// Versions are the versions of requests, by their ids, as far as they are remembered: a hint
	// at what has changed, by which nothing is decided.
	Versions(ctx context.Context, ids []string) (map[string]int, error)

	// Take leases messages that are due by a time, the oldest first, at most max, each when it is
	// asked for: those that
	// are besides people's mail (access.Besides), or the others; nobody
	// else is given them for lease. An error is the last that comes. What Commit keeps is leased from the start to whoever
	// committed it, with the notice's ID as the Lease, so that the action itself sends it.
	//
	// A lease ends by the taker's own clock: when it has seen it unchanged for lease. So
	// it rests on no two clocks agreeing, and what a process that died held is sent by one
	// that has lived for that long. After an hour anybody may take it, by the time that the
	// lease says: where sweeps are jobs, none lives for long.
	Take(ctx context.Context, by time.Time, lease time.Duration, max int, besides bool) iter.Seq2[access.Message, error]

	// Sent forgets a message. Unsent keeps it for another attempt, from a time on. Where
	// the lease has gone to somebody else, they do nothing.
	Sent(ctx context.Context, m access.Message) error
	Unsent(ctx context.Context, m access.Message, again time.Time) error

	// Told keeps receipts of what was told of a request, which are found again as Receipts,
	// the oldest first: only Channel and Ref of each. They are forgotten with the request.
	Told(ctx context.Context, requestID string, receipts access.Receipts) error
	Receipts(ctx context.Context, requestID string) (access.Receipts, error)

	// Doubt records why this may be an older copy of what was remembered; empty, that
	// somebody has looked (reconcile) and it is in order. Doubted is the last one that
	// was recorded since.
	Doubt(ctx context.Context, why string) error
	Doubted(ctx context.Context) (why string, err error)

	// KeepReconciliation keeps how far the weekly reconciliation is, with what people are to be told
	// of it, or nothing: what was kept of the same Step of the same round stays. The error is
	// access.ErrNotSigned where it is the signing that fails. Reconciliation is
	// what was kept last and our keys have signed, and zero before the first: whoever may write the
	// database says nothing by it that keeps people from being told. CodeLedgerDamaged is that
	// something is kept, and none of it is ours. Nobody gets access by it.
	KeepReconciliation(ctx context.Context, r access.Reconciliation, notices ...access.Notice) error
	Reconciliation(ctx context.Context) (access.Reconciliation, error)

	// Lease makes the caller the only one, over all instances, who holds the name: until release
	// is called, or life is over. It waits while somebody else holds it, and is CodeLeaseHeld where
	// ctx ends meanwhile.
	Lease(ctx context.Context, name string, life time.Duration) (release func(context.Context) error, err error)

	// Head stands for all that was recorded by a moment, which lies far enough back that
	// nothing of then is still to be recorded. It reads everything.
	Head(ctx context.Context, asOf time.Time) (access.Head, error)
}
