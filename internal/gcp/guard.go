package gcp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/quota"
)

// notAsked marks the answer to a call that was not made.
const notAsked = "X-Jitaccess-Not-Asked"

// ownPart marks one that was not made since the person has spent their part of the quota.
const ownPart = "X-Jitaccess-Own-Part"

// ByOwnDoing is whether a call failed since the person for whom it was to be made had
// spent their part of a quota. What they do then must not rest on what was known before:
// whoever lost an eligibility could keep it in that way for as long as that is remembered.
func ByOwnDoing(err error) bool {
	rest, ok := errors.AsType[*StatusError](err)
	return ok && rest.Header.Get(ownPart) != ""
}

// guarded makes the calls that the quotas allow. Any other is answered at once as Google
// answers when a quota is spent, so that it means the same to everybody.
type guarded struct {
	base     http.RoundTripper
	circuits *quota.Circuits
	now      func() time.Time
}

func (g *guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	q := quota.Of(r.Method, r.URL.Path)
	if q == nil {
		return g.base.RoundTrip(r)
	}
	purpose, by := access.PurposeOf(r.Context())
	leave, refusal := g.circuits.Enter(q, purpose, by)
	if refusal != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return refused(r, refusal), nil
	}
	response, err := g.base.RoundTrip(r)
	switch {
	case err != nil:
		leave(quota.Silent, 0)
	case spent(response):
		leave(quota.Spent, retryAfter(response.Header, g.now()))
	default:
		leave(quota.Answered, 0)
	}
	return response, err
}

// refused is the answer to a call that is not made.
func refused(r *http.Request, why *quota.Refusal) *http.Response {
	wait := int((why.Wait + time.Second - 1) / time.Second)
	text := fmt.Sprintf("not asked: the quota %s was spent %d s ago; it is tried again in %d s",
		why.Quota.Name, int(why.Since/time.Second), wait)
	if why.Kept {
		text = fmt.Sprintf("not asked: what is left of the quota %s is kept for others; it is tried again in %d s", why.Quota.Name, wait)
	}
	header := http.Header{"Content-Type": {"application/json"}, notAsked: {why.Quota.Name}}
	if why.Own {
		access.SpentOwnPart(r.Context())
		header.Set(ownPart, "1")
	}
	body, _ := json.Marshal(map[string]any{"error": map[string]any{"code": http.StatusTooManyRequests, "message": text}})
	return &http.Response{
		Status: "429 Too Many Requests", StatusCode: http.StatusTooManyRequests, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        header,
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}
}

// spent is whether Google says that a quota is spent: 429, or of Workspace 403 with a
// reason.
func spent(response *http.Response) bool {
	if response.StatusCode == http.StatusTooManyRequests {
		return true
	}
	if response.StatusCode != http.StatusForbidden {
		return false
	}
	// As long an error as Google writes.
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), response.Body), response.Body}
	if err != nil {
		return false
	}
	return overRate(statusError(response, body))
}

// retryAfter is how long Google asks to wait, in either form of the header; 0 when it
// does not.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(max(0, min(seconds, 3600))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, min(at.Sub(now), time.Hour))
	}
	return 0
}
