package broker_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

// The number of a request is not the requester's to choose: neither a text, nor another
// person's, nor that of another request of theirs.
func TestNobodyChoosesANumber(t *testing.T) {
	w := newWorld(t)
	w.Holdings[ben] = append(w.Holdings[ben], brokertest.Self(viewer))
	theirs := formOf(ben, access.Self)
	raw, _ := base64.RawURLEncoding.DecodeString(theirs[4:])
	raw[11] ^= 1
	for rule, form := range map[string]string{
		"a text":                           "jit-VANITYVANITY1234",
		"somebody else's":                  theirs,
		"a bit of it changed":              access.RequestIDOf(access.Self, [12]byte(raw)),
		"as another kind":                  "jit-" + formOf(ana, access.Peers)[4:],
		"as JIT Access 1.x spells them":    "jit-ab+/ab+/ab+/ab+/",
		"too short":                        "jit-AAAA",
		"too long":                         formOf(ana, access.Self) + "AAAA",
		"a kind alone":                     "jit-",
		"no kind":                          formOf(ana, access.Self)[4:],
		"the number of a request of one's": mustAsk(t, newWorld(t).Broker(), selfAsk()).Request.ID,
	} {
		a := selfAsk()
		a.Form = form
		_, err := w.Broker().Ask(t.Context(), caller(ana), a)
		if e := access.AsError(err); e == nil || e.Code != access.CodeBadRequestID || len(w.Activations) != 0 {
			t.Errorf("%s (%q): %v, granted %v", rule, form, err, w.Activations)
		}
	}
}

func mustAsk(t *testing.T, b *broker.Broker, a broker.Ask) broker.Asked {
	t.Helper()
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	return asked
}

// One form gives one number for what was sent, to every instance, and another for
// whatever differs, be it who sends it.
func TestANumberIsOfAllThatWasSent(t *testing.T) {
	w := newWorld(t)
	w.Settings.MaxReviewers = 2
	form := formOf(ana, access.Peers)
	base := ask()
	base.Form = form
	seen := map[string]string{mustAsk(t, w.Broker(), base).Request.ID: "as it was"}
	if again := mustAsk(t, w.Broker(), base).Request.ID; seen[again] == "" {
		t.Error("two instances give two numbers to one form")
	}
	for what, change := range map[string]func(*broker.Ask){
		"the reason":    func(a *broker.Ask) { a.Justification = "case 43" },
		"the duration":  func(a *broker.Ask) { a.Duration = time.Minute },
		"the reviewers": func(a *broker.Ask) { a.Reviewers = a.Reviewers[:1] },
		"the start":     func(a *broker.Ask) { a.Start = w.Clock.Add(time.Hour) },
		"the form":      func(a *broker.Ask) { a.Form = formOf(ana, access.Peers) },
	} {
		a := base
		a.Reviewers = slices.Clone(base.Reviewers)
		change(&a)
		id := mustAsk(t, w.Broker(), a).Request.ID
		if id == form || seen[id] != "" {
			t.Errorf("%s: %s is the number of %s", what, id, seen[id])
		}
		seen[id] = what
	}
	mine := access.Request{Kind: access.Peers, Principal: ana, Resource: shop}
	theirs := mine
	theirs.Principal = ben
	if access.NewRequestID(form, mine) == access.NewRequestID(form, theirs) {
		t.Error("two people have one number")
	}
}

// A start that passes between two clicks does not make two requests.
func TestAStartThatPassesIsStillOneRequest(t *testing.T) {
	w, a := newWorld(t), ask()
	a.Form, a.Start = formOf(ana, access.Peers), w.Clock.Add(time.Second)
	before := mustAsk(t, w.Broker(), a).Request.ID
	w.Clock = w.Clock.Add(2 * time.Second)
	if after := mustAsk(t, w.Broker(), a).Request.ID; after != before {
		t.Errorf("%s and %s", before, after)
	}
}

// A form lives for an hour, and is of now.
func TestAFormIsGoodForAnHour(t *testing.T) {
	for age, ok := range map[time.Duration]bool{0: true, access.FormLife - time.Second: true, access.FormLife + 2*time.Second: false, -access.LinkSkew + 2*time.Second: true,
		-access.LinkSkew - 2*time.Second: false} {
		w, a := newWorld(t), selfAsk()
		a.Form, _ = access.NewForm(w.Random, access.Self, ana, w.Clock.Add(-age))
		_, err := w.Broker().Ask(t.Context(), caller(ana), a)
		if e := access.AsError(err); ok != (err == nil) || err != nil && (e.Code != access.CodeOldForm || e.Kind != access.Gone) {
			t.Errorf("%v old: %v", age, err)
		}
	}
}

// Whoever ends access ends that of one person, even where somebody who edits policies has
// given another person's the same number.
func TestEndingGoesByNumberAndPerson(t *testing.T) {
	live := access.Window{Start: dawn.Truncate(time.Second), End: dawn.Truncate(time.Second).Add(time.Hour)}
	const id = "jit-AAAAAAAAAAAAAAAA"
	for rule, c := range map[string]struct {
		as, of access.Principal
		ended  access.Principal
		code   access.Code
	}{
		"one's own":                        {ben, "", ben, ""},
		"one's own, by name":               {ben, ben, ben, ""},
		"not another's":                    {ben, ana, "", access.CodeNoGrant},
		"an admin, by name":                {dan, ana, ana, ""},
		"an admin, of nobody":              {dan, "", "", access.CodeBadRequestID},
		"an admin, of somebody without it": {dan, cho, "", access.CodeNoGrant},
	} {
		w := newWorld(t)
		for _, p := range []access.Principal{ana, ben} {
			w.Activations = append(w.Activations, access.Activation{RequestID: id, Principal: p, Entitlement: viewer, Window: live})
		}
		_, err := w.Broker().End(t.Context(), caller(c.as), shop, id, c.of)
		if e := access.AsError(err); c.code == "" && err != nil || c.code != "" && (e == nil || e.Code != c.code) {
			t.Errorf("%s: %v", rule, err)
		}
		for _, a := range w.Activations {
			if over := !a.Window.Contains(w.Clock); over != (a.Principal == c.ended) {
				t.Errorf("%s: that of %s is over: %v", rule, a.Principal, over)
			}
		}
	}
}

// What was ended stays so for every form that was opened before, on whatever instance,
// whatever else has been written to the policy since.
func TestAFormOpenedBeforeTheEndRevivesNothing(t *testing.T) {
	for rule, meanwhile := range map[string]func(*world){
		"at once":    func(*world) {},
		"at the end": func(w *world) { w.Clock = w.Clock.Add(50 * time.Minute) },
		"after others wrote to the policy": func(w *world) {
			w.Holdings[ben] = append(w.Holdings[ben], brokertest.Self(viewer))
			if _, err := w.Broker().Ask(t.Context(), caller(ben), selfAsk()); err != nil {
				t.Error(err)
			}
		},
		"after access was had and ended again": func(w *world) {
			w.Clock = w.Clock.Add(time.Minute)
			again := mustAsk(t, w.Broker(), selfAsk())
			w.Clock = w.Clock.Add(time.Minute)
			if _, err := w.Broker().End(t.Context(), caller(dan), shop, again.Request.ID, ana); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(rule, func(t *testing.T) {
			w := newWorld(t)
			forms := []string{formOf(ana, access.Self), formOf(ana, access.Self)}
			w.Clock = w.Clock.Add(time.Minute)
			a := selfAsk()
			a.Form = forms[0]
			asked := mustAsk(t, w.Broker(), a)
			w.Clock = w.Clock.Add(time.Minute)
			if _, err := w.Broker().End(t.Context(), caller(dan), shop, asked.Request.ID, ana); err != nil {
				t.Fatal(err)
			}
			w.Clock = w.Clock.Add(time.Second)
			meanwhile(w)
			for _, form := range forms { // the one that was sent, and one in another tab
				a.Form = form
				_, err := w.Broker().Ask(t.Context(), caller(ana), a)
				if e := access.AsError(err); e == nil || e.Kind != access.Gone {
					t.Errorf("sent again: %v", err)
				}
			}
			for _, has := range w.Activations {
				if has.Principal == ana && has.Window.Contains(w.Clock) {
					t.Errorf("revived: %+v", has)
				}
			}
			// Opened anew it is another request, which they are eligible for.
			a.Form, _ = access.NewForm(w.Random, access.Self, ana, w.Clock)
			mustAsk(t, w.Broker(), a)
		})
	}
}

// However often somebody activates and ends, one record of it is left, so that nobody is
// locked out by their own.
func TestEndedAccessLeavesOneRecord(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.Clock = w.Clock.Add(10 * time.Second)
		a := selfAsk()
		a.Justification = fmt.Sprint("case ", i)
		asked := mustAsk(t, w.Broker(), a)
		w.Clock = w.Clock.Add(10 * time.Second)
		if _, err := w.Broker().End(t.Context(), caller(ana), shop, asked.Request.ID, ""); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.Activations) != 1 || !strings.HasPrefix(w.Activations[0].Justification, "case 29") {
		t.Errorf("%d records: %v", len(w.Activations), w.Activations)
	}
}
