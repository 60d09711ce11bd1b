package access

import "time"

// Grant is what a provider is told to write. It is idempotent by RequestID: the
// same grant again changes nothing.
type Grant struct {
	RequestID     string
	Principal     Principal
	Resource      Resource
	Entitlements  []EntitlementID
	Window        Window
	Justification string
	// Approvers are who approved, in the order of their decisions; empty for
	// self-approval and for a broken glass.
	Approvers []Principal
	// BreakGlass: nobody approved what others would have had to, and it says so.
	BreakGlass bool
	// LinkLife is for how long after a request was made a link to it is good here: a
	// record of what was granted is needed no longer. 0 means LinkLife.
	LinkLife time.Duration
}

// Ending tells a provider to take a grant back before its end.
type Ending struct {
	RequestID string
	// Principal is whose grant it is. Of a grant that several people share, only
	// this one is taken out.
	Principal Principal
	Resource  Resource
	// At is the new end.
	At time.Time
	// Since is when the action began, as in StandingQuery.
	Since time.Time
	// Stands is what stood of it when that was looked up before.
	Stands []Activation
}

// Result is what became of one entitlement.
type Result string

const (
	Granted        Result = "granted"         // it was written now
	AlreadyGranted Result = "already granted" // an earlier write of the same request stands
	Removed        Result = "ended"           // it was ended now
	Refused        Result = "refused"         // it was not written; Outcome.Err says why
)

// Outcome is what became of one entitlement of a grant or an ending. The provider
// answers with one for each.
type Outcome struct {
	Entitlement EntitlementID
	Result      Result
	// Window is what stands in the provider now; zero when refused.
	Window Window
	// Err is set if and only if Result is Refused.
	Err *Error
	// Waits, where it is set, is a warning: what was written does not hold yet, and what it
	// takes until it does.
	Waits *Error
}

// Activation is a grant of ours as found in the provider.
type Activation struct {
	// RequestID is the id that it carries. A grant of JIT Access 1.x carries none
	// and has a derived one (Derived is true).
	RequestID   string
	Derived     bool
	Principal   Principal
	Entitlement EntitlementID
	// Window is when it gives access: at most as long as its Until lets it.
	Window Window
	// Until is when the eligibility that it was made of ends; zero is never.
	Until         time.Time
	Justification string
	// Approvers are empty for self-approval and for a broken glass.
	Approvers []Principal
	// BreakGlass: it says that the glass was broken for it.
	BreakGlass bool
}

// Whole is whether the activation was not ended early: it lasts as long as was asked
// for, or as the eligibility does.
func (a Activation) Whole(asked time.Duration) bool {
	return a.Window.Length() >= asked || !a.Until.IsZero() && !a.Window.End.Before(a.Until) && a.Window.Length() > 0
}

// Effect is something that a provider will write, as shown to an approver.
type Effect struct {
	// Title says in a few words which part of the grant it is, such as the role.
	Title string
	// Text is for reading, in the provider's own notation.
	Text string
}
