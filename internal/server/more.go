package server

import (
	"net/http"
	"net/url"
	"slices"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// moreView is the form with which somebody asks more people to review their own
// pending request.
type moreView struct {
	Frame
	Warnings   []string
	Ref        string
	Resource   access.Resource
	Roles      []RoleView
	Asked      []askedView
	Candidates []choice
	// Needs are the approvals that it takes, in words; Typing and Typed are as in askView.
	Needs  []string
	Typing bool
	Typed  string
	// Room is how many more may be asked.
	Room int
	// Terms are those of the request.
	Terms access.Terms
}

func (s *server) more(r *http.Request, ref string) (page, error) {
	v, err := s.viewMore(r, ref)
	if err != nil {
		return page{}, err
	}
	return page{template: "more", status: http.StatusOK, data: v}, nil
}

func (s *server) viewMore(r *http.Request, ref string) (moreView, error) {
	more, err := s.Broker.MoreReviewers(r.Context(), callerOf(r), ref)
	if err != nil {
		return moreView{}, err
	}
	v := moreView{Frame: s.frame(r, "more.title"), Warnings: s.viewWarnings(r, more.Warnings), Ref: ref,
		Resource: more.Request.Resource, Roles: s.viewRoles(r, more.Request.Entitlements),
		Room: more.Room, Terms: more.Request.Terms}
	v.Asked = access.Each(more.Request.Reviewers, func(p access.Principal) askedView {
		return askedView{Address: string(p.Address()), Keyless: slices.Contains(more.AskedKeyless, p)}
	})
	v.Candidates = access.Each(more.Candidates, func(p access.Principal) choice { return choiceOf(p, false, more.Keyless) })
	v.Needs, v.Typing = unlikeListed(s.languageOf(r), more.Terms), more.Typed
	return v, nil
}

// addReviewers adds the people chosen and leads to the request as it is then.
func (s *server) addReviewers(r *http.Request, ref string) (page, error) {
	f, err := form(r)
	if err != nil {
		return page{}, err
	}
	asked, err := s.Broker.AddReviewers(r.Context(), callerOf(r), broker.AddReviewers{
		Ref: ref, Reviewers: reviewers(f), Origin: s.origin(r), Host: r.Host})
	if err != nil {
		return s.moreAgain(r, ref, f, err), nil
	}
	if len(notable(asked.Warnings)) == 0 {
		return redirect(reviewPath(asked.Ref)), nil
	}
	return page{template: "result", status: http.StatusOK, data: resultView{Frame: s.frame(r, "result.added"), Tone: "good",
		Resource: asked.Request.Resource, Roles: s.viewRoles(r, asked.Request.Entitlements),
		Warnings: s.viewWarnings(r, asked.Warnings), ReviewURL: asked.ReviewURL,
		Link: reviewPath(asked.Ref), LinkText: s.languageOf(r).Text("result.your-request")}}, nil
}

// moreAgain shows the form as it was filled, with what is wrong.
func (s *server) moreAgain(r *http.Request, ref string, f url.Values, cause error) page {
	v, err := s.viewMore(r, ref)
	if err != nil {
		return s.errorPage(r, cause)
	}
	status := s.blame(r, &v.Frame, cause, access.FieldReviewer)
	check(v.Candidates, f)
	v.Typed = f.Get(fieldTyped)
	return page{template: "more", status: status, data: v}
}
