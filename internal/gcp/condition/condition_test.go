package condition_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/parser"

	"jitaccess/internal/eligibility"
	"jitaccess/internal/gcp/condition"
)

const (
	self = "has({}.jitAccessConstraint)"
	peer = "has({}.multiPartyApprovalConstraint)"
)

func TestParseEligibility(t *testing.T) {
	for _, c := range []struct {
		name, expression string
		kind             eligibility.Kind
		resource         string
	}{
		// Not an eligibility.
		{"nothing", "", eligibility.None, ""},
		{"blank", " \n ", eligibility.None, ""},
		{"another condition", "1<2", eligibility.None, ""},
		{"not CEL at all, and no marker", "((", eligibility.None, ""},
		{"marker in parentheses", "(" + self + ")", eligibility.None, ""},
		{"marker in parentheses after a comment", "// eligible (\n(" + self + ")", eligibility.None, ""},
		{"marker in parentheses with a clause", "(" + self + " && a)", eligibility.None, ""},
		{"marker in the parentheses of a later clause", "a && (b && " + self + ")", eligibility.None, ""},
		{"marker compared", self + " == true", eligibility.None, ""},
		{"marker negated", "!" + self, eligibility.None, ""},
		{"marker as an alternative", "a || " + self, eligibility.None, ""},
		{"marker as the first alternative", self + " || a", eligibility.None, ""},
		{"marker in a string", `"` + self + `" == a`, eligibility.None, ""},
		{"marker in a string with an operator", `a == " && ` + self + `"`, eligibility.None, ""},
		{"marker in a comment", "a // && " + self, eligibility.None, ""},
		{"self-approval has no topics", "has({}.jitAccessConstraint.topic)", eligibility.None, ""},
		{"field of another thing", "has(resource.jitAccessConstraint)", eligibility.None, ""},
		{"field of a map that is not empty", "has({1: 2}.jitAccessConstraint)", eligibility.None, ""},
		{"another field", "has({}.jitAccessConstraints)", eligibility.None, ""},
		{"another function", "had({}.jitAccessConstraint)", eligibility.None, ""},
		{"a method", "a.has({}.jitAccessConstraint)", eligibility.None, ""},
		{"two arguments", "has({}.jitAccessConstraint, a)", eligibility.None, ""},

		// Markers alone.
		{"self-approval", self, eligibility.SelfApproval, ""},
		{"peer approval", peer, eligibility.PeerApproval, ""},
		{"both", self + " && " + peer, eligibility.Both, ""},
		{"both, the other way", peer + "&&" + self, eligibility.Both, ""},
		{"the same twice", self + " && " + self, eligibility.SelfApproval, ""},
		{"case does not matter", "HAS({}.JitacceSSConstraint)", eligibility.SelfApproval, ""},
		{"spaces do not matter", " \r\n\t has( {  }.jitAccessConstraint \t ) \t \r\n\r", eligibility.SelfApproval, ""},
		{"spaces before the parenthesis", "has ({}.jitAccessConstraint)", eligibility.SelfApproval, ""},
		{"comment lines", "// for (on-call)\n" + self + "\n  // see && the \"wiki\n", eligibility.SelfApproval, ""},
		{"comment behind", self + " // (", eligibility.SelfApproval, ""},

		// With a resource condition.
		{"clause on either side", "a>b && HAS({}.JitacceSSConstraint)&& b <    c", eligibility.SelfApproval, "a > b && b < c"},
		{"clause before", "a && " + peer, eligibility.PeerApproval, "a"},
		{"in parentheses", self + " && (a)", eligibility.SelfApproval, "a"},
		{"grouped", self + " && (a || b) && c", eligibility.SelfApproval, "(a || b) && c"},
		{"alternatives are kept together", self + " && a || b", eligibility.SelfApproval, "a || b"},
		{"alternatives on both sides", self + " && a || b && c", eligibility.SelfApproval, "(a || b) && c"},
		{"choice in parentheses", self + " && (a ? b && c : d)", eligibility.SelfApproval, "a ? (b && c) : d"},
		{"marker within a choice", "a ? (b && " + self + ") : c", eligibility.None, ""},
		{"both markers and a clause", peer + " && a && " + self, eligibility.Both, "a"},
		{"operator in a string", self + ` && a == 'x && (y'`, eligibility.SelfApproval, `a == "x && (y"`},
		{"quote in a string", self + ` && a == 'it"s' && b == "it's"`, eligibility.SelfApproval, `a == "it\"s" && b == "it's"`},
		{"raw, long and byte strings", self + ` && f(r"\", '''it's "&&"''', b"&&)") && b`, eligibility.SelfApproval,
			`f("\\", "it's \"&&\"", b"\046\046\051") && b`},
		{"brackets", self + ` && a[b && c] && d in [e && f]`, eligibility.SelfApproval, `a[b && c] && d in [e && f]`},
		{"beyond the basic plane", `a == "😀(" && ` + self + ` && b`, eligibility.SelfApproval, `a == "😀(" && b`},
		{"comment behind the last clause", self + " && a // only there", eligibility.SelfApproval, "a"},
		{"comments between clauses", "a // (\n && " + self + " // &&\n && b // )", eligibility.SelfApproval, "a && b"},
		{"macro", self + " && [1].exists(x, x > 1 && a)", eligibility.SelfApproval, "[1].exists(x, x > 1 && a)"},
		{"a second marker in parentheses stays", self + " && (" + peer + ")", eligibility.SelfApproval, peer},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := condition.ParseEligibility(c.expression)
			if want := (condition.Eligibility{Kind: c.kind, Resource: c.resource}); err != nil || got != want {
				t.Errorf("ParseEligibility(%q) = %+v, %v; want %+v", c.expression, got, err, want)
			}
		})
	}
}

func TestParseEligibility_BearsAMarkerAndCannotBeUnderstood(t *testing.T) {
	for name, expression := range map[string]string{
		"unbalanced":                 self + " && (",
		"empty clause":               self + " && && a",
		"empty last clause":          self + " &&",
		"unterminated string":        self + ` && a == "`,
		"a number":                   self + " && 1 + 1",
		"a string":                   self + ` && "a"`,
		"a list":                     "[a] && " + self,
		"a number among clauses":     self + " && a && 1",
		"?: beside &&":               self + " && a ? b : c",
		"&& in branches of ?:":       self + " && a ? b && c : d",
		"?: before &&":               "a ? b : c && " + self,
		"cannot be printed":          self + " && (-a).f()",
		"quoted identifier":          self + " && a.`b c`",
		"not UTF-8":                  self + " && a == '\xff'",
		"too long":                   self + " && a" + strings.Repeat(" ", 8<<10),
		"too deep":                   self + " && " + strings.Repeat("(", 500) + "a" + strings.Repeat(")", 500),
		"marker where it is wrong":   "has({}.jitAccessConstraint",
		"a topic of a topic":         "has({}.reviewerPrivilege.a.b)",
		"a topic of a topic with -":  "has({}.reviewerPrivilege.a-b.c)",
		"a topic that begins with _": "has({}.reviewerPrivilege._a)",
		"a topic with a fraction":    "has({}.reviewerPrivilege.a-1.5)",
		"a topic with a string":      `has({}.reviewerPrivilege.a-"b")`,
		"a hyphen and no topic":      "has({}.reviewerPrivilege-a)",
		"two topics":                 "has({}.reviewerPrivilege.a) && has({}.reviewerPrivilege.b)",
		"a topic and none":           peer + " && has({}.multiPartyApprovalConstraint.a)",
		"alone and with a topic":     self + " && has({}.multiPartyApprovalConstraint.a)",
		"alone and external":         self + " && has({}.externalApprovalConstraint)",
		"request and review":         "has({}.externalApprovalConstraint) && has({}.reviewerPrivilege)",
		"all of 1.x and a third":     self + " && " + peer + " && has({}.reviewerPrivilege)",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := condition.ParseEligibility(expression); err == nil || got != (condition.Eligibility{}) {
				t.Errorf("ParseEligibility(%.80q) = %+v, %v; want an error", expression, got, err)
			}
		})
	}
}

// Appendix B of the reference: topics, external approval, review only.
func TestParseEligibility_TopicsAndReviewers(t *testing.T) {
	for _, c := range []struct {
		name, expression string
		want             condition.Eligibility
	}{
		{"peers with a topic", "has({}.multiPartyApprovalConstraint.dba)", condition.Eligibility{Kind: eligibility.PeerApproval, Topic: "dba"}},
		{"external", "has({}.externalApprovalConstraint)", condition.Eligibility{Kind: eligibility.ExternalApproval}},
		{"external with a topic", "has({}.externalApprovalConstraint.dba)", condition.Eligibility{Kind: eligibility.ExternalApproval, Topic: "dba"}},
		{"review only", "has({}.reviewerPrivilege)", condition.Eligibility{Kind: eligibility.Reviewer}},
		{"review only with a topic", "has({}.reviewerPrivilege.dba)", condition.Eligibility{Kind: eligibility.Reviewer, Topic: "dba"}},
		{"case and spaces do not matter", " HAS( { }.ReviewerPrivilege . DBA ) ", condition.Eligibility{Kind: eligibility.Reviewer, Topic: "dba"}},
		{"letters, digits and underscores", "has({}.reviewerPrivilege.d_b2_)", condition.Eligibility{Kind: eligibility.Reviewer, Topic: "d_b2_"}},
		{"a hyphen", "has({}.reviewerPrivilege.dba-oncall)", condition.Eligibility{Kind: eligibility.Reviewer, Topic: "dba-oncall"}},
		{"hyphens and numbers", "has({}.reviewerPrivilege.tier-1-on_call-02)", condition.Eligibility{Kind: eligibility.Reviewer, Topic: "tier-1-on_call-02"}},
		{"two hyphens", "has({}.reviewerPrivilege.a--b)", condition.Eligibility{Kind: eligibility.Reviewer, Topic: "a--b"}},
		{"a hyphen after a comment", "// 😀\nhas({}.reviewerPrivilege.a-1)", condition.Eligibility{Kind: eligibility.Reviewer, Topic: "a-1"}},
		{"with a resource condition", `has({}.externalApprovalConstraint.dba) && resource.name == 'x'`,
			condition.Eligibility{Kind: eligibility.ExternalApproval, Topic: "dba", Resource: `resource.name == "x"`}},
		{"the same twice", "has({}.reviewerPrivilege.a) && has({}.reviewerPrivilege.A)", condition.Eligibility{Kind: eligibility.Reviewer, Topic: "a"}},
		{"in parentheses it is none", "(has({}.reviewerPrivilege.a))", condition.Eligibility{}},
		{"the topic of another thing", "has(resource.reviewerPrivilege.a)", condition.Eligibility{}},
		{"another field with a topic", "has({}.reviewerPrivileges.a)", condition.Eligibility{}},
		{"a second one in parentheses stays", "has({}.reviewerPrivilege) && (has({}.externalApprovalConstraint))",
			condition.Eligibility{Kind: eligibility.Reviewer, Resource: "has({}.externalApprovalConstraint)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := condition.ParseEligibility(c.expression); err != nil || got != c.want {
				t.Errorf("ParseEligibility(%q) = %+v, %v; want %+v", c.expression, got, err, c.want)
			}
		})
	}
}

// What CEL itself makes of topics: has() takes a selection, so IAM, which expands
// the macro, can store every topic but one with a hyphen.
func TestTopicsAsCELTakesThem(t *testing.T) {
	env, err := cel.NewEnv()
	if err != nil {
		t.Fatal(err)
	}
	for text, stored := range map[string]bool{
		"has({}.reviewerPrivilege)":               true,
		"has({}.reviewerPrivilege.dba_oncall)":    true,
		"has({}.reviewerPrivilege.dba-oncall)":    false,
		`has({}.reviewerPrivilege["dba-oncall"])`: false,
	} {
		if _, issues := env.Compile(text); (issues.Err() == nil) != stored {
			t.Errorf("%s: %v", text, issues.Err())
		}
	}
}

// Cutting at && without regard to || must not give more than the text says.
func TestParseEligibility_NeverWidens(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	env := environment(t)
	seen := 0
	for range 500 {
		text := self + " && " + formula(random, 4)
		if random.IntN(2) == 0 {
			text = formula(random, 3) + " && " + text
		}
		found, err := condition.ParseEligibility(text)
		if err != nil || found.Resource == "" {
			continue
		}
		seen++
		granted := compile(t, env, found.Resource)
		meant := compile(t, env, strings.ReplaceAll(text, self, "true"))
		for bits := range 8 {
			facts := map[string]any{"a": bits&1 != 0, "b": bits&2 != 0, "c": bits&4 != 0, "request": map[string]any{}}
			if evaluate(granted, facts) && !evaluate(meant, facts) {
				t.Fatalf("%s\ngives %s\nwhich allows more, with %v", text, found.Resource, facts)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d formulas could be tried", seen)
	}
}

// formula is a random formula over a, b and c.
func formula(random *rand.Rand, depth int) string {
	if depth == 0 {
		return string("abc"[random.IntN(3)])
	}
	x, y := formula(random, depth-1), formula(random, depth-1)
	switch random.IntN(8) {
	case 0:
		return "(" + x + ")"
	case 1:
		return "!" + string("abc"[random.IntN(3)])
	case 2:
		return "(" + x + " || " + y + ")"
	case 3:
		return "a ? (" + x + ") : " + y // refused where it is not in parentheses
	case 4, 5:
		return x + " && " + y
	}
	return x + " || " + y
}

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ expression, want string }{
		{"", ""},
		{" \t\n", ""},
		{"a", "a"},
		{"  a\n\t==\r\nb ", "a == b"},
		{"((a))", "a"},
		{"(a && b) && (c && d)", "a && b && c && d"},
		{"a && (b || c)", "a && (b || c)"},
		{"(a && b) || c", "a && b || c"},
		{"(a ? b : c) ? d : (e)", "(a ? b : c) ? d : e"},
		{"a?b:c", "a ? b : c"},
		{"! a", "!a"},
		{"!(a || b)", "!(a || b)"},
		{"!!a", "a"},
		{"!(!a)", "!(!a)"},
		{"a - (b - c) > -1", "a - (b - c) > -1"},
		{"(a - b) - c > 0x10", "a - b - c > 16"},
		{"a == 1u || b == 1.5 || c == null", "a == 1u || b == 1.5 || c == null"},
		{"a.b [ 'c' ].d( e,f )", `a.b["c"].d(e, f)`},
		{"a in[1,2]", "a in [1, 2]"},
		{"a == {'b':1}", `a == {"b": 1}`},
		{"a == b.C{d:1}", "a == b.C{d: 1}"},
		{"has(a.b)", "has(a.b)"},
		{"[1, 2].all(x,x>0)", "[1, 2].all(x, x > 0)"},
		{"a.exists_one(x, has(x.y))", "a.exists_one(x, has(x.y))"},
		{"resource.name.startsWith('projects/_/buckets/acme')", `resource.name.startsWith("projects/_/buckets/acme")`},
		{"a == 'it\\'s'", `a == "it's"`},
		{`a == 'say "hi"'`, `a == "say \"hi\""`},
		{`a == r'\d+'`, `a == "\\d+"`},
		{"a == '''b\nc'''", `a == "b\nc"`},
		{`a == "\u00e9\x41"`, `a == "éA"`},
		{"a // why\n && b // (", "a && b"},
		{"// why\na", "a"},
	} {
		got, err := condition.Canonical(c.expression)
		if err != nil || got != c.want {
			t.Errorf("Canonical(%q) = %q, %v; want %q", c.expression, got, err, c.want)
		}
	}
	if got, err := condition.Canonical(strings.Repeat("resource.name == 'a' || ", 40) + "b"); err != nil || strings.Contains(got, "\n") {
		t.Errorf("a long condition is wrapped, or refused: %q, %v", got, err)
	}
}

func TestCanonical_Refuses(t *testing.T) {
	for _, expression := range []string{
		"a)", "(a", "a b", "a = b", "a &&", "'a", "a; b", "@", "a /* b */ && c", "if", "a.?b",
		"1", "1.5", "'a'", "[]", "{}", "b'a'", "null", "a + b", "-a", "a ? b : 1", "a && 'b'", "!1",
	} {
		if got, err := condition.Canonical(expression); err == nil {
			t.Errorf("Canonical(%q) = %q, want an error", expression, got)
		}
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", " ", true},
		{"a", "(a)", true},
		{"a == 'x'", `a=="x" // as ever`, true},
		{"a && (b && c)", "(a && b) && c", true},
		{"((", "((", true},
		{"((", "(( ", false},
		{"", "a", false},
		{"a && b", "b && a", false},
		{"a || b && c", "(a || b) && c", false},
		{"a == 1", "a == 1u", false},
		{"a == '1'", "a == 1", false},
		{"a == 'x'", "a == 'X'", false},
		{"a == 'x'", "a == b'x'", false},
	} {
		if condition.Equal(c.a, c.b) != c.want || condition.Equal(c.b, c.a) != c.want {
			t.Errorf("Equal(%q, %q) is not %t", c.a, c.b, c.want)
		}
	}
}

func TestOperators(t *testing.T) {
	for expression, want := range map[string]int{
		"a":                               0,
		"a == b ? c : d":                  0,
		"a && b || !c":                    3,
		"a == '&& || !'":                  0,
		"a // && b":                       0,
		"x.exists(y, y && !z) && (a)":     3,
		strings.Repeat("a || ", 12) + "a": 12,
	} {
		if got, err := condition.Operators(expression); err != nil || got != want {
			t.Errorf("Operators(%q) = %d, %v; want %d", expression, got, err, want)
		}
	}
	if _, err := condition.Operators("a &&"); err == nil {
		t.Error("what is not CEL is counted")
	}
}

func FuzzEligibility(f *testing.F) {
	for _, seed := range []string{self, peer + " && a", "(" + self + ")", self + " && a || b // c", self + ` && "` + self, self + " && a ? b : c",
		"has({}.multiPartyApprovalConstraint.dba) && a", "has({}.externalApprovalConstraint.d-b--2)", "has({}.reviewerPrivilege.a.b)",
		"has({}.reviewerPrivilege.a) && has({}.reviewerPrivilege.b)"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		found, err := condition.ParseEligibility(expression)
		if err != nil || found.Kind == eligibility.None {
			if found != (condition.Eligibility{}) {
				t.Fatalf("%+v, %v", found, err)
			}
			return
		}
		if again, err := condition.Canonical(found.Resource); err != nil || again != found.Resource {
			t.Fatalf("%q is not canonical: %q, %v", found.Resource, again, err)
		}
		topics := found.Kind == eligibility.PeerApproval || found.Kind == eligibility.ExternalApproval || found.Kind == eligibility.Reviewer
		if found.Topic != "" && (!topics || !regexp.MustCompile(`^[a-z][a-z0-9_-]*$`).MatchString(found.Topic)) {
			t.Fatalf("%q has the topic %q", expression, found.Topic)
		}
		text := self
		if found.Resource != "" {
			text += " && (" + found.Resource + ")"
		}
		if again, err := condition.ParseEligibility(text); err != nil || again.Resource != found.Resource {
			t.Fatalf("%q is read again as %+v, %v", text, again, err)
		}
	})
}

// cel-go's default parser, which is older and slower, must understand what we
// print, and what we read, if it takes it at all, as we did.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{"a && (b || !c)", `a == 'it"s\n'`, "(-a).b", "-(-1) > 0", "!(!a)", "a.b[1u].c(d, 1e9)", "{1: [a]}.x", "b'\\377' == a",
		"a // b\n|| c", "x.all(y, y)", "a.b{c: 1}.d", "'''a\r\nb''' == \"\\U0001F600\"", "0xffu > 1 ? a : b ? c : d"} {
		f.Add(seed)
	}
	old, err := parser.NewParser(parser.EnableIdentEscapeSyntax(false))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		text, err := condition.Canonical(expression)
		if err != nil || text == "" {
			return
		}
		if again, err := condition.Canonical(text); err != nil || again != text {
			t.Fatalf("%q becomes %q becomes %q, %v", expression, text, again, err)
		}
		for _, source := range []string{expression, text} {
			tree, errs := old.Parse(common.NewTextSource(source))
			if len(errs.GetErrors()) > 0 {
				if source == expression {
					continue // "0X1"
				}
				t.Fatalf("%q is not CEL to the default parser: %s", source, errs.ToDisplayString())
			}
			printed, err := parser.Unparse(tree.Expr(), tree.SourceInfo(), parser.WrapOnColumn(1<<30))
			if err != nil || printed != text {
				t.Fatalf("%q is %q to us and %q to the default parser, %v", source, text, printed, err)
			}
		}
	})
}

// environment knows a, b and c, and the time.
func environment(t testing.TB) *cel.Env {
	t.Helper()
	env, err := cel.NewEnv(cel.Variable("a", cel.BoolType), cel.Variable("b", cel.BoolType), cel.Variable("c", cel.BoolType),
		cel.Variable("request", cel.MapType(cel.StringType, cel.TimestampType)))
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func compile(t testing.TB, env *cel.Env, expression string) cel.Program {
	t.Helper()
	program, err := tryCompile(env, expression)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

func tryCompile(env *cel.Env, expression string) (cel.Program, error) {
	tree, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil, fmt.Errorf("%s: %w", expression, issues.Err())
	}
	return env.Program(tree, cel.CostLimit(100_000))
}

// evaluate is whether the program says true; an error is not.
func evaluate(program cel.Program, facts map[string]any) bool {
	value, _, err := program.Eval(facts)
	return err == nil && value == types.True
}
