package gcp

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"google.golang.org/api/googleapi"

	"jitaccess/internal/access"
	"jitaccess/internal/outbound"
)

// Retry is how reads are repeated. Google's REST libraries do not repeat anything
// themselves, and the zero value does not either.
type Retry struct {
	// Sleep waits, or returns the context's error when that ends first.
	Sleep func(ctx context.Context, d time.Duration) error
	// Random returns a number in [0, 1); nil is math/rand.
	Random func() float64
}

// pauseBefore is the shortest wait before the second attempt; up to as much again
// is added at random, so that callers that failed together do not return together.
const pauseBefore = 250 * time.Millisecond

// Read makes a call that changes nothing, and makes it once more when it fails
// with 5xx or a broken connection, unless ctx would end before. Where a quota is spent
// repeating keeps it so: then only what is done for an action is (see AskedBack). The error is that of the last attempt, as the
// library returned it.
func Read[T any](ctx context.Context, r Retry, call func(context.Context) (T, error)) (T, error) {
	answer, err := call(ctx)
	if err == nil || r.Sleep == nil {
		return answer, err
	}
	wait, asked := AskedBack(ctx, err)
	if !asked && !passing(err) {
		return answer, err
	}
	random := rand.Float64
	if r.Random != nil {
		random = r.Random
	}
	wait = max(wait, pauseBefore) + time.Duration(random()*float64(pauseBefore))
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait || r.Sleep(ctx, wait) != nil {
		return answer, err
	}
	return call(ctx)
}

// longestAskedBack is how long an action waits for a quota: its time of 25 seconds is
// for more than that.
const longestAskedBack = 5 * time.Second

// AskedBack is whether a call that failed because a quota is spent is worth one more try
// before ctx ends, and after which time: nobody is only looking, and when Google has said
// how long to wait, it is soon, and half of the time that is left remains. A call that
// was not made because of it is not.
func AskedBack(ctx context.Context, err error) (time.Duration, bool) {
	rest, ok := errors.AsType[*googleapi.Error](err)
	if !ok || rest.Code != http.StatusTooManyRequests && !overRate(err) || rest.Header.Get(notAsked) != "" {
		return 0, false
	}
	if purpose, _ := access.PurposeOf(ctx); purpose == access.ForPage {
		return 0, false
	}
	wait := max(retryAfter(rest.Header, time.Now()), pauseBefore)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < 2*wait {
		return 0, false
	}
	return wait, wait <= longestAskedBack
}

// passing is whether the same call may succeed in a moment. A time-out is not: the
// time for it has been spent.
func passing(err error) bool {
	if status, _ := Answer(err); status != 0 {
		return status >= 500
	}
	return Broken(err) && !TimedOut(err)
}

// Exchange makes one call that no library of Google's makes for us, and returns the body
// of the answer, which must be of at most max bytes. An answer that is not 200 is a
// *googleapi.Error.
func Exchange(client *http.Client, r *http.Request, max int) ([]byte, error) {
	response, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(outbound.Bound(response.Body, max))
	if response.StatusCode != http.StatusOK {
		if err := googleapi.CheckResponseWithBody(response, body); err != nil {
			return nil, err
		}
		// Not an error to Google's library, such as a redirection.
		return nil, &googleapi.Error{Code: response.StatusCode, Body: string(body), Header: response.Header}
	}
	return body, err
}
