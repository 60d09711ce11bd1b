package notice

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzThreat14_TextOfOthersIsHarmlessToLookAt keeps text on one line, visible and
// short, whatever it is.
func FuzzThreat14_TextOfOthersIsHarmlessToLookAt(f *testing.F) {
	for _, seed := range []string{"", "Bug 4711", "a\r\nb\tc", "\u202egnp.exe", "\x1b[2J\x00\x7f", "\xff\xfe",
		"\u2028\u2029\u0085", "\ue000", strings.Repeat("é", 100), "👩‍💻"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := plain(text, 40)
		// At most 40 characters of the text, each spelled out if need be.
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > 40*len("[U+10FFFF]")+1 {
			t.Errorf("%q", got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) }) {
			t.Errorf("invisible characters in %q", got)
		}
	})
}
