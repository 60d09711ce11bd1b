package broker_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/broker"
)

// registry are the applications of a test, which changes them.
type registry struct {
	all []application.Application
	err error
}

func (r *registry) Applications(context.Context) ([]application.Application, error) {
	return r.all, r.err
}

// template is one that ben and a group decide by.
func template() application.Template {
	return application.Template{
		Key: "production-deploy", Name: "Production deploy", Title: "Deploy {version} to {cluster}", Active: true,
		Data:   []application.Field{{Name: "version", Label: "Version", Pattern: regexp.MustCompile(`v[0-9.]+`)}, {Name: "cluster"}},
		Claims: []string{"ticket", "teams"}, Approvals: 1, Approvers: []string{"user:ben@example.com", "group:leads@example.com"},
		MaxDuration: 3 * time.Hour, DefaultDuration: 30 * time.Minute, RequestLife: 40 * time.Minute, Metadata: map[string]string{"team": "shop"},
	}
}

// withApplication is a world with a ledger in which the application "deployer" asks by one
// template.
func withApplication(t *testing.T) (*world, *registry, *broker.Broker) {
	t.Helper()
	w, _, _ := withDatabase(t)
	w.GroupsOf = map[access.Principal][]string{cho: {"leads@example.com"}, ana: {"leads@example.com", "only@example.com"}}
	w.Origin = "https://jit.example.com"
	r := &registry{all: []application.Application{{Name: "deployer", URI: "https://deploy.example.com", Active: true,
		CallbackHosts: []string{"deploy.example.com", "localhost:8080"}, Templates: []application.Template{template()}}, {Name: "other", Active: true}}}
	return w, r, w.BrokerOf(w.Registration(), broker.Registration{Provider: application.NewProvider(r, func() time.Time { return w.Clock }),
		Name: application.ProviderName, Kinds: application.Kinds})
}

// deployer is the application as a caller.
func deployer(name string) access.Caller {
	return access.Caller{Method: access.MethodApplication, Application: name}
}

// deploy is what the application sends that is in order; tests change what they are about.
func deploy() broker.AskFor {
	return broker.AskFor{Key: "run 7", Sent: access.Sent{Application: "deployer", Template: "production-deploy", Subject: "ana@example.com",
		Data:   map[string]string{"version": "v1.2", "cluster": "eu-{version}"},
		Claims: map[string]any{"ticket": "OPS-1", "teams": []any{"shop", "web"}, "secret": "not named"}},
		Origin: "https://jit.example.com", Host: "jit.example.com"}
}

func mustAskFor(t *testing.T, b *broker.Broker, a broker.AskFor) broker.Asked {
	t.Helper()
	asked, err := b.AskFor(t.Context(), deployer("deployer"), a)
	if err != nil {
		t.Fatal(err)
	}
	return asked
}

// An application asks for somebody; those whom its template names are told what it is about,
// one of them approves what was shown, and the application sees the window.
func TestAnApplicationAsksAndGoesOnWhenSomebodyApproves(t *testing.T) {
	w, _, b := withApplication(t)
	asked := mustAskFor(t, b, deploy())
	r := asked.Request
	want := access.Asking{Application: "deployer", Subject: "ana@example.com", Template: "production-deploy", Title: "Deploy v1.2 to eu-{version}",
		Data:     []access.Datum{{Name: "version", Label: "Version", Value: "v1.2"}, {Name: "cluster", Label: "cluster", Value: "eu-{version}"}},
		Claims:   []access.Datum{{Name: "ticket", Label: "ticket", Value: "OPS-1"}, {Name: "teams", Label: "teams", Value: "shop, web"}},
		Metadata: map[string]string{"team": "shop"}, Sent: r.Asking.Sent}
	if r.Asking.Sent == "" || !equal(r.Asking, want) {
		t.Errorf("asked for\n%+v, not\n%+v", r.Asking, want)
	}
	if r.State != access.Pending || r.Principal != ana || r.Duration != 30*time.Minute || r.Justification != want.Title ||
		!r.Expires.Equal(r.Created.Add(40*time.Minute)) || !strings.HasPrefix(r.ID, "mpa-") {
		t.Errorf("made %+v", r)
	}
	if len(w.Told) != 1 || w.Told[0].Kind != access.NoticeReview || w.Told[0].Request.Asking.Title != want.Title ||
		!slices.Equal(w.Told[0].To, []access.Principal{ben, "leads@example.com"}) || w.Told[0].ReviewURL != asked.ReviewURL {
		t.Errorf("told %+v", w.Told)
	}
	view, err := b.Show(t.Context(), caller(cho), r.ID, w.Origin)
	if err != nil || !view.CanDecide || len(view.Effects) != 1 || !strings.Contains(view.Effects[0].Text, "an access token for deployer") {
		t.Fatalf("%+v, %v", view, err)
	}
	decided, err := b.Decide(t.Context(), caller(cho), broker.Decide{Ref: r.ID, Verdict: access.Approve, Digest: view.Digest})
	if err != nil || decided.State != access.Active {
		t.Fatalf("%+v, %v", decided, err)
	}
	got, err := b.ForApplication(t.Context(), deployer("deployer"), r.ID)
	if err != nil || got.State != access.Active || got.Window != decided.Window || got.Window.Length() != 30*time.Minute {
		t.Errorf("%+v, %v", got, err)
	}
	w.Clock = w.Clock.Add(31 * time.Minute)
	if got, err = b.ForApplication(t.Context(), deployer("deployer"), r.ID); err != nil || got.State != access.Expired {
		t.Errorf("afterwards %s, %v", got.State, err)
	}
	if view, err = b.Show(t.Context(), caller(cho), r.ID, ""); err != nil || view.State != access.Expired {
		t.Errorf("afterwards %s, %v", view.State, err)
	}
	if _, err := b.Sweep(t.Context(), broker.SweepCount); err != nil {
		t.Fatal(err)
	}
	if stands, err := w.Ledger.Open(t.Context(), r.ID); err != nil || stands.State != access.Expired {
		t.Errorf("recorded as %s, %v", stands.State, err)
	}
}

func equal(a, b access.Asking) bool {
	r, s := access.Request{Asking: a}, access.Request{Asking: b}
	return r.Digest() == s.Digest()
}

// What is wrong in what an application sends is refused, with the place.
func TestWhatAnApplicationMayNotAskFor(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*broker.AskFor, *application.Application)
		kind   access.Kind
		code   access.Code
		field  string
	}{
		{"data that the template does not know", func(a *broker.AskFor, _ *application.Application) { a.Data["force"] = "yes" },
			access.Invalid, access.CodeUnknownDatum, "data.force"},
		{"data that does not match", func(a *broker.AskFor, _ *application.Application) { a.Data["version"] = "xv1.2" },
			access.Invalid, access.CodeBadDatum, "data.version"},
		{"data that matches in part", func(a *broker.AskFor, _ *application.Application) { a.Data["version"] = "v1.2 and more" },
			access.Invalid, access.CodeBadDatum, "data.version"},
		{"a field that is missing", func(a *broker.AskFor, _ *application.Application) { delete(a.Data, "cluster") },
			access.Invalid, access.CodeMissingDatum, "data.cluster"},
		{"a field without a value", func(a *broker.AskFor, _ *application.Application) { a.Data["cluster"] = "" },
			access.Invalid, access.CodeMissingDatum, "data.cluster"},
		{"data that would show as something else", func(a *broker.AskFor, _ *application.Application) { a.Data["cluster"] = "eu\u202eus" },
			access.Invalid, access.CodeUnsafeDatum, "data.cluster"},
		{"data of several lines", func(a *broker.AskFor, _ *application.Application) { a.Data["cluster"] = "eu\nus" },
			access.Invalid, access.CodeUnsafeDatum, "data.cluster"},
		{"data that is too long", func(a *broker.AskFor, _ *application.Application) { a.Data["cluster"] = strings.Repeat("x", 501) },
			access.Invalid, access.CodeUnsafeDatum, "data.cluster"},
		{"data with which the title is too long", func(a *broker.AskFor, _ *application.Application) { a.Data["cluster"] = strings.Repeat("x", 250) },
			access.Invalid, access.CodeLongTitle, "data"},
		{"no minutes at all", func(a *broker.AskFor, _ *application.Application) { a.Minutes = -1 },
			access.Invalid, access.CodeBadDuration, "minutes"},
		{"more minutes than the template allows", func(a *broker.AskFor, _ *application.Application) { a.Minutes = 181 },
			access.Invalid, access.CodeBadDuration, "minutes"},
		{"minutes that overflow", func(a *broker.AskFor, _ *application.Application) { a.Minutes = 1<<62 + 60 },
			access.Invalid, access.CodeBadDuration, "minutes"},
		{"a reason of several lines", func(a *broker.AskFor, _ *application.Application) { a.Reason = "a\nb" },
			access.Invalid, access.CodeUnsafeJustification, "justification"},
		{"a long reason", func(a *broker.AskFor, _ *application.Application) { a.Reason = strings.Repeat("x", 251) },
			access.Invalid, access.CodeLongJustification, "justification"},
		{"a template that there is none of", func(a *broker.AskFor, _ *application.Application) { a.Template = "staging" },
			access.Invalid, access.CodeUnknownTemplate, "template"},
		{"a template that is not active", func(_ *broker.AskFor, a *application.Application) { a.Templates[0].Active = false },
			access.Invalid, access.CodeUnknownTemplate, "template"},
		{"an application that is not active", func(_ *broker.AskFor, a *application.Application) { a.Active = false },
			access.NotFound, access.CodeUnknownApplication, ""},
		{"an application that there is none of", func(_ *broker.AskFor, a *application.Application) { a.Name = "another" },
			access.NotFound, access.CodeUnknownApplication, ""},
		{"for nobody", func(a *broker.AskFor, _ *application.Application) { a.Subject = "" },
			access.Invalid, access.CodeBadSubject, "sub"},
		{"for somebody of two lines", func(a *broker.AskFor, _ *application.Application) { a.Subject = "ana\n" },
			access.Invalid, access.CodeBadSubject, "sub"},
		{"for somebody of whom nobody knows who it is", func(a *broker.AskFor, _ *application.Application) { a.Subject = "ana" },
			access.NotAllowed, access.CodeUnlinkedSubject, ""},
		{"for an address of strangers", func(a *broker.AskFor, _ *application.Application) { a.Subject = "victim@elsewhere.example" },
			access.NotAllowed, access.CodeUnlinkedSubject, ""},
		{"for an address that ends like ours", func(a *broker.AskFor, _ *application.Application) { a.Subject = "ana@evil-example.com" },
			access.NotAllowed, access.CodeUnlinkedSubject, ""},
		{"for an address below ours", func(a *broker.AskFor, _ *application.Application) { a.Subject = "ana@lists.example.com" },
			access.NotAllowed, access.CodeUnlinkedSubject, ""},
		{"for a service account", func(a *broker.AskFor, _ *application.Application) { a.Subject = "robot@p.iam.gserviceaccount.com" },
			access.NotAllowed, access.CodeUnlinkedSubject, ""},
		{"for what stands for somebody of another application", func(a *broker.AskFor, _ *application.Application) { a.Subject = "ana@other.apps.invalid" },
			access.NotAllowed, access.CodeUnlinkedSubject, ""},
		{"for the only one who could approve", func(a *broker.AskFor, app *application.Application) {
			a.Subject, app.Templates[0].Approvers = "ben@example.com", []string{"user:ben@example.com"}
		}, access.Unprocessable, access.CodeNoApprovers, ""},
		{"for one of two who would both have to approve", func(a *broker.AskFor, app *application.Application) {
			a.Subject, app.Templates[0].Approvals = "ben@example.com", 2
			app.Templates[0].Approvers = []string{"user:ben@example.com", "user:cho@example.com"}
		}, access.Unprocessable, access.CodeNoApprovers, ""},
		{"for the only one in the group that could approve", func(a *broker.AskFor, app *application.Application) {
			app.Templates[0].Approvers = []string{"group:only@example.com"}
		}, access.Unprocessable, access.CodeNoApprovers, ""},
		{"a callback elsewhere", func(a *broker.AskFor, _ *application.Application) { a.Callback = "https://evil.example/x" },
			access.Invalid, access.CodeBadCallback, "callback"},
		{"a callback to another port", func(a *broker.AskFor, _ *application.Application) { a.Callback = "https://deploy.example.com:8443/x" },
			access.Invalid, access.CodeBadCallback, "callback"},
		{"a callback without TLS", func(a *broker.AskFor, _ *application.Application) { a.Callback = "http://deploy.example.com/x" },
			access.Invalid, access.CodeBadCallback, "callback"},
		{"a callback with a password", func(a *broker.AskFor, _ *application.Application) { a.Callback = "https://a:b@deploy.example.com/x" },
			access.Invalid, access.CodeBadCallback, "callback"},
		{"no key", func(a *broker.AskFor, _ *application.Application) { a.Key = "" },
			access.NotFound, access.CodeUnknownApplication, ""},
		{"as another application", func(a *broker.AskFor, _ *application.Application) { a.Application = "other" },
			access.NotFound, access.CodeUnknownApplication, ""},
		{"no origin for links", func(a *broker.AskFor, _ *application.Application) { a.Origin = "" },
			access.Unprocessable, access.CodeNoPublicURL, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, apps, b := withApplication(t)
			a := deploy()
			c.change(&a, &apps.all[0])
			_, err := b.AskFor(t.Context(), deployer("deployer"), a)
			is(t, err, c.kind, c.code)
			if field := access.AsError(err).Field; field != c.field {
				t.Errorf("at %q, not %q", field, c.field)
			}
			if _, err := w.Ledger.Open(t.Context(), access.AskedID(a.Application, a.Key)); err == nil || len(w.Told) > 0 {
				t.Errorf("it was made all the same, or told: %+v", w.Told)
			}
			if len(w.Journal) != 1 || w.Journal[0].Action != access.ActionRefused {
				t.Errorf("the journal has %s", w.Actions())
			}
		})
	}
}

// That it is not known which applications there are is never taken for none.
func TestApplicationsThatAreNotKnown(t *testing.T) {
	_, apps, b := withApplication(t)
	asked := mustAskFor(t, b, deploy())
	apps.err = errors.New("disk full")
	a := deploy()
	a.Key = "another"
	_, err := b.AskFor(t.Context(), deployer("deployer"), a)
	is(t, err, access.Unavailable, access.CodeApplicationsUnknown)
	_, err = approve(t, b, ben, asked.Request.ID)
	is(t, err, access.Unavailable, access.CodeApplicationsUnknown)
}

// The same key is the same request, also later and when it is decided; with anything else in
// it, it is a conflict.
func TestTheSameKeyIsTheSameRequest(t *testing.T) {
	w, apps, b := withApplication(t)
	first := mustAskFor(t, b, deploy())
	apps.all[0].Templates[0].Title = "Ship {version}" // what was asked stays
	again := mustAskFor(t, b, deploy())
	if again.Request.ID != first.Request.ID || again.ReviewURL != first.ReviewURL || again.Request.Asking.Title != first.Request.Asking.Title ||
		len(w.Told) != 1 {
		t.Errorf("%+v, told %d times", again, len(w.Told))
	}
	decided, err := approve(t, b, ben, first.Request.ID)
	if err != nil {
		t.Fatal(err)
	}
	if again = mustAskFor(t, b, deploy()); again.Request.State != access.Active || again.Window != decided.Window {
		t.Errorf("%+v", again)
	}
	for name, change := range map[string]func(*broker.AskFor){
		"other data":       func(a *broker.AskFor) { a.Data["version"] = "v1.3" },
		"another person":   func(a *broker.AskFor) { a.Subject = "dan@example.com" },
		"other minutes":    func(a *broker.AskFor) { a.Minutes = 20 },
		"another reason":   func(a *broker.AskFor) { a.Reason = "so" },
		"another callback": func(a *broker.AskFor) { a.Callback = "https://deploy.example.com/x" },
		"wrong data":       func(a *broker.AskFor) { a.Data["version"] = "1" },
	} {
		a := deploy()
		change(&a)
		if _, err := b.AskFor(t.Context(), deployer("deployer"), a); access.AsError(err) == nil || access.AsError(err).Code != access.CodeKeyReused {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := deploy()
	other.Claims = nil // another token
	if again = mustAskFor(t, b, other); again.Request.ID != first.Request.ID {
		t.Error("another token made another request")
	}
	other.Key = "run 8"
	if again = mustAskFor(t, b, other); again.Request.ID == first.Request.ID {
		t.Error("another key made the same request")
	}
}

// Nobody asks by hand for what applications ask for, whatever they hold, and nobody is offered
// it or extends it.
func TestNobodyAsksByHandForAnApplication(t *testing.T) {
	_, _, b := withApplication(t)
	id := application.EntitlementID("deployer", "production-deploy")
	for _, kind := range []access.RequestKind{access.Peers, access.Self, access.BreakGlass} {
		a := ask()
		a.Resource, a.Entitlements, a.Kind = id.Resource, []access.EntitlementID{id}, kind
		if kind != access.Peers {
			a.Reviewers = nil
		}
		_, err := b.Ask(t.Context(), caller(ana), a)
		is(t, err, access.NotFound, access.CodeUnknownResource)
	}
	_, err := b.Offer(t.Context(), caller(ana), id.Resource)
	is(t, err, access.NotFound, access.CodeUnknownResource)
	_, err = b.Choose(t.Context(), caller(ana), id.Resource, id)
	is(t, err, access.NotFound, access.CodeUnknownResource)
	all, _, err := b.Resources(t.Context(), caller(ana))
	if err != nil || slices.ContainsFunc(all, func(i access.ResourceInfo) bool { return i.Resource == id.Resource }) {
		t.Errorf("listed %v, %v", all, err)
	}
	asked := mustAskFor(t, b, deploy())
	if _, err := approve(t, b, ben, asked.Request.ID); err != nil {
		t.Fatal(err)
	}
	_, err = b.Ask(t.Context(), caller(ana), broker.Ask{Extends: asked.Request.ID, Kind: access.Peers, Justification: "more", Duration: time.Hour,
		Origin: "https://jit.example.com"})
	is(t, err, access.Conflict, access.CodeNotExtendable)
	if view, err := b.Show(t.Context(), caller(ana), asked.Request.ID, ""); err != nil || view.CanExtend {
		t.Errorf("%v, %v", view.CanExtend, err)
	}
}

// The person for whom it is asked never approves: in person, as one of a group, or by another
// address, whichever of them the application uses, and whatever is known of them later.
func TestTheOneItIsForDoesNotApprove(t *testing.T) {
	const leads = `people: [[ana@example.com, app:deployer/ana1, ann@example.com]]` + "\n" + unnamed
	for name, c := range map[string]struct {
		subject, before, later string
		by                     access.Principal
		code                   access.Code
	}{
		"in person":                       {"ana@example.com", unnamed, "", ana, access.CodeOwnRequest},
		"by another address":              {"ann@example.com", leads, "", ana, access.CodeOwnRequest},
		"by a name in the application":    {"ana1", leads, "", ana, access.CodeOwnRequest},
		"by an address that is told late": {"ann@example.com", unnamed, leads, ana, access.CodeOwnRequest},
		"by a name that became another's": {"ana1", leads, "people: [[cho@example.com, app:deployer/ana1]]\n" + unnamed, cho, access.CodeOwnRequest},
		"by a name that is no longer theirs": {"ana1", leads, "people: [[cho@example.com, app:deployer/ana1]]\n" + unnamed, ana,
			access.CodeOwnRequest},
		"by an address that became another's name": {"ann@example.com", unnamed,
			"people: [[cho@example.com, app:deployer/ann@example.com]]\n" + unnamed, cho, access.CodeOwnRequest},
	} {
		t.Run(name, func(t *testing.T) {
			w, apps, _ := withApplication(t)
			p := &changing{ruled(t, w, c.before)}
			w.Policy = p
			b := w.BrokerOf(broker.Registration{Provider: application.NewProvider(apps, func() time.Time { return w.Clock }), Kinds: application.Kinds})
			a := deploy()
			a.Subject = c.subject
			asked := mustAskFor(t, b, a)
			if c.later != "" {
				p.Refined = ruled(t, w, c.later)
			}
			_, err := approve(t, b, c.by, asked.Request.ID)
			is(t, err, access.NotAllowed, c.code)
			if decided, err := approve(t, b, ben, asked.Request.ID); err != nil || decided.State != access.Active {
				t.Errorf("%s, %v", decided.State, err)
			}
		})
	}
}

// Where the template allows it, it may be for somebody whom nobody knows; it is marked, and no
// mail goes to them.
func TestForSomebodyWhomNobodyKnows(t *testing.T) {
	w, apps, b := withApplication(t)
	apps.all[0].Templates[0].ShowUnlinked = true
	seen := map[access.Principal]string{}
	for _, subject := range []string{"jdoe", "JDoe", `CORP\jdoe`, "sha256-x", "jdoe@corp@x", "jørn", strings.Repeat("x", 200)} {
		a := deploy()
		a.Subject, a.Key = subject, subject
		r := mustAskFor(t, b, a).Request
		if parsed, err := access.ParsePrincipal(string(r.Principal)); !r.Asking.Unlinked || err != nil || parsed != r.Principal || !r.Principal.IsSpelled() {
			t.Errorf("%q is %q: %v", subject, r.Principal, err)
		}
		if before, twice := seen[r.Principal]; twice {
			t.Errorf("%q and %q are both %s", before, subject, r.Principal)
		}
		seen[r.Principal] = subject
	}
	for _, n := range w.Told {
		if slices.ContainsFunc(slices.Concat(n.To, n.CC), access.Principal.IsSpelled) {
			t.Errorf("told %v and %v", n.To, n.CC)
		}
	}
	a := deploy()
	a.Key, a.Subject = "linked", "dan@example.com"
	if r := mustAskFor(t, b, a).Request; r.Asking.Unlinked || r.Principal != dan {
		t.Errorf("%+v", r)
	}
}

// An application asks for people of ours, and writes to nobody else: an address is a person's
// where somebody of that domain is named who approves it or administers here, or it stands among
// the addresses of a person. Every other is of whom nobody knows, and gets no mail.
func TestNoMailToStrangersOfAnApplication(t *testing.T) {
	for name, c := range map[string]struct {
		subject string
		named   func(w *world, tpl *application.Template)
		linked  bool
	}{
		"of an approver's domain": {subject: "new@example.com", linked: true},
		"of a group's domain": {subject: "new@leads.example", linked: true, named: func(w *world, tpl *application.Template) {
			w.GroupsOf[cho], tpl.Approvers = []string{"all@leads.example"}, []string{"group:all@leads.example"}
		}},
		"of an administrator's domain": {subject: "new@admins.example", linked: true, named: func(w *world, _ *application.Template) {
			w.Admins = append(w.Admins, "user:root@admins.example")
		}},
		"of an auditor's domain": {subject: "new@audit.example", linked: true, named: func(w *world, _ *application.Template) {
			w.Auditors = append(w.Auditors, "group:all@audit.example")
		}},
		"under people":       {subject: "ana@partner.example", linked: true},
		"by its name there":  {subject: "contractor@partner.example", linked: true},
		"a stranger's":       {subject: "victim@elsewhere.example"},
		"a claim's":          {subject: "new@claims.example", named: func(w *world, _ *application.Template) { w.Admins = append(w.Admins, "claim:x@claims.example") }},
		"a domain above":     {subject: "new@com"},
		"a domain below":     {subject: "new@sub.example.com"},
		"another of partner": {subject: "somebody@partner.example"},
	} {
		t.Run(name, func(t *testing.T) {
			w, apps, _ := withApplication(t)
			apps.all[0].Templates[0].ShowUnlinked = true
			if c.named != nil {
				c.named(w, &apps.all[0].Templates[0])
			}
			w.Policy = ruled(t, w, `people: [["ana@example.com", "ana@partner.example"], ["contractor@example.com", "app:deployer/contractor@partner.example"]]`)
			b := w.BrokerOf(w.Registration(), broker.Registration{Provider: application.NewProvider(apps, func() time.Time { return w.Clock }),
				Name: application.ProviderName, Kinds: application.Kinds})
			a := deploy()
			a.Subject = c.subject
			asked := mustAskFor(t, b, a)
			if asked.Request.Asking.Unlinked == c.linked {
				t.Errorf("it is for %s", asked.Request.Principal)
			}
			for _, n := range w.Told {
				for _, to := range slices.Concat(n.To, n.CC) {
					if !c.linked && to == access.Principal(c.subject) || to.IsSpelled() {
						t.Errorf("%s is told", to)
					}
				}
			}
			apps.all[0].Templates[0].ShowUnlinked = false
			a.Key = "refused"
			_, err := b.AskFor(t.Context(), deployer("deployer"), a)
			if c.linked && err != nil || !c.linked && access.AsError(err).Code != access.CodeUnlinkedSubject {
				t.Errorf("where strangers are refused: %v", err)
			}
		})
	}
}

// What was made inactive, or taken out, between request and decision is not approved.
func TestATemplateThatIsGoneBeforeTheDecision(t *testing.T) {
	for name, change := range map[string]func(*registry){
		"a template that is not active":     func(r *registry) { r.all[0].Templates[0].Active = false },
		"a template that is taken out":      func(r *registry) { r.all[0].Templates = nil },
		"an application that is not active": func(r *registry) { r.all[0].Active = false },
		"an application that is taken out":  func(r *registry) { r.all = nil },
	} {
		t.Run(name, func(t *testing.T) {
			_, apps, b := withApplication(t)
			asked := mustAskFor(t, b, deploy())
			change(apps)
			view, err := b.Show(t.Context(), caller(ben), asked.Request.ID, "")
			if err != nil || view.CanDecide || view.WhyNot == nil || view.State != access.Pending {
				t.Errorf("%+v, %v", view, err)
			}
			_, err = approve(t, b, ben, asked.Request.ID)
			is(t, err, access.NotAllowed, access.CodeTemplateLost)
			if _, _, err := b.Withdraw(t.Context(), deployer("deployer"), asked.Request.ID, ""); err != nil {
				t.Errorf("it cannot be withdrawn: %v", err)
			}
		})
	}
}

// What a template demands more by the time of the decision holds, and what it demands less
// does not.
func TestATemplateThatChangesBeforeTheDecision(t *testing.T) {
	_, apps, b := withApplication(t)
	asked := mustAskFor(t, b, deploy())
	apps.all[0].Templates[0].Approvals = 2
	if decided, err := approve(t, b, ben, asked.Request.ID); err != nil || decided.State != access.Pending {
		t.Errorf("%s, %v", decided.State, err)
	}
	a := deploy()
	a.Key = "long"
	asked = mustAskFor(t, b, a)
	apps.all[0].Templates[0].Approvals = 1
	if decided, err := approve(t, b, ben, asked.Request.ID); err != nil || decided.State != access.Pending {
		t.Errorf("%s, %v", decided.State, err)
	}
	if decided, err := approve(t, b, cho, asked.Request.ID); err != nil || decided.State != access.Active {
		t.Errorf("%s, %v", decided.State, err)
	}
	a.Key = "longer"
	asked = mustAskFor(t, b, a)
	apps.all[0].Templates[0].MaxDuration = 20 * time.Minute
	_, err := approve(t, b, ben, asked.Request.ID)
	is(t, err, access.Invalid, access.CodeBadDuration)
}

// Rules of the policy file tighten what a template demands, and never loosen it; settings and
// what refuses whatever no rule is about do not count for it.
func TestRulesTightenTemplates(t *testing.T) {
	const rule = "rules: [{name: r, match: {resource: [apps/*]}, "
	for _, c := range []struct {
		name, policy string
		want         func(access.Terms) bool
	}{
		{"no rule", unnamed, func(t access.Terms) bool { return t.Approvals() == 1 && t.MaxDuration == 3*time.Hour }},
		{"what no rule is about is refused", "unmatched: refuse\nrules: [{name: r, match: {resource: [projects/*]}, refuse: no}]\n",
			func(t access.Terms) bool { return t.Approvals() == 1 && t.Rule == "" }},
		{"more approvals", rule + "terms: {approvals: 2}}]\n", func(t access.Terms) bool {
			return len(t.Requirements) == 1 && t.Approvals() == 2 && slices.Contains(t.Requirements[0].From, "user:ben@example.com") && t.Rule == "r"
		}},
		{"others too", rule + "terms: {approvals: [{count: 1, from: [\"user:dan@example.com\"]}]}}]\n", func(t access.Terms) bool {
			return len(t.Requirements) == 2 && t.Approvals() == 2
		}},
		{"shorter", rule + "terms: {max_duration: 1h, default_duration: 20m, request_life: 15m}}]\n", func(t access.Terms) bool {
			return t.MaxDuration == time.Hour && t.DefaultDuration == 20*time.Minute && t.RequestLife == 15*time.Minute
		}},
		{"longer", rule + "terms: {max_duration: 9h, default_duration: 2h, request_life: 5h}, loosen: true}]\n", func(t access.Terms) bool {
			return t.MaxDuration == 3*time.Hour && t.DefaultDuration == 30*time.Minute && t.RequestLife == 40*time.Minute
		}},
		{"no approval", rule + "terms: {approvals: 0}, loosen: true}]\n", func(t access.Terms) bool { return t.Approvals() == 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, apps, _ := withApplication(t)
			w.Settings.MaxDuration, w.Settings.MaxReviewers = 10*time.Minute, 1
			w.Policy = ruled(t, w, c.policy)
			b := w.BrokerOf(broker.Registration{Provider: application.NewProvider(apps, func() time.Time { return w.Clock }), Kinds: application.Kinds})
			a := deploy()
			a.Minutes = 15
			if terms := mustAskFor(t, b, a).Request.Terms; !c.want(terms) {
				t.Errorf("%+v", terms)
			}
		})
	}
	w, apps, _ := withApplication(t)
	w.Policy = ruled(t, w, rule+"refuse: Not on Fridays.}]\n")
	b := w.BrokerOf(broker.Registration{Provider: application.NewProvider(apps, func() time.Time { return w.Clock }), Kinds: application.Kinds})
	_, err := b.AskFor(t.Context(), deployer("deployer"), deploy())
	is(t, err, access.NotAllowed, access.CodeRuleRefuses)
}

// An application sees, withdraws and ends what it has asked for, and nothing else; to every
// other one there is no such request.
func TestAnApplicationHasItsOwnRequestsAlone(t *testing.T) {
	w, _, b := withApplication(t)
	ctx := t.Context()
	asked := mustAskFor(t, b, deploy())
	peoples := mustAsk(t, b, ask())
	on := asked.Request.Resource
	for name, c := range map[string]access.Caller{"another application": deployer("other"), "nobody": {}, "by its name alone": {Application: "deployer"},
		"an application without a name": {Method: access.MethodApplication}} {
		if _, err := b.ForApplication(ctx, c, asked.Request.ID); access.AsError(err) == nil || access.AsError(err).Kind != access.NotFound {
			t.Errorf("%s sees it: %v", name, err)
		}
		if _, _, err := b.Withdraw(ctx, c, asked.Request.ID, ""); err == nil {
			t.Errorf("%s withdraws it", name)
		}
		if _, err := b.Show(ctx, c, asked.Request.ID, ""); err == nil {
			t.Errorf("%s is shown it", name)
		}
		if _, err := b.Decide(ctx, c, broker.Decide{Ref: asked.Request.ID, Verdict: access.Approve}); err == nil {
			t.Errorf("%s approves it", name)
		}
	}
	own := deployer("deployer")
	if _, err := b.ForApplication(ctx, own, peoples.Request.ID); access.AsError(err) == nil || access.AsError(err).Kind != access.NotFound {
		t.Errorf("it sees what people ask: %v", err)
	}
	if _, err := b.ForApplication(ctx, own, "../x"); access.AsError(err) == nil || access.AsError(err).Kind != access.NotFound {
		t.Errorf("%v", err)
	}
	if _, err := b.Decide(ctx, own, broker.Decide{Ref: asked.Request.ID, Verdict: access.Approve}); err == nil {
		t.Error("it approves its own request")
	}
	w.Admins = append(w.Admins, "user:", "group:")
	if _, _, err := b.Withdraw(ctx, own, peoples.Request.ID, ""); err == nil {
		t.Error("it withdraws what people ask")
	}
	if _, err := b.End(ctx, own, on, asked.Request.ID, ""); err == nil {
		t.Error("it ends what is not approved")
	}
	if _, err := approve(t, b, ben, asked.Request.ID); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]access.Caller{"another application": deployer("other"), "somebody": caller("eve@example.com")} {
		_, err := b.End(ctx, c, on, asked.Request.ID, "")
		if access.AsError(err) == nil || access.AsError(err).Kind != access.NotFound {
			t.Errorf("%s ends it: %v", name, err)
		}
	}
	w.Clock = w.Clock.Add(5 * time.Minute)
	w.Forget()
	ended, err := b.End(ctx, own, on, asked.Request.ID, "")
	if err != nil || len(ended.Outcomes) != 1 || ended.Outcomes[0].Result != access.Removed || ended.Outcomes[0].Window.Length() != 5*time.Minute {
		t.Errorf("%+v, %v", ended, err)
	}
	if got, err := b.ForApplication(ctx, own, asked.Request.ID); err != nil || got.State != access.Ended {
		t.Errorf("%s, %v", got.State, err)
	}
	if again, err := b.End(ctx, own, on, asked.Request.ID, ""); err != nil || len(again.Outcomes) != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	if actions := w.Actions(); actions != "end asked, ended" {
		t.Errorf("recorded %s", actions)
	}
}

// The person it is for, who approved it and an admin end it as they end everything else.
func TestPeopleEndWhatAnApplicationAskedFor(t *testing.T) {
	for _, by := range []access.Principal{ana, ben, dan} {
		w, _, b := withApplication(t)
		asked := mustAskFor(t, b, deploy())
		if _, err := approve(t, b, ben, asked.Request.ID); err != nil {
			t.Fatal(err)
		}
		w.Clock = w.Clock.Add(time.Minute)
		if _, err := b.End(t.Context(), caller(by), asked.Request.Resource, asked.Request.ID, ana); err != nil {
			t.Errorf("%s: %v", by, err)
		}
		if got, err := b.ForApplication(t.Context(), deployer("deployer"), asked.Request.ID); err != nil || got.State != access.Ended {
			t.Errorf("%s: %s, %v", by, got.State, err)
		}
	}
}

// An application withdraws what is not decided.
func TestAnApplicationWithdraws(t *testing.T) {
	w, _, b := withApplication(t)
	asked := mustAskFor(t, b, deploy())
	if _, _, err := b.Withdraw(t.Context(), deployer("deployer"), asked.Request.ID, w.Origin); err != nil {
		t.Fatal(err)
	}
	_, err := approve(t, b, ben, asked.Request.ID)
	is(t, err, access.Gone, access.CodeWithdrawn)
	if got, err := b.ForApplication(t.Context(), deployer("deployer"), asked.Request.ID); err != nil || got.State != access.Withdrawn {
		t.Errorf("%s, %v", got.State, err)
	}
}

// Where nothing is remembered an application cannot ask.
func TestApplicationsNeedMemory(t *testing.T) {
	w, apps, _ := withApplication(t)
	w.Ledger = nil
	b := w.BrokerOf(broker.Registration{Provider: application.NewProvider(apps, func() time.Time { return w.Clock }), Kinds: application.Kinds})
	_, err := b.AskFor(t.Context(), deployer("deployer"), deploy())
	is(t, err, access.NotFound, access.CodeNeedsLedger)
	_, err = b.ForApplication(t.Context(), deployer("deployer"), "mpa-0123456789abcdef")
	is(t, err, access.NotFound, access.CodeNeedsLedger)
}

// What process died between approval and grant is finished by a sweep.
func TestASweepFinishesWhatAnApplicationAskedFor(t *testing.T) {
	w, _, b := withApplication(t)
	asked := mustAskFor(t, b, deploy())
	r, err := w.Ledger.Open(t.Context(), asked.Request.ID)
	if err != nil {
		t.Fatal(err)
	}
	e := access.Event{Action: access.RequestApproved, At: w.Clock, Caller: caller(ben), Request: r, Window: r.WindowAt(w.Clock),
		Decision: access.Decision{Verdict: access.Approve, By: ben, At: w.Clock, Digest: r.Digest(), As: []string{"user:ben@example.com"}}}
	if _, err := w.Ledger.Commit(t.Context(), e, nil); err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(2 * time.Minute)
	if done, err := b.Sweep(t.Context(), broker.SweepCount); err != nil || done.Finished != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	if got, err := b.ForApplication(t.Context(), deployer("deployer"), asked.Request.ID); err != nil || got.State != access.Active {
		t.Errorf("%s, %v", got.State, err)
	}
}

// What waits for a group that a template names is in the lists of its people, but for whom it is
// about.
func TestWhatWaitsForAGroupOfATemplateIsListed(t *testing.T) {
	_, _, b := withApplication(t)
	asked := mustAskFor(t, b, deploy())
	for p, want := range map[access.Principal]int{ben: 1, cho: 1, ana: 0, dan: 0} {
		listed, _, err := b.History(t.Context(), caller(p), broker.ViewReviews, access.Listing{})
		if err != nil || len(listed.Requests) != want || want > 0 && listed.Requests[0].ID != asked.Request.ID {
			t.Errorf("%s: %d, %v", p, len(listed.Requests), err)
		}
	}
}

// Whoever approves as one of a group sees all that waits for it under Reviews, however much was
// asked since.
func TestNothingHidesWhatWaitsForAGroup(t *testing.T) {
	w, _, b := withApplication(t)
	first := deploy()
	first.Key = "the one that matters"
	asked := mustAskFor(t, b, first)
	for i := range 60 {
		w.Clock = w.Clock.Add(time.Second)
		s := deploy()
		s.Key, s.Subject = fmt.Sprint("noise ", i), "dan@example.com"
		mustAskFor(t, b, s)
	}
	listed, _, err := b.History(t.Context(), caller(cho), broker.ViewReviews, access.Listing{})
	if err != nil || !slices.ContainsFunc(listed.Requests, func(r access.Request) bool { return r.ID == asked.Request.ID }) {
		t.Errorf("one of the group sees %d requests, and not the oldest: %v", len(listed.Requests), err)
	}
}
