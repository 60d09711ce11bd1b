package policy

import (
	"slices"
	"sync/atomic"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/policy/document"
)

// Fault is what is wrong at a place of a file, Faults all that is.
type (
	Fault  = document.Fault
	Faults = document.Faults
)

// MaxSize is the longest file, in bytes.
const MaxSize = document.MaxSize

// File is a policy file, as ReadFile reads it. What it says does not change.
type File struct {
	// Digest is the SHA-256 of the text, in hexadecimal.
	Digest string
	// Entitlements are what the file itself gives, for providers without a list.
	Entitlements []Entitlement
	// Applications are programs that ask, sorted by name.
	Applications []Application
	Rules        []Rule

	people   map[access.Principal][]access.Principal
	defaults partial
	// refuses: where no rule matches, it is refused.
	refuses bool
	looks   access.Looks
	// place is the one that was asked about last: a page asks for all roles of one.
	place atomic.Pointer[place]
}

// Entitlement is what requesters may ask for by the file alone.
type Entitlement struct {
	ID    access.EntitlementID
	Title string
	// Requesters are spelled user:, group: or domain:.
	Requesters []string
	Line       int
	Column     int
}

// Rule says what holds for what it matches: terms, or a refusal.
type Rule struct {
	Name         string
	Line, Column int
	// Refusal is what people read; empty for a rule with terms.
	Refusal string

	match  match
	terms  partial
	loosen loosened
}

// loosened is which terms may be less than marker and settings demand.
type loosened struct{ approvals, maxDuration bool }

// partial are terms of which some are not said; those are nil.
type partial struct {
	at            map[string]document.Fault // where each key stands, by its name; no text
	approvals     *[]access.Requirement
	inOrder       *bool
	maxDuration   *time.Duration
	defaultLength *time.Duration
	requestLife   *time.Duration
	startWithin   *time.Duration
	maxContinuous *time.Duration
	justification []access.JustificationRule
	signature     *bool
	keys          access.KeyTerms
	accessLevels  []string
	inheritedOnly *bool
	remindAfter   *time.Duration
	escalation    *access.Escalation
	notify        []string
	notifyOnly    bool
	glass         *access.GlassTerms
}

// match is what a rule is about; the zero value is everything. A part that is empty
// matches.
type match struct {
	resources, roles list[pattern]
	requesters       list[who]
	changes          *bool
	hours            []hours
	dates            *dates
}

// Gives is the entitlement of the file with the id; nil for none.
func (f *File) Gives(id access.EntitlementID) *Entitlement {
	for i := range f.Entitlements {
		if f.Entitlements[i].ID == id {
			return &f.Entitlements[i]
		}
	}
	return nil
}

// Named are the folders and organizations that rules with terms name exactly, sorted: those that
// are given out themselves, to whom the rules say.
func (f *File) Named() []access.Resource {
	var all []access.Resource
	for i := range f.Rules {
		for _, p := range f.Rules[i].match.resources.in {
			if on := p.names(); on.HoldsOthers() && f.Rules[i].Refusal == "" {
				all = append(all, on)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Accounts are all addresses of a human, in the order of the file; the address itself
// alone where the file says nothing.
func (f *File) Accounts(of access.Principal) []access.Principal {
	if all, ok := f.people[of]; ok {
		return all
	}
	return []access.Principal{of}
}

// Human is the first of the addresses of a human.
func (f *File) Human(of access.Principal) access.Principal { return f.Accounts(of)[0] }
