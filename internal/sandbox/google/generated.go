package google

import (
	"fmt"
	"time"
)

// Size is how large a generated organization is. Zero values are those of a small
// one.
type Size struct {
	// People work in teams of ten; 0 is 10.
	People int
	// Projects are dealt to the teams in turn; 0 is 10.
	Projects int
	// PolicyMembers is how many members the policy of the organization and that of
	// the folder name, each; Google allows 1,500. Fewer than there are of use are not
	// filled up.
	PolicyMembers int
}

// The roles that a generated organization makes people eligible for.
const (
	// TeamSelfRole and TeamPeerRole are a team's on each of its projects, by its group.
	TeamSelfRole = "roles/cloudsql.admin"
	TeamPeerRole = "roles/compute.instanceAdmin.v1"
	// OnCallPeerRole is that of everybody on call, on every project, by the folder.
	OnCallPeerRole = "roles/container.developer"
)

const teamSize = 10

// GeneratedPerson, GeneratedTeam and GeneratedProject are the address of a person, that
// of a team's group, and the id of a project, counted from 0.
func GeneratedPerson(i int) string { return fmt.Sprintf("person-%04d@example.com", i) }
func GeneratedTeam(i int) string   { return fmt.Sprintf("team-%03d@example.com", i) }
func GeneratedProject(i int) string {
	return fmt.Sprintf("workload-%05d-prod", i)
}

// TeamOf is the team of a person, and ProjectTeam that of a project.
func (s Size) TeamOf(person int) int { return person / teamSize }

// ProjectTeam is the team that a project belongs to.
func (s Size) ProjectTeam(project int) int {
	return project % max(1, (s.orSmall().People+teamSize-1)/teamSize)
}

func (s Size) orSmall() Size {
	if s.People == 0 {
		s.People = teamSize
	}
	if s.Projects == 0 {
		s.Projects = 10
	}
	return s
}

// Generated is an organization of any size, with the service's own project and
// account of Believable. All projects lie in one folder. Everybody is in the group
// of their team, and the first of each team in the group on-call@example.com. The
// administrators are in the group administrators@example.com, the last team.
func Generated(now time.Time, s Size) Organization {
	s = s.orSmall()
	o := Believable(now)
	account := "serviceAccount:" + o.ServiceAccount
	const folder = "folders/731905264410"
	home := o.Projects[len(o.Projects)-1]
	o.People, o.Groups, o.Projects, o.CustomRoles, o.Buckets = nil, nil, nil, nil, nil
	var onCall, administrators []string
	for i := range s.People {
		address := GeneratedPerson(i)
		o.People = append(o.People, Person{Name: fmt.Sprintf("Person %d", i), Email: address,
			Subject: fmt.Sprintf("accounts.google.com:2%020d", i)})
		if i%teamSize == 0 {
			o.Groups = append(o.Groups, Group{Email: GeneratedTeam(s.TeamOf(i)), Name: fmt.Sprintf("Team %d", s.TeamOf(i))})
			onCall = append(onCall, address)
			administrators = nil
		}
		team := &o.Groups[len(o.Groups)-1]
		team.Members = append(team.Members, address)
		administrators = append(administrators, address)
	}
	o.Groups = append(o.Groups, Group{Email: "on-call@example.com", Name: "On call", Members: onCall},
		Group{Email: "administrators@example.com", Name: "Administrators", Members: administrators})
	o.Administrator = administrators[0]

	o.Policy = Policy{Bindings: filled([]Binding{
		{Role: "roles/browser", Members: []string{"domain:example.com", account}},
		{Role: "roles/cloudasset.viewer", Members: []string{account}},
		{Role: "roles/resourcemanager.projectIamAdmin", Members: []string{account}},
		{Role: "roles/iam.roleViewer", Members: []string{account}},
		{Role: "roles/iam.securityReviewer", Members: []string{account}},
	}, "platform", s), AuditConfigs: o.Policy.AuditConfigs}
	o.Folders = []Folder{{ID: "731905264410", DisplayName: "Production", Parent: "organizations/" + o.ID}}
	o.Folders[0].Policy.Bindings = filled([]Binding{
		{Role: OnCallPeerRole, Members: []string{"group:on-call@example.com"}, Condition: eligible(peerMarker)},
	}, "workload", s)
	for i := range s.Projects {
		team := "group:" + GeneratedTeam(s.ProjectTeam(i))
		o.Projects = append(o.Projects, Project{ID: GeneratedProject(i), Number: fmt.Sprint(3_000_000_000 + i),
			DisplayName: fmt.Sprintf("Workload %d", i), Parent: folder, Policy: Policy{Bindings: []Binding{
				{Role: TeamSelfRole, Members: []string{team}, Condition: eligible(selfMarker)},
				{Role: TeamPeerRole, Members: []string{team}, Condition: eligible(peerMarker)},
				// Of others.
				{Role: "roles/viewer", Members: []string{team}},
				{Role: "roles/pubsub.publisher", Members: []string{"serviceAccount:deployer@shop-build.iam.gserviceaccount.com"}},
				{Role: "roles/logging.viewer", Members: []string{"user:" + GeneratedPerson(i%s.People)}, Condition: &Condition{
					Title: "until the audit is over", Expression: `request.time < timestamp("` + timestamp(now.AddDate(0, 3, 0)) + `")`}},
			}}})
	}
	o.Projects = append(o.Projects, home)
	return o
}

// filled adds bindings of five members each, until there are as many members as asked
// for: every third is an eligibility of some bucket, the others are of other tools.
func filled(bindings []Binding, prefix string, s Size) []Binding {
	members := 0
	for _, b := range bindings {
		members += len(b.Members)
	}
	for i := 0; members < s.PolicyMembers; i++ {
		b := Binding{Role: fmt.Sprintf("roles/%s%03d.editor", prefix, i), Condition: &Condition{Title: "managed by terraform",
			Description: fmt.Sprintf("Module access-%s, change %d", prefix, 4000+i),
			Expression:  fmt.Sprintf(`resource.name.startsWith("projects/_/buckets/%s-%03d-exports/") && resource.type != "x"`, prefix, i)}}
		if i%3 == 0 {
			b.Condition = eligible(fmt.Sprintf(`%s && resource.name.startsWith("projects/_/buckets/%s-%03d-exports/")`, peerMarker, prefix, i))
		}
		for range min(5, s.PolicyMembers-members) {
			b.Members = append(b.Members, "user:"+GeneratedPerson(members%s.People))
			members++
		}
		bindings = append(bindings, b)
	}
	return bindings
}
