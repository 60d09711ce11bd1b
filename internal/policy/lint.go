package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/policy/document"
)

// Lint looks for what a file says and its author probably does not mean. Faults must be
// put right; warnings should be looked at. What it tells is so; it does not see
// everything: a rule that several others together leave nothing for, a name that nobody
// has, or what people mean.
func (f *File) Lint(now time.Time) (faults, warnings document.Faults) {
	for i := range f.Rules {
		rule := &f.Rules[i]
		at := &document.Node{Line: rule.Line, Column: rule.Column}
		for k := range i {
			if !f.Rules[k].match.covers(&rule.match) {
				continue
			}
			if rule.Refusal != "" {
				faults.Add(at, "%s refuses nothing: %s stands before it and takes all that it is about; move it up", rule.called(), f.Rules[k].called())
			} else {
				warnings.Add(at, "%s never decides: %s stands before it and takes all that it is about", rule.called(), f.Rules[k].called())
			}
			break
		}
		f.lintMatch(rule, now, at, &warnings)
		f.lintTerms(rule, at, &warnings)
	}
	f.lintApplications(&warnings)
	return faults.Sorted(), warnings.Sorted()
}

// Unknown are warnings of people and groups whom knows does not know; its kinds are "user"
// and "group". Each is asked for once. The error is knows's.
func (f *File) Unknown(knows func(kind string, address access.Principal) (bool, error)) (Faults, error) {
	var warnings Faults
	asked := map[string]bool{}
	tell := func(of string, line, column int, people ...string) error {
		for _, spelled := range people {
			kind, address, _ := strings.Cut(spelled, ":")
			if kind != "user" && kind != "group" || asked[spelled] {
				continue
			}
			asked[spelled] = true
			known, err := knows(kind, access.Principal(address))
			if err != nil {
				return err
			}
			if !known {
				warnings = append(warnings, Fault{Line: line, Column: column,
					Text: fmt.Sprintf("%s names %s, whom the Directory does not know", of, spelled)})
			}
		}
		return nil
	}
	for _, e := range f.Entitlements {
		if err := tell("entitlement "+string(e.ID.Resource), e.Line, e.Column, e.Requesters...); err != nil {
			return nil, err
		}
	}
	for _, a := range f.Applications {
		for i, t := range a.Templates {
			if err := tell(calledTemplate(a.Name, t.Key), a.templates[i].Line, a.templates[i].Column, t.Approvers...); err != nil {
				return nil, err
			}
		}
	}
	for i := range f.Rules {
		rule := &f.Rules[i]
		var all []string
		for _, w := range slices.Concat(rule.match.requesters.in, rule.match.requesters.out) {
			all = append(all, w.spelled())
		}
		for _, people := range rule.terms.over(f.defaults).named() {
			all = append(all, people...)
		}
		slices.Sort(all)
		if err := tell(rule.called(), rule.Line, rule.Column, all...); err != nil {
			return nil, err
		}
	}
	return warnings.Sorted(), nil
}

func (f *File) lintMatch(rule *Rule, now time.Time, at *document.Node, warnings *document.Faults) {
	m := &rule.match
	for _, part := range []struct {
		key     string
		nothing bool
	}{
		{"resource", m.resources.takesOutAll(pattern.covers)}, {"role", m.roles.takesOutAll(pattern.covers)},
		{"requester", m.requesters.takesOutAll(who.covers)},
	} {
		if part.nothing {
			warnings.Add(at, "%s matches nothing: all that its %s names is taken out again", rule.called(), part.key)
		}
	}
	if m.dates != nil && m.dates.to != "" && m.dates.to < now.In(m.dates.zone).Format(dayFormat) {
		warnings.Add(at, "%s is over since %s; take it out", rule.called(), m.dates.to)
	}
	if who, when := f.leaves(rule, now); who != "" {
		held := "what the marker and the environment demand"
		if f.refuses || len(m.resources.in) > 0 && m.resources.in[0].names().HoldsOthers() {
			held = "that it is refused"
		}
		warnings.Add(at, "%s says nothing of %s%s, and neither does any other rule: for them holds %s", rule.called(), who, when, held)
	}
}

// takesOutAll is whether nothing is left of what the list names.
func (l list[T]) takesOutAll(covers func(a, b T) bool) bool {
	return len(l.in) > 0 && coverAll(l.out, l.in, covers)
}

// coverAll is whether each of the others is covered by one of all.
func coverAll[T any](all, others []T, covers func(a, b T) bool) bool {
	return !slices.ContainsFunc(others, func(other T) bool {
		return !slices.ContainsFunc(all, func(one T) bool { return covers(one, other) })
	})
}

// lintTerms tells of rules that loosen, and of approvals that nobody could give.
func (f *File) lintTerms(rule *Rule, at *document.Node, warnings *document.Faults) {
	said := rule.terms.over(f.defaults)
	if rule.loosen.approvals {
		warnings.Add(at, "%s may demand fewer approvals than the marker in IAM (loosen)", rule.called())
	}
	if rule.loosen.maxDuration {
		warnings.Add(at, "%s may give access for longer than ACTIVATION_TIMEOUT (loosen)", rule.called())
	}
	if value(said.signature, false) && said.keys.SelfEnrolled {
		warnings.Add(at,
			"%s takes signatures of passkeys that no administrator has approved: whoever has somebody's session can add one (enrolment: self)",
			rule.called())
	}
	if said.glass != nil {
		warnings.Add(at, "%s gives access without any approval to %s (break_glass)", rule.called(), strings.Join(said.glass.Who, ", "))
	}
	if said.approvals == nil {
		return
	}
	var outside []string
	named, needed := map[access.Principal]bool{}, 0 // by all requirements that name people alone
	for _, r := range *said.approvals {
		people := map[access.Principal]bool{}
		for _, spelled := range r.From {
			kind, value, _ := strings.Cut(spelled, ":")
			if kind != "user" {
				people = nil
			}
			if people != nil {
				people[f.Human(access.Principal(value))] = true
			}
			if spelled != access.FromPeers && !slices.Contains(outside, spelled) {
				outside = append(outside, spelled)
			}
		}
		if people != nil && len(people) < r.Count {
			warnings.Add(at, "%s can be satisfied by nobody: it demands %d approvals, and names %d who can give them",
				rule.called(), r.Count, len(people))
		}
		if requester, ok := f.onlyRequester(rule); ok && people != nil && people[requester] && len(people)-1 < r.Count {
			warnings.Add(at, "%s can be satisfied by nobody: only %s may ask, and nobody approves their own request", rule.called(), requester)
		}
		if people != nil {
			maps.Copy(named, people)
			needed += r.Count
		}
	}
	if needed > len(named) && len(*said.approvals) > 1 {
		warnings.Add(at, "%s can be satisfied by nobody: its approvals need %d people, and name %d; one person gives one of them",
			rule.called(), needed, len(named))
	}
	if value(said.inOrder, false) && len(*said.approvals) < 2 {
		warnings.Add(at, "%s: in_order says nothing, since it demands approvals of one kind", rule.called())
	}
	if len(outside) > 0 && value(said.inheritedOnly, false) {
		warnings.Add(at, "%s lets of %s only those approve who are eligible themselves, because of a folder or the organization (inherited_only)",
			rule.called(), strings.Join(outside, ", "))
	}
	if len(outside) > 0 {
		warnings.Add(at, "%s lets people approve by this file alone, whatever IAM says of them: %s", rule.called(), strings.Join(outside, ", "))
	}
}

// onlyRequester is the one human who may ask by the rule, if there is only one.
func (f *File) onlyRequester(rule *Rule) (access.Principal, bool) {
	var only access.Principal
	for _, w := range rule.match.requesters.in {
		human := f.Human(access.Principal(w.value))
		if w.kind != "user" || only != "" && only != human {
			return "", false
		}
		only = human
	}
	return only, only != ""
}

// covers is whether whatever the other is about, this is about too.
func (m *match) covers(other *match) bool {
	return coversList(m.resources, other.resources, pattern.covers) &&
		coversList(m.roles, other.roles, pattern.covers) &&
		coversList(m.requesters, other.requesters, who.covers) &&
		(m.changes == nil || other.changes != nil && *m.changes == *other.changes) &&
		coversHours(m.hours, other.hours) &&
		(m.dates == nil || other.dates != nil && m.dates.zone.String() == other.dates.zone.String() && m.dates.from <= other.dates.from &&
			(m.dates.to == "" || other.dates.to != "" && other.dates.to <= m.dates.to))
}

// coversList: all that the other names is named, and all that is taken out the other
// takes out too.
func coversList[T any](l, other list[T], covers func(a, b T) bool) bool {
	return (len(l.in) == 0 || len(other.in) > 0 && coverAll(l.in, other.in, covers)) && coverAll(other.out, l.out, covers)
}

func coversHours(all, others []hours) bool {
	covers := func(a, b hours) bool {
		return a.zone.String() == b.zone.String() && a.from <= b.from && b.to <= a.to &&
			(a.from < a.to && b.from < b.to || a.from == b.from && a.to == b.to) &&
			(len(a.days) == 0 || len(b.days) > 0 && !slices.ContainsFunc(b.days, func(d time.Weekday) bool { return !slices.Contains(a.days, d) }))
	}
	return len(all) == 0 || len(others) > 0 && coverAll(all, others, covers)
}

// covers: a star of the other is a character that only a star matches.
func (p pattern) covers(other pattern) bool {
	path := split(other.text)
	return p.below == other.below && (p.text == other.text || p.matches(&path))
}

func (w who) covers(other who) bool {
	return w == other || w.kind == "domain" && other.kind == "user" && strings.HasSuffix(other.value, "@"+w.value)
}

// leaves finds somebody who is not meant by the rule because of its requester, hours or
// dates alone, and whom no other rule is about. It is shown by an example, so that what
// it tells is so.
func (f *File) leaves(rule *Rule, now time.Time) (who, example string) {
	m := &rule.match
	if rule.Refusal != "" || m.isAlways() {
		return "", ""
	}
	s, ok := m.example()
	if !ok {
		return "", ""
	}
	at := placeOf(&s)
	here := ask(&s, at).judge(&m.resources)
	others := f.about(ask(&s, at))
	for _, person := range m.people() {
		person.fill(&s)
		q, when := ask(&s, at), ""
		for _, t := range m.moments(now) {
			then := &moment{at: t}
			matches, part := m.judge(q, here, then)
			if matches != no || part != "requester" && part != "hours" && part != "dates" {
				continue
			}
			if slices.ContainsFunc(others, func(other *Rule) bool { matches, _ := other.match.judge(q, yes, then); return matches != no }) {
				continue
			}
			if part != "requester" {
				when = ", " + t.Format("Mon 2006-01-02 15:04 MST")
			}
			return person.called(), fmt.Sprintf(" (%s on %s%s)", s.Entitlement.Role, append(s.Ancestors, s.Entitlement.Resource)[0], when)
		}
	}
	return "", ""
}

// about are the rules that are about what is asked for, whoever asks and when.
func (f *File) about(q *question) (rules []*Rule) {
	for i := range f.Rules {
		if m := &f.Rules[i].match; m.excludes(q, q.judge(&m.resources)) == "" {
			rules = append(rules, &f.Rules[i])
		}
	}
	return rules
}

// example is something that the rule is about, as far as resource and role go.
func (m *match) example() (access.Subject, bool) {
	fill := func(p pattern) string { return strings.ReplaceAll(p.text, "*", "x") }
	s := access.Subject{Kind: access.Peers, AncestorsKnown: true, GroupsKnown: true, ClaimsKnown: true, ChangesPermissions: access.Yes,
		Entitlement: access.EntitlementID{Resource: "projects/x", Role: "roles/x"}}
	if len(m.roles.in) > 0 {
		s.Entitlement.Role = access.Role(fill(m.roles.in[0]))
	}
	if len(m.resources.in) > 0 {
		if first := m.resources.in[0]; first.below {
			s.Ancestors = []access.Resource{access.Resource(fill(first))}
		} else {
			s.Entitlement.Resource = access.Resource(fill(first))
		}
	}
	if m.changes != nil && !*m.changes {
		s.ChangesPermissions = access.No
	}
	q := ask(&s, placeOf(&s))
	return s, m.roles.judge(q, (*pattern).matchesRole) == yes && q.judge(&m.resources) == yes
}

// people are those whom the rule names, and somebody whom no file names.
func (m *match) people() []who {
	return append(slices.Concat(m.requesters.in, m.requesters.out), who{})
}

// fill makes the subject one of these people, and no more than that.
func (w who) fill(s *access.Subject) {
	s.Principal, s.Groups, s.Claims = "somebody@elsewhere.invalid", nil, nil
	switch w.kind {
	case "user":
		s.Principal = access.Principal(w.value)
	case "domain":
		s.Principal = access.Principal("somebody@" + w.value)
	case "group":
		s.Groups = []string{w.value}
	case "claim":
		s.Claims = []string{w.value}
	}
}

func (w who) called() string {
	if w.kind == "" {
		return "people whom no rule names"
	}
	return w.spelled()
}

// moments are now, and moments around the limits of the rule: of its hours through a
// week, and the days beside its dates.
func (m *match) moments(now time.Time) []time.Time {
	all := []time.Time{now}
	days := []time.Time{now}
	if m.dates != nil {
		for _, text := range []string{m.dates.from, m.dates.to} {
			if d, err := time.ParseInLocation(dayFormat, text, m.dates.zone); err == nil {
				days = append(days, d.AddDate(0, 0, -1), d, d.AddDate(0, 0, 1))
			}
		}
		all = append(all, days...)
	}
	for _, h := range m.hours {
		for _, d := range days {
			y, month, first := d.In(h.zone).Date()
			for add := range 7 {
				for _, minute := range []int{h.from - 1, h.from, h.to - 1, h.to} {
					all = append(all, time.Date(y, month, first+add, 0, minute, 0, 0, h.zone))
				}
			}
		}
	}
	return all
}
