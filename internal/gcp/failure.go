package gcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/googleapis/gax-go/v2/apierror"
	"google.golang.org/api/googleapi"

	"jitaccess/internal/access"
)

// Call says what was called, for the text of its failure.
type Call struct {
	// Service is the name of the API, for people.
	Service string
	// Permission is what the service account needs for the call.
	Permission string
	// Resource is what it is needed on: a resource path, a group, a service account.
	Resource string
	// Account is the service account; empty when the caller does not know it.
	Account string
	// Change is whether the call was to change something that people asked for.
	Change bool
}

// Failure says what a failed call to Google means. Google's own text goes to the
// cause, quoted and cut short, and never to people unless Google refuses the
// content of the call. It returns nil for nil.
//
//	400        Unprocessable, CodePlatformRefused for a change, else CodeCallRefused
//	401        Upstream, CodeUpstreamFailed
//	403        Upstream, CodeServiceNotAllowed; TooMany, CodeQuota when it is about rate
//	404        NotFound, CodeUnknownResource
//	409, 412   Conflict, CodeConflict
//	429        TooMany, CodeQuota
//	503        Unavailable, CodeUpstreamFailed
//	408, 504   TimedOut, CodeUpstreamTimeout
//	other      Upstream, CodeUpstreamFailed
//	no answer  Unavailable, CodeUpstreamFailed; TimedOut, CodeUpstreamTimeout
//	nonsense   Upstream, CodeUpstreamFailed
//
// A refusal by VPC Service Controls has its id as the argument "violation" too.
func Failure(err error, c Call) *access.Error {
	var known *access.Error
	if err == nil || errors.As(err, &known) {
		return known
	}
	service, resource := access.Args{"service": c.Service}, access.Args{"resource": c.Resource}
	fail := func(kind access.Kind, code access.Code, args access.Args) *access.Error {
		return &access.Error{Kind: kind, Code: code, Args: args, Err: &cause{service: c.Service, err: err}}
	}
	status, text := Answer(err)
	switch {
	case errors.Is(err, context.Canceled):
		return fail(access.TimedOut, access.CodeDeadline, nil)
	case status == 0 && TimedOut(err):
		return fail(access.TimedOut, access.CodeUpstreamTimeout, service)
	case status == 0 && Broken(err):
		return fail(access.Unavailable, access.CodeUpstreamFailed, service)
	case status == http.StatusBadRequest:
		reason := withViolation(err, access.Args{"reason": Quote(text)})
		if c.Change {
			return fail(access.Unprocessable, access.CodePlatformRefused, reason)
		}
		reason["service"] = c.Service
		return fail(access.Unprocessable, access.CodeCallRefused, reason)
	case status == http.StatusTooManyRequests, status == http.StatusForbidden && overRate(err):
		return fail(access.TooMany, access.CodeQuota, service)
	case status == http.StatusForbidden:
		return fail(access.Upstream, access.CodeServiceNotAllowed,
			withViolation(err, access.Args{"permission": c.Permission, "resource": c.Resource, "account": c.Account}))
	case status == http.StatusNotFound:
		return fail(access.NotFound, access.CodeUnknownResource, resource)
	case status == http.StatusConflict, status == http.StatusPreconditionFailed:
		return fail(access.Conflict, access.CodeConflict, resource)
	case status == http.StatusServiceUnavailable:
		return fail(access.Unavailable, access.CodeUpstreamFailed, service)
	case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
		return fail(access.TimedOut, access.CodeUpstreamTimeout, service)
	}
	return fail(access.Upstream, access.CodeUpstreamFailed, service)
}

// Answer finds the HTTP status and Google's text in the errors of its two
// generations of libraries; the status is 0 when there was no answer.
func Answer(err error) (status int, text string) {
	var rest *googleapi.Error
	if errors.As(err, &rest) {
		return rest.Code, cmp.Or(rest.Message, rest.Body)
	}
	var gax *apierror.APIError
	if errors.As(err, &gax) && gax.HTTPCode() > 0 {
		return gax.HTTPCode(), gax.Error()
	}
	if err == nil {
		return 0, ""
	}
	return 0, err.Error()
}

var vpcViolation = regexp.MustCompile(`(?i)vpcServiceControlsUniqueIdentifier"?\s*[:=]\s*"?([A-Za-z0-9_-]{1,128})`)

// Violation is the id under which an administrator finds a refusal of VPC Service
// Controls in the log; empty for other failures. It stands at the end of a long
// text, or in the details.
func Violation(err error) string {
	_, text := Answer(err)
	var rest *googleapi.Error
	if errors.As(err, &rest) {
		text += " " + rest.Body[:min(len(rest.Body), 64<<10)]
	}
	if id := vpcViolation.FindStringSubmatch(text); id != nil {
		return id[1]
	}
	if rest == nil {
		return ""
	}
	for _, detail := range rest.Details {
		fields, _ := detail.(map[string]any)
		violations, _ := fields["violations"].([]any)
		for _, v := range violations {
			if v, _ := v.(map[string]any); v["type"] == "VPC_SERVICE_CONTROLS" {
				description, _ := v["description"].(string)
				return strings.Trim(Quote(description), `"`)
			}
		}
	}
	return ""
}

func withViolation(err error, args access.Args) access.Args {
	if id := Violation(err); id != "" {
		args["violation"] = id
	}
	return args
}

// overRate recognises the 403s with which Workspace APIs say 429.
func overRate(err error) bool {
	var rest *googleapi.Error
	if !errors.As(err, &rest) {
		return false
	}
	for _, item := range rest.Errors {
		switch item.Reason {
		case "rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "dailyLimitExceeded":
			return true
		}
	}
	return false
}

// TimedOut is whether the time for the call ended before an answer came.
func TimedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// Broken is whether the connection broke or could not be made.
func Broken(err error) bool {
	for _, cause := range []error{syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, cause) {
			return true
		}
	}
	var n *net.OpError
	return errors.As(err, &n)
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
	if status != 0 {
		line = fmt.Sprintf("%s answered %d: %s", c.service, status, Quote(text))
	}
	if id := Violation(c.err); id != "" {
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
