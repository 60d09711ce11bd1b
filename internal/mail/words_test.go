package mail

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestSpansReadInWords(t *testing.T) {
	for span, want := range map[time.Duration]string{
		0:                            "0 minutes",
		time.Minute:                  "1 minute",
		time.Hour:                    "1 hour",
		61 * time.Minute:             "1 hour 1 minute",
		150 * time.Minute:            "2 hours 30 minutes",
		49*time.Hour + 5*time.Minute: "2 days 1 hour 5 minutes",
		time.Hour - time.Second:      "1 hour",
	} {
		if got := length(span); got != want {
			t.Errorf("%v reads %q, want %q", span, got, want)
		}
	}
}

// FuzzThreat14_TextOfOthersIsHarmlessToLookAt keeps text on one line, visible and
// short, whatever it is.
func FuzzThreat14_TextOfOthersIsHarmlessToLookAt(f *testing.F) {
	for _, seed := range []string{"", "Bug 4711", "a\r\nb\tc", "\u202egnp.exe", "\x1b[2J\x00\x7f", "\xff\xfe", "\u2028\u2029\u0085", "\ue000", strings.Repeat("é", 100), "👩‍💻"} {
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

// FuzzServerReply puts whatever a server may say into an error.
func FuzzServerReply(f *testing.F) {
	for _, seed := range []string{"", "5.7.8 no", "5.7.30 Basic authentication is not supported", "\x1b[2J\r\n", "9.9.9.9", strings.Repeat("x", 1000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said string) {
		got := quoted(said)
		if len(got) > 10*maxReply+20 || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q", got)
		}
		if code := enhancedCode(said); strings.Trim(code, ".0123456789") != "" {
			t.Errorf("enhanced code %q", code)
		}
	})
}
