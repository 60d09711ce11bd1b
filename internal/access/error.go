package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Kind is what sort of refusal or failure an error is; it decides the status of an
// answer and what a person can do next. The zero value is Internal.
type Kind int

const (
	Internal        Kind = iota // a fault of ours; its text is hidden from people
	Invalid                     // the input is wrong; Field names which
	Unauthenticated             // nobody is signed in
	NotAllowed                  // signed in, and may not
	NotFound                    // there is no such thing, or none that the caller may know of
	Conflict                    // it has been decided or changed meanwhile
	Gone                        // the time for it is over
	Unprocessable               // the platform refuses it for good
	TooMany                     // slow down
	Upstream                    // a dependency answered wrongly
	Unavailable                 // a dependency cannot be had now
	TimedOut                    // a dependency took too long
)

var kindNames = [...]string{"internal", "invalid", "unauthenticated", "not allowed", "not found", "conflict", "gone",
	"unprocessable", "too many", "upstream", "unavailable", "timed out"}

func (k Kind) String() string { return kindNames[k] }

// Args fill the placeholders of an error's text. Values must be fit to be shown to
// the person who caused the error.
type Args map[string]string

// Names of form fields, as Error.Field, the pages and the JSON interface use them.
const (
	FieldResource      = "resource"
	FieldEntitlement   = "entitlement"
	FieldJustification = "justification"
	FieldDuration      = "minutes"
	FieldStart         = "start"
	FieldReviewer      = "reviewer"
	FieldID            = "id"
	FieldPrincipal     = "principal"
	FieldComment       = "comment"
	FieldVerdict       = "verdict"
	FieldName          = "name"
)

// Error is a refusal or failure with a code. The words for people stand in one
// table in package server, by Code; Err is the cause, for the log alone.
type Error struct {
	Kind Kind
	Code Code
	// Field is the form field that is wrong, for Invalid.
	Field string
	Args  Args
	Err   error
}

// Error is for the log.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Kind, e.Code)
	for _, k := range slices.Sorted(maps.Keys(e.Args)) {
		fmt.Fprintf(&b, " %s=%q", k, e.Args[k])
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// MayPass is whether the same may work later without anybody doing anything. It may
// be called on nil, which is no error and false.
func (e *Error) MayPass() bool {
	return e != nil && slices.Contains([]Kind{Conflict, TooMany, Upstream, Unavailable, TimedOut}, e.Kind)
}

// AsError finds the Error in err's chain. Any other error becomes Internal, except
// that a deadline becomes TimedOut. It returns nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &Error{Kind: TimedOut, Code: CodeDeadline, Err: err}
	}
	return &Error{Kind: Internal, Code: CodeInternal, Err: err}
}

// Code names one refusal or failure. A test keeps every code in the table of
// texts.
type Code string

// Codes, with the arguments that their texts may use in brackets.
const (
	CodeInternal Code = "internal"
	CodeDeadline Code = "deadline"

	// Who asks.
	CodeNoIdentity  Code = "no-identity"
	CodeBadIdentity Code = "bad-identity"
	// CodeNoToken is a program without an authentication token, CodeBadToken one with one that
	// is not accepted, CodeTwoTokens one with more.
	CodeNoToken   Code = "no-token"
	CodeBadToken  Code = "bad-token"
	CodeTwoTokens Code = "two-tokens"
	// CodeBadDelivery is a webhook delivery that is not signed as it must be.
	CodeBadDelivery Code = "bad-delivery"
	// CodeLoginLapsed is a log-in that this browser has not begun, or not lately, or has
	// finished already; CodeLoginRefused that the provider lets nobody in.
	CodeLoginLapsed       Code = "login-lapsed"
	CodeLoginRefused      Code = "login-refused"
	CodeUnverifiedAddress Code = "unverified-address"
	CodeCopiesLast        Code = "copies-last"
	CodeCrossSite         Code = "cross-site"
	CodeMissingHeader     Code = "missing-header"
	CodeManyWaiting       Code = "many-waiting" // max
	CodeTooFast           Code = "too-fast"

	// What they ask for.
	CodeBadInput            Code = "bad-input"             // reason
	CodeBadResource         Code = "bad-resource"          // resource
	CodeBadEntitlement      Code = "bad-entitlement"       // entitlement
	CodeOtherResource       Code = "other-resource"        // entitlement, resource
	CodeNoEntitlement       Code = "no-entitlement"        //
	CodeTooManyRoles        Code = "too-many-roles"        // count, max
	CodeBadRequestID        Code = "bad-request-id"        //
	CodeOldForm             Code = "old-form"              //
	CodeNoJustification     Code = "no-justification"      // hint
	CodeLongJustification   Code = "long-justification"    // max
	CodeUnsafeJustification Code = "unsafe-justification"  //
	CodeJustificationRule   Code = "justification-rule"    // hint
	CodeNoComment           Code = "no-comment"            //
	CodeUnsafeComment       Code = "unsafe-comment"        // max
	CodeBadDuration         Code = "bad-duration"          // max (minutes)
	CodeBadStart            Code = "bad-start"             // max (hours)
	CodeStartsAtOnce        Code = "starts-at-once"        //
	CodeBadReviewer         Code = "bad-reviewer"          // reviewer
	CodeSelfReviewer        Code = "self-reviewer"         //
	CodeFewReviewers        Code = "few-reviewers"         // min
	CodeManyReviewers       Code = "many-reviewers"        // max
	CodeNobodyAdded         Code = "nobody-added"          //
	CodeNobodyFor           Code = "nobody-for"            // people, count
	CodeNobodyInGroup       Code = "nobody-in-group"       // group
	CodeNoApprovalNeeded    Code = "no-approval-needed"    //
	CodeReviewerNotEligible Code = "reviewer-not-eligible" // reviewer, role, resource
	CodeNotEligible         Code = "not-eligible"          // role, resource
	CodeNeedsApproval       Code = "needs-approval"        // role
	CodeTermUnsupported     Code = "term-unsupported"      // term, rule
	CodeRuleRefuses         Code = "rule-refuses"          // rule, message, role
	CodeRuleUndecided       Code = "rule-undecided"        // rule, unknown (ancestors, groups or claims)
	CodePolicyUnreadable    Code = "policy-unreadable"     //
	CodeNoRule              Code = "no-rule"               // role, resource
	CodeNotNamed            Code = "not-named"             // resource
	CodeNeedsLedger         Code = "no-ledger"             //
	CodeTooContinuous       Code = "too-continuous"        // max, left (minutes)
	CodeNotExtendable       Code = "not-extendable"        //
	CodeAlreadyExtended     Code = "already-extended"      // id
	CodeFixedWindow         Code = "fixed-window"          //
	CodeNoSweep             Code = "no-sweep"              // hours
	CodeNoPublicURL         Code = "no-public-url"         // host
	CodeUnknownResource     Code = "unknown-resource"      // resource
	CodeNotFound            Code = "not-found"             //
	CodeMethod              Code = "method"                //
	CodeTooLarge            Code = "too-large"             //
	CodeMediaType           Code = "media-type"            // accepted
	CodeOutdatedPage        Code = "outdated-page"         //

	// What applications ask for.
	CodeUnknownApplication  Code = "unknown-application"  // application
	CodeApplicationsUnknown Code = "applications-unknown" //
	CodeUnknownTemplate     Code = "unknown-template"     // application, template
	CodeBadSubject          Code = "bad-subject"          //
	CodeUnlinkedSubject     Code = "unlinked-subject"     // application, subject
	CodeMissingDatum        Code = "missing-datum"        // name
	CodeUnknownDatum        Code = "unknown-datum"        // name
	CodeUnsafeDatum         Code = "unsafe-datum"         // name, max
	CodeBadDatum            Code = "bad-datum"            // name, pattern
	CodeLongTitle           Code = "long-title"           // max
	CodeBadCallback         Code = "bad-callback"         //
	CodeKeyReused           Code = "key-reused"           //
	CodeNoApprovers         Code = "no-approvers"         // application, template
	CodeTemplateLost        Code = "template-lost"        // application, template

	// Who manages applications.
	CodeOwnChange   Code = "own-change"   //
	CodeChangeWaits Code = "change-waits" // application

	// Links and decisions.
	CodeBadLink         Code = "bad-link"         //
	CodeLinkExpired     Code = "link-expired"     //
	CodeEligibilityEnds Code = "eligibility-ends" // role, until
	CodeWindowOver      Code = "window-over"      //
	CodeNotInvolved     Code = "not-involved"     //
	CodeDecideAtAdmin   Code = "decide-at-admin"  //
	CodeOwnRequest      Code = "own-request"      //
	CodeReviewerLost    Code = "reviewer-lost"    // role, resource
	CodeNotInherited    Code = "not-inherited"    // reviewer, role, resource
	CodeNotYourTurn     Code = "not-your-turn"    // people
	CodeSignInAgain     Code = "sign-in-again"    //
	CodeClaimsUnknown   Code = "claims-unknown"   //
	CodeAccessLevel     Code = "access-level"     // level
	CodeAlreadyApproved Code = "already-approved" // approvers
	CodeAlreadyDenied   Code = "already-denied"   //
	CodeAlreadyEnded    Code = "already-ended"    //
	CodeWithdrawn       Code = "withdrawn"        //
	CodeGrantRefused    Code = "grant-refused"    //
	CodeDigestMismatch  Code = "digest-mismatch"  //
	CodeOtherAccount    Code = "other-account"    // the form of a decision was shown to somebody else
	CodeNoGrant         Code = "no-grant"         //
	CodeNotAdmin        Code = "not-admin"        //
	CodeNoBreakGlass    Code = "no-break-glass"   // role
	CodeGlassUnreviewed Code = "glass-unreviewed" // id, role
	CodeGlassUntold     Code = "glass-untold"     //
	CodeGlassUnseen     Code = "glass-unseen"     // channel
	CodeNoReview        Code = "no-review"        //
	CodeReviewed        Code = "already-reviewed" // by

	// Passkeys.
	CodeNoPasskeys        Code = "no-passkeys"        //
	CodeUnknownPasskey    Code = "unknown-passkey"    //
	CodePasskeyKnown      Code = "passkey-known"      //
	CodePasskeyName       Code = "passkey-name"       //
	CodeTooManyPasskeys   Code = "too-many-passkeys"  // max
	CodeOwnPasskey        Code = "own-passkey"        //
	CodeNoPasskey         Code = "no-passkey"         //
	CodePasskeyUnapproved Code = "passkey-unapproved" //
	CodePasskeyYoung      Code = "passkey-young"      // until
	CodePasskeySynced     Code = "passkey-synced"     //
	CodePasskeyNotMade    Code = "passkey-not-made"   //
	CodeSignatureMissing  Code = "signature-missing"  //
	CodeSignatureInvalid  Code = "signature-invalid"  //

	// What the platform says.
	CodeRequesterLost      Code = "requester-lost"      // principal, role, resource
	CodeServiceNotAllowed  Code = "service-not-allowed" // permission, resource, account
	CodeRoleNotGrantable   Code = "role-not-grantable"  // role, resource
	CodeBasicRoleRefused   Code = "basic-role-refused"  // role
	CodeApproversTooLong   Code = "approvers-too-long"  // count, max
	CodeMemberUnknown      Code = "member-unknown"      // principal
	CodePlatformRefused    Code = "platform-refused"    // reason
	CodeCallRefused        Code = "call-refused"        // service, reason
	CodePolicyFull         Code = "policy-full"         // count, max, resource
	CodeTooManyGrants      Code = "too-many-grants"     // count, max, role
	CodeTooManyRecords     Code = "too-many-records"    // count, max, role, until
	CodeConditionTooLong   Code = "condition-too-long"  // count, max
	CodeConflict           Code = "conflict"            // resource
	CodeQuota              Code = "quota"               // service
	CodeAnalysisQuota      Code = "analysis-quota"      //
	CodeScopeRefused       Code = "scope-refused"       // scope, reason
	CodeQueryRefused       Code = "query-refused"       // query, reason
	CodeSecretUnusable     Code = "secret-unusable"     // secret, state
	CodeUpstreamFailed     Code = "upstream-failed"     // service
	CodeUpstreamTimeout    Code = "upstream-timeout"    // service
	CodeUnknownOutcome     Code = "unknown-outcome"     // resource
	CodePolicyAmbiguous    Code = "policy-ambiguous"    // resource, ids
	CodePolicyForm         Code = "policy-form"         // resource
	CodeDirectoryNotSet    Code = "directory-not-set"   //
	CodeSigningNotAllowed  Code = "signing-not-allowed" // account
	CodeJournalUnavailable Code = "journal-unavailable" //
	CodeLedgerUnavailable  Code = "ledger-unavailable"  //
	CodeLedgerDamaged      Code = "ledger-damaged"      // id
	CodeRequestFull        Code = "request-full"        // id
	CodeLedgerOld          Code = "ledger-old"          //
	CodeDeedsDamaged       Code = "deeds-damaged"       // of
	CodeChangedMeanwhile   Code = "changed-meanwhile"   // of
	CodeLeaseHeld          Code = "lease-held"          //

	// Warnings.
	CodeUnattested        Code = "unattested"         //
	CodeUnreadableBinding Code = "unreadable-binding" // role, resource
	CodeGroupUnreadable   Code = "group-unreadable"   // group
	CodePersonUnreadable  Code = "person-unreadable"  // principal
	CodeTimeUnclear       Code = "time-unclear"       // role, resource
	CodeStaleInventory    Code = "stale-inventory"    // seconds
	CodeStaleGroups       Code = "stale-groups"       // seconds
	CodeAnalysisPartial   Code = "analysis-partial"   // reason
	CodeInventoryOnly     Code = "inventory-only"     // resource
	CodeNamedUnseen       Code = "named-unseen"       // resource
	CodeNamedOutside      Code = "named-outside"      // resource, scope
	CodeNamedLeaving      Code = "named-leaving"      // resource
	CodeMoved             Code = "moved"              // resource, parent
	CodeTreeUnconfirmed   Code = "tree-unconfirmed"   // resource, parent
	CodePolicyNearlyFull  Code = "policy-nearly-full" // count, max, resource
	CodeGrantUnknown      Code = "grant-unknown"      // id, principal, resource
	CodeNotDelivered      Code = "not-delivered"      // recipient, channel
	CodeNotPublished      Code = "not-published"      // channel
	CodeNotCalledBack     Code = "not-called-back"    // application
	CodeNoChannel         Code = "no-channel"         //
	CodeNotGranted        Code = "not-granted"        // role
	CodeOutcomeUnrecorded Code = "outcome-unrecorded" //
	CodeRecordedLater     Code = "recorded-later"     //
	CodeLongLink          Code = "long-link"          // count, max
	CodeNotYetGranted     Code = "not-yet-granted"    //
	CodeChangesetPending  Code = "changeset-pending"  // resource, changesets
	CodeChangesetUnknown  Code = "changeset-unknown"  // resource

	// What makes nobody eligible (Ineffective).
	CodeNotUnderstood     Code = "not-understood"      // reason
	CodeMarkerMisspelled  Code = "marker-misspelled"   // found, meant
	CodeMarkerMisplaced   Code = "marker-misplaced"    // found, meant
	CodeMarkerGrants      Code = "marker-grants"       // found
	CodeMarkerGrantsParts Code = "marker-grants-parts" // found
	CodeBasicRole         Code = "basic-role"          //
	CodeEligibilityOver   Code = "eligibility-over"    // until
	CodeEligibilityAhead  Code = "eligibility-ahead"   // from
	CodeMemberNobody      Code = "member-nobody"       // member
	CodeMemberEverybody   Code = "member-everybody"    // member
	CodeMemberDomain      Code = "member-domain"       // member, catalog
	CodeMemberDeleted     Code = "member-deleted"      // member
	CodeMemberMisspelled  Code = "member-misspelled"   // member
	CodeGroupsInGroup     Code = "groups-in-group"     // group, count, catalog
	CodeEverybodyInGroup  Code = "everybody-in-group"  // group
)
