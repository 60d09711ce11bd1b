package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/gcp/iampolicy"
)

// maxSample is how many projects are looked at. Asset Inventory allows 100 look-ups
// a minute for the whole service.
const maxSample = 20

const projectIAMAdmin = "roles/resourcemanager.projectIamAdmin"

func (d *doctor) projects(ctx context.Context) {
	if d.Scope.Kind() == "projects" {
		d.sample = []access.Resource{d.Scope}
	}
	query := d.Settings.Catalog.ProjectsQuery
	found, err := d.Projects(ctx, query)
	browser := d.grant(d.Scope, "roles/browser")
	switch {
	case err != nil:
		d.failed("projects", "projects cannot be searched", err, resourceManager, browser)
	case len(found) == 0:
		d.warn("projects", fmt.Sprintf("no project that the service account may see matches %q, so there is none to choose from", query), browser)
	default:
		d.ok("projects", "%s %q", access.Counted(len(found), "project matches", "projects match"), query)
	}
	if d.sample != nil {
		return
	}
	// Evenly over the list, which is sorted by name.
	for i := range min(len(found), maxSample) {
		d.sample = append(d.sample, found[i*len(found)/min(len(found), maxSample)].Resource)
	}
}

// permissions asks what may be done without doing it, which the service itself never does.
func (d *doctor) permissions(ctx context.Context) {
	missing, err := d.missing(ctx, resourceManager, "/v3/"+string(d.Scope),
		"cloudasset.assets.analyzeIamPolicy", "cloudasset.assets.searchAllIamPolicies", "cloudasset.assets.searchAllResources")
	switch {
	case err != nil:
		d.unseen("scope", "permissions on "+string(d.Scope)+" cannot be tested: "+why(err), d.remedy(err, resourceManager, ""))
	case missing != "":
		d.broken("scope", "the service account lacks "+missing+" on "+string(d.Scope), d.grant(d.Scope, "roles/cloudasset.viewer"))
	default:
		d.ok("scope", "may use Cloud Asset Inventory on %s", d.Scope)
	}
	good, lacking := 0, map[string][]access.Resource{}
	for _, project := range d.sample {
		missing, err := d.missing(ctx, resourceManager, "/v3/"+string(project),
			"resourcemanager.projects.getIamPolicy", "resourcemanager.projects.setIamPolicy")
		switch {
		case err != nil:
			d.unseen("grants", "permissions on "+string(project)+" cannot be tested: "+why(err), d.remedy(err, resourceManager, ""))
			return
		case missing == "":
			good++
		default:
			lacking[missing] = append(lacking[missing], project)
		}
	}
	for _, missing := range slices.Sorted(maps.Keys(lacking)) {
		d.broken("grants", "the service account lacks "+missing+" on "+several(lacking[missing]), d.grant(d.Scope, projectIAMAdmin))
	}
	if good > 0 {
		d.ok("grants", "may read and write the policies of %d of %s tried", good, access.Counted(len(d.sample), "project", "projects"))
	}
}

// policyAdmins are the roles with which policies of these kinds are read and written
// (https://cloud.google.com/resource-manager/docs/access-control-folders,
// https://cloud.google.com/resource-manager/docs/access-control-org).
var policyAdmins = map[string]string{"folders": "roles/resourcemanager.folderIamAdmin",
	"organizations": "roles/resourcemanager.organizationAdmin"}

// named asks what may be done to the folders and organizations that the policy file gives out.
func (d *doctor) named(ctx context.Context) {
	if d.Named == nil {
		return
	}
	const check = "folders"
	named, inVain := d.Named(ctx)
	good := 0
	for _, on := range named {
		kind := "resourcemanager." + on.Kind()
		missing, err := d.missing(ctx, resourceManager, "/v3/"+string(on), kind+".get", kind+".getIamPolicy", kind+".setIamPolicy")
		switch {
		case err != nil:
			d.unseen(check, "permissions on "+string(on)+" cannot be tested: "+why(err), d.remedy(err, resourceManager, ""))
		case missing != "":
			d.broken(check, "a rule gives out "+string(on)+", and the service account lacks "+missing+" there, or there is no such thing",
				d.grant(on, policyAdmins[on.Kind()])+"; or take it out of the policy")
		default:
			good++
		}
	}
	for _, e := range inVain {
		if e.Code != access.CodeNamedUnseen { // which is a permission that is missing
			text, next := d.Words(e)
			d.warn(check, strings.TrimSuffix(text, "."), next)
		}
	}
	if good > 0 {
		d.ok(check, "may read and write the policies of %s that rules give out",
			access.Counted(good, "folder or organization", "folders or organizations"))
	}
}

// resourceManager is the API of projects, folders and organizations.
const resourceManager = "cloudresourcemanager.googleapis.com"

// missing are those of the permissions that the service account does not have on
// what an API has under a path.
func (d *doctor) missing(ctx context.Context, api, path string, permissions ...string) (string, error) {
	held, err := call[struct{ Permissions []string }](ctx, d, d.Platform.Client, api, path+":testIamPermissions", nil,
		map[string]any{"permissions": permissions})
	lacks := slices.DeleteFunc(slices.Clone(permissions), func(p string) bool { return slices.Contains(held.Permissions, p) })
	return strings.Join(lacks, ", "), err
}

func several(resources []access.Resource) string {
	if len(resources) == 1 {
		return string(resources[0])
	}
	return fmt.Sprintf("%s and %s", resources[0], access.Counted(len(resources)-1, "other project", "other projects"))
}

// analysis asks Policy Analyzer, where it is the catalog, who may see the scope.
// Without a selector it would answer about everything.
func (d *doctor) analysis(ctx context.Context) {
	if d.Settings.Catalog.Kind != config.PolicyAnalyzer {
		return
	}
	const check, api = "analysis", "cloudasset.googleapis.com"
	// https://cloud.google.com/asset-inventory/docs/quota
	const quota = "without Security Command Center Premium or Enterprise it answers 20 times a day for the whole organization"
	query := url.Values{
		"analysisQuery.resourceSelector.fullResourceName": {"//" + resourceManager + "/" + string(d.Scope)},
		"analysisQuery.accessSelector.permissions":        {"resourcemanager.projects.get"},
		"analysisQuery.options.expandGroups":              {"true"},
	}
	answer, err := call[struct {
		MainAnalysis struct{ NonCriticalErrors []struct{ Cause string } }
	}](ctx, d, d.Platform.Client, api, "/v1/"+string(d.Scope)+":analyzeIamPolicy", query, nil)
	if err != nil {
		text := "Policy Analyzer cannot be asked about " + string(d.Scope) + ": " + why(err)
		remedy := d.remedy(err, api, d.grant(d.Scope, "roles/cloudasset.viewer"))
		if access.AsError(err).Code == access.CodeQuota {
			text += "; " + quota + ", and 100 times a minute and 1,000 times a day for a project"
			remedy = "activate Security Command Center Premium or Enterprise for the organization, or set RESOURCE_CATALOG=AssetInventory " +
				"and RESOURCE_CUSTOMER_ID; if it is the minute's quota, try again"
		}
		d.broken(check, text, remedy)
		return
	}
	causes := map[string]bool{}
	for _, e := range answer.MainAnalysis.NonCriticalErrors {
		causes[e.Cause] = true
	}
	for _, cause := range first(causes, maxNamed) {
		d.warn(check, "a part of "+string(d.Scope)+" cannot be analyzed: "+cause, d.groupsReader())
	}
	if len(causes) == 0 {
		d.ok(check, "Policy Analyzer answers about %s; %s", d.Scope, quota)
	}
}

// policies reads the live policies, and looks how full they are.
func (d *doctor) policies(ctx context.Context) {
	var unreadable []access.Resource
	var failure error
	crowded := false
	for _, project := range d.sample {
		p, err := d.Policy(ctx, project, time.Time{})
		if err != nil {
			unreadable, failure = append(unreadable, project), cmp.Or(failure, err)
			continue
		}
		d.read = append(d.read, project)
		crowded = d.crowded(project, p) || crowded
	}
	if failure != nil {
		d.failed("policies", "the policy of "+several(unreadable)+" cannot be read", failure, resourceManager, d.grant(d.Scope, projectIAMAdmin))
	}
	if len(d.read) > 0 && !crowded {
		d.ok("policies", "%s read, none is near a limit", access.Counted(len(d.read), "policy was", "policies were"))
	}
}

// crowded warns from 80 % of what a policy can hold.
func (d *doctor) crowded(project access.Resource, p *iampolicy.Policy) (found bool) {
	if full := p.NearlyFull(project); full != nil {
		found = true
		d.warn("policies", fmt.Sprintf("the policy of %s has %s members of at most %s; at the limit nothing can be granted",
			project, full.Args["count"], full.Args["max"]),
			"bind groups instead of people, and remove what has ended")
	}
	type holding struct{ role, member string }
	var order []holding
	count := map[holding]int{}
	for _, b := range p.Bindings() {
		for _, m := range b.Members {
			h := holding{b.Role, m}
			if count[h]++; count[h] == iampolicy.MaxSameRole*8/10 {
				order = append(order, h)
			}
		}
	}
	for _, h := range order {
		found = true
		d.warn("policies", fmt.Sprintf("the policy of %s binds %s to %s %d times of at most %d",
			project, h.member, h.role, count[h], iampolicy.MaxSameRole), "remove what has ended")
	}
	return found
}

// inventory looks up who is eligible, as the service does.
func (d *doctor) inventory(ctx context.Context) {
	if len(d.read) == 0 {
		d.unseen("eligibility", "not looked up: there is no project whose policy can be read", "")
		return
	}
	inside := 0
	people := map[access.Principal]bool{}
	for _, project := range d.read {
		s, err := d.Standing(ctx, access.StandingQuery{Resource: project, Everybody: true, Above: d.PolicyFile != nil})
		if err != nil && access.AsError(err).Code == access.CodeUnknownResource {
			continue
		}
		if err != nil {
			d.failed("eligibility", "who is eligible on "+string(project)+" cannot be looked up", err,
				"cloudasset.googleapis.com", d.grant(d.Scope, "roles/cloudasset.viewer"))
			return
		}
		inside++
		if s.AboveErr != nil {
			d.above[project] = s.AboveErr
		}
		for _, w := range s.Warnings {
			if group := w.Args["group"]; w.Code == access.CodeGroupUnreadable {
				d.unreadable[group] = cmp.Or(d.unreadable[group], w)
			}
		}
		for person, held := range s.Holdings {
			people[person] = true
			for _, e := range held {
				for _, node := range e.Sources {
					d.nodes[node] = true
				}
				for _, w := range e.Ways {
					if group, ok := strings.CutPrefix(w.Member, "group:"); ok {
						d.eligible[group] = true
					}
				}
			}
		}
		d.ineffective(s)
	}
	switch {
	case inside == 0:
		d.broken("eligibility", fmt.Sprintf("none of the projects tried (%d) lies in %s, as far as Cloud Asset Inventory knows",
			len(d.read), d.Scope), "set RESOURCE_SCOPE to what they lie in")
	case len(people) == 0:
		d.warn("eligibility", fmt.Sprintf("nobody is eligible for anything in the %s tried", access.Counted(inside, "project", "projects")),
			"bind somebody under the condition has({}.jitAccessConstraint)")
	default:
		d.ok("eligibility", "%s eligible in the %s tried", access.Counted(len(people), "person is", "people are"),
			access.Counted(inside, "project", "projects"))
	}
}

// ineffective is what makes nobody eligible. What counts with the catalog that the
// service uses is left out: the listing is AssetInventory's.
func (d *doctor) ineffective(s access.Standing) {
	for _, i := range s.Ineffective {
		// Many projects have an entry that stands above them.
		said := [...]string{string(i.Node), i.Role, i.Member, string(i.Why.Code)}
		if i.Why.Args["group"] != "" {
			said[0], said[1] = "", "" // once for each group
		}
		if i.Why.Args["catalog"] == d.Settings.Catalog.Kind || d.said[said] {
			continue
		}
		d.said[said] = true
		binding := "a binding of " + i.Role + " on " + string(i.Node)
		if i.Why.Code == access.CodeNotUnderstood {
			d.warn("eligibility", binding+" cannot be understood and is left out: "+why(i.Why), "correct its condition")
			continue
		}
		text, next := d.Words(i.Why)
		d.warn("eligibility", binding+" does not do what was probably meant. "+text, next)
	}
}

// ancestors are the folders and the organization from which somebody is eligible.
func (d *doctor) ancestors(ctx context.Context) {
	good := 0
	for _, node := range slices.Sorted(maps.Keys(d.nodes)) {
		if node.Kind() == "projects" {
			continue
		}
		_, err := d.Policy(ctx, node, time.Time{})
		if err == nil {
			good++
			continue
		}
		d.warn("ancestors", "people are eligible through "+string(node)+
			", whose live policy cannot be read, so that what they are eligible for may be minutes old: "+why(err),
			d.remedy(err, resourceManager, d.grant(node, "roles/iam.securityReviewer")))
	}
	if good > 0 {
		d.ok("ancestors", "the live policies of %s through which people are eligible can be read",
			access.Counted(good, "folder or organization", "folders or organizations"))
	}
}
