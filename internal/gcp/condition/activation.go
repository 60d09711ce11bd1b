package condition

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/parser"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
)

// Activation is the condition of a grant: the window and, if it is not empty, the
// resource condition, in exactly the text that JIT Access 1.x writes. Fractions of
// a second are dropped. The window may be empty (ended before it began), not reversed.
//
// A resource condition cannot reach out of its parentheses: the result is parsed
// again, by another parser, and must be the window and the resource condition and
// nothing else. One with more than MaxOperators operators is refused with
// access.CodeConditionTooLong.
func Activation(w access.Window, resource string) (string, error) {
	window, err := windowText(w)
	if err != nil {
		return "", err
	}
	resource, err = Canonical(resource)
	if err != nil {
		return "", err
	}
	if resource == "" {
		return window, nil
	}
	text := "(" + window + ") && (" + resource + ")"
	whole, err := conjunction(careful, text, window, resource)
	if err != nil {
		return "", fmt.Errorf("the resource condition cannot be combined with a window: %w", err)
	}
	// IAM would refuse more.
	if n := operatorsIn(whole); n > MaxOperators {
		return "", &access.Error{Kind: access.Unprocessable, Code: access.CodeConditionTooLong,
			Args: access.Args{"count": strconv.Itoa(n), "max": strconv.Itoa(MaxOperators)}}
	}
	return text, nil
}

func windowText(w access.Window) (string, error) {
	start, end := w.Start.UTC().Truncate(time.Second), w.End.UTC().Truncate(time.Second)
	if w.Start.IsZero() || w.End.IsZero() || end.Before(start) || end.Year() > 9999 {
		return "", errors.New("the window of a grant must have a start and an end, in this order")
	}
	return fmt.Sprintf(`(request.time >= timestamp("%s") && request.time < timestamp("%s"))`,
		start.Format(time.RFC3339), end.Format(time.RFC3339)), nil
}

// windowPattern is what JIT Access 1.x recognises. It is matched against a clause
// that has been parsed, so the parentheses balance and the strings are strings.
var windowPattern = lazyregexp.New(
	`^\s*\(+request\.time >= timestamp\("([^"\\]*)"\) && request\.time < timestamp\("([^"\\]*)"\)\)+\s*$`)

// ParseActivation reads the condition of a grant of ours or of JIT Access 1.x. ok
// is false when it is neither, which is no error. The error is for our text with
// times that are none. The resource condition is canonical; it is empty when there
// is none. Times are as written, in UTC, fractions included.
func ParseActivation(expression string) (w access.Window, resource string, ok bool, err error) {
	if !strings.Contains(expression, "request.time") {
		return access.Window{}, "", false, nil
	}
	if w, resource, ok := asWritten(expression); ok {
		return w, resource, true, nil
	}
	clauses, err := split(expression)
	if err != nil {
		return access.Window{}, "", false, nil
	}
	var rest []string
	for _, c := range clauses {
		match := windowPattern().FindStringSubmatch(c)
		if match == nil || ok {
			rest = append(rest, c)
			continue
		}
		ok = true
		if w, err = parseWindow(match[1], match[2]); err != nil {
			return access.Window{}, "", true, err
		}
	}
	if !ok || len(rest) == 0 {
		return w, "", ok, nil
	}
	if _, err := conjunction(quick, expression, clauses...); err != nil {
		return access.Window{}, "", false, nil
	}
	if resource, err = join(rest); err != nil {
		return access.Window{}, "", true, err
	}
	return w, resource, true, nil
}

// conjunction parses an expression, and makes sure that it means all of its parts
// together. Cut at its && alone, "window && a || b" would look like ours: "b, always".
func conjunction(p *parser.Parser, expression string, parts ...string) (*ast.AST, error) {
	whole, err := parseWith(p, expression)
	if err != nil {
		return nil, err
	}
	var each []ast.Expr
	for _, part := range parts {
		tree, err := parseWith(p, part)
		if err != nil {
			return nil, err
		}
		each = append(each, terms(operators.LogicalAnd, tree.Expr())...)
	}
	if !slices.EqualFunc(terms(operators.LogicalAnd, whole.Expr()), each, same) {
		return nil, errors.New("the condition means something else than its parts together")
	}
	return whole, nil
}

// asWritten recognises what Activation writes, without parsing the window: a policy
// holds hundreds. A resource condition that is canonical, and so is an expression by
// itself, cannot reach out of the parentheses that it stands in.
func asWritten(expression string) (w access.Window, resource string, ok bool) {
	texts := strings.SplitN(expression, `"`, 5) // two of them in quotes
	if len(texts) < 5 {
		return w, "", false
	}
	w, _ = parseWindow(texts[1], texts[3]) // zero, which has no text, where one is no time
	window, err := windowText(w)
	if err != nil || expression == window {
		return w, "", err == nil
	}
	resource, opened := strings.CutPrefix(expression, "("+window+") && (")
	resource, closed := strings.CutSuffix(resource, ")")
	canonical, err := Canonical(resource)
	return w, resource, opened && closed && err == nil && resource != "" && canonical == resource
}

func parseWindow(start, end string) (access.Window, error) {
	from, err := time.Parse(time.RFC3339, start)
	if err != nil {
		return access.Window{}, fmt.Errorf("the start %.40q of the window is not a time", start)
	}
	to, err := time.Parse(time.RFC3339, end)
	if err != nil {
		return access.Window{}, fmt.Errorf("the end %.40q of the window is not a time", end)
	}
	return access.Window{Start: from.UTC(), End: to.UTC()}, nil
}
