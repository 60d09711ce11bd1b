package client

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// What follows are the answers of docs/api.md, as far as something is made of them. Nothing that may be
// missing from an older service's is relied on.

// User is who somebody is.
type User struct{ Email string }

// Role is one that may be asked for.
type Role struct {
	ID, Name string
	// ActivationType is JIT where nobody has to agree, and MPA where others do.
	ActivationType string
	Status         string
	ValidUntil     *int64
	// Terms are there where a rule decides.
	Terms *struct{ DefaultMinutes int }
}

// Alone is whether nobody has to agree.
func (r Role) Alone() bool { return r.ActivationType != "MPA" }

// Roles are those on one project or other resource.
type Roles struct {
	Entitlements []Role
	Refused      []struct{ ID, Name, Message string }
	Warnings     []string
}

// Activation is a request as the routes of JIT Access 1.x have it.
type Activation struct {
	Beneficiary   User
	Reviewers     []User
	Justification string
	Entitlements  []Activated
	ReviewURL     string
	Warnings      []string
	// Signing is there where an approval has to be signed with a passkey.
	Signing *struct{}
}

// Activated is a role of a request.
type Activated struct {
	ActivationID, ProjectID, ID, Name, Status string
	StartTime, EndTime                        int64
}

// ID is that of the request; empty where the service does not say.
func (a Activation) ID() string {
	if len(a.Entitlements) == 0 {
		return ""
	}
	return a.Entitlements[0].ActivationID
}

// Request is one that is remembered.
type Request struct {
	ActivationID, Kind, State string
	Beneficiary               User
	Reviewers                 []string
	Resource                  string
	Roles                     []string
	Justification             string
	Minutes                   int
	Created, Expires          string
	StartTime, EndTime        string
	Asking                    *Asking
	Version                   int
	Events                    []struct{ Action, At, By, Application, Comment, Error string }
	Warnings                  []string
}

// Asking is what an application asks for.
type Asking struct {
	Application, Title string
	Data               []struct{ Label, Value string }
}

// Requests are a page of a list.
type Requests struct {
	Requests []Request
	After    string
	// Own is whether everybody's were asked for and the caller's own are shown.
	Own      bool
	Warnings []string
}

// Me says who the service takes the caller for.
func (s *Service) Me(ctx context.Context) (string, error) {
	var said struct{ SignedInUser User }
	_, err := s.call(ctx, request{path: "/api/policy"}, &said)
	return said.SignedInUser.Email, err
}

// DefaultMinutes is for how long access is where nobody says so.
func (s *Service) DefaultMinutes(ctx context.Context) (int, error) {
	var said struct{ DefaultActivationTimeout int }
	_, err := s.call(ctx, request{path: "/api/policy"}, &said)
	return said.DefaultActivationTimeout, err
}

// Resources are those that the caller may see: projects by their ids, and others by their paths.
func (s *Service) Resources(ctx context.Context) (on, warnings []string, err error) {
	var said struct{ Projects, Others, Warnings []string }
	_, err = s.call(ctx, request{path: "/api/projects"}, &said)
	return slices.Concat(said.Projects, said.Others), said.Warnings, err
}

// ofProject is a route below a project, by its id, or below another resource, by its path.
func ofProject(on, what string) string {
	return "/api/projects/" + url.PathEscape(on) + "/" + what
}

// Roles are what the caller may ask for on a project or another resource.
func (s *Service) Roles(ctx context.Context, on string) (said Roles, as Answer, err error) {
	as, err = s.call(ctx, request{path: ofProject(on, "roles")}, &said)
	return said, as, err
}

// Peers are who can approve all of these roles for the caller.
func (s *Service) Peers(ctx context.Context, project string, ids []string) ([]string, error) {
	var said struct{ Peers []User }
	_, err := s.call(ctx, request{path: ofProject(project, "peers"), query: url.Values{"id": ids}}, &said)
	var all []string
	for _, p := range said.Peers {
		all = append(all, p.Email)
	}
	return all, err
}

// Ask is what the caller asks for.
type Ask struct {
	Project       string
	IDs           []string
	Peers         []string
	Justification string
	// Minutes is for how long.
	Minutes int
	// Alone is that nobody has to agree, BreakGlass that nobody is waited for.
	Alone, BreakGlass bool
}

type minutes map[string]any

func (m minutes) of(name string, n int) minutes {
	if n > 0 {
		m[name] = n
	}
	return m
}

// Ask asks for access.
func (s *Service) Ask(ctx context.Context, a Ask) (said Activation, as Answer, err error) {
	q := request{method: http.MethodPost, path: ofProject(a.Project, "roles/request")}
	body := minutes{"justification": a.Justification, "entitlementIds": a.IDs}.of("activationTimeout", a.Minutes)
	if a.Alone || a.BreakGlass {
		q.path, body["breakGlass"] = ofProject(a.Project, "roles/self-activate"), a.BreakGlass
	} else {
		body["peers"] = a.Peers
	}
	q.body = body
	as, err = s.call(ctx, q, &said)
	return said, as, err
}

// reference is how a request that is to be looked at or decided is named: by what its link has, or by its id.
func reference(r string) url.Values { return url.Values{"activation": {r}} }

// Show is a request by its link.
func (s *Service) Show(ctx context.Context, ref string) (said Activation, as Answer, err error) {
	as, err = s.call(ctx, request{path: "/api/activation-request", query: reference(ref)}, &said)
	return said, as, err
}

// Approve approves a request, for at most so many minutes; 0 is for as long as was asked.
func (s *Service) Approve(ctx context.Context, ref string, atMost int) (said Activation, as Answer, err error) {
	as, err = s.call(ctx, request{method: http.MethodPost, path: "/api/activation-request", query: reference(ref),
		body: minutes{}.of("minutes", atMost)}, &said)
	return said, as, err
}

// Deny refuses a request.
func (s *Service) Deny(ctx context.Context, ref, why string) (said Activation, as Answer, err error) {
	as, err = s.call(ctx, request{method: http.MethodPost, path: "/api/activation-request/deny", query: reference(ref),
		body: map[string]string{"comment": why}}, &said)
	return said, as, err
}

func ofRequest(id, what string) string { return "/api/requests/" + url.PathEscape(id) + what }

// Request is a request that is remembered, with what happened to it.
func (s *Service) Request(ctx context.Context, id string) (said Request, as Answer, err error) {
	as, err = s.call(ctx, request{path: ofRequest(id, "")}, &said)
	return said, as, err
}

// Changed is a request once it is at another version, or after a while as it is.
func (s *Service) Changed(ctx context.Context, id string, version int) (said Request, as Answer, err error) {
	as, err = s.call(ctx, request{path: ofRequest(id, ""), query: url.Values{"wait": {strconv.Itoa(version)}}}, &said)
	return said, as, err
}

// End ends access before its time. Whose is empty for the caller's own.
func (s *Service) End(ctx context.Context, id, resource, whose string) (said Activation, as Answer, err error) {
	body := map[string]string{"resource": resource}
	if whose != "" {
		body["principal"] = whose
	}
	as, err = s.call(ctx, request{method: http.MethodPost, path: ofRequest(id, "/end"), body: body}, &said)
	return said, as, err
}

// Withdraw takes back a request that nobody has decided.
func (s *Service) Withdraw(ctx context.Context, id string) (said Request, as Answer, err error) {
	as, err = s.call(ctx, request{method: http.MethodPost, path: ofRequest(id, "/withdraw")}, &said)
	return said, as, err
}

// Extend asks for more time; what is empty of reason and peers is as it was before.
func (s *Service) Extend(ctx context.Context, id string, a Ask) (said Activation, as Answer, err error) {
	as, err = s.call(ctx, request{method: http.MethodPost, path: ofRequest(id, "/extend"),
		body: minutes{"justification": a.Justification, "peers": a.Peers}.of("minutes", a.Minutes)}, &said)
	return said, as, err
}

// History is a page of a list of requests.
func (s *Service) History(ctx context.Context, choices url.Values) (said Requests, as Answer, err error) {
	as, err = s.call(ctx, request{path: "/api/requests", query: choices}, &said)
	return said, as, err
}

// Open is whether a request can still become something else by itself or by others; States over is that
// nothing is to be waited for. Both spellings of states are known: of requests, and of 1.x's routes.
func Open(state string) bool {
	switch state {
	case "pending", "approved", "scheduled", "ACTIVATION_PENDING":
		return true
	}
	return false
}

// At is an instant of an answer, in seconds; zero where there is none.
func At(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
