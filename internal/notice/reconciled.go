package notice

import (
	"cmp"
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
		row := Row{Label: label, Value: plain(cmp.Or(string(d.Principal), d.Resource.Name()), maxTitle)}
		for _, detail := range []string{w.resource(d.Resource), strings.Join(d.Roles, ", "), d.ID} {
			if detail != "" {
				row.Details = append(row.Details, plain(detail, maxUserText))
			}
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
