package broker_test

import (
	"context"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

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
