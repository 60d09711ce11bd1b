package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"jitaccess/internal/access"
)

// leasePoll is how often it is looked whether a lease has become free, about.
const leasePoll = 100 * time.Millisecond

// Lease makes the caller the only one, over all instances, who holds the name: until
// release is called, or life is over by the clock of the database, whichever is sooner. It
// waits while somebody else holds it. The caller must be done within life, counted from
// before the call, and release what it holds; what a process that died held becomes free
// when its life is over. Nobody's own clock matters. Where a database with another clock
// takes over (a standby), a life is longer or shorter by what the two differ.
//
// The error is an *access.Error of kind Unavailable: CodeLeaseHeld when ctx ended while
// somebody else held the name, CodeLedgerUnavailable when the database cannot be asked.
// That of release is the latter, and then the lease ends by itself.
func (s *Store) Lease(ctx context.Context, name string, life time.Duration) (release func(context.Context) error, err error) {
	holder := rand.Text()
	release = func(ctx context.Context) error { return unavailable(s.c.Home.Release(ctx, name, holder)) }
	for seen := false; ; seen = true {
		held, err := s.c.Home.Hold(ctx, name, holder, life)
		switch {
		case err == nil && held:
			return release, nil
		case err != nil:
			// The answer may have been lost after it was written.
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
			_ = release(late)
			cancel()
			if seen && ctx.Err() != nil {
				return nil, leaseHeld(ctx)
			}
			return nil, &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable, Err: err}
		}
		select {
		case <-ctx.Done():
			return nil, leaseHeld(ctx)
		case <-time.After(leasePoll/2 + mathrand.N(leasePoll)):
		}
	}
}

func leaseHeld(ctx context.Context) error {
	return &access.Error{Kind: access.Unavailable, Code: access.CodeLeaseHeld,
		Err: errors.Join(errors.New("another holds the lease"), ctx.Err())}
}
