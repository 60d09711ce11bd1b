package access

// Explanation says which rule of a policy file decides, and why the ones before it do not.
// The zero value is that there is no file.
type Explanation struct {
	// Rule is the name of the rule; empty where none is about it. Policy is the digest of
	// the file.
	Rule, Policy string
	// Passed are rules before it that are not about it, in the order of the file, and
	// Further is how many more there are.
	Passed  []PassedRule
	Further int
}

// PassedRule is a rule that is not about something, and the part of it that says so, as a
// policy file names it: role, resource, requester, changes_permissions, hours or dates.
type PassedRule struct{ Rule, Part string }
