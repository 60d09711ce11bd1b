package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"jitaccess/internal/sandbox/chat"
	"jitaccess/internal/sandbox/clock"
	"jitaccess/internal/sandbox/google"
)

// Terms is the policy file of the service in the sandbox.
//
//go:embed terms.yaml
var Terms []byte

// What the service is deployed as in the sandbox: on Cloud Run, with IAP switched
// on for the service itself.
const (
	serviceName  = "jitaccess"
	smtpUsername = "jitaccess"
	secretName   = "smtp-password"
)

// Options are what a Sandbox is made of. The zero value is good.
type Options struct {
	// Address is where people go; empty is localhost:8080. The host must be
	// loopback: with the name localhost both 127.0.0.1 and [::1] are used. Port 0
	// takes a free one.
	Address string
	// GoogleAddress is where the Google Cloud answers; empty is a free port of
	// 127.0.0.1.
	GoogleAddress string
	// Storybook answers under /sandbox/storybook/, for whoever asks; nil: nothing does.
	Storybook http.Handler
	// Now is the clock that the sandbox's goes by until somebody moves that forward; nil is
	// time.Now.
	Now func() time.Time
	// Random is of cryptographic quality; nil is crypto/rand.
	Random io.Reader
	// Log takes what goes wrong in the sandbox itself; nil drops it.
	Log *slog.Logger
}

// Sandbox is the surroundings of one service. Make one with Start.
type Sandbox struct {
	organization google.Organization
	cloud        *google.Cloud
	google       *listeningServer
	mailbox      *Mailbox
	mail         *mailServer
	chats        chats
	mailRoots    *x509.CertPool
	password     string // a Secret Manager version path
	front        *listeningServer
	storybook    http.Handler
	baseline     map[string]bool // the bindings at the start; see policy.go
	clock        *clock.Clock
	now          func() time.Time // that clock's
	log          *slog.Logger
	close        func() error
}

// Start brings the surroundings up until ctx ends or Close is called; Serve then
// adds the service. It refuses where a real service might run, and addresses that
// others could reach.
func Start(ctx context.Context, o Options) (*Sandbox, error) {
	if err := refusePlatform(); err != nil {
		return nil, err
	}
	o = withDefaults(o)
	s := &Sandbox{clock: clock.New(o.Now), log: o.Log, storybook: o.Storybook}
	s.now, o.Now = s.clock.Now, s.clock.Now
	s.mailbox = &Mailbox{now: s.now}
	s.close = sync.OnceValue(s.closeAll)
	if err := s.start(o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	context.AfterFunc(ctx, func() { s.Close() })
	return s, nil
}

func (s *Sandbox) start(o Options) (err error) {
	s.organization = google.Believable(o.Now())
	s.cloud, err = google.New(google.Options{Now: o.Now, Random: o.Random, Organization: s.organization})
	if err != nil {
		return err
	}
	if s.google, err = listen(o.GoogleAddress); err != nil {
		return err
	}
	s.google.serve(s.cloud.Handler())
	if err = s.startMail(o.Random); err != nil {
		return err
	}
	if err = s.startChats(o.Random); err != nil {
		return err
	}
	if s.baseline, err = s.allBindings(); err != nil {
		return err
	}
	s.front, err = listen(o.Address)
	return err
}

func withDefaults(o Options) Options {
	if o.Address == "" {
		o.Address = "localhost:8080"
	}
	if o.GoogleAddress == "" {
		o.GoogleAddress = "127.0.0.1:0"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func (s *Sandbox) startMail(random io.Reader) error {
	password := make([]byte, 24)
	if _, err := io.ReadFull(random, password); err != nil {
		return err
	}
	text := base64.RawURLEncoding.EncodeToString(password)
	// Stored as most are, by a command that ends its output with a line break.
	s.password = s.cloud.AddSecret(secretName, []byte(text+"\n"))
	certificate, err := newCertificate()
	if err != nil {
		return err
	}
	s.mailRoots = x509.NewCertPool()
	s.mailRoots.AddCert(certificate.Leaf)
	s.mail, err = startMailServer(s.mailbox, smtpUsername, text, certificate, s.log)
	return err
}

// Clock is the time of everything in the sandbox. The service must go by it.
func (s *Sandbox) Clock() *clock.Clock { return s.clock }

// Cloud returns the sandbox's Google Cloud.
func (s *Sandbox) Cloud() *google.Cloud { return s.cloud }

// Chats returns what was told in chats.
func (s *Sandbox) Chats() *chat.Chats { return s.chats.Chats }

// Mailbox returns everybody's mail.
func (s *Sandbox) Mailbox() *Mailbox { return s.mailbox }

// MailRoots returns what a client must trust to accept the mail server's
// certificate.
func (s *Sandbox) MailRoots() *x509.CertPool { return s.mailRoots }

// URL returns the origin where people go, such as http://localhost:8080.
func (s *Sandbox) URL() string {
	return "http://" + net.JoinHostPort("localhost", s.front.port())
}

// Environment returns the environment variables of the service, as they would be
// on Cloud Run behind IAP. GCE_METADATA_HOST is read by Google's library from the
// process's own environment, so the caller must set it there.
func (s *Sandbox) Environment() map[string]string {
	googleAddress := net.JoinHostPort("127.0.0.1", s.google.port())
	environment := map[string]string{
		"PORT":                      s.front.port(),
		"K_SERVICE":                 serviceName,
		"K_REVISION":                serviceName + "-00001-sbx",
		"K_CONFIGURATION":           serviceName,
		"GCE_METADATA_HOST":         googleAddress,
		"JITACCESS_GOOGLE_ENDPOINT": "http://" + googleAddress,
		"PUBLIC_URL":                s.URL(),
		"RESOURCE_CATALOG":          "AssetInventory",
		"RESOURCE_SCOPE":            s.cloud.OrganizationID(),
		"RESOURCE_CUSTOMER_ID":      s.cloud.CustomerID(),
		"SMTP_HOST":                 "localhost",
		"SMTP_PORT":                 s.mail.port(),
		"SMTP_SENDER_ADDRESS":       "jitaccess@" + s.organization.Domain,
		"SMTP_USERNAME":             smtpUsername,
		"SMTP_SECRET":               s.password,
		"NOTIFICATION_TOPIC":        s.organization.Topics[0],
	}
	if s.organization.Administrator != "" {
		environment["ADMINS"] = "user:" + s.organization.Administrator
		environment["AUDITORS"] = environment["ADMINS"]
	}
	maps.Copy(environment, s.chats.environment())
	return environment
}

// Serve answers at URL with the service behind the front, until Close. It returns
// nil after Close, and what went wrong otherwise.
func (s *Sandbox) Serve(service http.Handler) error {
	return <-s.front.serve(s.newFront(service))
}

// Close ends everything that Start began, and waits until it has ended. It may be
// called again.
func (s *Sandbox) Close() error { return s.close() }

func (s *Sandbox) closeAll() error {
	var errs []error
	for _, server := range []*listeningServer{s.front, s.google, s.chats.server} {
		if server != nil {
			errs = append(errs, server.close())
		}
	}
	if s.mail != nil {
		errs = append(errs, s.mail.close())
	}
	return errors.Join(errs...)
}

// ServeGoogle runs the Google Cloud alone until ctx ends. It writes to out how to
// point Google's command line at it, and jitaccess.
func ServeGoogle(ctx context.Context, address string, out io.Writer) error {
	if err := refusePlatform(); err != nil {
		return err
	}
	o := withDefaults(Options{GoogleAddress: address})
	organization := google.Believable(o.Now())
	cloud, err := google.New(google.Options{Now: o.Now, Random: o.Random, Organization: organization})
	if err != nil {
		return err
	}
	server, err := listen(o.GoogleAddress)
	if err != nil {
		return err
	}
	token, err := cloud.IssueToken(cloud.ServiceAccount())
	if err != nil {
		return errors.Join(err, server.close())
	}
	fmt.Fprintf(out, googleInstructions, net.JoinHostPort("localhost", server.port()), token, organization.Projects[0].ID,
		cloud.OrganizationID(), cloud.CustomerID(), serviceName)
	failed := server.serve(cloud.Handler())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return server.close()
	}
}

// refusePlatform keeps the sandbox, where everyone may be anyone, from standing in
// for the service by mistake.
func refusePlatform() error {
	for _, variable := range []string{"GAE_SERVICE", "K_SERVICE"} {
		if os.Getenv(variable) != "" {
			return fmt.Errorf("the sandbox does not start on App Engine or Cloud Run (%s is set); use jitaccess serve", variable)
		}
	}
	return nil
}

// googleInstructions takes the address, an access token, a project, the
// organization, its customer id and the name of the service.
const googleInstructions = `Google Cloud, as far as jitaccess needs it, answers at http://%[1]s

To use Google's command line with it, for an hour, as the service account:

  export CLOUDSDK_CONFIG=$(mktemp -d) CLOUDSDK_CORE_DISABLE_PROMPTS=1
  export CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER=http://%[1]s/
  export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=$CLOUDSDK_CONFIG/token
  echo %[2]s > $CLOUDSDK_AUTH_ACCESS_TOKEN_FILE
  gcloud projects get-iam-policy %[3]s

To try a configuration of jitaccess against it:

  export JITACCESS_GOOGLE_ENDPOINT=http://%[1]s GCE_METADATA_HOST=%[1]s K_SERVICE=%[6]s
  export RESOURCE_SCOPE=%[4]s RESOURCE_CATALOG=AssetInventory RESOURCE_CUSTOMER_ID=%[5]s
  jitaccess doctor
`
