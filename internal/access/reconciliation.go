package access

import (
	"errors"
	"time"
)

// DifferenceKind is how what stands, what is remembered, and what should be differ. What is odd
// about a binding is one too (OddityKind).
type DifferenceKind string

const (
	NotRemembered DifferenceKind = "not-remembered" // it stands, and the ledger does not know it
	FoundStanding DifferenceKind = "taken-in"       // it stands, and the ledger knows it since it was found
	NotDecided    DifferenceKind = "not-decided"    // it stands, and its request was never approved, or was refused
	LiveAgain     DifferenceKind = "live-again"     // it stands, and was ended, or is over
	NotStanding   DifferenceKind = "not-standing"   // the ledger has it as active, and it does not stand
	OtherWindow   DifferenceKind = "other-window"   // it stands for another time
	OtherGrant    DifferenceKind = "other-grant"    // it stands for somebody else, or for another role
	Damaged       DifferenceKind = "damaged"        // what is kept of it is not what was recorded, or is not ours
	TooLong       DifferenceKind = "too-long"       // it is longer than anybody may have it
	Pointless     DifferenceKind = "pointless"      // somebody is eligible for what they hold all the time
)

// Difference is something that stands in one place and not in another.
type Difference struct {
	Kind DifferenceKind
	// ID is the request's; empty where it is about none.
	ID        string
	Resource  Resource
	Principal Principal
	Roles     []string
	// Why says more, for an operator.
	Why string
}

// Reconciliation is how far the weekly reconciliation is, which goes from resource to resource
// over several sweeps, in the order of their names. The zero value is before the first.
type Reconciliation struct {
	// Step counts what was kept of it, and At is when that last was.
	Step int
	At   time.Time
	// Round is the one under way; without one it is the last.
	Round Round
	// After is the resource that was looked at last, and All whether none is left.
	After Resource
	All   bool
	// Found are differences that are looked at a second time before anybody is told: their Kind,
	// ID and Resource, and nothing that names a person. There are no more than so many.
	Found []Difference
	// Unread are resources that could not be looked at, and are tried a second time.
	Unread []Resource
	// Last is the last round that ended; zero before one has. Told is the digest of the notice of it
	// (broker), and empty where nobody was to be told of it.
	Last Round
	Told string
}

// ErrNotSigned means that no key can sign now what is to be kept, so that nothing was kept.
var ErrNotSigned = errors.New("no key can sign it now")

// Round is one time that everything was looked at.
type Round struct {
	Began, Ended time.Time
	// Looked are the resources that were looked at, and Unread those that could not be.
	Looked, Unread int
	// Partial: not all resources could be listed. Short: it took too long, and what was left is
	// not known.
	Partial, Short bool
	// Differences is how many were found.
	Differences int
}

// UnderWay is whether a round has begun and not ended.
func (r Reconciliation) UnderWay() bool { return !r.Round.Began.IsZero() && r.Round.Ended.IsZero() }

// Whole is whether all that there is was looked at.
func (r Round) Whole() bool { return r.Unread == 0 && !r.Partial && !r.Short }
