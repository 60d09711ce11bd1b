package access

import "strconv"

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

// Counted is so many of something, in English: "1 difference", "0 differences". What is counted may go on after its noun,
// as in "policy was read" and "policies were read".
func Counted(n int, one, other string) string {
	if n != 1 {
		one = other
	}
	return strconv.Itoa(n) + " " + one
}

// RoleNames are the roles of a request, one for each of its entitlements.
func (r Request) RoleNames() []string {
	return Each(r.Entitlements, func(id EntitlementID) string { return string(id.Role) })
}
