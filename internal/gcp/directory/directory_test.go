package directory_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/gcptest"
)

func open(t *testing.T, handler http.HandlerFunc) (*directory.Directory, *gcptest.Google) {
	t.Helper()
	g := gcptest.Start(t, handler)
	d := directory.New(g.Platform, "C0123", time.Now)
	return d, g
}

// pages answers with items, size a page.
func pages(field string, size int, items []map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("pageToken"))
		to := min(from+size, len(items))
		body := map[string]any{field: items[from:to]}
		if to < len(items) {
			body["nextPageToken"] = strconv.Itoa(to)
		}
		gcptest.Answer(w, body)
	}
}

func TestGroupsOfAPersonOnAllPages(t *testing.T) {
	var groups []map[string]any
	for i := range 450 {
		groups = append(groups, map[string]any{"email": fmt.Sprintf("Group%d@Example.com", i)})
	}
	groups = append(groups, map[string]any{"email": "not an address"}, map[string]any{})
	list := pages("groups", 200, groups)
	d, g := open(t, func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Get("customer") != "C0123" || q.Get("query") != "memberKey=ana@example.com" {
			t.Errorf("asked %s", r.URL.RawQuery)
		}
		list(w, r)
	})
	got, _, err := d.Groups(t.Context(), "ana@example.com", time.Time{})
	if err != nil || len(got) != 450 || got[449] != "group449@example.com" {
		t.Errorf("got %d, %v", len(got), err)
	}
	if n := g.Calls("GET /admin/directory/v1/groups?"); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
}

func TestAddressWithAnApostropheStandsInNoQuery(t *testing.T) {
	d, _ := open(t, func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Has("query") || q.Has("customer") || q.Get("userKey") != "o'brien@example.com" {
			t.Errorf("asked %q", r.URL.RawQuery)
		}
		gcptest.Answer(w, map[string]any{})
	})
	if _, _, err := d.Groups(t.Context(), "o'brien@example.com", time.Time{}); err != nil {
		t.Error(err)
	}
}

func TestMembersArePeopleWhoMaySignIn(t *testing.T) {
	d, g := open(t, pages("members", 200, []map[string]any{
		{"email": "Ana@example.com", "type": "USER", "status": "ACTIVE"},
		{"email": "ben@example.com", "type": "USER", "status": "SUSPENDED"},
		{"email": "eve@example.com", "type": "USER"},
		{"email": "gone@example.com", "type": "USER", "status": "ARCHIVED"},
		{"email": "partner@other.test", "type": "USER", "status": ""},
		{"email": "nested@example.com", "type": "GROUP", "status": "ACTIVE"},
		{"email": "x@shop.iam.gserviceaccount.com", "type": "USER", "status": "ACTIVE"},
		{"email": "\u212Aim@example.com", "type": "USER", "status": "ACTIVE"},
		{"type": "CUSTOMER", "id": "C0123"},
	}))
	got, _, err := d.Members(t.Context(), "OPS@example.com", time.Time{})
	if err != nil || !slices.Equal(got.People, []access.Principal{"ana@example.com", "eve@example.com", "partner@other.test"}) ||
		got.Groups != 1 || !got.Everybody {
		t.Errorf("got %v, %v", got, err)
	}
	if g.Calls("/admin/directory/v1/groups/ops%40example.com/members") != 1 {
		t.Error("the address was not escaped")
	}
}

func TestGroupOfTenThousand(t *testing.T) {
	var members []map[string]any
	for i := range 10_000 {
		members = append(members, map[string]any{"email": fmt.Sprintf("p%d@example.com", i), "type": "USER", "status": "ACTIVE"})
	}
	d, g := open(t, pages("members", 200, members))
	got, _, err := d.Members(t.Context(), "all@example.com", time.Time{})
	if err != nil || len(got.People) != 10_000 || g.Calls("") != 50 {
		t.Errorf("got %d with %d calls, %v", len(got.People), g.Calls(""), err)
	}
}

// Very large groups that one person types, all at once, cost that person's part of the quota,
// and so no more than that many pages of members in memory; others are answered.
func TestLargeGroupsCostNoMoreThanAPartOfTheQuota(t *testing.T) {
	member := map[string]any{"email": "p@example.com", "type": "USER", "status": "ACTIVE"}
	minute := time.Now() // which does not pass
	g := gcptest.StartAt(t, func() time.Time { return minute }, func(w http.ResponseWriter, r *http.Request) {
		next := "again"
		if strings.Contains(r.URL.Path, "small") {
			next = ""
		}
		gcptest.Answer(w, map[string]any{"members": []any{member}, "nextPageToken": next})
	})
	d := directory.New(g.Platform, "C0123", time.Now)
	as := func(p access.Principal) context.Context {
		return access.WithPerson(access.WithPurpose(t.Context(), access.ForAction), p)
	}
	var all sync.WaitGroup
	for i := range 14 {
		all.Go(func() {
			group := fmt.Sprintf("large%d@example.com", i)
			if _, _, err := d.Members(as("ana@example.com"), group, time.Now()); err == nil {
				t.Errorf("%s has an end", group)
			}
		})
	}
	all.Wait()
	// 40 of 100 of 2,400, each of at most 200 members.
	if n := g.Calls("/large"); n > 960 {
		t.Errorf("%d calls", n)
	}
	if members, _, err := d.Members(as("ben@example.com"), "small@example.com", time.Now()); err != nil || len(members.People) != 1 {
		t.Errorf("another person: %v, %v", members, err)
	}
}

func TestPagesThatNeverEnd(t *testing.T) {
	for rule, c := range map[string]struct {
		next  func(token string) string
		calls int
	}{
		"the same again":    {func(string) string { return "again" }, 2},
		"another each time": {func(token string) string { return token + "1" }, 1000},
		"in a circle":       {func(token string) string { return map[string]string{"": "a", "a": "b", "b": "a"}[token] }, 1000},
	} {
		d, g := open(t, func(w http.ResponseWriter, r *http.Request) {
			gcptest.Answer(w, map[string]any{"nextPageToken": c.next(r.URL.Query().Get("pageToken"))})
		})
		_, _, err := d.Members(t.Context(), "all@example.com", time.Time{})
		if e := access.AsError(err); e == nil || e.Kind != access.Upstream || g.Calls("") != c.calls {
			t.Errorf("%s: got %v after %d calls", rule, err, g.Calls(""))
		}
	}
}

func TestPageThatFailsFailsTheAnswer(t *testing.T) {
	first := pages("members", 1, []map[string]any{{"email": "ana@example.com", "type": "USER", "status": "ACTIVE"}, {}})
	d, _ := open(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("pageToken") != "" {
			gcptest.Refuse(500, "backendError")(w, r)
			return
		}
		first(w, r)
	})
	if got, _, err := d.Members(t.Context(), "ops@example.com", time.Time{}); err == nil {
		t.Errorf("half a group passed for a whole one: %v", got)
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		status                    int
		reason                    string
		kind                      access.Kind
		groupsCode, membersCode   access.Code
		groupsCalls, membersCalls int
	}{
		{400, "invalid", access.NotFound, access.CodePersonUnreadable, access.CodeGroupUnreadable, 1, 1},
		{401, "authError", access.Upstream, access.CodeUpstreamFailed, access.CodeUpstreamFailed, 1, 1},
		{403, "forbidden", access.Upstream, access.CodeServiceNotAllowed, access.CodeGroupUnreadable, 1, 1},
		{404, "notFound", access.NotFound, access.CodePersonUnreadable, access.CodeGroupUnreadable, 1, 1},
		{403, "quotaExceeded", access.TooMany, access.CodeQuota, access.CodeQuota, 1, 0}, // and all others as in package gcp
	} {
		t.Run(fmt.Sprint(c.status, c.reason), func(t *testing.T) {
			d, g := open(t, gcptest.Refuse(c.status, c.reason))
			_, _, err := d.Groups(t.Context(), "ana@example.com", time.Time{})
			if e := access.AsError(err); e == nil || e.Kind != c.kind || e.Code != c.groupsCode || g.Calls("") != c.groupsCalls {
				t.Errorf("groups: %v after %d calls", err, g.Calls(""))
			}
			_, _, err = d.Members(t.Context(), "ops@example.com", time.Time{})
			if e := access.AsError(err); e == nil || e.Kind != c.kind || e.Code != c.membersCode || g.Calls("") != c.groupsCalls+c.membersCalls {
				t.Errorf("members: %v after %d calls", err, g.Calls(""))
			}
		})
	}
}

func TestAddressesThatAreNoneAreNotAskedFor(t *testing.T) {
	d, g := open(t, func(w http.ResponseWriter, r *http.Request) { gcptest.Answer(w, map[string]any{}) })
	for _, bad := range []string{"", "ops", "../users/x@example.com", "a@b@example.com", "ops@example.com/members/x", "ops@example.com?x=1"} {
		if _, _, err := d.Members(t.Context(), bad, time.Time{}); access.AsError(err).Code != access.CodeGroupUnreadable {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if g.Calls("") != 0 {
		t.Error("asked")
	}
}

func TestWithoutACustomerNobodyIsAsked(t *testing.T) {
	g := gcptest.Start(t, func(w http.ResponseWriter, r *http.Request) {})
	d := directory.New(g.Platform, "", time.Now)
	if _, _, err := d.Groups(t.Context(), "ana@example.com", time.Time{}); access.AsError(err).Code != access.CodeDirectoryNotSet || g.Calls("") != 0 {
		t.Errorf("got %v", err)
	}
}

func TestThreat40_AMisshapenAnswerIsAnErrorOrNothing(t *testing.T) {
	for body, fails := range map[string]bool{"null": true, `{"groups":[null],"members":[null]}`: false, `{"groups":null,"members":null}`: false} {
		d, _ := open(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(body)) })
		groups, _, err := d.Groups(t.Context(), "ana@example.com", time.Time{})
		if (err != nil) != fails || len(groups) != 0 {
			t.Errorf("groups of %s: %v, %v", body, groups, err)
		}
		members, _, err := d.Members(t.Context(), "ops@example.com", time.Time{})
		if (err != nil) != fails || len(members.People) != 0 {
			t.Errorf("members of %s: %v, %v", body, members, err)
		}
	}
}

// desk is a directory that can run out of its quota, and a clock that stands still.
type desk struct {
	*directory.Directory
	google *gcptest.Google
	now    time.Time
	// instead answers, when set, and groups are those of everybody.
	instead http.HandlerFunc
	groups  []string
	members []string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), groups: []string{"ops@example.com"}}
	d.google = gcptest.StartAt(t, func() time.Time { return d.now }, func(w http.ResponseWriter, r *http.Request) {
		if d.instead != nil {
			d.instead(w, r)
			return
		}
		body := map[string]any{}
		if strings.HasSuffix(r.URL.Path, "/members") {
			var all []any
			for _, m := range d.members {
				all = append(all, map[string]any{"email": m, "type": "USER", "status": "ACTIVE"})
			}
			body["members"] = all
		} else {
			var all []any
			for _, g := range d.groups {
				all = append(all, map[string]any{"email": g})
			}
			body["groups"] = all
		}
		gcptest.Answer(w, body)
	})
	d.Directory = directory.New(d.google.Platform, "C0123", func() time.Time { return d.now })
	return d
}

// TestPagesOfAdministratorsCostOneLookUp in 30 seconds, whoever of them asks, and at the
// same time too.
func TestPagesOfAdministratorsCostOneLookUp(t *testing.T) {
	d := newDesk(t)
	for i := range 50 {
		d.members = append(d.members, fmt.Sprintf("admin-%d@example.com", i))
	}
	ask := func() {
		var all sync.WaitGroup
		for _, who := range d.members {
			all.Go(func() {
				if in, stale, err := d.MemberOf(t.Context(), access.Principal(who), []string{"admins@example.com"}, time.Time{}); !in || stale != nil || err != nil {
					t.Errorf("%s: %v, %v, %v", who, in, stale, err)
				}
			})
		}
		all.Wait()
	}
	ask()
	d.now = d.now.Add(29 * time.Second)
	ask()
	if n := d.google.Calls("/admin/directory/"); n != 1 {
		t.Errorf("%d look-ups for 100 pages", n)
	}
	d.now = d.now.Add(time.Second)
	ask()
	if n := d.google.Calls("/admin/directory/"); n != 2 {
		t.Errorf("%d look-ups after 30 seconds", n)
	}
}

// TestMemberOf asks about the person where the group does not show them, and whoever acts
// is asked about anew.
func TestMemberOf(t *testing.T) {
	d := newDesk(t)
	for range 3 {
		if in, _, err := d.MemberOf(t.Context(), "ana@example.com", []string{"ops@example.com"}, time.Time{}); !in || err != nil {
			t.Error("somebody whom the list of members does not have", err)
		}
		if in, _, err := d.MemberOf(t.Context(), "ana@example.com", []string{"dev@example.com"}, time.Time{}); in || err != nil {
			t.Error("a member of another group", err)
		}
	}
	if n := d.google.Calls(""); n != 2 {
		t.Errorf("%d look-ups, want one for the first group and one for the person", n)
	}
	d.groups = nil
	if in, _, err := d.MemberOf(t.Context(), "ana@example.com", []string{"ops@example.com"}, d.now); in || err != nil {
		t.Error("an action of somebody who is a member no more", err)
	}
}

// TestLastAnswerServesForMinutes: pages whenever the directory fails in a way that
// passes, those who act only when its quota is spent; with a warning that says how old it
// is, and for five minutes.
func TestLastAnswerServesForMinutes(t *testing.T) {
	for rule, c := range map[string]struct {
		purpose access.Purpose
		instead http.HandlerFunc
		age     time.Duration
		want    access.Code // of the warning; of the error when serves is false
		serves  bool
	}{
		"a page, the quota is spent":               {access.ForPage, gcptest.Refuse(429, "x"), 4 * time.Minute, access.CodeStaleGroups, true},
		"a page, the quota of Workspace is spent":  {access.ForPage, gcptest.Refuse(403, "quotaExceeded"), 4 * time.Minute, access.CodeStaleGroups, true},
		"a page, the directory is down":            {access.ForPage, gcptest.Refuse(503, "x"), 4 * time.Minute, access.CodeStaleGroups, true},
		"a page, it refuses":                       {access.ForPage, gcptest.Refuse(403, "forbidden"), time.Minute, access.CodeServiceNotAllowed, false},
		"a page, nobody knows the person any more": {access.ForPage, gcptest.Refuse(404, "x"), time.Minute, access.CodePersonUnreadable, false},
		"an action, the quota is spent":            {access.ForAction, gcptest.Refuse(429, "x"), 4 * time.Minute, access.CodeStaleGroups, true},
		"an action, for too long":                  {access.ForAction, gcptest.Refuse(429, "x"), 5 * time.Minute, access.CodeQuota, false},
		"an action, the directory is down":         {access.ForAction, gcptest.Refuse(503, "x"), time.Minute, access.CodeUpstreamFailed, false},
		"an end, the quota is spent":               {access.ForEnd, gcptest.Refuse(429, "x"), time.Minute, access.CodeStaleGroups, true},
		"an end, the directory is down":            {access.ForEnd, gcptest.Refuse(500, "x"), time.Minute, access.CodeUpstreamFailed, false},
	} {
		t.Run(rule, func(t *testing.T) {
			d := newDesk(t)
			if _, _, err := d.Groups(t.Context(), "ana@example.com", time.Time{}); err != nil {
				t.Fatal(err)
			}
			d.now = d.now.Add(c.age)
			d.instead = c.instead
			var since time.Time
			if c.purpose != access.ForPage {
				since = d.now
			}
			groups, stale, err := d.Groups(access.WithPurpose(t.Context(), c.purpose), "ana@example.com", since)
			if c.serves {
				if err != nil || stale == nil || stale.Code != c.want || stale.Args["seconds"] != fmt.Sprint(int(c.age/time.Second)) ||
					!slices.Equal(groups, []string{"ops@example.com"}) {
					t.Errorf("%v, %v, %v", groups, stale, err)
				}
			} else if e := access.AsError(err); e == nil || e.Code != c.want || stale != nil || groups != nil {
				t.Errorf("%v, %v, %v", groups, stale, err)
			}
		})
	}
}

// TestActionsAskTheDirectory, however short ago somebody looked.
func TestActionsAskTheDirectory(t *testing.T) {
	d := newDesk(t)
	if _, _, err := d.Groups(t.Context(), "ana@example.com", time.Time{}); err != nil {
		t.Fatal(err)
	}
	d.groups, d.now = nil, d.now.Add(time.Millisecond)
	groups, stale, err := d.Groups(access.WithPurpose(t.Context(), access.ForAction), "ana@example.com", d.now)
	if len(groups) != 0 || stale != nil || err != nil || d.google.Calls("") != 2 {
		t.Errorf("%v, %v, %v after %d calls", groups, stale, err, d.google.Calls(""))
	}
}

// TestNobodyKeepsAMembershipBySpendingTheirPart of the quota: who did is refused, and what
// others do is looked up.
func TestNobodyKeepsAMembershipBySpendingTheirPart(t *testing.T) {
	d := newDesk(t)
	act := access.WithPerson(access.WithPurpose(t.Context(), access.ForAction), "ana@example.com")
	if _, _, err := d.Groups(act, "ana@example.com", d.now); err != nil {
		t.Fatal(err)
	}
	d.groups = nil // she has left
	for n := range 960 {
		d.Groups(act, access.Principal(fmt.Sprintf("somebody%d@example.com", n)), d.now)
	}
	d.now = d.now.Add(time.Millisecond)
	groups, stale, err := d.Groups(act, "ana@example.com", d.now)
	if e := access.AsError(err); e == nil || e.Code != access.CodeQuota || groups != nil || stale != nil {
		t.Errorf("her action: %v, %v, %v", groups, stale, err)
	}
	if groups, stale, err := d.Groups(access.WithPurpose(act, access.ForPage), "ana@example.com", time.Time{}); len(groups) == 0 && stale == nil && err == nil {
		t.Error("her page was looked up")
	}
	if groups, stale, err := d.Groups(access.WithPerson(act, "ben@example.com"), "ana@example.com", d.now); len(groups) != 0 || stale != nil || err != nil {
		t.Errorf("somebody else's action: %v, %v, %v", groups, stale, err)
	}
}
