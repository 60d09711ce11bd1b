// Package callback tells applications that what they asked for has changed, at an address of
// theirs, as Standard Webhooks has it
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
// What is sent is a hint: who gets it asks for what is true.
package callback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"jitaccess/internal/outbound"
	"jitaccess/internal/standardwebhook"
)

// Message is what is sent.
type Message struct {
	// ID is the same each time that it is sent again.
	ID string
	// URL is where, which the caller has checked (application.ParseCallback).
	URL string
	// Body is JSON.
	Body []byte
	// Keys sign it, each for itself; at least one.
	Keys [][]byte
}

// Sender sends messages. Client is one of NewClient; Now is the clock, which is signed too.
type Sender struct {
	Client *http.Client
	Now    func() time.Time
}

// sendTime bounds one attempt.
const sendTime = 10 * time.Second

// ErrGone: the answer was 410, nobody wants to hear of anything there any more.
var ErrGone = errors.New("the answer was 410 Gone")

// Send sends a message once. Nil is that it was taken. Any error but ErrGone may pass.
func (s Sender) Send(ctx context.Context, m Message) error {
	if len(m.Keys) == 0 || m.ID == "" {
		return errors.New("there is no key to sign the callback with")
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.URL, bytes.NewReader(m.Body))
	if err != nil {
		return outbound.WithoutAddress(err)
	}
	standardwebhook.Sign(request.Header, m.Keys, m.ID, s.Now(), m.Body)
	request.Header.Set("User-Agent", "jitaccess")
	response, err := s.Client.Do(request)
	if err != nil {
		return outbound.WithoutAddress(err) // its path may be a secret
	}
	response.Body.Close() // nothing in it counts
	switch code := response.StatusCode; {
	case code == http.StatusGone:
		return ErrGone
	case code/100 != 2:
		return fmt.Errorf("the answer was %d %s", code, http.StatusText(code))
	}
	return nil
}
