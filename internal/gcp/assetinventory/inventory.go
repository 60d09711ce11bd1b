package assetinventory

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"google.golang.org/api/cloudasset/v1"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/gcp/standing"
)

// inventory is what Asset Inventory says of one project.
type inventory struct {
	// own is its copy of the project's own policy; nil when there is none.
	own *iampolicy.Policy
	// above are the folders and the organization, nearest first, within the scope.
	above []standing.Node
}

// batchGet asks Asset Inventory for the policies that apply to a project. Google
// allows 100 such calls a minute for the whole service.
func (k *Catalog) batchGet(ctx context.Context, resource string) (inventory, error) {
	call := gcp.Call{Service: "Cloud Asset Inventory", Permission: "cloudasset.assets.analyzeIamPolicy",
		Resource: string(k.c.Scope), Account: k.c.Platform.ServiceAccount}
	answer, err := gcp.Read(ctx, k.c.Platform.Retry, func(ctx context.Context) (*cloudasset.BatchGetEffectiveIamPoliciesResponse, error) {
		return k.assets.EffectiveIamPolicies.BatchGet(string(k.c.Scope)).Names(access.Resource(resource).FullName()).Context(ctx).Do()
	})
	if err != nil {
		failure := gcp.Failure(err, call)
		if failure.Code == access.CodeUnknownResource {
			failure.Args = access.Args{"resource": resource}
		}
		return inventory{}, failure
	}
	if answer == nil || len(answer.PolicyResults) == 0 || answer.PolicyResults[0] == nil {
		return inventory{}, &access.Error{Kind: access.NotFound, Code: access.CodeUnknownResource, Args: access.Args{"resource": resource},
			Err: errors.New("no entry in Cloud Asset Inventory within the scope")}
	}
	var found inventory
	for _, info := range answer.PolicyResults[0].Policies {
		if info == nil || info.Policy == nil {
			continue
		}
		node, err := resourcename.Parse(strings.TrimPrefix(info.AttachedResource, access.FullNamePrefix))
		if err != nil {
			continue
		}
		raw, err := json.Marshal(info.Policy)
		if err != nil {
			return inventory{}, &access.Error{Kind: access.Internal, Code: access.CodeInternal, Err: err}
		}
		policy, err := iampolicy.Parse(raw)
		if err != nil {
			return inventory{}, &access.Error{Kind: access.Upstream, Code: access.CodeUpstreamFailed,
				Args: access.Args{"service": call.Service}, Err: err}
		}
		// Projects do not nest, so a project's policy is the project's own, whether
		// Google names it by id or by number.
		if node.Kind() == "projects" {
			found.own = policy
		} else {
			found.above = append(found.above, standing.Node{Resource: node, Policy: policy})
		}
	}
	return found, nil
}
