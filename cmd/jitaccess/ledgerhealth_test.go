package main

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A probe that comes every few seconds costs one read, and whatever was found before, a ledger that is
// out of reach is never called reachable.
func TestHealthLooksAtTheLedgerSeldom(t *testing.T) {
	down, overdue := errors.New("down"), errors.New("overdue")
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var reads, looks int
	var reachable, due error
	h := &ledgerHealth{paid: true, now: func() time.Time { return now },
		reachable: func(context.Context) error { reads++; return reachable },
		look: func(context.Context) map[string]error {
			looks++
			if reachable != nil {
				return map[string]error{ledgerIsReachable: reachable, "SweepIsCurrent": reachable}
			}
			return map[string]error{ledgerIsReachable: nil, "SweepIsCurrent": due}
		}}
	for i, step := range []struct {
		after          time.Duration
		reachable, due error
		looks          int
		found, sweep   error
	}{
		{0, nil, nil, 1, nil, nil},
		{10 * time.Second, nil, nil, 1, nil, nil},
		{4 * time.Minute, nil, overdue, 1, nil, nil}, // it was well lately
		{10 * time.Second, down, overdue, 2, down, down},
		{10 * time.Second, down, overdue, 3, down, down},
		{10 * time.Second, nil, overdue, 4, nil, overdue}, // nothing is kept of before
		{10 * time.Second, nil, nil, 4, nil, overdue},
		{50 * time.Second, nil, nil, 5, nil, nil}, // what was wrong is looked at sooner
		{4*time.Minute + 59*time.Second, nil, nil, 5, nil, nil},
		{time.Second, nil, overdue, 6, nil, overdue},
	} {
		now = now.Add(step.after)
		reachable, due = step.reachable, step.due
		got := h.checks(t.Context())
		if got[ledgerIsReachable] != step.found || got["SweepIsCurrent"] != step.sweep || looks != step.looks || reads != i+1 || len(got) != 2 {
			t.Errorf("step %d: %v after %d looks and %d reads, want %+v", i, got, looks, reads, step)
		}
	}
}

// It went while it was looked at, or came back: what is told is that it could not be reached.
func TestHealthKeepsNothingOfALedgerThatComesAndGoes(t *testing.T) {
	down := errors.New("down")
	for what, c := range map[string]struct{ first, look, want error }{
		"it went":      {nil, down, down},
		"it came back": {down, nil, down},
	} {
		looks := 0
		h := &ledgerHealth{paid: true, now: time.Now, reachable: func(context.Context) error { return c.first },
			look: func(context.Context) map[string]error { looks++; return map[string]error{ledgerIsReachable: c.look} }}
		for n := range 3 {
			if got := h.checks(t.Context()); got[ledgerIsReachable] != c.want || looks != n+1 {
				t.Errorf("%s: %v, %d looks", what, got, looks)
			}
		}
	}
}

// What costs nothing is looked at each time.
func TestHealthOfALedgerThatIsNotPaidByReadIsOfNow(t *testing.T) {
	looks := 0
	h := &ledgerHealth{now: time.Now, look: func(context.Context) map[string]error { looks++; return map[string]error{} }}
	for range 3 {
		h.checks(t.Context())
	}
	if looks != 3 {
		t.Errorf("%d looks", looks)
	}
}
