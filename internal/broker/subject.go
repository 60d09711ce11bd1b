package broker

import (
	"cmp"
	"context"
	"time"

	"jitaccess/internal/access"
)

// facts are what a policy looks at of a person and the entitlements of one resource. What
// could not be found out is not known, which is not the same as none; why is the cause.
type facts struct {
	subject access.Subject // without entitlement, kind and times
	changes map[access.EntitlementID]access.Answer
	cause   error
}

// facts looks up what the policy looks at, and nothing else. standing is of the resource,
// if it has been looked at already.
func (b *Broker) facts(ctx context.Context, caller access.Caller, p access.Principal, standing *access.Standing,
	ids ...access.EntitlementID) facts {
	f := facts{subject: access.Subject{Principal: p}, changes: map[access.EntitlementID]access.Answer{}}
	if _, ok := b.c.Policy.(Looking); !ok || len(ids) == 0 {
		return f
	}
	looks := b.looks()
	if looks.Ancestors {
		if standing == nil {
			s, err := b.standing(ctx, caller, access.StandingQuery{Resource: ids[0].Resource, Principals: []access.Principal{p}, Of: ids})
			standing, f.cause = &s, err
		}
		f.subject.Ancestors, f.subject.AncestorsKnown = standing.Above, standing.AboveKnown
		if standing.AboveErr != nil {
			f.cause = standing.AboveErr
		}
	}
	var since time.Time
	if purpose, _ := access.PurposeOf(ctx); purpose != access.ForPage {
		since = caller.Arrived
	}
	f.subject.GroupsKnown = true
	for _, group := range looks.Groups {
		in, stale, err := b.c.Directory.MemberOf(ctx, p, []string{group}, since)
		if stale != nil && err == nil && !since.IsZero() {
			err = stale // of a moment ago is not of now
		}
		if err != nil {
			f.subject.GroupsKnown, f.cause = false, err
			break
		}
		if in {
			f.subject.Groups = append(f.subject.Groups, group)
		}
	}
	if looks.ChangesPermissions {
		for i, role := range b.describe(ctx, ids) {
			f.changes[ids[i]] = role.ChangesPermissions
		}
	}
	return f
}

// looks is what the policy looks at.
func (b *Broker) looks() access.Looks {
	if policy, ok := b.c.Policy.(Looking); ok {
		return policy.Looks()
	}
	return access.Looks{}
}

// human is the address that stands for all of a person's, as far as the policy knows them.
func (b *Broker) human(p access.Principal) access.Principal {
	if policy, ok := b.c.Policy.(Naming); ok {
		return policy.Human(p)
	}
	return p
}

// why is what a policy says of its terms for an entitlement at once; zero where it does not.
func (b *Broker) why(f facts, kind access.RequestKind, id access.EntitlementID) access.Explanation {
	policy, ok := b.c.Policy.(Explaining)
	if !ok {
		return access.Explanation{}
	}
	return policy.Why(b.subject(f, kind, time.Time{}, id))
}

func (b *Broker) subject(f facts, kind access.RequestKind, begins time.Time, id access.EntitlementID) access.Subject {
	s := f.subject
	s.Entitlement, s.Kind, s.At, s.Begins, s.ChangesPermissions = id, kind, b.c.Now(), begins, f.changes[id]
	return s
}

// terms are the strictest of the entitlements, at least one, for a request of the kind
// that begins at a time; zero is at once. Terms that cannot be carried out are refused,
// never left out.
func (b *Broker) terms(f facts, kind access.RequestKind, begins time.Time, ids ...access.EntitlementID) (access.Terms, error) {
	var each []access.Terms
	glass := kind == access.BreakGlass
	if glass { // of what others would have to approve
		kind = access.Peers
	}
	for _, id := range ids {
		t, err := b.c.Policy.Terms(b.subject(f, kind, begins, id))
		if e := access.AsError(err); e != nil && e.Code == access.CodeRuleUndecided && f.cause != nil {
			told := *e
			told.Err = cmp.Or(e.Err, f.cause)
			err = &told
		}
		if err != nil {
			return access.Terms{}, err
		}
		each = append(each, t)
	}
	t := access.Strictest(each[0], each[1:]...)
	if err := b.carriesOut(t, kind); err != nil || !glass {
		return t, err
	}
	return brokenGlass(t, string(ids[0].Role))
}

// kept are the terms as a request carries them: all that a store remembers, and for the
// journal at least where they come from.
func (b *Broker) kept(t access.Terms) access.Terms {
	if b.forgets {
		return access.Terms{Rule: t.Rule, Policy: t.Policy}
	}
	return t
}
