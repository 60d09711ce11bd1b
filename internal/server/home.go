package server

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// maxListed is how many projects the start page lists; the rest is found by typing. They and
// all that the page loads are less than 60 KB.
const maxListed = 80

// homeView is the start page: find access.
type homeView struct {
	Frame
	Query    string
	Projects []projectView
	// Found is how many there are, Projects being the first of them.
	Found int
	Total int
	// Warnings are what the list may lack.
	Warnings []string
	// Unlisted: the list could not be had; typing an id still works.
	Unlisted string
	// Projected is whether projects can be chosen, and nothing in which others lie.
	Projected bool
	// Lists is nil where nothing is remembered.
	Lists *homeLists
	// Standing is what a search shows of the viewer's access; nil where there is a ledger, or
	// nothing to search.
	Standing *standingView
	// Recent is what the viewer asked for lately, first what they ask for most.
	Recent []recentView
	// Whole: all that there is is listed, so that it can be searched here.
	Whole bool
}

// projectView is a project by its title, and by its ID where that is another.
type projectView struct {
	Resource, Title, ID string
	// Roles are those that the viewer may request there, as far as that is known; ByRole: it
	// is one of them that was typed.
	Roles  string
	ByRole bool
	// order is the title in lower case: the list is sorted by what it shows first.
	order string
}

// matches is whether a project has in it what was typed, in lower case.
func (v *projectView) matches(want string) bool {
	if strings.Contains(v.order, want) || strings.Contains(v.ID, want) || strings.Contains(v.Resource, want) {
		return true
	}
	v.ByRole = strings.Contains(strings.ToLower(v.Roles), want)
	return v.ByRole
}

// home finds access. Links of JIT Access 1.x point here and are sent on.
func (s *server) home(r *http.Request) (page, error) {
	q, err := query(r)
	if err != nil {
		return page{}, err
	}
	if _, ok := q["activation"]; ok {
		ref, err := reference(r)
		if err != nil {
			return page{}, err
		}
		return redirect(reviewPath(ref)), nil
	}
	if id := strings.TrimSpace(q.Get("projectId")); id != "" {
		on, err := access.Project(id)
		if err != nil {
			return page{}, s.badResource(id, err)
		}
		return redirect(accessPath(on, nil)), nil
	}
	return s.find(r, strings.TrimSpace(q.Get("q")), q.Has("list"))
}

// projected is whether there are projects among what can be chosen.
func (s *server) projected() bool { return s.Broker.ResourceKind("projects/").Segment != "" }

// find lists the projects that match what was typed, and goes straight to the one
// that is meant; a script that asks for the list alone is led nowhere.
func (s *server) find(r *http.Request, typed string, alone bool) (page, error) {
	v := homeView{Frame: s.frame(r, "find-access"), Query: typed, Projected: s.projected()}
	var named access.Named
	var searched bool
	var unsearched []*access.Error
	var search sync.WaitGroup
	search.Go(func() { named, searched, unsearched = s.Broker.Named(r.Context(), callerOf(r)) })
	resources, warnings, err := s.Broker.Resources(r.Context(), callerOf(r))
	search.Wait()
	if err != nil {
		p, _ := s.problem(r, err)
		v.Unlisted = s.withIncident(r, p)
	} else {
		s.logListed(r, len(resources))
	}
	v.Projected = v.Projected && !slices.ContainsFunc(resources, func(i access.ResourceInfo) bool { return i.Resource.HoldsOthers() })
	v.Total, v.Warnings = len(resources), s.viewWarnings(r, warnings)
	want, roles := strings.ToLower(typed), s.rolesByResource(named.Eligible)
	for _, info := range resources {
		if want != "" && !alone && (info.Resource.Name() == want || string(info.Resource) == want) {
			return redirect(accessPath(info.Resource, nil)), nil
		}
		numbered := s.byNumber(s.languageOf(r), info.Resource)
		listed := projectView{Resource: string(info.Resource), Title: cmp.Or(info.Title, numbered), ID: numbered,
			Roles: strings.Join(roles[info.Resource], ", ")}
		listed.order = strings.ToLower(listed.Title)
		if listed.Title == listed.ID {
			listed.ID = ""
		}
		if !listed.matches(want) {
			continue
		}
		listed.ByRole = listed.ByRole && want != ""
		v.Projects = append(v.Projects, listed)
	}
	slices.SortFunc(v.Projects, func(a, b projectView) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.Resource, b.Resource))
	})
	v.Found = len(v.Projects)
	v.Projects = v.Projects[:min(v.Found, maxListed)]
	v.Whole = v.Total <= maxListed
	switch {
	case alone:
	case typed != "" && v.Found == 1:
		return redirect(accessPath(access.Resource(v.Projects[0].Resource), nil)), nil
	case typed != "" && v.Found == 0:
		if on, ok := s.unlisted(r, want, err != nil); ok {
			return redirect(accessPath(on, nil)), nil
		}
	}
	v.Lists = s.homeListsOf(r)
	v.Recent = s.recentOf(r, want)
	if !s.remembers && searched {
		v.Standing = s.standingOf(r, named, unsearched)
	} else {
		s.viewWarnings(r, unsearched) // their causes are logged
	}
	return page{template: "home", status: http.StatusOK, data: v}, nil
}

// rolesByResource are what entitlements are called, by what they are for.
func (s *server) rolesByResource(ids []access.EntitlementID) map[access.Resource][]string {
	roles := map[access.Resource][]string{}
	for _, id := range ids {
		if title := s.Broker.Title(id); !slices.Contains(roles[id.Resource], title) {
			roles[id.Resource] = append(roles[id.Resource], title)
		}
	}
	return roles
}

// standingView is what one search over policies shows of the viewer's access.
type standingView struct {
	Mine []RoleView
	// Resources are what each of them is on.
	On []access.Resource
	// Unsearched is why it could not be searched; empty when it could. Part: there is more.
	Unsearched string
	Part       bool
}

func (s *server) standingOf(r *http.Request, named access.Named, unsearched []*access.Error) *standingView {
	v := &standingView{Part: named.Part}
	for _, a := range named.Activations[:min(len(named.Activations), maxHome)] {
		v.Mine = append(v.Mine, s.granted(r, s.viewRole(r, a.Entitlement, access.RoleInfo{Title: s.Broker.RoleTitle(a.Entitlement)}), a))
		v.On = append(v.On, a.Entitlement.Resource)
	}
	v.Part = v.Part || len(named.Activations) > maxHome
	if texts := s.viewWarnings(r, unsearched); len(texts) > 0 {
		v.Unsearched = texts[0]
	}
	return v
}

// recentView is what somebody asked for before, and where it can be asked for again.
type recentView struct{ Path, Title, On string }

// How many requests say what somebody asks for, and how much of that is shown.
const (
	recentRequests = 50
	maxRecent      = 5
)

// recentOf is what the viewer asked for lately: what they asked for often and last comes
// first, as each of the last requests counts as much as there are older ones. It is read from
// the ledger; without one there is none, and the browser keeps its own.
func (s *server) recentOf(r *http.Request, want string) []recentView {
	if !s.remembers {
		return nil
	}
	listed, _, err := s.Broker.History(r.Context(), callerOf(r), broker.ViewMine, access.Listing{Max: recentRequests})
	if err != nil {
		return nil // the lists say so
	}
	weight := map[recentView]int{}
	var all []recentView
	for i, q := range listed.Requests {
		if q.Kind == access.BreakGlass || !q.Asking.IsZero() || len(q.Entitlements) == 0 {
			continue
		}
		ids := access.Each(q.Entitlements, access.EntitlementID.String)
		title := s.languageOf(r).Series(access.Each(q.Entitlements, s.Broker.Title))
		on := unsaid(title, s.called(s.languageOf(r), q.Resource))
		v := recentView{accessPath(q.Resource, url.Values{access.FieldEntitlement: ids}), title, on}
		if !strings.Contains(strings.ToLower(v.Title+" "+v.On), want) {
			continue
		}
		if weight[v] == 0 {
			all = append(all, v)
		}
		weight[v] += recentRequests - i
	}
	slices.SortStableFunc(all, func(a, b recentView) int { return weight[b] - weight[a] })
	return all[:min(len(all), maxRecent)]
}

// minProjectID is how short the ID of a project may be.
// https://cloud.google.com/resource-manager/docs/creating-managing-projects
const minProjectID = 6

// unlisted takes what was typed for the ID of a project that is not in the list: the
// list may not have everything. A word that no project is called stays a search
// without a match, unless there is no list to search.
func (s *server) unlisted(r *http.Request, typed string, noList bool) (access.Resource, bool) {
	on, err := access.Project(typed)
	if err != nil || noList {
		return on, err == nil
	}
	if len(typed) < minProjectID {
		return on, false
	}
	_, err = s.Broker.Offer(r.Context(), callerOf(r), on)
	return on, err == nil || access.AsError(err).Code != access.CodeUnknownResource
}

// accessPath is the address of a resource's page. A resource needs no escaping.
func accessPath(on access.Resource, q url.Values) string {
	path := "/access/" + string(on)
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return path
}

// reviewPath is the address of a request's page.
func reviewPath(ref string) string { return "/review?" + url.Values{"activation": {ref}}.Encode() }
