package google_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/cloudasset/v1"
	crm "google.golang.org/api/cloudresourcemanager/v3"

	"jitaccess/internal/sandbox/google"
)

func assets(t *testing.T, f *fixture) *cloudasset.Service {
	t.Helper()
	s, err := cloudasset.NewService(t.Context(), f.service()...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const resourceManagerHost = "//cloudresourcemanager.googleapis.com/"

func TestEffectivePoliciesGoUpToTheScope(t *testing.T) {
	f := newFixture(t)
	s := assets(t, f)
	for scope, want := range map[string][]string{
		f.OrganizationID():             {"projects/data-warehouse-prod", "folders/550038216947", "folders/731905264410", f.OrganizationID()},
		"folders/731905264410":         {"projects/data-warehouse-prod", "folders/550038216947", "folders/731905264410"},
		"projects/data-warehouse-prod": {"projects/data-warehouse-prod"},
	} {
		answer, err := s.EffectiveIamPolicies.BatchGet(scope).Names(resourceManagerHost + "projects/data-warehouse-prod").Do()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range answer.PolicyResults[0].Policies {
			got = append(got, strings.TrimPrefix(p.AttachedResource, resourceManagerHost))
			if p.Policy.Etag != "" {
				t.Error("the inventory has an etag")
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("scope %s: %v", scope, got)
		}
		if b := answer.PolicyResults[0].Policies[0].Policy.Bindings[0]; b.Condition == nil {
			t.Error("the inventory lacks conditions")
		}
	}
}

func TestEffectivePoliciesOfManyResources(t *testing.T) {
	f := newFixture(t)
	s := assets(t, f)
	answer, err := s.EffectiveIamPolicies.BatchGet(f.OrganizationID()).Names(resourceManagerHost+orders, resourceManagerHost+"projects/example.com:intranet").Do()
	if err != nil || len(answer.PolicyResults) != 2 || answer.PolicyResults[1].FullResourceName != resourceManagerHost+"projects/example.com:intranet" {
		t.Errorf("%+v, %v", answer, err)
	}
	for name, rule := range map[string]struct {
		scope string
		names []string
		code  int
		words string
	}{
		"no names":         {f.OrganizationID(), nil, 400, "number of names"},
		"21 names":         {f.OrganizationID(), slices.Repeat([]string{resourceManagerHost + orders}, 21), 400, "number of names"},
		"a short name":     {f.OrganizationID(), []string{orders}, 400, "full resource name"},
		"an unknown one":   {f.OrganizationID(), []string{resourceManagerHost + "projects/x"}, 404, "not found"},
		"outside of scope": {"folders/198467720153", []string{resourceManagerHost + orders}, 404, "not found"},
		"an unknown scope": {"folders/1", []string{resourceManagerHost + orders}, 403, "Permission 'cloudasset.assets.analyzeIamPolicy' denied on resource '//cloudresourcemanager.googleapis.com/folders/1'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.EffectiveIamPolicies.BatchGet(rule.scope).Names(rule.names...).Do()
			refused(t, err, rule.code, rule.words)
		})
	}
	f.Faults().RevokePermission("cloudasset.assets.searchAllIamPolicies")
	_, err = s.EffectiveIamPolicies.BatchGet(f.OrganizationID()).Names(resourceManagerHost + orders).Do()
	refused(t, err, 403, "Permission 'cloudasset.assets.searchAllIamPolicies' denied")
}

// A search returns the bindings that name an address, and no others.
func TestSearchFindsBindingsByAddress(t *testing.T) {
	f := newFixture(t)
	s := assets(t, f)
	search := func(query string) (*cloudasset.SearchAllIamPoliciesResponse, error) {
		return s.V1.SearchAllIamPolicies(f.OrganizationID()).AssetTypes("cloudresourcemanager.googleapis.com/Project").Query(query).Do()
	}
	answer, err := search(`policy:"alice@example.com"`)
	if err != nil || len(answer.Results) == 0 {
		t.Fatalf("%+v, %v", answer, err)
	}
	for _, r := range answer.Results {
		for _, b := range r.Policy.Bindings {
			if !slices.Contains(b.Members, "user:alice@example.com") {
				t.Errorf("%s: %v", r.Resource, b.Members)
			}
		}
	}
	_, err = search("roles/owner")
	refused(t, err, 400, "not supported")
	f.Faults().RevokePermission("cloudasset.assets.searchAllIamPolicies")
	_, err = search(`policy:"alice@example.com"`)
	refused(t, err, 403, "Permission 'cloudasset.assets.searchAllIamPolicies' denied")
}

func TestInventoryCanBeStale(t *testing.T) {
	f := newFixture(t)
	f.Faults().FreezeInventory(true)
	s := resourceManager(t, f.service())
	p := read(t, s, orders)
	p.Bindings = nil
	if _, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
		t.Fatal(err)
	}
	bindings := func() int {
		answer, err := assets(t, f).EffectiveIamPolicies.BatchGet(f.OrganizationID()).Names(resourceManagerHost + orders).Do()
		if err != nil {
			t.Fatal(err)
		}
		return len(answer.PolicyResults[0].Policies[0].Policy.Bindings)
	}
	if n := bindings(); n == 0 {
		t.Error("a frozen inventory shows the write")
	}
	f.Faults().FreezeInventory(false)
	if n := bindings(); n != 0 {
		t.Errorf("%d bindings after it has caught up", n)
	}
}

func TestAnalyzeWhatAPersonHolds(t *testing.T) {
	f := newFixture(t)
	answer, err := assets(t, f).V1.AnalyzeIamPolicy(f.OrganizationID()).
		AnalysisQueryIdentitySelectorIdentity("user:alice@example.com").
		AnalysisQueryResourceSelectorFullResourceName(resourceManagerHost + orders).
		AnalysisQueryConditionContextAccessTime(start.Format("2006-01-02T15:04:05Z07:00")).ExecutionTimeout("20s").Do()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range answer.MainAnalysis.AnalysisResults {
		if len(r.AccessControlLists) != 1 || len(r.AccessControlLists[0].Resources) != 1 || r.AccessControlLists[0].Resources[0].FullResourceName != resourceManagerHost+orders {
			t.Errorf("%s: not about the project that was asked for", r.IamBinding.Role)
		}
		value := "none"
		if e := r.AccessControlLists[0].ConditionEvaluation; e != nil {
			value = e.EvaluationValue
		}
		if r.IamBinding.Condition != nil && r.IamBinding.Condition.Title == "JIT access activation" {
			value += " activation"
		}
		got[r.IamBinding.Role] += value + " at " + strings.TrimPrefix(r.AttachedResourceFullName, resourceManagerHost)[:3] + ";"
	}
	for role, want := range map[string]string{
		"roles/browser":                  "none at org;",
		"roles/compute.instanceAdmin.v1": "CONDITIONAL at fol;",
		"roles/cloudsql.admin":           "CONDITIONAL at pro;",
		"roles/storage.objectAdmin":      "CONDITIONAL at pro;",
		"roles/secretmanager.admin":      "CONDITIONAL at pro;TRUE activation at pro;",
		"roles/logging.viewer":           "",
	} {
		if got[role] != want {
			t.Errorf("%s: %q, want %q", role, got[role], want)
		}
	}
	bobs, err := assets(t, f).V1.AnalyzeIamPolicy(f.OrganizationID()).AnalysisQueryIdentitySelectorIdentity("user:bob@example.com").
		AnalysisQueryAccessSelectorRoles("roles/cloudsql.admin").AnalysisQueryConditionContextAccessTime(start.Format("2006-01-02T15:04:05Z07:00")).Do()
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, r := range bobs.MainAnalysis.AnalysisResults {
		values = append(values, r.AccessControlLists[0].ConditionEvaluation.EvaluationValue)
	}
	slices.Sort(values)
	if !slices.Equal(values, []string{"CONDITIONAL", "CONDITIONAL", "CONDITIONAL", "FALSE"}) {
		t.Errorf("bob's roles are %v", values)
	}
}

func TestAnalyzeWhoHoldsARoleAndWhatIsVisible(t *testing.T) {
	f := newFixture(t)
	s := assets(t, f)
	answer, err := s.V1.AnalyzeIamPolicy(f.OrganizationID()).AnalysisQueryAccessSelectorRoles("roles/cloudsql.admin").
		AnalysisQueryResourceSelectorFullResourceName(resourceManagerHost + "projects/shop-payments-prod").AnalysisQueryOptionsExpandGroups(true).Do()
	if err != nil || len(answer.MainAnalysis.AnalysisResults) != 1 {
		t.Fatalf("%+v, %v", answer, err)
	}
	var people []string
	for _, i := range answer.MainAnalysis.AnalysisResults[0].IdentityList.Identities {
		if strings.HasPrefix(i.Name, "user:") {
			people = append(people, i.Name)
		}
	}
	slices.Sort(people)
	if !slices.Equal(people, []string{"user:bob@example.com", "user:carol@example.com", "user:dan.o'brien@example.com"}) {
		t.Errorf("holders: %v", people)
	}
	visible, err := s.V1.AnalyzeIamPolicy(f.OrganizationID()).AnalysisQueryIdentitySelectorIdentity("user:frank@example.com").
		AnalysisQueryAccessSelectorPermissions("resourcemanager.projects.get").AnalysisQueryOptionsExpandResources(true).Do()
	if err != nil || len(visible.MainAnalysis.AnalysisResults) == 0 {
		t.Fatal(err)
	}
	projects := 0
	for _, r := range visible.MainAnalysis.AnalysisResults[0].AccessControlLists[0].Resources {
		if strings.Contains(r.FullResourceName, "/projects/") {
			projects++
		}
	}
	if projects != 13 {
		t.Errorf("%d projects", projects)
	}
	_, err = s.V1.AnalyzeIamPolicy(f.OrganizationID()).Do()
	refused(t, err, 400, "At least one of")
	_, err = s.V1.AnalyzeIamPolicy(f.OrganizationID()).AnalysisQueryIdentitySelectorIdentity("user:x@example.com").Do()
	refused(t, err, 400, "does not exist")
	_, err = s.V1.AnalyzeIamPolicy(f.OrganizationID()).AnalysisQueryIdentitySelectorIdentity("user:bob@example.com").AnalysisQueryConditionContextAccessTime("noon").Do()
	refused(t, err, 400, "access_time")
}

func TestAnalysisNamesThePersonNotTheirGroup(t *testing.T) {
	f := newFixture(t)
	answer, err := assets(t, f).V1.AnalyzeIamPolicy(f.OrganizationID()).AnalysisQueryIdentitySelectorIdentity("user:alice@example.com").
		AnalysisQueryAccessSelectorRoles("roles/compute.instanceAdmin.v1").Do()
	if err != nil || len(answer.MainAnalysis.AnalysisResults) != 1 || !answer.MainAnalysis.FullyExplored {
		t.Fatalf("%+v, %v", answer, err)
	}
	r := answer.MainAnalysis.AnalysisResults[0]
	if len(r.IdentityList.Identities) != 1 || r.IdentityList.Identities[0].Name != "user:alice@example.com" || r.IamBinding.Members[0] != "group:sre@example.com" {
		t.Errorf("%+v of %v", r.IdentityList, r.IamBinding.Members)
	}
}

func TestAnalysisRefusesOptionsThatContradictTheQuery(t *testing.T) {
	f := newFixture(t)
	s := assets(t, f).V1
	alice := func() *cloudasset.V1AnalyzeIamPolicyCall {
		return s.AnalyzeIamPolicy(f.OrganizationID()).AnalysisQueryIdentitySelectorIdentity("user:alice@example.com")
	}
	for words, query := range map[string]*cloudasset.V1AnalyzeIamPolicyCall{
		"expand_groups":    alice().AnalysisQueryOptionsExpandGroups(true),
		"expand_roles":     alice().AnalysisQueryAccessSelectorRoles("roles/x").AnalysisQueryOptionsExpandRoles(true),
		"expand_resources": alice().AnalysisQueryResourceSelectorFullResourceName(resourceManagerHost + f.OrganizationID()).AnalysisQueryOptionsExpandResources(true),
		"access_time":      alice().AnalysisQueryConditionContextAccessTime(start.Add(-time.Hour).Format(time.RFC3339)),
	} {
		_, err := query.Do()
		refused(t, err, 400, words)
	}
}

func TestAnalysisSaysWhichGroupItCouldNotExpand(t *testing.T) {
	f := newFixture(t)
	policy := google.Policy{Bindings: []google.Binding{{Role: "roles/browser", Members: []string{"group:contractors@partner.example.net", "user:bob@example.com"}}}}
	if err := f.SetPolicy(orders, policy); err != nil {
		t.Fatal(err)
	}
	answer, err := assets(t, f).V1.AnalyzeIamPolicy(orders).AnalysisQueryResourceSelectorFullResourceName(resourceManagerHost + orders).
		AnalysisQueryAccessSelectorRoles("roles/browser").AnalysisQueryOptionsExpandGroups(true).Do()
	if err != nil {
		t.Fatal(err)
	}
	m := answer.MainAnalysis
	if m.FullyExplored || len(m.NonCriticalErrors) != 1 || m.NonCriticalErrors[0].Code != "PERMISSION_DENIED" ||
		!strings.Contains(m.NonCriticalErrors[0].Cause, "contractors@partner.example.net") || len(m.AnalysisResults) != 1 {
		t.Errorf("%+v", m)
	}
}
