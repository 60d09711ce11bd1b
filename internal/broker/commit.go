package broker

import (
	"context"
	"errors"
	"time"

	"jitaccess/internal/access"
)

// actionTime is how long an action may take in all, where the caller set no
// deadline of their own.
const actionTime = 25 * time.Second

// detach lets an action go on when the browser goes away: once an intent is
// recorded it is carried through. The deadline stays.
func detach(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(actionTime)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), deadline)
}

func (b *Broker) event(caller access.Caller, action access.Action, r access.Request) access.Event {
	return access.Event{Action: action, At: b.c.Now(), Caller: caller, Request: r}
}

// commit is the one door of every event of every action: into the journal, then into
// the store, with what people are to be told of it. An intent that cannot be recorded
// is not to be carried out: that is the error, and where the store is at fault, the
// refusal stands in the journal too. Of a fact it is a warning. So it is of an ending
// that the store does not take: giving access back needs no memory.
func (b *Broker) commit(ctx context.Context, e access.Event, notices ...access.Notice) (ref string, warnings []*access.Error, err error) {
	unwritten := b.c.Journal.Record(ctx, e)
	if unwritten != nil && e.Action.IsIntent() {
		return "", nil, &access.Error{Kind: access.Unavailable, Code: access.CodeJournalUnavailable, Err: unwritten}
	}
	ref, unkept := b.c.Store.Commit(ctx, e, notices)
	if unkept != nil && e.Action.IsIntent() && e.Action != access.EndAsked {
		if ref != "" && e.Request.Version == 0 {
			if stands, err := b.open(ctx, ref); err == nil && stands.FullDigest() == e.Request.FullDigest() {
				return ref, nil, &sentAgain{stands}
			}
		}
		if e.Caller.Method == access.MethodSystem && access.AsError(unkept).Kind == access.Conflict {
			return "", nil, unkept // another instance was quicker, and nobody tried anything
		}
		return "", nil, b.refuse(ctx, e.Caller, e.Action, e.Request, unkept)
	}
	if lost := errors.Join(unwritten, unkept); lost != nil {
		warnings = []*access.Error{{Kind: access.Unavailable, Code: access.CodeOutcomeUnrecorded, Err: lost}}
	}
	return ref, warnings, nil
}

// sentAgain is the error of making a request that the store has already: the same form
// was sent again, and the request goes on as it stands.
type sentAgain struct{ stands access.Request }

func (s *sentAgain) Error() string { return "the request was made before" }

// intend is commit for what changes a request: an intent on it as it was opened. It
// returns the request as it is then. The error may be a *sentAgain.
func (b *Broker) intend(ctx context.Context, e access.Event, notices ...access.Notice) (access.Request, string, error) {
	next, err := e.Request.Apply(e)
	if err != nil {
		return e.Request, "", b.refuse(ctx, e.Caller, e.Action, e.Request, err)
	}
	ref, _, err := b.commit(ctx, e, notices...)
	return next, ref, err
}

// refuse records that somebody was refused what they tried, and returns why. That it
// cannot be recorded changes nothing about a refusal.
func (b *Broker) refuse(ctx context.Context, caller access.Caller, trying access.Action, r access.Request, err error) error {
	event := b.event(caller, access.ActionRefused, r)
	event.Trying, event.Err = trying, err
	if r.Duration > 0 {
		event.Window = r.WindowAt(event.At)
	}
	_, _, _ = b.commit(ctx, event)
	return err
}
