package managed_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/seal"
)

// world is a registry over deeds in memory, and who administrates.
type world struct {
	t     *testing.T
	mu    sync.Mutex
	deeds []managed.Deed
	// before is called before each Append, as another instance that is quicker.
	before func()
	// failing is what reading deeds returns; reads are of what they were read, empty for all.
	failing error
	reads   []string
	// partly is what reading all, or of what is damaged, returns beside the others.
	partly  error
	admins  []access.Principal
	now     time.Time
	told    []string
	changed []access.ApplicationChange
	sealer  *seal.Sealer
	*managed.Registry
}

func newWorld(t *testing.T, admins ...access.Principal) *world {
	sealer, err := seal.New([][]byte{bytes.Repeat([]byte{7}, 32)}, managed.Purpose)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, admins: admins, now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), sealer: sealer}
	w.Registry = w.instance(sealer)
	return w
}

// instance is another instance of the service with the same ledger.
func (w *world) instance(sealer *seal.Sealer) *managed.Registry {
	return managed.New(managed.Config{Deeds: w, Authority: w, Sealer: sealer, Now: func() time.Time { return w.now }, Random: rand.Reader})
}

func (w *world) Deeds(_ context.Context, of string) ([]managed.Deed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads = append(w.reads, of)
	return slices.DeleteFunc(slices.Clone(w.deeds), func(d managed.Deed) bool { return of != "" && d.Of != of }), cmp.Or(w.failing, w.damage(of))
}

func (w *world) damage(of string) error {
	if damages := access.DamagesOf(w.partly); damages == nil || of != "" && of != damages[0].Of {
		return nil
	}
	return w.partly
}

func (w *world) Append(_ context.Context, d managed.Deed, notices ...access.Notice) error {
	if before := w.before; before != nil {
		w.before = nil
		before()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	number := 1
	for _, other := range w.deeds {
		if other.Of == d.Of {
			number++
		}
	}
	if d.Number != number {
		return &access.Error{Kind: access.Conflict, Code: access.CodeConflict}
	}
	w.deeds = append(w.deeds, d)
	return nil
}

func (w *world) Admin(_ context.Context, c access.Caller) error {
	if !slices.Contains(w.admins, c.Principal) {
		return &access.Error{Kind: access.NotAllowed, Code: access.CodeNotAdmin}
	}
	return nil
}

// SecondAdmin takes two addresses before the first @ for the same human.
func (w *world) SecondAdmin(ctx context.Context, c access.Caller, author access.Principal) error {
	human := func(p access.Principal) string { local, _, _ := strings.Cut(string(p), "@"); return local }
	if human(c.Principal) == human(author) {
		return &access.Error{Kind: access.NotAllowed, Code: access.CodeOwnRequest}
	}
	return w.Admin(ctx, c)
}

// ChangeApplication keeps what was done in words, and of what it would tell.
func (w *world) ChangeApplication(ctx context.Context, caller access.Caller, did access.Action, c access.ApplicationChange,
	keep func(context.Context, ...access.Notice) error) ([]*access.Error, error) {
	if c.By != caller.Principal {
		w.t.Errorf("a change of %s by %s", c.By, caller.Principal)
	}
	if err := keep(ctx); err != nil {
		return nil, err
	}
	w.told, w.changed = append(w.told, fmt.Sprintf("%s %s: %s: %s", c.By, c.Application, did, strings.Join(c.What, ", "))), append(w.changed, c)
	return nil, nil
}

func (w *world) SoleAdmin() bool { return len(w.admins) == 1 }

const (
	ana = access.Principal("ana@example.com")
	bob = access.Principal("bob@example.com")
	eve = access.Principal("eve@example.com")
)

func by(p access.Principal) access.Caller { return access.Caller{Principal: p} }

func deploy() application.Template {
	return application.Template{Key: "production-deploy", Name: "Production deploy", Title: "Deploy {version} to {cluster}",
		Data:   []application.Field{{Name: "version", Label: "Version", Pattern: regexp.MustCompile(`^v[0-9.]+$`)}, {Name: "cluster"}},
		Claims: []string{"ticket"}, Approvals: 1, Approvers: []string{"user:bob@example.com"}, MaxDuration: 2 * time.Hour,
		DefaultDuration: 30 * time.Minute, RequestLife: time.Hour, Metadata: map[string]string{"team": "shop"}, Active: true}
}

// made is a world with one application that bob has agreed to.
func made(t *testing.T, admins ...access.Principal) *world {
	w := newWorld(t, admins...)
	w.create()
	w.change(ana, func(c *managed.Change) { c.Templates = []application.Template{deploy()} })
	if v := w.show(); v.Waiting != nil {
		w.must(w.Agree(t.Context(), by(bob), "deployer", v.Waiting.Of))
	}
	w.told = nil
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) create() (key string) {
	w.t.Helper()
	c, err := w.Create(w.t.Context(), by(ana), "deployer", "https://deploy.example.com", []string{"deploy.example.com"})
	w.must(err)
	return c.Key
}

func (w *world) show() managed.View {
	w.t.Helper()
	v, err := w.Show(w.t.Context(), by(ana), "deployer")
	w.must(err)
	return v
}

func (w *world) changing(who access.Principal, edit func(*managed.Change)) (managed.Changed, error) {
	v := w.show()
	c := managed.Change{Number: v.Number, URI: v.URI, CallbackHosts: v.CallbackHosts, Active: v.Active, Templates: slices.Clone(v.Templates)}
	edit(&c)
	return w.Change(w.t.Context(), by(who), "deployer", c)
}

func (w *world) change(who access.Principal, edit func(*managed.Change)) managed.Changed {
	w.t.Helper()
	c, err := w.changing(who, edit)
	w.must(err)
	return c
}

func (w *world) current() application.Application {
	w.t.Helper()
	w.now = w.now.Add(time.Minute) // what was known is old by then
	all, err := w.Applications(w.t.Context())
	w.must(err)
	if len(all) != 1 {
		w.t.Fatalf("%d applications", len(all))
	}
	return all[0]
}

// keysOf are the keys that an application has.
func keysOf(t *testing.T, a application.Application) []application.Key {
	t.Helper()
	keys, err := a.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func kindOf(err error) access.Kind {
	if e := access.AsError(err); e != nil {
		return e.Kind
	}
	return -1
}

func TestAnApplicationIsWhatItsDeedsMakeIt(t *testing.T) {
	w := newWorld(t, ana, bob)
	key := w.create()
	if !w.change(ana, func(c *managed.Change) { c.Templates = []application.Template{deploy()} }).Waits {
		t.Error("a template does not wait for a second administrator")
	}
	if app := w.current(); len(app.Templates) != 0 {
		t.Error("it holds before anybody has agreed")
	}
	w.must(w.Agree(t.Context(), by(bob), "deployer", w.show().Waiting.Of))
	app := w.current()
	secret, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(keysOf(t, app)) != 1 || !bytes.Equal(keysOf(t, app)[0].Secret, secret) || len(secret) != 32 {
		t.Errorf("keys %v, of %q: %v", keysOf(t, app), key, err)
	}
	if got, want := fmt.Sprint(app.Templates), fmt.Sprint([]application.Template{deploy()}); got != want {
		t.Errorf("templates\n%s, want\n%s", got, want)
	}
	if app.URI != "https://deploy.example.com" || !app.Active || !slices.Equal(app.CallbackHosts, []string{"deploy.example.com"}) {
		t.Errorf("%+v", app)
	}
}

// A key is in what Create and Rotate return, and nowhere else: neither in deeds nor in what
// administrators see later.
func TestAKeyIsShownOnce(t *testing.T) {
	w := newWorld(t, ana, bob)
	first := w.create()
	second, err := w.Rotate(t.Context(), by(ana), "deployer", w.show().Number)
	w.must(err)
	w.must(w.Agree(t.Context(), by(bob), "deployer", w.show().Waiting.Of))
	if _, err := w.Create(t.Context(), by(ana), "deployer", "https://deploy.example.com", nil); kindOf(err) != access.Conflict {
		t.Errorf("the form that was sent again: %v", err)
	}
	if again, err := w.Rotate(t.Context(), by(ana), "deployer", 1); kindOf(err) != access.Conflict || again.Key != "" {
		t.Errorf("the form that was sent again: %v, %v", again, err)
	}
	shown := fmt.Sprintf("%+v %+v", w.show(), w.told)
	for _, d := range w.deeds {
		shown += string(d.Body)
	}
	for _, key := range []string{first, second.Key} {
		raw, _ := base64.StdEncoding.DecodeString(key)
		if len(raw) != 32 || strings.Contains(shown, key) || strings.Contains(shown, fmt.Sprint(raw)) || strings.Contains(shown, string(raw)) {
			t.Errorf("the key %q can be read: %s", key, shown)
		}
	}
	if first == second.Key {
		t.Error("both keys are the same")
	}
}

func TestNobodyAgreesToTheirOwnChange(t *testing.T) {
	w := newWorld(t, ana, bob, "ana@other.example")
	w.create()
	w.change(ana, func(c *managed.Change) { c.Templates = []application.Template{deploy()} })
	of := w.show().Waiting.Of
	for _, who := range []access.Principal{ana, "ana@other.example", eve} {
		if err := w.Agree(t.Context(), by(who), "deployer", of); kindOf(err) != access.NotAllowed {
			t.Errorf("%s: %v", who, err)
		}
	}
	if len(w.current().Templates) != 0 {
		t.Error("it holds")
	}
	// Nor does a deed count that says so, whoever has written it.
	body, _ := json.Marshal(map[string]any{"do": "agree", "of": of})
	w.must(w.Append(t.Context(), managed.Deed{Of: "deployer", Number: w.show().Number + 1, At: w.now, By: ana, Body: body}))
	w.now = w.now.Add(time.Minute)
	if all, err := w.Applications(t.Context()); err != nil || len(all) != 1 || all[0].Damaged == nil || len(all[0].Templates) > 0 {
		t.Errorf("a deed by its author makes %+v, %v", all, err)
	}
}

// What waits for a second administrator, and what only takes away and does not.
func TestWhatWaitsForASecondAdministrator(t *testing.T) {
	template := func(edit func(*application.Template)) func(*managed.Change) {
		return func(c *managed.Change) { edit(&c.Templates[0]) }
	}
	for name, test := range map[string]struct {
		edit  func(*managed.Change)
		waits bool
	}{
		"its type":        {template(func(t *application.Template) { t.Sign = true }), true},
		"approvers":       {template(func(t *application.Template) { t.Approvers = []string{"user:eve@example.com"} }), true},
		"fewer approvers": {template(func(t *application.Template) { t.Approvers = append(t.Approvers, "group:leads@example.com") }), true},
		"approvals": {template(func(t *application.Template) {
			t.Approvals, t.Approvers = 2, append(t.Approvers, "user:eve@example.com")
		}), true},
		"longer access":             {template(func(t *application.Template) { t.MaxDuration = 3 * time.Hour }), true},
		"a title":                   {template(func(t *application.Template) { t.Title = "Nothing to see" }), true},
		"a label":                   {template(func(t *application.Template) { t.Data = []application.Field{{Name: "version"}, {Name: "cluster"}} }), true},
		"fewer claims":              {template(func(t *application.Template) { t.Claims = nil }), true},
		"for whom nobody knows":     {template(func(t *application.Template) { t.ShowUnlinked = true }), true},
		"its key":                   {template(func(t *application.Template) { t.Key = "deploy" }), true},
		"metadata":                  {template(func(t *application.Template) { t.Metadata = nil }), true},
		"another template":          {func(c *managed.Change) { t := deploy(); t.Key = "other"; c.Templates = append(c.Templates, t) }, true},
		"hosts":                     {func(c *managed.Change) { c.CallbackHosts = append(c.CallbackHosts, "evil.example") }, true},
		"the URI":                   {func(c *managed.Change) { c.URI = "https://other.example.com" }, true},
		"a template is off":         {template(func(t *application.Template) { t.Active = false }), false},
		"it is off":                 {func(c *managed.Change) { c.Active = false }, false},
		"both are off":              {func(c *managed.Change) { c.Active, c.Templates[0].Active = false, false }, false},
		"it is off and more hosts":  {func(c *managed.Change) { c.Active, c.CallbackHosts = false, []string{"evil.example"} }, true},
		"a template off and others": {template(func(t *application.Template) { t.Active, t.Approvers = false, []string{"user:eve@example.com"} }), true},
	} {
		w := made(t, ana, bob)
		before := fmt.Sprint(w.current())
		if c := w.change(ana, test.edit); c.Waits != test.waits {
			t.Errorf("%s: waits %v", name, c.Waits)
		}
		if holds := fmt.Sprint(w.current()) != before; holds == test.waits {
			t.Errorf("%s: holds %v", name, holds)
		}
	}
}

func TestWhatIsSwitchedOnAgainWaits(t *testing.T) {
	w := made(t, ana, bob)
	w.change(ana, func(c *managed.Change) { c.Active, c.Templates[0].Active = false, false })
	for name, edit := range map[string]func(*managed.Change){"the application": func(c *managed.Change) { c.Active = true },
		"a template": func(c *managed.Change) { c.Templates[0].Active = true }} {
		if !w.change(ana, edit).Waits {
			t.Errorf("%s: it holds at once", name)
		}
		w.must(w.Drop(t.Context(), by(ana), "deployer", w.show().Waiting.Of))
	}
}

// Switching off is never kept waiting, and what was proposed before switches nothing on again.
func TestSwitchingOffDropsWhatWaits(t *testing.T) {
	w := made(t, ana, bob)
	w.change(ana, func(c *managed.Change) { c.CallbackHosts = nil })
	of := w.show().Waiting.Of
	if w.change(bob, func(c *managed.Change) { c.Active = false }).Waits || w.current().Active {
		t.Fatal("it is kept waiting")
	}
	if err := w.Agree(t.Context(), by(bob), "deployer", of); kindOf(err) != access.Conflict || w.current().Active {
		t.Errorf("what was proposed before holds: %v", err)
	}
}

// One thing waits at a time, so that whoever agrees has seen what then holds.
func TestOneChangeWaitsAtATime(t *testing.T) {
	w := made(t, ana, bob)
	w.change(ana, func(c *managed.Change) { c.CallbackHosts = nil })
	if _, err := w.changing(bob, func(c *managed.Change) { c.URI = "https://other.example.com" }); kindOf(err) != access.Conflict {
		t.Errorf("another: %v", err)
	}
	of := w.show().Waiting.Of
	for _, wrong := range []int{0, of - 1, of + 1} {
		if err := w.Agree(t.Context(), by(bob), "deployer", wrong); kindOf(err) != access.Conflict {
			t.Errorf("agreed to deed %d: %v", wrong, err)
		}
	}
	w.must(w.Drop(t.Context(), by(bob), "deployer", of))
	if err := w.Agree(t.Context(), by(bob), "deployer", of); kindOf(err) != access.Conflict {
		t.Errorf("agreed to what was dropped: %v", err)
	}
}

// Two administrators at the same time: the second finds another application than the one that
// they looked at.
func TestTwoAdministratorsAtTheSameTime(t *testing.T) {
	w := made(t, ana, bob)
	seen := w.show().Number
	w.before = func() { w.change(bob, func(c *managed.Change) { c.Templates[0].Active = false }) }
	if _, err := w.changing(ana, func(c *managed.Change) { c.Active = false }); kindOf(err) != access.Conflict {
		t.Errorf("both hold: %v", err)
	}
	if app := w.current(); !app.Active || app.Templates[0].Active {
		t.Errorf("%+v", app)
	}
	if _, err := w.Rotate(t.Context(), by(ana), "deployer", seen); kindOf(err) != access.Conflict {
		t.Errorf("what was shown before: %v", err)
	}
	other := w.instance(w.sealer)
	w.before = func() {
		_, err := other.Create(t.Context(), by(bob), "shop", "https://shop.example.com", nil)
		w.must(err)
	}
	if c, err := w.Create(t.Context(), by(ana), "shop", "https://shop2.example.com", nil); kindOf(err) != access.Conflict || c.Key != "" {
		t.Errorf("two of one name: %v", err)
	}
}

func TestWithOneAdministratorItHoldsAtOnce(t *testing.T) {
	w := made(t, ana)
	if w.change(ana, func(c *managed.Change) { c.Templates[0].Approvers = []string{"user:eve@example.com"} }).Waits {
		t.Error("it waits for nobody")
	}
	if app := w.current(); app.Templates[0].Approvers[0] != "user:eve@example.com" {
		t.Errorf("%+v", app)
	}
	w.change(ana, func(c *managed.Change) { c.Active = false })
	if want := []string{"ana@example.com deployer: application changed alone: template production-deploy",
		"ana@example.com deployer: application changed: active"}; !slices.Equal(w.told, want) {
		t.Errorf("told %q, want %q", w.told, want)
	}
}

func TestTwoKeysAtMost(t *testing.T) {
	w := made(t, ana)
	var keys []string
	for range 3 {
		c, err := w.Rotate(t.Context(), by(ana), "deployer", w.show().Number)
		w.must(err)
		keys = append(keys, c.Key)
	}
	live := keysOf(t, w.current())
	if len(live) != 2 || base64.StdEncoding.EncodeToString(live[0].Secret) != keys[2] || base64.StdEncoding.EncodeToString(live[1].Secret) != keys[1] {
		t.Errorf("%d keys are live, not the two newest", len(live))
	}
	if _, err := w.GiveUp(t.Context(), by(ana), "deployer", w.show().Number, "another"); kindOf(err) != access.NotFound {
		t.Errorf("a key that there is none of: %v", err)
	}
	_, err := w.GiveUp(t.Context(), by(ana), "deployer", w.show().Number, live[1].ID)
	w.must(err)
	if left := keysOf(t, w.current()); len(left) != 1 || left[0].ID != live[0].ID {
		t.Errorf("left are %v", left)
	}
}

// Here a change holds at once, and at other instances after some seconds.
func TestWhenAChangeHolds(t *testing.T) {
	w := made(t, ana)
	other := w.instance(w.sealer)
	for _, r := range []*managed.Registry{w.Registry, other} {
		if all, err := r.Applications(t.Context()); err != nil || !all[0].Active {
			t.Fatal(all, err)
		}
	}
	w.change(ana, func(c *managed.Change) { c.Active = false })
	if all, _ := w.Applications(t.Context()); all[0].Active {
		t.Error("where it was changed it does not hold at once")
	}
	w.now = w.now.Add(5 * time.Second)
	if all, _ := other.Applications(t.Context()); all[0].Active {
		t.Error("elsewhere it does not hold after five seconds")
	}
}

func TestNobodyElseManages(t *testing.T) {
	w := made(t, ana, bob)
	n := len(w.deeds)
	for what, do := range map[string]func() error{
		"list": func() error { _, err := w.List(t.Context(), by(eve)); return err },
		"show": func() error { _, err := w.Show(t.Context(), by(eve), "deployer"); return err },
		"create": func() error {
			_, err := w.Create(t.Context(), by(eve), "evil", "https://evil.example", nil)
			return err
		},
		"change": func() error { _, err := w.changing(eve, func(c *managed.Change) { c.Active = false }); return err },
		"rotate": func() error { _, err := w.Rotate(t.Context(), by(eve), "deployer", w.show().Number); return err },
		"give up": func() error {
			_, err := w.GiveUp(t.Context(), by(eve), "deployer", w.show().Number, w.show().Keys[0].ID)
			return err
		},
		"agree": func() error { return w.Agree(t.Context(), by(eve), "deployer", 2) },
		"drop":  func() error { return w.Drop(t.Context(), by(eve), "deployer", 2) },
	} {
		if err := do(); kindOf(err) != access.NotAllowed {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(w.deeds) != n {
		t.Error("something was recorded")
	}
}

// Sealed text serves for its application and the id of its key alone, and for SEAL_KEY.
func TestAKeyThatWasMovedIsNone(t *testing.T) {
	for name, edit := range map[string]func(body string) string{
		"the id of the key": func(body string) string {
			return regexp.MustCompile(`"id":"[^"]+"`).ReplaceAllString(body, `"id":"another"`)
		},
		"what is sealed": func(body string) string {
			return regexp.MustCompile(`"sealed":"....`).ReplaceAllString(body, `"sealed":"AAAA`)
		},
	} {
		w := made(t, ana)
		w.deeds = w.deeds[:1]
		w.deeds[0].Body = []byte(edit(string(w.deeds[0].Body)))
		if keys, err := w.current().Keys(t.Context()); err == nil || len(keys) > 0 {
			t.Errorf("%s is another, and it has the keys %v", name, keys)
		}
	}
	w := made(t, ana)
	w.deeds = w.deeds[:1]
	moved := w.deeds[0]
	moved.Of = "shop"
	w.deeds = []managed.Deed{moved}
	app := w.current()
	if keys, err := app.Keys(t.Context()); app.Name != "shop" || err == nil || len(keys) > 0 {
		t.Errorf("another application has the keys %v", keys)
	}
	w = made(t, ana)
	other, _ := seal.New([][]byte{bytes.Repeat([]byte{9}, 32)}, managed.Purpose)
	all, err := w.instance(other).Applications(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := all[0].Keys(t.Context()); err == nil || len(keys) > 0 {
		t.Errorf("with another SEAL_KEY: %v", keys)
	}
}

// That they are not known, or not as they were recorded, is an error and never "none".
func TestAnErrorIsNeverNone(t *testing.T) {
	w := made(t, ana)
	w.failing = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}
	w.now = w.now.Add(time.Minute)
	if all, err := w.Applications(t.Context()); kindOf(err) != access.Unavailable || all != nil {
		t.Errorf("%v, %v", all, err)
	}
	w.failing = nil
	for name, body := range map[string]string{
		"no JSON":           `{`,
		"something unknown": `{"do":"set","app":{"uri":"https://x.example"},"more":1}`,
		"an unknown deed":   `{"do":"delete"}`,
		"agreed to nothing": `{"do":"agree","of":1}`,
		"dropped nothing":   `{"do":"drop","of":1}`,
		"set to nothing":    `{"do":"set"}`,
		"a pattern that is none": `{"do":"set","app":{"uri":"https://x.example","templates":[{"key":"a","name":"a","title":"a","approvals":1,` +
			`"approvers":["user:a@example.com"],"max":3600000000000,"default":3600000000000,"request_life":3600000000000,"data":[{"name":"v","pattern":"("}]}]}}`,
		"nobody approves": `{"do":"set","app":{"uri":"https://x.example","templates":[{"key":"a","name":"a","title":"a","approvals":0,` +
			`"approvers":[],"max":3600000000000,"default":3600000000000,"request_life":3600000000000}]}}`,
	} {
		w := made(t, ana)
		w.deeds = append(w.deeds, managed.Deed{Of: "deployer", Number: len(w.deeds) + 1, By: ana, Body: []byte(body)})
		w.now = w.now.Add(time.Minute)
		all, err := w.Applications(t.Context())
		if err != nil || len(all) != 1 || all[0].Damaged == nil || all[0].Damaged.Kind != access.Unprocessable || all[0].Active {
			t.Errorf("%s: %v, %v", name, all, err)
		}
	}
}

func TestWhatCannotBeAnApplication(t *testing.T) {
	w := made(t, ana)
	for _, name := range []string{"", "Deployer", "a b", "../etc", "apps/x", "-a", "a-", strings.Repeat("a", 41), "ä"} {
		if _, err := w.Create(t.Context(), by(ana), name, "https://x.example.com", nil); kindOf(err) != access.Invalid {
			t.Errorf("name %q: %v", name, err)
		}
	}
	for _, uri := range []string{"", "https://deploy.example.com", "https://user@x.example", "a b", "https://x.example/\u202e"} {
		if _, err := w.Create(t.Context(), by(ana), "other", uri, nil); kindOf(err) != access.Invalid {
			t.Errorf("URI %q: %v", uri, err)
		}
	}
	for _, host := range []string{"", "https://x.example", "x.example/", "*.example", "X.example", "user@x.example", "x.example:", "x.example:0"} {
		if _, err := w.changing(ana, func(c *managed.Change) { c.CallbackHosts = []string{host} }); kindOf(err) != access.Invalid {
			t.Errorf("host %q: %v", host, err)
		}
	}
	for what, edit := range map[string]func(*application.Template){
		"no key":             func(t *application.Template) { t.Key = "" },
		"a key with a slash": func(t *application.Template) { t.Key = "a/b" },
		"no name":            func(t *application.Template) { t.Name = " " },
		"no title":           func(t *application.Template) { t.Title = "" },
		"a title of lines":   func(t *application.Template) { t.Title = "a\nb" },
		"a hidden title":     func(t *application.Template) { t.Title = "a\u202eb" },
		"a title of fields that there are none of": func(t *application.Template) { t.Title = "Deploy {what}" },
		"a field twice":            func(t *application.Template) { t.Data = append(t.Data, application.Field{Name: "version"}) },
		"a field without name":     func(t *application.Template) { t.Data = append(t.Data, application.Field{}) },
		"nobody":                   func(t *application.Template) { t.Approvers = nil },
		"an approver of no kind":   func(t *application.Template) { t.Approvers = []string{"bob@example.com"} },
		"everybody":                func(t *application.Template) { t.Approvers = []string{"domain:example.com"} },
		"no approvals":             func(t *application.Template) { t.Approvals = 0 },
		"fewer than none":          func(t *application.Template) { t.Approvals = -1 },
		"endless access":           func(t *application.Template) { t.MaxDuration = 366 * 24 * time.Hour },
		"no access":                func(t *application.Template) { t.MaxDuration = 0 },
		"a default that is longer": func(t *application.Template) { t.DefaultDuration = 3 * time.Hour },
		"an endless request":       func(t *application.Template) { t.RequestLife = 366 * 24 * time.Hour },
	} {
		if _, err := w.changing(ana, func(c *managed.Change) { edit(&c.Templates[0]) }); kindOf(err) != access.Invalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := w.Show(t.Context(), by(ana), "other"); kindOf(err) != access.NotFound {
		t.Errorf("an application that there is none of: %v", err)
	}
}

// What people are told of a change is what happened: by whom, when, what, and whether it still
// waits for somebody.
func TestWhatHappened(t *testing.T) {
	w := made(t, ana, bob)
	w.change(ana, func(c *managed.Change) { c.CallbackHosts = nil })
	proposed := w.changed[len(w.changed)-1]
	is := func(name string, c access.ApplicationChange, want access.Action, waits bool) {
		t.Helper()
		if did, still, err := w.Happened(t.Context(), c); did != want || still != waits || err != nil {
			t.Errorf("%s: %q, waits %v, %v", name, did, still, err)
		}
	}
	is("what waits", proposed, access.ApplicationProposed, true)
	for name, edit := range map[string]func(*access.ApplicationChange){
		"by another":          func(c *access.ApplicationChange) { c.By = bob },
		"at another time":     func(c *access.ApplicationChange) { c.At = c.At.Add(time.Second) },
		"something else":      func(c *access.ApplicationChange) { c.What = []string{"uri"} },
		"of another":          func(c *access.ApplicationChange) { c.Application = "other" },
		"of an earlier deed":  func(c *access.ApplicationChange) { c.Number-- },
		"of one that is none": func(c *access.ApplicationChange) { c.Number++ },
	} {
		c := proposed
		edit(&c)
		if did, _, err := w.Happened(t.Context(), c); did != "" || err != nil {
			t.Errorf("%s: %q, %v", name, did, err)
		}
	}
	w.must(w.Agree(t.Context(), by(bob), "deployer", proposed.Number))
	is("what was agreed to", proposed, access.ApplicationProposed, false)
	is("that it was agreed to", w.changed[len(w.changed)-1], "", false)
	w.change(ana, func(c *managed.Change) { c.Active = false })
	is("what only takes away", w.changed[len(w.changed)-1], "", false)
	w.admins = []access.Principal{ana}
	w.change(ana, func(c *managed.Change) { c.Active = true })
	is("what one did alone", w.changed[len(w.changed)-1], access.ApplicationAlone, false)
	w.deeds[1].Body = []byte("{")
	if _, _, err := w.Happened(t.Context(), proposed); kindOf(err) != access.Unprocessable {
		t.Error(err)
	}
}

// An application whose deeds are not what was recorded does nothing, says so by its name, and
// keeps no other from anything.
func TestOneDamagedApplicationStopsNoOther(t *testing.T) {
	w := made(t, ana, bob)
	if _, err := w.Create(t.Context(), by(ana), "shop", "https://shop.example.com", nil); err != nil {
		t.Fatal(err)
	}
	shop, err := w.Show(t.Context(), by(ana), "shop")
	if err != nil {
		t.Fatal(err)
	}
	why := &access.Error{Kind: access.Unprocessable, Code: access.CodeDeedsDamaged, Args: access.Args{"of": "deployer"}}
	damage := map[string]func(){
		"as the ledger finds it": func() {
			w.deeds = slices.DeleteFunc(w.deeds, func(d managed.Deed) bool { return d.Of == "deployer" })
			w.partly = access.Damages{{Of: "deployer", Err: why}}.Err()
		},
		"as no version has recorded it": func() {
			w.deeds = append(w.deeds, managed.Deed{Of: "deployer", Number: 99, Body: []byte("{}")})
		},
	}
	before := w.deeds
	for what, do := range damage {
		w.deeds, w.partly = slices.Clone(before), nil
		do()
		w.now = w.now.Add(time.Minute)
		all, err := w.Applications(t.Context())
		if err != nil || len(all) != 2 || all[0].Name != "deployer" || all[0].Damaged == nil || all[0].Active || len(all[0].Templates) > 0 ||
			all[1].Damaged != nil || !all[1].Active {
			t.Fatalf("%s: %+v, %v", what, all, err)
		}
		if keys, err := all[0].Keys(t.Context()); kindOf(err) != access.Unprocessable || keys != nil {
			t.Errorf("%s: %v, %v", what, keys, err)
		}
		views, err := w.List(t.Context(), by(ana))
		if err != nil || len(views) != 2 || views[0].Damaged == nil || views[0].Damaged.Args["of"] != "deployer" || views[1].Damaged != nil {
			t.Errorf("%s: %+v, %v", what, views, err)
		}
		if _, err := w.Show(t.Context(), by(ana), "deployer"); kindOf(err) != access.Unprocessable {
			t.Errorf("%s: it is shown: %v", what, err)
		}
		for did, do := range map[string]func() error{
			"changed": func() error { _, err := w.Change(t.Context(), by(ana), "deployer", managed.Change{}); return err },
			"rotated": func() error { _, err := w.Rotate(t.Context(), by(ana), "deployer", 1); return err },
			"agreed":  func() error { return w.Agree(t.Context(), by(bob), "deployer", 2) },
			"dropped": func() error { return w.Drop(t.Context(), by(bob), "deployer", 2) },
			// Nobody knows whether its URI is free.
			"another made": func() error {
				_, err := w.Create(t.Context(), by(ana), "third", "https://third.example.com", nil)
				return err
			},
		} {
			if err := do(); kindOf(err) != access.Unprocessable || access.AsError(err).Args["of"] != "deployer" {
				t.Errorf("%s: %s: %v", what, did, err)
			}
		}
		n := len(w.deeds)
		if _, err := w.Rotate(t.Context(), by(ana), "shop", shop.Number); err != nil || len(w.deeds) != n+1 {
			t.Errorf("%s: the other one cannot be changed: %v", what, err)
		}
		keys, err := managed.Examine(t.Context(), w, w.sealer)
		if damages := access.DamagesOf(err); len(damages) != 1 || damages[0].Of != "deployer" || len(keys) == 0 {
			t.Errorf("%s: %v, %v", what, keys, err)
		}
	}
}

// What is asked of one application is read of it alone.
func TestOfOneApplicationItsOwnDeedsAreRead(t *testing.T) {
	w := made(t, ana, bob)
	w.reads = nil
	if _, err := w.Show(t.Context(), by(ana), "deployer"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Happened(t.Context(), access.ApplicationChange{Application: "deployer"}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(w.reads, []string{"deployer", "deployer"}) {
		t.Errorf("%q", w.reads)
	}
}
