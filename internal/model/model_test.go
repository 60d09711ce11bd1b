package model_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"jitaccess/internal/access"
)

var update = flag.Bool("update", false, "write transitions.pml from access.Transitions")

// names are the identifiers of constants in package access, by type and value.
func names(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	files, err := filepath.Glob("../access/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err, "there is nothing in package access")
	}
	inspect := func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		kind, typed := spec.Type.(*ast.Ident)
		value, literal := spec.Values[0].(*ast.BasicLit)
		if typed && literal && value.Kind == token.STRING {
			text, _ := strconv.Unquote(value.Value)
			found[kind.Name+" "+text] = spec.Names[0].Name
		}
		return true
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, inspect)
	}
	return found
}

// promela is the table of transitions as the model includes it.
func promela(t *testing.T) string {
	var b strings.Builder
	b.WriteString("/* Made from access.Transitions by go test ./internal/model -run TestTransitions -update. */\n\n")
	name, number := names(t), map[string]int{}
	define := func(kind, value string) string {
		identifier := name[kind+" "+value]
		if identifier == "" {
			t.Fatalf("package access has no constant of type %s for %q", kind, value)
		}
		if _, known := number[identifier]; !known {
			number[identifier] = len(number)
			fmt.Fprintf(&b, "#define %-17s %d\n", identifier, number[identifier])
		}
		return identifier
	}
	var rows strings.Builder
	for _, row := range access.Transitions {
		fmt.Fprintf(&rows, "\t:: from == %s && action == %s", define("State", string(row.From)), define("Action", string(row.On)))
		if guard := define("Guard", string(row.If)); row.If != access.Always {
			fmt.Fprintf(&rows, " && guard == %s", guard)
		}
		fmt.Fprintf(&rows, " -> next = %s\n", define("State", string(row.To)))
	}
	fmt.Fprintf(&b, "#define %-17s %d\n", "Refused", len(number))
	return b.String() + "\n/* follow sets next to the state that follows, or to Refused where there is none. */\n" +
		"inline follow(from, action, guard, next) {\n\tif\n" + rows.String() + "\t:: else -> next = Refused\n\tfi\n}\n"
}

func TestTransitionsOfTheModelAreThoseOfTheService(t *testing.T) {
	want := promela(t)
	if *update {
		if err := os.WriteFile("transitions.pml", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("transitions.pml"); err != nil || string(got) != want {
		t.Errorf("transitions.pml is not access.Transitions: go test ./internal/model -run TestTransitions -update (%v)", err)
	}
}

// safeguard is a switch of the model, and the mutant of the code that takes out the same.
type safeguard struct{ name, mutant string }

func safeguards(t *testing.T) (all []safeguard) {
	t.Helper()
	text, err := os.ReadFile("safeguards.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, mutant, _ := strings.Cut(strings.TrimSpace(line), " ")
		all = append(all, safeguard{name, strings.TrimSpace(mutant)})
	}
	return all
}

// TestEverySafeguardOfTheModelIsOneOfTheCode: what can be taken out of the model can be
// taken out of the code, where a test notices (make mutants).
func TestEverySafeguardOfTheModelIsOneOfTheCode(t *testing.T) {
	mutants, err := os.ReadFile("../../cmd/jitaccess/testdata/mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile("request.pml")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{"TROUBLE": true}
	for _, s := range safeguards(t) {
		listed[s.name] = true
		if !strings.Contains(string(mutants), "# "+s.mutant+"\n") {
			t.Errorf("%s: mutants.txt has no %q", s.name, s.mutant)
		}
	}
	for _, found := range regexp.MustCompile(`(?m)^#ifndef (\w+)`).FindAllStringSubmatch(string(model), -1) {
		if !listed[found[1]] {
			t.Errorf("safeguards.txt does not say what %s is", found[1])
		}
	}
}

// check builds a checker of the model and runs it. It returns the fault that it finds, and
// how many states it has looked at.
func check(t *testing.T, liveness bool, defines ...string) (fault, states string) {
	t.Helper()
	model, err := filepath.Abs("request.pml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		command := exec.Command(name, args...)
		command.Dir = dir
		output, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%s (Debian packages spin and gcc): %v\n%s", name, err, output)
		}
		return string(output)
	}
	run("spin", append(append([]string{"-a", "-o3"}, defines...), model)...)
	compile, search := []string{"-DCOLLAPSE", "-o", "checker", "pan.c"}, []string{"-m1000000", "-E"}
	if liveness {
		compile, search = append(compile, "-DNFAIR=3"), append(search, "-a", "-f")
	} else {
		compile = append(compile, "-DNOCLAIM", "-DSAFETY")
	}
	run("gcc", compile...)
	output := run("./checker", search...)
	found := regexp.MustCompile(`errors: (\d+)\n\s*(\d+) states`).FindStringSubmatch(output)
	if found == nil || found[1] == "0" && (strings.Contains(output, "Search not completed") || strings.Contains(output, "max search depth too small")) {
		t.Fatalf("it did not look everywhere:\n%s", output)
	}
	if found[1] != "0" {
		fault = regexp.MustCompile(`pan:1: (.+) \(at depth`).FindStringSubmatch(output)[1]
	}
	return fault, found[2]
}

// everyRequestEnds is the property that is about what happens at last. It is checked with
// one trouble, the others with two.
const everyRequestEnds = "acceptance cycle"

func TestWithAllSafeguardsNoFaultIsFound(t *testing.T) {
	for _, liveness := range []bool{false, true} {
		defines := []string{"-DTROUBLE=2"}
		if liveness {
			defines = []string{"-DTROUBLE=1"}
		}
		fault, states := check(t, liveness, defines...)
		if fault != "" {
			t.Errorf("found: %s", fault)
		}
		t.Logf("%s states (what happens at last: %v)", states, liveness)
	}
}

func TestWithoutOneSafeguardTheFaultIsFound(t *testing.T) {
	for _, s := range safeguards(t) {
		t.Run(s.name, func(t *testing.T) {
			liveness := s.name == "LATE"
			fault, states := check(t, liveness, "-D"+s.name+"=0")
			if fault == "" || liveness != (fault == everyRequestEnds) {
				t.Errorf("found %q in %s states", fault, states)
			}
			t.Logf("%s, among %s states", fault, states)
		})
	}
}
