package broker

import (
	"context"
	"maps"
	"slices"
	"sync"
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
	people := map[audience][]access.Principal{
		requester: {r.Principal}, newReviewers: added, allReviewers: b.later.with(r, nil, b.c.Now())}
	return access.Notice{Kind: h.kind, Request: r, To: people[h.to], CC: people[h.cc]}
}

// later remembers who was added to a request's reviewers after its first link was
// given out: where the link is the record, that link does not know of them, and they
// too are to hear how it was decided. It is of this instance only. It is not the
// store's: a link that was opened is shown as what it says, which is what is signed.
type later struct {
	mu    sync.Mutex
	added map[string]addition
}

type addition struct {
	people []access.Principal
	until  time.Time
}

// with is who was asked according to the link, and who was added since. More of them
// are remembered until the request cannot be decided any more.
func (l *later) with(r access.Request, more []access.Principal, now time.Time) []access.Principal {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.added, func(_ string, a addition) bool { return now.After(a.until) })
	key := r.Digest()
	a, known := l.added[key]
	if len(more) > 0 && (known || len(l.added) < recentCount) {
		a = addition{slices.Concat(a.people, more), r.Expires}
		l.added[key] = a
	}
	all := slices.Concat(r.Reviewers, a.people)
	slices.Sort(all)
	return slices.Compact(all)
}

// tellTime bounds the telling of people, so that a mail server that hangs does not
// eat the action's time.
const tellTime = 10 * time.Second

// tell notifies people and returns who could not be told, as warnings.
func (b *Broker) tell(ctx context.Context, caller access.Caller, n access.Notice) []*access.Error {
	if len(b.c.Notifier.Channels()) == 0 {
		if n.Kind == access.NoticeReview {
			return []*access.Error{{Kind: access.Unavailable, Code: access.CodeNoChannel}}
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	var warnings []*access.Error
	for _, u := range b.c.Notifier.Notify(ctx, n).Failed() {
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
