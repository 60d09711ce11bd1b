package condition

import (
	"math/big"
	"regexp"
	"strings"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

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
		if !ok {
			unclear = true
			continue
		}
		if limit.Start.After(w.Start) {
			w.Start = limit.Start
		}
		if !limit.End.IsZero() && (w.End.IsZero() || limit.End.Before(w.End)) {
			w.End = limit.End
		}
	}
	return w, unclear
}

// timed is whether an expression uses request.time, or the request as a whole.
func timed(root ast.Expr) bool {
	requests, others := 0, 0
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		switch {
		case e.Kind() == ast.IdentKind && e.AsIdent() == "request":
			requests++
		case e.Kind() == ast.SelectKind && e.AsSelect().Operand().Kind() == ast.IdentKind &&
			e.AsSelect().Operand().AsIdent() == "request" && e.AsSelect().FieldName() != "time":
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

// limitOf reads one comparison, or the negation of one.
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
	left, ok := measure(args[0])
	if !ok {
		return w, false
	}
	right, ok := measure(args[1])
	if !ok || left.instants != right.instants {
		return w, false
	}
	at := new(big.Int).Sub(right.nanos, left.nanos)
	switch left.times - right.times {
	case 1:
	case -1:
		op, at = mirrored[op], at.Neg(at)
	default:
		return w, false
	}
	if negated {
		op = flipped[op]
	}
	// Div rounds down for a divisor above zero.
	seconds := new(big.Int).Div(at, big.NewInt(int64(time.Second)))
	whole := new(big.Int).Mul(seconds, big.NewInt(int64(time.Second))).Cmp(at) == 0
	later := op == operators.Greater || op == operators.GreaterEquals
	if later && !(whole && op == operators.GreaterEquals) {
		seconds.Add(seconds, big.NewInt(1))
	}
	if !seconds.IsInt64() || seconds.Int64() <= earliest.Unix() || seconds.Int64() >= latest.Unix() {
		return w, false
	}
	bound := time.Unix(seconds.Int64(), 0).UTC()
	if later {
		return access.Window{Start: bound}, true
	}
	return access.Window{End: bound}, true
}

// The times that CEL knows.
var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// strictTime is what CEL takes for a time; package time takes an hour of one digit too.
var strictTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$`)

// quantity is a sum of request.time, times and durations: times × request.time + nanos
// since 1970, which is an instant or, when instants is 0, a duration.
type quantity struct {
	times, instants int
	nanos           *big.Int
}

// measure reads a quantity. What CEL could fail to compute is none, since a condition
// that fails gives nothing.
func measure(e ast.Expr) (quantity, bool) {
	none := quantity{}
	switch e.Kind() {
	case ast.SelectKind:
		s := e.AsSelect()
		if s.FieldName() == "time" && s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "request" {
			return quantity{1, 1, new(big.Int)}, true
		}
		return none, false
	case ast.CallKind:
	default:
		return none, false
	}
	call := e.AsCall()
	if call.IsMemberFunction() {
		return none, false
	}
	switch args := call.Args(); call.FunctionName() {
	case "timestamp", "duration":
		if len(args) != 1 || args[0].Kind() != ast.LiteralKind {
			return none, false
		}
		text, ok := args[0].AsLiteral().Value().(string)
		if !ok {
			return none, false
		}
		if call.FunctionName() == "duration" {
			d, err := time.ParseDuration(text)
			return quantity{0, 0, big.NewInt(int64(d))}, err == nil && d.Abs() < century
		}
		t, err := time.Parse(time.RFC3339, text)
		return quantity{0, 1, nanosOf(t)}, err == nil && strictTime.MatchString(text) && t.After(earliest) && t.Before(latest)
	case operators.Add, operators.Subtract:
		left, ok := measure(args[0])
		if !ok {
			return none, false
		}
		right, ok := measure(args[1])
		if !ok {
			return none, false
		}
		sum := quantity{left.times + right.times, left.instants + right.instants, new(big.Int).Add(left.nanos, right.nanos)}
		if call.FunctionName() == operators.Subtract {
			sum = quantity{left.times - right.times, left.instants - right.instants, new(big.Int).Sub(left.nanos, right.nanos)}
		}
		return sum, sum.computable()
	}
	return none, false
}

// century bounds durations: CEL fails where one has more than 292 years.
const century = 100 * 365 * 24 * time.Hour

// computable is whether CEL can compute the sum for any time of this century and the
// last: it is an instant or a duration, and far from the bounds of both.
func (q quantity) computable() bool {
	switch {
	case q.instants == 1 && q.times == 0:
		return q.nanos.Cmp(nanosOf(earliest)) > 0 && q.nanos.Cmp(nanosOf(latest)) < 0
	case q.instants == 1 && q.times == 1, q.instants == 0 && max(q.times, -q.times) <= 1:
		return new(big.Int).Abs(q.nanos).Cmp(big.NewInt(int64(century))) < 0
	}
	return false
}

func nanosOf(t time.Time) *big.Int {
	n := new(big.Int).Mul(big.NewInt(t.Unix()), big.NewInt(int64(time.Second)))
	return n.Add(n, big.NewInt(int64(t.Nanosecond())))
}
