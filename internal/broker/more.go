package broker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// MoreReviewers is a pending request of the caller's, and who could still be asked.
type MoreReviewers struct {
	Request access.Request
	// Candidates may review it and have not been asked, sorted. Keyless are as in Reviewers, of
	// all of them, and AskedKeyless of those who were asked.
	Candidates, Keyless, AskedKeyless []access.Principal
	// Room is how many of them may be asked.
	Room int
	// Terms say who may approve; Typed is as in Choice.
	Terms    access.Terms
	Typed    bool
	Warnings []*access.Error
}

// MoreReviewers says whom the caller could add to the reviewers of their own
// request. It changes nothing.
func (b *Broker) MoreReviewers(ctx context.Context, caller access.Caller, ref string) (MoreReviewers, error) {
	r, err := b.open(ctx, ref)
	if err != nil {
		return MoreReviewers{}, err
	}
	terms, err := b.demanded(ctx, caller, r)
	if err = cmp.Or(yours(caller, r), err); err != nil {
		return MoreReviewers{}, err
	}
	all, err := b.candidates(ctx, caller, r, terms, func(s access.Standing) error {
		return cmp.Or(b.undecided(r, s), holds(r.Principal, r, nil, s))
	})
	if err != nil {
		return MoreReviewers{}, err
	}
	asked := b.later.asked(r, b.c.Now())
	fresh := slices.DeleteFunc(all.People, func(p access.Principal) bool { return slices.Contains(asked, p) })
	return MoreReviewers{Request: r, Candidates: fresh, Keyless: all.Keyless, AskedKeyless: b.Keyless(ctx, r),
		Room: max(0, terms.MaxReviewers-len(asked)), Warnings: all.Warnings, Terms: terms, Typed: typed(terms)}, nil
}

// demanded are the terms that hold for a request of others' approval now, before it is
// looked who holds what.
func (b *Broker) demanded(ctx context.Context, caller access.Caller, r access.Request) (access.Terms, error) {
	terms, err := b.termsOf(ctx, caller, r, nil)
	if err == nil && r.Terms.MaxDuration > 0 {
		terms = access.Strictest(terms, r.Terms)
	}
	return terms, cmp.Or(err, agrees(terms, r.Kind))
}

// yours is nil for the principal of the request, and for the application that made it.
func yours(caller access.Caller, r access.Request) error {
	if caller.Principal == r.Principal || askedBy(caller, r) {
		return nil
	}
	return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotInvolved}
}

// AddReviewers is more people to ask for a pending request.
type AddReviewers struct {
	// Ref opens the request.
	Ref string
	// Reviewers are addresses as typed. Those who were asked already are left out.
	Reviewers []string
	// Origin and Host are as in Ask.
	Origin, Host string
}

// AddReviewers lets the caller ask more people to decide their own request, while
// nobody has decided it. Nothing else changes: it keeps its id, its clock and its
// end. Only the new reviewers are told. Where the link is the record, the new
// reviewers get a new one, and the old one stays good for those who have it:
// whichever is approved first makes the grant, of which there is one by its id. The
// same people again, within the hour, are the same result and are not told again.
func (b *Broker) AddReviewers(ctx context.Context, caller access.Caller, a AddReviewers) (Asked, error) {
	r, err := b.openToChange(ctx, a.Ref)
	refused := func(err error) (Asked, error) {
		return Asked{Request: r}, b.refuse(ctx, caller, access.ReviewersAdded, r, err)
	}
	if err != nil {
		return refused(err)
	}
	if err := cmp.Or(yours(caller, r), linkable(a.Origin, a.Host)); err != nil {
		return refused(err)
	}
	all, err := b.readReviewers(caller, a.Reviewers)
	if err != nil {
		return refused(err)
	}
	added := slices.DeleteFunc(all, func(p access.Principal) bool { return slices.Contains(r.Reviewers, p) })
	if len(added) == 0 {
		return refused(invalid(access.FieldReviewer, access.CodeNobodyAdded, nil))
	}
	r.Terms.People = append(slices.Clone(r.Terms.People), b.peopleOf(added)...)
	r.Reviewers = append(slices.Clone(r.Reviewers), added...)
	slices.Sort(r.Reviewers)
	terms, err := b.demanded(ctx, caller, r)
	few := func(all []access.Principal) error { // by whichever link
		everybody := r
		everybody.Reviewers = all
		return b.within(terms, everybody)
	}
	if err = cmp.Or(err, few(b.later.asked(r, b.c.Now()))); err != nil {
		return refused(err)
	}
	q := access.StandingQuery{Resource: r.Resource, Principals: slices.Concat(people(r, r.Principal), persons(added)), Of: r.Entitlements}
	var invited []invitee
	var tally access.Tally
	standing, refusal, err := b.look(ctx, caller, q, func(s access.Standing) error {
		err := cmp.Or(b.undecided(r, s), holds(r.Principal, r, nil, s))
		if err == nil {
			invited, err = b.invitees(ctx, caller, r, added, terms, s)
		}
		if err == nil && terms.InOrder {
			tally, err = b.count(ctx, caller, r, r.Decisions, terms, s)
		}
		return err
	})
	if err = cmp.Or(err, refusal); err != nil {
		return refused(err)
	}
	before := slices.DeleteFunc(slices.Clone(r.Reviewers), func(p access.Principal) bool { return slices.Contains(added, p) })
	added = slices.DeleteFunc(whoAreAsked(invited), func(p access.Principal) bool { return slices.Contains(before, p) })
	if len(added) == 0 {
		return refused(invalid(access.FieldReviewer, access.CodeNobodyAdded, nil))
	}
	r.Reviewers = append(before, added...)
	slices.Sort(r.Reviewers)
	tell := whoseTurn(terms, tally, invited)
	// Sent twice it is one: the digest has everybody who is asked now, and not who is new.
	return b.asked.do(ctx, caller.Principal, fmt.Sprint(r.FullDigest(), " with ", added), func() (Asked, error) {
		undo, err := b.later.add(r, added, b.c.Now(), few)
		if err != nil {
			return refused(err)
		}
		asked, err := b.invite(ctx, caller, access.ReviewersAdded, r, standing, tell, a.Origin)
		if err != nil {
			undo()
		}
		return asked, err
	})
}

// readReviewers reads addresses as typed: sorted, each once, never one of the caller's.
func (b *Broker) readReviewers(caller access.Caller, typed []string) ([]access.Principal, error) {
	var reviewers []access.Principal
	for _, text := range typed {
		p, err := access.ParseReviewer(strings.TrimSpace(text))
		if err != nil {
			return nil, invalid(access.FieldReviewer, access.CodeBadReviewer, access.Args{"reviewer": text})
		}
		if b.human(p) == b.human(caller.Principal) {
			return nil, invalid(access.FieldReviewer, access.CodeSelfReviewer, nil)
		}
		reviewers = append(reviewers, p)
	}
	slices.Sort(reviewers)
	return slices.Compact(reviewers), nil
}
