package broker_test

import (
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

const anaTwice = "people: [[ana@example.com, dan@example.com]]\n"

// continuously is a world in which two hours without a break are the most, dan is ana by
// another address, and both may activate alone and with others.
func continuously(t *testing.T) (*world, *broker.Broker) {
	w, _ := withLedger(t)
	w.Admins = nil
	w.Settings.MaxDuration = 2 * time.Hour
	w.Policy = ruled(t, w, anaTwice+"rules: [{name: r, terms: {max_duration: 2h, max_continuous: 2h}}]\n")
	w.Holdings[dan] = []access.Entitlement{brokertest.Peer(admin), brokertest.Self(viewer)}
	return w, w.Broker()
}

// alone activates the role that takes nobody else.
func alone(w *world, b *broker.Broker, t *testing.T, who access.Principal, length time.Duration) (access.Request, error) {
	a := selfAsk()
	a.Justification, a.Duration = "case at "+w.Clock.Format("15 04"), length
	asked, err := b.Ask(t.Context(), caller(who), a)
	return asked.Request, err
}

func TestContinuousTimeIsLimited(t *testing.T) {
	w, b := continuously(t)
	first, err := alone(w, b, t, ana, 80*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(75 * time.Minute)
	c, err := b.Extension(t.Context(), caller(ana), first.ID)
	if err != nil || c.Terms.MaxDuration != 40*time.Minute || c.Terms.DefaultDuration > 40*time.Minute {
		t.Errorf("%+v, %v", c.Terms, err)
	}
	a := more(t, w, first.ID, access.Self)
	a.Duration = 41 * time.Minute
	_, err = b.Ask(t.Context(), caller(ana), a)
	is(t, err, access.Invalid, access.CodeTooContinuous)
	if left := access.AsError(err).Args["left"]; left != "40" {
		t.Errorf("%s left", left)
	}
	a.Duration = 40 * time.Minute
	second := mustAsk(t, b, a).Request
	w.Clock = w.Clock.Add(30 * time.Minute)
	_, err = b.Extension(t.Context(), caller(ana), second.ID)
	is(t, err, access.Invalid, access.CodeTooContinuous)
	a = more(t, w, second.ID, access.Self)
	a.Duration = time.Minute
	_, err = b.Ask(t.Context(), caller(ana), a)
	is(t, err, access.Invalid, access.CodeTooContinuous)

	// A new request beside it, or by another address, is no way around it, nor is one
	// that takes another's approval.
	for _, who := range []access.Principal{ana, dan} {
		if _, err = alone(w, b, t, who, 30*time.Minute); access.AsError(err) == nil || access.AsError(err).Code != access.CodeTooContinuous {
			t.Errorf("%s: %v", who, err)
		}
	}
	// What lies within what there is already lasts no longer.
	if _, err = alone(w, b, t, dan, 10*time.Minute); err != nil {
		t.Errorf("within: %v", err)
	}
	// After a break it begins anew. A shorter one is none.
	for _, soon := range []time.Duration{time.Second, 5*time.Minute - time.Second} {
		w.Clock = second.Window.End.Add(soon)
		_, err = alone(w, b, t, ana, time.Minute)
		is(t, err, access.Invalid, access.CodeTooContinuous)
	}
	w.Clock = second.Window.End.Add(5 * time.Minute)
	if _, err = alone(w, b, t, ana, 2*time.Hour); err != nil {
		t.Errorf("after a break: %v", err)
	}
}

// Two addresses of one human take turns.
func TestContinuousTimeIsAHumans(t *testing.T) {
	w, b := continuously(t)
	for i, who := range []access.Principal{ana, dan, ana, dan} {
		_, err := alone(w, b, t, who, 30*time.Minute)
		if err != nil {
			t.Fatalf("turn %d: %v", i, err)
		}
		w.Clock = w.Clock.Add(30 * time.Minute).Truncate(time.Second)
	}
	_, err := alone(w, b, t, dan, time.Minute)
	is(t, err, access.Invalid, access.CodeTooContinuous)
	w.Policy = ruled(t, w, "rules: [{name: r, terms: {max_duration: 2h, max_continuous: 2h}}]\n")
	if _, err := alone(w, w.Broker(), t, dan, time.Minute); err != nil {
		t.Errorf("another human: %v", err)
	}
}

// What was ended early counts for as long as it gave access.
func TestContinuousTimeOfWhatWasEnded(t *testing.T) {
	w, b := continuously(t)
	first, err := alone(w, b, t, ana, 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(10 * time.Minute)
	if _, err := b.End(t.Context(), caller(ana), shop, first.ID, ""); err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(time.Minute)
	_, err = alone(w, b, t, ana, 2*time.Hour)
	is(t, err, access.Invalid, access.CodeTooContinuous)
	if left := access.AsError(err).Args["left"]; left != "109" { // ten minutes and the one since, which is no break
		t.Errorf("%s left", left)
	}
	w.Clock = w.Clock.Add(4*time.Minute + time.Second)
	if _, err = alone(w, b, t, ana, 2*time.Hour); err != nil {
		t.Errorf("after what was ended: %v", err)
	}
}

// A chain counts together, though an extension was approved late; and an approver may
// approve for less to keep within it.
func TestContinuousTimeWhenItIsDecided(t *testing.T) {
	w, _ := continuously(t)
	w.Settings.MaxDuration = 4 * time.Hour
	w.Policy = ruled(t, w, anaTwice+"rules: [{name: r, terms: {max_duration: 2h, max_continuous: 3h}}]\n")
	b := w.Broker()
	first := granted(t, w, b, access.Peers) // an hour
	w.Clock = w.Clock.Add(50 * time.Minute)
	a := more(t, w, first.ID, access.Peers)
	a.Duration = 2 * time.Hour
	asked := mustAsk(t, b, a)
	w.Policy = ruled(t, w, anaTwice+"rules: [{name: r, terms: {max_duration: 2h, max_continuous: 2h}}]\n")
	b = w.Broker()
	for _, clock := range []time.Duration{0, 15 * time.Minute} { // before the first is over, and after
		w.Clock = w.Clock.Add(clock)
		_, err := approve(t, b, ben, asked.Ref)
		is(t, err, access.Invalid, access.CodeTooContinuous)
	}
	less := broker.Decide{Ref: asked.Ref, Verdict: access.Approve, Duration: time.Hour}
	if decided, err := b.Decide(t.Context(), caller(ben), less); err != nil || decided.State != access.Active || decided.Window.Length() != time.Hour {
		t.Errorf("%+v, %v", decided, err)
	}
}

// And once more when it is written.
func TestContinuousTimeWhenItIsWritten(t *testing.T) {
	w, b := continuously(t)
	asked := mustAsk(t, b, ask())
	other := ask()
	other.Justification, other.Reviewers, other.Start = "case 43", []string{"cho@example.com"}, w.Clock.Add(time.Hour)
	if _, err := approve(t, b, cho, mustAsk(t, b, other).Ref); err != nil {
		t.Fatal(err)
	}
	p := &changing{ruled(t, w, anaTwice+"rules: [{name: r, terms: {max_duration: 2h, max_continuous: 2h}}]\n")}
	w.Policy = p
	w.BeforeGrant = func() {
		p.Refined = ruled(t, w, anaTwice+"rules: [{name: r, terms: {max_duration: 2h, max_continuous: 90m}}]\n")
	}
	w.Clock = w.Clock.Add(30 * time.Second)
	_, err := approve(t, w.Broker(), ben, asked.Ref)
	is(t, err, access.Invalid, access.CodeTooContinuous)
	if got := windowsOf(w, asked.Request.ID); len(got) != 0 || w.Calls["grant"] != 2 {
		t.Errorf("granted %v, %d tries", got, w.Calls["grant"])
	}
}

// Without memory a rule that limits it is refused, never left out.
func TestContinuousTimeTakesMemory(t *testing.T) {
	w := newWorld(t)
	w.Policy = changed(w, func(t *access.Terms) { t.MaxContinuous = time.Hour })
	_, err := w.Broker().Ask(t.Context(), caller(ana), selfAsk())
	is(t, err, access.Unprocessable, access.CodeTermUnsupported)
}
