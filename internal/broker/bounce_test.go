package broker_test

import (
	"fmt"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

func noMailbox(to access.Principal) access.Bounce {
	return access.Bounce{To: to, Status: "5.1.1", Text: "550 5.1.1 no such user", Meaning: "There is no such mailbox.", Remedy: "Ask."}
}

// It is told once, whoever reads the mail and however often, to the requester and the admins,
// by the next sweep; and it is in the history.
func TestABounceIsToldOnceAndRemembered(t *testing.T) {
	w, store, asked := waiting(t, nil)
	w.Admins = []string{"user:dora@example.com", "group:ops@example.com", "claim:root"}
	first, second := w.Broker(), w.Broker()
	for _, b := range []*broker.Broker{first, second, first} {
		if known, err := b.Bounced(t.Context(), asked.Ref, noMailbox(ben)); err != nil || !known {
			t.Fatal(known, err)
		}
	}
	if len(w.Told) > 0 {
		t.Errorf("whoever reads the mail tells of it: %v", w.Told)
	}
	if told := after(t, w, time.Second); told != "bounced to [ana@example.com] [dora@example.com ops@example.com]; " {
		t.Fatalf("told %q", told)
	}
	n := w.Told[0]
	if n.Bounce.Status != "5.1.1" || n.Bounce.To != ben || n.ReviewURL != asked.ReviewURL || n.Request.ID != asked.Ref {
		t.Errorf("%+v", n)
	}
	events, err := store.History(t.Context(), asked.Ref)
	if err != nil || len(events) != 2 || events[1].Action != access.MailBounced || events[1].Bounce.Text != "550 5.1.1 no such user" ||
		events[1].Caller.Method != access.MethodSystem {
		t.Errorf("%+v, %v", events, err)
	}
	if w.Actions() != "mail bounced" {
		t.Errorf("journal %q", w.Actions())
	}
}

// Nothing from a mail changes who is asked, who may decide, or when.
func TestABounceChangesNothingOfTheRequest(t *testing.T) {
	w, store, asked := waiting(t, nil)
	b := w.Broker()
	before, err := store.Open(t.Context(), asked.Ref)
	if err != nil {
		t.Fatal(err)
	}
	for i := range access.MaxBounced + 5 {
		if _, err := b.Bounced(t.Context(), asked.Ref, noMailbox(access.Principal(fmt.Sprintf("p%d@example.com", i)))); err != nil {
			t.Fatal(err)
		}
	}
	r, err := store.Open(t.Context(), asked.Ref)
	if err != nil || r.FullDigest() != before.FullDigest() || r.State != before.State || r.DueAt() != before.DueAt() ||
		fmt.Sprint(r.Reviewers) != fmt.Sprint(before.Reviewers) || len(r.Bounced) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if decided, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve}); err != nil ||
		decided.State != access.Active {
		t.Errorf("%+v, %v", decided, err)
	}
}

// What the ledger does not know, or cannot read, is left where it is; while it is out of reach the
// mail is to be read again.
func TestABounceOfNothingThatIsKnown(t *testing.T) {
	w, store, asked := waiting(t, nil)
	b := w.Broker()
	if known, err := b.Bounced(t.Context(), "mpa-9999999999999999", noMailbox(ben)); known || err != nil {
		t.Error(known, err)
	}
	if known, err := b.Bounced(t.Context(), "no id", noMailbox(ben)); known || err != nil {
		t.Error(known, err)
	}
	if w.Actions() != "" || len(w.Told) > 0 {
		t.Errorf("journal %q, told %v", w.Actions(), w.Told)
	}
	away := &brokertest.Unreachable{Memory: store, Down: true}
	w.Ledger = away
	if known, err := w.Broker().Bounced(t.Context(), asked.Ref, noMailbox(ben)); known || err == nil {
		t.Error(known, err)
	}
	away.Down = false
	if known, err := w.Broker().Bounced(t.Context(), asked.Ref, noMailbox(ben)); !known || err != nil {
		t.Error(known, err)
	}
}

// Where nothing is remembered, the instance that told of a request tells of the bounce, once.
func TestABounceWithoutMemory(t *testing.T) {
	w := newWorld(t)
	w.Admins = []string{"user:dora@example.com"}
	b, other := w.Broker(), w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.Forget()
	for range 2 {
		if known, err := b.Bounced(t.Context(), asked.Request.ID, noMailbox(ben)); !known || err != nil {
			t.Fatal(known, err)
		}
	}
	if known, err := other.Bounced(t.Context(), asked.Request.ID, noMailbox(ben)); known || err != nil {
		t.Error("known to an instance that told nobody of it", known, err)
	}
	if len(w.Told) != 1 || w.Told[0].Kind != access.NoticeBounced || fmt.Sprint(w.Told[0].To, w.Told[0].CC) != "[ana@example.com] [dora@example.com]" ||
		w.Actions() != "mail bounced" {
		t.Errorf("told %+v, journal %q", w.Told, w.Actions())
	}
}

// What is made up of addresses at which nobody is told is one thing, and hides nothing of those
// who are; whose mail goes elsewhere is known all the same.
func TestMadeUpBouncesHideNoOther(t *testing.T) {
	w, store, asked := waiting(t, nil)
	w.Admins = []string{"user:dora@example.com"}
	w.Mailed = func(p access.Principal) (string, error) { return "mail." + string(p), nil }
	b := w.Broker()
	for i := range access.MaxBounced + 5 {
		if known, err := b.Bounced(t.Context(), asked.Ref, noMailbox(access.Principal(fmt.Sprintf("p%d@evil.example", i)))); !known || err != nil {
			t.Fatal(known, err)
		}
	}
	for _, to := range []access.Principal{ben, "mail.cho@example.com", "dora@example.com"} {
		if known, err := b.Bounced(t.Context(), asked.Ref, noMailbox(to)); !known || err != nil {
			t.Fatal(known, err)
		}
	}
	r, err := store.Open(t.Context(), asked.Ref)
	if err != nil || fmt.Sprint(r.Bounced) != "[ ben@example.com cho@example.com dora@example.com]" {
		t.Errorf("%q, %v", r.Bounced, err)
	}
	if after(t, w, time.Second); len(w.Told) != 4 {
		t.Errorf("told %d times", len(w.Told))
	}
}

// A request that was over for a week is not told of any more.
func TestABounceOfWhatIsLongOverIsNotTold(t *testing.T) {
	for later, want := range map[time.Duration]int{8 * 24 * time.Hour: 0, 6 * 24 * time.Hour: 1} {
		w, store, asked := waiting(t, nil)
		w.Clock = w.Clock.Add(later)
		if known, err := w.Broker().Bounced(t.Context(), asked.Ref, noMailbox(ben)); !known || err != nil {
			t.Fatal(known, err)
		}
		if r, err := store.Open(t.Context(), asked.Ref); err != nil || len(r.Bounced) != want {
			t.Errorf("after %v: %v, %v", later, r.Bounced, err)
		}
	}
}
