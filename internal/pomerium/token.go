package pomerium

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// renewBefore is how long before its end a token is replaced.
const renewBefore = time.Minute

// tokenTimeout is how long one may take.
const tokenTimeout = 10 * time.Second

// idToken is what stands for the API user for a while.
type idToken struct {
	text  string
	until time.Time
}

// tokens holds the token of now. Those who need a new one at the same time share the call
// that gets it, and one who gives up leaves it to the others.
type tokens struct {
	now   func() time.Time
	fetch func(ctx context.Context) (idToken, error)

	mu      sync.Mutex
	current idToken
	running *fetching
}

type fetching struct {
	done  chan struct{}
	token idToken
	err   error
}

// get returns a token that is good for renewBefore, or for half of the life of one that lives
// shorter. A failure is not remembered: the next who asks tries again.
func (t *tokens) get(ctx context.Context) (string, error) {
	t.mu.Lock()
	if t.current.text != "" && t.now().Before(t.current.until) {
		defer t.mu.Unlock()
		return t.current.text, nil
	}
	f := t.running
	if f == nil {
		f = &fetching{done: make(chan struct{})}
		t.running = f
		go t.run(context.WithoutCancel(ctx), f)
	}
	t.mu.Unlock()
	select {
	case <-f.done:
		return f.token.text, f.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (t *tokens) run(ctx context.Context, f *fetching) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	f.token, f.err = t.fetch(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.err == nil {
		t.current = f.token
	}
	t.running = nil
	close(f.done)
}

// drop forgets a token that the API has refused, unless a newer one is there.
func (t *tokens) drop(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current.text == text {
		t.current = idToken{}
	}
}

// parseToken reads the answer to a refresh token. Its life is a number of seconds, written as
// a text. Nothing of the answer is in the error.
func parseToken(answer []byte, asked time.Time) (idToken, error) {
	var form struct {
		ExpiresInSeconds json.RawMessage `json:"expiresInSeconds"`
		IDToken          string          `json:"idToken"`
	}
	if err := json.Unmarshal(answer, &form); err != nil || form.IDToken == "" {
		return idToken{}, nonsense(errors.New("the answer to the refresh token has no idToken"))
	}
	for _, c := range []byte(form.IDToken) {
		if c <= ' ' || c >= 0x7f {
			return idToken{}, nonsense(errors.New("the idToken cannot stand in a header"))
		}
	}
	text := string(form.ExpiresInSeconds)
	if unquoted, err := strconv.Unquote(text); err == nil {
		text = unquoted
	}
	seconds, err := strconv.ParseInt(text, 10, 32)
	if err != nil || seconds <= 0 {
		return idToken{}, nonsense(fmt.Errorf("the idToken lives for %.20q seconds", text))
	}
	life := time.Duration(seconds) * time.Second
	return idToken{form.IDToken, asked.Add(life - min(renewBefore, life/2))}, nil
}
