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

// forms are how events are written down, by what they are about: the name of the line, its
// severity and its message, see message. The intent and the outcome of one grant have
// different names, so that an alert on api.activateRole counts each activation once.
var forms = map[access.Action]struct{ event, severity, message string }{
	access.RequestMade:        {events.Request, severityInfo, "{actor} requested {what} for {span}, asking {asked}"},
	access.ReviewersAdded:     {events.AddReviewers, severityInfo, "{actor} asked more people to approve {what}; asked are now {asked}"},
	access.SelfApproved:       {events.Approve, severityInfo, "{actor} activates {what} for {span} without others"},
	access.RequestApproved:    {events.Approve, severityInfo, "{actor} approved {what} for {whose}, for {span}"},
	access.RequestDenied:      {events.Deny, severityInfo, "{actor} denied {what} for {whose}"},
	access.GlassBroken:        {events.BreakGlass, severityAlert, "{actor} breaks the glass: {what} for {span} without approval"},
	access.GlassReviewed:      {events.ReviewGlass, severityInfo, "{actor} reviewed that {whose} broke the glass for {what}"},
	access.GrantWritten:       {events.Activate, severityInfo, "{actor} activated {what} for {whose}, for {span}{partly}"},
	access.GrantFailed:        {events.Activate, severityError, "{actor} failed to activate {what} for {whose}"},
	access.EndAsked:           {events.AskEnd, severityInfo, "{actor} ends {what} of {whose}"},
	access.GrantEnded:         {events.End, severityInfo, "{actor} ended {what} of {whose}{partly}"},
	access.EndFailed:          {events.End, severityError, "{actor} failed to end {what} of {whose}"},
	access.GrantTakenIn:       {events.UnknownGrant, severityError, "A grant stands that nobody made here: {what} for {whose}, for {span}"},
	access.NoticeFailed:       {events.Notify, severityWarning, "Not everybody could be told of {what} for {whose}"},
	access.NoticeGivenUp:      {events.Notify, severityError, "Somebody was not told of {what} for {whose}, and it is not tried any more"},
	access.RequestWithdrawn:   {events.Withdraw, severityInfo, "{actor} withdrew {what} for {whose}"},
	access.Reminded:           {events.Remind, severityInfo, "{actor} reminds people of {what} for {whose}"},
	access.Escalated:          {events.Escalate, severityInfo, "{actor} tells others that {what} for {whose} is not decided"},
	access.RequestLapsed:      {events.Lapse, severityInfo, "Nobody decided {what} for {whose} in time"},
	access.GrantExpired:       {events.Expire, severityInfo, "The time for {what} of {whose} is over"},
	access.MailBounced:        {events.Bounce, severityWarning, "A mail says that one to {bounced} about {what} for {whose} came back"},
	access.PasskeyEnrolled:    {events.EnrolPasskey, severityInfo, "{actor} enrolled passkey {passkey}"},
	access.PasskeyApproved:    {events.ApprovePasskey, severityInfo, "{actor} approved passkey {passkey} of {whose}"},
	access.PasskeyRemoved:     {events.RemovePasskey, severityInfo, "{actor} removed passkey {passkey} of {whose}"},
	access.ApplicationChanged: {events.Application, severityInfo, "{actor} changed application {application}: {change}"},
	access.ApplicationProposed: {events.Application, severityInfo,
		"{actor} wants to change application {application}, and another administrator has to agree: {change}"},
	access.ApplicationAgreed:  {events.Application, severityInfo, "{actor} agreed to a change of application {application}: {change}"},
	access.ApplicationDropped: {events.Application, severityInfo, "{actor} dropped a change of application {application}: {change}"},
	access.ApplicationAlone: {events.Application, severityAlert,
		"{actor} changed application {application}, and nobody else could have agreed: {change}"},
	access.Reconciled: {events.Reconcile, severityInfo,
		"What stands was held against what is remembered: {differences} differences on {looked} resources{short}"},
	access.ActionRefused: {events.Refuse, severityError, "{actor} was refused ({trying}) for {what}"},
}

// describe is the line of an event, without who did it.
func describe(e access.Event) line {
	form, known := forms[e.Action]
	if !known {
		form.event, form.severity, form.message = "api."+string(e.Action), severityError, "{actor}: "+string(e.Action)+", {what}"
	}
	if e.Action == access.ActionRefused {
		form.event = attempted(e.Trying)
	}
	if e.Action == access.GrantWritten && repeated(e.Outcomes) {
		form.message = "{actor} wrote nothing: {what} for {whose} had been granted already"
	}
	if e.Action == access.GrantTakenIn && e.Err != nil { // why a rule would not have let it be made
		form.severity = severityAlert
	}
	if e.Action == access.Reconciled && (e.Round.Differences > 0 || !e.Round.Whole()) {
		form.severity = severityWarning
	}
	l := line{Severity: form.severity, Message: message(form.message, e), Labels: requestLabels(e)}
	l.Labels["event"] = form.event
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
	return cmp.Or(forms[a].event, events.Refuse)
}

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
	set("role", joined(r.Entitlements, ", ", func(id access.EntitlementID) string { return string(id.Role) }))
	set("reviewers", people(r.Reviewers))
	maps.Copy(labels, events.ResourceLabels(r.Resource))
	if r.Duration > 0 {
		set("duration_minutes", minutes(r.Duration))
	}
	if at := r.Escalated; e.Action == access.Escalated && at < len(r.Terms.Escalations) {
		set("escalated_to", strings.Join(r.Terms.Escalations[at].To, ", "))
	}
	set("application", r.Asking.Application)
	set("application_subject", access.Visible(r.Asking.Subject))
	set("template", r.Asking.Template)
	set("title", r.Asking.Title)
	if r.Asking.Unlinked {
		set("unlinked", "true")
	}
	set("rule", r.Terms.Rule)
	set("policy", r.Terms.Policy)
	set("comment", e.Decision.Comment)
	set("passkey", e.Passkey)
	if c := e.Change; c.Application != "" {
		set("application", c.Application)
		set("change", strings.Join(c.What, ", "))
	}
	if e.Decision.Evidence != nil {
		set("passkey", access.CredentialID(e.Decision.Evidence.Credential))
	}
	if round := e.Round; !round.Began.IsZero() {
		set("differences", strconv.Itoa(round.Differences))
		set("looked", strconv.Itoa(round.Looked))
		set("unread", strconv.Itoa(round.Unread))
		set("whole", strconv.FormatBool(round.Whole()))
	}
	set("bounced", scrub(string(e.Bounce.To)))
	set("status", scrub(e.Bounce.Status))
	set("said", scrub(e.Bounce.Text))
	set("digest", e.Decision.Digest)
	set("outcomes", joined(e.Outcomes, ", ", outcome))
	set("warnings", joined(e.Warnings, "; ", func(w *access.Error) string { return scrub(w.Error()) }))
	return labels
}

// message says in words what happened. Of users it holds names of roles and resources.
func message(form string, e access.Event) string {
	r := e.Request
	actor := "User " + strconv.Quote(string(e.Caller.Principal))
	switch {
	case e.Caller.Application != "":
		actor = "Application " + strconv.Quote(e.Caller.Application)
		if e.Caller.Principal != "" {
			actor += ", tried by " + string(e.Caller.Principal) + ","
		}
	case e.Caller.Principal == "":
		actor = "The service"
	}
	what := "request " + strconv.Quote(r.ID)
	if e.Passkey != "" {
		what = "passkey " + strconv.Quote(e.Passkey)
	}
	if c := e.Change; c.Application != "" {
		what = "a change of application " + strconv.Quote(c.Application)
	}
	if len(r.Entitlements) > 0 {
		what = strconv.Quote(entitlements(r.Entitlements))
	}
	span := r.Duration
	if !e.Window.IsZero() {
		span = e.Window.Length()
	}
	return strings.NewReplacer("{actor}", actor, "{what}", what, "{whose}", strconv.Quote(string(r.Principal)),
		"{span}", minutes(span)+" minutes",
		"{asked}", cmp.Or(people(r.Reviewers), "nobody by name"), "{partly}", partly(e.Outcomes), "{passkey}", strconv.Quote(e.Passkey),
		"{application}", strconv.Quote(e.Change.Application), "{change}", strings.Join(e.Change.What, ", "),
		"{differences}", strconv.Itoa(e.Round.Differences), "{looked}", strconv.Itoa(e.Round.Looked), "{short}", short(e.Round),
		"{bounced}", strconv.Quote(scrub(string(e.Bounce.To))), "{trying}", string(e.Trying)).Replace(form)
}

// short is what was not looked at, for the end of a sentence.
func short(r access.Round) string {
	switch {
	case r.Short:
		return ", and it was cut short"
	case r.Partial:
		return ", and not all could be listed"
	case r.Unread > 0:
		return fmt.Sprintf(", and %d could not be read", r.Unread)
	}
	return ""
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
	return fmt.Sprintf(", but for %d of %s", refused, access.Counted(len(all), "role", "roles"))
}

// errorName is the error label. JIT Access 1.x put the name of a Java class there;
// the names that its documentation mentions are kept, everything else is our code.
func errorName(action access.Action, own *access.Error) string {
	switch {
	case action == access.NoticeFailed || action == access.NoticeGivenUp:
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
	return joined(ids, ", ", func(id access.EntitlementID) string {
		text := string(id.Role) + " on " + strings.TrimPrefix(string(id.Resource), "projects/")
		if events.OfGoogle(id.Resource) {
			text = "[iam] " + text
		}
		if id.Condition != "" {
			text += " (condition: " + id.Condition + ")"
		}
		return text
	})
}

func people(all []access.Principal) string {
	return joined(all, ", ", func(p access.Principal) string { return string(p) })
}

func outcome(o access.Outcome) string {
	text := string(o.Entitlement.Role) + ": " + string(o.Result)
	if o.Err != nil {
		text += " (" + string(o.Err.Code) + ")"
	}
	return text
}

func joined[T any](all []T, separator string, text func(T) string) string {
	return strings.Join(access.Each(all, text), separator)
}
