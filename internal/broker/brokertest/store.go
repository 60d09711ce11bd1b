package brokertest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
)

// Store keeps requests in memory. It remembers, as the fold of their events, unless
// it Forgets: then it keeps what was asked, each time under a ref of its own, until
// it expires. Make one with NewStore.
type Store struct {
	Forgets bool
	// Lasting: what has expired is opened all the same, for tests of what is behind.
	Lasting bool
	// Err makes it fail to commit what it gets a say in.
	Err error
	// Now is the clock.
	Now func() time.Time

	mu sync.Mutex
	// Requests are by ref. Events are all that was committed, notices what came
	// with them.
	Requests map[string]access.Request
	Events   []access.Event
	Notices  []access.Notice
}

// NewStore makes a Store.
func NewStore(now func() time.Time) *Store {
	return &Store{Now: now, Requests: map[string]access.Request{}}
}

// Ref is what a request is opened by. Where the store forgets, what is asked under
// the same id later has more to it.
func Ref(id string, more int) string { return "ref-" + id + strings.Repeat("-more", more) }

// Limits says whether it forgets.
func (s *Store) Limits() access.Limits { return access.Limits{Forgets: s.Forgets} }

// Open finds a request by its ref.
func (s *Store) Open(_ context.Context, ref string) (access.Request, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.Requests[ref]
	if !ok {
		return r, &access.Error{Kind: access.NotFound, Code: access.CodeBadLink}
	}
	if s.Forgets && !s.Lasting && !s.Now().Before(r.Expires) {
		return access.Request{}, &access.Error{Kind: access.Gone, Code: access.CodeLinkExpired}
	}
	return clone(r), nil
}

// Commit records an event.
func (s *Store) Commit(_ context.Context, e access.Event, notices []access.Notice) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Err != nil {
		return "", s.Err
	}
	e.Request = clone(e.Request)
	ref, err := s.change(e)
	if err == nil {
		e.Follows = nil
		s.Events, s.Notices = append(s.Events, e), append(s.Notices, notices...)
	}
	return ref, err
}

func (s *Store) change(e access.Event) (string, error) {
	if s.Forgets {
		if e.Action != access.RequestMade && e.Action != access.ReviewersAdded {
			return "", nil
		}
		r := e.Request
		r.State, r.Version, r.Decisions = access.Pending, 1, nil
		more := 0
		for before, ok := s.Requests[Ref(r.ID, more)]; ok && before.FullDigest() != r.FullDigest(); before, ok = s.Requests[Ref(r.ID, more)] {
			more++
		}
		s.Requests[Ref(r.ID, more)] = r
		return Ref(r.ID, more), nil
	}
	ref := Ref(e.Request.ID, 0)
	stored, known := s.Requests[ref]
	if !known && (!e.Action.IsIntent() || e.Action == access.EndAsked) {
		return "", nil
	}
	next, err := stored.Apply(e)
	if e.Action.IsIntent() && e.Action != access.EndAsked {
		if stored.Version != e.Request.Version {
			if !known {
				ref = ""
			}
			return ref, &access.Error{Kind: access.Conflict, Code: access.CodeConflict}
		}
	} else if err != nil {
		return ref, nil // a fact that nothing can be made of
	}
	if err != nil {
		return "", err
	}
	s.Requests[ref] = next
	if e.Follows != nil {
		*e.Follows = stored.Version == e.Request.Version
	}
	return ref, nil
}

// Heard are the actions that were committed, in brief.
func (s *Store) Heard() string { return actions(s.Events) }

func actions(events []access.Event) string {
	var all []string
	for _, e := range events {
		all = append(all, string(e.Action))
	}
	return strings.Join(all, ", ")
}

func clone(r access.Request) access.Request {
	r.Entitlements, r.Reviewers, r.Decisions = slices.Clone(r.Entitlements), slices.Clone(r.Reviewers), slices.Clone(r.Decisions)
	return r
}
