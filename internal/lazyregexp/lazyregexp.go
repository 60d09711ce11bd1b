// Package lazyregexp has regular expressions that are compiled when they are first used: all of
// them take longer than the rest of a start, and most commands use none.
package lazyregexp

import (
	"regexp"
	"sync"
)

// New is a regular expression for a variable of a package. One that does not compile panics at
// its first use; a test of cmd/jitaccess compiles each.
func New(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
