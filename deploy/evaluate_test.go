package deploy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions are those of Terraform's that modules without providers, and validations, call.
var functions = map[string]function.Function{
	"alltrue": of(cty.Bool, func(args []cty.Value) (cty.Value, error) {
		for _, each := range args[0].AsValueSlice() {
			if each.False() {
				return cty.False, nil
			}
		}
		return cty.True, nil
	}, cty.List(cty.Bool)),
	"can": tryfunc.CanFunc, "chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
	"floor": stdlib.FloorFunc, "format": stdlib.FormatFunc, "join": stdlib.JoinFunc, "keys": stdlib.KeysFunc,
	"length": of(cty.Number, func(args []cty.Value) (cty.Value, error) {
		if args[0].Type() == cty.String {
			return stdlib.Strlen(args[0])
		}
		return args[0].Length(), nil
	}, cty.DynamicPseudoType),
	"lookup": stdlib.LookupFunc, "lower": stdlib.LowerFunc, "merge": stdlib.MergeFunc, "regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc,
	"setintersection": stdlib.SetIntersectionFunc, "setsubtract": stdlib.SetSubtractFunc,
	"sort":  of(cty.List(cty.String), func(args []cty.Value) (cty.Value, error) { return stdlib.Sort(args[0]) }, cty.List(cty.String)),
	"split": stdlib.SplitFunc,
	"startswith": of(cty.Bool, func(args []cty.Value) (cty.Value, error) {
		return cty.BoolVal(strings.HasPrefix(args[0].AsString(), args[1].AsString())), nil
	}, cty.String, cty.String),
	"tostring": stdlib.MakeToFunc(cty.String), "toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
	"trimspace": stdlib.TrimSpaceFunc, "try": tryfunc.TryFunc, "trimsuffix": stdlib.TrimSuffixFunc, "urlencode": of(cty.String, func(args []cty.Value) (cty.Value, error) {
		return cty.StringVal(strings.ReplaceAll(args[0].AsString(), "@", "%40")), nil // the addresses of accounts have nothing else
	}, cty.String), "values": stdlib.ValuesFunc,
}

func of(result cty.Type, call func([]cty.Value) (cty.Value, error), takes ...cty.Type) function.Function {
	spec := &function.Spec{Type: function.StaticReturnType(result), Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return call(args) }}
	for _, t := range takes {
		spec.Params = append(spec.Params, function.Parameter{Name: "value", Type: t})
	}
	return function.New(spec)
}

// texts is a set of texts, as a value of Terraform's.
func texts(all ...string) cty.Value {
	if len(all) == 0 {
		return cty.SetValEmpty(cty.String)
	}
	var values []cty.Value
	for _, each := range all {
		values = append(values, cty.StringVal(each))
	}
	return cty.SetVal(values)
}

// The modules as they are, parsed once.
var (
	parsed        sync.Once
	parsedModules map[string]*module
	parsedFaults  []string
)

// evaluate is what a module makes of variables: its outputs, and what it refuses, as
// "variable: message". Names of extra are values that it has from elsewhere. What is not refused and
// cannot be known without a provider is no output.
func evaluate(t *testing.T, folder string, given, extra map[string]cty.Value) (outputs map[string]cty.Value, refused []string) {
	t.Helper()
	parsed.Do(func() { parsedModules, parsedFaults = parse(sources(t)) })
	m := parsedModules[folder]
	if parsedFaults != nil || m == nil {
		t.Fatalf("%s: %v", folder, parsedFaults)
	}
	for name := range given {
		if m.variables[name] == nil {
			t.Fatalf("%s has no variable %s", folder, name)
		}
	}
	context := &hcl.EvalContext{Functions: functions, Variables: maps.Clone(extra)}
	if context.Variables == nil {
		context.Variables = map[string]cty.Value{}
	}
	variables, locals := map[string]cty.Value{}, map[string]cty.Value{}
	for name, b := range m.variables {
		kind, problems := typeexpr.TypeConstraint(b.Body.Attributes["type"].Expr)
		value, ok := given[name]
		if problems.HasErrors() || !ok && b.Body.Attributes["default"] == nil {
			t.Fatalf("%s needs %s: %v", folder, name, problems)
		}
		if !ok {
			value, _ = b.Body.Attributes["default"].Expr.Value(nil)
		}
		var err error
		if variables[name], err = convert.Convert(value, kind); err != nil {
			refused = append(refused, name+": "+err.Error())
			variables[name] = cty.NullVal(kind)
		}
	}
	context.Variables["var"] = cty.ObjectVal(variables)
	// A local may use others: as many rounds as there are find all that can be known.
	for range m.locals {
		context.Variables["local"] = cty.ObjectVal(locals)
		for _, body := range m.bodies {
			for _, b := range body.Blocks {
				for name, a := range b.Body.Attributes {
					if value, problems := a.Expr.Value(context); b.Type == "locals" && !problems.HasErrors() {
						locals[name] = value
					}
				}
			}
		}
	}
	context.Variables["local"] = cty.ObjectVal(locals)
	check := func(name string, b *hclsyntax.Block, kind string) {
		for _, inner := range b.Body.Blocks {
			if inner.Type != kind {
				continue
			}
			passed, problems := inner.Body.Attributes["condition"].Expr.Value(context)
			if problems.HasErrors() {
				t.Fatalf("%s, %s: %v", folder, name, problems)
			}
			if passed.False() {
				message, _ := inner.Body.Attributes["error_message"].Expr.Value(context)
				refused = append(refused, fmt.Sprintf("%s: %s", name, message.AsString()))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.variables)) {
		check(name, m.variables[name], "validation")
	}
	if refused != nil {
		return nil, refused
	}
	outputs = map[string]cty.Value{}
	for _, name := range slices.Sorted(maps.Keys(m.outputs)) {
		check(name, m.outputs[name], "precondition")
		if value, problems := m.outputs[name].Body.Attributes["value"].Expr.Value(context); !problems.HasErrors() {
			outputs[name] = value
		}
	}
	return outputs, refused
}
