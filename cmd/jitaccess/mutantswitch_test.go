package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Compiling costs more than running the tests. So all mutants are compiled at once: the
// function that one changes stands a second time, changed, and the first gives way to it
// when the variable takeOut of the environment has the number of the mutant.
const takeOut = "TAKE_OUT_MUTANT"

// prepare compiles the tests of all packages once, with all mutants that change the body
// of a function, and returns where they are, by package. One that does not build is left
// for being compiled alone.
func prepare(t *testing.T, all []mutant) map[string]string {
	t.Helper()
	alone := map[int]bool{}
	for {
		suites, output, err := compile(t, all, alone)
		if err == nil {
			return suites
		}
		known := len(alone)
		for _, line := range faultyCopy.FindAllSubmatch(output, -1) {
			number, _ := strconv.Atoi(string(line[1]))
			alone[number] = true
		}
		if len(alone) == known {
			t.Fatalf("%v\n%s", err, output)
		}
	}
}

// faultyCopy is where the compiler finds fault with the copy of a function, which has the
// number of its mutant.
var faultyCopy = regexp.MustCompile(`without([0-9]+)\.go:[0-9]+`)

func compile(t *testing.T, all []mutant, alone map[int]bool) (map[string]string, []byte, error) {
	t.Helper()
	files, err := switched(all, alone)
	if err != nil {
		return nil, nil, err
	}
	flags, err := overlay(t, files)
	if err != nil {
		return nil, nil, err
	}
	suites := map[string]string{}
	for _, m := range all {
		for _, name := range m.packages {
			name, _, _ := strings.Cut(name, "=")
			if suites[name] != "" || !m.together {
				continue
			}
			suites[name] = filepath.Join(t.TempDir(), "tests")
			if output, err := build(name, suites[name], flags); err != nil {
				return nil, output, fmt.Errorf("the tests of %s do not build: %w", name, err)
			}
		}
	}
	return suites, nil, nil
}

func build(name, to string, flags []string) ([]byte, error) {
	command := exec.Command("go", append(append([]string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", to}, flags...), "./"+name)...)
	command.Dir = "../.."
	return command.CombinedOutput()
}

func runSuite(suite, name, run string, number int) ([]byte, error) {
	command := exec.Command(suite, "-test.failfast", "-test.timeout", "5m", "-test.run", run)
	command.Dir, command.Env = filepath.Join("../..", name), append(os.Environ(), takeOut+"="+strconv.Itoa(number))
	return command.CombinedOutput()
}

// overlay returns the flags with which go sees other content in these files, some of
// which may not be there.
func overlay(t *testing.T, files map[string][]byte) ([]string, error) {
	dir, replace := t.TempDir(), map[string]string{}
	for name, content := range files {
		path, err := filepath.Abs(filepath.Join("../..", name))
		replace[path] = filepath.Join(dir, strconv.Itoa(len(replace)))
		if err = errors.Join(err, os.WriteFile(replace[path], content, 0o600)); err != nil {
			return nil, err
		}
	}
	mapping, err := json.Marshal(map[string]any{"Replace": replace})
	path := filepath.Join(dir, "overlay.json")
	return []string{"-overlay", path}, errors.Join(err, os.WriteFile(path, mapping, 0o600))
}

// edit puts a text in place of the bytes from begin to end.
type edit struct {
	begin, end int
	text       string
}

func edited(source []byte, edits []edit) []byte {
	slices.SortStableFunc(edits, func(a, b edit) int { return a.begin - b.begin })
	var to bytes.Buffer
	at := 0
	for _, e := range edits {
		to.Write(source[at:e.begin])
		to.WriteString(e.text)
		at = e.end
	}
	to.Write(source[at:])
	return to.Bytes()
}

// switched returns the files of all mutants with every one of them in it, and what these
// need, and marks those. A mutant has the number of its place, from 1 on; those that are to
// stay alone are not in it.
func switched(all []mutant, alone map[int]bool) (map[string][]byte, error) {
	files := map[string][]byte{}
	for i := range all {
		all[i].together = false
	}
	for i := range all {
		file := all[i].file
		if files[file] != nil || !strings.HasSuffix(file, ".go") {
			continue
		}
		source, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			return nil, err
		}
		content, name, err := switchedFile(file, source, all, alone)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		files[file] = content
		files[filepath.Join(filepath.Dir(file), "mutantswitch.go")] = []byte("package " + name + "\n\nimport \"os\"\n\n" +
			"var mutantSwitch = os.Getenv(\"" + takeOut + "\")\n")
	}
	return files, nil
}

func switchedFile(file string, source []byte, all []mutant, alone map[int]bool) ([]byte, string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, "", err
	}
	var (
		at     = func(p token.Pos) int { return int(p - parsed.FileStart) }
		edits  []edit
		copies bytes.Buffer
	)
	for _, d := range parsed.Decls {
		function, is := d.(*ast.FuncDecl)
		if !is || function.Body == nil || function.Recv == nil && (function.Name.Name == "init" || function.Name.Name == "main") {
			continue
		}
		begin, body, end := at(function.Pos()), at(function.Body.Lbrace), at(function.Body.Rbrace)
		names, call := named(function, at)
		for i := range all {
			m := &all[i]
			where := bytes.Index(source, []byte(m.old))
			if m.file != file || alone[i+1] || where <= body || where+len(m.old) > end {
				continue
			}
			m.together = true
			other := fmt.Sprintf("without%d%s", i+1, function.Name.Name)
			if len(edits) == 0 || edits[len(edits)-1].begin != body+1 {
				edits = append(edits, names...)
			}
			then := "return " + fmt.Sprintf(call, other)
			if function.Type.Results.NumFields() == 0 {
				then = fmt.Sprintf(call, other) + "; return"
			}
			edits = append(edits, edit{body + 1, body + 1, fmt.Sprintf(" if mutantSwitch == \"%d\" { %s }; ", i+1, then)})
			changes := append(slices.Clone(names), edit{where, where + len(m.old), m.new},
				edit{at(function.Name.Pos()), at(function.Name.End()), other})
			for j := range changes {
				changes[j].begin -= begin
				changes[j].end -= begin
			}
			fmt.Fprintf(&copies, "\n//line without%d.go:1\n%s\n", i+1, edited(source[begin:end+1], changes))
		}
	}
	return append(edited(source, edits), copies.Bytes()...), parsed.Name.Name, nil
}

// named returns what gives every parameter a name, and how the function calls another
// with its own parameters.
func named(function *ast.FuncDecl, at func(token.Pos) int) (names []edit, call string) {
	count := 0
	list := func(fields *ast.FieldList) (arguments []string) {
		if fields == nil {
			return nil
		}
		for _, field := range fields.List {
			fresh := func(begin, end token.Pos, behind string) {
				count++
				arguments = append(arguments, fmt.Sprintf("parameter%d", count))
				names = append(names, edit{at(begin), at(end), arguments[len(arguments)-1] + behind})
			}
			if len(field.Names) == 0 {
				fresh(field.Type.Pos(), field.Type.Pos(), " ")
			}
			for _, name := range field.Names {
				if name.Name == "_" {
					fresh(name.Pos(), name.End(), "")
				} else {
					arguments = append(arguments, name.Name)
				}
			}
			if _, variadic := field.Type.(*ast.Ellipsis); variadic {
				arguments[len(arguments)-1] += "..."
			}
		}
		return arguments
	}
	if receiver := list(function.Recv); receiver != nil {
		call = receiver[0] + "."
	}
	call += "%s"
	var types []string
	if function.Type.TypeParams != nil {
		for _, field := range function.Type.TypeParams.List {
			for _, name := range field.Names {
				types = append(types, name.Name)
			}
		}
		call += "[" + strings.Join(types, ", ") + "]"
	}
	return names, call + "(" + strings.Join(list(function.Type.Params), ", ") + ")"
}

// TestMutantsAreSwitched shows what two mutants of a file become.
func TestMutantsAreSwitched(t *testing.T) {
	const source = `package p

func (*T[V]) method(_ int, names ...string) {
	guard(names)
	work()
}

func double[V any](v V) (V, error) {
	return check(v)
}

func alone() bool { return guard() }
`
	all := []mutant{
		{file: "p.go", old: "\tguard(names)\n", new: "\n"},
		{file: "p.go", old: "\tguard(names)\n\twork()\n", new: "\twork()\n"},
		{file: "p.go", old: "\treturn check(v)\n", new: "\treturn v, nil\n"},
		{file: "p.go", old: "func alone() bool { return guard() }\n", new: "func alone() bool { return true }\n"},
		{file: "p.go", old: "\tguard(names)\n", new: "\tunknown()\n"},
		{file: "q.go", old: "\twork()\n", new: "\n"},
	}
	const want = `package p

func (parameter1 *T[V]) method(parameter2 int, names ...string) { if mutantSwitch == "1" { parameter1.without1method(parameter2, names...); return }; ` +
		` if mutantSwitch == "2" { parameter1.without2method(parameter2, names...); return }; 
	guard(names)
	work()
}

func double[V any](v V) (V, error) { if mutantSwitch == "3" { return without3double[V](v) }; 
	return check(v)
}

func alone() bool { return guard() }

//line without1.go:1
func (parameter1 *T[V]) without1method(parameter2 int, names ...string) {

	work()
}

//line without2.go:1
func (parameter1 *T[V]) without2method(parameter2 int, names ...string) {
	work()
}

//line without3.go:1
func without3double[V any](v V) (V, error) {
	return v, nil
}
`
	got, name, err := switchedFile("p.go", []byte(source), all, map[int]bool{5: true})
	if err != nil || name != "p" || string(got) != want {
		t.Errorf("%s: %v\n%s", name, err, got)
	}
	for i, m := range all {
		if together := i < 3; m.together != together {
			t.Errorf("that mutant %d is compiled with the others is %v", i+1, m.together)
		}
	}
}
