package condition_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/condition"
)

var (
	start  = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	end    = start.Add(5 * time.Minute)
	window = access.Window{Start: start, End: end}
)

const windowText = `(request.time >= timestamp("2020-01-01T00:00:00Z") && request.time < timestamp("2020-01-01T00:05:00Z"))`

func TestActivation(t *testing.T) {
	melbourne := time.FixedZone("", 10*3600)
	for _, c := range []struct {
		name     string
		window   access.Window
		resource string
		want     string
	}{
		{"window alone", window, "", windowText},
		{"blank resource condition", window, " \n", windowText},
		{"in UTC", access.Window{Start: start.In(melbourne), End: end.In(melbourne)}, "", windowText},
		{"in whole seconds", access.Window{Start: start.Add(900 * time.Millisecond), End: end.Add(time.Millisecond)}, "", windowText},
		{"resource condition", window, `resource.name == "x"`, `(` + windowText + `) && (resource.name == "x")`},
		{"alternatives", window, `a || b`, `(` + windowText + `) && (a || b)`},
		{"made canonical", window, "(a)||'b'==c // d", `(` + windowText + `) && (a || "b" == c)`},
		{"ended before it began", access.Window{Start: start, End: start}, "",
			`(request.time >= timestamp("2020-01-01T00:00:00Z") && request.time < timestamp("2020-01-01T00:00:00Z"))`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := condition.Activation(c.window, c.resource); err != nil || got != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestActivation_Refuses(t *testing.T) {
	for name, c := range map[string]struct {
		window   access.Window
		resource string
	}{
		"no window":                   {access.Window{}, ""},
		"no start":                    {access.Window{End: end}, ""},
		"no end":                      {access.Window{Start: start}, ""},
		"reversed":                    {access.Window{Start: end, End: start}, ""},
		"a year that cannot be read":  {access.Window{Start: start, End: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)}, ""},
		"not CEL":                     {window, "a b"},
		"not a truth":                 {window, "'a'"},
		"closes its parenthesis":      {window, "a) || (true"},
		"closes and comments":         {window, "a) || true //"},
		"opens a string":              {window, `a == "`},
		"opens a comment":             {window, "a) //"},
		"a comment over several":      {window, "/* a"},
		"nothing but a comment":       {window, "// a"},
		"more than one expression":    {window, "a; b"},
		"longer than can be sensible": {window, "a == '" + strings.Repeat("x", 9000) + "'"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := condition.Activation(c.window, c.resource); err == nil || got != "" {
				t.Errorf("got %q, %v; want an error", got, err)
			}
		})
	}
}

// The window takes one operator and joining another; the rest is the resource
// condition's.
func TestActivation_OperatorLimit(t *testing.T) {
	if _, err := condition.Activation(window, strings.Repeat("a || ", condition.MaxOperators-2)+"a"); err != nil {
		t.Errorf("%d operators are refused: %v", condition.MaxOperators, err)
	}
	_, err := condition.Activation(window, strings.Repeat("a || ", condition.MaxOperators-1)+"a")
	var refusal *access.Error
	if !errors.As(err, &refusal) || refusal.Code != access.CodeConditionTooLong || refusal.Args["count"] != "13" || refusal.Args["max"] != "12" {
		t.Errorf("13 operators: %v", err)
	}
}

func TestParseActivation(t *testing.T) {
	for _, c := range []struct {
		name, expression string
		window           access.Window
		resource         string
	}{
		{"window alone", windowText, window, ""},
		{"more parentheses, and space around", "\n (((" + windowText + "))) ", window, ""},
		{"resource condition", "(" + windowText + ") && (a || b)", window, "a || b"},
		{"resource condition first", "a && " + windowText, window, "a"},
		{"several clauses", "a && " + windowText + "&& b=='x'", window, `a && b == "x"`},
		{"a second window is a resource condition", windowText + " && " + windowText, window, windowText[1 : len(windowText)-1]},
		{"ended before it began", strings.Replace(windowText, "00:05", "00:00", 1), access.Window{Start: start, End: start}, ""},
		{"offsets", strings.Replace(windowText, "2020-01-01T00:05:00Z", "2020-01-01T02:05:00+02:00", 1), window, ""},
		{"fractions", strings.Replace(windowText, "00:05:00Z", "00:05:00.25Z", 1),
			access.Window{Start: start, End: end.Add(250 * time.Millisecond)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, resource, ok, err := condition.ParseActivation(c.expression)
			if !ok || err != nil || !w.Start.Equal(c.window.Start) || !w.End.Equal(c.window.End) || resource != c.resource {
				t.Errorf("got %v, %q, %t, %v", w, resource, ok, err)
			}
			if w.Start.Location() != time.UTC || w.End.Location() != time.UTC {
				t.Error("not in UTC")
			}
		})
	}
}

func TestParseActivation_NotOurs(t *testing.T) {
	for name, expression := range map[string]string{
		"nothing":        "",
		"an eligibility": self,
		"Threat34: an alternative that always holds":   windowText + ` && a == "x" || b == "y"`,
		"Threat34: an alternative, in our parentheses": "(" + windowText + `) && (a == "x") || (b == "y")`,
		"Threat34: a choice":                           windowText + " && a ? b : c",
		"another condition":                            "a == b",
		"no parentheses":                               windowText[1 : len(windowText)-1],
		"other spacing":                                strings.Replace(windowText, " && ", "  && ", 1),
		"other quotes":                                 strings.ReplaceAll(windowText, `"`, `'`),
		"other operator":                               strings.Replace(windowText, "<", "<=", 1),
		"only an end":                                  `(request.time < timestamp("2020-01-01T00:05:00Z"))`,
		"within an alternative":                        "(" + windowText + " || a)",
		"as an alternative":                            windowText + " || a",
		"negated":                                      "!" + windowText,
		"in a string":                                  `a == '` + windowText + `'`,
		"in a comment":                                 "a // && " + windowText,
		"not CEL":                                      windowText + " &&",
	} {
		t.Run(name, func(t *testing.T) {
			if w, resource, ok, err := condition.ParseActivation(expression); ok || err != nil || !w.IsZero() || resource != "" {
				t.Errorf("got %v, %q, %t, %v", w, resource, ok, err)
			}
		})
	}
}

func TestParseActivation_OursAndBroken(t *testing.T) {
	for name, expression := range map[string]string{
		"start is no time":                  strings.Replace(windowText, "2020-01-01T00:00:00Z", "yesterday", 1),
		"end is no time":                    strings.Replace(windowText, "2020-01-01T00:05:00Z", "2020-13-01T00:05:00Z", 1),
		"a date alone":                      strings.Replace(windowText, "2020-01-01T00:05:00Z", "2020-01-01", 1),
		"resource condition is not a truth": windowText + " && 1",
	} {
		t.Run(name, func(t *testing.T) {
			if w, _, ok, err := condition.ParseActivation(expression); !ok || err == nil || !w.IsZero() {
				t.Errorf("got %v, %t, %v", w, ok, err)
			}
		})
	}
}

func TestActivation_IsReadBack(t *testing.T) {
	for _, resource := range []string{"", "a", "a || b", `a == "it's \"&&\" (" && b`, windowText[1 : len(windowText)-1]} {
		text, err := condition.Activation(window, resource)
		if err != nil {
			t.Fatal(err)
		}
		if w, got, ok, err := condition.ParseActivation(text); !ok || err != nil || w != window || got != resource {
			t.Errorf("%s is read as %v, %q, %t, %v", text, w, got, ok, err)
		}
	}
}

// Whatever stands in the place of a resource condition, a grant gives nothing
// outside of its window.
func TestThreat19_NothingOutsideTheWindow(t *testing.T) {
	env := environment(t)
	pieces := []string{"a", "b", "c", "a", "b", "true", " || ", " && ", "(", ")", " || ", " && ", "(", ")", "//", "\n", `"`, "'", `\`, "!", " ? ", " : ", "1", "[", "]", "{", "}",
		"'''", `r"`, "request.time", " < ", "timestamp(", " in ", ".", ",", "/*", "*/", "&", "|", "\r", "`"}
	random := rand.New(rand.NewPCG(3, 4))
	accepted := 0
	for range 2500 {
		var b strings.Builder
		for range 1 + random.IntN(7) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		if holdsOnlyInTheWindow(t, env, b.String()) {
			accepted++
		}
	}
	if accepted < 50 {
		t.Errorf("only %d conditions could be tried", accepted)
	}
}

func FuzzActivation(f *testing.F) {
	for _, seed := range []string{"a || b", "a) || (true", "true //", `f("\")") || a`, "a ? b : c", "request.time > request.time || true", windowText,
		"a || b", "a) && (b", "a // b", "a == ')'", "a) && (" + windowText, "a ? b : c", ""} {
		f.Add(seed)
	}
	env := environment(f)
	f.Fuzz(func(t *testing.T, text string) {
		holdsOnlyInTheWindow(t, env, text)
		condition.ParseActivation(text)
		// What we write is recognised without parsing all of it. A space hides that it
		// is ours, and must change nothing.
		ours := "(" + windowText + ") && (" + text + ")"
		w1, r1, ok1, err1 := condition.ParseActivation(ours)
		w2, r2, ok2, err2 := condition.ParseActivation(" " + ours)
		if w1 != w2 || r1 != r2 || ok1 != ok2 || (err1 == nil) != (err2 == nil) {
			t.Fatalf("%q is read as %v, %q, %t, %v and as %v, %q, %t, %v", ours, w1, r1, ok1, err1, w2, r2, ok2, err2)
		}
	})
}

// holdsOnlyInTheWindow checks a resource condition, and reports whether it was
// accepted and could be evaluated.
func holdsOnlyInTheWindow(t *testing.T, env *cel.Env, resource string) bool {
	t.Helper()
	text, err := condition.Activation(window, resource)
	if err != nil {
		return false
	}
	w, _, ok, err := condition.ParseActivation(text)
	if !ok || err != nil || w != window {
		t.Fatalf("%q is read back as %v, %t, %v", text, w, ok, err)
	}
	program, err := tryCompile(env, text)
	if err != nil {
		return false // of another type, or with names that the environment lacks
	}
	for bits := range 8 {
		for _, at := range []time.Time{{}, start.Add(-time.Nanosecond), end, end.Add(time.Hour), start.AddDate(100, 0, 0)} {
			if evaluate(program, map[string]any{"a": bits&1 != 0, "b": bits&2 != 0, "c": bits&4 != 0, "request": map[string]any{"time": at}}) {
				t.Fatalf("%s\nholds at %v", text, at)
			}
		}
	}
	return true
}
