package condition

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
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

// split cuts a condition at every && that no bracket encloses, whatever || around
// it binds. The parts are CEL, as the whole is: only ?: binds less than &&.
func split(expression string) ([]string, error) {
	tree, err := parse(expression)
	if err != nil {
		return nil, err
	}
	literals := map[int]int{} // where each begins and ends, in code points
	for _, e := range ast.MatchDescendants(ast.NavigateAST(tree), ast.KindMatcher(ast.LiteralKind)) {
		if at, ok := tree.SourceInfo().GetOffsetRange(e.ID()); ok {
			literals[int(at.Start)] = int(at.Stop)
		}
	}
	clauses := cut([]rune(expression), literals)
	root := tree.Expr()
	if len(clauses) > 1 && root.Kind() == ast.CallKind && root.AsCall().FunctionName() == operators.Conditional {
		return nil, errors.New("the condition has ?: beside &&: one of them must stand in parentheses")
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

// same is whether two trees are equal but for the ids of their nodes and the
// grouping within a run of && or of ||, which changes nothing.
func same(a, b ast.Expr) bool {
	nameA, ofA := shape(a)
	nameB, ofB := shape(b)
	return a.Kind() == b.Kind() && nameA == nameB && slices.EqualFunc(ofA, ofB, same)
}

// shape is what an expression is apart from those that it is made of, and these.
func shape(e ast.Expr) (name string, of []ast.Expr) {
	switch e.Kind() {
	case ast.CallKind:
		call := e.AsCall()
		switch op := call.FunctionName(); {
		case op == operators.LogicalAnd || op == operators.LogicalOr:
			return op, terms(op, e)
		case call.IsMemberFunction():
			return "member " + op, append([]ast.Expr{call.Target()}, call.Args()...)
		}
		return call.FunctionName(), call.Args()
	case ast.IdentKind:
		return e.AsIdent(), nil
	case ast.LiteralKind:
		return fmt.Sprintf("%T %#v", e.AsLiteral(), e.AsLiteral()), nil // 1 is not 1u
	case ast.SelectKind:
		return e.AsSelect().FieldName(), []ast.Expr{e.AsSelect().Operand()}
	case ast.ListKind:
		return "", e.AsList().Elements()
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			of = append(of, entry.AsMapEntry().Key(), entry.AsMapEntry().Value())
		}
	case ast.StructKind:
		name = e.AsStruct().TypeName()
		for _, field := range e.AsStruct().Fields() {
			name += "," + field.AsStructField().Name()
			of = append(of, field.AsStructField().Value())
		}
	default: // which only macros make: it equals nothing else
		name = fmt.Sprintf("%p", e)
	}
	return name, of
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
