package server

import (
	"cmp"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/events"
	"jitaccess/internal/words"
)

// Moment is an instant as pages show it. Pages say UTC; a script turns it into the
// viewer's zone where there is one.
type Moment struct{ ISO, Text, Clock, Relative string }

// HTML is the instant for a message; nothing for none. The space before how far it is goes with
// it where it is not shown, in print.
func (m *Moment) HTML() template.HTML {
	if m == nil {
		return ""
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s">%s</time><span class="relative"> (%s)</span>`,
		m.ISO, template.HTMLEscapeString(m.Text), template.HTMLEscapeString(m.Relative)))
}

// Short is as HTML, without the day for who reads it on that day.
func (m *Moment) Short() template.HTML {
	if m == nil {
		return ""
	}
	return m.OfDay() + template.HTML(fmt.Sprintf(`<span class="relative"> (%s)</span>`, template.HTMLEscapeString(m.Relative)))
}

// OfDay is as Short, of an instant that is minutes away.
func (m *Moment) OfDay() template.HTML {
	return template.HTML(fmt.Sprintf(`<time class="clock" datetime="%s">%s</time>`, m.ISO, template.HTMLEscapeString(m.Clock)))
}

// moment is nil for the zero time.
func (s *server) moment(r *http.Request, t time.Time) *Moment {
	if t.IsZero() {
		return nil
	}
	l := s.languageOf(r)
	return &Moment{ISO: t.UTC().Format(time.RFC3339), Text: l.Moment(t), Clock: s.clock(l, t), Relative: l.Relative(t.Sub(s.Now()))}
}

// clock is the time of day, with the day where that is another than today, in UTC.
func (s *server) clock(l *words.Language, t time.Time) string {
	if t.UTC().Format(time.DateOnly) != s.Now().UTC().Format(time.DateOnly) {
		return l.Moment(t)
	}
	return l.Clock(t)
}

// RoleView is an entitlement as pages show it.
type RoleView struct {
	// ID is the entitlement id.
	ID string
	// Title is what it is called, or the role's name when nothing is known of it.
	Title, Role, Description, Condition string
	// Approvals is how many others must approve.
	Approvals int
	// Topics are those in which the viewer may request it.
	Topics string
	// Longest is the longest duration in words.
	Longest string
	// Powerful warns of a role that can change permissions, or may.
	Powerful string
	// Unconfirmed: no live policy says so.
	Unconfirmed bool
	// EligibleUntil is the end of the viewer's eligibility; nil when it has none.
	EligibleUntil *Moment
	Selected      bool
	// Until is the end of a grant of the viewer, Begins its start if that is to come;
	// EndID ends it.
	Begins, Until *Moment
	EndID         string
	// Works says by when it works; empty where nobody waits for that.
	Works template.HTML
	// Why says where its terms come from; nil where there is no policy file.
	Why *whyView
	// Outcome says what became of it, on result pages.
	Outcome string
}

func (s *server) viewRole(r *http.Request, id access.EntitlementID, info access.RoleInfo) RoleView {
	l := s.languageOf(r)
	v := RoleView{ID: id.String(), Title: cmp.Or(info.Title, s.Broker.Title(id)), Role: string(id.Role),
		Description: info.Description, Condition: access.Visible(id.Condition)}
	switch info.ChangesPermissions {
	case access.Yes:
		v.Powerful = l.Text("role.changes-permissions")
	case access.Unknown:
		v.Powerful = l.Text("role.may-change-permissions")
	}
	return v
}

func (s *server) viewOffered(r *http.Request, o broker.OfferedRole) RoleView {
	l := s.languageOf(r)
	v := s.viewRole(r, o.Entitlement.ID, o.Role)
	v.Approvals = o.Terms.Approvals()
	v.Longest = l.Hours(o.Terms.MaxDuration)
	v.Why = viewWhy(l, o.Why, &o.Terms)
	if v.Approvals > 0 {
		v.Topics = topics(l, o.Entitlement.Requests)
	}
	v.Unconfirmed, v.EligibleUntil = o.Entitlement.Unconfirmed, s.moment(r, o.Entitlement.Until)
	if o.Activation != nil {
		v = s.granted(r, v, *o.Activation)
	}
	return v
}

// granted adds a grant of the viewer to a role.
func (s *server) granted(r *http.Request, v RoleView, a access.Activation) RoleView {
	v.Until, v.EndID = s.moment(r, a.Window.End), a.RequestID
	v.Works = s.worksBy(r, a.Entitlement.Resource, s.worksFrom(a.Entitlement.Resource, a.Window.Start))
	if a.Window.Start.After(s.Now()) {
		v.Begins = s.moment(r, a.Window.Start)
	}
	return v
}

// topics are the topics of ways of approval, each once.
func topics(l *words.Language, ways []access.Approval) string {
	var names []string
	for _, w := range ways {
		if w.Topic != "" && !slices.Contains(names, w.Topic) {
			names = append(names, w.Topic)
		}
	}
	return l.Series(names)
}

// viewRoles are roles by what they are called without asking. Nobody asked what they are, so nothing warns of it.
func (s *server) viewRoles(r *http.Request, ids []access.EntitlementID) []RoleView {
	return access.Each(ids, func(id access.EntitlementID) RoleView {
		return s.viewRole(r, id, access.RoleInfo{ChangesPermissions: access.No})
	})
}

// outcomes are what became of a role, in words.
var outcomes = map[access.Result]string{access.Granted: "outcome.granted", access.AlreadyGranted: "outcome.granted-earlier",
	access.Removed: "outcome.ended", access.Refused: "outcome.not-done"}

// withOutcomes adds what became of each role, and says whether all was well.
func (s *server) withOutcomes(r *http.Request, roles []RoleView, became []access.Outcome) bool {
	l, well := s.languageOf(r), true
	for _, o := range became {
		if o.Result == access.Refused {
			well = false
		}
		i := slices.IndexFunc(roles, func(v RoleView) bool { return v.ID == o.Entitlement.String() })
		if i < 0 {
			continue
		}
		roles[i].Outcome = l.Text(outcomes[o.Result])
		if o.Result == access.Refused && o.Err != nil {
			roles[i].Outcome = l.Text("outcome.not-done-because", "why", inFull(s.refusal(r, o.Err, o.Entitlement.Resource)))
		}
	}
	return well
}

// viewWarnings puts warnings into words, each once, and their causes into the log. It
// is never nil: scripts get a list.
func (s *server) viewWarnings(r *http.Request, warnings []*access.Error) []string {
	texts := []string{}
	for _, w := range warnings {
		if text := s.refusal(r, w, "").Text; !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
		// Who could not be told stands in the journal.
		if w.Err != nil && w.Code != access.CodeNotDelivered && w.Code != access.CodeNotPublished {
			s.logEvent(r, slog.LevelWarn, events.Warning, "warned", slog.Any("error", w))
		}
	}
	return texts
}

// besides leaves out the warnings that the outcomes tell, role by role.
func besides(warnings []*access.Error, outcomes []access.Outcome) []*access.Error {
	return slices.DeleteFunc(slices.Clone(warnings), func(w *access.Error) bool {
		return slices.ContainsFunc(outcomes, func(o access.Outcome) bool { return o.Err == w })
	})
}

// retold are the warnings that the page to which a form leads tells anyway. That an action
// rested on what was remembered is not among them: that page looks anew.
var retold = []access.Code{access.CodeNoChannel, access.CodeUnreadableBinding, access.CodeGroupUnreadable, access.CodePersonUnreadable,
	access.CodeGroupsInGroup, access.CodeEverybodyInGroup, access.CodeTimeUnclear, access.CodeAnalysisPartial}

// notable leaves out the warnings that are told again.
func notable(warnings []*access.Error) []*access.Error {
	return slices.DeleteFunc(slices.Clone(warnings), func(w *access.Error) bool {
		return slices.Contains(retold, w.Code)
	})
}
