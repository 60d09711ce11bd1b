package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// glasses breaks some, of which one comes to nothing and one is reviewed.
func glasses(t *testing.T, f Fixture, again broker.Memory) {
	all := crowd(t, f)
	step := func(r access.Request, action access.Action, change func(*access.Event)) access.Request {
		e := f.event(r, action)
		if change != nil {
			change(&e)
		}
		if _, err := f.Store.Commit(context.Background(), e, nil); err != nil {
			t.Fatal(err)
		}
		return f.open(t, r.ID)
	}
	broken := func(n int) access.Request {
		r := f.request(n)
		r.ID, r.Kind, r.Reviewers = fmt.Sprintf("brk-%016d", n), access.BreakGlass, nil
		f.Advance(time.Minute)
		r.Created = f.Now().UTC().Truncate(time.Second)
		return step(r, access.GlassBroken, nil)
	}
	listed := func(l access.Listing) []string { l.Unreviewed = true; return f.list(t, again, l) }
	want := func(ids ...string) {
		t.Helper()
		if got := listed(access.Listing{}); !slices.Equal(got, ids) {
			t.Errorf("%v, want %v", got, ids)
		}
	}
	want()
	first, second, third := broken(101), broken(102), broken(103)
	want(third.ID, second.ID, first.ID)
	third = step(third, access.GrantFailed, func(e *access.Event) {
		e.Err = &access.Error{Kind: access.Unprocessable, Code: access.CodeRoleNotGrantable}
	})
	want(second.ID, first.ID)
	first = step(step(first, access.GrantWritten, nil), access.GrantExpired, nil)
	want(second.ID, first.ID)
	for what, c := range map[string]struct {
		l    access.Listing
		want int
	}{"of a resource": {access.Listing{Resource: first.Resource}, 2}, "of another": {access.Listing{Resource: "projects/other"}, 0},
		"of somebody": {access.Listing{Principal: first.Principal}, 2}, "of somebody else": {access.Listing{Principal: "abel@example.com"}, 0},
		"in a state": {access.Listing{States: []access.State{access.Expired}}, 1}, "with words": {access.Listing{Words: "INCIDENT 102"}, 1}} {
		if got := listed(c.l); len(got) != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
	first = step(first, access.GlassReviewed, nil)
	want(second.ID)
	step(third, access.GrantWritten, nil) // a fact that comes late
	want(third.ID, second.ID)
	if got := f.list(t, again, access.Listing{Principal: first.Principal, Words: "incident 10"}); len(got) < 3 {
		t.Errorf("among all: %v", got)
	}
	// Who was asked for others still is, and nobody is asked by a name that is none.
	if got := f.list(t, again, access.Listing{Reviewer: "ben@example.com"}); len(got) != 8 {
		t.Errorf("%d of %d for ben", len(got), len(all))
	}
	page, err := again.List(context.Background(), access.Listing{Unreviewed: true, Max: 1})
	if err != nil || page.Next == "" {
		t.Fatal(page, err)
	}
	_, err = again.List(context.Background(), access.Listing{After: page.Next})
	wantKind(t, err, access.Invalid)
}
