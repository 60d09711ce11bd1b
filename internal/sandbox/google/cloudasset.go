package google

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Cloud Asset Inventory and Policy Analyzer.
var assetRoutes = func() []route {
	var all []route
	for _, kind := range []string{"projects", "folders", "organizations"} {
		scope := "/v1/" + kind + "/{id}"
		all = append(all,
			route{method: "GET", template: scope + "/effectiveIamPolicies:batchGet", scopes: scopesWrite, serve: func(c *Cloud, k *call) (any, error) {
				return c.effectivePolicies(k, c.node(kind+"/"+k.vars["id"]))
			}},
			route{method: "GET", template: scope + ":searchAllIamPolicies", scopes: scopesWrite, serve: func(c *Cloud, k *call) (any, error) {
				return c.searchPolicies(k, c.node(kind+"/"+k.vars["id"]))
			}},
			route{method: "GET", template: scope + ":analyzeIamPolicy", scopes: scopesWrite, serve: func(c *Cloud, k *call) (any, error) {
				return c.analyzeIamPolicy(k, c.node(kind+"/"+k.vars["id"]))
			}},
		)
	}
	return all
}()

const assetService = "cloudasset.googleapis.com"

func (c *Cloud) requireAssets(k *call, scope *node) error {
	for _, p := range []string{"cloudasset.assets.analyzeIamPolicy", "cloudasset.assets.searchAllIamPolicies", "cloudasset.assets.searchAllResources"} {
		if scope == nil || !c.allowed(k.caller.member, p, scope.name, c.now(), nil) {
			name := "//" + resourceManager + strings.TrimSuffix(k.URL.Path[3:], "/effectiveIamPolicies:batchGet")
			return denied(p, strings.TrimSuffix(name, ":analyzeIamPolicy"), assetService)
		}
	}
	return nil
}

// effectivePolicies returns for each resource its policy and those of everything
// above it up to the scope, the nearest first. Etags and versions are not kept by
// the inventory.
// https://cloud.google.com/asset-inventory/docs/reference/rest/v1/effectiveIamPolicies/batchGet
func (c *Cloud) effectivePolicies(k *call, scope *node) (any, error) {
	names := k.URL.Query()["names"]
	if len(names) == 0 || len(names) > 20 {
		return nil, invalid("The number of names must be between 1 and 20.")
	}
	if err := c.requireAssets(k, scope); err != nil {
		return nil, err
	}
	results := []any{}
	for _, name := range names {
		n := c.node(name)
		if !strings.HasPrefix(name, "//") {
			return nil, invalid("Invalid full resource name: %s.", name)
		}
		if n == nil || !n.listedWithin(scope) {
			return nil, failure(http.StatusNotFound, "Resource %s is not found in scope %s.", name, scope.name)
		}
		policies := []any{}
		for at := n; at != nil && at.listedWithin(scope); at = at.listed {
			policy := map[string]any{}
			if len(at.inventory.Bindings) > 0 {
				policy["bindings"] = at.inventory.Bindings
			}
			policies = append(policies, map[string]any{"attachedResource": at.full(), "policy": policy})
		}
		results = append(results, map[string]any{"fullResourceName": name, "policies": policies})
	}
	return map[string]any{"policyResults": results}, nil
}

// searchPolicies finds the bindings that name one address, on resources of some types: the query
// policy:"ADDRESS", and no other. Each result has the bindings that match, and no others.
// https://cloud.google.com/asset-inventory/docs/reference/rest/v1/TopLevel/searchAllIamPolicies
func (c *Cloud) searchPolicies(k *call, scope *node) (any, error) {
	q := k.URL.Query()
	address, closed := strings.CutSuffix(strings.TrimPrefix(q.Get("query"), `policy:"`), `"`)
	if !strings.HasPrefix(q.Get("query"), `policy:"`) || !closed || strings.Contains(address, `"`) {
		return nil, invalid("Query is not supported here: %s.", q.Get("query"))
	}
	if p := "cloudasset.assets.searchAllIamPolicies"; scope == nil || !c.allowed(k.caller.member, p, scope.name, c.now(), nil) {
		return nil, denied(p, strings.TrimSuffix("//"+resourceManager+k.URL.Path[3:], ":searchAllIamPolicies"), assetService)
	}
	results := []any{}
	for _, n := range c.order {
		assetType := n.service + "/" + n.kind
		if !n.listedWithin(scope) || !slices.Contains(q["assetTypes"], assetType) {
			continue
		}
		var match []Binding
		for _, b := range n.inventory.Bindings {
			if slices.ContainsFunc(b.Members, func(m string) bool {
				_, named, _ := strings.Cut(m, ":")
				return strings.EqualFold(named, address)
			}) {
				match = append(match, b)
			}
		}
		if len(match) > 0 {
			results = append(results, map[string]any{"resource": n.full(), "assetType": assetType,
				"policy": map[string]any{"bindings": match}})
		}
	}
	return map[string]any{"results": results}, nil
}

// analysis is a query of Policy Analyzer.
type analysis struct {
	identity, resource            string
	roles, permissions            []string
	at                            time.Time
	expandGroups, expandResources bool
	principals                    map[string]bool
	selected                      *node
	cloud                         *Cloud
	// errors are what could not be analyzed, by cause.
	errors map[string]any
}

// Limits of what an analysis expands, for each group and each resource, and how much
// earlier than Google's clock the time of access may be.
const (
	maxExpansion = 1000
	clockSkew    = time.Minute
)

// analyzeIamPolicy is the analysis without its refinements: no identities of
// service accounts, no expansion of roles, no sub-resources of projects.
// https://cloud.google.com/asset-inventory/docs/reference/rest/v1/TopLevel/analyzeIamPolicy
func (c *Cloud) analyzeIamPolicy(k *call, scope *node) (any, error) {
	q := k.URL.Query()
	a := analysis{
		cloud:    c,
		identity: q.Get("analysisQuery.identitySelector.identity"), resource: q.Get("analysisQuery.resourceSelector.fullResourceName"),
		roles: q["analysisQuery.accessSelector.roles"], permissions: q["analysisQuery.accessSelector.permissions"],
		errors:          map[string]any{},
		expandGroups:    q.Get("analysisQuery.options.expandGroups") == "true",
		expandResources: q.Get("analysisQuery.options.expandResources") == "true",
	}
	if a.identity == "" && a.resource == "" && len(a.roles) == 0 && len(a.permissions) == 0 {
		return nil, invalid("At least one of resourceSelector, identitySelector or accessSelector must be specified.")
	}
	if t := q.Get("analysisQuery.conditionContext.accessTime"); t != "" {
		at, err := time.Parse(time.RFC3339, t)
		if err != nil {
			return nil, invalid("Invalid value at 'analysis_query.condition_context.access_time' (type.googleapis.com/google.protobuf.Timestamp), %q", t)
		}
		if at.Before(c.now().Add(-clockSkew)) {
			return nil, invalid("Invalid access_time: it must not be earlier than the current time.")
		}
		a.at = at
	}
	switch {
	case a.identity != "" && a.expandGroups:
		return nil, invalid("expand_groups is not allowed to be set when identity_selector is specified.")
	case len(a.roles)+len(a.permissions) > 0 && q.Get("analysisQuery.options.expandRoles") == "true":
		return nil, invalid("expand_roles is not allowed to be set when access_selector is specified.")
	case a.resource != "" && a.expandResources && !strings.HasPrefix(a.resource, "//"+resourceManager+"/projects/"):
		return nil, invalid("expand_resources is supported for projects and lower resources only when resource_selector is specified.")
	}
	if err := c.requireAssets(k, scope); err != nil {
		return nil, err
	}
	if a.identity != "" {
		if kind, email, _ := strings.Cut(a.identity, ":"); kind == "user" && c.person(email) == nil {
			return nil, invalid("Identity %s does not exist.", a.identity)
		}
		a.principals = c.principals(a.identity)
		if c.revoked[groupsReader] {
			maps.DeleteFunc(a.principals, func(m string, _ bool) bool { return strings.HasPrefix(m, "group:") })
			a.errors[""] = map[string]any{"code": "PERMISSION_DENIED", "cause": "Permission denied on looking up the groups of " + a.identity + "."}
		}
	}
	if a.resource != "" {
		if a.selected = c.node(a.resource); a.selected == nil || !a.selected.listedWithin(scope) {
			return nil, invalid("Resource %s is not found in scope %s.", a.resource, scope.name)
		}
	}
	results := []any{}
	for _, n := range c.order {
		if !n.listedWithin(scope) || (a.selected != nil && !a.selected.listedWithin(n)) {
			continue
		}
		for _, b := range n.inventory.Bindings {
			if r := a.result(n, b); r != nil {
				results = append(results, r)
			}
		}
	}
	main := map[string]any{"analysisQuery": map[string]any{"scope": scope.name}}
	if len(results) > 0 {
		main["analysisResults"] = results
	}
	answer := map[string]any{"mainAnalysis": main}
	// In protobuf's JSON false is left out.
	if len(a.errors) == 0 {
		main["fullyExplored"], answer["fullyExplored"] = true, true
	} else {
		main["nonCriticalErrors"] = slices.Collect(maps.Values(a.errors))
	}
	return answer, nil
}

// result is what one binding contributes, nil if nothing.
func (a *analysis) result(n *node, b Binding) any {
	if a.principals != nil && !holds(b, a.principals) {
		return nil
	}
	var accesses []any
	if slices.Contains(a.roles, b.Role) {
		accesses = append(accesses, map[string]any{"role": b.Role})
	}
	for _, p := range a.permissions {
		if a.cloud.gives(b.Role, p) {
			accesses = append(accesses, map[string]any{"permission": p})
		}
	}
	if accesses == nil {
		if len(a.roles)+len(a.permissions) > 0 {
			return nil
		}
		accesses = append(accesses, map[string]any{"role": b.Role})
	}
	list := map[string]any{"resources": a.resources(n), "accesses": accesses}
	if b.Condition != nil {
		list["conditionEvaluation"] = map[string]any{"evaluationValue": a.cloud.conditions.analyze(b.Condition, a.at)}
	}
	return map[string]any{
		"attachedResourceFullName": n.full(), "iamBinding": b, "accessControlLists": []any{list},
		"identityList": map[string]any{"identities": a.identities(b)}, "fullyExplored": true,
	}
}

func (a *analysis) resources(n *node) []any {
	if a.selected != nil {
		n = a.selected
	}
	found := []any{}
	for _, x := range a.cloud.order {
		if x == n || (a.expandResources && len(found) < maxExpansion && x.listedWithin(n) && x.service == resourceManager) {
			found = append(found, map[string]any{"fullResourceName": x.full()})
		}
	}
	return found
}

// identities are whom a binding concerns: with a selector the identity selected, not
// the group that it is in; else the members, and with expandGroups everybody in the
// groups among them.
func (a *analysis) identities(b Binding) []any {
	if a.identity != "" {
		return []any{map[string]any{"name": a.identity}}
	}
	found := []any{}
	seen := map[string]bool{}
	var add func(member string)
	add = func(member string) {
		if seen[member] {
			return
		}
		seen[member] = true
		identity := map[string]any{"name": member}
		found = append(found, identity)
		email, isGroup := strings.CutPrefix(member, "group:")
		if !isGroup || !a.expandGroups {
			return
		}
		g := a.cloud.group(email)
		if g == nil || g.External || a.cloud.revoked[groupsReader] {
			state := map[string]any{"code": "PERMISSION_DENIED", "cause": "Permission denied on listing the members of group " + email + "."}
			identity["analysisState"], a.errors[email] = state, state
			return
		}
		for _, m := range g.Members[:min(len(g.Members), maxExpansion)] {
			if a.cloud.group(m) != nil {
				add("group:" + m)
			} else {
				add("user:" + m)
			}
		}
	}
	for _, m := range b.Members {
		add(m)
	}
	return found
}
