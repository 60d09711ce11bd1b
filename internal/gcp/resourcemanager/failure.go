package resourcemanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

// service is the name of the API in messages.
const service = "Resource Manager"

// statusError is an answer of Google's other than 200.
type statusError struct {
	status int
	// message is Google's own text, of any content; code is its name of the error.
	message, code string
	// violation is the id under which an administrator finds a refusal of VPC
	// Service Controls; empty for others.
	violation string
}

// vpcViolation stands at the end of a long text, or in the details of the error.
var vpcViolation = regexp.MustCompile(`(?i)vpcServiceControlsUniqueIdentifier"?\s*[:=]\s*"?([A-Za-z0-9_-]{1,128})`)

func newStatusError(status int, body []byte) *statusError {
	var answer struct {
		Error struct {
			Message string            `json:"message"`
			Status  string            `json:"status"`
			Details []json.RawMessage `json:"details"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Error.Message == "" {
		answer.Error.Message = string(body[:min(len(body), 4*maxQuoted)])
	}
	e := &statusError{status: status, message: answer.Error.Message, code: answer.Error.Status}
	if id := vpcViolation.FindSubmatch(body[:min(len(body), 64<<10)]); id != nil {
		e.violation = string(id[1])
		return e
	}
	for _, raw := range answer.Error.Details {
		var d struct {
			Violations []struct{ Type, Description string }
		}
		if json.Unmarshal(raw, &d) != nil {
			continue
		}
		for _, v := range d.Violations {
			if v.Type == "VPC_SERVICE_CONTROLS" {
				e.violation = strings.Trim(quoted(v.Description), `"`)
			}
		}
	}
	return e
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", service, e.status, quoted(e.message))
}

// operation says what was tried, for the text of its failure.
type operation struct {
	// method is the last part of the permission that it needs: "setIamPolicy".
	method string
	// resource is empty for a search.
	resource access.Resource
	// roles and principals are what a write was to change.
	roles      []access.Role
	principals []access.Principal
	// deleted is whose deleted account the policy still names.
	deleted []access.Principal
}

func (op operation) permission() string {
	kind := op.resource.Kind()
	if kind == "" {
		kind = "projects"
	}
	return "resourcemanager." + kind + "." + op.method
}

// failure says what a failed call means to people. It is the only place that
// does. Google's text is shown only where Google refuses what was asked, quoted
// and cut short.
func failure(op operation, account string, err error) *access.Error {
	var known *access.Error
	if errors.As(err, &known) {
		return known
	}
	fail := func(kind access.Kind, code access.Code, args access.Args) *access.Error {
		return &access.Error{Kind: kind, Code: code, Args: args, Err: err}
	}
	api, resource := access.Args{"service": service}, access.Args{"resource": string(op.resource)}
	var s *statusError
	if !errors.As(err, &s) {
		switch {
		case errors.Is(err, context.Canceled):
			return fail(access.TimedOut, access.CodeDeadline, nil)
		case timedOut(err):
			return fail(access.TimedOut, access.CodeUpstreamTimeout, api)
		case broken(err):
			return fail(access.Unavailable, access.CodeUpstreamFailed, api)
		}
		return fail(access.Upstream, access.CodeUpstreamFailed, api)
	}
	switch s.status {
	case http.StatusBadRequest:
		return refusal(op, s, fail)
	case http.StatusForbidden:
		args := access.Args{"permission": op.permission(), "resource": string(op.resource), "account": account}
		if s.violation != "" {
			args["violation"] = s.violation
		}
		return fail(access.Upstream, access.CodeServiceNotAllowed, args)
	case http.StatusNotFound:
		return fail(access.NotFound, access.CodeUnknownResource, resource)
	case http.StatusConflict, http.StatusPreconditionFailed:
		return fail(access.Conflict, access.CodeConflict, resource)
	case http.StatusTooManyRequests:
		return fail(access.TooMany, access.CodeQuota, api)
	case http.StatusServiceUnavailable:
		return fail(access.Unavailable, access.CodeUpstreamFailed, api)
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return fail(access.TimedOut, access.CodeUpstreamTimeout, api)
	}
	return fail(access.Upstream, access.CodeUpstreamFailed, api)
}

// Google's texts for content that it refuses, as quoted in public reports. They
// are no contract, so whatever matches none is shown as it is.
var (
	roleRefused   = regexp.MustCompile(`(?i)\brole\b.*(not supported for this resource|does not exist|is invalid|cannot be granted)`)
	memberRefused = regexp.MustCompile(`(?i)\b(user|principal|member|account|identity|e-?mail)\b.*(does not exist|not found|is of an unknown type|is not associated with)`)
	policyFull    = regexp.MustCompile(`(?i)number of members in the policy \(([0-9,]+)\) is larger than the maximum allowed size ([0-9,]+)`)
)

// refusal says why Google takes the content of a call for wrong.
func refusal(op operation, s *statusError, fail func(access.Kind, access.Code, access.Args) *access.Error) *access.Error {
	if m := policyFull.FindStringSubmatch(s.message); m != nil {
		return fail(access.Unprocessable, access.CodePolicyFull, access.Args{"count": strings.Trim(m[1], ","),
			"max": strings.Trim(m[2], ","), "resource": string(op.resource)})
	}
	if len(op.roles) > 0 && roleRefused.MatchString(s.message) {
		return fail(access.Unprocessable, access.CodeRoleNotGrantable,
			access.Args{"role": namedIn(s.message, op.roles), "resource": string(op.resource)})
	}
	if len(op.principals) > 0 && memberRefused.MatchString(s.message) {
		return fail(access.Unprocessable, access.CodeMemberUnknown, access.Args{"principal": namedIn(s.message, op.principals)})
	}
	reason := quoted(s.message)
	if len(op.roles) > 0 {
		reason += " (" + namedIn(s.message, op.roles) + ")"
	}
	if len(op.deleted) > 0 {
		reason += fmt.Sprintf("; the policy still names deleted:user:%s, which may have to be removed first", op.deleted[0])
	}
	args := access.Args{"reason": reason}
	if s.violation != "" {
		args["violation"] = s.violation
	}
	return fail(access.Unprocessable, access.CodePlatformRefused, args)
}

// namedIn are those of the names that the text has, or all if it has none.
func namedIn[T ~string](text string, names []T) string {
	var all, named []string
	for _, n := range names {
		all = append(all, string(n))
		if containsName(text, string(n)) {
			named = append(named, string(n))
		}
	}
	if len(named) > 0 {
		all = named
	}
	return strings.Join(all, ", ")
}

// containsName is whether text has the whole name, not a longer one that it is
// part of: roles/run.admin is not in roles/run.administrator.
func containsName(text, name string) bool {
	whole := `(?i)(^|[^a-z0-9_./-])` + regexp.QuoteMeta(name) + `(\.?$|\.?[^a-z0-9_.])`
	return regexp.MustCompile(whole).MatchString(text)
}

// withDeleted fills in whose deleted accounts the policy names.
func (op operation) withDeleted(p *iampolicy.Policy) operation {
	for _, who := range op.principals {
		if p.Deleted(who) {
			op.deleted = append(op.deleted, who)
		}
	}
	return op
}

// passing is whether the same call may succeed in a moment.
func passing(err error) bool {
	var s *statusError
	if errors.As(err, &s) {
		return s.status == http.StatusTooManyRequests || s.status == http.StatusRequestTimeout || s.status >= 500
	}
	return timedOut(err) || broken(err)
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// broken is whether the connection broke or could not be made.
func broken(err error) bool {
	var n *net.OpError
	for _, cause := range []error{syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return errors.As(err, &n)
}

// neverSent is whether the call cannot have reached Google.
func neverSent(err error) bool {
	var n *net.OpError
	return errors.As(err, &n) && n.Op == "dial"
}

// maxQuoted is how much of Google's text is kept.
const maxQuoted = 300

// quoted makes foreign text fit for one line of a page or log.
func quoted(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > maxQuoted {
		at := maxQuoted
		for at > 0 && !utf8.RuneStart(text[at]) {
			at--
		}
		text = text[:at] + "…"
	}
	return strconv.Quote(text)
}
