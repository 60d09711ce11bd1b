// Package eligibility works out what people may activate and who may approve it, from
// rows: who is eligible for what, and in which way. Providers read the rows out of
// IAM policies, or the policy file holds them. It makes no calls.
package eligibility

import (
	"time"

	"jitaccess/internal/access"
)

// Kind is what a row lets its members do.
type Kind int

const (
	// None: nothing. A row of this kind says that its members were meant to be eligible,
	// as far as can be told (see Table.Missed).
	None Kind = iota
	// SelfApproval: they may activate the role alone.
	SelfApproval
	// PeerApproval: they may activate it with the approval of peers, and approve those
	// of others.
	PeerApproval
	// Both: the two together. JIT Access 1.x took that for SelfApproval.
	Both
	// ExternalApproval: they may activate the role with the approval of reviewers, and
	// approve for nobody.
	ExternalApproval
	// Reviewer: they may approve for others, and activate nothing.
	Reviewer
)

// Row makes some people eligible for one role.
type Row struct {
	ID   access.EntitlementID
	Kind Kind
	// Topic narrows who may approve; empty when there is none. Only PeerApproval,
	// ExternalApproval and Reviewer can have one.
	Topic string
	// Members are who is eligible: "user:ADDRESS", "group:ADDRESS" and "domain:DOMAIN",
	// folded (access.FoldASCII). All others match nobody.
	Members []string
	// Node is where it is written.
	Node access.Resource
	// Unconfirmed: it is not known as it is now, though that was wanted.
	Unconfirmed bool
	// Window is when it holds; a side that is zero is open. Unclear: it is limited in
	// time in other ways too, which the provider enforces and nobody here understands.
	Window  access.Window
	Unclear bool
}

// requests is how the members of the row may request with approval; ok is false
// when they may not.
func (r Row) requests() (way access.Approval, ok bool) { return r.peersOr(ExternalApproval) }

// reviews is how the members of the row may approve for others; ok is false when
// they may not.
func (r Row) reviews() (way access.Approval, ok bool) { return r.peersOr(Reviewer) }

func (r Row) peersOr(external Kind) (way access.Approval, ok bool) {
	return access.Approval{Topic: r.Topic, External: r.Kind == external}, r.Kind == PeerApproval || r.Kind == Both || r.Kind == external
}

// inherited is whether a folder or the organization above the resource says so.
func (r Row) inherited() bool { return r.Node != r.ID.Resource && r.Node.HoldsOthers() }

// at says why the row does not hold at a time; nil when it does.
func (r Row) at(now time.Time) *access.Error {
	switch {
	case now.Before(r.Window.Start):
		return &access.Error{Kind: access.Unprocessable, Code: access.CodeEligibilityAhead,
			Args: access.Args{"from": r.Window.Start.UTC().Format(time.RFC3339)}}
	case !r.Window.End.IsZero() && !now.Before(r.Window.End):
		return &access.Error{Kind: access.Unprocessable, Code: access.CodeEligibilityOver,
			Args: access.Args{"until": r.Window.End.UTC().Format(time.RFC3339)}}
	}
	return nil
}
