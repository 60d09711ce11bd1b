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
	switch outcomeOf(tree.Expr()) {
	case always:
		doubts = append(doubts, doubt(access.CodeMarkerGrants, access.Args{}))
	case perhaps:
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
			for i < len(text) && (text[i] == '_' || text[i] >= 0x80 || '0' <= text[i] && text[i] <= '9' || 'a' <= text[i]|0x20 && text[i]|0x20 <= 'z') {
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

// outcome is what a condition says whatever the request: true, false, an error, or any
// of them.
type outcome int

const (
	perhaps outcome = iota
	always
	never
	fails
)

// outcomeOf works out what a condition says when no marker's field is there, as none
// ever is. It is perhaps where anything else decides.
func outcomeOf(e ast.Expr) outcome {
	switch e.Kind() {
	case ast.LiteralKind:
		switch e.AsLiteral() {
		case types.True:
			return always
		case types.False:
			return never
		}
		return perhaps
	case ast.CallKind:
	default:
		return perhaps
	}
	call := e.AsCall()
	if call.IsMemberFunction() {
		return perhaps
	}
	args := call.Args()
	switch op := call.FunctionName(); op {
	case operators.LogicalNot:
		return outcomeOf(args[0]).not()
	case operators.LogicalAnd, operators.LogicalOr:
		all := always
		for _, arg := range args {
			if o := outcomeOf(arg); op == operators.LogicalAnd {
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
		switch then, otherwise := outcomeOf(args[1]), outcomeOf(args[2]); outcomeOf(args[0]) {
		case always:
			return then
		case never:
			return otherwise
		case fails:
			return fails
		}
		return perhaps
	case operators.Equals, operators.NotEquals:
		left, right := outcomeOf(args[0]), outcomeOf(args[1])
		switch {
		case left == fails || right == fails:
			return fails
		case left == perhaps || right == perhaps:
			return perhaps
		case (left == right) == (op == operators.Equals):
			return always
		}
		return never
	default:
		if !strings.EqualFold(op, "has") || len(args) != 1 {
			return perhaps
		}
		switch path := selection(args[0]); {
		case len(path) == 1:
			return never
		case len(path) > 1 || args[0].Kind() == ast.CallKind: // a topic
			return fails // there is nothing to select from
		}
		return perhaps
	}
}

func (o outcome) not() outcome {
	switch o {
	case always:
		return never
	case never:
		return always
	}
	return o
}

// and is false where either is, even if the other fails.
func (o outcome) and(other outcome) outcome {
	switch {
	case o == never || other == never:
		return never
	case o == always:
		return other
	case other == always:
		return o
	case o == fails && other == fails:
		return fails
	}
	return perhaps
}
