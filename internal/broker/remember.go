package broker

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// memory is the store as far as it remembers; nil where it forgets.
func (b *Broker) memory() Memory {
	m, _ := b.c.Store.(Memory)
	return m
}

// openToChange opens a request that is about to be changed. A link from before there was
// memory, and what was asked without this service (Foreign), is remembered from now on; a page that is only looked at changes nothing.
//
// What decides it is looked at meanwhile (renew).
func (b *Broker) openToChange(ctx context.Context, ref string) (access.Request, error) {
	renewed := make(chan error, 1)
	go func() { renewed <- b.renew(ctx) }()
	r, err := b.open(ctx, ref)
	if err = cmp.Or(err, <-renewed); err != nil {
		return r, err
	}
	if _, isID := access.ParseRequestID(ref); err != nil || b.memory() == nil || isID == nil && r.Version > 0 {
		return r, err
	}
	return b.memory().Import(ctx, r)
}

// renew is nil where what the policy says now is what was taken last, by any instance.
func (b *Broker) renew(ctx context.Context) error {
	if p, ok := b.c.Policy.(Renewing); ok {
		return p.Renew(ctx)
	}
	return nil
}

// noticeID names a notice that is to be kept; empty where nothing is.
func (b *Broker) noticeID() string {
	if b.memory() == nil {
		return ""
	}
	var id [15]byte
	if _, err := io.ReadFull(b.c.Random, id[:]); err != nil {
		return "" // told in the action, and not again
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// How long it is tried to tell somebody, and how often: at first after a minute, later
// after twice as long each time, at most an hour.
const (
	firstRetry = time.Minute
	lastRetry  = time.Hour
	tryTime    = 24 * time.Hour
	// callTryTime is for how long an application is called back that does not answer: what
	// counts is what it asks for.
	callTryTime = time.Hour
)

// givenUp is whether a message that somebody was not told is not tried again: after a day, a callback after an hour, and
// at once where who would be told has said that the same will not do a second time.
func givenUp(m access.Message, failed access.Receipts, now time.Time) bool {
	tries := tryTime
	if m.Notice.Kind == access.NoticeChanged {
		tries = callTryTime
	}
	return now.Sub(m.Made) > tries || m.Notice.Kind == access.NoticeChanged && !slices.ContainsFunc(failed, func(r access.Receipt) bool {
		e, said := errors.AsType[*access.Error](r.Err)
		return !said || e.MayPass()
	})
}

// settle takes a message out of the outbox that everybody was told, and leaves one there
// for later that somebody was not, who may get it twice then, with the same Message-ID.
// After a day it is given up, a callback after an hour; that it failed stands in the journal, and that
// it was given up with the request.
func (b *Broker) settle(ctx context.Context, m access.Message, failed access.Receipts) []*access.Error {
	if b.memory() == nil || m.ID == "" {
		return nil
	}
	_, err := timed(b, ctx, func(ctx context.Context) (struct{}, error) {
		now := b.c.Now()
		if len(failed) == 0 || givenUp(m, failed, now) {
			return struct{}{}, b.memory().Sent(ctx, m)
		}
		m.Notice.Left = failed.Targets()
		return struct{}{}, b.memory().Unsent(ctx, m, again(failed, now, min(firstRetry<<max(0, min(m.Attempts, 10)), lastRetry)))
	})
	if err != nil && !outOfReach(err) { // out of reach nothing was kept, or it is told once more
		return []*access.Error{{Kind: access.Unavailable, Code: access.CodeOutcomeUnrecorded, Err: err}}
	}
	return nil
}

// again is when somebody is told again whom it was tried to tell now: after a pause, or when the
// first of the channels has rested as long as it asked for, an hour at most.
func again(failed access.Receipts, now time.Time, pause time.Duration) time.Time {
	first := now.Add(lastRetry)
	for _, each := range failed {
		at := now.Add(pause)
		if until := restsUntil(each); until.After(at) {
			at = until
		}
		if at.Before(first) {
			first = at
		}
	}
	return first
}

// restsUntil is until when a channel that could not tell somebody wants no more; zero where it
// does not say.
func restsUntil(failed access.Receipt) time.Time {
	if resting, ok := errors.AsType[Resting](failed.Err); ok {
		return resting.RestsUntil()
	}
	return time.Time{}
}
