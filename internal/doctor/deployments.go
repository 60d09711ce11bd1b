package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/gcp"
)

// runService is as much of a Cloud Run service as matters here
// (https://cloud.google.com/run/docs/reference/rest/v1/namespaces.services).
type runService struct {
	Metadata struct {
		Name   string
		Labels map[string]string
	}
	Spec struct {
		Template struct {
			Spec struct {
				ServiceAccountName string
				Containers         []struct{ Image string }
			}
		}
	}
	Status struct {
		Traffic []struct {
			RevisionName, Tag string
			LatestRevision    bool
			Percent           int
		}
	}
}

func (s *runService) region() string { return s.Metadata.Labels["cloud.googleapis.com/location"] }

// listRunServices lists the services of all regions: the global address lists, and
// version 1 of the API needs no region for it.
func (d *doctor) listRunServices(ctx context.Context) ([]runService, error) {
	path := "/apis/serving.knative.dev/v1/namespaces/" + d.Platform.Project + "/services"
	list, err := call[struct{ Items []runService }](ctx, d, d.Platform.Client, "run.googleapis.com", path, nil, nil)
	return list.Items, err
}

// runServices looks for what else grants as our account: an earlier version of the
// service, as a service of its own or as a revision that still answers.
func (d *doctor) runServices(ctx context.Context) {
	const check = "other versions"
	services, err := d.listRunServices(ctx)
	if err != nil {
		if d.Settings.Platform == config.CloudRun {
			d.unseen(check, "whether an earlier version still serves on Cloud Run cannot be seen: "+why(err),
				d.remedy(err, "run.googleapis.com", d.grant(d.home(), "roles/run.viewer")))
		}
		return
	}
	found := false
	for _, s := range services {
		if s.Spec.Template.Spec.ServiceAccountName != d.Platform.ServiceAccount {
			continue
		}
		name := s.Metadata.Name
		if d.Settings.Platform != config.CloudRun || name != d.Settings.Service {
			found = true
			if c := s.Spec.Template.Spec.Containers; len(c) > 0 {
				name += " (" + c[0].Image + ")"
			}
			d.warn(check, "the Cloud Run service "+name+" runs as the same service account; if it is an earlier version, it still grants",
				gcloud("run", "services", "delete", s.Metadata.Name, "--region", s.region(), "--project", d.Platform.Project))
			continue
		}
		var old []string
		tagged := false
		for _, t := range s.Status.Traffic {
			if !t.LatestRevision && (t.Percent > 0 || t.Tag != "") {
				old = append(old, t.RevisionName)
			}
			tagged = tagged || t.Tag != ""
		}
		if len(old) > 0 {
			found = true
			remedy := []string{"run", "services", "update-traffic", name, "--to-latest", "--region", s.region(), "--project", d.Platform.Project}
			if tagged {
				remedy = append(remedy, "--clear-tags")
			}
			d.warn(check, "revisions of "+name+" besides the latest one still answer: "+strings.Join(old, ", "), gcloud(remedy...))
		}
	}
	if !found {
		d.ok(check, "no other Cloud Run service or revision grants as this account")
	}
}

// appVersions looks for versions of JIT Access 1.x on App Engine. Each version has
// an address of its own, at which it grants without having any traffic.
func (d *doctor) appVersions(ctx context.Context) {
	const check = "other versions"
	services, err := ofApp[struct{ ID string }](ctx, d, "/services")
	if status, _ := gcp.Answer(err); status == http.StatusNotFound {
		return // there is no application
	}
	found := false
	for _, service := range services {
		var versions []appVersion
		if err == nil {
			versions, err = ofApp[appVersion](ctx, d, "/services/"+url.PathEscape(service.ID)+"/versions")
		}
		for _, v := range versions {
			found = d.oldVersion(check, service.ID, v) || found
		}
	}
	switch {
	case err != nil && d.Settings.Platform == config.AppEngine:
		d.unseen(check, "whether an earlier version still serves on App Engine cannot be seen: "+why(err),
			d.remedy(err, "appengine.googleapis.com", d.grant(d.home(), "roles/appengine.appViewer")))
	case err == nil && !found:
		d.ok(check, "no version of JIT Access 1.x serves on App Engine")
	}
}

// appVersion is as much of a version as matters here
// (https://cloud.google.com/appengine/docs/admin-api/reference/rest/v1/apps.services.versions).
type appVersion struct {
	ID, Runtime, ServingStatus, ServiceAccount string
	ManualScaling, BasicScaling                json.RawMessage
}

func (d *doctor) oldVersion(check, service string, v appVersion) (found bool) {
	ours := cmp.Or(v.ServiceAccount, d.Platform.ServiceAccount) == d.Platform.ServiceAccount
	if !strings.HasPrefix(v.Runtime, "java") || v.ServingStatus != "SERVING" || !ours {
		return false
	}
	// One that scales by itself cannot be stopped
	// (https://cloud.google.com/sdk/gcloud/reference/app/versions/stop).
	verb := "delete"
	if v.ManualScaling != nil || v.BasicScaling != nil {
		verb = "stop"
	}
	d.warn(check, "version "+v.ID+" of the App Engine service "+service+" runs on "+v.Runtime+
		" as the same service account; if it is JIT Access 1.x, it still grants",
		gcloud("app", "versions", verb, v.ID, "--service", service, "--project", d.Platform.Project))
	return true
}

// accountKeys looks for keys with which anybody who has a copy signs links.
func (d *doctor) accountKeys(ctx context.Context) {
	account := d.Platform.ServiceAccount
	list, err := call[struct{ Keys []struct{ Name string } }](ctx, d, d.Platform.Client, "iam.googleapis.com",
		"/v1/projects/-/serviceAccounts/"+account+"/keys", url.Values{"keyTypes": {"USER_MANAGED"}}, nil)
	if err != nil {
		d.unseen("account keys", "whether the service account has keys of its own cannot be seen: "+why(err),
			gcloud("iam", "service-accounts", "keys", "list", "--iam-account", account, "--managed-by", "user", "--project", d.Platform.Project))
		return
	}
	for _, key := range list.Keys {
		id := path.Base(key.Name)
		d.warn("account keys", "the service account has the user-managed key "+id+"; whoever has a copy can grant whatever the account can",
			gcloud("iam", "service-accounts", "keys", "delete", id, "--iam-account", account, "--project", d.Platform.Project))
	}
	if len(list.Keys) == 0 {
		d.ok("account keys", "the service account has no user-managed keys")
	}
}

func (d *doctor) home() access.Resource { return access.Resource("projects/" + d.Platform.Project) }

// Locate adds to the platform what application default credentials do not tell: the
// number of the project, and where its service runs. Both are optional calls.
func Locate(ctx context.Context, p *gcp.Platform, service string) {
	d := &doctor{Config: Config{Platform: p}}
	if p.ProjectNumber == "" {
		if project, err := call[struct{ Name string }](ctx, d, p.Client, resourceManager, "/v3/projects/"+p.Project, nil, nil); err == nil {
			p.ProjectNumber = path.Base(project.Name)
		}
	}
	if p.Region == "" && service != "" {
		services, _ := d.listRunServices(ctx)
		for _, s := range services {
			if s.Metadata.Name == service {
				p.Region = s.region()
			}
		}
	}
}

const maxPages = 50

// list is the items of all pages of a list, by whichever name Google calls them.
func list[T any](ctx context.Context, d *doctor, client *http.Client, api, path string, query url.Values) (items []T, err error) {
	for range maxPages {
		page, err := call[struct {
			Services, Versions, DomainMappings, Members []T
			NextPageToken                               string
		}](ctx, d, client, api, path, query, nil)
		if err != nil {
			return nil, err
		}
		items = slices.Concat(items, page.Services, page.Versions, page.DomainMappings, page.Members)
		if page.NextPageToken == "" {
			break
		}
		query.Set("pageToken", page.NextPageToken)
	}
	return items, nil
}

// ofApp is the items of a list of the application on App Engine.
func ofApp[T any](ctx context.Context, d *doctor, path string) ([]T, error) {
	return list[T](ctx, d, d.Platform.Client, "appengine.googleapis.com", "/v1/apps/"+d.Platform.Project+path, url.Values{"pageSize": {"100"}})
}

const maxAnswer = 8 << 20

// call makes one call of a Google API, which only reads: with a body a POST, or else a
// GET. Fields of answers are found in any case. The error is that of gcp.Failure.
func call[T any](ctx context.Context, d *doctor, client *http.Client, api, path string, query url.Values, body any) (T, error) {
	answer, err := gcp.Ask[T](ctx, d.Platform.API(api, client, maxAnswer), path, query, body)
	if err != nil {
		return answer, gcp.Failure(err, gcp.Call{Service: api, Account: d.Platform.ServiceAccount})
	}
	return answer, nil
}

// clock says when ours and Google's differ; it is nothing to see that they do not.
func (d *doctor) clock(context.Context) {
	if ahead, skewed := d.Platform.Skew(); skewed {
		d.report(Finding{Warning, "clock", fmt.Sprintf("the clock here is %v ahead of Google's", ahead),
			"set it by NTP: access begins and ends by Google's"})
	}
}
