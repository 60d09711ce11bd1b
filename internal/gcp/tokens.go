package gcp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

// renewBefore is how long before its end a token is renewed, as Google's library does:
// the metadata server itself hands out a cached token until 4 minutes before.
const renewBefore = 225 * time.Second

// replacedAtMost is how often a token is replaced because Google refuses it: what refuses
// the fresh one as well refuses the next, and each costs a call to the token server.
const replacedAtMost = 5 * time.Second

// tokens keeps one access token for all calls, and fetches the next when it ends, or
// when Google does not take it any more. It is safe for concurrent use; who comes while
// a token is fetched waits for that one.
type tokens struct {
	fetch oauth2.TokenSource
	now   func() time.Time

	mu   sync.Mutex
	last *oauth2.Token
	// replaced is when one was last replaced before its end.
	replaced time.Time
}

// current returns the token to call with.
func (t *tokens) current() (*oauth2.Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != nil && (t.last.Expiry.IsZero() || time.Until(t.last.Expiry) > renewBefore) {
		return t.last, nil
	}
	return t.next()
}

// after returns another token than one that Google refused, or nil when there is none
// to be had: the token server still gives that one, or cannot be asked, or was asked only
// just now. Of several who come with the same dead token one fetches.
func (t *tokens) after(dead *oauth2.Token) *oauth2.Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || t.last.AccessToken == dead.AccessToken {
		if now := t.now(); now.Sub(t.replaced) < replacedAtMost {
			return nil
		} else {
			t.replaced = now
		}
		if _, err := t.next(); err != nil {
			return nil
		}
	}
	if t.last.AccessToken == dead.AccessToken {
		return nil
	}
	return t.last
}

// next fetches a token; t.mu is held.
func (t *tokens) next() (*oauth2.Token, error) {
	token, err := t.fetch.Token()
	if err != nil {
		return nil, err
	}
	t.last = token
	return token, nil
}

// authorized sends requests with a token. One that is answered 401 did nothing, also
// when it was to write; it is sent once more, with a fresh token, if there is one.
type authorized struct {
	base   http.RoundTripper
	tokens *tokens
	// answered is told the head of each answer; it may be nil.
	answered func(http.Header)
}

func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := a.tokens.current()
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	again, err := replayable(r)
	if err != nil {
		return nil, err
	}
	response, err := a.send(r, token)
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		return response, err
	}
	fresh := a.tokens.after(token)
	if fresh == nil {
		return response, nil
	}
	body, err := again()
	if err != nil {
		return response, nil
	}
	// So that the connection can be used again.
	io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	response.Body.Close()
	second := r.Clone(r.Context())
	second.Body = body
	return a.send(second, fresh)
}

func (a *authorized) send(r *http.Request, token *oauth2.Token) (*http.Response, error) {
	r = r.Clone(r.Context())
	token.SetAuthHeader(r)
	response, err := a.base.RoundTrip(r)
	if err == nil && a.answered != nil {
		a.answered(response.Header)
	}
	return response, err
}

// maxReplayed is the largest body that is kept for a second sending; a policy of the
// largest size has some 300 KB.
const maxReplayed = 8 << 20

// replayable makes sure that the body of a request can be sent twice, and returns the
// second.
func replayable(r *http.Request) (func() (io.ReadCloser, error), error) {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return func() (io.ReadCloser, error) { return r.Body, nil }, nil
	case r.GetBody != nil:
		return r.GetBody, nil
	}
	content, err := io.ReadAll(io.LimitReader(r.Body, maxReplayed+1))
	r.Body.Close()
	if err == nil && len(content) > maxReplayed {
		err = fmt.Errorf("a request of more than %d bytes", maxReplayed)
	}
	if err != nil {
		return nil, err
	}
	body := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	r.Body, _ = body()
	return body, nil
}
