package broker

import (
	"context"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// An application that said where hears there what becomes of what it asked for. It is kept in
// the outbox with the event, like all that is told, told at once in an action of somebody, and by
// the sweep that recorded it otherwise. It is a hint: the application asks for what is true.

// changing are the actions after which a request may stand where its application is told of.
var changing = []access.Action{access.RequestDenied, access.RequestWithdrawn, access.RequestLapsed, access.GrantWritten, access.GrantFailed,
	access.GrantEnded, access.GrantExpired}

// changed is what the application is told of an event; without an ID nothing.
func (b *Broker) changed(e access.Event) access.Notice {
	if e.Request.Asking.Callback == "" || !slices.Contains(changing, e.Action) {
		return access.Notice{}
	}
	next, err := e.Request.Apply(e)
	if err != nil || next.State == e.Request.State || next.State == access.Pending {
		return access.Notice{}
	}
	return access.Notice{ID: b.noticeID(), Kind: access.NoticeChanged, Request: next, Later: e.Caller.Method == access.MethodSystem}
}

// callTime bounds calling an application back in an action, for which somebody waits.
const callTime = 5 * time.Second

// callBack tells an application what it is to be told. What fails is in the journal, and in the
// outbox: nobody who acts on a request can do anything about it.
func (b *Broker) callBack(ctx context.Context, caller access.Caller, n access.Notice) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	b.reckon(ctx, caller, n, b.c.Notifier.Notify(ctx, n))
}
