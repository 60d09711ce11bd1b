package broker_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/policy"
)

// teller is a world whose telling a test watches: told is called first, with what it is told
// within, and its receipts are the answer unless they are nil.
type teller struct {
	*world
	told func(context.Context, access.Notice) access.Receipts
}

func (z *teller) Notify(ctx context.Context, n access.Notice) access.Receipts {
	if z.told != nil {
		if receipts := z.told(ctx, n); receipts != nil {
			return receipts
		}
	}
	return z.world.Notify(ctx, n)
}

// broker is an instance that tells by it.
func (z *teller) broker() *broker.Broker {
	return broker.New(broker.Config{Providers: []broker.Registration{z.Registration()}, Store: z.Ledger, Journal: z.world, Notifier: z,
		Directory: z.world, Admins: z.Admins, Policy: policy.New(z.Settings), Origin: "https://jit.example.com",
		Now: z.now, Random: rand.Reader})
}

func (z *teller) now() time.Time {
	z.Mu.Lock()
	defer z.Mu.Unlock()
	return z.Clock
}

// wait has time go on.
func (z *teller) wait(d time.Duration) {
	z.Mu.Lock()
	defer z.Mu.Unlock()
	z.Clock = z.Clock.Add(d)
}

// cases are so many requests of somebody, of each of which a mail came back that the sweep is to
// tell of.
func (z *teller) cases(t *testing.T, count int) (ids []string) {
	t.Helper()
	b := z.broker()
	for i := range count {
		a := ask()
		a.Justification = fmt.Sprint("case ", i)
		asked, err := b.Ask(t.Context(), caller(ana), a)
		if err != nil {
			t.Fatal(err)
		}
		if known, err := b.Bounced(t.Context(), asked.Ref, noMailbox(ben)); !known || err != nil {
			t.Fatal(known, err)
		}
		ids = append(ids, asked.Ref)
	}
	z.Forget()
	return ids
}

// What the sweep tells has as much time as what an action tells, whatever time the sweep has.
func TestTheSweepTellsWithinATime(t *testing.T) {
	w, _ := withLedger(t)
	z := &teller{world: w}
	z.cases(t, 1)
	told := 0 // there is one
	z.told = func(ctx context.Context, _ access.Notice) access.Receipts {
		told++
		if end, ends := ctx.Deadline(); !ends || time.Until(end) > 10*time.Second {
			t.Errorf("told until %v, %t", end, ends)
		}
		return nil
	}
	if swept(t, z.broker()); told != 1 {
		t.Errorf("told %d times", told)
	}
}

// A channel that takes its time takes no more than some of one sweep's. What is left is nobody's:
// another instance sends it at once, and nobody hears anything twice.
func TestASweepThatTellsSlowlyLeavesTheRest(t *testing.T) {
	w, _ := withLedger(t)
	z, quick := &teller{world: w}, &teller{world: w}
	z.cases(t, 30)
	z.told = func(context.Context, access.Notice) access.Receipts {
		z.wait(10 * time.Second)
		return nil
	}
	done, err := z.broker().Sweep(t.Context(), 30)
	if err != nil || done.Told < 2 || done.Told > 12 {
		t.Errorf("%+v, %v", done, err)
	}
	others, err := quick.broker().Sweep(t.Context(), 30)
	if err != nil || done.Told+others.Told != 30 {
		t.Errorf("the other: %+v, %v", others, err)
	}
	ids := map[string]int{}
	for _, n := range w.Told {
		ids[n.ID]++
	}
	if len(ids) != 30 || len(w.Told) != 30 {
		t.Errorf("told %d of %d notices", len(w.Told), len(ids))
	}
}

// Another instance that sweeps meanwhile, for however long the first is busy with its messages,
// takes each of the others once.
func TestNothingIsToldTwiceWhileOneIsToldSlowly(t *testing.T) {
	w, _ := withLedger(t)
	z, quick := &teller{world: w}, &teller{world: w}
	z.cases(t, 30)
	var once sync.Once
	z.told = func(context.Context, access.Notice) access.Receipts {
		once.Do(func() {
			for range 4 {
				z.wait(time.Minute)
				if _, err := quick.broker().Sweep(t.Context(), 30); err != nil {
					t.Error(err)
				}
			}
		})
		return nil
	}
	if _, err := z.broker().Sweep(t.Context(), 30); err != nil {
		t.Error(err)
	}
	if len(w.Told) != 30 {
		t.Errorf("told %d times", len(w.Told))
	}
}

// resting is the error of a channel that wants a rest.
type resting struct{ until time.Time }

func (resting) Error() string           { return "too many" }
func (r resting) RestsUntil() time.Time { return r.until }

// A channel that asks for a rest is not asked before its end, and is passed over in the sweep in
// which it asked.
func TestAChannelThatRestsIsAskedAfterItsRest(t *testing.T) {
	w, _ := withLedger(t)
	z := &teller{world: w}
	z.cases(t, 3)
	var asked atomic.Int32
	rests := w.Clock.Add(10 * time.Minute)
	z.told = func(_ context.Context, n access.Notice) access.Receipts {
		if n.Kind != access.NoticeBounced {
			return nil
		}
		if asked.Add(1); z.now().Before(rests) {
			return access.Receipts{{Channel: "chat", Err: resting{rests}}}
		}
		return access.Receipts{{Channel: "chat"}}
	}
	if swept(t, z.broker()); asked.Load() != 3 { // of each it has to be seen by which channels it goes
		t.Errorf("asked %d times", asked.Load())
	}
	for range 9 {
		z.wait(time.Minute)
		if swept(t, z.broker()); asked.Load() != 3 {
			t.Fatalf("asked at %v, while it rests", w.Clock.Sub(rests))
		}
	}
	z.wait(time.Minute + time.Second)
	if swept(t, z.broker()); asked.Load() != 6 {
		t.Errorf("asked %d times", asked.Load())
	}
	z.cases(t, 30)
	z.told = func(context.Context, access.Notice) access.Receipts {
		return access.Receipts{{Channel: "chat", Err: errors.New("down")}}
	}
	if _, err := z.broker().Sweep(t.Context(), 30); err != nil {
		t.Fatal(err)
	}
	asked.Store(0)
	z.wait(time.Minute)
	z.told = func(context.Context, access.Notice) access.Receipts {
		asked.Add(1)
		return access.Receipts{{Channel: "chat", Err: resting{z.now().Add(5 * time.Minute)}}}
	}
	if _, err := z.broker().Sweep(t.Context(), 30); err != nil || asked.Load() > 20 {
		t.Errorf("asked %d times in a sweep, %v", asked.Load(), err)
	}
	before := asked.Load()
	z.wait(4 * time.Minute)
	if swept(t, z.broker()); asked.Load() != before {
		t.Error("those that were passed over were tried while it rests")
	}
}

// However much of one person cannot be told, and however long, another's notice is told by the
// next sweep.
func TestOnePersonKeepsNobodysNoticesWaiting(t *testing.T) {
	w, _ := withLedger(t)
	z := &teller{world: w}
	b := z.broker()
	victim := ask()
	victim.Reviewers = []string{"cho@example.com"}
	theirs, err := b.Ask(t.Context(), caller(ben), victim)
	if err != nil {
		t.Fatal(err)
	}
	z.told = func(_ context.Context, n access.Notice) access.Receipts {
		if n.Request.Principal == ana {
			return access.Receipts{{To: "group@example.com", Channel: "chat", Err: errors.New("users_not_found")}}
		}
		return nil
	}
	for i := range 120 {
		a := ask()
		a.Justification = fmt.Sprint("case ", i)
		if _, err := b.Ask(t.Context(), caller(ana), a); err != nil {
			t.Fatal(err)
		}
	}
	w.Clock = w.Clock.Add(2 * time.Minute)
	w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errors.New("down")}}
	if known, err := b.Bounced(t.Context(), theirs.Ref, noMailbox(cho)); !known || err != nil {
		t.Fatal(known, err)
	}
	w.Forget()
	if swept(t, b); len(w.Told) != 1 {
		t.Errorf("told %d of ben's at first", len(w.Told))
	}
	w.Clock = w.Clock.Add(2 * time.Minute) // all of ana's is due again, and was before ben's
	w.Undelivered = nil
	if swept(t, b); len(w.Told) != 2 {
		t.Errorf("told %d of ben's then", len(w.Told))
	}
}

// What only the sweep tells, and what an action could not, leaves a trace: the log has how it began
// and that it was given up, and the request that.
func TestWhatCannotBeToldLeavesATrace(t *testing.T) {
	w, store := withLedger(t)
	z := &teller{world: w}
	id := z.cases(t, 1)[0]
	z.told = func(_ context.Context, n access.Notice) access.Receipts {
		if n.Kind == access.NoticeBounced {
			return access.Receipts{{To: ana, Channel: "mail", Err: errors.New("550 no such user")}}
		}
		return nil
	}
	before, err := store.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if swept(t, z.broker()); w.Actions() != "notice failed" {
		t.Errorf("at first: %q", w.Actions())
	}
	for range 30 {
		w.Clock = w.Clock.Add(time.Hour)
		swept(t, z.broker())
	}
	if w.Actions() != "notice failed, lapsed, notice given up" {
		t.Errorf("then: %q", w.Actions())
	}
	events, err := store.History(t.Context(), id)
	last := events[len(events)-1]
	if e := access.AsError(last.Err); err != nil || last.Action != access.NoticeGivenUp || e == nil || e.Code != access.CodeNotDelivered ||
		e.Args["recipient"] != string(ana) {
		t.Errorf("%+v, %v", last, err)
	}
	if r, err := store.Open(t.Context(), id); err != nil || r.State != access.Lapsed || r.FullDigest() != before.FullDigest() {
		t.Errorf("%+v, %v", r, err)
	}
}

// That it was given up keeps nobody from deciding on what they see.
func TestWhatWasGivenUpKeepsNobodyFromDeciding(t *testing.T) {
	w, store := withLedger(t)
	b := w.Broker()
	asked, err := b.Ask(t.Context(), caller(ana), ask())
	if err != nil {
		t.Fatal(err)
	}
	r, err := store.Open(t.Context(), asked.Ref)
	if err == nil {
		_, err = store.Commit(t.Context(), access.Event{Action: access.NoticeGivenUp, At: w.Clock, Request: r,
			Err: &access.Error{Kind: access.Unavailable, Code: access.CodeNotDelivered}}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Commit(t.Context(), access.Event{Action: access.RequestWithdrawn, At: w.Clock, Caller: caller(ana), Request: r}, nil)
	if err != nil || state(t, store, asked.Ref) != access.Withdrawn {
		t.Errorf("%v, %q", err, state(t, store, asked.Ref))
	}
}

// later are who is told what by the sweep in five minutes.
func later(t *testing.T, w *world) string {
	t.Helper()
	w.Undelivered, w.Told = nil, nil
	w.Clock = w.Clock.Add(5 * time.Minute)
	swept(t, w.Broker())
	told := ""
	for _, n := range w.Told {
		told += fmt.Sprint(n.Kind, " to ", n.To, " left ", n.Left, "; ")
	}
	return told
}

// What could not be told is not told any more when it is not true any more, but to programs, which
// hear what happened and when.
func TestWhatIsNotTrueAnyMoreIsNotTold(t *testing.T) {
	type step func(*world, *broker.Broker, access.Request) error
	down := func(channels ...string) (failed access.Receipts) {
		for _, c := range channels {
			failed = append(failed, access.Receipt{Channel: c, Err: errors.New("down")})
		}
		failed[0].To = ben
		return failed
	}
	withdraw := func(_ *world, b *broker.Broker, r access.Request) error {
		_, _, err := b.Withdraw(t.Context(), caller(ana), r.ID, "")
		return err
	}
	grant := func(_ *world, b *broker.Broker, r access.Request) error {
		_, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: r.ID, Verdict: access.Approve})
		return err
	}
	end := func(_ *world, b *broker.Broker, r access.Request) error {
		_, err := b.End(t.Context(), caller(ana), r.Resource, r.ID, "")
		return err
	}
	people := access.Channel{Name: "chat", Everything: true, People: true}
	for name, test := range map[string]struct {
		also []access.Channel
		// first is what nobody can be told of by down, where it is not the asking; then what is done
		// while everybody can.
		first step
		down  access.Receipts
		then  step
		want  string
	}{
		"a review of what was withdrawn": {nil, nil, down("mail"), withdraw, ""},
		"the same, of which a program did not hear": {[]access.Channel{hook}, nil, down("mail", "webhook"), withdraw,
			"review to [ben@example.com cho@example.com] left [{webhook }]; "},
		"the same, of which a chat did not hear": {[]access.Channel{people}, nil, down("mail", "chat"), withdraw, ""},
		"a review of what was approved":          {nil, nil, down("mail"), grant, ""},
		"a review of what still waits":           {nil, nil, down("mail"), nil, "review to [ben@example.com cho@example.com] left [{mail ben@example.com}]; "},
		"an approval of what was ended":          {nil, grant, down("mail"), end, ""},
		"an approval of what stands":             {nil, grant, down("mail"), nil, "approved to [ana@example.com] left [{mail ben@example.com}]; "},
		"that it was withdrawn":                  {nil, withdraw, down("mail"), nil, "withdrawn to [ben@example.com cho@example.com] left [{mail ben@example.com}]; "},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := withLedger(t)
			w.Origin, w.Also = "https://jit.example.com", test.also
			b := w.Broker()
			if test.first == nil {
				w.Undelivered = test.down
			}
			asked := mustAsk(t, b, ask())
			if test.first != nil {
				w.Undelivered = test.down
				if err := test.first(w, b, asked.Request); err != nil {
					t.Fatal(err)
				}
			}
			w.Undelivered = nil
			if test.then != nil {
				if err := test.then(w, b, asked.Request); err != nil {
					t.Fatal(err)
				}
			}
			if told := later(t, w); told != test.want {
				t.Errorf("told %q, want %q", told, test.want)
			}
		})
	}
}

// Who has decided is not asked any more, and the others are asked with what was decided since.
func TestAReviewThatIsToldLateIsOfTheRequestAsItIs(t *testing.T) {
	w, _ := withLedger(t)
	w.Origin = "https://jit.example.com"
	twoOfTwo(w)
	b := w.Broker()
	w.Undelivered = access.Receipts{{To: ben, Channel: "mail", Err: errors.New("down")}, {To: cho, Channel: "mail", Err: errors.New("down")}}
	asked := mustAsk(t, b, ask())
	w.Undelivered = nil
	if _, err := approve(t, b, ben, asked.Ref); err != nil {
		t.Fatal(err)
	}
	if told := later(t, w); told != "review to [cho@example.com] left [{mail cho@example.com}]; " {
		t.Fatalf("told %q", told)
	}
	if by := w.Told[0].Request.ApprovedBy(); len(by) != 1 || by[0] != ben {
		t.Errorf("approved by %v", by)
	}
}

// That access ends is not told where it was extended since.
func TestTheEndIsNotToldOfWhatGoesOn(t *testing.T) {
	w, _ := withLedger(t)
	w.Origin = "https://jit.example.com"
	b := w.Broker()
	first := granted(t, w, b, access.Self)
	w.Clock = first.Window.End.Add(-9 * time.Minute)
	w.Undelivered = access.Receipts{{To: ana, Channel: "mail", Err: errors.New("down")}}
	swept(t, b)
	w.Undelivered = nil
	mustAsk(t, b, more(t, w, first.ID, access.Self))
	if told := later(t, w); told != "" {
		t.Errorf("told %q", told)
	}
}

// A broken glass that is told late changes nothing of what was told since.
func TestAGlassThatIsToldLateChangesNoMessage(t *testing.T) {
	w, _, b := withGlass(t)
	w.Also = []access.Channel{chat}
	asked := mustAsk(t, b, emergency())
	n := w.Told[0]
	if n.Kind != access.NoticeGlass {
		t.Fatal(n.Kind)
	}
	for _, reviewed := range []bool{false, true} {
		if reviewed {
			w.Clock = w.Clock.Add(time.Minute)
			if _, _, err := b.ReviewGlass(t.Context(), caller(eve), asked.Request.ID, "seen", ""); err != nil {
				t.Fatal(err)
			}
		}
		n.ID, n.Earlier, n.Later = fmt.Sprint("late ", reviewed), nil, true
		r, err := w.Ledger.Open(t.Context(), asked.Request.ID)
		if err == nil {
			_, err = w.Ledger.Commit(t.Context(), access.Event{Action: access.NoticeGivenUp, At: w.Clock, Request: r}, []access.Notice{n})
		}
		if err != nil {
			t.Fatal(err)
		}
		w.Told = nil
		if swept(t, b); len(w.Told) != 1 || w.Told[0].Kind != access.NoticeGlass || (len(w.Told[0].Earlier) == 0) != reviewed {
			t.Errorf("reviewed %t: told %d times", reviewed, len(w.Told))
		}
	}
}
