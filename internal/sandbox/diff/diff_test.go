package diff_test

import (
	"strconv"
	"strings"
	"testing"

	"jitaccess/internal/sandbox/diff"
)

func show(lines []diff.Line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Kind.Sign() + l.Text + "\n")
	}
	return b.String()
}

func TestLines(t *testing.T) {
	for _, c := range [][3]string{
		{"", "", ""},
		{"a b c", "a b c", " a  b  c "},
		{"", "a b", "+a +b "},
		{"a b", "", "-a -b "},
		{"a b c", "a x c", " a -b +x  c "},
		{"a c", "a b c", " a +b  c "},
		{"a b b c", "a b c", " a  b -b  c "},
		{"a b c d e", "c x e y", "-a -b  c -d +x  e +y "},
	} {
		got := show(diff.Lines(strings.Fields(c[0]), strings.Fields(c[1])))
		if got = strings.ReplaceAll(got, "\n", " "); got != c[2] {
			t.Errorf("%q to %q: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// Of a diff follow both texts, of whatever form they are.
func FuzzLines(f *testing.F) {
	f.Add("a\nb\nc", "a\nc\nd")
	f.Add("", "\n\n")
	f.Fuzz(func(t *testing.T, before, after string) {
		b, a := strings.Split(before, "\n"), strings.Split(after, "\n")
		var was, is []string
		for _, l := range diff.Lines(b, a) {
			if l.Kind != diff.Added {
				was = append(was, l.Text)
			}
			if l.Kind != diff.Removed {
				is = append(is, l.Text)
			}
		}
		if strings.Join(was, "\n") != before || strings.Join(is, "\n") != after {
			t.Errorf("%q, %q", was, is)
		}
	})
}

// Thousands of lines that are all different are compared by no table of pairs, which has a row
// for each.
func TestManyLinesAreNotPaired(t *testing.T) {
	const n = 3000
	var before, after []string
	for i := range n {
		before, after = append(before, "b"+strconv.Itoa(i)), append(after, "a"+strconv.Itoa(i))
	}
	rows := testing.AllocsPerRun(1, func() {
		if added, removed := diff.Count(diff.Lines(before, after)); added != n || removed != n {
			t.Errorf("%d added, %d removed", added, removed)
		}
	})
	if rows > n/2 {
		t.Errorf("%v allocations", rows)
	}
}

func TestShort(t *testing.T) {
	lines := diff.Lines(strings.Fields("a b c d e f g h i"), strings.Fields("a b c d X f g h i"))
	if got := show(diff.Short(lines, 1, 100)); got != "…3 lines that are as before\n d\n-e\n+X\n f\n…3 lines that are as before\n" {
		t.Errorf("got\n%s", got)
	}
	if got := show(diff.Short(lines, 1, 2)); got != "…3 lines that are as before\n d\n…7 more lines, 1 of them added and 1 removed\n" &&
		got != "…3 lines that are as before\n d\n…6 more lines, 1 of them added and 1 removed\n" {
		t.Errorf("got\n%s", got)
	}
	if got := show(diff.Short(diff.Lines(nil, strings.Fields("a b c")), 3, 1)); got != "+a\n…2 more lines, 2 of them added and 0 removed\n" {
		t.Errorf("got\n%s", got)
	}
	if got := diff.Short(nil, 3, 5); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
