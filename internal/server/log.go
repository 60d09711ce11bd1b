package server

import (
	"cmp"
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
	"jitaccess/internal/broker"
	"jitaccess/internal/events"
)

// readEvents are the events of the routes that only read. What changes something is
// journalled by the broker; what only reads, and who was let in, is told as ordinary
// lines: the log turns attributes into labels, and an error into the labels that say
// which it is.
var readEvents = map[string]string{
	"GET /":                             events.ListProjects,
	"GET /api/projects":                 events.ListProjects,
	"GET /access/*":                     events.ListRoles,
	"GET /api/projects/{project}/roles": events.ListRoles,
	"GET /api/projects/{project}/peers": events.ListPeers,
	"GET /review":                       events.ShowRequest,
	"GET /api/activation-request":       events.ShowRequest,
}

// guards are the refusals that come before it is looked at what was asked for.
var guards = []access.Code{access.CodeMissingHeader, access.CodeCrossSite, access.CodeTooFast}

// logRefusal writes the cause of a refusal. Its incident id comes with the context.
func (s *server) logRefusal(r *http.Request, e *access.Error, status int) {
	route := routeOf(r)
	event, level := events.Refusal, slog.LevelInfo
	switch read := readEvents[strings.Replace(route, " "+broker.AdminPath+"/", " /", 1)]; {
	case r.Context().Value(strangerKey{}) == events.AuthenticateApplication:
		event, level = events.AuthenticateApplication, slog.LevelWarn
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
	s.logEvent(r, slog.LevelInfo, events.ListProjects, "found "+access.Counted(count, "project", "projects"), slog.Int("count", count))
}

// logEvent writes one line. The route says what was asked for: not the address,
// whose query holds the token of a link.
func (s *server) logEvent(r *http.Request, level slog.Level, event, message string, more ...slog.Attr) {
	attrs := []slog.Attr{slog.String("event", event)}
	if route := routeOf(r); route != "" {
		attrs = append(attrs, slog.String("route", route))
	}
	if c := callerOf(r); c.Method != "" {
		attrs = append(attrs, labels(events.CallerLabels(c))...)
	}
	s.Log.LogAttrs(r.Context(), level, message, append(attrs, more...)...)
}

func labels(all map[string]string) (attrs []slog.Attr) {
	for name, value := range all {
		attrs = append(attrs, slog.String(name, value))
	}
	return attrs
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

// observed tells Observe of each request.
func (s *server) observed(next http.Handler) http.Handler {
	if s.Observe == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, answered := s.Observe(r)
		written := &statusWriter{ResponseWriter: w}
		defer func() {
			route := ""
			if c := chi.RouteContext(ctx); c != nil {
				route = c.RoutePattern()
			}
			answered(route, cmp.Or(written.status, http.StatusOK))
		}()
		next.ServeHTTP(written, r.WithContext(ctx))
	})
}

// statusWriter remembers the status of an answer; 0 is none yet, which net/http makes 200. What else
// the writer can do, http.ResponseController finds.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK { // what informs comes before it
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(body []byte) (int, error) {
	w.status = cmp.Or(w.status, http.StatusOK)
	return w.ResponseWriter.Write(body)
}

// headAsGet answers HEAD as GET: no route is for HEAD alone, and net/http leaves out the body.
func headAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			chi.RouteContext(r.Context()).RouteMethod = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

// aboutRoute says what a reading request is about, as far as its address is in
// order.
func (s *server) aboutRoute(r *http.Request, event string) []slog.Attr {
	if event != events.ListRoles && event != events.ListPeers {
		return nil
	}
	on, err := s.project(r)
	if err != nil {
		on, _ = s.resourceAt(r)
	}
	attrs := labels(events.ResourceLabels(on))
	if event == events.ListPeers && on != "" {
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
