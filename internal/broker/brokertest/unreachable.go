package brokertest

import (
	"context"
	"errors"
	"iter"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// Unreachable is a store that remembers, and cannot be reached while it is Down: then
// every call fails as its contract says, and changes nothing.
type Unreachable struct {
	broker.Memory
	Down bool
	// Calls counts what was tried meanwhile.
	Calls int
}

func (u *Unreachable) err() error {
	if !u.Down {
		return nil
	}
	u.Calls++
	return &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable, Err: errors.New("connection refused")}
}

// reached is what the store answers, unless it is down.
func reached[T any](u *Unreachable, call func() (T, error)) (none T, err error) {
	if err := u.err(); err != nil {
		return none, err
	}
	return call()
}

// Open implements broker.Store.
func (u *Unreachable) Open(ctx context.Context, ref string) (access.Request, error) {
	return reached(u, func() (access.Request, error) { return u.Memory.Open(ctx, ref) })
}

// Commit implements broker.Store.
func (u *Unreachable) Commit(ctx context.Context, e access.Event, notices []access.Notice) (string, error) {
	return reached(u, func() (string, error) { return u.Memory.Commit(ctx, e, notices) })
}

// Import implements broker.Memory.
func (u *Unreachable) Import(ctx context.Context, r access.Request) (access.Request, error) {
	return reached(u, func() (access.Request, error) { return u.Memory.Import(ctx, r) })
}

// List implements broker.Memory.
func (u *Unreachable) List(ctx context.Context, l access.Listing) (access.Listed, error) {
	return reached(u, func() (access.Listed, error) { return u.Memory.List(ctx, l) })
}

// Due implements broker.Memory.
func (u *Unreachable) Due(ctx context.Context, by time.Time, after access.Due, max int, states ...access.State) ([]access.Due, error) {
	return reached(u, func() ([]access.Due, error) { return u.Memory.Due(ctx, by, after, max, states...) })
}

// History implements broker.Memory.
func (u *Unreachable) History(ctx context.Context, id string) ([]access.Event, error) {
	return reached(u, func() ([]access.Event, error) { return u.Memory.History(ctx, id) })
}

// Take implements broker.Memory.
func (u *Unreachable) Take(ctx context.Context, by time.Time, lease time.Duration, max int, besides bool) iter.Seq2[access.Message, error] {
	return func(yield func(access.Message, error) bool) {
		if err := u.err(); err != nil {
			yield(access.Message{}, err)
			return
		}
		u.Memory.Take(ctx, by, lease, max, besides)(yield)
	}
}

// Sent implements broker.Memory.
func (u *Unreachable) Sent(ctx context.Context, m access.Message) error {
	if err := u.err(); err != nil {
		return err
	}
	return u.Memory.Sent(ctx, m)
}

// Unsent implements broker.Memory.
func (u *Unreachable) Unsent(ctx context.Context, m access.Message, again time.Time) error {
	if err := u.err(); err != nil {
		return err
	}
	return u.Memory.Unsent(ctx, m, again)
}

// Told implements broker.Memory.
func (u *Unreachable) Told(ctx context.Context, id string, receipts access.Receipts) error {
	if err := u.err(); err != nil {
		return err
	}
	return u.Memory.Told(ctx, id, receipts)
}

// Receipts implements broker.Memory.
func (u *Unreachable) Receipts(ctx context.Context, id string) (access.Receipts, error) {
	return reached(u, func() (access.Receipts, error) { return u.Memory.Receipts(ctx, id) })
}

// Head implements broker.Memory.
func (u *Unreachable) Head(ctx context.Context, asOf time.Time) (access.Head, error) {
	return reached(u, func() (access.Head, error) { return u.Memory.Head(ctx, asOf) })
}
