package broker

import (
	"context"

	"jitaccess/internal/access"
)

// Extension returns what a form takes with which the caller goes on with a grant of
// theirs, the request's whose id it is, from its end on (Ask.Extends).
func (b *Broker) Extension(ctx context.Context, caller access.Caller, id string) (Choice, error) {
	_, err := b.needsMemory()
	return Choice{}, err
}
