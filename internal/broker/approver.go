package broker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// as is what p is now of those whom the terms name for approving the request, and of the
// groups that were asked, spelled as Decision.As. The error says why they may not approve
// it: of kind NotAllowed, in words for the caller, unless it is not known whether they may,
// which is never taken for a yes.
func (b *Broker) as(ctx context.Context, caller access.Caller, p access.Principal, r access.Request, terms access.Terms,
	s access.Standing) ([]string, error) {
	as, err := b.askedThrough(ctx, caller, p, r)
	if decidesAtPage(caller, p, r) {
		as = append(as, access.FromAdminPage)
	}
	if err = cmp.Or(err, r.Involves(p, as...), b.another(r, p)); err != nil {
		return nil, err
	}
	notPeer := holds(caller.Principal, r, []access.Principal{p}, s)
	if terms.InheritedOnly {
		if err := cmp.Or(notPeer, inherits(r, p, s)); err != nil {
			return nil, err
		}
	}
	unknown := map[string]error{}
	var unclaimed error // concerns only who is nothing else: a sign-in may leave claims open for good
	for _, need := range terms.Requirements {
		for _, from := range need.From {
			is := false
			switch kind, name, _ := strings.Cut(from, ":"); {
			case slices.Contains(as, from):
			case from == access.FromPeers:
				is = notPeer == nil
			case kind == "user":
				is = name == string(p)
			case kind == "domain":
				is = name == p.Domain()
			case kind == "group":
				is, unknown[from] = b.memberOf(ctx, caller, p, name)
			case kind == "claim":
				var err error
				is, err = claimed(caller, p, r, from)
				unclaimed = cmp.Or(unclaimed, err)
			}
			if is {
				as = append(as, from)
			}
		}
	}
	for _, need := range terms.Requirements {
		for _, from := range need.From {
			if !fills(as, need) && unknown[from] != nil {
				return nil, unknown[from]
			}
		}
	}
	if !slices.ContainsFunc(terms.Requirements, func(need access.Requirement) bool { return fills(as, need) }) {
		return nil, cmp.Or(unclaimed, notPeer, error(mayNotApprove(caller.Principal, p, r.Entitlements[0])))
	}
	return as, nil
}

// fills is whether somebody who is all that may give an approval that is needed.
func fills(as []string, need access.Requirement) bool {
	return slices.ContainsFunc(as, func(one string) bool { return slices.Contains(need.From, one) })
}

// askedThrough are the groups that were asked of which p is one; none who was asked in person.
func (b *Broker) askedThrough(ctx context.Context, caller access.Caller, p access.Principal, r access.Request) ([]string, error) {
	var through []string
	if p == r.Principal || slices.Contains(r.Reviewers, p) {
		return nil, nil
	}
	for _, asked := range r.Reviewers {
		if group, ok := asked.Group(); ok {
			in, err := b.memberOf(ctx, caller, p, group)
			if err != nil {
				return nil, err
			}
			if in {
				through = append(through, string(asked))
			}
		}
	}
	return through, nil
}

// involves is nil for who has a say in the request, in person, as one of a group, or at the
// administration page.
func (b *Broker) involves(ctx context.Context, caller access.Caller, r access.Request) error {
	through, err := b.askedThrough(ctx, caller, caller.Principal, r)
	if caller.AtAdmin && r.Terms.AtAdminPage() {
		through = append(through, access.FromAdminPage)
	}
	return cmp.Or(err, r.Involves(caller.Principal, through...))
}

// since is as of when groups must be known for what the caller does: a page may show what
// is some seconds old; what somebody does rests on what was asked after they came.
func (b *Broker) since(ctx context.Context, caller access.Caller) time.Time {
	switch purpose, _ := access.PurposeOf(ctx); {
	case purpose == access.ForPage:
		return time.Time{}
	case caller.Method == access.MethodSystem:
		return b.c.Now()
	}
	return caller.Arrived
}

// memberOf asks the Directory. What is not known, or not of now where that is wanted, is
// an error.
func (b *Broker) memberOf(ctx context.Context, caller access.Caller, p access.Principal, group string) (bool, error) {
	since := b.since(ctx, caller)
	if b.c.Directory == nil {
		return false, &access.Error{Kind: access.Unavailable, Code: access.CodeDirectoryNotSet}
	}
	in, stale, err := b.c.Directory.MemberOf(ctx, p, []string{group}, since)
	if stale != nil && err == nil && !since.IsZero() {
		err = stale // of a moment ago is not of now
	}
	if err != nil {
		return false, undecided(err)
	}
	return in, nil
}

// undecided is an error of who is in a group, as one that may pass.
func undecided(err error) error {
	e := *access.AsError(err)
	if e.Kind == access.NotAllowed || e.Kind == access.NotFound || e.Kind == access.Invalid {
		e.Kind = access.Unavailable
	}
	return &e
}

// inherits is nil where a folder or the organization lets p review all of the request.
func inherits(r access.Request, p access.Principal, s access.Standing) error {
	for _, id := range r.Entitlements {
		if !s.Holding(p, id).OnlyInherited().MayReviewFor(s.Holding(r.Principal, id)) {
			return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotInherited, Field: access.FieldReviewer,
				Args: access.Args{"reviewer": string(p), "role": string(id.Role), "resource": string(id.Resource)}}
		}
	}
	return nil
}

func mayNotApprove(caller, p access.Principal, id access.EntitlementID) *access.Error {
	e := &access.Error{Kind: access.NotAllowed, Code: access.CodeReviewerLost,
		Args: access.Args{"role": string(id.Role), "resource": string(id.Resource)}}
	if caller != p {
		e.Code, e.Field, e.Args["reviewer"] = access.CodeReviewerNotEligible, access.FieldReviewer, string(p)
	}
	return e
}

// levels are the access levels with which the caller decides: those of an assertion that
// is fresh. The error says what is missing of those that the terms demand.
func (b *Broker) levels(caller access.Caller, terms access.Terms) ([]string, error) {
	var levels []string
	fresh := !caller.Asserted.IsZero() && b.c.Now().Sub(caller.Asserted) <= access.AssertionLife
	if fresh {
		levels = caller.AccessLevels
	}
	for _, level := range terms.ApproverAccessLevels {
		switch {
		case !fresh:
			return nil, &access.Error{Kind: access.NotAllowed, Code: access.CodeSignInAgain}
		case !slices.Contains(levels, level):
			return nil, &access.Error{Kind: access.NotAllowed, Code: access.CodeAccessLevel, Args: access.Args{"level": level}}
		}
	}
	return levels, nil
}

// turn is nil for who may fill what is to be filled now. Without an order that is anything.
func turn(terms access.Terms, tally access.Tally, as []string) error {
	if open, waits := tally.Open(terms.Requirements); terms.InOrder && waits && !fills(as, open) {
		return &access.Error{Kind: access.Conflict, Code: access.CodeNotYourTurn, Args: access.Args{"people": spelled(open.From)}}
	}
	return nil
}

// spelled are people as a policy spells them.
func spelled(from []string) string { return strings.Join(from, ", ") }

// count says how far approvals have come. It leaves out who approved before and may not do
// so any more; who was asked or approved as one of a group counts while they are in it. One
// human counts once, by however many addresses they approve, and never for their own
// request. The error is that it is not known of somebody.
func (b *Broker) count(ctx context.Context, caller access.Caller, r access.Request, decisions []access.Decision, terms access.Terms,
	standing access.Standing) (access.Tally, error) {
	var counted []access.Principal
	still := map[access.Principal][]string{}
	var counts []access.Decision
	for _, d := range decisions {
		human := b.human(d.By, r.Terms.People...)
		switch {
		case d.Verdict != access.Approve:
			counts = append(counts, d)
			continue
		case slices.Contains(counted, human):
			continue
		}
		as, err := b.as(ctx, caller, d.By, r, terms, standing)
		if err != nil && !notAllowed(err) {
			return access.Tally{}, err
		}
		as = slices.DeleteFunc(as, func(now string) bool { return !d.Was(access.Requirement{From: []string{now}}) })
		lacks := func(level string) bool { return !slices.Contains(d.AccessLevels, level) }
		if len(as) == 0 || slices.ContainsFunc(terms.ApproverAccessLevels, lacks) {
			continue
		}
		if signed, err := b.countsSigned(ctx, d, r, terms); err != nil {
			return access.Tally{}, err
		} else if !signed {
			continue
		}
		counted, counts = append(counted, human), append(counts, d)
		still[d.By] = as
	}
	return access.Quorum(r.Principal, counts, terms.Requirements, func(p access.Principal, need access.Requirement) bool {
		return fills(still[p], need)
	}), nil
}

// invitee is somebody who is to be asked: a person, or a group of so many people. as is
// what they could approve as.
type invitee struct {
	who    access.Principal
	as     []string
	people int
}

// invitees are those who are to be asked, if each of them could approve something. A bare
// address that is no approver's may be that of a group.
func (b *Broker) invitees(ctx context.Context, caller access.Caller, r access.Request, ask []access.Principal, terms access.Terms,
	s access.Standing) ([]invitee, error) {
	var all []invitee
	for _, p := range ask {
		if address, ok := p.Group(); ok {
			group, err := b.invitedGroup(ctx, caller, r, address, terms)
			if err != nil {
				return nil, err
			}
			all = append(all, group)
			continue
		}
		asked := r
		asked.Reviewers = []access.Principal{p}
		as, err := b.as(ctx, caller, p, asked, terms, s)
		as, err = perhaps(as, err, terms)
		if notAllowed(err) {
			if group, none := b.invitedGroup(ctx, caller, r, string(p), terms); none == nil {
				all = append(all, group)
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		all = append(all, invitee{p, as, 1})
	}
	return all, nil
}

// invitedGroup is a group that is to be asked, which takes a policy file: without one only
// people are, as in JIT Access 1.x. Each of its members is looked at when they
// decide; what is certain now is that there is somebody besides the requester.
func (b *Broker) invitedGroup(ctx context.Context, caller access.Caller, r access.Request, address string, terms access.Terms) (
	invitee, error) {
	group := invitee{who: access.Principal(access.GroupPrefix + address)}
	if _, ok := b.c.Policy.(Looking); !ok && r.Asking.IsZero() {
		return group, invalid(access.FieldReviewer, access.CodeBadReviewer, access.Args{"reviewer": string(group.who)})
	}
	if b.c.Directory == nil {
		return group, &access.Error{Kind: access.Unavailable, Code: access.CodeDirectoryNotSet}
	}
	people, _, err := b.c.Directory.PeopleIn(ctx, address, b.since(ctx, caller))
	if e := access.AsError(err); e != nil && e.Kind != access.NotFound {
		return group, err
	}
	people = slices.DeleteFunc(slices.Clone(people), func(p access.Principal) bool { return b.another(r, p) != nil })
	if group.people = b.humans(people); group.people == 0 {
		return group, &access.Error{Kind: access.Invalid, Code: access.CodeNobodyInGroup, Field: access.FieldReviewer,
			Args: access.Args{"group": address}, Err: err}
	}
	if group.as = mightBe(group.who, terms); len(group.as) == 0 {
		return group, mayNotApprove(caller.Principal, group.who, r.Entitlements[0])
	}
	return group, nil
}

// everybodyNamed are the people and groups that the terms name, sorted, when they name nobody
// else: of peers, and of everybody of a domain, nobody is asked by naming none.
func (b *Broker) everybodyNamed(r access.Request, terms access.Terms) []access.Principal {
	all, others := b.namedIn(r, terms)
	if others {
		return nil
	}
	return all
}

// namedIn are the people and groups that the terms name, sorted, without the principal of the
// request; others is whether the terms name more, who are known by what they are.
func (b *Broker) namedIn(r access.Request, terms access.Terms) (all []access.Principal, others bool) {
	all, others = spelledOut(spelledIn(terms))
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(p access.Principal) bool { return b.another(r, p) != nil }), others
}

// spelledIn are all whom terms name for approving.
func spelledIn(terms access.Terms) (all []string) {
	for _, need := range terms.Requirements {
		all = append(all, need.From...)
	}
	return all
}

// spelledOut are the people and groups among those whom a policy or a setting names; others is
// whether there are more, who are known by what they are.
func spelledOut(spelled []string) (all []access.Principal, others bool) {
	for _, one := range spelled {
		address, user := strings.CutPrefix(one, "user:")
		switch {
		case user:
			all = append(all, access.Principal(address))
		case strings.HasPrefix(one, access.GroupPrefix):
			all = append(all, access.Principal(one))
		default:
			others = true
		}
	}
	return all, others
}

// mightBe is what members of a group may approve as: the group, where the terms name it, and
// otherwise whatever its members may be that is no group.
func mightBe(group access.Principal, terms access.Terms) []string {
	var as []string
	for _, need := range terms.Requirements {
		for _, from := range need.From {
			if from == string(group) {
				return []string{from}
			}
			if !strings.HasPrefix(from, access.GroupPrefix) {
				as = append(as, from)
			}
		}
	}
	return as
}

// enough is nil where those who are asked could give all the approvals that it takes of them.
func (b *Broker) enough(r access.Request, terms access.Terms, asked []invitee) error {
	terms.Requirements = slices.DeleteFunc(slices.Clone(terms.Requirements), func(need access.Requirement) bool {
		return slices.Contains(need.From, access.FromAdminPage)
	})
	could := map[access.Principal][]string{}
	var decisions []access.Decision
	for _, i := range asked {
		for n := range min(i.people, terms.Approvals()) {
			one := i.who
			if n > 0 {
				one += access.Principal("#" + strconv.Itoa(n))
			}
			if _, twice := could[b.human(one)]; !twice {
				decisions = append(decisions, access.Decision{By: b.human(one), Verdict: access.Approve})
			}
			could[b.human(one)] = append(could[b.human(one)], i.as...)
		}
	}
	tally := access.Quorum(r.Principal, decisions, terms.Requirements, func(p access.Principal, need access.Requirement) bool {
		return fills(could[p], need)
	})
	open, waits := tally.Open(terms.Requirements)
	switch {
	case !waits:
		return nil
	case len(decisions) < terms.Approvals():
		return invalid(access.FieldReviewer, access.CodeFewReviewers, access.Args{"min": strconv.Itoa(terms.Approvals())})
	}
	return invalid(access.FieldReviewer, access.CodeNobodyFor, access.Args{"people": spelled(open.From), "count": strconv.Itoa(open.Count)})
}

// whoseTurn are those among asked who can fill what is to be filled next; all where there
// is no order.
func whoseTurn(terms access.Terms, tally access.Tally, asked []invitee) []access.Principal {
	var people []access.Principal
	for _, i := range asked {
		if turn(terms, tally, i.as) == nil {
			people = append(people, i.who)
		}
	}
	return people
}

// persons are those who are not groups.
func persons(all []access.Principal) []access.Principal {
	return slices.DeleteFunc(slices.Clone(all), func(p access.Principal) bool { _, group := p.Group(); return group })
}

// whoAreAsked are invitees as their principals.
func whoAreAsked(asked []invitee) []access.Principal {
	people := access.Each(asked, func(i invitee) access.Principal { return i.who })
	slices.Sort(people)
	return slices.Compact(people)
}

// errMoreApprovals is why what was approved is not written when it takes more by now.
var errMoreApprovals = errors.New("more approvals are demanded now")
