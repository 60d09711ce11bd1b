package server

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/broker"
	"jitaccess/internal/words"
)

// Apps are the applications that the pages at /apps are of.
type Apps struct {
	// Registry knows all; Managed those that are managed by page, and is nil where none can be.
	Registry application.Registry
	Managed  *managed.Registry
	// AsCode is whether the policy file has them, so that pages only show them. Unsealed:
	// they cannot be managed for want of SEAL_KEY.
	AsCode   func() bool
	Unsealed bool
	// Ask makes a request of an application, as *broker.Broker does.
	Ask func(context.Context, access.Caller, broker.AskFor) (broker.Asked, error)
	// Origin is where programs find the service; empty for where people do.
	Origin string
	// AtGitHub is whether GitHub asks for an application, which has no key then; nil is none.
	AtGitHub func(name string) bool
}

// appsView is the page of all applications.
type appsView struct {
	Frame
	Apps []appRow
	// Managed: they are managed here. Else AsCode or Unsealed says why not, or neither.
	Managed, AsCode, Unsealed bool
	Name, URI, Hosts          string
}

// appRow is an application among others.
type appRow struct {
	Name, URI string
	Templates int
	Active    bool
	// Waits: a change waits for a second administrator. Broken: its key cannot be used.
	Waits, Broken bool
	// Damaged says that nothing is done with it, and nothing else is known of it; empty otherwise.
	Damaged string
}

// appView is the page of one application.
type appView struct {
	Frame
	managed.View
	Managed bool
	Broken  bool
	// Key is a new key, which is shown once. Saved says what was done, and Held whether it waits.
	Key   string
	Saved bool
	Held  bool
	// Warnings are who could not be told of it.
	Warnings []string
	// Own: what waits is by the viewer, so that others have to agree.
	Own       bool
	WaitingAt *Moment
	What      []difference
	Templates []templateRow
	Live      []keyRow
	History   []doneRow
	// Confirm is what is asked once more, as the form says it; empty otherwise.
	Confirm string
	// GitHub is where GitHub sends what it asks; empty where it does not.
	GitHub string
	// Code is how the application asks.
	Code []appCode
	// Trial is the id of the form of a trial request; Tried is what was sent by it and refused,
	// nil for nothing.
	Trial string
	Tried *broker.AskFor
}

// TriedValue is what was sent of a field of a template by a trial request that was refused.
func (v *appView) TriedValue(template, field string) string {
	if v.Tried == nil || v.Tried.Template != template {
		return ""
	}
	return v.Tried.Data[field]
}

// TriedBy is whether a template is the one of a trial request that was refused.
func (v *appView) TriedBy(template string) bool {
	return v.Tried != nil && v.Tried.Template == template
}

type templateRow struct {
	application.Template
	About string
}

type keyRow struct {
	ID   string
	Made *Moment
}

type doneRow struct {
	At       *Moment
	By, What string
	// Of is of what it was a change, in words.
	Of string
}

// changeOf is of what something is a change (access.ApplicationChange.What), in words.
func changeOf(l *words.Language, what string) string {
	kind, key, _ := strings.Cut(what, " ")
	return l.Text("apps.change."+kind, "key", key)
}

// templateView is the form of a template.
type templateView struct {
	Frame
	App    string
	Number int
	// New: there is none of that key yet.
	New bool
	// T is what is in the form.
	T templateForm
	// Sole: the viewer is the only administrator, so that it holds at once.
	Sole bool
}

// templateForm is a template as a form has it.
type templateForm struct {
	Key, Name, Title, Data, Claims, Approvals, Approvers, Max, Default, Life, Metadata string
	Sign, Unlinked, Active                                                             bool
}

// appName reads {app} of an address.
func appName(r *http.Request) (string, error) {
	name := chi.URLParam(r, "app")
	if application.CheckName(name) != nil {
		return "", &access.Error{Kind: access.NotFound, Code: access.CodeNotFound}
	}
	return name, nil
}

// managing is whether applications are managed here.
func (s *server) managing() bool { return s.Apps.Managed != nil && !s.Apps.AsCode() }

func (s *server) atGitHub(name string) bool { return s.Apps.AtGitHub != nil && s.Apps.AtGitHub(name) }

// mayManage is nil where the caller may change applications here.
func (s *server) mayManage(r *http.Request) error {
	if err := s.Broker.Admin(r.Context(), callerOf(r)); err != nil {
		return err
	}
	if !s.managing() {
		return badInput("applications are not managed here: the page of all applications says why", nil)
	}
	return nil
}

// appViews are all applications as administrators see them, whoever manages them.
func (s *server) appViews(r *http.Request) ([]managed.View, error) {
	caller := callerOf(r)
	if err := s.Broker.Admin(r.Context(), caller); err != nil {
		return nil, err
	}
	if s.managing() {
		return s.Apps.Managed.List(r.Context(), caller)
	}
	all, err := s.Apps.Registry.Applications(r.Context())
	ctx, cancel := context.WithTimeout(r.Context(), keysTime)
	defer cancel()
	return access.Each(all, func(a application.Application) managed.View {
		v := managed.View{Application: a}
		keys, _ := a.Keys(ctx) // see brokenApps
		for _, k := range keys {
			v.Keys = append(v.Keys, managed.KeyView{ID: k.ID})
		}
		v.Application.Keys = nil
		return v
	}), err
}

// keysTime bounds how long a page waits for what is kept elsewhere of all applications.
const keysTime = 2 * time.Second

// brokenApps are the names of those whose keys cannot be used.
func (s *server) brokenApps(r *http.Request) map[string]bool {
	broken := map[string]bool{}
	all, _ := s.Apps.Registry.Applications(r.Context()) // what is wrong with all of them was told by then
	ctx, cancel := context.WithTimeout(r.Context(), keysTime)
	defer cancel()
	for _, a := range all {
		_, err := a.Keys(ctx)
		broken[a.Name] = err != nil
	}
	return broken
}

func (s *server) apps(r *http.Request) (page, error) {
	v, err := s.appsView(r)
	return page{template: "apps", status: http.StatusOK, data: v}, err
}

func (s *server) appsView(r *http.Request) (*appsView, error) {
	all, err := s.appViews(r)
	if err != nil {
		return nil, err
	}
	v := &appsView{Frame: s.frame(r, "apps.title"), Managed: s.managing(), AsCode: s.Apps.AsCode(), Unsealed: s.Apps.Unsealed}
	broken := s.brokenApps(r)
	for _, a := range all {
		row := appRow{Name: a.Name, URI: a.URI, Templates: len(a.Templates), Active: a.Active, Waits: a.Waiting != nil, Broken: broken[a.Name]}
		if a.Damaged != nil {
			p, _ := s.problem(r, a.Damaged)
			row.Active, row.Broken, row.Damaged = true, false, s.withIncident(r, p)
		}
		v.Apps = append(v.Apps, row)
	}
	return v, nil
}

// createApp makes an application, and shows its key.
func (s *server) createApp(r *http.Request) (page, error) {
	if err := s.mayManage(r); err != nil {
		return page{}, err
	}
	f, err := appForm(r, "name", "uri", "hosts")
	if err != nil {
		return page{}, err
	}
	name, uri := strings.TrimSpace(f.Get("name")), strings.TrimSpace(f.Get("uri"))
	made, err := s.Apps.Managed.Create(r.Context(), callerOf(r), name, uri, textLines(f.Get("hosts")))
	if err != nil {
		v, failed := s.appsView(r)
		if failed != nil {
			return page{}, err
		}
		v.Name, v.URI, v.Hosts = name, uri, f.Get("hosts")
		status := s.blame(r, &v.Frame, err)
		return page{template: "apps", status: status, data: v}, nil
	}
	return s.appPage(r, name, func(v *appView) { v.Key, v.Warnings = made.Key, s.viewWarnings(r, made.Warnings) })
}

func (s *server) app(r *http.Request, name string) (page, error) {
	return s.appPage(r, name, func(*appView) {})
}

// appPage shows an application. What is done is added by with.
func (s *server) appPage(r *http.Request, name string, with func(*appView)) (page, error) {
	all, err := s.appViews(r)
	if err != nil {
		return page{}, err
	}
	at := slices.IndexFunc(all, func(a managed.View) bool { return a.Name == name })
	if at < 0 {
		return page{}, &access.Error{Kind: access.NotFound, Code: access.CodeNotFound}
	}
	a := all[at]
	if a.Damaged != nil {
		return page{}, a.Damaged
	}
	l := s.languageOf(r)
	v := &appView{Frame: s.frame(r, "apps.one", "name", name), View: a, Managed: s.managing(), Broken: s.brokenApps(r)[name]}
	if a.Waiting != nil {
		v.Own, v.WaitingAt = a.Waiting.By == callerOf(r).Principal, s.moment(r, a.Waiting.At)
		v.What = differences(l, a)
	}
	for _, t := range a.Templates {
		v.Templates = append(v.Templates, templateRow{Template: t, About: s.templateAbout(r, t)})
	}
	for _, k := range a.Keys {
		v.Live = append(v.Live, keyRow{k.ID, s.moment(r, k.Made)})
	}
	for _, d := range a.Done[:min(len(a.Done), 50)] {
		v.History = append(v.History, doneRow{s.moment(r, d.At), cmp.Or(string(d.By), l.Text("apps.did.service")), l.Text("apps.did." + d.What),
			l.Series(access.Each(d.Of, func(what string) string { return changeOf(l, what) }))})
	}
	origin := cmp.Or(s.Apps.Origin, s.origin(r), "https://"+r.Host)
	if s.atGitHub(name) {
		v.GitHub = origin + "/v1/github/" + name
	}
	v.Code = howToCall(l, a.Application, origin, callerOf(r).Principal)
	var id [12]byte
	if _, err := io.ReadFull(s.Random, id[:]); err != nil {
		return page{}, err
	}
	v.Trial = hex.EncodeToString(id[:])
	with(v)
	return page{template: "app", status: http.StatusOK, data: v}, nil
}

// refusedOn shows an application with why something was refused, and what was typed.
func (s *server) refusedOn(r *http.Request, name string, why error, with func(*appView)) (page, error) {
	shown, err := s.appPage(r, name, with)
	if err != nil {
		return page{}, why
	}
	shown.status = s.blame(r, &shown.data.(*appView).Frame, why)
	return shown, nil
}

// templateAbout says in one line what a template demands.
func (s *server) templateAbout(r *http.Request, t application.Template) string {
	l := s.languageOf(r)
	about := l.Text("apps.template.about", "title", t.Title, "count", t.Approvals, "approvers", l.Series(t.Approvers), "longest",
		l.Hours(t.MaxDuration))
	if t.Sign {
		about += " " + l.Text("apps.template.signed")
	}
	if t.ShowUnlinked {
		about += " " + l.Text("apps.template.unlinked")
	}
	return about
}

// appForm reads a form of these pages, which has each of some fields once at most, and no other;
// a field that ends with a dot is all that begin so.
func appForm(r *http.Request, fields ...string) (url.Values, error) {
	f, err := form(r)
	for name, values := range f {
		known := slices.ContainsFunc(fields, func(field string) bool {
			return name == field || strings.HasSuffix(field, ".") && strings.HasPrefix(name, field)
		})
		if err == nil && (len(values) > 1 || !known) {
			err = badInput(printable(name)+" is no field of this form, or is there twice", nil)
		}
	}
	return f, err
}

// numbered reads a form of these pages, and which deed its viewer has seen last.
func numbered(r *http.Request, fields ...string) (url.Values, int, error) {
	f, err := appForm(r, append(fields, "number")...)
	if err != nil {
		return nil, 0, err
	}
	number, err := strconv.Atoi(f.Get("number"))
	if err != nil {
		return nil, 0, badInput("number is no number", err)
	}
	return f, number, nil
}

// trialData begins the fields of a trial request that are its data.
const trialData = "data."

// changeApp does what an administrator chose on the page of an application.
func (s *server) changeApp(r *http.Request, name string) (page, error) {
	if err := s.mayManage(r); err != nil {
		return page{}, err
	}
	f, number, err := numbered(r, "do", "key", "uri", "hosts", "confirmed")
	if err != nil {
		return page{}, err
	}
	if do := f.Get("do"); (do == "agree" || do == "drop") && f.Get("confirmed") == "" {
		return s.confirmApp(r, name, do, number)
	}
	ctx, caller, m := r.Context(), callerOf(r), s.Apps.Managed
	var did managed.Changed
	switch do := f.Get("do"); do {
	case "agree":
		err = m.Agree(ctx, caller, name, number)
	case "drop":
		err = m.Drop(ctx, caller, name, number)
	case "rotate":
		did, err = m.Rotate(ctx, caller, name, number)
	case "give-up":
		did, err = m.GiveUp(ctx, caller, name, number, f.Get("key"))
	case "settings", "on", "off", "template-on", "template-off":
		did, err = s.editApp(r, name, number, f)
	default:
		err = badInput("there is nothing of that name to do", nil)
	}
	if err != nil && f.Get("do") == "settings" {
		return s.refusedOn(r, name, err, func(v *appView) { v.URI, v.CallbackHosts = f.Get("uri"), textLines(f.Get("hosts")) })
	}
	if err != nil {
		return page{}, err
	}
	return s.appPage(r, name, func(v *appView) {
		v.Key, v.Saved, v.Held, v.Warnings = did.Key, true, did.Waits, s.viewWarnings(r, did.Warnings)
	})
}

// confirmApp asks once more what nobody has confirmed, by the page's script or in a second step,
// as an approval is (decide).
func (s *server) confirmApp(r *http.Request, name, do string, number int) (page, error) {
	shown, err := s.appPage(r, name, func(v *appView) { v.Confirm = do })
	if err != nil {
		return page{}, err
	}
	switch v := shown.data.(*appView); {
	case v.Waiting == nil || v.Waiting.Of != number:
		return page{}, &access.Error{Kind: access.Conflict, Code: access.CodeChangedMeanwhile, Args: access.Args{"of": name}}
	case do == "agree":
		return shown, s.Broker.SecondAdmin(r.Context(), callerOf(r), v.Waiting.By)
	}
	return shown, nil
}

// editApp changes what is not a key.
func (s *server) editApp(r *http.Request, name string, number int, f url.Values) (managed.Changed, error) {
	v, err := s.Apps.Managed.Show(r.Context(), callerOf(r), name)
	if err != nil {
		return managed.Changed{}, err
	}
	c := managed.Change{Number: number, URI: v.URI, CallbackHosts: v.CallbackHosts, Active: v.Active, Templates: slices.Clone(v.Templates)}
	switch do := f.Get("do"); do {
	case "settings":
		c.URI, c.CallbackHosts = strings.TrimSpace(f.Get("uri")), textLines(f.Get("hosts"))
	case "on", "off":
		c.Active = do == "on"
	default:
		at := slices.IndexFunc(c.Templates, func(t application.Template) bool { return t.Key == f.Get("key") })
		if at < 0 {
			return managed.Changed{}, &access.Error{Kind: access.NotFound, Code: access.CodeNotFound}
		}
		c.Templates[at].Active = do == "template-on"
	}
	return s.Apps.Managed.Change(r.Context(), callerOf(r), name, c)
}

// appTemplate is the form of a template of an application, or of a new one.
func (s *server) appTemplate(r *http.Request, name string) (page, error) {
	if err := s.mayManage(r); err != nil {
		return page{}, err
	}
	q, err := query(r)
	if err != nil {
		return page{}, err
	}
	a, err := s.Apps.Managed.Show(r.Context(), callerOf(r), name)
	if err != nil {
		return page{}, err
	}
	v := &templateView{Frame: s.frame(r, "apps.template.new"), App: name, Number: a.Number, New: true, Sole: s.Apps.Managed.Sole(),
		T: templateForm{Approvals: "1", Max: "60", Default: "30", Life: "60", Active: true}}
	if key := q.Get("key"); key != "" {
		at := slices.IndexFunc(a.Templates, func(t application.Template) bool { return t.Key == key })
		if at < 0 {
			return page{}, &access.Error{Kind: access.NotFound, Code: access.CodeNotFound}
		}
		v.New, v.T, v.Frame = false, formOf(a.Templates[at]), s.frame(r, "apps.template.one", "key", key)
	}
	return page{template: "app-template", status: http.StatusOK, data: v}, nil
}

// Types of templates, as forms and policy files have them.
const (
	typeApprove = "approve"
	typeSign    = "sign_and_approve"
)

// saveTemplate makes a template, or changes one.
func (s *server) saveTemplate(r *http.Request, name string) (page, error) {
	if err := s.mayManage(r); err != nil {
		return page{}, err
	}
	f, number, err := numbered(r, "new", "key", "name", "title", "type", "data", "claims", "approvals", "approvers", "max", "default", "life",
		"metadata", "unlinked", "active")
	if err != nil {
		return page{}, err
	}
	if !slices.Contains([]string{typeApprove, typeSign}, f.Get("type")) || slices.ContainsFunc([]string{"new", "unlinked", "active"},
		func(box string) bool { return f.Has(box) && f.Get(box) != "1" }) {
		return page{}, badInput("type, new, unlinked or active is none of what it can be", nil)
	}
	typed := templateForm{Key: strings.TrimSpace(f.Get("key")), Name: strings.TrimSpace(f.Get("name")),
		Title: strings.TrimSpace(f.Get("title")),
		Data:  f.Get("data"), Claims: f.Get("claims"), Approvals: f.Get("approvals"), Approvers: f.Get("approvers"), Max: f.Get("max"),
		Default: f.Get("default"), Life: f.Get("life"), Metadata: f.Get("metadata"), Sign: f.Get("type") == typeSign,
		Unlinked: f.Get("unlinked") == "1", Active: f.Get("active") == "1"}
	created := f.Get("new") == "1"
	did, err := s.putTemplate(r, name, number, typed, created)
	if err != nil {
		v := &templateView{Frame: s.frame(r, "apps.template.one", "key", typed.Key), App: name, Number: number, New: created, T: typed,
			Sole: s.Apps.Managed.Sole()}
		if created {
			v.Frame = s.frame(r, "apps.template.new")
		}
		status := s.blame(r, &v.Frame, err)
		return page{template: "app-template", status: status, data: v}, nil
	}
	return s.appPage(r, name, func(v *appView) { v.Saved, v.Held, v.Warnings = true, did.Waits, s.viewWarnings(r, did.Warnings) })
}

func (s *server) putTemplate(r *http.Request, name string, number int, typed templateForm, created bool) (managed.Changed, error) {
	t, err := typed.template()
	if err != nil {
		return managed.Changed{}, err
	}
	a, err := s.Apps.Managed.Show(r.Context(), callerOf(r), name)
	if err != nil {
		return managed.Changed{}, err
	}
	c := managed.Change{Number: number, URI: a.URI, CallbackHosts: a.CallbackHosts, Active: a.Active, Templates: slices.Clone(a.Templates)}
	at := slices.IndexFunc(c.Templates, func(old application.Template) bool { return old.Key == t.Key })
	switch {
	case created && at >= 0:
		return managed.Changed{}, badInput("there is a template with this key", nil)
	case created:
		c.Templates = append(c.Templates, t)
	case at < 0:
		return managed.Changed{}, &access.Error{Kind: access.NotFound, Code: access.CodeNotFound}
	default:
		c.Templates[at] = t
	}
	return s.Apps.Managed.Change(r.Context(), callerOf(r), name, c)
}

func formOf(t application.Template) templateForm {
	minutes := func(d time.Duration) string { return strconv.Itoa(int(d / time.Minute)) }
	f := templateForm{Key: t.Key, Name: t.Name, Title: t.Title, Claims: strings.Join(t.Claims, "\n"), Approvals: strconv.Itoa(t.Approvals),
		Approvers: strings.Join(t.Approvers,
			"\n"), Max: minutes(t.MaxDuration), Default: minutes(t.DefaultDuration), Life: minutes(t.RequestLife),
		Sign: t.Sign, Unlinked: t.ShowUnlinked, Active: t.Active}
	for _, d := range t.Data {
		line := []string{d.Name}
		if d.Label != "" || d.Pattern != nil {
			line = append(line, d.Label)
		}
		if d.Pattern != nil {
			line = append(line, d.Pattern.String())
		}
		f.Data += strings.Join(line, " | ") + "\n"
	}
	for _, name := range slices.Sorted(maps.Keys(t.Metadata)) {
		f.Metadata += name + " = " + t.Metadata[name] + "\n"
	}
	return f
}

// template reads the form. What it may be is for application.Application to say.
func (f templateForm) template() (application.Template, error) {
	t := application.Template{Key: f.Key, Name: f.Name, Title: f.Title, Sign: f.Sign, Claims: textLines(f.Claims),
		Approvers:    textLines(f.Approvers),
		ShowUnlinked: f.Unlinked, Active: f.Active}
	t.Approvals, _ = strconv.Atoi(strings.TrimSpace(f.Approvals)) // 0 is none that may be
	t.MaxDuration, t.DefaultDuration, t.RequestLife = minutes([]string{f.Max}), minutes([]string{f.Default}), minutes([]string{f.Life})
	for _, line := range textLines(f.Data) {
		parts := strings.SplitN(line, "|", 3)
		d := application.Field{Name: strings.TrimSpace(parts[0])}
		if len(parts) > 1 {
			d.Label = strings.TrimSpace(parts[1])
		}
		if len(parts) > 2 {
			pattern, err := regexp.Compile(strings.TrimSpace(parts[2]))
			if err != nil || len(parts[2]) > 500 {
				return t, badInput(fmt.Sprintf("the pattern of %s is no regular expression", printable(d.Name)), err)
			}
			d.Pattern = pattern
		}
		t.Data = append(t.Data, d)
	}
	for _, line := range textLines(f.Metadata) {
		name, value, found := strings.Cut(line, "=")
		if !found {
			return t, badInput("metadata is written as NAME = VALUE, one a line", nil)
		}
		if t.Metadata == nil {
			t.Metadata = map[string]string{}
		}
		t.Metadata[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return t, nil
}

// tryApp makes a trial request of an application, for the administrator who sends it.
func (s *server) tryApp(r *http.Request, name string) (page, error) {
	caller := callerOf(r)
	if err := s.Broker.Admin(r.Context(), caller); err != nil {
		return page{}, err
	}
	f, err := appForm(r, "id", "template", trialData)
	if err != nil {
		return page{}, err
	}
	if s.atGitHub(name) {
		return page{}, badInput("GitHub asks for this application, and nobody else", nil)
	}
	if !s.tests.allow(caller.Principal, s.Now()) {
		return page{}, &access.Error{Kind: access.TooMany, Code: access.CodeTooFast}
	}
	id := f.Get("id")
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 12 {
		return page{}, badInput("id is none of ours", err)
	}
	ask := broker.AskFor{Key: "trial " + id, Origin: s.origin(r), Host: r.Host, Sent: access.Sent{
		Application: name, Template: f.Get("template"), Subject: string(caller.Principal), Data: map[string]string{},
		Reason: s.languageOf(r).Text("apps.trial.reason", "who", caller.Principal)}}
	for field := range f {
		if data, ok := strings.CutPrefix(field, trialData); ok {
			ask.Data[data] = f.Get(field)
		}
	}
	caller.Method, caller.Application = access.MethodApplication, name // who tries it is recorded with it
	asked, err := s.Apps.Ask(r.Context(), caller, ask)
	if err != nil {
		return s.refusedOn(r, name, err, func(v *appView) { v.Tried, v.Trial = &ask, id })
	}
	return redirect(requestPath(asked.Request.ID)), nil
}

// textLines are those of a text of several, without what is empty; commas part them too where there
// is one line.
func textLines(text string) []string {
	var all []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r", ""), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}
