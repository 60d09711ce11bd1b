package assetinventory

import (
	"context"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/standing"
)

// Everybody answers what everybody who is named in an eligible binding of a
// resource holds; see standing.Everybody.
func (k *Catalog) Everybody(ctx context.Context, resource access.Resource) (access.Standing, error) {
	return standing.Everybody(ctx, &k.Catalog, resource)
}
