package login

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// MethodOfPrograms is Method where somebody's program has sent a request.
const MethodOfPrograms = "oidc-program"

// Names under which a code and a token are sealed. No cookie can have a name with a space, so
// that neither opens as a cookie, nor a cookie as one of them.
const (
	programCode  = "program code"
	programToken = "program token"
)

// codeLife is how long a code is good. That it was redeemed is kept for begunLife, which is longer
// by more than the clocks of instances differ.
const codeLife = time.Minute

// code is what a program gets a token for, as a browser takes it there: the session of whoever has
// let it, bound to what the program alone knows (RFC 7636) and to where it listens.
type code struct {
	ID, Challenge, Redirect string
	At                      time.Time
	Session                 session
}

// SessionEnds is when the session of the browser is over; zero where there is none.
func (l *Login) SessionEnds(r *http.Request) time.Time {
	s, _, err := l.session(r)
	if err != nil {
		return time.Time{}
	}
	return s.ends(l.c.MaxAge)
}

// ProgramCode makes a code with which a program gets a token for the session of the browser, within
// a minute and once. challenge is its S256 of a verifier. Its errors are those of Identify.
func (l *Login) ProgramCode(r *http.Request, challenge, redirect string) (string, error) {
	s, _, err := l.session(r)
	if err != nil {
		return "", err
	}
	return l.cookies.sealed(programCode, code{rand.Text(), challenge, redirect, l.c.Now(), s})
}

// ProgramToken redeems a code for a token, which is good for as long as the session. Without
// Sessions this instance alone knows that a code was redeemed. The error is of kind
// Invalid where the code does not hold, CodeNoIdentity where the session is over, and of kind
// Unavailable where it cannot be kept that the code was redeemed.
func (l *Login) ProgramToken(ctx context.Context, text, verifier, redirect string) (token string, c access.Caller, ends time.Time,
	err error) {
	fail := func(err error) (string, access.Caller, time.Time, error) {
		return "", access.Caller{}, time.Time{}, err
	}
	var of code
	if _, err := l.cookies.open(programCode, text, &of); err != nil {
		return fail(badCode(err))
	}
	sum := sha256.Sum256([]byte(verifier))
	now, challenge := l.c.Now(), base64.RawURLEncoding.EncodeToString(sum[:])
	switch {
	case now.Sub(of.At) > codeLife || of.At.Sub(now) > skew:
		return fail(badCode(errors.New("it was made more than a minute ago")))
	case subtle.ConstantTimeCompare([]byte(challenge), []byte(of.Challenge)) != 1:
		return fail(badCode(errors.New("the verifier is another's")))
	case redirect != of.Redirect:
		return fail(badCode(errors.New("it was made for another program")))
	}
	if err := l.lasts(ctx, of.Session); err != nil {
		return fail(err)
	}
	switch first, err := l.endings.end(ctx, programCode+" "+of.ID, now.Add(begunLife)); {
	case err != nil:
		return fail(&access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable, Err: err})
	case !first:
		return fail(badCode(errors.New("it was redeemed before")))
	}
	if token, err = l.cookies.sealed(programToken, of.Session); err != nil {
		return fail(err)
	}
	return token, byProgram(of.Session), of.Session.ends(l.c.MaxAge), nil
}

// IdentifyScript returns who sent a request of the JSON interface: whose program it is that shows
// its token, whatever cookies are there, else who is logged in. Pages must not ask this.
func (l *Login) IdentifyScript(r *http.Request) (access.Caller, error) {
	s, shown, err := l.sessionOfProgram(r)
	switch {
	case err != nil:
		return access.Caller{}, err
	case !shown:
		return l.Identify(r)
	}
	return byProgram(s), nil
}

// sessionOfProgram is the session, if it lasts, that the token of a program is of; shown is whether there is a token.
func (l *Login) sessionOfProgram(r *http.Request) (s session, shown bool, err error) {
	all := r.Header.Values("Authorization")
	if !slices.ContainsFunc(all, func(one string) bool { return strings.HasPrefix(strings.ToLower(one), "bearer") }) {
		return session{}, false, nil // what else stands there may be for a server on the way
	}
	if len(all) > 1 {
		return session{}, true, bad(errors.New("the header Authorization is there twice"))
	}
	_, text, _ := strings.Cut(all[0], " ")
	if _, err := l.cookies.open(programToken, text, &s); err != nil {
		return session{}, true, bad(err)
	}
	if err := l.lasts(r.Context(), s); err != nil {
		return session{}, true, err
	}
	return s, true, nil
}

// EndProgram ends the session that the token of a program is of, whatever cookies are there. everywhere is
// whether other instances get to know that; what they do not know of lasts there until ends. Its errors are
// those of IdentifyScript, CodeNoIdentity where no token is shown, and another where it goes on here too.
func (l *Login) EndProgram(r *http.Request) (everywhere bool, ends time.Time, err error) {
	s, shown, err := l.sessionOfProgram(r)
	if err == nil && !shown {
		err = none(errors.New("no program has shown a token"))
	}
	if err != nil {
		return false, time.Time{}, err
	}
	ends = s.ends(l.c.MaxAge)
	if _, err := l.endings.end(r.Context(), s.ID, ends); err != nil {
		if !l.endings.ended(r.Context(), s.ID) {
			return false, ends, err
		}
		l.c.Warn(fmt.Errorf("a session was ended on this instance alone; on others it lasts until its time is over: %w", err))
		return false, ends, nil
	}
	return l.c.Sessions != nil, ends, nil
}

func byProgram(s session) access.Caller {
	c := s.caller()
	c.Method = MethodOfPrograms
	return c
}

func badCode(err error) error {
	return &access.Error{Kind: access.Invalid, Code: access.CodeBadInput, Args: access.Args{"reason": "the code does not hold"}, Err: err}
}
