package broker_test

import (
	"context"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
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

// interrupted does something just before a grant is ended.
type interrupted struct {
	*brokertest.World
	then func()
}

func (i *interrupted) End(ctx context.Context, e access.Ending) ([]access.Outcome, error) {
	if then := i.then; then != nil {
		i.then = nil
		then()
	}
	return i.World.End(ctx, e)
}

// late does something just before an activation is recorded.
type late struct {
	broker.Memory
	then func()
}

func (l *late) Commit(ctx context.Context, e access.Event, notices []access.Notice) (string, error) {
	if then := l.then; then != nil && e.Action == access.SelfApproved {
		l.then = nil
		then()
	}
	return l.Memory.Commit(ctx, e, notices)
}

// What extends a grant goes with it, also if it is decided in the very moment of the end,
// before that is recorded or after.
func TestAnExtensionInTheMomentOfTheEnd(t *testing.T) {
	const alone = "alone, recorded after the end"
	for name, meanwhile := range map[string]func(t *testing.T, w *world, provider *interrupted, first access.Request) string{
		"approved before the end is recorded": func(t *testing.T, w *world, provider *interrupted, first access.Request) string {
			asked := mustAsk(t, w.Broker(), more(t, w, first.ID, access.Peers))
			provider.then = func() {
				if _, err := approve(t, w.Broker(), ben, asked.Ref); err != nil {
					t.Error(err)
				}
			}
			return asked.Ref
		},
		alone: func(t *testing.T, w *world, provider *interrupted, first access.Request) string {
			memory := w.Ledger.(broker.Memory)
			w.Ledger = &late{memory, func() {
				w.Ledger = memory
				if _, err := w.Broker().End(t.Context(), caller(dan), shop, first.ID, ana); err != nil {
					t.Error(err)
				}
			}}
			asked, err := w.Broker().Ask(t.Context(), caller(ana), more(t, w, first.ID, access.Self))
			is(t, err, access.Gone, access.CodeAlreadyEnded)
			return asked.Request.ID
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, store := withLedger(t)
			provider := &interrupted{World: w}
			registration := w.Registration()
			registration.Provider = provider
			kind := map[bool]access.RequestKind{true: access.Self, false: access.Peers}[name == alone]
			first := granted(t, w, w.Broker(), kind)
			w.Clock = w.Clock.Add(time.Minute)
			id := meanwhile(t, w, provider, first)
			if _, err := w.BrokerOf(registration).End(t.Context(), caller(dan), shop, first.ID, ana); err != nil {
				t.Fatal(err)
			}
			for _, one := range []string{first.ID, id} {
				if got := state(t, store, one); got != access.Ended {
					t.Errorf("%s is %q", one, got)
				}
			}
			for _, a := range w.Activations {
				if a.Window.End.After(w.Clock) && a.Window.Length() > 0 {
					t.Errorf("still there: %+v", a)
				}
			}
		})
	}
}

// mortal is a store of a process that dies: from so many events on nothing of it lasts any
// more, and nothing that it does elsewhere.
type mortal struct {
	broker.Memory
	left int
	die  func()
}

func (m *mortal) Commit(ctx context.Context, e access.Event, notices []access.Notice) (string, error) {
	if m.left == 0 {
		m.die()
		return "", passing
	}
	m.left--
	return m.Memory.Commit(ctx, e, notices)
}

// Whenever the process dies in which an admin ends somebody's access, and the next one in the
// sweep: once that is ended, nothing that would give it again by itself begins, be it an
// extension or something that was activated for later.
func TestWhatWasEndedDoesNotBeginAgainWheneverTheProcessDies(t *testing.T) {
	for _, extends := range []bool{false, true} {
		ended := 0
		for lives := range 12 {
			w, store := withLedger(t)
			w.Policy = changed(w, func(terms *access.Terms) { terms.StartWithin = 4 * time.Hour })
			if err := store.Swept(t.Context(), w.Clock); err != nil {
				t.Fatal(err)
			}
			first := granted(t, w, w.Broker(), access.Self)
			a := selfAsk()
			if a.Start = w.Clock.Add(2 * time.Hour); extends {
				a = more(t, w, first.ID, access.Self)
			}
			next := mustAsk(t, w.Broker(), a).Request
			if got := state(t, store, next.ID); got != access.Scheduled {
				t.Fatalf("it is %q", got)
			}
			w.Clock = w.Clock.Add(time.Minute)
			// One process dies in the action, and the next one in the sweep.
			at := func(left int) *broker.Broker {
				reached := &brokertest.Unreachable{Memory: store}
				w.GrantErr = nil
				w.Ledger = &mortal{reached, left, func() { reached.Down, w.GrantErr = true, passing }}
				return w.Broker()
			}
			_, _ = at(lives).End(t.Context(), caller(dan), shop, first.ID, ana)
			for range 2 {
				w.Clock = w.Clock.Add(2 * time.Minute)
				_, _ = at(lives/2).Sweep(t.Context(), broker.SweepCount)
			}
			for range 2 {
				w.Clock = w.Clock.Add(2 * time.Minute)
				swept(t, at(1000))
			}
			if state(t, store, first.ID) != access.Ended {
				if lives > 1 {
					t.Errorf("it is %q after %d events", state(t, store, first.ID), lives)
				}
				continue
			}
			ended++
			w.Clock = w.Clock.Add(110 * time.Minute)
			swept(t, at(1000))
			if got := state(t, store, next.ID); got != access.Ended || w.Calls["grant"] != 1 {
				t.Errorf("extends %v, died after %d events: what was to begin is %q, and %d grants were written", extends, lives, got, w.Calls["grant"])
			}
		}
		if ended < 9 {
			t.Errorf("extends %v: ended %d times", extends, ended)
		}
	}
}

// What extends a grant and is approved in the very moment of its end goes with it, whenever the
// process dies in which that is ended. What is approved in the knowledge of the end stands.
func TestAnExtensionInTheMomentOfAnEndWhoseProcessDies(t *testing.T) {
	for _, known := range []bool{false, true} {
		ended := 0
		for lives := range 6 {
			w, store := withLedger(t)
			if err := store.Swept(t.Context(), w.Clock); err != nil {
				t.Fatal(err)
			}
			first := granted(t, w, w.Broker(), access.Peers)
			asked := mustAsk(t, w.Broker(), more(t, w, first.ID, access.Peers))
			w.Clock = w.Clock.Add(time.Minute)
			approves := func() {
				w.Ledger = store
				if _, err := approve(t, w.Broker(), ben, asked.Ref); err != nil {
					t.Error(err)
				}
			}
			provider := &interrupted{World: w, then: approves}
			if known {
				provider.then = nil
			}
			registration := w.Registration()
			registration.Provider = provider
			reached := &brokertest.Unreachable{Memory: store}
			w.Ledger = &mortal{reached, lives, func() { reached.Down, w.GrantErr = true, passing }}
			_, _ = w.BrokerOf(registration).End(t.Context(), caller(dan), shop, first.ID, ana)
			w.Ledger, w.GrantErr = store, nil
			if state(t, store, first.ID) != access.Ended {
				continue // there was no end to be known of
			}
			if known {
				w.Clock = w.Clock.Add(time.Second)
				approves()
			}
			ended++
			for _, later := range []time.Duration{2 * time.Minute, 2 * time.Minute, 53 * time.Minute} {
				w.Clock = w.Clock.Add(later)
				if err := store.Swept(t.Context(), w.Clock); err != nil {
					t.Fatal(err)
				}
				swept(t, w.Broker())
			}
			want, grants := access.Ended, 1
			if known {
				want, grants = access.Active, 2
			}
			if got := state(t, store, asked.Request.ID); got != want || w.Calls["grant"] != grants {
				t.Errorf("approved in the knowledge of the end %v, died after %d events: the extension is %q, and %d grants were written",
					known, lives, got, w.Calls["grant"])
			}
		}
		if ended < 3 {
			t.Errorf("ended %d times", ended)
		}
	}
}

// counting counts how often a request is opened.
type counting struct {
	broker.Memory
	opened int
}

func (c *counting) Open(ctx context.Context, ref string) (access.Request, error) {
	c.opened++
	return c.Memory.Open(ctx, ref)
}

// A request that is approved is opened once: where nothing was recorded between its approval
// and its grant, nobody has called it off.
func TestAnApprovalOpensItsRequestOnce(t *testing.T) {
	w, _ := withLedger(t)
	asked := mustAsk(t, w.Broker(), ask())
	c := &counting{Memory: w.Ledger.(broker.Memory)}
	w.Ledger = c
	if _, err := approve(t, w.Broker(), ben, asked.Ref); err != nil || c.opened != 1 {
		t.Errorf("opened %d times, %v", c.opened, err)
	}
}
