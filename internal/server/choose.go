package server

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// chooseView is the page of a resource: what is active, what will be, and what can
// be had.
type chooseView struct {
	Frame
	Resource ResourceView
	Warnings []string
	// Done and Ended tell what became of the request that led here, as the live
	// state shows it; nil when none did.
	Done, Ended *doneView
	// Active and Later are the viewer's grants, those that begin later by their start.
	Active, Later []RoleView
	// Further is what else the viewer may end.
	Further []furtherView
	Roles   []RoleView
	// MaxRoles is how many can be activated together.
	MaxRoles int
}

// furtherView is a grant that stands beside no role that the viewer may request.
type furtherView struct {
	RoleView
	// Who holds it; You: the viewer.
	Who string
	You bool
}

// roleGroup is the roles that can be chosen together.
type roleGroup struct {
	NeedApproval bool
	Roles        []RoleView
}

// Groups are the roles that need no approval, then those that need it.
func (v chooseView) Groups() []roleGroup {
	var groups []roleGroup
	for _, need := range []bool{false, true} {
		roles := slices.DeleteFunc(slices.Clone(v.Roles), func(r RoleView) bool { return r.Approvals > 0 != need })
		if len(roles) > 0 {
			groups = append(groups, roleGroup{need, roles})
		}
	}
	return groups
}

// doneView is the live state of one request id.
type doneView struct {
	ID    string
	Roles []RoleView
}

// Titles are those of the roles.
func (d doneView) Titles() []string {
	var titles []string
	for _, role := range d.Roles {
		titles = append(titles, role.Title)
	}
	return titles
}

// choose shows a resource, or the form for the roles that its address names.
func (s *server) choose(r *http.Request) (page, error) {
	on, err := resourceAt(r)
	if err != nil {
		return page{}, err
	}
	q, err := query(r)
	if err != nil {
		return page{}, err
	}
	offer, err := s.Broker.Offer(r.Context(), callerOf(r), on)
	if err != nil {
		return page{}, err
	}
	texts, asked := q[fieldEntitlement]
	if _, next := q["next"]; next && !asked {
		// The form was sent with nothing chosen.
		err = &access.Error{Kind: access.Invalid, Code: access.CodeNoEntitlement, Field: fieldEntitlement}
		return s.chooseAgain(r, offer, nil, err), nil
	}
	if asked {
		chosen, err := s.chosen(offer, texts)
		if err != nil {
			return s.chooseAgain(r, offer, texts, err), nil
		}
		v, err := s.askForm(r, offer, chosen)
		if err != nil {
			return page{}, err
		}
		return page{template: "ask", status: http.StatusOK, data: v}, nil
	}
	v := s.chooseForm(r, offer, nil)
	further := make([]RoleView, len(v.Further))
	for i, f := range v.Further {
		further[i] = f.RoleView
	}
	v.Done = doneOf(q.Get("done"), v.Active, v.Later)
	v.Ended = doneOf(q.Get("ended"), v.Active, v.Later, further)
	return page{template: "choose", status: http.StatusOK, data: v}, nil
}

func (s *server) chooseForm(r *http.Request, offer broker.Offer, selected []string) chooseView {
	v := chooseView{Frame: s.frame(r, "choose.title", "resource", offer.Resource.Name()), Resource: s.viewResource(r, offer.Resource, ""),
		Warnings: s.viewWarnings(r, offer.Warnings), MaxRoles: s.Broker.Instance().MaxRoles}
	for _, o := range offer.Roles {
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
		v.Further = append(v.Further, furtherView{
			RoleView: s.granted(r, viewRole(s.languageOf(r), a.Entitlement, access.RoleInfo{}), a),
			Who:      string(a.Principal), You: a.Principal == callerOf(r).Principal,
		})
	}
	return v
}

func (s *server) chooseAgain(r *http.Request, offer broker.Offer, selected []string, err error) page {
	v := s.chooseForm(r, offer, selected)
	problem, status := s.problem(r, err)
	problem.only(fieldEntitlement)
	v.Problem = problem
	return page{template: "choose", status: status, data: v}
}

func doneOf(id string, grants ...[]RoleView) *doneView {
	if !requestIDPattern.MatchString(id) {
		return nil
	}
	d := &doneView{ID: id}
	for _, role := range slices.Concat(grants...) {
		if role.EndID == id {
			d.Roles = append(d.Roles, role)
		}
	}
	return d
}

// chosen finds the chosen roles in an offer. Either all of them need approval or
// none does: what needs none would otherwise wait for others.
func (s *server) chosen(offer broker.Offer, texts []string) ([]broker.OfferedRole, error) {
	ids, err := entitlementIDs(texts)
	if err != nil {
		return nil, err
	}
	var chosen []broker.OfferedRole
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			continue
		}
		at := slices.IndexFunc(offer.Roles, func(o broker.OfferedRole) bool { return o.Entitlement.ID == id })
		if at < 0 {
			return nil, &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible, Field: fieldEntitlement,
				Args: access.Args{"role": string(id.Role), "resource": offer.Resource.Name()}}
		}
		chosen = append(chosen, offer.Roles[at])
	}
	if most := s.Broker.Instance().MaxRoles; len(chosen) > most {
		return nil, &access.Error{Kind: access.Invalid, Code: access.CodeTooManyRoles, Field: fieldEntitlement,
			Args: access.Args{"count": strconv.Itoa(len(chosen)), "max": strconv.Itoa(most)}}
	}
	for _, o := range chosen {
		if o.Terms.Approvals > 0 && slices.ContainsFunc(chosen, func(c broker.OfferedRole) bool { return c.Terms.Approvals == 0 }) {
			return nil, &access.Error{Kind: access.Invalid, Code: access.CodeNeedsApproval, Field: fieldEntitlement,
				Args: access.Args{"role": cmp.Or(o.Role.Title, string(o.Entitlement.ID.Role))}}
		}
	}
	return chosen, nil
}

// reviewersOf asks who could approve all of the chosen roles; only those that need
// it have reviewers.
func (s *server) reviewersOf(ctx context.Context, c access.Caller, chosen []broker.OfferedRole) (
	[]access.Principal, []*access.Error, error) {
	if termsOf(chosen).Approvals == 0 {
		return nil, nil, nil
	}
	var ids []access.EntitlementID
	for _, o := range chosen {
		ids = append(ids, o.Entitlement.ID)
	}
	return s.Broker.Reviewers(ctx, c, ids...)
}
