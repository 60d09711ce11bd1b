package google

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Limits of an allow policy, https://cloud.google.com/iam/quotas.
const (
	maxMembers       = 1500
	maxGroups        = 250
	maxSameRoleGrant = 20
)

var basicRoles = []string{"roles/owner", "roles/editor", "roles/viewer"}

var memberPattern = regexp.MustCompile(`^(user|group|serviceAccount|domain):[^\s:]+$`)

// checkPolicy refuses what Google would not store. Bindings and members that the
// old policy has already are not looked at again.
func (c *Cloud) checkPolicy(n *node, old, next Policy) error {
	known := map[string]bool{}
	for _, b := range old.Bindings {
		for _, m := range b.Members {
			known[m] = true
		}
	}
	for _, b := range next.Bindings {
		if !slices.ContainsFunc(old.Bindings, func(o Binding) bool { return sameTerms(o, b) }) {
			if err := c.checkTerms(n, b); err != nil {
				return err
			}
		}
		for _, m := range b.Members {
			if !known[m] {
				if err := c.checkMember(m, b); err != nil {
					return err
				}
			}
		}
	}
	return checkLimits(next)
}

func (c *Cloud) checkTerms(n *node, b Binding) error {
	if err := c.checkRole(n, b.Role); err != nil {
		return err
	}
	if b.Condition == nil {
		return nil
	}
	if slices.Contains(basicRoles, b.Role) {
		return invalid("Conditions can't be set on primitive roles: %s.", b.Role)
	}
	if err := c.conditions.check(b.Condition); err != nil {
		return invalid("Invalid condition in the binding of role %s: %v", b.Role, err)
	}
	return nil
}

// checkRole is whether the role can be granted on the resource.
func (c *Cloud) checkRole(n *node, name string) error {
	if name == "" {
		return invalid("Role is required in every binding.")
	}
	role := c.role(name)
	if strings.HasPrefix(name, "roles/") {
		if role == nil || !role.grantableOn(n) {
			return invalid("Role %s is not supported for this resource.", name)
		}
		return nil
	}
	owner, _, _ := strings.Cut(name, "/roles/")
	if role == nil || !n.within(c.node(owner)) {
		return invalid("Role (%s) does not exist in the resource's hierarchy.", name)
	}
	return nil
}

// checkMember is whether the member has a form that IAM knows and exists.
func (c *Cloud) checkMember(member string, b Binding) error {
	switch {
	case member == "allUsers" || member == "allAuthenticatedUsers":
		if b.Condition != nil {
			return invalid("Conditions can't be set on bindings with members allUsers or allAuthenticatedUsers.")
		}
		return invalid("Policies of projects, folders and organizations do not support %s as a member.", member)
	case !strings.Contains(member, ":"):
		return invalid(`Policy members must be of the form "<type>:<value>".`)
	case strings.HasPrefix(member, "deleted:"):
		return invalid("Deleted member %s cannot be added.", member)
	case strings.HasPrefix(member, "principal://") || strings.HasPrefix(member, "principalSet://"):
		return nil
	case !memberPattern.MatchString(member):
		return invalid("Invalid member %q: the type or the value is not valid.", member)
	}
	kind, value, _ := strings.Cut(member, ":")
	switch kind {
	case "user":
		if c.person(value) == nil {
			return invalid("User %s does not exist.", value)
		}
	case "group":
		if c.group(value) == nil {
			return invalid("Group %s does not exist.", value)
		}
	case "serviceAccount":
		if value != c.organization.ServiceAccount && !slices.Contains(c.organization.ServiceAccounts, value) {
			return invalid("Service account %s does not exist.", value)
		}
	case "domain":
		if !strings.EqualFold(value, c.organization.Domain) {
			return invalid("Domain %s does not exist.", value)
		}
	}
	return nil
}

// checkLimits counts members as often as they appear.
func checkLimits(p Policy) error {
	members := 0
	groups := map[string]bool{}
	grants := map[[2]string]int{}
	for _, b := range p.Bindings {
		members += len(b.Members)
		for _, m := range b.Members {
			if strings.HasPrefix(m, "group:") || strings.HasPrefix(m, "domain:") {
				groups[m] = true
			}
			if b.Condition == nil {
				continue
			}
			key := [2]string{b.Role, m}
			if grants[key]++; grants[key] > maxSameRoleGrant {
				return invalid("The policy has more than %d conditional role bindings of role %s for member %s.", maxSameRoleGrant, b.Role, m)
			}
		}
	}
	for _, a := range p.AuditConfigs {
		for _, l := range a.AuditLogConfigs {
			members += len(l.ExemptedMembers)
		}
	}
	if members > maxMembers {
		return invalid("The number of members in the policy (%s) is larger than the maximum allowed size %s.", thousands(members), thousands(maxMembers))
	}
	if len(groups) > maxGroups {
		return invalid("The number of groups and domains in the policy (%d) is larger than the maximum allowed size %d.", len(groups), maxGroups)
	}
	return nil
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
