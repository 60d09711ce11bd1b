package server

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"jitaccess/internal/words"
)

// languagePath is where a person chooses a language, and fieldLanguage the field that says it.
const (
	languagePath  = "/language"
	fieldLanguage = "language"
)

// languageFor is how long a choice is kept. Browsers keep no cookie for longer than 400 days
// (RFC 6265bis, 5.5).
const languageFor = 365 * 24 * time.Hour

// languageOf is the language in which a request is answered: the one that the person chose, or
// else what Accept-Language prefers of those that there are, or else Config.Language. Programs
// that send neither so get that one.
func (s *server) languageOf(r *http.Request) *words.Language {
	for _, chosen := range r.CookiesNamed(s.languageCookie(r)) {
		if l := words.Tagged(chosen.Value); l != nil {
			return l
		}
	}
	if l := words.Accepted(strings.Join(r.Header.Values("Accept-Language"), ",")); l != nil {
		return l
	}
	return s.Language
}

// languageCookie is the name of the cookie that keeps a choice. Browsers take it from this very
// host alone where its address is certainly https.
func (s *server) languageCookie(r *http.Request) string {
	if s.overTLS(r) {
		return "__Host-" + fieldLanguage
	}
	return fieldLanguage
}

func (s *server) overTLS(r *http.Request) bool { return strings.HasPrefix(s.origin(r), "https:") }

// chooseLanguage keeps the language that a person wants and leads back to where they were. It
// changes nothing else. A language that there is none of is not kept.
func (s *server) chooseLanguage(w http.ResponseWriter, r *http.Request) {
	f, err := form(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	if l := words.Tagged(f.Get(fieldLanguage)); l != nil {
		http.SetCookie(w, &http.Cookie{Name: s.languageCookie(r), Value: l.Tag(), Path: "/", MaxAge: int(languageFor / time.Second),
			Secure: s.overTLS(r), HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	s.write(w, r, redirect(cameFrom(r)))
}

// cameFrom is the page from which a form was sent, as a path of ours; the start page where that
// is not known, or can only be sent to. Of what the browser says nothing but path and query is
// taken, and only what is routed here.
func cameFrom(r *http.Request) string {
	from, err := url.Parse(r.Referer())
	if err != nil || !chi.RouteContext(r.Context()).Routes.Match(chi.NewRouteContext(), http.MethodGet, from.EscapedPath()) {
		return "/"
	}
	return from.RequestURI()
}
