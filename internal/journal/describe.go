package journal

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/events"
)

// names maps what an event is about to the name of its line. The intent and the
// outcome of one grant have different names, so that an alert on api.activateRole
// counts each activation once.
var names = map[access.Action]struct{ event, severity string }{
	access.RequestMade:     {events.Request, severityInfo},
	access.ReviewersAdded:  {events.AddReviewers, severityInfo},
	access.SelfApproved:    {events.Approve, severityInfo},
	access.RequestApproved: {events.Approve, severityInfo},
	access.RequestDenied:   {events.Deny, severityInfo},
	access.GrantWritten:    {events.Activate, severityInfo},
	access.GrantFailed:     {events.Activate, severityError},
	access.EndAsked:        {events.AskEnd, severityInfo},
	access.GrantEnded:      {events.End, severityInfo},
	access.EndFailed:       {events.End, severityError},
	access.NoticeFailed:    {events.Notify, severityWarning},
	access.ActionRefused:   {events.Refuse, severityError},
}

// describe is the line of an event, without who did it.
func describe(e access.Event) line {
	name, known := names[e.Action]
	if !known {
		name.event, name.severity = "api."+string(e.Action), severityError
	}
	if e.Action == access.ActionRefused {
		name.event = attempted(e.Trying)
	}
	l := line{Severity: name.severity, Message: message(e), Labels: requestLabels(e)}
	l.Labels["event"] = name.event
	if own := access.AsError(e.Err); own != nil {
		l.Labels["error"], l.Labels["error_code"] = errorName(e.Action, own), string(own.Code)
		l.Message += ": " + scrub(e.Err.Error())
	}
	return l
}

// attempted is the name for what was tried and refused: that of the effect, as in JIT
// Access 1.x, where a failed activation is an api.activateRole of severity ERROR.
func attempted(a access.Action) string {
	switch a {
	case access.SelfApproved, access.RequestApproved:
		return events.Activate
	case access.EndAsked:
		return events.End
	}
	return cmp.Or(names[a].event, events.Refuse)
}

// requestLabels say what the event is about, as far as it is known.
func requestLabels(e access.Event) map[string]string {
	labels := map[string]string{}
	set := func(name, value string) {
		if value != "" {
			labels[name] = value
		}
	}
	r := e.Request
	set("activation_id", r.ID)
	if !e.Window.IsZero() {
		set("activation_start", instant(e.Window.Start))
		set("activation_end", instant(e.Window.End))
	}
	set("beneficiary", string(r.Principal))
	set("justification", r.Justification)
	set("entitlements", entitlements(r.Entitlements))
	set("role", joined(r.Entitlements, func(id access.EntitlementID) string { return string(id.Role) }))
	set("reviewers", people(r.Reviewers))
	maps.Copy(labels, events.ResourceLabels(r.Resource))
	if r.Duration > 0 {
		set("duration_minutes", minutes(r.Duration))
	}
	set("rule", r.Terms.Rule)
	set("policy", r.Terms.Policy)
	set("comment", e.Decision.Comment)
	set("digest", e.Decision.Digest)
	set("outcomes", joined(e.Outcomes, outcome))
	set("warnings", warnings(e.Warnings))
	return labels
}

// message says in words what happened. It holds no text of users but the names of
// roles and resources.
func message(e access.Event) string {
	r := e.Request
	actor := "User " + strconv.Quote(string(e.Caller.Principal))
	if e.Caller.Principal == "" {
		actor = "The service"
	}
	what := "request " + strconv.Quote(r.ID)
	if len(r.Entitlements) > 0 {
		what = strconv.Quote(entitlements(r.Entitlements))
	}
	span := minutes(r.Duration) + " minutes"
	if !e.Window.IsZero() {
		span = minutes(e.Window.Length()) + " minutes"
	}
	whose := strconv.Quote(string(r.Principal))
	switch e.Action {
	case access.RequestMade:
		return fmt.Sprintf("%s requested %s for %s, asking %s", actor, what, span, people(r.Reviewers))
	case access.ReviewersAdded:
		return fmt.Sprintf("%s asked more people to approve %s; asked are now %s", actor, what, people(r.Reviewers))
	case access.SelfApproved:
		return fmt.Sprintf("%s activates %s for %s without others", actor, what, span)
	case access.RequestApproved:
		return fmt.Sprintf("%s approved %s for %s, for %s", actor, what, whose, span)
	case access.RequestDenied:
		return fmt.Sprintf("%s denied %s for %s", actor, what, whose)
	case access.GrantWritten:
		if repeated(e.Outcomes) {
			return fmt.Sprintf("%s wrote nothing: %s for %s had been granted already", actor, what, whose)
		}
		return fmt.Sprintf("%s activated %s for %s, for %s%s", actor, what, whose, span, partly(e.Outcomes))
	case access.GrantFailed:
		return fmt.Sprintf("%s failed to activate %s for %s", actor, what, whose)
	case access.EndAsked:
		return fmt.Sprintf("%s ends %s of %s", actor, what, whose)
	case access.GrantEnded:
		return fmt.Sprintf("%s ended %s of %s%s", actor, what, whose, partly(e.Outcomes))
	case access.EndFailed:
		return fmt.Sprintf("%s failed to end %s of %s", actor, what, whose)
	case access.NoticeFailed:
		return fmt.Sprintf("Not everybody could be told of %s for %s", what, whose)
	case access.ActionRefused:
		return fmt.Sprintf("%s was refused (%s) for %s", actor, e.Trying, what)
	}
	return fmt.Sprintf("%s: %s, %s", actor, e.Action, what)
}

// repeated is whether all of it stood before. It keeps the event of a grant, since the
// line of the grant itself may be missing: the process that granted may have ended
// before it wrote that.
func repeated(all []access.Outcome) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(o access.Outcome) bool { return o.Result != access.AlreadyGranted })
}

func partly(all []access.Outcome) string {
	refused := 0
	for _, o := range all {
		if o.Result == access.Refused {
			refused++
		}
	}
	if refused == 0 {
		return ""
	}
	return fmt.Sprintf(", but for %d of %d roles", refused, len(all))
}

// errorName is the error label. JIT Access 1.x put the name of a Java class there;
// the names that its documentation mentions are kept, everything else is our code.
func errorName(action access.Action, own *access.Error) string {
	switch {
	case action == access.NoticeFailed:
		return "NotificationException"
	case own.Code == access.CodeBadLink, own.Code == access.CodeLinkExpired:
		return "VerificationException"
	case own.Kind == access.NotAllowed:
		return "AccessDeniedException"
	case own.Code == access.CodeQuota:
		return "QuotaExceededException"
	}
	return string(own.Code)
}

// instant prints a time as JIT Access 1.x did: without seconds when they are zero.
func instant(t time.Time) string {
	t = t.UTC()
	if t.Second() == 0 && t.Nanosecond() == 0 {
		return t.Format("2006-01-02T15:04Z")
	}
	return t.Format(time.RFC3339Nano)
}

func minutes(d time.Duration) string { return strconv.Itoa(int(d / time.Minute)) }

// entitlements prints ids as JIT Access 1.x did.
func entitlements(ids []access.EntitlementID) string {
	return joined(ids, func(id access.EntitlementID) string {
		text := "[iam] " + string(id.Role) + " on " + strings.TrimPrefix(string(id.Resource), "projects/")
		if id.Condition != "" {
			text += " (condition: " + id.Condition + ")"
		}
		return text
	})
}

func people(all []access.Principal) string {
	return joined(all, func(p access.Principal) string { return string(p) })
}

func outcome(o access.Outcome) string {
	text := string(o.Entitlement.Role) + ": " + string(o.Result)
	if o.Err != nil {
		text += " (" + string(o.Err.Code) + ")"
	}
	return text
}

func joined[T any](all []T, text func(T) string) string {
	var texts []string
	for _, one := range all {
		texts = append(texts, text(one))
	}
	return strings.Join(texts, ", ")
}

// warnings say what could not be made sure of, and why.
func warnings(all []*access.Error) string {
	var texts []string
	for _, w := range all {
		texts = append(texts, scrub(w.Error()))
	}
	return strings.Join(texts, "; ")
}
