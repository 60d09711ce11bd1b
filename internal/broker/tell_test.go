package broker_test

import (
	"errors"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// A channel for machines that fails concerns nobody in particular, and fails
// nothing (threat 31).
func TestThreat31_AChannelWithoutPeopleThatFailsIsAWarning(t *testing.T) {
	w := newWorld(t)
	w.undelivered = []access.Undelivered{{Channel: "pubsub", Err: errors.New("403")}}
	b := w.broker()
	want := func(warnings []*access.Error, err error) {
		t.Helper()
		if err != nil || len(warnings) != 1 || warnings[0].Code != access.CodeNotPublished || warnings[0].Args["channel"] != "pubsub" || warnings[0].Err == nil {
			t.Errorf("warnings %v, %v", warnings, err)
		}
	}
	self, err := b.Ask(t.Context(), caller(ana), selfAsk())
	want(self.Warnings, err)
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	want(asked.Warnings, err)
	decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve})
	want(decided.Warnings, err)
	if len(w.activations) != 2 || decided.State != access.Active {
		t.Errorf("granted %v", w.activations)
	}
}

// Listeners are told of an activation once, however often it is sent.
func TestAnActivationThatStandsIsNotToldAgain(t *testing.T) {
	w := newWorld(t)
	a := selfAsk()
	a.ID = "jit-AAAAAAAAAAAAAAAA"
	for range 2 {
		// Two brokers, as two instances know nothing of each other.
		if _, err := w.broker().Ask(t.Context(), caller(ana), a); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.told) != 1 || w.told[0].Kind != access.NoticeSelfApproved {
		t.Errorf("told %v", w.told)
	}
}

// The journal says of a refusal what would have been granted.
func TestRefusalsAreJournalledWithTheirWindow(t *testing.T) {
	w := newWorld(t)
	a := selfAsk()
	a.Entitlements = []access.EntitlementID{narrow}
	if _, err := w.broker().Ask(t.Context(), caller(ana), a); err == nil {
		t.Fatal("granted what nobody holds")
	}
	e := w.journal[len(w.journal)-1]
	if e.Action != access.ActionRefused || e.Window.Length() != time.Hour || e.Window.Start.After(w.now) {
		t.Errorf("journalled %+v", e)
	}
}
