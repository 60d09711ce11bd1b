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
		if !timed(clause) {
			continue
		}
		limit, ok := limitOf(clause, false)
		unclear = unclear || !ok
		if limit.Start.After(w.Start) {
			w.Start = limit.Start
		}
		if !limit.End.IsZero() && (w.End.IsZero() || limit.End.Before(w.End)) {
			w.End = limit.End
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
	return e.Kind() == ast.SelectKind && e.AsSelect().FieldName() == "time" && ofRequest(e)
}

// ofRequest is whether an expression selects from the request.
func ofRequest(e ast.Expr) bool {
	return e.Kind() == ast.SelectKind && isRequest(e.AsSelect().Operand())
}

// timed is whether an expression uses request.time, or the request as a whole.
func timed(root ast.Expr) bool {
	requests, others := 0, 0
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		switch {
		case isRequest(e):
			requests++
		case ofRequest(e) && !isTime(e):
			others++
		}
	}))
	return requests > others
}

// flipped is what a comparison is when it is negated, and mirrored when its sides change
// places.
var (
	flipped = map[string]string{operators.Less: operators.GreaterEquals, operators.GreaterEquals: operators.Less,
		operators.Greater: operators.LessEquals, operators.LessEquals: operators.Greater}
	mirrored = map[string]string{operators.Less: operators.Greater, operators.Greater: operators.Less,
		operators.LessEquals: operators.GreaterEquals, operators.GreaterEquals: operators.LessEquals}
)

// limitOf reads one comparison of request.time with a time, or the negation of one.
func limitOf(e ast.Expr, negated bool) (w access.Window, ok bool) {
	if e.Kind() != ast.CallKind {
		return w, false
	}
	op, args := e.AsCall().FunctionName(), e.AsCall().Args()
	if op == operators.LogicalNot {
		return limitOf(args[0], !negated)
	}
	if flipped[op] == "" {
		return w, false
	}
	subject, other := args[0], args[1]
	if isTime(other) {
		subject, other, op = other, subject, mirrored[op]
	}
	constant, ok := constantOf(other).(types.Timestamp)
	if !ok || !isTime(subject) {
		return w, false
	}
	if negated {
		op = flipped[op]
	}
	bound := constant.Time.UTC().Truncate(time.Second)
	if op == operators.Less || op == operators.LessEquals {
		if bound.IsZero() {
			bound = bound.Add(time.Second) // zero would be open
		}
		return access.Window{End: bound}, true
	}
	if op == operators.Greater || bound.Before(constant.Time) {
		bound = bound.Add(time.Second)
	}
	return access.Window{Start: bound}, true
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
