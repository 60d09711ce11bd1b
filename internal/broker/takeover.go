package broker

import (
	"context"
	"errors"

	"jitaccess/internal/access"
)

// Waiting is a Provider in which requests wait that were made there, by another program, and
// that are to be decided here.
type Waiting interface {
	// Waiting returns them, each with one id whenever it is read. What cannot be read is a
	// warning.
	Waiting(ctx context.Context) ([]access.Request, []*access.Error)
}

// TakeOver records the requests that wait in the providers and that are not known here yet, as
// made by their principals under the terms of now, and returns how many these were. One that
// was decided, or has lapsed, stays so for as long as it waits over there. Where nothing is
// remembered there is nothing to do.
func (b *Broker) TakeOver(ctx context.Context) (taken int, failed error) {
	m := b.memory()
	if m == nil {
		return 0, nil
	}
	for _, p := range b.c.Providers {
		provider, ok := p.Provider.(Waiting)
		if !ok {
			continue
		}
		requests, warnings := provider.Waiting(ctx)
		for _, w := range warnings {
			failed = errors.Join(failed, w)
		}
		for _, r := range requests {
			isNew, err := b.takeOver(ctx, m, r)
			if isNew {
				taken++
			}
			failed = errors.Join(failed, err)
		}
	}
	return taken, failed
}

func (b *Broker) takeOver(ctx context.Context, m Memory, r access.Request) (isNew bool, err error) {
	if _, err := m.Open(ctx, r.ID); codeOf(err) != access.CodeBadLink {
		if codeOf(err) == access.CodeLedgerUnavailable {
			return false, err
		}
		return false, nil // it is known, whatever has become of it
	}
	r.State = access.Unmade
	terms, err := b.termsOf(ctx, system, r, nil)
	if err != nil {
		return false, err
	}
	r.Terms = b.kept(terms)
	_, _, err = b.intend(ctx, b.event(system, access.RequestMade, r))
	if _, again := errors.AsType[*sentAgain](err); again {
		return false, nil // by another instance
	}
	return err == nil, err
}
