package server

import (
	"cmp"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/words"
)

// chooseView is the page of a resource: what is active, what will be, and what can
// be had.
type chooseView struct {
	Frame
	Resource access.Resource
	Warnings []string
	// Done is what the live state shows of the request that the address names; nil
	// when it names none.
	Done *doneView
	// Active and Later are the viewer's grants, those that begin later by their start.
	Active, Later []RoleView
	// Further is what else the viewer may end.
	Further []furtherView
	Roles   []RoleView
	// Refused are the roles that a rule refuses now.
	Refused []refusedView
	// Ineffective is what makes nobody eligible, for admins.
	Ineffective []ineffectiveView
	// MaxRoles is how many can be activated together.
	MaxRoles int
	// Filled is what the address fills in, for the form.
	Filled filled
}

// furtherView is a grant that stands beside no role that the viewer may request.
type furtherView struct {
	RoleView
	// Who holds it; You: the viewer.
	Who access.Principal
	You bool
}

// refusedView is a role that cannot be had now, and why.
type refusedView struct {
	RoleView
	words.Refusal
}

// ineffectiveView is a part of the policies that makes nobody eligible, and why.
type ineffectiveView struct {
	access.Ineffective
	words.Refusal
}

// roleGroup is the roles that can be chosen together.
type roleGroup struct {
	NeedApproval bool
	// First are shown at once, Rest on demand; Open: one of these is chosen.
	First, Rest []RoleView
	Open        bool
}

// How many roles of a group are shown at once, and how many are few enough to show all.
const (
	firstRoles = 12
	fewRoles   = 15
)

func groupOf(needApproval bool, roles []RoleView) roleGroup {
	g := roleGroup{NeedApproval: needApproval, First: roles}
	if len(roles) > fewRoles {
		g.First, g.Rest = roles[:firstRoles], roles[firstRoles:]
		g.Open = slices.ContainsFunc(g.Rest, func(r RoleView) bool { return r.Selected })
	}
	return g
}

// Groups are the roles that need no approval, then those that need it.
func (v chooseView) Groups() []roleGroup {
	var groups []roleGroup
	for _, need := range []bool{false, true} {
		roles := slices.DeleteFunc(slices.Clone(v.Roles), func(r RoleView) bool { return r.Approvals > 0 != need })
		if len(roles) > 0 {
			groups = append(groups, groupOf(need, roles))
		}
	}
	return groups
}

// doneView is the viewer's live grants of one request id.
type doneView struct{ Roles []RoleView }

// Works is by when they work; empty where that is not to be said.
func (v doneView) Works() template.HTML {
	for _, role := range v.Roles {
		if role.Works != "" {
			return role.Works
		}
	}
	return ""
}

// choose shows a resource, or the form for the roles that its address names.
func (s *server) choose(r *http.Request, on access.Resource) (page, error) {
	q, err := query(r, access.FieldEntitlement, fieldRole)
	if err != nil {
		return page{}, err
	}
	if texts, asked := q[access.FieldEntitlement]; asked {
		return s.askFor(r, on, texts, q)
	}
	offer, err := s.Broker.Offer(r.Context(), callerOf(r), on)
	if err != nil {
		return page{}, err
	}
	if names := q[fieldRole]; len(names) > 0 {
		texts, err := rolesNamed(offer, names[:min(len(names), maxNamed)])
		if err != nil {
			return s.chooseAgain(r, offer, nil, err), nil
		}
		return s.askFor(r, on, texts, q)
	}
	if _, next := q["next"]; next {
		// The form was sent with nothing chosen.
		_, err := offer.Choose()
		return s.chooseAgain(r, offer, nil, err), nil
	}
	v := s.chooseForm(r, offer, nil)
	if id := q.Get("done"); requestIDPattern().MatchString(id) {
		others := func(role RoleView) bool { return role.EndID != id }
		v.Done = &doneView{slices.DeleteFunc(slices.Concat(v.Active, v.Later), others)}
	}
	return page{template: "choose", status: http.StatusOK, data: v}, nil
}

// maxNamed bounds how many roles an address names that are looked at; more than may be had
// together are refused anyway.
const maxNamed = 100

// askFor is the form for entitlements, filled in from the address.
func (s *server) askFor(r *http.Request, on access.Resource, texts []string, q url.Values) (page, error) {
	v, again, err := s.askForm(r, on, texts)
	switch {
	case again != nil:
		return s.chooseAgain(r, *again, texts, err), nil
	case err != nil:
		return page{}, err
	}
	v.fillFrom(r, s, q)
	return page{template: "ask", status: http.StatusOK, data: v}, nil
}

func (s *server) chooseForm(r *http.Request, offer broker.Offer, selected []string) chooseView {
	v := chooseView{Frame: s.frame(r, "choose.title", "resource", s.called(s.languageOf(r), offer.Resource)), Resource: offer.Resource,
		Warnings: s.viewWarnings(r, offer.Warnings), Roles: make([]RoleView, 0, len(offer.Roles))}
	if q, err := query(r, access.FieldEntitlement, fieldRole); err == nil && safe(r) {
		v.Filled = filledIn(q)
	}
	for _, o := range offer.Roles {
		v.MaxRoles = max(v.MaxRoles, o.Terms.MaxRoles)
		role := s.viewOffered(r, o)
		role.Selected = slices.Contains(selected, role.ID)
		v.Roles = append(v.Roles, role)
		if role.Until != nil {
			v.Active = append(v.Active, role)
		}
		for _, a := range o.Upcoming {
			v.Later = append(v.Later, s.granted(r, role, a))
		}
	}
	slices.SortStableFunc(v.Later, func(a, b RoleView) int { return cmp.Compare(a.Begins.ISO, b.Begins.ISO) })
	for _, a := range offer.Further {
		role := s.granted(r, s.viewRole(r, a.Entitlement, access.RoleInfo{}), a)
		v.Further = append(v.Further, furtherView{role, a.Principal, a.Principal == callerOf(r).Principal})
	}
	for _, o := range offer.Refused {
		l := s.languageOf(r)
		role := s.viewRole(r, o.ID, o.Role)
		role.Why, role.Powerful = viewWhy(l, o.Why, nil), ""
		v.Refused = append(v.Refused, refusedView{role, s.refusal(r, o.Err, offer.Resource)})
		s.viewWarnings(r, []*access.Error{o.Err}) // its cause is logged
	}
	for _, i := range offer.Ineffective {
		v.Ineffective = append(v.Ineffective, ineffectiveView{i, s.refusal(r, i.Why, offer.Resource)})
	}
	return v
}

func (s *server) chooseAgain(r *http.Request, offer broker.Offer, selected []string, err error) page {
	v := s.chooseForm(r, offer, selected)
	status := s.blame(r, &v.Frame, err, access.FieldEntitlement)
	return page{template: "choose", status: status, data: v}
}
