package ledger

import (
	"context"
	"errors"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// Erased counts what Erase did.
type Erased struct {
	// Requests are those of which something was erased; Kept those that cannot be yet, as
	// something may still come of them.
	Requests, Kept int
}

// Retain erases the personal data of all requests that were recorded before a time and of
// which nothing can come any more; how old they are, their entries say. Entries, signatures and digests stay, so that the
// ledger still verifies. Of what is damaged nothing is erased: that is the error, after
// all others.
func Retain(ctx context.Context, home Home, signer Signer, before, now time.Time) (Erased, error) {
	return erase(ctx, home, signer, now, "", func(first access.Event) bool { return first.At.Before(before) })
}

// ErasePerson erases one person: all of their own requests, and in those of others what
// they decided and that they were asked.
func ErasePerson(ctx context.Context, home Home, signer Signer, person access.Principal, now time.Time) (Erased, error) {
	return erase(ctx, home, signer, now, person, func(access.Event) bool { return true })
}

func erase(ctx context.Context, home Home, signer Signer, now time.Time, person access.Principal,
	due func(first access.Event) bool) (Erased, error) {
	var done Erased
	var damages []error
	err := home.Walk(ctx, func(r Record) error {
		if r.Row == nil || len(r.Entries) == 0 || !holds(r.Entries, person) {
			return nil
		}
		f, err := fold(ctx, r.ID, r.Entries, signer)
		if err != nil {
			damages = append(damages, damaged(r.ID, err)) // it keeps the data of nobody else
			return nil
		}
		if !due(f.events[0]) {
			return nil
		}
		if !f.erased && !f.settled(now) {
			done.Kept++
			return nil
		}
		row, of := *r.Row, person
		if person == "" || f.erased || person == f.request.Principal {
			row.Principal, row.Resource, row.Summary, of = "", "", nil, "" // all of it
		} else {
			f.request.Reviewers = slices.DeleteFunc(slices.Clone(f.request.Reviewers), func(p access.Principal) bool { return p == person })
			if f.request.Review.By == person { // that it was reviewed, and when, stays
				f.request.Review.By, f.request.Review.Comment = "", ""
			}
			f.request.Decisions = slices.DeleteFunc(slices.Clone(f.request.Decisions), func(d access.Decision) bool { return d.By == person })
			f.request.Bounced = slices.DeleteFunc(slices.Clone(f.request.Bounced), func(p access.Principal) bool { return p == person })
			if row, err = rowOf(f.request, f.head); err != nil {
				return err
			}
		}
		err = home.Erase(ctx, of, row)
		if errors.Is(err, ErrChanged) {
			done.Kept++
			return nil
		}
		done.Requests++
		return err
	})
	return done, errors.Join(err, errors.Join(damages...))
}

// holds is whether there is personal data of somebody in the entries; of anybody where
// person is empty.
func holds(entries []Entry, person access.Principal) bool {
	return slices.ContainsFunc(entries, func(e Entry) bool {
		return slices.ContainsFunc(e.Parts, func(p Part) bool { return !p.erased() && (person == "" || p.Person == person) })
	})
}
