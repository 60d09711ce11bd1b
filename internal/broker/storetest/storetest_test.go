package storetest_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker/storetest"
)

// memory is the simplest store that remembers. It shows that the suite can be
// passed by one, and what the contract asks of it.
type memory struct {
	mu       sync.Mutex
	requests map[string]access.Request
}

func (m *memory) Limits() access.Limits { return access.Limits{} }

func (m *memory) Open(_ context.Context, ref string) (access.Request, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.requests[ref]
	if !ok {
		return access.Request{}, &access.Error{Kind: access.NotFound, Code: access.CodeBadLink}
	}
	return clone(r), nil
}

func (m *memory) Append(_ context.Context, r access.Request, events []access.Event, _ []access.Notice) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored := m.requests[r.ID]
	if stored.Version != r.Version {
		return "", &access.Error{Kind: access.Conflict, Code: access.CodeConflict}
	}
	if stored.Version == 0 {
		stored = clone(r)
	}
	for _, e := range events {
		stored.Version++
		if e.Action == access.ReviewersAdded {
			stored.Reviewers = slices.Clone(r.Reviewers)
		}
		if e.Decision != (access.Decision{}) {
			stored.Decisions = append(stored.Decisions, e.Decision)
		}
	}
	m.requests[r.ID] = stored
	return r.ID, nil
}

func clone(r access.Request) access.Request {
	r.Entitlements, r.Reviewers, r.Decisions = slices.Clone(r.Entitlements), slices.Clone(r.Reviewers), slices.Clone(r.Decisions)
	return r
}

func TestStoreThatRemembers(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Fixture {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		return storetest.Fixture{
			Store:   &memory{requests: map[string]access.Request{}},
			Now:     func() time.Time { return now },
			Advance: func(d time.Duration) { now = now.Add(d) },
		}
	})
}
