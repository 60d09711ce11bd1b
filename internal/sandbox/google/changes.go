package google

import (
	"regexp"
	"slices"
	"time"
)

// maxChanges is how many changes of policies are kept; the oldest go first.
const maxChanges = 200

// PolicyChange is one write of an allow policy, as an audit log would have it.
type PolicyChange struct {
	// ID is unique within the cloud, and only grows, from 1 on.
	ID       int
	At       time.Time
	Resource string
	// By is the member that wrote it, such as serviceAccount:…; empty is past the API.
	By string
	// Reason is the header X-Goog-Request-Reason of the write, which audit logs have; it may be
	// empty. https://cloud.google.com/apis/docs/system-parameters
	Reason        string
	Before, After Policy
}

// Changes are the last writes of policies, newest first. Those with which the organization was
// made are not among them.
func (c *Cloud) Changes() []PolicyChange {
	c.mu.Lock()
	defer c.mu.Unlock()
	newest := slices.Clone(c.changes)
	slices.Reverse(newest)
	return newest
}

// replace stores a policy, and remembers who did it. The lock is held.
func (c *Cloud) replace(n *node, p Policy, by, reason string) {
	before := n.policy
	c.store(n, p)
	c.lastChange++
	c.changes = append(c.changes, PolicyChange{c.lastChange, c.now(), n.name, by, reason, before, n.policy})
	if len(c.changes) > maxChanges {
		c.changes = slices.Delete(c.changes, 0, 1)
	}
}

// until is how conditions say when they are over, in the form that Google's console writes.
var until = regexp.MustCompile(`request\.time < timestamp\("([^"]+)"\)`)

// NextEnd is when a condition of a policy is over next, after a time, and of which binding of
// which resource it is; false where none is.
func (c *Cloud) NextEnd(after time.Time) (end time.Time, resource string, of Binding, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.order {
		for _, b := range n.policy.Bindings {
			if b.Condition == nil {
				continue
			}
			for _, match := range until.FindAllStringSubmatch(b.Condition.Expression, -1) {
				at, err := time.Parse(time.RFC3339, match[1])
				if err == nil && at.After(after) && (!found || at.Before(end)) {
					end, resource, of, found = at, n.name, b, true
				}
			}
		}
	}
	return end, resource, of, found
}
