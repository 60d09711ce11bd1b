package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// A channel for machines that fails concerns nobody in particular, and fails
// nothing (threat 31).
func TestThreat31_AChannelWithoutPeopleThatFailsIsAWarning(t *testing.T) {
	w := newWorld(t)
	w.Undelivered = access.Receipts{{Channel: "pubsub", Err: errors.New("403")}}
	b := w.Broker()
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
	if len(w.Activations) != 2 || decided.State != access.Active {
		t.Errorf("granted %v", w.Activations)
	}
}

// Of all that became of a notice, only what failed is a warning.
func TestOnlyReceiptsThatFailedAreWarnings(t *testing.T) {
	w := newWorld(t)
	w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Ref: "1@example.com"}, {To: cho, Channel: "mail", Err: errors.New("550")},
		{Channel: "pubsub", Ref: "17"}}
	asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
	if err != nil || len(asked.Warnings) != 1 || asked.Warnings[0].Code != access.CodeNotDelivered ||
		asked.Warnings[0].Args["recipient"] != string(cho) || asked.Warnings[0].Args["channel"] != "mail" {
		t.Errorf("warnings %v, %v", asked.Warnings, err)
	}
	w.Undelivered = w.Undelivered[:1]
	if asked, err = w.Broker().Ask(t.Context(), caller(ana), ask()); err != nil || len(asked.Warnings) != 0 {
		t.Errorf("warnings %v, %v", asked.Warnings, err)
	}
}

// Listeners are told of an activation once, however often it is sent.
func TestAnActivationThatStandsIsNotToldAgain(t *testing.T) {
	w := newWorld(t)
	a := selfAsk()
	a.Form = formOf(ana, access.Self)
	for range 2 {
		// Two brokers, as two instances know nothing of each other.
		if _, err := w.Broker().Ask(t.Context(), caller(ana), a); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.Told) != 1 || w.Told[0].Kind != access.NoticeSelfApproved {
		t.Errorf("told %v", w.Told)
	}
}

// The journal says of a refusal what would have been granted.
func TestRefusalsAreJournalledWithTheirWindow(t *testing.T) {
	w := newWorld(t)
	a := selfAsk()
	a.Entitlements = []access.EntitlementID{narrow}
	if _, err := w.Broker().Ask(t.Context(), caller(ana), a); err == nil {
		t.Fatal("granted what nobody holds")
	}
	e := w.Journal[len(w.Journal)-1]
	if e.Action != access.ActionRefused || e.Window.Length() != time.Hour || e.Window.Start.After(w.Clock) {
		t.Errorf("journalled %+v", e)
	}
}

// heard is to whom the last notice went.
func heard(w *world) string {
	if len(w.Told) == 0 {
		return "nobody"
	}
	n := w.Told[len(w.Told)-1]
	return fmt.Sprint(n.Kind, " to ", n.To, " copy ", n.CC)
}

// Approvers hear of requests, requesters of both outcomes, and all who were asked
// that it is settled.
func TestWhoHearsWhat(t *testing.T) {
	decide := func(verdict access.Verdict) func(*world, *broker.Broker) error {
		return func(w *world, b *broker.Broker) error {
			asked, err := b.Ask(t.Context(), caller(ana), ask())
			if err != nil {
				return err
			}
			w.Told = nil
			_, err = b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: verdict, Comment: "use staging"})
			return err
		}
	}
	for _, c := range []struct {
		what string
		do   func(*world, *broker.Broker) error
		want string
	}{
		{"asks", func(_ *world, b *broker.Broker) error {
			_, err := b.Ask(t.Context(), caller(ana), ask())
			return err
		}, "review to [ben@example.com cho@example.com] copy [ana@example.com]"},
		{"approves", decide(access.Approve), "approved to [ana@example.com] copy [ben@example.com cho@example.com]"},
		{"denies", decide(access.Deny), "denied to [ana@example.com] copy [ben@example.com cho@example.com]"},
		{"activates", func(_ *world, b *broker.Broker) error {
			_, err := b.Ask(t.Context(), caller(ana), selfAsk())
			return err
		}, "self-approved to [ana@example.com] copy []"},
		{"ends", func(w *world, b *broker.Broker) error {
			self, err := b.Ask(t.Context(), caller(ana), selfAsk())
			if err != nil {
				return err
			}
			w.Told = nil
			_, err = b.End(t.Context(), caller(ana), shop, self.Request.ID, "")
			return err
		}, "nobody"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t)
			if err := c.do(w, w.Broker()); err != nil {
				t.Fatal(err)
			}
			if got := heard(w); got != c.want {
				t.Errorf("told %s, want %s", got, c.want)
			}
			if n := w.Told; c.what == "denies" && n[0].Decision.Comment != "use staging" {
				t.Errorf("the reason is %q", n[0].Decision.Comment)
			}
		})
	}
}

// Cho was added after ben got his link, which does not know of her.
func TestReviewersAddedLaterHearHowItWasDecided(t *testing.T) {
	for _, verdict := range []access.Verdict{access.Approve, access.Deny} {
		w, b, asked := pending(t)
		for range 2 {
			if _, err := b.AddReviewers(t.Context(), caller(ana), addTo(asked.Ref, "cho@example.com")); err != nil {
				t.Fatal(err)
			}
			// The link is the record, as the signed one is: it stays what it was.
			w.Requests[asked.Ref] = asked.Request
		}
		if _, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: verdict, Comment: "no"}); err != nil {
			t.Fatal(err)
		}
		kind := map[access.Verdict]string{access.Approve: "approved", access.Deny: "denied"}[verdict]
		if got, want := heard(w), kind+" to [ana@example.com] copy [ben@example.com cho@example.com]"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	}
}

// The page of the mail account is for them alone.
func TestAdmin(t *testing.T) {
	w := newWorld(t)
	b := w.Broker()
	if err := b.Admin(t.Context(), caller(dan)); err != nil || !b.NamedAdmin(caller(dan)) {
		t.Errorf("dan is named: %v", err)
	}
	is(t, b.Admin(t.Context(), caller(ana)), access.NotAllowed, access.CodeNotAdmin)
	w.GroupsOf = map[access.Principal][]string{cho: {"ops@example.com"}}
	if err := b.Admin(t.Context(), caller(cho)); err != nil || b.NamedAdmin(caller(cho)) {
		t.Errorf("cho is one through a group: %v", err)
	}
	w.DirectoryErr = &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed}
	is(t, b.Admin(t.Context(), caller(cho)), access.Upstream, access.CodeUpstreamFailed)
}
