package journal

import (
	"context"
	"net/http"
	"regexp"
	"strings"
)

var (
	// cloudTrace is TRACE_ID[/SPAN_ID][;o=OPTIONS].
	cloudTrace = regexp.MustCompile(`^([0-9a-fA-F]{32})(?:/[0-9]{1,20})?(?:;o=[0-9]{1,3})?$`)
	// traceParent is VERSION-TRACE_ID-PARENT_ID-FLAGS (W3C Trace Context, 3.2).
	traceParent = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$`)
)

// Trace is middleware that keeps the id of the trace that a request belongs to, so
// that Cloud Logging shows its lines together with those of the load balancer. Ids
// that are not of the defined form are ignored; they decide nothing.
func Trace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := parseTrace(cloudTrace, r.Header.Get("X-Cloud-Trace-Context"))
		if id == "" {
			id = parseTrace(traceParent, r.Header.Get("Traceparent"))
		}
		if id != "" {
			r = r.WithContext(context.WithValue(r.Context(), traceKey, id))
		}
		next.ServeHTTP(w, r)
	})
}

func parseTrace(form *regexp.Regexp, header string) string {
	match := form.FindStringSubmatch(header)
	if match == nil || strings.Trim(match[1], "0") == "" {
		return ""
	}
	return strings.ToLower(match[1])
}
