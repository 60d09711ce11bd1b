package server

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"jitaccess/internal/access"
)

// maxListed is how many projects the start page lists; the rest is found by typing.
const maxListed = 300

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
	// Projected is whether there are projects among what can be chosen.
	Projected bool
	// Lists is nil where nothing is remembered.
	Lists *homeLists
}

// projectView is a project by its title, and by its ID where that is another.
type projectView struct{ Resource, Title, ID string }

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
	return s.find(r, strings.TrimSpace(q.Get("q")))
}

// projected is whether there are projects among what can be chosen.
func (s *server) projected() bool { return s.Broker.ResourceKind("projects/").Segment != "" }

// find lists the projects that match what was typed, and goes straight to the one
// that is meant.
func (s *server) find(r *http.Request, typed string) (page, error) {
	v := homeView{Frame: s.frame(r, "find-access"), Query: typed, Projected: s.projected()}
	resources, warnings, err := s.Broker.Resources(r.Context(), callerOf(r))
	if err != nil {
		p, _ := s.problem(r, err)
		v.Unlisted = s.withIncident(r, p)
	} else {
		s.logListed(r, len(resources))
	}
	v.Total, v.Warnings = len(resources), s.viewWarnings(r, warnings)
	want := strings.ToLower(typed)
	for _, info := range resources {
		if want != "" && info.Resource.Name() == want {
			return redirect(accessPath(info.Resource, nil)), nil
		}
		if !strings.Contains(info.Resource.Name(), want) && !strings.Contains(strings.ToLower(info.Title), want) {
			continue
		}
		if v.Found++; v.Found > maxListed {
			continue
		}
		listed := projectView{string(info.Resource), cmp.Or(info.Title, info.Resource.Name()), info.Resource.Name()}
		if listed.Title == listed.ID {
			listed.ID = ""
		}
		v.Projects = append(v.Projects, listed)
	}
	switch {
	case typed != "" && v.Found == 1:
		return redirect(accessPath(access.Resource(v.Projects[0].Resource), nil)), nil
	case typed != "" && v.Found == 0:
		if on, ok := s.unlisted(r, want, err != nil); ok {
			return redirect(accessPath(on, nil)), nil
		}
	}
	v.Lists = s.homeListsOf(r)
	return page{template: "home", status: http.StatusOK, data: v}, nil
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
