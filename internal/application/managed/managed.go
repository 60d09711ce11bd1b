// Package managed keeps the applications that administrators manage by page. An application is
// what its deeds make it, and nothing else is kept of it. A change that lets more happen than
// before waits for a second administrator, who is never its author.
package managed

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/lookup"
	"jitaccess/internal/seal"
)

// Deeds keeps deeds, signed. Errors are *access.Error.
type Deeds interface {
	// Deeds returns those of an application in their order, or those of all where of is empty.
	// That they are not known, or not as they were recorded, is an error and never a shorter
	// answer; where that is so of some of all, it names them (access.DamagesOf), and those of the
	// others come with it.
	Deeds(ctx context.Context, of string) ([]Deed, error)
	// Append adds a deed, and with it what people are told of it. The error is of kind Conflict
	// where its Number is not the next one.
	Append(ctx context.Context, d Deed, notices ...access.Notice) error
}

// Authority says who manages applications.
type Authority interface {
	// Admin is nil for an administrator, as broker.Broker has it.
	Admin(ctx context.Context, caller access.Caller) error
	// SecondAdmin is nil for an administrator who is another human than the author of a change.
	SecondAdmin(ctx context.Context, caller access.Caller, author access.Principal) error
	// SoleAdmin is whether there is one administrator alone, so that nobody could agree.
	SoleAdmin() bool
	// ChangeApplication records a change, has it kept, and tells people, as broker.Broker does;
	// who could not be told is a warning.
	ChangeApplication(ctx context.Context, caller access.Caller, did access.Action, c access.ApplicationChange,
		keep func(context.Context, ...access.Notice) error) ([]*access.Error, error)
}

// Config is what a Registry is made of. All of it is required.
type Config struct {
	Deeds     Deeds
	Authority Authority
	// Sealer is for Purpose.
	Sealer *seal.Sealer
	Now    func() time.Time
	Random io.Reader
}

// Purpose is what keys of applications are sealed for.
const Purpose = "jitaccess application key 1"

// freshTime is how long an answer of Applications is good: so long may another instance use what
// was changed here.
const freshTime = 3 * time.Second

// readTime bounds reading them.
const readTime = 5 * time.Second

// Registry implements application.Registry. Make one with New; it may be used concurrently.
type Registry struct {
	c     Config
	known *lookup.Cache[snapshot]
	// changed is when something was changed here last, in nanoseconds.
	changed atomic.Int64
}

// snapshot is what one reading of all deeds makes, which nobody changes.
type snapshot struct {
	states map[string]*state
	apps   []application.Application
}

// New makes a Registry.
func New(c Config) *Registry {
	r := &Registry{c: c}
	r.known = lookup.New(c.Now, 1, readTime, func(ctx context.Context, _ string) (snapshot, error) { return r.snapshot(ctx) })
	return r
}

// readAll is what the deeds of all applications make. One of which they are damaged is there,
// and says so.
func readAll(ctx context.Context, deeds Deeds) (map[string]*state, error) {
	kept, err := deeds.Deeds(ctx, "")
	damages := access.DamagesOf(err)
	if err != nil && damages == nil {
		return nil, err
	}
	all := fold(kept)
	for _, d := range damages {
		all[d.Of] = &state{name: d.Of, damage: d.Err}
	}
	return all, nil
}

// readOne is what the deeds of an application make; nil where there are none.
func (r *Registry) readOne(ctx context.Context, name string) (*state, error) {
	kept, err := r.c.Deeds.Deeds(ctx, name)
	if err != nil {
		return nil, err
	}
	s := fold(kept)[name]
	if s != nil && s.damage != nil {
		return nil, s.damage
	}
	return s, nil
}

// snapshot opens keys and compiles patterns, once for each reading.
func (r *Registry) snapshot(ctx context.Context) (snapshot, error) {
	all, err := readAll(ctx, r.c.Deeds)
	s := snapshot{states: all}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s.apps = append(s.apps, all[name].application(r.c.Sealer))
	}
	return s, err
}

// Applications implements application.Registry. What was changed by another instance is seen
// after some seconds.
func (r *Registry) Applications(ctx context.Context) ([]application.Application, error) {
	after := time.Unix(0, max(r.changed.Load(), r.c.Now().Add(-freshTime).UnixNano()))
	known, err := r.known.Get(ctx, "", after)
	return slices.Clone(known.apps), err
}

// application is one as it is now. That its keys cannot be opened is an error of theirs; all else
// that cannot be read damages it.
func (s *state) application(sealer *seal.Sealer) application.Application {
	app, err := s.app.application(s.name)
	if err != nil && s.damage == nil {
		s.damage = damaged(s.name, err)
	}
	if s.damage != nil {
		return application.Damaged(s.name, s.damage)
	}
	name, kept := s.name, s.app.Keys
	app.Keys = func(context.Context) (keys []application.Key, err error) {
		for _, k := range kept {
			secret, _, err := sealer.Open(k.Sealed, keyContext(name, k.ID))
			if err != nil {
				return nil, fmt.Errorf("key %s of %s: %w; is SEAL_KEY another one?", k.ID, name, err)
			}
			keys = append(keys, application.Key{ID: k.ID, Secret: secret})
		}
		return keys, nil
	}
	return app
}

// application is one without its keys.
func (d definition) application(name string) (application.Application, error) {
	app := application.Application{Name: name, URI: d.URI, CallbackHosts: d.CallbackHosts, Active: d.Active}
	for _, f := range d.Templates {
		t, err := f.template()
		if err != nil {
			return app, err
		}
		app.Templates = append(app.Templates, t)
	}
	for _, fault := range app.Faults() {
		return app, errors.New(fault.Text)
	}
	return app, nil
}

// keyContext binds a key to its application and id, neither of which has a NUL.
func keyContext(name, id string) string { return name + "\x00" + id }

// maxKeys is how many keys an application has at most: two while one replaces the other.
const maxKeys = 2

// Sole is whether there is one administrator alone, so that changes hold at once.
func (r *Registry) Sole() bool { return r.c.Authority.SoleAdmin() }

// View is an application as administrators see it. No key is in it.
type View struct {
	application.Application
	// Number is that of its last deed, which a change names (Number of Change).
	Number int
	Keys   []KeyView
	// Waiting is the change that waits for a second administrator; nil for none.
	Waiting *Waiting
	// Done is what was done, the newest first.
	Done []Done
}

// KeyView is a key as administrators see it.
type KeyView struct {
	ID   string
	Made time.Time
}

// Waiting is a change that waits. Of is its deed, which whoever agrees names.
type Waiting struct {
	Of   int
	By   access.Principal
	At   time.Time
	What []string // of what it is a change, in words of changes
	To   application.Application
	Keys []KeyView // the keys that it has then
}

// Done is a deed as administrators see it. What is one of "created", "set", "propose", "agree", "drop" and
// "seal"; the last is By nobody. Of is of what it was a change, as Waiting has it.
type Done struct {
	At   time.Time
	By   access.Principal
	What string
	Of   []string
}

// List returns all applications by their names, read now.
func (r *Registry) List(ctx context.Context, caller access.Caller) ([]View, error) {
	if err := r.c.Authority.Admin(ctx, caller); err != nil {
		return nil, err
	}
	known, err := r.known.Get(ctx, "", r.c.Now())
	if err != nil {
		return nil, err
	}
	return access.Each(known.apps, func(a application.Application) View { return known.states[a.Name].view() }), nil
}

// Show returns one application. The error is of kind NotFound where there is none, and of kind
// Unprocessable where it is damaged.
func (r *Registry) Show(ctx context.Context, caller access.Caller, name string) (View, error) {
	if err := r.c.Authority.Admin(ctx, caller); err != nil {
		return View{}, err
	}
	s, err := r.readOne(ctx, name)
	if err == nil && s == nil {
		err = unknown()
	}
	if err != nil {
		return View{}, err
	}
	v := s.view()
	if v.Damaged != nil {
		return View{}, v.Damaged
	}
	return v, nil
}

func unknown() error { return &access.Error{Kind: access.NotFound, Code: access.CodeNotFound} }

func damaged(name string, err error) *access.Error {
	return &access.Error{Kind: access.Unprocessable, Code: access.CodeDeedsDamaged, Args: access.Args{"of": name}, Err: err}
}

// view is what of a damaged one is its name alone.
func (s *state) view() View {
	damage := s.damage
	app, err := s.app.application(s.name)
	v := View{Application: app, Number: s.number}
	for _, k := range s.app.Keys {
		v.Keys = append(v.Keys, KeyView{k.ID, k.Made})
	}
	if p := s.pending; p != nil && err == nil {
		v.Waiting = &Waiting{Of: p.number, By: p.by, At: p.at, What: changes(s.app, p.app)}
		v.Waiting.To, err = p.app.application(s.name)
		for _, k := range p.app.Keys {
			v.Waiting.Keys = append(v.Waiting.Keys, KeyView{k.ID, k.Made})
		}
	}
	var then state
	for _, d := range s.done {
		before, waited := then.app, then.pending
		then.number = d.Number - 1 // those between were only signed anew
		if then.apply(d) != nil {
			break // all were applied before
		}
		done := Done{d.At, d.By, doneBy(d), changes(before, then.app)}
		switch after := then.pending; {
		case d.Number == 1:
			done.What, done.Of = created, nil
		case done.What == didPropose:
			done.Of = changes(before, after.app)
		case done.What == didDrop:
			done.Of = changes(before, waited.app)
		case done.What == didSeal:
			done.Of = nil
		}
		v.Done = append(v.Done, done)
	}
	slices.Reverse(v.Done)
	if err != nil && damage == nil {
		damage = damaged(s.name, err)
	}
	if damage != nil {
		return View{Application: application.Damaged(s.name, damage)}
	}
	return v
}

// created is of what the first deed is a change.
const created = "created"

// changes are of what one is another than the other.
func changes(before, after definition) []string {
	var all []string
	add := func(what string, differs bool) {
		if differs {
			all = append(all, what)
		}
	}
	add("active", before.Active != after.Active)
	add("uri", before.URI != after.URI)
	add("keys", !equal(before.Keys, after.Keys))
	add("hosts", !equal(before.CallbackHosts, after.CallbackHosts))
	for _, t := range after.Templates {
		at := slices.IndexFunc(before.Templates, func(was template) bool { return was.Key == t.Key })
		add("template "+t.Key, at < 0 || !equal(t, before.Templates[at]))
	}
	for _, t := range before.Templates {
		add("template "+t.Key, !slices.ContainsFunc(after.Templates, func(is template) bool { return is.Key == t.Key }))
	}
	return all
}

// Changed is what became of a change.
type Changed struct {
	// Waits: it holds once another administrator has agreed.
	Waits bool
	// Key is the text of a new key, which is returned once and never again.
	Key string
	// Warnings are who could not be told.
	Warnings []*access.Error
}

// Create makes an application without templates, whose key is returned once. It holds at once:
// nothing can be asked for by it before somebody else has agreed to a template. The error is of
// kind Conflict where there is one of that name, and of kind Invalid where it can be none.
func (r *Registry) Create(ctx context.Context, caller access.Caller, name, uri string, hosts []string) (Changed, error) {
	if err := r.c.Authority.Admin(ctx, caller); err != nil {
		return Changed{}, err
	}
	d := definition{URI: uri, CallbackHosts: hosts, Active: true}
	if _, err := d.application(name); err != nil {
		return Changed{}, invalid(err)
	}
	all, err := readAll(ctx, r.c.Deeds)
	if err != nil {
		return Changed{}, err
	}
	if all[name] != nil {
		return Changed{}, changedMeanwhile(name)
	}
	if err := free(all, name, uri); err != nil {
		return Changed{}, err
	}
	secret, err := r.addKey(&d, name)
	if err != nil {
		return Changed{}, err
	}
	warnings, err := r.append(ctx, caller, name, 1, deedBody{Do: didSet, App: &d}, access.ApplicationChanged, []string{created})
	if err != nil {
		return Changed{}, err
	}
	return Changed{Key: base64.StdEncoding.EncodeToString(secret), Warnings: warnings}, nil
}

// free is nil where no other application has a URI: it is whose tokens are whose. Of one that is
// damaged nobody knows.
func free(all map[string]*state, name, uri string) error {
	if own := all[name]; own != nil && own.app.URI == uri {
		return nil
	}
	for other, s := range all {
		if s.damage != nil {
			return s.damage
		}
		taken := s.app.URI == uri || s.pending != nil && s.pending.app.URI == uri
		if other != name && taken {
			return invalid(fmt.Errorf("the application %s has this URI", other))
		}
	}
	return nil
}

// keySize is how many bytes a key has: those of the hash that it is used with.
const keySize = 32

func (r *Registry) addKey(d *definition, name string) (secret []byte, err error) {
	secret = make([]byte, keySize)
	id := make([]byte, 6)
	if _, err := io.ReadFull(r.c.Random, secret); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(r.c.Random, id); err != nil {
		return nil, err
	}
	k := keptKey{ID: base64.RawURLEncoding.EncodeToString(id), Made: r.c.Now().UTC().Truncate(time.Second)}
	k.Sealed = r.c.Sealer.Seal(secret, keyContext(name, k.ID))
	d.Keys = append([]keptKey{k}, d.Keys...)
	return secret, nil
}

// Change is what an administrator changes of an application.
type Change struct {
	// Number is that of the application as it was shown (View.Number).
	Number int
	// URI, CallbackHosts, Active and Templates are what it is to be.
	URI           string
	CallbackHosts []string
	Active        bool
	Templates     []application.Template
}

// Change changes all of an application but its keys. What only takes away holds at once, and all
// else once another administrator has agreed. While something waits, only what takes away is
// changed, and what waits is dropped with it.
func (r *Registry) Change(ctx context.Context, caller access.Caller, name string, c Change) (Changed, error) {
	return r.change(ctx, caller, name, c.Number, func(d *definition) (string, error) {
		d.URI, d.CallbackHosts, d.Active, d.Templates = c.URI, c.CallbackHosts, c.Active, nil
		for _, t := range c.Templates {
			d.Templates = append(d.Templates, fromTemplate(t))
		}
		return "", nil
	})
}

// Rotate adds a key, whose text is returned once, and gives up the older one of two. The newest
// key before it stays good until it is given up (GiveUp).
func (r *Registry) Rotate(ctx context.Context, caller access.Caller, name string, number int) (Changed, error) {
	return r.change(ctx, caller, name, number, func(d *definition) (string, error) {
		d.Keys = d.Keys[:min(len(d.Keys), maxKeys-1)]
		secret, err := r.addKey(d, name)
		return base64.StdEncoding.EncodeToString(secret), err
	})
}

// GiveUp gives up a key, at once.
func (r *Registry) GiveUp(ctx context.Context, caller access.Caller, name string, number int, id string) (Changed, error) {
	return r.change(ctx, caller, name, number, func(d *definition) (string, error) {
		before := len(d.Keys)
		d.Keys = slices.DeleteFunc(d.Keys, func(k keptKey) bool { return k.ID == id })
		if len(d.Keys) == before {
			return "", unknown()
		}
		return "", nil
	})
}

// change makes a change to the application as it was at a deed.
func (r *Registry) change(ctx context.Context, caller access.Caller, name string, number int,
	edit func(*definition) (string, error)) (Changed, error) {
	if err := r.c.Authority.Admin(ctx, caller); err != nil {
		return Changed{}, err
	}
	all, err := readAll(ctx, r.c.Deeds)
	if err != nil {
		return Changed{}, err
	}
	s := all[name]
	switch {
	case s == nil:
		return Changed{}, unknown()
	case s.damage != nil:
		return Changed{}, s.damage
	case s.number != number:
		return Changed{}, changedMeanwhile(name)
	}
	next := s.app
	next.Keys, next.Templates = slices.Clone(s.app.Keys), slices.Clone(s.app.Templates)
	secret, err := edit(&next)
	if err != nil {
		return Changed{}, err
	}
	if _, err := next.application(name); err != nil {
		return Changed{}, invalid(err)
	}
	if err := free(all, name, next.URI); err != nil {
		return Changed{}, err
	}
	body, did := deedBody{Do: didPropose, App: &next}, access.ApplicationProposed
	switch less, alone := takesAway(s.app, next), r.c.Authority.SoleAdmin(); {
	case equal(s.app, next):
		return Changed{}, nil
	case less:
		body.Do, did = didSet, access.ApplicationChanged
	case alone:
		body.Do, did = didSet, access.ApplicationAlone
	case s.pending != nil:
		return Changed{}, &access.Error{Kind: access.Conflict, Code: access.CodeChangeWaits, Args: access.Args{"application": name}}
	}
	warnings, err := r.append(ctx, caller, name, number+1, body, did, changes(s.app, next))
	if err != nil {
		return Changed{}, err
	}
	return Changed{Waits: body.Do == didPropose, Key: secret, Warnings: warnings}, nil
}

// Agree makes what was proposed by a deed hold. The caller is another administrator than its
// author.
func (r *Registry) Agree(ctx context.Context, caller access.Caller, name string, of int) error {
	return r.answer(ctx, caller, name, of, didAgree, access.ApplicationAgreed)
}

// Drop says that what was proposed by a deed is not to be. Its author may, too.
func (r *Registry) Drop(ctx context.Context, caller access.Caller, name string, of int) error {
	return r.answer(ctx, caller, name, of, didDrop, access.ApplicationDropped)
}

func (r *Registry) answer(ctx context.Context, caller access.Caller, name string, of int, do string, did access.Action) error {
	if err := r.c.Authority.Admin(ctx, caller); err != nil {
		return err
	}
	all, err := readAll(ctx, r.c.Deeds)
	if err != nil {
		return err
	}
	s := all[name]
	switch {
	case s == nil:
		return unknown()
	case s.damage != nil:
		return s.damage
	case s.pending == nil || s.pending.number != of:
		return changedMeanwhile(name)
	case do == didAgree:
		if err := r.c.Authority.SecondAdmin(ctx, caller, s.pending.by); err != nil {
			return err
		}
		if err := free(all, name, s.pending.app.URI); err != nil {
			return err
		}
	}
	_, err = r.append(ctx, caller, name, s.number+1, deedBody{Do: do, Of: of}, did, changes(s.app, s.pending.app))
	return err // nobody is told
}

// append adds a deed by its one door, and returns who could not be told of it.
func (r *Registry) append(ctx context.Context, caller access.Caller, name string, number int, body deedBody, did access.Action,
	what []string) ([]*access.Error, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	d := Deed{Of: name, Number: number, At: access.AsKept(r.c.Now()), By: caller.Principal, Body: encoded}
	change := access.ApplicationChange{Application: name, Number: number, By: d.By, At: d.At, What: what}
	return r.c.Authority.ChangeApplication(ctx, caller, did, change, func(ctx context.Context, notices ...access.Notice) error {
		return r.record(ctx, d, notices...)
	})
}

func (r *Registry) record(ctx context.Context, d Deed, notices ...access.Notice) error {
	err := r.c.Deeds.Append(ctx, d, notices...)
	r.changed.Store(r.c.Now().UnixNano()) // also where nobody can say whether it was
	return err
}

// Happened implements broker.Managed.
func (r *Registry) Happened(ctx context.Context, c access.ApplicationChange) (did access.Action, waits bool, err error) {
	deeds, err := r.c.Deeds.Deeds(ctx, c.Application)
	if err != nil {
		return "", false, err
	}
	var s state
	for _, d := range deeds {
		before := s.app
		if err := s.apply(d); err != nil {
			return "", false, damaged(c.Application, err)
		}
		if d.Number != c.Number || d.By != c.By || !d.At.Equal(c.At) {
			continue
		}
		switch waits := s.pending != nil && s.pending.number == d.Number; {
		case waits && slices.Equal(changes(before, s.pending.app), c.What):
			did = access.ApplicationProposed
		case !waits && doneBy(d) == didSet && !takesAway(before, s.app) && slices.Equal(changes(before, s.app), c.What):
			did = access.ApplicationAlone
		}
	}
	return did, s.pending != nil && s.pending.number == c.Number, nil
}

func changedMeanwhile(name string) error {
	return &access.Error{Kind: access.Conflict, Code: access.CodeChangedMeanwhile, Args: access.Args{"of": name}}
}

func invalid(err error) error {
	if e := (*access.Error)(nil); errors.As(err, &e) {
		return e
	}
	return &access.Error{Kind: access.Invalid, Code: access.CodeBadInput, Args: access.Args{"reason": err.Error()}}
}
