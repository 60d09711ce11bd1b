package assetinventory

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
	"jitaccess/internal/gcp"
	"jitaccess/internal/gcp/iampolicy"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/gcp/standing"
)

// maxFound is how many resources one search returns at most, which is Google's limit of a page.
const maxFound = 500

// Named searches the policies of all projects, folders and organizations in the scope for a person's address, in one
// call; what was found in the last 30 seconds is not searched for again. Errors are
// *access.Error. https://cloud.google.com/asset-inventory/docs/searching-iam-policies
func (k *Catalog) Named(ctx context.Context, p access.Principal) (access.Named, error) {
	found, _, err := standing.Recall(ctx, k.searches, string(p), access.StandingQuery{}, service, k.c.Now)
	return found, err
}

// results are of a search
// (https://cloud.google.com/asset-inventory/docs/reference/rest/v1/TopLevel/searchAllIamPolicies).
type results struct {
	Results []struct {
		Resource string  `json:"resource"`
		Policy   *policy `json:"policy"`
	} `json:"results"`
	NextPageToken string `json:"nextPageToken"`
}

// searched are the types of what is searched
// (https://cloud.google.com/asset-inventory/docs/asset-types).
var searched = []string{"cloudresourcemanager.googleapis.com/Project", "cloudresourcemanager.googleapis.com/Folder",
	"cloudresourcemanager.googleapis.com/Organization"}

func (k *Catalog) search(ctx context.Context, person string) (access.Named, error) {
	answer, err := gcp.Ask[results](ctx, k.assets, "/v1/"+string(k.c.Scope)+":searchAllIamPolicies", url.Values{
		"assetTypes": searched, "query": {`policy:"` + person + `"`},
		"pageSize": {strconv.Itoa(maxFound)}}, nil)
	if err != nil {
		return access.Named{}, gcp.Failure(err, gcp.Call{Service: service, Permission: "cloudasset.assets.searchAllIamPolicies",
			Resource: string(k.c.Scope), Account: k.c.Platform.ServiceAccount})
	}
	found := access.Named{Part: answer.NextPageToken != ""}
	for _, r := range answer.Results {
		if r.Policy == nil {
			continue
		}
		node, err := resourcename.Parse(strings.TrimPrefix(r.Resource, access.FullNamePrefix))
		if err != nil {
			continue
		}
		p := iampolicy.New(r.Policy.Bindings)
		activations, _ := p.Activations(node) // what cannot be read is said where the resource is shown
		for _, a := range activations {
			if string(a.Principal) == person {
				found.Activations = append(found.Activations, a)
			}
		}
		rows, _ := p.Eligible(node, node, true)
		for _, row := range rows {
			if row.Kind != eligibility.None && row.Kind != eligibility.Reviewer && slices.Contains(row.Members, "user:"+person) {
				found.Eligible = append(found.Eligible, row.ID)
			}
		}
	}
	slices.SortFunc(found.Eligible, access.CompareEntitlementIDs)
	found.Eligible = slices.Compact(found.Eligible)
	return found, nil
}

// namedBytes is about what is kept of a search, in bytes.
func namedBytes(n access.Named) (size int) {
	const each = 200 // beside their texts
	for _, id := range n.Eligible {
		size += each + len(id.String())
	}
	for _, a := range n.Activations {
		size += each + len(a.Entitlement.String()) + len(a.Justification)
	}
	return cmp.Or(size, each)
}
