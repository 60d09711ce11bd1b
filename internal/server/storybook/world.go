package storybook

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/broker/brokertest"
	"jitaccess/internal/policy"
)

// The organization of the stories: Ana asks, Ben and Carl may approve, Carl and Dora are
// administrators, Eve is an auditor.
const (
	Ana  = access.Principal("ana.ito@example.com")
	Ben  = access.Principal("ben.okafor@example.com")
	Carl = access.Principal("carl.mendes@example.com")
	Dora = access.Principal("dora.lind@example.com")
	Eve  = access.Principal("eve.ruiz@example.com")

	Orders = access.Resource("projects/acme-orders-prod")
)

var Noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var (
	Admin    = access.EntitlementID{Resource: Orders, Role: "roles/compute.instanceAdmin.v1"}
	Viewer   = access.EntitlementID{Resource: Orders, Role: "roles/storage.objectViewer", Condition: `resource.name.startsWith("projects/_/buckets/acme-orders")`}
	Security = access.EntitlementID{Resource: Orders, Role: "roles/iam.securityAdmin"}
)

var RoleInfos = map[access.Role]access.RoleInfo{
	Admin.Role:    {Role: Admin.Role, Title: "Compute Instance Admin (v1)", Description: "Full control of Compute Engine instances, instance groups, disks, snapshots and images.", ChangesPermissions: access.No},
	Viewer.Role:   {Role: Viewer.Role, Title: "Storage Object Viewer", Description: "Read access to objects.", ChangesPermissions: access.No},
	Security.Role: {Role: Security.Role, Title: "Security Admin", Description: "Can get and set any IAM policy.", ChangesPermissions: access.Yes},
}

const BindingText = `role: roles/iam.securityAdmin
members:
  - user:ana.ito@example.com
condition:
  title: JIT access activation
  description: "Approved by ben.okafor@example.com, justification: case 4711 [mpa-AQEBAQEBAQEBAQEB]"
  expression: (request.time >= timestamp("2026-11-22T12:00:00Z") && request.time < timestamp("2026-11-22T13:00:00Z"))`

// World is the real broker over the organization in memory.
type World struct {
	*broker.Broker
	*brokertest.World
	// Machines says that only machines are told.
	Machines bool
}

// NewWorld makes one at Noon; judge is a test, or nil.
func NewWorld(judge brokertest.Judge) *World {
	w := &World{World: brokertest.New(judge, Noon)}
	w.Random = &counter{}
	w.World.Listed = []access.ResourceInfo{{Resource: Orders, Title: "Orders, production"}, {Resource: "projects/acme-orders-test", Title: "Orders, test"},
		{Resource: "projects/example.com:legacy-crm"}}
	w.Unknown = func(r access.Resource) bool { return strings.Contains(string(r), "unknown") }
	w.Titles = RoleInfos
	for _, p := range []access.Principal{Ana, Ben, Carl} {
		w.Holdings[p] = []access.Entitlement{brokertest.Self(Admin), brokertest.Peer(Security), brokertest.Self(Viewer)}
	}
	w.Admins = []string{"user:" + string(Carl), "group:access-admins@example.com"}
	w.GroupsOf = map[access.Principal][]string{Dora: {"access-admins@example.com"}}
	w.Settings.JustificationHint, w.Settings.MaxRoles = "Bug or case number", 10
	w.Broker = w.World.Broker()
	return w
}

// Ruled makes a policy file hold. It panics where the text is none.
func (w *World) Ruled(text string) {
	file, faults := policy.ReadFile([]byte(text))
	if len(faults) > 0 {
		panic(fmt.Sprint(faults))
	}
	w.Policy = policy.Refine(policy.New(w.Settings), file)
	w.Broker = w.World.Broker()
}

// Channels are those of the world, or those of machines.
func (w *World) Channels() []access.Channel {
	if w.Machines {
		return []access.Channel{{Name: "pubsub"}}
	}
	return w.World.Channels()
}

// Resources are those that somebody may choose from.
func (w *World) Resources(ctx context.Context, c access.Caller) ([]access.ResourceInfo, []*access.Error, error) {
	return w.Broker.Resources(ctx, c)
}

// Owner is a role that the start-up of examples/policy refuses to everybody.
var Owner = access.EntitlementID{Resource: Orders, Role: "roles/owner"}

// counter is a source of request ids that can be told: 1, 1, 1, …, then 2, 2, 2, …
type counter struct{ n byte }

func (c *counter) Read(b []byte) (int, error) {
	c.n++
	return copy(b, bytes.Repeat([]byte{c.n}, len(b))), nil
}
