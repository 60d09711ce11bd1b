package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/ledger"
)

// weekly is a world whose reconciliation is known from the first step on, and which is a week later.
type weekly struct {
	*world
	t     *testing.T
	store *ledger.Store
	b     *broker.Broker
	ended []access.Round
}

func newWeekly(t *testing.T, resources ...access.Resource) *weekly {
	t.Helper()
	w, store := withLedger(t)
	w.Listed = nil
	for _, on := range resources {
		w.Listed = append(w.Listed, access.ResourceInfo{Resource: on})
	}
	k := &weekly{world: w, t: t, store: store, b: w.Broker()}
	k.steps(1)
	k.later(7 * 24 * time.Hour)
	w.Forget()
	return k
}

func (k *weekly) later(d time.Duration) {
	k.Mu.Lock()
	defer k.Mu.Unlock()
	k.Clock = k.Clock.Add(d)
}

// steps are so many, a minute apart.
func (k *weekly) steps(n int) {
	k.t.Helper()
	for range n {
		round, err := k.b.ReconcileStep(k.t.Context(), 2)
		if err != nil {
			k.t.Fatal(err)
		}
		if round != nil {
			k.ended = append(k.ended, *round)
		}
		k.later(time.Minute)
	}
}

// told is what a sweep tells of it.
func (k *weekly) told() (told []access.Notice) {
	k.t.Helper()
	if _, err := k.b.Sweep(k.t.Context(), broker.SweepCount); err != nil {
		k.t.Fatal(err)
	}
	for _, n := range k.Told {
		if n.Kind == access.NoticeReconciled {
			told = append(told, n)
		}
	}
	return told
}

// inBrief is what people are told.
func inBrief(n access.Notice) string {
	var all []string
	for _, d := range n.Differences {
		all = append(all, fmt.Sprint(d.Kind, " ", d.ID, " ", d.Principal))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func some(n int) (all []access.Resource) {
	for i := range n {
		all = append(all, access.Resource(fmt.Sprintf("projects/p%02d", i)))
	}
	return all
}

func TestNothingIsToldWhereAllIsAsItIsRemembered(t *testing.T) {
	k := newWeekly(t, some(5)...)
	k.steps(2)
	if len(k.ended) != 0 {
		t.Fatalf("two steps of two were all: %+v", k.ended)
	}
	k.steps(10)
	if len(k.ended) != 1 || k.ended[0].Looked != 5 || !k.ended[0].Whole() || k.ended[0].Differences != 0 {
		t.Errorf("%+v", k.ended)
	}
	if told := k.told(); told != nil {
		t.Errorf("%+v", told)
	}
	if k.Actions() != "reconciled" {
		t.Error(k.Actions())
	}
	// And once a week.
	if k.later(6 * 24 * time.Hour); len(k.ended) != 1 {
		t.Errorf("%+v", k.ended)
	}
	k.steps(3)
	if len(k.ended) != 1 {
		t.Errorf("before a week was over: %+v", k.ended)
	}
	k.later(24 * time.Hour)
	if k.steps(3); len(k.ended) != 2 {
		t.Errorf("after a week: %+v", k.ended)
	}
}

func TestAdministratorsAreToldOnceAWeekWhatDiffers(t *testing.T) {
	k := newWeekly(t, shop)
	asked, err := k.b.Ask(t.Context(), caller(ana), ask())
	if err == nil {
		_, err = approve(t, k.b, ben, asked.Ref)
	}
	if err != nil {
		t.Fatal(err)
	}
	taken := standingGrant(k.world, "mpa-0000000000000002", cho, admin)
	taken.Window.End = k.Clock.Add(time.Hour)
	k.Activations = append(slices.DeleteFunc(k.Activations, func(a access.Activation) bool { return a.RequestID == asked.Request.ID }), taken)
	if _, err := k.b.Survey(t.Context(), 10); err != nil { // what nobody here made is taken in sooner
		t.Fatal(err)
	}
	k.Activations = append(k.Activations, standingGrant(k.world, "mpa-0000000000000001", ana, admin))
	k.Activations[len(k.Activations)-1].Window.End = k.Clock.Add(time.Hour)
	// Two instances.
	instances := []*broker.Broker{k.b, k.Broker()}
	for i := range 12 {
		k.b = instances[i%2]
		k.steps(1)
	}
	if len(k.ended) != 1 || k.ended[0].Differences != 3 {
		t.Fatalf("%+v", k.ended)
	}
	told := k.told()
	if len(told) != 1 {
		t.Fatalf("told %d times: %+v", len(told), told)
	}
	n := told[0]
	if want := "not-remembered mpa-0000000000000001 ana@example.com, not-standing " + asked.Request.ID +
		" ana@example.com, taken-in mpa-0000000000000002 cho@example.com"; inBrief(n) != want {
		t.Errorf("told %q, want %q", inBrief(n), want)
	}
	if want := []access.Principal{dan, "ops@example.com"}; !slices.Equal(n.To, want) || n.CC != nil || n.Request.ID != "" || n.ReviewURL != "" {
		t.Errorf("told %+v", n)
	}
	if again := k.told(); len(again) != 1 {
		t.Errorf("told %d times", len(again))
	}
	// A process that is new knows of it.
	k.b = k.Broker()
	if k.steps(3); len(k.ended) != 1 || len(k.told()) != 1 {
		t.Errorf("%+v", k.ended)
	}
}

// What is different only while it is looked at is no difference.
func TestWhatDiffersOnceIsNotTold(t *testing.T) {
	for what, c := range map[string]struct {
		mend func(k *weekly)
		want string
	}{
		"it was taken out":    {func(k *weekly) { k.Activations = nil }, ""},
		"it was taken in":     {func(k *weekly) { _, _ = k.b.Survey(t.Context(), 10) }, "taken-in mpa-0000000000000001 ana@example.com"},
		"another came":        {func(k *weekly) { k.Activations[0].RequestID = "mpa-0000000000000003" }, ""},
		"it stands as before": {func(*weekly) {}, "not-remembered mpa-0000000000000001 ana@example.com"},
	} {
		t.Run(what, func(t *testing.T) {
			k := newWeekly(t, shop)
			grant := standingGrant(k.world, "mpa-0000000000000001", ana, admin)
			grant.Window.End = k.Clock.Add(time.Hour)
			k.Activations = []access.Activation{grant}
			k.steps(1)
			c.mend(k)
			k.steps(1)
			var got string
			for _, n := range k.told() {
				got += inBrief(n)
			}
			if len(k.ended) != 1 || got != c.want {
				t.Errorf("%+v: told %q, want %q", k.ended, got, c.want)
			}
		})
	}
}

// unreadable are resources of which the policies cannot be read, and listings that fail.
type unreadable struct {
	*world
	on      map[access.Resource]error
	listing error
	partly  []*access.Error
}

func (u *unreadable) Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	if err := u.on[q.Resource]; err != nil {
		return access.Standing{}, err
	}
	return u.world.Standing(ctx, q)
}

func (u *unreadable) Resources(ctx context.Context, p access.Principal) ([]access.ResourceInfo, []*access.Error, error) {
	if u.listing != nil {
		return nil, nil, u.listing
	}
	infos, _, err := u.world.Resources(ctx, p)
	return infos, u.partly, err
}

func TestWhatCannotBeLookedAtIsSaid(t *testing.T) {
	forbidden := &access.Error{Kind: access.Upstream, Code: access.CodePlatformRefused}
	quota := &access.Error{Kind: access.Unavailable, Code: access.CodeQuota}
	down := errors.New("no route to host")
	for what, c := range map[string]struct {
		edit func(*unreadable)
		// mended is after how many minutes nothing is in the way any more, and minutes are for how
		// long it goes on.
		mended, minutes int
		want            access.Round
		told            bool
	}{
		"one resource":           {func(u *unreadable) { u.on["projects/p01"] = forbidden }, 0, 4, access.Round{Looked: 3, Unread: 1}, true},
		"one, for a moment":      {func(u *unreadable) { u.on["projects/p01"] = down }, 1, 4, access.Round{Looked: 4}, false},
		"some of the list":       {func(u *unreadable) { u.partly = []*access.Error{forbidden} }, 0, 4, access.Round{Looked: 4, Partial: true}, true},
		"the quota, for a while": {func(u *unreadable) { u.on["projects/p02"] = quota }, 5, 9, access.Round{Looked: 4}, false},
		"the quota, for ever":    {func(u *unreadable) { u.on["projects/p02"] = quota }, 0, 24*60 + 2, access.Round{Looked: 2, Short: true}, true},
		"the list, for a while":  {func(u *unreadable) { u.listing = down }, 5, 9, access.Round{Looked: 4}, false},
		"the list, for ever":     {func(u *unreadable) { u.listing = down }, 0, 24*60 + 2, access.Round{Partial: true, Short: true}, true},
	} {
		t.Run(what, func(t *testing.T) {
			k := newWeekly(t, some(4)...)
			u := &unreadable{world: k.world, on: map[access.Resource]error{}}
			r := k.Registration()
			r.Provider = u
			k.b = k.BrokerOf(r)
			step := func() {
				if round, err := k.b.ReconcileStep(t.Context(), 2); round != nil && err == nil {
					k.ended = append(k.ended, *round)
				}
				k.later(time.Minute)
			}
			c.edit(u)
			for minute := 0; minute < c.minutes; minute++ {
				if minute == 5 && c.minutes > 60 {
					k.later(23 * time.Hour)
					minute += 23 * 60
				}
				if c.mended > 0 && minute == c.mended {
					u.on, u.listing, u.partly = nil, nil, nil
				}
				step()
			}
			if len(k.ended) != 1 {
				t.Fatalf("%d rounds ended", len(k.ended))
			}
			got := k.ended[0]
			if got.Began, got.Ended = (time.Time{}), (time.Time{}); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			told := k.told()
			if c.told != (len(told) == 1) || c.told && told[0].Round != k.ended[0] {
				t.Errorf("told %+v", told)
			}
		})
	}
}

// What applications have is nowhere but in the ledger: it is not missing anywhere else.
func TestWhatApplicationsHaveIsNotMissed(t *testing.T) {
	_, _, b := withApplication(t)
	asked := mustAskFor(t, b, deploy())
	if decided, err := approve(t, b, ben, asked.Request.ID); err != nil || decided.State != access.Active {
		t.Fatalf("%+v, %v", decided, err)
	}
	if found, err := b.NotStanding(t.Context(), operator, map[access.Resource]broker.Reconciled{}); err != nil || found != nil {
		t.Errorf("%+v, %v", found, err)
	}
}

// Whoever can write the database tells administrators nothing that was not found.
func TestANoticeOfAnotherRoundIsNotTold(t *testing.T) {
	k := newWeekly(t, shop)
	grant := standingGrant(k.world, "mpa-0000000000000001", ana, admin)
	grant.Window.End = k.Clock.Add(time.Hour)
	k.Activations = []access.Activation{grant}
	k.steps(2)
	if len(k.ended) != 1 {
		t.Fatalf("%+v", k.ended)
	}
	r, err := k.store.Reconciliation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	forged := access.Notice{ID: "forged", Kind: access.NoticeReconciled, Later: true, To: []access.Principal{dan}, Round: r.Last}
	forged.Round.Differences = 1000
	r.Step++
	r.At = r.At.Add(time.Second)
	if err := k.store.KeepReconciliation(t.Context(), r, forged); err != nil {
		t.Fatal(err)
	}
	if told := k.told(); len(told) != 1 || told[0].ID == "forged" {
		t.Errorf("told %+v", told)
	}
}

func TestWhereNobodyCanBeToldTheLogHasIt(t *testing.T) {
	for _, admins := range [][]string{nil, {"domain:example.com", "claim:operators"}} {
		k := newWeekly(t, shop)
		k.Admins = admins
		k.b = k.Broker()
		k.Activations = []access.Activation{standingGrant(k.world, "mpa-0000000000000001", ana, admin)}
		k.Activations[0].Window.End = k.Clock.Add(time.Hour)
		k.steps(2)
		if told := k.told(); len(told) != 0 || len(k.ended) != 1 || !strings.Contains(k.Actions(), "reconciled") {
			t.Errorf("%v: told %+v, %s", admins, told, k.Actions())
		}
		for _, e := range k.Journal {
			if e.Action == access.Reconciled && e.Round != k.ended[0] {
				t.Errorf("%+v", e)
			}
		}
	}
}

// Of many differences some are told, and how many there are.
func TestOfManyDifferencesSomeAreTold(t *testing.T) {
	k := newWeekly(t, shop)
	for i := range 150 {
		grant := standingGrant(k.world, fmt.Sprintf("mpa-%016d", i), ana, admin)
		grant.Window.End = k.Clock.Add(time.Hour)
		k.Activations = append(k.Activations, grant)
	}
	k.steps(2)
	told := k.told()
	if len(told) != 1 || len(told[0].Differences) != 20 || told[0].Round.Differences != 150 {
		t.Errorf("%d notices, %+v", len(told), k.ended)
	}
	r, err := k.store.Reconciliation(t.Context())
	if err != nil || len(r.Found) != 0 || r.Last.Differences != 150 {
		t.Errorf("%+v, %v", r, err)
	}
}

// While another instance is at it, or the ledger is out of reach, nothing is done.
func TestOneInstanceAtATimeReconciles(t *testing.T) {
	k := newWeekly(t, some(3)...)
	release, err := k.store.Lease(t.Context(), "reconcile", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	k.steps(1)
	if k.Calls["standing"] != 0 {
		t.Errorf("another holds the lease: %v", k.Calls)
	}
	if err := release(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.steps(1)
	looked := k.Calls["standing"]
	if looked != 2 {
		t.Errorf("a step of two: %v", k.Calls)
	}
	k.later(-30 * time.Second) // half a minute after the last step
	if k.steps(1); k.Calls["standing"] != looked {
		t.Errorf("sooner than a minute after the last step: %v", k.Calls)
	}
}
