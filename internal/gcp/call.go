package gcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/outbound"
)

// Retry is how reads are repeated. The zero value repeats nothing.
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
// repeating keeps it so: then only what is done for an action is (see AskedBack). The error is that of the last attempt, as
// call returned it.
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
	rest, ok := errors.AsType[*StatusError](err)
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

// API is one of Google's, as one client reaches it.
type API struct {
	client *http.Client
	origin string
	retry  Retry
	max    int
}

// API is that of a service (see Endpoint) through c, whose answers have at most max bytes.
func (p *Platform) API(service string, c *http.Client, max int) API {
	return API{client: c, origin: p.Endpoint(service), retry: p.Retry, max: max}
}

// Once is the API whose calls are not repeated.
func (a API) Once() API {
	a.retry = Retry{}
	return a
}

// Ask makes one call and returns what it is answered, as far as T has fields for it: with a
// body, which is sent as JSON, a POST, and else a GET. It is repeated as Read says, so it must
// be one that may be made twice. An answer that is not 200 is a *StatusError; one that is
// longer than the API's, not JSON, null, or of other types than T is an error as well.
func Ask[T any](ctx context.Context, a API, path string, query url.Values, body any) (answer T, err error) {
	method, content := http.MethodGet, []byte(nil)
	if body != nil {
		method = http.MethodPost
		if content, err = json.Marshal(body); err != nil {
			return answer, err
		}
	}
	// Google indents what it answers unless told otherwise, and answers in Atom where an API
	// is old enough (https://cloud.google.com/apis/docs/system-parameters).
	address := a.origin + path + "?alt=json&prettyPrint=false"
	if len(query) > 0 {
		address += "&" + query.Encode()
	}
	read, err := Read(ctx, a.retry, func(ctx context.Context) ([]byte, error) {
		sent := io.Reader(nil) // what has no body can be sent with another token, see scoped
		if body != nil {
			sent = bytes.NewReader(content)
		}
		r, err := http.NewRequestWithContext(ctx, method, address, sent)
		if err != nil {
			return nil, err
		}
		if body != nil {
			r.Header.Set("Content-Type", "application/json")
		}
		return Exchange(a.client, r, a.max)
	})
	if err != nil {
		return answer, err
	}
	if bytes.Equal(bytes.TrimSpace(read), []byte("null")) {
		return answer, errors.New("the answer is null")
	}
	if err := json.Unmarshal(read, &answer); err != nil {
		return answer, fmt.Errorf("the answer makes no sense: %w", err)
	}
	return answer, nil
}

// Exchange makes one call and returns the body of the answer, which must be of at most max
// bytes. An answer that is not 200, such as a redirection or one without content, is a
// *StatusError.
func Exchange(client *http.Client, r *http.Request, max int) ([]byte, error) {
	response, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(outbound.Bound(response.Body, max))
	if response.StatusCode != http.StatusOK {
		return nil, statusError(response, body)
	}
	return body, err
}
