package broker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// booked is ana's access that ben has approved for later.
func booked(t *testing.T, w *world, b *broker.Broker, later time.Duration) string {
	t.Helper()
	swept(t, b) // what is booked is left to the sweep where there is one
	a := ask()
	a.Start = w.Clock.Add(later)
	asked, err := b.Ask(t.Context(), caller(ana), a)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := b.Decide(t.Context(), caller(ben), broker.Decide{Ref: asked.Ref, Verdict: access.Approve}); err != nil || d.State != access.Scheduled {
		t.Fatal(d.State, err)
	}
	return asked.Ref
}

// What an application asks for, and nobody decides, delays nothing that was approved for others,
// however long it has been due.
func TestWhatWaitsDelaysNothingThatWasApproved(t *testing.T) {
	w, _, b := withApplication(t)
	for i := range 300 {
		a := deploy()
		a.Key = fmt.Sprint("run ", i)
		mustAskFor(t, b, a)
	}
	id := booked(t, w, b, time.Hour)
	w.Clock = w.Clock.Add(50 * time.Minute) // all of those have lapsed before it is due
	done := swept(t, b)
	if r, err := w.Ledger.Open(t.Context(), id); err != nil || r.State != access.Active {
		t.Errorf("%s, %v", r.State, err)
	}
	if done.Over != 300 || done.More {
		t.Errorf("%+v", done)
	}
}

// A sweep goes on until nothing is due, or its time is over; the next one goes on there.
func TestASweepEndsAfterItsTime(t *testing.T) {
	w, _, b := withApplication(t)
	for i := range 5 {
		a := deploy()
		a.Key = fmt.Sprint("run ", i)
		mustAskFor(t, b, a)
	}
	w.Clock = w.Clock.Add(time.Hour)
	slow := &slowly{Memory: w.Ledger.(broker.Memory), w: w}
	w.Ledger = slow
	b = brokerWith(w, &registry{}, w)
	if done := swept(t, b); !done.More || done.Over == 0 || done.Over == 5 {
		t.Errorf("%+v", done)
	}
	slow.w = nil
	if done := swept(t, b); done.More || done.Over == 0 {
		t.Errorf("%+v", done)
	}
}

// slowly is a ledger in which each record takes twenty seconds.
type slowly struct {
	broker.Memory
	w *world
}

func (s *slowly) Commit(ctx context.Context, e access.Event, notices []access.Notice) (string, error) {
	if s.w != nil {
		s.w.Clock = s.w.Clock.Add(20 * time.Second)
	}
	return s.Memory.Commit(ctx, e, notices)
}

// Only so many requests of one person, and of one application, wait at a time; others are not
// concerned, nor is who an application asks for, and who withdraws one can ask again.
func TestSoManyRequestsWaitAtATime(t *testing.T) {
	_, _, b := withApplication(t)
	a := ask()
	var last broker.Asked
	for i := range broker.MostOfPerson {
		a.Justification = fmt.Sprint("case ", i)
		var err error
		if last, err = b.Ask(t.Context(), caller(ana), a); err != nil {
			t.Fatal(i, err)
		}
	}
	a.Justification = "one more"
	_, err := b.Ask(t.Context(), caller(ana), a)
	is(t, err, access.TooMany, access.CodeManyWaiting)
	mustAskFor(t, b, deploy())
	a.Reviewers = []string{"cho@example.com"}
	if _, err := b.Ask(t.Context(), caller(ben), a); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	a.Reviewers = ask().Reviewers
	if _, _, err := b.Withdraw(t.Context(), caller(ana), last.Ref, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Ask(t.Context(), caller(ana), a); err != nil {
		t.Errorf("after one was withdrawn: %v", err)
	}
	for i := 1; i < broker.MostOfApplication; i++ {
		d := deploy()
		d.Key = fmt.Sprint("another ", i)
		mustAskFor(t, b, d)
	}
	d := deploy()
	d.Key = "one more"
	_, err = b.AskFor(t.Context(), deployer("deployer"), d)
	is(t, err, access.TooMany, access.CodeManyWaiting)
	mustAskFor(t, b, deploy()) // the same again
}

// outage is an application that does not answer, and a mail server that does not for a while.
type outage struct {
	*world
	mailDown bool
	reached  int
}

func (o *outage) Notify(ctx context.Context, n access.Notice) access.Receipts {
	switch {
	case n.Kind == access.NoticeChanged:
		return access.Receipts{{Channel: "callback", Ref: n.ID, Err: errors.New("the application answered 500")}}
	case o.mailDown:
		return access.Receipts{{To: ben, Channel: "mail", Err: errors.New("451 try later")}}
	case n.Kind == access.NoticeReview && n.Request.Asking.IsZero():
		o.reached++
	}
	return o.world.Notify(ctx, n)
}

// What an application does not answer keeps nobody's mail back, and is given up after an hour.
func TestCallbacksKeepNobodysMailBack(t *testing.T) {
	w, r, _ := withApplication(t)
	r.all[0].CallbackHosts = []string{"deploy.example.com"}
	o := &outage{world: w}
	b := brokerWith(w, r, o)
	for i := range 100 {
		a := deploy()
		a.Key, a.Callback = fmt.Sprint("run ", i), "https://deploy.example.com/done"
		asked := mustAskFor(t, b, a)
		if _, _, err := b.Withdraw(t.Context(), deployer("deployer"), asked.Request.ID, ""); err != nil {
			t.Fatal(err)
		}
	}
	o.mailDown = true
	const mails = 15 // a sweep has room for these, and for no more than a few besides
	for i := range mails {
		a := ask()
		a.Justification = fmt.Sprint("case ", i)
		if _, err := b.Ask(t.Context(), caller(ana), a); err != nil {
			t.Fatal(err)
		}
	}
	o.mailDown = false
	w.Clock = w.Clock.Add(2 * time.Minute)
	if swept(t, b); o.reached != mails {
		t.Errorf("ben was told %d times", o.reached)
	}
	w.Clock = w.Clock.Add(61 * time.Minute)
	for range 5 {
		w.Clock = w.Clock.Add(2 * time.Minute)
		swept(t, b)
	}
	if left, err := taken(w.Ledger.(broker.Memory).Take(t.Context(), w.Clock.Add(48*time.Hour), 0, 200, true)); err != nil || len(left) != 0 {
		t.Errorf("%d callbacks are left, %v", len(left), err)
	}
}

// timing is a provider that counts the calls that nothing would end, and of which each takes a while.
type timing struct {
	*world
	takes   time.Duration
	calls   int
	endless []string
}

func (p *timing) called(ctx context.Context, what string) {
	p.calls++
	p.Clock = p.Clock.Add(p.takes)
	if _, ends := ctx.Deadline(); !ends {
		p.endless = append(p.endless, what)
	}
}

func (p *timing) Resources(ctx context.Context, who access.Principal) ([]access.ResourceInfo, []*access.Error, error) {
	p.called(ctx, "resources")
	return p.world.Resources(ctx, who)
}

func (p *timing) Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	p.called(ctx, "standing")
	return p.world.Standing(ctx, q)
}

func (p *timing) Role(ctx context.Context, on access.Resource, r access.Role) access.RoleInfo {
	p.called(ctx, "role")
	return p.world.Role(ctx, on, r)
}

func (p *timing) Grant(ctx context.Context, g access.Grant, q access.StandingQuery, check func(access.Standing) error) ([]access.Outcome, error) {
	p.called(ctx, "grant")
	return p.world.Grant(ctx, g, q, check)
}

func (p *timing) End(ctx context.Context, e access.Ending) ([]access.Outcome, error) {
	p.called(ctx, "end")
	return p.world.End(ctx, e)
}

// broker is a service whose provider it is.
func (p *timing) broker() *broker.Broker {
	r := p.Registration()
	r.Provider = p
	return p.BrokerOf(r)
}

// A call that hangs ends, whatever the settings of the provider are: nobody waits for the sweep.
func TestNoCallOfASweepIsEndless(t *testing.T) {
	w, _ := withLedger(t)
	p := &timing{world: w}
	b := p.broker()
	booked(t, w, b, time.Hour)
	p.calls, p.endless = 0, nil
	w.Clock = w.Clock.Add(time.Hour)
	did := func(what string, err error) {
		t.Helper()
		if err != nil || p.calls == 0 || len(p.endless) > 0 {
			t.Errorf("%s: %v; %d calls, without an end %v", what, err, p.calls, p.endless)
		}
		p.calls = 0
	}
	_, err := b.Sweep(t.Context(), broker.SweepCount)
	did("what is booked begins", err)
	found := standingGrant(w, "mpa-0000000000000001", cho, admin)
	found.Window.End = w.Clock.Add(30 * 24 * time.Hour)
	w.Activations = append(w.Activations, found)
	_, err = b.Survey(t.Context(), broker.SurveyCount)
	did("somebody looks at what stands", err)
	_, err = b.ReconcileStep(t.Context(), broker.ReconcileCount)
	if w.Clock = w.Clock.Add(7 * 24 * time.Hour); err == nil {
		_, err = b.ReconcileStep(t.Context(), broker.ReconcileCount)
	}
	did("a round of the week begins", err)
	w.Clock = w.Clock.Add(time.Minute)
	_, err = b.ReconcileStep(t.Context(), broker.ReconcileCount)
	did("and goes on", err)
}

// Where calls are slow, looking at what stands ends after its time as a sweep does, and goes on there.
func TestALookAtWhatStandsEndsAfterItsTime(t *testing.T) {
	w, _ := withLedger(t)
	w.Listed = nil
	for _, on := range some(5) {
		w.Listed = append(w.Listed, access.ResourceInfo{Resource: on})
	}
	p := &timing{world: w, takes: 20 * time.Second}
	b := p.broker()
	done, err := b.Survey(t.Context(), broker.SurveyCount)
	if err != nil || done.Looked != 3 || done.Left != 2 {
		t.Errorf("%+v, %v", done, err)
	}
	if done, err = b.Survey(t.Context(), broker.SurveyCount); err != nil || done.Looked != 2 || done.Left != 0 {
		t.Errorf("%+v, %v", done, err)
	}
}
