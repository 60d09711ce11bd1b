package assetinventory

// FillPolicies counts as many bytes of policies as there may be, and one more.
func (k *Catalog) FillPolicies() { k.policies.held.Add(maxPolicies + 1) }
