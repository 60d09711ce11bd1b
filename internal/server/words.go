package server

import (
	"net/http"
	"slices"

	"jitaccess/internal/access"
	"jitaccess/internal/words"
)

// Names of form fields, as access.Error.Field and the pages use them.
const (
	fieldEntitlement   = access.FieldEntitlement
	fieldReviewer      = access.FieldReviewer
	fieldJustification = access.FieldJustification
	fieldMinutes       = access.FieldDuration
	fieldStart         = access.FieldStart
	fieldID            = access.FieldID
	fieldComment       = access.FieldComment
)

// languageOf is the language in which a request is answered.
func (s *server) languageOf(*http.Request) *words.Language { return s.Language }

// refusal puts an error about a resource into words; on is empty where there is none.
func (s *server) refusal(l *words.Language, e *access.Error, on access.Resource) words.Refusal {
	return l.Refusal(e, s.providerOf(on))
}

// providerOf is the name of the system that a resource is part of.
func (s *server) providerOf(on access.Resource) string {
	if s.Provider == nil {
		return ""
	}
	return s.Provider(on)
}

// tellsPeople is whether a channel reaches people. That there is one is not enough: it
// may be one for machines.
func (s *server) tellsPeople() bool {
	return slices.ContainsFunc(s.Broker.Channels(), func(c access.Channel) bool { return c.People })
}

// statusOf is the HTTP status of a refusal.
func statusOf(e *access.Error) int {
	switch e.Code {
	case access.CodeMethod:
		return http.StatusMethodNotAllowed
	case access.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case access.CodeMediaType:
		return http.StatusUnsupportedMediaType
	}
	switch e.Kind {
	case access.Invalid:
		return http.StatusBadRequest
	case access.Unauthenticated:
		return http.StatusUnauthorized
	case access.NotAllowed:
		return http.StatusForbidden
	case access.NotFound:
		return http.StatusNotFound
	case access.Conflict:
		return http.StatusConflict
	case access.Gone:
		return http.StatusGone
	case access.Unprocessable:
		return http.StatusUnprocessableEntity
	case access.TooMany:
		return http.StatusTooManyRequests
	case access.Upstream:
		return http.StatusBadGateway
	case access.Unavailable:
		return http.StatusServiceUnavailable
	case access.TimedOut:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}
