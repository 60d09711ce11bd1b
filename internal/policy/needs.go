package policy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/policy/document"
)

// Deployment is what a service can carry out. What a file demands and a deployment cannot
// do is a fault; it is never left out.
type Deployment struct {
	// Settings are those of the instance; nil where they are not known, and then nothing
	// is said of what loosens them.
	Settings *Settings
	// Ledger: requests are remembered. Passkeys: approvers can sign.
	Ledger, Passkeys bool
	// SignaturesLast is for how long it can be verified what was asked and approved; 0 is
	// for ever.
	SignaturesLast time.Duration
	// AccessLevels are those with which whoever is signed in may come; nil where they come
	// with none.
	AccessLevels func() *regexp.Regexp
	// Claims: groups are read from a claim of the assertion.
	Claims bool
	// Groups: a directory can be asked for the groups of people.
	Groups bool
	// Channels are what notices can go to, as rules name them; one with a colon at the end
	// takes something behind it: "mail", "slack:".
	Channels []string
	// Kinds are the kinds of resources whose provider holds no list of its own, so that
	// entitlements of the file serve it, such as "pomerium".
	Kinds []string
}

// GoogleLevels are the access levels of Access Context Manager, with which people come from
// Identity-Aware Proxy
// (https://cloud.google.com/access-context-manager/docs/reference/rest/v1/accessPolicies.accessLevels);
// AnyLevels are those of whatever signs people in.
var (
	GoogleLevels = lazyregexp.New(`^accessPolicies/[0-9]{1,20}/accessLevels/[A-Za-z0-9_]{1,50}$`)
	AnyLevels    = lazyregexp.New(``)
)

// Faults are the rules that the deployment cannot carry out, and those that would loosen
// its settings without saying so. Each names its rule.
func (f *File) Faults(d Deployment) document.Faults {
	var faults document.Faults
	tell := func(of string, at document.Fault, format string, args ...any) {
		faults = append(faults, document.Fault{Line: at.Line, Column: at.Column, Text: of + ": " + fmt.Sprintf(format, args...)})
	}
	for _, e := range f.Entitlements {
		if kind := e.ID.Resource.Kind(); kind != "" && !slices.Contains(d.Kinds, kind) {
			tell("entitlement "+string(e.ID.Resource), document.Fault{Line: e.Line, Column: e.Column},
				"there is no provider for %s/… here; leave it out", kind)
		}
		for _, spelled := range e.Requesters {
			kind, _, _ := strings.Cut(spelled, ":")
			if why := d.cannotKnow(kind); why != "" {
				tell("entitlement "+string(e.ID.Resource), document.Fault{Line: e.Line, Column: e.Column}, "requesters name %s, and %s", spelled, why)
			}
		}
	}
	f.applicationFaults(d, tell)
	if len(f.defaults.at) > 0 {
		for _, fault := range f.defaults.faults(d, loosened{}) {
			tell("defaults", fault, "%s", fault.Text)
		}
	}
	for i := range f.Rules {
		rule := &f.Rules[i]
		at := document.Fault{Line: rule.Line, Column: rule.Column}
		for _, fault := range rule.terms.faults(d, rule.loosen) {
			tell(rule.called(), fault, "%s", fault.Text)
		}
		for _, w := range slices.Concat(rule.match.requesters.in, rule.match.requesters.out) {
			if why := d.cannotKnow(w.kind); why != "" {
				tell(rule.called(), at, "match names %s, and %s", w.spelled(), why)
			} else if w.kind == "claim" && !d.Ledger {
				// Whoever approves is here, and who asked is not.
				tell(rule.called(), at, "match names %s, and what the sign-in of somebody said when they asked is kept in a ledger only", w.spelled())
			}
		}
	}
	return faults.Sorted()
}

func (r *Rule) called() string { return called(r.Name) }

func called(rule string) string { return fmt.Sprintf("rule %q", rule) }

// cannotKnow is why people who are named in this way cannot be told; empty if they can.
func (d Deployment) cannotKnow(kind string) string {
	switch {
	case kind == "claim" && !d.Claims:
		return "no claim is read here: set IDENTITY_GROUPS_CLAIM"
	case kind == "group" && !d.Groups:
		return "no directory can be asked for groups here"
	}
	return ""
}

// faults are those of the terms; each stands at its key.
func (p partial) faults(d Deployment, loosen loosened) document.Faults {
	var faults document.Faults
	tell := func(key, format string, args ...any) {
		at := p.at[key]
		faults = append(faults, document.Fault{Line: at.Line, Column: at.Column, Text: fmt.Sprintf(format, args...)})
	}
	ledger := func(key, what string) {
		if !d.Ledger {
			tell(key, "%s needs a ledger, and there is none", what)
		}
	}
	count := 0
	if p.approvals != nil {
		count = (access.Terms{Requirements: *p.approvals}).Approvals()
	}
	if count > 1 {
		ledger("approvals", "more than one approval")
	}
	for key, length := range map[string]*time.Duration{"request_life": p.requestLife, "start_within": p.startWithin,
		"max_continuous": p.maxContinuous} {
		if d.SignaturesLast > 0 && value(length, 0) > d.SignaturesLast {
			tell(key, "%s of more than %s needs SIGNING_KEY: what the service account signs is good for so long", key, Length(d.SignaturesLast))
		}
	}
	for key, length := range map[string]*time.Duration{"max_continuous": p.maxContinuous, "remind_after": p.remindAfter} {
		if length != nil {
			ledger(key, key)
		}
	}
	if value(p.requestLife, 0) > access.LinkLife { // without memory it lives in its link
		ledger("request_life", "request_life of more than 6h")
	}
	if value(p.startWithin, 0) > startWithin {
		ledger("start_within", "start_within of more than 24h")
	}
	if p.escalation != nil {
		ledger("escalate", "escalate")
		for _, spelled := range p.escalation.To {
			if kind, _, _ := strings.Cut(spelled, ":"); kind == "claim" || kind == "domain" {
				tell("escalate", "escalate names %s, who have no address; name user: or group:", spelled)
			}
		}
	}
	if p.glass != nil {
		ledger("break_glass", "break_glass")
	}
	if value(p.signature, false) {
		ledger("signature", "signature")
		if !d.Passkeys {
			tell("signature", "no passkeys can be used here, so that nobody could sign")
		}
	}
	if len(p.accessLevels) > 0 && d.AccessLevels == nil {
		tell("approver_access_level", "access levels are known only where Identity-Aware Proxy signs people in, or a login of the service's own")
	}
	for _, level := range p.accessLevels {
		if d.AccessLevels != nil && !d.AccessLevels().MatchString(level) {
			tell("approver_access_level", "%s is no access level here, such as accessPolicies/1/accessLevels/corp", level)
		}
	}
	for _, channel := range p.notify {
		if name, behind, _ := strings.Cut(channel, ":"); !slices.Contains(d.Channels, channel[:len(channel)-len(behind)]) {
			here := strings.Join(d.Channels, ", ")
			if slices.Contains(d.Channels, name) {
				here = name + ", with nothing behind it"
			}
			tell("notify", "there is no channel %s here; there is %s", channel, cmp.Or(here, "none"))
		}
	}
	for key, people := range p.named() {
		for _, spelled := range people {
			kind, _, _ := strings.Cut(spelled, ":")
			if why := d.cannotKnow(kind); why != "" {
				tell(key, "%s names %s, and %s", key, spelled, why)
			}
		}
	}
	if s := d.Settings; s != nil {
		if most := value(p.maxDuration, 0); most > s.MaxDuration && !loosen.maxDuration {
			tell("max_duration",
				"max_duration of %s is longer than ACTIVATION_TIMEOUT (%s); write loosen: [max_duration] beside terms if that is meant",
				Length(most), Length(s.MaxDuration))
		}
		if count > s.MaxReviewers {
			tell("approvals", "%d approvals cannot be had, since ACTIVATION_REQUEST_MAX_REVIEWERS lets a request ask %s",
				count, access.Counted(s.MaxReviewers, "person", "people"))
		}
	}
	return faults
}

// named are the people that the terms name, by key.
func (p partial) named() map[string][]string {
	all := map[string][]string{}
	if p.approvals != nil {
		for _, r := range *p.approvals {
			all["approvals"] = append(all["approvals"], r.From...)
		}
	}
	if p.escalation != nil {
		all["escalate"] = p.escalation.To
	}
	if p.glass != nil {
		all["break_glass"] = slices.Concat(p.glass.Who, p.glass.ReviewBy)
	}
	return all
}

// Length is a length of time as files spell it: 90m, 4h, 3d.
func Length(d time.Duration) string {
	switch {
	case d > 0 && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d > 0 && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}
