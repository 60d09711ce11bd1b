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
	"strconv"
	"sync/atomic"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/assetinventory"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/iamcredentials"
	"jitaccess/internal/gcp/policyanalyzer"
	"jitaccess/internal/gcp/pubsub"
	"jitaccess/internal/gcp/resourcemanager"
	"jitaccess/internal/identity"
	"jitaccess/internal/jose"
	"jitaccess/internal/journal"
	"jitaccess/internal/notice"
	"jitaccess/internal/policy"
	"jitaccess/internal/server"
	"jitaccess/internal/token"
)

// serve runs the service until ctx ends, and then lets what is under way finish.
func serve(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintf(stderr, "jitaccess: serve takes no arguments; it is configured by its environment\n")
		return exitUsage
	}
	c, err := config.Read(env)
	if err != nil {
		fmt.Fprintf(stderr, "jitaccess: the configuration is wrong; nothing was started\n%v\n", err)
		return exitUsage
	}
	c.Warnings = append(c.Warnings, config.Unknown(os.Environ())...)
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(c.Server.Port))
	if err != nil {
		fmt.Fprintf(stderr, "jitaccess: %v\n", err)
		return exitFailure
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
		err = nil
	}
	// The platform gives 10 seconds before it kills; an action may take longer, and
	// is then finished by whoever repeats it.
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), 9*time.Second)
	defer cancel()
	if closing := httpServer.Shutdown(shutdown); err == nil {
		err = closing
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(stderr, "jitaccess: %v\n", err)
		return exitFailure
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
// service. roots are whom the mail server's certificate may come from; nil is the
// system's.
func start(ctx context.Context, c *config.Config, roots *x509.CertPool, k clock, out io.Writer) (http.Handler, error) {
	early := slog.New(journal.New(out, c.Google.Project).Handler(slog.LevelInfo))
	options := googleOptions(c, k)
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		platform, err := gcp.Connect(ctx, options)
		if err == nil {
			return build(ctx, c, platform, roots, k, out)
		}
		early.Error("cannot find out which project and service account this is; trying again", "event", "runtime.startup", "error", err)
		if k.sleep(ctx, wait) != nil {
			return nil, ctx.Err()
		}
	}
}

func googleOptions(c *config.Config, k clock) gcp.Options {
	return gcp.Options{
		Version:        version,
		Hosted:         c.Platform != config.Host,
		Endpoint:       c.Google.Endpoint,
		ConnectTimeout: c.Google.ConnectTimeout,
		ReadTimeout:    c.Google.ReadTimeout,
		WriteTimeout:   c.Google.WriteTimeout,
		Retry:          gcp.Retry{Sleep: k.sleep, Random: mathrand.Float64},
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

// sleep waits, or returns why not.
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

// build makes everything once, from the bottom to the top.
func build(ctx context.Context, c *config.Config, platform *gcp.Platform, roots *x509.CertPool, k clock, out io.Writer) (http.Handler, error) {
	now := k.now
	log := journal.New(out, platform.Project)
	logger := slog.New(log.Handler(slog.LevelInfo))
	for _, warning := range c.Warnings {
		logger.Warn(warning, "event", "runtime.startup")
	}

	look, err := newLookUps(ctx, c, platform, k)
	if err != nil {
		return nil, err
	}
	signer, err := iamcredentials.New(ctx, platform)
	if err != nil {
		return nil, err
	}
	mailer, err := newMailer(ctx, c, platform, signer, roots, k, func(text string) { logger.Warn(text, "event", "mail.warn") })
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
	verifier, err := newVerifier(c, platform, now)
	if err != nil {
		return nil, err
	}
	requests := broker.New(broker.Config{
		Catalog: look.catalog,
		Granter: resourcemanager.NewGranter(look.policies, look.catalog),
		Store: token.NewStore(token.Config{
			ServiceAccount: platform.ServiceAccount,
			Signer:         signer,
			Keys:           jose.NewKeySet(platform.ServiceAccountKeys, now),
			Lifetime:       c.Requests.Timeout,
			Now:            now,
		}),
		Journal:   log,
		Notifier:  notifier,
		Directory: look.groups,
		Admins:    c.Requests.Admins,
		Policy: policy.Instance{
			JustificationHint: c.Requests.JustificationHint,
			Justification:     c.Requests.JustificationPattern,
			MaxDuration:       c.Requests.MaxDuration,
			DefaultDuration:   min(time.Hour, c.Requests.MaxDuration),
			MinReviewers:      c.Requests.MinReviewers,
			MaxReviewers:      c.Requests.MaxReviewers,
			MaxRoles:          c.Requests.MaxRoles,
			RequestTimeout:    c.Requests.Timeout,
		},
		Now:    now,
		Random: rand.Reader,
	})
	handler, err := server.New(server.Config{
		Broker:    requests,
		Identify:  verifier.Identify,
		PublicURL: c.Server.PublicURL,
		Platform: server.Platform{
			AppEngine:     c.Platform == config.AppEngine,
			CloudRun:      c.Platform == config.CloudRun,
			ProjectID:     platform.Project,
			ProjectNumber: platform.ProjectNumber,
			Region:        platform.Region,
			Service:       c.Service,
		},
		Provider:    providerName,
		MailAccount: mailAccount{mailer, c, platform.ServiceAccount},
		Version:     version,
		Log:         logger,
		Incident:    journal.WithIncident,
		Now:         now,
		Random:      rand.Reader,
		Ready: func(ctx context.Context) map[string]error {
			_, keys := platform.IAPKeys(ctx)
			_, own := platform.ServiceAccountKeys(ctx)
			return map[string]error{"IapKeysAreAvailable": keys, "ServiceAccountKeysAreAvailable": own}
		},
	})
	if err != nil {
		return nil, err
	}
	logger.Info("started", "event", "runtime.startup", "version", version,
		"project", platform.Project, "project_number", platform.ProjectNumber, "service_account", platform.ServiceAccount,
		"platform", c.Platform.String(), "catalog", c.Catalog.Kind, "scope", string(look.scope), "identity", "iap",
		"channels", notifier.String(), "mail_login", c.MailLogin().String(), "ledger", false)
	return journal.Trace(handler), nil
}

// providerName is what people call the system that all resources are part of.
func providerName(access.Resource) string { return "Google" }

// lookUps is how it is found out what people may do.
type lookUps struct {
	scope    access.Resource
	policies *resourcemanager.Client
	groups   *directory.Directory
	// catalog is the one that is configured. inventory can also list everybody.
	catalog   catalog
	inventory *assetinventory.Catalog
}

// catalog is what the two catalogs are: what the broker asks, and what is asked once
// more about the policy that is about to be written.
type catalog interface {
	broker.Catalog
	resourcemanager.Standings
}

func newLookUps(ctx context.Context, c *config.Config, platform *gcp.Platform, k clock) (l lookUps, err error) {
	l.groups, err = directory.New(ctx, platform, c.Catalog.CustomerID)
	if err != nil {
		return lookUps{}, err
	}
	l.scope, err = access.ParseResource(c.Catalog.Scope)
	if c.Catalog.Scope == "" {
		l.scope, err = access.Project(platform.Project)
	}
	if err != nil {
		return lookUps{}, err
	}
	l.policies = resourcemanager.New(resourcemanager.Config{
		HTTP:           platform.Client,
		Endpoint:       platform.Endpoint("cloudresourcemanager"),
		ServiceAccount: platform.ServiceAccount,
		Now:            k.now,
		Random:         mathrand.Float64,
		Sleep:          k.sleep,
	})
	l.inventory, err = assetinventory.New(ctx, assetinventory.Config{
		Platform:       platform,
		Scope:          l.scope,
		Policies:       l.policies,
		Directory:      l.groups,
		SearchProjects: l.policies.SearchProjects,
		ProjectsQuery:  c.Catalog.ProjectsQuery,
		Now:            k.now,
	})
	if err != nil || c.Catalog.Kind == config.AssetInventory {
		l.catalog = l.inventory
		return l, err
	}
	l.catalog, err = policyanalyzer.New(ctx, policyanalyzer.Config{
		Platform:         platform,
		Scope:            l.scope,
		Policies:         l.policies,
		SearchProjects:   l.policies.SearchProjects,
		ProjectsQuery:    c.Catalog.ProjectsQuery,
		ExecutionTimeout: c.Google.ReadTimeout,
		Now:              k.now,
	})
	return l, err
}

// newVerifier verifies IAP's assertions for the audience of the front that the
// service stands behind.
func newVerifier(c *config.Config, platform *gcp.Platform, now func() time.Time) (*identity.Verifier, error) {
	vc := identity.Config{
		Profile: identity.IAP,
		Keys:    jose.NewKeySet(platform.IAPKeys, now),
		Now:     now,
	}
	if c.Identity.VerifyAudience {
		var err error
		if vc.Audiences, err = audiences(c, platform); err != nil {
			return nil, err
		}
	} else {
		vc.AnyAudienceOf = platform.ProjectNumber
	}
	return identity.New(vc)
}

// audiences are what an assertion may be for: what the operator says, or what
// follows from the platform.
func audiences(c *config.Config, platform *gcp.Platform) ([]string, error) {
	switch {
	case len(c.Identity.Audiences) > 0:
		return c.Identity.Audiences, nil
	case platform.ProjectNumber == "":
		return nil, errors.New("set IAP_AUDIENCE: the project number, from which it would be derived, is not known here")
	case c.Identity.BackendServiceID != "":
		return []string{identity.BackendServiceAudience(platform.ProjectNumber, c.Identity.BackendServiceID)}, nil
	case c.Platform == config.AppEngine:
		return []string{identity.AppEngineAudience(platform.ProjectNumber, platform.Project)}, nil
	case c.Platform == config.CloudRun && platform.Region != "":
		return []string{identity.CloudRunAudience(platform.ProjectNumber, platform.Region, c.Service)}, nil
	}
	return nil, errors.New("set IAP_AUDIENCE: it cannot be derived on this platform")
}
