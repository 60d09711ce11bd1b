package broker_test

import (
	"testing"
	"time"

	"jitaccess/internal/access"
)

// Where the store remembers, a form that is sent again after a write that failed is the
// same request: the write is tried again, in the window that was recorded.
func TestAFormSentAgainAfterAFailedWriteGoesOn(t *testing.T) {
	w := newWorld(t)
	w.Forgets = false
	a := selfAsk()
	a.Form = formOf(ana, access.Self)
	w.GrantErr = passing
	if _, err := w.Broker().Ask(t.Context(), caller(ana), a); err == nil {
		t.Fatal("granted")
	}
	w.GrantErr = nil
	w.Clock = w.Clock.Add(time.Minute)
	asked := mustAsk(t, w.Broker(), a) // another instance
	if len(w.Activations) != 1 || !w.Activations[0].Window.Start.Equal(dawn.Truncate(time.Second)) || asked.Window != w.Activations[0].Window {
		t.Errorf("%v, %v", asked.Window, w.Activations)
	}
	if got, want := w.Actions(), "self-approved, grant failed, self-approved, granted"; got != want {
		t.Errorf("journal %q, want %q", got, want)
	}
	// Sent once more it is as it is; ended, it is over.
	mustAsk(t, w.Broker(), a)
	if _, err := w.Broker().End(t.Context(), caller(ana), shop, asked.Request.ID, ""); err != nil || len(w.Activations) != 1 {
		t.Fatal(err)
	}
	_, err := w.Broker().Ask(t.Context(), caller(ana), a)
	is(t, err, access.Gone, access.CodeAlreadyEnded)
}

// What was refused for good, or whose window is over, is not tried again.
func TestAFormSentAgainAfterARefusalForGoodIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		err   *access.Error
		later time.Duration
	}{
		"refused for good":   {&access.Error{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable}, 0},
		"its window is over": {passing, 5 * time.Minute},
	} {
		w := newWorld(t)
		w.Forgets = false
		a := selfAsk()
		a.Form, a.Duration = formOf(ana, access.Self), time.Minute
		w.GrantErr = c.err
		if _, err := w.Broker().Ask(t.Context(), caller(ana), a); err == nil {
			t.Fatal("granted")
		}
		w.GrantErr = nil
		w.Clock = w.Clock.Add(c.later)
		_, err := w.Broker().Ask(t.Context(), caller(ana), a)
		if e := access.AsError(err); e == nil || e.Code != access.CodeGrantRefused || len(w.Activations) != 0 {
			t.Errorf("%s: %v, %v", name, err, w.Activations)
		}
	}
}

// A request to reviewers that is sent again, to another instance, is the one that stands,
// and tells nobody twice.
func TestARequestSentAgainIsTheOneThatStands(t *testing.T) {
	w := newWorld(t)
	w.Forgets = false
	a := ask()
	a.Form = formOf(ana, access.Peers)
	first := mustAsk(t, w.Broker(), a)
	if again := mustAsk(t, w.Broker(), a); again.Ref != first.Ref || again.ReviewURL != first.ReviewURL || len(w.Told) != 1 {
		t.Errorf("%+v, told %d times", again, len(w.Told))
	}
}
