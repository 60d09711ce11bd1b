package sandbox

import (
	"bytes"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/sandbox/google"
)

//go:embed pages
var pageFiles embed.FS

var templates = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"clock":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"minute": func(t time.Time) string { return t.UTC().Format("Mon 2 Jan 15:04 UTC") },
		"stamp":  func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"links":  splitLinks,
	}).ParseFS(pageFiles, "pages/*.html"))
})

// frame is what every page of the sandbox shows.
type frame struct {
	Title string
	// Bar is nil where there is none, behind Pomerium.
	Bar *bar
	// Refresh is whether the page loads itself again every few seconds.
	Refresh bool
}

// bar is the strip on top of every page.
type bar struct {
	// Person is who the visitor is; the zero Person is nobody yet.
	Person google.Person
	People []google.Person
	// Return is where switching to another person leads.
	Return string
	Unread int
	// Resource is what the page is about, as a path; may be empty.
	Resource string
	// Steps is how many of the first steps are done.
	Steps int
	News  news
	Hour  hour
}

func (f *front) newBar(person google.Person, r *http.Request) *bar {
	return &bar{
		Person:   person,
		People:   f.cloud.People(),
		Return:   returnPath(r),
		Unread:   f.mailbox.Unread(person.Email),
		Resource: resourceOf(r.URL.Path),
		Steps:    f.story().Done(),
		News:     f.news(r),
		Hour:     f.hour(returnPath(r)),
	}
}

// resourceOf returns the resource whose access the service shows under the path.
func resourceOf(path string) string {
	resource, _ := strings.CutPrefix(path, "/access/")
	if resource == path {
		return ""
	}
	return resource
}

func (f *front) renderBar(person google.Person, r *http.Request) ([]byte, error) {
	var b bytes.Buffer
	err := templates().ExecuteTemplate(&b, "bar", f.newBar(person, r))
	return b.Bytes(), err
}

func (f *front) render(w http.ResponseWriter, name string, data any) { render(w, f.log, name, data) }

// render sends a page of the sandbox's own.
func render(w http.ResponseWriter, log *slog.Logger, name string, data any) {
	var b bytes.Buffer
	if err := templates().ExecuteTemplate(&b, name, data); err != nil {
		log.Error("rendering", "page", name, "error", err)
		http.Error(w, "The sandbox could not show this page.", http.StatusInternalServerError)
		return
	}
	setHeaders(w, "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(b.Bytes())
}

func setHeaders(w http.ResponseWriter, contentSecurityPolicy string) {
	w.Header().Set("Content-Security-Policy", contentSecurityPolicy)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "same-origin")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.PathValue("name"), ".css") {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, pageFiles, "pages/"+r.PathValue("name"))
}

func (f *front) showPeople(w http.ResponseWriter, r *http.Request) {
	person, _ := f.person(r)
	page := struct {
		frame
		Return    string
		Story     story
		Hour      hour
		Storybook bool
	}{frame{Title: "Try it in three steps", Bar: f.newBar(person, r)}, localPath(r.URL.Query().Get("return")), f.story(),
		f.hour("/sandbox/"), f.storybook != nil}
	f.render(w, "people.html", page)
}

// inboxLine is a mail in the list.
type inboxLine struct {
	Mail    *Mail
	Message message
	Unread  bool
}

func (f *front) showInbox(w http.ResponseWriter, r *http.Request) {
	person, known := f.person(r)
	if !known {
		f.askWhoVisits(w, r)
		return
	}
	page := struct {
		frame
		Person google.Person
		Mails  []inboxLine
	}{frame{"Mailbox of " + person.Name, f.newBar(person, r), true}, person, nil}
	for _, mail := range f.mailbox.Inbox(person.Email) {
		page.Mails = append(page.Mails, inboxLine{mail, parseMessage(mail.Raw), !f.mailbox.IsRead(mail, person.Email)})
	}
	f.render(w, "mailbox.html", page)
}

func (f *front) showMail(w http.ResponseWriter, r *http.Request) {
	person, mail, ok := f.mailOf(w, r)
	if !ok {
		return
	}
	f.mailbox.markRead(mail, person.Email)
	parsed := parseMessage(mail.Raw)
	page := struct {
		frame
		Mail    *Mail
		Message message
	}{frame{Title: parsed.Subject, Bar: f.newBar(person, r)}, mail, parsed}
	f.render(w, "mail.html", page)
}

// showMailHTML sends the mail's HTML part for the frame that shows it. It may not
// run anything, nor load anything.
func (f *front) showMailHTML(w http.ResponseWriter, r *http.Request) {
	_, mail, ok := f.mailOf(w, r)
	if !ok {
		return
	}
	setHeaders(w, "sandbox allow-popups allow-top-navigation-by-user-activation; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write([]byte(onTop(parseMessage(mail.Raw).HTML)))
}

// mailOf returns the visitor's mail that the path names, or has answered.
func (f *front) mailOf(w http.ResponseWriter, r *http.Request) (google.Person, *Mail, bool) {
	person, known := f.person(r)
	if !known {
		f.askWhoVisits(w, r)
		return person, nil, false
	}
	id, err := strconv.Atoi(r.PathValue("id"))
	mail, found := f.mailbox.Mail(person.Email, id)
	if err != nil || !found {
		http.Error(w, "There is no such mail in the mailbox of "+person.Name+".", http.StatusNotFound)
		return person, nil, false
	}
	return person, mail, true
}

// headTag is the tag after which a base tag goes.
var headTag = regexp.MustCompile(`(?i)<head(?:\s[^>]*)?>`)

// onTop has the links of a mail open in the window instead of the frame.
func onTop(page string) string {
	const base = `<base target="_top">`
	if tag := headTag.FindStringIndex(page); tag != nil {
		return page[:tag[1]] + base + page[tag[1]:]
	}
	return base + page
}

// textLink is a piece of text, and whether it is an address to follow.
type textLink struct {
	Text   string
	IsLink bool
}

var link = regexp.MustCompile(`https?://[^\s<>"]+`)

// splitLinks cuts text into links and what stands between them.
func splitLinks(text string) []textLink {
	var pieces []textLink
	last := 0
	for _, at := range link.FindAllStringIndex(text, -1) {
		pieces = append(pieces, textLink{text[last:at[0]], false}, textLink{text[at[0]:at[1]], true})
		last = at[1]
	}
	return append(pieces, textLink{text[last:], false})
}
