package access

import (
	"fmt"
	"slices"
	"time"
)

// State is where a request stands.
type State string

const (
	Unmade    State = ""          // nothing is recorded of it
	Pending   State = "pending"   // not decided, or not by enough people
	Approved  State = "approved"  // decided, and not yet known to be written
	Scheduled State = "scheduled" // decided, and to be written shortly before it begins
	Failed    State = "failed"    // approved, and refused by the provider for good
	Active    State = "active"    // granted; the window may still lie ahead
	Ended     State = "ended"     // granted, or scheduled, and ended early
	Expired   State = "expired"   // granted, and the window is over
	Denied    State = "denied"    // refused by a reviewer, for good
	Withdrawn State = "withdrawn" // taken back by its principal, or an admin, before it was decided
	Lapsed    State = "lapsed"    // nobody decided in time
)

// States are all in which what is recorded can be, in the order of its life.
var States = []State{Pending, Approved, Scheduled, Active, Ended, Expired, Failed, Denied, Withdrawn, Lapsed}

// LeadTime is how long before it begins a grant is written at the earliest: who waits
// for it must not wait for Google's propagation, and what is written cannot be checked
// again. What begins sooner is written when it is approved.
const LeadTime = 15 * time.Minute

// Guard is what must hold of an event for a transition.
type Guard string

const (
	Always     Guard = ""
	Completes  Guard = "completes"  // it is the last approval needed, which comes with the window that it gives
	Later      Guard = "later"      // so it is, and the window begins more than LeadTime after it
	Incomplete Guard = "incomplete" // it is not
	Passing    Guard = "passing"    // the failure may pass
	ForGood    Guard = "for good"   // it will not
)

func (g Guard) holds(e Event) bool {
	switch g {
	case Incomplete:
		return e.Window.IsZero()
	case Completes, Later:
		return !e.Window.IsZero() && e.Window.Start.After(e.At.Add(LeadTime)) == (g == Later)
	case Passing, ForGood:
		return AsError(e.Err).MayPass() == (g == Passing)
	}
	return true
}

// Transition is a row of the table of what may follow what.
type Transition struct {
	From State
	On   Action
	If   Guard
	To   State
}

// Transitions is the state machine of requests, as far as events move it; what time
// alone does (StateAt) is recorded by events too, which come after it. An event that has
// no row here may not follow. Outcomes are facts: they may come late, twice, or after
// each other.
var Transitions = []Transition{
	{Unmade, RequestMade, Always, Pending},
	{Unmade, SelfApproved, Completes, Approved},
	{Unmade, SelfApproved, Later, Scheduled},
	{Unmade, GlassBroken, Completes, Approved},
	{Unmade, GrantTakenIn, Always, Active},
	{Pending, ReviewersAdded, Always, Pending},
	{Pending, Reminded, Always, Pending},
	{Pending, Escalated, Always, Pending},
	{Pending, RequestApproved, Incomplete, Pending},
	{Pending, RequestApproved, Completes, Approved},
	{Pending, RequestApproved, Later, Scheduled},
	{Pending, RequestDenied, Always, Denied},
	{Pending, RequestWithdrawn, Always, Withdrawn},
	{Pending, RequestLapsed, Always, Lapsed},

	{Approved, GrantWritten, Always, Active},
	{Approved, GrantFailed, Passing, Approved},
	{Approved, GrantFailed, ForGood, Failed},
	{Scheduled, GrantWritten, Always, Active},
	{Scheduled, GrantFailed, Passing, Scheduled},
	{Scheduled, GrantFailed, ForGood, Failed},
	{Failed, GrantWritten, Always, Active},
	{Failed, GrantFailed, Always, Failed},
	{Active, GrantWritten, Always, Active},
	{Active, GrantFailed, Always, Active},
	{Active, Reminded, Always, Active},
	{Active, GrantExpired, Always, Expired},

	{Approved, EndAsked, Always, Approved},
	{Approved, GrantEnded, Always, Ended},
	{Approved, EndFailed, Always, Approved},
	{Scheduled, EndAsked, Always, Scheduled},
	{Scheduled, GrantEnded, Always, Ended},
	{Scheduled, EndFailed, Always, Scheduled},
	{Active, EndAsked, Always, Active},
	{Active, GrantEnded, Always, Ended},
	{Active, EndFailed, Always, Active},
	{Ended, EndAsked, Always, Ended},
	{Ended, GrantEnded, Always, Ended},
	{Ended, EndFailed, Always, Ended},
	{Ended, GrantWritten, Always, Ended},
	{Ended, GrantFailed, Always, Ended},
	{Ended, GrantExpired, Always, Ended},

	// A broken glass is reviewed afterwards, whatever became of it.
	{Approved, GlassReviewed, Always, Approved},
	{Failed, GlassReviewed, Always, Failed},
	{Active, GlassReviewed, Always, Active},
	{Ended, GlassReviewed, Always, Ended},
	{Expired, GlassReviewed, Always, Expired},
}

// MaxBounced is of how many people it is remembered of a request that a mail to them came back.
const MaxBounced = 20

// Bounces is whether a bounce tells something new of the request.
func (r Request) Bounces(b Bounce) bool {
	return len(r.Bounced) < MaxBounced && !slices.Contains(r.Bounced, b.To)
}

// Apply is the request as it is after the event, a version later. A request is the
// fold of its events, from the zero Request on; the first one brings what was asked.
// Events that change nothing of a request (a refusal, a notice that failed) leave it
// as it is. The error is of kind Conflict when the event may not follow, and says
// otherwise why this person may not decide this.
func (r Request) Apply(e Event) (Request, error) {
	if e.Action == ActionRefused || e.Action == NoticeFailed {
		return r, nil
	}
	if e.Action.IsRemark() && r.State != Unmade && r.ID == e.Request.ID {
		if e.Action == MailBounced {
			r.Bounced = append(slices.Clone(r.Bounced), e.Bounce.To)
		}
		r.Version++
		return r, nil
	}
	was := r
	if r.State == Unmade {
		r = e.Request
		r.State, r.Decisions, r.Window, r.Version = Unmade, nil, Window{}, 0
		r.Review, r.Reminded, r.Escalated, r.TakenIn, r.Ending, r.Bounced = Decision{}, time.Time{}, 0, time.Time{}, time.Time{}, nil
	}
	at := slices.IndexFunc(Transitions, func(t Transition) bool { return t.From == r.State && t.On == e.Action && t.If.holds(e) })
	if at < 0 || e.Request.ID != r.ID {
		return was, r.conflict(fmt.Errorf("%q does not follow on request %s, which is %q", e.Action, r.ID, r.State))
	}
	switch e.Action {
	case ReviewersAdded:
		r.Reviewers = slices.Clone(e.Request.Reviewers)
		r.Terms.People = slices.Clone(r.Terms.People)
		for _, accounts := range e.Request.Terms.People {
			if !slices.ContainsFunc(r.Terms.People, func(known []Principal) bool { return slices.Equal(known, accounts) }) {
				r.Terms.People = append(r.Terms.People, accounts)
			}
		}
	case Reminded:
		r.Reminded = e.At
	case Escalated:
		r.Escalated++
	case GrantTakenIn:
		r.TakenIn = e.At
	case EndAsked:
		r.Ending = e.At
	case GrantEnded, EndFailed, GrantExpired:
		if e.Action != EndFailed || r.Asking.IsZero() { // to ask for its end is all that the end of an application's access takes
			r.Ending = time.Time{}
		}
	case GlassReviewed:
		if r.Kind != BreakGlass || !r.Review.At.IsZero() {
			return was, r.conflict(fmt.Errorf("%s has no broken glass to review", r.ID))
		}
		if e.Decision.By == r.Principal {
			return was, &Error{Kind: NotAllowed, Code: CodeOwnRequest}
		}
		r.Review = e.Decision
	case RequestApproved, RequestDenied:
		if err := r.Involves(e.Decision.By, e.Decision.As...); err != nil {
			return was, err
		}
		// Who has approved may still think better of it, and that is all.
		said := r.DecisionOf(e.Decision.By)
		if said != nil && (said.Verdict == Deny || e.Decision.Verdict == Approve) || e.Decision.Digest != r.Digest() {
			return was, r.conflict(fmt.Errorf("%s has decided already, or on something else", e.Decision.By))
		}
		r.Decisions = append(slices.Clone(r.Decisions), e.Decision)
	}
	// No other event's window is what was approved, or stands. That a grant was written is nobody's word, and is
	// made of what stands there: it says no more than was approved, and nothing of before it was to begin.
	if slices.Contains([]Action{SelfApproved, GlassBroken, RequestApproved, GrantTakenIn}, e.Action) ||
		e.Action == GrantWritten && !e.Window.exceeds(r.Window) && !e.Window.Start.Before(r.Start) {
		r.Window = e.Window
	}
	r.State = Transitions[at].To
	r.Version++
	return r, nil
}

func (r Request) conflict(cause error) *Error {
	return &Error{Kind: Conflict, Code: CodeConflict, Args: Args{"resource": string(r.Resource)}, Err: cause}
}

// Involves is nil for whoever has a say in the request, by who they are: somebody
// who was asked, in person or as one of a group, or is at the administration page where
// nobody was, and never its principal. as are the groups that they are in, or FromAdminPage,
// spelled as Decision.As.
func (r Request) Involves(p Principal, as ...string) error {
	asked := func(who Principal) bool {
		_, group := who.Group()
		return who == p || group && slices.Contains(as, string(who))
	}
	switch {
	case p == r.Principal:
		return &Error{Kind: NotAllowed, Code: CodeOwnRequest}
	case r.Terms.AtAdminPage() && slices.Contains(as, FromAdminPage):
		return nil
	case !slices.ContainsFunc(r.Reviewers, asked) && r.Terms.AtAdminPage():
		return &Error{Kind: NotAllowed, Code: CodeDecideAtAdmin}
	case !slices.ContainsFunc(r.Reviewers, asked):
		return &Error{Kind: NotAllowed, Code: CodeNotInvolved}
	}
	return nil
}

// DecisionOf is what somebody said last, as far as it is remembered; nil is nothing.
func (r Request) DecisionOf(p Principal) *Decision {
	for _, d := range slices.Backward(r.Decisions) {
		if d.By == p {
			return &d
		}
	}
	return nil
}

// ApprovedBy are those who have approved, each once, as far as it is remembered.
func (r Request) ApprovedBy() []Principal {
	var people []Principal
	for _, d := range r.Decisions {
		if d.Verdict == Approve && !slices.Contains(people, d.By) {
			people = append(people, d.By)
		}
	}
	return people
}

// StateAt is where the request stands as far as it is remembered, at that time.
func (r Request) StateAt(now time.Time) State {
	switch r.State {
	case Unmade, Pending:
		if !now.Before(r.Expires) || (!r.Fixed.IsZero() && !now.Before(r.Fixed.End)) {
			return Lapsed
		}
		return Pending
	case Approved, Scheduled:
		if !now.Before(r.Window.End) {
			return Failed
		}
	case Active:
		switch {
		case !now.Before(r.Window.End):
			return Expired
		case !r.Ending.IsZero() && !r.Asking.IsZero(): // nothing else has this access: what is recorded is its end
			return Ended
		}
	}
	return r.State
}

// StateWith is where it stands given what the provider holds of it (see
// Standing.OfRequest), which is laid over what is remembered.
func (r Request) StateWith(held []Activation, now time.Time) State {
	state := Ended
	if !r.Asking.IsZero() { // held is what is remembered
		return r.StateAt(now)
	}
	for _, a := range held {
		switch {
		case now.Before(a.Window.End) && a.Window.Length() > 0:
			return Active
		case a.Whole(r.Approved()):
			state = Expired
		}
	}
	if len(held) > 0 {
		return state
	}
	if state := r.StateAt(now); state != Active {
		return state
	}
	return Ended // it was granted, and somebody has taken it away
}
