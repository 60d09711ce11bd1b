package broker_test

import (
	"context"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

// legacy are rooms in which requests wait that another program took.
type legacy struct {
	*brokertest.Rooms
	waiting  []access.Request
	warnings []*access.Error
}

func (i legacy) Waiting(context.Context) ([]access.Request, []*access.Error) {
	return i.waiting, i.warnings
}

func (i legacy) registration() broker.Registration {
	return broker.Registration{Provider: i, Name: "Rooms", Kinds: brokertest.RoomKinds}
}

// What waits in a provider is recorded once, in the journal too, under the terms of now, and
// what becomes of it here holds, however long it waits over there.
func TestWhatWaitsInAProviderIsTakenOver(t *testing.T) {
	w, store := withLedger(t)
	left := access.Request{ID: "mpa-0000000000000007", Kind: access.Peers, Principal: ana, Resource: brokertest.Lab.Resource,
		Entitlements: []access.EntitlementID{brokertest.Lab}, Justification: "left behind", Duration: time.Hour, Created: w.Clock, Expires: w.Clock.Add(time.Hour)}
	rooms := legacy{Rooms: &brokertest.Rooms{People: []access.Principal{ana, ben}}, waiting: []access.Request{left}}
	b := w.BrokerOf(w.Registration(), rooms.registration())
	for i, want := range []int{1, 0, 0} {
		taken, err := b.TakeOver(t.Context())
		if err != nil || taken != want {
			t.Errorf("time %d: %d, %v", i, taken, err)
		}
	}
	if got := w.Actions(); got != "request made" {
		t.Errorf("journal: %s", got)
	}
	r, err := store.Open(t.Context(), left.ID)
	if err != nil || r.State != access.Pending || r.Principal != ana || r.Terms.Approvals() != 1 || r.Digest() != left.Digest() {
		t.Errorf("%+v, %v", r, err)
	}
	w.Clock = w.Clock.Add(2 * time.Hour) // it has lapsed
	rooms.waiting[0].Created, rooms.waiting[0].Expires = w.Clock, w.Clock.Add(time.Hour)
	if taken, err := b.TakeOver(t.Context()); taken != 0 || err != nil {
		t.Errorf("%d, %v", taken, err)
	}
	if w.Told != nil {
		t.Errorf("told %+v", w.Told)
	}
}

// One provider that cannot say hides nothing of the others, and without memory there is
// nothing to do.
func TestTakingOverSaysWhatCannotBeRead(t *testing.T) {
	w, _ := withLedger(t)
	down := &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	rooms := legacy{Rooms: &brokertest.Rooms{}, warnings: []*access.Error{down}}
	if taken, err := w.BrokerOf(w.Registration(), rooms.registration()).TakeOver(t.Context()); taken != 0 || codeOf(err) != down.Code {
		t.Errorf("%d, %v", taken, err)
	}
	w = newWorld(t)
	if taken, err := w.BrokerOf(w.Registration(), rooms.registration()).TakeOver(t.Context()); taken != 0 || err != nil {
		t.Errorf("%d, %v", taken, err)
	}
}

// slow are rooms whose doors open only when somebody has turned a key.
type slow struct{ *brokertest.Rooms }

var waits = &access.Error{Kind: access.Conflict, Code: access.CodeChangesetPending, Args: access.Args{"resource": "rooms/lab", "changesets": "c1"}}

func (s slow) Grant(ctx context.Context, g access.Grant, q access.StandingQuery, check func(access.Standing) error) ([]access.Outcome, error) {
	outcomes, err := s.Rooms.Grant(ctx, g, q, check)
	for i := range outcomes {
		outcomes[i].Waits = waits
	}
	return outcomes, err
}

func (s slow) End(ctx context.Context, e access.Ending) ([]access.Outcome, error) {
	outcomes, err := s.Rooms.End(ctx, e)
	for i := range outcomes {
		outcomes[i].Waits = waits
	}
	return outcomes, err
}

// What was written and does not hold yet is a warning for whoever approves and ends, and in
// the journal.
func TestWhatDoesNotHoldYetIsSaid(t *testing.T) {
	w, _ := withLedger(t)
	rooms := slow{&brokertest.Rooms{People: []access.Principal{ana, ben}}}
	b := w.BrokerOf(w.Registration(), broker.Registration{Provider: rooms, Name: "Rooms", Kinds: brokertest.RoomKinds})
	asked, err := b.Ask(t.Context(), access.Caller{Principal: ana}, broker.Ask{Resource: brokertest.Lab.Resource, Entitlements: []access.EntitlementID{brokertest.Lab},
		Reviewers: []string{string(ben)}, Justification: "case 4711", Duration: time.Hour, Origin: "https://jit.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	has := func(all []*access.Error) (n int) {
		for _, e := range all {
			if e.Code == waits.Code {
				n++
			}
		}
		return n
	}
	decided, err := b.Decide(t.Context(), access.Caller{Principal: ben}, broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Digest: asked.Request.Digest()})
	if err != nil || has(decided.Warnings) != 1 {
		t.Fatalf("%+v, %v", decided.Warnings, err)
	}
	ended, err := b.End(t.Context(), access.Caller{Principal: ana}, brokertest.Lab.Resource, asked.Request.ID, "")
	if err != nil || has(ended.Warnings) != 1 {
		t.Fatalf("%+v, %v", ended.Warnings, err)
	}
	for _, e := range w.Journal {
		if e.Action == access.GrantWritten || e.Action == access.GrantEnded {
			if has(e.Warnings) != 1 {
				t.Errorf("%s: %+v", e.Action, e.Warnings)
			}
		}
	}
}
