package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger"
)

// waiting is a request of ana's, for an hour, that ben and cho were asked to decide.
func waiting(t *testing.T, change func(*access.Terms)) (*world, *ledger.Store, broker.Asked) {
	t.Helper()
	w, store := withLedger(t)
	w.Origin = "https://jit.example.com"
	w.Policy = changed(w, func(t *access.Terms) {
		if change != nil {
			change(t)
		}
	})
	asked, err := w.Broker().Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	w.Forget()
	return w, store, asked
}

// after has an instance sweep so long after the world began, and says who was told what.
func after(t *testing.T, w *world, since time.Duration) string {
	t.Helper()
	w.Clock, w.Told = dawn.Add(since), nil
	for range 5 { // as often as something is due
		swept(t, w.Broker())
	}
	told := ""
	for _, n := range w.Told {
		told += fmt.Sprint(n.Kind, " to ", n.To, n.CC, "; ")
	}
	return told
}

func TestWhoWasAskedIsRemindedOnce(t *testing.T) {
	for _, c := range []struct {
		rule   string
		change func(*access.Terms)
		at     time.Duration
	}{
		{"at half the request's life", nil, 30 * time.Minute},
		{"when the rule says", func(t *access.Terms) { t.RemindAfter = 45 * time.Minute }, 45 * time.Minute},
	} {
		t.Run(c.rule, func(t *testing.T) {
			w, store, asked := waiting(t, c.change)
			if told := after(t, w, c.at-time.Second); told != "" {
				t.Errorf("too early: %s", told)
			}
			if told := after(t, w, c.at); told != "reminder to [ben@example.com cho@example.com] []; " {
				t.Errorf("told %q", told)
			}
			n := w.Told[0]
			if n.ReviewURL != asked.ReviewURL || n.BaseURL != "https://jit.example.com/" || len(n.Roles) != 1 || !n.Window.IsZero() {
				t.Errorf("%+v", n)
			}
			if told := after(t, w, c.at+time.Minute); told != "" {
				t.Errorf("again: %s", told)
			}
			if events, err := store.History(t.Context(), asked.Ref); err != nil || len(events) != 2 || events[1].Action != access.Reminded ||
				events[1].Caller.Method != access.MethodSystem {
				t.Errorf("%+v, %v", events, err)
			}
			if w.Actions() != "reminded" {
				t.Errorf("journal %q", w.Actions())
			}
		})
	}
}

func TestARuleWhoseReminderComesTooLateHasNone(t *testing.T) {
	w, _, _ := waiting(t, func(t *access.Terms) { t.RemindAfter = time.Hour })
	if told := after(t, w, time.Hour); told != "" || w.Actions() != "lapsed" {
		t.Errorf("told %q, %q", told, w.Actions())
	}
}

func TestWhoHasDecidedIsNotReminded(t *testing.T) {
	two := func(t *access.Terms) {
		t.Requirements = []access.Requirement{{Count: 2, From: []string{access.FromPeers}}}
	}
	w, _, asked := waiting(t, two)
	if _, err := approve(t, w.Broker(), ben, asked.Ref); err != nil {
		t.Fatal(err)
	}
	if told := after(t, w, 30*time.Minute); told != "reminder to [cho@example.com] []; " {
		t.Errorf("told %q", told)
	}

	// By another address of theirs they have, and then nobody is left: that is recorded all
	// the same, and not tried for ever.
	w, store, asked := waiting(t, two)
	if _, err := approve(t, w.Broker(), ben, asked.Ref); err != nil {
		t.Fatal(err)
	}
	w.Policy = oneHuman{w.Policy, cho, ben}
	if told := after(t, w, 30*time.Minute); told != "" {
		t.Errorf("told %q", told)
	}
	if r, err := store.Open(t.Context(), asked.Ref); err != nil || r.Reminded.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
}

type oneHuman struct {
	broker.Policy
	other, human access.Principal
}

func (o oneHuman) Accounts(p access.Principal) []access.Principal {
	if p == o.other || p == o.human {
		return []access.Principal{o.human, o.other}
	}
	return []access.Principal{p}
}

func (o oneHuman) Addresses(p access.Principal) []access.Principal {
	if p == o.other || p == o.human {
		return []access.Principal{o.human, o.other}
	}
	return []access.Principal{p}
}

func TestEscalationsAreToldOnceEachAndLetNobodyDecide(t *testing.T) {
	w, store, asked := waiting(t, func(t *access.Terms) {
		t.RemindAfter = 25 * time.Minute
		t.Escalations = []access.Escalation{{After: 20 * time.Minute, To: []string{"group:leads@example.com", "user:eve@example.com"}},
			{After: 40 * time.Minute, To: []string{"group:board@example.com"}}, {After: 2 * time.Hour, To: []string{"user:late@example.com"}}}
	})
	for _, c := range []struct {
		at   time.Duration
		told string
	}{
		{19 * time.Minute, ""},
		{20 * time.Minute, "escalated to [leads@example.com eve@example.com] []; "},
		// After a standstill all that is due is told, in its order.
		{41 * time.Minute, "reminder to [ben@example.com cho@example.com] []; escalated to [board@example.com] []; "},
		{59 * time.Minute, ""},
		{61 * time.Minute, ""},
	} {
		if told := after(t, w, c.at); told != c.told {
			t.Errorf("after %v: told %q, want %q", c.at, told, c.told)
		}
		for _, n := range w.Told {
			if n.Kind == access.NoticeEscalated && (n.ReviewURL != "" || n.BaseURL == "") {
				t.Errorf("%+v: they may not open it", n)
			}
		}
	}
	if w.Actions() != "escalated, reminded, escalated, lapsed" || state(t, store, asked.Ref) != access.Lapsed {
		t.Errorf("%q", w.Actions())
	}
	w.Clock = dawn.Add(30 * time.Minute)
	_, err := approve(t, w.Broker(), "eve@example.com", asked.Ref)
	is(t, err, access.NotAllowed, access.CodeNotInvolved)
}

func TestAHolderIsToldBeforeTheEnd(t *testing.T) {
	lasting := func(a broker.Ask, d time.Duration) broker.Ask {
		a.Duration = d
		return a
	}
	for _, c := range []struct {
		rule string
		ask  broker.Ask
		do   func(*testing.T, *world, broker.Memory, access.Request)
		at   time.Duration // after the beginning
		told string
	}{
		{"ten minutes before it", lasting(selfAsk(), time.Hour), nil, 50 * time.Minute, "ending to [ana@example.com] []; "},
		{"not sooner", lasting(selfAsk(), time.Hour), nil, 49 * time.Minute, ""},
		{"also when others approved", ask(), nil, 50 * time.Minute, "ending to [ana@example.com] []; "},
		{"a minute late is still of use", lasting(selfAsk(), time.Hour), nil, 59 * time.Minute, "ending to [ana@example.com] []; "},
		{"not of what is over", lasting(selfAsk(), time.Hour), nil, time.Hour, ""},
		{"nor long after", lasting(selfAsk(), time.Hour), nil, 40 * time.Hour, ""},
		{"of more than twenty minutes", lasting(selfAsk(), 21*time.Minute), nil, 11 * time.Minute, "ending to [ana@example.com] []; "},
		{"not of less", lasting(selfAsk(), 20*time.Minute), nil, 15 * time.Minute, ""},
		{"not of what was ended", lasting(selfAsk(), time.Hour), func(t *testing.T, w *world, _ broker.Memory, r access.Request) {
			if _, err := w.Broker().End(t.Context(), caller(ana), shop, r.ID, ""); err != nil {
				t.Fatal(err)
			}
		}, 50 * time.Minute, ""},
		{"not of what goes on", lasting(selfAsk(), time.Hour), func(t *testing.T, w *world, m broker.Memory, r access.Request) {
			next := r
			next.ID, next.Extends, next.State, next.Version = "jit-AAAAAAAAAAAAAAAA", r.ID, access.Unmade, 0
			e := access.Event{Action: access.SelfApproved, At: w.Clock, Caller: caller(ana), Request: next,
				Window: access.Window{Start: r.Window.End, End: r.Window.End.Add(time.Hour)}}
			if _, err := m.Commit(t.Context(), e, nil); err != nil {
				t.Fatal(err)
			}
		}, 50 * time.Minute, "self-approved to [ana@example.com] []; "}, // of what is written ahead
	} {
		t.Run(c.rule, func(t *testing.T) {
			w, store := withLedger(t)
			w.Origin = "https://jit.example.com"
			b := w.Broker()
			asked, err := b.Ask(t.Context(), caller(ana), c.ask)
			if err == nil && asked.Ref != "" {
				// A reminder from before the decision is no notice of the end.
				after(t, w, 30*time.Minute)
				_, err = approve(t, b, ben, asked.Ref)
			}
			if err != nil {
				t.Fatal(err)
			}
			r, err := store.Open(t.Context(), asked.Request.ID)
			if err != nil {
				t.Fatal(err)
			}
			if c.do != nil {
				c.do(t, w, store, r)
			}
			since := r.Window.Start.Add(c.at).Sub(dawn)
			if told := after(t, w, since); told != c.told {
				t.Fatalf("told %q, want %q", told, c.told)
			}
			if !strings.HasPrefix(c.told, "ending") {
				return
			}
			if n := w.Told[0]; n.Window != r.Window || n.ReviewURL != "https://jit.example.com/review?activation="+r.ID {
				t.Errorf("%+v", n)
			}
			if told := after(t, w, since+30*time.Second); told != "" {
				t.Errorf("again: %q", told)
			}
		})
	}
}

func TestWithoutAnOriginRemindersHaveNoLink(t *testing.T) {
	w, _, _ := waiting(t, nil)
	w.Origin = ""
	if told := after(t, w, 30*time.Minute); told == "" || w.Told[0].ReviewURL != "" || w.Told[0].BaseURL != "" {
		t.Errorf("%q, %+v", told, w.Told)
	}
}

// After a standstill what is over is recorded as over, and nobody is told of it again.
func TestNobodyIsRemindedOfWhatIsOver(t *testing.T) {
	w, store, asked := waiting(t, func(t *access.Terms) {
		t.Escalations = []access.Escalation{{After: 10 * time.Minute, To: []string{"user:eve@example.com"}}}
	})
	if told := after(t, w, time.Hour); told != "" || w.Actions() != "lapsed" || state(t, store, asked.Ref) != access.Lapsed {
		t.Errorf("told %q, %q", told, w.Actions())
	}
	for _, verdict := range []access.Verdict{access.Approve, access.Deny} {
		w, _, asked := waiting(t, nil)
		if _, err := w.Broker().Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: verdict, Comment: "so"}); err != nil {
			t.Fatal(err)
		}
		if told := after(t, w, 30*time.Minute); told != "" {
			t.Errorf("%s: told %q", verdict, told)
		}
	}
}

// interleaved has something done before an event is recorded, once.
type interleaved struct {
	broker.Memory
	before func()
}

func (i *interleaved) Commit(ctx context.Context, e access.Event, notices []access.Notice) (string, error) {
	if do := i.before; do != nil {
		i.before = nil
		do()
	}
	return i.Memory.Commit(ctx, e, notices)
}

func TestOfTwoInstancesOneReminds(t *testing.T) {
	w, store, asked := waiting(t, nil)
	w.Clock = dawn.Add(30 * time.Minute)
	i := &interleaved{Memory: store, before: func() {
		if done := swept(t, w.Broker()); done != (broker.Swept{Told: 1}) {
			t.Errorf("the other: %+v", done)
		}
	}}
	w.Ledger = i
	if done := swept(t, w.Broker()); done != (broker.Swept{}) {
		t.Errorf("%+v", done)
	}
	events, err := store.History(t.Context(), asked.Ref)
	if err != nil || len(events) != 2 || len(w.Told) != 1 {
		t.Errorf("%d mails, %+v, %v", len(w.Told), events, err)
	}
	if w.Actions() != "reminded, reminded" { // each says what it is about to do, and nobody was refused anything
		t.Errorf("journal %q", w.Actions())
	}
}

// Somebody decides while the reminder is about to be recorded.
func TestADecisionIsQuickerThanAReminder(t *testing.T) {
	w, store, asked := waiting(t, nil)
	w.Clock = dawn.Add(30 * time.Minute)
	w.Ledger = &interleaved{Memory: store, before: func() {
		if _, err := approve(t, w.Broker(), ben, asked.Ref); err != nil {
			t.Error(err)
		}
	}}
	swept(t, w.Broker())
	if heard(w) != "approved to [ana@example.com] copy [ben@example.com cho@example.com]" || len(w.Told) != 1 {
		t.Errorf("told %d, %s", len(w.Told), heard(w))
	}
}

func TestAReminderThatCannotBeRecordedIsNotSent(t *testing.T) {
	w, _, _ := waiting(t, nil)
	w.JournalErr[access.Reminded] = errors.New("full")
	w.Clock = dawn.Add(30 * time.Minute)
	if done := swept(t, w.Broker()); done != (broker.Swept{Left: 1}) || len(w.Told) != 0 {
		t.Errorf("%+v, told %d", done, len(w.Told))
	}
	delete(w.JournalErr, access.Reminded)
	if told := after(t, w, 31*time.Minute); told == "" {
		t.Error("nobody was reminded afterwards")
	}
}

// What could not be sent is sent later, unless it has nothing to say any more.
func TestRemindersThatWaitInTheOutboxAreNotSentTooLate(t *testing.T) {
	down := access.Receipts{{To: ben, Channel: "mail", Err: errors.New("down")}}
	for _, c := range []struct {
		rule string
		do   func(*world, broker.Asked)
		at   time.Duration
		told string
	}{
		{"sent when it can be", func(*world, broker.Asked) {}, 35 * time.Minute, "reminder to [ben@example.com cho@example.com] []; "},
		{"not when it is decided", func(w *world, asked broker.Asked) {
			if _, err := approve(t, w.Broker(), ben, asked.Ref); err != nil {
				t.Error(err)
			}
		}, 35 * time.Minute, ""},
		{"not when it has lapsed", func(*world, broker.Asked) {}, 61 * time.Minute, ""},
	} {
		w, store, asked := waiting(t, nil)
		w.Undelivered = down
		if after(t, w, 30*time.Minute); w.Actions() != "reminded, notice failed" {
			t.Errorf("%s: %q", c.rule, w.Actions())
		}
		w.Undelivered = nil
		c.do(w, asked)
		if told := after(t, w, c.at); told != c.told {
			t.Errorf("%s: told %q, want %q", c.rule, told, c.told)
		}
		if left, err := taken(store.Take(t.Context(), w.Clock.Add(48*time.Hour), time.Minute, 50, false)); err != nil || len(left) != 0 {
			t.Errorf("%s: left %+v, %v", c.rule, left, err)
		}
	}
	// A notice of the end, after the end.
	w, _ := withLedger(t)
	if _, err := w.Broker().Ask(t.Context(), caller(ana), selfAsk()); err != nil {
		t.Fatal(err)
	}
	w.Undelivered = down
	after(t, w, 50*time.Minute)
	w.Undelivered = nil
	if told := after(t, w, time.Hour+time.Minute); told != "" {
		t.Errorf("told %q", told)
	}
}
