package google

import (
	"net/http"
	"slices"
	"strings"
)

// IAM version 1: descriptions of roles.
var roleRoutes = []route{
	{method: "GET", template: "/v1/roles/{role}", scopes: scopesIAM, serve: func(c *Cloud, k *call) (any, error) {
		return c.getRole("roles/" + k.vars["role"])
	}},
	{method: "POST", template: "/v1/roles:queryGrantableRoles", scopes: scopesIAM, serve: (*Cloud).queryGrantableRoles},
	{method: "GET", template: "/v1/projects/{id}/roles/{role}", scopes: scopesIAM, serve: customRole("projects")},
	{method: "GET", template: "/v1/organizations/{id}/roles/{role}", scopes: scopesIAM, serve: customRole("organizations")},
}

// Role is a role and its permissions.
type Role struct {
	Name, Title, Description string
	Permissions              []string
	// On are the kinds of resource on which it can be granted, as in node.kind;
	// nil is everywhere.
	On []string
}

func (r *Role) grantableOn(n *node) bool {
	return n != nil && (r.On == nil || slices.Contains(r.On, n.kind))
}

// role finds a role by its full name.
func (c *Cloud) role(name string) *Role { return c.roles[name] }

// indexRoles makes roles be found by their names, the first of a name.
func (c *Cloud) indexRoles() {
	c.roles = map[string]*Role{}
	for _, list := range [][]Role{c.organization.CustomRoles, predefined} {
		for i := range slices.Backward(list) {
			c.roles[list[i].Name] = &list[i]
		}
	}
}

// gives is whether a granted role is the wanted one or has the wanted permission.
func (c *Cloud) gives(granted, wanted string) bool {
	if granted == wanted {
		return true
	}
	role := c.role(granted)
	return role != nil && !strings.Contains(wanted, "roles/") && slices.Contains(permissions(role), wanted)
}

// permissions are those of a role; an owner has all there are.
func permissions(r *Role) []string {
	if r.Name != "roles/owner" {
		return r.Permissions
	}
	var all []string
	for _, p := range predefined {
		all = append(all, p.Permissions...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (c *Cloud) getRole(name string) (any, error) {
	r := c.role(name)
	if r == nil {
		return nil, failure(http.StatusNotFound, "The role named %s was not found.", name)
	}
	return map[string]any{
		"name": r.Name, "title": r.Title, "description": r.Description, "includedPermissions": permissions(r), "stage": "GA", "etag": "AA==",
	}, nil
}

func customRole(kind string) func(*Cloud, *call) (any, error) {
	return func(c *Cloud, k *call) (any, error) {
		owner := kind + "/" + k.vars["id"]
		name := owner + "/roles/" + k.vars["role"]
		if n := c.node(owner); n == nil || !c.allowed(k.caller.member, "iam.roles.get", n.name, c.now(), nil) {
			return nil, failure(http.StatusForbidden, "You don't have permission to get the role at %s.", name)
		}
		return c.getRole(name)
	}
}

// queryGrantableRoles lists what may be granted on a resource,
// https://cloud.google.com/iam/docs/reference/rest/v1/roles/queryGrantableRoles.
func (c *Cloud) queryGrantableRoles(k *call) (any, error) {
	var body struct {
		FullResourceName string `json:"fullResourceName"`
		View             string `json:"view"`
		PageSize         int    `json:"pageSize"`
		PageToken        string `json:"pageToken"`
	}
	if err := k.read(&body); err != nil {
		return nil, err
	}
	n := c.node(body.FullResourceName)
	if !strings.HasPrefix(body.FullResourceName, "//") || n == nil {
		return nil, invalid("Invalid or nonexistent resource: %q.", body.FullResourceName)
	}
	var found []any
	for _, r := range slices.Concat(predefined, c.organization.CustomRoles) {
		if c.checkRole(n, r.Name) != nil {
			continue
		}
		role := map[string]any{"name": r.Name, "title": r.Title, "description": r.Description}
		if body.View == "FULL" {
			role["includedPermissions"] = permissions(&r)
		}
		found = append(found, role)
	}
	// The page is asked for in the body here.
	size := 300
	if body.PageSize > 0 {
		size = body.PageSize
	}
	start := 0
	if body.PageToken != "" {
		start = slices.IndexFunc(found, func(r any) bool { return r.(map[string]any)["name"] == body.PageToken })
		if start < 0 {
			return nil, invalid("The page token is not valid.")
		}
	}
	end := min(start+size, len(found))
	answer := map[string]any{"roles": found[start:end]}
	if end < len(found) {
		answer["nextPageToken"] = found[end].(map[string]any)["name"]
	}
	return answer, nil
}
