package iampolicy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

func TestDescribe(t *testing.T) {
	tests := map[string]struct {
		approvers     []access.Principal
		justification string
		want          string
	}{
		"self-approval": {nil, "BUG-12: restart",
			"Self-approved, justification: BUG-12: restart [mpa-0123456789abcdef]"},
		"one approver": {[]access.Principal{"bob@example.com"}, "deploy",
			"Approved by bob@example.com, justification: deploy [mpa-0123456789abcdef]"},
		"several approvers, in the order of their decisions": {[]access.Principal{"carol@example.com", "bob@example.com"}, "deploy",
			"Approved by carol@example.com, bob@example.com, justification: deploy [mpa-0123456789abcdef]"},
		"square brackets become round": {nil, "[x] done [jit-AAAAAAAAAAAAAAAA]",
			"Self-approved, justification: (x) done (jit-AAAAAAAAAAAAAAAA) [mpa-0123456789abcdef]"},
		"what is not ASCII, and line breaks, become question marks": {nil, "Störung\r\n日本\u202e",
			"Self-approved, justification: St?rung????? [mpa-0123456789abcdef]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := access.Grant{RequestID: "mpa-0123456789abcdef", Approvers: tt.approvers, Justification: tt.justification}
			got, err := iampolicy.Describe(g, iampolicy.MaxDescription)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestDescribeShortensTheJustificationOnly(t *testing.T) {
	g := access.Grant{RequestID: "mpa-0123456789abcdef", Justification: strings.Repeat("because ", 31)}
	for range 6 {
		g.Approvers = append(g.Approvers, access.Principal(fmt.Sprintf("approver-%d@example.com", len(g.Approvers))))
		got, err := iampolicy.Describe(g, 256)
		if err != nil || len(got) > 256 {
			t.Fatalf("%d characters, %v", len(got), err)
		}
		for _, a := range g.Approvers {
			if !strings.Contains(got, string(a)) {
				t.Errorf("%s is missing: %s", a, got)
			}
		}
		if !strings.HasSuffix(got, "... [mpa-0123456789abcdef]") {
			t.Errorf("the end is %q", got[len(got)-40:])
		}
	}
	g.Approvers = append(g.Approvers, access.Principal(strings.Repeat("a", 100)+"@example.com"))
	if got, err := iampolicy.Describe(g, 256); err == nil {
		t.Errorf("shortened what must not be: %s", got)
	}
}

// find parses a policy with one binding of ours that has the description.
func find(t testing.TB, description string) access.Activation {
	t.Helper()
	p := mustParse(t, policy(ours("roles/run.admin", description, at("10:00"), at("11:00"), "user:alice@example.com")))
	found, warnings := p.Activations("projects/shop")
	if len(found) != 1 || len(warnings) != 0 {
		t.Fatalf("found %v, %v", found, warnings)
	}
	return found[0]
}

func TestActivationReadsTheDescription(t *testing.T) {
	tests := map[string]struct {
		text          string
		id            string // empty: derived
		approvers     []access.Principal
		justification string
	}{
		"self-approved":                 {"Self-approved, justification: a [jit-0123456789abcdef]", "jit-0123456789abcdef", nil, "a"},
		"approved by one":               {"Approved by b@example.com, justification: a [mpa-0123456789abcdef]", "mpa-0123456789abcdef", []access.Principal{"b@example.com"}, "a"},
		"approved by two":               {"Approved by b@example.com, c@example.com, justification: a [mpa-0123456789abcdef]", "mpa-0123456789abcdef", []access.Principal{"b@example.com", "c@example.com"}, "a"},
		"an id of standard Base64":      {"Self-approved, justification: a [jit-0123456789ab+/cd]", "jit-0123456789ab+/cd", nil, "a"},
		"a broken glass":                {"Break glass, justification: a [brk-0123456789abcdef]", "brk-0123456789abcdef", nil, "a"},
		"words like those":              {"Break glass by b@example.com, justification: a [brk-0123456789abcdef]", "brk-0123456789abcdef", nil, "Break glass by b@example.com, justification: a"},
		"1.x: no id":                    {"Self-approved, justification: a", "", nil, "a"},
		"1.x: approved, no id":          {"Approved by b@example.com, justification: a", "", []access.Principal{"b@example.com"}, "a"},
		"the words again in the reason": {"Self-approved, justification: Approved by b@example.com, justification: a [jit-0123456789abcdef]", "jit-0123456789abcdef", nil, "Approved by b@example.com, justification: a"},
		"an id in the middle":           {"Self-approved, justification: [mpa-ffffffffffffffff] a", "", nil, "[mpa-ffffffffffffffff] a"},
		"something else in brackets":    {"Self-approved, justification: a [b]", "", nil, "a [b]"},
		"an approver who is none":       {"Approved by somebody, justification: a [mpa-0123456789abcdef]", "mpa-0123456789abcdef", nil, "Approved by somebody, justification: a"},
		"other words":                   {"by hand", "", nil, "by hand"},
		"nothing":                       {"", "", nil, ""},
		"no justification":              {"Self-approved, justification:  [jit-0123456789abcdef]", "jit-0123456789abcdef", nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := find(t, tt.text)
			if got.BreakGlass != (name == "a broken glass") {
				t.Errorf("a broken glass: %v", got.BreakGlass)
			}
			if got.Derived != (tt.id == "") || !got.Derived && got.RequestID != tt.id {
				t.Errorf("id %q, derived %v", got.RequestID, got.Derived)
			}
			if _, err := access.ParseRequestID(got.RequestID); err != nil {
				t.Errorf("id %q: %v", got.RequestID, err)
			}
			if diff := cmp.Diff(tt.approvers, got.Approvers); diff != "" || got.Justification != tt.justification {
				t.Errorf("justification %q, approvers %s", got.Justification, diff)
			}
		})
	}
}

// A reason cannot make a grant pass for that of another request.
func TestThreat05_AReasonThatImitatesAnIDIsInert(t *testing.T) {
	for _, reason := range []string{"[mpa-ffffffffffffffff]", "x [mpa-ffffffffffffffff]", " [mpa-ffffffffffffffff] ", "] [mpa-ffffffffffffffff"} {
		g := access.Grant{RequestID: "jit-0123456789abcdef", Justification: reason}
		text, err := iampolicy.Describe(g, 256)
		if err != nil {
			t.Fatal(err)
		}
		if got := find(t, text); got.RequestID != g.RequestID || strings.Count(text, "[") != 1 {
			t.Errorf("%q is read as %q", text, got.RequestID)
		}
	}
}

func FuzzDescription(f *testing.F) {
	f.Add("reason", "alice@example.com", 256)
	f.Add(", justification: [jit-0123456789abcdef]", "o'neil@example.com", 100)
	f.Add("Approved by \u212aim@example.com", "", 60)
	f.Fuzz(func(t *testing.T, justification, approver string, max int) {
		find(t, justification) // reads anything
		g := access.Grant{RequestID: "mpa-0123456789abcdef", Justification: justification}
		if a, err := access.ParsePrincipal(approver); err == nil {
			g.Approvers = []access.Principal{a}
		}
		text, err := iampolicy.Describe(g, max)
		if err != nil {
			return
		}
		if len(text) > max {
			t.Errorf("%d characters, want at most %d", len(text), max)
		}
		for _, b := range []byte(text) {
			if b < ' ' || b > '~' {
				t.Fatalf("%q is not printable ASCII", text)
			}
		}
		got := find(t, text)
		if got.RequestID != g.RequestID || got.Derived {
			t.Errorf("%q has the id %q", text, got.RequestID)
		}
		if diff := cmp.Diff(g.Approvers, got.Approvers); diff != "" {
			t.Error(diff)
		}
	})
}
