package config

// About is what variables.txt says of the variables in a tag.
func About(env string) (accept, doc string) {
	d := descriptions()[env]
	return d.accept, d.doc
}

// Descriptions is how many variables it has.
func Descriptions() int { return len(descriptions()) }

// Pattern is the pattern of that name; empty for none.
func Pattern(name string) string { return patterns()[name] }

// Follows is what variables.txt says of what follows from them.
func Follows(env string) (set, unset string) {
	d := descriptions()[env]
	return d.set, d.unset
}
