package doctor_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/doctor"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iamcredentials"
	"jitaccess/internal/gcp/provider"
	"jitaccess/internal/gcp/secretmanager"
	"jitaccess/internal/identity"
	"jitaccess/internal/mail"
	"jitaccess/internal/mail/smtptest"
	"jitaccess/internal/sandbox/google"
	"jitaccess/internal/sandbox/sandboxtest"
	"jitaccess/internal/server"
	"jitaccess/internal/words"
)

const (
	account = "jitaccess@example-jitaccess.iam.gserviceaccount.com"
	member  = "serviceAccount:" + account
	org     = "482093157016"
)

// world is a deployment in which nothing is to be remarked, and what is changed.
type world struct {
	organization func(*google.Organization)
	faults       func(*google.Faults)
	settings     map[string]string
	mail         smtptest.Options
	// around is a public address behind which there is no IAP.
	around bool
	// change is the last word on what is looked at.
	change func(*doctor.Config)
}

// healthy takes away what the organization of the sandbox has collected, and allows
// every optional look.
func healthy(o *google.Organization) {
	for _, role := range []string{"roles/iam.securityReviewer", "roles/run.viewer", "roles/appengine.appViewer", "roles/iam.serviceAccountViewer"} {
		o.Policy.Bindings = append(o.Policy.Bindings, google.Binding{Role: role, Members: []string{member}})
	}
	for i := range o.Projects {
		p := &o.Projects[i].Policy
		p.Bindings = slices.DeleteFunc(slices.Clone(p.Bindings), func(b google.Binding) bool { return b.Role == "roles/pubsub.editor" })
	}
	for i := range o.Groups {
		g := &o.Groups[i]
		g.Members = slices.DeleteFunc(slices.Clone(g.Members), func(m string) bool {
			return slices.ContainsFunc(o.Groups, func(nested google.Group) bool { return nested.Email == m })
		})
	}
	o.GroupsEditors = []string{account}
	o.RunServices = []google.RunService{{Name: "jitaccess", Region: "europe-west1", ServiceAccount: account, Traffic: []google.RunTraffic{{Percent: 100}}}}
}

// examine returns every line.
func (w world) examine(t *testing.T) []string {
	t.Helper()
	c, _ := w.deploy(t)
	var lines []string
	doctor.Run(context.Background(), c, func(f doctor.Finding) { lines = append(lines, f.String()) })
	return lines
}

// deploy makes the deployment, and switches its faults on.
func (w world) deploy(t *testing.T) (doctor.Config, *google.Cloud) {
	t.Helper()
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !w.around {
			rw.Header().Set("X-Goog-IAP-Generated-Response", "true")
			rw.Header().Set("Location", "http://127.0.0.1:1/sign-in")
			rw.WriteHeader(http.StatusFound)
		}
	}))
	t.Cleanup(front.Close)
	w.mail.Password = canary
	around := sandboxtest.Start(t, sandboxtest.Options{Mail: w.mail, Environment: map[string]string{"PUBLIC_URL": front.URL},
		Organization: func(o *google.Organization) {
			healthy(o)
			if w.organization != nil {
				w.organization(o)
			}
		}})
	around.Cloud.AddSecret("smtp-password", []byte("wrong"))
	c := build(t, around.Env(w.settings), around.Mail)
	if w.change != nil {
		w.change(&c)
	}
	if w.faults != nil {
		w.faults(around.Cloud.Faults())
	}
	return c, around.Cloud
}

// build wires what the service is wired from.
func build(t *testing.T, environment func(string) string, mailServer *smtptest.Server) doctor.Config {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	settings, err := config.Read(environment)
	must(err)
	atOnce := func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	platform, err := gcp.Connect(ctx, gcp.Options{Hosted: true, Endpoint: settings.Google.Endpoint, Retry: gcp.Retry{Sleep: atOnce}})
	must(err)
	attempts := 0
	cloud, err := provider.New(provider.Config{Platform: platform, Scope: settings.Catalog.Scope, CustomerID: settings.Catalog.CustomerID,
		Now: time.Now, Sleep: func(ctx context.Context, _ time.Duration) error {
			if attempts++; attempts > 3 {
				return context.DeadlineExceeded
			}
			return ctx.Err()
		}})
	must(err)
	signer := iamcredentials.New(platform)
	secrets := secretmanager.New(platform)
	mailer, err := mail.New(mail.Config{Sender: settings.Mail.SenderAddress, Host: settings.Mail.Host, Port: settings.Mail.Port,
		Roots: mailServer.Roots, Username: settings.Mail.Username, Now: time.Now,
		Login: mail.Password(func(ctx context.Context) (string, error) {
			stored, err := secrets.Access(ctx, string(settings.Mail.PasswordPath))
			if err != nil {
				return "", err
			}
			return config.OneLine(stored)
		}, time.Now)})
	must(err)
	return doctor.Config{Settings: settings, Platform: platform, Scope: cloud.Scope,
		Origin: server.Platform{AppEngine: settings.Platform == config.AppEngine, CloudRun: settings.Platform == config.CloudRun, ProjectID: platform.Project,
			ProjectNumber: platform.ProjectNumber, Region: platform.Region, Service: settings.Service}.Origin,
		Identity: identity.Profile{Expected: "/projects/264853019977/locations/europe-west1/services/jitaccess"},
		Policy:   cloud.Policies.GetIamPolicy, Projects: cloud.Policies.SearchProjects, Standing: cloud.Standing,
		Sign: signer.SignJWT, Secret: secrets.Access, Mailer: mailer, Now: time.Now,
		Words: func(e *access.Error) (text, next string) {
			r := words.English().Refusal(e, "Google")
			return r.Text, r.Next
		}}
}

// project finds a project of the organization.
func project(o *google.Organization, id string) *google.Project {
	for i := range o.Projects {
		if o.Projects[i].ID == id {
			return &o.Projects[i]
		}
	}
	return nil
}

func group(o *google.Organization, email string) *google.Group {
	for i := range o.Groups {
		if o.Groups[i].Email == email {
			return &o.Groups[i]
		}
	}
	return nil
}
