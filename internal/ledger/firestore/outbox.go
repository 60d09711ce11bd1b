package firestore

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

// A message is a document with the fields of a ledger.Kept, and whether it is put aside; then it has
// no due.
const (
	besideField = "besides"
	aside       = "aside"
	channels    = "channels"
	person      = "person"
	notice      = "notice"
	attempted   = "attempts"
	lease       = "lease"
)

// message is the write that puts a message into the outbox.
func (d *Database) message(k ledger.Kept) write {
	f := fields{"request": text(k.Request), notice: binary(k.Notice), attempted: integer(k.Attempts), lease: text(k.Lease),
		person: text(k.Person), channels: text(k.Channels), besideField: truth(strings.HasPrefix(k.ID, access.Besides))}
	f.setTime(made, k.Made)
	f.setTime(due, k.Due)
	f[aside] = truth(k.Due.IsZero())
	return d.create(outbox, k.ID, f)
}

func (one document) kept() ledger.Kept {
	f := one.Fields
	k := ledger.Kept{ID: one.id(), Request: f["request"].text(), Notice: f[notice].bytes(), Made: f[made].time(), Due: f[due].time(),
		Attempts: int(f[attempted].number()), Lease: f[lease].text(), Person: f[person].text(), Channels: f[channels].text()}
	if len(k.Notice) > maxRow {
		k.Notice = nil
	}
	return k
}

// furthest is how many messages are looked at for those that have their turn. Where there are
// more, the next look goes on behind them, so that whose turn it is comes in a few looks.
var furthest = 2000

// waiting is a query of messages that are not put aside, by whose they are.
func waiting(besides bool) *query {
	return from(outbox, up, channels, person, due).where(besideField, equal, truth(besides))
}

// Waiting implements ledger.Home. Messages lie by their channels and persons, so that of
// somebody who has very many only those are looked at that can have their turn.
func (d *Database) Waiting(ctx context.Context, by time.Time, max int, besides bool) ([]ledger.Kept, error) {
	type account struct{ channels, person string }
	of := map[account][]ledger.Kept{}
	d.mu.Lock()
	at := d.reached[besides]
	d.mu.Unlock()
	for looked := 0; ; {
		q := waiting(besides)
		if at != nil {
			q.after(at...)
		}
		var last document
		n := 0
		err := d.run(ctx, q, stride, func(one document) error {
			k := one.kept()
			whose := account{k.Channels, k.Person}
			mine := one.Name == d.path(outbox, k.ID) // and none that nobody could lease
			if mine && !k.Due.IsZero() && !k.Due.After(by) && len(of[whose]) < max {
				of[whose] = append(of[whose], k)
			}
			last, n = one, n+1
			return nil
		})
		if err != nil {
			return nil, err
		}
		if looked += n; n < stride {
			at = nil
			break
		}
		if at = q.place(last); len(of[account{last.kept().Channels, last.kept().Person}]) == max {
			at = []value{last.Fields[channels], last.Fields[person], integer(math.MaxInt64)}
		}
		if looked >= furthest {
			break
		}
	}
	d.mu.Lock()
	d.reached[besides] = at
	d.mu.Unlock()
	return inTurns(of, max, func(a account) string { return a.channels }), nil
}

// inTurns takes of each channel one at a time, and of those one of each account, the earliest
// first. What one account has waiting is in its order.
func inTurns[A comparable](waiting map[A][]ledger.Kept, max int, channel func(A) string) (all []ledger.Kept) {
	type placed struct {
		ledger.Kept
		turn int
	}
	earlier := func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.turn, b.turn), a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID))
	}
	of := map[string][]placed{}
	for a, theirs := range waiting {
		for place, k := range theirs {
			of[channel(a)] = append(of[channel(a)], placed{k, place})
		}
	}
	var turns []placed
	for _, some := range of {
		slices.SortFunc(some, earlier)
		for i := range some {
			some[i].turn = i
		}
		turns = append(turns, some...)
	}
	slices.SortFunc(turns, earlier)
	for _, p := range turns[:min(max, len(turns))] {
		all = append(all, p.Kept)
	}
	return all
}

// setAside is a query of messages that are put aside, or not, the oldest first.
func setAside(is bool) *query { return from(outbox, up, made).where(aside, equal, truth(is)) }

// Aside implements ledger.Home.
func (d *Database) Aside(ctx context.Context, max int) (all []ledger.Kept, err error) {
	err = d.all(ctx, setAside(true), max, func(one document) error {
		all = append(all, one.kept())
		return nil
	})
	return all, err
}

// changeAttempts is how often somebody else may be quicker with the same document.
const changeAttempts = 20

// change has a document changed, or removed, as write says of what it is, which is asked again
// where somebody else was quicker; nil of write is to leave it. It says whether it was changed.
func (d *Database) change(ctx context.Context, collection, id string, paths []string, write func(document) *write) (bool, error) {
	for attempt := 1; ; attempt++ {
		found, err := d.get(ctx, collection, []string{id}, paths...)
		if err != nil {
			return false, err
		}
		one, ok := found[id]
		if !ok {
			return false, nil
		}
		w := write(one)
		if w == nil {
			return false, nil
		}
		if err = d.follows(ctx, *w); !errors.Is(err, ledger.ErrChanged) || attempt == changeAttempts {
			return err == nil, err
		}
	}
}

// Lease implements ledger.Home.
func (d *Database) Lease(ctx context.Context, was ledger.Kept, to string) (bool, error) {
	return d.change(ctx, outbox, was.ID, []string{lease, attempted}, func(one document) *write {
		if k := one.kept(); k.Lease != was.Lease || k.Attempts != was.Attempts {
			return nil
		}
		return new(d.follow(one, fields{lease: text(to)}))
	})
}

// Drop implements ledger.Home.
func (d *Database) Drop(ctx context.Context, id, of string) error {
	_, err := d.change(ctx, outbox, id, []string{lease}, func(one document) *write {
		if one.kept().Lease != of {
			return nil
		}
		return new(remove(one))
	})
	return err
}

// Delay implements ledger.Home.
func (d *Database) Delay(ctx context.Context, k ledger.Kept, again time.Time) error {
	_, err := d.change(ctx, outbox, k.ID, []string{lease, attempted}, func(one document) *write {
		is := one.kept()
		if is.Lease != k.Lease {
			return nil
		}
		f := fields{lease: text(""), attempted: integer(is.Attempts + 1), aside: truth(again.IsZero())}
		if len(k.Notice) > 0 {
			f[notice], f[channels] = binary(k.Notice), text(k.Channels)
		}
		if again.IsZero() {
			return new(d.follow(one, f, due))
		}
		f.setTime(due, again)
		return new(d.follow(one, f))
	})
	return err
}

// Outbox implements ledger.Home. The service counts, a read for each thousand.
func (d *Database) Outbox(ctx context.Context) (count int, oldest time.Time, err error) {
	if count, err = d.count(ctx, setAside(false)); err != nil {
		return 0, oldest, err
	}
	err = d.run(ctx, setAside(false).only(made), 1, func(one document) error {
		oldest = one.Fields[made].time()
		return nil
	})
	return count, oldest, err
}
