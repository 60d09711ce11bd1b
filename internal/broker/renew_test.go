package broker_test

import (
	"context"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// replaced is a policy that another instance has replaced.
type replaced struct {
	broker.Policy
	renewed int
	err     error
}

func (r *replaced) Renew(context.Context) error {
	r.renewed++
	return r.err
}

// Whatever is decided by a policy is decided by the one that was taken last.
func TestThePolicyIsLookedAtBeforeSomethingIsDecided(t *testing.T) {
	w, store := withLedger(t)
	p := &replaced{Policy: changed(w, func(*access.Terms) {})}
	w.Policy = p
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.GrantErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	if waiting, err := approve(t, b, ben, asked.Ref); err != nil || waiting.State != access.Approved {
		t.Fatalf("%+v, %v", waiting, err)
	}
	w.GrantErr = nil
	another := ask()
	another.Justification = "another"
	other, err := b.Ask(t.Context(), caller(ana), another)
	if err != nil {
		t.Fatal(err)
	}
	p.err, p.renewed = &access.Error{Kind: access.Unavailable, Code: access.CodePolicyUnreadable}, 0
	third := ask()
	third.Justification = "third"
	for what, do := range map[string]func() error{
		"asking": func() error {
			_, err := b.Ask(t.Context(), caller(ana), third)
			return err
		},
		"activating": func() error {
			_, err := b.Ask(t.Context(), caller(ana), selfAsk())
			return err
		},
		"approving": func() error {
			_, err := approve(t, b, ben, other.Ref)
			return err
		},
	} {
		before := p.renewed
		if err := do(); codeOf(err) != access.CodePolicyUnreadable || p.renewed != before+1 {
			t.Errorf("%s: %v, looked %d times", what, err, p.renewed-before)
		}
	}
	w.Clock = w.Clock.Add(time.Minute)
	if done := swept(t, b); done.Finished != 0 || state(t, store, asked.Ref) != access.Approved {
		t.Errorf("%+v", done)
	}
	p.err = nil
	if done := swept(t, b); done.Finished != 1 || state(t, store, asked.Ref) != access.Active {
		t.Errorf("%+v", done)
	}
}
