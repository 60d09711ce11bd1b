package server

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// words are what people read of a refusal or a warning. In braces stand arguments
// of the error. Next says what to do now; warnings are shown without it. Field is
// the form field that is to blame, unless the error names one.
type words struct{ Text, Next, Field string }

// Names of form fields, as access.Error.Field and the pages use them.
const (
	fieldEntitlement   = access.FieldEntitlement
	fieldReviewer      = access.FieldReviewer
	fieldJustification = access.FieldJustification
	fieldMinutes       = access.FieldDuration
	fieldStart         = access.FieldStart
	fieldID            = access.FieldID
	fieldComment       = access.FieldComment
)

const (
	tryAgain      = "Try again in a minute. If it keeps failing, tell your administrator the incident number."
	tellAdmin     = "Tell your administrator; the incident number leads them to the cause."
	askOperator   = "This has to be put right by whoever operates this service. Tell them the incident number."
	otherAccount  = "If you have another account, switch to it."
	askAgain      = "Ask the person for a new request."
	correctResend = "Correct it and send the form again; nothing was sent yet."
	// For who may edit policies.
	correctCondition = "Correct the condition."
	bindPeople       = "Bind people or a group instead."

	checkAccess = "Look at the project's page to see what is active now."
)

// texts has an entry for every code of package access; a test keeps it so.
var texts = map[access.Code]words{
	access.CodeInternal: {"Something went wrong on our side.", tryAgain, ""},
	access.CodeDeadline: {"This took too long and was stopped.", checkAccess + " Then try again.", ""},

	access.CodeNoIdentity:    {"You are not signed in.", "Sign in and open the page again.", ""},
	access.CodeBadIdentity:   {"Your sign-in could not be verified.", "Sign in again. If that does not help, tell your administrator the incident number.", ""},
	access.CodeCrossSite:     {"This did not come from one of our own pages, so nothing was done.", "Open the page here and send the form again.", ""},
	access.CodeMissingHeader: {"The header X-JITACCESS is missing.", "Send X-JITACCESS: 1 with every call.", ""},
	access.CodeTooFast:       {"That was a lot in a short time.", "Wait a few seconds, then try again.", ""},

	access.CodeBadInput:            {"This could not be understood: {reason}.", correctResend, ""},
	access.CodeBadResource:         {"“{resource}” is not the ID of a project.", "Project IDs have lower-case letters, digits and hyphens, like my-project-123.", "projectId"},
	access.CodeBadEntitlement:      {"“{entitlement}” does not name a role.", "Choose the role from the project's page.", fieldEntitlement},
	access.CodeOtherResource:       {"{entitlement} is not a role on {resource}.", "Choose roles of one project at a time.", fieldEntitlement},
	access.CodeNoEntitlement:       {"Choose at least one role.", correctResend, fieldEntitlement},
	access.CodeTooManyRoles:        {"These are {count} roles; at most {max} can be requested together.", "Choose fewer roles.", fieldEntitlement},
	access.CodeBadRequestID:        {"The form's request number is not valid.", "Open the form again and send it once more.", ""},
	access.CodeNoJustification:     {"Say why you need access.", "Enter a reason: {hint}.", fieldJustification},
	access.CodeLongJustification:   {"The reason is too long.", "Use at most {max} characters.", fieldJustification},
	access.CodeUnsafeJustification: {"The reason has line breaks or invisible characters.", "Write it as one line of plain text.", fieldJustification},
	access.CodeJustificationRule:   {"The reason does not have the form that is required here.", "Required: {hint}.", fieldJustification},
	access.CodeNoComment:           {"Say why you deny the request.", "The comment is sent to the person who asked.", fieldComment},
	access.CodeUnsafeComment:       {"The comment is too long, or has line breaks or invisible characters.", "Write one line of plain text, at most {max} characters.", fieldComment},
	access.CodeBadDuration:         {"The duration is not one that can be granted.", "Enter whole minutes, from 1 to {max}.", fieldMinutes},
	access.CodeBadStart:            {"The start is not one that can be granted.", "Choose a time that is not past and at most {max} hours ahead.", fieldStart},
	access.CodeStartsAtOnce:        {"What nobody approves begins at once.", "Leave the start empty, and activate it when you need it.", fieldStart},
	access.CodeBadReviewer:         {"“{reviewer}” is not the address of a person.", "Choose reviewers from the list.", fieldReviewer},
	access.CodeSelfReviewer:        {"You cannot review your own request.", "Choose somebody else.", fieldReviewer},
	access.CodeFewReviewers:        {"Too few reviewers.", "Choose at least {min}.", fieldReviewer},
	access.CodeManyReviewers:       {"Too many reviewers.", "Choose at most {max}.", fieldReviewer},
	access.CodeNobodyAdded:         {"Nobody new was chosen.", "Choose somebody who has not been asked yet.", fieldReviewer},
	access.CodeReviewerNotEligible: {"{reviewer} may not approve {role} on {resource}.", "Choose reviewers from the list.", fieldReviewer},
	access.CodeNotEligible:         {"You are not eligible for {role} on {resource}.", "Choose another role, or ask your administrator to make you eligible. " + otherAccount, fieldEntitlement},
	access.CodeTermUnsupported:     {"{rule} demands what this service cannot do yet ({term}), so nothing was done.", askOperator, ""},
	access.CodeNeedsApproval:       {"{role} needs the approval of others. It cannot be activated without, nor together with a role that needs none.", "Choose roles that need approval, or roles that need none.", fieldEntitlement},
	access.CodeNeedsLedger:         {"This needs a database, and this version of the service has none.", "What you have is listed on the page of its project; a request can be opened by its link.", ""},
	access.CodeNoPublicURL:         {"The service does not know its own address, so it cannot write the link that reviewers need. Nothing was requested.", "An operator has to set PUBLIC_URL to the address that people know. You came by https://{host}.", ""},
	access.CodeUnknownResource:     {"There is no {resource} here, or it is not open to this service.", "Check the project ID. If it is right, ask your administrator whether the project is in the scope of this service.", ""},
	access.CodeNotFound:            {"There is nothing at this address.", "Go to the start page and find access from there.", ""},
	access.CodeMethod:              {"This address cannot be used that way.", "Go to the start page and find access from there.", ""},
	access.CodeTooLarge:            {"This is larger than anything that belongs here.", "Go back and send less.", ""},
	access.CodeMediaType:           {"The content type is not accepted.", "Send {accepted}.", ""},
	access.CodeOutdatedPage:        {"This page is from an earlier version of the service.", "Reload the page.", ""},

	access.CodeBadLink:         {"This link is not valid.", "Check that it was copied whole. If it was, ask for a new request.", ""},
	access.CodeLinkExpired:     {"This link has expired; nobody decided in time.", askAgain, ""},
	access.CodeEligibilityEnds: {"The eligibility for {role} ends at {until}, before the access would begin.", "Ask for an earlier start, or for a longer eligibility.", fieldStart},
	access.CodeWindowOver:      {"The time that was asked for is over.", askAgain, ""},
	access.CodeNotInvolved:     {"This request is not yours, and you were not asked to review it.", "If you were asked under another address, switch the account.", ""},
	access.CodeOwnRequest:      {"You cannot decide your own request.", "Somebody else whom you asked has to approve it.", ""},
	access.CodeReviewerLost:    {"You may not approve {role} on {resource} any more, though you were asked.", "The person can ask another reviewer; an administrator can see why you lost it.", ""},
	access.CodeAlreadyApproved: {"Already approved by {approvers}.", "There is nothing left to decide.", ""},
	access.CodeAlreadyDenied:   {"Already denied.", "There is nothing left to decide. A new request can be made.", ""},
	access.CodeGrantRefused:    {"This was approved, and could not be granted.", askAgain, ""},
	access.CodeAlreadyEnded:    {"This access has already ended, and a link does not bring it back.", askAgain, ""},
	access.CodeDigestMismatch:  {"The request is not the one that this page showed, so nothing was decided.", "Read it again as it is now, then decide.", ""},
	access.CodeNoGrant:         {"There is no such access of yours.", "It has ended, was removed, or is somebody else's. " + checkAccess, ""},
	access.CodeNotAdmin:        {"This page is for administrators of this service.", "Whoever operates it names them in ADMINS. " + otherAccount, ""},

	access.CodeRequesterLost:      {"{principal} is no longer eligible for {role} on {resource}, so it cannot be granted.", "Their administrator can say why.", ""},
	access.CodeServiceNotAllowed:  {"This service is not permitted to do that on {resource}. An operator has to grant it the permission.", "Tell your administrator: the service account {account} lacks {permission}.", ""},
	access.CodeRoleNotGrantable:   {"{role} cannot be granted on {resource}; Google refuses it.", "Choose another role and tell your administrator.", ""},
	access.CodeMemberUnknown:      {"Google does not know {principal}, so nothing can be granted to that address.", otherAccount, ""},
	access.CodePlatformRefused:    {"Google refused the change: {reason}.", "Trying again will not help. " + tellAdmin, ""},
	access.CodeCallRefused:        {"Google refused a call of this service to {service}: {reason}.", "Trying again will not help. An operator has to correct what the service asks for. Tell them the incident number.", ""},
	access.CodeQueryRefused:       {"Google does not accept the query with which this service finds projects: {reason}.", "An operator has to correct AVAILABLE_PROJECTS_QUERY. Tell them the incident number.", ""},
	access.CodeSecretUnusable:     {"A version of {secret}, which this service needs, is {state}.", "An operator has to enable it, or add another version. Tell them the incident number.", ""},
	access.CodePolicyFull:         {"The policy of {resource} is full: {count} members of at most {max}.", "An administrator has to remove members from the policy, or grant through groups.", ""},
	access.CodeTooManyGrants:      {"There are already {count} grants of {role} for one person; at most {max} are possible.", "End one of them, or wait until one has ended.", ""},
	access.CodeConditionTooLong:   {"The condition of this role is too long to be combined with an end time: {count} of at most {max} characters.", "An administrator has to shorten the condition of the eligible binding.", ""},
	access.CodeConflict:           {"The policy of {resource} kept changing meanwhile, so nothing was written.", "Try again now.", ""},
	access.CodeQuota:              {"{service} is receiving too many calls at the moment.", "Try again in a minute.", ""},
	access.CodeAnalysisQuota:      {"The quota of Google's Policy Analyzer is used up, so nobody's eligibility can be looked up.", "Try again later. An operator can raise the quota (Security Command Center Premium), or set RESOURCE_CATALOG=AssetInventory, which does without it.", ""},
	access.CodeScopeRefused:       {"Google does not accept {scope} as what this service looks after: {reason}.", "An operator has to correct RESOURCE_SCOPE. Tell them the incident number.", ""},
	access.CodeUpstreamFailed:     {"{service} did not answer as it should.", tryAgain, ""},
	access.CodeUpstreamTimeout:    {"{service} did not answer in time.", tryAgain, ""},
	access.CodeUnknownOutcome:     {"Google did not say whether the policy of {resource} was changed, and we could not find out.", checkAccess + " Sending the same form again is safe: it grants nothing twice.", ""},
	access.CodeDirectoryNotSet:    {"The service cannot look up groups, because it is not told which directory to use.", askOperator, ""},
	access.CodeSigningNotAllowed:  {"The service is not permitted to sign the link for reviewers.", "An operator has to let {account} sign for itself: Service Account Token Creator on its own account.", ""},
	access.CodeJournalUnavailable: {"This could not be recorded, so it was not done.", tryAgain, ""},

	access.CodeUnreadableBinding: {"Some eligibility on this project could not be read; if a role is missing, tell your administrator.", "Tell your administrator.", ""},
	access.CodeGroupUnreadable:   {"The members of {group} could not be read, so people may be missing.", "Tell your administrator if somebody is missing.", ""},
	access.CodePersonUnreadable: {"The directory does not know {principal}, so what they are eligible for through groups is missing.",
		"Tell your administrator.", ""},
	access.CodeTimeUnclear: {"{role} is limited in time by a rule that is not understood here: access may be shorter than what is shown.",
		"Ask your administrator for the rule.", ""},
	access.CodeStaleInventory:    {"Google is busy; this is what it said {seconds} seconds ago.", "Reload in a minute.", ""},
	access.CodeAnalysisPartial:   {"Google could not analyze everything: {reason}.", "Tell your administrator if a role or a person is missing.", ""},
	access.CodeInventoryOnly:     {"Eligibility inherited from {resource} may be minutes old: its policy cannot be read as it is now.", "", ""},
	access.CodePolicyNearlyFull:  {"The policy of {resource} is nearly full: {count} members of at most {max}.", "Tell your administrator.", ""},
	access.CodeNotDelivered:      {"{recipient} could not be told by {channel}.", "Copy the link and pass it on by hand.", ""},
	access.CodeNotPublished:      {"The systems that listen to this service’s messages could not be told; people may not hear of this from them.", "Tell your administrator: publishing to Pub/Sub failed.", ""},
	access.CodeNoChannel:         {"This service sends no mail.", "Copy the link and pass it on to a reviewer.", ""},
	access.CodeNotGranted:        {"{role} was not granted; the rest was.", tellAdmin, ""},
	access.CodeLongLink:          {"The link has {count} characters, and some mail programs cut what is longer than {max}. A shorter reason, fewer reviewers or fewer roles make it shorter.", "Copy the link from this page and see that it arrives whole.", ""},
	access.CodeOutcomeUnrecorded: {"It is done, but the outcome could not be recorded in the journal.", tellAdmin, ""},

	access.CodeNotUnderstood:    {"The condition bears a marker and cannot be understood: {reason}.", correctCondition, ""},
	access.CodeMarkerMisspelled: {"“{found}” in the condition is no marker. “{meant}” was probably meant.", correctCondition, ""},
	access.CodeMarkerMisplaced: {"“{found}” in the condition does not count: a marker must be a clause of its own, joined to the rest with &&, " +
		"without parentheses, negation, comparison or alternative. “{meant}” was probably meant.", correctCondition, ""},
	access.CodeMarkerGrants: {"The condition speaks of “{found}” and is always true: it gives the role at all times, without an activation.",
		correctCondition, ""},
	access.CodeMarkerGrantsParts: {"The condition speaks of “{found}” and can be true all the same: where it is, it gives the role at all times, " +
		"without an activation.", correctCondition, ""},
	access.CodeBasicRole:        {"This role takes no condition in IAM, so it cannot be activated.", "Use a predefined or custom role.", ""},
	access.CodeEligibilityOver:  {"The eligibility ended by its own condition at {until}.", "Remove it, or give it another end.", ""},
	access.CodeEligibilityAhead: {"The eligibility begins by its own condition at {from}.", "Wait until then.", ""},
	access.CodeMemberNobody:     {"{member} is nobody who signs in here: only people and groups count.", bindPeople, ""},
	access.CodeMemberEverybody:  {"{member} does not count: only people and groups do.", bindPeople, ""},
	access.CodeMemberDomain: {"{member} does not count: only people and groups do. With RESOURCE_CATALOG={catalog} it would.",
		bindPeople, ""},
	access.CodeMemberDeleted:    {"{member} was deleted.", "Remove the member.", ""},
	access.CodeMemberMisspelled: {"{member} is no member that is understood.", bindPeople, ""},
	access.CodeGroupsInGroup: {"Of the members of {group}, the groups do not count: {count}. With RESOURCE_CATALOG={catalog} the people in them would.",
		"Put the people into the group itself.", ""},
	access.CodeEverybodyInGroup: {"Everybody of the organization is a member of {group}, which does not count.", "Put people into the group.", ""},
}

// bare are the words that replace those of texts when none of their arguments is
// there.
var bare = map[access.Code]words{
	access.CodeBadResource: {"No project is named.", "Project IDs have lower-case letters, digits and hyphens, like my-project-123.", "projectId"},
	access.CodeBadStart:    {"The start is not a date and time.", "Write it like 2026-11-22T15:00, in UTC, or leave it empty.", fieldStart},
}

// unsaid are the words for arguments that an error leaves out.
var unsaid = map[string]string{
	"account": "the service account", "accepted": "another one", "approvals": "several", "approvers": "another reviewer",
	"channel": "mail", "count": "many", "entitlement": "this role", "group": "a group", "hint": "a reason", "host": "HOST",
	"max": "the maximum", "min": "the minimum", "permission": "a permission", "principal": "the person", "reason": "no reason was given",
	"recipient": "somebody", "resource": "the project", "reviewer": "this address", "role": "this role", "scope": "the configured scope", "secret": "a secret", "state": "not usable", "rule": "A rule of this service", "seconds": "some",
	"service": "Google Cloud", "term": "one of its terms",
	"found": "a word", "meant": "a marker", "member": "a member", "catalog": "PolicyAnalyzer",
	"from": "a later time", "until": "an earlier time",
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

// violation is the argument with which Google identifies a refusal by VPC Service
// Controls. It may come with any code.
const violation = "violation"

// maxArgument bounds what an error brings into a text.
const maxArgument = 300

// Words are what people read of an error, and what they can do, for those who show it
// elsewhere than on pages.
func Words(e *access.Error) (text, next string) {
	w := say(e)
	return w.Text, w.Next
}

// say puts an error into words. What it says of Internal errors is always the same.
func say(e *access.Error) words {
	code := e.Code
	w, ok := texts[code]
	if e.Kind == access.Internal && code != access.CodeJournalUnavailable || !ok {
		w = texts[access.CodeInternal]
	}
	if b, ok := bare[code]; ok && len(strings.Join(slices.Collect(maps.Values(e.Args)), "")) == 0 {
		w = b
	}
	fill := func(text string) string {
		return placeholder.ReplaceAllStringFunc(text, func(p string) string {
			name := p[1 : len(p)-1]
			v := e.Args[name]
			if v == "" {
				return unsaid[name]
			}
			if name == "resource" {
				v = strings.TrimPrefix(v, "projects/")
			}
			if len(v) > maxArgument {
				v = clip(v, maxArgument)
			}
			return v
		})
	}
	if e.Args[violation] != "" && e.Kind != access.Internal {
		w.Text += " VPC Service Controls stopped it; under the unique identifier {" + violation + "} an administrator finds out why."
	}
	w.Text, w.Next = fill(w.Text), fill(w.Next)
	if e.Field != "" {
		w.Field = e.Field
	}
	return w
}

// clip cuts text at a character near n bytes.
func clip(text string, n int) string {
	for i := range text {
		if i > n {
			return text[:i] + "…"
		}
	}
	return text
}

// statusOf is the HTTP status of a refusal.
func statusOf(e *access.Error) int {
	switch e.Code {
	case access.CodeMethod:
		return http.StatusMethodNotAllowed
	case access.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case access.CodeMediaType:
		return http.StatusUnsupportedMediaType
	}
	switch e.Kind {
	case access.Invalid:
		return http.StatusBadRequest
	case access.Unauthenticated:
		return http.StatusUnauthorized
	case access.NotAllowed:
		return http.StatusForbidden
	case access.NotFound:
		return http.StatusNotFound
	case access.Conflict:
		return http.StatusConflict
	case access.Gone:
		return http.StatusGone
	case access.Unprocessable:
		return http.StatusUnprocessableEntity
	case access.TooMany:
		return http.StatusTooManyRequests
	case access.Upstream:
		return http.StatusBadGateway
	case access.Unavailable:
		return http.StatusServiceUnavailable
	case access.TimedOut:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// titles head an error page.
var titles = map[int]string{
	http.StatusBadRequest:            "That did not work",
	http.StatusUnauthorized:          "Please sign in",
	http.StatusForbidden:             "Not allowed",
	http.StatusNotFound:              "Not found",
	http.StatusMethodNotAllowed:      "That did not work",
	http.StatusConflict:              "Something has changed",
	http.StatusGone:                  "Too late",
	http.StatusRequestEntityTooLarge: "Too large",
	http.StatusUnsupportedMediaType:  "That did not work",
	http.StatusUnprocessableEntity:   "Google refused it",
	http.StatusTooManyRequests:       "Slow down a little",
	http.StatusInternalServerError:   "Something went wrong",
	http.StatusBadGateway:            "Google is having trouble",
	http.StatusServiceUnavailable:    "Not available right now",
	http.StatusGatewayTimeout:        "That took too long",
}
