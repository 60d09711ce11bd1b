package broker_test

import (
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// A record that a grant was written is nobody's word, and is made of what stands: whoever may write
// a policy can put a longer one there before it is written, under its number. It says no more than
// was approved, so that what stands differs from it.
func TestARecordOfAGrantSaysNoMoreThanWasApproved(t *testing.T) {
	scheduled := func(t *testing.T, w *world, b *broker.Broker) access.Request {
		t.Helper()
		swept(t, b) // somebody sweeps
		a := ask()
		a.Start = w.Clock.Add(3 * time.Hour)
		asked, err := b.Ask(t.Context(), caller(ana), a)
		if err != nil {
			t.Fatal(err)
		}
		decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Duration: 15 * time.Minute})
		if err != nil || decided.State != access.Scheduled {
			t.Fatal(decided.State, err)
		}
		return decided.Request
	}
	planted := func(w *world, r access.Request, begins, ends time.Duration) {
		w.Activations = append(w.Activations, access.Activation{RequestID: r.ID, Principal: ana, Entitlement: admin, Justification: r.Justification,
			Approvers: []access.Principal{ben}, Window: access.Window{Start: r.Window.Start.Add(begins), End: r.Window.End.Add(ends)}})
	}
	for what, c := range map[string]struct {
		begins, ends time.Duration
		want         string
	}{
		"as it was approved":                 {0, 0, ""},
		"an hour longer":                     {0, time.Hour, "other-window"},
		"an hour sooner":                     {-time.Hour, 0, "other-window"},
		"a minute later, and longer":         {time.Minute, 2 * time.Minute, "other-window"},
		"a minute shorter":                   {0, -time.Minute, ""},
		"as long, and before what was asked": {-time.Minute, -time.Minute, "other-window"},
		"as long, and for an earlier time":   {-5 * time.Minute, -5 * time.Minute, "other-window"},
	} {
		t.Run(what, func(t *testing.T) {
			w, store := withLedger(t)
			w.Settings.StartWithin = 24 * time.Hour
			b := w.Broker()
			r := scheduled(t, w, b)
			planted(w, r, c.begins, c.ends)
			w.Clock = r.Window.Start.Add(-10 * time.Minute)
			swept(t, w.Broker())
			got, err := store.Open(t.Context(), r.ID)
			if err != nil || got.State != access.Active {
				t.Fatalf("%s, %v", got.State, err)
			}
			if got.Window.Length() > 15*time.Minute || got.Window.End.After(r.Window.End) {
				t.Errorf("%v was approved, and it is recorded for %v", r.Window, got.Window)
			}
			w.Clock = r.Window.Start
			if got := strings.TrimSuffix(differences(t, w.Broker()), " "+r.ID); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
