package broker

import (
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

// later remembers who was added to a request's reviewers after its first link was
// given out: where the link is the record, that link does not know of them, and they
// too are to hear how it was decided. It is of this instance only.
type later struct {
	mu    sync.Mutex
	added map[string]addition
}

type addition struct {
	people []access.Principal
	until  time.Time
}

// add remembers people until the request cannot be decided any more.
func (l *later) add(r access.Request, people []access.Principal, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, a := range l.added {
		if now.After(a.until) {
			delete(l.added, key)
		}
	}
	key := apartFromReviewers(r)
	if l.added == nil {
		l.added = map[string]addition{}
	}
	if before, ok := l.added[key]; ok || len(l.added) < recentCount {
		all := slices.Concat(before.people, people)
		slices.Sort(all)
		l.added[key] = addition{slices.Compact(all), r.Expires}
	}
}

// withAdded is who was asked according to the link, and who was added since.
func (l *later) withAdded(r access.Request, now time.Time) []access.Principal {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(r.Reviewers)
	if a, ok := l.added[apartFromReviewers(r)]; ok && !now.After(a.until) {
		for _, p := range a.people {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

// apartFromReviewers is the same for one request whoever is asked.
func apartFromReviewers(r access.Request) string {
	r.Reviewers = nil
	return r.Digest()
}
