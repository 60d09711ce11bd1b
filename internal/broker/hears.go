package broker

import (
	"slices"

	"jitaccess/internal/access"
)

// audience is what somebody is to a request.
type audience string

const (
	nobody       audience = "–"
	requester    audience = "the requester"
	newReviewers audience = "the new reviewers"
	allReviewers audience = "every reviewer"
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
	{access.SelfApproved, "somebody activates without others", access.NoticeSelfApproved, requester, nobody, true},
	{access.GrantFailed, "what was approved cannot be granted", "", nobody, nobody, false},
	{access.EndAsked, "somebody ends access early", "", nobody, nobody, false},
}

// notice begins what people are told of what was done to a request. added are the
// reviewers who are new to it.
func (b *Broker) notice(did access.Action, r access.Request, added []access.Principal) access.Notice {
	h := hearings[slices.IndexFunc(hearings, func(h hearing) bool { return h.did == did })]
	people := func(a audience) []access.Principal {
		switch a {
		case requester:
			return []access.Principal{r.Principal}
		case newReviewers:
			return added
		case allReviewers:
			return b.later.withAdded(r, b.c.Now())
		}
		return nil
	}
	return access.Notice{Kind: h.kind, Request: r, To: people(h.to), CC: people(h.cc)}
}
