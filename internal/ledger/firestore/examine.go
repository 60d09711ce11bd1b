package firestore

import (
	"context"
	"errors"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

// Look is one call that changes nothing, made to see whether it is answered. Err says what there
// is to do, where that is known.
type Look struct {
	What string
	Err  error
}

// Examine looks whether the API, the database, its mode, rights and each index are as they are
// needed. What is behind one that is not does not answer either, but for indexes, which are all
// looked at.
func (d *Database) Examine(ctx context.Context) (looks []Look) {
	found, err := d.get(ctx, states, []string{layoutDocument})
	looks = append(looks, Look{"the API answers, and " + d.String() + " is in native mode", err})
	if err != nil {
		return looks
	}
	if has := found[layoutDocument].Fields["version"].number(); has > layout+1 {
		return append(looks, Look{"it is kept in a way that this version knows", ledger.NewerError{Has: has, Knows: layout}})
	}
	// Nothing is removed that is not there, and who may not write is not told that.
	there := true
	err = d.commit(ctx, write{Delete: d.path(states, "nothing"), Only: precondition{Exists: &there}})
	if is(err, notFound) || is(err, failedPrecondition) {
		err = nil
	} else if err == nil {
		err = errors.New("what is not there was removed")
	}
	looks = append(looks, Look{"the service account may write", err})
	for _, each := range d.indexed() {
		looks = append(looks, Look{"the index for " + each.what, d.run(ctx, each.query, 1, func(document) error { return nil })})
	}
	return looks
}

type indexedQuery struct {
	what  string
	query *query
}

// indexed are queries of which each needs an index of its own, and that need all there are.
func (d *Database) indexed() []indexedQuery {
	q := func(of ledger.Query, states ...access.State) *query {
		of.States = states
		return chosen(of).only(state)
	}
	const somebody, somewhere = access.Principal("nobody"), access.Resource("projects/none")
	return []indexedQuery{
		{"requests in a state", q(ledger.Query{}, access.Pending)},
		{"requests of a person", q(ledger.Query{Principal: somebody})},
		{"requests of a person in a state", q(ledger.Query{Principal: somebody}, access.Pending)},
		{"requests on a resource", q(ledger.Query{Resource: somewhere})},
		{"requests on a resource in a state", q(ledger.Query{Resource: somewhere}, access.Pending)},
		{"requests that somebody was asked", q(ledger.Query{Reviewer: somebody})},
		{"requests in a state that somebody was asked", q(ledger.Query{Reviewer: somebody}, access.Pending)},
		{"requests of a person that somebody was asked", q(ledger.Query{Reviewer: somebody, Principal: somebody})},
		{"requests of a person in a state that somebody was asked", q(ledger.Query{Reviewer: somebody, Principal: somebody}, access.Pending)},
		{"requests on a resource that somebody was asked", q(ledger.Query{Reviewer: somebody, Resource: somewhere})},
		{"requests on a resource in a state that somebody was asked", q(ledger.Query{Reviewer: somebody, Resource: somewhere}, access.Pending)},
		{"requests of a person on a resource that somebody was asked", q(ledger.Query{Reviewer: somebody, Principal: somebody,
			Resource: somewhere})},
		{"requests of a person on a resource in a state that somebody was asked", q(ledger.Query{Reviewer: somebody, Principal: somebody,
			Resource: somewhere}, access.Pending)},
		{"what is due in a state", dueBy(time.UnixMicro(1), access.Pending)},
		{"messages that wait", waiting(false)},
		{"messages that are put aside", from(outbox, up, made).where(aside, equal, truth(true))},
		{"notes", notesOf("nothing")},
	}
}
