package directory_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/directory"
	"jitaccess/internal/gcp/gcptest"
)

func open(t *testing.T, handler http.HandlerFunc) (*directory.Directory, *gcptest.Google) {
	t.Helper()
	g := gcptest.Start(t, handler)
	d, err := directory.New(t.Context(), g.Platform, "C0123", time.Now)
	if err != nil {
		t.Fatal(err)
	}
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

func TestPagesThatNeverEnd(t *testing.T) {
	d, g := open(t, func(w http.ResponseWriter, r *http.Request) {
		gcptest.Answer(w, map[string]any{"nextPageToken": "again"})
	})
	_, _, err := d.Members(t.Context(), "all@example.com", time.Time{})
	if e := access.AsError(err); e == nil || e.Kind != access.Upstream || g.Calls("") != 1000 {
		t.Errorf("got %v after %d calls", err, g.Calls(""))
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
	d, err := directory.New(t.Context(), g.Platform, "", time.Now)
	if err != nil {
		t.Fatal(err)
	}
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
