package main

import (
	"crypto/rand"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/sandbox/google"
)

// action is something that people do, with what must hold of it afterwards.
type action struct {
	name string
	// begin prepares it, and returns how to do it and how to see what it did: how
	// many grants of it stand, or mails, or nothing. The same do again is safe.
	begin func(w *world) (do func() answer, made func() int)
	// wants is what made says once it is done.
	wants int
}

func nothingStands() int { return 0 }

// formID is the number of a form that Alice opens.
func (w *world) formID(kind access.RequestKind) string {
	w.t.Helper()
	number, err := access.NewForm(rand.Reader, kind, alice, w.now())
	if err != nil {
		w.t.Fatal(err)
	}
	return number
}

// number is the id of what Alice asks for with a form.
func number(t testing.TB, f url.Values) string {
	t.Helper()
	id, err := access.ParseEntitlementID(f.Get("entitlement"))
	minutes, failed := strconv.Atoi(f["minutes"][len(f["minutes"])-1])
	if err = errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	sent := access.Request{Kind: access.KindOfID(f.Get("id")), Principal: alice, Resource: id.Resource, Entitlements: []access.EntitlementID{id},
		Justification: f.Get("justification"), Duration: time.Duration(minutes) * time.Minute, Extends: f.Get("extends")}
	for _, r := range f["reviewer"] {
		sent.Reviewers = append(sent.Reviewers, access.Principal(r))
	}
	if f.Has("start") {
		if sent.Start, err = time.Parse("2006-01-02T15:04", f.Get("start")); err != nil {
			t.Fatal(err)
		}
	}
	return access.NewRequestID(f.Get("id"), sent)
}

func activateForm(id string) url.Values {
	return url.Values{"id": {id}, "entitlement": {selfID}, "justification": {"Restore the backup"}, "minutes": {"30"}}
}

var actions = []action{
	{"projects", func(w *world) (func() answer, func() int) {
		return func() answer { return w.api(alice, "/api/projects", nil) }, nothingStands
	}, 0},
	{"roles", func(w *world) (func() answer, func() int) {
		return func() answer { return w.api(alice, "/api/projects/"+project+"/roles", nil) }, nothingStands
	}, 0},
	{"peers", func(w *world) (func() answer, func() int) {
		return func() answer {
			return w.api(alice, "/api/projects/"+project+"/peers?id="+url.QueryEscape(peerID), nil)
		}, nothingStands
	}, 0},
	{"activate", func(w *world) (func() answer, func() int) {
		f := activateForm(w.formID(access.Self))
		return func() answer { return w.form(alice, "/access/projects/"+project, f) },
			func() int { return w.granted(number(w.t, f)) }
	}, 1},
	{"request", func(w *world) (func() answer, func() int) {
		id, before := w.formID(access.Peers), len(w.mail.Messages())
		f := url.Values{"id": {id}, "entitlement": {peerID}, "justification": {"Node 7 hangs"}, "minutes": {"30"}, "reviewer": {bob}}
		return func() answer { return w.form(alice, "/access/projects/"+project, f) },
			func() int { return len(w.mail.Messages()) - before }
	}, 1},
	{"look", func(w *world) (func() answer, func() int) {
		ref, id := w.ask()
		return func() answer { return w.page(bob, reviewPath(ref)) }, func() int { return w.granted(id) }
	}, 0},
	{"approve", func(w *world) (func() answer, func() int) {
		ref, id := w.ask()
		return func() answer { return w.form(bob, reviewPath(ref), url.Values{"verdict": {"approve"}}) },
			func() int { return w.granted(id) }
	}, 1},
	{"end", func(w *world) (func() answer, func() int) {
		f := activateForm(w.formID(access.Self))
		id := number(w.t, f)
		w.form(alice, "/access/projects/"+project, f).expect(w.t, 303)
		return func() answer {
			return w.form(alice, "/requests/"+id+"/end", url.Values{"resource": {"projects/" + project}})
		}, func() int { return 1 - w.live(id) }
	}, 1},
}

// faultsOf are the ways in which one answer of Google's goes wrong.
var faultsOf = []struct {
	name  string
	fault google.Fault
	// passes: what failed once works when it is tried again at once.
	passes bool
}{
	{"409", google.Fault{Status: 409}, false},
	{"429", google.Fault{Status: 429}, true},
	{"500", google.Fault{Status: 500}, true},
	{"503", google.Fault{Status: 503}, true},
	{"503 in HTML", google.Fault{Status: 503, Body: "<html>"}, true},
	{"no JSON", google.Fault{Status: 200, Body: "<html>"}, false},
	{"resets", google.Fault{Lose: google.LoseByReset}, true},
	{"hangs", google.Fault{Hang: true}, false},
	{"does it, then hangs", google.Fault{Lose: google.LoseByHang}, false},
}

// optional are calls that cost a nicety or a warning when they fail.
var optional = []string{"GET /v1/roles/{role}", membersOf, "GET /v1/projects/{project}/secrets/{secret}/versions/{version}:access"}

// TestEveryCallOfEveryActionFailsOnce: whatever goes wrong with one call, the action
// is done once, or refused and not done; and done again it is done once.
func TestEveryCallOfEveryActionFailsOnce(t *testing.T) {
	for _, patience := range []time.Duration{0, hastyFor} {
		for _, action := range actions {
			w := warm(t, patience)
			do, _ := action.begin(w)
			w.pass(20 * time.Minute)
			w.cloud.Calls().Reset()
			if a := do(); a.status >= 400 || a.status == 0 {
				t.Fatalf("%s: %d %s", action.name, a.status, a.body)
			}
			for _, call := range slices.Sorted(maps.Keys(w.cloud.Calls().All())) {
				if strings.HasSuffix(strings.ToLower(call), "token") {
					continue // kept for an hour of the real clock
				}
				t.Run(action.name+": "+call, func(t *testing.T) { failOnce(t, w, action, call) })
			}
		}
	}
}

// hastyFor is the patience of services whose calls hang. All others have the time that a slow machine needs.
const hastyFor = 3 * time.Second / 2

// warm is a world with a patience, whose keys are made and whose first look-up, which finds out by whose token groups
// are read, is done.
func warm(t *testing.T, patience time.Duration) *world {
	w := newWorld(t, surroundings{patience: patience})
	w.get("/service_accounts/v1/metadata/jwk/" + w.cloud.ServiceAccount())
	w.page(frank, "/access/projects/"+project).expect(t, 200)
	return w
}

func failOnce(t *testing.T, w *world, action action, call string) {
	w.t = t
	// Longer than what the call is for is kept.
	kept := time.Minute
	if strings.Contains(call, "jwk") || strings.Contains(call, "/roles/") {
		kept = 16 * time.Minute
	}
	method, path, _ := strings.Cut(call, " ")
	for _, f := range faultsOf {
		if f.fault.Lose == google.LoseByHang && method == "GET" {
			continue
		}
		if hangs := f.fault.Hang || f.fault.Lose == google.LoseByHang; hangs != (w.setup.patience > 0) {
			continue
		}
		if strings.Contains(call, "/secrets/") { // a password that was good is not read again
			w = warm(t, w.setup.patience)
		}
		w.reset()
		do, made := action.begin(w)
		w.pass(kept)
		foreign := w.foreign("projects/" + project)
		f.fault.Method, f.fault.Path, f.fault.Times = method, path, 1
		w.cloud.Faults().Add(f.fault)
		begun := time.Now()
		a := do()
		if took := time.Since(begun); took > 25*time.Second || a.status == 0 {
			t.Errorf("%s: no answer within the deadline: %s, %s", f.name, took, a.body)
		}
		if strings.Contains(w.get("/control/faults"), path) {
			t.Errorf("%s: the call was not made", f.name)
			w.cloud.Faults().Clear()
		}
		done := a.status < 400
		switch n := made(); {
		case done && n != action.wants:
			// A mail without its password is a warning.
			if !slices.Contains(optional, call) || !strings.Contains(a.body, "could not be told") {
				t.Errorf("%s: answered %d, and %d were made: %.2000s", f.name, a.status, n, a.body)
			}
		case !done && n != 0 && !strings.Contains(a.body, "could not find out"):
			t.Errorf("%s: answered %d, and %d were made: %s", f.name, a.status, n, a.body)
		case !done && f.passes:
			t.Errorf("%s: not tried again: %d %.3000s", f.name, a.status, a.body)
		case !done && slices.Contains(optional, call):
			t.Errorf("%s: the whole action failed: %d %.3000s", f.name, a.status, a.body)
		}
		w.pass(time.Minute)
		if a := do(); a.status >= 400 && !(action.name == "end" && a.status == 404) {
			t.Errorf("%s: and again: %d %.300s", f.name, a.status, a.body)
		}
		if n := made(); n != action.wants && action.name != "request" {
			t.Errorf("%s: and again: %d were made", f.name, n)
		}
		if w.foreign("projects/"+project) != foreign {
			t.Errorf("%s: foreign content changed", f.name)
		}
	}
	if strings.Contains(w.log.String(), "panic") {
		t.Error("a panic")
	}
}
