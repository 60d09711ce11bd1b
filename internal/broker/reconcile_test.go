package broker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
)

// inspected is a world of which somebody has looked at the policies, too.
type inspected struct {
	*brokertest.World
	found access.Inspection
	err   error
}

func (i *inspected) Inspect(context.Context, access.Resource) (access.Inspection, error) {
	return i.found, i.err
}

// Standing lists everybody too.
func (i *inspected) Standing(ctx context.Context, q access.StandingQuery) (access.Standing, error) {
	if q.Everybody {
		for p := range i.Holdings {
			q.Principals = append(q.Principals, p)
		}
	}
	return i.World.Standing(ctx, q)
}

var operator = access.Caller{Method: access.MethodSystem}

// differences are those of shop, and those that do not stand, in brief.
func differences(t *testing.T, b *broker.Broker) string {
	t.Helper()
	found, err := b.Reconcile(t.Context(), operator, shop)
	if err != nil {
		t.Fatal(err)
	}
	missing, err := b.NotStanding(t.Context(), operator, map[access.Resource]broker.Reconciled{shop: found})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, d := range slices.Concat(found.Differences, missing) {
		all = append(all, strings.TrimSpace(fmt.Sprint(string(d.Kind), " ", d.ID)))
	}
	return strings.Join(all, ", ")
}

func TestWhatStandsIsHeldAgainstTheLedger(t *testing.T) {
	w, store := withLedger(t)
	b := w.Broker()
	ids := map[string]string{}
	request := func(why string, approved bool) {
		t.Helper()
		a := ask()
		a.Justification = why
		asked, err := b.Ask(t.Context(), caller(ana), a)
		if err == nil && approved {
			_, err = approve(t, b, ben, asked.Ref)
		}
		if err != nil {
			t.Fatal(err)
		}
		ids[why] = asked.Request.ID
	}
	request("one", true)
	request("two", true)
	request("pending", false)
	if got := differences(t, b); got != "" {
		t.Fatalf("as it was made: %s", got)
	}
	at := func(id string) int {
		return slices.IndexFunc(w.Activations, func(a access.Activation) bool { return a.RequestID == id })
	}
	whole := slices.Clone(w.Activations)
	for _, c := range []struct {
		what string
		edit func()
		want string
	}{
		{"a longer window", func() { w.Activations[at(ids["one"])].Window.End = w.Clock.Add(90 * time.Minute) }, "other-window " + ids["one"]},
		{"a window that is longer than anybody may have", func() { w.Activations[at(ids["one"])].Window.End = w.Clock.Add(100 * time.Hour) },
			"too-long " + ids["one"] + ", other-window " + ids["one"]},
		{"a shorter window", func() { w.Activations[at(ids["one"])].Window.End = w.Clock.Add(time.Minute) }, "other-window " + ids["one"]},
		{"taken out", func() { w.Activations = slices.Delete(w.Activations, at(ids["two"]), at(ids["two"])+1) }, "not-standing " + ids["two"]},
		{"cut short", func() { w.Activations[at(ids["two"])].Window.End = w.Clock }, "not-standing " + ids["two"]},
		{"another person", func() { w.Activations[at(ids["two"])].Principal = "mallory@example.com" },
			"other-grant " + ids["two"] + ", not-standing " + ids["two"]},
		{"another role", func() { w.Activations[at(ids["two"])].Entitlement.Role = "roles/other" }, "other-grant " + ids["two"]},
		{"one that nobody made", func() { w.Activations = append(w.Activations, standingGrant(w, "mpa-0000000000000001", ana, admin)) },
			"not-remembered mpa-0000000000000001"},
		{"one of a pending request", func() { w.Activations = append(w.Activations, standingGrant(w, ids["pending"], ana, admin)) }, "not-decided " + ids["pending"]},
	} {
		w.Activations = slices.Clone(whole)
		c.edit()
		if got := differences(t, b); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	w.Activations = slices.Clone(whole)
	if _, err := b.End(t.Context(), caller(ana), shop, ids["one"], ana); err != nil {
		t.Fatal(err)
	}
	if got := differences(t, b); got != "" {
		t.Errorf("ended: %s", got)
	}
	w.Activations = slices.Clone(whole)
	if got := differences(t, b); got != "live-again "+ids["one"] {
		t.Errorf("put back: %s", got)
	}
	// What was taken in is known from then on.
	w.Activations = append(slices.Clone(whole[1:]), standingGrant(w, "mpa-0000000000000001", ana, admin),
		standingGrant(w, ids["two"], "mallory@example.com", admin))
	if done := surveyed(t, b); done.TakenIn != 2 {
		t.Errorf("%+v", done)
	}
	if got := differences(t, b); got != "" {
		t.Errorf("taken in: %s", got)
	}
	if found, err := b.NotStanding(t.Context(), operator, nil); err != nil || len(found) != 3 {
		t.Errorf("of a project that cannot be seen: %+v, %v", found, err)
	}
	// Only whoever operates the service asks.
	if _, err := b.Reconcile(t.Context(), caller(dan), shop); codeOf(err) != access.CodeNotAdmin {
		t.Error(err)
	}
	if _, err := b.NotStanding(t.Context(), caller(dan), nil); codeOf(err) != access.CodeNotAdmin {
		t.Error(err)
	}
	// And takes the doubt back.
	if err := store.Doubt(t.Context(), "why"); err != nil {
		t.Fatal(err)
	}
	w.Clock = w.Clock.Add(time.Second)
	for who, want := range map[*access.Caller]string{{Principal: dan}: "why", &operator: ""} {
		if want == "why" {
			_ = b.HasReconciled(t.Context(), *who)
			if why, err := store.Doubted(t.Context()); err != nil || why != want {
				t.Errorf("%q, %v", why, err)
			}
		}
	}
	if err := b.HasReconciled(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	if why, err := store.Doubted(t.Context()); err != nil || why != "" {
		t.Errorf("%q, %v", why, err)
	}
}

func TestWithoutALedgerWhatMayNotStandIsFound(t *testing.T) {
	w := newWorld(t)
	i := &inspected{World: w}
	registration := w.Registration()
	registration.Provider = i
	b := w.BrokerOf(registration)
	w.Activations = []access.Activation{standingGrant(w, "jit-0000000000000001", ana, viewer)}
	if got := differences(t, b); got != "" {
		t.Errorf("as it is: %s", got)
	}
	w.Activations[0].Window.End = w.Clock.Add(100 * time.Hour)
	held := brokertest.Peer(admin)
	held.Ways = []access.Way{{Node: shop, Member: "group:ops@example.com"}}
	w.Holdings["eve@example.com"] = []access.Entitlement{held}
	w.Holdings["rob@example.com"] = []access.Entitlement{{ID: admin, MayReview: true}}
	i.found = access.Inspection{
		Oddities: []access.Oddity{{Kind: access.Edited, ID: "mpa-0000000000000009", Role: "roles/x", Members: []string{"user:eve@example.com"}, Why: "y"}},
		Permanent: []access.Permanent{{Role: admin.Role, Members: []string{"user:ana@example.com", "group:ops@example.com", "user:rob@example.com"}},
			{Role: "roles/elsewhere", Members: []string{"user:ben@example.com"}}},
	}
	found, err := b.Reconcile(t.Context(), operator, shop)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range found.Differences {
		got = append(got, string(d.Kind)+" "+string(d.Principal))
	}
	if want := "edited eve@example.com, pointless ana@example.com, pointless eve@example.com, too-long ana@example.com"; strings.Join(got, ", ") != want {
		t.Errorf("%s, want %s", strings.Join(got, ", "), want)
	}
	i.err = &access.Error{Kind: access.Unavailable, Code: access.CodeUpstreamFailed}
	if _, err := b.Reconcile(t.Context(), operator, shop); codeOf(err) != access.CodeUpstreamFailed {
		t.Error(err)
	}
	if missing, err := b.NotStanding(t.Context(), operator, nil); err != nil || missing != nil {
		t.Error(missing, err)
	}
	if err := b.HasReconciled(t.Context(), operator); err != nil {
		t.Error(err)
	}
}

// What cannot be asked of the ledger is no difference.
func TestALedgerThatIsOutOfReachIsNoDifference(t *testing.T) {
	w, _ := withLedger(t)
	w.Activations = []access.Activation{standingGrant(w, "jit-0000000000000001", ana, viewer)}
	w.Ledger = down{w.Ledger.(broker.Memory)}
	if found, err := w.Broker().Reconcile(t.Context(), operator, shop); codeOf(err) != access.CodeLedgerUnavailable || len(found.Differences) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
	if done, err := w.Broker().Survey(t.Context(), 1); codeOf(err) != access.CodeLedgerUnavailable || done.TakenIn != 0 {
		t.Errorf("%+v, %v", done, err)
	}
}

// down is a ledger that is out of reach.
type down struct{ broker.Memory }

var errDown = &access.Error{Kind: access.Unavailable, Code: access.CodeLedgerUnavailable}

func (down) Open(context.Context, string) (access.Request, error) { return access.Request{}, errDown }

func (down) Commit(context.Context, access.Event, []access.Notice) (string, error) {
	return "", errDown
}
