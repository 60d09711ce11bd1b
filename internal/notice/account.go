package notice

import (
	"time"

	"jitaccess/internal/access"
)

// What administrators see of the account of a channel. Nothing in it is a secret.

// Setting is a setting of the account; Variables say where it comes from.
type Setting struct{ Name, Value, Variables string }

// Step is a step of a test message.
type Step struct {
	Name, Text string
	// Failure is nil for a step that was taken.
	Failure *Failure
}

// Attempt is what became of a notice for some of those to whom it was sent.
type Attempt struct {
	// At is when it began, and Took how long it took for all.
	At   time.Time
	Took time.Duration
	// Kind is what they were told, or TestMessage.
	Kind access.NoticeKind
	To   []string
	// Failure is nil when the channel took it.
	Failure *Failure
}

// TestMessage is the kind of what an administrator sends to see that a channel works.
const TestMessage access.NoticeKind = "test"

// Failure is why something could not be sent: where it went wrong and what was said
// there, what that means, and what puts it right. Err is for the log.
type Failure struct {
	What, Meaning, Remedy string
	Err                   error
}
