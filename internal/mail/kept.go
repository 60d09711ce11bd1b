package mail

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// kept makes something of what read gives, when it is first needed, and keeps it.
// What failed is tried again by the next call. A caller
// stops waiting when its context ends.
func kept[T any](read func(context.Context) ([]byte, error), parse func([]byte) (T, error)) func(context.Context) (T, error) {
	var (
		lock  = semaphore.NewWeighted(1)
		known bool
		value T
	)
	return func(ctx context.Context) (T, error) {
		var none T
		if err := lock.Acquire(ctx, 1); err != nil {
			return none, err
		}
		defer lock.Release(1)
		if known {
			return value, nil
		}
		text, err := read(ctx)
		if err != nil {
			return none, err
		}
		made, err := parse(text)
		if err != nil {
			return none, err
		}
		known, value = true, made
		return value, nil
	}
}
