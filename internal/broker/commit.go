package broker

import (
	"context"
	"errors"
	"slices"
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
// that the store does not take: giving access back needs no memory. And so it is of what
// somebody may do without others, while a store that remembers is out of reach: the journal
// has it, and the store takes it in later.
func (b *Broker) commit(ctx context.Context, e access.Event, notices ...access.Notice) (ref string, warnings []*access.Error, err error) {
	unwritten := b.c.Journal.Record(ctx, e)
	if unwritten != nil && e.Action.IsIntent() {
		return "", nil, &access.Error{Kind: access.Unavailable, Code: access.CodeJournalUnavailable, Err: unwritten}
	}
	more := b.alsoTold(e, notices)
	notices = slices.Concat(notices, more)
	ref, unkept := timed(b, ctx, func(ctx context.Context) (string, error) { return b.c.Store.Commit(ctx, e, notices) })
	if unkept == nil {
		b.tellAlso(ctx, e.Caller, more)
	}
	needless := e.Action == access.SelfApproved || e.Action == access.GlassBroken
	if unkept != nil && e.Action.IsIntent() && e.Action != access.EndAsked && !(needless && outOfReach(unkept)) {
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
	if unkept == nil {
		b.waiting.changed(e.Request.ID, unknownVersion)
	}
	lost := &access.Error{Kind: access.Unavailable, Code: access.CodeOutcomeUnrecorded, Err: errors.Join(unwritten, unkept)}
	switch {
	case lost.Err == nil:
		return ref, nil, nil
	case unwritten == nil && outOfReach(unkept) && (needless || e.Action == access.GrantWritten):
		lost.Code = access.CodeRecordedLater
	}
	return ref, []*access.Error{lost}, nil
}

// memoryTime bounds one call of a store that remembers: a database that hangs must leave
// time for what needs none.
const memoryTime = 5 * time.Second

// timed calls the store within memoryTime, if it remembers. That it took longer is that
// it is out of reach.
func timed[T any](b *Broker, ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	if b.forgets {
		return call(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, memoryTime)
	defer cancel()
	result, err := call(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable, Err: err}
	}
	return result, err
}

// outOfReach is whether a store that remembers cannot be asked now.
func outOfReach(err error) bool {
	e := access.AsError(err)
	return e != nil && e.Code == access.CodeLedgerUnavailable
}

// activate is intend for access that its principal has at once. sent is whether the same
// form was sent before; the request is then as it stands. The warnings say that the store
// will hear of it later.
func (b *Broker) activate(ctx context.Context, e access.Event, notices ...access.Notice) (next access.Request, sent bool,
	warnings []*access.Error, err error) {
	if next, err = e.Request.Apply(e); err != nil {
		return next, false, nil, b.refuse(ctx, e.Caller, e.Action, e.Request, err)
	}
	_, warnings, err = b.commit(ctx, e, notices...)
	if again, ok := errors.AsType[*sentAgain](err); ok {
		return again.stands, true, nil, nil
	}
	return next, false, warnings, err
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
