package channel

import (
	"context"
	"sync"
	"time"
)

// keptFor is for how long a secret is used before it is read again.
const keptFor = 5 * time.Minute

// Kept is a secret that is read where it is kept, and remembered for five minutes. It may
// be used concurrently.
type Kept struct {
	// Read reads it. Its errors hold nothing of it.
	Read func(context.Context) (string, error)
	Now  func() time.Time

	mutex sync.Mutex
	text  string
	at    time.Time
}

// Get returns the secret.
func (k *Kept) Get(ctx context.Context) (string, error) {
	k.mutex.Lock()
	text, age := k.text, k.Now().Sub(k.at)
	k.mutex.Unlock()
	if text != "" && age >= 0 && age < keptFor {
		return text, nil
	}
	return k.Fresh(ctx)
}

// Fresh reads the secret anew, so that what is used is what is kept.
func (k *Kept) Fresh(ctx context.Context) (string, error) {
	text, err := k.Read(ctx)
	if err != nil {
		return "", err
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.text, k.at = text, k.Now()
	return text, nil
}
