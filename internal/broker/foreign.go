package broker

import (
	"context"

	"jitaccess/internal/access"
)

// Foreign is a Provider in whose systems requests wait that were made without this service.
// Each has the same id whenever it is read. The warnings are of what cannot be read.
type Foreign interface {
	Waiting(ctx context.Context) ([]access.Request, []*access.Error)
}

// foreign are those requests, as they would be had they been made here, with the terms of now.
// They are recorded when somebody decides them.
func (b *Broker) foreign(ctx context.Context, r Registration) (waiting []access.Request, warnings []*access.Error) {
	f, ok := r.Provider.(Foreign)
	if !ok || b.memory() == nil {
		return nil, nil
	}
	all, warnings := f.Waiting(ctx)
	for _, q := range all {
		terms, err := b.termsOf(ctx, system, q, nil)
		if err != nil {
			warnings = withNew(warnings, warningOf(err))
			continue
		}
		q.Terms, q.Reviewers = b.kept(terms), b.everybodyNamed(q, terms)
		waiting = append(waiting, q)
	}
	return waiting, warnings
}

// foreignNamed is the one that bears the id; zero for none.
func (b *Broker) foreignNamed(ctx context.Context, id string) access.Request {
	if access.KindOfID(id) != access.Peers {
		return access.Request{}
	}
	for _, r := range b.c.Providers {
		waiting, _ := b.foreign(ctx, r)
		for _, q := range waiting {
			if q.ID == id {
				return q
			}
		}
	}
	return access.Request{}
}
