package main

import (
	"context"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/doctor"
	"jitaccess/internal/gcp"
	"jitaccess/internal/identity"
)

// runDoctor looks whether a deployment has what it needs. It exits with 1 if
// anything is broken; warnings do not count.
func runDoctor(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	flags.SetOutput(stderr)
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
			"gcloud auth application-default login --impersonate-service-account SERVICE_ACCOUNT")
	}
	google, err := newCloud(ctx, c, platform, wallClock)
	if err != nil {
		return broken("settings", err, "")
	}
	mailer, err := newMailer(c, google, roots, wallClock, func(text string) {
		report(doctor.Finding{Status: doctor.Warning, Check: "mail", Text: text})
	})
	if err != nil {
		return broken("mail", err, "")
	}
	dc := doctor.Config{
		Settings: c, Secret: google.secret, Mailer: mailer,
		Words: inWords, SendTo: to, Now: time.Now, Origin: hosts(c, platform).Origin,
	}
	if google != nil {
		dc.Platform, dc.Scope, dc.Sign = platform, google.provider.Scope, google.signer.SignJWT
		dc.Policy, dc.Projects = google.provider.Policies.GetIamPolicy, google.provider.Policies.SearchProjects
		dc.Standing = google.provider.Standing
	}
	if kept := c.Requests.Policy; !kept.IsZero() {
		p := &livePolicy{base: policyOf(c), deployment: enforced(c), read: policyText(google, kept), log: slog.New(slog.DiscardHandler),
			now: time.Now}
		dc.PolicyFile = p.take
	}
	if c.Identity.Profile == config.IAP {
		dc.Identity, dc.IdentityFault = identity.IAP(front(c, platform))
	}
	doctor.Run(ctx, dc, report)
	return code
}

// locate connects once; there is none where Google Cloud is not used. Where there is no metadata server, on the machine of an
// operator, application default credentials of the service account do.
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
