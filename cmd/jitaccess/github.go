package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/doctor"
	"jitaccess/internal/github"
	"jitaccess/internal/outbound"
	"jitaccess/internal/policy"
)

// gitHub is GitHub as one that asks: the applications of the policy file that are GitHub Apps.
type gitHub struct {
	apps *applications
	github.Teller
}

func newGitHub(c *config.Config, apps *applications, k clock) *gitHub {
	return &gitHub{apps: apps, Teller: github.Teller{Client: &github.Client{HTTP: outbound.Client("github", nil), Now: k.now},
		Link: func(id string) string {
			if c.Server.PublicURL == "" {
				return ""
			}
			return strings.TrimSuffix(c.Server.PublicURL, "/") + "/requests/" + id
		}}}
}

// app is the GitHub App that an application is; of is nil where it is none. What cannot be read of
// it is an error.
func (g *gitHub) app(ctx context.Context, name string) (of *policy.Application, app github.App, err error) {
	file := g.apps.file()
	if file == nil {
		if g.apps.configured {
			err = &access.Error{Kind: access.Unavailable, Code: access.CodePolicyUnreadable}
		}
		return nil, app, err
	}
	at := slices.IndexFunc(file.Applications, func(a policy.Application) bool { return a.Name == name })
	if at < 0 || file.Applications[at].GitHub == nil {
		return nil, app, nil
	}
	app, err = g.apps.gitHubApp(ctx, *file.Applications[at].GitHub)
	if err != nil {
		err = &access.Error{Kind: access.Unavailable, Code: access.CodeApplicationsUnknown, Err: err}
	}
	return &file.Applications[at], app, err
}

// gitHubApp reads what is kept elsewhere of a GitHub App. One of two secrets is enough.
func (a *applications) gitHubApp(ctx context.Context, c policy.GitHub) (app github.App, err error) {
	app = github.App{ID: c.AppID, API: c.API, Installations: c.Installations}
	for _, place := range c.WebhookSecrets {
		secret, failed := keptAt(ctx, a, "webhook secret", place, github.ParseSecret)
		if failed == nil {
			app.Secrets = append(app.Secrets, secret)
		}
		err = cmp.Or(err, failed)
	}
	if len(app.Secrets) > 0 {
		err = nil
	}
	if err == nil {
		app.Key, err = keptAt(ctx, a, "private key", c.PrivateKey, github.ParseKey)
	}
	return app, err
}

// Read implements server.GitHub.
func (g *gitHub) Read(ctx context.Context, name string, header http.Header, body []byte) (ask broker.AskFor, asks bool, err error) {
	of, app, err := g.app(ctx, name)
	if of == nil && err == nil {
		err = &access.Error{Kind: access.Unauthenticated, Code: access.CodeBadDelivery,
			Err: fmt.Errorf("no application %q is a GitHub App", name)}
	}
	if err != nil {
		return ask, false, err
	}
	d, asks, err := app.Read(header, body)
	if !asks || err != nil {
		return ask, false, err
	}
	ask = broker.AskFor{Key: d.Key, Sent: access.Sent{Application: name, Subject: d.Actor, Callback: d.Callback, Data: map[string]string{},
		// Where none fits, there is no template of this name, which says what there is none for.
		Template: d.Data[github.Environment] + " of " + d.Data[github.Repository]}}
	for i := range of.Templates {
		if t := &of.Templates[i]; t.Active && t.Fits(d.Data) {
			ask.Template = t.Key
			for _, f := range t.Data {
				ask.Data[f.Name] = d.Data[f.Name]
			}
			return ask, true, nil
		}
	}
	ask.Data = d.Data
	return ask, true, nil
}

// Refused implements server.GitHub.
func (g *gitHub) Refused(ctx context.Context, ask broker.AskFor, reason string) error {
	of, app, err := g.app(ctx, ask.Application)
	if of == nil || err != nil {
		return err
	}
	return g.Reject(ctx, app, ask.Callback, ask.Data[github.Environment], reason)
}

// Decided implements server.GitHub.
func (g *gitHub) Decided(ctx context.Context, r access.Request) error {
	_, err := g.tell(ctx, r)
	return err
}

// tell tells GitHub of what it has asked for; it is false of what others have.
func (g *gitHub) tell(ctx context.Context, r access.Request) (bool, error) {
	of, app, err := g.app(ctx, r.Asking.Application)
	if of == nil || err != nil {
		return false, err
	}
	return true, g.Tell(ctx, app, r)
}

// examine looks at all that are GitHub Apps, as GitHub knows them.
func (g *gitHub) examine(ctx context.Context) (found []doctor.GitHubApp) {
	file := g.apps.file()
	if file == nil {
		return nil
	}
	for _, a := range file.Applications {
		if a.GitHub == nil {
			continue
		}
		one := doctor.GitHubApp{Name: a.Name}
		app, err := g.apps.gitHubApp(ctx, *a.GitHub)
		one.Err = err
		for _, id := range a.GitHub.Installations {
			if err != nil {
				break
			}
			said, err := g.Installed(ctx, app, id)
			one.Installations = append(one.Installations, doctor.GitHubInstallation{ID: id, Account: said.Account.Login,
				Suspended: said.Suspended != "", Permitted: said.Permissions["deployments"] == "write",
				Subscribed: slices.Contains(said.Events, "deployment_protection_rule"), Err: err})
		}
		found = append(found, one)
	}
	return found
}
