package notice

import (
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// reconciled tells in what that which stands differs from what is remembered, and what could not be
// looked at. Names of people, roles and resources are as they stand in policies, which anybody may
// have written who may write those.
func (w Writer) reconciled(n access.Notice) (Facts, error) {
	round, heading, intro := n.Round, "notice.reconciled", "notice.reconciled.intro"
	facts := Facts{Home: n.BaseURL, Subject: w.text("notice.reconciled.subject", "count", round.Differences)}
	if round.Differences == 0 {
		heading, intro = "notice.reconciled.short", "notice.reconciled.short.intro"
		facts.Subject = w.text(heading)
	}
	facts.Heading, facts.Intro = w.text(heading), w.text(intro, "looked", round.Looked)
	for _, d := range n.Differences {
		label := w.Language.TextOr("difference."+string(d.Kind), "")
		if label == "" {
			continue // of another version, or nobody's
		}
		what := []string{string(d.Principal), w.resource(d.Resource), strings.Join(d.Roles, ", "), d.ID}
		what = slices.DeleteFunc(what, func(text string) bool { return text == "" })
		row := Row{Label: label, Value: plain(what[0], maxTitle)}
		for _, detail := range what[1:] {
			row.Details = append(row.Details, plain(detail, maxUserText))
		}
		facts.Rows = append(facts.Rows, row)
	}
	if round.Short {
		facts.Rows = append(facts.Rows, w.row("notice.reconciled.unlooked", w.text("notice.reconciled.cut-short")))
	}
	if round.Partial {
		facts.Rows = append(facts.Rows, w.row("notice.reconciled.unlooked", w.text("notice.reconciled.partial")))
	}
	if round.Unread > 0 {
		facts.Rows = append(facts.Rows, w.row("notice.reconciled.unlooked", w.text("notice.reconciled.unread", "count", round.Unread)))
	}
	if told := len(n.Differences); told < round.Differences {
		facts.Notes = append(facts.Notes, w.text("notice.reconciled.some", "told", told, "count", round.Differences))
	}
	facts.Notes = append(facts.Notes, w.text("notice.reconciled.note"))
	return facts, checkLink(n.BaseURL)
}
