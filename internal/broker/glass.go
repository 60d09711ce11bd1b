package broker

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// brokenGlass are the terms of having access at once, where the terms of asking for it
// allow that: for as long as they say, for any reason. Their approvals are those that are
// skipped.
func brokenGlass(t access.Terms, role string) (access.Terms, error) {
	if !t.BreakGlass || t.Approvals() == 0 {
		return t, noBreakGlass(role)
	}
	t.MaxDuration = min(t.MaxDuration, t.Glass.MaxDuration)
	t.DefaultDuration = min(t.DefaultDuration, t.MaxDuration)
	t.StartWithin, t.Justification = 0, nil
	return t, nil
}

func noBreakGlass(role string) error {
	return &access.Error{Kind: access.NotAllowed, Code: access.CodeNoBreakGlass, Field: access.FieldEntitlement,
		Args: access.Args{"role": role}}
}

// mayBreak is nil for one of those whom the terms name, as the Directory has it since then
// and an assertion of theirs. What it cannot say now is no yes.
func (b *Broker) mayBreak(ctx context.Context, who access.Caller, t access.Terms, role access.Role, since time.Time) error {
	in, warnings := b.among(ctx, who, t.Glass.Who, since)
	switch {
	case len(warnings) > 0:
		return warnings[0]
	case !in:
		return noBreakGlass(string(role))
	}
	return nil
}

// breakGlass has access granted at once that others would have to approve, and tells them,
// and those who look at it afterwards. It is told before it is granted: what nobody hears
// of is not done.
func (b *Broker) breakGlass(ctx context.Context, caller access.Caller, r access.Request, terms access.Terms, opened time.Time,
	origin string) (Asked, error) {
	refused := func(err error) (Asked, error) {
		return Asked{Request: r}, b.refuse(ctx, caller, access.GlassBroken, r, err)
	}
	begun := b.c.Now()
	if err := b.within(terms, r); err != nil {
		return refused(err)
	}
	if len(b.c.Notifier.Channels()) == 0 {
		return refused(untold(nil))
	}
	if err := cmp.Or(b.mayBreak(ctx, caller, terms, r.Entitlements[0].Role, begun), b.allReviewed(ctx, r)); err != nil {
		return refused(err)
	}
	check := b.glassCheck(ctx, caller, r, opened)
	q := access.StandingQuery{Resource: r.Resource, Principals: []access.Principal{r.Principal}, Of: r.Entitlements, Since: begun}
	standing, err := b.standing(ctx, caller, q)
	if err == nil {
		err = check(standing)
	}
	if err != nil {
		return refused(err)
	}
	watching, unknown := b.watchers(ctx, caller, r, terms)

	ctx, cancel := detach(ctx)
	defer cancel()
	event := b.event(caller, access.GlassBroken, r)
	event.Window = standing.WindowAt(r, event.At)
	notice := b.notice(access.GlassBroken, r, watching)
	notice.Window, notice.Roles = event.Window, b.describe(ctx, r.Entitlements)
	if origin != "" {
		notice.BaseURL, notice.ReviewURL = origin+"/", reviewURL(origin, r.ID, r)
	}
	next, sent, recordedLater, err := b.activate(ctx, event, notice)
	if err != nil {
		return Asked{Request: r}, err
	}
	asked := Asked{Request: next, Window: next.Window, Warnings: slices.Concat(standing.Warnings, unknown, recordedLater)}
	if next.StateAt(event.At) == access.Failed {
		return refused(&access.Error{Kind: access.Gone, Code: access.CodeGrantRefused})
	}
	if !sent {
		if len(recordedLater) > 0 {
			notice.ID = "" // it is not kept
		} else {
			// Two that were sent at the same time find each other here at the latest.
			err = b.allReviewed(ctx, next)
		}
		receipts := access.Receipts{}
		if err == nil {
			receipts = b.notify(ctx, notice)
			err = heardOf(receipts)
		}
		if err != nil {
			b.settle(ctx, access.Message{ID: notice.ID, Notice: notice, Lease: notice.ID}, nil)
			failed := b.event(caller, access.GrantFailed, next)
			failed.Err = err
			_, _, _ = b.commit(ctx, failed)
			return asked, err
		}
		asked.Warnings = withNew(asked.Warnings, append(b.reckon(ctx, caller, notice, receipts), b.unseen(receipts)...))
	}
	outcomes, warnings, err := b.grant(ctx, caller, next, nil, q, func(s access.Standing) error {
		return cmp.Or(check(s), s.Lasts(next, next.Window))
	})
	asked.Outcomes, asked.Window = outcomes, granted(outcomes, next.Window)
	if asked.Warnings = withNew(asked.Warnings, warnings); len(recordedLater) == 0 && b.waits(err) {
		asked.Warnings, err = append(asked.Warnings, notYetGranted(err)...), nil
	}
	return asked, err
}

// glassCheck is what must hold when the glass is broken, and when the grant is written:
// its principal is eligible, though not alone, and the terms still let them.
func (b *Broker) glassCheck(ctx context.Context, caller access.Caller, r access.Request, opened time.Time) func(access.Standing) error {
	return func(s access.Standing) error {
		if err := cmp.Or(idIsFree(r, s), b.notOver(r, s), b.notEndedSince(opened, r, s), holds(r.Principal, r, nil, s)); err != nil {
			return err
		}
		terms, err := b.keeps(ctx, caller, r, &s)
		if err == nil && !terms.BreakGlass {
			err = noBreakGlass(string(r.Entitlements[0].Role))
		}
		return cmp.Or(err, s.Lasts(r, s.WindowAt(r, b.c.Now())))
	}
}

// allReviewed refuses another broken glass for a role of which the same human has one that
// nobody has reviewed. Where it cannot be asked the emergency goes first: what was not
// reviewed is found later.
func (b *Broker) allReviewed(ctx context.Context, r access.Request) error {
	unreviewed, err := b.unreviewed(ctx, access.Listing{Resource: r.Resource}, nil)
	if outOfReach(err) {
		return nil
	}
	for _, before := range unreviewed {
		if before.ID == r.ID || b.human(before.Principal, before.Terms.People...) != b.human(r.Principal, before.Terms.People...) {
			continue
		}
		for _, id := range before.Entitlements {
			if slices.ContainsFunc(r.Entitlements, func(other access.EntitlementID) bool { return other.Role == id.Role }) {
				return &access.Error{Kind: access.Conflict, Code: access.CodeGlassUnreviewed,
					Args: access.Args{"id": before.ID, "role": string(id.Role)}}
			}
		}
	}
	return err
}

// glancePages is through how many pages of broken glasses is looked for a few of them.
const glancePages = 10

// unreviewed are the broken glasses of a list that nobody has reviewed, and that gave
// access, without those to be left out; the newest first. Where the list has a Max, they
// are as many of them at most, of the newest.
func (b *Broker) unreviewed(ctx context.Context, l access.Listing, without func(access.Request) bool) ([]access.Request, error) {
	m, err := b.needsMemory()
	if err != nil {
		return nil, err
	}
	var found []access.Request
	most := l.Max
	l.Unreviewed, l.Max = true, access.MaxPage
	for pages := 1; ; pages++ {
		listed, err := timed(b, ctx, func(ctx context.Context) (access.Listed, error) { return m.List(ctx, l) })
		if err != nil {
			return nil, err
		}
		for _, r := range listed.Requests {
			if r.Unreviewed() && r.StateAt(b.c.Now()) != access.Failed && (without == nil || !without(r)) {
				found = append(found, r)
			}
		}
		l.After = listed.Next
		switch {
		case most > 0 && len(found) >= most:
			return found[:most], nil
		case l.After == "", most > 0 && pages == glancePages:
			return found, nil
		}
	}
}

// heardOf is nil where somebody who is not the requester was told, or a machine.
func heardOf(receipts access.Receipts) error {
	var causes []error
	for _, r := range receipts {
		if r.Err == nil {
			return nil
		}
		causes = append(causes, r.Err)
	}
	return untold(errors.Join(causes...))
}

// unseen warns where those alone took it of whom nobody learns whether they show it.
func (b *Broker) unseen(receipts access.Receipts) []*access.Error {
	var blind []string
	for _, r := range receipts {
		at := slices.IndexFunc(b.c.Notifier.Channels(), func(c access.Channel) bool { return c.Name == r.Channel && c.Unseen })
		if r.Err == nil && at < 0 {
			return nil
		}
		if r.Err == nil {
			blind = append(blind, r.Channel)
		}
	}
	return []*access.Error{{Kind: access.Unavailable, Code: access.CodeGlassUnseen, Args: access.Args{"channel": blind[0]}}}
}

// untold ends a request for good: nobody is told later of what was not done.
func untold(cause error) error {
	return &access.Error{Kind: access.Unprocessable, Code: access.CodeGlassUntold, Err: cause}
}

// watchers are who hears of a broken glass: who would have been asked, who may review it,
// and auditors; nobody who is the same human as its principal. That some of them are not
// known keeps nobody from breaking the glass: it is a warning.
func (b *Broker) watchers(ctx context.Context, caller access.Caller, r access.Request, t access.Terms) (
	[]access.Principal, []*access.Error) {
	peers, err := b.candidates(ctx, caller, r, t, func(access.Standing) error { return nil })
	named, _ := spelledOut(slices.Concat(r.Terms.Glass.ReviewBy, b.c.Auditors, spelledIn(r.Terms)))
	all := addresses(append(peers.People, named...))
	slices.Sort(all)
	return slices.DeleteFunc(all, func(p access.Principal) bool { return b.another(r, p) != nil }), append(peers.Warnings, warningOf(err)...)
}

// mayReview is nil for who may review a broken glass: those whom the terms named when it
// was broken, but for the human who broke it; of one that was found without its terms,
// those whom they name now. Of a page groups may be some seconds old.
func (b *Broker) mayReview(ctx context.Context, caller access.Caller, r access.Request, since time.Time) error {
	if r.Kind != access.BreakGlass {
		return &access.Error{Kind: access.NotAllowed, Code: access.CodeNoReview}
	}
	if err := b.another(r, caller.Principal); err != nil {
		return err
	}
	by := r.Terms.Glass.ReviewBy
	if len(by) == 0 {
		terms, err := b.termsOf(ctx, caller, r, nil)
		if err != nil {
			return err
		}
		by = terms.Glass.ReviewBy
	}
	in, warnings := b.among(ctx, caller, by, since)
	if !in && len(warnings) > 0 {
		return warnings[0]
	}
	if !in {
		return &access.Error{Kind: access.NotAllowed, Code: access.CodeNoReview}
	}
	return nil
}

// toReview are the broken glasses of a list that wait for the caller to review them. The
// warnings are of groups that cannot be read.
func (b *Broker) toReview(ctx context.Context, caller access.Caller, l access.Listing) ([]access.Request, []*access.Error, error) {
	var warnings []*access.Error
	known := map[string]bool{} // one question for all that the same people may review
	found, err := b.unreviewed(ctx, l, func(r access.Request) bool {
		by := strings.Join(r.Terms.Glass.ReviewBy, " ")
		may, asked := known[by]
		switch {
		case b.another(r, caller.Principal) != nil:
			return true
		case !asked || by == "": // of one without its terms those of now are asked
			err := b.mayReview(ctx, caller, r, time.Time{})
			no := []access.Code{access.CodeNoReview, access.CodeNoBreakGlass}
			if may = err == nil; !may && !slices.Contains(no, access.AsError(err).Code) {
				warnings = append(warnings, access.AsError(err))
			}
			known[by] = may
		}
		return !may
	})
	return found, warnings, err
}

// ReviewGlass records what the caller thinks of a broken glass, once; said again by the
// same person it is the same. The comment is required. The warnings are of who could not be
// told.
func (b *Broker) ReviewGlass(ctx context.Context, caller access.Caller, id, comment, origin string) (
	access.Request, []*access.Error, error) {
	if _, err := b.needsMemory(); err != nil {
		return access.Request{}, nil, err
	}
	r, err := b.open(ctx, id)
	refused := func(err error) (access.Request, []*access.Error, error) {
		return r, nil, b.refuse(ctx, caller, access.GlassReviewed, r, err)
	}
	if err != nil {
		return refused(err)
	}
	decision := access.Decision{By: caller.Principal, At: b.c.Now(), Comment: strings.TrimSpace(comment), Digest: r.Digest()}
	if err := b.mayReview(ctx, caller, r, decision.At); err != nil {
		return refused(err)
	}
	switch {
	case r.Review.By == caller.Principal:
		return r, nil, nil
	case !r.Review.At.IsZero():
		return refused(&access.Error{Kind: access.Conflict, Code: access.CodeReviewed, Args: access.Args{"by": string(r.Review.By)}})
	case decision.Comment == "":
		return refused(invalid(access.FieldComment, access.CodeNoComment, nil))
	case access.CheckJustification(decision.Comment) != nil:
		return refused(unsafeComment())
	}
	ctx, cancel := detach(ctx)
	defer cancel()
	event := b.event(caller, access.GlassReviewed, r)
	event.Decision = decision
	notice := b.outcomeNotice(ctx, access.GlassReviewed, r, decision, r.Window, origin)
	if r, _, err = b.intend(ctx, event, notice); err != nil {
		return r, nil, err
	}
	return r, b.tell(ctx, caller, notice), nil
}
