package broker

import (
	"cmp"
	"context"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// facts are what a policy looks at of a person and the entitlements of one resource. What
// could not be found out is not known, which is not the same as none; why is the cause.
type facts struct {
	subject access.Subject // without entitlement, kind and times
	changes map[access.EntitlementID]access.Answer
	cause   error
	// bases are what it takes before any rule, where the provider says so; baseless is why that
	// is not known.
	bases    map[access.EntitlementID]access.Terms
	baseless error
	// held is what they hold, where a policy has to know the marker; unheld is why that is
	// not known.
	held   []access.Entitlement
	unheld error
}

// facts looks up what the policy looks at, and nothing else. standing is of the resource,
// if it has been looked at already.
func (b *Broker) facts(ctx context.Context, caller access.Caller, p access.Principal, standing *access.Standing,
	ids ...access.EntitlementID) facts {
	f := facts{subject: access.Subject{Principal: p}, changes: map[access.EntitlementID]access.Answer{}}
	f.bases, f.baseless = b.bases(ctx, ids)
	if _, ok := b.c.Policy.(Looking); !ok || len(ids) == 0 {
		return f
	}
	looks := b.looks()
	if looks.Ancestors || looks.Approvals {
		if standing == nil {
			q := access.StandingQuery{Resource: ids[0].Resource, Principals: []access.Principal{p}, Of: ids}
			if purpose, _ := access.PurposeOf(ctx); looks.Approvals && purpose != access.ForPage {
				q.Since = b.c.Now() // nobody is refused for a marker of a moment ago
			}
			s, err := b.standing(ctx, caller, q)
			standing, f.cause = &s, err
			if looks.Approvals {
				f.unheld = err
			}
		}
		f.held = standing.Holdings[p]
		if looks.Ancestors {
			f.subject.Ancestors, f.subject.AncestorsKnown = standing.Above, standing.AboveKnown
			if standing.AboveErr != nil {
				f.cause = standing.AboveErr
			}
		}
	}
	if p == caller.Principal {
		f.subject.Claims, f.subject.ClaimsKnown = caller.Claims, b.c.Claims && !caller.ClaimsUnknown
	}
	f.subject.GroupsKnown = true
	for _, group := range looks.Groups {
		in, err := b.memberOf(ctx, caller, p, group)
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

// bases are what it takes to activate entitlements of one resource by what its provider says;
// none where that does not.
func (b *Broker) bases(ctx context.Context, ids []access.EntitlementID) (map[access.EntitlementID]access.Terms, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	apps := b.applications(ids[0].Resource)
	if apps == nil {
		return nil, nil
	}
	bases := map[access.EntitlementID]access.Terms{}
	for _, id := range ids {
		terms, err := apps.Terms(ctx, id)
		if err != nil {
			return nil, err
		}
		bases[id] = terms
	}
	return bases, nil
}

// factsOf are facts of the principal of a request. While they are not here, it counts what
// their assertion named when they asked, where that is remembered.
func (b *Broker) factsOf(ctx context.Context, caller access.Caller, r access.Request, standing *access.Standing,
	ids ...access.EntitlementID) facts {
	f := b.facts(ctx, caller, r.Principal, standing, ids...)
	if r.Principal != caller.Principal {
		f.subject.Claims, f.subject.ClaimsKnown = r.Claims, r.ClaimsKnown
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

// accounts are all addresses of a human, as far as the policy knows them now.
func (b *Broker) accounts(p access.Principal) []access.Principal {
	if policy, ok := b.c.Policy.(Naming); ok {
		return policy.Accounts(p)
	}
	return []access.Principal{p}
}

// peopleOf are the addresses of those among people who have more than one, for a request to
// carry (Terms.People), where that is kept.
func (b *Broker) peopleOf(people []access.Principal) (all [][]access.Principal) {
	for _, p := range people {
		if accounts := b.accounts(p); len(accounts) > 1 && !b.forgets {
			all = append(all, accounts)
		}
	}
	return all
}

// human is the address that stands for all of a person's. What the policy says now of whose
// they are holds, and so does what it said when a request was made (Terms.People).
func (b *Broker) human(p access.Principal, then ...[]access.Principal) access.Principal {
	all := []access.Principal{p}
	for i := 0; i < len(all); i++ {
		for _, accounts := range append([][]access.Principal{b.accounts(all[i])}, then...) {
			for _, account := range accounts {
				if slices.Contains(accounts, all[i]) && !slices.Contains(all, account) {
					all = append(all, account)
				}
			}
		}
	}
	return slices.Min(all)
}

func (b *Broker) subject(f facts, kind access.RequestKind, begins time.Time, id access.EntitlementID) access.Subject {
	s := f.subject
	if base, ok := f.bases[id]; ok {
		s.Base = &base
	}
	s.Entitlement, s.Kind, s.At, s.Begins, s.ChangesPermissions = id, f.marker(id, kind), b.c.Now(), begins, f.changes[id]
	return s
}

// marker is how the marker that they hold lets them activate it, for a request of the kind.
// That somebody asks alone, by a rule that lets them, makes no other marker of theirs.
func (f facts) marker(id access.EntitlementID, kind access.RequestKind) access.RequestKind {
	at := slices.IndexFunc(f.held, func(e access.Entitlement) bool { return e.ID == id })
	if at >= 0 && kind == access.Self && f.held[at].MayRequest() {
		return f.held[at].Kind()
	}
	return kind
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
		t, _, err := b.explained(f, kind, begins, id)
		if err != nil {
			return access.Terms{}, err
		}
		each = append(each, t)
	}
	t := access.Strictest(each[0], each[1:]...)
	if err := b.carriesOut(t); err != nil {
		return access.Terms{}, err
	}
	if glass {
		return brokenGlass(t, string(ids[0].Role))
	}
	return t, nil
}

// explained are the terms of one entitlement, as the policy has them with those who approve
// where that says nothing of them, and why.
func (b *Broker) explained(f facts, kind access.RequestKind, begins time.Time, id access.EntitlementID) (
	access.Terms, access.Explanation, error) {
	if err := cmp.Or(f.unheld, f.baseless); err != nil {
		return access.Terms{}, access.Explanation{}, err
	}
	if id.Resource != "" { // that of nothing in particular has none
		if _, err := b.providerOf(id.Resource); err != nil {
			return access.Terms{}, access.Explanation{}, err
		}
	}
	t, why, err := b.c.Policy.Terms(b.subject(f, kind, begins, id))
	if e := access.AsError(err); e != nil && e.Code == access.CodeRuleUndecided && f.cause != nil {
		told := *e
		told.Err = cmp.Or(e.Err, f.cause)
		err = &told
	}
	return b.named(id.Resource, t), why, err
}

// termsOf are the terms of now for a request. standing is of its resource, if it has been
// looked at already.
func (b *Broker) termsOf(ctx context.Context, caller access.Caller, r access.Request, standing *access.Standing) (access.Terms, error) {
	return b.terms(b.factsOf(ctx, caller, r, standing, r.Entitlements...), r.Kind, r.Start, r.Entitlements...)
}

// kept are the terms as a request carries them: all that a store remembers, and at least
// where they come from, for the journal, and which channels tell of it.
func (b *Broker) kept(t access.Terms) access.Terms {
	if b.forgets {
		return access.Terms{Rule: t.Rule, Policy: t.Policy, Notify: t.Notify, NotifyOnly: t.NotifyOnly}
	}
	return t
}
