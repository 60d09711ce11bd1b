package server

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
	"jitaccess/internal/words"
)

// page is an answer to be written: a redirect to one of our own paths, a template with
// its data, or neither, which is no content.
type page struct {
	location string
	template string
	// block is the part of the template that is the answer; empty is a whole page.
	block  string
	status int
	data   any
	// onward is where browsers go from this page by themselves; empty for nowhere.
	onward string
}

// redirect answers a form or an old address. To is always built here, never taken
// from a request.
func redirect(to string) page { return page{location: to, status: http.StatusSeeOther} }

// Frame is what surrounds every page.
type Frame struct {
	Title string
	// User is who is signed in; empty when nobody is.
	User    access.Principal
	Version string
	// SwitchAccount is where to sign in as somebody else; empty for nowhere.
	SwitchAccount string
	// LogOut is whether to offer that.
	LogOut bool
	// Notifications is whether to lead to the page of that name, and Lists to those of
	// requests.
	Notifications, Lists bool
	// Applications is whether to lead to those.
	Applications bool
	// Passkeys is whether people can enrol some.
	Passkeys bool
	// Door comes before the addresses of what is decided here; empty but on the
	// administration page and below. Administration is whether to lead there.
	Door           string
	Administration bool
	// Languages are those that there are; none where nobody is signed in, who could choose one.
	Languages []words.Choice
	// Cautions are what administrators are to know on every page.
	Cautions []cautionView
	// Problem is what was wrong with what was sent; nil when nothing was.
	Problem *Problem
}

// frame surrounds a page whose title is a message.
func (s *server) frame(r *http.Request, title string, args ...any) Frame {
	caller := callerOf(r)
	var cautions []cautionView
	var languages []words.Choice
	if caller.Principal != "" {
		languages = words.Choices()
		cautions = access.Each(s.Broker.Cautions(r.Context(), caller), func(e *access.Error) cautionView { return s.caution(r, e) })
	}
	return Frame{Title: s.languageOf(r).Text(title, args...), User: caller.Principal, Version: s.Version, SwitchAccount: s.SwitchAccount,
		LogOut: s.Login != nil && caller.Principal != "", Notifications: len(s.Accounts) > 0 && s.Broker.NamedAdmin(caller),
		Applications: s.Apps != nil && s.Broker.NamedAdmin(caller),
		Lists:        s.remembers && caller.Principal != "", Passkeys: s.passkeysHere &&
			caller.Principal != "", Cautions: cautions, Languages: languages,
		Door: doorOf(r), Administration: s.AdminPage && (doorOf(r) != "" || s.Broker.NamedAdmin(caller))}
}

// cautionView is what administrators are to know and, where it is of a resource, the address of that.
type cautionView struct{ Text, Path, On string }

func (s *server) caution(r *http.Request, e *access.Error) cautionView {
	v := cautionView{Text: inFull(s.refusal(r, e, ""))}
	if on := access.Resource(e.Args["resource"]); on != "" {
		v.Path, v.On = accessPath(on, nil), s.called(s.languageOf(r), on)
	}
	return v
}

// Problem is a refusal as a page shows it.
type Problem struct {
	words.Refusal
	// Field is the form field to blame; empty when it is none.
	Field    string
	Incident string
	// SwitchAccount is where to sign in as somebody else, if that helps; else empty.
	SwitchAccount string
	// OpenAgain is whether that helps: what signs people in asks for it then.
	OpenAgain bool
	// Request is the address of the request that stands in the way; empty for none.
	Request string
}

// only forgets a field that the page does not have.
func (p *Problem) only(fields ...string) {
	if !slices.Contains(fields, p.Field) {
		p.Field = ""
	}
}

// problem puts a refusal into words and logs its cause under the incident id that
// the words carry.
func (s *server) problem(r *http.Request, err error) (*Problem, int) {
	e := access.AsError(err)
	status := statusOf(e)
	p := &Problem{Refusal: s.refusal(r, e, ""), Field: e.Field, Incident: incidentOf(r)}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		p.SwitchAccount = s.SwitchAccount
	}
	p.OpenAgain = status == http.StatusUnauthorized && r.Method == http.MethodGet
	if e.Kind == access.Conflict && e.Args["id"] != "" {
		p.Request = requestPath(e.Args["id"])
	}
	s.logRefusal(r, e, status)
	return p, status
}

// blame shows what is wrong on a page that has those fields, and returns the status of the answer.
func (s *server) blame(r *http.Request, on *Frame, cause error, fields ...string) (status int) {
	on.Problem, status = s.problem(r, cause)
	on.Problem.only(fields...)
	return status
}

// withIncident is a refusal and its incident id in one line.
func (s *server) withIncident(r *http.Request, p *Problem) string {
	return s.languageOf(r).Text("incident-text", "text", p.Text, "incident", p.Incident)
}

// errorView is the page of a refusal that has no page of its own.
type errorView struct {
	Frame
	// Again: what failed may succeed when it is tried once more. Fields are what was sent then,
	// to be sent again; nil where nothing was.
	Again  bool
	Fields []field
}

// passing are kinds of failures that may be over when something is tried once more.
var passing = []access.Kind{access.Upstream, access.Unavailable, access.TimedOut, access.TooMany}

func (s *server) errorPage(r *http.Request, err error) page {
	p, status := s.problem(r, err)
	v := errorView{Frame: s.frame(r, "title."+strconv.Itoa(status), "provider",
		s.languageOf(r).Provider(access.AsError(err), s.providerOf(""))),
		Again: slices.Contains(passing, access.AsError(err).Kind)}
	if v.Again && !safe(r) { // what is not read yet may be another site's, and what was confirmed is not shown here
		v.Fields = slices.DeleteFunc(fieldsOf(r.PostForm), func(f field) bool { return f.Name == "confirmed" })
		v.Again = len(v.Fields) > 0
	}
	p.only()
	v.Problem = p
	return page{template: "error", status: status, data: v}
}

// page adapts a handler that returns what to show.
func (s *server) page(h func(*http.Request) (page, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := h(r)
		if err != nil {
			p = s.errorPage(r, err)
		}
		s.write(w, r, p)
	}
}

// buffers are those of pages that were written. Without them a page of many roles would
// grow its own again and again.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// write renders into a buffer first, so that a template that fails half-way is a
// clean refusal.
func (s *server) write(w http.ResponseWriter, r *http.Request, p page) {
	if p.location != "" {
		w.Header()["Content-Type"] = nil // to a form it is answered with nothing, and so to all
		http.Redirect(w, r, p.location, p.status)
		return
	}
	if p.template == "" {
		w.WriteHeader(p.status)
		return
	}
	b := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(b)
	b.Reset()
	l := s.languageOf(r)
	t, err := s.pageIn(l, p.template)
	if err == nil {
		err = t.ExecuteTemplate(b, cmp.Or(p.block, "frame.html"), p.data)
	}
	if err != nil {
		problem, status := s.problem(r, fmt.Errorf("render %s: %w", p.template, err))
		http.Error(w, s.withIncident(r, problem), status)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", l.Tag())
	if p.onward != "" {
		w.Header().Set("Refresh", "0; url="+p.onward)
	}
	w.WriteHeader(p.status)
	w.Write(b.Bytes())
}

// pageIn is a page in a language, templates/NAME.html. It is read when somebody first wants it
// in that language: a start should not take longer, nor the process more memory, for what nobody
// reads.
func (s *server) pageIn(l *words.Language, name string) (*template.Template, error) {
	key := localPage{l, name}
	read, ok := s.pages.Load(key)
	if !ok {
		read, _ = s.pages.LoadOrStore(key, sync.OnceValues(func() (*template.Template, error) { return s.parsePage(l, name) }))
	}
	return read.(func() (*template.Template, error))()
}

type localPage struct {
	language *words.Language
	name     string
}

// parsePage reads the templates of one page, a set of its own, so that pages cannot take each
// other's blocks. In them {{say KEY NAME VALUE…}} is a message as HTML
// and {{message KEY}} the message itself, for a script to fill in; "/assets/NAME" leads to the
// version of that file that there is (assets.go).
func (s *server) parsePage(l *words.Language, name string) (*template.Template, error) {
	t := template.New("frame.html").Funcs(template.FuncMap{
		"say": l.HTML, "message": l.Message, "language": l.Tag,
		"clock":    func() string { return s.Now().UTC().Format(time.RFC3339) },
		"provider": s.providerOf, "kind": func(on access.Resource) string { return s.kindOf(l, on) },
		"lookAlike": l.LookAlike, "inLine": words.InLine, "placed": words.Placed, "isolated": access.Isolated,
		"called": func(on access.Resource) string { return s.called(l, on) }, "appliedLater": s.appliedLater, "reasonShown": s.reasonShown,
		"tellsPeople": s.tellsPeople, "silenced": s.silenced, "tellsAnything": func() bool { return len(s.Broker.Channels()) > 0 },
		"addresses": func(names []string) template.HTML {
			return template.HTML(l.Series(access.Each(names, func(name string) string {
				return `<span class="address">` + template.HTMLEscapeString(name) + "</span>"
			})))
		},
	})
	for _, file := range []string{"frame", "parts", name} {
		source, err := fs.ReadFile(s.files, "templates/"+file+".html")
		if err != nil {
			return nil, err
		}
		versioned := s.versions.Replace(string(source))
		if _, err := t.Parse(said().ReplaceAllStringFunc(versioned, func(asked string) string { return inPlace(l, asked) })); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// said asks for a message, with arguments that the template has at hand.
var said = lazyregexp.New(`{{say "([^"]+)"((?: "[a-z]+" (?:[.$][\w.$]*|\([^()]*\)))*)}}`)

// argument is the name of one, and what stands for its value.
var argument = lazyregexp.New(`"([a-z]+)" (?:([.$][\w.$]*)|\(([^()]*)\))`)

// inPlace puts a message where a template asks for it, so that this is done once and
// not for every page. The form of a number is known only then.
func inPlace(l *words.Language, asked string) string {
	parts := said().FindStringSubmatch(asked)
	if strings.Contains(l.Message(parts[1]), ", plural, ") {
		return asked
	}
	var args []any
	for _, a := range argument().FindAllStringSubmatch(parts[2], -1) {
		value := a[3]
		if a[2] != "" {
			value = "placed " + a[2]
		}
		args = append(args, a[1], template.HTML("{{"+value+"}}"))
	}
	return string(l.HTML(parts[1], args...))
}
