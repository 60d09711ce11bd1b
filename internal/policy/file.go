package policy

import (
	"slices"
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

// File is a policy file, as ReadFile reads it. It does not change.
type File struct {
	// Digest is the SHA-256 of the text, in hexadecimal.
	Digest string
	// Entitlements are what the file itself gives, for providers without a list.
	Entitlements []Entitlement
	Rules        []Rule

	people   map[access.Principal]access.Principal
	defaults partial
	// refuses: where no rule matches, it is refused.
	refuses bool
	looks   access.Looks
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
	enrolledBy    string
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

// Addresses are all of the person behind an address, sorted, that one among them.
func (f *File) Addresses(p access.Principal) []access.Principal {
	all := []access.Principal{p}
	for address, human := range f.people {
		if human == f.Human(p) && address != p {
			all = append(all, address)
		}
	}
	slices.Sort(all)
	return all
}

// Human is the one person behind an address: the first of the addresses that the file
// has for them, and the address itself where it says nothing.
func (f *File) Human(p access.Principal) access.Principal {
	if human, ok := f.people[p]; ok {
		return human
	}
	return p
}
