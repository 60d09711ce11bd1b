package notice

import (
	"errors"

	"jitaccess/internal/access"
)

// passkey tells what happened to a passkey.
func (w Writer) passkey(n access.Notice) (Facts, error) {
	k := n.Passkey
	if p, err := access.ParsePrincipal(string(k.Of)); err != nil || p != k.Of || n.Request.Principal != p {
		return Facts{}, errors.New("the holder of the passkey is not canonical")
	}
	name, id := plain(k.Name, maxUserText), k.ID()
	if w.Reasonless {
		name = id
	}
	facts := Facts{By: k.Of, URL: n.ReviewURL, Home: n.BaseURL, Subject: w.text("notice.passkey.subject", "principal", k.Of, "id", id),
		Button: w.text("notice.passkey.button"), Rows: []Row{w.row("notice.who", string(k.Of)), w.row("notice.passkey", name, id),
			w.row("notice.passkey.when", w.instant(k.Enrolled))}}
	switch n.Kind {
	case access.NoticePasskeyAdded:
		facts.Heading, facts.Intro = w.text("notice.passkey.added"), w.text("notice.passkey.added.intro", "principal", k.Of)
		facts.Notes = []string{w.text("notice.passkey.added.holder", "principal", k.Of), w.text("notice.passkey.added.admin", "principal", k.Of)}
	case access.NoticePasskeyApproved:
		facts.By = k.ApprovedBy
		facts.Heading, facts.Intro = w.text("notice.passkey.approved"), w.text("notice.passkey.approved.intro", "by", k.ApprovedBy,
			"principal", k.Of)
		facts.Rows = append(facts.Rows, w.row("notice.approved-by", string(k.ApprovedBy), w.instant(k.Approved)))
		facts.Notes = []string{w.text("notice.passkey.approved.note", "principal", k.Of)}
	case access.NoticePasskeyRemoved:
		facts.By = k.RemovedBy
		facts.Heading, facts.Intro = w.text("notice.passkey.removed"), w.text("notice.passkey.removed.intro", "by", k.RemovedBy,
			"principal", k.Of)
		facts.Rows = append(facts.Rows, w.row("notice.passkey.removed-by", string(k.RemovedBy), w.instant(k.Removed)))
		facts.Notes = []string{w.text("notice.passkey.removed.note")}
	}
	return facts, errors.Join(checkLink(n.ReviewURL), checkLink(n.BaseURL))
}
