package google

import (
	"regexp"
	"strings"
	"time"
)

// Allowed evaluates the policies of a resource and of everything above it: does
// the member (user:…, serviceAccount:…) have the permission or the role there at
// that time? The resource may lie under a known one, such as
// projects/p/zones/z/instances/i; conditions see its name as given. Objects lie
// under their bucket, projects/_/buckets/NAME/objects/….
func (c *Cloud) Allowed(member, permissionOrRole, resource string, at time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.allowed(member, permissionOrRole, resource, at, nil)
}

// allowed is Allowed with the lock held. Attributes are what api.getAttribute
// knows.
func (c *Cloud) allowed(member, permissionOrRole, resource string, at time.Time, attributes map[string]any) bool {
	n := c.nearest(resource)
	if n == nil {
		return false
	}
	if c.revoked[permissionOrRole] && member == "serviceAccount:"+c.organization.ServiceAccount {
		return false
	}
	about := subject{time: at, name: resource, service: n.service, attributes: attributes}
	if c.node(resource) == n {
		about.kind = n.service + "/" + n.kind
		if about.name = n.attribute; about.name == "" {
			about.name = n.full()
		}
	}
	principals := c.principals(member)
	for ; n != nil; n = n.parent {
		for _, b := range n.policy.Bindings {
			if c.gives(b.Role, permissionOrRole) && holds(b, principals) && c.conditions.holds(b.Condition, about) {
				return true
			}
		}
	}
	return false
}

// require is the 403 of a caller who lacks a permission; nil if they have it.
func (c *Cloud) require(k *call, permission string, n *node, attributes map[string]any) error {
	if n == nil || !c.allowed(k.caller.member, permission, n.name, c.now(), attributes) {
		return denied(permission, nameInPath(k.URL.Path), resourceManager)
	}
	return nil
}

// nameInPath is the full name of the resource that a path of Resource Manager is
// about, whether or not it exists.
func nameInPath(path string) string {
	kind, id, _ := strings.Cut(versionPrefix.ReplaceAllString(path, ""), "/")
	if verb := strings.LastIndexByte(id, ':'); verb >= 0 && strings.HasSuffix(strings.ToLower(id[verb:]), "iampolicy") {
		id = id[:verb]
	}
	return "//" + resourceManager + "/" + kind + "/" + id
}

var versionPrefix = regexp.MustCompile(`^/v[0-9]+/`)

// nearest is the resource itself or the closest known one above it.
func (c *Cloud) nearest(resource string) *node {
	for name := strings.TrimPrefix(resource, "//"+resourceManager+"/"); name != ""; {
		if n := c.node(name); n != nil {
			return n
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return nil
		}
		name = name[:i]
	}
	return nil
}

// principals are all names under which a binding may mean the member: their own,
// their groups' (nested ones too), their domain's, everybody's.
func (c *Cloud) principals(member string) map[string]bool {
	member = strings.ToLower(member)
	found := map[string]bool{member: true, "allusers": true, "allauthenticatedusers": true}
	_, email, _ := strings.Cut(member, ":")
	if _, domain, ok := strings.Cut(email, "@"); ok && strings.HasPrefix(member, "user:") {
		found["domain:"+domain] = true
	}
	for queue := []string{email}; len(queue) > 0; queue = queue[1:] {
		for _, g := range c.organization.Groups {
			key := "group:" + strings.ToLower(g.Email)
			if !found[key] && containsFold(g.Members, queue[0]) {
				found[key] = true
				queue = append(queue, g.Email)
			}
		}
	}
	return found
}

func holds(b Binding, principals map[string]bool) bool {
	for _, m := range b.Members {
		if principals[strings.ToLower(m)] {
			return true
		}
	}
	return false
}

func containsFold(list []string, s string) bool {
	for _, x := range list {
		if strings.EqualFold(x, s) {
			return true
		}
	}
	return false
}
