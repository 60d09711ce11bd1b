package assetinventory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// shared answers equal questions that are asked at the same time with one call,
// and keeps a bounded number of answers for a while. Answers are shared and not to
// be changed.
type shared[V any] struct {
	now     func() time.Time
	limit   int
	timeout time.Duration
	load    func(ctx context.Context, key string) (V, error)
	flight  singleflight.Group

	mu   sync.Mutex
	kept map[string]answer[V]
}

// answer is a value and when it was asked for.
type answer[V any] struct {
	value V
	at    time.Time
}

func newShared[V any](now func() time.Time, limit int, timeout time.Duration, load func(context.Context, string) (V, error)) *shared[V] {
	return &shared[V]{now: now, limit: limit, timeout: timeout, load: load, kept: map[string]answer[V]{}}
}

// get returns a kept answer that was asked for after an instant, or that of a call
// that ends after the question. A caller who gives up leaves the call to the
// others, and to the cache.
func (s *shared[V]) get(ctx context.Context, key string, after time.Time) (V, time.Time, error) {
	if a, ok := s.find(key, after); ok {
		return a.value, a.at, nil
	}
	result := s.flight.DoChan(key, func() (found any, err error) {
		// It runs in a goroutine of its own, where a panic would end the process for
		// everybody.
		defer func() {
			if r := recover(); r != nil {
				found, err = answer[V]{}, fmt.Errorf("panic: %v", r)
			}
		}()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
		defer cancel()
		at := s.now()
		value, err := s.load(ctx, key)
		a := answer[V]{value, at}
		if err == nil {
			s.keep(key, a)
		}
		return a, err
	})
	select {
	case <-ctx.Done():
		var none V
		return none, time.Time{}, ctx.Err()
	case r := <-result:
		a := r.Val.(answer[V])
		return a.value, a.at, r.Err
	}
}

// last returns the last answer, if it is no older than maxAge.
func (s *shared[V]) last(key string, maxAge time.Duration) (V, time.Time, bool) {
	a, ok := s.find(key, s.now().Add(-maxAge))
	return a.value, a.at, ok
}

func (s *shared[V]) find(key string, after time.Time) (answer[V], bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.kept[key]
	return a, ok && a.at.After(after)
}

// keep stores an answer; a full store forgets its oldest.
func (s *shared[V]) keep(key string, a answer[V]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.kept[key]; !known && len(s.kept) >= s.limit {
		oldest, first := "", true
		for k, kept := range s.kept {
			if first || kept.at.Before(s.kept[oldest].at) {
				oldest, first = k, false
			}
		}
		delete(s.kept, oldest)
	}
	s.kept[key] = a
}
