package deploy_test

import (
	"errors"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
	cloudresourcemanager "google.golang.org/api/cloudresourcemanager/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"jitaccess/internal/sandbox/google"
)

// The sandbox reads the conditions as Google documents them: with the bindings of the module the
// service account reads every policy, grants what is listed, whatever binding it is in, and nothing
// else, and cannot take the conditions of others away.
func TestGoogleReadsTheLimitAsItIsMeant(t *testing.T) {
	const project = "projects/shop-orders-prod"
	roles := append(numbered(11), "roles/cloudsql.admin", "roles/logging.viewer")
	outputs, refused := evaluate(t, limits, map[string]cty.Value{"scope": cty.StringVal("organizations/482093157016"), "roles": texts(roles...),
		"permissions": permitting("a.b.get", roles...)}, nil)
	if refused != nil {
		t.Fatal(refused)
	}
	organization := google.Believable(time.Now())
	member := "serviceAccount:" + organization.ServiceAccount
	for i := range organization.Policy.Bindings {
		b := &organization.Policy.Bindings[i]
		b.Members = slices.DeleteFunc(b.Members, func(m string) bool { return m == member })
	}
	organization.Policy.Bindings = slices.DeleteFunc(organization.Policy.Bindings, func(b google.Binding) bool { return len(b.Members) == 0 })
	for _, b := range outputs["bindings"].AsValueMap() {
		binding := google.Binding{Role: b.GetAttr("role").AsString(), Members: []string{member}}
		if expression := b.GetAttr("expression").AsString(); expression != "" {
			binding.Condition = &google.Condition{Title: b.GetAttr("title").AsString(), Description: b.GetAttr("description").AsString(), Expression: expression}
		}
		organization.Policy.Bindings = append(organization.Policy.Bindings, binding)
	}
	cloud, err := google.New(google.Options{Organization: organization, WithoutCredentials: true})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(cloud.Handler())
	t.Cleanup(server.Close)
	service, err := cloudresourcemanager.NewService(t.Context(), option.WithEndpoint(server.URL), option.WithHTTPClient(server.Client()))
	if err != nil {
		t.Fatal(err)
	}
	read := func() *cloudresourcemanager.Policy {
		t.Helper()
		p, err := service.Projects.GetIamPolicy(project, &cloudresourcemanager.GetIamPolicyRequest{Options: &cloudresourcemanager.GetPolicyOptions{RequestedPolicyVersion: 3}}).Do()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	write := func(p *cloudresourcemanager.Policy) int {
		_, err := service.Projects.SetIamPolicy(project, &cloudresourcemanager.SetIamPolicyRequest{Policy: p}).Do()
		if refusal, ok := errors.AsType[*googleapi.Error](err); ok {
			return refusal.Code
		}
		return 200
	}
	for _, c := range []struct {
		roles []string
		want  int
	}{
		{[]string{"roles/cloudsql.admin"}, 200}, {[]string{"roles/logging.viewer"}, 200},
		{[]string{"roles/browser"}, 403}, {[]string{"roles/cloudsql.admin", "roles/browser"}, 403},
		{[]string{"roles/resourcemanager.projectIamAdmin"}, 403},
	} {
		p := read()
		for _, role := range c.roles {
			p.Bindings = append(p.Bindings, &cloudresourcemanager.Binding{Role: role, Members: []string{"user:frank@example.com"}})
		}
		if got := write(p); got != c.want {
			t.Errorf("%q: %d, want %d", c.roles, got, c.want)
		}
	}
	p := read()
	for _, b := range p.Bindings {
		b.Condition = nil
	}
	if got := write(p); got != 403 {
		t.Errorf("conditions were taken away: %d", got)
	}
	held, err := service.Projects.TestIamPermissions(project, &cloudresourcemanager.TestIamPermissionsRequest{
		Permissions: []string{"resourcemanager.projects.getIamPolicy", "resourcemanager.projects.setIamPolicy"}}).Do()
	if err != nil || len(held.Permissions) != 2 {
		t.Errorf("doctor would see %v, %v", held, err)
	}
}
