package broker

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

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
	if err := b.involved(caller, r); err != nil {
		return refused(err)
	}
	if d.Digest != "" && d.Digest != r.Digest() {
		return refused(&access.Error{Kind: access.Conflict, Code: access.CodeDigestMismatch})
	}
	decision := access.Decision{Verdict: d.Verdict, By: caller.Principal, At: b.c.Now(), Comment: strings.TrimSpace(d.Comment), Digest: r.Digest()}
	if err := checkDecision(decision); err != nil {
		return refused(err)
	}

	q := access.StandingQuery{Resource: r.Resource, Principals: both(r.Principal, caller.Principal), Of: r.Entitlements, Since: decision.At}
	standing, err := b.standing(ctx, caller, q)
	if err != nil {
		return refused(err)
	}
	result := Decided{Request: r, Decision: decision, Forgets: b.c.Store.Limits().Forgets, Warnings: standing.Warnings}
	if activations := standing.OfRequest(r); d.Verdict == access.Approve && approvedBy(activations, caller.Principal) {
		if result.State = stateOf(r, activations, b.c.Now()); result.State == access.Active {
			result.Window, result.Outcomes = activations[0].Window, stand(r, activations)
			return result, nil
		}
	}
	if err := b.mayDecide(caller, r, standing, d.Verdict); err != nil {
		return refused(err)
	}
	if d.Verdict == access.Deny {
		// Pressed again, or the page reloaded: people are told once.
		return b.denied.do(ctx, string(caller.Principal)+" "+decision.Digest, func() (Decided, error) {
			return b.deny(ctx, caller, result, d.Origin)
		})
	}
	return b.approve(ctx, caller, result, q, d)
}

// checkDecision refuses a verdict that is none, and a denial without a reason.
func checkDecision(d access.Decision) error {
	if d.Verdict != access.Approve && d.Verdict != access.Deny {
		return invalid(FieldVerdict, access.CodeBadInput, access.Args{"reason": "verdict must be approve or deny"})
	}
	if d.Comment == "" {
		if d.Verdict == access.Deny {
			return invalid(FieldComment, access.CodeNoComment, nil)
		}
		return nil
	}
	if access.CheckJustification(d.Comment) != nil {
		return invalid(FieldComment, access.CodeUnsafeComment, access.Args{"max": strconv.Itoa(access.MaxJustification)})
	}
	return nil
}

// involved is whether the caller has a say in the request at all, by who they are.
func (b *Broker) involved(caller access.Caller, r access.Request) error {
	switch {
	case caller.Principal == r.Principal:
		return &access.Error{Kind: access.NotAllowed, Code: access.CodeOwnRequest}
	case !slices.Contains(r.Reviewers, caller.Principal):
		return notInvolved()
	}
	return nil
}

func notInvolved() *access.Error {
	return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotInvolved}
}

// mayDecide is the whole rule: who they are, whether there is something left to
// decide, whether the request still keeps to the terms, and whether both still hold
// what they must hold.
func (b *Broker) mayDecide(caller access.Caller, r access.Request, standing access.Standing, verdict access.Verdict) error {
	if err := b.involved(caller, r); err != nil {
		return err
	}
	if err := b.undecided(r, standing); err != nil {
		return err
	}
	if err := b.holds(caller.Principal, r, standing); err != nil || verdict == access.Deny {
		return err
	}
	if _, err := b.terms(r, false); err != nil {
		return err
	}
	return b.checkJustification(r.Justification)
}

// undecided is whether there is something left to decide.
func (b *Broker) undecided(r access.Request, standing access.Standing) error {
	now := b.c.Now()
	activations := standing.OfRequest(r)
	switch stateOf(r, activations, now) {
	case access.Active:
		return &access.Error{Kind: access.Conflict, Code: access.CodeAlreadyApproved, Args: access.Args{"approvers": names(activations[0].Approvers)}}
	case access.Ended, access.Expired:
		return &access.Error{Kind: access.Gone, Code: access.CodeAlreadyEnded}
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
func (b *Broker) holds(reviewer access.Principal, r access.Request, s access.Standing) error {
	for _, id := range r.Entitlements {
		if held, _ := s.Holding(r.Principal, id); !held.PeerApproval {
			return s.NotHeld(&access.Error{Kind: access.NotAllowed, Code: access.CodeRequesterLost,
				Args: access.Args{"principal": string(r.Principal), "role": string(id.Role), "resource": string(id.Resource)}})
		}
		if !s.MayReview(reviewer, r.Principal, id) {
			return s.NotHeld(&access.Error{Kind: access.NotAllowed, Code: access.CodeNotReviewer,
				Args: access.Args{"role": string(id.Role), "resource": string(id.Resource)}})
		}
	}
	return nil
}

// deny records a denial and tells everybody. Without memory it is a declining:
// another reviewer may still approve.
func (b *Broker) deny(ctx context.Context, caller access.Caller, result Decided, origin string) (Decided, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	r := result.Request
	event := b.event(caller, access.RequestDenied, r)
	event.Decision = result.Decision
	notice := b.outcomeNotice(ctx, access.RequestDenied, r, result.Decision, r.WindowAt(b.c.Now()), origin)
	if _, err := b.c.Store.Append(ctx, r, []access.Event{event}, []access.Notice{notice}); err != nil {
		return result, b.refuse(ctx, caller, access.RequestDenied, r, err)
	}
	if err := b.record(ctx, event); err != nil {
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
func (b *Broker) approve(ctx context.Context, caller access.Caller, result Decided, q access.StandingQuery, d Decide) (Decided, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	r := result.Request
	terms, err := b.terms(r, false)
	if err != nil {
		return result, b.refuse(ctx, caller, access.RequestApproved, r, err)
	}
	approvers := append(approversOf(r), caller.Principal)
	event := b.event(caller, access.RequestApproved, r)
	event.Decision = result.Decision
	complete := len(approvers) >= terms.Approvals
	if complete {
		event.Window = r.WindowAt(b.c.Now())
	}
	notice := b.outcomeNotice(ctx, access.RequestApproved, r, result.Decision, event.Window, d.Origin)
	if _, err := b.c.Store.Append(ctx, r, []access.Event{event}, []access.Notice{notice}); err != nil {
		return result, b.refuse(ctx, caller, access.RequestApproved, r, err)
	}
	if err := b.record(ctx, event); err != nil {
		return result, err
	}
	if !complete {
		result.State = access.Pending
		return result, nil
	}
	check := func(s access.Standing) error {
		// The grant may have been written, or written and ended, by somebody else
		// since; the provider then says so, or this does.
		if state := stateOf(r, s.OfRequest(r), b.c.Now()); state == access.Ended || state == access.Expired {
			return &access.Error{Kind: access.Gone, Code: access.CodeAlreadyEnded}
		}
		return b.holds(caller.Principal, r, s)
	}
	outcomes, warnings, err := b.grant(ctx, caller, r, event.Window, approvers, q, check)
	result.Outcomes, result.Window = outcomes, granted(outcomes, event.Window)
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
func (b *Broker) outcomeNotice(ctx context.Context, did access.Action, r access.Request, d access.Decision, w access.Window, origin string) access.Notice {
	n := b.notice(did, r, nil)
	n.Decision, n.Window, n.Final, n.Roles = d, w, !b.c.Store.Limits().Forgets, b.describe(ctx, r.Entitlements)
	if origin != "" {
		n.BaseURL = origin + "/"
	}
	return n
}

// stateOf says where a request stands, from what is remembered of it and from what
// the provider holds.
func stateOf(r access.Request, activations []access.Activation, now time.Time) access.State {
	if len(activations) > 0 {
		state := access.Ended
		for _, a := range activations {
			switch {
			case now.Before(a.Window.End) && a.Window.Length() > 0:
				return access.Active
			case a.Window.Length() >= r.Duration:
				state = access.Expired
			}
		}
		return state
	}
	if slices.ContainsFunc(r.Decisions, func(d access.Decision) bool { return d.Verdict == access.Deny }) {
		return access.Denied
	}
	if !now.Before(r.Expires) || (!r.Fixed.IsZero() && !now.Before(r.Fixed.End)) {
		return access.Lapsed
	}
	return access.Pending
}

func approversOf(r access.Request) []access.Principal {
	var ps []access.Principal
	for _, d := range r.Decisions {
		if d.Verdict == access.Approve {
			ps = append(ps, d.By)
		}
	}
	return ps
}

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

func both(a, b access.Principal) []access.Principal {
	if a == b {
		return []access.Principal{a}
	}
	return []access.Principal{a, b}
}

func names(ps []access.Principal) string {
	var s []string
	for _, p := range ps {
		s = append(s, string(p))
	}
	return strings.Join(s, ", ")
}
