package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"jitaccess/internal/events"
)

// What a check found is kept for readinessAge, and those who ask meanwhile share it:
// anybody may ask, and a check may cost calls.
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
	writeJSON(w, http.StatusOK, health{Healthy: true, Details: map[string]bool{}})
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
	status := http.StatusOK
	if !found.Healthy {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, found)
}

func (s *server) checkReadiness(ctx context.Context, _ string) (health, error) {
	found := health{Healthy: true, Details: map[string]bool{}}
	if s.Ready == nil {
		return found, nil
	}
	for name, err := range s.Ready(ctx) {
		found.Details[name] = err == nil
		if err == nil {
			continue
		}
		s.Log.WarnContext(ctx, "dependency is failing", "event", events.CheckHealth, "dependency", name, "error", err)
		if errors.Is(err, ErrNotReady) {
			found.Healthy = false
		}
	}
	return found, nil
}
