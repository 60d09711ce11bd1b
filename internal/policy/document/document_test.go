package document_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/policy/document"
)

func told(text string) (*document.Node, string) {
	n, faults := document.Read([]byte(text))
	var lines []string
	for _, f := range faults.Sorted() {
		lines = append(lines, fmt.Sprintf("%d:%d: %s", f.Line, f.Column, f.Text))
	}
	return n, strings.Join(lines, "\n")
}

func TestEveryFaultIsToldWithItsPlace(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"a: 1\na: 2\nb: {c: 1, c: 2}\n", "2:1: \"a\" is there twice, first in line 1\n3:11: \"c\" is there twice, first in line 3"},
		{"a: &x 1\nb: *x\n", "1:4: &x is an anchor; write out its value wherever it is meant\n2:4: *x is an alias; write out what it stands for"},
		{"a: {k: v}\n<<: {b: 1}\n", "2:1: << merges another object; write out what it has"},
		{"a: [!group:x@example.com]\n", `1:5: what begins with ! must stand in quotes: "!group:x@example.com"`},
		{"a: !!str 1\n", "1:4: !!str is a tag; leave it out"},
		{"? [a]\n: b\n1: c\ntrue: d\n", "1:3: a key must be a word\n3:1: a key must be a word\n4:1: a key must be a word"},
		{"a:\tb\nc: d\t# e\n", "1:3: a tab; write spaces\n2:5: a tab; write spaces"},
		{"a: \xff\xc0b\n", "1:4: this byte is not UTF-8; save the file as UTF-8\n1:5: this byte is not UTF-8; save the file as UTF-8"},
		{"a: x\u202ey # \u200b\nb: \x00\x07\n", "1:5: the character U+202E, which nobody sees; take it out\n1:10: the character U+200B, which nobody sees; take it out\n" +
			"2:4: the character U+0000, which nobody sees; take it out\n2:5: the character U+0007, which nobody sees; take it out"},
		{"", "1:1: the file is empty"},
		{"# nothing\n", "1:1: the file is empty"},
		{"a: 1\n---\nb: 2\n", "2:1: a second document begins here; a file has one"},
		{"a: b: c\n", "1:5: this cannot be read as YAML: mapping values are not allowed in this context; put the text in quotes if a colon belongs to it, and else begin a new line"},
	} {
		if _, got := told(c.text); got != c.want {
			t.Errorf("%q:\n%s\nwant\n%s", c.text, got, c.want)
		}
	}
}

// What is no YAML does not hide what stands behind it.
func TestReadingGoesOnBehindWhatIsNoYAML(t *testing.T) {
	n, got := told("version: 1\nrules:\n  - name: a\n   bad: 1\n  - name: b\n    name: c\n  - name: 'd\n\n  - name: e\nlast: [1\n")
	for _, want := range []string{"4:4: this cannot be read", "6:5: \"name\" is there twice", "this cannot be read as YAML: "} {
		if !strings.Contains(got, want) {
			t.Errorf("without %s:\n%s", want, got)
		}
	}
	if v := n.Get("version"); v == nil || v.Text != "1" || v.Kind != document.Number {
		t.Errorf("version is %+v", v)
	}
	if items := n.Get("rules").Items; len(items) == 0 || items[0].Get("name").Text != "b" {
		t.Errorf("%d rules are left", len(items))
	}
}

func TestScalarsAreThoseOfYAML12(t *testing.T) {
	n, faults := told("n: ~\nt: true\nyes: yes\non: on\no: 0o7\ni: -12\nf: 1e3\nh: 07:00\nd: 2026-12-20\nq: '1'\nx: 4h\nl: |\n  a\n  b\n")
	if faults != "" {
		t.Fatal(faults)
	}
	for key, want := range map[string]document.Kind{"n": document.Null, "t": document.Flag, "yes": document.Text, "on": document.Text, "o": document.Number,
		"i": document.Number, "f": document.Number, "h": document.Text, "d": document.Text, "q": document.Text, "x": document.Text, "l": document.Text} {
		if got := n.Get(key); got == nil || got.Kind != want {
			t.Errorf("%s is %+v, want kind %d", key, got, want)
		}
	}
}

func TestSizesAreBounded(t *testing.T) {
	_, got := told("a: " + strings.Repeat("x", document.MaxSize))
	if want := "1:1: the file has 1048579 bytes, and may have 1048576"; got != want {
		t.Error(got)
	}
	deep := func(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) + "\n" }
	if _, got := told(deep(document.MaxDepth)); got != "" {
		t.Error(got)
	}
	if _, got := told(deep(document.MaxDepth + 1)); got != "1:21: this is nested deeper than 20 levels" {
		t.Error(got)
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	if _, got := told(bomb); !strings.Contains(got, "1:4: &a is an anchor") {
		t.Error(got)
	}
	// Whatever much text is made of, it is answered, with a bounded number of faults.
	for _, part := range []string{"[", "{", "- ", "? ", "a: [", "\"", ": ", "!", "&a ", "{a: ", "'", "|\n", " ", "#\n", "a:\n", "--- \n", "[a,", "\\", "\t", "\xff", "\x00", "- a\n", "*a "} {
		_, faults := document.Read([]byte(strings.Repeat(part, document.MaxSize/8/len(part))))
		if n := len(faults.Sorted()); n > 201 || n == 0 && !slices.Contains([]string{"'", "|\n", "- a\n", "\\"}, part) {
			t.Errorf("%q: %d faults", part, n)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{"a: 1\n", "a: [b, {c: 'd'}]\n", "a: &x [*x]\n", "? [a]\n: b\n", "a:\tb", "\xff", "a: |\n  b\n", "- a\n- b: c\n", "a: 1\n---\nb", "%YAML 1.1\n---\na", "a: 'b"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		n, faults := document.Read(text)
		lines := strings.Count(string(text), "\n") + 1
		for _, fault := range faults {
			if fault.Line < 1 || fault.Line > lines+1 || fault.Column < 1 || fault.Text == "" {
				t.Errorf("%q: %+v", text, fault)
			}
		}
		if n == nil || n.Kind == document.Broken && len(faults) == 0 {
			t.Errorf("%q: %+v without a fault", text, n)
		}
	})
}
