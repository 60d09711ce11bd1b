// Package events has the names and labels of lines in the log. Those of JIT Access 1.x
// keep their names, so that queries and alerts keep working; docs/log.md explains all
// of them.
package events

import (
	"slices"
	"strings"

	"jitaccess/internal/access"
)

// What changes something or tries to: the events of the journal. The first two are
// those of JIT Access 1.x for the same things; the others follow its style.
const (
	Request     = "api.requestRole"
	Activate    = "api.activateRole"
	Approve     = "api.approveRequest"
	Deny        = "api.denyRequest"
	AskEnd      = "api.requestEnd"
	End         = "api.endActivation"
	Notify      = "api.notify"
	Bounce      = "api.bounce"
	Refuse      = "api.refuse"
	BreakGlass  = "api.breakGlass"
	ReviewGlass = "api.reviewGlass"
	// AddReviewers is not Request, so that each request is counted once.
	AddReviewers = "api.addReviewers"
	// UnknownGrant is a grant that stands and that nobody here has made.
	UnknownGrant = "grant.unknown"
	// Reconcile is that all that stands was held against what is remembered.
	Reconcile = "ledger.reconcile"
	// These need a ledger. The last four are what time brings about.
	Withdraw = "api.withdrawRequest"
	Remind   = "api.remind"
	Escalate = "api.escalate"
	Lapse    = "api.lapse"
	Expire   = "api.expire"
	// These are of passkeys.
	EnrolPasskey   = "passkey.enrol"
	ApprovePasskey = "passkey.approve"
	RemovePasskey  = "passkey.remove"
)

// What only reads: ordinary lines, of which JIT Access 1.x had the first five. The event
// of who was let in is the identity profile's.
const (
	ListProjects = "api.listProjects"
	ListRoles    = "api.listEligibleRoles"
	ListPeers    = "api.listPeers"
	ShowRequest  = "api.getActivationRequest"
	CheckHealth  = "api.checkHealth"
	// AuthenticateApplication is that no application could be identified by its token, and why;
	// CollectToken that one was handed an access token.
	AuthenticateApplication = "application.authenticate"
	CollectToken            = "application.collectToken"
	// Refusal is any other refusal as the person saw it. Where the broker has refused,
	// it has also journalled that, under the name of what was tried.
	Refusal = "http.refuse"
	// TestMail is a test message of the mail account, and what became of it.
	TestMail = "http.testMail"
	// Warning is something that an answer lacks, or that could not be made sure of.
	Warning = "http.warn"
	// Startup is what there is to say of the settings, and that the service has started.
	Startup = "runtime.startup"
	// Ledger is what is done about the ledger as a whole: its head, what was erased, and
	// what the sweep could not do.
	Ledger = "ledger.maintain"
	// PolicyTaken is a policy file that holds from now on, PolicyRefused one that does not:
	// it has faults, or cannot be read, and what was taken before goes on.
	PolicyTaken   = "policy.taken"
	PolicyRefused = "policy.refused"
	// MailWarning is what an operator should know though mail works.
	MailWarning = "mail.warn"
	// UnreadKey is a key of an application that cannot be read where it is kept.
	UnreadKey = "application.readKey"
	// Application is a change of an application by an administrator.
	Application = "application.change"
	// Traces is that nobody takes them, and why.
	Traces = "traces.warn"
)

// CallerLabels say who acted. Where the service acts by itself only the method is
// there.
func CallerLabels(c access.Caller) map[string]string {
	switch {
	case c.Application != "" && c.Principal != "":
		return map[string]string{"method": c.Method, "application": c.Application, "user": string(c.Principal), "user_id": c.Subject}
	case c.Application != "":
		return map[string]string{"method": c.Method, "application": c.Application}
	case c.Principal == "":
		return map[string]string{"method": c.Method}
	}
	return map[string]string{
		"user":                 string(c.Principal),
		"user_id":              c.Subject,
		"device_id":            c.Device,
		"device_access_levels": strings.Join(c.AccessLevels, ", "),
		"method":               c.Method,
	}
}

// ResourceLabels say what it was about, a project's id twice; nil for no resource.
func ResourceLabels(r access.Resource) map[string]string {
	if r == "" {
		return nil
	}
	labels := map[string]string{"resource": string(r)}
	if OfGoogle(r) {
		labels["resource"] = r.FullName()
	}
	if id, ok := r.ProjectID(); ok {
		labels["project"], labels["project_id"] = id, id
	}
	return labels
}

// OfGoogle is whether a resource is one of Google Cloud's, which the log names as JIT Access
// 1.x did.
func OfGoogle(r access.Resource) bool {
	return slices.Contains([]string{"projects", "folders", "organizations"}, r.Kind())
}
