package broker

import (
	"context"
	"fmt"

	"jitaccess/internal/access"
)

// opensAtOnce is how many requests are opened at a time for applications: ten thousand that
// come at once take turns, and do not make the store too slow for everybody.
const opensAtOnce = 16

// openInTurn opens a request on a goroutine of its own: reading a database takes a deep stack, which
// each of those who wait afterwards would keep.
func (b *Broker) openInTurn(ctx context.Context, id string) (access.Request, error) {
	select {
	case b.opening <- struct{}{}:
	case <-ctx.Done():
		return access.Request{}, ctx.Err()
	}
	type found struct {
		request access.Request
		err     error
	}
	done := make(chan found, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				done <- found{err: fmt.Errorf("panic: %v", cause)}
			}
			<-b.opening
		}()
		r, err := b.open(ctx, id)
		done <- found{r, err}
	}()
	f := <-done
	return f.request, f.err
}
