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

func unparse(tree *ast.AST) (string, error) {
	text, err := parser.Unparse(tree.Expr(), tree.SourceInfo(), parser.WrapOnColumn(math.MaxInt))
	if err != nil {
		return "", errors.New("the condition cannot be printed")
	}
	return text, nil
}

// clause is one of the parts of a condition that && joins at the outermost level.
type clause struct {
	text string
	tree *ast.AST
}

// split cuts a condition at every && that no bracket encloses, whatever || around
// it binds.
func split(expression string) ([]clause, error) {
	tree, err := parse(expression)
	if err != nil {
		return nil, err
	}
	texts := cut([]rune(expression), literals(tree))
	if len(texts) == 1 {
		return []clause{{expression, tree}}, nil
	}
	if root := tree.Expr(); root.Kind() == ast.CallKind && root.AsCall().FunctionName() == operators.Conditional {
		return nil, errors.New("the condition has ?: beside &&: one of them must stand in parentheses")
	}
	var clauses []clause
	for _, text := range texts {
		part, err := parse(text)
		if err != nil {
			return nil, err
		}
		clauses = append(clauses, clause{text, part})
	}
	return clauses, nil
}

// cut does the cutting. The parser has said where the literals are, so what looks
// like a bracket, an operator or a comment outside of them is one.
func cut(source []rune, literals map[int]int) []string {
	var texts []string
	depth, begin := 0, 0
	for i := 0; i < len(source); i++ {
		if end, ok := literals[i]; ok {
			i = end - 1
			continue
		}
		doubled := i+1 < len(source) && source[i] == source[i+1]
		switch c := source[i]; {
		case c == '/' && doubled:
			for i < len(source) && source[i] != '\n' {
				i++
			}
		case c == '&' && doubled && depth == 0:
			texts = append(texts, string(source[begin:i]))
			begin = i + 2
			i++
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' || c == ']' || c == '}':
			depth--
		}
	}
	return append(texts, string(source[begin:]))
}

// literals maps where each literal begins to where it ends, in code points.
func literals(tree *ast.AST) map[int]int {
	found := map[int]int{}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.LiteralKind {
			if at, ok := tree.SourceInfo().GetOffsetRange(e.ID()); ok {
				found[int(at.Start)] = int(at.Stop)
			}
		}
	}))
	return found
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
