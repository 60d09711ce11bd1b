package condition

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"jitaccess/internal/access"
)

// Activation is the condition of a grant: the window and, if it is not empty, the
// resource condition, in exactly the text that JIT Access 1.x writes. Fractions of
// a second are dropped. The window may be empty (a grant that was ended before it
// began), not reversed.
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
	if err := checkCombined(text, window, resource); err != nil {
		return "", err
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

// checkCombined makes sure that text is the conjunction of the two others, and
// that IAM will take it.
func checkCombined(text, window, resource string) error {
	whole, err := parseWith(careful, text)
	if err != nil {
		return err
	}
	first, err := parseWith(careful, window)
	if err != nil {
		return err
	}
	second, err := parseWith(careful, resource)
	if err != nil {
		return err
	}
	and := operators.LogicalAnd
	if !slices.EqualFunc(terms(and, whole.Expr()), append(terms(and, first.Expr()), terms(and, second.Expr())...), same) {
		return errors.New("the resource condition cannot be combined with a window")
	}
	if n := operatorsIn(whole.Expr()); n > MaxOperators {
		return &access.Error{Kind: access.Unprocessable, Code: access.CodeConditionTooLong,
			Args: access.Args{"count": strconv.Itoa(n), "max": strconv.Itoa(MaxOperators)}}
	}
	return nil
}

// windowPattern is what JIT Access 1.x recognises. It is matched against a clause
// that has been parsed, so the parentheses balance and the strings are strings.
var windowPattern = regexp.MustCompile(
	`^\s*\(+request\.time >= timestamp\("([^"\\]*)"\) && request\.time < timestamp\("([^"\\]*)"\)\)+\s*$`)

// ParseActivation reads the condition of a grant of ours or of JIT Access 1.x. ok
// is false when it is neither, which is no error. The error is for our text with
// times that are none. The resource condition is canonical; it is empty when there
// is none. Times are as written, in UTC, fractions included.
func ParseActivation(expression string) (w access.Window, resource string, ok bool, err error) {
	if !strings.Contains(expression, "request.time") {
		return access.Window{}, "", false, nil
	}
	if start, end, resource, ok := asWritten(expression); ok {
		if w, err = parseWindow(start, end); err != nil {
			return access.Window{}, "", true, err
		}
		return w, resource, true, nil
	}
	clauses, err := split(expression)
	if err != nil {
		return access.Window{}, "", false, nil
	}
	var rest []clause
	for _, c := range clauses {
		match := windowPattern.FindStringSubmatch(c.text)
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
	if !conjunction(expression, clauses) {
		return access.Window{}, "", false, nil
	}
	if resource, err = join(rest); err != nil {
		return access.Window{}, "", true, err
	}
	return w, resource, true, nil
}

// conjunction is whether the expression means all of its clauses together. Cut at
// its && alone, "window && a || b" would look like ours, and means "b, always".
func conjunction(expression string, clauses []clause) bool {
	whole, err := parse(expression)
	if err != nil {
		return false
	}
	var each []ast.Expr
	for _, c := range clauses {
		each = append(each, terms(operators.LogicalAnd, c.tree.Expr())...)
	}
	return slices.EqualFunc(terms(operators.LogicalAnd, whole.Expr()), each, same)
}

// asWritten recognises what Activation writes, without parsing the window: a policy
// holds hundreds. A resource condition that is canonical, and so is an expression by
// itself, cannot reach out of the parentheses that it stands in.
func asWritten(expression string) (start, end, resource string, ok bool) {
	window := expression
	if inner, found := strings.CutPrefix(expression, "(("); found {
		if window, resource, found = strings.Cut(inner, ") && ("); !found {
			return "", "", "", false
		}
		window = "(" + window
		if resource, found = strings.CutSuffix(resource, ")"); !found {
			return "", "", "", false
		}
		if text, err := Canonical(resource); err != nil || text == "" || text != resource {
			return "", "", "", false
		}
	}
	rest, ok := strings.CutPrefix(window, `(request.time >= timestamp("`)
	if !ok {
		return "", "", "", false
	}
	if start, rest, ok = strings.Cut(rest, `") && request.time < timestamp("`); !ok {
		return "", "", "", false
	}
	if end, ok = strings.CutSuffix(rest, `"))`); !ok {
		return "", "", "", false
	}
	return start, end, resource, !strings.ContainsAny(start, "\"\\\r\n") && !strings.ContainsAny(end, "\"\\\r\n")
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
