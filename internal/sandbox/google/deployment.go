package google

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// RunService is a Cloud Run service; Traffic says which revisions it answers with.
type RunService struct {
	Name, Region, Image, ServiceAccount string
	Traffic                             []RunTraffic
}

// RunTraffic is one target of a service's traffic. Without a Revision it is the
// latest one.
type RunTraffic struct {
	Revision, Tag string
	Percent       int
}

// AppVersion is one version of one service of the App Engine application.
type AppVersion struct {
	Service, ID, Runtime, ServiceAccount string
	// Manual is manual scaling; without it the version scales automatically.
	Manual bool
	// Stopped is a version that does not serve.
	Stopped bool
}

// What is deployed in the service's project: the parts of the Cloud Run and App
// Engine Admin APIs that list it, and the service account with its keys.
var deploymentRoutes = []route{
	{method: "GET", template: "/apis/serving.knative.dev/v1/namespaces/{project}/services", scopes: scopesRead, serve: (*Cloud).listRunServices},
	{method: "GET", template: "/v1/apps/{project}/domainMappings", scopes: scopesRead, serve: (*Cloud).listAppDomains},
	{method: "GET", template: "/v1/apps/{project}/services", scopes: scopesRead, serve: (*Cloud).listAppServices},
	{method: "GET", template: "/v1/apps/{project}/services/{service}/versions", scopes: scopesRead, serve: (*Cloud).listAppVersions},
}

var accountRoutes = []route{
	{method: "GET", template: "/v1/projects/{project}/serviceAccounts/{account}/keys", scopes: scopesIAM, serve: (*Cloud).listAccountKeys},
	{method: "GET", template: "/v1/projects/{project}/serviceAccounts/{account}", scopes: scopesIAM, serve: (*Cloud).getAccount},
}

// home finds the service's project by the one in the path, if the caller has the
// permission there.
func (c *Cloud) home(k *call, permission, service string) error {
	n := c.node("projects/" + k.vars["project"])
	if n == nil || n.name != "projects/"+c.organization.ServiceProject || !c.allowed(k.caller.member, permission, n.name, c.now(), nil) {
		return denied(permission, "projects/"+k.vars["project"], service)
	}
	return nil
}

// listRunServices lists the services of all regions, as the global endpoint does
// (https://cloud.google.com/run/docs/reference/rest/v1/namespaces.services/list).
func (c *Cloud) listRunServices(k *call) (any, error) {
	if err := c.home(k, "run.services.list", "run.googleapis.com"); err != nil {
		return nil, err
	}
	items := []any{}
	for _, s := range c.organization.RunServices {
		traffic := []any{}
		for _, t := range s.Traffic {
			target := map[string]any{"percent": t.Percent, "revisionName": t.Revision}
			if t.Revision == "" {
				target = map[string]any{"percent": t.Percent, "latestRevision": true, "revisionName": s.Name + "-00009-abc"}
			}
			if t.Tag != "" {
				target["tag"] = t.Tag
				target["url"] = fmt.Sprintf("https://%s---%s-%s.%s.run.app", t.Tag, s.Name, c.projectNumber, s.Region)
			}
			traffic = append(traffic, target)
		}
		items = append(items, map[string]any{
			"apiVersion": "serving.knative.dev/v1", "kind": "Service",
			"metadata": map[string]any{"name": s.Name, "namespace": c.projectNumber, "labels": map[string]any{"cloud.googleapis.com/location": s.Region}},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
				"serviceAccountName": s.ServiceAccount, "containers": []any{map[string]any{"image": s.Image}}}}},
			"status": map[string]any{"url": fmt.Sprintf("https://%s-%s.%s.run.app", s.Name, c.projectNumber, s.Region), "traffic": traffic},
		})
	}
	return map[string]any{"apiVersion": "serving.knative.dev/v1", "kind": "ServiceList", "items": items}, nil
}

// listAppServices is apps.services.list; a project without an application has none
// to be found (https://cloud.google.com/appengine/docs/admin-api/reference/rest/v1/apps.services/list).
func (c *Cloud) listAppServices(k *call) (any, error) {
	if err := c.home(k, "appengine.services.list", "appengine.googleapis.com"); err != nil {
		return nil, err
	}
	if len(c.organization.AppVersions) == 0 {
		return nil, failure(http.StatusNotFound, "Could not find Application %q.", k.vars["project"])
	}
	var names []string
	for _, v := range c.organization.AppVersions {
		names = append(names, v.Service)
	}
	slices.Sort(names)
	services := []any{}
	for _, name := range slices.Compact(names) {
		services = append(services, map[string]any{"name": "apps/" + k.vars["project"] + "/services/" + name, "id": name})
	}
	return page(c, k, "pageSize", "services", services, map[string]any{})
}

// listAppVersions is apps.services.versions.list.
func (c *Cloud) listAppVersions(k *call) (any, error) {
	if err := c.home(k, "appengine.versions.list", "appengine.googleapis.com"); err != nil {
		return nil, err
	}
	versions := []any{}
	for _, v := range c.organization.AppVersions {
		if v.Service != k.vars["service"] {
			continue
		}
		shape := map[string]any{
			"name": "apps/" + k.vars["project"] + "/services/" + v.Service + "/versions/" + v.ID, "id": v.ID, "runtime": v.Runtime, "env": "standard",
			"servingStatus": "SERVING", "serviceAccount": v.ServiceAccount, "versionUrl": "https://" + v.ID + "-dot-" + k.vars["project"] + ".appspot.com",
		}
		if v.Stopped {
			shape["servingStatus"] = "STOPPED"
		}
		if v.Manual {
			shape["manualScaling"] = map[string]any{"instances": 1}
		}
		versions = append(versions, shape)
	}
	if len(versions) == 0 {
		return nil, failure(http.StatusNotFound, "Could not find Service %q.", k.vars["service"])
	}
	return page(c, k, "pageSize", "versions", versions, map[string]any{})
}

// listAppDomains is apps.domainMappings.list
// (https://cloud.google.com/appengine/docs/admin-api/reference/rest/v1/apps.domainMappings/list).
func (c *Cloud) listAppDomains(k *call) (any, error) {
	if err := c.home(k, "appengine.applications.get", "appengine.googleapis.com"); err != nil {
		return nil, err
	}
	mappings := []any{}
	for _, domain := range c.organization.AppDomains {
		mappings = append(mappings, map[string]any{"name": "apps/" + k.vars["project"] + "/domainMappings/" + domain, "id": domain})
	}
	return page(c, k, "pageSize", "domainMappings", mappings, map[string]any{})
}

// account refuses what the caller may not do with the service account; project may
// be - in the path.
func (c *Cloud) account(k *call, permission string) error {
	n := c.nodes["projects/"+c.organization.ServiceProject+"/serviceAccounts/"+k.vars["account"]]
	if p := k.vars["project"]; n == nil || p != "-" && c.node("projects/"+p) != n.parent || !c.allowed(k.caller.member, permission, n.name, c.now(), nil) {
		return denied(permission, strings.TrimPrefix(k.URL.Path, "/v1/"), "iam.googleapis.com")
	}
	return nil
}

// listAccountKeys is projects.serviceAccounts.keys.list
// (https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys/list).
func (c *Cloud) listAccountKeys(k *call) (any, error) {
	if err := c.account(k, "iam.serviceAccountKeys.list"); err != nil {
		return nil, err
	}
	types := k.URL.Query()["keyTypes"]
	wanted := func(kind string) bool { return len(types) == 0 || slices.Contains(types, kind) }
	keys := []any{}
	add := func(id, kind, origin string) {
		if wanted(kind) {
			keys = append(keys, map[string]any{
				"name":    "projects/" + c.organization.ServiceProject + "/serviceAccounts/" + k.vars["account"] + "/keys/" + id,
				"keyType": kind, "keyOrigin": origin, "keyAlgorithm": "KEY_ALG_RSA_2048", "validAfterTime": created, "validBeforeTime": "9999-12-31T23:59:59Z"})
		}
	}
	for _, key := range c.accountKeys {
		add(key.id, "SYSTEM_MANAGED", "GOOGLE_PROVIDED")
	}
	for _, id := range c.organization.AccountKeys {
		add(id, "USER_MANAGED", "GOOGLE_PROVIDED")
	}
	answer := map[string]any{}
	if len(keys) > 0 {
		answer["keys"] = keys
	}
	return answer, nil
}

func (c *Cloud) getAccount(k *call) (any, error) {
	if err := c.account(k, "iam.serviceAccounts.get"); err != nil {
		return nil, err
	}
	return map[string]any{
		"name": "projects/" + c.organization.ServiceProject + "/serviceAccounts/" + k.vars["account"], "projectId": c.organization.ServiceProject,
		"uniqueId": directoryID(k.vars["account"]), "email": k.vars["account"], "etag": "MDEwMjE5MjA=", "oauth2ClientId": directoryID(k.vars["account"]),
	}, nil
}
