package server

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// The shapes of JIT Access 1.x: members that are null are there, instants are
// seconds since the epoch, lists are never null.

type apiUser struct {
	Email access.Principal `json:"email"`
}

type apiPolicy struct {
	JustificationHint        string  `json:"justificationHint"`
	SignedInUser             apiUser `json:"signedInUser"`
	ApplicationVersion       string  `json:"applicationVersion"`
	DefaultActivationTimeout int     `json:"defaultActivationTimeout"`
	MaxActivationTimeout     int     `json:"maxActivationTimeout"`
}

type apiProjects struct {
	Projects []string `json:"projects"`
	// Others are paths of what is no project; left out where there are none: JIT Access 1.x had no such field.
	Others []access.Resource `json:"others,omitempty"`
	// Warnings are left out when there are none: JIT Access 1.x had no such field.
	Warnings []string `json:"warnings,omitempty"`
}

type apiRoles struct {
	Warnings     []string      `json:"warnings"`
	Entitlements []Entitlement `json:"entitlements"`
	// Refused is left out where nothing is: JIT Access 1.x had no such field.
	Refused []apiRefused `json:"refused,omitempty"`
}

// Entitlement is a role of an offer, and whether it is active.
type Entitlement struct {
	ID                string  `json:"id"`
	Name              string  `json:"name"`
	ResourceCondition *string `json:"resourceCondition"`
	// ActivationType is JIT or MPA.
	ActivationType string `json:"activationType"`
	Status         string `json:"status"`
	ValidUntil     *int64 `json:"validUntil"`
	// Terms are left out where no rule decides.
	Terms *apiTerms `json:"terms,omitempty"`
}

type apiPeers struct {
	Peers    []apiUser `json:"peers"`
	Warnings []string  `json:"warnings"`
	// WithoutPasskey are those of Peers who could not sign yet; left out where there are none.
	WithoutPasskey []apiUser `json:"withoutPasskey,omitempty"`
}

type apiActivation struct {
	Beneficiary   apiUser             `json:"beneficiary"`
	Reviewers     []apiUser           `json:"reviewers"`
	IsBeneficiary bool                `json:"isBeneficiary"`
	IsReviewer    bool                `json:"isReviewer"`
	Justification string              `json:"justification"`
	Entitlements  []apiActivationItem `json:"entitlements"`
	// New since 1.x.
	ReviewURL string   `json:"reviewUrl,omitempty"`
	Warnings  []string `json:"warnings"`
	// Signing is what the caller signs to approve it; left out where nothing is signed.
	Signing *apiSigning `json:"signing,omitempty"`
	// WithoutPasskey are those of Reviewers who could not sign yet; left out where there are none.
	WithoutPasskey []apiUser `json:"withoutPasskey,omitempty"`
}

type apiActivationItem struct {
	ActivationID      string  `json:"activationId"`
	ProjectID         string  `json:"projectId"`
	ID                string  `json:"id"`
	Name              string  `json:"name"`
	ResourceCondition *string `json:"resourceCondition"`
	Status            string  `json:"status"`
	StartTime         int64   `json:"startTime"`
	EndTime           int64   `json:"endTime"`
}

type apiEnded struct {
	Entitlements []apiActivationItem `json:"entitlements"`
	Warnings     []string            `json:"warnings"`
}

// Statuses of an entitlement in the JSON interface; ACTIVE, INACTIVE and
// ACTIVATION_PENDING are those of JIT Access 1.x.
const (
	statusActive   = "ACTIVE"
	statusInactive = "INACTIVE"
	statusPending  = "ACTIVATION_PENDING"
)

var apiStates = map[access.State]string{access.Pending: statusPending, access.Active: statusActive,
	access.Approved: statusPending, access.Failed: "FAILED",
	access.Ended: "ENDED", access.Expired: "EXPIRED", access.Denied: "DENIED", access.Lapsed: "LAPSED",
	access.Withdrawn: "WITHDRAWN", access.Scheduled: statusPending}

func (s *server) apiPolicy(r *http.Request) (any, error) {
	terms, err := s.Broker.Defaults(callerOf(r), access.Self)
	if err != nil {
		return nil, err
	}
	return apiPolicy{JustificationHint: terms.Hint, SignedInUser: apiUser{callerOf(r).Principal}, ApplicationVersion: s.Version,
		DefaultActivationTimeout: int(terms.DefaultDuration / time.Minute), MaxActivationTimeout: int(terms.MaxDuration / time.Minute)}, nil
}

func (s *server) apiProjects(r *http.Request) (any, error) {
	resources, warnings, err := s.Broker.Resources(r.Context(), callerOf(r))
	if err != nil {
		return nil, err
	}
	a := apiProjects{Projects: []string{}, Warnings: s.viewWarnings(r, warnings)}
	for _, info := range resources {
		if id, ok := info.Resource.ProjectID(); ok {
			a.Projects = append(a.Projects, id)
		} else {
			a.Others = append(a.Others, info.Resource)
		}
	}
	slices.Sort(a.Projects)
	slices.Sort(a.Others)
	a.Projects, a.Others = slices.Compact(a.Projects), slices.Compact(a.Others)
	s.logListed(r, len(a.Projects)+len(a.Others))
	return a, nil
}

func (s *server) apiRoles(r *http.Request, on access.Resource) (any, error) {
	offer, err := s.Broker.Offer(r.Context(), callerOf(r), on)
	if err != nil {
		return nil, err
	}
	a := apiRoles{Warnings: s.viewWarnings(r, offer.Warnings), Entitlements: []Entitlement{}}
	for _, o := range offer.Roles {
		e := EntitlementOf(o)
		e.Terms = apiTermsOf(s.languageOf(r), o.Terms)
		a.Entitlements = append(a.Entitlements, e)
	}
	for _, o := range offer.Refused {
		refused := apiRefused{ID: o.ID.String(), Name: string(o.ID.Role), Message: inFull(s.refusal(r, o.Err, on))}
		if o.Why.Rule != "" {
			refused.Rule = &apiRule{o.Why.Rule, o.Why.Policy}
		}
		a.Refused = append(a.Refused, refused)
		// A client of JIT Access 1.x shows warnings.
		for _, text := range s.viewWarnings(r, []*access.Error{o.Err}) {
			if !slices.Contains(a.Warnings, text) {
				a.Warnings = append(a.Warnings, text)
			}
		}
	}
	return a, nil
}

// EntitlementOf is the shape of an offered role.
func EntitlementOf(o broker.OfferedRole) Entitlement {
	id := o.Entitlement.ID
	e := Entitlement{ID: id.String(), Name: string(id.Role), ResourceCondition: optional(id.Condition),
		ActivationType: "JIT", Status: statusInactive}
	if o.Terms.Approvals() > 0 {
		e.ActivationType = "MPA"
	}
	if o.Activation != nil {
		e.Status, e.ValidUntil = statusActive, new(o.Activation.Window.End.Unix())
	}
	return e
}

func (s *server) apiPeers(r *http.Request, on access.Resource) (any, error) {
	ids, err := s.askedOf(r, on)
	if err != nil {
		return nil, err
	}
	all, err := s.Broker.Reviewers(r.Context(), callerOf(r), ids...)
	if err != nil {
		return nil, err
	}
	return apiPeers{Peers: apiUsers(all.People), Warnings: s.viewWarnings(r, all.Warnings), WithoutPasskey: apiUsers(all.Keyless)}, nil
}

// askedOf reads the entitlements whose reviewers are asked for: all on one resource,
// at least one.
func (s *server) askedOf(r *http.Request, on access.Resource) ([]access.EntitlementID, error) {
	q, err := query(r, "id", "role")
	if err != nil {
		return nil, err
	}
	texts := q["id"]
	if len(texts) == 0 {
		// The name of JIT Access 1.7, which has the role alone in it.
		texts = q["role"]
	}
	if len(texts) == 0 {
		texts = []string{""}
	}
	ids, err := s.idsOn(r, on, texts)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if id.Resource != on {
			return nil, &access.Error{Kind: access.Invalid, Code: access.CodeOtherResource, Field: access.FieldEntitlement,
				Args: access.Args{"entitlement": printable(id.String()), "resource": on.Name()}}
		}
	}
	return ids, nil
}

// The bodies of actions. Members that are unknown are ignored, and one that is null is as one that
// is missing, as in JIT Access 1.x.

// rolesBody is what is asked for. Roles are of JIT Access 1.7: names of roles where ids are now.
type rolesBody struct {
	EntitlementIDs    []string `json:"entitlementIds"`
	EntitlementID     string   `json:"entitlementId"`
	Roles             []string `json:"roles"`
	Role              string   `json:"role"`
	Justification     string   `json:"justification"`
	ActivationTimeout lenient  `json:"activationTimeout"`
}

func (b rolesBody) ids() []string {
	single := slices.DeleteFunc([]string{b.EntitlementID, b.Role}, func(text string) bool { return text == "" })
	return slices.Concat(b.EntitlementIDs, b.Roles, single)
}

type activateBody struct {
	rolesBody
	// BreakGlass activates at once what others would have to approve.
	BreakGlass bool `json:"breakGlass"`
}

type askBody struct {
	rolesBody
	Peers []string `json:"peers"`
}

type reviewersBody struct {
	Peers []string `json:"peers"`
}

// approveBody is for how long somebody approves at most, and what they have signed.
type approveBody struct {
	Minutes   *int          `json:"minutes"`
	Signature *apiSignature `json:"signature"`
}

type commentBody struct {
	Comment string `json:"comment"`
}

type endBody struct {
	Resource  string `json:"resource"`
	Principal string `json:"principal"`
}

type extendBody struct {
	// ID is the number of a form.
	ID            string   `json:"id"`
	Peers         []string `json:"peers"`
	Justification string   `json:"justification"`
	Minutes       lenient  `json:"minutes"`
	// ActivationTimeout is another name of Minutes.
	ActivationTimeout lenient `json:"activationTimeout"`
}

// lenient is a whole number of minutes as JIT Access 1.x read it: 60, "60", 60.0; null
// is 0.
type lenient time.Duration

func (n *lenient) UnmarshalJSON(text []byte) error {
	s := string(text)
	if s == "null" {
		return nil
	}
	if s[0] == '"' {
		if err := json.Unmarshal(text, &s); err != nil {
			return err
		}
		if s = strings.TrimSpace(s); s == "" {
			return nil
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) {
		return errors.New("not a whole number")
	}
	// Fractions are cut off.
	*n = lenient(duration(int(max(0, min(f, maxMinutes)))))
	return nil
}

// apiActivate activates what nobody else has to approve, or breaks the glass.
func (s *server) apiActivate(r *http.Request, on access.Resource) (any, error) {
	body, err := readJSON[activateBody](r)
	if err != nil {
		return nil, err
	}
	a := broker.Ask{Kind: access.Self}
	if body.BreakGlass {
		a.Kind = access.BreakGlass
	}
	return s.apiAsk(r, on, body.rolesBody, a)
}

// apiAskPeers asks others to approve.
func (s *server) apiAskPeers(r *http.Request, on access.Resource) (any, error) {
	body, err := readJSON[askBody](r)
	if err != nil {
		return nil, err
	}
	return s.apiAsk(r, on, body.rolesBody, broker.Ask{Kind: access.Peers, Reviewers: body.Peers})
}

// apiAsk completes what is asked, and asks the broker.
func (s *server) apiAsk(r *http.Request, on access.Resource, body rolesBody, a broker.Ask) (_ any, err error) {
	a.Resource, a.Justification, a.Duration = on, strings.TrimSpace(body.Justification), time.Duration(body.ActivationTimeout)
	a.Origin, a.Host = s.origin(r), r.Host
	if a.Entitlements, err = s.idsOn(r, on, body.ids()); err != nil {
		return nil, err
	}
	asked, err := s.Broker.Ask(r.Context(), callerOf(r), a)
	if err != nil {
		return nil, aboutRequest{asked.Request.ID, err}
	}
	return s.answerAsked(r, asked), nil
}

// answerAsked is 1.x's answer to an ask.
func (s *server) answerAsked(r *http.Request, asked broker.Asked) apiActivation {
	window, state := asked.Window, statusActive
	if asked.Ref != "" {
		window, state = asked.Request.WindowAt(s.Now()), statusPending
	} else if len(asked.Outcomes) == 0 { // recorded, and written later
		state = statusPending
	}
	answer := s.activation(r, asked.Request, state, window, asked.Outcomes, asked.Warnings)
	answer.ReviewURL = asked.ReviewURL
	return answer
}

// idsOn reads entitlement ids; the name of a role, as JIT Access 1.7 has it, is
// that role on the project, without a resource condition.
func (s *server) idsOn(r *http.Request, on access.Resource, texts []string) ([]access.EntitlementID, error) {
	texts = slices.Clone(texts)
	for i, text := range texts {
		if role, err := access.ParseRole(text); err == nil {
			texts[i] = access.EntitlementID{Resource: on, Role: role}.String()
		}
	}
	return s.entitlementIDs(r, on, texts)
}

// apiAddReviewers asks more people to review a pending request of the caller's.
func (s *server) apiAddReviewers(r *http.Request, ref string) (any, error) {
	body, err := readJSON[reviewersBody](r)
	if err != nil {
		return nil, err
	}
	asked, err := s.Broker.AddReviewers(r.Context(), callerOf(r), broker.AddReviewers{
		Ref: ref, Reviewers: body.Peers, Origin: s.origin(r), Host: r.Host})
	if err != nil {
		return nil, aboutRequest{asked.Request.ID, err}
	}
	return s.answerAsked(r, asked), nil
}

func (s *server) apiShow(r *http.Request, ref string) (any, error) {
	v, err := s.Broker.Show(r.Context(), callerOf(r), ref, s.origin(r))
	if err != nil {
		return nil, err
	}
	a := s.activation(r, v.Request, apiStates[v.State], v.Window, nil, v.Warnings)
	a.IsReviewer = v.IsReviewer // also as one of a group
	a.WithoutPasskey = apiUsers(v.Keyless)
	if v.IsPrincipal {
		a.ReviewURL = v.ReviewURL
	}
	q, err := query(r)
	if err != nil {
		return nil, err
	}
	atMost, err := wholeNumber(q, access.FieldDuration, 1, notForLess)
	if err != nil {
		return nil, err
	}
	c, err := s.signing(r, v, duration(atMost))
	if err != nil {
		return nil, err
	}
	if c != nil {
		a.Signing = &apiSigning{c.Challenge, c.RelyingParty, strings.Fields(c.Credentials), c.Nonce, c.Time, c.Text}
	} else if v.NoKey != nil {
		a.Warnings = append(a.Warnings, inFull(s.refusal(r, v.NoKey, v.Request.Resource)))
	}
	return a, nil
}

// apiApprove takes a body only where the request is approved for less: the pages of JIT
// Access 1.x send none that matters.
func (s *server) apiApprove(r *http.Request, ref string) (any, error) {
	atMost, signed, err := approvedFor(r)
	if err != nil {
		return nil, err
	}
	return s.apiDecide(r, broker.Decide{Ref: ref, Verdict: access.Approve, Duration: atMost, Signed: signed})
}

// approvedFor is for how long the body approves at most: its whole number of minutes; 0
// where it has none. What begins an object must be the one that belongs here, as a limit that
// cannot be read must not be taken for none; anything else is ignored, as JIT Access 1.x does.
// signed is what was signed; nil where nothing was.
func approvedFor(r *http.Request) (atMost time.Duration, signed *access.Assertion, err error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, nil, bodyError("the body cannot be read", err)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		return 0, nil, nil
	}
	var body approveBody
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields() // one could be a limit by another name
	if err := cmp.Or(strict.Decode(&body), nothingAfter(strict)); err != nil {
		return 0, nil, badInput("the body is not the JSON object that belongs here: minutes is a whole number, signature what was signed", err)
	}
	if body.Signature != nil {
		if signed, err = body.Signature.assertion(); err != nil {
			return 0, nil, err
		}
	}
	if body.Minutes == nil {
		return 0, signed, nil
	}
	if *body.Minutes < 1 {
		return 0, nil, badInput("minutes is the whole number of minutes for which it is approved at most", nil)
	}
	return duration(*body.Minutes), signed, nil
}

func (s *server) apiDeny(r *http.Request, ref string) (any, error) {
	body, err := readJSON[commentBody](r)
	if err != nil {
		return nil, err
	}
	return s.apiDecide(r, broker.Decide{Ref: ref, Verdict: access.Deny, Comment: strings.TrimSpace(body.Comment)})
}

func (s *server) apiDecide(r *http.Request, decide broker.Decide) (any, error) {
	decide.Origin = s.origin(r)
	d, err := s.Broker.Decide(r.Context(), callerOf(r), decide)
	if err != nil {
		return nil, aboutRequest{d.Request.ID, err}
	}
	state := apiStates[d.State]
	if decide.Verdict == access.Deny && d.Forgets {
		state = "DECLINED"
	}
	return s.activation(r, d.Request, state, cmp.Or(d.Window, d.Request.WindowAt(s.Now())), d.Outcomes, d.Warnings), nil
}

func (s *server) apiEnd(r *http.Request, id string) (any, error) {
	body, err := readJSON[endBody](r)
	if err != nil {
		return nil, err
	}
	on, err := s.parseResource(body.Resource)
	if err != nil {
		return nil, err
	}
	of, err := principal(body.Principal)
	if err != nil {
		return nil, err
	}
	ended, err := s.Broker.End(r.Context(), callerOf(r), on, id, of)
	if err != nil {
		return nil, aboutRequest{id, err}
	}
	a := apiEnded{Entitlements: []apiActivationItem{}, Warnings: s.viewWarnings(r, ended.Warnings)}
	for _, o := range ended.Outcomes {
		status := "ENDED"
		if o.Result == access.Refused {
			status = statusActive
			a.Warnings = append(a.Warnings, s.languageOf(r).Refused(o, s.providerOf(o.Entitlement.Resource)))
		}
		a.Entitlements = append(a.Entitlements, item(id, o.Entitlement, status, o.Window))
	}
	return a, nil
}

// activation is 1.x's object. An entitlement that was refused while others were
// granted is INACTIVE, and a warning says why.
func (s *server) activation(r *http.Request, q access.Request, state string, w access.Window, outcomes []access.Outcome,
	warnings []*access.Error) apiActivation {
	c := callerOf(r)
	a := apiActivation{Beneficiary: apiUser{q.Principal}, Reviewers: apiUsers(q.Reviewers), IsBeneficiary: q.Principal == c.Principal,
		IsReviewer: slices.Contains(q.Reviewers, c.Principal), Justification: q.Justification,
		Entitlements: []apiActivationItem{}, Warnings: s.viewWarnings(r, besides(warnings, outcomes))}
	for _, id := range q.Entitlements {
		status := state
		for _, o := range outcomes {
			if o.Entitlement == id && o.Result == access.Refused {
				status = statusInactive
				if text := s.languageOf(r).Refused(o, s.providerOf(o.Entitlement.Resource)); !slices.Contains(a.Warnings, text) {
					a.Warnings = append(a.Warnings, text)
				}
			}
		}
		a.Entitlements = append(a.Entitlements, item(q.ID, id, status, w))
	}
	return a
}

func item(requestID string, id access.EntitlementID, status string, w access.Window) apiActivationItem {
	i := apiActivationItem{ActivationID: requestID, ProjectID: id.Resource.Name(), ID: id.String(), Name: string(id.Role),
		ResourceCondition: optional(id.Condition), Status: status}
	if !w.IsZero() {
		i.StartTime, i.EndTime = w.Start.Unix(), w.End.Unix()
	}
	return i
}

func apiUsers(people []access.Principal) []apiUser {
	return append([]apiUser{}, access.Each(people, func(p access.Principal) apiUser { return apiUser{p.Address()} })...)
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
