// Package sandboxtest is what surrounds the service in a test: a Google Cloud and a
// mail server on loopback, and the environment that leads the service to them.
package sandboxtest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/sandbox/google"
)

// Options say how the surroundings differ from ordinary ones.
type Options struct {
	// Organization changes the believable organization.
	Organization func(*google.Organization)
	// Google is what else the Google Cloud is made of.
	Google google.Options
	// Wrap stands before Google's answers; nil is nothing.
	Wrap func(http.Handler) http.Handler
	// Mail is the mail server. Without a password it has one of its own.
	Mail smtptest.Options
	// Environment is added to the service's.
	Environment map[string]string
}

// Surroundings are there until the test ends. Those of one process take turns, since
// Google's metadata client reads its host from the process's environment.
type Surroundings struct {
	Cloud *google.Cloud
	// Google is where Google answers, as a URL.
	Google string
	Mail   *smtptest.Server
	// Environment is that of the service on Cloud Run, called jitaccess.
	Environment map[string]string
	// HangUp ends the connections to Google, which a service that is no more leaves
	// open for a while.
	HangUp func()
}

// Start starts them.
func Start(tb testing.TB, o Options) *Surroundings {
	tb.Helper()
	o.Google.Organization = google.Believable(time.Now())
	if o.Organization != nil {
		o.Organization(&o.Google.Organization)
	}
	cloud, err := google.New(o.Google)
	if err != nil {
		tb.Fatal(err)
	}
	handler := cloud.Handler()
	if o.Wrap != nil {
		handler = o.Wrap(handler)
	}
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	metadata := server.Listener.Addr().String()
	tb.Setenv("GCE_METADATA_HOST", metadata)
	o.Mail.Username = "jitaccess"
	if o.Mail.Password == "" {
		o.Mail.Password = "correct horse"
	}
	s := &Surroundings{Cloud: cloud, Google: server.URL, Mail: smtptest.Start(tb, o.Mail), HangUp: server.CloseClientConnections}
	s.Environment = map[string]string{
		"K_SERVICE": "jitaccess", "GCE_METADATA_HOST": metadata, "JITACCESS_GOOGLE_ENDPOINT": server.URL, "RESOURCE_CATALOG": "AssetInventory",
		"RESOURCE_SCOPE": cloud.OrganizationID(), "RESOURCE_CUSTOMER_ID": cloud.CustomerID(),
		"SMTP_HOST": s.Mail.Host, "SMTP_PORT": strconv.Itoa(s.Mail.Port), "SMTP_SENDER_ADDRESS": "jitaccess@example.com",
		"SMTP_USERNAME": o.Mail.Username, "SMTP_SECRET": cloud.AddSecret("smtp-password", []byte(o.Mail.Password+"\n")),
	}
	maps.Copy(s.Environment, o.Environment)
	return s
}

// Env reads the service's environment, with changes.
func (s *Surroundings) Env(change map[string]string) func(string) string {
	return func(name string) string {
		if value, changed := change[name]; changed {
			return value
		}
		return s.Environment[name]
	}
}
