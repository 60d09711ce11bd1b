package google

import (
	"cmp"
	"fmt"
	"net/http"
	"time"
)

// apiError is an error as Google's APIs answer it.
type apiError struct {
	code    int
	status  string
	message string
	// reason is the old-style reason, in the errors list.
	reason string
	// oauth is for an error of the token endpoint, whose name is the reason.
	oauth bool
	// domain is that of the old-style reason; empty is global.
	domain string
	// info is the google.rpc.ErrorInfo in details, help the google.rpc.Help after it;
	// nil for none.
	info, help map[string]any
	// retryAfter is the header of that name; 0 for none.
	retryAfter time.Duration
}

func (e *apiError) Error() string { return fmt.Sprintf("%d %s: %s", e.code, e.status, e.message) }

// body is the envelope. The Directory API knows no status, and the token endpoint no
// envelope.
func (e *apiError) body() any {
	if e.oauth {
		return map[string]any{"error": e.reason, "error_description": e.message}
	}
	inner := map[string]any{
		"code":    e.code,
		"message": e.message,
		"errors":  []any{map[string]any{"message": e.message, "domain": cmp.Or(e.domain, "global"), "reason": e.reason}},
	}
	if e.status != "" {
		inner["status"] = e.status
	}
	if e.info != nil {
		inner["details"] = []any{e.info}
	}
	if e.help != nil {
		inner["details"] = []any{e.info, e.help}
	}
	return map[string]any{"error": inner}
}

// statuses are the google.rpc codes and old-style reasons of HTTP statuses.
var statuses = map[int][2]string{
	http.StatusBadRequest:          {"INVALID_ARGUMENT", "badRequest"},
	http.StatusUnauthorized:        {"UNAUTHENTICATED", "authError"},
	http.StatusForbidden:           {"PERMISSION_DENIED", "forbidden"},
	http.StatusNotFound:            {"NOT_FOUND", "notFound"},
	http.StatusConflict:            {"ABORTED", "aborted"},
	http.StatusPreconditionFailed:  {"FAILED_PRECONDITION", "conditionNotMet"},
	http.StatusTooManyRequests:     {"RESOURCE_EXHAUSTED", "rateLimitExceeded"},
	http.StatusInternalServerError: {"INTERNAL", "backendError"},
	http.StatusBadGateway:          {"UNAVAILABLE", "backendError"},
	http.StatusServiceUnavailable:  {"UNAVAILABLE", "backendError"},
	http.StatusGatewayTimeout:      {"DEADLINE_EXCEEDED", "backendError"},
}

// failure is an error with the status and reason that its code usually has.
func failure(code int, format string, args ...any) *apiError {
	s := statuses[code]
	return &apiError{code: code, status: s[0], reason: s[1], message: fmt.Sprintf(format, args...)}
}

// invalid is a 400.
func invalid(format string, args ...any) *apiError {
	return failure(http.StatusBadRequest, format, args...)
}

// denied is the 403 for a permission that the caller lacks on a resource. Google
// says the same when the resource does not exist.
func denied(permission, resource, service string) *apiError {
	e := failure(http.StatusForbidden, "Permission '%s' denied on resource '%s' (or it may not exist).", permission, resource)
	e.info = errorInfo("IAM_PERMISSION_DENIED", service, map[string]any{"permission": permission, "resource": resource})
	return e
}

func errorInfo(reason, domain string, metadata map[string]any) map[string]any {
	return map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain, "metadata": metadata}
}

// legacy is an error of the Directory API.
func legacy(code int, reason, message string) *apiError {
	return &apiError{code: code, reason: reason, message: message}
}
