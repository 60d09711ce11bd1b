package google_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/api/appengine/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/groupssettings/v1"
	"google.golang.org/api/iam/v1"
	"google.golang.org/api/option"
	"google.golang.org/api/run/v1"

	"jitaccess/internal/sandbox/google"
)

const serviceAccount = "jitaccess@example-jitaccess.iam.gserviceaccount.com"

// deployed is a cloud in whose service project something is deployed.
func deployed(t *testing.T, roles ...string) *fixture {
	return newFixture(t, func(o *google.Options) {
		o.Organization = google.Believable(start)
		for _, role := range roles {
			o.Organization.Policy.Bindings = append(o.Organization.Policy.Bindings, google.Binding{Role: role, Members: []string{"serviceAccount:" + serviceAccount}})
		}
		o.Organization.AccountKeys = []string{"0a1b"}
		o.Organization.AppDomains = []string{"access.example.com"}
		o.Organization.RunServices = []google.RunService{{Name: "jitaccess", Region: "europe-west1", Image: "image:1", ServiceAccount: serviceAccount,
			Traffic: []google.RunTraffic{{Percent: 100}, {Revision: "jitaccess-00001-old", Tag: "java"}}}}
		for _, id := range []string{"v1", "v2", "v3", "v4", "v5", "v6"} {
			o.Organization.AppVersions = append(o.Organization.AppVersions, google.AppVersion{Service: "default", ID: id, Runtime: "java17", Stopped: id == "v2", Manual: id == "v3"})
		}
		o.Organization.GroupsEditors = []string{serviceAccount}
		o.Organization.Groups[0].WhoCanJoin, o.Organization.Groups[0].AllowExternalMembers = "ANYONE_CAN_JOIN", true
	})
}

func wantStatus(t *testing.T, what string, err error, status int) {
	t.Helper()
	if e, ok := err.(*googleapi.Error); !ok || e.Code != status {
		t.Errorf("%s: %v, want %d", what, err, status)
	}
}

func TestRunServicesAreListed(t *testing.T) {
	f := deployed(t, "roles/run.viewer")
	client, err := run.NewService(t.Context(), f.service()...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.Namespaces.Services.List("namespaces/example-jitaccess").Do()
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	s := list.Items[0]
	if s.Metadata.Name != "jitaccess" || s.Metadata.Labels["cloud.googleapis.com/location"] != "europe-west1" || s.Spec.Template.Spec.ServiceAccountName != serviceAccount ||
		len(s.Status.Traffic) != 2 || !s.Status.Traffic[0].LatestRevision || s.Status.Traffic[1].Tag != "java" || s.Status.Traffic[1].LatestRevision {
		t.Errorf("%+v", s)
	}
	_, err = client.Namespaces.Services.List("namespaces/shop-build").Do()
	wantStatus(t, "another project", err, http.StatusForbidden)
	f.Faults().RevokePermission("run.services.list")
	_, err = client.Namespaces.Services.List("namespaces/example-jitaccess").Do()
	wantStatus(t, "revoked", err, http.StatusForbidden)
}

func TestAppVersionsAreListed(t *testing.T) {
	f := deployed(t, "roles/appengine.appViewer")
	client, err := appengine.NewService(t.Context(), f.service()...)
	if err != nil {
		t.Fatal(err)
	}
	services, err := client.Apps.Services.List("example-jitaccess").Do()
	if err != nil || len(services.Services) != 1 || services.Services[0].Id != "default" {
		t.Fatalf("%v, %v", services, err)
	}
	var found []string
	err = client.Apps.Services.Versions.List("example-jitaccess", "default").Pages(t.Context(), func(page *appengine.ListVersionsResponse) error {
		for _, v := range page.Versions {
			text := v.Id + " " + v.ServingStatus
			if v.ManualScaling != nil {
				text += " manual"
			}
			found = append(found, text)
		}
		return nil
	})
	if want := "v1 SERVING,v2 STOPPED,v3 SERVING manual,v4 SERVING,v5 SERVING,v6 SERVING"; err != nil || strings.Join(found, ",") != want {
		t.Errorf("%q, %v; want %q", found, err, want)
	}
	domains, err := client.Apps.DomainMappings.List("example-jitaccess").Do()
	if err != nil || len(domains.DomainMappings) != 1 || domains.DomainMappings[0].Id != "access.example.com" {
		t.Errorf("%v, %v", domains, err)
	}
	_, err = client.Apps.Services.Versions.List("example-jitaccess", "other").Do()
	wantStatus(t, "another service", err, http.StatusNotFound)
	none := newFixture(t, func(o *google.Options) {
		o.Organization = google.Believable(start)
		o.Organization.Policy.Bindings = append(o.Organization.Policy.Bindings, google.Binding{Role: "roles/appengine.appViewer", Members: []string{"serviceAccount:" + serviceAccount}})
	})
	client, err = appengine.NewService(t.Context(), none.service()...)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Apps.Services.List("example-jitaccess").Do()
	wantStatus(t, "no application", err, http.StatusNotFound)
}

func TestAccountAndItsKeys(t *testing.T) {
	f := deployed(t, "roles/iam.serviceAccountViewer")
	client, err := iam.NewService(t.Context(), f.service()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"projects/-/serviceAccounts/" + serviceAccount, "projects/example-jitaccess/serviceAccounts/" + serviceAccount} {
		keys, err := client.Projects.ServiceAccounts.Keys.List(name).KeyTypes("USER_MANAGED").Do()
		if err != nil || len(keys.Keys) != 1 || !strings.HasSuffix(keys.Keys[0].Name, "/keys/0a1b") || keys.Keys[0].KeyType != "USER_MANAGED" {
			t.Errorf("%s: %v, %v", name, keys, err)
		}
		account, err := client.Projects.ServiceAccounts.Get(name).Do()
		if err != nil || account.Email != serviceAccount || account.Disabled {
			t.Errorf("%s: %v, %v", name, account, err)
		}
	}
	_, err = client.Projects.ServiceAccounts.Keys.List("projects/shop-build/serviceAccounts/" + serviceAccount).Do()
	wantStatus(t, "another project", err, http.StatusForbidden)
	f.Faults().RevokePermission("iam.serviceAccountKeys.list")
	_, err = client.Projects.ServiceAccounts.Keys.List("projects/-/serviceAccounts/" + serviceAccount).Do()
	wantStatus(t, "revoked", err, http.StatusForbidden)
}

func TestSettingsOfGroups(t *testing.T) {
	f := deployed(t)
	settings := func(account string, scope string) *groupssettings.Service {
		client, err := groupssettings.NewService(t.Context(), append(f.person(account, scope), option.WithEndpoint(f.url+"/groups/v1/groups/"))...)
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	client := settings(serviceAccount, google.ScopeGroupSettings)
	for email, want := range map[string]string{"sre@example.com": "ANYONE_CAN_JOIN true", "security@example.com": "INVITED_CAN_JOIN false"} {
		g, err := client.Groups.Get(email).Do()
		if err != nil || g.WhoCanJoin+" "+g.AllowExternalMembers != want {
			t.Errorf("%s: %+v, %v; want %s", email, g, err, want)
		}
	}
	_, err := client.Groups.Get("contractors@partner.example.net").Do()
	wantStatus(t, "another customer's group", err, http.StatusForbidden)
	_, err = settings(serviceAccount, google.ScopeGroupsReadOnly).Groups.Get("sre@example.com").Do()
	wantStatus(t, "without the scope", err, http.StatusForbidden)
	_, err = settings("deployer@shop-build.iam.gserviceaccount.com", google.ScopeGroupSettings).Groups.Get("sre@example.com").Do()
	wantStatus(t, "without the Workspace role", err, http.StatusForbidden)
}
