package broker_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/notice"
	"jitaccess/internal/words"
)

func decide(t *testing.T, b *broker.Broker, p access.Principal, ref string, length time.Duration) (broker.Decided, error) {
	return b.Decide(t.Context(), caller(p), broker.Decide{Ref: ref, Verdict: access.Approve, Duration: length})
}

// An approver may approve for less; of several the shortest counts, and people are told.
func TestApprovingForLess(t *testing.T) {
	w, store := withLedger(t)
	twoOfTwo(w)
	b := w.Broker()
	asked := mustAsk(t, b, ask())
	if _, err := decide(t, b, ben, asked.Ref, 20*time.Minute); err != nil {
		t.Fatal(err)
	}
	w.Told = nil
	decided, err := decide(t, b, cho, asked.Ref, 40*time.Minute)
	if err != nil || decided.State != access.Active || decided.Window.Length() != 20*time.Minute || w.Activations[0].Window != decided.Window {
		t.Fatalf("%+v, %v; granted %v", decided, err, w.Activations)
	}
	r, err := store.Open(t.Context(), asked.Ref)
	if err != nil || r.Window != decided.Window || r.Duration != time.Hour || r.Decisions[0].Duration != 20*time.Minute || r.Decisions[1].Duration != 40*time.Minute {
		t.Errorf("%+v, %v", r, err)
	}
	facts, err := notice.Writer{Language: words.English()}.Write(w.Told[0])
	if err != nil || !slices.ContainsFunc(facts.Rows, func(row notice.Row) bool {
		return slices.Contains(row.Details, "Approved for 20 minutes of the 1 hour asked.")
	}) {
		t.Errorf("%+v, %v", facts.Rows, err)
	}
	// What ran to its end was not ended early.
	w.Clock = w.Clock.Add(30 * time.Minute)
	if v, err := b.Show(t.Context(), caller(ana), asked.Ref, ""); err != nil || v.State != access.Expired {
		t.Errorf("%v, %v", v.State, err)
	}
}

func TestApprovingForLessHasBounds(t *testing.T) {
	for length, code := range map[time.Duration]access.Code{time.Hour + time.Minute: access.CodeBadDuration, 30 * time.Second: access.CodeBadDuration,
		90 * time.Second: access.CodeBadDuration, -time.Minute: access.CodeBadDuration, time.Minute: "", time.Hour: "", 0: ""} {
		w, _ := withLedger(t)
		b := w.Broker()
		_, err := decide(t, b, ben, mustAsk(t, b, ask()).Ref, length)
		if e := access.AsError(err); code == "" && e != nil || code != "" && (e == nil || e.Code != code || e.Kind != access.Invalid || e.Field != access.FieldDuration || e.Args["max"] != "60") {
			t.Errorf("%v: %v", length, err)
		}
		if (len(w.Activations) > 0) != (code == "") {
			t.Errorf("%v: granted %v", length, w.Activations)
		}
	}
	// Of a denial it is nothing.
	w, _ := withLedger(t)
	b := w.Broker()
	denied, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: mustAsk(t, b, ask()).Ref, Verdict: access.Deny, Comment: "no", Duration: time.Second})
	if err != nil || denied.Decision.Duration != 0 {
		t.Errorf("%+v, %v", denied, err)
	}
	// What JIT Access 1.x made keeps its window.
	w, b, asked := remembering(t, nil)
	r := w.Requests[asked.Ref]
	r.Fixed = access.Window{Start: r.Created, End: r.Created.Add(time.Hour)}
	w.Requests[asked.Ref] = r
	_, err = decide(t, b, ben, asked.Ref, time.Minute)
	is(t, err, access.Invalid, access.CodeFixedWindow)
	// Without memory the grant alone would say that it was ended early.
	w, b, asked = requested(t)
	_, err = decide(t, b, ben, asked.Ref, time.Minute)
	is(t, err, access.NotFound, access.CodeNeedsLedger)
	if len(w.Activations) > 0 {
		t.Errorf("granted %v", w.Activations)
	}
}

// Pressed again it is the same; with another length it is not what is recorded.
func TestApprovingForLessAgain(t *testing.T) {
	for _, needed := range []int{1, 2} {
		w, _ := withLedger(t)
		if needed == 2 {
			twoOfTwo(w)
		}
		b := w.Broker()
		asked := mustAsk(t, b, ask())
		for _, length := range []time.Duration{20 * time.Minute, 20 * time.Minute, 0} {
			if _, err := decide(t, b, ben, asked.Ref, length); err != nil {
				t.Errorf("%d, %v: %v", needed, length, err)
			}
		}
		_, err := decide(t, b, ben, asked.Ref, 10*time.Minute)
		is(t, err, access.Conflict, access.CodeAlreadyApproved)
	}
}

// startsIn asks for the role that peers approve, from then on.
func startsIn(w *world, ahead time.Duration) broker.Ask {
	a := ask()
	a.Start = w.Clock.Add(ahead)
	return a
}

// What begins later is written when it is approved if that is soon, or if nobody sweeps;
// otherwise shortly before it begins.
func TestALaterStart(t *testing.T) {
	for rule, c := range map[string]struct {
		ahead time.Duration
		swept time.Duration // ago; 0 is never
		want  access.State
		code  access.Code
	}{
		"soon, swept":                  {15 * time.Minute, time.Minute, access.Active, ""},
		"soon, never swept":            {15 * time.Minute, 0, access.Active, ""},
		"later, swept":                 {16 * time.Minute, time.Minute, access.Scheduled, ""},
		"later, swept 15 minutes ago":  {16 * time.Minute, 15 * time.Minute, access.Scheduled, ""},
		"later, by a clock ahead":      {16 * time.Minute, -time.Minute, access.Scheduled, ""},
		"later, swept some time ago":   {16 * time.Minute, 16 * time.Minute, access.Active, ""},
		"later, never swept":           {16 * time.Minute, 0, access.Active, ""},
		"a day ahead, never swept":     {24 * time.Hour, 0, access.Active, ""},
		"more than that, swept":        {25 * time.Hour, time.Minute, access.Scheduled, ""},
		"more than that, never swept":  {25 * time.Hour, 0, access.Pending, access.CodeNoSweep},
		"more than that, swept before": {25 * time.Hour, time.Hour, access.Pending, access.CodeNoSweep},
	} {
		t.Run(rule, func(t *testing.T) {
			w, store := withLedger(t)
			w.Policy = changed(w, func(t *access.Terms) { t.StartWithin, t.RequestLife = 72*time.Hour, 72*time.Hour })
			b := w.Broker()
			asked := mustAsk(t, b, startsIn(w, c.ahead))
			if c.swept != 0 {
				if err := store.Swept(t.Context(), w.Clock.Add(-c.swept)); err != nil {
					t.Fatal(err)
				}
			}
			w.Told = nil
			decided, err := approve(t, b, ben, asked.Ref)
			if got := state(t, store, asked.Ref); got != c.want || (err == nil) != (c.code == "") || err != nil && access.AsError(err).Code != c.code {
				t.Fatalf("%q, %+v, %v", got, decided, err)
			}
			if granted := len(w.Activations) > 0; granted != (c.want == access.Active) {
				t.Errorf("granted %v", w.Activations)
			}
			told := 1
			if c.code != "" {
				told = 0
			}
			if len(w.Told) != told || told == 1 && w.Told[0].Window != decided.Window {
				t.Errorf("told %+v", w.Told)
			}
			if c.want != access.Scheduled {
				return
			}
			// The same again is the same, a page shows when it begins, and others find it decided.
			if again, err := approve(t, b, ben, asked.Ref); err != nil || again.State != access.Scheduled || again.Window != decided.Window || len(w.Activations) > 0 {
				t.Errorf("again: %+v, %v", again, err)
			}
			if v, err := b.Show(t.Context(), caller(ana), asked.Ref, ""); err != nil || v.State != access.Scheduled || v.Window != decided.Window || !v.CanEnd || v.CanExtend {
				t.Errorf("%+v, %v", v, err)
			}
			_, err = approve(t, b, cho, asked.Ref)
			is(t, err, access.Conflict, access.CodeAlreadyApproved)
			w.Clock = decided.Window.Start.Add(-15*time.Minute - time.Second)
			if done := swept(t, b); done.Finished != 0 || len(w.Activations) > 0 {
				t.Errorf("too soon: %+v, %v", done, w.Activations)
			}
			w.Clock = decided.Window.Start.Add(-15 * time.Minute)
			done := swept(t, b)
			if got := windowsOf(w, asked.Ref); done.Finished != 1 || len(got) != 1 || got[0] != decided.Window || len(w.Told) != 1 {
				t.Errorf("%+v, granted %v, told %+v", done, got, w.Told)
			}
		})
	}
}

// What would not be approved shortly before it begins is not written.
func TestALaterStartIsCheckedBeforeItIsWritten(t *testing.T) {
	w, store := withLedger(t)
	b := w.Broker()
	asked := mustAsk(t, b, startsIn(w, time.Hour))
	swept(t, b)
	if decided, err := approve(t, b, ben, asked.Ref); err != nil || decided.State != access.Scheduled {
		t.Fatalf("%+v, %v", decided, err)
	}
	w.Holdings[ana] = nil
	w.Clock = w.Clock.Add(50 * time.Minute)
	if done := swept(t, b); done.Finished != 0 || len(w.Activations) > 0 {
		t.Errorf("%+v, %v", done, w.Activations)
	}
	w.Clock = w.Clock.Add(21 * time.Minute)
	if swept(t, b); state(t, store, asked.Ref) != access.Failed {
		t.Errorf("%q", state(t, store, asked.Ref))
	}
}

// What is approved and not written is called off by its holder, whoever approved it, and
// admins; the others hear of it, once, and nothing is written.
func TestCallingOff(t *testing.T) {
	for _, st := range []access.State{access.Scheduled, access.Approved} {
		for who, allowed := range map[access.Principal]bool{ana: true, ben: true, dan: true, cho: false} {
			t.Run(string(st)+" by "+string(who), func(t *testing.T) {
				w, store := withLedger(t)
				b := w.Broker()
				a := ask()
				if st == access.Scheduled {
					a = startsIn(w, time.Hour)
				} else {
					w.GrantErr = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
				}
				asked := mustAsk(t, b, a)
				swept(t, b)
				if decided, err := approve(t, b, ben, asked.Ref); err != nil || decided.State != st {
					t.Fatalf("%+v, %v", decided, err)
				}
				if v, err := b.Show(t.Context(), caller(ben), asked.Ref, ""); err != nil || !v.CanEnd {
					t.Errorf("%v, %v: the approver may end it", v.CanEnd, err)
				}
				w.Told, w.Journal = nil, nil
				for range 2 {
					ended, err := b.End(t.Context(), caller(who), shop, asked.Request.ID, "")
					if !allowed {
						is(t, err, access.NotFound, access.CodeNoGrant)
						return
					}
					if err != nil || len(ended.Outcomes) > 0 {
						t.Fatalf("%+v, %v", ended, err)
					}
				}
				if got := state(t, store, asked.Ref); got != access.Ended || w.Actions() != "end asked, ended" {
					t.Errorf("%q, journal %q", got, w.Actions())
				}
				told := map[access.Principal][][]access.Principal{ana: nil, ben: {{ana}, {}}, dan: {{ana}, {ben}}}[who]
				if len(w.Told) != min(len(told), 1) || len(told) > 0 && (w.Told[0].Kind != access.NoticeEnded || w.Told[0].By != who ||
					!slices.Equal(w.Told[0].To, told[0]) || !slices.Equal(w.Told[0].CC, told[1])) {
					t.Errorf("told %+v", w.Told)
				}
				w.GrantErr = nil
				w.Clock = w.Clock.Add(50 * time.Minute)
				if swept(t, b); len(w.Activations) > 0 {
					t.Errorf("granted %v", w.Activations)
				}
			})
		}
	}
}

// Who writes a grant while it is called off ends it again.
func TestCallingOffWhileItIsWritten(t *testing.T) {
	w, store := withLedger(t)
	b := w.Broker()
	asked := mustAsk(t, b, ask())
	// Another instance is asked to end it after the approval stands and before it is written.
	w.BeforeGrant = func() {
		w.BeforeGrant = nil
		if _, err := w.Broker().End(t.Context(), caller(ana), shop, asked.Request.ID, ""); err != nil {
			t.Error(err)
		}
	}
	_, err := approve(t, b, ben, asked.Ref)
	is(t, err, access.Gone, access.CodeAlreadyEnded)
	if got := windowsOf(w, asked.Ref); len(got) > 1 || len(got) == 1 && got[0].Length() > 0 {
		t.Errorf("granted %v", got)
	}
	if got := state(t, store, asked.Ref); got != access.Ended {
		t.Errorf("%q", got)
	}
}

// Who approved access may end it where that is remembered; holder and approvers hear of
// an end by somebody else, and of nobody's own.
func TestWhoHearsOfAnEnd(t *testing.T) {
	for who, want := range map[access.Principal]string{ana: "nobody", ben: "ended to [ana@example.com] copy []", dan: "ended to [ana@example.com] copy [ben@example.com]"} {
		w, _ := withLedger(t)
		b := w.Broker()
		r := granted(t, w, b, access.Peers)
		w.Told = nil
		w.Clock = w.Clock.Add(time.Minute)
		for range 2 { // twice is once
			if _, err := b.End(t.Context(), caller(who), shop, r.ID, ""); err != nil {
				t.Fatal(err)
			}
		}
		if got := heard(w); got != want || len(w.Told) > 1 {
			t.Errorf("%s: %s, %d times, want %s", who, got, len(w.Told), want)
		}
		if who == ana {
			continue
		}
		facts, err := notice.Writer{Language: words.English()}.Write(w.Told[0])
		if err != nil || facts.By != who || facts.Heading != "Access ended early" {
			t.Errorf("%+v, %v", facts, err)
		}
	}
	// Nobody can be told: it is ended, with a warning, and told later.
	w, _ := withLedger(t)
	b := w.Broker()
	r := granted(t, w, b, access.Peers)
	w.Undelivered = access.Receipts{{To: ana, Channel: "mail", Err: errors.New("550")}}
	ended, err := b.End(t.Context(), caller(dan), shop, r.ID, "")
	if err != nil || len(ended.Warnings) == 0 {
		t.Errorf("%+v, %v", ended, err)
	}
	w.Undelivered, w.Told = nil, nil
	w.Clock = w.Clock.Add(2 * time.Minute)
	if done := swept(t, b); done.Told != 1 || len(w.Told) != 1 || w.Told[0].By != dan {
		t.Errorf("%+v, %+v", done, w.Told)
	}
}

// Recorded is never a failure while the platform may come back, and one at once when it
// refuses for good.
func TestRecordedIsNoFailure(t *testing.T) {
	for _, c := range []struct {
		err  *access.Error
		want access.State
	}{
		{&access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}, access.Approved},
		{&access.Error{Kind: access.TimedOut, Code: access.CodeUpstreamTimeout}, access.Approved},
		{&access.Error{Kind: access.TooMany, Code: access.CodeQuota}, access.Approved},
		{&access.Error{Kind: access.Conflict, Code: access.CodeConflict}, access.Approved},
		{&access.Error{Kind: access.Upstream, Code: access.CodeServiceNotAllowed}, access.Approved},
		{&access.Error{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable, Args: access.Args{"role": string(admin.Role)}}, access.Failed},
	} {
		for _, kind := range []access.RequestKind{access.Self, access.Peers} {
			w, store := withLedger(t)
			b := w.Broker()
			w.GrantErr = c.err
			var err error
			var warnings []*access.Error
			var asked broker.Asked
			if kind == access.Self {
				asked, err = b.Ask(t.Context(), caller(ana), selfAsk())
				warnings = asked.Warnings
			} else {
				asked = mustAsk(t, b, ask())
				var decided broker.Decided
				decided, err = approve(t, b, ben, asked.Ref)
				if warnings = decided.Warnings; err == nil && decided.State != c.want {
					t.Errorf("%v: %+v", c.err, decided)
				}
			}
			if got := state(t, store, asked.Request.ID); got != c.want {
				t.Errorf("%s, %v: %q", kind, c.err, got)
			}
			if c.want == access.Failed {
				if err != error(c.err) {
					t.Errorf("%s: %v", kind, err)
				}
				continue
			}
			if err != nil || !slices.Contains(warnings, c.err) {
				t.Errorf("%s, %v: %v, %v", kind, c.err, warnings, err)
			}
			w.GrantErr = nil
			w.Clock = w.Clock.Add(time.Minute)
			if done := swept(t, b); done.Finished != 1 || len(w.Activations) != 1 {
				t.Errorf("%s, %v: %+v, %v", kind, c.err, done, w.Activations)
			}
		}
	}
}

// Two instances whose clocks are a minute apart: no window begins before what it rests on,
// or before the grant that it goes on with ends.
func TestClocksAMinuteApart(t *testing.T) {
	for _, ahead := range []time.Duration{time.Minute, -time.Minute} {
		w, _ := withLedger(t)
		b := w.Broker()
		at := w.Clock
		first := granted(t, w, b, access.Peers)
		w.Clock = at.Add(50*time.Minute + ahead)
		asked := mustAsk(t, b, more(t, w, first.ID, access.Peers))
		w.Clock = at.Add(50 * time.Minute)
		decided, err := approve(t, b, ben, asked.Ref)
		if err != nil || !decided.Window.Start.Equal(first.Window.End) {
			t.Errorf("%v: %+v, %v", ahead, decided, err)
		}
		// The grant is over by one clock, and not by the other.
		w.Clock = first.Window.End.Add(time.Hour - 30*time.Second + ahead)
		_, err = b.Extension(t.Context(), caller(ana), decided.Request.ID)
		if (err == nil) != (ahead < 0) {
			t.Errorf("%v: %v", ahead, err)
		}
	}
}
