package server

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// readiness remembers the last check for a moment, and those who ask meanwhile share
// one: anybody may ask, and a check costs calls.
type readiness struct {
	mu      sync.Mutex
	running chan struct{} // closed when the check that is under way ends; nil when none is
	at      time.Time
	status  int
	outcome health
}

const (
	readinessAge     = 5 * time.Second
	readinessTimeout = 5 * time.Second
)

// health is the shape of JIT Access 1.x.
type health struct {
	Healthy bool            `json:"healthy"`
	Details map[string]bool `json:"details"`
}

func (s *server) alive(w http.ResponseWriter, r *http.Request) {
	s.writeJSON(w, r, http.StatusOK, health{Healthy: true, Details: map[string]bool{}})
}

// readyz names every failing dependency, and answers 503 only when no request
// could succeed: an instance that can still serve most people stays in service.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	done := s.refreshReadiness(r.Context())
	select {
	case <-done:
	case <-r.Context().Done():
		return
	}
	s.ready.mu.Lock()
	status, outcome := s.ready.status, s.ready.outcome
	s.ready.mu.Unlock()
	s.writeJSON(w, r, status, outcome)
}

// refreshReadiness starts a check if the last one is old and none is under way. The
// channel is closed when there is an outcome to show.
func (s *server) refreshReadiness(ctx context.Context) <-chan struct{} {
	s.ready.mu.Lock()
	defer s.ready.mu.Unlock()
	if s.ready.running != nil {
		return s.ready.running
	}
	done := make(chan struct{})
	if s.ready.status != 0 && s.Now().Sub(s.ready.at) < readinessAge {
		close(done)
		return done
	}
	s.ready.running = done
	go func() {
		status, outcome := s.checkReadiness(ctx)
		s.ready.mu.Lock()
		defer s.ready.mu.Unlock()
		s.ready.at, s.ready.status, s.ready.outcome, s.ready.running = s.Now(), status, outcome, nil
		close(done)
	}()
	return done
}

func (s *server) checkReadiness(ctx context.Context) (int, health) {
	// Not the asker's deadline: what is found is remembered for others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readinessTimeout)
	defer cancel()
	h := health{Healthy: true, Details: map[string]bool{}}
	if s.Ready == nil {
		return http.StatusOK, h
	}
	for name, err := range s.Ready(ctx) {
		h.Details[name] = err == nil
		if err == nil {
			continue
		}
		s.Log.WarnContext(ctx, "dependency is failing", "event", eventHealth, "dependency", name, "error", err)
		if errors.Is(err, ErrNotReady) {
			h.Healthy = false
		}
	}
	if !h.Healthy {
		return http.StatusServiceUnavailable, h
	}
	return http.StatusOK, h
}
