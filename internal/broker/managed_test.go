package broker_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker/brokertest"
)

// made says of every change that it was made so.
type made struct {
	did   access.Action
	waits bool
	err   error
	of    access.ApplicationChange
}

func (h *made) Happened(_ context.Context, c access.ApplicationChange) (access.Action, bool, error) {
	h.of = c
	return h.did, h.waits, h.err
}

func change(w *world) access.ApplicationChange {
	return access.ApplicationChange{Application: "deployer", Number: 2, By: dan, At: w.Clock, What: []string{"hosts"}}
}

// Administrators who are other humans hear that a change waits for one of them, and auditors what
// the only administrator did alone; nobody hears of what takes away.
func TestWhoHearsOfApplications(t *testing.T) {
	w, _, _, _ := signing(t, nil)
	w.Admins = []string{"user:" + string(dan), "user:" + string(cho), "user:" + string(eve), "group:leads@example.com", "claim:admins"}
	w.Auditors = []string{"user:auditor@example.com", "group:audit@example.com"}
	w.Policy = people{w.Policy, [][]access.Principal{{dan, eve}}}
	b := w.Broker()
	for did, want := range map[access.Action][]access.Principal{
		access.ApplicationChanged: nil, access.ApplicationAgreed: nil, access.ApplicationDropped: nil,
		access.ApplicationProposed: {cho, "leads@example.com"}, access.ApplicationAlone: {"auditor@example.com", "audit@example.com"},
	} {
		w.Forget()
		var kept []access.Notice
		warnings, err := b.ChangeApplication(t.Context(), caller(dan), did, change(w), func(_ context.Context, n ...access.Notice) error {
			if len(w.Journal) != 1 || w.Journal[0].Action != did || w.Journal[0].Change.Application != "deployer" {
				t.Errorf("%s: the journal has %+v before it is kept", did, w.Journal)
			}
			kept = n
			return nil
		})
		if err != nil || len(warnings) != 0 || len(kept) != len(w.Told) || len(w.Told) != min(len(want), 1) {
			t.Fatalf("%s: %v, %v, told %+v, kept %+v", did, warnings, err, w.Told, kept)
		}
		for _, n := range w.Told {
			link := map[access.Action]string{access.ApplicationProposed: keyOrigin + "/apps/deployer"}[did]
			if !slices.Equal(n.To, want) || n.Change.By != dan || n.ReviewURL != link {
				t.Errorf("%s: to %v, link %q, of %+v", did, n.To, n.ReviewURL, n.Change)
			}
		}
	}
}

// What could not be recorded is not done; what could not be kept, nobody is told; what nobody
// could be told is done, and a warning.
func TestTroubleWithAChangeOfAnApplication(t *testing.T) {
	w, _, _, _ := signing(t, nil)
	w.Admins = []string{"user:" + string(dan), "user:" + string(cho)}
	b := w.Broker()
	keep := func(err error) func(context.Context, ...access.Notice) error {
		return func(context.Context, ...access.Notice) error { return err }
	}
	w.Forget()
	conflict := &access.Error{Kind: access.Conflict, Code: access.CodeChangedMeanwhile}
	if _, err := b.ChangeApplication(t.Context(), caller(dan), access.ApplicationProposed, change(w), keep(conflict)); !errors.Is(err, conflict) || len(w.Told) != 0 {
		t.Errorf("%v, told %+v", err, w.Told)
	}
	if last := w.Journal[len(w.Journal)-1]; last.Action != access.ActionRefused || last.Trying != access.ApplicationProposed || last.Err == nil {
		t.Errorf("%+v", last)
	}
	w.Undelivered = access.Receipts{{To: cho, Channel: "mail", Err: errors.New("550")}}
	warnings, err := b.ChangeApplication(t.Context(), caller(dan), access.ApplicationProposed, change(w), keep(nil))
	if err != nil || len(warnings) != 1 || warnings[0].Code != access.CodeNotDelivered {
		t.Errorf("%v, %v", warnings, err)
	}
	w.JournalErr[access.ApplicationProposed] = errors.New("full")
	kept := false
	_, err = b.ChangeApplication(t.Context(), caller(dan), access.ApplicationProposed, change(w), func(context.Context, ...access.Notice) error {
		kept = true
		return nil
	})
	is(t, err, access.Unavailable, access.CodeJournalUnavailable)
	if kept {
		t.Error("what cannot be recorded is done")
	}
}

// Of a change from the outbox people are told what happened, and asked to agree to what still
// waits.
func TestAChangeFromTheOutbox(t *testing.T) {
	for name, c := range map[string]struct {
		made
		did  access.Action
		told int
	}{
		"it waits":                 {made{did: access.ApplicationProposed, waits: true}, access.ApplicationProposed, 1},
		"it was agreed to":         {made{did: access.ApplicationProposed}, access.ApplicationProposed, 0},
		"it did not happen so":     {made{}, access.ApplicationProposed, 0},
		"one did it alone":         {made{did: access.ApplicationAlone}, access.ApplicationAlone, 1},
		"it was not done alone":    {made{did: access.ApplicationProposed, waits: true}, access.ApplicationAlone, 0},
		"what happened is damaged": {made{err: &access.Error{Kind: access.Unprocessable, Code: access.CodeDeedsDamaged}}, access.ApplicationAlone, 0},
	} {
		w, _, _ := withDatabase(t)
		w.Signatures, w.Origin, w.Managed = &brokertest.Signatures{}, keyOrigin, &c.made
		w.Admins, w.Auditors = []string{"user:" + string(dan), "user:" + string(cho)}, []string{"user:auditor@example.com"}
		b := w.Broker()
		w.Undelivered = access.Receipts{{To: cho, Channel: "mail", Err: errors.New("down")}}
		if _, err := b.ChangeApplication(t.Context(), caller(dan), c.did, change(w), func(ctx context.Context, n ...access.Notice) error {
			return w.Ledger.(interface {
				Append(context.Context, access.Deed, ...access.Notice) error
			}).Append(ctx, access.Deed{Kind: access.DeedApplication, Of: "deployer", Number: 1, By: dan, Body: []byte("{}")}, n...)
		}); err != nil {
			t.Fatal(name, err)
		}
		was := change(w)
		w.Undelivered, w.Told = nil, nil
		w.Clock = w.Clock.Add(2 * time.Minute)
		swept(t, b)
		if len(w.Told) != c.told {
			t.Errorf("%s: told %+v", name, w.Told)
		}
		if of := c.made.of; of.Application != "deployer" || of.Number != 2 || of.By != dan || !of.At.Equal(was.At) || !slices.Equal(of.What, was.What) {
			t.Errorf("%s: it is asked of %+v whether it happened", name, of)
		}
	}
}
