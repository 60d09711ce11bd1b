package server

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// readiness remembers the last check for a moment: anybody may ask, and a check
// costs calls.
type readiness struct {
	mu      sync.Mutex
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
	s.ready.mu.Lock()
	defer s.ready.mu.Unlock()
	if now := s.Now(); s.ready.status == 0 || now.Sub(s.ready.at) >= readinessAge {
		s.ready.at = now
		s.ready.status, s.ready.outcome = s.checkReadiness(r.Context())
	}
	s.writeJSON(w, r, s.ready.status, s.ready.outcome)
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
