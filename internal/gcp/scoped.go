package gcp

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// scoped sends reads with the metadata server's own token until Google says that
// the token lacks the scope, and from then on with an impersonated one. Whether a
// metadata server grants the scope that it is asked for depends on the platform
// and on how the instance was made, and no metadata value says so reliably.
type scoped struct {
	plain, impersonating http.RoundTripper
	lacking              atomic.Bool
}

// RoundTrip is for requests without a body, which can be sent twice.
func (s *scoped) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.lacking.Load() {
		return s.impersonating.RoundTrip(r)
	}
	response, err := s.plain.RoundTrip(r)
	if err != nil || response.StatusCode != http.StatusForbidden || r.Body != nil {
		return response, err
	}
	// As long an error as Google writes; the rest is not needed to understand it.
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	text := string(body)
	if !strings.Contains(text, "ACCESS_TOKEN_SCOPE_INSUFFICIENT") && !strings.Contains(text, "insufficient authentication scopes") &&
		!strings.Contains(response.Header.Get("WWW-Authenticate"), "insufficient_scope") {
		return response, nil
	}
	s.lacking.Store(true)
	return s.impersonating.RoundTrip(r)
}
