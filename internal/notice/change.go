package notice

import (
	"errors"
	"strings"

	"jitaccess/internal/access"
)

// change tells what an administrator did to an application, or wants to do.
func (w Writer) change(n access.Notice) (Facts, error) {
	c := n.Change
	on, bad := access.ParseResource("apps/" + c.Application)
	if p, err := access.ParsePrincipal(string(c.By)); bad != nil || on.Name() != c.Application || err != nil || p != c.By {
		return Facts{}, errors.New("the author of the change, or the application, is not canonical")
	}
	facts := Facts{By: c.By, URL: n.ReviewURL, Home: n.BaseURL}
	what := access.Each(c.What, func(what string) string {
		kind, key, _ := strings.Cut(what, " ")
		return w.text("apps.change."+kind, "key", plain(key, maxTitle))
	})
	switch n.Kind {
	case access.NoticeChangeWaits:
		facts.Subject = w.text("notice.change.waits.subject", "application", c.Application)
		facts.Heading, facts.Button = w.text("notice.change.waits"), w.text("notice.change.button")
		facts.Intro = w.text("notice.change.waits.intro", "by", c.By, "application", c.Application)
		facts.Notes = []string{w.text("notice.change.waits.note", "by", c.By)}
	case access.NoticeChangedAlone:
		facts.Subject = w.text("notice.change.alone.subject", "by", c.By, "application", c.Application)
		facts.Heading = w.text("notice.change.alone")
		facts.Intro = w.text("notice.change.alone.intro", "by", c.By, "application", c.Application)
		facts.Notes = []string{w.text("notice.change.alone.note")}
	}
	facts.Rows = []Row{w.row("notice.asking.application", c.Application), w.row("notice.change.by", string(c.By), w.instant(c.At)),
		w.row("notice.change.what", w.Language.Series(what))}
	return facts, errors.Join(checkLink(n.ReviewURL), checkLink(n.BaseURL))
}
