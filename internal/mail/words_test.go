package mail

import (
	"strings"
	"testing"
)

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
