package server

import (
	"cmp"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/words"
)

// refusal puts an error about a resource into words; on is empty where there is none.
func (s *server) refusal(r *http.Request, e *access.Error, on access.Resource) words.Refusal {
	if role := e.Args["role"]; role != "" { // what it is called, in place of its name
		called := *e
		called.Args = maps.Clone(e.Args)
		called.Args["role"] = s.Broker.Title(access.EntitlementID{Resource: cmp.Or(on, access.Resource(e.Args["resource"])),
			Role: access.Role(role)})
		e = &called
	}
	return s.languageOf(r).Refusal(e, s.providerOf(on))
}

// inFull is a refusal with what to do now.
func inFull(w words.Refusal) string { return strings.TrimSpace(w.Text + " " + w.Next) }

// kindOf is what sort of thing a resource is, in words.
func (s *server) kindOf(l *words.Language, on access.Resource) string {
	return l.TextOr("kind."+on.Kind(), s.Broker.ResourceKind(on).Word)
}

// providerOf is the name of the system that a resource is part of.
func (s *server) providerOf(on access.Resource) string {
	if s.Provider == nil {
		return ""
	}
	return s.Provider(on)
}

// called is what a resource is called among others: with its kind where its name is a number, behind
// what people call it, where that is known.
func (s *server) called(l *words.Language, on access.Resource) string {
	numbered := s.byNumber(l, on)
	if title := s.Broker.ResourceKind(on).Title; title != nil && on.HoldsOthers() {
		if name := title(on); name != "" {
			return access.Isolated(name) + " (" + numbered + ")"
		}
	}
	return numbered
}

// byNumber is what a resource is called by nothing but its kind and its name.
func (s *server) byNumber(l *words.Language, on access.Resource) string {
	if on.HoldsOthers() {
		return s.kindOf(l, on) + " " + on.Name()
	}
	return on.Name()
}

// appliedLater is whether people wait for what was written there to hold.
func (s *server) appliedLater(on access.Resource) bool {
	return s.Broker.ResourceKind(on).AppliedWithin > 0
}

// reasonShown is whether others read the reason there.
func (s *server) reasonShown(on access.Resource) bool { return s.Broker.ResourceKind(on).ReasonShown }

// delay is a text about that wait, none where there is no wait.
func (s *server) delay(l *words.Language, key string, on access.Resource) string {
	if !s.appliedLater(on) {
		return ""
	}
	return l.Text(key, "provider", s.providerOf(on))
}

// worksBy says by when a grant works, as a rule; empty where by, as worksFrom has it, is zero.
func (s *server) worksBy(r *http.Request, on access.Resource, by time.Time) template.HTML {
	if by.IsZero() {
		return ""
	}
	l := s.languageOf(r)
	return l.HTML("works.by", "by", s.moment(r, by).OfDay(), "provider", s.providerOf(on))
}

// worksFrom is when what was written at a moment works at the latest, as a rule; zero where that
// moment is none or to come, or nobody waits for it any more.
func (s *server) worksFrom(on access.Resource, written time.Time) time.Time {
	now, by := s.Now(), written.Add(s.Broker.ResourceKind(on).AppliedWithin)
	if written.IsZero() || written.After(now) || !by.After(now) {
		return time.Time{}
	}
	return by
}

// tellsPeople is whether a channel that reaches people tells of requests with these terms. That
// there is one is not enough: it may be one for machines, and a rule may leave it out.
func (s *server) tellsPeople(terms access.Terms) bool {
	return slices.ContainsFunc(s.Broker.Channels(), func(c access.Channel) bool { return c.People && terms.Tells(c) })
}

// silenced is whether a rule leaves out every channel that reaches people.
func (s *server) silenced(terms access.Terms) bool {
	return s.tellsPeople(access.Terms{}) && !s.tellsPeople(terms)
}

// statusOf is the HTTP status of a refusal.
func statusOf(e *access.Error) int {
	return cmp.Or(statusOfCode[e.Code], statusOfKind[e.Kind], http.StatusInternalServerError)
}

var statusOfCode = map[access.Code]int{
	access.CodeMethod:      http.StatusMethodNotAllowed,
	access.CodeTooLarge:    http.StatusRequestEntityTooLarge,
	access.CodeMediaType:   http.StatusUnsupportedMediaType,
	access.CodeNeedsLedger: http.StatusNotImplemented,
	access.CodeGlassUntold: http.StatusServiceUnavailable,
}

var statusOfKind = map[access.Kind]int{
	access.Invalid:         http.StatusBadRequest,
	access.Unauthenticated: http.StatusUnauthorized,
	access.NotAllowed:      http.StatusForbidden,
	access.NotFound:        http.StatusNotFound,
	access.Conflict:        http.StatusConflict,
	access.Gone:            http.StatusGone,
	access.Unprocessable:   http.StatusUnprocessableEntity,
	access.TooMany:         http.StatusTooManyRequests,
	access.Upstream:        http.StatusBadGateway,
	access.Unavailable:     http.StatusServiceUnavailable,
	access.TimedOut:        http.StatusGatewayTimeout,
}
