package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/doctor"
	"jitaccess/internal/gcp"
	"jitaccess/internal/ledger"
	"jitaccess/internal/mail"
)

// runDoctor looks whether a deployment has what it needs. It exits with 1 if
// anything is broken; warnings do not count.
func runDoctor(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	flags := newFlags("doctor", stderr)
	service := serviceFlag(flags)
	var to access.Principal
	flags.Func("send-test-mail", "send a mail to this `address`, and report each step", func(address string) (err error) {
		to, err = access.ParsePrincipal(address)
		return err
	})
	if !parsed(flags, args, stderr) {
		return exitUsage
	}
	return examine(ctx, asService(env, *service), to, nil, stdout)
}

// examine reports to out. roots are whom the mail server's certificate may come
// from; nil is the system's.
func examine(ctx context.Context, env func(string) string, to access.Principal, roots *x509.CertPool, out io.Writer) int {
	code := exitOK
	report := func(f doctor.Finding) {
		if f.Status == doctor.Broken {
			code = exitFailure
		}
		fmt.Fprintln(out, f)
	}
	broken := func(check string, err error, remedy string) int {
		report(doctor.Finding{Status: doctor.Broken, Check: check, Text: err.Error(), Remedy: remedy})
		return code
	}
	c, err := config.Read(env)
	if err != nil {
		for fault := range strings.Lines(err.Error()) {
			report(doctor.Finding{Status: doctor.Broken, Check: "settings", Text: strings.TrimSuffix(fault, "\n")})
		}
		return code
	}
	c.Warnings = append(c.Warnings, config.Unknown(os.Environ())...)
	platform, err := locate(ctx, c)
	if err != nil {
		return broken("identity", err, "run this where the service runs, or with the credentials that this makes: "+
			"gcloud auth application-default login --impersonate-service-account SERVICE_ACCOUNT"+withoutGoogle(c))
	}
	google, err := newCloud(ctx, c, platform, wallClock)
	if err != nil {
		return broken("settings", err, "")
	}
	warn := func(text string) { report(doctor.Finding{Status: doctor.Warning, Check: "mail", Text: text}) }
	sends, err := mailConfig(c, google, roots, wallClock, warn)
	if err != nil {
		return broken("mail", err, "")
	}
	mailer, err := mail.New(sends)
	if err != nil {
		return broken("mail", err, "")
	}
	box, err := newMailbox(c, sends, nil, google, wallClock, warn, nil) // it is not read
	if err != nil {
		return broken("mailbox", err, "")
	}
	dc := doctor.Config{
		Settings: c, Secret: google.secret, Mailer: mailer,
		Mailbox: box, Words: inWords, SendTo: to, Now: time.Now, Origin: hosts(c, platform).Origin,
	}
	if google != nil {
		dc.Platform, dc.Scope, dc.Sign = platform, google.provider.Scope, google.signer.SignJWT
		dc.Policy, dc.Projects = google.provider.Policies.GetIamPolicy, google.provider.Policies.SearchProjects
		dc.Standing = google.provider.Standing
	}
	var live *livePolicy
	if kept := c.Requests.Policy; !kept.IsZero() {
		live = &livePolicy{base: policyOf(c), deployment: enforced(c), read: policyText(google, kept), log: slog.New(slog.DiscardHandler),
			now: time.Now}
		dc.PolicyFile = live.take
	}
	examineIdentity(&dc, c, platform)
	if !c.Ledger.Database.IsZero() {
		dc.Ledger = func(ctx context.Context) (doctor.Memory, error) { return examineLedger(ctx, c, google) }
	}
	if c.Pomerium.Used() {
		terms := broker.Policy(policyOf(c))
		if live != nil {
			terms = live
		}
		p, err := newPomerium(c, google, nothingKept{}, entitlementsOf(terms), wallClock)
		if err != nil {
			return broken("pomerium", err, "")
		}
		dc.Guarded = func() bool { return c.Guarded() && unnamed(terms)() }
		dc.Pomerium = func(ctx context.Context) (policies []doctor.PomeriumPolicy, waiting []string, err error) {
			all, waiting, err := p.Examine(ctx)
			for _, each := range all {
				policies = append(policies, doctor.PomeriumPolicy(each))
			}
			return policies, waiting, err
		}
	}
	doctor.Run(ctx, dc, report)
	return code
}

// examineLedger looks at the database and at the key, and makes neither.
func examineLedger(ctx context.Context, c *config.Config, google *cloud) (m doctor.Memory, err error) {
	where, err := config.ParseDatabase(c.Ledger.Database.Value.Reveal())
	m.Where = "the PostgreSQL database"
	if err == nil && where.SQLite != "" {
		m.Where, m.Beside = where.SQLite, c.Ledger.SigningKey.IsZero()
		if _, err := os.Stat(where.SQLite); errors.Is(err, fs.ErrNotExist) {
			m.Unmade = true
			return m, nil
		}
	}
	l, err := openLedger(ctx, c.Ledger, google.here)
	if err != nil {
		return m, err
	}
	defer l.home.Close()
	if m.Beside {
		if _, err := os.Stat(l.file + ".key"); err != nil {
			return m, fmt.Errorf("the key that lay beside it is gone: %w", err)
		}
	}
	keys, err := openSigning(ctx, c.Ledger, l.file, google.here, func() (*ledger.Account, error) { return accountOf(ctx, google.here) })
	if err != nil {
		return m, err
	}
	m.Key = keys.inWords()
	_, _, _, err = ledger.New(ledger.Config{Home: l.home, Signer: keys, Now: wallClock.now, Random: rand.Reader}).Overdue(ctx, wallClock.now())
	return m, err
}

// nothingKept is a ledger in which nothing is, for looking at Pomerium without one.
type nothingKept struct{}

func (nothingKept) List(context.Context, access.Listing) (access.Listed, error) {
	return access.Listed{}, nil
}
func (nothingKept) Lease(context.Context, string, time.Duration) (func(context.Context) error, error) {
	return nil, errors.New("nothing is written here")
}

// locate connects once; there is none where Google Cloud is not used. Where there is no metadata
// server, on the machine of an operator, application default credentials of the service account do.
func locate(ctx context.Context, c *config.Config) (*gcp.Platform, error) {
	if !c.Google.Used {
		return nil, nil
	}
	options := googleOptions(c, wallClock)
	options.Hosted = false
	platform, err := gcp.Connect(ctx, options)
	if err != nil {
		return nil, err
	}
	doctor.Locate(ctx, platform, cloudRunService(c))
	return platform, nil
}

// serviceFlag names the Cloud Run service whose settings these are. In a job Cloud
// Run itself says nothing of it, and does not let K_SERVICE be set.
func serviceFlag(flags *flag.FlagSet) *string {
	return flags.String("service", "", "the Cloud Run service whose settings these are, when run in a job or elsewhere")
}

func asService(env func(string) string, service string) func(string) string {
	return func(name string) string {
		if name == "K_SERVICE" && service != "" {
			return service
		}
		return env(name)
	}
}

// newFlags are the options of a command.
func newFlags(name string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	return flags
}

// assemble makes the service as settings have it, for a command that does one thing and ends.
// What it started ends with ctx.
func assemble(ctx context.Context, c *config.Config, log io.Writer) (*service, error) {
	platform, err := locate(ctx, c)
	if err != nil {
		return nil, err
	}
	return build(ctx, c, platform, nil, wallClock, log)
}

// parsed reads a command line that has flags only.
func parsed(flags *flag.FlagSet, args []string, stderr io.Writer) bool {
	if flags.Parse(args) != nil {
		return false
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "jitaccess: %s takes no argument %q\n", flags.Name(), flags.Arg(0))
		return false
	}
	return true
}
