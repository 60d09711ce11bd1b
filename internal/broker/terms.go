package broker

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// startGrace is how far in the past a requested start may lie and still mean "now":
// people read a form before they send it.
const startGrace = 5 * time.Minute

// Defaults are the terms that hold for the caller where nothing is said of an
// entitlement in particular.
func (b *Broker) Defaults(caller access.Caller, kind access.RequestKind) (access.Terms, error) {
	terms, _, err := b.c.Policy.Terms(access.Subject{Principal: caller.Principal, Kind: kind, At: b.c.Now()})
	return terms, err
}

// carriesOut is nil for terms that can be carried out. Rules that demand others are faults
// when a policy is taken; this keeps them from being left out all the same.
func (b *Broker) carriesOut(t access.Terms) error {
	// Where nobody reads claims nobody could be one of those who have it.
	nobody := func(r access.Requirement) bool {
		return len(r.From) == 0 || !b.c.Claims && slices.ContainsFunc(r.From, isClaim)
	}
	term := "" // as a policy calls it
	switch {
	case t.Signature && (b.forgets || !b.Passkeys() || t.Approvals() == 0):
		term = "signature"
	case t.BreakGlass && b.forgets:
		term = "break_glass"
	case slices.ContainsFunc(t.Requirements, nobody):
		term = "from"
	case t.Approvals() > 1 && b.forgets:
		term = "approvals"
	case t.MaxContinuous > 0 && b.memory() == nil:
		term = "max_continuous"
	}
	if term != "" {
		return &access.Error{Kind: access.Unprocessable, Code: access.CodeTermUnsupported, Args: access.Args{"term": term, "rule": t.Rule}}
	}
	return nil
}

// agrees is whether a request of the kind is what the terms want: approvals, or none.
func agrees(t access.Terms, kind access.RequestKind) error {
	if kind == access.Peers && t.Approvals() == 0 {
		return invalid(access.FieldReviewer, access.CodeNoApprovalNeeded, nil)
	}
	return nil
}

// within is whether the request keeps to the terms.
func (b *Broker) within(t access.Terms, r access.Request) error {
	if err := fewEnough(t, len(r.Entitlements)); err != nil {
		return err
	}
	if now := b.c.Now(); r.Extends == "" && r.WindowAt(now).Start.After(now.Add(t.StartWithin)) {
		return badStart(t)
	}
	if r.Duration < time.Minute || r.Duration > t.MaxDuration || r.Duration%time.Minute != 0 {
		return invalid(access.FieldDuration, access.CodeBadDuration, access.Args{"max": strconv.Itoa(int(t.MaxDuration / time.Minute))})
	}
	if r.Kind != access.Peers {
		return nil
	}
	if err := agrees(t, r.Kind); err != nil {
		return err
	}
	// How many there are in groups was looked at when they were asked.
	group := func(p access.Principal) bool { _, ok := p.Group(); return ok }
	if least := max(t.MinReviewers, t.Asked()); b.humans(r.Reviewers) < least && !slices.ContainsFunc(r.Reviewers, group) {
		return invalid(access.FieldReviewer, access.CodeFewReviewers, access.Args{"min": strconv.Itoa(least)})
	}
	if len(r.Reviewers) > t.MaxReviewers {
		return invalid(access.FieldReviewer, access.CodeManyReviewers, access.Args{"max": strconv.Itoa(t.MaxReviewers)})
	}
	return nil
}

// humans is how many different ones the addresses are of.
func (b *Broker) humans(all []access.Principal) int {
	different := map[access.Principal]bool{}
	for _, p := range all {
		different[b.human(p)] = true
	}
	return len(different)
}

// fewEnough is whether one request may have so many entitlements.
func fewEnough(t access.Terms, n int) error {
	if n > t.MaxRoles {
		return invalid(access.FieldEntitlement, access.CodeTooManyRoles, access.Args{"count": strconv.Itoa(n), "max": strconv.Itoa(t.MaxRoles)})
	}
	return nil
}

func badStart(t access.Terms) *access.Error {
	return invalid(access.FieldStart, access.CodeBadStart, access.Args{"max": strconv.Itoa(int(t.StartWithin / time.Hour))})
}

// justified is whether the reason is one, and what the terms want of it.
func justified(t access.Terms, text string) error {
	switch err := access.CheckJustification(text); err {
	case nil:
	case access.ErrJustificationEmpty:
		return invalid(access.FieldJustification, access.CodeNoJustification, access.Args{"hint": t.Hint})
	case access.ErrJustificationLong:
		return invalid(access.FieldJustification, access.CodeLongJustification, access.Args{"max": strconv.Itoa(access.MaxJustification)})
	default:
		return invalid(access.FieldJustification, access.CodeUnsafeJustification, nil)
	}
	var missed []string
	for _, rule := range t.Justification {
		if !rule.Pattern.MatchString(text) {
			missed = append(missed, sentence(rule.Message))
		}
	}
	if len(missed) > 0 {
		return invalid(access.FieldJustification, access.CodeJustificationRule, access.Args{"hint": strings.Join(missed, " ")})
	}
	return nil
}

// sentence ends a text as one, unless it does.
func sentence(text string) string {
	if text == "" || strings.ContainsAny(text[len(text)-1:], ".!?:") {
		return text
	}
	return text + "."
}
