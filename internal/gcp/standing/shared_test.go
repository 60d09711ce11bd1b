package standing_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/standing"
)

// cloud is where policies are read, and a source. What one person does reads a policy
// once, as package resourcemanager has it.
type cloud struct {
	mu       sync.Mutex
	now      time.Time
	policies map[access.Resource]*iampolicy.Policy
	kept     map[access.Resource]reading
	found    standing.Found
	// during happens while the source is asked.
	during func()
}

type reading struct {
	policy *iampolicy.Policy
	at     time.Time
}

func (c *cloud) GetIamPolicy(_ context.Context, r access.Resource, since time.Time) (*iampolicy.Policy, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !since.IsZero() && r == folder && !c.kept[r].at.Before(since) {
		return c.kept[r].policy, nil
	}
	if r == folder {
		c.kept[r] = reading{c.policies[r], c.now}
	}
	return c.policies[r], nil
}

func (c *cloud) Look(context.Context, access.StandingQuery) (standing.Found, error) {
	if c.during != nil {
		c.during()
	}
	return c.found, nil
}

// Threat 6: what one action has read of the nodes above is not told to another as if it
// had been read for it, though the two share the look-up.
func TestThreat06_ASharedLookUpIsNoOlderThanItsQuery(t *testing.T) {
	eligible := iampolicy.New([]iampolicy.Binding{{Role: "roles/run.admin", Members: []string{"user:" + string(ana)},
		Condition: &iampolicy.Condition{Expression: "has({}.jitAccessConstraint)"}}})
	begun := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	c := &cloud{now: begun, kept: map[access.Resource]reading{},
		policies: map[access.Resource]*iampolicy.Policy{shop: iampolicy.New(nil), folder: eligible}}
	now := func() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
	pass := func() time.Time { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(time.Second); return c.now }
	k := standing.New(standing.Config{Source: c, Policies: c, Now: now})
	ask := func(since time.Time) access.Standing {
		t.Helper()
		c.found = standing.Found{Above: aboveOf(eligible)}
		s, err := k.Standing(t.Context(), access.StandingQuery{Resource: shop, Principals: []access.Principal{ana}, Since: since})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}

	var second time.Time
	c.during = func() {
		// Somebody else's action reads the folder, then she loses the eligibility, then
		// she begins an action.
		if _, err := c.GetIamPolicy(t.Context(), folder, pass()); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		c.policies[folder] = iampolicy.New(nil)
		c.mu.Unlock()
		pass()
		second = pass()
		pass()
		c.during = nil
	}
	ask(begun)
	pass()
	if s := ask(second); len(s.Holdings[ana]) != 0 {
		t.Errorf("she still has %+v, as read before she asked", s.Holdings[ana])
	}
}

func aboveOf(policy *iampolicy.Policy) []standing.Node {
	return []standing.Node{{Resource: folder, Policy: policy}}
}

func (c *cloud) Remembered(access.Resource, time.Duration) (*iampolicy.Policy, time.Time) {
	return nil, time.Time{}
}

func (c *cloud) Known(access.StandingQuery) []standing.Node { return nil }

func (c *cloud) Parent(context.Context, access.Resource) (access.Resource, error) { return folder, nil }
