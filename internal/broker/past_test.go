package broker_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger"
)

// TestWhoDecidesIsToldWhatThereWasBefore: counted on the same resource, of the same human, in the
// time before the request, and without the request itself.
func TestWhoDecidesIsToldWhatThereWasBefore(t *testing.T) {
	w, _ := withLedger(t)
	b := w.Broker()
	show := func(who access.Principal, ref string) broker.View {
		t.Helper()
		v, err := b.Show(t.Context(), caller(who), ref, "")
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	made := func(reason string) broker.Asked {
		a := ask()
		a.Justification = reason
		return mustAsk(t, b, a)
	}
	first := made("case 1")
	if past := show(ben, first.Ref).Past; past == nil || *past != (access.Past{}) {
		t.Errorf("of a first request: %+v", past)
	}
	if _, err := approve(t, b, ben, first.Ref); err != nil {
		t.Fatal(err)
	}
	if past := show(ben, first.Ref).Past; past != nil {
		t.Errorf("of what is decided: %+v", past)
	}
	had := w.Clock.UTC().Truncate(24 * time.Hour)
	w.Clock = w.Clock.Add(30 * 24 * time.Hour)
	if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: made("case 2").Ref, Verdict: access.Deny, Comment: "no"}); err != nil {
		t.Fatal(err)
	}
	made("case 3") // waits, and counts for nothing
	w.Clock = w.Clock.Add(time.Minute)
	last := made("case 4")
	if past := show(ben, last.Ref).Past; past == nil || *past != (access.Past{Had: 1, Denied: 1, Last: had}) {
		t.Errorf("of a fourth request: %+v", past)
	}
	if past := show(ana, last.Ref).Past; past != nil {
		t.Errorf("who asked is told %+v", past)
	}
	w.Clock = w.Clock.Add(time.Minute)
	if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: made("meanwhile").Ref, Verdict: access.Deny, Comment: "no"}); err != nil {
		t.Fatal(err)
	}
	if past := show(ben, last.Ref).Past; past == nil || *past != (access.Past{Had: 1, Denied: 1, Last: had}) {
		t.Errorf("what came after it is told as before: %+v", past)
	}
	w.Clock = w.Clock.Add(broker.PastTime)
	if past := show(ben, made("case 5").Ref).Past; past == nil || *past != (access.Past{Denied: 1}) && *past != (access.Past{}) {
		t.Errorf("of what is longer ago: %+v", past)
	}
}

// Without memory there is nothing to tell, and that is not told as nothing having been.
func TestWithoutMemoryNothingIsToldOfBefore(t *testing.T) {
	_, b, asked := pending(t)
	v, err := b.Show(t.Context(), caller(ben), asked.Ref, "")
	if err != nil || v.Past != nil {
		t.Errorf("%+v, %v", v.Past, err)
	}
}

// TestWhoWaitsIsOfferedTheGlass: only whom the rule names, only while it waits.
func TestWhoWaitsIsOfferedTheGlass(t *testing.T) {
	w, _, b := withGlass(t)
	asked := mustAsk(t, b, ask())
	can := func(who access.Principal) bool {
		t.Helper()
		v, err := b.Show(t.Context(), caller(who), asked.Ref, "")
		if err != nil {
			t.Fatal(err)
		}
		return v.CanBreak
	}
	if !can(ana) || can(ben) {
		t.Errorf("the requester: %t, a reviewer: %t", can(ana), can(ben))
	}
	w.GroupsOf[ana] = nil
	if can(ana) {
		t.Error("offered to somebody whom the rule does not name")
	}
	w.GroupsOf[ana] = []string{"oncall@example.com"}
	if _, err := approve(t, b, ben, asked.Ref); err != nil {
		t.Fatal(err)
	}
	if can(ana) {
		t.Error("offered when it is granted")
	}
}

// reading is a ledger whose reads are counted.
type reading struct {
	*ledger.Store
	reads map[string]int
}

func (r *reading) Open(ctx context.Context, ref string) (access.Request, error) {
	r.reads["open"]++
	return r.Store.Open(ctx, ref)
}

func (r *reading) History(ctx context.Context, id string) ([]access.Event, error) {
	r.reads["history"]++
	return r.Store.History(ctx, id)
}

func (r *reading) List(ctx context.Context, l access.Listing) (access.Listed, error) {
	r.reads["list"]++
	return r.Store.List(ctx, l)
}

func (r *reading) Count(ctx context.Context, l access.Listing) ([]access.Count, bool, error) {
	r.reads["count"]++
	return r.Store.Count(ctx, l)
}

// TestReadsOfTheLedgerAreCounted keeps what docs/calls.md says of them.
func TestReadsOfTheLedgerAreCounted(t *testing.T) {
	w, store := withLedger(t)
	w.Auditors = []string{"user:" + string(fay)}
	counted := &reading{store, map[string]int{}}
	w.Ledger = counted
	b := w.Broker()
	asked := mustAsk(t, b, ask())
	looks := func(who access.Principal, want map[string]int) {
		t.Helper()
		clear(counted.reads)
		if _, err := b.Show(t.Context(), caller(who), asked.Ref, ""); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(counted.reads, want) {
			t.Errorf("%s reads %v, want %v", who, counted.reads, want)
		}
	}
	looks(ben, map[string]int{"open": 1, "history": 1, "count": 1})
	looks(ana, map[string]int{"open": 1, "history": 1})
	looks(fay, map[string]int{"open": 1, "history": 1})
	if _, err := approve(t, b, ben, asked.Ref); err != nil {
		t.Fatal(err)
	}
	looks(ben, map[string]int{"open": 1, "history": 1})
}
