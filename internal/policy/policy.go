// Package policy says which terms apply to an entitlement: what its marker in the
// IAM condition demands, tightened by the operator's settings and never loosened.
package policy

import (
	"regexp"
	"time"

	"jitaccess/internal/access"
)

// Instance is what an operator sets for every entitlement of an instance.
type Instance struct {
	// JustificationHint tells people what a justification should be.
	JustificationHint string
	// Justification must match a justification as a whole.
	Justification *regexp.Regexp
	// MaxDuration is the longest grant; DefaultDuration is what a form offers.
	MaxDuration, DefaultDuration time.Duration
	// MinReviewers and MaxReviewers bound how many people a request asks.
	MinReviewers, MaxReviewers int
	// MaxRoles is how many entitlements one request may have.
	MaxRoles int
	// RequestTimeout is how long a request can be decided.
	RequestTimeout time.Duration
}

// Of returns the terms of an entitlement. self is whether its marker lets the
// holder activate it alone.
func (i Instance) Of(_ access.EntitlementID, self bool) access.Terms {
	t := access.Terms{MaxDuration: i.MaxDuration}
	if !self {
		t.Approvals, t.MinReviewers, t.MaxReviewers = 1, i.MinReviewers, i.MaxReviewers
	}
	return t
}

// CheckJustification applies the operator's rule to a justification that has
// passed access.CheckJustification. The error is CodeJustificationRule.
func (i Instance) CheckJustification(text string) error {
	// A pattern matches as a whole, whether or not the operator anchored it. What
	// compiles alone compiles in a group.
	if !regexp.MustCompile(`^(?:` + i.Justification.String() + `)$`).MatchString(text) {
		return &access.Error{Kind: access.Invalid, Code: access.CodeJustificationRule, Field: "justification",
			Args: access.Args{"hint": i.JustificationHint}}
	}
	return nil
}
