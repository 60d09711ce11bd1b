package condition

import (
	"strings"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"jitaccess/internal/access"
)

// Limits is when a resource condition can hold, by those of its clauses that compare
// request.time with a time: in whole seconds, a side that is open is zero, and never
// wider than the condition. unclear is whether other clauses speak of the time too.
func Limits(resource string) (w access.Window, unclear bool) {
	if !strings.Contains(resource, "request") {
		return w, false
	}
	tree, err := parse(resource)
	if err != nil {
		return w, true
	}
	for _, clause := range terms(operators.LogicalAnd, tree.Expr()) {
		if !timed(tree, clause) {
			continue
		}
		switch bound, later, ok := limitOf(clause, false); {
		case !ok:
			unclear = true
		case later && bound.After(w.Start):
			w.Start = bound
		case !later && (w.End.IsZero() || bound.Before(w.End)):
			w.End = bound
		}
	}
	return w, unclear
}

// isRequest is whether an expression is the request, of which CEL has two spellings.
func isRequest(e ast.Expr) bool {
	return e.Kind() == ast.IdentKind && strings.TrimPrefix(e.AsIdent(), ".") == "request"
}

// isTime is whether an expression is request.time.
func isTime(e ast.Expr) bool {
	return e.Kind() == ast.SelectKind && e.AsSelect().FieldName() == "time" && isRequest(e.AsSelect().Operand())
}

// timed is whether a part of a condition uses request.time, or the request as a whole.
func timed(tree *ast.AST, part ast.Expr) bool {
	return len(ast.MatchDescendants(ast.NavigateExpr(tree, part), func(e ast.NavigableExpr) bool {
		user, used := e.Parent()
		return isRequest(e) && !(used && user.Kind() == ast.SelectKind && !isTime(user))
	})) > 0
}

// limitOf reads one comparison of request.time with a time, or the negation of one: it
// holds before the bound or, if that is what is later, from it on.
func limitOf(e ast.Expr, negated bool) (bound time.Time, later, ok bool) {
	if e.Kind() != ast.CallKind {
		return bound, false, false
	}
	op, args := e.AsCall().FunctionName(), e.AsCall().Args()
	switch op {
	case operators.LogicalNot:
		return limitOf(args[0], !negated)
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
	default:
		return bound, false, false
	}
	later = op == operators.Greater || op == operators.GreaterEquals
	inclusive := op == operators.LessEquals || op == operators.GreaterEquals
	subject, other := args[0], args[1]
	if isTime(other) {
		subject, other, later = other, subject, !later
	}
	constant, ok := constantOf(other).(types.Timestamp)
	if !ok || !isTime(subject) {
		return bound, false, false
	}
	if negated {
		later, inclusive = !later, !inclusive
	}
	bound = constant.Time.UTC().Truncate(time.Second)
	if later && (!inclusive || bound.Before(constant.Time)) || !later && bound.IsZero() { // zero would be open
		bound = bound.Add(time.Second)
	}
	return bound, later, true
}

// constantOf works out a time or a duration as CEL does, with what it makes of times
// that are none; nil is anything else.
func constantOf(e ast.Expr) ref.Val {
	switch e.Kind() {
	case ast.LiteralKind:
		return e.AsLiteral()
	case ast.CallKind:
	default:
		return nil
	}
	call := e.AsCall()
	if call.IsMemberFunction() {
		return nil
	}
	var values []ref.Val
	for _, arg := range call.Args() {
		v := constantOf(arg)
		if v == nil {
			return nil
		}
		values = append(values, v)
	}
	switch op := call.FunctionName(); {
	case op == "timestamp" && len(values) == 1:
		return values[0].ConvertToType(types.TimestampType)
	case op == "duration" && len(values) == 1:
		return values[0].ConvertToType(types.DurationType)
	case op == operators.Add:
		if sum, ok := values[0].(traits.Adder); ok {
			return sum.Add(values[1])
		}
	case op == operators.Subtract:
		if difference, ok := values[0].(traits.Subtractor); ok {
			return difference.Subtract(values[1])
		}
	}
	return nil
}
