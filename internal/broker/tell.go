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
	{access.GrantFailed, "what was approved cannot be granted", "", nobody, nobody, false},
	{access.EndAsked, "somebody ends access early", "", nobody, nobody, false},
	{access.GrantEnded, "it was somebody else than its holder", access.NoticeEnded, requester, approvers, false},
	{access.MailBounced, "a mail says that one of these came back", access.NoticeBounced, requester, admins, false},
}

// notice begins what people are told of what was done to a request. some are the
// reviewers who are new to it, who approved it, or the watchers.
func (b *Broker) notice(did access.Action, r access.Request, some []access.Principal) access.Notice {
	return b.noticeOf(hearings[slices.IndexFunc(hearings, func(h hearing) bool { return h.did == did })], r, some)
}

func (b *Broker) noticeOf(h hearing, r access.Request, some []access.Principal) access.Notice {
	administrators, _ := spelledOut(b.c.Admins)
	people := map[audience][]access.Principal{admins: administrators,
		requester: {r.Principal}, newReviewers: some, approvers: some, watchers: some, allReviewers: b.later.asked(r, b.c.Now()),
		waitedFor: b.waitedFor(r), escalated: escalatedTo(r)}
	return access.Notice{ID: b.noticeID(), Kind: h.kind, Request: r, To: addresses(people[h.to]), CC: addresses(people[h.cc])}
}

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
	if b.forgets {
		b.told.add(n.Request)
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	return b.c.Notifier.Notify(ctx, n)
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
		warning := &access.Error{Kind: access.Unavailable, Code: access.CodeNotDelivered,
			Args: access.Args{"recipient": string(u.To), "channel": u.Channel}, Err: u.Err}
		if u.To == "" {
			warning.Code, warning.Args = access.CodeNotPublished, access.Args{"channel": u.Channel}
		}
		event := b.event(caller, access.NoticeFailed, n.Request)
		event.Err = warning
		_, unrecorded, _ := b.commit(ctx, event)
		warnings = append(append(warnings, warning), unrecorded...)
	}
	return warnings
}
