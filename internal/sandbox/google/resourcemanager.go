package google

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Resource Manager. Versions 1 and 3 differ in the form of a project and in where
// folders and organizations are; gcloud uses version 1.
var resourceRoutes = func() []route {
	var all []route
	for _, at := range []struct{ version, kind string }{
		{"v3", "projects"}, {"v3", "folders"}, {"v3", "organizations"}, {"v1", "projects"}, {"v1", "organizations"}, {"v2", "folders"},
	} {
		name := "/" + at.version + "/" + at.kind + "/{id}"
		all = append(all,
			route{method: "POST", template: name + ":getIamPolicy", scopes: scopesRead, serve: func(c *Cloud, k *call) (any, error) {
				return c.getIamPolicy(k, c.node(at.kind+"/"+k.vars["id"]), "resourcemanager."+at.kind+".getIamPolicy")
			}},
			route{method: "POST", template: name + ":setIamPolicy", scopes: scopesWrite, serve: func(c *Cloud, k *call) (any, error) {
				return c.setIamPolicy(k, c.node(at.kind+"/"+k.vars["id"]), "resourcemanager."+at.kind+".setIamPolicy")
			}},
			route{method: "POST", template: name + ":testIamPermissions", scopes: scopesRead, serve: func(c *Cloud, k *call) (any, error) {
				return c.testIamPermissions(k, c.node(at.kind+"/"+k.vars["id"]))
			}},
		)
	}
	return append(all,
		route{method: "GET", template: "/v3/projects:search", scopes: scopesRead, serve: (*Cloud).searchProjects},
		route{method: "GET", template: "/v3/folders:search", scopes: scopesRead, serve: (*Cloud).searchFolders},
		route{method: "GET", template: "/v3/projects/{id}", scopes: scopesRead, serve: func(c *Cloud, k *call) (any, error) {
			return c.getResource(k, "projects", projectV3)
		}},
		route{method: "GET", template: "/v3/folders/{id}", scopes: scopesRead, serve: func(c *Cloud, k *call) (any, error) {
			return c.getResource(k, "folders", c.folderV3)
		}},
		route{method: "GET", template: "/v3/organizations/{id}", scopes: scopesRead, serve: func(c *Cloud, k *call) (any, error) {
			return c.getResource(k, "organizations", c.organizationV3)
		}},
		route{method: "GET", template: "/v1/projects", scopes: scopesRead, serve: (*Cloud).listProjects},
		route{method: "GET", template: "/v1/projects/{id}", scopes: scopesRead, serve: func(c *Cloud, k *call) (any, error) {
			return c.getResource(k, "projects", projectV1)
		}},
	)
}()

// created is when everything here was made.
const created = "2021-03-04T05:06:07.089Z"

func projectV3(n *node) any {
	p := n.project
	return withLabels(p, map[string]any{
		"name": "projects/" + p.Number, "projectId": p.ID, "displayName": p.DisplayName, "parent": n.parent.name,
		"state": state(p.Deleted), "createTime": created, "updateTime": created, "etag": `W/"sandbox"`,
	})
}

func projectV1(n *node) any {
	p := n.project
	kind, id, _ := strings.Cut(n.parent.name, "/")
	return withLabels(p, map[string]any{
		"projectNumber": p.Number, "projectId": p.ID, "name": p.DisplayName, "lifecycleState": state(p.Deleted), "createTime": created,
		"parent": map[string]any{"type": strings.TrimSuffix(kind, "s"), "id": id},
	})
}

// withLabels adds the labels of a project that has some.
func withLabels(p *Project, shape map[string]any) map[string]any {
	if len(p.Labels) > 0 {
		shape["labels"] = p.Labels
	}
	return shape
}

func (c *Cloud) folderV3(n *node) any {
	return map[string]any{
		"name": n.name, "parent": n.parent.name, "displayName": n.folder.DisplayName, "state": state(n.leaving), "createTime": created, "updateTime": created,
	}
}

func (c *Cloud) organizationV3(n *node) any {
	return map[string]any{
		"name": n.name, "displayName": c.organization.Domain, "directoryCustomerId": c.organization.CustomerID, "state": "ACTIVE", "createTime": created, "updateTime": created,
	}
}

func state(leaving bool) string {
	if leaving {
		return "DELETE_REQUESTED"
	}
	return "ACTIVE"
}

func (c *Cloud) getResource(k *call, kind string, shape func(*node) any) (any, error) {
	n := c.node(kind + "/" + k.vars["id"])
	if err := c.require(k, "resourcemanager."+kind+".get", n, nil); err != nil {
		return nil, err
	}
	return shape(n), nil
}

func (c *Cloud) testIamPermissions(k *call, n *node) (any, error) {
	var body struct {
		Permissions []string `json:"permissions"`
	}
	if err := k.read(&body); err != nil {
		return nil, err
	}
	var held []string
	for _, p := range body.Permissions {
		if strings.Contains(p, "*") || strings.Count(p, ".") < 2 {
			return nil, invalid("Permission %s is not valid for this resource.", p)
		}
		if n != nil && c.allowed(k.caller.member, p, n.name, c.now(), nil) {
			held = append(held, p)
		}
	}
	answer := map[string]any{}
	if held != nil {
		answer["permissions"] = held
	}
	return answer, nil
}

// searchProjects returns the projects that the caller may see,
// https://cloud.google.com/resource-manager/reference/rest/v3/projects/search.
func (c *Cloud) searchProjects(k *call) (any, error) {
	return c.projects(k, k.URL.Query().Get("query"), projectV3)
}

func (c *Cloud) listProjects(k *call) (any, error) {
	return c.projects(k, k.URL.Query().Get("filter"), projectV1)
}

func (c *Cloud) projects(k *call, query string, shape func(*node) any) (any, error) {
	matches, err := parseQuery(query)
	if err != nil {
		return nil, err
	}
	return c.seen(k, "projects", func(n *node) bool { return n.project != nil && matches(n) }, shape)
}

// searchFolders returns the folders that the caller may see, those too whose deletion has been
// requested; it understands no query,
// https://cloud.google.com/resource-manager/reference/rest/v3/folders/search.
func (c *Cloud) searchFolders(k *call) (any, error) {
	if query := k.URL.Query().Get("query"); query != "" {
		return nil, invalid("Query is not supported here: %s.", query)
	}
	return c.seen(k, "folders", func(n *node) bool { return n.folder != nil }, c.folderV3)
}

// seen is a page of what of a kind matches and the caller may see.
func (c *Cloud) seen(k *call, kind string, matches func(*node) bool, shape func(*node) any) (any, error) {
	found := []any{}
	for _, n := range c.order {
		if matches(n) && c.allowed(k.caller.member, "resourcemanager."+kind+".get", n.name, c.now(), nil) {
			found = append(found, shape(n))
		}
	}
	return page(c, k, "pageSize", kind, found, map[string]any{})
}

// parseQuery understands terms FIELD:VALUE and FIELD=VALUE that all must hold, with
// * as a wildcard. Comparison ignores case, as Google's does.
func parseQuery(query string) (func(*node) bool, error) {
	var terms []func(*node) bool
	for _, term := range strings.Fields(query) {
		if term == "AND" {
			continue
		}
		at := strings.IndexAny(term, ":=")
		if at <= 0 {
			return nil, invalid("Field [query] has issue [The query string is not valid: %q].", term)
		}
		field, want := term[:at], strings.ToLower(strings.Trim(term[at+1:], `"'`))
		value, ok := queryField(field)
		if _, err := path.Match(want, ""); !ok || err != nil {
			return nil, invalid("Field [query] has issue [The query string is not valid: %q].", term)
		}
		terms = append(terms, func(n *node) bool {
			have := strings.ToLower(value(n))
			// Match does not let * pass a slash.
			ok, _ := path.Match(strings.ReplaceAll(want, "/", "|"), strings.ReplaceAll(have, "/", "|"))
			return ok
		})
	}
	return func(n *node) bool {
		return !slices.ContainsFunc(terms, func(t func(*node) bool) bool { return !t(n) })
	}, nil
}

func queryField(field string) (func(*node) string, bool) {
	if label, ok := strings.CutPrefix(field, "labels."); ok {
		return func(n *node) string { return n.project.Labels[label] }, true
	}
	switch field {
	case "state", "lifecycleState":
		return func(n *node) string { return state(n.project.Deleted) }, true
	case "id", "projectId", "project":
		return func(n *node) string { return n.project.ID }, true
	case "name", "displayName":
		return func(n *node) string { return n.project.DisplayName }, true
	case "parent":
		return func(n *node) string { return n.parent.name }, true
	case "parent.id":
		return func(n *node) string { return path.Base(n.parent.name) }, true
	case "parent.type":
		return func(n *node) string { return strings.TrimSuffix(path.Dir(n.parent.name), "s") }, true
	}
	return nil, false
}

// page answers one page of a list. A token is bound to the list that it was made
// for.
func page(c *Cloud, k *call, sizeName, listName string, items []any, answer map[string]any) (any, error) {
	q := k.URL.Query()
	size := c.pageSize
	if text := q.Get(sizeName); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, invalid("Invalid value at '%s' (TYPE_INT32), %q", sizeName, text)
		}
		if n > 0 {
			size = min(size, n)
		}
	}
	list := fmt.Sprint(k.URL.Path, "?", q.Get("query"), q.Get("filter"), q.Get("userKey"))
	start := 0
	if token := q.Get("pageToken"); token != "" {
		text, err := base64.URLEncoding.DecodeString(token)
		at, of, _ := strings.Cut(string(text), " ")
		if start, _ = strconv.Atoi(at); err != nil || of != list || start <= 0 || start > len(items) {
			return nil, failure(http.StatusBadRequest, "The page token is not valid.")
		}
	}
	end := min(start+size, len(items))
	// An empty list is left out, as proto3 JSON does.
	if start < end {
		answer[listName] = items[start:end]
	}
	if end < len(items) {
		answer["nextPageToken"] = base64.URLEncoding.EncodeToString([]byte(fmt.Sprint(end, " ", list)))
	}
	return answer, nil
}
