package condition

import (
	"iter"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/parser"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
)

// Doubts are what is wrong with a condition that speaks of a marker, or of something
// that looks like one: that it makes nobody eligible though that was probably meant, or
// that it gives the role without an activation. found is what ParseEligibility makes of
// it. Most conditions have none.
func Doubts(expression string, found Eligibility) []*access.Error {
	if found.Kind != eligibility.None && !strings.Contains(expression, "||") {
		return nil // a clause that is never true stands beside all others
	}
	word, meant := suspicious(expression)
	if meant == "" {
		return nil
	}
	doubt := func(code access.Code, args access.Args) *access.Error {
		args["found"] = word
		return &access.Error{Kind: access.Unprocessable, Code: code, Args: args}
	}
	var doubts []*access.Error
	tree, err := parse(expression)
	if found.Kind == eligibility.None {
		code, proposal := access.CodeMarkerMisplaced, "has({}."+meant+")"
		if !strings.EqualFold(word, meant) {
			code = access.CodeMarkerMisspelled
		}
		if err == nil {
			proposal = propose(tree, proposal)
		}
		doubts = append(doubts, doubt(code, access.Args{"meant": proposal}))
	}
	if err != nil {
		return doubts
	}
	switch outcomes := outcomesOf(tree.Expr()); {
	case outcomes == isTrue:
		doubts = append(doubts, doubt(access.CodeMarkerGrants, access.Args{}))
	case outcomes&isTrue != 0:
		doubts = append(doubts, doubt(access.CodeMarkerGrantsParts, access.Args{}))
	}
	return doubts
}

// suspicious is the first word of an expression that is a marker or may have been meant
// as one, and that marker; both are empty when there is none.
func suspicious(expression string) (word, meant string) {
	for w, onEmptyMap := range wordsOf(expression) {
		if m := nearest(w, onEmptyMap); m != "" {
			return w, m
		}
	}
	return "", ""
}

// wordsOf are the names in a text, wherever they stand, and whether each is the field of
// an empty map.
func wordsOf(text string) iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		for i := 0; i < len(text); i++ {
			start := i
			for i < len(text) && isLetter(text[i]) {
				i++
			}
			if i-start < shortestWord {
				continue
			}
			before, dotted := strings.CutSuffix(strings.TrimRight(text[:start], " \t\r\n"), ".")
			before, closed := strings.CutSuffix(strings.TrimRight(before, " \t\r\n"), "}")
			onEmptyMap := dotted && closed && strings.HasSuffix(strings.TrimRight(before, " \t\r\n"), "{")
			if !yield(text[start:i], onEmptyMap) {
				return
			}
		}
	}
}

// isLetter is whether a byte may stand in a name; those of other alphabets count, though
// CEL takes none.
func isLetter(c byte) bool {
	return c == '_' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// Bounds on what may have been meant as a marker: how short a word may be, and by how
// many letters it may differ.
const (
	shortestWord = 3
	maxSlips     = 3
)

// nearest is the marker that a word may have been meant as, in its usual spelling. On an
// empty map it is the nearest of all: there is no other use of such a field.
func nearest(word string, onEmptyMap bool) string {
	best, slips := "", maxSlips+1
	for name, m := range markers {
		if !onEmptyMap && (len(word) < len(name)-maxSlips || len(word) > len(name)+2*maxSlips) {
			continue
		}
		folded := strings.ReplaceAll(strings.ToLower(word), "_", "")
		if onEmptyMap && best == "" {
			slips = len(name) + len(folded)
		}
		if n := distance(folded, name); n < slips || n == slips && m.name < best {
			best, slips = m.name, n
		}
	}
	return best
}

// distance is how many letters must be put in, taken out or replaced to make one text of
// the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// propose is the condition that was probably meant: the marker as a clause of its own,
// and beside it the clauses that stand with what was meant as the marker. It is the
// marker alone where those are not clear.
func propose(tree *ast.AST, marker string) string {
	var rest []string
	found := false
	for _, clause := range terms(operators.LogicalAnd, tree.Expr()) {
		if proper, ok := properly(clause); ok && !found {
			marker, found = proper, true
			continue
		}
		text, err := parser.Unparse(clause, tree.SourceInfo())
		if err != nil {
			return marker
		}
		rest = append(rest, "("+text+")")
	}
	if !found {
		return marker
	}
	text, err := Canonical(strings.Join(append([]string{marker}, rest...), " && "))
	if err != nil {
		return marker
	}
	return text
}

// properly spells a clause that was meant as a marker as one.
func properly(clause ast.Expr) (string, bool) {
	if clause.Kind() != ast.CallKind || len(clause.AsCall().Args()) != 1 || clause.AsCall().FunctionName() == operators.LogicalNot {
		return "", false
	}
	var path []string
	for e := clause.AsCall().Args()[0]; ; e = e.AsSelect().Operand() {
		if e.Kind() != ast.SelectKind {
			break
		}
		path = append([]string{e.AsSelect().FieldName()}, path...)
	}
	for i, name := range path {
		meant := nearest(name, i == 0)
		if meant == "" {
			continue
		}
		if i+2 == len(path) && meant != markers["jitaccessconstraint"].name {
			meant += "." + path[i+1]
		}
		return "has({}." + meant + ")", true
	}
	return "", false
}

// outcomes is the set of what a condition may come to, depending on the request.
type outcomes uint8

const (
	isTrue outcomes = 1 << iota
	isFalse
	fails // which gives nothing, but is not false: not even its negation is true

	anything = isTrue | isFalse | fails
)

// outcomesOf works out what a condition may come to when no marker's field is there, as
// none ever is.
func outcomesOf(e ast.Expr) outcomes {
	switch e.Kind() {
	case ast.LiteralKind:
		switch e.AsLiteral() {
		case types.True:
			return isTrue
		case types.False:
			return isFalse
		}
		return anything
	case ast.CallKind:
	default:
		return anything
	}
	call := e.AsCall()
	if call.IsMemberFunction() {
		return anything
	}
	args := call.Args()
	switch op := call.FunctionName(); op {
	case operators.LogicalNot:
		return outcomesOf(args[0]).not()
	case operators.LogicalAnd, operators.LogicalOr:
		all := isTrue
		for _, arg := range args {
			if o := outcomesOf(arg); op == operators.LogicalAnd {
				all = all.and(o)
			} else {
				all = all.and(o.not())
			}
		}
		if op == operators.LogicalOr { // De Morgan
			return all.not()
		}
		return all
	case operators.Conditional:
		condition := outcomesOf(args[0])
		found := condition & fails
		if condition&isTrue != 0 {
			found |= outcomesOf(args[1])
		}
		if condition&isFalse != 0 {
			found |= outcomesOf(args[2])
		}
		return found
	case operators.Equals, operators.NotEquals:
		left, right := outcomesOf(args[0]), outcomesOf(args[1])
		if left|right == anything {
			return anything // perhaps of things that are neither true nor false
		}
		equal := (left | right) & fails
		if left&right&(isTrue|isFalse) != 0 {
			equal |= isTrue
		}
		if left&isTrue != 0 && right&isFalse != 0 || left&isFalse != 0 && right&isTrue != 0 {
			equal |= isFalse
		}
		if op == operators.NotEquals {
			return equal.not()
		}
		return equal
	default:
		if !strings.EqualFold(op, "has") || len(args) != 1 {
			return anything
		}
		switch path := selection(args[0]); {
		case len(path) == 1:
			return isFalse
		case len(path) > 1 || args[0].Kind() == ast.CallKind: // a topic
			return fails // there is nothing to select from
		}
		return anything
	}
}

func (o outcomes) not() outcomes {
	n := o & fails
	if o&isTrue != 0 {
		n |= isFalse
	}
	if o&isFalse != 0 {
		n |= isTrue
	}
	return n
}

// and is false where either is, even if the other fails.
func (o outcomes) and(other outcomes) outcomes {
	all := (o | other) & isFalse
	if o&isTrue != 0 && other&isTrue != 0 {
		all |= isTrue
	}
	if (o|other)&fails != 0 && o&^isFalse != 0 && other&^isFalse != 0 {
		all |= fails
	}
	return all
}
