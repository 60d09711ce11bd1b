package words_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/github"
	"jitaccess/internal/server"
)

// registry are the applications of a situation.
type registry struct {
	all []application.Application
	err error
}

func (r *registry) Applications(context.Context) ([]application.Application, error) {
	return r.all, r.err
}

// askingFor has the application deployer ask for ana, changed by what is wrong.
func askingFor(change func(*broker.AskFor, *registry)) func(*testing.T) error {
	return applying(func(t *testing.T, _ *brokertest.World, b *broker.Broker, apps *registry, a broker.AskFor) error {
		change(&a, apps)
		_, err := b.AskFor(t.Context(), asDeployer, a)
		return err
	})
}

// gitHub reads what is sent as a GitHub App without secrets.
type gitHub struct{ server.GitHub }

func (gitHub) Read(_ context.Context, _ string, header http.Header, body []byte) (broker.AskFor, bool, error) {
	_, asks, err := github.App{}.Read(header, body)
	return broker.AskFor{}, asks, err
}

var asDeployer = access.Caller{Method: access.MethodApplication, Application: "deployer"}

// applying has an application.
func applying(happens func(*testing.T, *brokertest.World, *broker.Broker, *registry, broker.AskFor) error) func(*testing.T) error {
	return remembering(func(t *testing.T, w *brokertest.World) error {
		apps := &registry{all: []application.Application{{Name: "deployer", Active: true, CallbackHosts: []string{"deploy.example.com"},
			Templates: []application.Template{{Key: "deploy", Name: "Deploy", Title: "Deploy {version}", Active: true,
				Data: []application.Field{{Name: "version", Pattern: regexp.MustCompile("v[0-9.]+|x*")}}, Approvals: 1,
				Approvers: []string{"user:ben@example.com"}, MaxDuration: time.Hour, DefaultDuration: time.Hour, RequestLife: time.Hour}}}}}
		b := w.BrokerOf(broker.Registration{Kinds: application.Kinds,
			Provider: application.NewProvider(apps, func() time.Time { return w.Clock })})
		return happens(t, w, b, apps, broker.AskFor{Key: "k", Sent: access.Sent{Application: "deployer", Template: "deploy", Subject: "ana@example.com",
			Data: map[string]string{"version": "v1"}}, Origin: "https://jit.example.com"})
	})
}

// applicationSituations are those in which an application is refused, or what it asked for.
func applicationSituations() []situation {
	return []situation{
		{access.CodeNoToken, "a program without a token", visiting("GET /v1/approvals/x", ""), nil},
		{access.CodeBadToken, "a token that is none", visiting("GET /v1/approvals/x", "", "Authorization: Bearer x"), nil},
		{access.CodeTwoTokens, "two tokens", visiting("GET /v1/approvals/x", "", "Authorization: Bearer x", "X-Nl3-Authorization-Token: x"), nil},
		{access.CodeBadDelivery, "a delivery that GitHub has not signed", visiting("POST /v1/github/github", ""), nil},
		{access.CodeNotCalledBack, "an application that does not answer",
			applying(func(t *testing.T, w *brokertest.World, b *broker.Broker, _ *registry, a broker.AskFor) error {
				a.Callback = "https://deploy.example.com/"
				asked, err := b.AskFor(t.Context(), asDeployer, a)
				if err != nil {
					return err
				}
				w.Undelivered = access.Receipts{{Channel: "callback", Err: errors.New("no route")}}
				if _, err = b.Decide(t.Context(), access.Caller{Principal: ben}, broker.Decide{Ref: asked.Request.ID, Verdict: access.Approve}); err != nil {
					return err
				}
				for _, e := range w.Journal {
					if access.AsError(e.Err) != nil && access.AsError(e.Err).Code == access.CodeNotCalledBack {
						return e.Err
					}
				}
				return nil
			}), nil},
		{access.CodeUnknownApplication, "an application that is not active",
			askingFor(func(_ *broker.AskFor, r *registry) { r.all[0].Active = false }), nil},
		{access.CodeApplicationsUnknown, "applications that cannot be read",
			askingFor(func(_ *broker.AskFor, r *registry) { r.err = errors.New("disk full") }), nil},
		{access.CodeUnknownTemplate, "a template that there is none of", askingFor(func(a *broker.AskFor, _ *registry) { a.Template = "x" }), nil},
		{access.CodeBadSubject, "a token for nobody", askingFor(func(a *broker.AskFor, _ *registry) { a.Subject = "" }), nil},
		{access.CodeUnlinkedSubject, "a token for somebody of whom nobody knows who it is",
			askingFor(func(a *broker.AskFor, _ *registry) { a.Subject = "ana1" }), nil},
		{access.CodeMissingDatum, "no data", askingFor(func(a *broker.AskFor, _ *registry) { a.Data = nil }), nil},
		{access.CodeUnknownDatum, "data that no template names", askingFor(func(a *broker.AskFor, _ *registry) { a.Data["force"] = "yes" }), nil},
		{access.CodeUnsafeDatum, "data of two lines", askingFor(func(a *broker.AskFor, _ *registry) { a.Data["version"] = "v\n1" }),
			[]string{"at most 500 characters"}},
		{access.CodeBadDatum, "data that does not match", askingFor(func(a *broker.AskFor, _ *registry) { a.Data["version"] = "1" }), nil},
		{access.CodeLongTitle, "data that make the title long",
			askingFor(func(a *broker.AskFor, _ *registry) { a.Data["version"] = strings.Repeat("x", 250) }), []string{"more than 250 characters"}},
		{access.CodeBadCallback, "a callback to another host",
			askingFor(func(a *broker.AskFor, _ *registry) { a.Callback = "https://example.com/" }), nil},
		{access.CodeNoApprovers, "a template whose approver is whom it is for",
			askingFor(func(a *broker.AskFor, _ *registry) { a.Subject = "ben@example.com" }), nil},
		{access.CodeKeyReused, "the same key for something else",
			applying(func(t *testing.T, _ *brokertest.World, b *broker.Broker, _ *registry, a broker.AskFor) error {
				if _, err := b.AskFor(t.Context(), asDeployer, a); err != nil {
					return err
				}
				a.Minutes = 5
				_, err := b.AskFor(t.Context(), asDeployer, a)
				return err
			}), nil},
		{access.CodeTemplateLost, "a decision after the template was taken out",
			applying(func(t *testing.T, _ *brokertest.World, b *broker.Broker, r *registry, a broker.AskFor) error {
				asked, err := b.AskFor(t.Context(), asDeployer, a)
				if err != nil {
					return err
				}
				r.all[0].Templates = nil
				_, err = b.Decide(t.Context(), access.Caller{Principal: ben}, broker.Decide{Ref: asked.Request.ID, Verdict: access.Approve})
				return err
			}), nil},
	}
}
