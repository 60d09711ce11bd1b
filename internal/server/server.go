// Package server is the service over HTTP: pages for people, the JSON interface of
// JIT Access 1.x, and health. It decides nothing: it finds out who asks, reads what
// they want, calls the broker, and puts the answer into words.
//
// Every refusal of package access gets its words from one table (words.go), and
// its status from its kind. Handlers return what to show; one adapter for pages and
// one for JSON write it, so nothing is ever half sent.
package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/lookup"
	"jitaccess/internal/passkey"
	"jitaccess/internal/words"
	"jitaccess/web"
)

// Broker is what the server needs of *broker.Broker.
type Broker interface {
	ParseResource(path string) (access.Resource, error)
	ParseEntitlementID(text string) (access.EntitlementID, error)
	ResourceKind(access.Resource) access.ResourceKind
	ResourceKindNamed(name string) access.ResourceKind
	Title(access.EntitlementID) string
	RoleTitle(access.EntitlementID) string
	Resources(context.Context, access.Caller) ([]access.ResourceInfo, []*access.Error, error)
	Named(context.Context, access.Caller) (found access.Named, searched bool, warnings []*access.Error)
	Offer(context.Context, access.Caller, access.Resource) (broker.Offer, error)
	Choose(context.Context, access.Caller, access.Resource, ...access.EntitlementID) (broker.Choice, error)
	Reviewers(context.Context, access.Caller, ...access.EntitlementID) (broker.Reviewers, error)
	Keyless(ctx context.Context, r access.Request) []access.Principal
	Ask(context.Context, access.Caller, broker.Ask) (broker.Asked, error)
	Show(ctx context.Context, c access.Caller, ref, origin string) (broker.View, error)
	MoreReviewers(ctx context.Context, c access.Caller, ref string) (broker.MoreReviewers, error)
	AddReviewers(context.Context, access.Caller, broker.AddReviewers) (broker.Asked, error)
	Decide(context.Context, access.Caller, broker.Decide) (broker.Decided, error)
	End(ctx context.Context, c access.Caller, on access.Resource, requestID string, of access.Principal) (broker.Ended, error)
	Admin(context.Context, access.Caller) error
	// SecondAdmin is nil for one of them who may agree to what another has changed.
	SecondAdmin(ctx context.Context, caller access.Caller, author access.Principal) error
	NamedAdmin(access.Caller) bool
	Cautions(context.Context, access.Caller) []*access.Error
	NewForm(access.Caller, access.RequestKind) (string, error)
	Defaults(access.Caller, access.RequestKind) (access.Terms, error)
	Channels() []access.Channel
	Remembers() bool
	Auditor(context.Context, access.Caller) bool
	Extension(ctx context.Context, c access.Caller, id string) (broker.Choice, error)
	ReviewGlass(ctx context.Context, c access.Caller, id, comment, origin string) (access.Request, []*access.Error, error)
	History(ctx context.Context, c access.Caller, view string, l access.Listing) (access.Listed, []*access.Error, error)
	Counts(ctx context.Context, c access.Caller, l access.Listing) (counts []access.Count, whole bool, warnings []*access.Error, err error)
	Timeline(ctx context.Context, c access.Caller, id string) (access.Request, []access.Event, error)
	Administration(context.Context, access.Caller) (broker.Administration, error)
	DecidedAtPage() bool
	Withdraw(ctx context.Context, c access.Caller, id, origin string) (access.Request, []*access.Error, error)
	Passkeys() bool
	PasskeyList(context.Context, access.Caller) (broker.PasskeyList, error)
	Enrol(ctx context.Context, c access.Caller, name string, made passkey.Creation) (access.Passkey, []*access.Error, error)
	ApprovePasskey(ctx context.Context, c access.Caller, of access.Principal, id string) ([]*access.Error, error)
	RemovePasskey(ctx context.Context, c access.Caller, of access.Principal, id string) ([]*access.Error, error)
	Signing(ctx context.Context, c access.Caller, v broker.View, atMost time.Duration) (broker.Ceremony, error)
}

// Config is what a server is made of. Everything is required unless it says
// otherwise.
type Config struct {
	Broker Broker
	// Identify says who sent a request. Its errors are *access.Error, of kind
	// Unauthenticated when nobody could be identified; any other error is treated
	// as that kind too.
	Identify func(*http.Request) (access.Caller, error)
	// Login is nil where a proxy in front signs people in.
	Login Login
	// AuthenticateEvent is what the log calls a person's being identified or not.
	AuthenticateEvent string
	// AdminPage is whether there is an administration page, for providers that have no list of
	// who approves. AdminDoor is whether the proxy before the service lets to its address
	// only whom it should, so that being there counts (access.Caller.AtAdmin).
	AdminPage, AdminDoor bool
	// SwitchAccount is the address where one signs in as somebody else. Empty: pages
	// offer none.
	SwitchAccount string
	// PublicURL is the origin for links, like https://access.example.com. Empty:
	// Platform decides whether a request's host is certainly ours.
	PublicURL string
	// Platform may be zero; then only PublicURL makes links.
	Platform Platform
	// Language is that of pages and of the messages of the JSON interface for whom the request
	// says no other that there is (language.go); nil is English.
	Language *words.Language
	// Provider names the system that a resource is part of, as texts call it; of no
	// resource, what most are part of. nil or an empty name is "the provider".
	Provider func(access.Resource) string
	// Applications is what programs ask through. nil: there is none of it.
	Applications *Applications
	// Machines leaves out all that is for people: pages, their JSON interface, and who they are.
	// Identify and the rest of what only people need may be missing then.
	Machines bool
	// Accounts are what people are told with, as administrators see it, in the order in
	// which to show them. Without any there is no page of them.
	Accounts []Account
	// Apps are the applications at /apps; nil where there can be none, and no such pages.
	Apps *Apps
	// Version is shown in the pages' foot and by /api/policy.
	Version string
	// Log takes a line for every refusal and for what only reads, in the events of
	// docs/log.md; see log.go. What changes something is journalled by the broker.
	Log *slog.Logger
	// Incident marks what is logged with the context as belonging to the incident
	// whose id the person is shown. May be nil.
	Incident func(ctx context.Context, id string) context.Context
	// Observe hears of every request when it comes, and returns the context in which it is
	// answered, and what hears when it has been: the pattern of its route, empty where there was
	// none, and the status. May be nil.
	Observe func(r *http.Request) (ctx context.Context, answered func(route string, status int))
	// Now is the clock.
	Now func() time.Time
	// Random makes incident ids.
	Random io.Reader
	// After is time.After, which nil means, or what a test puts in its place.
	After func(time.Duration) <-chan time.Time
	// Stopping is closed when the process is about to end, so that nobody goes on waiting.
	// May be nil.
	Stopping <-chan struct{}
	// Ready checks dependencies for /health/ready, by name; nil errors are good
	// ones. An error that is ErrNotReady says that no request could succeed; any
	// other is shown and leaves the service ready. May be nil.
	Ready func(context.Context) map[string]error
}

// ErrNotReady marks a failing dependency without which no request could succeed.
var ErrNotReady = errors.New("not ready")

// actionTimeout bounds one action from the first byte to the answer. Google's front
// ends give up after 30 seconds and more; people before that.
const actionTimeout = 25 * time.Second

type server struct {
	Config
	files    fs.FS
	pages    sync.Map // localPage to the function that has it, see pageIn
	assets   map[string]asset
	versions *strings.Replacer // of "/assets/NAME" in templates, see readAssets
	// description is what describes all this.
	description func() (asset, error)
	sameSite    *http.CrossOriginProtection
	reads       *pace
	changes     *pace
	tests       *pace
	reading     *turns
	changing    *turns
	waiting     *turns
	// asks and polls are how fast an application may go; waiters has as many places as may wait
	// for a decision, and lookers are whose turn comes.
	asks, polls *pace
	waiters     *places
	lookers     lookers
	// stopping is over when Stopping is closed.
	stopping context.Context
	// places are for those who wait for a request to change.
	places *places
	// remembers is whether there are lists of requests.
	remembers bool
	// passkeysHere is whether people can enrol passkeys.
	passkeysHere bool
	ready        *lookup.Cache[health]
}

// New makes the handler. It fails when an asset cannot be read, or PublicURL is no origin.
// Templates are read when they are first shown.
func New(c Config) (http.Handler, error) { return newFrom(c, web.Files) }

func newFrom(c Config, files fs.FS) (http.Handler, error) {
	c.Language = cmp.Or(c.Language, words.English())
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	s := &server{Config: c, files: files, sameSite: http.NewCrossOriginProtection(), reads: newPace(readsPerSecond, readsAtOnce),
		changes: newPace(changesPerSecond, changesAtOnce), tests: newPace(testsPerSecond, testsAtOnce),
		description: sync.OnceValues(readDescription),
		reading:     newTurns(atOnce), changing: newTurns(atOnce), waiting: newTurns(waitingAtOnce), places: newPlaces(maxWaiting),
		remembers: c.Broker != nil && c.Broker.Remembers(), passkeysHere: c.Broker != nil && c.Broker.Passkeys(),
		asks: newPace(asksPerSecond, asksAtOnce), polls: newPace(pollsPerSecond, pollsAtOnce)}
	if c.Applications != nil {
		s.waiters = newPlaces(c.Applications.Waiters)
	}
	s.stopping = context.Background()
	if c.Stopping != nil {
		var stop context.CancelFunc
		s.stopping, stop = context.WithCancel(s.stopping)
		go func() { <-c.Stopping; stop() }()
	}
	if s.After == nil {
		s.After = time.After
	}
	s.ready = lookup.New(c.Now, 1, readinessTimeout, s.checkReadiness)
	if c.PublicURL != "" {
		// A proxy may rewrite Host; the browser's Origin is the public one.
		if err := s.sameSite.AddTrustedOrigin(c.PublicURL); err != nil {
			return nil, err
		}
	}
	var err error
	if s.assets, s.versions, err = readAssets(files); err != nil {
		return nil, err
	}
	return s.routes(), nil
}

// routes is the whole surface, in reading order.
func (s *server) routes() *chi.Mux {
	r := chi.NewRouter()
	r.Use(s.observed, s.headers, s.numbered, s.recovered, s.bounded, headAsGet)

	// Open to everybody: nothing here knows anything.
	r.Get("/health/alive", s.alive)
	r.Get("/health/ready", s.readyz)
	r.Get("/assets/{name}", s.asset)
	r.Get("/api/openapi.json", s.described)
	// App Engine asks these of every new instance, with nobody signed in
	// (https://cloud.google.com/appengine/docs/standard/configuring-warmup-requests).
	// By the time that they are routed everything has been built.
	r.Get("/_ah/start", s.alive)
	r.Get("/_ah/warmup", s.alive)

	s.forApplications(r)
	if s.Machines {
		r.NotFound(s.refuses(access.CodeNotFound))
		r.MethodNotAllowed(s.methodNotAllowed)
		return r
	}

	if s.Login != nil {
		r.With(s.unless(embedded)).Get("/oidc/callback", s.loggedIn)
		r.With(s.unless(s.notOurPages)).Post("/oidc/logout", s.logOut)
		r.Post("/oidc/backchannel-logout", s.loggedOutElsewhere)
		r.With(s.unless(s.notScript)).Post(pathProgramToken, s.api(s.programToken))
	}

	// Pages.
	r.Group(func(r chi.Router) {
		r.Use(s.identified, s.unless(s.notOurPages), s.paced)
		r.Get("/", s.page(s.home))
		r.Get("/index.html", s.page(s.home)) // where 1.x has it too
		r.Get("/access/*", s.page(with(s.resourceAt, s.choose)))
		r.Post("/access/*", s.page(with(s.resourceAt, s.ask)))
		r.Get("/review", s.page(with(reference, s.review)))
		r.Post("/review", s.page(with(reference, s.decide)))
		r.Get("/review/reviewers", s.page(with(reference, s.more)))
		r.Post("/review/reviewers", s.page(with(reference, s.addReviewers)))
		r.Post("/requests/{id}/end", s.page(with(requestID, s.end)))
		if s.AdminPage {
			r.Get(broker.AdminPath, s.page(s.administration))
			r.Get(broker.AdminPath+"/review", s.page(with(reference, s.review)))
			r.Post(broker.AdminPath+"/review", s.page(with(reference, s.decide)))
			r.Get(broker.AdminPath+"/requests/{id}", s.page(with(requestID, s.showRequest)))
			r.Post(broker.AdminPath+"/requests/{id}/end", s.page(with(requestID, s.end)))
		}
		if s.Login != nil {
			r.Get(pathProgram, s.page(with(program, s.showProgram)))
			r.Post(pathProgram, s.page(with(program, s.letProgram)))
		}
		r.Post(languagePath, s.chooseLanguage)
		r.Get("/passkeys", s.page(s.passkeys))
		r.Post("/passkeys", s.page(s.enrol))
		r.Post("/passkeys/{id}/approve", s.page(s.passkeyAction(true, s.approvePasskey)))
		r.Post("/passkeys/{id}/remove", s.page(s.passkeyAction(false, s.removePasskey)))
		r.Get(notificationsPath, s.page(s.notifications))
		r.Post(notificationsPath, s.page(s.testAccount))
		r.Get("/mail", s.page(func(*http.Request) (page, error) { return redirect(notificationsPath), nil }))
		if s.Apps != nil {
			r.Get("/apps", s.page(s.apps))
			r.Post("/apps", s.page(s.createApp))
			r.Get("/apps/{app}", s.page(with(appName, s.app)))
			r.Post("/apps/{app}", s.page(with(appName, s.changeApp)))
			r.Get("/apps/{app}/template", s.page(with(appName, s.appTemplate)))
			r.Post("/apps/{app}/template", s.page(with(appName, s.saveTemplate)))
			r.Post("/apps/{app}/trial", s.page(with(appName, s.tryApp)))
		}

		r.Group(func(r chi.Router) {
			r.Use(s.unless(s.forgetful))
			r.Get("/requests", s.page(s.list(broker.ViewMine, "/requests", "list.mine")))
			r.Get("/requests/{id}", s.page(with(requestID, s.showRequest)))
			r.Get("/requests/{id}/extend", s.page(with(requestID, s.extendForm)))
			r.Post("/requests/{id}/extend", s.page(with(requestID, s.extend)))
			r.Post("/requests/{id}/withdraw", s.page(with(requestID, s.afterwards("result.withdrawn", s.withdraw))))
			r.Post("/requests/{id}/review", s.page(with(requestID, s.afterwards("result.reviewed", s.reviewGlass))))
			r.Get("/reviews", s.page(s.list(broker.ViewReviews, "/reviews", "list.reviews")))
			r.Get("/history", s.page(s.list(broker.ViewAll, "/history", "list.history")))
			r.Get("/history/month", s.page(s.month))
			r.Get("/history.csv", s.export(csvFile))
			r.Get("/history.json", s.export(jsonFile))
		})
	})

	// JSON.
	r.Group(func(r chi.Router) {
		r.Use(s.identifiedScript, s.unless(s.notScript), s.paced)
		if s.Login != nil {
			r.Post(pathProgramLogout, s.endProgram)
		}
		s.scripts(r, "")
		if s.AdminPage {
			s.scripts(r, broker.AdminPath)
		}
	})

	r.NotFound(s.forPeople(s.refuses(access.CodeNotFound)))
	r.MethodNotAllowed(s.forPeople(s.methodNotAllowed))
	return r
}

// scripts is the JSON interface, below a door.
func (s *server) scripts(r chi.Router, door string) {
	r.Get(door+"/api/", s.refuses(access.CodeOutdatedPage))
	r.Get(door+"/api/policy", s.api(s.apiPolicy))
	r.Get(door+"/api/projects", s.api(s.apiProjects))
	r.Get(door+"/api/projects/{project}/roles", s.api(with(s.project, s.apiRoles)))
	r.Get(door+"/api/projects/{project}/peers", s.api(with(s.project, s.apiPeers)))
	r.Post(door+"/api/projects/{project}/roles/self-activate", s.api(with(s.project, s.apiActivate)))
	r.Post(door+"/api/projects/{project}/roles/request", s.api(with(s.project, s.apiAskPeers)))
	r.Get(door+"/api/activation-request", s.api(with(reference, s.apiShow)))
	r.Post(door+"/api/activation-request", s.api(with(reference, s.apiApprove)))
	r.Post(door+"/api/activation-request/deny", s.api(with(reference, s.apiDeny)))
	r.Post(door+"/api/activation-request/reviewers", s.api(with(reference, s.apiAddReviewers)))
	r.Post(door+"/api/requests/{id}/end", s.api(with(requestID, s.apiEnd)))

	r.Get(door+"/api/requests", s.api(s.apiRequests))
	r.Get(door+"/api/requests/{id}", s.api(with(requestID, s.apiRequestNamed)))
	r.Post(door+"/api/requests/{id}/withdraw", s.api(with(requestID, s.changed(s.withdraw))))
	r.Post(door+"/api/requests/{id}/extend", s.api(with(requestID, s.apiExtend)))
	r.Post(door+"/api/requests/{id}/review", s.api(with(requestID, s.changed(s.apiReviewGlass))))
}
