package broker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"jitaccess/internal/access"
)

// Decide records the caller's verdict and, when it is the last approval needed,
// has the grant written. The same approver again gets the same result.
func (b *Broker) Decide(ctx context.Context, caller access.Caller, d Decide) (Decided, error) {
	trying := access.RequestApproved
	if d.Verdict == access.Deny {
		trying = access.RequestDenied
	}
	r, err := b.open(ctx, d.Ref)
	if err != nil {
		return Decided{}, b.refuse(ctx, caller, trying, r, err)
	}
	refused := func(err error) (Decided, error) {
		return Decided{Request: r}, b.refuse(ctx, caller, trying, r, err)
	}
	if err := r.Involves(caller.Principal); err != nil {
		return refused(err)
	}
	if d.Digest != "" && d.Digest != r.Digest() {
		return refused(&access.Error{Kind: access.Conflict, Code: access.CodeDigestMismatch})
	}
	decision := access.Decision{Verdict: d.Verdict, By: caller.Principal, At: b.c.Now(),
		Comment: strings.TrimSpace(d.Comment), Digest: r.Digest()}
	if err := checkDecision(decision); err != nil {
		return refused(err)
	}

	q := access.StandingQuery{Resource: r.Resource, Principals: people(r, caller.Principal), Of: r.Entitlements, Since: decision.At}
	standing, err := b.standing(ctx, caller, q)
	if err != nil {
		return refused(err)
	}
	held := standing.OfRequest(r)
	result := Decided{Request: r, State: r.StateWith(held, b.c.Now()), Decision: decision, Forgets: b.forgets, Warnings: standing.Warnings}
	said := r.DecisionOf(caller.Principal)
	switch again := said != nil && said.Verdict == d.Verdict; {
	// The same person again has the same result, and is no second voice.
	case d.Verdict == access.Approve && result.State == access.Active && approvedBy(held, caller.Principal):
		result.Window, result.Outcomes = held[0].Window, stand(r, held)
		return result, nil
	case again && (result.State == access.Pending || result.State == access.Denied && d.Verdict == access.Deny):
		return result, nil
	case again && result.State == access.Approved:
		// Recorded, and not written: the write is tried again.
		ctx, cancel := detach(ctx)
		defer cancel()
		return b.carryOut(ctx, caller, result, q, r.ApprovedBy(),
			b.outcomeNotice(ctx, access.RequestApproved, r, *said, r.Window, d.Origin))
	}
	if err := b.mayDecide(caller, r, standing, d.Verdict); err != nil {
		return refused(err)
	}
	if d.Verdict == access.Deny {
		// Pressed again, or the page reloaded: people are told once of one reason.
		return b.denied.do(ctx, fmt.Sprint(caller.Principal, " ", decision.Digest, " ", decision.Comment), func() (Decided, error) {
			return b.deny(ctx, caller, result, standing, d.Origin)
		})
	}
	return b.approve(ctx, caller, result, standing, q, d)
}

// checkDecision refuses a verdict that is none, and a denial without a reason.
func checkDecision(d access.Decision) error {
	if d.Verdict != access.Approve && d.Verdict != access.Deny {
		return invalid(access.FieldVerdict, access.CodeBadInput, access.Args{"reason": "verdict must be approve or deny"})
	}
	if d.Comment == "" {
		if d.Verdict == access.Deny {
			return invalid(access.FieldComment, access.CodeNoComment, nil)
		}
		return nil
	}
	if access.CheckJustification(d.Comment) != nil {
		return invalid(access.FieldComment, access.CodeUnsafeComment, access.Args{"max": strconv.Itoa(access.MaxJustification)})
	}
	return nil
}

// mayDecide is the whole rule: who they are, whether there is something left to
// decide, whether the request still keeps to the terms, and whether both still hold
// what they must hold.
func (b *Broker) mayDecide(caller access.Caller, r access.Request, standing access.Standing, verdict access.Verdict) error {
	if err := r.Involves(caller.Principal); err != nil {
		return err
	}
	if err := b.undecided(r, standing); err != nil {
		return err
	}
	if err := holds(caller.Principal, r, standing); err != nil || verdict == access.Deny {
		return err
	}
	terms, err := b.terms(r.Principal, r.Kind, r.Entitlements...)
	return cmp.Or(err, b.within(terms, r), justified(terms, r.Justification), standing.Lasts(r, standing.WindowAt(r, b.c.Now())))
}

// undecided is whether there is something left to decide.
func (b *Broker) undecided(r access.Request, standing access.Standing) error {
	now := b.c.Now()
	held := standing.OfRequest(r)
	approvers := r.ApprovedBy()
	if len(held) > 0 {
		approvers = held[0].Approvers
	}
	switch r.StateWith(held, now) {
	case access.Approved, access.Active:
		return &access.Error{Kind: access.Conflict, Code: access.CodeAlreadyApproved, Args: access.Args{"approvers": names(approvers)}}
	case access.Ended, access.Expired:
		return &access.Error{Kind: access.Gone, Code: access.CodeAlreadyEnded}
	case access.Failed:
		return &access.Error{Kind: access.Gone, Code: access.CodeGrantRefused}
	case access.Denied:
		return &access.Error{Kind: access.Conflict, Code: access.CodeAlreadyDenied}
	case access.Lapsed:
		if !r.Fixed.IsZero() && !now.Before(r.Fixed.End) {
			return &access.Error{Kind: access.Gone, Code: access.CodeWindowOver}
		}
		return &access.Error{Kind: access.Gone, Code: access.CodeLinkExpired}
	}
	return nil
}

// holds is whether the requester may still request every entitlement, and the
// reviewer still review it, in a way of approval that they share.
func holds(reviewer access.Principal, r access.Request, s access.Standing) error {
	for _, id := range r.Entitlements {
		if held, _ := s.Holding(r.Principal, id); !held.PeerApproval {
			return s.NotHeld(&access.Error{Kind: access.NotAllowed, Code: access.CodeRequesterLost,
				Args: access.Args{"principal": string(r.Principal), "role": string(id.Role), "resource": string(id.Resource)}})
		}
		if !s.MayReview(reviewer, r.Principal, id) {
			return s.NotHeld(&access.Error{Kind: access.NotAllowed, Code: access.CodeReviewerLost,
				Args: access.Args{"role": string(id.Role), "resource": string(id.Resource)}})
		}
	}
	return nil
}

// deny records a denial and tells everybody. Without memory it is a declining:
// another reviewer may still approve.
func (b *Broker) deny(ctx context.Context, caller access.Caller, result Decided, standing access.Standing, origin string) (Decided, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	r := result.Request
	event := b.event(caller, access.RequestDenied, r)
	event.Decision = result.Decision
	notice := b.outcomeNotice(ctx, access.RequestDenied, r, result.Decision, standing.WindowAt(r, event.At), origin)
	if _, _, err := b.intend(ctx, event, notice); err != nil {
		return result, err
	}
	result.State = access.Denied
	if result.Forgets {
		result.State = access.Pending
	}
	result.Warnings = append(result.Warnings, b.tell(ctx, caller, notice)...)
	return result, nil
}

// approve records an approval and, when it completes the request, has it granted.
// The clock of the grant starts here.
func (b *Broker) approve(ctx context.Context, caller access.Caller, result Decided, standing access.Standing, q access.StandingQuery,
	d Decide) (Decided, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	r := result.Request
	event := b.event(caller, access.RequestApproved, r)
	event.Decision = result.Decision
	terms, err := b.terms(r.Principal, r.Kind, r.Entitlements...)
	if err != nil {
		return result, b.refuse(ctx, caller, access.RequestApproved, r, err)
	}
	// Who approved before and may not do so any more does not count.
	tally := access.Quorum(r.Principal, append(slices.Clone(r.Decisions), result.Decision), terms.Requirements,
		func(p access.Principal, _ access.Requirement) bool { return holds(p, r, standing) == nil })
	if tally.Complete {
		event.Window = standing.WindowAt(r, event.At)
	}
	notice := b.outcomeNotice(ctx, access.RequestApproved, r, result.Decision, event.Window, d.Origin)
	if result.Request, _, err = b.intend(ctx, event, notice); err != nil {
		return result, err
	}
	if !tally.Complete {
		result.State = access.Pending
		return result, nil
	}
	return b.carryOut(ctx, caller, result, q, tally.Approvers, notice)
}

// carryOut has what was approved granted, in the window that the last approval gave,
// and tells people. Those who approved must still hold what they must hold.
func (b *Broker) carryOut(ctx context.Context, caller access.Caller, result Decided, q access.StandingQuery,
	approvers []access.Principal, notice access.Notice) (Decided, error) {
	r := result.Request
	check := func(s access.Standing) error {
		// The grant may have been written, or written and ended, by somebody else
		// since; the provider then says so, or this does.
		held := s.OfRequest(r)
		if over(r.StateWith(held, b.c.Now())) {
			return &access.Error{Kind: access.Gone, Code: access.CodeAlreadyEnded}
		}
		if len(held) > 0 && held[0].Derived {
			return b.undecided(r, s)
		}
		for _, p := range approvers {
			err := holds(p, r, s)
			if e := access.AsError(err); e != nil && e.Code == access.CodeReviewerLost && p != caller.Principal {
				return reviewerNotEligible(p, access.EntitlementID{Role: access.Role(e.Args["role"]), Resource: r.Resource})
			}
			if err != nil {
				return err
			}
		}
		return s.Lasts(r, r.Window)
	}
	outcomes, warnings, err := b.grant(ctx, caller, r, r.Window, approvers, q, check)
	result.Outcomes, result.Window = outcomes, granted(outcomes, r.Window)
	result.Warnings = withNew(result.Warnings, warnings)
	if err != nil {
		return result, err
	}
	result.State = access.Active
	notice.Window, notice.Outcomes = result.Window, outcomes
	if anyGranted(outcomes) {
		result.Warnings = append(result.Warnings, b.tell(ctx, caller, notice)...)
	}
	return result, nil
}

// outcomeNotice is what people hear of how a request was decided.
func (b *Broker) outcomeNotice(ctx context.Context, did access.Action, r access.Request, d access.Decision, w access.Window,
	origin string) access.Notice {
	n := b.notice(did, r, nil)
	n.Decision, n.Window, n.Final, n.Roles = d, w, !b.forgets, b.describe(ctx, r.Entitlements)
	if origin != "" {
		n.BaseURL = origin + "/"
	}
	return n
}

// over is whether a grant was there and is none any more.
func over(s access.State) bool { return s == access.Ended || s == access.Expired }

func approvedBy(activations []access.Activation, p access.Principal) bool {
	return slices.ContainsFunc(activations, func(a access.Activation) bool { return slices.Contains(a.Approvers, p) })
}

// stand reports a grant that is already there as outcomes.
func stand(r access.Request, activations []access.Activation) []access.Outcome {
	var outcomes []access.Outcome
	for _, id := range r.Entitlements {
		i := slices.IndexFunc(activations, func(a access.Activation) bool { return a.Entitlement == id })
		if i < 0 {
			outcomes = append(outcomes, access.Outcome{Entitlement: id, Result: access.Refused,
				Err: &access.Error{Kind: access.Conflict, Code: access.CodeNotGranted, Args: access.Args{"role": string(id.Role)}}})
			continue
		}
		outcomes = append(outcomes, access.Outcome{Entitlement: id, Result: access.AlreadyGranted, Window: activations[i].Window})
	}
	return outcomes
}

// people are those whose holdings a decision of p rests on: the requester, p, and who
// has approved before.
func people(r access.Request, p access.Principal) []access.Principal {
	all := append([]access.Principal{r.Principal, p}, r.ApprovedBy()...)
	slices.Sort(all)
	return slices.Compact(all)
}

func names(ps []access.Principal) string {
	var s []string
	for _, p := range ps {
		s = append(s, string(p))
	}
	return strings.Join(s, ", ")
}
