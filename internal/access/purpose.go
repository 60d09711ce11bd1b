package access

import (
	"context"
	"sync/atomic"
)

// Purpose is what a provider is called for. Where its quotas are short, those who end
// access come first, then those who act, then pages.
type Purpose int

const (
	// ForPage: a page, or for nobody in particular.
	ForPage Purpose = iota
	// ForAction: asking, approving, declining or activating.
	ForAction
	// ForEnd: taking access back.
	ForEnd
)

type purposeKey struct{}

// purposed is what a context says of what is done in it.
type purposed struct {
	purpose Purpose
	by      Principal
}

// WithPurpose says what is done in a context.
func WithPurpose(ctx context.Context, p Purpose) context.Context {
	_, by := PurposeOf(ctx)
	return context.WithValue(ctx, purposeKey{}, purposed{p, by})
}

// WithPerson says for whom it is done, which may be an application (OfApplication): one person
// gets a part of each quota only, and so does one application.
func WithPerson(ctx context.Context, by Principal) context.Context {
	p, _ := PurposeOf(ctx)
	return context.WithValue(ctx, purposeKey{}, purposed{p, by})
}

// PurposeOf returns what is done in a context, and for whom: ForPage, and nobody, where
// nothing else was said.
func PurposeOf(ctx context.Context) (Purpose, Principal) {
	found, _ := ctx.Value(purposeKey{}).(purposed)
	return found.purpose, found.by
}

type ownPartKey struct{}

// WatchOwnPart returns a context, and whether something that was to be done in it was not
// since the person for whom it is done had spent their part of a quota (SpentOwnPart): who
// shares what another person does is not to be refused for them.
func WatchOwnPart(ctx context.Context) (context.Context, func() bool) {
	var spent atomic.Bool
	return context.WithValue(ctx, ownPartKey{}, &spent), spent.Load
}

// SpentOwnPart says so to whoever watches the context, if anybody does.
func SpentOwnPart(ctx context.Context) {
	if spent, ok := ctx.Value(ownPartKey{}).(*atomic.Bool); ok {
		spent.Store(true)
	}
}
