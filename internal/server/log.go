package server

import (
	"context"
	"encoding/base32"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"jitaccess/internal/access"
)

// What changes something is journalled by the broker. What only reads, and who was
// let in, is told here as ordinary log lines, with the events and labels that JIT
// Access 1.x had for them: the log turns attributes into labels, and an error into
// the labels that say which it is. The event of who was let in is the identity
// profile's, Config.AuthenticateEvent.
const (
	eventProjects = "api.listProjects"
	eventRoles    = "api.listEligibleRoles"
	eventPeers    = "api.listPeers"
	eventShow     = "api.getActivationRequest"
	eventHealth   = "api.checkHealth"
	// eventRefuse is any other refusal as the person saw it. Where the broker has
	// refused, it has also journalled that, under the name of what was tried.
	eventRefuse = "http.refuse"
	// eventTestMail is a test message of the mail account, and what became of it.
	eventTestMail = "http.testMail"
	// eventWarn is something that an answer lacks, or that could not be made sure of.
	eventWarn = "http.warn"
)

// readEvents are the events of the routes that only read.
var readEvents = map[string]string{
	"GET /":                             eventProjects,
	"GET /api/projects":                 eventProjects,
	"GET /access/*":                     eventRoles,
	"GET /api/projects/{project}/roles": eventRoles,
	"GET /api/projects/{project}/peers": eventPeers,
	"GET /review":                       eventShow,
	"GET /api/activation-request":       eventShow,
}

// guards are the refusals that come before it is looked at what was asked for.
var guards = []access.Code{access.CodeMissingHeader, access.CodeCrossSite, access.CodeTooFast}

// logRefusal writes the cause of a refusal. Its incident id comes with the context.
func (s *server) logRefusal(r *http.Request, e *access.Error, status int) {
	route := routeOf(r)
	event, level := eventRefuse, slog.LevelInfo
	switch read := readEvents[route]; {
	case r.Context().Value(strangerKey{}) != nil:
		event, level = s.AuthenticateEvent, slog.LevelError
	case read != "" && !slices.Contains(guards, e.Code):
		event, level = read, slog.LevelError
	case status >= 500:
		level = slog.LevelError
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		level = slog.LevelWarn
	}
	s.logEvent(r, level, event, "refused", append(s.aboutRoute(r, event),
		slog.String("incident", incidentOf(r)), slog.Int("status", status), slog.Any("error", e))...)
}

// logListed says how many projects somebody was shown.
func (s *server) logListed(r *http.Request, count int) {
	s.logEvent(r, slog.LevelInfo, eventProjects, fmt.Sprintf("found %d projects", count), slog.Int("count", count))
}

// logEvent writes one line. The route says what was asked for: not the address,
// whose query holds the token of a link.
func (s *server) logEvent(r *http.Request, level slog.Level, event, message string, more ...slog.Attr) {
	attrs := []slog.Attr{slog.String("event", event)}
	if route := routeOf(r); route != "" {
		attrs = append(attrs, slog.String("route", route))
	}
	if c := callerOf(r); c.Principal != "" {
		attrs = append(attrs, slog.String("user", string(c.Principal)), slog.String("user_id", c.Subject), slog.String("device_id", c.Device),
			slog.String("device_access_levels", strings.Join(c.AccessLevels, ", ")), slog.String("method", c.Method))
	}
	s.Log.LogAttrs(r.Context(), level, message, append(attrs, more...)...)
}

// routeOf is "METHOD PATTERN" of the route that was found; before that, and where
// there is none, it is empty.
func routeOf(r *http.Request) string {
	if c := chi.RouteContext(r.Context()); c != nil && c.RoutePattern() != "" {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		return method + " " + c.RoutePattern()
	}
	return ""
}

// aboutRoute says what a reading request is about, as far as its address is in
// order.
func (s *server) aboutRoute(r *http.Request, event string) []slog.Attr {
	var on access.Resource
	switch event {
	case eventRoles, eventPeers:
		if on, _ = project(r); on == "" {
			on, _ = s.resourceAt(r)
		}
	}
	if on == "" {
		return nil
	}
	attrs := []slog.Attr{slog.String("resource", "//cloudresourcemanager.googleapis.com/"+string(on))}
	if id, ok := on.ProjectID(); ok {
		attrs = append(attrs, slog.String("project", id), slog.String("project_id", id))
	}
	if event == eventPeers {
		if ids, err := s.askedOf(r, on); err == nil {
			attrs = append(attrs, slog.String("role", string(ids[0].Role)))
		}
	}
	return attrs
}

// incidentLetters has no letter that looks like another, so that an id can be read
// out over the telephone.
var incidentLetters = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

type incidentKey struct{}

// numbered gives the request the id that a refusal will show, and marks with it
// everything that is logged on the way.
func (s *server) numbered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := s.incident()
		ctx := context.WithValue(r.Context(), incidentKey{}, id)
		if s.Incident != nil {
			ctx = s.Incident(ctx, id)
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func incidentOf(r *http.Request) string {
	id, _ := r.Context().Value(incidentKey{}).(string)
	return id
}

func (s *server) incident() string {
	var b [5]byte
	if _, err := io.ReadFull(s.Random, b[:]); err != nil {
		return fmt.Sprintf("T%d", s.Now().UnixNano())
	}
	id := incidentLetters.EncodeToString(b[:])
	return id[:4] + "-" + id[4:]
}
