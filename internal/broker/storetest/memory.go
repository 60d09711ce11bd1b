package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// memory is the lines of broker.Memory.
var memory = []struct {
	name string
	test func(*testing.T, Fixture, broker.Memory)
}{
	{"all that was asked is kept, terms and all", wholeRequest},
	{"every event that may follow is remembered", everyTransition},
	{"of a hundred who approve at the same time one is recorded", hundredApprovers},
	{"what happened is told in its order", history},
	{"lists choose by what they are asked for, the newest first", lists},
	{"versions are told of all that are known", versions},
	{"pages hold every request once", pages},
	{"counts are of what lists have", counted},
	{"broken glasses are listed until they are reviewed", glasses},
	{"a list is looked through for what is rare", rare},
	{"a cursor is good for its list alone", foreignCursors},
	{"what is due is told, the longest due first", due},
	{"notices are kept with what was recorded, and not with what was not", notices},
	{"the action itself sends first, and others what it could not", leases},
	{"messages have turns, by the channels that are left and whose they are", turns},
	{"what others have tried since is not taken", triedSince},
	{"of those who take at the same time each gets others", takers},
	{"what could not be sent is sent later", unsent},
	{"what some were not told is told them later, and nobody else", leftToTell},
	{"receipts are found again, the oldest first", receipts},
	{"when the last sweep began is known to all", sweeps},
	{"a link from before is imported once", imports},
	{"what stands and was not made here is taken in once", takenIn},
	{"a doubt stands until it is taken back", doubts},
	{"how far the weekly reconciliation is, is known to all, each step once", reconciliations},
	{"the head changes with whatever is recorded", heads},
	{"who gives up waiting changes nothing", givenUp},
	{"that a mail came back is recorded once, with its notice, and keeps nobody from deciding", bounced},
}

// RunMemory runs the suite for a store that remembers. Again is another instance of the
// store that New returned, with the same clock.
func RunMemory(t *testing.T, New func(t *testing.T) (f Fixture, again broker.Memory)) {
	Run(t, func(t *testing.T) Fixture {
		f, _ := New(t)
		return f
	})
	for _, line := range memory {
		t.Run(line.name, func(t *testing.T) {
			f, again := New(t)
			line.test(t, f, again)
		})
	}
}

func (f Fixture) memory() broker.Memory { return f.Store.(broker.Memory) }

func sweeps(t *testing.T, f Fixture, again broker.Memory) {
	ctx := context.Background()
	for _, m := range []broker.Memory{f.memory(), again} {
		if last, err := m.LastSweep(ctx); err != nil || !last.IsZero() {
			t.Errorf("before the first: %v, %v", last, err)
		}
	}
	for range 2 {
		f.Advance(time.Minute)
		now := f.Now().UTC().Truncate(time.Second)
		if err := f.memory().Swept(ctx, now); err != nil {
			t.Fatal(err)
		}
		if last, err := again.LastSweep(ctx); err != nil || !last.Equal(now) {
			t.Errorf("%v, %v; want %v", last, err, now)
		}
	}
}

func bounced(t *testing.T, f Fixture, again broker.Memory) {
	opened := f.open(t, f.make(t, f.request(1)))
	for i, store := range []broker.Memory{f.memory(), again, f.memory()} {
		e := f.event(opened, access.MailBounced)
		e.Caller = access.Caller{Method: access.MethodSystem}
		e.Bounce = access.Bounce{To: "ben@example.com", Status: "5.1.1", Text: "no such user", Meaning: "No.", Remedy: "Ask.", At: f.Now().UTC()}
		n := f.notice(opened, fmt.Sprintf("notice-%d", i))
		n.Kind, n.Bounce, n.Later = access.NoticeBounced, e.Bounce, true
		if _, err := store.Commit(context.Background(), e, []access.Notice{n}); err != nil {
			t.Fatal(err)
		}
	}
	events, err := f.memory().History(context.Background(), opened.ID)
	if err != nil || len(events) != 2 || events[1].Bounce.Remedy != "Ask." || events[1].Bounce.To != "ben@example.com" {
		t.Errorf("%+v, %v", events, err)
	}
	taken, err := taken(again.Take(context.Background(), f.Now(), time.Minute, 10, false))
	if err != nil || len(taken) != 1 || taken[0].Notice.Bounce.Status != "5.1.1" {
		t.Errorf("%+v, %v", taken, err)
	}
	// What was opened before is as good as it was.
	if _, _, err := f.decide(opened, access.RequestDenied, opened.Reviewers[0]); err != nil {
		t.Error(err)
	}
	if got := f.open(t, opened.ID); got.State != access.Denied || len(got.Bounced) != 1 || got.FullDigest() != opened.FullDigest() {
		t.Errorf("%+v", got)
	}
}

func hundredApprovers(t *testing.T, f Fixture, again broker.Memory) {
	r := f.request(1)
	r.Reviewers = nil
	for i := range 100 {
		r.Reviewers = append(r.Reviewers, access.Principal(fmt.Sprintf("reviewer-%03d@example.com", i)))
	}
	opened := f.open(t, f.make(t, r))
	errs := make([]error, 100)
	var all sync.WaitGroup
	for i := range errs {
		one := f
		if i%2 == 1 {
			one.Store = again
		}
		all.Go(func() { _, _, errs[i] = one.decide(opened, access.RequestApproved, opened.Reviewers[i]) })
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantKind(t, err, access.Conflict)
		}
	}
	got := f.open(t, r.ID)
	if won != 1 || len(got.Decisions) != 1 || got.State != access.Approved || got.Version != opened.Version+1 {
		t.Errorf("%d approvals were recorded; the request is %+v", won, got)
	}
	if events, err := f.memory().History(context.Background(), r.ID); err != nil || len(events) != 2 {
		t.Errorf("%d events, %v", len(events), err)
	}
}

// fill sets everything in v to something that is not zero.
func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case *access.Error:
		v.Set(reflect.ValueOf(&access.Error{Kind: access.Conflict, Code: access.CodeConflict, Field: "x", Args: access.Args{"a": "b"}}))
		return
	case time.Duration:
		v.SetInt(int64(42 * time.Minute))
		return
	case *regexp.Regexp:
		v.Set(reflect.ValueOf(regexp.MustCompile(`^INC-\d+`)))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 0, 0, 0, 5000, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Uint8:
		v.SetUint(7)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("text of " + v.Type().Name())
	case reflect.Int:
		v.SetInt(2)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Interface: // Receipt.Err
		v.Set(reflect.ValueOf(errors.New("x")))
	default:
		panic(v.Type())
	}
}

var patterns = cmp.Comparer(func(a, b *regexp.Regexp) bool { return a.String() == b.String() })

func wholeRequest(t *testing.T, f Fixture, again broker.Memory) {
	r := f.request(1)
	fill(reflect.ValueOf(&r.Terms).Elem())
	fill(reflect.ValueOf(&r.Asking).Elem())
	r.Extends = "mpa-0000000000000009"
	f.make(t, r)
	got, err := again.Open(context.Background(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got, patterns, cmpopts.IgnoreFields(access.Request{}, "Version", "State")); diff != "" {
		t.Errorf("(-made +opened):\n%s", diff)
	}
	e := f.event(got, access.RequestApproved)
	fill(reflect.ValueOf(&e.Decision).Elem())
	e.Decision.Verdict, e.Decision.By, e.Decision.Digest = access.Approve, r.Reviewers[0], r.Digest()
	e.Window = access.Window{}
	var notice access.Notice
	fill(reflect.ValueOf(&notice).Elem())
	notice.Later = false // it is said to the store, and not kept
	notice.Earlier = nil // it is found when it is told
	notice.Request.UnknownKey = false
	notice.Request.Unattested, notice.Request.Attestation = false, "" // it is found when a request is read, or listed
	if _, err := again.Commit(context.Background(), e, []access.Notice{notice}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]access.Decision{e.Decision}, f.open(t, r.ID).Decisions); diff != "" {
		t.Errorf("(-decided +opened):\n%s", diff)
	}
	if err := again.Unsent(context.Background(), access.Message{ID: notice.ID, Lease: notice.ID}, f.Now()); err != nil {
		t.Fatal(err)
	}
	if taken := take(t, again, f.Now()); len(taken) != 1 {
		t.Errorf("taken %v", taken)
	} else if diff := cmp.Diff(notice, taken[0].Notice, patterns); diff != "" {
		t.Errorf("(-kept +taken):\n%s", diff)
	}
}

// everyTransition plays the shortest life that has each row of the table of states, and
// compares what is opened with the fold of the events.
func everyTransition(t *testing.T, f Fixture, again broker.Memory) {
	paths := map[access.State][]access.Transition{access.Unmade: {}}
	for range len(access.Transitions) {
		for _, row := range access.Transitions {
			if way, known := paths[row.From]; known && paths[row.To] == nil {
				paths[row.To] = append(slices.Clone(way), row)
			}
		}
	}
	glass := []access.Transition{{From: access.Unmade, On: access.GlassBroken, If: access.Completes, To: access.Approved}}
	granted := access.Transition{From: access.Approved, On: access.GrantWritten, To: access.Active}
	withGlass := map[access.State][]access.Transition{access.Approved: glass, access.Active: append(slices.Clone(glass), granted),
		access.Failed: append(slices.Clone(glass), access.Transition{From: access.Approved, On: access.GrantFailed, If: access.ForGood,
			To: access.Failed}),
		access.Ended:   append(slices.Clone(glass), access.Transition{From: access.Approved, On: access.GrantEnded, To: access.Ended}),
		access.Expired: append(slices.Clone(glass), granted, access.Transition{From: access.Active, On: access.GrantExpired, To: access.Expired})}
	for i, row := range access.Transitions {
		t.Run(fmt.Sprintf("%s after %q, %s", row.On, row.From, row.If), func(t *testing.T) {
			way, known := paths[row.From]
			if row.On == access.GlassReviewed {
				way = withGlass[row.From]
			} else if !known {
				t.Fatalf("nothing leads to %q", row.From)
			}
			way = append(slices.Clone(way), row)
			want := f.request(i)
			if way[0].On == access.SelfApproved || way[0].On == access.GlassBroken {
				want.Reviewers = nil
				want.Kind = map[access.Action]access.RequestKind{access.SelfApproved: access.Self, access.GlassBroken: access.BreakGlass}[way[0].On]
			}
			if slices.ContainsFunc(way, func(t access.Transition) bool { return t.If == access.Later }) {
				want.Start = f.Now().Add(time.Hour)
			}
			for _, step := range way {
				e := f.event(want, step.On)
				switch step.If {
				case access.Incomplete:
					e.Window = access.Window{}
				case access.Passing:
					e.Err = &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed}
				case access.ForGood:
					e.Err = &access.Error{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable}
				}
				next, err := want.Apply(e)
				if err != nil || next.State != step.To {
					t.Fatalf("%v leads to %q, %v", step, next.State, err)
				}
				if _, err := again.Commit(context.Background(), e, nil); err != nil {
					t.Fatalf("%s: %v", step.On, err)
				}
				want = next
			}
			if diff := cmp.Diff(want, f.open(t, want.ID), cmpopts.EquateEmpty(), patterns); diff != "" {
				t.Errorf("the fold of its events (-want +opened):\n%s", diff)
			}
		})
	}
}

func takenIn(t *testing.T, f Fixture, again broker.Memory) {
	r := f.request(1)
	r.Reviewers = nil
	e := f.event(r, access.GrantTakenIn)
	e.Caller = access.Caller{Method: access.MethodSystem}
	e.Window = access.Window{Start: f.Now().Add(-time.Hour), End: f.Now().Add(time.Hour)}
	e.Err = &access.Error{Kind: access.NotAllowed, Code: access.CodeNotEligible, Args: access.Args{"role": "x"}}
	if _, err := f.Store.Commit(context.Background(), e, nil); err != nil {
		t.Fatal(err)
	}
	_, err := again.Commit(context.Background(), e, nil)
	wantKind(t, err, access.Conflict)
	got := f.open(t, r.ID)
	if got.State != access.Active || got.Window != e.Window || !got.TakenIn.Equal(e.At) || len(got.Decisions) != 0 || got.Version != 1 {
		t.Errorf("%+v", got)
	}
	listed, err := again.List(context.Background(), access.Listing{States: []access.State{access.Active}})
	if err != nil || len(listed.Requests) != 1 || !listed.Requests[0].TakenIn.Equal(e.At) {
		t.Errorf("%+v, %v", listed, err)
	}
	// Nothing that leads to a grant follows on it.
	for _, action := range []access.Action{access.RequestMade, access.SelfApproved, access.RequestApproved, access.GlassBroken,
		access.GrantTakenIn} {
		next := e
		next.Action, next.Request, next.Err = action, got, nil
		next.Caller = access.Caller{Principal: "ben@example.com"}
		next.Decision = access.Decision{Verdict: access.Approve, By: "ben@example.com", At: f.Now(), Digest: got.Digest()}
		_, err := again.Commit(context.Background(), next, nil)
		if err == nil {
			t.Errorf("%s was recorded", action)
		}
	}
	if events, err := again.History(context.Background(), r.ID); err != nil || len(events) != 1 || events[0].Err == nil {
		t.Errorf("%+v, %v", events, err)
	}
}

func doubts(t *testing.T, f Fixture, again broker.Memory) {
	for _, why := range []string{"", "one", "two", "", "three"} {
		if err := f.memory().Doubt(context.Background(), why); err != nil {
			t.Fatal(err)
		}
		if got, err := again.Doubted(context.Background()); err != nil || got != why {
			t.Errorf("%q, %v; want %q", got, err, why)
		}
		f.Advance(time.Second)
	}
}

func reconciliations(t *testing.T, f Fixture, again broker.Memory) {
	ctx := context.Background()
	kept := func(m broker.Memory, want access.Reconciliation) {
		t.Helper()
		if got, err := m.Reconciliation(ctx); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	kept(again, access.Reconciliation{})
	now := f.Now().UTC().Truncate(time.Second)
	r := access.Reconciliation{Step: 1, At: now, Round: access.Round{Began: now}}
	for _, change := range []func(){
		func() {},
		func() {
			r.After, r.Unread = "projects/b", []access.Resource{"projects/a"}
			r.Found = []access.Difference{{Kind: access.OtherWindow, ID: "mpa-1", Resource: "projects/b"}}
			r.Round.Looked, r.Round.Unread, r.Round.Partial, r.Round.Differences = 1, 1, true, 1
		},
		func() { r.All, r.Round.Short, r.Round.Ended = true, true, now.Add(time.Minute); r.Last = r.Round },
	} {
		change()
		if err := f.memory().KeepReconciliation(ctx, r); err != nil {
			t.Fatal(err)
		}
		kept(f.memory(), r)
		kept(again, r)
		r.Step, r.At = r.Step+1, r.At.Add(time.Second)
	}
	// What two instances keep as the same step is the first's, with what is to be told of it.
	notice := func(id string) access.Notice {
		return access.Notice{ID: id, Kind: access.NoticeReconciled, Did: access.Reconciled, At: now, To: []access.Principal{"dan@example.com"},
			Later: true, Round: r.Last, Differences: []access.Difference{{Kind: access.TooLong, ID: "mpa-1", Resource: "projects/b",
				Principal: "ana@example.com", Roles: []string{"roles/viewer"}}}}
	}
	first, second := r, r
	first.After, second.After = "projects/first", "projects/second"
	err := f.memory().KeepReconciliation(ctx, first, notice("one"))
	if err = errors.Join(err, again.KeepReconciliation(ctx, second, notice("two"))); err != nil {
		t.Fatal(err)
	}
	kept(again, first)
	f.Advance(time.Minute)
	var told []access.Notice
	for m, err := range again.Take(ctx, f.Now(), time.Minute, 10, false) {
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, m.Notice)
	}
	want := notice("one")
	want.Later = false
	if len(told) != 1 || told[0].ID != want.ID || told[0].Round != want.Round || !reflect.DeepEqual(told[0].Differences, want.Differences) {
		t.Errorf("to be told: %+v, want %+v", told, want)
	}
}

func history(t *testing.T, f Fixture, again broker.Memory) {
	r := f.request(1)
	want := []access.Event{f.event(r, access.RequestMade)}
	f.make(t, r)
	f.Advance(time.Minute)
	r = f.open(t, r.ID)
	for _, action := range []access.Action{access.RequestApproved, access.GrantWritten, access.EndAsked, access.EndFailed} {
		e := f.event(r, action)
		e.Requirements = []access.Requirement{{Count: 1, From: []string{access.FromPeers}}}
		e.Outcomes = []access.Outcome{{Entitlement: r.Entitlements[0], Result: access.Refused,
			Err: &access.Error{Kind: access.Unprocessable, Code: access.CodeNotGranted, Args: access.Args{"role": "x"}}}}
		e.Warnings = []*access.Error{{Kind: access.Unavailable, Code: access.CodeInventoryOnly}}
		if action == access.EndFailed {
			e.Err = &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed}
		}
		if _, err := f.Store.Commit(context.Background(), e, nil); err != nil {
			t.Fatal(err)
		}
		want = append(want, e)
		f.Advance(time.Minute)
	}
	got, err := again.History(context.Background(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b access.Request) bool { return a.ID == b.ID }))
	if diff != "" {
		t.Errorf("events (-recorded +told):\n%s", diff)
	}
	if none, err := again.History(context.Background(), "mpa-9999999999999999"); len(none) != 0 || err != nil {
		t.Errorf("of what is not known: %v, %v", none, err)
	}
}

// crowd makes 12 requests a minute apart, of two people, for two resources, with three
// reviewers, every third denied.
func crowd(t *testing.T, f Fixture) []access.Request {
	var all []access.Request
	for i := range 12 {
		r := f.request(i)
		r.Principal = []access.Principal{"ana@example.com", "abel@example.com"}[i%2]
		r.Resource = []access.Resource{"projects/shop-prod", "projects/shop-test"}[i/6]
		r.Entitlements[0].Resource = r.Resource
		r.Entitlements[0].Role = []access.Role{"roles/compute.admin", "roles/viewer"}[i%2]
		r.Reviewers = [][]access.Principal{{"ben@example.com"}, {"ben@example.com", "chloe@example.com"}, {"dora@example.com"}}[i%3]
		f.make(t, r)
		if i%3 == 0 {
			if _, _, err := f.decide(f.open(t, r.ID), access.RequestDenied, r.Reviewers[0]); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, f.open(t, r.ID))
		f.Advance(time.Minute)
	}
	slices.Reverse(all)
	return all
}

func (f Fixture) list(t *testing.T, m broker.Memory, l access.Listing) (ids []string) {
	t.Helper()
	for range 100 {
		page, err := m.List(context.Background(), l)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Requests {
			ids = append(ids, r.ID)
		}
		if l.After = page.Next; l.After == "" {
			return ids
		}
	}
	t.Fatal("the list has no end")
	return nil
}

func lists(t *testing.T, f Fixture, again broker.Memory) {
	began := f.Now()
	all := crowd(t, f)
	for name, c := range map[string]struct {
		l    access.Listing
		want func(access.Request) bool
	}{
		"all": {access.Listing{}, func(access.Request) bool { return true }},
		"somebody's": {access.Listing{Principal: "abel@example.com"},
			func(r access.Request) bool { return r.Principal == "abel@example.com" }},
		"nobody's": {access.Listing{Principal: "mallory@example.com"}, func(access.Request) bool { return false }},
		"of a reviewer": {access.Listing{Reviewer: "chloe@example.com"},
			func(r access.Request) bool { return r.Involves("chloe@example.com") == nil }},
		"waiting for a reviewer": {access.Listing{Reviewer: "ben@example.com", States: []access.State{access.Pending}},
			func(r access.Request) bool { return r.Involves("ben@example.com") == nil && r.State == access.Pending }},
		"of a resource": {access.Listing{Resource: "projects/shop-test"},
			func(r access.Request) bool { return r.Resource == "projects/shop-test" }},
		"in two states": {access.Listing{States: []access.State{access.Denied, access.Active}},
			func(r access.Request) bool { return r.State == access.Denied }},
		"of a role": {access.Listing{Role: "roles/viewer"}, func(r access.Request) bool { return r.Entitlements[0].Role == "roles/viewer" }},
		"with words": {access.Listing{Words: "INCIDENT 1"}, func(r access.Request) bool {
			return len(r.Justification) > 10 ||
				r.ID == f.request(1).ID
		}},
		"of some time": {access.Listing{From: began.Add(2 * time.Minute), To: began.Add(5 * time.Minute)},
			func(r access.Request) bool {
				return !r.Created.Before(began.Add(2*time.Minute)) && r.Created.Before(began.Add(5*time.Minute))
			}},
		"of all kinds": {access.Listing{Principal: "ana@example.com", Reviewer: "ben@example.com", Resource: "projects/shop-prod",
			States: []access.State{access.Denied}}, func(r access.Request) bool {
			return r.Principal == "ana@example.com" && r.Involves("ben@example.com") == nil && r.Resource == "projects/shop-prod" &&
				r.State == access.Denied
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, r := range all {
				if c.want(r) {
					want = append(want, r.ID)
				}
			}
			if diff := cmp.Diff(want, f.list(t, again, c.l)); diff != "" {
				t.Errorf("(-want +listed):\n%s", diff)
			}
		})
	}
	page, err := again.List(context.Background(), access.Listing{Max: 1})
	if diff := cmp.Diff(all[:1], page.Requests, cmpopts.EquateEmpty()); diff != "" || err != nil {
		t.Errorf("what a list needs (-opened +listed): %v\n%s", err, diff)
	}
}

func pages(t *testing.T, f Fixture, again broker.Memory) {
	var want []string
	for i := range 53 { // several at the same time, too
		f.make(t, f.request(i))
		want = append(want, f.request(i).ID)
		if i%5 == 0 {
			f.Advance(time.Second)
		}
	}
	for _, size := range []int{0, 1, 7, 1000} {
		first, err := again.List(context.Background(), access.Listing{Max: size})
		if err != nil || size != 7 && len(first.Requests) != map[int]int{0: access.MaxPage, 1: 1, 1000: access.MaxPage}[size] {
			t.Errorf("a page of %d has %d, %v", size, len(first.Requests), err)
		}
		got := f.list(t, again, access.Listing{Max: size})
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v", size, got)
		}
	}
	// Bounded in time, pages go on within the bounds.
	to, earlier := f.Now(), want[:51] // the other two were made at this very moment
	for _, size := range []int{7, 50} {
		got := f.list(t, again, access.Listing{Max: size, To: to})
		slices.Sort(got)
		if !slices.Equal(got, earlier) {
			t.Errorf("until %v, in pages of %d: %v; want %v", to, size, got, earlier)
		}
	}
	// What is made while somebody reads is not on later pages, and takes nothing off them.
	page, _ := again.List(context.Background(), access.Listing{Max: 50})
	f.Advance(time.Minute)
	f.make(t, f.request(99))
	rest, err := again.List(context.Background(), access.Listing{Max: 50, After: page.Next})
	if err != nil || len(rest.Requests) != 3 || rest.Next != "" {
		t.Errorf("%d on the second page, %v", len(rest.Requests), err)
	}
}

// counted: what is counted of a list are the requests on all its pages, by day and state.
func counted(t *testing.T, f Fixture, again broker.Memory) {
	all := crowd(t, f)
	f.Advance(30 * time.Hour)
	late := f.request(99)
	late.Created = f.Now()
	f.make(t, late)
	for name, l := range map[string]access.Listing{
		"everybody's": {}, "somebody's": {Principal: "ana@example.com"}, "what somebody was asked": {Reviewer: "ben@example.com"},
		"of a resource and a state":       {Resource: "projects/shop-prod", States: []access.State{access.Denied}},
		"of a time":                       {From: all[5].Created, To: all[1].Created},
		"of words":                        {Words: late.Justification},
		"of a role":                       {Role: late.Entitlements[0].Role},
		"of a role that nobody asked for": {Role: "roles/nobody.asks"},
	} {
		want := map[access.Count]int{}
		for l.After = ""; ; {
			page, err := again.List(context.Background(), l)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Requests {
				want[access.Count{Day: r.Created.UTC().Truncate(24 * time.Hour), State: r.State}]++
			}
			if l.After = page.Next; l.After == "" {
				break
			}
		}
		counts, whole, err := again.Count(context.Background(), l)
		got := map[access.Count]int{}
		for _, c := range counts {
			got[access.Count{Day: c.Day, State: c.State}] += c.Requests
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil || !whole {
			t.Errorf("%s: whole %v, %v (-listed +counted):\n%s", name, whole, err, diff)
		}
	}
}

func rare(t *testing.T, f Fixture, again broker.Memory) {
	r := f.request(0)
	r.Justification = "the one"
	f.make(t, r)
	for i := range 250 {
		f.Advance(time.Second)
		f.make(t, f.request(i+1))
	}
	if got := f.list(t, again, access.Listing{Words: "the one"}); len(got) != 1 {
		t.Errorf("found %v", got)
	}
}

func foreignCursors(t *testing.T, f Fixture, again broker.Memory) {
	crowd(t, f)
	mine := access.Listing{Viewer: "ana@example.com", View: "mine", Principal: "ana@example.com", Max: 2}
	page, err := f.memory().List(context.Background(), mine)
	if err != nil || page.Next == "" {
		t.Fatal(page, err)
	}
	cursor := page.Next
	for name, change := range map[string]func(*access.Listing){
		"another person":    func(l *access.Listing) { l.Viewer = "abel@example.com" },
		"another view":      func(l *access.Listing) { l.View = "all" },
		"another's":         func(l *access.Listing) { l.Principal = "abel@example.com" },
		"another filter":    func(l *access.Listing) { l.States = []access.State{access.Denied} },
		"another time":      func(l *access.Listing) { l.From = f.Now() },
		"changed":           func(l *access.Listing) { l.After = "A" + l.After[1:] + "A" },
		"cut":               func(l *access.Listing) { l.After = l.After[:8] },
		"not one":           func(l *access.Listing) { l.After = "'; --" },
		"not one, and long": func(l *access.Listing) { l.After = fmt.Sprintf("%01000000d", 0) },
	} {
		l := mine
		l.After = cursor
		if change(&l); l.After == "" {
			continue
		}
		_, err := again.List(context.Background(), l)
		if !isError(err, access.Invalid, access.CodeBadInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mine.After, mine.Max = cursor, 50
	if page, err := again.List(context.Background(), mine); err != nil || len(page.Requests) != 4 {
		t.Errorf("its own list, at another instance: %d, %v", len(page.Requests), err)
	}
}

func due(t *testing.T, f Fixture, again broker.Memory) {
	began := f.Now()
	lapsing, denied, approved, active := f.request(1), f.request(2), f.request(3), f.request(4)
	approved.Start = began.Add(10 * time.Minute)
	for _, r := range []access.Request{lapsing, denied, approved, active} {
		f.make(t, r)
	}
	for id, actions := range map[string][]access.Action{denied.ID: {access.RequestDenied}, approved.ID: {access.RequestApproved},
		active.ID: {access.RequestApproved, access.GrantWritten}} {
		for _, action := range actions {
			if _, err := f.commit(f.open(t, id), action); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		after time.Duration
		max   int
		want  []string
	}{
		{0, 10, nil},
		{10*time.Minute - time.Microsecond, 10, nil},
		{10 * time.Minute, 10, []string{approved.ID}},
		{15*time.Minute - time.Microsecond, 10, []string{approved.ID}},
		{15 * time.Minute, 10, []string{approved.ID, lapsing.ID}}, // who was asked is to be reminded
		{35*time.Minute - time.Microsecond, 10, []string{approved.ID, lapsing.ID}},
		{35 * time.Minute, 10, []string{approved.ID, lapsing.ID, active.ID}}, // its holder is to be told
		{24 * time.Hour, 2, []string{approved.ID, lapsing.ID}},
	} {
		found, err := again.Due(context.Background(), began.Add(c.after), access.Due{}, c.max)
		var got []string
		for _, d := range found {
			got = append(got, d.ID)
			if !d.At.Equal(f.open(t, d.ID).DueAt()) || d.State != f.open(t, d.ID).State {
				t.Errorf("%+v of %+v", d, f.open(t, d.ID))
			}
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("due after %v: %v, %v; want %v", c.after, got, err, c.want)
		}
	}
	// Page by page, also where several are due at one time.
	same := []string{f.request(5).ID, f.request(6).ID, f.request(7).ID}
	for n := range same {
		f.make(t, f.request(5+n))
	}
	var paged []string
	for after := (access.Due{}); ; {
		page, err := again.Due(context.Background(), began.Add(24*time.Hour), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			paged, after = append(paged, d.ID), d
		}
		if len(page) < 2 {
			break
		}
	}
	if want := []string{approved.ID, lapsing.ID, same[0], same[1], same[2], active.ID}; len(paged) != len(want) ||
		!slices.Equal(slices.Sorted(slices.Values(paged)), slices.Sorted(slices.Values(want))) {
		t.Errorf("page by page %v", paged)
	}
}

func (f Fixture) notice(r access.Request, id string) access.Notice {
	return access.Notice{ID: id, Kind: access.NoticeReview, Request: r, To: r.Reviewers, CC: []access.Principal{r.Principal},
		Window: r.WindowAt(f.Now()), Roles: []access.RoleInfo{{Role: r.Entitlements[0].Role, Title: "Admin", ChangesPermissions: access.Yes}},
		ReviewURL: "https://example.com/?activation=x", BaseURL: "https://example.com/", Final: true,
		Decision: access.Decision{Verdict: access.Deny, By: "ben@example.com", At: f.Now(), Comment: "no"},
		Outcomes: []access.Outcome{{Entitlement: r.Entitlements[0], Result: access.Granted, Window: r.WindowAt(f.Now())}}}
}

const lease = 5 * time.Minute

// taken are all messages that come, and the error that is the last.
func taken(all iter.Seq2[access.Message, error]) (messages []access.Message, err error) {
	for message, failed := range all {
		if err = failed; err == nil {
			messages = append(messages, message)
		}
	}
	return messages, err
}

func take(t *testing.T, m broker.Memory, by time.Time) []access.Message {
	t.Helper()
	taken, err := taken(m.Take(context.Background(), by, lease, 50, false))
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

func notices(t *testing.T, f Fixture, again broker.Memory) {
	r := f.request(1)
	first, second := f.notice(r, "n1"), f.notice(r, "n2")
	unnamed := f.notice(r, "")
	made := f.Now()
	if _, err := f.Store.Commit(context.Background(), f.event(r, access.RequestMade), []access.Notice{first, unnamed, second}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Store.Commit(context.Background(), f.event(r, access.RequestMade), []access.Notice{f.notice(r, "n3")}); err == nil {
		t.Fatal("made twice")
	}
	take(t, again, f.Now()) // sees them first
	f.Advance(lease)
	got := take(t, again, f.Now())
	if len(got) != 2 {
		t.Fatalf("%d messages", len(got))
	}
	for i, want := range []access.Notice{first, second} {
		if diff := cmp.Diff(want, got[i].Notice, cmpopts.EquateEmpty()); diff != "" || got[i].ID != want.ID || got[i].Attempts != 0 ||
			!got[i].Made.Equal(made) {
			t.Errorf("%+v (-kept +taken):\n%s", got[i], diff)
		}
	}
}

func leases(t *testing.T, f Fixture, again broker.Memory) {
	r := f.request(1)
	keep := func(id string) {
		t.Helper()
		e := f.event(r, access.RequestMade)
		if id != "n1" {
			e = f.event(f.open(t, r.ID), access.ReviewersAdded)
		}
		if _, err := f.Store.Commit(context.Background(), e, []access.Notice{f.notice(r, id)}); err != nil {
			t.Fatal(err)
		}
	}
	keep("n1")
	if got := take(t, again, f.Now()); len(got) != 0 {
		t.Fatalf("taken from the action that sends it: %+v", got)
	}
	// The action sends it, and it is gone.
	if err := f.memory().Sent(context.Background(), access.Message{ID: "n1", Lease: "n1"}); err != nil {
		t.Fatal(err)
	}
	f.Advance(2 * lease)
	if got := take(t, again, f.Now()); len(got) != 0 {
		t.Fatalf("sent, and taken: %+v", got)
	}
	// An action that died: another has to have seen its lease for as long as one lasts,
	// whatever the time that it was made at.
	keep("n2")
	f.Advance(10 * lease)
	if got := take(t, again, f.Now()); len(got) != 0 {
		t.Fatalf("taken at first sight: %+v", got)
	}
	f.Advance(lease - time.Second)
	if got := take(t, again, f.Now()); len(got) != 0 {
		t.Fatalf("taken too soon: %+v", got)
	}
	f.Advance(time.Second)
	got := take(t, again, f.Now())
	if len(got) != 1 || got[0].ID != "n2" {
		t.Fatalf("not taken over: %+v", got)
	}
	// Who has lost the lease has no more say.
	for _, lost := range []string{"n2", "", "x"} {
		if err := f.memory().Sent(context.Background(), access.Message{ID: "n2", Lease: lost}); err != nil {
			t.Error(err)
		}
		if err := f.memory().Unsent(context.Background(), access.Message{ID: "n2", Lease: lost}, f.Now()); err != nil {
			t.Error(err)
		}
	}
	if taken := take(t, f.memory(), f.Now()); len(taken) != 0 {
		t.Errorf("taken from who holds it: %+v", taken)
	}
	if err := again.Sent(context.Background(), got[0]); err != nil {
		t.Error(err)
	}
	f.Advance(10 * lease)
	for range 2 {
		if taken := take(t, f.memory(), f.Now()); len(taken) != 0 {
			t.Errorf("sent, and taken: %+v", taken)
		}
		f.Advance(lease)
	}
	// Who lives for moments takes what has been held for an hour at first sight.
	keep("n3")
	f.Advance(time.Hour)
	if got = take(t, again, f.Now()); len(got) != 1 || got[0].ID != "n3" {
		t.Fatalf("not taken over after an hour: %+v", got)
	}
	if taken := take(t, f.memory(), f.Now()); len(taken) != 0 {
		t.Errorf("taken from who has just taken it: %+v", taken)
	}
	if err := again.Sent(context.Background(), got[0]); err != nil {
		t.Error(err)
	}
}

// turns: however much somebody, or a channel, has waiting, others come in between.
func turns(t *testing.T, f Fixture, again broker.Memory) {
	i := 0
	for _, waits := range []struct {
		whose   access.Principal
		channel string
		count   int
	}{
		{"ana@example.com", "chat", 300}, {"ben@example.com", "chat", 2}, {"ana@example.com", "mail", 2},
		{"cho@example.com", "chat", 1}, {"cho@example.com", "", 1},
	} {
		for range waits.count {
			r := f.request(i)
			r.Principal = waits.whose
			n := f.notice(r, fmt.Sprintf("%03d %s %s", i, waits.whose[:3], waits.channel))
			_, err := f.Store.Commit(context.Background(), f.event(r, access.RequestMade), []access.Notice{n})
			if waits.channel != "" {
				n.Left = []access.Target{{Channel: waits.channel, To: "x@example.com"}, {Channel: waits.channel, To: "y@example.com"}}
			}
			if err == nil {
				err = f.memory().Unsent(context.Background(), access.Message{ID: n.ID, Lease: n.ID, Notice: n}, f.Now())
			}
			if err != nil {
				t.Fatal(err)
			}
			f.Advance(time.Second)
			i++
		}
	}
	var got []string
	for _, message := range take(t, again, f.Now())[:10] {
		got = append(got, message.ID[4:])
	}
	want := []string{"ana chat", "ana mail", "cho ", "ben chat", "ana mail", "cho chat", "ana chat", "ben chat", "ana chat", "ana chat"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// triedSince: who takes goes through what was there when it began, and others may be quicker.
func triedSince(t *testing.T, f Fixture, again broker.Memory) {
	for i := range 3 {
		id := fmt.Sprintf("n%d", i)
		_, err := f.Store.Commit(context.Background(), f.event(f.request(i), access.RequestMade), []access.Notice{f.notice(f.request(i), id)})
		if err == nil {
			err = f.memory().Unsent(context.Background(), access.Message{ID: id, Lease: id}, f.Now())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for message, err := range f.memory().Take(context.Background(), f.Now(), lease, 50, false) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, message.ID)
		for _, other := range take(t, again, f.Now()) {
			if err := again.Unsent(context.Background(), other, f.Now()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(got) != 1 {
		t.Errorf("taken %v", got)
	}
}

func leftToTell(t *testing.T, f Fixture, again broker.Memory) {
	n := f.notice(f.request(1), "n1")
	if _, err := f.Store.Commit(context.Background(), f.event(f.request(1), access.RequestMade), []access.Notice{n}); err != nil {
		t.Fatal(err)
	}
	n.Left = []access.Target{{Channel: "mail", To: "ben@example.com"}, {Channel: "webhook"}}
	for range 2 { // a message that says nothing of it changes nothing of it
		message := access.Message{ID: "n1", Lease: "n1", Notice: n}
		if got := take(t, again, f.Now()); len(got) == 1 {
			message = access.Message{ID: "n1", Lease: got[0].Lease}
		}
		if err := again.Unsent(context.Background(), message, f.Now()); err != nil {
			t.Fatal(err)
		}
	}
	got := take(t, again, f.Now())
	if len(got) != 1 || got[0].Attempts != 2 {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff(n, got[0].Notice, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-left +taken):\n%s", diff)
	}
}

func receipts(t *testing.T, f Fixture, again broker.Memory) {
	r := f.request(1)
	if _, err := f.Store.Commit(context.Background(), f.event(r, access.RequestMade), nil); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"C1/1", "C1/2"} {
		told := access.Receipts{{Channel: "slack", Ref: ref, To: "ben@example.com", Err: errors.New("x")}, {Channel: "chat", Ref: ref}}
		if err := f.memory().Told(context.Background(), r.ID, told); err != nil {
			t.Fatal(err)
		}
		f.Advance(time.Second)
	}
	got, err := again.Receipts(context.Background(), r.ID)
	want := access.Receipts{{Channel: "slack", Ref: "C1/1"}, {Channel: "chat", Ref: "C1/1"}, {Channel: "slack", Ref: "C1/2"},
		{Channel: "chat", Ref: "C1/2"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-told +found):\n%s", err, diff)
	}
	if got, err := again.Receipts(context.Background(), f.request(2).ID); len(got) != 0 || err != nil {
		t.Errorf("of another request %v, %v", got, err)
	}
}

func takers(t *testing.T, f Fixture, again broker.Memory) {
	want := map[string]int{}
	for i := range 40 {
		id := fmt.Sprintf("n%02d", i)
		want[id] = 1
		if _, err := f.Store.Commit(context.Background(), f.event(f.request(i), access.RequestMade), []access.Notice{f.notice(f.request(i),
			id)}); err != nil {
			t.Fatal(err)
		}
		if err := f.memory().Unsent(context.Background(), access.Message{ID: id, Lease: id}, f.Now()); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	got := map[string]int{}
	var all sync.WaitGroup
	for i := range 8 {
		m := f.memory()
		if i%2 == 1 {
			m = again
		}
		all.Go(func() {
			for range 10 {
				taken, err := taken(m.Take(context.Background(), f.Now(), lease, 5, false))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, message := range taken {
					got[message.ID]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-kept +taken):\n%s", diff)
	}
}

func unsent(t *testing.T, f Fixture, again broker.Memory) {
	if _, err := f.Store.Commit(context.Background(), f.event(f.request(1), access.RequestMade), []access.Notice{f.notice(f.request(1),
		"n1")}); err != nil {
		t.Fatal(err)
	}
	message := access.Message{ID: "n1", Lease: "n1"}
	for attempts := 1; attempts < 4; attempts++ {
		if err := again.Unsent(context.Background(), message, f.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		f.Advance(time.Hour - time.Microsecond)
		if got := take(t, again, f.Now()); len(got) != 0 {
			t.Fatalf("too soon: %+v", got)
		}
		f.Advance(time.Microsecond)
		got := take(t, again, f.Now())
		if len(got) != 1 || got[0].Attempts != attempts {
			t.Fatalf("attempt %d: %+v", attempts, got)
		}
		message = got[0]
	}
}

func imports(t *testing.T, f Fixture, again broker.Memory) {
	r := f.request(1)
	r.State, r.Version = access.Pending, 1 // as it was opened
	f.Advance(time.Minute)
	got, err := f.memory().Import(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, got, r)
	wantSame(t, f.open(t, r.ID), r)
	if _, _, err := f.decide(f.open(t, r.ID), access.RequestDenied, r.Reviewers[0]); err != nil {
		t.Fatal(err)
	}
	if got, err = again.Import(context.Background(), r); err != nil || got.State != access.Denied {
		t.Errorf("imported again: %+v, %v", got, err)
	}
	changed := r
	changed.Justification = "another reason"
	_, err = again.Import(context.Background(), changed)
	wantKind(t, err, access.Conflict)

	// The second link of one request has more reviewers; both come in at the same time.
	second := f.request(2)
	second.State, second.Version = access.Pending, 1
	more := second
	more.Reviewers = append(slices.Clone(more.Reviewers), "dora@example.com")
	var all sync.WaitGroup
	for i, link := range []access.Request{second, more, second, more} {
		m := []broker.Memory{f.memory(), again}[i/2]
		all.Go(func() {
			if _, err := m.Import(context.Background(), link); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	wantSame(t, f.open(t, second.ID), more)
	if got := f.list(t, again, access.Listing{Reviewer: "dora@example.com"}); !slices.Equal(got, []string{second.ID}) {
		t.Errorf("waiting for who was added: %v", got)
	}
}

func heads(t *testing.T, f Fixture, again broker.Memory) {
	seen := map[string]bool{}
	var before access.Head
	for i, change := range []func(){
		func() {},
		func() { f.make(t, f.request(1)) },
		func() { f.make(t, f.request(2)) },
		func() { _, _, _ = f.decide(f.open(t, f.request(1).ID), access.RequestDenied, "ben@example.com") },
	} {
		change()
		head, err := again.Head(context.Background(), f.Now())
		if err != nil || seen[head.Digest] || head.Events != i || head.Requests != min(i, 2) {
			t.Errorf("after %d changes: %+v, %v", i, head, err)
		}
		seen[head.Digest] = true
		// That of before stays what it was.
		if i > 0 {
			if same, err := again.Head(context.Background(), before.At); err != nil || same != before {
				t.Errorf("%+v is now %+v, %v", before, same, err)
			}
		}
		before = head
		f.Advance(time.Minute)
	}
}

func givenUp(t *testing.T, f Fixture, again broker.Memory) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := f.Store.Commit(ctx, f.event(f.request(1), access.RequestMade), nil)
	wantKind(t, err, access.TimedOut)
	if events, err := again.History(context.Background(), f.request(1).ID); len(events) != 0 || err != nil {
		t.Errorf("%d events, %v", len(events), err)
	}
}

func versions(t *testing.T, f Fixture, again broker.Memory) {
	f.make(t, f.request(1))
	r := f.request(2)
	opened := f.open(t, f.make(t, r))
	if _, _, err := f.decide(opened, access.RequestApproved, opened.Reviewers[0]); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{f.request(1).ID: 1, r.ID: 2}
	got, err := again.Versions(context.Background(), []string{f.request(1).ID, r.ID, "mpa-0000000000000000"})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if got, err = again.Versions(context.Background(), nil); err != nil || len(got) > 0 {
		t.Errorf("of nothing: %v, %v", got, err)
	}
}
