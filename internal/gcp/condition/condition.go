// Package condition knows the text of IAM conditions: the markers that make a
// binding an eligibility, the time window of a grant, and the resource conditions
// that stand beside both. It parses them as CEL, prints them in one canonical form
// and never joins strings that it has not parsed.
//
// Types are not checked: only IAM knows its declarations. A condition must be CEL,
// and must not be something that is plainly not true or false, such as a number.
package condition

import (
	"errors"
	"math"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/parser"

	"jitaccess/internal/eligibility"
)

// MaxOperators is how many logic operators IAM allows in one condition
// (https://cloud.google.com/iam/quotas).
const MaxOperators = 12

// Eligibility is what a condition says about a binding; the zero value, that it makes none.
type Eligibility struct {
	Kind eligibility.Kind
	// Topic is the topic of the marker, in lower case; empty when it has none.
	Topic string
	// Resource is the canonical text of what stands beside the marker; empty for nothing.
	Resource string
}

// ParseEligibility reads the condition of a binding. It answers None without an
// error for a condition that is not an eligibility, even if it is not CEL; the
// error is for one that bears a marker and cannot be understood.
//
// A marker counts when it is one of the clauses that && joins at the outermost
// level and has no parentheses around it; the other clauses, each in parentheses,
// are the resource condition. Two different markers in one condition are an error,
// as nobody could say which of them is meant, except for the pair that 1.x knows.
//
// As in JIT Access 1.x that splitting ignores how || binds, so that ids and links
// stay the same: "has({}.jitAccessConstraint) && a || b" is an eligibility for
// "a || b". To CEL it is (marker && a) || b, which gives b to the members at all
// times and a by eligibility. The reading is safe, because such a split never
// allows more than the whole text does with the marker taken for true. That does
// not hold for ?:, which is an error unless it stands in parentheses.
func ParseEligibility(expression string) (Eligibility, error) {
	if !mayBearMarker(expression) {
		return Eligibility{}, nil
	}
	clauses, err := split(expression)
	if err != nil {
		return Eligibility{}, err
	}
	var found Eligibility
	var rest []string
	for _, clause := range clauses {
		m, err := marker(clause)
		if err != nil {
			return Eligibility{}, err
		}
		switch {
		case m.Kind == eligibility.None:
			rest = append(rest, clause)
		case found.Kind == eligibility.None || found == m:
			found = m
		case found.Topic+m.Topic == "" && max(found.Kind, m.Kind) <= eligibility.Both: // the two of 1.x, as they stood there
			found.Kind = eligibility.Both
		default:
			return Eligibility{}, errors.New("the condition has several markers: each needs a binding of its own")
		}
	}
	if found.Kind == eligibility.None {
		return found, nil
	}
	if found.Resource, err = join(rest); err != nil {
		return Eligibility{}, err
	}
	return found, nil
}

// Canonical prints a condition in the form in which JIT Access 1.x prints it: one
// line, single spaces, no parentheses that change nothing, no comments, strings in
// double quotes. Unlike there, strings are escaped. What prints as something else
// than it was is an error. Blank text is canonically empty.
func Canonical(expression string) (string, error) {
	if strings.TrimSpace(expression) == "" {
		return "", nil
	}
	tree, err := parse(expression)
	if err != nil {
		return "", err
	}
	if !maybeBool(tree.Expr()) {
		return "", errors.New("the condition is not true or false")
	}
	text, err := parser.Unparse(tree.Expr(), tree.SourceInfo(), parser.WrapOnColumn(math.MaxInt))
	if err != nil {
		return "", errors.New("the condition cannot be printed")
	}
	if text == expression {
		return text, nil
	}
	// The printer of cel-go drops parentheses that matter in rare places: (-a).f().
	again, err := parse(text)
	if err != nil || !same(tree.Expr(), again.Expr()) {
		return "", errors.New("the condition cannot be printed unambiguously")
	}
	return text, nil
}

// Equal is whether two conditions mean the same, as far as their form shows:
// spacing, quoting, comments and needless parentheses do not matter. What cannot
// be parsed equals only itself.
func Equal(a, b string) bool {
	if a == b {
		return true
	}
	canonicalA, errA := Canonical(a)
	canonicalB, errB := Canonical(b)
	return errA == nil && errB == nil && canonicalA == canonicalB
}

// operatorsIn counts the logic operators: &&, || and !.
func operatorsIn(tree *ast.AST) int {
	return len(ast.MatchDescendants(ast.NavigateAST(tree), func(e ast.NavigableExpr) bool {
		return e.Kind() == ast.CallKind &&
			slices.Contains([]string{operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot}, e.AsCall().FunctionName())
	}))
}

// maybeBool is whether an expression could be true or false. It is generous: only
// what is plainly of another type is refused.
func maybeBool(e ast.Expr) bool {
	switch e.Kind() {
	case ast.LiteralKind:
		return e.AsLiteral().Type().TypeName() == "bool"
	case ast.ListKind, ast.MapKind, ast.StructKind:
		return false
	case ast.CallKind:
		switch e.AsCall().FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
			return !slices.ContainsFunc(e.AsCall().Args(), func(arg ast.Expr) bool { return !maybeBool(arg) })
		case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate:
			return false
		}
	}
	return true
}

// join makes one canonical condition of clauses; of none, an empty one.
func join(clauses []string) (string, error) {
	texts := make([]string, len(clauses))
	for i, c := range clauses {
		var err error
		if texts[i], err = Canonical(strings.TrimSpace(c)); err != nil {
			return "", err
		}
	}
	if len(texts) < 2 {
		return strings.Join(texts, ""), nil
	}
	return Canonical("(" + strings.Join(texts, ") && (") + ")")
}
