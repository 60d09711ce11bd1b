package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"jitaccess/internal/events"
)

// readiness is what a check found. It is kept for readinessAge, and those who ask
// meanwhile share it: anybody may ask, and a check may cost calls.
type readiness struct {
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
	found, err := s.ready.Get(r.Context(), "", s.Now().Add(-readinessAge))
	if err != nil {
		if r.Context().Err() == nil {
			s.refuse(w, r, err)
		}
		return
	}
	s.writeJSON(w, r, found.status, found.outcome)
}

func (s *server) checkReadiness(ctx context.Context, _ string) (readiness, error) {
	found := readiness{http.StatusOK, health{Healthy: true, Details: map[string]bool{}}}
	if s.Ready == nil {
		return found, nil
	}
	for name, err := range s.Ready(ctx) {
		found.outcome.Details[name] = err == nil
		if err == nil {
			continue
		}
		s.Log.WarnContext(ctx, "dependency is failing", "event", events.CheckHealth, "dependency", name, "error", err)
		if errors.Is(err, ErrNotReady) {
			found.status, found.outcome.Healthy = http.StatusServiceUnavailable, false
		}
	}
	return found, nil
}
