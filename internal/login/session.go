package login

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"jitaccess/internal/access"
)

const (
	cookieOfSession = "session"
	// loggedOut is the value of that cookie in a browser where somebody has logged out.
	loggedOut = "out"
)

// session is who is logged in, as their browser keeps it. It is never prolonged.
type session struct {
	ID string
	// AtProvider is the id of the provider's own session; empty where it does not say.
	AtProvider string `json:",omitempty"`
	Principal  access.Principal
	Subject    string
	// Asserted is when they were authenticated; zero where the provider does not say.
	Asserted time.Time `json:",omitzero"`
	Made     time.Time
	// Claims are their groups. ClaimsUnknown is that the provider has not named all of them,
	// or that a cookie cannot hold them.
	Claims        []string `json:",omitempty"`
	AccessLevels  []string `json:",omitempty"`
	ClaimsUnknown bool     `json:",omitempty"`
}

func sessionOf(who authenticated, now time.Time) session {
	return session{ID: rand.Text(), AtProvider: who.session, Principal: who.Principal, Subject: who.Subject, Asserted: who.Asserted,
		Claims: who.Claims, ClaimsUnknown: who.ClaimsUnknown, AccessLevels: who.AccessLevels, Made: now.UTC().Truncate(time.Second)}
}

// ends is when it is over: MaxAge after the authentication, or after the log-in where the
// provider does not say when that was.
func (s session) ends(maxAge time.Duration) time.Time {
	if !s.Asserted.IsZero() && s.Asserted.Before(s.Made) {
		return s.Asserted.Add(maxAge)
	}
	return s.Made.Add(maxAge)
}

func (s session) caller() access.Caller {
	return access.Caller{Principal: s.Principal, Subject: s.Subject, Asserted: s.Asserted, Claims: s.Claims, ClaimsUnknown: s.ClaimsUnknown,
		AccessLevels: s.AccessLevels, Method: Method}
}

// setSession seals a session into its cookie. Who is in more groups than a cookie can hold
// is in groups that are not known: never in some of them.
func (l *Login) setSession(h http.Header, s session) error {
	life := s.ends(l.c.MaxAge).Sub(l.c.Now())
	err := l.cookies.set(h, cookieOfSession, s, life)
	if err != nil && len(s.Claims) > 0 {
		s.Claims, s.ClaimsUnknown = nil, true
		err = l.cookies.set(h, cookieOfSession, s, life)
	}
	return err
}

// Identify returns who is logged in. The error is CodeNoIdentity where nobody is or their
// session is over, and CodeBadIdentity where the cookie is none of ours.
func (l *Login) Identify(r *http.Request) (access.Caller, error) {
	s, _, err := l.session(r)
	if err != nil {
		return access.Caller{}, err
	}
	return s.caller(), nil
}

// session is the one of the browser, if it lasts; older is whether an older key has sealed it.
func (l *Login) session(r *http.Request) (s session, older bool, err error) {
	if l.cookies.text(r, cookieOfSession) == loggedOut {
		return session{}, false, none(errors.New("they have logged out"))
	}
	older, err = l.cookies.get(r, cookieOfSession, &s)
	switch {
	case errors.Is(err, errNoCookie):
		return session{}, false, none(err)
	case err != nil:
		return session{}, false, bad(err)
	}
	if err := l.lasts(r.Context(), s); err != nil {
		return session{}, false, err
	}
	return s, older, nil
}

// lasts returns why a session does not count, or no longer.
func (l *Login) lasts(ctx context.Context, s session) error {
	now := l.c.Now()
	switch {
	case s.Made.After(now.Add(skew)):
		return bad(errors.New("the session begins in the future; is the clock right?"))
	case !s.ends(l.c.MaxAge).After(now):
		return none(errors.New("the session is over"))
	case l.endings.ended(ctx, s.ID), s.AtProvider != "" && l.endings.ended(ctx, l.sessionAtProvider(s.AtProvider)):
		return none(errors.New("they have logged out"))
	}
	return nil
}

// none is that nobody is logged in, or no longer.
func none(err error) error {
	return &access.Error{Kind: access.Unauthenticated, Code: access.CodeNoIdentity, Err: err}
}

// Renew seals the session of the browser with the newest key, if an older one has sealed
// it, and sets that cookie in h. The session is the same and ends when it would have ended.
func (l *Login) Renew(h http.Header, r *http.Request) {
	if s, older, err := l.session(r); err == nil && older {
		if err := l.setSession(h, s); err != nil {
			l.c.Warn(err)
		}
	}
}

// End ends the session of the browser, if there is one, and with Sessions every copy of its
// cookie. The address is where one logs out at the provider; empty where that has no such
// place. An error is that a copy would still be good; the browser's own cookie is gone then too.
func (l *Login) End(h http.Header, r *http.Request) (address string, err error) {
	s, _, nobody := l.session(r)
	l.cookies.write(h, cookieOfSession, loggedOut, maxLife)
	if nobody == nil {
		if _, failed := l.endings.end(r.Context(), s.ID, s.ends(l.c.MaxAge)); failed != nil {
			err = &access.Error{Kind: access.Unavailable, Code: access.CodeCopiesLast, Err: failed}
		}
	}
	if p, failed := l.provider(r.Context()); failed == nil {
		address = p.endAddress(l.c.ClientID)
	}
	return address, err
}

// Sessions remembers which sessions were ended before their time.
type Sessions interface {
	// EndSession records that a session is over, and says whether that is new: of several who
	// record the same, on whatever instance, one is the first. After until nobody asks for it.
	EndSession(ctx context.Context, id string, until time.Time) (first bool, err error)
	// SessionEnded is whether that was recorded.
	SessionEnded(ctx context.Context, id string) (bool, error)
}
