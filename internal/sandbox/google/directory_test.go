package google_test

import (
	"slices"
	"testing"

	directory "google.golang.org/api/admin/directory/v1"

	"jitaccess/internal/sandbox/google"
)

func groups(t *testing.T, f *fixture) *directory.Service {
	t.Helper()
	s, err := directory.NewService(t.Context(), f.person(f.ServiceAccount(), google.ScopeGroupsReadOnly)...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestGroupsOfAMemberAreDirectOnesInPages(t *testing.T) {
	f := newFixture(t, func(o *google.Options) { o.PageSize = 2 })
	s := groups(t, f)
	for query, call := range map[string]*directory.GroupsListCall{
		"memberKey=bob@example.com":   s.Groups.List().Customer(f.CustomerID()).Query("memberKey=bob@example.com"),
		"memberKey='Bob@example.com'": s.Groups.List().Customer("my_customer").Query("memberKey='Bob@example.com'"),
		"userKey":                     s.Groups.List().UserKey("bob@example.com"),
	} {
		var found []string
		pages := 0
		err := call.Pages(t.Context(), func(l *directory.Groups) error {
			pages++
			for _, g := range l.Groups {
				found = append(found, g.Email)
			}
			return nil
		})
		if err != nil || pages != 2 || !slices.Equal(found, []string{"sre@example.com", "payments-leads@example.com", "engineers@example.com"}) {
			t.Errorf("%s: %v on %d pages, %v", query, found, pages, err)
		}
	}
	for _, query := range []string{"memberKey=dan.o'brien@example.com", `memberKey='dan.o\'brien@example.com'`} {
		if l, err := s.Groups.List().Customer(f.CustomerID()).Query(query).Do(); err != nil || len(l.Groups) != 2 || l.NextPageToken == "" {
			t.Errorf("%s: %v, %v", query, l, err)
		}
	}
	if l, err := s.Groups.List().Customer(f.CustomerID()).Query("memberKey=gil@partner.example.net").Do(); err != nil || len(l.Groups) != 0 {
		t.Errorf("a member of another customer's group: %v, %v", l, err)
	}
}

func TestMembersOfAGroup(t *testing.T) {
	f := newFixture(t, func(o *google.Options) { o.PageSize = 2 })
	s := groups(t, f)
	members := func(call *directory.MembersListCall) (found []string) {
		t.Helper()
		err := call.Pages(t.Context(), func(l *directory.Members) error {
			for _, m := range l.Members {
				found = append(found, m.Type+" "+m.Status+" "+m.Email)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return found
	}
	if got := members(s.Members.List("payments@example.com")); !slices.Equal(got, []string{"USER ACTIVE dan.o'brien@example.com", "GROUP ACTIVE payments-leads@example.com"}) {
		t.Errorf("direct: %v", got)
	}
	if got := members(s.Members.List("payments@example.com").IncludeDerivedMembership(true)); len(got) != 4 {
		t.Errorf("derived: %v", got)
	}
	if got := members(s.Members.List("engineers@example.com")); len(got) != 6 {
		t.Errorf("three pages: %v", got)
	}
	if g, err := s.Groups.Get("sre@example.com").Do(); err != nil || g.Name != "Site reliability" {
		t.Errorf("%v, %v", g, err)
	}
	if h, err := s.Members.HasMember("payments@example.com", "bob@example.com").Do(); err != nil || !h.IsMember {
		t.Errorf("a nested member is one: %v, %v", h, err)
	}
}

func TestDirectoryRefusals(t *testing.T) {
	f := newFixture(t)
	s := groups(t, f)
	list := func(c *directory.GroupsListCall) error { _, err := c.Do(); return err }
	members := func(c *directory.MembersListCall) error { _, err := c.Do(); return err }
	refused(t, list(s.Groups.List()), 400, "Bad Request")
	refused(t, list(s.Groups.List().Customer("C0wrong")), 400, "Invalid Input: customer")
	refused(t, list(s.Groups.List().Customer(f.CustomerID()).Query("colour=red")), 400, "Invalid Input: query")
	refused(t, list(s.Groups.List().UserKey("x@example.com")), 404, "Resource Not Found: userKey")
	refused(t, list(s.Groups.List().Domain("other.example")), 404, "Domain not found")
	refused(t, members(s.Members.List("x@example.com")), 404, "Resource Not Found: groupKey")
	refused(t, members(s.Members.List("contractors@partner.example.net")), 403, "Not Authorized")
	f.Faults().RevokePermission("Groups Reader")
	refused(t, members(s.Members.List("sre@example.com")), 403, "Not Authorized")

	alice, err := directory.NewService(t.Context(), f.person("alice@example.com", google.ScopeGroups)...)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, members(alice.Members.List("sre@example.com")), 403, "Not Authorized")
}
