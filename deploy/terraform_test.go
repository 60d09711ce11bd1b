// Package deploy_test holds what people deploy with against the product: the modules of Terraform
// against the schema of the provider, the events and the permissions that the service knows, and
// deploy/setup.md.
package deploy_test

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// root is where all modules are, and modules what is there. They are embedded, so that make mutants
// can show the tests others.
const root = "terraform"

//go:embed terraform
var modules embed.FS

// sources are the files of all modules, by their paths below root.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(modules, root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".tf") && !strings.HasSuffix(name, ".tftest.hcl") {
			return err
		}
		text, err := modules.ReadFile(name)
		files[strings.TrimPrefix(name, root+"/")] = string(text)
		return err
	})
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

// copyModules puts the modules into a folder.
func copyModules(folder string) error {
	files, err := fs.Sub(modules, root)
	if err != nil {
		return err
	}
	return os.CopyFS(folder, files)
}

// shape is what a block of the provider's has: arguments with their types, blocks, and what only
// the provider fills in. "!" behind a name is required.
type shape struct {
	Arguments map[string]string
	Blocks    map[string]*shape
	Exports   []string
}

// schema is of the provider's beta, by the types of resources; testdata/schema.mjs writes it.
func schema(t *testing.T) map[string]*shape {
	t.Helper()
	text, err := os.ReadFile("testdata/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]*shape
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// has finds an argument or block, and whether it is required.
func has[V any](all map[string]V, name string) (v V, required, ok bool) {
	if v, ok = all[name+"!"]; ok {
		return v, true, true
	}
	v, ok = all[name]
	return v, false, ok
}

// module is what is declared in one folder.
type module struct {
	variables, outputs, locals, resources, calls map[string]*hclsyntax.Block
	bodies                                       []*hclsyntax.Body
}

// parse reads modules by their folders. Its problems are those of the language.
func parse(files map[string]string) (all map[string]*module, problems []string) {
	all = map[string]*module{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file, faults := hclsyntax.ParseConfig([]byte(files[name]), name, hcl.InitialPos)
		for _, f := range faults {
			problems = append(problems, f.Error())
		}
		if faults.HasErrors() || strings.HasSuffix(name, ".tftest.hcl") {
			continue
		}
		m := all[path.Dir(name)]
		if m == nil {
			m = &module{map[string]*hclsyntax.Block{}, map[string]*hclsyntax.Block{}, map[string]*hclsyntax.Block{}, map[string]*hclsyntax.Block{},
				map[string]*hclsyntax.Block{}, nil}
			all[path.Dir(name)] = m
		}
		body := file.Body.(*hclsyntax.Body)
		m.bodies = append(m.bodies, body)
		for _, b := range body.Blocks {
			problems = append(problems, m.declare(b)...)
		}
	}
	return all, problems
}

func (m *module) declare(b *hclsyntax.Block) (problems []string) {
	put := func(into map[string]*hclsyntax.Block, name string) {
		if into[name] != nil {
			problems = append(problems, at(b.Range(), "%s is there twice", name))
		}
		into[name] = b
	}
	switch b.Type {
	case "variable":
		put(m.variables, b.Labels[0])
	case "output":
		put(m.outputs, b.Labels[0])
	case "module":
		put(m.calls, b.Labels[0])
	case "resource":
		put(m.resources, strings.Join(b.Labels, "."))
	case "data":
		put(m.resources, "data."+strings.Join(b.Labels, "."))
	case "locals":
		for name := range b.Body.Attributes {
			put(m.locals, name)
		}
	case "terraform", "provider":
	default:
		problems = append(problems, at(b.Range(), "no block %s", b.Type))
	}
	return problems
}

func at(where hcl.Range, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", where.Filename, where.Start.Line, fmt.Sprintf(format, args...))
}

// problems are everything that is wrong with modules, as far as can be seen without the provider.
func problems(t *testing.T, files map[string]string) []string {
	all, found := parse(files)
	known := schema(t)
	for _, folder := range slices.Sorted(maps.Keys(all)) {
		m := all[folder]
		for _, name := range slices.Sorted(maps.Keys(m.resources)) {
			found = append(found, resource(known, name, m.resources[name])...)
		}
		for _, name := range slices.Sorted(maps.Keys(m.calls)) {
			found = append(found, call(all, folder, m.calls[name])...)
		}
		found = append(found, m.references(all, known, folder)...)
		for kind, declared := range map[string]map[string]*hclsyntax.Block{"variable": m.variables, "output": m.outputs} {
			for name, b := range declared {
				if b.Body.Attributes["description"] == nil || kind == "variable" && b.Body.Attributes["type"] == nil {
					found = append(found, at(b.Range(), "%s %s has no description, or no type", kind, name))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

// forbidden are resources that must not be there, and why.
var forbidden = map[string]string{
	"google_iap_brand": "Google has shut it down", "google_iap_client": "Google has shut it down",
	"google_secret_manager_secret_version": "the secret would be in the state", "google_service_account_key": "whoever has the state would sign as the service",
	"null_resource": "nothing is built or run here",
}

// resource holds one resource against the schema.
func resource(known map[string]*shape, name string, b *hclsyntax.Block) []string {
	kind := name[:strings.LastIndexByte(name, '.')]
	if why := forbidden[kind]; why != "" {
		return []string{at(b.Range(), "%s must not be there: %s", kind, why)}
	}
	if strings.HasSuffix(kind, "_iam_binding") || strings.HasSuffix(kind, "_iam_policy") {
		return []string{at(b.Range(), "%s takes rights away from others: use _iam_member", kind)}
	}
	if known[kind] == nil {
		return []string{at(b.Range(), "no resource %s in testdata/schema.json: see schema.mjs", kind)}
	}
	return fits(known[kind], b.Body, kind, []string{"count", "for_each", "depends_on", "provider"}, []string{"lifecycle"})
}

// fits holds a block, and what is in it, against its shape.
func fits(s *shape, body *hclsyntax.Body, where string, arguments, blocks []string) (problems []string) {
	given := map[string]bool{}
	for name, a := range body.Attributes {
		given[name] = true
		kind, _, ok := has(s.Arguments, name)
		_, _, isBlock := has(s.Blocks, name)
		switch {
		case slices.Contains(arguments, name):
		case isBlock:
			problems = append(problems, at(a.SrcRange, "%s of %s is a block", name, where))
		case !ok:
			problems = append(problems, at(a.SrcRange, "%s has no argument %s", where, name))
		default:
			if literal := literalType(a.Expr); literal != "" && literal != kind {
				problems = append(problems, at(a.SrcRange, "%s of %s is a %s, and not a %s", name, where, literal, kind))
			}
		}
	}
	for _, b := range body.Blocks {
		name, content := b.Type, b.Body
		if slices.Contains(blocks, name) {
			continue
		}
		if name == "dynamic" {
			name, content = b.Labels[0], nil
			for _, inner := range b.Body.Blocks {
				if inner.Type == "content" {
					content = inner.Body
				}
			}
		}
		given[name] = true
		inner, _, ok := has(s.Blocks, name)
		if _, _, isArgument := has(s.Arguments, name); isArgument {
			problems = append(problems, at(b.Range(), "%s of %s is no block", name, where))
		} else if !ok || content == nil {
			problems = append(problems, at(b.Range(), "%s has no block %s", where, name))
		} else {
			problems = append(problems, fits(inner, content, where+"."+name, nil, nil)...)
		}
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(s.Arguments)), slices.Collect(maps.Keys(s.Blocks))) {
		if name, required := strings.CutSuffix(name, "!"); required && !given[name] {
			problems = append(problems, at(body.Range(), "%s lacks %s", where, name))
		}
	}
	return problems
}

// literalType is the type of a literal; empty for what is not one.
func literalType(e hclsyntax.Expression) string {
	switch e := e.(type) {
	case *hclsyntax.TemplateExpr:
		return "string"
	case *hclsyntax.TupleConsExpr:
		return "list"
	case *hclsyntax.ObjectConsExpr:
		return "map"
	case *hclsyntax.LiteralValueExpr:
		switch e.Val.Type() {
		case cty.Bool:
			return "bool"
		case cty.Number:
			return "number"
		}
	}
	return ""
}

// call holds what a module is given against what it takes.
func call(all map[string]*module, folder string, b *hclsyntax.Block) (problems []string) {
	source := b.Body.Attributes["source"]
	if source == nil {
		return []string{at(b.Range(), "module %s has no source", b.Labels[0])}
	}
	value, _ := source.Expr.Value(nil)
	called := all[path.Join(folder, value.AsString())]
	if called == nil {
		return []string{at(source.SrcRange, "there is no module %s", value.AsString())}
	}
	for name, a := range b.Body.Attributes {
		if !slices.Contains([]string{"source", "count", "for_each", "depends_on", "providers"}, name) && called.variables[name] == nil {
			problems = append(problems, at(a.SrcRange, "module %s has no variable %s", value.AsString(), name))
		}
	}
	for name, v := range called.variables {
		if v.Body.Attributes["default"] == nil && b.Body.Attributes[name] == nil {
			problems = append(problems, at(b.Range(), "module %s needs %s", value.AsString(), name))
		}
	}
	return problems
}

// references are names that nothing has, and variables and locals that nobody uses.
func (m *module) references(all map[string]*module, known map[string]*shape, folder string) (problems []string) {
	used := map[string]bool{}
	for _, body := range m.bodies {
		each(body, nil, func(e hclsyntax.Expression, iterators []string) {
			for _, traversal := range traversals(e) {
				names := namesOf(traversal)
				used[strings.Join(names[:min(2, len(names))], ".")] = true
				if problem := m.resolve(all, known, folder, names, iterators); problem != "" {
					problems = append(problems, at(traversal.SourceRange(), "%s: %s", strings.Join(names, "."), problem))
				}
			}
		})
	}
	for name, b := range m.variables {
		if !used["var."+name] {
			problems = append(problems, at(b.Range(), "variable %s is not used", name))
		}
	}
	for name, b := range m.locals {
		if !used["local."+name] {
			problems = append(problems, at(b.Range(), "local %s is not used", name))
		}
	}
	return problems
}

// traversals are the names in an expression, also behind an index that is not a literal.
func traversals(e hclsyntax.Expression) []hcl.Traversal {
	all := e.Variables()
	_ = hclsyntax.VisitAll(e, func(node hclsyntax.Node) hcl.Diagnostics {
		if behind, ok := node.(*hclsyntax.RelativeTraversalExpr); ok {
			if index, ok := behind.Source.(*hclsyntax.IndexExpr); ok {
				if of, ok := index.Collection.(*hclsyntax.ScopeTraversalExpr); ok {
					all = append(all, slices.Concat(of.Traversal, behind.Traversal))
				}
			}
		}
		return nil
	})
	return all
}

func namesOf(traversal hcl.Traversal) (names []string) {
	for _, step := range traversal {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			names = append(names, step.Name)
		case hcl.TraverseAttr:
			names = append(names, step.Name)
		}
	}
	return names
}

// each calls do for every expression in a body, with the names that dynamic blocks give.
func each(body *hclsyntax.Body, iterators []string, do func(e hclsyntax.Expression, iterators []string)) {
	for name, a := range body.Attributes {
		// These name arguments, types or providers, and no values.
		if name != "ignore_changes" && name != "type" && name != "provider" && name != "required_providers" {
			do(a.Expr, iterators)
		}
	}
	for _, b := range body.Blocks {
		switch b.Type {
		case "required_providers":
		case "dynamic":
			each(b.Body, append(slices.Clone(iterators), b.Labels[0]), do)
		default:
			each(b.Body, iterators, do)
		}
	}
}

// resolve says what is wrong with a name.
func (m *module) resolve(all map[string]*module, known map[string]*shape, folder string, names, iterators []string) string {
	if slices.Contains(iterators, names[0]) || names[0] == "each" || names[0] == "path" {
		return ""
	}
	if names[0] == "data" {
		names = append([]string{strings.Join(names[:min(2, len(names))], ".")}, names[min(2, len(names)):]...)
	}
	if len(names) < 2 {
		return "no such name"
	}
	switch names[0] {
	case "var":
		if m.variables[names[1]] == nil {
			return "no such variable"
		}
	case "local":
		if m.locals[names[1]] == nil {
			return "no such local"
		}
	case "module":
		b := m.calls[names[1]]
		if b == nil {
			return "no such module"
		}
		value, _ := b.Body.Attributes["source"].Expr.Value(nil)
		called := all[path.Join(folder, value.AsString())]
		if called != nil && len(names) > 2 && called.outputs[names[2]] == nil {
			return "the module has no such output"
		}
	default:
		if m.resources[names[0]+"."+names[1]] == nil {
			return "no such resource"
		}
		if s := known[names[0]]; s != nil && len(names) > 2 && !slices.Contains(s.Exports, names[2]) {
			return "the resource has no such attribute"
		}
	}
	return ""
}

func TestTerraformIsRight(t *testing.T) {
	for _, p := range problems(t, sources(t)) {
		t.Error(p)
	}
}

// The format is that of terraform fmt, as far as its library has it.
func TestTerraformIsFormatted(t *testing.T) {
	for name, text := range sources(t) {
		if string(hclwrite.Format([]byte(text))) != text {
			t.Errorf("%s is not formatted: terraform fmt", name)
		}
	}
}

// A slip that the check above has to find: what is replaced, by what, and what is said of it.
func TestTerraformSlipsAreFound(t *testing.T) {
	for _, slip := range []struct{ file, old, new, says string }{
		{"cloud-run/main.tf", "iap_enabled ", "iap_enable ", "google_cloud_run_v2_service has no argument iap_enable"},
		{"cloud-run/main.tf", "max_instance_count =", "max_instances =", "google_cloud_run_v2_service.template.scaling has no argument max_instances"},
		{"cloud-run/main.tf", "cloud_sql_instance {", "cloud_sql {", "volumes has no block cloud_sql"},
		{"cloud-run/main.tf", "      ports {\n        container_port = 8080\n      }\n", "      startup_probe = {}\n", "startup_probe of google_cloud_run_v2_service.template.containers is a block"},
		{"cloud-run/main.tf", `iap_enabled         = each.value.iap`, `iap_enabled         = "true"`, "iap_enabled of google_cloud_run_v2_service is a string, and not a bool"},
		{"cloud-run/main.tf", `  provider               = google-beta` + "\n", "  roles = []\n", "has no argument roles"},
		{"cloud-run/main.tf", "  cloud_run_service_name = google_cloud_run_v2_service.service[var.name].name\n", "", "google_iap_web_cloud_run_service_iam_member lacks cloud_run_service_name"},
		{"cloud-run/main.tf", "var.scheduler_account", "var.scheduler", "var.scheduler: no such variable"},
		{"cloud-run/main.tf", "local.sockets", "local.socket", "local.socket: no such local"},
		{"cloud-run/outputs.tf", "google_cloud_run_v2_service.service[var.name].uri", "google_cloud_run_v2_service.service[var.name].address", "the resource has no such attribute"},
		{"cloud-run/outputs.tf", "google_cloud_run_v2_service.service[var.name].uri", "google_cloud_run_v2_service.services[var.name].uri", "no such resource"},
		{"cloud-run/variables.tf", "variable \"region\" {", "variable \"project\" {", "project is there twice"},
		{"load-balancer/main.tf", `"google_iap_web_backend_service_iam_member"`, `"google_iap_web_backend_service_iam_binding"`, "takes rights away from others"},
		{"load-balancer/main.tf", `"google_compute_url_map"`, `"google_iap_brand"`, "Google has shut it down"},
		{"permissions/main.tf", `resource "google_pubsub_topic" `, `resource "google_secret_manager_secret_version" `, "would be in the state"},
		{"permissions/main.tf", `data "google_iam_role"`, `data "google_iam_rule"`, "no resource data.google_iam_rule"},
		{"permissions/main.tf", "  accepted_roles = var.accepted_roles\n", "", "variable accepted_roles is not used"},
		{"permissions/main.tf", "  roles          = var.roles\n", "", "module ./limits needs roles"},
		{"permissions/main.tf", "module.limits.kind ", "module.limits.sort ", "the module has no such output"},
		{"examples/cloud-run/main.tf", "resource_scope ", "resource_scopes ", "module ../../settings has no variable resource_scopes"},
		{"examples/cloud-run/main.tf", `"../../settings"`, `"../../setting"`, "there is no module ../../setting"},
		{"examples/cloud-run/main.tf", "{", "", "Argument or block definition required"},
	} {
		files := sources(t)
		if !strings.Contains(files[slip.file], slip.old) {
			t.Errorf("%s has no %q", slip.file, slip.old)
		}
		files[slip.file] = strings.Replace(files[slip.file], slip.old, slip.new, 1)
		if found := strings.Join(problems(t, files), "\n"); !strings.Contains(found, slip.says) {
			t.Errorf("%s with %q: got\n%s\nwant %s", slip.file, slip.new, found, slip.says)
		}
	}
}
