package google_test

import (
	"cmp"
	"encoding/json"
	"slices"
	"testing"

	"jitaccess/internal/sandbox/google"
)

func TestGeneratedOrganization(t *testing.T) {
	size := google.Size{People: 500, Projects: 2000, PolicyMembers: 1500}
	o := google.Generated(start, size)
	f := newFixture(t, func(options *google.Options) { options.Organization, options.PageSize = o, 500 })
	if len(o.People) != 500 || len(o.Projects) != 2001 || len(o.Groups) != 52 {
		t.Errorf("%d people, %d projects, %d groups", len(o.People), len(o.Projects), len(o.Groups))
	}
	for name, p := range map[string]google.Policy{"organization": o.Policy, "folder": o.Folders[0].Policy} {
		members := 0
		for _, b := range p.Bindings {
			members += len(b.Members)
		}
		text, err := json.Marshal(p)
		if err != nil || members != 1500 || len(text) < 100_000 {
			t.Errorf("the policy of the %s has %d members and %d bytes, %v", name, members, len(text), err)
		}
	}
	// Everybody's team is eligible on its own projects, and on no others.
	for _, i := range []int{0, 49, 50, 1999} {
		p := o.Projects[i]
		team := "group:" + google.GeneratedTeam(size.ProjectTeam(i))
		b := p.Policy.Bindings[0]
		if p.ID != google.GeneratedProject(i) || !slices.Equal(b.Members, []string{team}) || b.Role != google.TeamSelfRole {
			t.Errorf("%+v", p)
		}
	}
	g := o.Groups[7]
	if g.Email != google.GeneratedTeam(7) || len(g.Members) != 10 || g.Members[3] != google.GeneratedPerson(73) || size.TeamOf(73) != 7 {
		t.Errorf("%+v", g)
	}
	// The service may do there what it needs, and people nothing yet.
	for permission, want := range map[string]bool{"resourcemanager.projects.setIamPolicy": true, "compute.instances.stop": false} {
		if f.Allowed("serviceAccount:"+f.ServiceAccount(), permission, "projects/"+google.GeneratedProject(1999), start) != want {
			t.Error(permission)
		}
	}
	if f.Allowed("user:"+google.GeneratedPerson(0), google.TeamSelfRole, "projects/"+google.GeneratedProject(0), start) {
		t.Error("an eligibility gives access")
	}
}

func TestGeneratedOrganizationOfAnySize(t *testing.T) {
	for _, size := range []google.Size{
		{}, {People: 1}, {People: 11, Projects: 3}, {PolicyMembers: 7}, {People: 20, Projects: 1, PolicyMembers: 1},
	} {
		o := google.Generated(start, size)
		if _, err := google.New(google.Options{Organization: o}); err != nil {
			t.Errorf("%+v: %v", size, err)
		}
		if o.Administrator == "" || len(o.People) != cmp.Or(size.People, 10) {
			t.Errorf("%+v: %d people, administered by %q", size, len(o.People), o.Administrator)
		}
	}
}
