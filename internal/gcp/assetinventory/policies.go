package assetinventory

import (
	"runtime"
	"sync"
	"sync/atomic"
	"weak"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

// maxPolicies bounds the policies of folders and organizations that are in memory, in
// bytes as iampolicy.Policy.Size counts them.
const maxPolicies = 24 << 20

// policy is one as Asset Inventory writes it
// (https://cloud.google.com/asset-inventory/docs/reference/rest/v1/Policy).
type policy struct {
	Bindings []iampolicy.Binding `json:"bindings"`
}

// policies has the policy of each folder and organization once, for all the projects
// below it. It keeps none by itself: what no inventory has any more is gone, with the next
// collection of garbage.
type policies struct {
	mu   sync.Mutex
	last map[access.Resource]weak.Pointer[iampolicy.Policy]
	// held are the bytes of all policies that are still in memory.
	held atomic.Int64
}

// of is the policy of a node: the one that others have already where it says the same.
func (p *policies) of(node access.Resource, written []iampolicy.Binding) *iampolicy.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.last[node].Value()
	if before == nil {
		before = new(iampolicy.Policy)
	}
	now := before.Renew(written)
	if now == before && p.last[node].Value() != nil {
		return now
	}
	if p.last == nil {
		p.last = map[access.Resource]weak.Pointer[iampolicy.Policy]{}
	}
	p.last[node] = weak.Make(now)
	size := int64(now.Size())
	p.held.Add(size)
	runtime.AddCleanup(now, func(size int64) { p.held.Add(-size) }, size)
	return now
}

// full is whether there are more than there is room for.
func (p *policies) full() bool { return p.held.Load() > maxPolicies }
