package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// Bounced takes in that a mail says that one of ours about the request with the id came back.
// The mail is no evidence: whoever has seen ours can have written it. So it is journalled,
// remembered, and told to the requester and the admins, of each of those once who may have been told of
// the request, and of all others once, as somebody (Request.Bounces), until bounceTime after it is over;
// nobody is asked, told of the request or let decide by it, and nothing waits for it.
//
// known is whether the request is known here; of others nothing is done. The error says that it
// has to be taken in again later. Without memory only those are known of which this instance has
// told, and two instances may tell of the same.
func (b *Broker) Bounced(ctx context.Context, id string, came access.Bounce) (known bool, err error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	came.At = b.c.Now()
	var r access.Request
	if b.forgets {
		news := false
		whose := func(r access.Request) access.Bounce { came.To = b.whoseMail(r, came.To); return came }
		if r, known, news = b.told.bounced(id, whose); !news {
			return known, nil
		}
	} else {
		r, err = b.open(ctx, id)
		if slices.Contains(spoiled, codeOf(err)) {
			return false, nil
		}
		if came.To = b.whoseMail(r, came.To); err != nil || !r.Bounces(came) || b.c.Now().After(lastOf(r).Add(bounceTime)) {
			return err == nil, err
		}
	}
	event := b.event(system, access.MailBounced, r)
	event.Bounce = came
	n := b.notice(access.MailBounced, r, nil)
	// The outbox tells, and not this instance: another one may have taken in the same.
	n.Bounce, n.Later = came, true
	if b.c.Origin != "" {
		n.BaseURL = b.c.Origin + "/"
		if !b.forgets {
			n.ReviewURL = reviewURL(b.c.Origin, r.ID, r)
		}
	}
	var notices []access.Notice
	if len(n.To)+len(n.CC) > 0 {
		notices = append(notices, n)
	}
	_, warnings, err := b.commit(ctx, event, notices...)
	if err == nil {
		err = first(warnings)
	}
	if b.forgets && len(notices) > 0 {
		b.tell(ctx, system, n) // what fails is in the journal
	}
	return true, err
}

// bounceTime is how long after a request is over it is told that mail about it came back. Mail servers
// try for some days (RFC 5321, 4.5.4.1).
const bounceTime = 7 * 24 * time.Hour

// lastOf is until when a request can be decided, or gives access.
func lastOf(r access.Request) time.Time {
	last := r.Created
	for _, t := range []time.Time{r.Expires, r.Fixed.End, r.Window.End} {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// whoseMail is who gets mail of a request at an address; empty for an address at which nobody does
// as far as it is known, which whoever made the bounce up may have chosen.
func (b *Broker) whoseMail(r access.Request, to access.Principal) access.Principal {
	all := append([]access.Principal{r.Principal}, r.Reviewers...)
	for _, d := range r.Decisions {
		all = append(all, d.By)
	}
	named := slices.Concat(b.c.Admins, b.c.Auditors, r.Terms.Glass.ReviewBy)
	for _, e := range r.Terms.Escalations {
		named = append(named, e.To...)
	}
	spelled, _ := spelledOut(named)
	for _, p := range addresses(append(all, spelled...)) {
		if p == to {
			return p
		}
		if b.c.Mailed != nil {
			mailed, err := b.c.Mailed(p)
			if at, bad := access.ParsePrincipal(mailed); err == nil && bad == nil && at == to {
				return p
			}
		}
	}
	return ""
}

// told are the requests of which this instance has told people lately, where nothing else
// remembers them. The zero value is empty.
type told struct {
	mu       sync.Mutex
	requests map[string]access.Request
	order    []string
}

// toldCount is how many of them there are; the oldest goes first.
const toldCount = 1000

func (t *told) add(r access.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.requests == nil {
		t.requests = map[string]access.Request{}
	}
	before, known := t.requests[r.ID]
	if !known {
		t.order = append(t.order, r.ID)
	}
	r.Bounced = before.Bounced
	t.requests[r.ID] = r
	if len(t.order) > toldCount {
		delete(t.requests, t.order[0])
		t.order = t.order[1:]
	}
}

// bounced is the request that somebody was told of, and whether the bounce is news of it; then
// it is none any more.
func (t *told) bounced(id string, whose func(access.Request) access.Bounce) (r access.Request, known, news bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r, known = t.requests[id]; !known {
		return r, known, false
	}
	if came := whose(r); r.Bounces(came) {
		after := r
		after.Bounced = append(slices.Clone(r.Bounced), came.To)
		t.requests[id], news = after, true
	}
	return r, known, news
}
