package broker

import (
	"context"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// audience is what somebody is to a request.
type audience string

const (
	nobody       audience = "–"
	requester    audience = "the requester"
	newReviewers audience = "the new reviewers"
	allReviewers audience = "every reviewer"
	waitedFor    audience = "every reviewer who has not decided"
	escalated    audience = "whom the rule names"
	approvers    audience = "who approved"
	admins       audience = "admins"
	watchers     audience = "who would have been asked, who may review it, auditors"
	holder       audience = "its holder"
	vouching     audience = "its holder, administrators who may approve it"
	auditing     audience = "auditors"
	agreeing     audience = "administrators who may agree"
)

// hearing is a row of the table of who hears what.
type hearing struct {
	// did is what somebody did, what the same in words.
	did  access.Action
	what string
	// kind is what people are told; empty is nothing at all.
	kind access.NoticeKind
	// to is who must act or know, cc who should.
	to, cc audience
	// machines is whether only machines that listen are told: people get no mail.
	machines bool
}

// hearings says who hears of what, and nothing else does. docs/notifications.md has
// the same table; a test compares them.
var hearings = []hearing{
	{access.RequestMade, "somebody asks reviewers", access.NoticeReview, allReviewers, requester, false},
	{access.ReviewersAdded, "the requester asks more people", access.NoticeReview, newReviewers, nobody, false},
	{access.RequestApproved, "a reviewer approves", access.NoticeApproved, requester, allReviewers, false},
	{access.RequestDenied, "a reviewer denies or declines", access.NoticeDenied, requester, allReviewers, false},
	{access.RequestWithdrawn, "a request is withdrawn", access.NoticeWithdrawn, allReviewers, requester, false},
	{access.Reminded, "a request has waited for some time", access.NoticeReminder, waitedFor, nobody, false},
	{access.Escalated, "it has waited for as long as its rule says", access.NoticeEscalated, escalated, nobody, false},
	{access.Reminded, "access is about to end", access.NoticeEnding, requester, nobody, false},
	{access.SelfApproved, "somebody activates without others", access.NoticeSelfApproved, requester, nobody, true},
	{access.GlassBroken, "somebody breaks the glass", access.NoticeGlass, watchers, nobody, false},
	{access.GlassReviewed, "a broken glass is reviewed", access.NoticeGlassReviewed, requester, nobody, false},
	{access.GrantEnded, "somebody else than its holder ends access early", access.NoticeEnded, requester, approvers, false},
	{access.MailBounced, "a mail says that one of these came back", access.NoticeBounced, requester, admins, false},
	{access.PasskeyEnrolled, "somebody adds a passkey", access.NoticePasskeyAdded, vouching, nobody, false},
	{access.PasskeyApproved, "an administrator approves it", access.NoticePasskeyApproved, holder, auditing, false},
	{access.PasskeyRemoved, "it is removed", access.NoticePasskeyRemoved, holder, nobody, false},
	{access.ApplicationProposed, "a change of an application waits for a second administrator", access.NoticeChangeWaits, agreeing,
		nobody, false},
	{access.ApplicationAlone, "the only administrator lets an application do more", access.NoticeChangedAlone, auditing, nobody, false},
	{access.Reconciled, "what stands and what is remembered differ, once a week", access.NoticeReconciled, admins, nobody, false},
	// What people get no mail of.
	{access.RequestApproved, "it is not the last approval that it takes", access.NoticeHappened, nobody, nobody, true},
	{access.RequestLapsed, "nobody decides in time", access.NoticeHappened, nobody, nobody, true},
	{access.GrantFailed, "what was approved cannot be granted", access.NoticeHappened, nobody, nobody, true},
	{access.GrantEnded, "its holder ends access early", access.NoticeHappened, nobody, nobody, true},
	{access.GrantExpired, "access is over", access.NoticeHappened, nobody, nobody, true},
}

// notice begins what people are told of what was done to a request. some are the
// reviewers who are new to it, who approved it, or the watchers.
func (b *Broker) notice(did access.Action, r access.Request, some []access.Principal) access.Notice {
	return b.noticeOf(hearingOf(did), r, some)
}

func hearingOf(did access.Action) hearing {
	return hearings[slices.IndexFunc(hearings, func(h hearing) bool { return h.did == did })]
}

func (b *Broker) noticeOf(h hearing, r access.Request, some []access.Principal) access.Notice {
	administrators, _ := spelledOut(b.c.Admins)
	people := map[audience][]access.Principal{admins: administrators,
		requester: {r.Principal}, newReviewers: some, approvers: some, watchers: some, allReviewers: b.later.asked(r, b.c.Now()),
		waitedFor: b.waitedFor(r), escalated: escalatedTo(r)}
	n := b.to(h, people)
	n.Request = r
	return n
}

func (b *Broker) to(h hearing, people map[audience][]access.Principal) access.Notice {
	return access.Notice{ID: b.noticeID(), Kind: h.kind, Did: h.did, At: b.c.Now(), To: addresses(people[h.to]), CC: addresses(people[h.cc])}
}

// keyNotice is what people are told of what was done to a passkey, which is as it is then. An
// administrator may approve it who is another human than its holder.
func (b *Broker) keyNotice(did access.Action, k access.Passkey) access.Notice {
	admins, _ := spelledOut(b.c.Admins)
	admins = slices.DeleteFunc(admins, func(p access.Principal) bool { return b.human(p) == b.human(k.Of) })
	auditors, _ := spelledOut(b.c.Auditors)
	n := b.to(hearingOf(did), map[audience][]access.Principal{holder: {k.Of}, vouching: append([]access.Principal{k.Of}, admins...),
		auditing: auditors})
	n.Request.Principal, n.Passkey, n.BaseURL, n.ReviewURL = k.Of, k, b.c.Origin+"/", b.c.Origin+passkeysPath
	return n
}

// passkeysPath is of the page of passkeys.
const passkeysPath = "/passkeys"

// addresses are where people and groups get mail, in their order, each once. Of an application
// nobody knows where its people do.
func addresses(people []access.Principal) []access.Principal {
	var to []access.Principal
	for _, p := range people {
		if !slices.Contains(to, p.Address()) && !p.IsSpelled() {
			to = append(to, p.Address())
		}
	}
	return to
}

// tellTime bounds the telling of people, so that a mail server that hangs does not
// eat the action's time.
const tellTime = 10 * time.Second

// tell notifies people and returns who could not be told, as warnings.
func (b *Broker) tell(ctx context.Context, caller access.Caller, n access.Notice) []*access.Error {
	if len(b.c.Notifier.Channels()) == 0 {
		warnings := b.settle(ctx, access.Message{ID: n.ID, Notice: n, Lease: n.ID}, nil)
		if n.Kind == access.NoticeReview {
			return append(warnings, &access.Error{Kind: access.Unavailable, Code: access.CodeNoChannel})
		}
		return warnings
	}
	return b.reckon(ctx, caller, n, b.notify(ctx, n))
}

func (b *Broker) notify(ctx context.Context, n access.Notice) access.Receipts {
	if b.forgets && n.Request.ID != "" {
		b.told.add(n.Request)
	}
	return b.through(ctx, tellTime, n)
}

// through tells through all channels, for some time at most, which takes none from remembering what
// became of it. One that changes what it sent before hears what that was, unless Earlier says that
// there is nothing to change, and what it sends now is remembered. A memory that is out of reach
// costs no more than that something is sent anew.
func (b *Broker) through(ctx context.Context, most time.Duration, n access.Notice) access.Receipts {
	tell := func() access.Receipts {
		ctx, cancel := context.WithTimeout(ctx, most)
		defer cancel()
		return b.c.Notifier.Notify(ctx, n)
	}
	updates := map[string]bool{}
	for _, c := range b.c.Notifier.Channels() {
		if c.Updates && b.memory() != nil {
			updates[c.Name] = true
		}
	}
	if len(updates) == 0 || n.Request.ID == "" { // what was sent is known by requests
		return tell()
	}
	if n.Earlier == nil {
		n.Earlier, _ = timed(b, ctx, func(ctx context.Context) (access.Receipts, error) { return b.memory().Receipts(ctx, n.Request.ID) })
	}
	receipts := tell()
	changeable := slices.DeleteFunc(slices.Clone(receipts), func(r access.Receipt) bool {
		known := func(e access.Receipt) bool { return e.Channel == r.Channel && e.Ref == r.Ref }
		return !updates[r.Channel] || r.Ref == "" || slices.ContainsFunc(n.Earlier, known)
	})
	if len(changeable) > 0 {
		_, _ = timed(b, ctx, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, b.memory().Told(ctx, n.Request.ID, changeable)
		})
	}
	return receipts
}

// reckon records who could not be told, and returns them as warnings.
func (b *Broker) reckon(ctx context.Context, caller access.Caller, n access.Notice, receipts access.Receipts) []*access.Error {
	failed := receipts.Failed()
	warnings := b.settle(ctx, access.Message{ID: n.ID, Notice: n, Made: b.c.Now(), Lease: n.ID}, failed)
	if n.Kind == access.NoticeReview && n.Request.Terms.NotifyOnly && !slices.ContainsFunc(b.c.Notifier.Channels(),
		func(c access.Channel) bool { return c.People && n.Request.Terms.Tells(c) }) {
		warnings = append(warnings, &access.Error{Kind: access.Unavailable, Code: access.CodeNoChannel})
	}
	for _, u := range failed {
		warning := notTold(n, u)
		warnings = append(append(warnings, warning), b.recordUntold(ctx, caller, access.NoticeFailed, n, warning)...)
	}
	return warnings
}

// notTold is the error of not having told somebody.
func notTold(n access.Notice, u access.Receipt) *access.Error {
	e := &access.Error{Kind: access.Unavailable, Code: access.CodeNotDelivered,
		Args: access.Args{"recipient": string(u.To), "channel": u.Channel}, Err: u.Err}
	switch {
	case n.Kind == access.NoticeChanged:
		e.Code, e.Args = access.CodeNotCalledBack, access.Args{"application": n.Request.Asking.Application}
	case u.To == "":
		e.Code, e.Args = access.CodeNotPublished, access.Args{"channel": u.Channel}
	}
	return e
}

// recordUntold records that somebody could not be told. The warnings are that it could not be.
func (b *Broker) recordUntold(ctx context.Context, caller access.Caller, did access.Action, n access.Notice,
	why *access.Error) []*access.Error {
	event := b.event(caller, did, n.Request)
	event.Err = why
	_, unrecorded, _ := b.commit(ctx, event)
	return unrecorded
}
