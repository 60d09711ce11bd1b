// Package channel is what chats and webhooks have in common: one call over HTTP that ends, its
// refusals and what they mean, secrets that are read where they are kept, and telling by posting
// to an address (Webhook). Nothing is decided in a chat: messages lead to the page.
package channel

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"jitaccess/internal/outbound"
)

const (
	// callTime bounds one attempt.
	callTime = 5 * time.Second
	// maxAnswer bounds an answer in bytes.
	maxAnswer = 64 << 10
	// attempts bounds how often a call is made of which too many were made. What else is
	// refused is told again by who calls, if at all.
	attempts = 3
	// shortRest is after how long it is tried again where the service does not say.
	shortRest = time.Second
)

// Caller calls one chat service. It may be used concurrently.
type Caller struct {
	// Service is what people call it.
	Service string
	// Client follows no redirects (outbound.Client).
	Client *http.Client
	// Refusal is the code of a refusal in an answer with a status of 2xx or 4xx, or empty
	// where there is none. A code of "429" is that of too many calls.
	Refusal func(Answer) string
	// Table explains refusals; see Explanation.
	Table []Explanation
	// Patience bounds one attempt; 0 is callTime.
	Patience time.Duration
	Now      func() time.Time
	Sleep    func(context.Context, time.Duration) error

	mutex sync.Mutex
	// rest is until when the service wants no calls.
	rest time.Time
}

// Answer is what a service answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON reads the body; it returns false where that is no JSON for it.
func (a Answer) JSON(into any) bool { return json.Unmarshal(a.Body, into) == nil }

// Call makes a call, which request makes anew for each attempt, and returns its answer or a
// *Fault. Secrets are nowhere in that, nor is the address.
func (c *Caller) Call(ctx context.Context, request func(context.Context) (*http.Request, error), secrets ...string) (Answer, error) {
	for attempt := 1; ; attempt++ {
		if err := c.wait(ctx, c.resting()); err != nil {
			return Answer{}, c.fault(symptom{code: TooMany, err: err}, secrets)
		}
		answer, err := c.once(ctx, request)
		if err != nil {
			return Answer{}, c.fault(symptom{code: codeOf(ctx, err), err: err}, secrets)
		}
		code := c.refusal(answer)
		if code == "" {
			return answer, nil
		}
		if code == TooMany {
			c.restFor(answer, attempt)
			if attempt < attempts && c.resting() <= left(ctx) {
				continue
			}
		}
		return answer, c.fault(symptom{code: code, status: answer.Status, said: string(answer.Body)}, secrets)
	}
}

func (c *Caller) refusal(a Answer) string {
	switch {
	case a.Status == http.StatusTooManyRequests:
		return TooMany
	case a.Status/100 == 3:
		return redirected
	case a.Status/100 == 5:
		return serverFault
	}
	return c.Refusal(a)
}

func (c *Caller) once(ctx context.Context, make func(context.Context) (*http.Request, error)) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Patience, callTime))
	defer cancel()
	request, err := make(ctx)
	if err != nil {
		return Answer{}, outbound.WithoutAddress(err)
	}
	request.Header.Set("User-Agent", "jitaccess")
	request.Header.Set("Accept", "application/json")
	response, err := c.Client.Do(request)
	if err != nil {
		return Answer{}, outbound.WithoutAddress(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(outbound.Bound(response.Body, maxAnswer))
	if err != nil {
		return Answer{}, outbound.WithoutAddress(err)
	}
	return Answer{response.StatusCode, response.Header, body}, nil
}

// restFor remembers for how long the service wants no calls.
func (c *Caller) restFor(a Answer, attempt int) {
	rest := shortRest << (attempt - 1)
	if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		rest = min(time.Duration(seconds)*time.Second, maxRest)
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.rest = c.Now().Add(rest)
}

// maxRest is what is believed of a service that wants no calls.
const maxRest = 10 * time.Minute

// resting is for how long the service wants no calls, from now.
func (c *Caller) resting() time.Duration {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.rest.Sub(c.Now())
}

// restEnds is until when the service wants no calls; zero or past where it takes them.
func (c *Caller) restEnds() time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.rest
}

// wait returns after d, or at once with an error where there is not as much time.
func (c *Caller) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	if d > left(ctx) {
		return errors.New("there is no time to wait until the service takes more messages")
	}
	return c.Sleep(ctx, d)
}

// Turn returns when it is the caller's turn, or at once with a *Fault where there is not as much
// time: then the turn is somebody else's.
func (c *Caller) Turn(ctx context.Context, pace *rate.Limiter) error {
	c.mutex.Lock() // so that a turn that is given back is the last one
	now := c.Now()
	turn := pace.ReserveN(now, 1)
	d := turn.DelayFrom(now)
	if d > left(ctx) {
		turn.CancelAt(now)
	}
	c.mutex.Unlock()
	if err := c.wait(ctx, d); err != nil {
		return c.fault(symptom{code: TooMany, err: err}, nil)
	}
	return nil
}

// left is how much time ctx has. Who has set no bound does not want to wait.
func left(ctx context.Context) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return time.Until(end)
}

// codeOf is the code of an error of the network.
func codeOf(ctx context.Context, err error) string {
	_, tooLong := errors.AsType[outbound.TooLong](err)
	_, private := errors.AsType[outbound.NotPublic](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	name, isName := errors.AsType[*net.DNSError](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	timeout, isTimeout := errors.AsType[net.Error](err)
	switch {
	case tooLong:
		return answerTooLong
	case private:
		return NotPublic
	case isName && name.IsNotFound:
		return noSuchHost
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) || isTimeout && timeout.Timeout():
		return timedOut
	case certificate:
		return Certificate
	case record || alert || errors.Is(err, http.ErrSchemeMismatch):
		return noTLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return connectionRefused
	}
	return Unreachable
}

// Post makes a request with a JSON body. address may be a secret.
func Post(address string, body any) func(context.Context) (*http.Request, error) {
	return func(ctx context.Context) (*http.Request, error) {
		text, err := encoded(body)
		if err != nil {
			return nil, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(text))
		if err != nil {
			return nil, errors.New("the address is none")
		}
		request.Header.Set("Content-Type", jsonType)
		return request, nil
	}
}
