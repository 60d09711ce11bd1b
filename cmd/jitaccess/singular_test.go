package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"jitaccess/internal/access"
)

// limits are nouns of which a text gives a limit or a size, which is never one.
var limits = []string{"bits", "bytes", "characters", "hours", "levels", "minutes", "recipients", "texts"}

// several are the texts whose number is two or more by what stands around them, or a limit.
var several = []string{
	"%d policies are called",            // more than one
	"it has %d members",                 // more than one, or none
	"the policy has %d members already", // as many as fit
	"%d times of at most",               // 80 percent of what fits
	"%d approvals cannot be had",        // more than somebody may ask
	"it takes %d approvals",             // more than there are people
	"it demands %d approvals",           // likewise
	"its approvals need %d people",      // likewise
	"must have %d to %d entries",        // a limit
	"there are %d templates",            // more than a limit
	"at most %d data and %d claims",     // a limit
	"1 to %d approvers",                 // a limit
}

var counted = regexp.MustCompile(`%d (?:[a-z]+ )??([a-z]+s|people)\b`)

// One of something is said as one: what is counted by a text in English goes through access.Counted. Where a text is in a
// language, its plural does (package words).
func TestOneIsSaidAsOne(t *testing.T) {
	for n, want := range map[int]string{0: "0 people are", 1: "1 person is", 2: "2 people are"} {
		if got := access.Counted(n, "person is", "people are"); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	used := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (slices.Contains([]string{"sandbox", "storybook", "node_modules", ".git"}, d.Name()) || strings.HasSuffix(d.Name(), "test")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, _ := strconv.Unquote(literal.Value)
			for _, found := range counted.FindAllStringSubmatchIndex(text, -1) {
				noun := text[found[2]:found[3]]
				if slices.Contains(limits, noun) || slices.Contains([]string{"is", "has", "was", "this", "does", "address"}, noun) {
					continue
				}
				exempt := slices.IndexFunc(several, func(s string) bool { return strings.Contains(text, s) })
				if exempt < 0 {
					t.Errorf("%s: %q counts %s, of which there may be one: use access.Counted", path, text, noun)
					continue
				}
				used[several[exempt]] = true
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range several {
		if !used[s] {
			t.Errorf("nothing says %q any more; used are %q", s, slices.Sorted(maps.Keys(used)))
		}
	}
}
