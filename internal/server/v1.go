package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/bearer"
	"jitaccess/internal/broker"
	"jitaccess/internal/events"
)

// Applications is what programs ask for people's access through (docs/applications.md). All
// fields but MachinesURL and GitHub are required.
type Applications struct {
	Broker   ApplicationBroker
	Registry application.Registry
	// GitHub reads what GitHub sends; nil where nothing is taken from there.
	GitHub GitHub
	// Tokens signs access tokens.
	Tokens *bearer.Signer
	// MachinesURL is the origin of the service that programs reach, where people's does not let
	// them in. It is then whose name access tokens bear.
	MachinesURL string
	// Waiters is how many requests may wait for a decision at a time, per instance.
	Waiters int
	// Now is the clock of programs, by which the tokens that they make are judged.
	Now func() time.Time
}

// ApplicationBroker is what the API for applications needs of *broker.Broker.
type ApplicationBroker interface {
	AskFor(context.Context, access.Caller, broker.AskFor) (broker.Asked, error)
	ForApplication(ctx context.Context, c access.Caller, id string) (access.Request, error)
	Withdraw(ctx context.Context, c access.Caller, id, origin string) (access.Request, []*access.Error, error)
	End(ctx context.Context, c access.Caller, on access.Resource, requestID string, of access.Principal) (broker.Ended, error)
	// WhenChanged calls wake when the request is at another version than that, or sooner, at most
	// once and not after leave. It must not keep the goroutine that calls it, and leave must be called.
	WhenChanged(id string, version int, wake func()) (leave func())
}

const (
	pathV1        = "/v1"
	pathWellKnown = "/.well-known"
	// tokenHeader takes an authentication token where Authorization is somebody else's.
	tokenHeader = "X-Nl3-Authorization-Token"
)

// forApplications is the API for applications. What a proxy says of who sent a request counts
// for nothing here: the application's token alone does.
func (s *server) forApplications(r chi.Router) {
	if s.Applications == nil {
		return
	}
	r.Get(pathWellKnown+"/oauth-authorization-server", s.metadata)
	r.Get(pathWellKnown+"/jwks.json", s.keySet)
	if s.Applications.GitHub != nil {
		r.Post(pathGitHub+"{app}", s.gitHubDelivery)
	}
	r.Group(func(r chi.Router) {
		r.Use(s.authenticated)
		r.Post(pathV1+"/approvals", s.v1(http.StatusAccepted, s.createApproval))
		r.Get(pathV1+"/approvals/{id}", s.getApproval)
		r.Post(pathV1+"/approvals/{id}/withdraw", s.v1(http.StatusOK, with(requestID, s.withdrawApproval)))
		r.Post(pathV1+"/introspect", s.v1(http.StatusOK, s.introspect))
		r.Post(pathV1+"/revoke", s.v1(http.StatusOK, s.revoke))
	})
}

// isForApplications is whether an address is one of the API for applications, or could be.
func (s *server) isForApplications(r *http.Request) bool {
	return s.Machines || s.Applications != nil &&
		(strings.HasPrefix(r.URL.Path, pathV1+"/") || strings.HasPrefix(r.URL.Path, pathWellKnown+"/"))
}

// applicationKey is where a request keeps the authentication token that came with it.
type applicationKey struct{}

func authenticationOf(r *http.Request) bearer.Authentication {
	a, _ := r.Context().Value(applicationKey{}).(bearer.Authentication)
	return a
}

// authenticated lets nobody through but applications, each as fast as one may go.
func (s *server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := s.authenticate(r)
		if err != nil {
			if access.AsError(err).Kind == access.Unauthenticated {
				r = r.WithContext(context.WithValue(r.Context(), strangerKey{}, events.AuthenticateApplication))
			}
			s.refuse(w, r, err)
			return
		}
		r = s.byApplication(r, a.Application, purposeOf(r))
		r = r.WithContext(context.WithValue(r.Context(), applicationKey{}, a))
		pace := s.polls
		if r.URL.Path == pathV1+"/approvals" {
			pace = s.asks
		}
		if !pace.allow(access.Principal(a.Application), s.Now()) {
			s.tooFast(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// byApplication is a request that an application has made: what it causes counts for it.
func (s *server) byApplication(r *http.Request, name string, p access.Purpose) *http.Request {
	c := access.Caller{Method: access.MethodApplication, Application: name, Arrived: s.Now()}
	return withCaller(r.WithContext(access.WithPerson(access.WithPurpose(r.Context(), p), access.OfApplication(name))), c)
}

// authenticate verifies the token that came with a request, in one of two headers.
func (s *server) authenticate(r *http.Request) (bearer.Authentication, error) {
	given, plain := r.Header.Values("Authorization"), r.Header.Values(tokenHeader)
	if len(given)+len(plain) > 1 {
		return bearer.Authentication{}, &access.Error{Kind: access.Invalid, Code: access.CodeTwoTokens}
	}
	if len(given)+len(plain) == 0 {
		return bearer.Authentication{}, &access.Error{Kind: access.Unauthenticated, Code: access.CodeNoToken}
	}
	refused := func(err error) (bearer.Authentication, error) {
		return bearer.Authentication{}, &access.Error{Kind: access.Unauthenticated, Code: access.CodeBadToken, Err: err}
	}
	token := slices.Concat(plain, given)[0]
	if len(given) == 1 {
		scheme, rest, _ := strings.Cut(token, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return refused(errors.New("the scheme of Authorization is not Bearer"))
		}
		token = rest
	}
	audiences := slices.DeleteFunc([]string{s.origin(r), s.Applications.MachinesURL}, func(o string) bool { return o == "" })
	if len(audiences) == 0 {
		return bearer.Authentication{}, &access.Error{Kind: access.Unprocessable, Code: access.CodeNoPublicURL,
			Args: access.Args{"host": printable(r.Host)}}
	}
	all, err := s.Applications.Registry.Applications(r.Context())
	if err != nil {
		return bearer.Authentication{}, err
	}
	a, err := bearer.Authenticate(r.Context(), token, audiences, all, s.Applications.Now())
	if _, unknown := errors.AsType[*access.Error](err); err == nil || unknown {
		return a, err
	}
	return refused(err)
}

// v1 adapts a handler that returns what to answer, and with which status.
func (s *server) v1(status int, h func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := h(r)
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		if a, ok := body.(approval); ok && status == http.StatusAccepted {
			w.Header().Set("Location", pathV1+"/approvals/"+a.ID)
		}
		writeJSON(w, status, body)
	}
}

// problemDetails is the body of every refusal (RFC 9457). Its type names the cause.
type problemDetails struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Code     string `json:"code"`
	Incident string `json:"incident"`
	// Field is what is wrong of what was sent.
	Field string `json:"field,omitempty"`
	// Error is the cause in the words of OAuth (RFC 6749, section 5.2), where OAuth defines
	// the address.
	Error string `json:"error,omitempty"`
}

// writeProblem refuses. That nobody could be identified is told with what RFC 6750, section
// 3, demands, and with nothing of why.
func (s *server) writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	p, status := s.problem(r, err)
	e := access.AsError(err)
	body := problemDetails{Type: "urn:jitaccess:problem:" + string(e.Code), Title: http.StatusText(status), Status: status,
		Detail: strings.TrimSpace(p.Text + " " + p.Program), Code: string(e.Code), Incident: p.Incident, Field: p.Field}
	oauth := r.URL.Path == pathV1+"/introspect" || r.URL.Path == pathV1+"/revoke"
	switch {
	case e.Code == access.CodeBadDelivery: // a signature is no scheme of HTTP
	case status == http.StatusUnauthorized && e.Code == access.CodeNoToken:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	}
	switch {
	case oauth && status == http.StatusUnauthorized:
		body.Error = "invalid_client"
	case oauth && status < 500:
		body.Error = "invalid_request"
	}
	if slices.Contains([]access.Kind{access.Upstream, access.Unavailable, access.TimedOut}, e.Kind) {
		w.Header().Set("Retry-After", "5")
	}
	b, _ := json.Marshal(body) // a type of ours always can be
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	w.Write(b)
}

// issuer is whose name access tokens bear, and where programs find its keys.
func (s *server) issuer(r *http.Request) string {
	return cmp.Or(s.Applications.MachinesURL, s.origin(r))
}

// logCollected says that an access token was handed out.
func (s *server) logCollected(r *http.Request, q access.Request) {
	s.logEvent(r, slog.LevelInfo, events.CollectToken, "handed out an access token", append(labels(events.ResourceLabels(q.Resource)),
		slog.String("request_id", q.ID))...)
}
