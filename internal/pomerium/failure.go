package pomerium

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"jitaccess/internal/access"
)

// refusal is an answer that is none of the good ones.
type refusal struct {
	status int
	// text is what the API said, cut short; empty where it could hold a secret.
	text string
	// after is when it wants to be asked again; 0 says nothing of it.
	after time.Duration
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s answered %d: %s", Name, r.status, strconv.Quote(access.Clip(strings.TrimSpace(r.text), 300)))
}

// meaning is what a status says to people.
type meaning struct {
	kind access.Kind
	code access.Code
}

// meanings are those of the API's answers by their status. Any other, and nonsense, is
// Upstream, CodeUpstreamFailed. A status of 401 comes here when a new token did not help.
var meanings = map[int]meaning{
	http.StatusBadRequest:          {access.Unprocessable, access.CodeCallRefused}, // of a change CodePlatformRefused
	http.StatusUnprocessableEntity: {access.Unprocessable, access.CodeCallRefused},
	http.StatusUnauthorized:        {access.Upstream, access.CodeCallRefused},
	http.StatusForbidden:           {access.Upstream, access.CodeServiceNotAllowed},
	http.StatusNotFound:            {access.NotFound, access.CodeUnknownResource},
	http.StatusRequestTimeout:      {access.TimedOut, access.CodeUpstreamTimeout},
	http.StatusConflict:            {access.Conflict, access.CodeConflict},
	http.StatusPreconditionFailed:  {access.Conflict, access.CodeConflict},
	http.StatusTooManyRequests:     {access.TooMany, access.CodeQuota},
	http.StatusServiceUnavailable:  {access.Unavailable, access.CodeUpstreamFailed},
	http.StatusGatewayTimeout:      {access.TimedOut, access.CodeUpstreamTimeout},
}

// failure says what a failed call means. change is whether it was to change something that
// people asked for. It returns nil for nil.
func failure(err error, on access.Resource, change bool) *access.Error {
	if known, ok := errors.AsType[*access.Error](err); ok || err == nil {
		return known
	}
	m := meaning{access.Upstream, access.CodeUpstreamFailed}
	refused, answered := errors.AsType[*refusal](err)
	switch {
	case answered:
		if known, ok := meanings[refused.status]; ok {
			m = known
		}
		if m.kind == access.Unprocessable && change {
			m.code = access.CodePlatformRefused
		}
	case errors.Is(err, context.Canceled):
		m = meaning{access.TimedOut, access.CodeDeadline}
	case timedOut(err):
		m = meaning{access.TimedOut, access.CodeUpstreamTimeout}
	case broken(err):
		m = meaning{access.Unavailable, access.CodeUpstreamFailed}
	}
	e := &access.Error{Kind: m.kind, Code: m.code, Args: access.Args{"service": Name}, Err: err}
	switch m.code {
	case access.CodeDeadline:
		e.Args = nil
	case access.CodePlatformRefused:
		e.Args = access.Args{"reason": strconv.Quote(access.Clip(strings.TrimSpace(refused.text), 300))}
	case access.CodeCallRefused:
		e.Args["reason"] = strconv.Quote(access.Clip(strings.TrimSpace(refused.text), 300))
		if refused.status == http.StatusUnauthorized {
			e.Args["reason"] = "it does not accept API_USER_TOKEN"
		}
	case access.CodeServiceNotAllowed:
		e.Args = access.Args{"permission": "the role Admin", "resource": string(on), "account": "of API_USER_TOKEN"}
	case access.CodeUnknownResource, access.CodeConflict:
		e.Args = access.Args{"resource": string(on)}
	}
	return e
}

func timedOut(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

func broken(err error) bool {
	_, network := errors.AsType[*net.OpError](err)
	return network || slices.ContainsFunc([]error{syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF, errCut},
		func(cause error) bool { return errors.Is(err, cause) })
}

// unmade is whether a write that failed so was not made, and will not be.
func unmade(err error) bool {
	if refused, ok := errors.AsType[*refusal](err); ok {
		return refused.status < 500 && refused.status != http.StatusRequestTimeout
	}
	network, ok := errors.AsType[*net.OpError](err)
	return ok && network.Op == "dial"
}

// passing is whether the same call may succeed in a moment.
func passing(err error) bool {
	if refused, ok := errors.AsType[*refusal](err); ok {
		return refused.status >= 500 || refused.status == http.StatusRequestTimeout || refused.status == http.StatusTooManyRequests ||
			refused.status == http.StatusConflict
	}
	return broken(err) || timedOut(err)
}

// errCut is an answer that ended before its end: nobody knows what it was to say.
var errCut = errors.New("the answer of " + Name + " was cut off")

// nonsense is an answer of no use, though the call succeeded.
func nonsense(cause error) *access.Error {
	return &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed, Args: access.Args{"service": Name}, Err: cause}
}

func unknownOutcome(on access.Resource, cause error) *access.Error {
	return &access.Error{Kind: access.TimedOut, Code: access.CodeUnknownOutcome, Args: access.Args{"resource": string(on)}, Err: cause}
}
