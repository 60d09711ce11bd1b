package access

// Named is what the policies of all resources of a provider say of a person by name, from one
// search over them. It may be minutes old, and lacks what a group, or what lies above a
// resource, gives them: it helps to find things, and nothing is decided by it.
type Named struct {
	// Activations are their grants, ended ones too.
	Activations []Activation
	// Eligible is what they may request, sorted.
	Eligible []EntitlementID
	// Part: there is more than the search has returned.
	Part bool
}
