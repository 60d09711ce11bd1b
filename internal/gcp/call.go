package gcp

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"google.golang.org/api/googleapi"
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
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait || r.Sleep(ctx, wait) != nil {
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

// Exchange makes one call that no library of Google's makes for us, and returns the body
// of the answer, which must be of at most max bytes. An answer that is not 200 is a
// *googleapi.Error.
func Exchange(client *http.Client, r *http.Request, max int) ([]byte, error) {
	response, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, int64(max)+1))
	if response.StatusCode != http.StatusOK {
		if err := googleapi.CheckResponseWithBody(response, body); err != nil {
			return nil, err
		}
		// Not an error to Google's library, such as a redirection.
		return nil, &googleapi.Error{Code: response.StatusCode, Body: string(body), Header: response.Header}
	}
	if err == nil && len(body) > max {
		err = fmt.Errorf("an answer of more than %d bytes", max)
	}
	return body, err
}
