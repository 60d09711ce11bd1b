package server

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// apiRequest is a request that is remembered, as lists have it.
type apiRequest struct {
	ActivationID  string   `json:"activationId"`
	Kind          string   `json:"kind"`
	State         string   `json:"state"`
	Beneficiary   apiUser  `json:"beneficiary"`
	Reviewers     []string `json:"reviewers"`
	Resource      string   `json:"resource"`
	Roles         []string `json:"roles"`
	Justification string   `json:"justification"`
	Minutes       int      `json:"minutes"`
	Created       string   `json:"created"`
	Expires       string   `json:"expires,omitempty"`
	StartTime     string   `json:"startTime,omitempty"`
	EndTime       string   `json:"endTime,omitempty"`
	Rule          string   `json:"rule,omitempty"`
	// Review is what was said of a broken glass afterwards; null until then, and for all
	// others.
	Review *apiReview `json:"review"`
	// Asking is what an application asks for; left out for what people ask.
	Asking *apiAsking `json:"asking,omitempty"`
	// Attestation is how far a list knows that it is as it was recorded; left out beside lists.
	Attestation access.Attestation `json:"attestation,omitempty"`
}

type apiReview struct {
	By      access.Principal `json:"by"`
	At      string           `json:"at"`
	Comment string           `json:"comment"`
}

type apiRequests struct {
	Requests []apiRequest `json:"requests"`
	// After asks for the next page; left out on the last one.
	After string `json:"after,omitempty"`
	// Own is whether everybody's were asked for, and the caller's own are all that there is for them.
	Own      bool     `json:"own,omitempty"`
	Warnings []string `json:"warnings"`
}

// apiTimeline is a request with what happened to it, in order.
type apiTimeline struct {
	apiRequest
	// Version is what ?wait= waits to see changed.
	Version int        `json:"version"`
	Events  []apiEvent `json:"events"`
	// Unattested: it is signed with a key that is not the service's now.
	Unattested bool `json:"unattested,omitempty"`
}

// apiChanged is a request after somebody has changed it.
type apiChanged struct {
	apiRequest
	Warnings []string `json:"warnings"`
}

type apiEvent struct {
	Action string `json:"action"`
	At     string `json:"at"`
	By     string `json:"by,omitempty"`
	// Application is the name of the one that did it; By is empty then.
	Application string `json:"application,omitempty"`
	Comment     string `json:"comment,omitempty"`
	Error       string `json:"error,omitempty"`
	// Signed: a passkey has signed it, and the service has verified that.
	Signed bool `json:"signed,omitempty"`
	// Bounce is what a mail says of one that came back.
	Bounce *apiBounce `json:"bounce,omitempty"`
}

type apiBounce struct {
	To      string `json:"to,omitempty"`
	Status  string `json:"status,omitempty"`
	Said    string `json:"said,omitempty"`
	Meaning string `json:"meaning,omitempty"`
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func requestOf(q access.Request) apiRequest {
	a := apiRequest{ActivationID: q.ID, Kind: string(q.Kind), State: string(q.State), Beneficiary: apiUser{q.Principal},
		Reviewers: append([]string{}, access.Texts(q.Reviewers)...), Resource: string(q.Resource), Roles: append([]string{}, q.RoleNames()...),
		Justification: q.Justification, Minutes: int(q.Duration / time.Minute),
		Created: stamp(q.Created), Expires: stamp(q.Expires), StartTime: stamp(q.Window.Start), EndTime: stamp(q.Window.End), Rule: q.Terms.Rule,
		Asking: askingOf(q.Asking), Attestation: q.Attestation}
	if !q.Review.At.IsZero() {
		a.Review = &apiReview{q.Review.By, stamp(q.Review.At), q.Review.Comment}
	}
	return a
}

// apiRequests lists what is remembered:
// ?view=mine|reviews|all&state=&role=&resource=&person=&q=&from=&to=&after=.
func (s *server) apiRequests(r *http.Request) (any, error) {
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	l, err := s.listing(q)
	if err != nil {
		return nil, err
	}
	listed, warnings, err := s.Broker.History(r.Context(), callerOf(r), cmp.Or(q.Get("view"), broker.ViewMine), l)
	if err != nil {
		return nil, err
	}
	return apiRequests{Requests: append([]apiRequest{}, access.Each(listed.Requests, requestOf)...), After: listed.Next,
		Own:      q.Get("view") == broker.ViewAll && !s.Broker.Auditor(r.Context(), callerOf(r)),
		Warnings: s.viewWarnings(r, warnings)}, nil
}

// apiRequestNamed tells of a request; with ?wait=VERSION when it is at another, or after a
// while as it is.
func (s *server) apiRequestNamed(r *http.Request, id string) (any, error) {
	version, err := waited(r)
	if err != nil {
		return nil, err
	}
	var q access.Request
	var events []access.Event
	if waits(r) {
		q, events, _, err = s.await(r, id, version)
	} else {
		q, events, err = s.Broker.Timeline(r.Context(), callerOf(r), id)
	}
	if err != nil {
		return nil, aboutRequest{id, err}
	}
	a := apiTimeline{requestOf(q), q.Version, []apiEvent{}, q.Unattested}
	for _, e := range events {
		event := apiEvent{Action: string(e.Action), At: stamp(e.At), By: string(e.Caller.Principal), Application: e.Caller.Application,
			Comment: e.Decision.Comment, Signed: signed(q, e.Decision)}
		if failure := access.AsError(e.Err); failure != nil {
			event.Error = string(failure.Code)
		}
		if e.Action == access.MailBounced {
			event.Bounce = &apiBounce{string(e.Bounce.To), e.Bounce.Status, e.Bounce.Text, e.Bounce.Meaning}
		}
		a.Events = append(a.Events, event)
	}
	return a, nil
}

// change does something to a request, whose warnings are of who could not be told.
type change func(r *http.Request, id string) (access.Request, []*access.Error, error)

func (s *server) withdraw(r *http.Request, id string) (access.Request, []*access.Error, error) {
	return s.Broker.Withdraw(r.Context(), callerOf(r), id, s.origin(r))
}

// reviewGlass records what somebody thinks of a broken glass.
func (s *server) reviewGlass(r *http.Request, id string) (access.Request, []*access.Error, error) {
	f, err := form(r)
	if err != nil {
		return access.Request{}, nil, err
	}
	if err := filledBy(r, f); err != nil {
		return access.Request{}, nil, err
	}
	return s.Broker.ReviewGlass(r.Context(), callerOf(r), id, strings.TrimSpace(f.Get(access.FieldComment)), s.origin(r))
}

func (s *server) apiReviewGlass(r *http.Request, id string) (access.Request, []*access.Error, error) {
	body, err := readJSON[commentBody](r)
	if err != nil {
		return access.Request{}, nil, err
	}
	return s.Broker.ReviewGlass(r.Context(), callerOf(r), id, strings.TrimSpace(body.Comment), s.origin(r))
}

// changed answers with the request as it is then.
func (s *server) changed(do change) func(*http.Request, string) (any, error) {
	return func(r *http.Request, id string) (any, error) {
		q, warnings, err := do(r, id)
		if err != nil {
			return nil, aboutRequest{id, err}
		}
		return apiChanged{requestOf(q), s.viewWarnings(r, warnings)}, nil
	}
}

// afterwards leads to the request, unless there is a warning, which nobody remembers.
func (s *server) afterwards(title string, do change) func(*http.Request, string) (page, error) {
	return func(r *http.Request, id string) (page, error) {
		q, warnings, err := do(r, id)
		switch {
		case err != nil:
			return page{}, err
		case len(notable(warnings)) == 0:
			return redirect(requestPath(q.ID)), nil
		}
		return page{template: "result", status: http.StatusOK, data: resultView{Frame: s.frame(r, title), Tone: "over", Resource: q.Resource,
			Roles: s.viewRoles(r, q.Entitlements), Warnings: s.viewWarnings(r, warnings), Link: requestPath(q.ID),
			LinkText: s.languageOf(r).Text("result.the-request")}}, nil
	}
}
