package config

import (
	_ "embed"
	"strings"
)

// variables says of each variable, by its tag env, what it may be and what it does: a
// line each, which lines that begin with a space continue.
//
//go:embed variables.txt
var variables string

// description completes "must be ..." and says what a variable does.
type description struct{ accept, doc string }

var descriptions = parseDescriptions(variables)

func parseDescriptions(text string) map[string]description {
	all := map[string]description{}
	for entry := range strings.SplitSeq(strings.ReplaceAll(text, "\n  ", " "), "\n\n") {
		env, about, _ := strings.Cut(entry, "\naccept: ")
		accept, doc, _ := strings.Cut(about, "\ndoc: ")
		all[env] = description{accept, strings.TrimSuffix(doc, "\n")}
	}
	return all
}
