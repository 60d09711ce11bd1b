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

// Decide is a decision as a person states it.
type Decide struct {
	Ref     string
	Verdict access.Verdict
	// Comment is required when denying.
	Comment string
	// Digest is that of the View decided on; empty when the caller saw none (the
	// JSON interface of JIT Access 1.x).
	Digest string
	// Duration, in whole minutes, is for how long it is approved at most; zero is for as
	// long as was asked. It is nothing of a denial.
	Duration time.Duration
	// Signed is what the caller has signed, of all but PublicKey and RelyingParty; nil where
	// they have signed nothing.
	Signed *access.Assertion
	// Origin is as in Ask. Without one a decision still works; mails carry no link.
	Origin string
}

// Decided is what became of a decision.
type Decided struct {
	Request  access.Request
	State    access.State
	Decision access.Decision
	// Window and Outcomes are set when it led to a grant, now or earlier; Window alone where
	// that is written later.
	Window   access.Window
	Outcomes []access.Outcome
	// Forgets is as in View.
	Forgets  bool
	Warnings []*access.Error
}

// Decide records the caller's verdict and, when it is the last approval needed,
// has the grant written. The same approver again gets the same result.
func (b *Broker) Decide(ctx context.Context, caller access.Caller, d Decide) (Decided, error) {
	trying := access.RequestApproved
	if d.Verdict == access.Deny {
		trying = access.RequestDenied
	}
	r, err := b.openToChange(ctx, d.Ref)
	refused := func(err error) (Decided, error) {
		return Decided{Request: r}, b.refuse(ctx, caller, trying, r, err)
	}
	if err != nil {
		return refused(err)
	}
	decision := access.Decision{Verdict: d.Verdict, By: caller.Principal, At: b.c.Now(),
		Comment: strings.TrimSpace(d.Comment), Digest: cmp.Or(d.Digest, r.Digest())}
	if d.Verdict == access.Approve {
		decision.Duration = d.Duration
	}
	if err := cmp.Or(b.involves(ctx, caller, r), checkDecision(decision, r), b.shortens(decision, r)); err != nil {
		return refused(err)
	}

	q := access.StandingQuery{Resource: r.Resource, Principals: people(r, caller.Principal), Of: r.Entitlements, Since: decision.At}
	standing, err := b.standing(ctx, caller, q)
	if err != nil {
		return refused(err)
	}
	held := standing.OfRequest(r)
	result := Decided{Request: r, State: r.StateWith(held, b.c.Now()), Decision: decision, Forgets: b.forgets, Warnings: standing.Warnings}
	byCaller := func(a access.Activation) bool { return slices.Contains(a.Approvers, caller.Principal) }
	said := r.DecisionOf(caller.Principal)
	switch again := said != nil && said.Verdict == d.Verdict; {
	case again && decision.Duration > 0 && decision.Duration != said.Duration:
		return refused(&access.Error{Kind: access.Conflict, Code: access.CodeAlreadyApproved,
			Args: access.Args{"approvers": names(r.ApprovedBy())}})
	// The same person again has the same result, and is no second voice.
	case d.Verdict == access.Approve && result.State == access.Active && slices.ContainsFunc(held, byCaller):
		result.Window, result.Outcomes = held[0].Window, stand(r, held)
		return result, nil
	case again && (result.State == access.Pending || result.State == access.Denied && d.Verdict == access.Deny):
		return result, nil
	case again && (result.State == access.Approved || result.State == access.Scheduled):
		// Recorded, and not written: the write is tried again, if it would be approved today.
		since := r.Decisions[len(r.Decisions)-1].At
		if r.Window.Start.After(since) {
			since = r.Window.Start
		}
		if !decision.At.Before(since.Add(writeTime)) { // it may have been written, and ended, where that is remembered no more
			return refused(&access.Error{Kind: access.Gone, Code: access.CodeWindowOver})
		}
		if endedThere(r, standing) { // a sweep calls it off
			return refused(&access.Error{Kind: access.Gone, Code: access.CodeAlreadyEnded})
		}
		terms, err := b.keeps(ctx, caller, r, &standing)
		var tally access.Tally
		if err == nil {
			tally, err = b.count(ctx, caller, r, r.Decisions, terms, standing)
		}
		if err == nil && !tally.Complete {
			err = cmp.Or(b.allMay(ctx, caller, r, r.ApprovedBy(), terms, standing),
				error(&access.Error{Kind: access.Gone, Code: access.CodeGrantRefused}))
		}
		if err != nil {
			return refused(err)
		}
		ctx, cancel := detach(ctx)
		defer cancel()
		if result.Window = r.Window; result.State == access.Scheduled {
			left, err := b.leftToSweep(ctx, access.Event{At: decision.At, Window: r.Window})
			if err != nil || left {
				return result, err
			}
		}
		return b.written(b.carryOut(ctx, caller, result, q, tally.Approvers,
			b.outcomeNotice(ctx, access.RequestApproved, r, *said, r.Window, d.Origin)))
	}
	terms, as, err := b.mayDecide(ctx, caller, r, standing, d.Verdict)
	if err != nil {
		return refused(err)
	}
	decision.As = as
	if decision.AccessLevels, err = b.levels(caller, terms); err != nil {
		return refused(err)
	}
	if d.Verdict == access.Approve && terms.Signature {
		if decision.Evidence, err = b.sign(ctx, decision, terms, d.Signed); err != nil {
			return refused(err)
		}
	}
	result.Decision = decision
	if d.Verdict == access.Deny {
		// Pressed again, or the page reloaded: people are told once of one reason.
		return b.denied.do(ctx, caller.Principal, decision.Digest+" "+decision.Comment, func() (Decided, error) {
			return b.deny(ctx, caller, result, standing, d.Origin)
		})
	}
	return b.approve(ctx, caller, result, terms, standing, q, d.Origin)
}

// checkDecision refuses a decision on something else than the request, a verdict that is
// none, and a denial without a reason.
func checkDecision(d access.Decision, r access.Request) error {
	switch {
	case d.Digest != r.Digest():
		return &access.Error{Kind: access.Conflict, Code: access.CodeDigestMismatch}
	case d.Verdict != access.Approve && d.Verdict != access.Deny:
		return invalid(access.FieldVerdict, access.CodeBadInput, access.Args{"reason": "verdict must be approve or deny"})
	case d.Comment == "" && d.Verdict == access.Deny:
		return invalid(access.FieldComment, access.CodeNoComment, nil)
	case d.Comment != "" && access.CheckJustification(d.Comment) != nil:
		return unsafeComment()
	}
	return nil
}

func unsafeComment() error {
	return invalid(access.FieldComment, access.CodeUnsafeComment, access.Args{"max": strconv.Itoa(access.MaxJustification)})
}

// mayDecide is the whole rule: who they are, whether there is something left to
// decide, whether the request still keeps to the terms, whether both still hold what they
// must hold, whether it is the caller's turn, and whether they are signed in as they must
// be. as is what they are of those who may approve it. The terms are those of an approval:
// what is refused anyhow needs to keep to none.
func (b *Broker) mayDecide(ctx context.Context, caller access.Caller, r access.Request, standing access.Standing, verdict access.Verdict) (
	terms access.Terms, as []string, err error) {
	p := caller.Principal
	if err := cmp.Or(b.involves(ctx, caller, r), b.another(r, p), b.undecided(r, standing), holds(p, r, nil, standing)); err != nil {
		return terms, nil, err
	}
	terms, kept := b.keeps(ctx, caller, r, &standing)
	if verdict == access.Approve && kept != nil && len(terms.Requirements) == 0 {
		return terms, nil, kept
	}
	if len(terms.Requirements) == 0 { // refused by now, or it is not known what holds
		terms.Requirements = r.Terms.Requirements
	}
	if len(terms.Requirements) == 0 {
		terms.Requirements = []access.Requirement{{Count: 1, From: []string{access.FromPeers}}}
	}
	if as, err = b.as(ctx, caller, p, r, terms, standing); err != nil {
		return terms, nil, err
	}
	if verdict == access.Approve && kept != nil {
		return terms, nil, kept
	}
	if terms.InOrder {
		tally, err := b.count(ctx, caller, r, r.Decisions, terms, standing)
		if err = cmp.Or(err, turn(terms, tally, as)); err != nil {
			return terms, nil, err
		}
	}
	if verdict == access.Deny {
		return access.Terms{}, as, nil
	}
	_, err = b.levels(caller, terms)
	return terms, as, cmp.Or(err, standing.Lasts(r, standing.WindowAt(r, b.c.Now())))
}

// another is nil for who is another human than the request's principal.
func (b *Broker) another(r access.Request, p access.Principal) error {
	if b.human(p, r.Terms.People...) == b.human(r.Principal, r.Terms.People...) {
		return &access.Error{Kind: access.NotAllowed, Code: access.CodeOwnRequest}
	}
	return nil
}

// keeps is whether the request keeps to its terms: those of now and, where the store has
// kept those under which it was made, the stricter of both. standing is of its resource,
// if it has been looked at already.
func (b *Broker) keeps(ctx context.Context, caller access.Caller, r access.Request, standing *access.Standing) (access.Terms, error) {
	terms, err := b.termsOf(ctx, caller, r, standing)
	if err == nil && r.Terms.MaxDuration > 0 {
		terms = access.Strictest(terms, r.Terms)
		if err = b.carriesOut(terms); err != nil {
			terms = access.Terms{}
		}
	}
	return terms, cmp.Or(err, b.within(terms, r), justified(terms, r.Justification))
}

// stillKeeps is keeps at the moment of effect, where a policy may say something else than
// when it was decided: the request keeps to the terms of then, and those who approved are
// enough. Nothing is shortened to fit.
func (b *Broker) stillKeeps(ctx context.Context, caller access.Caller, r access.Request, approvers []access.Principal,
	standing access.Standing) error {
	terms, err := b.keeps(ctx, caller, r, &standing)
	if err != nil {
		return err
	}
	decisions := slices.DeleteFunc(slices.Clone(r.Decisions), func(d access.Decision) bool { return !slices.Contains(approvers, d.By) })
	tally, err := b.count(ctx, caller, r, decisions, terms, standing)
	if err = cmp.Or(b.allMay(ctx, caller, r, approvers, terms, standing), err); err != nil {
		return err
	}
	if tally.Complete {
		return b.unbroken(ctx, terms, r, r.Window)
	}
	return &access.Error{Kind: access.Gone, Code: access.CodeGrantRefused, Err: errMoreApprovals}
}

// allMay is nil while all of people may approve the request; of who turned out to be its
// principal by another address it says nothing.
func (b *Broker) allMay(ctx context.Context, caller access.Caller, r access.Request, people []access.Principal, terms access.Terms,
	standing access.Standing) error {
	for _, p := range people {
		if _, err := b.as(ctx, caller, p, r, terms, standing); err != nil && b.another(r, p) == nil {
			return err
		}
	}
	return nil
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
	case access.Approved, access.Scheduled, access.Active:
		return &access.Error{Kind: access.Conflict, Code: access.CodeAlreadyApproved, Args: access.Args{"approvers": names(approvers)}}
	case access.Ended, access.Expired:
		return &access.Error{Kind: access.Gone, Code: access.CodeAlreadyEnded}
	case access.Failed:
		return &access.Error{Kind: access.Gone, Code: access.CodeGrantRefused}
	case access.Denied:
		return &access.Error{Kind: access.Conflict, Code: access.CodeAlreadyDenied}
	case access.Withdrawn:
		return &access.Error{Kind: access.Gone, Code: access.CodeWithdrawn}
	case access.Lapsed:
		if !r.Fixed.IsZero() && !now.Before(r.Fixed.End) {
			return &access.Error{Kind: access.Gone, Code: access.CodeWindowOver}
		}
		return &access.Error{Kind: access.Gone, Code: access.CodeLinkExpired}
	}
	return nil
}

// deny records a denial and tells everybody. Without memory it is a declining:
// another reviewer may still approve.
func (b *Broker) deny(ctx context.Context, caller access.Caller, result Decided, standing access.Standing, origin string) (Decided, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	r := result.Request
	if b.forgets { // what holds now says which channels tell of it
		if terms, err := b.termsOf(ctx, caller, r, &standing); err == nil {
			r.Terms = b.kept(terms)
		}
	}
	event := b.event(caller, access.RequestDenied, r)
	event.Decision = result.Decision
	notice := b.outcomeNotice(ctx, access.RequestDenied, r, result.Decision, standing.WindowAt(r, event.At), origin)
	if _, _, err := b.intend(ctx, event, notice); err != nil {
		return result, err
	}
	result.State = access.Denied
	if result.Forgets {
		result.State = access.Pending
		b.later.deny(r, result.Decision, event.At)
	}
	result.Warnings = append(result.Warnings, b.tell(ctx, caller, notice)...)
	return result, nil
}

// approve records an approval and, when it completes the request, has it granted.
// The clock of the grant starts here.
func (b *Broker) approve(ctx context.Context, caller access.Caller, result Decided, terms access.Terms, standing access.Standing,
	q access.StandingQuery, origin string) (Decided, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	r := result.Request
	if b.forgets {
		r.Terms = b.kept(terms)
	}
	event := b.event(caller, access.RequestApproved, r)
	event.Decision = result.Decision
	before, err := b.count(ctx, caller, r, r.Decisions, terms, standing)
	tally, uncounted := b.count(ctx, caller, r, append(slices.Clone(r.Decisions), result.Decision), terms, standing)
	event.Window = standing.WindowAt(r, event.At, result.Decision)
	var left bool
	if err = cmp.Or(err, uncounted); err == nil {
		left, err = b.mayBegin(ctx, r, terms, event, tally.Complete)
	}
	if err != nil {
		return result, b.refuse(ctx, caller, access.RequestApproved, r, err)
	}
	if !tally.Complete {
		event.Window = access.Window{}
	}
	event.Requirements = terms.Requirements
	notice := b.outcomeNotice(ctx, access.RequestApproved, r, result.Decision, event.Window, origin)
	var others []access.Notice
	if waiting := b.nextInTurn(ctx, caller, r, terms, before, tally); len(waiting) > 0 {
		more := b.reviewNotice(ctx, access.ReviewersAdded, r, waiting, event.Window, origin)
		more.By = result.Decision.By
		others = append(others, more)
	}
	kept := others
	if begins(event) { // people are told now, and not when it is written
		kept = append(kept, notice)
	}
	next, _, err := b.intend(ctx, event, kept...)
	if result.Request = next; err != nil {
		return result, err
	}
	if !tally.Complete {
		result.State = access.Pending
		for _, n := range others {
			result.Warnings = append(result.Warnings, b.tell(ctx, caller, n)...)
		}
		return result, nil
	}
	if result.State, result.Window = next.State, next.Window; left {
		result.Warnings = append(result.Warnings, b.tell(ctx, caller, notice)...)
		return result, nil
	}
	return b.written(b.carryOut(ctx, caller, result, q, tally.Approvers, notice))
}

// carryOut has what was approved granted, in the window that the last approval gave,
// and tells people. Those who approved must still hold what they must hold.
func (b *Broker) carryOut(ctx context.Context, caller access.Caller, result Decided, q access.StandingQuery,
	approvers []access.Principal, notice access.Notice) (Decided, error) {
	r := result.Request
	check := func(s access.Standing) error {
		// The grant may have been written, or written and ended, by somebody else
		// since; the provider then says so, or this does.
		if err := b.notOver(r, s); err != nil {
			return err
		}
		if held := s.OfRequest(r); len(held) > 0 && held[0].RequestID != r.ID {
			return b.undecided(r, s)
		}
		if err := holds(caller.Principal, r, nil, s); err != nil {
			return err
		}
		if err := b.stillKeeps(ctx, caller, r, approvers, s); err != nil {
			return err
		}
		if r.Fixed.IsZero() && r.Window.Length() > r.Approved() {
			return &access.Error{Kind: access.Gone, Code: access.CodeGrantRefused, Err: errors.New("the window is longer than what was asked for")}
		}
		return s.Lasts(r, r.Window)
	}
	var kept []access.Notice
	if r.State != access.Scheduled { // otherwise it was kept when that was approved
		kept = append(kept, notice)
	}
	outcomes, warnings, err := b.grant(ctx, caller, r, approvers, q, check, kept...)
	result.Outcomes, result.Window = outcomes, granted(outcomes, r.Window)
	result.Warnings = withNew(result.Warnings, warnings)
	if err != nil {
		return result, err
	}
	result.State = access.Active
	notice.Window, notice.Outcomes = result.Window, outcomes
	told := r.State == access.Scheduled && caller.Method == access.MethodSystem && len(warnings) == 0
	if tells(caller, outcomes) && !told {
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

// notOver is nil unless a grant was there and is none any more.
func (b *Broker) notOver(r access.Request, s access.Standing) error {
	if state := r.StateWith(s.OfRequest(r), b.c.Now()); state == access.Ended || state == access.Expired {
		return &access.Error{Kind: access.Gone, Code: access.CodeAlreadyEnded}
	}
	return nil
}

// stand reports a grant that is already there as outcomes.
func stand(r access.Request, activations []access.Activation) []access.Outcome {
	var outcomes []access.Outcome
	for _, id := range r.Entitlements {
		o := access.Outcome{Entitlement: id, Result: access.Refused,
			Err: &access.Error{Kind: access.Conflict, Code: access.CodeNotGranted, Args: access.Args{"role": string(id.Role)}}}
		if i := slices.IndexFunc(activations, func(a access.Activation) bool { return a.Entitlement == id }); i >= 0 {
			o = access.Outcome{Entitlement: id, Result: access.AlreadyGranted, Window: activations[i].Window}
		}
		outcomes = append(outcomes, o)
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

func names(people []access.Principal) string { return strings.Join(access.Texts(people), ", ") }

// nextInTurn are those among asked whose turn it has become: what they can give is the next
// in order, and was not before. Where that cannot be told, it is everybody who has not
// decided, so that nobody waits in silence.
func (b *Broker) nextInTurn(ctx context.Context, caller access.Caller, r access.Request, terms access.Terms,
	before, now access.Tally) []access.Principal {
	was, _ := before.Open(terms.Requirements)
	open, waits := now.Open(terms.Requirements)
	if !terms.InOrder || !waits || open.Same(was) {
		return nil
	}
	silent := slices.DeleteFunc(slices.Clone(r.Reviewers), func(p access.Principal) bool {
		return r.DecisionOf(p) != nil ||
			p == caller.Principal
	})
	q := access.StandingQuery{Resource: r.Resource, Principals: append([]access.Principal{r.Principal}, persons(silent)...),
		Of: r.Entitlements}
	s, err := b.standing(ctx, caller, q)
	if err != nil {
		return silent
	}
	return slices.DeleteFunc(slices.Clone(silent), func(p access.Principal) bool {
		if _, group := p.Group(); group {
			return !fills(mightBe(p, terms), open)
		}
		as, err := b.as(ctx, caller, p, r, terms, s)
		return notAllowed(err) || err == nil && !fills(as, open)
	})
}
