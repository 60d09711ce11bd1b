// Package policy says which terms apply to an entitlement: what its marker in the
// IAM condition demands, tightened by the operator's settings and never loosened.
package policy

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// startWithin is how far ahead access that others approve may be asked for: they
// decide on what they can foresee. What nobody approves begins at once: it is there
// for who needs it now, and a booked one would run without anybody looking at
// eligibility again.
const startWithin = 24 * time.Hour

// Settings are what an operator sets for every entitlement of an instance.
type Settings struct {
	// JustificationHint tells people what a justification should be.
	JustificationHint string
	// Justification must match a justification as a whole, whether or not the
	// operator anchored it.
	Justification *regexp.Regexp
	// MaxDuration is the longest grant; DefaultDuration is what a form offers.
	MaxDuration, DefaultDuration time.Duration
	// MinReviewers and MaxReviewers bound how many people a request asks.
	MinReviewers, MaxReviewers int
	// MaxRoles is how many entitlements one request may have.
	MaxRoles int
	// RequestTimeout is how long a request can be decided.
	RequestTimeout time.Duration
	// StartWithin is how far ahead access may be asked for; 0 is a day.
	StartWithin time.Duration
}

// What stands around a pattern of the settings, so that it matches as a whole.
const wholeBegins, wholeEnds = `^(?:`, `)$`

// spelled is a pattern as its author spelled it: the settings may come with the same around
// it already.
func spelled(pattern *regexp.Regexp) string {
	text := pattern.String()
	for strings.HasPrefix(text, wholeBegins) && strings.HasSuffix(text, wholeEnds) {
		text = text[len(wholeBegins) : len(text)-len(wholeEnds)]
	}
	return text
}

// Instance is the policy that an operator's settings make. Make one with New.
type Instance struct {
	// alone and peers are the terms of each kind of marker.
	alone, peers access.Terms
	// named are the folders and organizations that are given out themselves.
	named []access.Resource
}

// New makes the policy of an instance.
func New(s Settings) Instance {
	alone := access.Terms{
		MaxDuration: s.MaxDuration, DefaultDuration: min(s.DefaultDuration, s.MaxDuration),
		RequestLife: s.RequestTimeout, MaxRoles: s.MaxRoles, Hint: s.JustificationHint,
		// What compiles alone compiles in a group.
		Justification: []access.JustificationRule{{
			Pattern: regexp.MustCompile(wholeBegins + s.Justification.String() + wholeEnds), Message: s.JustificationHint}},
	}
	peers := alone
	peers.Requirements = []access.Requirement{{Count: 1, From: []string{access.FromPeers}}}
	peers.MinReviewers, peers.MaxReviewers, peers.StartWithin = s.MinReviewers, s.MaxReviewers, cmp.Or(s.StartWithin, startWithin)
	return Instance{alone: alone, peers: peers}
}

// Naming is the policy that gives out these folders and organizations themselves too.
func (i Instance) Naming(all []access.Resource) Instance {
	i.named = all
	return i
}

// Terms follow the marker alone, or what its provider says. A folder or an organization that is
// not named is refused.
func (i Instance) Terms(s access.Subject) (access.Terms, access.Explanation, error) {
	if on := s.Entitlement.Resource; on.HoldsOthers() && !slices.Contains(i.named, on) {
		return access.Terms{}, access.Explanation{}, notNamed(on)
	}
	return i.of(s), access.Explanation{}, nil
}

// notNamed refuses a folder or an organization itself. What makes people eligible there is
// meant, as a rule, for the projects below, and what is granted there holds for all of them.
func notNamed(on access.Resource) *access.Error {
	return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotNamed, Field: access.FieldEntitlement,
		Args: access.Args{"resource": string(on)}}
}

// of are the terms of what the subject has by a marker, or by its provider.
func (i Instance) of(s access.Subject) access.Terms {
	switch {
	case s.Base != nil:
		return *s.Base
	case s.Kind == access.Self:
		return i.alone
	}
	return i.peers
}
