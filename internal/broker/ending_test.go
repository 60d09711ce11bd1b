package broker_test

import (
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// endAsked records that somebody ends a grant, as a process did that died then.
func endAsked(t *testing.T, w *world, r access.Request, by access.Principal) {
	t.Helper()
	e := access.Event{Action: access.EndAsked, At: w.Clock, Caller: caller(by), Request: access.Request{ID: r.ID, Resource: r.Resource,
		Principal: r.Principal, Entitlements: r.Entitlements}}
	if _, err := w.Ledger.Commit(t.Context(), e, nil); err != nil {
		t.Fatal(err)
	}
}

// An end that was asked for is carried out, and told, also when the process died before it
// was, or before that was recorded; and what is recorded is what is true.
func TestAnEndWhoseProcessDiedIsCarriedOut(t *testing.T) {
	for name, c := range map[string]struct {
		by    access.Principal
		ended bool
		later time.Duration
		want  access.State
		told  string
	}{
		"before it was ended":                        {dan, false, time.Minute, access.Ended, "ended to [ana@example.com] copy [ben@example.com]"},
		"before that was recorded":                   {dan, true, time.Minute, access.Ended, "ended to [ana@example.com] copy [ben@example.com]"},
		"by its holder":                              {ana, true, time.Minute, access.Ended, "nobody"},
		"recorded after its time was over":           {ana, true, 3 * time.Hour, access.Ended, "nobody"},
		"a moment ago":                               {dan, false, 59 * time.Second, access.Active, "nobody"},
		"never, as nobody swept until it was over":   {dan, false, 3 * time.Hour, access.Expired, "nobody"},
		"never, as nobody swept until it was nearly": {dan, false, 58 * time.Minute, access.Ended, "ended to [ana@example.com] copy [ben@example.com]"},
	} {
		t.Run(name, func(t *testing.T) {
			w, store := withLedger(t)
			b := w.Broker()
			r := granted(t, w, b, access.Peers)
			w.Clock = w.Clock.Add(30 * time.Second)
			endAsked(t, w, r, c.by)
			if c.ended {
				if _, err := w.End(t.Context(), access.Ending{RequestID: r.ID, Principal: ana, Resource: shop, At: w.Clock, Since: w.Clock}); err != nil {
					t.Fatal(err)
				}
			}
			w.Told = nil
			w.Clock = w.Clock.Add(c.later)
			for range 2 {
				swept(t, w.Broker())
			}
			if got := state(t, store, r.ID); got != c.want {
				t.Errorf("it is %q, want %q", got, c.want)
			}
			if got := heard(w); got != c.told || len(w.Told) > 1 || len(w.Told) == 1 && w.Told[0].By != c.by {
				t.Errorf("%s, want %s: %+v", got, c.told, w.Told)
			}
			live := len(w.Activations) > 0 && w.Activations[0].Window.End.After(w.Clock)
			if live != (c.want == access.Active) {
				t.Errorf("it stands: %v, %+v", live, w.Activations)
			}
		})
	}
}

// While the platform is down it stays to be done, and nothing is recorded.
func TestAnEndThatCannotBeCarriedOutStaysDue(t *testing.T) {
	w, store := withLedger(t)
	b := w.Broker()
	r := granted(t, w, b, access.Peers)
	endAsked(t, w, r, ana)
	events := func() int {
		all, err := store.History(t.Context(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	before := events()
	w.GrantErr = passing
	for range 3 {
		w.Clock = w.Clock.Add(time.Minute)
		if done := swept(t, b); done.Left != 1 || events() != before {
			t.Errorf("%+v, %d events, were %d", done, events(), before)
		}
	}
	w.GrantErr = nil
	if swept(t, b); state(t, store, r.ID) != access.Ended {
		t.Errorf("it is %q", state(t, store, r.ID))
	}
}

// What was called off is not written, and what extends what was ended is ended with it.
func TestAnEndWhoseProcessDiedCallsOffAndEndsExtensions(t *testing.T) {
	w, store := withLedger(t)
	b := w.Broker()
	if err := store.Swept(t.Context(), w.Clock); err != nil {
		t.Fatal(err)
	}
	r := granted(t, w, b, access.Self)
	extension := mustAsk(t, b, more(t, w, r.ID, access.Self)).Request
	if got := state(t, store, extension.ID); got != access.Scheduled {
		t.Fatalf("it is %q", got)
	}
	endAsked(t, w, r, dan)
	w.Clock = w.Clock.Add(time.Minute)
	swept(t, w.Broker())
	w.Clock = w.Clock.Add(50 * time.Minute)
	swept(t, w.Broker())
	for _, id := range []string{r.ID, extension.ID} {
		if got := state(t, store, id); got != access.Ended {
			t.Errorf("%s is %q", id, got)
		}
	}
	if w.Calls["grant"] != 1 {
		t.Errorf("%d grants were written", w.Calls["grant"])
	}
	// One that is called off alone, while it waits to be written.
	extension = mustAsk(t, b, more(t, w, granted(t, w, b, access.Self).ID, access.Self)).Request
	endAsked(t, w, extension, dan)
	w.Clock = w.Clock.Add(time.Minute)
	if done := swept(t, b); done.Over != 1 || state(t, store, extension.ID) != access.Ended {
		t.Errorf("%+v, it is %q", done, state(t, store, extension.ID))
	}
	if _, err := b.Sweep(t.Context(), broker.SweepCount); err != nil {
		t.Error(err)
	}
}
