package metrics

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"jitaccess/internal/access"
)

// Service is what is told of a service. Every method may be called concurrently.
type Service struct {
	Registry
	requests, durations, asked, decisions, decided, grants, upstream, failures, spans *family
}

// Readings are what is looked up when somebody wants to know; the names are those of gauges
// without the prefix. What cannot be known now is left out.
type Readings func(context.Context) map[string]float64

// The names of the gauges.
const (
	LedgerReachable = "jitaccess_ledger_reachable"
	OutboxMessages  = "jitaccess_outbox_messages"
	OutboxAge       = "jitaccess_outbox_age_seconds"
	SweepAge        = "jitaccess_sweep_age_seconds"
	PolicyAge       = "jitaccess_policy_age_seconds"
)

var (
	quick = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}
	slow  = []float64{10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 7 * 24 * 3600}
)

// New makes what is told of a version of the service; read may be nil.
func New(version string, read Readings) *Service {
	s := &Service{}
	s.read = read
	build := s.family(info, "jitaccess_build", "The version that runs.", nil, "version")
	s.requests = s.family(counter, "jitaccess_http_requests", "HTTP requests that were answered, by pattern of the route.", nil,
		"method", "route", "status")
	s.durations = s.family(histogram, "jitaccess_http_request_duration_seconds",
		"How long an HTTP request took to answer; those who wait for a decision wait as long as they want.", quick, "route")
	s.asked = s.family(counter, "jitaccess_requests", "Requests for access that were made.", nil, "kind")
	s.decisions = s.family(counter, "jitaccess_decisions", "What became of requests that others decide.", nil, "decision")
	s.decided = s.family(histogram, "jitaccess_time_to_decision_seconds",
		"How long after a request was made somebody approved or denied it.", slow, "decision")
	s.grants = s.family(counter, "jitaccess_grants", "What was done at providers.", nil, "outcome")
	s.upstream = s.family(histogram, "jitaccess_upstream_duration_seconds", "How long an API of others took to answer.", quick, "api")
	s.failures = s.family(counter, "jitaccess_upstream_failures", "Calls of APIs of others that failed: by status, or without an answer.", nil,
		"api", "status")
	s.spans = s.family(counter, "jitaccess_spans", "Spans of traces, by what became of them.", nil, "outcome")
	s.family(gauge, LedgerReachable, "1 where the ledger can be asked, 0 where not.", nil)
	s.family(gauge, OutboxMessages, "Messages that wait to be sent.", nil)
	s.family(gauge, OutboxAge, "For how long the oldest of them waits.", nil)
	s.family(gauge, SweepAge, "How long ago an instance last began to sweep the ledger.", nil)
	s.family(gauge, PolicyAge, "How long ago this instance last read the policy file without a fault.", nil)
	s.add(build, 1, version)
	return s
}

// HTTP counts a request that was answered. route is the pattern of a route, empty for none.
func (s *Service) HTTP(method, route string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	s.add(s.requests, 1, Method(method), route, strconv.Itoa(status))
	s.add(s.durations, took.Seconds(), route)
}

// Method is a method of HTTP, or "other": anybody may make one up.
func Method(said string) string {
	if slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions}, said) {
		return said
	}
	return "other"
}

// Spans counts so many spans of which something became.
func (s *Service) Spans(outcome string, count int) { s.add(s.spans, float64(count), outcome) }

// Call counts a call of somebody else's API; status is 0 where no answer came.
func (s *Service) Call(api string, status int, took time.Duration) {
	s.add(s.upstream, took.Seconds(), api)
	switch {
	case status == 0:
		s.add(s.failures, 1, api, "none")
	case status >= 400:
		s.add(s.failures, 1, api, strconv.Itoa(status))
	}
}

// Event counts what an event says.
func (s *Service) Event(e access.Event) {
	switch e.Action {
	case access.RequestMade, access.SelfApproved, access.GlassBroken:
		s.add(s.asked, 1, string(e.Request.Kind))
	case access.RequestApproved, access.RequestDenied, access.RequestWithdrawn, access.RequestLapsed:
		s.add(s.decisions, 1, string(e.Action))
		if made := e.Request.Created; !made.IsZero() && (e.Action == access.RequestApproved || e.Action == access.RequestDenied) {
			s.add(s.decided, max(0, e.At.Sub(made).Seconds()), string(e.Action))
		}
	case access.GrantWritten, access.GrantFailed, access.GrantEnded, access.EndFailed, access.GrantExpired:
		s.add(s.grants, 1, string(e.Action))
	}
}
