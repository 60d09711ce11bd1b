package google

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/parser"
)

// Limits of a condition. The operators are documented in the quotas of IAM, the
// lengths in its REST reference of Expr.
const (
	maxTitle       = 100
	maxDescription = 256
	maxOperators   = 12
)

var stringSlice = reflect.TypeFor[[]string]()

// conditions compiles and evaluates IAM conditions: CEL with the attributes of
// https://cloud.google.com/iam/docs/conditions-attribute-reference.
type conditions struct {
	env      *cel.Env
	programs sync.Map // expression → cel.Program
}

// subject is what a condition is asked about.
type subject struct {
	time       time.Time
	name       string
	kind       string
	service    string
	attributes map[string]any
}

func newConditions() (*conditions, error) {
	boolean := func(ok bool) ref.Val { return types.Bool(ok) }
	env, err := cel.NewEnv(
		cel.Variable("request.time", cel.TimestampType),
		cel.Variable("request.host", cel.StringType),
		cel.Variable("request.path", cel.StringType),
		cel.Variable("request.auth.access_levels", cel.ListType(cel.StringType)),
		cel.Variable("resource.name", cel.StringType),
		cel.Variable("resource.type", cel.StringType),
		cel.Variable("resource.service", cel.StringType),
		cel.Variable("destination.ip", cel.StringType),
		cel.Variable("destination.port", cel.IntType),
		cel.Variable("@attributes", cel.MapType(cel.StringType, cel.DynType)),
		cel.Macros(cel.ReceiverMacro("getAttribute", 2, expandAttribute)),
		cel.Function("@attribute", cel.Overload("attribute",
			[]*cel.Type{cel.MapType(cel.StringType, cel.DynType), cel.StringType, cel.DynType}, cel.DynType,
			cel.FunctionBinding(attribute))),
		cel.Function("hasOnly", cel.MemberOverload("list_has_only",
			[]*cel.Type{cel.ListType(cel.StringType), cel.ListType(cel.StringType)}, cel.BoolType,
			cel.BinaryBinding(hasOnly))),
		cel.Function("extract", cel.MemberOverload("string_extract",
			[]*cel.Type{cel.StringType, cel.StringType}, cel.StringType, cel.BinaryBinding(extract))),
		// There are no tags here, so nothing has one.
		cel.Function("resource.matchTag", cel.Overload("match_tag", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(_, _ ref.Val) ref.Val { return boolean(false) }))),
		cel.Function("resource.matchTagId", cel.Overload("match_tag_id", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(func(_, _ ref.Val) ref.Val { return boolean(false) }))),
		cel.Function("resource.hasTagKey", cel.Overload("has_tag_key", []*cel.Type{cel.StringType}, cel.BoolType,
			cel.UnaryBinding(func(ref.Val) ref.Val { return boolean(false) }))),
	)
	return &conditions{env: env}, err
}

// expandAttribute gives api.getAttribute the attributes of the request, which a
// CEL function could not see.
func expandAttribute(eh cel.MacroExprFactory, target ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
	if target.Kind() != ast.IdentKind || target.AsIdent() != "api" {
		return nil, nil
	}
	return eh.NewCall("@attribute", append([]ast.Expr{eh.NewIdent("@attributes")}, args...)...), nil
}

func attribute(args ...ref.Val) ref.Val {
	if m, ok := args[0].(interface {
		Find(ref.Val) (ref.Val, bool)
	}); ok {
		if v, found := m.Find(args[1]); found {
			return v
		}
	}
	return args[2]
}

// hasOnly is whether every element of the first list is in the second.
func hasOnly(list, allowed ref.Val) ref.Val {
	have, err := list.ConvertToNative(stringSlice)
	if err != nil {
		return types.NewErr("hasOnly: %v", err)
	}
	may, err := allowed.ConvertToNative(stringSlice)
	if err != nil {
		return types.NewErr("hasOnly: %v", err)
	}
	for _, s := range have.([]string) {
		if !slices.Contains(may.([]string), s) {
			return types.False
		}
	}
	return types.True
}

// extract is the part of a resource name that stands where the template has its
// braces; see the attribute reference.
func extract(value, template ref.Val) ref.Val {
	v, _ := value.Value().(string)
	t, _ := template.Value().(string)
	before, rest, ok := strings.Cut(t, "{")
	_, after, closed := strings.Cut(rest, "}")
	if !ok || !closed {
		return types.String(v)
	}
	_, found, ok := strings.Cut(v, before)
	if !ok {
		return types.String("")
	}
	if after != "" {
		if found, _, ok = strings.Cut(found, after); !ok {
			return types.String("")
		}
	}
	return types.String(found)
}

// check refuses what IAM would not accept as a condition.
func (c *conditions) check(k *Condition) error {
	switch {
	case strings.TrimSpace(k.Expression) == "":
		return fmt.Errorf("the expression is empty")
	case k.Title == "":
		return fmt.Errorf("the title is empty")
	case len([]rune(k.Title)) > maxTitle:
		return fmt.Errorf("the title is longer than %d characters", maxTitle)
	case len([]rune(k.Description)) > maxDescription:
		return fmt.Errorf("the description is longer than %d characters", maxDescription)
	}
	tree, err := c.compile(k.Expression)
	if err != nil {
		return err
	}
	if n := logicOperators(tree.NativeRep().Expr()); n > maxOperators {
		return fmt.Errorf("the expression has %d logic operators, more than %d", n, maxOperators)
	}
	return nil
}

func (c *conditions) compile(expression string) (*cel.Ast, error) {
	tree, issues := c.env.Compile(expression)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if !tree.OutputType().IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("the expression is of type %s, not bool", tree.OutputType())
	}
	return tree, nil
}

// holds evaluates a condition. No condition holds; one that cannot be evaluated
// does not.
func (c *conditions) holds(k *Condition, about subject) bool {
	if k == nil {
		return true
	}
	ok, err := c.evaluate(k.Expression, about)
	return err == nil && ok
}

func (c *conditions) evaluate(expression string, about subject) (bool, error) {
	program, ok := c.programs.Load(expression)
	if !ok {
		tree, err := c.compile(expression)
		if err != nil {
			return false, err
		}
		if program, err = c.env.Program(tree, cel.CostLimit(100_000)); err != nil {
			return false, err
		}
		c.programs.Store(expression, program)
	}
	attributes := about.attributes
	if attributes == nil {
		attributes = map[string]any{}
	}
	result, _, err := program.(cel.Program).Eval(map[string]any{
		"request.time": about.time, "request.host": "", "request.path": "", "request.auth.access_levels": []string{},
		"resource.name": about.name, "resource.type": about.kind, "resource.service": about.service,
		"destination.ip": "", "destination.port": 0, "@attributes": attributes,
	})
	if err != nil {
		return false, err
	}
	return result == types.True, nil
}

// logicOperators counts &&, || and !.
func logicOperators(e ast.Expr) int {
	n := 0
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(x ast.Expr) {
		if x.Kind() == ast.CallKind {
			switch x.AsCall().FunctionName() {
			case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot:
				n++
			}
		}
	}))
	return n
}

// The values of a condition in an analysis, which knows the time of access and
// nothing else.
const (
	evaluatesTrue  = "TRUE"
	evaluatesFalse = "FALSE"
	conditional    = "CONDITIONAL"
)

// analyze is what Policy Analyzer can say of a condition.
func (c *conditions) analyze(k *Condition, at time.Time) string {
	tree, err := c.compile(k.Expression)
	if err != nil || at.IsZero() {
		return conditional
	}
	return c.analyzeExpr(tree.NativeRep(), tree.NativeRep().Expr(), at)
}

func (c *conditions) analyzeExpr(tree *ast.AST, e ast.Expr, at time.Time) string {
	if e.Kind() == ast.CallKind {
		var terms []string
		name := e.AsCall().FunctionName()
		if name == operators.LogicalAnd || name == operators.LogicalOr || name == operators.LogicalNot {
			for _, a := range e.AsCall().Args() {
				terms = append(terms, c.analyzeExpr(tree, a, at))
			}
		}
		switch name {
		case operators.LogicalNot:
			return map[string]string{evaluatesTrue: evaluatesFalse, evaluatesFalse: evaluatesTrue, conditional: conditional}[terms[0]]
		case operators.LogicalAnd:
			return kleene(terms, evaluatesFalse, evaluatesTrue)
		case operators.LogicalOr:
			return kleene(terms, evaluatesTrue, evaluatesFalse)
		}
	}
	known := true
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(x ast.Expr) {
		switch {
		case x.Kind() == ast.SelectKind && x.AsSelect().IsTestOnly():
			known = false
		case x.Kind() == ast.IdentKind && x.AsIdent() != "request.time":
			known = false
		}
	}))
	source, err := parser.Unparse(e, tree.SourceInfo())
	if !known || err != nil {
		return conditional
	}
	switch ok, err := c.evaluate(source, subject{time: at}); {
	case err != nil:
		return conditional
	case ok:
		return evaluatesTrue
	default:
		return evaluatesFalse
	}
}

// kleene joins terms of which one alone decides.
func kleene(terms []string, decides, neutral string) string {
	if slices.Contains(terms, decides) {
		return decides
	}
	if slices.Contains(terms, conditional) {
		return conditional
	}
	return neutral
}
