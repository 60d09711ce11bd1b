package google

import (
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
		if n == nil || !n.within(scope) {
			return nil, failure(http.StatusNotFound, "Resource %s is not found in scope %s.", name, scope.name)
		}
		policies := []any{}
		for at := n; at != nil && at.within(scope); at = at.parent {
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

// analysis is a query of Policy Analyzer.
type analysis struct {
	identity, resource            string
	roles, permissions            []string
	at                            time.Time
	expandGroups, expandResources bool
	principals                    map[string]bool
	selected                      *node
	cloud                         *Cloud
}

// analyzeIamPolicy is the analysis without its refinements: no identities of
// service accounts, no expansion of roles, no sub-resources of projects.
// https://cloud.google.com/asset-inventory/docs/reference/rest/v1/TopLevel/analyzeIamPolicy
func (c *Cloud) analyzeIamPolicy(k *call, scope *node) (any, error) {
	q := k.URL.Query()
	a := analysis{
		cloud:    c,
		identity: q.Get("analysisQuery.identitySelector.identity"), resource: q.Get("analysisQuery.resourceSelector.fullResourceName"),
		roles: q["analysisQuery.accessSelector.roles"], permissions: q["analysisQuery.accessSelector.permissions"],
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
		a.at = at
	}
	if err := c.requireAssets(k, scope); err != nil {
		return nil, err
	}
	if a.identity != "" {
		if kind, email, _ := strings.Cut(a.identity, ":"); kind == "user" && c.person(email) == nil {
			return nil, invalid("Identity %s does not exist.", a.identity)
		}
		a.principals = c.principals(a.identity)
	}
	if a.resource != "" {
		if a.selected = c.node(a.resource); a.selected == nil || !a.selected.within(scope) {
			return nil, invalid("Resource %s is not found in scope %s.", a.resource, scope.name)
		}
	}
	results := []any{}
	for _, n := range c.order {
		if !n.within(scope) || (a.selected != nil && !a.selected.within(n)) {
			continue
		}
		for _, b := range n.inventory.Bindings {
			if r := a.result(n, b); r != nil {
				results = append(results, r)
			}
		}
	}
	main := map[string]any{"analysisQuery": map[string]any{"scope": scope.name}, "fullyExplored": true}
	if len(results) > 0 {
		main["analysisResults"] = results
	}
	return map[string]any{"mainAnalysis": main, "fullyExplored": true}, nil
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
		if x == n || (a.expandResources && x.within(n) && x.service == resourceManager) {
			found = append(found, map[string]any{"fullResourceName": x.full()})
		}
	}
	return found
}

// identities are the members that match, and with expandGroups everybody in the
// groups among them.
func (a *analysis) identities(b Binding) []any {
	found := []any{}
	seen := map[string]bool{}
	var add func(member string)
	add = func(member string) {
		if seen[member] {
			return
		}
		seen[member] = true
		found = append(found, map[string]any{"name": member})
		email, isGroup := strings.CutPrefix(member, "group:")
		g := a.cloud.group(email)
		if !isGroup || !a.expandGroups || g == nil {
			return
		}
		for _, m := range g.Members {
			if a.cloud.group(m) != nil {
				add("group:" + m)
			} else {
				add("user:" + m)
			}
		}
	}
	for _, m := range b.Members {
		if a.principals == nil || a.principals[strings.ToLower(m)] {
			add(m)
		}
	}
	return found
}
