package policyanalyzer

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
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/gcp/standing"
)

// service is the name of the API, for people.
const service = "Policy Analyzer"

// The parts of a query
// (https://cloud.google.com/asset-inventory/docs/reference/rest/v1/TopLevel/analyzeIamPolicy).
const (
	ofIdentity      = "analysisQuery.identitySelector.identity"
	ofResource      = "analysisQuery.resourceSelector.fullResourceName"
	ofRoles         = "analysisQuery.accessSelector.roles"
	ofPermissions   = "analysisQuery.accessSelector.permissions"
	expandGroups    = "analysisQuery.options.expandGroups"
	expandResources = "analysisQuery.options.expandResources"
	atTime          = "analysisQuery.conditionContext.accessTime"
)

// mainAnalysis is what Google answers
// (https://cloud.google.com/asset-inventory/docs/reference/rest/v1/IamPolicyAnalysis).
type mainAnalysis struct {
	AnalysisResults   []analysisResult `json:"analysisResults"`
	FullyExplored     bool             `json:"fullyExplored"`
	NonCriticalErrors []struct {
		Code  string `json:"code"`
		Cause string `json:"cause"`
	} `json:"nonCriticalErrors"`
}

type analysisResult struct {
	AttachedResourceFullName string              `json:"attachedResourceFullName"`
	IamBinding               *iampolicy.Binding  `json:"iamBinding"`
	AccessControlLists       []accessControlList `json:"accessControlLists"`
	IdentityList             struct {
		Identities []struct {
			Name string `json:"name"`
		} `json:"identities"`
	} `json:"identityList"`
}

type accessControlList struct {
	Resources           []analyzedResource `json:"resources"`
	ConditionEvaluation struct {
		EvaluationValue string `json:"evaluationValue"`
	} `json:"conditionEvaluation"`
}

type analyzedResource struct {
	FullResourceName string `json:"fullResourceName"`
}

// analysis is what Google's answer says of one project.
type analysis struct {
	// found are the bindings on the project and above it that concern those asked
	// about. One binding may be there several times.
	found    []found
	warnings []*access.Error
}

// found is one binding as analyzed, as far as it concerns those asked about: what is
// kept for many people must be small.
type found struct {
	node access.Resource
	// binding has no members.
	binding iampolicy.Binding
	// people are those whom it concerns, as members: "user:…". indirect are those
	// among them whom it means through one of the collectives, its groups and domains.
	people, indirect, collectives []string
}

// newFound tells who of the people is named in the members and who is not.
func newFound(node access.Resource, b iampolicy.Binding, people []string) found {
	f := found{node: node, binding: b, people: people}
	named := map[string]bool{}
	for _, m := range b.Members {
		m = access.FoldASCII(m)
		named[m] = true
		if collective(m) {
			f.collectives = append(f.collectives, m)
		}
	}
	for _, p := range people {
		if !named[access.FoldASCII(p)] && len(f.collectives) > 0 {
			f.indirect = append(f.indirect, p)
		}
	}
	f.binding.Members = nil
	return f
}

// collective is whether a member, folded, may mean people without naming them.
func collective(member string) bool {
	kind, _, _ := strings.Cut(member, ":")
	return kind != "user" && kind != "serviceaccount" && kind != "deleted"
}

// heldBy asks what a person holds on a project; key is made by personKey.
func (k *Catalog) heldBy(ctx context.Context, key string) (analysis, error) {
	resource, person, _ := strings.Cut(key, " ")
	answer, err := k.ask(ctx, resource, url.Values{ofIdentity: {"user:" + person}, ofResource: {access.Resource(resource).FullName()}})
	if refused(err) {
		return analysis{}, nil // nobody whom Google knows
	}
	if err != nil {
		return analysis{}, err
	}
	return read(answer, access.Resource(resource), "user:"+person), nil
}

func personKey(r access.Resource, p access.Principal) string { return string(r) + " " + string(p) }

// holdersOf asks who holds roles on a project, with everybody in their groups (the
// first thousand of each: that is Google's limit); key is made by holdersKey.
func (k *Catalog) holdersOf(ctx context.Context, key string) (analysis, error) {
	resource, names, _ := strings.Cut(key, " ")
	answer, err := k.ask(ctx, resource, url.Values{ofResource: {access.Resource(resource).FullName()}, ofRoles: strings.Fields(names),
		expandGroups: {"true"}})
	if err != nil {
		return analysis{}, err
	}
	return read(answer, access.Resource(resource)), nil
}

func holdersKey(r access.Resource, ids ...access.EntitlementID) string {
	var names []string
	for _, id := range ids {
		names = append(names, string(id.Role))
	}
	slices.Sort(names)
	return string(r) + " " + strings.Join(slices.Compact(names), " ")
}

// read picks out what concerns the project: bindings on it and above it. Google
// answers with other resources too. Without people, those whom it lists are meant.
func read(answer *mainAnalysis, project access.Resource, people ...string) analysis {
	var a analysis
	for _, r := range answer.AnalysisResults {
		if r.IamBinding == nil || !about(r, project) {
			continue
		}
		node, err := resourcename.Parse(strings.TrimPrefix(r.AttachedResourceFullName, access.FullNamePrefix))
		if err != nil {
			continue
		}
		if node.Kind() == "projects" {
			// Projects do not nest, so it is this one, by whatever name.
			node = project
		}
		// As in a policy, so that its condition is read once.
		b := iampolicy.New([]iampolicy.Binding{*r.IamBinding}).Bindings()[0]
		meant := slices.Clone(people)
		if len(people) == 0 {
			for _, i := range r.IdentityList.Identities {
				if strings.HasPrefix(i.Name, "user:") {
					meant = append(meant, i.Name)
				}
			}
		}
		a.found = append(a.found, newFound(node, b, meant))
	}
	partial := !answer.FullyExplored
	for _, e := range answer.NonCriticalErrors {
		if e.Cause != "" {
			partial = false
			a.warnings = append(a.warnings, incomplete(passing[e.Code], gcp.Quote(e.Cause)))
		}
	}
	if partial {
		a.warnings = append(a.warnings, incomplete(true, "it took too long, or there was too much of it"))
	}
	return a
}

// passing are the codes of errors within an analysis that waiting may help with.
var passing = map[string]bool{"DEADLINE_EXCEEDED": true, "RESOURCE_EXHAUSTED": true, "UNAVAILABLE": true, "INTERNAL": true,
	"ABORTED": true, "CANCELLED": true, "UNKNOWN": true}

// incomplete is the warning of an analysis of which a part is missing. A part that
// is missing for good, such as the members of another company's group, is no reason
// to call a person who is not eligible anything else.
func incomplete(waitingHelps bool, reason string) *access.Error {
	e := &access.Error{Kind: access.Unprocessable, Code: access.CodeAnalysisPartial, Args: access.Args{"reason": reason}}
	if waitingHelps {
		e.Kind = access.Unavailable
	}
	return e
}

// about is whether a result says anything of the project.
func about(r analysisResult, project access.Resource) bool {
	return slices.ContainsFunc(r.AccessControlLists, func(list accessControlList) bool {
		return slices.Contains(list.Resources, analyzedResource{project.FullName()})
	})
}

// analyze makes one analysis. Errors are *access.Error.
func (k *Catalog) analyze(ctx context.Context, query url.Values) (*mainAnalysis, error) {
	query = maps.Clone(query)
	query.Set(atTime, k.c.Now().UTC().Format(time.RFC3339Nano))
	if k.c.ExecutionTimeout > 0 {
		// In the notation of protobuf.
		query.Set("executionTimeout", fmt.Sprintf("%ds", max(1, int(k.c.ExecutionTimeout/time.Second))))
	}
	answer, err := gcp.Ask[struct {
		MainAnalysis *mainAnalysis `json:"mainAnalysis"`
	}](ctx, k.assets, "/v1/"+string(k.c.Scope)+":analyzeIamPolicy", query, nil)
	if err != nil {
		failure := gcp.Failure(err, gcp.Call{Service: service, Permission: "cloudasset.assets.analyzeIamPolicy",
			Resource: string(k.c.Scope), Account: k.c.Platform.ServiceAccount})
		if failure.Code == access.CodeQuota {
			failure.Code, failure.Args = access.CodeAnalysisQuota, nil
		}
		return nil, failure
	}
	if answer.MainAnalysis == nil {
		return nil, gcp.Nonsense(service, "the answer holds no analysis")
	}
	return answer.MainAnalysis, nil
}

// ask is analyze about one resource, or none, whose failure says what Google holds
// against the query. It stays refused when that is the identity.
func (k *Catalog) ask(ctx context.Context, resource string,
	query url.Values) (*mainAnalysis, error) {
	answer, err := k.analyze(ctx, query)
	if refused(err) {
		return nil, cmp.Or(k.blame(ctx, resource, err), err)
	}
	if e := access.AsError(err); e != nil && e.Code == access.CodeUnknownResource && resource != "" {
		// It is the one that was asked about, not the scope.
		err = &access.Error{Kind: e.Kind, Code: e.Code, Args: access.Args{"resource": resource}, Err: err}
	}
	return answer, err
}

// refused is whether Google called the query invalid.
func refused(err error) bool {
	return err != nil && access.AsError(err).Code == access.CodeCallRefused
}

// blame finds out what Google holds against a query, which its text does not
// reliably tell: the scope, the project, or else the identity, of which nil is
// returned. JIT Access 1.x took every such answer for a person who is not known,
// and showed an empty page for a wrong scope.
func (k *Catalog) blame(ctx context.Context, resource string, err error) error {
	recent := k.c.Now().Add(-standing.PageAge)
	if ok, failed := k.probes.Get(ctx, string(k.c.Scope), recent); failed != nil {
		return failed
	} else if !ok {
		return &access.Error{Kind: access.Upstream, Code: access.CodeScopeRefused,
			Args: access.Args{"scope": string(k.c.Scope), "reason": access.AsError(err).Args["reason"]}, Err: err}
	}
	if resource == "" || resource == string(k.c.Scope) {
		return nil
	}
	if ok, failed := k.probes.Get(ctx, resource, recent); failed != nil {
		return failed
	} else if !ok {
		return &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Args: access.Args{"resource": resource}, Err: err}
	}
	return nil
}

// probe is whether Google takes a query about a resource that names nobody.
func (k *Catalog) probe(ctx context.Context, resource string) (bool, error) {
	_, err := k.analyze(ctx, url.Values{ofResource: {access.Resource(resource).FullName()}, ofPermissions: {"resourcemanager.projects.get"}})
	if refused(err) || err != nil && access.AsError(err).Code == access.CodeUnknownResource {
		return false, nil
	}
	return err == nil, err
}
