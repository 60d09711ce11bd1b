package server

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// extendView is the form for more time: that of a request, of what the grant has.
func (s *server) extendView(r *http.Request, id string) (askView, error) {
	c, err := s.Broker.Extension(r.Context(), callerOf(r), id)
	if err != nil {
		return askView{}, aboutRequest{id, err}
	}
	before := c.Extends
	v := s.viewChoice(r, before.Resource, c)
	v.Title, v.Action, v.Extends = s.languageOf(r).Text("extend.title"), requestPath(id)+"/extend", requestPath(id)
	v.ExtendsEnd = s.moment(r, before.Window.End)
	v.Justification, v.Ahead, v.Terms.StartWithin, v.Glass = before.Justification, "", 0, nil
	return v, nil
}

func (s *server) extendForm(r *http.Request, id string) (page, error) {
	v, err := s.extendView(r, id)
	if err != nil {
		return page{}, err
	}
	return page{template: "ask", status: http.StatusOK, data: v}, nil
}

// extend asks for more time, and shows the form as it was filled where something is wrong.
func (s *server) extend(r *http.Request, id string) (page, error) {
	f, err := form(r)
	if err != nil {
		return page{}, err
	}
	// Sent twice it is one, though there is an extension when it comes again.
	asked, err := s.Broker.Ask(r.Context(), callerOf(r), s.extension(r, id, broker.Ask{Form: f.Get(access.FieldID),
		Justification: f.Get(access.FieldJustification), Reviewers: f[access.FieldReviewer], Duration: minutes(f[access.FieldDuration])}))
	if err == nil {
		return s.asked(r, asked.Request.Resource, asked), nil
	}
	v, again := s.extendView(r, id)
	if again != nil {
		return page{}, aboutRequest{id, err}
	}
	v.fill(f)
	v.numbered(f, err)
	problem, status := s.problem(r, err)
	v.blame(problem)
	return page{template: "ask", status: status, data: v}, nil
}

// extension completes what somebody asks for, to go on with the grant of a request.
func (s *server) extension(r *http.Request, id string, a broker.Ask) broker.Ask {
	a.Extends = id
	a.Justification, a.Origin, a.Host = strings.TrimSpace(a.Justification), s.origin(r), r.Host
	return a
}

// apiExtend asks for more time: of askedAgain, unless the body says
// whom, and for the same reason, unless it has another. With the number of a form it can
// be sent twice.
func (s *server) apiExtend(r *http.Request, id string) (any, error) {
	body, err := readJSON[extendBody](r)
	if err != nil {
		return nil, err
	}
	a := broker.Ask{Form: body.ID, Reviewers: body.Peers, Justification: body.Justification,
		Duration: time.Duration(cmp.Or(body.Minutes, body.ActivationTimeout))}
	if a.Form == "" {
		c, err := s.Broker.Extension(r.Context(), callerOf(r), id)
		if err != nil {
			return nil, aboutRequest{id, err}
		}
		a.Kind, a.Justification = c.Kind, cmp.Or(a.Justification, c.Extends.Justification)
		if len(body.Peers) == 0 {
			a.Reviewers = access.Texts(askedAgain(c))
		}
	}
	asked, err := s.Broker.Ask(r.Context(), callerOf(r), s.extension(r, id, a))
	if err != nil {
		return nil, aboutRequest{cmp.Or(asked.Request.ID, id), err}
	}
	return s.answerAsked(r, asked), nil
}

// askedAgain are who is asked to go on with a grant where nobody says whom: those who were asked before and still may be.
// Where there are none, as of a grant that was found and that nobody had asked for, it is everybody.
func askedAgain(c broker.Choice) []access.Principal {
	again := slices.DeleteFunc(slices.Clone(c.Extends.Reviewers), func(p access.Principal) bool {
		return !c.Typed && !slices.Contains(c.Reviewers, p)
	})
	if len(again) == 0 {
		return c.Reviewers
	}
	return again
}

// glassView is the form with which somebody has access at once that others would have to
// approve.
type glassView struct {
	ID            string
	Justification string
	Minutes       string
	MaxMinutes    int
	Longest       string
	// Reviewers are who is to look at it afterwards, in words.
	Reviewers string
	Confirmed bool
}

// glassOf is nil where the glass is not to be broken.
func (s *server) glassOf(r *http.Request, c broker.Choice) *glassView {
	if c.GlassForm == "" {
		return nil
	}
	l, longest := s.languageOf(r), c.Terms.Glass.MaxDuration
	return &glassView{ID: c.GlassForm, MaxMinutes: int(longest / time.Minute), Longest: l.Days(longest),
		Minutes: minutesText(min(longest, c.Terms.DefaultDuration)), Reviewers: l.People(c.Terms.Glass.ReviewBy)}
}

// numbered puts back the number of a form that was sent, unless it is spent. That of a
// broken glass stands in no other form.
func (v *askView) numbered(f url.Values, cause error) {
	id := f.Get(access.FieldID)
	switch glass := access.KindOfID(id) == access.BreakGlass; {
	case id == "" || slices.Contains(spent, access.AsError(cause).Code):
	case !glass:
		v.ID = id
	case v.Glass != nil:
		v.Glass.ID = id
	}
}
