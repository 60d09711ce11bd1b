package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/events"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iamcredentials"
	"jitaccess/internal/gcp/provider"
	"jitaccess/internal/gcp/pubsub"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/gcp/secretmanager"
	"jitaccess/internal/jose"
	"jitaccess/internal/journal"
	"jitaccess/internal/ledger"
	"jitaccess/internal/notice"
	"jitaccess/internal/policy"
	"jitaccess/internal/server"
	"jitaccess/internal/token"
	"jitaccess/internal/words"
)

// serve runs the service until ctx ends, and then lets what is under way finish.
func serve(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		return failed(stderr, exitUsage, errors.New("serve takes no arguments; it is configured by its environment"))
	}
	c, err := config.Read(env)
	if err != nil {
		return failed(stderr, exitUsage, fmt.Errorf("the configuration is wrong; nothing was started\n%w", err))
	}
	c.Warnings = append(c.Warnings, config.Unknown(os.Environ())...)
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(c.Server.Port))
	if err != nil {
		return failed(stderr, exitFailure, err)
	}
	gate := &gate{}
	stopped := make(chan error, 2)
	httpServer := newHTTPServer(gate)
	go func() { stopped <- httpServer.Serve(listener) }()
	go func() {
		handler, err := start(ctx, c, nil, wallClock, stdout)
		if err != nil {
			stopped <- err
			return
		}
		gate.open(handler)
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

// start connects to Google Cloud, trying again until ctx ends, and builds the
// service. roots may sign the mail server's certificate; nil is the system's.
func start(ctx context.Context, c *config.Config, roots *x509.CertPool, k clock, out io.Writer) (http.Handler, error) {
	early := slog.New(journal.New(out, c.Google.Project).Handler(slog.LevelInfo))
	options := googleOptions(c, k)
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		platform, err := gcp.Connect(ctx, options)
		if err == nil {
			s, err := build(ctx, c, platform, roots, k, out)
			if err != nil {
				return nil, err
			}
			go s.sweeper.run(ctx)
			return s.handler, nil
		}
		early.Error("cannot find out which project and service account this is; trying again", "event", events.Startup, "error", err)
		if k.sleep(ctx, wait) != nil {
			return nil, ctx.Err()
		}
	}
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
	handler http.Handler
	sweeper *sweeper
	broker  *broker.Broker
}

// build makes everything once, from the bottom to the top.
func build(ctx context.Context, c *config.Config, platform *gcp.Platform, roots *x509.CertPool, k clock, out io.Writer) (
	*service, error) {
	log := journal.New(out, platform.Project)
	logger := slog.New(log.Handler(slog.LevelInfo))
	for _, warning := range c.Warnings {
		logger.Warn(warning, "event", events.Startup)
	}

	google, err := newGoogle(ctx, c, platform, k)
	if err != nil {
		return nil, err
	}
	signer, err := iamcredentials.New(ctx, platform)
	if err != nil {
		return nil, err
	}
	secrets, err := secretmanager.New(ctx, platform)
	if err != nil {
		return nil, err
	}
	mailer, err := newMailer(c, platform, signer, secrets, roots, k, func(text string) { logger.Warn(text, "event", events.MailWarning) })
	if err != nil {
		return nil, err
	}
	// Who still sends then ends the connection with the mail.
	context.AfterFunc(ctx, mailer.Close)
	publisher, err := pubsub.New(ctx, platform, c.Messages.Topic)
	if err != nil {
		return nil, err
	}
	notifier := notice.Channels{mailer, publisher}
	verifier, err := newVerifier(c, platform, k.now)
	if err != nil {
		return nil, err
	}
	profile := verifier.Profile()
	ownKeys := jose.NewKeySet(platform.ServiceAccountKeys, k.now)
	lifetime := min(c.Requests.Timeout, access.LinkLife)
	if !c.Requests.Policy.IsZero() {
		lifetime = access.LinkLife // a rule may say as much
	}
	var store broker.Store = token.NewStore(token.Config{ServiceAccount: platform.ServiceAccount, Signer: signer, Keys: ownKeys,
		Lifetime: lifetime, Now: k.now})
	var remembers *ledger.Store
	if !c.Ledger.Database.IsZero() {
		if remembers, err = startLedger(ctx, c, platform, signer, ownKeys, store, logger, k); err != nil {
			return nil, err
		}
		store = remembers
	}
	var keeper policyKeeper
	if remembers != nil {
		keeper = remembers
	}
	terms, current, err := livePolicyOf(ctx, c, platform, keeper, k, logger)
	if err != nil {
		return nil, err
	}
	requests := broker.New(durablePorts(broker.Config{
		Providers: registered(google), Store: store, Origin: c.Server.PublicURL,
		Journal: log, Notifier: notifier,
		Directory: google.Groups, Claims: c.Identity.GroupsClaim != "", Admins: c.Requests.Admins, Auditors: c.Requests.Auditors, Policy: terms,
		Now: k.now, Random: rand.Reader,
	}))
	sweeps := &sweeper{skew: platform.Skew, broker: requests, ledger: remembers, log: logger, clock: k, platform: c.Platform}
	handler, err := server.New(server.Config{
		Broker:   requests,
		Identify: verifier.Identify, AuthenticateEvent: profile.Event, SwitchAccount: profile.SwitchAccount,
		PublicURL: c.Server.PublicURL, Platform: hosts(c, platform),
		Provider: providerName, MailAccount: mailAccount{mailer, c, platform.ServiceAccount}, Version: version,
		Log: logger, Incident: journal.WithIncident, Now: k.now, Random: rand.Reader, Stopping: ctx.Done(),
		Ready: func(ctx context.Context) map[string]error {
			keys := verifier.Ready(ctx)
			if errors.Is(keys, jose.ErrKeysUnavailable) {
				keys = fmt.Errorf("%w: nobody can be identified: %w", server.ErrNotReady, keys)
			}
			checks := map[string]error{profile.Check: keys, "ServiceAccountKeysAreAvailable": ownKeys.Ready(ctx)}
			if remembers != nil {
				sweeps.check(ctx, checks)
			}
			if current != nil {
				checks["PolicyIsCurrent"] = current()
			}
			return checks
		},
	})
	if err != nil {
		return nil, err
	}
	logger.Info("started", "event", events.Startup, "version", version,
		"project", platform.Project, "project_number", platform.ProjectNumber, "service_account", platform.ServiceAccount,
		"platform", c.Platform.String(), "catalog", c.Catalog.Kind, "scope", string(google.Scope), "identity", profile.Method,
		"channels", notifier.String(), "mail_login", c.MailLogin().String(), "ledger", remembers != nil)
	return &service{journal.Trace(sweeps.beside(handler)), sweeps, requests}, nil
}

func newGoogle(ctx context.Context, c *config.Config, platform *gcp.Platform, k clock) (*provider.Google, error) {
	return provider.New(ctx, provider.Config{
		Platform: platform, Scope: c.Catalog.Scope, CustomerID: c.Catalog.CustomerID, ProjectsQuery: c.Catalog.ProjectsQuery,
		PolicyAnalyzer: c.Catalog.Kind == config.PolicyAnalyzer, ExecutionTimeout: c.Google.ReadTimeout,
		Now: k.now, Sleep: k.sleep,
	})
}

func registered(google *provider.Google) []broker.Registration {
	return []broker.Registration{{Provider: google, Name: provider.Name, Kinds: resourcename.Kinds}}
}

// providerName is what sentences call the system that a resource is part of; of no
// resource, the one that all of them are part of.
func providerName(on access.Resource) string {
	if on == "" || slices.ContainsFunc(resourcename.Kinds, func(k access.ResourceKind) bool { return k.Has(on) }) {
		return "Google"
	}
	return ""
}

// inWords is what an operator reads of an error, and what there is to do.
func inWords(e *access.Error) (text, next string) {
	r := words.English.Refusal(e, providerName(""))
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
	return server.Platform{
		AppEngine: c.Platform == config.AppEngine, CloudRun: c.Platform == config.CloudRun, Service: c.Service,
		ProjectID: platform.Project, ProjectNumber: platform.ProjectNumber, Region: platform.Region,
	}
}
