package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/events"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/pubsub"
	"jitaccess/internal/journal"
	"jitaccess/internal/ledger"
	"jitaccess/internal/mail"
	"jitaccess/internal/notice"
	"jitaccess/internal/passkey"
	"jitaccess/internal/policy"
	"jitaccess/internal/pomerium"
	"jitaccess/internal/server"
	"jitaccess/internal/words"
)

// serve runs the service until ctx ends, and then lets what is under way finish.
func serve(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		return failed(stderr, exitUsage, errors.New("serve takes no arguments; it is configured by its environment"))
	}
	c, err := readSettings(env)
	if err != nil {
		return failed(stderr, exitUsage, fmt.Errorf("the configuration is wrong; nothing was started\n%w", err))
	}
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(c.Server.Port))
	if err != nil {
		return failed(stderr, exitFailure, err)
	}
	scraped, err := listenForScrapers(c)
	if err != nil {
		return failed(stderr, exitFailure, err)
	}
	gate := &gate{}
	var started atomic.Pointer[service]
	stopped := make(chan error, 3)
	httpServer := newHTTPServer(gate)
	go func() { stopped <- httpServer.Serve(listener) }()
	go func() {
		s, err := start(ctx, c, nil, wallClock, stdout)
		if err != nil {
			stopped <- err
			return
		}
		started.Store(s)
		gate.open(s)
		if scraped != nil {
			stopped <- serveMetrics(ctx, scraped, s.metrics)
		}
	}()

	select {
	case err = <-stopped:
	case <-ctx.Done():
	}
	// The platform gives 10 seconds before it kills; an action may take longer, and
	// is then finished by whoever repeats it.
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 9*time.Second)
	defer cancel()
	if closing := httpServer.Shutdown(shutdown); err == nil {
		err = closing
	}
	if s := started.Load(); s != nil {
		s.observing.end(shutdown)
	}
	if err != nil && ctx.Err() == nil {
		return failed(stderr, exitFailure, err)
	}
	return exitOK
}

func newHTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       20 * time.Second,
		// Longer than any action, so that its answer gets out.
		WriteTimeout:   40 * time.Second,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 32 << 10,
	}
}

// gate answers while the service finds out who it is: alive, and unavailable for
// anything else, so that nothing is handled half-started.
type gate struct{ handler atomic.Pointer[http.Handler] }

func (g *gate) open(h http.Handler) { g.handler.Store(&h) }

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := g.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch r.URL.Path {
	case "/health/alive", "/_ah/start", "/_ah/warmup":
		// App Engine ends an instance whose start is refused.
		io.WriteString(w, `{"healthy":true,"details":{}}`)
		return
	}
	w.Header().Set("Retry-After", "2")
	w.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(w, `{"message":"The service is starting. Try again in a few seconds.","code":"starting"}`)
}

// start connects to Google Cloud where that is used, trying again until ctx ends, and builds
// the service. roots may sign the mail server's certificate; nil is the system's.
func start(ctx context.Context, c *config.Config, roots *x509.CertPool, k clock, out io.Writer) (*service, error) {
	early := slog.New(journal.New(out, c.Google.Project).Handler(slog.LevelInfo))
	options := googleOptions(c, k)
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		var platform *gcp.Platform
		var err error
		if c.Google.Used {
			platform, err = gcp.Connect(ctx, options)
		}
		if err == nil {
			s, err := build(ctx, c, platform, roots, k, out)
			if err != nil {
				return nil, err
			}
			go s.sweeper.run(ctx)
			go s.sweeper.hear(ctx)
			return s, nil
		}
		early.Error("cannot find out which project and service account this is; trying again"+withoutGoogle(c),
			"event", events.Startup, "error", err)
		if k.sleep(ctx, wait) != nil {
			return nil, ctx.Err()
		}
	}
}

// withoutGoogle says how to do without Google Cloud, to whom may not know that it is used.
func withoutGoogle(c *config.Config) string {
	if c.Platform != config.Host || c.Pomerium.Used() {
		return ""
	}
	return "; where there is no Google Cloud set API_USER_TOKEN, ORGANIZATION_ID and CLUSTER_ID, for Pomerium (docs/pomerium.md)"
}

func googleOptions(c *config.Config, k clock) gcp.Options {
	return gcp.Options{
		Version: version, Hosted: c.Platform != config.Host, Endpoint: c.Google.Endpoint,
		ConnectTimeout: c.Google.ConnectTimeout, ReadTimeout: c.Google.ReadTimeout, WriteTimeout: c.Google.WriteTimeout,
		Retry: gcp.Retry{Sleep: k.sleep, Random: mathrand.Float64}, Quotas: c.Google.Quotas, Now: k.now,
	}
}

// clock is how late it is, by which requests, links and people's identities are
// judged, and how to wait before something is tried again. Deadlines go by the real
// one.
type clock struct {
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
	// outside is the clock of programs that are not in the sandbox and make tokens themselves; nil where it is the same.
	outside func() time.Time
}

// programs is the clock by which the tokens of applications are judged.
func (k clock) programs() func() time.Time {
	if k.outside != nil {
		return k.outside
	}
	return k.now
}

var wallClock = clock{now: time.Now, sleep: sleep}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// service is all that was made: what answers, and what sweeps beside it.
type service struct {
	http.Handler
	sweeper *sweeper
	broker  *broker.Broker
	// metrics answers scrapers; nil where there are none.
	metrics   http.Handler
	observing *observing
}

// build makes everything once, from the bottom to the top. platform is nil where Google Cloud
// is not used.
func build(ctx context.Context, c *config.Config, platform *gcp.Platform, roots *x509.CertPool, k clock, out io.Writer) (
	*service, error) {
	google, err := newCloud(c, platform, k)
	if err != nil {
		return nil, err
	}
	log := journal.New(out, c.Google.Project)
	if google != nil {
		log = journal.New(out, google.Project)
	}
	logger := slog.New(log.Handler(slog.LevelInfo))
	for _, warning := range c.Warnings {
		logger.Warn(warning, "event", events.Startup)
	}

	var memory memories
	var terms broker.Policy
	observed := newObserving(ctx, c, google, logger, k, func() *ledger.Store { return memory.ledger },
		func() time.Time { return policyRead(terms) })
	ctx = observed.calls(ctx)
	scrapers, err := forScrapers(ctx, c, google, observed.metrics, logger, k)
	if err != nil {
		return nil, err
	}
	if memory, err = remember(ctx, c, google, logger, k); err != nil {
		return nil, err
	}
	warn := func(text string) { logger.Warn(text, "event", events.MailWarning) }
	sends, err := mailConfig(c, google, roots, k, warn)
	if err != nil {
		return nil, err
	}
	marks, err := newMarks(ctx, c, google, memory.secrets)
	if err != nil {
		return nil, err
	}
	if marks != nil {
		sends.MessageID = marks.MessageID
	}
	mailer, err := mail.New(sends)
	if err != nil {
		return nil, err
	}
	// Who still sends then ends the connection with the mail.
	context.AfterFunc(ctx, mailer.Close)
	notifier := notice.Channels{mailer}
	told, err := newChannels(c, google, k)
	if err != nil {
		return nil, err
	}
	for _, each := range told {
		notifier = append(notifier, each)
	}
	if google != nil {
		publisher, err := pubsub.New(google.Platform, c.Messages.Topic)
		if err != nil {
			return nil, err
		}
		notifier = append(notifier, publisher)
	}
	in := door{method: config.Machines}
	if c.Server.Serve != config.Machines {
		if in, err = newDoor(ctx, c, google, memory.ledger, k, logger); err != nil {
			return nil, err
		}
	}
	var current func() error
	if terms, current, err = livePolicyOf(ctx, c, google, memory.keeper(), k, logger); err != nil {
		return nil, err
	}
	var providers []broker.Registration
	if google != nil {
		providers = append(providers, registered(google.provider.Naming(namedBy(terms)))...)
	}
	if c.Pomerium.Used() {
		p, err := newPomerium(c, google, memory.ledger, entitlementsOf(terms), k)
		if err != nil {
			return nil, err
		}
		providers = append(providers, broker.Registration{Provider: p, Name: pomerium.Name, Kinds: pomerium.Kinds, Unnamed: unnamed(terms),
			Title: p.Title})
	}
	admins := &administrators{}
	byPage, err := newManaged(ctx, c, google, memory.ledger, admins, logger, k)
	if err != nil {
		return nil, err
	}
	apps := newApplications(terms, google, byPage, logger, k)
	hub := newGitHub(c, apps, k)
	if memory.ledger != nil { // what they ask for is nowhere but there
		providers = append(providers, registeredApplications(apps, k))
	}
	if c.Guarded() && unnamed(terms)() {
		logger.Warn("nobody is named who approves: "+adminAssumptions, "event", events.Startup)
	}
	ports := broker.Config{
		Providers: providers, Store: memory.store, Origin: c.Server.PublicURL,
		Journal: observed.journal(log), Notifier: newCallbacks(c, notifier, apps, hub, k),
		Directory: google.directory(), Claims: c.Identity.GroupsClaim != "", Admins: c.Requests.Admins, Auditors: c.Requests.Auditors,
		Policy: terms,
		Now:    k.now, Random: rand.Reader,
	}
	if byPage != nil {
		ports.Managed = byPage
	}
	if c.Mail.AddressMapping != nil {
		ports.Mailed = c.Mail.AddressMapping.Address
	}
	if signsHere(c) {
		ports.Signatures = memory.ledger
		if ports.Nonces, err = passkey.NewNonces(k.now, rand.Reader, memory.secrets...); err != nil {
			return nil, err
		}
	}
	requests := observedBroker{broker.New(durablePorts(ports)), observed}
	admins.observedBroker = requests
	box, err := newMailbox(c, sends, marks, google, k, warn, requests.Bounced)
	if err != nil {
		return nil, err
	}
	sweeps := &sweeper{broker: requests, ledger: memory.ledger, log: logger, clock: k, platform: c.Platform,
		// Who serves machines alone need not know of administrators, and would tell nobody.
		weekly: c.Ledger.Reconciled && c.Server.Serve != config.Machines, observing: observed}
	if box != nil {
		sweeps.mailbox = box
	}
	account := ""
	if google != nil {
		sweeps.skew, account = google.Skew, google.ServiceAccount
	}
	var remembers *ledgerHealth
	if memory.ledger != nil {
		l := memory.ledger
		remembers = &ledgerHealth{paid: l.Paid(), reachable: l.Reachable, now: k.now, look: func(ctx context.Context) map[string]error {
			checks := map[string]error{"PasskeysAreAsRecorded": requests.DamagedPasskeys(ctx)}
			sweeps.check(ctx, checks)
			if byPage != nil {
				checks["ApplicationsAreAsRecorded"] = damagedApplications(ctx, byPage)
			}
			return checks
		}}
	}
	handler, err := server.New(server.Config{
		Observe: observed.request(), Broker: requests,
		Identify: in.identify, Login: in.login, AuthenticateEvent: in.event, SwitchAccount: in.switchAccount,
		PublicURL: c.Server.PublicURL, Platform: hosts(c, platform), AdminPage: c.Pomerium.Used(), AdminDoor: adminDoor(c),
		Applications: programs(c, requests, apps, hub, memory, k), Machines: c.Server.Serve == config.Machines,
		Provider: providersOf(c), Accounts: accounts(mailAccount{mailer, box, c, account}, told), Apps: appPages(c, apps, byPage,
			requests), Version: version,
		Log: logger, Incident: observed.incident(journal.WithIncident), Now: k.now, Random: rand.Reader, Stopping: ctx.Done(),
		Ready: func(ctx context.Context) map[string]error {
			checks := map[string]error{}
			if in.ready != nil {
				checks[in.check] = in.ready(ctx)
			}
			if google != nil {
				checks["ServiceAccountKeysAreAvailable"] = google.keys.Ready(ctx)
			}
			if remembers != nil {
				maps.Copy(checks, remembers.checks(ctx))
			}
			if current != nil {
				checks["PolicyIsCurrent"] = current()
			}
			if observed.traces != nil {
				checks["TracesAreTaken"] = observed.traces.Untaken()
			}
			return checks
		},
	})
	if err != nil {
		return nil, err
	}
	started := []any{"event", events.Startup, "version", version, "providers", providerNames(providers)}
	if google != nil {
		started = append(started, "project", google.Project, "project_number", google.ProjectNumber, "service_account", google.ServiceAccount,
			"catalog", c.Catalog.Kind, "scope", string(google.provider.Scope))
	}
	logger.Info("started", append(started, "platform", c.Platform.String(), "identity", in.method, "channels", notifier.String(),
		"mail_login", c.MailLogin().String(), "ledger", memory.ledger != nil, "ledger_key", memory.key, "url", c.Server.PublicURL)...)
	return &service{journal.Trace(sweeps.beside(handler)), sweeps, requests.Broker, scrapers, observed}, nil
}

// adminAssumptions are what holds where nobody is named who approves.
const adminAssumptions = "whoever the proxy lets reach /admin approves and ends access; that path must be a route of its own " +
	"with a policy of its own, and nobody may reach this port but through the proxy; or set ADMINS, or a policy file with entitlements"

// adminDoor is whether the path of the administration page is guarded by a route of its own:
// only Pomerium's routes say who gets to which path.
func adminDoor(c *config.Config) bool {
	return c.Pomerium.Used() && c.Identity.Profile == config.Pomerium
}

// inWords is what an operator reads of an error, and what there is to do.
func inWords(e *access.Error) (text, next string) {
	r := words.English().Refusal(e, "Google")
	return r.Text, r.Next
}

func policyOf(c *config.Config) policy.Instance { return policy.New(settingsOf(c)) }

// settingsOf are the terms that the environment sets.
func settingsOf(c *config.Config) policy.Settings {
	r := c.Requests
	var startWithin time.Duration
	if c.Ledger.ByAccount() {
		startWithin = ledger.AccountLife
	}
	return policy.Settings{
		StartWithin:       startWithin,
		JustificationHint: r.JustificationHint, Justification: r.JustificationPattern,
		MaxDuration: r.MaxDuration, DefaultDuration: min(time.Hour, r.MaxDuration), RequestTimeout: r.Timeout,
		MinReviewers: r.MinReviewers, MaxReviewers: r.MaxReviewers, MaxRoles: r.MaxRoles,
	}
}

func hosts(c *config.Config, platform *gcp.Platform) server.Platform {
	if platform == nil {
		return server.Platform{}
	}
	return server.Platform{
		AppEngine: c.Platform == config.AppEngine, CloudRun: c.Platform == config.CloudRun, Service: c.Service,
		ProjectID: platform.Project, ProjectNumber: platform.ProjectNumber, Region: platform.Region,
	}
}
