package firestore

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/ledger"
)

// Swept implements ledger.Home.
func (d *Database) Swept(ctx context.Context, at time.Time) error {
	return d.commit(ctx, write{Update: &document{Name: d.path(states, sweepDocument), Fields: fields{"began": integer(at.UnixMicro())}}})
}

// LastSweep implements ledger.Home.
func (d *Database) LastSweep(ctx context.Context) (time.Time, error) {
	found, err := d.get(ctx, states, []string{sweepDocument})
	return found[sweepDocument].Fields["began"].time(), err
}

// Hold implements ledger.Home. The only clock is the service's: a lease has the time at which
// the service took it (REQUEST_TIME), which is held against the time at which it says that it
// has read it. Two who see that it is over follow on the same document, and one of them is
// refused.
func (d *Database) Hold(ctx context.Context, name, holder string, life time.Duration) (bool, error) {
	found, err := d.get(ctx, leases, []string{name})
	if err != nil {
		return false, err
	}
	f := fields{"holder": text(holder), "life": integer(life.Microseconds())}
	take := d.create(leases, name, f)
	if one, ok := found[name]; ok {
		if one.Fields["holder"].text() != holder && one.readAt.Before(ends(one)) {
			return false, nil
		}
		take = d.follow(one, f)
	}
	take.Transforms = []transform{{"since", "REQUEST_TIME"}}
	if err = d.follows(ctx, take); errors.Is(err, ledger.ErrChanged) { // somebody else was quicker
		return false, nil
	}
	return err == nil, err
}

// ends is when a lease is over.
func ends(lease document) time.Time {
	since := lease.Fields["since"].Timestamp
	if since == nil {
		return time.Time{}
	}
	return since.Add(time.Duration(min(lease.Fields["life"].number(), math.MaxInt64/1000)) * time.Microsecond)
}

// Release implements ledger.Home.
func (d *Database) Release(ctx context.Context, name, holder string) error {
	_, err := d.change(ctx, leases, name, nil, func(one document) *write {
		if one.Fields["holder"].text() != holder {
			return nil
		}
		return new(remove(one))
	})
	return err
}

// EndSession implements ledger.Home. Of those that are over some go each time, which is more
// than come.
func (d *Database) EndSession(ctx context.Context, id string, until, now time.Time) (first bool, err error) {
	const some = 20
	var all []write
	over := from(sessions, up, "until").where("until", more, integer(0)).where("until", less, integer(now.UnixMicro()))
	if err := d.run(ctx, over, some, func(one document) error {
		if one.id() != id && one.Name == d.path(sessions, one.id()) { // and none of somebody else's
			all = append(all, write{Delete: one.Name})
		}
		return nil
	}); err != nil {
		return false, err
	}
	if len(all) > 0 {
		if err := d.commit(ctx, all...); err != nil {
			return false, err
		}
	}
	err = d.follows(ctx, d.create(sessions, id, fields{"until": integer(until.UnixMicro())}))
	if errors.Is(err, ledger.ErrChanged) { // it is there already
		return false, nil
	}
	return err == nil, err
}

// SessionEnded implements ledger.Home.
func (d *Database) SessionEnded(ctx context.Context, id string) (bool, error) {
	found, err := d.get(ctx, sessions, []string{id})
	return len(found) > 0, err
}

// A note is a document named by its kind and its ID, with a sign between them that neither has.
const between = "."

func noteName(kind, id string) string { return named(kind) + between + named(id) }

// Keep implements ledger.Home.
func (d *Database) Keep(ctx context.Context, n ledger.Note, kept ...ledger.Kept) error {
	f := signed(n.Signature, fields{"kind": text(n.Kind), "id": text(n.ID), "body": binary(n.Body)})
	f.setTime(made, n.Made)
	at := d.documents + "/" + notes + "/" + noteName(n.Kind, n.ID)
	note := write{Update: &document{Name: at, Fields: f}, Only: precondition{Exists: new(bool)}}
	err := d.together(ctx, []write{note}, kept)
	if errors.Is(err, ledger.ErrChanged) { // it is there already
		return nil
	}
	return err
}

func (one document) note() ledger.Note {
	f := one.Fields
	return ledger.Note{Kind: f["kind"].text(), ID: f["id"].text(), Made: f[made].time(), Body: f["body"].bytes(), Signature: signature(f)}
}

// notesOf is a query of the notes of a kind, the newest first.
func notesOf(kind string) *query {
	return from(notes, down, made).where("kind", equal, text(kind)).where(made, atLeast, integer(0))
}

// Notes implements ledger.Home.
func (d *Database) Notes(ctx context.Context, kind string, max int) (all []ledger.Note, err error) {
	err = d.all(ctx, notesOf(kind), max, func(one document) error {
		all = append(all, one.note())
		return nil
	})
	return all, err
}

// under are the notes of a kind whose IDs begin with a prefix, by their names.
func (d *Database) under(kind, prefix string) *query {
	begins := d.documents + "/" + notes + "/" + noteName(kind, prefix)
	// All signs of names are before this one.
	return from(notes, up).where(name, atLeast, value{Reference: begins}).where(name, less, value{Reference: begins + "~"})
}

// NotesUnder implements ledger.Home. They lie by their names, and are put into their order here.
func (d *Database) NotesUnder(ctx context.Context, kind, prefix string, max int) (all []ledger.Note, err error) {
	err = d.all(ctx, d.under(kind, prefix), everything, func(one document) error {
		all = append(all, one.note())
		return nil
	})
	slices.SortFunc(all, func(a, b ledger.Note) int {
		if order := b.Made.Compare(a.Made); order != 0 {
			return order
		}
		return strings.Compare(b.ID, a.ID)
	})
	return all[:min(max, len(all))], err
}
