package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// What is read before anything is parsed is bounded.
const (
	maxBody    = 64 << 10
	maxQuery   = 16 << 10
	maxPath    = 2 << 10
	maxHeaders = 64 << 10
	// maxDelivery is what GitHub may send, whose deliveries hold whole pull requests. They could be
	// longer; such a one is refused.
	maxDelivery = 1 << 20
)

const contentSecurityPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// headers sets what every answer carries, errors included.
func (s *server) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// Not no-referrer: with it browsers send "Origin: null" with our own forms.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Accept-Language, Cookie")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Strict-Transport-Security", "max-age=31536000")
		next.ServeHTTP(w, r)
	})
}

// recovered turns a panic into a refusal with an incident id.
func (s *server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if cause := recover(); cause != nil {
				if cause == http.ErrAbortHandler {
					panic(cause)
				}
				s.refuse(w, r, fmt.Errorf("panic: %v", cause))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// bounded refuses what is too large before it is parsed, and gives an action its
// time.
func (s *server) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size, most := 0, int64(maxBody)
		if strings.HasPrefix(r.URL.Path, pathGitHub) {
			most = maxDelivery
		}
		for name, values := range r.Header {
			for _, v := range values {
				size += len(name) + len(v)
			}
		}
		if len(r.URL.RawQuery) > maxQuery || len(r.URL.EscapedPath()) > maxPath || size > maxHeaders || r.ContentLength > most {
			s.refuse(w, r, &access.Error{Kind: access.Invalid, Code: access.CodeTooLarge})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		ctx, cancel := context.WithTimeout(r.Context(), actionTimeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// callerKey is where a request keeps who sent it, strangerKey that nobody could be
// identified.
type (
	callerKey   struct{}
	strangerKey struct{}
)

// embedded refuses what a page of another site makes a browser fetch, such as an image
// or a frame, which would cost look-ups in the name of whoever opened that page. To be
// led here, by a link or from a sign-in page, is no such thing, unless the browser does
// it in advance. Programs, and browsers before 2023, do not say what they fetch for
// (https://www.w3.org/TR/fetch-metadata/); changes have guards of their own.
func embedded(r *http.Request) error {
	h := r.Header
	switch h.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return nil
	}
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && h.Get("Sec-Fetch-Mode") == "navigate" &&
		h.Get("Sec-Fetch-Dest") == "document" && h.Get("Sec-Purpose") == "" {
		return nil
	}
	return crossSite(errors.New("fetched by another site"))
}

// identified lets nobody through who is not identified. Who sent a request is found
// out from that request, each time; how is the identity profile's matter. What another
// site fetches is refused before that costs anything.
func (s *server) identified(next http.Handler) http.Handler { return s.identifiedBy(s.Identify, next) }

// identifiedScript is identified for the JSON interface alone, which a login of our own also opens
// to programs that somebody has let act in their name.
func (s *server) identifiedScript(next http.Handler) http.Handler {
	if s.Login == nil {
		return s.identified(next)
	}
	return s.identifiedBy(s.Login.IdentifyScript, next)
}

func (s *server) identifiedBy(identify func(*http.Request) (access.Caller, error), next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := embedded(r); err != nil {
			s.refuse(w, r, err)
			return
		}
		arrived := s.Now()
		if s.Login != nil {
			s.Login.Renew(w.Header(), r)
		}
		c, err := identify(r)
		if err == nil && (c.Principal == "" || c.Principal.IsSpelled()) { // the latter stands for whom nobody knows
			err = errors.New("identified as nobody")
		}
		if err != nil {
			var e *access.Error
			if !errors.As(err, &e) {
				e = &access.Error{Kind: access.Unauthenticated, Code: access.CodeBadIdentity, Err: err}
			}
			s.stranger(w, r, e)
			return
		}
		c.Arrived, c.AtAdmin = arrived, s.AdminDoor && atAdminPage(r.RequestURI)
		r = withCaller(r.WithContext(access.WithPerson(access.WithPurpose(r.Context(), purposeOf(r)), c.Principal)), c)
		s.logEvent(r, slog.LevelInfo, s.AuthenticateEvent, "identified")
		next.ServeHTTP(w, r)
	})
}

// callerOf is who was identified; zero before that.
func callerOf(r *http.Request) access.Caller {
	c, _ := r.Context().Value(callerKey{}).(access.Caller)
	return c
}

// purposeOf is what a request is for, where a provider's quotas are short.
func purposeOf(r *http.Request) access.Purpose {
	switch {
	case safe(r):
		return access.ForPage
	case strings.HasSuffix(r.URL.Path, "/end"):
		return access.ForEnd
	}
	return access.ForAction
}

// safe is whether a method promises to change nothing. The router gives only GET
// and POST to handlers, and HEAD as GET.
func safe(r *http.Request) bool { return r.Method != http.MethodPost }

// unless lets a request through unless check has something against it.
func (s *server) unless(check func(*http.Request) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := check(r); err != nil {
				s.refuse(w, r, err)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// paced slows down a person who asks too fast, or for too much at once; changes, which
// send mail, sooner. Pages and changes of one person do not wait for each other.
func (s *server) paced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pace, turns, who := s.changes, s.changing, callerOf(r).Principal
		if safe(r) {
			pace, turns = s.reads, s.reading
		}
		if waits(r) {
			turns = s.waiting
		}
		if pace.allow(who, s.Now()) {
			if done, ok := turns.take(r.Context(), who); ok {
				defer done()
				next.ServeHTTP(w, r)
				return
			}
		}
		s.tooFast(w, r)
	})
}

func (s *server) tooFast(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "5")
	s.refuse(w, r, &access.Error{Kind: access.TooMany, Code: access.CodeTooFast})
}

// notOurPages refuses a change that another site caused. CrossOriginProtection
// lets through what carries neither Origin nor Sec-Fetch-Site, as no browser
// would; a form comes from a browser, so here one of them must be there.
func (s *server) notOurPages(r *http.Request) error {
	if !safe(r) && r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" {
		return crossSite(errors.New("neither Origin nor Sec-Fetch-Site"))
	}
	return crossSite(s.sameSite.Check(r))
}

// notScript demands the header that no other site can make a browser send.
func (s *server) notScript(r *http.Request) error {
	if h := r.Header.Values("X-JITACCESS"); len(h) != 1 || h[0] != "1" {
		return &access.Error{Kind: access.Invalid, Code: access.CodeMissingHeader}
	}
	return crossSite(s.sameSite.Check(r))
}

// crossSite is the refusal for what another site caused; nil for nil.
func crossSite(err error) error {
	if err == nil {
		return nil
	}
	return &access.Error{Kind: access.NotAllowed, Code: access.CodeCrossSite, Err: err}
}

// forgetful refuses what needs a memory where there is none.
func (s *server) forgetful(*http.Request) error {
	if s.remembers {
		return nil
	}
	return &access.Error{Kind: access.NotFound, Code: access.CodeNeedsLedger}
}

// refuses answers that there is nothing here, and why.
func (s *server) refuses(code access.Code) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, &access.Error{Kind: access.NotFound, Code: code})
	}
}

func (s *server) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	if routes := chi.RouteContext(r.Context()).Routes; routes != nil {
		for _, m := range []string{http.MethodGet, http.MethodPost} {
			if routes.Match(chi.NewRouteContext(), m, r.URL.EscapedPath()) {
				w.Header().Add("Allow", m)
			}
		}
	}
	s.refuse(w, r, &access.Error{Kind: access.Invalid, Code: access.CodeMethod})
}

// forPeople has a refusal told to those alone who are identified, but for the addresses that
// applications use.
func (s *server) forPeople(next http.HandlerFunc) http.HandlerFunc {
	identified, script := s.identified(s.paced(next)), s.identifiedScript(s.paced(next))
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.isForApplications(r):
			next(w, r)
		case forScripts(r):
			script.ServeHTTP(w, r)
		default:
			identified.ServeHTTP(w, r)
		}
	}
}

// refuse answers in the form that the path promises.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if s.isForApplications(r) {
		s.writeProblem(w, r, err)
		return
	}
	if forScripts(r) {
		s.writeJSONError(w, r, err, "")
		return
	}
	s.write(w, r, s.errorPage(r, err))
}

func forScripts(r *http.Request) bool {
	below := strings.TrimPrefix(r.URL.Path, broker.AdminPath)
	return below == "/api" || strings.HasPrefix(below, "/api/") || strings.HasPrefix(r.URL.Path, "/health/") ||
		strings.HasPrefix(r.URL.Path, pathProgram+"/")
}
