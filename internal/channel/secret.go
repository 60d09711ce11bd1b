package channel

import (
	"context"
	"sync"
	"time"
)

// keptFor is for how long a secret is used before it is read again.
const keptFor = 5 * time.Minute

// Kept is a secret, or what was made of one, that is read where it is kept, and remembered for
// five minutes. It may be used concurrently.
type Kept[T any] struct {
	// Read reads it. Its errors hold nothing of it.
	Read func(context.Context) (T, error)
	Now  func() time.Time

	mutex sync.Mutex
	value T
	at    time.Time // zero before it was read
}

// Get returns the secret.
func (k *Kept[T]) Get(ctx context.Context) (T, error) {
	k.mutex.Lock()
	value, at := k.value, k.at
	k.mutex.Unlock()
	if age := k.Now().Sub(at); !at.IsZero() && age >= 0 && age < keptFor {
		return value, nil
	}
	return k.Fresh(ctx)
}

// Fresh reads the secret anew, so that what is used is what is kept.
func (k *Kept[T]) Fresh(ctx context.Context) (T, error) {
	value, err := k.Read(ctx)
	if err != nil {
		var none T
		return none, err
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.value, k.at = value, k.Now()
	return value, nil
}

// Known is the secret as it was last read, the zero value before that.
func (k *Kept[T]) Known() T {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	return k.value
}
