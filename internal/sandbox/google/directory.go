package google

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The Directory API of the Admin SDK,
// https://developers.google.com/workspace/admin/directory/reference/rest/v1/groups.
var directoryRoutes = []route{
	{method: "GET", template: "/admin/directory/v1/groups", scopes: scopesGroups, serve: directory((*Cloud).listGroups)},
	{method: "GET", template: "/admin/directory/v1/groups/{group}/members", scopes: scopesMembers, serve: directory((*Cloud).listMembers)},
	{method: "GET", template: "/admin/directory/v1/groups/{group}/hasMember/{member}", scopes: scopesMembers, serve: directory((*Cloud).hasMember)},
	{method: "GET", template: "/admin/directory/v1/groups/{group}", scopes: scopesGroups, serve: directory((*Cloud).getGroup)},
	{method: "GET", template: "/groups/v1/groups/{group}", scopes: scopesSettings, serve: (*Cloud).getGroupSettings},
}

// directory lets in only those with the Workspace role Groups Reader; IAM roles do
// not count here.
func directory(serve func(*Cloud, *call) (any, error)) func(*Cloud, *call) (any, error) {
	return func(c *Cloud, k *call) (any, error) {
		if !slices.Contains(c.organization.GroupsReaders, k.caller.email()) || c.revoked[groupsReader] {
			return nil, unauthorizedGroup()
		}
		return serve(c, k)
	}
}

// groupsReader is the Workspace role, for Faults.RevokePermission.
const groupsReader = "Groups Reader"

func unauthorizedGroup() error {
	return legacy(http.StatusForbidden, "forbidden", "Not Authorized to access this resource/api")
}

// listGroups is groups.list: of a member (direct memberships only) or of all.
func (c *Cloud) listGroups(k *call) (any, error) {
	q := k.URL.Query()
	customer, domain, userKey := q.Get("customer"), q.Get("domain"), q.Get("userKey")
	if customer == "" && domain == "" && userKey == "" {
		return nil, legacy(http.StatusBadRequest, "badRequest", "Bad Request")
	}
	if customer != "" && customer != "my_customer" && customer != c.organization.CustomerID {
		return nil, legacy(http.StatusBadRequest, "invalid", "Invalid Input: customer")
	}
	if domain != "" && !strings.EqualFold(domain, c.organization.Domain) {
		return nil, legacy(http.StatusNotFound, "notFound", "Domain not found.")
	}
	member := userKey
	if query := q.Get("query"); query != "" {
		key, ok := strings.CutPrefix(query, "memberKey=")
		if key = strings.Trim(key, `'"`); !ok || key == "" {
			return nil, legacy(http.StatusBadRequest, "invalid", "Invalid Input: query")
		}
		// An apostrophe within a query is escaped.
		member = strings.ReplaceAll(key, `\'`, "'")
	}
	if userKey != "" && c.person(userKey) == nil && c.group(userKey) == nil {
		return nil, legacy(http.StatusNotFound, "notFound", "Resource Not Found: userKey")
	}
	groups := []any{}
	for i := range c.organization.Groups {
		g := &c.organization.Groups[i]
		if !g.External && (member == "" || containsFold(g.Members, member)) {
			groups = append(groups, groupShape(g))
		}
	}
	return page(c, k, "maxResults", "groups", groups, map[string]any{"kind": "admin#directory#groups", "etag": `"sandbox"`})
}

func groupShape(g *Group) any {
	return map[string]any{
		"kind": "admin#directory#group", "id": directoryID(g.Email), "etag": `"sandbox"`, "email": g.Email, "name": g.Name,
		"description": "", "directMembersCount": fmt.Sprint(len(g.Members)), "adminCreated": true,
	}
}

// directoryID is a stable number for an address.
func directoryID(email string) string {
	hash := sha256.Sum256([]byte(strings.ToLower(email)))
	return fmt.Sprintf("%021d", binary.BigEndian.Uint64(hash[:8]))
}

// ownGroup finds a group of this customer.
func (c *Cloud) ownGroup(k *call) (*Group, error) {
	g := c.group(k.vars["group"])
	switch {
	case g == nil && strings.HasSuffix(strings.ToLower(k.vars["group"]), "@"+c.organization.Domain):
		return nil, legacy(http.StatusNotFound, "notFound", "Resource Not Found: groupKey")
	case g == nil || g.External:
		return nil, unauthorizedGroup()
	}
	return g, nil
}

func (c *Cloud) getGroup(k *call) (any, error) {
	g, err := c.ownGroup(k)
	if err != nil {
		return nil, err
	}
	return groupShape(g), nil
}

// listMembers is members.list. With includeDerivedMembership the members of nested
// groups are in it too.
func (c *Cloud) listMembers(k *call) (any, error) {
	g, err := c.ownGroup(k)
	if err != nil {
		return nil, err
	}
	q := k.URL.Query()
	members := slices.Clone(g.Members)
	if q.Get("includeDerivedMembership") == "true" {
		for i := 0; i < len(members); i++ {
			if nested := c.group(members[i]); nested != nil {
				for _, m := range nested.Members {
					if !containsFold(members, m) {
						members = append(members, m)
					}
				}
			}
		}
	}
	found := []any{}
	for _, m := range members {
		kind := "USER"
		if c.group(m) != nil {
			kind = "GROUP"
		}
		if roles := q.Get("roles"); roles != "" && !slices.Contains(strings.Split(roles, ","), "MEMBER") {
			continue
		}
		member := map[string]any{
			"kind": "admin#directory#member", "etag": `"sandbox"`, "id": directoryID(m), "email": m, "role": "MEMBER", "type": kind, "status": "ACTIVE",
		}
		if !strings.HasSuffix(strings.ToLower(m), "@"+c.organization.Domain) {
			delete(member, "status")
		}
		found = append(found, member)
	}
	return page(c, k, "maxResults", "members", found, map[string]any{"kind": "admin#directory#members", "etag": `"sandbox"`})
}

// hasMember knows nested memberships.
func (c *Cloud) hasMember(k *call) (any, error) {
	g, err := c.ownGroup(k)
	if err != nil {
		return nil, err
	}
	member := c.principals("user:" + k.vars["member"])["group:"+strings.ToLower(g.Email)]
	return map[string]any{"isMember": member}, nil
}

// getGroupSettings is a part of the Groups Settings API, whose values are texts
// (https://developers.google.com/admin-sdk/groups-settings/v1/reference/groups).
func (c *Cloud) getGroupSettings(k *call) (any, error) {
	if !slices.Contains(c.organization.GroupsEditors, k.caller.email()) {
		return nil, unauthorizedGroup()
	}
	g, err := c.ownGroup(k)
	if err != nil {
		return nil, err
	}
	if k.URL.Query().Get("alt") != "json" {
		return nil, invalid("only alt=json is here; Google answers Atom without it")
	}
	join := g.WhoCanJoin
	if join == "" {
		join = "INVITED_CAN_JOIN"
	}
	return map[string]any{"kind": "groupsSettings#groups", "email": g.Email, "name": g.Name, "whoCanJoin": join,
		"allowExternalMembers": fmt.Sprint(g.AllowExternalMembers)}, nil
}
