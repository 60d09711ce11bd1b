package gcp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
)

// Call says what was called, for the text of its failure.
type Call struct {
	// Service is the name of the API, for people.
	Service string
	// Permission is what the service account needs for the call, Resource what it needs
	// it on: a resource path, a group, a service account.
	Permission, Resource string
	// Account is the service account; empty when the caller does not know it.
	Account string
	// Change is whether the call was to change something that people asked for.
	Change bool
}

// Failure says what a failed call to Google means; see meanings. No answer is
// Unavailable, CodeUpstreamFailed, or TimedOut, CodeUpstreamTimeout; a caller who left
// is TimedOut, CodeDeadline. Google's own text goes to the cause, quoted and cut short,
// and never to people unless Google refuses the content of the call. A refusal by VPC
// Service Controls has its id as the argument "violation" too. It returns nil for nil,
// and a copy of an *access.Error: all who waited for one token have one error, and
// callers write into what they get.
func Failure(err error, c Call) *access.Error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*access.Error](err); ok {
		own := *known
		return &own
	}
	status, text := Answer(err)
	m, ok := meanings[status]
	switch {
	case errors.Is(err, context.Canceled):
		m = meaning{access.TimedOut, access.CodeDeadline}
	case status == 0 && TimedOut(err):
		m = meaning{access.TimedOut, access.CodeUpstreamTimeout}
	case status == 0 && Broken(err):
		m = meaning{access.Unavailable, access.CodeUpstreamFailed}
	case !ok:
		m = meaning{access.Upstream, access.CodeUpstreamFailed}
	case status == http.StatusForbidden && overRate(err):
		m = meanings[http.StatusTooManyRequests]
	case status == http.StatusBadRequest && c.Change:
		m.code = access.CodePlatformRefused
	}
	args := access.Args{"service": c.Service}
	switch m.code {
	case access.CodeDeadline:
		args = nil
	case access.CodePlatformRefused:
		args = withViolation(err, access.Args{"reason": Quote(text)})
	case access.CodeCallRefused:
		args = withViolation(err, access.Args{"reason": Quote(text), "service": c.Service})
	case access.CodeServiceNotAllowed:
		args = withViolation(err, access.Args{"permission": c.Permission, "resource": c.Resource, "account": c.Account})
	case access.CodeUnknownResource, access.CodeConflict:
		args = access.Args{"resource": c.Resource}
	}
	return &access.Error{Kind: m.kind, Code: m.code, Args: args, Err: &cause{service: c.Service, err: err}}
}

type meaning struct {
	kind access.Kind
	code access.Code
}

// meanings are those of Google's answers by their HTTP status. Any other, and nonsense,
// is Upstream, CodeUpstreamFailed.
var meanings = map[int]meaning{
	http.StatusBadRequest:         {access.Unprocessable, access.CodeCallRefused},  // of a change CodePlatformRefused
	http.StatusForbidden:          {access.Upstream, access.CodeServiceNotAllowed}, // about rate as 429
	http.StatusNotFound:           {access.NotFound, access.CodeUnknownResource},
	http.StatusRequestTimeout:     {access.TimedOut, access.CodeUpstreamTimeout},
	http.StatusConflict:           {access.Conflict, access.CodeConflict},
	http.StatusPreconditionFailed: {access.Conflict, access.CodeConflict},
	http.StatusTooManyRequests:    {access.TooMany, access.CodeQuota},
	http.StatusServiceUnavailable: {access.Unavailable, access.CodeUpstreamFailed},
	http.StatusGatewayTimeout:     {access.TimedOut, access.CodeUpstreamTimeout},
}

// Nonsense is the error of an answer that is of no use though the call succeeded.
func Nonsense(service, why string) *access.Error {
	return &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed, Args: access.Args{"service": service}, Err: errors.New(why)}
}

// StatusError is an answer of Google's that is not 200.
type StatusError struct {
	// Code is the HTTP status.
	Code int
	// Message, Status, which is the name of a code such as ABORTED, and Reasons are what the
	// body says, if it is an error as Google writes it. Reasons are those of "errors", which
	// its older APIs have
	// (https://cloud.google.com/apis/design/errors#http_mapping,
	// https://developers.google.com/workspace/admin/directory/v1/limits).
	Message, Status string
	Reasons         []string
	// Body is all that was read of the answer.
	Body   string
	Header http.Header
}

// statusError reads an answer that is not 200. Its body may be anything: in it is found what
// is as it should be.
func statusError(response *http.Response, body []byte) *StatusError {
	e := &StatusError{Code: response.StatusCode, Body: string(body), Header: response.Header}
	var reply struct {
		Error struct {
			Message string `json:"message"`
			Status  string `json:"status"`
			Errors  []struct {
				Reason string `json:"reason"`
			} `json:"errors"`
		} `json:"error"`
	}
	json.Unmarshal(body, &reply) // a field of another type leaves the others
	e.Message, e.Status = reply.Error.Message, reply.Error.Status
	for _, each := range reply.Error.Errors {
		e.Reasons = append(e.Reasons, each.Reason)
	}
	return e
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("answered %d: %s", e.Code, Quote(cmp.Or(e.Message, e.Body)))
}

// Answer is the HTTP status and Google's text in an error; the status is 0 when there was
// no answer.
func Answer(err error) (status int, text string) {
	if rest, ok := errors.AsType[*StatusError](err); ok {
		return rest.Code, cmp.Or(rest.Message, rest.Body)
	}
	if err == nil {
		return 0, ""
	}
	return 0, err.Error()
}

var vpcViolation = lazyregexp.New(`(?i)vpcServiceControlsUniqueIdentifier"?\s*[:=]\s*"?([A-Za-z0-9_-]{1,128})`)

// violation is the id under which an administrator finds a refusal of VPC Service
// Controls in the log; empty for other failures. It stands at the end of a long
// text, or in the details.
func violation(err error) string {
	_, text := Answer(err)
	rest, ok := errors.AsType[*StatusError](err)
	if ok {
		text += " " + rest.Body[:min(len(rest.Body), 64<<10)]
	}
	if id := vpcViolation().FindStringSubmatch(text); id != nil {
		return id[1]
	}
	if !ok {
		return ""
	}
	// https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto
	var reply struct {
		Error struct {
			Details []struct {
				Violations []struct{ Type, Description string }
			}
		}
	}
	json.Unmarshal([]byte(rest.Body), &reply) // what is none of it says nothing
	for _, detail := range reply.Error.Details {
		for _, v := range detail.Violations {
			if v.Type == "VPC_SERVICE_CONTROLS" {
				return strings.Trim(Quote(v.Description), `"`)
			}
		}
	}
	return ""
}

func withViolation(err error, args access.Args) access.Args {
	if id := violation(err); id != "" {
		args["violation"] = id
	}
	return args
}

// overRate recognises the 403s with which Workspace APIs say 429.
func overRate(err error) bool {
	rest, ok := errors.AsType[*StatusError](err)
	return ok && slices.ContainsFunc(rest.Reasons, func(reason string) bool {
		return slices.Contains([]string{"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded"}, reason)
	})
}

// TimedOut is whether the time for the call ended before an answer came.
func TimedOut(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// Broken is whether the connection broke or could not be made.
func Broken(err error) bool {
	_, broken := errors.AsType[*net.OpError](err)
	return broken || slices.ContainsFunc([]error{syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF},
		func(cause error) bool { return errors.Is(err, cause) })
}

// cause keeps the error for errors.As and prints as one short line: what Google
// writes may hold line breaks and what the caller sent.
type cause struct {
	service string
	err     error
}

func (c *cause) Error() string {
	status, text := Answer(c.err)
	line := c.service + ": " + Quote(text)
	if rest, ok := errors.AsType[*StatusError](c.err); status != 0 && !(ok && rest.Header.Get(notAsked) != "") {
		line = fmt.Sprintf("%s answered %d: %s", c.service, status, Quote(text))
	}
	if id := violation(c.err); id != "" {
		line += " (VPC Service Controls, unique identifier " + id + ")"
	}
	return line
}

func (c *cause) Unwrap() error { return c.err }

// maxQuoted is how much of a foreign text is kept.
const maxQuoted = 300

// Quote makes foreign text fit for one line of a log or page.
func Quote(text string) string {
	return strconv.Quote(access.Clip(strings.TrimSpace(text), maxQuoted))
}
