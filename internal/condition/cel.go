package condition

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/parser"
)

// Bounds on what is parsed. IAM's own limits are lower where they are known.
const (
	maxExpression = 8 << 10 // bytes
	maxDepth      = 100     // nested parentheses, calls, selections
	maxOperators  = 64      // logic operators, where clauses are split
)

// quick is several times faster than cel-go's default parser; every policy that is
// looked at goes through it. A fuzz test holds the two together.
//
// No macros: has(), exists() and the like stay the calls that they were written
// as, so that they print as such. No quoted identifiers: IAM documents none.
var (
	quick   = mustParser(parser.EnablePrattParser(true))
	careful = mustParser()
)

func mustParser(more ...parser.Option) *parser.Parser {
	p, err := parser.NewParser(append(more, parser.MaxRecursionDepth(maxDepth), parser.EnableIdentEscapeSyntax(false))...)
	if err != nil {
		panic(err) // only for options that contradict each other
	}
	return p
}

func parse(expression string) (*ast.AST, error) { return parseWith(quick, expression) }

func parseWith(p *parser.Parser, expression string) (*ast.AST, error) {
	if len(expression) > maxExpression {
		return nil, fmt.Errorf("the condition is longer than %d bytes", maxExpression)
	}
	// Invalid bytes would be replaced silently.
	if !utf8.ValidString(expression) {
		return nil, errors.New("the condition is not UTF-8")
	}
	tree, errs := p.Parse(common.NewTextSource(expression))
	if list := errs.GetErrors(); len(list) > 0 {
		return nil, fmt.Errorf("the condition is not CEL: line %d, column %d: %.200s",
			list[0].Location.Line(), list[0].Location.Column()+1, list[0].Message)
	}
	return tree, nil
}

func print(tree *ast.AST) (string, error) {
	text, err := parser.Unparse(tree.Expr(), tree.SourceInfo(), parser.WrapOnColumn(math.MaxInt))
	if err != nil {
		return "", errors.New("the condition cannot be printed")
	}
	return text, nil
}

// clause is one of the parts of a condition that && joins at the outermost level.
type clause struct {
	text string
	root ast.Expr
}

// split cuts a condition at every && that no bracket encloses, whatever || and ?:
// around it bind. The parser says where operators are, so strings and comments do
// not mislead; one is enclosed if and only if what stands before it does not parse.
func split(expression string) ([]clause, error) {
	tree, err := parse(expression)
	if err != nil {
		return nil, err
	}
	if operatorsIn(tree.Expr()) > maxOperators {
		return nil, fmt.Errorf("the condition has more than %d logic operators", maxOperators)
	}
	source := []rune(expression) // the parser counts in code points
	var clauses []clause
	add := func(text string) error {
		part, err := parse(text)
		if err != nil {
			return err
		}
		clauses = append(clauses, clause{text, part.Expr()})
		return nil
	}
	begin := 0
	for _, at := range conjunctions(tree) {
		if _, err := parse(string(source[:at])); err != nil {
			continue
		}
		if err := add(string(source[begin:at])); err != nil {
			return nil, err
		}
		begin = at + len("&&")
	}
	if err := add(string(source[begin:])); err != nil {
		return nil, err
	}
	return clauses, nil
}

// conjunctions are the offsets of the && operators, in order.
func conjunctions(tree *ast.AST) []int {
	var at []int
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.LogicalAnd {
			if where, ok := tree.SourceInfo().GetOffsetRange(e.ID()); ok {
				at = append(at, int(where.Start))
			}
		}
	}))
	slices.Sort(at)
	return at
}

// parenthesised is whether the clause begins with a parenthesis, white space and
// comments aside.
func (c clause) parenthesised() bool {
	text := strings.TrimSpace(c.text)
	for strings.HasPrefix(text, "//") {
		_, text, _ = strings.Cut(text, "\n")
		text = strings.TrimSpace(text)
	}
	return strings.HasPrefix(text, "(")
}

// same is whether two trees are equal but for the ids of their nodes and the
// grouping within a run of && or of ||, which changes nothing.
func same(a, b ast.Expr) bool {
	if a.Kind() != b.Kind() {
		return false
	}
	switch a.Kind() {
	case ast.CallKind:
		x, y := a.AsCall(), b.AsCall()
		if x.FunctionName() != y.FunctionName() || x.IsMemberFunction() != y.IsMemberFunction() {
			return false
		}
		switch op := x.FunctionName(); op {
		case operators.LogicalAnd, operators.LogicalOr:
			return slices.EqualFunc(terms(op, a), terms(op, b), same)
		}
		return (!x.IsMemberFunction() || same(x.Target(), y.Target())) && slices.EqualFunc(x.Args(), y.Args(), same)
	case ast.IdentKind:
		return a.AsIdent() == b.AsIdent()
	case ast.LiteralKind:
		// Equal alone compares numbers across types.
		x, y := a.AsLiteral(), b.AsLiteral()
		return x.Type().TypeName() == y.Type().TypeName() && x.Equal(y) == types.True
	case ast.SelectKind:
		x, y := a.AsSelect(), b.AsSelect()
		return x.FieldName() == y.FieldName() && x.IsTestOnly() == y.IsTestOnly() && same(x.Operand(), y.Operand())
	case ast.ListKind:
		return slices.EqualFunc(a.AsList().Elements(), b.AsList().Elements(), same)
	case ast.MapKind:
		return slices.EqualFunc(a.AsMap().Entries(), b.AsMap().Entries(), func(x, y ast.EntryExpr) bool {
			return same(x.AsMapEntry().Key(), y.AsMapEntry().Key()) && same(x.AsMapEntry().Value(), y.AsMapEntry().Value())
		})
	case ast.StructKind:
		return a.AsStruct().TypeName() == b.AsStruct().TypeName() &&
			slices.EqualFunc(a.AsStruct().Fields(), b.AsStruct().Fields(), func(x, y ast.EntryExpr) bool {
				return x.AsStructField().Name() == y.AsStructField().Name() && same(x.AsStructField().Value(), y.AsStructField().Value())
			})
	}
	return false
}

// terms are the operands of a run of one logic operator, in order.
func terms(op string, e ast.Expr) []ast.Expr {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != op {
		return []ast.Expr{e}
	}
	var all []ast.Expr
	for _, arg := range e.AsCall().Args() {
		all = append(all, terms(op, arg)...)
	}
	return all
}
