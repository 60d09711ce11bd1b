package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestRegularExpressionsCompile: a regular expression of a package is compiled when it is first used
// (internal/lazyregexp), which may be in production. So each is compiled here, and no package has
// one that is compiled before the start. The sandbox imports nothing of the product.
func TestRegularExpressionsCompile(t *testing.T) {
	files := productFiles(t)
	constants := map[string]ast.Expr{} // by DIRECTORY.NAME
	for _, f := range files {
		for _, spec := range valuesOf(f.tree, token.CONST) {
			for i, name := range spec.Names {
				if i < len(spec.Values) {
					constants[f.dir+"."+name.Name] = spec.Values[i]
				}
			}
		}
	}
	compiled := 0
	for _, f := range files {
		text := func(e ast.Expr) (string, bool) { return textOf(e, f.dir, constants) }
		for _, spec := range valuesOf(f.tree, token.VAR) {
			for _, value := range spec.Values {
				ast.Inspect(value, func(n ast.Node) bool {
					_, later := n.(*ast.FuncLit)
					if call, ok := n.(*ast.CallExpr); ok && called(call) == "regexp.MustCompile" && !strings.HasPrefix(f.dir, "internal/sandbox") {
						t.Errorf("%s compiles an expression before the start: use lazyregexp.New", f.name)
					}
					return !later
				})
			}
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			// Those of redact are in tables, and its tests meet each.
			if !ok || called(call) != "lazyregexp.New" || f.dir == "internal/redact" && !isText(call.Args[0]) {
				return true
			}
			expression, ok := text(call.Args[0])
			if _, err := regexp.Compile(expression); err != nil || !ok {
				t.Errorf("%s: %q, %v", f.name, expression, err)
			}
			compiled++
			return true
		})
	}
	if compiled < 80 {
		t.Errorf("only %d expressions were found", compiled)
	}
}

// productFile is a file of Go that is no test, and supports none.
type productFile struct {
	dir, name string
	tree      *ast.File
}

func productFiles(t *testing.T) (all []productFile) {
	t.Helper()
	root := "../.."
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (slices.Contains([]string{"testdata", "node_modules", "release"}, entry.Name()) || file != root && strings.HasPrefix(entry.Name(), ".")):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") || strings.HasSuffix(filepath.Dir(file), "test"):
			return nil
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		name, _ := filepath.Rel(root, file)
		all = append(all, productFile{path.Dir(filepath.ToSlash(name)), name, tree})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// valuesOf are the variables, or the constants, of a file.
func valuesOf(f *ast.File, kind token.Token) (all []*ast.ValueSpec) {
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == kind {
			for _, spec := range g.Specs {
				all = append(all, spec.(*ast.ValueSpec))
			}
		}
	}
	return all
}

// called is what a call calls, as package.Function; empty for anything else.
func called(call *ast.CallExpr) string {
	if at, ok := call.Fun.(*ast.SelectorExpr); ok {
		if of, ok := at.X.(*ast.Ident); ok {
			return of.Name + "." + at.Sel.Name
		}
	}
	return ""
}

func isText(e ast.Expr) bool {
	_, ok := e.(*ast.BasicLit)
	return ok
}

// textOf is the text that an expression of constants is. A package is the one below internal/ of
// that name.
func textOf(e ast.Expr, dir string, constants map[string]ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.Ident:
		of, ok := constants[dir+"."+e.Name]
		if !ok {
			return "", false
		}
		return textOf(of, dir, constants)
	case *ast.SelectorExpr:
		of, ok := e.X.(*ast.Ident)
		if !ok {
			return "", false
		}
		return textOf(e.Sel, "internal/"+of.Name, constants)
	case *ast.BinaryExpr:
		x, ok := textOf(e.X, dir, constants)
		y, also := textOf(e.Y, dir, constants)
		return x + y, ok && also && e.Op == token.ADD
	case *ast.ParenExpr:
		return textOf(e.X, dir, constants)
	}
	return "", false
}
