package server

import (
	"html/template"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/words"
)

// whyView says which rule of a policy file decides, why those before it do not, and what
// the terms are.
type whyView struct {
	// Rule is empty where no rule is about it.
	Rule, Policy  string
	Passed, Terms lines
}

// lines are sentences that follow one another.
type lines []string

// Items are the lines as those of a list. A page of many roles has hundreds, each of which
// would take a template as long as all of them take together here.
func (l lines) Items() template.HTML {
	var b strings.Builder
	for _, line := range l {
		b.WriteString("<li>")
		b.WriteString(string(words.InLine(line)))
		b.WriteString("</li>")
	}
	return template.HTML(b.String())
}

// viewWhy is nil where there is no policy file. terms is nil for what is refused.
func viewWhy(l *words.Language, why access.Explanation, terms *access.Terms) *whyView {
	if why.Policy == "" {
		return nil
	}
	v := &whyView{Rule: why.Rule, Policy: shortDigest(why.Policy)}
	v.Passed = access.Each(why.Passed, func(p access.PassedRule) string { return l.Text("terms.passed."+p.Part, "rule", p.Rule) })
	if why.Further > 0 {
		v.Passed = append(v.Passed, l.Text("terms.passed-more", "count", why.Further))
	}
	if terms != nil {
		v.Terms = termsInWords(l, *terms)
	}
	return v
}

// InWords says which rule decides, why those before it do not, and what the terms are, a
// line each; terms is nil for what is refused.
func InWords(l *words.Language, why access.Explanation, terms *access.Terms) []string {
	why.Policy = "shown" // what there is to say of the file, its reader knows
	v := viewWhy(l, why, terms)
	if v.Rule == "" {
		return slices.Concat(v.Passed, []string{l.Text("terms.no-rule")}, v.Terms)
	}
	return slices.Concat(v.Passed, []string{l.Text("terms.rule", "rule", v.Rule)}, v.Terms)
}

// shortDigest is the beginning of a digest, or of each in a list.
func shortDigest(list string) string {
	digests := strings.Split(list, ", ")
	for i, d := range digests {
		digests[i] = d[:min(len(d), 12)]
	}
	return strings.Join(digests, ", ")
}

// termsInWords are the terms, a sentence each.
func termsInWords(l *words.Language, t access.Terms) []string {
	said := needsInWords(l, t)
	say := func(when bool, key string, args ...any) {
		if when {
			said = append(said, l.Text(key, args...))
		}
	}
	say(len(said) == 0, "terms.alone")
	say(true, "terms.longest", "longest", l.Days(t.MaxDuration), "offered", l.Days(t.DefaultDuration))
	say(t.MaxContinuous > 0, "terms.continuous", "longest", l.Days(t.MaxContinuous))
	say(t.Approvals() > 0, "terms.life", "life", l.Days(t.RequestLife))
	say(t.StartWithin > 0, "terms.start", "ahead", l.Days(t.StartWithin))
	for _, rule := range t.Justification {
		say(demands(t, rule), "terms.reason", "message", rule.Message, "pattern", rule.Pattern)
	}
	say(len(t.ApproverAccessLevels) > 0, "terms.levels", "levels", l.List(t.ApproverAccessLevels))
	say(t.InheritedOnly, "terms.inherited")
	say(t.Signature, "terms.signature")
	say(t.RemindAfter > 0, "terms.remind", "after", l.Days(t.RemindAfter))
	for _, e := range t.Escalations {
		say(true, "terms.escalate", "after", l.Days(e.After), "people", l.People(e.To))
	}
	say(len(t.Notify) > 0 && !t.NotifyOnly, "terms.notify", "channels", l.List(t.Notify))
	say(t.NotifyOnly, "terms.notify-only", "channels", l.List(t.Notify))
	say(t.BreakGlass, "terms.glass", "people", l.People(t.Glass.Who), "longest", l.Days(t.Glass.MaxDuration))
	return said
}

// demands is whether a pattern is more than the hint of the service, which is shown anyway.
func demands(t access.Terms, rule access.JustificationRule) bool {
	return rule.Message != t.Hint || !rule.Pattern.MatchString("")
}

// needsInWords are the approvals that it takes, one sentence for each requirement, and
// whether their order matters.
func needsInWords(l *words.Language, t access.Terms) []string {
	var said []string
	for _, r := range t.Requirements {
		if r.Count > 0 {
			said = append(said, l.Text("terms.approvals", "count", r.Count, "people", l.People(r.From)))
		}
	}
	if len(said) > 1 {
		order := "terms.any-order"
		if t.InOrder {
			order = "terms.in-order"
		}
		said = append(said, l.Text(order))
	}
	return said
}

// unlikeListed are the approvals in words where they are others than of some of those who
// are listed.
func unlikeListed(l *words.Language, t access.Terms) []string {
	fromPeers := func(n access.Requirement) bool { return slices.Equal(n.From, []string{access.FromPeers}) }
	if len(t.Requirements) > 1 || !slices.ContainsFunc(t.Requirements, fromPeers) {
		return needsInWords(l, t)
	}
	return nil
}

// patternView is a rule for reasons. Script is the pattern for browsers; empty where only
// the service judges it.
type patternView struct{ Message, Script string }

func viewPatterns(t access.Terms) []patternView {
	var views []patternView
	for _, rule := range t.Justification {
		if !demands(t, rule) {
			continue
		}
		v := patternView{Message: rule.Message}
		if quick(rule.Pattern.String()) {
			v.Script = rule.Pattern.String()
		}
		views = append(views, v)
	}
	return views
}

// quick is whether a browser, which tries all ways that a pattern can match, is soon done
// with it on any reason: no group is repeated, and the ways, multiplied, are few. Where the
// pattern does not begin with that of the text, they are tried from every character. It
// goes by the text of the pattern, as syntax.Parse makes a+ of (?:a+)+, and browsers do not.
func quick(pattern string) bool {
	plain := exactly().ReplaceAllString(groups().ReplaceAllString(atoms().ReplaceAllString(pattern, "x"), "("), "$1")
	tries, depth, anchored := 1, 0, strings.HasPrefix(plain, "^")
	for i, c := range plain {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			tries *= 2
			anchored = anchored && depth > 0
		case '?':
			tries *= 2
		case '*', '+', '{':
			if i > 0 && plain[i-1] == ')' {
				return false
			}
			tries *= access.MaxJustification
		}
		if tries > maxTries {
			return false
		}
	}
	return anchored || tries*access.MaxJustification <= maxTries
}

var (
	// atoms are classes and what is escaped, groups what a group begins with, exactly a
	// character that stands a number of times.
	atoms   = lazyregexp.New(`\\[pPux]\{[^}]*\}|\\.|\[(?:\\.|[^\]\\])*\]`)
	groups  = lazyregexp.New(`\(\?(?:P?<\w+>|[a-z-]*:)`)
	exactly = lazyregexp.New(`([^)])\{\d+\}`)
)

// maxTries is what a browser gets through between two keys: Chromium's engine took a tenth
// of a second for .*.*x, which is as many, and nine seconds for .*.*.*x.
const maxTries = access.MaxJustification * access.MaxJustification * access.MaxJustification

// presetsOf are the lengths that a form offers, in minutes: the usual ones that the terms
// allow, the one that they offer first, and the longest.
func presetsOf(t access.Terms) []int {
	longest := int(t.MaxDuration / time.Minute)
	all := append(slices.Clone(presetMinutes), longest, int(t.DefaultDuration/time.Minute))
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(m int) bool { return m < 1 || m > longest })
}

// apiTerms are the terms of an entitlement where a rule decides.
type apiTerms struct {
	Approvals      []apiApproval      `json:"approvals"`
	InOrder        bool               `json:"inOrder"`
	MaxMinutes     int                `json:"maxMinutes"`
	DefaultMinutes int                `json:"defaultMinutes"`
	Justification  []apiJustification `json:"justification"`
	Signature      bool               `json:"signature"`
	Rule           apiRule            `json:"rule"`
	// Words are the terms as people read them.
	Words []string `json:"words"`
}

type apiApproval struct {
	Count int      `json:"count"`
	From  []string `json:"from"`
}

type apiJustification struct {
	Pattern string `json:"pattern"`
	Message string `json:"message"`
}

type apiRule struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// apiRefused is an entitlement that cannot be had now.
type apiRefused struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Message string   `json:"message"`
	Rule    *apiRule `json:"rule,omitempty"`
}

// apiTermsOf is nil where no rule decides.
func apiTermsOf(l *words.Language, t access.Terms) *apiTerms {
	if t.Rule == "" {
		return nil
	}
	a := &apiTerms{Approvals: []apiApproval{}, InOrder: t.InOrder, MaxMinutes: int(t.MaxDuration / time.Minute),
		DefaultMinutes: int(t.DefaultDuration / time.Minute), Justification: []apiJustification{}, Signature: t.Signature,
		Rule: apiRule{t.Rule, t.Policy}, Words: termsInWords(l, t)}
	for _, r := range t.Requirements {
		a.Approvals = append(a.Approvals, apiApproval{r.Count, r.From})
	}
	for _, r := range t.Justification {
		a.Justification = append(a.Justification, apiJustification{r.Pattern.String(), r.Message})
	}
	return a
}
