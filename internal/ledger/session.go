package ledger

import (
	"context"
	"time"
)

// EndSession keeps, for all instances, that a session was ended before its time, and says
// whether that is new. From until
// on, when it would have been over anyway, that may be forgotten. The error is of kind
// Unavailable. Nobody is let in by what is kept here, and it names nobody.
func (s *Store) EndSession(ctx context.Context, id string, until time.Time) (first bool, err error) {
	first, err = s.c.Home.EndSession(ctx, id, until, s.c.Now())
	return first, unavailable(err)
}

// SessionEnded is whether that is kept.
func (s *Store) SessionEnded(ctx context.Context, id string) (bool, error) {
	ended, err := s.c.Home.SessionEnded(ctx, id)
	return ended, unavailable(err)
}
