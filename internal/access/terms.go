package access

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Subject is what terms are asked for.
type Subject struct {
	// Principal is who activates.
	Principal Principal
	// Entitlement is what they activate. The zero one asks for what holds wherever
	// nothing else is said.
	Entitlement EntitlementID
	// Kind is how the marker that makes them eligible lets them activate it.
	Kind RequestKind
	At   time.Time
}

// Terms is what activating takes. The terms of several entitlements together are
// the strictest of each (see Strictest).
type Terms struct {
	// Rule names the rule that they come from; empty where no rule says more than
	// the marker and the settings.
	Rule string
	// Requirements are the approvals that it takes; none is self-approval. InOrder:
	// the second is asked when the first is filled.
	Requirements []Requirement
	InOrder      bool
	// MinReviewers and MaxReviewers bound how many people are asked. They apply
	// only where there are Requirements, and never count as approvals.
	MinReviewers, MaxReviewers int
	// MaxDuration is the longest grant; DefaultDuration is what a form offers.
	MaxDuration, DefaultDuration time.Duration
	// RequestLife is how long a request can be decided.
	RequestLife time.Duration
	// StartWithin is how far ahead access may be asked for; 0 is at once alone.
	StartWithin time.Duration
	// MaxRoles is how many entitlements one request may have.
	MaxRoles int
	// Justification must all hold of a justification; Hint tells people what one
	// should be.
	Justification []JustificationRule
	Hint          string
	// Signature: approvers sign. BreakGlass: it may be had at once, without approval.
	Signature, BreakGlass bool
}

// JustificationRule is found in a justification, or Message says what is missing.
type JustificationRule struct {
	Pattern *regexp.Regexp
	Message string
}

// Approvals is how many other people must approve; 0 is self-approval.
func (t Terms) Approvals() int {
	n := 0
	for _, r := range t.Requirements {
		n += r.Count
	}
	return n
}

// Strictest combines terms: of each term the one that allows least. Requirements for
// approvals from the same people are one, with the larger count.
func Strictest(first Terms, more ...Terms) Terms {
	for _, t := range more {
		if t.Rule != "" && !slices.Contains(strings.Split(first.Rule, ", "), t.Rule) {
			first.Rule = strings.TrimPrefix(first.Rule+", "+t.Rule, ", ")
		}
		first.Requirements = union(first.Requirements, t.Requirements)
		first.InOrder = first.InOrder || t.InOrder
		first.MinReviewers = max(first.MinReviewers, t.MinReviewers)
		first.MaxReviewers = min(first.MaxReviewers, t.MaxReviewers)
		first.MaxDuration = min(first.MaxDuration, t.MaxDuration)
		first.DefaultDuration = min(first.DefaultDuration, t.DefaultDuration)
		first.RequestLife = min(first.RequestLife, t.RequestLife)
		first.StartWithin = min(first.StartWithin, t.StartWithin)
		first.MaxRoles = min(first.MaxRoles, t.MaxRoles)
		for _, rule := range t.Justification {
			same := func(r JustificationRule) bool {
				return r.Pattern.String() == rule.Pattern.String() && r.Message == rule.Message
			}
			if !slices.ContainsFunc(first.Justification, same) {
				first.Justification = append(slices.Clip(first.Justification), rule)
			}
		}
		first.Hint = cmp.Or(first.Hint, t.Hint)
		first.Signature = first.Signature || t.Signature
		first.BreakGlass = first.BreakGlass && t.BreakGlass
	}
	return first
}

func union(all, more []Requirement) []Requirement {
	all = slices.Clone(all)
	for _, r := range more {
		same := func(a Requirement) bool {
			return slices.Equal(slices.Sorted(slices.Values(a.From)), slices.Sorted(slices.Values(r.From)))
		}
		if at := slices.IndexFunc(all, same); at < 0 {
			all = append(all, r)
		} else {
			all[at].Count = max(all[at].Count, r.Count)
		}
	}
	return all
}
