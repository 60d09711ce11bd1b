package broker

import (
	"context"
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
	detached := context.WithoutCancel(ctx)
	if !ok {
		return context.WithTimeout(detached, actionTime)
	}
	return context.WithDeadline(detached, deadline)
}

func (b *Broker) event(caller access.Caller, action access.Action, r access.Request) access.Event {
	return access.Event{Action: action, At: b.c.Now(), Caller: caller, Request: r}
}

// record writes an intent. What cannot be recorded is not done.
func (b *Broker) record(ctx context.Context, e access.Event) error {
	if err := b.c.Journal.Record(ctx, e); err != nil {
		return &access.Error{Kind: access.Unavailable, Code: access.CodeJournalUnavailable, Err: err}
	}
	return nil
}

// refuse journals that somebody was refused what they tried, and returns why. That
// the journal cannot be written changes nothing about a refusal.
func (b *Broker) refuse(ctx context.Context, caller access.Caller, trying access.Action, r access.Request, err error) error {
	event := b.event(caller, access.ActionRefused, r)
	event.Trying, event.Err = trying, err
	if r.Duration > 0 {
		event.Window = r.WindowAt(event.At)
	}
	_ = b.c.Journal.Record(ctx, event)
	return err
}

// recordOutcome writes what became of an intent; by then it is too late to refuse,
// so a journal that fails is a warning.
func (b *Broker) recordOutcome(ctx context.Context, e access.Event) []*access.Error {
	if err := b.c.Journal.Record(ctx, e); err != nil {
		return []*access.Error{{Kind: access.Unavailable, Code: access.CodeOutcomeUnrecorded, Err: err}}
	}
	return nil
}
