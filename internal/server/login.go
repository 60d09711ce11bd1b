package server

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"jitaccess/internal/access"
)

// Login signs people in where no proxy in front of the service does, and Config.Identify
// then says who is. Its methods set cookies in the header that they are given.
type Login interface {
	// Start begins a login that leads to the page that the request asks for, and returns the
	// address where the browser goes next. Of kind Unauthenticated is that it can lead to
	// another page only.
	Start(h http.Header, r *http.Request) (address string, err error)
	// Finish ends it where the browser is sent back to, and returns a path of ours.
	Finish(h http.Header, r *http.Request) (to string, c access.Caller, err error)
	// Renew is called with every request of which it is to be known who sent it.
	Renew(h http.Header, r *http.Request)
	// End ends the session of the browser. The address is where one logs out of what one
	// logged in with; it may be empty. An error is that copies of the session last.
	End(h http.Header, r *http.Request) (address string, err error)
	// EndElsewhere ends the session that a token of the provider names.
	EndElsewhere(ctx context.Context, token string) error
	// SessionEnds is when the session of the browser is over; zero where there is none.
	SessionEnds(r *http.Request) time.Time
	// ProgramCode is what a program gets a token for that acts as whoever is logged in, once; ProgramToken
	// redeems it for who knows the verifier of the challenge. IdentifyScript also takes that token.
	ProgramCode(r *http.Request, challenge, redirect string) (code string, err error)
	ProgramToken(ctx context.Context, code, verifier, redirect string) (token string, c access.Caller, ends time.Time, err error)
	IdentifyScript(r *http.Request) (access.Caller, error)
	// EndProgram ends the session that such a token is of. everywhere is whether other instances get to
	// know that; else it lasts there until ends.
	EndProgram(r *http.Request) (everywhere bool, ends time.Time, err error)
}

// stranger answers whoever is not identified. With a login of our own, who opens a page is
// sent there, and who sends a form keeps it; programs are told that they are nobody.
func (s *server) stranger(w http.ResponseWriter, r *http.Request, e *access.Error) {
	if s.Login != nil && e.Kind == access.Unauthenticated {
		switch {
		case forScripts(r):
			demandLogin(w.Header(), e)
		case opensPage(r):
			address, err := s.Login.Start(w.Header(), r)
			if err == nil {
				s.logEvent(r, slog.LevelInfo, s.AuthenticateEvent, "sent to log in", slog.Any("error", e))
				s.write(w, r, page{location: address, status: http.StatusSeeOther})
				return
			}
			e = access.AsError(err)
		case !safe(r):
			// A form that another site sends would become one of ours here.
			if err := s.notOurPages(r); err != nil {
				e = access.AsError(err)
			} else if f, err := form(r); err != nil {
				e = access.AsError(err)
			} else {
				s.write(w, r, s.again(strange(r), f, e))
				return
			}
		}
	}
	s.refuse(w, strange(r), e)
}

// opensPage is whether a person opens a page, and neither a program nor a script fetches
// something, as far as that is known (see embedded).
func opensPage(r *http.Request) bool {
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	return r.Method == http.MethodGet && (mode == "" || mode == "navigate") && (dest == "" || dest == "document") &&
		r.Header.Get("Sec-Purpose") == ""
}

// againView is a form that nobody was logged in for, to be sent again. It is sent where it
// was sent before: to the address of this page.
type againView struct {
	Frame
	Fields []field
}

type field struct{ Name, Value string }

// again shows a form that was sent by nobody. Nothing has looked at it yet; that it has its
// number still makes sending it twice one request.
func (s *server) again(r *http.Request, f url.Values, e *access.Error) page {
	s.logRefusal(r, e, statusOf(e))
	v := againView{Frame: s.frame(r, "login.again"), Fields: fieldsOf(f)}
	return page{template: "again", status: statusOf(e), data: v}
}

// fieldsOf are the fields of a form, to be sent once more.
func fieldsOf(f url.Values) []field {
	var fields []field
	for name, values := range f {
		for _, value := range values {
			fields = append(fields, field{name, value})
		}
	}
	slices.SortStableFunc(fields, func(a, b field) int { return cmp.Compare(a.Name, b.Name) })
	return fields
}

// loggedIn is where the provider sends a browser back to.
func (s *server) loggedIn(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet { // a HEAD, which is to change nothing
		s.refuse(w, r, &access.Error{Kind: access.Invalid, Code: access.CodeMethod})
		return
	}
	to, c, err := s.Login.Finish(w.Header(), r)
	if err != nil {
		p := s.errorPage(strange(r), err)
		v := p.data.(errorView)
		v.Again, v.Problem.OpenAgain = false, false // this address serves once
		p.data = v
		s.write(w, r, p)
		return
	}
	s.logEvent(withCaller(r, c), slog.LevelInfo, s.AuthenticateEvent, "logged in")
	s.write(w, r, redirect(to))
}

// loggedOutView is for who has logged out.
type loggedOutView struct {
	Frame
	// Provider is where to log out there too; empty for nowhere.
	Provider string
	Warnings []string
}

// logOut ends the session of the browser. Who has none is logged out already. Nobody is
// redirected to the provider: a browser would follow no redirect of a form out of this site
// (form-action of the Content Security Policy), and the provider asks first.
func (s *server) logOut(w http.ResponseWriter, r *http.Request) {
	who := r
	if c, err := s.Identify(r); err == nil {
		who = withCaller(r, c)
	}
	address, err := s.Login.End(w.Header(), r)
	s.logEvent(who, slog.LevelInfo, s.AuthenticateEvent, "logged out")
	v := loggedOutView{Frame: s.frame(r, "login.out"), Provider: address}
	if err != nil {
		v.Warnings = s.viewWarnings(who, []*access.Error{access.AsError(err)})
	}
	s.write(w, r, page{template: "loggedout", status: http.StatusOK, data: v})
}

// loggedOutElsewhere is called by the provider, whose token is what shows that it is; nobody is
// signed in. Statuses are those of OpenID Connect Back-Channel Logout 1.0, 2.8.
func (s *server) loggedOutElsewhere(w http.ResponseWriter, r *http.Request) {
	f, err := form(r)
	if tokens := f["logout_token"]; err == nil && len(tokens) == 1 {
		err = s.Login.EndElsewhere(r.Context(), tokens[0])
	} else if err == nil {
		err = badInput("there must be one logout_token", nil)
	}
	if err != nil {
		e := access.AsError(err)
		s.logRefusal(strange(r), e, statusOf(e))
		http.Error(w, s.refusal(r, e, "").Text, statusOf(e))
		return
	}
	s.logEvent(strange(r), slog.LevelInfo, s.AuthenticateEvent, "the identity provider has ended a session")
	w.WriteHeader(http.StatusOK)
}

// strange marks a request of which nobody knows who sent it, and withCaller one of which
// that is known.
func strange(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), strangerKey{}, true))
}

func withCaller(r *http.Request, c access.Caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}
