package condition

import (
	"regexp"
	"strings"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

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

// timed is whether a part of a condition uses request.time, or the request as a whole.
func timed(tree *ast.AST, part ast.Expr) bool {
	return len(ast.MatchDescendants(ast.NavigateExpr(tree, part), func(e ast.NavigableExpr) bool {
		user, used := e.Parent()
		return isRequest(e) && !(used && user.Kind() == ast.SelectKind && user.AsSelect().FieldName() != "time")
	})) > 0
}

func isRequest(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "request" }

// limitOf reads one comparison, or the negation of one: it holds before the bound, or
// from it on if that is what is later.
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
	left, known := measure(args[0])
	right, alsoKnown := measure(args[1])
	if !known || !alsoKnown || left.instants != right.instants || max(left.times-right.times, right.times-left.times) != 1 {
		return bound, false, false
	}
	later = (op == operators.Greater || op == operators.GreaterEquals) != negated
	inclusive := (op == operators.LessEquals || op == operators.GreaterEquals) != negated
	if left.times > right.times {
		left, right = right, left
	} else {
		later = !later
	}
	at := left.minus(right).sinceEpoch()
	bound = at.Truncate(time.Second)
	if later && !(inclusive && at.Equal(bound)) {
		bound = bound.Add(time.Second)
	}
	return bound, later, bound.After(earliest) && bound.Before(latest)
}

// The times that CEL knows.
var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// strictTime is what CEL takes for a time; package time takes an hour of one digit too.
var strictTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)

// quantity is a sum of request.time, times and durations: times × request.time and the
// seconds and nanoseconds (as many as there are) since 1970, which is an instant or, when
// instants is 0, a duration.
type quantity struct {
	times, instants int
	seconds, nanos  int64
}

func (q quantity) minus(other quantity) quantity {
	return quantity{q.times - other.times, q.instants - other.instants, q.seconds - other.seconds, q.nanos - other.nanos}
}

func (q quantity) sinceEpoch() time.Time { return time.Unix(q.seconds, q.nanos).UTC() }

// measure reads a quantity. What CEL could fail to compute is none, since a condition
// that fails gives nothing.
func measure(e ast.Expr) (quantity, bool) {
	none := quantity{}
	switch {
	case e.Kind() == ast.SelectKind && e.AsSelect().FieldName() == "time" && isRequest(e.AsSelect().Operand()):
		return quantity{times: 1, instants: 1}, true
	case e.Kind() != ast.CallKind || e.AsCall().IsMemberFunction():
		return none, false
	}
	switch op, args := e.AsCall().FunctionName(), e.AsCall().Args(); op {
	case "timestamp", "duration":
		if len(args) != 1 || args[0].Kind() != ast.LiteralKind || args[0].AsLiteral().Type() != types.StringType {
			return none, false
		}
		text := args[0].AsLiteral().Value().(string)
		if op == "duration" {
			d, err := time.ParseDuration(text)
			return quantity{seconds: int64(d / time.Second), nanos: int64(d % time.Second)}, err == nil && d.Abs() < century
		}
		t, err := time.Parse(time.RFC3339, text)
		q := quantity{instants: 1, seconds: t.Unix(), nanos: int64(t.Nanosecond())}
		return q, err == nil && strictTime.MatchString(text) && q.computable()
	case operators.Add, operators.Subtract:
		left, known := measure(args[0])
		right, alsoKnown := measure(args[1])
		if op == operators.Add {
			right = none.minus(right)
		}
		sum := left.minus(right)
		return sum, known && alsoKnown && sum.computable()
	}
	return none, false
}

// century bounds durations: CEL fails where one has more than 292 years.
const century = 100 * 365 * 24 * time.Hour

// computable is whether CEL can compute the sum for any time of this century and the
// last: it is an instant or a duration, and far from the bounds of both.
func (q quantity) computable() bool {
	at := q.sinceEpoch()
	switch {
	case q.instants == 1 && q.times == 0:
		return at.After(earliest) && at.Before(latest)
	case q.instants == 1 && q.times == 1, q.instants == 0 && max(q.times, -q.times) <= 1:
		return at.Sub(time.Unix(0, 0)).Abs() < century
	}
	return false
}
