package notice

import (
	"slices"

	"jitaccess/internal/access"
)

// happened tells of what people get no mail of.
func (w Writer) happened(facts *Facts, n access.Notice) {
	r := n.Request
	args := []any{"principal", w.person(r), "resource", w.resource(r.Resource)}
	facts.By, facts.Button = n.By, w.text("notice.button")
	switch n.Did {
	case access.RequestApproved:
		facts.Heading, facts.Button = w.text("notice.one-approval"), w.text("notice.review.button")
		facts.Intro = w.text("notice.one-approval.intro", append(args, "by", n.Decision.By)...)
	case access.RequestLapsed:
		facts.Heading, facts.Intro = w.text("notice.lapsed"), w.text("notice.lapsed.intro", args...)
	case access.GrantFailed:
		facts.Heading, facts.Intro = w.text("notice.failed"), w.text("notice.failed.intro", args...)
	case access.GrantExpired:
		facts.Heading, facts.Intro = w.text("notice.over"), w.text("notice.over.intro", args...)
	default:
		facts.Heading, facts.Intro = w.text("notice.ended-by-holder"), w.text("notice.ended-by-holder.intro", args...)
	}
	for _, p := range r.ApprovedBy() {
		facts.Rows = append(facts.Rows, w.row("notice.approved-by", string(p)))
	}
	facts.Rows = slices.Concat(facts.Rows, w.who(n), w.reason(r))
}

// brief says a notice in a line, for whomever.
func (w Writer) brief(facts Facts, n access.Notice) string {
	r := n.Request
	args := []any{"principal", w.person(r), "resource", w.resource(r.Resource)}
	switch n.Kind {
	case access.NoticeReview:
		return w.text("notice.brief.review", args...)
	case access.NoticeReminder, access.NoticeEscalated:
		return w.text("notice.brief.waits", args...)
	case access.NoticeEnding:
		return w.text("notice.brief.ending", append(args, "end", w.instant(n.Window.End))...)
	case access.NoticeApproved:
		return w.text("notice.brief.approved", append(args, "by", n.Decision.By, "end", w.instant(n.Window.End))...)
	}
	return facts.Intro
}
