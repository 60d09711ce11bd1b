package gcp

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"
)

// Retry is how reads are repeated. Google's REST libraries do not repeat anything
// themselves, and the zero value does not either.
type Retry struct {
	// Sleep waits, or returns the context's error when that ends first.
	Sleep func(ctx context.Context, d time.Duration) error
	// Random returns a number in [0, 1); nil is math/rand.
	Random func() float64
}

// retryAfter is the shortest wait before the second attempt; up to as much again
// is added at random, so that callers that failed together do not return together.
const retryAfter = 250 * time.Millisecond

// Read makes a call that changes nothing, and makes it once more when it fails
// with 429, 5xx or a broken connection, unless ctx would end before. The error is
// that of the last attempt, as the library returned it.
func Read[T any](ctx context.Context, r Retry, call func(context.Context) (T, error)) (T, error) {
	answer, err := call(ctx)
	if err == nil || r.Sleep == nil || !passing(err) {
		return answer, err
	}
	random := rand.Float64
	if r.Random != nil {
		random = r.Random
	}
	wait := retryAfter + time.Duration(random()*float64(retryAfter))
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return answer, err
	}
	if r.Sleep(ctx, wait) != nil {
		return answer, err
	}
	return call(ctx)
}

// passing is whether the same call may succeed in a moment. A time-out is not: the
// time for it has been spent.
func passing(err error) bool {
	if status, _ := Answer(err); status != 0 {
		return status == http.StatusTooManyRequests || status >= 500 || overRate(err)
	}
	return Broken(err) && !TimedOut(err)
}
