package google_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/compute/metadata"
	oauth "golang.org/x/oauth2/google"
	directory "google.golang.org/api/admin/directory/v1"
	crm "google.golang.org/api/cloudresourcemanager/v3"
	"google.golang.org/api/iamcredentials/v1"
	"google.golang.org/api/option"

	"jitaccess/internal/sandbox/google"
)

func TestEveryAPIWantsAToken(t *testing.T) {
	f := newFixture(t)
	expired := f.metadataToken()
	f.offset.Store(int64(time.Hour))
	noScopes, err := f.IssueToken("alice@example.com", google.ScopePubSub)
	if err != nil {
		t.Fatal(err)
	}
	for _, api := range []struct{ method, path string }{
		{"POST", "/v3/projects/shop-orders-prod:getIamPolicy"}, {"POST", "/v1/projects/shop-orders-prod:setIamPolicy"},
		{"POST", "/v3/folders/731905264410:getIamPolicy"}, {"POST", "/v3/organizations/482093157016:getIamPolicy"},
		{"GET", "/v3/projects:search"}, {"GET", "/v3/projects/shop-orders-prod"}, {"GET", "/v1/projects"},
		{"GET", "/v1/organizations/482093157016/effectiveIamPolicies:batchGet"}, {"GET", "/v1/projects/shop-orders-prod:analyzeIamPolicy"},
		{"GET", "/admin/directory/v1/groups"}, {"GET", "/admin/directory/v1/groups/sre@example.com/members"},
		{"POST", "/v1/projects/-/serviceAccounts/" + f.ServiceAccount() + ":signJwt"}, {"GET", "/v1/roles/viewer"}, {"POST", "/v1/roles:queryGrantableRoles"},
		{"GET", "/v1/projects/example-jitaccess/secrets/s/versions/1:access"},
	} {
		for name, want := range map[string]struct {
			header, status string
			code           int
		}{
			"no token":        {"", "UNAUTHENTICATED", 401},
			"unknown token":   {"Bearer ya29.forged", "UNAUTHENTICATED", 401},
			"expired token":   {"Bearer " + expired, "UNAUTHENTICATED", 401},
			"another scheme":  {"Basic " + noScopes, "UNAUTHENTICATED", 401},
			"the wrong scope": {"Bearer " + noScopes, "ACCESS_TOKEN_SCOPE_INSUFFICIENT", 403},
		} {
			var headers []string
			if want.header != "" {
				headers = []string{"Authorization", want.header}
			}
			if code, body := f.do(api.method, api.path, "", headers...); code != want.code || !strings.Contains(body, want.status) {
				t.Errorf("%s %s with %s: %d %s", api.method, api.path, name, code, body)
			}
		}
	}
}

func TestWithoutCredentialsOnlyWhereAllowed(t *testing.T) {
	f := newFixture(t, func(o *google.Options) { o.WithoutCredentials = true })
	s := resourceManager(t, []option.ClientOption{option.WithEndpoint(f.url), option.WithoutAuthentication()})
	if _, err := s.Projects.Get(orders).Do(); err != nil {
		t.Error(err)
	}
	_, err := resourceManager(t, f.as("forged")).Projects.Get(orders).Do()
	refused(t, err, 401, "invalid authentication credentials")
}

func TestMetadataServer(t *testing.T) {
	f := newFixture(t)
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(f.url, "http://"))
	client := metadata.NewClient(http.DefaultClient)
	ctx := t.Context()
	for name, ask := range map[string]func() (string, error){
		"example-jitaccess": func() (string, error) { return client.ProjectIDWithContext(ctx) },
		"264853019977":      func() (string, error) { return client.NumericProjectIDWithContext(ctx) },
		f.ServiceAccount():  func() (string, error) { return client.EmailWithContext(ctx, "default") },
		"projects/264853019977/regions/europe-west1": func() (string, error) { return client.GetWithContext(ctx, "instance/region") },
		google.ScopeCloudPlatform:                    func() (string, error) { return client.GetWithContext(ctx, "instance/service-accounts/default/scopes") },
	} {
		if got, err := ask(); strings.TrimSpace(got) != name || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, name)
		}
	}
	if code, body := f.get("/computeMetadata/v1/project/?recursive=true", "Metadata-Flavor", "Google"); code != 200 || !strings.Contains(body, `"numericProjectId": 264853019977`) {
		t.Errorf("recursive: %d %s", code, body)
	}
	about := `{"aliases":["default"],"email":"` + f.ServiceAccount() + `","scopes":["` + google.ScopeCloudPlatform + `"]}`
	const accounts = "/computeMetadata/v1/instance/service-accounts/"
	for path, want := range map[string]string{
		accounts + "?recursive=true":                       `{"default":` + about + `,"` + f.ServiceAccount() + `":` + about + `}`,
		accounts + "default/?recursive=true":               about,
		accounts + f.ServiceAccount() + "/?recursive=true": about,
		accounts:              "default/\n" + f.ServiceAccount() + "/\n",
		accounts + "default/": "aliases\nemail\nscopes\ntoken\n",
	} {
		code, body := f.get(path, "Metadata-Flavor", "Google")
		var compact bytes.Buffer
		if strings.HasPrefix(want, "{") && json.Compact(&compact, []byte(body)) == nil {
			body = compact.String()
		}
		if code != 200 || body != want || strings.Contains(body, "ya29") {
			t.Errorf("%s: %d %s, want %s", path, code, body, want)
		}
		if code, _ := f.get(path); code != 403 {
			t.Errorf("%s without the header: %d", path, code)
		}
	}
	if code, _ := f.get(accounts+"other@x.iam.gserviceaccount.com/?recursive=true", "Metadata-Flavor", "Google"); code != 404 {
		t.Errorf("another account: %d", code)
	}
	token, err := oauth.ComputeTokenSource("", google.ScopeGroupsReadOnly, google.ScopeCloudPlatform).Token()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := resourceManager(t, f.as(token.AccessToken)).Projects.Get(orders).Do(); err != nil {
		t.Error(err)
	}
}

func TestMetadataServerWantsItsHeader(t *testing.T) {
	f := newFixture(t)
	const path = "/computeMetadata/v1/instance/service-accounts/default/token"
	for name, headers := range map[string][]string{"none": nil, "wrong": {"Metadata-Flavor", "google"}, "forwarded": {"Metadata-Flavor", "Google", "X-Forwarded-For", "10.0.0.1"}} {
		if code, body := f.get(path, headers...); code != 403 || strings.Contains(body, "ya29") {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if code, _ := f.get("/"); code != 200 {
		t.Errorf("the probe: %d", code)
	}
	if code, _ := f.get("/computeMetadata/v1/instance/service-accounts/other@x.iam.gserviceaccount.com/token", "Metadata-Flavor", "Google"); code != 404 {
		t.Errorf("another account: %d", code)
	}
}

func TestMetadataHandlerServesNothingElse(t *testing.T) {
	cloud, err := google.New(google.Options{WithoutCredentials: true})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/": 200, "/computeMetadata/v1/project/project-id": 403, "/v3/projects:search": 404, "/control/calls": 404} {
		w := httptest.NewRecorder()
		cloud.MetadataHandler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want || (want != 404 && w.Header().Get("Metadata-Flavor") != "Google") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}

// The metadata token lacks the scope of the directory; the account gets a token
// that has it by impersonating itself.
func TestDirectoryScopeComesFromImpersonatingOneself(t *testing.T) {
	f := newFixture(t)
	groups, err := directory.NewService(t.Context(), f.service()...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = groups.Groups.List().Customer(f.CustomerID()).Do()
	refused(t, err, 403, "insufficient authentication scopes")

	credentials, err := iamcredentials.NewService(t.Context(), f.service()...)
	if err != nil {
		t.Fatal(err)
	}
	name := "projects/-/serviceAccounts/" + f.ServiceAccount()
	token, err := credentials.Projects.ServiceAccounts.GenerateAccessToken(name, &iamcredentials.GenerateAccessTokenRequest{Scope: []string{google.ScopeGroupsReadOnly}, Lifetime: "300s"}).Do()
	if err != nil {
		t.Fatal(err)
	}
	if groups, err = directory.NewService(t.Context(), f.as(token.AccessToken)...); err != nil {
		t.Fatal(err)
	}
	if _, err = groups.Groups.List().Customer(f.CustomerID()).Do(); err != nil {
		t.Error(err)
	}
	f.offset.Store(int64(301 * time.Second))
	_, err = groups.Groups.List().Customer(f.CustomerID()).Do()
	refused(t, err, 401, "")

	for words, request := range map[string]iamcredentials.GenerateAccessTokenRequest{
		"Scope is required": {}, "at most 3600s": {Scope: []string{google.ScopeIAM}, Lifetime: "3601s"},
	} {
		_, err = credentials.Projects.ServiceAccounts.GenerateAccessToken(name, &request).Do()
		refused(t, err, 400, words)
	}
}

func TestPermissionsAreEnforced(t *testing.T) {
	f := newFixture(t)
	alice := resourceManager(t, f.person("alice@example.com"))
	service := resourceManager(t, f.service())
	get := &crm.GetIamPolicyRequest{}
	set := &crm.SetIamPolicyRequest{Policy: &crm.Policy{}}
	for name, rule := range map[string]struct {
		do    func() error
		words string // empty: allowed
	}{
		"who may browse may read": {func() error { _, err := alice.Projects.GetIamPolicy(orders, get).Do(); return err }, ""},
		"but not write": {func() error { _, err := alice.Projects.SetIamPolicy(orders, set).Do(); return err },
			"Permission 'resourcemanager.projects.setIamPolicy' denied on resource '//cloudresourcemanager.googleapis.com/projects/shop-orders-prod' (or it may not exist)."},
		"an owner may write": {func() error {
			_, err := alice.Projects.SetIamPolicy("projects/shop-orders-dev", &crm.SetIamPolicyRequest{Policy: &crm.Policy{Bindings: []*crm.Binding{{Role: "roles/owner", Members: []string{"user:alice@example.com"}}}}}).Do()
			return err
		}, ""},
		"the service may read folders":  {func() error { _, err := service.Folders.GetIamPolicy("folders/731905264410", get).Do(); return err }, ""},
		"but not write them":            {func() error { _, err := service.Folders.SetIamPolicy("folders/731905264410", set).Do(); return err }, "resourcemanager.folders.setIamPolicy"},
		"nor read another":              {func() error { _, err := service.Folders.GetIamPolicy("folders/198467720153", get).Do(); return err }, "resourcemanager.folders.getIamPolicy"},
		"nor read the organization":     {func() error { _, err := service.Organizations.GetIamPolicy(f.OrganizationID(), get).Do(); return err }, "resourcemanager.organizations.getIamPolicy"},
		"a project that does not exist": {func() error { _, err := service.Projects.GetIamPolicy("projects/nothing", get).Do(); return err }, "'//cloudresourcemanager.googleapis.com/projects/nothing' (or it may not exist)"},
		"a domain-scoped project": {func() error {
			_, err := service.Projects.GetIamPolicy("projects/example.com:intranet", get).Do()
			return err
		}, ""},
		"a project by its number":              {func() error { _, err := service.Projects.GetIamPolicy("projects/219046635873", get).Do(); return err }, ""},
		"dots that climb":                      {func() error { _, err := service.Projects.GetIamPolicy("projects/../projects/x", get).Do(); return err }, "got HTTP response code 404"},
		"a person of the domain sees projects": {func() error { _, err := alice.Projects.Get("projects/security-logs").Do(); return err }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := rule.do()
			if rule.words == "" {
				if err != nil {
					t.Error(err)
				}
			} else if err == nil || !strings.Contains(err.Error(), rule.words) {
				t.Errorf("got %v, want %q", err, rule.words)
			}
		})
	}
}

func TestRevokedPermission(t *testing.T) {
	f := newFixture(t)
	s := resourceManager(t, f.service())
	f.Faults().RevokePermission("resourcemanager.projects.setIamPolicy")
	p := read(t, s, orders)
	_, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do()
	refused(t, err, 403, "Permission 'resourcemanager.projects.setIamPolicy' denied")
	f.Faults().RestorePermissions()
	if _, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do(); err != nil {
		t.Error(err)
	}
}

// A service account may be limited to granting some roles; one write may then
// touch only those.
func TestModifiedGrantsByRoleLimitsWrites(t *testing.T) {
	f := newFixture(t, func(o *google.Options) {
		o.Organization = google.Believable(start)
		for i, b := range o.Organization.Policy.Bindings {
			if b.Role == "roles/resourcemanager.projectIamAdmin" {
				o.Organization.Policy.Bindings[i].Condition = &google.Condition{Title: "limited",
					Expression: `api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly(['roles/cloudsql.admin', 'roles/logging.viewer'])`}
			}
		}
	})
	s := resourceManager(t, f.service())
	for _, rule := range []struct {
		roles   []string
		allowed bool
	}{
		{[]string{"roles/logging.viewer"}, true}, {[]string{"roles/logging.viewer", "roles/cloudsql.admin"}, true},
		{[]string{"roles/browser"}, false}, {[]string{"roles/logging.viewer", "roles/browser"}, false}, {nil, true},
	} {
		p := read(t, s, orders)
		for _, role := range rule.roles {
			p.Bindings = append(p.Bindings, &crm.Binding{Role: role, Members: []string{"user:frank@example.com"}})
		}
		_, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do()
		if rule.allowed && err != nil {
			t.Errorf("%v: %v", rule.roles, err)
		} else if !rule.allowed {
			refused(t, err, 403, "setIamPolicy' denied")
		}
	}
	// Dropping a foreign condition is a change of a role that is not on the list.
	p := read(t, s, orders)
	for _, b := range p.Bindings {
		b.Condition = nil
	}
	_, err := s.Projects.SetIamPolicy(orders, &crm.SetIamPolicyRequest{Policy: p}).Do()
	refused(t, err, 403, "setIamPolicy' denied")
}
