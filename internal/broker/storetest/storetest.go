// Package storetest is what every broker.Store must pass. Each subtest names one
// line of the contract.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// Fixture is an empty store with its clock.
type Fixture struct {
	// Store keeps requests for an hour or longer.
	Store broker.Store
	// Now is the store's clock; Advance puts it forward. Both may be called
	// concurrently.
	Now     func() time.Time
	Advance func(time.Duration)
}

// Run runs the suite. New makes a fixture that no other has a part in.
func Run(t *testing.T, New func(t *testing.T) Fixture) {
	for _, line := range []struct {
		name string
		test func(*testing.T, Fixture)
	}{
		{"limits are constant", limitsAreConstant},
		{"a ref that points to nothing is a bad link", unknownRef},
		{"a ref with one byte changed is a bad link", changedRef},
		{"what is opened is what was made", roundTrip},
		{"what is opened does not change with what was passed in", noSharing},
		{"a large request is kept whole or refused", sizes},
		{"a request opens until it expires", expiry},
		{"an activation without others is recorded", selfApproval},
		{"a request is made once", madeOnce},
		{"reviewers can be added, and nothing else changes", reviewersAdded},
		{"a decision is remembered, or the request stays as it was", decisions},
		{"appending to what has changed is a conflict", staleVersion},
		{"requests made at the same time do not mix", concurrentRequests},
		{"of decisions made at the same time one is recorded", concurrentDecisions},
		{"what became of a request is remembered, from asking to the end", wholeLife},
		{"outcomes and ends are recorded whatever the version", factsWhateverTheVersion},
		{"refusals and notices that failed change nothing", remarks},
		{"an end of what is not known makes no request", unknownEnd},
		{"what may not follow is a conflict", mayNotFollow},
	} {
		t.Run(line.name, func(t *testing.T) { line.test(t, New(t)) })
	}
}

func limitsAreConstant(t *testing.T, f Fixture) {
	before := f.Store.Limits()
	f.Advance(24 * time.Hour)
	if after := f.Store.Limits(); after != before {
		t.Errorf("Limits() = %+v, before %+v", after, before)
	}
}

func unknownRef(t *testing.T, f Fixture) {
	for _, ref := range []string{
		"", " ", "x", "~", "~~", "~~~", ".", "..", "A~~B~C", "eyA.eyB.C", "\x00", "ß", "%", "'; --",
		"mpa-AAAAAAAAAAAAAAAA", "jit-AAAAAAAAAAAAAAAA", "../mpa-AAAAAAAAAAAAAAAA",
		strings.Repeat("A", 1<<20), strings.Repeat("~", 1<<20), strings.Repeat(".", 1<<20),
	} {
		_, err := f.Store.Open(context.Background(), ref)
		wantError(t, err, access.NotFound, access.CodeBadLink)
	}
}

func changedRef(t *testing.T, f Fixture) {
	ref := f.make(t, f.request(1))
	for i := range len(ref) {
		for _, other := range []byte{'A', 'b', '~', '.', '\n'} {
			if ref[i] == other {
				continue
			}
			_, err := f.Store.Open(context.Background(), ref[:i]+string(other)+ref[i+1:])
			if !isError(err, access.NotFound, access.CodeBadLink) {
				t.Fatalf("byte %d changed to %q: error %v", i, other, err)
			}
		}
	}
	for _, changed := range []string{ref + "A", ref + "=", ref + "\n", " " + ref, ref[1:], ref[:len(ref)-1], ref + ref} {
		_, err := f.Store.Open(context.Background(), changed)
		wantError(t, err, access.NotFound, access.CodeBadLink)
	}
}

func roundTrip(t *testing.T, f Fixture) {
	n := 0
	for name, change := range map[string]func(*access.Request){
		"plain": func(*access.Request) {},
		"with a resource condition": func(r *access.Request) {
			r.Entitlements[0].Condition = `resource.name == "<a&b>" || resource.name == "ü"`
		},
		"of several roles": func(r *access.Request) {
			for _, role := range []access.Role{"roles/viewer", "organizations/1/roles/custom.role", "projects/example.com:app/roles/X_1"} {
				r.Entitlements = append(r.Entitlements, access.EntitlementID{Resource: r.Resource, Role: role})
			}
		},
		"of one role twice, with different conditions": func(r *access.Request) {
			twice := r.Entitlements[0]
			twice.Condition = "a < b"
			r.Entitlements = append(r.Entitlements, twice)
		},
		"for later":     func(r *access.Request) { r.Start = r.Created.Add(36 * time.Hour) },
		"for a minute":  func(r *access.Request) { r.Duration = time.Minute },
		"for two weeks": func(r *access.Request) { r.Duration = 14 * 24 * time.Hour },
		"on a project of a domain": func(r *access.Request) {
			r.Resource = "projects/example.com:app"
			r.Entitlements[0].Resource = r.Resource
		},
		"on a folder": func(r *access.Request) {
			r.Resource = "folders/123456789012"
			r.Entitlements[0].Resource = r.Resource
		},
		"with many reviewers": func(r *access.Request) {
			for i := range 9 {
				r.Reviewers = append(r.Reviewers, access.Principal(fmt.Sprintf("reviewer-%d@example.com", i)))
			}
		},
		"with a group among the reviewers":  func(r *access.Request) { r.Reviewers = append(r.Reviewers, "group:leads@example.com") },
		"with an apostrophe in the address": func(r *access.Request) { r.Principal = "pat.o'hara+oncall@example.com" },
		"with a reason in another script":   func(r *access.Request) { r.Justification = `障害対応 "№ 4711" \u0041 <b>&amp;</b> 🚒 b/42` },
		"with a reason like another's id":   func(r *access.Request) { r.Justification = "see [mpa-AAAAAAAAAAAAAAAA]" },
		"with an id as 1.x made them":       func(r *access.Request) { r.ID = "mpa-a+/b0123456789AB" },
	} {
		t.Run(name, func(t *testing.T) {
			n++
			r := f.request(n)
			change(&r)
			slices.SortFunc(r.Entitlements, access.CompareEntitlementIDs)
			slices.Sort(r.Reviewers)
			got := f.open(t, f.make(t, r))
			wantSame(t, got, r)
			if got.Version == 0 {
				t.Error("Version of a recorded request is 0")
			}
			if len(got.Decisions) != 0 {
				t.Errorf("Decisions of an undecided request: %v", got.Decisions)
			}
		})
		f.Advance(time.Minute)
	}
}

func noSharing(t *testing.T, f Fixture) {
	r, want := f.request(1), f.request(1)
	ref := f.make(t, r)
	r.Entitlements[0].Role = "roles/owner"
	r.Reviewers[0] = "mallory@example.com"
	wantSame(t, f.open(t, ref), want)
	opened := f.open(t, ref)
	opened.Entitlements[0].Role = "roles/owner"
	opened.Reviewers[0] = "mallory@example.com"
	wantSame(t, f.open(t, ref), want)
}

func sizes(t *testing.T, f Fixture) {
	for i, roles := range []int{1, 10, 200} {
		r := f.request(i)
		r.Justification = strings.Repeat("🚒", access.MaxJustification)
		r.Reviewers, r.Entitlements = nil, nil
		for i := range 10 {
			r.Reviewers = append(r.Reviewers, access.Principal(fmt.Sprintf("%s.%02d@example.com", strings.Repeat("a", 40), i)))
		}
		for i := range roles {
			r.Entitlements = append(r.Entitlements, access.EntitlementID{Resource: r.Resource,
				Role: access.Role(fmt.Sprintf("roles/role%03d", i)), Condition: strings.Repeat(" resource.name", 10)})
		}
		ref, err := f.commit(r, access.RequestMade)
		if err != nil {
			if roles <= 10 || access.AsError(err).Kind != access.Invalid {
				t.Errorf("%d roles: %v", roles, err)
			}
			continue
		}
		wantSame(t, f.open(t, ref), r)
	}
}

func expiry(t *testing.T, f Fixture) {
	r := f.request(1)
	ref := f.make(t, r)
	f.Advance(r.Expires.Sub(f.Now()) - time.Second)
	wantSame(t, f.open(t, ref), r)
	for _, step := range []time.Duration{time.Second, time.Hour, 24 * time.Hour} {
		f.Advance(step)
		if f.Store.Limits().Forgets {
			_, err := f.Store.Open(context.Background(), ref)
			wantError(t, err, access.Gone, access.CodeLinkExpired)
			// It is not "expired" if it never was a link.
			_, err = f.Store.Open(context.Background(), ref[:len(ref)-1])
			wantError(t, err, access.NotFound, access.CodeBadLink)
		} else {
			wantSame(t, f.open(t, ref), r)
		}
	}
}

func selfApproval(t *testing.T, f Fixture) {
	r := f.request(1)
	r.ID, r.Kind, r.Reviewers = "jit-"+r.ID[4:], access.Self, nil
	ref, err := f.commit(r, access.SelfApproved)
	if err != nil {
		t.Fatal(err)
	}
	if f.Store.Limits().Forgets {
		if ref != "" {
			t.Errorf("ref = %q, though nobody else needs to open it", ref)
		}
		return
	}
	wantSame(t, f.open(t, ref), r)
}

func madeOnce(t *testing.T, f Fixture) {
	r := f.request(1)
	ref := f.make(t, r)
	other := r
	other.Justification = "another reason"
	_, err := f.commit(other, access.RequestMade)
	if !f.Store.Limits().Forgets {
		wantKind(t, err, access.Conflict)
	}
	wantSame(t, f.open(t, ref), r)
}

func reviewersAdded(t *testing.T, f Fixture) {
	for i, change := range []func(*access.Request){
		func(*access.Request) {},
		func(r *access.Request) { r.Start = r.Created.Add(3 * time.Hour) },
		func(r *access.Request) {
			r.Entitlements = append(r.Entitlements, access.EntitlementID{Resource: r.Resource, Role: "roles/pubsub.editor"})
		},
	} {
		r := f.request(i)
		change(&r)
		ref := f.make(t, r)
		f.Advance(10 * time.Minute)
		more := f.open(t, ref)
		more.Reviewers = append(more.Reviewers, "dora@example.com")
		second, err := f.commit(more, access.ReviewersAdded)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, f.open(t, second), more)
		// Who has the first link still gets in; where the store remembers, to the
		// request as it is now.
		if f.Store.Limits().Forgets {
			wantSame(t, f.open(t, ref), r)
		} else {
			wantSame(t, f.open(t, ref), more)
		}
		// Neither link lives longer than the request did.
		f.Advance(r.Expires.Sub(f.Now()))
		if f.Store.Limits().Forgets {
			for _, ref := range []string{ref, second} {
				_, err := f.Store.Open(context.Background(), ref)
				wantError(t, err, access.Gone, access.CodeLinkExpired)
			}
		}
	}
}

func decisions(t *testing.T, f Fixture) {
	for i, action := range []access.Action{access.RequestApproved, access.RequestDenied} {
		r := f.request(i)
		ref := f.make(t, r)
		opened := f.open(t, ref)
		decision, again, err := f.decide(opened, action, opened.Reviewers[0])
		if err != nil {
			t.Fatal(err)
		}
		if f.Store.Limits().Forgets {
			if again != "" && again != ref {
				t.Errorf("ref after %s = %q", action, again)
			}
			if diff := cmp.Diff(opened, f.open(t, ref)); diff != "" {
				t.Errorf("after %s (-before +after):\n%s", action, diff)
			}
			continue
		}
		for _, ref := range []string{ref, again} {
			got := f.open(t, ref)
			wantSame(t, got, r)
			if diff := cmp.Diff([]access.Decision{decision}, got.Decisions); diff != "" {
				t.Errorf("decisions (-want +got):\n%s", diff)
			}
			if got.Version <= opened.Version {
				t.Errorf("version %d after %d", got.Version, opened.Version)
			}
		}
	}
}

func staleVersion(t *testing.T, f Fixture) {
	if f.Store.Limits().Forgets {
		return // It cannot notice.
	}
	ref := f.make(t, f.request(1))
	opened := f.open(t, ref)
	if _, _, err := f.decide(opened, access.RequestDenied, opened.Reviewers[0]); err != nil {
		t.Fatal(err)
	}
	after := f.open(t, ref)
	for _, version := range []int{opened.Version, after.Version + 1, 0} {
		stale := after
		stale.Version = version
		_, _, err := f.decide(stale, access.RequestApproved, opened.Reviewers[1])
		wantKind(t, err, access.Conflict)
	}
	if diff := cmp.Diff(after, f.open(t, ref)); diff != "" {
		t.Errorf("after a conflict (-before +after):\n%s", diff)
	}
}

func concurrentRequests(t *testing.T, f Fixture) {
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			r := f.request(i)
			ref, err := f.commit(r, access.RequestMade)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := f.Store.Open(context.Background(), ref)
			if err != nil || got.ID != r.ID || got.FullDigest() != r.FullDigest() {
				t.Errorf("opened %v, %v; made %v", got, err, r)
			}
		})
	}
	all.Wait()
}

func concurrentDecisions(t *testing.T, f Fixture) {
	ref := f.make(t, f.request(1))
	opened := f.open(t, ref)
	errs := make([]error, 16)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, _, errs[i] = f.decide(opened, access.RequestApproved, opened.Reviewers[i%2]) })
	}
	all.Wait()
	recorded := 0
	for _, err := range errs {
		if err == nil {
			recorded++
			continue
		}
		wantKind(t, err, access.Conflict)
	}
	if f.Store.Limits().Forgets {
		if recorded != len(errs) {
			t.Errorf("%d of %d decisions failed", len(errs)-recorded, len(errs))
		}
		return
	}
	if got := f.open(t, ref); recorded != 1 || len(got.Decisions) != 1 {
		t.Errorf("%d decisions recorded, %d remembered", recorded, len(got.Decisions))
	}
}

// wholeLife plays what the broker commits when somebody activates alone, and when
// others approve.
func wholeLife(t *testing.T, f Fixture) {
	alone, peers := f.request(1), f.request(2)
	alone.ID, alone.Kind, alone.Reviewers = "jit-"+alone.ID[4:], access.Self, nil
	for name, life := range map[string]struct {
		r     access.Request
		steps []access.Action
	}{
		"alone": {alone, []access.Action{access.SelfApproved, access.GrantWritten, access.EndAsked, access.GrantEnded}},
		"with others": {peers, []access.Action{access.RequestMade, access.RequestApproved, access.GrantWritten,
			access.EndAsked, access.GrantEnded}},
		"that was not to be": {f.request(3), []access.Action{access.RequestMade, access.RequestApproved, access.GrantFailed}},
		"that nobody ends": {f.request(4), []access.Action{access.RequestMade, access.RequestApproved, access.GrantWritten,
			access.EndAsked, access.EndFailed}},
	} {
		t.Run(name, func(t *testing.T) {
			want, opened := life.r, ""
			for _, action := range life.steps {
				e := f.event(want, action)
				if action == access.GrantFailed || action == access.EndFailed {
					e.Err = &access.Error{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable}
				}
				next, err := want.Apply(e)
				if err != nil {
					t.Fatal(err)
				}
				ref, err := f.Store.Commit(context.Background(), e, nil)
				if err != nil {
					t.Fatalf("%s: %v", action, err)
				}
				if want = next; opened == "" {
					opened = ref
				}
			}
			if f.Store.Limits().Forgets {
				if life.r.Kind == access.Peers {
					wantSame(t, f.open(t, opened), life.r)
				}
				return
			}
			if diff := cmp.Diff(want, f.open(t, opened), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the fold of its events (-want +opened):\n%s", diff)
			}
		})
	}
}

func factsWhateverTheVersion(t *testing.T, f Fixture) {
	r := f.request(1)
	ref := f.make(t, r)
	opened := f.open(t, ref)
	if _, _, err := f.decide(opened, access.RequestApproved, opened.Reviewers[0]); err != nil {
		t.Fatal(err)
	}
	// They come from whoever wrote it, or ends what the provider holds, and know less.
	for _, action := range []access.Action{access.GrantWritten, access.EndAsked, access.GrantEnded, access.GrantWritten} {
		known := access.Request{ID: r.ID, Principal: r.Principal, Resource: r.Resource, Entitlements: r.Entitlements}
		if _, err := f.commit(known, action); err != nil {
			t.Errorf("%s: %v", action, err)
		}
	}
	got := f.open(t, ref)
	if wantSame(t, got, r); !f.Store.Limits().Forgets && got.State != access.Ended {
		t.Errorf("state %q", got.State)
	}
}

func remarks(t *testing.T, f Fixture) {
	ref := f.make(t, f.request(1))
	before := f.open(t, ref)
	for _, action := range []access.Action{access.ActionRefused, access.NoticeFailed} {
		for _, r := range []access.Request{before, {ID: before.ID}, {}, {ID: "mpa-9999999999999999"}} {
			if _, err := f.commit(r, action); err != nil {
				t.Errorf("%s of %q: %v", action, r.ID, err)
			}
		}
	}
	if diff := cmp.Diff(before, f.open(t, ref)); diff != "" {
		t.Errorf("changed (-before +after):\n%s", diff)
	}
}

func unknownEnd(t *testing.T, f Fixture) {
	r := f.request(1)
	for _, action := range []access.Action{access.EndAsked, access.GrantEnded, access.EndFailed} {
		if _, err := f.commit(access.Request{ID: r.ID, Principal: r.Principal, Resource: r.Resource}, action); err != nil {
			t.Errorf("%s: %v", action, err)
		}
	}
	wantSame(t, f.open(t, f.make(t, r)), r) // the id is still free
}

func mayNotFollow(t *testing.T, f Fixture) {
	if f.Store.Limits().Forgets {
		return // It cannot notice.
	}
	for i, c := range []struct{ first, then access.Action }{
		{access.RequestDenied, access.RequestApproved},
		{access.RequestDenied, access.ReviewersAdded},
		{access.RequestApproved, access.RequestApproved},
		{access.RequestApproved, access.RequestDenied},
		{access.RequestApproved, access.ReviewersAdded},
	} {
		ref := f.make(t, f.request(i))
		opened := f.open(t, ref)
		if _, _, err := f.decide(opened, c.first, opened.Reviewers[0]); err != nil {
			t.Fatal(err)
		}
		decided := f.open(t, ref)
		_, err := f.Store.Commit(context.Background(), f.event(decided, c.then), nil)
		wantKind(t, err, access.Conflict)
		if diff := cmp.Diff(decided, f.open(t, ref)); diff != "" {
			t.Errorf("%s after %s changed (-before +after):\n%s", c.then, c.first, diff)
		}
	}
}

// request is an undecided request that was just made; n tells them apart.
func (f Fixture) request(n int) access.Request {
	created := f.Now().UTC().Truncate(time.Second)
	return access.Request{
		ID:        fmt.Sprintf("mpa-%016d", n),
		Kind:      access.Peers,
		Principal: "ana@example.com",
		Resource:  "projects/shop-prod",
		Entitlements: []access.EntitlementID{
			{Resource: "projects/shop-prod", Role: "roles/compute.admin"},
		},
		Justification: fmt.Sprintf("incident %d", n),
		Duration:      45 * time.Minute,
		Reviewers:     []access.Principal{"ben@example.com", "chloe@example.com"},
		Created:       created,
		Expires:       created.Add(30 * time.Minute),
	}
}

// event is one as the broker makes it; the first reviewer decides, and completes.
func (f Fixture) event(r access.Request, action access.Action) access.Event {
	e := access.Event{Action: action, At: f.Now(), Caller: caller(r.Principal), Request: r}
	switch action {
	case access.SelfApproved, access.GlassBroken, access.GrantWritten:
		e.Window = r.WindowAt(e.At)
	case access.GlassReviewed:
		e.Decision = access.Decision{By: "fritz@example.com", At: e.At.UTC().Truncate(time.Second), Comment: "it was needed"}
		e.Caller = caller(e.Decision.By)
	case access.RequestApproved, access.RequestDenied:
		e.Decision = access.Decision{Verdict: access.Approve, By: r.Reviewers[0], At: e.At.UTC().Truncate(time.Second), Digest: r.Digest()}
		e.Caller, e.Window = caller(e.Decision.By), r.WindowAt(e.At)
		if action == access.RequestDenied {
			e.Decision.Verdict, e.Decision.Comment, e.Window = access.Deny, "not now", access.Window{}
		}
	}
	return e
}

func (f Fixture) commit(r access.Request, action access.Action) (ref string, err error) {
	return f.Store.Commit(context.Background(), f.event(r, action), nil)
}

func (f Fixture) make(t *testing.T, r access.Request) (ref string) {
	t.Helper()
	ref, err := f.commit(r, access.RequestMade)
	if err != nil {
		t.Fatalf("making %s: %v", r.ID, err)
	}
	return ref
}

func (f Fixture) open(t *testing.T, ref string) access.Request {
	t.Helper()
	r, err := f.Store.Open(context.Background(), ref)
	if err != nil {
		t.Fatalf("opening %q: %v", ref, err)
	}
	return r
}

// decide commits what the broker would for a decision.
func (f Fixture) decide(r access.Request, action access.Action, by access.Principal) (access.Decision, string, error) {
	e := f.event(r, action)
	e.Decision.By, e.Caller = by, caller(by)
	ref, err := f.Store.Commit(context.Background(), e, nil)
	return e.Decision, ref, err
}

func caller(p access.Principal) access.Caller {
	return access.Caller{Principal: p, Subject: "subject of " + string(p), Method: "iap"}
}

// wantSame compares what was asked; what became of it is the store's.
func wantSame(t *testing.T, got, want access.Request) {
	t.Helper()
	ignored := cmpopts.IgnoreFields(access.Request{}, "Version", "Decisions", "State", "Window")
	if diff := cmp.Diff(want, got, ignored, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("request (-made +opened):\n%s", diff)
	}
	if got.FullDigest() != want.FullDigest() {
		t.Errorf("digest %s, made %s", got.FullDigest(), want.FullDigest())
	}
}

func isError(err error, kind access.Kind, code access.Code) bool {
	var e *access.Error
	return errors.As(err, &e) && e.Kind == kind && e.Code == code
}

func wantError(t *testing.T, err error, kind access.Kind, code access.Code) {
	t.Helper()
	if !isError(err, kind, code) {
		t.Errorf("error %v, want %v: %v", err, kind, code)
	}
}

func wantKind(t *testing.T, err error, kind access.Kind) {
	t.Helper()
	var e *access.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Errorf("error %v, want kind %v", err, kind)
	}
}
