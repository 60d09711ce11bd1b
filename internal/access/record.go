package access

import (
	"slices"
	"time"
)

// Action is what an event is about.
type Action string

const (
	RequestMade     Action = "request made"    // somebody asked for the approval of peers
	ReviewersAdded  Action = "reviewers added" // the principal of a request asks more people
	SelfApproved    Action = "self-approved"   // somebody activates on their own; the grant follows
	RequestApproved Action = "approved"        // a reviewer approved; the grant follows the last approval
	RequestDenied   Action = "denied"          // a reviewer refused
	GrantWritten    Action = "granted"         // the grant stands, wholly or in part (see Outcomes)
	GrantFailed     Action = "grant failed"    // nothing was granted
	EndAsked        Action = "end asked"       // somebody ends a grant early; the ending follows
	GrantEnded      Action = "ended"           // it has been ended
	EndFailed       Action = "end failed"      // it has not
	ActionRefused   Action = "refused"         // somebody was not allowed what they tried, or it was invalid
	NoticeFailed    Action = "notice failed"   // somebody could not be told

	// These need memory.
	RequestWithdrawn Action = "withdrawn"    // its principal, or an admin, takes it back before it is decided
	GlassBroken      Action = "broken glass" // somebody has access at once that others would have to approve; the grant follows
	GlassReviewed    Action = "reviewed"     // somebody has looked at a broken glass afterwards
	Reminded         Action = "reminded"     // those who were asked, or the holder before the end, are told again
	Escalated        Action = "escalated"    // others are told of a request that waits
	RequestLapsed    Action = "lapsed"       // nobody decided in time
	GrantExpired     Action = "expired"      // the window is over
	// GrantTakenIn is the first event of a request that nobody made here: its grant was
	// found. It is no approval, and no grant comes of it.
	GrantTakenIn Action = "taken in"

	// MailBounced is what a mail says, which anybody may have written: that one about the request
	// came back. Nothing of the request changes by it but that it is known.
	MailBounced Action = "mail bounced"
	// NoticeGivenUp is that somebody could not be told, for as long as it is tried. As with what a
	// mail says, nothing of the request changes by it.
	NoticeGivenUp Action = "notice given up"

	// These are of a passkey, and of no request: Event.Passkey says which, Event.Request has
	// whose it is, and nothing else.
	PasskeyEnrolled Action = "passkey enrolled"
	PasskeyApproved Action = "passkey approved" // somebody else says that it is its holder's
	PasskeyRemoved  Action = "passkey removed"

	// These are of an application that is managed by page, and of no request: Event.Change says
	// what was done.
	ApplicationChanged  Action = "application changed"
	ApplicationProposed Action = "application change proposed" // it holds once another administrator agrees
	ApplicationAgreed   Action = "application change agreed"
	ApplicationDropped  Action = "application change dropped"
	ApplicationAlone    Action = "application changed alone" // it lets more happen, and there is nobody else who could agree

	// Reconciled is of no request: all that stands was held against what is remembered
	// (Event.Round).
	Reconciled Action = "reconciled"
)

// ApplicationChange is what an administrator did to an application that is managed by page.
type ApplicationChange struct {
	Application string
	// Number is that of the deed that it is, By whose, and At when.
	Number int
	By     Principal
	At     time.Time
	// What is of what it is a change: "created", "active", "uri", "keys", "hosts", and
	// "template KEY".
	What []string
}

// IsIntent is whether something is done only if the event can be recorded. The others
// say what became of it, or that it was refused; they are facts already.
func (a Action) IsIntent() bool {
	return slices.Contains([]Action{RequestMade, ReviewersAdded, SelfApproved, RequestApproved, RequestDenied, EndAsked,
		RequestWithdrawn, GlassBroken, GlassReviewed, Reminded, Escalated, GrantTakenIn}, a)
}

// IsRemark is whether it only adds to what is known of a request, and changes nothing of it.
func (a Action) IsRemark() bool { return a == MailBounced || a == NoticeGivenUp }

// Event is one line of the journal and one entry of a ledger.
type Event struct {
	Action Action
	At     time.Time
	Caller Caller
	// Request is what it is about. When ending or refusing, only what is known of
	// it is set.
	Request Request
	// Decision is set when approving, denying, and reviewing a broken glass.
	Decision Decision
	// Requirements are what the approvals were counted against, when approving.
	Requirements []Requirement
	// Window is what was or will be granted, or when refusing would have been; zero
	// where there is none.
	Window   Window
	Outcomes []Outcome
	// Warnings are what could not be made sure of when it was granted.
	Warnings []*Error
	// Err is why, for failures and refusals.
	Err error
	// Trying says what was tried, for ActionRefused: one of the other actions.
	Trying Action
	// Passkey is Passkey.ID of what it is about.
	Passkey string
	// Change is what was done to an application.
	Change ApplicationChange
	// Bounce is set in MailBounced.
	Bounce Bounce
	// Round is set in Reconciled.
	Round Round
	// Follows, where it is not nil, is set by a store that remembers when it has recorded the
	// event: whether nothing was recorded between Request.Version and it.
	Follows *bool
}

// Bounce is what a mail says of another one that could not be delivered. Who wrote it is not
// known: whoever has seen the other one can have.
type Bounce struct {
	// To is whose mail came back; empty where that is not said.
	To Principal
	// Status is the enhanced status code, as "5.1.1" (RFC 3463), and Text what the mail server
	// said, on one line. Either may be empty.
	Status, Text string
	// Meaning and Remedy are two sentences for an operator; empty where nothing is known of it.
	Meaning, Remedy string
	// At is when it was read.
	At time.Time
}

// NoticeKind is what people are told.
type NoticeKind string

const (
	// NoticeReview asks reviewers for a decision.
	NoticeReview NoticeKind = "review"
	// NoticeApproved and NoticeDenied tell how it was decided.
	NoticeApproved NoticeKind = "approved"
	NoticeDenied   NoticeKind = "denied"
	// NoticeWithdrawn tells that there is nothing left to decide.
	NoticeWithdrawn NoticeKind = "withdrawn"
	// NoticeReminder asks again those who have not decided; NoticeEscalated tells others that
	// a request waits, who decide nothing by it.
	NoticeReminder  NoticeKind = "reminder"
	NoticeEscalated NoticeKind = "escalated"
	// NoticeEnding tells the holder of a grant that it ends soon.
	NoticeEnding NoticeKind = "ending"
	// NoticeEnded tells that somebody else than its holder has ended access early.
	NoticeEnded NoticeKind = "ended"
	// NoticeGlass tells those who would have been asked, and those who look at it
	// afterwards, that somebody breaks the glass; NoticeGlassReviewed tells them who did
	// that what was said of it.
	NoticeGlass         NoticeKind = "broken-glass"
	NoticeGlassReviewed NoticeKind = "glass-reviewed"
	// NoticeBounced tells that a mail says that another one came back.
	NoticeBounced NoticeKind = "bounced"
	// NoticeSelfApproved is for machines that listen; people get no mail of it.
	NoticeSelfApproved NoticeKind = "self-approved"
	// NoticeChanged is for the application that made a request: what became of it. Nobody else
	// is told by it.
	NoticeChanged NoticeKind = "changed"
	// NoticePasskeyAdded, NoticePasskeyApproved and NoticePasskeyRemoved tell what happened to a
	// passkey. There is no request.
	NoticePasskeyAdded    NoticeKind = "passkey-added"
	NoticePasskeyApproved NoticeKind = "passkey-approved"
	NoticePasskeyRemoved  NoticeKind = "passkey-removed"
	// NoticeChangeWaits asks administrators to agree to what another one wants to change of an
	// application; NoticeChangedAlone tells that one changed it without others, who could have
	// agreed. There is no request.
	NoticeChangeWaits  NoticeKind = "application-waits"
	NoticeChangedAlone NoticeKind = "application-alone"
	// NoticeReconciled tells administrators in what that which stands differs from what is
	// remembered. There is no request.
	NoticeReconciled NoticeKind = "reconciled"
	// NoticeHappened is of all else that happens to a request (Notice.Did), for channels that
	// tell of everything (Channel.Everything); people get no mail of it.
	NoticeHappened NoticeKind = "happened"
)

// OfApplication is whether it tells of a change of an application, and of no request.
func (k NoticeKind) OfApplication() bool { return k == NoticeChangeWaits || k == NoticeChangedAlone }

// OfPasskey is whether it tells of a passkey, and of no request.
func (k NoticeKind) OfPasskey() bool {
	return k == NoticePasskeyAdded || k == NoticePasskeyApproved || k == NoticePasskeyRemoved
}

// Notice is something that people are to be told. Who is told is decided once, by
// the broker.
type Notice struct {
	// ID names it among all notices, where a store is to keep it until it is sent; one
	// without is not kept.
	ID   string
	Kind NoticeKind
	// Did is what happened, and At when.
	Did     Action
	At      time.Time
	Request Request
	// To is who must act or know, CC is who should; together never empty, but in NoticeChanged
	// and NoticeHappened.
	To, CC []Principal
	// Left is to whom it is still to be told, where others were told before; nil is all.
	Left []Target
	// Earlier are receipts of what was told of the request before, the oldest first, of
	// channels that change what they sent (Channel.Updates). It is not kept with the notice.
	Earlier Receipts
	// Later: it is not told in the action that records it, but by the next sweep.
	Later bool
	// Decision is set in NoticeApproved, NoticeDenied and NoticeGlassReviewed.
	Decision Decision
	// By is who did what it tells of, in NoticeReview, NoticeWithdrawn, NoticeEnded and NoticeHappened;
	// an application is as in OfApplication. Empty is nobody, or not known.
	By Principal
	// Bounce is set in NoticeBounced.
	Bounce Bounce
	// Declined is who has declined before, as far as it is known, in NoticeReview.
	Declined []Decision
	// Window is what was granted, or would be if it were approved at once; zero where that
	// was not looked up.
	Window Window
	// Outcomes are what became of each role, in NoticeApproved.
	Outcomes []Outcome
	// Final is whether a denial cannot be overturned by another reviewer; without
	// memory it can, and the word is "declined".
	Final bool
	// Roles describes the roles in the order of Request.Entitlements; entries may
	// be zero.
	Roles []RoleInfo
	// Passkey is what it tells of, as it is then, where it tells of one (OfPasskey); of Request
	// there is only the Principal then, who is its holder.
	Passkey Passkey
	// Change is what it tells of, where it tells of a change of an application (OfApplication).
	Change ApplicationChange
	// Round is what NoticeReconciled tells of, and Differences are some of those that were found.
	Round       Round
	Differences []Difference
	// ReviewURL opens the request, or what else it tells of; BaseURL is the home page. Both
	// absolute.
	ReviewURL, BaseURL string
}

// Channel is one way to tell of something.
type Channel struct {
	// Name is "mail", "pubsub", …
	Name string
	// People is whether it reaches people. What only machines read may reach nobody.
	People bool
	// Everything is whether it tells of what people get no mail of (NoticeHappened), too.
	Everything bool
	// Unseen is whether what it takes is not yet shown to anybody, and nobody learns of it where it
	// is not.
	Unseen bool
	// Updates is whether it changes what it sent before, by receipts of it (Notice.Earlier).
	Updates bool
}

// Target is to whom a channel is to tell of something. To is empty where the channel
// addresses nobody in particular.
type Target struct {
	Channel string    `json:"channel"`
	To      Principal `json:"to,omitempty"`
}

// Through is the notice as a channel is to tell it: only to whom it is left to be told there,
// if some were told before. False where nobody is left.
func (n Notice) Through(channel string) (Notice, bool) {
	if n.Left == nil {
		return n, true
	}
	told := func(p Principal) bool { return !slices.Contains(n.Left, Target{channel, p}) }
	if told("") { // otherwise the channel addresses nobody in particular
		n.To, n.CC = slices.DeleteFunc(slices.Clone(n.To), told), slices.DeleteFunc(slices.Clone(n.CC), told)
		return n, len(n.To)+len(n.CC) > 0
	}
	return n, true
}

// Receipt is what became of a notice, for one of those to whom it went.
type Receipt struct {
	// To is who was told; empty where a channel addresses nobody.
	To      Principal
	Channel string
	// Ref is the channel's own name of what was sent, by which it can be found there or
	// changed: the Message-ID of a mail without its brackets, the id of a message. Empty
	// when nothing was sent or the channel gives no name.
	Ref string
	// Err is why it could not be told; nil means that the channel took it, which is not
	// yet that anybody has it.
	Err error
}

// Receipts are those of a notice.
type Receipts []Receipt

// Failed are those who could not be told; nil when all were.
func (r Receipts) Failed() Receipts {
	var failed Receipts
	for _, each := range r {
		if each.Err != nil {
			failed = append(failed, each)
		}
	}
	return failed
}

// Targets are to whom they are, each once.
func (r Receipts) Targets() []Target {
	var targets []Target
	for _, each := range r {
		if t := (Target{each.Channel, each.To}); !slices.Contains(targets, t) {
			targets = append(targets, t)
		}
	}
	return targets
}

// Limits is what a store cannot do.
type Limits struct {
	// LinkLife is for how long after a request was made the store opens it at most; 0
	// says nothing of it.
	LinkLife time.Duration
	// Forgets: decisions are not remembered. A denial is not final, there is no
	// history, and only the provider knows what was granted.
	Forgets bool
}

// AsKept is a time as it is read again from where it is kept: in UTC, whole microseconds.
func AsKept(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
