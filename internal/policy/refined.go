package policy

import (
	"cmp"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// Refined is the policy of an instance with a policy file: what markers and settings
// say, refined by the first rule that matches. Make one with Refine.
type Refined struct {
	base Instance
	file *File
}

// Refine makes the policy of an instance with a file, which must be without faults (see
// ReadFile and Faults).
func Refine(base Instance, file *File) Refined { return Refined{base, file} }

// File is the file that refines it.
func (p Refined) File() *File { return p.file }

// maxPassed is how many rules Terms names of those that it passes: pages say it of every role.
const maxPassed = 10

// Terms are those of the first rule that matches; of what begins later, the strictest of
// the rules of both moments. The error is of kind NotAllowed where a rule refuses, and
// Unavailable where it is not known whether one matches: no rule behind it is then asked.
func (p Refined) Terms(s access.Subject) (access.Terms, access.Explanation, error) {
	e := p.decide(s, maxPassed)
	if e.Err != nil {
		return access.Terms{}, e.Explanation, e.Err
	}
	return e.Terms, e.Explanation, nil
}

// Looks is what its rules look at.
func (p Refined) Looks() access.Looks { return p.file.looks }

// Accounts are all addresses of a human, by what the file says of people.
func (p Refined) Accounts(of access.Principal) []access.Principal { return p.file.Accounts(of) }

// Explanation says why which terms hold.
type Explanation struct {
	access.Explanation
	// Terms are what it takes, or Err why it cannot be had.
	Terms access.Terms
	Err   *access.Error
	// Later is the same for the moment when access begins, where that is another.
	Later *Explanation
}

// Explain says what Terms returns, and names every rule that does not match before the one
// that decides. Of the zero entitlement nothing is known that a rule could be about: what
// holds is what no rule says.
func (p Refined) Explain(s access.Subject) Explanation { return p.decide(s, len(p.file.Rules)) }

// decide explains, and names so many of the rules that do not match.
func (p Refined) decide(s access.Subject, named int) Explanation {
	if t := p.file.Template(s.Entitlement); s.Base == nil && t != nil {
		terms := t.Terms()
		s.Base = &terms
	}
	if s.Entitlement == (access.EntitlementID{}) {
		return Explanation{Terms: p.base.of(s)}
	}
	q := p.file.ask(&s)
	e := p.explain(q, s.At, named)
	if s.Begins.After(s.At) {
		later := p.explain(q, s.Begins, named)
		e.Later = &later
		e.Terms, e.Err = access.Strictest(e.Terms, later.Terms), cmp.Or(e.Err, later.Err)
	}
	return e
}

func (p Refined) explain(q *question, at time.Time, named int) Explanation {
	e := Explanation{Explanation: access.Explanation{Policy: p.file.Digest}}
	when := &moment{at: at}
	for i := range p.file.Rules {
		if len(e.Passed) == named && q.about[i] == no { // a page asks this of many roles
			e.Further++
			continue
		}
		rule := &p.file.Rules[i]
		matches, part := rule.match.judge(q, q.about[i], when)
		switch {
		case matches == no && len(e.Passed) == named:
			e.Further++
			continue
		case matches == no:
			e.Passed = append(e.Passed, access.PassedRule{Rule: rule.Name, Part: part})
			continue
		case matches == unknown:
			e.Err = &access.Error{Kind: access.Unavailable, Code: access.CodeRuleUndecided, Args: access.Args{"rule": rule.Name, "unknown": part}}
		case rule.Refusal != "":
			e.Err = &access.Error{Kind: access.NotAllowed, Code: access.CodeRuleRefuses, Field: access.FieldEntitlement,
				Args: access.Args{"rule": rule.Name, "message": rule.Refusal, "role": string(q.Entitlement.Role)}}
		case q.Entitlement.Resource.HoldsOthers() && !rule.match.names(q.Entitlement.Resource):
			e.Err = notNamed(q.Entitlement.Resource)
		default:
			e.Terms = p.apply(rule, q.Subject)
		}
		e.Rule = rule.Name
		return e
	}
	if p.file.refuses && q.Base == nil {
		e.Err = &access.Error{Kind: access.NotAllowed, Code: access.CodeNoRule, Field: access.FieldEntitlement,
			Args: access.Args{"role": string(q.Entitlement.Role), "resource": string(q.Entitlement.Resource)}}
		return e
	}
	if q.Entitlement.Resource.HoldsOthers() {
		e.Err = notNamed(q.Entitlement.Resource)
		return e
	}
	e.Terms = p.base.of(*q.Subject)
	return e
}

// names is whether a rule that is about the resource says so by exactly its path.
func (m *match) names(on access.Resource) bool {
	return slices.ContainsFunc(m.resources.in, func(p pattern) bool { return p.names() == on })
}

// excludes is the part of a rule that says that it is not about the entitlement, whoever
// asks and when, as the file names it; empty where none does. resource is whether it is
// about the resource.
func (m *match) excludes(q *question, resource answer) (part string) {
	switch {
	case m.roles.judge(q, (*pattern).matchesRole) == no:
		return "role"
	case m.changes != nil && *m.changes != (q.ChangesPermissions != access.No):
		return "changes_permissions"
	case resource == no:
		return "resource"
	}
	return ""
}

// judge is whether a rule is about the subject at a time; resource is as for excludes. For
// no, part is what says so; for unknown, it is what is not known.
func (m *match) judge(q *question, resource answer, at *moment) (matches answer, part string) {
	if part := m.excludes(q, resource); part != "" {
		return no, part
	}
	requester := m.requesters.judge(q, (*who).matches)
	switch {
	case requester == no:
		return no, "requester"
	case m.dates != nil && !m.dates.contain(at):
		return no, "dates"
	case len(m.hours) > 0 && !slices.ContainsFunc(m.hours, func(h hours) bool { return h.contain(at) }):
		return no, "hours"
	case resource == unknown:
		return unknown, "ancestors"
	case requester == unknown:
		all := slices.Concat(m.requesters.in, m.requesters.out)
		at := slices.IndexFunc(all, func(w who) bool { return w.matches(q) == unknown })
		return unknown, all[at].kind + "s"
	}
	return yes, ""
}

// apply is what the marker and the settings demand, with what the rule says: stricter,
// or less strict where it loosens. What a provider demands no rule makes less strict, and
// peers are those whom it names.
func (p Refined) apply(rule *Rule, s *access.Subject) access.Terms {
	marker := p.base.of(*s)
	said := rule.terms.over(p.file.defaults)
	needs := marker.Requirements
	if said.approvals != nil && (rule.loosen.approvals || (access.Terms{Requirements: *said.approvals}).Approvals() >= marker.Approvals()) {
		needs = *said.approvals
	}
	t := p.base.alone
	switch {
	case s.Base != nil:
		t, needs = marker, inPlaceOfPeers(needs, marker)
	case len(needs) > 0:
		t = p.base.peers
		t.StartWithin = value(said.startWithin, t.StartWithin)
	}
	t.Rule, t.Policy, t.Requirements = rule.Name, p.file.Digest, needs
	t.InOrder = value(said.inOrder, false)
	if most := value(said.maxDuration, t.MaxDuration); most < t.MaxDuration || rule.loosen.maxDuration {
		t.MaxDuration = most
	}
	if t.MaxContinuous = value(said.maxContinuous, 0); t.MaxContinuous > 0 {
		t.MaxDuration = min(t.MaxDuration, t.MaxContinuous)
	}
	t.DefaultDuration = min(value(said.defaultLength, t.DefaultDuration), t.MaxDuration)
	t.RequestLife = value(said.requestLife, t.RequestLife)
	t.Justification = append(t.Justification[:len(t.Justification):len(t.Justification)], said.justification...)
	t.Signature, t.Keys = value(said.signature, false), said.keys
	t.ApproverAccessLevels, t.InheritedOnly = said.accessLevels, value(said.inheritedOnly, false)
	t.RemindAfter = value(said.remindAfter, 0)
	if said.escalation != nil {
		t.Escalations = []access.Escalation{*said.escalation}
	}
	t.Notify, t.NotifyOnly = said.notify, said.notifyOnly
	if said.glass != nil {
		t.BreakGlass, t.Glass = true, *said.glass
		t.Glass.MaxDuration = min(t.Glass.MaxDuration, t.MaxDuration)
	}
	if s.Base != nil {
		// Whom the rules name beside those of the provider are asked too.
		t = access.Strictest(t, marker)
		t.MaxReviewers = 0
		for _, need := range t.Requirements {
			t.MaxReviewers += len(need.From)
		}
	}
	return t
}

// inPlaceOfPeers are needs with those whom a provider names for approving in place of peers, of
// whom it knows none.
func inPlaceOfPeers(needs []access.Requirement, provider access.Terms) []access.Requirement {
	needs = slices.Clone(needs)
	for i, need := range needs {
		if at := slices.Index(need.From, access.FromPeers); at >= 0 && len(provider.Requirements) > 0 {
			needs[i].From = slices.Replace(slices.Clone(need.From), at, at+1, provider.Requirements[0].From...)
		}
	}
	return needs
}

// value is what a pointer points to, or else what holds without it.
func value[T any](said *T, otherwise T) T {
	if said == nil {
		return otherwise
	}
	return *said
}

// over are the terms with those of defaults where they say nothing themselves.
func (p partial) over(defaults partial) partial {
	return partial{
		approvals:     cmp.Or(p.approvals, defaults.approvals),
		inOrder:       cmp.Or(p.inOrder, defaults.inOrder),
		maxDuration:   cmp.Or(p.maxDuration, defaults.maxDuration),
		defaultLength: cmp.Or(p.defaultLength, defaults.defaultLength),
		requestLife:   cmp.Or(p.requestLife, defaults.requestLife),
		startWithin:   cmp.Or(p.startWithin, defaults.startWithin),
		maxContinuous: cmp.Or(p.maxContinuous, defaults.maxContinuous),
		justification: either(p.justification, defaults.justification),
		signature:     cmp.Or(p.signature, defaults.signature),
		keys:          p.keysOver(defaults),
		accessLevels:  either(p.accessLevels, defaults.accessLevels),
		inheritedOnly: cmp.Or(p.inheritedOnly, defaults.inheritedOnly),
		remindAfter:   cmp.Or(p.remindAfter, defaults.remindAfter),
		escalation:    cmp.Or(p.escalation, defaults.escalation),
		notify:        either(p.notify, defaults.notify),
		notifyOnly:    p.notifyOnly || p.notify == nil && defaults.notifyOnly,
		glass:         cmp.Or(p.glass, defaults.glass),
	}
}

func (p partial) keysOver(defaults partial) access.KeyTerms {
	if p.signature == nil {
		return defaults.keys
	}
	return p.keys
}

func either[T any](list, otherwise []T) []T {
	if list == nil {
		return otherwise
	}
	return list
}
