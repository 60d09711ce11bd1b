package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/api/googleapi"

	"jitaccess/internal/access"
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
	found, err := d.Policies.SearchProjects(ctx, query)
	switch {
	case err != nil:
		d.broken("projects", "projects cannot be searched: "+why(err), d.remedy(err, "cloudresourcemanager.googleapis.com", d.grant(d.Scope, "roles/browser")))
	case len(found) == 0:
		d.warn("projects", fmt.Sprintf("no project that the service account may see matches %q, so there is none to choose from", query), d.grant(d.Scope, "roles/browser"))
	default:
		d.ok("projects", "%d projects match %q", len(found), query)
	}
	if d.sample != nil {
		return
	}
	// Evenly over the list, which is sorted by name.
	for i := range min(len(found), maxSample) {
		d.sample = append(d.sample, found[i*len(found)/min(len(found), maxSample)].Resource)
	}
}

// permissions asks what may be done without doing it.
func (d *doctor) permissions(ctx context.Context) {
	d.tested(ctx, "scope", d.Scope, "roles/cloudasset.viewer",
		"cloudasset.assets.analyzeIamPolicy", "cloudasset.assets.searchAllIamPolicies", "cloudasset.assets.searchAllResources")
	good := 0
	for _, project := range d.sample {
		if d.tested(ctx, "grants", project, projectIAMAdmin, "resourcemanager.projects.getIamPolicy", "resourcemanager.projects.setIamPolicy") {
			good++
		}
	}
	if good > 0 {
		d.ok("grants", "may read and write the policies of %d of the %d projects tried", good, len(d.sample))
	}
}

// tested reports what is missing; of what is there the caller speaks, except for
// the scope.
func (d *doctor) tested(ctx context.Context, check string, on access.Resource, role string, permissions ...string) bool {
	var held struct {
		Permissions []string `json:"permissions"`
	}
	err := d.call(ctx, d.Platform.Client, http.MethodPost, d.Platform.Endpoint("cloudresourcemanager")+"/v3/"+string(on)+":testIamPermissions",
		map[string]any{"permissions": permissions}, &held)
	var refusal *googleapi.Error
	if errors.As(err, &refusal) && refusal.Code == http.StatusBadRequest {
		d.unseen(check, "Google does not test "+strings.Join(permissions, ", ")+" on "+string(on), "")
		return false
	}
	if err != nil {
		d.broken(check, "permissions on "+string(on)+" cannot be tested: "+why(err), d.remedy(err, "cloudresourcemanager.googleapis.com", d.grant(d.Scope, role)))
		return false
	}
	missing := slices.DeleteFunc(slices.Clone(permissions), func(p string) bool { return slices.Contains(held.Permissions, p) })
	if len(missing) > 0 {
		d.broken(check, "the service account lacks "+strings.Join(missing, ", ")+" on "+string(on), d.grant(d.Scope, role))
		return false
	}
	if on == d.Scope && check == "scope" {
		d.ok(check, "may use Cloud Asset Inventory on %s", on)
	}
	return true
}

// policies reads the live policies, and looks how full they are.
func (d *doctor) policies(ctx context.Context) {
	for _, project := range d.sample {
		p, err := d.Policies.GetIamPolicy(ctx, project)
		if err != nil {
			d.broken("policies", "the policy of "+string(project)+" cannot be read: "+why(err),
				d.remedy(err, "cloudresourcemanager.googleapis.com", d.grant(d.Scope, projectIAMAdmin)))
			continue
		}
		d.read = append(d.read, policyOf{project, p})
	}
	crowded := false
	for _, p := range d.read {
		crowded = d.crowded(p) || crowded
	}
	if len(d.read) > 0 && !crowded {
		d.ok("policies", "%d policies were read, none is near a limit", len(d.read))
	}
}

// crowded warns from 80 % of what a policy can hold.
func (d *doctor) crowded(p policyOf) (found bool) {
	if full := p.policy.NearlyFull(p.resource); full != nil {
		found = true
		d.warn("policies", fmt.Sprintf("the policy of %s has %s members of at most %s; at the limit nothing can be granted", p.resource, full.Args["count"], full.Args["max"]),
			"bind groups instead of people, and remove what has ended")
	}
	type holding struct{ role, member string }
	count := map[holding]int{}
	var order []holding
	for _, b := range p.policy.Bindings() {
		for _, m := range b.Members {
			h := holding{b.Role, m}
			if count[h]++; count[h] == iampolicy.MaxSameRole*8/10 {
				order = append(order, h)
			}
		}
	}
	for _, h := range order {
		found = true
		d.warn("policies", fmt.Sprintf("the policy of %s binds %s to %s %d times of at most %d", p.resource, h.member, h.role, count[h], iampolicy.MaxSameRole),
			"remove what has ended")
	}
	return found
}

// inventory looks up who is eligible, as the service does.
func (d *doctor) inventory(ctx context.Context) {
	if len(d.read) == 0 {
		d.unseen("eligibility", "not looked up: there is no project whose policy can be read", "")
		return
	}
	outside := 0
	people := map[access.Principal]bool{}
	for _, p := range d.read {
		s, err := d.Catalog.Everybody(ctx, p.resource)
		if access.AsError(err) != nil && access.AsError(err).Code == access.CodeUnknownResource {
			outside++
			continue
		}
		if err != nil {
			d.broken("eligibility", "who is eligible on "+string(p.resource)+" cannot be looked up: "+why(err),
				d.remedy(err, "cloudasset.googleapis.com", d.grant(d.Scope, "roles/cloudasset.viewer")))
			return
		}
		d.standings = append(d.standings, s)
		for person := range s.Holdings {
			people[person] = true
		}
		d.unreadableBindings(s)
	}
	switch {
	case len(d.standings) == 0:
		d.broken("eligibility", fmt.Sprintf("none of the %d projects tried lies in %s, as far as Cloud Asset Inventory knows", outside, d.Scope), "set RESOURCE_SCOPE to what they lie in")
	case len(people) == 0:
		d.warn("eligibility", fmt.Sprintf("nobody is eligible for anything in the %d projects tried", len(d.standings)), "bind somebody under the condition has({}.jitAccessConstraint)")
	default:
		d.ok("eligibility", "%d people are eligible in the %d projects tried", len(people), len(d.standings))
	}
}

func (d *doctor) unreadableBindings(s access.Standing) {
	for _, w := range s.Warnings {
		if w.Code == access.CodeUnreadableBinding {
			d.warn("eligibility", "a binding of "+w.Args["role"]+" on "+w.Args["resource"]+" cannot be understood and is left out: "+why(w), "correct its condition")
		}
	}
}

// ancestors are the folders and the organization from which somebody is eligible.
func (d *doctor) ancestors(ctx context.Context) {
	var nodes []access.Resource
	for _, s := range d.standings {
		for _, held := range s.Holdings {
			for _, e := range held {
				nodes = append(nodes, e.Sources...)
			}
		}
	}
	slices.Sort(nodes)
	good := 0
	for _, node := range slices.Compact(nodes) {
		if node.Kind() == "projects" {
			continue
		}
		_, err := d.Policies.GetIamPolicy(ctx, node)
		if err == nil {
			good++
			continue
		}
		d.warn("ancestors", "people are eligible through "+string(node)+", whose live policy cannot be read, so that eligibility is as of Cloud Asset Inventory, minutes old: "+why(err),
			d.remedy(err, "cloudresourcemanager.googleapis.com", d.grant(node, "roles/iam.securityReviewer")))
	}
	if good > 0 {
		d.ok("ancestors", "the live policies of %d folders or organizations through which people are eligible can be read", good)
	}
}
