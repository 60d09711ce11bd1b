package server

import (
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
)

// Where a program on somebody's machine leads their browser for a token of a login of our own, as
// RFC 8252 has it for native apps, where it gets that token, and where it ends the session of the token.
const (
	pathProgram       = "/oidc/program"
	pathProgramToken  = pathProgram + "/token"
	pathProgramLogout = pathProgram + "/logout"
)

// loopbackPattern is what may be led back to: a port of the machine on which the browser runs, by
// its address. What localhost is others may decide (RFC 8252, 8.3).
var loopbackPattern = lazyregexp.New(`^http://((?:127\.0\.0\.1|\[::1\]):([1-9][0-9]{0,4}))/[A-Za-z0-9_-]{0,128}$`)

// challengePattern is an S256 challenge (RFC 7636), statePattern what a program knows its own log-in by.
var (
	challengePattern = lazyregexp.New(`^[A-Za-z0-9_-]{43}$`)
	statePattern     = lazyregexp.New(`^[A-Za-z0-9_-]{22,128}$`)
)

// checkLetters is how much of the challenge people compare.
const checkLetters = 8

// programAsking is what a program asks for.
type programAsking struct{ redirect, place, state, challenge string }

// program reads it. Whatever is wrong with it is told here: nobody is led to an address that is not in order.
func program(r *http.Request) (p programAsking, err error) {
	q, err := query(r)
	if err != nil {
		return p, err
	}
	for _, name := range []string{"redirect_uri", "state", "code_challenge", "code_challenge_method"} {
		if len(q[name]) != 1 {
			return p, badInput("there must be one "+name, nil)
		}
	}
	p = programAsking{redirect: q.Get("redirect_uri"), state: q.Get("state"), challenge: q.Get("code_challenge")}
	if found := loopbackPattern().FindStringSubmatch(p.redirect); found != nil {
		if port, err := strconv.Atoi(found[2]); err == nil && port <= 65535 {
			p.place = found[1]
		}
	}
	switch {
	case p.place == "":
		return p, badInput("redirect_uri is not http://127.0.0.1:PORT/PATH or http://[::1]:PORT/PATH", nil)
	case !statePattern().MatchString(p.state):
		return p, badInput("state is not of 22 to 128 letters, digits, - and _", nil)
	case !challengePattern().MatchString(p.challenge), q.Get("code_challenge_method") != "S256":
		return p, badInput("code_challenge is none by S256", nil)
	}
	return p, nil
}

// programView is what somebody decides on whom a program has led here.
type programView struct {
	Frame
	// Place is where it listens; Check it shows too.
	Place, Check string
	Until        *Moment
	// Onward is where it gets what it was let have; empty before that.
	Onward string
}

func (s *server) viewProgram(r *http.Request, p programAsking, title string) programView {
	return programView{Frame: s.frame(r, title), Place: p.place, Check: p.challenge[:checkLetters], Until: s.moment(r, s.Login.SessionEnds(r))}
}

// showProgram asks whoever is logged in. By itself nothing comes of it.
func (s *server) showProgram(r *http.Request, p programAsking) (page, error) {
	return page{template: "program", status: http.StatusOK, data: s.viewProgram(r, p, "program.title")}, nil
}

// letProgram lets a program have a token. It is led to by a page, since browsers follow no redirect
// of a form out of this site (form-action of the Content Security Policy).
func (s *server) letProgram(r *http.Request, p programAsking) (page, error) {
	f, err := form(r)
	if err != nil {
		return page{}, err
	}
	// The page may be older than the log-in: what somebody has read is of them alone.
	if f.Get("confirmed") == "" || f.Get(access.FieldPrincipal) != string(callerOf(r).Principal) {
		return s.showProgram(r, p)
	}
	code, err := s.Login.ProgramCode(r, p.challenge, p.redirect)
	if err != nil {
		return page{}, err
	}
	s.logEvent(r, slog.LevelInfo, s.AuthenticateEvent, "let a program at "+p.place+" act in their name")
	v := s.viewProgram(r, p, "program.let")
	// A program that another service has led here has to see who let it (RFC 9207).
	v.Onward = p.redirect + "?" + url.Values{"code": {code}, "state": {p.state}, "iss": {s.PublicURL}}.Encode()
	return page{template: "program", status: http.StatusOK, onward: v.Onward, data: v}, nil
}

// programRedeems is what a program sends, programToken what it gets, and programEnded what it is told of the
// end of its session.
type (
	programRedeems struct {
		Code        string `json:"code"`
		Verifier    string `json:"verifier"`
		RedirectURI string `json:"redirectUri"`
	}
	programToken struct {
		Token   string `json:"token"`
		Expires string `json:"expires"`
	}
	programEnded struct {
		// Everywhere is whether other instances get to know it; else it lasts there until Expires.
		Everywhere bool   `json:"everywhere"`
		Expires    string `json:"expires"`
	}
)

func (s *server) programToken(r *http.Request) (any, error) {
	body, err := readJSON[programRedeems](r)
	if err != nil {
		return nil, err
	}
	token, c, ends, err := s.Login.ProgramToken(r.Context(), body.Code, body.Verifier, body.RedirectURI)
	if err != nil {
		return nil, err
	}
	s.logEvent(withCaller(r, c), slog.LevelInfo, s.AuthenticateEvent, "gave a program a token")
	return programToken{token, ends.UTC().Format(time.RFC3339)}, nil
}

// endProgram logs out whoever has let the program that asks, and in the browser in which they did, too.
func (s *server) endProgram(w http.ResponseWriter, r *http.Request) {
	everywhere, ends, err := s.Login.EndProgram(r)
	if err != nil {
		s.stranger(w, r, access.AsError(err))
		return
	}
	s.logEvent(r, slog.LevelInfo, s.AuthenticateEvent, "logged out by a program")
	writeJSON(w, http.StatusOK, programEnded{everywhere, ends.UTC().Format(time.RFC3339)})
}

// demandLogin says to programs how they sign in where a login of our own is.
func demandLogin(h http.Header, e *access.Error) {
	demand := `Bearer realm="jitaccess"`
	if e.Code == access.CodeBadIdentity {
		demand += `, error="invalid_token"`
	}
	h.Set("WWW-Authenticate", demand)
}
