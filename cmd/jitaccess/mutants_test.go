package main_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// mutate has TestMutants take out every safeguard whose name it matches, and run the
// tests that should notice: make mutants. Behind "new:" only those count of which the
// report says nothing.
var mutate = flag.String("mutants", "", "take out the safeguards whose names match, and see which tests notice")

// mutant is a safeguard taken out: in one file, one text replaced by another.
type mutant struct {
	name, file, old, new string
	// packages are whose tests should notice, beginning with the cheapest; one behind
	// which stands =REGEXP runs only those tests.
	packages []string
	// together is whether it is compiled in with others, and chosen when the tests run.
	together bool
}

// noticed is what a run found.
type noticed struct {
	mutant
	// by is the first test that failed; empty if none did.
	by string
}

// mutants reads testdata/mutants.txt. A mutant begins with a line "# name", then a
// line "file: packages…", then the lines of the file that it replaces, each behind "-",
// and those that it puts there, each behind "+".
func mutants(t *testing.T) (all []mutant) {
	t.Helper()
	text, err := os.ReadFile("testdata/mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for i, line := range strings.SplitAfter(string(text), "\n") {
		rest, last := strings.TrimSpace(line), len(all)-1
		switch {
		case rest == "":
		case strings.HasPrefix(line, "# "):
			name := strings.TrimPrefix(rest, "# ")
			if names[name] {
				t.Errorf("line %d: %q is there twice", i+1, name)
			}
			names[name] = true
			all = append(all, mutant{name: name})
		case last < 0:
			t.Fatalf("line %d stands before the first name", i+1)
		case line[0] == '-':
			all[last].old += line[1:]
		case line[0] == '+':
			all[last].new += line[1:]
		default:
			file, packages, ok := strings.Cut(rest, ": ")
			if !ok || all[last].file != "" {
				t.Fatalf("line %d: %q is no line of a mutant", i+1, rest)
			}
			all[last].file, all[last].packages = file, strings.Fields(packages)
		}
	}
	return all
}

// apply returns the file with the safeguard taken out. What it replaces must be there
// exactly once, or nobody could say what was taken out.
func (m mutant) apply() ([]byte, error) {
	source, err := os.ReadFile(filepath.Join("../..", m.file))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(source, []byte(m.old)); n != 1 || m.old == "" || m.old == m.new || len(m.packages) == 0 {
		return nil, fmt.Errorf("what it replaces stands %d times in %s", n, m.file)
	}
	changed := bytes.Replace(source, []byte(m.old), []byte(m.new), 1)
	if strings.HasSuffix(m.file, ".go") {
		_, err = parser.ParseFile(token.NewFileSet(), m.file, changed, parser.SkipObjectResolution)
	}
	return changed, err
}

// TestMutantsApply keeps the list true to the code: each of them still takes out what
// it says.
func TestMutantsApply(t *testing.T) {
	for _, m := range mutants(t) {
		if _, err := m.apply(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// TestMutants takes the safeguards out one by one, two at the same time, and fails for
// each that no test misses, or without which the code does not build. What it found goes
// into the report in docs/testing.md, in place of what that said of the same ones.
func TestMutants(t *testing.T) {
	if *mutate == "" {
		return
	}
	expression, untaken := strings.CutPrefix(*mutate, "new:")
	chosen, err := regexp.Compile(expression)
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(testingDocument)
	if err != nil {
		t.Fatal(err)
	}
	before := reported(string(document))
	all := slices.DeleteFunc(mutants(t), func(m mutant) bool {
		_, is := before[m.name]
		return !chosen.MatchString(m.name) || untaken && is
	})
	suites := prepare(t, all)
	var (
		running = make(chan struct{}, 2)
		group   sync.WaitGroup
		mutex   sync.Mutex
	)
	for i, m := range all {
		group.Go(func() {
			running <- struct{}{}
			defer func() { <-running }()
			by, err := m.noticed(t, suites, i+1, before[m.name])
			switch {
			case err != nil:
				t.Errorf("%s: %v", m.name, err)
				return
			case by == "":
				t.Errorf("%s: no test notices", m.name)
			default:
				t.Logf("%s: %s", m.name, by)
			}
			mutex.Lock()
			defer mutex.Unlock()
			reportMutants(t, noticed{m, by})
		})
	}
	group.Wait()
}

// The report stands in docs/testing.md between these.
const (
	testingDocument = "../../docs/testing.md"
	reportBegins    = "<!-- The report of make mutants begins. -->\n"
	reportEnds      = "<!-- The report of make mutants ends. -->\n"
)

// reportMutants writes what was found into the document. What is no longer in the list
// goes.
func reportMutants(t *testing.T, results ...noticed) {
	t.Helper()
	document, err := os.ReadFile(testingDocument)
	if err != nil {
		t.Error(err)
		return
	}
	before, rest, begins := strings.Cut(string(document), reportBegins)
	old, after, ends := strings.Cut(rest, reportEnds)
	if !begins || !ends {
		t.Errorf("%s has no place for the report", testingDocument)
		return
	}
	report := mutantsReport(mutants(t), old, results)
	if err := os.WriteFile(testingDocument, []byte(before+reportBegins+report+reportEnds+after), 0o644); err != nil {
		t.Error(err)
	}
}

// A row of the report; rows of fuzz targets have four columns.
var reportRow = regexp.MustCompile("(?m)^\\| ([^|]+: .+) \\| (?:\\*\\*no test\\*\\*|`(.+)`) \\|$")

// reported is which test a report says that noticed, by the name of the safeguard; empty
// if none did.
func reported(report string) map[string]string {
	by := map[string]string{}
	for _, row := range reportRow.FindAllStringSubmatch(report, -1) {
		by[row[1]] = row[2]
	}
	return by
}

// mutantsReport is the report of all mutants of which something is known: by the report
// that there was, and by what was found now.
func mutantsReport(all []mutant, old string, results []noticed) string {
	found := reported(old)
	for _, r := range results {
		found[r.name] = r.by
	}
	var rows strings.Builder
	known, unnoticed := 0, 0
	slices.SortFunc(all, func(a, b mutant) int { return strings.Compare(a.name, b.name) })
	for _, m := range all {
		by, is := found[m.name]
		if !is {
			continue
		}
		known++
		if by == "" {
			unnoticed++
			fmt.Fprintf(&rows, "| %s | **no test** |\n", m.name)
		} else {
			fmt.Fprintf(&rows, "| %s | `%s` |\n", m.name, by)
		}
	}
	return fmt.Sprintf("\nOf %d safeguards %d were taken out; of %d no test noticed.\n\n"+
		"| without this safeguard | fails |\n|---|---|\n%s\n", len(all), known, unnoticed, rows.String())
}

func TestMutantsReport(t *testing.T) {
	all := []mutant{{name: "b: last"}, {name: "c: nobody has looked"}, {name: "a: first"}, {name: "d: as before"}}
	old := "\n| d: as before | `TestD` |\n| e: gone | `TestE` |\n| a: first | **no test** |\n"
	results := []noticed{{mutant{name: "b: last"}, ""}, {mutant{name: "a: first"}, "TestA/b"}}
	got := mutantsReport(all, old, results)
	const want = "\nOf 4 safeguards 3 were taken out; of 1 no test noticed.\n\n" +
		"| without this safeguard | fails |\n|---|---|\n| a: first | `TestA/b` |\n| b: last | **no test** |\n| d: as before | `TestD` |\n\n"
	if got != want {
		t.Errorf("%s", got)
	}
	// There is a place for it, and there are enough.
	document, err := os.ReadFile(testingDocument)
	if err != nil || strings.Count(string(document), reportBegins) != 1 || strings.Count(string(document), reportEnds) != 1 {
		t.Errorf("%s has no place for the report: %v", testingDocument, err)
	}
	if n := len(mutants(t)); n < 100 {
		t.Errorf("%d safeguards, want 100", n)
	}
}

var failedTest = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)

// noticed is the first test that fails without the safeguard; empty if none does. The one
// that failed before is asked first.
func (m mutant) noticed(t *testing.T, suites map[string]string, number int, before string) (string, error) {
	var flags []string
	if !m.together {
		var err error
		changed, err := m.apply()
		if err != nil {
			return "", err
		}
		if flags, err = overlay(t, map[string][]byte{m.file: changed}); err != nil {
			return "", err
		}
	}
	runs := m.packages
	if test, _, _ := strings.Cut(before, "/"); regexp.MustCompile(`^\w+$`).MatchString(test) {
		for i := range m.packages {
			name, _, _ := strings.Cut(m.packages[i], "=")
			runs = slices.Insert(slices.Clone(runs), i, name+"=^"+test+"$")
		}
	}
	for _, name := range runs {
		// One that fails is enough; a test that hangs without the safeguard has noticed.
		name, run, _ := strings.Cut(name, "=")
		suite := suites[name]
		if !m.together {
			suite = filepath.Join(t.TempDir(), "tests")
			if output, err := build(name, suite, flags); err != nil {
				return "", fmt.Errorf("does not build: %w\n%s", err, output)
			}
		}
		output, err := runSuite(suite, name, run, number)
		var failed *exec.ExitError
		switch {
		case err == nil:
		case !errors.As(err, &failed):
			return "", err
		default:
			found := failedTest.FindSubmatch(output)
			if found == nil {
				return "the tests of " + name + " do not end well", nil
			}
			// What fails without a reason has noticed nothing.
			test, _, _ := strings.Cut(string(found[1]), "/")
			if output, err := runSuite(suite, name, "^"+test+"$", 0); m.together && err != nil {
				return "", fmt.Errorf("%s fails before anything is taken out: %w\n%s", test, err, output)
			}
			return string(found[1]), nil
		}
	}
	return "", nil
}
