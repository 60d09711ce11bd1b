package server

import (
	"net/http"
	"net/url"

	"jitaccess/internal/access"
)

// fieldGlass is the number of the form with which the glass is broken. It takes the place
// of the number of the form that asks for approval, and of the reviewers, so that both may
// stand on one page.
const fieldGlass = "glass"

// glassOf is that number in a form that breaks the glass, also where it stands as that of
// the form itself; empty in all others.
func glassOf(f url.Values) string {
	if id := f.Get(access.FieldID); access.KindOfID(id) == access.BreakGlass {
		return id
	}
	return f.Get(fieldGlass)
}

// apiReviewGlass records what the caller thinks of a broken glass.
func (s *server) apiReviewGlass(r *http.Request, id string) (any, error) {
	body, err := readJSON(r)
	if err != nil {
		return nil, err
	}
	q, warnings, err := s.Broker.ReviewGlass(r.Context(), callerOf(r), id, body.Comment, s.origin(r))
	if err != nil {
		return nil, aboutRequest{id, err}
	}
	return apiChanged{requestOf(q), s.viewWarnings(r, warnings)}, nil
}

// reviewGlass is the page's way of it.
func (s *server) reviewGlass(r *http.Request, id string) (page, error) {
	f, err := form(r)
	if err != nil {
		return page{}, err
	}
	if _, _, err := s.Broker.ReviewGlass(r.Context(), callerOf(r), id, f.Get(access.FieldComment), s.origin(r)); err != nil {
		return page{}, aboutRequest{id, err}
	}
	return redirect(reviewPath(id)), nil
}
