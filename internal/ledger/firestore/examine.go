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

// indexedQuery is one that needs an index of its own: of no two is it rested upon that they are
// merged, which is not documented for each kind of condition.
type indexedQuery struct {
	what  string
	query *query
}

// indexed are queries that need all indexes that there are.
func (d *Database) indexed() (all []indexedQuery) {
	for chosen := range 1 << 4 {
		q, what := ledger.Query{}, "requests"
		if chosen&1 != 0 {
			q.States, what = []access.State{access.Pending}, what+" in a state"
		}
		if chosen&2 != 0 {
			q.Principal, what = "nobody", what+", of a person"
		}
		if chosen&4 != 0 {
			q.Resource, what = "projects/none", what+", on a resource"
		}
		if chosen&8 != 0 {
			q.Reviewer, what = "nobody", what+", that somebody was asked"
		}
		if chosen != 0 {
			all = append(all, indexedQuery{what, listing(q).only(state)})
		}
	}
	return append(all, indexedQuery{"what is due in a state", dueBy(time.UnixMicro(1), access.Pending)},
		indexedQuery{"messages that wait", waiting(false)}, indexedQuery{"messages that were put aside", setAside(true)},
		indexedQuery{"notes", notesOf("nothing")})
}
