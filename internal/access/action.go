package access

import (
	"context"
	"time"
)

type beginning struct{}

// Begin marks when what one person does began: a page, or an action. What was read
// for it after that moment is live, and need not be read a second time.
func Begin(ctx context.Context, at time.Time) context.Context {
	return context.WithValue(ctx, beginning{}, at)
}

// Began is when that was; ok is false where nobody has marked it.
func Began(ctx context.Context) (at time.Time, ok bool) {
	at, ok = ctx.Value(beginning{}).(time.Time)
	return at, ok
}
