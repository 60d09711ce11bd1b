// Package policyanalyzer knows what may be activated, from Google's Policy
// Analyzer, which resolves groups itself, and the project's own policy as it is now.
//
// It asks what JIT Access 1.x asked: for one person, what they hold on a project;
// for several, who holds the roles that are in question. Whether a condition is met
// is never taken from Google's evaluation of it but from its text and our clock, so
// that the two cannot contradict each other.
package policyanalyzer

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/condition"
	"jitaccess/internal/gcp/roles"
	"jitaccess/internal/gcp/standing"
	"jitaccess/internal/lookup"
)

// How many shared answers are kept, and how long one may take. What one person holds
// is small; everybody who holds a role, and a list of projects, may be large.
const (
	analysisTimeout = 20 * time.Second
	maxPersons      = 2000
	maxHolders      = 100
	maxLists        = 100
	maxProbes       = 200
	parallel        = 8
)

// maxAnswer bounds an answer: a thousand projects of many bindings, or a thousand members of
// each of many groups.
const maxAnswer = 32 << 20

// maxBytes is what each of the memories of analyses may take, and that of lists. Tests make
// it less.
var maxBytes = 16 << 20

// Config is what a Catalog is made of. Everything is required unless it says
// otherwise.
type Config struct {
	Platform *gcp.Platform
	// Scope is the organization, folder or project under which policies count.
	Scope    access.Resource
	Policies standing.Policies
	// SearchProjects returns all projects that match a Resource Manager query.
	SearchProjects func(ctx context.Context, query string) ([]access.ResourceInfo, error)
	// ProjectsQuery selects the projects that are offered, to everybody the same.
	// When it is empty everybody is offered the projects that they may see.
	ProjectsQuery string
	// ExecutionTimeout is how long Google may take for an analysis before it answers
	// with a part; 0 is as long as it likes.
	ExecutionTimeout time.Duration
	// Now is the clock.
	Now func() time.Time
}

// Catalog knows what may be activated. Make one with New. It may be used concurrently.
type Catalog struct {
	standing.Catalog
	*roles.Roles
	c      Config
	assets gcp.API

	projects *lookup.Cache[[]access.ResourceInfo]
	lists    *lookup.Cache[[]access.ResourceInfo]
	persons  *lookup.Cache[analysis]
	holders  *lookup.Cache[analysis]
	probes   *lookup.Cache[bool]
}

// New makes a Catalog. It makes no call.
func New(c Config) *Catalog {
	k := &Catalog{c: c, assets: c.Platform.API("cloudasset", c.Platform.Client, maxAnswer), Roles: roles.New(c.Platform, c.Now)}
	k.Catalog = standing.New(standing.Config{Source: k, Policies: c.Policies, ServiceAccount: c.Platform.ServiceAccount, Now: c.Now})
	k.projects = lookup.New(c.Now, 1, analysisTimeout, c.SearchProjects).Within(standing.ProjectsBytes, standing.ListBytes)
	k.lists = lookup.New(c.Now, maxLists, analysisTimeout, k.visible).Within(maxBytes, standing.ListBytes)
	k.persons = lookup.New(c.Now, maxPersons, analysisTimeout, k.heldBy).Within(maxBytes, analysis.size)
	k.holders = lookup.New(c.Now, maxHolders, analysisTimeout, k.holdersOf).Within(maxBytes, analysis.size)
	k.probes = lookup.New(c.Now, maxProbes, analysisTimeout, k.probe)
	return k
}

// Resources returns the projects that match the operator's query, or when there is
// none those on which the person has any access or eligibility that lets them see
// the project, as in JIT Access 1.x.
func (k *Catalog) Resources(ctx context.Context, p access.Principal) ([]access.ResourceInfo, []*access.Error, error) {
	if k.c.ProjectsQuery == "" {
		found, stale, err := standing.Recall(ctx, k.lists, string(p), access.StandingQuery{}, service, k.c.Now)
		var warnings []*access.Error
		if stale != nil {
			warnings = append(warnings, stale)
		}
		return slices.Clone(found), warnings, err
	}
	return standing.Projects(ctx, k.projects, k.c.ProjectsQuery, k.c.Now)
}

// visible asks for the projects that a person may see.
func (k *Catalog) visible(ctx context.Context, person string) ([]access.ResourceInfo, error) {
	answer, err := k.ask(ctx, "", url.Values{ofIdentity: {"user:" + person}, expandResources: {"true"},
		ofPermissions: {"resourcemanager.projects.get"}})
	if refused(err) {
		return nil, nil // nobody whom Google knows
	}
	if err != nil {
		return nil, err
	}
	seen := map[access.Resource]bool{}
	for _, result := range answer.AnalysisResults {
		if !counts(result) {
			continue
		}
		for _, list := range result.AccessControlLists {
			if list.ConditionEvaluation.EvaluationValue == "FALSE" {
				continue
			}
			for _, r := range list.Resources {
				id, isProject := strings.CutPrefix(r.FullResourceName, access.FullNamePrefix+"projects/")
				if project, err := access.Project(id); isProject && err == nil {
					seen[project] = true
				}
			}
		}
	}
	found := make([]access.ResourceInfo, 0, len(seen))
	for _, project := range slices.Sorted(maps.Keys(seen)) {
		found = append(found, access.ResourceInfo{Resource: project})
	}
	return found, nil
}

// counts is whether a binding lets people see a project for our purpose: it holds
// without a condition, or makes them eligible.
func counts(result analysisResult) bool {
	if result.IamBinding == nil {
		return false
	}
	if result.IamBinding.Condition == nil {
		return true
	}
	found, err := condition.ParseEligibility(result.IamBinding.Condition.Expression)
	return err == nil && found.Kind != eligibility.None
}
