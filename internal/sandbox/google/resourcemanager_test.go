package google_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	crm1 "google.golang.org/api/cloudresourcemanager/v1"
	crm "google.golang.org/api/cloudresourcemanager/v3"
)

func TestProjectsSearchComesInPages(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	for query, want := range map[string]int{
		"": 13, "state:ACTIVE": 12, "state:DELETE_REQUESTED": 1, "id:shop-*": 7, "labels.env:prod": 5, "labels.env=prod AND id:shop-*": 3,
		"parent:folders/198467720153": 3, "displayName:Intranet": 1, "parent.type:organization": 5, "id:nothing": 0,
	} {
		var ids []string
		pages := 0
		err := s.Projects.Search().Query(query).PageSize(1000).Pages(context.Background(), func(p *crm.SearchProjectsResponse) error {
			pages++
			for _, x := range p.Projects {
				ids = append(ids, x.ProjectId)
			}
			return nil
		})
		slices.Sort(ids)
		if err != nil || len(slices.Compact(ids)) != want || pages != max(1, (want+4)/5) {
			t.Errorf("%q: %v on %d pages, %v", query, ids, pages, err)
		}
	}
	for _, query := range []string{"colour:red", "orders", ":x", "id:["} {
		_, err := s.Projects.Search().Query(query).Do()
		refused(t, err, 400, "query")
	}
	first, err := s.Projects.Search().Do()
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Projects.Search().Query("state:ACTIVE").PageToken(first.NextPageToken).Do()
	refused(t, err, 400, "page token")
	if one, err := s.Projects.Search().PageSize(1).Do(); err != nil || len(one.Projects) != 1 || one.NextPageToken == "" {
		t.Errorf("a page of one: %v", err)
	}
}

func TestSearchShowsWhatTheCallerMaySee(t *testing.T) {
	f := newFixture(t)
	f.Faults().RevokePermission("resourcemanager.projects.get")
	if found, err := resourceManager(t, f.service()).Projects.Search().Do(); err != nil || len(found.Projects) != 0 {
		t.Errorf("%v, %v", found, err)
	}
}

func TestResourcesAsBothVersionsShowThem(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	p, err := s.Projects.Get(orders).Do()
	if err != nil || p.Name != "projects/219046635873" || p.ProjectId != "shop-orders-prod" || p.Parent != "folders/731905264410" || p.State != "ACTIVE" || p.Labels["env"] != "prod" {
		t.Errorf("version 3: %+v, %v", p, err)
	}
	if x, err := s.Folders.Get("folders/731905264410").Do(); err != nil || x.DisplayName != "Production" || x.Parent != f.OrganizationID() {
		t.Errorf("folder: %+v, %v", x, err)
	}
	if x, err := s.Organizations.Get(f.OrganizationID()).Do(); err != nil || x.DisplayName != "example.com" || x.DirectoryCustomerId != f.CustomerID() {
		t.Errorf("organization: %+v, %v", x, err)
	}
	_, err = s.Projects.Get("projects/nothing").Do()
	refused(t, err, 403, "Permission 'resourcemanager.projects.get' denied")

	old := resourceManager1(t, f.service())
	q, err := old.Projects.Get("shop-orders-prod").Do()
	if err != nil || q.ProjectNumber != 219046635873 || q.LifecycleState != "ACTIVE" || q.Parent.Type != "folder" || q.Parent.Id != "731905264410" {
		t.Errorf("version 1: %+v, %v", q, err)
	}
	count := 0
	err = old.Projects.List().Filter("lifecycleState:ACTIVE parent.type:folder").Pages(t.Context(), func(l *crm1.ListProjectsResponse) error {
		count += len(l.Projects)
		return nil
	})
	if err != nil || count != 8 {
		t.Errorf("version 1 lists %d, %v", count, err)
	}
}

func TestPoliciesByVersion1(t *testing.T) {
	f := newFixture(t)
	s := resourceManager1(t, f.service())
	p, err := s.Projects.GetIamPolicy("shop-orders-prod", &crm1.GetIamPolicyRequest{Options: &crm1.GetPolicyOptions{RequestedPolicyVersion: 3}}).Do()
	if err != nil || p.Version != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	p.Bindings = append(p.Bindings, &crm1.Binding{Role: "roles/browser", Members: []string{"user:frank@example.com"}})
	if _, err := s.Projects.SetIamPolicy("shop-orders-prod", &crm1.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
		t.Fatal(err)
	}
	policy, err := f.Policy(orders)
	if err != nil || !strings.Contains(string(policy), "roles/browser") {
		t.Errorf("%s, %v", policy, err)
	}
}

func TestFolderAndOrganizationPolicies(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.person("erin@example.com"))
	get := &crm.GetIamPolicyRequest{Options: &crm.GetPolicyOptions{RequestedPolicyVersion: 3}}
	p, err := s.Folders.GetIamPolicy("folders/731905264410", get).Do()
	if err != nil || p.Version != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := s.Folders.SetIamPolicy("folders/731905264410", &crm.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
		t.Error(err)
	}
	if p, err = s.Organizations.GetIamPolicy(f.OrganizationID(), get).Do(); err != nil {
		t.Fatal(err)
	}
	p.Bindings = append(p.Bindings, &crm.Binding{Role: "roles/resourcemanager.folderAdmin", Members: []string{"user:erin@example.com"}})
	if _, err := s.Organizations.SetIamPolicy(f.OrganizationID(), &crm.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
		t.Error(err)
	}
}

func TestTestIamPermissions(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	answer, err := s.Projects.TestIamPermissions(orders, &crm.TestIamPermissionsRequest{Permissions: []string{"resourcemanager.projects.setIamPolicy", "compute.instances.delete"}}).Do()
	if err != nil || !slices.Equal(answer.Permissions, []string{"resourcemanager.projects.setIamPolicy"}) {
		t.Errorf("%v, %v", answer, err)
	}
	_, err = s.Projects.TestIamPermissions(orders, &crm.TestIamPermissionsRequest{Permissions: []string{"compute.*"}}).Do()
	refused(t, err, 400, "not valid")
}
