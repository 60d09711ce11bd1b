package pomerium

import (
	"embed"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// personCookie holds the address of the person whom the visitor has chosen to be. Anyone at
// this machine may be anyone, so it is not secret and not signed.
const personCookie = "sandbox_person"

// ownRoot is where Pomerium has pages of its own, on every route.
const ownRoot = "/.pomerium/"

// DemoPath is the route that only those may pass whom the policy DemoPolicy lets in.
const (
	DemoPath   = "/demo/"
	DemoPolicy = "jit-example"
)

// administrators is the policy of the route for /admin.
const administrators = `[{"allow":{"and":[{"groups":{"has":"administrators"}}]}}]`

//go:embed pages
var pageFiles embed.FS

var templates = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"clock": func(t time.Time) string { return t.UTC().Format("15:04:05 UTC") },
	}).ParseFS(pageFiles, "pages/*.html"))
})

// Proxy stands before a service as Pomerium does: with one route for all of it, which
// everybody who is signed in may pass, one for /admin, which administrators may, and one of
// its own for the demonstration. host is that of the routes.
func (z *Zero) Proxy(service http.Handler, host string) http.Handler {
	p := &proxy{Zero: z, service: service, host: host}
	own := http.NewServeMux()
	own.HandleFunc("GET "+ownRoot, p.showPeople)
	own.HandleFunc("GET "+ownRoot+"sign_out", p.signOut)
	own.HandleFunc("POST "+ownRoot+"sign-in", p.signIn)
	own.HandleFunc("POST "+ownRoot+"changesets", p.postChangesets)
	own.HandleFunc("GET "+ownRoot+"assets/{name}", serveAsset)
	own.HandleFunc("GET "+ownRoot+"api/v1/login", p.loginOfProgram)
	own.HandleFunc("GET "+ownRoot+"program", p.sendToProgram)
	p.own = http.NewCrossOriginProtection().Handler(own)
	return p
}

type proxy struct {
	*Zero
	service, own http.Handler
	host         string
}

// ServeHTTP uses no ServeMux for what is the service's: that would redirect where the service
// is to judge. Which route a path is of goes by its beginning as it is written, as Pomerium's
// Prefix does.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	who, known := p.visitor(r)
	switch {
	case !isLoopback(r.RemoteAddr) || !isLoopback(r.Host):
		// A name that leads here from elsewhere is DNS rebinding.
		http.Error(w, "The sandbox answers on this machine only.", http.StatusMisdirectedRequest)
	case path == KeysPath:
		p.serveKeys(w, r)
	case strings.HasPrefix(path, ownRoot):
		p.own.ServeHTTP(w, r)
	case path == "/health" || strings.HasPrefix(path, "/health/"):
		p.service.ServeHTTP(w, withoutIdentity(r)) // a probe, which does not come this way
	case !known && strings.Contains(r.Header.Get("Accept"), "text/html"):
		target := url.URL{Path: ownRoot, RawQuery: url.Values{"return": {returnPath(r)}}.Encode()}
		http.Redirect(w, r, target.String(), http.StatusFound)
	case !known:
		w.Header().Set("X-Pomerium-Intercepted-Response", "true")
		http.Error(w, "nobody is signed in", http.StatusUnauthorized)
	case path == strings.TrimSuffix(DemoPath, "/") || strings.HasPrefix(path, DemoPath):
		p.serveDemo(w, r, who)
	case strings.HasPrefix(path, "/admin") && !p.isAdministrator(who):
		p.render(w, http.StatusForbidden, "forbidden.html", who, r)
	default:
		p.serveService(w, r, who)
	}
}

func (p *proxy) isAdministrator(who Person) bool {
	ok, err := evaluate([]byte(administrators), who, p.now())
	return ok && err == nil
}

func (p *proxy) serveService(w http.ResponseWriter, r *http.Request, who Person) {
	assertion, err := p.Assertion(who, p.host)
	if err != nil {
		http.Error(w, "The sandbox could not sign the assertion.", http.StatusInternalServerError)
		return
	}
	r = withoutIdentity(r)
	r.Header.Set(AssertionHeader, assertion)
	p.service.ServeHTTP(w, r)
}

// serveDemo is what stands behind the demonstration's route.
func (p *proxy) serveDemo(w http.ResponseWriter, r *http.Request, who Person) {
	if !p.admits(DemoPolicy, who) {
		p.render(w, http.StatusForbidden, "forbidden.html", who, r)
		return
	}
	p.render(w, http.StatusOK, "demo.html", who, r)
}

// withoutIdentity returns a copy of the request without any header by which a visitor could
// claim to be someone, in any spelling that a server might fold into it.
func withoutIdentity(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	for name := range r.Header {
		if strings.HasPrefix(strings.ToLower(strings.ReplaceAll(name, "_", "-")), "x-pomerium-") {
			delete(r.Header, name)
		}
	}
	return r
}

// visitor is who the visitor has chosen to be. A program says so with what it was sent.
func (p *proxy) visitor(r *http.Request) (Person, bool) {
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); scheme == "Pomerium" {
		email, _ := base64URL.DecodeString(token)
		return p.person(string(email))
	}
	cookie, err := r.Cookie(personCookie)
	if err != nil {
		return Person{}, false
	}
	return p.person(cookie.Value)
}

// page is what the proxy's pages show.
type page struct {
	Person     Person
	Known      bool
	People     []Person
	Return     string
	Path       string
	Now        time.Time
	PPL        string
	Waiting    []Changeset
	Manual     bool
	DemoPath   string
	DemoPolicy string
}

func (p *proxy) render(w http.ResponseWriter, status int, name string, who Person, r *http.Request) {
	p.mu.Lock()
	manual := p.manual
	p.mu.Unlock()
	v := page{Person: who, Known: who.Email != "", People: p.People(), Return: localPath(r.FormValue("return")), Path: r.URL.Path, Now: p.now(),
		PPL: p.PPL(DemoPolicy), Manual: manual, DemoPath: DemoPath, DemoPolicy: DemoPolicy}
	for _, c := range p.Changesets() {
		if c.Status == "pending" {
			v.Waiting = append(v.Waiting, c)
		}
	}
	var b strings.Builder
	if err := templates().ExecuteTemplate(&b, name, v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(b.String()))
}

func (p *proxy) showPeople(w http.ResponseWriter, r *http.Request) {
	who, _ := p.visitor(r)
	p.render(w, http.StatusOK, "people.html", who, r)
}

func (p *proxy) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	who, known := p.person(r.PostFormValue("email"))
	if !known {
		http.Error(w, "Nobody here has that address.", http.StatusBadRequest)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: personCookie, Value: who.Email, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, localPath(r.PostFormValue("return")), http.StatusSeeOther)
}

// signOut is at the address that Pomerium has it at.
func (p *proxy) signOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: personCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, ownRoot, http.StatusSeeOther)
}

// loginOfProgram says where somebody signs in for a program on their machine
// (https://www.pomerium.com/docs/internals/programmatic-access). Only this machine is allowed, as by default there.
func (p *proxy) loginOfProgram(w http.ResponseWriter, r *http.Request) {
	to, err := url.Parse(r.FormValue("pomerium_redirect_uri"))
	if err != nil || to.Scheme != "http" || to.Hostname() != "localhost" {
		http.Error(w, "invalid redirect uri", http.StatusBadRequest)
		return
	}
	address := url.URL{Scheme: "http", Host: r.Host, Path: ownRoot + "program", RawQuery: url.Values{"pomerium_redirect_uri": {to.String()}}.Encode()}
	_, _ = w.Write([]byte(address.String()))
}

// sendToProgram sends a browser on to the program, with what stands for a session.
func (p *proxy) sendToProgram(w http.ResponseWriter, r *http.Request) {
	who, known := p.visitor(r)
	to, err := url.Parse(r.FormValue("pomerium_redirect_uri"))
	if err != nil || to.Scheme != "http" || to.Hostname() != "localhost" {
		http.Error(w, "invalid redirect uri", http.StatusBadRequest)
		return
	}
	if !known {
		http.Redirect(w, r, ownRoot+"?"+url.Values{"return": {returnPath(r)}}.Encode(), http.StatusFound)
		return
	}
	to.RawQuery = url.Values{"pomerium_jwt": {base64URL.EncodeToString([]byte(who.Email))}}.Encode()
	http.Redirect(w, r, to.String(), http.StatusFound)
}

// postChangesets applies what waits, and says whether changes are to wait from now on.
func (p *proxy) postChangesets(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	switch r.PostFormValue("do") {
	case "apply":
		p.Apply()
	case "manual":
		p.ApplyByHand(true)
	case "auto":
		p.ApplyByHand(false)
	}
	http.Redirect(w, r, ownRoot, http.StatusSeeOther)
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("name") != "pomerium.css" {
		http.NotFound(w, r)
		return
	}
	http.ServeFileFS(w, r, pageFiles, "pages/pomerium.css")
}

// isLoopback is whether a host, with or without a port, is loopback by its look.
func isLoopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostPort, "["), "]")
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// returnPath is where to come back to after signing in: the page itself if it can be asked
// for again.
func returnPath(r *http.Request) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "/"
	}
	return r.URL.RequestURI()
}

// localPath returns the path and query if they are of this origin beyond doubt, and the
// service's home otherwise.
func localPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil ||
		!strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\t\r\n") {
		return "/"
	}
	return u.String()
}
