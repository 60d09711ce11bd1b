package broker

import (
	"context"
	"strconv"
	"time"

	"jitaccess/internal/access"
)

// shortens is nil for an approval for as long as was asked, or for less in whole minutes.
// It takes memory: where the grant alone says what became of a request, one that was
// shortened would look like one that was ended early.
func (b *Broker) shortens(d access.Decision, r access.Request) error {
	switch {
	case d.Duration == 0:
		return nil
	case b.forgets:
		return &access.Error{Kind: access.NotFound, Code: access.CodeNeedsLedger, Field: access.FieldDuration}
	case !r.Fixed.IsZero():
		return invalid(access.FieldDuration, access.CodeFixedWindow, nil)
	case d.Duration < time.Minute || d.Duration > r.Duration || d.Duration%time.Minute != 0:
		return invalid(access.FieldDuration, access.CodeBadDuration, access.Args{"max": strconv.Itoa(int(r.Duration / time.Minute))})
	}
	return nil
}

// mayBegin is nil while what is being approved, in the window of the event, lasts no longer
// than it may without a break, and no other request goes on with the same grant. left is
// whether a sweep writes it, where it is complete.
func (b *Broker) mayBegin(ctx context.Context, r access.Request, t access.Terms, e access.Event, complete bool) (left bool, err error) {
	err = b.unbroken(ctx, t, r, e.Window)
	if err == nil && r.Extends != "" {
		err = b.onlyExtension(ctx, r.Extends, r, granting...)
	}
	if err == nil && complete {
		left, err = b.leftToSweep(ctx, e)
	}
	return left, err
}

// begins is whether what an event approves begins so late that it may be written later.
func begins(e access.Event) bool {
	return !e.Window.IsZero() && e.Window.Start.After(e.At.Add(access.LeadTime))
}

// sweepCurrent is how long ago a periodic sweep may have been for another to be expected;
// unswept is how far ahead something is written at most where none is.
const (
	sweepCurrent = 15 * time.Minute
	unswept      = 24 * time.Hour
)

// leftToSweep is whether what is being approved is left for a sweep to write, shortly before
// it begins. The error says that it begins too late to be written now, and nobody sweeps.
func (b *Broker) leftToSweep(ctx context.Context, e access.Event) (bool, error) {
	m := b.memory()
	if m == nil || !begins(e) {
		return false, nil
	}
	last, err := timed(b, ctx, m.LastSweep)
	switch {
	case err != nil:
		return false, err
	case !last.Before(e.At.Add(-sweepCurrent)):
		return true, nil
	case e.Window.Start.After(e.At.Add(unswept)):
		return false, &access.Error{Kind: access.Unavailable, Code: access.CodeNoSweep,
			Args: access.Args{"hours": strconv.Itoa(int(unswept / time.Hour))}}
	}
	return false, nil
}

// written is what becomes of a decision that was carried out. What is recorded is no
// failure: where the platform is down, a sweep writes it.
func (b *Broker) written(d Decided, err error) (Decided, error) {
	if b.waits(err) {
		d.Warnings, err = append(d.Warnings, notYetGranted(err)...), nil
	}
	return d, err
}

// waits is whether a grant that failed is tried again by a sweep.
func (b *Broker) waits(err error) bool {
	e := access.AsError(err)
	return b.memory() != nil && e.MayPass() && (e.Kind != access.Conflict || e.Code == access.CodeConflict)
}

func notYetGranted(why error) []*access.Error {
	return []*access.Error{{Kind: access.Unavailable, Code: access.CodeNotYetGranted}, access.AsError(why)}
}
