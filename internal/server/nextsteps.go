package server

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/words"
)

// unansweredView is what somebody can know and do who waits for an answer.
type unansweredView struct {
	// Lines are what is known of the wait, a sentence each.
	Lines []template.HTML
	// More is the address where more people are asked, and Glass where the glass is broken;
	// empty where that is not for them.
	More, Glass string
}

// mostNamed is how many people a sentence names; of more it has the number.
const mostNamed = 5

// viewUnanswered is nil for everybody but whose request waits.
func (s *server) viewUnanswered(r *http.Request, ref string, b broker.View) *unansweredView {
	q, l := b.Request, s.languageOf(r)
	if !b.IsPrincipal || b.State != access.Pending {
		return nil
	}
	v := &unansweredView{}
	say := func(key string, args ...any) { v.Lines = append(v.Lines, l.HTML(key, args...)) }
	var silent []string
	for _, p := range q.Reviewers {
		if q.DecisionOf(p) == nil && !slices.ContainsFunc(b.Declined, func(d access.Decision) bool { return d.By == p }) {
			silent = append(silent, string(p.Address()))
		}
	}
	switch {
	case len(silent) > mostNamed:
		say("unanswered.many", "count", len(silent))
	case len(silent) > 0:
		say("unanswered.asked", "people", l.Some(silent))
	}
	if !b.Forgets && s.tellsPeople(b.Request.Terms) { // what forgets reminds nobody
		switch at := q.Reminding(); {
		case at.After(s.Now()):
			say("unanswered.reminding", "at", s.moment(r, at).Short())
		case !q.Reminded.IsZero():
			say("unanswered.reminded", "at", s.moment(r, q.Reminded).Short())
		}
		for _, e := range q.Escalating() {
			say("unanswered.escalating", "at", s.moment(r, q.Created.Add(e.After)).Short(), "people", l.People(e.To))
		}
	}
	say("unanswered.until", "end", s.moment(r, q.Expires).Short())
	if b.ReviewURL != "" && !q.Terms.AtAdminPage() && q.Asking.IsZero() {
		v.More = "/review/reviewers?" + url.Values{"activation": {ref}}.Encode()
	}
	if b.CanBreak {
		v.Glass = accessPath(q.Resource, url.Values{access.FieldEntitlement: access.Each(q.Entitlements, access.EntitlementID.String)})
	}
	return v
}

// worksView is what there is for whoever was granted something.
type worksView struct {
	// By says by when it works, as a rule; empty once that is over, and where it does at once.
	By  template.HTML
	End *Moment
	// Console is the address to go on at, and Command what shows the access; empty where there
	// is no such thing.
	Console, Command string
}

// viewWorks is nil for everybody but who has the access now.
func (s *server) viewWorks(r *http.Request, b broker.View) *worksView {
	q, now := b.Request, s.Now()
	if !b.IsPrincipal || b.State != access.Active || !b.Window.Contains(now) || !q.Asking.IsZero() {
		return nil
	}
	written := b.Window.Start
	for _, e := range b.Events {
		if e.Action == access.GrantWritten && e.At.After(written) {
			written = e.At
		}
	}
	kind, v := s.Broker.ResourceKind(q.Resource), &worksView{End: s.moment(r, b.Window.End)}
	if by := s.worksFrom(q.Resource, written); by.Before(b.Window.End) {
		v.By = s.worksBy(r, q.Resource, by)
	}
	if kind.Console != nil {
		v.Console = kind.Console(q.Resource)
	}
	if kind.Command != nil {
		v.Command = kind.Command(q.Resource, q.Principal)
	}
	return v
}

// message is a request as somebody tells others of it in a chat; empty without a link.
func (s *server) message(l *words.Language, v reviewView) string {
	q := v.View.Request
	if v.Unanswered == nil || v.View.ReviewURL == "" {
		return ""
	}
	return l.Text("message.text", "principal", v.Person, "role", l.List(access.Each(v.Roles, func(r RoleView) string { return r.Title })),
		"kind", s.kindOf(l, q.Resource), "name", q.Resource.Name(), "length", v.Duration, "reason", access.Visible(q.Justification),
		"link", v.View.ReviewURL)
}

// before is what the requester had before, in numbers; empty where that is not known.
func (s *server) before(l *words.Language, b broker.View) string {
	if b.Past == nil {
		return ""
	}
	key := "review.before.never"
	switch {
	case b.Past.Had > 0 && b.Past.Denied > 0:
		key = "review.before.had-denied"
	case b.Past.Had > 0:
		key = "review.before.had"
	case b.Past.Denied > 0:
		key = "review.before.denied"
	}
	return l.Text(key, "count", b.Past.Had, "denied", b.Past.Denied, "days", int(broker.PastTime/(24*time.Hour)),
		"kind", s.kindOf(l, b.Request.Resource), "day", l.Day(b.Past.Last))
}
