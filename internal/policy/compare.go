package policy

import (
	"fmt"
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// Change is what became of the terms of somebody's entitlement.
type Change string

const (
	Same      Change = "as before"
	Tighter   Change = "tighter"
	Looser    Change = "looser"
	Different Change = "tighter and looser"
	Refused   Change = "refused"
	Allowed   Change = "no longer refused"
	Undecided Change = "undecided"
)

// Compare says what a new policy makes of what an old one said; what differs are the
// terms that do, in words.
func Compare(old, now Explanation) (c Change, differs []string) {
	undecided := func(e Explanation) bool { return e.Err != nil && e.Err.Code == access.CodeRuleUndecided }
	switch {
	case undecided(old) || undecided(now):
		return Undecided, nil
	case old.Err != nil && now.Err != nil:
		return Same, nil
	case now.Err != nil:
		return Refused, []string{"by " + ruleOf(now)}
	case old.Err != nil:
		return Allowed, append([]string{"was refused by " + ruleOf(old)}, Describe(now.Terms)...)
	}
	if a, b := old.Terms.Approvals(), now.Terms.Approvals(); a == 0 || b == 0 {
		// What nobody approves begins at once: how far ahead is no term of its own there.
		old.Terms.StartWithin, now.Terms.StartWithin = 0, 0
	}
	was, is, both := canonical(old.Terms), canonical(now.Terms), canonical(access.Strictest(old.Terms, now.Terms))
	for i := range was {
		if was[i] != is[i] {
			differs = append(differs, fmt.Sprintf("%s: %s → %s", keys[i], orNone(was[i]), orNone(is[i])))
		}
	}
	switch {
	case len(differs) == 0:
		return Same, nil
	case slices.Equal(both, is):
		return Tighter, differs
	case slices.Equal(both, was):
		return Looser, differs
	}
	return Different, differs
}

func ruleOf(e Explanation) string {
	if e.Rule == "" {
		return "no rule"
	}
	return called(e.Rule)
}

func orNone(text string) string {
	if text == "" || text == "0m" || text == "false" {
		return "none"
	}
	return text
}

// keys are the terms as files name them, in the order of canonical.
var keys = []string{"approvals", "in_order", "max_duration", "request_life", "start_within", "max_continuous", "justification",
	"approver_access_level", "inherited_only", "signature", "remind_after", "escalate", "notify", "break_glass"}

// canonical is every term as text, so that equal terms are equal texts.
func canonical(t access.Terms) []string {
	sorted := func(items []string) string {
		items = slices.Clone(items)
		slices.Sort(items)
		return strings.Join(slices.Compact(items), ", ")
	}
	var approvals, patterns, escalations []string
	for _, r := range t.Requirements {
		approvals = append(approvals, fmt.Sprintf("%d from %s", r.Count, sorted(r.From)))
	}
	needs := strings.Join(approvals, ", then ")
	if !t.InOrder {
		needs = sorted(approvals)
	}
	for _, r := range t.Justification {
		patterns = append(patterns, spelled(r.Pattern))
	}
	for _, e := range t.Escalations {
		escalations = append(escalations, fmt.Sprintf("after %s to %s", Length(e.After), sorted(e.To)))
	}
	signature, notify, glass := "", sorted(t.Notify), ""
	if t.Signature {
		signature = fmt.Sprintf("age %s, device bound %v, by admin %v", Length(t.Keys.Age), t.Keys.DeviceBound, !t.Keys.SelfEnrolled)
	}
	if t.NotifyOnly {
		notify = "only " + notify
	}
	if t.BreakGlass {
		glass = fmt.Sprintf("%s for %s, reviewed by %s", sorted(t.Glass.Who), Length(t.Glass.MaxDuration), sorted(t.Glass.ReviewBy))
	}
	return []string{needs, fmt.Sprint(t.InOrder), Length(t.MaxDuration), Length(t.RequestLife), Length(t.StartWithin),
		Length(t.MaxContinuous), sorted(patterns), sorted(t.ApproverAccessLevels), fmt.Sprint(t.InheritedOnly), signature,
		Length(t.RemindAfter), sorted(escalations), notify, glass}
}

// Describe is what the terms demand, a line each, in the words of a file.
func Describe(t access.Terms) []string {
	var lines []string
	all := canonical(t)
	for i, text := range all {
		switch {
		case keys[i] == "approvals" && text == "":
			lines = append(lines, "approvals: none, it is activated at once")
		case orNone(text) != "none" && keys[i] != "justification":
			lines = append(lines, keys[i]+": "+text)
		}
	}
	for _, r := range t.Justification {
		lines = append(lines, fmt.Sprintf("justification: %s (%s)", spelled(r.Pattern), r.Message))
	}
	return lines
}
