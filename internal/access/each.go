package access

// Each is all in another form, in the same order; nil for none.
func Each[A, B any](all []A, of func(A) B) (others []B) {
	for _, one := range all {
		others = append(others, of(one))
	}
	return others
}

// Texts are names, of people, groups or roles, as plain texts; nil for none.
func Texts[T ~string](names []T) []string {
	return Each(names, func(name T) string { return string(name) })
}

// RoleNames are the roles of a request, one for each of its entitlements.
func (r Request) RoleNames() []string {
	return Each(r.Entitlements, func(id EntitlementID) string { return string(id.Role) })
}
