package condition

import (
	"math"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"jitaccess/internal/access"
	"jitaccess/internal/eligibility"
	"jitaccess/internal/lazyregexp"
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
	var doubts []*access.Error
	doubt := func(code access.Code, args access.Args) {
		args["found"] = word
		doubts = append(doubts, &access.Error{Kind: access.Unprocessable, Code: code, Args: args})
	}
	if found.Kind == eligibility.None {
		code := access.CodeMarkerMisplaced
		if !strings.EqualFold(word, meant) {
			code = access.CodeMarkerMisspelled
		}
		doubt(code, access.Args{"meant": proposal(expression, word, meant)})
	}
	tree, err := parse(expression)
	if err != nil {
		return doubts
	}
	if always, _ := outcomes(tree.Expr(), false); always {
		doubt(access.CodeMarkerGrants, access.Args{})
	} else if ever, _ := outcomes(tree.Expr(), true); ever {
		doubt(access.CodeMarkerGrantsParts, access.Args{})
	}
	return doubts
}

// names matches the names in a text, wherever they stand, and before each that is the
// field of an empty map, that map.
var names = lazyregexp.New(`(\{\s*\}\s*\.\s*)?([\w\x{80}-\x{10FFFF}]{3,})`)

// suspicious is the first word of an expression that is a marker or may have been meant
// as one, and that marker; both are empty when there is none.
func suspicious(expression string) (word, meant string) {
	for _, match := range names().FindAllStringSubmatch(expression, -1) {
		if m := nearest(match[2], match[1] != ""); m != "" {
			return match[2], m
		}
	}
	return "", ""
}

// maxSlips is by how many letters a word may differ from the marker that is meant.
const maxSlips = 3

// nearest is the marker that a word may have been meant as, in its usual spelling. On an
// empty map it is the nearest of all: there is no other use of such a field.
func nearest(word string, onEmptyMap bool) string {
	best, slips := "", maxSlips+1
	if onEmptyMap {
		slips = math.MaxInt
	}
	folded := strings.ReplaceAll(strings.ToLower(word), "_", "")
	for _, m := range markers {
		if !onEmptyMap && (len(word) < len(m.name)-maxSlips || len(word) > len(m.name)+2*maxSlips) {
			continue
		}
		if n := distance(folded, strings.ToLower(m.name)); n < slips {
			best, slips = m.name, n
		}
	}
	return best
}

// distance is how many letters to put in, take out or replace make one text the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := i
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

// calls matches what is called with a field, of whatever.
var calls = lazyregexp.New(`\w+\([\w{}.]*\)`)

// proposal is the condition that was probably meant: with the marker as a clause of its
// own beside the others, or the marker alone where those are not clear.
func proposal(expression, word, meant string) string {
	alone := "has({}." + meant + ")"
	text, err := Canonical(expression)
	if err != nil {
		return alone
	}
	text = calls().ReplaceAllStringFunc(text, func(call string) string {
		if _, topic, found := strings.Cut(call, word); found {
			return "has({}." + meant + topic
		}
		return call
	})
	if found, err := ParseEligibility(text); err != nil || found.Kind == eligibility.None || len(Doubts(text, found)) > 0 {
		return alone
	}
	return text
}

// outcomes is whether an expression comes to true, and whether to false, when no
// marker's field is there, as none ever is. unknown is assumed of everything else:
// with it, the answer is what may be; without it, what always is. What fails comes to
// neither: not even its negation is true.
func outcomes(e ast.Expr, unknown bool) (isTrue, isFalse bool) {
	if e.Kind() == ast.LiteralKind && e.AsLiteral().Type() == types.BoolType {
		return e.AsLiteral() == types.True, e.AsLiteral() == types.False
	}
	if e.Kind() != ast.CallKind || e.AsCall().IsMemberFunction() {
		return unknown, unknown
	}
	op, args := e.AsCall().FunctionName(), e.AsCall().Args()
	if strings.EqualFold(op, "has") && len(args) == 1 {
		depth, field := 0, args[0]
		for ; field.Kind() == ast.SelectKind; field = field.AsSelect().Operand() {
			depth++
		}
		if field.Kind() == ast.MapKind && field.AsMap().Size() == 0 || depth == 0 && field.Kind() == ast.CallKind {
			return false, depth == 1 // a topic fails: there is nothing to select it from
		}
		return unknown, unknown
	}
	of := func(i int) (isTrue, isFalse bool) { return outcomes(args[i], unknown) }
	switch op {
	case operators.LogicalNot:
		isTrue, isFalse = of(0)
		return isFalse, isTrue
	case operators.LogicalAnd: // which may do without an operand that fails
		isTrue = true
		for i := range args {
			t, f := of(i)
			isTrue, isFalse = isTrue && t, isFalse || f
		}
		return isTrue, isFalse
	case operators.LogicalOr:
		isFalse = true
		for i := range args {
			t, f := of(i)
			isTrue, isFalse = isTrue || t, isFalse && f
		}
		return isTrue, isFalse
	case operators.Conditional:
		is, isNot := of(0)
		thenTrue, thenFalse := of(1)
		elseTrue, elseFalse := of(2)
		return is && thenTrue || isNot && elseTrue, is && thenFalse || isNot && elseFalse
	case operators.Equals, operators.NotEquals:
		leftTrue, leftFalse := of(0)
		rightTrue, rightFalse := of(1)
		equal, different := leftTrue && rightTrue || leftFalse && rightFalse, leftTrue && rightFalse || leftFalse && rightTrue
		if op == operators.NotEquals {
			return different, equal
		}
		return equal, different
	}
	return unknown, unknown
}
