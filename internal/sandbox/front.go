package sandbox

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"jitaccess/internal/sandbox/google"
)

// personCookie holds the address of the person whom the visitor has chosen to be.
// Anyone at this machine may be anyone, so it is not secret and not signed.
const personCookie = "sandbox_person"

// The header that carries IAP's assertion, and the query parameter by which pages
// ask IAP for something ("Managing sessions", docs of Identity-Aware Proxy).
const (
	assertionHeader = "X-Goog-Iap-Jwt-Assertion"
	iapMode         = "gcp-iap-mode"
)

// front stands before the service as IAP does on Cloud Run, and adds the bar and the
// sandbox's own pages, which are all under /sandbox/.
type front struct {
	*Sandbox
	service http.Handler
	pages   http.Handler
	// audience is what IAP puts into assertions for a Cloud Run service.
	audience string
}

func (s *Sandbox) newFront(service http.Handler) http.Handler {
	f := &front{Sandbox: s, service: service}
	f.audience = "/projects/" + s.cloud.ProjectNumber() + "/locations/" + s.cloud.Region() + "/services/" + serviceName
	f.pages = f.routes()
	return f
}

func (f *front) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sandbox/{$}", f.showPeople)
	mux.HandleFunc("POST /sandbox/sign-in", f.signIn)
	mux.HandleFunc("POST /sandbox/clock", f.moveClock)
	mux.HandleFunc("GET /sandbox/mailbox", f.showInbox)
	mux.HandleFunc("GET /sandbox/mailbox/{id}", f.showMail)
	mux.HandleFunc("GET /sandbox/mailbox/{id}/html", f.showMailHTML)
	mux.HandleFunc("GET /sandbox/chats", f.showChats)
	mux.HandleFunc("GET /sandbox/policy", f.showPolicy)
	mux.HandleFunc("GET /sandbox/assets/{name}", serveAsset)
	if f.storybook != nil {
		mux.Handle("GET /sandbox/storybook/", f.storybook)
	}
	return http.NewCrossOriginProtection().Handler(mux)
}

// ServeHTTP does not use a ServeMux for the service's paths, because that would
// redirect where the service is to judge.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !isLoopback(r.RemoteAddr) || !isLoopback(r.Host):
		// A name that leads here from elsewhere is DNS rebinding.
		http.Error(w, "The sandbox answers at "+f.URL()+" only.", http.StatusMisdirectedRequest)
	case r.URL.Path == "/sandbox" || strings.HasPrefix(r.URL.Path, "/sandbox/"):
		f.pages.ServeHTTP(w, r)
	default:
		f.serveService(w, r)
	}
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

// serveService does what IAP does: nobody passes without a name, and the name is
// in a header that the visitor cannot have set.
func (f *front) serveService(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get(iapMode) == "CLEAR_LOGIN_COOKIE" {
		signOut(w)
		f.askWhoVisits(w, r)
		return
	}
	r = withoutIdentity(r)
	person, known := f.person(r)
	switch {
	case strings.HasPrefix(r.URL.Path, "/health/"):
		// The platform's probes come past IAP.
		f.service.ServeHTTP(w, r)
	case strings.HasPrefix(r.URL.Path, "/v1/") || strings.HasPrefix(r.URL.Path, "/.well-known/"):
		// So do programs, as at a service for machines alone: IAP would let none of them in.
		f.service.ServeHTTP(w, r)
	case !known && wantsPage(r):
		f.askWhoVisits(w, r)
	case !known:
		// Programs are told how to be somebody: as whoever asks in the first steps, or anyone else.
		w.Header().Set("WWW-Authenticate", authenticationScheme+` person="`+f.cloud.People()[0].Email+`"`)
		http.Error(w, "Invalid IAP credentials: empty token", http.StatusUnauthorized)
	default:
		f.serveAs(person, w, r)
	}
}

func (f *front) serveAs(person google.Person, w http.ResponseWriter, r *http.Request) {
	assertion, err := f.cloud.SignIAPAssertion(person.Email, person.Subject, f.audience)
	if err != nil {
		f.log.Error("signing the IAP assertion", "error", err)
		http.Error(w, "The sandbox could not sign the IAP assertion.", http.StatusInternalServerError)
		return
	}
	r.Header.Set(assertionHeader, assertion)
	r.Header.Set("X-Goog-Authenticated-User-Email", "accounts.google.com:"+person.Email)
	r.Header.Set("X-Goog-Authenticated-User-Id", person.Subject)
	inserter := &barInserter{ResponseWriter: w, bar: func() ([]byte, error) { return f.renderBar(person, r) }}
	f.service.ServeHTTP(inserter, r)
	if err := inserter.finish(); err != nil {
		f.log.Error("inserting the bar", "error", err)
	}
}

// withoutIdentity returns a copy of the request without any header by which a
// visitor could claim to be someone, in any spelling that a server might fold into
// it, and without what would keep the bar from being inserted.
func withoutIdentity(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	for name := range r.Header {
		if strings.HasPrefix(strings.ToLower(strings.ReplaceAll(name, "_", "-")), "x-goog-") {
			delete(r.Header, name)
		}
	}
	r.Header.Del("Accept-Encoding")
	return r
}

// authenticationScheme is the word in Authorization behind which a program says who it is.
const authenticationScheme = "Sandbox"

// person returns who the visitor has chosen to be. A browser says so by a cookie, which another site can
// make it send, and a program by a header, which none can.
func (f *front) person(r *http.Request) (google.Person, bool) {
	if scheme, email, _ := strings.Cut(r.Header.Get("Authorization"), " "); scheme == authenticationScheme {
		return f.personOf(email)
	}
	cookie, err := r.Cookie(personCookie)
	if err != nil {
		return google.Person{}, false
	}
	return f.personOf(cookie.Value)
}

func (f *front) personOf(email string) (google.Person, bool) {
	for _, p := range f.cloud.People() {
		if p.Email == email {
			return p, true
		}
	}
	return google.Person{}, false
}

func wantsPage(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

// askWhoVisits leads to the sign-in page and back to what was asked for.
func (f *front) askWhoVisits(w http.ResponseWriter, r *http.Request) {
	target := url.URL{Path: "/sandbox/", RawQuery: url.Values{"return": {returnPath(r)}}.Encode()}
	http.Redirect(w, r, target.String(), http.StatusSeeOther)
}

func (f *front) signIn(w http.ResponseWriter, r *http.Request) {
	if !fromHere(w, r) {
		return
	}
	person, known := f.personOf(r.PostFormValue("email"))
	if !known {
		http.Error(w, "Nobody in this organization has that address.", http.StatusBadRequest)
		return
	}
	// Lax, because links in mails must find the person signed in.
	http.SetCookie(w, &http.Cookie{Name: personCookie, Value: person.Email, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, localPath(r.PostFormValue("return")), http.StatusSeeOther)
}

func signOut(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: personCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// returnPath is where to come back to after signing in: the page itself if it can
// be asked for again.
func returnPath(r *http.Request) string {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "/"
	}
	query := r.URL.Query()
	query.Del(iapMode)
	return (&url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: query.Encode()}).String()
}

// localPath returns the path and query if they are of this origin beyond doubt, and
// the service's home otherwise.
func localPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil ||
		!strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\t\r\n") {
		return "/"
	}
	return u.String()
}
