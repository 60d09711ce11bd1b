package gcp

import (
	"bytes"
	"context"
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
// a token is fetched waits for that one, whatever comes of it, and no longer than they have
// time: a token server that hangs is waited for once, not by each in turn.
type tokens struct {
	fetch oauth2.TokenSource
	now   func() time.Time

	mu   sync.Mutex
	last *oauth2.Token
	// running is the fetching that is under way; nil when none is.
	running *fetching
	// replaced is when one was last replaced before its end.
	replaced time.Time
}

// fetching is of one token; it and err are there once done is closed.
type fetching struct {
	done  chan struct{}
	token *oauth2.Token
	err   error
}

func (f *fetching) wait(ctx context.Context) (*oauth2.Token, error) {
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// current returns the token to call with.
func (t *tokens) current(ctx context.Context) (*oauth2.Token, error) {
	t.mu.Lock()
	if last := t.last; last != nil && (last.Expiry.IsZero() || time.Until(last.Expiry) > renewBefore) {
		t.mu.Unlock()
		return last, nil
	}
	f := t.next()
	t.mu.Unlock()
	return f.wait(ctx)
}

// after returns another token than one that Google refused, or nil when there is none
// to be had: the token server still gives that one, or cannot be asked, or was asked only
// just now. Of several who come with the same dead token one fetches.
func (t *tokens) after(ctx context.Context, dead *oauth2.Token) *oauth2.Token {
	t.mu.Lock()
	last := t.last
	if last == nil || last.AccessToken == dead.AccessToken {
		if now := t.now(); t.running == nil && now.Sub(t.replaced) < replacedAtMost {
			t.mu.Unlock()
			return nil
		} else if t.running == nil {
			t.replaced = now
		}
		f := t.next()
		t.mu.Unlock()
		last, _ = f.wait(ctx)
	} else {
		t.mu.Unlock()
	}
	if last == nil || last.AccessToken == dead.AccessToken {
		return nil
	}
	return last
}

// next fetches a token, unless that is under way; t.mu is held.
func (t *tokens) next() *fetching {
	if t.running != nil {
		return t.running
	}
	f := &fetching{done: make(chan struct{})}
	t.running = f
	go func() {
		f.token, f.err = t.fetch.Token()
		t.mu.Lock()
		defer t.mu.Unlock()
		if f.err == nil {
			t.last = f.token
		}
		t.running = nil
		close(f.done)
	}()
	return f
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
	token, err := a.tokens.current(r.Context())
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
	fresh := a.tokens.after(r.Context(), token)
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
