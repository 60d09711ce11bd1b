package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// Who is told of an event besides those whom its action tells: the application that asked, if it
// said where, of what becomes of it; and channels that tell of everything, of what people get no
// mail of. It is kept in the outbox with the event, like all that is told, told at once in an
// action of somebody, and by the sweep that recorded it otherwise. An application gets a hint: it
// asks for what is true.

// changing are the actions after which a request may stand where its application is told of.
var changing = []access.Action{access.RequestDenied, access.RequestWithdrawn, access.RequestLapsed, access.GrantWritten, access.GrantFailed,
	access.GrantEnded, access.GrantExpired}

// alsoTold is what is told of an event besides told.
func (b *Broker) alsoTold(e access.Event, told []access.Notice) (more []access.Notice) {
	callback := e.Request.Asking.Callback != "" && slices.Contains(changing, e.Action)
	happened := b.unheard(e.Action, told)
	if !callback && !happened {
		return nil
	}
	next, err := e.Request.Apply(e)
	if err != nil && b.memory() != nil {
		return nil // a fact that nothing can be made of
	}
	add := func(n access.Notice) {
		if n.ID = b.noticeID(); n.ID != "" {
			n.ID = access.Besides + n.ID
		}
		n.Did, n.At, n.Request, n.Later = e.Action, e.At, next, e.Caller.Method == access.MethodSystem
		more = append(more, n)
	}
	if callback && next.State != e.Request.State && next.State != access.Pending {
		add(access.Notice{Kind: access.NoticeChanged})
	}
	// The last approval is told of with what is granted.
	if happened && (e.Action != access.RequestApproved || next.State == access.Pending) {
		n := access.Notice{Kind: access.NoticeHappened, By: e.Caller.Principal, Decision: e.Decision, Window: e.Window, Outcomes: e.Outcomes}
		if b.c.Origin != "" {
			n.BaseURL = b.c.Origin + "/"
			if b.memory() != nil {
				n.ReviewURL = reviewURL(b.c.Origin, next.ID, next)
			}
		}
		add(n)
	}
	return more
}

// unheard is whether a channel tells of everything, and nobody is told otherwise.
func (b *Broker) unheard(did access.Action, told []access.Notice) bool {
	return slices.ContainsFunc(hearings, func(h hearing) bool { return h.did == did && h.kind == access.NoticeHappened }) &&
		!slices.ContainsFunc(told, func(n access.Notice) bool { return n.Did == did }) &&
		slices.ContainsFunc(b.c.Notifier.Channels(), func(c access.Channel) bool { return c.Everything })
}

// How long an action, for which somebody waits, tells of it: callTime where the outbox keeps what
// was not told, and tells it again a minute later; callTimeOnce where nobody else will.
const (
	callTime     = time.Second
	callTimeOnce = 5 * time.Second
)

// tellAlso tells what is not told later. What fails is in the journal, and in the outbox: nobody
// who acts on a request can do anything about it. Who answers too late is told again: what was
// sent is the same, under the same id.
func (b *Broker) tellAlso(ctx context.Context, caller access.Caller, notices []access.Notice) {
	bound := callTime
	if b.memory() == nil {
		bound = callTimeOnce
	}
	var calls sync.WaitGroup
	for _, n := range notices {
		if !n.Later {
			calls.Go(func() { b.reckon(ctx, caller, n, b.through(ctx, bound, n)) })
		}
	}
	calls.Wait()
}
