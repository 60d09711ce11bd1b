// Package storybook is every page of the service in every state: what tests compare with
// what the pages are to be, and what people look at in the sandbox. Each is told by the
// server itself, over an organization in memory whose broker answers what the story says.
//
// Of a program that has a sandbox it is a part; nothing of it is made before somebody
// opens a page. A mistake in a story is a panic, which the tests that tell them all find.
package storybook

import (
	"bytes"
	"cmp"
	_ "embed"
	"html/template"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/server"
	"jitaccess/internal/words"
)

// PersonHeader says who sends a request to a server of Config.
const PersonHeader = "X-Test-Person"

// Identify reads PersonHeader, which stands for the assertion of a proxy.
func Identify(r *http.Request) (access.Caller, error) {
	who := r.Header.Get(PersonHeader)
	if who == "" {
		return access.Caller{}, &access.Error{Kind: access.Unauthenticated, Code: access.CodeNoIdentity}
	}
	return access.Caller{Principal: access.Principal(who), Subject: "accounts.google.com:" + who, Method: "iap"}, nil
}

// Config is that of a server around a broker, without what stories add.
func Config(b server.Broker) server.Config {
	return server.Config{Broker: b, Identify: Identify, AuthenticateEvent: "iap.authenticate", SwitchAccount: "/?gcp-iap-mode=CLEAR_LOGIN_COOKIE",
		PublicURL: "https://access.example.com", Version: "2.0.0", AdminPage: true, Provider: func(access.Resource) string { return "Google" },
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return Noon }, Random: &shared{source: rand.NewChaCha8([32]byte{1})}}
}

// shared is a source of randomness that several requests may read at once.
type shared struct {
	mu     sync.Mutex
	source io.Reader
}

func (s *shared) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source.Read(b)
}

// State is what the broker answers in the story.
func (s Story) State() *State {
	state := New()
	if s.Set != nil {
		s.Set(state)
	}
	return state
}

// HTTPRequest is what the person of the story sends.
func (s Story) HTTPRequest() *http.Request {
	method, rest, _ := strings.Cut(s.Request, " ")
	target, body, _ := strings.Cut(rest, " ")
	r, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Host, r.RequestURI = "access.example.com", target
	r.Header.Set(PersonHeader, string(s.Person))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	return r
}

// Path is where Handler expects to be; it serves this and all below.
const Path = "/sandbox/storybook"

// Handler shows every story in every language. Its pages are shown as they are, with their style
// and their scripts, and can do nothing: they are of an origin of their own, which sends no forms,
// asks for nothing and keeps nothing.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Path+"/{$}", list)
	mux.HandleFunc("GET "+Path+"/{language}/{$}", list)
	mux.HandleFunc("GET "+Path+"/{language}/{story}", tell)
	mux.HandleFunc("GET "+Path+"/assets/{asset}", asset)
	return mux
}

//go:embed list.html
var listText string

// listed is the stories of one page.
type listed struct {
	Page    string
	Stories []Story
}

func list(w http.ResponseWriter, r *http.Request) {
	language := words.Tagged(cmp.Or(r.PathValue("language"), words.English().Tag()))
	if language == nil {
		http.NotFound(w, r)
		return
	}
	var pages []listed
	for _, s := range Stories() {
		page, _, _ := strings.Cut(s.Name, "-")
		at := slices.IndexFunc(pages, func(l listed) bool { return l.Page == page })
		if at < 0 {
			at, pages = len(pages), append(pages, listed{Page: page})
		}
		pages[at].Stories = append(pages[at].Stories, s)
	}
	var b bytes.Buffer
	err := template.Must(template.New("").Parse(listText)).Execute(&b, struct {
		Path, Language string
		Languages      []words.Choice
		Pages          []listed
	}{Path, language.Tag(), words.Choices(), pages})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(b.Bytes())
}

// harmless is what pages of the storybook may not do, beside what the service lets none of its pages do.
const harmless = "sandbox allow-scripts; connect-src 'none'; form-action 'none'"

func tell(w http.ResponseWriter, r *http.Request) {
	stories := Stories()
	at := slices.IndexFunc(stories, func(s Story) bool { return s.Name == r.PathValue("story") })
	language := words.Tagged(r.PathValue("language"))
	if at < 0 || language == nil {
		http.NotFound(w, r)
		return
	}
	state := stories[at].State()
	config := Config(Canned{state})
	config.Language = language
	state.Configure(&config)
	answer := answer(config, stories[at].HTTPRequest())
	w.Header().Set("Content-Type", answer.header.Get("Content-Type"))
	w.Header()["Content-Security-Policy"] = []string{answer.header.Get("Content-Security-Policy"), harmless}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(answer.code)
	w.Write(bytes.ReplaceAll(answer.body.Bytes(), []byte(`"/assets/`), []byte(`"`+Path+`/assets/`)))
}

// asset is one of the service's, which loads wherever the page is from.
func asset(w http.ResponseWriter, r *http.Request) {
	request, err := http.NewRequest(http.MethodGet, "/assets/"+url.PathEscape(r.PathValue("asset")), nil)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	answer := answer(Config(Canned{New()}), request)
	w.Header().Set("Content-Type", answer.header.Get("Content-Type"))
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(answer.code)
	w.Write(answer.body.Bytes())
}

// recorded is what a server answered.
type recorded struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *recorded) Header() http.Header         { return a.header }
func (a *recorded) WriteHeader(code int)        { a.code = cmp.Or(a.code, code) }
func (a *recorded) Write(b []byte) (int, error) { a.WriteHeader(http.StatusOK); return a.body.Write(b) }

func answer(c server.Config, r *http.Request) *recorded {
	a := &recorded{header: http.Header{}}
	h, err := server.New(c)
	if err != nil {
		panic(err)
	}
	h.ServeHTTP(a, r)
	return a
}
