package main_test

import (
	"bytes"
	"encoding/json"
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
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// mutate has TestMutants take out every safeguard whose name it matches, and run the
// tests that should notice: make mutants.
var mutate = flag.String("mutants", "", "take out the safeguards whose names match, and see which tests notice")

// mutant is a safeguard taken out: in one file, one text replaced by another.
type mutant struct {
	name, file, old, new string
	// packages are whose tests should notice, beginning with the cheapest; one behind
	// which stands =REGEXP runs only those tests.
	packages []string
}

// noticed is what a run found.
type noticed struct {
	mutant
	// by is the first test that failed; empty if none did.
	by   string
	took time.Duration
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
	chosen, err := regexp.Compile(*mutate)
	if err != nil {
		t.Fatal(err)
	}
	var (
		running = make(chan struct{}, 2)
		group   sync.WaitGroup
		mutex   sync.Mutex
		results []noticed
	)
	for _, m := range mutants(t) {
		if !chosen.MatchString(m.name) {
			continue
		}
		group.Go(func() {
			running <- struct{}{}
			defer func() { <-running }()
			began := time.Now()
			by, err := m.noticed(t.TempDir())
			took := time.Since(began)
			switch {
			case err != nil:
				t.Errorf("%s: %v", m.name, err)
			case by == "":
				t.Errorf("%s: no test notices (%.0f s)", m.name, took.Seconds())
			default:
				t.Logf("%s: %s (%.0f s)", m.name, by, took.Seconds())
			}
			if err != nil {
				return
			}
			mutex.Lock()
			defer mutex.Unlock()
			results = append(results, noticed{m, by, took})
		})
	}
	group.Wait()
	reportMutants(t, results)
}

// The report stands in docs/testing.md between these.
const (
	testingDocument = "../../docs/testing.md"
	reportBegins    = "<!-- The report of make mutants begins. -->\n"
	reportEnds      = "<!-- The report of make mutants ends. -->\n"
)

// reportMutants writes what was found into the document. What is no longer in the list
// goes.
func reportMutants(t *testing.T, results []noticed) {
	t.Helper()
	document, err := os.ReadFile(testingDocument)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(document), reportBegins)
	old, after, ends := strings.Cut(rest, reportEnds)
	if !begins || !ends {
		t.Fatalf("%s has no place for the report", testingDocument)
	}
	report := mutantsReport(mutants(t), old, results)
	if err := os.WriteFile(testingDocument, []byte(before+reportBegins+report+reportEnds+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

var reportRow = regexp.MustCompile("(?m)^\\| (.+) \\| (?:\\*\\*no test\\*\\*|`(.+)`) \\| ([0-9]+) \\|$")

// mutantsReport is the report of all mutants of which something is known: by the report
// that there was, and by what was found now.
func mutantsReport(all []mutant, old string, results []noticed) string {
	found := map[string]noticed{}
	for _, row := range reportRow.FindAllStringSubmatch(old, -1) {
		seconds, _ := strconv.Atoi(row[3])
		found[row[1]] = noticed{mutant{name: row[1]}, row[2], time.Duration(seconds) * time.Second}
	}
	for _, r := range results {
		found[r.name] = r
	}
	var rows strings.Builder
	known, unnoticed, took := 0, 0, time.Duration(0)
	slices.SortFunc(all, func(a, b mutant) int { return strings.Compare(a.name, b.name) })
	for _, m := range all {
		r, is := found[m.name]
		if !is {
			continue
		}
		by := "`" + r.by + "`"
		if r.by == "" {
			by = "**no test**"
			unnoticed++
		}
		known++
		took += r.took
		fmt.Fprintf(&rows, "| %s | %s | %.0f |\n", m.name, by, r.took.Seconds())
	}
	return fmt.Sprintf("\nOf %d safeguards %d were taken out, in %.0f minutes, two at a time; of %d no test noticed.\n\n"+
		"| without this safeguard | fails | seconds |\n|---|---|---:|\n%s\n", len(all), known, took.Minutes()/2, unnoticed, rows.String())
}

func TestMutantsReport(t *testing.T) {
	all := []mutant{{name: "b: last"}, {name: "c: nobody has looked"}, {name: "a: first"}, {name: "d: as before"}}
	old := "\n| d: as before | `TestD` | 7 |\n| e: gone | `TestE` | 9 |\n| a: first | **no test** | 9 |\n"
	results := []noticed{{mutant{name: "b: last"}, "", 110 * time.Second}, {mutant{name: "a: first"}, "TestA/b", 3400 * time.Millisecond}}
	got := mutantsReport(all, old, results)
	const want = "\nOf 4 safeguards 3 were taken out, in 1 minutes, two at a time; of 1 no test noticed.\n\n" +
		"| without this safeguard | fails | seconds |\n|---|---|---:|\n| a: first | `TestA/b` | 3 |\n| b: last | **no test** | 110 |\n| d: as before | `TestD` | 7 |\n\n"
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

// noticed is the first test that fails without the safeguard; empty if none does.
func (m mutant) noticed(dir string) (string, error) {
	changed, err := m.apply()
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(filepath.Join("../..", m.file))
	if err != nil {
		return "", err
	}
	replacement, overlay := filepath.Join(dir, "changed"), filepath.Join(dir, "overlay.json")
	mapping, err := json.Marshal(map[string]map[string]string{"Replace": {path: replacement}})
	if err = errors.Join(err, os.WriteFile(replacement, changed, 0o600), os.WriteFile(overlay, mapping, 0o600)); err != nil {
		return "", err
	}
	for _, name := range m.packages {
		// One that fails is enough; a test that hangs without the safeguard has noticed.
		name, run, _ := strings.Cut(name, "=")
		command := exec.Command("go", "test", "-overlay", overlay, "-vet=off", "-failfast", "-timeout", "5m", "-run", run, "./"+name)
		command.Dir = "../.."
		output, err := command.CombinedOutput()
		var failed *exec.ExitError
		switch {
		case err == nil:
		case !errors.As(err, &failed):
			return "", err
		case bytes.Contains(output, []byte("[build failed]")) || bytes.Contains(output, []byte("[setup failed]")):
			return "", fmt.Errorf("does not build:\n%s", output)
		default:
			if found := failedTest.FindSubmatch(output); found != nil {
				return string(found[1]), nil
			}
			return "the tests of " + name + " do not end well", nil
		}
	}
	return "", nil
}
