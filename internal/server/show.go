package server

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/events"
)

// Moment is an instant as pages show it. Pages say UTC; a script turns it into the
// viewer's zone where there is one.
type Moment struct{ ISO, Text, Relative string }

func moment(t, now time.Time) Moment {
	t = t.UTC()
	return Moment{ISO: t.Format(time.RFC3339), Text: t.Format("Mon 2 Jan 2006, 15:04") + " UTC", Relative: relative(t.Sub(now))}
}

// relative says how far away something is; d is negative for the past.
func relative(d time.Duration) string {
	if d <= 0 && d > -time.Minute {
		return "just now"
	}
	past := d < 0
	if past {
		d = -d
	}
	var text string
	switch {
	case d < time.Minute:
		text = "less than a minute"
	case d < 24*time.Hour:
		text = inWords(d)
	default:
		text = count(int(d/(24*time.Hour)), "day")
	}
	if past {
		return text + " ago"
	}
	return "in " + text
}

// inWords is a length of time in hours and minutes.
func inWords(d time.Duration) string {
	hours, minutes := int(d/time.Hour), int(d%time.Hour/time.Minute)
	switch {
	case hours == 0:
		return count(minutes, "minute")
	case minutes == 0:
		return count(hours, "hour")
	}
	return count(hours, "hour") + " " + count(minutes, "minute")
}

// list is names as a sentence has them.
func list(names []string) string {
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " and " + names[last]
	}
	return strings.Join(names, "")
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// ResourceView is a resource as pages show it.
type ResourceView struct {
	// Path is for addresses and hidden fields; Kind and Name are for reading.
	Path, Kind, Name, Title string
}

func (s *server) viewResource(on access.Resource, title string) ResourceView {
	if title == on.Name() {
		title = ""
	}
	return ResourceView{Path: string(on), Kind: s.Broker.ResourceKind(on).Word, Name: on.Name(), Title: title}
}

// RoleView is an entitlement as pages show it.
type RoleView struct {
	// ID is the entitlement id.
	ID string
	// Title is the role's title, or its name when nothing is known of it.
	Title, Role, Description, Condition string
	// Approvals is how many others must approve.
	Approvals   int
	Requirement string
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
	// Outcome says what became of it, on result pages.
	Outcome string
}

func viewRole(id access.EntitlementID, info access.RoleInfo) RoleView {
	v := RoleView{ID: id.String(), Title: info.Title, Role: string(id.Role), Description: info.Description, Condition: id.Condition}
	if v.Title == "" {
		v.Title = string(id.Role)
	}
	switch info.ChangesPermissions {
	case access.Yes:
		v.Powerful = "Can change permissions, and so give more access than it has itself."
	case access.Unknown:
		v.Powerful = "It is not known whether it can change permissions. Treat it as if it could."
	}
	return v
}

func viewOffered(o broker.OfferedRole, now time.Time) RoleView {
	v := viewRole(o.Entitlement.ID, o.Role)
	v.Approvals = o.Terms.Approvals()
	v.Requirement = requirement(v.Approvals)
	v.Longest = inWords(o.Terms.MaxDuration)
	if v.Approvals > 0 {
		v.Topics = topics(o.Entitlement.Requests)
	}
	v.Unconfirmed = o.Entitlement.Unconfirmed
	if end := o.Entitlement.Until; !end.IsZero() {
		until := moment(end, now)
		v.EligibleUntil = &until
	}
	if o.Activation != nil {
		v = v.granted(*o.Activation, now)
	}
	return v
}

// granted adds a grant of the viewer.
func (v RoleView) granted(a access.Activation, now time.Time) RoleView {
	until := moment(a.Window.End, now)
	v.Until, v.EndID = &until, a.RequestID
	if a.Window.Start.After(now) {
		begins := moment(a.Window.Start, now)
		v.Begins = &begins
	}
	return v
}

// topics are the topics of ways of approval, each once.
func topics(ways []access.Approval) string {
	var names []string
	for _, w := range ways {
		if w.Topic != "" && !slices.Contains(names, w.Topic) {
			names = append(names, w.Topic)
		}
	}
	return strings.Join(names, ", ")
}

func requirement(approvals int) string {
	switch approvals {
	case 0:
		return "No approval needed"
	case 1:
		return "Needs 1 approval"
	}
	return fmt.Sprintf("Needs %d approvals", approvals)
}

// viewRoles pairs entitlements with what is known of their roles.
func viewRoles(ids []access.EntitlementID, infos []access.RoleInfo) []RoleView {
	var views []RoleView
	for i, id := range ids {
		var info access.RoleInfo
		if i < len(infos) {
			info = infos[i]
		}
		views = append(views, viewRole(id, info))
	}
	return views
}

// withOutcomes adds what became of each role, and says whether all was well.
func withOutcomes(roles []RoleView, outcomes []access.Outcome) bool {
	well := true
	for _, o := range outcomes {
		if o.Result == access.Refused {
			well = false
		}
		i := slices.IndexFunc(roles, func(v RoleView) bool { return v.ID == o.Entitlement.String() })
		if i < 0 {
			continue
		}
		switch o.Result {
		case access.Granted:
			roles[i].Outcome = "Granted"
		case access.AlreadyGranted:
			roles[i].Outcome = "Granted earlier"
		case access.Removed:
			roles[i].Outcome = "Ended"
		case access.Refused:
			roles[i].Outcome = "Not done"
			if o.Err != nil {
				w := say(o.Err)
				roles[i].Outcome = "Not done: " + strings.TrimSpace(w.Text+" "+w.Next)
			}
		}
	}
	return well
}

// viewWarnings puts warnings into words, each once, and their causes into the log.
func (s *server) viewWarnings(r *http.Request, warnings []*access.Error) []string {
	var texts []string
	for _, w := range warnings {
		if w == nil {
			continue
		}
		if text := say(w).Text; !slices.Contains(texts, text) {
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

// retold are the warnings that the page to which a form leads tells anyway.
var retold = []access.Code{access.CodeNoChannel, access.CodeUnreadableBinding, access.CodeGroupUnreadable, access.CodePersonUnreadable,
	access.CodeGroupsInGroup, access.CodeEverybodyInGroup, access.CodeTimeUnclear, access.CodeStaleInventory,
	access.CodeAnalysisPartial}

// notable leaves out the warnings that are told again.
func notable(warnings []*access.Error) []*access.Error {
	return slices.DeleteFunc(slices.Clone(warnings), func(w *access.Error) bool {
		return w == nil || slices.Contains(retold, w.Code)
	})
}
