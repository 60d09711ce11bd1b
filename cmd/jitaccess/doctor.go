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
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/doctor"
	"jitaccess/internal/gcp"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/firestore"
	"jitaccess/internal/mail"
	"jitaccess/internal/passkey"
	"jitaccess/internal/tracing"
)

// runDoctor looks whether a deployment has what it needs. It exits with 1 if
// anything is broken; warnings do not count.
func runDoctor(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	flags := newFlags("doctor", stderr)
	service := serviceFlag(flags)
	var to recipients
	flags.Func("send-test-mail", "send a mail to this `address`, and report each step", into(&to.mail))
	flags.Func("send-test-messages", "send a message by every chat and webhook, in Slack to whom has this `address` too, and report each step",
		into(&to.messages))
	if code, ok := parsed(flags, args, stdout, stderr); !ok {
		return code
	}
	return examine(ctx, asService(env, *service), to, nil, stdout)
}

// recipients are who gets a test mail, and test messages; empty is nobody.
type recipients struct{ mail, messages access.Principal }

func into(p *access.Principal) func(string) error {
	return func(address string) (err error) {
		*p, err = access.ParsePrincipal(address)
		return err
	}
}

// examine reports to out. roots are whom the mail server's certificate may come
// from; nil is the system's.
func examine(ctx context.Context, env func(string) string, to recipients, roots *x509.CertPool, out io.Writer) int {
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
	c, err := readSettings(env)
	if err != nil {
		for fault := range strings.Lines(err.Error()) {
			report(doctor.Finding{Status: doctor.Broken, Check: "settings", Text: strings.TrimSuffix(fault, "\n")})
		}
		return code
	}
	platform, err := locate(ctx, c)
	if err != nil {
		return broken("identity", err, "run this where the service runs, or with the credentials that this makes: "+
			"gcloud auth application-default login --impersonate-service-account SERVICE_ACCOUNT"+withoutGoogle(c))
	}
	google, err := newCloud(c, platform, wallClock)
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
		Mailbox: box, Words: inWords, SendTo: to.mail, MessageTo: to.messages, Now: time.Now, Origin: hosts(c, platform).Origin,
	}
	told, err := newChannels(c, google, wallClock)
	if err != nil {
		return broken("channels", err, "")
	}
	for _, each := range told {
		dc.Channels = append(dc.Channels, each)
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
		if google != nil {
			dc.Named = google.provider.Naming(live.named).NamedInVain
		}
		hub := newGitHub(c, newApplications(live, google, nil, slog.New(slog.DiscardHandler), wallClock), wallClock)
		dc.GitHub = hub.examine
	}
	examineIdentity(&dc, c, platform)
	if !c.Ledger.Database.IsZero() {
		dc.Ledger = func(ctx context.Context) (doctor.Memory, error) {
			m, err := examineLedger(ctx, c, google)
			if live != nil && live.hasApplications() {
				m.Keys, m.SealErr = nil, nil // nobody uses them
			}
			return m, err
		}
	}
	if c.Traces.Used() {
		dc.Traces = tracing.New(tracesTo(c, google, wallClock)).Probe
	}
	if signsHere(c) {
		dc.Passkeys = func(ctx context.Context) (doctor.Passkeys, error) { return examinePasskeys(ctx, c, google, live) }
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
func examineLedger(ctx context.Context, c *config.Config, google *cloud) (doctor.Memory, error) {
	m, store, end, err := lookIntoLedger(ctx, c, google)
	if store == nil {
		return m, err
	}
	defer end()
	for _, look := range m.Looks {
		if look.Err != nil {
			return m, nil
		}
	}
	if m.Weekly = c.Ledger.Reconciled; m.Weekly {
		m.Reconciliation, err = store.Reconciliation(ctx)
	}
	if err != nil {
		return m, err
	}
	if _, _, _, err = store.Overdue(ctx, wallClock.now()); err != nil || c.Ledger.ByAccount() {
		return m, err
	}
	sealer, err := newSealer(ctx, c, google)
	m.SealErr = err
	sealed, err := managed.Examine(ctx, applicationDeeds{store}, sealer)
	m.Keys = access.Each(sealed, func(k managed.SealedKey) doctor.SealedKey { return doctor.SealedKey(k) })
	if m.Damaged = access.DamagesOf(err); m.Damaged != nil {
		err = nil
	}
	return m, err
}

// lookIntoLedger is the ledger as it stands; no store where there is none yet, or with an error.
// end gives it back.
func lookIntoLedger(ctx context.Context, c *config.Config, google *cloud) (m doctor.Memory, store *ledger.Store, end func(), err error) {
	where, err := config.ParseDatabase(c.Ledger.Database.Value.Reveal())
	if err == nil && where.SQLite != "" {
		m.Where, m.Beside = where.SQLite, c.Ledger.SigningKey.IsZero()
		if _, err := os.Stat(where.SQLite); errors.Is(err, fs.ErrNotExist) {
			m.Unmade = true
			return m, nil, nil, nil
		}
	}
	l, err := openLedger(ctx, c.Ledger, google.here)
	if err != nil {
		return m, nil, nil, err
	}
	m.Where = l.where
	if l.examine != nil {
		m.Looks = access.Each(l.examine(ctx), func(look firestore.Look) doctor.Look { return doctor.Look(look) })
	}
	keys, err := openSigning(ctx, c.Ledger, l.file, google.here, func() (*ledger.Account, error) { return accountOf(google.here) })
	if err != nil {
		l.home.Close()
		return m, nil, nil, err
	}
	m.Key = keys.inWords()
	store = ledger.New(ledger.Config{Home: l.home, Signer: keys, Now: wallClock.now, Random: rand.Reader})
	return m, store, func() { l.home.Close() }, nil
}

// examinePasskeys looks at who could sign what the policy file has signed. Members of groups
// that cannot be read are not counted, like peers: who those are differs from role to role.
func examinePasskeys(ctx context.Context, c *config.Config, google *cloud, live *livePolicy) (p doctor.Passkeys, err error) {
	public, err := url.Parse(c.Server.PublicURL)
	if err != nil {
		return p, err
	}
	p.Party = public.Hostname()
	_, store, end, err := lookIntoLedger(ctx, c, google)
	if err != nil {
		return p, err
	}
	if store != nil {
		defer end()
		deeds, err := store.Deeds(ctx, access.DeedPasskeys, "")
		if p.Damaged = access.DamagesOf(err); err != nil && p.Damaged == nil {
			return p, err
		}
		keys, more := passkey.Everybodys(deeds)
		p.Keys, p.Damaged = keys, append(p.Damaged, more...)
	}
	p.Keys = slices.DeleteFunc(p.Keys, func(k access.Passkey) bool { return !k.Removed.IsZero() })
	if live == nil || live.taken.Load() == nil {
		return p, nil
	}
	for _, rule := range live.taken.Load().File().Signers() {
		s := doctor.Signers{Of: rule.Of}
		for _, spelled := range rule.From {
			kind, address, _ := strings.Cut(spelled, ":")
			switch people, ok := peopleOfGroup(ctx, google, kind, address); {
			case kind == "user":
				s.People = append(s.People, access.Principal(address))
			case ok:
				s.People = append(s.People, people...)
			default:
				s.Others = append(s.Others, spelled)
			}
		}
		slices.Sort(s.People)
		s.People = slices.Compact(s.People)
		s.Keyless = slices.DeleteFunc(slices.Clone(s.People), func(one access.Principal) bool {
			_, err := passkey.Counting(p.Keys, one, p.Party, rule.Keys, wallClock.now())
			return err == nil
		})
		p.Signers = append(p.Signers, s)
	}
	return p, nil
}

// peopleOfGroup are the people in a group, where that can be read.
func peopleOfGroup(ctx context.Context, google *cloud, kind, address string) ([]access.Principal, bool) {
	directory := google.directory()
	if kind != "group" || directory == nil {
		return nil, false
	}
	people, _, err := directory.PeopleIn(ctx, address, time.Time{})
	return people, err == nil
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

// newFlags are the options of a command, which takes nothing else unless its usage says so.
func newFlags(name string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { printUsage(flags, "", "") }
	return flags
}

// printUsage prints how a command is called, what it is for, and its options.
func printUsage(flags *flag.FlagSet, arguments, about string) {
	line := "Usage: jitaccess " + flags.Name()
	flags.VisitAll(func(*flag.Flag) { line = "Usage: jitaccess " + flags.Name() + " [options]" })
	fmt.Fprintf(flags.Output(), "%s\n\n", strings.TrimSpace(line+" "+arguments))
	if about != "" {
		fmt.Fprintf(flags.Output(), "%s\n\n", about)
	}
	flags.PrintDefaults()
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

// parsed reads a command line that has flags only. Where it is not ok the command ends with code:
// what was asked for help is no fault.
func parsed(flags *flag.FlagSet, args []string, stdout, stderr io.Writer) (code int, ok bool) {
	if asksForHelp(args) {
		flags.SetOutput(stdout)
		flags.Usage()
		return exitOK, false
	}
	if flags.Parse(args) != nil {
		return exitUsage, false
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "jitaccess: %s takes no argument %q\n", flags.Name(), flags.Arg(0))
		return exitUsage, false
	}
	return exitOK, true
}
