package access

// Inspection is what a provider finds on a resource beside its standing: what looks like
// grants of ours and is not as we write them, and access that does not end.
type Inspection struct {
	Oddities []Oddity
	// Permanent are who holds a role without any condition.
	Permanent []Permanent
}

// OddityKind is what is odd about a binding.
type OddityKind string

const (
	Edited    OddityKind = "edited"    // one of ours, and not as we write it
	Imitated  OddityKind = "imitation" // it bears our title, and is not ours
	Untitled  OddityKind = "untitled"  // it has our text, and not our title
	Uncleared OddityKind = "uncleared" // it is over, and nobody has cleared it
)

// Difference is the kind as one of differences.
func (k OddityKind) Difference() DifferenceKind { return DifferenceKind(k) }

// Oddity is a binding of which something is odd.
type Oddity struct {
	Kind OddityKind
	// ID is the request id that it carries; empty for none.
	ID string
	// Role and Members are as they are written.
	Role    string
	Members []string
	// Why says what is odd, for an operator.
	Why string
}

// Permanent is a role that members hold all the time.
type Permanent struct {
	Role    Role
	Members []string
}
