package server

import (
	"context"
	"io"
	"log/slog"
	"net/http"

	"github.com/go-chi/chi/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/events"
)

// GitHub is GitHub as one that asks. Errors are *access.Error.
type GitHub interface {
	// Read reads what was sent to an application. asks is false for what GitHub sends and no
	// deployment waits for. What GitHub has not signed is of kind Unauthenticated, also where there
	// is no such application.
	Read(ctx context.Context, application string, header http.Header, body []byte) (ask broker.AskFor, asks bool, err error)
	// Refused tells GitHub that nobody is asked, and why.
	Refused(ctx context.Context, ask broker.AskFor, reason string) error
	// Decided tells GitHub of a request as it stands.
	Decided(ctx context.Context, r access.Request) error
}

// pathGitHub is where GitHub sends what it has for an application, whose name follows.
const pathGitHub = pathV1 + "/github/"

// delivered is what GitHub is answered: it shows that to the owners of the app, so that there is
// no token in it.
type delivered struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	URL    string `json:"url,omitempty"`
}

// gitHubDelivery takes a delivery of GitHub's webhook. A deployment that waits is asked for. The
// same again is the same request, and what was decided of it is told again. GitHub sends nothing
// again by itself, and whoever waits there sees nothing of this answer: what cannot be asked for,
// now or at all, is rejected.
func (s *server) gitHubDelivery(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.refuse(w, r, bodyError("the body cannot be read", err))
		return
	}
	name := chi.URLParam(r, "app")
	ask, asks, err := s.Applications.GitHub.Read(r.Context(), name, r.Header, body)
	switch {
	case err != nil:
		if access.AsError(err).Kind == access.Unauthenticated {
			r = r.WithContext(context.WithValue(r.Context(), strangerKey{}, events.AuthenticateApplication))
		}
		s.refuse(w, r, err)
		return
	case !asks:
		w.WriteHeader(http.StatusNoContent)
		return
	}
	r = s.byApplication(r, name, access.ForAction)
	ask.Origin, ask.Host = s.origin(r), r.Host
	asked, err := s.askForGitHub(r, ask)
	if err == nil && approvalStatus(asked.Request.StateAt(s.Now())) != waitOn {
		err = s.Applications.GitHub.Decided(r.Context(), asked.Request)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	writeJSON(w, http.StatusAccepted, delivered{asked.Request.ID, approvalStatus(asked.Request.StateAt(s.Now())), asked.ReviewURL})
}

// askForGitHub asks for a deployment, or rejects it.
func (s *server) askForGitHub(r *http.Request, ask broker.AskFor) (asked broker.Asked, err error) {
	if !s.polls.allow(access.Principal(ask.Application), s.Now()) {
		err = &access.Error{Kind: access.TooMany, Code: access.CodeTooFast}
	} else {
		asked, err = s.Applications.Broker.AskFor(r.Context(), callerOf(r), ask)
	}
	if err == nil || access.AsError(err).Kind == access.Conflict { // then it was asked for before
		return asked, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), asideTime)
	defer cancel()
	reason := inFull(s.refusal(r, access.AsError(err), access.Resource("apps/"+ask.Application)))
	if untold := s.Applications.GitHub.Refused(ctx, ask, reason); untold != nil {
		s.logEvent(r, slog.LevelError, events.Refusal, "a deployment that waits could not be rejected: cancel its run at GitHub",
			slog.String("incident", incidentOf(r)), slog.Any("error", untold))
	}
	return asked, err
}
