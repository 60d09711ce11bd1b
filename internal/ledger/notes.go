package ledger

import (
	"context"
	"crypto/rand"
)

// What is kept beside requests. A doubt gives nobody anything, and its end neither: it is
// not signed.
const kindDoubt = "doubt"

// Doubt implements broker.Memory.
func (s *Store) Doubt(ctx context.Context, why string) error {
	return unavailableOrNil(s.c.Home.Keep(ctx, Note{Kind: kindDoubt, ID: rand.Text(), Made: s.c.Now(), Body: []byte(why)}))
}

// Doubted implements broker.Memory.
func (s *Store) Doubted(ctx context.Context) (string, error) {
	notes, err := s.c.Home.Notes(ctx, kindDoubt, 1)
	if err != nil || len(notes) == 0 {
		return "", unavailableOrNil(err)
	}
	return string(notes[0].Body), nil
}
